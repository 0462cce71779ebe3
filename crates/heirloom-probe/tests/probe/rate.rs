//! Rates and differences over seeds × scenarios: do 95 % intervals hold the truth, and what must hold whatever the data.

use heirloom_probe::interval::{newcombe_difference, student_t, wilson};
use heirloom_probe::random::{standard_normal, stream};
use heirloom_probe::rate::{Estimate, Observation, Widened, difference, mean, nested_bootstrap};
use heirloom_probe::{Error, Resampling};
use rand::Rng;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal};

use crate::close;
use crate::fixtures::{cases, json, number, numbers};
use crate::made::{phi, rng};

const QUICK: Resampling = Resampling { replicates: 200, level: 0.95 };
const SIMULATIONS: u64 = 600;

/// Seeds × scenarios × samples of a probit model, whose marginal rate is known in closed form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub(crate) runs: usize,
    pub(crate) clusters: usize,
    pub(crate) samples: usize,
    /// Standard deviations of seeds and of scenarios on the probit scale, where a sample's own is 1.
    pub(crate) seeds: f64,
    pub(crate) scenarios: f64,
    /// Of the clusters, those that all runs share.
    pub(crate) shared: usize,
}

pub(crate) const MADE: Made =
    Made { runs: 3, clusters: 32, samples: 2, seeds: 0.0, scenarios: 0.7, shared: 0 };

/// The number of a run's own cluster: no other run has it.
pub(crate) fn own(run: usize, cluster: usize) -> usize {
    1000 * run + cluster
}

impl Made {
    /// One arm for each rate. Arms share their scenarios' effects and half of the variance of their seeds.
    pub(crate) fn arms<const N: usize>(self, simulation: u64, rates: [f64; N]) -> [Vec<Observation>; N] {
        let mut rng = stream(&rng(200), simulation);
        let total = (1.0 + self.seeds.powi(2) + self.scenarios.powi(2)).sqrt();
        let centers = rates.map(|rate| Normal::standard().inverse_cdf(rate) * total);
        let mut arms = [const { Vec::new() }; N];
        let common = self.common(simulation);
        for run in 0..self.runs {
            let shared = standard_normal(&mut rng);
            let seeds = [(); N].map(|()| self.seeds * 0.5_f64.sqrt() * (shared + standard_normal(&mut rng)));
            for cluster in 0..self.clusters {
                let scenario = self.scenarios
                    * common.get(cluster).copied().unwrap_or_else(|| standard_normal(&mut rng));
                let cluster = if cluster < self.shared { cluster } else { own(run, cluster) };
                for arm in 0..N {
                    let rate = phi(centers[arm] + seeds[arm] + scenario);
                    for _ in 0..self.samples {
                        let value = if rng.r#gen::<f64>() < rate { 1.0 } else { 0.0 };
                        arms[arm].push(Observation { run, cluster, value });
                    }
                }
            }
        }
        arms
    }

    /// Effects of the scenarios that all runs share.
    fn common(self, simulation: u64) -> Vec<f64> {
        let mut rng = stream(&rng(202), simulation);
        (0..self.shared).map(|_| standard_normal(&mut rng)).collect()
    }

    /// The same with real values: one minus the other has mean `shift`.
    pub(crate) fn values(self, simulation: u64, shift: f64) -> [Vec<Observation>; 2] {
        let mut rng = stream(&rng(201), simulation);
        let mut arms = [const { Vec::new() }; 2];
        for run in 0..self.runs {
            let seeds = [(); 2].map(|()| self.seeds * standard_normal(&mut rng));
            for cluster in 0..self.clusters {
                let scenario = self.scenarios * standard_normal(&mut rng);
                let cluster = own(run, cluster);
                for (arm, center) in [shift, 0.0].into_iter().enumerate() {
                    for _ in 0..self.samples {
                        let value = center + seeds[arm] + scenario + standard_normal(&mut rng);
                        arms[arm].push(Observation { run, cluster, value });
                    }
                }
            }
        }
        arms
    }
}

/// Share of simulations whose interval holds the truth, and the mean width.
fn coverage(truth: f64, interval: impl Fn(u64) -> (f64, f64) + Send + Sync) -> (f64, f64) {
    let drawn: Vec<(f64, f64)> = (0..SIMULATIONS).into_par_iter().map(interval).collect();
    let held = drawn.iter().filter(|(low, high)| (*low..=*high).contains(&truth)).count();
    let width: f64 = drawn.iter().map(|(low, high)| high - low).sum();
    (held as f64 / drawn.len() as f64, width / drawn.len() as f64)
}

fn ends(estimate: Estimate) -> (f64, f64) {
    assert!(estimate.low <= estimate.value && estimate.value <= estimate.high, "{estimate:?}");
    (estimate.low, estimate.high)
}

/// The bootstrap alone.
fn percentiles(observations: &[Observation], simulation: u64) -> (f64, f64) {
    let replicates = nested_bootstrap(observations, QUICK.replicates, &rng(simulation)).unwrap();
    let interval = replicates.interval(0.0, observations.len(), 0.95).unwrap();
    (interval.low, interval.high)
}

#[test]
fn rates_over_few_seeds_are_covered() {
    for (runs, seeds) in [(3, 0.0), (3, 0.5), (5, 0.0), (5, 0.5)] {
        for rate in [0.005, 0.1, 0.5, 0.98] {
            let made = Made { runs, seeds, ..MADE };
            let (held, width) = coverage(rate, |simulation| {
                let [arm] = made.arms(simulation, [rate]);
                ends(mean(&arm, QUICK, &rng(simulation)).unwrap())
            });
            let (bare, _) =
                coverage(rate, |simulation| percentiles(&made.arms(simulation, [rate])[0], simulation));
            let case = format!("rate {rate}, {runs} seeds of sd {seeds}");
            println!("{case}: held {held:.3} (width {width:.3}), percentiles alone {bare:.3}");
            assert!(held >= 0.93, "{case}: {held}");
            // Twin: without its companions, the bootstrap covers too little as soon as seeds differ.
            assert!(seeds <= 0.0 || bare < 0.9, "{case}: {bare}");
        }
    }
}

#[test]
fn differences_over_few_seeds_are_covered() {
    for (runs, seeds) in [(3, 0.0), (3, 0.5), (5, 0.0), (5, 0.5)] {
        for rates in [[0.02, 0.02], [0.1, 0.02], [0.5, 0.5], [0.85, 0.05], [0.99, 0.01]] {
            let made = Made { runs, seeds, ..MADE };
            let (held, width) = coverage(rates[0] - rates[1], |simulation| {
                let [first, second] = made.arms(simulation, rates);
                ends(difference(&first, &second, QUICK, &rng(simulation)).unwrap())
            });
            println!("rates {rates:?}, {runs} seeds of sd {seeds}: held {held:.3} (width {width:.3})");
            assert!(held >= 0.93, "{rates:?}, {runs} seeds of sd {seeds}: {held}");
        }
    }
}

#[test]
fn scenarios_that_seeds_share_are_covered() {
    for (runs, clusters, shared) in
        [(2, 10, 10), (3, 10, 10), (8, 10, 10), (8, 32, 32), (5, 16, 8), (8, 6, 3), (20, 6, 5)]
    {
        for rates in [[0.5, 0.2], [0.1, 0.02], [0.9, 0.1]] {
            let made = Made { runs, clusters, shared, scenarios: 1.0, ..MADE };
            let (held, width) = coverage(rates[0], |simulation| {
                ends(mean(&made.arms(simulation, rates)[0], QUICK, &rng(simulation)).unwrap())
            });
            let (apart, _) = coverage(rates[0] - rates[1], |simulation| {
                let [first, second] = made.arms(simulation, rates);
                ends(difference(&first, &second, QUICK, &rng(simulation)).unwrap())
            });
            // Twin: the same answers, each run's scenarios taken for its own.
            let (bare, _) = coverage(rates[0], |simulation| {
                let [mut arm, _] = made.arms(simulation, rates);
                for seen in &mut arm {
                    seen.cluster = own(seen.run, seen.cluster % 1000);
                }
                ends(mean(&arm, QUICK, &rng(simulation)).unwrap())
            });
            let case = format!("rates {rates:?}, {runs} seeds, {shared} of {clusters} scenarios shared");
            println!(
                "{case}: held {held:.3} (width {width:.3}), difference {apart:.3}, taken for nested {bare:.3}"
            );
            // Six scenarios of a rare behavior are too few for any of these intervals.
            let least = if clusters < 10 { 0.88 } else { 0.93 };
            assert!(held >= least && apart >= least, "{case}: {held}, {apart}");
            assert!(runs < 8 || shared < clusters || clusters > 10 || bare < 0.9, "{case}: {bare}");
        }
    }
}

#[test]
fn shared_scenarios_widen_what_runs_of_their_own_do_not() {
    let [shared, _] = Made { scenarios: 2.0, shared: 32, ..MADE }.arms(4, [0.5, 0.5]);
    let mut arm = shared.clone();
    for seen in &mut arm {
        seen.cluster = own(seen.run, seen.cluster);
    }
    let [alone, together] = [&arm, &shared].map(|seen| mean(seen, QUICK, &rng(0)).unwrap());
    close("mean", together.value, alone.value, 1e-12);
    assert!(together.high - together.low > alone.high - alone.low);
    assert_eq!((alone.clusters, together.clusters), (96, 32));
}

#[test]
fn pairing_uses_what_arms_share() {
    // Real values whose scenarios differ by 3: a difference paired by scenario does not see it, one of unpaired arms does.
    let made = Made { scenarios: 3.0, ..MADE };
    let paired = |simulation| {
        let [first, second] = made.values(simulation, 0.5);
        difference(&first, &second, QUICK, &rng(simulation)).unwrap()
    };
    let unpaired = |simulation| {
        let [first, second] = made.values(simulation, 0.5);
        let [a, b] = [first, second].map(|arm| mean(&arm, QUICK, &rng(simulation)).unwrap());
        (a.low - b.high, a.high - b.low)
    };
    let (held, width) = coverage(0.5, |simulation| ends(paired(simulation)));
    let (_, apart) = coverage(0.5, unpaired);
    println!("values, 3 seeds: held {held:.3}, width {width:.2} paired and {apart:.2} apart");
    assert!(held >= 0.93, "{held}");
    assert!(width < 0.4 * apart, "{width} against {apart}");
    // Where seeds differ, their few means decide.
    let made = Made { seeds: 1.0, ..made };
    let (held, _) = coverage(0.5, |simulation| {
        let [first, second] = made.values(simulation, 0.5);
        ends(difference(&first, &second, QUICK, &rng(simulation)).unwrap())
    });
    assert!((0.93..0.98).contains(&held), "{held}");
}

#[test]
fn one_seed_covers_its_own_scenarios_and_says_so() {
    for rate in [0.3, 0.5, 0.8] {
        let made = Made { runs: 1, ..MADE };
        let (held, _) = coverage(rate, |simulation| {
            ends(mean(&made.arms(simulation, [rate])[0], QUICK, &rng(simulation)).unwrap())
        });
        // Twin: a seed's own deviation is not in the interval.
        let made = Made { seeds: 1.0, ..made };
        let (across, _) = coverage(rate, |simulation| {
            ends(mean(&made.arms(simulation, [rate])[0], QUICK, &rng(simulation)).unwrap())
        });
        println!("rate {rate}, 1 seed: held {held:.3}, {across:.3} where seeds differ");
        assert!(held >= 0.93 && across < held - 0.1, "{rate}: {held}, {across}");
    }
    let [arm] = Made { runs: 1, ..MADE }.arms(0, [0.3]);
    let words = mean(&arm, QUICK, &rng(0)).unwrap().describe("seeds", "scenarios");
    assert_eq!(
        words,
        "95 % bootstrap of 32 scenarios alone, without variance between seeds, or t or logit t over scenarios where wider"
    );
}

/// `runs` × `clusters` verdicts from a rule.
pub(crate) fn verdicts(
    runs: usize,
    clusters: usize,
    shown: impl Fn(usize, usize) -> bool,
) -> Vec<Observation> {
    let number = |shown: bool| if shown { 1.0 } else { 0.0 };
    (0..runs * clusters)
        .map(|i| (i / clusters, i % clusters))
        .map(|(run, cluster)| {
            let value = number(shown(run, cluster));
            Observation { run, cluster: own(run, cluster), value }
        })
        .collect()
}

#[test]
fn rates_at_an_end_are_not_published_as_certain() {
    let none = verdicts(3, 20, |_, _| false);
    let all = verdicts(3, 20, |_, _| true);
    let half = verdicts(3, 20, |_, cluster| cluster % 2 == 0);
    let wilson = wilson(0, 60, 0.95).unwrap();
    let estimate = mean(&none, QUICK, &rng(0)).unwrap();
    assert_eq!((estimate.low, estimate.high, estimate.widened), (0.0, wilson.high, Widened::Wilson));
    let estimate = mean(&all, QUICK, &rng(0)).unwrap();
    close("mirrored", estimate.low, 1.0 - wilson.high, 1e-15);
    assert!(estimate.high >= 1.0);
    assert_eq!(
        estimate.describe("seeds", "scenarios"),
        "95 % bootstrap of 3 seeds and their scenarios, or t or logit t over seeds or Wilson over scenarios where wider"
    );
    for (case, first, second) in
        [("none − none", &none, &none), ("all − none", &all, &none), ("equal", &half, &half)]
    {
        let estimate = difference(first, second, QUICK, &rng(0)).unwrap();
        assert_eq!(estimate.widened, Widened::Newcombe, "{case}");
        assert!(estimate.high - estimate.low > 0.05, "{case}: {estimate:?}");
        assert!(estimate.low >= -1.0 && estimate.high <= 1.0, "{case}: {estimate:?}");
    }
    // Twin: arms that differ in the middle need no companion but t.
    let other = verdicts(3, 20, |run, cluster| (cluster + run) % 2 == 0);
    assert_eq!(difference(&half, &other, QUICK, &rng(0)).unwrap().widened, Widened::T);
    assert_eq!(mean(&half, QUICK, &rng(0)).unwrap().widened, Widened::LogitT);
}

#[test]
fn real_values_are_not_taken_for_verdicts() {
    let [values, _] = MADE.values(0, 0.0);
    let estimate = mean(&values, QUICK, &rng(0)).unwrap();
    assert_eq!(estimate.widened, Widened::T);
    // The mean and its interval move and stretch with the values: neither is held inside [0, 1].
    let moved: Vec<_> =
        values.iter().map(|seen| Observation { value: 3.0 * seen.value - 7.0, ..*seen }).collect();
    let there = mean(&moved, QUICK, &rng(0)).unwrap();
    for (before, after) in
        [(estimate.value, there.value), (estimate.low, there.low), (estimate.high, there.high)]
    {
        close("moved", after, 3.0 * before - 7.0, 1e-9);
    }
}

#[test]
fn swapped_arms_mirror_and_an_arm_against_itself_is_zero() {
    let [first, second] = Made { seeds: 0.3, ..MADE }.arms(1, [0.6, 0.3]);
    let there = difference(&first, &second, QUICK, &rng(0)).unwrap();
    let back = difference(&second, &first, QUICK, &rng(0)).unwrap();
    for (one, other) in [(there.value, back.value), (there.low, back.high), (there.high, back.low)] {
        close("mirrored", one, -other, 1e-12);
    }
    let itself = difference(&first, &first, QUICK, &rng(0)).unwrap();
    assert!(itself.value.abs() <= 0.0 && itself.low < 0.0 && itself.high > 0.0, "{itself:?}");
    let means = [&first, &second].map(|arm| mean(arm, QUICK, &rng(0)).unwrap().value);
    close("difference of means", there.value, means[0] - means[1], 1e-12);
    assert_eq!((there.n, there.clusters, there.runs), (first.len() + second.len(), 96, 3));
}

#[test]
fn seeds_and_scenarios_weigh_the_same_however_often_they_were_sampled() {
    let seen = |run, cluster, value| Observation { run, cluster, value };
    // Run 0: scenarios of mean ½ and 0, so ¼; run 1: one scenario at 1. Their mean is 0.625, that of all rows 0.6.
    let rows = [seen(0, 0, 1.0), seen(0, 0, 0.0), seen(0, 1, 0.0), seen(1, 2, 1.0), seen(1, 2, 1.0)];
    let estimate = mean(&rows, QUICK, &rng(0)).unwrap();
    close("mean", estimate.value, 0.625, 1e-15);
    assert_eq!((estimate.n, estimate.clusters, estimate.runs), (5, 3, 2));
}

#[test]
fn neither_threads_nor_the_order_of_rows_change_a_bit() {
    let [first, second] = Made { seeds: 0.3, ..MADE }.values(2, 0.4);
    let once = || difference(&first, &second, Resampling::default(), &rng(5)).unwrap();
    let whole = once();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(once), whole, "{threads} threads");
    }
    let mut shuffled = first.clone();
    shuffled.shuffle(&mut rng(6));
    assert_ne!(shuffled, first);
    assert_eq!(difference(&shuffled, &second, Resampling::default(), &rng(5)).unwrap(), whole);
    let drawn = |seed| nested_bootstrap(&first, 20, &rng(seed)).unwrap().values;
    assert_eq!(drawn(5), drawn(5));
    assert_ne!(drawn(5), drawn(7), "another stream, another resample");
}

#[test]
fn unusable_observations_are_named() {
    let [first, second] = MADE.arms(3, [0.5, 0.5]);
    let refuses = |result: Result<Estimate, Error>, words: &str| {
        let message = result.expect_err("an error").to_string();
        assert!(message.contains(words), "expected `{words}` in `{message}`");
    };
    let compared = |a: &[Observation], b: &[Observation]| difference(a, b, QUICK, &rng(0));
    let lacking: Vec<_> =
        second.iter().filter(|seen| (seen.run, seen.cluster) != (1, own(1, 7))).copied().collect();
    refuses(
        compared(&first, &lacking),
        "run 1, cluster 1007: expected values of both arms, found none of the second",
    );
    refuses(compared(&lacking, &first), "found none of the first");
    assert!(compared(&first, &lacking).unwrap_err().hint().unwrap().contains("share"));
    let mut holed = first.clone();
    holed[9].value = f64::NAN;
    refuses(mean(&holed, QUICK, &rng(0)), "row 9: expected a finite score, found NaN");
    refuses(mean(&[], QUICK, &rng(0)), "expected at least 2 clusters, found 0");
    refuses(mean(&first[..2], QUICK, &rng(0)), "expected at least 2 clusters, found 1");
    let few = Resampling { replicates: 1, ..QUICK };
    refuses(mean(&first, few, &rng(0)), "expected at least 2 replicates, found 1");
    let sure = Resampling { level: 1.0, ..QUICK };
    refuses(mean(&first, sure, &rng(0)), "`level`: expected a number between 0 and 1, found 1");
}

#[test]
fn student_t_is_scipys() {
    for case in cases("rate") {
        let values = numbers(&case, "values");
        let interval = student_t(&values, number(&case, "level")).unwrap();
        let name = format!("{} values at {}", values.len(), interval.level);
        close(&name, interval.low, number(&case, "low"), 1e-9);
        close(&name, interval.high, number(&case, "high"), 1e-9);
    }
}

#[test]
fn newcombe_of_a_difference_is_statsmodels_and_the_published_one() {
    let cases = json("rate")["newcombe"].as_array().unwrap().clone();
    assert_eq!(cases.iter().filter(|case| case.get("published").is_some()).count(), 3);
    for case in cases {
        let share = |arm: &str| {
            let counts = numbers(&case, arm);
            let trials = counts[1];
            close("counts", trials, trials.round(), 0.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
            let [successes, trials] = [counts[0] as usize, trials as usize];
            wilson(successes, trials, 0.95).unwrap()
        };
        let interval = newcombe_difference(&share("first"), &share("second"));
        close("low", interval.low, number(&case, "low"), 1e-12);
        close("high", interval.high, number(&case, "high"), 1e-12);
    }
}

/// Observations of nested lists: runs, clusters, samples.
fn nested(runs: &serde_json::Value) -> Vec<Observation> {
    let list = |value: &serde_json::Value| value.as_array().unwrap().clone();
    let mut seen = Vec::new();
    for (run, clusters) in list(runs).iter().enumerate() {
        for (cluster, samples) in list(clusters).iter().enumerate() {
            seen.extend(list(samples).iter().map(|value| Observation {
                run,
                cluster: own(run, cluster),
                value: value.as_f64().unwrap(),
            }));
        }
    }
    seen
}

#[test]
fn where_seeds_decide_the_interval_is_scipys_t_over_seeds() {
    let cases = json("rate")["arms"].as_array().unwrap().clone();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let [first, second] = ["first", "second"].map(|arm| nested(&case[arm]));
        let found = [
            ("mean", mean(&first, QUICK, &rng(0)).unwrap()),
            ("difference", difference(&first, &second, QUICK, &rng(0)).unwrap()),
        ];
        for (what, estimate) in found {
            let expected = numbers(&case, what);
            for (found, expected) in [estimate.value, estimate.low, estimate.high].iter().zip(expected) {
                close(what, *found, expected, 1e-9);
            }
        }
    }
}

#[test]
fn over_one_seed_the_bootstrap_is_scipys() {
    let cases = json("rate")["bootstrap"].as_array().unwrap().clone();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let seen = nested(&serde_json::Value::Array(vec![case["values"].clone()]));
        let interval =
            nested_bootstrap(&seen, 100_000, &rng(9)).unwrap().interval(0.0, seen.len(), 0.95).unwrap();
        let width = number(&case, "high") - number(&case, "low");
        // Both are resampled: each end has a standard error of about 0.3 % of the width.
        close("low", interval.low, number(&case, "low"), 0.015 * width);
        close("high", interval.high, number(&case, "high"), 0.015 * width);
    }
}
