//! Generation: greedy or sampled continuations, with keys and values kept from token to token.
//!
//! Every sample of a row has its own random stream, named by the seed, the row's id and the sample's number, and
//! every number of a forward pass depends on its own row alone. So in f32 on the processor neither the order of
//! rows, nor the batches they share, nor the threads change what is drawn.

mod draw;
mod live;
mod response;
mod run;

use std::collections::BTreeSet;

use heirloom_record::Activations;
use rayon::prelude::*;

use self::live::Plans;
use self::run::{Drawn, Job, Run};
use crate::batch::check_row;
use crate::intervene::Intervention;
use crate::rope::Angles;
use crate::{CapturePlan, Device, Dtype, Error, Result, RowError, Student, TokenRow};

/// How a continuation is drawn.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// Most tokens of a continuation.
    pub max_new_tokens: usize,
    /// Continuations of each row; more than one needs a temperature.
    pub samples: usize,
    /// Logits are divided by it; 0 takes the likeliest token.
    pub temperature: f64,
    /// Draws from the fewest tokens that together have this probability.
    pub top_p: f64,
    /// Root of every row's random streams.
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
            samples: 1,
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
    fn check(&self, student: &Student, rows: &[TokenRow]) -> Result<()> {
        let config = student.config();
        let setting = |key, expected, found: &dyn ToString| {
            Err(Error::Setting { key, expected, found: found.to_string() })
        };
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return setting("temperature", "0 or more", &self.temperature);
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return setting("top_p", "above 0 and at most 1", &self.top_p);
        }
        if self.max_new_tokens == 0 {
            return setting("max_new_tokens", "1 or more", &self.max_new_tokens);
        }
        if self.samples == 0 {
            return setting("samples", "1 or more", &self.samples);
        }
        if self.samples > 1 && self.temperature == 0.0 {
            return setting("samples", "1 at temperature 0, where all are alike", &self.samples);
        }
        if let Some(id) = self.stop.iter().find(|id| **id as usize >= config.d_vocab) {
            return setting("stop", "tokens of the model's vocabulary", id);
        }
        for intervention in &self.interventions {
            intervention.check(config)?;
        }
        let mut ids = BTreeSet::new();
        for row in rows {
            check_row(&row.id, &row.ids, config)?;
            let (n_tokens, n_ctx) = (row.ids.len(), config.n_ctx);
            if n_tokens + self.max_new_tokens > n_ctx {
                let max_new_tokens = self.max_new_tokens;
                return Err(Error::row(&row.id)(RowError::NoRoom { n_tokens, max_new_tokens, n_ctx }));
            }
            if !ids.insert(&row.id) {
                return Err(Error::row(&row.id)(RowError::DuplicateId));
            }
        }
        Ok(())
    }
}

/// One continuation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The row's id.
    pub id: String,
    /// Which of the row's continuations, counted from 0.
    pub sample: usize,
    /// The tokens drawn, the one that ended it included.
    pub ids: Vec<u32>,
    /// Their text without special tokens; empty where the model has no tokenizer.
    pub text: String,
    /// Whether a stop token ended it, not the limit.
    pub stopped: bool,
}

/// Continuations and what was read while they were drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratedWithCapture {
    /// As [`Student::generate`] returns them.
    pub generated: Vec<Generated>,
    /// One per plan, as [`Student::capture`] of [`Generated::row`] returns them but for the plan of batches.
    ///
    /// Readouts of the response lack the continuations in `no_response`.
    pub activations: Vec<Activations>,
    /// Row ids and samples of continuations that are a stop token and nothing else.
    pub no_response: Vec<(String, usize)>,
}

impl Student {
    /// Continues every row; results in the order of the rows, a row's samples behind one another.
    ///
    /// A row whose last message is the assistant's is continued behind it.
    ///
    /// Determinism: the same model, seed, row id, tokens and sample number give the same tokens, whatever other
    /// rows there are, in f32 on one kind of processor; fewer samples are the first of more.
    ///
    /// Cost: on the processor, a second copy of the weights while it runs.
    ///
    /// # Errors
    /// Before any work: a setting is outside its range, a row is empty, leaves no room for new tokens or shares
    /// its id with another. Later: logits are not finite.
    pub fn generate(&self, rows: &[TokenRow], options: &GenerateOptions) -> Result<Vec<Generated>> {
        Ok(self.generate_with_capture(rows, options, &[])?.generated)
    }

    /// [`Student::generate`], reading activations as tokens are drawn; the same tokens.
    ///
    /// Plans may read the last prompt token and the mean over the response. Replaying the continuations through
    /// [`Student::capture`] gives the same bits in f32 on the processor, at the price of another pass.
    ///
    /// # Errors
    /// As [`Student::generate`]; a plan reads something else; an activation is not finite.
    pub fn generate_with_capture(
        &self,
        rows: &[TokenRow],
        options: &GenerateOptions,
        plans: &[CapturePlan],
    ) -> Result<GeneratedWithCapture> {
        options.check(self, rows)?;
        let plans = Plans::new(plans)?;
        let longest = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
        let model = self.model().laid_out()?;
        let run = Run {
            model: &model,
            rows,
            options,
            stop: options.stop.iter().chain(self.stop_tokens()).copied().collect(),
            angles: Angles::new(&model.rotary, longest + options.max_new_tokens),
            plans: &plans,
        };
        // Elsewhere than in f32 on the processor the split shows in the last bits, so it is always the same one.
        let exact = self.device() == Device::Cpu && self.dtype() == Dtype::F32;
        let threads = if exact { rayon::current_num_threads() } else { 1 };
        let jobs = Job::plan(rows, options, self.config(), threads);
        let drawn: Result<Vec<Vec<Drawn>>> = if exact {
            rayon::scope(|_| jobs.par_iter().map(|job| run.job(job)).collect())
        } else {
            jobs.iter().map(|job| run.job(job)).collect()
        };
        let mut drawn: Vec<Drawn> = drawn?.into_iter().flatten().collect();
        drawn.sort_by_key(|drawn| (drawn.row, drawn.generated.sample));
        if self.words().has_tokenizer() {
            for Drawn { generated, .. } in &mut drawn {
                generated.text = self.words().decode(&generated.ids, false)?;
            }
        }
        let activations = plans.gather(self, rows, &drawn, options)?;
        let generated: Vec<Generated> = drawn.into_iter().map(|drawn| drawn.generated).collect();
        let silent = generated.iter().filter(|generated| generated.response().is_empty());
        let no_response = silent.map(|generated| (generated.id.clone(), generated.sample)).collect();
        Ok(GeneratedWithCapture { generated, activations, no_response })
    }
}
