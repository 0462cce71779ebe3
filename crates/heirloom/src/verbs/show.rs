//! `heirloom show`: rendered prompts with the read tokens marked.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::Context as _;
use heirloom::prelude::*;
use heirloom_model::Shown;

use crate::terminal::{print, tell};
use crate::verbs::{ModelArgs, print_json, read_data};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
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
    let words = args.model.open()?.words().context("could not read the model's tokenizer")?;
    let shown = rows
        .iter()
        .take(args.limit)
        .map(|row| words.show(&words.prepare(row, args.model.clock)?, &args.readout))
        .collect::<Result<Vec<Shown>, _>>()?;
    if args.json {
        return print_json(&shown.iter().map(as_json).collect::<Vec<_>>());
    }
    for row in &shown {
        let read = row.tokens.iter().filter(|token| token.read).count();
        let text = if std::io::stdout().is_terminal() { highlighted(row) } else { row.to_string() };
        let (id, n, readout) = (&row.id, row.tokens.len(), &args.readout);
        print(format_args!("── {id} · {n} tokens, {read} read by {readout}\n{text}\n\n"))?;
    }
    if rows.len() > shown.len() {
        tell(format_args!("{} more rows; see them with --limit", rows.len() - shown.len()));
    }
    Ok(())
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
