//! Every weight of a model in one list: its Hugging Face names, its shape and what it is there for.
//!
//! Matrices that read the same input lie stacked in one tensor, so that one product serves them. A stacked
//! tensor is one variable in training and is taken apart again where names matter: in files, in hashes and in
//! logs.

use candle_core::Tensor;

use crate::Config;

/// What a weight is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A table with one row a token: the embedding, and the head where it is not the embedding.
    Table,
    /// A projection whose result stays inside its block.
    Inner,
    /// A projection whose result is added to the residual stream.
    Output,
    /// The weight of a norm.
    Norm,
    /// What is added to a projection.
    Bias,
    /// A factor of a low-rank change to a projection.
    Adapter,
}

/// One tensor of a model: one Hugging Face weight, or several stacked along their rows.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    /// Names and rows, top to bottom.
    pub(crate) parts: Vec<(String, usize)>,
    /// Columns; none of a vector.
    pub(crate) columns: Option<usize>,
    pub(crate) role: Role,
}

impl Slot {
    /// Shape of the whole tensor.
    pub(crate) fn shape(&self) -> Vec<usize> {
        self.shape_of(self.parts.iter().map(|(_, rows)| rows).sum())
    }

    /// Shape of `rows` rows of it.
    pub(crate) fn shape_of(&self, rows: usize) -> Vec<usize> {
        std::iter::once(rows).chain(self.columns).collect()
    }

    /// Names, shapes and numbers of the parts; `values` are those of the whole tensor.
    pub(crate) fn split<'a, T>(
        &'a self,
        values: &'a [T],
    ) -> impl Iterator<Item = (&'a str, Vec<usize>, &'a [T])> {
        let mut left = values;
        self.parts.iter().map(move |(name, rows)| {
            let (part, rest) = left.split_at(rows * self.columns.unwrap_or(1));
            left = rest;
            (name.as_str(), self.shape_of(*rows), part)
        })
    }
}

/// A slot with its numbers, in whatever type they are kept.
#[derive(Clone)]
pub(crate) struct Weight {
    pub(crate) slot: Slot,
    pub(crate) tensor: Tensor,
}

/// The embedding's name.
pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
/// The head's name.
pub(crate) const HEAD: &str = "lm_head.weight";

/// All slots of a model, in the order of its forward pass.
pub(crate) fn slots(config: &Config) -> Vec<Slot> {
    let c = config;
    let table = |name: &str| Slot {
        parts: vec![(name.into(), c.d_vocab)],
        columns: Some(c.d_model),
        role: Role::Table,
    };
    let mut all = vec![table(EMBEDDING)];
    for layer in 0..c.n_layers {
        block(c, layer, &mut all);
    }
    all.push(norm("model.norm.weight".into(), c.d_model));
    if !c.tied {
        all.push(table(HEAD));
    }
    all
}

fn block(c: &Config, layer: usize, all: &mut Vec<Slot>) {
    let (d, m, q, kv) = (c.d_model, c.d_mlp, c.n_heads * c.d_head, c.n_kv_heads * c.d_head);
    let at = |part: &str| format!("model.layers.{layer}.{part}");
    let linear = |parts: &[(&str, usize)], columns, role, bias: bool| {
        let named = |end: &str| parts.iter().map(|(path, rows)| (at(path) + end, *rows)).collect();
        let weight = Slot { parts: named(".weight"), columns: Some(columns), role };
        let bias = bias.then(|| Slot { parts: named(".bias"), columns: None, role: Role::Bias });
        std::iter::once(weight).chain(bias)
    };
    let qkv = [("self_attn.q_proj", q), ("self_attn.k_proj", kv), ("self_attn.v_proj", kv)];
    all.push(norm(at("input_layernorm.weight"), d));
    all.extend(linear(&qkv, d, Role::Inner, c.attention_bias));
    all.extend(linear(&[("self_attn.o_proj", d)], q, Role::Output, c.attention_bias));
    all.push(norm(at("post_attention_layernorm.weight"), d));
    all.extend(linear(&[("mlp.gate_proj", m), ("mlp.up_proj", m)], d, Role::Inner, c.mlp_bias));
    all.extend(linear(&[("mlp.down_proj", d)], m, Role::Output, c.mlp_bias));
}

fn norm(name: String, d_model: usize) -> Slot {
    Slot { parts: vec![(name, d_model)], columns: None, role: Role::Norm }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_hold_every_parameter_once() {
        for name in ["llama-gqa", "llama-tied-mha", "llama-bias", "mistral-window"] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
            let config = Config::read(&path.join("config.json")).unwrap();
            let slots = slots(&config);
            let total: usize = slots.iter().map(|slot| slot.shape().iter().product::<usize>()).sum();
            assert_eq!(total, config.n_parameters(), "{name}");
            let names: std::collections::BTreeSet<&String> =
                slots.iter().flat_map(|slot| &slot.parts).map(|(name, _)| name).collect();
            assert_eq!(names.len(), slots.iter().map(|slot| slot.parts.len()).sum::<usize>(), "{name}");
        }
    }

    #[test]
    fn parts_follow_one_another() {
        let slot =
            Slot { parts: vec![("a".into(), 2), ("b".into(), 1)], columns: Some(3), role: Role::Inner };
        let values: Vec<u8> = (0..9).collect();
        let parts: Vec<_> = slot.split(&values).collect();
        assert_eq!(parts[0], ("a", vec![2, 3], &values[..6]));
        assert_eq!(parts[1], ("b", vec![1, 3], &values[6..]));
    }
}
