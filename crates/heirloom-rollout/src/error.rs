//! What can go wrong with a behavior, a pool of rollouts, an arm or a world.

use std::path::{Path, PathBuf};

use heirloom_record::{near, near_in, unknown_key};

use crate::{ArmProblem, JudgeProblem, PoolProblem, PromptProblem, WorldProblem};

/// The result of what can go wrong with text.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a behavior, a pool of rollouts, an arm or a world. [`Error::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read, or a line of it could not be understood.
    #[error(transparent)]
    Record(#[from] heirloom_record::Error),
    /// A file stands where a behavior's folder is meant.
    #[error("`{}` is a file, not a behavior's folder", path.display())]
    NotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// A behavior's folder lacks files.
    #[error("`{}` lacks {}", folder.display(), quoted(missing))]
    MissingFiles {
        /// The folder.
        folder: PathBuf,
        /// Every file that is not there.
        missing: Vec<String>,
    },
    /// A file could not be read.
    #[error("could not read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A TOML file is not what it should be.
    #[error("`{}` line {line}: could not be read", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The parser's reason.
        source: Box<toml::de::Error>,
    },
    /// A key of a TOML file that heirloom does not know.
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
    /// A key of a world's file cannot be used.
    #[error("`{}`: `{key}` cannot be used", path.display())]
    World {
        /// The file that the key stands in.
        path: PathBuf,
        /// The key, with dots between tables; an entry of a list has its number, counted from 1.
        key: String,
        /// Why.
        source: Box<WorldProblem>,
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
    /// A file of prompts for a judge cannot be used.
    #[error("`{}`: a judge cannot be asked with this prompt", path.display())]
    JudgePrompt {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PromptProblem,
    },
    /// A judge cannot grade.
    #[error("the judge at `{endpoint}` could not grade")]
    Judge {
        /// Its address.
        endpoint: String,
        /// Why.
        source: Box<JudgeProblem>,
    },
    /// Prompts and rollouts do not fit together.
    #[error("prompts and rollouts do not fit together")]
    Pool {
        /// Why.
        source: Box<PoolProblem>,
    },
    /// An arm cannot be made.
    #[error("arm `{arm}` cannot be made")]
    Arm {
        /// The arm's name.
        arm: String,
        /// Why.
        source: Box<ArmProblem>,
    },
    /// An intervention of an arm cannot be made.
    #[error("arm `{arm}`: intervention {number}, {intervention}, cannot be made")]
    Intervention {
        /// The arm's name.
        arm: String,
        /// Which of its interventions, counted from 1.
        number: usize,
        /// The intervention, in words.
        intervention: String,
        /// Why.
        source: Box<ArmProblem>,
    },
    /// The rows beside a manifest's settings are others than it was written with.
    #[error("`{}` was changed after its manifest was written", path.display())]
    ManifestRows {
        /// The file.
        path: PathBuf,
    },
    /// A manifest's rollouts are not those of a pool.
    #[error("arm `{arm}`: the pool lacks {} of its rollouts, or has them with another text: {}", rollouts.len(), listed(rollouts))]
    ForeignManifest {
        /// The arm's name.
        arm: String,
        /// Their ids.
        rollouts: Vec<String>,
    },
    /// Two arms differ in more than was meant.
    #[error("arm `{arm}` differs from `{against}` not only on {on}: {}", listed_as_they_are(differences))]
    Unmeant {
        /// The second arm.
        arm: String,
        /// The first arm.
        against: String,
        /// The subset that was meant, in words.
        on: String,
        /// Everything else that differs, in words.
        differences: Vec<String>,
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
            Self::NotAFolder { path } => {
                Some(match path.parent().filter(|folder| crate::behavior::stands_at(folder)) {
                    Some(folder) => format!("give the folder that it stands in: `{}`", folder.display()),
                    None => format!("a behavior is a folder that holds {}", quoted(&crate::behavior::FILES)),
                })
            }
            Self::MissingFiles { .. } => {
                Some(format!("a behavior is a folder that holds {}", quoted(&crate::behavior::FILES)))
            }
            Self::Toml { source, .. } => near_in(source.message()),
            Self::UnknownKey { key, known, .. } => near_names(&near(key, known.iter().map(String::as_str))),
            Self::Name { folder, .. } => Some(format!("write `name = \"{folder}\"`, or rename the folder")),
            Self::Rule { source: RuleProblem::Pattern { .. }, .. } => {
                Some("patterns are those of Rust's `regex`: no look-around, no backreferences".into())
            }
            Self::World { key, source, .. } => source.hint(key),
            Self::Row { source: RowProblem::NoThought, .. } => Some(
                "a thought is a leading `<think>…</think>`; leave `thought` out where there is none".into(),
            ),
            Self::JudgePrompt { source, .. } => source.hint(),
            Self::Judge { source, .. } => source.hint(),
            Self::Pool { source } => source.hint(),
            Self::Arm { source, .. } | Self::Intervention { source, .. } => source.hint(),
            Self::ForeignManifest { .. } => {
                Some("make the pool from the prompts and rollouts that the arm was made from".into())
            }
            _ => None,
        }
    }
}

/// The error of `text`, read from `path` as TOML.
pub(crate) fn in_toml(path: &Path, text: &str, source: toml::de::Error) -> Error {
    let start = source.span().map_or(0, |span| span.start);
    let line = text[..start].matches('\n').count() + 1;
    match unknown_key(source.message()) {
        Some((key, known)) => Error::UnknownKey { path: path.into(), line, key, known },
        None => Error::Toml { path: path.into(), line, source: Box::new(source) },
    }
}

/// Names in a sentence: "`a`, `b`".
pub(crate) fn quoted(names: &[impl AsRef<str>]) -> String {
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// Names in a sentence: "`a`, `b` or `c`".
pub(crate) fn either(names: &[String]) -> String {
    match names {
        [names @ .., last] if !names.is_empty() => format!("{} or `{last}`", quoted(names)),
        names => quoted(names),
    }
}

/// The first hundred names in a sentence, and how many more there are; an error's field holds them all.
pub(crate) fn listed(names: &[String]) -> String {
    listed_as_they_are(&names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>())
}

fn listed_as_they_are(things: &[String]) -> String {
    const SHOWN: usize = 100;
    let shown = things[..things.len().min(SHOWN)].join(", ");
    if things.len() <= SHOWN { shown } else { format!("{shown} and {} more", things.len() - SHOWN) }
}

/// The hint that lists near names, where there are any.
pub(crate) fn near_names(near: &[String]) -> Option<String> {
    (!near.is_empty()).then(|| format!("near names: {}", quoted(near)))
}
