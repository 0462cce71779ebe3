//! `heirloom track`: a fixed direction followed across the checkpoints of trainings that were done here or elsewhere.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::builder::RangedU64ValueParser;
use heirloom::Progress as _;
use heirloom::prelude::*;
use heirloom::series::find;
use heirloom::tracking::{Looked, TrackedRows, Tracking, check_answers, check_reference};
use heirloom_model::{CheckpointAt, Walk};
use heirloom_record::NewFolder;

use crate::terminal::{Bars, print};
use crate::verbs::{fetch, model_at, print_json, read_data, read_directions};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A file that `heirloom fit` wrote
    #[arg(long)]
    direction: PathBuf,
    /// A folder with `checkpoint-N` folders in it, a glob, a TOML list, or `hf:ORG/NAME@step1000,step2000`; once for each
    /// seed
    #[arg(long, required = true, value_name = "DIR|GLOB|FILE")]
    checkpoints: Vec<String>,
    /// The model that the trainings began with, as the first checkpoint of each; else that is the lowest step. Adapters
    /// are put on it
    #[arg(long, value_name = "MODEL")]
    base: Option<PathBuf>,
    /// Rows that are projected, as JSONL
    #[arg(long)]
    data: PathBuf,
    /// Labelled rows that define the units: those the direction was fit on, or like them; `--data` when absent
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// Name of the arm whose checkpoints these are, for the table
    #[arg(long, value_name = "NAME")]
    arm: Option<String>,
    /// Date that chat templates see
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2026-01-15")]
    clock: heirloom_model::Clock,
    /// cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Most tokens in a batch
    #[arg(long, default_value_t = 2048)]
    batch_tokens: usize,
    /// Accept an adapter that changes nothing, as that of step 0
    #[arg(long)]
    allow_empty_adapter: bool,
    /// Accept a series in which steps are missing
    #[arg(long)]
    allow_gaps: bool,
    /// Random directions, and as many random differences of activations and shuffles of labels, beside every checkpoint
    #[arg(long, default_value_t = 64, value_parser = RangedU64ValueParser::<usize>::new().range(2..))]
    null_draws: usize,
    /// Replicates of the bootstrap, at least 100
    #[arg(long, default_value_t = 2000, value_parser = RangedU64ValueParser::<usize>::new().range(100..))]
    bootstrap: usize,
    /// Root of the random streams
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// New folder for the table and its figures
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print every number as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let directions = read_directions(&args.direction)?;
    let rows = read_data(&args.data)?;
    let reference = args.reference.as_deref().map_or_else(|| Ok(rows.clone()), read_data)?;
    let named = args.reference.as_deref().unwrap_or(&args.data);
    check_answers(&directions.header.readout, &[(&args.data, &rows), (named, &reference)])?;
    check_reference(named, &reference)?;
    // Every series is looked at before the first weight is read.
    let base = args.base.as_deref().map(model_at).transpose()?;
    let runs = args.checkpoints.iter().map(|place| find(place, base.as_deref(), args.allow_gaps, &mut fetch));
    let runs: Vec<Vec<CheckpointAt>> = runs.collect::<anyhow::Result<_>>()?;
    if let Some(first) = base.as_ref().and(runs.iter().flatten().find(|at| at.step == 0)) {
        return Err(heirloom::Error::TwoBases { path: first.path().to_owned() }.into());
    }
    let folder = args.out.as_deref().map(NewFolder::create).transpose()?;
    let tracking = Tracking {
        directions: &directions,
        max_tokens: args.batch_tokens,
        null_draws: args.null_draws,
        resampling: Resampling { replicates: args.bootstrap, ..Resampling::default() },
        seed: args.seed,
    };
    let looked = look(args, &tracking, base, runs, [&rows, &reference])?;
    let tracked = tracking.tracks(&looked)?;
    let arm = args.arm.as_deref();
    if let Some(folder) = folder {
        tracked.write(&directions.header, arm, folder.work_path())?;
        folder.commit()?;
    }
    if args.json {
        return print_json(&tracked.of_arm(arm));
    }
    print(&tracked.summary)?;
    match &args.out {
        Some(out) => print(format_args!(
            "\n{}\n  table.csv, table.parquet   every number with n and interval, at every hook point\n  \
             emergence.svg, .pdf, .png  how far the projection moves beside controls, and what refits say\n{}",
            out.display(),
            if out.join("shift-by-layer.svg").is_file() {
                "  shift-by-layer.svg, …      the shift at every hook point\n"
            } else {
                ""
            }
        )),
        None => Ok(()),
    }
}

/// What is seen at every checkpoint of every run. The base is looked into once, whatever the number of runs.
fn look(
    args: &Args,
    tracking: &Tracking<'_>,
    base: Option<PathBuf>,
    mut runs: Vec<Vec<CheckpointAt>>,
    [rows, reference]: [&[DataRow]; 2],
) -> anyhow::Result<Vec<Vec<Looked>>> {
    let based = base.is_some();
    if let (Some(model), Some(run)) = (base, runs.first_mut()) {
        run.insert(0, CheckpointAt { step: 0, model, adapter: None });
    }
    let load = LoadOptions { device: args.device, ..LoadOptions::new(args.clock) };
    let mut bars = Bars::default();
    let total = runs.iter().map(Vec::len).sum::<usize>();
    bars.begin("track", &tracking.directions.header.behavior, total as u64, "checkpoints");
    let (mut done, mut prepared) = (0, None);
    let mut looked: Vec<Vec<Looked>> = vec![];
    for run in runs {
        let again = looked.first().and_then(|run| run.first()).filter(|_| based);
        let mut seen: Vec<Looked> = again.cloned().into_iter().collect();
        let mut walk = Walk::new(run, load, args.allow_empty_adapter)?;
        while let Some((at, student)) = walk.advance().context("could not load a checkpoint")? {
            let context = || format!("could not look into `{}`", at.path().display());
            if prepared.is_none() {
                prepared = Some(TrackedRows::new(student, rows, reference).with_context(context)?);
            }
            let Some(rows) = &prepared else { unreachable!("made above") };
            let first = looked.first().and_then(|run| run.first()).or(seen.first());
            seen.push(tracking.look(at.step, student, rows, first).with_context(context)?);
            done += 1;
            bars.advance(done);
        }
        looked.push(seen);
    }
    bars.end();
    Ok(looked)
}
