//! What an adapter does to a model, for people: ‖ΔW‖ of every module, and how far logits move.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use heirloom_model::{AdapterReport, LogitChange};
use serde_json::{Value, json};

/// A line for each block with a column for each kind of module, and one for each module outside the blocks.
pub(crate) fn lines(report: &AdapterReport, effect: &LogitChange) -> String {
    let lora = &report.lora;
    let ranks: BTreeSet<usize> = lora.ranks.values().copied().chain([lora.rank]).collect();
    let ranks = ranks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let scale = if lora.rslora { ", scaled by the root of the rank" } else { "" };
    let mut out = format!("adapter of rank {ranks}{scale}: ‖ΔW‖ {:.4}\n", report.norm());
    let (mut blocks, mut others) = (BTreeMap::<usize, BTreeMap<&str, f64>>::new(), vec![]);
    for (path, norm) in &report.norms {
        match in_block(path) {
            Some((layer, module)) => _ = blocks.entry(layer).or_default().insert(module, *norm),
            None => others.push((path, norm)),
        }
    }
    let kinds: BTreeSet<&str> = blocks.values().flat_map(BTreeMap::keys).copied().collect();
    let line = |cell: &dyn Fn(&str) -> String| {
        kinds.iter().fold(String::new(), |line, kind| {
            line + &format!(" {:>width$}", cell(kind), width = kind.len().max(9))
        })
    };
    if !kinds.is_empty() {
        let _ = writeln!(out, "  {:<11}{}", "", line(&|kind| kind.to_owned()));
    }
    for (layer, norms) in &blocks {
        let cell = |kind: &str| norms.get(kind).map_or("–".into(), |norm| format!("{norm:.4}"));
        let _ = writeln!(out, "  blocks.{layer:<4}{}", line(&cell));
    }
    for (path, norm) in others {
        let _ = writeln!(out, "  {path} {norm:.4}");
    }
    let _ = writeln!(
        out,
        "logits at {} positions change by up to {:.4}, in root mean square by {:.4} of their spread, {:.4} nats; the likeliest next token is another at {:.1} %",
        effect.positions,
        effect.largest,
        effect.share(),
        effect.kl,
        100.0 * effect.other_top
    );
    out
}

pub(crate) fn as_json(report: &AdapterReport, effect: &LogitChange) -> Value {
    json!({ "lora": report.lora, "norm": report.norm(), "norms": report.norms, "logits": effect })
}

/// The block and the module's name in it.
fn in_block(path: &str) -> Option<(usize, &str)> {
    let (layer, module) = path.strip_prefix("model.layers.")?.split_once('.')?;
    Some((layer.parse().ok()?, module.rsplit('.').next()?))
}
