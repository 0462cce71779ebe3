//! What has to stand below a figure: quantity, counts, intervals.

use std::fmt;

/// What has to stand below a figure. Displays as one paragraph of plain text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caption {
    /// What the figure shows, as a sentence.
    pub what: String,
    /// The units behind its numbers, as in `n = 80 pairs`.
    pub n: String,
    /// What its intervals are; empty when it has none.
    pub intervals: String,
    /// What else a reader has to know, one sentence each.
    pub notes: Vec<String>,
}

impl Caption {
    /// The caption for LaTeX, its special characters escaped.
    pub fn latex(&self) -> String {
        let mut out = String::new();
        let mut is_code = false;
        for sign in self.to_string().chars() {
            match sign {
                '`' => {
                    is_code = !is_code;
                    out.push_str(if is_code { "\\texttt{" } else { "}" });
                }
                '%' | '&' | '#' | '_' | '$' | '{' | '}' => out.extend(['\\', sign]),
                '\\' => out.push_str("\\textbackslash{}"),
                '~' => out.push_str("\\textasciitilde{}"),
                '^' => out.push_str("\\textasciicircum{}"),
                '…' => out.push_str("\\ldots{}"),
                '–' => out.push_str("--"),
                '×' => out.push_str("$\\times$"),
                '−' => out.push_str("$-$"),
                '±' => out.push_str("$\\pm$"),
                '→' => out.push_str("$\\to$"),
                '≈' => out.push_str("$\\approx$"),
                '≤' => out.push_str("$\\leq$"),
                '≥' => out.push_str("$\\geq$"),
                other => out.push(other),
            }
        }
        if is_code {
            out.push('}');
        }
        out
    }
}

/// `text` as the beginning of a sentence.
pub(crate) fn capital(text: &str) -> String {
    let mut signs = text.chars();
    signs.next().map(|first| first.to_uppercase().chain(signs).collect()).unwrap_or_default()
}

impl fmt::Display for Caption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentences = [&self.what, &self.n, &self.intervals].into_iter().chain(&self.notes);
        let ended = sentences
            .filter(|sentence| !sentence.is_empty())
            .map(|sentence| if sentence.ends_with('.') { sentence.clone() } else { format!("{sentence}.") });
        f.write_str(&ended.collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caption_is_sentences_and_escapes_for_latex() {
        let caption = Caption {
            what: "AUROC of `dom_z`".into(),
            n: "n = 40–80 pairs".into(),
            intervals: "95 % bootstrap.".into(),
            notes: vec![],
        };
        assert_eq!(caption.to_string(), "AUROC of `dom_z`. n = 40–80 pairs. 95 % bootstrap.");
        assert_eq!(caption.latex(), "AUROC of \\texttt{dom\\_z}. n = 40--80 pairs. 95 \\% bootstrap.");
    }
}
