//! Low-rank adapters: PEFT's numbers and files, and what training them leaves alone.

use std::path::Path;

use heirloom_model::{
    CaptureOptions, CapturePlan, Length, Lora, PeftAdapter, Student, TokenRow, TrainOptions,
};
use heirloom_record::{HookPoint, Readout};

use crate::support::{fixture, gap, json, rows, scale, see_all, student, tensors};
use crate::train::{Notes, random_rows, weights};

const PEFT: &str = "peft-llama-gqa";
/// Adapters that PEFT wrote, each with the model it was made on.
const ADAPTERS: [(&str, &str); 3] =
    [(PEFT, "llama-gqa"), ("peft-patterns", "llama-gqa"), ("peft-untied", "llama-tied-mha")];

fn adapted() -> Student {
    let mut student = student("llama-gqa");
    student.load_adapter(&fixture(PEFT), false).unwrap();
    student
}

fn peft_rows() -> Vec<TokenRow> {
    let ids = json(&fixture(PEFT).join("inputs.json"))["input_ids"].clone();
    let ids: Vec<Vec<u32>> = serde_json::from_value(ids).unwrap();
    ids.into_iter().enumerate().map(|(i, ids)| TokenRow::from_ids(i.to_string(), ids)).collect()
}

fn logits(student: &Student) -> Vec<ndarray::ArrayD<f32>> {
    let caches = student.run_with_hooks(&peft_rows(), &[HookPoint::Embed], &[], true).unwrap();
    caches.into_iter().map(|cache| cache.logits.unwrap().into_dyn()).collect()
}

/// The student's logits are those that PEFT computed with this adapter.
fn gives_pefts_logits(adapter: &str, student: &Student) {
    let expected = tensors(&fixture(adapter).join("expected.safetensors"));
    for (row, found) in logits(student).iter().enumerate() {
        let expected = &expected[&format!("{row}.logits")];
        assert!(gap(found, expected) / scale(expected) < 2e-5, "{adapter} row {row}");
    }
}

#[test]
fn an_adapter_gives_pefts_logits() {
    for (adapter, model) in ADAPTERS {
        let mut student = student(model);
        let plain = logits(&student);
        student.load_adapter(&fixture(adapter), false).unwrap();
        gives_pefts_logits(adapter, &student);
        for (before, after) in plain.iter().zip(logits(&student)) {
            assert!(gap(before, &after) / scale(before) > 0.01, "{adapter} does something");
        }
        let effect = student.adapter_effect(&peft_rows()).unwrap().unwrap();
        let largest = plain.iter().zip(logits(&student)).map(|(a, b)| gap(a, &b)).fold(0.0, f32::max);
        assert!((effect.largest - f64::from(largest)).abs() < 1e-6, "{effect:?} {largest}");
        assert!(effect.positions == 11 && effect.kl > 1e-4, "{effect:?}");
        student.merge_adapter().unwrap();
        assert!(student.adapter().unwrap().is_none());
        assert!(student.adapter_effect(&peft_rows()).unwrap().is_none());
        gives_pefts_logits(adapter, &student);
    }
}

#[test]
fn adapters_are_swapped_on_one_base() {
    let mut student = student("llama-gqa");
    let (plain, base) = (logits(&student), student.sha256().unwrap().to_owned());
    let read = |name: &str| PeftAdapter::read(&fixture(name), student.config()).unwrap();
    let (one, other) = (read(PEFT), read("peft-patterns"));
    for _ in 0..2 {
        student.put_on(&one, false).unwrap();
        gives_pefts_logits(PEFT, &student);
        let first = student.adapter_sha256().unwrap();
        student.put_on(&other, false).unwrap();
        gives_pefts_logits("peft-patterns", &student);
        assert_ne!(student.adapter_sha256().unwrap(), first);
        assert_eq!(student.sha256().unwrap(), base, "the base is the same file");
    }
    student.take_off_adapter().unwrap();
    assert_eq!(logits(&student), plain, "bit for bit");
    // Side by side, each as it is alone.
    let beside = student.with_adapter(&one, false).unwrap();
    gives_pefts_logits("peft-patterns", &beside.with_adapter(&other, false).unwrap());
    gives_pefts_logits(PEFT, &beside);
    assert_eq!(logits(&student), plain, "the base is changed by what stands beside it");
    assert!(student.adapter().unwrap().is_none());
    // A head of its own goes with the adapter.
    let mut tied = crate::support::student("llama-tied-mha");
    tied.load_adapter(&fixture("peft-untied"), false).unwrap();
    assert!(!tied.config().tied);
    tied.take_off_adapter().unwrap();
    assert!(tied.config().tied);
}

#[test]
fn an_adapter_that_does_not_go_on_leaves_the_student_as_it_was() {
    let scratch = tempfile::tempdir().unwrap();
    let mut fresh = student("llama-gqa");
    let folder = scratch.path().join("run");
    fresh.train_to(&folder, &random_rows(8, 97), &lora(&["q_proj"]), &mut ()).unwrap();
    let mut student = adapted();
    let nothing = PeftAdapter::read(&folder.join("checkpoint-0"), student.config()).unwrap();
    assert!(student.put_on(&nothing, false).unwrap_err().to_string().contains("changes nothing"));
    gives_pefts_logits(PEFT, &student);
    student.put_on(&nothing, true).unwrap();
    assert_eq!(logits(&student), logits(&crate::support::student("llama-gqa")));
}

#[test]
fn an_adapter_says_what_it_changes() {
    for (adapter, model) in ADAPTERS {
        let report = student(model).load_adapter(&fixture(adapter), false).unwrap();
        let expected = json(&fixture(adapter).join("inputs.json"))["norms"].clone();
        assert_eq!(report.norms.len(), expected.as_object().unwrap().len(), "{adapter}");
        for (path, norm) in &report.norms {
            let expected = expected[path].as_f64().unwrap();
            assert!((norm / expected - 1.0).abs() < 1e-5, "{adapter} {path}: {norm} {expected}");
        }
    }
    let mut student = student("llama-gqa");
    assert!(student.adapter().unwrap().is_none() && student.adapter_sha256().unwrap().is_none());
    let base = student.sha256().unwrap().to_owned();
    let report = student.load_adapter(&fixture(PEFT), false).unwrap();
    assert_eq!(student.adapter().unwrap(), Some(report));
    assert_eq!(student.sha256().unwrap(), base, "the model without it is the same");
    assert!(student.adapter_sha256().unwrap().is_some());
    let plan = CapturePlan::new(student.config(), &["hook_embed"], Readout::LastPrompt).unwrap();
    let stored = student.capture(&peft_rows(), &plan, &mut CaptureOptions::default()).unwrap().header;
    assert_eq!((stored.model_sha256, stored.adapter_sha256), (base, student.adapter_sha256().unwrap()));
    let error = student.load_adapter(&fixture(PEFT), false).unwrap_err().to_string();
    assert_eq!(error, "`llama-gqa` has an adapter already");
}

#[test]
fn an_adapter_written_again_is_the_same() {
    let scratch = tempfile::tempdir().unwrap();
    for (adapter, model) in ADAPTERS {
        let folder = scratch.path().join(adapter);
        let on = |from: &Path| {
            let mut student = student(model);
            student.load_adapter(from, false).unwrap();
            student
        };
        let first = on(&fixture(adapter));
        first.save_adapter(&folder).unwrap();
        let file = "adapter_model.safetensors";
        assert_eq!(tensors(&folder.join(file)), tensors(&fixture(adapter).join(file)), "{adapter}");
        let again = on(&folder);
        assert_eq!(logits(&again), logits(&first), "{adapter}");
        assert_eq!(again.adapter_sha256().unwrap(), first.adapter_sha256().unwrap(), "{adapter}");
        assert_eq!(again.adapter().unwrap().unwrap().lora, first.adapter().unwrap().unwrap().lora);
    }
    let error = student("llama-gqa").save_adapter(&scratch.path().join("none")).unwrap_err().to_string();
    assert_eq!(error, "`llama-gqa` has no adapter");
}

/// A copy of the PEFT fixture with its settings changed.
fn changed(key: &str, value: serde_json::Value) -> tempfile::TempDir {
    let folder = crate::support::copy(PEFT);
    let path = folder.path().join("adapter_config.json");
    let mut config = json(&path);
    config[key] = value;
    std::fs::write(path, config.to_string()).unwrap();
    folder
}

fn refuse(model: &str, folder: &Path, text: &str) {
    let error = student(model).load_adapter(folder, false).unwrap_err().to_string();
    assert!(error.contains(text), "`{error}` does not say `{text}`");
}

#[test]
fn adapters_that_do_not_fit() {
    for (key, value, text) in [
        ("use_dora", true.into(), "`use_dora` = true, which heirloom does not compute"),
        ("peft_type", "IA3".into(), "`peft_type` = \"IA3\""),
        ("r", 5.into(), "expected shape [5, 32], found [4, 32]"),
        (
            "rank_pattern",
            serde_json::json!({"q_proj": 8}),
            "lora_A.weight`: expected shape [8, 32], found [4, 32]",
        ),
        ("rank_pattern", serde_json::json!({"q_(proj": 8}), "`rank_pattern` = {\"q_(proj\":8}"),
        ("alpha_pattern", serde_json::json!({"q_proj": "8"}), "`alpha_pattern` = {\"q_proj\":\"8\"}"),
        ("modules_to_save", serde_json::json!(["lm_head"]), "no tensor `base_model.model.lm_head.weight`"),
        ("modules_to_save", serde_json::json!(["classifier"]), "`modules_to_save` = \"classifier\""),
        ("ensure_weight_tying", true.into(), "`ensure_weight_tying` = true"),
        ("bias", "all".into(), "`bias` = \"all\""),
    ] {
        refuse("llama-gqa", changed(key, value).path(), text);
    }
    refuse(
        "llama-tied-mha",
        &fixture(PEFT),
        "`base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight`",
    );
    refuse("llama-gqa", &fixture("llama-gqa"), "could not read");
    // What the adapter brings but its settings do not name has no place.
    let unnamed = crate::support::copy("peft-patterns");
    let path = unnamed.path().join("adapter_config.json");
    let mut config = json(&path);
    config["modules_to_save"] = serde_json::json!(["lm_head"]);
    std::fs::write(&path, config.to_string()).unwrap();
    refuse(
        "llama-gqa",
        unnamed.path(),
        "does not use: `base_model.model.model.layers.0.post_attention_layernorm.weight`",
    );
    // The last block's factors have no place in a model without it.
    let shallow = crate::support::copy("llama-gqa");
    let path = shallow.path().join("config.json");
    let mut config = json(&path);
    config["num_hidden_layers"] = 1.into();
    std::fs::write(&path, config.to_string()).unwrap();
    let file = shallow.path().join("model.safetensors");
    let kept = tensors(&file).into_iter().filter(|(name, _)| !name.contains("layers.1."));
    let kept: Vec<_> = kept.map(|(name, array)| (name, array.shape().to_vec(), array)).collect();
    let bytes: Vec<Vec<u8>> =
        kept.iter().map(|(_, _, array)| array.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = kept.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
        (name.as_str(), view.unwrap())
    });
    std::fs::write(&file, safetensors::serialize(views, None).unwrap()).unwrap();
    let mut student = Student::load(shallow.path(), &crate::support::options()).unwrap();
    let error = student.load_adapter(&fixture(PEFT), false).unwrap_err().to_string();
    assert!(error.contains("tensors the model does not use: `base_model.model.model.layers.1."), "{error}");
}

#[test]
fn adapters_that_change_the_base_when_they_are_loaded() {
    for kind in ["pissa", "pissa_niter_16", "olora", "corda", "lora_ga", "loftq", "a later one"] {
        let text = format!("`init_lora_weights` = \"{kind}\", which heirloom does not compute");
        refuse("llama-gqa", changed("init_lora_weights", kind.into()).path(), &text);
    }
    // Twin: what fills the factors alone.
    for kind in serde_json::json!([null, true, false, "gaussian", "eva", "orthogonal"]).as_array().unwrap() {
        let mut student = student("llama-gqa");
        student.load_adapter(changed("init_lora_weights", kind.clone()).path(), false).unwrap();
        gives_pefts_logits(PEFT, &student);
    }
}

#[test]
fn an_adapter_is_where_its_settings_are_and_no_models_weights() {
    let folder = crate::support::copy(PEFT);
    assert!(PeftAdapter::is_at(folder.path()));
    std::fs::copy(fixture("llama-gqa").join("config.json"), folder.path().join("config.json")).unwrap();
    assert!(PeftAdapter::is_at(folder.path()), "its base's configuration is no model");
    for weights in ["model.safetensors", "model.safetensors.index.json", "tiny.gguf"] {
        std::fs::write(folder.path().join(weights), "").unwrap();
        assert!(!PeftAdapter::is_at(folder.path()), "{weights}");
        std::fs::remove_file(folder.path().join(weights)).unwrap();
    }
    assert!(!PeftAdapter::is_at(&fixture("llama-gqa")));
}

fn lora(targets: &[&str]) -> TrainOptions {
    let targets = targets.iter().map(|target| (*target).to_owned()).collect();
    TrainOptions {
        batch_rows: 4,
        length: Length::Epochs(4),
        lr: 2e-2,
        lora: Some(Lora { rank: 2, alpha: 4.0, targets, ..Lora::default() }),
        checkpoints: vec![0],
        ..TrainOptions::default()
    }
}

#[test]
fn training_an_adapter_leaves_the_weights() {
    let (mut student, mut notes) = (student("llama-gqa"), Notes::default());
    let (before, base) = (weights(&student), student.sha256().unwrap().to_owned());
    let plain = see_all(&student, &rows("llama-gqa"));
    student.train(&random_rows(16, 97), &lora(&["q_proj", "up_proj"]), &mut notes).unwrap();
    assert!(notes.log.last().unwrap().loss < notes.log[0].loss);
    assert_eq!(student.sha256().unwrap(), base);
    let report = student.adapter().unwrap().unwrap();
    let changed: Vec<&String> = report.norms.keys().collect();
    let expected = ["mlp.up_proj", "self_attn.q_proj"];
    let expected: Vec<String> =
        (0..2).flat_map(|l| expected.map(|at| format!("model.layers.{l}.{at}"))).collect();
    assert_eq!(changed, expected.iter().collect::<Vec<_>>());
    assert!(report.norms.values().all(|norm| *norm > 0.0), "{report:?}");
    // What it adds to the weights it is folded into, and to nothing else.
    let after = weights(&student);
    for (name, bits) in &before {
        let touched = expected.iter().any(|path| *name == format!("{path}.weight"));
        assert_eq!(after[name] != *bits, touched, "{name}");
        if touched {
            let pairs =
                after[name].iter().zip(bits).map(|(a, b)| [*a, *b].map(|x| f64::from(f32::from_bits(x))));
            let norm = pairs.map(|[a, b]| (a - b).powi(2)).sum::<f64>().sqrt();
            let expected = report.norms[name.trim_end_matches(".weight")];
            assert!((norm / expected - 1.0).abs() < 1e-3, "{name}: {norm} {expected}");
        }
    }
    assert_ne!(see_all(&student, &rows("llama-gqa")), plain);
}

#[test]
fn a_fresh_adapter_is_nothing_and_says_so() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    let mut trained = student("llama-gqa");
    trained.train_to(&folder, &random_rows(8, 97), &lora(&["q_proj"]), &mut ()).unwrap();
    let first = folder.join("checkpoint-0");
    let error = student("llama-gqa").load_adapter(&first, false).unwrap_err();
    assert!(error.to_string().ends_with("changes nothing: ‖ΔW‖ is 0 in its 2 projections"), "{error}");
    assert!(error.hint().unwrap().contains("B factors are zero"));
    let mut allowed = student("llama-gqa");
    assert_eq!(allowed.load_adapter(&first, true).unwrap().norm().to_bits(), 0.0_f64.to_bits());
    let plain = see_all(&student("llama-gqa"), &rows("llama-gqa"));
    assert_eq!(see_all(&allowed, &rows("llama-gqa")), plain);
    // Twin: the last one does something, and is what training left.
    let mut last = student("llama-gqa");
    last.load_adapter(&folder.join("checkpoint-8"), false).unwrap();
    assert_eq!(see_all(&last, &rows("llama-gqa")), see_all(&trained, &rows("llama-gqa")));
    assert_ne!(see_all(&last, &rows("llama-gqa")), plain);
}

#[test]
fn an_adapter_is_not_trained_over() {
    let mut student = adapted();
    let plain = TrainOptions { lora: None, ..lora(&["q_proj"]) };
    for options in [plain, lora(&["q_proj"])] {
        let error = student.train(&random_rows(8, 97), &options, &mut ()).unwrap_err();
        assert_eq!(error.to_string(), "`llama-gqa` has an adapter already");
        assert_eq!(error.hint().unwrap(), "merge it into the weights first");
    }
    let error = student.train(&random_rows(8, 97), &lora(&["query"]), &mut ()).unwrap_err().to_string();
    assert!(error.ends_with("found `query`"), "{error}");
}
