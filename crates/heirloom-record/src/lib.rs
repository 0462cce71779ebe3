//! What is written to disk and what its words mean.
//!
//! Every other crate speaks in these types: hook points, readouts, data rows, prompts, rollouts, grades,
//! activations, directions and result tables. The only functions of heirloom that open a file for writing are here, in [`write_file`] and
//! [`NewFolder`]; both write to a temporary sibling and rename, so a reader never sees half an artifact.

mod activations;
mod data;
mod direction;
mod error;
mod frame;
mod hash;
mod header;
mod hook;
mod near;
mod readout;
mod rollout;
mod run;
mod score;
mod table;
mod unfinished;
mod write;

pub use activations::{ActivationHeader, ActivationRow, Activations, BatchPlan, StoreSummary};
pub use data::{DataRow, Input, Message, parse_jsonl, parse_rows, read_jsonl, read_rows, rows_to_jsonl};
pub use direction::{Direction, DirectionHeader, Directions};
pub use error::{Error, LineProblem, Result};
pub use hash::{Hasher, sha256_file, sha256_hex};
pub use header::{read_json, write_json};
pub use hook::{HookPoint, Site, match_hooks};
pub use near::{near, near_in, unknown_key};
pub use readout::Readout;
pub use rollout::{
    GRADES, GradeRow, Prompt, Rollout, Rollouts, Sampling, read_grades, read_hidden, read_prompts,
};
pub use run::{RunFolder, RunRecord};
pub use score::read_scores;
pub use table::{Case, CausalCheck, Dose, Histogram, Metric, Row, Table, Turn};
pub use unfinished::UnfinishedRollouts;
pub use write::{NewFolder, write_file};
