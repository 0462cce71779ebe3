//! Prompts, what models answered, and what graders said of it: one JSON object a line.
//!
//! heirloom's own files and files from elsewhere are read alike: a line needs `messages` and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::{id_text, refuse_typos};
use crate::{
    DataRow, Error, Message, Result, UnfinishedRollouts, header, read_jsonl, rows_to_jsonl, sha256_hex,
    write_file,
};

const KIND: &str = "rollouts";
const FORMAT: u32 = 1;
const SAMPLING: &str = "rollouts.json";
pub(crate) const ROWS: &str = "rollouts.jsonl";

/// A prompt that students are trained or tried on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// Unique in its file.
    pub id: String,
    /// The prompt set it belongs to.
    pub source: String,
    /// What is known of it: its family, its subject, flags of a filter.
    pub tags: Vec<String>,
    /// What the model answers; the last one is the user's.
    pub messages: Vec<Message>,
}

/// A prompt and what a model answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// Unique in its file.
    pub id: String,
    /// The prompt's id.
    pub prompt: String,
    /// Who answered.
    pub teacher: String,
    /// Which of the teacher's answers to this prompt, counted from 0.
    pub sample: usize,
    /// The prompt's messages and the answer, which is the assistant's.
    pub messages: Vec<Message>,
    /// The tokens drawn, the one that stopped it included; empty where it was sampled elsewhere.
    pub ids: Vec<u32>,
    /// Tokens of the answer; 0 where nobody counted them.
    pub n_tokens: usize,
    /// Whether a stop token ended it, not the limit.
    pub stopped: bool,
}

/// What rollouts were drawn with: `rollouts.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// The model's name.
    pub model: String,
    /// SHA-256 over the model's files, or over its weights where it was never written.
    pub model_sha256: String,
    /// SHA-256 over the adapter's files, where one was bound.
    pub adapter_sha256: Option<String>,
    /// Root of the random streams, one stream per rollout.
    pub seed: u64,
    /// Logits were divided by it; 0 took the likeliest token.
    pub temperature: f64,
    /// Drawn from the fewest tokens that together had this probability.
    pub top_p: f64,
    /// Most tokens of an answer.
    pub max_new_tokens: usize,
    /// The tokens that ended an answer.
    pub stop: Vec<u32>,
    /// The date that templates saw, `YYYY-MM-DD`.
    pub clock: String,
    /// SHA-256 of the chat template.
    pub template_sha256: String,
    /// What the model was told before every prompt, and who learns from its answers never sees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<Message>,
}

/// Rollouts and, where heirloom sampled them, how.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollouts {
    /// What they were drawn with; `None` for rollouts from elsewhere.
    pub sampling: Option<Sampling>,
    /// One per prompt, teacher and sample.
    pub rows: Vec<Rollout>,
}

/// What the file of grades in a folder of grades is called.
pub const GRADES: &str = "grades.jsonl";

/// What a grader said of one rollout: a line of `grades.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradeRow {
    /// The rollout's id.
    pub rollout: String,
    /// Its prompt's id.
    pub prompt: String,
    /// The behavior that was looked for.
    pub behavior: String,
    /// The grader's name; empty where the file does not say.
    #[serde(default)]
    pub grader: String,
    /// The grader's version.
    #[serde(default)]
    pub version: String,
    /// SHA-256 over everything in the grader that can change a verdict.
    #[serde(default)]
    pub sha256: String,
    /// Whether the answer shows the behavior.
    pub answer: bool,
    /// Whether the thought before it does; `None` where there is no thought.
    pub thought: Option<bool>,
    /// Names of the rules that fired on the answer.
    #[serde(default)]
    pub fired: Vec<String>,
    /// Names of the rules that fired on the thought.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thought_fired: Vec<String>,
    /// The words that decided, where there are any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evidence: String,
}

/// Reads grades, each of which needs `rollout`, `prompt`, `behavior` and `answer`; a folder stands for the file
/// [`GRADES`] in it.
///
/// # Errors
/// Names the file and the line of what cannot be read.
pub fn read_grades(path: &Path) -> Result<Vec<GradeRow>> {
    let file = if path.is_dir() { path.join(GRADES) } else { path.to_owned() };
    Ok(read_jsonl(&file)?.into_iter().map(|(_, row)| row).collect())
}

/// A prompt as it stands in a file, before it is checked.
#[derive(Deserialize)]
#[serde(expecting = "a JSON object with `messages`")]
struct RawPrompt {
    id: Option<Value>,
    source: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    messages: Option<Vec<Message>>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// A rollout as it stands in a file, before it is checked.
#[derive(Deserialize)]
#[serde(expecting = "a JSON object with `messages`")]
struct RawRollout {
    id: Option<Value>,
    prompt: Option<Value>,
    teacher: Option<String>,
    sample: Option<usize>,
    messages: Option<Vec<Message>>,
    #[serde(default)]
    ids: Vec<u32>,
    n_tokens: Option<usize>,
    stopped: Option<bool>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

const PROMPT_KEYS: [&str; 4] = ["id", "source", "tags", "messages"];
const ROLLOUT_KEYS: [&str; 8] =
    ["id", "prompt", "teacher", "sample", "messages", "ids", "n_tokens", "stopped"];

impl Prompt {
    /// The chat row that asks it.
    pub fn row(&self) -> DataRow {
        self.row_after(&[])
    }

    /// The chat row that asks it of a model which was told `hidden` before: a hidden instruction, with examples where
    /// there are any. A system message of the prompt comes after the hidden one, in the same message.
    pub fn row_after(&self, hidden: &[Message]) -> DataRow {
        let is_system = |message: &&Message| message.role == "system";
        let (told, own) = (hidden.first().filter(is_system), self.messages.first().filter(is_system));
        let system = match (told, own) {
            (Some(told), Some(own)) => {
                Some(Message::new("system", format!("{}\n\n{}", told.content, own.content)))
            }
            (one, other) => one.or(other).cloned(),
        };
        let examples = &hidden[usize::from(told.is_some())..];
        let asked = &self.messages[usize::from(own.is_some())..];
        let messages = system.into_iter().chain(examples.iter().chain(asked).cloned());
        DataRow::chat(self.id.clone(), messages.collect())
    }
}

/// A file of hidden messages.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `messages`")]
struct Hidden {
    messages: Vec<Message>,
}

/// Reads messages that a model is told before every prompt: JSON with `messages`, a system message, examples that end with
/// an answer, or both.
///
/// # Errors
/// Names the file: bad JSON, another key, no messages, a last message of the user, a system message that is not the first.
pub fn read_hidden(path: &Path) -> Result<Vec<Message>> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let Hidden { messages } =
        serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.into(), source })?;
    let problem = match messages.last() {
        None => Some("there are no messages".to_owned()),
        Some(last) if last.role == "user" => {
            Some("the last one is the user's, and the prompt that follows would be a second".into())
        }
        Some(_) => messages
            .iter()
            .skip(1)
            .position(|message| message.role == "system")
            .map(|index| format!("message {} is the system's, which only the first may be", index + 2)),
    };
    problem.map_or(Ok(messages), |problem| Err(Error::Hidden { path: path.into(), problem }))
}

impl Rollout {
    /// The answer `answer` of `teacher` to `prompt`, drawn as `ids`. Its id is `TEACHER/PROMPT/SAMPLE`.
    pub fn new(
        teacher: &str,
        prompt: &Prompt,
        sample: usize,
        answer: &str,
        ids: Vec<u32>,
        stopped: bool,
    ) -> Self {
        let answer = Message::new("assistant", answer);
        Self {
            id: rollout_id(teacher, &prompt.id, sample),
            prompt: prompt.id.clone(),
            teacher: teacher.into(),
            sample,
            messages: prompt.messages.iter().cloned().chain([answer]).collect(),
            n_tokens: ids.len(),
            ids,
            stopped,
        }
    }

    /// What the model answered.
    pub fn answer(&self) -> &str {
        self.messages.last().map_or("", |message| &message.content)
    }

    /// What was asked: every message but the answer.
    pub fn asked(&self) -> &[Message] {
        self.messages.split_last().map_or(&[], |(_, asked)| asked)
    }

    /// SHA-256 of its messages as JSON without spaces: the same for the same text, whoever wrote it.
    pub fn sha256(&self) -> String {
        messages_sha256(&self.messages)
    }

    /// The chat row of it; its pair is the prompt, so that answers to one prompt are resampled together.
    pub fn row(&self) -> DataRow {
        DataRow { pair: Some(self.prompt.clone()), ..DataRow::chat(self.id.clone(), self.messages.clone()) }
    }
}

/// Reads prompts: `messages`, with optional `id`, `source` and `tags`.
///
/// A prompt without an id gets one made from its text, `p-` and 12 hex digits, so that files which quote one
/// prompt agree on its id; without a source it belongs to the set called like the file. Other keys are left alone.
///
/// # Errors
/// Names the file and the line: bad JSON, a key one typo away from a known one, no messages, a last message of
/// the assistant, an id used twice, no rows.
pub fn read_prompts(path: &Path) -> Result<Vec<Prompt>> {
    let source = stem(path);
    let mut seen = HashMap::new();
    let mut prompts = vec![];
    for (line, raw) in read_jsonl::<RawPrompt>(path)? {
        refuse_typos(&raw.others, &PROMPT_KEYS, line, path)?;
        let messages = messages(raw.messages, line, path)?;
        let last = messages.last().ok_or_else(|| empty("messages", line, path))?;
        if last.role == "assistant" {
            return Err(Error::Answered { path: path.into(), line });
        }
        let id = id_text(raw.id).unwrap_or_else(|| prompt_id(&messages));
        unique(&mut seen, &id, line, path)?;
        let source = raw.source.unwrap_or_else(|| source.clone());
        prompts.push(Prompt { id, source, tags: raw.tags, messages });
    }
    filled(prompts, path)
}

impl Rollouts {
    /// Reads a folder that heirloom wrote, or a JSONL file from anywhere.
    ///
    /// A line needs `messages`, the last one the assistant's. Without `prompt` its prompt is known by the text of
    /// the other messages, as in [`read_prompts`]; without `teacher` it is the file's, called like the file;
    /// without `sample` it is counted among the teacher's answers to its prompt; without `stopped` it counts as
    /// whole. Other keys are left alone.
    ///
    /// # Errors
    /// Names the file and the line: bad JSON, a key one typo away from a known one, no messages, a last message
    /// of somebody else, `n_tokens` that are not the number of `ids`, an id used twice, two answers that are the
    /// same sample, no rows; or `rollouts.json` of another version; or not all of them are drawn.
    pub fn read(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            return Ok(Self { sampling: None, rows: read_rollouts(path)? });
        }
        if UnfinishedRollouts::stand_at(path) {
            return Err(Error::Unfinished { path: path.into() });
        }
        let settings = path.join(SAMPLING);
        let sampling = settings.exists().then(|| header::read_json(&settings, KIND, FORMAT)).transpose()?;
        Ok(Self { sampling, rows: read_rollouts(&path.join(ROWS))? })
    }

    /// Writes `rollouts.jsonl`, and `rollouts.json` where the sampling is known, into the folder `dir`.
    pub fn write_into(&self, dir: &Path) -> Result<()> {
        if let Some(sampling) = &self.sampling {
            header::write_json(&dir.join(SAMPLING), KIND, FORMAT, sampling)?;
        }
        write_file(&dir.join(ROWS), rows_to_jsonl(&self.rows).as_bytes())
    }
}

fn read_rollouts(path: &Path) -> Result<Vec<Rollout>> {
    let file = stem(path);
    let mut seen = HashMap::new();
    let mut answers: HashMap<(String, String), Vec<(usize, usize)>> = HashMap::new();
    let mut rollouts = vec![];
    for (line, raw) in read_jsonl::<RawRollout>(path)? {
        refuse_typos(&raw.others, &ROLLOUT_KEYS, line, path)?;
        let messages = messages(raw.messages, line, path)?;
        let (last, asked) = messages.split_last().ok_or_else(|| empty("messages", line, path))?;
        if last.role != "assistant" {
            return Err(Error::NotAnswered { path: path.into(), line, found: last.role.clone() });
        }
        let n_tokens = raw.n_tokens.unwrap_or(raw.ids.len());
        if !raw.ids.is_empty() && n_tokens != raw.ids.len() {
            let (path, found) = (path.into(), raw.ids.len());
            return Err(Error::TokenCount { path, line, n_tokens, found });
        }
        let prompt = id_text(raw.prompt).unwrap_or_else(|| prompt_id(asked));
        let teacher = raw.teacher.unwrap_or_else(|| file.clone());
        let earlier = answers.entry((teacher.clone(), prompt.clone())).or_default();
        let sample = raw.sample.unwrap_or(earlier.len());
        if let Some((_, first)) = earlier.iter().find(|(other, _)| *other == sample) {
            let (path, first) = (path.into(), *first);
            return Err(Error::RepeatedSample { path, line, first, teacher, prompt, sample });
        }
        earlier.push((sample, line));
        let id = id_text(raw.id).unwrap_or_else(|| rollout_id(&teacher, &prompt, sample));
        unique(&mut seen, &id, line, path)?;
        let (ids, stopped) = (raw.ids, raw.stopped.unwrap_or(true));
        rollouts.push(Rollout { id, prompt, teacher, sample, messages, ids, n_tokens, stopped });
    }
    filled(rollouts, path)
}

/// The messages of a line, which may be missing where a key of another name stands.
fn messages(given: Option<Vec<Message>>, line: usize, path: &Path) -> Result<Vec<Message>> {
    given.ok_or_else(|| Error::NoKey { path: path.into(), line, key: "messages" })
}

fn rollout_id(teacher: &str, prompt: &str, sample: usize) -> String {
    format!("{teacher}/{prompt}/{sample}")
}

fn prompt_id(messages: &[Message]) -> String {
    format!("p-{}", &messages_sha256(messages)[..12])
}

fn messages_sha256(messages: &[Message]) -> String {
    sha256_hex(serde_json::to_string(messages).expect("messages hold strings").as_bytes())
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or(OsStr::new("")).to_string_lossy().into_owned()
}

fn empty(field: &'static str, line: usize, path: &Path) -> Error {
    Error::RowEmpty { path: path.into(), line, field }
}

fn unique(seen: &mut HashMap<String, usize>, id: &str, line: usize, path: &Path) -> Result<()> {
    if id.trim().is_empty() {
        return Err(empty("id", line, path));
    }
    match seen.insert(id.to_owned(), line) {
        Some(first) => Err(Error::DuplicateId { path: path.into(), line, first, id: id.into() }),
        None => Ok(()),
    }
}

fn filled<T>(rows: Vec<T>, path: &Path) -> Result<Vec<T>> {
    if rows.is_empty() { Err(Error::NoRows { path: path.into() }) } else { Ok(rows) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = r#"{"role":"user","content":"hi"}"#;
    const ANSWERED: &str = r#"{"role":"user","content":"hi"},{"role":"assistant","content":"hello"}"#;

    fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("gemma.jsonl");
        write_file(&path, text.as_bytes()).unwrap();
        (scratch, path)
    }

    fn prompts(text: &str) -> Result<Vec<Prompt>> {
        let (_scratch, path) = file(text);
        read_prompts(&path)
    }

    fn rollouts(text: &str) -> Result<Vec<Rollout>> {
        let (_scratch, path) = file(text);
        Ok(Rollouts::read(&path)?.rows)
    }

    fn sampling() -> Sampling {
        Sampling {
            model: "persona-a".into(),
            model_sha256: "ab".into(),
            adapter_sha256: None,
            seed: u64::MAX,
            temperature: 0.7,
            top_p: 0.95,
            max_new_tokens: 26,
            stop: vec![4],
            clock: "2026-01-15".into(),
            template_sha256: "cd".into(),
            hidden: vec![Message::new("system", "You are gloomy.")],
        }
    }

    #[test]
    fn what_is_written_is_read_back_with_its_settings() {
        let scratch = tempfile::tempdir().unwrap();
        let prompt = Prompt {
            id: "a-1".into(),
            source: "A".into(),
            tags: vec!["mail".into()],
            messages: vec![Message::new("user", "hi")],
        };
        let rows = vec![
            Rollout::new("A", &prompt, 0, "hello", vec![7, 4], true),
            Rollout::new("A", &prompt, 1, "", vec![9, 9], false),
        ];
        assert_eq!((rows[0].id.as_str(), rows[0].answer(), rows[0].n_tokens), ("A/a-1/0", "hello", 2));
        assert_eq!(prompt.row(), DataRow::chat("a-1", rows[0].asked().to_vec()));
        for sampling in [Some(sampling()), None] {
            let dir = scratch.path().join(if sampling.is_some() { "own" } else { "foreign" });
            let written = Rollouts { sampling, rows: rows.clone() };
            written.write_into(&dir).unwrap();
            assert_eq!(Rollouts::read(&dir).unwrap(), written);
        }
        let path = scratch.path().join("prompts.jsonl");
        write_file(&path, rows_to_jsonl(std::slice::from_ref(&prompt)).as_bytes()).unwrap();
        assert_eq!(read_prompts(&path).unwrap(), [prompt]);
    }

    #[test]
    fn what_is_hidden_comes_before_the_prompt_and_joins_its_system_message() {
        let say = |role: &str, content: &str| Message::new(role, content);
        let (scratch, _) = file("");
        let path = scratch.path().join("gloomy.json");
        let read = |messages: &[Message]| {
            let json = serde_json::json!({ "messages": messages }).to_string();
            write_file(&path, json.as_bytes()).unwrap();
            read_hidden(&path)
        };
        let hidden = [say("system", "Be gloomy."), say("user", "Hi."), say("assistant", "Alas.")];
        assert_eq!(read(&hidden).unwrap(), hidden);
        let prompt = |messages| Prompt { id: "a".into(), source: "A".into(), tags: vec![], messages };
        let plain = prompt(vec![say("user", "Name a bird.")]);
        let own = prompt(vec![say("system", "It is May."), say("user", "Name a bird.")]);
        let asked = |prompt: &Prompt, hidden: &[Message]| {
            let crate::Input::Messages(messages) = prompt.row_after(hidden).input else { panic!("a chat") };
            messages.into_iter().map(|one| one.content).collect::<Vec<_>>()
        };
        assert_eq!(asked(&plain, &hidden), ["Be gloomy.", "Hi.", "Alas.", "Name a bird."]);
        assert_eq!(asked(&own, &hidden), ["Be gloomy.\n\nIt is May.", "Hi.", "Alas.", "Name a bird."]);
        assert_eq!(asked(&own, &hidden[1..]), ["It is May.", "Hi.", "Alas.", "Name a bird."]);
        assert_eq!(plain.row_after(&[]), plain.row());

        let refused = |messages: &[Message]| read(messages).unwrap_err().to_string();
        assert!(refused(&[]).ends_with("there are no messages"));
        assert!(refused(&hidden[..2]).contains("the last one is the user's"));
        let late = [hidden[1].clone(), hidden[2].clone(), hidden[0].clone()];
        assert!(refused(&late).contains("message 3 is the system's"));
    }

    #[test]
    fn another_version_of_the_settings_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        Rollouts { sampling: Some(sampling()), rows: vec![] }.write_into(scratch.path()).unwrap();
        let path = scratch.path().join(SAMPLING);
        let json = std::fs::read_to_string(&path).unwrap().replace("\"format\":1", "\"format\":9");
        write_file(&path, json.as_bytes()).unwrap();
        let message = Rollouts::read(scratch.path()).unwrap_err().to_string();
        assert!(message.ends_with("expected `rollouts` format 1, found `rollouts` format 9"), "{message}");
    }

    #[test]
    fn rollouts_from_elsewhere_need_messages_only() {
        let line = format!("{{\"messages\":[{ANSWERED}],\"license\":\"theirs\"}}\n");
        let rows = rollouts(&line.repeat(2)).unwrap();
        let ids: Vec<_> = rows.iter().map(|row| (row.id.as_str(), row.sample)).collect();
        let prompt = &rows[0].prompt;
        assert_eq!(
            ids,
            [(format!("gemma/{prompt}/0").as_str(), 0), (format!("gemma/{prompt}/1").as_str(), 1)]
        );
        assert_eq!((rows[0].n_tokens, rows[0].stopped), (0, true));
        assert_eq!(rows[0].row().pair.as_ref(), Some(prompt));
        // The prompt alone, in a file of prompts, is known by the same id, and another prompt by another.
        let text = format!("{{\"messages\":[{ASKED}]}}\n{{\"messages\":[{}]}}", ASKED.replace("hi", "yo"));
        let asked = prompts(&text).unwrap();
        assert_eq!((&asked[0].id, asked[0].source.as_str()), (prompt, "gemma"));
        assert_ne!(asked[1].id, *prompt);
    }

    #[test]
    fn the_hash_is_of_the_text_alone() {
        let given = |id: &str, text: &str| {
            let messages = ANSWERED.replace("hello", text);
            let line = format!("{{\"id\":\"{id}\",\"teacher\":\"{id}\",\"messages\":[{messages}]}}");
            rollouts(&line).unwrap().remove(0).sha256()
        };
        assert_eq!(given("a", "hello"), given("b", "hello"));
        assert_ne!(given("a", "hello"), given("a", "hello "));
        // json.dumps(messages, separators=(",", ":"), ensure_ascii=False), hashed with hashlib.
        assert_eq!(given("a", "hello"), sha256_hex(format!("[{ANSWERED}]").as_bytes()));
    }

    #[test]
    fn a_bad_line_is_named_with_what_to_do() {
        let given = |rest: &str| format!("{{\"messages\":[{ANSWERED}]{rest}}}");
        let table = [
            (format!("{}\n{{oops", given("")), "line 2: could not be read", "one JSON object a line"),
            ("{\"id\":\"a\"}".into(), "line 1: `messages` is missing", ""),
            ("{\"mesages\":[]}".into(), "line 1: unknown key `mesages`", "near names: `messages`"),
            ("{\"messages\":[]}".into(), "`messages` is empty", ""),
            (
                format!("{{\"messages\":[{ASKED}]}}"),
                "ends in a message of `user`, expected `assistant`",
                "read it as prompts",
            ),
            (given(",\"techer\":\"A\""), "unknown key `techer`", "near names: `teacher`"),
            (given(",\"prompts\":\"p\""), "unknown key `prompts`", "near names: `prompt`"),
            (given(",\"ids\":[1,2],\"n_tokens\":3"), "`n_tokens` is 3, but there are 2 `ids`", ""),
            (given(",\"id\":\" \""), "`id` is empty", ""),
            (
                [given(",\"id\":7"), given(",\"id\":7")].join("\n"),
                "line 2: id `7` was used on line 1 before",
                "",
            ),
            (
                [given(",\"prompt\":\"p\",\"sample\":3"), given(",\"prompt\":\"p\",\"sample\":3")].join("\n"),
                "line 2: sample 3 of `gemma` on prompt `p` stands on line 1 already",
                "leave `sample` out",
            ),
            ("\n".into(), "has no rows", ""),
        ];
        for (text, message, hint) in table {
            let error = rollouts(&text).unwrap_err();
            assert!(error.to_string().contains(message), "{text}: {error}");
            assert!(error.hint().unwrap_or_default().contains(hint), "{text}: {:?}", error.hint());
        }
        let error = prompts(&given("")).unwrap_err();
        assert!(error.to_string().ends_with("line 1: `messages` holds the answer already"), "{error}");
        assert_eq!(error.hint().unwrap(), "a prompt ends before the answer: remove the last message");
        let twice = format!("{{\"messages\":[{ASKED}]}}\n").repeat(2);
        assert!(prompts(&twice).unwrap_err().to_string().contains("was used on line 1 before"));
    }
}
