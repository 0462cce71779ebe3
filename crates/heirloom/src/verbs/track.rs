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
    if let Some(first) = args.base.as_ref().and(runs.iter().flatten().find(|(step, _)| *step == 0)) {
        return Err(heirloom::Error::TwoBases { path: first.1.clone() }.into());
    }
    let folder = args.out.as_deref().map(NewFolder::create).transpose()?;
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
    let total = runs.iter().map(Vec::len).sum::<usize>() + usize::from(args.base.is_some());
    bars.begin("track", &directions.header.behavior, total as u64, "checkpoints");
    let mut done = 0;
    let mut look = |step: usize, path: &Path, first: Option<&Looked>| -> anyhow::Result<Looked> {
        let student =
            Student::load(path, &load).with_context(|| format!("could not load `{}`", path.display()))?;
        let seen = tracking.look(step, &student, first);
        done += 1;
        bars.advance(done);
        seen.with_context(|| format!("could not look into `{}`", path.display()))
    };
    let base = args.base.as_ref().map(|path| look(0, path, None)).transpose()?;
    let mut looked: Vec<Vec<Looked>> = vec![];
    for run in &runs {
        let mut seen: Vec<Looked> = base.iter().cloned().collect();
        for (step, path) in run {
            let first = looked.first().and_then(|run| run.first()).or(seen.first());
            let one = look(*step, path, first)?;
            seen.push(one);
        }
        looked.push(seen);
    }
    bars.end();
    let tracked = tracking.tracks(&looked)?;
    if let Some(folder) = folder {
        Table(tracked.metrics.clone()).write(&folder.work_path().join("table"))?;
        folder.commit()?;
    }
    if args.json {
        return print_json(&tracked.metrics);
    }
    print(tracked.summary)
}
