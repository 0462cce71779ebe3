//! Behaviors, scenarios, graders and data interventions: everything heirloom knows about text.
//!
//! A [`Behavior`] is a folder of `probes/`: contrast pairs, topic-only texts, scenarios, hand-labelled
//! transcripts and a rule-based [`Grader`]. It is read whole and checked whole; [`Behavior::lint`] says what
//! in it would let a probe cheat, and [`Behavior::summary`] gives the numbers of its card. [`grade_rollouts`] grades
//! rollouts that were stored, again and again alike.

mod agreement;
mod arm;
mod behavior;
mod draws;
mod error;
mod grader;
mod grades;
mod lines;
mod lint;
mod manifest;
mod pair;
mod pool;
mod sentences;
mod subset;
mod summary;
mod words;

pub use agreement::{Agreement, Confusion, Disagreement, Part};
pub use arm::{Arm, ArmProblem, DataIntervention, Place, PoolProblem};
pub use behavior::Behavior;
pub use error::{Error, Result, RowProblem, RuleProblem};
pub use grader::{Effect, Grade, Grader, Rule, Verdict};
pub use grades::{Comparison, grade_rollouts};
pub use lint::{Finding, Limits, Unit};
pub use manifest::{Applied, Change, Changed, Diff, Manifest, ManifestRow, Repeated, Sides};
pub use pair::{ContrastPair, Kind, Scenario, TopicText, Transcript};
pub use pool::Pool;
pub use subset::{LengthMatch, Subset, Top};
pub use summary::{Lengths, Summary};
