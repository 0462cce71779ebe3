//! Angles between directions and between the spaces they span.

use std::f64::consts::FRAC_PI_2;

use heirloom_probe::control::random_directions;
use heirloom_probe::subspace::{cosine, drift, principal_angles};
use ndarray::{Array2, array};

use crate::close;
use crate::fixtures::cases;
use crate::made::rng;

fn rows(value: &serde_json::Value) -> Array2<f64> {
    let list = |value: &serde_json::Value| value.as_array().unwrap().clone();
    let all = list(value);
    let columns = list(&all[0]).len();
    Array2::from_shape_fn((all.len(), columns), |(row, column)| all[row][column].as_f64().unwrap())
}

#[test]
fn principal_angles_are_scipys_and_those_the_planes_were_turned_by() {
    for case in cases("subspaces") {
        let (first, second) = (rows(&case["first"]), rows(&case["second"]));
        let expected = crate::fixtures::numbers(&case, "angles");
        // Angles known by construction are met to rounding; scipy takes the arc cosine of small ones where sizes differ.
        let tolerance = if case["name"].as_str().unwrap().contains("shared") { 1e-7 } else { 1e-12 };
        for (a, b) in [(&first, &second), (&second, &first)] {
            let found = principal_angles(a.view(), b.view()).unwrap();
            assert_eq!(found.len(), expected.len(), "{}", case["name"]);
            for (found, expected) in found.iter().zip(&expected) {
                close(case["name"].as_str().unwrap(), *found, *expected, tolerance);
            }
        }
    }
}

#[test]
fn a_space_is_what_its_directions_span_and_not_how() {
    let first = random_directions(12, 3, &rng(50));
    let second = random_directions(12, 2, &rng(51));
    let known = principal_angles(first.view(), second.view()).unwrap();
    let mixed = array![[2.0, 1.0, 0.0], [0.0, -1.0, 3.0], [1.0, 1.0, 1.0], [3.0, 2.0, 1.0]].dot(&first);
    for (found, known) in principal_angles(mixed.view(), second.view()).unwrap().iter().zip(&known) {
        close("mixed", *found, *known, 1e-12);
    }
    for angle in principal_angles(first.view(), mixed.view()).unwrap() {
        close("itself", angle, 0.0, 1e-12);
    }
    // Twin: spaces that share nothing.
    let axes = Array2::<f64>::eye(6);
    let part = |rows: [usize; 2]| axes.select(ndarray::Axis(0), &rows);
    for angle in principal_angles(part([0, 1]).view(), part([2, 3]).view()).unwrap() {
        close("orthogonal", angle, FRAC_PI_2, 1e-15);
    }
    let half = principal_angles(part([0, 1]).view(), part([1, 2]).view()).unwrap();
    close("one shared", half[0], FRAC_PI_2, 1e-15);
    close("one shared", half[1], 0.0, 1e-15);
}

#[test]
fn drift_is_the_angle_turned_so_far_and_since_the_last_checkpoint() {
    let turns = [0.0_f64, 0.1, 0.4, 1.5, 3.0];
    let directions = Array2::from_shape_fn((5, 4), |(row, column)| match column {
        0 => 2.0 * turns[row].cos(),
        3 => 2.0 * turns[row].sin(),
        _ => 0.0,
    });
    let found = drift(directions.view()).unwrap();
    for (at, turned) in turns.iter().enumerate() {
        let since = turned - turns[at.saturating_sub(1)];
        close("from the first", found.from_first[at], turned.cos(), 1e-12);
        close("from the last", found.from_previous[at], since.cos(), 1e-12);
    }
    // Twin: one that only changes its length.
    let still = Array2::from_shape_fn((4, 3), |(row, column)| (row + 1) as f64 * (column as f64 - 0.5));
    assert!(drift(still.view()).unwrap().from_first.iter().all(|cosine| (cosine - 1.0).abs() < 1e-12));
}

#[test]
fn what_spans_nothing_is_refused() {
    let (plane, nothing) = (Array2::<f64>::eye(3), Array2::<f64>::zeros((2, 3)));
    for (result, words) in [
        (principal_angles(plane.view(), nothing.view()), "found no direction"),
        (principal_angles(plane.view(), Array2::<f64>::eye(4).view()), "expected d_model 3, found 4"),
        (cosine(plane.row(0), nothing.row(0)).map(|cosine| vec![cosine]), "found no direction"),
        (cosine(plane.row(0), array![1.0].view()).map(|cosine| vec![cosine]), "expected d_model 3, found 1"),
    ] {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(words), "expected `{words}` in `{message}`");
    }
}
