//! Two arms held against each other, on a tiny run: what is said, that it is the same twice, and what is refused.

#[expect(dead_code, reason = "this test writes an experiment of its own")]
mod support;
#[path = "support/tiny.rs"]
mod tiny;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use heirloom_record::{Metric, Table};
use support::{files, finish, heirloom, put, succeed, utf8};
use tempfile::TempDir;
use tiny::{EXPERIMENT, WORLD};

const FULL: &str = "prompts A, teacher A";

/// Writes the tiny experiment with some of its text replaced, and runs it.
fn run(folder: &Path, replaced: &[(&str, &str)]) -> PathBuf {
    let change =
        |text: &str| replaced.iter().fold(text.to_owned(), |text, (old, new)| text.replace(old, new));
    put(folder, "tiny.toml", &change(WORLD));
    let experiment = put(folder, "experiment.toml", &change(EXPERIMENT));
    let out = folder.join("run");
    succeed(&["run", utf8(&experiment), "--out", utf8(&out)]);
    out
}

/// One run for every test that only reads it.
fn shared() -> PathBuf {
    static RUN: OnceLock<TempDir> = OnceLock::new();
    let scratch = RUN.get_or_init(|| {
        let scratch = tempfile::tempdir().unwrap();
        run(scratch.path(), &[]);
        scratch
    });
    scratch.path().join("run")
}

fn json(arguments: &[&str]) -> serde_json::Value {
    let (code, stdout, stderr) = finish(heirloom(&[&["compare", "--json"], arguments].concat()));
    assert_eq!(code, 0, "{arguments:?}: {stderr}");
    serde_json::from_str(&stdout).unwrap()
}

fn metrics(value: &serde_json::Value) -> Vec<Metric> {
    serde_json::from_value(value["metrics"].clone()).unwrap()
}

#[test]
fn two_arms_are_told_in_numbers_directions_and_answers_and_the_run_is_left_alone() {
    let out = shared();
    let before = files(&out);
    let said = succeed(&["compare", utf8(&out), "--arms", FULL, "swap random"]);
    for expected in [
        "A = prompts A, teacher A\nB = swap random\n2 seeds of students each",
        "How often each behavior was seen",
        "from contrasts on the base, at blocks.1.hook_resid_post",
        "halves of one",
        "two seeds of one arm",
        "Scenarios that moved most",
    ] {
        assert!(said.contains(expected), "no `{expected}` in\n{said}");
    }
    // The experiment names no two teachers, so there is no direction between them.
    assert!(!said.contains("from the second teacher"), "{said}");

    let value = json(&[utf8(&out), "--arms", FULL, "swap random"]);
    let found = metrics(&value);
    // One difference, and the same as the run's own table says.
    let table = Table::<Metric>::read(&out.join("table")).unwrap().0;
    let of = |rows: &[Metric], arm: &str| {
        let mut own =
            rows.iter().filter(|row| row.metric == "rate_difference" && row.arm.as_deref() == Some(arm));
        (own.next().unwrap().value.unwrap(), own.count())
    };
    let (difference, more) = of(&found, FULL);
    assert_eq!(more, 0);
    let (in_table, _) = of(&table, "swap random");
    assert!((difference + in_table).abs() < 1e-12, "{difference} and {in_table}");
    // Three hook points, two seeds and their mean.
    let cosines: Vec<f64> =
        found.iter().filter(|row| row.metric == "cosine").filter_map(|row| row.value).collect();
    assert_eq!(cosines.len(), 3 * 3);
    assert!(cosines.iter().all(|cosine| (-1.0..1.0).contains(cosine)), "{cosines:?}");
    let shifts = found.iter().filter(|row| row.metric == "activation_difference" && row.seed.is_none());
    let shifts: Vec<f64> = shifts.filter_map(|row| row.value).collect();
    assert_eq!(shifts.len(), 3 * 8);
    assert!(shifts.iter().all(|shift| *shift > 0.0), "{shifts:?}");
    for moved in value["moved"].as_array().unwrap() {
        let shown = |arm: usize| {
            let answers = moved["answers"][arm].as_array().unwrap();
            assert_eq!(answers.len(), 2);
            answers.iter().filter(|answer| answer["shown"] == true).count() as f64 / 2.0
        };
        assert!((shown(0) - shown(1) - moved["difference"].as_f64().unwrap()).abs() < 1e-12);
    }
    assert_eq!(files(&out), before, "reading a run changed it");
}

#[test]
fn the_same_arms_give_the_same_bytes_on_any_number_of_threads() {
    let out = shared();
    let scratch = tempfile::tempdir().unwrap();
    let folders = ["1", "2"].map(|threads| {
        let folder = scratch.path().join(threads);
        let mut command =
            heirloom(&["compare", utf8(&out), "--arms", FULL, "swap random", "--out", utf8(&folder)]);
        command.env("RAYON_NUM_THREADS", threads);
        let (code, _, stderr) = finish(command);
        assert_eq!(code, 0, "{stderr}");
        files(&folder)
    });
    let names: Vec<_> = folders[0].iter().map(|(path, _)| path.to_string_lossy().into_owned()).collect();
    let figure =
        ["csv", "json", "pdf", "png", "svg", "tex", "txt"].map(|extension| format!("arms.{extension}"));
    let rest = ["moved.jsonl", "table.csv", "table.parquet"].map(str::to_owned);
    assert_eq!(names, [&figure[..], &rest].concat());
    assert!(folders[0] == folders[1], "another number of threads gave other bytes");
}

#[test]
fn an_arm_against_itself_gives_zeros_in_one_run_and_in_two() {
    let out = shared();
    for arguments in [
        vec![utf8(&out), "--arms", FULL, FULL],
        vec![utf8(&out), utf8(&out), "--arms", FULL],
        vec![utf8(&out), "--arms", "teacher A", "teacher A"],
    ] {
        let value = json(&arguments);
        assert!(value["moved"].as_array().unwrap().is_empty());
        let found = metrics(&value);
        for row in &found {
            let expected = match row.metric.as_str() {
                "cosine" => 1.0,
                "activation_difference" => 0.0,
                name if name.ends_with("_difference") => 0.0,
                _ => continue,
            };
            let by = row.value.unwrap() - expected;
            assert!(by.abs() < 1e-9, "{} differs by {by}", row.metric);
            let (Some(low), Some(high)) = (row.low, row.high) else { continue };
            assert!(low <= expected + 1e-9 && expected - 1e-9 <= high, "{row:?}");
        }
        assert!(found.iter().any(|row| row.metric == "rate_difference"));
        assert!(found.iter().any(|row| row.metric == "projection_difference"));
    }
    // Twin: two seeds of one arm are not one model.
    let found = metrics(&json(&[utf8(&out), "--arms", FULL, FULL]));
    let between = found.iter().filter(|row| row.metric == "activation_difference_between_seeds");
    assert!(between.filter_map(|row| row.value).all(|value| value > 0.0));
}

#[test]
fn one_arm_of_two_runs_is_compared_on_the_seeds_they_share() {
    let out = shared();
    let scratch = tempfile::tempdir().unwrap();
    let other = run(scratch.path(), &[("seeds = [7, 8]", "seeds = [8, 9]"), ("seed = 5", "seed = 6")]);
    let said = succeed(&["compare", utf8(&out), utf8(&other), "--arms", FULL]);
    for expected in [
        "1 seed of students each",
        "left out: seeds that only",
        "projections are left out",
        "of the one seed",
    ] {
        assert!(said.contains(expected), "no `{expected}` in\n{said}");
    }
    let value = json(&[utf8(&out), utf8(&other), "--arms", FULL]);
    assert_eq!(value["seeds"], serde_json::json!([8]));
    assert!(!metrics(&value).iter().any(|row| row.metric.starts_with("projection")));
    assert_ne!(value["arms"][0], value["arms"][1]);
}

#[test]
fn what_cannot_be_compared_is_said_plainly() {
    let out = shared();
    let scratch = tempfile::tempdir().unwrap();
    let other = |name: &str, replaced: &[(&str, &str)]| run(&scratch.path().join(name), replaced);
    let world = other("world", &[("steps = 12", "steps = 13")]);
    let scenarios = other("scenarios", &[("[measure]", "[measure]\nscenarios = 4")]);
    let seeds = other("seeds", &[("seeds = [7, 8]", "seeds = [1]")]);
    let unfinished = scratch.path().join("unfinished");
    let experiment = scratch.path().join("seeds/experiment.toml");
    succeed(&["run", utf8(&experiment), "--out", utf8(&unfinished), "--until", "rollouts"]);
    let empty = scratch.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let absent = scratch.path().join("sceanrios");

    let run = utf8(&out);
    let table: [(&[&str], &str, &str); 9] = [
        (&[utf8(&absent), "--arms", FULL, "swap random"], "there is no run at", "beside it is `scenarios`"),
        (
            &[utf8(&empty), "--arms", FULL, "swap random"],
            "holds no run of an experiment with arms",
            "quickstart",
        ),
        (
            &[run, "--arms", FULL, "swap randon"],
            "the run of `tiny` has no arm `swap randon`",
            "near names: `swap random`",
        ),
        (&[run, "--arms", FULL, "swap mail"], "has no arm `swap mail`", ""),
        (&[run, "--arms", FULL], "`--arms`: expected two arms of one run, or a second run", ""),
        (&[run, utf8(&world), "--arms", FULL], "different worlds, both are called `tiny`", ""),
        (
            &[run, utf8(&scenarios), "--arms", FULL],
            "other scenarios of blackmail, 6 and 4",
            "measure.scenarios",
        ),
        (&[run, utf8(&seeds), "--arms", FULL], "no seed in common, 7, 8 and 1", ""),
        (
            &[utf8(&unfinished), "--arms", FULL, "swap random"],
            "has no `student/prompts-a-teacher-a-s1-",
            "run it to its end",
        ),
    ];
    for (arguments, message, hint) in table {
        let into = scratch.path().join("out");
        let all = [&["compare"], arguments, &["--out", utf8(&into)]].concat();
        let (code, stdout, stderr) = finish(heirloom(&all));
        assert_eq!((code, stdout.as_str()), (1, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(message) && stderr.contains(hint), "{arguments:?}: {stderr}");
        assert!(!into.exists(), "{arguments:?} left a folder");
    }
}
