//! Students under arms in a miniature world: what moves a behavior, and when it appears.
//!
//! [`ArmsExperiment::run`] reads like the pipeline: bases → teachers → directions → prompts and rollouts → students
//! → grades → tables → figures. Nothing here knows what a world says of its origins.

mod directions;
mod figures;
mod grading;
mod measured;
mod models;
mod origins;
mod plan;
mod ranked;
mod sampling;
mod seeds;
mod spec;
mod stage;
mod steered;
mod stored;
mod students;
mod summary;
mod tables;
mod tracks;
mod turned;
mod virulent;
pub(crate) mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use heirloom_figure::Tables;
use heirloom_model::{CapturePlan, Device, LoadOptions};
use heirloom_probe::Resampling;
use heirloom_record::{HookPoint, Metric, Readout, RunFolder, RunRecord, Table, write_file};
use heirloom_rollout::world::{Base, Teacher, World};
use heirloom_rollout::{Arm, DataIntervention};

use crate::origins::{Found, Virulent};
use crate::spec::{setting, twice};
use crate::{Error, Progress, Result};
use directions::FixedDirections;
use models::Made;
use students::Subject;
use tables::Tabler;

pub(crate) use figures::drawings;
pub(crate) use seeds::Seeded;
pub(crate) use steered::{Steerable, Trained};
pub(crate) use stored::{Side, Stored};
pub(crate) use students::slug;
pub(crate) use tables::{Seen, averaged};

pub use plan::{ArmsPlan, Rehearsal, TrainingPlan};
pub use spec::{
    ArmLabel, ArmsSpec, BehaviorPanel, FiguresSpec, GridSpec, MeasureSpec, MixLabel, QuickSpec, RankerLabel,
    Role,
};
pub use stage::ArmsStage;
pub use tracks::Appears;
pub(crate) use tracks::moved;

/// The experiment that `heirloom quickstart` runs.
const QUICKSTART: &str = include_str!("../../../experiments/quickstart/experiment.toml");

/// An experiment whose file and world have been checked; nothing is trained yet.
pub struct ArmsExperiment {
    spec: ArmsSpec,
    world: World,
    /// The arms that are run: those of the world in its order, the experiment's own, then those at other learning rates.
    arms: Vec<Arm>,
    /// Learning rates of arms that are trained at another than the world's.
    swept: BTreeMap<String, f64>,
    /// The behaviors that are measured.
    behaviors: Vec<String>,
    load: LoadOptions,
    /// The command that runs it; nothing where a script does.
    command: Option<String>,
}

/// What students start from and are trained on.
pub(crate) struct Prepared {
    pub(crate) bases: BTreeMap<String, Made>,
    pub(crate) teachers: BTreeMap<String, Made>,
    /// By base.
    pub(crate) fixed: BTreeMap<String, FixedDirections>,
    pub(crate) seeds: Vec<Seeded>,
}

/// What a run has made.
#[derive(Clone, Debug)]
pub struct ArmsOutcome {
    /// The run's folder.
    pub folder: PathBuf,
    /// Every number.
    pub metrics: Vec<Metric>,
    /// Where each behavior comes from, by rate and by projection.
    pub origins: Vec<Found>,
    /// When each behavior appears in each tracked arm.
    pub tracks: Vec<Appears>,
    /// The pictures, without extension.
    pub figures: Vec<PathBuf>,
    summary: String,
}

impl ArmsExperiment {
    /// Reads an experiment and its world, and checks all that can be checked before anything is trained.
    ///
    /// # Errors
    /// Names the file, the key and near names.
    pub fn load(path: &Path) -> Result<Self> {
        Ok(Self {
            command: Some(format!("heirloom run {}", path.display())),
            ..Self::new(ArmsSpec::load(path)?)?
        })
    }

    /// The experiment that heirloom brings: a base, two teachers and their students on a processor, in minutes.
    pub fn quickstart() -> Result<Self> {
        let spec = ArmsSpec::parse(QUICKSTART, Path::new("experiments/quickstart/experiment.toml"))?;
        Ok(Self { command: Some("heirloom quickstart".into()), ..Self::new(spec)? })
    }

    /// An experiment from what its file says.
    pub fn new(spec: ArmsSpec) -> Result<Self> {
        spec.check()?;
        let world = open_world(&spec.world)?;
        let world = match spec.redraw {
            Some(seed) => world.redrawn(seed),
            None => world,
        };
        let load = LoadOptions::new(spec.clock.parse()?);
        let in_world: Vec<&str> = world.arms().iter().map(|arm| arm.name.as_str()).collect();
        known(&in_world, spec.arms.iter().chain(&spec.sweep))?;
        let wanted = |arm: &&Arm| spec.arms.is_empty() || spec.arms.contains(&arm.name);
        let mut arms: Vec<Arm> = world.arms().iter().filter(wanted).cloned().collect();
        arms.extend(spec.own_arms.iter().cloned());
        Arm::check_all(&[world.arms(), &spec.own_arms].concat())?;
        let mut swept = BTreeMap::new();
        for arm in world.arms().iter().filter(|arm| spec.sweep.contains(&arm.name)) {
            for lr in &world.student().sweep {
                let name = format!("{}, lr {lr:e}", arm.name);
                swept.insert(name.clone(), *lr);
                arms.push(Arm { name, ..arm.clone() });
            }
        }
        let named: Vec<String> = {
            let bases = world.bases().iter().map(|base| base.name.clone());
            let teachers = world.teachers().iter().map(|teacher| teacher_name(&teacher.name));
            in_world
                .iter()
                .map(ToString::to_string)
                .chain(swept.keys().cloned())
                .chain(spec.own_arms.iter().map(|arm| arm.name.clone()))
                .chain(bases)
                .chain(teachers)
                .collect()
        };
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        spec.measure.teachers.iter().flatten().try_for_each(|name| world.teacher(name).map(|_| ()))?;
        let parts = spec.origins.values().flat_map(BTreeMap::values);
        let parts = parts.chain(spec.measure.track.iter().flatten()).chain(spec.figures.arms());
        let ranked = spec.figures.selection.iter().flat_map(|ranker| &ranker.arms).map(|mix| &mix.arm);
        let compared = [&spec.reference].into_iter().chain(spec.compare.iter().flatten());
        known(&named, compared.chain(parts).chain(ranked))?;
        let mut behaviors: Vec<String> =
            spec.figures.behaviors.iter().map(|panel| panel.behavior.clone()).collect();
        twice("figures.behaviors", behaviors.iter().cloned())?;
        let more = spec.origins.keys().filter(|name| !behaviors.contains(name)).cloned();
        behaviors.extend(more.collect::<Vec<_>>());
        behaviors.iter().try_for_each(|name| world.behavior(name).map(|_| ()))?;
        let experiment = Self { spec, world, arms, swept, behaviors, load, command: None };
        let headline = &experiment.spec.measure.headline;
        if !experiment.hooks()?.contains(headline) {
            return Err(setting("measure.headline", "one of `measure.hooks`", headline));
        }
        for arm in &experiment.spec.own_arms {
            experiment.world.base(&arm.base)?;
        }
        for (teacher, set) in experiment.pairings() {
            experiment.world.teacher(teacher)?;
            experiment.world.prompt_set(set)?;
        }
        Ok(experiment)
    }

    /// The smaller experiment of the file's `[quick]`.
    pub fn quick(self) -> Result<Self> {
        let command = self.command.map(|command| format!("{command} --quick"));
        Ok(Self { command, ..Self::new(self.spec.quick()?)? })
    }

    /// The same experiment, its models on `device`.
    #[must_use]
    pub fn on(mut self, device: Device) -> Self {
        self.load.device = device;
        self
    }

    /// The same experiment with the arms alone that play a part in the origin of a behavior.
    #[must_use]
    pub(crate) fn only_parts(mut self) -> Self {
        let parts: BTreeSet<&String> = self.spec.origins.values().flat_map(BTreeMap::values).collect();
        self.arms.retain(|arm| parts.contains(&arm.name));
        self
    }

    /// What the file says.
    pub fn spec(&self) -> &ArmsSpec {
        &self.spec
    }

    /// The world.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The behaviors that are measured, by name.
    pub(crate) fn behaviors(&self) -> &[String] {
        &self.behaviors
    }

    /// The arms that are run.
    pub fn arms(&self) -> &[Arm] {
        &self.arms
    }

    /// The hook points that are measured.
    pub(crate) fn hooks(&self) -> Result<Vec<HookPoint>> {
        let plan = CapturePlan::new(&self.config()?, &self.spec.measure.hooks, Readout::LastPrompt)?;
        Ok(plan.points().iter().copied().collect())
    }

    /// Runs whatever is not there yet; the same call resumes after an interruption.
    ///
    /// # Errors
    /// The folder holds another run; a stage failed, with what was done before kept.
    pub fn run(&self, out: &Path, progress: &mut dyn Progress) -> Result<ArmsOutcome> {
        self.run_until(ArmsStage::Figures, out, progress)
    }

    /// [`Self::run`] up to a stage and with it. Tables are written by the last stage only.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_until(
        &self,
        until: ArmsStage,
        out: &Path,
        progress: &mut dyn Progress,
    ) -> Result<ArmsOutcome> {
        let Some(seen) = self.look(until, out, progress)? else {
            return Ok(ArmsOutcome {
                folder: out.to_owned(),
                metrics: vec![],
                origins: vec![],
                tracks: vec![],
                figures: vec![],
                summary: summary::stopped(until, out),
            });
        };
        let mut metrics = self.table(&seen, progress)?;
        // Rates stand, should what is made of them fail.
        Table(metrics.clone()).write(&out.join("table"))?;
        let origins = self.origins(&seen, progress)?;
        metrics.extend(origins.iter().flat_map(Found::metrics));
        let tracks = self.tracks(&seen, progress)?;
        metrics.extend(tracks.iter().flat_map(Appears::metrics));
        metrics.extend(self.selection(&seen)?);
        let virulent = self.virulent(&seen)?;
        metrics.extend(virulent.iter().flat_map(Virulent::metrics));
        if let Some(turned) = self.turned(&seen, progress)? {
            Table(turned.turns).write_parquet(&out.join("cosines"))?;
            metrics.extend(turned.metrics);
        }
        Table(metrics.clone()).write(&out.join("table"))?;
        let files = &crate::figures::OF_ARMS;
        let made = crate::figures::made(&self.spec.name, self.command.clone(), &self.spec.seeds, out, files)?;
        let drawings = drawings(&self.spec, &metrics);
        let figures = crate::figures::write(&drawings, &Tables::of(&metrics), &made, &out.join("figures"))?;
        let summary = summary::summary(
            &self.spec,
            &self.behaviors,
            &metrics,
            (&origins, &tracks, &virulent),
            &figures,
            out,
        );
        Ok(ArmsOutcome { folder: out.to_owned(), metrics, origins, tracks, figures, summary })
    }

    /// Trains, samples and grades whatever is not there yet; nothing when `until` comes before the grades.
    pub(crate) fn look(
        &self,
        until: ArmsStage,
        out: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Option<Vec<Seen>>> {
        let record =
            RunRecord { experiment: self.spec.name.clone(), version: env!("CARGO_PKG_VERSION").into() };
        let run = RunFolder::open(out, &record)?;
        let json = serde_json::to_string_pretty(&self.spec).map_err(Error::Json)?;
        write_file(&out.join(stored::EXPERIMENT), json.as_bytes())?;
        let bases = self.bases(&run, progress)?;
        if until == ArmsStage::Bases {
            return Ok(None);
        }
        let teachers = self.teachers(&run, &bases, progress)?;
        let fixed = self.fixed(&run, &bases, &teachers)?;
        if until == ArmsStage::Teachers {
            return Ok(None);
        }
        let seeds = self.seeds(&run, &teachers, progress)?;
        if until == ArmsStage::Rollouts {
            return Ok(None);
        }

        let made = Prepared { bases, teachers, fixed, seeds };
        let names = self.measured_names();
        let all = made.seeds.iter().flat_map(|seeded| names.iter().map(move |name| (seeded, name)));
        let subjects =
            all.map(|(seeded, name)| self.subject(&made, name, seeded)).collect::<Result<Vec<_>>>()?;
        let students = self.students(&run, &subjects, progress)?;
        if until == ArmsStage::Students {
            return Ok(None);
        }
        Ok(Some(self.grades(&run, &subjects, &students, progress)?))
    }

    /// Directions of every behavior, fit on each base.
    fn fixed(
        &self,
        run: &RunFolder,
        bases: &BTreeMap<String, Made>,
        teachers: &BTreeMap<String, Made>,
    ) -> Result<BTreeMap<String, FixedDirections>> {
        bases.iter().map(|(name, base)| Ok((name.clone(), self.directions(run, base, teachers)?))).collect()
    }

    /// Names of everything that is measured: bases, teachers, then the students of every arm.
    pub(crate) fn measured_names(&self) -> Vec<String> {
        let bases: BTreeSet<&String> = self.needed_bases().into_iter().map(|base| &base.name).collect();
        let teachers = self.needed_teachers();
        let teachers = teachers.iter().map(|teacher| teacher_name(&teacher.name));
        let arms = self.arms.iter().map(|arm| arm.name.clone());
        bases.into_iter().cloned().chain(teachers).chain(arms).collect()
    }

    /// One of [`Self::measured_names`], with what it starts from and is trained on.
    fn subject<'a>(&self, made: &'a Prepared, name: &str, seeded: &'a Seeded) -> Result<Subject<'a>> {
        let teachers = self.world.teachers().iter();
        let (start, base, manifest) = if let Some(base) = made.bases.get(name) {
            (base, name, None)
        } else if let Some(teacher) = teachers.clone().find(|teacher| teacher_name(&teacher.name) == name) {
            (&made.teachers[&teacher.name], teacher.base.as_str(), None)
        } else {
            let arm = self.arms.iter().find(|arm| arm.name == name);
            let arm = arm.ok_or_else(|| self.no_arm(name))?;
            (&made.bases[&arm.base], arm.base.as_str(), Some(arm.manifest(&seeded.pool, seeded.seed)?))
        };
        Ok(Subject { name: name.to_owned(), seeded, start, fixed: &made.fixed[base], manifest })
    }

    /// Whether something of that name is measured.
    pub(crate) fn named(&self, name: &str) -> Result<()> {
        if self.measured_names().iter().any(|known| known == name) { Ok(()) } else { Err(self.no_arm(name)) }
    }

    fn no_arm(&self, name: &str) -> Error {
        let known = self.measured_names();
        let near = heirloom_record::near(name, known.iter().map(String::as_str));
        Error::NotRun { experiment: self.spec.name.clone(), name: name.into(), near, known }
    }

    fn table(&self, seen: &[Seen], progress: &mut dyn Progress) -> Result<Vec<Metric>> {
        let reference = &self.spec.reference;
        let others = self.arms.iter().filter(|arm| arm.name != *reference);
        let mut compared: Vec<(String, String)> =
            others.map(|arm| (arm.name.clone(), reference.clone())).collect();
        compared.extend(self.spec.compare.iter().cloned().map(|[arm, against]| (arm, against)));
        let resampling = Resampling { replicates: self.spec.measure.bootstrap, ..Resampling::default() };
        let starts: Vec<_> = self.arms.iter().map(|arm| (arm.name.clone(), arm.base.clone())).collect();
        let tabler = Tabler { seed: self.spec.seed, resampling, compared: &compared, starts: &starts };
        progress.begin("table", "intervals", 1, "tables");
        let metrics = tabler.metrics(seen);
        progress.end();
        metrics
    }

    /// The learning rate of an arm.
    fn lr(&self, arm: &str) -> f64 {
        self.swept.get(arm).copied().unwrap_or(self.world.student().lr)
    }

    /// Teachers that an arm's rows come from, and those that a direction is fit between.
    fn needed_teachers(&self) -> Vec<&Teacher> {
        let mut names: BTreeSet<&str> = self.pairings().into_iter().map(|(teacher, _)| teacher).collect();
        names.extend(self.spec.measure.teachers.iter().flatten().map(String::as_str));
        self.world.teachers().iter().filter(|teacher| names.contains(teacher.name.as_str())).collect()
    }

    /// Bases that an arm or a teacher starts from, and those they go on from, each after the one it goes on from.
    fn needed_bases(&self) -> Vec<&Base> {
        let teachers = self.needed_teachers();
        let mut names: BTreeSet<&str> = self.arms.iter().map(|arm| arm.base.as_str()).collect();
        names.extend(teachers.iter().map(|teacher| teacher.base.as_str()));
        for base in self.world.bases().iter().rev() {
            if names.contains(base.name.as_str()) {
                names.extend(base.from.as_deref());
            }
        }
        self.world.bases().iter().filter(|base| names.contains(base.name.as_str())).collect()
    }

    /// Which teacher answers which prompt set in some arm.
    fn pairings(&self) -> BTreeSet<(&str, &str)> {
        fn answers(arm: &Arm) -> impl Iterator<Item = (&str, &str)> {
            let to = arm.interventions.iter().filter_map(|intervention| match intervention {
                DataIntervention::Swap { to, .. } | DataIntervention::Mix { to, .. } => Some(to),
                _ => None,
            });
            std::iter::once(&arm.teacher).chain(to).map(|teacher| (teacher.as_str(), arm.prompts.as_str()))
        }
        self.arms.iter().flat_map(answers).collect()
    }
}

impl ArmsOutcome {
    /// What a stranger should read first: rates, and what each arm changed.
    pub fn summary(&self) -> &str {
        &self.summary
    }
}

/// A teacher among the models that are measured.
fn teacher_name(teacher: &str) -> String {
    format!("teacher {teacher}")
}

/// Refuses names that are not among `known`.
fn known<'a>(known: &[&str], mut names: impl Iterator<Item = &'a String>) -> Result<()> {
    match names.find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let near = heirloom_record::near(name, known.iter().copied());
            Err(Error::NoArm { name: name.clone(), near })
        }
    }
}

/// A world's file, or one that heirloom brings by its name.
fn open_world(path: &Path) -> Result<World> {
    if path.exists() {
        return Ok(World::load(path)?);
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(World::shipped(&name)?)
}
