//! `heirloom rollout`: what a model answers to prompts, stored with everything it was drawn with.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::builder::RangedU64ValueParser;
use heirloom::Error;
use heirloom::prelude::*;
use heirloom_model::GenerateOptions;
use heirloom_record::{Message, NewFolder, Prompt, Rollout, Rollouts, Sampling, sha256_hex};

use crate::terminal::{Bars, print};
use crate::verbs::{AdapterArgs, ModelArgs, print_json, read_hidden, read_prompts};

/// Rollouts between two looks at the bar, at least.
const GROUP: usize = 256;
/// Looks at the bar, at most: each group lays out the weights anew.
const GROUPS: usize = 64;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Prompts as JSONL: `messages`, with optional id, source and tags
    #[arg(long)]
    data: PathBuf,
    /// New folder of the rollouts
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
    check_room(args, &source, &prompts, &hidden)?;
    let folder = NewFolder::create(&args.out)?;
    let options = LoadOptions { dtype: args.dtype, device: args.device, clock: args.model.clock };
    let mut student = source.load(&options).context("could not load the model")?;
    args.adapter.put_on(adapter.as_deref(), &mut student)?;
    let rollouts = sample(args, &student, &prompts, hidden)?;
    rollouts.write_into(folder.work_path())?;
    folder.commit()?;
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

/// Every prompt leaves room for an answer.
fn check_room(args: &Args, source: &Source, prompts: &[Prompt], hidden: &[Message]) -> anyhow::Result<()> {
    let words = source.words().context("could not read the model's tokenizer")?;
    let n_ctx = source.config().n_ctx;
    let mut long = vec![];
    for prompt in prompts {
        let n_tokens = words.prepare(&prompt.row_after(hidden), args.model.clock)?.ids.len();
        if n_tokens + args.max_new_tokens > n_ctx {
            long.push((prompt.id.clone(), n_tokens));
        }
    }
    if long.is_empty() {
        return Ok(());
    }
    let (of, max_new_tokens) = (prompts.len(), args.max_new_tokens);
    Err(Error::NoRoom { prompts: long, of, max_new_tokens, n_ctx }.into())
}

fn sample(
    args: &Args,
    student: &Student,
    prompts: &[Prompt],
    hidden: Vec<Message>,
) -> anyhow::Result<Rollouts> {
    let name = student.name();
    let teacher = args.teacher.clone().unwrap_or_else(|| default_teacher(args, &name));
    let options = GenerateOptions {
        max_new_tokens: args.max_new_tokens,
        samples: args.samples,
        temperature: args.temperature,
        top_p: args.top_p,
        seed: args.seed,
        max_tokens: args.batch_tokens,
        ..GenerateOptions::default()
    };
    let mut bars = Bars::default();
    bars.begin("rollout", &format!("by {teacher}"), (prompts.len() * args.samples) as u64, "answers");
    let mut rows: Vec<Rollout> = vec![];
    let group = prompts.len().div_ceil(GROUPS).max(GROUP.div_ceil(args.samples));
    for prompts in prompts.chunks(group) {
        let told: Vec<_> = prompts.iter().map(|prompt| prompt.row_after(&hidden)).collect();
        let asked = student.prepare(&told)?;
        let generated = student.generate(&asked, &options).context("could not sample the model")?;
        for (prompt, answers) in prompts.iter().zip(generated.chunks(args.samples)) {
            rows.extend(answers.iter().map(|answer| {
                Rollout::new(
                    &teacher,
                    prompt,
                    answer.sample,
                    &answer.text,
                    answer.ids.clone(),
                    answer.stopped,
                )
            }));
        }
        bars.advance(rows.len() as u64);
    }
    bars.end();
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
        model: name,
        hidden,
    };
    Ok(Rollouts { sampling: Some(sampling), rows })
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
