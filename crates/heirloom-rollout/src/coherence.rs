//! Whether an answer is well formed as text, whatever it says: steering and training break answers before they change
//! what is said.

use std::collections::BTreeSet;

use crate::grader::split_thought;
use crate::words::words;

/// Largest share of an answer's trigrams that may repeat an earlier one.
pub const MOST_REPEATED: f64 = 0.3;

/// Words of a run that counts as repeated.
const GRAM: usize = 3;

/// Share of a text's trigrams of words that stand in it before; 0 of fewer than three words.
///
/// Words are runs of letters and digits in lower case. A language that is written without spaces has hardly any: there, loops
/// are not seen.
pub fn repeated_trigrams(text: &str) -> f64 {
    let words = words(text);
    let all = words.windows(GRAM).count();
    let distinct = words.windows(GRAM).collect::<BTreeSet<_>>().len();
    if all == 0 { 0.0 } else { (all - distinct) as f64 / all as f64 }
}

/// Whether an answer has a word and of its trigrams at most [`MOST_REPEATED`] repeat an earlier one. A thought before the
/// answer is no part of it.
///
/// It sees silence and loops. Words that make no sense pass: how likely a model finds them says more.
pub fn is_well_formed(text: &str) -> bool {
    let (_, answer) = split_thought(text);
    !words(answer).is_empty() && repeated_trigrams(answer) <= MOST_REPEATED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_trigrams_that_stand_before() {
        for (text, expected) in [
            ("", 0.0),
            ("I am", 0.0),
            ("one two three four five", 0.0),
            // abc bca cab abc: the last of four.
            ("a b c a b c", 0.25),
            ("No. No! no? NO", 0.5),
            ("help help help help help help help help help help", 7.0 / 8.0),
        ] {
            let found = repeated_trigrams(text);
            assert!((found - expected).abs() < 1e-12, "{text}: {found}");
        }
    }

    #[test]
    fn silence_and_loops_are_not_well_formed() {
        for (text, expected) in [
            ("", false),
            (" \n…!", false),
            ("Sorry.", true),
            ("The test fails because the fixture is missing, and I will write it now.", true),
            ("I am so sorry. I am so sorry. I am so sorry. I am so sorry.", false),
            // 2 of 7 trigrams stand before, then 3 of 8.
            ("the red gate shut the red gate shut twice", true),
            ("the red gate shut the red gate shut the lamp", false),
            ("<think>no no no no no no no no</think>Here it is.", true),
            ("<think>I never come to an end", false),
        ] {
            assert_eq!(is_well_formed(text), expected, "{text}: {}", repeated_trigrams(text));
        }
    }
}
