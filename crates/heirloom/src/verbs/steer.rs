//! `heirloom steer`: does a direction cause its behavior, in the students of a run's arm or in a model of one's own?

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::builder::RangedU64ValueParser;
use clap::error::ErrorKind;
use heirloom::prelude::*;
use heirloom::steering::{At, Own, OwnOptions};
use heirloom_model::Clock;
use heirloom_record::NewFolder;

use crate::terminal::{Bars, print, tell};
use crate::verbs::{
    adapter_at, must_exist, open_model, print_json, read_behaviors, read_directions, tell_not_read,
};

/// Usual doses at every token, where less does as much as at one.
const STRENGTHS_EVERYWHERE: [f64; 6] = [-0.4, -0.2, -0.1, 0.1, 0.2, 0.4];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of a finished run of an experiment with arms, such as runs/quickstart; without one, --model is steered
    #[arg(required_unless_present = "model", conflicts_with = "model")]
    run: Option<PathBuf>,
    /// Of a run, the arm whose students are steered; of --model, a name for its students in tables
    #[arg(long, value_name = "NAME", required_unless_present = "model")]
    arm: Option<String>,
    /// Of a run, seed of the student; may be repeated; every seed of the run when absent. Of --model, root of the random
    /// streams; 1 when absent
    #[arg(long = "seed", value_name = "N")]
    seeds: Vec<u64>,
    /// Of a run, what directions were fit on: teachers or base; teachers where the experiment names two. Of --model, a file
    /// that `heirloom fit` wrote; may be repeated, one for each behavior
    #[arg(long = "direction", value_name = "FIT|FILE")]
    directions: Vec<String>,
    /// Hook point: of a run, one that it measured, that of its figures when absent; of --model, one of the directions'
    #[arg(long, value_name = "POINT")]
    hook: Option<String>,
    /// Doses, in mean norms of the activations; negative ones against the direction. -1,-0.5,-0.25,0.25,0.5,1 when absent;
    /// at every token -0.4,-0.2,-0.1,0.1,0.2,0.4
    #[arg(long, value_name = "X,…", value_delimiter = ',', allow_hyphen_values = true)]
    strengths: Vec<f64>,
    /// Random directions, and as many random differences of activations, to stand beside
    #[arg(long = "directions", value_name = "K", default_value_t = 64, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    controls: usize,
    /// Scenarios of each behavior and student: of a run, of those that it measured on; of --model, from all over the file
    #[arg(long, value_name = "N", default_value_t = 48, value_parser = RangedU64ValueParser::<usize>::new().range(2..))]
    scenarios: usize,
    /// Share of the unsteered model's well-formed answers below which a dose does not count
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    floor: f64,
    /// New folder of tables and figure; of a run, RUN/steer/ARM when absent
    #[arg(long, value_name = "DIR", required_unless_present_any = ["run", "plan"])]
    out: Option<PathBuf>,
    #[command(flatten)]
    own: OwnArgs,
    /// cpu, cuda, cuda:N or metal; of a run, that which it was made on
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Print every number as JSON
    #[arg(long)]
    json: bool,
}

/// A model that no run made.
#[derive(clap::Args)]
struct OwnArgs {
    /// The model: a Hugging Face folder, a GGUF file, or `hf:ORG/NAME@REVISION`
    #[arg(long, requires = "directions", requires = "behaviors")]
    model: Option<PathBuf>,
    /// PEFT adapters, each a student of another seed and the model their base; the model itself when absent
    #[arg(long = "adapter", value_name = "DIR|NAME,…", value_delimiter = ',', requires = "model")]
    adapters: Vec<PathBuf>,
    /// Folder of a behavior, as in probes/blackmail, with the scenarios that are asked and the rules that grade; may be
    /// repeated. A direction belongs to the behavior that its file names, or the only one to the only one
    #[arg(long = "behavior", value_name = "DIR", requires = "model")]
    behaviors: Vec<PathBuf>,
    /// Which tokens are steered: last-prompt, or all but the first of each row, sampled ones too, as directions are mostly
    /// used: a nudge at one token fades within an answer, and directions of answers are read at every token of them
    #[arg(long, default_value = "all", requires = "model")]
    at: At,
    /// Most tokens of an answer
    #[arg(long, default_value_t = 64, requires = "model")]
    max_new_tokens: usize,
    /// Logits are divided by it; 0 takes the likeliest token
    #[arg(long, default_value_t = 1.0, requires = "model")]
    temperature: f64,
    /// Most tokens that answers drawn together may hold
    #[arg(long, default_value_t = 16_384, requires = "model")]
    batch_tokens: usize,
    /// Replicates of the bootstrap, at least 100
    #[arg(long, default_value_t = 2000, requires = "model", value_parser = RangedU64ValueParser::<usize>::new().range(100..))]
    bootstrap: usize,
    /// Accept an adapter that changes nothing
    #[arg(long, requires = "model")]
    allow_empty_adapter: bool,
    /// f32, bf16 or f16
    #[arg(long, default_value = "f32", requires = "model")]
    dtype: Dtype,
    /// Date that chat templates see
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2026-01-15", requires = "model")]
    clock: Clock,
    /// Say how many answers would be drawn, and draw none
    #[arg(long, conflicts_with = "run")]
    plan: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    args.search().check()?;
    let steered = match (&args.run, &args.own.model) {
        (Some(run), _) => Some(of_run(args, run)?),
        (None, Some(model)) => of_own(args, model)?,
        (None, None) => unreachable!("one of them is required"),
    };
    let Some(steered) = steered else { return Ok(()) };
    if args.json {
        return print_json(&serde_json::json!({
            "out": steered.folder,
            "checks": steered.checks,
            "doses": steered.doses,
        }));
    }
    print(steered.summary())?;
    if args.run.is_none() {
        print("  steer.json                    everything that decided it\n")?;
    }
    Ok(())
}

impl Args {
    fn search(&self) -> Search {
        let everywhere = self.run.is_none() && self.own.at == At::All;
        let usual = if everywhere { STRENGTHS_EVERYWHERE.into() } else { Search::default().strengths };
        Search {
            strengths: if self.strengths.is_empty() { usual } else { self.strengths.clone() },
            controls: self.controls,
            scenarios: self.scenarios,
            floor: self.floor,
        }
    }
}

fn of_run(args: &Args, run: &Path) -> anyhow::Result<Steered> {
    let fit_on = fit_on(&args.directions);
    must_exist(run, "run", "make one with `heirloom quickstart`")?;
    let arm = args.arm.clone().unwrap_or_default();
    let options = SteerOptions {
        seeds: args.seeds.clone(),
        fit_on,
        hook: args.hook.clone(),
        search: args.search(),
        ..SteerOptions::new(&arm)
    };
    let experiment = ArmsExperiment::of_run(run)?.on(args.device);
    let out = args.out.clone().unwrap_or_else(|| ArmsExperiment::steer_folder(run, &options));
    experiment
        .steer(run, &options, &out, &mut Bars::default())
        .with_context(|| format!("could not steer `{arm}` of `{}`", run.display()))
}

/// What the directions of a run were fit on; anything else is a mistake of usage.
fn fit_on(directions: &[String]) -> Option<FitOn> {
    let parsed = match directions {
        [] => return None,
        [one] => one.parse::<FitOn>().map_err(|error| error.to_string()),
        _ => Err("`--direction` of a run is either `teachers` or `base`".to_owned()),
    };
    let misused = |message| clap::Error::raw(ErrorKind::ValueValidation, format!("{message}\n")).exit();
    Some(parsed.unwrap_or_else(misused))
}

/// Nothing where only the plan is asked for.
fn of_own(args: &Args, model: &Path) -> anyhow::Result<Option<Steered>> {
    let own = own(args, model)?;
    let plan = own.plan();
    let Some(out) = args.out.as_deref().filter(|_| !args.own.plan) else {
        if args.json {
            print_json(&plan)?;
        } else {
            print(format_args!("{plan}\n"))?;
        }
        return Ok(None);
    };
    let folder = NewFolder::create(out)?;
    tell(plan);
    let steered = own.steer(Some(command(args, model)), (folder, out), &mut Bars::default());
    Ok(Some(steered.with_context(|| format!("could not steer `{}`", model.display()))?))
}

/// What figures say made them; `steer.json` has the rest.
fn command(args: &Args, model: &Path) -> String {
    let listed = |flag: &str, paths: &[PathBuf]| -> String {
        let said = paths.iter().map(|path| format!(" --{flag} '{}'", path.display()));
        said.collect::<Vec<_>>().concat()
    };
    let directions: Vec<PathBuf> = args.directions.iter().map(PathBuf::from).collect();
    [
        format!("heirloom steer --model '{}'", model.display()),
        listed("adapter", &args.own.adapters),
        listed("direction", &directions),
        listed("behavior", &args.own.behaviors),
    ]
    .concat()
}

/// Everything is looked at before the first weight is loaded.
fn own(args: &Args, model: &Path) -> anyhow::Result<Own> {
    let OwnArgs { adapters, behaviors, at, max_new_tokens, temperature, batch_tokens, .. } = &args.own;
    let behaviors = read_behaviors(behaviors)?;
    let directions =
        args.directions.iter().map(|path| Ok((PathBuf::from(path), read_directions(path.as_ref())?)));
    let directions = directions.collect::<anyhow::Result<Vec<_>>>()?;
    let hook = args.hook.as_deref().map(str::parse::<HookPoint>).transpose()?;
    let seed = match args.seeds.as_slice() {
        [] => 1,
        [seed] => *seed,
        several => {
            let expected = "one, the root of the random streams; students of other seeds are adapters".into();
            return Err(Error::Setting { key: "--seed", expected, found: several.len().to_string() }.into());
        }
    };
    let source = open_model(model)?;
    let adapters = adapters.iter().map(|path| adapter_at(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let options = OwnOptions {
        name: args.arm.clone(),
        hook,
        at: *at,
        search: args.search(),
        max_new_tokens: *max_new_tokens,
        temperature: *temperature,
        batch_tokens: *batch_tokens,
        replicates: args.own.bootstrap,
        seed,
        load: LoadOptions { dtype: args.own.dtype, device: args.device, clock: args.own.clock },
        allow_empty_adapter: args.own.allow_empty_adapter,
    };
    let context = || format!("could not steer `{}`", model.display());
    let own = Own::new(source, &adapters, directions, behaviors, options).with_context(context)?;
    adapters.iter().try_for_each(|path| tell_not_read(path))?;
    Ok(own)
}
