//! Activation interventions: changing what flows through a hook point, at chosen positions.
//!
//! Laws that the tests hold: adding nothing changes no bit; opposite additions cancel; two additions are their
//! sum; blocks before the change keep every bit; patching the first stream of another run reproduces that run.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use heirloom_record::HookPoint;
use ndarray::Array2;

use crate::{Config, Error, Result, TokenRow, ops};

/// At which positions of a row something is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Positions {
    /// Every token; in generation also every sampled one.
    All,
    /// As [`Positions::All`], but for each row's first token: most models rest their attention on it, and it is up to
    /// hundreds of times as long as others.
    AfterFirst,
    /// The last token before the response begins; the last token where there is no response.
    LastPrompt,
    /// The tokens of the last assistant message.
    Response,
    /// The tokens of the text that each row names so.
    Span(String),
    /// These, counted from the row's first token; an error in rows that are shorter.
    At(Vec<u32>),
}

/// What is done to the activation vector `x` at each of the positions.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// `x + alpha · vector`: steering.
    Add {
        /// As wide as the hook point.
        vector: Vec<f32>,
        /// Its multiple.
        alpha: f32,
    },
    /// `x − (x · v̂) v̂ + value · v̂`: the component along a direction becomes `value`; 0 projects it out.
    Component {
        /// As wide as the hook point; only its direction matters.
        direction: Vec<f32>,
        /// The component afterwards, in units of the activations.
        value: f32,
    },
    /// `vector`, whatever was there: zero or mean ablation.
    Replace {
        /// As wide as the hook point.
        vector: Vec<f32>,
    },
    /// The same position of another run.
    Patch {
        /// One `[positions, width]` per row, in the order of the rows given to the run.
        rows: Vec<Array2<f32>>,
    },
}

impl Edit {
    /// Projects `direction` out.
    pub fn ablate(direction: Vec<f32>) -> Self {
        Self::Component { direction, value: 0.0 }
    }
}

/// One change to a forward pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Intervention {
    /// Where.
    pub point: HookPoint,
    /// At which positions of every row.
    pub positions: Positions,
    /// What becomes of the activation there.
    pub edit: Edit,
}

impl Intervention {
    /// Checks the change against a model's configuration, before any weights are loaded.
    ///
    /// # Errors
    /// The hook point is outside the model or has no vectors, a vector has another width, a direction has no
    /// length.
    pub fn check(&self, config: &Config) -> Result<()> {
        let point = self.point;
        check_point(point, config)?;
        let Some(expected) = config.width(point) else {
            return Err(Error::Uneditable {
                point,
                edit: "vectors, because it has one row per query and key",
            });
        };
        let fits = |found: usize| {
            if found == expected { Ok(()) } else { Err(Error::Width { point, expected, found }) }
        };
        match &self.edit {
            Edit::Add { vector, .. } | Edit::Replace { vector } => fits(vector.len()),
            Edit::Patch { rows } => rows.iter().try_for_each(|row| fits(row.ncols())),
            Edit::Component { direction, .. } => {
                fits(direction.len())?;
                let length = norm(direction);
                let usable = length.is_finite() && length > 0.0;
                if usable { Ok(()) } else { Err(Error::NoDirection { point, length }) }
            }
        }
    }

    /// Whether it leaves every activation as it is.
    fn is_nothing(&self) -> bool {
        matches!(&self.edit, Edit::Add { vector, alpha } if vector.iter().all(|x| x * alpha == 0.0))
    }
}

/// Refuses hook points that a model does not have.
pub(crate) fn check_point(point: HookPoint, config: &Config) -> Result<()> {
    if config.has(point) {
        return Ok(());
    }
    let n_layers = config.n_layers;
    if point.layer().is_some_and(|layer| layer >= n_layers) {
        return Err(Error::OutsideModel { point, n_layers });
    }
    Err(Error::NotInFamily { point, family: config.family.name() })
}

fn norm(vector: &[f32]) -> f64 {
    vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}

/// The interventions of one batch, resolved to its tokens and held on its device.
#[derive(Default)]
pub(crate) struct Changes(BTreeMap<HookPoint, Vec<Change>>);

struct Change {
    /// Tokens of the batch; all of them where absent.
    tokens: Option<Vec<u32>>,
    edit: OnDevice,
}

/// An [`Edit`] in f32 on the device.
enum OnDevice {
    /// `[1, w]`
    Add(Tensor),
    /// Unit direction `[1, w]` and the component afterwards.
    Component(Tensor, f64),
    /// `[1, w]`
    Replace(Tensor),
    /// `[tokens, w]`
    Patch(Tensor),
}

impl Changes {
    /// Resolves `interventions` for the rows of one batch; `order` are their places among all rows of the run.
    pub(crate) fn resolve(
        interventions: &[Intervention],
        rows: &[&TokenRow],
        order: &[usize],
        device: &Device,
    ) -> Result<Self> {
        let mut changes = Self::default();
        for change in interventions.iter().filter(|change| !change.is_nothing()) {
            let mut tokens = Vec::new();
            let mut patch = Vec::new();
            let mut start = 0;
            for (row, &place) in rows.iter().zip(order) {
                let positions = positions(&change.positions, row)?;
                if let Edit::Patch { rows: other } = &change.edit {
                    patch.extend(patched(change.point, other, place, row, &positions)?);
                }
                tokens.extend(positions.iter().map(|position| start + position));
                start += row.ids.len() as u32;
            }
            let edit = on_device(&change.edit, patch, tokens.len(), device)?;
            let tokens = (tokens.len() < start as usize).then_some(tokens);
            changes.0.entry(change.point).or_default().push(Change { tokens, edit });
        }
        Ok(changes)
    }

    /// Those that go on for tokens sampled after the prompt.
    pub(crate) fn for_sampled(interventions: &[Intervention], device: &Device) -> Result<Self> {
        let mut changes = Self::default();
        for change in interventions.iter().filter(|change| !change.is_nothing()) {
            let goes_on = matches!(change.positions, Positions::All | Positions::AfterFirst);
            if goes_on && !matches!(change.edit, Edit::Patch { .. }) {
                let edit = on_device(&change.edit, Vec::new(), 0, device)?;
                changes.0.entry(change.point).or_default().push(Change { tokens: None, edit });
            }
        }
        Ok(changes)
    }

    pub(crate) fn touches(&self, point: HookPoint) -> bool {
        self.0.contains_key(&point)
    }

    /// The tensor that flows on. Shapes: `x` `[t, …]`, trailing axes are one vector.
    pub(crate) fn apply(&self, point: HookPoint, x: Tensor) -> Result<Tensor> {
        let Some(changes) = self.0.get(&point) else { return Ok(x) };
        let shape = x.shape().clone();
        let mut x = x.flatten_from(1)?.contiguous()?; // [t w]
        for change in changes {
            x = change.apply(&x)?;
        }
        Ok(x.reshape(shape)?)
    }
}

impl Change {
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let Some(tokens) = &self.tokens else { return self.edit.apply(x) };
        if tokens.is_empty() {
            return Ok(x.clone());
        }
        let t = x.dim(0)?;
        let chosen = Tensor::new(tokens.as_slice(), x.device())?;
        let new = self.edit.apply(&x.index_select(&chosen, 0)?)?;
        // Unchanged tokens are copied, not added to zero, so they keep every bit.
        let mut from: Vec<u32> = (0..t as u32).collect();
        for (index, token) in tokens.iter().enumerate() {
            from[*token as usize] = (t + index) as u32;
        }
        Ok(Tensor::cat(&[x, &new], 0)?.index_select(&Tensor::new(from, x.device())?, 0)?)
    }
}

impl OnDevice {
    /// Shapes: `x` `[n, w]`.
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let dtype = x.dtype();
        let wide = x.to_dtype(DType::F32)?;
        let new = match self {
            Self::Add(vector) => wide.broadcast_add(vector)?,
            Self::Component(direction, value) => {
                let missing = ops::matmul(&wide, direction)?.affine(-1.0, *value)?; // [n 1]
                (&wide + missing.broadcast_mul(direction)?)?
            }
            Self::Replace(vector) => vector.broadcast_as(wide.shape())?.contiguous()?,
            Self::Patch(rows) => rows.clone(),
        };
        Ok(new.to_dtype(dtype)?)
    }
}

fn on_device(edit: &Edit, patch: Vec<f32>, n: usize, device: &Device) -> Result<OnDevice> {
    let row = |values: Vec<f32>| {
        let width = values.len();
        Tensor::from_vec(values, (1, width), device)
    };
    Ok(match edit {
        Edit::Add { vector, alpha } => OnDevice::Add(row(vector.iter().map(|x| alpha * x).collect())?),
        Edit::Component { direction, value } => {
            let length = norm(direction);
            let unit = direction.iter().map(|x| (f64::from(*x) / length) as f32).collect();
            OnDevice::Component(row(unit)?, f64::from(*value))
        }
        Edit::Replace { vector } => OnDevice::Replace(row(vector.clone())?),
        Edit::Patch { .. } => {
            let width = patch.len().checked_div(n).unwrap_or(0);
            OnDevice::Patch(Tensor::from_vec(patch, (n, width), device)?)
        }
    })
}

/// The patch's vectors at `positions` of the row at `place`.
fn patched(
    point: HookPoint,
    other: &[Array2<f32>],
    place: usize,
    row: &TokenRow,
    positions: &[u32],
) -> Result<Vec<f32>> {
    let found = other.get(place).map_or(0, Array2::nrows);
    if found != row.ids.len() {
        return Err(Error::PatchLength { point, row: place, expected: row.ids.len(), found });
    }
    let vectors = positions.iter().flat_map(|position| other[place].row(*position as usize).to_vec());
    Ok(vectors.collect())
}

/// The positions of one row, ascending.
fn positions(positions: &Positions, row: &TokenRow) -> Result<Vec<u32>> {
    let range = match positions {
        Positions::All => 0..row.ids.len(),
        Positions::AfterFirst => 1..row.ids.len(),
        Positions::LastPrompt => row.read(&heirloom_record::Readout::LastPrompt)?,
        Positions::Response => row.read(&heirloom_record::Readout::ResponseMean)?,
        Positions::Span(name) => row.read(&heirloom_record::Readout::Span(name.clone()))?,
        Positions::At(at) => {
            let mut at = at.clone();
            at.sort_unstable();
            at.dedup();
            return match at.last().filter(|last| **last as usize >= row.ids.len()) {
                Some(&position) => {
                    let n_tokens = row.ids.len();
                    Err(Error::row(&row.id)(crate::RowError::Position { position, n_tokens }))
                }
                None => Ok(at),
            };
        }
    };
    Ok((range.start as u32..range.end as u32).collect())
}
