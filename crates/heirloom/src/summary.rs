//! The end of a run on the terminal: what was found, beside what it has to beat.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use heirloom_record::Metric;

use crate::Outcome;
use crate::stages::probe::SELECTION;

/// Columns of the table of methods: a metric, its title, its width.
const COLUMNS: [(&str, &str, usize); 4] = [
    ("auroc_at_chosen_layer", "AUROC, unseen families", 24),
    ("auroc_gain_over_words", "gain over words", 23),
    ("auroc_over_splits", "over random splits", 21),
    ("auroc_against_topic", "against topic-only", 21),
];

/// What the AUROCs have to beat; those that differ by method are the headline's.
const TO_BEAT: [(&str, &str); 6] = [
    ("auroc_of_words", "words alone"),
    ("auroc_of_words_against_topic", "words alone, against topic-only"),
    ("auroc_length_baseline", "length alone"),
    ("auroc_null_random_difference", "random differences"),
    ("auroc_null_random_direction", "random directions"),
    ("auroc_null_shuffled_labels", "shuffled labels"),
];

/// What else is said of the headline.
const BESIDES: [(&str, &str); 4] = [
    ("pair_win_rate", "pairs in the right order"),
    ("tpr_at_1pct_fpr", "TPR at 1 % FPR"),
    ("false_positive_rate", "negatives called positive"),
    ("positive_rate", "topic-only texts called positive"),
];

const LEGEND: &str = "\
[low, high]: 95 % intervals, over pairs for AUROC and over rows for rates, given these families and this fit;
for nulls and random splits 95 % of draws. Words alone: a logistic probe on the mean token embedding.
The headline method is fixed by the experiment; the others are descriptive.";

pub(crate) fn summary(outcome: &Outcome) -> String {
    let mut out = String::new();
    let behaviors: BTreeSet<&str> = outcome.metrics.iter().map(|row| row.behavior.as_str()).collect();
    for behavior in behaviors {
        block(&mut out, behavior, &outcome.headline, &outcome.metrics);
    }
    if !outcome.metrics.is_empty() {
        let _ = writeln!(out, "{LEGEND}\n");
    }
    if !outcome.metrics.iter().any(|row| row.metric == "auroc_of_words") {
        let _ = writeln!(out, "No baseline of words alone: add `hook_embed` to `hooks` to measure it.\n");
    }
    let _ = writeln!(out, "{}", outcome.folder.display());
    if outcome.folder.join("table.csv").is_file() {
        let _ = writeln!(out, "  table.csv, table.parquet   every number with n and interval");
    }
    for figure in &outcome.figures {
        let name = figure.strip_prefix(&outcome.folder).unwrap_or(figure);
        let _ = writeln!(out, "  {}.svg, .pdf, .png", name.display());
    }
    out
}

fn block(out: &mut String, behavior: &str, headline: &str, metrics: &[Metric]) {
    // Sweeps and nulls exist for the selection groups too, rates for single groups; the summary speaks of the whole.
    let whole = |row: &&Metric| {
        row.scored_on
            .as_deref()
            .is_none_or(|scored_on| scored_on != SELECTION && !scored_on.starts_with("group:"))
    };
    let of = |metric: &str| -> Vec<&Metric> {
        metrics.iter().filter(|row| row.behavior == behavior && row.metric == metric).filter(whole).collect()
    };
    let chosen = of("auroc_at_chosen_layer");
    let _ = write!(out, "{behavior}\n  {:<10}{:<26}", "method", "chosen hook point");
    for (_, title, width) in COLUMNS {
        let _ = write!(out, "{title:>width$}");
    }
    out.push('\n');
    for row in &chosen {
        let method = row.method.as_deref();
        let hook = row.hook.map(|hook| hook.to_string()).unwrap_or_default();
        let _ = write!(out, "  {:<10}{hook:<26}", method.unwrap_or_default());
        for (metric, _, width) in COLUMNS {
            let found = of(metric).into_iter().find(|row| row.method.as_deref() == method).map(cell);
            let _ = write!(out, "{:>width$}", found.unwrap_or_default());
        }
        out.push('\n');
    }
    for (heading, lines) in [("to beat", &TO_BEAT[..]), (headline, &BESIDES[..])] {
        let _ = writeln!(out, "  {heading}");
        for (metric, title) in lines {
            let mut rows = of(metric).into_iter();
            if let Some(row) = rows.find(|row| row.method.as_deref().is_none_or(|method| method == headline))
            {
                let _ = writeln!(out, "    {title:<34}{:>21}", cell(row));
            }
        }
    }
    if let Some(other) = best_other(behavior, metrics) {
        let from =
            other.fit_on.as_deref().and_then(|fit_on| fit_on.strip_prefix("behavior:")).unwrap_or_default();
        let hook = other.hook.map(|hook| hook.to_string()).unwrap_or_default();
        let method = other.method.as_deref().unwrap_or_default();
        let _ = writeln!(
            out,
            "    {:<34}{:>21}  {method} of {from} at {hook}",
            "best other behavior's direction",
            cell(other)
        );
    }
    out.push('\n');
}

/// The other behavior whose direction scores this behavior's report groups best: what is specific must beat it.
fn best_other<'a>(behavior: &str, metrics: &'a [Metric]) -> Option<&'a Metric> {
    let this = format!("behavior:{behavior}");
    let others = metrics.iter().filter(|row| {
        let named =
            row.fit_on.as_deref().is_some_and(|fit_on| fit_on.starts_with("behavior:") && fit_on != this);
        row.metric == "transfer_auroc" && row.scored_on.as_deref() == Some(this.as_str()) && named
    });
    others.max_by(|a, b| a.value.unwrap_or(0.0).total_cmp(&b.value.unwrap_or(0.0)))
}

fn cell(row: &Metric) -> String {
    match (row.value, row.low, row.high) {
        (Some(value), Some(low), Some(high)) => {
            format!("{value:.3} [{:.2}, {:.2}]", unsigned(low), unsigned(high))
        }
        (Some(value), ..) => format!("{value:.3}"),
        _ => "undefined".into(),
    }
}

/// A number that prints as 0.00 gets no sign.
fn unsigned(value: f64) -> f64 {
    if value.abs() < 0.005 { 0.0 } else { value }
}
