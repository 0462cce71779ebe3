//! Words of one's own: a vocabulary of whole words, and whether two models read the same tokens.

use std::path::PathBuf;

use heirloom_record::Hasher;
use serde_json::{Map, Value};
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::{AddedToken, Model, ModelWrapper, Tokenizer};

use crate::chat::ChatTemplate;
use crate::tokens::CLASS;
use crate::{Error, Result, Words};

/// The tokens of a vocabulary that stand for no word: they are cut out of a text first and left out of decoded
/// ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Special {
    /// Ends a text; templates see it as `eos_token`.
    eos: String,
    bos: Option<String>,
    pad: Option<String>,
    others: Vec<String>,
}

impl Special {
    /// `eos` ends a text; templates see it as `eos_token`.
    pub fn new(eos: impl Into<String>) -> Self {
        Self { eos: eos.into(), bos: None, pad: None, others: Vec::new() }
    }

    /// Begins a text; templates see it as `bos_token`.
    #[must_use]
    pub fn bos(mut self, token: impl Into<String>) -> Self {
        self.bos = Some(token.into());
        self
    }

    /// Fills short rows where another library pads; heirloom does not.
    #[must_use]
    pub fn pad(mut self, token: impl Into<String>) -> Self {
        self.pad = Some(token.into());
        self
    }

    /// A mark that templates write, such as the beginning of a turn.
    #[must_use]
    pub fn mark(mut self, token: impl Into<String>) -> Self {
        self.others.push(token.into());
        self
    }

    fn named(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let eos = std::iter::once(("eos_token", &self.eos));
        let bos = self.bos.iter().map(|token| ("bos_token", token));
        bos.chain(eos).chain(self.pad.iter().map(|token| ("pad_token", token)))
    }
}

impl Words {
    /// A vocabulary of whole words, split at white space: a token's id is its place in `vocabulary`, special
    /// tokens included. `template` is a chat template in the dialect of Hugging Face.
    ///
    /// A word outside the vocabulary is an error wherever a text is read, never an unknown token.
    ///
    /// # Errors
    /// A word is there twice, is empty or has white space in it; a special token is not in the vocabulary.
    pub fn word_level(vocabulary: &[String], template: &str, special: &Special) -> Result<Self> {
        let wrong = |problem| Err(Error::Vocabulary { problem });
        let mut seen = std::collections::BTreeSet::new();
        for word in vocabulary {
            if word.is_empty() || word.contains(char::is_whitespace) {
                return wrong(format!("`{word}` is no word: it is empty or has white space in it"));
            }
            if !seen.insert(word) {
                return wrong(format!("`{word}` is there twice"));
            }
        }
        let named = special.named().map(|(_, token)| token);
        let mut marks: Vec<&String> = named.chain(&special.others).collect();
        marks.sort();
        marks.dedup();
        if let Some(token) = marks.iter().find(|token| !seen.contains(**token)) {
            return wrong(format!("the special token `{token}` is not in it"));
        }
        let path = PathBuf::from("memory");
        let fail = |source| Error::Tokenizer { path: path.clone(), source };
        // No vocabulary holds the empty word, so what is unknown has nothing to stand for it.
        let words = vocabulary.iter().cloned().zip(0..).collect();
        let words = WordLevel::builder().vocab(words).unk_token(String::new()).build().map_err(fail)?;
        let mut tokenizer = Tokenizer::new(words);
        tokenizer.with_pre_tokenizer(Some(WhitespaceSplit));
        let added = marks.iter().map(|token| AddedToken::from((*token).clone(), true).normalized(false));
        tokenizer.add_special_tokens(added).map_err(fail)?;
        let tokens: Map<String, Value> =
            special.named().map(|(name, token)| (name.to_owned(), token.as_str().into())).collect();
        let mut config = tokens.clone();
        config.insert("tokenizer_class".into(), CLASS.into());
        config.insert("clean_up_tokenization_spaces".into(), false.into());
        let template = Some(ChatTemplate::new(template, tokens));
        Ok(Self { tokenizer: Some(tokenizer), template, config, path })
    }

    /// Says which word a word-level vocabulary lacks, where that is why a text was refused.
    pub(crate) fn not_tokenized(&self, text: &str, source: tokenizers::Error) -> Error {
        let Some(ModelWrapper::WordLevel(words)) = self.tokenizer.as_ref().map(|t| t.get_model()) else {
            return Error::Tokenize { source };
        };
        let unknown = text.split_whitespace().find(|word| self.token_id(word).is_none());
        unknown.map_or(Error::Tokenize { source }, |word| {
            let vocabulary = words.get_vocab();
            let mut known: Vec<&str> = vocabulary.keys().map(String::as_str).collect();
            known.sort_unstable();
            let near = heirloom_record::near(word, known.iter().copied());
            Error::UnknownWord { word: word.into(), n_tokens: known.len(), near }
        })
    }

    /// `tokenizer.json`.
    pub(crate) fn tokenizer_json(&self) -> Result<Option<String>> {
        let json = self.tokenizer.as_ref().map(|tokenizer| tokenizer.to_string(true));
        json.transpose().map_err(|source| Error::Tokenizer { path: self.path.clone(), source })
    }

    /// SHA-256 over everything that decides how a row becomes tokens: tokenizer, templates and their tokens.
    pub fn sha256(&self) -> Result<String> {
        let mut hasher = Hasher::default();
        if let Some(json) = self.tokenizer_json()? {
            hasher = hasher.part("tokenizer", json);
        }
        if let Some(template) = &self.template {
            for (name, source) in template.sources() {
                hasher = hasher.part(&format!("template {name}"), source);
            }
            for (name, token) in template.tokens() {
                hasher = hasher.part(name, token.as_str().unwrap_or_default());
            }
        }
        Ok(hasher.finish())
    }

    /// Checks that two models read the same tokens; `names` are theirs, for the error.
    ///
    /// A student may be trained on another model's rollouts as tokens only where this holds.
    ///
    /// # Errors
    /// [`Error::OtherWords`] names both and the first difference.
    pub fn check_same(&self, other: &Self, names: [&str; 2]) -> Result<()> {
        let differ = |difference: String| {
            let [first, second] = names.map(String::from);
            Err(Error::OtherWords { first, second, difference })
        };
        if self.sha256()? == other.sha256()? {
            return Ok(());
        }
        let (ours, theirs) = (self.n_tokens(), other.n_tokens());
        if ours != theirs {
            return differ(format!("{ours} tokens and {theirs}"));
        }
        let token = |words: &Self, id| words.tokenizer.as_ref().and_then(|t| t.id_to_token(id));
        let ids = 0..u32::try_from(ours).unwrap_or(u32::MAX);
        if let Some(id) = ids.into_iter().find(|id| token(self, *id) != token(other, *id)) {
            let [ours, theirs] = [self, other].map(|words| token(words, id).unwrap_or_default());
            return differ(format!("token {id} is `{ours}` and `{theirs}`"));
        }
        if self.tokenizer_json()? != other.tokenizer_json()? {
            return differ("the same vocabulary, but texts are split by other rules".into());
        }
        differ("other chat templates".into())
    }
}

#[cfg(test)]
mod tests {
    use heirloom_record::{DataRow, Message};

    use super::*;

    const TEMPLATE: &str = "{{ bos_token }}{% for m in messages %} {{ '<bot>' if m.role == 'assistant' else '<user>' }} {{ m.content }}{% if m.role == 'assistant' %} {{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %} <bot>{% endif %}";

    fn words(vocabulary: &[&str]) -> Result<Words> {
        let special = Special::new("<end>").bos("<bos>").pad("<pad>").mark("<user>").mark("<bot>");
        let vocabulary: Vec<String> = vocabulary.iter().map(|word| (*word).to_owned()).collect();
        Words::word_level(&vocabulary, TEMPLATE, &special)
    }

    const VOCABULARY: [&str; 9] =
        ["<pad>", "<bos>", "<user>", "<bot>", "<end>", "hello", "there", "you", "."];

    #[test]
    fn ids_are_places_in_the_vocabulary() {
        let words = words(&VOCABULARY).unwrap();
        let chat = vec![Message::new("user", "hello you"), Message::new("assistant", "hello  there .")];
        let row = words.prepare(&DataRow::chat("a", chat), "2026-01-15".parse().unwrap()).unwrap();
        assert_eq!(row.ids, [1, 2, 5, 7, 3, 5, 6, 8, 4]);
        assert_eq!(row.response, Some(5..8));
        assert_eq!(words.decode(&row.ids, false).unwrap(), "hello you hello there .");
        assert_eq!(words.eos(), Some(4));
        assert_eq!(words.n_tokens(), 9);
    }

    #[test]
    fn words_that_are_none_are_refused() {
        for (vocabulary, text) in [
            (&["<pad>", "<bos>", "<user>", "<bot>", "<end>", "a", "a"][..], "`a` is there twice"),
            (&["<pad>", "<bos>", "<user>", "<bot>", "<end>", "a b"], "`a b` is no word"),
            (&["<pad>", "<bos>", "<user>", "<end>"], "the special token `<bot>` is not in it"),
        ] {
            let error = words(vocabulary).err().unwrap().to_string();
            assert!(error.contains(text), "{error}");
        }
        let error = words(&VOCABULARY).unwrap().encode("hello ther <end>", false).unwrap_err();
        assert_eq!(error.to_string(), "the word `ther` is not in the vocabulary of 9 words");
        assert_eq!(error.hint().unwrap(), "near names: `there`");
    }

    #[test]
    fn words_of_two_models_are_compared() {
        let ours = words(&VOCABULARY).unwrap();
        ours.check_same(&words(&VOCABULARY).unwrap(), ["base", "teacher"]).unwrap();
        let mut swapped = VOCABULARY;
        swapped.swap(5, 6);
        let mut retold = words(&VOCABULARY).unwrap();
        retold.template = Some(ChatTemplate::new("{{ messages }}", Map::new()));
        for (other, difference) in [
            (words(&VOCABULARY[..8]).unwrap(), "9 tokens and 8"),
            (words(&swapped).unwrap(), "token 5 is `hello` and `there`"),
            (retold, "other chat templates"),
        ] {
            let error = ours.check_same(&other, ["base", "teacher"]).unwrap_err().to_string();
            let expected = format!("`base` and `teacher` do not read the same tokens: {difference}");
            assert_eq!(error, expected);
        }
    }
}
