//! Rates and projections of both arms, and their differences paired by seed and scenario.

use heirloom_probe::rate::{self, Estimate, Observation};
use heirloom_record::{HookPoint, Metric};

use super::Pairing;
use super::run::Both;
use crate::Result;
use crate::arms::Side;
use crate::rows::{count, estimated};
use crate::streams::stream;

impl Pairing {
    /// A quantity of one arm, seed by seed and over seeds; `about` names the random stream, `unit` clusters in the plural.
    pub(super) fn of_arm(
        &self,
        row: &Metric,
        cell: &[Observation],
        about: &str,
        unit: &str,
    ) -> Result<Vec<Metric>> {
        let mut rows: Vec<Metric> =
            self.seeds.iter().enumerate().map(|(run, seed)| of_seed(row, cell, run, *seed)).collect();
        let rng = stream(self.seed, about);
        rows.push(estimated(row.clone(), &rate::mean(cell, self.resampling, &rng)?, unit));
        Ok(rows)
    }

    /// The first arm minus the second, paired by seed and cluster. `row` is the first arm's.
    pub(super) fn difference(
        &self,
        row: Metric,
        [first, second]: [&[Observation]; 2],
        about: &str,
        unit: &str,
    ) -> Result<(Metric, Estimate)> {
        let found = rate::difference(first, second, self.resampling, &stream(self.seed, about))?;
        let row = Metric {
            metric: format!("{}_difference", row.metric),
            scored_on: Some(self.labels[1].clone()),
            ..row
        };
        Ok((estimated(row, &found, unit), found))
    }
}

/// The mean of one seed, over samples as in the tables of runs.
fn of_seed(row: &Metric, cell: &[Observation], run: usize, seed: u64) -> Metric {
    let own: Vec<f64> = cell.iter().filter(|seen| seen.run == run).map(|seen| seen.value).collect();
    Metric {
        seed: i64::try_from(seed).ok(),
        value: Some(own.iter().sum::<f64>() / own.len() as f64),
        n: count(own.len()),
        ..row.clone()
    }
}

/// What is compared of a behavior.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantity {
    Rate,
    Coherent,
    /// On a fixed direction: `base` or `teachers`.
    Projection(HookPoint, &'static str),
}

impl Quantity {
    fn metric(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Coherent => "coherent",
            Self::Projection(..) => "projection",
        }
    }
}

/// Every quantity of every behavior: seed by seed, over seeds, and the difference.
pub(super) fn metrics(both: &Both<'_>, notes: &mut Vec<String>) -> Result<Vec<Metric>> {
    let mut quantities = vec![Quantity::Rate, Quantity::Coherent];
    let [one, other] = both.pairs[0].sides.each_ref();
    if one.subject.fixed.key == other.subject.fixed.key {
        for fit_on in ["base", "teachers"] {
            let hooks = both.stored[0].experiment.hooks()?;
            quantities.extend(hooks.into_iter().map(|hook| Quantity::Projection(hook, fit_on)));
        }
    } else {
        notes.push(
            "projections are left out: the fixed directions of the two arms were fit on other models".into(),
        );
    }
    let mut rows = vec![];
    for (index, behavior) in both.behaviors.iter().enumerate() {
        for &quantity in &quantities {
            let cells: [Vec<Observation>; 2] = [0, 1].map(|side| cell(both, side, index, quantity));
            if cells.iter().any(Vec::is_empty) {
                continue;
            }
            let name = |what: &str| format!("compare {what} {behavior} {quantity:?}");
            let row = |side: usize| named(both, side, behavior, quantity);
            let pairing = &both.pairing;
            for (side, cell) in cells.iter().enumerate().take(if pairing.is_one() { 1 } else { 2 }) {
                let about = name(&pairing.labels[side]);
                rows.extend(pairing.of_arm(&row(side), cell, &about, "scenarios")?);
            }
            let cells = cells.each_ref().map(Vec::as_slice);
            rows.push(pairing.difference(row(0), cells, &name("difference"), "scenarios")?.0);
        }
    }
    Ok(rows)
}

/// Observations of one side over all seeds; scenarios are numbered as the run's own table numbers them.
fn cell(both: &Both<'_>, side: usize, index: usize, quantity: Quantity) -> Vec<Observation> {
    let mut all = vec![];
    for (run, pair) in both.pairs.iter().enumerate() {
        let values = values(&pair.sides[side], &both.behaviors[index], quantity);
        all.extend(values.into_iter().map(|(cluster, value)| Observation { run, cluster, value }));
    }
    all
}

/// Scenarios with what the last checkpoint showed on each.
fn values(side: &Side<'_>, behavior: &str, quantity: Quantity) -> Vec<(usize, f64)> {
    let last = side.last();
    let verdicts = side.seen.verdicts.get(&(last.step, behavior.to_owned()));
    let of = |verdicts: &[(usize, bool)]| -> Vec<(usize, f64)> {
        verdicts.iter().map(|(scenario, met)| (*scenario, f64::from(u8::from(*met)))).collect()
    };
    match quantity {
        Quantity::Rate => verdicts.map(|verdicts| of(&verdicts.shown)).unwrap_or_default(),
        Quantity::Coherent => verdicts.map(|verdicts| of(&verdicts.coherent)).unwrap_or_default(),
        Quantity::Projection(hook, fit_on) => {
            let mut readings = last.readings.iter();
            let reading = readings.find(|reading| reading.behavior == behavior && reading.hook == hook);
            let values = reading
                .map(|reading| if fit_on == "base" { &reading.projections } else { &reading.on_teachers });
            side.seen.clusters(behavior).zip(values.into_iter().flatten().copied()).collect()
        }
    }
}

fn named(both: &Both<'_>, side: usize, behavior: &str, quantity: Quantity) -> Metric {
    let row = Metric {
        behavior: behavior.into(),
        arm: Some(both.pairing.labels[side].clone()),
        step: i64::try_from(both.pairs[0].sides[side].last().step).ok(),
        scored_on: Some("held-out scenarios".into()),
        metric: quantity.metric().into(),
        ..Metric::default()
    };
    match quantity {
        Quantity::Projection(hook, fit_on) => {
            Metric { hook: Some(hook), method: Some("dom".into()), fit_on: Some(fit_on.into()), ..row }
        }
        Quantity::Rate | Quantity::Coherent => row,
    }
}
