//! `heirloom select`: which training prompts carry a behavior, as a score file that arms take.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;
use heirloom::prelude::*;
use heirloom::selection::{Along, Ranker, Request, select};

use crate::terminal::print;
use crate::verbs::{must_exist, print_json};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of a run with arms; the prompts of its reference arm are ranked
    run: PathBuf,
    /// The behavior
    #[arg(long)]
    behavior: String,
    /// projection-difference, activation-attribution, tags:TAG, random or random-equal-length
    #[arg(long)]
    by: Ranker,
    /// Share of the prompts that counts as chosen, in percent; the file holds every score, and an arm says how many it takes
    #[arg(long, default_value_t = 8.0)]
    percent: f64,
    /// The direction of projection-difference: fit on the base from contrasts, from one teacher to the other, or
    /// from the base's answers that do not show the behavior to those that do
    #[arg(long, default_value = "base")]
    direction: Direction,
    /// Score file whose choice random-equal-length is a control of; `{seed}` stands for the seed
    #[arg(long, value_name = "FILE")]
    like: Option<PathBuf>,
    /// Hold the ranking against the prompts with this tag, which are known to cause the behavior
    #[arg(long, value_name = "TAG")]
    causal: Option<String>,
    /// Rank the prompts of this seed only
    #[arg(long)]
    seed: Option<u64>,
    /// Score file, JSONL; with several seeds `{seed}` must stand in its name. Scores that are there are replaced
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Prompts of each seed that are shown
    #[arg(long, default_value_t = 5)]
    top: usize,
    /// The device that the run was made on: cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Print the whole ranking as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Direction {
    Base,
    Teachers,
    Answers,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    must_exist(&args.run, "run", "make one with `heirloom quickstart` or `heirloom run`")?;
    if !(args.percent > 0.0 && args.percent <= 100.0) {
        let (expected, found) = ("above 0 and at most 100".into(), args.percent.to_string());
        return Err(Error::Setting { key: "--percent", expected, found }.into());
    }
    let request = Request {
        run: args.run.clone(),
        behavior: args.behavior.clone(),
        by: args.by.clone(),
        direction: match args.direction {
            Direction::Base => Along::Base,
            Direction::Teachers => Along::Teachers,
            Direction::Answers => Along::Answers,
        },
        like: args.like.clone(),
        percent: args.percent,
        causal: args.causal.clone(),
        seed: args.seed,
        out: Some(args.out.clone()),
        device: args.device,
    };
    let selected = select(&request)
        .with_context(|| format!("could not rank the prompts of `{}`", args.run.display()))?;
    let written = selected.write(&args.out)?;
    if args.json {
        let mut value = serde_json::to_value(&selected)?;
        value["files"] = serde_json::to_value(&written)?;
        return print_json(&value);
    }
    print(selected.summary(args.top))?;
    let lines = written.iter().map(|path| format!("{}\n", path.display()));
    let file = std::path::absolute(&args.out)?;
    let (file, share) = (file.display(), args.percent / 100.0);
    print(format_args!(
        "\n{}in an arm: on = {{ scores = {{ file = \"{file}\", top = {share:?} }} }}\n",
        lines.collect::<String>()
    ))
}
