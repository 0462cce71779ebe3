//! Gradients of attention, with the probabilities computed anew.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::attention::{Panels, QUERIES, pack_across, pack_along, product, store, weights_and_slopes};
use super::rowwise::turn;
use super::{Rows, Segment, Sizes, Turn, dot, for_rows};

/// Queries whose probabilities are kept at a time.
const BLOCK: usize = 32;
/// Keys that one pass over a block of queries serves.
const KEYS: usize = 4;

/// Gradients of [`super::attention`] in queries, keys and values.
pub(crate) struct AttentionGradients<'a> {
    segments: &'a [Segment],
    heads: Sizes,
    /// Per segment and key head.
    parts: Vec<Part>,
}

/// Gradients of one segment's keys and values of one head, and of the queries they serve.
struct Part {
    /// `[head of the group][query][d_head]`
    q: Vec<f32>,
    /// `[key][columns]`
    k: Vec<f32>,
    /// `[key][columns]`
    v: Vec<f32>,
    /// `d_head` and what fills the last vector.
    columns: usize,
}

/// Gradients of attention for the gradient `grad` of its result.
///
/// A segment and a key head are one task, summed over its queries in their order; so the threads share no sum.
///
/// Source: arXiv 2205.14135, appendix B.2, with whole rows of probabilities in place of saved statistics.
pub(crate) fn attention_backward<'a>(
    q: Rows<'_>,
    k: Rows<'_>,
    v: Rows<'_>,
    grad: Rows<'_>,
    segments: &'a [Segment],
    heads: Sizes,
) -> AttentionGradients<'a> {
    let arch = Arch::new();
    let g = heads.n_kv_heads;
    let tasks = (0..segments.len() * g).into_par_iter();
    let parts = tasks
        .map(|task| {
            arch.dispatch(Task { q, k, v, grad, segment: &segments[task / g], head: task % g, heads })
        })
        .collect();
    AttentionGradients { segments, heads, parts }
}

impl AttentionGradients<'_> {
    fn part(&self, segment: usize, kv_head: usize) -> &Part {
        &self.parts[segment * self.heads.n_kv_heads + kv_head]
    }

    fn query(&self, (segment, i): (usize, usize), head: usize) -> &[f32] {
        let Sizes { n_heads, n_kv_heads, d_head: e, .. } = self.heads;
        let group = n_heads / n_kv_heads;
        let n = self.segments[segment].q.len();
        &self.part(segment, head / group).q[(head % group * n + i) * e..][..e]
    }

    fn key(&self, (segment, j): (usize, usize), head: usize) -> &[f32] {
        let part = self.part(segment, head);
        &part.k[j * part.columns..][..self.heads.d_head]
    }

    fn value(&self, (segment, j): (usize, usize), head: usize) -> &[f32] {
        let part = self.part(segment, head);
        &part.v[j * part.columns..][..self.heads.d_head]
    }

    /// Segment and place in it of each of `n` rows, by the segments' `range`.
    fn places(&self, n: usize, range: fn(&Segment) -> &Range<usize>) -> Vec<Option<(usize, usize)>> {
        let mut places = vec![None; n];
        for (index, segment) in self.segments.iter().enumerate() {
            for (i, row) in range(segment).clone().enumerate() {
                places[row] = Some((index, i));
            }
        }
        places
    }

    /// Writes one head after the other; rows of no segment stay as they are.
    fn write(
        &self,
        out: &mut [f32],
        n_heads: usize,
        range: fn(&Segment) -> &Range<usize>,
        part: impl Fn(&Self, (usize, usize), usize) -> &[f32] + Sync,
    ) {
        let (e, width) = (self.heads.d_head, n_heads * self.heads.d_head);
        let places = self.places(out.len() / width, range);
        for_rows(
            out,
            width,
            #[inline(always)]
            |row, out| {
                let Some(place) = places[row] else { return };
                for (head, out) in out.chunks_exact_mut(e).enumerate() {
                    out.copy_from_slice(part(self, place, head));
                }
            },
        );
    }

    /// `[t, n_heads · d_head]`
    pub(crate) fn queries(&self, out: &mut [f32]) {
        self.write(out, self.heads.n_heads, |segment| &segment.q, |s, place, head| s.query(place, head));
    }

    /// `[_, n_kv_heads · d_head]`
    pub(crate) fn keys(&self, out: &mut [f32]) {
        self.write(out, self.heads.n_kv_heads, |segment| &segment.k, |s, place, head| s.key(place, head));
    }

    /// `[_, n_kv_heads · d_head]`
    pub(crate) fn values(&self, out: &mut [f32]) {
        self.write(out, self.heads.n_kv_heads, |segment| &segment.k, |s, place, head| s.value(place, head));
    }

    /// All three side by side as a stacked projection has them, queries and keys rotated back; where queries and
    /// keys of a segment are the same tokens. `[t, (n_heads + 2 · n_kv_heads) · d_head]`
    pub(crate) fn stacked(&self, cos: Rows<'_>, sin: Rows<'_>, out: &mut [f32]) {
        let Sizes { n_heads, n_kv_heads, d_head: e, .. } = self.heads;
        let width = (n_heads + 2 * n_kv_heads) * e;
        let places = self.places(out.len() / width, |segment| &segment.q);
        for_rows(
            out,
            width,
            #[inline(always)]
            |row, out| {
                let Some(place) = places[row] else { return };
                for (head, out) in out.chunks_exact_mut(e).enumerate() {
                    if head < n_heads {
                        turn(self.query(place, head), cos.row(row), sin.row(row), Turn::Back, out);
                    } else if head < n_heads + n_kv_heads {
                        turn(self.key(place, head - n_heads), cos.row(row), sin.row(row), Turn::Back, out);
                    } else {
                        out.copy_from_slice(self.value(place, head - n_heads - n_kv_heads));
                    }
                }
            },
        );
    }
}

/// One segment and one key head.
#[derive(Clone, Copy)]
struct Task<'a> {
    q: Rows<'a>,
    k: Rows<'a>,
    v: Rows<'a>,
    grad: Rows<'a>,
    segment: &'a Segment,
    head: usize,
    heads: Sizes,
}

impl WithSimd for Task<'_> {
    type Output = Part;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Part {
        // Panels of one vector waste none of it where a head is that narrow.
        if self.heads.d_head <= S::F32_LANES { self.run::<S, 1>(simd) } else { self.run::<S, 2>(simd) }
    }
}

impl Task<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, simd: S) -> Part {
        let Self { q, k, v, grad, segment, head, heads } = self;
        let (e, group) = (heads.d_head, heads.n_heads / heads.n_kv_heads);
        let (across, along) = (2 * S::F32_LANES, V * S::F32_LANES);
        let keys = pack_across(k, &segment.k, head, e, across);
        let values = pack_across(v, &segment.k, head, e, across);
        let keys_along = pack_along(k, &segment.k, head, e, along);

        let (n_queries, n_keys) = (segment.q.len(), segment.k.len());
        let columns = e.next_multiple_of(along);
        let mut in_q = vec![0.0; group * n_queries * e];
        let mut in_k = vec![0.0; n_keys.next_multiple_of(KEYS) * columns];
        let mut in_v = in_k.clone();
        let stride = n_keys.next_multiple_of(across.max(KEYS));
        let mut pattern = vec![0.0; BLOCK * stride];
        let mut scores = vec![0.0; BLOCK * stride];
        let mut slopes = vec![0.0; stride];
        let mut column = vec![0.0; along];
        for (member, in_q) in in_q.chunks_exact_mut(n_queries * e).enumerate() {
            let head = head * group + member;
            let queries = pack_along(q, &segment.q, head, e, along);
            let grads = pack_along(grad, &segment.q, head, e, along);
            for first in (0..n_queries).step_by(BLOCK) {
                let block = first..(first + BLOCK).min(n_queries);
                pattern.fill(0.0);
                scores.fill(0.0);
                let mut start = block.start;
                while start < block.end {
                    let n = if start + QUERIES <= block.end { QUERIES } else { 1 };
                    let at = (start - block.start) * stride;
                    let few = Few {
                        q,
                        grad,
                        segment,
                        heads,
                        head,
                        start,
                        stride,
                        keys: &keys,
                        values: &values,
                        keys_along: &keys_along,
                        pattern: &mut pattern[at..],
                        scores: &mut scores[at..],
                        slopes: &mut slopes,
                        column: &mut column,
                        in_q: &mut in_q[start * e..],
                    };
                    if n == QUERIES {
                        few.run::<S, QUERIES, V>(simd);
                    } else {
                        few.run::<S, 1, V>(simd);
                    }
                    start += n;
                }
                let seen = segment.seen(block.start, heads.window).start
                    ..segment.seen(block.end - 1, heads.window).end;
                for key in (seen.start / KEYS * KEYS..seen.end).step_by(KEYS) {
                    let who = segment.seeing(key..key + KEYS, heads.window, &block);
                    let rows = (who.start - block.start) * stride..(who.end - block.start) * stride;
                    let at = who.start * along..who.end * along;
                    for (p, (grads, queries)) in grads
                        .data
                        .chunks_exact(grads.size)
                        .zip(queries.data.chunks_exact(queries.size))
                        .enumerate()
                    {
                        let (pattern, scores) = (&pattern[rows.clone()], &scores[rows.clone()]);
                        let sums = outer::<S, KEYS, V>(simd, pattern, stride, key, &grads[at.clone()]);
                        accumulate::<S, KEYS, V>(
                            simd,
                            &sums,
                            &mut in_v[key * columns + p * along..],
                            columns,
                        );
                        let sums = outer::<S, KEYS, V>(simd, scores, stride, key, &queries[at.clone()]);
                        accumulate::<S, KEYS, V>(
                            simd,
                            &sums,
                            &mut in_k[key * columns + p * along..],
                            columns,
                        );
                    }
                }
            }
        }
        Part { q: in_q, k: in_k, v: in_v, columns }
    }
}

/// One head of a few queries.
struct Few<'a> {
    q: Rows<'a>,
    grad: Rows<'a>,
    segment: &'a Segment,
    heads: Sizes,
    head: usize,
    start: usize,
    /// Numbers from one query's probabilities to the next one's.
    stride: usize,
    keys: &'a Panels,
    values: &'a Panels,
    keys_along: &'a Panels,
    /// Becomes the probabilities.
    pattern: &'a mut [f32],
    /// Becomes the gradient of the scores before their scaling.
    scores: &'a mut [f32],
    /// Scratch for one query's.
    slopes: &'a mut [f32],
    column: &'a mut [f32],
    in_q: &'a mut [f32],
}

impl Few<'_> {
    #[inline(always)]
    fn run<S: Simd, const N: usize, const V: usize>(self, simd: S) {
        let Self {
            q, grad, segment, heads, head, start, stride, pattern, scores, slopes, column, in_q, ..
        } = self;
        let (e, across, along) = (heads.d_head, 2 * S::F32_LANES, V * S::F32_LANES);
        let rows: [usize; N] = std::array::from_fn(|i| segment.q.start + start + i);
        let queries: [&[f32]; N] = rows.map(|row| &q.row(row)[head * e..][..e]);
        let grads: [&[f32]; N] = rows.map(|row| &grad.row(row)[head * e..][..e]);
        let seen: [Range<usize>; N] = std::array::from_fn(|i| segment.seen(start + i, heads.window));
        let (first, end) = (seen[0].start / across * across, seen[N - 1].end);
        let padded = (end - first).next_multiple_of(across);

        let panels = self.keys.data.chunks_exact(self.keys.size);
        let panels = panels.zip(self.values.data.chunks_exact(self.values.size));
        for (at, (keys, values)) in (first..end).step_by(across).zip(panels.skip(first / across)) {
            let products = product::<S, N, 2>(simd, queries, keys);
            for (i, products) in products.iter().enumerate() {
                store::<S, 2>(products, &mut pattern[i * stride + at..][..across]);
            }
            let products = product::<S, N, 2>(simd, grads, values);
            for (i, products) in products.iter().enumerate() {
                store::<S, 2>(products, &mut scores[i * stride + at..][..across]);
            }
        }
        for (i, seen) in seen.iter().enumerate() {
            let pattern = &mut pattern[i * stride + first..][..padded];
            let scores = &mut scores[i * stride + first..][..padded];
            let slopes = &mut slopes[..padded];
            weights_and_slopes(pattern, seen.start - first..seen.end - first, heads, slopes);
            let mean = dot(pattern, scores);
            for ((score, p), slope) in scores.iter_mut().zip(&*pattern).zip(&*slopes) {
                *score = (*score - mean) * p * slope;
            }
        }
        let scores: [&[f32]; N] = std::array::from_fn(|i| &scores[i * stride + first..i * stride + end]);
        for (p, panel) in self.keys_along.data.chunks_exact(self.keys_along.size).enumerate() {
            let sums = product::<S, N, V>(simd, scores, &panel[first * along..end * along]);
            let columns = p * along..((p + 1) * along).min(e);
            for (i, sums) in sums.iter().enumerate() {
                store::<S, V>(sums, column);
                in_q[i * e..][columns.clone()].copy_from_slice(&column[..columns.len()]);
            }
        }
    }
}

/// `leftᵀ · panel` for `N` columns of `left` from `at` on and a panel `V` vectors wide.
#[inline(always)]
fn outer<S: Simd, const N: usize, const V: usize>(
    simd: S,
    left: &[f32],
    stride: usize,
    at: usize,
    panel: &[f32],
) -> [[S::f32s; V]; N] {
    let mut sums = [[simd.splat_f32s(0.0); V]; N];
    let (panel, _) = S::as_simd_f32s(panel);
    let (panel, _) = panel.as_chunks::<V>();
    for (left, panel) in left.chunks_exact(stride).zip(panel) {
        let left = &left[at..at + N];
        for (sums, x) in sums.iter_mut().zip(left) {
            let x = simd.splat_f32s(*x);
            for (sum, panel) in sums.iter_mut().zip(panel) {
                *sum = simd.mul_add_f32s(x, *panel, *sum);
            }
        }
    }
    sums
}

/// Adds to `N` rows that lie `stride` apart.
#[inline(always)]
fn accumulate<S: Simd, const N: usize, const V: usize>(
    simd: S,
    sums: &[[S::f32s; V]; N],
    out: &mut [f32],
    stride: usize,
) {
    for (i, sums) in sums.iter().enumerate() {
        let (out, _) = S::as_mut_simd_f32s(&mut out[i * stride..][..V * S::F32_LANES]);
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = simd.add_f32s(*out, *sum);
        }
    }
}
