//! Where a forward pass may be read or changed: one call per named point.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::Tensor;
use heirloom_record::HookPoint;

use crate::intervene::Changes;
use crate::{Error, Result};

/// Why a forward pass ended before its last line.
pub(crate) enum Halt {
    /// Everything asked for has been seen.
    Seen,
    /// Something failed.
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<candle_core::Error> for Halt {
    fn from(error: candle_core::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// What is done at the hook points of one forward pass.
pub(crate) struct Hooks<'a> {
    changes: Option<&'a Changes>,
    watched: BTreeSet<HookPoint>,
    /// Points still to come; the pass ends with the last one.
    pending: Option<BTreeSet<HookPoint>>,
    see: &'a mut (dyn FnMut(HookPoint, &Tensor) -> Result<()> + Send),
}

impl<'a> Hooks<'a> {
    /// Changes tensors by `changes`, then shows every `watched` one to `see`; ends the pass after the last of
    /// them unless `to_the_end`.
    pub(crate) fn new(
        changes: Option<&'a Changes>,
        watched: &BTreeSet<HookPoint>,
        to_the_end: bool,
        see: &'a mut (dyn FnMut(HookPoint, &Tensor) -> Result<()> + Send),
    ) -> Self {
        let pending = (!to_the_end).then(|| watched.clone());
        Self { changes, watched: watched.clone(), pending, see }
    }

    /// The tensor that flows on from `point`.
    pub(crate) fn call(&mut self, point: HookPoint, x: Tensor) -> Result<Tensor, Halt> {
        let x = match self.changes {
            Some(changes) => changes.apply(point, x)?,
            None => x,
        };
        if self.watched.contains(&point) {
            (self.see)(point, &x)?;
            if let Some(pending) = &mut self.pending {
                pending.remove(&point);
                if pending.is_empty() {
                    return Err(Halt::Seen);
                }
            }
        }
        Ok(x)
    }

    /// Whether anything happens at `point`; where nothing does, steps on its two sides may be fused.
    pub(crate) fn touches(&self, point: HookPoint) -> bool {
        self.watched.contains(&point) || self.changes.is_some_and(|changes| changes.touches(point))
    }
}

/// How often each point fired.
#[derive(Default)]
pub(crate) struct Fired(BTreeMap<HookPoint, usize>);

impl Fired {
    pub(crate) fn count(&mut self, point: HookPoint) {
        *self.0.entry(point).or_default() += 1;
    }

    /// Every point must have fired once a pass.
    pub(crate) fn check(&self, points: &BTreeSet<HookPoint>, expected: usize) -> Result<()> {
        for point in points {
            let found = self.0.get(point).copied().unwrap_or(0);
            if found != expected {
                return Err(Error::Fired { point: *point, expected, found });
            }
        }
        Ok(())
    }
}
