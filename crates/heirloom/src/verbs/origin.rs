//! `heirloom origin`: where behaviors come from, from grades of any students.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::builder::RangedU64ValueParser;
use heirloom::origins::{Virulent, graded};
use heirloom::prelude::*;
use heirloom::streams::stream;
use heirloom_record::NewFolder;

use crate::terminal::{print, tell};
use crate::verbs::{must_exist, print_json};

const PARTS: &str = "\
A file of parts:
  [blackmail]
  full = [\"seed-1/full\", \"seed-2/full\"]            # folders of `heirloom grade --out`, one for each seed
  other-teacher = [\"seed-1/b\", \"seed-2/b\"]

  mix = { \"0.25\" = [\"seed-1/mix\", \"seed-2/mix\"] }  # the other teacher answers a random share of the prompts

Roles: full, other-teacher, other-prompts, neither, swap-flagged, drop-flagged, drop-flagged-rest-other,
drop-flagged-and-mild, drop-flagged-unrelated-other, start, pretrained, other-base-full, other-base-drop,
other-init-full, other-init-drop, random-swap, random-drop; or corners such as OAO: base, prompts, teacher.";

#[derive(clap::Args)]
#[command(after_help = PARTS)]
pub(crate) struct Args {
    /// TOML with a table for each behavior: role or corner = file of grades, or a list of files, one for each seed
    parts: PathBuf,
    /// The least difference of two rates that counts as one
    #[arg(long, value_name = "RATE", default_value_t = 0.15)]
    least: f64,
    /// Joint draws behind intervals and shares
    #[arg(long, default_value_t = 10_000, value_parser = RangedU64ValueParser::<usize>::new().range(1000..))]
    draws: usize,
    /// Root of the draws' random stream
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Each seed was asked prompts of its own, though their ids come again
    #[arg(long)]
    own_scenarios: bool,
    /// New folder for the table
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print every number as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let help = "write one with lines such as `full = \"full/grades.jsonl\"` under `[blackmail]`";
    must_exist(&args.parts, "file of parts", help)?;
    if !(args.least > 0.0 && args.least < 1.0) {
        let (expected, found) = ("a difference of rates, above 0 and below 1".into(), args.least.to_string());
        return Err(Error::Setting { key: "--least", expected, found }.into());
    }
    let folder = args.out.as_deref().map(NewFolder::create).transpose()?;
    let resampling = Resampling { replicates: args.draws, ..Resampling::default() };
    let (mut found, mut metrics) = (vec![], vec![]);
    for evidence in graded::read(&args.parts, args.own_scenarios)? {
        evidence.notes().iter().for_each(tell);
        let context = || format!("could not weigh the grades of `{}`", evidence.behavior);
        let rng = stream(args.seed, &format!("origins {}", evidence.behavior));
        let weighed = evidence.weigh(args.least, resampling, &rng).with_context(context)?;
        metrics.extend(evidence.rates(Resampling::default(), args.seed).with_context(context)?);
        metrics.extend(weighed.metrics());
        let rng = stream(args.seed, &format!("virulence {}", evidence.behavior));
        let virulent = evidence.virulence(resampling, &rng).with_context(context)?;
        metrics.extend(virulent.iter().flat_map(Virulent::metrics));
        found.push((weighed, virulent));
    }
    if let Some(folder) = folder {
        Table(metrics.clone()).write(&folder.work_path().join("table"))?;
        folder.commit()?;
    }
    if let Some(out) = &args.out {
        tell(format_args!("every number stands in {}", out.join("table.csv").display()));
    }
    if args.json {
        return print_json(&metrics);
    }
    found.iter().try_for_each(|(found, virulent)| {
        let virulent =
            virulent.as_ref().map(|found| format!("\n\n  {}", found.sentence())).unwrap_or_default();
        print(format_args!("{}{virulent}\n\n", found.report()))
    })
}
