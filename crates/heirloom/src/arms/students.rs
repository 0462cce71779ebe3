//! Students under arms: each is trained in memory and looked into at its checkpoints.

use std::path::{Path, PathBuf};

use heirloom_model::{Length, LossOn, Observer, Order, StepLog, Stop, Student};
use heirloom_record::{Hasher, NewFolder, RunFolder, rows_to_jsonl, write_file};
use heirloom_rollout::Manifest;

use super::ArmsExperiment;
use super::directions::FixedDirections;
use super::measured::{self, Measured};
use super::models::{Made, Training};
use super::sampling::Draw;
use super::seeds::Seeded;
use super::workers::each;
use crate::streams::{seed_of, stream};
use crate::{Progress, Result};

/// Format of a student's artifact; another number makes every student anew.
const STAGE: &str = "student 1";

/// A model to be looked into: a student to train first, or a base or teacher as it is.
pub(crate) struct Subject<'a> {
    /// The arm, or the name of the base or teacher.
    pub(crate) name: String,
    pub(crate) seeded: &'a Seeded,
    pub(crate) start: &'a Made,
    pub(crate) fixed: &'a FixedDirections,
    /// What it is trained on; nothing for a base or teacher.
    pub(crate) manifest: Option<Manifest>,
}

impl ArmsExperiment {
    /// Trains and looks into every subject that is not there yet, side by side; returns their artifacts.
    pub(crate) fn students(
        &self,
        run: &RunFolder,
        subjects: &[Subject<'_>],
        progress: &mut dyn Progress,
    ) -> Result<Vec<PathBuf>> {
        let paths: Vec<PathBuf> = subjects.iter().map(|subject| self.place(run, subject)).collect();
        let missing: Vec<(&Subject<'_>, &PathBuf)> =
            subjects.iter().zip(&paths).filter(|(_, path)| !path.exists()).collect();
        if missing.len() < subjects.len() {
            let kept = subjects.len() - missing.len();
            progress.reuse("train and measure", &format!("{kept} of {} models", subjects.len()));
        }
        if let Some((_, path)) = missing.first() {
            run.may_make(path)?;
            progress.begin("train and measure", "students", missing.len() as u64, "models");
            let done = each(&missing, |(subject, path)| self.student(subject, path), progress);
            progress.end();
            done?;
        }
        Ok(paths)
    }

    /// Where a subject's artifact lives.
    pub(crate) fn place(&self, run: &RunFolder, subject: &Subject<'_>) -> PathBuf {
        let Subject { name, seeded, start, fixed, manifest } = subject;
        let world = &self.world;
        let key = Hasher::default()
            .part("stage", STAGE)
            .part("name", name)
            .part("seed", seeded.seed.to_le_bytes())
            .part("start", &start.key)
            .part("directions", &fixed.key)
            .part("data", manifest.as_ref().map(Manifest::sha256).unwrap_or_default())
            .part("training", format!("{:?} {:?} {}", world.student(), world.optimizer(), self.lr(name)))
            .part("sampled", format!("{:?} {:?}", world.sampled(), world.scenario_count()))
            .part("measure", format!("{} {}", self.spec.measure.key(), self.tracked(name)))
            .part("scenarios", rows_to_jsonl(&seeded.scenarios))
            .finish();
        run.artifact("student", &format!("{}-s{}", slug(name), seeded.seed), &key)
    }

    fn student(&self, subject: &Subject<'_>, path: &Path) -> Result<()> {
        let folder = NewFolder::create(path)?;
        let mut eyes = Eyes {
            experiment: self,
            subject,
            folder: folder.work_path(),
            last: 0,
            seen: vec![],
            log: vec![],
        };
        match &subject.manifest {
            None => eyes.look(0, &subject.start.student)?,
            Some(manifest) => {
                let student = self.teach(manifest, &mut eyes)?;
                student.save(&folder.work_path().join("model"))?;
                manifest.write_into(folder.work_path())?;
                write_file(&folder.work_path().join("log.jsonl"), rows_to_jsonl(&eyes.log).as_bytes())?;
            }
        }
        measured::write(&eyes.seen, folder.work_path())?;
        Ok(folder.commit()?)
    }

    /// Trains a student on its arm's rows; `eyes` looks into it on the way.
    fn teach(&self, manifest: &Manifest, eyes: &mut Eyes<'_>) -> Result<Student> {
        let (settings, subject) = (self.world.student(), eyes.subject);
        let mut student = subject.start.student.fork(&subject.name)?;
        let rows = manifest.data_rows(&subject.seeded.pool)?;
        let rows = student.training_rows(&rows, LossOn::Assistant)?.rows;
        let mut options = self.training(&Training {
            // The arms of a seed see the rows they share in the same steps.
            seed: seed_of(subject.seeded.seed, "order"),
            length: Length::Epochs(settings.epochs),
            batch: settings.batch,
            lr: self.lr(&subject.name),
            order: if manifest.ordered { Order::AsGiven } else { Order::Shuffle },
            checkpoints: vec![],
        });
        eyes.last = settings.epochs * rows.len().div_ceil(settings.batch);
        if self.tracked(&subject.name) {
            let between = settings.checkpoints.iter().copied().filter(|step| (1..eyes.last).contains(step));
            options.checkpoints.extend(between);
        }
        student.train(&rows, &options, eyes)?;
        Ok(student)
    }

    /// Whether an arm is looked into before its last step.
    pub(crate) fn tracked(&self, arm: &str) -> bool {
        self.spec.measure.track.as_ref().is_none_or(|track| track.iter().any(|name| name == arm))
    }
}

/// Looks into a student while it is trained.
struct Eyes<'a> {
    experiment: &'a ArmsExperiment,
    subject: &'a Subject<'a>,
    folder: &'a Path,
    /// The last step, which is sampled in full.
    last: usize,
    seen: Vec<Measured>,
    log: Vec<StepLog>,
}

impl Eyes<'_> {
    /// Samples the scenarios and reads the activations of one checkpoint.
    fn look(&mut self, step: usize, student: &Student) -> Result<()> {
        let Self { experiment, subject, .. } = self;
        let Subject { name, seeded, fixed, .. } = subject;
        let samples = if step == self.last {
            experiment.world.scenario_count().samples
        } else {
            experiment.spec.measure.samples_between
        };
        // Arms and steps draw independently: a shared stream would move all their rates together.
        let seed = seed_of(seeded.seed, &format!("rollouts of {name} at {step}"));
        let draw = Draw { teacher: name, seed, samples };
        let rollouts = experiment.sample(student, &seeded.scenarios, &draw)?;
        rollouts.write_into(&self.folder.join(step_name(step)))?;
        let rng = stream(seeded.seed, &format!("readings of {name} at {step}"));
        let (readings, contrasted) = fixed.read(student, &seeded.scenarios, &rng)?;
        self.seen.push(Measured { step, readings });
        if experiment.spec.measure.cosine_draws.is_some() {
            for (behavior, activations) in contrasted {
                activations.write(&contrasts_of(self.folder, step, behavior))?;
            }
        }
        Ok(())
    }
}

impl Observer for Eyes<'_> {
    fn step(&mut self, log: &StepLog) -> std::result::Result<(), Stop> {
        self.log.push(log.clone());
        Ok(())
    }

    fn checkpoint(&mut self, step: usize, student: &Student) -> std::result::Result<(), Stop> {
        Ok(self.look(step, student)?)
    }
}

/// The folder of one checkpoint inside a student's artifact.
pub(crate) fn step_name(step: usize) -> String {
    format!("step-{step}")
}

/// The store of one checkpoint's activations on the contrasts of a behavior, inside a student's artifact.
pub(crate) fn contrasts_of(artifact: &Path, step: usize, behavior: &str) -> PathBuf {
    artifact.join(step_name(step)).join("contrasts").join(slug(behavior))
}

/// A name as a file name: what is no letter or digit becomes a hyphen.
pub(crate) fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}
