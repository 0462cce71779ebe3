//! What training left in activations on text that has nothing to do with any behavior.

use std::collections::BTreeMap;

use heirloom_model::{CaptureOptions, CapturePlan, Student};
use heirloom_record::{Activations, HookPoint, Metric, Prompt, Readout};
use ndarray::{Array1, Array2, Axis};

use super::Both;
use crate::Result;
use crate::rows::over_seeds;
use crate::streams::stream;

/// Prompts that are read, and the tag that says they are unrelated.
const PROMPTS: usize = 32;
const UNRELATED: &str = "benign";
/// Prompts drawn to find as many of them.
const DRAWN: usize = 40 * PROMPTS;
/// Positions that are told apart, from the end.
pub(super) const POSITIONS: usize = 8;

/// Activations of one model by hook point and position from the end: a row per prompt.
type Read = BTreeMap<(HookPoint, usize), Array2<f32>>;

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
                    read(student, &prompts, &experiment.spec().measure.hooks)
                })
            });
            Ok([one?, other?])
        })
        .collect::<Result<_>>()?;
    let mut rows = vec![];
    for place in reads[0][0].keys() {
        let (hook, position) = *place;
        let row = |metric: &str| Metric {
            arm: Some(both.labels[0].clone()),
            hook: Some(hook),
            fit_on: Some(format!("arm:{}", both.labels[1])),
            scored_on: Some(format!("unrelated text, position -{position}")),
            metric: metric.into(),
            ..Metric::default()
        };
        let arms: Vec<f64> = reads.iter().map(|[one, other]| relative(&one[place], &other[place])).collect();
        let of_seed = |(pair, value): (&super::Pair<'_>, &f64)| Metric {
            seed: i64::try_from(pair.seed).ok(),
            value: Some(*value),
            n: i64::try_from(prompts.len()).ok(),
            ..row("activation_difference")
        };
        rows.extend(both.pairs.iter().zip(&arms).map(of_seed));
        rows.push(over_seeds(&row("activation_difference"), &arms, (0.0, f64::INFINITY))?);
        let between = between_seeds(&reads, place);
        if !between.is_empty() {
            rows.push(Metric {
                value: Some(between.iter().sum::<f64>() / between.len() as f64),
                n: i64::try_from(between.len()).ok(),
                interval: Some("mean of pairs of seeds".into()),
                ..row("activation_difference_between_seeds")
            });
        }
    }
    Ok(rows)
}

/// Every two seeds of each arm.
fn between_seeds(reads: &[[Read; 2]], place: &(HookPoint, usize)) -> Vec<f64> {
    let mut found = vec![];
    for side in 0..2 {
        for (index, one) in reads.iter().enumerate() {
            found.extend(reads[..index].iter().map(|other| relative(&one[side][place], &other[side][place])));
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
    let mut rng = stream(both.seed(), "unrelated text");
    let drawn = world.prompts(world.prompt_set(&arm.prompts)?, DRAWN, &mut rng);
    let unrelated = drawn.into_iter().filter(|prompt| prompt.tags.iter().any(|tag| tag == UNRELATED));
    Ok(unrelated.take(PROMPTS).collect())
}

fn read(student: &Student, prompts: &[Prompt], hooks: &[String]) -> Result<Read> {
    let plan = CapturePlan::new(student.config(), hooks, Readout::All)?;
    let rows = student.prepare(&prompts.iter().map(Prompt::row).collect::<Vec<_>>())?;
    let Activations { rows, tensors, .. } = student.capture(&rows, &plan, &mut CaptureOptions::default())?;
    let from_end = |row: &heirloom_record::ActivationRow| row.n_tokens - row.positions.0;
    let shortest = rows.iter().map(|row| row.n_tokens).min().unwrap_or(0);
    let mut read = Read::new();
    for (hook, tensor) in tensors {
        for position in 1..=shortest.min(POSITIONS) {
            let here: Vec<usize> = (0..rows.len()).filter(|row| from_end(&rows[*row]) == position).collect();
            read.insert((hook, position), tensor.select(Axis(0), &here));
        }
    }
    Ok(read)
}

/// Norm of the mean difference over the mean norm of both.
fn relative(one: &Array2<f32>, other: &Array2<f32>) -> f64 {
    let mean = |x: &Array2<f32>| -> Array1<f64> {
        let sum = x
            .rows()
            .into_iter()
            .fold(Array1::zeros(x.ncols()), |sum: Array1<f64>, row| sum + row.mapv(f64::from));
        sum / x.nrows() as f64
    };
    let norm = |x: &Array1<f64>| x.dot(x).sqrt();
    let norms = |x: &Array2<f32>| x.rows().into_iter().map(|row| norm(&row.mapv(f64::from))).sum::<f64>();
    let count = (one.nrows() + other.nrows()) as f64;
    norm(&(mean(one) - mean(other))) * count / (norms(one) + norms(other))
}
