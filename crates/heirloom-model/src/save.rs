//! Students as Hugging Face folders that transformers and heirloom load.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use candle_core::DType;
use heirloom_record::{Hasher, NewFolder, sha256_hex, write_file};
use safetensors::SafeTensorError;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use crate::forward::Model;
use crate::layout::{Slot, Weight};
use crate::weights::HASHED;
use crate::{Config, Result, Student};

/// The weights' file.
pub(crate) const WEIGHTS: &str = "model.safetensors";

impl Student {
    /// Writes the model as a Hugging Face folder: `config.json`, `model.safetensors`, `generation_config.json`,
    /// and `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja` where it has words.
    ///
    /// An adapter is folded into the weights written; [`Student::save_adapter`] writes it alone.
    ///
    /// Determinism: the same student is the same bytes.
    ///
    /// Cost: holds the weights a second time while it writes them.
    ///
    /// # Errors
    /// Something that is not an empty folder stands at `folder`; it cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let new = NewFolder::create(folder)?;
        self.save_into(new.work_path())?;
        Ok(new.commit()?)
    }

    /// Writes the files of [`Student::save`] into a folder that is being made.
    pub(crate) fn save_into(&self, folder: &Path) -> Result<()> {
        let files = self.files(&self.model().merged()?)?;
        files.into_iter().try_for_each(|(name, bytes)| Ok(write_file(&folder.join(name), &bytes)?))
    }

    /// [`crate::Source::sha256`] of the folder that [`Student::save`] would write without an adapter.
    pub(crate) fn saved_sha256(&self) -> Result<String> {
        let files = self.files(self.bare())?;
        let mut hasher = Hasher::default();
        for name in HASHED.into_iter().chain([WEIGHTS]) {
            if let Some((_, bytes)) = files.iter().find(|(found, _)| *found == name) {
                hasher = hasher.part(name, sha256_hex(bytes));
            }
        }
        Ok(hasher.finish())
    }

    /// The files of `model` with the student's words.
    fn files(&self, model: &Model) -> Result<Vec<(&'static str, Vec<u8>)>> {
        let config = config_json(model.config(), &self.dtype_name(), self);
        let mut files = vec![("config.json", pretty(&config))];
        files.push(("generation_config.json", pretty(&generation_json(self))));
        if let Some(tokenizer) = self.words().tokenizer_json()? {
            files.push(("tokenizer.json", tokenizer.into_bytes()));
            let mut config = self.words().config.clone();
            if let Ok(template) = self.words().template() {
                let sources = template.sources();
                if sources.len() == 1 {
                    files.push(("chat_template.jinja", template.source().into()));
                } else {
                    let named =
                        sources.iter().map(|(name, source)| json!({"name": name, "template": source}));
                    config.insert("chat_template".into(), named.collect());
                }
            }
            files.push(("tokenizer_config.json", pretty(&Value::Object(config))));
        }
        files.push((WEIGHTS, weights_bytes(model.base_weights(), "")?));
        Ok(files)
    }

    fn dtype_name(&self) -> String {
        match self.dtype().candle() {
            DType::BF16 => "bfloat16",
            DType::F16 => "float16",
            _ => "float32",
        }
        .into()
    }
}

/// JSON for people, with a line break at its end.
pub(crate) fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// A token's id by the name that tokenizer configurations give it.
fn special_id(student: &Student, name: &str) -> Option<u32> {
    let token = student.words().config.get(name)?;
    student.words().token_id(token.as_str().or_else(|| token["content"].as_str())?)
}

/// The model's `config.json`, with its tokens.
fn config_json(c: &Config, dtype: &str, student: &Student) -> Value {
    let mut out = c.to_json();
    let mut set = |key: &str, value: Value| out.insert(key.into(), value);
    set("bos_token_id", json!(special_id(student, "bos_token")));
    set("eos_token_id", ids_json(student.stop_tokens()));
    set("pad_token_id", json!(special_id(student, "pad_token")));
    set("torch_dtype", dtype.into());
    Value::Object(out)
}

fn generation_json(student: &Student) -> Value {
    json!({
        "bos_token_id": special_id(student, "bos_token"),
        "eos_token_id": ids_json(student.stop_tokens()),
        "pad_token_id": special_id(student, "pad_token"),
    })
}

/// One id, a list of several, or null.
fn ids_json(ids: &[u32]) -> Value {
    match ids {
        [] => Value::Null,
        [id] => (*id).into(),
        ids => ids.into(),
    }
}

/// A safetensors file of the weights under `prefix` and their Hugging Face names; its one metadata key is
/// transformers'.
pub(crate) fn weights_bytes(weights: &[Weight], prefix: &str) -> Result<Vec<u8>> {
    let mut parts = weights.iter().map(parts).collect::<Result<Vec<_>>>()?.concat();
    for part in &mut parts {
        part.name.insert_str(0, prefix);
    }
    let fail = |source| heirloom_record::Error::SafeTensors { path: WEIGHTS.into(), source };
    let views = parts.iter().map(Part::view).collect::<Result<Vec<_>, _>>().map_err(fail)?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(safetensors::serialize(views, Some(metadata)).map_err(fail)?)
}

/// One Hugging Face weight as it stands in a file.
#[derive(Clone)]
struct Part {
    name: String,
    dtype: safetensors::Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Part {
    fn view(&self) -> Result<(&str, TensorView<'_>), SafeTensorError> {
        Ok((&self.name, TensorView::new(self.dtype, self.shape.clone(), &self.bytes)?))
    }
}

fn parts(weight: &Weight) -> Result<Vec<Part>> {
    fn cut<T: Copy, const N: usize>(
        slot: &Slot,
        values: &[T],
        dtype: safetensors::Dtype,
        bytes: fn(T) -> [u8; N],
    ) -> Vec<Part> {
        let part = |(name, shape, values): (&str, Vec<usize>, Cow<'_, [T]>)| Part {
            name: name.into(),
            dtype,
            shape,
            bytes: values.iter().flat_map(|x| bytes(*x)).collect(),
        };
        slot.split(values).map(part).collect()
    }
    use safetensors::Dtype;
    let (slot, flat) = (&weight.slot, weight.tensor.flatten_all()?);
    Ok(match flat.dtype() {
        DType::BF16 => cut(slot, &flat.to_vec1()?, Dtype::BF16, half::bf16::to_le_bytes),
        DType::F16 => cut(slot, &flat.to_vec1()?, Dtype::F16, half::f16::to_le_bytes),
        _ => cut(slot, &flat.to_vec1()?, Dtype::F32, f32::to_le_bytes),
    })
}
