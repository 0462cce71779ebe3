//! Trainings on disk: killed anywhere and resumed, they leave the same bytes.

use std::collections::BTreeMap;
use std::path::Path;

use heirloom_model::{
    Length, Lora, Series, Source, Student, TrainOptions, TrainReport, TrainRow, Watch, Watched, series,
};

use crate::support::{block, options, see_all, student};
use crate::train::{Notes, random_rows, weights};

/// Every file under a folder with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            all.extend(files(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            all.insert(name, std::fs::read(&path).unwrap());
        }
    }
    all
}

fn rows() -> Vec<TrainRow> {
    random_rows(18, 97)
}

fn settings(lora: bool) -> TrainOptions {
    let targets = ["q_proj", "v_proj", "down_proj"].map(String::from).to_vec();
    TrainOptions {
        batch_rows: 4,
        accumulate: 2,
        length: Length::Steps(11),
        lr: 1e-2,
        checkpoints: vec![0, 1, 2, 4, 7],
        lora: lora.then_some(Lora { rank: 3, alpha: 6.0, targets, ..Lora::default() }),
        ..TrainOptions::default()
    }
}

fn notes(dies_at: Option<usize>) -> Notes {
    let direction = (0..32).map(|i| (i % 5) as f32 - 2.0).collect();
    let directions = vec![Watched { name: "d".into(), point: block(1, "hook_resid_post"), direction }];
    let rows = vec![heirloom_model::TokenRow::from_ids("a", vec![3, 4, 5])];
    Notes { watches: vec![Watch { every: 3, rows, directions }], dies_at, ..Notes::default() }
}

#[test]
fn killed_anywhere_and_resumed_it_leaves_the_same_bytes() {
    for lora in [false, true] {
        let scratch = tempfile::tempdir().unwrap();
        let whole = scratch.path().join("whole");
        let mut student = student("llama-gqa");
        let report = student.train_to(&whole, &rows(), &settings(lora), &mut notes(None)).unwrap();
        assert_eq!((report.steps, report.resumed_from), (11, None));
        let whole_report = report;
        let expected = files(&whole);
        let checkpoints: Vec<usize> =
            series(&Series::Folder(whole.clone()), true).unwrap().into_iter().map(|(step, _)| step).collect();
        assert_eq!(checkpoints, [0, 1, 2, 4, 7, 11]);
        for deaths in [vec![1], vec![3], vec![6, 8], vec![2, 3, 5, 10, 11]] {
            let killed = scratch.path().join(format!("killed {deaths:?}"));
            for death in &deaths {
                let mut student = crate::support::student("llama-gqa");
                let error = student.train_to(&killed, &rows(), &settings(lora), &mut notes(Some(*death)));
                assert!(error.is_err());
                assert_ne!(files(&killed), expected);
            }
            let mut resumed = crate::support::student("llama-gqa");
            let report = resumed.train_to(&killed, &rows(), &settings(lora), &mut notes(None)).unwrap();
            let last = deaths.last().unwrap() - 1;
            let told = |report: &TrainReport| (report.steps, report.tokens, report.first_loss.to_bits());
            assert_eq!(told(&report), told(&whole_report));
            assert_eq!(report.resumed_from, checkpoints.iter().copied().filter(|step| *step <= last).max());
            let found = files(&killed);
            assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
            for (name, bytes) in &found {
                assert!(*bytes == expected[name], "{name} differs after {deaths:?}");
            }
            assert_eq!(weights(&resumed), weights(&student));
        }
        // One that is done is done.
        let mut again = crate::support::student("llama-gqa");
        let mut seen = notes(None);
        let report = again.train_to(&whole, &rows(), &settings(lora), &mut seen).unwrap();
        assert_eq!((report.resumed_from, seen.log.len()), (Some(11), 0));
        assert_eq!(weights(&again), weights(&student));
        assert_eq!(files(&whole), expected);
    }
}

#[test]
fn checkpoints_are_students() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    let (mut trained, mut seen) = (student("llama-gqa"), notes(None));
    trained.train_to(&folder, &rows(), &settings(false), &mut seen).unwrap();
    for (step, path) in series(&Series::Folder(folder.clone()), true).unwrap() {
        let (_, sha256) = seen.hashes.iter().find(|(found, _)| *found == step).unwrap();
        assert_eq!(Source::open(&path).unwrap().sha256().unwrap(), *sha256, "{step}");
    }
    let read = [heirloom_model::TokenRow::from_ids("a", vec![3, 4, 5])];
    let last = Student::load(&folder.join("checkpoint-11"), &options()).unwrap();
    assert_eq!(see_all(&last, &read), see_all(&trained, &read));
    let log = std::fs::read_to_string(folder.join("log.jsonl")).unwrap();
    let steps: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(steps.len(), 11);
    let keys: Vec<&String> = steps[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["step", "epoch", "loss", "lr", "grad_norm", "rows", "tokens", "loss_tokens"]);
    let lines = std::fs::read_to_string(folder.join("projections.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 5);
}

#[test]
fn another_training_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    student("llama-gqa").train_to(&folder, &rows(), &settings(false), &mut ()).unwrap();
    let before = files(&folder);
    let refuse = |name: &str, rows: &[TrainRow], options: TrainOptions, text: &str| {
        let error = student(name).train_to(&folder, rows, &options, &mut ()).unwrap_err();
        assert!(error.to_string().ends_with(text), "{error}");
        assert_eq!(files(&folder), before);
    };
    refuse("llama-gqa", &rows(), TrainOptions { lr: 2e-2, ..settings(false) }, "its `lr` is 0.01, not 0.02");
    refuse("llama-gqa", &rows()[1..], settings(false), "its `rows` is 18, not 17");
    refuse(
        "llama-linear-rope",
        &rows(),
        settings(false),
        "its `base` is \"llama-gqa\", not \"llama-linear-rope\"",
    );
    // A log that lost lines is no log of the checkpoint.
    let log = std::fs::read_to_string(folder.join("log.jsonl")).unwrap();
    std::fs::write(folder.join("log.jsonl"), log.split_once('\n').unwrap().1).unwrap();
    let error = student("llama-gqa").train_to(&folder, &rows(), &settings(false), &mut ()).unwrap_err();
    assert!(error.to_string().ends_with("expected a line for each of 11 steps, found 10"), "{error}");
    // What cannot be trained leaves no folder.
    let unborn = scratch.path().join("unborn");
    let late = TrainOptions { checkpoints: vec![12], ..settings(false) };
    student("llama-gqa").train_to(&unborn, &rows(), &late, &mut ()).unwrap_err();
    assert!(!unborn.exists());
    let other = scratch.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("thesis.tex"), "years of work").unwrap();
    let error = student("llama-gqa").train_to(&other, &rows(), &settings(false), &mut ()).unwrap_err();
    assert!(error.to_string().ends_with("is a folder with files in it"), "{error}");
}

#[test]
fn a_training_that_fails_keeps_its_last_checkpoint() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    let wild = TrainOptions { lr: 1e30, warmup: 0.0, clip: None, ..settings(false) };
    let error = student("llama-gqa").train_to(&folder, &rows(), &wild, &mut ()).unwrap_err();
    assert!(matches!(error, heirloom_model::Error::Diverged { .. }), "{error}");
    let kept = series(&Series::Folder(folder), true).unwrap();
    assert_eq!(kept[0].0, 0);
    Student::load(&kept[0].1, &options()).unwrap();
}

#[test]
fn a_series_is_found_sorted_and_whole() {
    let scratch = tempfile::tempdir().unwrap();
    let make = |run: &str, steps: &[usize]| {
        for step in steps {
            std::fs::create_dir_all(scratch.path().join(run).join(format!("checkpoint-{step}"))).unwrap();
        }
        scratch.path().join(run)
    };
    let even = make("even", &[1000, 200, 400, 600, 800]);
    std::fs::create_dir(even.join("logs")).unwrap();
    std::fs::write(even.join("checkpoint-5"), "a file").unwrap();
    let steps =
        |at: Series| series(&at, false).map(|all| all.into_iter().map(|(step, _)| step).collect::<Vec<_>>());
    assert_eq!(steps(Series::Folder(even.clone())).unwrap(), [200, 400, 600, 800, 1000]);
    let pattern = format!("{}/checkpoint-*", even.display());
    assert_eq!(steps(Series::Glob(pattern)).unwrap(), [200, 400, 600, 800, 1000]);
    let gap = make("gap", &[100, 200, 400, 500, 600]);
    let error = steps(Series::Folder(gap.clone())).unwrap_err();
    assert_eq!(error.to_string(), "the series has a checkpoint every 100 steps but lacks 300");
    assert_eq!(series(&Series::Folder(gap.clone()), true).unwrap().len(), 5);
    let twice = vec![gap.join("checkpoint-100"), even.join("checkpoint-100")];
    let error = steps(Series::List(twice)).unwrap_err().to_string();
    assert!(error.starts_with("step 100 is there twice: `"), "{error}");
    let error = steps(Series::List(vec![even.join("logs")])).unwrap_err().to_string();
    assert!(error.contains("logs` says no step: expected a name such as"), "{error}");
    let error = steps(Series::Glob(format!("{}/nothing-*", even.display()))).unwrap_err().to_string();
    assert!(error.contains("holds no checkpoints"), "{error}");
}
