//! Numbers over seeds that share what they were measured on.

use heirloom_probe::random::{standard_normal, stream};
use heirloom_probe::seeds::{Own, mean, mean_of_pairs, mean_on_shared, widened};
use heirloom_probe::{Resampling, auroc_interval};

use crate::close;
use crate::made::{phi, rng};

const PAIRS: usize = 32;
const SIMULATIONS: u64 = 300;

/// How often the interval over three seeds holds the AUROC in the population of seeds and pairs.
///
/// A score is its own noise of variance 1, of which seeds have the part `shared` in common, and for positives a mean of 1.5, by which seeds
/// differ with a standard deviation of `seeds`.
fn held(seeds: f64, shared: f64) -> f64 {
    let truth = phi(1.5 / (2.0 + seeds * seeds).sqrt());
    let one = |simulation: u64| {
        let mut rng = stream(&rng(600), simulation);
        let common: Vec<f64> = (0..2 * PAIRS).map(|_| standard_normal(&mut rng)).collect();
        let labels: Vec<bool> = (0..2 * PAIRS).map(|row| row < PAIRS).collect();
        let clusters: Vec<usize> = (0..2 * PAIRS).map(|row| row % PAIRS).collect();
        let with = Resampling { replicates: 200, ..Resampling::default() };
        let mut own: Vec<Own> = vec![];
        for _ in 0..3 {
            let mean = 1.5 + seeds * standard_normal(&mut rng);
            let score = |(row, common): (usize, &f64)| {
                let noise = shared.sqrt() * common + (1.0 - shared).sqrt() * standard_normal(&mut rng);
                if row < PAIRS { mean + noise } else { noise }
            };
            let scores: Vec<f64> = common.iter().enumerate().map(score).collect();
            let found = auroc_interval(&scores, &labels, &clusters, with, &stream(&rng, 1)).unwrap();
            own.push((found.value, (found.low, found.high)));
        }
        let (low, high) = mean_on_shared(&own, (0.0, 1.0)).unwrap().unwrap().ends.unwrap();
        low <= truth && truth <= high
    };
    (0..SIMULATIONS).filter(|simulation| one(*simulation)).count() as f64 / SIMULATIONS as f64
}

#[test]
fn aurocs_over_seeds_are_covered() {
    for (seeds, shared) in [(0.0, 0.9), (0.4, 0.9), (0.4, 0.5), (0.8, 0.5)] {
        let held = held(seeds, shared);
        println!("seeds {seeds}, shared {shared}: held {held:.3}");
        // 300 simulations have a standard error of 0.013.
        assert!(held >= 0.925, "seeds {seeds}, shared {shared}: held {held}");
    }
}

#[test]
fn errors_at_a_right_angle_add_as_squares() {
    let (low, high) = widened(1.0, (0.7, 1.4), 0.4);
    close("low", low, 0.5, 1e-12);
    close("high", high, 1.0 + 0.32_f64.sqrt(), 1e-12);
    let own = [(0.8, (0.7, 0.9)), (0.9, (0.8, 1.0))];
    let both = mean_on_shared(&own, (0.0, 1.0)).unwrap().unwrap();
    let t = mean(&[0.8, 0.9], (0.0, 2.0)).unwrap().unwrap();
    close("mean", both.value, 0.85, 1e-12);
    let (low, high) = both.ends.unwrap();
    close("low", low, 0.85 - 0.1_f64.hypot(t.value - t.ends.unwrap().0), 1e-12);
    close("cut", high, 1.0, 0.0);
    // Twin: one seed has its own ends, and none of another kind.
    assert_eq!(mean_on_shared(&own[..1], (0.0, 1.0)).unwrap().unwrap().ends, Some((0.7, 0.9)));
    assert_eq!(mean(&[0.8], (0.0, 1.0)).unwrap().unwrap().ends, None);
    assert_eq!((mean(&[], (0.0, 1.0)).unwrap(), mean_of_pairs(&[])), (None, None));
    assert_eq!(mean_of_pairs(&[0.5, 0.1, 0.6]).unwrap().ends, Some((0.1, 0.6)));
}
