//! Series of checkpoints: when a quantity emerges, which of two leads, and that neither is found where nothing happens.

use heirloom_probe::control::{random_difference_directions, random_directions};
use heirloom_probe::random::{standard_normal, stream};
use heirloom_probe::rate::{Observation, mean};
use heirloom_probe::score::Reference;
use heirloom_probe::track::{
    Crossing, Lag, Lead, Track, Undefined, emergence, lead, mean_projection, projection_band, shift_band,
};
use heirloom_probe::{Error, FitOptions, Method, Resampling, fit};
use ndarray::Array2;
use rand::Rng;
use rayon::prelude::*;

use crate::close;
use crate::made::{narrowed, pairs, phi, rng};
use crate::rate::own;

const QUICK: Resampling = Resampling { replicates: 200, level: 0.95 };
const SIMULATIONS: u64 = 400;

/// A series measured on three seeds with 24 scenarios each.
#[derive(Clone, Copy)]
struct Made {
    /// Standard deviation of a seed's own deviation, new at every checkpoint after the first.
    seeds: f64,
    /// Octaves by which seeds turn later than one another.
    apart: f64,
}

const ALIKE: Made = Made { seeds: 0.0, apart: 0.0 };

/// Steps at whole octaves: log₂(1 + step) = 0, 1, 2, …
fn steps(n: u32) -> Vec<usize> {
    (0..n).map(|octave| 2_usize.pow(octave) - 1).collect()
}

impl Made {
    /// Values or verdicts whose center, on the probit scale for verdicts, is a function of the position in octaves.
    fn track(self, simulation: u64, verdicts: bool, center: impl Fn(f64) -> f64) -> Track {
        let mut rng = stream(&rng(if verdicts { 300 } else { 301 }), simulation);
        let scenarios: Vec<f64> = (0..72).map(|_| 0.7 * standard_normal(&mut rng)).collect();
        let mut checkpoints = vec![];
        for (octave, step) in steps(9).into_iter().enumerate() {
            let mut seen = vec![];
            for run in 0..3 {
                let seed = if step > 0 { self.seeds * standard_normal(&mut rng) } else { 0.0 };
                let position = octave as f64 - self.apart * run as f64;
                for cluster in 0..24 {
                    let latent = center(position) + seed + scenarios[24 * run + cluster];
                    for _ in 0..2 {
                        let shown = if rng.r#gen::<f64>() < phi(latent) { 1.0 } else { 0.0 };
                        let value = if verdicts { shown } else { latent + standard_normal(&mut rng) };
                        seen.push(Observation { run, cluster: own(run, cluster), value });
                    }
                }
            }
            checkpoints.push((step, seen));
        }
        Track::new(checkpoints).unwrap()
    }
}

/// Share of simulations in which something holds.
fn share(holds: impl Fn(u64) -> bool + Send + Sync) -> f64 {
    (0..SIMULATIONS).into_par_iter().filter(|simulation| holds(*simulation)).count() as f64
        / SIMULATIONS as f64
}

fn crossing(track: &Track, simulation: u64) -> Crossing {
    emergence(track, QUICK, &rng(simulation)).unwrap().crossing
}

#[test]
fn without_an_effect_a_lasting_crossing_is_as_rare_as_one_error_and_a_first_one_is_not() {
    for (verdicts, seeds) in [(true, 0.0), (true, 0.3), (false, 0.0), (false, 0.3)] {
        let made = Made { seeds, ..ALIKE };
        let found = |simulation| crossing(&made.track(simulation, verdicts, |_| -1.0), simulation);
        let first = share(|simulation| found(simulation).first.is_some());
        let lasting = share(|simulation| found(simulation).lasting.is_some());
        println!(
            "verdicts {verdicts}, seeds of sd {seeds}: first crossing named in {first:.3}, lasting in {lasting:.3}"
        );
        assert!(lasting <= 0.065, "{lasting}");
        assert!(first > lasting, "{first} against {lasting}");
    }
}

#[test]
fn an_effect_emerges_where_it_was_planted() {
    for (verdicts, seeds) in [(true, 0.0), (true, 0.2), (false, 0.2)] {
        let made = Made { seeds, ..ALIKE };
        // A jump between octaves 3 and 4: steps 7 and 15.
        let planted =
            |simulation| made.track(simulation, verdicts, |octave| if octave > 3.5 { 0.5 } else { -1.5 });
        let there = share(|simulation| crossing(&planted(simulation), simulation).lasting == Some(15));
        let never = share(|simulation| crossing(&planted(simulation), simulation).lasting.is_none());
        println!(
            "verdicts {verdicts}, seeds of sd {seeds}: at the planted step in {there:.3}, never in {never:.3}"
        );
        assert!(there > 0.85 && never < 0.1, "{there}, {never}");
    }
    let found = emergence(&ALIKE.track(0, true, |octave| octave - 5.0), QUICK, &rng(0)).unwrap();
    let median = found.median.unwrap();
    assert_eq!((found.by_run.len(), found.differences.len(), median.runs), (3, 8, 3));
    assert!(median.low <= median.step && median.step <= median.high && median.level < 0.76, "{median:?}");
    assert_eq!(median.describe("seeds"), "75 % order statistics of 3 seeds");
    // What falls emerges too.
    let fallen = ALIKE.track(1, false, |octave| if octave > 3.5 { -2.0 } else { 1.0 });
    assert_eq!(crossing(&fallen, 1).lasting, Some(15));
}

#[test]
fn the_paired_difference_sees_a_rise_before_two_intervals_part() {
    let step = |found: Option<usize>| found.map_or(9.0, |step| ((1 + step) as f64).log2());
    let waits: Vec<f64> = (0..100_u64)
        .into_par_iter()
        .map(|simulation| {
            let values = |octave: f64| 0.15 * octave;
            let track = ALIKE.track(simulation, false, values);
            let by_difference = step(crossing(&track, simulation).lasting);
            let apart = disjoint(&track, simulation);
            step(apart) - by_difference
        })
        .collect();
    let wait = waits.iter().sum::<f64>() / waits.len() as f64;
    println!("two separate intervals part {wait:.2} checkpoints later");
    assert!(wait > 0.5, "{wait}");
}

/// First checkpoint from which on the interval of the mean no longer touches the base's.
fn disjoint(track: &Track, simulation: u64) -> Option<usize> {
    let means: Vec<(usize, f64, f64)> = track
        .checkpoints()
        .iter()
        .map(|(step, seen)| {
            let estimate = mean(seen, QUICK, &rng(simulation)).unwrap();
            (*step, estimate.low, estimate.high)
        })
        .collect();
    let base = means[0];
    means[1..].iter().rev().take_while(|(_, low, high)| *low > base.2 || *high < base.1).last().map(|of| of.0)
}

/// Where a rising curve over octaves 0 to 8 has covered half of its way, linear between octaves.
fn half(curve: impl Fn(f64) -> f64) -> f64 {
    let half = f64::midpoint(curve(0.0), curve(8.0));
    let after = (1..9).map(f64::from).find(|octave| curve(*octave) >= half).unwrap();
    after - 1.0 + (half - curve(after - 1.0)) / (curve(after) - curve(after - 1.0))
}

/// A smooth rise around an octave.
fn rise(around: f64) -> impl Fn(f64) -> f64 + Copy {
    move |octave| 2.0 * phi((octave - around) / 0.8) - 1.2
}

/// The mean over scenarios of a probit rate.
fn rate(center: impl Fn(f64) -> f64) -> impl Fn(f64) -> f64 {
    move |octave| phi(center(octave) / (1.0_f64 + 0.49).sqrt())
}

fn lag(first: &Track, second: &Track, simulation: u64) -> Lag {
    match lead(first, second, QUICK, &rng(simulation)).unwrap() {
        Lead::Lag(lag) => lag,
        Lead::Undefined(why) => panic!("undefined: {why:?}"),
    }
}

#[test]
fn a_lead_is_found_and_covered_and_none_is_found_between_twins() {
    for (seeds, later) in [(0.0, 2.0), (0.0, 0.0), (0.2, 1.0), (0.2, 0.0)] {
        let made = Made { seeds, ..ALIKE };
        let truth = half(rate(rise(3.5 + later))) - half(rise(3.5));
        let found: Vec<Lag> = (0..SIMULATIONS)
            .into_par_iter()
            .filter_map(|simulation| {
                let projection = made.track(simulation, false, rise(3.5));
                let rate = made.track(simulation, true, rise(3.5 + later));
                match lead(&projection, &rate, QUICK, &rng(simulation)).unwrap() {
                    Lead::Lag(lag) => Some(lag),
                    Lead::Undefined(_) => None,
                }
            })
            .collect();
        let defined = found.len() as f64 / SIMULATIONS as f64;
        let held = |lag: &&Lag| (lag.octaves.low..=lag.octaves.high).contains(&truth);
        let of = |n: usize| n as f64 / found.len() as f64;
        let held = of(found.iter().filter(held).count());
        let named = of(found.iter().filter(|lag| lag.first_leads() == Some(true)).count());
        let width =
            found.iter().map(|lag| lag.octaves.high - lag.octaves.low).sum::<f64>() / found.len() as f64;
        println!(
            "{later} octaves later, seeds of sd {seeds}: defined {defined:.3}, held {held:.3}, width {width:.2}, named leader {named:.3}"
        );
        assert!(defined > 0.9, "{later}, {seeds}: {defined}");
        assert!(held >= 0.93, "{later}, {seeds}: {held}");
        assert!(
            if later > 0.0 { named > if seeds > 0.0 { 0.3 } else { 0.95 } } else { named < 0.05 },
            "{later}, {seeds}: {named}"
        );
    }
}

#[test]
fn swapped_quantities_mirror_and_seeds_may_turn_at_different_times() {
    // Seeds turn 1.5 octaves apart, the second quantity always one octave after the first.
    let made = Made { apart: 1.5, ..ALIKE };
    let (first, second) = (made.track(0, false, rise(2.0)), made.track(1, false, rise(3.0)));
    let (there, back) = (lag(&first, &second, 0), lag(&second, &first, 0));
    close("lag", there.octaves.value, 1.0, 0.4);
    close("mirrored", back.octaves.value, -there.octaves.value, 1e-12);
    close("mirrored end", back.octaves.low, -there.octaves.high, 1e-9);
    assert_eq!(there.first_leads(), Some(true));
    assert_eq!((there.by_run.len(), there.octaves.runs, there.octaves.clusters), (3, 3, 72));
    for (run, halves) in there.by_run.iter().enumerate() {
        close("half-rise", (1.0 + halves.first).log2(), 2.0 + 1.5 * run as f64, 0.6);
    }
    // Scale and offset of a quantity do not matter.
    let scaled = second.checkpoints().iter().map(|(step, seen)| {
        let moved = |seen: &Observation| Observation { value: 40.0 - 7.0 * seen.value, ..*seen };
        (*step, seen.iter().map(moved).collect())
    });
    let scaled = Track::new(scaled.collect()).unwrap();
    close("scaled", lag(&first, &scaled, 0).octaves.value, there.octaves.value, 1e-9);
}

#[test]
fn a_lag_of_what_does_not_move_is_undefined_and_says_which() {
    let (moving, still) = (ALIKE.track(2, true, rise(4.0)), ALIKE.track(3, true, |_| -0.5));
    let undefined = |a: &Track, b: &Track| match lead(a, b, QUICK, &rng(0)).unwrap() {
        Lead::Undefined(why) => why,
        Lead::Lag(lag) => panic!("{lag:?}"),
    };
    assert_eq!(undefined(&still, &moving), Undefined::FirstDoesNotMove);
    assert_eq!(undefined(&moving, &still), Undefined::SecondDoesNotMove);
    assert_eq!(undefined(&still, &still), Undefined::NeitherMoves);
    // What rises and falls back has not moved.
    let back = ALIKE.track(4, false, |octave| if (2.0..6.0).contains(&octave) { 3.0 } else { 0.0 });
    assert_eq!(undefined(&moving, &back), Undefined::SecondDoesNotMove);
    // Twin: both move; with one seed alone the scenarios carry the interval.
    let one = |track: &Track| {
        let own = |seen: &[Observation]| seen.iter().filter(|seen| seen.run == 1).copied().collect();
        Track::new(track.checkpoints().iter().map(|(step, seen)| (*step, own(seen))).collect()).unwrap()
    };
    let alone = lag(&one(&ALIKE.track(5, false, rise(3.0))), &one(&ALIKE.track(6, false, rise(5.0))), 0);
    close("one seed", alone.octaves.value, 2.0, 0.6);
    assert_eq!((alone.octaves.runs, alone.octaves.clusters, alone.left_out.len()), (1, 24, 0));
    assert!(alone.octaves.low > 1.0 && alone.octaves.high < 3.0, "{alone:?}");
}

#[test]
fn neither_threads_nor_the_order_of_rows_change_a_bit() {
    let (first, second) = (ALIKE.track(7, false, rise(3.0)), ALIKE.track(8, true, rise(4.0)));
    let once = |first: &Track| {
        (lead(first, &second, QUICK, &rng(1)).unwrap(), emergence(first, QUICK, &rng(1)).unwrap())
    };
    let whole = once(&first);
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| once(&first)), whole, "{threads} threads");
    }
    let turned = first.checkpoints().iter().map(|(step, seen)| (*step, seen.iter().rev().copied().collect()));
    assert_eq!(once(&Track::new(turned.collect()).unwrap()), whole);
}

#[test]
fn a_projection_stands_beside_directions_that_mean_nothing() {
    let reference = pairs(40, 200, 24, 3.0);
    let probe = fit(Method::DifferenceOfMeans, &reference, &FitOptions::default()).unwrap();
    // Scenarios whose activations moved along the behavior's axis, and twins that did not.
    let scenarios = |shift: f64| {
        let mut rng = stream(&rng(41), 0);
        Array2::from_shape_fn((60, 24), |(_, column)| {
            narrowed(standard_normal(&mut rng) + if column == 0 { 1.5 + shift } else { 0.0 })
        })
    };
    let controls = [
        ("random", random_directions(24, 64, &rng(42))),
        ("differences", random_difference_directions(reference.x(), 64, &rng(43)).unwrap()),
    ];
    for (shift, moved) in [(2.0, true), (0.0, false)] {
        let x = scenarios(shift);
        let z = mean_projection(x.view(), &reference, probe.direction.view()).unwrap();
        let known = Reference::of(&probe.project(reference.x()).unwrap(), reference.labels()).unwrap();
        let by_hand = known.units(&probe.project(x.view()).unwrap()).iter().sum::<f64>() / 60.0;
        close("units", z, by_hand, 1e-12);
        close("shift", z, shift, 0.5);
        for (family, directions) in &controls {
            let band = projection_band(x.view(), &reference, directions.view()).unwrap();
            assert_eq!(band.values.len(), 64);
            assert_eq!(z > band.high, moved, "{family}, shift {shift}: {z} against {band:?}");
            // Turning a control around changes nothing: its sign comes from the reference rows.
            let turned =
                projection_band(x.view(), &reference, directions.mapv(|entry| -entry).view()).unwrap();
            close(family, turned.low, band.low, 1e-9);
        }
    }
}

#[test]
fn a_shift_is_not_mistaken_for_where_scenarios_lie_anyway() {
    let reference = pairs(44, 200, 24, 3.0);
    let probe = fit(Method::DifferenceOfMeans, &reference, &FitOptions::default()).unwrap();
    // Scenarios lie four units up the behavior's axis on the base already. Training moves everything a little, and them up the axis or nowhere.
    let scenarios = |shift: f64, all: f64| {
        let mut rng = stream(&rng(45), 0);
        Array2::from_shape_fn((60, 24), |(_, column)| {
            narrowed(standard_normal(&mut rng) + all + if column == 0 { 5.5 + shift } else { 0.0 })
        })
    };
    let directions = random_directions(24, 64, &rng(46));
    let base = scenarios(0.0, 0.0);
    for (shift, beyond) in [(2.0, true), (0.0, false)] {
        let checkpoint = scenarios(shift, 0.1);
        let along = |x: &Array2<f32>| mean_projection(x.view(), &reference, probe.direction.view()).unwrap();
        let there = projection_band(checkpoint.view(), &reference, directions.view()).unwrap();
        assert!(along(&checkpoint) > there.high, "the projection itself is outside either way");
        let band = shift_band(base.view(), checkpoint.view(), &reference, directions.view()).unwrap();
        assert_eq!(along(&checkpoint) - along(&base) > band.high, beyond, "shift {shift}: {band:?}");
    }
}

#[test]
fn unusable_series_are_named() {
    let whole = ALIKE.track(9, true, |_| 0.0);
    let message = |error: Error| match &error {
        Error::Checkpoint { source, .. } => format!("{error}: {source}"),
        _ => error.to_string(),
    };
    let refuses = |result: Result<(), Error>, words: &str| {
        let message = message(result.expect_err("an error"));
        assert!(message.contains(words), "expected `{words}` in `{message}`");
    };
    let all = whole.checkpoints();
    refuses(Track::new(all[..1].to_vec()).map(drop), "expected at least 2 checkpoints, found 1");
    refuses(
        Track::new(vec![all[1].clone(), all[0].clone()]).map(drop),
        "`steps`: expected ascending steps, found 0",
    );
    let mut lacking = all.to_vec();
    lacking[3].1.retain(|seen| (seen.run, seen.cluster) != (1, own(1, 7)));
    let lacking = Track::new(lacking).unwrap();
    let words = "checkpoint 7: run 1, cluster 1007: expected values of both arms, found none of the first";
    refuses(emergence(&lacking, QUICK, &rng(0)).map(drop), words);
    let moving = ALIKE.track(10, true, rise(4.0));
    refuses(
        lead(&moving, &Track::new(moving.checkpoints()[1..].to_vec()).unwrap(), QUICK, &rng(0)).map(drop),
        "expected checkpoints at steps 0, 1, 3, 7, 15, 31, 63, 127, 255, found 1, 3, 7",
    );
    let mut other = moving.checkpoints().to_vec();
    other[3].1.retain(|seen| (seen.run, seen.cluster) != (1, own(1, 7)));
    refuses(lead(&moving, &Track::new(other.clone()).unwrap(), QUICK, &rng(0)).map(drop), words);
    for (_, seen) in &mut other {
        seen.retain(|seen| (seen.run, seen.cluster) != (1, own(1, 7)));
    }
    let other = Track::new(other).unwrap();
    refuses(
        lead(&moving, &other, QUICK, &rng(0)).map(drop),
        "run 1, cluster 1007: expected values of both arms, found none of the second",
    );
    refuses(lead(&other, &moving, QUICK, &rng(0)).map(drop), "found none of the first");
}
