//! What was measured seed by seed on the same contrasts, over all seeds.

use heirloom_probe::Resampling;
use heirloom_probe::interval::student_t;
use heirloom_record::Metric;

use crate::Result;
use crate::rows::{count, over_seeds};

/// Rows of one place in all seeds, as one row each; `n` counts the seeds.
///
/// Seeds share the contrast pairs. An AUROC's interval is the wider, on each side, of Student's t over seeds, which does not know of the pairs, and of the
/// mean of the seeds' own ends, which does not know of the seeds; a mean of intervals is as wide as if the pairs moved all seeds together.
pub(super) fn averaged(rows: &[Metric]) -> Result<Vec<Metric>> {
    let mut places: Vec<(Metric, Vec<&Metric>)> = vec![];
    for row in rows {
        let place =
            Metric { seed: None, value: None, low: None, high: None, n: None, interval: None, ..row.clone() };
        match places.iter_mut().find(|(other, _)| *other == place) {
            Some((_, own)) => own.push(row),
            None => places.push((place, vec![row])),
        }
    }
    places.iter().map(|(place, own)| average(place, own)).collect()
}

fn average(place: &Metric, own: &[&Metric]) -> Result<Metric> {
    let values: Vec<f64> = own.iter().filter_map(|row| row.value).collect();
    if place.metric != "auroc" {
        return over_seeds(place, &values, (-1.0, 1.0));
    }
    let mean =
        |of: fn(&Metric) -> Option<f64>| own.iter().filter_map(|row| of(row)).sum::<f64>() / own.len() as f64;
    let (value, low, high) = (mean(|row| row.value), mean(|row| row.low), mean(|row| row.high));
    let pairs = own[0].n.unwrap_or_default();
    let row = Metric { value: Some(value), n: count(values.len()), ..place.clone() };
    if values.len() < 2 {
        let interval = Some(format!("95 % over {pairs} pairs, without variance between seeds"));
        return Ok(Metric { low: Some(low), high: Some(high), interval, ..row });
    }
    let t = student_t(&values, Resampling::default().level)?;
    Ok(Metric {
        low: Some(low.min(t.low).max(0.0)),
        high: Some(high.max(t.high).min(1.0)),
        interval: Some(format!(
            "95 % t over seeds, or mean of the seeds' intervals over {pairs} pairs where wider"
        )),
        ..row
    })
}
