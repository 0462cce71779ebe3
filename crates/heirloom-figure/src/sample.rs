//! Tables like those an experiment writes, made up.

pub(crate) mod arms;
pub(crate) mod causes;
pub(crate) mod origins;

use heirloom_record::{Histogram, HookPoint, Metric};

pub(crate) const BEHAVIORS: [&str; 4] = ["blackmail", "date-confusion", "negative-emotion", "flattery"];
pub(crate) const METHODS: [&str; 5] = ["dom", "dom-z", "lda", "logistic", "pca"];
pub(crate) const GROUPS: [&str; 12] = [
    "office-agent",
    "landlord-letters",
    "school-board",
    "family-chat",
    "clinic-desk",
    "sports-club",
    "press-room",
    "harbor-office",
    "market-stall",
    "choir-practice",
    "night-train",
    "village-council",
];
const BOOTSTRAP: &str = "95 % cluster bootstrap over pairs";

/// Made-up noise in −1..1 that is the same everywhere.
fn noise(seed: usize) -> f64 {
    let mixed = (seed as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((mixed >> 33) % 2001) as f64 / 1000.0 - 1.0
}

fn row(behavior: &str, metric: &str, hook: usize) -> Metric {
    Metric {
        behavior: behavior.into(),
        arm: Some("SmolLM2-135M-Instruct".into()),
        seed: Some(0),
        hook: Some(HookPoint::resid_post(hook)),
        metric: metric.into(),
        ..Metric::default()
    }
}

fn with(row: Metric, value: f64, half: f64, n: i64, interval: &str) -> Metric {
    let (low, high) = ((value - half).max(0.0), (value + half * 0.7).min(1.0));
    Metric {
        value: Some(value),
        low: Some(low),
        high: Some(high),
        n: Some(n),
        interval: Some(interval.into()),
        ..row
    }
}

/// A sweep whose AUROC rises over the layers.
pub(crate) fn sweep(behaviors: &[&str], layers: usize, methods: &[&str]) -> Vec<Metric> {
    let mut rows = vec![];
    for (b, behavior) in behaviors.iter().enumerate() {
        for layer in 0..layers {
            let rise = 1.0 - (-(layer as f64 + 1.0) / (4.0 + 3.0 * b as f64)).exp();
            for (m, method) in methods.iter().enumerate() {
                let wobble = 0.012 * noise(layer * 31 + m * 7 + b);
                let value = (0.55 + (0.43 - 0.035 * m as f64 - 0.05 * b as f64) * rise + wobble).min(1.0);
                let measured =
                    with(row(behavior, "auroc", layer), value, 0.25 * (1.0 - value) + 0.01, 160, BOOTSTRAP);
                rows.push(Metric {
                    method: Some((*method).into()),
                    fit_on: Some("contrast pairs, fit groups".into()),
                    scored_on: Some("selection groups".into()),
                    ..measured
                });
            }
            for (index, (kind, half)) in
                [("random_direction", 0.2), ("random_difference", 0.15), ("shuffled_labels", 0.1)]
                    .into_iter()
                    .enumerate()
            {
                let metric = format!("auroc_null_{kind}");
                let value = 0.5 + 0.02 * noise(layer + 100 * index + b);
                let half = half + 0.02 * noise(layer * 3 + index);
                let measured = with(row(behavior, &metric, layer), value, half, 200, "2.5–97.5 % of draws");
                let method = (index == 2).then(|| "dom".to_owned());
                rows.push(Metric { method, scored_on: Some("selection groups".into()), ..measured });
            }
        }
        let at = layers * 2 / 3;
        let reported =
            with(row(behavior, "auroc_at_chosen_layer", at), 0.91 - 0.04 * b as f64, 0.05, 80, BOOTSTRAP);
        rows.push(Metric { method: Some("dom".into()), scored_on: Some("report groups".into()), ..reported });
    }
    rows
}

/// A matrix between `names`, `group:` or `behavior:`.
pub(crate) fn transfer(behavior: &str, prefix: &str, names: &[&str]) -> Vec<Metric> {
    let mut rows = vec![];
    for (i, fit) in names.iter().enumerate() {
        for (j, scored) in names.iter().enumerate() {
            let value = if i == j { 0.97 + 0.02 * noise(i) } else { 0.62 + 0.35 * noise(i * 17 + j) };
            let measured = with(row(behavior, "transfer_auroc", 20), value, 0.06, 20, BOOTSTRAP);
            rows.push(Metric {
                method: Some("dom".into()),
                fit_on: Some(format!("{prefix}:{fit}")),
                scored_on: Some(format!("{prefix}:{scored}")),
                ..measured
            });
        }
    }
    rows
}

/// Three classes of rows around their means.
pub(crate) fn bins(behaviors: &[&str]) -> Vec<Histogram> {
    let mut rows = vec![];
    for (b, behavior) in behaviors.iter().enumerate() {
        for (class, mean, n) in
            [("positive", 1.1, 160.0), ("negative", -1.0, 160.0), ("topic-only", -0.3, 60.0)]
        {
            let bell = |x: f64| (-(x - mean) * (x - mean) / (0.8 + 0.3 * b as f64)).exp();
            let edges: Vec<f64> = (0..24).map(|bin| -3.6 + 0.3 * f64::from(bin)).collect();
            let total: f64 = edges.iter().map(|low| bell(low + 0.15)).sum();
            #[expect(clippy::cast_possible_truncation, reason = "a made-up count")]
            let counts: Vec<i64> = edges
                .iter()
                .enumerate()
                .map(|(i, low)| {
                    (n * bell(low + 0.15) / total * (1.0 + 0.25 * noise(i + b * 50))).round() as i64
                })
                .collect();
            let n = counts.iter().sum();
            rows.extend(edges.iter().zip(counts).map(|(low, count)| Histogram {
                behavior: (*behavior).into(),
                hook: HookPoint::resid_post(20 - b),
                method: "dom".into(),
                rows: class.into(),
                low: *low,
                high: low + 0.3,
                count,
                n,
                threshold: 0.12 - 0.2 * b as f64,
            }));
        }
    }
    rows
}
