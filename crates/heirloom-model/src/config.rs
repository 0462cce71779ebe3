//! What a model is, read from `config.json` and checked before a single weight is touched.
//!
//! One forward pass serves every family; a family is a set of choices here. A key that would change numbers
//! and that the forward pass does not know is refused, never skipped.

mod family;
mod keys;
mod positions;
mod read;
mod unread;
mod wrapper;
mod write;

#[cfg(test)]
mod tests;

use std::path::Path;

use heirloom_record::{HookPoint, Site};
use serde_json::Value;

use crate::{Error, Result};

pub use family::Family;
pub use positions::{Rope, RopeScaling, Yarn};
pub use wrapper::Wrapper;

/// A nonlinearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x · sigmoid(x)`.
    Silu,
    /// `x · Φ(x)` by the error function.
    Gelu,
    /// `x · Φ(x)` by the hyperbolic tangent: `gelu_new`, `gelu_pytorch_tanh`.
    GeluTanh,
}

/// What a norm does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalization {
    /// Divides by the root mean square, times a weight.
    Rms,
    /// Divides by the root mean square, times one more than the weight.
    RmsPlusOne,
    /// Takes the mean away and divides by the deviation, times a weight, plus a bias.
    Layer,
}

/// Where norms stand around attention and around the MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlaces {
    /// On what they read.
    Before,
    /// On what they put out.
    After,
    /// On both.
    Both,
}

/// Over what queries and keys are normed before they are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QkNorm {
    /// Over each head alone.
    Head,
    /// Over all heads together.
    All,
}

/// What is of its own in one block.
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own; no two are one state")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockKind {
    /// Attention sees [`Config::sliding_window`] alone.
    pub windowed: bool,
    /// Queries and keys are rotated by their position.
    pub rotary: bool,
    /// [`Config::experts`] stand in place of one MLP.
    pub sparse: bool,
    /// [`Config::delta`] stands in place of attention.
    pub recurrent: bool,
}

/// A gated delta net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaShape {
    /// Query and key heads.
    pub n_k_heads: usize,
    /// Value heads, a multiple.
    pub n_v_heads: usize,
    /// Width of a query or key head.
    pub d_k: usize,
    /// Width of a value head.
    pub d_v: usize,
    /// Tokens that the convolution before it sees.
    pub taps: usize,
}

/// MLPs of which each token goes through a few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experts {
    /// How many there are.
    pub n: usize,
    /// How many a token goes through.
    pub per_token: usize,
    /// Width of each.
    pub d_mlp: usize,
    /// The weights of those that a token goes through sum to 1.
    pub normalized: bool,
}

/// What a model is: sizes and choices, all checked.
///
/// Shapes: `d_model` need not equal `n_heads · d_head`; `n_heads` is a multiple of `n_kv_heads`.
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own; no two are one state")]
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which line of models.
    pub family: Family,
    /// The model of more than text that it is the text part of.
    pub wrapper: Option<Wrapper>,
    /// Blocks.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads.
    pub n_kv_heads: usize,
    /// Width of one head.
    pub d_head: usize,
    /// Width of the MLP.
    pub d_mlp: usize,
    /// Rows of the embedding.
    pub d_vocab: usize,
    /// Longest row, in tokens.
    pub n_ctx: usize,
    /// What every norm of the stream does.
    pub normalization: Normalization,
    /// Where they stand.
    pub norms: NormPlaces,
    /// Norms on queries and keys.
    pub qk_norm: Option<QkNorm>,
    /// Added to the mean square in every norm.
    pub norm_eps: f64,
    /// Rotary position embedding.
    pub rope: Rope,
    /// That of blocks with a window, where it is another.
    pub local_rope: Option<Rope>,
    /// Leading coordinates of a head that are rotated.
    pub d_rotary: usize,
    /// Positions have a table of their own, added to the embeddings.
    pub learned_positions: bool,
    /// In blocks that have a window, query `i` sees keys `j` with `i − window < j ≤ i`; all earlier keys elsewhere.
    pub sliding_window: Option<usize>,
    /// One a block.
    pub blocks: Vec<BlockKind>,
    /// Scores are divided by its square root.
    pub attn_scalar: f64,
    /// Scores `x` become `cap · tanh(x / cap)`.
    pub attn_softcap: Option<f64>,
    /// Logits `x` become `cap · tanh(x / cap)`.
    pub final_softcap: Option<f64>,
    /// Embeddings are multiplied by it.
    pub embed_scale: Option<f64>,
    /// Attention and MLP read the same stream.
    pub parallel: bool,
    /// What stands in place of attention in blocks that say so.
    pub delta: Option<DeltaShape>,
    /// What attention puts out is multiplied by a gate.
    pub attn_gate: bool,
    /// What stands in place of the MLP in blocks that say so.
    pub experts: Option<Experts>,
    /// The MLP has a gate.
    pub gated: bool,
    /// Nonlinearity of the gate, or of the MLP without one.
    pub activation: Activation,
    /// Biases on the query, key and value projections.
    pub qkv_bias: bool,
    /// A bias on attention's output projection.
    pub o_bias: bool,
    /// Biases on the projections of the MLP.
    pub mlp_bias: bool,
    /// The language-model head is the embedding.
    pub tied: bool,
    /// Tokens that end a text, from the configuration.
    pub eos: Vec<u32>,
}

impl Config {
    /// Reads and checks a `config.json`.
    ///
    /// Source: the configuration classes of transformers 4 and 5, both spellings of the rotary keys.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let value =
            serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.to_owned(), source })?;
        Self::from_json(&value)
    }

    /// Checks a `config.json` already parsed.
    pub fn from_json(value: &Value) -> Result<Self> {
        read::config(value)?.check()
    }

    /// The `config.json` that says this, in the spelling that transformers 4 and 5 both read; without tokens.
    pub(crate) fn to_json(&self) -> serde_json::Map<String, Value> {
        write::config(self)
    }

    /// The model's hook points, in execution order.
    pub fn hooks(&self) -> Vec<HookPoint> {
        HookPoint::all(self.n_layers).into_iter().filter(|point| self.has(*point)).collect()
    }

    /// Whether the model has this hook point.
    pub fn has(&self, point: HookPoint) -> bool {
        let HookPoint::Block { layer, site } = point else {
            return point != HookPoint::PosEmbed || self.learned_positions;
        };
        let Some(kind) = self.blocks.get(layer) else { return false };
        match site {
            Site::Ln1Normalized | Site::Ln2Normalized => self.norms != NormPlaces::After,
            Site::Ln1PostNormalized | Site::Ln2PostNormalized => self.norms != NormPlaces::Before,
            Site::RotQ | Site::RotK => kind.rotary && !kind.recurrent,
            Site::Q | Site::K | Site::V | Site::AttnScores | Site::Pattern | Site::Z => !kind.recurrent,
            Site::AttnGate => self.attn_gate && !kind.recurrent,
            Site::DeltaQ
            | Site::DeltaK
            | Site::DeltaV
            | Site::DeltaBeta
            | Site::DeltaDecay
            | Site::DeltaOut
            | Site::DeltaGate => kind.recurrent,
            Site::ResidMid => !self.parallel,
            Site::ExpertWeights => kind.sparse,
            Site::MlpPre | Site::MlpPost => !kind.sparse,
            Site::MlpPreLinear => self.gated && !kind.sparse,
            _ => true,
        }
    }

    /// Width of one activation vector at `site`'s hook points: heads are laid side by side.
    ///
    /// None where rows have no fixed width (attention scores and pattern).
    pub fn width(&self, point: HookPoint) -> Option<usize> {
        let HookPoint::Block { site, .. } = point else { return Some(self.d_model) };
        match site {
            Site::Q | Site::RotQ | Site::Z | Site::AttnGate => Some(self.n_heads * self.d_head),
            Site::DeltaQ | Site::DeltaK => Some(self.delta.map_or(0, |delta| delta.n_k_heads * delta.d_k)),
            Site::DeltaV | Site::DeltaOut | Site::DeltaGate => {
                Some(self.delta.map_or(0, |delta| delta.n_v_heads * delta.d_v))
            }
            Site::DeltaBeta | Site::DeltaDecay => Some(self.delta.map_or(0, |delta| delta.n_v_heads)),
            Site::K | Site::RotK | Site::V => Some(self.n_kv_heads * self.d_head),
            Site::AttnScores | Site::Pattern => None,
            Site::ExpertWeights => Some(self.experts.map_or(0, |experts| experts.n)),
            Site::MlpPre | Site::MlpPreLinear | Site::MlpPost => Some(self.d_mlp),
            _ => Some(self.d_model),
        }
    }

    /// How many numbers the model has.
    pub fn n_parameters(&self) -> usize {
        crate::layout::slots(self).iter().map(|slot| slot.shape().iter().product::<usize>()).sum()
    }

    /// The projections that an adapter may change, by the last parts of their Hugging Face names.
    pub fn projections(&self) -> Vec<String> {
        let slots = crate::layout::slots(self);
        let names = slots.iter().flat_map(|slot| &slot.parts).filter_map(|(name, _)| {
            let last = name.strip_suffix(".weight")?.rsplit('.').next()?;
            crate::layout::TARGETS.contains(&last).then(|| last.to_owned())
        });
        let mut found = Vec::new();
        for name in names {
            if !found.contains(&name) {
                found.push(name);
            }
        }
        found
    }

    /// The window of block `layer`.
    pub(crate) fn window(&self, layer: usize) -> Option<usize> {
        self.sliding_window.filter(|_| self.blocks[layer].windowed)
    }

    /// Refuses sizes that do not fit together; everything later may rely on them.
    pub(crate) fn check(self) -> Result<Self> {
        // Sizes beyond any model are a damaged file; the bound keeps products of three of them inside u64.
        let sizes = [
            ("hidden_size", self.d_model),
            ("intermediate_size", self.d_mlp),
            ("vocab_size", self.d_vocab),
            ("num_hidden_layers", self.n_layers),
            ("num_attention_heads", self.n_heads),
            ("head_dim", self.d_head),
            ("num_experts", self.experts.map_or(0, |experts| experts.n.max(experts.d_mlp))),
            (
                "linear_num_value_heads",
                self.delta.map_or(0, |d| d.n_v_heads.max(d.d_v).max(d.d_k).max(d.taps)),
            ),
        ];
        if let Some((key, size)) = sizes.into_iter().find(|(_, size)| *size > 1 << 21) {
            return Err(field(key, "at most 2097152", &size));
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            let expected = format!("a divisor of num_attention_heads ({})", self.n_heads);
            return Err(field("num_key_value_heads", expected, &self.n_kv_heads));
        }
        if !self.d_head.is_multiple_of(2) || self.d_head == 0 {
            return Err(field("head_dim", "an even number", &self.d_head));
        }
        if !self.d_rotary.is_multiple_of(2) || self.d_rotary > self.d_head {
            let expected = "what leaves an even number of coordinates to rotate";
            return Err(field(
                "partial_rotary_factor",
                expected,
                &format!("{} of {}", self.d_rotary, self.d_head),
            ));
        }
        if let Some(Experts { n, per_token, .. }) = self.experts
            && per_token > n
        {
            return Err(field("num_experts_per_tok", format!("at most the {n} experts"), &per_token));
        }
        if let Some(delta) = self.delta
            && !delta.n_v_heads.is_multiple_of(delta.n_k_heads)
        {
            let expected = format!("a multiple of linear_num_key_heads ({})", delta.n_k_heads);
            return Err(field("linear_num_value_heads", expected, &delta.n_v_heads));
        }
        if self.blocks.len() != self.n_layers {
            return Err(field(
                "num_hidden_layers",
                format!("{}, as blocks are described", self.blocks.len()),
                &self.n_layers,
            ));
        }
        Ok(self)
    }
}

fn field(key: &str, expected: impl Into<String>, found: &dyn ToString) -> Error {
    Error::ConfigValue { key: key.into(), expected: expected.into(), found: found.to_string() }
}
