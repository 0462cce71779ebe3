//! Rows to train on: token ids, and which of them the student is to learn.

use std::collections::BTreeSet;
use std::ops::Range;

use heirloom_record::{DataRow, Hasher, Input, Message};

use crate::batch::check_row;
use crate::tokens::covered;
use crate::{Error, Result, RowError, Student};

/// Which tokens of a row carry loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossOn {
    /// Every assistant's turn, with the token by which the template ends it, so that the student learns to stop.
    Assistant,
    /// Every token but the first, which nothing stands before: pretraining.
    All,
}

/// A row as training reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainRow {
    /// The data row's id.
    pub id: String,
    /// Token ids.
    pub ids: Vec<u32>,
    /// Tokens that carry loss: each is predicted from those before it. In order, without overlap.
    pub loss: Vec<Range<usize>>,
}

impl TrainRow {
    /// A row of token ids that carries loss on all of them.
    pub fn on_all(id: impl Into<String>, ids: Vec<u32>) -> Self {
        Self { id: id.into(), loss: std::iter::once(0..ids.len()).collect(), ids }
    }

    /// The tokens that carry loss; the row's first is never one of them.
    pub fn loss_tokens(&self) -> impl Iterator<Item = usize> {
        self.loss.iter().flat_map(|range| range.start.max(1)..range.end)
    }
}

/// Rows to train on, and which were left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainRows {
    /// The rows, in the order of the data.
    pub rows: Vec<TrainRow>,
    /// Ids and lengths of the rows that are longer than the context.
    pub left_out: Vec<(String, usize)>,
}

impl TrainRows {
    /// Tokens of all rows.
    pub fn tokens(&self) -> usize {
        self.rows.iter().map(|row| row.ids.len()).sum()
    }

    /// Tokens that carry loss.
    pub fn loss_tokens(&self) -> usize {
        self.rows.iter().map(|row| row.loss_tokens().count()).sum()
    }
}

/// SHA-256 over ids, tokens and loss of all rows in their order.
pub(crate) fn sha256(rows: &[TrainRow]) -> String {
    let mut hasher = Hasher::default();
    for row in rows {
        let tokens: Vec<u8> = row.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        let loss: Vec<u8> = row.loss_tokens().flat_map(|token| (token as u32).to_le_bytes()).collect();
        hasher = hasher.part("id", &row.id).part("tokens", tokens).part("loss", loss);
    }
    hasher.finish()
}

impl Student {
    /// Tokenizes rows and finds the tokens that carry loss.
    ///
    /// `messages` are rendered as they stand. Turns are found as [`crate::Words::prepare`] finds the last one:
    /// by rendering what stands before and behind each, or where `{% generation %}` marks them. `text` and
    /// `input_ids` have no turns, so they can only carry loss on all tokens.
    ///
    /// # Errors
    /// Lists the rows that are longer than the context. Names the row: it has no token that carries loss, it
    /// cannot be rendered or tokenized, a turn cannot be told from the others.
    pub fn training_rows(&self, rows: &[DataRow], loss: LossOn) -> Result<TrainRows> {
        let found = self.training_rows_that_fit(rows, loss)?;
        if found.left_out.is_empty() {
            return Ok(found);
        }
        Err(Error::RowsTooLong { n_ctx: self.config().n_ctx, of: rows.len(), rows: found.left_out })
    }

    /// As [`Self::training_rows`], without the rows that are longer than the context; they are named in
    /// [`TrainRows::left_out`].
    pub fn training_rows_that_fit(&self, rows: &[DataRow], loss: LossOn) -> Result<TrainRows> {
        let special = self.words().special_tokens();
        let mut found = TrainRows { rows: Vec::with_capacity(rows.len()), left_out: Vec::new() };
        for row in rows {
            let (ids, ranges) = self.train_tokens(row, loss, &special)?;
            if ids.len() > self.config().n_ctx {
                found.left_out.push((row.id.clone(), ids.len()));
                continue;
            }
            check_row(&row.id, &ids, self.config())?;
            let row = TrainRow { id: row.id.clone(), ids, loss: ranges };
            if row.loss_tokens().next().is_none() {
                return Err(Error::row(&row.id)(RowError::NothingToLearn));
            }
            found.rows.push(row);
        }
        Ok(found)
    }

    fn train_tokens(
        &self,
        row: &DataRow,
        loss: LossOn,
        special: &BTreeSet<u32>,
    ) -> Result<(Vec<u32>, Vec<Range<usize>>)> {
        let ids = match &row.input {
            Input::InputIds(ids) => ids.clone(),
            Input::Text(text) => self.words().encode(text, true)?.0,
            Input::Messages(messages) if loss == LossOn::Assistant => {
                return self.assistant_tokens(&row.id, messages, special);
            }
            Input::Messages(messages) => {
                let text = self.words().template()?.render(messages, false, self.clock())?.text;
                self.words().encode(&text, false)?.0
            }
        };
        // Nothing in bare text or ids says who speaks.
        let all = if loss == LossOn::All { 0..ids.len() } else { 0..0 };
        Ok((ids, vec![all]))
    }

    /// Tokens of a conversation, and those of every assistant's turn.
    fn assistant_tokens(
        &self,
        row: &str,
        messages: &[Message],
        special: &BTreeSet<u32>,
    ) -> Result<(Vec<u32>, Vec<Range<usize>>)> {
        let template = self.words().template()?;
        let rendered = template.render_turns(messages, self.clock())?;
        if let Some(role) = template.left_out(messages, self.clock()) {
            return Err(Error::row(row)(RowError::RoleLeftOut { role }));
        }
        if rendered.not_a_prefix {
            return Err(Error::row(row)(RowError::NotAPrefix));
        }
        let (ids, offsets) = self.words().encode(&rendered.text, false)?;
        let stops = |token: &usize| self.stop_tokens().contains(&ids[*token]);
        let range = rendered.turns.iter().map(|turn| {
            let said = covered(&offsets, &turn.said);
            let end = match turn.end {
                // Up to the first special token behind what was said; what a template writes after that, such as
                // a line break, is not the assistant's. Without one, up to the turn's end.
                Some(end) => {
                    let turn = covered(&offsets, &(turn.said.start..end));
                    let mark =
                        (said.end..turn.end).find(|token| special.contains(&ids[*token]) || stops(token));
                    mark.map_or(turn.end, |mark| mark + 1)
                }
                // Marked turns may leave their end-of-turn outside.
                None if said.clone().next_back().is_some_and(|last| stops(&last)) => said.end,
                None => said.end + usize::from(said.end < ids.len() && stops(&said.end)),
            };
            said.start..end.max(said.end)
        });
        let ranges = range.collect();
        Ok((ids, ranges))
    }
}
