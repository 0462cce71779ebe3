//! `adapter_config.json`: what of it changes numbers, read and written.

use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::{Value, json};

use crate::layout::Slot;
use crate::lora::{Lora, projections};
use crate::{Error, Result};

/// Settings that would change numbers, each with the values that change none.
const NEUTRAL: [(&str, &[&str]); 14] = [
    ("alora_invocation_tokens", &["null"]),
    ("arrow_config", &["null"]),
    ("bias", &["null", "\"none\""]),
    ("ensure_weight_tying", &["null", "false"]),
    // All others take something off the base's weights when PEFT loads them.
    ("init_lora_weights", &["null", "true", "false", "\"gaussian\"", "\"eva\"", "\"orthogonal\""]),
    ("kasa_config", &["null"]),
    ("layer_replication", &["null"]),
    ("lora_bias", &["null", "false"]),
    ("monteclora_config", &["null"]),
    ("target_parameters", &["null", "[]"]),
    ("trainable_token_indices", &["null"]),
    ("use_bdlora", &["null", "false"]),
    ("use_dora", &["null", "false"]),
    ("use_qalora", &["null", "false"]),
];

/// A configuration whose settings heirloom computes; patterns are not yet held against a model.
pub(super) struct Settings {
    path: PathBuf,
    /// The model it was trained on, where it says.
    pub(super) base: Option<String>,
    rank: usize,
    alpha: f64,
    rslora: bool,
    targets: Vec<String>,
    ranks: Vec<(Regex, usize)>,
    alphas: Vec<(Regex, f64)>,
    saved: Vec<String>,
}

impl Settings {
    /// The shape without what paths have of their own.
    pub(super) fn plain(&self) -> Lora {
        Lora {
            rank: self.rank,
            alpha: self.alpha,
            targets: self.targets.clone(),
            rslora: self.rslora,
            ..Lora::default()
        }
    }

    /// The shape on a model with these slots, whose modules the adapter calls by `call`.
    pub(super) fn lora(&self, base: &[Slot], call: impl Fn(&str) -> String) -> Result<Lora> {
        let mut lora = self.plain();
        for (path, _, _) in base.iter().flat_map(projections) {
            let called = call(path);
            if let Some(rank) = first(&self.ranks, &called) {
                lora.ranks.insert(path.into(), rank);
            }
            if let Some(alpha) = first(&self.alphas, &called) {
                lora.alphas.insert(path.into(), alpha);
            }
        }
        let names = || base.iter().flat_map(|slot| &slot.parts).map(|(name, _)| call(name));
        match self.saved.iter().find(|saved| !names().any(|name| module(&name).ends_with(saved.as_str()))) {
            Some(saved) => Err(refused(&self.path, "modules_to_save", &json!(saved))),
            None => Ok(lora),
        }
    }

    /// Whether the weight of this name comes with the adapter.
    ///
    /// Source: `_set_trainable` of PEFT 0.21: the module's path ends with one of the names.
    pub(super) fn saves(&self, name: &str) -> bool {
        self.saved.iter().any(|saved| module(name).ends_with(saved.as_str()))
    }
}

fn module(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(module, _)| module)
}

/// The value of the first pattern that a path matches.
fn first<T: Copy>(patterns: &[(Regex, T)], path: &str) -> Option<T> {
    patterns.iter().find(|(pattern, _)| pattern.is_match(path)).map(|(_, value)| *value)
}

fn refused(path: &Path, key: &str, value: &Value) -> Error {
    Error::AdapterSetting { path: path.to_owned(), key: key.into(), value: value.to_string() }
}

pub(super) fn read(path: &Path, transposed: bool) -> Result<Settings> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.to_owned(), source })?;
    let unsupported = |key: &str| refused(path, key, &value[key]);
    if value["peft_type"] != "LORA" {
        return Err(unsupported("peft_type"));
    }
    let set = |(key, values): &&(&str, &[&str])| !values.contains(&value[*key].to_string().as_str());
    if let Some((key, _)) = NEUTRAL.iter().find(set) {
        return Err(unsupported(key));
    }
    // PEFT itself mends a missing one.
    if value["fan_in_fan_out"] == true && !transposed {
        return Err(unsupported("fan_in_fan_out"));
    }
    let positive = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
    Ok(Settings {
        path: path.to_owned(),
        base: value["base_model_name_or_path"].as_str().filter(|base| !base.is_empty()).map(Into::into),
        rank: positive(&value["r"]).ok_or_else(|| unsupported("r"))?,
        alpha: value["lora_alpha"].as_f64().ok_or_else(|| unsupported("lora_alpha"))?,
        rslora: value["use_rslora"].as_bool().unwrap_or(false),
        // Which projections are changed is read from the tensors; this list may be a pattern.
        targets: match &value["target_modules"] {
            Value::String(pattern) => vec![pattern.clone()],
            names => texts(names),
        },
        ranks: patterns(path, "rank_pattern", &value, positive)?,
        alphas: patterns(path, "alpha_pattern", &value, Value::as_f64)?,
        saved: texts(&value["modules_to_save"]),
    })
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(String::from).collect()
}

/// Source: `get_pattern_key` of PEFT 0.21.
fn patterns<T>(
    path: &Path,
    key: &str,
    value: &Value,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<(Regex, T)>> {
    let one = |(pattern, value): (&String, &Value)| {
        let bad = || refused(path, key, &json!({ pattern: value }));
        let regex = Regex::new(&format!(r"^(?:.*\.)?(?:{pattern})$")).map_err(|_| bad())?;
        Ok((regex, read(value).ok_or_else(bad)?))
    };
    value[key].as_object().into_iter().flatten().map(one).collect()
}

/// Modules are written by the names that `call` gives them.
///
/// Source: `LoraConfig` of PEFT 0.21.
pub(super) fn json(lora: &Lora, base: &str, transposed: bool, call: impl Fn(&str) -> String) -> Value {
    let alphas: serde_json::Map<_, _> =
        lora.alphas.iter().map(|(path, alpha)| (call(path), number(*alpha))).collect();
    let ranks: serde_json::Map<_, _> =
        lora.ranks.iter().map(|(path, rank)| (call(path), json!(rank))).collect();
    let mut saved: Vec<String> = lora.replaced.iter().map(|name| call(module(name))).collect();
    saved.dedup();
    json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": lora.rank,
        "lora_alpha": number(lora.alpha),
        "rank_pattern": ranks,
        "alpha_pattern": alphas,
        "lora_dropout": 0.0,
        "target_modules": lora.targets,
        "bias": "none",
        "fan_in_fan_out": transposed,
        "use_rslora": lora.rslora,
        "use_dora": false,
        "init_lora_weights": true,
        "modules_to_save": if saved.is_empty() { Value::Null } else { json!(saved) },
        "inference_mode": true,
    })
}

/// A whole number as PEFT writes it.
#[expect(clippy::cast_possible_truncation, reason = "only where the number is whole and small")]
fn number(x: f64) -> Value {
    if x.fract() == 0.0 && x.abs() < 1e15 { json!(x as i64) } else { json!(x) }
}
