//! One row's keys and values in one block, and attention of one query to them: f32 on the processor.
//!
//! Sums run in the order of [`kernels::attention`], so that a token drawn is the token read, bit for bit.

use pulp::{Arch, Simd, WithSimd};

use crate::kernels::{self, Sizes};

/// Keys and values of the tokens that a row has seen.
#[derive(Clone)]
pub(crate) struct Kept {
    /// `[panel][n_kv_heads][d_head][width]`: column `c` of panel `p` is key `p · width + c`.
    keys: Vec<f32>,
    /// `[key][n_kv_heads][d_head, filled up to whole vectors]`
    values: Vec<f32>,
    len: usize,
}

impl Kept {
    /// With room for `room` tokens.
    pub(crate) fn new(room: usize, heads: Sizes) -> Self {
        let width = kernels::panel_width();
        let Sizes { n_kv_heads: g, d_head: e, .. } = heads;
        Self {
            keys: Vec::with_capacity(room.next_multiple_of(width) * g * e),
            values: Vec::with_capacity(room * g * filled(e, width)),
            len: 0,
        }
    }

    /// Keeps the next token's. Shapes: `k` and `v` `[n_kv_heads · d_head]`.
    pub(crate) fn push(&mut self, k: &[f32], v: &[f32], heads: Sizes) {
        let (width, e) = (kernels::panel_width(), heads.d_head);
        let (size, column) = (k.len() * width, self.len % width);
        if column == 0 {
            self.keys.resize(self.keys.len() + size, 0.0);
        }
        let start = self.keys.len() - size;
        for (x, coordinate) in k.iter().zip(self.keys[start..].chunks_exact_mut(width)) {
            coordinate[column] = *x;
        }
        for v in v.chunks_exact(e) {
            self.values.extend_from_slice(v);
            self.values.resize(self.values.len() + filled(e, width) - e, 0.0);
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

/// `d_head` filled up to whole vectors.
fn filled(d_head: usize, panel_width: usize) -> usize {
    d_head.next_multiple_of(panel_width / 2)
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

    #[expect(clippy::inline_always, reason = "compiled for its vectors only inside the dispatch")]
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { kept, q, heads, weights, out } = self;
        let Sizes { n_heads, n_kv_heads, d_head, scale, window } = heads;
        let (width, group) = (2 * S::F32_LANES, n_heads / n_kv_heads);
        let seen = window.map_or(0, |window| kept.len.saturating_sub(window))..kept.len;
        let first = seen.start / width * width;
        let n = (kept.len - first).next_multiple_of(width);
        weights.clear();
        weights.resize(n_heads * n, 0.0);
        let panels = kept.keys.chunks_exact(n_kv_heads * d_head * width).skip(first / width);
        for (panel, at) in panels.zip((0..n).step_by(width)) {
            for (head, q) in q.chunks_exact(d_head).enumerate() {
                let keys = &panel[head / group * d_head * width..][..d_head * width];
                let [scores] = kernels::product::<S, 1, 2>(simd, [q], keys);
                kernels::store::<S, 2>(&scores, &mut weights[head * n + at..][..width]);
            }
        }
        for weights in weights.chunks_exact_mut(n) {
            kernels::softmax(weights, seen.start - first..seen.end - first, scale);
        }

        // Vectors of the output: `per_head` of each head.
        let per_head = d_head.div_ceil(S::F32_LANES);
        let (values, _) = S::as_simd_f32s(&kept.values);
        let values = &values[seen.start * n_kv_heads * per_head..];
        let weights = |vector: usize| &weights[vector / per_head * n + seen.start - first..][..seen.len()];
        let place = |vector: usize| vector / per_head / group * per_head + vector % per_head;
        let mut put = |vector: usize, sum: S::f32s| {
            let start = vector % per_head * S::F32_LANES;
            let end = (start + S::F32_LANES).min(d_head);
            simd.partial_store_f32s(&mut out[vector / per_head * d_head..][start..end], sum);
        };
        let (stride, total) = (n_kv_heads * per_head, n_heads * per_head);
        let mut vector = 0;
        while vector + 4 <= total {
            let of = [0, 1, 2, 3].map(|i| vector + i);
            let sums = weigh::<S, 4>(simd, of.map(weights), of.map(place), values, stride);
            of.into_iter().zip(sums).for_each(|(vector, sum)| put(vector, sum));
            vector += 4;
        }
        for vector in vector..total {
            let [sum] = weigh::<S, 1>(simd, [weights(vector)], [place(vector)], values, stride);
            put(vector, sum);
        }
    }
}

/// Values weighted and summed over keys: vector `place[i]` of each key's `stride`.
#[expect(clippy::inline_always, reason = "compiled for its vectors only inside the dispatch")]
#[inline(always)]
fn weigh<S: Simd, const N: usize>(
    simd: S,
    weights: [&[f32]; N],
    place: [usize; N],
    values: &[S::f32s],
    stride: usize,
) -> [S::f32s; N] {
    let mut sums = [simd.splat_f32s(0.0); N];
    for (key, values) in values.chunks_exact(stride).enumerate() {
        for ((sum, weights), place) in sums.iter_mut().zip(weights).zip(place) {
            *sum = simd.mul_add_f32s(simd.splat_f32s(weights[key]), values[place], *sum);
        }
    }
    sums
}
