//! Low-rank adapters: `y = x · Wᵀ + alpha / rank · (x · Aᵀ) · Bᵀ`, with `W` left as it is.
//!
//! Source: arXiv 2106.09685, equation 3; scaled by the root of the rank, arXiv 2312.03732; initialization and files
//! as PEFT's.

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
    /// Rank of every change that `ranks` does not name.
    pub rank: usize,
    /// Changes that `alphas` does not name are multiplied by `alpha / rank`.
    pub alpha: f64,
    /// Projections it changes in every block, by the last part of their Hugging Face names; see
    /// [`Lora::TARGETS`].
    pub targets: Vec<String>,
    /// Changes are multiplied by `alpha / √rank`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rslora: bool,
    /// Ranks of projections that have one of their own, by their paths.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ranks: BTreeMap<String, usize>,
    /// Alphas of projections that have one of their own, by their paths.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alphas: BTreeMap<String, f64>,
    /// Weights that the adapter brings as a whole, by their names; PEFT's `modules_to_save`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<String>,
}

impl Default for Lora {
    /// Rank 8, alpha 16, every projection.
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            targets: Self::TARGETS.map(String::from).to_vec(),
            rslora: false,
            ranks: BTreeMap::new(),
            alphas: BTreeMap::new(),
            replaced: Vec::new(),
        }
    }
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
        if let Some(found) = self.replaced.first() {
            let (expected, found) = ("empty: only low-rank changes are trained", format!("`{found}`"));
            return Err(Error::Setting { key: "lora.replaced", expected, found });
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

    /// The rank of the change to a projection.
    pub(crate) fn rank_of(&self, path: &str) -> usize {
        self.ranks.get(path).copied().unwrap_or(self.rank)
    }

    /// What the change to a projection is multiplied by.
    pub(crate) fn scale_of(&self, path: &str) -> f64 {
        let alpha = self.alphas.get(path).copied().unwrap_or(self.alpha);
        let rank = self.rank_of(path) as f64;
        alpha / if self.rslora { rank.sqrt() } else { rank }
    }

    /// Slots of the two factors for every projection that `changes` says yes to, by its path.
    pub(crate) fn slots<'a>(
        &self,
        base: impl IntoIterator<Item = &'a Slot>,
        changes: impl Fn(&str) -> bool,
    ) -> Vec<Slot> {
        let mut all = Vec::new();
        for slot in base {
            // PEFT's factors are rows of outputs whatever the projection's file says.
            let order = if slot.order == Order::Columns { Order::Rows } else { slot.order };
            for (path, rows, columns) in projections(slot).filter(|(path, ..)| changes(path)) {
                let factor = |letter, rows, columns, order| {
                    let name = format!("{path}.lora_{letter}.weight");
                    Slot { order, idle: slot.idle, ..Slot::one(name, rows, Some(columns), Role::Adapter) }
                };
                let rank = self.rank_of(path);
                all.push(factor('A', rank, columns, Order::Rows));
                all.push(factor('B', rows, rank, order));
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
        for slot in self.slots(model.weights().iter().map(|weight| &weight.slot), target) {
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
pub(crate) fn projections(slot: &Slot) -> impl Iterator<Item = (&str, usize, usize)> {
    let columns = slot.columns.filter(|_| matches!(slot.role, Role::Inner | Role::Output));
    slot.parts.iter().filter_map(move |(name, rows)| Some((name.strip_suffix(".weight")?, *rows, columns?)))
}

/// An adapter's factors by the path of their projection.
pub(crate) struct Adapters(BTreeMap<String, Factors>);

/// `scale · B · A`
#[derive(Clone)]
struct Factors {
    a: Tensor,
    b: Tensor,
    scale: f64,
}

impl Adapters {
    /// Factors follow one another as [`Lora::slots`] lists them.
    pub(crate) fn new(weights: &[Weight], lora: Option<&Lora>, dtype: DType) -> Result<Self> {
        let mut factors = BTreeMap::new();
        for pair in weights.chunks_exact(2) {
            let path = pair[0].slot.parts[0].0.trim_end_matches(".lora_A.weight").to_owned();
            let (a, b) = (pair[0].tensor.to_dtype(dtype)?, pair[1].tensor.to_dtype(dtype)?);
            let scale = lora.map_or(0.0, |lora| lora.scale_of(&path));
            factors.insert(path, Factors { a, b, scale });
        }
        Ok(Self(factors))
    }

    /// What is added to the projections stacked in `slot`.
    pub(crate) fn of(&self, slot: &Slot) -> Option<Adapter> {
        let parts: Vec<_> = projections(slot)
            .map(|(path, rows, _)| {
                let linear = |weight: &Tensor| Linear::new(weight.clone(), None);
                let part = |Factors { a, b, scale }: &Factors| (linear(a), linear(b), *scale);
                (rows, self.0.get(path).map(part))
            })
            .collect();
        parts.iter().any(|(_, factors)| factors.is_some()).then_some(Adapter { parts })
    }
}

/// What an adapter adds to projections that lie stacked.
#[derive(Clone)]
pub(crate) struct Adapter {
    parts: Vec<Part>,
}

/// Outputs of a projection, and `A`, `B` and scale; none where nothing is added.
type Part = (usize, Option<(Linear, Linear, f64)>);

impl Adapter {
    /// `y + scale · (x · Aᵀ) · Bᵀ`. `x` `[t, in]`, `y` `[t, out]`
    pub(crate) fn add_to(&self, y: &Tensor, x: &Tensor) -> candle_core::Result<Tensor> {
        let part = |(rows, factors): &Part| match factors {
            Some((a, b, scale)) => b.forward(&(a.forward(x)? * *scale)?),
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
                rows.push(match adapters.0.get(path) {
                    Some(Factors { a, b, scale }) => (b.matmul(a)? * *scale)?,
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
        let norm = |(path, Factors { a, b, scale }): (String, Factors)| {
            let a = a.matmul(&a.t()?)?.flatten_all()?.to_vec1::<f32>()?;
            let b = b.t()?.matmul(&b)?.flatten_all()?.to_vec1::<f32>()?;
            let squares: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(b)).sum();
            Ok((path, scale.abs() * squares.max(0.0).sqrt()))
        };
        adapters.0.into_iter().map(norm).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projection_may_have_a_rank_and_a_scale_of_its_own() {
        let (q, k) = ("model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj");
        let plain = Lora { rank: 4, alpha: 6.0, ..Lora::default() };
        let own = Lora { ranks: [(q.into(), 9)].into(), alphas: [(k.into(), 2.0)].into(), ..plain.clone() };
        let root = Lora { rslora: true, ..own.clone() };
        for (lora, expected) in [(plain, [1.5, 1.5]), (own, [6.0 / 9.0, 0.5]), (root, [2.0, 1.0])] {
            for (path, expected) in [q, k].into_iter().zip(expected) {
                assert!((lora.scale_of(path) - expected).abs() < 1e-12, "{lora:?} {path}");
            }
        }
    }

    #[test]
    fn what_is_as_usual_is_not_written_down() {
        let json = serde_json::to_value(Lora { rank: 4, alpha: 6.0, ..Lora::default() }).unwrap();
        assert_eq!(json.as_object().unwrap().keys().collect::<Vec<_>>(), ["rank", "alpha", "targets"]);
        assert_eq!(serde_json::from_value::<Lora>(json).unwrap().rank, 4);
    }

    #[test]
    fn settings_outside_their_range_are_named() {
        let lora = |rank, alpha, targets: &[&str]| Lora {
            rank,
            alpha,
            targets: targets.iter().map(|target| (*target).to_owned()).collect(),
            ..Lora::default()
        };
        lora(4, 8.0, &["q_proj", "down_proj"]).check().unwrap();
        for (lora, text) in [
            (lora(0, 8.0, &["q_proj"]), "`lora.rank` must be 1 or more, found 0"),
            (lora(4, f64::NAN, &["q_proj"]), "found NaN"),
            (lora(4, 8.0, &["q_proj", "query"]), "found `query`"),
            (lora(4, 8.0, &[]), "found none"),
            (Lora { replaced: vec!["lm_head.weight".into()], ..Lora::default() }, "found `lm_head.weight`"),
        ] {
            let error = lora.check().unwrap_err().to_string();
            assert!(error.ends_with(text), "{error}");
        }
    }
}
