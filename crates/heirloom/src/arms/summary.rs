//! The end of a run with arms on the terminal: rates, then what each arm changed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use heirloom_record::Metric;

use crate::origins::{Found, number};

use super::spec::ArmsSpec;
use super::stage::ArmsStage;
use super::tracks::Appears;

/// What the brackets mean; what a single seed cannot say is said.
fn legend(seeds: usize) -> &'static str {
    if seeds > 1 {
        "\
[low, high]: 95 % intervals over seeds and their scenarios, the wider of a paired bootstrap and Student's t over seeds.
With few seeds they are wide on purpose; an interval that excludes 0 says that the arm moved the behavior."
    } else {
        "\
[low, high]: 95 % intervals over the scenarios of the one seed that was run. Students of other seeds differ by more than
that: an interval that excludes 0 may be this seed's luck. Run several seeds before you say that an arm moved a behavior."
    }
}

/// What a stranger should read first.
pub(crate) fn summary(
    spec: &ArmsSpec,
    metrics: &[Metric],
    origins: &[Found],
    tracks: &[Appears],
    figures: &[PathBuf],
    folder: &Path,
) -> String {
    let mut out = String::new();
    let behaviors: Vec<&str> = spec.figures.behaviors.iter().map(|panel| panel.behavior.as_str()).collect();
    let labels: Vec<&str> = spec.figures.behaviors.iter().map(|panel| panel.label.as_str()).collect();
    let mut arms: Vec<&str> = vec![];
    for row in metrics.iter().filter(|row| row.metric == "rate") {
        if let Some(arm) = row.arm.as_deref().filter(|arm| !arms.contains(arm)) {
            arms.push(arm);
        }
    }
    let order = |arm: &&str| spec.arms.iter().position(|named| named == arm).map_or(0, |index| index + 1);
    arms.sort_by_key(order);
    let width = arms.iter().map(|arm| arm.chars().count()).max().unwrap_or(0).max(8) + 2;

    let _ = writeln!(out, "How often each behavior was seen on held-out scenarios\n");
    heading(&mut out, "arm", width, &labels);
    for arm in &arms {
        let cells = behaviors.iter().map(|behavior| cell(last(metrics, "rate", behavior, arm, None)));
        line(&mut out, arm, width, cells);
    }
    let reference = spec.reference.as_str();
    let _ = writeln!(out, "\nWhat changed against `{reference}`\n");
    heading(&mut out, "arm", width, &labels);
    for arm in arms.iter().filter(|arm| **arm != reference) {
        let cells = behaviors
            .iter()
            .map(|behavior| cell(last(metrics, "rate_difference", behavior, arm, Some(reference))));
        line(&mut out, arm, width, cells);
    }
    let mut by: Vec<String> = vec![];
    for found in origins.iter().map(|found| found.measure.words()) {
        if !by.contains(&found) {
            by.push(found);
        }
    }
    for by in by {
        let own = origins.iter().filter(|found| found.measure.words() == by);
        let said: Vec<String> = own.map(|found| format!("  {}", found.sentence())).collect();
        let _ = writeln!(out, "\nWhere it comes from, by {by}\n\n{}", said.join("\n"));
    }
    for behavior in &behaviors {
        let own: Vec<&Appears> = tracks.iter().filter(|track| track.behavior == **behavior).collect();
        let Some(first) = own.first() else { continue };
        let _ = write!(
            out,
            "\nWhen {behavior} appears: the step from which on it differs from the base\n\n  {:<width$}",
            "arm"
        );
        for (measure, _) in &first.emergence {
            let _ = write!(out, "{:>20}", measure.title());
        }
        let _ = writeln!(out, "{:>24}", "rate after projection*");
        for track in own {
            let _ = writeln!(out, "{}", track.line(width));
        }
    }
    if !tracks.is_empty() {
        out.push_str("\n* doublings of training by which the rate is half-way later than the projection it is drawn with\n");
    }
    let _ = writeln!(out, "\n{}\n\n{}", legend(spec.seeds.len()), folder.display());
    let _ = writeln!(out, "  table.csv, table.parquet   every number with n and interval");
    for figure in figures {
        let name = figure.strip_prefix(folder).unwrap_or(figure);
        let _ = writeln!(out, "  {}.svg, .png", name.display());
    }
    out
}

/// What a run says that ends before its tables.
pub(crate) fn stopped(until: ArmsStage, folder: &Path) -> String {
    let (until, folder) = (until.name(), folder.display());
    format!(
        "Stopped after the stage `{until}`, as asked. What is made is kept in {folder}; run on for the tables.\n"
    )
}

/// The row over all seeds at the arm's last step.
pub(crate) fn last<'a>(
    metrics: &'a [Metric],
    metric: &str,
    behavior: &str,
    arm: &str,
    against: Option<&str>,
) -> Option<&'a Metric> {
    let own = metrics.iter().filter(|row| {
        row.metric == metric
            && row.behavior == behavior
            && row.arm.as_deref() == Some(arm)
            && row.seed.is_none()
            && against.is_none_or(|against| row.scored_on.as_deref() == Some(against))
    });
    own.max_by_key(|row| row.step)
}

fn heading(out: &mut String, first: &str, width: usize, labels: &[&str]) {
    let _ = write!(out, "  {first:<width$}");
    for label in labels {
        let _ = write!(out, "{label:>24}");
    }
    out.push('\n');
}

fn line(out: &mut String, arm: &str, width: usize, cells: impl Iterator<Item = String>) {
    let _ = write!(out, "  {arm:<width$}");
    for cell in cells {
        let _ = write!(out, "{cell:>24}");
    }
    out.push('\n');
}

fn cell(row: Option<&Metric>) -> String {
    match row.map(|row| (row.value, row.low, row.high)) {
        Some((Some(value), Some(low), Some(high))) => {
            format!("{} [{}, {}]", number(value), number(low), number(high))
        }
        _ => "–".into(),
    }
}
