//! What a model is, read from `config.json` and checked before a single weight is touched.
//!
//! One forward pass serves every family; a family is a set of choices here. A key that would change numbers
//! and that the forward pass does not know is refused, never skipped.

use std::path::Path;

use serde_json::{Map, Value};

use crate::{Error, Result};

/// A line of models that share one layout of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Llama 1–3, `SmolLM2` and everything else that says `"model_type": "llama"`.
    Llama,
    /// Mistral: Llama with an optional sliding attention window.
    Mistral,
}

impl Family {
    /// Every family, with the `model_type` of its `config.json`.
    pub const ALL: [(Self, &'static str); 2] = [(Self::Llama, "llama"), (Self::Mistral, "mistral")];

    /// The `model_type` of its `config.json`.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// The nonlinearity of the MLP's gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x · sigmoid(x)`.
    Silu,
}

/// How rotary frequencies are stretched beyond the context a model was first trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// Frequencies as they are.
    None,
    /// Every frequency divided by `factor`.
    Linear {
        /// How much longer the context becomes.
        factor: f64,
    },
    /// Low frequencies divided by `factor`, high ones kept, a ramp between (Llama 3.1).
    Llama3 {
        /// How much longer the context becomes.
        factor: f64,
        /// Wavelengths longer than `original_n_ctx / low` are stretched in full.
        low: f64,
        /// Wavelengths shorter than `original_n_ctx / high` are kept.
        high: f64,
        /// The context before stretching, in tokens.
        original_n_ctx: usize,
    },
}

/// Rotary position embedding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// Base of the geometric series of wavelengths.
    pub theta: f64,
    /// Stretching of the wavelengths.
    pub scaling: RopeScaling,
}

/// What a model is: sizes and choices, all checked.
///
/// Shapes: `d_model` need not equal `n_heads · d_head`; `n_heads` is a multiple of `n_kv_heads`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which line of models.
    pub family: Family,
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
    /// Added to the mean square in every norm.
    pub norm_eps: f64,
    /// Rotary position embedding.
    pub rope: Rope,
    /// Query `i` sees keys `j` with `i − window < j ≤ i`; all earlier keys where absent.
    pub sliding_window: Option<usize>,
    /// Biases on the query, key, value and output projections.
    pub attention_bias: bool,
    /// Biases on the gate, up and down projections.
    pub mlp_bias: bool,
    /// The language-model head is the embedding.
    pub tied: bool,
    /// Nonlinearity of the gate.
    pub activation: Activation,
    /// Tokens that end a text, from the configuration.
    pub eos: Vec<u32>,
}

/// Keys that change the numbers of other families' forward passes, each with the values that mean "not used".
const NEUTRAL: [(&str, &[&str]); 16] = [
    ("quantization_config", &["null"]),
    ("partial_rotary_factor", &["null", "1", "1.0"]),
    ("attn_logit_softcapping", &["null"]),
    ("final_logit_softcapping", &["null"]),
    ("query_pre_attn_scalar", &["null"]),
    ("attention_multiplier", &["null"]),
    ("embedding_multiplier", &["null", "1", "1.0"]),
    ("residual_multiplier", &["null", "1", "1.0"]),
    ("logits_scaling", &["null", "1", "1.0"]),
    ("clip_qkv", &["null"]),
    ("no_rope_layers", &["null", "[]"]),
    ("use_qk_norm", &["null", "false"]),
    ("num_local_experts", &["null", "0"]),
    ("num_experts", &["null", "0"]),
    ("kv_lora_rank", &["null"]),
    ("use_bidirectional_attention", &["null", "false"]),
];

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
        let empty = Map::new();
        let keys = Keys(value.as_object().unwrap_or(&empty));
        let family = keys.family()?;
        for (key, neutral) in NEUTRAL {
            keys.refuse_unless(key, neutral)?;
        }
        let (d_model, n_heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
        let sliding_window = match family {
            Family::Mistral => keys.optional_size("sliding_window")?,
            Family::Llama => None,
        };
        keys.check_layer_types(sliding_window)?;
        let config = Self {
            family,
            n_layers: keys.size("num_hidden_layers")?,
            d_model,
            n_heads,
            n_kv_heads: keys.optional_size("num_key_value_heads")?.unwrap_or(n_heads),
            d_head: keys.optional_size("head_dim")?.unwrap_or(d_model / n_heads),
            d_mlp: keys.size("intermediate_size")?,
            d_vocab: keys.size("vocab_size")?,
            n_ctx: keys.size("max_position_embeddings")?,
            norm_eps: keys.number("rms_norm_eps")?.unwrap_or(1e-6),
            rope: keys.rope()?,
            sliding_window,
            attention_bias: family == Family::Llama && keys.flag("attention_bias")?,
            mlp_bias: family == Family::Llama && keys.flag("mlp_bias")?,
            tied: keys.flag("tie_word_embeddings")?,
            activation: keys.activation()?,
            eos: keys.ids("eos_token_id")?,
        };
        config.check()
    }

    /// Width of one activation vector at `site`'s hook points: heads are laid side by side.
    ///
    /// None where rows have no fixed width (attention scores and pattern).
    pub fn width(&self, point: heirloom_record::HookPoint) -> Option<usize> {
        use heirloom_record::{HookPoint, Site};
        let HookPoint::Block { site, .. } = point else { return Some(self.d_model) };
        match site {
            Site::Q | Site::RotQ | Site::Z => Some(self.n_heads * self.d_head),
            Site::K | Site::RotK | Site::V => Some(self.n_kv_heads * self.d_head),
            Site::AttnScores | Site::Pattern => None,
            Site::MlpPre | Site::MlpPreLinear | Site::MlpPost => Some(self.d_mlp),
            _ => Some(self.d_model),
        }
    }

    /// How many numbers the model has.
    pub fn n_parameters(&self) -> usize {
        let (d, e) = (self.d_model, self.d_head);
        let (q, kv) = (self.n_heads * e, self.n_kv_heads * e);
        let attention = 2 * d * q + 2 * d * kv + if self.attention_bias { q + 2 * kv + d } else { 0 };
        let mlp = 3 * d * self.d_mlp + if self.mlp_bias { 2 * self.d_mlp + d } else { 0 };
        let embeddings = self.d_vocab * d * if self.tied { 1 } else { 2 };
        embeddings + self.n_layers * (attention + mlp + 2 * d) + d
    }

    /// Refuses sizes that do not fit together; everything later may rely on them.
    pub(crate) fn check(self) -> Result<Self> {
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            let expected = format!("a divisor of num_attention_heads ({})", self.n_heads);
            return Err(field("num_key_value_heads", expected, &self.n_kv_heads));
        }
        if !self.d_head.is_multiple_of(2) || self.d_head == 0 {
            return Err(field("head_dim", "an even number".into(), &self.d_head));
        }
        // Sizes beyond any model are a damaged file; the bound keeps products of three of them inside u64.
        let sizes = [
            ("hidden_size", self.d_model),
            ("intermediate_size", self.d_mlp),
            ("vocab_size", self.d_vocab),
            ("num_hidden_layers", self.n_layers),
            ("num_attention_heads", self.n_heads),
            ("head_dim", self.d_head),
        ];
        match sizes.into_iter().find(|(_, size)| *size > 1 << 21) {
            Some((key, size)) => Err(field(key, "at most 2097152".into(), &size)),
            None => Ok(self),
        }
    }
}

fn field(key: &str, expected: String, found: &dyn ToString) -> Error {
    Error::ConfigValue { key: key.into(), expected, found: found.to_string() }
}

/// Typed reads of a JSON object's keys.
struct Keys<'a>(&'a Map<String, Value>);

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn family(&self) -> Result<Family> {
        let found = self.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let known = Family::ALL.into_iter().find(|(_, name)| *name == found);
        known.map(|(family, _)| family).ok_or_else(|| Error::UnknownFamily {
            found: found.into(),
            known: Family::ALL.map(|(_, name)| name).to_vec(),
        })
    }

    fn refuse_unless(&self, key: &str, neutral: &[&str]) -> Result<()> {
        match self.0.get(key).map(Value::to_string) {
            Some(value) if !neutral.contains(&value.as_str()) => {
                Err(Error::UnsupportedConfig { key: key.into(), value })
            }
            _ => Ok(()),
        }
    }

    fn size(&self, key: &'static str) -> Result<usize> {
        self.optional_size(key)?.ok_or_else(|| Error::MissingConfig { key })
    }

    fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_u64().and_then(|size| usize::try_from(size).ok()) {
            Some(size) if size > 0 => Ok(Some(size)),
            _ => Err(field(key, "a positive whole number".into(), value)),
        }
    }

    fn number(&self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if number.is_finite() && number > 0.0 => Ok(Some(number)),
            _ => Err(field(key, "a positive number".into(), value)),
        }
    }

    fn needed(&self, key: &'static str) -> Result<f64> {
        self.number(key)?.ok_or_else(|| Error::MissingConfig { key })
    }

    fn flag(&self, key: &str) -> Result<bool> {
        let Some(value) = self.get(key) else { return Ok(false) };
        value.as_bool().ok_or_else(|| field(key, "true or false".into(), value))
    }

    fn ids(&self, key: &str) -> Result<Vec<u32>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let ids = match value {
            Value::Array(values) => values.iter().map(id).collect(),
            one => id(one).map(|id| vec![id]),
        };
        ids.ok_or_else(|| field(key, "a token id or a list of them".into(), value))
    }

    fn activation(&self) -> Result<Activation> {
        match self.get("hidden_act").and_then(Value::as_str).unwrap_or("silu") {
            "silu" | "swish" => Ok(Activation::Silu),
            other => Err(Error::UnsupportedConfig { key: "hidden_act".into(), value: other.into() }),
        }
    }

    /// `layer_types` may only repeat what the window already says.
    fn check_layer_types(&self, window: Option<usize>) -> Result<()> {
        let expected = if window.is_some() { "sliding_attention" } else { "full_attention" };
        let Some(types) = self.get("layer_types").and_then(Value::as_array) else { return Ok(()) };
        match types.iter().find(|kind| kind.as_str() != Some(expected)) {
            Some(other) => Err(field("layer_types", format!("`{expected}` everywhere"), other)),
            None => Ok(()),
        }
    }

    /// transformers 4 writes `rope_theta` and `rope_scaling`; transformers 5 one object, `rope_parameters`.
    fn rope(&self) -> Result<Rope> {
        let nested = ["rope_parameters", "rope_scaling"].into_iter().find_map(|key| self.get(key));
        let empty = Map::new();
        let inner = Keys(nested.and_then(Value::as_object).unwrap_or(&empty));
        let theta = match inner.number("rope_theta")? {
            Some(theta) => theta,
            None => self.number("rope_theta")?.unwrap_or(10_000.0),
        };
        inner.refuse_unless("partial_rotary_factor", &["null", "1", "1.0"])?;
        let kind = inner.get("rope_type").or_else(|| inner.get("type"));
        let scaling = match kind.and_then(Value::as_str).unwrap_or("default") {
            // The dynamic kind stretches only rows beyond `n_ctx`, and those are refused.
            "default" | "dynamic" => RopeScaling::None,
            "linear" => RopeScaling::Linear { factor: inner.needed("factor")? },
            "llama3" => RopeScaling::Llama3 {
                factor: inner.needed("factor")?,
                low: inner.needed("low_freq_factor")?,
                high: inner.needed("high_freq_factor")?,
                original_n_ctx: inner.size("original_max_position_embeddings")?,
            },
            other => {
                return Err(Error::UnsupportedConfig { key: "rope_type".into(), value: other.into() });
            }
        };
        Ok(Rope { theta, scaling })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tiny() -> Value {
        json!({
            "model_type": "llama", "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2,
            "num_hidden_layers": 2, "intermediate_size": 64, "vocab_size": 96, "max_position_embeddings": 64,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "eos_token_id": [1, 2],
        })
    }

    fn check(change: &[(&str, Value)], expect: Result<impl Fn(&Config), &str>) {
        let mut value = tiny();
        for (key, new) in change {
            value[*key] = new.clone();
        }
        match (Config::from_json(&value), expect) {
            (Ok(config), Ok(test)) => test(&config),
            (Err(error), Err(text)) => {
                assert!(error.to_string().contains(text), "{error} does not say {text}");
            }
            (result, _) => panic!("{change:?} gave {result:?}"),
        }
    }

    const OK: Result<fn(&Config), &str> = Ok(|_| {});

    #[test]
    fn both_spellings_of_rope_scaling() {
        let old = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 32});
        let mut new = old.clone();
        new["rope_theta"] = json!(500_000.0);
        let want = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original_n_ctx: 32 };
        check(&[("rope_scaling", old)], Ok(|c: &Config| assert_eq!(c.rope.scaling, want)));
        check(
            &[("rope_parameters", new)],
            Ok(|c: &Config| assert_eq!(c.rope, Rope { theta: 500_000.0, scaling: want })),
        );
        check(&[("rope_scaling", json!({"type": "linear", "factor": 2}))], OK);
        check(&[("rope_scaling", json!({"type": "yarn", "factor": 2}))], Err::<fn(&Config), _>("yarn"));
        check(&[("rope_scaling", json!({"type": "linear"}))], Err::<fn(&Config), _>("`factor`"));
    }

    #[test]
    fn what_would_change_numbers_is_refused() {
        let refused = [
            ("model_type", json!("gpt7"), "known: `llama`, `mistral`"),
            ("attn_logit_softcapping", json!(50.0), "attn_logit_softcapping"),
            ("quantization_config", json!({"bits": 4}), "quantization_config"),
            ("hidden_act", json!("gelu"), "gelu"),
            ("num_key_value_heads", json!(3), "found `3`"),
            ("hidden_size", json!("wide"), "hidden_size"),
            ("vocab_size", json!(1_u64 << 40), "vocab_size"),
            ("num_attention_heads", json!(0), "positive"),
            ("intermediate_size", Value::Null, "intermediate_size"),
            ("layer_types", json!(["sliding_attention"]), "full_attention"),
        ];
        for (key, value, text) in refused {
            check(&[(key, value)], Err::<fn(&Config), _>(text));
        }
        check(&[("attn_logit_softcapping", Value::Null), ("pretraining_tp", json!(1))], OK);
    }

    #[test]
    fn mistral_has_a_window_and_llama_has_none() {
        let window = ("sliding_window", json!(8));
        check(std::slice::from_ref(&window), Ok(|c: &Config| assert_eq!(c.sliding_window, None)));
        let mistral = ("model_type", json!("mistral"));
        check(&[mistral, window], Ok(|c: &Config| assert_eq!(c.sliding_window, Some(8))));
        check(&[("head_dim", json!(16))], Ok(|c: &Config| assert_eq!(c.d_head, 16)));
        check(&[], Ok(|c: &Config| assert_eq!(c.eos, [1, 2])));
    }
}
