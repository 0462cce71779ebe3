//! The forward pass, top to bottom as in the papers, with one hook call per named point.
//!
//! Shape letters: `t` tokens of all rows in a line, `d` `d_model`, `h` `n_heads`, `g` `n_kv_heads`, `e` `d_head`,
//! `m` `d_mlp`, `v` `d_vocab`; axes `b q k` (row, query, key) where attention is padded.
//!
//! What is added to the stream is `hook_attn_out` and `hook_mlp_out`, behind a norm that follows attention or the MLP, so
//! `resid_mid = resid_pre + attn_out` and `resid_post = resid_mid + mlp_out` in every family; where both read the same
//! stream there is no `resid_mid`, and `resid_post = resid_pre + attn_out + mlp_out`.
//!
//! Source: the modeling files of transformers 5.23, hook by hook; Llama, arXiv 2302.13971; windows, arXiv 2310.06825;
//! norms after, arXiv 2501.00656; soft caps and norms before and after, arXiv 2408.00118; side by side, arXiv 2204.06745.

mod assemble;
mod delta;
mod experts;
#[cfg(test)]
mod tests;

use candle_core::{DType, Device, Tensor};
use heirloom_record::{HookPoint, Site};

use self::delta::DeltaNet;
use self::experts::Experts;
use crate::batch::Batch;
use crate::cache::Cache;
use crate::config::Activation;
use crate::hooks::{Halt, Hooks};
use crate::kernels::Sizes;
use crate::layout::Weight;
use crate::lora::{Adapter, Lora};
use crate::ops::{self, Linear, Norm};
use crate::rope::Rotary;
use crate::{Config, Error, Result};

/// A model on its device.
#[derive(Clone)]
pub(crate) struct Model {
    config: Config,
    /// Every tensor below with its names, in the numbers it is kept in.
    weights: Vec<Weight>,
    lora: Option<Lora>,
    embed: Tensor,
    /// The table of positions, where there is one.
    positions: Option<Tensor>,
    blocks: Vec<Block>,
    norm: Norm,
    head: Linear,
    /// Rotary embeddings; every block has one of them.
    pub(crate) rotary: Vec<Rotary>,
    pub(crate) device: Device,
    pub(crate) dtype: DType,
}

#[derive(Clone)]
struct Block {
    layer: usize,
    ln1: Option<Norm>,
    mixer: Mixer,
    ln1_post: Option<Norm>,
    ln2: Option<Norm>,
    mlp: Mlp,
    ln2_post: Option<Norm>,
    /// Attention and MLP read the same stream.
    parallel: bool,
}

/// What moves information between tokens.
#[derive(Clone)]
enum Mixer {
    Attention(Box<Attention>),
    Delta(Box<DeltaNet>),
}

#[derive(Clone)]
struct Attention {
    layer: usize,
    /// Query, key and value projections as one product; with a gate, each head's query has it behind it.
    qkv: Projection,
    gated: bool,
    /// Norms of queries and keys.
    qk_norm: Option<(Norm, Norm)>,
    o: Projection,
    heads: Sizes,
    turn: Turn,
}

/// The rotary embedding of a block.
#[derive(Clone, Copy)]
struct Turn {
    /// Which of the model's.
    index: usize,
    /// Whether it is one that rotates.
    rotates: bool,
    /// In half precision, numbers are rounded behind it alone and not inside it, too.
    late: bool,
}

#[derive(Clone)]
enum Mlp {
    Dense {
        /// The first projection; with a gate, gate and up projections as one product.
        up: Projection,
        gated: bool,
        activation: Activation,
        down: Projection,
    },
    Sparse(Experts),
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
        let x = match self.config.embed_scale {
            Some(scale) => (x * rounded(scale, self.dtype))?,
            None => x,
        };
        let mut x = hooks.call(HookPoint::Embed, x)?;
        if let Some(table) = &self.positions {
            let p = ops::gather(table, &batch.positions()?)?; // [t d]
            x = ops::add(&x, &hooks.call(HookPoint::PosEmbed, p)?)?;
        }
        for block in &self.blocks {
            x = block.forward(x, batch, cache.as_deref_mut(), hooks)?; // [t d]
        }
        if let Some(cache) = cache {
            cache.advance(batch);
        }
        normed(&self.norm, &x, HookPoint::LnFinalNormalized, hooks) // [t d]
    }

    /// The language-model head. `[n, d]` → `[n, v]`
    pub(crate) fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let logits = self.head.forward(x)?;
        match self.config.final_softcap {
            Some(cap) => Ok(ops::softcap(&logits, cap)?),
            None => Ok(logits),
        }
    }

    /// An empty cache with room for `room[row]` tokens of every row.
    pub(crate) fn cache(&self, room: &[usize]) -> Result<Cache> {
        let deltas = self.blocks.iter().filter_map(|block| match &block.mixer {
            Mixer::Delta(delta) => Some((block.layer, delta.memory())),
            Mixer::Attention(_) => None,
        });
        let numbers = (self.dtype, &self.device);
        Cache::new(room, self.config.n_layers, sizes(&self.config, 0), &deltas.collect(), numbers)
    }

    /// The same model for many small passes; see [`Linear::laid_out`].
    pub(crate) fn laid_out(&self) -> Result<Self> {
        let mut model = Self { head: self.head.laid_out()?, ..self.clone() };
        for block in &mut model.blocks {
            let mut projections = match &mut block.mixer {
                Mixer::Attention(attention) => vec![&mut attention.qkv, &mut attention.o],
                Mixer::Delta(delta) => vec![&mut delta.input, &mut delta.output],
            };
            // Of experts, few are used in a pass.
            if let Mlp::Dense { up, down, .. } = &mut block.mlp {
                projections.extend([up, down]);
            }
            for projection in projections {
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
        let x = hooks.call(at(Site::ResidPre), x)?; // [t d]
        let n = maybe(self.ln1.as_ref(), &x, at(Site::Ln1Normalized), hooks)?; // [t d]
        let o = match &self.mixer {
            Mixer::Attention(attention) => attention.forward(&n, batch, cache, hooks)?, // [t d]
            Mixer::Delta(delta) => delta.forward(&n, batch, cache, hooks)?,             // [t d]
        };
        let o = maybe(self.ln1_post.as_ref(), &o, at(Site::Ln1PostNormalized), hooks)?;
        let attn_out = hooks.call(at(Site::AttnOut), o)?; // [t d]
        let after = ops::add(&x, &attn_out)?; // [t d]
        if self.parallel {
            return self.add_mlp(&after, &x, hooks);
        }
        let x = hooks.call(at(Site::ResidMid), after)?; // [t d]
        self.add_mlp(&x, &x, hooks)
    }

    /// The stream with what the MLP makes of `read` added. `[t, d]`
    fn add_mlp(&self, stream: &Tensor, read: &Tensor, hooks: &mut Hooks<'_>) -> Result<Tensor, Halt> {
        let at = |site| HookPoint::Block { layer: self.layer, site };
        let n = maybe(self.ln2.as_ref(), read, at(Site::Ln2Normalized), hooks)?; // [t d]
        let out = match &self.mlp {
            Mlp::Dense { up, gated, activation, down } => {
                let post = self.activate(up.forward(&n)?, *gated, *activation, hooks)?; // [t m]
                down.forward(&hooks.call(at(Site::MlpPost), post)?)? // [t d]
            }
            Mlp::Sparse(experts) => experts.forward(&n, hooks)?, // [t d]
        };
        let out = maybe(self.ln2_post.as_ref(), &out, at(Site::Ln2PostNormalized), hooks)?;
        let mlp_out = hooks.call(at(Site::MlpOut), out)?; // [t d]
        hooks.call(at(Site::ResidPost), ops::add(stream, &mlp_out)?) // [t d]
    }

    /// The gate's activation times the linear part; the activation alone where there is no gate.
    fn activate(
        &self,
        up: Tensor,
        gated: bool,
        kind: Activation,
        hooks: &mut Hooks<'_>,
    ) -> Result<Tensor, Halt> {
        let at = |site| HookPoint::Block { layer: self.layer, site };
        if !gated {
            let pre = hooks.call(at(Site::MlpPre), up)?; // [t m]
            return Ok(ops::act(kind, &pre)?); // [t m]
        }
        if !hooks.touches(at(Site::MlpPre)) && !hooks.touches(at(Site::MlpPreLinear)) {
            return Ok(ops::act_mul_halves(kind, &up)?); // [t m]
        }
        let m = up.dim(1)? / 2;
        let gate = hooks.call(at(Site::MlpPre), up.narrow(1, 0, m)?)?; // [t m]
        let linear = hooks.call(at(Site::MlpPreLinear), up.narrow(1, m, m)?)?; // [t m]
        Ok(ops::act_mul(kind, &gate, &linear)?) // [t m]
    }
}

impl Attention {
    fn forward(
        &self,
        n: &Tensor,
        batch: &Batch,
        cache: Option<&mut Cache>,
        hooks: &mut Hooks<'_>,
    ) -> Result<Tensor, Halt> {
        let at = |site| HookPoint::Block { layer: self.layer, site };
        let Sizes { n_heads: h, n_kv_heads: g, d_head: e, .. } = self.heads;
        let t = n.dim(0)?;
        let qkv = self.qkv.forward(n)?; // [t (h+2g)·e]
        if !self.gated {
            let z = self.attend(&qkv, batch, cache, hooks)?; // [t h e]
            let z = hooks.call(at(Site::Z), z)?.reshape((t, h * e))?;
            return Ok(self.o.forward(&z)?); // [t d]
        }
        let with_gates = qkv.narrow(1, 0, 2 * h * e)?.contiguous()?.reshape((t, h, 2 * e))?;
        let q = with_gates.narrow(2, 0, e)?.contiguous()?.reshape((t, h * e))?;
        let qkv = Tensor::cat(&[q, qkv.narrow(1, 2 * h * e, 2 * g * e)?], 1)?; // [t (h+2g)·e]
        let z = self.attend(&qkv, batch, cache, hooks)?; // [t h e]
        let z = hooks.call(at(Site::Z), z)?;
        let gate = hooks.call(at(Site::AttnGate), with_gates.narrow(2, e, e)?.contiguous()?)?; // [t h e]
        let gated = (z * ops::sigmoid(&gate)?)?.reshape((t, h * e))?;
        Ok(self.o.forward(&gated)?) // [t d]
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
        let Turn { index, rotates, late } = self.turn;
        let turn = &batch.turns[index];
        let inside = [Site::Q, Site::K, Site::V, Site::RotQ, Site::RotK, Site::AttnScores, Site::Pattern];
        let looked = |sites: &[Site], hooks: &Hooks<'_>| sites.iter().any(|site| hooks.touches(at(*site)));
        if cache.is_none()
            && self.qk_norm.is_none()
            && !looked(&inside, hooks)
            && let Some(z) = ops::fused_self_attention(qkv, batch, turn, self.heads)?
        {
            return Ok(z); // [t h e]
        }
        let qkv = qkv.reshape((qkv.dim(0)?, h + 2 * g, e))?; // [t h+2g e]
        let q = hooks.call(at(Site::Q), qkv.narrow(1, 0, h)?)?; // [t h e]
        let k = hooks.call(at(Site::K), qkv.narrow(1, h, g)?)?; // [t g e]
        let v = hooks.call(at(Site::V), qkv.narrow(1, h + g, g)?)?; // [t g e]
        let (mut q, mut k) = match &self.qk_norm {
            Some((of_q, of_k)) => (over_heads(of_q, &q)?, over_heads(of_k, &k)?),
            None => (q, k),
        };
        if rotates {
            q = hooks.call(at(Site::RotQ), ops::rotate(&q, turn, late)?)?;
            k = hooks.call(at(Site::RotK), ops::rotate(&k, turn, late)?)?;
        }
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

fn sizes(c: &Config, layer: usize) -> Sizes {
    Sizes {
        n_heads: c.n_heads,
        n_kv_heads: c.n_kv_heads,
        d_head: c.d_head,
        scale: 1.0 / (c.attn_scalar as f32).sqrt(),
        softcap: c.attn_softcap.map(|cap| cap as f32),
        window: c.window(layer),
    }
}

/// What a model in numbers of `dtype` multiplies by.
fn rounded(x: f64, dtype: DType) -> f64 {
    match dtype {
        DType::BF16 => half::bf16::from_f64(x).to_f64(),
        DType::F16 => half::f16::from_f64(x).to_f64(),
        _ => f64::from(x as f32),
    }
}

/// `x` normed; `point` sees what the weight is applied to.
fn normed(norm: &Norm, x: &Tensor, point: HookPoint, hooks: &mut Hooks<'_>) -> Result<Tensor, Halt> {
    if !hooks.touches(point) {
        return Ok(norm.forward(x)?);
    }
    let normalized = hooks.call(point, norm.normalize(x)?)?;
    Ok(norm.scale(&normalized)?)
}

/// [`normed`], where there is a norm.
fn maybe(norm: Option<&Norm>, x: &Tensor, point: HookPoint, hooks: &mut Hooks<'_>) -> Result<Tensor, Halt> {
    norm.map_or(Ok(x.clone()), |norm| normed(norm, x, point, hooks))
}

/// Queries or keys normed, each head alone or all together as the norm is wide. `[t, h, e]`
fn over_heads(norm: &Norm, x: &Tensor) -> candle_core::Result<Tensor> {
    let rows = x.contiguous()?.reshape(((), norm.weight.dim(0)?))?;
    norm.forward(&rows)?.reshape(x.shape())
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
