//! Generation: greedy or sampled continuations, with keys and values kept from token to token.
//!
//! Every row has its own random stream, named by the seed and the row's id, so neither the order of rows nor
//! the batches they share change what is drawn.

use std::collections::BTreeSet;

use candle_core::Tensor;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use sha2::{Digest, Sha256};

use crate::batch::{Batch, Cache, check_row};
use crate::capture::plan_batches;
use crate::forward::Model;
use crate::hooks::Hooks;
use crate::intervene::{Changes, Intervention};
use crate::{Error, Result, RowError, Student, TokenRow, ops};

/// How a continuation is drawn.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// Most tokens of a continuation.
    pub max_new_tokens: usize,
    /// Logits are divided by it; 0 takes the likeliest token.
    pub temperature: f64,
    /// Draws from the fewest tokens that together have this probability.
    pub top_p: f64,
    /// Root of every row's random stream.
    pub seed: u64,
    /// Tokens that end a continuation, besides those of the model.
    pub stop: Vec<u32>,
    /// Most tokens that rows running together may hold, prompts and continuations.
    pub max_tokens: usize,
    /// Changes to every forward pass. Those at all positions go on for sampled tokens; others change the prompt.
    pub interventions: Vec<Intervention>,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            max_new_tokens: 256,
            temperature: 0.0,
            top_p: 1.0,
            seed: 0,
            stop: Vec::new(),
            max_tokens: 16_384,
            interventions: Vec::new(),
        }
    }
}

impl GenerateOptions {
    fn check(&self) -> Result<()> {
        let setting = |key, expected, found: f64| Error::Setting { key, expected, found: found.to_string() };
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return Err(setting("temperature", "0 or more", self.temperature));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(setting("top_p", "above 0 and at most 1", self.top_p));
        }
        Ok(())
    }
}

/// One continuation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The row's id.
    pub id: String,
    /// The tokens drawn, the one that ended it included.
    pub ids: Vec<u32>,
    /// Their text without special tokens; empty where the model has no tokenizer.
    pub text: String,
    /// Whether a stop token ended it, not the limit.
    pub stopped: bool,
}

impl Student {
    /// Continues every row; results in the order of the rows.
    ///
    /// A row whose last message is the assistant's is continued behind it.
    pub fn generate(&self, rows: &[TokenRow], options: &GenerateOptions) -> Result<Vec<Generated>> {
        options.check()?;
        for intervention in &options.interventions {
            intervention.check(self.config())?;
        }
        for row in rows {
            check_row(&row.id, &row.ids, self.config())?;
            let (found, n_ctx) = (row.ids.len() + options.max_new_tokens, self.config().n_ctx);
            if found > n_ctx {
                return Err(Error::row(&row.id)(RowError::TooLong { found, n_ctx }));
            }
        }
        let mut out: Vec<Generated> = rows
            .iter()
            .map(|row| Generated { id: row.id.clone(), ids: Vec::new(), text: String::new(), stopped: false })
            .collect();
        if options.max_new_tokens == 0 {
            return Ok(out);
        }
        // Rows of a batch take room for their continuations too.
        let mean = rows.iter().map(|row| row.ids.len()).sum::<usize>() / rows.len().max(1);
        let budget = options.max_tokens * mean / (mean + options.max_new_tokens);
        let model = self.model().laid_out()?;
        for order in plan_batches(rows, budget) {
            self.generate_batch(&model, rows, &order, options, &mut out)?;
        }
        for generated in out.iter_mut().filter(|_| self.words().has_tokenizer()) {
            generated.text = self.words().decode(&generated.ids, false)?;
        }
        Ok(out)
    }

    fn generate_batch(
        &self,
        model: &Model,
        rows: &[TokenRow],
        order: &[usize],
        options: &GenerateOptions,
        out: &mut [Generated],
    ) -> Result<()> {
        let config = self.config();
        let stop: BTreeSet<u32> = options.stop.iter().chain(self.stop_tokens()).copied().collect();
        let capacities: Vec<usize> =
            order.iter().map(|&row| rows[row].ids.len() + options.max_new_tokens).collect();
        let heads = (config.n_kv_heads, config.d_head);
        let mut cache = Cache::new(&capacities, config.n_layers, heads, model.dtype, &model.device)?;
        let mut live: Vec<(usize, ChaCha12Rng)> =
            order.iter().map(|&row| (row, stream(options.seed, &rows[row].id))).collect();
        let chosen: Vec<&TokenRow> = order.iter().map(|&row| &rows[row]).collect();
        let mut changes = Changes::resolve(&options.interventions, &chosen, order, &model.device)?;
        let mut next: Vec<Vec<u32>> = chosen.iter().map(|row| row.ids.clone()).collect();
        for _ in 0..options.max_new_tokens {
            let ids: Vec<&[u32]> = next.iter().map(Vec::as_slice).collect();
            let batch = Batch::next(&ids, &cache, &model.frequencies, &model.device)?;
            let (nothing, mut see) = (BTreeSet::new(), |_, _: &Tensor| Ok(()));
            let mut hooks = Hooks::new(Some(&changes), &nothing, true, &mut see);
            let Some(x) = model.run(&batch, Some(&mut cache), &mut hooks)? else { return Ok(()) };
            let last: Vec<u32> = batch.segments.iter().map(|segment| segment.q.end as u32 - 1).collect();
            let last = x.index_select(&Tensor::new(last, &model.device)?, 0)?;
            let every: Vec<u32> = (0..live.len() as u32).collect();
            let logits = ops::vectors(&model.logits(&last)?, &every)?;
            let mut keep = Vec::with_capacity(live.len());
            next.clear();
            for ((row, stream), logits) in live.iter_mut().zip(&logits) {
                let id = draw(logits, options, stream);
                out[*row].ids.push(id);
                out[*row].stopped = stop.contains(&id);
                keep.push(!out[*row].stopped);
                if !out[*row].stopped {
                    next.push(vec![id]);
                }
            }
            if next.is_empty() {
                break;
            }
            cache.retain(&keep);
            let mut keep = keep.into_iter();
            live.retain(|_| keep.next().unwrap_or(false));
            changes = Changes::for_sampled(&options.interventions, &model.device)?;
        }
        Ok(())
    }
}

/// The random stream of one row.
fn stream(seed: u64, id: &str) -> ChaCha12Rng {
    let mut hasher = Sha256::new();
    hasher.update(b"heirloom generate");
    hasher.update(seed.to_le_bytes());
    hasher.update(id.as_bytes());
    ChaCha12Rng::from_seed(hasher.finalize().into())
}

/// One token from its logits.
///
/// Source: nucleus sampling, arXiv 1904.09751; the first token that reaches `top_p` is kept, as in transformers.
fn draw(logits: &[f32], options: &GenerateOptions, stream: &mut ChaCha12Rng) -> u32 {
    // Ties go to the smaller id, as torch.argmax does on the processor.
    let best = logits.iter().enumerate().fold(0, |best, (id, x)| if *x > logits[best] { id } else { best });
    if options.temperature == 0.0 {
        return best as u32;
    }
    let top = f64::from(logits[best]);
    let weight = |x: &f32| ((f64::from(*x) - top) / options.temperature).exp();
    let mut weights: Vec<(f64, u32)> = logits.iter().map(weight).zip(0..).collect();
    let mut total: f64 = weights.iter().map(|(weight, _)| weight).sum();
    if options.top_p < 1.0 {
        weights.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let limit = options.top_p * total;
        let mut sum = 0.0;
        let more = weights.iter().take_while(|(weight, _)| {
            let before = sum;
            sum += weight;
            before < limit
        });
        let n = more.count();
        weights.truncate(n.max(1));
        total = weights.iter().map(|(weight, _)| weight).sum();
    }
    let mut left = stream.r#gen::<f64>() * total;
    for (weight, id) in &weights {
        left -= weight;
        if left < 0.0 {
            return *id;
        }
    }
    weights.last().map_or(best as u32, |(_, id)| *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_temperature_and_top_p() {
        let logits = [0.0, 2.0, 1.0, 2.0];
        let count = |temperature, top_p| {
            let options = GenerateOptions { temperature, top_p, ..GenerateOptions::default() };
            let mut stream = stream(7, "row");
            let mut counts = [0_u32; 4];
            for _ in 0..4000 {
                counts[draw(&logits, &options, &mut stream) as usize] += 1;
            }
            counts
        };
        assert_eq!(count(0.0, 1.0), [0, 4000, 0, 0]);
        let [a, b, c, d] = count(1.0, 1.0).map(|n| f64::from(n) / 4000.0);
        let total = 1.0 + 2.0 * 2_f64.exp() + 1_f64.exp();
        for (found, expected) in [(a, 1.0), (b, 2_f64.exp()), (c, 1_f64.exp()), (d, 2_f64.exp())] {
            assert!((found - expected / total).abs() < 0.03, "{found} {}", expected / total);
        }
        // The two likeliest hold 0.80 of the probability.
        let [a, b, c, d] = count(1.0, 0.7);
        assert!(a == 0 && c == 0 && b > 1500 && d > 1500, "{a} {b} {c} {d}");
    }

    #[test]
    fn streams_have_names() {
        let first = |seed, id| stream(seed, id).r#gen::<u64>();
        assert_eq!(first(1, "a"), first(1, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
        assert_ne!(first(1, "a"), first(2, "a"));
    }
}
