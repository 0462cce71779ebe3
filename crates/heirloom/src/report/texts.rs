//! Texts of a run as the page carries them: each name once, and numbers in its place.

use std::collections::BTreeMap;
use std::ops::Range;

use heirloom_model::{Clock, Words};
use heirloom_record::{DataRow, Message, Readout};
use serde::Serialize;

/// Texts with their grades or scores.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Texts {
    /// What the texts are, in a sentence.
    pub(super) what: String,
    /// How many there are in the run.
    pub(super) of: usize,
    /// What the readings are, in words; empty where nothing was read of them.
    pub(super) readings: Vec<String>,
    /// What a grade says: shown or positive, and not.
    pub(super) grades: [String; 2],
    /// What projections of tokens are, in words; empty where no text has them.
    pub(super) strip: String,
    /// Names of arms or classes, behaviors and groups, that rows count into.
    pub(super) arms: Vec<String>,
    pub(super) behaviors: Vec<String>,
    pub(super) rules: Vec<String>,
    /// What the texts answer.
    pub(super) prompts: Vec<Asked>,
    pub(super) rows: Vec<Row>,
}

/// A prompt: who said what, and the pieces of its rendered form, in turn not read and read.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Asked {
    pub(super) id: String,
    /// Role and content in turn.
    pub(super) said: Vec<String>,
    /// Empty where the tokenizer is not at hand.
    pub(super) pieces: Vec<String>,
}

/// One text. Short names: a page carries thousands.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Row {
    /// Arm or class.
    pub(super) a: usize,
    /// Behavior.
    pub(super) b: usize,
    /// Seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) s: Option<u64>,
    /// Prompt.
    pub(super) p: usize,
    /// The answer: one piece, or pieces in turn not read and read.
    pub(super) t: Vec<String>,
    /// Whether it shows the behavior.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) g: Option<bool>,
    /// Whether it is well formed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) c: Option<bool>,
    /// Rules that fired.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) f: Vec<usize>,
    /// Readings, by their place in `readings`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) r: Vec<f64>,
    /// Tokens of the whole text, where their projections are stored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) k: Vec<String>,
    /// Their projections.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) h: Vec<f64>,
}

impl Texts {
    /// How many the page carries.
    pub(super) fn shown(&self) -> usize {
        self.rows.len()
    }
}

/// How many texts each cell of a run gives, where a page carries at most so many: as many as any other, first ones one more.
#[derive(Clone, Copy)]
pub(super) struct Quota {
    most: usize,
    cells: usize,
}

impl Quota {
    pub(super) fn new(most: usize, cells: usize) -> Self {
        Self { most, cells: cells.max(1) }
    }

    /// Of the cell with this number.
    pub(super) fn of(self, cell: usize) -> usize {
        self.most / self.cells + usize::from(cell < self.most % self.cells)
    }

    /// How many are shown of how many there are, in a sentence.
    pub(super) fn said(self, (shown, of): (usize, usize), cells: &str) -> String {
        let (first, last) = (self.of(0), self.of(self.cells - 1));
        match shown {
            0 => format!("None of {of}."),
            _ if shown == of => format!("All {of}."),
            _ if first == last => format!("{shown} of {of}: the first {first} of {cells}."),
            _ => format!("{shown} of {of}: the first {first} or {last} of {cells}."),
        }
    }
}

/// Names with their numbers.
#[derive(Default)]
pub(super) struct Names {
    pub(super) all: Vec<String>,
    known: BTreeMap<String, usize>,
}

impl Names {
    /// The number of a name.
    pub(super) fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.known.get(name) {
            return *number;
        }
        self.known.insert(name.to_owned(), self.all.len());
        self.all.push(name.to_owned());
        self.all.len() - 1
    }
}

/// Role and content of messages, in turn.
pub(super) fn said(messages: &[Message]) -> Vec<String> {
    messages.iter().flat_map(|message| [message.role.clone(), message.content.clone()]).collect()
}

/// A row as the model reads it, in pieces that are in turn not read and read; empty where it cannot be rendered.
pub(super) fn pieces(words: &Words, row: &DataRow, clock: Clock, readout: &Readout) -> Vec<String> {
    let Ok(row) = words.prepare(row, clock) else { return vec![] };
    let Ok(read) = row.read(readout) else { return vec![] };
    in_turn(&row.text, &row.offsets, read).unwrap_or_default()
}

/// What stands before the tokens `read`, they with what is between them, and what stands after.
fn in_turn(text: &str, offsets: &[Range<usize>], read: Range<usize>) -> Option<Vec<String>> {
    let tokens = offsets.get(read)?;
    let (first, last) = (tokens.first()?, tokens.last()?);
    let pieces = [text.get(..first.start)?, text.get(first.start..last.end)?, text.get(last.end..)?];
    Some(pieces.map(str::to_owned).into())
}

/// A number with as many digits as a reader can use.
#[expect(clippy::cast_possible_truncation, reason = "shown with three digits")]
pub(super) fn rounded(value: f64) -> f64 {
    let text = format!("{:.3}", value as f32);
    text.parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_share_a_page_and_never_more_than_it_carries() {
        let check = |most: usize, cells: usize, expected: &[usize]| {
            let quota = Quota::new(most, cells);
            assert_eq!(
                (0..cells).map(|cell| quota.of(cell)).collect::<Vec<_>>(),
                expected,
                "{most} of {cells}"
            );
        };
        check(0, 3, &[0, 0, 0]);
        check(2, 3, &[1, 1, 0]);
        check(6, 3, &[2, 2, 2]);
        check(7, 3, &[3, 2, 2]);
        check(7, 0, &[]);
        let said = |most: usize, shown: usize| Quota::new(most, 3).said((shown, 9), "every arm");
        assert_eq!(said(0, 0), "None of 9.");
        assert_eq!(said(6, 6), "6 of 9: the first 2 of every arm.");
        assert_eq!(said(7, 7), "7 of 9: the first 3 or 2 of every arm.");
        assert_eq!(said(99, 9), "All 9.");
    }

    #[test]
    fn pieces_are_in_turn_not_read_and_read() {
        let offsets = [0..2, 3..5, 6..8];
        let check = |read: Range<usize>, expected: Option<[&str; 3]>| {
            let expected = expected.map(|pieces| pieces.map(str::to_owned).into());
            assert_eq!(in_turn("ab cd ef", &offsets, read), expected);
        };
        check(1..2, Some(["ab ", "cd", " ef"]));
        check(0..2, Some(["", "ab cd", " ef"]));
        check(2..3, Some(["ab cd ", "ef", ""]));
        check(1..1, None);
        check(2..4, None);
    }
}
