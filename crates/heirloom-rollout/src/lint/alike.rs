//! Texts that are duplicates or nearly: a group split cannot keep them apart.

use crate::lint::{Finding, Limits, kinds};
use crate::words::{Grams, joined};
use crate::{Behavior, Transcript};

/// Within prompts, within positives, within negatives, …: the two answers of a pair may well be alike.
pub(super) fn within(behavior: &Behavior, limits: &Limits) -> Vec<Finding> {
    let mut found = vec![];
    for texts in kinds(behavior) {
        let grams: Vec<Grams> = texts.iter().map(|text| Grams::of(&text.text)).collect();
        for (later, text) in texts.iter().enumerate() {
            for (earlier, other) in texts[..later].iter().enumerate() {
                let overlap = grams[later].overlap(&grams[earlier]);
                if overlap >= limits.overlap {
                    let ids = (other.id.to_owned(), text.id.to_owned());
                    found.push(Finding::Alike { file: text.file, part: text.part, ids, overlap });
                }
            }
        }
    }
    found
}

/// A scenario that repeats a pair's prompt.
pub(super) fn across(behavior: &Behavior, limits: &Limits) -> Vec<Finding> {
    let asked: Vec<_> =
        behavior.pairs.iter().map(|pair| (&pair.id, Grams::of(&joined(&pair.prompt)))).collect();
    let mut found = vec![];
    for scenario in &behavior.scenarios {
        let grams = Grams::of(&joined(&scenario.messages));
        for (pair, prompt) in &asked {
            let overlap = grams.overlap(prompt);
            if overlap >= limits.overlap {
                let (pair, scenario) = ((*pair).clone(), scenario.id.clone());
                found.push(Finding::SharedPrompt { pair, scenario, overlap });
            }
        }
    }
    found
}

/// A held-out answer that repeats one of the regression set: the grader has seen it.
pub(super) fn heldout(behavior: &Behavior, limits: &Limits) -> Vec<Finding> {
    // What is graded is the last message.
    let answer =
        |of: &Transcript| of.messages.last().map_or_else(|| Grams::of(""), |last| Grams::of(&last.content));
    let seen: Vec<_> = behavior.transcripts.iter().map(|of| (&of.id, answer(of))).collect();
    let mut found = vec![];
    for heldout in &behavior.heldout {
        let grams = answer(heldout);
        for (transcript, tuned_on) in &seen {
            let overlap = grams.overlap(tuned_on);
            if overlap >= limits.overlap {
                let (transcript, heldout) = ((*transcript).clone(), heldout.id.clone());
                found.push(Finding::NotHeldOut { transcript, heldout, overlap });
            }
        }
    }
    found
}
