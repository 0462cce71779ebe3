//! Tokens: text to ids and back, and what of a row is read.

mod gguf;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use heirloom_record::{DataRow, Input, Readout};
use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use crate::chat::{ChatTemplate, Clock};
use crate::gguf::Gguf;
use crate::{Error, Result, RowError};

pub(crate) use gguf::gguf_special;
use gguf::gguf_tokenizer;

/// A row of data as the model reads it: tokens, and which of them are prompt, response and named spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// The data row's id.
    pub id: String,
    /// The data row's group.
    pub group: Option<String>,
    /// The data row's contrast pair or scenario.
    pub pair: Option<String>,
    /// The data row's label.
    pub label: Option<bool>,
    /// Token ids.
    pub ids: Vec<u32>,
    /// The text that was tokenized; empty where the row came as token ids.
    pub text: String,
    /// Each token's bytes in `text`; empty where the row came as token ids.
    pub offsets: Vec<Range<usize>>,
    /// Tokens of the last assistant message.
    pub response: Option<Range<usize>>,
    /// Tokens of each named span.
    pub spans: BTreeMap<String, Range<usize>>,
}

impl TokenRow {
    /// A row of token ids without text.
    pub fn from_ids(id: impl Into<String>, ids: Vec<u32>) -> Self {
        Self {
            id: id.into(),
            group: None,
            pair: None,
            label: None,
            ids,
            text: String::new(),
            offsets: Vec::new(),
            response: None,
            spans: BTreeMap::new(),
        }
    }

    /// The tokens that `readout` reads.
    ///
    /// # Errors
    /// The row has no response or no such span, or there is no token in it.
    pub fn read(&self, readout: &Readout) -> Result<Range<usize>> {
        let n = self.ids.len();
        let range = match readout {
            Readout::LastPrompt => {
                let end = self.response.as_ref().map_or(n, |response| response.start);
                Ok(end.saturating_sub(1)..end)
            }
            Readout::ResponseMean => match &self.response {
                Some(range) if range.is_empty() => Err(RowError::EmptyResponse),
                Some(range) => Ok(range.clone()),
                None => Err(RowError::NoResponse),
            },
            Readout::Span(name) => match self.spans.get(name) {
                Some(range) if range.is_empty() => Err(RowError::EmptySpan { name: name.clone() }),
                Some(range) => Ok(range.clone()),
                None => {
                    let known = self.spans.keys().cloned().collect();
                    Err(RowError::NoSpan { name: name.clone(), known })
                }
            },
            Readout::All => Ok(0..n),
        };
        let range = range.and_then(|range| if range.is_empty() { Err(RowError::Empty) } else { Ok(range) });
        range.map_err(Error::row(&self.id))
    }

    /// SHA-256 over the token ids as little-endian u32.
    pub fn sha256(&self) -> String {
        let bytes: Vec<u8> = self.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        heirloom_record::sha256_hex(&bytes)
    }
}

/// What the model read and which tokens of it a readout takes, for people to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The row's id.
    pub id: String,
    /// Every token in order.
    pub tokens: Vec<ShownToken>,
}

/// One token of a [`Shown`] row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownToken {
    /// The id.
    pub id: u32,
    /// Its text; empty for a token that continues a character begun by the one before.
    pub piece: String,
    /// Whether the readout takes it.
    pub read: bool,
}

impl fmt::Display for Shown {
    /// The text with the read tokens between `⟦` and `⟧`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut inside = false;
        for token in &self.tokens {
            if token.read != inside {
                f.write_str(if token.read { "⟦" } else { "⟧" })?;
                inside = token.read;
            }
            f.write_str(&token.piece)?;
        }
        if inside { f.write_str("⟧") } else { Ok(()) }
    }
}

/// transformers' class for any `tokenizer.json`.
pub(crate) const CLASS: &str = "PreTrainedTokenizerFast";

/// A model's words: its tokenizer and its chat templates.
pub struct Words {
    pub(crate) tokenizer: Option<Tokenizer>,
    pub(crate) template: Option<ChatTemplate>,
    /// `tokenizer_config.json` without its templates.
    pub(crate) config: Map<String, Value>,
    pub(crate) path: PathBuf,
}

impl Words {
    /// Tokenizer and templates of a Hugging Face folder; either may be absent until it is needed.
    pub(crate) fn from_folder(folder: &Path) -> Result<Self> {
        let file = folder.join("tokenizer.json");
        let tokenizer = file
            .is_file()
            .then(|| {
                Tokenizer::from_file(&file).map_err(|source| Error::Tokenizer { path: file.clone(), source })
            })
            .transpose()?;
        let path = folder.join("tokenizer_config.json");
        let mut config = Value::Null;
        if path.is_file() {
            let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
            config = serde_json::from_slice(&bytes).map_err(|source| Error::Json { path, source })?;
        }
        let template = ChatTemplate::from_folder(folder, &config)?;
        let mut config = if let Value::Object(config) = config { config } else { Map::new() };
        config.shift_remove("chat_template");
        Ok(Self { tokenizer, template, config, path: folder.to_owned() })
    }

    /// Tokenizer and template of GGUF metadata.
    pub(crate) fn from_gguf(gguf: &Gguf) -> Result<Self> {
        let tokenizer =
            gguf.metadata.contains_key("tokenizer.ggml.model").then(|| gguf_tokenizer(gguf)).transpose()?;
        let template = ChatTemplate::from_gguf(gguf)?;
        let mut config = Map::from_iter([("tokenizer_class".to_owned(), CLASS.into())]);
        config.extend(template.iter().flat_map(|template| template.tokens().clone()));
        Ok(Self { tokenizer, template, config, path: gguf.path.clone() })
    }

    /// The chat template.
    ///
    /// # Errors
    /// The model came without one.
    pub fn template(&self) -> Result<&ChatTemplate> {
        self.template.as_ref().ok_or_else(|| Error::NoTemplate { path: self.path.clone() })
    }

    /// Whether there is a tokenizer.
    pub fn has_tokenizer(&self) -> bool {
        self.tokenizer.is_some()
    }

    /// Whether there is a chat template.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// The id of the token that templates write at the end of a text.
    pub(crate) fn eos(&self) -> Option<u32> {
        self.token_id(self.template.as_ref()?.token("eos_token")?)
    }

    /// One more than the largest token id; 0 without a tokenizer.
    pub fn n_tokens(&self) -> usize {
        let ids = self.tokenizer.iter().flat_map(|tokenizer| tokenizer.get_vocab(true).into_values());
        ids.max().map_or(0, |id| id as usize + 1)
    }

    /// Tokens that stand for no text, such as the marks of turns.
    pub(crate) fn special_tokens(&self) -> BTreeSet<u32> {
        let added = self.tokenizer.iter().flat_map(|tokenizer| tokenizer.get_added_tokens_decoder());
        added.filter(|(_, token)| token.special).map(|(id, _)| id).collect()
    }

    fn tokenizer(&self) -> Result<&Tokenizer> {
        self.tokenizer.as_ref().ok_or_else(|| Error::NoTokenizer { path: self.path.clone() })
    }

    /// The tokens of a text and the bytes of it that each covers.
    ///
    /// `specials` lets the tokenizer add what it adds by itself, such as a beginning-of-text token; a rendered
    /// chat has them already.
    pub fn encode(&self, text: &str, specials: bool) -> Result<(Vec<u32>, Vec<Range<usize>>)> {
        let encoded = self.tokenizer()?.encode(text, specials);
        let encoded = encoded.map_err(|source| self.not_tokenized(text, source))?;
        let offsets = encoded.get_offsets().iter().map(|(start, end)| *start..*end);
        Ok((encoded.get_ids().to_vec(), offsets.collect()))
    }

    /// The text of tokens, with or without special ones.
    pub fn decode(&self, ids: &[u32], specials: bool) -> Result<String> {
        self.tokenizer()?.decode(ids, !specials).map_err(|source| Error::Tokenize { source })
    }

    /// The id of a token by its text.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.tokenizer.as_ref()?.token_to_id(token)
    }

    /// Tokenizes a row and finds its prompt, response and spans.
    ///
    /// `messages` are rendered by the chat template and tokenized as rendered, with no token added: templates
    /// write their own beginning of text. Where the last message is the assistant's, it is the response: it
    /// begins after the generation prompt, or where `{% generation %}` says. Where it is not, the generation
    /// prompt is appended. `text` is tokenized as the tokenizer does by itself, with the special tokens it adds.
    /// `input_ids` are taken as they are.
    ///
    /// # Errors
    /// Names the row: no tokenizer or template, the template refuses or leaves out a role it does not know, a span's text is not in the row or is there
    /// more than once.
    pub fn prepare(&self, row: &DataRow, clock: Clock) -> Result<TokenRow> {
        let mut out = TokenRow::from_ids(&row.id, Vec::new());
        out.group.clone_from(&row.group);
        out.pair.clone_from(&row.pair);
        out.label = row.label;
        let fail = |problem| Error::row(&row.id)(problem);
        match &row.input {
            Input::InputIds(ids) => {
                out.ids.clone_from(ids);
                if let Some(what) = row.spans.keys().next() {
                    return Err(fail(RowError::NoText { what: what.clone() }));
                }
            }
            Input::Text(text) => {
                (out.ids, out.offsets) = self.encode(text, true)?;
                out.text.clone_from(text);
            }
            Input::Messages(messages) => {
                let template = self.template()?;
                let rendered = template.render_row(messages, clock)?;
                (out.ids, out.offsets) = self.encode(&rendered.text, false)?;
                out.text = rendered.text;
                if let Some(role) = template.left_out(messages, clock) {
                    return Err(fail(RowError::RoleLeftOut { role }));
                }
                if rendered.not_a_prefix {
                    return Err(fail(RowError::NotAPrefix));
                }
                out.response = rendered.response.map(|bytes| covered(&out.offsets, &bytes));
            }
        }
        for (name, text) in &row.spans {
            let Some(start) = out.text.find(text.as_str()) else {
                return Err(fail(RowError::SpanNotFound { name: name.clone(), text: text.clone() }));
            };
            let range = covered(&out.offsets, &(start..start + text.len()));
            if range.is_empty() {
                return Err(fail(RowError::EmptySpan { name: name.clone() }));
            }
            // Overlapping ones, too: `aa` is twice in `aaa`.
            let count = out.text.char_indices().filter(|(at, _)| out.text[*at..].starts_with(text)).count();
            if count > 1 {
                let (name, text) = (name.clone(), text.clone());
                return Err(fail(RowError::AmbiguousSpan { name, text, count }));
            }
            out.spans.insert(name.clone(), range);
        }
        if out.ids.is_empty() {
            return Err(fail(RowError::Empty));
        }
        Ok(out)
    }

    /// The row's tokens as text, with those that `readout` takes marked.
    pub fn show(&self, row: &TokenRow, readout: &Readout) -> Result<Shown> {
        let read = row.read(readout)?;
        let mut tokens = Vec::with_capacity(row.ids.len());
        let mut shown = 0;
        for (index, id) in row.ids.iter().enumerate() {
            let piece = match row.offsets.get(index) {
                // Tokens that share a character all cover it; it is shown once, with the first of them.
                Some(bytes) => {
                    let piece = row.text.get(bytes.start.max(shown)..bytes.end).unwrap_or_default();
                    shown = shown.max(bytes.end);
                    if bytes.is_empty() { self.decode(&[*id], true)? } else { piece.to_owned() }
                }
                None if self.tokenizer.is_some() => self.decode(&[*id], true)?,
                None => format!("[{id}]"),
            };
            tokens.push(ShownToken { id: *id, piece, read: read.contains(&index) });
        }
        Ok(Shown { id: row.id.clone(), tokens })
    }
}

/// Tokens that cover any of `bytes`.
pub(crate) fn covered(offsets: &[Range<usize>], bytes: &Range<usize>) -> Range<usize> {
    let start = offsets.iter().position(|token| token.end > bytes.start).unwrap_or(offsets.len());
    let end = offsets.iter().rposition(|token| token.start < bytes.end && token.end > token.start);
    start..end.map_or(start, |end| (end + 1).max(start))
}

#[cfg(test)]
mod tests {
    use heirloom_record::Message;

    use super::*;

    #[test]
    fn a_message_that_the_template_leaves_out_is_refused_by_its_role() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat-llama");
        let mut words = Words::from_folder(&folder).unwrap();
        let row = DataRow::chat("r", vec![Message::new("critic", "No."), Message::new("user", "Hi")]);
        let clock = "2026-01-15".parse().unwrap();
        // The fixture's template renders any role.
        words.prepare(&row, clock).unwrap();
        let choosy = "{% for m in messages if m.role in ['user', 'assistant'] %}{{ m.content }}{% endfor %}";
        words.template = Some(ChatTemplate::new(choosy, Map::new()));
        let error = words.prepare(&row, clock).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "the chat template leaves out its message of the role `critic`");
        assert!(error.hint().unwrap().contains("`assistant`, `tool`"));
    }

    #[test]
    fn a_span_that_could_be_in_two_places_is_refused() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat-llama");
        let words = Words::from_folder(&folder).unwrap();
        let prepare = |span: &str| {
            let said = "Ann met Bob. Then Ann left, and aaa was all.";
            let mut row = DataRow::chat("r", vec![Message::new("user", said)]);
            row.spans.insert("who".into(), span.into());
            words.prepare(&row, "2026-01-15".parse().unwrap())
        };
        for (span, count) in [("Ann", 2), ("aa", 2), ("nn", 2)] {
            let error = prepare(span).unwrap_err();
            let expected =
                format!("row `r`: the text of span `who`, `{span}`, is in the rendered row {count} times");
            assert_eq!(error.to_string(), expected);
            assert!(error.hint().unwrap().contains("longer"));
        }
        for span in ["Then Ann", "Ann left", "Bob", "aaa"] {
            let row = prepare(span).unwrap();
            let tokens = row.spans["who"].clone();
            let bytes = row.offsets[tokens.start].start..row.offsets[tokens.end - 1].end;
            assert!(row.text[bytes].contains(span), "{span}");
        }
    }
}
