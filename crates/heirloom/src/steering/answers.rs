//! Edits → answers → verdicts on each: shown, well formed, and how likely the base finds it.

use heirloom_model::{Edit, GenerateOptions, Generated, Intervention, Positions, TokenRow};
use heirloom_probe::rate::Observation;
use heirloom_rollout::world::WorldBehavior;

use super::bench::{Bench, Family, Look, Tried};
use crate::arms::ArmsExperiment;
use crate::arms::workers::each;
use crate::scenarios::number_of;
use crate::{Progress, Result};

/// What one behavior's scenarios gave under one edit, over all students.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub(super) shown: Vec<Observation>,
    pub(super) coherent: Vec<Observation>,
    /// Mean log-probability of an answer's tokens under the base; not asked of controls.
    pub(super) log_prob: Vec<Observation>,
}

/// Answers under every edit.
pub(super) struct Answered {
    /// Without any, by behavior.
    pub(super) unsteered: Vec<Seen>,
    /// By look, then by behavior.
    pub(super) looks: Vec<Vec<Seen>>,
}

impl Seen {
    pub(super) fn rate(&self) -> f64 {
        mean(&self.shown)
    }

    pub(super) fn coherence(&self) -> f64 {
        mean(&self.coherent)
    }
}

/// Every student has as many scenarios, so this is also the mean over students of their means.
fn mean(seen: &[Observation]) -> f64 {
    seen.iter().map(|seen| seen.value).sum::<f64>() / seen.len() as f64
}

/// One student under one edit, asked one behavior's scenarios.
struct Cell<'a> {
    /// Without an edit when absent.
    look: Option<Look>,
    run: usize,
    tried: &'a Tried,
    place: usize,
    behavior: &'a WorldBehavior,
}

impl Bench {
    /// Samples and grades every edit, side by side.
    pub(super) fn answer(
        &self,
        experiment: &ArmsExperiment,
        progress: &mut dyn Progress,
    ) -> Result<Answered> {
        let behaviors = experiment.behaviors().iter().map(|name| Ok(experiment.world().behavior(name)?));
        let behaviors: Vec<&WorldBehavior> = behaviors.collect::<Result<_>>()?;
        let mut cells = vec![];
        for look in [None].into_iter().chain(self.edits.looks.iter().copied().map(Some)) {
            for (place, behavior) in behaviors.iter().enumerate() {
                for (run, tried) in self.tried.iter().enumerate() {
                    cells.push(Cell { look, run, tried, place, behavior });
                }
            }
        }
        progress.begin("steer", "directions and controls", cells.len() as u64, "edits");
        let seen = each(&cells, |cell| self.cell(experiment, cell), progress);
        progress.end();
        let mut seen = seen?.into_iter();
        let mut behavior = || {
            let mut all = Seen::default();
            for one in seen.by_ref().take(self.tried.len()) {
                all.shown.extend(one.shown);
                all.coherent.extend(one.coherent);
                all.log_prob.extend(one.log_prob);
            }
            all
        };
        let mut look = || behaviors.iter().map(|_| behavior()).collect::<Vec<Seen>>();
        Ok(Answered { unsteered: look(), looks: self.edits.looks.iter().map(|_| look()).collect() })
    }

    fn cell(&self, experiment: &ArmsExperiment, cell: &Cell<'_>) -> Result<Seen> {
        let Cell { look, run, tried, place, behavior } = cell;
        let rows = &tried.rows[*place];
        let edit = look.map(|look| self.edit(look, tried, *place));
        let generated = self.generate(experiment, tried, rows, edit)?;
        let numbers: Vec<usize> = rows.iter().map(|row| number_of(&format!("{:?}", row.ids))).collect();
        let observed = |(at, value): (usize, bool)| Observation {
            run: *run,
            cluster: numbers[at],
            value: if value { 1.0 } else { 0.0 },
        };
        let verdicts = |grader: &heirloom_rollout::Grader| -> Vec<Observation> {
            let shown = generated.iter().map(|answer| grader.grade_text(&answer.text).answer.shown);
            shown.enumerate().map(observed).collect()
        };
        let of_interest = look.is_none_or(|look| self.edits.families[look.vector] == Family::Fit);
        let log_prob = if of_interest { self.log_probs(rows, &generated)? } else { vec![] };
        let log_prob = log_prob.into_iter().enumerate();
        Ok(Seen {
            shown: verdicts(&behavior.grader),
            coherent: verdicts(&behavior.coherent),
            log_prob: log_prob
                .map(|(at, value)| Observation { run: *run, cluster: numbers[at], value })
                .collect(),
        })
    }

    fn generate(
        &self,
        experiment: &ArmsExperiment,
        tried: &Tried,
        rows: &[TokenRow],
        edit: Option<Edit>,
    ) -> Result<Vec<Generated>> {
        let sampled = experiment.world().sampled();
        let at = |edit| Intervention { point: self.hook, positions: Positions::LastPrompt, edit };
        let options = GenerateOptions {
            max_new_tokens: sampled.max_new_tokens,
            temperature: sampled.temperature,
            seed: tried.draws,
            interventions: edit.into_iter().map(at).collect(),
            ..GenerateOptions::default()
        };
        Ok(tried.student.generate(rows, &options)?)
    }

    /// Mean log-probability of each answer's tokens under the base.
    fn log_probs(&self, rows: &[TokenRow], generated: &[Generated]) -> Result<Vec<f64>> {
        let answered = rows.iter().zip(generated).map(|(row, answer)| {
            let ids = [row.ids.as_slice(), &answer.ids].concat();
            let response = Some(row.ids.len()..ids.len());
            TokenRow { response, ..TokenRow::from_ids(row.id.clone(), ids) }
        });
        Ok(self.base.answer_log_probs(&answered.collect::<Vec<_>>())?)
    }
}
