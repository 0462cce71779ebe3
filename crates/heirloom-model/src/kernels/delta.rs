//! The gated delta rule: a state for each head that is decayed, corrected towards a value and read, token by token.
//!
//! `S ← e^g S`, `δ = β (v − Sᵀ k)`, `S ← S + k δᵀ`, `o = Sᵀ q`.
//!
//! Source: arXiv 2412.06464, equation 10; `torch_recurrent_gated_delta_rule` of transformers' `modeling_qwen3_5.py`.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{Rows, Segment, exp};

/// Sizes of one recurrence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeltaSizes {
    pub(crate) n_k_heads: usize,
    pub(crate) n_v_heads: usize,
    pub(crate) d_k: usize,
    pub(crate) d_v: usize,
}

impl DeltaSizes {
    /// Numbers in the states of all heads.
    pub(crate) fn state(self) -> usize {
        self.n_v_heads * self.d_k * self.d_v
    }

    /// Columns of queries, and of keys.
    pub(crate) fn keys(self) -> usize {
        self.n_k_heads * self.d_k
    }

    /// Columns of values.
    pub(crate) fn values(self) -> usize {
        self.n_v_heads * self.d_v
    }

    /// Columns of queries, keys and values.
    pub(crate) fn channels(self) -> usize {
        2 * self.keys() + self.values()
    }
}

/// One head of one segment.
#[derive(Clone, Copy)]
struct Head<'a> {
    /// `[t, 2 · keys + values]`
    qkv: Rows<'a>,
    /// `g` and `β` of every head. `[t, 2 · n_v_heads]`
    gates: Rows<'a>,
    index: usize,
    sizes: DeltaSizes,
}

/// What a head reads at one token.
struct Token<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    decay: f32,
    beta: f32,
}

impl<'a> Head<'a> {
    #[inline(always)]
    fn token(&self, token: usize) -> Token<'a> {
        let DeltaSizes { n_k_heads, n_v_heads, d_k, d_v } = self.sizes;
        let (row, gates) = (self.qkv.row(token), self.gates.row(token));
        let (key, keys) = (self.index / (n_v_heads / n_k_heads) * d_k, self.sizes.keys());
        Token {
            q: &row[key..][..d_k],
            k: &row[keys + key..][..d_k],
            v: &row[2 * keys + self.index * d_v..][..d_v],
            decay: exp(gates[self.index]),
            beta: gates[n_v_heads + self.index],
        }
    }
}

/// One step; `miss` becomes `v − Sᵀ k` with the decayed state. `[d_v]`
#[inline(always)]
fn step(x: &Token<'_>, state: &mut [f32], miss: &mut [f32], out: &mut [f32]) {
    let d_v = miss.len();
    for s in state.iter_mut() {
        *s *= x.decay;
    }
    miss.copy_from_slice(x.v);
    for (k, row) in x.k.iter().zip(state.chunks_exact(d_v)) {
        for (miss, s) in miss.iter_mut().zip(row) {
            *miss -= k * s;
        }
    }
    out.fill(0.0);
    for ((k, q), row) in x.k.iter().zip(x.q).zip(state.chunks_exact_mut(d_v)) {
        for ((s, miss), out) in row.iter_mut().zip(&*miss).zip(&mut *out) {
            *s += k * (x.beta * miss);
            *out += q * *s;
        }
    }
}

/// Runs all heads of all segments from their `states`, which become those behind the last tokens.
///
/// Shapes: `qkv` `[t, 2 · keys + values]`, `gates` `[t, 2 · n_v_heads]`, `out` `[t, values]`; a state is
/// `[n_v_heads, d_k, d_v]`.
pub(crate) fn delta(
    (qkv, gates): (Rows<'_>, Rows<'_>),
    segments: &[Segment],
    sizes: DeltaSizes,
    states: Vec<&mut [f32]>,
    out: &mut [f32],
) {
    struct Forward<'a>(Head<'a>, Range<usize>, &'a mut [f32]);
    impl WithSimd for Forward<'_> {
        type Output = Vec<f32>;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> Vec<f32> {
            let Self(head, tokens, state) = self;
            let d_v = head.sizes.d_v;
            let (mut out, mut miss) = (vec![0.0; tokens.len() * d_v], vec![0.0; d_v]);
            for (token, out) in tokens.zip(out.chunks_exact_mut(d_v)) {
                step(&head.token(token), state, &mut miss, out);
            }
            out
        }
    }
    let arch = Arch::new();
    let of = |(segment, state): (usize, &mut [f32])| {
        let heads = state.par_chunks_mut(sizes.d_k * sizes.d_v).enumerate();
        let run = |(index, state): (usize, &mut [f32])| {
            let head = Head { qkv, gates, index, sizes };
            arch.dispatch(Forward(head, segments[segment].q.clone(), state))
        };
        heads.map(run).collect::<Vec<_>>()
    };
    let found: Vec<Vec<Vec<f32>>> = states.into_par_iter().enumerate().map(of).collect();
    for (segment, heads) in segments.iter().zip(&found) {
        for (head, values) in heads.iter().enumerate() {
            put(values, segment, sizes.d_v, (head * sizes.d_v, sizes.values()), out);
        }
    }
}

/// Adds a head's rows to its columns of the segment's rows.
fn put(values: &[f32], segment: &Segment, width: usize, (column, stride): (usize, usize), out: &mut [f32]) {
    for (token, values) in segment.q.clone().zip(values.chunks_exact(width)) {
        for (out, x) in out[token * stride + column..].iter_mut().zip(values) {
            *out += x;
        }
    }
}

/// Gradients of [`delta`] from empty states in `qkv` and `gates`, for the gradient `grad` of its result.
///
/// Cost: holds the states behind every token of a segment for each head that a thread is at.
pub(crate) fn delta_backward(
    (qkv, gates): (Rows<'_>, Rows<'_>),
    grad: Rows<'_>,
    segments: &[Segment],
    sizes: DeltaSizes,
    (in_qkv, in_gates): (&mut [f32], &mut [f32]),
) {
    let DeltaSizes { n_k_heads, n_v_heads, d_k, d_v } = sizes;
    let arch = Arch::new();
    let tasks = (0..segments.len() * n_v_heads).into_par_iter();
    let parts: Vec<Part> = tasks
        .map(|task| {
            let head = Head { qkv, gates, index: task % n_v_heads, sizes };
            arch.dispatch(Backward { head, grad, tokens: segments[task / n_v_heads].q.clone() })
        })
        .collect();
    for (task, part) in parts.iter().enumerate() {
        let (segment, head) = (&segments[task / n_v_heads], task % n_v_heads);
        let (key, keys, width) = (head / (n_v_heads / n_k_heads) * d_k, sizes.keys(), qkv.width);
        put(&part.q, segment, d_k, (key, width), in_qkv);
        put(&part.k, segment, d_k, (keys + key, width), in_qkv);
        put(&part.v, segment, d_v, (2 * keys + head * d_v, width), in_qkv);
        put(&part.g, segment, 1, (head, gates.width), in_gates);
        put(&part.beta, segment, 1, (n_v_heads + head, gates.width), in_gates);
    }
}

/// Gradients of one head of one segment.
struct Part {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    g: Vec<f32>,
    beta: Vec<f32>,
}

struct Backward<'a> {
    head: Head<'a>,
    grad: Rows<'a>,
    tokens: Range<usize>,
}

impl WithSimd for Backward<'_> {
    type Output = Part;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Part {
        let Self { head, grad, tokens } = self;
        let DeltaSizes { d_k, d_v, .. } = head.sizes;
        let (n, size) = (tokens.len(), d_k * d_v);
        // States before each token and behind the last, and what each token missed.
        let mut states = vec![0.0; (n + 1) * size];
        let (mut misses, mut out) = (vec![0.0; n * d_v], vec![0.0; d_v]);
        for (i, miss) in misses.chunks_exact_mut(d_v).enumerate() {
            states.copy_within(i * size..(i + 1) * size, (i + 1) * size);
            let state = &mut states[(i + 1) * size..][..size];
            step(&head.token(tokens.start + i), state, miss, &mut out);
        }
        let zeros = |width: usize| vec![0.0; n * width];
        let mut part = Part { q: zeros(d_k), k: zeros(d_k), v: zeros(d_v), g: zeros(1), beta: zeros(1) };
        let mut in_state = vec![0.0; size];
        for i in (0..n).rev() {
            let x = head.token(tokens.start + i);
            let grad = &grad.row(tokens.start + i)[head.index * d_v..][..d_v];
            let (before, after) = states[i * size..][..2 * size].split_at(size);
            let miss = &misses[i * d_v..][..d_v];
            let (in_q, in_k) = (&mut part.q[i * d_k..][..d_k], &mut part.k[i * d_k..][..d_k]);
            // o = Sᵀ q, S = S' + k δᵀ with δ = β · miss
            let in_delta = &mut out;
            in_delta.fill(0.0);
            for (j, in_row) in in_state.chunks_exact_mut(d_v).enumerate() {
                let row = &after[j * d_v..][..d_v];
                for ((in_s, s), grad) in in_row.iter_mut().zip(row).zip(grad) {
                    in_q[j] += grad * s;
                    *in_s += x.q[j] * grad;
                }
                for ((in_s, miss), in_delta) in in_row.iter().zip(miss).zip(&mut *in_delta) {
                    in_k[j] += in_s * (x.beta * miss);
                    *in_delta += in_s * x.k[j];
                }
            }
            for ((in_v, in_delta), miss) in part.v[i * d_v..].iter_mut().zip(&*in_delta).zip(miss) {
                part.beta[i] += in_delta * miss;
                *in_v = x.beta * in_delta;
            }
            // miss = v − S'ᵀ k with S' = e^g S
            let in_miss = &part.v[i * d_v..][..d_v];
            for (j, in_row) in in_state.chunks_exact_mut(d_v).enumerate() {
                for ((in_s, s), in_miss) in in_row.iter_mut().zip(&before[j * d_v..]).zip(in_miss) {
                    let decayed = x.decay * s;
                    in_k[j] -= in_miss * decayed;
                    *in_s -= x.k[j] * in_miss;
                    part.g[i] += *in_s * decayed;
                    *in_s *= x.decay;
                }
            }
        }
        part
    }
}
