//! Fresh weights: how a student that was never trained begins.

use candle_core::{DType, Device};

use crate::config::Normalization;
use crate::forward::Model;
use crate::layout::{Role, Slot, slots};
use crate::{Config, Result, random};

/// The rule by which fresh weights are drawn.
///
/// | weight | drawn from |
/// |---|---|
/// | embedding, head, table of positions | normal, deviation [`table`](Self::table) |
/// | projection inside a block | normal, deviation 1 / √inputs |
/// | projection added to the stream (`o_proj`, `down_proj` and their like) | normal, deviation 1 / √inputs · 1 / √(2 · blocks) |
/// | norm | 1; 0 where one is added to it |
/// | bias | 0 |
///
/// Every Hugging Face weight has its own stream, named by the seed and its name: neither the order in which
/// weights are drawn nor a block more changes what the others hold.
///
/// Source: scaled outputs, GPT-2 (Radford et al. 2019, section 2.3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Init {
    /// Root of the streams.
    pub seed: u64,
    /// Deviation of embedding and head.
    pub table: f64,
}

impl Init {
    /// The rule with 0.08 for embedding and head.
    pub fn new(seed: u64) -> Self {
        Self { seed, table: 0.08 }
    }

    fn std(&self, role: Role, inputs: usize, n_layers: usize) -> f64 {
        let inner = 1.0 / (inputs as f64).sqrt();
        match role {
            Role::Table => self.table,
            Role::Output => inner / (2.0 * n_layers as f64).sqrt(),
            _ => inner,
        }
    }

    /// A model with fresh weights.
    pub(crate) fn model(&self, config: Config, dtype: DType, device: Device) -> Result<Model> {
        let config = config.check()?;
        let neutral = if config.normalization == Normalization::RmsPlusOne { 0.0 } else { 1.0 };
        let draw = |slot: Slot| {
            let mut values = Vec::with_capacity(slot.shape().iter().product());
            for (name, rows) in &slot.parts {
                let n = rows * slot.columns.unwrap_or(1);
                match slot.columns {
                    Some(inputs) => {
                        let std = self.std(slot.role, inputs, config.n_layers);
                        let mut stream = random::stream("init", self.seed, name);
                        values.extend(random::normal(&mut stream, n, std));
                    }
                    None => values.resize(
                        values.len() + n,
                        match slot.role {
                            Role::Norm => neutral,
                            Role::Scale => 1.0,
                            _ => 0.0,
                        },
                    ),
                }
            }
            Ok((slot, values))
        };
        let drawn = slots(&config).into_iter().map(draw);
        Model::place(&config, drawn, dtype, device)
    }
}
