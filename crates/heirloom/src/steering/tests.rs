//! Verdicts on effects that are planted, and on their absence.

use heirloom_probe::random::{ChaCha8Rng, Rng as _, stream};
use heirloom_probe::rate::Observation;
use heirloom_record::{CausalCheck, HookPoint};

use super::Search;
use super::about::{About, At, Told};
use super::answers::{Answered, Seen};
use super::bench::{Doing, Edits, Family, Look};
use super::weigh::{Kind, Weighed};
use crate::streams;

const SEEDS: usize = 4;
const SCENARIOS: usize = 24;

/// What an edit does to a behavior's rate, and how many answers it leaves well formed.
type Planted = fn(family: Family, vector: usize, doing: Doing, behavior: usize) -> (f64, f64);

fn dose(doing: Doing) -> f64 {
    if let Doing::Add(strength) = doing { strength } else { 0.0 }
}

/// Students of four seeds that show every behavior half of the time.
fn answered(edits: &Edits, planted: Planted, seed: u64) -> Answered {
    let root = streams::stream(seed, "planted");
    let seen = |look: Option<Look>, behavior: usize, rng: &mut ChaCha8Rng| {
        let (moved, coherent) = look.map_or((0.0, 0.98), |look| {
            planted(edits.families[look.vector], look.vector, look.doing, behavior)
        });
        let mut draw = |rate: f64| -> Vec<Observation> {
            let one = |at: usize| {
                let value = if rng.r#gen::<f64>() < rate { 1.0 } else { 0.0 };
                Observation { run: at / SCENARIOS, cluster: at % SCENARIOS, value }
            };
            (0..SEEDS * SCENARIOS).map(one).collect()
        };
        Seen { shown: draw(0.5 + moved), coherent: draw(coherent), log_prob: vec![] }
    };
    let look = |index: usize, look: Option<Look>| -> Vec<Seen> {
        let mut rng = stream(&root, index as u64);
        (0..3).map(|behavior| seen(look, behavior, &mut rng)).collect()
    };
    let looks = edits.looks.iter().enumerate().map(|(index, one)| look(index + 1, Some(*one)));
    Answered { unsteered: look(0, None), looks: looks.collect() }
}

/// The checks of adding a direction, by direction and then behavior.
fn checks(planted: Planted, seed: u64) -> Vec<CausalCheck> {
    let search = Search::default();
    let edits = Edits::new(3, search.controls, &search.strengths, true);
    let named = |name: &str| (name.to_owned(), name.to_owned());
    let about = About {
        arm: "full".into(),
        students: vec![1, 2, 3, 4],
        unit: "seeds",
        hook: HookPoint::resid_post(1),
        at: At::LastPrompt,
        fit_on: vec!["teachers".into(); 3],
        search: &search,
        behaviors: ["a", "b", "c"].map(named).into(),
        told: Told::default(),
    };
    let answered = answered(&edits, planted, seed);
    let weighed = Weighed::new(&edits, &answered, &about, seed, 100).unwrap();
    weighed.table(&about)
}

fn verdicts(checks: &[CausalCheck], edit: &str) -> Vec<String> {
    let own = checks.iter().filter(|check| check.edit == edit && check.direction == check.behavior);
    own.map(|check| check.verdict.clone()).collect()
}

#[test]
fn a_direction_that_moves_its_own_behavior_alone_is_specific() {
    let own: Planted = |family, vector, doing, behavior| match family {
        Family::Fit if vector == behavior => (0.45 * dose(doing), 0.98),
        _ => (0.0, 0.98),
    };
    let found = checks(own, 1);
    let verdicts = verdicts(&found, "add");
    // Others stay still by chance alone in most draws, not in all: the share over draws is a test of the probe crate.
    assert!(
        verdicts.iter().all(|verdict| verdict == "behavior-specific" || verdict == "causal"),
        "{found:?}"
    );
    assert!(verdicts.iter().any(|verdict| verdict == "behavior-specific"), "{found:?}");
    for check in found.iter().filter(|check| check.edit == "add" && check.direction == check.behavior) {
        assert_eq!((check.strength.map(f64::abs), check.controls, check.comparisons), (Some(1.0), 64, 3));
        assert!(check.tested > check.random_high && check.tested > check.difference_high);
        assert!((check.effect.unwrap().abs() - check.tested).abs() < 1e-12);
    }
}

#[test]
fn directions_that_move_each_others_behaviors_are_causal_and_not_specific() {
    // A persona: the first two directions move the first two behaviors, the third moves nothing.
    let persona: Planted = |family, vector, doing, behavior| match family {
        Family::Fit if vector < 2 && behavior < 2 => (-0.4 * dose(doing), 0.98),
        _ => (0.0, 0.98),
    };
    let found = checks(persona, 2);
    // Adding it lowers what it should raise: that is no cause with this sign.
    assert!(verdicts(&found, "add").iter().all(|verdict| verdict != "causal"), "{found:?}");
    let persona: Planted = |family, vector, doing, behavior| match family {
        Family::Fit if vector < 2 && behavior < 2 => (0.4 * dose(doing), 0.98),
        _ => (0.0, 0.98),
    };
    let found = checks(persona, 2);
    let verdicts = verdicts(&found, "add");
    assert_eq!(verdicts[..2], ["causal", "causal"]);
    assert_ne!(verdicts[2], "causal");
    let own = found.iter().find(|check| check.edit == "add" && check.direction == "a").unwrap();
    assert!(
        own.reasons.contains("`b` moves too") && own.reasons.contains("over 3 comparisons (Holm)"),
        "{own:?}"
    );
}

#[test]
fn without_an_effect_hardly_anything_is_named() {
    let nothing: Planted = |_, _, _, _| (0.0, 0.98);
    let strong_differences: Planted = |family, _, doing, _| match family {
        Family::Fit | Family::Difference => (0.3 * dose(doing), 0.98),
        Family::Random => (0.0, 0.98),
    };
    for (what, planted) in [("nothing moves", nothing), ("differences move as far", strong_differences)] {
        let named = (0..20).filter(|seed| {
            let found = checks(planted, 100 + seed);
            verdicts(&found, "add")
                .iter()
                .any(|verdict| verdict == "causal" || verdict == "behavior-specific")
        });
        let named = named.count();
        println!("{what}: something named in {named} of 20 studies of three directions");
        assert!(named <= 3, "{what}: {named}");
    }
}

#[test]
fn a_cause_has_an_effect_that_can_be_told_from_none() {
    let weak: Planted = |family, vector, doing, behavior| match family {
        Family::Fit if vector == behavior => (0.12 * dose(doing), 0.98),
        _ => (0.0, 0.98),
    };
    let mut doubted = 0;
    for seed in 0..20 {
        for check in checks(weak, 200 + seed).iter().filter(|check| check.direction == check.behavior) {
            let (Some(low), Some(high)) = (check.low, check.high) else { panic!("{check:?}") };
            let causal = check.verdict == "causal" || check.verdict == "behavior-specific";
            assert!(!causal || low > 0.0 || high < 0.0, "{check:?}");
            doubted += usize::from(check.reasons.contains("cannot be told from none"));
        }
    }
    assert!(doubted > 0, "weak effects were never beyond their controls");
}

#[test]
fn an_effect_that_breaks_the_answers_is_none() {
    let broken: Planted = |family, _, doing, behavior| match (family, doing) {
        // Only another behavior's answers break: that is enough.
        (Family::Fit, Doing::Add(strength)) => (0.45 * strength, if behavior == 2 { 0.3 } else { 0.98 }),
        _ => (0.0, 0.98),
    };
    let found = checks(broken, 3);
    for check in found.iter().filter(|check| check.edit == "add") {
        assert_eq!((check.verdict.as_str(), check.strength, check.effect), ("undecided", None, None));
        assert!(check.reasons.starts_with("no dose leaves 0.8"), "{check:?}");
    }
    // Twin: the other edits leave answers as they are.
    assert!(found.iter().filter(|check| check.edit != "add").all(|check| check.effect.is_some()));
}

#[test]
fn a_bare_model_is_not_set_back_to_itself() {
    let kinds =
        |to_base| -> Vec<&str> { Edits::new(2, 3, &[1.0], to_base).kinds().map(Kind::name).collect() };
    assert_eq!(kinds(true), ["add", "ablate", "base"]);
    assert_eq!(kinds(false), ["add", "ablate"]);
    // Two directions and six controls of one dose: ablations, and an addition like each of them for every control.
    assert_eq!(Edits::new(2, 3, &[1.0], false).looks.len(), 8 + 2 + 6 * 2);
}
