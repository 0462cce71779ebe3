//! The whole pipeline on a tiny model: run once, run again, killed and resumed.

mod support;

use std::time::{Duration, Instant};

use heirloom_record::{Metric, Table};
use support::{files, finish, heirloom, succeed, utf8, write_experiment};

#[test]
fn a_run_finds_what_was_planted_and_says_so() {
    let scratch = tempfile::tempdir().unwrap();
    let experiment = write_experiment(scratch.path());
    let out = scratch.path().join("run");
    let said = succeed(&["run", utf8(&experiment), "--out", utf8(&out)]);
    assert!(said.contains("zeal") && said.contains("query"), "{said}");

    let table = Table::<Metric>::read(&out.join("table")).unwrap().0;
    let of = |metric: &str, behavior: &str| {
        let found = table.iter().find(|row| {
            row.metric == metric
                && row.behavior == behavior
                && row.method.as_deref().is_none_or(|m| m == "dom")
        });
        found.unwrap_or_else(|| panic!("no `{metric}` of `{behavior}`")).clone()
    };
    for behavior in ["zeal", "query"] {
        let found = of("auroc_at_chosen_layer", behavior);
        assert!(found.value > Some(0.95) && found.low > Some(0.5), "what was planted is found: {found:?}");
        // Words were planted, so the embedding finds them as well as any block.
        let gain = of("auroc_gain_over_words", behavior);
        assert!(gain.value.unwrap().abs() < 0.05, "no gain over words: {gain:?}");
    }
    // Twin: where nothing was planted, chance is inside the interval.
    let absent = of("auroc_at_chosen_layer", "nothing");
    assert!(absent.low < Some(0.5) && absent.high > Some(0.5), "{absent:?}");
    for name in ["auroc-by-layer.svg", "auroc-by-layer.png", "score-histograms.svg", "transfer-behaviors.svg"]
    {
        assert!(out.join("figures").join(name).is_file(), "{name}");
    }
}

#[test]
fn a_second_run_keeps_everything_and_changes_no_byte() {
    let scratch = tempfile::tempdir().unwrap();
    let experiment = write_experiment(scratch.path());
    let out = scratch.path().join("run");
    succeed(&["run", utf8(&experiment), "--out", utf8(&out)]);
    let first = files(&out);
    let (code, _, stderr) = finish(heirloom(&["run", utf8(&experiment), "--out", utf8(&out)]));
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(stderr.matches("kept from an earlier run").count(), 6 + 3 + 1, "{stderr}");
    assert_eq!(files(&out), first);
}

#[test]
fn a_run_killed_at_any_moment_resumes_to_the_same_bytes() {
    let scratch = tempfile::tempdir().unwrap();
    let experiment = write_experiment(scratch.path());
    let whole = scratch.path().join("whole");
    let start = Instant::now();
    succeed(&["run", utf8(&experiment), "--out", utf8(&whole)]);
    let took = start.elapsed();

    let broken = scratch.path().join("broken");
    let arguments = ["run", utf8(&experiment), "--out", utf8(&broken)];
    let mut killed = 0;
    for share in 1..=10 {
        let mut child = heirloom(&arguments).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(took.mul_f64(f64::from(share) / 14.0) + Duration::from_millis(5));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(killed > 0, "every run ended before it was killed");
    succeed(&arguments);
    assert_eq!(files(&broken), files(&whole));
}

#[test]
fn a_plan_says_what_would_run_and_writes_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let experiment = write_experiment(scratch.path());
    let out = scratch.path().join("run");
    let said = succeed(&["run", utf8(&experiment), "--out", utf8(&out), "--plan"]);
    for expected in ["zeal-pairs", "48 rows", "tokens", "disk", "memory", "time"] {
        assert!(said.contains(expected), "no `{expected}` in\n{said}");
    }
    assert!(!out.exists());
    let json = succeed(&["run", utf8(&experiment), "--out", utf8(&out), "--plan", "--json"]);
    let plan: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(plan["stores"].as_array().unwrap().len(), 6);
}

#[test]
fn another_experiments_folder_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let experiment = write_experiment(scratch.path());
    let out = scratch.path().join("run");
    succeed(&["run", utf8(&experiment), "--out", utf8(&out), "--only", "capture"]);
    let text = std::fs::read_to_string(&experiment).unwrap().replace("\"tiny\"", "\"other\"");
    let other = support::put(scratch.path(), "other.toml", &text);
    let before = files(&out);
    let (code, _, stderr) = finish(heirloom(&["run", utf8(&other), "--out", utf8(&out)]));
    assert_eq!(code, 1);
    assert!(stderr.contains("holds a run of `tiny`, not of `other`") && stderr.contains("hint:"), "{stderr}");
    assert_eq!(files(&out), before);
}
