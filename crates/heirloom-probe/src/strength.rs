//! How much to regularize a logistic probe, decided by grouped cross-validation on the fit rows alone.
//!
//! The score is the held-out log loss: accuracy and AUROC saturate at one for well separated behaviors and would leave the choice to ties.

use ndarray::Axis;
use rayon::prelude::*;

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::logistic::{Logistic, LogisticModel, mean_log_loss};
use crate::newton::Problem;
use crate::parallel::in_order;
use crate::split::{Fold, Unit, folds};
use crate::standardize::Standardizer;

/// What to try, and how hard.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticOptions {
    /// Inverse strengths C in z-space; one value means no cross-validation.
    pub strengths: Vec<f64>,
    /// Folds of the cross-validation.
    pub folds: usize,
    /// Gradient tolerance of the final fit.
    pub tolerance: f64,
    /// Newton iterations of any one fit.
    pub max_iterations: usize,
}

impl Default for LogisticOptions {
    /// Seven strengths from 1e-4 to 1e2 and five folds.
    fn default() -> Self {
        let Logistic { tolerance, max_iterations, .. } = Logistic::default();
        Self { strengths: (-4..=2).map(|e| 10_f64.powi(e)).collect(), folds: 5, tolerance, max_iterations }
    }
}

impl LogisticOptions {
    /// The same options without a search, as the controls use after the real fit has chosen.
    #[must_use]
    pub fn fixed(&self, strength: f64) -> Self {
        Self { strengths: vec![strength], ..self.clone() }
    }
}

/// How the strength was chosen and how the final fit ended.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticReport {
    /// The chosen inverse strength C.
    pub strength: f64,
    /// True when the best C is the smallest or largest tried: the grid may be too narrow.
    pub at_edge: bool,
    /// What the folds kept whole and how many there were; none when one C was given.
    pub folds: Option<(Unit, usize)>,
    /// Held-out mean log loss of each C tried, ascending in C.
    pub losses: Vec<(f64, f64)>,
    /// Objective of the final fit, in scikit-learn's normalization and z-space.
    pub objective: f64,
    /// Newton iterations of the final fit.
    pub iterations: usize,
    /// Largest gradient entry of the final fit.
    pub gradient_norm: f64,
    /// True when there were fewer rows than columns and the fit ran in the rows' span.
    pub row_space: bool,
}

/// scikit-learn's default tolerance; the choice among decades of C does not need more.
const SEARCH_TOLERANCE: f64 = 1e-4;

/// Chooses C, then fits all rows; weights are in the z-space of `standardizer`.
pub(crate) fn fit_logistic(
    data: &Dataset,
    standardizer: &Standardizer,
    options: &LogisticOptions,
) -> Result<(LogisticModel, LogisticReport)> {
    let mut strengths = options.strengths.clone();
    strengths.sort_by(f64::total_cmp);
    let (Some(&smallest), Some(&largest)) = (strengths.first(), strengths.last()) else {
        return Err(Error::TooFew { unit: "strength", expected: 1, found: 0 });
    };
    let settings =
        |strength, tolerance| Logistic { strength, tolerance, max_iterations: options.max_iterations };
    let (losses, unit) = if strengths.len() == 1 {
        (Vec::new(), None)
    } else {
        let unit = if data.present_groups().len() > 1 { Unit::Group } else { Unit::Cluster };
        let folds = folds(data, unit, options.folds)?;
        let path = strengths.iter().map(|strength| settings(*strength, SEARCH_TOLERANCE)).collect::<Vec<_>>();
        let losses_of = |fold: &Fold| held_out_losses(data, &fold.train, &fold.test, &path);
        let of_folds: Vec<Vec<f64>> = in_order(folds.par_iter().map(losses_of))?;
        let n = data.n_rows() as f64;
        let mean = |index: usize| of_folds.iter().map(|losses| losses[index]).sum::<f64>() / n;
        let losses: Vec<(f64, f64)> = strengths.iter().enumerate().map(|(i, c)| (*c, mean(i))).collect();
        (losses, Some((unit, folds.len())))
    };
    // The first of equals is the smaller C, the simpler probe.
    let strength = losses.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(smallest, |best| best.0);
    let z = standardizer.transform(data.x());
    let problem = Problem::new(z.view(), data.labels())?;
    let model = problem.minimize(&settings(strength, options.tolerance), None)?;
    let report = LogisticReport {
        strength,
        at_edge: unit.is_some() && (strength <= smallest || strength >= largest),
        folds: unit,
        losses,
        objective: model.objective,
        iterations: model.iterations,
        gradient_norm: model.gradient_norm,
        row_space: problem.in_row_space(),
    };
    Ok((model, report))
}

/// Summed log loss of the held-out rows along the path of C; spread is measured on the training rows only.
fn held_out_losses(data: &Dataset, train: &[usize], test: &[usize], path: &[Logistic]) -> Result<Vec<f64>> {
    let rows = |rows: &[usize]| data.x().select(Axis(0), rows);
    let train_x = rows(train);
    let standardizer = Standardizer::fit(train_x.view());
    let z = standardizer.transform(train_x.view());
    let held_out = standardizer.transform(rows(test).view());
    let labels: Vec<bool> = train.iter().map(|row| data.labels()[*row]).collect();
    let targets: Vec<f64> = test.iter().map(|row| f64::from(u8::from(data.labels()[*row]))).collect();
    let problem = Problem::new(z.view(), &labels)?;
    let mut start = None;
    path.iter()
        .map(|settings| {
            let (point, trace) = problem.newton(settings, start.as_ref())?;
            let logits = problem.model(settings, &point, trace).logits(held_out.view());
            start = Some(point);
            Ok(mean_log_loss(&logits.to_vec(), &targets) * targets.len() as f64)
        })
        .collect()
}
