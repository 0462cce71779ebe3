//! Random numbers by name: one per seed, purpose, draw and prompt.
//!
//! Not a generator but a hash: a prompt's number depends on no other prompt and on no arm. Arms of one seed that
//! draw for one purpose therefore draw the same prompts, subsets of growing size are nested, and adding a prompt
//! moves no other.

use heirloom_record::Hasher;

/// The number of `name` in draw `draw` of the stream `purpose` of `seed`, uniform over all of `u64`.
///
/// Determinism: the same on every machine.
pub(crate) fn number(seed: u64, purpose: &str, draw: u64, name: &str) -> u64 {
    let hasher = Hasher::default()
        .part("seed", seed.to_le_bytes())
        .part("stream", purpose)
        .part("draw", draw.to_le_bytes());
    let digest = hasher.part("name", name).finish();
    digest.as_bytes()[..16].iter().fold(0, |number, digit| number << 4 | u64::from(hex(*digit)))
}

fn hex(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_uniform_and_differ_by_every_part_of_their_name() {
        let names: Vec<String> = (0..4000).map(|n| format!("p{n}")).collect();
        let draw = |seed, purpose, draw| -> Vec<f64> {
            let number = |name: &String| number(seed, purpose, draw, name) as f64 / 2_f64.powi(64);
            names.iter().map(number).collect()
        };
        let mean = |numbers: &[f64]| numbers.iter().sum::<f64>() / numbers.len() as f64;
        let base = draw(1, "random", 0);
        // Mean 1/2 and variance 1/12; bounds at four standard errors.
        assert!((mean(&base) - 0.5).abs() < 4.0 * (1.0 / 12.0 / 4000.0_f64).sqrt());
        for other in [draw(2, "random", 0), draw(1, "mix", 0), draw(1, "random", 1)] {
            let products: Vec<f64> = base.iter().zip(&other).map(|(a, b)| (a - 0.5) * (b - 0.5)).collect();
            assert!(mean(&products).abs() < 4.0 / 12.0 / 4000_f64.sqrt(), "{}", mean(&products));
        }
        assert_eq!(base, draw(1, "random", 0));
    }
}
