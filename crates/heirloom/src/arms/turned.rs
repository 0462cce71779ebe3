//! How alike the directions are that were fit anew on every checkpoint, and the spaces that those of all behaviors span.
//!
//! A base or teacher is one model, whatever the number of seeds: it stands once for all of them.

use std::collections::BTreeMap;

use heirloom_probe::control::NullBand;
use heirloom_probe::interval::LEVEL;
use heirloom_probe::pairs::pair_differences;
use heirloom_probe::refits::{Cosine, Refit, Shuffles, angles, angles_of_halves, noise_free_over_seeds};
use heirloom_probe::seeds;
use heirloom_record::{Activations, HookPoint, Metric, Turn};

use super::students::contrasts_of;
use super::workers::each;
use super::{ArmsExperiment, Seen};
use crate::rows::{banded, count, over_seeds, seeded};
use crate::streams::stream;
use crate::{Progress, Result, activations};

/// What the checkpoints of a run say of its directions.
pub(crate) struct Turned {
    /// Over seeds, at the hook point of figures: rows of the run's table.
    pub(crate) metrics: Vec<Metric>,
    /// Every two checkpoints at every hook point.
    pub(crate) turns: Vec<Turn>,
}

/// One checkpoint of one seed.
struct Place<'a> {
    seen: &'a Seen,
    step: usize,
}

/// Two arms, or two checkpoints of one, and the places that are held against each other for them.
#[derive(Clone)]
struct Between {
    /// The row without a number.
    row: Metric,
    /// Seed by seed; pairs of seeds where both sides are one; once where neither side has seeds.
    places: Vec<(usize, usize)>,
    /// The places of the one side, where both are one; else none.
    own: Vec<usize>,
}

/// An arm or a checkpoint of one, on all seeds.
struct OnSeeds {
    /// As rows name it.
    name: String,
    /// Its place in each seed.
    places: BTreeMap<u64, usize>,
    /// Whether it is the same model in all of them.
    is_one_model: bool,
}

impl OnSeeds {
    /// Places of models that differ.
    fn own(&self) -> Vec<usize> {
        let most = if self.is_one_model { 1 } else { self.places.len() };
        self.places.values().copied().take(most).collect()
    }
}

impl ArmsExperiment {
    /// How alike directions are; nothing unless the experiment asks for it.
    pub(crate) fn turned(&self, seen: &[Seen], progress: &mut dyn Progress) -> Result<Option<Turned>> {
        let Some(draws) = self.spec.measure.cosine_draws else { return Ok(None) };
        let shuffles = Shuffles::new(self.spec.measure.pairs, draws, &stream(self.spec.seed, "cosines"))?;
        let places: Vec<Place<'_>> = seen
            .iter()
            .flat_map(|seen| seen.measured.iter().map(move |measured| Place { seen, step: measured.step }))
            .collect();
        let between = [self.between_arms(&places), self.between_steps(&places)].concat();
        let hooks = self.hooks()?;
        progress.begin("cosines", "directions", hooks.len() as u64, "hook points");
        let mut turned = Turned { metrics: vec![], turns: vec![] };
        for (done, hook) in hooks.into_iter().enumerate() {
            let mut of_behaviors = vec![];
            for behavior in &self.behaviors {
                let refits = refits(&places, (behavior, hook), &shuffles)?;
                turned.turns.extend(turns(&places, &refits, (behavior, hook))?);
                if hook == self.spec.measure.headline {
                    turned.metrics.extend(cosines(&between, &refits, (behavior, hook))?);
                    of_behaviors.push(refits.into_iter().map(Refit::without_draws).collect::<Vec<_>>());
                }
            }
            if of_behaviors.len() > 1 {
                turned.metrics.extend(spaces(&between, &of_behaviors, (hook, &shuffles))?);
            }
            progress.advance(done as u64 + 1);
        }
        progress.end();
        Ok(Some(turned))
    }

    /// Every two arms, bases and teachers at their last checkpoints.
    fn between_arms(&self, places: &[Place<'_>]) -> Vec<Between> {
        let last = |name: &String| -> BTreeMap<u64, usize> {
            let own = places.iter().enumerate().filter(|(_, place)| place.seen.arm == *name);
            // The places of a student stand in the order of their steps.
            own.map(|(index, place)| (place.seen.seed, index)).collect()
        };
        let side = |name: &String| OnSeeds {
            name: format!("arm:{name}"),
            places: last(name),
            is_one_model: self.arms.iter().all(|arm| arm.name != *name),
        };
        all_between(&self.measured_names().iter().map(side).collect::<Vec<_>>(), None)
    }

    /// Every two checkpoints of the reference arm, from the base on.
    fn between_steps(&self, places: &[Place<'_>]) -> Vec<Between> {
        let reference = &self.spec.reference;
        let Some(arm) = self.arms.iter().find(|arm| arm.name == *reference) else { return vec![] };
        let mut steps: BTreeMap<usize, BTreeMap<u64, usize>> = BTreeMap::new();
        for (index, place) in places.iter().enumerate() {
            if place.seen.arm == *reference || place.seen.arm == arm.base {
                steps.entry(place.step).or_default().insert(place.seen.seed, index);
            }
        }
        let side = |(step, by_seed): (usize, BTreeMap<u64, usize>)| OnSeeds {
            name: format!("checkpoint:{step}"),
            is_one_model: by_seed.values().all(|at| places[*at].seen.arm == arm.base),
            places: by_seed,
        };
        all_between(&steps.into_iter().map(side).collect::<Vec<_>>(), Some(reference))
    }
}

/// The direction of a behavior of every place at one hook point.
fn refits(
    places: &[Place<'_>],
    (behavior, hook): (&str, HookPoint),
    shuffles: &Shuffles,
) -> Result<Vec<Refit>> {
    let refit = |place: &Place<'_>| {
        let path = contrasts_of(&place.seen.artifact, place.step, behavior);
        let data = activations::dataset(&Activations::read_hook(&path, hook)?, hook, &[], &path)?;
        Ok(Refit::new(pair_differences(&data)?.differences, shuffles)?)
    };
    each(places, refit, &mut crate::Silent)
}

/// Every two sides, each also with itself: seed against seed.
fn all_between(sides: &[OnSeeds], arm: Option<&String>) -> Vec<Between> {
    let mut all = vec![];
    for (index, first) in sides.iter().enumerate() {
        for second in &sides[index..] {
            let own = if first.name == second.name { first.own() } else { vec![] };
            let places: Vec<(usize, usize)> = if first.name == second.name {
                let seeds = own.iter().enumerate();
                seeds.flat_map(|(at, one)| own[at + 1..].iter().map(move |other| (*one, *other))).collect()
            } else {
                let both = |(seed, one): (&u64, &usize)| Some((*one, *second.places.get(seed)?));
                let most = if first.is_one_model && second.is_one_model { 1 } else { first.places.len() };
                first.places.iter().filter_map(both).take(most).collect()
            };
            let row = Metric {
                arm: arm.cloned(),
                fit_on: Some(first.name.clone()),
                scored_on: Some(second.name.clone()),
                method: Some("dom".into()),
                ..Metric::default()
            };
            all.push(Between { row, places, own });
        }
    }
    all
}

/// Cosines of every two places.
fn turns(places: &[Place<'_>], refits: &[Refit], (behavior, hook): (&str, HookPoint)) -> Result<Vec<Turn>> {
    let firsts: Vec<usize> = (0..places.len()).collect();
    let of_first = |first: &usize| {
        let turn =
            |second: usize| turn([*first, second].map(|at| (&places[at], &refits[at])), (behavior, hook));
        (first + 1..places.len()).map(turn).collect::<Result<Vec<Turn>>>()
    };
    Ok(each(&firsts, of_first, &mut crate::Silent)?.concat())
}

fn turn(
    [(place, refit), (other, others)]: [(&Place<'_>, &Refit); 2],
    (behavior, hook): (&str, HookPoint),
) -> Result<Turn> {
    let found = refit.cosine(others)?;
    let free = found.noise_free(LEVEL)?;
    let n = found.pairs();
    let [alike, apart] = [NullBand::new(found.alike)?, NullBand::new(found.apart)?];
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Ok(Turn {
        behavior: behavior.to_owned(),
        hook,
        arm: place.seen.arm.clone(),
        seed: number(place.seen.seed),
        step: number(place.step as u64),
        other_arm: other.seen.arm.clone(),
        other_seed: number(other.seen.seed),
        other_step: number(other.step as u64),
        cosine: found.value,
        noise_free: free.map(|free| free.value),
        low: free.map(|free| free.low),
        high: free.map(|free| free.high),
        halves: f64::midpoint(refit.halves, others.halves),
        alike_low: alike.low,
        alike_high: alike.high,
        apart_low: apart.low,
        apart_high: apart.high,
        n: number(n as u64),
    })
}

/// Cosines over seeds, and what they are judged by.
fn cosines(
    between: &[Between],
    refits: &[Refit],
    (behavior, hook): (&str, HookPoint),
) -> Result<Vec<Metric>> {
    let mut rows = vec![];
    for Between { row, places, own } in between {
        let is_one = !own.is_empty();
        let row = |metric: &str| Metric {
            behavior: behavior.to_owned(),
            hook: Some(hook),
            metric: metric.into(),
            ..row.clone()
        };
        if is_one {
            let halves: Vec<f64> = own.iter().map(|at| refits[*at].halves).collect();
            rows.push(over_seeds(&row("cosine_of_halves"), &halves, (-1.0, 1.0))?);
        }
        let found = places
            .iter()
            .map(|(one, other)| Ok(refits[*one].cosine(&refits[*other])?))
            .collect::<Result<Vec<Cosine>>>()?;
        if found.is_empty() {
            continue;
        }
        let values: Vec<f64> = found.iter().map(|cosine| cosine.value).collect();
        rows.push(spread(&row("cosine"), &values, is_one, (-1.0, 1.0))?);
        rows.push(noise_free(row("cosine_noise_free"), &found, is_one)?);
        for (metric, draws) in [
            ("cosine_null_shuffled_alike", (|found| &found.alike) as fn(&Cosine) -> &Vec<f64>),
            ("cosine_null_shuffled_apart", |found| &found.apart),
        ] {
            let of_seeds: Vec<&[f64]> = found.iter().map(|one| draws(one).as_slice()).collect();
            rows.push(banded(row(metric), &NullBand::of_means(&of_seeds)?));
        }
    }
    Ok(rows)
}

/// A mean over seeds; over pairs of seeds of one side with the least and the greatest of them, for they are not independent.
fn spread(row: &Metric, values: &[f64], is_one: bool, (least, most): (f64, f64)) -> Result<Metric> {
    if !is_one {
        return over_seeds(row, values, (least, most));
    }
    Ok(seeded(row, seeds::mean_of_pairs(values), "least and greatest of pairs over seeds"))
}

/// The mean over seeds of cosines without noise; `is_one` where they are those of every two seeds of one side.
fn noise_free(row: Metric, found: &[Cosine], is_one: bool) -> Result<Metric> {
    let all: Vec<&Cosine> = found.iter().collect();
    let Some(mean) = noise_free_over_seeds(&all, is_one, LEVEL)? else { return Ok(row) };
    let interval = if is_one || found.len() < 2 {
        "95 % jackknife over pairs, without variance between seeds"
    } else {
        "95 % jackknife over pairs and t over seeds"
    };
    Ok(Metric {
        value: Some(mean.value),
        low: Some(mean.low),
        high: Some(mean.high),
        n: count(found.len()),
        interval: Some(interval.into()),
        ..row
    })
}

/// Principal angles, in degrees, between the spaces that the directions of all behaviors span.
fn spaces(
    between: &[Between],
    refits: &[Vec<Refit>],
    (hook, shuffles): (HookPoint, &Shuffles),
) -> Result<Vec<Metric>> {
    let at = |place: usize| -> Vec<&Refit> { refits.iter().map(|of_behavior| &of_behavior[place]).collect() };
    let degrees = |angles: Vec<f64>| angles.into_iter().map(f64::to_degrees).collect::<Vec<f64>>();
    let mut rows = vec![];
    for Between { row, places, own } in between {
        let found = places.iter().map(|(one, other)| Ok(degrees(angles(&at(*one), &at(*other))?)));
        let halves = own.iter().map(|place| Ok(degrees(angles_of_halves(&at(*place), shuffles)?)));
        let found = ("", !own.is_empty(), found.collect::<Result<Vec<_>>>()?);
        for (what, is_one, sets) in [found, ("_of_halves", false, halves.collect::<Result<Vec<_>>>()?)] {
            let most = sets.iter().map(Vec::len).min().unwrap_or_default();
            for angle in 0..most {
                let values: Vec<f64> = sets.iter().map(|angles| angles[angle]).collect();
                let metric = format!("principal_angle_{}{what}", angle + 1);
                let row = Metric { hook: Some(hook), metric, ..row.clone() };
                rows.push(spread(&row, &values, is_one, (0.0, 90.0))?);
            }
        }
    }
    Ok(rows)
}
