//! What a run would do, and what it would cost, without loading weights.

use std::fmt;
use std::path::{Path, PathBuf};

use heirloom_model::{CapturePlan, Config, Dtype, LoadOptions, Source};
use heirloom_record::{DataRow, HookPoint, Site};
use heirloom_rollout::Behavior;
use serde::Serialize;

use crate::experiment::open;
use crate::stages::capture::{Captured, Capturer, Store};
use crate::stages::probe::Probed;
use crate::stages::transfer::Ready;
use crate::stages::{probe, transfer};
use crate::{Result, RunOptions, Spec, Stage};

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
    /// The stages that would run, in order.
    pub stages: Vec<&'static str>,
    /// What is captured, per store.
    pub stores: Vec<StorePlan>,
    /// Hook points captured.
    pub hooks: usize,
    /// What is fit, per behavior; empty when the run stops before.
    pub probes: Vec<ProbePlan>,
    /// Whether the scores between groups and behaviors are there already; none when the run stops before.
    pub transfer_kept: Option<bool>,
    /// Bytes of activations that are still to be written.
    pub disk_bytes: usize,
    /// Bytes of memory at the fullest moment: the largest store, and where one is captured, weights and a batch.
    pub memory_bytes: usize,
    /// Floating point operations of the forward passes that are still to be run, each to its deepest hook point.
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
    /// It is there already, made from the same model, rows and settings.
    pub kept: bool,
}

/// The probes of one behavior.
#[derive(Clone, Debug, Serialize)]
pub struct ProbePlan {
    /// The behavior.
    pub behavior: String,
    /// Methods × hook points, without controls.
    pub fits: usize,
    /// They are there already, made from the same activations and settings.
    pub kept: bool,
}

impl Plan {
    /// Cost: reads the weights' bytes once, to compare keys, where the run has captured before.
    pub(crate) fn of(
        spec: &Spec,
        behaviors: &[Behavior],
        plan: &CapturePlan,
        load: LoadOptions,
        options: &RunOptions,
    ) -> Result<Self> {
        let source = open(spec)?;
        let (model, config, words) = (source.name(), source.config().clone(), source.words()?);
        let done = Done::open(spec, plan, load, source, &options.out)?;
        let (mut stores, mut probes, mut ready) = (vec![], vec![], vec![]);
        for behavior in behaviors {
            let mut store = |kind, rows: Vec<DataRow>| -> Result<Option<Store>> {
                let name = format!("{}-{kind}", behavior.name);
                let found = done.store(&name, &rows);
                let rows =
                    rows.iter().map(|row| words.prepare(row, load.clock)).collect::<Result<Vec<_>, _>>()?;
                let tokens = rows.iter().map(|row| row.ids.len()).sum();
                let (bytes, kept) = (plan.bytes(&config, &rows), found.is_some());
                stores.push(StorePlan { name, rows: rows.len(), tokens, bytes, kept });
                Ok(found)
            };
            let found = (store("pairs", behavior.pair_rows())?, store("topic", behavior.topic_rows())?);
            let probed = if let (Some(pairs), Some(topic)) = found {
                done.ready(spec, behavior, Captured { pairs, topic })
            } else {
                None
            };
            let fits = spec.probe.methods.len() * plan.points().len();
            probes.push(ProbePlan { behavior: behavior.name.clone(), fits, kept: probed.is_some() });
            ready.extend(probed);
        }
        let transfer_kept = ready.len() == behaviors.len()
            && done.find("transfer", &spec.probe.headline, &transfer::key(&ready)).is_some();
        let missing = || stores.iter().filter(|store| !store.kept);
        let largest = stores.iter().map(|store| store.bytes).max().unwrap_or(0);
        let student = if missing().count() == 0 { 0 } else { student_bytes(spec, &config, load.dtype) };
        let tokens: usize = missing().map(|store| store.tokens).sum();
        Ok(Self {
            experiment: spec.name.clone(),
            out: options.out.display().to_string(),
            model,
            n_parameters: config.n_parameters(),
            stages: Stage::ALL.into_iter().filter(|&stage| stage <= options.until).map(Stage::name).collect(),
            hooks: plan.points().len(),
            probes: if options.until >= Stage::Probe { probes } else { vec![] },
            transfer_kept: (options.until >= Stage::Transfer).then_some(transfer_kept),
            disk_bytes: missing().map(|store| store.bytes).sum(),
            memory_bytes: student + largest,
            flops: tokens as f64 * flops_per_token(&config, plan),
            stores,
        })
    }
}

/// Weights, and the stream, norm, attention and both MLP branches of one block, which live at once.
fn student_bytes(spec: &Spec, config: &Config, dtype: Dtype) -> usize {
    let width = match dtype {
        Dtype::F32 => 4,
        Dtype::Bf16 | Dtype::F16 => 2,
    };
    config.n_parameters() * width + spec.capture.batch_tokens * 4 * (8 * config.d_model + 3 * config.d_mlp)
}

/// Two operations for each weight of the blocks up to the deepest hook point; attention over positions comes on top.
fn flops_per_token(config: &Config, plan: &CapturePlan) -> f64 {
    let embeddings = config.d_vocab * config.d_model * if config.tied { 1 } else { 2 };
    let block = (config.n_parameters() - embeddings) / config.n_layers;
    let blocks = match plan.points().last() {
        None | Some(HookPoint::Embed | HookPoint::PosEmbed) => 0,
        Some(HookPoint::Block { layer, site: Site::ResidPre }) => *layer,
        Some(HookPoint::Block { layer, .. }) => layer + 1,
        Some(HookPoint::LnFinalNormalized) => config.n_layers,
    };
    (2 * block * blocks) as f64
}

/// What earlier runs have left at the same place.
struct Done<'a> {
    out: &'a Path,
    /// None where nothing was captured, so that a first plan reads no weights.
    capturer: Option<Capturer<'a>>,
}

impl<'a> Done<'a> {
    fn open(
        spec: &'a Spec,
        plan: &'a CapturePlan,
        load: LoadOptions,
        source: Source,
        out: &'a Path,
    ) -> Result<Self> {
        let captured = out.join("capture").is_dir();
        let capturer = captured.then(|| Capturer::new(spec, plan, load, source)).transpose()?;
        Ok(Self { out, capturer })
    }

    fn store(&self, name: &str, rows: &[DataRow]) -> Option<Store> {
        let key = self.capturer.as_ref()?.key(rows);
        Some(Store { path: self.find("capture", name, &key)?, key })
    }

    fn ready<'b>(&self, spec: &Spec, behavior: &'b Behavior, captured: Captured) -> Option<Ready<'b>> {
        let key = probe::key(spec, behavior, &captured);
        let probed = Probed { path: self.find("probe", &behavior.name, &key)?, key };
        Some(Ready { behavior, captured, probed })
    }

    /// The artifact `NAME-KEY` of a stage, KEY the start of `key`. A plan opens no run: that would start and lock it.
    fn find(&self, stage: &str, name: &str, key: &str) -> Option<PathBuf> {
        let entries = std::fs::read_dir(self.out.join(stage)).ok()?;
        let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths.find(|path| {
            let found =
                path.file_name().and_then(|file| file.to_str()?.strip_prefix(name)?.strip_prefix('-'));
            found.is_some_and(|start| !start.is_empty() && key.starts_with(start))
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} → {}", self.experiment, self.out)?;
        writeln!(f, "  model     {} ({} parameters)", self.model, short(self.n_parameters))?;
        writeln!(f, "  stages    {}", self.stages.join(", "))?;
        for store in &self.stores {
            let (rows, tokens, size) = (store.rows, store.tokens, short(store.bytes));
            write!(f, "  capture   {:<28} {rows:>6} rows {tokens:>8} tokens {size:>9}B", store.name)?;
            writeln!(f, "{}", kept(store.kept))?;
        }
        for ProbePlan { behavior, fits, kept: probed } in &self.probes {
            let hooks = self.hooks;
            writeln!(f, "  probe     {behavior:<28} {fits:>6} fits at {hooks} hook points{}", kept(*probed))?;
        }
        if let Some(scored) = self.transfer_kept {
            writeln!(f, "  transfer  between groups and behaviors{}", kept(scored))?;
        }
        writeln!(f, "  disk      {}B", short(self.disk_bytes))?;
        write!(f, "  memory    about {}B", short(self.memory_bytes))
    }
}

fn kept(kept: bool) -> &'static str {
    if kept { "  kept" } else { "" }
}

/// `134.5 M`, ready for a unit.
pub(crate) fn short(n: usize) -> String {
    let (scale, prefix) = match n {
        0..1_000_000 => (1e3, "k"),
        1_000_000..1_000_000_000 => (1e6, "M"),
        _ => (1e9, "G"),
    };
    format!("{:.1} {prefix}", n as f64 / scale)
}
