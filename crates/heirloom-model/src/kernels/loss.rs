//! Cross-entropy of logits.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{Rows, exp, for_rows, sum, tanh, top};

/// Rows handed to a thread at a time: they are as long as the vocabulary.
const ROWS: usize = 4;

/// Σ weight · −ln softmax(row)[target] over the rows of `logits`; with `backward`, the logits become the gradient,
/// `weight · (softmax − onehot)`.
///
/// Shapes: `logits` `[n, v]`, `targets` and `weights` `[n]`.
pub(crate) fn cross_entropy(logits: &mut [f32], targets: &[u32], weights: &[f32], backward: bool) -> f64 {
    let v = logits.len() / targets.len().max(1);
    let arch = Arch::new();
    let mut losses = vec![0.0; targets.len()];
    let rows = logits.par_chunks_mut(v.max(1) * ROWS).zip(losses.par_chunks_mut(ROWS));
    rows.zip(targets.par_chunks(ROWS).zip(weights.par_chunks(ROWS))).for_each(
        |((logits, losses), (targets, weights))| {
            let rows = logits.chunks_exact_mut(v).zip(losses).zip(targets.iter().zip(weights));
            for ((logits, loss), (target, weight)) in rows {
                let row = Row { logits, target: *target as usize, weight: *weight, backward };
                *loss = arch.dispatch(row);
            }
        },
    );
    losses.iter().sum()
}

/// `cap · tanh(x / cap)` in place. `[n, v]`
pub(crate) fn softcap(x: &mut [f32], v: usize, cap: f32) {
    for_rows(
        x,
        v,
        #[inline(always)]
        |_, x| {
            for x in x {
                *x = cap * tanh(*x / cap);
            }
        },
    );
}

/// Gradients in what [`softcap`] made `capped` of, from those in it, in place.
pub(crate) fn softcap_backward(capped: Rows<'_>, cap: f32, grad: &mut [f32]) {
    for_rows(
        grad,
        capped.width,
        #[inline(always)]
        |row, grad| {
            for (grad, y) in grad.iter_mut().zip(capped.row(row)) {
                let t = y / cap;
                *grad *= 1.0 - t * t;
            }
        },
    );
}

struct Row<'a> {
    logits: &'a mut [f32],
    target: usize,
    weight: f32,
    backward: bool,
}

impl WithSimd for Row<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let Self { logits, target, weight, backward } = self;
        let (top, at_target) = (top(logits), logits[target]);
        for x in logits.iter_mut() {
            *x = exp(*x - top);
        }
        let total = sum(logits);
        if backward {
            let scale = weight / total;
            for x in logits.iter_mut() {
                *x *= scale;
            }
            logits[target] -= weight;
        }
        f64::from(weight) * (f64::from(total).ln() + f64::from(top) - f64::from(at_target))
    }
}
