//! Training: the same forward pass as capture, a loss at chosen tokens, AdamW.
//!
//! [`Student::training_rows`] turns data into tokens and says which of them are learned; [`Student::train`]
//! trains in memory and shows the student to an [`Observer`] at checkpoints; [`Student::train_to`] does the same
//! into a folder, where a killed training is resumed to the same bytes. [`crate::series()`] finds the checkpoints
//! that somebody else's training left.

mod adamw;
mod folder;
mod gradients;
mod log;
mod loss;
mod options;
mod plan;
mod rows;
mod trainer;
mod watch;

pub use gradients::Gradients;
pub use log::{Observer, StepLog, Stop, TrainReport};
pub use options::{Length, Order, Schedule, TrainOptions, log_spaced_steps};
pub use rows::{LossOn, TrainRow, TrainRows};
pub use watch::{Projections, Watch, Watched};

use crate::{Result, Student};
use folder::Folder;
use trainer::Trainer;

impl Student {
    /// Trains the student in memory. Afterwards its weights are in no file.
    ///
    /// The loss of a step is the mean over all tokens of its batches that carry loss, as in transformers since
    /// 4.46.
    ///
    /// Determinism: same student, rows and options give the same bits on the same machine, whatever the number
    /// of threads.
    ///
    /// # Errors
    /// Before any step: settings outside their range, no rows, weights that are not f32, a checkpoint behind the
    /// last step. Later: a loss or gradient that is not finite, with the step and the rows of its batch, before
    /// any weight is changed by it; the observer's own.
    pub fn train(
        &mut self,
        rows: &[TrainRow],
        options: &TrainOptions,
        observer: &mut dyn Observer,
    ) -> Result<TrainReport> {
        Trainer::new(self, rows, options)?.run(self, observer, None)
    }

    /// As [`Student::train`], keeping in `folder` a Hugging Face folder `checkpoint-N` at every checkpoint (an
    /// adapter's where one is trained) with the optimizer's state in it, one line a step in `log.jsonl`, and
    /// projections in `projections.jsonl`.
    ///
    /// Called again after it was killed, it goes on from the last checkpoint and leaves the same bytes as if it
    /// had not been. The observer sees again what comes behind that checkpoint.
    ///
    /// Cost: a checkpoint takes the room of the weights three times.
    ///
    /// # Errors
    /// Those of [`Student::train`]; `folder` holds another training or is in use; it cannot be written.
    pub fn train_to(
        &mut self,
        folder: &std::path::Path,
        rows: &[TrainRow],
        options: &TrainOptions,
        observer: &mut dyn Observer,
    ) -> Result<TrainReport> {
        // Nothing is begun on disk that cannot be trained.
        trainer::check(self, rows, options)?;
        let mut folder = Folder::open(folder, self, rows, options)?;
        let mut trainer = Trainer::new(self, rows, options)?;
        folder.resume(&mut trainer, self)?;
        trainer.run(self, observer, Some(&mut folder))
    }
}
