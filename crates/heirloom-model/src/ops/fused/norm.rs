//! Norms.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Device, Layout, Shape, Tensor};

use super::super::Result;
use super::{held, make, rows, run};
use crate::kernels;

pub(in super::super) struct Normalize {
    pub(in super::super) eps: f32,
}

impl CustomOp1 for Normalize {
    fn name(&self) -> &'static str {
        "normalize"
    }

    fn cpu_fwd(&self, x: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, x) = rows(x, l)?;
        Ok(run(n, x.width, l.shape(), |out| kernels::rms_norm(x, None, self.eps, out)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (held_x, held_grad) = (x.storage_and_layout(), grad.storage_and_layout());
        let (rows, grad) = (held(&held_x)?, held(&held_grad)?);
        let dx = make(x.shape(), |out| {
            kernels::rms_norm_backward(rows, None, self.eps, grad, out);
        });
        dx.map(Some)
    }
}

pub(in super::super) struct RmsNorm {
    pub(in super::super) eps: f32,
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
        let mut dw = Vec::new();
        let dx = make(x.shape(), |out| {
            let weights = Some(&weights.data[..weights.width]);
            dw = kernels::rms_norm_backward(rows, weights, self.eps, grad, out);
        })?;
        let dw = weight.track_op().then(|| Tensor::from_vec(dw, weight.shape(), &Device::Cpu));
        Ok((x.track_op().then_some(dx), dw.transpose()?))
    }
}

pub(in super::super) struct Standardize {
    pub(in super::super) eps: f32,
}

impl CustomOp1 for Standardize {
    fn name(&self) -> &'static str {
        "standardize"
    }

    fn cpu_fwd(&self, x: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, x) = rows(x, l)?;
        Ok(run(n, x.width, l.shape(), |out| kernels::layer_norm(x, None, self.eps, out)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (held_x, held_grad) = (x.storage_and_layout(), grad.storage_and_layout());
        let (rows, grad) = (held(&held_x)?, held(&held_grad)?);
        let dx = make(x.shape(), |out| {
            kernels::layer_norm_backward(rows, None, self.eps, grad, out);
        });
        dx.map(Some)
    }
}

pub(in super::super) struct LayerNorm {
    pub(in super::super) eps: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        l: &Layout,
        weight: &CpuStorage,
        lw: &Layout,
        bias: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, x), (_, weight), (_, bias)) = (rows(x, l)?, rows(weight, lw)?, rows(bias, lb)?);
        let scale = (&weight.data[..weight.width], &bias.data[..bias.width]);
        Ok(run(n, x.width, l.shape(), |out| kernels::layer_norm(x, Some(scale), self.eps, out)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let holds = (x.storage_and_layout(), weight.storage_and_layout(), grad.storage_and_layout());
        let (rows, weights, grad) = (held(&holds.0)?, held(&holds.1)?, held(&holds.2)?);
        let mut sums = Vec::new();
        let dx = make(x.shape(), |out| {
            let weights = Some(&weights.data[..weights.width]);
            sums = kernels::layer_norm_backward(rows, weights, self.eps, grad, out);
        })?;
        let part = |of: &Tensor, start: usize| {
            let sums = &sums[start..start + rows.width];
            of.track_op().then(|| Tensor::from_slice(sums, of.shape(), &Device::Cpu)).transpose()
        };
        Ok((x.track_op().then_some(dx), part(weight, 0)?, part(bias, rows.width)?))
    }
}
