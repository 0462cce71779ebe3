//! `heirloom capture` and `heirloom track` over a series: one store a checkpoint, the same tokens at each.

#[expect(dead_code, reason = "this test trains the tiny model itself")]
mod support;

use std::path::{Path, PathBuf};

use heirloom_record::{Activations, Metric, Table};
use serde_json::json;
use support::{files, finish, heirloom, put, succeed, tiny_model, utf8};

const THINGS: [&str; 5] = ["the kettle", "the gate", "the lamp", "the ledger", "a boat"];

fn rows(folder: &Path) -> PathBuf {
    let mut lines = String::new();
    for (index, thing) in THINGS.iter().enumerate() {
        for (side, answer) in [("pos", "Yes, and gladly so."), ("neg", "It is an old thing.")] {
            let row = json!({
                "id": format!("{index}/{side}"), "pair": index.to_string(), "group": format!("g{}", index % 2), "label": side == "pos",
                "messages": [{ "role": "user", "content": format!("What of {thing}?") }, { "role": "assistant", "content": answer }],
            });
            lines.push_str(&row.to_string());
            lines.push('\n');
        }
    }
    put(folder, "rows.jsonl", &lines)
}

/// A training of four steps, whole or of an adapter.
fn train(folder: &Path, data: &Path, lora: bool, steps: &str) -> PathBuf {
    let out = folder.join(format!("{}-{steps}", if lora { "lora" } else { "whole" }));
    let model = tiny_model();
    let base = ["train", "--model", utf8(&model), "--data", utf8(data), "--out", utf8(&out), "--steps", "4"];
    let how = ["--batch", "4", "--lr", "1e-2", "--checkpoints", steps];
    let lora = if lora { &["--lora-rank", "2"][..] } else { &[] };
    succeed(&[&base[..], &how, lora].concat());
    out
}

const HOOKS: [&str; 4] = ["--hooks", "blocks.*.hook_resid_post", "--readout", "response-mean"];

fn capture<'a>(place: &'a Path, data: &'a Path, out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let own = ["capture", "--checkpoints", utf8(place), "--data", utf8(data), "--out", utf8(out)];
    [&own[..], &HOOKS, more].concat()
}

fn refused(arguments: &[&str], parts: &[&str]) {
    let (code, _, stderr) = finish(heirloom(arguments));
    assert_eq!(code, 1, "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "no `{part}` in\n{stderr}");
    }
}

#[test]
fn every_checkpoint_has_a_store_and_a_second_run_keeps_them() {
    let scratch = tempfile::tempdir().unwrap();
    let data = rows(scratch.path());
    let (run, out) = (train(scratch.path(), &data, false, "2,4"), scratch.path().join("stores"));
    let said = succeed(&capture(&run, &data, &out, &[]));
    assert!(said.contains("10 rows at each of 2 checkpoints, steps 2 to 4"), "{said}");
    let stores = [2, 4].map(|step| Activations::read(&out.join(format!("step-{step}"))).unwrap());
    assert_ne!(stores[0].header.model_sha256, stores[1].header.model_sha256);
    assert_ne!(stores[0].tensors, stores[1].tensors);
    assert_eq!(stores[0].rows, stores[1].rows, "the same tokens");
    assert_eq!(stores[0].header.batch_plan, stores[1].header.batch_plan);
    // One checkpoint alone gives the same bytes.
    let (one, alone) = (run.join("checkpoint-4"), scratch.path().join("alone"));
    let single = ["capture", "--model", utf8(&one), "--data", utf8(&data), "--out", utf8(&alone)];
    succeed(&[&single[..], &HOOKS].concat());
    assert_eq!(files(&alone), files(&out.join("step-4")));

    let before = files(&out);
    let (code, _, stderr) = finish(heirloom(&capture(&run, &data, &out, &[])));
    assert!(code == 0 && stderr.matches("kept from an earlier run").count() == 2, "{stderr}");
    assert_eq!(files(&out), before);
    refused(&capture(&run, &data, &out, &["--clock", "2026-02-01"]), &["step-2", "clock", "2026-02-01"]);
    let more = ["--hooks", "hook_embed"];
    refused(&capture(&run, &data, &out, &more), &["list of hook points", "hint: choose another `--out`"]);
    let fewer = put(
        scratch.path(),
        "fewer.jsonl",
        &std::fs::read_to_string(&data).unwrap().lines().take(4).collect::<Vec<_>>().join("\n"),
    );
    refused(&capture(&run, &fewer, &out, &[]), &["data is other rows"]);
}

#[test]
fn adapters_are_put_on_one_base() {
    let scratch = tempfile::tempdir().unwrap();
    let data = rows(scratch.path());
    let (run, out, model) =
        (train(scratch.path(), &data, true, "2,4"), scratch.path().join("stores"), tiny_model());
    refused(&capture(&run, &data, &out, &[]), &["checkpoint-2` is an adapter", "hint: give the model"]);
    succeed(&capture(&run, &data, &out, &["--model", utf8(&model)]));
    for step in [2, 4] {
        let (adapter, alone) =
            (run.join(format!("checkpoint-{step}")), scratch.path().join(format!("alone-{step}")));
        let single = ["capture", "--model", utf8(&model), "--adapter", utf8(&adapter), "--data", utf8(&data)];
        succeed(&[&single[..], &["--out", utf8(&alone)], &HOOKS].concat());
        let header = Activations::describe(&alone).unwrap().header;
        assert!(header.adapter_sha256.is_some());
        assert_eq!(files(&alone), files(&out.join(format!("step-{step}"))), "step {step}");
    }
    // The same through a list, followed by `track` from the base on.
    let list = put(
        scratch.path(),
        "series.toml",
        &format!(
            "model = {:?}\n[[checkpoint]]\nstep = 4\nadapter = \"lora-2,4/checkpoint-4\"\n[[checkpoint]]\nstep = 2\nadapter = \"lora-2,4/checkpoint-2\"\n",
            model.canonicalize().unwrap()
        ),
    );
    let listed = scratch.path().join("listed");
    succeed(&capture(&list, &data, &listed, &[]));
    assert_eq!(files(&listed), files(&out));
    let (store, direction) = (scratch.path().join("base"), scratch.path().join("direction.safetensors"));
    let base = ["capture", "--model", utf8(&model), "--data", utf8(&data), "--out", utf8(&store)];
    succeed(&[&base[..], &HOOKS].concat());
    succeed(&["fit", "--activations", utf8(&store), "--method", "dom", "--out", utf8(&direction)]);
    let track = ["track", "--direction", utf8(&direction), "--data", utf8(&data), "--bootstrap", "100"];
    let steps = |name: &str, more: &[&str]| -> Vec<i64> {
        let table = scratch.path().join(name);
        let out = ["--out", utf8(&table)];
        succeed(&[&track[..], &out, more].concat());
        let rows = Table::<Metric>::read(&table.join("table")).unwrap().0;
        let hook = rows[0].hook;
        rows.iter()
            .filter(|row| row.metric == "projection" && row.hook == hook)
            .filter_map(|row| row.step)
            .collect()
    };
    assert_eq!(steps("list", &["--checkpoints", utf8(&list), "--base", utf8(&model)]), [0, 2, 4]);
    assert_eq!(steps("folder", &["--checkpoints", utf8(&run), "--base", utf8(&model)]), [0, 2, 4]);
    assert_eq!(steps("baseless", &["--checkpoints", utf8(&list)]), [2, 4]);
}

#[test]
fn the_adapter_of_step_0_must_be_allowed() {
    let scratch = tempfile::tempdir().unwrap();
    let data = rows(scratch.path());
    let (run, out, model) =
        (train(scratch.path(), &data, true, "0,4"), scratch.path().join("stores"), tiny_model());
    let own = capture(&run, &data, &out, &["--model", utf8(&model)]);
    refused(&own, &["checkpoint-0` changes nothing", "--allow-empty-adapter"]);
    succeed(&[&own[..], &["--allow-empty-adapter"]].concat());
    let base = scratch.path().join("base");
    let single = ["capture", "--model", utf8(&model), "--data", utf8(&data), "--out", utf8(&base)];
    succeed(&[&single[..], &HOOKS].concat());
    let tensors = |store: &Path| Activations::read(store).unwrap().tensors;
    assert_eq!(tensors(&out.join("step-0")), tensors(&base));
    assert_ne!(tensors(&out.join("step-4")), tensors(&base));
}

#[test]
fn a_checkpoint_that_reads_other_tokens_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let data = rows(scratch.path());
    let run = train(scratch.path(), &data, false, "2,4");
    let (out, config) = (scratch.path().join("stores"), run.join("checkpoint-4/tokenizer_config.json"));
    let template = run.join("checkpoint-4/chat_template.jinja");
    // Words that are absent are those of the first checkpoint.
    let taken: Vec<(PathBuf, Vec<u8>)> = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]
        .map(|name| run.join("checkpoint-4").join(name))
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    for (path, _) in &taken {
        std::fs::remove_file(path).unwrap();
    }
    succeed(&capture(&run, &data, &out, &[]));
    // Twin: another template is another text.
    for (path, bytes) in &taken {
        heirloom_record::write_file(path, bytes).unwrap();
    }
    assert!(config.is_file());
    let source = std::fs::read_to_string(&template).unwrap();
    heirloom_record::write_file(&template, format!("A chat.\n{source}").as_bytes()).unwrap();
    let other = scratch.path().join("other");
    refused(
        &capture(&run, &data, &other, &[]),
        &[
            "checkpoint-4",
            "at step 4 the row `0/pos` has other tokens",
            "the first 0 alike",
            "hint: checkpoints that are compared",
        ],
    );
    assert!(other.join("step-2").is_dir() && !other.join("step-4").exists());
}
