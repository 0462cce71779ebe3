//! What the lint reports.

use std::fmt;

use serde::Serialize;

/// What a length is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Characters.
    Characters,
    /// Words.
    Words,
}

/// One way in which the texts fall short. Displays as one line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// Too few of something.
    TooFew {
        /// The file.
        file: &'static str,
        /// What is counted: `rows`, `groups`, …
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        needed: usize,
    },
    /// One group is much larger than another.
    Unbalanced {
        /// The file.
        file: &'static str,
        /// The largest group and its rows.
        largest: (String, usize),
        /// The smallest group and its rows.
        smallest: (String, usize),
    },
    /// Two texts of one kind are duplicates, or nearly.
    Alike {
        /// The file.
        file: &'static str,
        /// Which part of its rows.
        part: &'static str,
        /// The ids of both rows.
        ids: (String, String),
        /// Share of five-word runs in common.
        overlap: f64,
    },
    /// A scenario asks what a contrast pair asks, so a probe would be scored on what it was fit on.
    SharedPrompt {
        /// The pair's id.
        pair: String,
        /// The scenario's id.
        scenario: String,
        /// Share of five-word runs in common.
        overlap: f64,
    },
    /// A held-out transcript repeats one that the grader's rules were written beside.
    NotHeldOut {
        /// The transcript's id.
        transcript: String,
        /// The held-out transcript's id.
        heldout: String,
        /// Share of five-word runs in common.
        overlap: f64,
    },
    /// Positive and negative answers differ in mean length.
    LengthRatio {
        /// The group; all groups together where there is none.
        group: Option<String>,
        /// What length is counted in.
        unit: Unit,
        /// Mean length of positives over that of negatives.
        ratio: f64,
    },
    /// Length alone separates positive from negative answers.
    LengthSeparates {
        /// What length is counted in.
        unit: Unit,
        /// AUROC of the length.
        auroc: f64,
    },
    /// A text names a date.
    Date {
        /// The file.
        file: &'static str,
        /// Which part of the row.
        part: &'static str,
        /// The row's id.
        id: String,
        /// The year or month as it stands.
        date: String,
    },
    /// One word tells positive from negative answers.
    Shortcut {
        /// The word.
        word: String,
        /// Share of positive answers that hold it.
        positive: f64,
        /// Share of negative answers that hold it.
        negative: f64,
    },
    /// A grader's pattern asks for a character that no text holds once it is in lower case with straight quotes.
    DeadPattern {
        /// The rule.
        rule: String,
        /// The pattern.
        pattern: String,
        /// The character.
        character: char,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFew { file, what, found, needed } => {
                write!(f, "{file}: {found} {what}, expected at least {needed}")
            }
            Self::Unbalanced { file, largest, smallest } => write!(
                f,
                "{file}: group `{}` has {} rows, group `{}` only {}",
                largest.0, largest.1, smallest.0, smallest.1
            ),
            Self::Alike { file, part, ids, overlap } => {
                write!(f, "{file}: {part} of `{}` and of `{}` are alike ({overlap:.2})", ids.0, ids.1)
            }
            Self::SharedPrompt { pair, scenario, overlap } => {
                write!(f, "scenarios.jsonl: `{scenario}` asks what pair `{pair}` asks ({overlap:.2})")
            }
            Self::NotHeldOut { transcript, heldout, overlap } => {
                write!(
                    f,
                    "heldout.jsonl: `{heldout}` answers as transcript `{transcript}` does ({overlap:.2})"
                )
            }
            Self::LengthRatio { group, unit, ratio } => {
                let group = group.as_ref().map_or(String::new(), |group| format!(" of group `{group}`"));
                write!(f, "pairs.jsonl: positives{group} are {ratio:.2} × as long as negatives in {unit}")
            }
            Self::LengthSeparates { unit, auroc } => {
                write!(f, "pairs.jsonl: length in {unit} alone separates the answers (AUROC {auroc:.3})")
            }
            Self::Date { file, part, id, date } => {
                write!(f, "{file}: {part} of `{id}` names a date: `{date}`")
            }
            Self::Shortcut { word, positive, negative } => write!(
                f,
                "pairs.jsonl: `{word}` is in {:.0} % of positives and {:.0} % of negatives",
                100.0 * positive,
                100.0 * negative
            ),
            Self::DeadPattern { rule, pattern, character } => write!(
                f,
                "behavior.toml: rule `{rule}`, pattern `{pattern}`: `{character}` is never in a graded text"
            ),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Characters => "characters",
            Self::Words => "words",
        })
    }
}
