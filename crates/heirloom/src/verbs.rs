//! The verbs of the command line, one file each.

pub(crate) mod adapter;
pub(crate) mod arm;
pub(crate) mod arms;
pub(crate) mod capture;
pub(crate) mod compare;
pub(crate) mod doctor;
pub(crate) mod figures;
pub(crate) mod fit;
pub(crate) mod grade;
pub(crate) mod hub;
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
use heirloom::series::HUB;
use heirloom_model::{Clock, PeftAdapter};
use heirloom_record::{Message, Prompt, Rollout, Rollouts, UnfinishedRollouts};
use heirloom_rollout::Behavior;

use crate::terminal::{print, tell};
use crate::verbs::hub::fetch;

/// The flags of every verb that reads a model.
#[derive(clap::Args)]
pub(crate) struct ModelArgs {
    /// A Hugging Face folder, a GGUF file, or `hf:ORG/NAME@REVISION`
    #[arg(long)]
    model: PathBuf,
    /// Date that chat templates see; recorded with what is written
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2026-01-15")]
    clock: Clock,
}

impl ModelArgs {
    fn open(&self) -> anyhow::Result<Source> {
        open_model(&self.model)
    }
}

fn open_model(model: &Path) -> anyhow::Result<Source> {
    let context = || format!("could not open the model `{}`", model.display());
    Source::open(&model_at(model)?).with_context(context)
}

/// Where a model lies on this machine.
fn model_at(model: &Path) -> anyhow::Result<PathBuf> {
    let help = "a model is a Hugging Face folder, a GGUF file, or `hf:ORG/NAME@REVISION`";
    at(model, "model", help)
}

/// Where a model or an adapter lies on this machine; one of the hub is fetched.
fn at(path: &Path, what: &'static str, help: &'static str) -> anyhow::Result<PathBuf> {
    match path.to_str().filter(|name| name.starts_with(HUB)) {
        Some(name) => fetch(name),
        None => must_exist(path, what, help).map(|()| path.to_owned()),
    }
}

/// Where an adapter lies on this machine; what is none is said before weights are read.
fn adapter_at(adapter: &Path) -> anyhow::Result<PathBuf> {
    let help = "an adapter is a folder in PEFT's format, or `hf:ORG/NAME@REVISION`";
    let path = at(adapter, "adapter", help)?;
    if PeftAdapter::is_in(&path) {
        return Ok(path);
    }
    let known =
        "folders in PEFT's format, with `adapter_config.json` and `adapter_model.safetensors` in them";
    Err(heirloom::Error::Unknown { path, found: "no adapter", known }.into())
}

/// Says what of an adapter changes parts of the model that are not read.
fn tell_not_read(adapter: &Path) -> anyhow::Result<()> {
    for (part, n) in PeftAdapter::describe(adapter)?.tensors_not_read {
        tell(format_args!("{}: {n} of its tensors change the {part}, which is not read", adapter.display()));
    }
    Ok(())
}

/// The flags of every verb that may put an adapter on a model.
#[derive(clap::Args)]
pub(crate) struct AdapterArgs {
    /// A PEFT adapter to put on the model: a folder, or `hf:ORG/NAME@REVISION`
    #[arg(long, value_name = "DIR|NAME")]
    adapter: Option<PathBuf>,
    /// Accept an adapter that changes nothing
    #[arg(long)]
    allow_empty_adapter: bool,
}

impl AdapterArgs {
    /// Where the adapter lies; what is not there is said before weights are read.
    fn find(&self) -> anyhow::Result<Option<PathBuf>> {
        self.adapter.as_deref().map(adapter_at).transpose()
    }

    /// Puts what [`Self::find`] found on a student.
    fn put_on(&self, found: Option<&Path>, student: &mut Student) -> anyhow::Result<()> {
        if let Some(adapter) = found {
            let context = || format!("could not load the adapter `{}`", adapter.display());
            student.load_adapter(adapter, self.allow_empty_adapter).with_context(context)?;
            tell_not_read(adapter)?;
        }
        Ok(())
    }
}

/// Rows of `--data`: of a file, a folder's rollouts, or the contrast pairs of a behavior's folder.
fn read_data(path: &Path) -> anyhow::Result<Vec<DataRow>> {
    must_exist(
        path,
        "data",
        "data is a JSONL file with `messages`, `text` or `input_ids` in every row, a folder of rollouts, or a behavior's folder",
    )?;
    if path.join("rollouts.jsonl").is_file() || UnfinishedRollouts::stand_at(path) {
        return Ok(read_rollouts(path)?.rows.iter().map(Rollout::row).collect());
    }
    if path.is_dir() {
        let behavior = Behavior::load(path);
        let behavior =
            behavior.with_context(|| format!("could not read the behavior `{}`", path.display()))?;
        return Ok(behavior.pair_rows());
    }
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

/// What a model is told before every prompt.
fn read_hidden(path: &Path) -> anyhow::Result<Vec<Message>> {
    must_exist(path, "file of hidden messages", "it is JSON with `messages`, as a row of prompts has them")?;
    heirloom_record::read_hidden(path)
        .with_context(|| format!("could not read the hidden messages `{}`", path.display()))
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

/// The folders of `--behavior`, each of another one.
fn read_behaviors(folders: &[PathBuf]) -> anyhow::Result<Vec<Behavior>> {
    let mut behaviors: Vec<Behavior> = vec![];
    for folder in folders {
        must_exist(folder, "behavior", "a behavior is a folder such as probes/blackmail")?;
        let behavior = Behavior::load(folder)
            .with_context(|| format!("could not load the behavior `{}`", folder.display()))?;
        if behaviors.iter().any(|earlier| earlier.name == behavior.name) {
            return Err(heirloom::Error::Twice { key: "behavior", name: behavior.name }.into());
        }
        behaviors.push(behavior);
    }
    Ok(behaviors)
}

/// A file of directions.
fn read_directions(path: &Path) -> anyhow::Result<Directions> {
    must_exist(path, "file of directions", "write one with `heirloom fit`")?;
    Directions::read(path).with_context(|| format!("could not read the directions `{}`", path.display()))
}

/// The store of `--activations`.
fn read_activations(path: &Path) -> anyhow::Result<Activations> {
    must_exist(path, "store of activations", "write one with `heirloom capture`")?;
    Activations::read(path).with_context(|| format!("could not read the activations `{}`", path.display()))
}

/// A path that is not there is told apart from one that holds something else.
fn must_exist(path: &Path, what: &'static str, help: &'static str) -> anyhow::Result<()> {
    if path.exists() { Ok(()) } else { Err(heirloom::Error::absent(path, what, help).into()) }
}

/// A name of a list, which may have a space behind its comma.
#[expect(clippy::unnecessary_wraps, reason = "clap's parsers may fail")]
fn trimmed(name: &str) -> Result<String, std::convert::Infallible> {
    Ok(name.trim().to_owned())
}

/// Prints a value as one JSON document.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(serde_json::to_string_pretty(value)? + "\n")
}
