//! A causal convolution and the gated delta rule.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, Device, Layout, Shape, Tensor};

use super::super::Result;
use super::{held, make, rows, run};
use crate::kernels::{self, DeltaSizes, Earlier, Segment};

pub(in super::super) struct Convolve {
    /// Of each token, its row and its place in it.
    pub(in super::super) places: Arc<[(usize, usize)]>,
}

impl CustomOp2 for Convolve {
    fn name(&self) -> &'static str {
        "convolve"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        l: &Layout,
        weight: &CpuStorage,
        lw: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, x), (_, weight)) = (rows(x, l)?, rows(weight, lw)?);
        let (weight, earlier) =
            (&weight.data[..lw.shape().elem_count()], Earlier { places: &self.places, tails: &[] });
        Ok(run(n, x.width, l.shape(), |out| kernels::convolve(x, weight, &earlier, out)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let holds = (x.storage_and_layout(), weight.storage_and_layout(), grad.storage_and_layout());
        let (rows, weights, grad) = (held(&holds.0)?, held(&holds.1)?, held(&holds.2)?);
        let (weights, earlier) =
            (&weights.data[..weight.elem_count()], Earlier { places: &self.places, tails: &[] });
        let mut dw = Vec::new();
        let dx = make(x.shape(), |out| dw = kernels::convolve_backward(rows, weights, &earlier, grad, out))?;
        let dw = weight.track_op().then(|| Tensor::from_vec(dw, weight.shape(), &Device::Cpu));
        Ok((x.track_op().then_some(dx), dw.transpose()?))
    }
}

pub(in super::super) struct Delta {
    pub(in super::super) segments: Arc<[Segment]>,
    pub(in super::super) sizes: DeltaSizes,
}

impl CustomOp2 for Delta {
    fn name(&self) -> &'static str {
        "delta-rule"
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        l: &Layout,
        gates: &CpuStorage,
        lg: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, qkv), (_, gates)) = (rows(qkv, l)?, rows(gates, lg)?);
        let mut states = vec![vec![0.0; self.sizes.state()]; self.segments.len()];
        let states: Vec<&mut [f32]> = states.iter_mut().map(Vec::as_mut_slice).collect();
        let width = self.sizes.values();
        Ok(run(n, width, &Shape::from((n, width)), |out| {
            kernels::delta((qkv, gates), &self.segments, self.sizes, states, out);
        }))
    }

    fn bwd(
        &self,
        qkv: &Tensor,
        gates: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let holds = (qkv.storage_and_layout(), gates.storage_and_layout(), grad.storage_and_layout());
        let read = (held(&holds.0)?, held(&holds.1)?);
        let grad = held(&holds.2)?;
        let mut in_gates = vec![0.0; gates.elem_count()];
        let in_qkv = make(qkv.shape(), |out| {
            kernels::delta_backward(read, grad, &self.segments, self.sizes, (out, &mut in_gates));
        })?;
        let in_gates = gates.track_op().then(|| Tensor::from_vec(in_gates, gates.shape(), &Device::Cpu));
        Ok((qkv.track_op().then_some(in_qkv), in_gates.transpose()?))
    }
}
