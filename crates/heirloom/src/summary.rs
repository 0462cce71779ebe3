//! The end of a run on the terminal: what was found, beside what it has to beat.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use heirloom_record::Metric;

use crate::Outcome;

/// What each line of the summary reports: a metric and how it is introduced.
const LINES: [(&str, &str); 9] = [
    ("auroc_at_chosen_layer", "AUROC on unseen families"),
    ("auroc_of_words", "  words alone (embedding)"),
    ("auroc_gain_over_words", "  gain over words"),
    ("auroc_length_baseline", "  length alone"),
    ("auroc_null_random_direction", "  random directions"),
    ("auroc_null_shuffled_labels", "  shuffled labels"),
    ("tpr_at_1pct_fpr", "TPR at 1 % FPR"),
    ("false_positive_rate", "called positive: negatives"),
    ("positive_rate", "called positive: topic-only"),
];

pub(crate) fn summary(outcome: &Outcome) -> String {
    let mut out = String::new();
    let behaviors: BTreeSet<&str> = outcome.metrics.iter().map(|row| row.behavior.as_str()).collect();
    for behavior in behaviors {
        let of = |metric: &str| -> Vec<&Metric> {
            let rows = outcome.metrics.iter().filter(|row| row.behavior == behavior && row.metric == metric);
            // Null bands exist for the selection groups too; the summary speaks of the report groups alone.
            rows.filter(|row| row.scored_on.as_deref() != Some(crate::stages::probe::SELECTION)).collect()
        };
        let methods: Vec<&str> =
            of("auroc_at_chosen_layer").iter().filter_map(|row| row.method.as_deref()).collect();
        let _ = writeln!(out, "{behavior}");
        let _ = write!(out, "  {:<28}", "");
        for row in of("auroc_at_chosen_layer") {
            let _ = write!(out, "{:>22}", row.method.as_deref().unwrap_or_default());
        }
        let _ = write!(out, "\n  {:<28}", "chosen hook point");
        for row in of("auroc_at_chosen_layer") {
            let hook = row.hook.map(|hook| hook.to_string()).unwrap_or_default();
            let _ = write!(out, "{:>22}", hook.replace("hook_", ""));
        }
        let _ = writeln!(out);
        for (metric, title) in LINES {
            let rows = of(metric);
            if rows.is_empty() {
                continue;
            }
            let _ = write!(out, "  {title:<28}");
            for method in &methods {
                let row = rows.iter().find(|row| row.method.as_deref().is_none_or(|found| found == *method));
                let _ = write!(out, "{:>22}", row.map(|row| cell(row)).unwrap_or_default());
            }
            let _ = writeln!(out);
        }
        let _ = writeln!(out);
    }
    if !outcome.metrics.is_empty() {
        let _ = writeln!(
            out,
            "[low, high] are 95 % intervals, for random directions and shuffled labels 95 % of draws"
        );
    }
    let _ = writeln!(out, "{}", outcome.folder.display());
    if !outcome.metrics.is_empty() {
        let _ = writeln!(out, "  table.csv, table.parquet   every number with n and interval");
    }
    for figure in &outcome.figures {
        let name = figure.strip_prefix(&outcome.folder).unwrap_or(figure);
        let _ = writeln!(out, "  {}.svg, .png", name.display());
    }
    out
}

fn cell(row: &Metric) -> String {
    match (row.value, row.low, row.high) {
        (Some(value), Some(low), Some(high)) => format!("{value:.3} [{low:.2}, {high:.2}]"),
        (Some(value), ..) => format!("{value:.3}"),
        _ => "undefined".into(),
    }
}
