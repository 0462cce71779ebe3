//! Random streams that do not depend on threads.
//!
//! The caller seeds one generator by name ("bootstrap", "controls"); item `i` of a loop draws from that generator's stream `i`. The generator
//! passed in is never advanced, so a function gives the same answer however often and wherever it is called, and two hook points handed the same
//! generator see the same resamples.

pub use rand::Rng;
use rand::SeedableRng;
pub use rand_chacha::ChaCha8Rng;

/// The generator of a seed.
pub fn seeded(seed: [u8; 32]) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(seed)
}

/// Stream `index` of a generator, from its start.
pub fn stream(root: &ChaCha8Rng, index: u64) -> ChaCha8Rng {
    let mut rng = root.clone();
    rng.set_stream(index);
    rng.set_word_pos(0);
    rng
}

/// One draw from the standard normal distribution (Marsaglia's polar method).
pub fn standard_normal(rng: &mut impl Rng) -> f64 {
    loop {
        let (u, v) = (rng.gen_range(-1.0..1.0), rng.gen_range(-1.0..1.0));
        let square: f64 = u * u + v * v;
        if square > 0.0 && square < 1.0 {
            return u * (-2.0 * square.ln() / square).sqrt();
        }
    }
}
