//! Rotary position embedding: what `config.json` says about it in its several spellings.

use serde_json::{Map, Value, json};

use super::keys::Keys;
use super::{Family, field};
use crate::{Error, Result};

/// How rotary frequencies are stretched beyond the context a model was first trained on.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Frequencies as they are.
    None,
    /// Every frequency divided by `factor`.
    Linear {
        /// How much longer the context becomes.
        factor: f64,
    },
    /// Frequencies as they are up to `n_ctx`; longer rows, which it stretches, are refused.
    Dynamic {
        /// How much longer the context would become.
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
    /// Low frequencies divided by `factor`, high ones kept, a ramp over their indices between.
    Yarn(Yarn),
    /// Every frequency divided by a number of its own (Phi). Rows up to the context before stretching, which is
    /// `n_ctx` here, take `short`; longer ones would take `long` and are refused.
    Long {
        /// Divisors of rows up to the context before stretching.
        short: Vec<f64>,
        /// Divisors of longer rows.
        long: Vec<f64>,
        /// What rotated queries and keys are multiplied by.
        attention_factor: f64,
        /// The context after stretching, in tokens.
        stretched_n_ctx: usize,
    },
}

/// Source: arXiv 2309.00071.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yarn {
    /// How much longer the context becomes.
    pub factor: f64,
    /// What rotated queries and keys are multiplied by.
    pub attention_factor: f64,
    /// Pairs that turn more often than this in the context before stretching are kept.
    pub beta_fast: f64,
    /// Pairs that turn less often are stretched in full.
    pub beta_slow: f64,
    /// The context before stretching, in tokens.
    pub original_n_ctx: usize,
    /// The ramp begins and ends at whole indices.
    pub truncate: bool,
}

/// Rotary position embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Base of the geometric series of wavelengths.
    pub theta: f64,
    /// Stretching of the wavelengths.
    pub scaling: RopeScaling,
}

/// All about positions.
pub(super) struct Positions {
    pub(super) rope: Rope,
    pub(super) local: Option<Rope>,
    pub(super) d_rotary: usize,
    /// Longest row, in tokens.
    pub(super) n_ctx: usize,
}

/// Keys of a rotary object, whatever its kind.
const KNOWN: [&str; 18] = [
    // Sections of images' positions: text has the same number in all of them.
    "mrope_section",
    "mrope_interleaved",
    "rope_type",
    "type",
    "rope_theta",
    "partial_rotary_factor",
    "factor",
    "original_max_position_embeddings",
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "short_factor",
    "long_factor",
    "low_freq_factor",
    "high_freq_factor",
    "mscale",
    "mscale_all_dim",
    "truncate",
];

/// transformers 4 writes `rope_theta` and `rope_scaling`; transformers 5 one object, `rope_parameters`, which holds one
/// for each kind of block where they differ.
///
/// Source: `modeling_rope_utils.py` of transformers 5.23, and the configuration classes of Gemma 3, Olmo 3 and Phi 3.
pub(super) fn read(keys: Keys<'_>, family: Family, d_head: usize) -> Result<Positions> {
    let empty = Map::new();
    let object = |keys: Keys<'_>, key: &str| keys.get(key).and_then(Value::as_object).cloned();
    let nested = object(keys, "rope_parameters").or_else(|| object(keys, "rope_scaling")).unwrap_or_default();
    let of = |kind: &str| object(Keys(&nested), kind);
    let by_kind = matches!(family, Family::Gemma3 | Family::Olmo3);
    let (full, local) = match (of("full_attention"), of("sliding_attention")) {
        (None, None) => (nested.clone(), empty.clone()),
        (full, local) if by_kind => (full.unwrap_or_default(), local.unwrap_or_default()),
        _ => return Err(unsupported("rope_parameters", &Value::Object(nested))),
    };
    let share = share(keys, family, Keys(&full))?;
    // Rounded down, as transformers does.
    #[expect(clippy::cast_sign_loss, reason = "the share is positive")]
    let d_rotary = (d_head as f64 * share) as usize;
    let n_ctx = keys.size("max_position_embeddings")?;
    let theta_key = if family == Family::GptNeoX { "rotary_emb_base" } else { "rope_theta" };
    let theta = keys.number(theta_key)?.unwrap_or(family.defaults().theta);
    let scope = Scope { keys, family, n_ctx, d_rotary };
    let rope = scope.rope(Keys(&full), theta)?;
    let local_theta = match family {
        Family::Gemma3 => keys.number("rope_local_base_freq")?.unwrap_or(10_000.0),
        _ => theta,
    };
    let local = scope.rope(Keys(&local), local_theta)?;
    let n_ctx = match rope.scaling {
        RopeScaling::Long { .. } => scope.original_n_ctx(Keys(&full))?.min(n_ctx),
        _ => n_ctx,
    };
    let local = Some(local).filter(|local| by_kind && *local != rope);
    Ok(Positions { rope, local, d_rotary, n_ctx })
}

/// The share of a head's coordinates that is rotated.
fn share(keys: Keys<'_>, family: Family, inner: Keys<'_>) -> Result<f64> {
    let (key, default) = match family {
        Family::GptNeoX => ("rotary_pct", 0.25),
        Family::Qwen35 => ("partial_rotary_factor", 0.25),
        _ => ("partial_rotary_factor", 1.0),
    };
    if !matches!(family, Family::GptNeoX | Family::Phi3 | Family::Qwen35) {
        inner.refuse_unless("partial_rotary_factor", &["null", "1", "1.0"])?;
        return Ok(1.0);
    }
    let share = match inner.number("partial_rotary_factor")? {
        Some(share) => share,
        None => keys.number(key)?.unwrap_or(default),
    };
    if share <= 1.0 { Ok(share) } else { Err(field(key, "at most 1", &share)) }
}

/// What a rotary object is read against.
struct Scope<'a> {
    keys: Keys<'a>,
    family: Family,
    n_ctx: usize,
    d_rotary: usize,
}

impl Scope<'_> {
    fn rope(&self, inner: Keys<'_>, theta: f64) -> Result<Rope> {
        if let Some((key, value)) = inner.0.iter().find(|(key, _)| !KNOWN.contains(&key.as_str())) {
            return Err(unsupported(key, value));
        }
        let theta = inner.number("rope_theta")?.unwrap_or(theta);
        let kind = inner.get("rope_type").or_else(|| inner.get("type")).and_then(Value::as_str);
        let kind = match kind.unwrap_or("default") {
            "su" | "yarn" if self.family == Family::Phi3 => "longrope",
            kind => kind,
        };
        let scaling = match kind {
            "default" => RopeScaling::None,
            "dynamic" => RopeScaling::Dynamic { factor: inner.needed("factor")? },
            "linear" => RopeScaling::Linear { factor: inner.needed("factor")? },
            "llama3" => RopeScaling::Llama3 {
                factor: inner.needed("factor")?,
                low: inner.needed("low_freq_factor")?,
                high: inner.needed("high_freq_factor")?,
                original_n_ctx: self.original_n_ctx(inner)?,
            },
            "yarn" => RopeScaling::Yarn(self.yarn(inner)?),
            "longrope" => self.long(inner)?,
            other => return Err(unsupported("rope_type", &other.into())),
        };
        Ok(Rope { theta, scaling })
    }

    /// The context before stretching: the outer key comes first, as in transformers.
    fn original_n_ctx(&self, inner: Keys<'_>) -> Result<usize> {
        let key = "original_max_position_embeddings";
        let outer = self.keys.optional_size(key)?;
        // Phi's class has one of its own where the file has none.
        let outer = outer.or((self.family == Family::Phi3).then_some(4096));
        Ok(outer.or(inner.optional_size(key)?).unwrap_or(self.n_ctx))
    }

    fn factor(&self, inner: Keys<'_>) -> Result<f64> {
        let ratio = self.n_ctx as f64 / self.original_n_ctx(inner)? as f64;
        Ok(inner.number("factor")?.unwrap_or(ratio))
    }

    fn yarn(&self, inner: Keys<'_>) -> Result<Yarn> {
        let factor = self.factor(inner)?;
        let scale = |mscale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 };
        let attention_factor = match (
            inner.number("attention_factor")?,
            inner.number("mscale")?,
            inner.number("mscale_all_dim")?,
        ) {
            (Some(given), ..) => given,
            (None, Some(mscale), Some(all)) => scale(mscale) / scale(all),
            _ => scale(1.0),
        };
        Ok(Yarn {
            factor,
            attention_factor,
            beta_fast: inner.number("beta_fast")?.unwrap_or(32.0),
            beta_slow: inner.number("beta_slow")?.unwrap_or(1.0),
            original_n_ctx: self.original_n_ctx(inner)?,
            truncate: inner.flag_or("truncate", true)?,
        })
    }

    fn long(&self, inner: Keys<'_>) -> Result<RopeScaling> {
        let (factor, original) = (self.factor(inner)?, self.original_n_ctx(inner)? as f64);
        let attention_factor = match inner.number("attention_factor")? {
            Some(given) => given,
            None if factor <= 1.0 => 1.0,
            None => (1.0 + factor.ln() / original.ln()).sqrt(),
        };
        Ok(RopeScaling::Long {
            short: inner.numbers("short_factor", self.d_rotary / 2)?,
            long: inner.numbers("long_factor", self.d_rotary / 2)?,
            attention_factor,
            stretched_n_ctx: self.n_ctx,
        })
    }
}

fn unsupported(key: &str, value: &Value) -> Error {
    let value = value.as_str().map_or_else(|| value.to_string(), Into::into);
    Error::UnsupportedConfig { key: key.into(), value }
}

/// `rope_scaling` of a rotary embedding whose context before stretching is `n_ctx` where it does not say.
pub(super) fn scaling_json(scaling: &RopeScaling, n_ctx: usize) -> Value {
    match scaling {
        RopeScaling::None => Value::Null,
        RopeScaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
        RopeScaling::Dynamic { factor } => json!({"rope_type": "dynamic", "factor": factor}),
        RopeScaling::Llama3 { factor, low, high, original_n_ctx } => json!({
            "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
            "original_max_position_embeddings": original_n_ctx,
        }),
        RopeScaling::Yarn(yarn) => json!({
            "rope_type": "yarn", "factor": yarn.factor, "attention_factor": yarn.attention_factor,
            "beta_fast": yarn.beta_fast, "beta_slow": yarn.beta_slow, "truncate": yarn.truncate,
            "original_max_position_embeddings": yarn.original_n_ctx,
        }),
        RopeScaling::Long { short, long, attention_factor, .. } => json!({
            "rope_type": "longrope", "short_factor": short, "long_factor": long,
            "attention_factor": attention_factor, "original_max_position_embeddings": n_ctx,
        }),
    }
}
