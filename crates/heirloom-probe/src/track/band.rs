//! What a projection would be along a direction that means nothing.

use ndarray::{Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;

use crate::control::{NullBand, random_differences_with_rows};
use crate::dataset::Dataset;
use crate::direction::project;
use crate::error::Result;
use crate::parallel::in_order;
use crate::random::ChaCha8Rng;
use crate::score::Reference;

/// Mean projection of a checkpoint's activations along a direction, in units of the reference rows: `(E[h]·v̂ − μ_ref) / σ_ref`.
///
/// **Shapes** `activations` is `[scenarios, d_model]`.
pub fn mean_projection(
    activations: ArrayView2<f32>,
    reference: &Dataset,
    direction: ArrayView1<f64>,
) -> Result<f64> {
    let (reference, _) = units(reference, direction)?;
    Ok(average(&reference.units(&project(activations, direction)?)))
}

/// Control directions, each in the units that it has on reference rows and turned as one that was fit on them would be.
///
/// A direction that was fit points to the positive class of its rows; each control is turned the same way, so that it had the same choice.
#[derive(Debug, Clone)]
pub struct Controls {
    directions: Array2<f64>,
    /// Units of each direction, and the sign that turns it to the positive class.
    units: Vec<(Reference, f64)>,
}

impl Controls {
    /// [`Random directions`](crate::control::random_directions) or [`random differences`](crate::control::random_difference_directions) of the
    /// reference rows, 64 of each by habit.
    ///
    /// **Shapes** `directions` is `[k, d_model]`.
    ///
    /// **Errors** when a width is not `d_model`, or a direction has no spread on the reference rows.
    pub fn new(reference: &Dataset, directions: Array2<f64>) -> Result<Self> {
        let one = |k: usize| units(reference, directions.row(k));
        let units = in_order((0..directions.nrows()).into_par_iter().map(one))?;
        Ok(Self { directions, units })
    }

    /// `k` [random differences](crate::control::random_differences_within) of the reference rows, each in the units of the other rows.
    ///
    /// The two rows of a difference lie half its length from the middle. Among few rows in many dimensions they make the spread along it, and a
    /// band in such units is too narrow: of 32 pairs in 200 dimensions 37.5 % of random movements leave the middle 95 % of 64 of them, instead
    /// of 7.9 %. Where fewer than two rows of their class would be left, they stay.
    ///
    /// **Errors** as [`Self::new`].
    pub fn differences(reference: &Dataset, k: usize, rng: &ChaCha8Rng) -> Result<Self> {
        let (directions, pairs) = random_differences_with_rows(reference, k, rng)?;
        let spared = reference.n_rows() - reference.n_positive() >= 4;
        let one = |index: usize| {
            let known = project(reference.x(), directions.row(index))?;
            let rows = (0..known.len()).filter(|row| !(spared && pairs[index].contains(row)));
            let (known, labels): (Vec<f64>, Vec<bool>) =
                rows.map(|row| (known[row], reference.labels()[row])).unzip();
            Ok((Reference::of(&known, &labels)?, sign(&known, &labels)))
        };
        let units = in_order((0..k).into_par_iter().map(one))?;
        Ok(Self { directions, units })
    }

    /// Directions whose units and signs are known.
    pub(super) fn with_units(directions: Array2<f64>, units: Vec<(Reference, f64)>) -> Self {
        Self { directions, units }
    }

    /// One of the directions, of length 1.
    pub(super) fn direction(&self, index: usize) -> ArrayView1<'_, f64> {
        self.directions.row(index)
    }

    /// Mean projection of the same activations along each.
    ///
    /// **Shapes** `activations` is `[scenarios, d_model]`.
    pub fn means(&self, activations: ArrayView2<f32>) -> Result<Vec<f64>> {
        let one = |k: usize| {
            let (reference, towards) = &self.units[k];
            let seen = reference.units(&project(activations, self.directions.row(k))?);
            Ok(towards * average(&seen))
        };
        in_order((0..self.units.len()).into_par_iter().map(one))
    }
}

/// Mean projections of the same activations along control directions, each in the units that it has itself on the reference rows.
///
/// The bands say how far along *any* direction the checkpoint has moved: fine-tuning shifts all activations, and the axes of largest variance most.
/// Scenarios are no reference rows and lie off zero before anything is trained: what training did is [`shift_band`]'s to say.
///
/// **Shapes** `activations` is `[scenarios, d_model]`, `directions` `[k, d_model]`.
///
/// **Errors** when a width is not `d_model`, or a direction has no spread on the reference rows.
pub fn projection_band(
    activations: ArrayView2<f32>,
    reference: &Dataset,
    directions: ArrayView2<f64>,
) -> Result<NullBand> {
    NullBand::new(Controls::new(reference, directions.to_owned())?.means(activations)?)
}

/// How far the mean projections of the same scenarios move from one checkpoint to another along control directions: the null of
/// `mean_projection(to) − mean_projection(from)`, which does not ask where scenarios lay before training.
///
/// **Shapes** as in [`projection_band`].
pub fn shift_band(
    from: ArrayView2<f32>,
    to: ArrayView2<f32>,
    reference: &Dataset,
    directions: ArrayView2<f64>,
) -> Result<NullBand> {
    let controls = Controls::new(reference, directions.to_owned())?;
    let (from, to) = (controls.means(from)?, controls.means(to)?);
    mean_shift_band([(&from[..], &to[..])])
}

/// What the same controls gave at the first of two checkpoints and at the second.
pub type Shift<'a> = (&'a [f64], &'a [f64]);

/// How far each control has moved, on average over runs: the null of a shift that is a mean over runs.
///
/// **Errors** without a run or without a control.
pub fn mean_shift_band<'a>(runs: impl IntoIterator<Item = Shift<'a>>) -> Result<NullBand> {
    let moved = |(from, to): Shift<'a>| to.iter().zip(from).map(|(to, from)| to - from).collect::<Vec<f64>>();
    let runs: Vec<Vec<f64>> = runs.into_iter().map(moved).collect();
    NullBand::of_means(&runs.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Units of a direction, and its sign.
fn units(reference: &Dataset, direction: ArrayView1<f64>) -> Result<(Reference, f64)> {
    let known = project(reference.x(), direction)?;
    Ok((Reference::of(&known, reference.labels())?, sign(&known, reference.labels())))
}

/// The sign that turns a direction to the positive class, by what rows have along it.
pub(super) fn sign(known: &[f64], labels: &[bool]) -> f64 {
    let n = labels.iter().filter(|label| **label).count() as f64;
    let (positive, all) = known.iter().zip(labels).fold((0.0, 0.0), |sums, (value, label)| {
        (sums.0 + if *label { value / n } else { 0.0 }, sums.1 + value / known.len() as f64)
    });
    if positive < all { -1.0 } else { 1.0 }
}

fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
