//! How far every checkpoint has moved from the base along the fixed directions, beside directions that mean nothing.

use std::collections::BTreeMap;

use heirloom_probe::control::NullBand;
use heirloom_probe::rate;
use heirloom_record::{HookPoint, Metric};

use super::super::measured::{ControlMeans, Reading};
use super::{Cell, Key, Quantity, Seen, Tabler, count, named, with};
use crate::Result;
use crate::origins::FitOn;

/// The two families of controls, as the table calls them.
const FAMILIES: [&str; 2] = ["shift_random_direction", "shift_random_difference"];

impl Tabler<'_> {
    /// Shifts of projections from the base, and those of the controls; nothing where no controls were measured.
    pub(super) fn shifts(&self, seen: &[Seen], cells: &BTreeMap<Key, Cell>) -> Result<Vec<Metric>> {
        let mut rows = vec![];
        for (key, by_seed) in self.control_shifts(seen) {
            let (behavior, arm, _, quantity) = &key;
            let Some(start) = cells.get(&(behavior.clone(), arm.clone(), 0, *quantity)) else { continue };
            let name = format!("shift {behavior} {}", quantity.metric());
            let shift = rate::difference(&cells[&key], start, self.resampling, &self.rng(&name))?;
            rows.push(Metric { metric: "shift".into(), ..with(named(&key), &shift) });
            for (family, name) in FAMILIES.iter().enumerate() {
                let shifts: Vec<&Vec<f64>> = by_seed.iter().map(|seed| &seed[family]).collect();
                let band = NullBand::new(average(&shifts))?;
                rows.push(Metric {
                    metric: (*name).into(),
                    value: Some(band.median),
                    low: Some(band.low),
                    high: Some(band.high),
                    n: count(band.values.len()),
                    interval: Some("2.5 % to 97.5 % of controls, each the mean over seeds".into()),
                    ..named(&key)
                });
            }
        }
        Ok(rows)
    }

    /// By checkpoint after the first: for each seed, the shift from the base along every control of both families.
    fn control_shifts(&self, seen: &[Seen]) -> BTreeMap<Key, Vec<[Vec<f64>; 2]>> {
        let mut all: BTreeMap<Key, Vec<[Vec<f64>; 2]>> = BTreeMap::new();
        for (arm, base) in self.starts {
            for one in seen.iter().filter(|one| one.arm == *arm) {
                let Some(start) = seen.iter().find(|start| start.arm == *base && start.seed == one.seed)
                else {
                    continue;
                };
                for (step, reading) in readings(one).filter(|(step, _)| *step > 0) {
                    let at = |(_, start): &(usize, &Reading)| {
                        (&start.behavior, start.hook) == (&reading.behavior, reading.hook)
                    };
                    let Some((_, from)) = readings(start).find(at) else { continue };
                    for (fit_on, to, from) in [
                        (FitOn::Base, &reading.controls, &from.controls),
                        (FitOn::Teachers, &reading.controls_on_teachers, &from.controls_on_teachers),
                    ] {
                        if to.random.is_empty() {
                            continue;
                        }
                        let key = key(arm, step, reading, reading.hook, fit_on);
                        all.entry(key).or_default().push(moved(to, from));
                    }
                }
            }
        }
        all
    }
}

fn readings(seen: &Seen) -> impl Iterator<Item = (usize, &Reading)> {
    seen.measured.iter().flat_map(|measured| measured.readings.iter().map(|reading| (measured.step, reading)))
}

fn key(arm: &str, step: usize, reading: &Reading, hook: HookPoint, fit_on: FitOn) -> Key {
    (reading.behavior.clone(), arm.to_owned(), step, Quantity::Projection(hook, fit_on))
}

fn moved(to: &ControlMeans, from: &ControlMeans) -> [Vec<f64>; 2] {
    let minus = |to: &[f64], from: &[f64]| to.iter().zip(from).map(|(to, from)| to - from).collect();
    [minus(&to.random, &from.random), minus(&to.differences, &from.differences)]
}

/// Mean over seeds of every control.
fn average(seeds: &[&Vec<f64>]) -> Vec<f64> {
    let of = |control: usize| seeds.iter().map(|seed| seed[control]).sum::<f64>() / seeds.len() as f64;
    (0..seeds[0].len()).map(of).collect()
}
