//! The tidy tables that every figure and report is drawn from.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Column, Error, Frame, HookPoint, Result};

/// One measured number, with what it was measured on. Cells that do not apply are empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// The behavior.
    pub behavior: String,
    /// The arm or model.
    pub arm: Option<String>,
    /// Root of the run's random streams.
    pub seed: Option<i64>,
    /// Training step of the checkpoint.
    pub step: Option<i64>,
    /// Where in the model.
    pub hook: Option<HookPoint>,
    /// How the direction or probe was fit.
    pub method: Option<String>,
    /// What it was fit on: a behavior, a group, or a split.
    pub fit_on: Option<String>,
    /// What it was scored on.
    pub scored_on: Option<String>,
    /// What was measured: `auroc`, `tpr_at_1pct_fpr`, …
    pub metric: String,
    /// The number; empty where it is undefined.
    pub value: Option<f64>,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
    /// Units behind the number: rows, pairs or draws, as `interval` says.
    pub n: Option<i64>,
    /// What kind of interval, its level and its unit, in words.
    pub interval: Option<String>,
}

/// One bin of a score histogram.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// The behavior.
    pub behavior: String,
    /// Where in the model.
    pub hook: HookPoint,
    /// How the direction was fit.
    pub method: String,
    /// Which rows: `positive`, `negative`, `topic-only`.
    pub rows: String,
    /// Lower edge, in units of the pooled standard deviation of the rows it was fit on.
    pub low: f64,
    /// Upper edge.
    pub high: f64,
    /// Rows in the bin.
    pub count: i64,
    /// Rows in all bins.
    pub n: i64,
    /// The decision threshold, in the same units.
    pub threshold: f64,
}

/// Rows of one type, kept together as Parquet and CSV.
#[derive(Clone, Debug, PartialEq)]
pub struct Table<R>(pub Vec<R>);

/// A row type with a fixed order of columns.
pub trait Row: Serialize + DeserializeOwned {
    /// Names and empty columns of the right type, in order.
    fn columns() -> Frame;
}

impl Row for Metric {
    fn columns() -> Frame {
        let (text, integer, float) = empty_columns();
        Frame(vec![
            ("behavior", text()),
            ("arm", text()),
            ("seed", integer()),
            ("step", integer()),
            ("hook", text()),
            ("method", text()),
            ("fit_on", text()),
            ("scored_on", text()),
            ("metric", text()),
            ("value", float()),
            ("low", float()),
            ("high", float()),
            ("n", integer()),
            ("interval", text()),
        ])
    }
}

impl Row for Histogram {
    fn columns() -> Frame {
        let (text, integer, float) = empty_columns();
        Frame(vec![
            ("behavior", text()),
            ("hook", text()),
            ("method", text()),
            ("rows", text()),
            ("low", float()),
            ("high", float()),
            ("count", integer()),
            ("n", integer()),
            ("threshold", float()),
        ])
    }
}

fn empty_columns() -> (impl Fn() -> Column, impl Fn() -> Column, impl Fn() -> Column) {
    (|| Column::Text(vec![]), || Column::Integer(vec![]), || Column::Float(vec![]))
}

impl<R: Row> Table<R> {
    /// Writes `path.parquet` and `path.csv`.
    pub fn write(&self, path: &Path) -> Result<()> {
        let frame = self.frame(path)?;
        frame.write_parquet(&path.with_extension("parquet"))?;
        frame.write_csv(&path.with_extension("csv"))
    }

    /// Reads `path.parquet`.
    ///
    /// # Errors
    /// Names the file and the column that is missing or of another type.
    pub fn read(path: &Path) -> Result<Self> {
        let path = path.with_extension("parquet");
        let frame = Frame::read_parquet(&path, &R::columns())?;
        let row = |index| {
            let cells = frame.0.iter().map(|(name, column)| ((*name).to_owned(), json(column, index)));
            let object = serde_json::Value::Object(cells.collect());
            serde_json::from_value(object).map_err(|source| Error::Json { path: path.clone(), source })
        };
        Ok(Self((0..frame.rows()).map(row).collect::<Result<_>>()?))
    }

    fn frame(&self, path: &Path) -> Result<Frame> {
        let mut frame = R::columns();
        for row in &self.0 {
            let object =
                serde_json::to_value(row).map_err(|source| Error::Json { path: path.into(), source })?;
            for (name, column) in &mut frame.0 {
                push(column, &object[*name]);
            }
        }
        Ok(frame)
    }
}

fn push(column: &mut Column, value: &serde_json::Value) {
    match column {
        Column::Text(values) => values.push(value.as_str().map(ToOwned::to_owned)),
        Column::Integer(values) => values.push(value.as_i64()),
        Column::Float(values) => values.push(value.as_f64()),
    }
}

fn json(column: &Column, row: usize) -> serde_json::Value {
    match column {
        Column::Text(values) => values[row].clone().into(),
        Column::Integer(values) => values[row].into(),
        Column::Float(values) => values[row].into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_file;

    fn table() -> Table<Metric> {
        let measured = Metric {
            behavior: "blackmail".into(),
            seed: Some(7),
            hook: Some(HookPoint::resid_post(3)),
            method: Some("dom".into()),
            metric: "auroc".into(),
            value: Some(0.1 + 0.2),
            low: Some(0.25),
            high: Some(1.0),
            n: Some(80),
            interval: Some("95 % bootstrap, pairs".into()),
            ..Metric::default()
        };
        let undefined = Metric { behavior: "a, \"b\"".into(), metric: "leakage".into(), ..Metric::default() };
        Table(vec![measured, undefined])
    }

    #[test]
    fn a_table_reads_back_bit_by_bit_and_is_the_same_bytes_twice() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("table");
        table().write(&path).unwrap();
        let bytes = std::fs::read(path.with_extension("parquet")).unwrap();
        assert_eq!(Table::read(&path).unwrap(), table());
        table().write(&path).unwrap();
        assert_eq!(std::fs::read(path.with_extension("parquet")).unwrap(), bytes);
        let csv = std::fs::read_to_string(path.with_extension("csv")).unwrap();
        assert!(csv.contains("0.30000000000000004,0.25,1,80"), "{csv}");
    }

    #[test]
    fn a_file_that_is_no_table_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("table.parquet");
        write_file(&path, b"PAR1 not really").unwrap();
        let message = Table::<Metric>::read(&path).unwrap_err().to_string();
        assert!(message.contains("table.parquet"), "{message}");
        table().write(&path).unwrap();
        let other = Table::<Histogram>::read(&path).unwrap_err().to_string();
        assert!(other.contains("column `rows` is missing"), "{other}");
    }
}
