//! Which of two quantities moves first.
//!
//! Each is reduced to its half-rise step, at which it has covered half of its own way from the first checkpoint to the last. That asks for no common
//! scale, and unlike a step of detection it does not come earlier for the quantity that was measured with less noise. Positions are
//! `log₂(1 + step)`, which exists at step 0 and counts doublings of training.
//!
//! The half-rise is read from the isotonic fit of the curve in the direction it moves: a noisy curve crosses its half several times, its isotonic
//! fit once, and first crossings alone would name the noisier quantity the leader.
//!
//! A lead is not a cause. A rate that is a threshold of a projection rises when the projection passes the threshold, so it may lag or lead by half
//! of its way although nothing else happens.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{Track, side};
use crate::bootstrap::{Replicates, Resampling};
use crate::error::{Error, Result};
use crate::interval::{Kind, student_t};
use crate::parallel::in_order;
use crate::random::stream;
use crate::rate::{Estimate, Widened};

/// Which of two quantities moves first, where that can be said.
#[derive(Debug, Clone, PartialEq)]
pub enum Lead {
    /// Both move.
    Lag(Lag),
    /// There is nothing to time.
    Undefined(Undefined),
}

/// Why there is no lag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undefined {
    /// The interval of the first quantity's difference between its ends holds zero.
    FirstDoesNotMove,
    /// That of the second does.
    SecondDoesNotMove,
    /// Those of both do.
    NeitherMoves,
    /// Both move over all runs, but in no single run do both.
    NoRunMovesBoth,
}

/// How much later the second quantity moves than the first.
#[derive(Debug, Clone, PartialEq)]
pub struct Lag {
    /// `log₂(1 + step of the second) − log₂(1 + step of the first)`, mean over runs: positive where the first leads, 1 where it needs half the steps.
    pub octaves: Estimate,
    /// Half-rise steps of each run in which both move.
    pub by_run: Vec<HalfRises>,
    /// Runs left out because one of the two does not move in them.
    pub left_out: Vec<usize>,
}

impl Lag {
    /// Whether the first quantity leads; none when the interval holds zero.
    pub fn first_leads(&self) -> Option<bool> {
        side(&self.octaves).map(|side| side > 0.0)
    }
}

/// Steps at which two quantities have covered half of their ways in one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HalfRises {
    /// The run.
    pub run: usize,
    /// Of the first quantity; between checkpoints it is interpolated.
    pub first: f64,
    /// Of the second.
    pub second: f64,
}

/// How much later `second` moves than `first`, over the runs in which both move.
///
/// A quantity moves when the interval of its difference between the last checkpoint and the first excludes zero, over all runs and on the same side
/// within the run. What rises and falls back does not, and is said not to. Within runs, because seeds that turn at different times would otherwise
/// be blurred into one slow curve.
///
/// The interval is the wider, on each side, of a bootstrap that draws runs and then their clusters, both quantities and all checkpoints together,
/// and of Student's t over the runs' lags (over jackknife pseudo-values of the clusters where a single run is left). Nothing is known finer than
/// the spacing of checkpoints.
///
/// **Errors** when the two were not measured at the same checkpoints on the same runs and clusters.
///
/// **Determinism** replicate `i` uses stream `i` of `rng`.
pub fn lead(first: &Track, second: &Track, resampling: Resampling, rng: &ChaCha8Rng) -> Result<Lead> {
    if first.steps() != second.steps() {
        return Err(Error::CheckpointsDiffer { first: first.steps(), second: second.steps() });
    }
    let tracks = [first.ends(), second.ends()];
    let mut sides = [None; 2];
    for (side, track) in sides.iter_mut().zip(&tracks) {
        *side = moves(track, resampling, rng)?;
    }
    let [first_side, second_side] = match sides {
        [Some(first), Some(second)] => [first, second],
        [None, Some(_)] => return Ok(Lead::Undefined(Undefined::FirstDoesNotMove)),
        [Some(_), None] => return Ok(Lead::Undefined(Undefined::SecondDoesNotMove)),
        [None, None] => return Ok(Lead::Undefined(Undefined::NeitherMoves)),
    };
    let (mut runs, mut left_out) = (vec![], vec![]);
    let mut paired = paired(first, second)?;
    for run in first.runs() {
        let mut both = true;
        for (side, track) in sides.iter().zip(&tracks) {
            both &= moves(&track.of_run(run), resampling, rng)? == *side;
        }
        if both { runs.push(run) } else { left_out.push(run) }
    }
    if runs.is_empty() {
        return Ok(Lead::Undefined(Undefined::NoRunMovesBoth));
    }
    paired.retain(|(run, _)| runs.contains(run));
    let timing = Timing {
        octaves: first.steps().iter().map(|step| (*step as f64).ln_1p() / std::f64::consts::LN_2).collect(),
        sides: [first_side, second_side],
        runs: runs.iter().map(|own| clusters(&paired, *own)).collect(),
    };
    let halves = timing.runs.iter().map(|run| timing.halves(run)).collect::<Option<Vec<_>>>();
    // A run whose ends differ by more than their interval has a half, so only the last runs' rounding could get here.
    let Some(halves) = halves else { return Ok(Lead::Undefined(Undefined::NoRunMovesBoth)) };
    let n = [first, second].into_iter().flat_map(|track| &track.checkpoints).flat_map(|(_, seen)| seen);
    let n = n.filter(|seen| runs.contains(&seen.run)).count();
    let octaves = timing.estimate(&halves, n, resampling, rng)?;
    let step = |octave: f64| octave.exp2() - 1.0;
    let of_run = |(run, [first, second]): (&usize, &[f64; 2])| HalfRises {
        run: *run,
        first: step(*first),
        second: step(*second),
    };
    Ok(Lead::Lag(Lag { octaves, by_run: runs.iter().zip(&halves).map(of_run).collect(), left_out }))
}

fn moves(ends: &Track, resampling: Resampling, rng: &ChaCha8Rng) -> Result<Option<f64>> {
    Ok(ends.differences(resampling, rng)?.last().and_then(|(_, estimate)| side(estimate)))
}

/// The curves of one cluster: of the first and of the second quantity.
type Pair = [Vec<f64>; 2];

fn clusters(paired: &[(usize, Pair)], run: usize) -> Vec<Pair> {
    paired.iter().filter(|(of, _)| *of == run).map(|(_, pair)| pair.clone()).collect()
}

/// Curves of both quantities by run, in the order of clusters.
fn paired(first: &Track, second: &Track) -> Result<Vec<(usize, Pair)>> {
    let (first, mut second) = (first.curves()?, second.curves()?);
    let mut pairs = vec![];
    for ((run, cluster), one) in first {
        let Some(other) = second.remove(&(run, cluster)) else {
            return Err(Error::Unpaired { run, cluster, missing: "second" });
        };
        pairs.push((run, [one, other]));
    }
    match second.into_keys().next() {
        Some((run, cluster)) => Err(Error::Unpaired { run, cluster, missing: "first" }),
        None => Ok(pairs),
    }
}

const ATTEMPTS: usize = 1000;

/// Two quantities whose ways are timed.
struct Timing {
    /// Position of each checkpoint.
    octaves: Vec<f64>,
    /// Which way each quantity moves.
    sides: [f64; 2],
    /// Clusters of each run.
    runs: Vec<Vec<Pair>>,
}

impl Timing {
    /// Half-rise positions of the mean curves of clusters; none when a quantity ends where it started or on the other side.
    fn halves<'a>(&self, clusters: impl IntoIterator<Item = &'a Pair>) -> Option<[f64; 2]> {
        let mut sums = [0, 1].map(|_| vec![0.0; self.octaves.len()]);
        for pair in clusters {
            for (sum, curve) in sums.iter_mut().zip(pair) {
                for (sum, value) in sum.iter_mut().zip(curve) {
                    *sum += value;
                }
            }
        }
        let [first, second] = sums;
        Some([
            half_rise(&first, self.sides[0], &self.octaves)?,
            half_rise(&second, self.sides[1], &self.octaves)?,
        ])
    }

    fn estimate(
        &self,
        halves: &[[f64; 2]],
        n: usize,
        Resampling { replicates, level }: Resampling,
        rng: &ChaCha8Rng,
    ) -> Result<Estimate> {
        let lags: Vec<f64> = halves.iter().map(|[first, second]| second - first).collect();
        let value = lags.iter().sum::<f64>() / lags.len() as f64;
        let clusters = self.runs.iter().map(Vec::len).sum();
        let values = in_order((0..replicates).into_par_iter().map(|index| self.replicate(index, rng)))?;
        let bootstrap = Replicates { values, redrawn: 0, clusters }.interval(value, n, level)?;
        let units = if lags.len() > 1 { lags } else { self.pseudo_values(value) };
        let closed = student_t(&units, level)?;
        // The jackknife's center is not the estimate; only its width is meant.
        let (below, above) = (closed.value - closed.low, closed.high - closed.value);
        let closed = crate::Interval { low: value - below, high: value + above, ..closed };
        let widest = bootstrap.widened(&closed, Kind::StudentT);
        Ok(Estimate {
            value,
            low: widest.low,
            high: widest.high,
            level,
            n,
            clusters,
            runs: self.runs.len(),
            widened: Widened::T,
        })
    }

    /// The mean lag of as many runs as there are, each drawn with as many of its clusters as it has.
    fn replicate(&self, index: usize, rng: &ChaCha8Rng) -> Result<f64> {
        let mut rng = stream(rng, index as u64);
        let mut total = 0.0;
        for _ in 0..self.runs.len() {
            let run = &self.runs[rng.gen_range(0..self.runs.len())];
            // A resample may leave a quantity where it started. Its run moves, so that is rare, and it is drawn again.
            let drawn = (0..ATTEMPTS).find_map(|_| {
                let clusters: Vec<&Pair> =
                    (0..run.len()).map(|_| &run[rng.gen_range(0..run.len())]).collect();
                self.halves(clusters)
            });
            let [first, second] =
                drawn.ok_or(Error::TooFew { unit: "moving resample", expected: 1, found: 0 })?;
            total += second - first;
        }
        Ok(total / self.runs.len() as f64)
    }

    /// Jackknife pseudo-values of a single run's lag over its clusters.
    fn pseudo_values(&self, value: f64) -> Vec<f64> {
        let run = &self.runs[0];
        let n = run.len() as f64;
        let without = |left_out: usize| {
            let rest = run.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, pair)| pair);
            // One cluster cannot hold up a difference that its interval excludes zero for; were it so, it would decide nothing.
            self.halves(rest).map_or(value, |[first, second]| second - first)
        };
        (0..run.len()).map(|left_out| n * value - (n - 1.0) * without(left_out)).collect()
    }
}

/// Position at which the isotonic fit of a curve has covered half of its way, linear between checkpoints.
fn half_rise(curve: &[f64], side: f64, octaves: &[f64]) -> Option<f64> {
    let fit = isotonic(curve.iter().map(|value| side * value));
    let (low, high) = (*fit.first()?, *fit.last()?);
    let half = f64::midpoint(low, high);
    let after = fit.iter().position(|value| *value >= half).filter(|after| *after > 0 && high > low)?;
    let share = (half - fit[after - 1]) / (fit[after] - fit[after - 1]);
    Some(octaves[after - 1] + share * (octaves[after] - octaves[after - 1]))
}

/// The nearest curve in squares that never falls: neighbors in the wrong order are pooled.
fn isotonic(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = vec![];
    for value in values {
        let (mut sum, mut n) = (value, 1);
        while let Some((below, m)) = pools.pop_if(|(below, m)| *below / *m as f64 >= sum / n as f64) {
            sum += below;
            n += m;
        }
        pools.push((sum, n));
    }
    pools.into_iter().flat_map(|(sum, n)| std::iter::repeat_n(sum / n as f64, n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isotonic_fits_are_scikit_learns() {
        // sklearn.isotonic.IsotonicRegression, scikit-learn 1.9.1.
        for (values, expected) in [
            (vec![1.0, 2.0, 3.0], vec![1.0, 2.0, 3.0]),
            (vec![3.0, 2.0, 1.0], vec![2.0, 2.0, 2.0]),
            (vec![1.0, 3.0, 2.0, 4.0], vec![1.0, 2.5, 2.5, 4.0]),
            (vec![0.0, 4.0, 1.0, 1.0, 5.0, 3.0], vec![0.0, 2.0, 2.0, 2.0, 4.0, 4.0]),
        ] {
            assert_eq!(isotonic(values.iter().copied()), expected, "{values:?}");
        }
    }

    #[test]
    fn halves_are_interpolated_in_octaves_and_mirrored_by_the_side() {
        let octaves = [0.0, 1.0, 2.0, 3.0];
        for (case, curve, side, expected) in [
            ("a line", [0.0, 1.0, 2.0, 3.0], 1.0, Some(1.5)),
            ("a jump", [0.0, 0.0, 1.0, 1.0], 1.0, Some(1.5)),
            ("at a checkpoint", [0.0, 0.5, 0.8, 1.0], 1.0, Some(1.0)),
            ("falling", [3.0, 2.0, 1.0, 0.0], -1.0, Some(1.5)),
            ("a dip", [0.0, 2.0, 1.0, 3.0], 1.0, Some(1.0)),
            ("the other way", [3.0, 2.0, 1.0, 0.0], 1.0, None),
            ("still", [1.0; 4], 1.0, None),
        ] {
            assert_eq!(half_rise(&curve, side, &octaves), expected, "{case}");
        }
    }
}
