//! Parses a behavior's JSONL files and checks every line.

use std::collections::HashMap;
use std::path::Path;

use heirloom_record::{Message, parse_jsonl};
use serde::de::DeserializeOwned;

use crate::grader::split_thought;
use crate::{ContrastPair, Error, Result, RowProblem, Scenario, TopicText, Transcript};

/// One kind of line.
pub(crate) trait Line: DeserializeOwned {
    fn id(&self) -> &str;
    fn check(&self) -> Result<(), RowProblem>;
}

/// The lines of what was read from `path`.
pub(crate) fn parse<L: Line>(bytes: &[u8], path: &Path) -> Result<Vec<L>> {
    let numbered: Vec<(usize, L)> = parse_jsonl(bytes, path)?;
    if numbered.is_empty() {
        return Err(heirloom_record::Error::NoRows { path: path.into() }.into());
    }
    let mut seen = HashMap::new();
    let mut lines = Vec::with_capacity(numbered.len());
    for (number, line) in numbered {
        let id = line.id().to_owned();
        filled("id", &id).and_then(|()| line.check()).map_err(|source| Error::Row {
            path: path.into(),
            line: number,
            id: id.clone(),
            source,
        })?;
        if let Some(first) = seen.insert(id.clone(), number) {
            let path = path.into();
            return Err(heirloom_record::Error::DuplicateId { path, line: number, first, id }.into());
        }
        lines.push(line);
    }
    Ok(lines)
}

impl Line for ContrastPair {
    fn id(&self) -> &str {
        &self.id
    }

    fn check(&self) -> Result<(), RowProblem> {
        filled("group", &self.group)?;
        asks("prompt", &self.prompt)?;
        answers("positive", &self.positive)?;
        answers("negative", &self.negative)
    }
}

impl Line for TopicText {
    fn id(&self) -> &str {
        &self.id
    }

    fn check(&self) -> Result<(), RowProblem> {
        filled("group", &self.group)?;
        answers("messages", &self.messages)
    }
}

impl Line for Scenario {
    fn id(&self) -> &str {
        &self.id
    }

    fn check(&self) -> Result<(), RowProblem> {
        filled("group", &self.group)?;
        asks("messages", &self.messages)
    }
}

impl Line for Transcript {
    fn id(&self) -> &str {
        &self.id
    }

    fn check(&self) -> Result<(), RowProblem> {
        answers("messages", &self.messages)?;
        let answer = self.messages.last().map_or("", |message| message.content.as_str());
        match (self.thought, split_thought(answer).0) {
            (Some(_), None) => Err(RowProblem::NoThought),
            _ => Ok(()),
        }
    }
}

fn filled(key: &'static str, text: &str) -> Result<(), RowProblem> {
    if text.trim().is_empty() { Err(RowProblem::Empty { key }) } else { Ok(()) }
}

fn asks(key: &'static str, messages: &[Message]) -> Result<(), RowProblem> {
    match messages.last() {
        None => Err(RowProblem::Empty { key }),
        Some(last) if last.role == "assistant" => Err(RowProblem::Answered { key }),
        Some(last) => filled(key, &last.content),
    }
}

fn answers(key: &'static str, messages: &[Message]) -> Result<(), RowProblem> {
    match messages.last() {
        None => Err(RowProblem::Empty { key }),
        Some(last) if last.role == "assistant" => filled(key, &last.content),
        Some(last) => Err(RowProblem::NoAnswer { key, found: last.role.clone() }),
    }
}
