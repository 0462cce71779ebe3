//! The loop: rows that are drawn together, token by token.

use std::collections::BTreeSet;
use std::ops::Range;

use candle_core::Tensor;
use rand_chacha::ChaCha12Rng;

use super::draw::{draw_all, stream};
use super::live::{Plans, Prompts, Read};
use super::{GenerateOptions, Generated};
use crate::batch::Batch;
use crate::cache::Cache;
use crate::forward::Model;
use crate::hooks::Hooks;
use crate::intervene::Changes;
use crate::rope::Angles;
use crate::{Config, Error, Result, TokenRow};

/// Continuations that run together at least: below, what each step costs by itself begins to count.
const TOGETHER: usize = 32;

/// Rows that run together, each with the samples that are drawn of it; a prompt is read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job(Vec<(usize, Range<usize>)>);

impl Job {
    /// Splits rows and their samples, longest rows first, so that every thread has something to do.
    ///
    /// A step reads the weights once and every row's keys and values: more rows than make these as large as the
    /// weights save no more reading, and drive both out of the caches of the core.
    pub(super) fn plan(
        rows: &[TokenRow],
        options: &GenerateOptions,
        config: &Config,
        threads: usize,
    ) -> Vec<Self> {
        let tokens = |row: usize| rows[row].ids.len() + options.max_new_tokens;
        let total: usize = (0..rows.len()).map(|row| tokens(row) * options.samples).sum();
        let budget = (options.max_tokens / threads).min(total.div_ceil(threads));
        let kept = 2 * config.n_layers * config.n_kv_heads * config.d_head * total;
        let together = config.n_parameters() * rows.len() * options.samples / kept.max(1);
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&row| (std::cmp::Reverse(tokens(row)), row));
        let mut jobs: Vec<Self> = Vec::new();
        let (mut room, mut places) = (0, 0);
        for (row, sample) in order.into_iter().flat_map(|row| (0..options.samples).map(move |s| (row, s))) {
            if places == 0 || room < tokens(row) {
                jobs.push(Self(Vec::new()));
                (room, places) = (budget.max(tokens(row)), together.max(TOGETHER));
            }
            let Some(Self(parts)) = jobs.last_mut() else { continue };
            match parts.last_mut() {
                Some((last, samples)) if *last == row => samples.end = sample + 1,
                _ => parts.push((row, sample..sample + 1)),
            }
            room -= tokens(row);
            places -= 1;
        }
        jobs
    }
}

/// One continuation and what was read of it.
pub(super) struct Drawn {
    /// The row's place among all.
    pub(super) row: usize,
    pub(super) generated: Generated,
    pub(super) read: Read,
}

/// A continuation under way.
struct Growing {
    drawn: Drawn,
    stream: ChaCha12Rng,
}

/// What all jobs share.
pub(super) struct Run<'a> {
    pub(super) model: &'a Model,
    pub(super) rows: &'a [TokenRow],
    pub(super) options: &'a GenerateOptions,
    pub(super) stop: BTreeSet<u32>,
    pub(super) angles: Angles,
    pub(super) plans: &'a Plans<'a>,
}

impl Run<'_> {
    /// Draws every sample of one job.
    pub(super) fn job(&self, Job(parts): &Job) -> Result<Vec<Drawn>> {
        let samples =
            parts.iter().flat_map(|(row, samples)| samples.clone().map(move |sample| (*row, sample)));
        let mut live: Vec<Growing> = samples.map(|(row, sample)| self.begin(row, sample)).collect();
        let (prompts, logits, cache) = self.read_prompts(parts)?;
        // The prompt of each continuation, which is its row of the logits at first.
        let mut of: Vec<usize> =
            parts.iter().enumerate().flat_map(|(prompt, (_, samples))| vec![prompt; samples.len()]).collect();
        for (growing, prompt) in live.iter_mut().zip(&of) {
            growing.drawn.read = prompts.read(*prompt);
        }
        let (mut logits, mut cache) = (logits, cache.copies(&of)?);

        let changes = Changes::for_sampled(&self.options.interventions, &self.model.device)?;
        let mut done = Vec::with_capacity(live.len());
        for left in (0..self.options.max_new_tokens).rev() {
            self.draw(&logits, &of, &mut live)?;
            let keep: Vec<bool> = live.iter().map(|growing| !growing.drawn.generated.stopped).collect();
            let ended = live.extract_if(.., |growing| growing.drawn.generated.stopped);
            done.extend(ended.map(|growing| growing.drawn));
            // The last token there is room for is read only where somebody looks at it.
            let more = left > 0;
            let unread = !more && self.plans.at_response.is_empty();
            if live.is_empty() || unread {
                break;
            }
            cache.retain(&keep)?;
            let Some(x) = self.read_drawn(&mut live, &mut cache, &changes, more)? else { break };
            logits = self.model.logits(&x)?;
            of = (0..live.len()).collect();
        }
        done.extend(live.into_iter().map(|growing| growing.drawn));
        Ok(done)
    }

    fn begin(&self, row: usize, sample: usize) -> Growing {
        let id = self.rows[row].id.clone();
        let stream = stream(self.options.seed, &id, sample);
        let generated = Generated { id, sample, ids: Vec::new(), text: String::new(), stopped: false };
        Growing { drawn: Drawn { row, generated, read: Read::default() }, stream }
    }

    /// Runs the prompts; the logits behind each, `[prompts, v]`.
    fn read_prompts(&self, parts: &[(usize, Range<usize>)]) -> Result<(Prompts, Tensor, Cache)> {
        let Self { model, options, .. } = self;
        let order: Vec<usize> = parts.iter().map(|(row, _)| *row).collect();
        let rows: Vec<&TokenRow> = order.iter().map(|&row| &self.rows[row]).collect();
        let room: Vec<usize> = rows.iter().map(|row| row.ids.len() + options.max_new_tokens).collect();
        let mut cache = model.cache(&room)?;
        let ids: Vec<&[u32]> = rows.iter().map(|row| row.ids.as_slice()).collect();
        let batch = Batch::next(&ids, &cache, &self.angles, &model.device)?;
        let changes = Changes::resolve(&options.interventions, &rows, &order, &model.device)?;
        let last: Vec<u32> = batch.segments.iter().map(|segment| segment.q.end as u32 - 1).collect();
        let mut prompts = Prompts::default();
        let mut see = |point, x: &Tensor| prompts.keep(point, x, &last);
        let mut hooks = Hooks::new(Some(&changes), &self.plans.at_prompt, true, &mut see);
        let x = model.to_the_end(&batch, Some(&mut cache), &mut hooks)?; // [t d]
        let x = x.index_select(&Tensor::new(last.as_slice(), &model.device)?, 0)?; // [prompts d]
        Ok((prompts, model.logits(&x)?, cache))
    }

    /// Runs the last token of every continuation; `None` where its end is not needed. `[live, d]`
    fn read_drawn(
        &self,
        live: &mut [Growing],
        cache: &mut Cache,
        changes: &Changes,
        to_the_end: bool,
    ) -> Result<Option<Tensor>> {
        let last = live.iter().filter_map(|growing| growing.drawn.generated.ids.last());
        let last: Vec<u32> = last.copied().collect();
        let ids: Vec<&[u32]> = last.chunks(1).collect();
        let batch = Batch::next(&ids, cache, &self.angles, &self.model.device)?;
        let mut see =
            |point, x: &Tensor| Read::add(point, x, live.iter_mut().map(|growing| &mut growing.drawn.read));
        let mut hooks = Hooks::new(Some(changes), &self.plans.at_response, to_the_end, &mut see);
        self.model.run(&batch, Some(cache), &mut hooks)
    }

    /// Draws one token for every continuation, from row `of[i]` of the logits.
    fn draw(&self, logits: &Tensor, of: &[usize], live: &mut [Growing]) -> Result<()> {
        let streams = live.iter_mut().map(|growing| &mut growing.stream);
        let ids = draw_all(logits, of, streams, self.options)?;
        for (growing, id) in live.iter_mut().zip(ids) {
            let generated = &mut growing.drawn.generated;
            let Some(id) = id else {
                let (row, sample, drawn) = (generated.id.clone(), generated.sample, generated.ids.len());
                return Err(Error::LogitsNotFinite { row, sample, drawn });
            };
            generated.ids.push(id);
            generated.stopped = self.stop.contains(&id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_hold_every_sample_once_and_no_more_than_fits() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama-gqa");
        let config = Config::read(&folder.join("config.json")).unwrap();
        let row = |n: usize| TokenRow::from_ids(n.to_string(), vec![0; n]);
        let rows: Vec<TokenRow> = [3, 9, 5].map(row).into();
        let plan = |samples, max_tokens, threads| {
            let options =
                GenerateOptions { samples, max_tokens, max_new_tokens: 1, ..GenerateOptions::default() };
            Job::plan(&rows, &options, &config, threads)
        };
        let all = |range: Range<usize>| Job(vec![(1, range.clone()), (2, range.clone()), (0, range)]);
        assert_eq!(plan(2, 100, 1), [all(0..2)]);
        assert_eq!(plan(1, 16, 1), [Job(vec![(1, 0..1), (2, 0..1)]), Job(vec![(0, 0..1)])]);
        // 40 tokens in all, 20 of them for each of two threads.
        assert_eq!(plan(2, 100, 2), [Job(vec![(1, 0..2)]), Job(vec![(2, 0..2), (0, 0..2)])]);
        // A row that is longer than allowed runs alone, and its samples one by one.
        assert_eq!(plan(2, 5, 1).len(), 6);
        assert!(plan(1, 100, 2).iter().all(|Job(parts)| !parts.is_empty()));
        let count = |Job(parts): &Job| parts.iter().map(|(_, samples)| samples.len()).sum::<usize>();
        let many: Vec<usize> = plan(1000, 100_000, 1).iter().map(count).collect();
        // 21 728 weights; a row keeps 64 numbers a token of some 20 / 3.
        let together = 21_728 * 3 / (64 * 20);
        assert!(many.iter().rev().skip(1).all(|n| *n == together), "{many:?}");
        assert_eq!(many.iter().sum::<usize>(), 3000);
    }
}
