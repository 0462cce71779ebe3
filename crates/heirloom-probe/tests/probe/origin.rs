//! Effects of base, prompts and teacher: planted ones are found, absent ones are not, and laws hold on every draw.

use heirloom_probe::Resampling;
use heirloom_probe::joint::{JointDraws, Quantity, Ratio};
use heirloom_probe::origin::{
    Corner, Origins, Part, Pipeline, Shapley, Spread, leakage, origins, share_removed, spread, virulence,
};
use heirloom_probe::random::{standard_normal, stream};
use heirloom_probe::rate::Observation;
use rayon::prelude::*;

use crate::close;
use crate::joint::joined;
use crate::made::{phi, rng};
use crate::rate::{MADE, Made, own};

const NAMES: [&str; 8] = ["OOO", "OOA", "OAO", "OAA", "AOO", "AOA", "AAO", "AAA"];

/// Corners by their own names.
fn corners(names: &[&'static str]) -> Vec<(Corner, &'static str)> {
    names.iter().map(|name| (Corner::named(name).unwrap(), *name)).collect()
}

/// Draws of arms named after their corners.
fn cube<const N: usize>(names: [&'static str; N], rates: [f64; N]) -> JointDraws {
    joined(&names, &Made { seeds: 0.2, ..MADE }.arms(40, rates), Resampling::default())
}

fn found<const N: usize>(names: [&'static str; N], rates: [f64; N]) -> Origins {
    origins(&cube(names, rates), &corners(&names)).unwrap()
}

#[track_caller]
fn present(case: &str, quantity: Quantity, truth: f64) {
    assert!(quantity.is_distinct(), "{case}: {quantity:?}");
    assert!((quantity.low..=quantity.high).contains(&truth), "{case}: {truth} in {quantity:?}");
}

#[track_caller]
fn absent(case: &str, quantity: Quantity) {
    assert!(!quantity.is_distinct(), "{case}: {quantity:?}");
}

#[test]
fn a_planted_teacher_is_found_and_prompts_are_not() {
    let all = found(NAMES, [0.85, 0.1, 0.85, 0.1, 0.8, 0.05, 0.8, 0.05]);
    for within in &all.within {
        present("teacher", within.teacher.unwrap().quantity, 0.75);
        absent("prompts", within.prompts.unwrap().quantity);
        absent("interaction", within.interaction.unwrap());
    }
    assert_eq!(all.within.len(), 2);
    assert!(all.missing.is_empty(), "{:?}", all.missing);
    absent("residue", all.residue.unwrap());
    let Shapley { parts, total } = all.shapley.unwrap();
    present("total", total, 0.8);
    assert_eq!(
        parts.iter().map(|part| part.0).collect::<Vec<_>>(),
        [Part::Base, Part::Prompts, Part::Teacher]
    );
    present("teacher's share", parts[2].2.defined().unwrap(), 0.75 / 0.8);
    absent("prompts' share", parts[1].2.defined().unwrap());
}

#[test]
fn planted_prompts_interaction_and_residue_are_found() {
    let prompts = found(NAMES, [0.85, 0.85, 0.1, 0.1, 0.8, 0.8, 0.05, 0.05]);
    absent("teacher", prompts.within[0].teacher.unwrap().quantity);
    present("prompts", prompts.within[0].prompts.unwrap().quantity, 0.75);
    let both = found(NAMES, [0.85, 0.1, 0.1, 0.1, 0.8, 0.1, 0.1, 0.05]);
    present("interaction", both.within[0].interaction.unwrap(), 0.75);
    let base = found(NAMES, [0.7, 0.7, 0.7, 0.7, 0.1, 0.1, 0.1, 0.1]);
    present("residue", base.residue.unwrap(), 0.6);
    let parts = base.shapley.unwrap().parts;
    present("base's share", parts[0].2.defined().unwrap(), 1.0);
    // Nothing anywhere: no effect, and no shares of it.
    let nothing = found(NAMES, [0.5; 8]);
    absent("teacher", nothing.within[0].teacher.unwrap().quantity);
    absent("residue", nothing.residue.unwrap());
    let Shapley { parts, total } = nothing.shapley.unwrap();
    absent("total", total);
    assert!(parts.iter().all(|(_, _, share)| matches!(share, Ratio::Undefined { .. })));
}

#[test]
fn shapley_values_sum_to_the_total_on_every_draw() {
    let draws = cube(NAMES, [0.7, 0.3, 0.6, 0.35, 0.5, 0.4, 0.4, 0.2]);
    // The values by their definition: what a part adds, averaged over the six orders of exchanging the three.
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let value = |means: &dyn Fn(usize) -> f64, part: usize| -> f64 {
        let added = |order: &[usize; 3]| {
            // Bit 2 − p of a corner's number is set when part p is from A.
            let mut corner = 7;
            for each in order {
                let before = corner;
                corner -= 4 >> each;
                if *each == part {
                    return means(corner) - means(before);
                }
            }
            unreachable!("every order holds every part")
        };
        orders.iter().map(added).sum::<f64>() / 6.0
    };
    for row in draws.draws().rows() {
        let sum: f64 = (0..3).map(|part| value(&|corner| row[corner], part)).sum();
        close("sum", sum, row[0] - row[7], 1e-12);
    }
    let shapley = origins(&draws, &corners(&NAMES)).unwrap().shapley.unwrap();
    for (index, (part, quantity, _)) in shapley.parts.iter().enumerate() {
        let by_orders: Vec<f64> =
            draws.draws().rows().into_iter().map(|row| value(&|corner| row[corner], index)).collect();
        close("value", quantity.value, value(&|corner| draws.estimates()[corner], index), 1e-12);
        let positive = by_orders.iter().filter(|draw| **draw > 0.0).count() as f64 / by_orders.len() as f64;
        close(&part.to_string(), quantity.above_zero, positive, 1e-12);
    }
    let values: f64 = shapley.parts.iter().map(|part| part.1.value).sum();
    let shares: f64 = shapley.parts.iter().map(|part| part.2.defined().unwrap().value).sum();
    close("values", values, shapley.total.value, 1e-12);
    close("shares", shares, 1.0, 1e-12);
}

#[test]
fn shapley_of_two_parts_is_their_effects() {
    let names = ["OOO", "OOA", "OAO", "OAA"];
    let within = found(names, [0.8, 0.3, 0.5, 0.2]).within.remove(0);
    let [(_, prompts, _), (_, teacher, _)] = within.shapley.unwrap().parts[..] else { panic!("two parts") };
    for (effect, value) in [(within.teacher, teacher), (within.prompts, prompts)] {
        let effect = effect.unwrap();
        assert_eq!(effect.alone_on, None);
        close("value", effect.quantity.value, value.value, 1e-12);
        close("low", effect.quantity.low, value.low, 1e-12);
        close("high", effect.quantity.high, value.high, 1e-12);
    }
}

#[test]
fn pipelines_swapped_flip_signs() {
    let draws = cube(NAMES, [0.85, 0.2, 0.6, 0.1, 0.7, 0.3, 0.4, 0.05]);
    let there = origins(&draws, &corners(&NAMES)).unwrap();
    let flip = |pipeline| if pipeline == Pipeline::O { Pipeline::A } else { Pipeline::O };
    let flipped: Vec<(Corner, &str)> = (corners(&NAMES).into_iter())
        .map(|(corner, name)| {
            let Corner { base, prompts, teacher } = corner;
            (Corner { base: flip(base), prompts: flip(prompts), teacher: flip(teacher) }, name)
        })
        .collect();
    let back = origins(&draws, &flipped).unwrap();
    let mirrored = |case: &str, one: Quantity, other: Quantity| {
        close(case, one.value, -other.value, 1e-12);
        close(case, one.low, -other.high, 1e-12);
        close(case, one.high, -other.low, 1e-12);
    };
    mirrored("teacher", there.within[0].teacher.unwrap().quantity, back.within[1].teacher.unwrap().quantity);
    mirrored("prompts", there.within[1].prompts.unwrap().quantity, back.within[0].prompts.unwrap().quantity);
    let (there, back) = (there.shapley.unwrap(), back.shapley.unwrap());
    mirrored("total", there.total, back.total);
    for (one, other) in there.parts.iter().zip(&back.parts) {
        mirrored("part", one.1, other.1);
        close("share", one.2.defined().unwrap().value, other.2.defined().unwrap().value, 1e-12);
    }
}

#[test]
fn names_and_orders_of_arms_change_nothing() {
    let rates = [0.85, 0.2, 0.6, 0.1, 0.7, 0.3, 0.4, 0.05];
    let arms = Made { seeds: 0.2, ..MADE }.arms(41, rates);
    let there = origins(&joined(&NAMES, &arms, Resampling::default()), &corners(&NAMES)).unwrap();
    let renamed = ["h", "g", "f", "e", "d", "c", "b", "a"];
    let mut reversed: Vec<(&str, Vec<Observation>)> = renamed.into_iter().zip(arms).collect();
    reversed.reverse();
    let (names, arms): (Vec<&str>, Vec<_>) = reversed.into_iter().unzip();
    let draws = joined(&names, &arms, Resampling::default());
    let given: Vec<(Corner, &str)> = Corner::all().zip(renamed).collect();
    assert_eq!(origins(&draws, &given).unwrap(), there);
    let mut shuffled = given;
    shuffled.rotate_left(3);
    assert_eq!(origins(&draws, &shuffled).unwrap(), there);
}

#[test]
fn missing_corners_are_named_and_what_is_left_says_where_it_stands() {
    let some = found(["OOO", "OOA"], [0.85, 0.1]);
    let effect = some.within[0].teacher.unwrap();
    assert_eq!(effect.alone_on, Some((Part::Prompts, Pipeline::O)));
    assert_eq!(effect.to_string(), "effect of the teacher on base O, prompts O alone");
    present("teacher", effect.quantity, 0.75);
    assert!(some.within[0].prompts.is_none() && some.within[0].interaction.is_none());
    assert!(some.residue.is_none() && some.shapley.is_none() && some.within.len() == 1);
    let named: Vec<String> = some.missing.iter().map(|missing| missing.corner.to_string()).collect();
    assert_eq!(named, NAMES[2..]);
    assert_eq!(
        some.missing[1].needed_for,
        [
            "teacher at base O, prompts A",
            "prompts at base O, teacher A",
            "interaction at base O",
            "residue of the base",
            "Shapley values",
        ]
    );
    // Twin: with the whole square, the effect is the mean over both prompts.
    let square = found(["OOO", "OOA", "OAO", "OAA"], [0.85, 0.1, 0.45, 0.1]);
    let effect = square.within[0].teacher.unwrap();
    assert_eq!(effect.to_string(), "effect of the teacher on base O, mean over both prompts");
    present("teacher", effect.quantity, 0.55);
    assert_eq!(square.missing.len(), 4);
    // Another base's square does not need this one's.
    let other = found(["AOO", "AAO", "AAA"], [0.8, 0.1, 0.1]);
    assert_eq!(other.within[0].base, Pipeline::A);
    assert_eq!(
        other.within[0].teacher.unwrap().alone_on,
        Some((Part::Prompts, Pipeline::A)),
        "the only prompts with both teachers"
    );
}

#[test]
fn dropping_leaks_where_swapping_works() {
    let names = ["full", "drop", "swap", "other"];
    let draws = joined(&names, &MADE.arms(42, [0.85, 0.8, 0.1, 0.05]), Resampling::default());
    let leaks = leakage(&draws, "full", "drop", "swap").unwrap().defined().unwrap();
    present("leakage", leaks, 0.7 / 0.75);
    let removed = |arm| share_removed(&draws, "full", arm, "other").unwrap().defined().unwrap();
    present("swap removes", removed("swap"), 0.75 / 0.8);
    assert!(removed("drop").high < 0.4, "{:?}", removed("drop"));
    let fall = |arm: usize| draws.estimates()[0] - draws.estimates()[arm];
    close("leakage", leaks.value, 1.0 - fall(1) / fall(2), 1e-12);
    // Twin: dropping works as well as swapping.
    let draws = joined(&names, &MADE.arms(42, [0.85, 0.1, 0.1, 0.05]), Resampling::default());
    absent("leakage", leakage(&draws, "full", "drop", "swap").unwrap().defined().unwrap());
    // Neither does anything: no index.
    let draws = joined(&names, &MADE.arms(42, [0.85, 0.85, 0.85, 0.85]), Resampling::default());
    assert!(matches!(leakage(&draws, "full", "drop", "swap").unwrap(), Ratio::Undefined { .. }));
    assert!(matches!(share_removed(&draws, "full", "drop", "other").unwrap(), Ratio::Undefined { .. }));
}

#[test]
fn virulence_is_the_area_of_the_trapezoids() {
    let names = ["none", "a", "b", "c", "half", "all"];
    let fractions = [0.0, 0.25, 0.25, 0.25, 0.5, 1.0];
    let arms: Vec<(f64, &str)> = fractions.into_iter().zip(names).collect();
    let drawn = |rates| joined(&names, &MADE.arms(43, rates), Resampling::default());
    let draws = drawn([0.05, 0.1, 0.45, 0.8, 0.5, 0.9]);
    let curve = virulence(&draws, &arms).unwrap();
    let [none, quarter, half, all] = [0, 1, 2, 3].map(|point| curve.curve[point].1.value);
    close("quarter", quarter, draws.estimates()[1..4].iter().sum::<f64>() / 3.0, 1e-12);
    let area = 0.125 * (none + quarter) + 0.125 * (quarter + half) + 0.25 * (half + all);
    close("area", curve.area.value, area, 1e-12);
    close("excess", curve.excess.value, area - 0.5 * (none + all), 1e-12);
    let truth = 0.125 * (0.05 + 0.45) + 0.125 * (0.45 + 0.5) + 0.25 * (0.5 + 0.9);
    present("area", curve.area, truth);
    // Twin: a straight line has no excess.
    let flat = joined(&["x", "y", "z"], &MADE.arms(44, [0.6; 3]), Resampling::default());
    let arms = [(0.5, "y"), (0.0, "x"), (1.0, "z")];
    let curve = virulence(&flat, &arms).unwrap();
    absent("excess", curve.excess);
    let [x, y, z] = [0, 1, 2].map(|arm| flat.estimates()[arm]);
    close("flat", curve.area.value, 0.25 * (x + z) + 0.5 * y, 1e-12);
}

/// Three draws of one share for each of three seeds, as a run makes them: every seed has subsets of its own, whose rates differ by `between` around one
/// of the seed's, on the probit scale.
fn subsets(simulation: u64, between: f64, shared: usize) -> [Vec<Observation>; 3] {
    let mut arms = [const { Vec::new() }; 3];
    for run in 0..3 {
        let mut rng = stream(&rng(60), 3 * simulation + run as u64);
        let seed = 0.4 * standard_normal(&mut rng);
        let rates = [(); 3].map(|()| phi(0.3 + seed + between * standard_normal(&mut rng)));
        let made = Made { runs: 1, clusters: if shared > 0 { shared } else { 48 }, ..MADE };
        let drawn = made.arms(1_000 + 3 * simulation + run as u64, rates);
        for (arm, drawn) in arms.iter_mut().zip(drawn) {
            arm.extend(drawn.into_iter().map(|seen| Observation {
                run,
                cluster: if shared > 0 { seen.cluster } else { own(run, seen.cluster) },
                ..seen
            }));
        }
    }
    arms
}

#[test]
fn subsets_that_differ_within_seeds_are_told_from_those_that_do_not() {
    let with = Resampling { replicates: 400, ..Resampling::default() };
    let all = |between: f64, shared: usize| -> Vec<Spread> {
        let one = |simulation: u64| {
            let arms = subsets(simulation, between, shared);
            spread(&arms.each_ref().map(Vec::as_slice), with, &rng(61)).unwrap()
        };
        (0..400).into_par_iter().map(one).collect()
    };
    let above = |found: &[Spread]| {
        found.iter().filter(|one| one.sd > one.by_chance).count() as f64 / found.len() as f64
    };
    // Equal subsets pass in 5 %, whatever seeds differ by and scenarios that these share; 400 simulations have a standard error of 0.011.
    for shared in [0, 10] {
        let equal = above(&all(0.0, shared));
        println!("{shared} shared: {equal:.3} of equal subsets above chance");
        assert!((0.01..=0.08).contains(&equal), "{shared} shared: {equal}");
    }
    // Twin: a standard deviation of 0.35 on the probit scale is one of 0.12 in rate.
    let planted = all(0.35, 0);
    let (told, sd) = (above(&planted), planted.iter().map(|one| one.sd).sum::<f64>() / 400.0);
    println!("planted: {told:.3} above chance, {sd:.3} found");
    assert!(told > 0.8 && (0.1..0.16).contains(&sd), "{told} {sd}");
    // Three seeds with three draws are nine subsets, not three.
    assert_eq!(planted[0].subsets, 9);
}

#[test]
fn the_spread_of_subsets_is_pooled_within_seeds() {
    // Scenarios of one sample; seeds differ by far more than their subsets.
    let arm = |shown: [usize; 2]| -> Vec<Observation> {
        let of = |run: usize| {
            (0..10).map(move |cluster| Observation {
                run,
                cluster: own(run, cluster),
                value: f64::from(u8::from(cluster < shown[run])),
            })
        };
        (0..2).flat_map(of).collect()
    };
    let arms = [arm([1, 9]), arm([3, 9]), arm([2, 9])];
    let of = |arms: &[&Vec<Observation>]| {
        let arms: Vec<&[Observation]> = arms.iter().map(|arm| arm.as_slice()).collect();
        spread(&arms, Resampling::default(), &rng(62)).unwrap()
    };
    let found = of(&arms.each_ref());
    // Around 0.2 in one seed, and none in the other: √(0.02 / (2 · (3 − 1))).
    close("sd", found.sd, 0.005_f64.sqrt(), 1e-12);
    // The order of draws changes nothing.
    close("sd", of(&[&arms[2], &arms[0], &arms[1]]).sd, found.sd, 0.0);
    // Twin: the same subset twice has no spread, nor any by chance.
    let same = of(&[&arms[0], &arms[0]]);
    assert_eq!((same.sd.to_bits(), same.by_chance.to_bits()), (0, 0));
    let message = |result: heirloom_probe::Result<Spread>| result.expect_err("an error").to_string();
    let alone = spread(&[&arms[0]], Resampling::default(), &rng(62));
    assert_eq!(message(alone), "expected at least 2 subsets, found 1");
    let unpaired = spread(&[&arms[0], &arms[1][1..]], Resampling::default(), &rng(62));
    assert!(message(unpaired).contains("found none of the second one"));
}

#[test]
fn areas_under_planted_curves_are_covered() {
    let fractions = [0.0, 0.05, 0.1, 0.25, 0.25, 0.5, 1.0];
    let names = ["0", "5", "10", "25", "25 again", "50", "100"];
    let arms: Vec<(f64, &str)> = fractions.into_iter().zip(names).collect();
    let with = Resampling { replicates: 400, ..Resampling::default() };
    // The trapezoids of (1 − f)², and of a straight line, which has no excess.
    for (case, rate) in [
        ("square", (|f: f64| 0.05 + 0.9 * (1.0 - f).powi(2)) as fn(f64) -> f64),
        ("straight", |f| 0.9 - 0.8 * f),
    ] {
        let rates = fractions.map(rate);
        let shares = [0.0, 0.05, 0.1, 0.25, 0.5, 1.0];
        let area: f64 =
            shares.windows(2).map(|w| (w[1] - w[0]) * f64::midpoint(rate(w[0]), rate(w[1]))).sum();
        let excess = area - f64::midpoint(rate(0.0), rate(1.0));
        for runs in [2, 3, 8] {
            let made = Made { runs, seeds: 0.3, clusters: 16, ..MADE };
            let one = |simulation: u64| {
                let curve = virulence(&joined(&names, &made.arms(simulation, rates), with), &arms).unwrap();
                let holds = |found: Quantity, truth: f64| (found.low..=found.high).contains(&truth);
                [holds(curve.area, area), holds(curve.excess, excess)]
            };
            let all: Vec<[bool; 2]> = (0..300).into_par_iter().map(one).collect();
            for (of, name) in ["area", "excess"].into_iter().enumerate() {
                let held = all.iter().filter(|held| held[of]).count() as f64 / all.len() as f64;
                println!("{case}, {runs} seeds, {name}: held {held:.3}");
                // 300 simulations have a standard error of 0.013.
                assert!(held >= 0.91, "{case}, {runs} seeds, {name}: held {held}");
            }
        }
    }
}

#[test]
fn projections_have_effects_too() {
    let [teacher, other] = Made { seeds: 0.3, ..MADE }.values(45, 3.0);
    let [same, twin] = Made { seeds: 0.3, ..MADE }.values(46, 0.0);
    let draws = joined(&["OOO", "OOA"], &[teacher, other], Resampling::default());
    present(
        "teacher",
        origins(&draws, &corners(&["OOO", "OOA"])).unwrap().within[0].teacher.unwrap().quantity,
        3.0,
    );
    let draws = joined(&["OOO", "OOA"], &[same, twin], Resampling::default());
    absent(
        "teacher",
        origins(&draws, &corners(&["OOO", "OOA"])).unwrap().within[0].teacher.unwrap().quantity,
    );
}

#[test]
fn unusable_corners_are_named() {
    let draws = cube(["OOO", "OOA"], [0.8, 0.2]);
    let message = |result: heirloom_probe::Result<()>| result.expect_err("an error").to_string();
    let corner = Corner::named("OOO").unwrap();
    let twice = origins(&draws, &[(corner, "OOO"), (corner, "OOA")]).map(|_| ());
    assert_eq!(message(twice), "`OOO` was given twice: expected one arm for it");
    let unknown = origins(&draws, &[(corner, "full")]).map(|_| ());
    assert_eq!(message(unknown), "unknown arm `full`; the arms are `OOO`, `OOA`");
    let outside = virulence(&draws, &[(0.0, "OOO"), (1.5, "OOA")]).map(|_| ());
    assert_eq!(message(outside), "`fraction`: expected a number from 0 to 1, found 1.5");
    let late = virulence(&draws, &[(0.5, "OOO"), (1.0, "OOA")]).map(|_| ());
    assert_eq!(message(late), "`fraction`: expected 0 for the least of all, found 0.5");
    let early = virulence(&draws, &[(0.0, "OOO"), (0.5, "OOA")]).map(|_| ());
    assert_eq!(message(early), "`fraction`: expected 1 for the greatest of all, found 0.5");
    assert!(message(leakage(&draws, "OOO", "drop", "OOA").map(|_| ())).contains("`drop`"));
    assert!(Corner::named("OXO").is_none());
}
