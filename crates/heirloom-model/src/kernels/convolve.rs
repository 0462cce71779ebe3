//! Causal convolution over the tokens of a row, each channel by itself.

use super::{Rows, for_rows, for_rows_with_sums};

/// Tokens before those of a batch: for each token its row and how many of the row came before it in the batch, and for
/// each row the last tokens before the batch, oldest first.
pub(crate) struct Earlier<'a> {
    pub(crate) places: &'a [(usize, usize)],
    /// `[taps − 1, width]` for each row; all zero where there were none.
    pub(crate) tails: &'a [Vec<f32>],
}

impl Earlier<'_> {
    /// What stood `back` tokens before `token`; none before the row's first.
    #[inline(always)]
    fn at<'a>(&'a self, x: Rows<'a>, taps: usize, token: usize, back: usize) -> Option<&'a [f32]> {
        let (row, place) = self.places[token];
        if back <= place {
            return Some(x.row(token - back));
        }
        let tail = self.tails.get(row)?;
        Some(&tail[(taps - 1 - (back - place)) * x.width..][..x.width])
    }
}

/// `out[t, c] = Σ_j weight[c, j] · x[t − (taps − 1) + j, c]`.
///
/// Shapes: `x` and `out` `[t, width]`, `weight` `[width, taps]`.
pub(crate) fn convolve(x: Rows<'_>, weight: &[f32], earlier: &Earlier<'_>, out: &mut [f32]) {
    let taps = weight.len() / x.width;
    for_rows(
        out,
        x.width,
        #[inline(always)]
        |token, out| {
            for tap in 0..taps {
                let Some(row) = earlier.at(x, taps, token, taps - 1 - tap) else { continue };
                for ((out, x), weight) in out.iter_mut().zip(row).zip(weight.iter().skip(tap).step_by(taps)) {
                    *out += weight * x;
                }
            }
        },
    );
}

/// Gradients of [`convolve`] without earlier tokens: in `x`, into `out`; returns the one in the weight.
pub(crate) fn convolve_backward(
    x: Rows<'_>,
    weight: &[f32],
    earlier: &Earlier<'_>,
    grad: Rows<'_>,
    out: &mut [f32],
) -> Vec<f32> {
    let taps = weight.len() / x.width;
    for_rows_with_sums(
        out,
        x.width,
        weight.len(),
        #[inline(always)]
        |token, out, sums| {
            let own = grad.row(token);
            for tap in 0..taps {
                let back = taps - 1 - tap;
                if let Some(row) = earlier.at(x, taps, token, back) {
                    for ((sum, x), grad) in sums.iter_mut().skip(tap).step_by(taps).zip(row).zip(own) {
                        *sum += grad * x;
                    }
                }
                // The token that this one is `back` before, where it is of the same row.
                let (row, place) = earlier.places[token];
                if earlier.places.get(token + back) == Some(&(row, place + back)) {
                    let weights = weight.iter().skip(tap).step_by(taps);
                    for ((out, grad), weight) in out.iter_mut().zip(grad.row(token + back)).zip(weights) {
                        *out += weight * grad;
                    }
                }
            }
        },
    )
}
