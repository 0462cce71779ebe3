//! Activations read while tokens are drawn.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};
use heirloom_record::{Activations, BatchPlan, HookPoint, Readout};

use super::GenerateOptions;
use super::run::{Drawn, Job};
use crate::cache::with_rows;
use crate::capture::Store;
use crate::{CapturePlan, Error, Result, Student, TokenRow, ops};

/// What is read, by when it is there.
pub(super) struct Plans<'a> {
    all: &'a [CapturePlan],
    /// Points read at the last prompt token.
    pub(super) at_prompt: BTreeSet<HookPoint>,
    /// Points read at every token of the response.
    pub(super) at_response: BTreeSet<HookPoint>,
}

/// What was read of one continuation.
#[derive(Default)]
pub(super) struct Read {
    prompt: BTreeMap<HookPoint, Vec<f32>>,
    /// Sums over the response.
    response: BTreeMap<HookPoint, Vec<f64>>,
}

impl<'a> Plans<'a> {
    pub(super) fn new(plans: &'a [CapturePlan]) -> Result<Self> {
        let known = |readout: &Readout| matches!(readout, Readout::LastPrompt | Readout::ResponseMean);
        if let Some(plan) = plans.iter().find(|plan| !known(plan.readout())) {
            return Err(Error::NotLive { readout: plan.readout().clone() });
        }
        let points = |readout| {
            let plans = plans.iter().filter(move |plan| *plan.readout() == readout);
            plans.flat_map(|plan| plan.points().iter().copied()).collect()
        };
        Ok(Self {
            all: plans,
            at_prompt: points(Readout::LastPrompt),
            at_response: points(Readout::ResponseMean),
        })
    }

    /// One store per plan, with a row for each continuation that has what the plan reads.
    pub(super) fn gather(
        &self,
        student: &Student,
        rows: &[TokenRow],
        drawn: &[Drawn],
        options: &GenerateOptions,
    ) -> Result<Vec<Activations>> {
        let batches = BatchPlan {
            order: "read as tokens were drawn, longest prompt first".into(),
            max_tokens: options.max_tokens,
            batches: Job::plan(rows, options, student.config(), 1).len(),
        };
        let gather = |plan: &CapturePlan| {
            let of_prompt = *plan.readout() == Readout::LastPrompt;
            let has = |drawn: &&Drawn| of_prompt || !drawn.generated.response().is_empty();
            let drawn: Vec<&Drawn> = drawn.iter().filter(has).collect();
            let replayed: Vec<TokenRow> =
                drawn.iter().map(|drawn| drawn.generated.row(&rows[drawn.row])).collect();
            let mut store = Store::new(student.config(), &replayed, plan)?;
            for (place, drawn) in drawn.iter().enumerate() {
                for point in plan.points() {
                    store.put(*point, place, &drawn.vector(*point, of_prompt)?)?;
                }
            }
            store.finish(student, batches.clone())
        };
        self.all.iter().map(gather).collect()
    }
}

impl Drawn {
    /// What was read at a point: at the last prompt token, or the mean over the response.
    fn vector(&self, point: HookPoint, of_prompt: bool) -> Result<Vec<f32>> {
        let n = self.generated.response().len();
        let mean = |sums: &Vec<f64>| sums.iter().map(|sum| (sum / n as f64) as f32).collect();
        let vector = if of_prompt {
            self.read.prompt.get(&point).cloned()
        } else {
            self.read.response.get(&point).map(mean)
        };
        vector.ok_or(Error::Fired { point, expected: if of_prompt { 1 } else { n }, found: 0 })
    }
}

impl Read {
    /// Adds one token of the response, a row of `x` for each of `reads`. Shapes: `x` `[rows, …]`.
    ///
    /// Sums are f64, in the order of the tokens, as those of a capture.
    pub(super) fn add<'a>(
        point: HookPoint,
        x: &Tensor,
        reads: impl Iterator<Item = &'a mut Self>,
    ) -> Result<()> {
        let x = x.flatten_from(1)?.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?;
        with_rows([&x], |[x]| {
            for (row, read) in reads.enumerate() {
                let sums = read.response.entry(point).or_insert_with(|| vec![0.0; x.width]);
                for (sum, x) in sums.iter_mut().zip(x.row(row)) {
                    *sum += f64::from(*x);
                }
            }
            Ok(())
        })
    }
}

/// What was read at the last tokens of prompts.
#[derive(Default)]
pub(super) struct Prompts(BTreeMap<HookPoint, Vec<Vec<f32>>>);

impl Prompts {
    /// Keeps the vectors of tokens `last`. Shapes: `x` `[t, …]`.
    pub(super) fn keep(&mut self, point: HookPoint, x: &Tensor, last: &[u32]) -> Result<()> {
        self.0.insert(point, ops::vectors(x, last)?);
        Ok(())
    }

    /// What was read of one prompt.
    pub(super) fn read(&self, prompt: usize) -> Read {
        let prompt = self.0.iter().map(|(point, vectors)| (*point, vectors[prompt].clone())).collect();
        Read { prompt, response: BTreeMap::new() }
    }
}
