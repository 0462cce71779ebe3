//! Do 95 % intervals hold the truth 95 times in a hundred? Simulations whose AUROC is known, dependent rows included.

use heirloom_probe::bootstrap::{FEW_CLUSTERS, auroc_difference, cluster_bootstrap, tpr_at_fpr_interval};
use heirloom_probe::delong::DeLong;
use heirloom_probe::interval::{Kind, wilson};
use heirloom_probe::random::{standard_normal, stream};
use heirloom_probe::ranked::Ranked;
use heirloom_probe::score::tpr_at_fpr;
use heirloom_probe::{Interval, Resampling, auroc_interval};
use rayon::prelude::*;

use crate::close;
use crate::made::{phi, rng};

/// Scores of clusters that share a random effect of variance `shared`; each cluster has `rows` rows of one class.
fn scenarios(
    seed: u64,
    clusters: usize,
    rows: usize,
    shift: f64,
    shared: f64,
) -> (Vec<f64>, Vec<bool>, Vec<usize>) {
    let mut rng = stream(&rng(100), seed);
    let (mut scores, mut labels, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    for cluster in 0..clusters {
        let effect = shared.sqrt() * standard_normal(&mut rng);
        for _ in 0..rows {
            let positive = cluster % 2 == 1;
            let noise = (1.0 - shared).sqrt() * standard_normal(&mut rng);
            scores.push(effect + noise + if positive { shift } else { 0.0 });
            labels.push(positive);
            numbers.push(cluster);
        }
    }
    (scores, labels, numbers)
}

/// Contrast pairs: both rows of a pair share the effect.
fn contrast(seed: u64, pairs: usize, shift: f64, shared: f64) -> (Vec<f64>, Vec<bool>, Vec<usize>) {
    let mut rng = stream(&rng(101), seed);
    let (mut scores, mut labels, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..pairs {
        let effect = shared.sqrt() * standard_normal(&mut rng);
        for positive in [false, true] {
            let noise = (1.0 - shared).sqrt() * standard_normal(&mut rng);
            scores.push(effect + noise + if positive { shift } else { 0.0 });
            labels.push(positive);
            numbers.push(pair);
        }
    }
    (scores, labels, numbers)
}

const RUNS: u64 = 1500;

/// Share of simulations whose interval holds the truth, and the mean width.
fn coverage(truth: f64, interval: impl Fn(u64) -> Interval + Sync) -> (f64, f64) {
    let runs: Vec<(bool, f64)> = (0..RUNS)
        .into_par_iter()
        .map(|run| {
            let interval = interval(run);
            ((interval.low..=interval.high).contains(&truth), interval.high - interval.low)
        })
        .collect();
    let n = runs.len() as f64;
    (
        runs.iter().filter(|(held, _)| *held).count() as f64 / n,
        runs.iter().map(|(_, width)| width).sum::<f64>() / n,
    )
}

/// The bootstrap alone, without its companion.
fn percentiles(scores: &[f64], labels: &[bool], clusters: &[usize], run: u64) -> Interval {
    let ranked = Ranked::new(scores, labels).unwrap();
    let replicates = cluster_bootstrap(clusters, 300, &rng(run), |weights| ranked.weighted(weights)).unwrap();
    let interval = replicates.interval(ranked.auroc(), scores.len(), 0.95).unwrap();
    assert!(matches!(interval.kind, Kind::ClusterBootstrap { replicates: 300, .. }));
    interval
}

const QUICK: Resampling = Resampling { replicates: 300, level: 0.95 };

#[test]
fn cluster_bootstrap_covers_where_row_wise_delong_does_not() {
    let truth = phi(1.0 / 2_f64.sqrt());
    let made = |run| scenarios(run, 60, 5, 1.0, 0.6);
    let (clustered, _) = coverage(truth, |run| {
        let (scores, labels, clusters) = made(run);
        percentiles(&scores, &labels, &clusters, run)
    });
    let (delong, _) = coverage(truth, |run| {
        let (scores, labels, clusters) = made(run);
        DeLong::clustered(&scores, &labels, &clusters).unwrap().interval(0.95).unwrap()
    });
    let (naive, _) = coverage(truth, |run| {
        let (scores, labels, _) = made(run);
        DeLong::new(&scores, &labels).unwrap().interval(0.95).unwrap()
    });
    println!(
        "scenarios of 5 rows: bootstrap {clustered:.3}, clustered DeLong {delong:.3}, row-wise DeLong {naive:.3}"
    );
    assert!((0.915..=0.98).contains(&clustered) && (0.915..=0.98).contains(&delong));
    assert!(naive < 0.8, "rows of a scenario are not independent");
}

#[test]
fn contrast_pairs_are_covered() {
    for (shift, shared) in [(0.0_f64, 0.5_f64), (1.0, 0.0), (1.0, 0.5), (1.5, 0.8)] {
        // Every positive meets its own pair's negative once and the others n − 1 times.
        let own = phi(shift / (2.0 * (1.0 - shared)).sqrt());
        let truth = (own + 59.0 * phi(shift / 2_f64.sqrt())) / 60.0;
        let (held, width) = coverage(truth, |run| {
            let (scores, labels, clusters) = contrast(run, 60, shift, shared);
            auroc_interval(&scores, &labels, &clusters, QUICK, &rng(run)).unwrap()
        });
        println!("60 pairs, shift {shift}, shared {shared}: held {held:.3}, width {width:.3}");
        assert!((0.915..=0.985).contains(&held), "shift {shift}, shared {shared}: {held}");
    }
}

#[test]
fn few_clusters_and_perfect_separation_are_not_published_as_certain() {
    for (clusters, shift) in [(8, 1.0), (8, 2.5), (20, 1.0), (20, 3.0), (60, 3.0), (60, 4.0)] {
        let truth = phi(shift / 2_f64.sqrt());
        let percentile = |run| {
            let (scores, labels, clusters) = scenarios(run, clusters, 3, shift, 0.5);
            percentiles(&scores, &labels, &clusters, run)
        };
        let (bare, _) = coverage(truth, percentile);
        let (held, width) = coverage(truth, |run| {
            let (scores, labels, clusters) = scenarios(run, clusters, 3, shift, 0.5);
            auroc_interval(&scores, &labels, &clusters, QUICK, &rng(run)).unwrap()
        });
        println!(
            "{clusters} scenarios, AUROC {truth:.4}: published {held:.3} (width {width:.3}), percentiles alone {bare:.3}"
        );
        assert!(held >= 0.92, "{clusters} clusters, shift {shift}: {held}");
        assert!(held >= bare);
    }
    assert_eq!(FEW_CLUSTERS, 40);
    let (scores, labels, clusters) = contrast(0, 100, 50.0, 0.5);
    let perfect = auroc_interval(&scores, &labels, &clusters, QUICK, &rng(0)).unwrap();
    close("perfect", perfect.value, 1.0, 0.0);
    close("upper end", perfect.high, 1.0, 0.0);
    assert!((0.95..0.99).contains(&perfect.low), "{perfect:?}");
    let reversed: Vec<bool> = labels.iter().map(|label| !label).collect();
    let worst = auroc_interval(&scores, &reversed, &clusters, QUICK, &rng(0)).unwrap();
    close("mirrored", worst.high, 1.0 - perfect.low, 1e-9);
}

#[test]
fn differences_of_two_scores_of_the_same_rows_are_covered() {
    // The second score is the first with noise: AUROC Φ(1/√2) against Φ(1/2).
    let truth = phi(1.0 / 2_f64.sqrt()) - phi(0.5);
    let (held, _) = coverage(truth, |run| {
        let (first, labels, clusters) = contrast(run, 80, 1.0, 0.0);
        let mut noise = stream(&rng(102), run);
        let second: Vec<f64> = first.iter().map(|score| score + standard_normal(&mut noise)).collect();
        auroc_difference(&first, &second, &labels, &clusters, QUICK, &rng(run)).unwrap()
    });
    println!("difference of two AUROCs: held {held:.3}");
    assert!((0.915..=0.98).contains(&held), "{held}");
}

#[test]
fn wilson_covers_by_enumeration() {
    for (n, p) in [(20_u32, 0.05_f64), (20, 0.5), (100, 0.01), (100, 0.3), (250, 0.9)] {
        let mut probability = (1.0 - p).powi(i32::try_from(n).unwrap());
        let mut held = 0.0;
        for k in 0..=n {
            let interval = wilson(k as usize, n as usize, 0.95).unwrap();
            if (interval.low..=interval.high).contains(&p) {
                held += probability;
            }
            probability *= f64::from(n - k) / f64::from(k + 1) * p / (1.0 - p);
        }
        assert!((0.9..=0.99).contains(&held), "{n} trials at {p}: {held}");
    }
}

#[test]
fn resamples_of_one_class_are_drawn_again_and_counted() {
    let scores = [0.0, 1.0, 2.0, 3.0];
    let labels = [false, false, false, true];
    let interval = auroc_interval(&scores, &labels, &[0, 1, 2, 3], QUICK, &rng(0)).unwrap();
    let Kind::BootstrapOrNewcombe { redrawn, replicates: 300, clusters: 4 } = interval.kind else {
        panic!("{:?}", interval.kind)
    };
    // The positive is missing from (3/4)⁴ = 32 % of resamples, and (1/4)⁴ hold nothing else: 0.32/0.68 redraws per replicate.
    assert!((90..200).contains(&redrawn), "{redrawn}");
    assert!(interval.low < 0.5, "{interval:?}");
}

#[test]
fn the_interval_of_tpr_at_a_bound_holds_the_thresholds_uncertainty() {
    // Binormal scores, 80 of each class. The rate that the procedure estimates is the one at the population's 95 % quantile of negatives.
    let (runs, n, shift, limit) = (300_u64, 80_u32, 1.5, 0.05);
    let truth = phi(shift - 1.644_853_626_951);
    let covered: Vec<[bool; 2]> = (0..runs)
        .into_par_iter()
        .map(|run| {
            let mut draws = stream(&rng(102), run);
            let labels: Vec<bool> = (0..2 * n).map(|row| row % 2 == 1).collect();
            let scores: Vec<f64> = labels
                .iter()
                .map(|label| standard_normal(&mut draws) + if *label { shift } else { 0.0 })
                .collect();
            let clusters: Vec<usize> = (0..labels.len()).collect();
            let quick = Resampling { replicates: 300, level: 0.95 };
            let ours = tpr_at_fpr_interval(&scores, &labels, &clusters, limit, quick, &rng(103)).unwrap();
            let fixed = tpr_at_fpr(&scores, &labels, limit, 0.95).unwrap().tpr;
            [ours, fixed].map(|interval| interval.low <= truth && truth <= interval.high)
        })
        .collect();
    let share = |which: usize| covered.iter().filter(|c| c[which]).count() as f64 / covered.len() as f64;
    assert!(share(0) > 0.88, "bootstrap {}", share(0));
    // Twin: the interval that takes the threshold as known covers far less.
    assert!(share(1) < share(0) - 0.1, "fixed threshold {}", share(1));
}
