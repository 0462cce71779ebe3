//! `heirloom grade`: how often stored rollouts show a behavior, by its rules. Nothing is sampled.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use heirloom::Error;
use heirloom::prelude::*;
use heirloom::streams::stream;
use heirloom_probe::interval::{LEVEL, wilson};
use heirloom_probe::rate::{self, Observation};
use heirloom_record::{GradeRow, NewFolder, Rollout, rows_to_jsonl, write_file};
use heirloom_rollout::{Part, grade_rollouts};
use serde::Serialize;

use crate::terminal::print;
use crate::verbs::{must_exist, print_json, read_rollouts};

const GRADES: &str = "grades.jsonl";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A folder that `heirloom rollout` wrote, or JSONL with `messages`
    #[arg(long)]
    rollouts: PathBuf,
    /// Folder of a behavior, as in probes/blackmail; may be repeated
    #[arg(long, required = true)]
    behavior: Vec<PathBuf>,
    /// New folder for every grade as JSONL
    #[arg(long)]
    out: Option<PathBuf>,
    /// Root of the bootstrap's random stream
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print rates as JSON
    #[arg(long)]
    json: bool,
}

/// How often one teacher's rollouts show a behavior, by one grader.
#[derive(Serialize)]
struct Rate {
    behavior: String,
    grader: String,
    version: String,
    teacher: String,
    part: Part,
    shown: usize,
    n: usize,
    value: f64,
    low: f64,
    high: f64,
    interval: String,
    /// Where prompts have several answers, which are not independent.
    over_prompts: Option<OverPrompts>,
}

/// Mean over prompts of the share of their answers.
#[derive(Serialize)]
struct OverPrompts {
    value: f64,
    low: f64,
    high: f64,
    prompts: usize,
    interval: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let behaviors = read_behaviors(&args.behavior)?;
    let rollouts = read_rollouts(&args.rollouts)?.rows;
    let folder = args.out.as_deref().map(NewFolder::create).transpose()?;
    let (mut grades, mut rates) = (vec![], vec![]);
    for behavior in &behaviors {
        let rows = grade_rollouts(&behavior.grader, &behavior.name, &rollouts);
        rates.extend(rates_of(args, &rows, &rollouts)?);
        grades.extend(rows);
    }
    if let Some(folder) = folder {
        write_file(&folder.work_path().join(GRADES), rows_to_jsonl(&grades).as_bytes())?;
        folder.commit()?;
    }
    let cut_off = rollouts.iter().filter(|rollout| !rollout.stopped).count();
    if args.json {
        return print_json(&serde_json::json!({
            "rollouts": rollouts.len(),
            "cut_off": cut_off,
            "rates": rates,
            "out": args.out,
        }));
    }
    let mut out = lines(&rates);
    if cut_off > 0 {
        let _ = writeln!(
            out,
            "{cut_off} of {} rollouts were cut off; they are graded as far as they go",
            rollouts.len()
        );
    }
    if let Some(path) = &args.out {
        let _ = writeln!(out, "grades in {}", path.join(GRADES).display());
    }
    print(out)
}

fn read_behaviors(folders: &[PathBuf]) -> anyhow::Result<Vec<Behavior>> {
    let mut behaviors: Vec<Behavior> = vec![];
    for folder in folders {
        must_exist(folder, "behavior", "a behavior is a folder such as probes/blackmail")?;
        let behavior = Behavior::load(folder)
            .with_context(|| format!("could not load the behavior `{}`", folder.display()))?;
        if behaviors.iter().any(|earlier| earlier.name == behavior.name) {
            return Err(Error::Twice { key: "behavior", name: behavior.name }.into());
        }
        behaviors.push(behavior);
    }
    Ok(behaviors)
}

/// Rates of one grader's rows, answers before thoughts, each teacher apart.
fn rates_of(args: &Args, grades: &[GradeRow], rollouts: &[Rollout]) -> anyhow::Result<Vec<Rate>> {
    let teachers: HashMap<&str, &str> =
        rollouts.iter().map(|rollout| (rollout.id.as_str(), rollout.teacher.as_str())).collect();
    let mut verdicts: BTreeMap<(u8, &str), Vec<(&GradeRow, bool)>> = BTreeMap::new();
    for row in grades {
        let teacher = teachers[row.rollout.as_str()];
        verdicts.entry((0, teacher)).or_default().push((row, row.answer));
        if let Some(thought) = row.thought {
            verdicts.entry((1, teacher)).or_default().push((row, thought));
        }
    }
    let rate = |((part, teacher), verdicts): (&(u8, &str), &Vec<(&GradeRow, bool)>)| {
        rate_of(args.seed, if *part == 0 { Part::Answer } else { Part::Thought }, teacher, verdicts)
    };
    verdicts.iter().map(rate).collect()
}

fn rate_of(seed: u64, part: Part, teacher: &str, verdicts: &[(&GradeRow, bool)]) -> anyhow::Result<Rate> {
    let (first, _) = verdicts.first().context("a rate of nothing")?;
    let (shown, n) = (verdicts.iter().filter(|(_, shown)| *shown).count(), verdicts.len());
    let interval = wilson(shown, n, LEVEL)?;
    let prompts: BTreeSet<&str> = verdicts.iter().map(|(row, _)| row.prompt.as_str()).collect();
    let number: HashMap<&str, usize> = prompts.iter().copied().zip(0..).collect();
    let over_prompts = if prompts.len() < n && prompts.len() > 1 {
        let observed = |(row, shown): &(&GradeRow, bool)| Observation {
            run: 0,
            cluster: number[row.prompt.as_str()],
            value: f64::from(u8::from(*shown)),
        };
        let observations: Vec<Observation> = verdicts.iter().map(observed).collect();
        let estimate = rate::mean(&observations, Resampling::default(), &stream(seed, "bootstrap"))?;
        Some(OverPrompts {
            value: estimate.value,
            low: estimate.low,
            high: estimate.high,
            prompts: estimate.clusters,
            interval: estimate.describe("seeds", "prompts"),
        })
    } else {
        None
    };
    Ok(Rate {
        behavior: first.behavior.clone(),
        grader: first.grader.clone(),
        version: first.version.clone(),
        teacher: teacher.into(),
        part,
        shown,
        n,
        value: interval.value,
        low: interval.low,
        high: interval.high,
        interval: interval.describe("rollouts of one teacher"),
        over_prompts,
    })
}

/// A line for each rate, and what the columns mean.
fn lines(rates: &[Rate]) -> String {
    let width =
        |of: &dyn Fn(&Rate) -> usize, least: usize| rates.iter().map(of).max().unwrap_or(0).max(least);
    let behaviors = width(&|rate| rate.behavior.chars().count(), "behavior".len());
    let graders =
        width(&|rate| rate.grader.chars().count() + 1 + rate.version.chars().count(), "grader".len());
    let teachers = width(&|rate| rate.teacher.chars().count(), "teacher".len());
    let mut out = format!(
        "{:<behaviors$}  {:<graders$}  {:<teachers$}  {:<8}  {:>6}  {:>6}  {:>5}  {:>11}",
        "behavior", "grader", "teacher", "part", "shown", "n", "rate", "95 %"
    );
    let clustered = rates.iter().find_map(|rate| rate.over_prompts.as_ref());
    if clustered.is_some() {
        let _ = write!(out, "  {:>12}", "over prompts");
    }
    for rate in rates {
        let grader = format!("{} {}", rate.grader, rate.version);
        let part = match rate.part {
            Part::Answer => "answers",
            Part::Thought => "thoughts",
        };
        let _ = write!(
            out,
            "\n{:<behaviors$}  {grader:<graders$}  {:<teachers$}  {part:<8}  {:>6}  {:>6}  {:>5.3}  {:>5.3}–{:<5.3}",
            rate.behavior, rate.teacher, rate.shown, rate.n, rate.value, rate.low, rate.high
        );
        if let Some(over) = &rate.over_prompts {
            let _ = write!(out, "  {:>6.3}–{:<5.3}", over.low, over.high);
        }
    }
    out.push('\n');
    if let Some(rate) = rates.first() {
        let _ = writeln!(out, "95 %: {}", rate.interval.trim_start_matches("95 % "));
    }
    if let Some(over) = clustered {
        let method = over.interval.trim_start_matches("95 % ");
        let _ = writeln!(out, "over prompts: {method}; answers to one prompt are not independent");
    }
    out
}
