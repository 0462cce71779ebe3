//! Erasing a concept: parity with `concept-erasure`, the laws of the theorem, and what ablation does and does not take away.

use heirloom_probe::erasure::{Eraser, labels};
use heirloom_probe::logistic::Logistic;
use heirloom_probe::random::{standard_normal, stream};
use heirloom_probe::score::auroc;
use heirloom_probe::{Error, FitOptions, Method, fit};
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, array, concatenate};

use crate::close;
use crate::fixtures::{Arrays, count, json};
use crate::made::{narrowed, pairs, rng};

fn largest(values: &Array2<f64>) -> f64 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// Rows of correlated columns of unequal spread whose mean moves with the label along a direction of its own.
fn made(seed: u64, rows: usize, columns: usize, shift: f64) -> (Array2<f32>, Vec<bool>) {
    let mut mixing = stream(&rng(70), 0);
    let mix = Array2::from_shape_fn((columns, columns), |(_, column)| {
        standard_normal(&mut mixing) * 1.3_f64.powi(i32::try_from(column % 12).unwrap())
    });
    let along = Array1::from_shape_fn(columns, |_| shift * standard_normal(&mut mixing));
    let mut rng = stream(&rng(71), seed);
    let noise = Array2::from_shape_fn((rows, columns), |_| standard_normal(&mut rng));
    let labels: Vec<bool> = (0..rows).map(|row| row % 3 == 0).collect();
    let mut x = noise.dot(&mix) + 5.0;
    for (mut row, label) in x.rows_mut().into_iter().zip(&labels) {
        if *label {
            row += &along;
        }
    }
    (x.mapv(narrowed), labels)
}

fn class_means(x: ArrayView2<f64>, labels: &[bool]) -> [Array1<f64>; 2] {
    [false, true].map(|class| {
        let rows: Vec<usize> = (0..labels.len()).filter(|row| labels[*row] == class).collect();
        x.select(Axis(0), &rows).mean_axis(Axis(0)).unwrap()
    })
}

/// The largest weight of an L2 logistic probe fit on rows as they are.
fn largest_weight(x: &Array2<f64>, labels: &[bool]) -> f64 {
    let data = DatasetBase::new(x.clone(), Array1::from(labels.to_vec()));
    let model = Logistic { max_iterations: 1000, ..Logistic::default() }.fit(&data).unwrap();
    model.weights.iter().fold(0.0, |largest, weight| largest.max(weight.abs()))
}

#[test]
fn leace_is_the_reference_implementations() {
    let (report, arrays) = (json("erasure"), Arrays::read("erasure"));
    for name in ["label", "wide", "deficient", "classes", "numbers"] {
        let matrix = |what: &str| arrays.matrix(&format!("{name}.{what}"));
        let x = matrix("x");
        let eraser = Eraser::leace(x.mapv(narrowed).view(), matrix("z").view()).unwrap();
        assert_eq!(eraser.rank(), count(&report[name], "erased_dimensions"), "{name}");
        close(name, largest(&(eraser.matrix() - matrix("p"))), 0.0, 1e-10);
        let erased = eraser.apply(x.mapv(narrowed).view()).unwrap();
        close(name, largest(&(&erased - &matrix("erased"))), 0.0, 1e-9);
        let affine = x.dot(&eraser.matrix().t()) + &eraser.offset();
        close(name, largest(&(&erased - &affine)), 0.0, 1e-9);
    }
}

#[test]
fn nothing_linear_is_left_of_what_was_erased_and_everything_of_what_was_not() {
    // More rows than columns, and fewer.
    for (rows, columns) in [(400, 12), (40, 60)] {
        let (x, y) = made(1, rows, columns, 1.0);
        let eraser = Eraser::leace(x.view(), labels(&y).view()).unwrap();
        let erased = eraser.apply(x.view()).unwrap();
        let [negative, positive] = class_means(erased.view(), &y);
        close("class means", largest(&(positive - negative).insert_axis(Axis(0))), 0.0, 1e-9);
        let before = x.mapv(f64::from);
        close(
            "mean",
            largest(
                &(erased.mean_axis(Axis(0)).unwrap() - before.mean_axis(Axis(0)).unwrap())
                    .insert_axis(Axis(0)),
            ),
            0.0,
            1e-9,
        );
        let weight = largest_weight(&erased, &y);
        assert!(weight < 1e-4, "{rows} × {columns}: {weight}");
        // Twins: before erasure, and after erasing something else, the probe has weights.
        let other: Vec<bool> = (0..rows).map(|row| row % 4 == 0).collect();
        let spared = Eraser::leace(x.view(), labels(&other).view()).unwrap().apply(x.view()).unwrap();
        for (case, x) in [("before", &before), ("another concept erased", &spared)] {
            let weight = largest_weight(x, &y);
            assert!(weight > 1e-2, "{case}, {rows} × {columns}: {weight}");
        }
    }
}

#[test]
fn erasing_is_idempotent_and_keeps_readouts_that_know_nothing() {
    let (x, y) = made(2, 300, 10, 1.0);
    let eraser = Eraser::leace(x.view(), labels(&y).view()).unwrap();
    let p = eraser.matrix();
    close("P² = P", largest(&(p.dot(&p) - &p)), 0.0, 1e-10);
    close("R Lᵀ = I", eraser.right().dot(&eraser.left().t())[[0, 0]], 1.0, 1e-12);
    close(
        "the mean stays",
        largest(&(p.dot(&eraser.mean()) + eraser.offset() - eraser.mean()).insert_axis(Axis(0))),
        0.0,
        1e-9,
    );
    // A readout uncorrelated with the concept: w·Σ_xz = 0. Displacements orthogonal to Σ_xz in the whitened metric: R d = 0.
    let without = |vector: &Array1<f64>, axis: ArrayView1<f64>| {
        vector - &(&axis * (vector.dot(&axis) / axis.dot(&axis)))
    };
    let any = Array1::from_shape_fn(10, |at| (at as f64).cos());
    let readout = without(&any, eraser.left().row(0));
    close("readout", largest(&(readout.dot(&p) - &readout).insert_axis(Axis(0))), 0.0, 1e-10);
    let displacement = without(&any, eraser.right().row(0));
    close("displacement", largest(&(p.dot(&displacement) - &displacement).insert_axis(Axis(0))), 0.0, 1e-10);
    // Twin: one that is correlated loses its part.
    assert!(largest(&(any.dot(&p) - &any).insert_axis(Axis(0))) > 1e-2);
}

/// Mean squared distance that an affine erasure moves rows, in the inner product `mᵀm`.
fn moved(x: ArrayView2<f64>, p: ArrayView2<f64>, m: ArrayView2<f64>) -> f64 {
    let centred = &x - &x.mean_axis(Axis(0)).unwrap();
    let change = (&centred - &centred.dot(&p.t())).dot(&m.t());
    change.iter().map(|entry| entry * entry).sum::<f64>() / x.nrows() as f64
}

#[test]
fn no_other_guard_changes_less() {
    let (x, y) = made(3, 300, 8, 1.0);
    let eraser = Eraser::leace(x.view(), labels(&y).view()).unwrap();
    let (x, p, covariance) = (x.mapv(f64::from), eraser.matrix(), eraser.left().row(0).to_owned());
    let mut rng = rng(72);
    let naive = Eraser::ablation(covariance.clone().insert_axis(Axis(0)).view()).unwrap().matrix();
    for inner in 0..5 {
        // Plain distance first, then arbitrary inner products: the optimum is the same one.
        let mut m = Array2::<f64>::eye(8);
        if inner > 0 {
            m.mapv_inplace(|_| standard_normal(&mut rng));
        }
        let least = moved(x.view(), p.view(), m.view());
        let of_naive = moved(x.view(), naive.view(), m.view());
        assert!(least <= of_naive, "{least} against {of_naive}");
        if inner == 0 {
            println!("mean squared change: {least:.2} by LEACE, {of_naive:.2} by orthogonal projection");
            assert!(least < 0.9 * of_naive);
        }
        for _ in 0..50 {
            // Every guard of rank one is I − Σ_xz rᵀ / (r·Σ_xz) for some r.
            let r = eraser.right().row(0).mapv(|entry| entry + 0.3 * entry.abs() * standard_normal(&mut rng));
            let scale = r.dot(&covariance);
            let left = covariance.clone().insert_axis(Axis(1));
            let other = Array2::<f64>::eye(8) - left.dot(&(r / scale).insert_axis(Axis(0)));
            assert!(moved(x.view(), other.view(), m.view()) >= least * (1.0 - 1e-12));
        }
    }
}

#[test]
fn rows_it_was_not_fit_on_lose_the_concept_too() {
    let (here, there) = (made(4, 3000, 12, 1.5), made(5, 3000, 12, 1.5));
    let eraser = Eraser::leace(here.0.view(), labels(&here.1).view()).unwrap();
    let erased = eraser.apply(there.0.view()).unwrap();
    let score = |x: &Array2<f64>| {
        let data = DatasetBase::new(x.clone(), Array1::from(there.1.clone()));
        let model = Logistic { max_iterations: 1000, ..Logistic::default() }.fit(&data).unwrap();
        auroc(&model.logits(x.view()).to_vec(), &there.1).unwrap()
    };
    let (before, after) = (score(&there.0.mapv(f64::from)), score(&erased));
    println!("AUROC of a probe refit on other rows: {before:.3} before, {after:.3} after");
    assert!(before > 0.8 && after < 0.6, "{before}, {after}");
}

#[test]
fn a_concept_that_nothing_correlates_with_leaves_activations_alone() {
    let (x, y) = made(6, 60, 5, 1.0);
    let constant = Eraser::leace(x.view(), Array2::from_elem((60, 1), 2.0).view()).unwrap();
    assert_eq!(constant.rank(), 0);
    close("identity", largest(&(constant.apply(x.view()).unwrap() - x.mapv(f64::from))), 0.0, 0.0);
    // A concept that differs within pairs of equal rows: uncorrelated to the last bit of a sum.
    let twice = concatenate![Axis(0), x, x];
    let split: Vec<bool> = (0..120).map(|row| row < 60).collect();
    assert_eq!(Eraser::leace(twice.view(), labels(&split).view()).unwrap().rank(), 0);
    // Dependent columns add nothing: a label, its negation, a constant.
    let z = labels(&y);
    let three = concatenate![Axis(1), z, z.mapv(|z| 1.0 - z), Array2::ones((60, 1))];
    let (one, same) =
        (Eraser::leace(x.view(), z.view()).unwrap(), Eraser::leace(x.view(), three.view()).unwrap());
    assert_eq!((one.rank(), same.rank()), (1, 1));
    close("same", largest(&(one.matrix() - same.matrix())), 0.0, 1e-10);
}

#[test]
fn ablation_takes_one_component_and_leaves_the_rest() {
    let x = array![[3.0_f32, 4.0, 7.0], [1.0, 0.0, -2.0]];
    let direction = array![[0.6, 0.8, 0.0]];
    let plain = Eraser::ablation(direction.view()).unwrap();
    let erased = plain.apply(x.view()).unwrap();
    let expected = array![[0.0, 0.0, 7.0], [1.0 - 0.36, -0.48, -2.0]];
    close("h − (h·v)v", largest(&(&erased - &expected)), 0.0, 1e-7);
    // Its length does not matter, nor do directions that the others span.
    let longer = array![[6.0, 8.0, 0.0], [-1.2, -1.6, 0.0]];
    close(
        "length",
        largest(&(Eraser::ablation(longer.view()).unwrap().matrix() - plain.matrix())),
        0.0,
        1e-14,
    );
    let p = plain.matrix();
    close("P² = P", largest(&(p.dot(&p) - &p)), 0.0, 1e-15);
    // Mean ablation sets the component to that of the mean and leaves the others.
    let mean = array![1.0, 2.0, 100.0];
    let set = Eraser::ablation_to(direction.view(), mean.view()).unwrap().apply(x.view()).unwrap();
    for (row, before) in set.rows().into_iter().zip(x.rows()) {
        close("component", row.dot(&direction.row(0)), mean.dot(&direction.row(0)), 1e-12);
        close("rest", row[2], f64::from(before[2]), 1e-12);
    }
    let affine =
        x.mapv(f64::from).dot(&p.t()) + Eraser::ablation_to(direction.view(), mean.view()).unwrap().offset();
    close("affine", largest(&(set - affine)), 0.0, 1e-12);
}

#[test]
fn ablating_a_fitted_direction_leaves_what_leace_would_take() {
    let (x, y) = made(8, 2000, 12, 0.6);
    let names: Vec<String> = (0..2000).map(|row| format!("{row:04}")).collect();
    let data = heirloom_probe::Dataset::new(x.clone(), y.clone(), &names, &names).unwrap();
    let lda = fit(Method::Lda, &data, &FitOptions::default()).unwrap();
    let weight_after = |eraser: Eraser| largest_weight(&eraser.apply(x.view()).unwrap(), &y);
    let ablated = weight_after(Eraser::ablation(lda.direction.insert_axis(Axis(0)).view()).unwrap());
    let erased = weight_after(Eraser::leace(x.view(), labels(&y).view()).unwrap());
    println!("largest weight of a refit probe: {ablated:.4} after ablation, {erased:.1e} after LEACE");
    assert!(ablated > 1e-3 && erased < 1e-4);
}

#[test]
fn unusable_inputs_are_named() {
    let data = pairs(73, 20, 4, 1.0);
    let refuses = |result: Result<Eraser, Error>, words: &str| {
        let message = result.expect_err("an error").to_string();
        assert!(message.contains(words), "expected `{words}` in `{message}`");
    };
    refuses(Eraser::leace(data.x(), labels(&[true]).view()), "`z`: expected 40 rows, found 1");
    let mut holed = labels(data.labels());
    holed[[7, 0]] = f64::NAN;
    refuses(Eraser::leace(data.x(), holed.view()), "row 7, column 0");
    let mut x = data.x().to_owned();
    x[[3, 2]] = f32::NAN;
    refuses(Eraser::leace(x.view(), labels(data.labels()).view()), "row 3, column 2");
    refuses(Eraser::ablation(Array2::zeros((2, 4)).view()), "`ablation` found no direction");
    refuses(
        Eraser::ablation_to(Array2::ones((1, 4)).view(), Array1::zeros(3).view()),
        "expected d_model 4, found 3",
    );
    let eraser = Eraser::ablation(Array2::ones((1, 4)).view()).unwrap();
    assert!(eraser.apply(x.view()).is_err());
    assert!(
        eraser
            .apply(array![[1.0_f32]].view())
            .unwrap_err()
            .to_string()
            .contains("expected d_model 4, found 1")
    );
}
