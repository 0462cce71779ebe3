//! What must hold whatever the data: signs, scales, orders, duplicates, small shapes, threads.

use heirloom_probe::logistic::Logistic;
use heirloom_probe::random::stream;
use heirloom_probe::score::auroc;
use heirloom_probe::{Dataset, FitOptions, Method, Probe, fit};
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::{Array1, Array2, Axis, concatenate};
use rand::seq::SliceRandom;

use crate::made::{pairs, phi, rebuilt, rng};
use crate::{close, cosine};

fn fitted(method: Method, data: &Dataset) -> Probe {
    fit(method, data, &FitOptions::default()).unwrap()
}

fn auroc_of(probe: &Probe, data: &Dataset) -> f64 {
    auroc(&probe.score(data.x()).unwrap(), data.labels()).unwrap()
}

#[test]
fn planted_signal_is_found_and_noise_is_not() {
    let planted = (pairs(1, 600, 8, 1.5), pairs(2, 1500, 8, 1.5));
    let absent = (pairs(3, 600, 8, 0.0), pairs(4, 1500, 8, 0.0));
    for method in Method::ALL {
        let probe = fitted(method, &planted.0);
        // The best any direction can do is Φ(shift / √2); estimating it from 1200 rows costs less than 0.02.
        close(method.name(), auroc_of(&probe, &planted.1), phi(1.5 / 2_f64.sqrt()), 0.02);
        close(method.name(), probe.direction[0], 1.0, 0.05);
        close(method.name(), auroc_of(&fitted(method, &absent.0), &absent.1), 0.5, 0.04);
    }
    let far = (pairs(5, 100, 8, 12.0), pairs(6, 100, 8, 12.0));
    for method in Method::ALL {
        close(method.name(), auroc_of(&fitted(method, &far.0), &far.1), 1.0, 0.0);
    }
}

#[test]
fn direction_is_a_unit_vector_and_score_zero_is_the_threshold() {
    let data = pairs(7, 60, 5, 1.0);
    for method in Method::ALL {
        let probe = fitted(method, &data);
        close(method.name(), probe.direction.dot(&probe.direction), 1.0, 1e-12);
        let projections = probe.project(data.x()).unwrap();
        for (score, projection) in probe.score(data.x()).unwrap().iter().zip(&projections) {
            close(method.name(), *score, probe.scale * (projection - probe.threshold()), 1e-9 * probe.scale);
        }
    }
}

#[test]
fn flipping_labels_flips_the_direction() {
    let data = pairs(8, 60, 6, 1.0);
    let flipped = data.with_labels(data.labels().iter().map(|label| !label).collect()).unwrap();
    for method in Method::ALL {
        let (there, back) = (fitted(method, &data), fitted(method, &flipped));
        close(method.name(), cosine(there.direction.view(), back.direction.view()), -1.0, 1e-9);
        close(method.name(), there.threshold(), -back.threshold(), 1e-6);
    }
}

#[test]
fn scaling_and_shifting_all_activations_changes_no_score_order() {
    let data = pairs(9, 60, 6, 1.0);
    // A power of two is exact in f32, so only the shift rounds.
    let moved = rebuilt(&data, data.x().mapv(|value| value * 4.0 + 16.0));
    for method in Method::ALL {
        let (before, after) = (fitted(method, &data), fitted(method, &moved));
        close(method.name(), cosine(before.direction.view(), after.direction.view()), 1.0, 1e-9);
        close(method.name(), auroc_of(&before, &data), auroc_of(&after, &moved), 1e-12);
    }
}

#[test]
fn z_space_methods_ignore_the_units_of_a_column_and_raw_ones_do_not() {
    let data = pairs(10, 60, 6, 1.0);
    let mut x = data.x().to_owned();
    x.column_mut(3).mapv_inplace(|value| value * 1024.0);
    let scaled = rebuilt(&data, x);
    for method in Method::ALL {
        let (before, after) = (fitted(method, &data), fitted(method, &scaled));
        let far = before
            .score(data.x())
            .unwrap()
            .iter()
            .zip(after.score(scaled.x()).unwrap())
            .fold(0.0_f64, |far, (a, b)| far.max((a - b).abs()));
        if matches!(method, Method::DifferenceOfMeans | Method::Pca) {
            assert!(far > 1.0, "{method}: {far}");
        } else {
            close(method.name(), far, 0.0, 1e-6);
        }
    }
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let data = pairs(11, 60, 6, 1.0);
    let mut order: Vec<usize> = (0..data.n_rows()).collect();
    order.shuffle(&mut stream(&rng(0), 0));
    let shuffled = data.select("shuffled", &order).unwrap();
    for method in Method::ALL {
        let (before, after) = (fitted(method, &data), fitted(method, &shuffled));
        close(method.name(), cosine(before.direction.view(), after.direction.view()), 1.0, 1e-11);
        close(method.name(), auroc_of(&before, &data), auroc_of(&after, &shuffled), 0.0);
    }
}

#[test]
fn repeating_every_row_is_doubling_the_strength() {
    let data = pairs(12, 40, 5, 0.7);
    let x = data.x().mapv(f64::from);
    let y: Array1<bool> = data.labels().to_vec().into();
    let doubled = concatenate(Axis(0), &[x.view(), x.view()]).unwrap();
    let doubled_y = concatenate(Axis(0), &[y.view(), y.view()]).unwrap();
    let once = Logistic { strength: 0.2, ..Logistic::default() }.fit(&DatasetBase::new(x, y)).unwrap();
    let twice =
        Logistic { strength: 0.1, ..Logistic::default() }.fit(&DatasetBase::new(doubled, doubled_y)).unwrap();
    close("cosine", cosine(once.weights.view(), twice.weights.view()), 1.0, 1e-10);
    close("objective", once.objective, twice.objective, 1e-9);
}

#[test]
fn row_space_and_column_space_have_one_optimum() {
    // 30 rows in 20 columns; the same rows turned into 40 columns by an isometry have the same inner products.
    let data = pairs(13, 15, 20, 0.8);
    let x = data.x().mapv(f64::from);
    let y: Array1<bool> = data.labels().to_vec().into();
    let half = 0.5_f64.sqrt();
    let wide = concatenate(Axis(1), &[(&x * half).view(), (&x * half).view()]).unwrap();
    for strength in [0.01, 1.0, 100.0] {
        let settings = Logistic { strength, ..Logistic::default() };
        let narrow = settings.fit(&DatasetBase::new(x.clone(), y.clone())).unwrap();
        let row_space = settings.fit(&DatasetBase::new(wide.clone(), y.clone())).unwrap();
        close("objective", row_space.objective / narrow.objective, 1.0, 1e-12);
        let far = (narrow.logits(x.view()) - row_space.logits(wide.view()))
            .fold(0.0_f64, |far, d| far.max(d.abs()));
        close("logits", far, 0.0, 1e-5);
    }
}

#[test]
fn constant_columns_get_no_weight_and_repeated_columns_equal_ones() {
    let data = pairs(14, 60, 6, 1.0);
    let mut x = data.x().to_owned();
    x.column_mut(2).fill(0.1);
    let first = x.column(0).to_owned();
    x.column_mut(4).assign(&first);
    let odd = rebuilt(&data, x);
    for method in [Method::DifferenceOfMeansZ, Method::Lda, Method::Logistic] {
        let probe = fitted(method, &odd);
        close(method.name(), probe.direction[2], 0.0, 0.0);
        assert_eq!(probe.report.constant_columns, [2], "{method}");
        close(method.name(), probe.direction[0], probe.direction[4], 1e-9);
    }
}

#[test]
fn one_column_and_more_columns_than_rows_work() {
    // Z-scoring divides a strong axis by its own signal, so in many columns `dom-z` hears more noise than the others.
    for (columns, shift, least) in [(1, 3.0, 0.95), (200, 8.0, 0.75)] {
        let (here, there) = (pairs(15, 30, columns, shift), pairs(16, 30, columns, shift));
        for method in Method::ALL {
            let found = auroc_of(&fitted(method, &here), &there);
            assert!(found > least, "{method} in {columns} columns: {found}");
        }
    }
}

#[test]
fn equal_inputs_give_equal_bits_on_any_number_of_threads() {
    let data = pairs(17, 300, 40, 0.5);
    let wide = pairs(18, 20, 70, 0.5);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let bits = |probe: Probe| probe.direction.mapv(f64::to_bits);
            Method::ALL.map(|method| (bits(fitted(method, &data)), bits(fitted(method, &wide))))
        })
    };
    let alone = run(1);
    assert_eq!(alone, run(2));
    assert_eq!(alone, run(5));
}

#[test]
fn a_saturated_fit_still_converges() {
    // Separable with a huge margin: unregularized weights would run away.
    let x = Array2::from_shape_fn((40, 2), |(row, column)| {
        if column == 0 { if row % 2 == 1 { 1e3 } else { -1e3 } } else { row as f64 }
    });
    let y: Array1<bool> = (0..40).map(|row| row % 2 == 1).collect();
    for strength in [1e-6, 1.0, 1e6] {
        let model = Logistic { strength, ..Logistic::default() }
            .fit(&DatasetBase::new(x.clone(), y.clone()))
            .unwrap();
        assert!(model.gradient_norm <= 1e-8 && model.weights[0] > 0.0, "C = {strength}: {model:?}");
    }
}
