//! One HTML page of a run: verdicts, figures, tables, and texts beside their grades. It needs no network and no other file.
//!
//! Whatever a model or a file said reaches the page as JSON in a data block and is put there as text alone: nothing in it
//! can become markup. The page's own script is the only one that its policy lets run.

mod html;
mod of_arms;
mod of_probes;
mod sentences;
mod strips;
mod texts;

use std::path::{Path, PathBuf};

use heirloom_figure::Tables;
use heirloom_model::Device;
use heirloom_record::{Metric, write_file};
use serde::Serialize;

use crate::figures::{Kind, drawn, kind, name_of, tables};
use crate::{Error, Result};
use strips::Strips;
use texts::Texts;

pub use strips::Tokens;

/// What is reported, and where to.
#[derive(Clone, Debug)]
pub struct Request {
    /// A run's folder, or a folder of figures.
    pub run: PathBuf,
    /// The page; the run's `report.html` when absent.
    pub out: Option<PathBuf>,
    /// Most rollouts that the page carries.
    pub rollouts: usize,
    /// Projections of every token, for those texts that have them stored.
    pub tokens: Option<Tokens>,
    /// The device that the run was made on.
    pub device: Device,
}

/// What a report was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reported {
    /// The page.
    pub path: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// Figures on it.
    pub figures: usize,
    /// Rows of its table.
    pub rows: usize,
    /// Texts on it, and how many there are.
    pub texts: (usize, usize),
    /// What it lacks, in sentences.
    pub notes: Vec<String>,
}

/// Everything on the page.
#[derive(Default)]
struct Page {
    title: String,
    question: String,
    /// What was found of each behavior, in a sentence.
    verdicts: Vec<Said>,
    /// What was run, and what each arm changed.
    arms: Vec<Changed>,
    texts: Texts,
    /// The experiment as it was read.
    parameters: serde_json::Value,
    /// What is lacking, in sentences.
    notes: Vec<String>,
}

/// A behavior and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Said {
    about: String,
    sentence: String,
}

/// An arm, and what its rows are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Changed {
    arm: String,
    base: String,
    prompts: String,
    teacher: String,
    seed: u64,
    rows: usize,
    /// Tokens of its answers; 0 where nobody counted them.
    tokens: usize,
    changes: String,
}

/// Writes the page.
///
/// # Errors
/// The folder holds neither a run nor figures; a table lacks what a figure shows; the page cannot be written. A model or
/// texts that are gone are no error: the page says that it lacks them.
pub fn report(request: &Request) -> Result<Reported> {
    let path = &request.run;
    let drawn = drawn(path)?;
    let metrics = &drawn.tables.metrics;
    let strips = request.tokens.as_ref().map(Strips::read).transpose()?;
    let strips = strips.as_ref();
    let page = match kind(path)? {
        Some(Kind::Arms(spec)) => of_arms::page(request, &spec, metrics, strips)?,
        Some(Kind::Probes(from)) => of_probes::page(request, &from, metrics, strips)?,
        Some(Kind::Worlds) => of_worlds(path, metrics),
        None => Page { title: name_of(path), ..Page::default() },
    };
    let whole = tables(path)?;
    let tables = whole.as_ref().unwrap_or(&drawn.tables);
    let html = html::html(&page, &drawn, tables)?;
    let out = request.out.clone().unwrap_or_else(|| path.join("report.html"));
    write_file(&out, html.as_bytes())?;
    Ok(Reported {
        path: out,
        bytes: html.len(),
        figures: drawn.ready.len(),
        rows: tables.metrics.len(),
        texts: (page.texts.shown(), page.texts.of),
        notes: page.notes,
    })
}

/// A benchmark of worlds: its verdicts are those of its figure.
fn of_worlds(path: &Path, metrics: &[Metric]) -> Page {
    let mut verdicts: Vec<Said> = vec![];
    for row in metrics.iter().filter(|row| row.value.is_some_and(|value| value > 0.5)) {
        let verdict = row.metric.trim_start_matches("verdict_").replace('-', " ");
        let (share, n) = (row.value.unwrap_or(0.0), row.n.unwrap_or(0));
        let sentence = format!("the verdict from rates is {verdict} in {:.0} % of {n} seeds.", 100.0 * share);
        verdicts.push(Said { about: row.behavior.clone(), sentence });
    }
    Page { title: name_of(path), verdicts, ..Page::default() }
}

/// An experiment as JSON, for the page.
fn parameters(spec: &impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(spec).map_err(Error::Json)
}

/// Whether anything stands in the table of metrics.
fn has(tables: &Tables, metric: &str) -> bool {
    tables.metrics.iter().any(|row| row.metric == metric)
}
