//! A judge: a language model behind an OpenAI-compatible endpoint that somebody serves.
//!
//! Each rollout's answer, and the thought before it, is one request; neither request holds the other's text. The text is
//! fenced as data, and only one JSON object with `shown` and `reason` counts as a verdict. Every answer is kept with its
//! raw words; what is no verdict is a [`Failure`] that is counted and stands beside the rate.
//!
//! ```no_run
//! use heirloom_rollout::{Comparison, Judge, JudgeSettings, Behavior, grade_rollouts, judge};
//!
//! # fn graded(rollouts: &[heirloom_record::Rollout]) -> heirloom_rollout::Result<()> {
//! let behavior = Behavior::load("probes/blackmail".as_ref())?;
//! let judge = Judge::new("http://localhost:8000", None, JudgeSettings::new("qwen3-32b"))?;
//! let judged = judge::grade(&judge, (&behavior).into(), rollouts, &mut |_| ())?;
//! judged.write_into("runs/judged".as_ref())?;
//! let rules = grade_rollouts(&behavior.grader, &behavior.name, rollouts);
//! println!("{judged}\n{}", Comparison::of(&rules, judged.rows()?));
//! # Ok(())
//! # }
//! ```

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;

use heirloom_record::Rollout;

use crate::{Behavior, Error, Result};

mod answer;
mod ask;
mod endpoint;
mod judged;
mod problem;
mod prompt;
mod settings;

pub use answer::{Failure, JudgeAnswer};
pub use judged::{JudgeHeader, Judged};
pub use problem::JudgeProblem;
pub use prompt::{JudgePrompt, PromptProblem};
pub use settings::JudgeSettings;

use ask::{Line, ask, questions};
use endpoint::{Endpoint, public};

/// What a behavior is, in words that a judge is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition<'a> {
    /// Its name.
    pub behavior: &'a str,
    /// What counts as it and what does not.
    pub text: &'a str,
}

impl<'a> From<&'a Behavior> for Definition<'a> {
    fn from(behavior: &'a Behavior) -> Self {
        Self { behavior: &behavior.name, text: &behavior.definition }
    }
}

/// A judge that can be asked: settings that were checked, and an address.
#[derive(Debug)]
pub struct Judge {
    settings: JudgeSettings,
    endpoint: Endpoint,
}

impl Judge {
    /// Checks the settings; nothing is sent. `base` is like `http://localhost:8000`; `key` is sent as a bearer token.
    ///
    /// # Errors
    /// The address or key cannot be used, a place of the prompt is unknown or missing, or a setting is out of range.
    pub fn new(base: &str, key: Option<String>, settings: JudgeSettings) -> Result<Self> {
        let failed = |source| Error::Judge { endpoint: public(base), source: Box::new(source) };
        settings.check().map_err(failed)?;
        let endpoint = Endpoint::new(base, key, settings.timeout).map_err(failed)?;
        Ok(Self { settings, endpoint })
    }

    /// The address that is asked.
    pub fn url(&self) -> &str {
        self.endpoint.url()
    }

    fn error(&self, source: JudgeProblem) -> Error {
        Error::Judge { endpoint: self.url().into(), source: Box::new(source) }
    }
}

/// How far a judge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Requests answered or given up.
    pub done: usize,
    /// Requests in all.
    pub of: usize,
    /// Those without a verdict.
    pub failed: usize,
}

/// Asks the judge about every rollout: does its answer show the behavior, does its thought?
///
/// Results stand in the order of rollouts, however many requests are under way at once. A server that stopped answering
/// is given up after a few requests, each tried as often as allowed; the rest is [`Failure::NotAsked`]. `progress` is
/// called on this thread after every request.
///
/// # Errors
/// There are no rollouts; or, before anything was judged, nobody listens at the address or the server turns requests away
/// (401, 403, 404, a redirect). Whatever goes wrong later is a [`Failure`], and [`Judged::rows`] says when there are too many.
pub fn grade(
    judge: &Judge,
    definition: Definition<'_>,
    rollouts: &[Rollout],
    progress: &mut dyn FnMut(Progress),
) -> Result<Judged> {
    if rollouts.is_empty() {
        return Err(judge.error(JudgeProblem::NoRollouts));
    }
    let questions = questions(judge, definition, rollouts).map_err(|problem| judge.error(problem.into()))?;
    let mut answers: Vec<Option<JudgeAnswer>> = vec![None; questions.len()];
    let mut turned = None;
    let mut so_far = Progress { done: 0, of: questions.len(), failed: 0 };
    let line = Line::default();
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..judge.settings.at_once.min(questions.len()) {
            let (sender, line, questions) = (sender.clone(), &line, &questions);
            scope.spawn(move || {
                while !line.stop.load(Ordering::Relaxed) {
                    let index = line.next.fetch_add(1, Ordering::Relaxed);
                    let Some(question) = questions.get(index) else { return };
                    let asked = ask(judge, line, question);
                    // Before anybody takes the next question.
                    line.stop.fetch_or(asked.is_err(), Ordering::Relaxed);
                    if sender.send((index, asked)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (index, asked) in receiver {
            match asked {
                Ok(answer) => {
                    so_far.done += 1;
                    so_far.failed += usize::from(answer.failure.is_some());
                    answers[index] = Some(answer);
                    progress(so_far);
                }
                Err(problem) => {
                    turned.get_or_insert(problem);
                }
            }
        }
    });
    match turned {
        Some(problem) => Err(judge.error(problem)),
        None => Ok(Judged::new(judge, definition, rollouts, answers.into_iter().flatten().collect())),
    }
}
