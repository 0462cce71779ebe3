//! What is in a table: its rows, and what stands in the columns that name things.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use heirloom::prelude::*;
use heirloom_record::{Case, CausalCheck, Dose, Histogram, Row, Turn, read_scores};
use serde_json::{Value, json};

use super::plain;

/// Columns that name things, of all tables.
const NAMING: [&str; 14] = [
    "behavior",
    "arm",
    "seed",
    "step",
    "world",
    "measure",
    "edit",
    "direction",
    "method",
    "fit_on",
    "metric",
    "rows",
    "hook",
    "verdict",
];

/// A table of numbers, histograms, doses, checks or cases, as Parquet or CSV; a CSV of scores is one, too.
///
/// # Errors
/// The file is none of them: what is wrong with it as a table of numbers.
pub(super) fn described(path: &Path, is_csv: bool) -> anyhow::Result<Value> {
    let error = match read::<Metric>(path, is_csv) {
        Ok(rows) => return Ok(summary("table", &rows)),
        Err(error) => error,
    };
    let others = [
        ("histograms", read::<Histogram>(path, is_csv)),
        ("doses", read::<Dose>(path, is_csv)),
        ("checks", read::<CausalCheck>(path, is_csv)),
        ("cases", read::<Case>(path, is_csv)),
    ];
    if let Some((of, rows)) = others.into_iter().find_map(|(of, rows)| Some((of, rows.ok()?))) {
        let mut value = summary("table", &rows);
        value["of"] = of.into();
        return Ok(value);
    }
    if !is_csv && let Ok(cosines) = Table::<Turn>::read(path) {
        return Ok(turned(&cosines.0));
    }
    if let Some(scores) = read_scores(path).ok().filter(|_| is_csv) {
        return Ok(scored(&scores));
    }
    Err(error)
}

/// Directions of every two checkpoints: more rows than the other tables have, so that columns are not looked through.
fn turned(rows: &[Turn]) -> Value {
    let distinct = |of: fn(&Turn) -> String| rows.iter().map(of).collect::<BTreeSet<String>>();
    json!({
        "kind": "table", "of": "cosines", "rows": rows.len(), "columns": {
            "behavior": distinct(|row| row.behavior.clone()),
            "hook": distinct(|row| row.hook.to_string()),
            "arm": distinct(|row| row.arm.clone()),
        },
    })
}

/// Scores of prompts.
pub(super) fn scored(scores: &[(String, f64)]) -> Value {
    let ends = |pick: fn(f64, f64) -> f64| scores.iter().map(|(_, score)| *score).reduce(pick);
    json!({ "kind": "scores", "prompts": scores.len(), "lowest": ends(f64::min), "highest": ends(f64::max) })
}

fn read<R: Row + serde::Serialize>(path: &Path, is_csv: bool) -> anyhow::Result<Vec<Value>> {
    let table = if is_csv { Table::<R>::read_csv(path)? } else { Table::<R>::read(path)? };
    Ok(table.0.iter().map(serde_json::to_value).collect::<Result<_, _>>()?)
}

fn summary(kind: &str, rows: &[Value]) -> Value {
    let mut value = json!({ "kind": kind, "rows": rows.len() });
    for column in NAMING {
        let cells = rows.iter().map(|row| &row[column]).filter(|cell| cell.is_string() || cell.is_i64());
        let distinct: BTreeMap<(Option<i64>, String), &Value> =
            cells.map(|cell| ((cell.as_i64(), plain(cell)), cell)).collect();
        if !distinct.is_empty() {
            value["columns"][column] = distinct.into_values().cloned().collect::<Vec<Value>>().into();
        }
    }
    value
}
