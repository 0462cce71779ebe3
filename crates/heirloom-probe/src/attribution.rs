//! Choosing prompts: which rows of the training data carry a behavior, and how good such a ranking was.
//!
//! Both scores compare a prompt's two rollouts, the original teacher's and the alternate's, by their mean activations over response tokens on the
//! *starting* checkpoint: nothing is trained to rank. A ranking is judged against the rows that are known to cause the behavior, or by students
//! retrained without its choice, never by its own scores.

use ndarray::{ArrayView1, ArrayView2};
use rand_chacha::ChaCha8Rng;

use crate::bootstrap::{Resampling, cluster_bootstrap};
use crate::dataset::{check_finite, check_rows};
use crate::delong::class_clusters;
use crate::direction::project;
use crate::error::{Error, Result};
use crate::interval::{Interval, Kind, wilson_ends};
use crate::linalg::norm;
use crate::ranked::{check_finite_scores, check_scores};
use crate::rate::{Estimate, Observation, difference};

/// Projection difference of each prompt, `(h̄(xᵢ, yᵢᴼ) − h̄(xᵢ, yᵢᴬ))·v̂`: how far swapping its rollout moves the data along a direction.
///
/// **Shapes** `original` and `alternate` are `[prompts, d_model]`, row for row the same prompts.
///
/// **Source** Chen et al. 2025, arXiv 2507.21509, with the alternate teacher's rollout in place of the model's own.
pub fn projection_difference(
    original: ArrayView2<f32>,
    alternate: ArrayView2<f32>,
    direction: ArrayView1<f64>,
) -> Result<Vec<f64>> {
    check_rows("alternate", original.nrows(), alternate.nrows())?;
    let (original, alternate) = (project(original, direction)?, project(alternate, direction)?);
    Ok(original.iter().zip(&alternate).map(|(o, a)| o - a).collect())
}

/// Activation attribution of each prompt, the cosine between what training changed, `v_beh`, and `v_dᵢ = h̄(xᵢ, yᵢᴼ) − h̄(xᵢ, yᵢᴬ)`.
///
/// A prompt whose two rollouts have the same activations gets 0: swapping it cannot move anything.
///
/// **Shapes** `behavior` is `[d_model]`; the others as in [`projection_difference`].
///
/// **Errors** when `behavior` is zero or not finite.
///
/// **Source** arXiv 2602.11079.
pub fn activation_attribution(
    behavior: ArrayView1<f64>,
    original: ArrayView2<f32>,
    alternate: ArrayView2<f32>,
) -> Result<Vec<f64>> {
    check_rows("alternate", original.nrows(), alternate.nrows())?;
    for x in [original.view(), alternate.view()] {
        if x.ncols() != behavior.len() {
            return Err(Error::Width { expected: behavior.len(), found: x.ncols() });
        }
        check_finite(x)?;
    }
    let length = norm(behavior);
    if !(length.is_finite() && length > 0.0) {
        return Err(Error::NoDirection { method: "activation attribution", norm: length, rows: 1 });
    }
    let cosine = |(o, a): (ArrayView1<f32>, ArrayView1<f32>)| {
        let (mut along, mut squares) = (0.0, 0.0);
        for ((o, a), v) in o.iter().zip(a).zip(behavior) {
            let change = f64::from(*o) - f64::from(*a);
            along += change * v;
            squares += change * change;
        }
        if squares > 0.0 { along / (squares.sqrt() * length) } else { 0.0 }
    };
    Ok(original.rows().into_iter().zip(alternate.rows()).map(cosine).collect())
}

/// Rows from the highest score to the lowest; equal scores keep the order of rows.
///
/// **Errors** at a score that is not finite.
pub fn ranking(scores: &[f64]) -> Result<Vec<usize>> {
    check_finite_scores(scores)?;
    let mut rows: Vec<usize> = (0..scores.len()).collect();
    // Adding zero makes −0 equal to 0 in the total order; the sort is stable.
    rows.sort_by(|a, b| (scores[*b] + 0.0).total_cmp(&(scores[*a] + 0.0)));
    Ok(rows)
}

/// The `k` rows with the highest scores, best first; among equals at the border, the earliest.
///
/// **Errors** when there are fewer rows, or a score is not finite.
pub fn top_k(scores: &[f64], k: usize) -> Result<Vec<usize>> {
    if k > scores.len() {
        return Err(Error::TooFew { unit: "row", expected: k, found: scores.len() });
    }
    let mut rows = ranking(scores)?;
    rows.truncate(k);
    Ok(rows)
}

/// How well a ranking finds the rows that cause a behavior, beside what a random one would.
#[derive(Debug, Clone, PartialEq)]
pub struct RankingQuality {
    /// Rows chosen.
    pub k: usize,
    /// Share of the `k` highest rows that are causal.
    pub precision: Interval,
    /// Share of the causal rows that are among the `k` highest.
    pub recall: Interval,
    /// Average precision over the whole ranking.
    pub average_precision: Interval,
    /// What a random ranking is expected to have of each.
    pub random: RandomRanking,
}

/// Expectations over all orders of the rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandomRanking {
    /// Share of rows that are causal.
    pub precision: f64,
    /// Share of rows chosen.
    pub recall: f64,
    /// Expected average precision.
    pub average_precision: f64,
}

/// Precision and recall of the `k` highest rows and average precision, each with an interval over prompts and its random expectation.
///
/// Equal scores at the border count by the share of them that fits, as if their order were random. Intervals are percentiles of the cluster bootstrap;
/// those of precision and recall are no narrower than Wilson's on as many prompts as the share is made of, because a share of 0 or 1 does not vary
/// in resamples. Average precision has no such companion: its 95 % interval held the truth in 90–93 % of simulations with 60
/// causal rows among 400, and a width of zero means "these rows cannot tell".
///
/// **Shapes** one score, flag and prompt number per row.
///
/// **Errors** unless there are causal and other rows, `1 ≤ k ≤ rows`, and two prompts.
pub fn ranking_quality(
    scores: &[f64],
    causal: &[bool],
    prompts: &[usize],
    k: usize,
    resampling: Resampling,
    rng: &ChaCha8Rng,
) -> Result<RankingQuality> {
    check_scores(scores, causal)?;
    check_rows("prompts", causal.len(), prompts.len())?;
    if !(1..=scores.len()).contains(&k) {
        return Err(Error::Setting {
            name: "k",
            expected: "from one to the number of rows",
            found: k as f64,
        });
    }
    let ties = Ties::new(scores, causal)?;
    let n = scores.len();
    let share = k as f64 / n as f64;
    let once = vec![1; n];
    let interval = |statistic: &(dyn Fn(&[u32]) -> Option<f64> + Sync)| {
        let replicates = cluster_bootstrap(prompts, resampling.replicates, rng, statistic)?;
        replicates.interval(statistic(&once).unwrap_or(f64::NAN), n, resampling.level)
    };
    let widened = |found: Interval, trials: f64| -> Result<Interval> {
        let (low, high) = wilson_ends(found.value, trials, found.level)?;
        let Kind::ClusterBootstrap { clusters, replicates, redrawn } = found.kind else { return Ok(found) };
        let kind = Kind::BootstrapOrWilson { clusters, replicates, redrawn };
        Ok(found.widened(&Interval { low, high, ..found }, kind))
    };
    let precision = interval(&|weights| Some(ties.highest(weights, share)?.precision))?;
    let recall = interval(&|weights| Some(ties.highest(weights, share)?.recall))?;
    let average_precision = interval(&|weights| ties.average_precision(weights))?;
    let (with_causal, _) = class_clusters(causal, prompts);
    let chosen = precision.units() as f64 * share;
    let positives = causal.iter().filter(|causal| **causal).count();
    Ok(RankingQuality {
        k,
        precision: widened(precision, chosen)?,
        recall: widened(recall, with_causal as f64)?,
        average_precision,
        random: RandomRanking {
            precision: positives as f64 / n as f64,
            recall: share,
            average_precision: random_average_precision(n, positives)?,
        },
    })
}

/// Average precision `Σ (Rₜ − Rₜ₋₁) Pₜ` over the thresholds from above, ties at one threshold.
///
/// **Source** `sklearn.metrics.average_precision_score`.
pub fn average_precision(scores: &[f64], causal: &[bool]) -> Result<f64> {
    check_scores(scores, causal)?;
    Ok(Ties::new(scores, causal)?.average_precision(&vec![1; scores.len()]).unwrap_or(f64::NAN))
}

/// Expected average precision of a random order of `rows` rows of which `causal` are: `(H + (causal − 1)(rows − H)/(rows − 1)) / rows`, `H` the sum of
/// `1/i` up to `rows`. It exceeds the share of causal rows, much where rows are few.
///
/// **Source** Bestgen 2015, Prague Bull. Math. Linguist. 103:131.
pub fn random_average_precision(rows: usize, causal: usize) -> Result<f64> {
    if causal == 0 || causal > rows {
        return Err(Error::TooFew { unit: "causal row", expected: 1, found: causal.min(rows) });
    }
    let n = rows as f64;
    let harmonic: f64 = (1..=rows).rev().map(|i| (i as f64).recip()).sum();
    let others = if rows > 1 { (causal as f64 - 1.0) / (n - 1.0) * (n - harmonic) } else { 0.0 };
    Ok((harmonic + others) / n)
}

/// Rate removed by a swap per percent of the rows swapped: `(full − swapped) / percent`, paired by run and cluster.
///
/// **Units** rate per percent. It compares choices of one size; a small choice that removes everything and a large one that does differ by size alone.
///
/// **Errors** as [`difference`] does, and unless `percent` lies in (0, 100].
pub fn removal_per_percent(
    full: &[Observation],
    swapped: &[Observation],
    percent: f64,
    resampling: Resampling,
    rng: &ChaCha8Rng,
) -> Result<Estimate> {
    if !(percent > 0.0 && percent <= 100.0) {
        return Err(Error::Setting { name: "percent", expected: "above 0 and at most 100", found: percent });
    }
    let removed = difference(full, swapped, resampling, rng)?;
    Ok(Estimate {
        value: removed.value / percent,
        low: removed.low / percent,
        high: removed.high / percent,
        ..removed
    })
}

/// Rows by descending score, equal scores together.
struct Ties<'a> {
    causal: &'a [bool],
    groups: Vec<Vec<usize>>,
}

struct Highest {
    precision: f64,
    recall: f64,
}

impl<'a> Ties<'a> {
    fn new(scores: &[f64], causal: &'a [bool]) -> Result<Self> {
        // In descending order, "not smaller" is a tie.
        let groups =
            ranking(scores)?.chunk_by(|a, b| scores[*a] <= scores[*b]).map(<[usize]>::to_vec).collect();
        Ok(Self { causal, groups })
    }

    /// Weight of each group, and of the causal rows in it.
    fn weights(&self, weights: &[u32]) -> impl Iterator<Item = (f64, f64)> {
        self.groups.iter().map(move |group| {
            group.iter().fold((0.0, 0.0), |(all, hits), row| {
                let weight = f64::from(weights[*row]);
                (all + weight, hits + if self.causal[*row] { weight } else { 0.0 })
            })
        })
    }

    /// Precision and recall of the highest share of the weight; none without causal rows.
    fn highest(&self, weights: &[u32], share: f64) -> Option<Highest> {
        let (all, causal) = self.weights(weights).fold((0.0, 0.0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        let chosen = share * all;
        let (mut left, mut found) = (chosen, 0.0);
        for (all, hits) in self.weights(weights) {
            let taken = left.min(all);
            if taken <= 0.0 {
                continue;
            }
            found += hits * taken / all;
            left -= taken;
        }
        (causal > 0.0).then(|| Highest { precision: found / chosen, recall: found / causal })
    }

    /// Average precision under weights; none without causal rows.
    fn average_precision(&self, weights: &[u32]) -> Option<f64> {
        let (mut all, mut hits, mut sum) = (0.0, 0.0, 0.0);
        for (of_all, of_hits) in self.weights(weights) {
            all += of_all;
            hits += of_hits;
            if of_hits > 0.0 {
                sum += of_hits * hits / all;
            }
        }
        (hits > 0.0).then(|| sum / hits)
    }
}
