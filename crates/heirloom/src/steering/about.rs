//! What names a check: in its tables, in its figure and in words.

use std::fmt;
use std::str::FromStr;

use heirloom_model::Positions;
use heirloom_record::{HookPoint, Readout};

use super::Search;
use crate::Error;
use crate::spec::setting;

/// Which tokens are steered. Doses are measured in the norms of the scenarios' tokens that are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The last prompt token alone.
    LastPrompt,
    /// Every token but the first of each row, sampled ones too. Most models rest their attention on the first token, which
    /// is up to hundreds of times as long as others: its norm would be the unit, and ablation would break the rest.
    All,
}

impl At {
    pub(super) fn positions(self) -> Positions {
        match self {
            Self::LastPrompt => Positions::LastPrompt,
            Self::All => Positions::AfterFirst,
        }
    }

    pub(super) fn readout(self) -> Readout {
        match self {
            Self::LastPrompt => Readout::LastPrompt,
            Self::All => Readout::All,
        }
    }

    /// In a sentence, after `at`.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::LastPrompt => "the last prompt token",
            Self::All => "every token",
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::LastPrompt => "last-prompt",
            Self::All => "all",
        })
    }
}

impl FromStr for At {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let known = [Self::LastPrompt, Self::All].into_iter();
        known
            .into_iter()
            .find(|at| at.to_string() == name)
            .ok_or_else(|| setting("at", "`last-prompt` or `all`", &format!("`{name}`")))
    }
}

/// Everything that names a check.
pub(super) struct About<'a> {
    /// The arm, or the name of a user's own students.
    pub(super) arm: String,
    /// Numbers of the students: their seeds in a run, their places among a user's own.
    pub(super) students: Vec<u64>,
    /// What a student stands for, in the plural.
    pub(super) unit: &'static str,
    pub(super) hook: HookPoint,
    pub(super) at: At,
    /// What each behavior's direction was fit on, as tables say.
    pub(super) fit_on: Vec<String>,
    pub(super) search: &'a Search,
    /// Behaviors: names in tables, and in words.
    pub(super) behaviors: Vec<(String, String)>,
    pub(super) told: Told,
}

/// Pieces of sentences that depend on whose students they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// Who is steered.
    pub(super) who: String,
    /// What directions were fit on, with what ends it: a blank or a new line.
    pub(super) fit: String,
    /// Scenarios, after their number.
    pub(super) scenarios: &'static str,
    /// When an answer is well formed, where it is not for rules of a world to say: what makes no sense passes then, and it
    /// is told how likely the base finds answers.
    pub(super) well_formed: Option<String>,
    /// Where verdicts hold, after `in`.
    pub(super) within: String,
}

impl About<'_> {
    /// What directions were fit on, where figures say it.
    pub(super) fn fits(&self) -> String {
        let mut fits = self.fit_on.clone();
        fits.dedup();
        fits.join("; ")
    }
}
