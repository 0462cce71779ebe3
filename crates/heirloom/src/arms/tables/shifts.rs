//! How far every checkpoint has moved from the base along the fixed directions, beside directions that mean nothing.

use std::collections::BTreeMap;

use heirloom_probe::rate;
use heirloom_probe::track::{Shift, mean_shift_band};
use heirloom_record::{HookPoint, Metric};

use super::super::measured::Reading;
use super::{Cell, Key, Quantity, Seen, Tabler, named};
use crate::Result;
use crate::origins::FitOn;
use crate::rows::{banded, estimated};

/// The two families of controls, as the table calls them.
const FAMILIES: [&str; 2] = ["shift_random_direction", "shift_random_difference"];

impl Tabler<'_> {
    /// Shifts of projections from the base, and those of the controls; nothing where no controls were measured.
    pub(super) fn shifts(&self, seen: &[Seen], cells: &BTreeMap<Key, Cell>) -> Result<Vec<Metric>> {
        let mut rows = vec![];
        for (key, by_seed) in self.control_means(seen) {
            let (behavior, arm, _, quantity) = &key;
            let Some(start) = cells.get(&(behavior.clone(), arm.clone(), 0, *quantity)) else { continue };
            let name = format!("shift {behavior} {}", quantity.metric());
            let shift = rate::difference(&cells[&key], start, self.resampling, &self.rng(&name))?;
            rows.push(Metric { metric: "shift".into(), ..estimated(named(&key), &shift, "scenarios") });
            for (family, name) in FAMILIES.iter().enumerate() {
                let band = mean_shift_band(by_seed.iter().map(|seed| seed[family]))?;
                rows.push(Metric { metric: (*name).into(), ..banded(named(&key), &band) });
            }
        }
        Ok(rows)
    }

    /// By checkpoint after the first: for each seed, what the controls of both families gave on the base and give there.
    fn control_means<'a>(&self, seen: &'a [Seen]) -> BTreeMap<Key, Vec<[Shift<'a>; 2]>> {
        let mut all: BTreeMap<Key, Vec<[Shift<'a>; 2]>> = BTreeMap::new();
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
                        let families = [(&from.random, &to.random), (&from.differences, &to.differences)];
                        all.entry(key).or_default().push(families.map(|(from, to)| (&from[..], &to[..])));
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
