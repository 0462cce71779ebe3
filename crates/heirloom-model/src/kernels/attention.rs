//! Causal softmax attention over packed rows.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{Rows, exp, sum, tanh, top};

/// Queries that one pass over the keys serves.
pub(super) const QUERIES: usize = 4;
/// Queries handed to a thread at a time.
const BLOCK: usize = 16;

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

    /// The queries among `block` that see any of `keys`.
    pub(super) fn seeing(
        &self,
        keys: Range<usize>,
        window: Option<usize>,
        block: &Range<usize>,
    ) -> Range<usize> {
        let before = self.k.len() - self.q.len();
        let start = keys.start.saturating_sub(before).max(block.start);
        let end = window.map_or(block.end, |window| (keys.end - 1 + window).saturating_sub(before));
        start..end.clamp(start, block.end)
    }
}

/// Sizes of one attention.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) n_heads: usize,
    pub(crate) n_kv_heads: usize,
    pub(crate) d_head: usize,
    pub(crate) scale: f32,
    /// Scaled scores `x` become `cap · tanh(x / cap)`.
    pub(crate) softcap: Option<f32>,
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

/// Rows of one head, in panels of `width` columns.
pub(super) struct Panels {
    pub(super) data: Vec<f32>,
    /// Numbers in one panel.
    pub(super) size: usize,
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
            (pack_across(k, &segment.k, head, e, width), pack_along(v, &segment.k, head, e, width))
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

/// `[panel][d_head][width]`: column `c` of panel `p` is row `p · width + c`; beyond the last row are zeros.
pub(super) fn pack_across(x: Rows<'_>, rows: &Range<usize>, head: usize, e: usize, width: usize) -> Panels {
    let size = e * width;
    let mut data = vec![0.0; rows.len().div_ceil(width) * size];
    for (key, row) in rows.clone().enumerate() {
        let panel = &mut data[key / width * size..][..size];
        for (d, x) in x.row(row)[head * e..][..e].iter().enumerate() {
            panel[d * width + key % width] = *x;
        }
    }
    Panels { data, size }
}

/// `[panel][row][width]`: column `c` of panel `p` is coordinate `p · width + c`.
pub(super) fn pack_along(x: Rows<'_>, rows: &Range<usize>, head: usize, e: usize, width: usize) -> Panels {
    let size = rows.len() * width;
    let mut data = vec![0.0; e.div_ceil(width) * size];
    for (key, row) in rows.clone().enumerate() {
        for (panel, x) in x.row(row)[head * e..][..e].chunks(width).enumerate() {
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
            let scores = product::<S, N, 2>(simd, queries, panel);
            for (i, scores) in scores.iter().enumerate() {
                store::<S, 2>(scores, &mut weights[i * n + at..][..width]);
            }
        }
        for (row, seen) in weights.chunks_exact_mut(n).zip(&seen) {
            self::weights(row, seen.start - first..seen.end - first, heads);
        }
        let mut rows = weights.chunks_exact(n);
        let weights: [&[f32]; N] = std::array::from_fn(|_| &rows.next().unwrap_or_default()[..end - first]);
        let mut column = vec![0.0; width];
        for (p, panel) in values.data.chunks_exact(values.size).enumerate() {
            let sums = product::<S, N, 2>(simd, weights, &panel[first * width..end * width]);
            let columns = (p * width)..((p + 1) * width).min(e);
            for (i, sums) in sums.iter().enumerate() {
                store::<S, 2>(sums, &mut column);
                let out = &mut out[i * q.width + head * e..][columns.clone()];
                out.copy_from_slice(&column[..columns.len()]);
            }
        }
    }
}

/// `left · panel` for a panel `V` vectors wide: `N` rows times `[len, width]`.
#[inline(always)]
pub(crate) fn product<S: Simd, const N: usize, const V: usize>(
    simd: S,
    left: [&[f32]; N],
    panel: &[f32],
) -> [[S::f32s; V]; N] {
    let mut sums = [[simd.splat_f32s(0.0); V]; N];
    let (panel, _) = S::as_simd_f32s(panel);
    let (panel, _) = panel.as_chunks::<V>();
    let left = left.map(|row| &row[..panel.len()]);
    for (t, panel) in panel.iter().enumerate() {
        for (sums, left) in sums.iter_mut().zip(&left) {
            let x = simd.splat_f32s(left[t]);
            for (sum, panel) in sums.iter_mut().zip(panel) {
                *sum = simd.mul_add_f32s(x, *panel, *sum);
            }
        }
    }
    sums
}

#[inline(always)]
pub(crate) fn store<S: Simd, const V: usize>(values: &[S::f32s; V], out: &mut [f32]) {
    for (out, value) in S::as_mut_simd_f32s(out).0.iter_mut().zip(values) {
        *out = *value;
    }
}

/// What products of a query with keys weigh the `seen` of them by; everything outside becomes zero.
#[inline(always)]
pub(crate) fn weights(x: &mut [f32], seen: Range<usize>, heads: Sizes) {
    let Some(cap) = heads.softcap else { return softmax(x, seen, heads.scale) };
    for x in &mut x[seen.clone()] {
        *x = cap * tanh(*x * (heads.scale / cap));
    }
    softmax(x, seen, 1.0);
}

/// As [`weights`]; `slopes` become those of the capped scores in the products.
#[inline(always)]
pub(super) fn weights_and_slopes(x: &mut [f32], seen: Range<usize>, heads: Sizes, slopes: &mut [f32]) {
    slopes.fill(heads.scale);
    let Some(cap) = heads.softcap else { return softmax(x, seen, heads.scale) };
    for (x, slope) in x[seen.clone()].iter_mut().zip(&mut slopes[seen.clone()]) {
        let t = tanh(*x * (heads.scale / cap));
        (*x, *slope) = (cap * t, heads.scale * (1.0 - t * t));
    }
    softmax(x, seen, 1.0);
}

/// Softmax of `scale · x` over `seen`; everything outside becomes zero.
#[inline(always)]
fn softmax(x: &mut [f32], seen: Range<usize>, scale: f32) {
    x[..seen.start].fill(0.0);
    x[seen.end..].fill(0.0);
    let x = &mut x[seen];
    let top = top(x);
    let (chunks, rest) = x.as_chunks_mut::<16>();
    // The rest is filled up: number by number it would take longer than many a whole row.
    let mut last = [0.0; 16];
    last[..rest.len()].copy_from_slice(rest);
    for chunk in chunks.iter_mut().chain([&mut last]) {
        for x in chunk {
            *x = exp((*x - top) * scale);
        }
    }
    rest.copy_from_slice(&last[..rest.len()]);
    let scale = 1.0 / sum(x);
    for x in x.iter_mut() {
        *x *= scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                        let score = (0..e).map(dot).sum::<f64>() * f64::from(heads.scale);
                        heads.softcap.map(f64::from).map_or(score, |cap| cap * (score / cap).tanh()).exp()
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
        for (n_heads, n_kv_heads, e, window, softcap) in [
            (2, 2, 8, None, None),
            (4, 1, 12, Some(5), None),
            (6, 3, 64, None, None),
            (3, 1, 33, Some(40), None),
            (4, 2, 12, Some(9), Some(0.8)),
        ] {
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
            let heads = Sizes { n_heads, n_kv_heads, d_head: e, scale: 0.7, softcap, window };
            let mut out = vec![f32::NAN; 75 * n_heads * e];
            attention(q, k, v, &segments, heads, &mut out);
            let gap =
                out.iter().zip(plain(q, k, v, &segments, heads)).map(|(a, b)| (f64::from(*a) - b).abs());
            let gap = gap.fold(0.0, f64::max);
            assert!(gap < 2e-6, "{heads:?}: {gap}");
        }
    }
}
