//! Two arms of one's own on the terminal.

use std::fmt::Write as _;

use heirloom_record::{HookPoint, Metric};

use super::super::Comparison;
use super::super::summary::{cell, heading, line, of, shown, unrelated};
use super::activations::{BASE, Looking};
use super::{Along, Own};
use crate::words::number;

/// What a stranger should read first. `beyond` says whether the difference of projections that is shown lies beyond both
/// families of controls.
pub(super) fn summary(comparison: &Comparison, own: &Own, beyond: Option<bool>) -> String {
    let Comparison { arms: [first, second], seeds, moved, notes, .. } = comparison;
    let mut out = String::new();
    let several = if seeds.len() == 1 { "" } else { "s" };
    let _ = writeln!(out, "A = {first}\nB = {second}\n{} seed{several} of students each", seeds.len());
    rates(&mut out, comparison);
    if let Some(looking) = &own.looking {
        if let Some(along) = looking.along() {
            projections(&mut out, comparison, looking, along);
            let difference = find(comparison, looking.headline, "projection_difference", Some(first), None);
            if let Some((difference, beyond)) = difference.zip(beyond) {
                let of = if seeds.len() == 1 { "For this one pair of students: " } else { "" };
                let _ = writeln!(out, "\n{of}{}", against_controls(difference, beyond));
            }
            directions(&mut out, comparison, looking.headline);
        }
        let (against, base) = (format!("arm:{second}"), BASE);
        let mut lines = vec![
            ("A against B", "activation_difference", first.as_str(), against.as_str()),
            ("A against the base", "activation_difference", first, base),
            ("B against the base", "activation_difference", second, base),
        ];
        if seeds.len() > 1 {
            lines.push(("two seeds of one arm", "activation_difference_between_seeds", first, &against));
        }
        unrelated(&mut out, comparison, looking.headline, &lines);
    }
    if let Some(moved) = moved {
        shown(&mut out, moved);
    }
    for note in notes {
        let _ = writeln!(out, "\n{note}");
    }
    let _ = writeln!(out, "\n{}", legend(own, seeds.len()));
    out
}

fn rates(out: &mut String, comparison: &Comparison) {
    let rated = |behavior: &&String| of(comparison, behavior, "rate", None, None)[2].is_some();
    let behaviors: Vec<&String> = comparison.behaviors.iter().filter(rated).collect();
    if behaviors.is_empty() {
        return;
    }
    let width = behaviors.iter().map(|name| name.len()).max().unwrap_or(0).max(8) + 2;
    out.push_str("\nHow often graders saw each behavior in answers to the same prompts\n\n");
    heading(out, width);
    for behavior in behaviors {
        line(out, behavior, width, of(comparison, behavior, "rate", None, None));
    }
}

/// A row over seeds at the hook point that is shown.
fn find<'a>(
    comparison: &'a Comparison,
    hook: HookPoint,
    metric: &str,
    arm: Option<&str>,
    fit_on: Option<&str>,
) -> Option<&'a Metric> {
    comparison.metrics.iter().find(|row| {
        let here = row.hook == Some(hook) && row.seed.is_none() && row.metric == metric;
        here && (arm.is_none() || row.arm.as_deref() == arm)
            && (fit_on.is_none() || row.fit_on.as_deref() == fit_on)
    })
}

fn band(row: Option<&Metric>) -> String {
    match row.map(|row| (row.low, row.high)) {
        Some((Some(low), Some(high))) => format!("[{}, {}]", number(low), number(high)),
        _ => String::new(),
    }
}

fn projections(out: &mut String, comparison: &Comparison, looking: &Looking, along: &Along) {
    let [first, second] = comparison.arms.each_ref().map(String::as_str);
    let header = &along.directions.header;
    let at = looking.headline;
    let row = |metric: &str, arm: &str| find(comparison, at, metric, Some(arm), None);
    let _ = writeln!(
        out,
        "\nProjections on `{}` ({})\nof the same {} rows, at {at}, in s.d. of the reference rows on the base `{}`;\n\
         random, differences: how far as many directions that mean nothing and differences of activations moved, 2.5 % to 97.5 %\n",
        header.behavior,
        header.towards.trim_end_matches('.'),
        along.rows.len(),
        looking.base,
    );
    let _ = writeln!(
        out,
        "  {:<12}{:>24}{:>24}{:>18}{:>18}",
        "", "projection", "less the base's", "random", "differences"
    );
    let mut told =
        |name: &str, [value, shift]: [Option<&Metric>; 2], [random, differences]: [Option<&Metric>; 2]| {
            let shift = shift.map_or(String::new(), |row| cell(Some(row)));
            let _ = writeln!(
                out,
                "  {name:<12}{:>24}{shift:>24}{:>18}{:>18}",
                cell(value),
                band(random),
                band(differences)
            );
        };
    told("base", [row("projection", BASE), None], [None, None]);
    for (name, arm) in [("A", first), ("B", second)] {
        let bands = ["shift_random_direction", "shift_random_difference"].map(|metric| row(metric, arm));
        told(name, [row("projection", arm), row("shift", arm)], bands);
    }
    let bands = ["random_direction", "random_difference"]
        .map(|family| row(&format!("projection_difference_{family}"), first));
    told("A minus B", [row("projection_difference", first), None], bands);
}

fn against_controls(difference: &Metric, beyond: bool) -> &'static str {
    let holds_zero =
        difference.low.is_none_or(|low| low <= 0.0) && difference.high.is_none_or(|high| high >= 0.0);
    match (holds_zero, beyond) {
        (true, _) => "The interval of A minus B holds 0.",
        (false, false) => "A minus B excludes 0, but directions that mean nothing set the arms as far apart.",
        (false, true) => "A minus B excludes 0 and lies outside the middle 95 % of both kinds of controls.",
    }
}

fn directions(out: &mut String, comparison: &Comparison, at: HookPoint) {
    let [first, second] = comparison.arms.each_ref().map(String::as_str);
    let _ = writeln!(
        out,
        "\nThe reference rows, at {at}: AUROC of the given direction and of one fit anew on each model\n\
         (its difference of means, scored on pairs it was not fit on; under shuffled labels [low, high]), and the cosine of both\n"
    );
    let _ = writeln!(
        out,
        "  {:<12}{:>24}{:>24}{:>18}{:>24}",
        "", "AUROC, given", "AUROC, fit anew", "shuffled", "cosine, given"
    );
    for (name, arm) in [("base", BASE), ("A", first), ("B", second)] {
        let row = |metric: &str| find(comparison, at, metric, Some(arm), None);
        let [given, anew, cosine] =
            ["auroc", "auroc_refit", "cosine_to_refit"].map(|metric| cell(row(metric)));
        let shuffled = band(row("auroc_refit_shuffled_labels"));
        let _ = writeln!(out, "  {name:<12}{given:>24}{anew:>24}{shuffled:>18}{cosine:>24}");
    }
    let between = |metric: &str| find(comparison, at, metric, None, Some(&format!("arm:{first}")));
    let _ = writeln!(
        out,
        "\n  cosine between directions fit anew on A and on B: {}; on two halves of one student's pairs: {}\n  \
         (halves share no pairs, A and B share all: below the halves directions have turned, above them nothing follows)",
        cell(between("cosine")),
        cell(between("cosine_of_halves"))
    );
}

fn legend(own: &Own, seeds: usize) -> String {
    let mut out = String::new();
    let looks = own.looking.as_ref().and_then(Looking::along).is_some();
    if seeds > 1 {
        out.push_str(
            "[low, high]: 95 % intervals over seeds and their scenarios or rows; differences are paired: the first students of both\n\
             lists are one seed, then the second ones, and both answered or read the same. With few seeds intervals are wide on purpose. Students of one seed may share more than their arm, as initialization and order of rows do:\n\
             what two seeds of one arm differ by on unrelated text holds that, and A against B does not.",
        );
        if looks {
            out.push_str(
                "\nThose of given AUROCs are over pairs and seeds, those of fits anew and of cosines Student's t over seeds. The base is one model: its own are\n\
                 over rows or pairs alone.",
            );
        }
    } else {
        out.push_str(
            "[low, high]: 95 % intervals over the scenarios or rows of the one seed, which both students answered or read. One seed\n\
             says nothing about other seeds, which differ by more than that: an interval that excludes 0 may be this seed's luck.",
        );
        if looks {
            out.push_str(
                "\nThose of given AUROCs are over pairs. A fit anew and a cosine of one seed have none.",
            );
        }
    }
    out
}
