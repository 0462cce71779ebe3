//! Projections of every token of some texts, from a store that was captured with readout `all`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use heirloom_model::{Clock, Source, Words};
use heirloom_probe::direction::project;
use heirloom_record::{Activations, DataRow, Directions, Readout};

use super::texts::rounded;
use crate::spec::setting;
use crate::{Error, Result};

/// Where projections per token come from.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// A store of activations of every token.
    pub store: PathBuf,
    /// Directions, of which the chosen one is taken.
    pub directions: PathBuf,
}

/// A stored text.
struct Stored {
    /// SHA-256 over its token ids: answers of several seeds have the same ids, and may have as many tokens.
    tokens_sha256: String,
    /// Projections by position.
    values: BTreeMap<usize, f64>,
}

/// Projections by text and position.
pub(super) struct Strips {
    by_id: BTreeMap<String, Stored>,
    /// SHA-256 of the model whose activations they are: students of several seeds give their answers the same ids.
    model_sha256: String,
    /// What they are, in words.
    pub(super) what: String,
}

impl Strips {
    /// # Errors
    /// The store was not captured with readout `all`; it and the directions have no hook point in common.
    pub(super) fn read(tokens: &Tokens) -> Result<Self> {
        let directions = Directions::read(&tokens.directions)?;
        let about = Activations::describe(&tokens.store)?;
        if about.header.readout != Readout::All {
            let found = format!("one with `{}`", about.header.readout);
            return Err(setting("--tokens", "a store that was captured with `--readout all`", &found));
        }
        let has = |hook: &&heirloom_record::HookPoint| about.shapes.contains_key(*hook);
        let chosen = directions.header.chosen_hook.iter().find(has);
        let (hook, direction) = chosen
            .or_else(|| directions.by_hook.keys().find(has))
            .and_then(|hook| Some((*hook, directions.by_hook.get(hook)?)))
            .ok_or_else(|| Error::Setting {
                key: "--tokens",
                expected: format!("a hook point of `{}`", tokens.directions.display()),
                found: "none of them".into(),
            })?;
        let activations = Activations::read_hook(&tokens.store, hook)?;
        let vector = direction.vector.mapv(f64::from);
        let projected = project(activations.tensors[&hook].view(), vector.view())?;
        let mut by_id: BTreeMap<String, Stored> = BTreeMap::new();
        for (row, value) in activations.rows.iter().zip(projected) {
            // A row is called by its text's id and its position.
            if let Some((id, position)) = row.id.rsplit_once('@')
                && let Ok(position) = position.parse()
            {
                let stored = by_id.entry(id.to_owned()).or_insert_with(|| Stored {
                    tokens_sha256: row.tokens_sha256.clone(),
                    values: BTreeMap::new(),
                });
                stored.values.insert(position, rounded(value));
            }
        }
        let towards = directions.header.towards;
        let towards = if towards.is_empty() { String::new() } else { format!(": {towards}") };
        let method = directions.header.method;
        let model_sha256 = about.header.model_sha256;
        Ok(Self {
            by_id,
            model_sha256,
            what: format!("projection of each token on {method} at {hook}{towards}"),
        })
    }

    /// Whether they are of the model at `path`.
    pub(super) fn are_of(&self, path: &Path) -> bool {
        let sha256 = Source::open(path).and_then(|source| source.sha256());
        sha256.is_ok_and(|sha256| sha256 == self.model_sha256)
    }

    /// The tokens of a text, each with what stands before it, and their projections; nothing where they are not stored.
    pub(super) fn of(
        &self,
        id: &str,
        words: &Words,
        row: &DataRow,
        clock: Clock,
    ) -> Option<(Vec<String>, Vec<f64>)> {
        let Stored { tokens_sha256, values } = self.by_id.get(id)?;
        let row = words.prepare(row, clock).ok()?;
        if row.sha256() != *tokens_sha256 {
            return None;
        }
        let mut end = 0;
        let mut pieces = vec![];
        for offset in &row.offsets {
            let until = offset.end.max(end);
            pieces.push(row.text.get(end..until)?.to_owned());
            end = until;
        }
        let values: Vec<f64> = (0..pieces.len()).map(|at| values.get(&at).copied()).collect::<Option<_>>()?;
        Some((pieces, values))
    }
}
