//! `heirloom steer`: does a direction of a finished run cause its behavior in the students of an arm?

use std::path::PathBuf;

use anyhow::Context as _;
use clap::builder::RangedU64ValueParser;
use heirloom::prelude::*;

use crate::terminal::{Bars, print};
use crate::verbs::{must_exist, print_json};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of a finished run of an experiment with arms, such as runs/quickstart
    run: PathBuf,
    /// The arm whose students are steered
    #[arg(long, value_name = "NAME")]
    arm: String,
    /// Seed of the student; may be repeated; every seed of the run when absent
    #[arg(long = "seed", value_name = "N")]
    seeds: Vec<u64>,
    /// What directions were fit on: teachers or base; teachers where the experiment names two
    #[arg(long, value_name = "FIT")]
    direction: Option<FitOn>,
    /// Hook point, one that the run measured; that of its figures when absent
    #[arg(long, value_name = "POINT")]
    hook: Option<String>,
    /// Doses, in mean norms of the activations; negative ones against the direction
    #[arg(
        long,
        value_name = "X,…",
        value_delimiter = ',',
        allow_hyphen_values = true,
        default_value = "-1,-0.5,-0.25,0.25,0.5,1"
    )]
    strengths: Vec<f64>,
    /// Random directions, and as many random differences of activations, to stand beside
    #[arg(long, value_name = "K", default_value_t = 64, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    directions: usize,
    /// Scenarios of each behavior and seed, of those that the run measured on
    #[arg(long, value_name = "N", default_value_t = 48, value_parser = RangedU64ValueParser::<usize>::new().range(2..))]
    scenarios: usize,
    /// Share of the unsteered model's well-formed answers below which a dose does not count
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    floor: f64,
    /// New folder of tables and figure; RUN/steer/ARM when absent
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// cpu, cuda, cuda:N or metal; that which the run was made on
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Print every number as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    must_exist(&args.run, "run", "make one with `heirloom quickstart`")?;
    let options = SteerOptions {
        seeds: args.seeds.clone(),
        fit_on: args.direction,
        hook: args.hook.clone(),
        strengths: args.strengths.clone(),
        controls: args.directions,
        scenarios: args.scenarios,
        floor: args.floor,
        ..SteerOptions::new(&args.arm)
    };
    options.check()?;
    let experiment = ArmsExperiment::of_run(&args.run)?.on(args.device);
    let out = args.out.clone().unwrap_or_else(|| ArmsExperiment::steer_folder(&args.run, &options));
    let steered = experiment
        .steer(&args.run, &options, &out, &mut Bars::default())
        .with_context(|| format!("could not steer `{}` of `{}`", args.arm, args.run.display()))?;
    if args.json {
        return print_json(&serde_json::json!({
            "out": steered.folder,
            "checks": steered.checks,
            "doses": steered.doses,
        }));
    }
    print(steered.summary())
}
