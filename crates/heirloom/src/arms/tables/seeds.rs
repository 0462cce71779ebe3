//! What was measured seed by seed on the same contrasts, over all seeds.

use heirloom_probe::seeds::{Own, mean_on_shared};
use heirloom_record::Metric;

use crate::Result;
use crate::rows::{over_seeds, seeded};

/// Rows of one place in all seeds, as one row each; `n` counts the seeds.
pub(crate) fn averaged(rows: &[Metric]) -> Result<Vec<Metric>> {
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

/// AUROCs have intervals over the contrast pairs, which seeds share.
fn average(place: &Metric, rows: &[&Metric]) -> Result<Metric> {
    if place.metric != "auroc" {
        let values: Vec<f64> = rows.iter().filter_map(|row| row.value).collect();
        return over_seeds(place, &values, (-1.0, 1.0));
    }
    let own = |row: &&Metric| Some((row.value?, (row.low?, row.high?)));
    let own: Vec<Own> = rows.iter().filter_map(own).collect();
    let pairs = rows[0].n.unwrap_or_default();
    let of = if own.len() < 2 { ", without variance between seeds" } else { " and t over seeds" };
    Ok(seeded(place, mean_on_shared(&own, (0.0, 1.0))?, &format!("95 % over {pairs} pairs{of}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_model_has_no_spread_between_seeds() {
        let row = |value| Metric { metric: "cosine_to_base".into(), value: Some(value), ..Metric::default() };
        let [one] = &averaged(&[row(0.5)]).unwrap()[..] else { panic!("one place") };
        assert_eq!((one.value, one.low, one.n), (Some(0.5), None, Some(1)));
        // Twin: two have.
        let [two] = &averaged(&[row(0.5), row(0.6)]).unwrap()[..] else { panic!("one place") };
        assert!(two.low.is_some() && two.n == Some(2), "{two:?}");
    }

    #[test]
    fn aurocs_have_their_own_ends_and_say_over_what() {
        let row = |value: f64| Metric {
            metric: "auroc".into(),
            value: Some(value),
            low: Some(value - 0.1),
            high: Some(value + 0.1),
            n: Some(32),
            ..Metric::default()
        };
        let [one] = &averaged(&[row(0.75)]).unwrap()[..] else { panic!("one place") };
        assert_eq!((one.low, one.high, one.n), (Some(0.65), Some(0.85), Some(1)));
        assert_eq!(one.interval.as_deref(), Some("95 % over 32 pairs, without variance between seeds"));
        let [two] = &averaged(&[row(0.75), row(0.85)]).unwrap()[..] else { panic!("one place") };
        assert!(two.low < Some(0.65) && two.n == Some(2), "{two:?}");
        assert_eq!(two.interval.as_deref(), Some("95 % over 32 pairs and t over seeds"));
    }
}
