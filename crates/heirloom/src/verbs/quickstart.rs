//! `heirloom quickstart`: the whole pipeline on miniature students, on a processor, with nothing to download.

use heirloom::prelude::*;

use crate::verbs::{arms, run};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fewer seeds, arms and scenarios: about a minute
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    options: run::Options,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let experiment = ArmsExperiment::quickstart()?;
    let experiment = if args.quick { experiment.quick()? } else { experiment };
    arms::run(experiment, &args.options)
}
