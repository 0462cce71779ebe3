//! Tracks beside labels that mean nothing: the nulls hold at their nominal rate, and what is there is seen beyond them.

use heirloom_probe::control::{NullBand, shuffled_labels};
use heirloom_probe::random::{ChaCha8Rng, standard_normal, stream};
use heirloom_probe::score::auroc;
use heirloom_probe::track::{
    ShuffledLabels, exchanged_labels, mean_projection, mean_shift_band, refit_auroc, refit_band,
};
use heirloom_probe::{Dataset, FitOptions, Method, fit};
use ndarray::{Array1, Array2};
use rayon::prelude::*;

use crate::made::{narrowed, rng};

const SIMULATIONS: u64 = 400;
const DRAWS: usize = 64;
const D_MODEL: usize = 40;

/// How often a number that comes as its controls do lies outside the middle 95 % of 64 of them: 2 (0.025 · 63 + 1) / 65.
const OUTSIDE: f64 = 0.079;

/// A reference, scenarios, and what training adds to them.
#[derive(Clone, Copy)]
struct World {
    pairs: usize,
    /// Length of the mean difference between labels, in standard deviations of most coordinates.
    signal: f64,
    /// Standard deviation of one coordinate; that of the others is 1.
    dominant: f64,
}

impl World {
    fn noise(self, rng: &mut ChaCha8Rng) -> Array1<f64> {
        Array1::from_shape_fn(D_MODEL, |column| {
            standard_normal(rng) * if column == 1 { self.dominant } else { 1.0 }
        })
    }

    fn reference(self, rng: &mut ChaCha8Rng) -> Dataset {
        let mut x = Array2::zeros((2 * self.pairs, D_MODEL));
        for (row, mut to) in x.rows_mut().into_iter().enumerate() {
            let mut values = self.noise(rng);
            values[0] += if row % 2 == 1 { self.signal } else { 0.0 };
            to.assign(&values.mapv(narrowed));
        }
        let labels = (0..2 * self.pairs).map(|row| row % 2 == 1).collect();
        let named = |row: usize| format!("{:03}", row / 2);
        let pairs: Vec<String> = (0..2 * self.pairs).map(named).collect();
        Dataset::new(x, labels, &pairs, &vec!["all"; 2 * self.pairs]).unwrap()
    }
}

/// Scenarios before and after training, which adds the same to each.
fn scenarios(added: &Array1<f64>, rng: &mut ChaCha8Rng) -> [Array2<f32>; 2] {
    let before = Array2::from_shape_fn((20, D_MODEL), |_| standard_normal(rng));
    [before.mapv(narrowed), (before + added).mapv(narrowed)]
}

/// Share of simulations in which something holds.
fn share(holds: impl Fn(u64) -> bool + Send + Sync) -> f64 {
    (0..SIMULATIONS).into_par_iter().filter(|simulation| holds(*simulation)).count() as f64
        / SIMULATIONS as f64
}

/// Whether the shift along the reference's direction lies outside those of shuffled labels.
fn outside(world: World, simulation: u64, added: impl Fn(&mut ChaCha8Rng) -> Array1<f64>) -> bool {
    let mut rng = stream(&rng(500), simulation);
    let reference = world.reference(&mut rng);
    let [before, after] = scenarios(&added(&mut rng), &mut rng);
    let direction = fit(Method::DifferenceOfMeans, &reference, &FitOptions::default()).unwrap().direction;
    let at = |x: &Array2<f32>| mean_projection(x.view(), &reference, direction.view()).unwrap();
    let shuffled = ShuffledLabels::new(&reference, DRAWS, &rng).unwrap().unwrap();
    let [from, to] = [&before, &after].map(|x| shuffled.controls().means(x.view()).unwrap());
    let band = mean_shift_band([(&from[..], &to[..])]).unwrap();
    !(band.low..=band.high).contains(&(at(&after) - at(&before)))
}

#[test]
fn without_information_a_shift_leaves_the_shuffled_labels_at_their_nominal_rate() {
    for (pairs, dominant) in [(8, 1.0), (8, 8.0), (32, 1.0), (32, 8.0)] {
        let world = World { pairs, signal: 0.0, dominant };
        let rate = share(|simulation| outside(world, simulation, |rng| 0.5 * world.noise(rng)));
        println!("{pairs} pairs, dominant axis {dominant}: outside in {rate:.3}, nominal {OUTSIDE}");
        // 400 simulations have a standard error of 0.014.
        let most = if pairs < 16 { OUTSIDE + 0.06 } else { OUTSIDE + 0.035 };
        assert!((OUTSIDE - 0.035..most).contains(&rate), "{pairs}, {dominant}: {rate}");
    }
}

#[test]
fn a_shift_along_the_direction_is_beyond_shuffled_labels_and_one_anywhere_is_not() {
    let world = World { pairs: 32, signal: 3.0, dominant: 1.0 };
    let anywhere = |rng: &mut ChaCha8Rng| 0.5 * world.noise(rng);
    let along = |rng: &mut ChaCha8Rng| {
        let mut added = 0.3 * world.noise(rng);
        added[0] += 3.0;
        added
    };
    let [there, not] = [share(|one| outside(world, one, along)), share(|one| outside(world, one, anywhere))];
    println!("along the direction outside in {there:.3}, anywhere in {not:.3}");
    assert!(there > 0.95 && not < 0.13, "{there}, {not}");
}

#[test]
fn exchanged_labels_hold_nothing_of_a_direction_however_strong_and_labels_flipped_by_chance_do() {
    let reference = World { pairs: 16, signal: 40.0, dominant: 1.0 }.reference(&mut rng(502));
    let along = |direction: Array1<f64>| direction[0].powi(2);
    let fitted =
        |data: &Dataset| fit(Method::DifferenceOfMeans, data, &FitOptions::default()).unwrap().direction;
    let mean = |of: &dyn Fn(u64) -> f64| (0..64).map(of).sum::<f64>() / 64.0;
    let exchanged = mean(&|index| {
        let labels = exchanged_labels(&reference, &rng(503), index).unwrap();
        assert_eq!(labels.iter().filter(|label| **label == Some(true)).count(), 16);
        let labels = labels.into_iter().map(Option::unwrap).collect();
        along(fitted(&reference.with_labels(labels).unwrap()))
    });
    let flipped = mean(&|index| {
        let labels = shuffled_labels(&reference, &rng(503), index).unwrap();
        along(fitted(&reference.with_labels(labels).unwrap()))
    });
    println!("squared cosine with the direction: exchanged {exchanged:.3}, flipped by chance {flipped:.3}");
    assert!(exchanged < 0.06 && flipped > 0.5, "{exchanged}, {flipped}");
}

#[test]
fn labels_are_exchanged_within_groups_and_what_is_over_is_left_out() {
    // Scenarios of one class with two rows each: in one group three with and two without, in the other four and four.
    let holds = [true, true, true, false, false, true, true, true, true, false, false, false, false];
    let rows = 2 * holds.len();
    let x = Array2::from_shape_fn((rows, 3), |(row, column)| narrowed((row * 7 % 5 + column) as f64));
    let clusters: Vec<String> = (0..rows).map(|row| format!("{:02}", row / 2)).collect();
    let groups: Vec<&str> = (0..rows).map(|row| if row < 10 { "first" } else { "second" }).collect();
    let labels: Vec<bool> = (0..rows).map(|row| holds[row / 2]).collect();
    let data = Dataset::new(x, labels.clone(), &clusters, &groups).unwrap();
    let found = exchanged_labels(&data, &rng(504), 0).unwrap();
    assert!(found.chunks(2).all(|cluster| cluster[0] == cluster[1]));
    for (rows, used) in [(0..10, 4), (10..26, 8)] {
        let of = |label: Option<bool>, was: bool| {
            rows.clone().filter(|row| found[*row] == label && labels[*row] == was).count() / 2
        };
        for label in [Some(true), Some(false)] {
            assert_eq!([of(label, true), of(label, false)], [used / 4; 2]);
        }
    }
    // Twin: of three pairs one is left out, and two can hardly be exchanged.
    let few = World { pairs: 3, signal: 1.0, dominant: 1.0 }.reference(&mut rng(505));
    assert!(exchanged_labels(&few, &rng(504), 0).is_none());
    assert!(ShuffledLabels::new(&few, DRAWS, &rng(504)).unwrap().is_none());
}

#[test]
fn directions_of_exchanged_labels_turn_with_the_rows_and_stay_without() {
    let world = World { pairs: 16, signal: 2.0, dominant: 1.0 };
    let [one, other] = [506, 507].map(|seed| world.reference(&mut rng(seed)));
    let shuffled = ShuffledLabels::new(&one, DRAWS, &rng(508)).unwrap().unwrap();
    let same = shuffled.cosines(&one).unwrap();
    assert!(same.len() == DRAWS && same.iter().all(|cosine| (cosine - 1.0).abs() < 1e-12));
    let turned = shuffled.cosines(&other).unwrap();
    assert!(turned.iter().sum::<f64>().abs() / 64.0 < 0.1, "{turned:?}");
    // A checkpoint on which the rows of each label are alike has no directions but the labels'.
    let alike = Array2::from_shape_fn(
        (32, D_MODEL),
        |(row, column)| if column == 0 { (row % 2) as f32 } else { 0.0 },
    );
    assert_eq!(shuffled.cosines(&one.with_activations(alike).unwrap()).unwrap(), vec![0.0; DRAWS]);
}

/// AUROCs of refits, each with the middle 95 % of its null.
fn refits(world: World) -> Vec<(f64, NullBand)> {
    let one = |simulation| {
        let mut rng = stream(&rng(501), simulation);
        let reference = world.reference(&mut rng);
        (
            refit_auroc(&reference, &rng).unwrap().unwrap(),
            refit_band(&reference, DRAWS, &rng).unwrap().unwrap(),
        )
    };
    (0..SIMULATIONS).into_par_iter().map(one).collect()
}

#[test]
fn a_refit_leaves_its_null_at_the_nominal_rate_without_information_and_nearly_always_with_it() {
    for (pairs, signal) in [(8, 0.0), (16, 0.0), (40, 0.0), (16, 4.0), (40, 2.0)] {
        let found = refits(World { pairs, signal, dominant: 1.0 });
        let of = |holds: &dyn Fn(&(f64, NullBand)) -> bool| {
            found.iter().filter(|one| holds(one)).count() as f64 / found.len() as f64
        };
        let above = of(&|(auroc, band)| *auroc > band.high);
        let below = of(&|(auroc, band)| *auroc < band.low);
        let mean = found.iter().map(|(auroc, _)| auroc).sum::<f64>() / found.len() as f64;
        println!(
            "{pairs} pairs, signal {signal}: AUROC {mean:.3}, above its null in {above:.3}, below in {below:.3}"
        );
        if signal > 0.0 {
            assert!(above > 0.95, "{pairs}, {signal}: {above}");
        } else {
            assert!(
                above + below < OUTSIDE + 0.035 && (mean - 0.5).abs() < 0.03,
                "{pairs}: {above}, {below}, {mean}"
            );
        }
    }
}

#[test]
fn refits_score_rows_that_they_were_not_fit_on() {
    // More coordinates than pairs: a direction separates the rows that it was fit on whatever their labels are.
    let data = World { pairs: 12, signal: 0.0, dominant: 1.0 }.reference(&mut rng(509));
    let probe = fit(Method::DifferenceOfMeans, &data, &FitOptions::default()).unwrap();
    assert!(auroc(&probe.project(data.x()).unwrap(), data.labels()).unwrap() > 0.9);
    assert!(refit_auroc(&data, &rng(510)).unwrap().unwrap() < 0.8);
    // One pair leaves nothing to fit on, one text of a class neither.
    let pair = World { pairs: 1, signal: 1.0, dominant: 1.0 }.reference(&mut rng(511));
    assert_eq!(refit_auroc(&pair, &rng(510)).unwrap(), None);
    assert_eq!(refit_band(&pair, DRAWS, &rng(510)).unwrap(), None);
}
