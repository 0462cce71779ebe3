//! Every refusal says where and what, in words that can be acted on.

use heirloom_probe::bootstrap::cluster_bootstrap;
use heirloom_probe::control::{direction_band, random_difference_directions, shuffled_labels};
use heirloom_probe::delong::{DeLong, delong_test};
use heirloom_probe::direction::project;
use heirloom_probe::fragility::fragility;
use heirloom_probe::interval::{newcombe_auroc, wilson};
use heirloom_probe::layer::choose_layer;
use heirloom_probe::logistic::Logistic;
use heirloom_probe::ranked::Ranked;
use heirloom_probe::score::{accuracy, auroc, calibration, histogram, tpr_at_fpr};
use heirloom_probe::split::{Unit, folds};
use heirloom_probe::strength::LogisticOptions;
use heirloom_probe::transfer::{between_groups, check_disjoint};
use heirloom_probe::{Dataset, Error, FitOptions, Method, Resampling, Shares, Split, auroc_interval, fit};
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::{Array1, Array2, array};

use crate::made::{pairs, rebuilt, rng};

#[track_caller]
fn refuses<T>(result: Result<T, Error>, words: &str) {
    let message = result.err().expect("an error").to_string();
    assert!(message.contains(words), "expected `{words}` in `{message}`");
}

fn four(x: Array2<f32>, labels: [bool; 4], clusters: [&str; 4], groups: [&str; 4]) -> Result<Dataset, Error> {
    Dataset::new(x, labels.to_vec(), &clusters, &groups)
}

const BOTH: [bool; 4] = [true, false, true, false];
const PAIRS: [&str; 4] = ["p1", "p1", "p2", "p2"];
const GROUPS: [&str; 4] = ["office", "office", "school", "school"];

#[test]
fn datasets() {
    let x = array![[0.0_f32, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]];
    let mut holed = x.clone();
    holed[[2, 1]] = f32::NAN;
    refuses(
        four(holed.clone(), BOTH, PAIRS, GROUPS),
        "row 2, column 1: expected a finite activation, found NaN",
    );
    holed[[2, 1]] = f32::NEG_INFINITY;
    refuses(four(holed, BOTH, PAIRS, GROUPS), "row 2, column 1: expected a finite activation, found -inf");
    refuses(four(Array2::zeros((0, 2)), BOTH, PAIRS, GROUPS), "`labels`: expected 0 rows, found 4");
    refuses(four(Array2::zeros((4, 0)), BOTH, PAIRS, GROUPS), "found 4 rows and 0 columns");
    refuses(Dataset::new(x.clone(), BOTH.to_vec(), &PAIRS, &["one"]), "`groups`: expected 4 rows, found 1");
    refuses(four(x.clone(), [true; 4], PAIRS, GROUPS), "found 4 positive and 0 negative");
    refuses(
        four(x.clone(), BOTH, PAIRS, ["office", "school", "school", "school"]),
        "cluster `p1`: expected one group, found `office` and `school`",
    );
    let data = four(x, BOTH, PAIRS, GROUPS).unwrap();
    refuses(data.select("part", &[0, 9]), "row 9 is outside the 4 rows");
    refuses(
        data.select("part", &[0, 2]),
        "`part`: expected rows of both classes, found 2 positive and 0 negative",
    );
    refuses(data.with_activations(Array2::zeros((3, 2))), "`activations`: expected 4 rows, found 3");
}

#[test]
fn splits() {
    let data = pairs(0, 30, 2, 1.0);
    let names = data.group_names().to_vec();
    refuses(
        Split::by_named_groups(&data, &names[..2], &names[1..2], &names[2..]),
        "group `0-family-001` is on both sides of a split: in `fit` and in `select`",
    );
    refuses(
        Split::by_named_groups(&data, &["office".to_owned()], &names[1..2], &names[2..]),
        "group `office` has no rows",
    );
    let (fit, rest): (Vec<usize>, Vec<usize>) = (0..60).partition(|row| *row < 30);
    refuses(Split::from_rows(&data, fit, rest.clone(), rest), "is on both sides of a split");
    refuses(Split::from_rows(&data, vec![0, 1], vec![20, 21], vec![60]), "row 60 is outside the 60 rows");
    refuses(
        Split::from_rows(&data, vec![0, 1], vec![20, 21], vec![40]),
        "`report`: expected rows of both classes",
    );
    refuses(
        Split::by_group(&pairs(0, 20, 2, 1.0), Shares::default(), &rng(0)),
        "expected at least 3 groups, found 2",
    );
    let shares = Shares { fit: 0.5, select: -1.0, report: 0.5 };
    refuses(Split::by_group(&data, shares, &rng(0)), "`shares`: expected positive weights, found -1");
    refuses(folds(&pairs(0, 10, 2, 1.0), Unit::Group, 5), "expected at least 2 groups, found 1");
    refuses(folds(&data, Unit::Group, 1), "`folds`: expected at least 2, found 1");
    refuses(check_disjoint(&data, &data), "group `0-family-000` is on both sides");
}

#[test]
fn fits() {
    let data = pairs(0, 30, 2, 1.0);
    let options = FitOptions::default();
    refuses(
        "ridge".parse::<Method>(),
        "unknown method `ridge`; the methods are `dom`, `dom-z`, `lda`, `logistic`, `pca`",
    );
    for method in Method::ALL {
        assert_eq!(method.name().parse::<Method>().unwrap(), method);
        // No column varies, so the classes cannot differ.
        assert!(fit(method, &rebuilt(&data, Array2::ones((60, 2))), &options).is_err(), "{method}");
        // Both rows of every pair are the same.
        let twins = Array2::from_shape_fn((60, 2), |(row, column)| data.x()[[row / 2 * 2, column]]);
        refuses(fit(method, &rebuilt(&data, twins), &options), "found no direction");
    }
    let probe = fit(Method::DifferenceOfMeans, &data, &options).unwrap();
    refuses(probe.score(Array2::zeros((3, 5)).view()), "expected d_model 2, found 5");
    refuses(project(array![[0.0, f32::NAN]].view(), array![1.0, 0.0].view()), "row 0, column 1");
    let unpaired = four(Array2::zeros((4, 1)), BOTH, ["a", "b", "c", "d"], ["g"; 4]).unwrap();
    refuses(fit(Method::Pca, &unpaired, &options), "expected at least 1 pairs, found 0");
    let logistic = |logistic| fit(Method::Logistic, &data, &FitOptions { logistic });
    let strengths = |strengths| LogisticOptions { strengths, ..LogisticOptions::default() };
    refuses(logistic(strengths(vec![])), "expected at least 1 strengths, found 0");
    refuses(logistic(strengths(vec![-1.0])), "`strength`: expected a positive number, found -1");
    refuses(
        logistic(LogisticOptions { max_iterations: 1, strengths: vec![10.0], ..LogisticOptions::default() }),
        "the logistic fit at C = 10 stopped after 1 iterations: expected a gradient norm of at most",
    );
    let y: Array1<bool> = array![true, false];
    let nan = DatasetBase::new(array![[0.0, 1.0], [f64::NAN, 1.0]], y);
    refuses(Logistic::default().fit(&nan), "row 1, column 0: expected a finite activation, found NaN");
}

#[test]
fn scores() {
    let labels = [true, false, true];
    refuses(auroc(&[0.0, f64::NAN, 1.0], &labels), "row 1: expected a finite score, found NaN");
    refuses(auroc(&[0.0, 1.0], &labels), "`scores`: expected 3 rows, found 2");
    refuses(auroc(&[0.0, 1.0], &[true, true]), "found 2 positive and 0 negative");
    refuses(
        Ranked::stratified(&[0.0, 1.0], &[true, false], &[0, 1]),
        "each of 2 strata holds one class only",
    );
    refuses(
        tpr_at_fpr(&[0.0, 1.0, 2.0], &labels, 1.5, 0.95),
        "`limit`: expected a rate from 0 to 1, found 1.5",
    );
    refuses(accuracy(&[], &[], 0.0, 0.95), "expected at least 1 trials, found 0");
    refuses(wilson(3, 2, 0.95), "`successes`: expected at most the trials, found 3");
    refuses(wilson(1, 2, 95.0), "`level`: expected a number between 0 and 1, found 95");
    refuses(newcombe_auroc(1.2, 3, 3, 6, 0.95), "`auroc`: expected a number from 0 to 1, found 1.2");
    refuses(calibration(&[1.5], &[true], 10), "`probabilities`: expected numbers from 0 to 1, found 1.5");
    refuses(calibration(&[0.5], &[true], 0), "expected at least 1 bins, found 0");
    refuses(histogram(&[0.5], &[1.0, 1.0]), "`edges`: expected ascending numbers, found 1");
    refuses(histogram(&[0.5], &[1.0]), "expected at least 2 edges, found 1");
}

#[test]
fn intervals_and_controls() {
    let (scores, labels) = ([0.0, 1.0, 2.0, 3.0], BOTH);
    let quick = Resampling { replicates: 50, level: 0.95 };
    refuses(
        auroc_interval(&scores, &labels, &[7; 4], quick, &rng(0)),
        "expected at least 2 clusters, found 1",
    );
    refuses(cluster_bootstrap(&[0, 1], 1, &rng(0), |_| Some(0.0)), "expected at least 2 replicates, found 1");
    refuses(
        cluster_bootstrap(&[0, 1], 9, &rng(0), |_| None),
        "1000 resamples in a row of 2 clusters all had one class only",
    );
    refuses(DeLong::new(&[0.0, 1.0, 2.0], &[true, false, true]), "expected at least 2 clusters, found 1");
    let one = DeLong::new(&scores, &labels).unwrap();
    let other = DeLong::new(&scores, &[true, true, false, false]).unwrap();
    refuses(delong_test(&one, &other, 0.95), "`second` differs from `first` in the labels");
    let data = pairs(0, 30, 2, 1.0);
    let labels: Vec<bool> = data.groups().iter().map(|group| *group == 0).collect();
    let by_group = data.with_labels(labels).unwrap();
    refuses(shuffled_labels(&by_group, &rng(0), 0), "shuffling within 3 groups cannot change a label");
    refuses(
        between_groups(&by_group, Method::DifferenceOfMeans, &FitOptions::default(), quick, &rng(0)),
        "`group 0-family-000`",
    );
    refuses(
        random_difference_directions(Array2::ones((5, 3)).view(), 4, &rng(0)),
        "`random difference` found no direction",
    );
    refuses(
        direction_band(Array2::zeros((0, 2)).view(), &data, &data),
        "expected at least 1 controls, found 0",
    );
    let split = Split::by_group(&data, Shares::default(), &rng(0)).unwrap();
    let choose = |hooks: &[(&str, &Dataset)]| {
        choose_layer(hooks, &split, Method::DifferenceOfMeans, &FitOptions::default(), quick, &rng(0))
    };
    refuses(choose(&[]), "expected at least 1 hooks, found 0");
    refuses(choose(&[("a", &data), ("b", &by_group)]), "`b` differs from `a` in the labels of its rows");
    refuses(
        choose(&[("a", &data), ("b", &pairs(1, 30, 2, 1.0))]),
        "`b` differs from `a` in the clusters of its rows",
    );
    let probe = fit(Method::DifferenceOfMeans, &data, &FitOptions::default()).unwrap();
    refuses(fragility(&probe, &data, 0.5), "`limit`: expected an AUROC between 0.5 and 1, found 0.5");
}
