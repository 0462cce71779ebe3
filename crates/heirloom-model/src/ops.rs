//! The few operations a forward pass is made of, on any device.
//!
//! On the processor in f32 they are the fused kernels of [`crate::kernels`]; elsewhere they are composed of candle's own.
//! Norms and softmax are computed in f32 whatever the dtype, as transformers does.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, D, DType, Layout, Shape, Tensor};

use crate::batch::Batch;
use crate::kernels::{self, Rows, Segment, Sizes};
use crate::linear::{self, Panels};

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

    /// Shapes: `x` `[t, in]`, result `[t, out]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = match &self.panels {
            Some(panels) => x.apply_op1_no_bwd(&linear::LaidOut(Arc::clone(panels)))?,
            None => matmul(x, &self.weight)?,
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }

    /// Lays the weight out once for many small products, which change by no bit; holds it a second time.
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
    // candle's processor backend multiplies no bf16 matrices.
    if x.device().is_cpu() && x.dtype() == DType::BF16 {
        let y = x.to_dtype(DType::F32)?.matmul(&weight.to_dtype(DType::F32)?.t()?)?;
        return y.to_dtype(DType::BF16);
    }
    x.matmul(&weight.t()?)
}

/// `x / sqrt(mean(x²) + eps)`. `[t, d]`
pub(crate) fn normalize(x: &Tensor, eps: f64) -> Result<Tensor> {
    if fused(x) {
        return x.apply_op1_no_bwd(&Normalize { eps: eps as f32 });
    }
    let x32 = x.to_dtype(DType::F32)?;
    let mean = x32.sqr()?.mean_keepdim(D::Minus1)?;
    x32.broadcast_div(&(mean + eps)?.sqrt()?)?.to_dtype(x.dtype())
}

/// [`normalize`] times `weight`, bit-equal to doing one after the other.
pub(crate) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    if fused(x) {
        return x.apply_op2_no_bwd(weight, &RmsNorm { eps: eps as f32 });
    }
    normalize(x, eps)?.broadcast_mul(weight)
}

/// `a + b`. `[t, d]`
pub(crate) fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if fused(a) { a.apply_op2_no_bwd(b, &ADD) } else { a + b }
}

/// `silu(gate) · linear`. `[t, m]`
pub(crate) fn silu_mul(gate: &Tensor, linear: &Tensor) -> Result<Tensor> {
    if fused(gate) { gate.apply_op2_no_bwd(linear, &SILU_MUL) } else { gate.silu()? * linear }
}

/// Rotary embedding. `x` `[t, heads, e]`, `cos` and `sin` `[t, e / 2]`.
pub(crate) fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    if fused(x) {
        return x.apply_op3_no_bwd(cos, sin, &Rotate);
    }
    let half = x.dim(2)? / 2;
    let (cos, sin) = (cos.to_dtype(x.dtype())?.unsqueeze(1)?, sin.to_dtype(x.dtype())?.unsqueeze(1)?);
    let (a, b) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
    let left = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
    let right = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
    Tensor::cat(&[left, right], 2)
}

/// Attention without a look at scores or pattern, where the fused kernel can do it.
///
/// Shapes: `q` `[t, h, e]`, `k` and `v` `[_, g, e]`, result `[t, h, e]`.
pub(crate) fn fused_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    batch: &Batch,
    heads: Sizes,
) -> Result<Option<Tensor>> {
    if !fused(q) {
        return Ok(None);
    }
    q.apply_op3_no_bwd(k, v, &Attention { segments: Arc::clone(&batch.segments), heads }).map(Some)
}

/// Scaled and masked scores of every row, padded to the longest. `[b, h, q, k]`, f32.
pub(crate) fn scores(q: &Tensor, k: &Tensor, batch: &Batch, heads: Sizes) -> Result<Tensor> {
    let q = batch.pad_queries(q)?; // [b q h e]
    let k = batch.pad_keys(k)?; // [b k g e]
    let q = q.transpose(1, 2)?.contiguous()?; // [b h q e]
    let k = repeat(&k, heads)?; // [b h k e]
    let scores = (q.matmul(&k.t()?)?.to_dtype(DType::F32)? * f64::from(heads.scale))?; // [b h q k]
    scores.broadcast_add(&batch.mask(heads.window, scores.device())?)
}

/// Softmax over keys; the pattern of a padding query is all zero. `[b, h, q, k]`
pub(crate) fn pattern(scores: &Tensor) -> Result<Tensor> {
    // A padding query sees nothing: its top is −inf, and −inf − −inf would be NaN.
    let top = scores.max_keepdim(D::Minus1)?.maximum(f64::from(f32::MIN))?;
    let weights = scores.broadcast_sub(&top)?.exp()?;
    let total = weights.sum_keepdim(D::Minus1)?.maximum(f64::from(f32::MIN_POSITIVE))?;
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

/// Mean over each of the token `ranges`, as f32 on the host. `[t, …]` → one vector per range
///
/// Sums are f64 on the processor and f32 on a device, which reduces before anything is copied.
pub(crate) fn means(x: &Tensor, ranges: &[Range<usize>]) -> Result<Vec<Vec<f32>>> {
    let x = x.flatten_from(1)?;
    let one = |range: &Range<usize>| {
        let part = x.narrow(0, range.start, range.len())?;
        if !x.device().is_cpu() {
            return part.to_dtype(DType::F32)?.mean(0)?.to_vec1();
        }
        let part = part.to_dtype(DType::F32)?.contiguous()?.to_vec2::<f32>()?;
        let mut sums = vec![0.0_f64; x.dim(1)?];
        for row in &part {
            for (sum, x) in sums.iter_mut().zip(row) {
                *sum += f64::from(*x);
            }
        }
        Ok(sums.iter().map(|sum| (sum / part.len() as f64) as f32).collect())
    };
    ranges.iter().map(one).collect()
}

/// The tokens' vectors as f32 on the host. `[t, …]` → one vector per token
pub(crate) fn vectors(x: &Tensor, tokens: &[u32]) -> Result<Vec<Vec<f32>>> {
    let tokens = Tensor::new(tokens, x.device())?;
    let chosen = x.contiguous()?.index_select(&tokens, 0)?;
    chosen.flatten_from(1)?.to_dtype(DType::F32)?.to_vec2()
}

fn fused(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// A tensor on the processor as rows: the first axis may be strided, the rest must be contiguous.
pub(crate) fn rows<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<(usize, Rows<'a>)> {
    let (dims, strides) = (layout.dims(), layout.stride());
    let mut width = 1;
    for (size, stride) in dims.iter().zip(strides).skip(1).rev() {
        if *size != 1 && *stride != width {
            candle_core::bail!("rows of {dims:?} with strides {strides:?} are not contiguous");
        }
        width *= size;
    }
    let data = &storage.as_slice::<f32>()?[layout.start_offset()..];
    let (n, stride) = if dims.len() == 1 { (1, dims[0]) } else { (dims[0], strides[0]) };
    let width = if dims.len() == 1 { dims[0] } else { width };
    Ok((n, Rows { data, stride, width }))
}

fn run(n: usize, width: usize, shape: &Shape, f: impl FnOnce(&mut [f32])) -> (CpuStorage, Shape) {
    let mut out = vec![0.0; n * width];
    f(&mut out);
    (CpuStorage::F32(out), shape.clone())
}

struct Normalize {
    eps: f32,
}

impl CustomOp1 for Normalize {
    fn name(&self) -> &'static str {
        "normalize"
    }

    fn cpu_fwd(&self, x: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, x) = rows(x, l)?;
        Ok(run(n, x.width, l.shape(), |out| kernels::rms_norm(x, None, self.eps, out)))
    }
}

struct RmsNorm {
    eps: f32,
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        l: &Layout,
        weight: &CpuStorage,
        lw: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, x), (_, weight)) = (rows(x, l)?, rows(weight, lw)?);
        let weight = &weight.data[..weight.width];
        Ok(run(n, x.width, l.shape(), |out| kernels::rms_norm(x, Some(weight), self.eps, out)))
    }
}

/// A kernel that works row by row on two inputs of one shape.
struct Rowwise {
    name: &'static str,
    kernel: fn(Rows<'_>, Rows<'_>, &mut [f32]),
}

const ADD: Rowwise = Rowwise { name: "add-rows", kernel: kernels::add };
const SILU_MUL: Rowwise = Rowwise { name: "silu-mul", kernel: kernels::silu_mul };

impl CustomOp2 for Rowwise {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        l: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, a), (_, b)) = (rows(a, l)?, rows(b, lb)?);
        Ok(run(n, a.width, l.shape(), |out| (self.kernel)(a, b, out)))
    }
}

struct Rotate;

impl CustomOp3 for Rotate {
    fn name(&self) -> &'static str {
        "rotate"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        l: &Layout,
        cos: &CpuStorage,
        lc: &Layout,
        sin: &CpuStorage,
        ls: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, x), (_, cos), (_, sin)) = (rows(x, l)?, rows(cos, lc)?, rows(sin, ls)?);
        Ok(run(n, x.width, l.shape(), |out| kernels::rotate(x, cos, sin, out)))
    }
}

struct Attention {
    segments: Arc<[Segment]>,
    heads: Sizes,
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        lq: &Layout,
        k: &CpuStorage,
        lk: &Layout,
        v: &CpuStorage,
        lv: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, q), (_, k), (_, v)) = (rows(q, lq)?, rows(k, lk)?, rows(v, lv)?);
        Ok(run(n, q.width, lq.shape(), |out| {
            kernels::attention(q, k, v, &self.segments, self.heads, out);
        }))
    }
}
