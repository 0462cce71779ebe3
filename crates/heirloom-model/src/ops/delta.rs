//! The recurrence of a gated delta net, in f32 on the processor whatever the model's numbers are.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::{Result, fused};
use crate::batch::Batch;
use crate::cache::{Recurrent, with_rows};
use crate::kernels::{self, DeltaSizes, Earlier};

/// Numbers as the kernels read them.
fn wide(x: &Tensor) -> Result<Tensor> {
    x.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.contiguous()
}

/// `x` convolved with `weight` over the tokens of each row, each channel by itself; with `earlier`, after the tokens
/// that it remembers. `[t, c]` and `[c, taps]` → `[t, c]`, f32 on the processor.
pub(crate) fn convolve(
    x: &Tensor,
    weight: &Tensor,
    batch: &Batch,
    earlier: Option<&mut [&mut Recurrent]>,
) -> crate::Result<Tensor> {
    let (x, weight) = (wide(x)?, wide(weight)?);
    let place = |(row, segment): (usize, &kernels::Segment)| (0..segment.q.len()).map(move |i| (row, i));
    let places: Arc<[(usize, usize)]> = batch.segments.iter().enumerate().flat_map(place).collect();
    let Some(earlier) = earlier else {
        return Ok(x.apply_op2(&weight, fused::Convolve { places })?);
    };
    let taps = weight.dim(1)?;
    let weights: Vec<f32> = weight.flatten_all()?.to_vec1()?;
    let mut out = vec![0.0; x.elem_count()];
    with_rows([&x], |[rows]| {
        let tails: Vec<Vec<f32>> =
            earlier.iter_mut().map(|recurrent| std::mem::take(&mut recurrent.tail)).collect();
        kernels::convolve(rows, &weights, &Earlier { places: &places, tails: &tails }, &mut out);
        for ((recurrent, segment), tail) in earlier.iter_mut().zip(batch.segments.iter()).zip(tails) {
            let new = segment.q.clone().flat_map(|token| rows.row(token).iter().copied());
            let all: Vec<f32> = tail.into_iter().chain(new).collect();
            recurrent.tail = all[all.len() - (taps - 1) * rows.width..].to_vec();
        }
        Ok(())
    })?;
    Ok(Tensor::from_vec(out, x.shape(), &Device::Cpu)?)
}

/// The gated delta rule; with `earlier`, from the states that it remembers. `qkv` `[t, 2 · keys + values]`, `gates`
/// `[t, 2 · n_v_heads]` → `[t, values]`, f32 on the processor.
pub(crate) fn delta(
    qkv: &Tensor,
    gates: &Tensor,
    batch: &Batch,
    sizes: DeltaSizes,
    earlier: Option<&mut [&mut Recurrent]>,
) -> crate::Result<Tensor> {
    let (qkv, gates) = (wide(qkv)?, wide(gates)?);
    let segments = Arc::clone(&batch.segments);
    let Some(earlier) = earlier else {
        return Ok(qkv.apply_op2(&gates, fused::Delta { segments, sizes })?);
    };
    let states: Vec<&mut [f32]> =
        earlier.iter_mut().map(|recurrent| recurrent.state.as_mut_slice()).collect();
    let mut out = vec![0.0; qkv.dim(0)? * sizes.values()];
    with_rows([&qkv, &gates], |[qkv, gates]| {
        kernels::delta((qkv, gates), &segments, sizes, states, &mut out);
        Ok(())
    })?;
    Ok(Tensor::from_vec(out, (qkv.dim(0)?, sizes.values()), &Device::Cpu)?)
}

/// `1 / (1 + e^−x)`, without a NaN in the gradient of large numbers; rounded once.
pub(crate) fn sigmoid(x: &Tensor) -> Result<Tensor> {
    let wide = if super::is_half(x) { x.to_dtype(DType::F32)? } else { x.clone() };
    (((wide * 0.5)?.tanh()? + 1.0)? * 0.5)?.to_dtype(x.dtype())
}

/// `ln(1 + e^x)`.
pub(crate) fn softplus(x: &Tensor) -> Result<Tensor> {
    x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?
}
