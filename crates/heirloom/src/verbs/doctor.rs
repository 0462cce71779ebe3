//! `heirloom doctor`: a model examined before its activations are believed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use heirloom::prelude::*;
use heirloom_model::TokenRow;
use heirloom_model::doctor::{self, Finding, Verdict};

use crate::terminal::print;
use crate::verbs::{AdapterArgs, ModelArgs, print_json, read_data};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    adapter: AdapterArgs,
    /// Rows to examine it on, as JSONL: two or more of different lengths; three short ones when absent
    #[arg(long)]
    data: Option<PathBuf>,
    /// Rows taken from `--data`
    #[arg(long, default_value_t = 8)]
    limit: usize,
    /// f32, bf16 or f16; others than f32 are held against f32, too
    #[arg(long, default_value = "f32")]
    dtype: Dtype,
    /// cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Print every check as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let adapter = args.adapter.find()?;
    let data = args.data.as_deref().map(read_data).transpose()?;
    let student = load(args, adapter.as_deref(), args.dtype)?;
    let reference =
        (args.dtype != Dtype::F32).then(|| load(args, adapter.as_deref(), Dtype::F32)).transpose()?;
    let rows = match data {
        Some(data) => student.prepare(&data[..data.len().min(args.limit)])?,
        None => doctor::rows(&student).context("could not make rows to examine the model on")?,
    };
    different(&rows)?;
    let found = doctor::examine(&student, &rows, reference.as_ref());
    let failed: Vec<&'static str> =
        found.iter().filter(|one| one.verdict == Verdict::Failed).map(|one| one.check).collect();
    if args.json {
        print_json(&serde_json::json!({
            "model": student.describe(),
            "dtype": args.dtype.to_string(),
            "device": args.device.to_string(),
            "rows": rows.len(),
            "failed": failed.len(),
            "checks": found,
        }))?;
    } else {
        print(page(args, &student, &rows, &found))?;
    }
    let of = found.len();
    if failed.is_empty() { Ok(()) } else { Err(heirloom::Error::Unwell { failed, of }.into()) }
}

fn load(args: &Args, adapter: Option<&Path>, dtype: Dtype) -> anyhow::Result<Student> {
    let options = LoadOptions { dtype, device: args.device, clock: args.model.clock };
    let mut student = args.model.open()?.load(&options).context("could not load the model")?;
    args.adapter.put_on(adapter, &mut student)?;
    Ok(student)
}

/// Padding and batches are only seen on rows of different lengths.
fn different(rows: &[TokenRow]) -> Result<()> {
    let lengths: std::collections::BTreeSet<usize> = rows.iter().map(|row| row.ids.len()).collect();
    if lengths.len() > 1 {
        return Ok(());
    }
    let found = match lengths.first() {
        Some(n) => format!("{} of {n} tokens", rows.len()),
        None => "none".into(),
    };
    Err(Error::Setting { key: "data", expected: "two or more rows of different lengths".into(), found })
}

/// One line a check, and under it what to do where it failed or what a note means.
fn page(args: &Args, student: &Student, rows: &[TokenRow], found: &[Finding]) -> String {
    let model = student.describe();
    let tokens: usize = rows.iter().map(|row| row.ids.len()).sum();
    let mut out = format!(
        "{}: {}, {} blocks × {}, {} on {}; {} rows, {tokens} tokens\n\n",
        model.name,
        model.family,
        model.n_layers,
        model.d_model,
        args.dtype,
        args.device,
        rows.len()
    );
    for one in found {
        let (word, advice) = match one.verdict {
            Verdict::Ok => ("ok", false),
            Verdict::Note => ("note", true),
            Verdict::Failed => ("FAILED", true),
            Verdict::Skipped => ("–", false),
        };
        let bound = one.bound.map_or_else(String::new, |bound| format!(" (bound {})", short(bound)));
        let _ = writeln!(out, "  {word:<6}  {:<19} {}{bound}", one.check, one.measured);
        if advice && !one.advice.is_empty() {
            let _ = writeln!(out, "{:30}→ {}", "", one.advice);
        }
    }
    out
}

fn short(bound: f64) -> String {
    if bound == 0.0 { "0".into() } else { format!("{bound:.0e}") }
}
