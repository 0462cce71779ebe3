//! Low-rank adapters: `y = x · Wᵀ + alpha / rank · (x · Aᵀ) · Bᵀ`, with `W` left as it is.
//!
//! Source: arXiv 2106.09685, equation 3; initialization and files as PEFT's.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::forward::Model;
use crate::layout::{self, Order, Role, Slot, Weight};
use crate::ops::{self, Linear};
use crate::{Error, Result, random};

/// Shape of a low-rank adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lora {
    /// Rank of every change.
    pub rank: usize,
    /// Changes are multiplied by `alpha / rank`.
    pub alpha: f64,
    /// Projections it changes in every block, by the last part of their Hugging Face names; see
    /// [`Lora::TARGETS`].
    pub targets: Vec<String>,
}

impl Lora {
    /// The projections there are in any family: each model has some of them.
    pub const TARGETS: [&str; layout::TARGETS.len()] = layout::TARGETS;

    /// Refuses settings outside their ranges.
    pub(crate) fn check(&self) -> Result<()> {
        if self.rank == 0 {
            return Err(Error::Setting { key: "lora.rank", expected: "1 or more", found: "0".into() });
        }
        if !(self.alpha.is_finite() && self.alpha != 0.0) {
            let found = self.alpha.to_string();
            return Err(Error::Setting { key: "lora.alpha", expected: "a number other than 0", found });
        }
        let expected = "the last parts of projections' names, at least one, such as q_proj and down_proj";
        let unknown = self.targets.iter().find(|target| !Self::TARGETS.contains(&target.as_str()));
        match unknown.map(|target| format!("`{target}`")).or(self.targets.is_empty().then(|| "none".into())) {
            Some(found) => Err(Error::Setting { key: "lora.targets", expected, found }),
            None => Ok(()),
        }
    }

    /// Refuses targets that the model does not have.
    fn check_against(&self, model: &Model) -> Result<()> {
        let slots = model.base_weights().iter().map(|weight| &weight.slot);
        let paths: Vec<&str> = slots.flat_map(projections).map(|(path, ..)| path).collect();
        let missing = |target: &&String| !paths.iter().any(|path| is_named(path, target));
        let Some(target) = self.targets.iter().find(missing) else { return Ok(()) };
        let last = |path: &&str| path.rsplit('.').next().unwrap_or(path).to_owned();
        let known: BTreeSet<String> = paths.iter().map(last).collect();
        Err(Error::NoProjection { target: target.clone(), known: known.into_iter().collect() })
    }

    /// What changes are multiplied by.
    pub(crate) fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }

    /// Slots of the two factors for every projection that `changes` says yes to, by its path.
    pub(crate) fn slots(&self, base: &[Weight], changes: impl Fn(&str) -> bool) -> Vec<Slot> {
        let mut all = Vec::new();
        for slot in base.iter().map(|weight| &weight.slot) {
            // PEFT's factors are rows of outputs whatever the projection's file says.
            let order = if slot.order == Order::Columns { Order::Rows } else { slot.order };
            for (path, rows, columns) in projections(slot).filter(|(path, ..)| changes(path)) {
                let factor = |letter, rows, columns, order| {
                    let name = format!("{path}.lora_{letter}.weight");
                    Slot { order, idle: slot.idle, ..Slot::one(name, rows, Some(columns), Role::Adapter) }
                };
                all.push(factor('A', self.rank, columns, Order::Rows));
                all.push(factor('B', rows, self.rank, order));
            }
        }
        all
    }

    /// `model` with a fresh adapter, which changes nothing yet.
    ///
    /// `A` is spread evenly over ±1 / √inputs, `B` is zero.
    ///
    /// Source: `reset_lora_parameters` of PEFT: Kaiming's uniform with a = √5 is this bound.
    pub(crate) fn attach(&self, model: &Model, seed: u64) -> Result<Model> {
        self.check_against(model)?;
        let target = |path: &str| self.targets.iter().any(|target| is_named(path, target));
        let mut weights = model.weights().to_vec();
        for slot in self.slots(model.weights(), target) {
            let (shape, name) = (slot.shape(), &slot.parts[0].0);
            let n = shape.iter().product();
            let values = if name.ends_with("lora_A.weight") {
                let bound = 1.0 / (shape[1] as f64).sqrt();
                random::uniform(&mut random::stream("lora", seed, name), n, bound)
            } else {
                vec![0.0; n]
            };
            let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?.to_device(&model.device)?;
            weights.push(Weight { slot, tensor });
        }
        model.with(weights, Some(self.clone()))
    }
}

/// Whether `target` is the last part of a path.
fn is_named(path: &str, target: &str) -> bool {
    path.strip_suffix(target).is_some_and(|start| start.ends_with('.'))
}

/// Paths, outputs and inputs of the projections in a slot.
fn projections(slot: &Slot) -> impl Iterator<Item = (&str, usize, usize)> {
    let columns = slot.columns.filter(|_| matches!(slot.role, Role::Inner | Role::Output));
    slot.parts.iter().filter_map(move |(name, rows)| Some((name.strip_suffix(".weight")?, *rows, columns?)))
}

/// An adapter's factors by the path of their projection.
pub(crate) struct Adapters {
    factors: BTreeMap<String, (Tensor, Tensor)>,
    scale: f64,
}

impl Adapters {
    /// Factors follow one another as [`Lora::slots`] lists them.
    pub(crate) fn new(weights: &[Weight], lora: Option<&Lora>, dtype: DType) -> Result<Self> {
        let mut factors = BTreeMap::new();
        for pair in weights.chunks_exact(2) {
            let path = pair[0].slot.parts[0].0.trim_end_matches(".lora_A.weight").to_owned();
            factors.insert(path, (pair[0].tensor.to_dtype(dtype)?, pair[1].tensor.to_dtype(dtype)?));
        }
        Ok(Self { factors, scale: lora.map_or(0.0, Lora::scale) })
    }

    /// What is added to the projections stacked in `slot`.
    pub(crate) fn of(&self, slot: &Slot) -> Option<Adapter> {
        let parts: Vec<_> = projections(slot)
            .map(|(path, rows, _)| {
                let linear = |weight: &Tensor| Linear::new(weight.clone(), None);
                (rows, self.factors.get(path).map(|(a, b)| (linear(a), linear(b))))
            })
            .collect();
        parts.iter().any(|(_, factors)| factors.is_some()).then_some(Adapter { parts, scale: self.scale })
    }
}

/// What an adapter adds to projections that lie stacked.
#[derive(Clone)]
pub(crate) struct Adapter {
    /// Outputs and factors of each; none where nothing is added.
    parts: Vec<(usize, Option<(Linear, Linear)>)>,
    scale: f64,
}

impl Adapter {
    /// `y + scale · (x · Aᵀ) · Bᵀ`. `x` `[t, in]`, `y` `[t, out]`
    pub(crate) fn add_to(&self, y: &Tensor, x: &Tensor) -> candle_core::Result<Tensor> {
        let part = |(rows, factors): &(usize, Option<(Linear, Linear)>)| match factors {
            Some((a, b)) => b.forward(&(a.forward(x)? * self.scale)?),
            None => Tensor::zeros((x.dim(0)?, *rows), x.dtype(), x.device()),
        };
        let parts = self.parts.iter().map(part).collect::<candle_core::Result<Vec<_>>>()?;
        match &parts[..] {
            [one] => ops::add(y, one),
            several => ops::add(y, &Tensor::cat(several, 1)?),
        }
    }
}

impl Model {
    /// The same model with its adapter folded into the weights; itself where it has none.
    pub(crate) fn merged(&self) -> Result<Self> {
        let Some(lora) = self.lora() else { return self.map(|weight| Ok(weight.tensor.clone())) };
        let adapters = Adapters::new(self.adapter_weights(), Some(lora), DType::F32)?;
        let fold = |weight: &Weight| {
            let mut rows = Vec::new();
            for (path, outputs, inputs) in projections(&weight.slot) {
                rows.push(match adapters.factors.get(path) {
                    Some((a, b)) => (b.matmul(a)? * adapters.scale)?,
                    None => Tensor::zeros((outputs, inputs), DType::F32, &self.device)?,
                });
            }
            let tensor = match &rows[..] {
                [] => weight.tensor.clone(),
                _ => (weight.tensor.to_dtype(DType::F32)? + Tensor::cat(&rows, 0)?)?
                    .to_dtype(weight.tensor.dtype())?,
            };
            Ok(Weight { tensor, slot: weight.slot.clone() })
        };
        self.with(self.base_weights().iter().map(fold).collect::<Result<_>>()?, None)
    }

    /// The model's own weights.
    pub(crate) fn base_weights(&self) -> &[Weight] {
        let base = self.weights().iter().take_while(|weight| weight.slot.role != Role::Adapter).count();
        &self.weights()[..base]
    }

    /// The adapter's factors.
    pub(crate) fn adapter_weights(&self) -> &[Weight] {
        &self.weights()[self.base_weights().len()..]
    }

    /// ‖ΔW‖, the root of the sum of squares of what the adapter adds to each projection, by its path.
    ///
    /// ‖B · A‖² is the sum of products of the entries of Bᵀ · B and A · Aᵀ, so no change is ever multiplied out.
    pub(crate) fn adapter_norms(&self) -> Result<BTreeMap<String, f64>> {
        let adapters = Adapters::new(self.adapter_weights(), self.lora(), DType::F32)?;
        let norm = |(path, (a, b)): (String, (Tensor, Tensor))| {
            let a = a.matmul(&a.t()?)?.flatten_all()?.to_vec1::<f32>()?;
            let b = b.t()?.matmul(&b)?.flatten_all()?.to_vec1::<f32>()?;
            let squares: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(b)).sum();
            Ok((path, adapters.scale.abs() * squares.max(0.0).sqrt()))
        };
        adapters.factors.into_iter().map(norm).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_outside_their_range_are_named() {
        let lora = |rank, alpha, targets: &[&str]| Lora {
            rank,
            alpha,
            targets: targets.iter().map(|target| (*target).to_owned()).collect(),
        };
        lora(4, 8.0, &["q_proj", "down_proj"]).check().unwrap();
        for (lora, text) in [
            (lora(0, 8.0, &["q_proj"]), "`lora.rank` must be 1 or more, found 0"),
            (lora(4, f64::NAN, &["q_proj"]), "found NaN"),
            (lora(4, 8.0, &["q_proj", "query"]), "found `query`"),
            (lora(4, 8.0, &[]), "found none"),
        ] {
            let error = lora.check().unwrap_err().to_string();
            assert!(error.ends_with(text), "{error}");
        }
    }
}
