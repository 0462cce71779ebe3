//! A model on disk, before its weights are read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::forward::Model;
use crate::tokens::Words;
use crate::weights::Files;
use crate::{Config, Error, LoadOptions, Result, Student, Wrapper};

/// A model on disk, looked at without its weights: what plans are checked against.
pub struct Source {
    pub(crate) files: Files,
    config: Config,
}

/// What a model is, for people and for `--json`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Description {
    /// The folder's or file's name.
    pub name: String,
    /// `huggingface`, `gguf`, or `memory` of weights that are in no file.
    pub format: &'static str,
    /// The family's name.
    pub family: &'static str,
    /// The `model_type` of the model of more than text that it is the text part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_of: Option<&'static str>,
    /// Numbers in the model.
    pub n_parameters: usize,
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
    /// How far back a query sees, where limited.
    pub sliding_window: Option<usize>,
    /// The head is the embedding.
    pub tied: bool,
    /// Hook points, in execution order.
    pub hooks: Vec<String>,
}

impl Description {
    pub(crate) fn new(c: &Config, name: String, format: &'static str) -> Self {
        Self {
            name,
            format,
            family: c.family.name(),
            part_of: c.wrapper.map(Wrapper::name),
            n_parameters: c.n_parameters(),
            n_layers: c.n_layers,
            d_model: c.d_model,
            n_heads: c.n_heads,
            n_kv_heads: c.n_kv_heads,
            d_head: c.d_head,
            d_mlp: c.d_mlp,
            d_vocab: c.d_vocab,
            n_ctx: c.n_ctx,
            sliding_window: c.sliding_window,
            tied: c.tied,
            hooks: c.hooks().iter().map(ToString::to_string).collect(),
        }
    }
}

impl Source {
    /// Reads what the model is; no weights.
    ///
    /// # Errors
    /// The path holds no model, its configuration is damaged, of an unknown family or asks for what heirloom
    /// does not compute.
    pub fn open(path: &Path) -> Result<Self> {
        let files = Files::open(path)?;
        let config = files.config()?;
        Ok(Self { files, config })
    }

    /// What the model is.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The model's tokenizer and chat templates.
    pub fn words(&self) -> Result<Words> {
        match &self.files {
            Files::Folder(folder) => Words::from_folder(folder),
            Files::Gguf(gguf) => Words::from_gguf(gguf),
        }
    }

    /// [`name_of`] where it lies.
    pub fn name(&self) -> String {
        name_of(self.files.path())
    }

    /// SHA-256 over everything that decides the model's numbers and words.
    ///
    /// A GGUF file's is its own, as `sha256sum` prints it; a folder's is over the names and hashes of its
    /// configuration, weights, tokenizer and templates.
    ///
    /// Cost: reads the weights once.
    pub fn sha256(&self) -> Result<String> {
        self.files.hash()
    }

    /// What the model is, for people and for `--json`.
    pub fn describe(&self) -> Description {
        let format = if matches!(self.files, Files::Gguf(_)) { "gguf" } else { "huggingface" };
        Description::new(&self.config, self.name(), format)
    }

    /// How many tensors of the files are of parts that heirloom does not read, by part: what a model of images and text
    /// has for images, and heads that predict further tokens.
    ///
    /// Cost: reads the headers of the weights' files.
    pub fn not_read(&self) -> Result<BTreeMap<&'static str, usize>> {
        Ok(self.files.checkpoint(&self.config)?.not_read)
    }

    /// Loads the weights.
    ///
    /// # Errors
    /// A tensor is missing, left over, of another shape or type, or not finite; a file is damaged.
    pub fn load(self, options: &LoadOptions) -> Result<Student> {
        let words = self.words()?;
        let device = options.device.open()?;
        let model = Model::load(&self.files, &self.config, options.dtype.candle(), device)?;
        let stop = self.stop_tokens(&words)?;
        Ok(Student::of_files(self, model, words, stop, *options))
    }

    /// Tokens that end a text: of `config.json`, of `generation_config.json`, and the template's `eos_token`.
    fn stop_tokens(&self, words: &Words) -> Result<Vec<u32>> {
        let mut stop = self.config.eos.clone();
        if let Files::Folder(folder) = &self.files {
            let path: PathBuf = folder.join("generation_config.json");
            if path.is_file() {
                let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
                let value: Value =
                    serde_json::from_slice(&bytes).map_err(|source| Error::Json { path, source })?;
                let ids = match &value["eos_token_id"] {
                    Value::Array(ids) => ids.clone(),
                    id => vec![id.clone()],
                };
                stop.extend(ids.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()));
            }
        }
        stop.extend(words.eos());
        stop.sort_unstable();
        stop.dedup();
        Ok(stop)
    }
}

/// What a model or an adapter is called by where it lies: the folder's or file's name; of a snapshot in the hub's cache,
/// repository and commit.
pub fn name_of(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    name_of_snapshot(&path).unwrap_or_else(|| {
        path.file_name()
            .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
    })
}

/// `org/name@0123456789ab` of `models--org--name/snapshots/0123456789ab…`.
fn name_of_snapshot(path: &Path) -> Option<String> {
    let mut names = path.ancestors().filter_map(|path| path.file_name()?.to_str());
    let (commit, snapshots, repo) = (names.next()?, names.next()?, names.next()?);
    let repo = repo.strip_prefix("models--").filter(|_| snapshots == "snapshots")?;
    Some(format!("{}@{}", repo.replacen("--", "/", 1), commit.get(..12).unwrap_or(commit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_called_by_their_repository() {
        for (path, name) in [
            ("hub/models--org--name/snapshots/0123456789abcdef", Some("org/name@0123456789ab")),
            ("hub/models--org--a--b/snapshots/0123", Some("org/a--b@0123")),
            ("hub/models--gpt/snapshots/0123", Some("gpt@0123")),
            ("hub/models--org--name/blobs/0123", None),
            ("snapshots/0123", None),
        ] {
            assert_eq!(name_of_snapshot(Path::new(path)).as_deref(), name, "{path}");
        }
    }
}
