//! The doctor: well models pass, and each planted ailment is found by the check that is for it.

use std::path::Path;

use heirloom_model::doctor::{Finding, Verdict, examine, rows};
use heirloom_model::{Config, Dtype, Init, LoadOptions, Special, Student, TokenRow, Words};
use serde_json::Value;

use crate::support::{all_models, copy, fixture, json, options, student, tensors};

fn examined(student: &Student) -> Vec<Finding> {
    examine(student, &rows(student).unwrap(), None)
}

fn find<'a>(found: &'a [Finding], check: &str) -> &'a Finding {
    found.iter().find(|one| one.check == check).unwrap_or_else(|| panic!("no `{check}` in {found:?}"))
}

/// The checks that failed.
fn failed(found: &[Finding]) -> Vec<&str> {
    found.iter().filter(|one| one.verdict == Verdict::Failed).map(|one| one.check).collect()
}

#[test]
fn models_of_every_family_are_well() {
    for name in all_models() {
        let found = examined(&student(name));
        assert!(failed(&found).is_empty(), "{name}: {found:#?}");
        assert!(find(&found, "batch invariance").measured.ends_with("the same bits"), "{name}");
        let padding = find(&found, "padding invariance");
        assert!(padding.value.unwrap() < 1e-5, "{name}: {padding:?}");
    }
}

#[test]
fn padding_is_looked_at_where_a_block_has_patterns() {
    let padding = |kinds: [&str; 2]| {
        let mut config = json(&fixture("families/qwen35").join("config.json"));
        config["layer_types"] = serde_json::json!(kinds);
        let config = Config::from_json(&config).unwrap();
        let vocabulary: Vec<String> = (0..config.d_vocab).map(|i| format!("w{i}")).collect();
        let words = Words::word_level(&vocabulary, "{{ messages[0].content }}", &Special::new("w0")).unwrap();
        let student = Student::create("made", &config, words, &Init::new(1), &options()).unwrap();
        let rows = [3, 11].map(|n: u32| TokenRow::from_ids(n.to_string(), (1..=n).collect()));
        find(&examine(&student, &rows, None), "padding invariance").verdict
    };
    assert_eq!(padding(["linear_attention", "full_attention"]), Verdict::Ok);
    assert_eq!(padding(["linear_attention"; 2]), Verdict::Skipped);
}

#[test]
fn half_precision_is_held_against_f32() {
    let reference = student("chat-llama");
    for (dtype, least) in [(Dtype::Bf16, 1e-4), (Dtype::F16, 1e-5)] {
        let half = Student::load(&fixture("chat-llama"), &LoadOptions { dtype, ..options() }).unwrap();
        let found = examine(&half, &rows(&half).unwrap(), Some(&reference));
        assert!(failed(&found).is_empty(), "{found:#?}");
        let gap = find(&found, "f32 against dtype").value.unwrap();
        assert!(gap > least, "{dtype} is not f32: {gap}");
    }
    assert_eq!(find(&examined(&reference), "f32 against dtype").verdict, Verdict::Skipped);
}

/// A copy of a fixture with one tensor's numbers changed.
pub(crate) fn with_weights(name: &str, tensor: &str, change: impl Fn(f32) -> f32) -> tempfile::TempDir {
    let folder = copy(name);
    let file = folder.path().join("model.safetensors");
    let all: Vec<(String, Vec<usize>, Vec<u8>)> = tensors(&file)
        .into_iter()
        .map(|(name, array)| {
            let changed = array.iter().map(|x| if name == tensor { change(*x) } else { *x });
            let bytes = changed.flat_map(f32::to_le_bytes).collect();
            (name, array.shape().to_vec(), bytes)
        })
        .collect();
    let views = all.iter().map(|(name, shape, bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
        (name.as_str(), view.unwrap())
    });
    std::fs::write(&file, safetensors::serialize(views, None).unwrap()).unwrap();
    folder
}

#[test]
fn numbers_that_overflow_are_found() {
    let folder = with_weights("llama-gqa", "model.layers.1.mlp.down_proj.weight", |x| x * 4e5);
    let load = |dtype| Student::load(folder.path(), &LoadOptions { dtype, ..options() }).unwrap();
    let found = examined(&load(Dtype::F16));
    assert!(failed(&found).contains(&"hook points"), "{found:#?}");
    let named = &find(&found, "hook points").measured;
    assert!(named.contains("blocks.1.hook_mlp_out"), "{named}");
    // Twin: f32 holds them.
    assert!(failed(&examined(&load(Dtype::F32))).is_empty());
}

#[test]
fn an_adapters_effect_is_measured() {
    let mut student = student("llama-gqa");
    assert_eq!(find(&examined(&student), "adapter effect").verdict, Verdict::Skipped);
    student.load_adapter(&fixture("peft-llama-gqa"), false).unwrap();
    let found = examined(&student);
    let effect = find(&found, "adapter effect");
    assert!(effect.verdict == Verdict::Ok && effect.value.unwrap() > 0.01, "{effect:?}");
    assert!(failed(&found).is_empty(), "{found:#?}");
    // Twin: one that changes nothing.
    let zero = copy("peft-llama-gqa");
    let file = zero.path().join("adapter_model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let header = 8 + usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    bytes[header..].fill(0);
    std::fs::write(&file, bytes).unwrap();
    student.take_off_adapter().unwrap();
    student.load_adapter(zero.path(), true).unwrap();
    assert_eq!(failed(&examined(&student)), ["adapter effect"]);
}

#[test]
fn tables_of_tokens_are_told_apart() {
    let verdict = |student: &Student| {
        let found = examined(student);
        let heads = find(&found, "head and embedding");
        (heads.verdict, heads.value)
    };
    assert_eq!(verdict(&student("llama-tied-mha")), (Verdict::Ok, None));
    let (own, distance) = verdict(&student("llama-gqa"));
    assert!(own == Verdict::Ok && distance.unwrap() > 0.1, "{distance:?}");
    // Twin: a head that is the embedding without saying so.
    let folder = copy("llama-gqa");
    let file = folder.path().join("model.safetensors");
    let mut all = tensors(&file);
    all.insert("lm_head.weight".into(), all["model.embed_tokens.weight"].clone());
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = all
        .into_iter()
        .map(|(name, x)| (name, x.shape().to_vec(), x.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
        (name.as_str(), view.unwrap())
    });
    std::fs::write(&file, safetensors::serialize(views, None).unwrap()).unwrap();
    let twice = Student::load(folder.path(), &options()).unwrap();
    assert_eq!(verdict(&twice), (Verdict::Note, Some(0.0)));
}

/// A copy of the chat model with a file of JSON changed.
fn with_json(file: &str, change: impl Fn(&mut Value)) -> tempfile::TempDir {
    let folder = copy("chat-llama");
    let path = folder.path().join(file);
    let mut value = json(&path);
    change(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
    folder
}

fn examined_at(folder: &Path) -> Vec<Finding> {
    examined(&Student::load(folder, &options()).unwrap())
}

#[test]
fn words_that_do_not_fit_are_found() {
    let template = |change: fn(&str) -> String| {
        move |value: &mut Value| {
            let source = change(value["chat_template"].as_str().unwrap());
            value["chat_template"] = source.into();
        }
    };
    let well = examined_at(&fixture("chat-llama"));
    assert_eq!(find(&well, "template date").verdict, Verdict::Ok);
    let dated = |source: &str| format!("{{{{ 'Today is ' + strftime_now('%d %B %Y') }}}}\n{source}");
    let found = examined_at(with_json("tokenizer_config.json", template(dated)).path());
    let date = find(&found, "template date");
    assert_eq!(date.verdict, Verdict::Note);
    assert!(date.measured.contains("Today is 07 November 2031"), "{date:?}");
    assert!(failed(&found).is_empty(), "{found:#?}");

    let unstopped = with_json("generation_config.json", |value| value["eos_token_id"] = 0.into());
    let path = unstopped.path().join("config.json");
    let mut config = json(&path);
    config["eos_token_id"] = 0.into();
    std::fs::write(path, config.to_string()).unwrap();
    let path = unstopped.path().join("tokenizer_config.json");
    let mut config = json(&path);
    config["eos_token"] = Value::Null;
    std::fs::write(path, config.to_string()).unwrap();
    let found = examined_at(unstopped.path());
    assert_eq!(failed(&found), ["end of turn"], "{found:#?}");

    let grown = with_json("tokenizer.json", |value| {
        let added = value["added_tokens"].as_array_mut().unwrap();
        let mut token = added[0].clone();
        (token["id"], token["content"]) = (100_000.into(), "<|later|>".into());
        added.push(token);
    });
    let found = examined_at(grown.path());
    assert_eq!(failed(&found), ["vocabulary"], "{found:#?}");
}

#[test]
fn a_text_that_is_begun_twice_is_found() {
    let folder = with_json("tokenizer.json", |value| {
        let first = value["added_tokens"][0].clone();
        let (name, id) = (first["content"].clone(), first["id"].clone());
        value["post_processor"] = serde_json::json!({
            "type": "TemplateProcessing", "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
            "single": [{"SpecialToken": {"id": name, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "special_tokens": {name.as_str().unwrap(): {"id": name, "ids": [id], "tokens": [name]}},
        });
    });
    let path = folder.path().join("tokenizer.json");
    let name = json(&path)["added_tokens"][0]["content"].as_str().unwrap().to_owned();
    let path = folder.path().join("tokenizer_config.json");
    let mut config = json(&path);
    let source = config["chat_template"].as_str().unwrap().to_owned();
    let begun = |times: usize| format!("{}{source}", name.repeat(times));
    for (times, expected) in [(0, &[][..]), (1, &[]), (2, &["beginning of text"])] {
        config["chat_template"] = begun(times).into();
        std::fs::write(&path, config.to_string()).unwrap();
        let found = examined_at(folder.path());
        assert_eq!(failed(&found), expected, "{times}: {found:#?}");
    }
}
