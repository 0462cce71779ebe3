//! `heirloom run`: an experiment, whole or by stage.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use heirloom::Plan;
use heirloom::arms::ArmsSpec;
use heirloom::benchmark::BenchmarkSpec;
use heirloom::prelude::*;

use crate::terminal::{Bars, print};
use crate::verbs::{arms, fetch, must_exist, print_json};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// An experiment's folder or its experiment.toml
    experiment: PathBuf,
    #[command(flatten)]
    options: Options,
}

/// The flags of every verb that runs an experiment.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Folder of the run; runs/NAME when absent
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    pub(crate) device: Device,
    /// Stop after this stage; `--plan` lists an experiment's stages
    #[arg(long, value_name = "STAGE", default_value = "figures")]
    pub(crate) until: String,
    /// Say what would run and what it would cost, without loading weights
    #[arg(long)]
    pub(crate) plan: bool,
    /// Print every number as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Options {
    /// The folder of a run.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(name))
    }

    /// The stage of `--until`, one of `all`.
    pub(crate) fn until<S: Copy>(
        &self,
        experiment: &str,
        all: &[S],
        name: fn(S) -> &'static str,
    ) -> Result<S> {
        all.iter().copied().find(|stage| name(*stage) == self.until).ok_or_else(|| Error::NoStage {
            experiment: experiment.into(),
            name: self.until.clone(),
            stages: all.iter().map(|stage| name(*stage)).collect(),
        })
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Args { experiment: path, options } = args;
    must_exist(path, "experiment", "an experiment is a folder with `experiment.toml` in it, or that file")?;
    if tells_a_world(path) {
        return Err(Error::WorldAlone { path: path.clone() }.into());
    }
    if path.join("run").is_file() && !path.join("experiment.toml").exists() {
        return Err(Error::Scripted { path: path.clone() }.into());
    }
    if BenchmarkSpec::stands_at(path) {
        let benchmark = Benchmark::load(path)
            .with_context(|| format!("could not load the benchmark `{}`", path.display()))?;
        return arms::benchmark(benchmark, options);
    }
    if ArmsSpec::stands_at(path) {
        let experiment = ArmsExperiment::load(path)
            .with_context(|| format!("could not load the experiment `{}`", path.display()))?;
        return arms::run(experiment, options);
    }
    let experiment = Experiment::load_with(path, &mut fetch)
        .with_context(|| format!("could not load the experiment `{}`", path.display()))?;
    let name = &experiment.spec().name;
    let until = options.until(name, &Stage::ALL, Stage::name)?;
    let run = RunOptions { out: options.folder(name), device: options.device, until };
    if options.plan {
        return plan(&experiment.plan(&run)?, &run, options.json);
    }
    let outcome = experiment.run(&run, &mut Bars::default()).with_context(|| {
        format!("could not run `{name}`; what is done is kept in `{}`", run.out.display())
    })?;
    if options.json {
        return print_json(&outcome.metrics);
    }
    print(outcome.summary())
}

/// Whether a file is a world, which an experiment names.
fn tells_a_world(path: &Path) -> bool {
    let table = std::fs::read_to_string(path).ok().and_then(|text| text.parse::<toml::Table>().ok());
    table.is_some_and(|table| table.contains_key("bases") && !table.contains_key("question"))
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
