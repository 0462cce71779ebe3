//! Whether prompts leave room for answers, before any weight is loaded.

use heirloom_model::{Clock, Source};
use heirloom_record::DataRow;

use crate::{Error, Result};

/// Checks that so many new tokens fit behind every prompt.
///
/// # Errors
/// Names the prompts that are too long; the tokenizer cannot be read; a prompt cannot be rendered.
pub fn check_room(
    source: &Source,
    clock: Clock,
    prompts: impl IntoIterator<Item = DataRow>,
    max_new_tokens: usize,
) -> Result<()> {
    let words = source.words()?;
    let n_ctx = source.config().n_ctx;
    let (mut long, mut of) = (vec![], 0);
    for prompt in prompts {
        let n_tokens = words.prepare(&prompt, clock)?.ids.len();
        of += 1;
        if n_tokens + max_new_tokens > n_ctx {
            long.push((prompt.id, n_tokens));
        }
    }
    if long.is_empty() { Ok(()) } else { Err(Error::NoRoom { prompts: long, of, max_new_tokens, n_ctx }) }
}
