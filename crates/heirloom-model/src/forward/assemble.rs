//! A model out of its weights: from files, from a rule, from another model.

use candle_core::{DType, Device, Tensor};

use super::delta::DeltaNet;
use super::experts::Experts;
use super::{Attention, Block, Mixer, Mlp, Model, Projection, Turn, sizes};
use crate::config::{DeltaShape, NormPlaces, Normalization};
use crate::kernels::DeltaSizes;
use crate::layout::{Names, Role, Slot, Weight, slots};
use crate::lora::{Adapters, Lora};
use crate::ops::{Linear, Norm};
use crate::rope::Rotary;
use crate::weights::Files;
use crate::{Config, Family, Result};

impl Model {
    /// Binds every tensor of the files, or says which one does not fit.
    pub(crate) fn load(files: &Files, config: &Config, dtype: DType, device: Device) -> Result<Self> {
        let mut checkpoint = files.checkpoint(config)?;
        let names = Names::of(config.family);
        let take = |slot: Slot| {
            let values = checkpoint.take_slot(&slot, "")?;
            if config.tied && slot.parts[0].0 == names.embed {
                checkpoint.check_tied(names.head, &slot.shape(), &values)?;
            }
            Ok((slot, values))
        };
        let model = Self::place(config, slots(config).into_iter().map(take), dtype, device)?;
        checkpoint.finish()?;
        Ok(model)
    }

    /// Puts numbers on a device, one tensor at a time.
    pub(crate) fn place(
        config: &Config,
        values: impl Iterator<Item = Result<(Slot, Vec<f32>)>>,
        dtype: DType,
        device: Device,
    ) -> Result<Self> {
        let place = |found: Result<(Slot, Vec<f32>)>| {
            let (slot, values) = found?;
            let tensor = Tensor::from_vec(values, slot.shape(), &Device::Cpu)?;
            Ok(Weight { tensor: tensor.to_dtype(dtype)?.to_device(&device)?, slot })
        };
        Self::assemble(config.clone(), values.map(place).collect::<Result<_>>()?, None, dtype, device)
    }

    /// The same model with other tensors: variables, copies, or the same ones detached.
    pub(crate) fn map(&self, mut f: impl FnMut(&Weight) -> Result<Tensor>) -> Result<Self> {
        let weight = |weight: &Weight| Ok(Weight { tensor: f(weight)?, slot: weight.slot.clone() });
        self.with(self.weights.iter().map(weight).collect::<Result<_>>()?, self.lora.clone())
    }

    /// A model of the same sizes with other weights, and an adapter where `lora` says so.
    pub(crate) fn with(&self, weights: Vec<Weight>, lora: Option<Lora>) -> Result<Self> {
        Self::assemble(self.config.clone(), weights, lora, self.dtype, self.device.clone())
    }

    /// The same model with a head of its own where it was the embedding, both the same numbers still.
    pub(crate) fn untied(&self) -> Result<Self> {
        if !self.config.tied {
            return Ok(self.clone());
        }
        let config = Config { tied: false, ..self.config.clone() };
        let slot = slots(&config).pop().expect("a model has a head");
        let head = Weight { slot, tensor: self.weights[0].tensor.clone() };
        let weights = self.weights.iter().cloned().chain([head]).collect();
        Self::assemble(config, weights, None, self.dtype, self.device.clone())
    }

    /// The same model on another device.
    pub(crate) fn on(&self, device: &Device) -> Result<Self> {
        let weight = |weight: &Weight| {
            Ok(Weight { tensor: weight.tensor.to_device(device)?, slot: weight.slot.clone() })
        };
        let weights = self.weights.iter().map(weight).collect::<Result<_>>()?;
        Self::assemble(self.config.clone(), weights, self.lora.clone(), self.dtype, device.clone())
    }

    /// The same weights, computing in other numbers.
    pub(crate) fn computing_in(&self, dtype: DType) -> Result<Self> {
        let (config, weights, lora) = (self.config.clone(), self.weights.clone(), self.lora.clone());
        Self::assemble(config, weights, lora, dtype, self.device.clone())
    }

    /// A model of `weights`: one per slot in the order of [`slots`], then those of an adapter.
    fn assemble(
        config: Config,
        weights: Vec<Weight>,
        lora: Option<Lora>,
        dtype: DType,
        device: Device,
    ) -> Result<Self> {
        let base = weights.iter().take_while(|weight| weight.slot.role != Role::Adapter).count();
        let mut parts = Parts {
            base: weights[..base].iter(),
            adapters: Adapters::new(&weights[base..], lora.as_ref(), dtype)?,
            dtype,
        };
        let embed = parts.tensor()?;
        let positions = config.learned_positions.then(|| parts.tensor()).transpose()?;
        let block = |layer| Block::assemble(&config, layer, &mut parts);
        let blocks = (0..config.n_layers).map(block).collect::<Result<_>>()?;
        let norm = parts.norm(&config)?;
        let head = Linear::new(if config.tied { embed.clone() } else { parts.tensor()? }, None);
        let rotary = rotary(&config);
        Ok(Self { config, weights, lora, embed, positions, blocks, norm, head, rotary, device, dtype })
    }

    /// The language-model head's weight. `[v, d]`
    pub(crate) fn head(&self) -> &Tensor {
        self.head.weight()
    }
}

/// Weights on their way into a model.
struct Parts<'a> {
    base: std::slice::Iter<'a, Weight>,
    adapters: Adapters,
    dtype: DType,
}

impl Parts<'_> {
    fn tensor(&mut self) -> Result<Tensor> {
        let weight = self.base.next().expect("one weight per slot");
        Ok(weight.tensor.to_dtype(self.dtype)?)
    }

    fn projection(&mut self, bias: bool) -> Result<Projection> {
        let slot = self.base.as_slice().first().map(|weight| &weight.slot);
        let adapter = slot.and_then(|slot| self.adapters.of(slot));
        let weight = self.tensor()?;
        let bias = bias.then(|| self.tensor()).transpose()?;
        Ok(Projection { linear: Linear::new(weight, bias), adapter })
    }

    fn norm(&mut self, c: &Config) -> Result<Norm> {
        let weight = self.tensor()?;
        let bias = (c.normalization == Normalization::Layer).then(|| self.tensor()).transpose()?;
        let late = rounds_late(c);
        Ok(Norm { kind: c.normalization, eps: c.norm_eps, weight, bias, late })
    }

    fn mixer(&mut self, c: &Config, layer: usize) -> Result<Mixer> {
        if let Some(delta) = c.delta.filter(|_| c.blocks[layer].recurrent) {
            return Ok(Mixer::Delta(Box::new(self.delta(c, layer, delta)?)));
        }
        let qkv = self.projection(c.qkv_bias)?;
        let qk_norm = self.norm_if(c.qk_norm.is_some(), c)?.zip(self.norm_if(c.qk_norm.is_some(), c)?);
        let o = self.projection(c.o_bias)?;
        let (gated, heads, turn) = (c.attn_gate, sizes(c, layer), turn(c, layer));
        Ok(Mixer::Attention(Box::new(Attention { layer, qkv, gated, qk_norm, o, heads, turn })))
    }

    fn delta(&mut self, c: &Config, layer: usize, shape: DeltaShape) -> Result<DeltaNet> {
        let DeltaShape { n_k_heads, n_v_heads, d_k, d_v, .. } = shape;
        let (input, convolution) = (self.projection(false)?, self.tensor()?);
        let (dt_bias, a_log, weight) = (self.tensor()?, self.tensor()?, self.tensor()?);
        let norm = Norm { kind: Normalization::Rms, eps: c.norm_eps, weight, bias: None, late: false };
        let output = self.projection(false)?;
        let sizes = DeltaSizes { n_k_heads, n_v_heads, d_k, d_v };
        Ok(DeltaNet { layer, input, convolution, dt_bias, a_log, norm, output, sizes })
    }

    fn mlp(&mut self, c: &Config, layer: usize) -> Result<Mlp> {
        let activation = c.activation;
        let Some(experts) = c.experts.filter(|_| c.blocks[layer].sparse) else {
            let (up, down) = (self.projection(c.mlp_bias)?, self.projection(c.mlp_bias)?);
            return Ok(Mlp::Dense { up, gated: c.gated, activation, down });
        };
        let (per_token, normalized) = (experts.per_token, experts.normalized);
        let router = Linear::new(self.tensor()?, None);
        let mut one = |_| Ok((self.projection(false)?, self.projection(false)?));
        let each = (0..experts.n).map(&mut one).collect::<Result<_>>()?;
        Ok(Mlp::Sparse(Experts { layer, router, each, per_token, normalized, activation }))
    }

    fn norm_if(&mut self, is_there: bool, c: &Config) -> Result<Option<Norm>> {
        is_there.then(|| self.norm(c)).transpose()
    }
}

/// Those of blocks that see everything, of blocks with a window where theirs is another, and of blocks that do not
/// rotate.
fn rotary(c: &Config) -> Vec<Rotary> {
    let ropes = [Some(&c.rope), c.local_rope.as_ref()].into_iter().flatten();
    let rotary = ropes.map(|rope| Rotary::new(rope, c.d_rotary));
    rotary.chain(c.blocks.iter().any(|kind| !kind.rotary).then(Rotary::none)).collect()
}

/// OLMo's norms and rotations round their results and nothing before.
fn rounds_late(c: &Config) -> bool {
    matches!(c.family, Family::Olmo2 | Family::Olmo3)
}

/// Which of [`rotary`] a block has.
fn turn(c: &Config, layer: usize) -> Turn {
    let (kind, locals) = (c.blocks[layer], usize::from(c.local_rope.is_some()));
    let index = if kind.rotary { locals * usize::from(kind.windowed) } else { 1 + locals };
    Turn { index, rotates: kind.rotary, late: rounds_late(c) }
}

impl Block {
    fn assemble(c: &Config, layer: usize, parts: &mut Parts<'_>) -> Result<Self> {
        let (before, after) = (c.norms != NormPlaces::After, c.norms != NormPlaces::Before);
        Ok(Self {
            layer,
            ln1: parts.norm_if(before, c)?,
            mixer: parts.mixer(c, layer)?,
            ln1_post: parts.norm_if(after, c)?,
            ln2: parts.norm_if(before, c)?,
            mlp: parts.mlp(c, layer)?,
            ln2_post: parts.norm_if(after, c)?,
            parallel: c.parallel,
        })
    }
}
