//! Enough rows, in enough groups of like size.

use std::collections::BTreeMap;

use crate::lint::{Finding, Limits};
use crate::summary::per_group;
use crate::{Behavior, Kind};

pub(super) fn counts(behavior: &Behavior, limits: &Limits) -> Vec<Finding> {
    let transcripts = &behavior.transcripts;
    let labelled = |label| transcripts.iter().filter(|transcript| transcript.answer == label).count();
    let adversarial = transcripts.iter().filter(|transcript| transcript.kind == Kind::Adversarial).count();
    let groups = [pair_groups(behavior).len(), scenario_groups(behavior).len()];
    let table = [
        ("pairs.jsonl", "rows", behavior.pairs.len(), limits.pairs),
        ("pairs.jsonl", "groups", groups[0], limits.groups),
        ("topic.jsonl", "rows", behavior.topic.len(), limits.topic),
        ("scenarios.jsonl", "rows", behavior.scenarios.len(), limits.scenarios),
        ("scenarios.jsonl", "groups", groups[1], limits.groups),
        ("transcripts.jsonl", "rows", transcripts.len(), limits.transcripts),
        ("transcripts.jsonl", "adversarial rows", adversarial, part(limits.adversarial, transcripts.len())),
        ("transcripts.jsonl", "rows that show the behavior", labelled(true), 1),
        ("transcripts.jsonl", "rows that do not show the behavior", labelled(false), 1),
        ("heldout.jsonl", "rows", behavior.heldout.len(), limits.heldout),
        ("card.md", "lines", behavior.card.trim().lines().count(), 1),
    ];
    let short = table.into_iter().filter(|(.., found, needed)| found < needed);
    short.map(|(file, what, found, needed)| Finding::TooFew { file, what, found, needed }).collect()
}

pub(super) fn balance(behavior: &Behavior, limits: &Limits) -> Vec<Finding> {
    let table = [("pairs.jsonl", pair_groups(behavior)), ("scenarios.jsonl", scenario_groups(behavior))];
    let unbalanced = table.into_iter().filter_map(|(file, groups)| {
        let largest = groups.iter().max_by_key(|(_, rows)| **rows)?;
        let smallest = groups.iter().min_by_key(|(_, rows)| **rows)?;
        let own = |(group, rows): (&String, &usize)| (group.clone(), *rows);
        (*largest.1 as f64 > limits.balance * *smallest.1 as f64).then(|| Finding::Unbalanced {
            file,
            largest: own(largest),
            smallest: own(smallest),
        })
    });
    unbalanced.collect()
}

fn pair_groups(behavior: &Behavior) -> BTreeMap<String, usize> {
    per_group(behavior.pairs.iter().map(|pair| &pair.group))
}

fn scenario_groups(behavior: &Behavior) -> BTreeMap<String, usize> {
    per_group(behavior.scenarios.iter().map(|scenario| &scenario.group))
}

/// The fewest rows that make up `share` of `rows`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count of rows is a small count"
)]
fn part(share: f64, rows: usize) -> usize {
    (share * rows as f64).ceil() as usize
}
