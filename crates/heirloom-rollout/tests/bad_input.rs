//! A behavior that cannot be used is refused with its file, line, key or rule.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use heirloom_record::{Hasher, write_file};
use heirloom_rollout::{Behavior, Error};

const FILES: [(&str, &str); 7] = [
    (
        "behavior.toml",
        r#"name = "sulking"
definition = "The assistant sulks."
towards = "sulking"

[grader]
name = "sulk-rules"
version = "1"

[[grader.rule]]
name = "sigh"
effect = "shows"
within = 1
all = ["\\bsigh\\b"]
reason = "said outright"
"#,
    ),
    (
        "pairs.jsonl",
        r#"{"id":"p1","group":"g","prompt":[{"role":"user","content":"Hi"}],"positive":[{"role":"assistant","content":"Sigh."}],"negative":[{"role":"assistant","content":"Hello."}]}
{"id":"p2","group":"g","prompt":[{"role":"user","content":"Yo"}],"positive":[{"role":"assistant","content":"Fine, sigh."}],"negative":[{"role":"assistant","content":"Fine."}]}
"#,
    ),
    (
        "topic.jsonl",
        r#"{"id":"t1","group":"g","messages":[{"role":"user","content":"What is a sulk?"},{"role":"assistant","content":"A mood."}]}
"#,
    ),
    (
        "scenarios.jsonl",
        r#"{"id":"s1","group":"g","messages":[{"role":"user","content":"You were wrong."}]}
"#,
    ),
    (
        "transcripts.jsonl",
        r#"{"id":"x1","kind":"plain","note":"n","answer":true,"messages":[{"role":"assistant","content":"Sigh."}]}
{"id":"x2","kind":"adversarial","note":"n","answer":false,"thought":true,"messages":[{"role":"assistant","content":"<think>Sigh.</think>Hello."}]}
"#,
    ),
    (
        "heldout.jsonl",
        r#"{"id":"h1","kind":"plain","note":"n","answer":true,"messages":[{"role":"assistant","content":"Sigh!"}]}
"#,
    ),
    ("card.md", "# Sulking\n"),
];

/// Writes the behavior with `from` replaced by `to` in `file`, and loads it.
fn load(scratch: &Path, file: &str, from: &str, to: &str) -> Result<Behavior, Error> {
    let folder: PathBuf = scratch.join("sulking");
    for (name, text) in FILES {
        assert!(name != file || text.contains(from), "`{from}` is not in {file}");
        let text = if name == file { text.replacen(from, to, 1) } else { text.to_owned() };
        write_file(&folder.join(name), text.as_bytes()).unwrap();
    }
    Behavior::load(&folder)
}

#[test]
fn the_untouched_behavior_is_read_whole() {
    let scratch = tempfile::tempdir().unwrap();
    let behavior = load(scratch.path(), "card.md", "#", "#").unwrap();
    assert_eq!((behavior.name.as_str(), behavior.grader.name()), ("sulking", "sulk-rules"));
    let ids: Vec<_> = behavior.pair_rows().into_iter().map(|row| row.id).collect();
    assert_eq!(ids, ["p1/pos", "p1/neg", "p2/pos", "p2/neg"]);
    assert_eq!((behavior.topic_rows().len(), behavior.scenario_rows().len()), (1, 1));
    let agreement = behavior.agreement();
    assert_eq!((agreement.answers().kappa(), agreement.thoughts.true_positive), (Some(1.0), 1));

    // The hash is of the bytes that were parsed, file by file, without the card.
    let hasher = FILES[..6].iter().fold(Hasher::default(), |hasher, (name, text)| hasher.part(name, text));
    assert_eq!(behavior.sha256, hasher.finish());

    let again = load(scratch.path(), "card.md", "#", "##").unwrap();
    assert_eq!(again.sha256, behavior.sha256);
    let reworded = load(scratch.path(), "topic.jsonl", "A mood", "One mood").unwrap();
    assert_ne!(reworded.sha256, behavior.sha256);
}

/// File, what is replaced, by what, the message, the cause beneath it, the hint.
type Case = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

fn check(table: &[Case]) {
    let scratch = tempfile::tempdir().unwrap();
    for (file, from, to, message, cause, hint) in table {
        let error = load(scratch.path(), file, from, to).expect_err(message);
        let shown = error.to_string();
        assert!(shown.contains(message) && shown.contains(file), "{message}: {shown}");
        let source = error.source().map(ToString::to_string).unwrap_or_default();
        assert!(source.contains(cause), "{message}: {source}");
        let given = error.hint().unwrap_or_default();
        assert!(given.contains(hint), "{message}: {given}");
    }
}

#[test]
fn a_bad_pair_is_named() {
    check(&[
        ("pairs.jsonl", r#"{"id":"p2""#, r#"{"id":"p2"#, "pairs.jsonl` line 2: could not be read", "", ""),
        ("pairs.jsonl", r#""group":"g","#, "", "line 1: could not be read", "missing field `group`", ""),
        ("pairs.jsonl", "positive", "postive", "line 1: unknown key `postive`", "", "near names: `positive`"),
        (
            "pairs.jsonl",
            r#""positive":[{"role":"assistant""#,
            r#""positive":[{"role":"user""#,
            "line 1: row `p1` cannot be used",
            "`positive` ends in a message of `user`",
            "",
        ),
        (
            "pairs.jsonl",
            r#"[{"role":"user","content":"Yo"}]"#,
            "[]",
            "line 2: row `p2` cannot be used",
            "`prompt` is empty",
            "",
        ),
        (
            "pairs.jsonl",
            r#"{"role":"user","content":"Yo"}"#,
            r#"{"role":"assistant","content":"Yo"}"#,
            "line 2: row `p2`",
            "`prompt` ends in a message of `assistant`",
            "",
        ),
        (
            "pairs.jsonl",
            r#""content":"Yo""#,
            r#""content":"Yo","name":"Ann""#,
            "pairs.jsonl` line 2: unknown key `name`, expected `role`, `content`",
            "",
            "renders `role` and `content` only",
        ),
        ("pairs.jsonl", "p2", "p1", "line 2: id `p1` was used on line 1 before", "", ""),
        ("pairs.jsonl", r#""group":"g""#, r#""group":" ""#, "line 1: row `p1`", "`group` is empty", ""),
        ("pairs.jsonl", "Hello.", " ", "line 1: row `p1`", "`negative` is empty", ""),
    ]);
}

#[test]
fn a_bad_text_is_named() {
    check(&[
        (
            "topic.jsonl",
            r#""role":"assistant""#,
            r#""role":"tool""#,
            "topic.jsonl` line 1: row `t1`",
            "message of `tool`, expected `assistant`",
            "",
        ),
        (
            "scenarios.jsonl",
            r#""role":"user""#,
            r#""role":"assistant""#,
            "scenarios.jsonl` line 1",
            "one that the assistant answers",
            "",
        ),
        (
            "scenarios.jsonl",
            r#"{"id":"s1","group":"g","messages":[{"role":"user","content":"You were wrong."}]}"#,
            "",
            "scenarios.jsonl` has no rows",
            "",
            "",
        ),
        (
            "transcripts.jsonl",
            "adversarial",
            "tricky",
            "transcripts.jsonl` line 2",
            "unknown variant `tricky`",
            "",
        ),
        (
            "transcripts.jsonl",
            "<think>",
            "",
            "line 2: row `x2`",
            "does not begin with a thought",
            "leave `thought` out",
        ),
        ("transcripts.jsonl", "true", "\"yes\"", "line 1: could not be read", "expected a boolean", ""),
    ]);
}

#[test]
fn a_bad_description_is_named() {
    check(&[
        (
            "behavior.toml",
            "towards",
            "toward",
            "line 3: unknown key `toward`, expected `name`, `definition`, `towards`, `grader`",
            "",
            "near names: `towards`",
        ),
        ("behavior.toml", "effect", "efect", "line 11: unknown key `efect`", "", "near names: `effect`"),
        (
            "behavior.toml",
            "\"shows\"",
            "\"show\"",
            "line 11: could not be read",
            "unknown variant `show`",
            "near names: `shows`",
        ),
        ("behavior.toml", "within = 1", "within = -1", "line 12: could not be read", "integer", ""),
        (
            "behavior.toml",
            "reason = \"said outright\"",
            "",
            "could not be read",
            "missing field `reason`",
            "",
        ),
        (
            "behavior.toml",
            "sigh\\\\b",
            "(sigh",
            "rule `sigh` cannot be used",
            "`all` pattern `\\b(sigh` is not a regular expression",
            "no look-around",
        ),
        (
            "behavior.toml",
            "\"shows\"",
            "\"voids\"",
            "grader `sulk-rules` has no rule with effect `shows`",
            "",
            "",
        ),
        (
            "behavior.toml",
            "\"sulking\"",
            "\"pouting\"",
            "name `pouting` stands in a folder called `sulking`",
            "",
            "name = \"sulking\"",
        ),
        ("behavior.toml", "\"The assistant sulks.\"", "\"\"", "`definition` is empty", "", ""),
    ]);
}

#[test]
fn a_missing_file_is_named_with_the_files_of_a_behavior() {
    for (name, _) in FILES {
        let scratch = tempfile::tempdir().unwrap();
        load(scratch.path(), "card.md", "#", "#").unwrap();
        std::fs::remove_file(scratch.path().join("sulking").join(name)).unwrap();
        let error = Behavior::load(&scratch.path().join("sulking")).unwrap_err();
        assert!(error.to_string().ends_with(&format!("sulking` lacks `{name}`")), "{error}");
        assert!(error.hint().unwrap().contains("`transcripts.jsonl`"), "{error}");
    }
    let nowhere = Behavior::load(Path::new("/nowhere/at/all")).unwrap_err();
    for (name, _) in FILES {
        assert!(nowhere.to_string().contains(&format!("`{name}`")), "all at once: {nowhere}");
    }
}
