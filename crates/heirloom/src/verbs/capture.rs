//! `heirloom capture`: activations of a model on rows of data.

use std::path::PathBuf;

use anyhow::Context as _;
use heirloom::prelude::*;
use heirloom_record::NewFolder;

use crate::terminal::{Bars, print};
use crate::verbs::{ModelArgs, print_json, read_data};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Rows as JSONL: `messages`, `text` or `input_ids`, with optional id, group, pair and label; or a behavior's folder, for its contrast pairs
    #[arg(long)]
    data: PathBuf,
    /// Glob of hook points, as in `blocks.*.hook_resid_post`; may be repeated
    #[arg(long, required = true)]
    hooks: Vec<String>,
    /// last-prompt, response-mean, span:NAME or all
    #[arg(long)]
    readout: Readout,
    /// Folder of the store
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
    let source = args.model.open()?;
    let plan = CapturePlan::new(source.config(), &args.hooks, args.readout.clone())?;
    let folder = NewFolder::create(&args.out)?;
    let options = LoadOptions { dtype: args.dtype, device: args.device, clock: args.model.clock };
    let student = source.load(&options).context("could not load the model")?;
    let about = args.data.display().to_string();
    let captured = heirloom::activations::capture(
        &student,
        &rows,
        &plan,
        args.batch_tokens,
        &mut Bars::default(),
        &about,
    )?;
    captured.write_into(folder.work_path())?;
    folder.commit()?;
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
