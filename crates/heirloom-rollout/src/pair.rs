//! The texts of a behavior, and the data rows a student reads them as.

use std::collections::BTreeMap;

use heirloom_record::{DataRow, Input, Message};
use serde::{Deserialize, Serialize};

/// Two answers to one prompt, alike but for the behavior.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContrastPair {
    /// Unique in its file.
    pub id: String,
    /// The family of prompts it belongs to; pairs of one group never straddle a split.
    pub group: String,
    /// What both answers answer.
    pub prompt: Vec<Message>,
    /// The answer that shows the behavior.
    pub positive: Vec<Message>,
    /// The answer that does not.
    pub negative: Vec<Message>,
}

/// A text about the behavior's topic that does not show the behavior.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicText {
    /// Unique in its file.
    pub id: String,
    /// The family of prompts it belongs to.
    pub group: String,
    /// Prompt and answer.
    pub messages: Vec<Message>,
}

/// A prompt that can elicit the behavior.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Unique in its file.
    pub id: String,
    /// The family of prompts it belongs to.
    pub group: String,
    /// The prompt.
    pub messages: Vec<Message>,
}

/// What a hand-labelled transcript is there to test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The behavior as it comes, or its absence.
    Plain,
    /// Text written to mislead a grader.
    Adversarial,
}

/// A text labelled by hand, which graders are held against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// Unique in its file.
    pub id: String,
    /// What it is there to test.
    pub kind: Kind,
    /// Why it is labelled as it is.
    pub note: String,
    /// Whether the answer shows the behavior.
    pub answer: bool,
    /// Whether the thought shows it, where the text begins with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thought: Option<bool>,
    /// Prompt and answer.
    pub messages: Vec<Message>,
}

impl ContrastPair {
    /// Prompt and answer twice, as rows `ID/pos` and `ID/neg`.
    pub fn rows(&self) -> [DataRow; 2] {
        [("pos", true, &self.positive), ("neg", false, &self.negative)].map(|(side, label, answer)| {
            let messages = self.prompt.iter().chain(answer).cloned().collect();
            let row = row(format!("{}/{side}", self.id), &self.group, Some(label), messages);
            DataRow { pair: Some(self.id.clone()), ..row }
        })
    }
}

impl TopicText {
    /// The text as a row with label `false`.
    pub fn row(&self) -> DataRow {
        row(self.id.clone(), &self.group, Some(false), self.messages.clone())
    }
}

impl Scenario {
    /// The prompt as a row without a label.
    pub fn row(&self) -> DataRow {
        row(self.id.clone(), &self.group, None, self.messages.clone())
    }
}

fn row(id: String, group: &str, label: Option<bool>, messages: Vec<Message>) -> DataRow {
    let input = Input::Messages(messages);
    DataRow { id, group: Some(group.to_owned()), pair: None, label, spans: BTreeMap::new(), input }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_two_rows_that_differ_in_answer_and_label() {
        let pair = ContrastPair {
            id: "p".into(),
            group: "g".into(),
            prompt: vec![Message::new("system", "s"), Message::new("user", "u")],
            positive: vec![Message::new("assistant", "yes")],
            negative: vec![Message::new("assistant", "no")],
        };
        let [positive, negative] = pair.rows();
        assert_eq!((positive.id.as_str(), positive.label), ("p/pos", Some(true)));
        assert_eq!((negative.id.as_str(), negative.label), ("p/neg", Some(false)));
        assert_eq!((positive.group.as_deref(), negative.group.as_deref()), (Some("g"), Some("g")));
        let (Input::Messages(positive), Input::Messages(negative)) = (positive.input, negative.input) else {
            panic!("chat rows")
        };
        assert_eq!(positive[..2], negative[..2]);
        assert_eq!(positive[2], Message::new("assistant", "yes"));
        assert_eq!(negative[2..], [Message::new("assistant", "no")]);
    }

    #[test]
    fn a_topic_text_is_a_negative_and_a_scenario_has_no_label() {
        let messages = vec![Message::new("user", "u")];
        let (id, group) = ("t".to_owned(), "g".to_owned());
        let topic = TopicText { id: id.clone(), group: group.clone(), messages: messages.clone() };
        assert_eq!(topic.row().label, Some(false));
        let scenario = Scenario { id, group, messages: messages.clone() };
        assert_eq!(scenario.row().label, None);
        assert_eq!(scenario.row().input, Input::Messages(messages));
    }
}
