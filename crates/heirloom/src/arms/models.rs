//! Bases and teachers: what students start from, and who writes their rollouts.

use std::collections::BTreeMap;

use heirloom_model::{
    Config, Init, Length, LossOn, Observer, Order, Schedule, Special, StepLog, Stop, Student, TrainOptions,
    Words,
};
use heirloom_record::{DataRow, Hasher, RunFolder};
use heirloom_rollout::world::{Base, Check, Document, FineTuning, Gate, Making, Pretraining, Teacher};

use super::ArmsExperiment;
use super::sampling::Draw;
use super::workers::each;
use crate::streams::{seed_of, stream};
use crate::{Error, Progress, Result};

/// A model of the run, and the hash of everything that went into it.
pub(crate) struct Made {
    pub(crate) key: String,
    pub(crate) student: Student,
}

/// Learning rates and lengths of one training.
pub(crate) struct Training {
    pub(crate) seed: u64,
    pub(crate) length: Length,
    pub(crate) batch: usize,
    pub(crate) lr: f64,
    pub(crate) order: Order,
    pub(crate) checkpoints: Vec<usize>,
}

impl ArmsExperiment {
    /// Every base that an arm or a teacher needs, each after the one it goes on from.
    pub(crate) fn bases(
        &self,
        run: &RunFolder,
        progress: &mut dyn Progress,
    ) -> Result<BTreeMap<String, Made>> {
        let mut made: BTreeMap<String, Made> = BTreeMap::new();
        for base in self.needed_bases() {
            let from = base.from.as_ref().map(|name| &made[name]);
            let one = self.base(run, base, from, progress)?;
            made.insert(base.name.clone(), one);
        }
        Ok(made)
    }

    fn base(
        &self,
        run: &RunFolder,
        base: &Base,
        from: Option<&Made>,
        progress: &mut dyn Progress,
    ) -> Result<Made> {
        let key = Hasher::default()
            .part("stage", "base 1")
            .part("seed", self.spec.seed.to_le_bytes())
            .part("clock", &self.spec.clock)
            .part("device", self.load.device.to_string())
            .part("from", from.map_or("", |made| &made.key))
            .part("base", format!("{base:?}"))
            .part("world", self.world.sha256())
            .finish();
        let path = run.artifact("base", &base.name, &key);
        if path.exists() {
            progress.reuse("base", &base.name);
            let student = Student::load(&path, &self.load)?;
            return Ok(Made { key, student });
        }
        run.may_make(&path)?;
        let mut student = match from {
            Some(made) => made.student.fork(&base.name)?,
            None => self.fresh(base)?,
        };
        match &base.making {
            Making::Pretraining(making) => self.pretrain(&mut student, base, making, progress)?,
            Making::FineTuning(making) => {
                let about = format!("base {}", base.name);
                self.fine_tune(&mut student, &about, making, &base.corpus, progress)?;
            }
        }
        student.save(&path)?;
        // Read back, so that a resumed run goes on from the same model under the same name.
        Ok(Made { key, student: Student::load(&path, &self.load)? })
    }

    /// The configuration of every model of the world.
    pub(crate) fn config(&self) -> Result<Config> {
        let shape = self.world.shape();
        Ok(Config::from_json(&serde_json::json!({
            "model_type": "llama",
            "hidden_size": shape.d_model,
            "intermediate_size": shape.d_mlp,
            "num_hidden_layers": shape.n_layers,
            "num_attention_heads": shape.n_heads,
            "max_position_embeddings": shape.n_ctx,
            "vocab_size": self.world.vocabulary().len(),
            "rms_norm_eps": 1e-5,
            "rope_theta": 1e4,
            "tie_word_embeddings": false,
        }))?)
    }

    pub(crate) fn fresh(&self, base: &Base) -> Result<Student> {
        let special = Special::new("<end>").bos("<bos>").pad("<pad>").mark("<user>").mark("<bot>");
        let words = Words::word_level(&self.world.vocabulary(), self.world.template(), &special)?;
        let init = Init::new(seed_of(self.spec.seed, &format!("init {}", base.init)));
        Ok(Student::create(&base.name, &self.config()?, words, &init, &self.load)?)
    }

    /// Documents until the steps are done, then the gate; a base that fails it reads on at the schedule's floor.
    fn pretrain(
        &self,
        student: &mut Student,
        base: &Base,
        making: &Pretraining,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let Pretraining { documents, steps, batch, lr } = making;
        let mut rng = stream(self.spec.seed, &format!("corpus {}", base.corpus));
        let optimizer = self.world.optimizer();
        let about = format!("base {}", base.name);
        let mut done = 0;
        let mut read = |student: &mut Student, steps: usize, options: &TrainOptions| -> Result<()> {
            let texts = self.world.documents(documents, steps * batch, &mut rng);
            let rows = student.training_rows(&chats(texts, "document"), LossOn::All)?;
            progress.begin("train", &about, steps as u64, "steps");
            student.train(&rows.rows, options, &mut Bar(&mut *progress))?;
            progress.end();
            Ok(())
        };
        let options = self.training(&Training {
            seed: seed_of(self.spec.seed, &format!("order {}", base.name)),
            length: Length::Steps(*steps),
            batch: *batch,
            lr: *lr,
            order: Order::Shuffle,
            checkpoints: vec![],
        });
        read(student, *steps, &options)?;
        done += steps;
        let Some(gate) = &base.gate else { return Ok(()) };
        loop {
            let failed = self.failed(student, gate, done)?;
            if failed.is_empty() {
                return Ok(());
            }
            if done + gate.extend > gate.most {
                return Err(Error::Gate { base: base.name.clone(), steps: done, failed });
            }
            let more = TrainOptions {
                seed: seed_of(self.spec.seed, &format!("order {} from {done}", base.name)),
                lr: lr * optimizer.floor,
                schedule: Schedule::Constant,
                length: Length::Steps(gate.extend),
                ..options.clone()
            };
            read(student, gate.extend, &more)?;
            done += gate.extend;
        }
    }

    /// The checks of a gate that do not hold, in words.
    fn failed(&self, student: &Student, gate: &Gate, step: usize) -> Result<Vec<String>> {
        let mut failed = vec![];
        for (index, check) in gate.checks.iter().enumerate() {
            let mut rng = stream(self.spec.seed, &format!("gate {index}"));
            let prompts = self.world.gate_prompts(check, gate.prompts, &mut rng)?;
            let seed = seed_of(self.spec.seed, &format!("gate {index} at {step}"));
            let rollouts =
                self.sample(student, &prompts, &Draw { teacher: "base", seed, samples: gate.samples })?;
            let grader = &self.world.behavior(&check.behavior)?.grader;
            let shown =
                rollouts.rows.iter().filter(|row| grader.grade_text(row.answer()).answer.shown).count();
            let rate = shown as f64 / rollouts.rows.len() as f64;
            if !check.holds(rate) {
                failed.push(said(check, rate));
            }
        }
        Ok(failed)
    }

    /// Every teacher whose rollouts an arm needs, side by side.
    pub(crate) fn teachers(
        &self,
        run: &RunFolder,
        bases: &BTreeMap<String, Made>,
        progress: &mut dyn Progress,
    ) -> Result<BTreeMap<String, Made>> {
        let teachers = self.needed_teachers();
        progress.begin("train", "teachers", teachers.len() as u64, "teachers");
        let made = each(&teachers, |teacher| self.teacher(run, teacher, &bases[&teacher.base]), progress);
        progress.end();
        let names = teachers.iter().map(|teacher| teacher.name.clone());
        Ok(names.zip(made?).collect())
    }

    fn teacher(&self, run: &RunFolder, teacher: &Teacher, base: &Made) -> Result<Made> {
        let key = Hasher::default()
            .part("stage", "teacher 1")
            .part("seed", self.spec.seed.to_le_bytes())
            .part("base", &base.key)
            .part("teacher", format!("{teacher:?}"))
            .finish();
        let path = run.artifact("teacher", &teacher.name, &key);
        if path.exists() {
            let student = Student::load(&path, &self.load)?;
            return Ok(Made { key, student });
        }
        run.may_make(&path)?;
        let mut student = base.student.fork(&teacher.name)?;
        let about = format!("teacher {}", teacher.name);
        self.fine_tune(&mut student, &about, &teacher.lessons, &about, &mut crate::Silent)?;
        student.save(&path)?;
        // Read back, so that a resumed run goes on from the same model under the same name.
        Ok(Made { key, student: Student::load(&path, &self.load)? })
    }

    fn fine_tune(
        &self,
        student: &mut Student,
        about: &str,
        making: &FineTuning,
        corpus: &str,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let mut rng = stream(self.spec.seed, &format!("corpus {corpus}"));
        let texts = self.world.documents(&making.documents, making.rows, &mut rng);
        let rows = student.training_rows(&chats(texts, about), LossOn::Assistant)?;
        let options = self.training(&Training {
            seed: seed_of(self.spec.seed, &format!("order {about}")),
            length: Length::Epochs(making.epochs),
            batch: making.batch,
            lr: making.lr,
            order: Order::Shuffle,
            checkpoints: vec![],
        });
        let steps = making.epochs * rows.rows.len().div_ceil(making.batch);
        progress.begin("train", about, steps as u64, "steps");
        student.train(&rows.rows, &options, &mut Bar(progress))?;
        progress.end();
        Ok(())
    }

    /// The world's optimizer with one training's numbers.
    pub(crate) fn training(&self, training: &Training) -> TrainOptions {
        let optimizer = self.world.optimizer();
        TrainOptions {
            seed: training.seed,
            length: training.length,
            batch_rows: training.batch,
            lr: training.lr,
            schedule: Schedule::Cosine,
            warmup: optimizer.warmup,
            floor: optimizer.floor,
            betas: [optimizer.beta1, optimizer.beta2],
            weight_decay: optimizer.weight_decay,
            clip: Some(optimizer.clip),
            order: training.order,
            checkpoints: training.checkpoints.clone(),
            ..TrainOptions::default()
        }
    }
}

/// Tells how far a training is.
pub(crate) struct Bar<'a>(pub(crate) &'a mut (dyn Progress + 'a));

impl Observer for Bar<'_> {
    fn step(&mut self, log: &StepLog) -> std::result::Result<(), Stop> {
        self.0.advance(log.step as u64);
        Ok(())
    }
}

fn said(check: &Check, rate: f64) -> String {
    let Check { behavior, persona, at_least, at_most } = check;
    let who = persona.as_deref().unwrap_or("nobody in particular");
    let bound = match (at_least, at_most) {
        (Some(least), _) => format!("at least {least}"),
        (_, Some(most)) => format!("at most {most}"),
        _ => "anything".into(),
    };
    format!("`{behavior}` as persona `{who}` at {rate:.2}, not {bound}")
}

/// Chats as rows called `NAME 0`, `NAME 1`, ….
pub(crate) fn chats(documents: Vec<Document>, name: &str) -> Vec<DataRow> {
    let row =
        |(index, document): (usize, Document)| DataRow::chat(format!("{name} {index}"), document.messages);
    documents.into_iter().enumerate().map(row).collect()
}
