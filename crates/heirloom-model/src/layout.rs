//! Every weight of a model in one list: its Hugging Face names, its shape and what it is there for.
//!
//! Matrices that read the same input lie stacked in one tensor, so that one product serves them. A stacked
//! tensor is one variable in training and is taken apart again where names matter: in files, in hashes and in
//! logs. Where a family's files keep a matrix in another order, it is put into ours as it is read and back as it
//! is written.

mod names;
mod order;

use std::borrow::Cow;

use candle_core::Tensor;

use crate::Config;
use crate::config::{DeltaShape, Experts, NormPlaces, Normalization, QkNorm};

pub(crate) use names::{Inside, Names, TARGETS};
pub(crate) use order::Order;

/// What a weight is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A table with one row a token or position: the embeddings, and the head where it is not the embedding.
    Table,
    /// A projection whose result stays inside its block.
    Inner,
    /// A projection whose result is added to the residual stream.
    Output,
    /// The weight of a norm of the stream, of queries or of keys.
    Norm,
    /// The weight of a norm inside a recurrence, which is never one less than it multiplies by.
    Scale,
    /// The filters of a convolution.
    Filters,
    /// What is added to a projection or a norm, and what governs a recurrence.
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
    /// How files keep each part.
    pub(crate) order: Order,
    /// A batch may leave it out, and it then has no gradient: that of an expert.
    pub(crate) idle: bool,
}

impl Slot {
    /// One whole weight that files keep as it is here.
    pub(crate) fn one(name: String, rows: usize, columns: Option<usize>, role: Role) -> Self {
        Self { parts: vec![(name, rows)], columns, role, order: Order::Rows, idle: false }
    }

    /// Shape of the whole tensor.
    pub(crate) fn shape(&self) -> Vec<usize> {
        self.shape_of(self.parts.iter().map(|(_, rows)| rows).sum())
    }

    /// Shape of a part with `rows` rows.
    pub(crate) fn shape_of(&self, rows: usize) -> Vec<usize> {
        std::iter::once(rows).chain(self.columns).collect()
    }

    /// Shape in a file of a part with `rows` rows.
    pub(crate) fn shape_in_file(&self, rows: usize) -> Vec<usize> {
        match (self.order, self.columns) {
            (Order::Columns, Some(columns)) => vec![columns, rows],
            (Order::Filters, Some(columns)) => vec![rows, 1, columns],
            _ => self.shape_of(rows),
        }
    }

    /// Names, shapes and numbers of the parts as files keep them; `values` are those of the whole tensor.
    pub(crate) fn split<'a, T: Copy>(
        &'a self,
        values: &'a [T],
    ) -> impl Iterator<Item = (&'a str, Vec<usize>, Cow<'a, [T]>)> {
        let mut left = values;
        self.parts.iter().map(move |(name, rows)| {
            let columns = self.columns.unwrap_or(1);
            let (part, rest) = left.split_at(rows * columns);
            left = rest;
            (name.as_str(), self.shape_in_file(*rows), self.order.to_file(part, columns))
        })
    }
}

/// A slot with its numbers, in whatever type they are kept.
#[derive(Clone)]
pub(crate) struct Weight {
    pub(crate) slot: Slot,
    pub(crate) tensor: Tensor,
}

/// All slots of a model, in the order of its forward pass.
pub(crate) fn slots(config: &Config) -> Vec<Slot> {
    let (c, names) = (config, Names::of(config.family));
    let table = |name: &str, rows| Slot::one(name.into(), rows, Some(c.d_model), Role::Table);
    let mut all = vec![table(names.embed, c.d_vocab)];
    if c.learned_positions {
        all.push(table(names.positions, c.n_ctx));
    }
    for layer in 0..c.n_layers {
        Block { c, names, layer, all: &mut all }.push();
    }
    all.extend(norm(c, names.norm, c.d_model));
    if !c.tied {
        all.push(table(names.head, c.d_vocab));
    }
    all
}

/// The slots of one block on their way into the list.
struct Block<'a> {
    c: &'a Config,
    names: &'static Names,
    layer: usize,
    all: &'a mut Vec<Slot>,
}

impl Block<'_> {
    fn push(mut self) {
        let (c, names) = (self.c, self.names);
        let (d, q, kv) = (c.d_model, c.n_heads * c.d_head, c.n_kv_heads * c.d_head);
        let (before, after) = (c.norms != NormPlaces::After, c.norms != NormPlaces::Before);
        self.norm(before, names.ln1, d);
        match c.delta.filter(|_| c.blocks[self.layer].recurrent) {
            Some(delta) => self.delta(delta),
            None => self.attention(q, kv),
        }
        self.norm(after, names.ln1_post, d);
        self.norm(before, names.ln2, d);
        if let Some(experts) = c.experts.filter(|_| c.blocks[self.layer].sparse) {
            self.experts(experts);
        } else {
            let widths = &[c.d_mlp; 2][..if c.gated { 2 } else { 1 }];
            self.linear((names.up, widths), d, Role::Inner, c.mlp_bias, names.order);
            self.linear((&[names.down], &[d]), c.d_mlp, Role::Output, c.mlp_bias, names.order);
        }
        self.norm(after, names.ln2_post, d);
    }

    fn attention(&mut self, q: usize, kv: usize) {
        let (c, names, d) = (self.c, self.names, self.c.d_model);
        let order = names.qkv_order(c.d_head);
        // Each head's query, and behind it its gate where there is one.
        let first = if c.attn_gate { 2 * q } else { q };
        self.linear((names.qkv, &[first, kv, kv]), d, Role::Inner, c.qkv_bias, order);
        let widths = match c.qk_norm {
            Some(QkNorm::Head) => [c.d_head; 2],
            _ => [q, kv],
        };
        self.norm(c.qk_norm.is_some(), "self_attn.q_norm", widths[0]);
        self.norm(c.qk_norm.is_some(), "self_attn.k_norm", widths[1]);
        self.linear((&[names.o], &[d]), q, Role::Output, c.o_bias, names.order);
    }

    fn delta(&mut self, DeltaShape { n_k_heads, n_v_heads: h, d_k, d_v, taps }: DeltaShape) {
        let (d, values) = (self.c.d_model, h * d_v);
        let mixed = 2 * n_k_heads * d_k + values;
        let names =
            ["in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a"].map(|name| format!("linear_attn.{name}"));
        let names = names.each_ref().map(String::as_str);
        self.linear((&names, &[mixed, values, h, h]), d, Role::Inner, false, Order::Rows);
        let filters = Slot::one(self.at("linear_attn.conv1d.weight"), mixed, Some(taps), Role::Filters);
        let vector = |name: &str, width, role| Slot::one(self.at(name), width, None, role);
        let vectors = [
            vector("linear_attn.dt_bias", h, Role::Bias),
            vector("linear_attn.A_log", h, Role::Bias),
            vector("linear_attn.norm.weight", d_v, Role::Scale),
        ];
        self.all.push(Slot { order: Order::Filters, ..filters });
        self.all.extend(vectors);
        self.linear((&["linear_attn.out_proj"], &[d]), values, Role::Output, false, Order::Rows);
    }

    /// A router, and an MLP with a gate for each expert.
    fn experts(&mut self, Experts { n, d_mlp: m, .. }: Experts) {
        let d = self.c.d_model;
        self.linear((&["mlp.gate"], &[n]), d, Role::Inner, false, Order::Rows);
        for expert in 0..n {
            let at = |part: &str| format!("mlp.experts.{expert}.{part}");
            let first = self.all.len();
            let (gate, up, down) = (at("gate_proj"), at("up_proj"), at("down_proj"));
            self.linear((&[&gate, &up], &[m, m]), d, Role::Inner, false, Order::Rows);
            self.linear((&[&down], &[d]), m, Role::Output, false, Order::Rows);
            self.all[first..].iter_mut().for_each(|slot| slot.idle = true);
        }
    }

    fn at(&self, part: &str) -> String {
        format!("{}{}.{part}", self.names.blocks, self.layer)
    }

    fn norm(&mut self, is_there: bool, part: &str, width: usize) {
        if is_there {
            let slots = norm(self.c, &self.at(part), width);
            self.all.extend(slots);
        }
    }

    /// Projections side by side, under one name each or all under one.
    fn linear(
        &mut self,
        (names, rows): (&[&str], &[usize]),
        columns: usize,
        role: Role,
        bias: bool,
        order: Order,
    ) {
        let rows = if names.len() == 1 { vec![rows.iter().sum()] } else { rows.to_vec() };
        let named = |end: &str| {
            let parts = names.iter().zip(&rows);
            parts.map(|(name, rows)| (self.at(name) + end, *rows)).collect()
        };
        let weight = Slot { parts: named(".weight"), columns: Some(columns), role, order, idle: false };
        let bias = bias.then(|| {
            let order = if order == Order::Columns { Order::Rows } else { order };
            Slot { parts: named(".bias"), columns: None, role: Role::Bias, order, idle: false }
        });
        self.all.push(weight);
        self.all.extend(bias);
    }
}

/// The weight of a norm, and its bias where it has one.
fn norm(c: &Config, path: &str, width: usize) -> impl Iterator<Item = Slot> + use<> {
    let bias = c.normalization == Normalization::Layer;
    let weight = Slot::one(format!("{path}.weight"), width, None, Role::Norm);
    let bias = bias.then(|| Slot::one(format!("{path}.bias"), width, None, Role::Bias));
    std::iter::once(weight).chain(bias)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_hold_every_parameter_once() {
        let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        for name in [
            "llama-gqa",
            "llama-tied-mha",
            "llama-bias",
            "mistral-window",
            "families/gpt2-inner",
            "families/olmoe",
        ] {
            let config = Config::read(&fixtures.join(name).join("config.json")).unwrap();
            let bytes = std::fs::read(fixtures.join(name).join("model.safetensors")).unwrap();
            let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let total: usize = file.tensors().iter().map(|(_, view)| view.data().len() / 4).sum();
            assert_eq!(total, config.n_parameters(), "{name}");
            let slots = slots(&config);
            let names: std::collections::BTreeSet<&str> =
                slots.iter().flat_map(|slot| &slot.parts).map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, file.names().into_iter().collect(), "{name}");
        }
    }

    #[test]
    fn parts_follow_one_another() {
        let parts = vec![("a".into(), 2), ("b".into(), 1)];
        let slot = Slot { parts, columns: Some(3), role: Role::Inner, order: Order::Rows, idle: false };
        let values: Vec<u8> = (0..9).collect();
        let parts: Vec<_> = slot.split(&values).collect();
        assert_eq!(parts[0], ("a", vec![2, 3], Cow::Borrowed(&values[..6])));
        assert_eq!(parts[1], ("b", vec![1, 3], Cow::Borrowed(&values[6..])));
    }
}
