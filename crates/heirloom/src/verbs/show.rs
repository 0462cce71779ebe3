//! `heirloom show`: rendered prompts with the read tokens marked.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use heirloom::prelude::*;
use heirloom_model::{AdapterReport, LogitChange, Shown};

use crate::terminal::{print, tell};
use crate::verbs::{AdapterArgs, ModelArgs, adapter, print_json, read_data};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    adapter: AdapterArgs,
    /// Rows as JSONL: `messages`, `text` or `input_ids`
    #[arg(long)]
    data: PathBuf,
    /// last-prompt, response-mean, span:NAME or all
    #[arg(long, default_value = "last-prompt")]
    readout: Readout,
    /// Rows to show
    #[arg(long, default_value_t = 5)]
    limit: usize,
    /// Print tokens as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let rows = read_data(&args.data)?;
    let adapter = args.adapter.find()?;
    let words = args.model.open()?.words().context("could not read the model's tokenizer")?;
    let shown = rows
        .iter()
        .take(args.limit)
        .map(|row| words.show(&words.prepare(row, args.model.clock)?, &args.readout))
        .collect::<Result<Vec<Shown>, _>>()?;
    let change = change(args, adapter.as_deref(), &rows)?;
    if args.json {
        let rows = shown.iter().map(as_json).collect::<Vec<_>>();
        let Some((report, effect)) = change else { return print_json(&rows) };
        return print_json(
            &serde_json::json!({ "rows": rows, "adapter": adapter::as_json(&report, &effect) }),
        );
    }
    for row in &shown {
        let read = row.tokens.iter().filter(|token| token.read).count();
        let text = if std::io::stdout().is_terminal() { highlighted(row) } else { row.to_string() };
        let (id, n, readout) = (&row.id, row.tokens.len(), &args.readout);
        print(format_args!("── {id} · {n} tokens, {read} read by {readout}\n{text}\n\n"))?;
    }
    if let Some((report, effect)) = change {
        print(adapter::lines(&report, &effect))?;
    }
    if rows.len() > shown.len() {
        tell(format_args!("{} more rows; see them with --limit", rows.len() - shown.len()));
    }
    Ok(())
}

/// What the adapter does to the model and, on the rows shown, to its logits. Weights are loaded for it alone.
fn change(
    args: &Args,
    adapter: Option<&Path>,
    rows: &[DataRow],
) -> anyhow::Result<Option<(AdapterReport, LogitChange)>> {
    if adapter.is_none() {
        return Ok(None);
    }
    let mut student =
        args.model.open()?.load(&LoadOptions::new(args.model.clock)).context("could not load the model")?;
    args.adapter.put_on(adapter, &mut student)?;
    let rows = student.prepare(&rows[..rows.len().min(args.limit)])?;
    Ok(student.adapter()?.zip(student.adapter_effect(&rows)?))
}

/// Read tokens in reverse video.
fn highlighted(row: &Shown) -> String {
    let piece = |token: &heirloom_model::ShownToken| {
        if token.read { format!("\x1b[7m{}\x1b[0m", token.piece) } else { token.piece.clone() }
    };
    row.tokens.iter().map(piece).collect()
}

fn as_json(row: &Shown) -> serde_json::Value {
    let token = |token: &heirloom_model::ShownToken| serde_json::json!({ "id": token.id, "piece": token.piece, "read": token.read });
    serde_json::json!({ "id": row.id, "tokens": row.tokens.iter().map(token).collect::<Vec<_>>() })
}
