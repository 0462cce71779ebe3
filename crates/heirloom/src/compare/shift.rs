//! What training left in activations on text that has nothing to do with any behavior.

use std::collections::BTreeMap;

use heirloom_model::{CaptureOptions, CapturePlan, Student, TokenRow};
use heirloom_record::{Activations, HookPoint, Metric, Prompt, Readout};
use ndarray::{Array1, ArrayView1};

use super::Pairing;
use super::run::Both;
use crate::Result;
use crate::rows::{count, over_seeds};
use crate::streams::stream;

/// Prompts that are read, and the tag that says they are unrelated.
const PROMPTS: usize = 32;
const UNRELATED: &str = "benign";
/// Prompts drawn to find as many of them.
const DRAWN: usize = 40 * PROMPTS;
/// Positions that are told apart, from the end.
pub(super) const POSITIONS: usize = 8;

/// Rows that are captured together: whole texts are kept of these alone.
const TOGETHER: usize = 32;

/// One model by hook point and position from the end.
pub(super) type Read = BTreeMap<(HookPoint, usize), Mean>;

/// Activations at one place: their sum, the sum of their norms, and how many they are.
#[derive(Clone, Debug)]
pub(super) struct Mean {
    sum: Array1<f64>,
    norms: f64,
    rows: usize,
}

impl Mean {
    fn add(&mut self, x: ArrayView1<f32>) {
        let x = x.mapv(f64::from);
        self.norms += norm(&x);
        self.sum += &x;
        self.rows += 1;
    }

    /// Norm of the mean difference over the mean norm of both.
    fn relative(&self, other: &Self) -> f64 {
        let mean = |one: &Self| &one.sum / one.rows as f64;
        norm(&(mean(self) - mean(other))) * (self.rows + other.rows) as f64 / (self.norms + other.norms)
    }
}

fn norm(x: &Array1<f64>) -> f64 {
    x.dot(x).sqrt()
}

/// Norm of the mean difference of the two arms' activations over the mean norm, by hook point and position from the
/// end; beside it, what two seeds of one arm differ by.
///
/// **Source** Minder et al. 2025, arXiv 2510.13900, on the last tokens in place of the first.
pub(super) fn metrics(both: &Both<'_>, notes: &mut Vec<String>) -> Result<Vec<Metric>> {
    let prompts = prompts(both)?;
    if prompts.is_empty() {
        notes.push(format!("unrelated text is left out: no prompt of the world is tagged `{UNRELATED}`"));
        return Ok(vec![]);
    }
    let reads: Vec<[Read; 2]> = both
        .pairs
        .iter()
        .map(|pair| {
            let [one, other] = [0, 1].map(|side| {
                let experiment = &both.stored[side].experiment;
                pair.sides[side].with_student(experiment, |student| {
                    let rows = student.prepare(&prompts.iter().map(Prompt::row).collect::<Vec<_>>())?;
                    let max_tokens = CaptureOptions::default().max_tokens;
                    read(student, &rows, &experiment.spec().measure.hooks, max_tokens)
                })
            });
            Ok([one?, other?])
        })
        .collect::<Result<_>>()?;
    differences(&both.pairing, &reads)
}

/// Rows of both arms, by seed in the order of the pairing's.
pub(super) fn differences(pairing: &Pairing, reads: &[[Read; 2]]) -> Result<Vec<Metric>> {
    let [first, second] = pairing.labels.each_ref();
    let mut rows = vec![];
    for place in reads[0][0].keys() {
        let values = reads.iter().map(|[one, other]| (one[place].relative(&other[place]), one[place].rows));
        let row = at(place, first, format!("arm:{second}"));
        rows.extend(over(pairing, &row, &values.collect::<Vec<_>>())?);
        let between = between_seeds(reads, place);
        if !between.is_empty() {
            rows.push(Metric {
                metric: "activation_difference_between_seeds".into(),
                value: Some(between.iter().sum::<f64>() / between.len() as f64),
                n: count(between.len()),
                interval: Some("mean of pairs of seeds".into()),
                ..row
            });
        }
    }
    Ok(rows)
}

/// The same of each arm and the model that both started from.
pub(super) fn from_base(pairing: &Pairing, base: &Read, reads: &[[Read; 2]]) -> Result<Vec<Metric>> {
    let mut rows = vec![];
    for (side, label) in pairing.labels.iter().enumerate() {
        for (place, start) in base {
            let values = reads.iter().map(|arms| (arms[side][place].relative(start), start.rows));
            rows.extend(over(pairing, &at(place, label, "base".into()), &values.collect::<Vec<_>>())?);
        }
    }
    Ok(rows)
}

/// A row without a value.
fn at((hook, position): &(HookPoint, usize), arm: &str, against: String) -> Metric {
    Metric {
        arm: Some(arm.to_owned()),
        hook: Some(*hook),
        fit_on: Some(against),
        scored_on: Some(format!("unrelated text, position -{position}")),
        metric: "activation_difference".into(),
        ..Metric::default()
    }
}

/// Values of each seed, with the number of texts behind it, and over seeds.
fn over(pairing: &Pairing, row: &Metric, values: &[(f64, usize)]) -> Result<Vec<Metric>> {
    let of_seed = |(seed, (value, texts)): (&u64, &(f64, usize))| Metric {
        seed: i64::try_from(*seed).ok(),
        value: Some(*value),
        n: count(*texts),
        ..row.clone()
    };
    let mut rows: Vec<Metric> = pairing.seeds.iter().zip(values).map(of_seed).collect();
    let values: Vec<f64> = values.iter().map(|(value, _)| *value).collect();
    rows.push(over_seeds(row, &values, (0.0, f64::INFINITY))?);
    Ok(rows)
}

/// Every two seeds of each arm.
fn between_seeds(reads: &[[Read; 2]], place: &(HookPoint, usize)) -> Vec<f64> {
    let mut found = vec![];
    for side in 0..2 {
        for (index, one) in reads.iter().enumerate() {
            found.extend(reads[..index].iter().map(|other| one[side][place].relative(&other[side][place])));
        }
    }
    found
}

/// Benign prompts of the reference's set, drawn for this and the same for all seeds.
fn prompts(both: &Both<'_>) -> Result<Vec<Prompt>> {
    let experiment = &both.stored[0].experiment;
    let world = experiment.world();
    let reference = experiment.arms().iter().find(|arm| arm.name == experiment.spec().reference);
    let Some(arm) = reference.or(experiment.arms().first()) else { return Ok(vec![]) };
    let mut rng = stream(both.pairing.seed, "unrelated text");
    let drawn = world.prompts(world.prompt_set(&arm.prompts)?, DRAWN, &mut rng);
    let unrelated = drawn.into_iter().filter(|prompt| prompt.tags.iter().any(|tag| tag == UNRELATED));
    Ok(unrelated.take(PROMPTS).collect())
}

/// The last positions of every text, as far as the shortest has them.
///
/// **Cost** activations of all tokens of [`TOGETHER`] texts at a time.
pub(super) fn read(
    student: &Student,
    rows: &[TokenRow],
    hooks: &[String],
    max_tokens: usize,
) -> Result<Read> {
    let plan = CapturePlan::new(student.config(), hooks, Readout::All)?;
    let shortest = rows.iter().map(|row| row.ids.len()).min().unwrap_or(0);
    let mut read = Read::new();
    for rows in rows.chunks(TOGETHER) {
        let Activations { rows, tensors, .. } =
            student.capture(rows, &plan, &mut CaptureOptions { max_tokens, ..CaptureOptions::default() })?;
        for (hook, tensor) in tensors {
            for (row, x) in rows.iter().zip(tensor.rows()) {
                let position = row.n_tokens - row.positions.0;
                if position <= shortest.min(POSITIONS) {
                    let empty = || Mean { sum: Array1::zeros(x.len()), norms: 0.0, rows: 0 };
                    read.entry((hook, position)).or_insert_with(empty).add(x);
                }
            }
        }
    }
    Ok(read)
}
