//! Choosing the rows that a figure shows, with errors that say what is missing.

use std::collections::BTreeMap;

use heirloom_record::{Dose, Histogram, HookPoint, Metric};

use crate::{Error, Result};

/// A row's cell of one column, as text; nothing when it is empty.
pub(crate) type Cell<R> = fn(&R) -> Option<String>;

pub(crate) const BEHAVIOR: (&str, Cell<Metric>) = ("behavior", |row| Some(row.behavior.clone()));
pub(crate) const ARM: (&str, Cell<Metric>) = ("arm", |row| row.arm.clone());
pub(crate) const SEED: (&str, Cell<Metric>) = ("seed", |row| row.seed.map(|seed| seed.to_string()));
pub(crate) const STEP: (&str, Cell<Metric>) = ("step", |row| row.step.map(|step| step.to_string()));
pub(crate) const METHOD: (&str, Cell<Metric>) = ("method", |row| row.method.clone());
pub(crate) const HOOK: (&str, Cell<Metric>) = ("hook", |row| row.hook.map(|hook| hook.to_string()));
pub(crate) const FIT_ON: (&str, Cell<Metric>) = ("fit_on", |row| row.fit_on.clone());
pub(crate) const SCORED_ON: (&str, Cell<Metric>) = ("scored_on", |row| row.scored_on.clone());

pub(crate) const BIN_METHOD: (&str, Cell<Histogram>) = ("method", |bin| Some(bin.method.clone()));
pub(crate) const BIN_BEHAVIOR: (&str, Cell<Histogram>) = ("behavior", |bin| Some(bin.behavior.clone()));

pub(crate) const DOSE_BEHAVIOR: (&str, Cell<Dose>) = ("behavior", |dose| Some(dose.behavior.clone()));
pub(crate) const DOSE_ARM: (&str, Cell<Dose>) = ("arm", |dose| dose.arm.clone());
pub(crate) const DOSE_HOOK: (&str, Cell<Dose>) = ("hook", |dose| Some(dose.hook.to_string()));
pub(crate) const DIRECTION: (&str, Cell<Dose>) = ("direction", |dose| Some(dose.direction.clone()));

/// Some rows of a table, never none.
#[derive(Debug)]
pub(crate) struct Selection<'a, R> {
    /// What the rows are, for errors.
    pub(crate) metric: String,
    pub(crate) rows: Vec<&'a R>,
}

impl<R> Clone for Selection<'_, R> {
    fn clone(&self) -> Self {
        Self { metric: self.metric.clone(), rows: self.rows.clone() }
    }
}

impl<'a> Selection<'a, Metric> {
    /// The rows of one metric.
    pub(crate) fn of(rows: &'a [Metric], metric: &str) -> Result<Self> {
        let chosen: Vec<&Metric> = rows.iter().filter(|row| row.metric == metric).collect();
        if chosen.is_empty() {
            let found = distinct(rows.iter().map(|row| row.metric.clone()));
            return Err(Error::NoMetric { metric: metric.into(), found });
        }
        Ok(Self { metric: metric.into(), rows: chosen })
    }

    /// Checks that its rows come from one run: one arm, seed and step.
    pub(crate) fn of_one_run(self, arm: Option<&str>) -> Result<Self> {
        self.keep_or_alike(ARM, arm)?.alike(SEED)?.alike(STEP)
    }
}

impl<'a> Selection<'a, Dose> {
    /// The doses of one metric.
    pub(crate) fn doses(rows: &'a [Dose], metric: &str) -> Result<Self> {
        let chosen: Vec<&Dose> = rows.iter().filter(|dose| dose.metric == metric).collect();
        if chosen.is_empty() {
            let found = distinct(rows.iter().map(|dose| dose.metric.clone()));
            return Err(Error::NoMetric { metric: metric.into(), found });
        }
        Ok(Self { metric: metric.into(), rows: chosen })
    }
}

impl<'a> Selection<'a, Histogram> {
    /// All bins of a table of histograms.
    pub(crate) fn bins(rows: &'a [Histogram]) -> Result<Self> {
        match rows {
            [] => Err(Error::NoMetric { metric: "histogram".into(), found: vec![] }),
            rows => Ok(Self { metric: "histogram".into(), rows: rows.iter().collect() }),
        }
    }
}

impl<R> Selection<'_, R> {
    /// The rows that hold `wanted` in a column.
    pub(crate) fn keep(self, (column, cell): (&'static str, Cell<R>), wanted: &str) -> Result<Self> {
        let (kept, rest): (Vec<&R>, Vec<&R>) =
            self.rows.into_iter().partition(|row| cell(row).as_deref() == Some(wanted));
        if kept.is_empty() {
            let found = distinct(rest.into_iter().filter_map(cell));
            return Err(Error::NoRows { metric: self.metric, column, wanted: wanted.into(), found });
        }
        Ok(Self { metric: self.metric, rows: kept })
    }

    /// The rows that hold nothing in a column.
    pub(crate) fn keep_empty(self, (column, cell): (&'static str, Cell<R>)) -> Result<Self> {
        let (kept, rest): (Vec<&R>, Vec<&R>) = self.rows.into_iter().partition(|row| cell(row).is_none());
        if kept.is_empty() {
            let found = distinct(rest.into_iter().filter_map(cell));
            return Err(Error::NoRows { metric: self.metric, column, wanted: "(empty)".into(), found });
        }
        Ok(Self { metric: self.metric, rows: kept })
    }

    /// The same, saying in errors that the rows are those `of` what is wanted.
    pub(crate) fn within(self, column: (&'static str, Cell<R>), wanted: &str, of: &str) -> Result<Self> {
        let kept = self.keep(column, wanted)?;
        Ok(Self { metric: format!("{} {of} {wanted}", kept.metric), rows: kept.rows })
    }

    /// The rows that hold `wanted` in a column; all of them when nothing is wanted and they hold the same.
    pub(crate) fn keep_or_alike(self, column: (&'static str, Cell<R>), wanted: Option<&str>) -> Result<Self> {
        match wanted {
            Some(wanted) => self.keep(column, wanted),
            None => self.alike(column),
        }
    }

    /// Checks that all rows hold the same in a column.
    pub(crate) fn alike(self, (column, cell): (&'static str, Cell<R>)) -> Result<Self> {
        let found = distinct(self.rows.iter().map(|row| cell(row).unwrap_or_else(|| "(empty)".into())));
        match found.len() {
            0 | 1 => Ok(self),
            _ => Err(Error::Ambiguous { metric: self.metric, column, found }),
        }
    }

    /// What a column holds, each once, in the order of the table.
    pub(crate) fn values(&self, (_, cell): (&'static str, Cell<R>)) -> Vec<String> {
        distinct(self.rows.iter().filter_map(|row| cell(row)))
    }
}

/// A row's value and interval, finite where they are there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measured {
    pub(crate) value: Option<f64>,
    pub(crate) interval: Option<(f64, f64)>,
    pub(crate) n: Option<i64>,
}

impl Measured {
    pub(crate) fn of(row: &Metric) -> Result<Self> {
        Self::finite([row.value, row.low, row.high], row.n, &row.metric, || place(row))
    }

    /// The same of a dose.
    pub(crate) fn of_dose(dose: &Dose) -> Result<Self> {
        Self::finite([dose.value, dose.low, dose.high], dose.n, &dose.metric, || dose_place(dose))
    }

    fn finite(
        numbers: [Option<f64>; 3],
        n: Option<i64>,
        metric: &str,
        place: impl Fn() -> String,
    ) -> Result<Self> {
        if let Some(value) = numbers.into_iter().flatten().find(|number| !number.is_finite()) {
            return Err(Error::NotFinite { metric: metric.into(), place: place(), value });
        }
        let [value, low, high] = numbers;
        Ok(Self { value, interval: low.zip(high), n })
    }
}

/// Rows by hook point, one each.
pub(crate) fn by_hook(selection: &Selection<'_, Metric>) -> Result<BTreeMap<HookPoint, Measured>> {
    let mut found = BTreeMap::new();
    for row in &selection.rows {
        let Some(hook) = row.hook else { continue };
        if found.insert(hook, Measured::of(row)?).is_some() {
            return Err(Error::Twice { metric: selection.metric.clone(), place: place(row) });
        }
    }
    Ok(found)
}

/// A row's place in words.
pub(crate) fn place(row: &Metric) -> String {
    let cells = [BEHAVIOR, HOOK, METHOD, FIT_ON, SCORED_ON];
    let named = cells.into_iter().filter_map(|(_, cell)| cell(row)).filter(|cell| !cell.is_empty());
    let run = [ARM, STEP, SEED];
    let run = run.into_iter().filter_map(|(column, cell)| Some(format!("{column} `{}`", cell(row)?)));
    named.map(|cell| format!("`{cell}`")).chain(run).collect::<Vec<_>>().join(", ")
}

/// A dose's place in words.
pub(crate) fn dose_place(dose: &Dose) -> String {
    let Dose { behavior, direction, hook, strength, .. } = dose;
    let arm = dose.arm.as_ref().map(|arm| format!(", arm `{arm}`")).unwrap_or_default();
    format!("`{behavior}`{arm}, `{direction}` at `{hook}`, strength {strength}")
}

/// Each value once, in the order in which they come.
pub(crate) fn distinct(values: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut seen = vec![];
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}

/// The counts behind some rows: `n = 80 pairs`, `n = 70–80 pairs`; nothing when no row has one.
pub(crate) fn counts(ns: impl IntoIterator<Item = Option<i64>>, unit: Option<&str>) -> Option<String> {
    let ns: Vec<i64> = ns.into_iter().flatten().collect();
    let (low, high) = (ns.iter().min()?, ns.iter().max()?);
    let number = if low == high { low.to_string() } else { format!("{low}–{high}") };
    Some(unit.map_or(format!("n = {number}"), |unit| format!("n = {number} {unit}")))
}

/// What an interval was drawn over: `pairs` of `95 % cluster bootstrap over pairs`.
pub(crate) fn unit(interval: &str) -> Option<&str> {
    interval.rsplit_once(" over ").map(|(_, unit)| unit)
}
