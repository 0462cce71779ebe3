//! `heirloom inspect`: what is in a model, or in something that heirloom wrote.

mod files;
mod folders;
mod tables;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use heirloom::prelude::*;
use heirloom_model::PeftAdapter;
use serde_json::{Value, json};

use crate::terminal::print;
use crate::verbs::{at, print_json};

/// What `inspect` takes, for people who gave something else.
const KNOWN: &str = "a Hugging Face folder, a GGUF file, a PEFT adapter, and what heirloom wrote: \
    runs, trainings, series of checkpoints, rollouts, grades, arms, stores of activations, files of directions, tables, \
    figures with their records";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A model's folder, GGUF file or name on the hub, or a folder or file that heirloom wrote: a run, a training, rollouts,
    /// grades, an arm, an adapter, activations, directions, a table, a figure
    what: PathBuf,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let what =
        at(&args.what, "model or artifact", "inspect takes what a model or another verb of heirloom left")?;
    let value = if what.is_dir() { folders::described(&what)? } else { files::described(&what)? };
    let Some(value) = value else {
        let found = if what.is_dir() {
            "a folder with neither a model nor an artifact in it"
        } else {
            "neither a model nor an artifact"
        };
        return Err(heirloom::Error::Unknown { path: what, found, known: KNOWN }.into());
    };
    if args.json {
        return print_json(&value);
    }
    print(lines(&value, 0))
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
    let position = path.join("trainer.json");
    if position.is_file() {
        value["step"] = document(&position)?["step"].clone();
    }
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

/// A JSON document, whatever is in it.
fn document(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read(path).with_context(|| format!("could not read `{}`", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("could not understand `{}`", path.display()))
}

fn holds(folder: &Path, extension: &str) -> bool {
    entries(folder).any(|entry| entry.extension().is_some_and(|found| found == extension))
}

/// What is in a folder, by name; hidden files are not shown.
fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b".")))
        .collect();
    found.sort();
    found.into_iter()
}

fn names(folder: &Path) -> Vec<String> {
    let name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    entries(folder).filter_map(name).collect()
}

/// `key: value` lines; hook points are listed with ranges of blocks, other long lists are counted.
fn lines(value: &Value, depth: usize) -> String {
    let pad = "  ".repeat(depth);
    let Some(object) = value.as_object() else { return format!("{pad}{value}\n") };
    let line = |(key, value): (&String, &Value)| match value {
        Value::Object(inner) if !inner.is_empty() => {
            format!("{pad}{key}:\n{}", lines(value, depth + 1))
        }
        Value::Array(list) if key == "hooks" => {
            let hooks: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            let patterns = ranges(&hooks).into_iter().map(|pattern| format!("{pad}  {pattern}\n"));
            format!("{pad}{key}: {}\n{}", list.len(), patterns.collect::<String>())
        }
        Value::Array(list) if list.len() > 24 => {
            let [first, last] = [&list[0], &list[list.len() - 1]].map(plain);
            format!("{pad}{key}: {} from {first} to {last} (all with --json)\n", list.len())
        }
        Value::Array(list)
            if !list.is_empty() && !list.iter().any(|one| one.is_array() || one.is_object()) =>
        {
            let all: Vec<String> = list.iter().map(plain).collect();
            // Names of arms have commas of their own.
            let between = if all.iter().any(|one| one.contains(", ")) { "; " } else { ", " };
            format!("{pad}{key}: {}\n", all.join(between))
        }
        Value::Array(list) if list.is_empty() => format!("{pad}{key}: none\n"),
        other => format!("{pad}{key}: {}\n", plain(other)),
    };
    object.iter().map(line).collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Hook points, those of blocks once with the blocks that have them, as in `blocks.0–29.hook_resid_post`.
fn ranges(hooks: &[&str]) -> Vec<String> {
    let mut found: Vec<(&str, Vec<usize>)> = vec![];
    for hook in hooks {
        let in_block = hook.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
        let Some((Ok(layer), site)) = in_block.map(|(layer, site)| (layer.parse(), site)) else {
            found.push((hook, vec![]));
            continue;
        };
        match found.iter_mut().find(|(known, layers)| *known == site && !layers.is_empty()) {
            Some((_, layers)) => layers.push(layer),
            None => found.push((site, vec![layer])),
        }
    }
    let pattern = |(site, layers): &(&str, Vec<usize>)| match &spans(layers)[..] {
        [] => (*site).to_owned(),
        [one] => format!("blocks.{one}.{site}"),
        several => format!("blocks.{{{}}}.{site}", several.join(", ")),
    };
    found.iter().map(pattern).collect()
}

/// Ascending numbers as spans: `0–3`, `5`.
fn spans(numbers: &[usize]) -> Vec<String> {
    let runs = numbers.chunk_by(|one, next| one + 1 == *next);
    let span = |run: &[usize]| match run {
        [one] => one.to_string(),
        run => format!("{}–{}", run[0], run[run.len() - 1]),
    };
    runs.map(span).collect()
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn hook_points_of_blocks_are_listed_once_with_their_blocks() {
        let hooks = [
            "hook_embed",
            "blocks.0.hook_resid_pre",
            "blocks.0.attn.hook_z",
            "blocks.1.hook_resid_pre",
            "blocks.2.hook_resid_pre",
            "blocks.2.attn.hook_z",
            "ln_final.hook_normalized",
        ];
        let expected = [
            "hook_embed",
            "blocks.0–2.hook_resid_pre",
            "blocks.{0, 2}.attn.hook_z",
            "ln_final.hook_normalized",
        ];
        assert_eq!(ranges(&hooks), expected);
    }
}
