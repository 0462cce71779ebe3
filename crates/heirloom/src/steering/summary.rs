//! The end of a check on the terminal: what moved beside what moves by itself, and a verdict on each direction.

use std::fmt::Write as _;
use std::path::Path;

use super::about::{About, Told};
use super::bench::Bench;
use super::weigh::{Found, Kind, LEVEL, Moved, Weighed};
use crate::words::{brackets, number};

const WIDTH: usize = 23;

/// What a stranger should read first.
pub(super) fn summary(bench: &Bench, weighed: &Weighed, about: &About<'_>, out: &Path) -> String {
    let mut text = String::new();
    opening(&mut text, bench, weighed, about);
    for kind in bench.edits.kinds() {
        let of_kind: Vec<&Found> = weighed.found.iter().filter(|found| found.kind == kind).collect();
        table(&mut text, kind, &of_kind, about);
    }
    let _ =
        writeln!(text, "\nVerdicts, at {LEVEL} after Holm's correction over the directions of each edit\n");
    for found in &weighed.found {
        verdict(&mut text, found, about);
    }
    together(&mut text, bench, weighed, about);
    let has_base = bench.edits.kinds().any(|kind| kind == Kind::ToBase);
    let _ = writeln!(
        text,
        "\n[low, high]: 95 % intervals of the effect, which do not know that the strength was chosen; the p-values do, because every\n\
         control was searched over the same strengths. *: uncorrected p-value of at most {LEVEL}.\n\
         Controls of the last {} additions that move the activations as far. What is\n\
         causal here is so in {}.\n\n{}",
        if has_base { "two edits are" } else { "edit are" },
        about.told.within,
        out.display()
    );
    let _ = writeln!(text, "  doses.csv, doses.parquet      rate, coherence and likelihood by strength");
    let _ = writeln!(
        text,
        "  checks.csv, checks.parquet    every effect beside its controls, with verdict and reasons"
    );
    let _ = writeln!(text, "  dose-response.svg, .pdf, .png");
    text
}

fn opening(text: &mut String, bench: &Bench, weighed: &Weighed, about: &About<'_>) {
    let Told { who, fit, scenarios, well_formed, .. } = &about.told;
    let _ = writeln!(text, "{who}, steered at {}, at {}", about.at.words(), about.hook);
    let norm = bench.tried.iter().map(|tried| tried.norm).sum::<f64>() / bench.tried.len() as f64;
    let asked = bench.tried[0].rows.iter().map(Vec::len).min().unwrap_or(0);
    let controls = about.search.controls;
    let _ = writeln!(
        text,
        "{fit}Strength 1 adds a vector as long as the mean activation ({norm:.2}). {asked} {scenarios}; \
         {controls} random directions and {controls} random differences of activations stand beside.\n\
         A dose counts while at least {:.2} of the answers to every behavior are well formed.",
        weighed.floor
    );
    let _ = writeln!(text, "{}", well_formed.as_ref().map(|asked| format!("{asked}\n")).unwrap_or_default());
    heading(text, "not steered", about);
    let rates = weighed.unsteered.iter();
    line(text, "rate", rates.clone().map(|(rate, _)| brackets(rate.value, rate.low, rate.high)));
    line(text, "well formed", rates.map(|(_, coherence)| number(coherence.value)));
    if well_formed.is_some() {
        line(text, "log-probability", weighed.likelihoods.iter().map(|value| likelihood(*value)));
    }
}

fn table(text: &mut String, kind: Kind, found: &[&Found], about: &About<'_>) {
    let title = match kind {
        Kind::Add => "\nAdding it, at the strength that moves its own behavior most: change of the rate",
        Kind::Ablate => "\nTaking the component along it away: change of the rate",
        Kind::ToBase => "\nSetting the component along it to the base's mean: change of the rate",
    };
    let _ = writeln!(text, "{title}\n");
    heading(text, "direction of", about);
    for found in found {
        let label = &about.behaviors[found.direction].1;
        let dose = found.strength.map(|strength| format!(" × {}", number(strength))).unwrap_or_default();
        let cells = found.effects.iter().map(|moved| match &moved.effect {
            Some(effect) => brackets(effect.value, effect.low, effect.high) + mark(moved),
            None => "–".into(),
        });
        line(text, &format!("{label}{dose}"), cells);
    }
    if about.told.well_formed.is_some() {
        line(text, "log-probability", found.iter().map(|found| likelihood(found.likelihood)));
    }
    // Of each behavior by the controls that were chosen for it, as its own direction was.
    for (name, ends) in [
        ("random, 95 %", (|moved| moved.random) as fn(&Moved) -> (f64, f64)),
        ("differences, 95 %", |moved| moved.differences),
    ] {
        let own = found.iter().map(|found| ends(&found.effects[found.direction]));
        line(text, name, own.map(|(low, high)| format!("{} to {}", number(low), number(high))));
    }
}

/// How likely the base finds answers, of each behavior under its own direction.
fn likelihood(value: Option<f64>) -> String {
    value.map_or("–".into(), number)
}

/// A star on effects beyond controls.
fn mark(moved: &Moved) -> &'static str {
    if moved.p.raw <= LEVEL { " *" } else { "" }
}

fn verdict(text: &mut String, found: &Found, about: &About<'_>) {
    let label = &about.behaviors[found.direction].1;
    let done = match found.kind {
        Kind::Add => "adding",
        Kind::Ablate => "ablating",
        Kind::ToBase => "setting to the base",
    };
    let _ = writeln!(text, "  {:<44}{}", format!("{label}, {done}"), found.verdict);
    // The grounds of the other edits are in the table.
    for reason in found.reasons.iter().filter(|_| found.kind == Kind::Add) {
        let _ = writeln!(text, "      {reason}");
    }
}

/// Behaviors whose directions move each other are told apart by none of them.
fn together(text: &mut String, bench: &Bench, weighed: &Weighed, about: &About<'_>) {
    let added: Vec<&Found> = weighed.found.iter().filter(|found| found.kind == Kind::Add).collect();
    let moves = |direction: usize, behavior: usize| {
        let found = added[direction];
        let causal = found.verdict == "causal" || found.verdict == "behavior-specific";
        causal && found.effects[behavior].p.adjusted <= LEVEL
    };
    let pairs =
        (0..added.len()).flat_map(|first| (first + 1..added.len()).map(move |second| (first, second)));
    let said: Vec<String> = pairs
        .filter(|(first, second)| moves(*first, *second) && moves(*second, *first))
        .map(|(first, second)| {
            let cosine = number(bench.vectors[first].dot(&bench.vectors[second]));
            format!("{} and {} (cosine {cosine})", about.behaviors[first].1, about.behaviors[second].1)
        })
        .collect();
    if !said.is_empty() {
        let _ = writeln!(
            text,
            "\nDirections that move each other's behaviors: {}.\nWhat they carry is shared, such as who answers: none of them is specific \
             to its behavior.",
            said.join(", ")
        );
    }
}

fn heading(text: &mut String, first: &str, about: &About<'_>) {
    line(text, first, about.behaviors.iter().map(|(_, label)| label.clone()));
}

fn line(text: &mut String, first: &str, cells: impl Iterator<Item = String>) {
    let _ = write!(text, "  {first:<28}");
    for cell in cells {
        let _ = write!(text, "{cell:<WIDTH$} ");
    }
    let kept = text.trim_end_matches(' ').len();
    text.truncate(kept);
    text.push('\n');
}
