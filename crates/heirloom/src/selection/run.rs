//! Ranking the prompts of a run with arms: its teachers, its starting checkpoint, its directions.

use std::path::PathBuf;

use heirloom_model::Device;
use heirloom_probe::covariance::difference_of_means;
use heirloom_record::DataRow;
use heirloom_rollout::Arm;
use ndarray::{Array1, Array2};

use super::scores::{self, Look, mean};
use super::{Along, Choice, Rows, Selected, check_out, other_teacher, ranked};
use crate::arms::{Seeded, Stored};
use crate::origins::FitOn;
use crate::{Error, Result, Silent};

/// Which run's prompts are ranked, and by what.
#[derive(Clone, Debug)]
pub struct Request {
    /// The run's folder.
    pub run: PathBuf,
    /// The behavior.
    pub behavior: String,
    /// The direction of [`super::Ranker::ProjectionDifference`].
    pub direction: Along,
    /// The only seed that is ranked; every one when absent.
    pub seed: Option<u64>,
    /// The device that the run was made on.
    pub device: Device,
    /// What ranks.
    pub choice: Choice,
}

/// Ranks the training prompts of a run's reference arm.
///
/// # Errors
/// The folder holds no run; the behavior was not measured; the reference is no arm, or no one other teacher answered
/// its prompts; what the ranker needs is not there.
pub fn select(request: &Request) -> Result<Selected> {
    let stored = Stored::open(&request.run, request.device)?;
    let experiment = &stored.experiment;
    let (spec, world) = (experiment.spec(), experiment.world());
    world.behavior(&request.behavior)?;
    if !experiment.behaviors().contains(&request.behavior) {
        let expected = format!("one that the run measured: {}", experiment.behaviors().join(", "));
        return Err(Error::Setting { key: "--behavior", expected, found: request.behavior.clone() });
    }
    let mut arms = experiment.arms().iter();
    let reference = arms.find(|arm| arm.name == spec.reference).ok_or_else(|| Error::Setting {
        key: "reference",
        expected: "an arm whose prompts can be ranked".into(),
        found: spec.reference.clone(),
    })?;
    let seeds: Vec<&Seeded> = match request.seed {
        None => stored.made.seeds.iter().collect(),
        Some(seed) => vec![stored.seeded(seed).ok_or_else(|| Error::Setting {
            key: "--seed",
            expected: format!("one of {:?}", spec.seeds),
            found: seed.to_string(),
        })?],
    };
    if let Some(out) = &request.choice.out {
        check_out(out, seeds.iter().map(|seeded| seeded.seed))?;
    }
    let arm = Arm {
        base: reference.base.clone(),
        ..Arm::new(&reference.name, &reference.prompts, &reference.teacher)
    };
    let to = other_teacher(&arm, &seeds[0].pool, seeds[0].seed)?;
    let mut notes = vec![];
    let mut rankings = vec![];
    for seeded in seeds {
        let rows = Rows::new(&arm, &to, &seeded.pool, seeded.seed)?;
        let mut look = OfRun { stored: &stored, seeded, base: &arm.base, request, notes: &mut notes };
        let scores = scores::scores(&rows, &request.choice, &mut look)?;
        rankings.push(ranked(&rows, &scores, &request.choice, &request.behavior)?);
    }
    notes.dedup();
    Ok(Selected {
        behavior: request.behavior.clone(),
        by: request.choice.by.to_string(),
        prompts: arm.prompts,
        teacher: arm.teacher,
        to,
        base: request.choice.by.looks().then_some(arm.base),
        hook: request.choice.by.looks().then_some(spec.measure.headline),
        rankings,
        notes,
    })
}

/// A run as rankers by activations look at it.
struct OfRun<'a> {
    stored: &'a Stored,
    seeded: &'a Seeded,
    base: &'a str,
    request: &'a Request,
    notes: &'a mut Vec<String>,
}

impl OfRun<'_> {
    /// The seeds whose answers a ranking may look at: the others, so that no scenario on which this seed's students will
    /// be judged has a part in the choice.
    fn others(&mut self) -> Vec<&Seeded> {
        let others = self.stored.made.seeds.iter().filter(|other| other.seed != self.seeded.seed);
        let others: Vec<&Seeded> = others.collect();
        if !others.is_empty() {
            return others;
        }
        self.notes.push(
            "the run has one seed: answers are taken to the very scenarios that judge the students of its arms"
                .into(),
        );
        vec![self.seeded]
    }

    /// From the base's answers that do not show the behavior to those that do, of length 1; none where either is
    /// missing.
    fn along_answers(&mut self) -> Result<Option<Array1<f64>>> {
        let (stored, base, behavior) = (self.stored, self.base, &self.request.behavior);
        let mut answers = vec![];
        for other in self.others() {
            answers.extend(stored.side(base, other)?.answers(behavior)?);
        }
        let shown: Vec<bool> = answers.iter().map(|(_, shown)| *shown).collect();
        if !(shown.contains(&true) && shown.contains(&false)) {
            return Ok(None);
        }
        let rows: Vec<DataRow> = answers.iter().map(|(rollout, _)| rollout.row()).collect();
        let difference = difference_of_means(self.means(&rows, "answers")?.view(), &shown);
        let norm = difference.dot(&difference).sqrt();
        Ok(Some(difference / norm))
    }
}

impl Look for OfRun<'_> {
    fn means(&mut self, rows: &[DataRow], about: &str) -> Result<Array2<f32>> {
        let hook = self.stored.experiment.spec().measure.headline;
        scores::response_means(self.stored.start(self.base), rows, hook, (&mut Silent, about))
    }

    fn direction(&mut self) -> Result<Array1<f64>> {
        let (hook, along) = (self.stored.experiment.spec().measure.headline, self.request.direction);
        if along != Along::Answers {
            self.notes.push(
                "the direction was fit at the last prompt token and is read at response tokens; `--direction answers` is fit \
                 where it is read"
                    .into(),
            );
        }
        let fixed = &self.stored.made.fixed[self.base];
        let fixed = |on| fixed.direction(&self.request.behavior, hook, on).cloned();
        let (found, expected) = match along {
            Along::Base => (fixed(FitOn::Base), "a direction that the run has at its headline hook point"),
            Along::Teachers => {
                (fixed(FitOn::Teachers), "a direction that the run has at its headline hook point")
            }
            Along::Answers => {
                (self.along_answers()?, "a base some of whose answers show the behavior and some do not")
            }
        };
        found.ok_or_else(|| Error::Setting {
            key: "--direction",
            expected: expected.into(),
            found: format!("{along:?}").to_lowercase(),
        })
    }

    fn change(&mut self) -> Result<Array1<f64>> {
        let (stored, base, request) = (self.stored, self.base, self.request);
        let reference = &stored.experiment.spec().reference;
        let mut answered = vec![];
        for other in self.others() {
            let of = |name: &str| -> Result<Vec<DataRow>> {
                let answers = stored.side(name, other)?.answers(&request.behavior)?;
                Ok(answers.iter().map(|(rollout, _)| rollout.row()).collect())
            };
            answered.push([of(reference)?, of(base)?]);
        }
        let mut sum = Array1::zeros(self.stored.start(base).config().d_model);
        for [trained, started] in &answered {
            sum = sum + mean(&self.means(trained, "answers")?) - mean(&self.means(started, "answers")?);
        }
        Ok(sum)
    }
}
