//! `x · Wᵀ` in f32 on the processor, where no row knows of the others.
//!
//! Every output is one chain of fused multiply-adds over the input's coordinates, in their order: neither the
//! number of rows, nor where the output lies in a tile, nor the threads change a bit of it. A general matrix
//! product cannot promise that: gemm 0.19 sums in another order for one row, for products of up to 256 outputs,
//! and in blocks beyond 512 coordinates whose size depends on the number of rows.
//!
//! Weights are read in panels as wide as two vectors: `[panel][coordinate][width]`.

use std::borrow::Cow;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::kernels::{self, Rows};
use crate::ops;

/// Numbers of one group of panels: small enough to stay in a core's second cache while rows pass by.
const GROUP: usize = 32 * 1024;
/// Rows that one pass over a panel serves where there are 32 vector registers.
const TILE: usize = 12;
/// Most rows that a thread takes at a time.
const ROWS: usize = 4 * TILE;
/// Multiplications below which a second thread costs more than it does.
const SPREAD: usize = 1 << 20;

/// `x · Wᵀ` with the weight as it is stored, laid out anew by every product.
pub(crate) struct Stored;

impl CustomOp2 for Stored {
    fn name(&self) -> &'static str {
        "row-exact-product"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        l: &Layout,
        weight: &CpuStorage,
        lw: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((t, x), (d_out, d_in)) = (ops::rows(x, l)?, lw.shape().dims2()?);
        let Some((start, end)) = lw.contiguous_offsets().filter(|_| d_in == x.width) else {
            candle_core::bail!("weights {lw:?} do not fit rows of {}", x.width)
        };
        let mut out = vec![0.0; t * d_out];
        multiply(x, &weight.as_slice()?[start..end], &mut out);
        Ok((CpuStorage::F32(out), (t, d_out).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        // Only what leads to a variable is multiplied out, and without a graph of its own.
        let grad = grad.contiguous()?;
        let dx = x.track_op().then(|| grad.matmul(&weight.detach())).transpose()?;
        let dw = weight.track_op().then(|| grad.t()?.matmul(&x.detach())).transpose()?;
        Ok((dx, dw))
    }
}

/// `x · Wᵀ` with a weight laid out once for many products.
pub(crate) struct LaidOut(pub(crate) Arc<Panels<'static>>);

impl CustomOp1 for LaidOut {
    fn name(&self) -> &'static str {
        "row-exact-product-laid-out"
    }

    fn cpu_fwd(&self, x: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((t, x), Panels { d_in, d_out, .. }) = (ops::rows(x, l)?, &*self.0);
        if *d_in != x.width {
            candle_core::bail!("weights of {d_in} inputs do not fit rows of {}", x.width)
        }
        let mut out = vec![0.0; t * d_out];
        multiply_panels(x, &self.0, &mut out);
        Ok((CpuStorage::F32(out), (t, *d_out).into()))
    }
}

/// A weight matrix laid out in panels; beyond the last output are zeros.
pub(crate) struct Panels<'a> {
    data: Cow<'a, [f32]>,
    d_in: usize,
    d_out: usize,
}

impl Panels<'static> {
    /// Lays out `weight` `[d_out, d_in]`, row-major.
    pub(crate) fn new(weight: &[f32], d_in: usize) -> Self {
        let (width, d_out) = (kernels::panel_width(), weight.len() / d_in);
        let mut data = vec![0.0; d_out.div_ceil(width) * width * d_in];
        if data.len() < SPREAD / 16 {
            lay_out_all(weight, d_in, width, &mut data);
        } else {
            let panels = data.par_chunks_mut(width * d_in).zip(weight.par_chunks(width * d_in));
            panels.for_each(|(panel, weight)| lay_out(weight, d_in, width, panel));
        }
        Self { data: Cow::Owned(data), d_in, d_out }
    }
}

fn lay_out_all(weight: &[f32], d_in: usize, width: usize, panels: &mut [f32]) {
    for (panel, weight) in panels.chunks_mut(width * d_in).zip(weight.chunks(width * d_in)) {
        lay_out(weight, d_in, width, panel);
    }
}

/// `weight` `[up to width, d_in]` → `panel` `[d_in, width]`, by squares of eight.
fn lay_out(weight: &[f32], d_in: usize, width: usize, panel: &mut [f32]) {
    const SIDE: usize = 8;
    for (tile, weight) in weight.chunks(SIDE * d_in).enumerate() {
        let mut done = 0;
        if weight.len() == SIDE * d_in {
            let rows: [_; SIDE] = std::array::from_fn(|row| weight[row * d_in..][..d_in].as_chunks().0);
            for (chunk, panel) in panel.chunks_exact_mut(SIDE * width).enumerate() {
                let square: [&[f32; SIDE]; SIDE] = std::array::from_fn(|row| &rows[row][chunk]);
                for (at, panel) in panel.chunks_exact_mut(width).enumerate() {
                    let column: [f32; SIDE] = std::array::from_fn(|row| square[row][at]);
                    panel[tile * SIDE..][..SIDE].copy_from_slice(&column);
                }
            }
            done = d_in / SIDE * SIDE;
        }
        for (row, weight) in weight.chunks_exact(d_in).enumerate() {
            for (at, x) in weight.iter().enumerate().skip(done) {
                panel[at * width + tile * SIDE + row] = *x;
            }
        }
    }
}

/// `x · Wᵀ`.
///
/// Shapes: `x` `[t, d_in]`, `weight` `[d_out, d_in]` row-major, `out` `[t, d_out]`.
fn multiply(x: Rows<'_>, weight: &[f32], out: &mut [f32]) {
    let (d_in, d_out) = (x.width, weight.len() / x.width);
    let t = out.len() / d_out;
    if t >= 2 * ROWS || t * weight.len() < SPREAD {
        return multiply_panels(x, &Panels::new(weight, d_in), out);
    }
    // For a few rows, writing all panels to memory would cost more than the product: groups of them are laid out
    // and used while they are in cache.
    let width = kernels::panel_width();
    let columns = (GROUP / (d_in * width)).max(1) * width;
    let parts: Vec<Vec<f32>> = weight
        .par_chunks(columns * d_in)
        .map(|weight| {
            let n = weight.len() / d_in;
            let mut data = vec![0.0; n.div_ceil(width) * width * d_in];
            lay_out_all(weight, d_in, width, &mut data);
            let panels = Panels { data: Cow::Borrowed(&data), d_in, d_out: n };
            let mut out = vec![0.0; t * n];
            Arch::new().dispatch(Task { x, first: 0, panels: &panels, out: &mut out });
            out
        })
        .collect();
    for (index, part) in parts.iter().enumerate() {
        let n = part.len() / t;
        for (out, part) in out.chunks_exact_mut(d_out).zip(part.chunks_exact(n)) {
            out[index * columns..][..n].copy_from_slice(part);
        }
    }
}

/// As [`multiply`], with weights laid out before.
fn multiply_panels(x: Rows<'_>, panels: &Panels<'_>, out: &mut [f32]) {
    let t = out.len() / panels.d_out;
    if t * panels.data.len() < SPREAD {
        return Arch::new().dispatch(Task { x, first: 0, panels, out });
    }
    let rows = t.div_ceil(rayon::current_num_threads()).next_multiple_of(TILE).min(ROWS);
    out.par_chunks_mut(rows * panels.d_out).enumerate().for_each(|(chunk, out)| {
        Arch::new().dispatch(Task { x, first: chunk * rows, panels, out });
    });
}

/// Some rows times all panels.
struct Task<'a> {
    x: Rows<'a>,
    first: usize,
    panels: &'a Panels<'a>,
    out: &'a mut [f32],
}

impl WithSimd for Task<'_> {
    type Output = ();

    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, first, panels, out } = self;
        let (d_in, d_out, width) = (panels.d_in, panels.d_out, 2 * S::F32_LANES);
        let (t, group) = (out.len() / d_out, (GROUP / (d_in * width)).max(1));
        for (index, panels) in panels.data.chunks(group * d_in * width).enumerate() {
            let mut row = 0;
            while row < t {
                let n = match t - row {
                    TILE.. if S::REGISTER_COUNT >= 32 => TILE,
                    6.. => 6,
                    3.. => 3,
                    _ => 1,
                };
                for (p, panel) in panels.chunks_exact(d_in * width).enumerate() {
                    let column = (index * group + p) * width;
                    let columns = column..(column + width).min(d_out);
                    let rows = first + row;
                    let tile = Tile { x, rows, panel, out: &mut out[row * d_out..], d_out, columns };
                    match n {
                        TILE => simd.vectorize(Of::<TILE>(tile)),
                        6 => simd.vectorize(Of::<6>(tile)),
                        3 => simd.vectorize(Of::<3>(tile)),
                        _ => simd.vectorize(Of::<1>(tile)),
                    }
                }
                row += n;
            }
        }
    }
}

/// A few rows of `x`, from `rows` on, times one panel; `out` begins with the first of them.
struct Tile<'a> {
    x: Rows<'a>,
    rows: usize,
    panel: &'a [f32],
    out: &'a mut [f32],
    d_out: usize,
    columns: std::ops::Range<usize>,
}

struct Of<'a, const N: usize>(Tile<'a>);

impl<const N: usize> WithSimd for Of<'_, N> {
    type Output = ();

    #[expect(clippy::inline_always, reason = "compiled for its vectors only inside the dispatch")]
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Tile { x, rows, panel, out, d_out, columns } = self.0;
        let rows: [&[f32]; N] = std::array::from_fn(|i| x.row(rows + i));
        let sums = kernels::product::<S, N, 2>(simd, rows, panel);
        for (i, [a, b]) in sums.into_iter().enumerate() {
            let out = &mut out[i * d_out..][columns.clone()];
            match S::as_mut_simd_f32s(out) {
                ([left, right], []) => (*left, *right) = (a, b),
                ([left], rest) => {
                    *left = a;
                    simd.partial_store_f32s(rest, b);
                }
                (_, rest) => simd.partial_store_f32s(rest, a),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize, mut seed: u32) -> Vec<f32> {
        let step = |_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / 8_388_608.0 - 1.0
        };
        (0..n).map(step).collect()
    }

    fn bits(x: &[f32]) -> Vec<u32> {
        x.iter().map(|x| x.to_bits()).collect()
    }

    /// One chain of fused multiply-adds for every output.
    fn plain(x: &[f32], weight: &[f32], d_in: usize) -> Vec<f32> {
        let output =
            |x: &[f32], w: &[f32]| x.iter().zip(w).fold(0.0, |sum, (x, w): (&f32, _)| x.mul_add(*w, sum));
        let row = |x: &[f32]| weight.chunks(d_in).map(|w| output(x, w)).collect::<Vec<_>>();
        x.chunks(d_in).flat_map(row).collect()
    }

    #[test]
    fn every_output_is_one_chain_whatever_the_rows() {
        for (d_in, d_out) in [(1, 1), (64, 291), (13, 33), (176, 64), (600, 100), (1100, 1030)] {
            let weight = noise(d_in * d_out, 7);
            let panels = Panels::new(&weight, d_in);
            for t in [1, 2, 5, 7, 11, 12, 13, 31, 64, 97, 130] {
                let data = noise(t * (d_in + 3), 1);
                let x = Rows { data: &data, stride: d_in + 3, width: d_in };
                let dense: Vec<f32> = (0..t).flat_map(|row| x.row(row).to_vec()).collect();
                let expected = bits(&plain(&dense, &weight, d_in));
                let (mut stored, mut laid_out) = (vec![f32::NAN; t * d_out], vec![f32::NAN; t * d_out]);
                multiply(x, &weight, &mut stored);
                multiply_panels(x, &panels, &mut laid_out);
                assert!(bits(&stored) == expected, "stored {d_in} {d_out} {t}");
                assert!(bits(&laid_out) == expected, "laid out {d_in} {d_out} {t}");
            }
        }
    }

    #[test]
    fn a_general_product_does_know_of_other_rows() {
        use candle_core::Device::Cpu;
        let (d_in, d_out) = (64, 64);
        let weight = Tensor::from_vec(noise(d_in * d_out, 7), (d_out, d_in), &Cpu).unwrap();
        let x = Tensor::from_vec(noise(12 * d_in, 1), (12, d_in), &Cpu).unwrap();
        let first = |product: &dyn Fn(&Tensor) -> Tensor, rows: usize| -> Vec<f32> {
            product(&x.narrow(0, 0, rows).unwrap()).get(0).unwrap().to_vec1().unwrap()
        };
        let general = |x: &Tensor| x.matmul(&weight.t().unwrap()).unwrap();
        let ours = |x: &Tensor| x.apply_op2(&weight, Stored).unwrap();
        assert_ne!(first(&general, 1), first(&general, 12));
        assert_eq!(bits(&first(&ours, 1)), bits(&first(&ours, 12)));
    }

    #[test]
    fn gradients_are_those_of_a_product() {
        use candle_core::{Device::Cpu, Var};
        let var = |n: usize, shape: (usize, usize), seed| {
            Var::from_tensor(&Tensor::from_vec(noise(n, seed), shape, &Cpu).unwrap()).unwrap()
        };
        let (x, weight) = (var(35, (5, 7), 1), var(21, (3, 7), 2));
        let grads = |y: Tensor| {
            let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let of = |var: &Var| grads.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            [of(&x), of(&weight)].concat()
        };
        let ours = grads(x.apply_op2(&weight, Stored).unwrap());
        let general = grads(x.matmul(&weight.t().unwrap()).unwrap());
        assert!(ours.iter().zip(&general).all(|(a, b)| (a - b).abs() < 1e-5), "{ours:?} {general:?}");
    }
}
