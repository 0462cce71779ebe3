//! Adapters in the folder format of PEFT.

mod description;
mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use heirloom_record::{NewFolder, write_file};

use crate::forward::Model;
use crate::layout::{Inside, Names, Order, Role, Slot, Weight, slots};
use crate::lora::Lora;
use crate::save::{pretty, weights_bytes};
use crate::weights::Checkpoint;
use crate::{Config, Error, Result, Student, Wrapper};

pub use description::AdapterDescription;

const CONFIG: &str = "adapter_config.json";
pub(crate) const WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT writes before a model's own names.
pub(crate) const PREFIX: &str = "base_model.model.";

/// What an adapter does to a model.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterReport {
    /// Its shape.
    pub lora: Lora,
    /// ‖ΔW‖ of every projection it changes and of every weight it replaces, by the module's path.
    pub norms: BTreeMap<String, f64>,
}

impl AdapterReport {
    /// ‖ΔW‖ of everything together.
    pub fn norm(&self) -> f64 {
        self.norms.values().map(|norm| norm.powi(2)).sum::<f64>().sqrt()
    }
}

/// A PEFT adapter that was read from disk and is on no model yet.
pub struct PeftAdapter {
    folder: PathBuf,
    lora: Lora,
    /// Factors as [`Lora::slots`] lists them.
    factors: Vec<(Slot, Vec<f32>)>,
    /// Numbers of the weights that are replaced, by their names.
    replaced: BTreeMap<String, Vec<f32>>,
    not_read: BTreeMap<&'static str, usize>,
}

impl PeftAdapter {
    /// Whether there is one in `folder`, whatever else is.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(CONFIG).is_file()
    }

    /// Whether `folder` looks like one: `adapter_config.json` and no model's weights beside it. The configuration of
    /// its base may be there.
    pub fn is_at(folder: &Path) -> bool {
        Self::is_in(folder) && !crate::weights::are_in(folder)
    }

    /// Reads `adapter_config.json` and `adapter_model.safetensors` for a model of these sizes, trained on it alone or
    /// inside a [`Wrapper`].
    ///
    /// # Errors
    /// A tensor of the file has no place in the model or another shape, a tensor is missing, a setting would change
    /// numbers in a way that heirloom does not compute.
    pub fn read(folder: &Path, config: &Config) -> Result<Self> {
        let base = slots(&Config { tied: false, ..config.clone() });
        let settings = settings::read(&folder.join(CONFIG), is_transposed(config))?;
        let mut checkpoint = open(&folder.join(WEIGHTS), config)?;
        let mut lora = settings.lora(&base, |path| checkpoint.module(path))?;
        let in_file = |path: &str| checkpoint.has(PREFIX, &format!("{path}.lora_A.weight"));
        let mut factors = Vec::new();
        for slot in lora.slots(&base, in_file) {
            let values = checkpoint.take_slot(&slot, PREFIX)?;
            factors.push((slot, values));
        }
        let mut replaced = BTreeMap::new();
        for slot in &base {
            for (name, rows) in &slot.parts {
                // PEFT writes tables unasked where tokens were added, and reads them back.
                let unasked = slot.role == Role::Table && checkpoint.has(PREFIX, name);
                if settings.saves(&checkpoint.module(name)) || unasked {
                    let part = Slot { parts: vec![(name.clone(), *rows)], ..slot.clone() };
                    replaced.insert(name.clone(), checkpoint.take_slot(&part, PREFIX)?);
                }
            }
        }
        let not_read = checkpoint.not_read.clone();
        checkpoint.finish()?;
        lora.replaced = replaced.keys().cloned().collect();
        Ok(Self { folder: folder.to_owned(), lora, factors, replaced, not_read })
    }

    /// How many of its tensors change parts of a larger model that are not read, by part; see [`crate::Source::not_read`].
    pub fn not_read(&self) -> &BTreeMap<&'static str, usize> {
        &self.not_read
    }

    /// The folder it was read from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `bare` with the adapter on it.
    fn on(&self, bare: &Model) -> Result<Model> {
        let names = Names::of(bare.config().family);
        let tables = self.replaced.keys().any(|name| name == names.head || name == names.embed);
        let base = if tables { bare.untied()? } else { bare.clone() };
        let mut weights =
            base.weights().iter().map(|weight| self.replace(weight)).collect::<Result<Vec<_>>>()?;
        for (slot, values) in &self.factors {
            let tensor = Tensor::from_slice(values, slot.shape(), &Device::Cpu)?;
            weights.push(Weight { tensor: tensor.to_device(&bare.device)?, slot: slot.clone() });
        }
        base.with(weights, Some(self.lora.clone()))
    }

    /// The same weight with the rows that the adapter brings.
    fn replace(&self, weight: &Weight) -> Result<Weight> {
        let slot = &weight.slot;
        if !slot.parts.iter().any(|(name, _)| self.replaced.contains_key(name)) {
            return Ok(weight.clone());
        }
        let (mut rows, mut start) = (Vec::new(), 0);
        for (name, n) in &slot.parts {
            rows.push(match self.replaced.get(name) {
                Some(values) => Tensor::from_slice(values, slot.shape_of(*n), &Device::Cpu)?
                    .to_dtype(weight.tensor.dtype())?
                    .to_device(weight.tensor.device())?,
                None => weight.tensor.narrow(0, start, *n)?,
            });
            start += n;
        }
        Ok(Weight { tensor: Tensor::cat(&rows, 0)?, slot: slot.clone() })
    }
}

impl Student {
    /// Puts a PEFT adapter on the model: `adapter_config.json` and `adapter_model.safetensors` in `folder`.
    ///
    /// Its factors are kept in f32 and beside the weights, so a small change is not rounded away in bf16.
    ///
    /// # Errors
    /// Those of [`PeftAdapter::read`] and [`Student::put_on`].
    pub fn load_adapter(&mut self, folder: &Path, may_be_nothing: bool) -> Result<AdapterReport> {
        if self.model().lora().is_some() {
            return Err(Error::AdapterThere { model: self.name() });
        }
        self.put_on(&PeftAdapter::read(folder, self.config())?, may_be_nothing)
    }

    /// Puts an adapter on the model in place of the one it has, if any; the base's weights stay where they are.
    ///
    /// # Errors
    /// The adapter was read for a model of other sizes; it changes no weight and not `may_be_nothing`. The student
    /// is then as it was.
    pub fn put_on(&mut self, adapter: &PeftAdapter, may_be_nothing: bool) -> Result<AdapterReport> {
        let bare = self.without_adapter()?;
        let model = adapter.on(&bare)?;
        let report = AdapterReport { lora: adapter.lora.clone(), norms: norms(&model, &bare)? };
        if report.norm() == 0.0 && !may_be_nothing {
            let (path, projections) = (adapter.folder.clone(), report.norms.len());
            return Err(Error::AdapterIsNothing { path, projections });
        }
        self.set_model(bare);
        self.keep_bare(true);
        self.set_model(model);
        Ok(report)
    }

    /// Another student: this model with an adapter on it in place of the one it has, if any. Both look at the same weights,
    /// so that many adapters of one base take little memory.
    ///
    /// # Errors
    /// Those of [`Student::put_on`].
    pub fn with_adapter(&self, adapter: &PeftAdapter, may_be_nothing: bool) -> Result<Self> {
        let mut student = self.beside();
        student.put_on(adapter, may_be_nothing)?;
        Ok(student)
    }

    /// Takes the adapter off; the model is the base again, bit for bit. Nothing where there is none.
    pub fn take_off_adapter(&mut self) -> Result<()> {
        self.set_model(self.without_adapter()?);
        self.keep_bare(false);
        Ok(())
    }

    pub(crate) fn without_adapter(&self) -> Result<Model> {
        let bare = self.bare();
        if bare.lora().is_some() { bare.with(bare.base_weights().to_vec(), None) } else { Ok(bare.clone()) }
    }

    /// What the model's adapter does to it; none where it has none.
    pub fn adapter(&self) -> Result<Option<AdapterReport>> {
        let Some(lora) = self.model().lora() else { return Ok(None) };
        Ok(Some(AdapterReport { lora: lora.clone(), norms: norms(self.model(), self.bare())? }))
    }

    /// SHA-256 over the adapter's shape, its factors and the weights it replaces; none where the model has none.
    /// [`Student::sha256`] is that of the model without it.
    pub fn adapter_sha256(&self) -> Result<Option<String>> {
        let Some(lora) = self.model().lora() else { return Ok(None) };
        let factors = weights_bytes(self.model().adapter_weights(), PREFIX)?;
        let scale = Lora { ranks: BTreeMap::new(), alphas: BTreeMap::new(), ..lora.clone() }.scale_of("");
        let mut hasher = heirloom_record::Hasher::default().part("scale", scale.to_le_bytes());
        for (path, alpha) in &lora.alphas {
            hasher = hasher.part(path, alpha.to_le_bytes());
        }
        hasher = hasher.part("factors", factors);
        let replaced = named(self.model(), &lora.replaced)?;
        if !replaced.is_empty() {
            hasher = hasher.part("replaced", weights_bytes(&replaced, PREFIX)?);
        }
        Ok(Some(hasher.finish()))
    }

    /// Writes the adapter as PEFT does: `adapter_config.json` and `adapter_model.safetensors`.
    ///
    /// # Errors
    /// The model has no adapter; something that is not an empty folder stands at `folder`.
    pub fn save_adapter(&self, folder: &Path) -> Result<()> {
        let new = NewFolder::create(folder)?;
        self.save_adapter_into(new.work_path())?;
        Ok(new.commit()?)
    }

    /// Writes the files of [`Student::save_adapter`] into a folder that is being made.
    pub(crate) fn save_adapter_into(&self, folder: &Path) -> Result<()> {
        let Some(lora) = self.model().lora() else { return Err(Error::NoAdapter { model: self.name() }) };
        // The names are those of the class that the base's configuration names.
        let inside = self.config().wrapper.map(|_| &Inside::ALL[0]);
        let call = |own: &str| inside.map_or_else(|| own.to_owned(), |inside| inside.name(own));
        let settings = settings::json(lora, &self.path_or_name(), is_transposed(self.config()), call);
        write_file(&folder.join(CONFIG), &pretty(&settings))?;
        let mut weights = [self.model().adapter_weights(), &named(self.model(), &lora.replaced)?].concat();
        weights.iter_mut().flat_map(|weight| &mut weight.slot.parts).for_each(|(name, _)| *name = call(name));
        Ok(write_file(&folder.join(WEIGHTS), &weights_bytes(&weights, PREFIX)?)?)
    }

    /// Folds the adapter into the weights, which are then in no file; nothing where there is none.
    pub fn merge_adapter(&mut self) -> Result<()> {
        if self.model().lora().is_some() {
            self.set_model(self.model().merged()?);
            self.keep_bare(false);
            self.weights_changed();
        }
        Ok(())
    }
}

/// The tensors of an adapter's file that change the text of a model of these sizes.
pub(crate) fn open(path: &Path, config: &Config) -> Result<Checkpoint> {
    let mut checkpoint = Checkpoint::of_file(path)?;
    if let Some(wrapper) = Wrapper::of(config.family) {
        checkpoint.look_inside(wrapper, PREFIX);
    }
    Ok(checkpoint)
}

/// Whether files keep a model's projections column by column.
fn is_transposed(config: &Config) -> bool {
    Names::of(config.family).order == Order::Columns
}

/// The weights of these names, each under its own.
fn named(model: &Model, names: &[String]) -> Result<Vec<Weight>> {
    let mut found = Vec::new();
    for weight in model.base_weights() {
        let mut start = 0;
        for (name, rows) in &weight.slot.parts {
            if names.contains(name) {
                let slot = Slot { parts: vec![(name.clone(), *rows)], ..weight.slot.clone() };
                found.push(Weight { slot, tensor: weight.tensor.narrow(0, start, *rows)? });
            }
            start += rows;
        }
    }
    Ok(found)
}

/// ‖ΔW‖ by module: of low-rank changes, and of weights that were replaced.
fn norms(model: &Model, bare: &Model) -> Result<BTreeMap<String, f64>> {
    let mut norms = model.adapter_norms()?;
    let names = model.lora().map(|lora| lora.replaced.as_slice()).unwrap_or_default();
    let bare = if model.config().tied { bare.clone() } else { bare.untied()? };
    for (new, old) in named(model, names)?.iter().zip(named(&bare, names)?) {
        let change = wide(&new.tensor)?.into_iter().zip(wide(&old.tensor)?).map(|(new, old)| new - old);
        let squares = change.map(|x| x.powi(2)).sum::<f64>();
        let path = new.slot.parts[0].0.trim_end_matches(".weight").to_owned();
        let low_rank = norms.get(&path).copied().unwrap_or(0.0);
        norms.insert(path, (low_rank.powi(2) + squares).sqrt());
    }
    Ok(norms)
}

fn wide(x: &Tensor) -> Result<Vec<f64>> {
    Ok(x.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
}
