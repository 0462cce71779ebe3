//! One quantity over checkpoints: when it leaves the base, which of two moves first, what a projection has to stand beside.
//!
//! A checkpoint is measured on the same scenarios as the base it started from, so everything here compares checkpoints scenario by scenario.

mod band;
mod beyond;
mod emergence;
mod lead;
mod shuffled;

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;

use crate::bootstrap::Resampling;
use crate::curves::{Curves, curves};
use crate::error::{Error, Result};
use crate::rate::{Estimate, Observation, difference};

pub use band::{Controls, Shift, mean_projection, mean_shift_band, projection_band, shift_band};
pub use beyond::{Shifted, beyond_controls, side_beyond};
pub use emergence::{Crossing, Emergence, MedianStep, emergence};
pub use lead::{HalfRises, Lag, Lead, Undefined, lead};
pub use shuffled::{ShuffledLabels, exchanged_labels, refit_auroc, refit_band};

/// One quantity of one arm at its checkpoints; the first of them, in practice the base, is what the others are held against.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    checkpoints: Vec<(usize, Vec<Observation>)>,
}

impl Track {
    /// Checks and keeps the observations of each step.
    ///
    /// **Errors** unless there are two checkpoints in ascending order of step. That all of them were measured on the same runs and clusters is
    /// checked where they are compared.
    pub fn new(checkpoints: Vec<(usize, Vec<Observation>)>) -> Result<Self> {
        if checkpoints.len() < 2 {
            return Err(Error::TooFew { unit: "checkpoint", expected: 2, found: checkpoints.len() });
        }
        if let Some(pair) = checkpoints.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            return Err(Error::Setting {
                name: "steps",
                expected: "ascending steps",
                found: pair[1].0 as f64,
            });
        }
        Ok(Self { checkpoints })
    }

    /// Steps and what was observed there.
    pub fn checkpoints(&self) -> &[(usize, Vec<Observation>)] {
        &self.checkpoints
    }

    /// Steps of the checkpoints, ascending.
    pub fn steps(&self) -> Vec<usize> {
        self.checkpoints.iter().map(|(step, _)| *step).collect()
    }

    /// Numbers of the runs, ascending.
    pub fn runs(&self) -> Vec<usize> {
        let all = self.checkpoints.iter().flat_map(|(_, seen)| seen).map(|seen| seen.run);
        all.collect::<BTreeSet<usize>>().into_iter().collect()
    }

    /// How far each later checkpoint is from the first, paired by run and cluster; every checkpoint sees the same resamples.
    pub fn differences(&self, resampling: Resampling, rng: &ChaCha8Rng) -> Result<Vec<(usize, Estimate)>> {
        let (_, base) = &self.checkpoints[0];
        let one = |(step, seen): &(usize, Vec<Observation>)| {
            let found = difference(seen, base, resampling, rng);
            Ok((*step, found.map_err(|source| Error::Checkpoint { step: *step, source: Box::new(source) })?))
        };
        self.checkpoints[1..].iter().map(one).collect()
    }

    /// The same track with the observations of one run.
    fn of_run(&self, run: usize) -> Self {
        let own = |seen: &[Observation]| seen.iter().filter(|seen| seen.run == run).copied().collect();
        Self { checkpoints: self.checkpoints.iter().map(|(step, seen)| (*step, own(seen))).collect() }
    }

    /// The first and the last checkpoint alone.
    fn ends(&self) -> Self {
        let last = self.checkpoints.len() - 1;
        Self { checkpoints: [0, last].map(|at| self.checkpoints[at].clone()).to_vec() }
    }

    /// Mean of each cluster at each checkpoint.
    fn curves(&self) -> Result<Curves> {
        let named =
            |at: usize, source| Error::Checkpoint { step: self.checkpoints[at].0, source: Box::new(source) };
        curves(self.checkpoints.iter().map(|(_, seen)| seen.as_slice()), named)
    }
}

/// Which side of zero an interval lies on; none when it holds zero.
fn side(estimate: &Estimate) -> Option<f64> {
    if estimate.low > 0.0 {
        Some(1.0)
    } else if estimate.high < 0.0 {
        Some(-1.0)
    } else {
        None
    }
}
