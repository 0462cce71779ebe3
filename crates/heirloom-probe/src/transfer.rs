//! Does a probe for one family of prompts, or one behavior, work on another?
//!
//! No cell is ever scored on rows its probe was fit on; the diagonal is cross-validated or comes from other groups.

use ndarray::Array2;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::bootstrap::{Resampling, auroc_interval, ranked_interval};
use crate::dataset::Dataset;
use crate::direction::{FitOptions, Method, Probe, fit};
use crate::error::{Error, Result};
use crate::interval::Interval;
use crate::parallel::in_order;
use crate::ranked::Ranked;
use crate::split::{Unit, folds};

/// AUROC of every fit–score combination.
#[derive(Debug, Clone, PartialEq)]
pub struct TransferMatrix {
    /// Names of rows and columns.
    pub names: Vec<String>,
    /// `cells[[i, j]]`: fit on `i`, scored on `j`.
    pub cells: Array2<Interval>,
}

/// Fits on one group, scores on another, for all pairs of groups.
///
/// The diagonal is cross-validated over clusters within the group. Folds have different probes without a common scale, so only positives and
/// negatives of the same fold are compared; pooling them would pull the AUROC down (Airola et al. 2011, Comput. Stat. Data Anal. 55:1828).
///
/// **Errors** when a group lacks a class or has fewer than two clusters.
pub fn between_groups(
    data: &Dataset,
    method: Method,
    options: &FitOptions,
    resampling: Resampling,
    rng: &ChaCha8Rng,
) -> Result<TransferMatrix> {
    let groups = data.present_groups();
    let parts: Vec<(String, Dataset)> = groups
        .iter()
        .map(|group| {
            let name = &data.group_names()[*group];
            Ok((name.clone(), data.select(&format!("group {name}"), &data.rows_of_group(*group))?))
        })
        .collect::<Result<_>>()?;
    let row = |i: usize| -> Result<Vec<Interval>> {
        let probe = fit(method, &parts[i].1, options)?;
        let cell = |j: usize| {
            if i == j {
                within(&parts[i].1, &probe, options, resampling, rng)
            } else {
                across(&probe, &parts[j].1, resampling, rng)
            }
        };
        (0..parts.len()).map(cell).collect()
    };
    matrix(parts.iter().map(|(name, _)| name.clone()).collect(), row)
}

/// One behavior's rows, split by groups beforehand.
#[derive(Debug, Clone, Copy)]
pub struct BehaviorData<'a> {
    /// Name of the behavior.
    pub name: &'a str,
    /// Rows to fit on.
    pub fit: &'a Dataset,
    /// Rows to score, of other groups.
    pub report: &'a Dataset,
}

/// Fits on one behavior's fit rows, scores on another's report rows, for all pairs of behaviors.
///
/// **Errors** when a behavior's fit and report rows share a group.
pub fn between_behaviors(
    behaviors: &[BehaviorData<'_>],
    method: Method,
    options: &FitOptions,
    resampling: Resampling,
    rng: &ChaCha8Rng,
) -> Result<TransferMatrix> {
    for behavior in behaviors {
        check_disjoint(behavior.fit, behavior.report)?;
    }
    let row = |i: usize| -> Result<Vec<Interval>> {
        let probe = fit(method, behaviors[i].fit, options)?;
        behaviors.iter().map(|to| across(&probe, to.report, resampling, rng)).collect()
    };
    matrix(behaviors.iter().map(|behavior| behavior.name.to_owned()).collect(), row)
}

/// Errors when fit and report rows share a group.
pub fn check_disjoint(fit: &Dataset, report: &Dataset) -> Result<()> {
    let fit = fit.present_group_names();
    match report.present_group_names().into_iter().find(|name| fit.contains(name)) {
        Some(group) => Err(Error::GroupOnBothSides { group, first: "fit", second: "report" }),
        None => Ok(()),
    }
}

fn matrix(
    names: Vec<String>,
    row: impl Fn(usize) -> Result<Vec<Interval>> + Sync + Send,
) -> Result<TransferMatrix> {
    let rows: Vec<Vec<Interval>> = in_order((0..names.len()).into_par_iter().map(row))?;
    let cells = Array2::from_shape_fn((names.len(), names.len()), |(i, j)| rows[i][j]);
    Ok(TransferMatrix { names, cells })
}

fn across(probe: &Probe, to: &Dataset, resampling: Resampling, rng: &ChaCha8Rng) -> Result<Interval> {
    auroc_interval(&probe.score(to.x())?, to.labels(), to.clusters(), resampling, rng)
}

fn within(
    data: &Dataset,
    probe: &Probe,
    options: &FitOptions,
    resampling: Resampling,
    rng: &ChaCha8Rng,
) -> Result<Interval> {
    // The strength stays the one chosen on the whole group: a nested search would need more clusters than a group has.
    cross_validated(data, probe.method, &options.repeating(probe), Unit::Cluster, resampling, rng)
}

/// AUROC of a method on the data it is fit on: in five folds of whole units, each scored by a fit on the others.
///
/// Only positives and negatives of the same fold are compared, as on the diagonal of [`between_groups`].
///
/// **Errors** with fewer than two units, or a class missing from the rows that a fold leaves.
pub fn cross_validated(
    data: &Dataset,
    method: Method,
    options: &FitOptions,
    unit: Unit,
    resampling: Resampling,
    rng: &ChaCha8Rng,
) -> Result<Interval> {
    let mut scores = vec![0.0; data.n_rows()];
    let mut fold_of = vec![0; data.n_rows()];
    for (index, fold) in folds(data, unit, 5)?.iter().enumerate() {
        let probe = fit(method, &data.select("cross-validation fold", &fold.train)?, options)?;
        let test = data.x().select(ndarray::Axis(0), &fold.test);
        for (row, score) in fold.test.iter().zip(probe.score(test.view())?) {
            (scores[*row], fold_of[*row]) = (score, index);
        }
    }
    let ranked = Ranked::stratified(&scores, data.labels(), &fold_of)?;
    ranked_interval(&ranked, data.labels(), data.clusters(), resampling, rng)
}
