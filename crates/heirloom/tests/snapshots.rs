//! What the terminal shows, whole: a change of these is a change for the user.

mod support;

use std::path::Path;

use support::{files, finish, heirloom, put, succeed, tiny_model, utf8, write_experiment};

/// `text` with what differs from machine to machine replaced.
fn redacted(text: &str, scratch: &Path) -> String {
    let line = |line: &str| match line.split_once("capture about ") {
        Some((before, _)) => format!("{before}capture about TIME\n"),
        None => format!("{line}\n"),
    };
    text.replace(utf8(scratch), "SCRATCH").lines().map(line).collect()
}

#[test]
fn help() {
    insta::assert_snapshot!(succeed(&["--help"]));
}

#[test]
fn run_help() {
    insta::assert_snapshot!(succeed(&["run", "--help"]));
}

#[test]
fn run_plan() {
    let scratch = tempfile::tempdir().unwrap();
    let experiment = write_experiment(scratch.path());
    let out = scratch.path().join("run");
    let plan = ["run", utf8(&experiment), "--out", utf8(&out), "--plan"];
    insta::assert_snapshot!(redacted(&succeed(&plan), scratch.path()));
}

#[test]
fn run_plan_of_a_run_that_has_captured() {
    let scratch = tempfile::tempdir().unwrap();
    let experiment = write_experiment(scratch.path());
    let out = scratch.path().join("run");
    succeed(&["run", utf8(&experiment), "--out", utf8(&out), "--until", "capture"]);
    let before = files(&out);
    let plan = ["run", utf8(&experiment), "--out", utf8(&out), "--plan"];
    insta::assert_snapshot!(redacted(&succeed(&plan), scratch.path()));
    assert_eq!(files(&out), before);
}

#[test]
fn show() {
    let scratch = tempfile::tempdir().unwrap();
    let data = put(
        scratch.path(),
        "rows.jsonl",
        r#"{"id":"greeting","messages":[{"role":"user","content":"Hi?"},{"role":"assistant","content":"Good day."}]}
{"id":"text","text":"Plain text is read as it stands."}
"#,
    );
    let show = |more: &[&str]| {
        succeed(&[&["show", "--model", utf8(&tiny_model()), "--data", utf8(&data)], more].concat())
    };
    insta::assert_snapshot!("show_last_prompt", show(&[]));
    insta::assert_snapshot!("show_response_mean", show(&["--readout", "response-mean", "--limit", "1"]));
}

#[test]
fn an_error_with_its_causes_and_a_hint() {
    let scratch = tempfile::tempdir().unwrap();
    let experiment = write_experiment(scratch.path());
    let text = std::fs::read_to_string(&experiment).unwrap();
    put(scratch.path(), "experiment.toml", &text.replace("hook_resid_post", "hook_resid_pots"));
    let (code, _, stderr) = finish(heirloom(&["run", utf8(&experiment)]));
    assert_eq!(code, 1);
    insta::assert_snapshot!(redacted(&stderr, scratch.path()));
}
