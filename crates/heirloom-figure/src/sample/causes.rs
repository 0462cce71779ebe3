//! Steered students, and students whose prompts were chosen by rankers, made up.

use heirloom_record::{Dose, HookPoint, Metric};

use super::noise;
use crate::{Arm, Behavior, BehaviorRankers, Ranker, Role, SelectionSpec, Share};

pub(crate) const STRENGTHS: [f64; 9] = [-1.5, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 1.5];
const PERCENTS: [f64; 4] = [2.5, 5.0, 10.0, 20.0];
/// Rankers with how fast each removes.
const RANKERS: [(&str, f64); 5] = [
    ("projection-difference", 0.26),
    ("activation-attribution", 0.15),
    ("tags", 0.36),
    ("random", 0.012),
    ("random-equal-length", 0.02),
];

/// Rates and coherence by strength of the direction and of two null families.
pub(crate) fn doses(behaviors: &[Behavior], strengths: &[f64]) -> Vec<Dose> {
    let mut rows = vec![];
    for (b, behavior) in behaviors.iter().enumerate() {
        for (s, strength) in strengths.iter().copied().enumerate() {
            let logistic = |slope: f64| 1.0 / (1.0 + (-(slope * strength - 0.7)).exp());
            let falls = 0.97 - 0.24 * strength * strength;
            for (f, (family, slope, half)) in
                [("direction", 4.0 - 0.8 * b as f64, 0.07), ("random", 0.1, 0.09), ("difference", 0.3, 0.15)]
                    .into_iter()
                    .enumerate()
            {
                let wobble = 0.02 * noise(b * 97 + s * 11 + f);
                for (metric, value) in [("rate", logistic(slope) + wobble), ("coherence", falls + wobble)] {
                    let value = value.clamp(0.01, 0.99);
                    let half = if metric == "rate" { half } else { 0.5 * half };
                    let (n, kind) = match family {
                        "direction" => (192, "95 % cluster bootstrap over scenarios"),
                        _ => (64, "2.5–97.5 % of draws"),
                    };
                    rows.push(Dose {
                        behavior: behavior.name.clone(),
                        arm: Some("all A".into()),
                        direction: family.into(),
                        hook: HookPoint::resid_post(2),
                        strength,
                        metric: metric.into(),
                        value: Some(value),
                        low: Some((value - half).max(0.0)),
                        high: Some((value + half).min(1.0)),
                        n: Some(n),
                        interval: Some(kind.into()),
                    });
                }
            }
        }
    }
    rows
}

fn arm(ranker: &str, percent: f64) -> String {
    format!("swap {percent}% by {ranker}")
}

/// What is removed of each behavior by each ranker at each share, by seed and over seeds.
pub(crate) fn removed(behaviors: &[Behavior], seeds: i64) -> Vec<Metric> {
    let mut rows = vec![];
    for (b, behavior) in behaviors.iter().enumerate() {
        for (r, (ranker, speed)) in RANKERS.into_iter().enumerate() {
            for (p, percent) in PERCENTS.into_iter().enumerate() {
                let mean = (1.0 - (-speed * percent * (1.0 - 0.3 * b as f64).max(0.05)).exp()) * 0.97;
                let row = Metric {
                    behavior: behavior.name.clone(),
                    arm: Some(arm(ranker, percent)),
                    method: Some(ranker.into()),
                    metric: "selection_removed".into(),
                    ..Metric::default()
                };
                let of_seed = |seed: i64| {
                    mean + 0.06 * noise(b * 211 + r * 41 + p * 7 + usize::try_from(seed).unwrap_or(0))
                };
                let each = (0..seeds).map(|seed| Metric {
                    seed: Some(seed),
                    value: Some(of_seed(seed)),
                    n: Some(256),
                    ..row.clone()
                });
                rows.extend(each);
                let half = (seeds > 1).then(|| 0.05 + 0.08 * mean * (1.0 - mean) + 0.02 * noise(r * 5 + p));
                rows.push(Metric {
                    value: Some(mean),
                    low: half.map(|half| mean - half),
                    high: half.map(|half| mean + half),
                    n: Some(256 * seeds),
                    interval: half.map(|_| "95 % cluster bootstrap over seeds and scenarios".into()),
                    ..row
                });
            }
        }
    }
    rows
}

/// Every ranker for each behavior.
pub(crate) fn rankers(behaviors: Vec<Behavior>) -> SelectionSpec {
    let shares = |ranker: &str| -> Vec<Share> {
        let share = |percent: f64| Share {
            fraction: percent / 100.0,
            arm: Arm::new(arm(ranker, percent), Role::Swap),
        };
        PERCENTS.into_iter().map(share).collect()
    };
    let rankers: Vec<Ranker> = RANKERS.iter().map(|(name, _)| Ranker::new(*name, shares(name))).collect();
    let panel = |behavior| BehaviorRankers { behavior, rankers: rankers.clone() };
    SelectionSpec::new(behaviors.into_iter().map(panel).collect())
}
