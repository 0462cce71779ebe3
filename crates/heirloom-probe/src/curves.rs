//! The same clusters measured several times: one list of means each.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::rate::Observation;

/// Means by run and cluster, one per measurement.
pub(crate) type Curves = BTreeMap<(usize, usize), Vec<f64>>;

/// Mean of each cluster in each measurement.
///
/// **Errors** at a cluster that one of them lacks; `named` says which measurement that was.
pub(crate) fn curves<'a>(
    measurements: impl ExactSizeIterator<Item = &'a [Observation]>,
    named: impl Fn(usize, Error) -> Error,
) -> Result<Curves> {
    let n = measurements.len();
    let mut samples: BTreeMap<(usize, usize), Vec<Vec<f64>>> = BTreeMap::new();
    for (at, seen) in measurements.enumerate() {
        for Observation { run, cluster, value } in seen {
            samples.entry((*run, *cluster)).or_insert_with(|| vec![vec![]; n])[at].push(*value);
        }
    }
    let mut curves = BTreeMap::new();
    for ((run, cluster), samples) in samples {
        let mut curve = vec![];
        for (at, mut values) in samples.into_iter().enumerate() {
            if values.is_empty() {
                let missing = if at == 0 { "second" } else { "first" };
                return Err(named(at, Error::Unpaired { run, cluster, missing }));
            }
            // The order of observations must not reach the last bit.
            values.sort_by(f64::total_cmp);
            curve.push(values.iter().sum::<f64>() / values.len() as f64);
        }
        curves.insert((run, cluster), curve);
    }
    Ok(curves)
}
