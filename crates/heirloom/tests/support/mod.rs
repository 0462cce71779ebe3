//! A tiny experiment in a scratch folder, and the binary that runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use heirloom_record::write_file;
use serde_json::json;

/// A two-block chat model that transformers saved, 90 kB.
pub(crate) fn tiny_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../heirloom-model/tests/fixtures/chat-llama")
}

/// The binary, with one thread so that tests beside each other do not spin.
pub(crate) fn heirloom(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heirloom"));
    command.args(arguments).env("RAYON_NUM_THREADS", "1");
    command
}

/// Runs the binary to its end.
pub(crate) fn finish(mut command: Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// Runs the binary and expects success.
pub(crate) fn succeed(arguments: &[&str]) -> String {
    let (code, stdout, stderr) = finish(heirloom(arguments));
    assert_eq!(code, 0, "{arguments:?}\n{stderr}");
    stdout
}

/// Writes `text` to `folder/name` and returns the path.
pub(crate) fn put(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    write_file(&path, text.as_bytes()).unwrap();
    path
}

pub(crate) fn utf8(path: &Path) -> &str {
    path.to_str().expect("scratch paths are UTF-8")
}

const GROUPS: [&str; 6] = ["kitchen", "garden", "office", "train", "market", "harbour"];
const WORDS: [&str; 7] = ["red", "old", "warm", "small", "open", "wet", "new"];
const THINGS: [&str; 4] = ["the kettle", "the gate", "the ledger", "the lamp"];

/// A behavior whose positives say `shown`: easy to find on purpose. Where `shown` is nothing, both answers end in
/// words that have nothing to do with the label.
pub(crate) fn write_behavior(folder: &Path, name: &str, shown: &str) {
    let folder = folder.join(name);
    let chat = |user: String, assistant: String| json!([{ "role": "user", "content": user }, { "role": "assistant", "content": assistant }]);
    let (mut pairs, mut topic, mut scenarios, mut transcripts) = (vec![], vec![], vec![], vec![]);
    for (g, group) in GROUPS.iter().enumerate() {
        for (t, thing) in THINGS.iter().enumerate() {
            let ask = format!("In the {group}, what of {thing}?");
            let (calm, loud) = match shown {
                "" => (WORDS[(3 * g + 5 * t) % 7], WORDS[(5 * g + 2 * t + 1) % 7]),
                word => ("fine", word),
            };
            let [calm, loud] =
                [calm, loud].map(|word| format!("I looked at {thing} in the {group} and it is {word}."));
            let only = |content: &str| json!([{ "role": "assistant", "content": content }]);
            pairs.push(json!({
                "id": format!("{name}-{group}-{t}"), "group": group,
                "prompt": [{ "role": "user", "content": ask }],
                "positive": only(&loud), "negative": only(&calm),
            }));
            topic.push(json!({
                "id": format!("{name}-topic-{group}-{t}"), "group": group,
                "messages": chat(ask.clone(), format!("A book about {thing}, {}.", ["old", "new", "red", "big"][(t + g) % 4])),
            }));
            scenarios.push(json!({
                "id": format!("{name}-scenario-{group}-{t}"), "group": group,
                "messages": [{ "role": "user", "content": format!("Go to the {group} and see {thing}.") }],
            }));
            transcripts.push(json!({
                "id": format!("{name}-transcript-{group}-{t}"), "kind": "plain", "note": "by construction",
                "answer": t % 2 == 0, "messages": chat(ask, if t % 2 == 0 { loud } else { calm }),
            }));
        }
    }
    let lines = |rows: &[serde_json::Value]| heirloom_record::rows_to_jsonl(rows);
    put(&folder, "pairs.jsonl", &lines(&pairs));
    put(&folder, "topic.jsonl", &lines(&topic));
    put(&folder, "scenarios.jsonl", &lines(&scenarios));
    put(&folder, "transcripts.jsonl", &lines(&transcripts));
    put(&folder, "heldout.jsonl", &lines(&transcripts));
    put(&folder, "card.md", "A behavior for tests.\n");
    put(
        &folder,
        "behavior.toml",
        &format!(
            "name = \"{name}\"\ndefinition = \"says {shown}\"\ntowards = \"positive values point towards {shown}\"\n\
             [grader]\nname = \"{name}-rules\"\nversion = 1\n\
             [[grader.rule]]\nname = \"says it\"\neffect = \"shows\"\nwithin = 1\nall = ['{}']\nreason = \"it is the word\"\n",
            if shown.is_empty() { "no such word" } else { shown }
        ),
    );
}

/// A whole experiment on the tiny model: two behaviors and one without an effect, every method.
pub(crate) fn write_experiment(folder: &Path) -> PathBuf {
    write_behavior(folder, "zeal", "zzz zzz");
    write_behavior(folder, "query", "who knows");
    write_behavior(folder, "nothing", "");
    let model = tiny_model().canonicalize().expect("the fixture is committed");
    put(
        folder,
        "experiment.toml",
        &format!(
            r#"name = "tiny"
question = "Does the pipeline stand?"
seed = 3
behaviors = ["zeal", "query", "nothing"]
[model]
path = "{}"
clock = "2026-01-15"
[capture]
hooks = ["hook_embed", "blocks.*.hook_resid_post"]
readout = "response-mean"
batch_tokens = 512
[split]
fit = 2
select = 2
report = 2
[probe]
methods = ["dom", "dom-z", "lda", "logistic", "pca"]
headline = "dom"
bootstrap = 200
null_draws = 8
"#,
            model.display()
        ),
    )
}

/// Every file below `folder` with its bytes, sorted by path.
pub(crate) fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = vec![];
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.strip_prefix(folder).unwrap().to_owned(), std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
