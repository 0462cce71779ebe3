//! A number with its interval, its n and the name of the method that made it; intervals of proportions, means and AUROC in closed form.

use std::fmt;

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use crate::error::{Error, Result};
use crate::ranked::check_finite_scores;

/// Which method an interval comes from, with the counts that only it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Wilson's score interval of a proportion.
    Wilson,
    /// Student's t interval of a mean.
    StudentT,
    /// Newcombe's hybrid of two intervals, for the difference of their values.
    NewcombeDifference,
    /// AUROC ± z × DeLong's standard error.
    DeLong {
        /// Clusters, as many as rows when each is its own.
        clusters: usize,
    },
    /// The same on the logit scale.
    DeLongLogit {
        /// Clusters, as many as rows when each is its own.
        clusters: usize,
    },
    /// Newcombe's score interval of an AUROC (his method 5).
    Newcombe {
        /// Clusters (or rows) with a positive.
        positives: usize,
        /// Clusters (or rows) with a negative.
        negatives: usize,
    },
    /// Percentiles of a bootstrap that draws whole clusters.
    ClusterBootstrap {
        /// Clusters drawn from.
        clusters: usize,
        /// Replicates.
        replicates: usize,
        /// Resamples thrown away because they held one class only.
        redrawn: usize,
    },
    /// The wider end, on each side, of the cluster bootstrap and Wilson's interval.
    BootstrapOrWilson {
        /// Clusters drawn from.
        clusters: usize,
        /// Replicates.
        replicates: usize,
        /// Resamples thrown away because they held one class only.
        redrawn: usize,
    },
    /// The wider end, on each side, of the cluster bootstrap and Newcombe's interval on clusters.
    BootstrapOrNewcombe {
        /// Clusters drawn from.
        clusters: usize,
        /// Replicates.
        replicates: usize,
        /// Resamples thrown away because they held one class only.
        redrawn: usize,
    },
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wilson => "wilson",
            Self::StudentT => "student-t",
            Self::NewcombeDifference => "newcombe-difference",
            Self::DeLong { .. } => "delong",
            Self::DeLongLogit { .. } => "delong-logit",
            Self::Newcombe { .. } => "newcombe",
            Self::ClusterBootstrap { .. } => "cluster-bootstrap",
            Self::BootstrapOrWilson { .. } => "cluster-bootstrap-or-wilson",
            Self::BootstrapOrNewcombe { .. } => "cluster-bootstrap-or-newcombe",
        })
    }
}

/// A value, the interval around it, and the number of rows (or trials) behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Coverage it was made for.
    pub level: f64,
    /// Rows or trials.
    pub n: usize,
    /// The method.
    pub kind: Kind,
}

impl Interval {
    /// The wider end, on each side, of this interval and another of the same value; `kind` says which two they are.
    #[must_use]
    pub(crate) fn widened(self, other: &Self, kind: Kind) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high), kind, ..self }
    }

    /// The part of it that lies between bounds no estimate can pass.
    #[must_use]
    pub(crate) fn within(self, least: f64, most: f64) -> Self {
        Self { low: self.low.max(least), high: self.high.min(most), ..self }
    }

    /// What it was drawn over: clusters for a cluster bootstrap and DeLong, rows or trials for the rest.
    pub fn units(&self) -> usize {
        match self.kind {
            Kind::ClusterBootstrap { clusters, .. }
            | Kind::BootstrapOrWilson { clusters, .. }
            | Kind::BootstrapOrNewcombe { clusters, .. }
            | Kind::DeLong { clusters }
            | Kind::DeLongLogit { clusters } => clusters,
            Kind::Wilson | Kind::StudentT | Kind::NewcombeDifference | Kind::Newcombe { .. } => self.n,
        }
    }

    /// Level, method and unit in words, as in `95 % cluster bootstrap over pairs`; `clusters` is the plural of what a cluster is.
    pub fn describe(&self, clusters: &str) -> String {
        let percent = 100.0 * self.level;
        let (method, unit) = match self.kind {
            Kind::Wilson => ("Wilson", "rows"),
            Kind::StudentT => ("Student's t", "rows"),
            Kind::NewcombeDifference => ("Newcombe hybrid", "rows"),
            Kind::DeLong { .. } => ("clustered DeLong", clusters),
            Kind::DeLongLogit { .. } => ("clustered DeLong on the logit scale", clusters),
            Kind::Newcombe { .. } => ("Newcombe", "rows"),
            Kind::ClusterBootstrap { .. } => ("cluster bootstrap", clusters),
            Kind::BootstrapOrNewcombe { .. } => ("cluster bootstrap, or Newcombe where wider,", clusters),
            Kind::BootstrapOrWilson { .. } => ("cluster bootstrap, or Wilson where wider,", clusters),
        };
        format!("{percent} % {method} over {unit}")
    }
}

/// Coverage of every interval unless asked otherwise.
pub const LEVEL: f64 = 0.95;

/// Standard normal quantile that leaves `(1 − level)/2` on each side.
///
/// **Errors** when `level` is not inside `(0, 1)`.
pub fn two_sided_z(level: f64) -> Result<f64> {
    if level > 0.0 && level < 1.0 {
        Ok(Normal::standard().inverse_cdf(0.5 + level / 2.0))
    } else {
        Err(Error::Setting { name: "level", expected: "a number between 0 and 1", found: level })
    }
}

/// Wilson's score interval of `successes` out of `trials`, without continuity correction.
///
/// **Source** Newcombe 1998, Stat. Med. 17:857, method 3.
pub fn wilson(successes: usize, trials: usize, level: f64) -> Result<Interval> {
    if trials == 0 {
        return Err(Error::TooFew { unit: "trial", expected: 1, found: 0 });
    }
    if successes > trials {
        return Err(Error::Setting {
            name: "successes",
            expected: "at most the trials",
            found: successes as f64,
        });
    }
    let n = trials as f64;
    let value = successes as f64 / n;
    let (low, high) = wilson_ends(value, n, level)?;
    Ok(Interval { value, low, high, level, n: trials, kind: Kind::Wilson })
}

/// Wilson's ends for a share that need not be a whole number of trials, such as a mean over clusters that are shares themselves.
pub(crate) fn wilson_ends(share: f64, trials: f64, level: f64) -> Result<(f64, f64)> {
    let z = two_sided_z(level)?;
    let center = share + z * z / (2.0 * trials);
    let half = z * (share * (1.0 - share) / trials + z * z / (4.0 * trials * trials)).sqrt();
    let total = 1.0 + z * z / trials;
    // The ends at 0 and 1 are exact; rounding would leave 1e-18.
    let low = if share <= 0.0 { 0.0 } else { (center - half) / total };
    let high = if share >= 1.0 { 1.0 } else { (center + half) / total };
    Ok((low, high))
}

/// Student's t interval of the mean of independent values: mean ± t · sd / √n.
///
/// **Errors** with fewer than two values, or at one that is not finite.
pub fn student_t(values: &[f64], level: f64) -> Result<Interval> {
    two_sided_z(level)?;
    if values.len() < 2 {
        return Err(Error::TooFew { unit: "value", expected: 2, found: values.len() });
    }
    check_finite_scores(values)?;
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = two_sided_t(n - 1.0, level) * (variance / n).sqrt();
    let (low, high) = (mean - half, mean + half);
    Ok(Interval { value: mean, low, high, level, n: values.len(), kind: Kind::StudentT })
}

pub(crate) fn two_sided_t(freedom: f64, level: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |t| t.inverse_cdf(0.5 + level / 2.0))
}

/// Interval of `first − second` from the intervals of both, as if they were independent:
/// `d − √((p₁ − l₁)² + (u₂ − p₂)²)` to `d + √((u₁ − p₁)² + (p₂ − l₂)²)`.
///
/// Of two Wilson intervals this is Newcombe's; values measured on the same units and alike on them have a narrower one.
///
/// **Source** Newcombe 1998, Stat. Med. 17:873, method 10; Zou and Donner 2008, Stat. Med. 27:1693, for other intervals.
pub fn newcombe_difference(first: &Interval, second: &Interval) -> Interval {
    let value = first.value - second.value;
    let low = value - (first.value - first.low).hypot(second.high - second.value);
    let high = value + (first.high - first.value).hypot(second.value - second.low);
    let n = first.n + second.n;
    Interval { value, low, high, level: first.level, n, kind: Kind::NewcombeDifference }
}

/// Newcombe's score interval of an AUROC from the counts behind it; never of width zero.
///
/// It inverts the score test with Hanley and McNeil's variance under exponential scores, both degrees of freedom replaced by their mean:
/// `(θ̂ − θ)² = z² θ(1−θ) [1 + N(1−θ)/(2−θ) + Nθ/(1+θ)] / (m n)`, `N = (m+n)/2 − 1`. Handed the numbers of *clusters* with a positive and with a
/// negative, it treats each cluster as one observation, which is the cautious end of any correlation inside clusters.
///
/// **Source** Newcombe 2006, Stat. Med. 25:559, method 5; Hanley and McNeil 1982, Radiology 143:29.
pub fn newcombe_auroc(
    auroc: f64,
    positives: usize,
    negatives: usize,
    n: usize,
    level: f64,
) -> Result<Interval> {
    if positives == 0 || negatives == 0 {
        return Err(Error::OneClass { what: "newcombe interval".to_owned(), positives, negatives });
    }
    if !(0.0..=1.0).contains(&auroc) {
        return Err(Error::Setting { name: "auroc", expected: "a number from 0 to 1", found: auroc });
    }
    let z = two_sided_z(level)?;
    let (m, k) = (positives as f64, negatives as f64);
    let freedom = f64::midpoint(m, k) - 1.0;
    let variance =
        |t: f64| t * (1.0 - t) * (1.0 + freedom * ((1.0 - t) / (2.0 - t) + t / (1.0 + t))) / (m * k);
    let rejected = |t: f64| (auroc - t).powi(2) > z * z * variance(t);
    // The accepted set is an interval around the estimate; each end is bisected between it and 0 or 1.
    let end = |edge: f64| {
        let (mut outside, mut inside) = (edge, auroc);
        for _ in 0..200 {
            let middle = f64::midpoint(outside, inside);
            if rejected(middle) {
                outside = middle;
            } else {
                inside = middle;
            }
        }
        inside
    };
    let low = if auroc <= 0.0 { 0.0 } else { end(0.0) };
    let high = if auroc >= 1.0 { 1.0 } else { end(1.0) };
    Ok(Interval { value: auroc, low, high, level, n, kind: Kind::Newcombe { positives, negatives } })
}

/// Quantile of ascending values, linear between order statistics (numpy's default).
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q.clamp(0.0, 1.0) * (sorted.len().saturating_sub(1)) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rounded-down index inside the slice"
    )]
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len().saturating_sub(1));
    match (sorted.get(below), sorted.get(above)) {
        (Some(low), Some(high)) => low + (high - low) * (at - at.floor()),
        _ => f64::NAN,
    }
}
