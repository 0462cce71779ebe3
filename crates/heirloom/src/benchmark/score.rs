//! Verdicts held against what is known, and how often they are right.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_probe::interval::{LEVEL, wilson};
use heirloom_probe::score::calibration;
use heirloom_record::{Case, Metric};
use heirloom_rollout::world::{Decidable, Known};
use serde::Serialize;

use crate::Result;
use crate::origins::{Found, named};

/// Bins of the calibration error: more would hold a case or two each.
const BINS: usize = 4;
/// What a verdict on the hypothesis says that names none.
const OPEN: [&str; 3] = ["several-left", "none-of-these", "nothing-to-explain"];

/// One verdict beside what is known; several measures of one behavior weigh the same.
pub(super) fn case(behavior: &str, known: &Known, found: &[&Found]) -> Case {
    let origins = mean(found.iter().map(|found| found.origin_probabilities().to_vec()));
    let hypotheses = mean(found.iter().map(|found| found.probabilities()));
    let origin = name(&known.origin);
    let hypothesis = known.hypothesis.as_ref().map(name);
    let pick = |probabilities: &BTreeMap<&'static str, f64>, otherwise| {
        let all: Vec<(&str, f64)> = probabilities.iter().map(|(name, p)| (*name, *p)).collect();
        let (name, probability) = named(&all, otherwise);
        (name.to_owned(), probability)
    };
    let (named_origin, named_origin_probability) = pick(&origins, "undecided");
    let (named_hypothesis, named_hypothesis_probability) = pick(&hypotheses, "several-left");
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
        let right = |case: &&Case| case.named_origin == case.origin;
        let names = |case: &&Case| case.named_origin != "undecided";
        let alarms = |case: &&Case| ["teacher", "prompts", "base"].contains(&case.named_origin.as_str());
        let planted = |case: &&Case| tells_origin(case) && case.origin != "none";
        let held = |which: &dyn Fn(&&Case) -> bool, holds: &dyn Fn(&&Case) -> bool| -> Vec<bool> {
            own().filter(|case| which(case)).map(|case| holds(&case)).collect()
        };
        let told = |case: &&Case| tells_origin(case);
        let mechanism = |case: &&Case| tells_hypothesis(case);
        let known = |case: &&Case| case.hypothesis.as_deref() == Some(&case.named_hypothesis);
        let other = |case: &&Case| !known(case) && !OPEN.contains(&case.named_hypothesis.as_str());
        share("origin_right", held(&told, &right))?;
        share("origin_right_where_planted", held(&planted, &right))?;
        share("origin_wrong", held(&told, &|case| names(case) && !right(case)))?;
        share("hypothesis_right", held(&mechanism, &known))?;
        share("hypothesis_wrong", held(&mechanism, &other))?;
        share("false_alarm", held(&|case| case.origin == "none", &alarms))?;
        // What arms cannot tell, they must not claim; the true origin and `none` are no claims too many.
        share("claimed_too_much", held(&|case| !tells_origin(case), &|case| alarms(case) && !right(case)))?;
        let named: Vec<&Case> = own().filter(|case| tells_origin(case) && names(case)).collect();
        if !named.is_empty() {
            let probabilities: Vec<f64> =
                named.iter().map(|case| case.named_origin_probability.clamp(0.0, 1.0)).collect();
            let held: Vec<bool> = named.iter().map(right).collect();
            rows.push(Metric {
                value: Some(calibration(&probabilities, &held, BINS)?.error),
                n: i64::try_from(named.len()).ok(),
                ..row("named_origin_calibration_error")
            });
        }
    }
    Ok(rows)
}
