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

use crate::config::{Activation, BlockKind, Family, NormPlaces, Normalization, Rope, RopeScaling};
use crate::gguf::{self, Gguf, Value};
use crate::layout::{Names, Slot};
use crate::{Config, Error, Result};

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
        let mut checkpoint = Checkpoint {
            path: self.path().to_owned(),
            files: Vec::new(),
            entries: BTreeMap::new(),
            gguf_heads: None,
        };
        match self {
            Self::Folder(folder) => {
                for shard in shards(folder)? {
                    checkpoint.add_safetensors(shard)?;
                }
                checkpoint.rename(Names::of(config.family));
            }
            Self::Gguf(gguf) => {
                checkpoint.gguf_heads = Some((config.n_heads, config.n_kv_heads));
                checkpoint.files.push(gguf.path.clone());
                checkpoint.entries = gguf
                    .tensors
                    .iter()
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
    /// Query and key heads, when names and row order are llama.cpp's.
    gguf_heads: Option<(usize, usize)>,
}

impl Checkpoint {
    /// The tensors of one safetensors file.
    pub(crate) fn of_file(path: &Path) -> Result<Self> {
        let (files, entries) = (Vec::new(), BTreeMap::new());
        let mut checkpoint = Self { path: path.to_owned(), files, entries, gguf_heads: None };
        checkpoint.add_safetensors(path.to_owned())?;
        Ok(checkpoint)
    }

    /// The numbers of the tensor with this Hugging Face name, row-major; it must have this shape.
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let mut values = Vec::new();
        self.take_into(&mut values, name, shape)?;
        Ok(values)
    }

    /// The numbers of a slot whose names have `prefix` before them, in our order.
    pub(crate) fn take_slot(&mut self, slot: &Slot, prefix: &str) -> Result<Vec<f32>> {
        let mut values = Vec::with_capacity(slot.shape().iter().product());
        for (name, rows) in &slot.parts {
            let start = values.len();
            self.take_into(&mut values, &format!("{prefix}{name}"), &slot.shape_in_file(*rows))?;
            slot.order.from_file(&mut values[start..], slot.columns.unwrap_or(1));
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
    fn take_into(&mut self, values: &mut Vec<f32>, name: &str, shape: &[usize]) -> Result<()> {
        let stored = if self.gguf_heads.is_some() { gguf_name(name) } else { name.to_owned() };
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
        if let Some((n_heads, n_kv_heads)) = self.gguf_heads {
            let width = shape.get(1).copied().unwrap_or(1);
            if name.contains("q_proj") {
                unpermute(&mut values[start..], n_heads, width);
            } else if name.contains("k_proj") {
                unpermute(&mut values[start..], n_kv_heads, width);
            }
        }
        Ok(())
    }

    /// Whether a tensor of this Hugging Face name is there and not yet taken.
    pub(crate) fn has(&self, name: &str) -> bool {
        let stored = if self.gguf_heads.is_some() { gguf_name(name) } else { name.to_owned() };
        self.entries.contains_key(&stored)
    }

    /// The head as stored beside an embedding it is tied to must be that embedding.
    pub(crate) fn check_tied(&mut self, name: &str, shape: &[usize], embedding: &[f32]) -> Result<()> {
        if self.has(name) && self.take(name, shape)? != embedding {
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

/// Undoes llama.cpp's interleaving of the two rotary halves of every head's rows.
///
/// Shapes: `values` is `[n_heads · d_head, width]`, row-major. Row `(h, j, s)` of the file is row `(h, s, j)`
/// here, with `j < d_head / 2` and `s < 2`.
///
/// Source: `LlamaModel.permute` of llama.cpp's `convert_hf_to_gguf.py`, inverted.
fn unpermute(values: &mut [f32], n_heads: usize, width: usize) {
    let d_head = values.len() / n_heads / width;
    let mut stored = vec![0.0; d_head * width];
    for head in values.chunks_exact_mut(d_head * width) {
        stored.copy_from_slice(head);
        for (row, values) in stored.chunks_exact(width).enumerate() {
            let (j, s) = (row / 2, row % 2);
            let to = (s * d_head / 2 + j) * width;
            head[to..to + width].copy_from_slice(values);
        }
    }
}

/// All safetensors files of a folder, in the order of their names.
fn shards(folder: &Path) -> Result<Vec<PathBuf>> {
    let index = folder.join("model.safetensors.index.json");
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
    let single = folder.join("model.safetensors");
    if single.is_file() {
        return Ok(vec![single]);
    }
    Err(Error::NoModel {
        path: folder.to_owned(),
        expected: "`model.safetensors` or `model.safetensors.index.json` beside `config.json`",
    })
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

/// llama.cpp's name of a tensor.
///
/// Source: `TENSOR_NAMES` of llama.cpp's `gguf-py/gguf/constants.py`.
fn gguf_name(name: &str) -> String {
    let top = match name {
        "model.embed_tokens.weight" => "token_embd.weight",
        "model.norm.weight" => "output_norm.weight",
        "lm_head.weight" => "output.weight",
        _ => "",
    };
    if !top.is_empty() {
        return top.into();
    }
    let parts = [
        ("model.layers.", "blk."),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("post_attention_layernorm", "ffn_norm"),
        ("input_layernorm", "attn_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    parts.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

/// The configuration that GGUF metadata describe.
///
/// Source: `general.architecture = llama` in llama.cpp's GGUF specification; Mistral files say `llama` too.
fn gguf_config(gguf: &Gguf) -> Result<Config> {
    let found = gguf.text("general.architecture").unwrap_or_default();
    if found != "llama" {
        let known = vec!["llama"];
        return Err(Error::UnknownFamily { found: found.into(), known });
    }
    let key = |name: &str| format!("llama.{name}");
    let (d_model, n_heads) = (gguf.size(&key("embedding_length"))?, gguf.size(&key("attention.head_count"))?);
    let scaling = match gguf.text(&key("rope.scaling.type")) {
        None | Some("none") => RopeScaling::None,
        Some("linear") => {
            let factor = gguf.float(&key("rope.scaling.factor"));
            let wrong = || gguf.wrong(&key("rope.scaling.factor"), "a positive number");
            RopeScaling::Linear { factor: factor.filter(|f| *f > 0.0).ok_or_else(wrong)? }
        }
        Some(other) => {
            return Err(Error::UnsupportedConfig { key: key("rope.scaling.type"), value: other.into() });
        }
    };
    let d_head = optional(gguf, &key("attention.key_length"))?.unwrap_or(d_model / n_heads);
    let rotary = optional(gguf, &key("rope.dimension_count"))?.unwrap_or(d_head);
    if rotary != d_head {
        return Err(gguf
            .wrong(&key("rope.dimension_count"), &format!("the width of a head, {d_head}, found {rotary}")));
    }
    let d_vocab = match gguf.metadata.get("tokenizer.ggml.tokens") {
        Some(Value::List(tokens)) => tokens.len(),
        _ => gguf.size(&key("vocab_size"))?,
    };
    let eos = gguf.int("tokenizer.ggml.eos_token_id").and_then(|id| u32::try_from(id).ok());
    let n_layers = gguf.size(&key("block_count"))?;
    let sliding_window = optional(gguf, &key("attention.sliding_window"))?;
    let attention_bias = gguf.tensors.contains_key("blk.0.attn_q.bias");
    Config {
        family: Family::Llama,
        n_layers,
        d_model,
        n_heads,
        n_kv_heads: optional(gguf, &key("attention.head_count_kv"))?.unwrap_or(n_heads),
        d_head,
        d_mlp: gguf.size(&key("feed_forward_length"))?,
        d_vocab,
        n_ctx: gguf.size(&key("context_length"))?,
        normalization: Normalization::Rms,
        norms: NormPlaces::Before,
        qk_norm: None,
        norm_eps: gguf
            .float(&key("attention.layer_norm_rms_epsilon"))
            .ok_or_else(|| gguf.wrong(&key("attention.layer_norm_rms_epsilon"), "a float"))?,
        rope: Rope { theta: gguf.float(&key("rope.freq_base")).unwrap_or(10_000.0), scaling },
        local_rope: None,
        d_rotary: d_head,
        learned_positions: false,
        sliding_window,
        blocks: vec![BlockKind { windowed: sliding_window.is_some(), rotary: true, sparse: false }; n_layers],
        attn_scalar: d_head as f64,
        attn_softcap: None,
        final_softcap: None,
        embed_scale: None,
        parallel: false,
        experts: None,
        gated: true,
        activation: Activation::Silu,
        qkv_bias: attention_bias,
        o_bias: attention_bias,
        mlp_bias: gguf.tensors.contains_key("blk.0.ffn_gate.bias"),
        tied: !gguf.tensors.contains_key("output.weight"),
        eos: eos.into_iter().collect(),
    }
    .check()
}

fn optional(gguf: &Gguf, key: &str) -> Result<Option<usize>> {
    gguf.metadata.contains_key(key).then(|| gguf.size(key)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpermuting_undoes_llama_cpp() {
        // Two heads of four rows of one number; a head's halves 0 1 | 2 3 are stored as 0 2 1 3.
        let mut rows = [0.0, 2.0, 1.0, 3.0, 10.0, 12.0, 11.0, 13.0];
        unpermute(&mut rows, 2, 1);
        assert_eq!(rows.map(|x| x as i32), [0, 1, 2, 3, 10, 11, 12, 13]);
    }

    #[test]
    fn llama_cpp_names() {
        for (ours, theirs) in [
            ("model.layers.3.self_attn.q_proj.weight", "blk.3.attn_q.weight"),
            ("model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight"),
            ("model.layers.12.mlp.down_proj.bias", "blk.12.ffn_down.bias"),
            ("lm_head.weight", "output.weight"),
        ] {
            assert_eq!(gguf_name(ours), theirs);
        }
    }
}
