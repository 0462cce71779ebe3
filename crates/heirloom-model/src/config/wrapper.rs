//! Models of more than text, of which the text part is read.
//!
//! Source: the configuration classes of transformers 5.23.

use serde_json::{Map, Value, json};

use super::keys::Keys;
use super::{Family, field, unread};
use crate::{Error, Result};

/// A model of text and images, by its class in transformers; heirloom runs its text part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapper {
    /// `Gemma3ForConditionalGeneration`: Gemma 3 from 4B on.
    Gemma3,
    /// `Mistral3ForConditionalGeneration`: Mistral Small from 3.1 on.
    Mistral3,
    /// `Qwen3_5ForConditionalGeneration`.
    Qwen35,
}

impl Wrapper {
    /// Every wrapper, with the `model_type` of its `config.json`.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Gemma3, "gemma3"), (Self::Mistral3, "mistral3"), (Self::Qwen35, "qwen3_5")];

    /// The `model_type` of its `config.json`.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The line of its text part.
    pub fn family(self) -> Family {
        match self {
            Self::Gemma3 => Family::Gemma3,
            Self::Mistral3 => Family::Mistral,
            Self::Qwen35 => Family::Qwen35,
        }
    }

    /// The one whose text part is of `family`.
    pub(crate) fn of(family: Family) -> Option<Self> {
        Self::ALL.into_iter().map(|(wrapper, _)| wrapper).find(|wrapper| wrapper.family() == family)
    }

    pub(super) fn named(model_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, name)| *name == model_type).map(|(wrapper, _)| wrapper)
    }

    /// Parts that are not read, and what names of their tensors begin with.
    pub(crate) fn unread(self) -> &'static [(&'static str, &'static [&'static str])] {
        match self {
            Self::Gemma3 | Self::Mistral3 => &[
                ("vision tower", &["vision_tower.", "model.vision_tower."]),
                ("projector", &["multi_modal_projector.", "model.multi_modal_projector."]),
            ],
            Self::Qwen35 => &[("vision tower", &["model.visual."]), ("multi-token prediction", &["mtp."])],
        }
    }

    /// The configuration of the text part, with what the whole model says of it.
    pub(super) fn text(self, keys: Keys<'_>) -> Result<Map<String, Value>> {
        unread::check_outer(keys)?;
        let value = keys.get("text_config").ok_or(Error::MissingConfig { key: "text_config" })?;
        let mut text = value.as_object().ok_or_else(|| field("text_config", "an object", value))?.clone();
        let family = self.family().name();
        let found = text.entry("model_type").or_insert_with(|| family.into());
        if found != family {
            return Err(field("text_config.model_type", format!("`{family}`"), found));
        }
        for (key, default) in self.defaults() {
            text.entry(*key).or_insert_with(|| json!(default));
        }
        // The head belongs to the whole model, so what its own class says is what holds.
        if let Some(tied) = keys.get("tie_word_embeddings").cloned().or(self.tied().map(Value::from)) {
            text.insert("tie_word_embeddings".into(), tied);
        }
        // The whole model has the logits to itself, and caps none.
        if text.contains_key("final_logit_softcapping") {
            text.insert("final_logit_softcapping".into(), Value::Null);
        }
        if let Some(eos) = keys.get("eos_token_id") {
            text.insert("eos_token_id".into(), eos.clone());
        }
        Ok(text)
    }

    /// Whether the head is the embedding where the whole model does not say. Mistral's class says yes and yet leaves
    /// a head that the files have as it is; theirs have one, and the text part says so.
    fn tied(self) -> Option<bool> {
        match self {
            Self::Gemma3 => Some(true),
            Self::Mistral3 => None,
            Self::Qwen35 => Some(false),
        }
    }

    /// Sizes that published files leave to the class: Gemma 3's say where they differ from 4B's alone.
    fn defaults(self) -> &'static [(&'static str, usize)] {
        match self {
            Self::Gemma3 => {
                &[("vocab_size", 262_208), ("num_attention_heads", 8), ("max_position_embeddings", 131_072)]
            }
            Self::Mistral3 | Self::Qwen35 => &[],
        }
    }
}
