//! A recurrence in place of attention: the gated delta net.
//!
//! Source: arXiv 2412.06464; `Qwen3_5GatedDeltaNet` of transformers 5.23.

use candle_core::Tensor;
use heirloom_record::{HookPoint, Site};

use super::Projection;
use crate::batch::Batch;
use crate::cache::{Cache, DeltaMemory};
use crate::config::Activation;
use crate::hooks::{Halt, Hooks};
use crate::kernels::DeltaSizes;
use crate::ops::{self, Norm};

/// A gated delta net.
#[derive(Clone)]
pub(super) struct DeltaNet {
    pub(super) layer: usize,
    /// Queries, keys and values, the output's gate, β and the decay, as one product.
    pub(super) input: Projection,
    /// `[2 · keys + values, taps]`
    pub(super) convolution: Tensor,
    pub(super) dt_bias: Tensor,
    pub(super) a_log: Tensor,
    /// Over each head of what comes out.
    pub(super) norm: Norm,
    pub(super) output: Projection,
    pub(super) sizes: DeltaSizes,
}

impl DeltaNet {
    /// How much it remembers of a row.
    pub(super) fn memory(&self) -> DeltaMemory {
        let taps = self.convolution.elem_count() / self.sizes.channels();
        DeltaMemory { taps, sizes: self.sizes }
    }

    /// Shapes: `x` `[t, d]`, result `[t, d]`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        batch: &Batch,
        cache: Option<&mut Cache>,
        hooks: &mut Hooks<'_>,
    ) -> Result<Tensor, Halt> {
        let at = |site| HookPoint::Block { layer: self.layer, site };
        let DeltaSizes { n_v_heads: h, d_v, .. } = self.sizes;
        let (t, values) = (x.dim(0)?, self.sizes.values());
        let mut earlier = cache.and_then(|cache| cache.recurrent(self.layer));

        let all = self.input.forward(x)?; // [t c+values+2h]
        let c = self.sizes.channels();
        let gate = all.narrow(1, c, values)?.contiguous()?.reshape((t, h, d_v))?;
        let mixed = ops::convolve(&all.narrow(1, 0, c)?, &self.convolution, batch, &mut earlier)?; // [t c]
        let mixed = ops::act(Activation::Silu, &mixed.to_dtype(x.dtype())?)?;
        let qkv = self.split(&mixed, hooks)?; // [t c]

        let beta = ops::sigmoid(&all.narrow(1, c + values, h)?)?;
        let beta = ops::widen(&hooks.call(at(Site::DeltaBeta), beta)?)?; // [t h]
        let rate = ops::widen(&all.narrow(1, c + values + h, h)?)?;
        let rate = ops::softplus(&rate.broadcast_add(&ops::widen(&self.dt_bias)?)?)?; // [t h]
        let speed = ops::widen(&self.a_log)?.exp()?.neg()?;
        let decay = hooks.call(at(Site::DeltaDecay), rate.broadcast_mul(&speed)?)?; // [t h]
        let gates = Tensor::cat(&[decay, beta], 1)?; // [t 2h]

        let out = ops::delta(&qkv, &gates, batch, self.sizes, &mut earlier)?; // [t values]
        let out = out.to_dtype(x.dtype())?.reshape((t, h, d_v))?;
        let out = hooks.call(at(Site::DeltaOut), out)?; // [t h e]
        let gate = hooks.call(at(Site::DeltaGate), gate)?; // [t h e]
        let normed = self.norm.forward(&out.contiguous()?.reshape((t * h, d_v))?)?; // [t·h e]
        let gate = gate.contiguous()?.reshape((t * h, d_v))?;
        let (gate, normed) = (ops::widen(&gate)?, ops::widen(&normed)?);
        let y = ops::act_mul(Activation::Silu, &gate, &normed)?.to_dtype(x.dtype())?; // [t·h e]
        Ok(self.output.forward(&y.reshape((t, values))?)?) // [t d]
    }

    /// Queries and keys of length 1, the former scaled as scores are, and values. `[t, c]`
    fn split(&self, mixed: &Tensor, hooks: &mut Hooks<'_>) -> Result<Tensor, Halt> {
        let at = |site| HookPoint::Block { layer: self.layer, site };
        let DeltaSizes { n_k_heads, n_v_heads, d_k, d_v } = self.sizes;
        let (t, keys, values) = (mixed.dim(0)?, self.sizes.keys(), self.sizes.values());
        let part = |start, width, heads: usize, e: usize| {
            mixed.narrow(1, start, width)?.contiguous()?.reshape((t, heads, e))
        };
        let q = hooks.call(at(Site::DeltaQ), part(0, keys, n_k_heads, d_k)?)?; // [t g e]
        let k = hooks.call(at(Site::DeltaK), part(keys, keys, n_k_heads, d_k)?)?; // [t g e]
        let v = hooks.call(at(Site::DeltaV), part(2 * keys, values, n_v_heads, d_v)?)?; // [t h e]
        let root = (d_k as f64).sqrt();
        let unit = |x: &Tensor, times: f64| {
            let rows = ops::widen(x)?.contiguous()?.reshape((t * n_k_heads, d_k))?;
            // Divided by the root of the sum of squares plus 1e-6.
            (ops::normalize(&rows, 1e-6 / d_k as f64)? * (times / root))?.reshape((t, keys))
        };
        let v = ops::widen(&v)?.contiguous()?.reshape((t, values))?;
        Ok(Tensor::cat(&[unit(&q, 1.0 / root)?, unit(&k, 1.0)?, v], 1)?)
    }
}
