//! Activation stores: what hooks captured, one row per data row or position.
//!
//! A store is a folder of safetensors shards, tensor name = hook point, `[rows, width]` f32, with
//! `rows.jsonl` beside them. Readable from Python with safetensors alone.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::Array2;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::{Error, HookPoint, NewFolder, Readout, Result, data, header, write_file};

const KIND: &str = "activations";
const FORMAT: u32 = 1;
/// A shard is closed before it grows past this many bytes of values.
const SHARD_BYTES: usize = 2 << 30;

/// How rows were grouped into batches. Two captures are comparable bit by bit only under the same plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchPlan {
    /// How rows were ordered before they were grouped, in words.
    pub order: String,
    /// Most tokens in one batch.
    pub max_tokens: usize,
    /// Number of batches.
    pub batches: usize,
}

/// Where a store's numbers come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivationHeader {
    /// The model's name: its folder or file.
    pub model: String,
    /// SHA-256 over the model's files.
    pub model_sha256: String,
    /// SHA-256 over the adapter's files, where one was bound.
    pub adapter_sha256: Option<String>,
    /// Blocks of the model.
    pub n_layers: usize,
    /// What the forward pass computed in: `f32`, `bf16` or `f16`.
    pub dtype: String,
    /// Which positions feed a row.
    pub readout: Readout,
    /// The date that templates saw, `YYYY-MM-DD`.
    pub clock: String,
    /// How rows were batched.
    pub batch_plan: BatchPlan,
}

/// What is known of one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivationRow {
    /// The data row's id; with readout `all`, followed by `@position`.
    pub id: String,
    /// The data row's group.
    pub group: Option<String>,
    /// The data row's contrast pair or scenario.
    pub pair: Option<String>,
    /// The data row's label.
    pub label: Option<bool>,
    /// First and one-past-last position read, counted in the row's own tokens.
    pub positions: (usize, usize),
    /// Tokens of the row.
    pub n_tokens: usize,
    /// SHA-256 over the row's token ids as little-endian u32.
    pub tokens_sha256: String,
}

/// Captured activations with their provenance.
#[derive(Clone, Debug, PartialEq)]
pub struct Activations {
    /// Where the numbers come from.
    pub header: ActivationHeader,
    /// One entry per row of every tensor.
    pub rows: Vec<ActivationRow>,
    /// `[rows, width]` per hook point.
    pub tensors: BTreeMap<HookPoint, Array2<f32>>,
}

#[derive(Serialize, Deserialize)]
struct Stamped {
    kind: String,
    format: u32,
    #[serde(flatten)]
    header: ActivationHeader,
}

impl Activations {
    /// Writes the store as the folder `path`, whole or not at all; the same store gives the same bytes.
    ///
    /// # Errors
    /// `path` is in use, a tensor has another number of rows than `rows`, or a value is not finite.
    pub fn write(&self, path: &Path) -> Result<()> {
        let folder = NewFolder::create(path)?;
        self.write_into(folder.work_path())?;
        folder.commit()
    }

    /// Writes the store's files into an existing folder.
    pub fn write_into(&self, folder: &Path) -> Result<()> {
        self.check(folder)?;
        let shards = self.shards();
        let stamped = Stamped { kind: KIND.into(), format: FORMAT, header: self.header.clone() };
        for (index, shard) in shards.iter().enumerate() {
            let path =
                folder.join(format!("activations-{:05}-of-{:05}.safetensors", index + 1, shards.len()));
            let standard: Vec<_> = shard.iter().map(|hook| self.tensors[hook].as_standard_layout()).collect();
            let named = shard.iter().zip(&standard).map(|(hook, tensor)| header::Tensor {
                name: hook.to_string(),
                shape: tensor.shape().to_vec(),
                data: tensor.as_slice().expect("standard layout is contiguous"),
            });
            write_file(&path, &header::to_bytes(&named.collect::<Vec<_>>(), &stamped, &path)?)?;
        }
        write_file(&folder.join("rows.jsonl"), data::rows_to_jsonl(&self.rows).as_bytes())
    }

    /// Reads every hook point of a store.
    ///
    /// # Errors
    /// Names the file and the tensor: not a store, another format version, another number of rows.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_where(path, |_| true)
    }

    /// Reads one hook point of a store.
    ///
    /// # Errors
    /// As [`Activations::read`]; the store lacks the hook point.
    pub fn read_hook(path: &Path, hook: HookPoint) -> Result<Self> {
        let store = Self::read_where(path, |found| found == hook)?;
        if store.tensors.contains_key(&hook) {
            Ok(store)
        } else {
            Err(Error::MissingHook { path: path.into(), hook: hook.to_string() })
        }
    }

    fn read_where(folder: &Path, wanted: impl Fn(HookPoint) -> bool) -> Result<Self> {
        let rows: Vec<(usize, ActivationRow)> = data::read_jsonl(&folder.join("rows.jsonl"))?;
        let rows: Vec<ActivationRow> = rows.into_iter().map(|(_, row)| row).collect();
        let mut header: Option<ActivationHeader> = None;
        let mut tensors = BTreeMap::new();
        for path in shard_paths(folder)? {
            let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
            let stamped: Stamped = header::read(&bytes, KIND, FORMAT, &path)?;
            header.get_or_insert(stamped.header);
            let file = SafeTensors::deserialize(&bytes)
                .map_err(|source| Error::SafeTensors { path: path.clone(), source })?;
            for name in file.names() {
                let hook: HookPoint = name.parse()?;
                if wanted(hook) {
                    let (shape, values) = header::f32_tensor(&file, name, &path)?;
                    tensors.insert(hook, matrix(&shape, values, rows.len(), name, &path)?);
                }
            }
        }
        let header = header.ok_or_else(|| Error::NoHeader { path: folder.into() })?;
        Ok(Self { header, rows, tensors })
    }

    fn check(&self, path: &Path) -> Result<()> {
        for (hook, tensor) in &self.tensors {
            if tensor.nrows() != self.rows.len() {
                return Err(Error::Tensor {
                    path: path.into(),
                    tensor: hook.to_string(),
                    expected: format!("{} rows", self.rows.len()),
                    found: format!("{} rows", tensor.nrows()),
                });
            }
            let bad = tensor.outer_iter().position(|row| row.iter().any(|value| !value.is_finite()));
            if let Some(row) = bad {
                return Err(Error::NotFinite { hook: hook.to_string(), row: self.rows[row].id.clone() });
            }
        }
        Ok(())
    }

    fn shards(&self) -> Vec<Vec<HookPoint>> {
        let mut shards: Vec<Vec<HookPoint>> = vec![vec![]];
        let mut filled = 0;
        for (hook, tensor) in &self.tensors {
            let bytes = tensor.len() * size_of::<f32>();
            if filled > 0 && filled + bytes > SHARD_BYTES {
                shards.push(vec![]);
                filled = 0;
            }
            filled += bytes;
            shards.last_mut().expect("starts with one").push(*hook);
        }
        shards
    }
}

fn shard_paths(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io("read", folder))?;
    let paths = entries.map(|entry| Ok(entry.map_err(Error::io("read", folder))?.path()));
    let mut paths = paths.collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    paths.sort();
    Ok(paths)
}

fn matrix(shape: &[usize], values: Vec<f32>, rows: usize, name: &str, path: &Path) -> Result<Array2<f32>> {
    let mismatch = |found: String| Error::Tensor {
        path: path.into(),
        tensor: name.into(),
        expected: format!("[{rows}, width]"),
        found,
    };
    match *shape {
        [found, width] if found == rows => Array2::from_shape_vec((rows, width), values)
            .map_err(|_| mismatch(format!("{shape:?} with another number of values"))),
        _ => Err(mismatch(format!("{shape:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::TensorView;

    use super::*;

    fn store() -> Activations {
        let row = |id: &str, label| ActivationRow {
            id: id.into(),
            group: Some("g".into()),
            pair: None,
            label: Some(label),
            positions: (2, 3),
            n_tokens: 3,
            tokens_sha256: crate::sha256_hex(b"ids"),
        };
        let tensor = |scale: f32| Array2::from_shape_fn((2, 3), |(i, j)| scale * (i as f32 - j as f32));
        Activations {
            header: ActivationHeader {
                model: "tiny".into(),
                model_sha256: "0".repeat(64),
                adapter_sha256: None,
                n_layers: 2,
                dtype: "f32".into(),
                readout: Readout::LastPrompt,
                clock: "2026-01-15".into(),
                batch_plan: BatchPlan { order: "length".into(), max_tokens: 64, batches: 1 },
            },
            rows: vec![row("a", true), row("b", false)],
            tensors: [(HookPoint::resid_post(0), tensor(1.0)), (HookPoint::resid_post(1), tensor(0.1))]
                .into(),
        }
    }

    #[test]
    fn a_store_reads_back_and_is_the_same_bytes_twice() {
        let scratch = tempfile::tempdir().unwrap();
        let (one, two) = (scratch.path().join("one"), scratch.path().join("two"));
        store().write(&one).unwrap();
        store().write(&two).unwrap();
        assert_eq!(Activations::read(&one).unwrap(), store());
        for entry in std::fs::read_dir(&one).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(
                std::fs::read(entry.path()).unwrap(),
                std::fs::read(two.join(entry.file_name())).unwrap()
            );
        }
        assert_eq!(Activations::read_hook(&one, HookPoint::resid_post(1)).unwrap().tensors.len(), 1);
        let missing = Activations::read_hook(&one, HookPoint::Embed).unwrap_err();
        assert!(missing.to_string().contains("`hook_embed`"), "{missing}");
    }

    #[test]
    fn a_value_that_is_not_finite_is_named_and_nothing_is_written() {
        let scratch = tempfile::tempdir().unwrap();
        let mut bad = store();
        bad.tensors.get_mut(&HookPoint::resid_post(1)).unwrap()[[1, 0]] = f32::NAN;
        let message = bad.write(&scratch.path().join("bad")).unwrap_err().to_string();
        assert_eq!(message, "`blocks.1.hook_resid_post` row `b` holds a value that is not finite");
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    #[test]
    fn truncated_and_foreign_files_are_named() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("store");
        store().write(&path).unwrap();
        let shard = shard_paths(&path).unwrap().remove(0);
        let bytes = std::fs::read(&shard).unwrap();
        write_file(&shard, &bytes[..bytes.len() - 4]).unwrap();
        assert!(matches!(Activations::read(&path), Err(Error::SafeTensors { .. })));
        let foreign = safetensors::serialize(Vec::<(&str, TensorView)>::new(), None).unwrap();
        write_file(&shard, &foreign).unwrap();
        assert!(matches!(Activations::read(&path), Err(Error::NoHeader { .. })));
    }
}
