//! Scores of a probe on rows it was not fit on: AUROC, ROC, rates at a threshold, calibration.
//!
//! A row is called positive when its score is at least the threshold. Wilson's intervals take rows as independent; where clusters hold several rows of
//! one class, `bootstrap::cluster_bootstrap` gives the interval of any rate.

use std::collections::BTreeMap;

use crate::dataset::{check_rows, count_positive};
use crate::error::{Error, Result};
use crate::interval::{Interval, wilson};
use crate::ranked::{Ranked, check_finite_scores, check_scores};

/// Area under the ROC curve: the share of positive–negative pairs in the right order, ties half, exactly.
pub fn auroc(scores: &[f64], labels: &[bool]) -> Result<f64> {
    Ok(Ranked::new(scores, labels)?.auroc())
}

/// One corner of the ROC curve: rows that score at least `threshold` count as positive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RocPoint {
    /// Lowest score called positive; infinite at the origin.
    pub threshold: f64,
    /// Negatives called positive.
    pub false_positives: usize,
    /// Positives called positive.
    pub true_positives: usize,
    /// Share of negatives called positive.
    pub fpr: f64,
    /// Share of positives called positive.
    pub tpr: f64,
}

/// The ROC curve from the origin to `(1, 1)`, one point per distinct score.
pub fn roc_curve(scores: &[f64], labels: &[bool]) -> Result<Vec<RocPoint>> {
    check_scores(scores, labels)?;
    let positives = count_positive(labels);
    let negatives = labels.len() - positives;
    let score = |row: usize| scores[row] + 0.0;
    let mut rows: Vec<usize> = (0..scores.len()).collect();
    rows.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
    let (mut true_positives, mut false_positives) = (0, 0);
    let mut point = |threshold, tied: &[usize]| {
        let won = tied.iter().filter(|row| labels[**row]).count();
        true_positives += won;
        false_positives += tied.len() - won;
        let (fpr, tpr) =
            (false_positives as f64 / negatives as f64, true_positives as f64 / positives as f64);
        RocPoint { threshold, false_positives, true_positives, fpr, tpr }
    };
    let origin = point(f64::INFINITY, &[]);
    let rest =
        rows.chunk_by(|a, b| score(*a).total_cmp(&score(*b)).is_eq()).map(|tied| point(score(tied[0]), tied));
    Ok(std::iter::once(origin).chain(rest).collect())
}

/// True positive rate at a bound on the false positive rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TprAtFpr {
    /// Highest threshold with that rate; none when no positive can be admitted.
    pub threshold: Option<f64>,
    /// True positive rate with Wilson's interval over the positives.
    pub tpr: Interval,
    /// False positive rate at the threshold, with Wilson's interval over the negatives.
    pub fpr: Interval,
}

/// Best true positive rate among thresholds whose false positive rate is at most `limit` (0.01 for TPR at 1 % FPR).
///
/// With fewer than `1/limit` negatives no false positive is allowed at all. The interval is of the rate at the threshold found; it does not
/// include the uncertainty of the threshold, which the same rows chose.
pub fn tpr_at_fpr(scores: &[f64], labels: &[bool], limit: f64, level: f64) -> Result<TprAtFpr> {
    if !(0.0..=1.0).contains(&limit) {
        return Err(Error::Setting { name: "limit", expected: "a rate from 0 to 1", found: limit });
    }
    let curve = roc_curve(scores, labels)?;
    let positives = count_positive(labels);
    let mut best = curve[0];
    // 1e-12 lets through a rate that equals the limit but for rounding.
    for point in curve.iter().take_while(|point| point.fpr <= limit + 1e-12) {
        if point.true_positives > best.true_positives {
            best = *point;
        }
    }
    Ok(TprAtFpr {
        threshold: best.threshold.is_finite().then_some(best.threshold),
        tpr: wilson(best.true_positives, positives, level)?,
        fpr: wilson(best.false_positives, labels.len() - positives, level)?,
    })
}

/// Share of rows on the right side of a threshold, with Wilson's interval; a score at the threshold counts as positive.
pub fn accuracy(scores: &[f64], labels: &[bool], threshold: f64, level: f64) -> Result<Interval> {
    check_rows("scores", labels.len(), scores.len())?;
    check_finite_scores(scores)?;
    let right = scores.iter().zip(labels).filter(|(score, label)| (**score >= threshold) == **label).count();
    wilson(right, labels.len(), level)
}

/// Share of scores at or above a threshold, with Wilson's interval: the false positive rate of topic-only rows, which carry no label.
pub fn positive_rate(scores: &[f64], threshold: f64, level: f64) -> Result<Interval> {
    check_finite_scores(scores)?;
    wilson(scores.iter().filter(|score| **score >= threshold).count(), scores.len(), level)
}

/// Share of contrast pairs whose positive scores above its own negative, with Wilson's interval over pairs; a tie is a loss.
///
/// AUROC compares rows of different prompts too; this does not, so what prompts add to every score cannot hide a difference within them. A cluster
/// with several rows of a class enters with their mean, one with a single class not at all.
///
/// **Errors** when no cluster holds both classes.
pub fn pair_win_rate(scores: &[f64], labels: &[bool], clusters: &[usize], level: f64) -> Result<Interval> {
    check_scores(scores, labels)?;
    check_rows("clusters", labels.len(), clusters.len())?;
    let mut sums: std::collections::BTreeMap<usize, [(f64, f64); 2]> = std::collections::BTreeMap::new();
    for ((score, label), cluster) in scores.iter().zip(labels).zip(clusters) {
        let (sum, n) = &mut sums.entry(*cluster).or_default()[usize::from(*label)];
        *sum += score;
        *n += 1.0;
    }
    let pairs: Vec<bool> = sums
        .values()
        .filter(|[negative, positive]| negative.1 > 0.0 && positive.1 > 0.0)
        .map(|[negative, positive]| positive.0 / positive.1 > negative.0 / negative.1)
        .collect();
    wilson(pairs.iter().filter(|won| **won).count(), pairs.len(), level)
}

/// How well probabilities match outcomes.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Expected calibration error: mean over rows of `|rate − mean probability|` of the row's bin.
    pub error: f64,
    /// Bins of equal width, empty ones included.
    pub bins: Vec<CalibrationBin>,
}

/// One bin of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationBin {
    /// Lower edge.
    pub low: f64,
    /// Upper edge.
    pub high: f64,
    /// Rows in the bin.
    pub n: usize,
    /// Mean probability of its rows; zero when empty.
    pub mean_probability: f64,
    /// Share of positives among its rows; zero when empty.
    pub rate: f64,
}

/// Expected calibration error over bins of equal width; ten are usual.
///
/// Small bins inflate it: with `n` rows spread over `b` bins, even perfect probabilities score up to `0.4 √(b/n)`. So the counts come
/// with it.
pub fn calibration(probabilities: &[f64], labels: &[bool], bins: usize) -> Result<Calibration> {
    check_rows("probabilities", labels.len(), probabilities.len())?;
    check_finite_scores(probabilities)?;
    if bins == 0 || labels.is_empty() {
        return Err(Error::TooFew { unit: "bin", expected: 1, found: bins.min(labels.len()) });
    }
    if let Some(p) = probabilities.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        return Err(Error::Setting { name: "probabilities", expected: "numbers from 0 to 1", found: *p });
    }
    let width = bins as f64;
    let mut sums = vec![(0_usize, 0.0, 0_usize); bins];
    for (p, label) in probabilities.iter().zip(labels) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to the number of bins"
        )]
        let bin = ((p * width).floor() as usize).min(bins - 1);
        sums[bin].0 += 1;
        sums[bin].1 += p;
        sums[bin].2 += usize::from(*label);
    }
    let bins: Vec<CalibrationBin> = sums
        .iter()
        .enumerate()
        .map(|(bin, (n, total, positives))| {
            let count = (*n).max(1) as f64;
            let (low, high) = (bin as f64 / width, (bin + 1) as f64 / width);
            CalibrationBin {
                low,
                high,
                n: *n,
                mean_probability: total / count,
                rate: *positives as f64 / count,
            }
        })
        .collect();
    let gap = |bin: &CalibrationBin| bin.n as f64 * (bin.rate - bin.mean_probability).abs();
    Ok(Calibration { error: bins.iter().map(gap).sum::<f64>() / labels.len() as f64, bins })
}

/// Units in which scores of different probes can be drawn on one axis: distance from the mean of the reference rows, in their pooled standard
/// deviations within classes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reference {
    /// Mean over the reference rows.
    pub mean: f64,
    /// Pooled within-class standard deviation of the reference rows.
    pub sd: f64,
}

impl Reference {
    /// Units of the rows a probe was fit on.
    ///
    /// **Errors** when a class is missing or has a single row, or the scores do not vary within classes.
    pub fn of(scores: &[f64], labels: &[bool]) -> Result<Self> {
        check_scores(scores, labels)?;
        Self::within(scores, &labels.iter().map(|label| usize::from(*label)).collect::<Vec<_>>())
    }

    /// Units whose spread is that within cells, finer than classes where rows differ by more.
    pub(crate) fn within(scores: &[f64], cells: &[usize]) -> Result<Self> {
        let mut of: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for (score, cell) in scores.iter().zip(cells) {
            of.entry(*cell).or_default().push(*score);
        }
        let n = scores.len() as f64;
        let mut squares = 0.0;
        for own in of.values() {
            let mean = own.iter().sum::<f64>() / own.len() as f64;
            squares += own.iter().map(|score| (score - mean).powi(2)).sum::<f64>();
        }
        let sd = (squares / (n - of.len() as f64)).sqrt();
        if sd > 0.0 && sd.is_finite() {
            Ok(Self { mean: scores.iter().sum::<f64>() / n, sd })
        } else {
            Err(Error::Setting { name: "reference scores", expected: "spread within classes", found: sd })
        }
    }

    /// Scores in these units.
    pub fn units(&self, scores: &[f64]) -> Vec<f64> {
        scores.iter().map(|score| (score - self.mean) / self.sd).collect()
    }
}

/// Edges of `bins` bins of equal width that hold every score.
pub fn edges(scores: &[f64], bins: usize) -> Result<Vec<f64>> {
    check_finite_scores(scores)?;
    if bins == 0 || scores.is_empty() {
        return Err(Error::TooFew { unit: "bin", expected: 1, found: bins.min(scores.len()) });
    }
    let low = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let high = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // A single value gets a bin around it.
    let (low, high) = if low < high { (low, high) } else { (low - 0.5, high + 0.5) };
    let inner = (0..bins).map(|bin| low + (high - low) * bin as f64 / bins as f64);
    Ok(inner.chain([high]).collect())
}

/// Counts of scores between edges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// Scores in `[edge i, edge i+1)`; the last bin includes its upper edge.
    pub counts: Vec<usize>,
    /// Scores below the first edge.
    pub below: usize,
    /// Scores above the last edge.
    pub above: usize,
}

/// Counts scores between ascending edges.
pub fn histogram(scores: &[f64], edges: &[f64]) -> Result<Histogram> {
    check_finite_scores(scores)?;
    check_finite_scores(edges)?;
    let (Some(first), Some(last)) = (edges.first(), edges.last()) else {
        return Err(Error::TooFew { unit: "edge", expected: 2, found: 0 });
    };
    if edges.len() < 2 {
        return Err(Error::TooFew { unit: "edge", expected: 2, found: edges.len() });
    }
    if let Some(pair) = edges.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(Error::Setting { name: "edges", expected: "ascending numbers", found: pair[1] });
    }
    let mut histogram = Histogram { counts: vec![0; edges.len() - 1], below: 0, above: 0 };
    for score in scores {
        if score < first {
            histogram.below += 1;
        } else if score > last {
            histogram.above += 1;
        } else {
            let bin = edges.partition_point(|edge| edge <= score).clamp(1, edges.len() - 1) - 1;
            histogram.counts[bin] += 1;
        }
    }
    Ok(histogram)
}
