//! A student you can look into and train: one forward pass with hook points.
//!
//! A [`Source`] says what a model is without its weights; plans are checked against it. A [`Student`] is a model
//! with its words, loaded from files ([`Student::load`]) or made in memory ([`Student::create`],
//! [`Student::fork`]). It tokenizes rows ([`Student::prepare`]), captures activations ([`Student::capture`]), shows
//! whole tensors of a few rows ([`Student::run_with_hooks`]), continues texts ([`Student::generate`]), is trained
//! ([`Student::train`], [`Student::train_to`]; whole or by a low-rank adapter, [`Lora`]) and is written as a
//! Hugging Face folder ([`Student::save`]). Tensors stay inside; arrays come out as `ndarray`s.
//!
//! ```no_run
//! use heirloom_model::{CaptureOptions, CapturePlan, LoadOptions, Source};
//! use heirloom_record::{DataRow, Message, Readout};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let source = Source::open("models/smollm2".as_ref())?;
//! let plan = CapturePlan::new(source.config(), &["blocks.*.hook_resid_post"], Readout::LastPrompt)?;
//! let student = source.load(&LoadOptions::new("2026-01-15".parse()?))?;
//! let rows = student.prepare(&[DataRow::chat("a", vec![Message::new("user", "Hello")])])?;
//! let activations = student.capture(&rows, &plan, &mut CaptureOptions::default())?;
//! # Ok(())
//! # }
//! ```
//!
//! Training, with a look at the student on the way:
//!
//! ```no_run
//! use heirloom_model::{LoadOptions, LossOn, Observer, Stop, Student, TrainOptions, log_spaced_steps};
//! use heirloom_record::read_rows;
//!
//! struct Look;
//! impl Observer for Look {
//!     fn checkpoint(&mut self, step: usize, student: &Student) -> Result<(), Stop> {
//!         println!("{step}: {}", student.sha256()?);
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let base = Student::load("models/smollm2".as_ref(), &LoadOptions::new("2026-01-15".parse()?))?;
//! let rows = base.training_rows(&read_rows("rollouts.jsonl".as_ref())?, LossOn::Assistant)?.rows;
//! let mut student = base.fork("student")?;
//! let options = TrainOptions { lr: 5e-4, checkpoints: log_spaced_steps(31), ..TrainOptions::default() };
//! student.train(&rows, &options, &mut Look)?;
//! student.save("student".as_ref())?;
//! # Ok(())
//! # }
//! ```

#![expect(
    clippy::cast_possible_truncation,
    reason = "tokens of a batch stay far below 2³², and f64 results are rounded to the f32 they are kept in"
)]

mod error;

mod config;
mod device;

mod gguf;
mod layout;
mod weights;

mod chat;
mod python;
mod tokens;
mod word_level;

mod forward;
mod hooks;
mod lora;

mod batch;
mod cache;
mod kept;

mod kernels;
mod linear;
mod ops;
mod rope;

mod capture;
mod effect;
mod generate;
mod intervene;
mod log_probs;
mod memory;

mod init;
mod peft;
mod random;
mod save;
mod series;
mod source;
mod student;
mod threads;

mod train;

pub mod doctor;

pub use capture::{CaptureOptions, CapturePlan, Progress, RowCache};
pub use chat::{ChatTemplate, Clock, Rendered};
pub use config::{
    Activation, BlockKind, Config, DeltaShape, Experts, Family, NormPlaces, Normalization, QkNorm, Rope,
    RopeScaling, Wrapper, Yarn,
};
pub use device::{Device, Dtype};
pub use effect::LogitChange;
pub use error::{Error, Result, RowError};
pub use generate::{GenerateOptions, Generated, GeneratedWithCapture};
pub use init::Init;
pub use intervene::{Edit, Intervention, Positions};
pub use lora::Lora;
pub use peft::{AdapterDescription, AdapterReport, PeftAdapter};
pub use series::walk::Walk;
pub use series::{CheckpointAt, Series, checkpoints, in_order, series, step_in};
pub use source::{Description, Source, name_of};
pub use student::{LoadOptions, Student};
pub use threads::{on_one_thread, threads};
pub use tokens::{Shown, ShownToken, TokenRow, Words};
pub use train::{
    Gradients, Length, LossOn, Observer, Order, Projections, Schedule, StepLog, Stop, TrainOptions,
    TrainReport, TrainRow, TrainRows, Watch, Watched, log_spaced_steps,
};
pub use word_level::Special;
