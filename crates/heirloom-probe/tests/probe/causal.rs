//! Causal checks: dose and response, and verdicts that err no more often than they say.

use heirloom_probe::causal::{
    Check, Dose, Effect, Reason, Side, Verdict, dose_response, holm, judge, p_values, strongest,
};
use heirloom_probe::random::{ChaCha8Rng, standard_normal, stream};
use heirloom_probe::rate::Observation;
use heirloom_probe::{Error, Resampling};
use rand::Rng;
use rayon::prelude::*;

use crate::close;
use crate::made::{phi, rng};

const QUICK: Resampling = Resampling { replicates: 200, level: 0.95 };
const SIMULATIONS: u64 = 2000;

fn share(n: u64, holds: impl Fn(u64) -> bool + Send + Sync) -> f64 {
    (0..n).into_par_iter().filter(|simulation| holds(*simulation)).count() as f64 / n as f64
}

/// Verdicts of three seeds with 16 scenarios each.
fn verdicts(rng: &mut ChaCha8Rng, scenarios: &[f64], center: f64) -> Vec<Observation> {
    let mut seen = vec![];
    for (at, scenario) in scenarios.iter().enumerate() {
        for _ in 0..2 {
            let value = if rng.r#gen::<f64>() < phi(center + 0.7 * scenario) { 1.0 } else { 0.0 };
            seen.push(Observation { run: at / 16, cluster: at, value });
        }
    }
    seen
}

/// A behavior whose rate grows by `slope` probits per unit of strength, and coherence that breaks beyond 3.
fn measured(simulation: u64, slope: f64) -> Vec<(f64, Vec<Observation>, Vec<Observation>)> {
    let mut rng = stream(&rng(400), simulation);
    let scenarios: Vec<f64> = (0..48).map(|_| standard_normal(&mut rng)).collect();
    [0.0, 1.0, 2.0, 3.0, 4.0]
        .into_iter()
        .map(|strength| {
            let shown = verdicts(&mut rng, &scenarios, slope * strength - 1.0);
            let coherent = verdicts(&mut rng, &scenarios, if strength > 3.5 { -1.0 } else { 2.5 });
            (strength, shown, coherent)
        })
        .collect()
}

fn doses(measured: &[(f64, Vec<Observation>, Vec<Observation>)]) -> Vec<Dose<'_>> {
    measured.iter().map(|(strength, shown, coherent)| Dose { strength: *strength, shown, coherent }).collect()
}

#[test]
fn the_strongest_coherent_dose_is_chosen() {
    let measured = measured(0, 0.8);
    let doses = doses(&measured);
    let found = dose_response(doses[0], &doses[1..], 0.8, Side::Raises, QUICK, &rng(0)).unwrap();
    let best = found.best().unwrap();
    // Strength 4 has the largest effect and is not coherent.
    assert!(found.responses[3].effect.value > best.effect.value && found.responses[3].coherence.value < 0.5);
    assert_eq!(found.chosen, Some(2));
    assert!(best.effect.low > 0.0 && found.slope.unwrap().low > 0.0, "{found:?}");
    for response in &found.responses {
        close("effect", response.effect.value, response.rate.value - rate(doses[0].shown), 1e-12);
    }
    // Nothing is coherent enough: no choice, no slope.
    let strict = dose_response(doses[0], &doses[1..], 1.0, Side::Raises, QUICK, &rng(0)).unwrap();
    assert_eq!((strict.chosen, strict.slope), (None, None));
    assert!(strict.best().is_none());
    let effects = [(0.1, 0.9), (-0.6, 0.9), (0.4, 0.9), (0.4, 0.9), (0.9, 0.2)];
    for (side, chosen) in [(Side::Raises, 2), (Side::Lowers, 1), (Side::Either, 1)] {
        assert_eq!(strongest(&effects, 0.8, side), Some(chosen), "{side:?}");
    }
    assert_eq!(strongest(&effects, 0.95, Side::Either), None);
}

fn rate(seen: &[Observation]) -> f64 {
    seen.iter().map(|seen| seen.value).sum::<f64>() / seen.len() as f64
}

#[test]
fn the_slope_is_that_of_the_line_and_zero_without_an_effect() {
    // Values on a line within every scenario: its slope, exactly, and an interval of the scenarios' slopes.
    let line = |strength: f64| -> Vec<Observation> {
        let value = |cluster: usize| 0.3 + strength * (0.1 + 0.01 * (cluster % 5) as f64);
        (0..60).map(|i| Observation { run: i / 20, cluster: i, value: value(i % 20) }).collect()
    };
    let fine: Vec<Observation> =
        (0..60).map(|i| Observation { run: i / 20, cluster: i, value: 1.0 }).collect();
    let shown = [0.0, -1.0, 0.5, 2.0].map(line);
    let doses: Vec<Dose> = [0.0, -1.0, 0.5, 2.0]
        .into_iter()
        .zip(&shown)
        .map(|(strength, shown)| Dose { strength, shown, coherent: &fine })
        .collect();
    let found = dose_response(doses[0], &doses[1..], 0.5, Side::Either, QUICK, &rng(0)).unwrap();
    let slope = found.slope.unwrap();
    close("slope", slope.value, 0.12, 1e-12);
    assert_eq!((slope.n, slope.clusters, slope.runs), (240, 60, 3));
    for (effect, excluded) in [(0.0, 0.0..0.06), (0.5, 0.9..1.01)] {
        let found = share(400, |simulation| {
            let measured = measured(simulation, effect);
            let doses = self::doses(&measured);
            let found =
                dose_response(doses[0], &doses[1..], 0.8, Side::Raises, QUICK, &rng(simulation)).unwrap();
            found.slope.is_some_and(|slope| slope.low > 0.0 || slope.high < 0.0)
        });
        println!("slope of {effect} probits: interval excludes zero in {found:.3}");
        assert!(excluded.contains(&found), "{effect}: {found}");
    }
}

/// An effect among 64 controls of each family; differences push harder than random directions do.
fn effect(rng: &mut ChaCha8Rng, behavior: &str, value: f64, wide: bool) -> Effect {
    let spread = if wide { 2.0 } else { 1.0 };
    let mut draws = |n: usize, sd: f64| -> Vec<f64> { (0..n).map(|_| sd * standard_normal(rng)).collect() };
    let (random, differences) = (draws(64, 1.0), draws(64, spread));
    Effect { behavior: behavior.to_owned(), value, random, differences }
}

/// A direction whose own effect and whose effects on two others are draws of the null, moved by `own` and by `other`.
fn check(rng: &mut ChaCha8Rng, own: f64, other: f64, wide: bool) -> Check {
    let mut one = |behavior: &str, shift: f64| {
        let value = shift + standard_normal(rng);
        effect(rng, behavior, value, wide)
    };
    let (own, first, second) = (one("own", own), one("first", other), one("second", 0.0));
    Check { direction: "direction".into(), own, others: vec![first, second] }
}

#[test]
fn under_the_null_verdicts_err_no_more_than_they_say_however_many_directions() {
    for (directions, wide) in [(1, false), (3, false), (3, true)] {
        for side in [Side::Raises, Side::Lowers, Side::Either] {
            let raw = |simulation: u64, found: &dyn Fn(Verdict, f64) -> bool| {
                let mut rng = stream(&rng(401), simulation);
                let checks: Vec<Check> = (0..directions).map(|_| check(&mut rng, 0.0, 0.0, wide)).collect();
                judge(&checks, side, 0.05).unwrap().iter().any(|judged| found(judged.verdict, judged.own.raw))
            };
            let named = share(SIMULATIONS, |s| raw(s, &|verdict, _| verdict != Verdict::NotCausal));
            let uncorrected = share(SIMULATIONS, |s| raw(s, &|_, p| p <= 0.05));
            println!(
                "{directions} directions, {side:?}, wide {wide}: some named causal in {named:.3}, uncorrected in {uncorrected:.3}"
            );
            assert!(named <= 0.055, "{directions}, {side:?}: {named}");
            assert!(directions == 1 || uncorrected > named, "{uncorrected} against {named}");
        }
    }
}

#[test]
fn a_single_family_is_exactly_calibrated() {
    // With both families the same, only one test is left: P(p ≤ 0.05) = 3/65.
    let rejected = share(20_000, |simulation| {
        let mut rng = stream(&rng(402), simulation);
        let value = standard_normal(&mut rng);
        let one = effect(&mut rng, "own", value, false);
        let same = Effect { differences: one.random.clone(), ..one };
        p_values(&[same], Side::Either).unwrap()[0].raw <= 0.05
    });
    println!("one family: rejected in {rejected:.4}");
    close("rejection rate", rejected, 3.0 / 65.0, 0.005);
}

#[test]
fn verdicts_tell_specific_from_causal_from_nothing() {
    let share_of = |own: f64, other: f64, verdict: Verdict| {
        share(SIMULATIONS, |simulation| {
            let mut rng = stream(&rng(403), simulation);
            let checks: Vec<Check> = (0..2).map(|_| check(&mut rng, own, other, false)).collect();
            judge(&checks, Side::Raises, 0.05).unwrap()[0].verdict == verdict
        })
    };
    for (own, other, expected, least) in [
        (8.0, 0.0, Verdict::BehaviorSpecific, 0.8),
        (8.0, -8.0, Verdict::Causal, 0.99),
        (0.0, 0.0, Verdict::NotCausal, 0.95),
        (0.0, 8.0, Verdict::NotCausal, 0.95),
        (-8.0, 0.0, Verdict::NotCausal, 0.99),
    ] {
        let found = share_of(own, other, expected);
        println!("own moved by {own}, another by {other}: {expected:?} in {found:.3}");
        assert!(found >= least, "{own}, {other}: {found}");
    }
}

#[test]
fn reasons_say_what_decided() {
    let mut rng = rng(404);
    let mut with = |own: f64, others: &[f64]| Check {
        direction: "dom".into(),
        own: effect(&mut rng, "blackmail", own, false),
        others: others.iter().map(|value| effect(&mut rng, "despair", *value, false)).collect(),
    };
    let judged = judge(&[with(9.0, &[0.0])], Side::Raises, 0.05).unwrap().remove(0);
    assert_eq!(judged.verdict, Verdict::BehaviorSpecific);
    let words: Vec<String> = judged.reasons.iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "`blackmail` moves beyond both null families: one-sided p = 0.015 of 64 controls, 0.015 over 1 comparison (Holm)",
            "every other behavior (1) stays inside both null bands",
        ]
    );
    let judged = judge(&[with(9.0, &[0.0, 9.0])], Side::Raises, 0.05).unwrap().remove(0);
    assert_eq!(judged.verdict, Verdict::Causal);
    assert!(
        judged.reasons[1].to_string().starts_with("`despair` moves too: two-sided p = 0.015"),
        "{judged:?}"
    );
    let judged = judge(&[with(9.0, &[])], Side::Raises, 0.05).unwrap().remove(0);
    assert_eq!((judged.verdict, &judged.reasons[1]), (Verdict::Causal, &Reason::NoOthers));
    let judged = judge(&[with(0.0, &[0.0])], Side::Raises, 0.05).unwrap().remove(0);
    assert_eq!(judged.verdict, Verdict::NotCausal);
    assert!(matches!(judged.reasons[..], [Reason::Inside(..)]));
    // Four directions that all beat all of their controls: 4/65 is above 0.05.
    let four: Vec<Check> = (0..4).map(|_| with(9.0, &[0.0])).collect();
    for judged in judge(&four, Side::Raises, 0.05).unwrap() {
        assert_eq!(judged.verdict, Verdict::Undecided);
        assert_eq!(judged.reasons[0].to_string(), "4 comparisons with 64 controls cannot go below p = 0.062");
    }
    // So is a single one with too few controls to reach the level, wherever it lies among them: nothing could have been seen.
    let mut few = with(9.0, &[]);
    few.own.random.truncate(8);
    few.own.differences.truncate(8);
    assert_eq!(judge(&[few.clone()], Side::Raises, 0.05).unwrap()[0].verdict, Verdict::Undecided);
    few.own.value = -9.0;
    let judged = judge(&[few], Side::Raises, 0.05).unwrap().remove(0);
    assert_eq!(judged.verdict, Verdict::Undecided);
    assert_eq!(judged.reasons[0].to_string(), "1 comparison with 8 controls cannot go below p = 0.111");
    // Twin: three are decided.
    let three = judge(&four[..3], Side::Raises, 0.05).unwrap();
    assert!(three.iter().all(|judged| judged.verdict == Verdict::BehaviorSpecific));
    // An effect beyond random directions but not beyond differences is not causal.
    let mut inside = with(3.5, &[0.0]);
    inside.own.differences.iter_mut().for_each(|value| *value *= 5.0);
    assert_eq!(judge(&[inside], Side::Raises, 0.05).unwrap()[0].verdict, Verdict::NotCausal);
}

#[test]
fn controls_must_be_searched_as_the_direction_was() {
    // Five strengths of a direction that means nothing, the best one kept.
    let best_of_five = |rng: &mut ChaCha8Rng| {
        let five: Vec<(f64, f64)> = (0..5).map(|_| (standard_normal(rng), 1.0)).collect();
        five[strongest(&five, 0.5, Side::Raises).unwrap()].0
    };
    let rejected = |searched: bool| {
        share(SIMULATIONS, |simulation| {
            let mut rng = stream(&rng(405), simulation);
            let value = best_of_five(&mut rng);
            let mut controls = || -> Vec<f64> {
                (0..64)
                    .map(|_| if searched { best_of_five(&mut rng) } else { standard_normal(&mut rng) })
                    .collect()
            };
            let (random, differences) = (controls(), controls());
            let effect = Effect { behavior: "own".into(), value, random, differences };
            p_values(&[effect], Side::Raises).unwrap()[0].raw <= 0.05
        })
    };
    let (alike, not) = (rejected(true), rejected(false));
    println!(
        "best of five strengths: rejected in {alike:.3} against controls searched alike, in {not:.3} against others"
    );
    assert!(alike <= 0.055 && not > 0.1, "{alike}, {not}");
}

#[test]
fn holm_is_statsmodels() {
    // statsmodels.stats.multitest.multipletests(method="holm"), statsmodels 0.15.0.
    for (raw, expected) in [
        (vec![0.01, 0.04, 0.03, 0.005], vec![0.03, 0.06, 0.06, 0.02]),
        (vec![1.0 / 65.0, 1.0 / 65.0, 0.5], vec![3.0 / 65.0, 3.0 / 65.0, 0.5]),
        (vec![0.2], vec![0.2]),
        (vec![0.9, 0.8, 0.02, 0.02, 0.04], vec![1.0, 1.0, 0.1, 0.1, 0.12]),
        (vec![], vec![]),
    ] {
        for (found, expected) in holm(&raw).iter().zip(&expected) {
            close("holm", *found, *expected, 1e-15);
        }
        assert_eq!(holm(&raw).len(), expected.len());
    }
}

#[test]
fn unusable_checks_are_named() {
    let refuses = |error: Error, words: &str| {
        let message = error.to_string();
        assert!(message.contains(words), "expected `{words}` in `{message}`");
    };
    let whole = effect(&mut rng(406), "own", 1.0, false);
    let check = |own: Effect| [Check { direction: "dom".into(), own, others: vec![] }];
    let empty = Effect { differences: vec![], ..whole.clone() };
    refuses(judge(&check(empty), Side::Raises, 0.05).unwrap_err(), "expected at least 1 controls, found 0");
    let holed = Effect { value: f64::NAN, ..whole.clone() };
    refuses(judge(&check(holed), Side::Raises, 0.05).unwrap_err(), "expected a finite score, found NaN");
    refuses(
        judge(&check(whole), Side::Raises, 1.5).unwrap_err(),
        "`level`: expected a number between 0 and 1",
    );
    let measured = measured(1, 0.0);
    let doses = doses(&measured);
    let response =
        |doses: &[Dose], floor| dose_response(doses[0], &doses[1..], floor, Side::Raises, QUICK, &rng(0));
    refuses(response(&doses[..1], 0.5).unwrap_err(), "expected at least 1 strengths, found 0");
    refuses(response(&doses, 1.5).unwrap_err(), "`floor`: expected a coherence from 0 to 1, found 1.5");
    let again = [doses[0], doses[1], doses[1]];
    refuses(response(&again, 0.5).unwrap_err(), "`strengths`: expected finite and each once, found 1");
    let endless = [doses[0], Dose { strength: f64::INFINITY, ..doses[1] }];
    refuses(response(&endless, 0.5).unwrap_err(), "`strengths`: expected finite and each once, found inf");
    let lacking = [doses[0], Dose { shown: &doses[1].shown[2..], ..doses[1] }];
    refuses(response(&lacking, 0.5).unwrap_err(), "run 0, cluster 0: expected values of both arms");
}
