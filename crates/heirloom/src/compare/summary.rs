//! Two arms on the terminal: numbers, directions, unrelated text, and answers below each other.

use std::fmt::Write as _;

use heirloom_record::{HookPoint, Metric};

use super::shift::POSITIONS;
use super::{Comparison, Moved};
use crate::words::{brackets, number, short};

/// Longest text of a question or an answer that is shown.
const TEXT: usize = 150;

/// What a stranger should read first. `headline` is the hook point that is shown; the table has all.
pub(super) fn summary(comparison: &Comparison, headline: HookPoint) -> String {
    let Comparison { arms: [first, second], seeds, behaviors, metrics, moved, notes, .. } = comparison;
    let mut out = String::new();
    let several = if seeds.len() == 1 { "" } else { "s" };
    let _ = writeln!(out, "A = {first}\nB = {second}\n{} seed{several} of students each\n", seeds.len());
    let width = behaviors.iter().map(String::len).max().unwrap_or(0).max(8) + 2;

    let _ = writeln!(out, "How often each behavior was seen on the same held-out scenarios\n");
    heading(&mut out, width);
    for behavior in behaviors {
        line(&mut out, behavior, width, of(comparison, behavior, "rate", None, None));
    }
    for (fit_on, named) in
        [("base", "from contrasts on the base"), ("teachers", "from the second teacher to the first")]
    {
        let rows = behaviors
            .iter()
            .map(|behavior| (behavior, of(comparison, behavior, "projection", Some(headline), Some(fit_on))));
        let rows: Vec<_> = rows.filter(|(_, cells)| cells[2].is_some()).collect();
        if !rows.is_empty() {
            let _ =
                writeln!(out, "\nProjection on the direction {named}, at {headline}, in reference s.d.\n");
            heading(&mut out, width);
            for (behavior, cells) in rows {
                line(&mut out, behavior, width, cells);
            }
        }
    }

    let _ = writeln!(
        out,
        "\nCosine between the directions that A's and B's students have, fit anew on each, at {headline};\n\
         beside it what two halves of one student's pairs agree to: below it they have turned, above it nothing follows\n"
    );
    let _ = writeln!(out, "  {:<width$}{:>24}{:>24}", "behavior", "A against B", "halves of one");
    for behavior in behaviors {
        let [arms, halves] = ["cosine", "cosine_of_halves"].map(|metric| {
            metrics.iter().find(|row| {
                row.metric == metric
                    && row.behavior == *behavior
                    && row.hook == Some(headline)
                    && row.seed.is_none()
            })
        });
        let _ = writeln!(out, "  {behavior:<width$}{:>24}{:>24}", cell(arms), cell(halves));
    }

    let against = format!("arm:{second}");
    let mut lines = vec![("A against B", "activation_difference", first.as_str(), against.as_str())];
    if seeds.len() > 1 {
        lines.push(("two seeds of one arm", "activation_difference_between_seeds", first, &against));
    }
    unrelated(&mut out, comparison, headline, &lines);
    shown(&mut out, moved.as_deref().unwrap_or_default());
    for note in notes {
        let _ = writeln!(out, "\n{note}");
    }
    let _ = writeln!(out, "\n{}", legend(seeds.len()));
    out
}

/// What lines of [`unrelated`] show: a name, a metric, an arm, and what it is held against.
type Against<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Differences on unrelated text by position from the end; nothing where none was read.
pub(super) fn unrelated(
    out: &mut String,
    comparison: &Comparison,
    headline: HookPoint,
    lines: &[Against<'_>],
) {
    let place = |(_, metric, arm, against): Against<'_>, position: usize| {
        let scored = format!("unrelated text, position -{position}");
        comparison.metrics.iter().find(|row| {
            let here = row.hook == Some(headline) && row.scored_on.as_deref() == Some(&scored);
            let between = row.arm.as_deref() == Some(arm) && row.fit_on.as_deref() == Some(against);
            row.metric == metric && row.seed.is_none() && between && here
        })
    };
    let positions: Vec<usize> =
        (1..=POSITIONS).rev().filter(|position| place(lines[0], *position).is_some()).collect();
    if positions.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "\nOn text that has nothing to do with a behavior: norm of the mean difference of activations, over\n\
         their mean norm, at {headline}, by position from the end of the text\n"
    );
    let mut cells = |name: &str, cell: &dyn Fn(usize) -> String| {
        let _ = write!(out, "  {name:<22}");
        for position in &positions {
            let _ = write!(out, "{:>7}", cell(*position));
        }
        out.push('\n');
    };
    cells("position", &|position| format!("−{position}"));
    for line in lines {
        cells(line.0, &|position| {
            place(*line, position).and_then(|row| row.value).map_or("–".into(), number)
        });
    }
}

/// Scenarios with both students' answers.
pub(super) fn shown(out: &mut String, moved: &[Moved]) {
    out.push_str("\nScenarios that moved most (+ shows the behavior, · does not)\n");
    if moved.is_empty() {
        out.push_str("\n  none\n");
    }
    for moved in moved {
        scenario(out, moved);
    }
}

fn legend(seeds: usize) -> &'static str {
    if seeds > 1 {
        "\
[low, high]: 95 % intervals over seeds and their scenarios; differences are paired: both arms' students of a seed answered
the same scenarios. With few seeds they are wide on purpose. Intervals of cosines are Student's t over seeds."
    } else {
        "\
[low, high]: 95 % intervals over the scenarios of the one seed, on which both arms were tried. Students of other seeds
differ by more than that: an interval that excludes 0 may be this seed's luck."
    }
}

/// A, B and their difference.
pub(super) fn of<'a>(
    comparison: &'a Comparison,
    behavior: &str,
    metric: &str,
    hook: Option<HookPoint>,
    fit_on: Option<&str>,
) -> [Option<&'a Metric>; 3] {
    let find = |arm: &str, metric: &str| {
        comparison.metrics.iter().find(|row| {
            let place = row.behavior == behavior && row.hook == hook && row.fit_on.as_deref() == fit_on;
            row.metric == metric && row.arm.as_deref() == Some(arm) && row.seed.is_none() && place
        })
    };
    let [first, second] = &comparison.arms;
    [find(first, metric), find(second, metric), find(first, &format!("{metric}_difference"))]
}

pub(super) fn heading(out: &mut String, width: usize) {
    let _ = writeln!(out, "  {:<width$}{:>24}{:>24}{:>24}", "behavior", "A", "B", "A minus B");
}

pub(super) fn line(out: &mut String, behavior: &str, width: usize, cells: [Option<&Metric>; 3]) {
    let [one, other, difference] = cells.map(cell);
    let _ = writeln!(out, "  {behavior:<width$}{one:>24}{other:>24}{difference:>24}");
}

fn scenario(out: &mut String, moved: &Moved) {
    let Moved { behavior, seed, scenario, asked, answers, .. } = moved;
    let id = scenario.strip_prefix(&format!("{behavior}/")).unwrap_or(scenario);
    let _ = writeln!(out, "\n  {behavior}, scenario {id} of seed {seed}: {}", short(asked, TEXT));
    for (arm, answers) in ["A", "B"].iter().zip(answers) {
        for answer in answers {
            let mark = if answer.shown { "+" } else { "·" };
            let _ = writeln!(out, "    {arm} {mark} {}", short(&answer.text, TEXT));
        }
    }
}

pub(super) fn cell(row: Option<&Metric>) -> String {
    match row.map(|row| (row.value, row.low, row.high)) {
        Some((Some(value), Some(low), Some(high))) => brackets(value, low, high),
        Some((Some(value), ..)) => number(value),
        _ => "–".into(),
    }
}
