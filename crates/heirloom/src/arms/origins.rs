//! Grades and readings of all students → where each behavior comes from.

use std::collections::BTreeMap;

use heirloom_probe::Resampling;
use heirloom_probe::rate::Observation;

use super::ArmsExperiment;
use super::measured::Reading;
use super::tables::Seen;
use crate::origins::{DRAWS, Evidence, FitOn, Found, Measure, Played};
use crate::streams::stream;
use crate::{Progress, Result};

/// The least difference of two arms that counts as one: in rate, and in standard deviations of the reference.
const LEAST_RATE: f64 = 0.15;
const LEAST_PROJECTION: f64 = 1.0;

impl ArmsExperiment {
    /// Where every behavior that the file gives parts for comes from: by its rate, then by its projections.
    pub(crate) fn origins(&self, seen: &[Seen], progress: &mut dyn Progress) -> Result<Vec<Found>> {
        let seen: Vec<&Seen> = seen.iter().collect();
        let behaviors: Vec<&String> =
            self.behaviors.iter().filter(|name| self.spec.origins.contains_key(*name)).collect();
        progress.begin("origins", "verdicts", behaviors.len() as u64, "behaviors");
        let mut found = vec![];
        for (done, behavior) in behaviors.into_iter().enumerate() {
            found.extend(self.weigh(&seen, behavior, None, DRAWS)?);
            progress.advance(done as u64 + 1);
        }
        progress.end();
        Ok(found)
    }

    /// Where one behavior comes from, by its rate and by its projections, as far as the arms tell that play one of
    /// `parts`; any where none is given.
    pub(crate) fn weigh(
        &self,
        seen: &[&Seen],
        behavior: &str,
        parts: Option<&[&str]>,
        draws: usize,
    ) -> Result<Vec<Found>> {
        let resampling = Resampling { replicates: draws, ..Resampling::default() };
        let rng = stream(self.spec.seed, &format!("origins {behavior}"));
        let hook = self.spec.measure.headline;
        let projection = |fit_on| (Measure::Projection { hook, fit_on }, LEAST_PROJECTION);
        let mut found = vec![];
        for (measure, least) in
            [(Measure::Rate, LEAST_RATE), projection(FitOn::Base), projection(FitOn::Teachers)]
        {
            let mut evidence = self.evidence(seen, behavior, measure);
            evidence.arms.retain(|part, _| parts.is_none_or(|parts| parts.contains(&part.as_str())));
            if !evidence.arms.is_empty() {
                found.push(evidence.weigh(least, resampling, &rng)?);
            }
        }
        Ok(found)
    }

    /// The last checkpoint of every arm that plays a part. Parts whose arms were not run are left out.
    fn evidence(&self, seen: &[&Seen], behavior: &str, measure: Measure) -> Evidence {
        let mut arms: BTreeMap<String, Played> = BTreeMap::new();
        for (part, arm) in &self.spec.origins[behavior] {
            for one in seen.iter().filter(|one| one.arm == *arm) {
                let Some(last) = one.measured.iter().map(|measured| measured.step).max() else { continue };
                let run = self.run_of(one);
                let observation = |(cluster, value)| Observation { run, cluster, value };
                let observed = shown(one, behavior, measure, last).into_iter().map(observation);
                let nothing = || Played { by: arm.clone(), seen: vec![] };
                arms.entry(part.clone()).or_insert_with(nothing).seen.extend(observed);
            }
        }
        arms.retain(|_, played| !played.seen.is_empty());
        Evidence { behavior: behavior.into(), measure, arms, mixes: vec![] }
    }

    /// The number of the run that a model belongs to: the place of its seed.
    pub(crate) fn run_of(&self, seen: &Seen) -> usize {
        let run = self.spec.seeds.iter().position(|seed| *seed == seen.seed);
        run.expect("only the experiment's seeds are run")
    }
}

/// Scenarios of a behavior with what a checkpoint showed on each.
pub(crate) fn shown(seen: &Seen, behavior: &str, measure: Measure, step: usize) -> Vec<(usize, f64)> {
    match measure {
        Measure::Rate => {
            let verdicts = seen.verdicts.get(&(step, behavior.to_owned()));
            let shown = verdicts.iter().flat_map(|verdicts| &verdicts.shown);
            shown.map(|(scenario, met)| (*scenario, f64::from(u8::from(*met)))).collect()
        }
        Measure::Projection { hook, fit_on } => {
            let of = |reading: &&Reading| reading.behavior == behavior && reading.hook == hook;
            let readings = seen.measured.iter().filter(|measured| measured.step == step);
            let values =
                readings.flat_map(|measured| &measured.readings).find(of).map(|reading| match fit_on {
                    FitOn::Base => &reading.projections,
                    FitOn::Teachers => &reading.on_teachers,
                });
            seen.clusters(behavior).zip(values.into_iter().flatten().copied()).collect()
        }
    }
}
