//! The gated delta net's convolution and recurrence: token by token by our kernels on the processor, in chunks of
//! matrix products on a device; in f32 whatever the model's numbers are.

pub(super) mod chunked;

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::{Result, fused, widen};
use crate::batch::Batch;
use crate::cache::{Earlier, Recurrent, with_rows};
use crate::kernels::{self, DeltaSizes};

/// Whether tokens are taken one by one: on the processor, but for the f64 that tests compare with.
pub(crate) fn scans(dtype: DType, device: &Device) -> bool {
    device.is_cpu() && dtype != DType::F64
}

/// `x` convolved with `weight` over the tokens of each row, each channel by itself; with `earlier`, after the tokens
/// that it remembers. `[t, c]` and `[c, taps]` → `[t, c]`, f32.
pub(crate) fn convolve(
    x: &Tensor,
    weight: &Tensor,
    batch: &Batch,
    earlier: &mut Option<Earlier<'_>>,
) -> crate::Result<Tensor> {
    let (x, weight) = (widen(x)?.contiguous()?, widen(weight)?.contiguous()?);
    let rows = match earlier {
        Some(Earlier::Block(block)) => {
            return Ok(chunked::convolve(&x, &weight, batch, Some(&mut block.tail))?);
        }
        None if !scans(x.dtype(), x.device()) => return Ok(chunked::convolve(&x, &weight, batch, None)?),
        Some(Earlier::Rows(rows)) => Some(rows),
        None => None,
    };
    let place = |(row, segment): (usize, &kernels::Segment)| (0..segment.q.len()).map(move |i| (row, i));
    let places: Arc<[(usize, usize)]> = batch.segments.iter().enumerate().flat_map(place).collect();
    match rows {
        Some(rows) => convolve_after(&x, &weight, batch, &places, rows),
        None => Ok(x.apply_op2(&weight, fused::Convolve { places })?),
    }
}

/// Convolves behind the tokens that `earlier` remembers, which become the last ones of `x`.
fn convolve_after(
    x: &Tensor,
    weight: &Tensor,
    batch: &Batch,
    places: &[(usize, usize)],
    earlier: &mut [&mut Recurrent],
) -> crate::Result<Tensor> {
    let taps = weight.dim(1)?;
    let weights: Vec<f32> = weight.flatten_all()?.to_vec1()?;
    let mut out = vec![0.0; x.elem_count()];
    with_rows([x], |[rows]| {
        let tails: Vec<Vec<f32>> =
            earlier.iter_mut().map(|recurrent| std::mem::take(&mut recurrent.tail)).collect();
        kernels::convolve(rows, &weights, &kernels::Earlier { places, tails: &tails }, &mut out);
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
/// `[t, 2 · n_v_heads]`: logarithms of decays, then β → `[t, values]`, f32.
pub(crate) fn delta(
    qkv: &Tensor,
    gates: &Tensor,
    batch: &Batch,
    sizes: DeltaSizes,
    earlier: &mut Option<Earlier<'_>>,
) -> crate::Result<Tensor> {
    let (qkv, gates) = (widen(qkv)?.contiguous()?, widen(gates)?.contiguous()?);
    let segments = Arc::clone(&batch.segments);
    let rows = match earlier {
        Some(Earlier::Block(block)) => {
            return Ok(chunked::delta(&qkv, &gates, batch, sizes, Some(&mut block.state))?);
        }
        None if !scans(qkv.dtype(), qkv.device()) => {
            return Ok(chunked::delta(&qkv, &gates, batch, sizes, None)?);
        }
        None => return Ok(qkv.apply_op2(&gates, fused::Delta { segments, sizes })?),
        Some(Earlier::Rows(rows)) => rows,
    };
    let states: Vec<&mut [f32]> = rows.iter_mut().map(|recurrent| recurrent.state.as_mut_slice()).collect();
    let mut out = vec![0.0; qkv.dim(0)? * sizes.values()];
    with_rows([&qkv, &gates], |[qkv, gates]| {
        kernels::delta((qkv, gates), &segments, sizes, states, &mut out);
        Ok(())
    })?;
    Ok(Tensor::from_vec(out, (qkv.dim(0)?, sizes.values()), &Device::Cpu)?)
}

/// `1 / (1 + e^−x)`, without a NaN in the gradient of large numbers; rounded once.
pub(crate) fn sigmoid(x: &Tensor) -> Result<Tensor> {
    (((widen(x)? * 0.5)?.tanh()? + 1.0)? * 0.5)?.to_dtype(x.dtype())
}

/// `ln(1 + e^x)`.
pub(crate) fn softplus(x: &Tensor) -> Result<Tensor> {
    x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?
}
