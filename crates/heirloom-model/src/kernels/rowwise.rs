//! Kernels whose output rows come from the same rows of their inputs.

use super::{Rows, dot, for_rows, for_rows_with_sums};

/// `x / sqrt(mean(x²) + eps)`, times `weight` where given.
///
/// Source: `RMSNorm`, arXiv 1910.07467, equation 4; the order of operations is that of transformers.
pub(crate) fn rms_norm(x: Rows<'_>, weight: Option<&[f32]>, eps: f32, out: &mut [f32]) {
    for_rows(
        out,
        x.width,
        #[inline(always)]
        |row, out| {
            let x = x.row(row);
            let scale = inverse_rms(x, eps);
            match weight {
                Some(weight) => {
                    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                        *out = x * scale * weight;
                    }
                }
                None => {
                    for (out, x) in out.iter_mut().zip(x) {
                        *out = x * scale;
                    }
                }
            }
        },
    );
}

/// Gradient of [`rms_norm`] in `x`, into `out`; returns the one in the weight.
///
/// With `s = 1 / sqrt(mean(x²) + eps)` and `g = weight · grad`, `dx = s g − s³ mean(g x) x`.
pub(crate) fn rms_norm_backward(
    x: Rows<'_>,
    weight: Option<&[f32]>,
    eps: f32,
    grad: Rows<'_>,
    out: &mut [f32],
) -> Vec<f32> {
    for_rows_with_sums(
        out,
        x.width,
        x.width,
        #[inline(always)]
        |row, out, sums| {
            let (x, grad) = (x.row(row), grad.row(row));
            let scale = inverse_rms(x, eps);
            for ((sum, x), grad) in sums.iter_mut().zip(x).zip(grad) {
                *sum += grad * x * scale;
            }
            match weight {
                Some(weight) => {
                    for ((out, grad), weight) in out.iter_mut().zip(grad).zip(weight) {
                        *out = grad * weight;
                    }
                }
                None => out.copy_from_slice(grad),
            }
            let pull = dot(out, x) / x.len() as f32 * scale * scale;
            for (out, x) in out.iter_mut().zip(x) {
                *out = (*out - pull * x) * scale;
            }
        },
    )
}

#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + eps).sqrt()
}

/// `a + b`.
pub(crate) fn add(a: Rows<'_>, b: Rows<'_>, out: &mut [f32]) {
    for_rows(
        out,
        a.width,
        #[inline(always)]
        |row, out| {
            for ((out, a), b) in out.iter_mut().zip(a.row(row)).zip(b.row(row)) {
                *out = a + b;
            }
        },
    );
}

/// Adds `x` to `out`.
pub(crate) fn add_to(x: Rows<'_>, out: &mut [f32]) {
    for_rows(
        out,
        x.width,
        #[inline(always)]
        |row, out| {
            for (out, x) in out.iter_mut().zip(x.row(row)) {
                *out += x;
            }
        },
    );
}

/// Σ over the `n` rows of `x`.
pub(crate) fn sum_rows(x: Rows<'_>, n: usize) -> Vec<f32> {
    let mut rows = vec![0.0; n];
    for_rows_with_sums(
        &mut rows,
        1,
        x.width,
        #[inline(always)]
        |row, _, sums| {
            for (sum, x) in sums.iter_mut().zip(x.row(row)) {
                *sum += x;
            }
        },
    )
}

/// Rotates the two halves of what is rotated of every head: `(a, b) → (a cos − b sin, b cos + a sin)`; the rest of it
/// stays.
///
/// Shapes: `x` `[t, n_heads · d_head]`, `cos` and `sin` `[t, d_rotary / 2]`.
///
/// Source: `apply_rotary_pos_emb` of transformers' `modeling_llama.py` and `modeling_gpt_neox.py`.
pub(crate) fn rotate(
    x: Rows<'_>,
    (cos, sin): (Rows<'_>, Rows<'_>),
    d_head: usize,
    direction: Turn,
    out: &mut [f32],
) {
    for_rows(
        out,
        x.width,
        #[inline(always)]
        |row, out| {
            let (cos, sin) = (cos.row(row), sin.row(row));
            let heads = x.row(row).chunks_exact(d_head);
            for (out, x) in out.chunks_exact_mut(d_head).zip(heads) {
                turn(x, cos, sin, direction, out);
            }
        },
    );
}

/// Which way a head is rotated. A rotation's gradient is rotated back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Forth,
    Back,
}

/// Rotates one head.
#[inline(always)]
pub(super) fn turn(x: &[f32], cos: &[f32], sin: &[f32], direction: Turn, out: &mut [f32]) {
    let half = cos.len();
    let sign = if direction == Turn::Forth { 1.0 } else { -1.0 };
    out[2 * half..].copy_from_slice(&x[2 * half..]);
    let ((left, right), (a, b)) = (out.split_at_mut(half), x.split_at(half));
    let (b, right, sin) = (&b[..half], &mut right[..half], &sin[..half]);
    for i in 0..half {
        let sin = sign * sin[i];
        left[i] = a[i] * cos[i] - b[i] * sin;
        right[i] = b[i] * cos[i] + a[i] * sin;
    }
}
