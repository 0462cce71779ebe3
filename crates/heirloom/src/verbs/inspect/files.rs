//! Files: what their first bytes and keys say they are. Only CSV has nothing of the kind; there the name decides.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use anyhow::Context as _;
use heirloom::prelude::*;
use heirloom_record::{read_rows, read_scores};
use serde_json::{Value, json};

use super::{KNOWN, document, folders, model, tables};

/// Longest header of a safetensors file, by its format.
const MOST_HEADER: u64 = 100_000_000;

/// What the file holds; nothing where it is neither a model nor an artifact.
pub(super) fn described(at: &Path) -> anyhow::Result<Option<Value>> {
    let start = start(at)?;
    if let Some(found) = (start[0] == b'{').then(|| json_in(at)).transpose()?.flatten() {
        return Ok(Some(found));
    }
    let found = match &start {
        b"GGUF" => model(at)?,
        b"PAR1" => tables::described(at, false)?,
        _ if at.extension().is_some_and(|end| end.eq_ignore_ascii_case("csv")) => {
            tables::described(at, true)?
        }
        _ => match stamp(at)?.as_deref() {
            Some("directions") => directions(at)?,
            // A shard means little without its rows.
            Some("activations") => folders::activations(folder_of(at))?,
            Some(_) => {
                let found = "a safetensors file that heirloom did not write";
                return Err(heirloom::Error::Unknown { path: at.into(), found, known: KNOWN }.into());
            }
            None => return Ok(None),
        },
    };
    Ok(Some(found))
}

fn folder_of(at: &Path) -> &Path {
    at.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn directions(at: &Path) -> anyhow::Result<Value> {
    let directions = Directions::read(at)?;
    let widths: BTreeMap<_, _> = directions.by_hook.iter().map(|(hook, d)| (hook, d.vector.len())).collect();
    Ok(json!({ "kind": "directions", "header": directions.header, "hooks": widths }))
}

/// Whether the file is what stands beside a picture.
pub(super) fn is_figure(at: &Path) -> bool {
    let is_json = at.extension().is_some_and(|end| end == "json");
    is_json && document(at).is_ok_and(|value| value["drawing"].is_object())
}

/// One JSON document, or one a line.
fn json_in(at: &Path) -> anyhow::Result<Option<Value>> {
    let Ok(value) = document(at) else { return lines_in(at) };
    if value["drawing"].is_object() {
        return Ok(Some(figure(&value)));
    }
    let whole = |name: &str| at.file_name().is_some_and(|found| found == name);
    // Files that a folder is known by mean the folder.
    if ["run.json", "training.json", "experiment.json", "manifest.json", "adapter_config.json", "config.json"]
        .into_iter()
        .any(whole)
    {
        return folders::described(folder_of(at));
    }
    if value["kind"].is_string() && value["format"].is_number() {
        return Ok(Some(value));
    }
    // A JSONL file of one line is a document, too.
    lines_in(at)
}

fn figure(value: &Value) -> Value {
    let drawing = &value["drawing"];
    let draws = drawing["draw"].as_object().and_then(|draw| draw.keys().next());
    let mut said =
        json!({ "kind": "figure", "name": drawing["name"], "draws": draws, "rows": value["rows"] });
    for (key, found) in [("caption", &drawing["caption"]), ("formats", &value["formats"])] {
        if !found.is_null() {
            said[key] = found.clone();
        }
    }
    said["made"] = value["made"].clone();
    said
}

/// JSONL, by the keys of its first line.
fn lines_in(at: &Path) -> anyhow::Result<Option<Value>> {
    let file = std::fs::File::open(at).with_context(|| format!("could not read `{}`", at.display()))?;
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    let first = lines.into_iter().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let Ok(Value::Object(first)) = serde_json::from_str::<Value>(&first) else { return Ok(None) };
    let has = |keys: &[&str]| keys.iter().all(|key| first.contains_key(*key));
    let found = match () {
        () if has(&["rollout", "behavior", "answer"]) => folders::grades(at)?,
        () if has(&["prompt", "teacher", "messages"]) => folders::rollouts(at)?,
        () if has(&["prompt", "score"]) => tables::scored(&read_scores(at)?),
        () if ["messages", "text", "input_ids"].iter().any(|key| first.contains_key(*key)) => rows(at)?,
        () => return Ok(None),
    };
    Ok(Some(found))
}

/// Data rows, an arm's among them.
fn rows(at: &Path) -> anyhow::Result<Value> {
    let rows = read_rows(at)?;
    let distinct = |of: fn(&DataRow) -> Option<&String>| rows.iter().filter_map(of).collect::<BTreeSet<_>>();
    Ok(json!({
        "kind": "rows",
        "rows": rows.len(),
        "labelled": rows.iter().filter(|row| row.label.is_some()).count(),
        "groups": distinct(|row| row.group.as_ref()),
        "pairs": distinct(|row| row.pair.as_ref()).len(),
        "spans": rows.iter().flat_map(|row| row.spans.keys()).collect::<BTreeSet<_>>(),
    }))
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
