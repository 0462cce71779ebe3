//! A walk through a series: every checkpoint is what it is when loaded alone.

use std::path::PathBuf;

use heirloom_model::{CheckpointAt, Error, Student, Walk, checkpoints};

use crate::support::{copy, fixture, options, rows, see_all};

fn at(step: usize, model: &str, adapter: Option<&str>) -> CheckpointAt {
    CheckpointAt { step, model: fixture(model), adapter: adapter.map(fixture) }
}

#[test]
fn every_checkpoint_is_what_it_is_alone() {
    let series = vec![
        at(0, "llama-gqa", None),
        at(10, "llama-gqa", Some("peft-llama-gqa")),
        at(20, "llama-gqa", Some("peft-patterns")),
        at(30, "llama-tied-mha", Some("peft-untied")),
        at(40, "llama-tied-mha", None),
        at(50, "llama-gqa", Some("peft-llama-gqa")),
    ];
    let mut walk = Walk::new(series.clone(), options(), false).unwrap();
    let mut seen = Vec::new();
    while let Some((at, student)) = walk.advance().unwrap() {
        let mut alone = Student::load(&at.model, &options()).unwrap();
        if let Some(adapter) = &at.adapter {
            alone.load_adapter(adapter, false).unwrap();
        }
        assert_eq!(see_all(student, &rows("llama-gqa")), see_all(&alone, &rows("llama-gqa")), "{at:?}");
        assert_eq!(student.sha256().unwrap(), alone.sha256().unwrap());
        assert_eq!(student.adapter_sha256().unwrap(), alone.adapter_sha256().unwrap());
        assert_eq!(student.config().tied, alone.config().tied);
        seen.push(at);
    }
    assert_eq!(seen, series);
    assert!(walk.advance().unwrap().is_none());
}

#[test]
fn the_next_checkpoint_is_read_while_this_one_works() {
    // Gone from the disk before it is asked for; the reader may be slow to begin, so there are three tries.
    let read_ahead = |wait: u64| {
        let next = copy("llama-gqa");
        let series = vec![
            at(0, "llama-tied-mha", None),
            CheckpointAt { step: 1, model: next.path().into(), adapter: None },
        ];
        let mut walk = Walk::new(series, options(), false).unwrap();
        walk.advance().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait));
        drop(next);
        walk.advance().is_ok()
    };
    assert!([200, 1000, 5000].into_iter().any(read_ahead));
}

#[test]
fn a_checkpoint_that_cannot_be_read_ends_the_walk_and_is_named() {
    let damaged = copy("llama-gqa");
    std::fs::write(damaged.path().join("model.safetensors"), "short").unwrap();
    let bad = CheckpointAt { step: 1, model: damaged.path().into(), adapter: None };
    let nowhere = CheckpointAt { adapter: Some(PathBuf::from("nowhere")), ..at(1, "llama-gqa", None) };
    let foreign = at(1, "llama-tied-mha", Some("peft-llama-gqa"));
    for (second, text) in
        [(bad, "model.safetensors` is damaged"), (nowhere, "nowhere"), (foreign, "v_proj.lora_B")]
    {
        let series = vec![at(0, "llama-gqa", None), second, at(2, "llama-gqa", None)];
        let mut walk = Walk::new(series, options(), false).unwrap();
        assert_eq!(walk.advance().unwrap().unwrap().0.step, 0);
        let error = walk.advance().map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
        assert!(walk.advance().unwrap().is_none());
    }
    // Given up half way, the reader does not keep the process.
    let mut walk = Walk::new(vec![at(0, "llama-gqa", None); 5], options(), false).unwrap();
    walk.advance().unwrap();
}

#[test]
fn adapters_need_a_base() {
    let folders = || vec![(1, fixture("peft-llama-gqa")), (2, fixture("llama-gqa"))];
    let error = checkpoints(folders(), None).unwrap_err();
    assert!(
        matches!(&error, Error::AdapterWithoutBase { path } if path.ends_with("peft-llama-gqa")),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("--base"));
    let found = checkpoints(folders(), Some(&fixture("llama-gqa"))).unwrap();
    assert_eq!(found, [at(1, "llama-gqa", Some("peft-llama-gqa")), at(2, "llama-gqa", None)]);
}

#[test]
fn a_checkpoint_without_words_reads_with_the_first_ones() {
    let bare = copy("chat-llama");
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::remove_file(bare.path().join(name)).unwrap();
    }
    let bare = CheckpointAt { step: 5, model: bare.path().into(), adapter: None };
    let series = vec![at(0, "chat-llama", None), bare.clone()];
    let mut walk = Walk::new(series, options(), false).unwrap();
    let first = walk.advance().unwrap().unwrap().1.words().sha256().unwrap();
    let (_, second) = walk.advance().unwrap().unwrap();
    assert_eq!(second.words().sha256().unwrap(), first);
    // Twin: alone, there are none to take.
    let mut walk = Walk::new(vec![bare], options(), false).unwrap();
    assert!(!walk.advance().unwrap().unwrap().1.words().has_tokenizer());
}
