//! `heirloom inspect`: what is in a model, or in something that heirloom wrote.

use std::path::PathBuf;

use heirloom::prelude::*;

use crate::verbs::print_json;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A model's folder or GGUF file, a store of activations, or a file of directions
    what: PathBuf,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let value = if args.what.join("rows.jsonl").is_file() {
        let store = Activations::read(&args.what)?;
        let shapes: serde_json::Map<_, _> =
            store.tensors.iter().map(|(hook, x)| (hook.to_string(), serde_json::json!(x.shape()))).collect();
        let labelled = store.rows.iter().filter(|row| row.label.is_some()).count();
        serde_json::json!({
            "kind": "activations",
            "header": store.header,
            "rows": store.rows.len(),
            "labelled": labelled,
            "groups": heirloom::activations::groups(&store),
            "hooks": shapes,
        })
    } else if args.what.extension().is_some_and(|extension| extension == "safetensors") {
        let directions = Directions::read(&args.what)?;
        let widths: serde_json::Map<_, _> =
            directions.by_hook.iter().map(|(hook, d)| (hook.to_string(), d.vector.len().into())).collect();
        serde_json::json!({ "kind": "directions", "header": directions.header, "hooks": widths })
    } else {
        serde_json::to_value(Source::open(&args.what)?.describe())?
    };
    if args.json {
        return print_json(&value);
    }
    print!("{}", lines(&value, 0));
    Ok(())
}

/// `key: value` lines; long lists of hook points are counted, not listed.
fn lines(value: &serde_json::Value, depth: usize) -> String {
    let pad = "  ".repeat(depth);
    let Some(object) = value.as_object() else { return format!("{pad}{value}\n") };
    let line = |(key, value): (&String, &serde_json::Value)| match value {
        serde_json::Value::Object(inner) if !inner.is_empty() => {
            format!("{pad}{key}:\n{}", lines(value, depth + 1))
        }
        serde_json::Value::Array(list) if list.len() > 24 => {
            let ends = (list[0].as_str().unwrap_or("…"), list[list.len() - 1].as_str().unwrap_or("…"));
            format!("{pad}{key}: {} from {} to {} (all with --json)\n", list.len(), ends.0, ends.1)
        }
        serde_json::Value::String(text) => format!("{pad}{key}: {text}\n"),
        other => format!("{pad}{key}: {other}\n"),
    };
    object.iter().map(line).collect()
}
