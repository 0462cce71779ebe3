//! Edits → answers → verdicts on each: shown, well formed, and how likely the base finds it.

use heirloom_model::{Edit, GenerateOptions, Generated, Intervention, TokenRow};
use heirloom_probe::rate::Observation;

use super::bench::{Bench, Family, Look, Tried};
use crate::arms::workers::{each, in_turn};
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

    /// Mean log-probability of the answers' tokens under the base, where it was asked.
    pub(super) fn likelihood(&self) -> Option<f64> {
        (!self.log_prob.is_empty()).then(|| mean(&self.log_prob))
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
    behavior: usize,
}

impl Bench {
    /// Samples and grades every edit.
    pub(super) fn answer(&self, progress: &mut dyn Progress) -> Result<Answered> {
        let behaviors = self.exam.graders.len();
        let cells = self.cells();
        progress.begin("steer", "directions and controls", cells.len() as u64, "edits");
        let seen = if self.exam.in_turn {
            in_turn(&cells, |cell| self.cell(cell), progress)
        } else {
            each(&cells, |cell| self.cell(cell), progress)
        };
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
        let mut look = || (0..behaviors).map(|_| behavior()).collect::<Vec<Seen>>();
        Ok(Answered { unsteered: look(), looks: self.edits.looks.iter().map(|_| look()).collect() })
    }

    /// By look, the first of which is none, then by behavior, then by student.
    fn cells(&self) -> Vec<Cell<'_>> {
        let mut cells = vec![];
        for look in [None].into_iter().chain(self.edits.looks.iter().copied().map(Some)) {
            for behavior in 0..self.exam.graders.len() {
                for (run, tried) in self.tried.iter().enumerate() {
                    cells.push(Cell { look, run, tried, behavior });
                }
            }
        }
        cells
    }

    fn cell(&self, cell: &Cell<'_>) -> Result<Seen> {
        let Cell { look, run, tried, behavior } = cell;
        let (rows, graders) = (&tried.rows[*behavior], &self.exam.graders[*behavior]);
        let edit = look.map(|look| self.edit(look, tried, *behavior));
        let generated = self.generate(tried, rows, edit)?;
        let numbers: Vec<usize> = rows.iter().map(|row| number_of(&format!("{:?}", row.ids))).collect();
        let observed = |(at, value): (usize, f64)| Observation { run: *run, cluster: numbers[at], value };
        let verdicts = |is: &dyn Fn(&str) -> bool| -> Vec<Observation> {
            let said = generated.iter().map(|answer| f64::from(u8::from(is(&answer.text))));
            said.enumerate().map(observed).collect()
        };
        let of_interest = look.is_none_or(|look| self.edits.families[look.vector] == Family::Fit);
        let log_prob = if of_interest { self.log_probs(rows, &generated)? } else { vec![] };
        Ok(Seen {
            shown: verdicts(&|answer| graders.shown.grade_text(answer).answer.shown),
            coherent: verdicts(&|answer| graders.coherent.is(answer)),
            log_prob: log_prob.into_iter().enumerate().map(observed).collect(),
        })
    }

    fn generate(&self, tried: &Tried, rows: &[TokenRow], edit: Option<Edit>) -> Result<Vec<Generated>> {
        let at = |edit| Intervention { point: self.hook, positions: self.at.positions(), edit };
        let options = GenerateOptions {
            max_new_tokens: self.exam.max_new_tokens,
            temperature: self.exam.temperature,
            seed: tried.draws,
            max_tokens: self.exam.batch_tokens,
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
        Ok(self.base().answer_log_probs(&answered.collect::<Vec<_>>())?)
    }
}
