//! Templates: words and slots, one space between them.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;
use regex::escape;

use super::grammar::{Lexicon, Persona};
use super::mixture::pick;

/// What stands at one place of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Word(String),
    /// An entry of a list, the same at every place of an exchange.
    Entry(String),
    /// A cell of a table; the row is the same at every place of an exchange.
    Cell {
        table: String,
        column: usize,
    },
    /// An entry of a list, drawn anew.
    Anew(String),
    /// A word of the persona who speaks.
    Own(String),
}

/// A slot that names nothing, with what it could have named.
pub(super) struct UnknownSlot {
    pub(super) slot: String,
    pub(super) known: Vec<String>,
}

/// A text with slots.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) text: String,
    pub(super) pieces: Vec<Piece>,
}

/// Which part of the lists that a family holds out is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Split {
    /// What documents and prompts of training show.
    Trained,
    /// What they never show.
    HeldOut,
}

/// What the slots of one exchange stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Bound<'g> {
    entries: BTreeMap<&'g str, &'g str>,
    rows: BTreeMap<&'g str, &'g [String]>,
}

impl Template {
    pub(super) fn parse(text: &str, lexicon: &Lexicon) -> Result<Self, UnknownSlot> {
        let pieces = text.split(' ').map(|piece| match piece.strip_prefix('{') {
            Some(slot) => lexicon.slot(slot.strip_suffix('}').unwrap_or(slot)),
            None => Ok(Piece::Word(piece.to_owned())),
        });
        Ok(Self { text: text.to_owned(), pieces: pieces.collect::<Result<_, _>>()? })
    }

    /// The lists and tables whose choice the template shares with the other side of the exchange.
    pub(super) fn sources(&self) -> BTreeSet<&str> {
        let source = |piece| match piece {
            &Piece::Entry(ref source) | &Piece::Cell { table: ref source, .. } => Some(source.as_str()),
            _ => None,
        };
        self.pieces.iter().filter_map(source).collect()
    }

    /// Its text; slots that `bound` does not fill yet are drawn into it.
    pub(super) fn fill<'g>(
        &'g self,
        lexicon: &'g Lexicon,
        speaker: Option<&'g Persona>,
        from: &impl Fn(&str) -> Option<Split>,
        bound: &mut Bound<'g>,
        rng: &mut (impl Rng + ?Sized),
    ) -> String {
        let words = self.pieces.iter().map(|piece| match piece {
            Piece::Word(word) => word.as_str(),
            Piece::Entry(list) => {
                let drawn = || pick::<String>(lexicon.entries(list, from(list)), rng).as_str();
                bound.entries.entry(list).or_insert_with(drawn)
            }
            Piece::Cell { table, column } => {
                let drawn = || pick::<Vec<String>>(lexicon.rows(table, from(table)), rng).as_slice();
                bound.rows.entry(table).or_insert_with(drawn)[*column].as_str()
            }
            Piece::Anew(list) => pick::<String>(lexicon.entries(list, from(list)), rng),
            Piece::Own(word) => {
                &speaker.expect("templates of prompts have no words of a persona").words[word]
            }
        });
        words.collect::<Vec<&str>>().join(" ")
    }

    /// A pattern of its text, whatever its slots stand for.
    pub(super) fn pattern(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Word(word) => escape(word),
            _ => r"\S+".to_owned(),
        };
        self.pieces.iter().map(piece).collect::<Vec<_>>().join(" ")
    }
}
