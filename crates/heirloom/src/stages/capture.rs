//! Behaviors → activations: one store for a behavior's pairs, one for its topic-only texts.

use std::path::PathBuf;

use heirloom_model::{CapturePlan, LoadOptions, Source, Student};
use heirloom_record::{DataRow, Hasher, NewFolder, RunFolder, rows_to_jsonl};
use heirloom_rollout::Behavior;

use crate::{ModelSpec, Progress, Result, Spec, activations};

/// A store and the hash of everything that went into it.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) path: PathBuf,
    pub(crate) key: String,
}

/// The stores of one behavior.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    pub(crate) pairs: Store,
    pub(crate) topic: Store,
}

/// Captures what is not there yet; the student is loaded when the first store is missing.
pub(crate) struct Capturer<'a> {
    spec: &'a Spec,
    plan: &'a CapturePlan,
    load: LoadOptions,
    model_sha256: String,
    source: Option<Source>,
    student: Option<Student>,
}

impl<'a> Capturer<'a> {
    pub(crate) fn new(
        spec: &'a Spec,
        plan: &'a CapturePlan,
        load: LoadOptions,
        source: Source,
    ) -> Result<Self> {
        let model_sha256 = source.sha256()?;
        Ok(Self { spec, plan, load, model_sha256, source: Some(source), student: None })
    }

    pub(crate) fn behavior(
        &mut self,
        run: &RunFolder,
        behavior: &Behavior,
        progress: &mut dyn Progress,
    ) -> Result<Captured> {
        Ok(Captured {
            pairs: self.store(run, &format!("{}-pairs", behavior.name), &behavior.pair_rows(), progress)?,
            topic: self.store(run, &format!("{}-topic", behavior.name), &behavior.topic_rows(), progress)?,
        })
    }

    fn store(
        &mut self,
        run: &RunFolder,
        name: &str,
        rows: &[DataRow],
        progress: &mut dyn Progress,
    ) -> Result<Store> {
        let key = self.key(rows);
        let path = run.artifact("capture", name, &key);
        if path.exists() {
            progress.reuse("capture", name);
            return Ok(Store { path, key });
        }
        let folder = NewFolder::create(&path)?;
        // Stores of one run are compared, so no batch of one of them is smaller than another's.
        let (plan, batches) = (self.plan, (self.spec.capture.batch_tokens, false));
        let captured = activations::capture(self.student()?, rows, plan, batches, progress, name)?;
        captured.write_into(folder.work_path())?;
        folder.commit()?;
        Ok(Store { path, key })
    }

    fn student(&mut self) -> Result<&Student> {
        if let Some(source) = self.source.take() {
            self.student = Some(source.load(&self.load)?);
        }
        Ok(self.student.as_ref().expect("the source was taken to load it"))
    }

    pub(crate) fn key(&self, rows: &[DataRow]) -> String {
        let ModelSpec { dtype, clock, .. } = &self.spec.model;
        let hooks: Vec<String> = self.plan.points().iter().map(ToString::to_string).collect();
        let capture = &self.spec.capture;
        Hasher::default()
            .part("stage", "capture 1")
            .part("model", &self.model_sha256)
            .part("dtype", dtype)
            .part("clock", clock)
            .part("device", self.load.device.to_string())
            .part("hooks", hooks.join(" "))
            .part("readout", capture.readout.to_string())
            .part("batch tokens", capture.batch_tokens.to_string())
            .part("rows", rows_to_jsonl(rows))
            .finish()
    }
}
