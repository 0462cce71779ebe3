//! Projections while a student learns: a forward pass of a few rows every so many steps.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::Tensor;
use heirloom_record::{HookPoint, Readout};
use serde::{Deserialize, Serialize};

use crate::batch::{Batch, check_row};
use crate::forward::Model;
use crate::hooks::Hooks;
use crate::{Config, Error, Result, TokenRow, ops};

/// Directions to project the last prompt token of some rows on, every so many steps.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Looked at before the first step, after every `every` steps and after the last.
    pub every: usize,
    /// The rows, read in one forward pass.
    pub rows: Vec<TokenRow>,
    /// What is read there.
    pub directions: Vec<Watched>,
}

/// A direction at a hook point.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// Unique among all that are watched.
    pub name: String,
    /// Where.
    pub point: HookPoint,
    /// As wide as the hook point; its length does not matter.
    pub direction: Vec<f32>,
}

/// Mean projections after some updates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Projections {
    /// Updates made.
    pub step: usize,
    /// Mean over the rows of the signed length along each direction, by the direction's name.
    pub means: BTreeMap<String, f64>,
}

/// A [`Watch`] ready to be run again and again.
pub(crate) struct Watcher {
    every: usize,
    batch: Batch,
    tokens: Vec<u32>,
    points: BTreeSet<HookPoint>,
    /// Unit directions.
    directions: Vec<Watched>,
}

impl Watcher {
    /// # Errors
    /// A row cannot be read, a direction does not fit its hook point or has no length.
    pub(crate) fn new(watch: &Watch, model: &Model) -> Result<Self> {
        let config = model.config();
        if watch.every == 0 {
            return Err(Error::Setting { key: "watch.every", expected: "1 or more", found: "0".into() });
        }
        if watch.rows.is_empty() {
            return Err(Error::Setting { key: "watch.rows", expected: "1 or more", found: "0".into() });
        }
        let (mut start, mut tokens) = (0, Vec::with_capacity(watch.rows.len()));
        for row in &watch.rows {
            check_row(&row.id, &row.ids, config)?;
            tokens.push((start + row.read(&Readout::LastPrompt)?.start) as u32);
            start += row.ids.len();
        }
        let ids: Vec<&[u32]> = watch.rows.iter().map(|row| row.ids.as_slice()).collect();
        let unit = |watched: &Watched| unit(watched, config);
        Ok(Self {
            every: watch.every,
            batch: Batch::new(&ids, &model.rotary, &model.device)?,
            tokens,
            points: watch.directions.iter().map(|watched| watched.point).collect(),
            directions: watch.directions.iter().map(unit).collect::<Result<_>>()?,
        })
    }

    /// Whether it is time after `done` of `steps` updates.
    pub(crate) fn is_due(&self, done: usize, steps: usize) -> bool {
        done.is_multiple_of(self.every) || done == steps
    }

    /// Reads the projections, up to the deepest hook point and no further.
    pub(crate) fn read(&self, model: &Model, means: &mut BTreeMap<String, f64>) -> Result<()> {
        let mut see = |point, x: &Tensor| {
            let vectors = ops::vectors(x, &self.tokens)?;
            for watched in self.directions.iter().filter(|watched| watched.point == point) {
                let dot = |vector: &Vec<f32>| {
                    let products = vector.iter().zip(&watched.direction);
                    products.map(|(x, u)| f64::from(*x) * f64::from(*u)).sum::<f64>()
                };
                let mean = vectors.iter().map(dot).sum::<f64>() / vectors.len() as f64;
                means.insert(watched.name.clone(), mean);
            }
            Ok(())
        };
        let mut hooks = Hooks::new(None, &self.points, false, &mut see);
        model.run(&self.batch, None, &mut hooks)?;
        Ok(())
    }
}

fn unit(watched: &Watched, config: &Config) -> Result<Watched> {
    let (point, found) = (watched.point, watched.direction.len());
    if point.layer().is_some_and(|layer| layer >= config.n_layers) {
        return Err(Error::OutsideModel { point, n_layers: config.n_layers });
    }
    match config.width(point) {
        None => return Err(Error::NoVectors { point }),
        Some(expected) if expected != found => return Err(Error::Width { point, expected, found }),
        Some(_) => {}
    }
    let length = watched.direction.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    if !(length.is_finite() && length > 0.0) {
        return Err(Error::NoDirection { point, length });
    }
    let direction = watched.direction.iter().map(|x| (f64::from(*x) / length) as f32).collect();
    Ok(Watched { direction, ..watched.clone() })
}
