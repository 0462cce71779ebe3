//! The kernels as nodes of candle's graph: what each computes, and the gradients it hands back.
//!
//! Only what leads to a variable gets a gradient: frozen weights cost nothing.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Device, Layout, Shape, Storage, Tensor, bail};

use super::Result;
use crate::kernels::{self, Rows, Segment, Sizes, Turn};

mod activation;
mod delta;
mod norm;

pub(super) use activation::{Act, ActMul, ActMulHalves};
pub(super) use delta::{Convolve, Delta};
pub(super) use norm::{LayerNorm, Normalize, RmsNorm, Standardize};

/// A tensor on the processor as rows: the first axis may be strided, the rest must be contiguous.
pub(crate) fn rows<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<(usize, Rows<'a>)> {
    let (dims, strides) = (layout.dims(), layout.stride());
    let mut width = 1;
    for (size, stride) in dims.iter().zip(strides).skip(1).rev() {
        if *size != 1 && *stride != width {
            bail!("rows of {dims:?} with strides {strides:?} are not contiguous");
        }
        width *= size;
    }
    let data = &storage.as_slice::<f32>()?[layout.start_offset()..];
    let (n, stride) = if dims.len() == 1 { (1, dims[0]) } else { (dims[0], strides[0]) };
    let width = if dims.len() == 1 { dims[0] } else { width };
    Ok((n, Rows { data, stride, width }))
}

/// Contiguous `[n, width]` as rows.
fn rows_of(storage: &CpuStorage, shape: (usize, usize)) -> Result<Rows<'_>> {
    Ok(rows(storage, &Layout::contiguous(shape))?.1)
}

/// [`rows`] of a tensor whose storage is held.
fn held<'a>(held: &'a (impl Deref<Target = Storage>, &Layout)) -> Result<Rows<'a>> {
    match &*held.0 {
        Storage::Cpu(storage) => Ok(rows(storage, held.1)?.1),
        _ => bail!("a fused operation's gradient is not on the processor"),
    }
}

/// Contiguous numbers of a tensor on the processor.
fn ids<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [u32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<u32>()?[start..end]),
        None => bail!("ids with strides {:?} are not contiguous", layout.stride()),
    }
}

/// What `f` makes of `n · width` zeros.
fn run(n: usize, width: usize, shape: &Shape, f: impl FnOnce(&mut [f32])) -> (CpuStorage, Shape) {
    let mut out = vec![0.0; n * width];
    f(&mut out);
    (CpuStorage::F32(out), shape.clone())
}

/// As [`run`], a tensor.
fn make(shape: impl Into<Shape>, f: impl FnOnce(&mut [f32])) -> Result<Tensor> {
    let shape = shape.into();
    let mut out = vec![0.0; shape.elem_count()];
    f(&mut out);
    Tensor::from_vec(out, shape, &Device::Cpu)
}

pub(super) struct Add;

impl CustomOp2 for Add {
    fn name(&self) -> &'static str {
        "add-rows"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        l: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, a), (_, b)) = (rows(a, l)?, rows(b, lb)?);
        Ok(run(n, a.width, l.shape(), |out| kernels::add(a, b, out)))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((a.track_op().then(|| grad.clone()), b.track_op().then(|| grad.clone())))
    }
}

pub(super) struct Rotate;

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
        let d_head = l.dims()[2];
        Ok(run(n, x.width, l.shape(), |out| kernels::rotate(x, (cos, sin), d_head, Turn::Forth, out)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        cos: &Tensor,
        sin: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let holds = (cos.storage_and_layout(), sin.storage_and_layout(), grad.storage_and_layout());
        let (cos, sin, grad) = (held(&holds.0)?, held(&holds.1)?, held(&holds.2)?);
        let d_head = x.dim(2)?;
        let dx = make(x.shape(), |out| kernels::rotate(grad, (cos, sin), d_head, Turn::Back, out))?;
        Ok((Some(dx), None, None))
    }
}

pub(super) struct Attention {
    pub(super) segments: Arc<[Segment]>,
    pub(super) heads: Sizes,
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

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let holds = (q.storage_and_layout(), k.storage_and_layout(), v.storage_and_layout());
        let held_grad = grad.storage_and_layout();
        let (queries, keys, values) = (held(&holds.0)?, held(&holds.1)?, held(&holds.2)?);
        let (segments, heads) = (&self.segments, self.heads);
        let grads = kernels::attention_backward(queries, keys, values, held(&held_grad)?, segments, heads);
        let dq = q.track_op().then(|| make(q.shape(), |out| grads.queries(out))).transpose()?;
        let dk = k.track_op().then(|| make(k.shape(), |out| grads.keys(out))).transpose()?;
        let dv = v.track_op().then(|| make(v.shape(), |out| grads.values(out))).transpose()?;
        Ok((dq, dk, dv))
    }
}

/// Rotation and attention of queries, keys and values that lie side by side.
pub(super) struct SelfAttention {
    pub(super) segments: Arc<[Segment]>,
    pub(super) heads: Sizes,
}

impl SelfAttention {
    /// Hands rotated queries, rotated keys and values to `f`.
    fn split<R>(
        &self,
        n: usize,
        qkv: Rows<'_>,
        turns: (Rows<'_>, Rows<'_>),
        f: impl FnOnce(Rows<'_>, Rows<'_>, Rows<'_>) -> R,
    ) -> R {
        let Sizes { n_heads, n_kv_heads, d_head: e, .. } = self.heads;
        let (q, kv) = (n_heads * e, n_kv_heads * e);
        let mut turned = vec![0.0; n * (q + kv)];
        kernels::rotate(qkv.columns(0, q + kv), turns, e, Turn::Forth, &mut turned);
        let turned = Rows { data: &turned, stride: q + kv, width: q + kv };
        f(turned.columns(0, q), turned.columns(q, kv), qkv.columns(q + kv, kv))
    }
}

impl CustomOp3 for SelfAttention {
    fn name(&self) -> &'static str {
        "self-attention"
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        l: &Layout,
        cos: &CpuStorage,
        lc: &Layout,
        sin: &CpuStorage,
        ls: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, qkv), (_, cos), (_, sin)) = (rows(qkv, l)?, rows(cos, lc)?, rows(sin, ls)?);
        let width = self.heads.n_heads * self.heads.d_head;
        Ok(self.split(n, qkv, (cos, sin), |q, k, v| {
            run(n, width, &Shape::from((n, self.heads.n_heads, self.heads.d_head)), |out| {
                kernels::attention(q, k, v, &self.segments, self.heads, out);
            })
        }))
    }

    fn bwd(
        &self,
        qkv: &Tensor,
        cos: &Tensor,
        sin: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let holds = (qkv.storage_and_layout(), cos.storage_and_layout(), sin.storage_and_layout());
        let held_grad = grad.storage_and_layout();
        let (stacked, cos, sin) = (held(&holds.0)?, held(&holds.1)?, held(&holds.2)?);
        let grad = held(&held_grad)?;
        let grads = self.split(qkv.dim(0)?, stacked, (cos, sin), |q, k, v| {
            kernels::attention_backward(q, k, v, grad, &self.segments, self.heads)
        });
        let dx = make(qkv.shape(), |out| grads.stacked(cos, sin, out))?;
        Ok((Some(dx), None, None))
    }
}

/// A bias added to every row.
pub(super) struct AddToRows;

impl CustomOp2 for AddToRows {
    fn name(&self) -> &'static str {
        "add-to-rows"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        l: &Layout,
        bias: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, x), (_, bias)) = (rows(x, l)?, rows(bias, lb)?);
        // The one row again and again.
        let bias = Rows { stride: 0, ..bias };
        Ok(run(n, x.width, l.shape(), |out| kernels::add(x, bias, out)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let rows = grad.contiguous()?;
        let db = bias.track_op().then(|| {
            let held_grad = rows.storage_and_layout();
            Tensor::from_vec(kernels::sum_rows(held(&held_grad)?, rows.dim(0)?), bias.shape(), &Device::Cpu)
        });
        Ok((x.track_op().then(|| grad.clone()), db.transpose()?))
    }
}

pub(super) struct Gather;

impl CustomOp2 for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn cpu_fwd(
        &self,
        table: &CpuStorage,
        l: &Layout,
        chosen: &CpuStorage,
        lc: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, table), chosen) = (rows(table, l)?, ids(chosen, lc)?);
        if let Some(id) = chosen.iter().find(|id| **id as usize >= n) {
            bail!("row {id} of a table of {n} rows");
        }
        let shape = Shape::from((chosen.len(), table.width));
        Ok(run(chosen.len(), table.width, &shape, |out| kernels::gather(table, chosen, out)))
    }

    fn bwd(
        &self,
        table: &Tensor,
        chosen: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (held_chosen, held_grad) = (chosen.storage_and_layout(), grad.storage_and_layout());
        let Storage::Cpu(storage) = &*held_chosen.0 else { bail!("ids are not on the processor") };
        let (chosen, grad) = (ids(storage, held_chosen.1)?, held(&held_grad)?);
        let dt = make(table.shape(), |out| kernels::scatter_add(grad, chosen, out))?;
        Ok((Some(dt), None))
    }
}

/// Rows whose logits exist at a time.
const CHUNK: usize = 512;

/// Σ weight · cross-entropy of `x · headᵀ`.
pub(super) struct HeadLoss {
    /// Logits `x` become `cap · tanh(x / cap)`.
    softcap: Option<f32>,
    targets: Arc<[u32]>,
    weights: Arc<[f32]>,
    /// Whether a gradient in `x` and in the head will be asked for.
    wanted: (bool, bool),
    gradients: OnceLock<(Option<Tensor>, Option<Tensor>)>,
}

impl HeadLoss {
    pub(super) fn new(
        (x, head): (&Tensor, &Tensor),
        softcap: Option<f64>,
        targets: &Arc<[u32]>,
        weights: &Arc<[f32]>,
    ) -> Self {
        let wanted = (x.track_op(), head.track_op());
        let (targets, weights) = (Arc::clone(targets), Arc::clone(weights));
        let softcap = softcap.map(|cap| cap as f32);
        Self { softcap, targets, weights, wanted, gradients: OnceLock::new() }
    }
}

impl CustomOp2 for HeadLoss {
    fn name(&self) -> &'static str {
        "head-loss"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        l: &Layout,
        head: &CpuStorage,
        lh: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, d), (v, width)) = (l.shape().dims2()?, lh.shape().dims2()?);
        if d != width {
            bail!("a head for {width} numbers was given rows of {d}");
        }
        if n != self.targets.len() || n != self.weights.len() {
            bail!("{n} rows have {} targets and {} weights", self.targets.len(), self.weights.len());
        }
        if let Some(id) = self.targets.iter().find(|id| **id as usize >= v) {
            bail!("target {id} of a vocabulary of {v}");
        }
        let (mut loss, mut dx, mut dw) = (0.0, Vec::new(), Vec::new());
        for start in (0..n).step_by(CHUNK) {
            let chunk = start..(start + CHUNK).min(n);
            let rows = l.narrow(0, start, chunk.len())?;
            let CpuStorage::F32(mut logits) =
                x.matmul(head, (1, chunk.len(), v, d), &rows, &lh.transpose(0, 1)?)?
            // [c v]
            else {
                bail!("logits are not f32");
            };
            let (targets, weights) = (&self.targets[chunk.clone()], &self.weights[chunk.clone()]);
            let capped = self.softcap.map(|cap| {
                kernels::softcap(&mut logits, v, cap);
                (cap, logits.clone())
            });
            loss += kernels::cross_entropy(&mut logits, targets, weights, self.wanted.0 || self.wanted.1);
            if let Some((cap, data)) = &capped {
                kernels::softcap_backward(Rows { data, stride: v, width: v }, *cap, &mut logits);
            }
            let (logits, flat) = (CpuStorage::F32(logits), Layout::contiguous((chunk.len(), v)));
            if self.wanted.0 {
                let part = logits.matmul(head, (1, chunk.len(), d, v), &flat, lh)?; // [c d]
                dx.extend_from_slice(part.as_slice::<f32>()?);
            }
            if self.wanted.1 {
                let part = logits.matmul(x, (1, v, d, chunk.len()), &flat.transpose(0, 1)?, &rows)?; // [v d]
                match part {
                    CpuStorage::F32(part) if dw.is_empty() => dw = part,
                    part => kernels::add_to(rows_of(&part, (v, d))?, &mut dw),
                }
            }
        }
        dw.resize(if self.wanted.1 { v * d } else { 0 }, 0.0);
        let dx = self.wanted.0.then(|| Tensor::from_vec(dx, (n, d), &Device::Cpu)).transpose()?;
        let dw = self.wanted.1.then(|| Tensor::from_vec(dw, (v, d), &Device::Cpu)).transpose()?;
        if self.gradients.set((dx, dw)).is_err() {
            bail!("a loss was computed twice");
        }
        Ok((CpuStorage::F32(vec![loss as f32]), Shape::from(())))
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some((dx, dw)) = self.gradients.get() else { bail!("the loss of inputs without gradient") };
        let times = f64::from(grad.to_scalar::<f32>()?);
        let scaled = |gradient: &Option<Tensor>| gradient.as_ref().map(|x| x.affine(times, 0.0)).transpose();
        Ok((scaled(dx)?, scaled(dw)?))
    }
}
