//! The same numbers as scikit-learn, linfa and the published examples.

use heirloom_probe::covariance::{whitened, within_class};
use heirloom_probe::delong::{DeLong, delong_test};
use heirloom_probe::interval::{Kind, newcombe_auroc, wilson};
use heirloom_probe::logistic::Logistic;
use heirloom_probe::pairs::principal_difference;
use heirloom_probe::score::{auroc, calibration, roc_curve, tpr_at_fpr};
use linfa::DatasetBase;
use linfa::traits::{Fit, Predict};
use ndarray::{Array1, Axis};

use crate::fixtures::{Arrays, cases, count, json, labels, number, numbers};
use crate::{close, cosine};

#[test]
fn logistic_reaches_the_optimum_of_scikit_learn() {
    let arrays = Arrays::read("logistic");
    for name in ["narrow", "wide"] {
        let x = arrays.matrix(&format!("{name}.x"));
        let y = arrays.vector(&format!("{name}.y")).mapv(|y| y > 0.5);
        let records = DatasetBase::new(x.clone(), y.clone());
        let strengths = arrays.vector(&format!("{name}.c"));
        assert_eq!(strengths.len(), 6);
        for (index, &strength) in strengths.iter().enumerate() {
            let case = format!("{name}, C = {strength}");
            let model = Logistic { strength, ..Logistic::default() }.fit(&records).unwrap();
            let objective = arrays.vector(&format!("{name}.objective"))[index];
            close(&case, model.objective / objective, 1.0, 1e-12);
            let margins = model.logits(x.view());
            let loss = |(m, y): (&f64, &bool)| (if *y { -m } else { *m }).exp().ln_1p();
            let recomputed = 0.5 * model.weights.dot(&model.weights)
                + strength * margins.iter().zip(&y).map(loss).sum::<f64>();
            close(&case, model.objective / recomputed, 1.0, 1e-12);
            let coefficients = arrays.matrix(&format!("{name}.coef"));
            let theirs = coefficients.row(index);
            close(&case, cosine(model.weights.view(), theirs), 1.0, 1e-10);
            let scale = theirs.fold(0.0_f64, |largest, w| largest.max(w.abs()));
            let far = (&model.weights - &theirs).fold(0.0_f64, |largest, w| largest.max(w.abs()));
            assert!(far < 1e-5 * scale, "{case}: largest difference {far:e} of {scale}");
            close(&case, model.intercept, arrays.vector(&format!("{name}.intercept"))[index], 1e-5);
            let predicted: Array1<bool> = model.predict(&x);
            assert_eq!(predicted, margins.mapv(|m| m > 0.0), "{case}");
        }
    }
}

#[test]
fn logistic_agrees_with_linfa_where_linfa_converges() {
    let arrays = Arrays::read("logistic");
    let y = arrays.vector("narrow.y").mapv(|y| y > 0.5);
    let records = DatasetBase::new(arrays.matrix("narrow.x"), y);
    let ours = Logistic { strength: 0.1, ..Logistic::default() }.fit(&records).unwrap();
    let params = linfa_logistic::LogisticRegression::default().alpha(10.0).max_iterations(10_000);
    let theirs = params.gradient_tolerance(1e-6).fit(&records).unwrap();
    // linfa calls the more frequent class positive.
    close("cosine", cosine(ours.weights.view(), theirs.params().view()).abs(), 1.0, 1e-8);
}

#[test]
fn shrunk_lda_matches_scikit_learn() {
    let arrays = Arrays::read("lda");
    let expected = json("lda");
    for name in ["narrow", "wide"] {
        let labels: Vec<bool> = arrays.vector(&format!("{name}.y")).iter().map(|y| *y > 0.5).collect();
        let (within, difference) = within_class(arrays.matrix(&format!("{name}.x")).view(), &labels);
        let (direction, shrinkage) = whitened(within.view(), difference.view()).unwrap();
        close(name, shrinkage.shrinkage, number(&expected[name], "shrinkage"), 1e-10);
        close(name, shrinkage.mean_variance, number(&expected[name], "mu"), 1e-10);
        let theirs = arrays.vector(&format!("{name}.direction"));
        let far = (&direction - &theirs).fold(0.0_f64, |largest, entry| largest.max(entry.abs()));
        close(name, far, 0.0, 1e-10 * number(&expected[name], "direction_norm"));
    }
}

#[test]
fn principal_difference_is_the_first_right_singular_vector() {
    let arrays = Arrays::read("pca");
    for name in ["narrow", "wide", "unequal_scales"] {
        let differences = arrays.matrix(&format!("{name}.difference"));
        let (direction, shares) = principal_difference(differences.view(), 8).unwrap();
        close(
            name,
            cosine(direction.view(), arrays.vector(&format!("{name}.uncentered_first")).view()).abs(),
            1.0,
            1e-12,
        );
        assert!(direction.dot(&differences.mean_axis(Axis(0)).unwrap()) >= 0.0, "{name}: sign");
        let total: f64 = differences.iter().map(|d| d * d).sum();
        let singular = arrays.vector(&format!("{name}.uncentered_singular_values"));
        for (share, singular) in shares.iter().zip(&singular) {
            close(name, *share, singular * singular / total, 1e-12);
        }
    }
}

#[test]
fn auroc_is_the_exact_fraction_rounded_once() {
    for case in cases("auroc") {
        let name = case["name"].as_str().unwrap();
        let found = auroc(&numbers(&case, "scores"), &labels(&case)).unwrap();
        assert_eq!(found.to_bits(), number(&case, "auroc").to_bits(), "{name}");
        close(name, found, number(&case, "sklearn"), 1e-12);
        let curve = roc_curve(&numbers(&case, "scores"), &labels(&case)).unwrap();
        let area: f64 =
            curve.windows(2).map(|p| (p[1].fpr - p[0].fpr) * f64::midpoint(p[1].tpr, p[0].tpr)).sum();
        close(name, area, found, 1e-12);
    }
}

#[test]
fn delong_matches_the_definition_and_published_examples() {
    let mut published = 0;
    for case in cases("delong") {
        let name = case["name"].as_str().unwrap();
        let delong = DeLong::new(&numbers(&case, "scores"), &labels(&case)).unwrap();
        close(name, delong.auroc, number(&case, "auroc"), 1e-12);
        close(name, delong.variance, number(&case, "variance"), 1e-12);
        let interval = delong.interval(0.95).unwrap();
        if matches!(interval.kind, Kind::DeLong { .. }) {
            close(name, interval.low, number(&case, "low").max(0.0), 1e-10);
            close(name, interval.high, number(&case, "high").min(1.0), 1e-10);
        } else {
            close(name, delong.variance, 0.0, 1e-15);
            assert!(interval.high - interval.low > 0.05, "{name}: {interval:?}");
        }
        if let Some(printed) = case.get("published") {
            published += 1;
            close(name, interval.low, number(printed, "low"), 6e-5);
            close(name, interval.high, number(printed, "high"), 6e-5);
        }
    }
    assert_eq!(published, 2);
}

#[test]
fn delong_test_matches_the_definition() {
    for case in json("delong")["paired"].as_array().unwrap() {
        let a = DeLong::new(&numbers(case, "scores_a"), &labels(case)).unwrap();
        let b = DeLong::new(&numbers(case, "scores_b"), &labels(case)).unwrap();
        close("covariance", a.covariance(&b).unwrap(), number(case, "covariance"), 1e-12);
        let test = delong_test(&a, &b, 0.95).unwrap();
        close("z", test.z, number(case, "z"), 1e-9);
        close("p", test.p, number(case, "p"), 1e-9);
        close("no difference from itself", delong_test(&a, &a, 0.95).unwrap().p, 1.0, 0.0);
    }
}

#[test]
fn wilson_matches_newcombe_1998() {
    let mut published = 0;
    for case in cases("wilson") {
        let interval = wilson(count(&case, "k"), count(&case, "n"), number(&case, "level")).unwrap();
        close("low", interval.low, number(&case, "low"), 1e-12);
        close("high", interval.high, number(&case, "high"), 1e-12);
        if let Some(printed) = case.get("published") {
            published += 1;
            close("published low", interval.low, printed[0].as_f64().unwrap(), 5.1e-5);
            close("published high", interval.high, printed[1].as_f64().unwrap(), 5.1e-5);
        }
    }
    assert_eq!(published, 4);
}

#[test]
fn newcombe_inverts_the_score_test() {
    for (value, positives, negatives) in
        [(0.5, 10, 10), (0.8, 30, 12), (0.97, 100, 40), (1.0, 20, 20), (0.0, 5, 9)]
    {
        let interval = newcombe_auroc(value, positives, negatives, 1, 0.95).unwrap();
        let (m, k) = (positives as f64, negatives as f64);
        let freedom = f64::midpoint(m, k) - 1.0;
        for end in [interval.low, interval.high] {
            if (end - value).abs() > 1e-9 {
                let terms = 1.0 + freedom * ((1.0 - end) / (2.0 - end) + end / (1.0 + end));
                let z = (value - end).abs() / (end * (1.0 - end) * terms / (m * k)).sqrt();
                close("z", z, 1.959_963_984_540_054, 1e-6);
            }
        }
        assert!(interval.low <= value && value <= interval.high && interval.high - interval.low > 0.02);
    }
}

#[test]
fn calibration_error_matches_the_formula() {
    for case in cases("calibration") {
        let name = case["name"].as_str().unwrap();
        let found = calibration(&numbers(&case, "probabilities"), &labels(&case), 10).unwrap();
        close(name, found.error, number(&case, "ece"), 1e-12);
        let filled: Vec<_> = found.bins.iter().enumerate().filter(|(_, bin)| bin.n > 0).collect();
        let expected = case["bins"].as_array().unwrap();
        assert_eq!(filled.len(), expected.len(), "{name}");
        for ((index, bin), expected) in filled.into_iter().zip(expected) {
            assert_eq!((index, bin.n), (count(expected, "bin"), count(expected, "n")), "{name}");
            close(name, bin.mean_probability, number(expected, "mean_probability"), 1e-12);
            close(name, bin.rate, number(expected, "fraction_positive"), 1e-12);
        }
    }
}

#[test]
fn tpr_at_one_percent_fpr_matches_the_definition() {
    for case in cases("tpr") {
        let name = case["name"].as_str().unwrap();
        let found = tpr_at_fpr(&numbers(&case, "scores"), &labels(&case), 0.01, 0.95).unwrap();
        assert_eq!(found.threshold, case["threshold"].as_f64(), "{name}");
        close(name, found.tpr.value, number(&case, "tpr"), 1e-12);
        close(name, found.tpr.low, number(&case, "low"), 1e-12);
        close(name, found.tpr.high, number(&case, "high"), 1e-12);
        assert_eq!(found.fpr.n, count(&case, "negatives"), "{name}");
        close(name, found.fpr.value * found.fpr.n as f64, number(&case, "false_positives"), 1e-9);
    }
}
