//! Directions fit anew on several models: what their cosines are, hold and are judged by.

use heirloom_probe::random::{ChaCha8Rng, standard_normal, stream};
use heirloom_probe::refits::{NoiseFree, Refit, Shuffles, angles, angles_of_halves, mean_noise_free};
use ndarray::{Array2, ArrayView1, Axis, array};
use rayon::prelude::*;

use crate::close;
use crate::made::rng;

const LEVEL: f64 = 0.95;
const SIMULATIONS: u64 = 300;

/// Two models whose mean differences have a known cosine, in 24 dimensions.
#[derive(Clone, Copy)]
struct Two {
    pairs: usize,
    cosine: f64,
    /// Squared length of a mean difference beside the expected squared error of its estimate.
    signal: f64,
    /// Part of a pair's noise that both models have in common.
    shared: f64,
}

const WIDE: usize = 24;

impl Two {
    fn differences(self, rng: &mut ChaCha8Rng) -> [Array2<f64>; 2] {
        let Self { pairs, cosine, signal, shared } = self;
        let noise = (pairs as f64 / (WIDE as f64 * signal)).sqrt();
        let mut normal = || Array2::from_shape_fn((pairs, WIDE), |_| standard_normal(rng));
        let (first, own) = (normal(), normal());
        let second = &first * shared.sqrt() + &own * (1.0 - shared).sqrt();
        let [mut first, mut second] = [first * noise, second * noise];
        first.column_mut(0).mapv_inplace(|value| value + 1.0);
        second.column_mut(0).mapv_inplace(|value| value + cosine);
        second.column_mut(1).mapv_inplace(|value| value + (1.0 - cosine * cosine).sqrt());
        [first, second]
    }

    fn refits(self, rng: &mut ChaCha8Rng) -> [Refit; 2] {
        let shuffles = Shuffles::new(self.pairs, 100, &stream(rng, 1)).unwrap();
        self.differences(rng).map(|differences| Refit::new(differences, &shuffles).unwrap())
    }
}

#[test]
fn cosines_without_noise_are_covered() {
    for pairs in [8, 32] {
        for (cosine, signal, shared) in [
            (0.3, 3.0, 0.9),
            (0.3, 30.0, 0.0),
            (0.9, 3.0, 0.0),
            (0.9, 300.0, 0.9),
            (0.99, 3.0, 0.9),
            (0.99, 30.0, 0.0),
            (0.0, 10.0, 0.5),
            (0.3, 1.0, 0.0),
            (0.9, 1.0, 0.9),
        ] {
            let two = Two { pairs, cosine, signal, shared };
            let one = |simulation: u64| {
                let [first, second] = two.refits(&mut stream(&rng(70), simulation));
                let found = first.cosine(&second).unwrap();
                let free = found.noise_free(LEVEL).unwrap();
                (found.value, free)
            };
            let all: Vec<_> = (0..SIMULATIONS).into_par_iter().map(one).collect();
            // Where no direction is told there is no cosine, which is not held.
            let told: Vec<NoiseFree> = all.iter().filter_map(|one| one.1).collect();
            let n = told.len() as f64;
            let held = told.iter().filter(|free| (free.low..=free.high).contains(&cosine)).count() as f64 / n;
            let share = n / SIMULATIONS as f64;
            let plain = all.iter().map(|one| one.0).sum::<f64>() / SIMULATIONS as f64;
            let free = told.iter().map(|free| free.value).sum::<f64>() / n;
            let case = format!("{pairs} pairs, cosine {cosine}, signal {signal}, shared {shared}");
            println!("{case}: told {share:.2}, held {held:.3}, plain {plain:.3}, noise-free {free:.3}");
            if signal > 2.0 {
                // 300 simulations have a standard error of 0.013.
                assert!(held >= 0.91 && share > 0.8, "{case}: held {held}, told {share}");
                assert!((free - cosine).abs() < 0.05, "{case}: {free}");
            } else {
                // A signal no larger than its error is seldom told, by luck where it is, and then held less often: wrong in few of all cases.
                assert!(share < 0.5 && share * (1.0 - held) < 0.1, "{case}: held {held}, told {share}");
            }
        }
    }
    // Twin: as they were fit, directions of few pairs are less alike than the means are.
    let two = Two { pairs: 8, cosine: 0.99, signal: 3.0, shared: 0.0 };
    let [first, second] = two.refits(&mut rng(71));
    assert!(first.cosine(&second).unwrap().value < 0.9);
}

#[test]
fn a_model_is_like_itself_and_its_halves_say_how_sure_that_is() {
    let two = Two { pairs: 32, cosine: 0.0, signal: 300.0, shared: 0.0 };
    let [first, second] = two.refits(&mut rng(72));
    let same = first.cosine(&first).unwrap();
    let free = same.noise_free(LEVEL).unwrap().unwrap();
    for (case, found) in
        [("plain", same.value), ("low", free.low), ("noise-free", free.value), ("high", free.high)]
    {
        close(case, found, 1.0, 1e-12);
    }
    same.alike.iter().for_each(|cosine| close("turned alike", *cosine, 1.0, 1e-12));
    // Halves have half of the pairs: |μ|² beside twice the error, so 1 / (1 + 2 / 300).
    close("halves", first.halves, 1.0 / (1.0 + 2.0 / 300.0), 3e-3);
    // Twin: pairs without a direction in common have halves that share nothing, and no cosine without noise.
    let nothing = Two { pairs: 32, cosine: 0.0, signal: 1e-9, shared: 0.0 };
    let [loose, _] = nothing.refits(&mut rng(73));
    assert!(loose.halves.abs() < 0.5, "{}", loose.halves);
    assert_eq!(loose.cosine(&loose).unwrap().noise_free(LEVEL).unwrap(), None);
    // Unrelated directions stay apart, however their pairs are turned.
    let apart = first.cosine(&second).unwrap();
    let free = apart.noise_free(LEVEL).unwrap().unwrap();
    assert!(free.low < 0.0 && free.high > 0.0 && free.high - free.low < 0.2, "{free:?}");
    let mean = apart.apart.iter().sum::<f64>() / apart.apart.len() as f64;
    assert!(mean.abs() < 0.15, "{mean}");
}

#[test]
fn noise_free_is_the_products_of_different_pairs() {
    let [a, b] = Two { pairs: 6, cosine: 0.5, signal: 400.0, shared: 0.5 }.differences(&mut rng(74));
    let shuffles = Shuffles::new(6, 10, &rng(75)).unwrap();
    let [first, second] = [&a, &b].map(|one| Refit::new(one.clone(), &shuffles).unwrap());
    let product = |a: &Array2<f64>, b: &Array2<f64>, without: usize| {
        let kept = |pair: &usize| *pair != without;
        let pairs = || (0..6).filter(kept);
        let dot = |i: usize, j: usize| -> f64 { a.row(i).dot(&b.row(j)) };
        pairs()
            .flat_map(|i| pairs().map(move |j| (i, j)))
            .filter(|(i, j)| i != j)
            .map(|(i, j)| dot(i, j))
            .sum::<f64>()
    };
    let ratio =
        |without| product(&a, &b, without) / (product(&a, &a, without) * product(&b, &b, without)).sqrt();
    let cosine = first.cosine(&second).unwrap();
    let found = cosine.noise_free(LEVEL).unwrap().unwrap();
    close("value", found.value, ratio(usize::MAX), 1e-12);
    let pseudo: Vec<f64> = (0..6).map(|pair| 6.0 * ratio(usize::MAX) - 5.0 * ratio(pair)).collect();
    let t = heirloom_probe::interval::student_t(&pseudo, LEVEL).unwrap();
    close("low", found.low, t.low.max(-1.0), 1e-10);
    close("high", found.high, t.high.min(1.0), 1e-10);
    // Seeds on the same pairs are averaged pair by pair.
    let twice = mean_noise_free(&[&cosine, &cosine], LEVEL).unwrap().unwrap();
    close("twice", twice.low, found.low, 1e-12);
}

#[test]
fn spaces_of_two_models_have_angles_and_halves_have_larger_ones() {
    let shuffles = Shuffles::new(16, 20, &rng(76)).unwrap();
    let axes = |directions: [ArrayView1<f64>; 2], noise: f64| {
        directions.map(|direction| {
            let mut rng = stream(&rng(77), direction.iter().map(|v| v.to_bits() >> 52).sum());
            let row = |(_, column): (usize, usize)| direction[column] + noise * standard_normal(&mut rng);
            Refit::new(Array2::from_shape_fn((16, 5), row), &shuffles).unwrap()
        })
    };
    let (turn, rows) = (0.3_f64, array![[1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0]]);
    let turned = array![[1.0, 0.0, 0.0, 0.0, 0.0], [0.0, turn.cos(), 0.0, turn.sin(), 0.0]];
    let row = |of: &Array2<f64>| [0, 1].map(|at| of.index_axis(Axis(0), at).to_owned());
    let ([a, b], [c, d]) = (row(&rows), row(&turned));
    let one = axes([a.view(), b.view()], 0.0);
    let other = axes([c.view(), d.view()], 0.0);
    let found = angles(&one.each_ref(), &other.each_ref()).unwrap();
    close("turned", found[0], turn, 1e-12);
    close("kept", found[1], 0.0, 1e-12);
    let halves = angles_of_halves(&one.each_ref(), &shuffles).unwrap();
    close("halves without noise", halves[0], 0.0, 1e-12);
    // Twin: with noise the halves of one model span other spaces.
    let noisy = axes([a.view(), b.view()], 0.5);
    assert!(angles_of_halves(&noisy.each_ref(), &shuffles).unwrap()[0] > 0.1);
}

#[test]
fn turned_pairs_leave_nothing_of_the_direction() {
    // The two models share a strong direction and nothing else.
    for pairs in [8, 9] {
        let two = Two { pairs, cosine: 1.0, signal: 300.0, shared: 0.0 };
        let shuffles = Shuffles::new(pairs, 400, &rng(79)).unwrap();
        let [first, second] = two.differences(&mut rng(80)).map(|one| Refit::new(one, &shuffles).unwrap());
        let found = first.cosine(&second).unwrap();
        assert!(found.value > 0.99, "{}", found.value);
        for (case, turned) in [("alike", &found.alike), ("apart", &found.apart)] {
            let root = (turned.iter().map(|value| value * value).sum::<f64>() / 400.0).sqrt();
            // Two random directions in 24 dimensions: 1 / √24.
            assert!(root < 0.35, "{pairs} pairs, {case}: {root}");
        }
    }
    // Twin: what both models have in common besides stays, where both turn the same pairs.
    let two = Two { pairs: 8, cosine: 0.0, signal: 300.0, shared: 0.99 };
    let [first, second] = two.refits(&mut rng(81));
    let found = first.cosine(&second).unwrap();
    let least = found.alike.iter().copied().fold(1.0, f64::min);
    assert!(found.value.abs() < 0.1 && least > 0.9, "{} {least}", found.value);
}

#[test]
fn unusable_pairs_are_named() {
    let shuffles = Shuffles::new(4, 2, &rng(78)).unwrap();
    let message = |result: heirloom_probe::Result<()>| result.expect_err("an error").to_string();
    let few = Shuffles::new(3, 2, &rng(78)).map(|_| ());
    assert_eq!(message(few), "expected at least 4 pairs, found 3");
    let other = Refit::new(Array2::ones((5, 2)), &shuffles).map(|_| ());
    assert_eq!(message(other), "expected 4 pairs, found 5");
    let nothing = Refit::new(Array2::zeros((4, 2)), &shuffles).map(|_| ());
    assert!(message(nothing).contains("found no direction"));
    let refit = |pairs: usize, wide: usize, draws: usize| {
        let shuffles = Shuffles::new(pairs, draws, &rng(78)).unwrap();
        Refit::new(Array2::ones((pairs, wide)), &shuffles).unwrap()
    };
    let one = refit(4, 2, 2);
    let against = |other: &Refit| message(one.cosine(other).map(|_| ()));
    assert_eq!(against(&refit(5, 2, 2)), "expected 4 pairs, found 5");
    assert_eq!(against(&refit(4, 3, 2)), "expected d_model 2, found 3");
    assert_eq!(against(&refit(4, 2, 3)), "expected 2 draws, found 3");
    assert_eq!(against(&one.clone().without_draws()), "expected 2 draws, found 0");
    let [own, other] = [one.cosine(&one), refit(5, 2, 2).cosine(&refit(5, 2, 2))].map(Result::unwrap);
    let seeds = mean_noise_free(&[&own, &other], LEVEL).map(|_| ());
    assert_eq!(message(seeds), "expected 4 pairs, found 5");
    assert_eq!(message(angles(&[], &[&one]).map(|_| ())), "expected at least 1 directions, found 0");
    assert_eq!(message(angles(&[&one, &refit(4, 3, 2)], &[&one]).map(|_| ())), "expected d_model 2, found 3");
    let halves = angles_of_halves(&[&refit(5, 2, 2)], &shuffles).map(|_| ());
    assert_eq!(message(halves), "expected 4 pairs, found 5");
}
