//! Where a behavior of a fine-tuned model came from.
//!
//! This crate composes the others: [`Experiment`] reads like the pipeline it runs (behaviors → activations →
//! probes → transfer → tables → figures), each stage an artifact keyed by everything that went in. The `heirloom`
//! binary is a thin layer over it.
//!
//! ```no_run
//! use heirloom::prelude::*;
//!
//! # fn main() -> Result<(), heirloom::Error> {
//! let experiment = Experiment::load("experiments/smollm2".as_ref())?;
//! let outcome = experiment.run(&RunOptions::new("runs/smollm2"), &mut Silent)?;
//! println!("{}", outcome.summary());
//! # Ok(())
//! # }
//! ```

mod error;
mod progress;
mod spec;

mod experiment;
mod plan;
mod rows;
mod scenarios;
mod stages;
mod summary;
mod words;

pub mod activations;
pub mod arms;
pub mod benchmark;
pub mod compare;
pub mod figures;
pub mod hub;
pub mod origins;
pub mod report;
pub mod room;
pub mod selection;
pub mod series;
pub mod steering;
pub mod streams;
pub mod tracking;

pub use error::{Error, Result};
pub use experiment::{Experiment, Outcome, RunOptions, Stage};
pub use plan::{Plan, ProbePlan, StorePlan};
pub use progress::{Progress, Silent};
pub use spec::{CaptureSpec, Fetched, ModelSpec, ProbeSpec, Spec, SplitSpec};

/// What a script needs: `use heirloom::prelude::*;`.
pub mod prelude {
    pub use crate::arms::{ArmsExperiment, ArmsOutcome, ArmsStage};
    pub use crate::benchmark::{Benchmark, BenchmarkOutcome};
    pub use crate::origins::FitOn;
    pub use crate::steering::{Search, SteerOptions, Steered};
    pub use crate::{Error, Experiment, Outcome, Progress, Result, RunOptions, Silent, Spec, Stage};
    pub use heirloom_model::{CaptureOptions, CapturePlan, Device, Dtype, LoadOptions, Source, Student};
    pub use heirloom_probe::{Dataset, FitOptions, Method, Probe, Resampling, Split};
    pub use heirloom_record::{Activations, DataRow, Directions, HookPoint, Message, Metric, Readout, Table};
    pub use heirloom_rollout::Behavior;
}
