//! The verbs of the command line, one file each.

pub(crate) mod capture;
pub(crate) mod fit;
pub(crate) mod inspect;
pub(crate) mod run;
pub(crate) mod score;
pub(crate) mod show;

use std::path::PathBuf;

use anyhow::Context as _;
use heirloom::prelude::*;
use heirloom_model::Clock;

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
        Source::open(&self.model)
            .with_context(|| format!("could not open the model `{}`", self.model.display()))
    }
}

/// Rows of `--data`.
fn read_data(path: &std::path::Path) -> anyhow::Result<Vec<DataRow>> {
    heirloom_record::read_rows(path).with_context(|| format!("could not read the data `{}`", path.display()))
}

/// Prints a value as one JSON document.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
