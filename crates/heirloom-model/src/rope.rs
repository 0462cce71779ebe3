//! Rotary frequencies: how fast each pair of coordinates turns with the position.
//!
//! Source: `modeling_rope_utils.py` of transformers; rotary embedding itself, arXiv 2104.09864.

use std::f64::consts::PI;
use std::ops::Range;

use crate::config::{Rope, RopeScaling, Yarn};

/// Rotary embedding of some blocks.
#[derive(Clone, Debug)]
pub(crate) struct Rotary {
    /// Angle per position of each rotated pair of a head, rounded to f32 as transformers holds them.
    pub(crate) frequencies: Vec<f32>,
    /// What rotated coordinates are multiplied by.
    pub(crate) factor: f32,
}

impl Rotary {
    /// That of `rope` for the first `d_rotary` coordinates of a head.
    pub(crate) fn new(rope: &Rope, d_rotary: usize) -> Self {
        let pairs = d_rotary / 2;
        let plain = |pair: usize| rope.theta.powf(-((2 * pair) as f64) / d_rotary as f64);
        let stretched = |pair: usize| stretch(rope, (pair, d_rotary), plain(pair)) as f32;
        let factor = match &rope.scaling {
            RopeScaling::Yarn(yarn) => yarn.attention_factor,
            RopeScaling::Long { attention_factor, .. } => *attention_factor,
            _ => 1.0,
        };
        Self { frequencies: (0..pairs).map(stretched).collect(), factor: factor as f32 }
    }

    /// That of blocks without one.
    pub(crate) fn none() -> Self {
        Self { frequencies: Vec::new(), factor: 1.0 }
    }
}

/// The frequency of a pair, given what it is unstretched.
fn stretch(rope: &Rope, (pair, d_rotary): (usize, usize), frequency: f64) -> f64 {
    match &rope.scaling {
        RopeScaling::None | RopeScaling::Dynamic { .. } => frequency,
        RopeScaling::Linear { factor } => frequency / factor,
        RopeScaling::Llama3 { factor, low, high, original_n_ctx } => {
            let turns = *original_n_ctx as f64 * frequency / (2.0 * PI);
            // How far between "stretched in full" (0) and "kept" (1).
            let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
            kept * frequency + (1.0 - kept) * frequency / factor
        }
        RopeScaling::Yarn(yarn) => {
            let (first, last) = ramp(yarn, rope.theta, d_rotary);
            let kept = 1.0 - ((pair as f64 - first) / (last - first)).clamp(0.0, 1.0);
            kept * frequency + (1.0 - kept) * frequency / yarn.factor
        }
        RopeScaling::Long { short, .. } => frequency / short[pair],
    }
}

/// Between which pairs frequencies go over from kept to stretched.
///
/// Source: `find_correction_range` and `linear_ramp_factor` of transformers' `modeling_rope_utils.py`.
fn ramp(yarn: &Yarn, theta: f64, d_rotary: usize) -> (f64, f64) {
    let d = d_rotary as f64;
    let pair = |turns: f64| d * (yarn.original_n_ctx as f64 / (turns * 2.0 * PI)).ln() / (2.0 * theta.ln());
    let (mut first, mut last) = (pair(yarn.beta_fast), pair(yarn.beta_slow));
    if yarn.truncate {
        (first, last) = (first.floor(), last.ceil());
    }
    let (first, last) = (first.max(0.0), last.min(d - 1.0));
    // Where both are one, the ramp is a step.
    if last - first == 0.0 { (first, last + 0.001) } else { (first, last) }
}

/// Cosine and sine of the angles at positions 0, 1, …, for every rotary embedding of a model.
pub(crate) struct Angles(Vec<Table>);

/// `[position, d_rotary / 2]`, row-major.
struct Table {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

impl Angles {
    /// For positions below `n`.
    pub(crate) fn new(rotary: &[Rotary], n: usize) -> Self {
        Self(rotary.iter().map(|rotary| Table::new(rotary, n)).collect())
    }

    /// Those of some positions in a line, for every rotary embedding. `[t, d_rotary / 2]`
    pub(crate) fn at(&self, positions: &[Range<usize>]) -> impl Iterator<Item = (Vec<f32>, Vec<f32>)> {
        self.0.iter().map(move |table| (table.at(&table.cos, positions), table.at(&table.sin, positions)))
    }
}

impl Table {
    fn new(Rotary { frequencies, factor }: &Rotary, n: usize) -> Self {
        // Positions stay far below 2²⁴, and the product is rounded to f32 as transformers does.
        let angles = (0..n).flat_map(|position| frequencies.iter().map(move |f| f * position as f32));
        let (cos, sin) = angles.map(|angle| (angle.cos() * factor, angle.sin() * factor)).unzip();
        Self { cos, sin, half: frequencies.len() }
    }

    fn at(&self, table: &[f32], positions: &[Range<usize>]) -> Vec<f32> {
        let part = |range: &Range<usize>| &table[range.start * self.half..range.end * self.half];
        positions.iter().map(part).collect::<Vec<_>>().concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_stretches_wavelengths() {
        let check = |scaling, expected: [f64; 4]| {
            let rope = Rope { theta: 10_000.0, scaling };
            for (found, expected) in Rotary::new(&rope, 8).frequencies.iter().zip(expected) {
                let near = (f64::from(*found) - expected).abs() < 1e-7 * expected;
                assert!(near, "{:?}: {found} {expected}", rope.scaling);
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
