//! How far a behavior's direction turned: cosines between directions fit anew on each arm's students.

use heirloom_probe::subspace::cosine;
use heirloom_record::Metric;

use super::Both;
use crate::Result;
use crate::rows::over_seeds;

/// Cosines by behavior, hook point and seed, with means over seeds.
///
/// Directions fit on few pairs differ between two halves of one student's pairs, too: `cosine_of_halves`, the mean of
/// both arms, is what a direction that did not turn has on half of the data.
pub(super) fn metrics(both: &Both<'_>) -> Result<Vec<Metric>> {
    // By behavior and hook point: a row without a value, cosines of arms by seed, cosines of halves by seed.
    let mut cells: Vec<(Metric, Vec<f64>, Vec<f64>)> = vec![];
    let [first, second] = both.stored.map(|stored| &stored.experiment);
    for pair in &both.pairs {
        let [one, other] = pair.sides.each_ref();
        // One set of contrasts for both sides.
        let fixed = one.subject.fixed;
        let fits = one.with_student(first, |student| fixed.refit(student))?;
        let others = other.with_student(second, |student| fixed.refit(student))?;
        let kept = fits.iter().zip(&others).filter(|(fit, _)| both.behaviors.contains(&fit.behavior));
        for (index, (fit, refit)) in kept.enumerate() {
            if cells.len() <= index {
                let row = Metric {
                    behavior: fit.behavior.clone(),
                    hook: Some(fit.hook),
                    method: Some("dom".into()),
                    fit_on: Some(format!("arm:{}", both.labels[0])),
                    scored_on: Some(format!("arm:{}", both.labels[1])),
                    ..Metric::default()
                };
                cells.push((row, vec![], vec![]));
            }
            let [a, b] = [fit, refit].map(|fit| cosine(fit.halves[0].view(), fit.halves[1].view()));
            cells[index].1.push(cosine(fit.direction.view(), refit.direction.view())?);
            cells[index].2.push(f64::midpoint(a?, b?));
        }
    }
    let mut rows = vec![];
    for (row, arms, halves) in &cells {
        for (metric, values) in [("cosine", arms), ("cosine_of_halves", halves)] {
            let row = Metric { metric: metric.into(), ..row.clone() };
            let of_seed = |(pair, value): (&super::Pair<'_>, &f64)| Metric {
                seed: i64::try_from(pair.seed).ok(),
                value: Some(*value),
                ..row.clone()
            };
            rows.extend(both.pairs.iter().zip(values).map(of_seed));
            rows.push(over_seeds(&row, values, (-1.0, 1.0))?);
        }
    }
    Ok(rows)
}
