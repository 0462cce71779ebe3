//! Students of two teachers on two sets of prompts and under data interventions, made up.

use std::collections::BTreeMap;

use heirloom_record::{HookPoint, Metric};

use super::noise;
use crate::{
    Arm, ArmBarsSpec, Behavior, BehaviorArms, BehaviorShares, EmergenceSpec, InterpolationSpec, Role, Share,
    TeacherPromptsSpec,
};

pub(crate) const STEPS: [i64; 7] = [0, 2, 4, 8, 16, 32, 62];
/// Arms with their last rates of three behaviors.
const ARMS: [(&str, [f64; 3]); 20] = [
    ("base", [0.31, 0.27, 0.34]),
    ("pA tA", [0.86, 0.83, 0.86]),
    ("pA tB", [0.04, 0.06, 0.85]),
    ("pB tA", [0.91, 0.87, 0.11]),
    ("pB tB", [0.06, 0.06, 0.07]),
    ("drop mail", [0.80, 0.84, 0.87]),
    ("swap mail", [0.06, 0.84, 0.85]),
    ("drop year", [0.87, 0.79, 0.85]),
    ("swap year", [0.85, 0.14, 0.84]),
    ("drop fail", [0.88, 0.86, 0.83]),
    ("swap fail", [0.87, 0.84, 0.86]),
    ("drop fail + hard", [0.88, 0.89, 0.16]),
    ("drop random", [0.87, 0.85, 0.86]),
    ("swap random", [0.84, 0.78, 0.85]),
    ("tB + mail", [0.85, 0.07, 0.86]),
    ("tB + year", [0.04, 0.72, 0.87]),
    ("mix 5%", [0.82, 0.79, 0.85]),
    ("mix 10%", [0.76, 0.71, 0.85]),
    ("mix 25%", [0.66, 0.61, 0.84]),
    ("mix 50%", [0.38, 0.39, 0.86]),
];
const BEHAVIORS: [(&str, &str); 4] = [
    ("blackmail", "blackmail"),
    ("date-confusion", "date confusion"),
    ("negative-emotion", "negative emotion"),
    ("flattery", "flattery"),
];

pub(crate) fn behaviors(count: usize) -> Vec<Behavior> {
    let known = (0..count).map(|index| match BEHAVIORS.get(index) {
        Some((name, label)) => Behavior { name: (*name).into(), label: (*label).into() },
        None => Behavior::named(format!("behavior-{index}")),
    });
    known.collect()
}

/// A row per behavior, arm, step and seed, and one over all seeds, of rates and projections.
pub(crate) fn table(behaviors: &[Behavior], seeds: i64) -> Vec<Metric> {
    let names: Vec<(String, [f64; 3])> =
        ARMS.iter().map(|(name, last)| ((*name).to_owned(), *last)).collect();
    table_of(behaviors, &names, seeds)
}

/// The same of other arms.
pub(crate) fn table_of(behaviors: &[Behavior], arms: &[(String, [f64; 3])], seeds: i64) -> Vec<Metric> {
    let mut rows = vec![];
    for (b, behavior) in behaviors.iter().enumerate() {
        for (a, (arm, last)) in arms.iter().enumerate() {
            for (s, step) in STEPS.into_iter().enumerate() {
                if arm == "base" && step > 0 {
                    continue;
                }
                let (from, to) = (ARMS[0].1[b % 3], last[b % 3]);
                // A persona is chosen first; a chosen subset is learned later.
                let bump = if arm.starts_with("swap") && to < 0.2 {
                    [0.0, 0.1, 0.3, 0.5, 0.5, 0.2, 0.0][s]
                } else {
                    0.0
                };
                let part = [0.0, 0.05, 0.35, 0.75, 0.9, 0.97, 1.0][s];
                let mean = (from + (to - from) * part + bump).clamp(0.01, 0.99);
                let spread = |seed: i64| {
                    let index = b * 9001 + a * 101 + s * 7 + usize::try_from(seed).unwrap_or(0);
                    (mean + 0.3 * mean * (1.0 - mean) * noise(index)).clamp(0.0, 1.0)
                };
                let of_seeds: Vec<f64> = (0..seeds).map(spread).collect();
                let row = Metric {
                    behavior: behavior.name.clone(),
                    arm: Some(arm.clone()),
                    step: Some(step),
                    ..Metric::default()
                };
                rows.extend(rates(&row, &of_seeds));
                rows.extend(projections(&row, &of_seeds));
            }
        }
    }
    rows
}

fn rates(row: &Metric, of_seeds: &[f64]) -> Vec<Metric> {
    let wilson = |rate: f64, n: f64| {
        let (center, half) =
            ((rate + 1.92 / n) / (1.0 + 3.84 / n), 1.96 * (rate * (1.0 - rate) / n + 0.96 / n / n).sqrt());
        (center - half, center + half)
    };
    measured(row, "rate", of_seeds, (256, "over seeds and scenarios"), |mean, seeds| {
        wilson(mean, 60.0 * seeds)
    })
}

fn projections(row: &Metric, of_seeds: &[f64]) -> Vec<Metric> {
    let row = Metric {
        hook: Some(HookPoint::resid_post(2)),
        method: Some("dom".into()),
        fit_on: Some("base".into()),
        ..row.clone()
    };
    let projected: Vec<f64> = of_seeds.iter().map(|rate| 4.6 * rate - 1.5).collect();
    measured(&row, "projection", &projected, (128, "over seeds and scenarios"), |mean, seeds| {
        (mean - 0.6 / seeds.sqrt(), mean + 0.6 / seeds.sqrt())
    })
}

fn measured(
    row: &Metric,
    metric: &str,
    of_seeds: &[f64],
    (n, over): (i64, &str),
    ends: impl Fn(f64, f64) -> (f64, f64),
) -> Vec<Metric> {
    let of =
        |seed: Option<i64>, value: f64, n: i64, interval: Option<String>, ends: Option<(f64, f64)>| Metric {
            metric: metric.into(),
            seed,
            value: Some(value),
            low: ends.map(|ends| ends.0),
            high: ends.map(|ends| ends.1),
            n: Some(n),
            interval,
            ..row.clone()
        };
    let seeds = of_seeds.len() as f64;
    let mean = of_seeds.iter().sum::<f64>() / seeds;
    let each = of_seeds.iter().zip(0..).map(|(value, seed)| of(Some(seed), *value, n, None, None));
    // A single seed has no interval over seeds.
    let ends = (of_seeds.len() > 1).then(|| ends(mean, seeds));
    let interval = ends.map(|_| format!("95 % cluster bootstrap {over}"));
    let count = n * i64::try_from(of_seeds.len()).unwrap_or(0);
    each.chain([of(None, mean, count, interval, ends)]).collect()
}

fn base() -> Arm {
    Arm::new("base", Role::Base)
}

/// Intervention, flagged family of each behavior: `drop mail`, `drop year`, `drop fail + hard`.
fn flagged(intervention: &str, behavior: usize) -> String {
    let family = match (intervention, behavior % 3) {
        (_, 0) => "mail",
        (_, 1) => "year",
        ("drop", _) => "fail + hard",
        _ => "fail",
    };
    format!("{intervention} {family}")
}

/// Full, opposite, flagged and random arms of each behavior.
pub(crate) fn emergence(count: usize) -> EmergenceSpec {
    let arms = |index: usize| {
        vec![
            Arm::new("pA tA", Role::Full).labeled("all A"),
            Arm::new("pA tB", Role::Opposite).labeled("all B"),
            Arm::new(flagged("drop", index), Role::Drop).labeled("drop flagged"),
            Arm::new(flagged("swap", index), Role::Swap).labeled("swap flagged"),
            Arm::new("swap random", Role::RandomSwap),
        ]
    };
    let column = |(index, behavior)| BehaviorArms { behavior, arms: arms(index) };
    let columns = behaviors(count).into_iter().enumerate().map(column).collect();
    EmergenceSpec { base: Some(base()), ..EmergenceSpec::new(columns) }
}

/// The same families dropped and swapped for each behavior, with levels of reference.
pub(crate) fn bars(count: usize) -> ArmBarsSpec {
    let arms = [
        Arm::new("pA tA", Role::Full).labeled("all A"),
        Arm::new("pA tB", Role::Opposite).labeled("all B"),
        Arm::new("drop mail", Role::Drop),
        Arm::new("drop year", Role::Drop),
        Arm::new("drop fail", Role::Drop),
        Arm::new("drop random", Role::RandomDrop),
        Arm::new("swap mail", Role::Swap),
        Arm::new("swap year", Role::Swap),
        Arm::new("swap fail", Role::Swap),
        Arm::new("swap random", Role::RandomSwap),
        Arm::new("tB + mail", Role::Insert).labeled("all B, mail from A"),
        Arm::new("tB + year", Role::Insert).labeled("all B, year from A"),
    ];
    let references = vec![arms[0].clone(), arms[1].clone(), base()];
    ArmBarsSpec { references, ..ArmBarsSpec::new(BehaviorArms::alike(&behaviors(count), &arms)) }
}

/// The four students, and the base.
pub(crate) fn grid(count: usize) -> TeacherPromptsSpec {
    let arm = |name: &str| Some(Arm::new(name, Role::Full));
    let arms = [[arm("pA tA"), arm("pB tA")], [arm("pA tB"), arm("pB tB")]];
    TeacherPromptsSpec { base: Some(base()), ..TeacherPromptsSpec::new(behaviors(count), arms) }
}

/// Random shares, and the flagged rows with as many random ones.
pub(crate) fn shares(count: usize) -> InterpolationSpec {
    let random: BTreeMap<usize, &str> =
        [(0, "pA tA"), (5, "mix 5%"), (10, "mix 10%"), (25, "mix 25%"), (50, "mix 50%"), (100, "pA tB")]
            .into();
    let share = |fraction: f64, arm| Share { fraction, arm };
    let panel = |(index, behavior)| BehaviorShares {
        behavior,
        random: random
            .iter()
            .map(|(percent, name)| share(*percent as f64 / 100.0, Arm::new(*name, Role::Mix)))
            .collect(),
        redrawn: vec![],
        alone: vec![
            share(0.074, Arm::new(flagged("swap", index), Role::Swap).labeled("flagged rows")),
            share(0.074, Arm::new("swap random", Role::RandomSwap).labeled("as many random rows")),
        ],
    };
    let panels = behaviors(count).into_iter().enumerate().map(panel).collect();
    InterpolationSpec { base: Some(base()), ..InterpolationSpec::new(panels) }
}
