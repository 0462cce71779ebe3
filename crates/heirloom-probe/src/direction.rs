//! Directions and probes: what every method agrees to return.
//!
//! Whatever space a method thinks in, it hands back one unit vector in raw activation space, so that a direction fit on one checkpoint can be
//! projected on every other; scale and intercept turn the projection into that method's score, positive where the behavior is predicted.

use std::fmt;
use std::str::FromStr;

use ndarray::{Array1, ArrayView1, ArrayView2};

use crate::covariance::{Shrinkage, difference_of_means, whitened, within_class};
use crate::dataset::{Dataset, check_finite};
use crate::error::{Error, Result};
use crate::linalg::norm;
use crate::pairs::{pair_differences, principal_difference};
use crate::standardize::Standardizer;
use crate::strength::{LogisticOptions, LogisticReport, fit_logistic};

/// How a direction is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// `μ₁ − μ₀` in raw space.
    DifferenceOfMeans,
    /// `μ₁ − μ₀` in z-space, mapped back.
    DifferenceOfMeansZ,
    /// `Σ⁻¹(μ₁ − μ₀)` in z-space with Σ shrunk by Ledoit and Wolf, mapped back. Shrinkage pulls towards equal variances, which raw coordinates of a
    /// residual stream are orders of magnitude away from; scikit-learn's shrunk LDA scales for the same reason.
    Lda,
    /// L2 logistic regression in z-space, mapped back.
    Logistic,
    /// First principal direction of pair differences, uncentred, in raw space.
    Pca,
}

impl Method {
    /// All methods, cheapest first.
    pub const ALL: [Self; 5] =
        [Self::DifferenceOfMeans, Self::DifferenceOfMeansZ, Self::Lda, Self::Logistic, Self::Pca];

    /// The name used on the command line and in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DifferenceOfMeans => "dom",
            Self::DifferenceOfMeansZ => "dom-z",
            Self::Lda => "lda",
            Self::Logistic => "logistic",
            Self::Pca => "pca",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = || Self::ALL.map(Self::name).to_vec();
        let found = Self::ALL.into_iter().find(|method| method.name() == name);
        found.ok_or_else(|| Error::UnknownMethod { name: name.to_owned(), known: known() })
    }
}

/// Settings of [`fit`]; only the logistic probe has any.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FitOptions {
    /// Strengths, folds and tolerances of the logistic probe.
    pub logistic: LogisticOptions,
}

impl FitOptions {
    /// Options that repeat a fit without searching again, for controls and refits.
    #[must_use]
    pub fn repeating(&self, probe: &Probe) -> Self {
        match &probe.report.detail {
            Detail::Logistic(report) => Self { logistic: self.logistic.fixed(report.strength) },
            _ => self.clone(),
        }
    }
}

/// A fitted readout: `score(x) = scale · (x·direction) + intercept`, positive where the behavior is predicted.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// How it was found.
    pub method: Method,
    /// Unit vector in raw activation space, `[d_model]`, pointing towards the behavior.
    pub direction: Array1<f64>,
    /// Positive factor from projection to score.
    pub scale: f64,
    /// Score of a projection of zero. The decision at score zero is the midpoint of the class means, or probability one half for `logistic`.
    pub intercept: f64,
    /// What it was fit on and how that went.
    pub report: FitReport,
}

/// What a probe was fit on.
#[derive(Debug, Clone, PartialEq)]
pub struct FitReport {
    /// Rows.
    pub rows: usize,
    /// Positive rows.
    pub positives: usize,
    /// Contrast pairs or scenarios.
    pub clusters: usize,
    /// Prompt families.
    pub groups: usize,
    /// Coordinates without spread, which get no weight in z-space methods.
    pub constant_columns: Vec<usize>,
    /// What only this method has to say.
    pub detail: Detail,
}

/// The part of a report that differs by method.
#[derive(Debug, Clone, PartialEq)]
pub enum Detail {
    /// Differences of means have no more to report.
    Means,
    /// Covariance shrinkage.
    Lda(Shrinkage),
    /// Strength, cross-validation and convergence.
    Logistic(LogisticReport),
    /// Pair differences.
    Pca {
        /// Pairs used.
        pairs: usize,
        /// Clusters left out because they hold one class.
        unpaired: usize,
        /// Share of the differences' squared length along each of the first components.
        explained: Vec<f64>,
    },
}

impl Probe {
    /// Signed length of each row along the direction, `[rows]`.
    ///
    /// **Errors** when the width is not the direction's, or a value is NaN or infinite.
    pub fn project(&self, x: ArrayView2<f32>) -> Result<Vec<f64>> {
        project(x, self.direction.view())
    }

    /// Score of each row, `[rows]`; a logit for `logistic`.
    pub fn score(&self, x: ArrayView2<f32>) -> Result<Vec<f64>> {
        let mut scores = self.project(x)?;
        for score in &mut scores {
            *score = self.scale * *score + self.intercept;
        }
        Ok(scores)
    }

    /// The projection at which the score is zero.
    pub fn threshold(&self) -> f64 {
        -self.intercept / self.scale
    }
}

/// Signed length of each row along any unit vector, such as a direction read from disk.
pub fn project(x: ArrayView2<f32>, direction: ArrayView1<f64>) -> Result<Vec<f64>> {
    if x.ncols() != direction.len() {
        return Err(Error::Width { expected: direction.len(), found: x.ncols() });
    }
    check_finite(x)?;
    Ok(project_checked(x, direction))
}

pub(crate) fn project_checked(x: ArrayView2<f32>, direction: ArrayView1<f64>) -> Vec<f64> {
    let direction = direction.to_vec();
    let along = |row: ArrayView1<f32>| {
        let mut sums = [0.0; 8];
        for (index, (value, entry)) in row.iter().zip(&direction).enumerate() {
            sums[index % 8] += f64::from(*value) * entry;
        }
        sums.iter().sum()
    };
    x.rows().into_iter().map(along).collect()
}

/// Fits a probe with one method.
///
/// **Errors** when the classes do not differ, when no pair holds both classes (`pca`), or when the logistic fit does not converge.
///
/// **Determinism** no randomness; the order of rows changes results by rounding only.
pub fn fit(method: Method, data: &Dataset, options: &FitOptions) -> Result<Probe> {
    let x = data.x();
    let mut constant_columns = Vec::new();
    let (weights, intercept, detail) = match method {
        Method::DifferenceOfMeans => {
            let difference = difference_of_means(x, data.labels());
            let squares = x.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
            check_distinct(method, &difference, (squares / data.n_rows() as f64).sqrt(), data.n_rows())?;
            (difference, None, Detail::Means)
        }
        Method::DifferenceOfMeansZ => {
            let standardizer = Standardizer::fit(x);
            constant_columns = standardizer.constant();
            let difference = standardizer.scaled(difference_of_means(x, data.labels()).view());
            check_distinct(method, &difference, 1.0, data.n_rows())?;
            (standardizer.scaled(difference.view()), None, Detail::Means)
        }
        Method::Lda => {
            let standardizer = Standardizer::fit(x);
            constant_columns = standardizer.constant();
            let (within, difference) = within_class(standardizer.transform(x).view(), data.labels());
            check_distinct(method, &difference, 1.0, data.n_rows())?;
            let (weights, shrinkage) = whitened(within.view(), difference.view())?;
            (standardizer.scaled(weights.view()), None, Detail::Lda(shrinkage))
        }
        Method::Logistic => {
            let standardizer = Standardizer::fit(x);
            constant_columns = standardizer.constant();
            let (model, report) = fit_logistic(data, &standardizer, &options.logistic)?;
            check_distinct(method, &model.weights, 1.0, data.n_rows())?;
            let (weights, intercept) = standardizer.to_raw(model.weights.view(), model.intercept);
            (weights, Some(intercept), Detail::Logistic(report))
        }
        Method::Pca => {
            let pairs = pair_differences(data)?;
            let (direction, explained) = principal_difference(pairs.differences.view(), 8)?;
            let detail = Detail::Pca { pairs: pairs.clusters.len(), unpaired: pairs.unpaired, explained };
            (direction, None, detail)
        }
    };
    let scale = norm(weights.view());
    if !(scale.is_finite() && scale > 0.0) {
        return Err(Error::NoDirection { method: method.name(), norm: scale, rows: data.n_rows() });
    }
    let direction = weights / scale;
    let intercept = intercept.unwrap_or_else(|| -scale * midpoint(data, direction.view()));
    let report = FitReport {
        rows: data.n_rows(),
        positives: data.n_positive(),
        clusters: data.present_clusters().len(),
        groups: data.present_groups().len(),
        constant_columns,
        detail,
    };
    Ok(Probe { method, direction, scale, intercept, report })
}

/// Errors when a vector is no longer than what rounding leaves of rows of the given size.
fn check_distinct(method: Method, vector: &Array1<f64>, row_norm: f64, rows: usize) -> Result<()> {
    let norm = norm(vector.view());
    if norm > 1e-12 * row_norm {
        Ok(())
    } else {
        Err(Error::NoDirection { method: method.name(), norm, rows })
    }
}

/// Halfway between the class means of the projections.
fn midpoint(data: &Dataset, direction: ArrayView1<f64>) -> f64 {
    let mut sums = [0.0; 2];
    for (projection, label) in project_checked(data.x(), direction).iter().zip(data.labels()) {
        sums[usize::from(*label)] += projection;
    }
    let positives = data.n_positive() as f64;
    0.5 * (sums[1] / positives + sums[0] / (data.n_rows() as f64 - positives))
}
