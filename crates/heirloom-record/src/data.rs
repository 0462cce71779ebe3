//! Data rows: what a user feeds to a student, one JSON object a line.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::LineProblem;
use crate::near::{near, unknown_key};
use crate::{Error, Result};

/// One message of a chat, as Hugging Face writes them. Another key would not be rendered, so it is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// `system`, `user`, `assistant` or another role that the template knows.
    pub role: String,
    /// The text.
    pub content: String,
}

impl Message {
    /// A message of `role` saying `content`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// What a row gives the student to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A chat; the model's template is applied.
    Messages(Vec<Message>),
    /// Text, tokenized as it stands.
    Text(String),
    /// Token ids, taken as given.
    InputIds(Vec<u32>),
}

/// One row of data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DataRow {
    /// Unique in its file.
    pub id: String,
    /// The family of prompts it belongs to; rows of one group never straddle a split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The contrast pair or scenario it belongs to; rows of one pair are resampled together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<String>,
    /// Whether it shows the behavior.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<bool>,
    /// Named pieces of its text that a `span:NAME` readout can read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub spans: BTreeMap<String, String>,
    /// What the student reads.
    #[serde(flatten)]
    pub input: Input,
}

impl DataRow {
    /// An unlabelled chat row.
    pub fn chat(id: impl Into<String>, messages: Vec<Message>) -> Self {
        let input = Input::Messages(messages);
        Self { id: id.into(), group: None, pair: None, label: None, spans: BTreeMap::new(), input }
    }
}

/// A row as it stands in a file, before it is checked.
#[derive(Deserialize)]
#[serde(expecting = "a JSON object with `messages`, `text` or `input_ids`")]
struct RawRow {
    id: Option<serde_json::Value>,
    group: Option<String>,
    pair: Option<String>,
    label: Option<Label>,
    #[serde(default)]
    spans: BTreeMap<String, String>,
    messages: Option<Vec<Message>>,
    text: Option<String>,
    input_ids: Option<Vec<u32>>,
    #[serde(flatten)]
    others: BTreeMap<String, serde_json::Value>,
}

/// The keys of a data row.
const KEYS: [&str; 8] = ["id", "group", "pair", "label", "spans", "messages", "text", "input_ids"];

/// `true`/`false` or `1`/`0`; anything else is refused by the parser with the line's number.
#[derive(Deserialize)]
#[serde(try_from = "serde_json::Value")]
struct Label(bool);

impl TryFrom<serde_json::Value> for Label {
    type Error = String;

    fn try_from(value: serde_json::Value) -> Result<Self, String> {
        match (value.as_bool(), value.as_u64()) {
            (Some(label), _) => Ok(Self(label)),
            (_, Some(number @ (0 | 1))) => Ok(Self(number == 1)),
            _ => Err(format!("label: expected `true`, `false`, `1` or `0`, found `{value}`")),
        }
    }
}

/// Reads every line of a JSONL file as a `T`; blank lines are passed over.
///
/// Returns each value with its line number, counted from 1.
///
/// # Errors
/// Names the file and the line.
pub fn read_jsonl<T: DeserializeOwned>(path: &Path) -> Result<Vec<(usize, T)>> {
    parse_jsonl(open(path)?, path)
}

/// Reads data rows: `messages`, `text` or `input_ids`, with optional `id`, `group`, `pair`, `label` and `spans`.
///
/// A row without an id gets `row-N`, N its line. Other keys of a row are left alone, so data sets can keep theirs.
///
/// # Errors
/// Names the file and the line: bad JSON, not UTF-8, none or several inputs, an empty input, a message with
/// another key than `role` and `content`, an id used twice, no rows.
pub fn read_rows(path: &Path) -> Result<Vec<DataRow>> {
    rows(parse_jsonl(open(path)?, path)?, path)
}

/// [`read_rows`] of text that was read from `path`.
pub fn parse_rows(text: &str, path: &Path) -> Result<Vec<DataRow>> {
    rows(parse_jsonl(text.as_bytes(), path)?, path)
}

fn rows(raw: Vec<(usize, RawRow)>, path: &Path) -> Result<Vec<DataRow>> {
    if raw.is_empty() {
        return Err(Error::NoRows { path: path.into() });
    }
    let mut lines = HashMap::new();
    let mut rows = Vec::with_capacity(raw.len());
    for (line, raw) in raw {
        let row = check(raw, line, path)?;
        if let Some(first) = lines.insert(row.id.clone(), line) {
            return Err(Error::DuplicateId { path: path.into(), line, first, id: row.id });
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Rows as JSONL, the inverse of [`parse_rows`].
pub fn rows_to_jsonl<T: Serialize>(rows: &[T]) -> String {
    let line =
        |row| serde_json::to_string(row).expect("rows hold strings, numbers and maps with string keys");
    rows.iter().map(|row| line(row) + "\n").collect()
}

/// [`read_jsonl`] of what was read from `path`.
pub fn parse_jsonl<T: DeserializeOwned>(mut reader: impl BufRead, path: &Path) -> Result<Vec<(usize, T)>> {
    let mut values = vec![];
    let mut bytes = vec![];
    for line in 1.. {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes).map_err(Error::io("read", path))? == 0 {
            break;
        }
        let json = std::str::from_utf8(&bytes);
        let json = json.map_err(|source| Error::NotUtf8 { path: path.into(), line, source })?.trim();
        if !json.is_empty() {
            let value = serde_json::from_str(json);
            values.push((line, value.map_err(|source| explain(source, line, path))?));
        }
    }
    Ok(values)
}

fn open(path: &Path) -> Result<impl BufRead> {
    Ok(BufReader::new(std::fs::File::open(path).map_err(Error::io("read", path))?))
}

fn explain(source: serde_json::Error, line: usize, path: &Path) -> Error {
    match unknown_key(&source.to_string()) {
        Some((key, known)) => Error::UnknownKey { path: path.into(), line, key, known },
        None => Error::Line { path: path.into(), line, source: LineProblem(source) },
    }
}

fn check(raw: RawRow, line: usize, path: &Path) -> Result<DataRow> {
    refuse_typos(&raw.others, &KEYS, line, path)?;
    let inputs = [raw.messages.is_some(), raw.text.is_some(), raw.input_ids.is_some()];
    let found = inputs.into_iter().filter(|given| *given).count();
    let (input, field, empty) = match (raw.messages, raw.text, raw.input_ids) {
        (Some(messages), None, None) => {
            let empty = messages.is_empty();
            (Input::Messages(messages), "messages", empty)
        }
        (None, Some(text), None) => {
            let empty = text.is_empty();
            (Input::Text(text), "text", empty)
        }
        (None, None, Some(ids)) => {
            let empty = ids.is_empty();
            (Input::InputIds(ids), "input_ids", empty)
        }
        _ => return Err(Error::RowInput { path: path.into(), line, found }),
    };
    if empty {
        return Err(Error::RowEmpty { path: path.into(), line, field });
    }
    Ok(DataRow {
        id: id_text(raw.id).unwrap_or_else(|| format!("row-{line}")),
        group: raw.group,
        pair: raw.pair,
        label: raw.label.map(|label| label.0),
        spans: raw.spans,
        input,
    })
}

/// Data sets keep keys of their own, but one like a known key is a typo that would silently drop what it holds.
pub(crate) fn refuse_typos(
    others: &BTreeMap<String, serde_json::Value>,
    known: &[&str],
    line: usize,
    path: &Path,
) -> Result<()> {
    let typo = others.keys().find(|key| !near(key, known.iter().copied()).is_empty());
    typo.map_or(Ok(()), |key| {
        let known = known.iter().map(|known| (*known).to_owned()).collect();
        Err(Error::UnknownKey { path: path.into(), line, key: key.clone(), known })
    })
}

/// An id as text, whether it stands as text or as a number; `None` where there is none.
pub(crate) fn id_text(id: Option<serde_json::Value>) -> Option<String> {
    match id? {
        serde_json::Value::Null => None,
        serde_json::Value::String(id) => Some(id),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<DataRow>> {
        parse_rows(text, Path::new("rows.jsonl"))
    }

    #[test]
    fn the_three_inputs_are_read_and_written_back() {
        let text = r#"{"id":"a","group":"g","pair":"p","label":true,"messages":[{"role":"user","content":"hi"}]}

{"text":"plain","label":0,"source":"kept by its owner"}
{"id":7,"input_ids":[1,2]}
"#;
        let rows = parse(text).unwrap();
        assert_eq!(rows[0].label, Some(true));
        assert_eq!((rows[1].id.as_str(), rows[1].label), ("row-3", Some(false)));
        assert_eq!((rows[2].id.as_str(), &rows[2].input), ("7", &Input::InputIds(vec![1, 2])));
        assert_eq!(parse(&rows_to_jsonl(&rows)).unwrap(), rows);
    }

    #[test]
    fn a_bad_line_is_named() {
        let table = [
            ("{\"text\":\"a\"}\n{oops", "line 2"),
            (r#"{"id":"a"}"#, "exactly one of"),
            (r#"{"text":"a","input_ids":[1]}"#, "found 2"),
            (r#"{"messages":[]}"#, "`messages` is empty"),
            (r#"{"text":"a","pairs":"p"}"#, "unknown key `pairs`"),
            (r#"{"text":"a","lable":true}"#, "unknown key `lable`"),
            ("{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":\"a\",\"text\":\"y\"}", "used on line 1 before"),
            ("\n\n", "has no rows"),
        ];
        for (text, expected) in table {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
        let Err(Error::Line { source, .. }) = parse(r#"{"text":"a","label":"yes"}"#) else {
            panic!("accepted")
        };
        assert!(source.to_string().contains("found `\"yes\"`"), "{source}");
        // The file counts lines, the parser columns; each says its own.
        let error = parse("{\"text\":\"a\"}\n\n{\"text\": oops}").unwrap_err();
        assert!(error.to_string().contains("line 3"), "{error}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "expected value at column 10");
    }

    #[test]
    fn a_message_with_a_key_that_would_not_be_rendered_is_refused() {
        let plain = r#"{"messages":[{"role":"user","content":"hi"}],"tools":"kept by its owner"}"#;
        assert_eq!(parse(plain).unwrap().len(), 1);
        for (key, value) in [("tool_calls", "[]"), ("name", "\"Ann\""), ("weight", "null")] {
            let message = format!(r#"{{"role":"user","content":"hi","{key}":{value}}}"#);
            let error = parse(&format!("{plain}\n{{\"messages\":[{message}]}}")).unwrap_err();
            let expected = format!("`rows.jsonl` line 2: unknown key `{key}`, expected `role`, `content`");
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.hint().unwrap(), "heirloom renders `role` and `content` only: remove the key");
        }
    }

    #[test]
    fn a_line_that_is_not_utf_8_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("rows.jsonl");
        let lines = |last: &[u8]| [b"{\"text\":\"caf\xc3\xa9\"}\r\n\n{\"text\":\"caf", last, b"\"}"].concat();
        crate::write_file(&path, &lines(b"\xe9")).unwrap();
        let message = read_rows(&path).unwrap_err().to_string();
        assert!(message.ends_with("rows.jsonl` line 3: is not UTF-8"), "{message}");
        crate::write_file(&path, &lines("é".as_bytes())).unwrap();
        let rows = read_rows(&path).unwrap();
        assert_eq!(rows[0].input, rows[1].input);
        assert_eq!(rows[1].id, "row-3");
    }
}
