//! Each verb alone, and what it says to input that is wrong.

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{finish, heirloom, put, succeed, tiny_model, utf8};

/// Labelled chat rows in two groups of two pairs.
fn rows() -> String {
    let mut lines = String::new();
    for (group, pair) in [("a", 0), ("a", 1), ("b", 2), ("b", 3)] {
        for (label, word) in [(true, "zzz zzz"), (false, "it is fine")] {
            let row = serde_json::json!({
                "id": format!("{pair}-{label}"), "pair": format!("{pair}"), "group": group, "label": label,
                "messages": [
                    { "role": "user", "content": format!("Number {pair}?") },
                    { "role": "assistant", "content": format!("Well, {pair}: {word}.") },
                ],
            });
            lines.extend([row.to_string(), "\n".into()]);
        }
    }
    lines
}

fn capture(folder: &Path, data: &str) -> std::path::PathBuf {
    let data = put(folder, "rows.jsonl", data);
    let out = folder.join("store");
    succeed(&[
        "capture",
        "--model",
        utf8(&tiny_model()),
        "--data",
        utf8(&data),
        "--hooks",
        "blocks.*.hook_resid_post",
        "--readout",
        "response-mean",
        "--out",
        utf8(&out),
    ]);
    out
}

#[test]
fn capture_fit_score_and_inspect_work_one_after_the_other() {
    let scratch = tempfile::tempdir().unwrap();
    let store = capture(scratch.path(), &rows());
    let described: Value = serde_json::from_str(&succeed(&["inspect", utf8(&store), "--json"])).unwrap();
    assert_eq!(described["hooks"]["blocks.1.hook_resid_post"], serde_json::json!([8, 32]));
    assert_eq!(described["header"]["clock"], "2026-01-15");

    for method in ["dom", "dom-z", "lda", "logistic", "pca"] {
        let file = scratch.path().join(format!("{method}.safetensors"));
        succeed(&[
            "fit",
            "--activations",
            utf8(&store),
            "--method",
            method,
            "--groups",
            "a",
            "--out",
            utf8(&file),
        ]);
        let json = succeed(&[
            "score",
            "--direction",
            utf8(&file),
            "--activations",
            utf8(&store),
            "--groups",
            "b",
            "--json",
            "--bootstrap",
            "100",
        ]);
        let scores: Value = serde_json::from_str(&json).unwrap();
        let auroc = &scores["scores"][1]["auroc"];
        assert!(auroc["value"].as_f64().unwrap() > 0.7, "{method}: {auroc}");
        assert!(
            auroc["low"].as_f64().unwrap() < auroc["value"].as_f64().unwrap(),
            "{method}: two pairs prove little"
        );
    }
    let text = succeed(&["inspect", utf8(&scratch.path().join("lda.safetensors"))]);
    assert!(text.contains("method: lda") && text.contains("fit_groups: [\"a\"]"), "{text}");
    assert!(succeed(&["inspect", utf8(&tiny_model())]).contains("n_layers: 2"));
}

#[test]
fn show_marks_what_is_read() {
    let scratch = tempfile::tempdir().unwrap();
    let data = put(scratch.path(), "rows.jsonl", &rows());
    let said = succeed(&[
        "show",
        "--model",
        utf8(&tiny_model()),
        "--data",
        utf8(&data),
        "--readout",
        "response-mean",
        "--limit",
        "1",
    ]);
    assert!(said.contains("⟦Well, 0: zzz zzz."), "{said}");
    assert!(said.contains("<|im_start|>user\nNumber 0?"), "{said}");
    let json = succeed(&["show", "--model", utf8(&tiny_model()), "--data", utf8(&data), "--json"]);
    let rows: Value = serde_json::from_str(&json).unwrap();
    let read = rows[0]["tokens"].as_array().unwrap().iter().filter(|token| token["read"] == true).count();
    assert_eq!(read, 1, "the last prompt token");
}

#[test]
fn usage_errors_exit_with_2() {
    for arguments in
        [&["capture"][..], &["fli"], &["fit", "--method", "svm", "--activations", "x", "--out", "y"]]
    {
        let (code, _, stderr) = finish(heirloom(arguments));
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
    }
}

/// Runs `arguments` and expects exit code 1, every one of `expected` on standard error, and no `out` left behind.
fn refused(arguments: &[&str], expected: &[&str], out: &Path) {
    let (code, _, stderr) = finish(heirloom(arguments));
    assert_eq!(code, 1, "{arguments:?}: {stderr}");
    assert!(stderr.starts_with("error: "), "{stderr}");
    for part in expected {
        assert!(stderr.contains(part), "no `{part}` in\n{stderr}");
    }
    assert!(!out.exists(), "{} was left behind", out.display());
}

#[test]
fn capture_refuses_bad_rows_hooks_and_models() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let out = folder.join("store");
    let good = put(folder, "good.jsonl", &rows());
    let bad_line = put(folder, "bad.jsonl", &format!("{}{{oops\n", rows()));
    let no_response =
        put(folder, "prompt.jsonl", r#"{"id":"p","messages":[{"role":"user","content":"Hi"}]}"#);
    let text = put(folder, "text.jsonl", r#"{"text":"plain","spans":{"secret":"absent"}}"#);
    let long = put(folder, "long.jsonl", &serde_json::json!({ "text": "word ".repeat(400) }).to_string());
    let model = tiny_model();
    let (mut truncated, mut unknown) = (folder.join("truncated"), folder.join("unknown"));
    for (copy, file) in [(&mut truncated, "model.safetensors"), (&mut unknown, "config.json")] {
        for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
            let mut bytes = std::fs::read(model.join(name)).unwrap();
            if name == file && file == "model.safetensors" {
                bytes.truncate(bytes.len() / 2);
            } else if name == file {
                let config = String::from_utf8(bytes).unwrap();
                bytes = config.replace("\"model_type\": \"llama\"", "\"model_type\": \"lama\"").into_bytes();
            }
            heirloom_record::write_file(&copy.join(name), &bytes).unwrap();
        }
    }
    let resid = "blocks.*.hook_resid_post";
    let table: [(&Path, &Path, &str, &str, &[&str]); 9] = [
        (&model, &bad_line, resid, "response-mean", &["bad.jsonl` line 9"]),
        (
            &model,
            &good,
            "blocks.*.hook_resid_pots",
            "response-mean",
            &["hint: near names", "hook_resid_post"],
        ),
        (&model, &good, "blocks.7.hook_resid_post", "response-mean", &["model with 2 blocks"]),
        (&model, &good, "blocks.0.attn.hook_pattern", "response-mean", &["hook_pattern"]),
        (&model, &no_response, resid, "response-mean", &["`p`"]),
        (&model, &text, resid, "span:secret", &["secret"]),
        (&model, &long, resid, "all", &["256"]),
        (&truncated, &good, resid, "response-mean", &["model.safetensors"]),
        (&unknown, &good, resid, "response-mean", &["`lama`", "llama"]),
    ];
    for (model, data, hooks, readout, expected) in table {
        let arguments = [
            "capture",
            "--model",
            utf8(model),
            "--data",
            utf8(data),
            "--hooks",
            hooks,
            "--readout",
            readout,
            "--out",
            utf8(&out),
        ];
        refused(&arguments, expected, &out);
    }
    assert!(
        std::fs::read_dir(folder)
            .unwrap()
            .all(|entry| { !entry.unwrap().file_name().to_string_lossy().ends_with(".partial") })
    );
}

#[test]
fn capture_refuses_a_folder_in_use() {
    let scratch = tempfile::tempdir().unwrap();
    let data = put(scratch.path(), "rows.jsonl", &rows());
    let out = scratch.path().join("thesis");
    put(&out, "thesis.tex", "years of work");
    let (code, _, stderr) = finish(heirloom(&[
        "capture",
        "--model",
        utf8(&tiny_model()),
        "--data",
        utf8(&data),
        "--hooks",
        "hook_embed",
        "--readout",
        "all",
        "--out",
        utf8(&out),
    ]));
    assert_eq!(code, 1);
    assert!(stderr.contains("is a folder with files in it") && stderr.contains("--out"), "{stderr}");
    assert_eq!(support::files(&out).len(), 1);
}

#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let scratch = tempfile::tempdir().unwrap();
    let data = put(scratch.path(), "rows.jsonl", &rows());
    let out = scratch.path().join("store");
    // A limit on file size is what a full disk looks like to the program: a write that fails half way.
    let script = format!(
        "trap '' XFSZ; ulimit -f 1; exec '{}' capture --model '{}' --data '{}' --hooks '*.hook_resid_*' --hooks hook_embed --readout all --out '{}'",
        env!("CARGO_BIN_EXE_heirloom"),
        utf8(&tiny_model()),
        utf8(&data),
        utf8(&out)
    );
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]);
    let (code, _, stderr) = finish(shell);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("could not write") && stderr.contains("caused by"), "{stderr}");
    let left: Vec<_> =
        std::fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["rows.jsonl"]);
}

#[test]
fn fit_and_score_refuse_what_would_mislead() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let store = capture(folder, &rows());
    let file = folder.join("dom.safetensors");
    succeed(&["fit", "--activations", utf8(&store), "--method", "dom", "--out", utf8(&file)]);
    let none = folder.join("none");
    refused(
        &["score", "--direction", utf8(&file), "--activations", utf8(&store)],
        &["fit on groups that are scored here: a, b", "--held-in"],
        &none,
    );
    succeed(&[
        "score",
        "--direction",
        utf8(&file),
        "--activations",
        utf8(&store),
        "--held-in",
        "--bootstrap",
        "50",
    ]);
    refused(
        &["fit", "--activations", utf8(&store), "--method", "dom", "--groups", "c", "--out", utf8(&none)],
        &["`c`", "a", "b"],
        &none,
    );

    for (field, expected) in [("label", "has no label"), ("group", "has no group")] {
        let lacking = tempfile::tempdir().unwrap();
        let mut lines: Vec<String> = rows().lines().map(ToOwned::to_owned).collect();
        let mut row: Value = serde_json::from_str(&lines[3]).unwrap();
        row.as_object_mut().unwrap().remove(field);
        lines[3] = row.to_string();
        let store = capture(lacking.path(), &lines.join("\n"));
        refused(
            &["fit", "--activations", utf8(&store), "--method", "dom", "--out", utf8(&none)],
            &["row `1-false`", expected, "hint:"],
            &none,
        );
    }
    let foreign = put(folder, "foreign.safetensors", "not tensors at all");
    refused(
        &["score", "--direction", utf8(&foreign), "--activations", utf8(&store)],
        &["foreign.safetensors` is not a readable safetensors file"],
        &none,
    );
}

#[test]
fn run_refuses_an_experiment_that_cannot_work() {
    let scratch = tempfile::tempdir().unwrap();
    let experiment = support::write_experiment(scratch.path());
    let text = std::fs::read_to_string(&experiment).unwrap();
    let out = scratch.path().join("run");
    let table = [
        ("seed = 3", "sead = 3", &["unknown field `sead`", "`seed`"][..]),
        ("headline = \"dom\"", "headline = \"svm\"", &["headline method `svm`"]),
        ("\"lda\", ", "\"ldaa\", ", &["`ldaa`", "lda"]),
        ("hook_resid_post", "hook_resid_pst", &["hook_resid_pst", "hint: near names"]),
        ("\"zeal\", ", "\"seal\", ", &["seal"]),
        ("chat-llama", "chat-lama", &["chat-lama", "is not there"]),
        ("readout = \"response-mean\"", "readout = \"mean\"", &["unknown readout `mean`"]),
        ("dtype = \"f32\"", "dtype = \"f64\"", &["f64"]),
    ];
    for (from, to, expected) in table {
        let text = if from.starts_with("dtype") {
            text.replace("clock =", "dtype = \"f32\"\nclock =")
        } else {
            text.clone()
        };
        assert!(text.contains(from), "{from}");
        put(scratch.path(), "experiment.toml", &text.replace(from, to));
        refused(&["run", utf8(&experiment), "--out", utf8(&out)], expected, &out);
    }
}
