//! An experiment: behaviors and a student in, tables and figures out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use heirloom_figure::Tables;
use heirloom_model::{CapturePlan, Device, LoadOptions, Source};
use heirloom_record::{Histogram, Metric, RunFolder, RunRecord, Table, write_file};
use heirloom_rollout::Behavior;

use crate::spec::twice;
use crate::stages::capture::Capturer;
use crate::stages::transfer::Ready;
use crate::stages::{self, probe, transfer};
use crate::{Error, Plan, Progress, Result, Spec, figures};

/// A stage of an experiment, in order; each stage's output is an artifact of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Activations of every behavior's texts.
    Capture,
    /// Directions and their scores.
    Probe,
    /// Scores between groups and between behaviors.
    Transfer,
    /// Pictures of the tables.
    Figures,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 4] = [Self::Capture, Self::Probe, Self::Transfer, Self::Figures];

    /// The name used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Probe => "probe",
            Self::Transfer => "transfer",
            Self::Figures => "figures",
        }
    }
}

/// How an experiment is run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The run's folder.
    pub out: PathBuf,
    /// Where the student computes.
    pub device: Device,
    /// The last stage to run. The run's tables are written from [`Stage::Transfer`] on, so that a shorter run never
    /// replaces them by fewer numbers.
    pub until: Stage,
}

impl RunOptions {
    /// Every stage, on the processor, into `out`.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Self { out: out.into(), device: Device::Cpu, until: Stage::Figures }
    }
}

/// An experiment whose file, behaviors and model have been checked; no weights are loaded yet.
pub struct Experiment {
    spec: Spec,
    behaviors: Vec<Behavior>,
    plan: CapturePlan,
    load: LoadOptions,
    /// The command that runs it.
    command: String,
}

/// What a run has made.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The run's folder.
    pub folder: PathBuf,
    /// The method of figures and headlines, fixed by the experiment.
    pub headline: String,
    /// Every number; empty when the run stopped before the probes.
    pub metrics: Vec<Metric>,
    /// The pictures, without extension.
    pub figures: Vec<PathBuf>,
}

impl Experiment {
    /// Reads an experiment and checks everything that can be checked without weights: keys and settings, behaviors
    /// and their groups, the model's configuration and the hook points.
    ///
    /// # Errors
    /// Names the file, key, line or hook point, with a hint; also where the model is a name on a hub, which
    /// [`Self::load_with`] fetches.
    pub fn load(path: &Path) -> Result<Self> {
        Self::load_with(path, &mut |name| Err(Error::NotFetched { name: name.into() }))
    }

    /// As [`Self::load`], where `fetch` says where a model that is a name on a hub lies on this machine; it is asked once
    /// all that does not need the model is known to be right.
    ///
    /// # Errors
    /// Those of [`Self::load`] and of `fetch`.
    pub fn load_with<E: From<Error>>(
        path: &Path,
        fetch: &mut dyn FnMut(&str) -> Result<PathBuf, E>,
    ) -> Result<Self, E> {
        let (mut spec, load, behaviors) = Self::read(path)?;
        if let Some(name) = spec.model.on_hub() {
            let folder = fetch(name)?;
            spec.model = spec.model.at(folder);
        }
        let source = open(&spec)?;
        let readout = spec.capture.readout.clone();
        let plan = CapturePlan::new(source.config(), &spec.capture.hooks, readout).map_err(Error::from)?;
        let command = format!("heirloom run {}", path.display());
        Ok(Self { spec, behaviors, plan, load, command })
    }

    /// What of an experiment can be checked without its model.
    fn read(path: &Path) -> Result<(Spec, LoadOptions, Vec<Behavior>)> {
        let spec = Spec::load(path)?;
        spec.check()?;
        let dtype = spec.model.dtype.parse()?;
        let load = LoadOptions { dtype, ..LoadOptions::new(spec.model.clock.parse()?) };
        let behaviors: Vec<Behavior> =
            spec.behaviors.iter().map(|folder| Ok(Behavior::load(folder)?)).collect::<Result<_>>()?;
        twice("behaviors", behaviors.iter().map(|behavior| behavior.name.clone()))?;
        behaviors.iter().try_for_each(|behavior| enough_groups(&spec, behavior))?;
        Ok((spec, load, behaviors))
    }

    /// What the file says.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The behaviors, in the order of the file.
    pub fn behaviors(&self) -> &[Behavior] {
        &self.behaviors
    }

    /// What would run, and what it would cost, without loading weights.
    pub fn plan(&self, options: &RunOptions) -> Result<Plan> {
        let load = LoadOptions { device: options.device, ..self.load };
        Plan::of(&self.spec, &self.behaviors, &self.plan, load, options)
    }

    /// Runs every stage whose artifact does not exist, in order; the same call resumes after an interruption.
    ///
    /// # Errors
    /// The folder holds another run; a stage failed, with its artifact absent and those before it kept.
    pub fn run(&self, options: &RunOptions, progress: &mut dyn Progress) -> Result<Outcome> {
        let source = open(&self.spec)?;
        let record =
            RunRecord { experiment: self.spec.name.clone(), version: env!("CARGO_PKG_VERSION").into() };
        let run = RunFolder::open(&options.out, &record)?;
        let mut outcome = Outcome {
            folder: options.out.clone(),
            headline: self.spec.probe.headline.clone(),
            metrics: vec![],
            figures: vec![],
        };

        let load = LoadOptions { device: options.device, ..self.load };
        let mut capturer = Capturer::new(&self.spec, &self.plan, load, source)?;
        let captured = self
            .behaviors
            .iter()
            .map(|behavior| capturer.behavior(&run, behavior, progress))
            .collect::<Result<Vec<_>>>()?;
        // The student's memory is not needed by what follows.
        drop(capturer);
        if options.until == Stage::Capture {
            return Ok(outcome);
        }

        let ready = self
            .behaviors
            .iter()
            .zip(captured)
            .map(|(behavior, captured)| {
                let probed = probe::probe(&self.spec, &run, behavior, &captured, progress)?;
                Ok(Ready { behavior, captured, probed })
            })
            .collect::<Result<Vec<_>>>()?;
        let (mut metrics, histograms) = tables(&ready)?;
        if options.until >= Stage::Transfer {
            let between = transfer::transfer(&self.spec, &run, &ready, progress)?;
            metrics.extend(Table::<Metric>::read(&between.join("table"))?.0);
            let made_from = self.made_from(&ready, &between, &options.out)?;
            write_file(&options.out.join("made-from.json"), made_from.as_bytes())?;
            // A run that stops earlier has fewer numbers than these tables may hold already.
            Table(metrics.clone()).write(&options.out.join("table"))?;
            Table(histograms.clone()).write(&options.out.join("histograms"))?;
        }
        if options.until == Stage::Figures {
            let made = figures::made(
                &self.spec.name,
                Some(self.command.clone()),
                &[self.spec.seed],
                &options.out,
                &figures::OF_PROBES,
            )?;
            let drawings = stages::figures::drawings(&self.spec, &metrics);
            let tables = Tables { metrics: metrics.clone(), histograms, ..Tables::default() };
            outcome.figures = figures::write(&drawings, &tables, &made, &options.out.join("figures"))?;
        }
        outcome.metrics = metrics;
        Ok(outcome)
    }

    /// What the tables at the root of a run were made from: the experiment as it was read, and the artifacts. Others
    /// beside them are left over from other settings.
    fn made_from(&self, ready: &[Ready<'_>], between: &Path, out: &Path) -> Result<String> {
        let stores = ready.iter().flat_map(|ready| [&ready.captured.pairs.path, &ready.captured.topic.path]);
        let paths =
            stores.chain(ready.iter().map(|ready| &ready.probed.path)).map(PathBuf::as_path).chain([between]);
        let artifacts: Vec<&Path> = paths.map(|path| path.strip_prefix(out).unwrap_or(path)).collect();
        let made_from = serde_json::json!({ "experiment": self.spec, "artifacts": artifacts });
        serde_json::to_string_pretty(&made_from).map_err(Error::Json)
    }
}

/// Three parts of whole groups need as many groups as they ask for.
fn enough_groups(spec: &Spec, behavior: &Behavior) -> Result<()> {
    let groups: BTreeSet<&String> = behavior.pairs.iter().map(|pair| &pair.group).collect();
    let (asked, found) = (spec.split.groups(), groups.len());
    if found < asked {
        return Err(Error::FewGroups { behavior: behavior.name.clone(), asked, found });
    }
    Ok(())
}

/// The experiment's model, looked at without its weights.
pub(crate) fn open(spec: &Spec) -> Result<Source> {
    if !spec.model.path.exists() {
        return Err(Error::NoModel { path: spec.model.path.clone(), fetch: spec.model.fetch.clone() });
    }
    Ok(Source::open(&spec.model.path)?)
}

fn tables(ready: &[Ready<'_>]) -> Result<(Vec<Metric>, Vec<Histogram>)> {
    let (mut metrics, mut histograms) = (vec![], vec![]);
    for Ready { probed, .. } in ready {
        metrics.extend(Table::<Metric>::read(&probed.path.join("table"))?.0);
        histograms.extend(Table::<Histogram>::read(&probed.path.join("histograms"))?.0);
    }
    Ok((metrics, histograms))
}

impl Outcome {
    /// What a stranger should read first: per behavior the headline numbers, then where the rest lies.
    pub fn summary(&self) -> String {
        crate::summary::summary(self)
    }
}
