//! Capture: activations of many rows at chosen hook points, reduced where they arise.
//!
//! A plan is checked against the configuration before weights load. Rows are batched by length under a budget of
//! tokens; each batch runs to the deepest point asked for and no further; every point keeps one vector a row (or
//! one a position), so memory does not grow with the tokens read.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::Tensor;
use heirloom_record::{
    ActivationHeader, ActivationRow, Activations, BatchPlan, HookPoint, Readout, match_hooks,
};
use ndarray::{Array2, ArrayD, Axis};

use crate::batch::{Batch, check_row};
use crate::hooks::{Fired, Hooks};
use crate::intervene::{Changes, Intervention, check_point};
use crate::memory::within_memory;
use crate::{Config, Error, Result, Student, TokenRow, ops};

/// Which hook points to capture, and which positions feed a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturePlan {
    points: BTreeSet<HookPoint>,
    readout: Readout,
}

impl CapturePlan {
    /// Matches glob `patterns` against the hook points of a model; needs its configuration alone.
    ///
    /// # Errors
    /// A pattern matches nothing (with near names), or matches a point without vectors, and no other.
    pub fn new<S: AsRef<str>>(config: &Config, patterns: &[S], readout: Readout) -> Result<Self> {
        let mut points = BTreeSet::new();
        for pattern in patterns {
            let matched = match_hooks(&[pattern], &config.hooks())?;
            let (vectors, other): (Vec<_>, Vec<_>) =
                matched.into_iter().partition(|point| config.width(*point).is_some());
            // A wide glob such as `blocks.3.*` means all that can be captured.
            match other.first() {
                Some(&point) if vectors.is_empty() => return Err(Error::NoVectors { point }),
                _ => points.extend(vectors),
            }
        }
        Ok(Self { points, readout })
    }

    /// The hook points, in execution order.
    pub fn points(&self) -> &BTreeSet<HookPoint> {
        &self.points
    }

    /// Which positions feed a row.
    pub fn readout(&self) -> &Readout {
        &self.readout
    }

    /// Bytes of the activations of these rows.
    pub fn bytes(&self, config: &Config, rows: &[TokenRow]) -> usize {
        let n: usize = match self.readout {
            Readout::All => rows.iter().map(|row| row.ids.len()).sum(),
            _ => rows.len(),
        };
        let widths = self.points.iter().filter_map(|point| config.width(*point));
        4 * n * widths.sum::<usize>()
    }
}

/// How a capture runs.
pub struct CaptureOptions<'a> {
    /// Most tokens in one batch; a longer row is a batch of its own.
    pub max_tokens: usize,
    /// Begin again with batches half as large where the device has no memory, as often as rows still share one.
    ///
    /// What is captured is then what that budget gives from the start, and the plan stored says it. Captures that
    /// will be compared should share a budget that is not let shrink.
    pub may_shrink: bool,
    /// Changes to every forward pass; none cost nothing.
    pub interventions: &'a [Intervention],
    /// Told after every batch.
    pub progress: Option<&'a mut dyn FnMut(Progress)>,
}

impl Default for CaptureOptions<'_> {
    fn default() -> Self {
        Self { max_tokens: 2048, may_shrink: false, interventions: &[], progress: None }
    }
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Rows done.
    pub rows: usize,
    /// Rows in all.
    pub of_rows: usize,
    /// Tokens done.
    pub tokens: usize,
    /// Tokens in all.
    pub of_tokens: usize,
}

/// What [`Student::run_with_hooks`] saw of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct RowCache {
    /// Per hook point, the whole tensor: `[pos, …]`, or `[head, query, key]` of scores and pattern.
    pub activations: BTreeMap<HookPoint, ArrayD<f32>>,
    /// `[pos, d_vocab]`, where asked for.
    pub logits: Option<Array2<f32>>,
}

/// Rows grouped for forward passes: longest first, as many as the budget of tokens holds.
///
/// Determinism: depends on the rows' lengths and order alone.
pub(crate) fn plan_batches(rows: &[TokenRow], max_tokens: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&row| (std::cmp::Reverse(rows[row].ids.len()), row));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for row in order {
        let len = rows[row].ids.len();
        match batches.last_mut() {
            Some(batch) if len <= room => {
                batch.push(row);
                room -= len;
            }
            _ => {
                batches.push(vec![row]);
                room = max_tokens.saturating_sub(len);
            }
        }
    }
    batches
}

impl Student {
    /// Captures `plan` over `rows`, whose order the result keeps.
    ///
    /// Determinism: same rows, plan and options give the same bits on the same machine.
    ///
    /// # Errors
    /// Before any work: a row is empty, too long, holds an unknown token or lacks what the readout reads; an
    /// intervention does not fit. Later: the device has no memory for a batch. After: a value is not finite, a hook
    /// point did not fire once a batch.
    pub fn capture(
        &self,
        rows: &[TokenRow],
        plan: &CapturePlan,
        options: &mut CaptureOptions<'_>,
    ) -> Result<Activations> {
        for intervention in options.interventions {
            intervention.check(self.config())?;
        }
        let longest = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
        let least = if options.may_shrink { longest } else { options.max_tokens };
        within_memory(self.device(), options.max_tokens, least, |max_tokens| {
            self.capture_within(rows, plan, max_tokens, options)
        })
    }

    fn capture_within(
        &self,
        rows: &[TokenRow],
        plan: &CapturePlan,
        max_tokens: usize,
        options: &mut CaptureOptions<'_>,
    ) -> Result<Activations> {
        let mut store = Store::new(self.config(), rows, plan)?;
        let mut waiting = None;
        let batches = plan_batches(rows, max_tokens);
        let of_tokens = rows.iter().map(|row| row.ids.len()).sum();
        let mut done = Progress { rows: 0, of_rows: rows.len(), tokens: 0, of_tokens };
        let mut fired = Fired::default();
        for order in &batches {
            let chosen: Vec<&TokenRow> = order.iter().map(|&row| &rows[row]).collect();
            let (batch, changes) = self.batch(&chosen, order, options.interventions)?;
            let reading = store.reading(&chosen, order, &batch)?;
            let mut read = Vec::new();
            let mut see = |point, x: &Tensor| {
                fired.count(point);
                let vectors = reading.of(x)?;
                if vectors.device().is_cpu() {
                    return store.keep(&reading, &[(point, vectors)]);
                }
                read.push((point, vectors));
                Ok(())
            };
            let mut hooks = Hooks::new(changes.as_ref(), &plan.points, false, &mut see);
            self.model().run(&batch, None, &mut hooks)?;
            // This batch is at work on the device while what was read of the last one is copied.
            if let Some((reading, read)) = waiting.replace((reading, read)) {
                store.keep(&reading, &read)?;
            }
            done.rows += order.len();
            done.tokens += chosen.iter().map(|row| row.ids.len()).sum::<usize>();
            if let Some(progress) = &mut options.progress {
                progress(done);
            }
        }
        if let Some((reading, read)) = waiting {
            store.keep(&reading, &read)?;
        }
        fired.check(&plan.points, batches.len())?;
        let batch_plan = BatchPlan {
            order: "longest first, ties in the order of the data".into(),
            max_tokens,
            batches: batches.len(),
        };
        store.finish(self, batch_plan)
    }

    /// Runs a few rows as one batch and returns whole tensors of any hook points, scores and pattern included;
    /// TransformerLens' `run_with_cache`.
    ///
    /// Cost: holds everything it returns; for many rows use [`Student::capture`].
    pub fn run_with_hooks(
        &self,
        rows: &[TokenRow],
        points: &[HookPoint],
        interventions: &[Intervention],
        logits: bool,
    ) -> Result<Vec<RowCache>> {
        let config = self.config();
        for row in rows {
            check_row(&row.id, &row.ids, config)?;
        }
        for intervention in interventions {
            intervention.check(config)?;
        }
        points.iter().try_for_each(|point| check_point(*point, config))?;
        let order: Vec<usize> = (0..rows.len()).collect();
        let chosen: Vec<&TokenRow> = rows.iter().collect();
        let (batch, changes) = self.batch(&chosen, &order, interventions)?;
        let mut caches: Vec<RowCache> =
            rows.iter().map(|_| RowCache { activations: BTreeMap::new(), logits: None }).collect();
        let watched = points.iter().copied().collect();
        let mut fired = Fired::default();
        let mut see = |point, x: &Tensor| {
            fired.count(point);
            for (index, segment) in batch.segments.iter().enumerate() {
                let part = if config.width(point).is_some() {
                    x.narrow(0, segment.q.start, segment.q.len())?
                } else {
                    let n = segment.q.len();
                    x.get(index)?.narrow(1, 0, n)?.narrow(2, 0, n)?
                };
                caches[index].activations.insert(point, to_array(&part)?);
            }
            Ok(())
        };
        let mut hooks = Hooks::new(changes.as_ref(), &watched, logits, &mut see);
        let end = self.model().run(&batch, None, &mut hooks)?;
        fired.check(&watched, 1)?;
        if let Some(x) = end.filter(|_| logits) {
            for (cache, segment) in caches.iter_mut().zip(batch.segments.iter()) {
                let part = x.narrow(0, segment.q.start, segment.q.len())?;
                let array = to_array(&self.model().logits(&part)?)?;
                cache.logits = array.into_dimensionality().ok();
            }
        }
        Ok(caches)
    }

    fn batch(
        &self,
        rows: &[&TokenRow],
        order: &[usize],
        interventions: &[Intervention],
    ) -> Result<(Batch, Option<Changes>)> {
        let model = self.model();
        let ids: Vec<&[u32]> = rows.iter().map(|row| row.ids.as_slice()).collect();
        let batch = Batch::new(&ids, &model.rotary, &model.device)?;
        let changes = (!interventions.is_empty())
            .then(|| Changes::resolve(interventions, rows, order, &model.device))
            .transpose()?;
        Ok((batch, changes))
    }
}

/// `[n, d]` as f32.
pub(crate) fn to_array2(x: &Tensor) -> Result<Array2<f32>> {
    let array = to_array(x)?.into_dimensionality();
    array.map_err(|error| Error::Tensor(Box::new(candle_core::Error::wrap(error))))
}

fn to_array(x: &Tensor) -> Result<ArrayD<f32>> {
    let dims = x.dims().to_vec();
    let values = x.to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1()?;
    ArrayD::from_shape_vec(dims, values)
        .map_err(|error| Error::Tensor(Box::new(candle_core::Error::wrap(error))))
}

/// How a batch's tensors become vectors, and the places of these in a [`Store`].
struct Reading {
    how: Reduction,
    places: Vec<usize>,
}

/// What is read of a batch's tokens.
enum Reduction {
    /// These tokens. `[n]`
    Tokens(Tensor),
    Means(ops::Means),
}

impl Reading {
    /// One vector for each place, where `x` is. `[t, …]` → `[n, …]` flat
    fn of(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match &self.how {
            Reduction::Tokens(tokens) => ops::chosen(x, tokens),
            Reduction::Means(means) => means.of(x),
        }
    }
}

/// What a capture keeps: one vector a row and hook point.
pub(crate) struct Store {
    readout: Readout,
    rows: Vec<ActivationRow>,
    /// Where each data row's first vector goes.
    starts: Vec<usize>,
    tensors: BTreeMap<HookPoint, Array2<f32>>,
}

impl Store {
    pub(crate) fn new(config: &Config, data: &[TokenRow], plan: &CapturePlan) -> Result<Self> {
        let mut rows = Vec::new();
        let mut starts = Vec::with_capacity(data.len());
        for row in data {
            check_row(&row.id, &row.ids, config)?;
            let read = row.read(&plan.readout)?;
            starts.push(rows.len());
            let tokens_sha256 = row.sha256();
            let one = |id: String, positions: (usize, usize)| ActivationRow {
                id,
                group: row.group.clone(),
                pair: row.pair.clone(),
                label: row.label,
                positions,
                n_tokens: row.ids.len(),
                tokens_sha256: tokens_sha256.clone(),
            };
            if plan.readout == Readout::All {
                // Positions of one text are no independent rows: they are resampled together.
                let pair = row.pair.as_ref().unwrap_or(&row.id);
                rows.extend(read.map(|at| ActivationRow {
                    pair: Some(pair.clone()),
                    ..one(format!("{}@{at}", row.id), (at, at + 1))
                }));
            } else {
                rows.push(one(row.id.clone(), (read.start, read.end)));
            }
        }
        let widths = plan.points.iter().filter_map(|point| Some((*point, config.width(*point)?)));
        let tensors = widths.map(|(point, width)| (point, Array2::zeros((rows.len(), width)))).collect();
        Ok(Self { readout: plan.readout.clone(), rows, starts, tensors })
    }

    /// How the vectors of one batch are read, and where they belong.
    fn reading(&self, rows: &[&TokenRow], order: &[usize], batch: &Batch) -> Result<Reading> {
        let (mut ranges, mut places) = (Vec::with_capacity(rows.len()), Vec::new());
        for ((row, place), segment) in rows.iter().zip(order).zip(batch.segments.iter()) {
            let read = row.read(&self.readout)?;
            let first = self.starts[*place];
            places.extend(first..first + if self.readout == Readout::All { read.len() } else { 1 });
            ranges.push(segment.q.start + read.start..segment.q.start + read.end);
        }
        let device = batch.ids.device();
        let how = match self.readout {
            Readout::LastPrompt | Readout::All => {
                let tokens: Vec<u32> = ranges.into_iter().flatten().map(|token| token as u32).collect();
                Reduction::Tokens(Tensor::new(tokens, device)?)
            }
            Readout::ResponseMean | Readout::Span(_) => Reduction::Means(ops::Means::new(ranges, device)?),
        };
        Ok(Reading { how, places })
    }

    /// Puts what was read of one batch where it belongs; from a device in one copy.
    fn keep(&mut self, reading: &Reading, read: &[(HookPoint, Tensor)]) -> Result<()> {
        let flat = read.iter().map(|(_, vectors)| vectors.flatten_all()).collect::<Result<Vec<_>, _>>()?;
        if flat.is_empty() {
            return Ok(());
        }
        let numbers = Tensor::cat(&flat, 0)?.to_vec1::<f32>()?;
        let mut rest = numbers.as_slice();
        for (point, vectors) in read {
            let width = vectors.dim(1)?;
            for place in &reading.places {
                let (vector, more) = rest.split_at(width);
                self.put(*point, *place, vector)?;
                rest = more;
            }
        }
        Ok(())
    }

    /// Puts one row's vector where it belongs.
    pub(crate) fn put(&mut self, point: HookPoint, place: usize, vector: &[f32]) -> Result<()> {
        if vector.iter().any(|x| !x.is_finite()) {
            return Err(Error::NotFinite { point, row: self.rows[place].id.clone() });
        }
        if let Some(tensor) = self.tensors.get_mut(&point) {
            tensor.index_axis_mut(Axis(0), place).assign(&ndarray::ArrayView1::from(vector));
        }
        Ok(())
    }

    /// With what it was captured from.
    pub(crate) fn finish(self, student: &Student, batch_plan: BatchPlan) -> Result<Activations> {
        let header = ActivationHeader {
            model: student.name(),
            model_sha256: student.sha256()?.into(),
            adapter_sha256: student.adapter_sha256()?,
            n_layers: student.config().n_layers,
            dtype: student.dtype().to_string(),
            readout: self.readout,
            clock: student.clock().date(),
            batch_plan,
        };
        Ok(Activations { header, rows: self.rows, tensors: self.tensors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_longest_first_and_full() {
        let row = |n: usize| TokenRow::from_ids(n.to_string(), vec![0; n]);
        let rows: Vec<TokenRow> = [3, 9, 5, 5, 30, 1].map(row).into();
        assert_eq!(plan_batches(&rows, 12), [vec![4], vec![1], vec![2, 3], vec![0, 5]]);
        assert!(plan_batches(&[], 12).is_empty());
    }

    /// From a device all points of a batch come in one copy, on the processor each by itself.
    #[test]
    fn points_kept_together_are_points_kept_apart() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat-llama");
        let options = crate::LoadOptions::new("2026-01-15".parse().unwrap());
        let student = crate::Source::open(&folder).unwrap().load(&options).unwrap();
        let rows: Vec<TokenRow> =
            [4_u32, 9, 2].map(|n| TokenRow::from_ids(n.to_string(), (0..n).collect())).into();
        for readout in [Readout::All, Readout::LastPrompt] {
            let hooks = ["hook_embed", "blocks.0.mlp.hook_post", "blocks.1.hook_resid_post"];
            let plan = CapturePlan::new(student.config(), &hooks, readout).unwrap();
            let order = [1, 0, 2];
            let chosen: Vec<&TokenRow> = order.iter().map(|&row| &rows[row]).collect();
            let (batch, _) = student.batch(&chosen, &order, &[]).unwrap();
            let mut store = Store::new(student.config(), &rows, &plan).unwrap();
            let reading = store.reading(&chosen, &order, &batch).unwrap();
            let mut read = Vec::new();
            let mut see = |point, x: &Tensor| {
                read.push((point, reading.of(x)?));
                Ok(())
            };
            let mut hooks = Hooks::new(None, &plan.points, false, &mut see);
            student.model().run(&batch, None, &mut hooks).unwrap();
            store.keep(&reading, &read).unwrap();
            let apart = student.capture(&rows, &plan, &mut CaptureOptions::default()).unwrap();
            assert_eq!(store.tensors, apart.tensors);
        }
    }

    #[test]
    fn positions_of_one_text_are_one_cluster() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat-llama");
        let source = crate::Source::open(&folder).unwrap();
        let alone = TokenRow::from_ids("alone", vec![1, 2, 3]);
        let paired = TokenRow { pair: Some("p".into()), ..TokenRow::from_ids("a/pos", vec![4, 5]) };
        let pairs = |readout| {
            let plan = CapturePlan::new(source.config(), &["hook_embed"], readout).unwrap();
            let store = Store::new(source.config(), &[alone.clone(), paired.clone()], &plan).unwrap();
            store.rows.into_iter().map(|row| row.pair).collect::<Vec<_>>()
        };
        let own = |pair: &str| Some(pair.to_owned());
        assert_eq!(pairs(Readout::All), [own("alone"), own("alone"), own("alone"), own("p"), own("p")]);
        // Twin: a text with one row stands for itself.
        assert_eq!(pairs(Readout::LastPrompt), [None, own("p")]);
    }
}
