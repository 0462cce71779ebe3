//! Origins of behaviors, verdicts on them, and directions that are more or less alike, made up.

use heirloom_record::{HookPoint, Metric};

use super::noise;
use crate::{Behavior, Effect, VERDICTS};

/// Effects on the rates of three behaviors: teacher, prompts, interaction, base.
const EFFECTS: [[f64; 4]; 3] =
    [[0.83, -0.04, -0.03, 0.01], [0.78, 0.02, 0.05, -0.02], [0.03, 0.77, 0.06, 0.14]];
const BOOTSTRAP: &str = "95 % cluster bootstrap over seeds and scenarios";

/// A row per behavior, effect and seed, and one over all seeds, of rates and projections.
pub(crate) fn origins(behaviors: &[Behavior], seeds: i64) -> Vec<Metric> {
    let mut rows = vec![];
    for (b, behavior) in behaviors.iter().enumerate() {
        for (e, effect) in Effect::ALL.into_iter().enumerate() {
            let mean = EFFECTS[b % 3][e];
            for (of, scale, n) in [(0, 1.0, 256), (1, 48.0, 128)] {
                let row = Metric {
                    behavior: behavior.name.clone(),
                    step: Some(62),
                    hook: (of == 1).then(|| HookPoint::resid_post(2)),
                    method: (of == 1).then(|| "dom".into()),
                    fit_on: (of == 1).then(|| "base".into()),
                    metric: effect.metric(),
                    ..Metric::default()
                };
                let of_seed = |seed: i64| {
                    let index = b * 401 + e * 31 + of * 7 + usize::try_from(seed).unwrap_or(0);
                    scale * (mean + 0.06 * noise(index))
                };
                let each = (0..seeds).map(|seed| Metric {
                    seed: Some(seed),
                    value: Some(of_seed(seed)),
                    n: Some(n),
                    ..row.clone()
                });
                rows.extend(each);
                // A single seed has no interval over seeds.
                let half = (seeds > 1).then(|| scale * (0.07 + 0.03 * noise(b * 17 + e)));
                rows.push(Metric {
                    value: Some(scale * mean),
                    low: half.map(|half| scale * mean - half),
                    high: half.map(|half| scale * mean + 0.8 * half),
                    n: Some(n * seeds),
                    interval: half.map(|_| BOOTSTRAP.into()),
                    ..row
                });
            }
        }
    }
    rows
}

/// Every verdict on each behavior.
pub(crate) fn verdicts(behaviors: &[Behavior]) -> Vec<Metric> {
    let mut rows = vec![];
    for (b, behavior) in behaviors.iter().enumerate() {
        let first = [2, 0, 4, 9, 3, 7][b % 6];
        let second = (first + 8) % VERDICTS.len();
        for (v, (name, _)) in VERDICTS.iter().enumerate() {
            let lead = 0.93 - 0.11 * (b % 5) as f64;
            let value = match v {
                _ if v == first => lead,
                _ if v == second => 0.75 * (1.0 - lead),
                _ if v == (first + 1) % VERDICTS.len() => 0.25 * (1.0 - lead),
                _ => 0.0,
            };
            rows.push(Metric {
                behavior: behavior.name.clone(),
                metric: format!("verdict_{name}"),
                value: Some(value),
                n: Some(2000),
                interval: None,
                ..Metric::default()
            });
        }
    }
    rows
}

/// Cosines between directions of arms or checkpoints, of one behavior.
pub(crate) fn cosines(behavior: &str, prefix: &str, names: &[String]) -> Vec<Metric> {
    let mut rows = vec![];
    for (i, from) in names.iter().enumerate() {
        for (j, to) in names.iter().enumerate() {
            let (near, far) = (i.min(j), i.max(j));
            let value = match prefix {
                _ if i == j => 1.0,
                "checkpoint" => {
                    0.985_f64.powf(((far - near) * (far - near)) as f64) - 0.1 * noise(near * 13 + far)
                }
                _ => (0.75 * noise(near * 29 + far * 3)).clamp(-0.95, 0.95),
            };
            rows.push(Metric {
                behavior: behavior.into(),
                hook: Some(HookPoint::resid_post(2)),
                method: Some("dom".into()),
                fit_on: Some(format!("{prefix}:{from}")),
                scored_on: Some(format!("{prefix}:{to}")),
                metric: "cosine".into(),
                value: Some(value.clamp(-1.0, 1.0)),
                low: Some((value - 0.04).clamp(-1.0, 1.0)),
                high: Some((value + 0.03).clamp(-1.0, 1.0)),
                n: Some(160),
                interval: Some("95 % cluster bootstrap over pairs".into()),
                ..Metric::default()
            });
        }
    }
    rows
}
