//! A score for every prompt of one seed, by each ranker.

use heirloom_model::{CaptureOptions, CapturePlan, Student};
use heirloom_probe::attribution::{activation_attribution, projection_difference};
use heirloom_probe::covariance::difference_of_means;
use heirloom_probe::random::Rng as _;
use heirloom_record::{DataRow, HookPoint, Readout};
use heirloom_rollout::{Subset, Top, for_seed};
use ndarray::{Array1, Array2};

use super::{Along, Ranker, Request, Rows, chosen};
use crate::arms::{Seeded, Stored};
use crate::origins::FitOn;
use crate::streams::stream;
use crate::{Error, Result};

/// One score per row of the original manifest.
pub(super) fn scores(
    stored: &Stored,
    rows: &Rows<'_>,
    request: &Request,
    notes: &mut Vec<String>,
) -> Result<Vec<f64>> {
    let n = rows.original.rows.len();
    match &request.by {
        Ranker::ProjectionDifference => {
            let [original, alternate] = responses(stored, rows)?;
            let direction = direction(stored, rows, request, notes)?;
            Ok(projection_difference(original.view(), alternate.view(), direction.view())?)
        }
        Ranker::ActivationAttribution => {
            let [original, alternate] = responses(stored, rows)?;
            let change = change(stored, rows, request, notes)?;
            Ok(activation_attribution(change.view(), original.view(), alternate.view())?)
        }
        Ranker::Tags(tag) => chosen_by(rows, &Subset::Tags(vec![tag.clone()])),
        Ranker::Random => {
            let mut rng = stream(rows.seeded.seed, "random ranking");
            Ok((0..n).map(|_| rng.r#gen::<f64>()).collect())
        }
        Ranker::RandomEqualLength => {
            let file = request.like.as_deref().ok_or_else(|| Error::Setting {
                key: "--like",
                expected: "the score file whose choice it is a control of".into(),
                found: "nothing".into(),
            })?;
            let top = Top::Count(chosen(n, request.percent));
            let like = Subset::Scores { file: for_seed(file, rows.seeded.seed), top };
            chosen_by(rows, &Subset::RandomSameLength { like: Box::new(like), draw: 0 })
        }
    }
}

/// 1 for prompts of a subset, 0 for the others.
fn chosen_by(rows: &Rows<'_>, subset: &Subset) -> Result<Vec<f64>> {
    let chosen = rows.original.select(subset, &rows.seeded.pool)?;
    let score = |prompt: &String| f64::from(u8::from(chosen.contains(prompt)));
    Ok(rows.original.rows.iter().map(|row| score(&row.prompt)).collect())
}

/// Both teachers' rollouts on the starting checkpoint: means over response tokens, a row per prompt.
fn responses(stored: &Stored, rows: &Rows<'_>) -> Result<[Array2<f32>; 2]> {
    let pool = &rows.seeded.pool;
    let start = stored.start(&rows.original.base);
    let hook = stored.experiment.spec().measure.headline;
    Ok([
        response_means(start, &rows.original.data_rows(pool)?, hook)?,
        response_means(start, &rows.alternate.data_rows(pool)?, hook)?,
    ])
}

/// The seeds whose answers a ranking may look at: the others, so that no scenario on which this seed's students will be
/// judged has a part in the choice.
fn others<'a>(stored: &'a Stored, seeded: &'a Seeded, notes: &mut Vec<String>) -> Vec<&'a Seeded> {
    let others = stored.made.seeds.iter().filter(|other| other.seed != seeded.seed);
    let others: Vec<&Seeded> = others.collect();
    if !others.is_empty() {
        return others;
    }
    notes.push(
        "the run has one seed: answers are taken to the very scenarios that judge the students of its arms"
            .into(),
    );
    vec![seeded]
}

/// The direction that prompts are projected on.
fn direction(
    stored: &Stored,
    rows: &Rows<'_>,
    request: &Request,
    notes: &mut Vec<String>,
) -> Result<Array1<f64>> {
    let hook = stored.experiment.spec().measure.headline;
    let base = &rows.original.base;
    let fixed = |on| stored.made.fixed[base].direction(&request.behavior, hook, on).cloned();
    let mut expected = "a direction that the run has at its headline hook point";
    if request.direction != Along::Answers {
        notes.push(
            "the direction was fit at the last prompt token and is read at response tokens; `--direction answers` is fit \
             where it is read"
                .into(),
        );
    }
    let found = match request.direction {
        Along::Base => fixed(FitOn::Base),
        Along::Teachers => fixed(FitOn::Teachers),
        Along::Answers => {
            let mut answers = vec![];
            for other in others(stored, rows.seeded, notes) {
                answers.extend(stored.side(base, other)?.answers(&request.behavior)?);
            }
            let shown: Vec<bool> = answers.iter().map(|(_, shown)| *shown).collect();
            let rows: Vec<DataRow> = answers.iter().map(|(rollout, _)| rollout.row()).collect();
            expected = "a base some of whose answers show the behavior and some do not";
            if shown.contains(&true) && shown.contains(&false) {
                let x = response_means(stored.start(base), &rows, hook)?;
                let difference = difference_of_means(x.view(), &shown);
                let norm = difference.dot(&difference).sqrt();
                Some(difference / norm)
            } else {
                None
            }
        }
    };
    found.ok_or_else(|| Error::Setting {
        key: "--direction",
        expected: expected.into(),
        found: format!("{:?}", request.direction).to_lowercase(),
    })
}

/// What training changed: mean activations of the starting checkpoint on the reference students' answers to
/// scenarios, minus those on its own answers.
fn change(
    stored: &Stored,
    rows: &Rows<'_>,
    request: &Request,
    notes: &mut Vec<String>,
) -> Result<Array1<f64>> {
    let spec = stored.experiment.spec();
    let base = &rows.original.base;
    let mean = |name: &str, seeded: &Seeded| -> Result<Array1<f64>> {
        let answers = stored.side(name, seeded)?.answers(&request.behavior)?;
        let rows: Vec<DataRow> = answers.iter().map(|(rollout, _)| rollout.row()).collect();
        let x = response_means(stored.start(base), &rows, spec.measure.headline)?;
        let sum = x
            .rows()
            .into_iter()
            .fold(Array1::zeros(x.ncols()), |sum: Array1<f64>, row| sum + row.mapv(f64::from));
        Ok(sum / x.nrows() as f64)
    };
    let mut change: Option<Array1<f64>> = None;
    for other in others(stored, rows.seeded, notes) {
        let one = mean(&spec.reference, other)? - mean(base, other)?;
        change = Some(match change {
            Some(sum) => sum + one,
            None => one,
        });
    }
    Ok(change.expect("at least one seed is left"))
}

fn response_means(student: &Student, rows: &[DataRow], hook: HookPoint) -> Result<Array2<f32>> {
    let plan = CapturePlan::new(student.config(), &[hook.to_string()], Readout::ResponseMean)?;
    let rows = student.prepare(rows)?;
    let mut captured = student.capture(&rows, &plan, &mut CaptureOptions::default())?;
    let missing = || Error::MissingHooks { missing: vec![hook] };
    captured.tensors.remove(&hook).ok_or_else(missing)
}
