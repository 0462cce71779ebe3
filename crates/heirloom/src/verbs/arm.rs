//! `heirloom arm`: what arms change, in which rows they differ, and an arm's rows for any trainer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::builder::RangedU64ValueParser;
use heirloom_record::{NewFolder, Prompt, Rollouts, Sampling, near, rows_to_jsonl, write_file, write_json};
use heirloom_rollout::{Arm, Change, Manifest, Pool};
use serde::Serialize;

use crate::terminal::print;
use crate::verbs::{must_exist, print_json, read_prompts, read_rollouts};

/// The rows of an arm, for trainers.
pub(crate) const ROWS: &str = "rows.jsonl";
/// What the rollouts of an arm were drawn with, by teacher.
pub(crate) const TEACHERS: &str = "teachers.json";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Arms as TOML: `[[arm]]` with name, prompts, teacher and what to `do`
    arms: PathBuf,
    /// Prompts as JSONL: `messages`, with optional id, source and tags; one file or more
    #[arg(long, required = true, num_args = 1..)]
    prompts: Vec<PathBuf>,
    /// Folders that `heirloom rollout` wrote, or JSONL with `messages`; one or more
    #[arg(long, required = true, num_args = 1..)]
    rollouts: Vec<PathBuf>,
    /// A prompt set made of several sources, as in `all=chats,mails`; may be repeated
    #[arg(long = "set", value_name = "NAME=SOURCE,…", value_parser = joined_set)]
    sets: Vec<(String, Vec<String>)>,
    /// Root of what is drawn at random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Show this arm alone, and in which rows it differs
    #[arg(long, value_name = "NAME")]
    show: Option<String>,
    /// Arm that others are held against; the first of the file when absent
    #[arg(long, value_name = "NAME")]
    against: Option<String>,
    /// Show in which rows the second arm differs from the first
    #[arg(long, num_args = 2, value_names = ["FIRST", "SECOND"], conflicts_with_all = ["show", "against"])]
    diff: Vec<String>,
    /// Rows of one optimizer step
    #[arg(long, default_value_t = 32, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    batch: usize,
    /// How often every row is seen
    #[arg(long, default_value_t = 1, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    epochs: usize,
    /// New folder for the arm of --show: its manifest, and its rows with `messages` for any trainer
    #[arg(long, value_name = "DIR", requires = "show")]
    write: Option<PathBuf>,
    /// Print what arms change as JSON
    #[arg(long)]
    json: bool,
}

fn joined_set(text: &str) -> Result<(String, Vec<String>), String> {
    let (name, sources) = text.split_once('=').ok_or("expected a name, `=`, and sources with commas")?;
    let sources: Vec<String> = sources.split(',').map(|source| source.trim().to_owned()).collect();
    if name.trim().is_empty() || sources.iter().any(String::is_empty) {
        return Err("expected a name, `=`, and sources with commas".into());
    }
    Ok((name.trim().to_owned(), sources))
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let arms = read_arms(&args.arms)?;
    let named = |name: &String| find(&arms, name, &args.arms);
    let against = match args.diff.first().or(args.against.as_ref()) {
        Some(name) => named(name)?,
        None => &arms[0],
    };
    let shown: Vec<&Arm> = match args.diff.get(1).or(args.show.as_ref()) {
        Some(name) => vec![named(name)?],
        None => arms.iter().collect(),
    };
    let folder = args.write.as_deref().map(NewFolder::create).transpose()?;
    let prompts = args.prompts.iter().map(|path| read_prompts(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let rollouts =
        args.rollouts.iter().map(|path| read_rollouts(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let pool = pool(prompts.concat(), &rollouts, &args.sets)?;

    let against = against.manifest(&pool, args.seed)?;
    let shown = shown.into_iter().map(|arm| arm.manifest(&pool, args.seed));
    let shown: Vec<Manifest> = shown.collect::<Result<_, _>>()?;
    if let (Some(folder), [arm]) = (folder, shown.as_slice()) {
        write(arm, &pool, &rollouts, folder.work_path())?;
        folder.commit()?;
    }
    // One arm alone is shown row by row; of a file of arms, that would be too much to read.
    let alone = if args.show.is_some() || !args.diff.is_empty() { shown.first() } else { None };
    if args.json {
        let changes: Vec<Change> =
            shown.iter().map(|arm| arm.describe(&against, args.batch, args.epochs)).collect();
        return print_json(&serde_json::json!({
            "against": against.arm,
            "seed": args.seed,
            "arms": changes,
            "diff": alone.map(|arm| against.diff(arm)),
            "written": args.write,
        }));
    }
    print(text(args, &against, &shown, alone))
}

fn read_arms(path: &Path) -> anyhow::Result<Vec<Arm>> {
    must_exist(path, "file of arms", "arms are TOML: `[[arm]]` with `name`, `prompts`, `teacher` and `do`")?;
    let arms = Arm::load(path).with_context(|| format!("could not read the arms `{}`", path.display()))?;
    if arms.is_empty() {
        let (expected, found) = ("at least 1".into(), "0".into());
        let error = heirloom::Error::Setting { key: "arm", expected, found };
        return Err(error).with_context(|| format!("could not read the arms `{}`", path.display()));
    }
    Ok(arms)
}

fn find<'a>(arms: &'a [Arm], name: &str, path: &Path) -> anyhow::Result<&'a Arm> {
    let names = || arms.iter().map(|arm| arm.name.as_str());
    arms.iter().find(|arm| arm.name == name).ok_or_else(|| {
        let (near, known) = (near(name, names()), names().map(str::to_owned).collect());
        heirloom::Error::UnknownArm { path: path.into(), name: name.into(), near, known }.into()
    })
}

fn pool(prompts: Vec<Prompt>, rollouts: &[Rollouts], sets: &[(String, Vec<String>)]) -> anyhow::Result<Pool> {
    let rows = rollouts.iter().flat_map(|rollouts| rollouts.rows.iter().cloned()).collect();
    let mut pool = Pool::new(prompts, rows)?;
    for (name, sources) in sets {
        pool = pool.with_set(name, &sources.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    Ok(pool)
}

/// Manifest, rows, and how their teachers were sampled, into the folder `dir`.
fn write(arm: &Manifest, pool: &Pool, rollouts: &[Rollouts], dir: &Path) -> anyhow::Result<()> {
    arm.write_into(dir)?;
    write_file(&dir.join(ROWS), rows_to_jsonl(&arm.data_rows(pool)?).as_bytes())?;
    let settings = teachers(arm, rollouts);
    if !settings.is_empty() {
        write_json(&dir.join(TEACHERS), "teachers", 1, &Teachers { teachers: settings })?;
    }
    Ok(())
}

/// `teachers.json` beside an arm's rows.
#[derive(Serialize, serde::Deserialize)]
pub(crate) struct Teachers {
    /// What a teacher's rollouts were drawn with: once for each folder that the arm has rows of.
    pub(crate) teachers: BTreeMap<String, Vec<Sampling>>,
}

fn teachers(arm: &Manifest, rollouts: &[Rollouts]) -> BTreeMap<String, Vec<Sampling>> {
    let files = rollouts.iter().enumerate();
    let file_of: HashMap<&str, usize> = files
        .flat_map(|(file, rollouts)| rollouts.rows.iter().map(move |row| (row.id.as_str(), file)))
        .collect();
    let used: BTreeSet<(&String, usize)> =
        arm.rows.iter().map(|row| (&row.teacher, file_of[row.rollout.as_str()])).collect();
    let mut found: BTreeMap<String, Vec<Sampling>> = BTreeMap::new();
    for (teacher, file) in used {
        if let Some(sampling) = &rollouts[file].sampling {
            found.entry(teacher.clone()).or_default().push(sampling.clone());
        }
    }
    found
}

fn text(args: &Args, against: &Manifest, shown: &[Manifest], alone: Option<&Manifest>) -> String {
    if let (false, Some(arm)) = (args.diff.is_empty(), alone) {
        return format!("{}\n", against.diff(arm));
    }
    let mut blocks = vec![];
    for arm in shown {
        let change = arm.describe(against, args.batch, args.epochs);
        blocks.push(if arm.arm == against.arm { by_itself(&change) } else { change.to_string() });
    }
    if let Some(arm) = alone.filter(|arm| arm.arm != against.arm) {
        blocks.push(against.diff(arm).to_string());
    }
    let mut out = blocks.join("\n\n") + "\n";
    if let (Some(dir), Some(arm)) = (&args.write, alone) {
        let order = if arm.ordered { "to be taken in this order" } else { "to be shuffled by the trainer" };
        let _ = writeln!(out, "\n{} rows {order}, in {}", arm.rows.len(), dir.join(ROWS).display());
    }
    out
}

/// The arm that others are held against.
fn by_itself(change: &Change) -> String {
    let (rows, prompts, steps) = (change.rows.arm, change.prompts.arm, change.steps.arm);
    let tokens =
        change.tokens.arm.map_or("tokens not counted".into(), |tokens| format!("{tokens} tokens of answers"));
    let mut out = format!(
        "`{}`: {rows} rows of {prompts} prompts, {tokens}, {steps} steps (batches of {}, {} epochs)",
        change.names.arm, change.batch_rows, change.epochs
    );
    for (number, step) in (1..).zip(&change.applied) {
        let _ = write!(
            out,
            "\n  {number}. {}: {} of {} prompts, {} rows",
            step.intervention, step.prompts, step.of, step.rows
        );
    }
    for (kind, groups) in [("teacher", &change.teachers), ("source", &change.sources), ("tag", &change.tags)]
    {
        for (name, sides) in groups {
            let share = 100.0 * sides.arm as f64 / rows.max(1) as f64;
            let _ = write!(out, "\n  {kind} {name}: {share:.1} %");
        }
    }
    out
}
