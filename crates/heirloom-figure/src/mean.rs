//! An arm's number over all seeds, and the numbers of its seeds.

use heirloom_record::Metric;

use crate::arm::{Arm, Quantity};
use crate::select::{
    ARM, BEHAVIOR, FIT_ON, HOOK, METHOD, Measured, SCORED_ON, SEED, STEP, Selection, counts, distinct, place,
};
use crate::{Error, Result};

/// What the table says of one arm at one checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mean {
    /// Over all seeds.
    pub(crate) over_seeds: Measured,
    /// What its interval is.
    pub(crate) interval: Option<String>,
    /// Of each seed that has a value.
    pub(crate) seeds: Vec<f64>,
    pub(crate) step: Option<i64>,
}

impl Mean {
    /// Every number that is drawn of it.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = f64> {
        let ends = self.over_seeds.interval.into_iter().flat_map(|(low, high)| [low, high]);
        self.over_seeds.value.into_iter().chain(ends).chain(self.seeds.iter().copied())
    }
}

/// The rows of `quantity` of one behavior.
pub(crate) fn of_behavior<'a>(
    rows: &'a [Metric],
    quantity: &Quantity,
    behavior: &str,
) -> Result<Selection<'a, Metric>> {
    narrowed(Selection::of(rows, &quantity.metric)?, quantity, behavior)
}

/// Those of `rows` that are of `quantity` and of one behavior, whatever their metric.
pub(crate) fn narrowed<'a>(
    rows: Selection<'a, Metric>,
    quantity: &Quantity,
    behavior: &str,
) -> Result<Selection<'a, Metric>> {
    let hook = quantity.hooks.get(behavior).map(ToString::to_string);
    rows.within(BEHAVIOR, behavior, "of")?
        .keep_or_alike(METHOD, quantity.method.as_deref())?
        .keep_or_alike(FIT_ON, quantity.fit_on.as_deref())?
        .keep_or_alike(SCORED_ON, quantity.scored_on.as_deref())?
        .keep_or_alike(HOOK, hook.as_deref())
}

/// The rows of an arm; of one without a name those that name none.
pub(crate) fn of_arm<'a>(rows: &Selection<'a, Metric>, arm: &Arm) -> Result<Selection<'a, Metric>> {
    let rows = rows.clone();
    if arm.name.is_empty() { rows.keep_empty(ARM) } else { rows.within(ARM, &arm.name, "in") }
}

/// The number of `arm` at its checkpoint.
pub(crate) fn mean(of_behavior: &Selection<'_, Metric>, arm: &Arm) -> Result<Mean> {
    let of_arm = of_arm(of_behavior, arm)?;
    mean_at(&of_arm, arm.step)
}

/// The number that `rows` hold at a step; at the last that they have when it is empty.
pub(crate) fn mean_at(rows: &Selection<'_, Metric>, step: Option<i64>) -> Result<Mean> {
    at_step(rows, step.or_else(|| rows.rows.iter().filter_map(|row| row.step).max()))
}

/// The numbers of `arm` at `steps`; at every step that the table has for it when there are none.
pub(crate) fn track(
    of_behavior: &Selection<'_, Metric>,
    arm: &Arm,
    steps: &[i64],
) -> Result<Vec<(i64, Mean)>> {
    let of_arm = of_arm(of_behavior, arm)?;
    let mut steps = steps.to_vec();
    if steps.is_empty() {
        steps = of_arm.rows.iter().filter_map(|row| row.step).collect();
    }
    steps.sort_unstable();
    steps.dedup();
    if steps.is_empty() {
        let (metric, wanted) = (of_arm.metric, "(any)".into());
        return Err(Error::NoRows { metric, column: STEP.0, wanted, found: vec![] });
    }
    steps.into_iter().map(|step| Ok((step, at_step(&of_arm, Some(step))?))).collect()
}

fn at_step(of_arm: &Selection<'_, Metric>, step: Option<i64>) -> Result<Mean> {
    let here = match step {
        Some(step) => of_arm.clone().within(STEP, &step.to_string(), "at step")?,
        None => of_arm.clone(),
    };
    let (over, of_seeds): (Vec<&Metric>, Vec<&Metric>) = here.rows.iter().partition(|row| row.seed.is_none());
    let twice = |row: &Metric| Error::Twice { metric: here.metric.clone(), place: place(row) };
    let over = match over[..] {
        [row] => row,
        [row, ..] => return Err(twice(row)),
        [] => {
            let (found, wanted) = (here.values(SEED), "(empty)".into());
            return Err(Error::NoRows { metric: here.metric, column: SEED.0, wanted, found });
        }
    };
    let mut seeds = vec![];
    for (index, row) in of_seeds.iter().enumerate() {
        if of_seeds[..index].iter().any(|other| other.seed == row.seed) {
            return Err(twice(row));
        }
        seeds.extend(Measured::of(row)?.value);
    }
    Ok(Mean { over_seeds: Measured::of(over)?, interval: over.interval.clone(), seeds, step })
}

/// The counts behind some numbers: `n = 768 samples, 3 seeds`; nothing when no row has one.
pub(crate) fn behind<'a>(means: impl Iterator<Item = &'a Mean> + Clone, unit: &str) -> String {
    let n = counts(means.clone().map(|mean| mean.over_seeds.n), Some(unit));
    let seeds = means.filter(|mean| !mean.seeds.is_empty()).map(|mean| i64::try_from(mean.seeds.len()).ok());
    let seeds = counts(seeds, None).map(|seeds| match seeds.trim_start_matches("n = ") {
        "1" => "1 seed".to_owned(),
        several => format!("{several} seeds"),
    });
    n.into_iter().chain(seeds).collect::<Vec<_>>().join(", ")
}

/// What the intervals of some numbers are, each kind once.
pub(crate) fn kinds<'a>(means: impl Iterator<Item = &'a Mean>) -> String {
    distinct(means.filter(|mean| mean.over_seeds.interval.is_some()).filter_map(|mean| mean.interval.clone()))
        .join("; or ")
}
