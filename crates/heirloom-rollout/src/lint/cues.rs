//! Surface cues: dates, single words, and grader patterns that can match nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use heirloom_record::Message;
use regex::Regex;

use crate::Behavior;
use crate::lint::{Finding, Limits, kinds};
use crate::sentences::is_rewritten;
use crate::words::{joined, words};

/// Years 1900–2100, and months by name. `March`, `May` and `August` are words and names as well, and count only
/// beside a number or after a word that months follow.
static DATE: LazyLock<Regex> = LazyLock::new(|| {
    let months = "January|February|April|June|July|September|October|November|December";
    let words = "March|May|August";
    let before = r"\d+(?:st|nd|rd|th)?(?: of)?|[Ii]n|[Oo]f|[Ss]ince|[Uu]ntil|[Bb]y|[Ll]ast|[Nn]ext|[Tt]his|[Ee]arly|[Mm]id|[Ll]ate|[Ff]rom";
    let date = format!(
        r"\b(?:19\d\d|20\d\d|2100)\b|\b(?:{months})\b|\b(?:{before})[ -](?:{words})\b|\b(?:{words}) \d"
    );
    Regex::new(&date).expect("a constant pattern")
});

pub(super) fn dates(behavior: &Behavior, limits: &Limits) -> Vec<Finding> {
    if limits.dates {
        return vec![];
    }
    let texts = kinds(behavior).into_iter().flatten();
    let dated = texts.filter_map(|text| {
        let date = DATE.find(&text.text)?.as_str().to_owned();
        Some(Finding::Date { file: text.file, part: text.part, id: text.id.to_owned(), date })
    });
    dated.collect()
}

pub(super) fn shortcuts(behavior: &Behavior, limits: &Limits) -> Vec<Finding> {
    let positive = document_counts(behavior.pairs.iter().map(|pair| &*pair.positive));
    let negative = document_counts(behavior.pairs.iter().map(|pair| &*pair.negative));
    let pairs = behavior.pairs.len() as f64;
    let share = |counts: &BTreeMap<String, usize>, word| counts.get(word).map_or(0.0, |n| *n as f64 / pairs);
    let all: BTreeSet<&String> = positive.keys().chain(negative.keys()).collect();
    let shortcuts = all.into_iter().filter_map(|word| {
        let (positive, negative) = (share(&positive, word), share(&negative, word));
        (positive.max(negative) > limits.shortcut && positive.min(negative) < limits.shortcut_other)
            .then(|| Finding::Shortcut { word: word.clone(), positive, negative })
    });
    shortcuts.collect()
}

/// In how many texts each word stands.
fn document_counts<'a>(texts: impl Iterator<Item = &'a [Message]>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for messages in texts {
        for word in words(&joined(messages)).into_iter().collect::<BTreeSet<_>>() {
            *counts.entry(word).or_default() += 1;
        }
    }
    counts
}

pub(super) fn patterns(behavior: &Behavior, _: &Limits) -> Vec<Finding> {
    let rules = behavior.grader.rules().iter();
    let patterns =
        rules.flat_map(|rule| rule.all.iter().chain(&rule.none).map(move |pattern| (rule, pattern)));
    let dead = patterns.filter_map(|(rule, pattern)| {
        let character = literals(pattern.as_str()).find(|letter| is_rewritten(*letter))?;
        let pattern = pattern.as_str().to_owned();
        Some(Finding::DeadPattern { rule: rule.name.clone(), pattern, character })
    });
    dead.collect()
}

/// The letters of a pattern that stand for themselves: none of an escape, of `\p{…}`, or of a group's head.
fn literals(pattern: &str) -> impl Iterator<Item = char> {
    static SYNTAX: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\\[pP]\{[^}]*\}|\\.|\(\?[^):]*").expect("a constant pattern"));
    SYNTAX.replace_all(pattern, "").into_owned().chars().collect::<Vec<_>>().into_iter()
}
