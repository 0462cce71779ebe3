//! What a server said, and whether it is a verdict.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::Part;
use crate::grader::split_thought;

/// Why there is no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The server answered with a status other than success.
    Status(u16),
    /// No answer in time.
    Timeout,
    /// The connection broke, or nobody listened.
    Connection,
    /// The judge's words, or the server's, are not one JSON object.
    NotJson,
    /// They are, but not a verdict: `shown` is not true or false, a key is missing, or there are others.
    NoVerdict,
    /// The judge, or a filter before it, refused to judge.
    Refused,
    /// The judge was cut off at its most tokens before the verdict was whole.
    CutOff,
    /// The server was given up before this request.
    NotAsked,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "http {status}"),
            Self::Timeout => f.write_str("timeout"),
            Self::Connection => f.write_str("connection"),
            Self::NotJson => f.write_str("not json"),
            Self::NoVerdict => f.write_str("no verdict"),
            Self::Refused => f.write_str("refused"),
            Self::CutOff => f.write_str("cut off"),
            Self::NotAsked => f.write_str("not asked"),
        }
    }
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a judge said of one part of one rollout: a line of `judge.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JudgeAnswer {
    /// The rollout's id.
    pub rollout: String,
    /// Which part of it.
    pub part: Part,
    /// The verdict; `None` where there is none.
    pub shown: Option<bool>,
    /// The judge's reason.
    pub reason: String,
    /// Why there is no verdict.
    pub failure: Option<Failure>,
    /// The judge's words, else all that the server sent, else what went wrong with the connection.
    pub raw: String,
    /// The model's name as the server gives it.
    pub model: Option<String>,
    /// Requests that it took; 0 for a part without a word, which shows nothing and is not asked about.
    pub attempts: usize,
}

/// A verdict as the judge must write it, no key more or less.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JudgeVerdict {
    pub(super) shown: bool,
    pub(super) reason: String,
}

/// The part of a chat completion that is read.
#[derive(Deserialize)]
struct Completion {
    model: Option<String>,
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    content: Option<String>,
    refusal: Option<String>,
}

/// What the body of a successful response says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) verdict: Result<JudgeVerdict, Failure>,
    pub(super) raw: String,
    pub(super) model: Option<String>,
}

/// Reads the body of a successful response: a chat completion whose words are a verdict.
pub(super) fn hear(body: &str) -> Heard {
    let Ok(completion) = serde_json::from_str::<Completion>(body) else {
        let failure = match serde_json::from_str::<serde_json::Value>(body) {
            Ok(_) => Failure::NoVerdict,
            Err(_) => Failure::NotJson,
        };
        return Heard { verdict: Err(failure), raw: body.into(), model: None };
    };
    let model = completion.model;
    let Some(Choice { message, finish_reason }) = completion.choices.into_iter().next() else {
        return Heard { verdict: Err(Failure::NoVerdict), raw: body.into(), model };
    };
    let ended = |reason| finish_reason.as_deref() == Some(reason);
    let refused = message.refusal.as_ref().is_some_and(|words| !words.is_empty()) || ended("content_filter");
    let content = message.content.filter(|content| !content.trim().is_empty());
    let verdict = match &content {
        _ if refused => Err(Failure::Refused),
        Some(content) => verdict(content),
        None => Err(Failure::NoVerdict),
    };
    let verdict = verdict.map_err(|failure| {
        if ended("length") && failure != Failure::Refused { Failure::CutOff } else { failure }
    });
    Heard { verdict, raw: content.or(message.refusal).unwrap_or_else(|| body.into()), model }
}

/// The one JSON object that `content` is, after a thought and inside a code fence or not. JSON among other words is
/// not looked for: it may be a quotation.
fn verdict(content: &str) -> Result<JudgeVerdict, Failure> {
    let said = unfenced(split_thought(content).1.trim());
    match serde_json::from_str::<JudgeVerdict>(said) {
        Ok(verdict) => Ok(verdict),
        Err(error) if error.is_data() => Err(Failure::NoVerdict),
        Err(_) => Err(Failure::NotJson),
    }
}

fn unfenced(text: &str) -> &str {
    let inside = text.strip_prefix("```").and_then(|text| text.strip_suffix("```"));
    inside.map_or(text, |inside| inside.strip_prefix("json").unwrap_or(inside).trim())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_verdict_is_one_object_and_nothing_else() {
        let shown = |shown| Ok((shown, "r"));
        let good = r#"{"shown": true, "reason": "r"}"#;
        let table = [
            (good.to_owned(), shown(true)),
            (format!("\n  {good}\n"), shown(true)),
            (format!("```json\n{good}\n```"), shown(true)),
            (format!("```\n{good}```"), shown(true)),
            (format!("<think>is it {{\"shown\": false}}?</think>\n{good}"), shown(true)),
            (r#"{"reason": "r", "shown": false}"#.to_owned(), shown(false)),
            (r#"{"shown": "true", "reason": "r"}"#.to_owned(), Err(Failure::NoVerdict)),
            (r#"{"shown": null, "reason": "r"}"#.to_owned(), Err(Failure::NoVerdict)),
            (r#"{"shown": true}"#.to_owned(), Err(Failure::NoVerdict)),
            (r#"{"shown": true, "reason": "r", "shown": false}"#.to_owned(), Err(Failure::NoVerdict)),
            (r#"{"shown": true, "reason": "r", "score": 3}"#.to_owned(), Err(Failure::NoVerdict)),
            ("[true]".to_owned(), Err(Failure::NoVerdict)),
            (format!("The verdict is {good}"), Err(Failure::NotJson)),
            (format!("{good} {good}"), Err(Failure::NotJson)),
            (good[..12].to_owned(), Err(Failure::NotJson)),
            ("I cannot judge this.".to_owned(), Err(Failure::NotJson)),
        ];
        for (content, expected) in table {
            let found = verdict(&content).map(|verdict| (verdict.shown, verdict.reason));
            assert_eq!(found, expected.map(|(shown, reason)| (shown, reason.to_owned())), "{content}");
        }
    }

    #[test]
    fn what_is_no_verdict_is_told_apart() {
        let said = |message: serde_json::Value, finish: &str| {
            json!({"model": "m-1", "choices": [{"message": message, "finish_reason": finish}]}).to_string()
        };
        let table = [
            (said(json!({"content": "{\"shown\": tr"}), "length"), Failure::CutOff, "{\"shown\": tr"),
            (said(json!({"content": null, "refusal": "No."}), "stop"), Failure::Refused, "No."),
            (said(json!({"content": "{\"shown\":"}), "content_filter"), Failure::Refused, "{\"shown\":"),
            (said(json!({"content": "hm"}), "stop"), Failure::NotJson, "hm"),
            (r#"{"choices": []}"#.into(), Failure::NoVerdict, r#"{"choices": []}"#),
            (r#"{"error": "busy"}"#.into(), Failure::NoVerdict, r#"{"error": "busy"}"#),
            ("<html>".into(), Failure::NotJson, "<html>"),
            (String::new(), Failure::NotJson, ""),
        ];
        for (body, failure, raw) in table {
            let heard = hear(&body);
            assert_eq!((heard.verdict, heard.raw.as_str()), (Err(failure), raw), "{body}");
        }
        let empty = said(json!({"content": " "}), "stop");
        assert_eq!(
            hear(&empty),
            Heard { verdict: Err(Failure::NoVerdict), raw: empty, model: Some("m-1".into()) }
        );
    }
}
