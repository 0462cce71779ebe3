//! A finished run, read to be steered: an arm's students, the base they come from, and the directions fit for the run.
//!
//! Everything is found by the hash of what went into it, as the run itself finds it; nothing is made.

use std::io::ErrorKind;
use std::path::Path;

use heirloom_model::Student;
use heirloom_record::{HookPoint, Prompt, RunFolder, near};
use ndarray::Array1;

use super::students::Subject;
use super::{ArmsExperiment, ArmsSpec};
use crate::origins::FitOn;
use crate::{Error, Result, Silent};

/// What an arm of a finished run left.
pub(crate) struct Steerable {
    /// What its students start from.
    pub(crate) base: Student,
    /// One of each seed.
    pub(crate) students: Vec<Trained>,
    /// Unit vectors by behavior, in the order of the experiment.
    pub(crate) directions: Vec<(String, Array1<f64>)>,
}

/// A trained student of an arm.
pub(crate) struct Trained {
    pub(crate) seed: u64,
    pub(crate) student: Student,
    /// The scenarios it was tried on, of every behavior.
    pub(crate) scenarios: Vec<Prompt>,
}

impl ArmsExperiment {
    /// The experiment whose run stands at `run`.
    ///
    /// # Errors
    /// The folder holds no run of an experiment with arms that came to its end; its world cannot be read any more.
    pub fn of_run(run: &Path) -> Result<Self> {
        let path = run.join("experiment.json");
        let text = std::fs::read_to_string(&path).map_err(|source| match source.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Error::NoArmsRun { path: run.to_owned() },
            _ => Error::ReadArtifact { path, source },
        })?;
        let spec: ArmsSpec =
            serde_json::from_str(&text).map_err(|_| Error::NoArmsRun { path: run.to_owned() })?;
        Self::new(spec)
    }

    /// The same experiment, of its seeds these alone; all of them where none are given.
    ///
    /// # Errors
    /// A seed is not the experiment's.
    pub(crate) fn only_seeds(mut self, seeds: &[u64]) -> Result<Self> {
        let known = &self.spec.seeds;
        if let Some(seed) = seeds.iter().find(|seed| !known.contains(seed)) {
            let known = known.iter().map(u64::to_string).collect();
            return Err(self.not_measured("seed", seed.to_string(), known));
        }
        self.spec.seeds.retain(|seed| seeds.is_empty() || seeds.contains(seed));
        Ok(self)
    }

    /// The hook point of a name among those that the run measured; that of the figures where none is given.
    pub(crate) fn measured_hook(&self, name: Option<&str>) -> Result<HookPoint> {
        let name = name.map_or_else(|| self.spec.measure.headline.to_string(), str::to_owned);
        let hooks = self.hooks()?;
        let found = hooks.iter().copied().find(|hook| hook.to_string() == name);
        let known = || hooks.iter().map(ToString::to_string).collect();
        found.ok_or_else(|| self.not_measured("hook point", name.clone(), known()))
    }

    fn not_measured(&self, what: &'static str, name: String, known: Vec<String>) -> Error {
        Error::NotMeasured { experiment: self.spec.name.clone(), what, name, known }
    }

    /// Reads what an arm left in the folder of a run that came to its end.
    ///
    /// # Errors
    /// The run has no such arm (with near names), or lacks what this experiment says it holds.
    pub(crate) fn steerable(
        &self,
        run: &Path,
        name: &str,
        towards: FitOn,
        hook: HookPoint,
    ) -> Result<Steerable> {
        let arm = self.arms.iter().find(|arm| arm.name == name).ok_or_else(|| {
            let known: Vec<String> = self.arms.iter().map(|arm| arm.name.clone()).collect();
            let near = near(name, known.iter().map(String::as_str));
            Error::NotRun { experiment: self.spec.name.clone(), name: name.into(), near, known }
        })?;
        let run = RunFolder::read(run)?;
        let mut bases = self.bases(&run, &mut Silent)?;
        let teachers = self.teachers(&run, &bases, &mut Silent)?;
        let start = &bases[&arm.base];
        let fixed = self.directions(&run, start, &teachers)?;
        let mut students = vec![];
        for seeded in self.seeds(&run, &teachers, &mut Silent)? {
            let manifest = Some(arm.manifest(&seeded.pool, seeded.seed)?);
            let subject = Subject { name: arm.name.clone(), seeded: &seeded, start, fixed: &fixed, manifest };
            let path = self.place(&run, &subject);
            if !path.exists() {
                run.may_make(&path)?;
            }
            let student = Student::load(&path.join("model"), &self.load)?;
            students.push(Trained { seed: seeded.seed, student, scenarios: seeded.scenarios });
        }
        let base = bases.remove(&arm.base).expect("the run's bases are those of its arms").student;
        Ok(Steerable { base, students, directions: fixed.vectors(towards, hook) })
    }
}
