//! A score for every prompt of one seed, by each ranker.

use heirloom_model::{CapturePlan, Student};
use heirloom_probe::attribution::{activation_attribution, projection_difference};
use heirloom_probe::random::Rng as _;
use heirloom_record::{DataRow, HookPoint, Readout};
use heirloom_rollout::{Subset, Top, for_seed};
use ndarray::{Array1, Array2};

use super::{Choice, Ranker, Rows, chosen};
use crate::activations::capture;
use crate::streams::stream;
use crate::{Error, Progress, Result};

/// Most tokens in a batch.
const BATCH: usize = 2048;

/// What rankers by activations look at.
pub(super) trait Look {
    /// The starting checkpoint on rollouts: means over response tokens, a row each.
    fn means(&mut self, rows: &[DataRow], about: &str) -> Result<Array2<f32>>;

    /// The direction that prompts are projected on.
    fn direction(&mut self) -> Result<Array1<f64>>;

    /// What training changed: mean activations of the starting checkpoint on trained students' answers, minus those on
    /// its own answers.
    fn change(&mut self) -> Result<Array1<f64>>;
}

/// One score per row of the original manifest.
pub(super) fn scores(rows: &Rows<'_>, choice: &Choice, look: &mut impl Look) -> Result<Vec<f64>> {
    let n = rows.original.rows.len();
    match &choice.by {
        Ranker::ProjectionDifference => {
            let direction = look.direction()?;
            let [original, alternate] = responses(rows, look)?;
            Ok(projection_difference(original.view(), alternate.view(), direction.view())?)
        }
        Ranker::ActivationAttribution => {
            let change = look.change()?;
            let [original, alternate] = responses(rows, look)?;
            Ok(activation_attribution(change.view(), original.view(), alternate.view())?)
        }
        Ranker::Tags(tag) => chosen_by(rows, &Subset::Tags(vec![tag.clone()])),
        Ranker::Random => {
            let mut rng = stream(rows.seed, "random ranking");
            Ok((0..n).map(|_| rng.r#gen::<f64>()).collect())
        }
        Ranker::RandomEqualLength => {
            let file = choice.like.as_deref().ok_or_else(|| Error::Setting {
                key: "--like",
                expected: "the score file whose choice it is a control of".into(),
                found: "nothing".into(),
            })?;
            let top = Top::Count(chosen(n, choice.percent));
            let like = Subset::Scores { file: for_seed(file, rows.seed), top };
            chosen_by(rows, &Subset::RandomSameLength { like: Box::new(like), draw: 0 })
        }
    }
}

/// 1 for prompts of a subset, 0 for the others.
fn chosen_by(rows: &Rows<'_>, subset: &Subset) -> Result<Vec<f64>> {
    let chosen = rows.original.select(subset, rows.pool)?;
    let score = |prompt: &String| f64::from(u8::from(chosen.contains(prompt)));
    Ok(rows.original.rows.iter().map(|row| score(&row.prompt)).collect())
}

/// Both teachers' rollouts, a row per prompt.
fn responses(rows: &Rows<'_>, look: &mut impl Look) -> Result<[Array2<f32>; 2]> {
    let one = |look: &mut _, manifest: &heirloom_rollout::Manifest| {
        let about =
            format!("{}'s answers", manifest.rows.first().map_or("nobody", |row| row.teacher.as_str()));
        Look::means(look, &manifest.data_rows(rows.pool)?, &about)
    };
    Ok([one(look, &rows.original)?, one(look, &rows.alternate)?])
}

/// Means over response tokens at one hook point.
pub(super) fn response_means(
    student: &Student,
    rows: &[DataRow],
    hook: HookPoint,
    (progress, about): (&mut dyn Progress, &str),
) -> Result<Array2<f32>> {
    let plan = CapturePlan::new(student.config(), &[hook.to_string()], Readout::ResponseMean)?;
    let mut captured = capture(student, rows, &plan, (BATCH, false), progress, about)?;
    let missing = || Error::MissingHooks { missing: vec![hook] };
    captured.tensors.remove(&hook).ok_or_else(missing)
}

/// Mean over rows.
pub(super) fn mean(x: &Array2<f32>) -> Array1<f64> {
    let zero = Array1::zeros(x.ncols());
    let sum = x.rows().into_iter().fold(zero, |sum: Array1<f64>, row| sum + row.mapv(f64::from));
    sum / x.nrows() as f64
}
