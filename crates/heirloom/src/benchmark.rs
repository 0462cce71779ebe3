//! How often verdicts are right: worlds whose origins are known, told anew for every seed.
//!
//! Each world is run as an experiment with arms of its own; then its verdicts are held against what the world's file
//! knows. This is the only place that reads [`Truth`].

mod figure;
mod score;
mod spec;
mod summary;

use std::path::{Path, PathBuf};

use heirloom_figure::Tables;
use heirloom_model::Device;
use heirloom_record::{Case, Metric, RunFolder, RunRecord, Table};
use heirloom_rollout::world::Truth;

use crate::arms::{ArmsExperiment, ArmsStage, Seen};
use crate::origins::{FitOn, Found, Measure};
use crate::{Error, Progress, Result, Silent, figures};

pub(crate) use figure::drawing;
pub use spec::{BenchmarkSpec, Tried};

/// Worlds to be run, with the arms that each behavior is asked of.
pub struct Benchmark {
    spec: BenchmarkSpec,
    device: Device,
    /// The command that runs it.
    command: String,
}

/// What a benchmark has found.
#[derive(Clone, Debug)]
pub struct BenchmarkOutcome {
    /// The run's folder.
    pub folder: PathBuf,
    /// Every verdict beside what is known.
    pub cases: Vec<Case>,
    /// Shares of right verdicts, false alarms, calibration.
    pub metrics: Vec<Metric>,
    summary: String,
}

/// One world of one seed.
struct Run {
    world: String,
    seed: u64,
    truth: Truth,
    experiment: ArmsExperiment,
}

impl Benchmark {
    /// Reads a benchmark and checks all that can be checked before anything is trained.
    ///
    /// # Errors
    /// Names the file, the key and near names.
    pub fn load(path: &Path) -> Result<Self> {
        let command = format!("heirloom run {}", path.display());
        let this = Self { spec: BenchmarkSpec::load(path)?, device: Device::Cpu, command };
        this.runs()?;
        Ok(this)
    }

    /// The same benchmark, its models on `device`.
    #[must_use]
    pub fn on(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// What the file says.
    pub fn spec(&self) -> &BenchmarkSpec {
        &self.spec
    }

    /// The experiments it consists of, each with its folder's name.
    pub fn experiments(&self) -> Result<Vec<(String, ArmsExperiment)>> {
        let runs = self.runs()?;
        Ok(runs.into_iter().map(|run| (run.experiment.spec().name.clone(), run.experiment)).collect())
    }

    /// Runs every world that is not there yet and scores the verdicts; the same call resumes after an interruption.
    ///
    /// # Errors
    /// As [`ArmsExperiment::run`], with the world's name.
    pub fn run(&self, out: &Path, progress: &mut dyn Progress) -> Result<BenchmarkOutcome> {
        let record =
            RunRecord { experiment: self.spec.name.clone(), version: env!("CARGO_PKG_VERSION").into() };
        let folder = RunFolder::open(out, &record)?;
        let runs = self.runs()?;
        let mut cases = vec![];
        progress.begin("run", "worlds", runs.len() as u64, "worlds");
        for (done, run) in runs.iter().enumerate() {
            let name = &run.experiment.spec().name;
            let seen = run
                .experiment
                .look(ArmsStage::Figures, &folder.path().join(name), &mut Silent)
                .map_err(|source| Error::World { name: name.clone(), source: Box::new(source) })?;
            cases.extend(run.cases(&seen.expect("the last stage looks"))?);
            // What is known so far is kept, should a later world fail.
            Table(cases.clone()).write(&out.join("cases"))?;
            progress.advance(done as u64 + 1);
        }
        progress.end();
        let metrics = score::metrics(&cases)?;
        Table(metrics.clone()).write(&out.join("table"))?;
        let (drawing, rows) = drawing(&cases);
        let (seeds, files) = (&self.spec.seeds, &figures::OF_WORLDS);
        let made = figures::made(&self.spec.name, Some(self.command.clone()), seeds, out, files)?;
        figures::write(&[drawing], &Tables::of(&rows), &made, &out.join("figures"))?;
        let summary = summary::summary(&cases, &metrics, out);
        Ok(BenchmarkOutcome { folder: out.to_owned(), cases, metrics, summary })
    }

    fn runs(&self) -> Result<Vec<Run>> {
        let mut runs = vec![];
        for tried in &self.spec.worlds {
            let truth = truth(&tried.world)?;
            for seed in &self.spec.seeds {
                let arms = self.spec.arms(tried, *seed)?;
                let experiment = ArmsExperiment::new(arms)?.only_parts().on(self.device);
                let world = experiment.world().name().to_owned();
                runs.push(Run { world, seed: *seed, truth: truth.clone(), experiment });
            }
        }
        Ok(runs)
    }
}

impl BenchmarkOutcome {
    /// What a stranger should read first.
    pub fn summary(&self) -> &str {
        &self.summary
    }
}

/// Joint draws of a verdict: its probabilities are good to a hundredth.
const DRAWS: usize = 2000;
/// Roles that an ordinary two-by-two has, and the model that it starts from.
const TWO_BY_TWO: [&str; 5] = ["full", "other-teacher", "other-prompts", "neither", "start"];

impl Run {
    /// The verdicts on every behavior: by measure, by number of seeds, by arms.
    fn cases(&self, seen: &[Seen]) -> Result<Vec<Case>> {
        let mut cases = vec![];
        let seeds = &self.experiment.spec().seeds;
        for (behavior, known) in self.truth.behaviors() {
            if !self.experiment.spec().origins.contains_key(behavior) {
                continue;
            }
            for students in 1..=seeds.len() {
                let of_seeds: Vec<&Seen> =
                    seen.iter().filter(|one| seeds[..students].contains(&one.seed)).collect();
                for (arms, parts) in [("all", None), ("two-by-two", Some(TWO_BY_TWO.as_slice()))] {
                    let found = self.experiment.weigh(&of_seeds, behavior, parts, DRAWS)?;
                    let by = |measures: &[&str]| -> Vec<&Found> {
                        found.iter().filter(|found| measures.contains(&name(found.measure))).collect()
                    };
                    let measures = [RATES, CONTRASTS, TEACHERS].map(|measure| (measure, by(&[measure])));
                    let together = ("rates and teachers", by(&[RATES, TEACHERS]));
                    for (measure, found) in measures.into_iter().chain([together]) {
                        if !found.is_empty() {
                            let case = score::case(behavior, known, &found);
                            cases.push(Case {
                                world: self.world.clone(),
                                seed: i64::try_from(self.seed).unwrap_or(i64::MAX),
                                measure: measure.into(),
                                arms: arms.into(),
                                students: i64::try_from(students).unwrap_or(i64::MAX),
                                ..case
                            });
                        }
                    }
                }
            }
        }
        Ok(cases)
    }
}

const RATES: &str = "rates";
const CONTRASTS: &str = "contrasts";
const TEACHERS: &str = "teachers";

/// A measure by what it rests on.
fn name(measure: Measure) -> &'static str {
    match measure {
        Measure::Rate => RATES,
        Measure::Projection { fit_on: FitOn::Base, .. } => CONTRASTS,
        Measure::Projection { fit_on: FitOn::Teachers, .. } => TEACHERS,
    }
}

/// What a world's file knows, of a file or of a world that heirloom brings.
fn truth(path: &Path) -> Result<Truth> {
    if path.exists() {
        return Ok(Truth::load(path)?);
    }
    Ok(Truth::shipped(&path.file_stem().unwrap_or_default().to_string_lossy())?)
}
