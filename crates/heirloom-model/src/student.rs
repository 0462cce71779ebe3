//! The student: a model with its words, loaded from files or made in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use heirloom_record::{DataRow, Readout};

use crate::batch::check_row;
use crate::chat::Clock;
use crate::device::{Device, Dtype};
use crate::forward::Model;
use crate::init::Init;
use crate::tokens::{Shown, TokenRow, Words};
use crate::{Config, Description, Error, Result, Source};

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
    /// The model before an adapter was put on it; they share what the adapter does not replace.
    bare: Option<Box<Model>>,
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

    /// A student whose weights are those of files.
    pub(crate) fn of_files(
        source: Source,
        model: Model,
        words: Words,
        stop: Vec<u32>,
        options: LoadOptions,
    ) -> Self {
        let (name, origin, sha256) = (source.name(), Origin::Files(Arc::new(source)), OnceLock::new());
        Self { name, origin, model, bare: None, words: Arc::new(words), stop, options, sha256 }
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
        Ok(Self { name, origin, model, bare: None, words, stop, options: *options, sha256 })
    }

    /// A student of its own with the same weights, copied in memory, under another name.
    pub fn fork(&self, name: impl Into<String>) -> Result<Self> {
        Ok(Self {
            name: name.into(),
            origin: self.origin.clone(),
            model: self.model.map(|weight| Ok(weight.tensor.copy()?))?,
            bare: self.bare.clone(),
            words: Arc::clone(&self.words),
            stop: self.stop.clone(),
            options: self.options,
            sha256: self.sha256.clone(),
        })
    }

    /// A student of its own over the same tensors, which are not copied; training copies what it changes.
    pub(crate) fn beside(&self) -> Self {
        Self {
            name: self.name.clone(),
            origin: self.origin.clone(),
            model: self.model.clone(),
            bare: self.bare.clone(),
            words: Arc::clone(&self.words),
            stop: self.stop.clone(),
            options: self.options,
            sha256: self.sha256.clone(),
        }
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

    /// [`Source::not_read`] of the files that its weights are of.
    pub fn not_read(&self) -> Result<BTreeMap<&'static str, usize>> {
        match &self.origin {
            Origin::Files(source) => source.not_read(),
            Origin::Memory => Ok(BTreeMap::new()),
        }
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

    /// The model without its adapter, where one was put on it; else the model.
    pub(crate) fn bare(&self) -> &Model {
        self.bare.as_deref().unwrap_or(&self.model)
    }

    /// Reads with another's words.
    pub(crate) fn set_words(&mut self, words: Arc<Words>) {
        self.words = words;
    }

    /// Its words, to be shared.
    pub(crate) fn shared_words(&self) -> Arc<Words> {
        Arc::clone(&self.words)
    }

    /// Computes on another device from now on.
    pub(crate) fn move_to(&mut self, device: Device) -> Result<()> {
        if device != self.options.device {
            self.model = self.model.on(&device.open()?)?;
            self.options.device = device;
        }
        Ok(())
    }

    /// Keeps the model as it is for [`Self::bare`], or forgets it.
    pub(crate) fn keep_bare(&mut self, keep: bool) {
        self.bare = keep.then(|| Box::new(self.model.clone()));
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
