//! What can go wrong when an experiment is put together.

use std::path::PathBuf;

/// The result of composing a pipeline.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong when an experiment is put together. [`Error::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing an artifact.
    #[error(transparent)]
    Record(#[from] heirloom_record::Error),
    /// Loading or grading a behavior.
    #[error(transparent)]
    Rollout(#[from] heirloom_rollout::Error),
    /// Loading or running a student.
    #[error(transparent)]
    Model(#[from] heirloom_model::Error),
    /// Fitting or scoring.
    #[error(transparent)]
    Probe(#[from] heirloom_probe::Error),
    /// Drawing.
    #[error(transparent)]
    Figure(#[from] heirloom_figure::Error),
    /// The experiment file cannot be read.
    #[error("could not read the experiment `{}`", path.display())]
    ReadExperiment {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The experiment file is not what it should be.
    #[error("could not understand the experiment `{}`", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The parser's reason, with line and column.
        source: Box<toml::de::Error>,
    },
    /// The model's file is not there.
    #[error("the model `{}` is not there", path.display())]
    NoModel {
        /// Where it was looked for.
        path: PathBuf,
        /// The command that fetches it.
        fetch: Option<String>,
    },
    /// The headline method is not among the methods.
    #[error("the headline method `{headline}` is not among the methods ({})", methods.join(", "))]
    Headline {
        /// The headline method.
        headline: String,
        /// The methods.
        methods: Vec<String>,
    },
    /// A row of a store lacks what a probe needs.
    #[error("row `{row}` of `{}` has no {field}", store.display())]
    Unlabelled {
        /// The store.
        store: PathBuf,
        /// The row's id.
        row: String,
        /// `label` or `group`.
        field: &'static str,
    },
    /// A direction is scored on activations of another model, readout or width.
    #[error("the directions were fit on {field} `{expected}`, the activations have `{found}`")]
    Foreign {
        /// What differs.
        field: &'static str,
        /// What the directions were fit on.
        expected: String,
        /// What the activations have.
        found: String,
    },
    /// A direction is scored on groups it was fit on.
    #[error("the directions were fit on groups that are scored here: {}", groups.join(", "))]
    HeldIn {
        /// The groups on both sides.
        groups: Vec<String>,
    },
}

impl Error {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Record(error) => error.hint(),
            Self::Rollout(error) => error.hint(),
            Self::Model(error) => error.hint(),
            Self::Probe(error) => error.hint(),
            Self::Figure(error) => error.hint(),
            Self::NoModel { fetch: Some(fetch), .. } => Some(format!("fetch it with `{fetch}`")),
            Self::Unlabelled { field: "label", .. } => {
                Some("give every row `\"label\": true` or `false` and capture again".into())
            }
            Self::Unlabelled { .. } => {
                Some("give every row a `\"group\"`; groups never straddle a split".into())
            }
            Self::Foreign { .. } => Some("fit on activations that were captured in the same way".into()),
            Self::HeldIn { .. } => Some(
                "score other groups with `--groups`, or pass `--held-in` to accept a number that says nothing about transfer".into(),
            ),
            _ => None,
        }
    }
}
