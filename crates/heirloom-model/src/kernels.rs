//! Fused f32 kernels for the processor, forward and backward: plain slices in, plain slices out.
//!
//! `pulp` picks the widest vectors of the machine at run time and rayon spreads rows over threads. Each output
//! row depends on its own inputs alone and is summed in a fixed order, and sums over rows are taken in blocks that
//! depend on the sizes alone; so neither the number of threads nor the other rows of a batch change a bit of it.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined into a pulp dispatch is compiled for its vectors"
)]

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

mod activation;
mod convolve;
mod delta;
mod layer_norm;
mod rowwise;

mod attention;
mod attention_backward;

mod gather;
mod loss;

pub(crate) use activation::{act, act_backward, act_mul, act_mul_backward};
pub(crate) use attention::{Segment, Sizes, attention, product, store, weights};
pub(crate) use attention_backward::attention_backward;
pub(crate) use convolve::{Earlier, convolve, convolve_backward};
pub(crate) use delta::{DeltaSizes, delta, delta_backward};
pub(crate) use gather::{gather, scatter_add};
pub(crate) use layer_norm::{layer_norm, layer_norm_backward};
pub(crate) use loss::{cross_entropy, softcap, softcap_backward};
pub(crate) use rowwise::{Turn, add, add_to, rms_norm, rms_norm_backward, rotate, sum_rows};

/// Rows handed to a thread at a time by the elementwise kernels.
const ROWS: usize = 32;

/// A matrix whose rows lie `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) width: usize,
}

impl<'a> Rows<'a> {
    pub(crate) fn row(&self, index: usize) -> &'a [f32] {
        &self.data[index * self.stride..][..self.width]
    }

    /// Some of the columns.
    pub(crate) fn columns(self, start: usize, width: usize) -> Self {
        Self { data: &self.data[start.min(self.data.len())..], stride: self.stride, width }
    }
}

/// Columns of a panel: two of this machine's vectors.
pub(crate) fn panel_width() -> usize {
    struct Width;
    impl WithSimd for Width {
        type Output = usize;
        fn with_simd<S: Simd>(self, _: S) -> usize {
            2 * S::F32_LANES
        }
    }
    Arch::new().dispatch(Width)
}

/// Runs `f(row, out)` for every row of `out`, vectorized and spread over threads.
fn for_rows(out: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    let arch = Arch::new();
    out.par_chunks_mut(width * ROWS).enumerate().for_each(|(chunk, out)| {
        arch.dispatch(Chunk { first: chunk * ROWS, width, out, f: &f });
    });
}

/// As [`for_rows`], with `n_sums` running sums: `f(row, out, sums)`. Every chunk of rows has its own, and they are
/// added in the order of the chunks.
fn for_rows_with_sums(
    out: &mut [f32],
    width: usize,
    n_sums: usize,
    f: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) -> Vec<f32> {
    let arch = Arch::new();
    let mut sums = vec![0.0; n_sums * out.len().div_ceil(width * ROWS)];
    let chunks = out.par_chunks_mut(width * ROWS).zip(sums.par_chunks_mut(n_sums));
    chunks.enumerate().for_each(|(chunk, (out, sums))| {
        arch.dispatch(ChunkWithSums { first: chunk * ROWS, width, out, sums, f: &f });
    });
    let mut total = vec![0.0; n_sums];
    for sums in sums.chunks_exact(n_sums) {
        for (total, sum) in total.iter_mut().zip(sums) {
            *total += sum;
        }
    }
    total
}

/// A closure given to pulp directly is called through a shim that is not inlined and so not vectorized.
struct Chunk<'a, F> {
    first: usize,
    width: usize,
    out: &'a mut [f32],
    f: &'a F,
}

impl<F: Fn(usize, &mut [f32])> WithSimd for Chunk<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (row, out) in self.out.chunks_exact_mut(self.width).enumerate() {
            (self.f)(self.first + row, out);
        }
    }
}

struct ChunkWithSums<'a, F> {
    first: usize,
    width: usize,
    out: &'a mut [f32],
    sums: &'a mut [f32],
    f: &'a F,
}

impl<F: Fn(usize, &mut [f32], &mut [f32])> WithSimd for ChunkWithSums<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (row, out) in self.out.chunks_exact_mut(self.width).enumerate() {
            (self.f)(self.first + row, out, self.sums);
        }
    }
}

/// Σ a·b in sixteen running sums: a fixed order that vectors of every width can follow.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (a, rest_a) = a.as_chunks::<16>();
    let (b, rest_b) = b.as_chunks::<16>();
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = a.mul_add(*b, *sum);
        }
    }
    let head: f32 = sums.iter().sum();
    rest_a.iter().zip(rest_b).fold(head, |sum, (a, b)| a.mul_add(*b, sum))
}

/// The largest number; NaN where there is one is not.
#[inline(always)]
pub(crate) fn top(x: &[f32]) -> f32 {
    let mut tops = [f32::NEG_INFINITY; 16];
    let (chunks, rest) = x.as_chunks::<16>();
    for chunk in chunks {
        for (top, x) in tops.iter_mut().zip(chunk) {
            *top = if *x > *top { *x } else { *top };
        }
    }
    tops.iter().chain(rest).fold(f32::NEG_INFINITY, |top, x| top.max(*x))
}

/// Σ x in sixteen running sums.
#[inline(always)]
fn sum(x: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (chunks, rest) = x.as_chunks::<16>();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += x;
        }
    }
    sums.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

/// e^x within 2 units in the last place on [−87, 88]; NaN stays NaN.
///
/// The standard library's is a call per number and cannot be vectorized.
///
/// Source: Cody and Waite's reduction to |r| ≤ ln 2 / 2, then the Taylor polynomial of degree 7.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    let x = x.clamp(-87.3, 88.3);
    // Adding 1.5 · 2²³ leaves the rounded integer in the low bits of the mantissa.
    let shifted = x.mul_add(std::f32::consts::LOG2_E, SHIFT);
    let n = shifted - SHIFT;
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    let p = 1.0_f32 / 5040.0;
    let p = p.mul_add(r, 1.0 / 720.0);
    let p = p.mul_add(r, 1.0 / 120.0);
    let p = p.mul_add(r, 1.0 / 24.0);
    let p = p.mul_add(r, 1.0 / 6.0);
    let p = p.mul_add(r, 0.5);
    let p = p.mul_add(r, 1.0);
    let p = p.mul_add(r, 1.0);
    f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// tanh x within 3 units in the last place.
///
/// Source: `tanhf` of Cephes: a polynomial in x² near 0, `1 − 2 / (e^2x + 1)` elsewhere.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let z = x * x;
    let near = (-5.704_988_7e-3_f32)
        .mul_add(z, 2.063_909e-2)
        .mul_add(z, -5.373_971_6e-2)
        .mul_add(z, 1.333_144_2e-1)
        .mul_add(z, -3.333_328e-1);
    let a = x.abs();
    let far = (1.0 - 2.0 / (exp(2.0 * a) + 1.0)).copysign(x);
    if a < 0.625 { (near * z).mul_add(x, x) } else { far }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tanh_is_within_three_units_in_the_last_place() {
        let worst = (-200_000..=200_000).map(|i| i as f32 * 1e-4).fold(0.0_f64, |worst, x| {
            let exact = f64::from(x).tanh();
            worst.max((f64::from(tanh(x)) - exact).abs() / exact.abs().max(1e-30))
        });
        assert!(worst < 3.0 * f64::from(f32::EPSILON), "{worst:e}");
        assert!(tanh(f32::NAN).is_nan());
    }

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        let worst = (-870_000..=880_000).map(|i| i as f32 * 1e-4).fold(0.0_f64, |worst, x| {
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            worst.max(error)
        });
        assert!(worst < 2.0 * f64::from(f32::EPSILON), "{worst}");
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
    }
}
