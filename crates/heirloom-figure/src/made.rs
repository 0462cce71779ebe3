//! A figure's files: the pictures, their words, the rows they show, and where those come from.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use heirloom_record::{Table, read_json, sha256_hex, write_file, write_json};
use serde::{Deserialize, Serialize};

use crate::drawing::{Drawing, TableName, Tables};
use crate::picture::with;
use crate::{Error, Figure, Format, Result};

const KIND: &str = "figure";
const FORMAT: u32 = 1;

/// What a run's figures were made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The experiment's name.
    pub experiment: String,
    /// The command that makes the run; nothing where a script did.
    #[serde(default)]
    pub command: Option<String>,
    /// Version of heirloom.
    pub version: String,
    /// Roots of its random streams, those of students where it trains some.
    pub seeds: Vec<u64>,
    /// SHA-256 of files of the run, by their path in it.
    pub sha256: BTreeMap<String, String>,
}

/// `NAME.json`: what stands beside a picture, enough to draw it again from `NAME.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// What was drawn.
    pub drawing: Drawing,
    /// Rows of `NAME.csv`.
    pub rows: usize,
    /// SHA-256 of `NAME.csv`.
    pub rows_sha256: String,
    /// What its rows were made from.
    pub made: Made,
    /// Formats that it was drawn in; every one where the file names none.
    #[serde(default = "every", skip_serializing_if = "is_every")]
    pub formats: Vec<Format>,
}

fn every() -> Vec<Format> {
    Format::ALL.to_vec()
}

fn is_every(formats: &[Format]) -> bool {
    Format::ALL.iter().all(|format| formats.contains(format))
}

/// One figure of a folder, held against its own table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The figure's `NAME.json`.
    pub path: PathBuf,
    /// What does not agree, in words; nothing where all does.
    pub problems: Vec<String>,
}

impl Tables {
    /// Rows of one table, as CSV.
    fn csv(&self, table: TableName, path: &Path) -> Result<(usize, Vec<u8>)> {
        Ok(match table {
            TableName::Metrics => (self.metrics.len(), Table(self.metrics.clone()).csv(path)?),
            TableName::Histograms => (self.histograms.len(), Table(self.histograms.clone()).csv(path)?),
            TableName::Doses => (self.doses.len(), Table(self.doses.clone()).csv(path)?),
        })
    }

    /// The rows of one table that stand in a CSV file.
    ///
    /// # Errors
    /// Names the file, and the column that is wrong.
    pub fn read_csv(table: TableName, path: &Path) -> Result<Self> {
        let mut tables = Self::default();
        match table {
            TableName::Metrics => tables.metrics = Table::read_csv(path)?.0,
            TableName::Histograms => tables.histograms = Table::read_csv(path)?.0,
            TableName::Doses => tables.doses = Table::read_csv(path)?.0,
        }
        Ok(tables)
    }
}

/// Pictures and words, by extension.
fn files(figure: &Figure, name: &str, formats: &[Format]) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let pictures = formats.iter().map(|format| Ok((format.name(), figure.picture.bytes(*format)?)));
    let mut files = pictures.collect::<Result<Vec<_>>>()?;
    files.push(("txt", format!("{}\n", figure.caption).into_bytes()));
    files.push(("tex", figure.latex(name).into_bytes()));
    Ok(files)
}

impl Drawing {
    /// Draws into `folder`: the pictures, `NAME.txt` and `NAME.tex` with the caption, `NAME.csv` with the rows that are
    /// shown, `NAME.json` with the [`Provenance`]. Returns the path without extension.
    ///
    /// # Errors
    /// As [`Drawing::draw`]; the name is not that of one file; a table or a record that is not a figure's has it already; a
    /// file cannot be written. Pictures are drawn before the first file is touched.
    pub fn write(&self, tables: &Tables, made: &Made, folder: &Path, formats: &[Format]) -> Result<PathBuf> {
        let stem = self.stem(folder)?;
        let figure = self.draw(tables)?;
        let (rows, csv) = self.draw.rows(tables).csv(self.draw.table(), &with(&stem, "csv"))?;
        let files = files(&figure, &self.name, formats)?;
        let (drawing, made, formats) = (self.clone(), made.clone(), formats.to_vec());
        let provenance = Provenance { drawing, rows, rows_sha256: sha256_hex(&csv), made, formats };
        // The record is first: what stands beside none is not a figure's, and is never replaced.
        write_json(&with(&stem, "json"), KIND, FORMAT, &provenance)?;
        write_file(&with(&stem, "csv"), &csv)?;
        for (extension, bytes) in &files {
            write_file(&with(&stem, extension), bytes)?;
        }
        Ok(stem)
    }

    /// Where its files stand, without extension.
    fn stem(&self, folder: &Path) -> Result<PathBuf> {
        let mut parts = Path::new(&self.name).components();
        let first = parts.next();
        let is_plain = first == Some(Component::Normal(self.name.as_ref())) && parts.next().is_none();
        if !is_plain || self.name.contains(['/', '\\']) || self.name.contains(char::is_control) {
            return Err(Error::Name { name: self.name.clone() });
        }
        let stem = folder.join(&self.name);
        if !Provenance::stands_at(&with(&stem, "json")) {
            let mut taken = ["json", "csv", "parquet"].iter().map(|extension| with(&stem, extension));
            if let Some(path) = taken.find(|path| path.exists()) {
                return Err(Error::Taken { name: self.name.clone(), path });
            }
        }
        Ok(stem)
    }
}

impl Provenance {
    /// Reads `NAME.json`.
    ///
    /// # Errors
    /// Names the file and what it holds instead.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(read_json(path, KIND, FORMAT)?)
    }

    /// Whether `path` is the provenance of a figure.
    pub fn stands_at(path: &Path) -> bool {
        let text = std::fs::read(path).unwrap_or_default();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        value["kind"] == KIND
    }

    /// The rows beside it.
    ///
    /// # Errors
    /// Names the file, and the column that is wrong.
    pub fn tables(&self, path: &Path) -> Result<Tables> {
        Tables::read_csv(self.drawing.draw.table(), &path.with_extension("csv"))
    }

    /// Draws the figure at `path` again from its own table, and holds every file against that; pictures in formats that
    /// it was not drawn in may be absent.
    ///
    /// # Errors
    /// The record or the table cannot be read, or no longer be drawn.
    pub fn check(path: &Path) -> Result<Checked> {
        let this = Self::read(path)?;
        let mut problems = vec![];
        let stem = path.with_extension("");
        let read = |extension: &str| std::fs::read(with(&stem, extension)).ok();
        let name = |extension: &str| with(&stem, extension).display().to_string();
        if read("csv").is_none_or(|csv| sha256_hex(&csv) != this.rows_sha256) {
            problems.push(format!("`{}` is not the table that `{}` names", name("csv"), name("json")));
        }
        let figure = this.drawing.draw(&this.tables(path)?)?;
        for (extension, bytes) in files(&figure, &this.drawing.name, &Format::ALL)? {
            match read(extension) {
                None if Format::ALL
                    .iter()
                    .any(|format| format.name() == extension && !this.formats.contains(format)) => {}
                None => problems.push(format!("`{}` is missing", name(extension))),
                Some(found) if found != bytes => {
                    problems.push(format!("`{}` is not what its table draws", name(extension)));
                }
                Some(_) => {}
            }
        }
        Ok(Checked { path: path.into(), problems })
    }
}
