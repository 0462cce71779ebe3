//! `heirloom compare`: two arms of a run, of two runs, or of one's own checkpoints, held against each other.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context as _;
use clap::builder::RangedU64ValueParser;
use heirloom::compare::{Along, Comparison, Looks, Own, Request, Settings, Students, compare};
use heirloom::prelude::*;
use heirloom::tracking::{check_answers, check_reference};
use heirloom_record::NewFolder;

use crate::terminal::{Bars, print};
use crate::verbs::{at, model_at, must_exist, print_json, read_data, read_directions};

const OWN: &str = "\
Students of your own, trained here or elsewhere; each list has an entry for each seed, seeds in the same order:
  heirloom compare --model BASE --students full=s1/full,s2/full swap=s1/swap,s2/swap \\
    --grades full=s1/full-grades,s2/full-grades swap=s1/swap-grades,s2/swap-grades \\
    --direction FILE --data FIXED.jsonl --reference LABELLED.jsonl --text UNRELATED.jsonl --out DIR

--grades adds rates, and with --rollouts the answers that moved most; --direction with --data adds projections and
directions fit anew; --text adds activations on unrelated text.";

#[derive(clap::Args)]
#[command(after_help = OWN)]
pub(crate) struct Args {
    /// Folder of a run with arms, as `heirloom quickstart` leaves it; without one, --students are compared
    #[arg(required_unless_present = "students", conflicts_with = "students")]
    run: Option<PathBuf>,
    /// Folder of a second run in the same world, which then has the second arm
    second: Option<PathBuf>,
    /// The two arms of a run; of two runs, one name means the same arm in both
    #[arg(long, num_args = 1..=2, required_unless_present = "students", conflicts_with = "students", value_names = ["A", "B"])]
    arms: Vec<String>,
    #[command(flatten)]
    own: OwnArgs,
    /// cpu, cuda, cuda:N or metal; of a run, that which it was made on
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// New folder for the table, the scenarios that moved and figures
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print every number as JSON
    #[arg(long)]
    json: bool,
}

/// Students that no run made.
#[derive(clap::Args)]
struct OwnArgs {
    /// Two arms by names of your choice, each a checkpoint for each seed: a PEFT adapter on --model, a Hugging Face folder or
    /// a GGUF file
    #[arg(long, num_args = 2, value_name = "NAME=DIR,…")]
    students: Vec<Listed>,
    /// The model that both were trained from: a Hugging Face folder, a GGUF file, or `hf:ORG/NAME@REVISION`
    #[arg(long, requires = "students")]
    model: Option<PathBuf>,
    /// What `heirloom grade --out` wrote of their answers, for rates: folders, or JSONL
    #[arg(long, num_args = 2, value_name = "NAME=DIR,…", requires = "students")]
    grades: Vec<Listed>,
    /// The rollouts that were graded, for the answers that moved most: folders that `heirloom rollout` wrote, or JSONL
    #[arg(long, num_args = 2, value_name = "NAME=DIR,…", requires = "grades")]
    rollouts: Vec<Listed>,
    /// Each seed was asked prompts of its own, though their ids come again
    #[arg(long, requires = "grades")]
    own_scenarios: bool,
    /// A file that `heirloom fit` wrote on activations of --model
    #[arg(long, requires_all = ["model", "data"])]
    direction: Option<PathBuf>,
    /// Fixed rows that every student reads and that are projected, as JSONL, a folder of rollouts or a behavior's folder
    #[arg(long, requires = "direction")]
    data: Option<PathBuf>,
    /// Labelled rows that define the units and on which directions are fit anew: those the direction was fit on, or like
    /// them; `--data` when absent, which then needs label and group in every row
    #[arg(long, value_name = "FILE", requires = "direction")]
    reference: Option<PathBuf>,
    /// Rows that have nothing to do with a behavior, as JSONL; their last 8 positions are read
    #[arg(long, value_name = "FILE", requires = "model")]
    text: Option<PathBuf>,
    /// Hook point that is shown, where the direction has several; without a direction, where --text is read
    #[arg(long, requires = "model")]
    hook: Option<HookPoint>,
    /// f32, bf16 or f16
    #[arg(long, default_value = "f32", requires = "model")]
    dtype: Dtype,
    /// Date that chat templates see
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2026-01-15", requires = "model")]
    clock: heirloom_model::Clock,
    /// Most tokens in a batch
    #[arg(long, default_value_t = 2048, requires = "model")]
    batch_tokens: usize,
    /// Accept an adapter that changes nothing
    #[arg(long, requires = "model")]
    allow_empty_adapter: bool,
    /// Random directions, and as many random differences of activations, beside every projection
    #[arg(long, default_value_t = 64, requires = "direction", value_parser = RangedU64ValueParser::<usize>::new().range(2..))]
    null_draws: usize,
    /// Replicates of the bootstrap, at least 100
    #[arg(long, default_value_t = 2000, requires = "students", value_parser = RangedU64ValueParser::<usize>::new().range(100..))]
    bootstrap: usize,
    /// Root of the random streams
    #[arg(long, default_value_t = 1, requires = "students")]
    seed: u64,
}

/// Paths under a name: `full=a,b`.
#[derive(Clone, Debug)]
struct Listed {
    name: String,
    paths: Vec<PathBuf>,
}

impl FromStr for Listed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("expected NAME=PATH, or NAME=PATH,PATH with one path for each seed, found `{text}`");
        let (name, paths) = text.split_once('=').ok_or_else(expected)?;
        let paths: Vec<&str> = paths.split(',').map(str::trim).collect();
        if name.trim().is_empty() || paths.iter().any(|path| path.is_empty()) {
            return Err(expected());
        }
        Ok(Self { name: name.trim().into(), paths: paths.into_iter().map(PathBuf::from).collect() })
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.run {
        Some(run) => of_run(args, run),
        None => of_own(args),
    }
}

fn of_run(args: &Args, run: &Path) -> anyhow::Result<()> {
    for path in std::iter::once(run).chain(args.second.as_deref()) {
        must_exist(path, "run", "make one with `heirloom quickstart` or `heirloom run`")?;
    }
    let first = &args.arms[0];
    let second = match (args.arms.get(1), &args.second) {
        (Some(second), _) => second,
        (None, Some(_)) => first,
        (None, None) => {
            let (expected, found) = ("two arms of one run, or a second run".into(), "one arm".into());
            return Err(Error::Setting { key: "--arms", expected, found }.into());
        }
    };
    let folder = args.out.as_deref().map(NewFolder::create).transpose()?;
    let request = Request {
        run: run.to_owned(),
        second: args.second.clone(),
        arms: [first.clone(), second.clone()],
        device: args.device,
    };
    let compared =
        compare(&request).with_context(|| format!("could not compare `{first}` with `{second}`"))?;
    report(args, folder, &compared)
}

fn of_own(args: &Args) -> anyhow::Result<()> {
    let own = &args.own;
    let arms = own.arms()?;
    let settings = Settings {
        own_scenarios: own.own_scenarios,
        resampling: Resampling { replicates: own.bootstrap, ..Resampling::default() },
        seed: own.seed,
    };
    let [first, second] = arms.each_ref().map(|arm| arm.name.clone());
    let context = || format!("could not compare `{first}` with `{second}`");
    let ready = Own::new(&arms, own.looks(args.device)?, settings).with_context(context)?;
    let folder = args.out.as_deref().map(NewFolder::create).transpose()?;
    let compared = ready.compare(&mut Bars::default()).with_context(context)?;
    report(args, folder, &compared)
}

impl OwnArgs {
    /// Both arms, with every path on this machine.
    fn arms(&self) -> anyhow::Result<[Students; 2]> {
        let found = |paths: &[PathBuf], what, help| -> anyhow::Result<Vec<PathBuf>> {
            paths.iter().map(|path| at(path, what, help)).collect()
        };
        let arm = |students: &Listed| -> anyhow::Result<Students> {
            let name = students.name.clone();
            let help = "a student is an adapter's folder, a Hugging Face folder, a GGUF file, or `hf:ORG/NAME@REVISION`";
            let grades = self.under("--grades", &self.grades, &name)?;
            let rollouts = self.under("--rollouts", &self.rollouts, &name)?;
            Ok(Students {
                checkpoints: found(&students.paths, "student", help)?,
                grades: found(&grades, "grades", "make them with `heirloom grade --out`")?,
                rollouts: found(&rollouts, "rollouts", "make them with `heirloom rollout`")?,
                name,
            })
        };
        let [first, second] = self.students.as_slice() else { unreachable!("clap asks for two") };
        Ok([arm(first)?, arm(second)?])
    }

    /// Paths under the name of an arm; none where the flag was not given.
    fn under(&self, key: &'static str, lists: &[Listed], name: &str) -> Result<Vec<PathBuf>> {
        let named = |lists: &[Listed]| {
            lists.iter().map(|list| format!("`{}`", list.name)).collect::<Vec<_>>().join(" and ")
        };
        match lists.iter().find(|list| list.name == name) {
            Some(list) => Ok(list.paths.clone()),
            None if lists.is_empty() => Ok(vec![]),
            None => {
                let expected = format!("the names of --students, {}", named(&self.students));
                Err(Error::Setting { key, expected, found: named(lists) })
            }
        }
    }

    /// What is looked at in activations; nothing where neither a direction nor text was given.
    fn looks(&self, device: Device) -> anyhow::Result<Option<Looks>> {
        let Some(model) = self.model.as_ref().filter(|_| self.direction.is_some() || self.text.is_some())
        else {
            return Ok(None);
        };
        let along = self.direction.as_deref().zip(self.data.as_deref());
        let along = along.map(|(direction, data)| self.along(direction, data)).transpose()?;
        let unrelated = self.text.as_deref().map(read_data).transpose()?;
        if let Some([]) = unrelated.as_deref() {
            let (expected, found) = ("rows that are read".into(), "an empty file".into());
            return Err(Error::Setting { key: "--text", expected, found }.into());
        }
        Ok(Some(Looks {
            base: model_at(model)?,
            along,
            unrelated: unrelated.unwrap_or_default(),
            hook: self.hook,
            load: LoadOptions { dtype: self.dtype, device, clock: self.clock },
            allow_empty_adapter: self.allow_empty_adapter,
            max_tokens: self.batch_tokens,
            null_draws: self.null_draws,
        }))
    }

    fn along(&self, direction: &Path, data: &Path) -> anyhow::Result<Along> {
        let directions = read_directions(direction)?;
        let rows = read_data(data)?;
        let named = self.reference.as_deref().unwrap_or(data);
        let reference = if self.reference.is_some() { read_data(named)? } else { rows.clone() };
        check_answers(&directions.header.readout, &[(data, &rows), (named, &reference)])?;
        check_reference(named, &reference)?;
        Ok(Along { path: direction.into(), directions, rows, reference })
    }
}

fn report(args: &Args, folder: Option<NewFolder>, compared: &Comparison) -> anyhow::Result<()> {
    if let Some(folder) = folder {
        compared.write(folder.work_path())?;
        folder.commit()?;
    }
    if args.json {
        return print_json(compared);
    }
    print(compared.summary())?;
    let Some(out) = &args.out else { return Ok(()) };
    let mut files = vec![(
        "table.csv, table.parquet".to_owned(),
        "every number with n and interval, at every hook point",
    )];
    files.extend(compared.moved.as_ref().map(|_| ("moved.jsonl".to_owned(), "the scenarios above")));
    files.extend(compared.figures().map(|name| (format!("{name}.svg, .pdf, .png"), "")));
    let lines = files.iter().map(|(names, what)| format!("  {names:<27}{what}").trim_end().to_owned() + "\n");
    print(format_args!("\n{}\n{}", out.display(), lines.collect::<String>()))
}
