//! Activation stores: what hooks captured, one row per data row or position.
//!
//! A store is a folder of safetensors shards, tensor name = hook point, `[rows, width]` f32, with
//! `rows.jsonl` beside them. Readable from Python with safetensors alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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

/// What a store holds, read without its tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreSummary {
    /// Where the numbers come from.
    pub header: ActivationHeader,
    /// One entry per row of every tensor.
    pub rows: Vec<ActivationRow>,
    /// `[rows, width]` per hook point.
    pub shapes: BTreeMap<HookPoint, Vec<usize>>,
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
            let path = folder.join(shard_name(index + 1, shards.len()));
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

    /// Reads what a store holds, but none of its tensors.
    ///
    /// # Errors
    /// As [`Activations::read`].
    ///
    /// # Cost
    /// The rows and a few kilobytes a shard, however large the store.
    pub fn describe(path: &Path) -> Result<StoreSummary> {
        let rows = read_rows(path)?;
        let mut shapes = BTreeMap::new();
        let mut seen = Seen::default();
        for path in shards(path)? {
            let (stamped, metadata): (Stamped, _) = header::peek(KIND, FORMAT, &path)?;
            seen.header(&stamped.header, &path)?;
            for (name, tensor) in metadata.tensors() {
                let hook = seen.hook(&name, &path)?;
                header::check_f32(tensor.dtype, &name, &path)?;
                check_shape(&tensor.shape, rows.len(), &name, &path)?;
                shapes.insert(hook, tensor.shape.clone());
            }
        }
        Ok(StoreSummary { header: seen.finish(path)?, rows, shapes })
    }

    fn read_where(folder: &Path, wanted: impl Fn(HookPoint) -> bool) -> Result<Self> {
        let rows = read_rows(folder)?;
        let mut tensors = BTreeMap::new();
        let mut seen = Seen::default();
        for path in shards(folder)? {
            let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
            let stamped: Stamped = header::read(&bytes, KIND, FORMAT, &path)?;
            seen.header(&stamped.header, &path)?;
            let file = SafeTensors::deserialize(&bytes)
                .map_err(|source| Error::SafeTensors { path: path.clone(), source })?;
            for name in file.names() {
                let hook = seen.hook(name, &path)?;
                if wanted(hook) {
                    let (shape, values) = header::f32_tensor(&file, name, &path)?;
                    tensors.insert(hook, matrix(&shape, values, rows.len(), name, &path)?);
                }
            }
        }
        Ok(Self { header: seen.finish(folder)?, rows, tensors })
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

/// What the shards of one store have in common: a header, and no tensor.
#[derive(Default)]
struct Seen {
    header: Option<(ActivationHeader, PathBuf)>,
    hooks: BTreeMap<HookPoint, PathBuf>,
}

impl Seen {
    fn header(&mut self, header: &ActivationHeader, path: &Path) -> Result<()> {
        let (first, at) = self.header.get_or_insert_with(|| (header.clone(), path.to_owned()));
        if first == header {
            return Ok(());
        }
        Err(Error::ForeignShard { path: path.into(), first: at.clone() })
    }

    fn hook(&mut self, name: &str, path: &Path) -> Result<HookPoint> {
        let hook: HookPoint = name
            .parse()
            .map_err(|source| Error::TensorName { path: path.into(), source: Box::new(source) })?;
        match self.hooks.insert(hook, path.to_owned()) {
            None => Ok(hook),
            Some(first) => Err(Error::RepeatedTensor { path: path.into(), tensor: name.into(), first }),
        }
    }

    fn finish(self, folder: &Path) -> Result<ActivationHeader> {
        self.header.map(|(header, _)| header).ok_or_else(|| Error::NoHeader { path: folder.into() })
    }
}

fn read_rows(folder: &Path) -> Result<Vec<ActivationRow>> {
    let rows: Vec<(usize, ActivationRow)> = data::read_jsonl(&folder.join("rows.jsonl"))?;
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

fn shard_name(index: usize, of: usize) -> String {
    format!("activations-{index:05}-of-{of:05}.safetensors")
}

/// The `index` and `of` of a shard's name.
fn shard_number(name: &str) -> Option<(usize, usize)> {
    let (index, of) = name.strip_prefix("activations-")?.strip_suffix(".safetensors")?.split_once("-of-")?;
    let (index, of) = (index.parse().ok()?, of.parse().ok()?);
    (shard_name(index, of) == name && (1..=of).contains(&index)).then_some((index, of))
}

/// The shards of a store in order, all of them; files of other names are let be.
fn shards(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let name = entry.map_err(Error::io("read", folder))?.file_name();
        found.extend(name.to_str().and_then(shard_number));
    }
    found.sort_unstable();
    let path = |(index, of)| folder.join(shard_name(index, of));
    let Some(&(first, of)) = found.first() else { return Ok(vec![]) };
    if let Some(&other) = found.iter().find(|(_, other)| *other != of) {
        return Err(Error::ForeignShard { path: path(other), first: path((first, of)) });
    }
    for index in 1..=of {
        if found.get(index - 1) != Some(&(index, of)) {
            return Err(Error::MissingShard { path: folder.into(), shard: shard_name(index, of) });
        }
    }
    Ok(found.into_iter().map(path).collect())
}

fn check_shape(shape: &[usize], rows: usize, name: &str, path: &Path) -> Result<()> {
    match *shape {
        [found, _] if found == rows => Ok(()),
        _ => Err(Error::Tensor {
            path: path.into(),
            tensor: name.into(),
            expected: format!("[{rows}, width]"),
            found: format!("{shape:?}"),
        }),
    }
}

fn matrix(shape: &[usize], values: Vec<f32>, rows: usize, name: &str, path: &Path) -> Result<Array2<f32>> {
    check_shape(shape, rows, name, path)?;
    Array2::from_shape_vec((rows, shape[1]), values).map_err(|_| Error::Tensor {
        path: path.into(),
        tensor: name.into(),
        expected: format!("{} values", rows * shape[1]),
        found: "another number".into(),
    })
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
        let shard = shards(&path).unwrap().remove(0);
        let bytes = std::fs::read(&shard).unwrap();
        write_file(&shard, &bytes[..bytes.len() - 4]).unwrap();
        assert!(matches!(Activations::read(&path), Err(Error::SafeTensors { .. })));
        let foreign = safetensors::serialize(Vec::<(&str, TensorView)>::new(), None).unwrap();
        write_file(&shard, &foreign).unwrap();
        assert!(matches!(Activations::read(&path), Err(Error::NoHeader { .. })));
    }

    fn copy(from: &Path, to: &Path) {
        write_file(to, &std::fs::read(from).unwrap()).unwrap();
    }

    /// A store of two shards, one hook point each.
    fn two_shards(path: &Path) -> [PathBuf; 2] {
        let whole = store();
        for (index, (hook, tensor)) in whole.tensors.clone().into_iter().enumerate() {
            let part = Activations { tensors: [(hook, tensor)].into(), ..whole.clone() };
            let scratch = tempfile::tempdir().unwrap();
            part.write(scratch.path()).unwrap();
            copy(&scratch.path().join(shard_name(1, 1)), &path.join(shard_name(index + 1, 2)));
            write_file(&path.join("rows.jsonl"), data::rows_to_jsonl(&whole.rows).as_bytes()).unwrap();
        }
        [1, 2].map(|index| path.join(shard_name(index, 2)))
    }

    #[test]
    fn shards_are_one_store_only_when_all_are_there_and_belong_together() {
        type Spoil = fn(&[PathBuf; 2]);
        let table: [(Spoil, &str); 7] = [
            (|[_, b]| std::fs::remove_file(b).unwrap(), "lacks the shard `activations-00002-of-00002"),
            (|[a, _]| std::fs::remove_file(a).unwrap(), "lacks the shard `activations-00001-of-00002"),
            (|[a, b]| copy(a, b), "00002-of-00002.safetensors` tensor `blocks.0."),
            (|[a, _]| copy(a, &a.with_file_name(shard_name(1, 1))), "are shards of different stores"),
            (
                |[_, b]| {
                    let mut other = store();
                    other.header.model = "other".into();
                    other.tensors.remove(&HookPoint::resid_post(0));
                    let scratch = b.with_file_name("other");
                    other.write(&scratch).unwrap();
                    copy(&scratch.join(shard_name(1, 1)), b);
                },
                "are shards of different stores",
            ),
            (
                |[_, b]| {
                    let mut bytes = std::fs::read(b).unwrap();
                    let at = bytes.windows(11).position(|part| part == b"_resid_post").unwrap();
                    bytes[at + 10] = b'x';
                    write_file(b, &bytes).unwrap();
                },
                "is not named after a hook point",
            ),
            (
                |[a, _]| write_file(&a.with_file_name("rows.jsonl"), b"").unwrap(),
                "expected [0, width], found [2, 3]",
            ),
        ];
        for (spoil, expected) in table {
            let scratch = tempfile::tempdir().unwrap();
            let path = scratch.path().join("store");
            let shards = two_shards(&path);
            assert_eq!(Activations::read(&path).unwrap(), store());
            spoil(&shards);
            let errors = [Activations::read(&path).unwrap_err(), Activations::describe(&path).unwrap_err()];
            for error in errors {
                assert!(error.to_string().contains(expected), "{expected}: {error}");
            }
        }
    }

    #[test]
    fn a_store_is_described_without_its_tensors() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("store");
        let [first, _] = two_shards(&path);
        write_file(&path.join("notes.safetensors"), b"not a shard").unwrap();
        let said = Activations::describe(&path).unwrap();
        let read = Activations::read(&path).unwrap();
        assert_eq!((&said.header, &said.rows), (&read.header, &read.rows));
        let shapes = read.tensors.iter().map(|(hook, tensor)| (*hook, tensor.shape().to_vec()));
        assert_eq!(said.shapes, shapes.collect());
        // Twin: the numbers are not looked at, but a file cut short is.
        let mut bytes = std::fs::read(&first).unwrap();
        let end = bytes.len() - 1;
        bytes[end] ^= 0x7f;
        write_file(&first, &bytes).unwrap();
        assert_eq!(Activations::describe(&path).unwrap(), said);
        for cut in [end, 100, 4] {
            write_file(&first, &bytes[..cut]).unwrap();
            assert!(matches!(Activations::describe(&path), Err(Error::SafeTensors { .. })), "{cut}");
        }
    }
}
