//! Why a judge cannot grade.

use std::collections::BTreeMap;

/// Why a judge cannot grade.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JudgeProblem {
    /// The address cannot be asked.
    #[error("expected {expected}, found `{found}`")]
    Url {
        /// What an address must be.
        expected: &'static str,
        /// The address without user and query, which could hold a key.
        found: String,
    },
    /// The key cannot stand in a header.
    #[error("the key must be printable ASCII without spaces")]
    Key,
    /// A setting outside its range.
    #[error("`{name}`: expected {expected}, found {found}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Its range in words.
        expected: &'static str,
        /// The value.
        found: String,
    },
    /// The prompt cannot be used.
    #[error("the prompt cannot be used")]
    Prompt(#[from] super::PromptProblem),
    /// Nobody listens at the address.
    #[error("no server answers there: {reason}")]
    Unreachable {
        /// The system's reason.
        reason: String,
    },
    /// The server refuses every request alike.
    #[error("the server answered http {status}: {said}")]
    Turned {
        /// The status.
        status: u16,
        /// The beginning of what it said.
        said: String,
        /// The model that was asked for.
        model: String,
        /// Whether a key was sent.
        keyed: bool,
    },
    /// There is nothing to grade.
    #[error("there are no rollouts to grade")]
    NoRollouts,
    /// More requests failed than rates may leave out.
    #[error("{failed} of {n} rollouts have no grade ({}), more than the {:.1} % allowed", kinds(failures), 100.0 * allowed)]
    TooManyFailures {
        /// Rollouts without a grade.
        failed: usize,
        /// Rollouts.
        n: usize,
        /// The share that may fail.
        allowed: f64,
        /// Failed requests of each kind.
        failures: BTreeMap<String, usize>,
    },
}

impl JudgeProblem {
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unreachable { .. } => {
                "serve a model there, for instance `vllm serve MODEL --port 8000` or `llama-server -m MODEL.gguf --port 8000`, and give its address: \
                 `http://localhost:8000`"
            }
            Self::Url { .. } => "an address is like `http://localhost:8000`; the key is given apart from it",
            Self::Turned { status: 401 | 403, keyed: false, .. } => "the server asks for a key: give one",
            Self::Turned { status: 401 | 403, keyed: true, .. } => {
                "the server does not take this key: check that it is whole and belongs to this server"
            }
            Self::Turned { status: 300..=399, .. } => "the server has moved: give the address that it names",
            Self::Turned { model, .. } => {
                return Some(format!(
                    "check the address, which ends in `/v1`, and that the server has a model called `{model}`: `GET /v1/models` lists them"
                ));
            }
            Self::TooManyFailures { .. } => {
                "every answer of the judge is kept beside the grades: read what it said, then grade again or allow more"
            }
            Self::Prompt(problem) => return problem.hint(),
            Self::Key | Self::Setting { .. } | Self::NoRollouts => return None,
        };
        Some(hint.into())
    }
}

/// Counts in a sentence: "http 500: 3, timeout: 1".
pub(super) fn kinds(failures: &BTreeMap<String, usize>) -> String {
    failures.iter().map(|(kind, n)| format!("{kind}: {n}")).collect::<Vec<_>>().join(", ")
}
