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
    let (mut blocks, mut others) = (BTreeMap::<usize, BTreeMap<String, f64>>::new(), vec![]);
    for (path, norm) in &report.norms {
        match in_block(path) {
            Some((layer, module)) => {
                let all = blocks.entry(layer).or_default().entry(module).or_default();
                *all = all.hypot(*norm);
            }
            None => others.push((path, norm)),
        }
    }
    let kinds: BTreeSet<&str> = blocks.values().flat_map(BTreeMap::keys).map(String::as_str).collect();
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

/// The block and the module's path in it, with `*` for the numbers of experts. Families name their blocks differently, but
/// the first number of a path is always the block's.
fn in_block(path: &str) -> Option<(usize, String)> {
    let mut parts = path.split('.');
    let layer = parts.find_map(|part| part.parse().ok())?;
    let module: Vec<&str> =
        parts.map(|part| if part.parse::<usize>().is_ok() { "*" } else { part }).collect();
    Some((layer, module.join(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table's cells by their columns, the block's own name first.
    fn table(norms: &[(&str, f64)]) -> Vec<Vec<String>> {
        let norms = norms.iter().map(|(path, norm)| ((*path).to_owned(), *norm)).collect();
        let report = AdapterReport { lora: heirloom_model::Lora::default(), norms };
        let said = lines(&report, &LogitChange::default());
        let rows = said.lines().skip(1).take_while(|line| line.starts_with("  "));
        rows.map(|line| line.split_whitespace().map(String::from).collect()).collect()
    }

    #[test]
    fn modules_of_a_block_are_told_apart_and_experts_added_up() {
        for (norms, expected) in [
            (
                &[
                    ("model.layers.0.mlp.experts.0.down_proj", 3.0),
                    ("model.layers.0.mlp.experts.11.down_proj", 4.0),
                    ("model.layers.10.self_attn.q_proj", 2.0),
                    ("lm_head", 1.0),
                ][..],
                [
                    &["mlp.experts.*.down_proj", "self_attn.q_proj"][..],
                    &["blocks.0", "5.0000", "–"],
                    &["blocks.10", "–", "2.0000"],
                    &["lm_head", "1.0000"],
                ]
                .as_slice(),
            ),
            (
                &[("transformer.h.1.attn.c_proj", 3.0), ("transformer.h.1.mlp.c_proj", 4.0)],
                &[&["attn.c_proj", "mlp.c_proj"], &["blocks.1", "3.0000", "4.0000"]],
            ),
            (&[("gpt_neox.layers.2.attention.dense", 3.0)], &[&["attention.dense"], &["blocks.2", "3.0000"]]),
        ] {
            assert_eq!(table(norms), expected, "{norms:?}");
        }
    }
}
