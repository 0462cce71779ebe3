//! What a run would do, and what it would cost, without loading weights.

use std::fmt;

use heirloom_model::{CapturePlan, Dtype};
use heirloom_record::DataRow;
use heirloom_rollout::Behavior;
use serde::Serialize;

use crate::experiment::open;
use crate::{Result, RunOptions, Spec};

/// What a run would do, and what it would cost.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The experiment.
    pub experiment: String,
    /// The run's folder.
    pub out: String,
    /// The model.
    pub model: String,
    /// Its size.
    pub n_parameters: usize,
    /// What is captured, per store.
    pub stores: Vec<StorePlan>,
    /// Hook points captured.
    pub hooks: usize,
    /// Fits: behaviors × methods × hook points, without controls.
    pub fits: usize,
    /// Bytes of activations on disk.
    pub disk_bytes: usize,
    /// Bytes of memory at the fullest moment: weights, the largest store, one batch.
    pub memory_bytes: usize,
    /// Floating point operations of the forward passes.
    pub flops: f64,
}

/// One store of activations that a run would write.
#[derive(Clone, Debug, Serialize)]
pub struct StorePlan {
    /// Its name.
    pub name: String,
    /// Rows of data.
    pub rows: usize,
    /// Tokens read.
    pub tokens: usize,
    /// Bytes on disk.
    pub bytes: usize,
}

impl Plan {
    pub(crate) fn of(
        spec: &Spec,
        behaviors: &[Behavior],
        plan: &CapturePlan,
        options: &RunOptions,
    ) -> Result<Self> {
        let source = open(spec)?;
        let (config, words, clock) = (source.config(), source.words()?, spec.model.clock.parse()?);
        let store = |name: String, rows: Vec<DataRow>| -> Result<StorePlan> {
            let rows = rows.iter().map(|row| words.prepare(row, clock)).collect::<Result<Vec<_>, _>>()?;
            let tokens = rows.iter().map(|row| row.ids.len()).sum();
            Ok(StorePlan { name, rows: rows.len(), tokens, bytes: plan.bytes(config, &rows) })
        };
        let mut stores = vec![];
        for behavior in behaviors {
            stores.push(store(format!("{}-pairs", behavior.name), behavior.pair_rows())?);
            stores.push(store(format!("{}-topic", behavior.name), behavior.topic_rows())?);
        }
        let width = match spec.model.dtype.parse()? {
            Dtype::F32 => 4,
            Dtype::Bf16 | Dtype::F16 => 2,
        };
        // Stream, norm, attention and both MLP branches of one block live at once.
        let batch = spec.capture.batch_tokens * 4 * (8 * config.d_model + 3 * config.d_mlp);
        let largest = stores.iter().map(|store| store.bytes).max().unwrap_or(0);
        let tokens: usize = stores.iter().map(|store| store.tokens).sum();
        let per_token = 2 * (config.n_parameters() - config.d_vocab * config.d_model);
        Ok(Self {
            experiment: spec.name.clone(),
            out: options.out.display().to_string(),
            model: source.name(),
            n_parameters: config.n_parameters(),
            hooks: plan.points().len(),
            fits: behaviors.len() * spec.probe.methods.len() * plan.points().len(),
            disk_bytes: stores.iter().map(|store| store.bytes).sum(),
            memory_bytes: config.n_parameters() * width + largest + batch,
            flops: tokens as f64 * per_token as f64,
            stores,
        })
    }

    /// Tokens of all stores.
    pub fn tokens(&self) -> usize {
        self.stores.iter().map(|store| store.tokens).sum()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} → {}", self.experiment, self.out)?;
        let millions = self.n_parameters as f64 / 1e6;
        writeln!(f, "  model     {} ({millions:.0} M parameters)", self.model)?;
        for store in &self.stores {
            let (rows, tokens, size) = (store.rows, store.tokens, megabytes(store.bytes));
            writeln!(f, "  capture   {:<28} {rows:>6} rows {tokens:>8} tokens {size:>9}", store.name)?;
        }
        writeln!(f, "  probe     {} fits at {} hook points", self.fits, self.hooks)?;
        writeln!(f, "  disk      {}", megabytes(self.disk_bytes))?;
        write!(f, "  memory    about {}", megabytes(self.memory_bytes))
    }
}

fn megabytes(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
