//! The loop: batches, loss, gradients, update, checkpoints.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Tensor, Var};

use super::adamw::{self, AdamW};
use super::folder::Folder;
use super::log::{Observer, StepLog, Stop, TrainReport};
use super::loss::loss;
use super::options::TrainOptions;
use super::plan::Plan;
use super::rows::TrainRow;
use super::watch::{Projections, Watcher};
use crate::forward::Model;
use crate::hooks::Hooks;
use crate::layout::{Role, Weight};
use crate::{Error, Result, Student};

/// A training under way.
pub(crate) struct Trainer<'a> {
    rows: &'a [TrainRow],
    options: &'a TrainOptions,
    plan: Plan,
    /// The model whose weights are those that learn, as variables, beside those that do not.
    model: Model,
    /// Those that learn.
    learning: Vec<Weight>,
    optimizer: AdamW,
    /// Updates made.
    done: usize,
    report: TrainReport,
}

impl<'a> Trainer<'a> {
    /// Makes variables of the weights; from now on the student looks at them.
    pub(crate) fn new(
        student: &mut Student,
        rows: &'a [TrainRow],
        options: &'a TrainOptions,
    ) -> Result<Self> {
        let plan = check(student, rows, options)?;
        let model = match &options.lora {
            Some(lora) if student.model().lora().is_none() => lora.attach(student.model(), options.seed)?,
            _ => student.model().map(|weight| Ok(weight.tensor.clone()))?,
        };
        let model = model.map(|weight| {
            let variable = || Ok(Var::from_tensor(&weight.tensor)?.into_inner());
            if learns(weight, options) { variable() } else { Ok(weight.tensor.clone()) }
        })?;
        student.set_model(model.map(|weight| Ok(weight.tensor.detach()))?);
        if options.lora.is_none() {
            student.weights_changed();
        }
        let learning: Vec<Weight> =
            model.weights().iter().filter(|weight| learns(weight, options)).cloned().collect();
        let optimizer = AdamW::new(&learning, options)?;
        // Weights that do not learn are cast once.
        let dtype = options.dtype.candle();
        let cast = |weight: &Weight| {
            if learns(weight, options) {
                Ok(weight.tensor.clone())
            } else {
                Ok(weight.tensor.to_dtype(dtype)?)
            }
        };
        let model = model.map(cast)?.computing_in(dtype)?;
        Ok(Self { rows, options, plan, model, learning, optimizer, done: 0, report: TrainReport::default() })
    }

    /// The weights that learn.
    pub(crate) fn learning(&self) -> &[Weight] {
        &self.learning
    }

    pub(crate) fn optimizer(&self) -> &AdamW {
        &self.optimizer
    }

    /// Goes on behind the updates of `log` with these numbers.
    pub(crate) fn restore(
        &mut self,
        log: &[StepLog],
        weights: Vec<Vec<f32>>,
        state: Vec<[Vec<f32>; 2]>,
    ) -> Result<()> {
        for (weight, values) in self.learning.iter().zip(weights) {
            let tensor = Tensor::from_vec(values, weight.tensor.shape(), weight.tensor.device())?;
            Var::from_tensor(&weight.tensor)?.set(&tensor)?;
        }
        self.optimizer.restore(state)?;
        self.done = log.len();
        self.report.resumed_from = Some(log.len());
        for log in log {
            self.report.add(log);
        }
        Ok(())
    }

    /// Trains to the end.
    pub(crate) fn run(
        mut self,
        student: &mut Student,
        observer: &mut dyn Observer,
        mut folder: Option<&mut Folder>,
    ) -> Result<TrainReport> {
        let steps = self.plan.steps();
        let checkpoints: BTreeSet<usize> = self.options.checkpoints.iter().copied().chain([steps]).collect();
        let watchers = observer.watch().iter().map(|watch| Watcher::new(watch, student.model()));
        let watchers = watchers.collect::<Result<Vec<_>>>()?;
        let stopped = |step| move |source: Stop| Error::Observer { step, source };
        loop {
            let done = self.done;
            // What was done before the run was resumed is done.
            if self.report.resumed_from != Some(done) {
                if let Some(projections) = self.project(&watchers, student)? {
                    observer.projections(&projections).map_err(stopped(done))?;
                    if let Some(folder) = &mut folder {
                        folder.projections(&projections);
                    }
                }
                if checkpoints.contains(&done) {
                    self.show(student)?;
                    observer.checkpoint(done, student).map_err(stopped(done))?;
                    if let Some(folder) = &folder {
                        folder.checkpoint(done, &self, student)?;
                    }
                }
            }
            if done == steps {
                self.show(student)?;
                return Ok(self.report);
            }
            let log = self.step()?;
            self.report.add(&log);
            observer.step(&log).map_err(stopped(log.step))?;
            if let Some(folder) = &mut folder {
                folder.step(&log)?;
            }
        }
    }

    /// Lets the student see the weights as they are now.
    fn show(&self, student: &mut Student) -> Result<()> {
        // Where adapters are cast to the numbers of a forward pass, the casts are made anew.
        if self.model.lora().is_some() && student.model().dtype != DType::F32 {
            student.set_model(student.model().map(|weight| Ok(weight.tensor.clone()))?);
        }
        if self.options.lora.is_none() {
            student.weights_changed();
        }
        Ok(())
    }

    fn project(&self, watchers: &[Watcher], student: &mut Student) -> Result<Option<Projections>> {
        let (done, steps) = (self.done, self.plan.steps());
        let due: Vec<&Watcher> = watchers.iter().filter(|watcher| watcher.is_due(done, steps)).collect();
        if due.is_empty() {
            return Ok(None);
        }
        self.show(student)?;
        let mut means = BTreeMap::new();
        due.iter().try_for_each(|watcher| watcher.read(student.model(), &mut means))?;
        Ok(Some(Projections { step: done, means }))
    }

    /// One update of the weights.
    fn step(&mut self) -> Result<StepLog> {
        let (epoch, steps) = (self.plan.epoch_of(self.done), self.plan.steps());
        let all = self.rows;
        let batches = self.plan.batches(self.done).iter();
        let batches: Vec<Vec<&TrainRow>> =
            batches.map(|batch| batch.iter().map(|row| &all[*row]).collect()).collect();
        let rows: Vec<&TrainRow> = batches.concat();
        let loss_tokens = rows.iter().map(|row| row.loss_tokens().count()).sum();
        let step = self.done + 1;
        let diverged = |quantity, value: f64| {
            let rows = rows.iter().map(|row| row.id.clone()).collect();
            Err(Error::Diverged { step, quantity, value, rows })
        };
        let (loss, gradients) = self.gradients(&batches, loss_tokens)?;
        if !loss.is_finite() {
            return diverged("loss", loss);
        }
        let grad_norm = adamw::norm(&gradients)?;
        if !grad_norm.is_finite() {
            return diverged("gradient norm", grad_norm);
        }
        let lr = self.options.lr_at(self.done, steps);
        // Source: `clip_grad_norm_` of PyTorch.
        let clip = self.options.clip.map_or(1.0, |most| (most / (grad_norm + 1e-6)).min(1.0));
        self.optimizer.update(&self.learning, &gradients, (step, lr, clip))?;
        self.done = step;
        let tokens = rows.iter().map(|row| row.ids.len()).sum();
        Ok(StepLog { step, epoch, loss, lr, grad_norm, rows: rows.len(), tokens, loss_tokens })
    }

    /// Loss and gradients of all batches of an update, whose tokens with loss are `n` together.
    fn gradients(&self, batches: &[Vec<&TrainRow>], n: usize) -> Result<(f64, Vec<Tensor>)> {
        // Casts to other numbers belong to the graph, so they are made anew from the changed weights.
        let cast = (self.model.dtype != DType::F32)
            .then(|| self.model.computing_in(self.model.dtype))
            .transpose()?;
        let model = cast.as_ref().unwrap_or(&self.model);
        let (mut total, mut sums): (f64, Option<Vec<Tensor>>) = (0.0, None);
        for batch in batches {
            let (nothing, mut see) = (BTreeSet::new(), |_, _: &Tensor| Ok(()));
            let loss = loss(model, batch, n, &mut Hooks::new(None, &nothing, true, &mut see))?;
            total += f64::from(loss.to_scalar::<f32>()?);
            let mut store = loss.backward()?;
            let gradient = |weight: &Weight| match store.remove(&weight.tensor) {
                Some(gradient) => Ok(gradient.contiguous()?),
                None if weight.slot.idle => Ok(weight.tensor.zeros_like()?.detach()),
                None => Err(Error::NoGradient { weight: weight.slot.parts[0].0.clone() }),
            };
            let gradients = self.learning.iter().map(gradient).collect::<Result<Vec<_>>>()?;
            sums = Some(match sums {
                None => gradients,
                Some(sums) => {
                    let add = |(sum, gradient): (&Tensor, &Tensor)| Ok((sum + gradient)?);
                    sums.iter().zip(&gradients).map(add).collect::<Result<_>>()?
                }
            });
        }
        Ok((total, sums.unwrap_or_default()))
    }
}

/// Whether a weight is one of those that the training changes.
fn learns(weight: &Weight, options: &TrainOptions) -> bool {
    options.lora.is_none() || weight.slot.role == Role::Adapter
}

/// Refuses what cannot be trained, before anything is changed; the order of rows otherwise.
pub(crate) fn check(student: &Student, rows: &[TrainRow], options: &TrainOptions) -> Result<Plan> {
    options.check()?;
    for row in rows {
        crate::batch::check_row(&row.id, &row.ids, student.config())?;
        let outside = row.loss.iter().any(|range| range.end > row.ids.len());
        if outside || row.loss_tokens().next().is_none() {
            return Err(Error::row(&row.id)(crate::RowError::NothingToLearn));
        }
    }
    if student.model().lora().is_some_and(|there| options.lora.as_ref() != Some(there)) {
        return Err(Error::AdapterThere { model: student.name() });
    }
    let weights = student.model().weights().iter();
    if weights.filter(|weight| learns(weight, options)).any(|weight| weight.tensor.dtype() != DType::F32) {
        return Err(Error::WeightsNotF32 { found: student.dtype() });
    }
    Plan::new(rows, options)
}
