//! A run as it stands on disk, to be read: models, prompts, rollouts and grades, found by what went into them.

use std::path::{Path, PathBuf};

use heirloom_model::{Device, Student};
use heirloom_record::{Rollout, Rollouts, RunFolder};

use super::measured::Measured;
use super::seeds::Seeded;
use super::students::{Subject, step_name};
use super::{ArmsExperiment, ArmsSpec, Prepared, Seen};
use crate::{Error, Result, Silent};

/// What the run was told, in the run's folder.
pub(super) const EXPERIMENT: &str = "experiment.json";

/// A run that is read. Nothing is trained, sampled or written.
pub(crate) struct Stored {
    pub(crate) experiment: ArmsExperiment,
    pub(crate) path: PathBuf,
    pub(crate) made: Prepared,
    run: RunFolder,
}

/// One arm, base or teacher of one seed, as it was measured.
pub(crate) struct Side<'a> {
    pub(crate) subject: Subject<'a>,
    pub(crate) seen: Seen,
    artifact: PathBuf,
}

impl Stored {
    /// The run at `path`, which was made on `device`.
    ///
    /// # Errors
    /// The folder holds no such run, or lacks a model or rollouts that its experiment asks for.
    pub(crate) fn open(path: &Path, device: Device) -> Result<Self> {
        let file = path.join(EXPERIMENT);
        let Ok(text) = std::fs::read_to_string(&file) else {
            return Err(Error::NoArmsRun { path: path.to_owned() });
        };
        let run = RunFolder::read(path)?;
        let spec: ArmsSpec = serde_json::from_str(&text)
            .map_err(|source| Error::ReadArtifact { path: file, source: source.into() })?;
        let experiment = ArmsExperiment::new(spec)?.on(device);
        let quiet = &mut Silent;
        let bases = experiment.bases(&run, quiet)?;
        let teachers = experiment.teachers(&run, &bases, quiet)?;
        let fixed = experiment.fixed(&run, &bases, &teachers)?;
        let seeds = experiment.seeds(&run, &teachers, quiet)?;
        let made = Prepared { bases, teachers, fixed, seeds };
        Ok(Self { experiment, path: path.to_owned(), made, run })
    }

    /// What one seed drew.
    pub(crate) fn seeded(&self, seed: u64) -> Option<&Seeded> {
        self.made.seeds.iter().find(|seeded| seeded.seed == seed)
    }

    /// An arm, base or teacher of one seed.
    ///
    /// # Errors
    /// There is none of the name; the run ended before it was measured.
    pub(crate) fn side<'a>(&'a self, name: &str, seeded: &'a Seeded) -> Result<Side<'a>> {
        let subject = self.experiment.subject(&self.made, name, seeded)?;
        let artifact = self.experiment.place(&self.run, &subject);
        if !artifact.exists() {
            self.run.may_make(&artifact)?;
        }
        let seen = self.experiment.seen(&self.run, &subject, &artifact)?;
        Ok(Side { subject, seen, artifact })
    }

    /// The model that an arm's students start from.
    pub(crate) fn start(&self, base: &str) -> &Student {
        &self.made.bases[base].student
    }
}

impl Stored {
    /// The file of grades of a side's last checkpoint.
    ///
    /// # Errors
    /// The run ended before it was graded.
    pub(crate) fn grades(&self, side: &Side<'_>) -> Result<PathBuf> {
        let steps: Vec<usize> = side.seen.measured.iter().map(|measured| measured.step).collect();
        let folder = self.experiment.graded(&self.run, &side.artifact, &steps)?;
        Ok(folder.join(format!("{}.jsonl", step_name(side.last().step))))
    }
}

impl Side<'_> {
    /// The folder of its model, where it was trained for the run.
    pub(crate) fn model(&self) -> PathBuf {
        self.artifact.join("model")
    }

    /// The folder of its last checkpoint's answers.
    pub(crate) fn rollouts(&self) -> PathBuf {
        self.artifact.join(step_name(self.last().step))
    }

    /// Its last checkpoint.
    pub(crate) fn last(&self) -> &Measured {
        let last = self.seen.measured.iter().max_by_key(|measured| measured.step);
        last.expect("a subject is measured once at least")
    }

    /// The answers of its last checkpoint to the scenarios of one behavior, each with whether it shows the behavior.
    pub(crate) fn answers(&self, behavior: &str) -> Result<Vec<(Rollout, bool)>> {
        let step = self.last().step;
        let rows = Rollouts::read(&self.artifact.join(step_name(step)))?.rows;
        let prefix = format!("{behavior}/");
        let own = rows.into_iter().filter(|row| row.prompt.starts_with(&prefix));
        let verdicts = self.seen.verdicts.get(&(step, behavior.to_owned()));
        // Grades stand in the order of the rollouts.
        let shown = verdicts.into_iter().flat_map(|verdicts| &verdicts.shown).map(|(_, shown)| *shown);
        Ok(own.zip(shown).collect())
    }

    /// Does something with its last checkpoint.
    pub(crate) fn with_student<T>(
        &self,
        experiment: &ArmsExperiment,
        work: impl FnOnce(&Student) -> Result<T>,
    ) -> Result<T> {
        match self.subject.manifest {
            Some(_) => work(&Student::load(&self.artifact.join("model"), &experiment.load)?),
            None => work(&self.subject.start.student),
        }
    }
}
