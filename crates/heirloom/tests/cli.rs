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

/// Fits `dom` on group `a`, so that `b` stays for `score`.
fn fit_on_a(store: &Path, file: &Path) {
    let (store, file) = (utf8(store), utf8(file));
    succeed(&["fit", "--activations", store, "--method", "dom", "--groups", "a", "--out", file]);
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
    assert!(text.contains("method: lda") && text.contains("fit_groups: a\n"), "{text}");
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
    let spans = put(folder, "spans.jsonl", r#"{"text":"plain words","spans":{"secret":"words"}}"#);
    let table: [(&Path, &Path, &str, &str, &[&str]); 11] = [
        (
            &model,
            &bad_line,
            resid,
            "response-mean",
            &["bad.jsonl` line 9: could not be read\n  caused by: key must be a string at column 2\n"],
        ),
        (
            &model,
            &good,
            "blocks.*.hook_resid_pots",
            "response-mean",
            &["hint: near names", "hook_resid_post"],
        ),
        (
            &model,
            &good,
            "blocks.7.hook_resid_post",
            "response-mean",
            &["model with 2 blocks", "hint: its blocks are 0 to 1"],
        ),
        (&model, &good, "blocks.0.attn.hook_pattern", "response-mean", &["hook_pattern"]),
        (&model, &no_response, resid, "response-mean", &["`p`"]),
        (&model, &text, resid, "span:secret", &["secret"]),
        (&model, &good, resid, "span:secret", &["it names no span `secret`, nor any other"]),
        (&model, &spans, resid, "span:secrets", &["its spans are `secret`", "hint: near names: `secret`"]),
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
    assert!(
        stderr.contains("is a folder with files in it") && stderr.contains("name another folder"),
        "{stderr}"
    );
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
        "100",
    ]);
    refused(
        &["fit", "--activations", utf8(&store), "--method", "dom", "--groups", "c", "--out", utf8(&none)],
        &["`c`", "`a`, `b`"],
        &none,
    );
    let both = folder.join("both.safetensors");
    succeed(&[
        "fit",
        "--activations",
        utf8(&store),
        "--method",
        "dom",
        "--groups",
        "a, b",
        "--out",
        utf8(&both),
    ]);

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
        &["foreign.safetensors` is no safetensors file", "hint: `heirloom inspect`"],
        &none,
    );
}

#[test]
fn run_refuses_an_experiment_that_cannot_work() {
    let scratch = tempfile::tempdir().unwrap();
    let experiment = support::write_experiment(scratch.path());
    let text = std::fs::read_to_string(&experiment).unwrap();
    let out = scratch.path().join("run");
    let many =
        format!("behaviors = [{}]", (0..17).map(|n| format!("\"b{n}\"")).collect::<Vec<_>>().join(", "));
    let (behaviors, methods) =
        ("behaviors = [\"zeal\", \"query\", \"nothing\"]", "methods = [\"dom\", \"dom-z\"");
    let (readout, split) = ("readout = \"response-mean\"", "fit = 2\nselect = 2\nreport = 2");
    let table = [
        ("seed = 3", "sead = 3", &["unknown field `sead`", "`seed`"][..]),
        ("name = \"tiny\"", "name = \"runs/tiny\"", &["`name`", "found `runs/tiny`", "hint:"]),
        ("name = \"tiny\"", "name = \"..\"", &["`name`"]),
        (behaviors, "behaviors = []", &["`behaviors`: expected at least 1, found 0"]),
        (behaviors, &many, &["`behaviors`: expected at most 16, found 17"]),
        ("\"query\", ", "\"zeal\", ", &["`behaviors` names `", "zeal` twice"]),
        ("\"zeal\", ", "\"seal\", ", &["seal"]),
        ("headline = \"dom\"", "headline = \"svm\"", &["headline method `svm`"]),
        ("\"lda\", ", "\"ldaa\", ", &["`ldaa`", "lda"]),
        (methods, "methods = [\"dom\", \"dom\"", &["`probe.methods` names `dom` twice"]),
        (
            "methods = [\"dom\", \"dom-z\", \"lda\", \"logistic\", \"pca\"]",
            "methods = []",
            &["`probe.methods`: expected at least 1"],
        ),
        ("bootstrap = 200", "bootstrap = 99", &["`probe.bootstrap`: expected at least 100, found 99"]),
        ("null_draws = 8", "null_draws = 0", &["`probe.null_draws`: expected at least 1"]),
        (split, "fit = 2\nselect = 0\nreport = 2", &["`split.select`: expected at least 1"]),
        (split, "fit = 2\nselect = 2\nreport = 3", &["asks for 7 groups", "`zeal` has 6", "hint:"]),
        ("[\"hook_embed\", \"blocks.*.hook_resid_post\"]", "[]", &["`capture.hooks`: expected at least 1"]),
        ("hook_resid_post", "hook_resid_pst", &["hook_resid_pst", "hint: near names"]),
        (readout, "readout = \"mean\"", &["unknown readout `mean`"]),
        (readout, "readout = \"last-prompt\"", &["`last-prompt`", "share the prompt", "response-mean"]),
        (readout, "readout = \"all\"", &["`all`", "response-mean"]),
        (readout, "readout = \"span:x\"", &["`span:x`", "no spans"]),
        ("batch_tokens = 512", "batch_tokens = 0", &["`capture.batch_tokens`: expected at least 1"]),
        ("chat-llama", "chat-lama", &["chat-lama", "is not there"]),
        ("clock =", "dtype = \"f64\"\nclock =", &["unknown dtype `f64`", "bf16"]),
        ("2026-01-15", "15.1.2026", &["`YYYY-MM-DD`", "found `15.1.2026`"]),
    ];
    for (from, to, expected) in table {
        assert!(text.contains(from), "{from}");
        put(scratch.path(), "experiment.toml", &text.replace(from, to));
        refused(&["run", utf8(&experiment), "--out", utf8(&out)], expected, &out);
    }
}

#[test]
fn nothing_at_a_path_is_said_with_what_would_do() {
    let scratch = tempfile::tempdir().unwrap();
    let store = capture(scratch.path(), &rows());
    let (model, data) = (tiny_model(), scratch.path().join("rows.jsonl"));
    let none = scratch.path().join("none");
    let (typo, file) = (scratch.path().join("stor"), scratch.path().join("dom.safetensors"));
    succeed(&["fit", "--activations", utf8(&store), "--method", "dom", "--out", utf8(&file)]);
    let table: [(&[&str], &[&str]); 7] = [
        (&["inspect", utf8(&none)], &["there is no model or artifact at", "hint:"]),
        (&["inspect", utf8(&typo)], &["stor`", "hint: beside it is `store`"]),
        (&["show", "--model", utf8(&none), "--data", utf8(&data)], &["no model at", "Hugging Face folder"]),
        (&["show", "--model", utf8(&model), "--data", utf8(&none)], &["no data at", "JSONL"]),
        (
            &["score", "--direction", utf8(&none), "--activations", utf8(&store)],
            &["no file of directions at", "heirloom fit"],
        ),
        (
            &["score", "--direction", utf8(&file), "--activations", utf8(&typo)],
            &["no store of activations at", "`store`"],
        ),
        (
            &["fit", "--activations", utf8(&none), "--method", "dom", "--out", utf8(&none)],
            &["no store of activations at", "heirloom capture"],
        ),
    ];
    for (arguments, expected) in table {
        refused(arguments, expected, &none);
    }
}

#[test]
fn inspect_says_what_is_an_adapter_and_what_is_not_read() {
    let fixtures = tiny_model().with_file_name("families");
    let described = |what: &std::path::Path| -> Value {
        serde_json::from_str(&succeed(&["inspect", utf8(what), "--json"])).unwrap()
    };
    let (model, adapter) = (fixtures.join("gemma3-vision"), fixtures.join("gemma3-vision/adapter"));
    let whole = described(&model);
    assert_eq!((&whole["kind"], &whole["part_of"]), (&"model".into(), &"gemma3".into()));
    assert_eq!(whole["tensors_not_read"], serde_json::json!({ "projector": 2, "vision tower": 21 }));
    let text = succeed(&["inspect", utf8(&model)]);
    assert!(text.contains("tensors_not_read:\n  projector: 2\n  vision tower: 21\n"), "{text}");
    assert!(described(&tiny_model()).get("tensors_not_read").is_none());
    // PEFT's checkpoints hold the configuration of their base, and sometimes its weights.
    let scratch = tempfile::tempdir().unwrap();
    let copy = |from: &std::path::Path, name: &str| {
        std::fs::copy(from.join(name), scratch.path().join(name)).unwrap();
    };
    copy(&adapter, "adapter_config.json");
    copy(&adapter, "adapter_model.safetensors");
    let alone = described(scratch.path());
    assert_eq!(
        (&alone["kind"], &alone["rank"], &alone["n_changed"]),
        (&"adapter".into(), &2.into(), &6.into())
    );
    assert_eq!(alone["tensors_not_read"], serde_json::json!({ "vision tower": 4 }));
    assert_eq!((&alone["base"], &alone["replaced"]), (&"gemma3-vision".into(), &serde_json::json!([])));
    let data = put(scratch.path(), "one.jsonl", "{\"input_ids\": [1, 2, 3]}\n");
    let show = ["show", "--model", utf8(&model), "--adapter", utf8(&adapter), "--data", utf8(&data)];
    let (code, _, said) = finish(heirloom(&[&show[..], &["--readout", "last-prompt"]].concat()));
    assert!(
        code == 0 && said.contains("4 of its tensors change the vision tower, which is not read"),
        "{said}"
    );
    std::fs::remove_file(data).unwrap();
    copy(&model, "config.json");
    assert_eq!(described(scratch.path()), alone);
    copy(&model, "model.safetensors");
    let both = described(scratch.path());
    assert_eq!((&both["kind"], &both["beside_it"]["kind"]), (&"adapter".into(), &"model".into()));
}

#[test]
fn inspect_looks_at_content_not_at_names() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let store = capture(folder, &rows());
    let file = folder.join("directions.bin");
    succeed(&["fit", "--activations", utf8(&store), "--method", "dom", "--out", utf8(&file)]);
    let experiment = support::write_experiment(folder);
    let run = folder.join("run");
    succeed(&["run", utf8(&experiment), "--out", utf8(&run), "--until", "transfer"]);
    let shard = store.join("activations-00001-of-00001.safetensors");
    let (numbers, histograms) = (run.join("table.parquet"), run.join("histograms.parquet"));
    let table = [
        (&file, "directions", "/header/method", "dom".into()),
        (&store, "activations", "/rows", 8.into()),
        (&shard, "activations", "/rows", 8.into()),
        (&run, "run", "/experiment", "tiny".into()),
        (&numbers, "table", "/columns/behavior/2", "zeal".into()),
        (&histograms, "table", "/columns/method/0", "dom".into()),
        (&run.join("table.csv"), "table", "/columns/behavior/2", "zeal".into()),
        (&run.join("histograms.csv"), "table", "/of", "histograms".into()),
        (&folder.join("zeal"), "behavior", "/pairs", 24.into()),
        (&folder.join("rows.jsonl"), "rows", "/labelled", 8.into()),
        (&tiny_model(), "model", "/n_layers", Value::from(2)),
    ];
    for (what, kind, pointer, expected) in table {
        let value: Value = serde_json::from_str(&succeed(&["inspect", utf8(what), "--json"])).unwrap();
        assert_eq!((&value["kind"], value.pointer(pointer)), (&kind.into(), Some(&expected)), "{kind}");
    }
    let said = succeed(&["inspect", utf8(&tiny_model())]);
    assert!(said.contains("\n  blocks.0–1.hook_resid_post\n"), "{said}");
    let value: Value = serde_json::from_str(&succeed(&["inspect", utf8(&run), "--json"])).unwrap();
    let found = |stage: &str| value[stage].as_array().unwrap().len();
    assert_eq!(["capture", "probe", "transfer", "figures"].map(found), [6, 3, 1, 0]);

    // Twins: the right names around the wrong content.
    let text = put(folder, "model.gguf", "hello");
    let empty = put(folder, "table.parquet", "");
    let weights = tiny_model().join("model.safetensors");
    let data = put(&folder.join("data"), "rows.jsonl", &rows());
    let none = folder.join("none");
    for what in [&text, &empty, &weights, data.parent().unwrap()] {
        refused(&["inspect", utf8(what)], &[utf8(what), "hint: known are a Hugging Face folder"], &none);
    }
}

#[test]
fn fit_replaces_directions_and_nothing_else() {
    let scratch = tempfile::tempdir().unwrap();
    let store = capture(scratch.path(), &rows());
    let fit = |method: &str, out: &Path| {
        finish(heirloom(&["fit", "--activations", utf8(&store), "--method", method, "--out", utf8(out)]))
    };
    let file = scratch.path().join("directions.safetensors");
    assert_eq!((fit("dom", &file).0, fit("pca", &file).0), (0, 0));
    assert!(succeed(&["inspect", utf8(&file)]).contains("method: pca"));
    let thesis = put(scratch.path(), "thesis.tex", "years of work");
    let weights = put(scratch.path(), "weights.safetensors", "weights of another program");
    for taken in [thesis.as_path(), &weights, &store] {
        let before = support::files(scratch.path());
        let (code, _, stderr) = fit("dom", taken);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains("is no file of directions") && stderr.contains("hint:"), "{stderr}");
        assert_eq!(support::files(scratch.path()), before);
    }
}

#[test]
fn scores_are_written_as_a_table_that_figures_draw_from() {
    let scratch = tempfile::tempdir().unwrap();
    let store = capture(scratch.path(), &rows());
    let file = scratch.path().join("dom.safetensors");
    fit_on_a(&store, &file);
    let (out, none) = (scratch.path().join("scores"), scratch.path().join("none"));
    let score = |out: &Path| {
        let own = ["score", "--direction", utf8(&file), "--activations", utf8(&store), "--groups", "b"];
        [&own[..], &["--bootstrap", "100", "--null-draws", "40", "--seed", "3", "--json", "--out", utf8(out)]]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let arguments = score(&out);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let printed: Value = serde_json::from_str(&succeed(&arguments)).unwrap();
    let rows = heirloom_record::Table::<heirloom_record::Metric>::read(&out.join("table")).unwrap().0;
    assert_eq!(rows, heirloom_record::Table::read_csv(&out.join("table")).unwrap().0);
    assert_eq!(rows.len(), 2 * 3, "three numbers at each of two hook points");
    for (row, scored) in rows.chunks(3).zip(printed["scores"].as_array().unwrap()) {
        let [auroc, tpr, random] = row else { panic!("three") };
        assert_eq!(auroc.hook.unwrap().to_string(), scored["hook"].as_str().unwrap());
        assert_eq!(auroc.value, scored["auroc"]["value"].as_f64());
        assert_eq!((auroc.low, auroc.n), (scored["auroc"]["low"].as_f64(), Some(2)));
        assert_eq!(tpr.value, scored["tpr_at_1pct_fpr"]["value"].as_f64());
        assert_eq!(random.high, scored["null_random_direction"][1].as_f64());
        assert_eq!((random.metric.as_str(), random.n), ("auroc_null_random_direction", Some(40)));
        for row in row {
            let named = [&row.arm, &row.method, &row.fit_on, &row.scored_on].map(Option::as_deref);
            assert_eq!(named, [Some("chat-llama"), Some("dom"), Some("group:a"), Some("group:b")]);
            assert_eq!(row.seed, Some(3));
        }
    }
    let described: Value = serde_json::from_str(&succeed(&["inspect", utf8(&out), "--json"])).unwrap();
    assert_eq!((&described["kind"], &described["tables"]["table"]["rows"]), (&"tables".into(), &6.into()));

    let text = "command = \"./by-hand\"\n[[figure]]\nname = \"auroc\"\n[figure.draw.layer-sweep]\n\
        scored_on = \"group:b\"\nnulls = [\"auroc_null_random_direction\"]\n";
    let spec = put(scratch.path(), "figures.toml", text);
    succeed(&["figures", utf8(&out), "--spec", utf8(&spec), "--format", "svg"]);
    assert!(std::fs::read_to_string(out.join("auroc.csv")).unwrap().contains("auroc_null_random_direction"));
    succeed(&["figures", utf8(&out), "--check"]);

    // A folder with something in it is refused, and so is a wrong name before a folder is begun.
    let before = support::files(&out);
    let (code, _, stderr) = finish(heirloom(&arguments));
    assert!(code == 1 && stderr.contains("is a folder with files in it"), "{stderr}");
    assert_eq!(support::files(&out), before);
    let wrong = score(&none).join(" ").replace("--groups b", "--groups c");
    refused(&wrong.split(' ').collect::<Vec<_>>(), &["`c`"], &none);
}

#[test]
fn score_names_what_the_activations_lack() {
    let scratch = tempfile::tempdir().unwrap();
    let store = capture(scratch.path(), &rows());
    let file = scratch.path().join("dom.safetensors");
    fit_on_a(&store, &file);
    let mut directions = heirloom_record::Directions::read(&file).unwrap();
    let direction = directions.by_hook.values().next().unwrap().clone();
    directions.by_hook.insert(heirloom_record::HookPoint::Embed, direction);
    directions.write(&file).unwrap();
    let score = [
        "score",
        "--direction",
        utf8(&file),
        "--activations",
        utf8(&store),
        "--groups",
        "b",
        "--bootstrap",
        "100",
    ];
    let none = scratch.path().join("none");
    refused(&score, &["lack 1 of the directions' hook points: `hook_embed`", "--skip-missing"], &none);
    let json = succeed(&[&score[..], &["--skip-missing", "--json"]].concat());
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["missing"], serde_json::json!(["hook_embed"]));
    assert_eq!(value["scores"].as_array().unwrap().len(), 2);
    let said = succeed(&[&score[..], &["--skip-missing"]].concat());
    assert!(
        said.contains("random*") && said.contains("* 2.5 % to 97.5 % of 500 random directions"),
        "{said}"
    );

    directions.by_hook.retain(|hook, _| *hook == heirloom_record::HookPoint::Embed);
    directions.write(&file).unwrap();
    refused(&[&score[..], &["--skip-missing"]].concat(), &["hook_embed"], &none);
}

#[test]
fn score_refuses_other_models_and_groups_that_a_hook_point_was_chosen_on() {
    let scratch = tempfile::tempdir().unwrap();
    let store = capture(scratch.path(), &rows());
    let file = scratch.path().join("dom.safetensors");
    fit_on_a(&store, &file);
    let mut directions = heirloom_record::Directions::read(&file).unwrap();
    directions.header.select_groups = vec!["b".into()];
    directions.write(&file).unwrap();
    let none = scratch.path().join("none");
    let score = ["score", "--direction", utf8(&file), "--activations", utf8(&store), "--bootstrap", "100"];
    refused(
        &score,
        &["directions were fit on groups that are scored here: a; the hook point was chosen on", ": b"],
        &none,
    );
    let chosen = [&score[..], &["--groups", "b"]].concat();
    refused(
        &chosen,
        &["error: the hook point was chosen on groups that are scored here: b", "--held-in"],
        &none,
    );
    succeed(&[&chosen[..], &["--held-in"]].concat());

    directions.header.model = "other".into();
    directions.header.model_sha256 = "0123456789abcdef".repeat(4);
    directions.write(&file).unwrap();
    refused(&chosen, &["fit on model `other (0123456789ab)`", "have `chat-llama ("], &none);
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let scratch = tempfile::tempdir().unwrap();
    let line = serde_json::json!({ "text": "word ".repeat(60) }).to_string() + "\n";
    let data = put(scratch.path(), "rows.jsonl", &line.repeat(1000));
    // More than a pipe holds, so the program is still writing when its reader leaves.
    for (more, messages) in [("", ""), ("--json", ""), ("", "2>&1")] {
        let script = format!(
            "'{}' show --model '{}' --data '{}' --limit 999 {more} {messages} | head -1; exit ${{PIPESTATUS[0]}}",
            env!("CARGO_BIN_EXE_heirloom"),
            utf8(&tiny_model()),
            utf8(&data)
        );
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]);
        let (code, stdout, stderr) = finish(shell);
        assert_eq!((code, stdout.lines().count(), stderr.as_str()), (0, 1, ""), "{script}");
    }
    // Twin: output that is lost without anybody's wish is an error.
    let script =
        format!("'{}' inspect '{}' > /dev/full", env!("CARGO_BIN_EXE_heirloom"), utf8(&tiny_model()));
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]);
    let (code, _, stderr) = finish(shell);
    assert_eq!(code, 1);
    assert!(stderr.contains("could not write to standard output"), "{stderr}");
}
