//! Norms that take the mean away.

use super::{Rows, dot, for_rows, for_rows_with_sums, sum};

/// `(x − mean(x)) / sqrt(var(x) + eps)`, times `weight` plus `bias` where given.
///
/// Source: arXiv 1607.06450, equation 4.
pub(crate) fn layer_norm(x: Rows<'_>, scale: Option<(&[f32], &[f32])>, eps: f32, out: &mut [f32]) {
    for_rows(
        out,
        x.width,
        #[inline(always)]
        |row, out| {
            standardize(x.row(row), eps, out);
            if let Some((weight, bias)) = scale {
                for ((out, weight), bias) in out.iter_mut().zip(weight).zip(bias) {
                    *out = *out * weight + bias;
                }
            }
        },
    );
}

/// Gradient of [`layer_norm`] in `x`, into `out`; returns those in weight and bias, one behind the other.
///
/// With `y` the standardized row and `g = weight · grad`, `dx = (g − mean(g) − mean(g y) y) / sqrt(var + eps)`.
pub(crate) fn layer_norm_backward(
    x: Rows<'_>,
    weight: Option<&[f32]>,
    eps: f32,
    grad: Rows<'_>,
    out: &mut [f32],
) -> Vec<f32> {
    let width = x.width;
    for_rows_with_sums(
        out,
        width,
        3 * width,
        #[inline(always)]
        |row, out, sums| {
            let grad = grad.row(row);
            // The last third is scratch.
            let (in_weight, rest) = sums.split_at_mut(width);
            let (in_bias, y) = rest.split_at_mut(width);
            let inverse = standardize(x.row(row), eps, y);
            for ((sum, y), grad) in in_weight.iter_mut().zip(&*y).zip(grad) {
                *sum += grad * y;
            }
            for (sum, grad) in in_bias.iter_mut().zip(grad) {
                *sum += grad;
            }
            match weight {
                Some(weight) => {
                    for ((out, grad), weight) in out.iter_mut().zip(grad).zip(weight) {
                        *out = grad * weight;
                    }
                }
                None => out.copy_from_slice(grad),
            }
            let (mean, pull) = (sum(out) / width as f32, dot(out, y) / width as f32);
            for (out, y) in out.iter_mut().zip(&*y) {
                *out = (*out - mean - pull * y) * inverse;
            }
            y.fill(0.0);
        },
    )
}

/// The row standardized, into `out`; returns what its distances from the mean were multiplied by.
#[inline(always)]
fn standardize(x: &[f32], eps: f32, out: &mut [f32]) -> f32 {
    let mean = sum(x) / x.len() as f32;
    for (out, x) in out.iter_mut().zip(x) {
        *out = x - mean;
    }
    let inverse = 1.0 / (dot(out, out) / x.len() as f32 + eps).sqrt();
    for out in out.iter_mut() {
        *out *= inverse;
    }
    inverse
}
