//! Weights: which files a model is made of, where each tensor lies, and its numbers as f32.
//!
//! Every tensor of the files is taken by name and shape or [`Checkpoint::finish`] names it; every tensor the
//! model needs is there or [`Checkpoint::take`] names it. Headers are checked against the file's length before
//! anything is allocated, and one tensor at a time is read, so loading holds the model and one tensor.
//! Mapping files into memory would need `unsafe` and is not used.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::quantized::{GgmlDType, ggml_file::qtensor_from_ggml};
use heirloom_record::Hasher;
use safetensors::Dtype as StDtype;

use crate::gguf::{self, Gguf};
use crate::layout::{Inside, Names, Slot};
use crate::{Config, Error, Family, Result, RopeScaling, Wrapper};

mod llama_cpp;

use llama_cpp::{LlamaCpp, ROPE, gguf_config};

/// Buffers that old checkpoints carry and that are computed, not learned.
const COMPUTED: [&str; 7] = [
    "rotary_emb.inv_freq",
    ".self_attn.bias",
    ".self_attn.masked_bias",
    ".attn.bias",
    ".attn.masked_bias",
    ".attention.bias",
    ".attention.masked_bias",
];

/// Names the files of a model that has several.
const INDEX: &str = "model.safetensors.index.json";

/// Files of a folder that decide its words and sizes: hashed in this order, before the weights.
pub(crate) const HASHED: [&str; 4] =
    ["config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"];

/// The files of one model.
pub(crate) enum Files {
    /// A Hugging Face folder.
    Folder(PathBuf),
    /// A GGUF file.
    Gguf(Box<Gguf>),
}

impl Files {
    /// Finds out what `path` is.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let about = std::fs::metadata(path).map_err(Error::io(path))?;
        if about.is_file() {
            return Gguf::open(path).map(|gguf| Self::Gguf(Box::new(gguf)));
        }
        if path.join("config.json").is_file() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let ggufs = list(path, "gguf")?;
        match &ggufs[..] {
            [one] => Gguf::open(one).map(|gguf| Self::Gguf(Box::new(gguf))),
            _ => Err(Error::NoModel {
                path: path.to_owned(),
                expected: "a folder with `config.json`, a folder with one `.gguf` file, or such a file",
            }),
        }
    }

    /// The folder or file.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Folder(path) => path,
            Self::Gguf(gguf) => &gguf.path,
        }
    }

    /// What the model is.
    pub(crate) fn config(&self) -> Result<Config> {
        match self {
            Self::Folder(path) => Config::read(&path.join("config.json")),
            Self::Gguf(gguf) => gguf_config(gguf),
        }
    }

    /// SHA-256 over everything that decides the model's numbers and words.
    ///
    /// For a GGUF file it is the file's own, as `sha256sum` prints it; for a folder it is over the names and
    /// hashes of its configuration, weights, tokenizer and templates.
    pub(crate) fn hash(&self) -> Result<String> {
        let folder = match self {
            Self::Gguf(gguf) => return Ok(heirloom_record::sha256_file(&gguf.path)?),
            Self::Folder(folder) => folder,
        };
        let mut files: Vec<PathBuf> = HASHED.iter().map(|name| folder.join(name)).collect();
        files.retain(|file| file.is_file());
        files.extend(shards(folder)?);
        let mut hasher = Hasher::default();
        for file in files {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            hasher = hasher.part(&name, heirloom_record::sha256_file(&file)?);
        }
        Ok(hasher.finish())
    }

    /// The table of tensors.
    pub(crate) fn checkpoint(&self, config: &Config) -> Result<Checkpoint> {
        let mut checkpoint = Checkpoint::empty(self.path());
        match self {
            Self::Folder(folder) => {
                for shard in shards(folder)? {
                    checkpoint.add_safetensors(shard)?;
                }
                // Qwen's text models are published with the head that predicts further tokens, too.
                let also = (config.family == Family::Qwen35).then_some(Wrapper::Qwen35);
                if let Some(wrapper) = config.wrapper.or(also) {
                    checkpoint.look_inside(wrapper, "");
                }
                if checkpoint.inside.is_none() {
                    checkpoint.rename(Names::of(config.family));
                }
            }
            Self::Gguf(gguf) => {
                checkpoint.llama_cpp = Some(LlamaCpp::of(config));
                checkpoint.files.push(gguf.path.clone());
                // Read with the configuration.
                let stretched = matches!(config.rope.scaling, RopeScaling::Long { .. });
                checkpoint.entries = gguf
                    .tensors
                    .iter()
                    .filter(|(name, _)| !(stretched && ROPE.contains(&name.as_str())))
                    .map(|(name, info)| {
                        (
                            name.clone(),
                            Entry {
                                file: 0,
                                shape: info.shape.clone(),
                                kind: Kind::Ggml(info.dtype),
                                offset: info.offset,
                                n_bytes: info.n_bytes,
                            },
                        )
                    })
                    .collect();
            }
        }
        Ok(checkpoint)
    }
}

/// How a tensor's bytes are to be read.
#[derive(Clone, Copy, Debug)]
enum Kind {
    SafeTensors(StDtype),
    Ggml(GgmlDType),
}

#[derive(Debug)]
struct Entry {
    file: usize,
    shape: Vec<usize>,
    kind: Kind,
    offset: u64,
    n_bytes: usize,
}

/// The tensors not yet taken.
pub(crate) struct Checkpoint {
    path: PathBuf,
    files: Vec<PathBuf>,
    entries: BTreeMap<String, Entry>,
    /// When names, the order of rows and norms are llama.cpp's.
    llama_cpp: Option<LlamaCpp>,
    /// Where the text part stands, when the files are of a model of more.
    inside: Option<&'static Inside>,
    /// How many tensors were passed over of each part that is not read.
    pub(crate) not_read: BTreeMap<&'static str, usize>,
}

impl Checkpoint {
    /// The tensors of one safetensors file.
    pub(crate) fn of_file(path: &Path) -> Result<Self> {
        let mut checkpoint = Self::empty(path);
        checkpoint.add_safetensors(path.to_owned())?;
        Ok(checkpoint)
    }

    fn empty(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            files: Vec::new(),
            entries: BTreeMap::new(),
            llama_cpp: None,
            inside: None,
            not_read: BTreeMap::new(),
        }
    }

    /// Reads the text part, wherever in a model of more it stands, of tensors whose names have `prefix` before them, and
    /// passes over the parts that are known not to be text.
    pub(crate) fn look_inside(&mut self, wrapper: Wrapper, prefix: &str) {
        let begins =
            |name: &str, start: &str| name.strip_prefix(prefix).is_some_and(|name| name.starts_with(start));
        for (part, starts) in wrapper.unread() {
            let all = self.entries.len();
            self.entries.retain(|name, _| !starts.iter().any(|start| begins(name, start)));
            if self.entries.len() < all {
                self.not_read.insert(part, all - self.entries.len());
            }
        }
        self.inside = Inside::of(|start| self.entries.keys().any(|name| begins(name, start)));
    }

    /// What the files call a tensor whose name has `prefix` before it.
    fn stored(&self, prefix: &str, name: &str) -> String {
        match (self.llama_cpp, self.inside) {
            (Some(file), _) => file.name(name),
            (None, Some(inside)) => format!("{prefix}{}", inside.name(name)),
            (None, None) => format!("{prefix}{name}"),
        }
    }

    /// The numbers of the tensor with this Hugging Face name, row-major; it must have this shape.
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let mut values = Vec::new();
        self.take_into(&mut values, "", name, shape)?;
        Ok(values)
    }

    /// The numbers of a slot whose names have `prefix` before them, in our order.
    pub(crate) fn take_slot(&mut self, slot: &Slot, prefix: &str) -> Result<Vec<f32>> {
        let mut values = Vec::with_capacity(slot.shape().iter().product());
        for (name, rows) in &slot.parts {
            let start = values.len();
            self.take_into(&mut values, prefix, name, &slot.shape_in_file(*rows))?;
            slot.order.restore(&mut values[start..], slot.columns.unwrap_or(1));
        }
        Ok(values)
    }

    /// Gives tensors the names that [`Names`] has for them: bare models lack the prefix, and transformers has two
    /// names for GPT-NeoX's head.
    fn rename(&mut self, names: &Names) {
        let prefix = format!("{}.", names.prefix());
        let bare = names.embed.strip_prefix(&prefix).is_some_and(|embed| self.entries.contains_key(embed));
        let other_head = "lm_head.weight";
        let renamed = std::mem::take(&mut self.entries).into_iter().map(|(name, entry)| match () {
            () if name == other_head => (names.head.to_owned(), entry),
            () if bare && name != names.head => (format!("{prefix}{name}"), entry),
            () => (name, entry),
        });
        self.entries = renamed.collect();
    }

    /// As [`Self::take`], appended to `values`.
    fn take_into(&mut self, values: &mut Vec<f32>, prefix: &str, name: &str, shape: &[usize]) -> Result<()> {
        let stored = self.stored(prefix, name);
        let Some(entry) = self.entries.remove(&stored) else {
            let known = self.entries.keys().map(String::as_str);
            let near = heirloom_record::near(&stored, known);
            return Err(Error::MissingTensor { path: self.path.clone(), tensor: stored, near });
        };
        let path = self.files[entry.file].clone();
        if entry.shape != shape {
            let (expected, found) = (shape.to_vec(), entry.shape);
            return Err(Error::TensorShape { path, tensor: stored, expected, found });
        }
        let start = values.len();
        read(&path, &stored, &entry, values)?;
        let bad = values[start..].iter().position(|x| !x.is_finite());
        if let Some(index) = bad {
            let value = values[start + index];
            return Err(Error::WeightNotFinite { path, tensor: stored, index, value });
        }
        if let Some(file) = self.llama_cpp {
            file.restore(name, &mut values[start..], shape.get(1).copied().unwrap_or(1));
        }
        Ok(())
    }

    /// Whether a tensor of this Hugging Face name, with `prefix` before it, is there and not yet taken.
    pub(crate) fn has(&self, prefix: &str, name: &str) -> bool {
        self.entries.contains_key(&self.stored(prefix, name))
    }

    /// Every tensor with how many numbers it has.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (&str, usize)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry.shape.iter().product()))
    }

    /// What a module of a text model is called here.
    pub(crate) fn module(&self, path: &str) -> String {
        self.inside.map_or_else(|| path.to_owned(), |inside| inside.name(path))
    }

    /// The head as stored beside an embedding it is tied to must be that embedding.
    pub(crate) fn check_tied(&mut self, name: &str, shape: &[usize], embedding: &[f32]) -> Result<()> {
        if self.has("", name) && self.take(name, shape)? != embedding {
            return Err(Error::UntiedHead { path: self.path.clone(), tensor: name.into() });
        }
        Ok(())
    }

    /// Every tensor must have been taken, but for buffers that are computed.
    pub(crate) fn finish(self) -> Result<()> {
        let left = self.entries.into_keys().filter(|name| !COMPUTED.iter().any(|end| name.ends_with(end)));
        let tensors: Vec<String> = left.take(8).collect();
        if tensors.is_empty() { Ok(()) } else { Err(Error::UnboundTensors { path: self.path, tensors }) }
    }

    fn add_safetensors(&mut self, path: PathBuf) -> Result<()> {
        let mut file = File::open(&path).map_err(Error::io(&path))?;
        let len = file.metadata().map_err(Error::io(&path))?.len();
        let damaged = |problem| Error::Damaged { path: path.clone(), problem };
        if len < 8 {
            return Err(damaged(format!("expected at least 8 bytes, found {len}")));
        }
        let head = gguf::read_at(&mut file, &path, 0, 8)?;
        let n = head.iter().rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
        // The format's own limit on headers.
        let Some(n) = usize::try_from(n).ok().filter(|n| *n <= 100_000_000 && *n as u64 <= len - 8) else {
            return Err(damaged(format!("its header claims {n} bytes, the file has {len}")));
        };
        let header = gguf::read_at(&mut file, &path, 8, n)?;
        let metadata: safetensors::tensor::Metadata = serde_json::from_slice(&header)
            .map_err(|source| Error::SafeTensorsHeader { path: path.clone(), source })?;
        let data = 8 + n as u64;
        let need = data + metadata.data_len() as u64;
        if need != len {
            return Err(damaged(format!("its header describes {need} bytes, the file has {len}")));
        }
        let index = self.files.len();
        for (name, info) in metadata.tensors() {
            let (start, end) = info.data_offsets;
            let entry = Entry {
                file: index,
                shape: info.shape.clone(),
                kind: Kind::SafeTensors(info.dtype),
                offset: data + start as u64,
                n_bytes: end - start,
            };
            if let Some(other) = self.entries.insert(name.clone(), entry) {
                let first = self.files[other.file].clone();
                return Err(Error::DuplicateTensor { tensor: name, first, second: path });
            }
        }
        self.files.push(path);
        Ok(())
    }
}

/// Reads one tensor and appends it as f32.
fn read(path: &Path, name: &str, entry: &Entry, values: &mut Vec<f32>) -> Result<()> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let bytes = gguf::read_at(&mut file, path, entry.offset, entry.n_bytes)?;
    values.reserve_exact(entry.shape.iter().product());
    let wrong = |found: String| Error::TensorType { path: path.to_owned(), tensor: name.into(), found };
    match entry.kind {
        Kind::SafeTensors(StDtype::F32) => {
            values.extend(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)));
        }
        Kind::SafeTensors(StDtype::BF16) => {
            values.extend(bytes.as_chunks().0.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()));
        }
        Kind::SafeTensors(StDtype::F16) => {
            values.extend(bytes.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()));
        }
        Kind::SafeTensors(other) => return Err(wrong(format!("{other:?}"))),
        Kind::Ggml(dtype) => {
            let cpu = candle_core::Device::Cpu;
            let stored = qtensor_from_ggml(dtype, &bytes, entry.shape.clone(), &cpu)?;
            let dense = stored.dequantize(&cpu)?.flatten_all()?;
            values.extend(dense.to_dtype(candle_core::DType::F32)?.to_vec1::<f32>()?);
        }
    }
    Ok(())
}

/// All safetensors files of a folder, in the order of their names.
fn shards(folder: &Path) -> Result<Vec<PathBuf>> {
    let index = folder.join(INDEX);
    if index.is_file() {
        let bytes = std::fs::read(&index).map_err(Error::io(&index))?;
        let value: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: index.clone(), source })?;
        let map = value.get("weight_map").and_then(serde_json::Value::as_object);
        let names: std::collections::BTreeSet<&str> =
            map.into_iter().flat_map(|map| map.values()).filter_map(serde_json::Value::as_str).collect();
        // A name with a path in it would read files outside the folder.
        let plain = |name: &&str| !name.contains(['/', '\\']) && !name.is_empty();
        return match names.iter().find(|name| !plain(name)) {
            None if !names.is_empty() => Ok(names.into_iter().map(|name| folder.join(name)).collect()),
            Some(name) => {
                Err(Error::Damaged { path: index, problem: format!("`{name}` is not a file name") })
            }
            None => Err(Error::Damaged { path: index, problem: "its `weight_map` names no files".into() }),
        };
    }
    let single = folder.join(crate::save::WEIGHTS);
    if single.is_file() {
        return Ok(vec![single]);
    }
    Err(Error::NoModel {
        path: folder.to_owned(),
        expected: "`model.safetensors` or `model.safetensors.index.json` beside `config.json`",
    })
}

/// Whether a model's weights are in a folder, in any of the files that are read.
pub(crate) fn are_in(folder: &Path) -> bool {
    [INDEX, crate::save::WEIGHTS].iter().any(|name| folder.join(name).is_file())
        || list(folder, "gguf").is_ok_and(|found| !found.is_empty())
}

fn list(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
