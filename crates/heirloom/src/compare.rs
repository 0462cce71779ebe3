//! Two arms held against each other: rates and projections, directions, activations on unrelated text, and the
//! scenarios that moved most. Everything is read from runs that have ended; nothing is sampled.

mod moved;
mod numbers;
mod shift;
mod summary;
mod turned;

use std::path::{Path, PathBuf};

use heirloom_figure::{Arm, ArmBarsSpec, Behavior, BehaviorArms, Drawing, FigureSpec, Role, Tables};
use heirloom_model::Device;
use heirloom_probe::Resampling;
use heirloom_record::{Metric, Prompt, Table, rows_to_jsonl, write_file};
use serde::Serialize;

use crate::arms::{Side, Stored};
use crate::{Error, Result, figures};

pub use moved::{Answer, Moved};

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

/// Two arms, held against each other. Differences are the first minus the second.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Names of the two arms, each with its run where there are two.
    pub arms: [String; 2],
    /// The seeds that both were measured on.
    pub seeds: Vec<u64>,
    /// The behaviors that both were measured on.
    pub behaviors: Vec<String>,
    /// Every number.
    pub metrics: Vec<Metric>,
    /// The scenarios that moved most, by behavior.
    pub moved: Vec<Moved>,
    /// What could not be compared, in words.
    pub notes: Vec<String>,
    #[serde(skip)]
    summary: String,
}

/// Both arms of one seed.
struct Pair<'a> {
    seed: u64,
    /// Held-out scenarios of both, by behavior as in [`Both::behaviors`].
    scenarios: Vec<Vec<&'a Prompt>>,
    sides: [Side<'a>; 2],
}

/// Two arms whose scenarios are the same.
struct Both<'a> {
    stored: [&'a Stored; 2],
    labels: [String; 2],
    behaviors: Vec<String>,
    pairs: Vec<Pair<'a>>,
    resampling: Resampling,
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
    let moved = moved::moved(&both)?;
    let seeds: Vec<u64> = both.pairs.iter().map(|pair| pair.seed).collect();
    let mut comparison = Comparison {
        arms: both.labels.clone(),
        seeds,
        behaviors: both.behaviors.clone(),
        metrics,
        moved,
        notes,
        summary: String::new(),
    };
    comparison.summary = summary::summary(&comparison, first.experiment.spec().measure.headline);
    Ok(comparison)
}

impl Comparison {
    /// What a stranger should read first.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// Writes the table, the moved scenarios and a figure of both arms into the folder `folder`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        Table(self.metrics.clone()).write(&folder.join("table"))?;
        write_file(&folder.join("moved.jsonl"), rows_to_jsonl(&self.moved).as_bytes())?;
        let [first, second] = self.arms.each_ref();
        let mut arms = vec![Arm::new(first, Role::Full)];
        if first != second {
            arms.push(Arm::new(second, Role::Swap));
        }
        let behaviors: Vec<Behavior> = self.behaviors.iter().map(Behavior::named).collect();
        let bars = ArmBarsSpec::new(BehaviorArms::alike(&behaviors, &arms));
        let made = figures::made("compare", None, &self.seeds, folder, &["table.csv"])?;
        let drawings = [Drawing::new("arms", FigureSpec::ArmBars(bars))];
        figures::write(&drawings, &Tables::of(&self.metrics), &made, folder)?;
        Ok(())
    }
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
        let replicates = first.experiment.spec().measure.bootstrap;
        let resampling = Resampling { replicates, ..Resampling::default() };
        Ok(Self { stored, labels, behaviors, pairs, resampling })
    }

    /// Seeds and behaviors that one of two runs has alone.
    fn left_out(&self) -> Vec<String> {
        let mut notes = vec![];
        let seeds: Vec<u64> = self.pairs.iter().map(|pair| pair.seed).collect();
        for one in self.stored {
            let (path, experiment) = (one.path.display(), &one.experiment);
            let alone: Vec<u64> =
                experiment.spec().seeds.iter().filter(|seed| !seeds.contains(seed)).copied().collect();
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

    /// The root of the random streams.
    fn seed(&self) -> u64 {
        self.stored[0].experiment.spec().seed
    }

    /// Whether both are the same arm of the same run.
    fn is_one(&self) -> bool {
        self.labels[0] == self.labels[1]
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
