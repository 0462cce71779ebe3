//! GGUF metadata to [`Config`]: said as a `config.json` would say it, so that both are read and checked by one reader.

use serde_json::{Map, Value, json};

use super::{ROPE_FREQS, ROPE_LONG, ROPE_SHORT};
use crate::gguf::{self, Gguf};
use crate::{Config, Error, Result};

/// Architectures of GGUF files that are read, and what each is to Hugging Face.
const KNOWN: [(&str, &str); 7] = [
    ("llama", "llama"),
    ("qwen2", "qwen2"),
    ("qwen3", "qwen3"),
    ("gemma2", "gemma2"),
    ("gemma3", "gemma3_text"),
    ("phi3", "phi3"),
    ("olmo2", "olmo2"),
];

/// Keys that change numbers and that nothing here computes.
const REFUSED: [&str; 11] = [
    "attention.clamp_kqv",
    "attention.output_scale",
    "attention.scale",
    "attention.temperature_length",
    "attention.temperature_scale",
    "embedding_scale",
    "expert_count",
    "logit_scale",
    "residual_scale",
    "rope.scale_linear",
    "rope.scaling.alpha",
];

/// Keys of files whose frequencies are stretched by YaRN.
const OF_YARN: [&str; 2] = ["rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow"];
/// Keys of the same that llama.cpp computes otherwise than transformers does, or alone.
const UNSETTLED: [&str; 4] = [
    "rope.scaling.attn_factor",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_ext_factor",
    "rope.scaling.yarn_log_multiplier",
];

/// The configuration that GGUF metadata describe.
///
/// What a file leaves out is as llama.cpp has it: Gemma's windows stand in all blocks but every second or sixth, and its
/// scores are divided by the square root of a head's width, in models of 46 and 62 blocks of `d_model / n_heads`.
///
/// Source: `set_gguf_parameters` of llama.cpp's `conversion/*.py`, inverted; `load_arch_hparams` of its `src/models/*.cpp`.
pub(in crate::weights) fn gguf_config(gguf: &Gguf) -> Result<Config> {
    let found = gguf.text("general.architecture").unwrap_or_default();
    let Some((architecture, model_type)) = KNOWN.into_iter().find(|(known, _)| *known == found) else {
        let known = KNOWN.into_iter().map(|(known, _)| known).collect();
        return Err(Error::UnknownFamily { found: found.into(), known });
    };
    let metadata = Metadata { gguf, architecture, model_type };
    metadata.refuse()?;
    let config = Config::from_json(&metadata.json()?.into())?;
    metadata.check(&config)?;
    Ok(config)
}

/// Metadata whose keys begin with the architecture.
struct Metadata<'a> {
    gguf: &'a Gguf,
    architecture: &'static str,
    model_type: &'static str,
}

impl Metadata<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    fn size(&self, name: &str) -> Result<usize> {
        self.gguf.size(&self.key(name))
    }

    /// A size that may be absent.
    fn optional(&self, name: &str) -> Result<Option<usize>> {
        self.has(name).then(|| self.size(name)).transpose()
    }

    /// A size that may be absent, or 0 in its place.
    fn unless_zero(&self, name: &str) -> Result<Option<usize>> {
        if self.gguf.int(&self.key(name)) == Some(0) { Ok(None) } else { self.optional(name) }
    }

    fn number(&self, name: &str) -> Result<Option<f64>> {
        let key = self.key(name);
        if !self.has(name) {
            return Ok(None);
        }
        let number = self.gguf.float(&key).filter(|number| *number > 0.0);
        number.map(Some).ok_or_else(|| self.gguf.wrong(&key, "a positive number"))
    }

    fn needed(&self, name: &str) -> Result<f64> {
        self.number(name)?.ok_or_else(|| self.gguf.wrong(&self.key(name), "a positive number"))
    }

    fn has(&self, name: &str) -> bool {
        self.gguf.metadata.contains_key(&self.key(name))
    }

    fn is(&self, architecture: &str) -> bool {
        self.architecture == architecture
    }

    /// Refuses what would change numbers and is not computed.
    fn refuse(&self) -> Result<()> {
        let phi = self.is("phi3");
        let unsettled = UNSETTLED.into_iter().filter(|name| !(phi && *name == "rope.scaling.attn_factor"));
        // Which blocks have a window is in no file of Qwen's.
        let windows =
            ["attention.sliding_window"].into_iter().filter(|_| self.model_type.starts_with("qwen"));
        for name in REFUSED.into_iter().chain(unsettled).chain(windows) {
            let key = self.key(name);
            match self.gguf.metadata.get(&key) {
                None | Some(gguf::Value::Int(0)) => {}
                Some(value) => return Err(Error::UnsupportedConfig { value: value.to_string(), key }),
            }
        }
        if self.gguf.flag(&self.key("attention.causal")) == Some(false) {
            return Err(Error::UnsupportedConfig {
                key: self.key("attention.causal"),
                value: "false".into(),
            });
        }
        Ok(())
    }

    /// What Hugging Face would write.
    fn json(&self) -> Result<Map<String, Value>> {
        let mut keys = self.sizes()?;
        let more = match self.architecture {
            "llama" => self.llama()?,
            "gemma2" | "gemma3" => self.gemma()?,
            "phi3" => self.phi()?,
            "olmo2" => self.olmo()?,
            _ => json!({ "rope_parameters": self.rope()? }),
        };
        keys.extend(more.as_object().cloned().unwrap_or_default());
        Ok(keys)
    }

    /// What all architectures say alike.
    fn sizes(&self) -> Result<Map<String, Value>> {
        let (d_model, n_heads) = (self.size("embedding_length")?, self.size("attention.head_count")?);
        let has = |tensor: &str| self.gguf.tensors.contains_key(tensor);
        let mut keys = json!({
            "model_type": self.model_type,
            "hidden_size": d_model,
            "num_attention_heads": n_heads,
            "num_key_value_heads": self.optional("attention.head_count_kv")?.unwrap_or(n_heads),
            "head_dim": self.d_head()?,
            "intermediate_size": self.size("feed_forward_length")?,
            "num_hidden_layers": self.n_layers()?,
            "vocab_size": self.d_vocab()?,
            "max_position_embeddings": self.size("context_length")?,
            "rms_norm_eps": self.needed("attention.layer_norm_rms_epsilon")?,
            "tie_word_embeddings": !has("output.weight"),
            "eos_token_id": self.eos(),
        });
        if has("blk.0.attn_q.bias") && !self.is("qwen2") {
            keys["attention_bias"] = true.into();
        }
        if has("blk.0.ffn_gate.bias") {
            keys["mlp_bias"] = true.into();
        }
        Ok(keys.as_object().cloned().unwrap_or_default())
    }

    /// Blocks, each of which has a tensor: more of them would be asked memory for before one is missed.
    fn n_layers(&self) -> Result<usize> {
        let (name, tensors) = ("block_count", self.gguf.tensors.len());
        let n = self.size(name)?;
        let wrong = || self.gguf.wrong(&self.key(name), &format!("at most the {tensors} tensors, found {n}"));
        if n <= tensors { Ok(n) } else { Err(wrong()) }
    }

    fn d_head(&self) -> Result<usize> {
        let (d_model, n_heads) = (self.size("embedding_length")?, self.size("attention.head_count")?);
        let width = self.optional("attention.key_length")?.unwrap_or(d_model / n_heads);
        match self.optional("attention.value_length")? {
            Some(other) if other != width => Err(self.gguf.wrong(
                &self.key("attention.value_length"),
                &format!("the width of a key, {width}, found {other}"),
            )),
            _ => Ok(width),
        }
    }

    /// Rows of the embedding: one for each word, or as it stands in files without words.
    fn d_vocab(&self) -> Result<usize> {
        if let Some(gguf::Value::List(tokens)) = self.gguf.metadata.get("tokenizer.ggml.tokens") {
            return Ok(tokens.len());
        }
        let rows = self.gguf.tensors.get("token_embd.weight").and_then(|info| info.shape.first());
        self.optional("vocab_size")?
            .or(rows.copied())
            .ok_or_else(|| self.gguf.wrong(&self.key("vocab_size"), "a positive whole number"))
    }

    /// Tokens that end a text, and those that end a turn.
    fn eos(&self) -> Vec<u32> {
        let id = |name: &str| self.gguf.int(&format!("tokenizer.ggml.{name}_token_id"));
        let ids = ["eos", "eot"].into_iter().filter_map(id);
        let mut ids: Vec<u32> = ids.filter_map(|id| u32::try_from(id).ok()).collect();
        ids.dedup();
        ids
    }

    /// Mistral's files say `llama`, too.
    fn llama(&self) -> Result<Value> {
        let window = self.unless_zero("attention.sliding_window")?;
        let mut keys = json!({ "rope_parameters": self.rope()? });
        if window.is_some() {
            keys["model_type"] = "mistral".into();
            keys["sliding_window"] = window.into();
        }
        Ok(keys)
    }

    fn gemma(&self) -> Result<Value> {
        let (n_layers, two) = (self.n_layers()?, self.is("gemma2"));
        let d_head = self.d_head()?;
        let wide = self.size("embedding_length")? / self.size("attention.head_count")?;
        let window = match self.unless_zero("attention.sliding_window")? {
            None if two && !self.has("attention.sliding_window") => Some(4096),
            found => found,
        };
        let caps = |name, default| Ok::<_, Error>(self.number(name)?.or(two.then_some(default)));
        let mut keys = json!({
            "query_pre_attn_scalar": if n_layers == if two { 46 } else { 62 } { wide } else { d_head },
            "final_logit_softcapping": caps("final_logit_softcapping", 30.0)?,
            "sliding_window": window,
            "layer_types": self.kinds(window, if two { 2 } else { 6 })?,
        });
        if two {
            keys["attn_logit_softcapping"] = caps("attn_logit_softcapping", 50.0)?.into();
            keys["rope_parameters"] = self.rope()?;
        } else {
            keys["rope_parameters"] = self.two_ropes(Some(10_000.0))?;
        }
        Ok(keys)
    }

    fn phi(&self) -> Result<Value> {
        let (d_head, n_ctx) = (self.d_head()?, self.size("context_length")?);
        let rotary = self.optional("rope.dimension_count")?.unwrap_or(d_head);
        let original = self.optional("rope.scaling.original_context_length")?.unwrap_or(n_ctx);
        let mut rope = match (self.gguf.numbers(ROPE_SHORT)?, self.gguf.numbers(ROPE_LONG)?) {
            (None, None) => self.rope()?,
            (short, long) => json!({
                "rope_theta": self.theta()?, "rope_type": "longrope", "short_factor": short, "long_factor": long,
                "attention_factor": self.number("rope.scaling.attn_factor")?.unwrap_or(1.0),
            }),
        };
        rope["partial_rotary_factor"] = json!(rotary as f64 / d_head as f64);
        Ok(json!({
            "rope_parameters": rope,
            "original_max_position_embeddings": original,
            "sliding_window": self.unless_zero("attention.sliding_window")?,
        }))
    }

    /// Olmo 3's files say `olmo2`, too.
    fn olmo(&self) -> Result<Value> {
        let Some(window) = self.unless_zero("attention.sliding_window")? else {
            return Ok(json!({ "rope_parameters": self.rope()? }));
        };
        Ok(json!({
            "model_type": "olmo3",
            "sliding_window": window,
            "layer_types": self.kinds(Some(window), 4)?,
            "rope_parameters": self.two_ropes(None)?,
        }))
    }

    /// Which blocks have a window: those that a list says, or all but every `every`-th.
    fn kinds(&self, window: Option<usize>, every: usize) -> Result<Vec<&'static str>> {
        let (n_layers, name) = (self.n_layers()?, "attention.sliding_window_pattern");
        let wrong = || {
            self.gguf.wrong(&self.key(name), &format!("a number, or a flag for each of {n_layers} blocks"))
        };
        let flag = |value: &gguf::Value| match value {
            gguf::Value::Bool(flag) => Ok(*flag),
            gguf::Value::Int(flag) => Ok(*flag != 0),
            _ => Err(wrong()),
        };
        let all_but = |every: usize| (1..=n_layers).map(|layer| !layer.is_multiple_of(every)).collect();
        let windowed: Vec<bool> = match self.gguf.metadata.get(&self.key(name)) {
            None => all_but(every),
            Some(gguf::Value::List(flags)) => flags.iter().map(flag).collect::<Result<_>>()?,
            Some(_) => all_but(self.size(name)?),
        };
        if windowed.len() != n_layers {
            return Err(wrong());
        }
        let kind = |windowed: bool| if windowed { "sliding_attention" } else { "full_attention" };
        Ok(windowed.into_iter().map(|windowed| kind(windowed && window.is_some())).collect())
    }

    fn theta(&self) -> Result<f64> {
        Ok(self.number("rope.freq_base")?.unwrap_or(10_000.0))
    }

    /// Blocks with a window are not stretched; `default` is their base where the file has none of their own.
    fn two_ropes(&self, default: Option<f64>) -> Result<Value> {
        let own = self.number("rope.freq_base_swa")?.or(default);
        let theta = own.map_or_else(|| self.theta(), Ok)?;
        let sliding = json!({ "rope_type": "default", "rope_theta": theta });
        Ok(json!({ "full_attention": self.rope()?, "sliding_attention": sliding }))
    }

    /// How queries and keys are rotated.
    fn rope(&self) -> Result<Value> {
        let mut rope = json!({ "rope_theta": self.theta()?, "rope_type": "default" });
        let (key, factor) = (self.key("rope.scaling.type"), "rope.scaling.factor");
        let kind = self.gguf.text(&key).unwrap_or("none");
        if let Some(name) = OF_YARN.into_iter().find(|name| kind != "yarn" && self.has(name)) {
            return Err(self.gguf.wrong(&key, &format!("`yarn`, as there is `{}`", self.key(name))));
        }
        match kind {
            "none" => {}
            "linear" => {
                rope["rope_type"] = kind.into();
                rope["factor"] = self.needed(factor)?.into();
            }
            "yarn" => {
                rope["rope_type"] = kind.into();
                rope["factor"] = self.needed(factor)?.into();
                rope["original_max_position_embeddings"] =
                    self.size("rope.scaling.original_context_length")?.into();
                for (name, ours) in OF_YARN.into_iter().zip(["beta_fast", "beta_slow"]) {
                    rope[ours] = self.number(name)?.into();
                }
            }
            other => return Err(Error::UnsupportedConfig { key, value: other.into() }),
        }
        let Some(factors) = self.gguf.numbers(ROPE_FREQS)?.filter(|_| self.is("llama")) else {
            return Ok(rope);
        };
        if kind != "none" {
            return Err(self.gguf.wrong(&key, &format!("none, as there is a tensor `{ROPE_FREQS}`")));
        }
        // What Llama 3.1 makes of its wavelengths is there as a number for each of them.
        rope["rope_type"] = "longrope".into();
        rope["attention_factor"] = 1.0.into();
        rope["original_max_position_embeddings"] = self.size("context_length")?.into();
        for key in ["short_factor", "long_factor"] {
            rope[key] = factors.clone().into();
        }
        Ok(rope)
    }

    /// What the configuration cannot say otherwise than the file is refused.
    fn check(&self, config: &Config) -> Result<()> {
        let name = "rope.dimension_count";
        let rotary = self.optional(name)?.unwrap_or(config.d_rotary);
        if rotary == config.d_rotary {
            return Ok(());
        }
        let expected = format!("the width of a head, {}, found {rotary}", config.d_head);
        Err(self.gguf.wrong(&self.key(name), &expected))
    }
}
