//! What can go wrong with a behavior.

use std::path::PathBuf;

use heirloom_record::near;

/// The result of reading a behavior.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a behavior. [`Error::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read, or a line of it could not be understood.
    #[error(transparent)]
    Record(#[from] heirloom_record::Error),
    /// A behavior's folder lacks files.
    #[error("`{}` lacks {}", folder.display(), quoted(missing))]
    MissingFiles {
        /// The folder.
        folder: PathBuf,
        /// Every file that is not there.
        missing: Vec<String>,
    },
    /// A file of a behavior's folder could not be read.
    #[error("could not read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// `behavior.toml` is not what it should be.
    #[error("`{}` line {line}: could not be read", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The parser's reason.
        source: Box<toml::de::Error>,
    },
    /// A key of `behavior.toml` that heirloom does not know.
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
    /// The name in `behavior.toml` is not the folder's.
    #[error("`{}`: name `{name}` stands in a folder called `{folder}`", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// The name in the file.
        name: String,
        /// The folder's name.
        folder: String,
    },
    /// A text of `behavior.toml` is there but empty.
    #[error("`{}`: `{key}` is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
    },
    /// No rule of a grader can show the behavior.
    #[error("`{}`: grader `{grader}` has no rule with effect `shows`", path.display())]
    NoShows {
        /// The file.
        path: PathBuf,
        /// The grader's name.
        grader: String,
    },
    /// A rule of a grader cannot be used.
    #[error("`{}`: rule `{rule}` cannot be used", path.display())]
    Rule {
        /// The file.
        path: PathBuf,
        /// The rule's name.
        rule: String,
        /// Why.
        source: RuleProblem,
    },
    /// A line is well formed and says something that cannot be.
    #[error("`{}` line {line}: row `{id}` cannot be used", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The row's id.
        id: String,
        /// Why.
        source: RowProblem,
    },
}

/// Why a rule cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuleProblem {
    /// A pattern is no regular expression.
    #[error("`{list}` pattern `{pattern}` is not a regular expression")]
    Pattern {
        /// `all` or `none`.
        list: &'static str,
        /// The pattern as given.
        pattern: String,
        /// Where it breaks.
        source: Box<regex::Error>,
    },
    /// The rule has no pattern that must match, so it would fire on every text.
    #[error("`all` is empty")]
    NoPatterns,
    /// Two rules share a name.
    #[error("its name is used by rule {first} before")]
    Duplicate {
        /// The first rule with it, counted from 1.
        first: usize,
    },
}

/// Why a row cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowProblem {
    /// A field is there but empty.
    #[error("`{key}` is empty")]
    Empty {
        /// The field.
        key: &'static str,
    },
    /// Messages that must end in the assistant's words end in another's.
    #[error("`{key}` ends in a message of `{found}`, expected `assistant`")]
    NoAnswer {
        /// The field.
        key: &'static str,
        /// The role of the last message.
        found: String,
    },
    /// A prompt that already holds its answer.
    #[error("`{key}` ends in a message of `assistant`, expected one that the assistant answers")]
    Answered {
        /// The field.
        key: &'static str,
    },
    /// A thought is labelled where the text has none.
    #[error("`thought` is labelled, but its last message does not begin with a thought")]
    NoThought,
}

impl Error {
    /// What the user can do about it, when there is something particular to say.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Record(source) => source.hint(),
            Self::MissingFiles { .. } => {
                Some(format!("a behavior is a folder that holds {}", quoted(&crate::behavior::FILES)))
            }
            Self::UnknownKey { key, known, .. } => {
                let near = near(key, known.iter().map(String::as_str));
                (!near.is_empty()).then(|| format!("near names: {}", quoted(&near)))
            }
            Self::Name { folder, .. } => Some(format!("write `name = \"{folder}\"`, or rename the folder")),
            Self::Rule { source: RuleProblem::Pattern { .. }, .. } => {
                Some("patterns are those of Rust's `regex`: no look-around, no backreferences".into())
            }
            Self::Row { source: RowProblem::NoThought, .. } => Some(
                "a thought is a leading `<think>…</think>`; leave `thought` out where there is none".into(),
            ),
            _ => None,
        }
    }
}

fn quoted(names: &[impl AsRef<str>]) -> String {
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}
