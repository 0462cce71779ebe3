//! Which hook point: chosen on the selection rows, published from rows that had no say.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::bootstrap::{Resampling, auroc_interval, cluster_bootstrap};
use crate::control::NullBand;
use crate::dataset::Dataset;
use crate::direction::{FitOptions, Method, Probe, fit};
use crate::error::{Error, Result};
use crate::interval::Interval;
use crate::parallel::in_order;
use crate::random::{seeded, stream};
use crate::ranked::Ranked;
use crate::score::auroc;
use crate::split::{Shares, Split};

/// One method at one hook point.
#[derive(Debug, Clone, PartialEq)]
pub struct HookResult {
    /// Name of the hook point.
    pub hook: String,
    /// The probe, fit on the fit rows.
    pub probe: Probe,
    /// AUROC on the selection rows, which the choice is made by. The best of these is not an unbiased number, [`LayerChoice::report`] is.
    pub selection: Interval,
}

/// A sweep over hook points and its outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerChoice {
    /// Every hook point, in the order given.
    pub hooks: Vec<HookResult>,
    /// Index of the chosen one; the earliest of equals.
    pub chosen: usize,
    /// How many hook points were searched, to be said wherever the result is.
    pub searched: usize,
    /// How often each hook point would have been chosen, over the resamples of the selection rows; in the order of `hooks`. Flat shares say that
    /// the choice is arbitrary.
    pub shares: Vec<f64>,
    /// AUROC of the chosen hook point on the report rows. This sweep scores them at no other; what a caller does with them besides is the caller's
    /// to count.
    pub report: Interval,
}

impl LayerChoice {
    /// The chosen hook point.
    pub fn best(&self) -> &HookResult {
        &self.hooks[self.chosen]
    }
}

/// Fits one method at every hook point on the fit rows, chooses by AUROC on the selection rows, reports on the report rows.
///
/// All hook points see the same resamples, so their intervals can be compared row by row.
///
/// **Errors** when there is no hook point, when they do not hold the same rows, or when any fit fails.
pub fn choose_layer(
    hooks: &[(&str, &Dataset)],
    split: &Split,
    method: Method,
    options: &FitOptions,
    resampling: Resampling,
    rng: &ChaCha8Rng,
) -> Result<LayerChoice> {
    let Some((first_name, first)) = hooks.first() else {
        return Err(Error::TooFew { unit: "hook", expected: 1, found: 0 });
    };
    for (name, data) in hooks {
        check_same_rows(first_name, first, name, data)?;
    }
    let interval = |probe: &Probe, rows: &Dataset| {
        auroc_interval(&probe.score(rows.x())?, rows.labels(), rows.clusters(), resampling, rng)
    };
    let one = |(hook, data): &(&str, &Dataset)| -> Result<HookResult> {
        let probe = fit(method, &split.fit_of(data)?, options)?;
        let selection = interval(&probe, &split.select_of(data)?)?;
        Ok(HookResult { hook: (*hook).to_owned(), probe, selection })
    };
    let results = in_order(hooks.par_iter().map(one))?;
    let value = |index: usize| results[index].selection.value;
    let chosen =
        (0..results.len()).fold(0, |best, index| if value(index) > value(best) { index } else { best });
    let report = interval(&results[chosen].probe, &split.report_of(hooks[chosen].1)?)?;
    let shares = shares(hooks, &results, split, resampling, rng)?;
    Ok(LayerChoice { hooks: results, chosen, searched: hooks.len(), shares, report })
}

/// How often each hook point has the best AUROC over joint resamples of the selection rows.
fn shares(
    hooks: &[(&str, &Dataset)],
    results: &[HookResult],
    split: &Split,
    resampling: Resampling,
    rng: &ChaCha8Rng,
) -> Result<Vec<f64>> {
    let replicates = |((_, data), result): (&(&str, &Dataset), &HookResult)| {
        let rows = split.select_of(data)?;
        let ranked = Ranked::new(&result.probe.score(rows.x())?, rows.labels())?;
        Ok(cluster_bootstrap(rows.clusters(), resampling.replicates, rng, |w| ranked.weighted(w))?.values)
    };
    let values: Vec<Vec<f64>> = in_order(hooks.par_iter().zip(results).map(replicates))?;
    let mut shares = vec![0.0; hooks.len()];
    for replicate in 0..resampling.replicates {
        let drawn: Vec<f64> = values.iter().map(|of_hook| of_hook[replicate]).collect();
        let chosen =
            (0..drawn.len()).fold(0, |best, index| if drawn[index] > drawn[best] { index } else { best });
        shares[chosen] += 1.0 / resampling.replicates as f64;
    }
    Ok(shares)
}

/// AUROCs of one method at one hook point over random splits into groups to fit on and groups to score: how much the published number owes to
/// which families fell where. The selection part of `shares` goes unused, so each fit and score is of the size of the published one.
pub fn over_splits(
    data: &Dataset,
    method: Method,
    options: &FitOptions,
    shares: Shares,
    k: usize,
    rng: &ChaCha8Rng,
) -> Result<NullBand> {
    let one = |index: usize| {
        let split = Split::by_group(data, shares, &seeded(stream(rng, index as u64).r#gen()))?;
        let probe = fit(method, &split.fit_of(data)?, options)?;
        let report = split.report_of(data)?;
        auroc(&probe.score(report.x())?, report.labels())
    };
    NullBand::new(in_order((0..k).into_par_iter().map(one))?)
}

/// Errors unless two datasets describe the same rows.
pub(crate) fn check_same_rows(
    first_name: &str,
    first: &Dataset,
    second_name: &str,
    second: &Dataset,
) -> Result<()> {
    let names =
        |numbers: &[usize], names: &[String]| numbers.iter().map(|n| names[*n].clone()).collect::<Vec<_>>();
    let differs = if first.n_rows() != second.n_rows() {
        Some("number")
    } else if first.labels() != second.labels() {
        Some("labels")
    } else if names(first.clusters(), first.cluster_names())
        != names(second.clusters(), second.cluster_names())
    {
        Some("clusters")
    } else if names(first.groups(), first.group_names()) != names(second.groups(), second.group_names()) {
        Some("groups")
    } else {
        None
    };
    match differs {
        Some(what) => {
            Err(Error::RowsDiffer { first: first_name.to_owned(), second: second_name.to_owned(), what })
        }
        None => Ok(()),
    }
}
