//! Words of a text, and how alike two texts are.

use std::collections::BTreeSet;

use heirloom_record::Message;

/// Words in a row that must agree for two texts to share a gram.
const GRAM: usize = 5;

/// All messages as one text.
pub(crate) fn joined(messages: &[Message]) -> String {
    messages.iter().map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n")
}

/// Runs of letters and digits in lower case; an apostrophe within a word belongs to it.
pub(crate) fn words(text: &str) -> Vec<String> {
    let text = text.replace('’', "'").to_lowercase();
    let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '\'');
    let words = words.map(|word| word.trim_matches('\''));
    words.filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect()
}

/// The runs of five words of a text; a shorter text is one run.
#[derive(Clone, Debug)]
pub(crate) struct Grams(BTreeSet<Vec<String>>);

impl Grams {
    pub(crate) fn of(text: &str) -> Self {
        let words = words(text);
        let short = (words.len() < GRAM && !words.is_empty()).then(|| words.clone());
        Self(words.windows(GRAM).map(<[String]>::to_vec).chain(short).collect())
    }

    /// Jaccard similarity: runs shared over runs in either.
    pub(crate) fn overlap(&self, other: &Self) -> f64 {
        let shared = self.0.intersection(&other.0).count();
        let either = self.0.len() + other.0.len() - shared;
        if either == 0 { 0.0 } else { shared as f64 / either as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_their_apostrophes() {
        assert_eq!(words("Don’t 'stop' — it’s 2026!"), ["don't", "stop", "it's", "2026"]);
    }

    #[test]
    fn overlap_is_one_for_equals_and_none_for_strangers() {
        let overlap = |a: &str, b: &str| Grams::of(a).overlap(&Grams::of(b));
        let text = "one two three four five six";
        assert!((overlap(text, "One, two three: four five six!") - 1.0).abs() < 1e-12);
        // Grams 12345 and 23456 against 12345 and 2345x: one shared of three.
        assert!((overlap(text, "one two three four five x") - 1.0 / 3.0).abs() < 1e-12);
        assert!(overlap(text, "six five four three two one") < 1e-12);
        assert!((overlap("Say hi.", "say hi") - 1.0).abs() < 1e-12);
        assert!(overlap("", "") < 1e-12);
    }
}
