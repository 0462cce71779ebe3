//! `heirloom grade`: how often stored rollouts show a behavior, by its rules and by a judge. Nothing is sampled.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use heirloom::Error;
use heirloom::prelude::*;
use heirloom::streams::stream;
use heirloom_probe::interval::{LEVEL, wilson};
use heirloom_probe::rate::{self, Observation};
use heirloom_record::{GRADES, GradeRow, NewFolder, Rollout, rows_to_jsonl, write_file};
use heirloom_rollout::{
    Comparison, Confusion, Judge, JudgePrompt, JudgeSettings, Judged, Part, grade_rollouts, judge,
};
use serde::Serialize;

use crate::terminal::{Bars, print};
use crate::verbs::{must_exist, print_json, read_behaviors, read_rollouts};

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
    /// Ask a judge, too: a language model behind this OpenAI-compatible address, as in `http://localhost:8000`
    #[arg(long, value_name = "URL", requires_all = ["judge_model", "out"])]
    judge: Option<String>,
    /// The judge's model, by the name its server knows it under
    #[arg(long, value_name = "NAME", requires = "judge")]
    judge_model: Option<String>,
    /// Environment variable that holds the key of the judge's server
    #[arg(long, value_name = "VARIABLE", requires = "judge")]
    judge_key_env: Option<String>,
    /// What the judge is told and asked: TOML with `system` and `user`
    #[arg(long, value_name = "FILE", requires = "judge")]
    judge_prompt: Option<PathBuf>,
    /// Share of rollouts that the judge may leave without a grade
    #[arg(long, value_name = "SHARE", default_value_t = 0.02, requires = "judge")]
    judge_failures: f64,
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
    let judge = args.judge.as_deref().map(|url| judge_of(args, url)).transpose()?;
    let folder = args.out.as_deref().map(NewFolder::create).transpose()?;
    let by_rules = |behavior: &Behavior| grade_rollouts(&behavior.grader, &behavior.name, &rollouts);
    let grades: Vec<Vec<GradeRow>> = behaviors.iter().map(by_rules).collect();
    let judged = match &judge {
        Some(judge) => {
            behaviors.iter().map(|behavior| ask(judge, behavior, &rollouts)).collect::<Result<_, _>>()?
        }
        None => vec![],
    };
    if let Some(folder) = folder {
        write(&grades, &judged, folder.work_path())?;
        folder.commit()?;
    }
    let mut found = Found { rollouts: &rollouts, rates: vec![], judged: &judged, comparisons: vec![] };
    for rows in &grades {
        found.rates.extend(rates_of(args, rows, &rollouts)?);
    }
    for (rules, judged) in grades.iter().zip(&judged) {
        let rows = judged.rows().context("the judge's answers are kept, and there is no rate of so few")?;
        found.rates.extend(rates_of(args, rows, &rollouts)?);
        found.comparisons.push(Comparison::of(rules, rows));
    }
    if args.json { print_json(&found.as_json(args)) } else { print(found.text(args)) }
}

/// A judge whose settings are fit to be asked; nothing is sent.
fn judge_of(args: &Args, url: &str) -> anyhow::Result<Judge> {
    let mut settings = JudgeSettings::new(args.judge_model.clone().unwrap_or_default());
    settings.allowed_failures = args.judge_failures;
    if let Some(path) = &args.judge_prompt {
        must_exist(path, "judge's prompt", "a prompt is TOML with `system` and `user`")?;
        settings.prompt = JudgePrompt::load(path)?;
    }
    let key = |name: &String| std::env::var(name).map_err(|_| Error::NoVariable { name: name.clone() });
    let key = args.judge_key_env.as_ref().map(key).transpose()?;
    Ok(Judge::new(url, key, settings)?)
}

fn ask(judge: &Judge, behavior: &Behavior, rollouts: &[Rollout]) -> anyhow::Result<Judged> {
    let mut bars = Bars::default();
    let mut begun = false;
    let judged = judge::grade(judge, behavior.into(), rollouts, &mut |progress| {
        if !begun {
            bars.begin("judge", &behavior.name, progress.of as u64, "requests");
            begun = true;
        }
        bars.advance(progress.done as u64);
    });
    bars.end();
    judged.with_context(|| format!("could not judge `{}`", behavior.name))
}

/// Grades by rules, and of each behavior a folder of what the judge said.
fn write(grades: &[Vec<GradeRow>], judged: &[Judged], dir: &Path) -> anyhow::Result<()> {
    write_file(&dir.join(GRADES), rows_to_jsonl(&grades.concat()).as_bytes())?;
    for judged in judged {
        let written = judged.write_into(&dir.join(format!("judge-{}", judged.header.behavior)));
        // Where too many failed there are no grades, but answers that may have been paid for.
        if judged.rows().is_ok() {
            written?;
        }
    }
    Ok(())
}

/// What graders found, for people and for `--json`.
struct Found<'a> {
    rollouts: &'a [Rollout],
    rates: Vec<Rate>,
    judged: &'a [Judged],
    comparisons: Vec<Comparison>,
}

impl Found<'_> {
    fn cut_off(&self) -> usize {
        self.rollouts.iter().filter(|rollout| !rollout.stopped).count()
    }

    fn as_json(&self, args: &Args) -> serde_json::Value {
        let part = |counts: Confusion| serde_json::json!({ "counts": counts, "n": counts.n(), "kappa": counts.kappa() });
        let compared = |found: &Comparison| {
            serde_json::json!({
                "behavior": found.behavior,
                "first": found.first,
                "second": found.second,
                "answers": part(found.answers),
                "thoughts": part(found.thoughts),
                "unmatched": found.unmatched,
            })
        };
        serde_json::json!({
            "rollouts": self.rollouts.len(),
            "cut_off": self.cut_off(),
            "rates": self.rates,
            "judges": self.judged.iter().map(|judged| &judged.header).collect::<Vec<_>>(),
            "agreement": self.comparisons.iter().map(compared).collect::<Vec<_>>(),
            "out": args.out,
        })
    }

    fn text(&self, args: &Args) -> String {
        let mut out = lines(&self.rates);
        if self.cut_off() > 0 {
            let (cut_off, of) = (self.cut_off(), self.rollouts.len());
            let _ =
                writeln!(out, "{cut_off} of {of} rollouts were cut off; they are graded as far as they go");
        }
        for (judged, comparison) in self.judged.iter().zip(&self.comparisons) {
            let _ = writeln!(out, "\n{judged}\n{comparison}");
        }
        if let Some(path) = &args.out {
            let _ = writeln!(out, "\ngrades in {}", path.join(GRADES).display());
        }
        out
    }
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
