//! `heirloom doctor`, and `heirloom show` with an adapter: what they say, and with which exit code.

#[expect(dead_code, reason = "this test looks at fixtures of models alone")]
mod support;

use std::path::PathBuf;

use serde_json::Value;
use support::{finish, heirloom, put, succeed, tiny_model, utf8};

fn fixture(name: &str) -> PathBuf {
    tiny_model().with_file_name(name)
}

#[test]
fn a_well_model_is_said_to_be() {
    let page = succeed(&["doctor", "--model", utf8(&tiny_model())]);
    for line in [
        "chat-llama: llama, 2 blocks × 32, f32 on cpu; 3 rows",
        "residual stream",
        "template date",
        "(bound 1e-6)",
    ] {
        assert!(page.contains(line), "no `{line}` in\n{page}");
    }
    assert!(!page.contains("FAILED"), "{page}");
    let said: Value = serde_json::from_str(&succeed(&[
        "doctor",
        "--model",
        utf8(&tiny_model()),
        "--dtype",
        "bf16",
        "--json",
    ]))
    .unwrap();
    assert_eq!((&said["failed"], &said["dtype"]), (&0.into(), &"bf16".into()));
    for check in said["checks"].as_array().unwrap() {
        assert!(check["measured"].as_str().is_some_and(|text| !text.is_empty()), "{check}");
    }
}

#[test]
fn a_failed_check_is_a_failure() {
    let model = fixture("llama-gqa");
    let base = ["doctor", "--model", utf8(&model)];
    let adapter = fixture("peft-patterns");
    let page = succeed(&[&base[..], &["--adapter", utf8(&adapter)]].concat());
    assert!(page.contains("adapter effect") && page.contains("‖ΔW‖"), "{page}");
    let scratch = tempfile::tempdir().unwrap();
    let zero = scratch.path().join("zero");
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        let mut bytes = std::fs::read(fixture("peft-llama-gqa").join(name)).unwrap();
        if let Some(header) =
            name.ends_with("safetensors").then(|| 8 + usize::from(bytes[0]) + 256 * usize::from(bytes[1]))
        {
            bytes[header..].fill(0);
        }
        heirloom_record::write_file(&zero.join(name), &bytes).unwrap();
    }
    let with_zero = [&base[..], &["--adapter", utf8(&zero)]].concat();
    let (code, _, stderr) = finish(heirloom(&with_zero));
    assert!(code == 1 && stderr.contains("changes nothing"), "{stderr}");
    for json in [&[][..], &["--json"]] {
        let (code, page, stderr) =
            finish(heirloom(&[&with_zero[..], &["--allow-empty-adapter"], json].concat()));
        assert_eq!(code, 1, "{page}");
        assert!(page.contains("adapter effect"), "{page}");
        assert!(stderr.contains("checks failed: adapter effect"), "{stderr}");
        assert!(stderr.contains("docs/divergence.md"), "{stderr}");
    }
}

#[test]
fn rows_of_one_length_cannot_show_padding() {
    let scratch = tempfile::tempdir().unwrap();
    let data = put(scratch.path(), "rows.jsonl", "{\"input_ids\":[1,2,3]}\n{\"input_ids\":[4,5,6]}\n");
    let model = fixture("llama-gqa");
    let (code, _, stderr) = finish(heirloom(&["doctor", "--model", utf8(&model), "--data", utf8(&data)]));
    assert!(code == 1 && stderr.contains("rows of different lengths, found 2 of 3 tokens"), "{stderr}");
}

#[test]
fn show_says_what_an_adapter_does() {
    let scratch = tempfile::tempdir().unwrap();
    let data =
        put(scratch.path(), "rows.jsonl", "{\"input_ids\":[22,52,82,7]}\n{\"input_ids\":[59,79,47]}\n");
    let (model, adapter) = (fixture("llama-gqa"), fixture("peft-patterns"));
    let show = ["show", "--model", utf8(&model), "--data", utf8(&data)];
    let adapted = [&show[..], &["--adapter", utf8(&adapter)]].concat();
    let said = succeed(&adapted);
    for part in [
        "adapter of rank 2, 4, 6, scaled by the root of the rank: ‖ΔW‖",
        "q_proj",
        "blocks.1",
        "lm_head",
        "logits at 7 positions",
    ] {
        assert!(said.contains(part), "no `{part}` in\n{said}");
    }
    let said: Value = serde_json::from_str(&succeed(&[&adapted[..], &["--json"]].concat())).unwrap();
    let expected: Value =
        serde_json::from_slice(&std::fs::read(adapter.join("inputs.json")).unwrap()).unwrap();
    for (path, norm) in expected["norms"].as_object().unwrap() {
        let found = said["adapter"]["norms"][path].as_f64().unwrap();
        assert!((found / norm.as_f64().unwrap() - 1.0).abs() < 1e-5, "{path}");
    }
    assert!(said["adapter"]["logits"]["largest"].as_f64().unwrap() > 0.01, "{said}");
    // Twin: without one, rows alone.
    assert!(!succeed(&show).contains("adapter"));
}
