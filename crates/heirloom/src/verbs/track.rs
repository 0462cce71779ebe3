//! `heirloom track`: a fixed direction followed across the checkpoints of trainings that were done here or elsewhere.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::builder::RangedU64ValueParser;
use heirloom::Progress as _;
use heirloom::prelude::*;
use heirloom::tracking::{Looked, Tracking};
use heirloom_model::{Series, series};
use heirloom_record::NewFolder;

use crate::terminal::{Bars, print};
use crate::verbs::{must_exist, print_json, read_data};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A file that `heirloom fit` wrote
    #[arg(long)]
    direction: PathBuf,
    /// A folder with `checkpoint-N` folders in it, or a glob; once for each seed
    #[arg(long, required = true, value_name = "DIR|GLOB")]
    checkpoints: Vec<String>,
    /// The model that the trainings began with, as the first checkpoint of each; else that is the lowest step
    #[arg(long, value_name = "MODEL")]
    base: Option<PathBuf>,
    /// Rows that are projected, as JSONL
    #[arg(long)]
    data: PathBuf,
    /// Labelled rows that define the units: those the direction was fit on, or like them; `--data` when absent
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// Date that chat templates see
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2026-01-15")]
    clock: heirloom_model::Clock,
    /// cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Accept a series in which steps are missing
    #[arg(long)]
    allow_gaps: bool,
    /// Random directions, and as many random differences of activations, beside every checkpoint
    #[arg(long, default_value_t = 64, value_parser = RangedU64ValueParser::<usize>::new().range(2..))]
    null_draws: usize,
    /// Replicates of the bootstrap, at least 100
    #[arg(long, default_value_t = 2000, value_parser = RangedU64ValueParser::<usize>::new().range(100..))]
    bootstrap: usize,
    /// Root of the random streams
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// New folder for the table
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print every number as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    must_exist(&args.direction, "file of directions", "write one with `heirloom fit`")?;
    let directions = Directions::read(&args.direction)
        .with_context(|| format!("could not read the directions `{}`", args.direction.display()))?;
    let rows = read_data(&args.data)?;
    let reference = args.reference.as_deref().map_or_else(|| Ok(rows.clone()), read_data)?;
    // Every series is looked at before the first weight is read.
    let runs: Vec<Vec<(usize, PathBuf)>> = args
        .checkpoints
        .iter()
        .map(|place| {
            let place = if Path::new(place).is_dir() {
                Series::Folder(place.into())
            } else {
                Series::Glob(place.clone())
            };
            Ok(series(&place, args.allow_gaps)?)
        })
        .collect::<anyhow::Result<_>>()?;
    let load = LoadOptions { device: args.device, ..LoadOptions::new(args.clock) };
    let tracking = Tracking {
        directions: &directions,
        rows: &rows,
        reference: &reference,
        null_draws: args.null_draws,
        resampling: Resampling { replicates: args.bootstrap, ..Resampling::default() },
        seed: args.seed,
    };
    let mut bars = Bars::default();
    let total = runs.iter().map(|run| run.len() + usize::from(args.base.is_some())).sum::<usize>();
    bars.begin("track", &directions.header.behavior, total as u64, "checkpoints");
    let mut looked: Vec<Vec<Looked>> = vec![];
    let mut done = 0;
    for run in &runs {
        let base = args.base.iter().map(|path| (0, path));
        let checkpoints = base.chain(run.iter().map(|(step, path)| (*step, path)));
        let mut seen: Vec<Looked> = vec![];
        for (step, path) in checkpoints {
            let student =
                Student::load(path, &load).with_context(|| format!("could not load `{}`", path.display()))?;
            let first = looked.first().and_then(|run| run.first()).or(seen.first());
            let one = tracking.look(step, &student, first);
            seen.push(one.with_context(|| format!("could not look into `{}`", path.display()))?);
            done += 1;
            bars.advance(done);
        }
        looked.push(seen);
    }
    bars.end();
    let tracked = tracking.tracks(&looked)?;
    if let Some(out) = &args.out {
        let folder = NewFolder::create(out)?;
        Table(tracked.metrics.clone()).write(&folder.work_path().join("table"))?;
        folder.commit()?;
    }
    if args.json {
        return print_json(&tracked.metrics);
    }
    print(tracked.summary)
}
