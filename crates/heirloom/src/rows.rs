//! Rows of the tidy table, from what the statistics give.

use heirloom_probe::control::NullBand;
use heirloom_probe::interval::{LEVEL, student_t};
use heirloom_probe::rate::Estimate;
use heirloom_record::Metric;

use crate::Result;

/// `row` with an estimate over seeds and what `cluster` names, a plural.
pub(crate) fn estimated(row: Metric, estimate: &Estimate, cluster: &str) -> Metric {
    Metric {
        value: Some(estimate.value),
        low: Some(estimate.low),
        high: Some(estimate.high),
        n: count(estimate.n),
        interval: Some(estimate.describe("seeds", cluster)),
        ..row
    }
}

/// `row` with what controls gave, each the mean over seeds.
pub(crate) fn banded(row: Metric, band: &NullBand) -> Metric {
    quantiles(row, band, "2.5 % to 97.5 % of controls, each the mean over seeds")
}

/// `row` with the middle of a null band, in the words of `interval`.
pub(crate) fn quantiles(row: Metric, band: &NullBand, interval: &str) -> Metric {
    Metric {
        value: Some(band.median),
        low: Some(band.low),
        high: Some(band.high),
        n: count(band.values.len()),
        interval: Some(interval.into()),
        ..row
    }
}

/// `row` with a mean over seeds: with Student's t where there are several, cut at what is possible.
pub(crate) fn over_seeds(row: &Metric, values: &[f64], (least, most): (f64, f64)) -> Result<Metric> {
    let n = count(values.len());
    if values.len() < 2 {
        return Ok(Metric { value: values.first().copied(), n, ..row.clone() });
    }
    let t = student_t(values, LEVEL)?;
    Ok(Metric {
        value: Some(t.value),
        low: Some(t.low.max(least)),
        high: Some(t.high.min(most)),
        n,
        interval: Some("95 % t over seeds".into()),
        ..row.clone()
    })
}

/// The ends of an interval around `value`, with a second error of `half` to each side at a right angle to the first.
pub(crate) fn widened(value: f64, (low, high): (f64, f64), half: f64) -> (f64, f64) {
    (value - (value - low).hypot(half), value + (high - value).hypot(half))
}

/// A number of things as the table keeps it.
pub(crate) fn count(n: usize) -> Option<i64> {
    i64::try_from(n).ok()
}
