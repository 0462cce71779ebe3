//! Rankings of prompts: scores, parity of average precision, random baselines, intervals.

use heirloom_probe::attribution::{
    activation_attribution, average_precision, projection_difference, random_average_precision, ranking,
    ranking_quality, removal_per_percent, top_k,
};
use heirloom_probe::bootstrap::cluster_bootstrap;
use heirloom_probe::random::{standard_normal, stream};
use heirloom_probe::rate::{Observation, difference};
use heirloom_probe::{Error, Resampling};
use ndarray::{Array2, array};
use rand::Rng;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use crate::close;
use crate::fixtures::{cases, count, json, labels, number, numbers};
use crate::made::{narrowed, rng};

const QUICK: Resampling = Resampling { replicates: 300, level: 0.95 };

#[test]
fn scores_are_lengths_and_cosines_of_what_a_swap_changes() {
    let original = array![[3.0_f32, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [2.0, 0.0, 0.0]];
    let alternate = array![[1.0_f32, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 3.0, 4.0], [3.0, 0.0, 0.0]];
    let axis = array![1.0, 0.0, 0.0];
    let projected = projection_difference(original.view(), alternate.view(), axis.view()).unwrap();
    assert_eq!(projected, [2.0, 0.0, 0.0, -1.0]);
    let behavior = array![2.0, 0.0, -1.0];
    let attributed = activation_attribution(behavior.view(), original.view(), alternate.view()).unwrap();
    let length = 5.0_f64.sqrt();
    // The second prompt's rollouts have the same activations: 0, not NaN.
    for (found, expected) in attributed.iter().zip([2.0 / length, 0.0, 4.0 / (5.0 * length), -2.0 / length]) {
        close("cosine", *found, expected, 1e-15);
    }
    // The cosine does not see how much changes, the projection does.
    let far = original.mapv(|value| 10.0 * value);
    let none = Array2::zeros(original.dim());
    let (near_cosine, far_cosine) = (
        activation_attribution(behavior.view(), original.view(), none.view()).unwrap(),
        activation_attribution(behavior.view(), far.view(), none.view()).unwrap(),
    );
    for (near, far) in near_cosine.iter().zip(&far_cosine) {
        close("length", *near, *far, 1e-12);
    }
}

#[test]
fn equal_scores_keep_the_order_of_rows() {
    let scores = [0.5, 2.0, 0.5, -0.0, 2.0, 0.0];
    assert_eq!(ranking(&scores).unwrap(), [1, 4, 0, 2, 3, 5]);
    assert_eq!(top_k(&scores, 3).unwrap(), [1, 4, 0]);
    assert!(top_k(&scores, 0).unwrap().is_empty());
    assert_eq!(top_k(&scores, 6).unwrap(), ranking(&scores).unwrap());
}

#[test]
fn average_precision_is_scikit_learns() {
    for case in cases("rankings") {
        let (scores, labels) = (numbers(&case, "scores"), labels(&case));
        let name = case["name"].as_str().unwrap();
        close(name, average_precision(&scores, &labels).unwrap(), number(&case, "average_precision"), 1e-12);
        // Weights count rows: repeated rows have the weighted value.
        let weights = numbers(&case, "weights");
        let repeated: Vec<usize> = (0..scores.len())
            .flat_map(|row| std::iter::repeat_n(row, (0..4).filter(|n| f64::from(*n) < weights[row]).count()))
            .collect();
        let of = |row: &usize| (scores[*row], labels[*row]);
        let (scores, labels): (Vec<f64>, Vec<bool>) = repeated.iter().map(of).unzip();
        close(name, average_precision(&scores, &labels).unwrap(), number(&case, "weighted"), 1e-12);
    }
}

#[test]
fn the_random_expectation_is_the_mean_over_all_orders() {
    for case in json("rankings")["random"].as_array().unwrap() {
        let found = random_average_precision(count(case, "rows"), count(case, "causal")).unwrap();
        close(&case.to_string(), found, number(case, "expected"), 1e-14);
    }
    // Simulated orders of a hundred rows agree; the share of causal rows is too low.
    let labels: Vec<bool> = (0..100).map(|row| row < 5).collect();
    let mut rng = rng(60);
    let mean = (0..20_000)
        .map(|_| {
            let mut scores: Vec<f64> = (0..100).map(f64::from).collect();
            scores.shuffle(&mut rng);
            average_precision(&scores, &labels).unwrap()
        })
        .sum::<f64>()
        / 20_000.0;
    let expected = random_average_precision(100, 5).unwrap();
    close("simulated", expected, mean, 0.003);
    assert!(expected > 0.08, "{expected}");
}

/// Prompts of which 15 % are causal and score higher by `shift`.
fn scored(seed: u64, prompts: usize, shift: f64) -> (Vec<f64>, Vec<bool>, Vec<usize>) {
    let mut rng = stream(&rng(61), seed);
    let causal: Vec<bool> = (0..prompts).map(|_| rng.r#gen::<f64>() < 0.15).collect();
    let scores = causal.iter().map(|c| standard_normal(&mut rng) + if *c { shift } else { 0.0 }).collect();
    (scores, causal, (0..prompts).collect())
}

#[test]
fn a_ranker_that_knows_beats_random_and_one_that_does_not_does_not() {
    // The value over so many prompts that it is the population's.
    let truth = |shift| {
        let (scores, causal, _) = scored(0, 200_000, shift);
        average_precision(&scores, &causal).unwrap()
    };
    for (shift, beats) in [(1.5, true), (0.0, false)] {
        let (known, simulations) = (truth(shift), 300);
        let found: Vec<(bool, bool, bool)> = (1..=simulations)
            .into_par_iter()
            .map(|seed| {
                let (scores, causal, prompts) = scored(seed, 400, shift);
                let quality = ranking_quality(&scores, &causal, &prompts, 40, QUICK, &rng(seed)).unwrap();
                let average = quality.average_precision;
                (
                    (average.low..=average.high).contains(&known),
                    average.low > quality.random.average_precision,
                    quality.precision.low > quality.random.precision,
                )
            })
            .collect();
        let share = |holds: &dyn Fn(&(bool, bool, bool)) -> bool| {
            found.iter().filter(|found| holds(found)).count() as f64 / simulations as f64
        };
        let (held, average, precision) = (share(&|f| f.0), share(&|f| f.1), share(&|f| f.2));
        println!(
            "shift {shift}: held {held:.3}; above random by average precision {average:.3}, by precision {precision:.3}"
        );
        assert!(held > 0.88, "{held}");
        assert!(if beats { average > 0.99 && precision > 0.99 } else { average < 0.08 && precision < 0.05 });
    }
}

#[test]
fn quality_counts_rows_ties_and_prompts() {
    let scores = [4.0, 3.0, 3.0, 3.0, 1.0, 0.0];
    let causal = [true, true, false, false, true, false];
    let each: Vec<usize> = (0..6).collect();
    let quality = |k| ranking_quality(&scores, &causal, &each, k, QUICK, &rng(1)).unwrap();
    // The first row, and two of three equal ones of which one is causal.
    close("precision", quality(3).precision.value, (1.0 + 2.0 / 3.0) / 3.0, 1e-12);
    close("recall", quality(3).recall.value, (1.0 + 2.0 / 3.0) / 3.0, 1e-12);
    close("all", quality(6).recall.value, 1.0, 1e-12);
    close("random precision", quality(3).random.precision, 0.5, 0.0);
    close("random recall", quality(3).random.recall, 0.5, 0.0);
    close(
        "average precision",
        quality(3).average_precision.value,
        average_precision(&scores, &causal).unwrap(),
        0.0,
    );
    // A perfect choice is not published as certain.
    let best: Vec<f64> = causal.iter().map(|causal| f64::from(u8::from(*causal))).collect();
    let perfect = ranking_quality(&best, &causal, &each, 3, QUICK, &rng(1)).unwrap();
    assert!(perfect.precision.value >= 1.0 && perfect.precision.low < 0.8, "{perfect:?}");
    assert!(perfect.recall.low < 0.8, "{perfect:?}");
    // Rows of one prompt are drawn together: four copies of every row leave the interval as it is.
    let (scores, causal, prompts) = scored(70, 60, 1.0);
    let four = |values: &[f64]| -> Vec<f64> { values.repeat(4) };
    let once = ranking_quality(&scores, &causal, &prompts, 15, QUICK, &rng(2)).unwrap();
    let copied =
        ranking_quality(&four(&scores), &causal.repeat(4), &prompts.repeat(4), 60, QUICK, &rng(2)).unwrap();
    for (one, other) in [
        (once.precision, copied.precision),
        (once.recall, copied.recall),
        (once.average_precision, copied.average_precision),
    ] {
        close("copied", one.value, other.value, 1e-12);
        close("copied", one.low, other.low, 1e-12);
        close("copied", one.high, other.high, 1e-12);
    }
    // The interval is the cluster bootstrap's of the published value.
    let by_hand = cluster_bootstrap(&prompts, 300, &rng(2), |weights| {
        let rows = || (0..60).flat_map(|row| std::iter::repeat_n(row, weights[row] as usize));
        let scores: Vec<f64> = rows().map(|row| scores[row]).collect();
        average_precision(&scores, &rows().map(|row| causal[row]).collect::<Vec<_>>()).ok()
    });
    let by_hand = by_hand.unwrap().interval(0.0, 60, 0.95).unwrap();
    close("by hand", once.average_precision.low, by_hand.low, 1e-12);
}

#[test]
fn removal_is_per_percent() {
    let arm = |shown: usize| -> Vec<Observation> {
        let value = |cluster: usize| if cluster < shown { 1.0 } else { 0.0 };
        (0..60).map(|i| Observation { run: i / 20, cluster: i, value: value(i % 20) }).collect()
    };
    let (full, swapped) = (arm(16), arm(6));
    let found = removal_per_percent(&full, &swapped, 5.0, QUICK, &rng(3)).unwrap();
    let whole = difference(&full, &swapped, QUICK, &rng(3)).unwrap();
    close("per percent", found.value, 0.1, 1e-12);
    close("per percent", found.low, whole.low / 5.0, 1e-15);
    // Twin: a swap that removes nothing.
    let nothing = removal_per_percent(&full, &full, 5.0, QUICK, &rng(3)).unwrap();
    assert!(nothing.low < 0.0 && nothing.high > 0.0 && nothing.value.abs() <= 0.0, "{nothing:?}");
}

#[test]
fn unusable_rankings_are_named() {
    let refuses = |error: Error, words: &str| {
        let message = error.to_string();
        assert!(message.contains(words), "expected `{words}` in `{message}`");
    };
    let x = array![[1.0_f32, 0.0], [0.0, narrowed(f64::NAN)]];
    let (clean, axis) = (array![[1.0_f32, 0.0], [0.0, 1.0]], array![1.0, 0.0]);
    refuses(projection_difference(x.view(), clean.view(), axis.view()).unwrap_err(), "row 1, column 1");
    refuses(activation_attribution(axis.view(), clean.view(), x.view()).unwrap_err(), "row 1, column 1");
    let zero = array![0.0, 0.0];
    refuses(
        activation_attribution(zero.view(), clean.view(), clean.view()).unwrap_err(),
        "found no direction",
    );
    let short = array![[1.0_f32, 0.0]];
    refuses(
        projection_difference(clean.view(), short.view(), axis.view()).unwrap_err(),
        "`alternate`: expected 2 rows, found 1",
    );
    refuses(top_k(&[1.0], 2).unwrap_err(), "expected at least 2 rows, found 1");
    refuses(ranking(&[1.0, f64::NAN]).unwrap_err(), "row 1: expected a finite score");
    refuses(average_precision(&[1.0, 2.0], &[false, false]).unwrap_err(), "0 positive and 2 negative");
    refuses(random_average_precision(4, 0).unwrap_err(), "expected at least 1 causal rows");
    let quality = ranking_quality(&[1.0, 2.0], &[true, false], &[0, 1], 3, QUICK, &rng(0));
    refuses(quality.unwrap_err(), "`k`: expected from one to the number of rows, found 3");
    refuses(removal_per_percent(&[], &[], 0.0, QUICK, &rng(0)).unwrap_err(), "`percent`");
}
