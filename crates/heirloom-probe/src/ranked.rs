//! Scores sorted once, so that AUROC under any row weights is one walk through them.

use crate::dataset::{check_both_classes, check_rows};
use crate::error::{Error, Result};

/// Scores and labels in ascending order of score, with ties marked.
///
/// AUROC counts pairs of a positive and a negative, ties half, in integers: the value is the exact fraction, rounded once. With strata (folds of a
/// cross-validation, whose probes have no common scale) only pairs within a stratum count.
#[derive(Debug, Clone)]
pub struct Ranked {
    strata: Vec<Vec<Entry>>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    row: usize,
    positive: bool,
    /// Whether the next entry has a larger score.
    ends_tie: bool,
}

impl Ranked {
    /// Sorts finite scores of both classes.
    pub fn new(scores: &[f64], labels: &[bool]) -> Result<Self> {
        Self::stratified(scores, labels, &vec![0; scores.len()])
    }

    /// Sorts within each stratum; `strata` numbers them per row.
    pub fn stratified(scores: &[f64], labels: &[bool], strata: &[usize]) -> Result<Self> {
        check_scores(scores, labels)?;
        check_rows("strata", scores.len(), strata.len())?;
        // Adding zero makes −0 equal to 0 in the total order.
        let score = |row: usize| scores[row] + 0.0;
        let mut rows: Vec<usize> = (0..scores.len()).collect();
        rows.sort_by(|a, b| strata[*a].cmp(&strata[*b]).then(score(*a).total_cmp(&score(*b))));
        let strata = rows
            .chunk_by(|a, b| strata[*a] == strata[*b])
            .map(|rows| {
                let next = rows.iter().skip(1).map(Some).chain([None]);
                rows.iter()
                    .zip(next)
                    .map(|(&row, next)| Entry {
                        row,
                        positive: labels[row],
                        ends_tie: next.is_none_or(|next| score(*next).total_cmp(&score(row)).is_gt()),
                    })
                    .collect()
            })
            .collect();
        let ranked = Self { strata };
        match ranked.weighted(&vec![1; scores.len()]) {
            Some(_) => Ok(ranked),
            None => Err(Error::OneClassStrata { strata: ranked.strata.len() }),
        }
    }

    /// AUROC of the rows as they are.
    pub fn auroc(&self) -> f64 {
        let rows = self.strata.iter().flatten().map(|entry| entry.row + 1).max().unwrap_or(0);
        self.weighted(&vec![1; rows]).unwrap_or(f64::NAN)
    }

    /// AUROC with each row counted `weights[row]` times; none when no stratum keeps both classes.
    pub fn weighted(&self, weights: &[u32]) -> Option<f64> {
        let (mut twice_won, mut pairs) = (0_u64, 0_u64);
        for stratum in &self.strata {
            let (mut below, mut positives) = (0_u64, 0_u64);
            let (mut tied_positives, mut tied_negatives) = (0_u64, 0_u64);
            for entry in stratum {
                let weight = u64::from(weights[entry.row]);
                if entry.positive {
                    tied_positives += weight;
                } else {
                    tied_negatives += weight;
                }
                if entry.ends_tie {
                    twice_won += tied_positives * (2 * below + tied_negatives);
                    positives += tied_positives;
                    below += tied_negatives;
                    (tied_positives, tied_negatives) = (0, 0);
                }
            }
            pairs += positives * below;
        }
        (pairs > 0).then(|| twice_won as f64 / (2 * pairs) as f64)
    }
}

/// Errors unless scores are finite, as many as labels, and of both classes.
pub(crate) fn check_scores(scores: &[f64], labels: &[bool]) -> Result<()> {
    check_rows("scores", labels.len(), scores.len())?;
    check_finite_scores(scores)?;
    check_both_classes("scores", labels)
}

/// Errors at the first NaN or infinity.
pub(crate) fn check_finite_scores(scores: &[f64]) -> Result<()> {
    match scores.iter().enumerate().find(|(_, score)| !score.is_finite()) {
        Some((row, value)) => Err(Error::NonFiniteScore { row, value: *value }),
        None => Ok(()),
    }
}
