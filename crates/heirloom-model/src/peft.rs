//! Adapters in the folder format of PEFT.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use heirloom_record::{NewFolder, write_file};
use serde_json::{Value, json};

use crate::layout::{Names, Order, Weight};
use crate::lora::Lora;
use crate::save::{pretty, weights_bytes};
use crate::weights::Checkpoint;
use crate::{Error, Result, Student};

const CONFIG: &str = "adapter_config.json";
pub(crate) const WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT writes before a model's own names.
pub(crate) const PREFIX: &str = "base_model.model.";

/// Settings that would change numbers, each with the values that mean "not used".
const NEUTRAL: [(&str, &[&str]); 16] = [
    ("alora_invocation_tokens", &["null"]),
    ("alpha_pattern", &["null", "{}"]),
    ("arrow_config", &["null"]),
    ("bias", &["null", "\"none\""]),
    ("kasa_config", &["null"]),
    ("layer_replication", &["null"]),
    ("lora_bias", &["null", "false"]),
    ("modules_to_save", &["null", "[]"]),
    ("monteclora_config", &["null"]),
    ("rank_pattern", &["null", "{}"]),
    ("target_parameters", &["null", "[]"]),
    ("trainable_token_indices", &["null"]),
    ("use_bdlora", &["null", "false"]),
    ("use_dora", &["null", "false"]),
    ("use_qalora", &["null", "false"]),
    ("use_rslora", &["null", "false"]),
];

/// What an adapter does to a model.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterReport {
    /// Its shape.
    pub lora: Lora,
    /// ‖ΔW‖ of every projection it changes, by the projection's path.
    pub norms: BTreeMap<String, f64>,
}

impl AdapterReport {
    /// ‖ΔW‖ of all projections together.
    pub fn norm(&self) -> f64 {
        self.norms.values().map(|norm| norm.powi(2)).sum::<f64>().sqrt()
    }
}

impl Student {
    /// Puts a PEFT adapter on the model: `adapter_config.json` and `adapter_model.safetensors` in `folder`.
    ///
    /// Its factors are kept in f32 and beside the weights, so a small change is not rounded away in bf16.
    ///
    /// # Errors
    /// A tensor of the file has no place in the model or another shape, a setting would change numbers in a way
    /// that heirloom does not compute, the model has an adapter already. An adapter that changes no weight is an
    /// error unless `may_be_nothing`.
    pub fn load_adapter(&mut self, folder: &Path, may_be_nothing: bool) -> Result<AdapterReport> {
        if self.model().lora().is_some() {
            return Err(Error::AdapterThere { model: self.name() });
        }
        let lora = read_config(&folder.join(CONFIG), self.is_transposed())?;
        let mut checkpoint = Checkpoint::of_file(&folder.join(WEIGHTS))?;
        let in_file = |path: &str| checkpoint.has(&format!("{PREFIX}{path}.lora_A.weight"));
        let mut weights = self.model().weights().to_vec();
        let slots = lora.slots(&weights, in_file);
        for slot in slots {
            let values = checkpoint.take_slot(&slot, PREFIX)?;
            let tensor = Tensor::from_vec(values, slot.shape(), &Device::Cpu)?;
            weights.push(Weight { tensor: tensor.to_device(&self.model().device)?, slot });
        }
        checkpoint.finish()?;
        let model = self.model().with(weights, Some(lora.clone()))?;
        let report = AdapterReport { lora, norms: model.adapter_norms()? };
        if report.norm() == 0.0 && !may_be_nothing {
            return Err(Error::AdapterIsNothing { path: folder.to_owned(), projections: report.norms.len() });
        }
        self.set_model(model);
        Ok(report)
    }

    /// What the model's adapter does to it; none where it has none.
    pub fn adapter(&self) -> Result<Option<AdapterReport>> {
        let Some(lora) = self.model().lora() else { return Ok(None) };
        Ok(Some(AdapterReport { lora: lora.clone(), norms: self.model().adapter_norms()? }))
    }

    /// SHA-256 over the adapter's shape and factors; none where the model has none. [`Student::sha256`] is that
    /// of the model without it.
    pub fn adapter_sha256(&self) -> Result<Option<String>> {
        let Some(lora) = self.model().lora() else { return Ok(None) };
        let factors = weights_bytes(self.model().adapter_weights(), PREFIX)?;
        let hasher = heirloom_record::Hasher::default().part("scale", lora.scale().to_le_bytes());
        Ok(Some(hasher.part("factors", factors).finish()))
    }

    /// Writes the adapter as PEFT does: `adapter_config.json` and `adapter_model.safetensors`.
    ///
    /// # Errors
    /// The model has no adapter; something that is not an empty folder stands at `folder`.
    pub fn save_adapter(&self, folder: &Path) -> Result<()> {
        let new = NewFolder::create(folder)?;
        self.save_adapter_into(new.work_path())?;
        Ok(new.commit()?)
    }

    /// Writes the files of [`Student::save_adapter`] into a folder that is being made.
    pub(crate) fn save_adapter_into(&self, folder: &Path) -> Result<()> {
        let Some(lora) = self.model().lora() else { return Err(Error::NoAdapter { model: self.name() }) };
        write_file(
            &folder.join(CONFIG),
            &pretty(&config_json(lora, &self.path_or_name(), self.is_transposed())),
        )?;
        let bytes = weights_bytes(self.model().adapter_weights(), PREFIX)?;
        Ok(write_file(&folder.join(WEIGHTS), &bytes)?)
    }

    /// Whether files keep the model's projections column by column.
    fn is_transposed(&self) -> bool {
        Names::of(self.config().family).order == Order::Columns
    }

    /// Folds the adapter into the weights, which are then in no file; nothing where there is none.
    pub fn merge_adapter(&mut self) -> Result<()> {
        if self.model().lora().is_some() {
            self.set_model(self.model().merged()?);
            self.weights_changed();
        }
        Ok(())
    }
}

/// Source: `LoraConfig` of PEFT 0.21.
fn config_json(lora: &Lora, base: &str, transposed: bool) -> Value {
    json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": lora.rank,
        "lora_alpha": number(lora.alpha),
        "lora_dropout": 0.0,
        "target_modules": lora.targets,
        "bias": "none",
        "fan_in_fan_out": transposed,
        "use_rslora": false,
        "use_dora": false,
        "init_lora_weights": true,
        "modules_to_save": null,
        "inference_mode": true,
    })
}

/// A whole number as PEFT writes it.
#[expect(clippy::cast_possible_truncation, reason = "only where the number is whole and small")]
fn number(x: f64) -> Value {
    if x.fract() == 0.0 && x.abs() < 1e15 { json!(x as i64) } else { json!(x) }
}

fn read_config(path: &Path, transposed: bool) -> Result<Lora> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.to_owned(), source })?;
    let unsupported = |key: &str| Error::AdapterSetting {
        path: path.to_owned(),
        key: key.into(),
        value: value[key].to_string(),
    };
    if value["peft_type"] != "LORA" {
        return Err(unsupported("peft_type"));
    }
    if let Some((key, _)) =
        NEUTRAL.iter().find(|(key, values)| !values.contains(&value[*key].to_string().as_str()))
    {
        return Err(unsupported(key));
    }
    // PEFT itself mends a missing one.
    if value["fan_in_fan_out"] == true && !transposed {
        return Err(unsupported("fan_in_fan_out"));
    }
    let rank = value["r"].as_u64().and_then(|rank| usize::try_from(rank).ok()).filter(|rank| *rank > 0);
    let (Some(rank), Some(alpha)) = (rank, value["lora_alpha"].as_f64()) else {
        return Err(unsupported(if rank.is_none() { "r" } else { "lora_alpha" }));
    };
    // Which projections are changed is read from the tensors; this list may be a pattern.
    let targets = match &value["target_modules"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).map(String::from).collect(),
        Value::String(pattern) => vec![pattern.clone()],
        _ => Vec::new(),
    };
    Ok(Lora { rank, alpha, targets })
}
