//! What can go wrong with a model, its words or its forward pass.

use std::path::{Path, PathBuf};

use heirloom_record::{HookPoint, Readout};

/// The result of looking into a model.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a model. [`Error::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("could not read `{}`", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The system starts no thread.
    #[error("could not start a thread")]
    Threads {
        /// The system's reason.
        source: Box<rayon::ThreadPoolBuildError>,
    },
    /// A JSON document could not be understood.
    #[error("`{}` could not be read as JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// The path is neither a Hugging Face folder nor a GGUF file.
    #[error("`{}` holds no model: expected {expected}", path.display())]
    NoModel {
        /// The path as given.
        path: PathBuf,
        /// What was looked for.
        expected: &'static str,
    },
    /// The model belongs to a family this crate does not run.
    #[error("unknown model family `{found}`, known: {}", quoted(known))]
    UnknownFamily {
        /// `model_type` of config.json or `general.architecture` of a GGUF file.
        found: String,
        /// The families there are.
        known: Vec<&'static str>,
    },
    /// The configuration lacks a key.
    #[error("the model's configuration has no `{key}`")]
    MissingConfig {
        /// The key.
        key: &'static str,
    },
    /// A value of the configuration is not what it should be.
    #[error("the model's configuration: `{key}` must be {expected}, found `{found}`")]
    ConfigValue {
        /// The key.
        key: String,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The configuration asks for something that would change numbers and is not implemented.
    #[error("the model's configuration asks for `{key}` = `{value}`, which heirloom does not compute")]
    UnsupportedConfig {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
    /// The configuration has a key whose meaning heirloom does not know.
    #[error("the model's configuration has `{key}` = `{value}`, which heirloom does not know")]
    UnknownConfig {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
    /// A weight file is damaged.
    #[error("`{}` is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit, with both values.
        problem: String,
    },
    /// A safetensors header could not be understood.
    #[error("`{}` has no readable safetensors header", path.display())]
    SafeTensorsHeader {
        /// The file.
        path: PathBuf,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// A tensor is stored in a type that holds no weights, or in one this version cannot read.
    #[error("`{}` tensor `{tensor}` is stored as {found}, which cannot be read as weights", path.display())]
    TensorType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        found: String,
    },
    /// A tensor that the configuration needs is in none of the files.
    #[error("`{}` has no tensor `{tensor}`", path.display())]
    MissingTensor {
        /// The folder or file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Tensors in the files with similar names.
        near: Vec<String>,
    },
    /// A tensor has another shape than the configuration says.
    #[error("`{}` tensor `{tensor}`: expected shape {expected:?}, found {found:?}", path.display())]
    TensorShape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Shape by the configuration.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// Tensors of the files have no place in the model.
    #[error("`{}` has tensors the model does not use: {}", path.display(), quoted(tensors))]
    UnboundTensors {
        /// The folder or file.
        path: PathBuf,
        /// The first of them.
        tensors: Vec<String>,
    },
    /// Two files hold a tensor of one name.
    #[error("tensor `{tensor}` is in `{}` and in `{}`", first.display(), second.display())]
    DuplicateTensor {
        /// The tensor.
        tensor: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// The head must be the embedding, but the files hold another one.
    #[error("`{}` has a `{tensor}` that differs from the embedding, but the configuration ties them", path.display())]
    UntiedHead {
        /// The folder or file.
        path: PathBuf,
        /// The head's tensor.
        tensor: String,
    },
    /// A weight is NaN or infinite.
    #[error("`{}` tensor `{tensor}` holds {value} at index {index}", path.display())]
    WeightNotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Place in row-major order.
        index: usize,
        /// The value.
        value: f32,
    },
    /// GGUF metadata lack a key or have another type there.
    #[error("`{}` metadata `{key}`: expected {expected}", path.display())]
    GgufMetadata {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What it should be.
        expected: String,
    },
    /// A device name is not one.
    #[error("unknown device `{name}`, expected `cpu`, `cuda`, `cuda:N` or `metal`")]
    UnknownDevice {
        /// The name as given.
        name: String,
    },
    /// A dtype name is not one.
    #[error("unknown dtype `{name}`, expected `f32`, `bf16` or `f16`")]
    UnknownDtype {
        /// The name as given.
        name: String,
    },
    /// The device cannot be used.
    #[error("device `{device}` cannot be used")]
    Device {
        /// The device.
        device: String,
        /// The driver's reason.
        source: Box<candle_core::Error>,
    },
    /// The model came without a tokenizer.
    #[error("the model at `{}` has no tokenizer", path.display())]
    NoTokenizer {
        /// The folder or file.
        path: PathBuf,
    },
    /// A tokenizer could not be built.
    #[error("the tokenizer of `{}` could not be read", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// The library's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Text could not be tokenized or tokens not be written as text.
    #[error("the tokenizer failed")]
    Tokenize {
        /// The library's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A text has a word that is not in a word-level vocabulary.
    #[error("the word `{word}` is not in the vocabulary of {n_tokens} words")]
    UnknownWord {
        /// The word.
        word: String,
        /// Words there are.
        n_tokens: usize,
        /// Words close to it.
        near: Vec<String>,
    },
    /// A vocabulary cannot be one.
    #[error("the vocabulary: {problem}")]
    Vocabulary {
        /// What is wrong, with the word.
        problem: String,
    },
    /// Two models that must read the same tokens do not.
    #[error("`{first}` and `{second}` do not read the same tokens: {difference}")]
    OtherWords {
        /// One model.
        first: String,
        /// The other.
        second: String,
        /// Where they differ, with both values.
        difference: String,
    },
    /// The model came without a chat template.
    #[error("the model at `{}` has no chat template", path.display())]
    NoTemplate {
        /// The folder or file.
        path: PathBuf,
    },
    /// No chat template has the name asked for.
    #[error("the model has no chat template `{name}`, known: {}", quoted(known))]
    UnknownTemplate {
        /// The name.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A chat template has a syntax error or refused the messages.
    #[error("the chat template could not be rendered")]
    Template {
        /// The engine's reason.
        source: Box<minijinja::Error>,
    },
    /// A template asked for the time, and no clock was given.
    #[error("a clock must be written `YYYY-MM-DD` or `YYYY-MM-DDTHH:MM:SS`, found `{found}`")]
    Clock {
        /// The text.
        found: String,
    },
    /// A row of data cannot be used.
    #[error("row `{row}`: {problem}")]
    Row {
        /// The row's id.
        row: String,
        /// What is wrong with it.
        #[source]
        problem: RowError,
    },
    /// A hook plan is wrong in itself.
    #[error(transparent)]
    Hooks(#[from] heirloom_record::Error),
    /// A hook point has rows of no fixed width, so it cannot be stored as activations.
    #[error("`{point}` has one row per query and key, so it cannot be captured as vectors")]
    NoVectors {
        /// The hook point.
        point: HookPoint,
    },
    /// A vector does not fit its hook point.
    #[error("`{point}`: expected a vector of {expected} numbers, found {found}")]
    Width {
        /// The hook point.
        point: HookPoint,
        /// Its width in this model.
        expected: usize,
        /// Length of the vector given.
        found: usize,
    },
    /// An intervention of this kind is not possible at this hook point.
    #[error("`{point}` cannot be changed by {edit}")]
    Uneditable {
        /// The hook point.
        point: HookPoint,
        /// The intervention, in words.
        edit: &'static str,
    },
    /// A direction without length cannot be projected out.
    #[error("`{point}`: the direction to ablate has length {length}")]
    NoDirection {
        /// The hook point.
        point: HookPoint,
        /// Its length.
        length: f64,
    },
    /// A hook point lies outside the model.
    #[error("`{point}` is not in a model with {n_layers} blocks")]
    OutsideModel {
        /// The hook point.
        point: HookPoint,
        /// Blocks of the model.
        n_layers: usize,
    },
    /// A hook point has no place in the model's family.
    #[error("`{point}` is no hook point of this `{family}` model")]
    NotInFamily {
        /// The hook point.
        point: HookPoint,
        /// The family's name.
        family: &'static str,
    },
    /// A patch and the run it is put into differ in length.
    #[error("patch at `{point}`: expected {expected} positions in row {row}, found {found}")]
    PatchLength {
        /// The hook point.
        point: HookPoint,
        /// Row of the batch, counted from 0.
        row: usize,
        /// Positions of the row.
        expected: usize,
        /// Positions in the patch.
        found: usize,
    },
    /// A hook point did not fire as often as the plan said.
    #[error("`{point}` fired {found} times, expected {expected}")]
    Fired {
        /// The hook point.
        point: HookPoint,
        /// Forward passes run.
        expected: usize,
        /// Times it fired.
        found: usize,
    },
    /// An activation is NaN or infinite.
    #[error("`{point}` of row `{row}` holds a value that is not finite")]
    NotFinite {
        /// The hook point.
        point: HookPoint,
        /// The row's id.
        row: String,
    },
    /// The logits of a next token are NaN or infinite.
    #[error("the logits behind row `{row}`, sample {sample}, are not finite after {drawn} tokens drawn")]
    LogitsNotFinite {
        /// The row's id.
        row: String,
        /// Which of its continuations.
        sample: usize,
        /// Tokens drawn before.
        drawn: usize,
    },
    /// A readout cannot be taken while tokens are drawn.
    #[error("`{readout}` cannot be read while tokens are drawn, only `last-prompt` and `response-mean`")]
    NotLive {
        /// The readout.
        readout: Readout,
    },
    /// A setting of a run is outside its range.
    #[error("`{key}` must be {expected}, found {found}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// Rows to train on are longer than the context.
    #[error("{} of {of} rows are longer than the model's context of {n_ctx} tokens: {}", rows.len(), lengths(rows))]
    RowsTooLong {
        /// The model's context.
        n_ctx: usize,
        /// Rows in all.
        of: usize,
        /// Id and tokens of each.
        rows: Vec<(String, usize)>,
    },
    /// A checkpoint is asked for that training never reaches.
    #[error("checkpoint {step} lies behind the last step, {steps}")]
    CheckpointBehindTheEnd {
        /// The checkpoint.
        step: usize,
        /// Steps of the run.
        steps: usize,
    },
    /// Weights that are to learn are not in f32.
    #[error("the weights are held in {found}, and only f32 weights can be trained")]
    WeightsNotF32 {
        /// What they are held in.
        found: crate::Dtype,
    },
    /// Training met a loss or a gradient that is not finite.
    #[error("step {step}: the {quantity} is {value}, in the batch of rows {}", quoted(rows))]
    Diverged {
        /// The update that was not made, counted from 1.
        step: usize,
        /// `loss` or `gradient norm`.
        quantity: &'static str,
        /// NaN or infinite.
        value: f64,
        /// Ids of the batch's rows.
        rows: Vec<String>,
    },
    /// No gradient reached a weight that is to learn: an operation on the way has none.
    #[error("no gradient reached `{weight}`")]
    NoGradient {
        /// The weight.
        weight: String,
    },
    /// Who watched a training stopped it.
    #[error("training was stopped at step {step}")]
    Observer {
        /// Updates made.
        step: usize,
        /// The observer's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A folder holds another training than the one to be resumed.
    #[error("`{}` holds another training: its `{key}` is {found}, not {expected}", path.display())]
    OtherTraining {
        /// The folder.
        path: PathBuf,
        /// What differs.
        key: String,
        /// What it is in the training to be resumed.
        expected: String,
        /// What it is in the folder.
        found: String,
    },
    /// A model has an adapter already.
    #[error("`{model}` has an adapter already")]
    AdapterThere {
        /// The model.
        model: String,
    },
    /// A model has no adapter.
    #[error("`{model}` has no adapter")]
    NoAdapter {
        /// The model.
        model: String,
    },
    /// An adapter changes no weight.
    #[error("the adapter `{}` changes nothing: ‖ΔW‖ is 0 in its {projections} projections", path.display())]
    AdapterIsNothing {
        /// The folder.
        path: PathBuf,
        /// Projections it has factors for.
        projections: usize,
    },
    /// An adapter has a setting that would change numbers and is not implemented.
    #[error("`{}`: `{key}` = {value}, which heirloom does not compute", path.display())]
    AdapterSetting {
        /// The configuration.
        path: PathBuf,
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
    /// The model has no projection of the name that an adapter shall change.
    #[error("the model has no projection `{target}`: there are {}", quoted(known))]
    NoProjection {
        /// The name.
        target: String,
        /// The last parts of its projections' names.
        known: Vec<String>,
    },
    /// A series has adapters, and no model they belong on was given.
    #[error("`{}` is an adapter, and the series names no model to put it on", path.display())]
    AdapterWithoutBase {
        /// The adapter.
        path: PathBuf,
    },
    /// No checkpoints are where they were looked for.
    #[error("`{place}` holds no checkpoints: no names such as `checkpoint-400` or `step1000`")]
    NoCheckpoints {
        /// The folder, pattern or list.
        place: String,
    },
    /// A path of a series does not say its step.
    #[error("`{}` says no step: expected a name such as `checkpoint-400` or `step1000`", path.display())]
    NotACheckpoint {
        /// The path.
        path: PathBuf,
    },
    /// Two checkpoints of a series have one step.
    #[error("step {step} is there twice: `{}` and `{}`", first.display(), second.display())]
    StepTwice {
        /// The step.
        step: usize,
        /// One checkpoint.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// An evenly spaced series lacks checkpoints.
    #[error("the series has a checkpoint every {spacing} steps but lacks {}", numbers(missing))]
    MissingSteps {
        /// The distance that most neighbors have.
        spacing: usize,
        /// Steps that are not there.
        missing: Vec<usize>,
    },
    /// The device has no memory for a batch.
    #[error("`{device}` has no memory for a batch of {max_tokens} tokens")]
    OutOfMemory {
        /// The device.
        device: crate::Device,
        /// Most tokens of a batch.
        max_tokens: usize,
        /// The driver's reason.
        source: Box<candle_core::Error>,
    },
    /// The tensor library refused.
    #[error("the forward pass failed")]
    Tensor(#[source] Box<candle_core::Error>),
}

/// What is wrong with one row of data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// No tokens at all.
    #[error("it has no tokens")]
    Empty,
    /// A token id outside the vocabulary.
    #[error("token id {id} is outside the vocabulary of {d_vocab}")]
    Vocabulary {
        /// The id.
        id: u32,
        /// Rows of the embedding.
        d_vocab: usize,
    },
    /// More tokens than the model's context.
    #[error("it has {found} tokens, the model's context holds {n_ctx}")]
    TooLong {
        /// Tokens of the row.
        found: usize,
        /// The model's context.
        n_ctx: usize,
    },
    /// A prompt that leaves no room for what is to be drawn.
    #[error("its {n_tokens} tokens and {max_new_tokens} new ones do not fit the model's context of {n_ctx}")]
    NoRoom {
        /// Tokens of the row.
        n_tokens: usize,
        /// Most tokens of a continuation.
        max_new_tokens: usize,
        /// The model's context.
        n_ctx: usize,
    },
    /// Another row has the same id.
    #[error("another row has the same id, so their random streams would be the same")]
    DuplicateId,
    /// The response is asked for, and there is none.
    #[error("it has no assistant message to read the response from")]
    NoResponse,
    /// The response has a text but no tokens.
    #[error("its response is empty")]
    EmptyResponse,
    /// The row does not name the span that is read.
    #[error("it names no span `{name}`{}", if known.is_empty() { ", nor any other".into() } else { format!("; its spans are {}", quoted(known)) })]
    NoSpan {
        /// The span.
        name: String,
        /// The spans that it names.
        known: Vec<String>,
    },
    /// The chat template leaves out a message, whose role it does not know.
    #[error("the chat template leaves out its message of the role `{role}`")]
    RoleLeftOut {
        /// The role.
        role: String,
    },
    /// The span's text is not in the rendered row.
    #[error("the text of span `{name}`, `{text}`, is not in the rendered row")]
    SpanNotFound {
        /// The span.
        name: String,
        /// Its text.
        text: String,
    },
    /// The span's text is in the rendered row more than once.
    #[error("the text of span `{name}`, `{text}`, is in the rendered row {count} times")]
    AmbiguousSpan {
        /// The span.
        name: String,
        /// Its text.
        text: String,
        /// How often it is there.
        count: usize,
    },
    /// The span covers no token.
    #[error("span `{name}` covers no token")]
    EmptySpan {
        /// The span.
        name: String,
    },
    /// A position outside the row.
    #[error("position {position} is outside its {n_tokens} tokens")]
    Position {
        /// The position.
        position: u32,
        /// Tokens of the row.
        n_tokens: usize,
    },
    /// The answer is one token that nothing stands before.
    #[error("no token of its response has one before it, so none is scored")]
    NothingScored,
    /// Logits are NaN or infinite.
    #[error("its logits are not finite")]
    NotFinite,
    /// No token of the row carries loss.
    #[error("no token of it carries loss")]
    NothingToLearn,
    /// The rendered conversation does not begin with its rendered prompt.
    #[error("the rendered prompt is not a prefix of the rendered conversation")]
    NotAPrefix,
    /// Token ids carry no text to look for a span in.
    #[error("it is given as token ids, which have no text to find `{what}` in")]
    NoText {
        /// What was looked for.
        what: String,
    },
}

impl Error {
    /// What the user can do about it, when there is something particular to say.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Hooks(error) => return error.hint(),
            Self::MissingTensor { near, .. } | Self::UnknownWord { near, .. } if !near.is_empty() => {
                return Some(format!("near names: {}", quoted(near)));
            }
            Self::UnknownConfig { .. } => {
                "if it changes nothing that the model computes, remove the key from `config.json`"
            }
            Self::NoVectors { .. } => {
                "look at scores and patterns of a few rows with `Student::run_with_hooks`; capture `attn.hook_z` as vectors"
            }
            Self::Damaged { .. } | Self::SafeTensorsHeader { .. } => {
                "fetch the file again and compare its checksum"
            }
            Self::NoTokenizer { .. } => {
                "give rows as `input_ids`, or put `tokenizer.json` beside the weights"
            }
            Self::NoTemplate { .. } => {
                "give rows as `text` or `input_ids`, or put `chat_template.jinja` beside the weights"
            }
            Self::NotLive { .. } => "draw first, then capture the rows of `Generated::row`",
            Self::Row { problem: RowError::DuplicateId, .. } => {
                "give every row its own id; several continuations of one row are `samples`"
            }
            Self::Device { .. } if cfg!(any(feature = "cuda", feature = "metal")) => {
                "see whether the device is there and its driver is new enough (`nvidia-smi`; CUDA 13 needs driver 580), or use `cpu`"
            }
            Self::Device { .. } => "build with `--features cuda` or `--features metal`, or use `cpu`",
            Self::Row { problem: RowError::NotAPrefix, .. } => {
                "the template changes earlier turns; mark the response with `{% generation %}` in the template"
            }
            Self::Row { problem: RowError::NoResponse, .. } => {
                "end `messages` with an assistant message, or read the last prompt token: `last-prompt`"
            }
            Self::Row { problem: RowError::NoSpan { name, known }, .. } => return near_names(name, known),
            Self::NoProjection { target, known } => return near_names(target, known),
            Self::Setting { key: "lora.targets", found, .. } => {
                return near_names(found.trim_matches('`'), &crate::Lora::TARGETS);
            }
            Self::Row { problem: RowError::RoleLeftOut { .. }, .. } => {
                "roles are `system`, `user`, `assistant`, `tool`, and those that the template names"
            }
            Self::Row { problem: RowError::AmbiguousSpan { .. }, .. } => {
                "make the span's text longer, until it is there once"
            }
            Self::Row { problem: RowError::NothingToLearn, .. } => {
                "loss is on assistant messages: give rows of `messages` that end in an answer, such as what `heirloom rollout` writes to these prompts"
            }
            Self::RowsTooLong { .. } => "split them, or leave them out with `training_rows_that_fit`",
            Self::WeightsNotF32 { .. } => {
                "load the student in f32; `dtype = \"bf16\"` of the training computes in bf16 over f32 weights"
            }
            Self::Diverged { .. } => {
                "weights and checkpoints are as they were before this step; lower `lr`, raise `warmup`, or look at these rows"
            }
            Self::OtherTraining { .. } => "train into another folder, or with the settings it was begun with",
            Self::AdapterThere { .. } => "merge it into the weights first",
            Self::AdapterIsNothing { .. } => {
                "its B factors are zero: it was saved before its first step, or is not the one you mean; `--allow-empty-adapter` accepts it"
            }
            Self::AdapterWithoutBase { .. } => {
                "give the model they were trained on with `--model` or `--base`, or a list that names it"
            }
            Self::OutOfMemory { .. } => {
                "lower `--batch-tokens` for everything that will be compared, shorten the longest row, or load in bf16"
            }
            Self::StepTwice { .. } => "name one of them",
            Self::MissingSteps { .. } => "fetch them, or allow gaps",
            Self::UnboundTensors { .. } => {
                "the configuration and the weights belong to different models, or the family has parts heirloom lacks"
            }
            _ => return None,
        };
        Some(text.into())
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn row(row: impl Into<String>) -> impl FnOnce(RowError) -> Self {
        let row = row.into();
        move |problem| Self::Row { row, problem }
    }
}

impl From<candle_core::Error> for Error {
    fn from(source: candle_core::Error) -> Self {
        Self::Tensor(Box::new(source))
    }
}

impl From<minijinja::Error> for Error {
    fn from(source: minijinja::Error) -> Self {
        Self::Template { source: Box::new(source) }
    }
}

fn near_names<S: AsRef<str>>(name: &str, known: &[S]) -> Option<String> {
    let near = heirloom_record::near(name, known.iter().map(AsRef::as_ref));
    (!near.is_empty()).then(|| format!("near names: {}", quoted(&near)))
}

fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|n| format!("`{}`", n.as_ref())).collect::<Vec<_>>().join(", ")
}

/// The first few of many.
fn some(all: Vec<String>) -> String {
    const SHOWN: usize = 8;
    let more = all.len().saturating_sub(SHOWN);
    let shown = all.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

fn lengths(rows: &[(String, usize)]) -> String {
    some(rows.iter().map(|(id, tokens)| format!("`{id}` ({tokens})")).collect())
}

fn numbers(numbers: &[usize]) -> String {
    some(numbers.iter().map(usize::to_string).collect())
}
