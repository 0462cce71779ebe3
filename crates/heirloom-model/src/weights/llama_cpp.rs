//! What llama.cpp's files say otherwise than Hugging Face's: names, the order of rows, norms, the configuration.

mod metadata;

pub(super) use metadata::gguf_config;

use crate::{Config, Family};

/// Tensors that say how frequencies are stretched; [`gguf_config`] reads them.
pub(super) const ROPE: [&str; 3] = [ROPE_FREQS, ROPE_SHORT, ROPE_LONG];
const ROPE_FREQS: &str = "rope_freqs.weight";
const ROPE_SHORT: &str = "rope_factors_short.weight";
const ROPE_LONG: &str = "rope_factors_long.weight";

/// How the tensors of one model's GGUF file become Hugging Face's.
#[derive(Clone, Copy, Debug)]
pub(super) struct LlamaCpp {
    family: Family,
    n_heads: usize,
    n_kv_heads: usize,
}

impl LlamaCpp {
    pub(super) fn of(config: &Config) -> Self {
        Self { family: config.family, n_heads: config.n_heads, n_kv_heads: config.n_kv_heads }
    }

    /// llama.cpp's name of a tensor.
    ///
    /// Source: `TENSOR_NAMES` of llama.cpp's `gguf-py/gguf/constants.py`.
    pub(super) fn name(self, name: &str) -> String {
        let top = match name {
            "model.embed_tokens.weight" => "token_embd.weight",
            "model.norm.weight" => "output_norm.weight",
            "lm_head.weight" => "output.weight",
            _ => "",
        };
        if !top.is_empty() {
            return top.into();
        }
        // What Llama calls so stands before the MLP.
        let after = if self.norms_after() { "post_attention_norm" } else { "ffn_norm" };
        let parts = PARTS.into_iter().chain([("post_attention_layernorm", after)]);
        parts.fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
    }

    /// Makes the numbers of a tensor, called by its Hugging Face name, what they are there; rows are `width` wide.
    ///
    /// Source: `modify_tensors` of llama.cpp's `conversion/llama.py` and `conversion/gemma.py`, inverted.
    pub(super) fn restore(self, name: &str, values: &mut [f32], width: usize) {
        let is_llama = matches!(self.family, Family::Llama | Family::Mistral);
        if is_llama && name.contains("q_proj") {
            unpermute(values, self.n_heads, width);
        } else if is_llama && name.contains("k_proj") {
            unpermute(values, self.n_kv_heads, width);
        } else if self.is_gemma() && name.ends_with("norm.weight") {
            // There a norm multiplies by the weight, here by one more.
            for value in values {
                *value -= 1.0;
            }
        }
    }

    fn is_gemma(self) -> bool {
        matches!(self.family, Family::Gemma2 | Family::Gemma3)
    }

    fn norms_after(self) -> bool {
        self.is_gemma() || matches!(self.family, Family::Olmo2 | Family::Olmo3)
    }
}

/// Parts of names, Hugging Face's and llama.cpp's.
const PARTS: [(&str, &str); 15] = [
    ("model.layers.", "blk."),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("mlp.gate_up_proj", "ffn_up"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("input_layernorm", "attn_norm"),
    ("pre_feedforward_layernorm", "ffn_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
];

/// Undoes llama.cpp's interleaving of the two rotary halves of every head's rows.
///
/// Shapes: `values` is `[n_heads · d_head, width]`, row-major. Row `(h, j, s)` of the file is row `(h, s, j)`
/// here, with `j < d_head / 2` and `s < 2`.
///
/// Source: `LlamaModel.permute` of llama.cpp's `conversion/llama.py`, inverted.
fn unpermute(values: &mut [f32], n_heads: usize, width: usize) {
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
        for (family, ours, theirs) in [
            (Family::Llama, "model.layers.3.self_attn.q_proj.weight", "blk.3.attn_q.weight"),
            (Family::Llama, "model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight"),
            (Family::Llama, "model.layers.12.mlp.down_proj.bias", "blk.12.ffn_down.bias"),
            (Family::Llama, "lm_head.weight", "output.weight"),
            (
                Family::Olmo2,
                "model.layers.0.post_attention_layernorm.weight",
                "blk.0.post_attention_norm.weight",
            ),
            (Family::Gemma2, "model.layers.0.pre_feedforward_layernorm.weight", "blk.0.ffn_norm.weight"),
            (Family::Phi3, "model.layers.0.mlp.gate_up_proj.weight", "blk.0.ffn_up.weight"),
        ] {
            let file = LlamaCpp { family, n_heads: 1, n_kv_heads: 1 };
            assert_eq!(file.name(ours), theirs);
        }
    }
}
