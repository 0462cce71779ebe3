//! Behaviors, scenarios, graders and data interventions: everything heirloom knows about text.
//!
//! A [`Behavior`] is a folder of `probes/`: contrast pairs, topic-only texts, scenarios, hand-labelled
//! transcripts and a rule-based [`Grader`]. It is read whole and checked whole; [`Behavior::lint`] says what
//! in it would let a probe cheat, and [`Behavior::summary`] gives the numbers of its card.

mod agreement;
mod behavior;
mod error;
mod grader;
mod lines;
mod lint;
mod pair;
mod sentences;
mod summary;
mod words;

pub use agreement::{Agreement, Confusion, Disagreement, Part};
pub use behavior::Behavior;
pub use error::{Error, Result, RowProblem, RuleProblem};
pub use grader::{Effect, Grade, Grader, Rule, Verdict};
pub use lint::{Finding, Limits, Unit};
pub use pair::{ContrastPair, Kind, Scenario, TopicText, Transcript};
pub use summary::{Lengths, Summary};
