//! How far a behavior's direction turned: cosines between directions fit anew on each arm's students.

use heirloom_probe::subspace::cosine;
use heirloom_record::Metric;

use super::Pairing;
use super::run::Both;
use crate::Result;
use crate::rows::over_seeds;

/// A direction at one hook point, by seed.
#[derive(Clone, Debug, Default)]
pub(super) struct Turned {
    /// A row without a value.
    pub(super) row: Metric,
    /// Cosines between both arms' fits.
    pub(super) arms: Vec<f64>,
    /// Cosines between the fits on two halves of one student's pairs, the mean of both arms.
    pub(super) halves: Vec<f64>,
}

/// Cosines by behavior, hook point and seed, with means over seeds.
///
/// Directions fit on few pairs differ between two halves of one student's pairs, too: `cosine_of_halves`, the mean of
/// both arms, is what a direction that did not turn has on half of the data.
pub(super) fn metrics(both: &Both<'_>) -> Result<Vec<Metric>> {
    // By behavior and hook point.
    let mut cells: Vec<Turned> = vec![];
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
                    fit_on: Some(format!("arm:{}", both.pairing.labels[0])),
                    scored_on: Some(format!("arm:{}", both.pairing.labels[1])),
                    ..Metric::default()
                };
                cells.push(Turned { row, ..Turned::default() });
            }
            let [a, b] = [fit, refit].map(|fit| cosine(fit.halves[0].view(), fit.halves[1].view()));
            cells[index].arms.push(cosine(fit.direction.view(), refit.direction.view())?);
            cells[index].halves.push(f64::midpoint(a?, b?));
        }
    }
    cells
        .iter()
        .map(|turned| turned.rows(&both.pairing))
        .collect::<Result<Vec<_>>>()
        .map(|rows| rows.concat())
}

impl Turned {
    /// By seed, and over seeds.
    pub(super) fn rows(&self, pairing: &Pairing) -> Result<Vec<Metric>> {
        let mut rows = vec![];
        for (metric, values) in [("cosine", &self.arms), ("cosine_of_halves", &self.halves)] {
            if !values.is_empty() {
                let row = Metric { metric: metric.into(), ..self.row.clone() };
                rows.extend(by_seed(pairing, &row, values)?);
            }
        }
        Ok(rows)
    }
}

/// Cosines of each seed, and over seeds.
pub(super) fn by_seed(pairing: &Pairing, row: &Metric, values: &[f64]) -> Result<Vec<Metric>> {
    let of_seed = |(seed, value): (&u64, &f64)| Metric {
        seed: i64::try_from(*seed).ok(),
        value: Some(*value),
        ..row.clone()
    };
    let mut rows: Vec<Metric> = pairing.seeds.iter().zip(values).map(of_seed).collect();
    rows.push(over_seeds(row, values, (-1.0, 1.0))?);
    Ok(rows)
}
