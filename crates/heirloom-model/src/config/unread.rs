//! Keys of `config.json` that a family does not read: harmless ones, and those that would change numbers.

use serde_json::Value;

use super::Family::{
    self, Gemma2, Gemma3, Gpt2, GptNeoX, Llama, Mistral, Olmo2, Olmo3, Olmoe, Phi3, Qwen2, Qwen3, Qwen3Moe,
    Qwen35, SmolLm3,
};
use super::keys::Keys;
use crate::{Error, Result};

/// Keys that change numbers where a family reads them, and the values that mean "not used" in the others.
const READ: [(&str, &[Family], &[&str]); 29] = [
    (
        "attention_bias",
        &[Llama, Qwen3, Qwen3Moe, Qwen35, SmolLm3, Olmo2, Olmo3, Olmoe, Gemma2, Gemma3, GptNeoX],
        &["null", "false"],
    ),
    ("attn_output_gate", &[Qwen35], &["null", "false"]),
    ("attn_logit_softcapping", &[Gemma2], &["null"]),
    ("decoder_sparse_step", &[Qwen3Moe], &["null", "1"]),
    ("full_attention_interval", &[Qwen35], &["null"]),
    ("linear_conv_kernel_dim", &[Qwen35], &["null"]),
    ("linear_key_head_dim", &[Qwen35], &["null"]),
    ("linear_num_key_heads", &[Qwen35], &["null"]),
    ("linear_num_value_heads", &[Qwen35], &["null"]),
    ("linear_value_head_dim", &[Qwen35], &["null"]),
    ("final_logit_softcapping", &[Gemma2, Gemma3], &["null"]),
    ("mlp_bias", &[Llama, SmolLm3], &["null", "false"]),
    ("mlp_only_layers", &[Qwen3Moe], &["null", "[]"]),
    ("moe_intermediate_size", &[Qwen3Moe], &["null"]),
    ("n_inner", &[Gpt2], &["null"]),
    ("no_rope_layers", &[SmolLm3], &["null", "[]"]),
    ("no_rope_layer_interval", &[SmolLm3], &["null"]),
    ("norm_topk_prob", &[Olmoe, Qwen3Moe], &["null", "false"]),
    ("num_experts", &[Olmoe, Qwen3Moe], &["null", "0"]),
    ("num_experts_per_tok", &[Olmoe, Qwen3Moe], &["null", "0"]),
    ("num_local_experts", &[Olmoe, Qwen3Moe], &["null", "0"]),
    ("partial_rotary_factor", &[Phi3, GptNeoX, Qwen35], &["null", "1", "1.0"]),
    ("query_pre_attn_scalar", &[Gemma2, Gemma3], &["null"]),
    ("rope_local_base_freq", &[Gemma3], &["null"]),
    (
        "rope_scaling",
        &[
            Llama, Mistral, Qwen2, Qwen3, SmolLm3, Olmo2, Olmo3, Olmoe, Qwen3Moe, Qwen35, Gemma2, Gemma3,
            Phi3, GptNeoX,
        ],
        &["null"],
    ),
    ("rotary_emb_base", &[GptNeoX], &["null"]),
    ("rotary_pct", &[GptNeoX], &["null", "1", "1.0"]),
    ("sliding_window_pattern", &[Gemma3], &["null"]),
    ("use_parallel_residual", &[GptNeoX], &["null", "false"]),
];

/// Keys that every family here computes one value of.
const NEUTRAL: [(&str, &[&str]); 25] = [
    ("add_cross_attention", &["null", "false"]),
    ("alibi", &["null", "false"]),
    ("attention_multiplier", &["null"]),
    ("clip_qkv", &["null"]),
    ("embedding_multiplier", &["null", "1", "1.0"]),
    ("full_attn_mod", &["null", "1"]),
    ("interpolate_factor", &["null", "1"]),
    ("is_decoder", &["null", "false", "true"]),
    ("is_encoder_decoder", &["null", "false"]),
    ("kv_lora_rank", &["null"]),
    ("lm_head_bias", &["null", "false"]),
    ("logit_scale", &["null", "1", "1.0"]),
    ("logits_scaling", &["null", "1", "1.0"]),
    ("position_embedding_type", &["null", "\"absolute\"", "\"rope\"", "\"rotary\""]),
    ("quantization_config", &["null"]),
    ("residual_multiplier", &["null", "1", "1.0"]),
    ("rope_interleaved", &["null", "false"]),
    ("scale_attn_by_inverse_layer_idx", &["null", "false"]),
    ("scale_attn_weights", &["null", "true"]),
    ("text_config", &["null"]),
    ("use_bidirectional_attention", &["null", "false"]),
    ("use_layernorm", &["null", "false"]),
    ("use_qk_norm", &["null", "false"]),
    ("use_rms_norm", &["null", "true"]),
    ("vision_config", &["null"]),
];

/// Keys that [`super::read`] reads in some family and the others do well to skip, as transformers does.
const SIZES: [&str; 28] = [
    "activation_function",
    "eos_token_id",
    "head_dim",
    "hidden_act",
    "hidden_activation",
    "hidden_size",
    "intermediate_size",
    "layer_norm_eps",
    "layer_norm_epsilon",
    "layer_types",
    "max_position_embeddings",
    "max_window_layers",
    "model_type",
    "n_embd",
    "n_head",
    "n_layer",
    "n_positions",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "original_max_position_embeddings",
    "rms_norm_eps",
    "rope_parameters",
    "rope_theta",
    "sliding_window",
    "tie_word_embeddings",
    "use_sliding_window",
    "vocab_size",
];

/// Keys that change no number of a forward pass: of training, of generation, of other tasks, of tools.
const HARMLESS: [&str; 65] = [
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_pdrop",
    "auto_map",
    "begin_suppress_tokens",
    "bos_token_id",
    "cache_implementation",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "fuse_norm",
    "gradient_checkpointing",
    "hidden_dropout",
    "hidden_dropout_prob",
    "id2label",
    "initializer_range",
    "is_llama_config",
    "label2id",
    "length_penalty",
    "max_length",
    "min_length",
    "n_ctx",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "output_scores",
    "pad_token_id",
    "predict_special_tokens",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "pruned_heads",
    "remove_invalid_values",
    "reorder_and_upcast_attn",
    "repetition_penalty",
    "resid_pdrop",
    "return_dict",
    "return_dict_in_generate",
    "router_aux_loss_coef",
    "sep_token_id",
    "sliding_window_size",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tie_encoder_decoder",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torchscript",
    "typical_p",
    "use_bfloat16",
    "use_cache",
];

/// Refuses what the family's forward pass would have to compute differently.
///
/// A key that nobody here knows passes where it says nothing (null, false, an empty list), where it is text, or where
/// its name is that of a note (`_…`, `mtp_…`, `summary_…`, `unsloth_…`, `transformers…`, `…_token_id`).
pub(super) fn check(keys: Keys<'_>, family: Family) -> Result<()> {
    for (key, neutral) in NEUTRAL {
        keys.refuse_unless(key, neutral)?;
    }
    if family == Qwen35 {
        keys.refuse_unless("attn_output_gate", &["null", "true"])?;
    }
    for (key, families, neutral) in READ {
        if !families.contains(&family) {
            keys.refuse_unless(key, neutral)?;
        }
    }
    let listed = |key: &str| {
        READ.iter().any(|(known, ..)| *known == key)
            || NEUTRAL.iter().any(|(known, _)| *known == key)
            || SIZES.contains(&key)
            || HARMLESS.contains(&key)
    };
    refuse_unknown(keys, listed)
}

/// Keys of a model of more than text that its text part does not depend on, or that it gets.
const OUTER: [&str; 11] = [
    "boi_token_index",
    "eoi_token_index",
    "eos_token_id",
    "image_token_index",
    "mm_tokens_per_image",
    "model_type",
    "multimodal_projector_bias",
    "spatial_merge_size",
    "tie_word_embeddings",
    "vision_feature_layer",
    "vision_config",
];

/// As [`check`], of the keys beside `text_config`.
pub(super) fn check_outer(keys: Keys<'_>) -> Result<()> {
    let neutral = || NEUTRAL.iter().filter(|(key, _)| !["text_config", "vision_config"].contains(key));
    for (key, values) in neutral() {
        keys.refuse_unless(key, values)?;
    }
    let listed = |key: &str| {
        key == "text_config"
            || OUTER.contains(&key)
            || HARMLESS.contains(&key)
            || neutral().any(|(known, _)| *known == key)
    };
    refuse_unknown(keys, listed)
}

/// Refuses a key that says something, is no note, and that nobody here knows.
fn refuse_unknown(keys: Keys<'_>, listed: impl Fn(&str) -> bool) -> Result<()> {
    match keys.0.iter().find(|(key, value)| !listed(key) && !is_note(key) && says_something(value)) {
        Some((key, value)) => Err(Error::UnknownConfig { key: key.clone(), value: value.to_string() }),
        None => Ok(()),
    }
}

fn is_note(key: &str) -> bool {
    let starts = ["_", "mtp_", "summary_", "unsloth_", "transformers"];
    starts.iter().any(|start| key.starts_with(start)) || key.ends_with("_token_id")
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) | Value::String(_) => false,
        Value::Array(items) => items.iter().any(|item| !item.is_string()),
        Value::Object(items) => !items.is_empty(),
        _ => true,
    }
}
