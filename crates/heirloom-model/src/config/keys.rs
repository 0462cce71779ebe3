//! Typed reads of a JSON object's keys.

use serde_json::{Map, Value};

use super::{Activation, Family, Wrapper, field};
use crate::{Error, Result};

/// A JSON object; null is absent.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Keys<'a> {
    pub(super) fn get(self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn model_type(self) -> &'a str {
        self.get("model_type").and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn family(self) -> Result<Family> {
        let found = self.model_type();
        let known = Family::ALL.into_iter().find(|(_, name)| *name == found);
        known.map(|(family, _)| family).ok_or_else(|| {
            let wrappers = Wrapper::ALL.into_iter().map(|(_, name)| name);
            let known = Family::ALL.into_iter().map(|(_, name)| name).chain(wrappers).collect();
            Error::UnknownFamily { found: found.into(), known }
        })
    }

    pub(super) fn refuse_unless(self, key: &str, neutral: &[&str]) -> Result<()> {
        match self.0.get(key).map(Value::to_string) {
            Some(value) if !neutral.contains(&value.as_str()) => {
                Err(Error::UnsupportedConfig { key: key.into(), value })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn size(self, key: &'static str) -> Result<usize> {
        self.optional_size(key)?.ok_or_else(|| Error::MissingConfig { key })
    }

    pub(super) fn optional_size(self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_u64().and_then(|size| usize::try_from(size).ok()) {
            Some(size) if size > 0 => Ok(Some(size)),
            _ => Err(field(key, "a positive whole number", value)),
        }
    }

    /// As [`Self::optional_size`], `default` where the key is absent; none where it is null.
    pub(super) fn size_or(self, key: &str, default: Option<usize>) -> Result<Option<usize>> {
        if self.0.contains_key(key) { self.optional_size(key) } else { Ok(default) }
    }

    /// A whole number, 0 too.
    pub(super) fn whole(self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
        size.map(Some).ok_or_else(|| field(key, "a whole number", value))
    }

    /// Whole numbers; none where the key is absent.
    pub(super) fn wholes(self, key: &str) -> Result<Vec<usize>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let one = |value: &Value| value.as_u64().and_then(|size| usize::try_from(size).ok());
        let all = value.as_array().and_then(|all| all.iter().map(one).collect());
        all.ok_or_else(|| field(key, "a list of whole numbers", value))
    }

    pub(super) fn number(self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if number.is_finite() && number > 0.0 => Ok(Some(number)),
            _ => Err(field(key, "a positive number", value)),
        }
    }

    /// As [`Self::number`], `default` where the key is absent; none where it is null.
    pub(super) fn number_or(self, key: &str, default: Option<f64>) -> Result<Option<f64>> {
        if self.0.contains_key(key) { self.number(key) } else { Ok(default) }
    }

    pub(super) fn needed(self, key: &'static str) -> Result<f64> {
        self.number(key)?.ok_or_else(|| Error::MissingConfig { key })
    }

    pub(super) fn flag(self, key: &str) -> Result<bool> {
        self.flag_or(key, false)
    }

    pub(super) fn flag_or(self, key: &str, default: bool) -> Result<bool> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_bool().ok_or_else(|| field(key, "true or false", value))
    }

    pub(super) fn ids(self, key: &str) -> Result<Vec<u32>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let ids = match value {
            Value::Array(values) => values.iter().map(id).collect(),
            one => id(one).map(|id| vec![id]),
        };
        ids.ok_or_else(|| field(key, "a token id or a list of them", value))
    }

    /// `n` positive numbers.
    pub(super) fn numbers(self, key: &'static str, n: usize) -> Result<Vec<f64>> {
        let value = self.get(key).ok_or(Error::MissingConfig { key })?;
        let number = |value: &Value| value.as_f64().filter(|number| number.is_finite() && *number > 0.0);
        let numbers: Option<Vec<f64>> = value.as_array().and_then(|all| all.iter().map(number).collect());
        numbers
            .filter(|numbers| numbers.len() == n)
            .ok_or_else(|| field(key, format!("{n} positive numbers"), value))
    }

    pub(super) fn activation(self, key: &str, default: Activation) -> Result<Activation> {
        let Some(value) = self.get(key) else { return Ok(default) };
        match value.as_str().unwrap_or_default() {
            "silu" | "swish" => Ok(Activation::Silu),
            "gelu" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            other => Err(Error::UnsupportedConfig { key: key.into(), value: other.into() }),
        }
    }

    /// Which blocks have a window by `layer_types`; by `otherwise` where the key is absent.
    pub(super) fn windowed(self, n_layers: usize, otherwise: impl Fn(usize) -> bool) -> Result<Vec<bool>> {
        self.kinds(n_layers, "sliding_attention", otherwise)
    }

    /// Which blocks are of `kind` by `layer_types`, the others having full attention; by `otherwise` where the key is absent.
    pub(super) fn kinds(
        self,
        n_layers: usize,
        kind: &str,
        otherwise: impl Fn(usize) -> bool,
    ) -> Result<Vec<bool>> {
        let Some(value) = self.get("layer_types") else { return Ok((0..n_layers).map(otherwise).collect()) };
        let types = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let is = |found: &Value| match found.as_str() {
            Some("full_attention") => Ok(false),
            Some(found) if found == kind => Ok(true),
            _ => Err(Error::UnsupportedConfig { key: "layer_types".into(), value: found.to_string() }),
        };
        if types.len() != n_layers {
            return Err(field("layer_types", format!("one for each of {n_layers} blocks"), value));
        }
        types.iter().map(is).collect()
    }
}
