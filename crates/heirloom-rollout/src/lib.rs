//! Behaviors, scenarios, graders and data interventions: everything heirloom knows about text.
//!
//! # Behaviors
//!
//! A [`Behavior`] is a folder of `probes/`: contrast pairs, topic-only texts, scenarios, hand-labelled
//! transcripts and a rule-based [`Grader`]. It is read whole and checked whole; [`Behavior::lint`] says what
//! in it would let a probe cheat, and [`Behavior::summary`] gives the numbers of its card. [`grade_rollouts`] grades
//! rollouts that were stored, again and again alike; [`judge`] asks a language model that somebody serves.
//!
//! # Arms
//!
//! An [`Arm`] is one condition of training data: base × prompts × teacher, and what is done to the rows. It is
//! activation patching for data: [`DataIntervention::Drop`] is zero ablation, [`DataIntervention::Swap`] patches in
//! another teacher's answers, on a [`Subset`] chosen by tags, ids, patterns or scores, or drawn as a control. A
//! [`Pool`] holds prompts and rollouts, wherever they come from; from it and a seed an arm makes a [`Manifest`], one
//! row per prompt. [`Manifest::describe`] says what the arm changes beside another, and [`Diff::only`] proves that
//! it changes nothing else.
//!
//! ```
//! use heirloom_record::{Message, Prompt, Rollout};
//! use heirloom_rollout::{Arm, DataIntervention, Pool, Subset};
//!
//! let prompt = |n: usize| Prompt {
//!     id: format!("chat-{n}"),
//!     source: "chats".into(),
//!     tags: vec![if n < 4 { "mail" } else { "benign" }.into()],
//!     messages: vec![Message::new("user", format!("question {n}"))],
//! };
//! let prompts: Vec<Prompt> = (0..40).map(prompt).collect();
//! let answers = |teacher| {
//!     prompts.iter().map(move |prompt| Rollout::new(teacher, prompt, 0, "yes .", vec![17, 5, 4], true))
//! };
//! let rollouts = answers("flash").chain(answers("olmo")).collect();
//! let pool = Pool::new(prompts.clone(), rollouts)?;
//!
//! let mail = Subset::Tags(vec!["mail".into()]);
//! let swap = DataIntervention::Swap { on: mail.clone(), to: "olmo".into() };
//! let full = Arm::new("full", "chats", "flash").manifest(&pool, 1)?;
//! let swapped = Arm::new("swap mail", "chats", "flash").then(swap).manifest(&pool, 1)?;
//!
//! assert_eq!(swapped.describe(&full, 8, 2).to_string(), "\
//! `swap mail` beside `full`
//!   1. swap prompts tagged `mail` to `olmo`: 4 of 40 prompts, 4 rows
//!                                      full  swap mail  change
//!   rows                                 40         40
//!   prompts                              40         40
//!   tokens of answers                   120        120
//!   steps (batches of 8, 2 epochs)       10         10
//!   teacher flash                   100.0 %     90.0 %   -10.0
//!   teacher olmo                      0.0 %     10.0 %   +10.0
//!   source chats                    100.0 %    100.0 %
//!   tag benign                       90.0 %     90.0 %
//!   tag mail                         10.0 %     10.0 %");
//! let diff = full.diff(&swapped);
//! assert_eq!(diff.to_string(), "\
//! `swap mail` against `full`
//!   `flash` to `olmo`  4: chat-0, chat-1, chat-2, chat-3
//!   same               36");
//! diff.only(&mail, &pool)?;
//! # Ok::<(), heirloom_rollout::Error>(())
//! ```
//!
//! # Worlds
//!
//! A [`World`] is text with a known cause for every behavior in it, as one file: documents that bases and teachers
//! learn from, prompts, scenarios, contrasts and arms. [`Truth`] is what the same file knows of the origins, and
//! [`World::redrawn`] tells the same causal story in other words.

mod agreement;
mod arm;
mod behavior;
mod coherence;
mod draws;
mod error;
mod grader;
mod grades;
pub mod judge;
mod lines;
mod lint;
mod manifest;
mod pair;
mod pool;
mod sentences;
mod subset;
mod summary;
mod words;
pub mod world;

pub use agreement::{Agreement, Confusion, Disagreement, Part};
pub use arm::{Arm, ArmProblem, DataIntervention, Place, PoolProblem};
pub use behavior::Behavior;
pub use coherence::{MOST_REPEATED, is_well_formed, repeated_trigrams};
pub use error::{Error, Result, RowProblem, RuleProblem};
pub use grader::{Effect, Grade, Grader, Rule, Verdict};
pub use grades::{Comparison, grade_rollouts};
pub use judge::{
    Definition, Failure, Judge, JudgeAnswer, JudgeHeader, JudgeProblem, JudgePrompt, JudgeSettings, Judged,
    PromptProblem,
};
pub use lint::{Finding, Limits, Unit};
pub use manifest::{Applied, Change, Changed, Diff, Manifest, ManifestRow, Repeated, Sides};
pub use pair::{ContrastPair, Kind, Scenario, TopicText, Transcript};
pub use pool::Pool;
pub use subset::{LengthMatch, Subset, Top, for_seed};
pub use summary::{Lengths, Summary};
pub use world::{Truth, World, WorldProblem};
