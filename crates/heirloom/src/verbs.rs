//! The verbs of the command line, one file each.

pub(crate) mod arm;
pub(crate) mod arms;
pub(crate) mod capture;
pub(crate) mod compare;
pub(crate) mod figures;
pub(crate) mod fit;
pub(crate) mod grade;
pub(crate) mod inspect;
pub(crate) mod origin;
pub(crate) mod quickstart;
pub(crate) mod report;
pub(crate) mod rollout;
pub(crate) mod run;
pub(crate) mod score;
pub(crate) mod select;
pub(crate) mod show;
pub(crate) mod steer;
pub(crate) mod track;
pub(crate) mod train;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use heirloom::prelude::*;
use heirloom_model::Clock;
use heirloom_record::{Prompt, Rollouts};

use crate::terminal::print;

/// The flags of every verb that reads a model.
#[derive(clap::Args)]
pub(crate) struct ModelArgs {
    /// A Hugging Face folder or a GGUF file
    #[arg(long)]
    model: PathBuf,
    /// Date that chat templates see; recorded with what is written
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2026-01-15")]
    clock: Clock,
}

impl ModelArgs {
    fn open(&self) -> anyhow::Result<Source> {
        must_exist(&self.model, "model", "a model is a Hugging Face folder or a GGUF file")?;
        Source::open(&self.model)
            .with_context(|| format!("could not open the model `{}`", self.model.display()))
    }
}

/// Rows of `--data`.
fn read_data(path: &Path) -> anyhow::Result<Vec<DataRow>> {
    must_exist(path, "data", "data is a JSONL file with `messages`, `text` or `input_ids` in every row")?;
    heirloom_record::read_rows(path).with_context(|| format!("could not read the data `{}`", path.display()))
}

/// Prompts of a file.
fn read_prompts(path: &Path) -> anyhow::Result<Vec<Prompt>> {
    must_exist(
        path,
        "file of prompts",
        "prompts are a JSONL file with `messages` in every row, the last one the user's",
    )?;
    heirloom_record::read_prompts(path)
        .with_context(|| format!("could not read the prompts `{}`", path.display()))
}

/// Rollouts of a folder or a file.
fn read_rollouts(path: &Path) -> anyhow::Result<Rollouts> {
    must_exist(
        path,
        "rollouts",
        "rollouts are a folder that `heirloom rollout` wrote, or a JSONL file with `messages` in every row",
    )?;
    Rollouts::read(path).with_context(|| format!("could not read the rollouts `{}`", path.display()))
}

/// The store of `--activations`.
fn read_activations(path: &Path) -> anyhow::Result<Activations> {
    must_exist(path, "store of activations", "write one with `heirloom capture`")?;
    Activations::read(path).with_context(|| format!("could not read the activations `{}`", path.display()))
}

/// A path that is not there is told apart from one that holds something else.
fn must_exist(path: &Path, what: &'static str, help: &'static str) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let near = heirloom_record::near(&name, beside.iter().map(String::as_str));
    Err(heirloom::Error::Absent { what, path: path.into(), help, near }.into())
}

/// Prints a value as one JSON document.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(serde_json::to_string_pretty(value)? + "\n")
}
