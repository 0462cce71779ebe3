//! Verdicts as a table: one effect a row, beside its controls.

use heirloom_probe::causal::Side;
use heirloom_record::CausalCheck;

use super::about::About;
use super::weigh::{Found, Kind, Moved, Weighed};

impl Weighed {
    /// The effects as a table.
    pub(super) fn table(&self, about: &About<'_>) -> Vec<CausalCheck> {
        let mut rows = vec![];
        for found in &self.found {
            for (behavior, moved) in found.effects.iter().enumerate() {
                rows.push(self.row(found, behavior, moved, about));
            }
        }
        rows
    }

    fn row(&self, found: &Found, behavior: usize, moved: &Moved, about: &About<'_>) -> CausalCheck {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let students: Vec<String> = about.students.iter().map(u64::to_string).collect();
        let doses = if found.kind == Kind::Add { about.search.strengths.len() } else { 1 };
        let effect = moved.effect.as_ref();
        CausalCheck {
            arm: about.arm.clone(),
            seeds: students.join(", "),
            hook: about.hook,
            fit_on: about.fit_on[found.direction].clone(),
            edit: found.kind.name().into(),
            direction: about.behaviors[found.direction].0.clone(),
            behavior: about.behaviors[behavior].0.clone(),
            strength: found.strength,
            doses: count(doses),
            unsteered: self.unsteered[behavior].0.value,
            rate: moved.rate,
            effect: effect.map(|effect| effect.value),
            low: effect.map(|effect| effect.low),
            high: effect.map(|effect| effect.high),
            n: count(self.unsteered[behavior].0.clusters),
            interval: effect.map(|effect| effect.describe(about.unit, "scenarios")),
            coherence: found.coherence,
            floor: self.floor,
            tested: moved.tested,
            random_low: moved.random.0,
            random_high: moved.random.1,
            difference_low: moved.differences.0,
            difference_high: moved.differences.1,
            side: if moved.p.side == Side::Raises { "raises" } else { "either" }.into(),
            p: moved.p.raw,
            p_adjusted: moved.p.adjusted,
            comparisons: count(moved.p.comparisons),
            controls: count(moved.p.controls),
            verdict: found.verdict.into(),
            reasons: found.reasons.join("; "),
        }
    }
}
