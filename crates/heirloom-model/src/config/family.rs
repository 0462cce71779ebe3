//! The lines of models, and what each leaves unsaid in its `config.json`.

/// A line of models that share one layout of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Llama 1–3, `SmolLM2` and everything else that says `"model_type": "llama"`.
    Llama,
    /// Mistral: Llama with an optional sliding attention window.
    Mistral,
    /// Qwen 2 and 2.5: biases on queries, keys and values.
    Qwen2,
    /// Qwen 3: norms on the queries and keys of each head.
    Qwen3,
    /// `SmolLM3`: some blocks do not rotate.
    SmolLm3,
    /// OLMo 2: norms after attention and MLP, and on all queries and keys together.
    Olmo2,
    /// Olmo 3: OLMo 2 with windows in most blocks.
    Olmo3,
    /// Gemma 2: norms before and after, soft caps, windows in every second block.
    Gemma2,
    /// Gemma 3, text alone: norms on the queries and keys of each head, two rotary embeddings.
    Gemma3,
    /// Phi 3 and 4: fused projections, part of a head rotated.
    Phi3,
    /// GPT-NeoX, Pythia: attention and MLP side by side.
    GptNeoX,
    /// GPT-2: a table of positions.
    Gpt2,
    /// `OLMoE`: a few of many MLPs for each token, norms on all queries and keys together.
    Olmoe,
    /// Qwen 3 with a few of many MLPs for each token.
    Qwen3Moe,
    /// Qwen 3.5, text alone: gated delta nets in place of attention in most blocks, gates behind attention.
    Qwen35,
}

/// What holds where a `config.json` does not say.
pub(super) struct Defaults {
    pub(super) eps: f64,
    pub(super) theta: f64,
    pub(super) tied: bool,
    /// Width of a head; `d_model / n_heads` where absent.
    pub(super) d_head: Option<usize>,
    /// Key and value heads; as many as query heads where absent.
    pub(super) n_kv_heads: Option<usize>,
}

impl Family {
    /// Every family, with the `model_type` of its `config.json`.
    pub const ALL: [(Self, &'static str); 15] = [
        (Self::Llama, "llama"),
        (Self::Mistral, "mistral"),
        (Self::Qwen2, "qwen2"),
        (Self::Qwen3, "qwen3"),
        (Self::SmolLm3, "smollm3"),
        (Self::Olmo2, "olmo2"),
        (Self::Olmo3, "olmo3"),
        (Self::Gemma2, "gemma2"),
        (Self::Gemma3, "gemma3_text"),
        (Self::Phi3, "phi3"),
        (Self::GptNeoX, "gpt_neox"),
        (Self::Gpt2, "gpt2"),
        (Self::Olmoe, "olmoe"),
        (Self::Qwen3Moe, "qwen3_moe"),
        (Self::Qwen35, "qwen3_5_text"),
    ];

    /// The `model_type` of its `config.json`.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The class of transformers that reads it.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Mistral => "MistralForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
            Self::SmolLm3 => "SmolLM3ForCausalLM",
            Self::Olmo2 => "Olmo2ForCausalLM",
            Self::Olmo3 => "Olmo3ForCausalLM",
            Self::Gemma2 => "Gemma2ForCausalLM",
            Self::Gemma3 => "Gemma3ForCausalLM",
            Self::Phi3 => "Phi3ForCausalLM",
            Self::GptNeoX => "GPTNeoXForCausalLM",
            Self::Gpt2 => "GPT2LMHeadModel",
            Self::Olmoe => "OlmoeForCausalLM",
            Self::Qwen3Moe => "Qwen3MoeForCausalLM",
            Self::Qwen35 => "Qwen3_5ForCausalLM",
        }
    }

    /// Source: the configuration classes of transformers 5.23.
    pub(super) fn defaults(self) -> Defaults {
        let eps = match self {
            Self::Olmo2 | Self::Olmo3 | Self::Olmoe | Self::Phi3 | Self::GptNeoX | Self::Gpt2 => 1e-5,
            _ => 1e-6,
        };
        let theta = match self {
            Self::SmolLm3 => 2_000_000.0,
            Self::Olmo3 => 500_000.0,
            Self::Gemma3 => 1_000_000.0,
            _ => 10_000.0,
        };
        let d_head = match self {
            Self::Qwen3 => Some(128),
            Self::Gemma2 | Self::Gemma3 | Self::Qwen35 => Some(256),
            _ => None,
        };
        let tied = matches!(self, Self::SmolLm3 | Self::Gemma2 | Self::Gemma3 | Self::Gpt2);
        let n_kv_heads = match self {
            Self::Mistral => Some(8),
            Self::Qwen2 | Self::Qwen3 => Some(32),
            Self::SmolLm3 | Self::Gemma2 | Self::Gemma3 | Self::Qwen3Moe | Self::Qwen35 => Some(4),
            _ => None,
        };
        Defaults { eps, theta, tied, d_head, n_kv_heads }
    }

    /// A mixture of experts.
    pub(super) fn has_experts(self) -> bool {
        matches!(self, Self::Olmoe | Self::Qwen3Moe)
    }

    /// Gemma, of either generation.
    pub(super) fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3)
    }
}
