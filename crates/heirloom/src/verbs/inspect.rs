//! `heirloom inspect`: what is in a model, or in something that heirloom wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use heirloom::prelude::*;
use heirloom_model::PeftAdapter;
use heirloom_record::Histogram;
use serde_json::{Value, json};

use crate::terminal::print;
use crate::verbs::{at, print_json};

/// What `inspect` takes, for people who gave something else.
const KNOWN: &str = "a Hugging Face folder, a GGUF file, a PEFT adapter, a folder that `heirloom capture` wrote, \
    a file that `heirloom fit` wrote, the folder of a run, and its tables (`table.parquet`)";
/// Longest header of a safetensors file, by its format.
const MOST_HEADER: u64 = 100_000_000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A model's or an adapter's folder, GGUF file or name on the hub, a store of activations, a file of directions, a run or a table
    what: PathBuf,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let what =
        at(&args.what, "model or artifact", "inspect takes what a model or another verb of heirloom left")?;
    let value = described(&what)?;
    if args.json {
        return print_json(&value);
    }
    print(lines(&value, 0))
}

/// Names do not decide what a thing is; its first bytes do, or the files in it.
fn described(what: &Path) -> anyhow::Result<Value> {
    let unknown =
        |found| anyhow::Error::from(heirloom::Error::Unknown { path: what.into(), found, known: KNOWN });
    if what.is_dir() {
        return match what {
            _ if what.join("run.json").is_file() => run_folder(what),
            _ if what.join("rows.jsonl").is_file() && holds(what, "safetensors") => activations(what),
            // PEFT's checkpoints often hold the configuration of their base, too.
            _ if PeftAdapter::is_in(what) => adapter(what),
            _ if what.join("config.json").is_file() || holds(what, "gguf") => model(what),
            _ => Err(unknown("a folder with neither a model nor an artifact in it")),
        };
    }
    match &start(what)? {
        b"GGUF" => model(what),
        b"PAR1" => table(what),
        _ => match stamp(what)?.as_deref() {
            Some("directions") => directions(what),
            // A shard means little without its rows.
            Some("activations") => activations(what.parent().unwrap_or(Path::new("."))),
            Some(_) => Err(unknown("a safetensors file that heirloom did not write")),
            None => Err(unknown("neither a model nor an artifact")),
        },
    }
}

fn model(path: &Path) -> anyhow::Result<Value> {
    let source = Source::open(path)?;
    let mut value = of_kind("model", &source.describe())?;
    let not_read = source.not_read()?;
    if !not_read.is_empty() {
        value["tensors_not_read"] = json!(not_read);
    }
    Ok(value)
}

/// An adapter; and the model whose weights are beside it, which is what is loaded from there.
fn adapter(path: &Path) -> anyhow::Result<Value> {
    let mut value = of_kind("adapter", &PeftAdapter::describe(path)?)?;
    if !PeftAdapter::is_at(path) {
        value["beside_it"] = model(path)?;
    }
    Ok(value)
}

fn of_kind(kind: &str, described: &impl serde::Serialize) -> anyhow::Result<Value> {
    let mut value = json!({ "kind": kind });
    let described = serde_json::to_value(described)?;
    value.as_object_mut().expect("made so above").extend(described.as_object().cloned().unwrap_or_default());
    Ok(value)
}

fn activations(path: &Path) -> anyhow::Result<Value> {
    let store = Activations::describe(path)?;
    let groups: BTreeSet<&String> = store.rows.iter().filter_map(|row| row.group.as_ref()).collect();
    Ok(json!({
        "kind": "activations",
        "header": store.header,
        "rows": store.rows.len(),
        "labelled": store.rows.iter().filter(|row| row.label.is_some()).count(),
        "groups": groups,
        "hooks": store.shapes,
    }))
}

fn directions(path: &Path) -> anyhow::Result<Value> {
    let directions = Directions::read(path)?;
    let widths: BTreeMap<_, _> = directions.by_hook.iter().map(|(hook, d)| (hook, d.vector.len())).collect();
    Ok(json!({ "kind": "directions", "header": directions.header, "hooks": widths }))
}

/// What a run says of itself, and the artifacts of every stage.
fn run_folder(path: &Path) -> anyhow::Result<Value> {
    let file = path.join("run.json");
    let text =
        std::fs::read_to_string(&file).with_context(|| format!("could not read `{}`", file.display()))?;
    let mut value: Value =
        serde_json::from_str(&text).with_context(|| format!("could not understand `{}`", file.display()))?;
    for stage in Stage::ALL {
        let mut names: Vec<String> = entries(&path.join(stage.name()))
            .filter_map(|entry| entry.file_name()?.to_str().map(ToOwned::to_owned))
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        value[stage.name()] = names.into();
    }
    let numbers = path.join("table.parquet");
    if numbers.is_file() {
        value["table"] = table(&numbers)?;
    }
    Ok(value)
}

/// A table of numbers or of histograms: its size, and what stands in the columns that name things.
fn table(path: &Path) -> anyhow::Result<Value> {
    let numbers = match Table::<Metric>::read(path) {
        Ok(table) => serde_json::to_value(table.0)?,
        Err(error) => match Table::<Histogram>::read(path) {
            Ok(table) => serde_json::to_value(table.0)?,
            Err(_) => return Err(error.into()),
        },
    };
    let rows = numbers.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut value = json!({ "kind": "table", "rows": rows.len() });
    for column in ["behavior", "arm", "method", "metric", "rows", "hook"] {
        let cells: BTreeSet<&str> = rows.iter().filter_map(|row| row[column].as_str()).collect();
        if !cells.is_empty() {
            value["columns"][column] = cells.into_iter().collect();
        }
    }
    Ok(value)
}

/// The kind that heirloom stamped on a safetensors file, empty where another program wrote it; none where it is
/// no safetensors file.
fn stamp(path: &Path) -> anyhow::Result<Option<String>> {
    let unreadable = || format!("could not read `{}`", path.display());
    let mut file = std::fs::File::open(path).with_context(unreadable)?;
    let (mut length, mut json) = ([0; 8], vec![]);
    if file.read_exact(&mut length).is_err() || u64::from_le_bytes(length) > MOST_HEADER {
        return Ok(None);
    }
    file.take(u64::from_le_bytes(length)).read_to_end(&mut json).with_context(unreadable)?;
    let Ok(header) = serde_json::from_slice::<Value>(&json) else { return Ok(None) };
    let stamp = header["__metadata__"]["heirloom"].as_str().unwrap_or_default();
    let stamp: Value = serde_json::from_str(stamp).unwrap_or_default();
    Ok(Some(stamp["kind"].as_str().unwrap_or_default().to_owned()))
}

/// The first four bytes; zeros where there are fewer.
fn start(path: &Path) -> anyhow::Result<[u8; 4]> {
    let mut bytes = [0; 4];
    let mut file =
        std::fs::File::open(path).with_context(|| format!("could not read `{}`", path.display()))?;
    // A shorter file is nothing that starts with four bytes of ours.
    let _ = file.read_exact(&mut bytes);
    Ok(bytes)
}

fn holds(folder: &Path, extension: &str) -> bool {
    entries(folder).any(|entry| entry.extension().is_some_and(|found| found == extension))
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

/// `key: value` lines; long lists of hook points are counted, not listed.
fn lines(value: &Value, depth: usize) -> String {
    let pad = "  ".repeat(depth);
    let Some(object) = value.as_object() else { return format!("{pad}{value}\n") };
    let line = |(key, value): (&String, &Value)| match value {
        Value::Object(inner) if !inner.is_empty() => {
            format!("{pad}{key}:\n{}", lines(value, depth + 1))
        }
        Value::Array(list) if list.len() > 24 => {
            let ends = (list[0].as_str().unwrap_or("…"), list[list.len() - 1].as_str().unwrap_or("…"));
            format!("{pad}{key}: {} from {} to {} (all with --json)\n", list.len(), ends.0, ends.1)
        }
        Value::String(text) => format!("{pad}{key}: {text}\n"),
        other => format!("{pad}{key}: {other}\n"),
    };
    object.iter().map(line).collect()
}
