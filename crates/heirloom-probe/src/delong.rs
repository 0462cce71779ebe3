//! DeLong's variance of AUROC and of the difference of two, in `O(n log n)`, optionally clustered.

use statrs::distribution::{ContinuousCDF, Normal};

use crate::dataset::check_rows;
use crate::error::{Error, Result};
use crate::interval::{Interval, Kind, newcombe_auroc, two_sided_z};
use crate::ranked::{Ranked, check_scores};

/// AUROC with its structural components.
///
/// **Source** DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44:837; midranks after Sun and Xu 2014, IEEE Signal Process. Lett. 21:1389;
/// clusters after Obuchowski 1997, Biometrics 53:567.
#[derive(Debug, Clone)]
pub struct DeLong {
    /// AUROC, Mann–Whitney with ties half.
    pub auroc: f64,
    /// Its variance.
    pub variance: f64,
    /// Share of the other class that each row beats (positives) or is beaten by (negatives), less the AUROC.
    components: Vec<f64>,
    labels: Vec<bool>,
    clusters: Vec<usize>,
}

impl DeLong {
    /// Every row its own cluster: the textbook variance.
    pub fn new(scores: &[f64], labels: &[bool]) -> Result<Self> {
        Self::clustered(scores, labels, &(0..scores.len()).collect::<Vec<_>>())
    }

    /// Rows of one cluster may depend on each other.
    ///
    /// **Errors** when a class lies in fewer than two clusters, which leaves no variance to estimate.
    pub fn clustered(scores: &[f64], labels: &[bool], clusters: &[usize]) -> Result<Self> {
        check_scores(scores, labels)?;
        check_rows("clusters", scores.len(), clusters.len())?;
        let auroc = Ranked::new(scores, labels)?.auroc();
        let all = midranks(scores, |_| true);
        let own = [midranks(scores, |row| !labels[row]), midranks(scores, |row| labels[row])];
        let positives = labels.iter().filter(|label| **label).count() as f64;
        let negatives = labels.len() as f64 - positives;
        let components = (0..scores.len())
            .map(|row| {
                let other = all[row] - own[usize::from(labels[row])][row];
                if labels[row] { other / negatives - auroc } else { 1.0 - other / positives - auroc }
            })
            .collect();
        let mut delong =
            Self { auroc, variance: 0.0, components, labels: labels.to_vec(), clusters: clusters.to_vec() };
        delong.variance = delong.covariance(&delong)?;
        Ok(delong)
    }

    /// Covariance with the AUROC of other scores of the same rows.
    pub fn covariance(&self, other: &Self) -> Result<f64> {
        if self.labels != other.labels || self.clusters != other.clusters {
            let (first, second) = ("first".to_owned(), "second".to_owned());
            return Err(Error::RowsDiffer { first, second, what: "labels or clusters" });
        }
        let n = self.clusters.iter().max().map_or(0, |last| last + 1);
        let sums = |delong: &Self| {
            let mut sums = vec![[0.0; 2]; n];
            for ((component, label), cluster) in
                delong.components.iter().zip(&delong.labels).zip(&delong.clusters)
            {
                sums[*cluster][usize::from(*label)] += component;
            }
            sums
        };
        let mut rows = [0.0; 2];
        let mut holds = vec![[false; 2]; n];
        for (label, cluster) in self.labels.iter().zip(&self.clusters) {
            rows[usize::from(*label)] += 1.0;
            holds[*cluster][usize::from(*label)] = true;
        }
        let clusters_with = |class: usize| holds.iter().filter(|holds| holds[class]).count();
        let (a, b) = (sums(self), sums(other));
        let cross = |i: usize, j: usize| a.iter().zip(&b).map(|(a, b)| a[i] * b[j]).sum::<f64>();
        let mut covariance = 0.0;
        for (class, rows) in rows.iter().enumerate() {
            let clusters = clusters_with(class);
            if clusters < 2 {
                return Err(Error::TooFew { unit: "cluster", expected: 2, found: clusters });
            }
            let unbias = clusters as f64 / (clusters as f64 - 1.0);
            covariance += unbias * cross(class, class) / (rows * rows);
        }
        let clusters = holds.iter().filter(|holds| holds[0] || holds[1]).count() as f64;
        covariance += clusters / (clusters - 1.0) * (cross(0, 1) + cross(1, 0)) / (rows[0] * rows[1]);
        Ok(covariance)
    }

    /// AUROC ± z standard errors, clipped to `[0, 1]`; Newcombe's interval when the variance estimate is zero, as for perfect separation.
    pub fn interval(&self, level: f64) -> Result<Interval> {
        let half = two_sided_z(level)? * self.variance.max(0.0).sqrt();
        if half <= 0.0 {
            return self.fallback(level);
        }
        let (low, high) = ((self.auroc - half).max(0.0), (self.auroc + half).min(1.0));
        Ok(Interval { value: self.auroc, low, high, level, n: self.labels.len(), kind: self.kind() })
    }

    /// The same on the logit scale, which stays inside `(0, 1)` and is asymmetric near its ends.
    pub fn logit_interval(&self, level: f64) -> Result<Interval> {
        let spread = self.auroc * (1.0 - self.auroc);
        if self.variance <= 0.0 || spread <= 0.0 {
            return self.fallback(level);
        }
        let half = two_sided_z(level)? * self.variance.sqrt() / spread;
        let center = (self.auroc / (1.0 - self.auroc)).ln();
        let back = |logit: f64| 1.0 / (1.0 + (-logit).exp());
        Ok(Interval {
            value: self.auroc,
            low: back(center - half),
            high: back(center + half),
            level,
            n: self.labels.len(),
            kind: Kind::DeLongLogit { clusters: self.n_clusters() },
        })
    }

    fn kind(&self) -> Kind {
        Kind::DeLong { clusters: self.n_clusters() }
    }

    fn n_clusters(&self) -> usize {
        self.clusters.iter().collect::<std::collections::BTreeSet<_>>().len()
    }

    fn fallback(&self, level: f64) -> Result<Interval> {
        let (positives, negatives) = class_clusters(&self.labels, &self.clusters);
        newcombe_auroc(self.auroc, positives, negatives, self.labels.len(), level)
    }
}

/// Numbers of clusters that hold a positive and that hold a negative.
pub(crate) fn class_clusters(labels: &[bool], clusters: &[usize]) -> (usize, usize) {
    let distinct = |class: bool| {
        let rows = clusters.iter().zip(labels).filter(|(_, label)| **label == class);
        let mut of_class: Vec<usize> = rows.map(|(cluster, _)| *cluster).collect();
        of_class.sort_unstable();
        of_class.dedup();
        of_class.len()
    };
    (distinct(true), distinct(false))
}

/// Two correlated AUROCs of the same rows compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeLongTest {
    /// First AUROC less the second, with its interval.
    pub difference: Interval,
    /// Standard normal statistic; zero when the two do not differ at all.
    pub z: f64,
    /// Two-sided p-value; one when neither varies and they are equal.
    pub p: f64,
}

/// DeLong's paired test of `first` against `second`.
///
/// **Errors** when they are not of the same rows.
pub fn delong_test(first: &DeLong, second: &DeLong, level: f64) -> Result<DeLongTest> {
    let value = first.auroc - second.auroc;
    let variance = (first.variance + second.variance - 2.0 * first.covariance(second)?).max(0.0);
    let half = two_sided_z(level)? * variance.sqrt();
    let difference = Interval {
        value,
        low: value - half,
        high: value + half,
        level,
        n: first.labels.len(),
        kind: first.kind(),
    };
    let z = if value.abs() > 0.0 { value / variance.sqrt() } else { 0.0 };
    Ok(DeLongTest { difference, z, p: 2.0 * Normal::standard().cdf(-z.abs()) })
}

/// Midrank, from one, of each row among the rows that `keep` names; zero for the others.
fn midranks(scores: &[f64], keep: impl Fn(usize) -> bool) -> Vec<f64> {
    let score = |row: usize| scores[row] + 0.0;
    let mut rows: Vec<usize> = (0..scores.len()).filter(|row| keep(*row)).collect();
    rows.sort_by(|a, b| score(*a).total_cmp(&score(*b)));
    let mut ranks = vec![0.0; scores.len()];
    let mut before = 0;
    for tied in rows.chunk_by(|a, b| score(*a).total_cmp(&score(*b)).is_eq()) {
        let rank = before as f64 + (tied.len() + 1) as f64 / 2.0;
        for row in tied {
            ranks[*row] = rank;
        }
        before += tied.len();
    }
    ranks
}
