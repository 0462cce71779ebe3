//! Fused f32 kernels for the processor: plain slices in, plain slices out.
//!
//! `pulp` picks the widest vectors of the machine at run time and rayon spreads rows over threads. Each output
//! row depends on its own inputs alone and is summed in a fixed order, so neither the number of threads nor the
//! other rows of a batch change a bit of it.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined into a pulp dispatch is compiled for its vectors"
)]

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Rows handed to a thread at a time by the elementwise kernels.
const ROWS: usize = 32;
/// Queries that one pass over the keys serves.
const QUERIES: usize = 4;
/// Queries handed to a thread at a time by attention.
const BLOCK: usize = 16;

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
            let scale = 1.0 / (sum_of_squares(x) / x.len() as f32 + eps).sqrt();
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

/// Sixteen running sums: a fixed order that vectors of every width can follow.
#[inline(always)]
fn sum_of_squares(x: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (chunks, rest) = x.as_chunks::<16>();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum = x.mul_add(*x, *sum);
        }
    }
    let head: f32 = sums.iter().sum();
    rest.iter().fold(head, |sum, x| x.mul_add(*x, sum))
}

/// `silu(gate) · linear`.
pub(crate) fn silu_mul(gate: Rows<'_>, linear: Rows<'_>, out: &mut [f32]) {
    for_rows(
        out,
        gate.width,
        #[inline(always)]
        |row, out| {
            for ((out, gate), linear) in out.iter_mut().zip(gate.row(row)).zip(linear.row(row)) {
                *out = gate / (1.0 + exp(-gate)) * linear;
            }
        },
    );
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

/// Rotates the two halves of every head: `(a, b) → (a cos − b sin, b cos + a sin)`.
///
/// Shapes: `x` `[t, n_heads · d_head]`, `cos` and `sin` `[t, d_head / 2]`.
///
/// Source: `apply_rotary_pos_emb` of transformers' `modeling_llama.py`.
pub(crate) fn rotate(x: Rows<'_>, cos: Rows<'_>, sin: Rows<'_>, out: &mut [f32]) {
    let half = cos.width;
    for_rows(
        out,
        x.width,
        #[inline(always)]
        |row, out| {
            let (cos, sin) = (cos.row(row), sin.row(row));
            let heads = x.row(row).chunks_exact(2 * half);
            for (out, x) in out.chunks_exact_mut(2 * half).zip(heads) {
                let ((left, right), (a, b)) = (out.split_at_mut(half), x.split_at(half));
                for i in 0..half {
                    left[i] = a[i] * cos[i] - b[i] * sin[i];
                    right[i] = b[i] * cos[i] + a[i] * sin[i];
                }
            }
        },
    );
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

/// Which keys a row's queries may see.
///
/// Query `i` of `q` stands at key `k.len() − q.len() + i` of `k`: without a cache both ranges are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) q: Range<usize>,
    pub(crate) k: Range<usize>,
}

impl Segment {
    /// The keys, counted inside the segment, that query `i` sees.
    pub(crate) fn seen(&self, i: usize, window: Option<usize>) -> Range<usize> {
        let end = self.k.len() - self.q.len() + i + 1;
        window.map_or(0, |window| end.saturating_sub(window))..end
    }
}

/// Sizes of one attention.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) n_heads: usize,
    pub(crate) n_kv_heads: usize,
    pub(crate) d_head: usize,
    pub(crate) scale: f32,
    pub(crate) window: Option<usize>,
}

/// Causal softmax attention of every segment with itself.
///
/// Shapes: `q` `[t, n_heads · d_head]`, `k` and `v` `[_, n_kv_heads · d_head]`, `out` as `q`.
///
/// Keys and values of a segment are first laid out in panels as wide as two vectors, so that the inner loops of
/// both products read contiguous memory whatever the head's width.
///
/// Source: arXiv 1706.03762, equation 1; grouped heads, arXiv 2305.13245.
pub(crate) fn attention(
    q: Rows<'_>,
    k: Rows<'_>,
    v: Rows<'_>,
    segments: &[Segment],
    heads: Sizes,
    out: &mut [f32],
) {
    struct Run<'a>(Rows<'a>, Rows<'a>, Rows<'a>, &'a [Segment], Sizes, &'a mut [f32]);
    impl WithSimd for Run<'_> {
        type Output = ();
        fn with_simd<S: Simd>(self, simd: S) {
            attention_with(simd, self.0, self.1, self.2, self.3, self.4, self.5);
        }
    }
    Arch::new().dispatch(Run(q, k, v, segments, heads, out));
}

/// Keys or values of one segment and one head, in panels of `width` columns.
struct Panels {
    data: Vec<f32>,
    /// Numbers in one panel.
    size: usize,
}

fn attention_with<S: Simd>(
    simd: S,
    q: Rows<'_>,
    k: Rows<'_>,
    v: Rows<'_>,
    segments: &[Segment],
    heads: Sizes,
    out: &mut [f32],
) {
    let (g, e, width) = (heads.n_kv_heads, heads.d_head, 2 * S::F32_LANES);
    let packed: Vec<(Panels, Panels)> = (0..segments.len() * g)
        .into_par_iter()
        .map(|task| {
            let (segment, head) = (&segments[task / g], task % g);
            (pack_keys(k, segment, head, e, width), pack_values(v, segment, head, e, width))
        })
        .collect();
    let mut blocks = Vec::new();
    let mut rest = out;
    for (index, segment) in segments.iter().enumerate() {
        for start in (0..segment.q.len()).step_by(BLOCK) {
            let queries = start..(start + BLOCK).min(segment.q.len());
            let (block, after) = rest.split_at_mut(queries.len() * q.width);
            rest = after;
            blocks.push((index, queries, block));
        }
    }
    blocks.into_par_iter().for_each(|(index, queries, out)| {
        let segment = &segments[index];
        for head in 0..heads.n_heads {
            let (keys, values) = &packed[index * g + head / (heads.n_heads / g)];
            let mut start = queries.start;
            while start < queries.end {
                let n = if start + QUERIES <= queries.end { QUERIES } else { 1 };
                let out = &mut out[(start - queries.start) * q.width..];
                let task = Task { q, segment, heads, head, keys, values, start, out };
                if n == QUERIES {
                    simd.vectorize(Queries::<QUERIES>(task));
                } else {
                    simd.vectorize(Queries::<1>(task));
                }
                start += n;
            }
        }
    });
}

/// `[panel][d_head][width]`: column `c` of panel `p` is key `p · width + c`; beyond the last key are zeros.
fn pack_keys(k: Rows<'_>, segment: &Segment, head: usize, e: usize, width: usize) -> Panels {
    let size = e * width;
    let mut data = vec![0.0; segment.k.len().div_ceil(width) * size];
    for (key, row) in segment.k.clone().enumerate() {
        let panel = &mut data[key / width * size..][..size];
        for (d, x) in k.row(row)[head * e..][..e].iter().enumerate() {
            panel[d * width + key % width] = *x;
        }
    }
    Panels { data, size }
}

/// `[panel][key][width]`: column `c` of panel `p` is coordinate `p · width + c`.
fn pack_values(v: Rows<'_>, segment: &Segment, head: usize, e: usize, width: usize) -> Panels {
    let size = segment.k.len() * width;
    let mut data = vec![0.0; e.div_ceil(width) * size];
    for (key, row) in segment.k.clone().enumerate() {
        for (panel, x) in v.row(row)[head * e..][..e].chunks(width).enumerate() {
            data[panel * size + key * width..][..x.len()].copy_from_slice(x);
        }
    }
    Panels { data, size }
}

/// One head of a few queries.
struct Task<'a> {
    q: Rows<'a>,
    segment: &'a Segment,
    heads: Sizes,
    head: usize,
    keys: &'a Panels,
    values: &'a Panels,
    start: usize,
    out: &'a mut [f32],
}

struct Queries<'a, const N: usize>(Task<'a>);

impl<const N: usize> WithSimd for Queries<'_, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Task { q, segment, heads, head, keys, values, start, out } = self.0;
        let (e, width) = (heads.d_head, 2 * S::F32_LANES);
        let queries: [&[f32]; N] =
            std::array::from_fn(|i| &q.row(segment.q.start + start + i)[head * e..][..e]);
        let seen: [Range<usize>; N] = std::array::from_fn(|i| segment.seen(start + i, heads.window));
        // The window and the causal limit both move on with the query.
        let (first, end) = (seen[0].start / width * width, seen[N - 1].end);

        let n = (end - first).next_multiple_of(width);
        let mut weights = vec![0.0; N * n];
        for (at, panel) in (0..n).step_by(width).zip(keys.data.chunks_exact(keys.size).skip(first / width)) {
            let scores = product::<S, N>(simd, queries, panel);
            for (i, scores) in scores.iter().enumerate() {
                store::<S>(scores, &mut weights[i * n + at..][..width]);
            }
        }
        for (weights, seen) in weights.chunks_exact_mut(n).zip(&seen) {
            softmax(weights, seen.start - first..seen.end - first, heads.scale);
        }
        let mut rows = weights.chunks_exact(n);
        let weights: [&[f32]; N] = std::array::from_fn(|_| &rows.next().unwrap_or_default()[..end - first]);
        let mut column = vec![0.0; width];
        for (p, panel) in values.data.chunks_exact(values.size).enumerate() {
            let sums = product::<S, N>(simd, weights, &panel[first * width..end * width]);
            let columns = (p * width)..((p + 1) * width).min(e);
            for (i, sums) in sums.iter().enumerate() {
                store::<S>(sums, &mut column);
                let out = &mut out[i * q.width + head * e..][columns.clone()];
                out.copy_from_slice(&column[..columns.len()]);
            }
        }
    }
}

/// `left · panel` for a panel of two vectors' width: `N` rows times `[len, width]`.
#[inline(always)]
pub(crate) fn product<S: Simd, const N: usize>(
    simd: S,
    left: [&[f32]; N],
    panel: &[f32],
) -> [[S::f32s; 2]; N] {
    let mut sums = [[simd.splat_f32s(0.0); 2]; N];
    let (panel, _) = S::as_simd_f32s(panel);
    let (panel, _) = panel.as_chunks::<2>();
    let left = left.map(|row| &row[..panel.len()]);
    for (t, [a, b]) in panel.iter().enumerate() {
        for (sums, left) in sums.iter_mut().zip(&left) {
            let x = simd.splat_f32s(left[t]);
            sums[0] = simd.mul_add_f32s(x, *a, sums[0]);
            sums[1] = simd.mul_add_f32s(x, *b, sums[1]);
        }
    }
    sums
}

#[inline(always)]
pub(crate) fn store<S: Simd>(values: &[S::f32s; 2], out: &mut [f32]) {
    for (out, value) in S::as_mut_simd_f32s(out).0.iter_mut().zip(values) {
        *out = *value;
    }
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

/// Softmax of `scale · x` over `seen`; everything outside becomes zero.
#[inline(always)]
pub(crate) fn softmax(x: &mut [f32], seen: Range<usize>, scale: f32) {
    x[..seen.start].fill(0.0);
    x[seen.end..].fill(0.0);
    let x = &mut x[seen];
    let top = top(x);
    for x in x.iter_mut() {
        *x = exp((*x - top) * scale);
    }
    let mut sums = [0.0_f32; 16];
    let (chunks, rest) = x.as_chunks::<16>();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += x;
        }
    }
    let sum = sums.iter().sum::<f32>() + rest.iter().sum::<f32>();
    let scale = 1.0 / sum;
    for x in x.iter_mut() {
        *x *= scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// Attention by the book in f64.
    fn plain(q: Rows<'_>, k: Rows<'_>, v: Rows<'_>, segments: &[Segment], heads: Sizes) -> Vec<f64> {
        let (e, group) = (heads.d_head, heads.n_heads / heads.n_kv_heads);
        let mut out = Vec::new();
        for segment in segments {
            for i in 0..segment.q.len() {
                for head in 0..heads.n_heads {
                    let at =
                        |x: Rows<'_>, row: usize, head: usize, d: usize| f64::from(x.row(row)[head * e + d]);
                    let seen = segment.seen(i, heads.window);
                    let score = |j: usize| {
                        let dot = |d| {
                            at(q, segment.q.start + i, head, d) * at(k, segment.k.start + j, head / group, d)
                        };
                        ((0..e).map(dot).sum::<f64>() * f64::from(heads.scale)).exp()
                    };
                    let scores: Vec<f64> = seen.clone().map(score).collect();
                    let total: f64 = scores.iter().sum();
                    for d in 0..e {
                        let value =
                            |(s, j): (&f64, usize)| s / total * at(v, segment.k.start + j, head / group, d);
                        out.push(scores.iter().zip(seen.clone()).map(value).sum());
                    }
                }
            }
        }
        out
    }

    #[test]
    fn attention_is_attention_by_the_book() {
        for (n_heads, n_kv_heads, e, window) in
            [(2, 2, 8, None), (4, 1, 12, Some(5)), (6, 3, 64, None), (3, 1, 33, Some(40))]
        {
            let segments = [
                Segment { q: 0..1, k: 0..1 },
                Segment { q: 1..72, k: 1..72 },
                Segment { q: 72..75, k: 72..99 },
            ];
            let noise = |rows: usize, width: usize, seed: u32| -> Vec<f32> {
                let step = |s: &mut u32| {
                    *s = s.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    Some((*s >> 8) as f32 / 8_388_608.0 - 1.0)
                };
                let mut state = seed;
                (0..rows * width).filter_map(|_| step(&mut state)).collect()
            };
            let (q, k, v) =
                (noise(75, n_heads * e, 1), noise(99, n_kv_heads * e, 2), noise(99, n_kv_heads * e, 3));
            let view = |data, width| Rows { data, stride: width, width };
            let (q, k, v) = (view(&q, n_heads * e), view(&k, n_kv_heads * e), view(&v, n_kv_heads * e));
            let heads = Sizes { n_heads, n_kv_heads, d_head: e, scale: 0.7, window };
            let mut out = vec![f32::NAN; 75 * n_heads * e];
            attention(q, k, v, &segments, heads, &mut out);
            let gap =
                out.iter().zip(plain(q, k, v, &segments, heads)).map(|(a, b)| (f64::from(*a) - b).abs());
            let gap = gap.fold(0.0, f64::max);
            assert!(gap < 2e-6, "{n_heads} {e} {window:?}: {gap}");
        }
    }
}
