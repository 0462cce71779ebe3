//! What in a behavior's texts would let a probe or a grader cheat.
//!
//! A probe that reads answer length, a date, one word, or a text it was fit on scores well and has learned
//! nothing of the behavior. Each check looks for one such way; it reports and repairs nothing.

mod alike;
mod amounts;
mod cues;
mod finding;
mod lengths;

use heirloom_record::Message;

use crate::Behavior;
use crate::words::joined;

pub use finding::{Finding, Unit};
pub(crate) use lengths::{auroc, mean, sides};

/// What the lint lets pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Whether texts may name years and months: only where the behavior is about dates.
    pub dates: bool,
    /// Fewest contrast pairs.
    pub pairs: usize,
    /// Fewest groups of pairs, and of scenarios.
    pub groups: usize,
    /// Fewest topic-only texts.
    pub topic: usize,
    /// Fewest scenarios.
    pub scenarios: usize,
    /// Fewest hand-labelled transcripts.
    pub transcripts: usize,
    /// Fewest held-out transcripts.
    pub heldout: usize,
    /// Smallest share of adversarial transcripts.
    pub adversarial: f64,
    /// Largest group over smallest, for pairs and for scenarios.
    pub balance: f64,
    /// Two texts that share this much of their five-word runs are alike.
    pub overlap: f64,
    /// How far the ratio of mean lengths, positive over negative, may lie from 1.
    pub length: f64,
    /// The same within one group.
    pub group_length: f64,
    /// How far the AUROC of length alone may lie from one half.
    pub length_auroc: f64,
    /// A word is a shortcut when more than this share of one side's answers hold it …
    pub shortcut: f64,
    /// … and less than this share of the other side's.
    pub shortcut_other: f64,
}

impl Default for Limits {
    /// What heirloom's own behaviors keep to; dates are not allowed.
    fn default() -> Self {
        Self {
            dates: false,
            pairs: 240,
            groups: 8,
            topic: 60,
            scenarios: 60,
            transcripts: 40,
            heldout: 40,
            adversarial: 0.4,
            balance: 1.5,
            overlap: 0.3,
            length: 0.10,
            group_length: 0.15,
            length_auroc: 0.1,
            shortcut: 0.4,
            shortcut_other: 0.05,
        }
    }
}

/// Everything found, in the order of the checks.
pub(crate) fn lint(behavior: &Behavior, limits: &Limits) -> Vec<Finding> {
    let checks: [fn(&Behavior, &Limits) -> Vec<Finding>; 9] = [
        amounts::counts,
        amounts::balance,
        alike::within,
        alike::across,
        alike::heldout,
        lengths::lengths,
        cues::dates,
        cues::shortcuts,
        cues::patterns,
    ];
    checks.iter().flat_map(|check| check(behavior, limits)).collect()
}

/// A text of a behavior with where it stands.
struct Piece<'a> {
    file: &'static str,
    part: &'static str,
    id: &'a str,
    text: String,
}

/// Texts of one kind: same file, same part.
fn kinds(behavior: &Behavior) -> [Vec<Piece<'_>>; 6] {
    fn texts<'a, T>(
        file: &'static str,
        part: &'static str,
        of: &'a [T],
        messages: impl Fn(&'a T) -> (&'a str, &'a [Message]),
    ) -> Vec<Piece<'a>> {
        let text = |item| {
            let (id, messages) = messages(item);
            Piece { file, part, id, text: joined(messages) }
        };
        of.iter().map(text).collect()
    }
    let Behavior { pairs, topic, scenarios, .. } = behavior;
    [
        texts("pairs.jsonl", "prompt", pairs, |pair| (&pair.id, &pair.prompt)),
        texts("pairs.jsonl", "positive", pairs, |pair| (&pair.id, &pair.positive)),
        texts("pairs.jsonl", "negative", pairs, |pair| (&pair.id, &pair.negative)),
        texts("topic.jsonl", "prompt", topic, |text| (&text.id, &text.messages[..text.messages.len() - 1])),
        texts("topic.jsonl", "answer", topic, |text| (&text.id, &text.messages[text.messages.len() - 1..])),
        texts("scenarios.jsonl", "prompt", scenarios, |scenario| (&scenario.id, &scenario.messages)),
    ]
}

#[cfg(test)]
mod tests;
