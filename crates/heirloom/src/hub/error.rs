//! Why a model did not come from the hub, and what to do.

use std::path::PathBuf;

use hf_hub::api::sync::ApiError;

use super::Name;

/// Why a model did not come from the hub. [`HubError::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The name is none.
    #[error("`{name}` names no model of the hub")]
    Name {
        /// As given.
        name: String,
    },
    /// Offline, the cache does not have it.
    #[error("`{name}` is not whole in the cache `{}`: it lacks {missing}", cache.display())]
    Offline {
        /// Repository and revision.
        name: String,
        /// The first thing missing.
        missing: String,
        /// The cache.
        cache: PathBuf,
    },
    /// The hub has no such repository, or not this revision of it.
    #[error("the hub has no `{name}`")]
    Absent {
        /// Repository and revision.
        name: String,
    },
    /// The hub does not give it.
    #[error("the hub does not give `{name}` (status {status}): it is gated, private, or not there")]
    Refused {
        /// Repository and revision.
        name: String,
        /// Status of its answer.
        status: u16,
        /// Whether a token was sent.
        token: bool,
    },
    /// The hub answers with an error.
    #[error("the hub answered `{name}` with status {status}")]
    Status {
        /// Repository and revision.
        name: String,
        /// Status of its answer.
        status: u16,
    },
    /// The hub cannot be reached, or the connection broke too often.
    #[error("could not fetch `{name}` from the hub")]
    Unreachable {
        /// Repository and revision.
        name: String,
        /// The library's reason.
        source: Box<ApiError>,
    },
    /// The repository holds nothing that heirloom reads.
    #[error("`{name}` has no {missing}; it has {}", there.join(", "))]
    Nothing {
        /// Repository and revision.
        name: String,
        /// What was looked for.
        missing: String,
        /// Its files.
        there: Vec<String>,
    },
    /// A file is not what its checksum says.
    #[error("`{}` came damaged and was removed: its SHA-256 is {found}, not {expected}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// By its name.
        expected: String,
        /// By its content.
        found: String,
    },
    /// An index of shards could not be understood.
    #[error("`{}` could not be read as JSON", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// The cache could not be read or written.
    #[error("the cache at `{}` could not be used", path.display())]
    Cache {
        /// Where.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file of the cache could not be hashed.
    #[error(transparent)]
    Record(#[from] heirloom_record::Error),
}

/// The status that the hub answered with.
pub(super) fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(source) => match **source {
            ureq::Error::StatusCode(status) => Some(status),
            _ => None,
        },
        ApiError::TooManyRetries(last) => status(last),
        _ => None,
    }
}

impl HubError {
    pub(super) fn of(name: &Name, token: bool, error: ApiError) -> Self {
        let name = name.to_string();
        match status(&error) {
            Some(404) => Self::Absent { name },
            Some(status @ (401 | 403)) => Self::Refused { name, status, token },
            Some(status) => Self::Status { name, status },
            None => Self::Unreachable { name, source: Box::new(error) },
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Name { .. } => {
                "write `hf:ORG/NAME` or `hf:ORG/NAME@REVISION`; a revision is a branch, a tag or a commit"
            }
            Self::Offline { .. } => {
                "the environment says to stay offline: unset HF_HUB_OFFLINE once to fetch it, or name the cache that has it in HF_HUB_CACHE"
            }
            Self::Absent { .. } => {
                "check the spelling of the repository and of the revision; both are case-sensitive"
            }
            Self::Refused { token: false, .. } => {
                "check the spelling; if it is gated, accept its terms on its page, then set HF_TOKEN to a token that may read it"
            }
            Self::Refused { token: true, .. } => {
                "the token in HF_TOKEN may not read it: accept the terms on its page with that account, or give another token"
            }
            Self::Status { .. } => "try again later; with HF_HUB_OFFLINE=1 what is in the cache is used",
            Self::Unreachable { .. } => {
                "check the connection and HF_ENDPOINT, and run it again: a broken download goes on where it broke; with HF_HUB_OFFLINE=1 what is in the cache is used"
            }
            Self::Nothing { there, .. } if there.iter().any(|file| file.starts_with("pytorch_model")) => {
                "its weights are pickled: load it with transformers and save it again with `save_pretrained(…, safe_serialization=True)`"
            }
            Self::Nothing { .. } => {
                "name a repository with safetensors weights, one GGUF file, or a PEFT adapter"
            }
            Self::Damaged { .. } => "run it again to fetch the file anew",
            Self::Cache { .. } => "name a folder that can be written in HF_HUB_CACHE",
            Self::Record(error) => return error.hint(),
            Self::Index { .. } => "remove the file and run it again",
        };
        Some(text.into())
    }
}
