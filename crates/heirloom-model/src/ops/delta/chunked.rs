//! The gated delta rule in chunks of tokens: what a chunk does to a state is a few matrix products, so a row of tokens
//! costs one step for every 64.
//!
//! Within a chunk, with `G` the running sum of the logarithms of decays and `L[i, j] = e^(G_i − G_j)` for `j ≤ i`, what
//! tokens write is `(I + N)⁻¹ β (v − e^G k S)`, where `N` is `β k kᵀ ⊙ L` below the diagonal and `S` the state before
//! the chunk.
//!
//! Source: arXiv 2412.06464, section 3.3; `torch_chunk_gated_delta_rule` of transformers' `modeling_qwen3_5.py`.

use candle_core::Tensor;

use super::super::Result;
use crate::batch::Batch;
use crate::kernels::DeltaSizes;

/// Tokens of a chunk.
const CHUNK: usize = 64;
/// Rows of a triangular matrix that are inverted one by one.
const BLOCK: usize = 16;

/// [`super::convolve`] with the `tail` of every row. `[b, taps − 1, c]`
pub(in crate::ops) fn convolve(
    x: &Tensor,
    weight: &Tensor,
    batch: &Batch,
    tail: Option<&mut Tensor>,
) -> Result<Tensor> {
    let padded = batch.pad_queries(&x.unsqueeze(1)?)?.squeeze(2)?; // [b q c]
    let ((b, q, c), taps) = (padded.dims3()?, weight.dim(1)?);
    let before = match &tail {
        Some(tail) => (*tail).clone(),
        None => Tensor::zeros((b, taps - 1, c), x.dtype(), x.device())?,
    };
    let all = Tensor::cat(&[&before, &padded], 1)?; // [b taps-1+q c]
    let tap = |tap: usize| all.narrow(1, tap, q)?.broadcast_mul(&weight.narrow(1, tap, 1)?.t()?);
    let out = (1..taps).try_fold(tap(0)?, |sum, next| sum + tap(next)?)?; // [b q c]
    if let Some(tail) = tail {
        // The tokens before a row's end; padding lies behind it.
        let last = batch.segments.iter().enumerate().flat_map(|(row, segment)| {
            let start = row * (taps - 1 + q) + segment.q.len();
            start..start + taps - 1
        });
        let last = Tensor::new(last.map(|token| token as u32).collect::<Vec<_>>(), x.device())?;
        *tail = all.reshape((b * (taps - 1 + q), c))?.index_select(&last, 0)?.reshape((b, taps - 1, c))?;
    }
    batch.unpad_queries(&out.unsqueeze(2)?)?.squeeze(1)
}

/// What the heads of all rows read, `n` of them. `[n, tokens, _]`
struct Heads {
    q: Tensor,
    k: Tensor,
    v: Tensor,
    /// Logarithms of decays; 0 at padding. `[n, tokens, 1]`
    g: Tensor,
    /// 0 at padding, which so changes no state. `[n, tokens, 1]`
    beta: Tensor,
}

/// [`super::delta`] with the `state` of every row. `[b, n_v_heads, d_k, d_v]`
pub(in crate::ops) fn delta(
    qkv: &Tensor,
    gates: &Tensor,
    batch: &Batch,
    sizes: DeltaSizes,
    state: Option<&mut Tensor>,
) -> Result<Tensor> {
    let DeltaSizes { n_v_heads: h, d_k, d_v, .. } = sizes;
    let (heads, b, tokens) = Heads::new(qkv, gates, batch, sizes)?;
    let before = match &state {
        Some(state) => state.reshape((b * h, d_k, d_v))?,
        None => Tensor::zeros((b * h, d_k, d_v), qkv.dtype(), qkv.device())?,
    };
    let (out, after) = if tokens == 1 { heads.step(&before)? } else { heads.chunks(before)? }; // [b·h tokens d_v]
    if let Some(state) = state {
        *state = after.reshape((b, h, d_k, d_v))?;
    }
    let out = out.reshape((b, h, tokens, d_v))?.transpose(1, 2)?.contiguous()?; // [b tokens h d_v]
    batch.unpad_queries(&out)?.reshape(((), sizes.values()))
}

impl Heads {
    /// Of a batch padded to its longest row; returns its rows and that row's tokens, too.
    fn new(qkv: &Tensor, gates: &Tensor, batch: &Batch, sizes: DeltaSizes) -> Result<(Self, usize, usize)> {
        let DeltaSizes { n_k_heads: g, n_v_heads: h, d_k, d_v } = sizes;
        let qkv = batch.pad_queries(&qkv.unsqueeze(1)?)?.squeeze(2)?; // [b q c]
        let gates = batch.pad_queries(&gates.unsqueeze(1)?)?.squeeze(2)?; // [b q 2h]
        let gates = gates.broadcast_mul(&real(batch, &gates)?)?;
        let (b, tokens, _) = qkv.dims3()?;
        // Each key head serves its group of value heads.
        let of = |x: &Tensor, start: usize, heads: usize, width: usize| {
            let x = x.narrow(2, start, heads * width)?.contiguous()?.reshape((b, tokens, heads, width))?;
            let x = x.transpose(1, 2)?.unsqueeze(2)?.broadcast_as((b, heads, h / heads, tokens, width))?;
            x.contiguous()?.reshape((b * h, tokens, width))
        };
        let (q, k) = (of(&qkv, 0, g, d_k)?, of(&qkv, sizes.keys(), g, d_k)?);
        let v = of(&qkv, 2 * sizes.keys(), h, d_v)?;
        Ok((Self { q, k, v, g: of(&gates, 0, h, 1)?, beta: of(&gates, h, h, 1)? }, b, tokens))
    }

    /// One token; what is read, and the state behind it. `state` `[n, d_k, d_v]`
    fn step(&self, state: &Tensor) -> Result<(Tensor, Tensor)> {
        let state = state.broadcast_mul(&self.g.exp()?)?;
        let delta = (&self.v - self.k.matmul(&state)?)?.broadcast_mul(&self.beta)?; // [n 1 d_v]
        let state = (state + self.k.transpose(1, 2)?.matmul(&delta)?)?;
        Ok((self.q.matmul(&state)?, state))
    }

    /// Many tokens; what is read, and the state behind the last. `state` `[n, d_k, d_v]`
    fn chunks(&self, mut state: Tensor) -> Result<(Tensor, Tensor)> {
        let tokens = self.q.dim(1)?;
        let chunks = Chunks::new(self, tokens.min(CHUNK))?;
        let mut out = Vec::with_capacity(tokens.div_ceil(CHUNK));
        for chunk in 0..tokens.div_ceil(CHUNK) {
            let (read, after) = chunks.at(chunk)?.pass(&state)?;
            out.push(read);
            state = after;
        }
        Ok((Tensor::cat(&out, 1)?.narrow(1, 0, tokens)?, state))
    }
}

/// What chunks of `c` tokens do to a state, whatever that is. Of all chunks `[n, chunks, _, _]`, of one `[n, _, _]`.
struct Chunks {
    /// What tokens write into an empty state. `[…, c, d_v]`
    value: Tensor,
    /// What of the state before they take away from that. `[…, c, d_k]`
    erased: Tensor,
    /// Queries of the state before. `[…, c, d_k]`
    query: Tensor,
    /// How much each token reads of what the chunk's tokens wrote. `[…, c, c]`
    shares: Tensor,
    /// Keys as they stand behind the chunk. `[…, d_k, c]`
    keys: Tensor,
    /// What is left of the state. `[…, 1, 1]`
    left: Tensor,
}

impl Chunks {
    /// Padded with tokens that change nothing to whole chunks.
    fn new(heads: &Heads, c: usize) -> Result<Self> {
        let (n, tokens, d_v) = heads.v.dims3()?;
        let chunks = tokens.div_ceil(c);
        let part = |x: &Tensor| {
            x.pad_with_zeros(1, 0, chunks * c - tokens)?.contiguous()?.reshape((n * chunks, c, ()))
        };
        let (q, k, v) = (part(&heads.q)?, part(&heads.k)?, part(&heads.v)?); // [n·chunks c _]
        let (sums, beta) = (part(&heads.g)?.cumsum(1)?, part(&heads.beta)?); // [n·chunks c 1]
        let seen = lower(c, false, &sums)?;
        // Masked before the exponential, which could overflow above the diagonal.
        let apart = sums.broadcast_sub(&sums.transpose(1, 2)?)?.broadcast_mul(&seen)?;
        let decays = apart.exp()?.broadcast_mul(&seen)?; // [n·chunks c c]
        let (decay, keys) = (sums.exp()?, k.transpose(1, 2)?.contiguous()?);
        let weighted = k.broadcast_mul(&beta)?;
        let below = (weighted.matmul(&keys)? * &decays)?.broadcast_mul(&lower(c, true, &sums)?)?;
        let both = [v.broadcast_mul(&beta)?, weighted.broadcast_mul(&decay)?];
        let both = inverse(&below)?.matmul(&Tensor::cat(&both, 2)?)?; // [n·chunks c d_v+d_k]
        let whole = |x: &Tensor| {
            let (_, rows, columns) = x.dims3()?;
            x.contiguous()?.reshape((n, chunks, rows, columns))
        };
        Ok(Self {
            value: whole(&both.narrow(2, 0, d_v)?)?,
            erased: whole(&both.narrow(2, d_v, k.dim(2)?)?)?,
            query: whole(&q.broadcast_mul(&decay)?)?,
            shares: whole(&(q.matmul(&keys)? * &decays)?)?,
            keys: whole(&keys.broadcast_mul(&decays.narrow(1, c - 1, 1)?)?)?,
            left: whole(&decay.narrow(1, c - 1, 1)?)?,
        })
    }

    /// One of them.
    fn at(&self, chunk: usize) -> Result<Self> {
        let of = |x: &Tensor| x.narrow(1, chunk, 1)?.squeeze(1)?.contiguous();
        Ok(Self {
            value: of(&self.value)?,
            erased: of(&self.erased)?,
            query: of(&self.query)?,
            shares: of(&self.shares)?,
            keys: of(&self.keys)?,
            left: of(&self.left)?,
        })
    }

    /// What one chunk reads, and the state behind it.
    fn pass(&self, state: &Tensor) -> Result<(Tensor, Tensor)> {
        let written = (&self.value - self.erased.matmul(state)?)?; // [n c d_v]
        let read = (self.query.matmul(state)? + self.shares.matmul(&written)?)?;
        Ok((read, (state.broadcast_mul(&self.left)? + self.keys.matmul(&written)?)?))
    }
}

/// 1 at tokens and 0 at padding. `[b, q, 1]`
fn real(batch: &Batch, like: &Tensor) -> Result<Tensor> {
    let (b, q, _) = like.dims3()?;
    let mut real = vec![0.0_f32; b * q];
    for (row, segment) in batch.segments.iter().enumerate() {
        real[row * q..][..segment.q.len()].fill(1.0);
    }
    Tensor::from_vec(real, (b, q, 1), like.device())?.to_dtype(like.dtype())
}

/// 1 at and below the diagonal, or below it alone. `[1, n, n]`
fn lower(n: usize, below: bool, like: &Tensor) -> Result<Tensor> {
    let ones = (0..n * n).map(|i| f32::from(u8::from(i % n + usize::from(below) <= i / n)));
    Tensor::from_iter(ones, like.device())?.reshape((1, n, n))?.to_dtype(like.dtype())
}

/// `(I + N)⁻¹` of what lies below the diagonal. `[b, n, n]`
///
/// By rows up to 16 and by halves beyond: powers of `N`, which would need fewer steps, grow with repeated keys until
/// nothing is left of their sum.
fn inverse(below: &Tensor) -> Result<Tensor> {
    let (b, n, _) = below.dims3()?;
    if n <= BLOCK {
        return inverse_by_rows(below);
    }
    let (top, bottom) = (n / 2, n - n / 2);
    let part =
        |row, rows, column, columns| below.narrow(1, row, rows)?.narrow(2, column, columns)?.contiguous();
    let first = part(0, top, 0, top)?;
    let second = part(top, bottom, top, bottom)?;
    let (first, second) = if top == bottom {
        let both = inverse(&Tensor::cat(&[first, second], 0)?)?;
        (both.narrow(0, 0, b)?.contiguous()?, both.narrow(0, b, b)?.contiguous()?)
    } else {
        (inverse(&first)?, inverse(&second)?)
    };
    let corner = second.matmul(&part(top, bottom, 0, top)?)?.matmul(&first)?.neg()?;
    let nothing = Tensor::zeros((b, top, bottom), below.dtype(), below.device())?;
    Tensor::cat(&[Tensor::cat(&[first, nothing], 2)?, Tensor::cat(&[corner, second], 2)?], 1)
}

/// [`inverse`], each row from those above it.
fn inverse_by_rows(below: &Tensor) -> Result<Tensor> {
    let (b, n, _) = below.dims3()?;
    let identity = Tensor::eye(n, below.dtype(), below.device())?;
    let unit = |row| identity.narrow(0, row, 1)?.unsqueeze(0)?.broadcast_as((b, 1, n))?.contiguous();
    let mut rows = unit(0)?;
    for row in 1..n {
        let above = below.narrow(1, row, 1)?.narrow(2, 0, row)?.contiguous()?;
        rows = Tensor::cat(&[&rows, &(unit(row)? - above.matmul(&rows)?)?], 1)?;
    }
    Ok(rows)
}
