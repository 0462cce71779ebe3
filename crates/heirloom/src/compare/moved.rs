//! The scenarios that moved most between two arms, with what each arm's student answered.

use heirloom_record::Rollout;
use serde::Serialize;

use super::run::{Both, Pair};
use crate::Result;
use crate::arms::Side;

/// Scenarios that are shown of each behavior.
const SHOWN: usize = 2;

/// A scenario on which two arms differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moved {
    /// The behavior.
    pub behavior: String,
    /// The seed of the students.
    pub seed: u64,
    /// The scenario's id.
    pub scenario: String,
    /// What was asked last.
    pub asked: String,
    /// Share of answers that show the behavior, first arm minus second.
    pub difference: f64,
    /// What the students of the first and of the second arm answered.
    pub answers: [Vec<Answer>; 2],
}

/// One answer, as it was sampled and graded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// Whether it shows the behavior.
    pub shown: bool,
    /// Its text.
    pub text: String,
}

/// The scenarios that moved most of every behavior; among equals, those whose projections moved more.
pub(super) fn moved(both: &Both<'_>) -> Result<Vec<Moved>> {
    let headline = both.stored[0].experiment.spec().measure.headline;
    let mut all = vec![];
    for (index, behavior) in both.behaviors.iter().enumerate() {
        let mut ranked: Vec<(f64, f64, Moved)> = vec![];
        for pair in &both.pairs {
            let projections = pair.sides.each_ref().map(|side| {
                let mut readings = side.last().readings.iter();
                let reading =
                    readings.find(|reading| reading.behavior == *behavior && reading.hook == headline);
                reading.map(|reading| reading.projections.as_slice()).unwrap_or_default()
            });
            for (scenario, moved) in of_seed(pair, index, behavior)?.into_iter().enumerate() {
                let [one, other] = projections.map(|values| values.get(scenario).copied().unwrap_or(0.0));
                if moved.difference.abs() > 0.0 {
                    ranked.push((moved.difference.abs(), (one - other).abs(), moved));
                }
            }
        }
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)));
        all.extend(ranked.into_iter().take(SHOWN).map(|(_, _, moved)| moved));
    }
    Ok(all)
}

fn of_seed(pair: &Pair<'_>, index: usize, behavior: &str) -> Result<Vec<Moved>> {
    let [one, other] = pair.sides.each_ref().map(|side: &Side<'_>| side.answers(behavior));
    let (one, other) = (one?, other?);
    let own = |answers: &[(Rollout, bool)], scenario: &str| -> Vec<Answer> {
        let own = answers.iter().filter(|(rollout, _)| rollout.prompt == scenario);
        own.map(|(rollout, shown)| Answer { shown: *shown, text: rollout.answer().to_owned() }).collect()
    };
    let moved = |scenario: &&heirloom_record::Prompt| {
        let answers = [own(&one, &scenario.id), own(&other, &scenario.id)];
        Moved {
            behavior: behavior.to_owned(),
            seed: pair.seed,
            scenario: scenario.id.clone(),
            asked: scenario.messages.last().map(|message| message.content.clone()).unwrap_or_default(),
            difference: share(&answers[0]) - share(&answers[1]),
            answers,
        }
    };
    Ok(pair.scenarios[index].iter().map(moved).collect())
}

/// Share of answers that show the behavior.
pub(super) fn share(answers: &[Answer]) -> f64 {
    answers.iter().filter(|answer| answer.shown).count() as f64 / answers.len().max(1) as f64
}
