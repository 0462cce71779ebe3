//! How likely a model finds answers that somebody gave.

use std::ops::Range;

use heirloom_record::Readout;

use crate::{Error, Result, RowError, Student, TokenRow};

/// Tokens of one forward pass: logits are held for all of them.
const MAX_TOKENS: usize = 1024;

impl Student {
    /// Mean log-probability of each row's answer, in nats per token of it.
    ///
    /// An answer is the last assistant message, as `response-mean` reads it. Its first token counts only where something stands before it.
    ///
    /// Cost: a forward pass with the head; logits of about a thousand tokens are held at a time.
    ///
    /// # Errors
    /// Names the row without an answer, the one whose answer is its only token, and the one whose logits are not finite.
    pub fn answer_log_probs(&self, rows: &[TokenRow]) -> Result<Vec<f64>> {
        let spans = rows.iter().map(|row| row.read(&Readout::ResponseMean));
        let spans: Vec<Range<usize>> = spans.collect::<Result<_>>()?;
        if let Some((row, _)) = rows.iter().zip(&spans).find(|(_, span)| span.end <= span.start.max(1)) {
            return Err(Error::row(&row.id)(RowError::NothingScored));
        }
        let mut means = Vec::with_capacity(rows.len());
        for batch in batches(rows) {
            let caches = self.run_with_hooks(&rows[batch.clone()], &[], &[], true)?;
            for ((row, span), cache) in rows[batch.clone()].iter().zip(&spans[batch]).zip(caches) {
                let logits = cache.logits.expect("logits were asked for");
                let log_prob = |at: usize| {
                    let logits = logits.row(at - 1);
                    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
                    f64::from(logits[row.ids[at] as usize] - largest) - sum.ln()
                };
                let scored = span.start.max(1)..span.end;
                let mean = scored.clone().map(log_prob).sum::<f64>() / scored.len() as f64;
                if !mean.is_finite() {
                    return Err(Error::row(&row.id)(RowError::NotFinite));
                }
                means.push(mean);
            }
        }
        Ok(means)
    }
}

/// Rows in their order, as many as the budget of tokens holds.
fn batches(rows: &[TokenRow]) -> Vec<Range<usize>> {
    let (mut all, mut start, mut tokens) = (vec![], 0, 0);
    for (at, row) in rows.iter().enumerate() {
        if at > start && tokens + row.ids.len() > MAX_TOKENS {
            all.push(start..at);
            (start, tokens) = (at, 0);
        }
        tokens += row.ids.len();
    }
    if start < rows.len() {
        all.push(start..rows.len());
    }
    all
}
