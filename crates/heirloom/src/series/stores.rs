//! A store of activations for each checkpoint of a series, all of the same rows in the same batches.

use std::path::{Path, PathBuf};

use heirloom_model::{CapturePlan, Student};
use heirloom_record::{ActivationHeader, Activations, DataRow, HookPoint, Readout};

use super::SeriesRows;
use crate::activations::capture_rows;
use crate::{Error, Progress, Result};

/// Stores `step-N` in one folder, written one after the other; those that are there already are kept.
pub struct SeriesStores {
    out: PathBuf,
    hooks: Vec<String>,
    readout: Readout,
    max_tokens: usize,
    /// The first store has said in which batches all are captured.
    settled: bool,
    rows: Option<SeriesRows>,
}

impl SeriesStores {
    /// Nothing is written yet. Batches may shrink at the first checkpoint, where the device has no memory for them.
    pub fn new(out: &Path, hooks: &[String], readout: &Readout, max_tokens: usize) -> Self {
        let (out, hooks, readout) = (out.to_owned(), hooks.to_vec(), readout.clone());
        Self { out, hooks, readout, max_tokens, settled: false, rows: None }
    }

    /// Where a checkpoint's store is.
    pub fn place(&self, step: usize) -> PathBuf {
        self.out.join(format!("step-{step}"))
    }

    /// Most tokens in a batch, once the first store is there.
    pub fn max_tokens(&self) -> Option<usize> {
        self.settled.then_some(self.max_tokens)
    }

    /// Captures `data` at one checkpoint, or finds that it was.
    ///
    /// # Errors
    /// The checkpoint reads other tokens than the first; a store of another capture is in the way; the device has no
    /// memory for batches as large as the first checkpoint's; those of [`Student::capture`].
    pub fn capture(
        &mut self,
        step: usize,
        student: &Student,
        data: &[DataRow],
        progress: &mut dyn Progress,
    ) -> Result<ActivationHeader> {
        let plan = CapturePlan::new(student.config(), &self.hooks, self.readout.clone())?;
        let rows = match self.rows.take() {
            Some(rows) => {
                rows.check(step, student)?;
                rows
            }
            None => SeriesRows::new(student, data)?,
        };
        let header = self.store(step, student, &rows, &plan, progress)?;
        self.rows = Some(rows);
        (self.max_tokens, self.settled) = (header.batch_plan.max_tokens, true);
        Ok(header)
    }

    fn store(
        &self,
        step: usize,
        student: &Student,
        rows: &SeriesRows,
        plan: &CapturePlan,
        progress: &mut dyn Progress,
    ) -> Result<ActivationHeader> {
        let (place, about) = (self.place(step), format!("step {step}"));
        if place.exists() {
            let header = self.kept(&place, student, rows, plan)?;
            progress.reuse("capture", &about);
            return Ok(header);
        }
        let batches = (self.max_tokens, !self.settled);
        let captured = capture_rows(student, rows.rows(), plan, batches, progress, &about)?;
        captured.write(&place)?;
        Ok(captured.header)
    }

    /// The header of a store that is there, if it is what would be captured.
    fn kept(
        &self,
        place: &Path,
        student: &Student,
        rows: &SeriesRows,
        plan: &CapturePlan,
    ) -> Result<ActivationHeader> {
        let store = Activations::describe(place)?;
        let header = store.header;
        let adapter = |sha256: Option<String>| sha256.unwrap_or_else(|| "none".into());
        let hooks: Vec<HookPoint> = plan.points().iter().copied().collect();
        let found_hooks: Vec<HookPoint> = store.shapes.into_keys().collect();
        let all = self.readout == Readout::All;
        let expected_rows = rows
            .rows()
            .iter()
            .flat_map(|row| std::iter::repeat_n(row.sha256(), if all { row.ids.len() } else { 1 }));
        let same_rows = store.rows.iter().map(|row| row.tokens_sha256.clone()).eq(expected_rows);
        let batches = |max_tokens: usize| format!("{max_tokens} tokens a batch");
        let found_tokens = header.batch_plan.max_tokens;
        let shrunk = !self.settled && found_tokens < self.max_tokens;
        for (what, expected, found) in [
            ("model", student.sha256()?.to_owned(), header.model_sha256.clone()),
            ("adapter", adapter(student.adapter_sha256()?), adapter(header.adapter_sha256.clone())),
            ("dtype", student.dtype().to_string(), header.dtype.clone()),
            ("readout", self.readout.to_string(), header.readout.to_string()),
            ("clock", student.clock().date(), header.clock.clone()),
            ("list of hook points", format!("{hooks:?}"), format!("{found_hooks:?}")),
            ("data", "the same rows".into(), if same_rows { "the same rows" } else { "other rows" }.into()),
            ("plan", batches(if shrunk { found_tokens } else { self.max_tokens }), batches(found_tokens)),
        ] {
            if expected != found {
                return Err(Error::OtherCapture { path: place.into(), what, expected, found });
            }
        }
        Ok(header)
    }
}
