//! Synthetic activations whose right answers are known in closed form.

use heirloom_probe::Dataset;
use heirloom_probe::random::{ChaCha8Rng, standard_normal, stream};
use ndarray::{Array1, Array2};
use rand::SeedableRng;
use statrs::distribution::{ContinuousCDF, Normal};

/// A generator by number.
pub(crate) fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Standard normal distribution function.
pub(crate) fn phi(z: f64) -> f64 {
    Normal::standard().cdf(z)
}

/// Contrast pairs in groups of ten: unit normal noise per row, the positive moved by `shift` along the first axis.
pub(crate) fn pairs(seed: u64, pairs: usize, columns: usize, shift: f64) -> Dataset {
    let mut axis = Array1::zeros(columns);
    axis[0] = 1.0;
    pairs_along(seed, pairs, &axis, shift)
}

/// The same along any unit vector.
pub(crate) fn pairs_along(seed: u64, pairs: usize, axis: &Array1<f64>, shift: f64) -> Dataset {
    let mut rng = stream(&rng(seed), 99);
    let labels: Vec<bool> = (0..2 * pairs).map(|row| row % 2 == 1).collect();
    let x = Array2::from_shape_fn((2 * pairs, axis.len()), |(row, column)| {
        narrowed(standard_normal(&mut rng) + if labels[row] { shift * axis[column] } else { 0.0 })
    });
    let clusters: Vec<String> = (0..2 * pairs).map(|row| format!("{seed}-pair-{:04}", row / 2)).collect();
    let groups: Vec<String> = (0..2 * pairs).map(|row| format!("{seed}-family-{:03}", row / 20)).collect();
    Dataset::new(x, labels, &clusters, &groups).unwrap()
}

/// The same rows, labels, clusters and groups with columns or rows changed by hand.
pub(crate) fn rebuilt(data: &Dataset, x: Array2<f32>) -> Dataset {
    data.with_activations(x).unwrap()
}

#[expect(clippy::cast_possible_truncation, reason = "activations are stored as f32")]
pub(crate) fn narrowed(value: f64) -> f32 {
    value as f32
}
