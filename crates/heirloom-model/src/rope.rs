//! Rotary frequencies: how fast each pair of coordinates turns with the position.
//!
//! Source: `modeling_rope_utils.py` of transformers; rotary embedding itself, arXiv 2104.09864.

use std::f64::consts::PI;
use std::ops::Range;

use crate::config::{Rope, RopeScaling};

/// Angle per position of each of a head's `d_head / 2` pairs, rounded to f32 as transformers holds them.
pub(crate) fn inverse_frequencies(rope: &Rope, d_head: usize) -> Vec<f32> {
    let plain = |pair: usize| rope.theta.powf(-((2 * pair) as f64) / d_head as f64);
    (0..d_head / 2).map(|pair| stretch(plain(pair), &rope.scaling) as f32).collect()
}

fn stretch(frequency: f64, scaling: &RopeScaling) -> f64 {
    match *scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => frequency / factor,
        RopeScaling::Llama3 { factor, low, high, original_n_ctx } => {
            let turns = original_n_ctx as f64 * frequency / (2.0 * PI);
            // How far between "stretched in full" (0) and "kept" (1).
            let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
            kept * frequency + (1.0 - kept) * frequency / factor
        }
    }
}

/// Cosine and sine of the angles at positions 0, 1, …: `[position, d_head / 2]`, row-major.
pub(crate) struct Angles {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

impl Angles {
    /// For positions below `n`.
    pub(crate) fn new(frequencies: &[f32], n: usize) -> Self {
        // Positions stay far below 2²⁴, and the product is rounded to f32 as transformers does.
        let angles = (0..n).flat_map(|position| frequencies.iter().map(move |f| f * position as f32));
        let (cos, sin) = angles.map(|angle| (angle.cos(), angle.sin())).unzip();
        Self { cos, sin, half: frequencies.len() }
    }

    /// Those of some positions in a line. `[t, d_head / 2]`
    pub(crate) fn at(&self, positions: &[Range<usize>]) -> (Vec<f32>, Vec<f32>) {
        let of = |table: &[f32]| {
            let part = |range: &Range<usize>| &table[range.start * self.half..range.end * self.half];
            positions.iter().map(part).collect::<Vec<_>>().concat()
        };
        (of(&self.cos), of(&self.sin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_stretches_wavelengths() {
        let check = |scaling, expected: [f64; 4]| {
            let rope = Rope { theta: 10_000.0, scaling };
            for (found, expected) in inverse_frequencies(&rope, 8).iter().zip(expected) {
                assert!(
                    (f64::from(*found) - expected).abs() < 1e-7 * expected,
                    "{scaling:?}: {found} {expected}"
                );
            }
        };
        check(RopeScaling::None, [1.0, 0.1, 0.01, 0.001]);
        check(RopeScaling::Linear { factor: 4.0 }, [0.25, 0.025, 0.0025, 0.00025]);
        // 8192 · 0.001 / 2π = 1.30 turns lie between 1 and 4, so the last pair is partly stretched.
        let kept = (8192.0 * 0.001 / (2.0 * PI) - 1.0) / 3.0;
        let last = kept * 0.001 + (1.0 - kept) * 0.001 / 8.0;
        let llama3 = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original_n_ctx: 8192 };
        check(llama3, [1.0, 0.1, 0.01, last]);
    }
}
