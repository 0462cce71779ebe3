//! Named random streams: what one part of a run draws never moves what another draws.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use sha2::{Digest, Sha256};

/// The stream of `purpose` and `name` under a seed.
pub(crate) fn stream(purpose: &str, seed: u64, name: &str) -> ChaCha12Rng {
    let mut hasher = Sha256::new();
    hasher.update(b"heirloom ");
    hasher.update(purpose);
    hasher.update([0]);
    hasher.update(seed.to_le_bytes());
    hasher.update(name.as_bytes());
    ChaCha12Rng::from_seed(hasher.finalize().into())
}

/// `n` numbers from the normal distribution with this deviation around 0.
///
/// Source: Box and Muller (1958), in f64, both of a pair used.
pub(crate) fn normal(stream: &mut ChaCha12Rng, n: usize, std: f64) -> Vec<f32> {
    let mut values = Vec::with_capacity(n + 1);
    while values.len() < n {
        // 1 − u lies above 0, so that its logarithm exists.
        let radius = (-2.0 * (1.0 - stream.r#gen::<f64>()).ln()).sqrt() * std;
        let (sin, cos) = (2.0 * std::f64::consts::PI * stream.r#gen::<f64>()).sin_cos();
        values.extend([(radius * cos) as f32, (radius * sin) as f32]);
    }
    values.truncate(n);
    values
}

/// The numbers below `n` in random order.
///
/// Source: Fisher and Yates, as in Knuth's Algorithm P.
pub(crate) fn permutation(stream: &mut ChaCha12Rng, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, stream.gen_range(0..=last));
    }
    order
}

/// `n` numbers spread evenly over ±`bound`.
pub(crate) fn uniform(stream: &mut ChaCha12Rng, n: usize, bound: f64) -> Vec<f32> {
    (0..n).map(|_| ((2.0 * stream.r#gen::<f64>() - 1.0) * bound) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_the_moments_asked_for() {
        let values = normal(&mut stream("test", 1, "normal"), 100_001, 0.5);
        assert_eq!(values.len(), 100_001);
        let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / values.len() as f64;
        let moment = |power| values.iter().map(|x| f64::from(*x).powi(power)).sum::<f64>() / 100_001.0;
        assert!(mean.abs() < 0.01, "{mean}");
        assert!((moment(2).sqrt() - 0.5).abs() < 0.005, "{}", moment(2));
        // Kurtosis of the normal distribution is 3.
        assert!((moment(4) / moment(2).powi(2) - 3.0).abs() < 0.1, "{}", moment(4));
    }

    #[test]
    fn permutations_hold_every_number_once_and_follow_their_stream() {
        let draw = |seed, name| permutation(&mut stream("test", seed, name), 50);
        let mut sorted = draw(1, "a");
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert!(permutation(&mut stream("test", 1, "a"), 0).is_empty());
    }
}
