//! `heirloom select`: which training prompts carry a behavior, as a score file that arms take.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use heirloom::prelude::*;
use heirloom::selection::{Along, Choice, Own, Ranker, Request, Selected, Sought, select};
use heirloom_record::Rollouts;
use heirloom_rollout::Pool;

use crate::terminal::{Bars, print};
use crate::verbs::{must_exist, open_model, print_json, read_directions, read_prompts, read_rollouts};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of a run with arms, whose reference arm's prompts are ranked; without one, --prompts and --rollouts are
    #[arg(required_unless_present = "rollouts", conflicts_with = "rollouts")]
    run: Option<PathBuf>,
    /// The behavior, of those that the run measured
    #[arg(long, required_unless_present = "rollouts", conflicts_with = "rollouts")]
    behavior: Option<String>,
    #[command(flatten)]
    own: OwnArgs,
    /// projection-difference, activation-attribution, tags:TAG, random or random-equal-length
    #[arg(long)]
    by: Ranker,
    /// Share of the prompts that counts as chosen, in percent; the file holds every score, and an arm says how many it takes
    #[arg(long, default_value_t = 8.0)]
    percent: f64,
    /// The direction of projection-difference. Of a run: base, teachers or answers, fit on the base from contrasts, from
    /// one teacher to the other, or from the base's answers that do not show the behavior to those that do. Of --rollouts: a
    /// file that `heirloom fit` wrote
    #[arg(long)]
    direction: Option<String>,
    /// Score file whose choice random-equal-length is a control of; `{seed}` stands for the seed
    #[arg(long, value_name = "FILE")]
    like: Option<PathBuf>,
    /// Hold the ranking against the prompts with this tag, which are known to cause the behavior
    #[arg(long, value_name = "TAG")]
    causal: Option<String>,
    /// Of a run, rank the prompts of this seed only; of --rollouts, root of what is drawn at random
    #[arg(long)]
    seed: Option<u64>,
    /// Score file, JSONL; with several seeds `{seed}` must stand in its name. Scores that are there are replaced
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Prompts of each seed that are shown
    #[arg(long, default_value_t = 5)]
    top: usize,
    /// cpu, cuda, cuda:N or metal; of a run, that which it was made on
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Print the whole ranking as JSON
    #[arg(long)]
    json: bool,
}

/// Prompts and rollouts that no run made.
#[derive(clap::Args)]
struct OwnArgs {
    /// For rankers by activations, the model that students start from: a Hugging Face folder, a GGUF file, or
    /// `hf:ORG/NAME@REVISION`
    #[arg(long, requires = "rollouts")]
    model: Option<PathBuf>,
    /// Prompts as JSONL: `messages`, with optional id, source and tags; one file or more
    #[arg(long, num_args = 1.., requires = "rollouts")]
    prompts: Vec<PathBuf>,
    /// Rollouts of two teachers: folders that `heirloom rollout` wrote, or JSONL with `messages`; what swapping the first
    /// one's answers for the other's would change is ranked
    #[arg(long, num_args = 1.., requires = "prompts")]
    rollouts: Vec<PathBuf>,
    /// The teacher whose answers students would learn; that of the first rollouts when absent
    #[arg(long, requires = "rollouts")]
    teacher: Option<String>,
    /// Hook point of the direction, where its file has several; that at which activation-attribution reads
    #[arg(long, requires = "model")]
    hook: Option<HookPoint>,
    /// For activation-attribution: what the model answers before training, to any prompts
    #[arg(long, value_name = "ROLLOUTS", requires_all = ["model", "after", "hook"])]
    before: Option<PathBuf>,
    /// For activation-attribution: what a trained student answers to the same prompts
    #[arg(long, value_name = "ROLLOUTS", requires_all = ["model", "before"])]
    after: Option<PathBuf>,
    /// f32, bf16 or f16
    #[arg(long, default_value = "f32", requires = "model")]
    dtype: Dtype,
    /// Date that chat templates see
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2026-01-15", requires = "model")]
    clock: heirloom_model::Clock,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if !(args.percent > 0.0 && args.percent <= 100.0) {
        let (expected, found) = ("above 0 and at most 100".into(), args.percent.to_string());
        return Err(Error::Setting { key: "--percent", expected, found }.into());
    }
    let choice = Choice {
        by: args.by.clone(),
        like: args.like.clone(),
        percent: args.percent,
        causal: args.causal.clone(),
        out: Some(args.out.clone()),
    };
    let selected = match &args.run {
        Some(run) => of_run(args, run, choice)?,
        None => of_own(args, choice)?,
    };
    report(args, &selected)
}

fn of_run(args: &Args, run: &Path, choice: Choice) -> anyhow::Result<Selected> {
    must_exist(run, "run", "make one with `heirloom quickstart` or `heirloom run`")?;
    let request = Request {
        run: run.to_owned(),
        behavior: args.behavior.clone().unwrap_or_default(),
        direction: match args.direction.as_deref() {
            None | Some("base") => Along::Base,
            Some("teachers") => Along::Teachers,
            Some("answers") => Along::Answers,
            Some(other) => {
                let (expected, found) = ("base, teachers or answers".into(), other.into());
                return Err(Error::Setting { key: "--direction", expected, found }.into());
            }
        },
        seed: args.seed,
        device: args.device,
        choice,
    };
    select(&request).with_context(|| format!("could not rank the prompts of `{}`", run.display()))
}

fn of_own(args: &Args, choice: Choice) -> anyhow::Result<Selected> {
    let own = &args.own;
    let sought = own.sought(&args.by, args.direction.as_deref())?;
    let prompts = own.prompts.iter().map(|path| read_prompts(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let rollouts = own.rollouts.iter().map(|path| read_rollouts(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let first =
        rollouts.iter().flat_map(|rollouts| &rollouts.rows).map(|rollout| rollout.teacher.as_str()).next();
    let teacher = own.teacher.as_deref().or(first).unwrap_or_default().to_owned();
    let rows = rollouts.into_iter().flat_map(|rollouts: Rollouts| rollouts.rows).collect();
    let pool = Pool::new(prompts.concat(), rows)?;
    let ranked = Own::new(pool, &teacher, sought, args.seed.unwrap_or(1), choice)?;
    let options = LoadOptions { dtype: own.dtype, device: args.device, clock: own.clock };
    let load = |model: &PathBuf| open_model(model)?.load(&options).context("could not load the model");
    let student = own.model.as_ref().filter(|_| args.by.looks()).map(load).transpose()?;
    Ok(ranked.select(student.as_ref(), &mut Bars::default())?)
}

impl OwnArgs {
    /// What the ranker looks for; what others would is not read.
    fn sought(&self, by: &Ranker, direction: Option<&str>) -> anyhow::Result<Option<Sought>> {
        if let (Ranker::ActivationAttribution, Some(before), Some(after), Some(hook)) =
            (by, &self.before, &self.after, self.hook)
        {
            let (before, after) = (read_rollouts(before)?, read_rollouts(after)?);
            return Ok(Some(Sought::Change { before, after, hook }));
        }
        let Some(path) = direction.filter(|_| *by == Ranker::ProjectionDifference).map(PathBuf::from) else {
            return Ok(None);
        };
        let directions = read_directions(&path)?;
        Ok(Some(Sought::Direction { path, directions, hook: self.hook }))
    }
}

fn report(args: &Args, selected: &Selected) -> anyhow::Result<()> {
    let written = selected.write(&args.out)?;
    if args.json {
        let mut value = serde_json::to_value(selected)?;
        value["files"] = serde_json::to_value(&written)?;
        return print_json(&value);
    }
    print(selected.summary(args.top))?;
    let lines = written.iter().map(|path| format!("{}\n", path.display()));
    let file = std::path::absolute(&args.out)?;
    let (file, share) = (file.display(), args.percent / 100.0);
    print(format_args!(
        "\n{}in an arm: on = {{ scores = {{ file = \"{file}\", top = {share:?} }} }}\n",
        lines.collect::<String>()
    ))
}
