//! What was drawn as a row to read: the prompt, the response, and the token that ended it.

use super::Generated;
use crate::TokenRow;

impl TokenRow {
    /// This prompt and the tokens that a model drew behind it, to be read by [`crate::Student::capture`].
    ///
    /// The response is what was drawn, without the token that `stopped` it: that one ends the row and belongs
    /// neither to the prompt nor to the response, as in a chat that was prepared from its text. (A template with
    /// `{% generation %}` may count its end of turn to the response; what was drawn never does.) Everything
    /// before is prompt, an assistant's message that was continued, too. Rows of one prompt are one pair.
    #[must_use]
    pub fn with_response(&self, id: impl Into<String>, drawn: &[u32], stopped: bool) -> Self {
        let start = self.ids.len();
        let end = start + drawn.len() - usize::from(stopped && !drawn.is_empty());
        Self {
            id: id.into(),
            pair: Some(self.pair.as_ref().unwrap_or(&self.id).clone()),
            ids: [&self.ids, drawn].concat(),
            response: Some(start..end),
            ..self.clone()
        }
    }
}

impl Generated {
    /// The tokens drawn, without the one that ended it.
    pub fn response(&self) -> &[u32] {
        &self.ids[..self.ids.len() - usize::from(self.stopped)]
    }

    /// The continuation behind its `prompt`, as [`TokenRow::with_response`]; its id is the row's, and from the
    /// second sample on `#` and the sample's number.
    pub fn row(&self, prompt: &TokenRow) -> TokenRow {
        let id = if self.sample == 0 { self.id.clone() } else { format!("{}#{}", self.id, self.sample) };
        prompt.with_response(id, &self.ids, self.stopped)
    }
}
