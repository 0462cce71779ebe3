# Compares delong.json with pROC, an implementation by other authors (checked with pROC 1.18.0, R 4.2.2).
# Usage: Rscript tools/reference/check_delong.R    (Debian: r-cran-proc, r-cran-jsonlite)
suppressMessages(library(pROC))
file <- "crates/heirloom-probe/tests/fixtures/delong.json"
fixture <- jsonlite::fromJSON(file, simplifyVector = FALSE)
curve <- function(scores, labels) roc(unlist(labels), as.numeric(unlist(scores)), levels = c(0, 1), direction = "<", quiet = TRUE)
worst <- 0
for (case in fixture$cases) {
  r <- curve(case$scores, case$labels)
  worst <- max(worst, abs(as.numeric(auc(r)) - case$auroc), abs(var(r, method = "delong") - case$variance))
}
for (case in fixture$paired) {
  a <- curve(case$scores_a, case$labels)
  b <- curve(case$scores_b, case$labels)
  test <- roc.test(a, b, method = "delong", paired = TRUE)
  worst <- max(worst, abs(cov(a, b, method = "delong") - case$covariance), abs(unname(test$statistic) - case$z), abs(test$p.value - case$p))
}
cat(length(fixture$cases), "cases and", length(fixture$paired), "pairs: largest difference to pROC", format(worst), "\n")
stopifnot(worst < 1e-10)
