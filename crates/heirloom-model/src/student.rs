//! The student: a model with its words, loaded from files or made in memory.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use heirloom_record::{DataRow, HookPoint, Readout};
use serde_json::Value;

use crate::batch::check_row;
use crate::chat::Clock;
use crate::device::{Device, Dtype};
use crate::forward::Model;
use crate::init::Init;
use crate::tokens::{Shown, TokenRow, Words};
use crate::weights::Files;
use crate::{Config, Error, Result};

/// How a student is loaded.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// Numbers that weights and activations are held in.
    pub dtype: Dtype,
    /// Where it computes.
    pub device: Device,
    /// The moment that chat templates see as now.
    pub clock: Clock,
}

impl LoadOptions {
    /// f32 on the processor.
    pub fn new(clock: Clock) -> Self {
        Self { dtype: Dtype::F32, device: Device::Cpu, clock }
    }
}

/// A model on disk, looked at without its weights: what plans are checked against.
pub struct Source {
    files: Files,
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
    fn new(c: &Config, name: String, format: &'static str) -> Self {
        Self {
            name,
            format,
            family: c.family.name(),
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
            hooks: HookPoint::all(c.n_layers).iter().map(ToString::to_string).collect(),
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

    /// The folder's or file's name.
    pub fn name(&self) -> String {
        let path = self.files.path();
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        path.file_name()
            .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
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

    /// Loads the weights.
    ///
    /// # Errors
    /// A tensor is missing, left over, of another shape or type, or not finite; a file is damaged.
    pub fn load(self, options: &LoadOptions) -> Result<Student> {
        let words = self.words()?;
        let device = options.device.open()?;
        let model = Model::load(&self.files, &self.config, options.dtype.candle(), device)?;
        let stop = self.stop_tokens(&words)?;
        Ok(Student {
            name: self.name(),
            origin: Origin::Files(Arc::new(self)),
            model,
            words: Arc::new(words),
            stop,
            options: *options,
            sha256: OnceLock::new(),
        })
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

/// Where a student's weights come from.
#[derive(Clone)]
enum Origin {
    /// They are those of the files.
    Files(Arc<Source>),
    /// They were drawn or trained here and are in no file.
    Memory,
}

/// A model you can look into: one forward pass with hook points, and the words it reads.
pub struct Student {
    name: String,
    origin: Origin,
    model: Model,
    words: Arc<Words>,
    stop: Vec<u32>,
    options: LoadOptions,
    sha256: OnceLock<String>,
}

impl Student {
    /// Loads a Hugging Face folder or a GGUF file.
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Self> {
        Source::open(path)?.load(options)
    }

    /// A student that was never trained: fresh weights by the rule of `init`.
    ///
    /// # Errors
    /// Sizes do not fit together, or the words have more tokens than the embedding has rows.
    ///
    /// # Example
    /// ```
    /// use heirloom_model::{Config, Init, LoadOptions, Special, Student, Words};
    ///
    /// # fn main() -> heirloom_model::Result<()> {
    /// let vocabulary = ["<pad>", "<end>", "hello", "there"].map(String::from);
    /// let special = Special::new("<end>").pad("<pad>");
    /// let words = Words::word_level(&vocabulary, "{{ messages[0].content }}", &special)?;
    /// let config = Config::from_json(&serde_json::json!({
    ///     "model_type": "llama", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
    ///     "num_attention_heads": 2, "vocab_size": 4, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
    /// }))?;
    /// let options = LoadOptions::new("2026-01-15".parse()?);
    /// let student = Student::create("tiny", &config, words, &Init::new(7), &options)?;
    /// assert_eq!(student.describe().format, "memory");
    /// # Ok(())
    /// # }
    /// ```
    pub fn create(
        name: impl Into<String>,
        config: &Config,
        words: impl Into<Arc<Words>>,
        init: &Init,
        options: &LoadOptions,
    ) -> Result<Self> {
        let words = words.into();
        if words.n_tokens() > config.d_vocab {
            return Err(Error::ConfigValue {
                key: "vocab_size".into(),
                expected: format!("at least {}, the tokens of its words", words.n_tokens()),
                found: config.d_vocab.to_string(),
            });
        }
        let mut stop: Vec<u32> = config.eos.iter().copied().chain(words.eos()).collect();
        stop.sort_unstable();
        stop.dedup();
        let model = init.model(config.clone(), options.dtype.candle(), options.device.open()?)?;
        let (name, origin, sha256) = (name.into(), Origin::Memory, OnceLock::new());
        Ok(Self { name, origin, model, words, stop, options: *options, sha256 })
    }

    /// A student of its own with the same weights, copied in memory, under another name.
    pub fn fork(&self, name: impl Into<String>) -> Result<Self> {
        Ok(Self {
            name: name.into(),
            origin: self.origin.clone(),
            model: self.model.map(|weight| Ok(weight.tensor.copy()?))?,
            words: Arc::clone(&self.words),
            stop: self.stop.clone(),
            options: self.options,
            sha256: self.sha256.clone(),
        })
    }

    /// What the model is.
    pub fn config(&self) -> &Config {
        self.model.config()
    }

    /// Its tokenizer and chat templates.
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// The folder's or file's name, or the one it was given.
    pub fn name(&self) -> String {
        self.name.clone()
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.options.device
    }

    /// Numbers that weights and activations are held in.
    pub fn dtype(&self) -> Dtype {
        self.options.dtype
    }

    /// The moment that chat templates see as now.
    pub fn clock(&self) -> Clock {
        self.options.clock
    }

    /// Tokens that end a text.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.stop
    }

    /// What the model is, for people and for `--json`.
    pub fn describe(&self) -> Description {
        let format = match &self.origin {
            Origin::Files(source) => source.describe().format,
            Origin::Memory => "memory",
        };
        Description::new(self.config(), self.name(), format)
    }

    /// [`Source::sha256`], computed once; of weights in no file, that of the folder [`Student::save`] would
    /// write.
    pub fn sha256(&self) -> Result<&str> {
        if let Some(sha256) = self.sha256.get() {
            return Ok(sha256);
        }
        let sha256 = match &self.origin {
            Origin::Files(source) => source.sha256()?,
            Origin::Memory => self.saved_sha256()?,
        };
        Ok(self.sha256.get_or_init(|| sha256))
    }

    /// Tokenizes rows and finds prompt, response and spans in each; see [`Words::prepare`].
    ///
    /// # Errors
    /// Names the row: also when it is longer than the context or holds a token outside the vocabulary.
    pub fn prepare(&self, rows: &[DataRow]) -> Result<Vec<TokenRow>> {
        let one = |row: &DataRow| {
            let row = self.words.prepare(row, self.options.clock)?;
            check_row(&row.id, &row.ids, self.config())?;
            Ok(row)
        };
        rows.iter().map(one).collect()
    }

    /// The row's tokens as text, with those that `readout` takes marked.
    pub fn show(&self, row: &TokenRow, readout: &Readout) -> Result<Shown> {
        self.words.show(row, readout)
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// Looks at other tensors from now on; [`Self::weights_changed`] says that their numbers are others, too.
    pub(crate) fn set_model(&mut self, model: Model) {
        self.model = model;
    }

    /// The weights are no longer those of any file, nor those hashed before.
    pub(crate) fn weights_changed(&mut self) {
        self.origin = Origin::Memory;
        self.sha256 = OnceLock::new();
    }

    /// Where the weights can be loaded from, or the student's name where they are in no file.
    pub(crate) fn path_or_name(&self) -> String {
        match &self.origin {
            Origin::Files(source) => source.files.path().display().to_string(),
            Origin::Memory => self.name.clone(),
        }
    }
}
