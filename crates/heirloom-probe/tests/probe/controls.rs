//! Splits, controls, layer choice, transfer and fragility, each on data with the effect and on data without.

use heirloom_probe::control::{
    calibration_band, direction_band, random_difference_directions, random_directions, selectivity,
    shuffled_labels, unsigned_band,
};
use heirloom_probe::fragility::{LIMIT, expected_auroc, fragility};
use heirloom_probe::layer::{choose_layer, over_splits};
use heirloom_probe::random::{standard_normal, stream};
use heirloom_probe::score::{Reference, auroc, calibration, edges, histogram, pair_win_rate, positive_rate};
use heirloom_probe::split::{Unit, folds};
use heirloom_probe::transfer::{BehaviorData, between_behaviors, between_groups};
use heirloom_probe::{Dataset, FitOptions, Method, Resampling, Shares, Split, fit};
use ndarray::{Array1, Axis, array};

use crate::close;
use crate::made::{narrowed, pairs, pairs_along, phi, rebuilt, rng};

const QUICK: Resampling = Resampling { replicates: 400, level: 0.95 };

#[test]
fn splits_keep_groups_whole_and_near_their_shares() {
    let data = pairs(20, 200, 3, 1.0);
    let shares = Shares { fit: 0.6, select: 0.2, report: 0.2 };
    let split = Split::by_group(&data, shares, &rng(1)).unwrap();
    assert_eq!(split, Split::by_group(&data, shares, &rng(1)).unwrap());
    assert_ne!(split, Split::by_group(&data, shares, &rng(2)).unwrap());
    assert_eq!([split.fit.len(), split.select.len(), split.report.len()], [240, 80, 80]);
    let mut all = [split.fit.clone(), split.select.clone(), split.report.clone()].concat();
    all.sort_unstable();
    assert_eq!(all, (0..400).collect::<Vec<_>>());
    let smallest = pairs(21, 30, 3, 1.0);
    let split = Split::by_group(&smallest, shares, &rng(1)).unwrap();
    assert_eq!([split.fit.len(), split.select.len(), split.report.len()], [20, 20, 20]);
}

#[test]
fn folds_cover_every_row_once_and_never_tear_a_unit() {
    let data = pairs(22, 75, 3, 1.0);
    for (unit, k, expected) in [(Unit::Group, 5, 5), (Unit::Group, 50, 8), (Unit::Cluster, 5, 5)] {
        let folds = folds(&data, unit, k).unwrap();
        assert_eq!(folds.len(), expected);
        let mut tested: Vec<usize> = folds.iter().flat_map(|fold| fold.test.clone()).collect();
        tested.sort_unstable();
        assert_eq!(tested, (0..150).collect::<Vec<_>>());
        let numbers = if unit == Unit::Group { data.groups() } else { data.clusters() };
        for fold in &folds {
            assert_eq!(fold.train.len() + fold.test.len(), 150);
            assert!(
                fold.test.iter().all(|test| fold.train.iter().all(|train| numbers[*test] != numbers[*train]))
            );
        }
    }
}

#[test]
fn shuffled_labels_stay_paired() {
    let data = pairs(23, 50, 3, 1.0);
    let shuffled = shuffled_labels(&data, &rng(3), 0).unwrap();
    let flipped = shuffled.chunks(2).zip(data.labels().chunks(2)).filter(|(new, old)| new != old).count();
    assert!(shuffled.chunks(2).all(|pair| pair[0] != pair[1]));
    assert!((15..=35).contains(&flipped), "{flipped} of 50");
    assert_ne!(shuffled, shuffled_labels(&data, &rng(3), 1).unwrap());

    // Scenarios of one class: whole clusters exchange labels, within their group only.
    let labels: Vec<bool> = (0..40).map(|row| (row / 2) % 2 == 0).collect();
    let clusters: Vec<String> = (0..40).map(|row| format!("scenario-{:02}", row / 2)).collect();
    let groups: Vec<String> = (0..40).map(|row| format!("family-{}", row / 20)).collect();
    let scenarios =
        Dataset::new(data.x().select(Axis(0), &(0..40).collect::<Vec<_>>()), labels, &clusters, &groups);
    let scenarios = scenarios.unwrap();
    let shuffled = shuffled_labels(&scenarios, &rng(3), 0).unwrap();
    assert_ne!(shuffled, scenarios.labels());
    assert!(shuffled.chunks(2).all(|cluster| cluster[0] == cluster[1]));
    for group in 0..2 {
        assert_eq!(shuffled[group * 20..][..20].iter().filter(|label| **label).count(), 10);
    }
}

#[test]
fn selectivity_is_large_with_a_signal_and_zero_without() {
    for (shift, low, high) in [(2.0, 0.3, 0.55), (0.0, -0.12, 0.12)] {
        let (here, there) = (pairs(24, 100, 6, shift), pairs(25, 300, 6, shift));
        for method in [Method::DifferenceOfMeans, Method::Lda, Method::Logistic] {
            let probe = fit(method, &here, &FitOptions::default()).unwrap();
            let found = selectivity(&probe, &here, &there, &FitOptions::default(), 40, &rng(4)).unwrap();
            assert!(
                (low..=high).contains(&found.selectivity),
                "{method}, shift {shift}: {}",
                found.selectivity
            );
            close(method.name(), found.selectivity, found.auroc - found.control.mean(), 1e-12);
            close(method.name(), found.control.mean(), 0.5, 0.2);
            assert!(found.memorized > 0.5, "{method}: {}", found.memorized);
        }
    }
    // More columns than rows: any labels can be memorized, which AUROC on the fit rows would not show.
    let wide = pairs(26, 20, 100, 0.0);
    let probe = fit(Method::Lda, &wide, &FitOptions::default()).unwrap();
    let found =
        selectivity(&probe, &wide, &pairs(27, 200, 100, 0.0), &FitOptions::default(), 20, &rng(4)).unwrap();
    close("memorized", found.memorized, 1.0, 0.01);
    close("selectivity", found.selectivity, 0.0, 0.1);
}

#[test]
fn direction_bands_are_the_null_and_know_dominant_axes() {
    let (here, there) = (pairs(28, 200, 30, 1.5), pairs(29, 300, 30, 1.5));
    let directions = random_directions(30, 64, &rng(5));
    assert_eq!(directions.dim(), (64, 30));
    for row in directions.rows() {
        close("norm", row.dot(&row), 1.0, 1e-12);
    }
    let mean = directions.mean_axis(Axis(0)).unwrap();
    assert!(mean.dot(&mean).sqrt() < 0.25, "isotropic: {mean}");
    let band = direction_band(directions.view(), &here, &there).unwrap();
    assert!(
        band.low > 0.4 && band.high < 0.75 && band.low <= band.median && band.median <= band.high,
        "{band:?}"
    );
    let probe = fit(Method::DifferenceOfMeans, &here, &FitOptions::default()).unwrap();
    let observed = auroc(&probe.score(there.x()).unwrap(), there.labels()).unwrap();
    close("p of the probe", band.p_value(observed), 1.0 / 65.0, 1e-12);
    assert!(band.p_value(band.median) > 0.4);

    // The behavior on an axis with ten times the spread: differences of any two rows find it, isotropic directions less so.
    let stretch = |data: &Dataset| {
        let mut x = data.x().to_owned();
        x.column_mut(0).mapv_inplace(|value| value * 30.0);
        rebuilt(data, x)
    };
    let (here, there) = (stretch(&here), stretch(&there));
    let differences = random_difference_directions(here.x(), 64, &rng(5)).unwrap();
    let known = direction_band(differences.view(), &here, &there).unwrap();
    assert!(known.median > 0.8, "{known:?}");
    // Twin: no behavior, no band above chance, whatever the axes.
    let (here, there) = (stretch(&pairs(30, 200, 30, 0.0)), stretch(&pairs(31, 300, 30, 0.0)));
    let differences = random_difference_directions(here.x(), 64, &rng(5)).unwrap();
    close("absent", direction_band(differences.view(), &here, &there).unwrap().median, 0.5, 0.06);
}

#[test]
fn the_layer_with_the_signal_is_chosen_and_noise_reports_chance() {
    let hooks = |shifts: [f64; 5]| -> Vec<Dataset> {
        let rows = pairs(32, 300, 6, 0.0);
        (0..5)
            .map(|layer| {
                rebuilt(
                    &rows,
                    pairs(40 + layer, 300, 6, shifts[usize::try_from(layer).unwrap()]).x().to_owned(),
                )
            })
            .collect()
    };
    let names = ["blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4"];
    let choose = |datasets: &[Dataset]| {
        let split = Split::by_group(&datasets[0], Shares::default(), &rng(6)).unwrap();
        let hooks: Vec<(&str, &Dataset)> = names.into_iter().zip(datasets).collect();
        choose_layer(&hooks, &split, Method::DifferenceOfMeans, &FitOptions::default(), QUICK, &rng(7))
            .unwrap()
    };
    let found = choose(&hooks([0.2, 0.4, 0.6, 2.0, 0.5]));
    assert_eq!((found.chosen, found.searched, found.best().hook.as_str()), (3, 5, "blocks.3"));
    close("report", found.report.value, phi(2.0 / 2_f64.sqrt()), 0.05);
    assert!(found.shares[3] > 0.99, "{:?}", found.shares);
    // Twin: the best of five noise layers looks better than chance where it was chosen, not where it is reported.
    let absent = choose(&hooks([0.0; 5]));
    assert!(absent.best().selection.value > 0.5, "{:?}", absent.best().selection);
    assert!(absent.report.low < 0.5 && absent.report.high > 0.5, "{:?}", absent.report);
    assert!(absent.shares.iter().all(|share| *share < 0.95), "{:?}", absent.shares);
    close("shares", absent.shares.iter().sum(), 1.0, 1e-9);
}

#[test]
fn transfer_between_behaviors_follows_the_angle_of_their_directions() {
    let axes = [array![1.0, 0.0, 0.0], array![0.6, 0.8, 0.0], array![0.0, 0.0, 1.0]];
    let made = |seed: u64, axis: &Array1<f64>| pairs_along(seed, 800, axis, 2.0);
    let fits: Vec<Dataset> = (0..).zip(&axes).map(|(i, axis)| made(50 + i, axis)).collect();
    let reports: Vec<Dataset> = (0..).zip(&axes).map(|(i, axis)| made(60 + i, axis)).collect();
    let names = ["blackmail", "threat", "sadness"];
    let behaviors: Vec<_> =
        (0..3).map(|i| BehaviorData { name: names[i], fit: &fits[i], report: &reports[i] }).collect();
    let matrix =
        between_behaviors(&behaviors, Method::DifferenceOfMeans, &FitOptions::default(), QUICK, &rng(8))
            .unwrap();
    assert_eq!(matrix.names, names);
    for i in 0..3 {
        for j in 0..3 {
            let expected = phi(2.0 * axes[i].dot(&axes[j]) / 2_f64.sqrt());
            close(&format!("{i} to {j}"), matrix.cells[[i, j]].value, expected, 0.06);
            assert!(matrix.cells[[i, j]].low < expected && expected < matrix.cells[[i, j]].high + 0.03);
        }
    }
}

#[test]
fn the_diagonal_between_groups_is_held_out() {
    // Ten pairs a group in 60 columns: a probe scored on its own rows would be perfect.
    for (shift, low, high) in [(0.0, 0.35, 0.65), (6.0, 0.95, 1.0)] {
        let data = pairs(70, 40, 60, shift);
        let matrix =
            between_groups(&data, Method::DifferenceOfMeans, &FitOptions::default(), QUICK, &rng(9)).unwrap();
        assert_eq!(matrix.cells.dim(), (4, 4));
        let mean_of = |diagonal: bool| {
            let cells: Vec<f64> = matrix
                .cells
                .indexed_iter()
                .filter(|((i, j), _)| (i == j) == diagonal)
                .map(|(_, c)| c.value)
                .collect();
            cells.iter().sum::<f64>() / cells.len() as f64
        };
        assert!((low..=high).contains(&mean_of(true)), "shift {shift}: diagonal {}", mean_of(true));
        assert!((low..=high).contains(&mean_of(false)), "shift {shift}: off {}", mean_of(false));
        assert!(matrix.cells.iter().all(|cell| cell.high - cell.low > 0.05));
    }
}

#[test]
fn fragility_is_the_noise_at_which_drawn_auroc_crosses_the_limit() {
    let data = pairs(80, 150, 4, 3.0);
    let probe = fit(Method::DifferenceOfMeans, &data, &FitOptions::default()).unwrap();
    let found = fragility(&probe, &data, LIMIT).unwrap();
    // Noise drawn in every coordinate at that σ gives the limit on average.
    let sd = found.sigma * found.mean_norm;
    let draws: Vec<f64> = (0..60)
        .map(|draw| {
            let mut rng = stream(&rng(10), draw);
            let noisy = data.x().mapv(|value| value + narrowed(sd * standard_normal(&mut rng)));
            auroc(&probe.score(noisy.view()).unwrap(), data.labels()).unwrap()
        })
        .collect();
    close("drawn", draws.iter().sum::<f64>() / 60.0, LIMIT, 0.01);
    // Two points at distance d: Φ(d / (√2 sd)).
    close("closed form", expected_auroc(&[1.0], &[0.0], 0.5), phi(2_f64.sqrt()), 1e-10);
    let stronger = pairs(80, 150, 4, 6.0);
    let strong = fragility(&probe, &stronger, LIMIT).unwrap();
    assert!(strong.sigma > found.sigma);
    let doubled = rebuilt(&data, data.x().mapv(|value| value * 2.0));
    let same = fit(Method::DifferenceOfMeans, &doubled, &FitOptions::default()).unwrap();
    close("units of the norm", fragility(&same, &doubled, LIMIT).unwrap().sigma / found.sigma, 1.0, 1e-6);
    // Twin: what does not work without noise needs none.
    let absent = fragility(&probe, &pairs(81, 150, 4, 0.0), LIMIT).unwrap();
    close("absent", absent.sigma, 0.0, 0.0);
}

#[test]
fn topic_only_rates_and_histograms_count() {
    let rate = positive_rate(&[-1.0, 0.5, 2.0, -3.0], 0.0, 0.95).unwrap();
    assert_eq!(rate.n, 4);
    close("rate", rate.value, 0.5, 0.0);
    let counts = histogram(&[-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5], &[0.0, 1.0, 2.0]).unwrap();
    assert_eq!((counts.counts, counts.below, counts.above), (vec![2, 3], 1, 1));
}

#[test]
fn reference_units_are_pooled_spreads_and_edges_hold_every_score() {
    // Within-class deviations ±1 in both classes: pooled variance 4 / (4 − 2).
    let reference = Reference::of(&[-1.0, 1.0, 9.0, 11.0], &[false, false, true, true]).unwrap();
    close("mean", reference.mean, 5.0, 1e-12);
    close("sd", reference.sd, 2_f64.sqrt(), 1e-12);
    close("units", reference.units(&[5.0 + 2_f64.sqrt()])[0], 1.0, 1e-12);
    assert!(Reference::of(&[1.0, 2.0], &[false, true]).is_err(), "no spread within classes");
    let scores = [0.1, 0.7, -0.3, 0.3];
    let counts = histogram(&scores, &edges(&scores, 7).unwrap()).unwrap();
    assert_eq!((counts.counts.iter().sum::<usize>(), counts.below, counts.above), (4, 0, 0));
    assert_eq!(edges(&[2.0], 1).unwrap(), [1.5, 2.5]);
}

#[test]
fn a_band_without_a_chosen_sign_is_centred_on_chance_and_mirrors() {
    let (here, there) = (pairs(90, 200, 10, 1.5), pairs(91, 300, 10, 1.5));
    let directions = random_directions(10, 200, &rng(11));
    let band = unsigned_band(directions.view(), &there).unwrap();
    close("median", band.median, 0.5, 0.05);
    let mirrored = unsigned_band((-directions.clone()).view(), &there).unwrap();
    close("mirror", band.low, 1.0 - mirrored.high, 1e-12);
    let signed = direction_band(directions.view(), &here, &there).unwrap();
    assert!(signed.median > band.median + 0.02, "the fit rows choose the better sign: {signed:?}");
}

#[test]
fn splits_spread_around_the_closed_form_and_around_chance() {
    for (shift, expected) in [(1.0, phi(1.0 / 2_f64.sqrt())), (0.0, 0.5)] {
        let data = pairs(60, 600, 6, shift);
        let options = FitOptions::default();
        let found =
            over_splits(&data, Method::DifferenceOfMeans, &options, Shares::default(), 40, &rng(8)).unwrap();
        close("median", found.median, expected, 0.05);
        assert!(found.low < found.high, "splits differ: {found:?}");
    }
}

#[test]
fn calibrated_probabilities_err_as_much_as_their_band_says() {
    let probabilities: Vec<f64> = (0..160).map(|row| (f64::from(row) + 0.5) / 160.0).collect();
    let band = calibration_band(&probabilities, 10, 400, &rng(9)).unwrap();
    assert!(band.low > 0.02 && band.high < 0.15, "{band:?}");
    let labels: Vec<bool> = probabilities.iter().map(|p| *p > 0.5).collect();
    // Twin: labels that are far surer than the probabilities leave the band.
    assert!(calibration(&probabilities, &labels, 10).unwrap().error > band.high);
}

#[test]
fn pairs_are_won_within_their_prompt_only() {
    // Every positive is 1 above its own negative; prompts differ by 10, so AUROC is near chance and every pair is won.
    let scores: Vec<f64> = (0..20).map(|row| f64::from(row / 2 * 10 + row % 2)).collect();
    let labels: Vec<bool> = (0..20).map(|row| row % 2 == 1).collect();
    let clusters: Vec<usize> = (0..20).map(|row| row / 2).collect();
    assert!(auroc(&scores, &labels).unwrap() < 0.6);
    let won = pair_win_rate(&scores, &labels, &clusters, 0.95).unwrap();
    assert!((won.value - 1.0).abs() < 1e-12 && won.low < 0.8 && won.n == 10, "{won:?}");
    // Twin: a tie is no win, and a cluster of one class is no pair.
    let tied = pair_win_rate(&[1.0, 1.0, 2.0], &[true, false, true], &[0, 0, 1], 0.95).unwrap();
    assert_eq!((tied.value, tied.n), (0.0, 1));
    assert!(pair_win_rate(&[1.0, 2.0], &[true, false], &[0, 1], 0.95).is_err());
}
