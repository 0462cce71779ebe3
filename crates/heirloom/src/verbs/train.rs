//! `heirloom train`: a student on chat rows, checkpoint by checkpoint; resumes where it stopped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use heirloom::Error;
use heirloom::prelude::*;
use heirloom_model::{
    Length, Lora, LossOn, Observer, Order, Schedule, Series, StepLog, Stop, TrainOptions, TrainRows, Words,
    log_spaced_steps, series,
};
use heirloom_record::{
    Input, Rollout, Rollouts, Sampling, UnfinishedRollouts, read_json, read_jsonl, sha256_hex,
};
use heirloom_rollout::Manifest;

use crate::terminal::{Bars, print, tell};
use crate::verbs::arm::{ROWS, TEACHERS, Teachers};
use crate::verbs::{ModelArgs, must_exist, print_json, read_data, read_rollouts, trimmed};

/// What `--data` takes, for people who gave something else.
const KNOWN: &str = "JSONL with `messages`, a folder that `heirloom arm --write` wrote, \
    and a folder that `heirloom rollout` wrote";

#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// JSONL with `messages`, or a folder that `heirloom arm --write` or `heirloom rollout` wrote
    #[arg(long)]
    data: PathBuf,
    /// Folder of the training; called again with the same settings, it goes on from the last checkpoint
    #[arg(long)]
    out: PathBuf,
    /// Passes over all rows
    #[arg(long, default_value_t = 1, conflicts_with = "steps")]
    epochs: usize,
    /// Updates of the weights; rows come again as often as it takes
    #[arg(long)]
    steps: Option<usize>,
    /// Rows of one forward pass
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Batches of one update
    #[arg(long, default_value_t = 1)]
    accumulate: usize,
    /// The highest learning rate
    #[arg(long, default_value_t = 5e-4)]
    lr: f64,
    /// How the learning rate falls after the warm-up
    #[arg(long, default_value = "cosine", value_parser =
        PossibleValuesParser::new(SCHEDULES.map(|(name, _)| name)).map(|name| schedule(&name)))]
    schedule: Schedule,
    /// Share of the steps in which the learning rate rises
    #[arg(long, default_value_t = 0.05)]
    warmup: f64,
    /// Share of itself that a matrix loses at a step, times the learning rate
    #[arg(long, default_value_t = 0.01)]
    weight_decay: f64,
    /// Train an adapter of this rank and leave the weights as they are
    #[arg(long, value_name = "RANK")]
    lora_rank: Option<usize>,
    /// An adapter's changes are multiplied by alpha / rank; twice the rank when absent
    #[arg(long, value_name = "ALPHA", requires = "lora_rank")]
    lora_alpha: Option<f64>,
    /// Projections that an adapter changes, as in `q_proj,v_proj`; all of them when absent
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = trimmed, requires = "lora_rank")]
    lora_targets: Vec<String>,
    /// Steps to keep, as in `1,2,4`, or `log`: doubling steps of the first epoch, then the end of each; the last
    /// step is always kept
    #[arg(long, value_name = "STEPS", default_value = "", value_parser = checkpoints, hide_default_value = true)]
    checkpoints: Checkpoints,
    /// Root of the random streams: order of rows, fresh adapters
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Take the rows in the order they stand in, as is done where an arm's order is part of it
    #[arg(long)]
    order_as_given: bool,
    /// Numbers that passes compute in, f32 or bf16; weights and the optimizer stay in f32
    #[arg(long, default_value = "f32")]
    dtype: Dtype,
    /// cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Train without the rows that are longer than the model's context
    #[arg(long)]
    leave_out_long_rows: bool,
    /// Allow rollouts that were sampled with another tokenizer or chat template; their texts are learned
    #[arg(long)]
    other_tokenizer: bool,
    /// Print counts, losses and checkpoints as JSON
    #[arg(long)]
    json: bool,
}

/// Learning rate schedules by name.
const SCHEDULES: [(&str, Schedule); 3] =
    [("constant", Schedule::Constant), ("linear", Schedule::Linear), ("cosine", Schedule::Cosine)];

fn schedule(name: &str) -> Schedule {
    let found = SCHEDULES.into_iter().find(|(known, _)| *known == name);
    found.expect("clap lets these names through alone").1
}

/// Which steps are kept.
#[derive(Clone, Debug)]
enum Checkpoints {
    Log,
    At(Vec<usize>),
}

fn checkpoints(text: &str) -> Result<Checkpoints, String> {
    let step =
        |step: &str| step.trim().parse().map_err(|_| format!("expected `log` or steps, found `{step}`"));
    match text {
        "log" => Ok(Checkpoints::Log),
        "" => Ok(Checkpoints::At(vec![])),
        steps => steps.split(',').map(step).collect::<Result<_, _>>().map(Checkpoints::At),
    }
}

/// Rows to train on, and what is known of where they come from.
struct Data {
    rows: Vec<DataRow>,
    /// An arm's rows whose order is part of it.
    ordered: bool,
    /// What rollouts were drawn with, by teacher.
    teachers: BTreeMap<String, Vec<Sampling>>,
    /// Rollouts with the tokens that were drawn.
    drawn: Vec<Rollout>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let data = Data::read(&args.data)?;
    let mut options = options(args, data.ordered);
    options.check().context("could not train with these settings")?;
    let source = args.model.open()?;
    if let Some(lora) = options.lora.as_mut().filter(|_| args.lora_targets.is_empty()) {
        lora.targets = source.config().projections();
    }
    if !args.other_tokenizer {
        let words = source.words().context("could not read the model's tokenizer")?;
        data.check_tokenizer(&source.name(), &words)?;
    }
    let load = LoadOptions { dtype: Dtype::F32, device: args.device, clock: args.model.clock };
    let mut student = source.load(&load).context("could not load the model")?;
    let rows = fitting(args, &student, &data.rows)?;
    options.checkpoints = kept_steps(args, rows.rows.len());

    let mut watcher = Watcher(Bars::default());
    let steps = total_steps(args, rows.rows.len());
    watcher.0.begin("train", &format!("on {} rows", rows.rows.len()), steps as u64, "steps");
    let name = student.name();
    let report = student
        .train_to(&args.out, &rows.rows, &options, &mut watcher)
        .map_err(|error| in_training(&name, &args.out, error))?;
    watcher.0.end();
    say(args, &rows, report.resumed_from)
}

impl Data {
    fn read(path: &Path) -> anyhow::Result<Self> {
        must_exist(path, "data", KNOWN)?;
        let plain = |rows| Self { rows, ordered: false, teachers: BTreeMap::new(), drawn: vec![] };
        if !path.is_dir() {
            return Ok(plain(read_data(path)?));
        }
        if path.join("manifest.json").is_file() {
            return Self::of_arm(path);
        }
        if path.join("rollouts.jsonl").is_file() || UnfinishedRollouts::stand_at(path) {
            let Rollouts { sampling, rows } = read_rollouts(path)?;
            let names = rows.iter().map(|row| row.teacher.clone());
            let teachers =
                sampling.map(|sampling| names.map(|name| (name, vec![sampling.clone()])).collect());
            let data = rows.iter().map(Rollout::row).collect();
            return Ok(Self { teachers: teachers.unwrap_or_default(), drawn: rows, ..plain(data) });
        }
        let found = "a folder with neither an arm nor rollouts in it";
        Err(Error::Unknown { path: path.into(), found, known: KNOWN }.into())
    }

    /// What `heirloom arm --write` wrote, whose rows must be those of the manifest.
    fn of_arm(folder: &Path) -> anyhow::Result<Self> {
        let context = || format!("could not read the arm `{}`", folder.display());
        let manifest = Manifest::read(folder).with_context(context)?;
        let path = folder.join(ROWS);
        must_exist(&path, "file of an arm's rows", "write both with `heirloom arm --write`")?;
        let rows = read_data(&path)?;
        let sha256 = |row: &DataRow| match &row.input {
            Input::Messages(messages) => {
                serde_json::to_string(messages).ok().map(|json| sha256_hex(json.as_bytes()))
            }
            _ => None,
        };
        let same = |(row, line): (&DataRow, &heirloom_rollout::ManifestRow)| {
            sha256(row).as_ref() == Some(&line.sha256)
        };
        if rows.len() != manifest.rows.len() || !rows.iter().zip(&manifest.rows).all(same) {
            return Err(Error::OtherRows { path }.into());
        }
        let path = folder.join(TEACHERS);
        let teachers = if path.is_file() {
            read_json::<Teachers>(&path, "teachers", 1).with_context(context)?.teachers
        } else {
            BTreeMap::new()
        };
        Ok(Self { rows, ordered: manifest.ordered, teachers, drawn: vec![] })
    }

    /// Refuses rollouts that were sampled with another chat template or tokenizer than the base's.
    fn check_tokenizer(&self, base: &str, words: &Words) -> anyhow::Result<()> {
        let other = |teacher: &str, what: String| {
            let (base, teacher) = (base.into(), teacher.into());
            Err(Error::OtherTokenizer { base, teacher, what }.into())
        };
        if !self.teachers.is_empty() {
            let own = sha256_hex(words.template()?.source().as_bytes());
            for (teacher, settings) in &self.teachers {
                if let Some(found) = settings.iter().find(|found| found.template_sha256 != own) {
                    let [own, found] = [&own, &found.template_sha256].map(|hash| &hash[..hash.len().min(12)]);
                    return other(teacher, format!("chat template is {own}, not {found}"));
                }
            }
        }
        for rollout in self.drawn.iter().filter(|rollout| !rollout.ids.is_empty()) {
            let text = words.decode(&rollout.ids, false)?;
            if text != rollout.answer() {
                let what = format!("tokenizer reads the tokens of `{}` as another answer", rollout.id);
                return other(&rollout.teacher, what);
            }
        }
        Ok(())
    }
}

fn options(args: &Args, ordered: bool) -> TrainOptions {
    let lora = args.lora_rank.map(|rank| Lora {
        rank,
        alpha: args.lora_alpha.unwrap_or(2.0 * rank as f64),
        targets: if args.lora_targets.is_empty() {
            Lora::TARGETS.map(str::to_owned).to_vec()
        } else {
            args.lora_targets.clone()
        },
        ..Lora::default()
    });
    TrainOptions {
        seed: args.seed,
        length: args.steps.map_or(Length::Epochs(args.epochs), Length::Steps),
        batch_rows: args.batch,
        accumulate: args.accumulate,
        order: if ordered || args.order_as_given { Order::AsGiven } else { Order::Shuffle },
        lr: args.lr,
        warmup: args.warmup,
        schedule: args.schedule,
        weight_decay: args.weight_decay,
        dtype: args.dtype,
        lora,
        ..TrainOptions::default()
    }
}

/// Rows as tokens; rows that are too long are an error, or named and left out.
fn fitting(args: &Args, student: &Student, rows: &[DataRow]) -> anyhow::Result<TrainRows> {
    let found = student.training_rows_that_fit(rows, LossOn::Assistant).context("could not use the rows")?;
    if found.left_out.is_empty() {
        return Ok(found);
    }
    let error =
        Error::LongRows { rows: found.left_out.clone(), of: rows.len(), n_ctx: student.config().n_ctx };
    if !args.leave_out_long_rows {
        return Err(error.into());
    }
    tell(format_args!("left out: {error}"));
    Ok(found)
}

fn steps_of_epoch(args: &Args, rows: usize) -> usize {
    rows.div_ceil(args.batch).div_ceil(args.accumulate)
}

fn total_steps(args: &Args, rows: usize) -> usize {
    args.steps.unwrap_or(args.epochs * steps_of_epoch(args, rows))
}

fn kept_steps(args: &Args, rows: usize) -> Vec<usize> {
    let (epoch, total) = (steps_of_epoch(args, rows), total_steps(args, rows));
    match &args.checkpoints {
        Checkpoints::At(steps) => steps.clone(),
        Checkpoints::Log => {
            let ends = (1..=total.checked_div(epoch).unwrap_or(0)).map(|n| n * epoch);
            let mut steps: Vec<usize> = log_spaced_steps(epoch.min(total)).into_iter().chain(ends).collect();
            steps.dedup();
            steps
        }
    }
}

/// What failed, and whether a call with the same settings would go on from a checkpoint.
fn in_training(name: &str, out: &Path, error: heirloom_model::Error) -> anyhow::Error {
    use heirloom_model::Error::{Hooks, OtherTraining};
    use heirloom_record::Error::{Occupied, Running};
    // What stands in another's folder is not of this training.
    let other = matches!(error, OtherTraining { .. } | Hooks(Occupied { .. } | Running { .. }));
    let kept = series(&Series::Folder(out.into()), true).ok().filter(|steps| !other && !steps.is_empty());
    let kept = match kept.and_then(|steps| steps.last().map(|(step, _)| *step)) {
        Some(step) => format!("; what is done up to step {step} is kept in `{}`", out.display()),
        None => String::new(),
    };
    anyhow::Error::from(error).context(format!("could not train `{name}`{kept}"))
}

/// Moves the bar.
struct Watcher(Bars);

impl Observer for Watcher {
    fn step(&mut self, log: &StepLog) -> Result<(), Stop> {
        self.0.advance(log.step as u64);
        Ok(())
    }
}

/// What the folder says of the whole training, whichever part of it this process did.
fn say(args: &Args, rows: &TrainRows, resumed_from: Option<usize>) -> anyhow::Result<()> {
    let log: Vec<StepLog> =
        read_jsonl(&args.out.join("log.jsonl"))?.into_iter().map(|(_, log)| log).collect();
    let tokens: usize = log.iter().map(|step| step.tokens).sum();
    let loss_tokens: usize = log.iter().map(|step| step.loss_tokens).sum();
    let (first, last) = (log.first().map(|step| step.loss), log.last().map(|step| step.loss));
    let checkpoints = series(&Series::Folder(args.out.clone()), true)?;
    if args.json {
        let checkpoints: Vec<_> = checkpoints
            .iter()
            .map(|(step, path)| serde_json::json!({ "step": step, "path": path }))
            .collect();
        return print_json(&serde_json::json!({
            "out": args.out,
            "steps": log.len(),
            "resumed_from": resumed_from,
            "rows": rows.rows.len(),
            "left_out": rows.left_out,
            "tokens": tokens,
            "loss_tokens": loss_tokens,
            "first_loss": first,
            "last_loss": last,
            "checkpoints": checkpoints,
        }));
    }
    let steps: Vec<String> = checkpoints.iter().map(|(step, _)| step.to_string()).collect();
    let resumed = resumed_from.map_or(String::new(), |step| format!(", the first {step} of them earlier"));
    print(format_args!(
        "{} steps on {} rows{resumed}\n  {tokens} tokens, {loss_tokens} of them with loss\n  \
         loss {:.4} in the first step, {:.4} in the last\n  checkpoint-N for steps {} in {}\n",
        log.len(),
        rows.rows.len(),
        first.unwrap_or(f64::NAN),
        last.unwrap_or(f64::NAN),
        steps.join(", "),
        args.out.display()
    ))
}
