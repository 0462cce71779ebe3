//! What is measured on one checkpoint besides its rollouts, as it is stored.

use std::path::Path;

use heirloom_probe::Interval;
use heirloom_record::{HookPoint, write_file};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The activations of one checkpoint, reduced to numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// The checkpoint's step.
    pub(crate) step: usize,
    /// By behavior and hook point.
    pub(crate) readings: Vec<Reading>,
}

/// One behavior at one hook point of one checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reading {
    /// The behavior.
    pub(crate) behavior: String,
    /// Where in the model.
    pub(crate) hook: HookPoint,
    /// Projection of each scenario's last prompt token on the direction fit on the base, in its reference units.
    pub(crate) projections: Vec<f64>,
    /// The same on the direction from the other teacher to the first, where the experiment names two.
    pub(crate) on_teachers: Vec<f64>,
    /// Mean projections along control directions of the one, in the units that each has where it was drawn.
    #[serde(default, skip_serializing_if = "ControlMeans::is_empty")]
    pub(crate) controls: ControlMeans,
    /// The same beside the other.
    #[serde(default, skip_serializing_if = "ControlMeans::is_empty")]
    pub(crate) controls_on_teachers: ControlMeans,
    /// How well the direction fit on the base tells held-out contrast pairs of this checkpoint apart.
    pub(crate) fixed: Auroc,
    /// How well a direction fit on this checkpoint does.
    pub(crate) refit: Auroc,
    /// Cosine between the two.
    pub(crate) cosine: f64,
}

/// Mean projections of a checkpoint's scenarios along directions that mean nothing; none where the experiment asks for none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ControlMeans {
    /// Along random directions.
    pub(crate) random: Vec<f64>,
    /// Along random differences of activations.
    pub(crate) differences: Vec<f64>,
}

impl ControlMeans {
    fn is_empty(&self) -> bool {
        self.random.is_empty()
    }
}

/// An AUROC with its interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Auroc {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) n: usize,
    pub(crate) interval: String,
}

impl From<Interval> for Auroc {
    fn from(found: Interval) -> Self {
        let Interval { value, low, high, .. } = found;
        Self { value, low, high, n: found.units(), interval: found.describe("pairs") }
    }
}

/// The file's name inside a student's artifact.
const FILE: &str = "measured.json";

/// Writes the checkpoints of one student.
pub(crate) fn write(measured: &[Measured], folder: &Path) -> Result<()> {
    let json = serde_json::to_string(measured).map_err(Error::Json)?;
    Ok(write_file(&folder.join(FILE), json.as_bytes())?)
}

/// Reads what [`write`] wrote.
pub(crate) fn read(folder: &Path) -> Result<Vec<Measured>> {
    let path = folder.join(FILE);
    let text = std::fs::read_to_string(&path)
        .map_err(|source| Error::ReadArtifact { path: path.clone(), source })?;
    serde_json::from_str(&text).map_err(Error::Json)
}
