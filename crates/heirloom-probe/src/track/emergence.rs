//! The step at which a quantity leaves the base's.
//!
//! "Leaves" is read as: the interval of the paired difference from the base excludes zero. Waiting until two separate intervals no longer touch
//! would throw away that both were measured on the same scenarios; in a slow rise it names a step two to three checkpoints later
//! (`tests/probe/track.rs`).
//!
//! The first checkpoint outside is reported, but it is the best of as many tries as there are checkpoints: where nothing happened, eight of them
//! named one in 9–26 % of simulations. The *lasting* crossing is the number to publish: from it on, every checkpoint lies outside on one side. It
//! cannot exist unless the last checkpoint is outside, so however many checkpoints there are, where nothing happened it is named no more often than
//! one interval errs (in 1–4 % of the same simulations).
//!
//! Either is a step of detection: more scenarios detect the same rise earlier. Compare arms that were measured alike, or their half-rise steps
//! ([`super::lead()`]), which do not depend on how much was measured.

use rand_chacha::ChaCha8Rng;

use super::beyond::lasting;
use super::{Track, side};
use crate::bootstrap::Resampling;
use crate::error::Result;
use crate::rate::Estimate;

/// When a quantity leaves its first checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Emergence {
    /// Of all runs together.
    pub crossing: Crossing,
    /// Difference from the first checkpoint at each later step.
    pub differences: Vec<(usize, Estimate)>,
    /// Lasting step of each run alone, by its own scenarios; none where it never leaves for good.
    pub by_run: Vec<(usize, Option<usize>)>,
    /// The median of those; none with a single run.
    pub median: Option<MedianStep>,
}

/// Steps at which intervals leave zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossing {
    /// First checkpoint outside.
    pub first: Option<usize>,
    /// First checkpoint from which on all are outside, on the same side.
    pub lasting: Option<usize>,
}

/// The step by which half of all seeds have left, from those that were run.
///
/// Its ends are order statistics, whose coverage is exact whatever the distribution over seeds: between the j-th step from either end of `n` lies the
/// median with probability `1 − 2 P(Bin(n, ½) < j)`. A bootstrap of three seeds cannot draw anything beyond those three either, but would call their
/// range a 95 % interval; it holds the median with 75 %. Six seeds are the fewest that reach 95 %.
///
/// **Source** Conover 1999, Practical Nonparametric Statistics, section 3.2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MedianStep {
    /// First step by which at least half of the runs have left; none when more than half never do.
    pub step: Option<usize>,
    /// Lower end; none is "never".
    pub low: Option<usize>,
    /// Upper end; none is "never".
    pub high: Option<usize>,
    /// Probability that the ends hold the median of all seeds: at least what was asked where the runs are enough for it, else what their range has.
    pub level: f64,
    /// Runs.
    pub runs: usize,
}

impl MedianStep {
    /// Level and method in words, as in `75 % order statistics of 3 seeds`; `run` is the plural of what a run is.
    pub fn describe(&self, run: &str) -> String {
        format!("{} % order statistics of {} {run}", (1000.0 * self.level).round() / 10.0, self.runs)
    }
}

/// When a quantity leaves its first checkpoint: first and lasting crossing of all runs, and of each run alone.
///
/// **Errors** when a checkpoint lacks a run or cluster of the first one, or a run has fewer than two clusters.
///
/// **Determinism** every checkpoint sees the same resamples.
///
/// **Cost** two bootstraps of the difference per checkpoint.
pub fn emergence(track: &Track, resampling: Resampling, rng: &ChaCha8Rng) -> Result<Emergence> {
    let differences = track.differences(resampling, rng)?;
    let mut by_run = vec![];
    for run in track.runs() {
        let own = track.of_run(run).differences(resampling, rng)?;
        by_run.push((run, crossing(&own).lasting));
    }
    let lasting: Vec<Option<usize>> = by_run.iter().map(|(_, step)| *step).collect();
    let median = (lasting.len() > 1).then(|| median(lasting, resampling.level));
    Ok(Emergence { crossing: crossing(&differences), differences, by_run, median })
}

fn crossing(differences: &[(usize, Estimate)]) -> Crossing {
    let sides: Vec<(usize, Option<f64>)> =
        differences.iter().map(|(step, estimate)| (*step, side(estimate))).collect();
    Crossing {
        first: sides.iter().find(|(_, side)| side.is_some()).map(|(step, _)| *step),
        lasting: lasting(&sides),
    }
}

fn median(mut steps: Vec<Option<usize>>, level: f64) -> MedianStep {
    // Never is later than any step.
    steps.sort_by_key(|step| step.unwrap_or(usize::MAX));
    let n = steps.len();
    let (mut tail, mut probability) = (0.0, 0.5_f64.powi(i32::try_from(n).unwrap_or(i32::MAX)));
    let mut ends = (0, 1.0 - 2.0 * probability);
    for dropped in 0..n.div_ceil(2) {
        // `tail` is P(Bin(n, ½) ≤ dropped): dropping that many steps from either end leaves this coverage.
        tail += probability;
        probability *= (n - dropped) as f64 / (dropped + 1) as f64;
        if 1.0 - 2.0 * tail >= level {
            ends = (dropped, 1.0 - 2.0 * tail);
        }
    }
    let (dropped, level) = ends;
    MedianStep { step: steps[(n - 1) / 2], low: steps[dropped], high: steps[n - 1 - dropped], level, runs: n }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_median_are_the_tabled_order_statistics() {
        // Ranks and coverage of the 95 % interval of a median, Conover 1999 from Table A3.
        for (n, rank, coverage) in [
            (2, 1, 0.5),
            (3, 1, 0.75),
            (5, 1, 0.9375),
            (6, 1, 0.96875),
            (10, 2, 0.978_515_625),
            (20, 6, 0.9586),
        ] {
            let found = median((1..=n).map(Some).collect(), 0.95);
            assert_eq!((found.low, found.high), (Some(rank), Some(n + 1 - rank)), "{n} seeds");
            assert!((found.level - coverage).abs() < 1e-4, "{n} seeds: {}", found.level);
        }
        let found = median(vec![None, Some(8), Some(4)], 0.95);
        assert_eq!((found.step, found.low, found.high), (Some(8), Some(4), None));
        assert_eq!(found.describe("seeds"), "75 % order statistics of 3 seeds");
    }

    #[test]
    fn a_crossing_lasts_only_to_the_end_and_on_one_side() {
        let at = |low: f64, high: f64| Estimate {
            value: f64::midpoint(low, high),
            low,
            high,
            level: 0.95,
            n: 4,
            clusters: 2,
            runs: 2,
            widened: crate::rate::Widened::T,
        };
        let (out, inside, below) = (at(0.1, 0.3), at(-0.1, 0.1), at(-0.3, -0.1));
        for (case, sides, first, lasting) in [
            ("never", vec![inside, inside, inside], None, None),
            ("comes and stays", vec![inside, out, out], Some(2), Some(2)),
            ("comes back", vec![out, inside, out], Some(1), Some(3)),
            ("goes away", vec![inside, out, inside], Some(2), None),
            ("changes sides", vec![out, below, below], Some(1), Some(2)),
        ] {
            let steps: Vec<(usize, Estimate)> = (1..).zip(sides).collect();
            assert_eq!(crossing(&steps), Crossing { first, lasting }, "{case}");
        }
    }
}
