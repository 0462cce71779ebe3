//! Resampling whole clusters, because the rows of a contrast pair or scenario are not independent.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::dataset::check_rows;
use crate::delong::class_clusters;
use crate::error::{Error, Result};
use crate::interval::{Interval, Kind, LEVEL, newcombe_auroc, quantile, two_sided_z};
use crate::random::stream;
use crate::ranked::Ranked;
use crate::score::tpr_at_fpr;

/// How often to resample, and how much to cover.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resampling {
    /// Bootstrap replicates.
    pub replicates: usize,
    /// Coverage of the interval.
    pub level: f64,
}

impl Default for Resampling {
    /// 2000 replicates, 95 %.
    fn default() -> Self {
        Self { replicates: 2000, level: LEVEL }
    }
}

/// The replicates of one statistic.
#[derive(Debug, Clone, PartialEq)]
pub struct Replicates {
    /// One value per replicate, in the order of streams; equal indices of two statistics saw the same clusters.
    pub values: Vec<f64>,
    /// Resamples thrown away because the statistic was undefined on them.
    pub redrawn: usize,
    /// Clusters drawn from.
    pub clusters: usize,
}

impl Replicates {
    /// Percentile interval around an estimate from `n` rows.
    pub fn interval(&self, value: f64, n: usize, level: f64) -> Result<Interval> {
        two_sided_z(level)?;
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let tail = (1.0 - level) / 2.0;
        let kind = Kind::ClusterBootstrap {
            clusters: self.clusters,
            replicates: self.values.len(),
            redrawn: self.redrawn,
        };
        let (low, high) = (quantile(&sorted, tail), quantile(&sorted, 1.0 - tail));
        Ok(Interval { value, low, high, level, n, kind })
    }
}

const ATTEMPTS: usize = 1000;

/// Replicates of any statistic of row weights.
///
/// Each replicate draws as many clusters as there are, with replacement, and hands `statistic` how often each row was drawn. A resample on which the
/// statistic is none, such as one with a single class, is drawn again and counted.
///
/// **Errors** with fewer than two clusters, or when a replicate finds no defined resample.
///
/// **Determinism** replicate `i` uses stream `i` of `rng`, whatever the number of threads.
pub fn cluster_bootstrap(
    clusters: &[usize],
    replicates: usize,
    rng: &ChaCha8Rng,
    statistic: impl Fn(&[u32]) -> Option<f64> + Sync,
) -> Result<Replicates> {
    let mut present = clusters.to_vec();
    present.sort_unstable();
    present.dedup();
    if present.len() < 2 {
        return Err(Error::TooFew { unit: "cluster", expected: 2, found: present.len() });
    }
    if replicates < 2 {
        return Err(Error::TooFew { unit: "replicate", expected: 2, found: replicates });
    }
    let mut slot = vec![0; present.last().map_or(0, |last| last + 1)];
    for (index, cluster) in present.iter().enumerate() {
        slot[*cluster] = index;
    }
    let slots: Vec<usize> = clusters.iter().map(|cluster| slot[*cluster]).collect();
    let one = |replicate: usize| {
        let mut rng = stream(rng, replicate as u64);
        for attempt in 0..ATTEMPTS {
            let mut drawn = vec![0_u32; present.len()];
            for _ in 0..present.len() {
                drawn[rng.gen_range(0..present.len())] += 1;
            }
            let weights: Vec<u32> = slots.iter().map(|slot| drawn[*slot]).collect();
            if let Some(value) = statistic(&weights) {
                return Ok((value, attempt));
            }
        }
        Err(Error::OneClassReplicates { attempts: ATTEMPTS, clusters: present.len() })
    };
    // Which replicate fails first depends on threads, so the error does not name it.
    let drawn: Vec<(f64, usize)> = (0..replicates).into_par_iter().map(one).collect::<Result<_>>()?;
    Ok(Replicates {
        redrawn: drawn.iter().map(|(_, attempts)| attempts).sum(),
        values: drawn.into_iter().map(|(value, _)| value).collect(),
        clusters: present.len(),
    })
}

/// Below this many clusters, percentiles cover too little (0.85 at 8 scenarios, 0.92 at 20: `tests/probe/coverage.rs`).
pub const FEW_CLUSTERS: usize = 40;

/// AUROC with the interval to publish.
///
/// Percentiles of the cluster bootstrap, except where they are known to claim too much: with fewer than [`FEW_CLUSTERS`] clusters, or so close to
/// 0 or 1 that resamples hardly vary (at exactly 1 every resample is 1), each end is the wider of the bootstrap's and of Newcombe's interval on the
/// numbers of clusters that hold a positive and a negative. The kind says which it was.
///
/// **Errors** when a class is missing, a score is not finite, or there are fewer than two clusters.
pub fn auroc_interval(
    scores: &[f64],
    labels: &[bool],
    clusters: &[usize],
    resampling: Resampling,
    rng: &ChaCha8Rng,
) -> Result<Interval> {
    ranked_interval(&Ranked::new(scores, labels)?, labels, clusters, resampling, rng)
}

/// The same for scores that were ranked within strata.
pub fn ranked_interval(
    ranked: &Ranked,
    labels: &[bool],
    clusters: &[usize],
    resampling: Resampling,
    rng: &ChaCha8Rng,
) -> Result<Interval> {
    check_rows("clusters", labels.len(), clusters.len())?;
    let value = ranked.auroc();
    let replicates =
        cluster_bootstrap(clusters, resampling.replicates, rng, |weights| ranked.weighted(weights))?;
    let bootstrap = replicates.interval(value, labels.len(), resampling.level)?;
    let (positives, negatives) = class_clusters(labels, clusters);
    // A miss in fewer than about five clusters' worth of comparisons is too rare an event to resample.
    let near_end = value.min(1.0 - value) * (positives.min(negatives) as f64) < 5.0;
    if replicates.clusters >= FEW_CLUSTERS && !near_end {
        return Ok(bootstrap);
    }
    let newcombe = newcombe_auroc(value, positives, negatives, labels.len(), resampling.level)?;
    let Replicates { redrawn, clusters, values } = replicates;
    let kind = Kind::BootstrapOrNewcombe { clusters, replicates: values.len(), redrawn };
    Ok(bootstrap.widened(&newcombe, kind))
}

/// True positive rate at a bound on the false positive rate, with the interval to publish: each resample finds its own threshold, so the interval
/// holds the threshold's uncertainty too, which [`crate::score::tpr_at_fpr`]'s Wilson interval leaves out.
///
/// With few negatives a single one sets the threshold and the interval is wide; that is what such data can say.
pub fn tpr_at_fpr_interval(
    scores: &[f64],
    labels: &[bool],
    clusters: &[usize],
    limit: f64,
    resampling: Resampling,
    rng: &ChaCha8Rng,
) -> Result<Interval> {
    check_rows("clusters", labels.len(), clusters.len())?;
    let known = tpr_at_fpr(scores, labels, limit, resampling.level)?.tpr;
    let mut rows: Vec<usize> = (0..scores.len()).collect();
    rows.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    // Descending order, so "not smaller" is a tie.
    let ties: Vec<&[usize]> = rows.chunk_by(|a, b| scores[*a] <= scores[*b]).collect();
    let count = |weights: &[u32], rows: &[usize], class: bool| -> f64 {
        rows.iter().filter(|row| labels[**row] == class).map(|row| f64::from(weights[*row])).sum()
    };
    let statistic = |weights: &[u32]| {
        let (positives, negatives) = (count(weights, &rows, true), count(weights, &rows, false));
        if positives <= 0.0 || negatives <= 0.0 {
            return None;
        }
        let (mut hits, mut alarms, mut best) = (0.0, 0.0, 0.0);
        for tie in &ties {
            hits += count(weights, tie, true);
            alarms += count(weights, tie, false);
            if alarms > limit * negatives + 1e-9 {
                break;
            }
            best = hits;
        }
        Some(best / positives)
    };
    let replicates = cluster_bootstrap(clusters, resampling.replicates, rng, statistic)?;
    let bootstrap = replicates.interval(known.value, labels.len(), resampling.level)?;
    // At 0 and 1 resamples hardly vary; Wilson's interval, which takes the threshold as known, is the least there is.
    let Replicates { redrawn, clusters, values } = replicates;
    let kind = Kind::BootstrapOrWilson { clusters, replicates: values.len(), redrawn };
    Ok(bootstrap.widened(&known, kind))
}

/// Difference of two AUROCs of the same rows, from the same resamples.
///
/// It has no fallback near the ends: read a zero-width interval as "these rows cannot tell".
pub fn auroc_difference(
    first: &[f64],
    second: &[f64],
    labels: &[bool],
    clusters: &[usize],
    resampling: Resampling,
    rng: &ChaCha8Rng,
) -> Result<Interval> {
    check_rows("clusters", labels.len(), clusters.len())?;
    let (first, second) = (Ranked::new(first, labels)?, Ranked::new(second, labels)?);
    let difference = |weights: &[u32]| Some(first.weighted(weights)? - second.weighted(weights)?);
    let replicates = cluster_bootstrap(clusters, resampling.replicates, rng, difference)?;
    replicates.interval(first.auroc() - second.auroc(), labels.len(), resampling.level)
}
