//! The forward pass, top to bottom as in the papers, with one hook call per named point.
//!
//! Shape letters: `t` tokens of all rows in a line, `d` `d_model`, `h` `n_heads`, `g` `n_kv_heads`, `e` `d_head`,
//! `m` `d_mlp`, `v` `d_vocab`; axes `b q k` (row, query, key) where attention is padded.
//!
//! Source: Llama, arXiv 2302.13971; Mistral's window, arXiv 2310.06825; checked against
//! `modeling_llama.py` and `modeling_mistral.py` of transformers 5.23 hook by hook.

mod assemble;

use candle_core::{DType, Device, Tensor};
use heirloom_record::{HookPoint, Site};

use crate::batch::Batch;
use crate::cache::Cache;
use crate::config::Activation;
use crate::hooks::{Halt, Hooks};
use crate::kernels::Sizes;
use crate::layout::Weight;
use crate::lora::{Adapter, Lora};
use crate::ops::{self, Linear};
use crate::{Config, Error, Result};

/// A model on its device.
#[derive(Clone)]
pub(crate) struct Model {
    config: Config,
    /// Every tensor below with its names, in the numbers it is kept in.
    weights: Vec<Weight>,
    lora: Option<Lora>,
    embed: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
    head: Linear,
    /// Rotary angle per position of each pair of a head's coordinates.
    pub(crate) frequencies: Vec<f32>,
    pub(crate) device: Device,
    pub(crate) dtype: DType,
}

#[derive(Clone)]
struct Block {
    layer: usize,
    ln1: Norm,
    /// Query, key and value projections as one product.
    qkv: Projection,
    o: Projection,
    ln2: Norm,
    /// Gate and up projections as one product.
    gate_up: Projection,
    down: Projection,
    heads: Sizes,
    activation: Activation,
}

#[derive(Clone)]
struct Norm {
    weight: Tensor,
    eps: f64,
}

impl Model {
    /// The residual stream after the last norm's weight, ready for [`Model::logits`]. `[t, d]`
    pub(crate) fn forward(
        &self,
        batch: &Batch,
        mut cache: Option<&mut Cache>,
        hooks: &mut Hooks<'_>,
    ) -> Result<Tensor, Halt> {
        let x = ops::gather(&self.embed, &batch.ids)?; // [t d]
        let mut x = hooks.call(HookPoint::Embed, x)?;
        for block in &self.blocks {
            x = block.forward(x, batch, cache.as_deref_mut(), hooks)?; // [t d]
        }
        if let Some(cache) = cache {
            cache.advance(batch);
        }
        self.norm.forward(&x, HookPoint::LnFinalNormalized, hooks) // [t d]
    }

    /// The language-model head. `[n, d]` → `[n, v]`
    pub(crate) fn logits(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.head.forward(x)?)
    }

    /// An empty cache with room for `room[row]` tokens of every row.
    pub(crate) fn cache(&self, room: &[usize]) -> Result<Cache> {
        Cache::new(room, self.config.n_layers, sizes(&self.config), self.dtype, &self.device)
    }

    /// The same model for many small passes; see [`Linear::laid_out`].
    pub(crate) fn laid_out(&self) -> Result<Self> {
        let mut model = Self { head: self.head.laid_out()?, ..self.clone() };
        for block in &mut model.blocks {
            for projection in [&mut block.qkv, &mut block.o, &mut block.gate_up, &mut block.down] {
                projection.linear = projection.linear.laid_out()?;
            }
        }
        Ok(model)
    }
}

impl Block {
    fn forward(
        &self,
        x: Tensor,
        batch: &Batch,
        cache: Option<&mut Cache>,
        hooks: &mut Hooks<'_>,
    ) -> Result<Tensor, Halt> {
        let at = |site| HookPoint::Block { layer: self.layer, site };
        let Sizes { n_heads: h, d_head: e, .. } = self.heads;
        let t = x.dim(0)?;

        let x = hooks.call(at(Site::ResidPre), x)?; // [t d]
        let n = self.ln1.forward(&x, at(Site::Ln1Normalized), hooks)?; // [t d]
        let qkv = self.qkv.forward(&n)?; // [t (h+2g)·e]
        let z = self.attend(&qkv, batch, cache, hooks)?; // [t h e]
        let z = hooks.call(at(Site::Z), z)?.reshape((t, h * e))?;
        let attn_out = hooks.call(at(Site::AttnOut), self.o.forward(&z)?)?; // [t d]
        let x = hooks.call(at(Site::ResidMid), ops::add(&x, &attn_out)?)?; // [t d]

        let n = self.ln2.forward(&x, at(Site::Ln2Normalized), hooks)?; // [t d]
        let gate_up = self.gate_up.forward(&n)?; // [t 2m]
        let post = self.activate(&gate_up, hooks)?; // [t m]
        let post = hooks.call(at(Site::MlpPost), post)?; // [t m]
        let mlp_out = hooks.call(at(Site::MlpOut), self.down.forward(&post)?)?; // [t d]
        hooks.call(at(Site::ResidPost), ops::add(&x, &mlp_out)?) // [t d]
    }

    /// Softmax attention; what lies inside exists as tensors only when somebody looks, which nobody can while keys are
    /// kept in a [`Cache`].
    fn attend(
        &self,
        qkv: &Tensor,
        batch: &Batch,
        cache: Option<&mut Cache>,
        hooks: &mut Hooks<'_>,
    ) -> Result<Tensor, Halt> {
        let at = |site| HookPoint::Block { layer: self.layer, site };
        let Sizes { n_heads: h, n_kv_heads: g, d_head: e, .. } = self.heads;
        let inside = [Site::Q, Site::K, Site::V, Site::RotQ, Site::RotK, Site::AttnScores, Site::Pattern];
        let looked = |sites: &[Site], hooks: &Hooks<'_>| sites.iter().any(|site| hooks.touches(at(*site)));
        if cache.is_none()
            && !looked(&inside, hooks)
            && let Some(z) = ops::fused_self_attention(qkv, batch, self.heads)?
        {
            return Ok(z); // [t h e]
        }
        let qkv = qkv.reshape((qkv.dim(0)?, h + 2 * g, e))?; // [t h+2g e]
        let q = hooks.call(at(Site::Q), qkv.narrow(1, 0, h)?)?; // [t h e]
        let k = hooks.call(at(Site::K), qkv.narrow(1, h, g)?)?; // [t g e]
        let v = hooks.call(at(Site::V), qkv.narrow(1, h + g, g)?)?; // [t g e]
        let q = hooks.call(at(Site::RotQ), ops::rotate(&q, &batch.cos, &batch.sin)?)?;
        let k = hooks.call(at(Site::RotK), ops::rotate(&k, &batch.cos, &batch.sin)?)?;
        if let Some(cache) = cache {
            return Ok(cache.attend(self.layer, [&q, &k, &v], batch, self.heads)?); // [t h e]
        }
        if !looked(&inside[5..], hooks)
            && let Some(z) = ops::fused_attention(&q, &k, &v, batch, self.heads)?
        {
            return Ok(z); // [t h e]
        }
        let s = hooks.call(at(Site::AttnScores), ops::scores(&q, &k, batch, self.heads)?)?; // [b h q k]
        let p = hooks.call(at(Site::Pattern), ops::pattern(&s)?)?; // [b h q k]
        Ok(ops::weigh(&p, &v, batch, self.heads)?) // [t h e]
    }

    /// The gate's activation times the linear part.
    fn activate(&self, gate_up: &Tensor, hooks: &mut Hooks<'_>) -> Result<Tensor, Halt> {
        let at = |site| HookPoint::Block { layer: self.layer, site };
        let Activation::Silu = self.activation;
        if !hooks.touches(at(Site::MlpPre)) && !hooks.touches(at(Site::MlpPreLinear)) {
            return Ok(ops::silu_mul_halves(gate_up)?); // [t m]
        }
        let m = gate_up.dim(1)? / 2;
        let gate = hooks.call(at(Site::MlpPre), gate_up.narrow(1, 0, m)?)?; // [t m]
        let up = hooks.call(at(Site::MlpPreLinear), gate_up.narrow(1, m, m)?)?; // [t m]
        Ok(ops::silu_mul(&gate, &up)?) // [t m]
    }
}

/// A projection and what an adapter adds to it.
#[derive(Clone)]
struct Projection {
    linear: Linear,
    adapter: Option<Adapter>,
}

impl Projection {
    /// Shapes: `x` `[t, in]`, result `[t, out]`.
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let y = self.linear.forward(x)?;
        match &self.adapter {
            Some(adapter) => adapter.add_to(&y, x),
            None => Ok(y),
        }
    }
}

fn sizes(c: &Config) -> Sizes {
    Sizes {
        n_heads: c.n_heads,
        n_kv_heads: c.n_kv_heads,
        d_head: c.d_head,
        scale: 1.0 / (c.d_head as f32).sqrt(),
        window: c.sliding_window,
    }
}

impl Norm {
    /// RMS norm; `point` sees the stream divided by its root mean square, before the weight.
    fn forward(&self, x: &Tensor, point: HookPoint, hooks: &mut Hooks<'_>) -> Result<Tensor, Halt> {
        if !hooks.touches(point) {
            return Ok(ops::rms_norm(x, &self.weight, self.eps)?);
        }
        let normalized = hooks.call(point, ops::normalize(x, self.eps)?)?;
        Ok(normalized.broadcast_mul(&self.weight)?)
    }
}

impl Model {
    /// Every weight, in the order of [`crate::layout::slots`], and then those of the adapter.
    pub(crate) fn weights(&self) -> &[Weight] {
        &self.weights
    }

    /// The adapter's shape.
    pub(crate) fn lora(&self) -> Option<&Lora> {
        self.lora.as_ref()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Runs to the end, whatever is watched.
    pub(crate) fn to_the_end(
        &self,
        batch: &Batch,
        cache: Option<&mut Cache>,
        hooks: &mut Hooks<'_>,
    ) -> Result<Tensor, Error> {
        match in_pool(|| self.forward(batch, cache, hooks)) {
            Ok(x) => Ok(x),
            Err(Halt::Seen) => unreachable!("the hooks were to run to the end"),
            Err(Halt::Failed(error)) => Err(error),
        }
    }

    /// Runs to the end, or to the last watched point; `None` where it ended early.
    pub(crate) fn run(
        &self,
        batch: &Batch,
        cache: Option<&mut Cache>,
        hooks: &mut Hooks<'_>,
    ) -> Result<Option<Tensor>, Error> {
        match in_pool(|| self.forward(batch, cache, hooks)) {
            Ok(x) => Ok(Some(x)),
            Err(Halt::Seen) => Ok(None),
            Err(Halt::Failed(error)) => Err(error),
        }
    }
}

/// Runs `f` on a thread of the pool: from elsewhere every kernel would wake one and wait for it.
fn in_pool<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| f())
}
