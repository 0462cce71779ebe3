//! Figures of a finished run, drawn again from its tables alone, and held against them.
//!
//! Every picture stands beside the rows it shows and a record of what they were made from; see
//! [`heirloom_figure::Provenance`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use heirloom_figure::{Checked, Drawing, Format, Made, Provenance, TableName, Tables};
use heirloom_record::{Case, Row, Table, sha256_file};
use serde::Deserialize;

use crate::arms::{ArmsSpec, drawings as arms};
use crate::benchmark;
use crate::spec::{setting, twice};
use crate::{Error, Result, Spec, stages};

/// What is drawn again, and where to.
#[derive(Clone, Debug)]
pub struct Redraw {
    /// A run's folder, or a folder of figures.
    pub run: PathBuf,
    /// A TOML file of `[[figure]]`s to draw from the run's tables, in place of those that the run draws itself.
    pub spec: Option<PathBuf>,
    /// Where figures are written; the run's `figures/` when absent.
    pub out: Option<PathBuf>,
    /// Formats of the pictures.
    pub formats: Vec<Format>,
}

/// A figure to be drawn, with its tables.
pub(crate) struct Ready {
    pub(crate) drawing: Drawing,
    pub(crate) tables: Arc<Tables>,
    pub(crate) made: Made,
}

/// A run or a folder of figures: what it draws, which may be nothing, and what that is drawn from.
pub(crate) struct Drawn {
    pub(crate) ready: Vec<Ready>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) made: Made,
}

/// A file of figures.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Figures {
    /// What made the tables, where no run says it.
    command: Option<String>,
    figure: Vec<Drawing>,
}

/// Draws figures anew; no model is read. Returns their paths without extension.
///
/// # Errors
/// The folder holds neither a run nor figures; no figure is named, or two alike; a table lacks what a figure shows; a file
/// cannot be written.
pub fn redraw(request: &Redraw) -> Result<Vec<PathBuf>> {
    let ready = match &request.spec {
        Some(spec) => asked(&request.run, spec)?,
        None => drawn(&request.run)?.ready,
    };
    if ready.is_empty() {
        let path = request.spec.as_ref().unwrap_or(&request.run).clone();
        return Err(Error::NoneNamed { path });
    }
    let out = request.out.clone().unwrap_or_else(|| home(&request.run));
    let draw = |one: &Ready| Ok(one.drawing.write(&one.tables, &one.made, &out, &request.formats)?);
    ready.iter().map(draw).collect()
}

/// The figures of a file, of the tables of a run.
fn asked(run: &Path, spec: &Path) -> Result<Vec<Ready>> {
    let text = std::fs::read_to_string(spec)
        .map_err(|source| Error::ReadExperiment { path: spec.into(), source })?;
    let asked: Figures = toml::from_str(&text)
        .map_err(|source| Error::Toml { path: spec.into(), source: Box::new(source) })?;
    twice("figure.name", asked.figure.iter().map(|drawing| drawing.name.clone()))?;
    let tables = tables(run)?.ok_or_else(|| Error::NoFigures { path: run.into() })?;
    let of_run = kind(run)?.map(|_| drawn(run)).transpose()?.map(|drawn| drawn.made);
    if let (Some(_), Some(command)) = (&of_run, &asked.command) {
        return Err(setting("command", "none, for the run says what made it", command));
    }
    let known = known(run).into_iter().next().map(|record| record.made);
    let known = known.unwrap_or_else(|| Made { experiment: name_of(run), ..Made::default() });
    let command = asked.command.or(known.command);
    // Doses have no column of seeds.
    let seeds = Some(seeds(&tables)).filter(|seeds| !seeds.is_empty()).unwrap_or(known.seeds);
    let ready = |drawing: Drawing| {
        let file = format!("{}.csv", drawing.draw.table().stem());
        let made = match &of_run {
            Some(made) => made.clone(),
            None => made(&known.experiment, command.clone(), &seeds, run, &[&file])?,
        };
        Ok(Ready { drawing, tables: tables.clone(), made })
    };
    asked.figure.into_iter().map(ready).collect()
}

/// The seeds that a table's rows name.
fn seeds(tables: &Tables) -> Vec<u64> {
    let seeds: BTreeSet<u64> =
        tables.metrics.iter().filter_map(|row| u64::try_from(row.seed?).ok()).collect();
    seeds.into_iter().collect()
}

/// Holds every figure of a folder, of a run or of folders of figures against its own table, and that against the run's
/// table where it stands beside.
///
/// # Errors
/// There is no figure; a record or a table cannot be read. What does not agree is no error, but told.
pub fn check(path: &Path) -> Result<Vec<Checked>> {
    let mut checked = vec![];
    for folder in folders(path)? {
        let files = listed(&folder)?;
        for file in files.iter().filter(|file| has(file, "json") && Provenance::stands_at(file)) {
            let mut found = Provenance::check(file)?;
            found.problems.extend(against_run(file, &folder)?);
            checked.push(found);
        }
        let is_picture = |file: &Path| Format::ALL.iter().any(|format| has(file, format.name()));
        let is_bare = |file: &Path| !Provenance::stands_at(&file.with_extension("json"));
        let bare = files.iter().filter(|file| is_picture(file) && is_bare(file));
        checked.extend(bare.map(|file| Checked {
            path: file.clone(),
            problems: vec![format!("`{}` stands beside no record of what it was drawn from", file.display())],
        }));
    }
    if checked.is_empty() {
        return Err(Error::NoFigures { path: path.into() });
    }
    Ok(checked)
}

/// What of a figure does not agree with the run's files that stand in its folder or the one above.
fn against_run(file: &Path, folder: &Path) -> Result<Vec<String>> {
    let record = Provenance::read(file)?;
    let mut problems = vec![];
    let beside = |name: &str| {
        let places = [Some(folder), folder.parent()].into_iter().flatten();
        places.map(|place| place.join(name)).find(|path| path.is_file())
    };
    for (name, sha256) in &record.made.sha256 {
        let Some(path) = beside(name) else { continue };
        if sha256_file(&path)? != *sha256 {
            let (figure, path) = (file.display(), path.display());
            problems.push(format!("`{path}` is not the file that `{figure}` was made from"));
        }
    }
    let table = record.drawing.draw.table();
    let whole = format!("{}.csv", table.stem());
    if let Some(path) = beside(&whole).filter(|_| record.made.sha256.contains_key(&whole)) {
        let tables = Tables::read_csv(table, &path)?;
        if record.drawing.draw.rows(&tables) != record.tables(file)? {
            let csv = file.with_extension("csv");
            problems.push(format!("`{}` does not hold the rows of `{}`", csv.display(), path.display()));
        }
    }
    Ok(problems)
}

/// Draws and writes figures of one table.
pub(crate) fn write(
    drawings: &[Drawing],
    tables: &Tables,
    made: &Made,
    folder: &Path,
) -> Result<Vec<PathBuf>> {
    drawings.iter().map(|drawing| Ok(drawing.write(tables, made, folder, &Format::ALL)?)).collect()
}

/// What the figures of the run at `path` are made from; `files` are those of the run that are hashed.
pub(crate) fn made(
    experiment: &str,
    command: Option<String>,
    seeds: &[u64],
    path: &Path,
    files: &[&str],
) -> Result<Made> {
    let hash = |name: &&str| {
        let (file, alone) = (Path::new(*name), Path::new(*name).with_extension("parquet"));
        // A table without its CSV is read from its Parquet file.
        let is_alone = has(file, "csv") && !path.join(file).exists() && path.join(&alone).is_file();
        let file = if is_alone { &alone } else { file };
        Ok((file.display().to_string(), sha256_file(&path.join(file))?))
    };
    Ok(Made {
        experiment: experiment.into(),
        command,
        version: env!("CARGO_PKG_VERSION").into(),
        seeds: seeds.to_vec(),
        sha256: files.iter().map(hash).collect::<Result<BTreeMap<_, _>>>()?,
    })
}

/// Files of a run of each kind that figures are made from.
pub(crate) const OF_ARMS: [&str; 2] = ["experiment.json", "table.csv"];
pub(crate) const OF_PROBES: [&str; 3] = ["made-from.json", "table.csv", "histograms.csv"];
pub(crate) const OF_WORLDS: [&str; 1] = ["cases.csv"];

/// What `made-from.json` says of an experiment.
#[derive(Deserialize)]
pub(crate) struct MadeFrom {
    pub(crate) experiment: Spec,
    pub(crate) artifacts: Vec<String>,
}

/// What kind of run a folder holds.
pub(crate) enum Kind {
    Arms(Box<ArmsSpec>),
    Probes(Box<MadeFrom>),
    Worlds,
}

/// The kind of the run at `path`; nothing where none stands.
pub(crate) fn kind(path: &Path) -> Result<Option<Kind>> {
    let file = path.join("experiment.json");
    if file.is_file() {
        return Ok(Some(Kind::Arms(json(&file)?)));
    }
    let file = path.join("made-from.json");
    if file.is_file() {
        return Ok(Some(Kind::Probes(json(&file)?)));
    }
    Ok(Table::<Case>::stands_at(&path.join("cases")).then_some(Kind::Worlds))
}

fn json<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T> {
    let unread = |source| Error::ReadArtifact { path: file.into(), source };
    let text = std::fs::read_to_string(file).map_err(unread)?;
    serde_json::from_str(&text).map_err(|source| unread(source.into()))
}

/// The tables of the run at `path`; nothing where none stands.
pub(crate) fn tables(path: &Path) -> Result<Option<Arc<Tables>>> {
    fn read<R: Row>(path: &Path, table: TableName) -> Result<Vec<R>> {
        let path = path.join(table.stem());
        if Table::<R>::stands_at(&path) { rows(&path) } else { Ok(vec![]) }
    }
    let tables = Tables {
        metrics: read(path, TableName::Metrics)?,
        histograms: read(path, TableName::Histograms)?,
        doses: read(path, TableName::Doses)?,
    };
    let is_empty = tables == Tables::default();
    Ok((!is_empty).then(|| Arc::new(tables)))
}

/// The rows of `path.csv`, which is the file that [`made`] hashes; of `path.parquet` where it stands alone.
fn rows<R: Row>(path: &Path) -> Result<Vec<R>> {
    let has_csv = path.with_extension("csv").is_file();
    Ok(if has_csv { Table::read_csv(path)?.0 } else { Table::read(path)?.0 })
}

/// Every figure of a run or a folder of figures.
pub(crate) fn drawn(path: &Path) -> Result<Drawn> {
    let Some(kind) = kind(path)? else { return of_folder(path) };
    let absent = || Error::NoFigures { path: path.into() };
    let known = known(path);
    let command = known.first().and_then(|record| record.made.command.clone());
    let (drawings, tables, made) = match kind {
        Kind::Arms(spec) => {
            let tables = tables(path)?.ok_or_else(absent)?;
            let made = made(&spec.name, command, &spec.seeds, path, &OF_ARMS)?;
            (arms(&spec, &tables.metrics), tables, made)
        }
        Kind::Probes(from) => {
            let (tables, spec) = (tables(path)?.ok_or_else(absent)?, from.experiment);
            let made = made(&spec.name, command, &[spec.seed], path, &OF_PROBES)?;
            (stages::figures::drawings(&spec, &tables.metrics), tables, made)
        }
        Kind::Worlds => {
            let cases: Vec<Case> = rows(&path.join("cases"))?;
            let mut seeds: Vec<u64> = cases.iter().filter_map(|case| u64::try_from(case.seed).ok()).collect();
            seeds.sort_unstable();
            seeds.dedup();
            let made = made(&name_of(path), command, &seeds, path, &OF_WORLDS)?;
            let (drawing, rows) = benchmark::drawing(&cases);
            (vec![drawing], Arc::new(Tables::of(&rows)), made)
        }
    };
    let ready = |drawing| Ready { drawing, tables: tables.clone(), made: made.clone() };
    let ready = drawings.into_iter().map(ready).collect();
    Ok(Drawn { ready, tables, made })
}

/// Figures that stand in a folder, each with its own table.
fn of_folder(path: &Path) -> Result<Drawn> {
    let mut ready = vec![];
    for file in listed(&home(path))?.iter().filter(|file| has(file, "json") && Provenance::stands_at(file)) {
        let record = Provenance::read(file)?;
        let tables = Arc::new(record.tables(file)?);
        ready.push(Ready { tables, drawing: record.drawing, made: record.made });
    }
    let first = ready.first().ok_or_else(|| Error::NoFigures { path: path.into() })?;
    let (tables, made) = (first.tables.clone(), first.made.clone());
    Ok(Drawn { ready, tables, made })
}

/// The records of figures that a run has already.
fn known(path: &Path) -> Vec<Provenance> {
    let files = listed(&home(path)).unwrap_or_default();
    files.iter().filter(|file| has(file, "json")).filter_map(|file| Provenance::read(file).ok()).collect()
}

/// Where the figures of a run stand; a folder without `figures/` is one of figures.
fn home(path: &Path) -> PathBuf {
    let inner = path.join("figures");
    let is_run = inner.is_dir() || path.join("run.json").is_file();
    // What `heirloom steer`, `heirloom compare` and `heirloom track` write has its figures beside its tables.
    let has_own =
        listed(path).unwrap_or_default().iter().any(|file| has(file, "json") && Provenance::stands_at(file));
    if is_run && !has_own { inner } else { path.to_owned() }
}

/// The folder of figures at `path`, or those one below it.
fn folders(path: &Path) -> Result<Vec<PathBuf>> {
    let home = home(path);
    let mut all = vec![home.clone()];
    if home == path {
        all.extend(listed(path)?.into_iter().filter(|file| file.is_dir()));
    }
    Ok(all)
}

/// A folder's name.
pub(crate) fn name_of(path: &Path) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    whole.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn has(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|found| found == extension)
}

/// What stands in a folder, in order.
fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let unread = |source| Error::ReadArtifact { path: folder.into(), source };
    let entries = std::fs::read_dir(folder).map_err(unread)?;
    let mut files: Vec<PathBuf> =
        entries.map(|entry| Ok(entry.map_err(unread)?.path())).collect::<Result<_>>()?;
    files.sort();
    Ok(files)
}
