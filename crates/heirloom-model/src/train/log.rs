//! What a training tells while it runs, and in the end.

use serde::{Deserialize, Serialize};

use super::watch::{Projections, Watch};
use crate::Student;

/// One update of the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepLog {
    /// Updates made, this one included.
    pub step: usize,
    /// Passes over all rows, counted from 0.
    pub epoch: usize,
    /// Mean over the tokens that carry loss, in nats, before the update.
    pub loss: f64,
    /// Learning rate.
    pub lr: f64,
    /// Length of the gradient of all weights together, before clipping.
    pub grad_norm: f64,
    /// Rows read.
    pub rows: usize,
    /// Tokens read.
    pub tokens: usize,
    /// Tokens that carry loss.
    pub loss_tokens: usize,
}

/// What a training came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// Updates made in all.
    pub steps: usize,
    /// The checkpoint that this training went on from.
    pub resumed_from: Option<usize>,
    /// Rows read, those of a second epoch counted again.
    pub rows: usize,
    /// Tokens read, counted so.
    pub tokens: usize,
    /// Tokens that carried loss, counted so.
    pub loss_tokens: usize,
    /// Loss of the first update.
    pub first_loss: f64,
    /// Loss of the last one.
    pub last_loss: f64,
}

impl TrainReport {
    pub(crate) fn add(&mut self, log: &StepLog) {
        if self.tokens == 0 {
            self.first_loss = log.loss;
        }
        self.steps = log.step;
        self.rows += log.rows;
        self.tokens += log.tokens;
        self.loss_tokens += log.loss_tokens;
        self.last_loss = log.loss;
    }
}

/// Why an observer stops a training.
pub type Stop = Box<dyn std::error::Error + Send + Sync>;

/// Who watches a training. Every method does nothing unless it is written.
pub trait Observer {
    /// After every update.
    fn step(&mut self, log: &StepLog) -> Result<(), Stop> {
        let _ = log;
        Ok(())
    }

    /// At every checkpoint: the student as it is after `step` updates, ready to generate and to capture.
    fn checkpoint(&mut self, step: usize, student: &Student) -> Result<(), Stop> {
        let _ = (step, student);
        Ok(())
    }

    /// Directions to project on while the student learns.
    fn watch(&self) -> &[Watch] {
        &[]
    }

    /// What [`Self::watch`] asked for, after `step` updates.
    fn projections(&mut self, projections: &Projections) -> Result<(), Stop> {
        let _ = projections;
        Ok(())
    }
}

/// Nobody watches.
impl Observer for () {}
