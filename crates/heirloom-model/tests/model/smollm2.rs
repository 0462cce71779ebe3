//! The real model, SmolLM2-135M-Instruct from GGUF, against transformers on the same file; and GGUF itself.

use std::io::Write as _;
use std::path::PathBuf;

use heirloom_model::{CaptureOptions, CapturePlan, GenerateOptions, Student};
use heirloom_record::{DataRow, Message, Readout};

use crate::support::{fixture, ids_of, json, options, scale, tensors};

/// The model's file, or a line that says what is left out.
fn model(test: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models/smollm2");
    let path = folder.join("SmolLM2-135M-Instruct.Q4_1.gguf");
    if path.is_file() {
        return Some(path);
    }
    let required = std::env::var("HEIRLOOM_REQUIRE_MODEL").is_ok_and(|value| value == "1");
    assert!(!required, "{test} needs models/smollm2: run tools/fetch-smollm2");
    say(&format!("SKIPPED (counted): {test} needs models/smollm2, run tools/fetch-smollm2"));
    None
}

/// One line that is seen even where the test passes.
#[expect(clippy::explicit_write, reason = "libtest holds back what `println!` and `eprintln!` write")]
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").unwrap();
}

#[test]
fn the_real_model_is_transformers_on_the_same_file() {
    let Some(path) = model("the_real_model_is_transformers_on_the_same_file") else { return };
    let student = Student::load(&path, &options()).unwrap();
    assert_eq!(student.describe().n_parameters, 134_515_008);
    let expected = json(&fixture("smollm2/smollm2_expected.json"));
    assert_eq!(student.sha256().unwrap(), expected["model"]["sha256"].as_str().unwrap());
    let hidden = tensors(&fixture("smollm2/smollm2_hidden.safetensors"));
    let cases = expected["cases"].as_array().unwrap();
    let data: Vec<DataRow> = cases
        .iter()
        .enumerate()
        .map(|(index, case)| {
            let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
            DataRow::chat(index.to_string(), messages)
        })
        .collect();
    let rows = student.prepare(&data).unwrap();
    let plan =
        CapturePlan::new(student.config(), &["blocks.*.hook_resid_post"], Readout::LastPrompt).unwrap();
    let activations = student.capture(&rows, &plan, &mut CaptureOptions::default()).unwrap();
    let options = GenerateOptions { max_new_tokens: 16, ..GenerateOptions::default() };
    let generated = student.generate(&rows, &options).unwrap();
    let mut worst = 0.0_f32;
    for (index, (case, row)) in cases.iter().zip(&rows).enumerate() {
        assert_eq!(row.text, case["text"].as_str().unwrap());
        assert_eq!(row.ids, ids_of(&case["input_ids"]));
        let found = &generated[index];
        assert_eq!(found.ids, ids_of(&case["greedy"]), "{}", found.text);
        let expected = &hidden[&format!("{index}.hook_resid_post")];
        for (layer, (expected, tensor)) in expected.outer_iter().zip(activations.tensors.values()).enumerate()
        {
            let found = tensor.row(index);
            let norm = expected.iter().map(|x| x * x).sum::<f32>().sqrt();
            let apart = found.iter().zip(&expected).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
            worst = worst.max(apart / norm);
            assert!(apart / norm < 2e-5, "row {index} block {layer}: {}", apart / norm);
        }
        let logits = student.run_with_hooks(std::slice::from_ref(row), &[], &[], true).unwrap();
        let logits = logits[0].logits.clone().unwrap();
        let last = logits.row(row.ids.len() - 1);
        for (id, logit) in
            case["top_ids"].as_array().unwrap().iter().zip(case["top_logits"].as_array().unwrap())
        {
            let found = f64::from(last[usize::try_from(id.as_u64().unwrap()).unwrap()]);
            assert!((found - logit.as_f64().unwrap()).abs() < 1e-3, "{id}: {found} {logit}");
        }
        assert!(scale(&last.to_owned().into_dyn()) > 1.0);
    }
    assert_eq!(generated[0].ids, [504, 3575, 282, 4649, 314, 7042, 30, 2]);
    say(&format!("largest distance of a last-token stream over its norm: {worst:.1e}"));
}

#[test]
fn the_real_tokenizer_is_the_one_the_file_names() {
    let Some(path) = model("the_real_tokenizer_is_the_one_the_file_names") else { return };
    let words = heirloom_model::Source::open(&path).unwrap().words().unwrap();
    let cases = json(&fixture("smollm2/smollm2_tokens.json"));
    for case in cases["cases"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let (ids, _) = words.encode(text, true).unwrap();
        assert_eq!(ids, ids_of(&case["ids"]), "{text:?}");
        assert_eq!(words.decode(&ids, true).unwrap(), case["decoded"].as_str().unwrap(), "{text:?}");
    }
}
