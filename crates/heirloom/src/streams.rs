//! Random streams by name, so that adding one never moves another.

use heirloom_probe::random::{ChaCha8Rng, seeded};
use heirloom_record::Hasher;

/// The stream `name` of the run with root `seed`.
///
/// Determinism: the same seed and name give the same draws on every machine.
pub fn stream(seed: u64, name: &str) -> ChaCha8Rng {
    let digest = Hasher::default().part("seed", seed.to_le_bytes()).part("stream", name).finish();
    let mut bytes = [0; 32];
    bytes.copy_from_slice(&digest.as_bytes()[..32]);
    seeded(bytes)
}

/// A seed of its own for what takes one: the stream `name` of the run with root `seed`, as a number.
pub fn seed_of(seed: u64, name: &str) -> u64 {
    use heirloom_probe::random::Rng as _;
    stream(seed, name).r#gen()
}
