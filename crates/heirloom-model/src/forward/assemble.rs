//! A model out of its weights: from files, from a rule, from another model.

use candle_core::{DType, Device, Tensor};

use super::{Block, Model, Norm, Projection, sizes};
use crate::layout::{HEAD, Role, Slot, Weight, slots};
use crate::lora::{Adapters, Lora};
use crate::ops::Linear;
use crate::weights::Files;
use crate::{Config, Result, rope};

impl Model {
    /// Binds every tensor of the files, or says which one does not fit.
    pub(crate) fn load(files: &Files, config: &Config, dtype: DType, device: Device) -> Result<Self> {
        let mut checkpoint = files.checkpoint(config)?;
        let take = |slot: Slot| {
            let mut values = Vec::with_capacity(slot.shape().iter().product());
            for (name, rows) in &slot.parts {
                checkpoint.take_into(&mut values, name, &slot.shape_of(*rows))?;
            }
            if config.tied && slot.role == Role::Table {
                checkpoint.check_tied(HEAD, &slot.shape(), &values)?;
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
        let block = |layer| Block::assemble(&config, layer, &mut parts);
        let blocks = (0..config.n_layers).map(block).collect::<Result<_>>()?;
        let norm = Norm { weight: parts.tensor()?, eps: config.norm_eps };
        let head = Linear::new(if config.tied { embed.clone() } else { parts.tensor()? }, None);
        let frequencies = rope::inverse_frequencies(&config.rope, config.d_head);
        Ok(Self { config, weights, lora, embed, blocks, norm, head, frequencies, device, dtype })
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

    fn norm(&mut self, eps: f64) -> Result<Norm> {
        Ok(Norm { weight: self.tensor()?, eps })
    }
}

impl Block {
    fn assemble(c: &Config, layer: usize, parts: &mut Parts<'_>) -> Result<Self> {
        Ok(Self {
            layer,
            ln1: parts.norm(c.norm_eps)?,
            qkv: parts.projection(c.attention_bias)?,
            o: parts.projection(c.attention_bias)?,
            ln2: parts.norm(c.norm_eps)?,
            gate_up: parts.projection(c.mlp_bias)?,
            down: parts.projection(c.mlp_bias)?,
            heads: sizes(c),
            activation: c.activation,
        })
    }
}
