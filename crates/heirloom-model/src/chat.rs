//! Chat templates in the dialect of Hugging Face, rendered with a pinned clock.
//!
//! Source: `_compile_jinja_template` of transformers' `chat_template_utils.py`: trimmed blocks, loop controls,
//! `raise_exception`, `strftime_now`, `tojson` without HTML escaping, `{% generation %}`, Python's string methods.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use chrono::{NaiveDate, NaiveDateTime};
use heirloom_record::Message;
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, ErrorKind};
use serde_json::{Map, json};

use crate::gguf::Gguf;
use crate::python::{self, Style};
use crate::{Error, Result, tokens};

/// The moment that templates see as now. It is given, never read from the machine, so that the same rows render
/// to the same text on every day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock(NaiveDateTime);

impl Clock {
    /// The date alone, `YYYY-MM-DD`, as artifacts record it.
    pub fn date(&self) -> String {
        self.0.date().to_string()
    }
}

impl FromStr for Clock {
    type Err = Error;

    /// `YYYY-MM-DD` (midnight) or `YYYY-MM-DDTHH:MM:SS`.
    fn from_str(text: &str) -> Result<Self> {
        let date = || text.parse::<NaiveDate>().ok().and_then(|date| date.and_hms_opt(0, 0, 0));
        let moment = text.parse::<NaiveDateTime>().ok().or_else(date);
        moment.map(Self).ok_or_else(|| Error::Clock { found: text.into() })
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m-%dT%H:%M:%S"))
    }
}

/// A rendered chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// Bytes of the text that the template marks as the assistant's with `{% generation %}`.
    pub generated: Vec<Range<usize>>,
}

/// A rendered row: its text and, where its last message is the assistant's, the response in it.
pub(crate) struct RenderedRow {
    pub(crate) text: String,
    pub(crate) response: Option<Range<usize>>,
    /// The response could not be told from the prompt.
    pub(crate) not_a_prefix: bool,
}

/// A rendered conversation and every assistant's turn in it.
pub(crate) struct RenderedTurns {
    pub(crate) text: String,
    pub(crate) turns: Vec<Turn>,
    /// A turn could not be told from what stands before it or behind it.
    pub(crate) not_a_prefix: bool,
}

/// Bytes of one assistant's turn.
pub(crate) struct Turn {
    /// What the assistant said, or what the template marks with `{% generation %}`.
    pub(crate) said: Range<usize>,
    /// Where the template's turn ends, its end-of-turn token included; unknown where turns are marked.
    pub(crate) end: Option<usize>,
}

/// The chat templates of one model.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    sources: BTreeMap<String, String>,
    /// Which of them is used.
    chosen: String,
    /// `bos_token`, `eos_token` and their like, as templates see them.
    tokens: Map<String, serde_json::Value>,
}

/// Where Hugging Face puts a model's only template.
const DEFAULT: &str = "default";

impl ChatTemplate {
    /// One template; `tokens` are variables such as `bos_token`.
    pub fn new(source: impl Into<String>, tokens: Map<String, serde_json::Value>) -> Self {
        let sources = BTreeMap::from([(DEFAULT.to_owned(), source.into())]);
        Self { sources, chosen: DEFAULT.into(), tokens }
    }

    /// `chat_template.jinja`, or else `chat_template` of `tokenizer_config.json` (`config`): a text or a list of
    /// named ones.
    pub(crate) fn from_folder(folder: &Path, config: &serde_json::Value) -> Result<Option<Self>> {
        let mut sources = BTreeMap::new();
        match &config["chat_template"] {
            serde_json::Value::String(source) => {
                sources.insert(DEFAULT.to_owned(), source.clone());
            }
            serde_json::Value::Array(named) => {
                let pairs = named.iter().filter_map(|entry| {
                    Some((entry["name"].as_str()?.to_owned(), entry["template"].as_str()?.to_owned()))
                });
                sources.extend(pairs);
            }
            _ => {}
        }
        let file = folder.join("chat_template.jinja");
        if file.is_file() {
            let source = std::fs::read_to_string(&file).map_err(Error::io(&file))?;
            sources.insert(DEFAULT.to_owned(), source);
        }
        let mut tokens = Map::new();
        for (key, value) in
            config.as_object().into_iter().flatten().filter(|(key, _)| key.ends_with("_token"))
        {
            // A token is a text or an object around one.
            if let Some(text) = value.as_str().or_else(|| value["content"].as_str()) {
                tokens.insert(key.clone(), text.into());
            }
        }
        let chosen =
            if sources.contains_key(DEFAULT) { Some(DEFAULT.into()) } else { sources.keys().next().cloned() };
        Ok(chosen.map(|chosen| Self { sources, chosen, tokens }))
    }

    /// `tokenizer.chat_template` of GGUF metadata.
    pub(crate) fn from_gguf(gguf: &Gguf) -> Result<Option<Self>> {
        let Some(source) = gguf.text("tokenizer.chat_template") else { return Ok(None) };
        let mut variables = Map::new();
        for (name, variable) in
            [("bos", "bos_token"), ("eos", "eos_token"), ("padding", "pad_token"), ("unknown", "unk_token")]
        {
            if let Some((token, _)) = tokens::gguf_special(gguf, name)? {
                variables.insert(variable.into(), token.into());
            }
        }
        Ok(Some(Self::new(source, variables)))
    }

    /// All templates by name.
    pub(crate) fn sources(&self) -> &BTreeMap<String, String> {
        &self.sources
    }

    /// The names of all templates of the model.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }

    /// A variable such as `eos_token`.
    pub(crate) fn token(&self, name: &str) -> Option<&str> {
        self.tokens.get(name)?.as_str()
    }

    /// All variables such as `eos_token`.
    pub(crate) fn tokens(&self) -> &Map<String, serde_json::Value> {
        &self.tokens
    }

    /// The source of the template in use.
    pub fn source(&self) -> &str {
        &self.sources[&self.chosen]
    }

    /// The same model's template of another name.
    pub fn named(&self, name: &str) -> Result<Self> {
        if !self.sources.contains_key(name) {
            let known = self.sources.keys().cloned().collect();
            return Err(Error::UnknownTemplate { name: name.into(), known });
        }
        Ok(Self { chosen: name.into(), ..self.clone() })
    }

    /// Renders a chat; `generation_prompt` appends what comes before an assistant's turn.
    ///
    /// # Errors
    /// The template has a syntax error, or refuses the messages.
    pub fn render(&self, messages: &[Message], generation_prompt: bool, clock: Clock) -> Result<Rendered> {
        let messages = messages.iter().map(|m| json!({"role": m.role, "content": m.content}));
        let mut variables = Map::new();
        variables.insert("messages".into(), messages.collect());
        variables.insert("add_generation_prompt".into(), generation_prompt.into());
        self.render_with(&variables, clock)
    }

    /// Renders with any variables: `messages`, `add_generation_prompt`, `tools`, and what else a template reads.
    pub fn render_with(&self, variables: &Map<String, serde_json::Value>, clock: Clock) -> Result<Rendered> {
        let mut all = self.tokens.clone();
        all.extend(variables.clone());
        let all = serde_json::Value::Object(all);
        let marks = unused_marks(&[self.source(), &all.to_string()]);
        let environment = environment(clock, marks);
        let source = filter_for_generation(self.source());
        let text = environment.render_str(&source, Value::from_serialize(&all))?;
        Ok(strip_marks(&text, marks))
    }

    /// The role of a message without which the text is the same: a template that asks for the roles it knows drops others
    /// without a word. Roles that every template has a way with are not tried.
    pub(crate) fn left_out(&self, messages: &[Message], clock: Clock) -> Option<String> {
        const KNOWN: [&str; 4] = ["system", "user", "assistant", "tool"];
        let text = |messages: &[Message]| Some(self.render(messages, false, clock).ok()?.text);
        let unknown =
            messages.iter().enumerate().filter(|(_, message)| !KNOWN.contains(&message.role.as_str()));
        let dropped = unknown.into_iter().find(|(index, _)| {
            let others = [&messages[..*index], &messages[index + 1..]].concat();
            text(&others).is_some_and(|without| Some(without) == text(messages))
        });
        dropped.map(|(_, message)| message.role.clone())
    }

    /// Renders a data row and finds the response in it.
    pub(crate) fn render_row(&self, messages: &[Message], clock: Clock) -> Result<RenderedRow> {
        let Some((last, before)) = messages.split_last().filter(|(last, _)| last.role == "assistant") else {
            let text = self.render(messages, true, clock)?.text;
            return Ok(RenderedRow { text, response: None, not_a_prefix: false });
        };
        let Rendered { text, generated } = self.render(messages, false, clock)?;
        if let Some(response) = generated.last() {
            return Ok(RenderedRow { response: Some(response.clone()), text, not_a_prefix: false });
        }
        let prompt = self.render(before, true, clock)?.text;
        let not_a_prefix = !text.starts_with(&prompt);
        let response = said(&text, prompt.len()..text.len(), &last.content);
        Ok(RenderedRow { response: Some(response), text, not_a_prefix })
    }

    /// Renders a conversation as it stands, without a generation prompt, and finds every assistant's turn.
    pub(crate) fn render_turns(&self, messages: &[Message], clock: Clock) -> Result<RenderedTurns> {
        let Rendered { text, generated } = self.render(messages, false, clock)?;
        let mut found = RenderedTurns { text, turns: Vec::new(), not_a_prefix: false };
        if !generated.is_empty() {
            found.turns = generated.into_iter().map(|said| Turn { said, end: None }).collect();
            return Ok(found);
        }
        for (index, message) in messages.iter().enumerate().filter(|(_, m)| m.role == "assistant") {
            let before = self.render(&messages[..index], true, clock)?.text;
            let mut end = found.text.len();
            if index + 1 < messages.len() {
                let whole = self.render(&messages[..=index], false, clock)?.text;
                found.not_a_prefix |= !found.text.starts_with(&whole);
                end = whole.len().min(end);
            }
            found.not_a_prefix |= !found.text.starts_with(&before) || before.len() > end;
            let said = said(&found.text, before.len()..end, &message.content);
            found.turns.push(Turn { said, end: Some(end) });
        }
        Ok(found)
    }
}

/// Where in a turn its message stands; the whole turn where it does not stand there as it is.
///
/// Behind the message a template writes its end-of-turn.
fn said(text: &str, turn: Range<usize>, content: &str) -> Range<usize> {
    let found = text.get(turn.clone()).and_then(|rest| {
        let content = [content, content.trim()].into_iter().find(|c| rest.contains(*c))?;
        let at = rest.find(content)?;
        Some(turn.start..turn.start + at + content.len())
    });
    found.unwrap_or(turn.start.min(turn.end)..turn.end)
}

/// The engine, set up as Hugging Face sets up Jinja.
fn environment(clock: Clock, marks: [char; 2]) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_formatter(|out, state, value| match value.kind() {
        ValueKind::Seq | ValueKind::Map => match serde_json::to_value(value) {
            Ok(value) => Ok(out.write_str(&python::repr(&value))?),
            Err(_) => minijinja::escape_formatter(out, state, value),
        },
        _ => minijinja::escape_formatter(out, state, value),
    });
    environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", move |format: String| strftime(clock, &format));
    environment.add_filter("tojson", |value: &Value, indent: Option<usize>, options: Kwargs| {
        tojson(value, indent, &options)
    });
    environment.add_filter(GENERATION, move |body: String| format!("{}{body}{}", marks[0], marks[1]));
    environment
}

fn strftime(clock: Clock, format: &str) -> Result<String, minijinja::Error> {
    use std::fmt::Write as _;
    let mut out = String::new();
    // chrono reports an unknown directive as a formatting error.
    write!(out, "{}", clock.0.format(format)).map_err(|_| {
        minijinja::Error::new(
            ErrorKind::InvalidOperation,
            format!("strftime_now: `{format}` is not a format"),
        )
    })?;
    Ok(out)
}

fn tojson(value: &Value, indent: Option<usize>, options: &Kwargs) -> Result<String, minijinja::Error> {
    let indent = indent.or(options.get("indent")?);
    let mut style = Style::new(indent);
    style.ascii = options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    style.sort_keys = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    if let Some(separators) = options.get::<Option<Vec<String>>>("separators")?
        && let [item, key] = &separators[..]
    {
        style.separators = (item.clone(), key.clone());
    }
    options.assert_all_used()?;
    let value = serde_json::to_value(value)
        .map_err(|source| minijinja::Error::new(ErrorKind::BadSerialization, "tojson").with_source(source))?;
    Ok(python::dumps(&value, &style))
}

/// The filter that stands for `{% generation %}`: the engine has no tags of one's own, and a filter block keeps
/// the whitespace rules of blocks.
const GENERATION: &str = "heirloom_generation";

/// Writes `{% generation %}` blocks as filter blocks.
fn filter_for_generation(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, tag, after)) = next_tag(rest) {
        out.push_str(before);
        let inner = tag.trim_matches(['-', '+']);
        let (head, tail) = (tag.starts_with(['-', '+']), tag.ends_with(['-', '+']));
        let sign = |is: bool, end: usize| if is { &tag[end..=end] } else { "" };
        let (open, close) = (sign(head, 0), sign(tail, tag.len().saturating_sub(1)));
        let tag = match inner.trim() {
            "generation" => format!("{{%{open} filter {GENERATION} {close}%}}"),
            "endgeneration" => format!("{{%{open} endfilter {close}%}}"),
            _ => format!("{{%{tag}%}}"),
        };
        out.push_str(&tag);
        rest = after;
    }
    out + rest
}

/// Text before the next `{% … %}`, its inside, and text behind it.
fn next_tag(source: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = source.split_once("{%")?;
    let (tag, after) = rest.split_once("%}")?;
    Some((before, tag, after))
}

/// Two characters that occur in none of the texts; Unicode keeps 32 for a program's own use.
fn unused_marks(texts: &[&str]) -> [char; 2] {
    let free = ('\u{fdd0}'..='\u{fdef}').filter(|mark| !texts.iter().any(|text| text.contains(*mark)));
    let mut free = free.chain(['\u{fdd0}', '\u{fdd1}']);
    [free.next().unwrap_or('\u{fdd0}'), free.next().unwrap_or('\u{fdd1}')]
}

fn strip_marks(marked: &str, [open, close]: [char; 2]) -> Rendered {
    let mut text = String::with_capacity(marked.len());
    let (mut generated, mut start) = (Vec::new(), 0);
    for c in marked.chars() {
        if c == open {
            start = text.len();
        } else if c == close {
            generated.push(start..text.len());
        } else {
            text.push(c);
        }
    }
    Rendered { text, generated }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_parse() {
        let clock: Clock = "2026-01-15T09:30:00".parse().unwrap();
        assert_eq!((clock.date(), clock.to_string()), ("2026-01-15".into(), "2026-01-15T09:30:00".into()));
        assert_eq!("2026-01-15".parse::<Clock>().unwrap().to_string(), "2026-01-15T00:00:00");
        assert!("yesterday".parse::<Clock>().is_err());
        assert!(strftime(clock, "%Q").is_err());
    }

    #[test]
    fn a_role_that_a_template_drops_is_told() {
        let template = |body: &str| {
            ChatTemplate::new(format!("{{% for m in messages %}}{body}{{% endfor %}}"), Map::new())
        };
        let drops = template("{% if m.role != 'usr' %}{{ m.role }}: {{ m.content }}\n{% endif %}");
        let escapes = template("{{ m.role }}: {{ m.content | tojson }}\n");
        let clock: Clock = "2026-01-15".parse().unwrap();
        // What the dropped message says is said elsewhere, too.
        let said = ["usr", "user"].map(|role| Message::new(role, "No \"way\"."));
        assert_eq!(drops.left_out(&said, clock).as_deref(), Some("usr"));
        assert_eq!(escapes.left_out(&said, clock), None);
        assert_eq!(drops.left_out(&said[1..], clock), None);
    }

    #[test]
    fn generation_blocks_become_filter_blocks() {
        let source = "{%- generation -%}a{% if x %}b{% endif %}{%endgeneration%}";
        let expected = "{%- filter heirloom_generation -%}a{% if x %}b{% endif %}{% endfilter %}";
        assert_eq!(filter_for_generation(source), expected);
    }
}
