//! What llama.cpp's files say otherwise than Hugging Face's: names, the order of rows, the configuration.

use crate::config::{Activation, BlockKind, Family, NormPlaces, Normalization, Rope, RopeScaling};
use crate::gguf::{Gguf, Value};
use crate::{Config, Error, Result};

/// Undoes llama.cpp's interleaving of the two rotary halves of every head's rows.
///
/// Shapes: `values` is `[n_heads · d_head, width]`, row-major. Row `(h, j, s)` of the file is row `(h, s, j)`
/// here, with `j < d_head / 2` and `s < 2`.
///
/// Source: `LlamaModel.permute` of llama.cpp's `convert_hf_to_gguf.py`, inverted.
pub(super) fn unpermute(values: &mut [f32], n_heads: usize, width: usize) {
    let d_head = values.len() / n_heads / width;
    let mut stored = vec![0.0; d_head * width];
    for head in values.chunks_exact_mut(d_head * width) {
        stored.copy_from_slice(head);
        for (row, values) in stored.chunks_exact(width).enumerate() {
            let (j, s) = (row / 2, row % 2);
            let to = (s * d_head / 2 + j) * width;
            head[to..to + width].copy_from_slice(values);
        }
    }
}

/// llama.cpp's name of a tensor.
///
/// Source: `TENSOR_NAMES` of llama.cpp's `gguf-py/gguf/constants.py`.
pub(super) fn gguf_name(name: &str) -> String {
    let top = match name {
        "model.embed_tokens.weight" => "token_embd.weight",
        "model.norm.weight" => "output_norm.weight",
        "lm_head.weight" => "output.weight",
        _ => "",
    };
    if !top.is_empty() {
        return top.into();
    }
    let parts = [
        ("model.layers.", "blk."),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("post_attention_layernorm", "ffn_norm"),
        ("input_layernorm", "attn_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    parts.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

/// The configuration that GGUF metadata describe.
///
/// Source: `general.architecture = llama` in llama.cpp's GGUF specification; Mistral files say `llama` too.
pub(super) fn gguf_config(gguf: &Gguf) -> Result<Config> {
    let found = gguf.text("general.architecture").unwrap_or_default();
    if found != "llama" {
        let known = vec!["llama"];
        return Err(Error::UnknownFamily { found: found.into(), known });
    }
    let key = |name: &str| format!("llama.{name}");
    let (d_model, n_heads) = (gguf.size(&key("embedding_length"))?, gguf.size(&key("attention.head_count"))?);
    let scaling = match gguf.text(&key("rope.scaling.type")) {
        None | Some("none") => RopeScaling::None,
        Some("linear") => {
            let factor = gguf.float(&key("rope.scaling.factor"));
            let wrong = || gguf.wrong(&key("rope.scaling.factor"), "a positive number");
            RopeScaling::Linear { factor: factor.filter(|f| *f > 0.0).ok_or_else(wrong)? }
        }
        Some(other) => {
            return Err(Error::UnsupportedConfig { key: key("rope.scaling.type"), value: other.into() });
        }
    };
    let d_head = optional(gguf, &key("attention.key_length"))?.unwrap_or(d_model / n_heads);
    let rotary = optional(gguf, &key("rope.dimension_count"))?.unwrap_or(d_head);
    if rotary != d_head {
        return Err(gguf
            .wrong(&key("rope.dimension_count"), &format!("the width of a head, {d_head}, found {rotary}")));
    }
    let d_vocab = match gguf.metadata.get("tokenizer.ggml.tokens") {
        Some(Value::List(tokens)) => tokens.len(),
        _ => gguf.size(&key("vocab_size"))?,
    };
    let eos = gguf.int("tokenizer.ggml.eos_token_id").and_then(|id| u32::try_from(id).ok());
    let n_layers = gguf.size(&key("block_count"))?;
    let sliding_window = optional(gguf, &key("attention.sliding_window"))?;
    let attention_bias = gguf.tensors.contains_key("blk.0.attn_q.bias");
    Config {
        wrapper: None,
        family: Family::Llama,
        n_layers,
        d_model,
        n_heads,
        n_kv_heads: optional(gguf, &key("attention.head_count_kv"))?.unwrap_or(n_heads),
        d_head,
        d_mlp: gguf.size(&key("feed_forward_length"))?,
        d_vocab,
        n_ctx: gguf.size(&key("context_length"))?,
        normalization: Normalization::Rms,
        norms: NormPlaces::Before,
        qk_norm: None,
        norm_eps: gguf
            .float(&key("attention.layer_norm_rms_epsilon"))
            .ok_or_else(|| gguf.wrong(&key("attention.layer_norm_rms_epsilon"), "a float"))?,
        rope: Rope { theta: gguf.float(&key("rope.freq_base")).unwrap_or(10_000.0), scaling },
        local_rope: None,
        d_rotary: d_head,
        learned_positions: false,
        sliding_window,
        blocks: vec![
            BlockKind {
                windowed: sliding_window.is_some(),
                rotary: true,
                sparse: false,
                recurrent: false
            };
            n_layers
        ],
        attn_scalar: d_head as f64,
        attn_softcap: None,
        final_softcap: None,
        embed_scale: None,
        parallel: false,
        delta: None,
        attn_gate: false,
        experts: None,
        gated: true,
        activation: Activation::Silu,
        qkv_bias: attention_bias,
        o_bias: attention_bias,
        mlp_bias: gguf.tensors.contains_key("blk.0.ffn_gate.bias"),
        tied: !gguf.tensors.contains_key("output.weight"),
        eos: eos.into_iter().collect(),
    }
    .check()
}

fn optional(gguf: &Gguf, key: &str) -> Result<Option<usize>> {
    gguf.metadata.contains_key(key).then(|| gguf.size(key)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpermuting_undoes_llama_cpp() {
        // Two heads of four rows of one number; a head's halves 0 1 | 2 3 are stored as 0 2 1 3.
        let mut rows = [0.0, 2.0, 1.0, 3.0, 10.0, 12.0, 11.0, 13.0];
        unpermute(&mut rows, 2, 1);
        assert_eq!(rows.map(|x| x as i32), [0, 1, 2, 3, 10, 11, 12, 13]);
    }

    #[test]
    fn llama_cpp_names() {
        for (ours, theirs) in [
            ("model.layers.3.self_attn.q_proj.weight", "blk.3.attn_q.weight"),
            ("model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight"),
            ("model.layers.12.mlp.down_proj.bias", "blk.12.ffn_down.bias"),
            ("lm_head.weight", "output.weight"),
        ] {
            assert_eq!(gguf_name(ours), theirs);
        }
    }
}
