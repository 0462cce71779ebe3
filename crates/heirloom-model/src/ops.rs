//! The few operations a forward pass is made of, on any device, all with gradients.
//!
//! On the processor in f32 they are the fused kernels of [`crate::kernels`]; elsewhere they are composed of candle's own.
//! Norms and softmax are computed in f32 whatever the dtype, as transformers does.

mod delta;
#[cfg(feature = "flash-attn")]
mod flash;
mod fused;
mod norm;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use candle_core::{D, DType, Device, Tensor};

use crate::batch::Batch;
use crate::config::Activation;
use crate::kernels::Sizes;
use crate::linear::{self, Panels};

pub(crate) use delta::{convolve, delta, scans, sigmoid, softplus};
pub(crate) use fused::rows;
pub(crate) use norm::{Norm, normalize};

type Result<T> = candle_core::Result<T>;

/// `x · Wᵀ + b`, with `W` as Hugging Face stores it: `[out, in]`.
#[derive(Clone)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
    /// The weight, laid out for many small products.
    panels: Option<Arc<Panels<'static>>>,
}

impl Linear {
    pub(crate) fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias, panels: None }
    }

    /// `[out, in]`
    pub(crate) fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// Shapes: `x` `[t, in]`, result `[t, out]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if let Some(bias) = self.bias.as_ref().filter(|_| is_widened(x)) {
            // Rounded once, as PyTorch does.
            let y = widened(x, &self.weight)?.broadcast_add(&bias.to_dtype(DType::F32)?)?;
            return y.to_dtype(DType::BF16);
        }
        let y = match &self.panels {
            Some(panels) => x.apply_op1_no_bwd(&linear::LaidOut(Arc::clone(panels)))?,
            None => matmul(x, &self.weight)?,
        };
        match &self.bias {
            Some(bias) if fused(x) => y.apply_op2(bias, fused::AddToRows),
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }

    /// Lays the weight out once for many small products, which change by no bit; holds it a second time. What is
    /// laid out has no gradient.
    pub(crate) fn laid_out(&self) -> Result<Self> {
        if !fused(&self.weight) {
            return Ok(self.clone());
        }
        let weight = self.weight.contiguous()?;
        let (storage, layout) = weight.storage_and_layout();
        let candle_core::Storage::Cpu(storage) = &*storage else { return Ok(self.clone()) };
        let data = &storage.as_slice()?[layout.start_offset()..][..weight.elem_count()];
        Ok(Self { panels: Some(Arc::new(Panels::new(data, weight.dim(1)?))), ..self.clone() })
    }
}

/// `x · Wᵀ`.
pub(crate) fn matmul(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    if fused(x) {
        return x.apply_op2(weight, linear::Stored);
    }
    if is_widened(x) {
        return widened(x, weight)?.to_dtype(DType::BF16);
    }
    x.matmul(&weight.t()?)
}

/// candle's processor backend multiplies no bf16 matrices.
fn is_widened(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::BF16
}

/// `x · Wᵀ` in f32.
fn widened(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.to_dtype(DType::F32)?.matmul(&weight.to_dtype(DType::F32)?.t()?)
}

/// Rows `ids` of a table. `[v, d]` and `[n]` → `[n, d]`
pub(crate) fn gather(table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    if fused(table) { table.apply_op2(ids, fused::Gather) } else { table.index_select(ids, 0) }
}

/// `a + b`. `[t, d]`
pub(crate) fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if fused(a) { a.apply_op2(b, fused::Add) } else { a + b }
}

/// `f(x)`. `[t, m]`
pub(crate) fn act(kind: Activation, x: &Tensor) -> Result<Tensor> {
    if fused(x) {
        return x.apply_op1(fused::Act(kind));
    }
    // In numbers of half precision the steps in between would each be rounded.
    let wide = widen(x)?;
    let y = match kind {
        Activation::Silu => wide.silu()?,
        Activation::Gelu => wide.gelu_erf()?,
        Activation::GeluTanh => wide.gelu()?,
    };
    y.to_dtype(x.dtype())
}

/// `f(gate) · linear`. `[t, m]`
pub(crate) fn act_mul(kind: Activation, gate: &Tensor, linear: &Tensor) -> Result<Tensor> {
    if fused(gate) { gate.apply_op2(linear, fused::ActMul(kind)) } else { act(kind, gate)? * linear }
}

/// [`act_mul`] of the two halves of a stacked projection. `[t, 2m]` → `[t, m]`
pub(crate) fn act_mul_halves(kind: Activation, gate_up: &Tensor) -> Result<Tensor> {
    if fused(gate_up) {
        return gate_up.apply_op1(fused::ActMulHalves(kind));
    }
    let m = gate_up.dim(1)? / 2;
    act_mul(kind, &gate_up.narrow(1, 0, m)?, &gate_up.narrow(1, m, m)?)
}

/// `cap · tanh(x / cap)`.
pub(crate) fn softcap(x: &Tensor, cap: f64) -> Result<Tensor> {
    (x / cap)?.tanh()? * cap
}

/// Rotary embedding of the first `r` coordinates of every head. `x` `[t, heads, e]`, `cos` and `sin` `[t, r / 2]`.
///
/// In half precision every product is rounded, as transformers does; where `late`, the sum alone.
pub(crate) fn rotate(x: &Tensor, turn: &(Tensor, Tensor), late: bool) -> Result<Tensor> {
    if late && is_half(x) {
        return rotate(&x.to_dtype(DType::F32)?, turn, false)?.to_dtype(x.dtype());
    }
    let (cos, sin) = turn;
    if fused(x) {
        return x.apply_op3(cos, sin, fused::Rotate);
    }
    let (half, e) = (cos.dim(1)?, x.dim(2)?);
    let rest = (2 * half < e).then(|| x.narrow(2, 2 * half, e - 2 * half)).transpose()?;
    let (cos, sin) = (cos.to_dtype(x.dtype())?.unsqueeze(1)?, sin.to_dtype(x.dtype())?.unsqueeze(1)?);
    let (a, b) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
    let left = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
    let right = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
    let parts: Vec<Tensor> = [left, right].into_iter().chain(rest).collect();
    Tensor::cat(&parts, 2)
}

/// Attention without a look at scores or pattern, where a fused kernel can do it.
///
/// Shapes: `q` `[t, h, e]`, `k` and `v` `[_, g, e]`, result `[t, h, e]`. On a device keys are those of the batch alone.
pub(crate) fn fused_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    batch: &Batch,
    heads: Sizes,
) -> Result<Option<Tensor>> {
    #[cfg(feature = "flash-attn")]
    if let Some(z) = flash::attention(q, k, v, batch, heads)? {
        return Ok(Some(z));
    }
    if !fused(q) {
        return Ok(None);
    }
    q.apply_op3(k, v, fused::Attention { segments: Arc::clone(&batch.segments), heads }).map(Some)
}

/// Attention of a stacked projection with itself, rotation included, where nobody looks inside and the fused kernel
/// can do it; bit-equal to [`rotate`] and [`fused_attention`].
///
/// Shapes: `qkv` `[t, (h + 2g) · e]`, result `[t, h, e]`.
pub(crate) fn fused_self_attention(
    qkv: &Tensor,
    batch: &Batch,
    (cos, sin): &(Tensor, Tensor),
    heads: Sizes,
) -> Result<Option<Tensor>> {
    if !fused(qkv) {
        return Ok(None);
    }
    let op = fused::SelfAttention { segments: Arc::clone(&batch.segments), heads };
    qkv.apply_op3(cos, sin, op).map(Some)
}

/// Scaled, capped and masked scores of every row, padded to the longest. `[b, h, q, k]`, f32.
pub(crate) fn scores(q: &Tensor, k: &Tensor, batch: &Batch, heads: Sizes) -> Result<Tensor> {
    let q = batch.pad_queries(q)?; // [b q h e]
    let k = batch.pad_keys(k)?; // [b k g e]
    let q = q.transpose(1, 2)?.contiguous()?; // [b h q e]
    let k = repeat(&k, heads)?; // [b h k e]
    let scores = (q.matmul(&k.t()?)?.to_dtype(DType::F32)? * f64::from(heads.scale))?; // [b h q k]
    // Rounded as transformers rounds them.
    let scores = if is_half(&q) { scores.to_dtype(q.dtype())?.to_dtype(DType::F32)? } else { scores };
    let scores = match heads.softcap {
        Some(cap) => softcap(&scores, f64::from(cap))?,
        None => scores,
    };
    scores.broadcast_add(&batch.mask(heads.window)?)
}

/// Softmax over keys; the pattern of a padding query is all zero. `[b, h, q, k]`
pub(crate) fn pattern(scores: &Tensor) -> Result<Tensor> {
    // A padding query sees nothing: its top is −inf, and −inf − −inf would be NaN.
    // It cancels out, so no gradient flows through it.
    let top = scores.detach().max_keepdim(D::Minus1)?.maximum(f64::from(f32::MIN))?;
    let weights = scores.broadcast_sub(&top)?.exp()?;
    // The top itself counts 1, so this changes no query that sees anything; 1 would halve gradients where they tie.
    let total = weights.sum_keepdim(D::Minus1)?.maximum(0.5)?;
    weights.broadcast_div(&total)
}

/// Values weighted by the pattern, back in the batch's own layout. `[t, h, e]`
pub(crate) fn weigh(pattern: &Tensor, v: &Tensor, batch: &Batch, heads: Sizes) -> Result<Tensor> {
    let v = repeat(&batch.pad_keys(v)?, heads)?; // [b h k e]
    let z = pattern.to_dtype(v.dtype())?.matmul(&v)?; // [b h q e]
    batch.unpad_queries(&z.transpose(1, 2)?.contiguous()?) // [t h e]
}

/// `[b, k, g, e]` → `[b, h, k, e]`, each key head serving its group of query heads.
fn repeat(x: &Tensor, heads: Sizes) -> Result<Tensor> {
    let (b, k, g, e) = x.dims4()?;
    let group = heads.n_heads / heads.n_kv_heads;
    let x = x.transpose(1, 2)?.unsqueeze(2)?.broadcast_as((b, g, group, k, e))?;
    x.contiguous()?.reshape((b, g * group, k, e))
}

/// Σ weight · cross-entropy of `targets` under the head `[v, d]`, its logits capped where asked for; a scalar. `x`
/// `[n, d]`
///
/// The fused form computes the gradients along with the loss, a chunk of rows at a time: logits of all rows never
/// exist at once.
pub(crate) fn head_loss(
    x: &Tensor,
    head: &Tensor,
    cap: Option<f64>,
    targets: &Arc<[u32]>,
    weights: &Arc<[f32]>,
) -> Result<Tensor> {
    if fused(x) {
        return x.apply_op2(head, fused::HeadLoss::new((x, head), cap, targets, weights));
    }
    let (n, device) = (targets.len(), x.device());
    let logits = matmul(x, head)?.to_dtype(DType::F32)?; // [n v]
    let logits = match cap {
        Some(cap) => softcap(&logits, cap)?,
        None => logits,
    };
    let targets = Tensor::from_slice(targets, (n, 1), device)?;
    let weights = Tensor::from_slice(weights, (n, 1), device)?;
    let logits = logits.broadcast_sub(&logits.detach().max_keepdim(D::Minus1)?)?;
    let total = logits.exp()?.sum_keepdim(D::Minus1)?.log()?; // [n 1]
    ((total - logits.gather(&targets, 1)?)? * weights)?.sum_all()
}

/// Means over ranges of a batch's tokens.
pub(crate) enum Means {
    /// Summed in f64, on the processor.
    Ranges(Vec<Range<usize>>),
    /// Added up on a device in f32, every mean by itself: a number that is not finite spoils its own alone.
    Summed {
        /// The tokens that are read, and the mean of each. `[reads]`
        tokens: Tensor,
        rows: Tensor,
        /// One over the tokens of each mean. `[n, 1]`, f32
        shares: Tensor,
    },
}

impl Means {
    pub(crate) fn new(ranges: Vec<Range<usize>>, device: &Device) -> Result<Self> {
        if device.is_cpu() { Ok(Self::Ranges(ranges)) } else { Self::summed(&ranges, device) }
    }

    pub(super) fn summed(ranges: &[Range<usize>], device: &Device) -> Result<Self> {
        let tokens: Vec<u32> = ranges.iter().cloned().flatten().map(|token| token as u32).collect();
        let rows = ranges.iter().zip(0_u32..).flat_map(|(range, row)| range.clone().map(move |_| row));
        let shares: Vec<f32> = ranges.iter().map(|range| 1.0 / range.len() as f32).collect();
        Ok(Self::Summed {
            tokens: Tensor::new(tokens, device)?,
            rows: Tensor::new(rows.collect::<Vec<u32>>(), device)?,
            shares: Tensor::from_vec(shares, (ranges.len(), 1), device)?,
        })
    }

    /// `[t, …]` → `[n, …]` flat, f32, where `x` is.
    pub(crate) fn of(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.flatten_from(1)?;
        let d = x.dim(1)?;
        match self {
            Self::Summed { tokens, rows, shares } => {
                let read = chosen(&x, tokens)?;
                let sums = Tensor::zeros((shares.dim(0)?, d), DType::F32, x.device())?;
                sums.index_add(rows, &read, 0)?.broadcast_mul(shares)
            }
            Self::Ranges(ranges) => {
                let x = x.to_dtype(DType::F32)?;
                let mut means = Vec::with_capacity(ranges.len() * d);
                for range in ranges {
                    let part = x.narrow(0, range.start, range.len())?.contiguous()?.to_vec2::<f32>()?;
                    let mut sums = vec![0.0_f64; d];
                    for row in &part {
                        for (sum, x) in sums.iter_mut().zip(row) {
                            *sum += f64::from(*x);
                        }
                    }
                    means.extend(sums.iter().map(|sum| (sum / part.len() as f64) as f32));
                }
                Tensor::from_vec(means, (ranges.len(), d), x.device())
            }
        }
    }
}

/// The tokens' vectors as f32 on the host. `[t, …]` → one vector per token
pub(crate) fn vectors(x: &Tensor, tokens: &[u32]) -> Result<Vec<Vec<f32>>> {
    chosen(x, &Tensor::new(tokens, x.device())?)?.to_vec2()
}

/// The tokens' vectors. `[t, …]` → `[n, …]` flat, f32, where `x` is
pub(crate) fn chosen(x: &Tensor, tokens: &Tensor) -> Result<Tensor> {
    x.contiguous()?.index_select(tokens, 0)?.flatten_from(1)?.to_dtype(DType::F32)
}

/// Numbers of half precision in f32.
pub(crate) fn widen(x: &Tensor) -> Result<Tensor> {
    if is_half(x) { x.to_dtype(DType::F32) } else { Ok(x.clone()) }
}

fn is_half(x: &Tensor) -> bool {
    matches!(x.dtype(), DType::BF16 | DType::F16)
}

fn fused(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}
