//! Verdicts held against what is known, and how often they are right.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_probe::interval::{LEVEL, wilson};
use heirloom_probe::score::calibration;
use heirloom_record::{Case, Metric};
use heirloom_rollout::world::{Decidable, Known};
use serde::Serialize;

use crate::Result;
use crate::origins::Found;

/// A verdict names what has at least half of the probability.
const NAMED: f64 = 0.5;
/// Bins of the calibration error.
const BINS: usize = 10;

/// One verdict beside what is known; several measures of one behavior weigh the same.
pub(super) fn case(behavior: &str, known: &Known, found: &[&Found]) -> Case {
    let origins = mean(found.iter().map(|found| found.origin_probabilities().to_vec()));
    let hypotheses = mean(found.iter().map(|found| found.probabilities()));
    let origin = name(&known.origin);
    let hypothesis = known.hypothesis.as_ref().map(name);
    let named = |probabilities: &BTreeMap<&'static str, f64>, otherwise: &str| {
        let best = probabilities.iter().max_by(|a, b| a.1.total_cmp(b.1));
        match best {
            Some((name, probability)) if *probability >= NAMED => ((*name).to_owned(), *probability),
            _ => (otherwise.to_owned(), probabilities.get(otherwise).copied().unwrap_or(0.0)),
        }
    };
    let (named_origin, named_origin_probability) = named(&origins, "undecided");
    let (named_hypothesis, named_hypothesis_probability) = named(&hypotheses, "several-left");
    Case {
        behavior: behavior.into(),
        origin_probability: origins.get(origin.as_str()).copied().unwrap_or(0.0),
        hypothesis_probability: hypothesis
            .as_ref()
            .map(|name| hypotheses.get(name.as_str()).copied().unwrap_or(0.0)),
        origin,
        hypothesis,
        decidable: name(&known.decidable),
        named_origin,
        named_origin_probability,
        named_hypothesis,
        named_hypothesis_probability,
        world: String::new(),
        seed: 0,
        measure: String::new(),
        arms: String::new(),
        students: 0,
    }
}

/// The name that a value has in a file.
fn name(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

fn mean(all: impl Iterator<Item = Vec<(&'static str, f64)>> + Clone) -> BTreeMap<&'static str, f64> {
    let n = all.clone().count() as f64;
    let mut means = BTreeMap::new();
    for (name, probability) in all.flatten() {
        *means.entry(name).or_insert(0.0) += probability / n;
    }
    means
}

/// Whether the origin of a case can be told from its arms.
fn tells_origin(case: &Case) -> bool {
    case.decidable != name(&Decidable::Nothing)
}

/// Whether the hypothesis of a case can be told from its arms.
fn tells_hypothesis(case: &Case) -> bool {
    case.decidable == name(&Decidable::Hypothesis) && case.hypothesis.is_some() && case.origin != "none"
}

/// Shares of right verdicts by measure, arms and number of seeds of students, each with Wilson's interval over cases.
pub(super) fn metrics(cases: &[Case]) -> Result<Vec<Metric>> {
    let kinds: BTreeSet<(&str, &str, i64)> =
        cases.iter().map(|case| (case.measure.as_str(), case.arms.as_str(), case.students)).collect();
    let mut rows = vec![];
    for (measure, arms, students) in kinds {
        let own = || {
            cases.iter().filter(move |case| {
                (case.measure.as_str(), case.arms.as_str(), case.students) == (measure, arms, students)
            })
        };
        let row = |metric: &str| Metric {
            behavior: "all".into(),
            arm: Some(arms.into()),
            method: Some(measure.into()),
            scored_on: Some(format!("{students} seeds of students")),
            metric: metric.into(),
            ..Metric::default()
        };
        let mut share = |metric: &str, held: Vec<bool>| -> Result<()> {
            if !held.is_empty() {
                let found = wilson(held.iter().filter(|held| **held).count(), held.len(), LEVEL)?;
                rows.push(Metric {
                    value: Some(found.value),
                    low: Some(found.low),
                    high: Some(found.high),
                    n: i64::try_from(held.len()).ok(),
                    interval: Some(found.describe("cases")),
                    ..row(metric)
                });
            }
            Ok(())
        };
        let named = |case: &Case| case.named_origin == case.origin;
        share("origin_right", own().filter(|case| tells_origin(case)).map(named).collect())?;
        share(
            "origin_wrong",
            own()
                .filter(|case| tells_origin(case))
                .map(|case| !named(case) && case.named_origin != "undecided")
                .collect(),
        )?;
        share(
            "hypothesis_right",
            own()
                .filter(|case| tells_hypothesis(case))
                .map(|case| case.hypothesis.as_deref() == Some(&case.named_hypothesis))
                .collect(),
        )?;
        let alarms = |case: &Case| ["teacher", "prompts", "base"].contains(&case.named_origin.as_str());
        share("false_alarm", own().filter(|case| case.origin == "none").map(alarms).collect())?;
        let told: Vec<&Case> = own().filter(|case| tells_origin(case)).collect();
        if !told.is_empty() {
            let probabilities: Vec<f64> =
                told.iter().map(|case| case.named_origin_probability.clamp(0.0, 1.0)).collect();
            let right: Vec<bool> = told.iter().map(|case| named(case)).collect();
            rows.push(Metric {
                value: Some(calibration(&probabilities, &right, BINS)?.error),
                n: i64::try_from(told.len()).ok(),
                ..row("origin_calibration_error")
            });
            let brier: f64 = told.iter().map(|case| (1.0 - case.origin_probability).powi(2)).sum();
            rows.push(Metric {
                value: Some(brier / told.len() as f64),
                n: i64::try_from(told.len()).ok(),
                ..row("origin_brier")
            });
        }
    }
    Ok(rows)
}
