//! How well a ranking finds the prompts that are known to cause a behavior, beside what a random one would.

use heirloom_probe::Interval;
use heirloom_probe::attribution::RankingQuality;
use serde::Serialize;

/// A ranking beside a random one.
#[derive(Clone, Debug, Serialize)]
pub struct Quality {
    /// The tag of causal prompts.
    pub causal: String,
    /// Prompts with it.
    pub n: usize,
    /// Share of the chosen prompts that are causal.
    pub precision: Held,
    /// Share of the causal prompts that are chosen.
    pub recall: Held,
    /// Average precision of the whole ranking.
    pub average_precision: Held,
}

/// A number, its interval and what a random ranking is expected to have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Held {
    /// The number.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// What kind of interval.
    pub interval: String,
    /// The expectation over all orders of the prompts.
    pub random: f64,
}

impl Quality {
    pub(super) fn new(tag: &str, n: usize, found: &RankingQuality) -> Self {
        let held = |interval: &Interval, random: f64| Held {
            value: interval.value,
            low: interval.low,
            high: interval.high,
            interval: interval.describe("prompts"),
            random,
        };
        Self {
            causal: tag.to_owned(),
            n,
            precision: held(&found.precision, found.random.precision),
            recall: held(&found.recall, found.random.recall),
            average_precision: held(&found.average_precision, found.random.average_precision),
        }
    }
}
