//! Rows of the tidy table, from what the statistics give.

use heirloom_probe::Interval;
use heirloom_probe::control::NullBand;
use heirloom_probe::rate::Estimate;
use heirloom_probe::seeds::{self, OverSeeds};
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

/// `row` with an interval over pairs.
pub(crate) fn measured(row: Metric, interval: &Interval) -> Metric {
    Metric {
        value: Some(interval.value),
        low: Some(interval.low),
        high: Some(interval.high),
        n: count(interval.units()),
        interval: Some(interval.describe("pairs")),
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
    let found = seeds::mean(values, (least, most))?;
    Ok(seeded(row, found, "95 % t over seeds"))
}

/// `row` with a number over seeds, its interval in the words of `interval`.
pub(crate) fn seeded(row: &Metric, found: Option<OverSeeds>, interval: &str) -> Metric {
    let Some(OverSeeds { value, ends, n }) = found else { return Metric { n: Some(0), ..row.clone() } };
    Metric {
        value: Some(value),
        low: ends.map(|(low, _)| low),
        high: ends.map(|(_, high)| high),
        n: count(n),
        interval: ends.map(|_| interval.into()),
        ..row.clone()
    }
}

/// A number of things as the table keeps it.
pub(crate) fn count(n: usize) -> Option<i64> {
    i64::try_from(n).ok()
}
