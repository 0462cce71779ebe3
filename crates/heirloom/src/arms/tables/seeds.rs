//! What was measured seed by seed on the same contrasts, over all seeds.

use heirloom_probe::interval::{LEVEL, student_t};
use heirloom_record::Metric;

use crate::Result;
use crate::rows::{count, over_seeds, widened};

/// Rows of one place in all seeds, as one row each; `n` counts the seeds.
///
/// Seeds share the contrast pairs. What these leave open, for which the mean of the seeds' own ends stands (it is as wide as if the pairs moved all seeds
/// together), and what seeds differ by, Student's t over them, are two errors at a right angle.
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
    let t = student_t(&values, LEVEL)?;
    let (low, high) = widened(value, (low, high), t.high - t.value);
    Ok(Metric {
        low: Some(low.max(0.0)),
        high: Some(high.min(1.0)),
        interval: Some(format!("95 % over {pairs} pairs and t over seeds")),
        ..row
    })
}

#[cfg(test)]
mod tests {
    use heirloom_probe::random::{seeded, standard_normal, stream};
    use heirloom_probe::{Resampling, auroc_interval};

    use super::*;

    const PAIRS: usize = 32;
    const SIMULATIONS: u64 = 300;

    /// The standard normal distribution, by a sum over its density.
    fn phi(z: f64) -> f64 {
        let steps = 10_000;
        let density = |step: i32| (-0.5 * (z * f64::from(step) / f64::from(steps)).powi(2)).exp();
        let middle: f64 = (1..steps).map(density).sum();
        0.5 + z / f64::from(steps) * (middle + f64::midpoint(density(0), density(steps)))
            / std::f64::consts::TAU.sqrt()
    }

    /// How often the interval over three seeds holds the AUROC in the population of seeds and pairs.
    ///
    /// A score is its own noise of variance 1, of which seeds have the part `shared` in common, and for positives a mean of 1.5, by which seeds
    /// differ with a standard deviation of `seeds`.
    fn held(seeds: f64, shared: f64) -> f64 {
        let truth = phi(1.5 / (2.0 + seeds * seeds).sqrt());
        let one = |simulation: u64| {
            let mut rng = stream(&seeded([7; 32]), simulation);
            let common: Vec<f64> = (0..2 * PAIRS).map(|_| standard_normal(&mut rng)).collect();
            let labels: Vec<bool> = (0..2 * PAIRS).map(|row| row < PAIRS).collect();
            let clusters: Vec<usize> = (0..2 * PAIRS).map(|row| row % PAIRS).collect();
            let with = Resampling { replicates: 200, ..Resampling::default() };
            let mut rows = vec![];
            for seed in 0..3 {
                let mean = 1.5 + seeds * standard_normal(&mut rng);
                let score = |(row, common): (usize, &f64)| {
                    let noise = shared.sqrt() * common + (1.0 - shared).sqrt() * standard_normal(&mut rng);
                    if row < PAIRS { mean + noise } else { noise }
                };
                let scores: Vec<f64> = common.iter().enumerate().map(score).collect();
                let found = auroc_interval(&scores, &labels, &clusters, with, &stream(&rng, 1)).unwrap();
                rows.push(Metric {
                    seed: Some(seed),
                    metric: "auroc".into(),
                    value: Some(found.value),
                    low: Some(found.low),
                    high: Some(found.high),
                    n: count(PAIRS),
                    ..Metric::default()
                });
            }
            let [row] = &averaged(&rows).unwrap()[..] else { panic!("one place") };
            row.low.unwrap() <= truth && truth <= row.high.unwrap()
        };
        (0..SIMULATIONS).filter(|simulation| one(*simulation)).count() as f64 / SIMULATIONS as f64
    }

    #[test]
    fn aurocs_over_seeds_are_covered() {
        for (seeds, shared) in [(0.0, 0.9), (0.4, 0.9), (0.4, 0.5), (0.8, 0.5)] {
            let held = held(seeds, shared);
            println!("seeds {seeds}, shared {shared}: held {held:.3}");
            // 300 simulations have a standard error of 0.013.
            assert!(held >= 0.925, "seeds {seeds}, shared {shared}: held {held}");
        }
    }

    #[test]
    fn one_model_has_no_spread_between_seeds() {
        let row = |value| Metric { metric: "cosine_to_base".into(), value: Some(value), ..Metric::default() };
        let [one] = &averaged(&[row(0.5)]).unwrap()[..] else { panic!("one place") };
        assert_eq!((one.value, one.low, one.n), (Some(0.5), None, Some(1)));
        // Twin: two have.
        let [two] = &averaged(&[row(0.5), row(0.6)]).unwrap()[..] else { panic!("one place") };
        assert!(two.low.is_some() && two.n == Some(2), "{two:?}");
    }
}
