//! What a probe's score would be if there were nothing to find: shuffled labels, random directions, random differences.
//!
//! Every band is made of AUROCs on the same report rows with their true labels, so it is directly the null of the number beside it. Directions
//! without a sign of their own (random ones) get the sign that is better on the *fit* rows, because the probe's sign came from there too: choosing
//! it on the report rows would raise the band, leaving it to chance would lower it.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::dataset::Dataset;
use crate::direction::{FitOptions, Probe, fit, project};
use crate::error::{Error, Result};
use crate::interval::quantile;
use crate::linalg::norm;
use crate::parallel::in_order;
use crate::random::{standard_normal, stream};
use crate::score::{auroc, calibration};

/// Values of one number, an AUROC unless said otherwise, under one null, in the order of their streams, with quantiles.
#[derive(Debug, Clone, PartialEq)]
pub struct NullBand {
    /// One per control.
    pub values: Vec<f64>,
    /// 2.5 % quantile.
    pub low: f64,
    /// Median.
    pub median: f64,
    /// 97.5 % quantile.
    pub high: f64,
}

impl NullBand {
    /// Quantiles of what controls gave.
    ///
    /// **Errors** without a control.
    pub fn new(values: Vec<f64>) -> Result<Self> {
        if values.is_empty() {
            return Err(Error::TooFew { unit: "control", expected: 1, found: 0 });
        }
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let [low, median, high] = [0.025, 0.5, 0.975].map(|q| quantile(&sorted, q));
        Ok(Self { values, low, median, high })
    }

    /// Quantiles of what the same controls gave several seeds, each its mean over seeds.
    ///
    /// **Errors** without a seed or without a control.
    pub fn of_means(seeds: &[&[f64]]) -> Result<Self> {
        let mean = |control: usize| seeds.iter().map(|own| own[control]).sum::<f64>() / seeds.len() as f64;
        Self::new((0..seeds.first().map_or(0, |own| own.len())).map(mean).collect())
    }

    /// Mean of the values.
    pub fn mean(&self) -> f64 {
        self.values.iter().sum::<f64>() / self.values.len() as f64
    }

    /// One-sided p-value of an observed value, `(1 + controls at least as large) / (1 + controls)`: never zero.
    pub fn p_value(&self, observed: f64) -> f64 {
        let as_large = self.values.iter().filter(|value| **value >= observed).count();
        (1 + as_large) as f64 / (1 + self.values.len()) as f64
    }
}

/// Directions spread evenly over the sphere, `[k, d_model]`, each of norm one.
pub fn random_directions(d_model: usize, k: usize, rng: &ChaCha8Rng) -> Array2<f64> {
    unit_rows(d_model, k, |index| {
        let mut rng = stream(rng, index as u64);
        Some(Array1::from_shape_simple_fn(d_model, || standard_normal(&mut rng)))
    })
}

/// Differences of two rows drawn at random whatever their labels, `[k, d_model]`, each of norm one.
///
/// Activations vary far more along some axes than others; these directions know that, isotropic ones do not.
///
/// **Errors** when all rows are equal.
pub fn random_difference_directions(x: ArrayView2<f32>, k: usize, rng: &ChaCha8Rng) -> Result<Array2<f64>> {
    Ok(differences(x, k, rng)?.0)
}

/// Differences, and the two rows of each.
fn differences(x: ArrayView2<f32>, k: usize, rng: &ChaCha8Rng) -> Result<(Array2<f64>, Vec<[usize; 2]>)> {
    let first = x.row(0).to_owned();
    if x.rows().into_iter().all(|row| row == first) {
        return Err(Error::NoDirection { method: "random difference", norm: 0.0, rows: x.nrows() });
    }
    let pair = |index: u64| {
        let mut rng = stream(rng, index);
        let drawn = (0..1000).map(|_| [rng.gen_range(0..x.nrows()), rng.gen_range(0..x.nrows())]);
        // Two rows that differ; where hardly any do, a direction of zeros.
        drawn.into_iter().find(|[a, b]| x.row(*a) != x.row(*b)).unwrap_or([0, 0])
    };
    let pairs: Vec<[usize; 2]> = (0..k as u64).map(pair).collect();
    let directions = unit_rows(x.ncols(), k, |index| {
        let [a, b] = pairs[index];
        (a != b).then(|| x.row(a).mapv(f64::from) - x.row(b).mapv(f64::from))
    });
    Ok((directions, pairs))
}

/// [`random_difference_directions`] of the rows without the behavior: a difference between labels would be a draw of the behavior itself.
pub fn random_differences_within(data: &Dataset, k: usize, rng: &ChaCha8Rng) -> Result<Array2<f64>> {
    random_difference_directions(data.x().select(ndarray::Axis(0), &calm(data)).view(), k, rng)
}

/// The same with the two rows of each, which lie far apart along it whatever the others do.
pub(crate) fn random_differences_with_rows(
    data: &Dataset,
    k: usize,
    rng: &ChaCha8Rng,
) -> Result<(Array2<f64>, Vec<[usize; 2]>)> {
    let rows = calm(data);
    let (directions, pairs) = differences(data.x().select(ndarray::Axis(0), &rows).view(), k, rng)?;
    Ok((directions, pairs.into_iter().map(|pair| pair.map(|row| rows[row])).collect()))
}

/// Rows without the behavior.
fn calm(data: &Dataset) -> Vec<usize> {
    (0..data.n_rows()).filter(|row| !data.labels()[*row]).collect()
}

fn unit_rows(d_model: usize, k: usize, row: impl Fn(usize) -> Option<Array1<f64>>) -> Array2<f64> {
    let mut directions = Array2::zeros((k, d_model));
    for (index, mut to) in directions.rows_mut().into_iter().enumerate() {
        if let Some(from) = row(index) {
            let length = norm(from.view());
            to.assign(&(from / length));
        }
    }
    directions
}

/// AUROCs of directions on the report rows, each with the sign that is better on the fit rows.
///
/// **Shapes** `directions` is `[k, d_model]`.
pub fn direction_band(directions: ArrayView2<f64>, fit: &Dataset, report: &Dataset) -> Result<NullBand> {
    let oriented = |direction: ArrayView1<f64>| -> Result<f64> {
        let on_fit = auroc(&project(fit.x(), direction)?, fit.labels())?;
        let on_report = auroc(&project(report.x(), direction)?, report.labels())?;
        Ok(if on_fit < 0.5 { 1.0 - on_report } else { on_report })
    };
    NullBand::new(in_order((0..directions.nrows()).into_par_iter().map(|k| oriented(directions.row(k))))?)
}

/// AUROCs of directions on rows as the directions come, without a sign chosen anywhere: the null of a direction that was fit elsewhere.
///
/// **Shapes** `directions` is `[k, d_model]`.
pub fn unsigned_band(directions: ArrayView2<f64>, data: &Dataset) -> Result<NullBand> {
    let one = |k: usize| auroc(&project(data.x(), directions.row(k))?, data.labels());
    NullBand::new(in_order((0..directions.nrows()).into_par_iter().map(one))?)
}

/// Calibration errors that probabilities would show if they were right: labels drawn from them, `k` times.
///
/// With few rows even perfect probabilities err by a few hundredths; a measured error says something only above this band.
pub fn calibration_band(probabilities: &[f64], bins: usize, k: usize, rng: &ChaCha8Rng) -> Result<NullBand> {
    let one = |index: usize| {
        let mut rng = stream(rng, index as u64);
        let labels: Vec<bool> = probabilities.iter().map(|p| rng.r#gen::<f64>() < *p).collect();
        Ok(calibration(probabilities, &labels, bins)?.error)
    };
    NullBand::new((0..k).map(one).collect::<Result<_>>()?)
}

/// Control labels that keep what a probe could exploit besides the behavior.
///
/// A cluster with both classes (a contrast pair) swaps all its labels or none, each with probability one half, so lengths, topics and families stay
/// paired. Clusters of one class exchange labels within their group, whole clusters at a time.
///
/// **Errors** when nothing can change: no cluster is mixed and no group has clusters of both classes.
///
/// **Source** Hewitt and Liang 2019, arXiv 1909.03368, with the pair or scenario as the word type.
pub fn shuffled_labels(data: &Dataset, rng: &ChaCha8Rng, index: u64) -> Result<Vec<bool>> {
    let mut rng = stream(rng, index);
    let clusters = data.present_clusters();
    let n = data.cluster_names().len();
    let (mut holds, mut group_of) = (vec![[false; 2]; n], vec![0; n]);
    for ((cluster, label), group) in data.clusters().iter().zip(data.labels()).zip(data.groups()) {
        holds[*cluster][usize::from(*label)] = true;
        group_of[*cluster] = *group;
    }
    let mut flip = vec![false; n];
    let mut free = false;
    for cluster in clusters.iter().filter(|cluster| holds[**cluster] == [true, true]) {
        flip[*cluster] = rng.r#gen();
        free = true;
    }
    for group in data.present_groups() {
        let members: Vec<usize> = clusters
            .iter()
            .copied()
            .filter(|cluster| group_of[*cluster] == group && holds[*cluster] != [true, true])
            .collect();
        let mut labels: Vec<bool> = members.iter().map(|cluster| holds[*cluster][1]).collect();
        free |= labels.contains(&true) && labels.contains(&false);
        labels.shuffle(&mut rng);
        for (cluster, label) in members.iter().zip(labels) {
            flip[*cluster] = label != holds[*cluster][1];
        }
    }
    if !free {
        return Err(Error::NothingToShuffle { groups: data.present_groups().len() });
    }
    Ok(data.clusters().iter().zip(data.labels()).map(|(cluster, label)| *label != flip[*cluster]).collect())
}

/// A probe's AUROC beside that of the same method fit on control labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Selectivity {
    /// AUROC of the real probe on the report rows.
    pub auroc: f64,
    /// AUROCs of probes fit on shuffled fit labels, on the report rows with their true labels. Their sign is the one their labels gave them.
    pub control: NullBand,
    /// Mean AUROC of the control probes on the rows and shuffled labels they were fit on: how much the method can memorize.
    pub memorized: f64,
    /// `auroc − mean control`.
    pub selectivity: f64,
}

/// Refits the method on `k` shuffles of the fit labels.
///
/// **Cost** `k` fits; a logistic probe keeps the strength that the real fit chose.
pub fn selectivity(
    probe: &Probe,
    fit_data: &Dataset,
    report: &Dataset,
    options: &FitOptions,
    k: usize,
    rng: &ChaCha8Rng,
) -> Result<Selectivity> {
    let options = options.repeating(probe);
    let control = |index: usize| -> Result<(f64, f64)> {
        let shuffled = fit_data.with_labels(shuffled_labels(fit_data, rng, index as u64)?)?;
        let control = fit(probe.method, &shuffled, &options)?;
        Ok((
            auroc(&control.score(report.x())?, report.labels())?,
            auroc(&control.score(shuffled.x())?, shuffled.labels())?,
        ))
    };
    let controls: Vec<(f64, f64)> = in_order((0..k).into_par_iter().map(control))?;
    let observed = auroc(&probe.score(report.x())?, report.labels())?;
    let memorized = controls.iter().map(|(_, own)| own).sum::<f64>() / k as f64;
    let control = NullBand::new(controls.into_iter().map(|(value, _)| value).collect())?;
    Ok(Selectivity { auroc: observed, selectivity: observed - control.mean(), control, memorized })
}
