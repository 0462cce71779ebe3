//! Why an arm cannot be made.

use std::path::PathBuf;

use crate::error::{either, listed, near_names, quoted};

/// Why prompts and rollouts do not make a pool.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolProblem {
    /// Two prompts share an id.
    #[error("two prompts are called `{id}`")]
    RepeatedPrompt {
        /// The id.
        id: String,
    },
    /// Two rollouts share an id.
    #[error("two rollouts are called `{id}`")]
    RepeatedRollout {
        /// The id.
        id: String,
    },
    /// Two rollouts are the same sample.
    #[error("teacher `{teacher}` has two rollouts that are sample {sample} on prompt `{prompt}`")]
    RepeatedSample {
        /// Who answered.
        teacher: String,
        /// The prompt's id.
        prompt: String,
        /// Which of its answers.
        sample: usize,
    },
    /// Rollouts answer prompts that are not there.
    #[error("the prompts of {} rollouts are not there: {}", rollouts.len(), listed(rollouts))]
    NoPrompt {
        /// Their ids.
        rollouts: Vec<String>,
    },
    /// Rollouts answer another text than the prompt of that id.
    #[error("{} rollouts answer another text than their prompt: {}", rollouts.len(), listed(rollouts))]
    OtherPrompt {
        /// Their ids.
        rollouts: Vec<String>,
    },
    /// A prompt set to be joined is not there.
    #[error("no prompt has source `{name}`")]
    UnknownSource {
        /// The source as given.
        name: String,
        /// Sources close to it.
        near: Vec<String>,
    },
    /// A prompt set has the name already.
    #[error("a prompt set is called `{name}` already")]
    TakenSet {
        /// The name.
        name: String,
    },
}

/// Why an arm, or one of its interventions, cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArmProblem {
    /// Two arms share a name.
    #[error("its name is used by arm {first} before")]
    RepeatedName {
        /// The first arm with it, counted from 1.
        first: usize,
    },
    /// A name is there but empty.
    #[error("`{key}` is empty")]
    Empty {
        /// The key.
        key: &'static str,
    },
    /// No prompt set has the name.
    #[error("there is no prompt set `{name}`, expected {}", quoted(known))]
    UnknownSet {
        /// The name as given.
        name: String,
        /// Names close to it.
        near: Vec<String>,
        /// The sets there are.
        known: Vec<String>,
    },
    /// No teacher has the name.
    #[error("there is no rollout of a teacher `{name}`, expected {}", quoted(known))]
    UnknownTeacher {
        /// The name as given.
        name: String,
        /// Names close to it.
        near: Vec<String>,
        /// The teachers there are.
        known: Vec<String>,
    },
    /// A teacher did not answer all prompts.
    #[error("teacher `{teacher}` has no rollout on {} of {of} prompts: {}", prompts.len(), listed(prompts))]
    NoRollout {
        /// The teacher.
        teacher: String,
        /// Ids of the prompts without.
        prompts: Vec<String>,
        /// Prompts that need one.
        of: usize,
    },
    /// A subset has no prompt.
    #[error("{subset}: none of the {of} prompts there, whose tags are {}", counted(tags))]
    EmptySubset {
        /// The subset, in words.
        subset: String,
        /// Prompts it was chosen from.
        of: usize,
        /// Their tags, each with its number of prompts.
        tags: Vec<(String, usize)>,
        /// Whether the arm's prompt set had such prompts before the interventions so far.
        removed: bool,
    },
    /// Tags that no prompt of the pool has.
    #[error("no prompt has the tag {}; there are {}", quoted(tags), counted(known))]
    UnknownTags {
        /// The tags as given.
        tags: Vec<String>,
        /// Tags close to the first of them.
        near: Vec<String>,
        /// The tags there are, each with its number of prompts.
        known: Vec<(String, usize)>,
    },
    /// Ids that are not among the arm's prompts.
    #[error("{} of {of} ids are not among the arm's prompts: {}", ids.len(), listed(ids))]
    UnknownIds {
        /// The ids as given.
        ids: Vec<String>,
        /// Ids given in all.
        of: usize,
        /// Ids close to the first of them.
        near: Vec<String>,
    },
    /// A share is not one.
    #[error("`{key}` is {found}, expected above 0 and at most 1")]
    Share {
        /// The key.
        key: &'static str,
        /// The number as given.
        found: f64,
    },
    /// A pattern is no regular expression.
    #[error("pattern `{pattern}` is not a regular expression")]
    Pattern {
        /// The pattern as given.
        pattern: String,
        /// Where it breaks.
        source: Box<regex::Error>,
    },
    /// A score file could not be read.
    #[error("its scores could not be read")]
    Scores {
        /// Why.
        source: Box<heirloom_record::Error>,
    },
    /// Prompts without a score.
    #[error("`{}` has no score of {} of {of} prompts: {}", file.display(), prompts.len(), listed(prompts))]
    NoScore {
        /// The file.
        file: PathBuf,
        /// Ids of the prompts without.
        prompts: Vec<String>,
        /// Prompts that need one.
        of: usize,
    },
    /// A file of grades could not be read.
    #[error("its grades could not be read")]
    Grades {
        /// Why.
        source: Box<heirloom_record::Error>,
    },
    /// Answers without a grade.
    #[error(
        "`{}` has no grade for {behavior} of {} of {of} rollouts: {}",
        file.display(), rollouts.len(), listed(rollouts)
    )]
    NoGrade {
        /// The file.
        file: PathBuf,
        /// The behavior.
        behavior: String,
        /// Ids of the rollouts without.
        rollouts: Vec<String>,
        /// Rollouts that need one.
        of: usize,
        /// Behaviors that the file has grades for.
        known: Vec<String>,
    },
    /// Graders differ over one rollout.
    #[error("`{}` grades rollout `{rollout}` twice, and not alike", file.display())]
    TwoGrades {
        /// The file.
        file: PathBuf,
        /// The rollout's id.
        rollout: String,
    },
    /// More prompts are asked for than there are.
    #[error("{wanted} prompts are asked for, and there are {of}")]
    TooMany {
        /// Prompts asked for.
        wanted: usize,
        /// Prompts there are.
        of: usize,
    },
    /// A control that must lie outside its subset does not fit there.
    #[error("{like} are {wanted} prompts, and only {outside} others are there to match them")]
    NoRoom {
        /// The subset, in words.
        like: String,
        /// Prompts in it.
        wanted: usize,
        /// Prompts outside it.
        outside: usize,
    },
    /// A length was asked for that nobody counted.
    #[error("{} rollouts have no `n_tokens`: {}", rollouts.len(), listed(rollouts))]
    NoLength {
        /// Their ids.
        rollouts: Vec<String>,
    },
    /// The subset is everything, so nothing would be left.
    #[error("no row would be left: {subset} are all {of} prompts there")]
    NothingLeft {
        /// The subset, in words.
        subset: String,
        /// Prompts there.
        of: usize,
    },
    /// Nothing would change.
    #[error("it would change nothing: {reason}")]
    NoEffect {
        /// Why.
        reason: String,
    },
    /// Rows are removed or repeated after their order was set.
    #[error("it comes after `order`, whose order it would break")]
    AfterOrder,
}

impl PoolProblem {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NoPrompt { .. } => {
                Some("give the prompts they answer, too, or leave these rollouts out".into())
            }
            Self::OtherPrompt { .. } => Some(
                "the messages before the answer must be the prompt's word for word, a system message included"
                    .into(),
            ),
            Self::UnknownSource { near, .. } => near_names(near),
            _ => None,
        }
    }
}

impl ArmProblem {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownSet { near, .. }
            | Self::UnknownTeacher { near, .. }
            | Self::UnknownTags { near, .. }
            | Self::UnknownIds { near, .. } => near_names(near),
            Self::NoRollout { teacher, .. } => {
                Some(format!("let `{teacher}` answer them, or take them out of the arm's prompts"))
            }
            Self::EmptySubset { removed: true, .. } => {
                Some("an earlier intervention removed them all: put this one before it".into())
            }
            Self::Pattern { .. } => {
                Some("patterns are those of Rust's `regex`: no look-around, no backreferences".into())
            }
            Self::Scores { source } | Self::Grades { source } => source.hint(),
            Self::NoGrade { behavior, known, .. } if !known.contains(behavior) => {
                Some(format!("it has grades for {}", either(known)))
            }
            Self::NoGrade { .. } => Some(
                "grade every answer as it stands when the intervention is made; answers of a teacher swapped in before \
                 have that teacher's grades"
                    .into(),
            ),
            Self::TwoGrades { .. } => Some("keep the grades of one grader".into()),
            Self::NoScore { .. } => {
                Some("score every prompt of the arm; scores of other prompts are passed over".into())
            }
            Self::NoLength { .. } => {
                Some("give `n_tokens` of every rollout, counted with the student's tokenizer".into())
            }
            Self::NoRoom { .. } => {
                Some("a control of the same length lies outside its subset; `random` may overlap it".into())
            }
            Self::AfterOrder => Some("put `drop` and `keep_only` before `order`".into()),
            _ => None,
        }
    }
}

/// Names with their counts; `none` where there are none.
fn counted(names: &[(String, usize)]) -> String {
    let shown: Vec<String> = names.iter().map(|(name, count)| format!("`{name}` ({count})")).collect();
    if shown.is_empty() { "none".into() } else { shown.join(", ") }
}
