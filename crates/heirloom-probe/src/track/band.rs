//! What a projection would be along a direction that means nothing.

use ndarray::{ArrayView1, ArrayView2};
use rayon::prelude::*;

use crate::control::NullBand;
use crate::dataset::Dataset;
use crate::direction::project;
use crate::error::Result;
use crate::parallel::in_order;
use crate::score::Reference;

/// Mean projection of a checkpoint's activations along a direction, in units of the reference rows: `(E[h]·v̂ − μ_ref) / σ_ref`.
///
/// **Shapes** `activations` is `[scenarios, d_model]`.
pub fn mean_projection(
    activations: ArrayView2<f32>,
    reference: &Dataset,
    direction: ArrayView1<f64>,
) -> Result<f64> {
    Ok(in_units(activations, reference, direction)?.0)
}

/// Mean projections of the same activations along control directions, each in the units that it has itself on the reference rows.
///
/// A direction that was fit points to the positive class of its rows; each control is turned the same way, so that it had the same choice. Handed
/// [`random directions`](crate::control::random_directions) and [`random differences`](crate::control::random_difference_directions) of the reference
/// rows (64 of each by habit), the bands say how far along *any* direction the checkpoint has moved: fine-tuning shifts all activations, and the
/// axes of largest variance most. Scenarios are no reference rows and lie off zero before anything is trained: what training did is [`shift_band`]'s
/// to say.
///
/// **Shapes** `activations` is `[scenarios, d_model]`, `directions` `[k, d_model]`.
///
/// **Errors** when a width is not `d_model`, or a direction has no spread on the reference rows.
pub fn projection_band(
    activations: ArrayView2<f32>,
    reference: &Dataset,
    directions: ArrayView2<f64>,
) -> Result<NullBand> {
    let one = |k: usize| {
        let (mean, towards) = in_units(activations, reference, directions.row(k))?;
        Ok(mean * towards)
    };
    NullBand::new(in_order((0..directions.nrows()).into_par_iter().map(one))?)
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
    let (from, to) =
        (projection_band(from, reference, directions)?, projection_band(to, reference, directions)?);
    NullBand::new(to.values.iter().zip(&from.values).map(|(to, from)| to - from).collect())
}

/// The mean in reference units, and the sign that turns the direction to the positive class.
fn in_units(
    activations: ArrayView2<f32>,
    reference: &Dataset,
    direction: ArrayView1<f64>,
) -> Result<(f64, f64)> {
    let seen = project(activations, direction)?;
    let known = project(reference.x(), direction)?;
    let units = Reference::of(&known, reference.labels())?.units(&seen);
    let n = reference.n_positive() as f64;
    let (positive, all) = known.iter().zip(reference.labels()).fold((0.0, 0.0), |sums, (value, label)| {
        (sums.0 + if *label { value / n } else { 0.0 }, sums.1 + value / known.len() as f64)
    });
    let towards = if positive < all { -1.0 } else { 1.0 };
    Ok((units.iter().sum::<f64>() / units.len() as f64, towards))
}
