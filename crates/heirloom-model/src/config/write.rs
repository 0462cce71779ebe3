//! [`Config`] as `config.json`, in the spelling that transformers 4 and 5 both read.

use serde_json::{Map, Value, json};

use super::positions::scaling_json;
use super::{Activation, BlockKind, Config, Family, Rope, RopeScaling};

/// Keys in the order in which they are written.
struct Keys(Map<String, Value>);

impl Keys {
    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.into(), value.into());
    }
}

/// What the model is; tokens and numbers' types are the caller's to add.
pub(super) fn config(c: &Config) -> Map<String, Value> {
    let mut keys = Keys(Map::new());
    keys.set("architectures", json!([c.family.class()]));
    keys.set("model_type", c.family.name());
    match c.family {
        Family::Gpt2 => gpt2(c, &mut keys),
        Family::GptNeoX => gpt_neox(c, &mut keys),
        _ => gated(c, &mut keys),
    }
    keys.set("tie_word_embeddings", c.tied);
    keys.0
}

fn sizes(c: &Config, keys: &mut Keys) {
    keys.set("hidden_size", c.d_model);
    keys.set("intermediate_size", c.d_mlp);
    keys.set("num_hidden_layers", c.n_layers);
    keys.set("num_attention_heads", c.n_heads);
}

fn gated(c: &Config, keys: &mut Keys) {
    sizes(c, keys);
    keys.set("num_key_value_heads", c.n_kv_heads);
    keys.set("head_dim", c.d_head);
    keys.set("vocab_size", c.d_vocab);
    let stretched = match c.rope.scaling {
        RopeScaling::Long { stretched_n_ctx, .. } => stretched_n_ctx,
        _ => c.n_ctx,
    };
    keys.set("max_position_embeddings", stretched);
    keys.set("rms_norm_eps", c.norm_eps);
    keys.set(if c.family.is_gemma() { "hidden_activation" } else { "hidden_act" }, activation(c));
    keys.set("rope_theta", c.rope.theta);
    keys.set("rope_scaling", scaling_json(&c.rope.scaling, c.n_ctx));
    match c.family {
        Family::Llama => {
            keys.set("attention_bias", c.o_bias);
            keys.set("mlp_bias", c.mlp_bias);
        }
        Family::Mistral => keys.set("sliding_window", json!(c.sliding_window)),
        Family::Olmo2 | Family::Olmoe => keys.set("attention_bias", c.o_bias),
        Family::Qwen35 => {
            keys.set("attention_bias", c.o_bias);
            keys.set("partial_rotary_factor", share(c));
            let kind = |kind: &BlockKind| if kind.recurrent { "linear_attention" } else { "full_attention" };
            keys.set("layer_types", c.blocks.iter().map(kind).collect::<Value>());
        }
        Family::Qwen3Moe => {
            keys.set("sliding_window", json!(c.sliding_window));
            keys.set("use_sliding_window", c.sliding_window.is_some());
            keys.set("attention_bias", c.o_bias);
            let dense = |(layer, kind): (usize, &BlockKind)| (!kind.sparse).then_some(layer);
            keys.set("mlp_only_layers", c.blocks.iter().enumerate().filter_map(dense).collect::<Value>());
        }
        Family::Phi3 => {
            keys.set("sliding_window", json!(c.sliding_window));
            keys.set("partial_rotary_factor", share(c));
            keys.set("original_max_position_embeddings", c.n_ctx);
        }
        Family::Qwen2 | Family::Qwen3 => {
            windows(c, keys);
            if c.family == Family::Qwen3 {
                keys.set("attention_bias", c.o_bias);
            }
        }
        Family::SmolLm3 => {
            windows(c, keys);
            keys.set("attention_bias", c.o_bias);
            keys.set("mlp_bias", c.mlp_bias);
            keys.set("no_rope_layers", c.blocks.iter().map(|kind| u8::from(kind.rotary)).collect::<Value>());
        }
        Family::Olmo3 | Family::Gemma2 | Family::Gemma3 => {
            windows(c, keys);
            keys.set("attention_bias", c.o_bias);
        }
        Family::GptNeoX | Family::Gpt2 => {}
    }
    if let Some(delta) = c.delta {
        keys.set("linear_num_key_heads", delta.n_k_heads);
        keys.set("linear_num_value_heads", delta.n_v_heads);
        keys.set("linear_key_head_dim", delta.d_k);
        keys.set("linear_value_head_dim", delta.d_v);
        keys.set("linear_conv_kernel_dim", delta.taps);
    }
    if let Some(experts) = c.experts {
        keys.set("num_experts", experts.n);
        keys.set("num_experts_per_tok", experts.per_token);
        keys.set("norm_topk_prob", experts.normalized);
        if c.family == Family::Qwen3Moe {
            keys.set("moe_intermediate_size", experts.d_mlp);
        }
    }
    if c.family.is_gemma() {
        keys.set("query_pre_attn_scalar", whole(c.attn_scalar));
        keys.set("attn_logit_softcapping", json!(c.attn_softcap));
        keys.set("final_logit_softcapping", json!(c.final_softcap));
    }
    if matches!(c.family, Family::Olmo3 | Family::Gemma3) {
        let local = c.local_rope.as_ref().unwrap_or(&c.rope);
        if c.family == Family::Gemma3 {
            keys.set("rope_local_base_freq", local.theta);
        }
        keys.set(
            "rope_parameters",
            json!({
                "full_attention": rope_json(&c.rope, c.n_ctx), "sliding_attention": rope_json(local, c.n_ctx),
            }),
        );
    }
}

fn windows(c: &Config, keys: &mut Keys) {
    let kind = |windowed: bool| if windowed { "sliding_attention" } else { "full_attention" };
    keys.set("sliding_window", json!(c.sliding_window));
    if matches!(c.family, Family::Qwen2 | Family::Qwen3 | Family::SmolLm3) {
        keys.set("use_sliding_window", c.sliding_window.is_some());
    }
    keys.set("layer_types", c.blocks.iter().map(|block| kind(block.windowed)).collect::<Value>());
}

fn gpt_neox(c: &Config, keys: &mut Keys) {
    sizes(c, keys);
    keys.set("vocab_size", c.d_vocab);
    keys.set("max_position_embeddings", c.n_ctx);
    keys.set("layer_norm_eps", c.norm_eps);
    keys.set("hidden_act", activation(c));
    keys.set("rotary_emb_base", c.rope.theta);
    keys.set("rotary_pct", share(c));
    keys.set("rope_scaling", scaling_json(&c.rope.scaling, c.n_ctx));
    keys.set("attention_bias", c.o_bias);
    keys.set("use_parallel_residual", c.parallel);
}

fn gpt2(c: &Config, keys: &mut Keys) {
    keys.set("n_embd", c.d_model);
    keys.set("n_inner", c.d_mlp);
    keys.set("n_layer", c.n_layers);
    keys.set("n_head", c.n_heads);
    keys.set("vocab_size", c.d_vocab);
    keys.set("n_positions", c.n_ctx);
    keys.set("layer_norm_epsilon", c.norm_eps);
    keys.set("activation_function", activation(c));
}

fn activation(c: &Config) -> &'static str {
    match c.activation {
        Activation::Silu => "silu",
        Activation::Gelu => "gelu",
        Activation::GeluTanh if c.gated => "gelu_pytorch_tanh",
        Activation::GeluTanh => "gelu_new",
    }
}

/// transformers takes a whole number where one stands for the scalar.
#[expect(clippy::cast_sign_loss, reason = "a scalar is positive")]
fn whole(x: f64) -> Value {
    if x.fract() == 0.0 && x < 1e15 { json!(x as u64) } else { json!(x) }
}

fn share(c: &Config) -> f64 {
    c.d_rotary as f64 / c.d_head as f64
}

fn rope_json(rope: &Rope, n_ctx: usize) -> Value {
    let mut value = match scaling_json(&rope.scaling, n_ctx) {
        Value::Null => json!({"rope_type": "default"}),
        value => value,
    };
    value["rope_theta"] = rope.theta.into();
    value
}
