//! Nonlinearities.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};

use super::super::Result;
use super::{held, make, rows, run};
use crate::config::Activation;
use crate::kernels;

pub(in super::super) struct Act(pub(in super::super) Activation);

impl CustomOp1 for Act {
    fn name(&self) -> &'static str {
        "act"
    }

    fn cpu_fwd(&self, x: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, x) = rows(x, l)?;
        Ok(run(n, x.width, l.shape(), |out| kernels::act(self.0, x, out)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (held_x, held_grad) = (x.storage_and_layout(), grad.storage_and_layout());
        let (rows, grad) = (held(&held_x)?, held(&held_grad)?);
        make(x.shape(), |out| kernels::act_backward(self.0, rows, grad, out)).map(Some)
    }
}

pub(in super::super) struct ActMul(pub(in super::super) Activation);

impl CustomOp2 for ActMul {
    fn name(&self) -> &'static str {
        "act-mul"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        l: &Layout,
        linear: &CpuStorage,
        ll: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, gate), (_, linear)) = (rows(gate, l)?, rows(linear, ll)?);
        Ok(run(n, gate.width, l.shape(), |out| kernels::act_mul(self.0, gate, linear, out)))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        linear: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (t, m) = gate.dims2()?;
        let grad = grad.contiguous()?;
        let holds = (gate.storage_and_layout(), linear.storage_and_layout(), grad.storage_and_layout());
        let (gates, linears, grad) = (held(&holds.0)?, held(&holds.1)?, held(&holds.2)?);
        let both = make((t, 2 * m), |out| kernels::act_mul_backward(self.0, gates, linears, grad, out))?;
        let half = |of: &Tensor, start| of.track_op().then(|| both.narrow(1, start, m)).transpose();
        Ok((half(gate, 0)?, half(linear, m)?))
    }
}

pub(in super::super) struct ActMulHalves(pub(in super::super) Activation);

impl CustomOp1 for ActMulHalves {
    fn name(&self) -> &'static str {
        "act-mul-halves"
    }

    fn cpu_fwd(&self, gate_up: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, both) = rows(gate_up, l)?;
        let m = both.width / 2;
        let shape = Shape::from((n, m));
        let (gate, linear) = (both.columns(0, m), both.columns(m, m));
        Ok(run(n, m, &shape, |out| kernels::act_mul(self.0, gate, linear, out)))
    }

    fn bwd(&self, gate_up: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (held_both, held_grad) = (gate_up.storage_and_layout(), grad.storage_and_layout());
        let (both, grad) = (held(&held_both)?, held(&held_grad)?);
        let (gate, linear) = (both.columns(0, grad.width), both.columns(grad.width, grad.width));
        make(gate_up.shape(), |out| kernels::act_mul_backward(self.0, gate, linear, grad, out)).map(Some)
    }
}
