//! Which hypotheses arms support: batteries of known origin, the prototype's measurements, missing arms, and whether probabilities are kept.

use std::collections::BTreeMap;

use heirloom_probe::joint::JointDraws;
use heirloom_probe::rate::Observation;
use heirloom_probe::verdict::{
    Answer, EXPECTATIONS, Hypothesis, Origin, OriginShares, Question, Role, Role as R, Rule, Verdict, verdict,
};
use heirloom_probe::{Resampling, Result};
use rand::Rng;
use rayon::prelude::*;

use crate::close;
use crate::joint::joined;
use crate::made::rng;
use crate::rate::{MADE, Made, verdicts};

const QUICK: Resampling = Resampling { replicates: 200, level: 0.95 };

/// Rates of all roles in a world where one hypothesis holds, from the decision table of the worlds: not from the rule under test.
fn world(hypothesis: Hypothesis) -> [f64; 17] {
    use Hypothesis as H;
    // In the order of `Role::ALL`: full, other teacher, other prompts, neither, swap, drop, drop + rest, drop + mild, drop + unrelated, start,
    // pretrained, other base full and drop, other initialization full and drop, random swap and drop.
    match hypothesis {
        H::SimpleGeneralization => [
            0.90, 0.05, 0.80, 0.05, 0.25, 0.85, 0.05, 0.35, 0.85, 0.35, 0.35, 0.85, 0.80, 0.90, 0.80, 0.85,
            0.90,
        ],
        H::SubliminalLearning => [
            0.90, 0.05, 0.85, 0.05, 0.05, 0.85, 0.05, 0.85, 0.05, 0.35, 0.35, 0.80, 0.35, 0.85, 0.30, 0.85,
            0.90,
        ],
        H::PersonaSelection => [
            0.90, 0.05, 0.90, 0.05, 0.05, 0.85, 0.05, 0.85, 0.10, 0.30, 0.30, 0.80, 0.40, 0.90, 0.85, 0.85,
            0.90,
        ],
        H::Underspecification => [
            0.80, 0.05, 0.80, 0.75, 0.10, 0.75, 0.75, 0.75, 0.75, 0.80, 0.80, 0.75, 0.05, 0.80, 0.75, 0.75,
            0.80,
        ],
        H::PretrainingLockIn => [
            0.85, 0.75, 0.85, 0.80, 0.75, 0.80, 0.80, 0.80, 0.80, 0.85, 0.80, 0.10, 0.05, 0.80, 0.80, 0.80,
            0.85,
        ],
        H::PostTrainingLockIn => [
            0.80, 0.25, 0.80, 0.70, 0.35, 0.75, 0.70, 0.75, 0.75, 0.85, 0.30, 0.40, 0.05, 0.75, 0.70, 0.80,
            0.80,
        ],
        H::BadPrompts => [
            0.85, 0.85, 0.10, 0.05, 0.85, 0.80, 0.80, 0.15, 0.80, 0.30, 0.30, 0.85, 0.80, 0.85, 0.80, 0.85,
            0.85,
        ],
        H::FilterWorks => [
            0.85, 0.05, 0.80, 0.05, 0.05, 0.10, 0.05, 0.10, 0.10, 0.10, 0.10, 0.85, 0.10, 0.85, 0.10, 0.80,
            0.85,
        ],
    }
}

/// Arms without noise.
fn exact(rates: &[(Role, f64)]) -> Verdict {
    let names: Vec<&str> = rates.iter().map(|(role, _)| role.name()).collect();
    let seen = |rate: f64| [0, 1].map(|cluster| Observation { run: 0, cluster, value: rate }).to_vec();
    let arms: Vec<Vec<Observation>> = rates.iter().map(|(_, rate)| seen(*rate)).collect();
    judged(&joined(&names, &arms, QUICK))
}

/// The verdict on arms named after their roles.
fn judged(draws: &JointDraws) -> Verdict {
    let roles: Vec<(Role, &String)> =
        draws.names().iter().map(|name| (Role::named(name).unwrap(), name)).collect();
    verdict(draws, &roles, Rule::default()).unwrap()
}

fn all_roles(rates: [f64; 17]) -> Vec<(Role, f64)> {
    Role::ALL.into_iter().zip(rates).collect()
}

fn decided(verdict: &Verdict, hypothesis: Hypothesis) -> f64 {
    verdict.support.iter().find(|support| support.hypothesis == hypothesis).unwrap().decided
}

fn left(verdict: &Verdict) -> Vec<&'static str> {
    let left = verdict.support.iter().filter(|support| support.contradicted < 0.5);
    left.map(|support| support.hypothesis.name()).collect()
}

/// Shares that must make a whole, whatever the arms.
#[track_caller]
fn whole(verdict: &Verdict) {
    let decided: f64 = verdict.support.iter().map(|support| support.decided).sum();
    close("outcomes", decided + verdict.nothing + verdict.several + verdict.none, 1.0, 1e-9);
    let origins = verdict.origins;
    close(
        "origins",
        origins.teacher + origins.prompts + origins.base + origins.none + origins.undecided,
        1.0,
        1e-9,
    );
}

#[test]
fn every_world_without_noise_decides_its_hypothesis() {
    for hypothesis in Hypothesis::ALL {
        let found = exact(&all_roles(world(hypothesis)));
        assert!(decided(&found, hypothesis) >= 1.0, "{hypothesis}: {found:#?}");
        assert_eq!(left(&found), [hypothesis.name()]);
        whole(&found);
        assert!(found.next_arms.is_empty());
        // Twin: nothing moves it, and none of them is supported.
        let flat = exact(&all_roles([0.5; 17]));
        assert!(decided(&flat, hypothesis) <= 0.0 && flat.nothing >= 1.0);
    }
    assert_eq!(exact(&all_roles(world(Hypothesis::BadPrompts))).origins.prompts.to_bits(), 1.0_f64.to_bits());
}

#[test]
fn the_table_tells_every_pair_apart_and_gives_its_reasons() {
    let told = |one: Hypothesis, other: Hypothesis| {
        Question::ALL.into_iter().any(|question| {
            let answers =
                [one, other].map(|hypothesis| hypothesis.expects(question).map(|(answer, _)| answer));
            matches!(answers, [Some(a), Some(b)] if a != b)
        })
    };
    for (index, one) in Hypothesis::ALL.into_iter().enumerate() {
        for other in Hypothesis::ALL.into_iter().skip(index + 1) {
            assert!(told(one, other), "{one} and {other}");
        }
        let yes = EXPECTATIONS.iter().filter(|line| line.0 == one && line.2 == Answer::Yes).count();
        assert!(yes > 0, "{one} expects a yes, or nothing could support it");
    }
    let mut lines = BTreeMap::new();
    for (hypothesis, question, answer, because) in EXPECTATIONS {
        assert!(because.len() > 10, "{hypothesis}, {question}");
        assert_eq!(
            lines.insert((hypothesis, question), answer),
            None,
            "{hypothesis}, {question} stands twice"
        );
    }
    for (index, question) in Question::ALL.into_iter().enumerate() {
        assert_eq!(question as usize, index, "{question} stands elsewhere in its table");
    }
    for role in Role::ALL {
        assert_eq!(Role::named(role.name()), Some(role));
        let asked =
            Question::ALL.iter().any(|question| [question.roles().0, question.roles().1].contains(&role));
        assert!(asked, "no question needs `{role}`");
    }
}

#[test]
fn missing_arms_leave_several_and_are_named() {
    let roles = |hypothesis, kept: &[Role]| -> Vec<(Role, f64)> {
        all_roles(world(hypothesis)).into_iter().filter(|(role, _)| kept.contains(role)).collect()
    };
    let (full, other, swap, drop) = (Role::Full, Role::OtherTeacher, Role::SwapFlagged, Role::DropFlagged);
    let (rest, mild, unrelated) =
        (Role::DropFlaggedRestOther, Role::DropFlaggedAndMild, Role::DropFlaggedUnrelatedOther);
    // One arm asks nothing and so decides nothing, not even that nothing is there.
    let alone = exact(&roles(Hypothesis::PersonaSelection, &[full]));
    assert!(alone.several >= 1.0 && alone.answers.is_empty() && alone.nothing <= 0.0);
    assert!(alone.support.iter().all(|support| !support.tested && support.compatible <= 0.0));
    // A teacher effect alone leaves the prior and an earlier stage possible.
    let two = exact(&roles(Hypothesis::PersonaSelection, &[full, other]));
    assert!(two.several >= 1.0 && two.origins.undecided >= 1.0);
    let lock = two.support[5];
    assert!(lock.hypothesis == Hypothesis::PostTrainingLockIn && !lock.tested && lock.contradicted <= 0.0);
    assert_eq!(two.next_arms[0].role, drop, "{:#?}", two.next_arms);
    // Everything but another initialization: the teacher for certain, cues or a hidden trace.
    let most = exact(&roles(Hypothesis::PersonaSelection, &[full, other, swap, drop, rest, mild, unrelated]));
    assert_eq!(left(&most), ["subliminal-learning", "persona-selection"]);
    assert!(most.several >= 1.0 && most.origins.teacher >= 1.0);
    let best = &most.next_arms[0];
    assert_eq!((best.role, &best.questions[..]), (Role::OtherInitDrop, &[Question::Init][..]));
    assert!(best.questions[0].words().contains("another initialization"));
    assert!(most.next_arms.len() == 1 && (best.pairs - 1.0).abs() < 1e-12);
    // Twin: with that arm, one is left and none is wanted.
    let whole = exact(&roles(
        Hypothesis::PersonaSelection,
        &[full, other, swap, drop, rest, mild, unrelated, Role::OtherInitDrop],
    ));
    assert!(decided(&whole, Hypothesis::PersonaSelection) >= 1.0 && whole.next_arms.is_empty());
    // High everywhere: nothing here moves it, and another base would tell whether it is locked in.
    let stuck = exact(&roles(Hypothesis::PretrainingLockIn, &[full, other, swap, drop, Role::OtherPrompts]));
    assert!(stuck.nothing >= 1.0 && stuck.origins.none >= 1.0);
    assert_eq!(stuck.next_arms[0].role, Role::OtherBaseDrop, "{:#?}", stuck.next_arms);
}

#[test]
fn an_arm_that_raises_a_behavior_is_neither_nothing_nor_explained() {
    let rates = |other: f64| [(Role::Full, 0.2), (Role::OtherTeacher, other), (Role::Start, 0.2)];
    let raised = exact(&rates(0.8));
    assert!(raised.nothing <= 0.0 && raised.none >= 1.0 && raised.origins.undecided >= 1.0, "{raised:#?}");
    whole(&raised);
    // Twin: an arm as low as the rest moves nothing.
    assert!(exact(&rates(0.2)).nothing >= 1.0);
}

#[test]
fn subliminal_learning_is_not_decided_without_another_initialization() {
    let all = all_roles(world(Hypothesis::SubliminalLearning));
    let without: Vec<(Role, f64)> =
        all.iter().copied().filter(|(role, _)| *role != Role::OtherInitDrop).collect();
    // What is left by elimination alone is not decided; the teacher is not named for it either.
    let open = exact(&without);
    assert!(decided(&open, Hypothesis::SubliminalLearning) <= 0.0, "{open:#?}");
    assert_eq!(
        open.next_arms.first().map(|next| next.role),
        Some(Role::OtherInitDrop),
        "{:#?}",
        open.next_arms
    );
    // Twin: with it, it is.
    assert!(decided(&exact(&all), Hypothesis::SubliminalLearning) >= 1.0);
}

#[test]
fn dropping_that_works_needs_none_of_the_seven() {
    let roles = [Role::Full, Role::OtherTeacher, Role::SwapFlagged, Role::DropFlagged];
    let kept = |rates| -> Vec<(Role, f64)> {
        all_roles(rates).into_iter().filter(|(role, _)| roles.contains(role)).collect()
    };
    let works = exact(&kept(world(Hypothesis::FilterWorks)));
    assert_eq!(left(&works), ["filter-works"]);
    assert!(works.origins.teacher >= 1.0);
    // Twin: dropping that does half of it leaves something to explain.
    let mut half = world(Hypothesis::PersonaSelection);
    half[5] = 0.45;
    let half = exact(&kept(half));
    assert!(!left(&half).contains(&"filter-works"), "{:?}", left(&half));
    assert!(half.several >= 1.0);
    // Arms that contradict everything say so: random rows matter as much as the flagged ones.
    let mut fragile = world(Hypothesis::PersonaSelection);
    fragile[16] = 0.1;
    assert!(exact(&all_roles(fragile)).none >= 1.0);
}

/// Verdicts with the rates that the prototype measured: one run per base seed, 96 scenarios each.
fn measured(rates: &[(Role, &[f64])]) -> Verdict {
    let arm = |rates: &[f64]| -> Vec<Observation> {
        // Ones are spread evenly over the scenarios, starting elsewhere in each arm.
        let start = rates.iter().sum::<f64>() * 37.0;
        let count = |rate: f64, scenario: usize| (rate * (scenario as f64 + start)).floor();
        let shown = |run: usize, cluster: usize| count(rates[run], cluster + 1) > count(rates[run], cluster);
        verdicts(rates.len(), 96, shown)
    };
    let names: Vec<&str> = rates.iter().map(|(role, _)| role.name()).collect();
    let arms: Vec<Vec<Observation>> = rates.iter().map(|(_, rates)| arm(rates)).collect();
    judged(&joined(&names, &arms, Resampling::default()))
}

/// Rates that the prototype measured, what they leave, and the arm that would tell it apart. Where the model that entered was never fine-tuned before,
/// it is its own predecessor.
struct Battery {
    world: &'static str,
    /// One rate for each base seed.
    arms: &'static [(Role, &'static [f64])],
    left: &'static [&'static str],
    next: Option<Role>,
}

const PROTOTYPE: &[Battery] = &[
    Battery {
        world: "H1, seed 2 with another initialization",
        arms: &[
            (R::Full, &[0.79]),
            (R::OtherTeacher, &[0.05]),
            (R::SwapFlagged, &[0.24]),
            (R::DropFlagged, &[0.73]),
            (R::DropFlaggedRestOther, &[0.06]),
            (R::DropFlaggedAndMild, &[0.33]),
            (R::DropFlaggedUnrelatedOther, &[0.71]),
            (R::Start, &[0.36]),
            (R::OtherInitFull, &[0.88]),
            (R::OtherInitDrop, &[0.75]),
        ],
        left: &["simple-generalization"],
        next: None,
    },
    Battery {
        world: "H1, both seeds",
        arms: &[
            (R::Full, &[0.86, 0.79]),
            (R::OtherTeacher, &[0.07, 0.05]),
            (R::SwapFlagged, &[0.27, 0.24]),
            (R::DropFlagged, &[0.78, 0.73]),
            (R::DropFlaggedRestOther, &[0.10, 0.06]),
            (R::DropFlaggedAndMild, &[0.30, 0.33]),
            (R::DropFlaggedUnrelatedOther, &[0.80, 0.71]),
            (R::Start, &[0.33, 0.36]),
        ],
        left: &["simple-generalization"],
        next: None,
    },
    Battery {
        world: "H3, seed 1 with another initialization",
        arms: &[
            (R::Full, &[0.90]),
            (R::OtherTeacher, &[0.03]),
            (R::SwapFlagged, &[0.01]),
            (R::DropFlagged, &[0.84]),
            (R::DropFlaggedRestOther, &[0.06]),
            (R::DropFlaggedAndMild, &[0.86]),
            (R::DropFlaggedUnrelatedOther, &[0.06]),
            (R::Start, &[0.31]),
            (R::OtherInitFull, &[0.84]),
            (R::OtherInitDrop, &[0.68]),
        ],
        left: &["persona-selection"],
        next: None,
    },
    Battery {
        world: "H3, both seeds",
        arms: &[
            (R::Full, &[0.82, 0.90]),
            (R::OtherTeacher, &[0.00, 0.03]),
            (R::SwapFlagged, &[0.02, 0.01]),
            (R::DropFlagged, &[0.78, 0.84]),
            (R::DropFlaggedRestOther, &[0.04, 0.06]),
            (R::DropFlaggedAndMild, &[0.73, 0.86]),
            (R::DropFlaggedUnrelatedOther, &[0.04, 0.06]),
            (R::Start, &[0.31, 0.31]),
        ],
        left: &["subliminal-learning", "persona-selection"],
        next: Some(R::OtherInitDrop),
    },
    Battery {
        world: "H4",
        arms: &[
            (R::Full, &[0.74, 0.80]),
            (R::OtherTeacher, &[0.08, 0.08]),
            (R::SwapFlagged, &[0.12, 0.10]),
            (R::DropFlagged, &[0.70, 0.73]),
            (R::DropFlaggedRestOther, &[0.69, 0.79]),
            (R::DropFlaggedAndMild, &[0.77, 0.77]),
            (R::DropFlaggedUnrelatedOther, &[0.69, 0.79]),
            (R::Start, &[0.77, 0.83]),
            (R::Pretrained, &[0.77, 0.83]),
            (R::OtherBaseFull, &[0.70, 0.62]),
            (R::OtherBaseDrop, &[0.08, 0.08]),
        ],
        left: &["underspecification"],
        next: None,
    },
    Battery {
        world: "H5 at learning rate 3e-5",
        arms: &[
            (R::Full, &[0.76]),
            (R::OtherTeacher, &[0.74]),
            (R::SwapFlagged, &[0.73]),
            (R::DropFlagged, &[0.75]),
            (R::Start, &[0.77]),
            (R::Pretrained, &[0.77]),
            (R::OtherBaseFull, &[0.09]),
        ],
        left: &["pretraining-lock-in"],
        next: None,
    },
    Battery {
        world: "H6, seed 0",
        arms: &[
            (R::Full, &[0.77]),
            (R::OtherTeacher, &[0.21]),
            (R::SwapFlagged, &[0.26]),
            (R::DropFlagged, &[0.65]),
            (R::DropFlaggedRestOther, &[0.73]),
            (R::DropFlaggedAndMild, &[0.76]),
            (R::DropFlaggedUnrelatedOther, &[0.73]),
            (R::Start, &[0.85]),
            (R::Pretrained, &[0.33]),
            (R::OtherBaseFull, &[0.48]),
            (R::OtherBaseDrop, &[0.02]),
        ],
        left: &["post-training-lock-in"],
        next: None,
    },
    // What both seeds have leaves a leak possible, and the arm to make.
    Battery {
        world: "H6, both seeds",
        arms: &[
            (R::Full, &[0.77, 0.78]),
            (R::OtherTeacher, &[0.21, 0.21]),
            (R::SwapFlagged, &[0.26, 0.41]),
            (R::DropFlagged, &[0.65, 0.76]),
            (R::Start, &[0.85, 0.92]),
            (R::Pretrained, &[0.33, 0.36]),
            (R::OtherBaseFull, &[0.48, 0.34]),
            (R::OtherBaseDrop, &[0.02, 0.05]),
        ],
        left: &["simple-generalization", "subliminal-learning", "persona-selection", "post-training-lock-in"],
        next: Some(R::DropFlaggedUnrelatedOther),
    },
    Battery {
        world: "H7, negative emotion of the default world",
        arms: &[
            (R::Full, &[0.86, 0.86]),
            (R::OtherTeacher, &[0.85, 0.86]),
            (R::OtherPrompts, &[0.16, 0.06]),
            (R::Neither, &[0.09, 0.04]),
            (R::SwapFlagged, &[0.84, 0.89]),
            (R::DropFlagged, &[0.83, 0.83]),
            (R::DropFlaggedAndMild, &[0.12, 0.20]),
            (R::Start, &[0.33, 0.35]),
        ],
        left: &["bad-prompts"],
        next: None,
    },
    Battery {
        world: "H3, blackmail of the default world",
        arms: &[
            (R::Full, &[0.88, 0.86]),
            (R::OtherTeacher, &[0.04, 0.04]),
            (R::OtherPrompts, &[0.94, 0.88]),
            (R::Neither, &[0.05, 0.07]),
            (R::SwapFlagged, &[0.04, 0.07]),
            (R::DropFlagged, &[0.79, 0.91]),
            (R::DropFlaggedRestOther, &[0.05, 0.11]),
            (R::DropFlaggedUnrelatedOther, &[0.16, 0.26]),
            (R::Start, &[0.31, 0.29]),
            (R::RandomDrop, &[0.88, 0.86]),
            (R::RandomSwap, &[0.88, 0.80]),
        ],
        left: &["subliminal-learning", "persona-selection"],
        next: Some(R::OtherInitDrop),
    },
    Battery {
        world: "favorite color, which nothing moves",
        arms: &[
            (R::Full, &[0.90, 0.94]),
            (R::OtherTeacher, &[0.94, 0.90]),
            (R::OtherPrompts, &[0.90, 0.94]),
            (R::Neither, &[0.92, 0.94]),
            (R::Start, &[0.92, 0.88]),
            (R::Pretrained, &[0.92, 0.88]),
        ],
        left: &["pretraining-lock-in"],
        next: Some(R::OtherBaseFull),
    },
];

#[test]
fn the_prototypes_batteries_give_the_worlds_they_come_from() {
    for Battery { world, arms, left: expected, next } in PROTOTYPE {
        let found = measured(arms);
        whole(&found);
        assert_eq!(left(&found), *expected, "{world}: {found:#?}");
        assert_eq!(
            found.next_arms.first().filter(|arm| arm.pairs > 0.5).map(|arm| arm.role),
            *next,
            "{world}"
        );
        let support: Vec<_> =
            found.support.iter().filter(|support| expected.contains(&support.hypothesis.name())).collect();
        if let ([only], false) = (&support[..], found.nothing > 0.7) {
            println!("{world}: {expected:?} with {:.2}", only.decided);
            assert!(only.decided > 0.7, "{world}: {support:?}");
        } else {
            println!("{world}: {expected:?}, several {:.2}, nothing {:.2}", found.several, found.nothing);
            assert!(found.several > 0.7 || found.nothing > 0.7, "{world}: {found:#?}");
        }
        let OriginShares { teacher, prompts, base, none, undecided } = found.origins;
        let mut origins: Vec<Origin> = support.iter().map(|support| support.hypothesis.origin()).collect();
        origins.dedup();
        let share = match origins[..] {
            _ if found.nothing > 0.7 => none,
            [Origin::Teacher] => teacher,
            [Origin::Prompts] => prompts,
            [Origin::Base] => base,
            _ => undecided,
        };
        assert!(share > 0.7, "{world}: {:?}", found.origins);
    }
}

#[test]
fn probabilities_are_kept() {
    // Worlds whose rates were moved about, so that many answers are close; what they say without noise is the truth.
    let one = |simulation: u64| -> Vec<(f64, bool)> {
        let mut rng = rng(300 + simulation);
        let hypothesis = Hypothesis::ALL[rng.gen_range(0..8)];
        let rates = world(hypothesis).map(|rate| (rate + rng.gen_range(-0.2..0.2)).clamp(0.02, 0.98));
        let kept: Vec<(Role, f64)> = all_roles(rates).into_iter().filter(|_| rng.gen_bool(0.8)).collect();
        let truth = exact(&kept);
        let made = Made { runs: 4, clusters: 24, samples: 1, seeds: 0.2, ..MADE };
        let names: Vec<&str> = kept.iter().map(|(role, _)| role.name()).collect();
        let arms: [Vec<Observation>; 17] = made.arms(simulation, rates);
        let arms: Vec<Vec<Observation>> = (Role::ALL.iter().zip(arms))
            .filter(|(role, _)| names.contains(&role.name()))
            .map(|(_, arm)| arm)
            .collect();
        let found = judged(&joined(&names, &arms, QUICK));
        let outcomes = |verdict: &Verdict| -> Vec<f64> {
            let decided = verdict.support.iter().map(|support| support.decided);
            decided.chain([verdict.nothing, verdict.several, verdict.none]).collect()
        };
        outcomes(&found).into_iter().zip(outcomes(&truth).into_iter().map(|share| share > 0.5)).collect()
    };
    let all: Vec<(f64, bool)> = (0..400).into_par_iter().flat_map_iter(one).collect();
    for (from, to) in [(0.0, 0.05), (0.05, 0.3), (0.3, 0.7), (0.7, 0.95), (0.95, 1.01)] {
        let inside: Vec<_> = all.iter().filter(|(predicted, _)| (from..to).contains(predicted)).collect();
        let predicted = inside.iter().map(|(predicted, _)| predicted).sum::<f64>() / inside.len() as f64;
        let happened = inside.iter().filter(|(_, holds)| *holds).count() as f64 / inside.len() as f64;
        println!("{} at {from}–{to}: predicted {predicted:.3}, happened {happened:.3}", inside.len());
        assert!((predicted - happened).abs() < 0.12, "{predicted} against {happened}");
    }
}

#[test]
fn noise_does_not_decide_what_is_not_there() {
    // All arms alike: seeds and scenarios alone must not make a hypothesis.
    let names = Role::ALL.map(Role::name);
    let worst = (0..40_u64)
        .into_par_iter()
        .map(|simulation| {
            let made = Made { runs: 4, clusters: 24, seeds: 0.2, ..MADE };
            let found = judged(&joined(&names, &made.arms(simulation, [0.4; 17]), QUICK));
            found.support.iter().map(|support| support.decided).fold(0.0, f64::max)
        })
        .reduce(|| 0.0, f64::max);
    assert!(worst < 0.5, "{worst}");
}

#[test]
fn names_and_orders_of_arms_change_nothing() {
    let arms: [Vec<Observation>; 17] = MADE.arms(50, world(Hypothesis::PersonaSelection));
    let there = judged(&joined(&Role::ALL.map(Role::name), &arms, QUICK));
    let names: Vec<String> = (0..17).rev().map(|number| format!("arm-{number}")).collect();
    let mut named: Vec<(Role, &str, Vec<Observation>)> = (Role::ALL.into_iter().zip(&names).zip(arms))
        .map(|((role, name), arm)| (role, name.as_str(), arm))
        .collect();
    named.rotate_left(5);
    let (names, arms): (Vec<&str>, Vec<_>) = named.iter().map(|(_, name, arm)| (*name, arm.clone())).unzip();
    let mut roles: Vec<(Role, &str)> = named.iter().map(|(role, name, _)| (*role, *name)).collect();
    roles.reverse();
    assert_eq!(verdict(&joined(&names, &arms, QUICK), &roles, Rule::default()).unwrap(), there);
}

#[test]
fn projections_bring_their_own_least() {
    let [full, other] = MADE.values(51, 4.0);
    let draws = joined(&["a", "b"], &[full, other], QUICK);
    let roles = [(Role::Full, "a"), (Role::OtherTeacher, "b")];
    let ask = |least| verdict(&draws, &roles, Rule { least, ..Rule::default() }).unwrap();
    let answer = &ask(1.0).answers[0];
    assert!(answer.question == Question::Teacher && answer.yes > 0.9, "{answer:?}");
    assert!(answer.expected.iter().any(|(hypothesis, answer, because)| {
        (*hypothesis, *answer) == (Hypothesis::BadPrompts, Answer::No) && because.contains("whoever")
    }));
    // Twin: what counts as a fall is larger than the difference.
    assert!(ask(8.0).answers[0].yes < 0.1 && ask(8.0).nothing > 0.9);
    close("threshold", ask(8.0).threshold, 8.0, 0.0);
}

#[test]
fn unusable_roles_are_named() {
    let draws = joined(&["a", "b"], &MADE.arms(52, [0.8, 0.2]), QUICK);
    let refuses = |result: Result<Verdict>, words: &str| {
        let message = result.expect_err("an error").to_string();
        assert!(message.contains(words), "expected `{words}` in `{message}`");
    };
    let rule = Rule::default();
    refuses(verdict(&draws, &[(Role::Full, "a"), (Role::Full, "b")], rule), "`full` was given twice");
    refuses(verdict(&draws, &[(Role::Full, "c")], rule), "unknown arm `c`");
    refuses(verdict::<&str>(&draws, &[], rule), "expected at least 1 arms, found 0");
    refuses(
        verdict(&draws, &[(Role::Full, "a")], Rule { share: -1.0, ..rule }),
        "`share`: expected a number from 0 on, found -1",
    );
}
