//! What a run with arms would do, and what it would cost, before anything is trained.

use std::fmt;
use std::path::Path;

use heirloom_model::{Length, LossOn, Order, on_one_thread, threads};
use heirloom_rollout::world::{Documents, FineTuning, Making, Pretraining};
use serde::Serialize;

use super::models::{Training, chats};
use super::sampling::Draw;
use super::{ArmsExperiment, ArmsStage};
use crate::streams::stream;
use crate::{Result, Silent};

/// What a run with arms would do, and what it would cost.
#[derive(Clone, Debug, Serialize)]
pub struct ArmsPlan {
    /// The experiment.
    pub experiment: String,
    /// The run's folder.
    pub out: String,
    /// The world.
    pub world: String,
    /// The stages that would run, in order.
    pub stages: Vec<&'static str>,
    /// Seeds of the students.
    pub seeds: Vec<u64>,
    /// Bases, teachers and students, in the order they are trained.
    pub trainings: Vec<TrainingPlan>,
    /// Tokens of all trainings; a token that is seen twice counts twice.
    pub trained_tokens: usize,
    /// Teachers' answers, for students to be trained on.
    pub teacher_answers: usize,
    /// Checkpoints that are looked into.
    pub looks: usize,
    /// Answers sampled of them, to be graded.
    pub graded_answers: usize,
    /// Bytes that the run would write.
    pub disk_bytes: usize,
    /// Bytes of memory at the fullest moment: models in training side by side or the directions of all checkpoints, and every answer.
    pub memory_bytes: usize,
    /// Artifacts of an earlier run in the folder; those that still fit are not made again.
    pub there: usize,
}

/// Models that are trained alike.
#[derive(Clone, Debug, Serialize)]
pub struct TrainingPlan {
    /// `base base`, `teacher A`, `students of swap mail`.
    pub what: String,
    /// How many.
    pub models: usize,
    /// Optimizer steps of each.
    pub steps: usize,
    /// Rows of a step.
    pub batch: usize,
    /// Highest learning rate.
    pub lr: f64,
    /// Tokens that one of them is trained on.
    pub tokens: usize,
}

/// Work of a run in small, for a caller that times it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rehearsal {
    /// Training steps of a fresh model.
    Training,
    /// Answers of a fresh model.
    Answering,
}

/// Documents over which the length of a row is averaged, and steps that a rehearsal takes.
const MEASURED: usize = 256;
const STEPS: usize = 8;
/// An answer with its ids and grades, in memory and on disk.
const ANSWER_BYTES: usize = 700;
/// The readings of a checkpoint.
const LOOK_BYTES: usize = 60_000;
/// An activation as it is stored, and as cosines are taken of it.
const STORED_BYTES: usize = 4;
const HELD_BYTES: usize = 8;
/// Weight, gradient and two running means of a parameter in training.
const TRAINED_BYTES: usize = 16;

impl ArmsExperiment {
    /// What would run, and what it would cost. Trains nothing.
    pub fn plan(&self, out: &Path, until: ArmsStage) -> ArmsPlan {
        let (bases, teachers) = (self.needed_bases(), self.needed_teachers());
        let mut trainings: Vec<TrainingPlan> =
            bases.iter().map(|base| self.training_of_base(&base.name, &base.making)).collect();
        if until >= ArmsStage::Teachers {
            let plan = |lessons: &FineTuning, name: &String| self.lessons(format!("teacher {name}"), lessons);
            trainings.extend(teachers.iter().map(|teacher| plan(&teacher.lessons, &teacher.name)));
        }
        let seeds = self.spec.seeds.len();
        let rows = self.world.student().rows;
        let teacher_answers =
            if until >= ArmsStage::Rollouts { seeds * self.pairings().len() * rows } else { 0 };
        let (mut looks, mut graded_answers) = (0, 0);
        if until >= ArmsStage::Students {
            let student = self.world.student();
            let tokens = self.tokens(&teachers[0].lessons.documents, student.epochs * student.rows);
            trainings.extend(self.arms.iter().map(|arm| self.students_of(&arm.name, tokens)));
            let between = self.arms.iter().map(|arm| self.looked_between(&arm.name));
            let looked: Vec<usize> = between.chain(vec![0; bases.len() + teachers.len()]).collect();
            let scenarios = self.behaviors.len() * self.scenarios_of_behavior();
            let last = self.world.scenario_count().samples;
            let samples = looked.iter().map(|between| between * self.spec.measure.samples_between + last);
            looks = seeds * looked.iter().map(|between| between + 1).sum::<usize>();
            graded_answers = seeds * scenarios * samples.sum::<usize>();
        }
        let models: usize = trainings.iter().map(|training| training.models).sum();
        let answers = (teacher_answers + graded_answers) * ANSWER_BYTES;
        let parameters = self.config().map_or(0, |config| config.n_parameters());
        let (kept, held) = self.contrasts_kept();
        ArmsPlan {
            experiment: self.spec.name.clone(),
            out: out.display().to_string(),
            world: self.world.name().into(),
            stages: ArmsStage::ALL.into_iter().filter(|stage| *stage <= until).map(ArmsStage::name).collect(),
            seeds: self.spec.seeds.clone(),
            trained_tokens: trainings.iter().map(|training| training.models * training.tokens).sum(),
            teacher_answers,
            looks,
            graded_answers,
            disk_bytes: models * parameters * 4 + answers + looks * (LOOK_BYTES + kept),
            memory_bytes: answers + (threads() * parameters * TRAINED_BYTES).max(looks * held),
            there: ArmsStage::ALL
                .iter()
                .filter_map(|stage| stage.folder())
                .map(|stage| entries(&out.join(stage)))
                .sum(),
            trainings,
        }
    }

    /// Does a little of a run's work on one thread, and says how much: tokens trained on, or answers.
    pub fn rehearse(&self, rehearsal: Rehearsal) -> Result<usize> {
        let base = self.needed_bases()[0];
        let mut student = self.fresh(base)?;
        let lessons = &self.needed_teachers()[0].lessons;
        let mut rng = stream(self.spec.seed, "rehearsal");
        let work = || -> Result<usize> {
            if rehearsal == Rehearsal::Answering {
                let behavior = self.world.behavior(&self.behaviors[0])?;
                let prompts = self.world.scenarios(behavior, MEASURED, &mut rng);
                let draw = Draw { teacher: "rehearsal", seed: self.spec.seed, samples: 1 };
                return Ok(self.sample(&student, &prompts, &draw)?.rows.len());
            }
            let texts = self.world.documents(&lessons.documents, STEPS * lessons.batch, &mut rng);
            let rows = student.training_rows(&chats(texts, "rehearsal"), LossOn::Assistant)?;
            let options = self.training(&Training {
                seed: self.spec.seed,
                length: Length::Steps(STEPS),
                batch: lessons.batch,
                lr: lessons.lr,
                order: Order::AsGiven,
                checkpoints: vec![],
            });
            student.train(&rows.rows, &options, &mut super::models::Bar(&mut Silent))?;
            Ok(rows.tokens())
        };
        on_one_thread(work)?
    }

    /// Bytes that cosines between directions need of a checkpoint: on disk, and in memory while those of a hook point are taken.
    fn contrasts_kept(&self) -> (usize, usize) {
        let (Some(draws), Ok(hooks), Ok(config)) =
            (self.spec.measure.cosine_draws, self.hooks(), self.config())
        else {
            return (0, 0);
        };
        let (pairs, behaviors) = (self.spec.measure.pairs, self.behaviors.len());
        let stored = 2 * pairs * behaviors * hooks.len() * config.d_model * STORED_BYTES;
        // The differences of every behavior, and directions of turned pairs of one behavior at a time.
        (stored, (pairs * behaviors + draws) * config.d_model * HELD_BYTES)
    }

    fn training_of_base(&self, name: &str, making: &Making) -> TrainingPlan {
        let what = format!("base {name}");
        match making {
            Making::FineTuning(lessons) => self.lessons(what, lessons),
            Making::Pretraining(making) => {
                let Pretraining { documents, steps, batch, lr } = making;
                let tokens = self.tokens(documents, steps * batch);
                TrainingPlan { what, models: 1, steps: *steps, batch: *batch, lr: *lr, tokens }
            }
        }
    }

    fn lessons(&self, what: String, lessons: &FineTuning) -> TrainingPlan {
        let FineTuning { documents, rows, epochs, batch, lr } = lessons;
        let tokens = self.tokens(documents, epochs * rows);
        let steps = epochs * rows.div_ceil(*batch);
        TrainingPlan { what, models: 1, steps, batch: *batch, lr: *lr, tokens }
    }

    fn students_of(&self, arm: &str, tokens: usize) -> TrainingPlan {
        let student = self.world.student();
        TrainingPlan {
            what: format!("students of {arm}"),
            models: self.spec.seeds.len(),
            steps: self.student_steps(),
            batch: student.batch,
            lr: self.lr(arm),
            tokens,
        }
    }

    /// Optimizer steps of a student whose arm leaves the number of rows as it is.
    fn student_steps(&self) -> usize {
        let student = self.world.student();
        student.epochs * student.rows.div_ceil(student.batch)
    }

    /// Checkpoints of an arm before the last step.
    fn looked_between(&self, arm: &str) -> usize {
        let steps = self.student_steps();
        let checkpoints = self.world.student().checkpoints.iter();
        if self.tracked(arm) { checkpoints.filter(|step| (1..steps).contains(*step)).count() } else { 0 }
    }

    /// About how many tokens `rows` documents have: words, and the marks that the template sets around them.
    fn tokens(&self, documents: &Documents, rows: usize) -> usize {
        let drawn = self.world.documents(documents, MEASURED, &mut stream(self.spec.seed, "row lengths"));
        let marks = |role: &str| if role == "assistant" { 2 } else { 1 };
        let messages = drawn.iter().flat_map(|document| &document.messages);
        let tokens = messages.map(|message| message.content.split(' ').count() + marks(&message.role));
        tokens.sum::<usize>() * rows / MEASURED
    }
}

/// What lies in a folder; nothing where there is none.
fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

impl fmt::Display for ArmsPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} → {}", self.experiment, self.out)?;
        writeln!(f, "  world     {}", self.world)?;
        writeln!(f, "  stages    {}", self.stages.join(", "))?;
        for TrainingPlan { what, models, steps, batch, lr, tokens } in &self.trainings {
            let tokens = crate::plan::short(models * tokens);
            writeln!(
                f,
                "  train     {what:<40} {models:>2} × {steps:>4} steps of {batch}, lr {lr:<7} {tokens:>8}tokens"
            )?;
        }
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        writeln!(f, "  seeds     {}", seeds.join(", "))?;
        writeln!(
            f,
            "  sample    {} answers of teachers, {} of {} checkpoints",
            self.teacher_answers, self.graded_answers, self.looks
        )?;
        if self.there > 0 {
            writeln!(
                f,
                "  there     {} artifacts of an earlier run; those that still fit are kept",
                self.there
            )?;
        }
        writeln!(f, "  disk      about {}B", crate::plan::short(self.disk_bytes))?;
        write!(f, "  memory    about {}B", crate::plan::short(self.memory_bytes))
    }
}
