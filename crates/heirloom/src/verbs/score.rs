//! `heirloom score`: how well directions tell labels apart, with intervals and controls.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::builder::RangedU64ValueParser;
use heirloom::activations::{check_foreign, dataset, groups};
use heirloom::prelude::*;
use heirloom::streams::stream;
use heirloom_probe::bootstrap::tpr_at_fpr_interval;
use heirloom_probe::control::{random_directions, unsigned_band};
use heirloom_probe::{Interval, auroc_interval};
use heirloom_record::{DirectionHeader, NewFolder};
use serde::Serialize;

use crate::terminal::{print, tell};
use crate::verbs::fit::check_groups;
use crate::verbs::{print_json, read_activations, read_directions, trimmed};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A file that `heirloom fit` wrote
    #[arg(long)]
    direction: PathBuf,
    /// A store that `heirloom capture` wrote, with labels and groups
    #[arg(long)]
    activations: PathBuf,
    /// Score these groups only
    #[arg(long, value_delimiter = ',', value_parser = trimmed)]
    groups: Vec<String>,
    /// Allow groups that the directions were fit on, or their hook point was chosen on
    #[arg(long)]
    held_in: bool,
    /// Pass over hook points that the activations lack
    #[arg(long)]
    skip_missing: bool,
    /// Replicates of the bootstrap, at least 100
    #[arg(long, default_value_t = 2000, value_parser = RangedU64ValueParser::<usize>::new().range(100..))]
    bootstrap: usize,
    /// Random directions of the null band
    #[arg(long, default_value_t = 500, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    null_draws: usize,
    /// Root of the random streams
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// New folder for the table
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print the scores as JSON
    #[arg(long)]
    json: bool,
}

/// The scores at one hook point.
#[derive(Serialize)]
struct Scored {
    hook: HookPoint,
    auroc: Measured,
    tpr_at_1pct_fpr: Measured,
    /// 2.5 % and 97.5 % quantiles over random directions as they come: no sign is chosen on these rows.
    null_random_direction: (f64, f64),
    rows: usize,
    pairs: usize,
    #[serde(skip)]
    null_median: f64,
}

impl Scored {
    /// Its rows of the table.
    fn metrics(&self, args: &Args, row: &Metric) -> [Metric; 3] {
        let row = |metric: &str, n: usize, value: &Measured| Metric {
            hook: Some(self.hook),
            metric: metric.into(),
            value: Some(value.value),
            low: Some(value.low),
            high: Some(value.high),
            n: i64::try_from(n).ok(),
            interval: Some(value.interval.clone()),
            ..row.clone()
        };
        let (low, high) = self.null_random_direction;
        let interval = "2.5 % and 97.5 % quantiles, no sign chosen, over draws".into();
        let random = Measured { value: self.null_median, low, high, interval };
        [
            row("auroc", self.pairs, &self.auroc),
            row("tpr_at_1pct_fpr", self.pairs, &self.tpr_at_1pct_fpr),
            row("auroc_null_random_direction", args.null_draws, &random),
        ]
    }
}

#[derive(Serialize)]
struct Measured {
    value: f64,
    low: f64,
    high: f64,
    interval: String,
}

impl Measured {
    /// `clusters` says what the bootstrap drew, in the plural.
    fn new(interval: Interval, clusters: &str) -> Self {
        let Interval { value, low, high, .. } = interval;
        Self { value, low, high, interval: interval.describe(clusters) }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let directions = read_directions(&args.direction)?;
    let store = read_activations(&args.activations)?;
    let known = groups(&store);
    check_groups(&args.groups, &known)?;
    let scored = if args.groups.is_empty() { &known } else { &args.groups };
    check_foreign(&directions.header, &store.header, scored, args.held_in)?;

    let missing = missing(&directions, &store, args.skip_missing)?;
    let folder = args.out.as_deref().map(NewFolder::create).transpose()?;
    let mut table = vec![];
    for (&hook, direction) in directions.by_hook.iter().filter(|(hook, _)| !missing.contains(hook)) {
        let data = dataset(&store, hook, &args.groups, &args.activations)?;
        table.push(score(args, hook, direction, &data)?);
    }
    if let Some(folder) = folder {
        let row = Metric {
            arm: Some(store.header.model.clone()),
            scored_on: Some(named(scored)),
            ..row(args, &directions.header)
        };
        let metrics = table.iter().flat_map(|scored| scored.metrics(args, &row)).collect();
        Table::<Metric>(metrics).write(&folder.work_path().join("table"))?;
        folder.commit()?;
    }
    if let Some(out) = &args.out {
        tell(format_args!("every number stands in {}", out.join("table.csv").display()));
    }
    if args.json {
        let value = serde_json::json!({ "header": directions.header, "scores": table, "missing": missing });
        return print_json(&value);
    }
    for hook in &missing {
        tell(format_args!("{hook}: not in the activations"));
    }
    print(lines(args, &directions, &table))
}

/// What every row of the table says.
fn row(args: &Args, header: &DirectionHeader) -> Metric {
    Metric {
        behavior: header.behavior.clone(),
        seed: i64::try_from(args.seed).ok(),
        method: Some(header.method.clone()),
        fit_on: Some(named(&header.fit_groups)),
        ..Metric::default()
    }
}

/// Groups as a table names them.
fn named(groups: &[String]) -> String {
    format!("group:{}", groups.join(","))
}

/// The directions' hook points that the store lacks; all of them is an error, some is one unless `skip`.
fn missing(directions: &Directions, store: &Activations, skip: bool) -> anyhow::Result<Vec<HookPoint>> {
    let hooks = directions.by_hook.keys().copied();
    let missing: Vec<HookPoint> = hooks.filter(|hook| !store.tensors.contains_key(hook)).collect();
    if missing.is_empty() || (skip && missing.len() < directions.by_hook.len()) {
        return Ok(missing);
    }
    Err(heirloom::Error::MissingHooks { missing }.into())
}

/// A line for each hook point, and what the columns mean.
fn lines(args: &Args, directions: &Directions, table: &[Scored]) -> String {
    let mut out = format!("{}: {}\n", directions.header.method, directions.header.towards);
    let _ = writeln!(
        out,
        "{:<30} {:>6} {:>15}  {:>9} {:>15}  {:>15}",
        "hook", "AUROC", "95 %", "TPR@1%FPR", "95 %", "random*"
    );
    for row in table {
        let (a, t, (low, high)) = (&row.auroc, &row.tpr_at_1pct_fpr, row.null_random_direction);
        let _ = writeln!(
            out,
            "{:<30} {:>6.3} {:>7.3}–{:<7.3}  {:>9.3} {:>7.3}–{:<7.3}  {low:>7.3}–{high:<7.3}",
            row.hook, a.value, a.low, a.high, t.value, t.low, t.high
        );
    }
    if let Some(first) = table.first() {
        let pairs =
            if first.pairs < first.rows { format!("{} pairs", first.pairs) } else { "none paired".into() };
        let _ = writeln!(out, "{} rows, {pairs}", first.rows);
        let _ = writeln!(out, "AUROC: {}; TPR: {}", first.auroc.interval, first.tpr_at_1pct_fpr.interval);
    }
    let _ = writeln!(
        out,
        "* 2.5 % to 97.5 % of {} random directions as they come, no sign chosen",
        args.null_draws
    );
    out
}

fn score(
    args: &Args,
    hook: HookPoint,
    direction: &heirloom_record::Direction,
    data: &Dataset,
) -> anyhow::Result<Scored> {
    let vector = direction.vector.mapv(f64::from);
    let scores = heirloom_probe::direction::project(data.x(), vector.view())
        .with_context(|| format!("could not score `{hook}`"))?;
    let resampling = Resampling { replicates: args.bootstrap, ..Resampling::default() };
    let rng = stream(args.seed, "bootstrap");
    let auroc = auroc_interval(&scores, data.labels(), data.clusters(), resampling, &rng)?;
    let random = random_directions(data.d_model(), args.null_draws, &stream(args.seed, "random directions"));
    let band = unsigned_band(random.view(), data)?;
    let tpr = tpr_at_fpr_interval(&scores, data.labels(), data.clusters(), 0.01, resampling, &rng)?;
    // Rows without a `pair` are their own clusters.
    let drawn = if data.present_clusters().len() < data.n_rows() { "pairs" } else { "rows" };
    Ok(Scored {
        hook,
        auroc: Measured::new(auroc, drawn),
        tpr_at_1pct_fpr: Measured::new(tpr, drawn),
        null_random_direction: (band.low, band.high),
        null_median: band.median,
        rows: data.n_rows(),
        pairs: data.present_clusters().len(),
    })
}
