//! `heirloom run`: an experiment, whole or by stage.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use heirloom::Plan;
use heirloom::arms::{ArmsExperiment, ArmsSpec};
use heirloom::prelude::*;

use crate::terminal::{Bars, print};
use crate::verbs::{print_json, quickstart};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// An experiment's folder or its experiment.toml
    experiment: PathBuf,
    /// Folder of the run; runs/NAME when absent
    #[arg(long)]
    out: Option<PathBuf>,
    /// cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Stop after this stage
    #[arg(long, value_name = "STAGE", default_value = "figures", value_parser =
        PossibleValuesParser::new(Stage::ALL.map(Stage::name)).map(|name| stage(&name)))]
    until: Stage,
    /// Say what would run and what it would cost, without loading weights
    #[arg(long)]
    plan: bool,
    /// Print every number as JSON
    #[arg(long)]
    json: bool,
}

fn stage(name: &str) -> Stage {
    Stage::ALL.into_iter().find(|stage| stage.name() == name).expect("clap lets these names through alone")
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if ArmsSpec::stands_at(&args.experiment) {
        let experiment = ArmsExperiment::load(&args.experiment)
            .with_context(|| format!("could not load the experiment `{}`", args.experiment.display()))?;
        return quickstart::finish(&experiment, args.out.clone(), args.json);
    }
    let experiment = Experiment::load(&args.experiment)
        .with_context(|| format!("could not load the experiment `{}`", args.experiment.display()))?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&experiment.spec().name));
    let options = RunOptions { out, device: args.device, until: args.until };
    if args.plan {
        return plan(&experiment.plan(&options)?, &options, args.json);
    }
    let outcome = experiment.run(&options, &mut Bars::default()).with_context(|| {
        format!(
            "could not run `{}`; what is done is kept in `{}`",
            experiment.spec().name,
            options.out.display()
        )
    })?;
    if args.json {
        return print_json(&outcome.metrics);
    }
    print(outcome.summary())
}

fn plan(plan: &Plan, options: &RunOptions, json: bool) -> anyhow::Result<()> {
    let seconds = if plan.flops > 0.0 { plan.flops / rate(options)? } else { 0.0 };
    if json {
        let mut value = serde_json::to_value(plan)?;
        value["capture_seconds_at_full_matmul_rate"] = seconds.into();
        return print_json(&value);
    }
    print(format_args!("{plan}\n"))?;
    if seconds > 0.0 {
        let seconds = seconds.ceil();
        print(format_args!(
            "  time      capture about {seconds:.0} s, by a matrix product timed on the machine as it is\n"
        ))?;
    }
    Ok(())
}

/// Floating point operations per second of one matrix product, the best of a few.
fn rate(options: &RunOptions) -> anyhow::Result<f64> {
    let mut best: f64 = 0.0;
    for _ in 0..4 {
        let start = Instant::now();
        let operations = options.device.multiply()?;
        best = best.max(operations / start.elapsed().as_secs_f64());
    }
    Ok(best)
}
