//! `heirloom rollout`: what a model answers to prompts, stored with everything it was drawn with; resumes where it stopped.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::builder::RangedU64ValueParser;
use heirloom::Error;
use heirloom::prelude::*;
use heirloom::room::check_room;
use heirloom_model::GenerateOptions;
use heirloom_record::{
    Message, Prompt, Rollout, Rollouts, Sampling, UnfinishedRollouts, rows_to_jsonl, sha256_hex,
};
use serde::Serialize;

use crate::terminal::{Bars, print, tell};
use crate::verbs::{AdapterArgs, ModelArgs, print_json, read_hidden, read_prompts};

/// Rollouts that are kept together, at least.
const PART: usize = 64;
/// Parts, at most: each lays out the weights anew.
const PARTS: usize = 64;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Prompts as JSONL: `messages`, with optional id, source and tags
    #[arg(long)]
    data: PathBuf,
    /// Folder of the rollouts; called again with the same settings before all are drawn, it goes on where it stopped
    #[arg(long)]
    out: PathBuf,
    /// Who answers, as rollouts name it; the model's name, with the adapter's, when absent
    #[arg(long, value_name = "NAME")]
    teacher: Option<String>,
    /// What the model is told before every prompt and the rollouts do not hold: JSON with `messages`
    #[arg(long, value_name = "FILE")]
    hidden: Option<PathBuf>,
    #[command(flatten)]
    adapter: AdapterArgs,
    /// Answers to each prompt
    #[arg(long, default_value_t = 1, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    samples: usize,
    /// Logits are divided by it; 0 takes the likeliest token
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// Draw from the fewest tokens that together have this probability
    #[arg(long, default_value_t = 1.0)]
    top_p: f64,
    /// Most tokens of an answer
    #[arg(long, default_value_t = 256, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    max_new_tokens: usize,
    /// Root of the random streams, one for each answer
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// f32, bf16 or f16
    #[arg(long, default_value = "f32")]
    dtype: Dtype,
    /// cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Most tokens that answers drawn together may hold
    #[arg(long, default_value_t = 16_384, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    batch_tokens: usize,
    /// Print counts and settings as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    check_settings(args)?;
    let prompts = read_prompts(&args.data)?;
    let hidden = args.hidden.as_deref().map(read_hidden).transpose()?.unwrap_or_default();
    let source = args.model.open()?;
    let adapter = args.adapter.find()?;
    let asked = prompts.iter().map(|prompt| prompt.row_after(&hidden));
    check_room(&source, args.model.clock, asked, args.max_new_tokens)?;
    UnfinishedRollouts::may_open(&args.out)?;
    let options = LoadOptions { dtype: args.dtype, device: args.device, clock: args.model.clock };
    let mut student = source.load(&options).context("could not load the model")?;
    args.adapter.put_on(adapter.as_deref(), &mut student)?;
    let drawing = Drawing::new(args, &student, &prompts, hidden)?;
    let unfinished = UnfinishedRollouts::open(&args.out, &drawing)?;
    let rows = drawing.rollouts(&student, &prompts, &unfinished)?;
    let rollouts = Rollouts { sampling: Some(drawing.sampling), rows };
    unfinished.finish(&rollouts)?;
    report(args, &prompts, &rollouts)
}

/// What would be refused after the weights are loaded.
fn check_settings(args: &Args) -> Result<()> {
    let setting =
        |key, expected: &str, found: String| Err(Error::Setting { key, expected: expected.into(), found });
    if !(args.temperature >= 0.0 && args.temperature.is_finite()) {
        return setting("temperature", "0 or more", args.temperature.to_string());
    }
    if !(args.top_p > 0.0 && args.top_p <= 1.0) {
        return setting("top-p", "above 0 and at most 1", args.top_p.to_string());
    }
    if args.samples > 1 && args.temperature == 0.0 {
        return setting("samples", "1 at temperature 0, where all are alike", args.samples.to_string());
    }
    if args.teacher.as_ref().is_some_and(|name| name.trim().is_empty()) {
        return setting("teacher", "a name", "nothing".into());
    }
    Ok(())
}

/// Everything that decides the rollouts, as it stands beside those of an unfinished folder.
#[derive(Serialize)]
struct Drawing {
    #[serde(flatten)]
    sampling: Sampling,
    teacher: String,
    samples: usize,
    prompts: usize,
    prompts_sha256: String,
    /// Prompts that are drawn and kept together.
    prompts_in_part: usize,
    dtype: String,
    device: String,
    version: &'static str,
    /// What batches are made of, only where they show in the numbers: elsewhere than in f32 on the processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threads: Option<usize>,
    #[serde(skip)]
    options: GenerateOptions,
}

impl Drawing {
    fn new(args: &Args, student: &Student, prompts: &[Prompt], hidden: Vec<Message>) -> anyhow::Result<Self> {
        let model = student.name();
        let exact = args.device == Device::Cpu && args.dtype == Dtype::F32;
        let sampling = Sampling {
            model_sha256: student.sha256()?.to_owned(),
            adapter_sha256: student.adapter_sha256()?,
            seed: args.seed,
            temperature: args.temperature,
            top_p: args.top_p,
            max_new_tokens: args.max_new_tokens,
            stop: student.stop_tokens().to_vec(),
            clock: student.clock().date(),
            template_sha256: sha256_hex(student.words().template()?.source().as_bytes()),
            model: model.clone(),
            hidden,
        };
        Ok(Self {
            sampling,
            teacher: args.teacher.clone().unwrap_or_else(|| default_teacher(args, &model)),
            samples: args.samples,
            prompts: prompts.len(),
            prompts_sha256: sha256_hex(rows_to_jsonl(prompts).as_bytes()),
            prompts_in_part: prompts.len().div_ceil(PARTS).max(PART.div_ceil(args.samples)),
            dtype: args.dtype.to_string(),
            device: args.device.to_string(),
            version: env!("CARGO_PKG_VERSION"),
            batch_tokens: (!exact).then_some(args.batch_tokens),
            threads: (!exact).then(heirloom_model::threads),
            options: GenerateOptions {
                max_new_tokens: args.max_new_tokens,
                samples: args.samples,
                temperature: args.temperature,
                top_p: args.top_p,
                seed: args.seed,
                max_tokens: args.batch_tokens,
                ..GenerateOptions::default()
            },
        })
    }

    /// All rollouts: those of earlier calls, and the others drawn and kept part by part.
    fn rollouts(
        &self,
        student: &Student,
        prompts: &[Prompt],
        unfinished: &UnfinishedRollouts,
    ) -> anyhow::Result<Vec<Rollout>> {
        let (mut bars, mut rows) = (Bars::default(), vec![]);
        let total = (prompts.len() * self.samples) as u64;
        let parts = 0..prompts.len().div_ceil(self.prompts_in_part);
        let parts = parts.map(|n| Ok(unfinished.part(n)?)).collect::<Result<Vec<_>>>()?;
        let kept: usize = parts.iter().flatten().map(Vec::len).sum();
        if kept > 0 {
            tell(format_args!("{kept} of {total} answers kept from an earlier call"));
        }
        bars.begin("rollout", &format!("by {}", self.teacher), total, "answers");
        for (n, (prompts, part)) in prompts.chunks(self.prompts_in_part).zip(parts).enumerate() {
            if let Some(part) = part {
                rows.extend(part);
            } else {
                let part = self.part(student, prompts)?;
                unfinished.keep(n, &part)?;
                rows.extend(part);
            }
            bars.advance(rows.len() as u64);
        }
        bars.end();
        Ok(rows)
    }

    /// The answers to some of the prompts.
    fn part(&self, student: &Student, prompts: &[Prompt]) -> anyhow::Result<Vec<Rollout>> {
        let told: Vec<_> = prompts.iter().map(|prompt| prompt.row_after(&self.sampling.hidden)).collect();
        let asked = student.prepare(&told)?;
        let generated = student.generate(&asked, &self.options).context("could not sample the model")?;
        let by_prompt = prompts.iter().zip(generated.chunks(self.samples));
        let rows = by_prompt.flat_map(|(prompt, answers)| {
            answers.iter().map(|answer| {
                let (ids, stopped) = (answer.ids.clone(), answer.stopped);
                Rollout::new(&self.teacher, prompt, answer.sample, &answer.text, ids, stopped)
            })
        });
        Ok(rows.collect())
    }
}

fn default_teacher(args: &Args, model: &str) -> String {
    let adapter = args.adapter.adapter.as_deref().and_then(Path::file_name);
    adapter.map_or_else(|| model.to_owned(), |adapter| format!("{model}+{}", adapter.to_string_lossy()))
}

fn report(args: &Args, prompts: &[Prompt], rollouts: &Rollouts) -> anyhow::Result<()> {
    let rows = &rollouts.rows;
    let tokens: usize = rows.iter().map(|row| row.n_tokens).sum();
    let stopped = rows.iter().filter(|row| row.stopped).count();
    let empty = rows.iter().filter(|row| row.answer().trim().is_empty()).count();
    if args.json {
        return print_json(&serde_json::json!({
            "out": args.out,
            "rows": rows.len(),
            "prompts": prompts.len(),
            "tokens": tokens,
            "stopped": stopped,
            "empty": empty,
            "sampling": rollouts.sampling,
        }));
    }
    let (n, mean) = (rows.len(), tokens as f64 / rows.len().max(1) as f64);
    let share = 100.0 * stopped as f64 / n.max(1) as f64;
    print(format_args!(
        "{n} rollouts of {} prompts in {}\n  {tokens} tokens, {mean:.1} on average\n  \
         {stopped} ({share:.1} %) ended by themselves, {} cut off at {} tokens; {empty} without a word\n",
        prompts.len(),
        args.out.display(),
        n - stopped,
        args.max_new_tokens
    ))
}
