//! The end of a run with arms on the terminal: rates, then what each arm changed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use heirloom_record::Metric;

use crate::origins::{Found, Measure, Virulent};
use crate::words::brackets;

use super::spec::ArmsSpec;
use super::stage::ArmsStage;
use super::tracks::Appears;

const TRACKS: &str = "
above or below FROM a step: its interval leaves the base's there and stays out; steps of detection, not of the largest change
* doublings of training by which the rate is half-way later than the projection that is drawn, where both move for good
";

/// What the brackets mean; what a single seed cannot say is said.
fn legend(seeds: usize) -> &'static str {
    if seeds > 1 {
        "\
[low, high]: 95 % intervals over seeds and their scenarios, the wider of a paired bootstrap and Student's t over seeds.
With few seeds they are wide on purpose; an interval that excludes 0 suggests that the arm moved the behavior."
    } else {
        "\
[low, high]: 95 % intervals over the scenarios of the one seed that was run. Students of other seeds differ by more than
that: an interval that excludes 0 may be this seed's luck. Run several seeds before you say that an arm moved a behavior."
    }
}

/// What a stranger should read first.
pub(crate) fn summary(
    spec: &ArmsSpec,
    behaviors: &[String],
    metrics: &[Metric],
    (origins, tracks, virulent): (&[Found], &[Appears], &[Virulent]),
    figures: &[PathBuf],
    folder: &Path,
) -> String {
    let mut out = String::new();
    let label = |behavior: &String| {
        let panel = spec.figures.behaviors.iter().find(|panel| panel.behavior == *behavior);
        panel.map_or(behavior.clone(), |panel| panel.label.clone())
    };
    let labels: Vec<String> = behaviors.iter().map(label).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let mut arms: Vec<&str> = vec![];
    for row in metrics.iter().filter(|row| row.metric == "rate") {
        if let Some(arm) = row.arm.as_deref().filter(|arm| !arms.contains(arm)) {
            arms.push(arm);
        }
    }
    let own = || spec.own_arms.iter().map(|arm| &arm.name);
    let order = |arm: &&str| {
        spec.arms.iter().chain(own()).position(|named| named == arm).map_or(0, |index| index + 1)
    };
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
    let compares = |arm: &&&str| {
        behaviors
            .iter()
            .any(|behavior| last(metrics, "rate_difference", behavior, arm, Some(reference)).is_some())
    };
    for arm in arms.iter().filter(compares) {
        let cells = behaviors
            .iter()
            .map(|behavior| cell(last(metrics, "rate_difference", behavior, arm, Some(reference))));
        line(&mut out, arm, width, cells);
    }
    let said: Vec<String> = origins
        .iter()
        .filter(|found| found.measure == Measure::Rate)
        .map(|found| format!("  {}", found.sentence()))
        .collect();
    if !said.is_empty() {
        let _ = writeln!(out, "\nWhere it comes from, by how often it is shown\n\n{}", said.join("\n"));
    }
    if !virulent.is_empty() {
        let said: Vec<String> = virulent.iter().map(|found| format!("  {}", found.sentence())).collect();
        let _ = writeln!(
            out,
            "\nHow it falls with the share of rollouts that the other teacher writes: area of the trapezoids through the rates\n\n{}",
            said.join("\n")
        );
    }
    let mut measures: Vec<Measure> = vec![];
    for measure in origins.iter().map(|found| found.measure) {
        if measure != Measure::Rate && !measures.contains(&measure) {
            measures.push(measure);
        }
    }
    for measure in measures {
        let _ = writeln!(out, "\nEffects on {}, in standard deviations\n", measure.words());
        let _ = writeln!(out, "  {:<22}{:>28}{:>24}", "behavior", "teacher", "prompts");
        for found in origins.iter().filter(|found| found.measure == measure) {
            let _ = writeln!(out, "{}", found.effects());
        }
    }
    for (behavior, label) in behaviors.iter().zip(&labels) {
        let own: Vec<&Appears> = tracks.iter().filter(|track| track.behavior == *behavior).collect();
        let Some(first) = own.first() else { continue };
        let _ = write!(out, "\nWhen {label} leaves the base, by step\n\n  {:<width$}", "arm");
        for (measure, _) in &first.emergence {
            let _ = write!(out, "{:>26}", measure.title());
        }
        let _ = writeln!(out, "{:>24}", "rate after projection*");
        for track in own {
            let _ = writeln!(out, "{}", track.line(width));
        }
    }
    if !tracks.is_empty() {
        out.push_str(TRACKS);
    }
    let told = |row: &&Metric| row.metric == "rate_difference" && row.scored_on.as_deref() == Some(reference);
    let compared = metrics.iter().filter(told).count();
    let _ = writeln!(out, "\n{}", legend(spec.seeds.len()));
    let _ = writeln!(
        out,
        "Of {compared} differences, about {} exclude 0 by chance where nothing moves.",
        compared.div_ceil(20)
    );
    let _ = writeln!(out, "\n{}", folder.display());
    let _ = writeln!(out, "  table.csv, table.parquet   every number with n and interval");
    for figure in figures {
        let name = figure.strip_prefix(folder).unwrap_or(figure);
        let _ = writeln!(out, "  {}.svg, .pdf, .png", name.display());
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
        Some((Some(value), Some(low), Some(high))) => brackets(value, low, high),
        _ => "–".into(),
    }
}
