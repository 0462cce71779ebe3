//! What students of one's own answered: rates from grades, and the prompts that moved most.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use heirloom_probe::rate::Observation;
use heirloom_record::{GradeRow, Metric, Rollout, Rollouts, read_grades};

use super::super::Pairing;
use super::super::moved::{Answer, Moved, share};
use super::Students;
use crate::origins::graded::{Grades, same_grader, same_prompts};
use crate::spec::setting;
use crate::{Error, Result};

/// Prompts that are shown of each behavior.
const SHOWN: usize = 4;

/// Grades of both arms, and the answers where they are known.
pub(super) struct Graded {
    /// Behaviors that every file grades.
    pub(super) behaviors: Vec<String>,
    /// Behaviors that some files grade.
    others: Vec<String>,
    /// What was observed, by behavior and arm.
    cells: BTreeMap<String, [Vec<Observation>; 2]>,
    /// By arm and seed.
    answers: Option<[Vec<Answered>; 2]>,
}

/// What one student answered.
struct Answered {
    path: PathBuf,
    grades: Vec<GradeRow>,
    /// By id.
    rollouts: BTreeMap<String, Rollout>,
}

impl Answered {
    fn read(grades: &Path, rollouts: &Path) -> Result<Self> {
        let by_id = Rollouts::read(rollouts)?.rows.into_iter().map(|rollout| (rollout.id.clone(), rollout));
        let (read, by_id) = (read_grades(grades)?, by_id.collect::<BTreeMap<_, _>>());
        if let Some(row) = read.iter().find(|row| !by_id.contains_key(&row.rollout)) {
            let (rollouts, grades, id) = (rollouts.to_owned(), grades.to_owned(), row.rollout.clone());
            return Err(Error::NoRollout { rollouts, grades, id });
        }
        Ok(Self { path: rollouts.to_owned(), grades: read, rollouts: by_id })
    }

    /// What was answered to every prompt, as graded for a behavior.
    fn of(&self, behavior: &str) -> BTreeMap<&str, Vec<Answer>> {
        let mut by_prompt: BTreeMap<&str, Vec<Answer>> = BTreeMap::new();
        for row in self.grades.iter().filter(|row| row.behavior == behavior) {
            let text = self.rollouts[&row.rollout].answer().to_owned();
            by_prompt.entry(&row.prompt).or_default().push(Answer { shown: row.answer, text });
        }
        by_prompt
    }

    /// A rollout of every prompt.
    fn asked(&self) -> BTreeMap<&str, &Rollout> {
        self.grades.iter().map(|row| (row.prompt.as_str(), &self.rollouts[&row.rollout])).collect()
    }

    /// Prompts of one id ask the same.
    fn check(&self, other: &Self) -> Result<()> {
        let others = other.asked();
        for (prompt, rollout) in self.asked() {
            if others.get(prompt).is_some_and(|other| other.asked() != rollout.asked()) {
                let (path, other, prompt) = (self.path.clone(), other.path.clone(), prompt.to_owned());
                return Err(Error::OtherWords { path, other, prompt });
            }
        }
        Ok(())
    }
}

impl Graded {
    /// Reads the grades of both arms; nothing where there are none.
    ///
    /// # Errors
    /// A file cannot be read; no behavior is graded everywhere; grades are by several graders or of different prompts; a
    /// graded rollout is not there, or asks other words than that of the other arm.
    pub(super) fn read(arms: &[Students; 2], own_scenarios: bool) -> Result<Option<Self>> {
        if arms.iter().all(|arm| arm.grades.is_empty()) {
            return Ok(None);
        }
        let (behaviors, others) = behaviors(arms)?;
        let mut cells = BTreeMap::new();
        for behavior in &behaviors {
            let read = |arm: &Students| {
                arm.grades.iter().map(|path| Grades::read(path, behavior)).collect::<Result<Vec<_>>>()
            };
            let by_arm: BTreeMap<String, Vec<Grades>> =
                arms.iter().map(|arm| Ok((arm.name.clone(), read(arm)?))).collect::<Result<_>>()?;
            same_grader(behavior, &by_arm)?;
            same_prompts(&by_arm)?;
            let cell = arms.each_ref().map(|arm| {
                let runs = by_arm[&arm.name].iter().enumerate();
                runs.flat_map(|(run, grades)| grades.observations(run, own_scenarios)).collect()
            });
            cells.insert(behavior.clone(), cell);
        }
        Ok(Some(Self { behaviors, others, cells, answers: answers(arms)? }))
    }

    /// Behaviors that were left out, and answers that are not known.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = vec![];
        if !self.others.is_empty() {
            notes.push(format!("left out: what only some of the files grade, {}", self.others.join(", ")));
        }
        if self.answers.is_none() {
            notes.push("answers are not shown: give the rollouts that were graded with --rollouts".into());
        }
        notes
    }

    /// Rates of both arms and their differences, by behavior.
    pub(super) fn rates(&self, pairing: &Pairing) -> Result<Vec<Metric>> {
        let mut rows = vec![];
        for (behavior, cells) in &self.cells {
            let about = |what: &str| format!("compare {what} {behavior} rate");
            let row = |side: usize| Metric {
                behavior: behavior.clone(),
                arm: Some(pairing.labels[side].clone()),
                scored_on: Some("graded answers".into()),
                metric: "rate".into(),
                ..Metric::default()
            };
            for (side, cell) in cells.iter().enumerate() {
                rows.extend(pairing.of_arm(&row(side), cell, &about(&pairing.labels[side]), "scenarios")?);
            }
            let cells = cells.each_ref().map(Vec::as_slice);
            rows.push(pairing.difference(row(0), cells, &about("difference"), "scenarios")?.0);
        }
        Ok(rows)
    }

    /// The prompts that moved most of every behavior, each in the seed in which it did; among equals, those that moved more
    /// over all seeds.
    pub(super) fn moved(&self, pairing: &Pairing) -> Option<Vec<Moved>> {
        let answers = self.answers.as_ref()?;
        let mut all = vec![];
        for behavior in &self.behaviors {
            let mut by_prompt: BTreeMap<String, Vec<Moved>> = BTreeMap::new();
            for ((seed, one), other) in pairing.seeds.iter().zip(&answers[0]).zip(&answers[1]) {
                for moved in of_seed(*seed, behavior, one, other) {
                    by_prompt.entry(moved.scenario.clone()).or_default().push(moved);
                }
            }
            let mut ranked: Vec<(f64, f64, Moved)> = by_prompt.into_values().filter_map(most).collect();
            ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)));
            all.extend(ranked.into_iter().take(SHOWN).map(|(_, _, moved)| moved));
        }
        Some(all)
    }
}

/// How far a prompt moved in the seed in which it moved most, and over seeds; nothing where it did not.
fn most(of_seeds: Vec<Moved>) -> Option<(f64, f64, Moved)> {
    let mean = of_seeds.iter().map(|moved| moved.difference).sum::<f64>() / of_seeds.len() as f64;
    let far = |moved: &Moved| moved.difference.abs();
    // The first of equals.
    let most = of_seeds.into_iter().reduce(|most, next| if far(&next) > far(&most) { next } else { most })?;
    (far(&most) > 0.0).then(|| (far(&most), mean.abs(), most))
}

/// Every prompt of one seed.
fn of_seed(seed: u64, behavior: &str, one: &Answered, other: &Answered) -> Vec<Moved> {
    let (asked, mut others) = (one.asked(), other.of(behavior));
    let moved = |(prompt, own): (&str, Vec<Answer>)| {
        let answers = [own, others.remove(prompt).unwrap_or_default()];
        Moved {
            behavior: behavior.to_owned(),
            seed,
            scenario: prompt.to_owned(),
            asked: asked[prompt].asked().last().map(|message| message.content.clone()).unwrap_or_default(),
            difference: share(&answers[0]) - share(&answers[1]),
            answers,
        }
    };
    one.of(behavior).into_iter().map(moved).collect()
}

/// Behaviors that every file grades, and those that only some do.
fn behaviors(arms: &[Students; 2]) -> Result<(Vec<String>, Vec<String>)> {
    let mut files: Vec<BTreeSet<String>> = vec![];
    for path in arms.iter().flat_map(|arm| &arm.grades) {
        files.push(read_grades(path)?.into_iter().map(|row| row.behavior).collect());
    }
    let all: BTreeSet<String> = files.iter().flatten().cloned().collect();
    let everywhere = |name: &String| files.iter().all(|file| file.contains(name));
    let (shared, others): (Vec<String>, Vec<String>) = all.into_iter().partition(everywhere);
    if shared.is_empty() {
        let found = if others.is_empty() {
            "no grades".into()
        } else {
            format!("in some alone {}", others.join(", "))
        };
        return Err(setting("--grades", "a behavior that every file grades", &found));
    }
    Ok((shared, others))
}

/// Rollouts of both arms, held against the grades and each other.
fn answers(arms: &[Students; 2]) -> Result<Option<[Vec<Answered>; 2]>> {
    if arms.iter().all(|arm| arm.rollouts.is_empty()) {
        return Ok(None);
    }
    let read = |arm: &Students| {
        let both = arm.grades.iter().zip(&arm.rollouts);
        both.map(|(grades, rollouts)| Answered::read(grades, rollouts)).collect::<Result<Vec<_>>>()
    };
    let [first, second] = arms;
    let (first, second) = (read(first)?, read(second)?);
    first.iter().zip(&second).try_for_each(|(one, other)| one.check(other))?;
    Ok(Some([first, second]))
}
