//! One row's keys and values in one block, and attention of one query to them: f32 on the processor.
//!
//! Sums run in the order of [`kernels::attention`], so that a token drawn is the token read, bit for bit.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined into a pulp dispatch is compiled for its vectors"
)]

use pulp::{Arch, Simd, WithSimd};

use crate::kernels::{self, Sizes};

/// Heads whose sums run side by side.
const HEADS: usize = 4;

/// Keys and values of the tokens that a row has seen.
#[derive(Clone)]
pub(crate) struct Kept {
    /// `[panel][n_kv_heads][d_head][lanes]`: column `c` of panel `p` is key `p · lanes + c`.
    keys: Vec<f32>,
    /// `[key][n_kv_heads][d_head, filled up to whole vectors]`
    values: Vec<f32>,
    len: usize,
    /// Numbers in a vector.
    lanes: usize,
}

impl Kept {
    /// With room for `room` tokens.
    pub(crate) fn new(room: usize, heads: Sizes) -> Self {
        let lanes = kernels::panel_width() / 2;
        let Sizes { n_kv_heads: g, d_head: e, .. } = heads;
        Self {
            keys: Vec::with_capacity(room.next_multiple_of(lanes) * g * e),
            values: Vec::with_capacity(room * g * e.next_multiple_of(lanes)),
            len: 0,
            lanes,
        }
    }

    /// Keeps the next token's. Shapes: `k` and `v` `[n_kv_heads · d_head]`.
    pub(crate) fn push(&mut self, k: &[f32], v: &[f32], heads: Sizes) {
        let (lanes, e) = (self.lanes, heads.d_head);
        let (size, column) = (k.len() * lanes, self.len % lanes);
        if column == 0 {
            self.keys.resize(self.keys.len() + size, 0.0);
        }
        let start = self.keys.len() - size;
        for (x, coordinate) in k.iter().zip(self.keys[start..].chunks_exact_mut(lanes)) {
            coordinate[column] = *x;
        }
        if e.is_multiple_of(lanes) {
            self.values.extend_from_slice(v);
        } else {
            for v in v.chunks_exact(e) {
                self.values.extend_from_slice(v);
                self.values.resize(self.values.len().next_multiple_of(lanes), 0.0);
            }
        }
        self.len += 1;
    }

    /// Softmax attention of a query that stands at the last token kept.
    ///
    /// Shapes: `q` and `out` `[n_heads · d_head]`; `weights` is scratch.
    pub(crate) fn attend(&self, q: &[f32], heads: Sizes, weights: &mut Vec<f32>, out: &mut [f32]) {
        Arch::new().dispatch(Attend { kept: self, q, heads, weights, out });
    }
}

struct Attend<'a> {
    kept: &'a Kept,
    q: &'a [f32],
    heads: Sizes,
    weights: &'a mut Vec<f32>,
    out: &'a mut [f32],
}

impl WithSimd for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { kept, q, heads, weights, out } = self;
        let Sizes { n_heads, n_kv_heads, d_head, window, .. } = heads;
        let (lanes, group) = (S::F32_LANES, n_heads / n_kv_heads);
        let seen = window.map_or(0, |window| kept.len.saturating_sub(window))..kept.len;
        let first = seen.start / lanes * lanes;
        let n = (kept.len - first).next_multiple_of(lanes);
        if weights.len() < n_heads * n {
            weights.resize(n_heads * n, 0.0);
        }
        let weights = &mut weights[..n_heads * n];

        let (keys, _) = S::as_simd_f32s(&kept.keys);
        let panels = keys.chunks_exact(n_kv_heads * d_head).skip(first / lanes);
        for (panel, at) in panels.zip((0..n).step_by(lanes)) {
            let of = |head: usize| (&q[head * d_head..][..d_head], &panel[head / group * d_head..][..d_head]);
            let mut put = |head: usize, scores| {
                kernels::store::<S, 1>(&[scores], &mut weights[head * n + at..][..lanes]);
            };
            let mut head = 0;
            while head + HEADS <= n_heads {
                let scores = score::<S, HEADS>(simd, std::array::from_fn(|i| of(head + i)));
                scores.into_iter().enumerate().for_each(|(i, scores)| put(head + i, scores));
                head += HEADS;
            }
            for head in head..n_heads {
                let [scores] = score::<S, 1>(simd, [of(head)]);
                put(head, scores);
            }
        }
        for row in weights.chunks_exact_mut(n) {
            kernels::weights(row, seen.start - first..seen.end - first, heads);
        }

        // Vectors of the output: `per_head` of each head.
        let per_head = d_head.div_ceil(lanes);
        let (stride, total) = (n_kv_heads * per_head, n_heads * per_head);
        let (values, _) = S::as_simd_f32s(&kept.values);
        let values = &values[seen.start * stride..];
        let of = |vector: usize| {
            let (head, part) = (vector / per_head, vector % per_head);
            (&weights[head * n + seen.start - first..][..seen.len()], head / group * per_head + part)
        };
        let mut put = |vector: usize, sum: S::f32s| {
            let start = vector % per_head * lanes;
            let out = &mut out[vector / per_head * d_head..][start..(start + lanes).min(d_head)];
            if out.len() == lanes {
                kernels::store::<S, 1>(&[sum], out);
            } else {
                simd.partial_store_f32s(out, sum);
            }
        };
        let mut vector = 0;
        while vector + HEADS <= total {
            let sums = weigh::<S, HEADS>(simd, std::array::from_fn(|i| of(vector + i)), values, stride);
            sums.into_iter().enumerate().for_each(|(i, sum)| put(vector + i, sum));
            vector += HEADS;
        }
        for vector in vector..total {
            let [sum] = weigh::<S, 1>(simd, [of(vector)], values, stride);
            put(vector, sum);
        }
    }
}

/// Products of queries with a vector of keys each.
#[inline(always)]
fn score<S: Simd, const N: usize>(simd: S, pairs: [(&[f32], &[S::f32s]); N]) -> [S::f32s; N] {
    let mut sums = [simd.splat_f32s(0.0); N];
    let d_head = pairs[0].0.len();
    let pairs = pairs.map(|(q, keys)| (&q[..d_head], &keys[..d_head]));
    for at in 0..d_head {
        for (sum, (q, keys)) in sums.iter_mut().zip(&pairs) {
            *sum = simd.mul_add_f32s(simd.splat_f32s(q[at]), keys[at], *sum);
        }
    }
    sums
}

/// Values weighted and summed over keys: of each key's `stride` vectors the one that goes with the weights.
#[inline(always)]
fn weigh<S: Simd, const N: usize>(
    simd: S,
    pairs: [(&[f32], usize); N],
    values: &[S::f32s],
    stride: usize,
) -> [S::f32s; N] {
    let mut sums = [simd.splat_f32s(0.0); N];
    let n = pairs[0].0.len();
    let pairs = pairs.map(|(weights, place)| (&weights[..n], place));
    for (key, values) in values.chunks_exact(stride).enumerate().take(n) {
        for (sum, (weights, place)) in sums.iter_mut().zip(&pairs) {
            *sum = simd.mul_add_f32s(simd.splat_f32s(weights[key]), values[*place], *sum);
        }
    }
    sums
}
