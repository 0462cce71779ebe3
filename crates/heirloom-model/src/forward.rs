//! The forward pass, top to bottom as in the papers, with one hook call per named point.
//!
//! Shape letters: `t` tokens of all rows in a line, `d` `d_model`, `h` `n_heads`, `g` `n_kv_heads`, `e` `d_head`,
//! `m` `d_mlp`, `v` `d_vocab`; axes `b q k` (row, query, key) where attention is padded.
//!
//! Source: Llama, arXiv 2302.13971; Mistral's window, arXiv 2310.06825; checked against
//! `modeling_llama.py` and `modeling_mistral.py` of transformers 5.23 hook by hook.

use candle_core::{DType, Device, Tensor};
use heirloom_record::{HookPoint, Site};

use crate::batch::{Batch, Cache};
use crate::config::Activation;
use crate::hooks::{Halt, Hooks};
use crate::kernels::Sizes;
use crate::ops::{self, Linear};
use crate::weights::{Checkpoint, Files};
use crate::{Config, Error, Result, rope};

/// A model on its device.
pub(crate) struct Model {
    config: Config,
    embed: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
    head: Tensor,
    /// Rotary angle per position of each pair of a head's coordinates.
    pub(crate) frequencies: Vec<f32>,
    pub(crate) device: Device,
    pub(crate) dtype: DType,
}

struct Block {
    layer: usize,
    ln1: Norm,
    /// Query, key and value projections as one product.
    qkv: Linear,
    o: Linear,
    ln2: Norm,
    /// Gate and up projections as one product.
    gate_up: Linear,
    down: Linear,
    heads: Sizes,
    activation: Activation,
}

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
        let x = self.embed.index_select(&batch.ids, 0)?; // [t d]
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
        let head = Linear { weight: self.head.clone(), bias: None };
        Ok(head.forward(x)?)
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
        let Sizes { n_heads: h, n_kv_heads: g, d_head: e, .. } = self.heads;
        let t = x.dim(0)?;

        let x = hooks.call(at(Site::ResidPre), x)?; // [t d]
        let n = self.ln1.forward(&x, at(Site::Ln1Normalized), hooks)?; // [t d]
        let qkv = self.qkv.forward(&n)?.reshape((t, h + 2 * g, e))?; // [t h+2g e]
        let q = hooks.call(at(Site::Q), qkv.narrow(1, 0, h)?)?; // [t h e]
        let k = hooks.call(at(Site::K), qkv.narrow(1, h, g)?)?; // [t g e]
        let v = hooks.call(at(Site::V), qkv.narrow(1, h + g, g)?)?; // [t g e]
        let q = hooks.call(at(Site::RotQ), ops::rotate(&q, &batch.cos, &batch.sin)?)?;
        let k = hooks.call(at(Site::RotK), ops::rotate(&k, &batch.cos, &batch.sin)?)?;
        let (k, v) = match cache {
            Some(cache) => cache.extend(self.layer, &k, &v, batch)?,
            None => (k, v),
        };
        let z = self.attend(&q, &k, &v, batch, hooks)?; // [t h e]
        let z = hooks.call(at(Site::Z), z)?.reshape((t, h * e))?;
        let attn_out = hooks.call(at(Site::AttnOut), self.o.forward(&z)?)?; // [t d]
        let x = hooks.call(at(Site::ResidMid), ops::add(&x, &attn_out)?)?; // [t d]

        let n = self.ln2.forward(&x, at(Site::Ln2Normalized), hooks)?; // [t d]
        let gate_up = self.gate_up.forward(&n)?; // [t 2m]
        let m = gate_up.dim(1)? / 2;
        let gate = hooks.call(at(Site::MlpPre), gate_up.narrow(1, 0, m)?)?; // [t m]
        let up = hooks.call(at(Site::MlpPreLinear), gate_up.narrow(1, m, m)?)?; // [t m]
        let post = match self.activation {
            Activation::Silu => ops::silu_mul(&gate, &up)?,
        };
        let post = hooks.call(at(Site::MlpPost), post)?; // [t m]
        let mlp_out = hooks.call(at(Site::MlpOut), self.down.forward(&post)?)?; // [t d]
        hooks.call(at(Site::ResidPost), ops::add(&x, &mlp_out)?) // [t d]
    }

    /// Softmax attention; scores and pattern exist as tensors only when somebody looks.
    fn attend(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        batch: &Batch,
        hooks: &mut Hooks<'_>,
    ) -> Result<Tensor, Halt> {
        let at = |site| HookPoint::Block { layer: self.layer, site };
        let (scores, pattern) = (at(Site::AttnScores), at(Site::Pattern));
        if !hooks.touches(scores)
            && !hooks.touches(pattern)
            && let Some(z) = ops::fused_attention(q, k, v, batch, self.heads)?
        {
            return Ok(z); // [t h e]
        }
        let s = hooks.call(scores, ops::scores(q, k, batch, self.heads)?)?; // [b h q k]
        let p = hooks.call(pattern, ops::pattern(&s)?)?; // [b h q k]
        Ok(ops::weigh(&p, v, batch, self.heads)?) // [t h e]
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

/// Takes weights out of a checkpoint onto a device.
struct Loader<'a> {
    checkpoint: Checkpoint,
    config: &'a Config,
    dtype: DType,
    device: &'a Device,
}

impl Loader<'_> {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let values = self.checkpoint.take(name, shape)?;
        self.place(values, shape)
    }

    fn place(&self, values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(self.dtype)?.to_device(self.device)?)
    }

    fn norm(&mut self, name: &str) -> Result<Norm> {
        let weight = self.tensor(name, &[self.config.d_model])?;
        Ok(Norm { weight, eps: self.config.norm_eps })
    }

    /// Projections of one input, stacked: `parts` are their paths and output widths.
    fn linear(&mut self, parts: &[(String, usize)], d_in: usize, bias: bool) -> Result<Linear> {
        let d_out: usize = parts.iter().map(|(_, d_out)| d_out).sum();
        let mut weight = Vec::new();
        for (path, d_out) in parts {
            self.checkpoint.take_into(&mut weight, &format!("{path}.weight"), &[*d_out, d_in])?;
        }
        let mut values = Vec::new();
        for (path, d_out) in parts.iter().filter(|_| bias) {
            self.checkpoint.take_into(&mut values, &format!("{path}.bias"), &[*d_out])?;
        }
        let bias = bias.then(|| self.place(values, &[d_out])).transpose()?;
        Ok(Linear { weight: self.place(weight, &[d_out, d_in])?, bias })
    }

    fn block(&mut self, layer: usize) -> Result<Block> {
        let c = self.config;
        let (d, m, q, kv) = (c.d_model, c.d_mlp, c.n_heads * c.d_head, c.n_kv_heads * c.d_head);
        let at = |part: &str| format!("model.layers.{layer}.{part}");
        let attn = |letter: char| at(&format!("self_attn.{letter}_proj"));
        let mlp = |name: &str| at(&format!("mlp.{name}_proj"));
        Ok(Block {
            layer,
            ln1: self.norm(&at("input_layernorm.weight"))?,
            qkv: self.linear(&[(attn('q'), q), (attn('k'), kv), (attn('v'), kv)], d, c.attention_bias)?,
            o: self.linear(&[(attn('o'), d)], q, c.attention_bias)?,
            ln2: self.norm(&at("post_attention_layernorm.weight"))?,
            gate_up: self.linear(&[(mlp("gate"), m), (mlp("up"), m)], d, c.mlp_bias)?,
            down: self.linear(&[(mlp("down"), d)], m, c.mlp_bias)?,
            heads: Sizes {
                n_heads: c.n_heads,
                n_kv_heads: c.n_kv_heads,
                d_head: c.d_head,
                scale: 1.0 / (c.d_head as f32).sqrt(),
                window: c.sliding_window,
            },
            activation: c.activation,
        })
    }
}

impl Model {
    /// Binds every tensor of the files, or says which one does not fit.
    pub(crate) fn load(files: &Files, config: Config, dtype: DType, device: Device) -> Result<Self> {
        let checkpoint = files.checkpoint(&config)?;
        let mut loader = Loader { checkpoint, config: &config, dtype, device: &device };
        let table = [config.d_vocab, config.d_model];
        let embedding = loader.checkpoint.take("model.embed_tokens.weight", &table)?;
        if config.tied {
            loader.checkpoint.check_tied("lm_head.weight", &table, &embedding)?;
        }
        let embed = loader.place(embedding, &table)?;
        let head = if config.tied { embed.clone() } else { loader.tensor("lm_head.weight", &table)? };
        let blocks = (0..config.n_layers).map(|layer| loader.block(layer)).collect::<Result<_>>()?;
        let norm = loader.norm("model.norm.weight")?;
        loader.checkpoint.finish()?;
        let frequencies = rope::inverse_frequencies(&config.rope, config.d_head);
        Ok(Self { config, embed, blocks, norm, head, frequencies, device, dtype })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Runs to the end, or to the last watched point; `None` where it ended early.
    pub(crate) fn run(
        &self,
        batch: &Batch,
        cache: Option<&mut Cache>,
        hooks: &mut Hooks<'_>,
    ) -> Result<Option<Tensor>, Error> {
        match self.forward(batch, cache, hooks) {
            Ok(x) => Ok(Some(x)),
            Err(Halt::Seen) => Ok(None),
            Err(Halt::Failed(error)) => Err(error),
        }
    }
}
