//! Tests of the crate from outside: parity with scikit-learn and published numbers, laws, coverage of intervals, bad input.

mod attribution;
mod bad_input;
mod beyond;
mod causal;
mod controls;
mod coverage;
mod erasure;
mod fixtures;
mod joint;
mod laws;
mod made;
mod origin;
mod parity;
mod rate;
mod refits;
mod seeds;
mod shuffled;
mod subspace;
mod track;
mod verdict;

/// Asserts `|found − expected| ≤ tolerance`, naming the case.
#[track_caller]
fn close(case: &str, found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{case}: expected {expected} ± {tolerance:e}, found {found}"
    );
}

/// Cosine of two vectors.
fn cosine(a: ndarray::ArrayView1<f64>, b: ndarray::ArrayView1<f64>) -> f64 {
    a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
}
