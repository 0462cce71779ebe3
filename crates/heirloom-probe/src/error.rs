//! Everything that can be wrong with the numbers handed in, each kind with both values.

use linfa_linalg::LinalgError;

/// What a function of this crate could not do, and the values that stopped it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A NaN or an infinity, at the first place it is seen.
    #[error("row {row}, column {column}: expected a finite activation, found {value}")]
    NonFinite {
        /// Row of the matrix.
        row: usize,
        /// Column of the matrix.
        column: usize,
        /// The value found.
        value: f64,
    },
    /// A score that cannot be ranked.
    #[error("row {row}: expected a finite score, found {value}")]
    NonFiniteScore {
        /// Row of the score.
        row: usize,
        /// The value found.
        value: f64,
    },
    /// Two per-row arrays of different lengths.
    #[error("`{what}`: expected {expected} rows, found {found}")]
    Rows {
        /// Name of the argument.
        what: &'static str,
        /// Rows of the matrix or of the labels.
        expected: usize,
        /// Rows of the argument.
        found: usize,
    },
    /// A matrix whose width is not the direction's.
    #[error("expected d_model {expected}, found {found}")]
    Width {
        /// Width the direction was fit at.
        expected: usize,
        /// Width of the matrix.
        found: usize,
    },
    /// Another number of contrast pairs than the other models were read on.
    #[error("expected {expected} pairs, found {found}")]
    Pairs {
        /// Pairs of the others.
        expected: usize,
        /// Pairs of this one.
        found: usize,
    },
    /// Directions of pairs turned around in another number of draws.
    #[error("expected {expected} draws, found {found}")]
    Draws {
        /// Draws of the one.
        expected: usize,
        /// Draws of the other.
        found: usize,
    },
    /// No rows or no columns.
    #[error("expected at least one row and one column, found {rows} rows and {columns} columns")]
    Empty {
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        columns: usize,
    },
    /// Only positives or only negatives where both are needed.
    #[error("`{what}`: expected rows of both classes, found {positives} positive and {negatives} negative")]
    OneClass {
        /// The rows meant, such as a part of a split.
        what: String,
        /// Positive rows.
        positives: usize,
        /// Negative rows.
        negatives: usize,
    },
    /// Strata that leave no positive to compare with a negative.
    #[error("each of {strata} strata holds one class only, so no positive can be compared with a negative")]
    OneClassStrata {
        /// Number of strata.
        strata: usize,
    },
    /// A contrast pair or scenario in two groups; a split by group would tear it apart.
    #[error("cluster `{cluster}`: expected one group, found `{first}` and `{second}`")]
    ClusterStraddlesGroups {
        /// The cluster.
        cluster: String,
        /// Group of its first row.
        first: String,
        /// Another group among its rows.
        second: String,
    },
    /// Held-out rows that share a group with the rows a probe was fit on.
    #[error("group `{group}` is on both sides of a split: in `{first}` and in `{second}`")]
    GroupOnBothSides {
        /// The group.
        group: String,
        /// Part that holds it.
        first: &'static str,
        /// Another part that holds it.
        second: &'static str,
    },
    /// A group's name that no row carries.
    #[error("group `{group}` has no rows; the groups are {}", quoted(known))]
    UnknownGroup {
        /// The name asked for.
        group: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// Too few groups or clusters for what was asked.
    #[error("expected at least {expected} {unit}s, found {found}")]
    TooFew {
        /// `group`, `cluster`, `pair`, `hook`, `value`, `replicate`, `arm`, `direction`, `subset` or `fraction`.
        unit: &'static str,
        /// The least that works.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A row index past the end.
    #[error("row {row} is outside the {rows} rows of the dataset")]
    RowOutOfRange {
        /// The index.
        row: usize,
        /// Rows of the dataset.
        rows: usize,
    },
    /// A scenario that only one of two arms was measured on.
    #[error("run {run}, cluster {cluster}: expected values of both arms, found none of the {missing} one")]
    Unpaired {
        /// Number of the run.
        run: usize,
        /// Number of the cluster inside it.
        cluster: usize,
        /// `first` or `second`.
        missing: &'static str,
    },
    /// A scenario that one of several arms was not measured on, or was alone in being measured on.
    #[error(
        "run {run}, cluster {cluster}: expected values of every arm or of none, found `{arm}` to differ from `{first}`"
    )]
    UnpairedArm {
        /// Number of the run.
        run: usize,
        /// Number of the cluster inside it.
        cluster: usize,
        /// The arm that differs.
        arm: String,
        /// The arm it was compared with.
        first: String,
    },
    /// An arm's name that no measured arm carries.
    #[error("unknown arm `{name}`; the arms are {}", quoted(known))]
    UnknownArm {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A name, corner or role that was handed in more than once.
    #[error("`{name}` was given twice: expected one arm for it")]
    GivenTwice {
        /// The name, the corner or the role.
        name: String,
    },
    /// Two datasets that should describe the same rows.
    #[error("`{second}` differs from `{first}` in the {what} of its rows")]
    RowsDiffer {
        /// The hook or behavior compared with.
        first: String,
        /// The one that differs.
        second: String,
        /// `labels`, `clusters`, `groups` or `number`.
        what: &'static str,
    },
    /// A setting outside its range.
    #[error("`{name}`: expected {expected}, found {found}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Its range in words.
        expected: &'static str,
        /// The value.
        found: f64,
    },
    /// A method's name that is not one.
    #[error("unknown method `{name}`; the methods are {}", quoted(known))]
    UnknownMethod {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<&'static str>,
    },
    /// The classes do not differ in the way the method looks for.
    #[error("`{method}` found no direction: the fitted vector has norm {norm:e} over {rows} rows")]
    NoDirection {
        /// The method.
        method: &'static str,
        /// Norm of the vector.
        norm: f64,
        /// Rows it was fit on.
        rows: usize,
    },
    /// The optimum was not reached; its coefficients would not be the objective's.
    #[error(
        "the logistic fit at C = {strength} stopped after {iterations} iterations: \
         expected a gradient norm of at most {tolerance:e}, found {gradient_norm:e}"
    )]
    NotConverged {
        /// Inverse regularization strength.
        strength: f64,
        /// Newton iterations made.
        iterations: usize,
        /// Largest entry of the gradient per row.
        gradient_norm: f64,
        /// The tolerance asked for.
        tolerance: f64,
    },
    /// A covariance without an inverse.
    #[error("expected a positive definite matrix, found pivot {value:e} at {pivot} of {size}")]
    NotPositiveDefinite {
        /// Index of the failing pivot's block.
        pivot: usize,
        /// Diagonal entry there before factoring.
        value: f64,
        /// Rows of the matrix.
        size: usize,
    },
    /// Every allowed shuffle leaves the labels as they are.
    #[error(
        "shuffling within {groups} groups cannot change a label: no mixed cluster, no group of both classes"
    )]
    NothingToShuffle {
        /// Groups looked at.
        groups: usize,
    },
    /// Resampling hardly ever yields both classes.
    #[error("{attempts} resamples in a row of {clusters} clusters all had one class only")]
    OneClassReplicates {
        /// Resamples drawn for one replicate.
        attempts: usize,
        /// Clusters resampled.
        clusters: usize,
    },
    /// What went wrong with one checkpoint of a series.
    #[error("checkpoint {step}")]
    Checkpoint {
        /// Its step.
        step: usize,
        /// What it was.
        source: Box<Error>,
    },
    /// Two quantities that were not measured at the same checkpoints.
    #[error("expected checkpoints at steps {}, found {}", numbers(first), numbers(second))]
    CheckpointsDiffer {
        /// Steps of the first quantity.
        first: Vec<usize>,
        /// Steps of the second.
        second: Vec<usize>,
    },
    /// The dense linear algebra below.
    #[error("linear algebra")]
    Linalg(#[from] LinalgError),
    /// Demanded by linfa's traits.
    #[error("linfa")]
    Linfa(#[from] linfa::Error),
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What the user can do about it, when there is something particular to say.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::ClusterStraddlesGroups { .. } => "give both rows of a pair the same group",
            Self::GroupOnBothSides { .. } => "a group belongs to one part: remove it from the other",
            Self::OneClass { .. } => "every part needs rows with and rows without the behavior",
            Self::TooFew { unit: "group", .. } => {
                "give rows more groups: prompt families that splits keep whole"
            }
            Self::Unpaired { .. } | Self::UnpairedArm { .. } => {
                "arms are compared on the scenarios they share: grade all arms of a seed on the same ones"
            }
            Self::NoDirection { .. } => {
                "the classes have the same activations: pairs that share a prompt do at the last prompt token; read their answers with `response-mean`"
            }
            _ => return None,
        };
        Some(hint.into())
    }
}

fn quoted(names: &[impl AsRef<str>]) -> String {
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

fn numbers(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}
