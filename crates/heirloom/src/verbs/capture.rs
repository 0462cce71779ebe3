//! `heirloom capture`: activations of a model on rows of data.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use heirloom::prelude::*;
use heirloom::series::{SeriesStores, find};
use heirloom_model::{Clock, Walk};
use heirloom_record::NewFolder;

use crate::terminal::{Bars, print, tell};
use crate::verbs::{AdapterArgs, fetch, model_at, open_model, print_json, read_data};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A Hugging Face folder, a GGUF file or `hf:ORG/NAME@REVISION`; with `--checkpoints`, what adapters are put on
    #[arg(long, required_unless_present = "checkpoints")]
    model: Option<PathBuf>,
    #[command(flatten)]
    adapter: AdapterArgs,
    /// A series in place of one model: a folder or glob of `checkpoint-N`, a TOML list, or `hf:ORG/NAME@step1000,step2000`
    #[arg(long, value_name = "DIR|GLOB|FILE", conflicts_with = "adapter")]
    checkpoints: Option<String>,
    /// Accept a series in which steps are missing
    #[arg(long, requires = "checkpoints")]
    allow_gaps: bool,
    /// Date that chat templates see; recorded with what is written
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2026-01-15")]
    clock: Clock,
    /// Rows as JSONL: `messages`, `text` or `input_ids`, with optional id, group, pair and label; or a folder of rollouts; or a behavior's, for its contrast pairs
    #[arg(long)]
    data: PathBuf,
    /// Glob of hook points, as in `blocks.*.hook_resid_post`; may be repeated
    #[arg(long, required = true)]
    hooks: Vec<String>,
    /// last-prompt, response-mean, span:NAME or all
    #[arg(long)]
    readout: Readout,
    /// Folder of the store; of a series, a folder with a store `step-N` for each checkpoint
    #[arg(long)]
    out: PathBuf,
    /// f32, bf16 or f16
    #[arg(long, default_value = "f32")]
    dtype: Dtype,
    /// cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Most tokens in a batch
    #[arg(long, default_value_t = 4096)]
    batch_tokens: usize,
    /// Print the store's header as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let rows = read_data(&args.data)?;
    let options = LoadOptions { dtype: args.dtype, device: args.device, clock: args.clock };
    match (&args.checkpoints, &args.model) {
        (Some(place), _) => series(args, place, &rows, options),
        (None, Some(model)) => one(args, model, &rows, &options),
        (None, None) => unreachable!("one of them is required"),
    }
}

fn one(args: &Args, model: &Path, rows: &[DataRow], options: &LoadOptions) -> anyhow::Result<()> {
    let adapter = args.adapter.find()?;
    let source = open_model(model)?;
    let plan = CapturePlan::new(source.config(), &args.hooks, args.readout.clone())?;
    let folder = NewFolder::create(&args.out)?;
    let mut student = source.load(options).context("could not load the model")?;
    args.adapter.put_on(adapter.as_deref(), &mut student)?;
    let about = args.data.display().to_string();
    let captured = heirloom::activations::capture(
        &student,
        rows,
        &plan,
        (args.batch_tokens, true),
        &mut Bars::default(),
        &about,
    )?;
    captured.write_into(folder.work_path())?;
    folder.commit()?;
    shrunk(args, captured.header.batch_plan.max_tokens);
    if args.json {
        return print_json(
            &serde_json::json!({ "out": args.out, "rows": captured.rows.len(), "header": captured.header }),
        );
    }
    let (rows, hooks) = (captured.rows.len(), captured.tensors.len());
    // The capture fails when a point fires another number of times.
    let batches = captured.header.batch_plan.batches;
    print(format_args!(
        "{rows} rows at {hooks} hook points, each fired {batches} times, once a batch, in {}\n",
        args.out.display()
    ))
}

/// A store for each checkpoint; those that are there already stay.
fn series(args: &Args, place: &str, rows: &[DataRow], options: LoadOptions) -> anyhow::Result<()> {
    let base = args.model.as_deref().map(model_at).transpose()?;
    let found = find(place, base.as_deref(), args.allow_gaps, &mut fetch)?;
    let steps: Vec<usize> = found.iter().map(|at| at.step).collect();
    let mut walk = Walk::new(found, options, args.adapter.allow_empty_adapter)?;
    let mut stores = SeriesStores::new(&args.out, &args.hooks, &args.readout, args.batch_tokens);
    let mut lines = vec![];
    while let Some((at, student)) = walk.advance().context("could not load a checkpoint")? {
        let context = || format!("could not capture `{}`", at.path().display());
        let header = stores.capture(at.step, student, rows, &mut Bars::default()).with_context(context)?;
        lines.push(serde_json::json!({ "step": at.step, "out": stores.place(at.step), "header": header }));
    }
    if let Some(plan) = stores.max_tokens() {
        shrunk(args, plan);
    }
    if args.json {
        return print_json(&lines);
    }
    let (first, last) = (steps.first().unwrap_or(&0), steps.last().unwrap_or(&0));
    print(format_args!(
        "{} rows at each of {} checkpoints, steps {first} to {last}, in {}/step-N\n",
        rows.len(),
        steps.len(),
        args.out.display()
    ))
}

/// Other batches than those asked for are told.
fn shrunk(args: &Args, max_tokens: usize) {
    if max_tokens < args.batch_tokens {
        tell(format_args!(
            "{} had no memory for batches of {} tokens: captured in batches of {max_tokens}",
            args.device, args.batch_tokens
        ));
    }
}
