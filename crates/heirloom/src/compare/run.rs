//! Two arms of runs that have ended.

use std::path::PathBuf;

use heirloom_model::Device;
use heirloom_probe::Resampling;
use heirloom_record::Prompt;

use super::{Comparison, Pairing, moved, numbers, rates, shift, summary, turned};
use crate::arms::{Side, Stored};
use crate::{Error, Result};

/// What is compared.
#[derive(Clone, Debug)]
pub struct Request {
    /// The run's folder.
    pub run: PathBuf,
    /// The folder of a second run, which then has the second arm.
    pub second: Option<PathBuf>,
    /// The arms; also `base`, or `teacher A`.
    pub arms: [String; 2],
    /// The device that the runs were made on.
    pub device: Device,
}

/// Both arms of one seed.
pub(super) struct Pair<'a> {
    pub(super) seed: u64,
    /// Held-out scenarios of both, by behavior as in [`Both::behaviors`].
    pub(super) scenarios: Vec<Vec<&'a Prompt>>,
    pub(super) sides: [Side<'a>; 2],
}

/// Two arms whose scenarios are the same.
pub(super) struct Both<'a> {
    pub(super) stored: [&'a Stored; 2],
    pub(super) pairing: Pairing,
    pub(super) behaviors: Vec<String>,
    pub(super) pairs: Vec<Pair<'a>>,
}

/// Holds two arms against each other.
///
/// # Errors
/// A folder holds no run, or lacks what its experiment asks for; an arm was not run; two runs are of different
/// worlds, seeds or scenarios.
pub fn compare(request: &Request) -> Result<Comparison> {
    let first = Stored::open(&request.run, request.device)?;
    let second = request.second.as_deref().map(|path| Stored::open(path, request.device)).transpose()?;
    let both = Both::of([&first, second.as_ref().unwrap_or(&first)], request)?;
    let mut notes = both.left_out();
    let mut metrics = numbers::metrics(&both, &mut notes)?;
    metrics.extend(turned::metrics(&both)?);
    metrics.extend(shift::metrics(&both, &mut notes)?);
    let mut comparison = Comparison {
        arms: both.pairing.labels.clone(),
        seeds: both.pairing.seeds.clone(),
        behaviors: both.behaviors.clone(),
        metrics,
        moved: Some(moved::moved(&both)?),
        notes,
        drawings: vec![rates(both.pairing.bars(&both.behaviors))],
        summary: String::new(),
    };
    comparison.summary = summary::summary(&comparison, first.experiment.spec().measure.headline);
    Ok(comparison)
}

impl<'a> Both<'a> {
    fn of(stored: [&'a Stored; 2], request: &Request) -> Result<Self> {
        let [first, second] = stored;
        let unpaired = |reason: String| Error::Unpaired {
            first: first.path.clone(),
            second: second.path.clone(),
            reason,
        };
        let worlds = stored.map(|one| one.experiment.world());
        if worlds[0].sha256() != worlds[1].sha256() {
            let [one, other] = worlds.map(heirloom_rollout::World::name);
            let which = if one == other {
                format!("both are called `{one}`, but their files differ")
            } else {
                format!("`{one}` and `{other}`")
            };
            return Err(unpaired(format!("they are of different worlds, {which}")));
        }
        // The arms are looked for before any file of theirs is read.
        for (one, arm) in stored.iter().zip(&request.arms) {
            one.experiment.named(arm)?;
        }
        let behaviors = stored.map(|one| one.experiment.behaviors());
        let behaviors: Vec<String> =
            behaviors[0].iter().filter(|name| behaviors[1].contains(name)).cloned().collect();
        if behaviors.is_empty() {
            return Err(unpaired("they measured no behavior in common".into()));
        }
        let mut pairs = vec![];
        for &seed in &first.experiment.spec().seeds {
            let (Some(one), Some(other)) = (first.seeded(seed), second.seeded(seed)) else { continue };
            let mut scenarios = vec![];
            for behavior in &behaviors {
                let [own, others] = [one, other].map(|seeded| of_behavior(&seeded.scenarios, behavior));
                if own != others {
                    let (n, m) = (own.len(), others.len());
                    let sizes = if n == m { String::new() } else { format!(", {n} and {m}") };
                    let reason =
                        format!("students of seed {seed} were tried on other scenarios of {behavior}{sizes}");
                    return Err(unpaired(reason));
                }
                scenarios.push(own);
            }
            let sides = [first.side(&request.arms[0], one)?, second.side(&request.arms[1], other)?];
            pairs.push(Pair { seed, scenarios, sides });
        }
        if pairs.is_empty() {
            let [one, other] = stored.map(|one| listed(&one.experiment.spec().seeds));
            return Err(unpaired(format!("they have no seed in common, {one} and {other}")));
        }
        let labels = match &request.second {
            None => request.arms.clone(),
            Some(path) => {
                let [one, other] = request.arms.each_ref();
                let labels = [(one, &request.run), (other, path)];
                labels.map(|(arm, run)| format!("{arm} ({})", run.display()))
            }
        };
        let spec = first.experiment.spec();
        let pairing = Pairing {
            labels,
            seeds: pairs.iter().map(|pair| pair.seed).collect(),
            resampling: Resampling { replicates: spec.measure.bootstrap, ..Resampling::default() },
            seed: spec.seed,
        };
        Ok(Self { stored, pairing, behaviors, pairs })
    }

    /// Seeds and behaviors that one of two runs has alone.
    fn left_out(&self) -> Vec<String> {
        let mut notes = vec![];
        for one in self.stored {
            let (path, experiment) = (one.path.display(), &one.experiment);
            let alone: Vec<u64> = experiment
                .spec()
                .seeds
                .iter()
                .filter(|seed| !self.pairing.seeds.contains(seed))
                .copied()
                .collect();
            if !alone.is_empty() {
                notes.push(format!("left out: seeds that only `{path}` has, {}", listed(&alone)));
            }
            let alone = experiment.behaviors().iter().filter(|name| !self.behaviors.contains(name));
            let alone: Vec<&str> = alone.map(String::as_str).collect();
            if !alone.is_empty() {
                notes.push(format!("left out: what only `{path}` measured, {}", alone.join(", ")));
            }
        }
        notes
    }
}

/// The scenarios of one behavior.
fn of_behavior<'a>(scenarios: &'a [Prompt], behavior: &str) -> Vec<&'a Prompt> {
    let prefix = format!("{behavior}/");
    scenarios.iter().filter(|scenario| scenario.id.starts_with(&prefix)).collect()
}

fn listed(seeds: &[u64]) -> String {
    seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}
