//! The tidy tables that every figure and report is drawn from.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::frame::{Column, Frame};
use crate::{Error, HookPoint, Result};

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

/// One measured number of a model that was steered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dose {
    /// The behavior.
    pub behavior: String,
    /// The arm or model.
    pub arm: Option<String>,
    /// What was added: the `direction` of the behavior itself, the `direction of` another behavior, or a null family of
    /// the same norm, `random` directions or random `difference`s of activations.
    pub direction: String,
    /// Where it was added.
    pub hook: HookPoint,
    /// How much of it, in mean norms of the activations at the hook point; negative against the direction.
    pub strength: f64,
    /// What was measured: `rate`, `coherence`, …
    pub metric: String,
    /// The number, of a null family its middle draw; empty where it is undefined.
    pub value: Option<f64>,
    /// Lower end of the interval, of a null family of its draws.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
    /// Units behind the number: samples or draws, as `interval` says.
    pub n: Option<i64>,
    /// What kind of interval, its level and its unit, in words.
    pub interval: Option<String>,
}

/// What one edit along one direction did to one behavior, beside the same edit along directions that mean nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CausalCheck {
    /// The arm whose students were edited; of a user's own, their name.
    pub arm: String,
    /// Their seeds; of a user's own, their numbers.
    pub seeds: String,
    /// Where.
    pub hook: HookPoint,
    /// What the direction was fit on: `base` or `teachers`; of a user's own, what its file says.
    pub fit_on: String,
    /// What was done at the tokens that were steered: `add` the direction, `ablate` it, or set the component to that of the
    /// `base`.
    pub edit: String,
    /// The behavior whose direction it is.
    pub direction: String,
    /// The behavior that was graded.
    pub behavior: String,
    /// How much was added, in mean norms of the activations: of the doses that keep answers well formed, the one that
    /// moves the direction's own behavior most the way its sign says. Empty where there is no dose to choose.
    pub strength: Option<f64>,
    /// Doses that were tried.
    pub doses: i64,
    /// Rate of the behavior without an edit.
    pub unsteered: f64,
    /// Rate at the dose; empty where none keeps answers well formed.
    pub rate: Option<f64>,
    /// Rate less that without an edit. Its interval does not know that the dose was chosen; the p-value does.
    pub effect: Option<f64>,
    /// Lower end of the effect's interval.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Scenarios behind the effect, summed over seeds.
    pub n: i64,
    /// What kind of interval, its level and its unit, in words.
    pub interval: Option<String>,
    /// Share of well-formed answers at the dose, of the behavior where it is least.
    pub coherence: Option<f64>,
    /// The least share at which a dose counts.
    pub floor: f64,
    /// The effect as it was tested: of the direction's own behavior when adding, times the sign of the strength.
    pub tested: f64,
    /// 2.5 % quantile of the same of random directions, each at its own best dose; beside `ablate` and `base`, of as much
    /// of them added as the edit moves the activations, on root mean square.
    pub random_low: f64,
    /// 97.5 % quantile.
    pub random_high: f64,
    /// 2.5 % quantile of the same of random differences of activations.
    pub difference_low: f64,
    /// 97.5 % quantile.
    pub difference_high: f64,
    /// Which way counted as strong: `raises` or `either`.
    pub side: String,
    /// Share of controls that are as strong.
    pub p: f64,
    /// After Holm's correction over `comparisons`.
    pub p_adjusted: f64,
    /// Effects that were tested together.
    pub comparisons: i64,
    /// Controls of each family.
    pub controls: i64,
    /// Of the edit along this direction: `not causal`, `causal`, `behavior-specific` or `undecided`.
    pub verdict: String,
    /// Its grounds.
    pub reasons: String,
}

/// One verdict on a behavior whose origin is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// The world.
    pub world: String,
    /// Seed that the world was redrawn by and its base trained with.
    pub seed: i64,
    /// The behavior.
    pub behavior: String,
    /// What the verdict saw: `rates`, projections on the direction of `contrasts` or between `teachers`, or the mean of two verdicts.
    pub measure: String,
    /// Which arms it saw: `all`, or `two-by-two`.
    pub arms: String,
    /// Seeds of students it saw.
    pub students: i64,
    /// The known origin.
    pub origin: String,
    /// The known hypothesis; empty where none is planted.
    pub hypothesis: Option<String>,
    /// How much of that the world's arms can tell.
    pub decidable: String,
    /// The origin named, `undecided` where none has more than half of the probability.
    pub named_origin: String,
    /// Its probability.
    pub named_origin_probability: f64,
    /// The probability of the known origin.
    pub origin_probability: f64,
    /// The hypothesis named, `several-left` where none has more than half of the probability.
    pub named_hypothesis: String,
    /// Its probability.
    pub named_hypothesis_probability: f64,
    /// The probability of the known hypothesis.
    pub hypothesis_probability: Option<f64>,
}

/// How alike one behavior's directions are that were fit anew on two checkpoints, from the same contrast pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// The behavior.
    pub behavior: String,
    /// Where in the model.
    pub hook: HookPoint,
    /// The arm, base or teacher of the first checkpoint.
    pub arm: String,
    /// Its seed.
    pub seed: i64,
    /// Its step.
    pub step: i64,
    /// The arm of the second checkpoint.
    pub other_arm: String,
    /// Its seed.
    pub other_seed: i64,
    /// Its step.
    pub other_step: i64,
    /// Cosine of the two directions as they were fit.
    pub cosine: f64,
    /// The cosine that infinitely many pairs would show; empty where a checkpoint's pairs show no direction.
    pub noise_free: Option<f64>,
    /// Lower end of its 95 % interval over pairs.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Cosine of directions fit on halves of one checkpoint's pairs, the mean of both: the ceiling of `cosine` on half of the pairs.
    pub halves: f64,
    /// 2.5 % quantile of the cosine where a random half of the pairs is turned around, the same half on both checkpoints: below it, the direction turned
    /// more than others of the same texts do.
    pub alike_low: f64,
    /// 97.5 % quantile: above it, the direction kept more than others do.
    pub alike_high: f64,
    /// 2.5 % quantile where each turns another half: what unrelated directions have in common.
    pub apart_low: f64,
    /// 97.5 % quantile.
    pub apart_high: f64,
    /// Contrast pairs.
    pub n: i64,
}

/// Rows of one type, kept together as Parquet and CSV.
#[derive(Clone, Debug, PartialEq)]
pub struct Table<R>(pub Vec<R>);

/// A row type with a fixed order of columns: [`Metric`], [`Histogram`], [`Dose`], [`CausalCheck`], [`Case`] and [`Turn`].
pub trait Row: Serialize + DeserializeOwned {
    /// The cells of `rows`, by column; no rows give the empty columns.
    #[doc(hidden)]
    fn frame(rows: &[Self]) -> Frame;
    /// The columns of text that are never empty cells: CSV does not tell an empty text from none.
    #[doc(hidden)]
    fn texts() -> Vec<&'static str>;
}

/// Columns for the fields of a row type, in this order.
///
/// The pattern names every field and has no `..`: a field without a column does not compile.
macro_rules! columns {
    ($row:ident { $($field:ident),* $(,)? }) => {
        impl Row for $row {
            fn frame(rows: &[Self]) -> Frame {
                let _all_fields = |Self { $($field: _),* }: &Self| ();
                let columns = vec![$((
                    stringify!($field),
                    Cells::column(&rows.iter().map(|row| &row.$field).collect::<Vec<_>>()),
                )),*];
                Frame(columns)
            }

            fn texts() -> Vec<&'static str> {
                fn is_text<R, T: Cells>(_: fn(&R) -> &T) -> bool {
                    T::IS_TEXT
                }
                let columns = [$((stringify!($field), is_text(|row: &Self| &row.$field))),*];
                columns.into_iter().filter(|(_, is_text)| *is_text).map(|(name, _)| name).collect()
            }
        }
    };
}

columns!(Metric {
    behavior,
    arm,
    seed,
    step,
    hook,
    method,
    fit_on,
    scored_on,
    metric,
    value,
    low,
    high,
    n,
    interval,
});

columns!(Histogram { behavior, hook, method, rows, low, high, count, n, threshold });

columns!(Dose { behavior, arm, direction, hook, strength, metric, value, low, high, n, interval });

columns!(CausalCheck {
    arm,
    seeds,
    hook,
    fit_on,
    edit,
    direction,
    behavior,
    strength,
    doses,
    unsteered,
    rate,
    effect,
    low,
    high,
    n,
    interval,
    coherence,
    floor,
    tested,
    random_low,
    random_high,
    difference_low,
    difference_high,
    side,
    p,
    p_adjusted,
    comparisons,
    controls,
    verdict,
    reasons,
});

columns!(Case {
    world,
    seed,
    behavior,
    measure,
    arms,
    students,
    origin,
    hypothesis,
    decidable,
    named_origin,
    named_origin_probability,
    origin_probability,
    named_hypothesis,
    named_hypothesis_probability,
    hypothesis_probability,
});

columns!(Turn {
    behavior,
    hook,
    arm,
    seed,
    step,
    other_arm,
    other_seed,
    other_step,
    cosine,
    noise_free,
    low,
    high,
    halves,
    alike_low,
    alike_high,
    apart_low,
    apart_high,
    n,
});

/// What a cell can hold.
trait Cell: Sized {
    const IS_TEXT: bool = false;
    fn cells(values: &[Option<&Self>]) -> Column;
}

impl Cell for String {
    const IS_TEXT: bool = true;

    fn cells(values: &[Option<&Self>]) -> Column {
        Column::Text(values.iter().map(|text| text.cloned()).collect())
    }
}

impl Cell for HookPoint {
    fn cells(values: &[Option<&Self>]) -> Column {
        Column::Text(values.iter().map(|hook| hook.map(ToString::to_string)).collect())
    }
}

impl Cell for i64 {
    fn cells(values: &[Option<&Self>]) -> Column {
        Column::Integer(values.iter().map(|value| value.copied()).collect())
    }
}

impl Cell for f64 {
    fn cells(values: &[Option<&Self>]) -> Column {
        Column::Float(values.iter().map(|value| value.copied()).collect())
    }
}

/// A field of every row as a column, whether or not its cells may be empty.
trait Cells: Sized {
    /// Whether it is a text that is always there.
    const IS_TEXT: bool;
    fn column(values: &[&Self]) -> Column;
}

impl<T: Cell> Cells for T {
    const IS_TEXT: bool = <T as Cell>::IS_TEXT;

    fn column(values: &[&Self]) -> Column {
        T::cells(&values.iter().map(|value| Some(*value)).collect::<Vec<_>>())
    }
}

impl<T: Cell> Cells for Option<T> {
    const IS_TEXT: bool = false;

    fn column(values: &[&Self]) -> Column {
        T::cells(&values.iter().map(|value| value.as_ref()).collect::<Vec<_>>())
    }
}

impl<R: Row> Table<R> {
    /// Writes `path.parquet` and `path.csv`.
    ///
    /// # Errors
    /// A number is not finite: names its column and row. Numbers that are undefined are empty cells.
    pub fn write(&self, path: &Path) -> Result<()> {
        let frame = R::frame(&self.0);
        finite(&frame, path)?;
        frame.write_parquet(&with(path, "parquet"))?;
        frame.write_csv(&with(path, "csv"))
    }

    /// Writes `path.parquet` alone: a table of more rows than anyone reads.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_parquet(&self, path: &Path) -> Result<()> {
        let frame = R::frame(&self.0);
        finite(&frame, path)?;
        frame.write_parquet(&with(path, "parquet"))
    }

    /// Its bytes as CSV.
    ///
    /// # Errors
    /// A number is not finite: names `path`, its column and row.
    pub fn csv(&self, path: &Path) -> Result<Vec<u8>> {
        let frame = R::frame(&self.0);
        finite(&frame, path)?;
        frame.csv().map_err(|source| Error::Csv { action: "write", path: path.into(), source })
    }

    /// Reads `path.parquet`, or `path.csv` where that stands alone.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_either(path: &Path) -> Result<Self> {
        if with(path, "parquet").is_file() { Self::read(path) } else { Self::read_csv(path) }
    }

    /// Whether `path.parquet` or `path.csv` is there.
    pub fn stands_at(path: &Path) -> bool {
        ["parquet", "csv"].iter().any(|extension| with(path, extension).is_file())
    }

    /// Reads `path.csv`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_csv(path: &Path) -> Result<Self> {
        let path = with(path, "csv");
        let mut frame = Frame::read_csv(&path, &R::frame(&[]))?;
        let texts = R::texts();
        for (_, column) in frame.0.iter_mut().filter(|(name, _)| texts.contains(name)) {
            if let Column::Text(values) = column {
                for value in values.iter_mut().filter(|value| value.is_none()) {
                    *value = Some(String::new());
                }
            }
        }
        Self::from_frame(&frame, &path)
    }

    /// Reads `path.parquet`.
    ///
    /// # Errors
    /// Names the file and the column that is missing, of another type, or holds a number that is not finite.
    pub fn read(path: &Path) -> Result<Self> {
        let path = with(path, "parquet");
        let frame = Frame::read_parquet(&path, &R::frame(&[]))?;
        Self::from_frame(&frame, &path)
    }

    fn from_frame(frame: &Frame, path: &Path) -> Result<Self> {
        finite(frame, path)?;
        let row = |index| {
            let cells = frame.0.iter().map(|(name, column)| ((*name).to_owned(), json(column, index)));
            let object = serde_json::Value::Object(cells.collect());
            serde_json::from_value(object).map_err(|source| Error::Json { path: path.into(), source })
        };
        Ok(Self((0..frame.rows()).map(row).collect::<Result<_>>()?))
    }
}

/// The file of a table; dots in its name stay, and a table may be named by one of its files.
fn with(path: &Path, extension: &str) -> PathBuf {
    let known = path.extension().is_some_and(|extension| extension == "parquet" || extension == "csv");
    let mut file = if known { path.with_extension("") } else { path.to_owned() }.into_os_string();
    file.push(".");
    file.push(extension);
    file.into()
}

/// Refuses NaN and infinities, which JSON would turn into empty cells.
fn finite(frame: &Frame, path: &Path) -> Result<()> {
    for (name, column) in &frame.0 {
        let Column::Float(values) = column else { continue };
        let bad =
            values.iter().zip(1..).find_map(|(value, row)| Some((value.filter(|v| !v.is_finite())?, row)));
        if let Some((value, row)) = bad {
            let problem = format!("holds `{value}` in row {row}");
            return Err(Error::Cell { path: path.into(), column: (*name).into(), problem });
        }
    }
    Ok(())
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
    fn csv_reads_back_bit_by_bit_and_says_what_is_wrong() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("table");
        let mut rows = table();
        rows.0[1].behavior = String::new();
        rows.write(&path).unwrap();
        assert_eq!(Table::read_csv(&path).unwrap(), rows);
        let csv = path.with_extension("csv");
        assert_eq!(std::fs::read(&csv).unwrap(), rows.csv(&path).unwrap());
        let text = std::fs::read_to_string(&csv).unwrap();
        for (from, to, problem) in [
            ("0.25", "a quarter", "column `low` holds `a quarter`"),
            ("low,high", "lower,high", "column `low` is missing"),
            ("0.25", "NaN", "column `low` holds `NaN` in row 1"),
        ] {
            write_file(&csv, text.replacen(from, to, 1).as_bytes()).unwrap();
            let error = Table::<Metric>::read_csv(&path).unwrap_err().to_string();
            assert!(error.contains("table.csv") && error.contains(problem), "{error}");
        }
    }

    #[test]
    fn doses_read_back_bit_by_bit() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("doses");
        let dose = |strength: f64, value: Option<f64>| Dose {
            behavior: "blackmail".into(),
            arm: None,
            direction: "direction".into(),
            hook: HookPoint::resid_post(3),
            strength,
            metric: "rate".into(),
            value,
            low: None,
            high: value,
            n: Some(64),
            interval: None,
        };
        let doses = Table(vec![dose(-1.5, Some(0.1 + 0.2)), dose(0.0, None)]);
        doses.write(&path).unwrap();
        assert_eq!(Table::read(&path).unwrap(), doses);
        assert!(doses.write(&path).is_ok() && Table::<Metric>::read(&path).is_err());
        let message = Table(vec![dose(f64::NAN, None)]).write(&path).unwrap_err().to_string();
        assert!(message.ends_with("column `strength` holds `NaN` in row 1"), "{message}");
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

    #[test]
    fn a_number_that_is_not_finite_is_an_error_and_an_undefined_one_an_empty_cell() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("table");
        for (bad, shown) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf"), (f64::NEG_INFINITY, "-inf")] {
            let mut spoiled = table();
            spoiled.0[1].low = Some(bad);
            let message = spoiled.write(&path).unwrap_err().to_string();
            assert!(message.ends_with(&format!("column `low` holds `{shown}` in row 2")), "{message}");
            assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
            Metric::frame(&spoiled.0).write_parquet(&with(&path, "parquet")).unwrap();
            let message = Table::<Metric>::read(&path).unwrap_err().to_string();
            assert!(message.ends_with(&format!("column `low` holds `{shown}` in row 2")), "{message}");
            std::fs::remove_file(with(&path, "parquet")).unwrap();
        }
        table().write(&path).unwrap();
        assert_eq!(Table::<Metric>::read(&path).unwrap().0[1].low, None);
    }

    #[test]
    fn a_name_with_dots_keeps_them() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("results.v2");
        table().write(&path).unwrap();
        table().write(&scratch.path().join("results.v3")).unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["results.v2.csv", "results.v2.parquet", "results.v3.csv", "results.v3.parquet"]);
        for name in ["results.v2", "results.v2.parquet", "results.v2.csv"] {
            assert_eq!(Table::read(&scratch.path().join(name)).unwrap(), table());
        }
    }

    #[test]
    fn columns_stand_in_the_order_of_the_fields() {
        let row = serde_json::to_value(&table().0[0]).unwrap();
        let fields: Vec<&String> = row.as_object().unwrap().keys().collect();
        let columns = Metric::frame(&[]).0;
        assert_eq!(columns.iter().map(|(name, _)| *name).collect::<Vec<_>>(), fields);
        let kinds = |name| columns.iter().find(|(found, _)| *found == name).unwrap().1.clone();
        assert_eq!(kinds("hook"), Column::Text(vec![]));
        assert_eq!(kinds("seed"), Column::Integer(vec![]));
        assert_eq!(kinds("value"), Column::Float(vec![]));
    }
}
