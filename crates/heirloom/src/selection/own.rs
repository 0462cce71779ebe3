//! Ranking prompts that no run of this tool made: two teachers' rollouts, and the model that students will start from.

use std::path::PathBuf;

use heirloom_model::Student;
use heirloom_record::{DataRow, Directions, HookPoint, Readout, Rollout, Rollouts};
use heirloom_rollout::{Arm, Pool};
use ndarray::{Array1, Array2};

use super::scores::{self, Look, mean};
use super::{Choice, Ranker, Rows, Selected, check_out, other_teacher, ranked};
use crate::activations::{check_model, meant_hook};
use crate::{Error, Progress, Result};

/// The name of the set of all prompts where they have several sources.
const ALL: &str = "all prompts";

/// Prompts that two teachers answered, and what is looked for in the answers.
pub struct Own {
    pool: Pool,
    arm: Arm,
    to: String,
    sought: Option<Sought>,
    hook: Option<HookPoint>,
    seed: u64,
    choice: Choice,
}

/// What is looked for in the activations.
#[derive(Clone, Debug)]
pub enum Sought {
    /// A direction, for [`Ranker::ProjectionDifference`].
    Direction {
        /// The file, for errors.
        path: PathBuf,
        /// What is in it.
        directions: Directions,
        /// Which of its hook points; may be left out where there is one, or one was chosen.
        hook: Option<HookPoint>,
    },
    /// What training changed, for [`Ranker::ActivationAttribution`].
    Change {
        /// What the model answers before training.
        before: Rollouts,
        /// What a trained student answers to the same.
        after: Rollouts,
        /// Where both are read.
        hook: HookPoint,
    },
}

impl Own {
    /// Prompts and rollouts of `pool`, where students would learn the answers of `teacher`; those of the one other teacher are
    /// held against them. `seed` is the root of what is drawn at random, and what `{seed}` in file names stands for.
    ///
    /// # Errors
    /// No one other teacher answered all prompts; a ranker by activations has nothing to look for, or its direction none of
    /// the hook points; the score file is there and holds something else.
    pub fn new(pool: Pool, teacher: &str, sought: Option<Sought>, seed: u64, choice: Choice) -> Result<Self> {
        if let Some(out) = &choice.out {
            check_out(out, std::iter::once(seed))?;
        }
        match (&choice.by, &sought) {
            (Ranker::ProjectionDifference, Some(Sought::Direction { .. }))
            | (Ranker::ActivationAttribution, Some(Sought::Change { .. })) => {}
            (Ranker::ProjectionDifference | Ranker::ActivationAttribution, _) => {
                return Err(lacks(&choice.by));
            }
            _ => {}
        }
        let hook = sought.as_ref().map(Sought::hook).transpose()?;
        let (pool, prompts) = whole(pool)?;
        let arm = Arm::new("own", &prompts, teacher);
        let to = other_teacher(&arm, &pool, seed)?;
        Ok(Self { pool, arm, to, sought, hook, seed, choice })
    }

    /// Whether ranking reads activations, so that a model is needed.
    pub fn looks(&self) -> bool {
        matches!(self.choice.by, Ranker::ProjectionDifference | Ranker::ActivationAttribution)
    }

    /// Ranks the prompts; `student` is the model that students start from.
    ///
    /// # Errors
    /// There is no model to look into; a direction is of another model; a rollout does not fit the model.
    pub fn select(&self, student: Option<&Student>, progress: &mut dyn Progress) -> Result<Selected> {
        let rows = Rows::new(&self.arm, &self.to, &self.pool, self.seed)?;
        let (behavior, notes) = self.sought.as_ref().map(Sought::about).unwrap_or_default();
        let mut look = OfOwn { own: self, student, progress };
        let scores = scores::scores(&rows, &self.choice, &mut look)?;
        Ok(Selected {
            rankings: vec![ranked(&rows, &scores, &self.choice, &behavior)?],
            behavior,
            by: self.choice.by.to_string(),
            prompts: self.arm.prompts.clone(),
            teacher: self.arm.teacher.clone(),
            to: self.to.clone(),
            base: student.map(Student::name),
            hook: self.hook,
            notes,
        })
    }
}

/// A pool with one set that has all prompts, and its name.
fn whole(pool: Pool) -> Result<(Pool, String)> {
    let sources: Vec<String> = pool.sets().map(|(name, _)| name.to_owned()).collect();
    if let [one] = sources.as_slice() {
        return Ok((pool, one.clone()));
    }
    let names: Vec<&str> = sources.iter().map(String::as_str).collect();
    Ok((pool.with_set(ALL, &names)?, ALL.into()))
}

impl Sought {
    fn hook(&self) -> Result<HookPoint> {
        match self {
            Self::Change { hook, .. } => Ok(*hook),
            Self::Direction { path, directions, hook } => meant_hook(directions, *hook, path),
        }
    }

    /// The behavior, and what should be known of the scores.
    fn about(&self) -> (String, Vec<String>) {
        let Self::Direction { directions, .. } = self else { return Default::default() };
        let readout = &directions.header.readout;
        let note = format!("the direction was fit at {readout} and is read at response tokens");
        let notes = if *readout == Readout::ResponseMean { vec![] } else { vec![note] };
        (directions.header.behavior.clone(), notes)
    }
}

/// Own rollouts as rankers by activations look at them.
struct OfOwn<'a> {
    own: &'a Own,
    student: Option<&'a Student>,
    progress: &'a mut dyn Progress,
}

impl<'a> OfOwn<'a> {
    fn student(&self) -> Result<&'a Student> {
        self.student.ok_or_else(|| Error::Setting {
            key: "--model",
            expected: format!("the model that students start from, for {}", self.own.choice.by),
            found: "nothing".into(),
        })
    }
}

impl Look for OfOwn<'_> {
    fn means(&mut self, rows: &[DataRow], about: &str) -> Result<Array2<f32>> {
        let hook = self.own.hook.ok_or_else(|| lacks(&self.own.choice.by))?;
        scores::response_means(self.student()?, rows, hook, (self.progress, about))
    }

    fn direction(&mut self) -> Result<Array1<f64>> {
        let (Some(Sought::Direction { directions, .. }), Some(hook)) = (&self.own.sought, self.own.hook)
        else {
            return Err(lacks(&Ranker::ProjectionDifference));
        };
        let student = self.student()?;
        check_model(&directions.header, &student.name(), student.sha256()?)?;
        Ok(directions.by_hook[&hook].vector.mapv(f64::from))
    }

    fn change(&mut self) -> Result<Array1<f64>> {
        let Some(Sought::Change { before, after, .. }) = &self.own.sought else {
            return Err(lacks(&Ranker::ActivationAttribution));
        };
        let rows = |rollouts: &Rollouts| rollouts.rows.iter().map(Rollout::row).collect::<Vec<_>>();
        let before = mean(&self.means(&rows(before), "answers before training")?);
        Ok(mean(&self.means(&rows(after), "answers after training")?) - before)
    }
}

/// A ranker has nothing to look for.
fn lacks(by: &Ranker) -> Error {
    let (key, expected) = match by {
        Ranker::ProjectionDifference => ("--direction", "a file that `heirloom fit` wrote"),
        _ => (
            "--before, --after and --hook",
            "what is answered before and after training, and where to read it",
        ),
    };
    Error::Setting { key, expected: expected.into(), found: "nothing".into() }
}
