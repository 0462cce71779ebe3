//! A training on disk: checkpoints, logs, and how a killed one goes on.
//!
//! ```text
//! training.json          what is trained on what, and how: a resumed training must say the same
//! log.jsonl              one line a step
//! projections.jsonl      one line each time directions are watched
//! checkpoint-N/          a Hugging Face folder, or a PEFT adapter
//!   optimizer.safetensors  running means of gradients and their squares, `exp_avg.NAME` and `exp_avg_sq.NAME`
//!   trainer.json           updates made
//! run.json, run.lock     one process at a time
//! ```

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use heirloom_record::{NewFolder, RunFolder, RunRecord, write_file};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::log::StepLog;
use super::options::TrainOptions;
use super::rows::{TrainRow, sha256};
use super::trainer::Trainer;
use super::watch::Projections;
use crate::layout::Weight;
use crate::peft;
use crate::save::{WEIGHTS, pretty, weights_bytes};
use crate::weights::Checkpoint;
use crate::{Error, Result, Student};

const SETTINGS: &str = "training.json";
const LOG: &str = "log.jsonl";
const PROJECTIONS: &str = "projections.jsonl";
const OPTIMIZER: &str = "optimizer.safetensors";
const POSITION: &str = "trainer.json";
/// What the running means' names begin with, as PyTorch calls them.
const MOMENTS: [&str; 2] = ["exp_avg.", "exp_avg_sq."];
const FORMAT: u32 = 1;
/// Steps after which the log is written, checkpoint or not.
const LOG_EVERY: usize = 100;

/// The folder of one training.
pub(crate) struct Folder {
    run: RunFolder,
    /// Lines of the two logs, up to now.
    log: Vec<String>,
    projections: Vec<String>,
}

impl Folder {
    /// Opens the folder, or starts one.
    pub(crate) fn open(
        path: &Path,
        student: &Student,
        rows: &[TrainRow],
        options: &TrainOptions,
    ) -> Result<Self> {
        let record = RunRecord { experiment: "training".into(), version: env!("CARGO_PKG_VERSION").into() };
        let run = RunFolder::open(path, &record)?;
        let settings = json!({
            "format": FORMAT,
            "base": student.name(),
            "base_sha256": student.sha256()?,
            "adapter_sha256": student.adapter_sha256()?,
            "rows": rows.len(),
            "rows_sha256": sha256(rows),
            "options": options,
        });
        let file = run.path().join(SETTINGS);
        if file.is_file() {
            check_same(&settings, &read_json(&file)?, run.path())?;
        } else {
            write_file(&file, &pretty(&settings))?;
        }
        Ok(Self { run, log: Vec::new(), projections: Vec::new() })
    }

    /// Goes on from the last checkpoint, where there is one.
    pub(crate) fn resume(&mut self, trainer: &mut Trainer<'_>, student: &Student) -> Result<()> {
        let Some((step, folder)) = self.last_checkpoint()? else { return Ok(()) };
        let position = read_json(&folder.join(POSITION))?;
        if position != json!({"format": FORMAT, "step": step}) {
            let problem = format!("expected step {step}, found {position}");
            return Err(Error::Damaged { path: folder.join(POSITION), problem });
        }
        let (mut checkpoint, prefix) = match student.model().lora() {
            Some(_) => (peft::open(&folder.join(peft::WEIGHTS), student.config())?, peft::PREFIX),
            None => (Checkpoint::of_file(&folder.join(WEIGHTS))?, ""),
        };
        let weights = take(&mut checkpoint, trainer.learning(), prefix)?;
        checkpoint.finish()?;
        let mut checkpoint = Checkpoint::of_file(&folder.join(OPTIMIZER))?;
        let means = take(&mut checkpoint, trainer.learning(), MOMENTS[0])?;
        let squares = take(&mut checkpoint, trainer.learning(), MOMENTS[1])?;
        checkpoint.finish()?;
        let state = means.into_iter().zip(squares).map(|(mean, square)| [mean, square]).collect();
        let path = self.run.path().join(LOG);
        let log: Vec<StepLog> = lines(&path, |log: &StepLog| log.step <= step)?;
        // Logs are written before the checkpoint whose steps they tell.
        if log.iter().map(|log| log.step).ne(1..=step) {
            let problem = format!("expected a line for each of {step} steps, found {}", log.len());
            return Err(Error::Damaged { path, problem });
        }
        let path = self.run.path().join(PROJECTIONS);
        let projections: Vec<Projections> = lines(&path, |seen: &Projections| seen.step <= step)?;
        self.log = log.iter().map(line).collect();
        self.projections = projections.iter().map(line).collect();
        trainer.restore(&log, weights, state)
    }

    pub(crate) fn step(&mut self, log: &StepLog) -> Result<()> {
        self.log.push(line(log));
        if log.step.is_multiple_of(LOG_EVERY) { self.write_logs() } else { Ok(()) }
    }

    pub(crate) fn projections(&mut self, projections: &Projections) {
        self.projections.push(line(projections));
    }

    /// Keeps the student as it is after `step` updates. Logs are written first, so that they hold at least the
    /// lines of every checkpoint there is.
    pub(crate) fn checkpoint(&self, step: usize, trainer: &Trainer<'_>, student: &Student) -> Result<()> {
        self.write_logs()?;
        let new = NewFolder::create(&self.run.path().join(format!("checkpoint-{step}")))?;
        let work = new.work_path();
        if student.model().lora().is_some() {
            student.save_adapter_into(work)?;
        } else {
            student.save_into(work)?;
        }
        write_file(&work.join(OPTIMIZER), &optimizer_bytes(trainer)?)?;
        write_file(&work.join(POSITION), &pretty(&json!({"format": FORMAT, "step": step})))?;
        Ok(new.commit()?)
    }

    fn write_logs(&self) -> Result<()> {
        for (name, lines) in [(LOG, &self.log), (PROJECTIONS, &self.projections)] {
            if !lines.is_empty() {
                write_file(&self.run.path().join(name), lines.concat().as_bytes())?;
            }
        }
        Ok(())
    }

    /// The last checkpoint. Each appeared whole under its name, so none is half written.
    fn last_checkpoint(&self) -> Result<Option<(usize, PathBuf)>> {
        let mut last = None;
        for entry in std::fs::read_dir(self.run.path()).map_err(Error::io(self.run.path()))? {
            let path = entry.map_err(Error::io(self.run.path()))?.path();
            let step = crate::series::step_of(&path);
            last = last.max(step.map(|step| (step, path)));
        }
        Ok(last)
    }
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("logs hold numbers and names") + "\n"
}

/// Lines of a log as far as they are `kept`; those behind will be written again.
fn lines<T: DeserializeOwned>(path: &Path, kept: impl Fn(&T) -> bool) -> Result<Vec<T>> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let all = heirloom_record::read_jsonl(path)?.into_iter().map(|(_, line)| line);
    Ok(all.take_while(kept).collect())
}

fn read_json(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.to_owned(), source })
}

/// Names the first setting that differs; those of `options` by their own names.
fn check_same(expected: &Value, found: &Value, path: &Path) -> Result<()> {
    let flat = |value: &Value| {
        let mut all = value.as_object().cloned().unwrap_or_default();
        if let Some(Value::Object(options)) = all.shift_remove("options") {
            all.extend(options);
        }
        all
    };
    let (expected, found) = (flat(expected), flat(found));
    let differs = |key: &&String| expected.get(*key) != found.get(*key);
    let Some(key) = expected.keys().chain(found.keys()).find(differs) else { return Ok(()) };
    let say = |value: Option<&Value>| value.map_or("absent".into(), ToString::to_string);
    let (key, expected, found) = (key.clone(), say(expected.get(key)), say(found.get(key)));
    Err(Error::OtherTraining { path: path.to_owned(), key, expected, found })
}

/// The running means under the weights' Hugging Face names.
fn optimizer_bytes(trainer: &Trainer<'_>) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for (weight, moments) in trainer.learning().iter().zip(trainer.optimizer().state()?) {
        for (prefix, values) in MOMENTS.into_iter().zip(moments) {
            let mut slot = weight.slot.clone();
            for (name, _) in &mut slot.parts {
                name.insert_str(0, prefix);
            }
            let tensor = Tensor::from_vec(values, slot.shape(), &Device::Cpu)?;
            all.push(Weight { slot, tensor });
        }
    }
    weights_bytes(&all, "")
}

/// The numbers of `weights`, in their order.
fn take(checkpoint: &mut Checkpoint, weights: &[Weight], prefix: &str) -> Result<Vec<Vec<f32>>> {
    weights.iter().map(|weight| checkpoint.take_slot(&weight.slot, prefix)).collect()
}
