//! Grades and readings of all students → the tidy table.

mod seeds;
mod shifts;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use heirloom_probe::random::ChaCha8Rng;
use heirloom_probe::rate::{self, Observation};
use heirloom_probe::{Resampling, interval};
use heirloom_record::{HookPoint, Metric};

use super::measured::{Auroc, Measured};
use crate::Result;
use crate::origins::FitOn;
use crate::rows::{count, estimated};
use crate::streams::stream;

pub(crate) use seeds::averaged;

/// Verdicts on one checkpoint's rollouts of one behavior: scenario and whether each was met, sample by sample.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdicts {
    pub(crate) shown: Vec<(usize, bool)>,
    pub(crate) coherent: Vec<(usize, bool)>,
}

/// Everything measured on one model of one seed: a student, a teacher or a base.
pub(crate) struct Seen {
    pub(crate) arm: String,
    pub(crate) seed: u64,
    /// The folder of what was measured.
    pub(crate) artifact: PathBuf,
    /// By step and behavior.
    pub(crate) verdicts: BTreeMap<(usize, String), Verdicts>,
    /// By step.
    pub(crate) measured: Vec<Measured>,
    /// Number of each scenario, by behavior: [`scenario_number`].
    pub(crate) scenarios: BTreeMap<String, Vec<usize>>,
}

impl Seen {
    /// Numbers of a behavior's scenarios, in their order.
    pub(crate) fn clusters(&self, behavior: &str) -> impl Iterator<Item = usize> {
        self.scenarios.get(behavior).into_iter().flatten().copied()
    }
}

/// What the numbers are made with.
pub(crate) struct Tabler<'a> {
    pub(crate) seed: u64,
    pub(crate) resampling: Resampling,
    /// Pairs of arms whose difference is taken, first minus second.
    pub(crate) compared: &'a [(String, String)],
    /// Arms and the bases they start from: a base as it was measured is the first checkpoint of its arms.
    pub(crate) starts: &'a [(String, String)],
}

/// One cell before it is averaged: observations of all seeds.
type Cell = Vec<Observation>;
/// Behavior, arm, step, quantity.
type Key = (String, String, usize, Quantity);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Quantity {
    Rate,
    Coherent,
    Projection(HookPoint, FitOn),
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

impl Tabler<'_> {
    /// Every number of the run.
    pub(crate) fn metrics(&self, seen: &[Seen]) -> Result<Vec<Metric>> {
        let seeds: BTreeSet<u64> = seen.iter().map(|seen| seen.seed).collect();
        let seeds: Vec<u64> = seeds.into_iter().collect();
        let mut cells: BTreeMap<Key, Cell> = BTreeMap::new();
        for one in seen {
            let run = seeds.binary_search(&one.seed).expect("the seeds are collected from these");
            let begun = self.starts.iter().filter(|(_, base)| *base == one.arm).map(|(arm, _)| arm);
            for arm in [&one.arm].into_iter().chain(begun) {
                for (key, observation) in observations(one, arm, run) {
                    cells.entry(key).or_default().push(observation);
                }
            }
        }
        let mut metrics = vec![];
        for (key, cell) in &cells {
            metrics.extend(self.by_seed(key, cell, &seeds)?);
            metrics.push(self.over_seeds(key, cell)?);
        }
        let behaviors: BTreeSet<&String> = cells.keys().map(|(behavior, ..)| behavior).collect();
        for behavior in behaviors {
            for (arm, reference) in self.compared {
                metrics.extend(self.difference(&cells, behavior, arm, reference)?);
            }
        }
        metrics.extend(self.shifts(seen, &cells)?);
        let of_seeds: Vec<Metric> = seen.iter().flat_map(directions).collect();
        // A base or teacher is one model, and the contrasts are the same in every seed: the others are copies of the first.
        let is_trained =
            |name: &Option<String>| self.starts.iter().any(|(arm, _)| Some(arm) == name.as_ref());
        let first = seeds.first().and_then(|seed| i64::try_from(*seed).ok());
        let differ: Vec<Metric> =
            of_seeds.iter().filter(|row| is_trained(&row.arm) || row.seed == first).cloned().collect();
        let over_seeds = seeds::averaged(&differ)?;
        metrics.extend(of_seeds);
        for (arm, base) in self.starts {
            let begun = over_seeds.iter().filter(|row| row.arm.as_ref() == Some(base));
            metrics.extend(begun.map(|row| Metric { arm: Some(arm.clone()), ..row.clone() }));
        }
        metrics.extend(over_seeds);
        Ok(metrics)
    }

    fn by_seed(&self, key: &Key, cell: &Cell, seeds: &[u64]) -> Result<Vec<Metric>> {
        let mut rows = vec![];
        for (run, seed) in seeds.iter().enumerate() {
            let own: Vec<f64> = cell.iter().filter(|seen| seen.run == run).map(|seen| seen.value).collect();
            if own.is_empty() {
                continue;
            }
            let mut row = Metric { seed: i64::try_from(*seed).ok(), n: count(own.len()), ..named(key) };
            if let Quantity::Projection(..) = key.3 {
                row.value = Some(own.iter().sum::<f64>() / own.len() as f64);
            } else {
                let shown = own.iter().filter(|value| **value > 0.5).count();
                let wilson = interval::wilson(shown, own.len(), self.resampling.level)?;
                row = Metric {
                    value: Some(wilson.value),
                    low: Some(wilson.low),
                    high: Some(wilson.high),
                    interval: Some(wilson.describe("samples")),
                    ..row
                };
            }
            rows.push(row);
        }
        Ok(rows)
    }

    fn over_seeds(&self, key: &Key, cell: &Cell) -> Result<Metric> {
        let estimate = rate::mean(cell, self.resampling, &self.rng(&format!("{key:?}")))?;
        Ok(estimated(named(key), &estimate, "scenarios"))
    }

    /// How far an arm's last checkpoint is from the reference's, in rate and in projections.
    fn difference(
        &self,
        cells: &BTreeMap<Key, Cell>,
        behavior: &str,
        arm: &str,
        reference: &str,
    ) -> Result<Vec<Metric>> {
        let last = |arm: &str| -> BTreeMap<Quantity, (&Key, &Cell)> {
            // Keys are sorted by step within an arm, so the last one stays.
            let own = cells.iter().filter(|(key, _)| key.0 == behavior && key.1 == arm);
            own.map(|(key, cell)| (key.3, (key, cell))).collect()
        };
        let (own, base) = (last(arm), last(reference));
        let mut rows = vec![];
        for (quantity, (key, cell)) in own {
            let Some((_, other)) = base.get(&quantity) else { continue };
            // The same draws for every arm of a behavior, as differences of differences want them.
            let rng = self.rng(&format!("difference {behavior} {}", quantity.metric()));
            let estimate = rate::difference(cell, other, self.resampling, &rng)?;
            rows.push(Metric {
                metric: format!("{}_difference", quantity.metric()),
                scored_on: Some(reference.into()),
                ..estimated(named(key), &estimate, "scenarios")
            });
        }
        Ok(rows)
    }

    fn rng(&self, name: &str) -> ChaCha8Rng {
        stream(self.seed, &format!("table {name}"))
    }
}

fn observations(seen: &Seen, arm: &str, run: usize) -> Vec<(Key, Observation)> {
    let mut all = vec![];
    for ((step, behavior), verdicts) in &seen.verdicts {
        let key = |quantity| (behavior.clone(), arm.to_owned(), *step, quantity);
        for (quantity, verdicts) in
            [(Quantity::Rate, &verdicts.shown), (Quantity::Coherent, &verdicts.coherent)]
        {
            for (cluster, met) in verdicts {
                let value = f64::from(u8::from(*met));
                all.push((key(quantity), Observation { run, cluster: *cluster, value }));
            }
        }
    }
    for measured in &seen.measured {
        for reading in &measured.readings {
            for (fit_on, values) in
                [(FitOn::Base, &reading.projections), (FitOn::Teachers, &reading.on_teachers)]
            {
                let quantity = Quantity::Projection(reading.hook, fit_on);
                let key = (reading.behavior.clone(), arm.to_owned(), measured.step, quantity);
                for (cluster, value) in seen.clusters(&reading.behavior).zip(values) {
                    all.push((key.clone(), Observation { run, cluster, value: *value }));
                }
            }
        }
    }
    all
}

/// How well directions tell contrasts apart, seed by seed.
fn directions(seen: &Seen) -> Vec<Metric> {
    let mut rows = vec![];
    for measured in &seen.measured {
        for reading in &measured.readings {
            let row = |metric: &str, fit_on: &str, value: f64| Metric {
                behavior: reading.behavior.clone(),
                arm: Some(seen.arm.clone()),
                seed: i64::try_from(seen.seed).ok(),
                step: i64::try_from(measured.step).ok(),
                hook: Some(reading.hook),
                method: Some("dom".into()),
                fit_on: Some(fit_on.into()),
                scored_on: Some("held-out contrasts".into()),
                metric: metric.into(),
                value: Some(value),
                ..Metric::default()
            };
            for (fit_on, auroc) in [("base", &reading.fixed), ("checkpoint", &reading.refit)] {
                let Auroc { value, low, high, n, interval } = auroc;
                rows.push(Metric {
                    low: Some(*low),
                    high: Some(*high),
                    n: count(*n),
                    interval: Some(interval.clone()),
                    ..row("auroc", fit_on, *value)
                });
            }
            rows.push(Metric { scored_on: None, ..row("cosine_to_base", "checkpoint", reading.cosine) });
        }
    }
    rows
}

fn named(key: &Key) -> Metric {
    let (behavior, arm, step, quantity) = key;
    let row = Metric {
        behavior: behavior.clone(),
        arm: Some(arm.clone()),
        step: i64::try_from(*step).ok(),
        scored_on: Some("held-out scenarios".into()),
        metric: quantity.metric().into(),
        ..Metric::default()
    };
    match quantity {
        Quantity::Projection(hook, fit_on) => {
            let fit_on = Some(fit_on.name().into());
            Metric { hook: Some(*hook), method: Some("dom".into()), fit_on, ..row }
        }
        Quantity::Rate | Quantity::Coherent => row,
    }
}
