//! Memory stays flat over a long series. The process is this test's own, so that nothing else moves its size.

#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};

use heirloom_model::{
    CaptureOptions, CapturePlan, CheckpointAt, Config, Init, LoadOptions, Special, Student, TokenRow, Walk,
    Words,
};
use heirloom_record::Readout;

const CHECKPOINTS: usize = 50;
/// Checkpoints after which the size is taken for the first time.
const SETTLED: usize = 10;

fn options() -> LoadOptions {
    LoadOptions::new("2026-01-15".parse().unwrap())
}

/// Bytes of this process that lie in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    4096 * statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap()
}

/// A model of about ten megabytes, and its size.
fn save(folder: &Path, seed: u64) -> usize {
    let words = Words::word_level(
        &["<pad>", "<end>", "hello"].map(String::from),
        "{{ messages[0].content }}",
        &Special::new("<end>").pad("<pad>"),
    );
    let config = Config::from_json(&serde_json::json!({
        "model_type": "llama", "hidden_size": 192, "intermediate_size": 640, "num_hidden_layers": 4,
        "num_attention_heads": 4, "vocab_size": 2048, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
    }));
    let (words, config) = (words.unwrap(), config.unwrap());
    let student = Student::create("large", &config, words, &Init::new(seed), &options()).unwrap();
    student.save(folder).unwrap();
    4 * config.n_parameters()
}

/// How much larger the process became between two checkpoints, in models, while `look` saw each of them.
fn growth(series: Vec<CheckpointAt>, model_bytes: usize, look: &mut dyn FnMut(&Student)) -> f64 {
    let (mut walk, mut before, mut n) = (Walk::new(series, options(), false).unwrap(), 0, 0);
    while let Some((_, student)) = walk.advance().unwrap() {
        look(student);
        n += 1;
        if n == SETTLED {
            before = resident();
        }
    }
    resident().saturating_sub(before) as f64 / model_bytes as f64
}

#[test]
fn memory_stays_flat_over_fifty_checkpoints() {
    let scratch = tempfile::tempdir().unwrap();
    let models = [1, 2].map(|seed| scratch.path().join(format!("model-{seed}")));
    let bytes = save(&models[0], 1);
    assert_eq!(save(&models[1], 2), bytes);
    // Every checkpoint is a path of its own, so each is read.
    let series = |n: usize| -> Vec<CheckpointAt> {
        let one = |step: usize| {
            let model: PathBuf = scratch.path().join(format!("checkpoint-{step}"));
            if !model.exists() {
                std::os::unix::fs::symlink(&models[step % 2], &model).unwrap();
            }
            CheckpointAt { step, model, adapter: None }
        };
        (0..n).map(one).collect()
    };
    let rows: Vec<TokenRow> = (0..4).map(|n| TokenRow::from_ids(n.to_string(), vec![n; 40])).collect();
    let mut capture = |student: &Student| {
        let hooks = ["blocks.*.hook_resid_post"];
        let plan = CapturePlan::new(student.config(), &hooks, Readout::LastPrompt).unwrap();
        student.capture(&rows, &plan, &mut CaptureOptions::default()).unwrap();
    };
    let flat = growth(series(CHECKPOINTS), bytes, &mut capture);
    assert!(flat < 4.0, "forty more checkpoints took the memory of {flat:.1} models");
    // Twin: where checkpoints are kept, the size shows it.
    let mut kept = Vec::new();
    let grown = growth(series(SETTLED + 12), bytes, &mut |student| kept.push(student.fork("kept").unwrap()));
    assert!(grown > 8.0, "twelve kept models took the memory of {grown:.1}");
}
