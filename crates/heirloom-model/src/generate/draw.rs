//! One token from its logits.

use candle_core::{DType, Device, Tensor};
use pulp::{Arch, Simd, WithSimd};
use rand::Rng;
use rand_chacha::ChaCha12Rng;
use rayon::prelude::*;

use super::GenerateOptions;
use crate::cache::with_rows;
use crate::{Result, kernels, random};

/// Tokens whose weights are summed as one.
const BLOCK: usize = 64;
/// Logits below which a second thread costs more than it does.
const SPREAD: usize = 1 << 15;

/// The random stream of one sample of one row.
pub(super) fn stream(seed: u64, id: &str, sample: usize) -> ChaCha12Rng {
    random::stream("generate", seed, &format!("{sample} {id}"))
}

/// Draws one token for each of `streams` from row `of[i]` of the logits; `None` where they are not finite.
pub(super) fn draw_all<'a>(
    logits: &Tensor,
    of: &[usize],
    streams: impl Iterator<Item = &'a mut ChaCha12Rng>,
    options: &GenerateOptions,
) -> Result<Vec<Option<u32>>> {
    let logits = logits.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
    let tasks: Vec<(usize, &mut ChaCha12Rng)> = of.iter().copied().zip(streams).collect();
    with_rows([&logits], |[logits]| {
        let tasks = tasks.into_par_iter().with_min_len(SPREAD.div_ceil(logits.width));
        let one = |weights: &mut Weights, (row, stream)| draw(logits.row(row), options, stream, weights);
        Ok(tasks.map_init(Weights::default, one).collect())
    })
}

/// Unnormalized probabilities, kept from row to row for their memory alone.
#[derive(Default)]
struct Weights {
    of: Vec<f32>,
    /// Sums of [`BLOCK`]s.
    blocks: Vec<f64>,
}

/// Source: nucleus sampling, arXiv 1904.09751; the first token that reaches `top_p` is kept, as in transformers.
fn draw(
    logits: &[f32],
    options: &GenerateOptions,
    stream: &mut ChaCha12Rng,
    weights: &mut Weights,
) -> Option<u32> {
    if options.temperature == 0.0 {
        // Ties go to the smaller id, as torch.argmax does on the processor.
        let best =
            logits.iter().enumerate().fold(0, |best, (id, x)| if *x > logits[best] { id } else { best });
        return logits.iter().all(|x| x.is_finite()).then_some(best as u32);
    }
    Arch::new().dispatch(Weigh { logits, scale: (1.0 / options.temperature) as f32, weights });
    let total: f64 = weights.blocks.iter().sum();
    if !total.is_finite() {
        return None;
    }
    if options.top_p < 1.0 {
        return Some(nucleus(&weights.of, total, options.top_p, stream));
    }
    let mut left = stream.r#gen::<f64>() * total;
    for (block, (sum, weights)) in weights.blocks.iter().zip(weights.of.chunks(BLOCK)).enumerate() {
        if left >= *sum {
            left -= sum;
            continue;
        }
        for (id, weight) in weights.iter().enumerate() {
            left -= f64::from(*weight);
            if left < 0.0 {
                return Some((block * BLOCK + id) as u32);
            }
        }
    }
    // Rounding left a little: the last token that is not impossible.
    weights.of.iter().rposition(|weight| *weight > 0.0).map(|id| id as u32)
}

/// Draws from the fewest tokens that together hold `top_p` of the `total`.
fn nucleus(weights: &[f32], total: f64, top_p: f64, stream: &mut ChaCha12Rng) -> u32 {
    // All tokens below this hold less than what is left out, so none of them is needed.
    let least = (1.0 - top_p) * total / weights.len() as f64 * 0.999;
    let pairs = weights.iter().map(|weight| f64::from(*weight)).zip(0_u32..);
    let mut kept: Vec<(f64, u32)> = pairs.filter(|(weight, _)| *weight >= least).collect();
    kept.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let (limit, mut sum) = (top_p * total, 0.0);
    let needed = kept.iter().take_while(|(weight, _)| {
        let before = sum;
        sum += weight;
        before < limit
    });
    let n = needed.count().max(1);
    kept.truncate(n);
    let mut left = stream.r#gen::<f64>() * kept.iter().map(|(weight, _)| weight).sum::<f64>();
    for (weight, id) in &kept {
        left -= weight;
        if left < 0.0 {
            return *id;
        }
    }
    kept[n - 1].1
}

/// `exp(scale · (x − max))` and its sums by block.
struct Weigh<'a> {
    logits: &'a [f32],
    scale: f32,
    weights: &'a mut Weights,
}

impl WithSimd for Weigh<'_> {
    type Output = ();

    #[expect(clippy::inline_always, reason = "compiled for its vectors only inside the dispatch")]
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { logits, scale, weights } = self;
        let top = kernels::top(logits);
        weights.of.resize(logits.len(), 0.0);
        for (weight, x) in weights.of.iter_mut().zip(logits) {
            *weight = kernels::exp((*x - top) * scale);
        }
        let block = |weights: &[f32]| {
            let (lanes, rest) = weights.as_chunks::<16>();
            let mut sums = [0.0_f32; 16];
            for lanes in lanes {
                for (sum, weight) in sums.iter_mut().zip(lanes) {
                    *sum += weight;
                }
            }
            sums.iter().chain(rest).map(|x| f64::from(*x)).sum::<f64>()
        };
        weights.blocks.clear();
        weights.blocks.extend(weights.of.chunks(BLOCK).map(block));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(temperature: f64, top_p: f64) -> GenerateOptions {
        GenerateOptions { temperature, top_p, ..GenerateOptions::default() }
    }

    #[test]
    fn draws_follow_temperature_and_top_p() {
        let logits = [0.0, 2.0, 1.0, 2.0];
        let count = |temperature, top_p| {
            let mut stream = stream(7, "row", 0);
            let mut counts = [0_u32; 4];
            for _ in 0..4000 {
                let drawn = draw(&logits, &options(temperature, top_p), &mut stream, &mut Weights::default());
                counts[drawn.unwrap() as usize] += 1;
            }
            counts
        };
        assert_eq!(count(0.0, 1.0), [0, 4000, 0, 0]);
        for temperature in [1.0, 0.5_f64] {
            let weights = logits.map(|x: f32| (f64::from(x) / temperature).exp());
            let total: f64 = weights.iter().sum();
            for (found, expected) in count(temperature, 1.0).into_iter().zip(weights) {
                let (found, expected) = (f64::from(found) / 4000.0, expected / total);
                assert!((found - expected).abs() < 0.03, "{temperature}: {found} {expected}");
            }
        }
        // The two likeliest hold 0.80 of the probability.
        let [a, b, c, d] = count(1.0, 0.7);
        assert!(a == 0 && c == 0 && b > 1500 && d > 1500, "{a} {b} {c} {d}");
    }

    #[test]
    fn every_block_of_a_long_vocabulary_is_drawn_as_often_as_it_weighs() {
        let n = 300;
        let logits: Vec<f32> = (0..n).map(|id| (id as f32 * 0.37).sin() * 2.0).collect();
        let weights: Vec<f64> = logits.iter().map(|x| f64::from(*x).exp()).collect();
        let total: f64 = weights.iter().sum();
        let (mut stream, mut scratch) = (stream(3, "row", 0), Weights::default());
        let mut counts = vec![0.0; n];
        let draws = 60_000;
        for _ in 0..draws {
            let id = draw(&logits, &options(1.0, 1.0), &mut stream, &mut scratch).unwrap();
            counts[id as usize] += 1.0;
        }
        // Pearson's statistic of 299 degrees of freedom: 1 in 10⁵ lies above 412.
        let distance: f64 = counts
            .iter()
            .zip(&weights)
            .map(|(count, weight): (&f64, _)| {
                let expected = weight / total * f64::from(draws);
                (count - expected).powi(2) / expected
            })
            .sum();
        assert!(distance < 412.0, "{distance}");
        // Twin: the same draws are no sample of another temperature.
        let hot: Vec<f64> = logits.iter().map(|x| (f64::from(*x) / 1.1).exp()).collect();
        let total: f64 = hot.iter().sum();
        let gap = |(count, weight): (&f64, &f64)| {
            let expected = weight / total * f64::from(draws);
            (count - expected).powi(2) / expected
        };
        assert!(counts.iter().zip(&hot).map(gap).sum::<f64>() > 412.0);
    }

    #[test]
    fn the_nucleus_is_found_without_the_rare() {
        let logits: Vec<f32> = (0..1000).map(|id| -((id * 7 % 1000) as f32) * 0.05).collect();
        let mut sorted: Vec<f64> = logits.iter().map(|x| f64::from(*x).exp()).collect();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let total: f64 = sorted.iter().sum();
        let needed = |top_p: f64| {
            let mut sum = 0.0;
            1 + sorted.iter().position(|weight| (sum += weight, sum >= top_p * total).1).unwrap()
        };
        for top_p in [0.1, 0.5, 0.9, 0.999] {
            let (mut stream, mut scratch) = (stream(5, "row", 0), Weights::default());
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..20_000 {
                seen.insert(draw(&logits, &options(1.0, top_p), &mut stream, &mut scratch).unwrap());
            }
            let rarest = seen.iter().map(|id| id * 7 % 1000).max().unwrap() as usize;
            assert!(rarest < needed(top_p), "{top_p}: {rarest} {}", needed(top_p));
            assert!(seen.len() * 4 > needed(top_p) * 3, "{top_p}: {} {}", seen.len(), needed(top_p));
        }
    }

    #[test]
    fn what_is_not_finite_draws_nothing() {
        for bad in [f32::NAN, f32::INFINITY] {
            for (temperature, top_p) in [(0.0, 1.0), (1.0, 1.0), (1.0, 0.5)] {
                let options = options(temperature, top_p);
                let one = |logits: &[f32]| {
                    draw(logits, &options, &mut stream(1, "row", 0), &mut Weights::default())
                };
                assert_eq!(one(&[0.0, bad, 1.0]), None, "{bad} {temperature} {top_p}");
                assert!(one(&[0.0, 2.0, 1.0]).is_some());
            }
        }
    }

    #[test]
    fn streams_have_names() {
        let first = |seed, id, sample| stream(seed, id, sample).r#gen::<u64>();
        assert_eq!(first(1, "a", 0), first(1, "a", 0));
        for other in [first(1, "b", 0), first(2, "a", 0), first(1, "a", 1)] {
            assert_ne!(first(1, "a", 0), other);
        }
        assert_ne!(first(1, "1 a", 0), first(1, "a", 1));
    }
}
