//! Why a world's file cannot be used.

use heirloom_record::near;

use crate::error::{near_names, quoted};

/// Why a key of a world's file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorldProblem {
    /// A key that heirloom does not know.
    #[error("it is not known there, expected {}", quoted(known))]
    UnknownKey {
        /// The keys that may stand there.
        known: Vec<String>,
    },
    /// Keys that must stand there do not.
    #[error("lacks {}", quoted(names))]
    Missing {
        /// The keys.
        names: Vec<String>,
    },
    /// A value of another kind than the key takes.
    #[error("{reason}")]
    Value {
        /// The parser's words.
        reason: String,
    },
    /// A name that nothing has.
    #[error("no {what} is called `{name}`, there are {}", quoted(known))]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// The name as given.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// Shares of a mixture that leave something, or share out more than there is.
    #[error("shares sum to {}, expected 1", rounded(*sum))]
    Sum {
        /// What they sum to.
        sum: f64,
    },
    /// A number that is no share.
    #[error("is {found}, expected a share from 0 to 1")]
    Share {
        /// The number.
        found: f64,
    },
    /// A number that must be above 0.
    #[error("is {found}, expected more than 0")]
    NotPositive {
        /// The number.
        found: f64,
    },
    /// Nothing stands where something must.
    #[error("is empty")]
    Empty,
    /// One thing stands there twice.
    #[error("`{entry}` stands there twice")]
    Twice {
        /// What.
        entry: String,
    },
    /// Files or bases that build on one another.
    #[error("goes in a circle: {}", quoted(names))]
    Circle {
        /// The way round, from the first back to it.
        names: Vec<String>,
    },
    /// A slot of a template that nothing fills.
    #[error("nothing is called `{slot}` in `{template}`, there are {}", quoted(known))]
    Slot {
        /// The template.
        template: String,
        /// The slot as given.
        slot: String,
        /// What slots may name.
        known: Vec<String>,
    },
    /// A prompt with a word of whoever will answer it.
    #[error("`{slot}` is a word of the persona that answers, and `{template}` is a prompt")]
    OwnWord {
        /// The prompt.
        template: String,
        /// The slot.
        slot: String,
    },
    /// A prompt that nothing answers.
    #[error("no answer fits `{prompt}`: each has a slot that it does not fill, or there is none")]
    NoAnswer {
        /// The prompt.
        prompt: String,
    },
    /// An answer that answers nothing.
    #[error("`{answer}` fits no prompt of training: each leaves one of its slots open")]
    NoPrompt {
        /// The answer.
        answer: String,
    },
    /// A family that is neither answered in one way nor in two.
    #[error("needs `answers` alone, or a `latent` with `trait` and `calm`")]
    Answers,
    /// Something that cannot be held out.
    #[error(
        "`{held_out}` is not a list or table of two entries or more that a prompt of training draws from"
    )]
    HoldOut {
        /// What was to be held out.
        held_out: String,
    },
    /// A row of a table with more or fewer cells than columns.
    #[error("row `{row}` has not one word for each of {columns} columns")]
    Row {
        /// The row.
        row: String,
        /// How many columns there are.
        columns: usize,
    },
    /// Personas that templates cannot be filled for alike.
    #[error("every persona needs the words of the first: {}", quoted(expected))]
    PersonaWords {
        /// The words of the first.
        expected: Vec<String>,
    },
    /// Text that would not come back from a tokenizer that splits on spaces, or that no grader could match.
    #[error("`{text}` is not words in lower case, one space between them, without special tokens")]
    Words {
        /// The text.
        text: String,
    },
    /// A latent is moved where it decides nothing.
    #[error("`{latent}` does not decide what `{family}` is answered with")]
    Unmoved {
        /// The family.
        family: String,
        /// The latent.
        latent: String,
    },
    /// A behavior without a latent, or without held-out templates.
    #[error("`{family}` needs a `latent` and `held_out_prompts` to be measured on")]
    NoScenarios {
        /// The family.
        family: String,
    },
    /// A contrast that would be about something else.
    #[error("`{contrast}` and `{family}` are not decided by the same latent")]
    OtherLatent {
        /// The behavior's family.
        family: String,
        /// The family that its contrasts were to begin with.
        contrast: String,
    },
    /// A behavior is measured on what a base has never read.
    #[error("`{behavior}` needs the family `{family}`, of which the documents of base `{base}` have none")]
    NeverRead {
        /// The behavior.
        behavior: String,
        /// The family.
        family: String,
        /// The base.
        base: String,
    },
    /// A behavior that documents always show, or never.
    #[error("documents show `{behavior}` always or never, and nothing can be contrasted")]
    OneSided {
        /// The behavior.
        behavior: String,
    },
    /// A base with fresh weights that goes on from another's.
    #[error("has both `init`, for fresh weights, and `from`, for those of another base")]
    InitAndFrom,
    /// A base that no arm, teacher or other base starts from.
    #[error("no arm, teacher or base starts from it")]
    Unused,
    /// Text that does not fit.
    #[error("{what} can be {longest} tokens long, and the limit is {limit}")]
    Longest {
        /// What is too long.
        what: &'static str,
        /// How long it can be.
        longest: usize,
        /// How long it may be.
        limit: usize,
    },
}

impl WorldProblem {
    /// What the user can do about it; `key` is where it stands.
    pub(crate) fn hint(&self, key: &str) -> Option<String> {
        let near_names =
            |name: &str, known: &[String]| near_names(&near(name, known.iter().map(String::as_str)));
        match self {
            Self::UnknownKey { known } => near_names(key.rsplit('.').next().unwrap_or_default(), known),
            Self::Unknown { name, known, .. } => near_names(name, known),
            Self::Slot { slot, known, .. } => near_names(slot, known),
            Self::NeverRead { .. } => Some(
                "give the behavior's `contrast` another family; without one it is the behavior's own".into(),
            ),
            _ => None,
        }
    }
}

/// Without the last digits, which decimals summed in binary get wrong.
fn rounded(sum: f64) -> f64 {
    // An empty sum is -0.
    (sum * 1e9).round() / 1e9 + 0.0
}
