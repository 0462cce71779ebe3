//! What each family calls its weights.

use super::Order;
use crate::Family;

/// Hugging Face names; those of a block behind `blocks` and its number.
pub(crate) struct Names {
    pub(crate) embed: &'static str,
    pub(crate) positions: &'static str,
    pub(crate) norm: &'static str,
    pub(crate) head: &'static str,
    pub(crate) blocks: &'static str,
    pub(crate) ln1: &'static str,
    /// One each for queries, keys and values, or one for all.
    pub(crate) qkv: &'static [&'static str],
    pub(crate) o: &'static str,
    pub(crate) ln1_post: &'static str,
    pub(crate) ln2: &'static str,
    /// Gate and up projection, or one for both, or the up projection of a model without gates.
    pub(crate) up: &'static [&'static str],
    pub(crate) down: &'static str,
    pub(crate) ln2_post: &'static str,
    /// How files keep projections.
    pub(crate) order: Order,
}

/// Last parts of the names of all families' projections.
pub(crate) const TARGETS: [&str; 21] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
    "qkv_proj",
    "gate_up_proj",
    "query_key_value",
    "dense",
    "dense_h_to_4h",
    "dense_4h_to_h",
    "c_attn",
    "c_proj",
    "c_fc",
    "in_proj_qkv",
    "in_proj_z",
    "in_proj_b",
    "in_proj_a",
    "out_proj",
];

const LLAMA: Names = Names {
    embed: "model.embed_tokens.weight",
    positions: "",
    norm: "model.norm",
    head: "lm_head.weight",
    blocks: "model.layers.",
    ln1: "input_layernorm",
    qkv: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    o: "self_attn.o_proj",
    ln1_post: "",
    ln2: "post_attention_layernorm",
    up: &["mlp.gate_proj", "mlp.up_proj"],
    down: "mlp.down_proj",
    ln2_post: "",
    order: Order::Rows,
};

const AFTER: Names =
    Names { ln1_post: "post_attention_layernorm", ln2_post: "post_feedforward_layernorm", ..LLAMA };

const GEMMA: Names = Names { ln2: "pre_feedforward_layernorm", ..AFTER };

const PHI: Names = Names { qkv: &["self_attn.qkv_proj"], up: &["mlp.gate_up_proj"], ..LLAMA };

const NEOX: Names = Names {
    embed: "gpt_neox.embed_in.weight",
    norm: "gpt_neox.final_layer_norm",
    head: "embed_out.weight",
    blocks: "gpt_neox.layers.",
    qkv: &["attention.query_key_value"],
    o: "attention.dense",
    up: &["mlp.dense_h_to_4h"],
    down: "mlp.dense_4h_to_h",
    ..LLAMA
};

const GPT2: Names = Names {
    embed: "transformer.wte.weight",
    positions: "transformer.wpe.weight",
    norm: "transformer.ln_f",
    blocks: "transformer.h.",
    ln1: "ln_1",
    qkv: &["attn.c_attn"],
    o: "attn.c_proj",
    ln2: "ln_2",
    up: &["mlp.c_fc"],
    down: "mlp.c_proj",
    order: Order::Columns,
    ..LLAMA
};

impl Names {
    pub(crate) fn of(family: Family) -> &'static Self {
        match family {
            Family::Llama
            | Family::Mistral
            | Family::Qwen2
            | Family::Qwen3
            | Family::Qwen3Moe
            | Family::Qwen35
            | Family::Olmoe
            | Family::SmolLm3 => &LLAMA,
            Family::Olmo2 | Family::Olmo3 => &AFTER,
            Family::Gemma2 | Family::Gemma3 => &GEMMA,
            Family::Phi3 => &PHI,
            Family::GptNeoX => &NEOX,
            Family::Gpt2 => &GPT2,
        }
    }

    /// How files keep queries, keys and values: GPT-NeoX head by head.
    pub(crate) fn qkv_order(&self, d_head: usize) -> Order {
        if self.qkv[0].ends_with("query_key_value") { Order::Heads { d_head } } else { self.order }
    }

    /// What all names but the head's begin with.
    pub(crate) fn prefix(&self) -> &'static str {
        self.embed.split_once('.').map_or("", |(prefix, _)| prefix)
    }
}

/// Where a text model's tensors stand in files of a model of more.
pub(crate) struct Inside {
    /// In place of `model.`.
    model: &'static str,
    /// In place of `lm_head`.
    head: &'static str,
}

impl Inside {
    /// As modules are called from transformers 4.52 on, and so Qwen's tensors; as they were called before, and so
    /// Gemma's and Mistral's tensors still.
    pub(crate) const ALL: [Self; 2] = [
        Self { model: "model.language_model.", head: "lm_head" },
        Self { model: "language_model.model.", head: "language_model.lm_head" },
    ];

    /// The name there of a text model's tensor or module.
    pub(crate) fn name(&self, own: &str) -> String {
        let moved = |from: &str, to: &str| own.strip_prefix(from).map(|rest| format!("{to}{rest}"));
        moved("model.", self.model).or_else(|| moved("lm_head", self.head)).unwrap_or_else(|| own.into())
    }

    /// The one by which tensors are called, of which `begins` says whether any begins so; none where they are called
    /// as a text model's.
    pub(crate) fn of(begins: impl Fn(&str) -> bool) -> Option<&'static Self> {
        Self::ALL.iter().find(|inside| begins(inside.model))
    }
}
