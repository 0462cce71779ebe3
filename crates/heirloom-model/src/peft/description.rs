//! What a PEFT adapter is, read without a model.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::{CONFIG, PREFIX, PeftAdapter, WEIGHTS, settings};
use crate::source::name_of;
use crate::weights::Checkpoint;
use crate::{Result, Wrapper};

/// What an adapter is, for people and for `--json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdapterDescription {
    /// The folder's name.
    pub name: String,
    /// The model it was trained on, by what its configuration says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Rank of every change that has none of its own.
    pub rank: usize,
    /// Changes are multiplied by `alpha / rank`, or by `alpha / √rank`.
    pub alpha: f64,
    /// It is the root that they are divided by.
    pub rslora: bool,
    /// Projections it changes, as its configuration says.
    pub targets: Vec<String>,
    /// Projections that its file has factors for.
    pub n_changed: usize,
    /// Weights that it brings as a whole.
    pub replaced: Vec<String>,
    /// Numbers in its file.
    pub n_parameters: usize,
    /// Tensors that change parts of a model of images and text which heirloom does not read, by part.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tensors_not_read: BTreeMap<&'static str, usize>,
}

impl PeftAdapter {
    /// What the adapter in `folder` is, read without a model; whether it fits one, [`Self::read`] says.
    ///
    /// # Errors
    /// A setting would change numbers in a way that heirloom does not compute; a file is missing or damaged.
    ///
    /// Cost: reads the header of its file.
    pub fn describe(folder: &Path) -> Result<AdapterDescription> {
        // Which models keep their projections column by column is not known here.
        let settings = settings::read(&folder.join(CONFIG), true)?;
        let file = folder.join(WEIGHTS);
        let checkpoint = Checkpoint::of_file(&file)?;
        let (mut n_changed, mut n_parameters, mut replaced) = (0, 0, Vec::new());
        let mut tensors_not_read = BTreeMap::new();
        for (name, size) in checkpoint.sizes() {
            n_parameters += size;
            if let Some(part) = part_not_read(name.strip_prefix(PREFIX).unwrap_or(name)) {
                *tensors_not_read.entry(part).or_default() += 1;
            } else if name.contains(".lora_A.") {
                n_changed += 1;
            } else if !name.contains(".lora_") {
                replaced.push(name.to_owned());
            }
        }
        let lora = settings.plain();
        Ok(AdapterDescription {
            name: name_of(folder),
            base: settings.base,
            rank: lora.rank,
            alpha: lora.alpha,
            rslora: lora.rslora,
            targets: lora.targets,
            n_changed,
            replaced,
            n_parameters,
            tensors_not_read,
        })
    }
}

/// The part of any larger model that a tensor is of, where it is one that is not read.
fn part_not_read(name: &str) -> Option<&'static str> {
    let parts = Wrapper::ALL.into_iter().flat_map(|(wrapper, _)| wrapper.unread());
    parts
        .into_iter()
        .find(|(_, starts)| starts.iter().any(|start| name.starts_with(start)))
        .map(|(part, _)| *part)
}
