//! `heirloom quickstart`: the whole pipeline on miniature students, on a processor, with nothing to download.

use std::path::PathBuf;

use anyhow::Context as _;
use heirloom::arms::ArmsExperiment;

use crate::terminal::{Bars, print};
use crate::verbs::print_json;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the run; runs/quickstart (or runs/quickstart-quick) when absent
    #[arg(long)]
    out: Option<PathBuf>,
    /// Fewer seeds, arms and scenarios: about a minute
    #[arg(long)]
    quick: bool,
    /// Print every number as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let experiment = ArmsExperiment::quickstart()?;
    let experiment = if args.quick { experiment.quick()? } else { experiment };
    finish(&experiment, args.out.clone(), args.json)
}

/// Runs an experiment with arms and prints what it found.
pub(crate) fn finish(experiment: &ArmsExperiment, out: Option<PathBuf>, json: bool) -> anyhow::Result<()> {
    let name = &experiment.spec().name;
    let out = out.unwrap_or_else(|| PathBuf::from("runs").join(name));
    let outcome = experiment
        .run(&out, &mut Bars::default())
        .with_context(|| format!("could not run `{name}`; what is done is kept in `{}`", out.display()))?;
    if json {
        return print_json(&outcome.metrics);
    }
    print(outcome.summary())
}
