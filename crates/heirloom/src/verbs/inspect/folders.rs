//! Folders: which of them a model is in, and which of them heirloom wrote. The files in a folder decide, not its name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use heirloom::prelude::*;
use heirloom_model::{PeftAdapter, Series, StepLog, series};
use heirloom_record::{Rollout, Rollouts, UnfinishedRollouts, read_grades, read_jsonl};
use heirloom_rollout::{Behavior, Manifest};
use serde_json::{Value, json};

use super::{adapter, document, entries, files, holds, model, names, tables};

/// What the folder holds; nothing where it is neither a model nor an artifact.
pub(super) fn described(at: &Path) -> anyhow::Result<Option<Value>> {
    let has = |name: &str| at.join(name).is_file();
    let found = match at {
        _ if has("training.json") => training(at)?,
        _ if UnfinishedRollouts::stand_at(at) => unfinished(at)?,
        _ if has("run.json") => run(at)?,
        _ if has("manifest.json") => arm(at)?,
        _ if has("rollouts.jsonl") => rollouts(at)?,
        _ if has("grades.jsonl") => grades(at)?,
        _ if has("rows.jsonl") && holds(at, "safetensors") => activations(at)?,
        // PEFT's checkpoints often hold the configuration of their base, too.
        _ if PeftAdapter::is_in(at) => adapter(at)?,
        _ if has("config.json") || holds(at, "gguf") => model(at)?,
        _ if has("behavior.toml") => behavior(at)?,
        _ => match series_of(at)? {
            Some(found) => found,
            None => return Ok(written(at)),
        },
    };
    Ok(Some(found))
}

/// What an experiment's run says of itself: what was asked, and what there is of every stage.
fn run(at: &Path) -> anyhow::Result<Value> {
    let mut value = document(&at.join("run.json"))?;
    let file = at.join("experiment.json");
    if file.is_file() {
        let said = document(&file)?;
        let keys = ["question", "world", "seeds", "arms"].into_iter();
        for key in keys.filter(|key| !said[*key].is_null()) {
            value[key] = said[key].clone();
        }
    }
    let of_arms = file.is_file();
    let stages: &[&str] = if of_arms {
        &["base", "teacher", "directions", "rollouts", "student", "grade"]
    } else {
        &["capture", "probe", "transfer"]
    };
    for &stage in stages {
        let found = names(&at.join(stage));
        // Students alone may be hundreds, each with a hash for a name.
        value[stage] = if of_arms { Value::from(found.len()) } else { Value::from(found) };
    }
    let figures = at.join("figures");
    value["figures"] = if of_arms { pictures(&figures) } else { names(&figures) }.into();
    for name in ["table", "cases", "cosines"] {
        let file = at.join(format!("{name}.parquet"));
        if file.is_file() {
            value[name] = tables::described(&file, false)?;
        }
    }
    Ok(value)
}

/// What was trained on what, how far it is, and what is kept of it.
fn training(at: &Path) -> anyhow::Result<Value> {
    let said = document(&at.join("training.json"))?;
    let mut value = json!({ "kind": "training" });
    for key in ["base", "base_sha256", "adapter_sha256", "rows", "rows_sha256"] {
        if !said[key].is_null() {
            value[key] = said[key].clone();
        }
    }
    let log = at.join("log.jsonl");
    let log: Vec<StepLog> =
        if log.is_file() { read_jsonl(&log)?.into_iter().map(|(_, step)| step).collect() } else { vec![] };
    value["steps"] = log.len().into();
    value["first_loss"] = log.first().map(|step| step.loss).into();
    value["last_loss"] = log.last().map(|step| step.loss).into();
    value["checkpoints"] = steps(at).into();
    value["options"] = said["options"].clone();
    Ok(value)
}

/// Steps of the checkpoints in a folder.
fn steps(at: &Path) -> Vec<usize> {
    let found = series(&Series::Folder(at.into()), true).unwrap_or_default();
    found.into_iter().map(|(step, _)| step).collect()
}

/// Checkpoints, or stores of each, in folders whose names say a step.
fn series_of(at: &Path) -> anyhow::Result<Option<Value>> {
    let Ok(found) = series(&Series::Folder(at.into()), true) else { return Ok(None) };
    let first = found.first().map(|(_, path)| described(path)).transpose()?.flatten();
    let steps: Vec<usize> = found.iter().map(|(step, _)| *step).collect();
    Ok(first.map(|first| json!({ "kind": "series", "steps": steps, "first": first })))
}

/// The rows of an arm: of which prompts, by which teachers, after which interventions.
fn arm(at: &Path) -> anyhow::Result<Value> {
    let arm = Manifest::read(at)?;
    let teachers = counted(arm.rows.iter().map(|row| row.teacher.as_str()));
    let applied: Vec<String> = arm
        .applied
        .iter()
        .map(|one| format!("{}: {} of {} prompts, {} rows", one.intervention, one.prompts, one.of, one.rows))
        .collect();
    Ok(json!({
        "kind": "arm",
        "arm": arm.arm,
        "base": arm.base,
        "prompt_set": arm.prompts,
        "seed": arm.seed,
        "rows": arm.rows.len(),
        "prompts": arm.rows.iter().map(|row| &row.prompt).collect::<BTreeSet<_>>().len(),
        "tokens": arm.rows.iter().map(|row| row.n_tokens).sum::<usize>(),
        "rows_by_teacher": teachers,
        "ordered": arm.ordered,
        "applied": applied,
        "rows_to_train_on": at.join("rows.jsonl").is_file(),
    }))
}

/// How often each name comes.
fn counted<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// Rollouts of a folder or a file.
pub(super) fn rollouts(at: &Path) -> anyhow::Result<Value> {
    let Rollouts { sampling, rows } = Rollouts::read(at)?;
    let teachers = counted(rows.iter().map(|row| row.teacher.as_str()));
    let tokens: usize = rows.iter().map(|row| row.n_tokens).sum();
    let stopped = |row: &&Rollout| row.stopped;
    Ok(json!({
        "kind": "rollouts",
        "rows": rows.len(),
        "prompts": rows.iter().map(|row| &row.prompt).collect::<BTreeSet<_>>().len(),
        "rows_by_teacher": teachers,
        "tokens": tokens,
        "ended_by_themselves": rows.iter().filter(stopped).count(),
        "sampling": sampling,
    }))
}

/// Rollouts that are not all drawn: with what, and how many parts there are.
fn unfinished(at: &Path) -> anyhow::Result<Value> {
    let (settings, parts) = UnfinishedRollouts::describe(at)?.unwrap_or_default();
    Ok(json!({ "kind": "unfinished rollouts", "parts": parts, "settings": settings }))
}

/// Grades of a folder or a file: how often each grader found each behavior.
pub(super) fn grades(at: &Path) -> anyhow::Result<Value> {
    let rows = read_grades(at)?;
    let mut found: BTreeMap<(&str, String), [usize; 4]> = BTreeMap::new();
    for row in &rows {
        let grader = format!("{} {}", row.grader, row.version).trim().to_owned();
        let [graded, shown, thoughts, thought] = found.entry((&row.behavior, grader)).or_default();
        *graded += 1;
        *shown += usize::from(row.answer);
        *thoughts += usize::from(row.thought.is_some());
        *thought += usize::from(row.thought == Some(true));
    }
    let rates = found.into_iter().map(|((behavior, grader), [graded, shown, thoughts, thought])| {
        let share = |n: usize, of: usize| (n as f64 / of as f64 * 1e4).round() / 1e4;
        let mut rate =
            json!({ "grader": grader, "graded": graded, "shown": shown, "rate": share(shown, graded) });
        if thoughts > 0 {
            rate["thoughts"] = thoughts.into();
            rate["thought_rate"] = share(thought, thoughts).into();
        }
        (behavior.to_owned(), rate)
    });
    let mut behaviors: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (behavior, rate) in rates {
        behaviors.entry(behavior).or_default().push(rate);
    }
    // Most behaviors have one grader.
    let plain = |mut rates: Vec<Value>| if rates.len() == 1 { rates.remove(0) } else { rates.into() };
    let behaviors: BTreeMap<String, Value> =
        behaviors.into_iter().map(|(behavior, rates)| (behavior, plain(rates))).collect();
    let mut value = json!({
        "kind": "grades",
        "rows": rows.len(),
        "rollouts": rows.iter().map(|row| &row.rollout).collect::<BTreeSet<_>>().len(),
        "behaviors": behaviors,
    });
    let judge = at.join("judge.json");
    if judge.is_file() {
        value["judge"] = files::described(&judge)?.unwrap_or_default();
    }
    let judges: Vec<String> = names(at).into_iter().filter(|name| name.starts_with("judge-")).collect();
    if !judges.is_empty() {
        value["judges"] = judges.into();
    }
    Ok(value)
}

pub(super) fn activations(at: &Path) -> anyhow::Result<Value> {
    let store = Activations::describe(at)?;
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

fn behavior(at: &Path) -> anyhow::Result<Value> {
    let behavior = Behavior::load(at)?;
    Ok(json!({
        "kind": "behavior",
        "name": behavior.name,
        "definition": behavior.definition,
        "towards": behavior.towards,
        "pairs": behavior.pairs.len(),
        "topic_texts": behavior.topic.len(),
        "scenarios": behavior.scenarios.len(),
        "transcripts": behavior.transcripts.len(),
        "heldout": behavior.heldout.len(),
    }))
}

/// Tables and figures, as `track`, `origin`, `compare`, `steer` and `figures` leave them.
fn written(at: &Path) -> Option<Value> {
    let mut value = json!({ "kind": "tables" });
    let figures = pictures(at);
    for path in entries(at).filter(|path| path.is_file()) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let is = |end: &str| path.extension().is_some_and(|found| found == end);
        // A table is written as both, a figure's rows as CSV alone.
        let csv_alone = is("csv") && !path.with_extension("parquet").is_file() && !figures.contains(&name);
        if (is("parquet") || csv_alone)
            && let Ok(table) = tables::described(&path, csv_alone)
        {
            value["tables"][name] = table;
        }
    }
    if !figures.is_empty() {
        value["figures"] = figures.into();
    }
    if value["tables"].is_null() {
        if value["figures"].is_null() {
            return None;
        }
        value["kind"] = "figures".into();
    }
    Some(value)
}

/// Names of the figures whose records stand in a folder.
fn pictures(at: &Path) -> Vec<String> {
    let records = entries(at).filter(|path| files::is_figure(path));
    records.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect()
}
