//! What can go wrong with an artifact.

use std::path::{Path, PathBuf};

use crate::hook::layer_of;
use crate::{near, near_in};

/// The result of reading or writing an artifact.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with an artifact. [`Error::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("could not {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb: `read`, `write`, `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A name is not that of a hook point of any model.
    #[error("`{name}` is not a hook point")]
    NotAHookPoint {
        /// The name as given.
        name: String,
        /// Names close to it.
        near: Vec<String>,
    },
    /// A hook pattern matches no hook point of a model with `n_layers` blocks.
    #[error("no hook point of a model with {n_layers} blocks matches `{pattern}`")]
    UnknownHook {
        /// The pattern as given.
        pattern: String,
        /// Blocks of the model it was held against.
        n_layers: usize,
        /// Names close to it.
        near: Vec<String>,
    },
    /// A pattern is not a glob.
    #[error("`{pattern}` is not a glob pattern")]
    Pattern {
        /// The pattern as given.
        pattern: String,
        /// Where it breaks.
        source: glob::PatternError,
    },
    /// A readout has another name.
    #[error("unknown readout `{name}`, expected `last-prompt`, `response-mean`, `span:NAME` or `all`")]
    UnknownReadout {
        /// The readout as given.
        name: String,
    },
    /// A line of a JSONL file is not what it should be.
    #[error("`{}` line {line}: could not be read", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The parser's reason, with the column.
        source: LineProblem,
    },
    /// A line of a JSONL file lacks a key.
    #[error("`{}` line {line}: `{key}` is missing", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The key.
        key: &'static str,
    },
    /// A line of a JSONL file has a key that heirloom does not know.
    #[error("`{}` line {line}: unknown key `{key}`, expected {}", path.display(), quoted(known))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The key as given.
        key: String,
        /// The keys that may stand there.
        known: Vec<String>,
    },
    /// A line of a JSONL file is not text.
    #[error("`{}` line {line}: is not UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Where it breaks.
        source: std::str::Utf8Error,
    },
    /// A data row names none or several of `messages`, `text` and `input_ids`.
    #[error("`{}` line {line}: a row needs exactly one of `messages`, `text` and `input_ids`, found {found}", path.display())]
    RowInput {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// How many of the three it has.
        found: usize,
    },
    /// A data row's input is there but empty.
    #[error("`{}` line {line}: `{field}` is empty", path.display())]
    RowEmpty {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Which of the three inputs.
        field: &'static str,
    },
    /// A prompt holds its answer.
    #[error("`{}` line {line}: `messages` holds the answer already", path.display())]
    Answered {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// Hidden messages that no prompt can follow.
    #[error("`{}` cannot come before a prompt: {problem}", path.display())]
    Hidden {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        problem: String,
    },
    /// A rollout does not end in an answer.
    #[error("`{}` line {line}: `messages` ends in a message of `{found}`, expected `assistant`", path.display())]
    NotAnswered {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The role of the last message.
        found: String,
    },
    /// A rollout counts other tokens than it holds.
    #[error("`{}` line {line}: `n_tokens` is {n_tokens}, but there are {found} `ids`", path.display())]
    TokenCount {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The number given.
        n_tokens: usize,
        /// The ids given.
        found: usize,
    },
    /// Two rollouts are the same sample of one teacher on one prompt.
    #[error("`{}` line {line}: sample {sample} of `{teacher}` on prompt `{prompt}` stands on line {first} already", path.display())]
    RepeatedSample {
        /// The file.
        path: PathBuf,
        /// The second line with it, counted from 1.
        line: usize,
        /// The first line with it.
        first: usize,
        /// Who answered.
        teacher: String,
        /// The prompt's id.
        prompt: String,
        /// Which of its answers.
        sample: usize,
    },
    /// A folder holds rollouts that are still being drawn, or whose drawing was killed.
    #[error("`{}` holds rollouts that are not all drawn", path.display())]
    Unfinished {
        /// The folder.
        path: PathBuf,
    },
    /// A folder holds other rollouts than those to be gone on with.
    #[error("`{}` holds other rollouts: their `{key}` is {found}, not {expected}", path.display())]
    OtherRollouts {
        /// The folder.
        path: PathBuf,
        /// What differs.
        key: String,
        /// What it is here.
        expected: String,
        /// What it is in the folder.
        found: String,
    },
    /// A score is not a finite number.
    #[error("`{}` line {line}: score `{score}` of prompt `{prompt}` is not a finite number", path.display())]
    Score {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The prompt's id.
        prompt: String,
        /// The score as given.
        score: String,
    },
    /// Two rows share an id.
    #[error("`{}` line {line}: id `{id}` was used on line {first} before", path.display())]
    DuplicateId {
        /// The file.
        path: PathBuf,
        /// The second line with it, counted from 1.
        line: usize,
        /// The first line with it.
        first: usize,
        /// The id.
        id: String,
    },
    /// A file holds no rows at all.
    #[error("`{}` has no rows", path.display())]
    NoRows {
        /// The file.
        path: PathBuf,
    },
    /// A file does not begin as safetensors files do.
    #[error("`{}` is no safetensors file", path.display())]
    NotSafeTensors {
        /// The file.
        path: PathBuf,
    },
    /// A safetensors file could not be understood.
    #[error("`{}` is not a readable safetensors file", path.display())]
    SafeTensors {
        /// The file.
        path: PathBuf,
        /// The format's reason.
        source: safetensors::SafeTensorError,
    },
    /// A tensor has another type or shape than its artifact promises.
    #[error("`{}` tensor `{tensor}`: expected {expected}, found {found}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// Type and shape promised.
        expected: String,
        /// Type and shape found.
        found: String,
    },
    /// A shard of an activation store is absent.
    #[error("`{}` lacks the shard `{shard}`", path.display())]
    MissingShard {
        /// The store.
        path: PathBuf,
        /// The shard's file name.
        shard: String,
    },
    /// A shard of an activation store belongs to another capture.
    #[error("`{}` and `{}` are shards of different stores", first.display(), path.display())]
    ForeignShard {
        /// The shard.
        path: PathBuf,
        /// The store's first shard.
        first: PathBuf,
    },
    /// Two shards hold one tensor.
    #[error("`{}` tensor `{tensor}`: it is in `{}` already", path.display(), first.display())]
    RepeatedTensor {
        /// The later shard.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The earlier shard.
        first: PathBuf,
    },
    /// A tensor is not named after a hook point.
    #[error("`{}` holds a tensor that is not named after a hook point", path.display())]
    TensorName {
        /// The file.
        path: PathBuf,
        /// The name and what is near it.
        source: Box<Error>,
    },
    /// The file was written by something else.
    #[error("`{}` has no heirloom header", path.display())]
    NoHeader {
        /// The file.
        path: PathBuf,
    },
    /// The header was written by another version or for another kind of artifact.
    #[error("`{}`: expected {expected}, found {found}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Kind and version this code reads.
        expected: String,
        /// Kind and version in the file.
        found: String,
    },
    /// A JSON document could not be understood.
    #[error("`{}` could not be read as JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// Not a finite number where one is stored.
    #[error("`{hook}` row `{row}` holds a value that is not finite")]
    NotFinite {
        /// The hook point.
        hook: String,
        /// The row's id.
        row: String,
    },
    /// An activation store lacks a hook point.
    #[error("`{}` holds no activations of `{hook}`", path.display())]
    MissingHook {
        /// The store.
        path: PathBuf,
        /// The hook point asked for.
        hook: String,
    },
    /// A CSV file could not be read or written.
    #[error("could not {action} the table `{}`", path.display())]
    Csv {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The library's reason.
        source: csv::Error,
    },
    /// A Parquet file could not be read or written.
    #[error("could not {action} the table `{}`", path.display())]
    Parquet {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The library's reason.
        source: parquet::errors::ParquetError,
    },
    /// A score file lacks a column.
    #[error("`{}` has no column `{column}`; it has {}", path.display(), quoted(found))]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// The columns there are.
        found: Vec<String>,
    },
    /// A table lacks a column or a cell has another type.
    #[error("table `{}`: column `{column}` {problem}", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// What is wrong with it, in words.
        problem: String,
    },
    /// A path to be written ends in `..`.
    #[error("`{}` does not end in a name", path.display())]
    Nameless {
        /// The path as given.
        path: PathBuf,
    },
    /// Another process works on a run.
    #[error("another heirloom is running in `{}`", path.display())]
    Running {
        /// The run's folder.
        path: PathBuf,
    },
    /// A folder is in use by something else.
    #[error("`{}` {holds}", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// What it holds instead.
        holds: String,
    },
    /// A run that is only read lacks an artifact.
    #[error("the run `{}` has no `{}`", run.display(), artifact.display())]
    NotMade {
        /// The run's folder.
        run: PathBuf,
        /// The artifact, inside it.
        artifact: PathBuf,
    },
}

/// Why a line is not the JSON that is read: the parser's reason with the column, for the line is the file's to count.
#[derive(Debug)]
pub struct LineProblem(pub serde_json::Error);

impl std::fmt::Display for LineProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = self.0.to_string();
        match said.rsplit_once(" at line ") {
            Some((reason, _)) if self.0.column() > 0 => write!(f, "{reason} at column {}", self.0.column()),
            _ => f.write_str(&said),
        }
    }
}

impl std::error::Error for LineProblem {}

impl Error {
    /// What the user can do about it, when there is something particular to say.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownHook { pattern, n_layers, .. } if layer_of(pattern).is_some_and(|at| at >= *n_layers) => {
                Some(format!("its blocks are 0 to {}", n_layers.saturating_sub(1)))
            }
            Self::UnknownHook { near, .. } | Self::NotAHookPoint { near, .. } if !near.is_empty() => {
                Some(format!("near names: {}", quoted(near)))
            }
            Self::UnknownKey { key, known, .. } => match near(key, known.iter().map(String::as_str)) {
                near if !near.is_empty() => Some(format!("near names: {}", quoted(&near))),
                _ if *known == ["role", "content"] => {
                    Some("heirloom renders `role` and `content` only: remove the key".into())
                }
                _ => None,
            },
            Self::UnknownHook { pattern, .. } if pattern.contains(',') => {
                Some("give several patterns one by one: repeat `--hooks`".into())
            }
            Self::NoColumn { .. } => Some("a table of scores has the columns `prompt` and `score`".into()),
            Self::NotSafeTensors { .. } => Some("`heirloom inspect` says what a file is".into()),
            Self::SafeTensors { .. } => Some("it was cut off or changed: copy it again, or write it again".into()),
            Self::Json { source, .. } => near_in(&source.to_string()),
            Self::Line { source, .. } => Some(near_in(&source.to_string()).unwrap_or_else(|| {
                "the file is read as JSONL: one JSON object a line".into()
            })),
            Self::RowInput { .. } => Some(
                "`messages` gets the chat template, `text` is tokenized as it stands, `input_ids` are taken as given".into(),
            ),
            Self::Hidden { .. } => {
                Some("give a system message, pairs of user and assistant as examples, or both in this order".into())
            }
            Self::Answered { .. } => Some("a prompt ends before the answer: remove the last message".into()),
            Self::NotAnswered { .. } => {
                Some("a rollout is a prompt and its answer; where there is none yet, read it as prompts".into())
            }
            Self::RepeatedSample { .. } => {
                Some("number a teacher's answers to one prompt from 0, or leave `sample` out".into())
            }
            Self::Unfinished { .. } => Some("the command that began them goes on where it stopped".into()),
            Self::OtherRollouts { .. } => {
                Some("choose another `--out`, or go on with what they were begun with".into())
            }
            Self::MissingShard { .. } | Self::ForeignShard { .. } => {
                Some("copy the whole folder again, or capture again".into())
            }
            Self::TensorName { source, .. } => source.hint(),
            Self::Running { .. } => Some("wait for it, or choose another `--out`".into()),
            Self::NotMade { .. } => Some(
                "run it to its end; of a run that has ended, the world or heirloom itself is another now".into(),
            ),
            Self::Occupied { .. } => Some("name another folder, or remove this one".into()),
            Self::Header { .. } => Some("write it again with this version of heirloom".into()),
            Self::NoHeader { .. } => {
                Some("heirloom reads the folders and files that its own commands wrote".into())
            }
            _ => None,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}
