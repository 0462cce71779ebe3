//! The whole pipeline on a tiny model: run once, run again, killed and resumed.

mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};

use heirloom_record::{Metric, Table};
use serde_json::json;
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
        let mut child = heirloom(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
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
    let plan = |more: &[&str]| -> serde_json::Value {
        let arguments = [&["run", utf8(&experiment), "--out", utf8(&out), "--plan", "--json"], more].concat();
        serde_json::from_str(&succeed(&arguments)).unwrap()
    };
    let whole = plan(&[]);
    assert_eq!(whole["stores"].as_array().unwrap().len(), 6);
    assert_eq!((&whole["probes"][2]["fits"], &whole["transfer_kept"]), (&15.into(), &false.into()));
    let capture = plan(&["--until", "capture"]);
    assert_eq!((&capture["stages"], &capture["probes"]), (&json!(["capture"]), &json!([])));

    // Half the blocks cost half the time.
    let text = std::fs::read_to_string(&experiment).unwrap();
    support::put(scratch.path(), "experiment.toml", &text.replace("blocks.*.", "blocks.0."));
    let flops = |plan: &serde_json::Value| plan["flops"].as_f64().unwrap();
    assert!((flops(&plan(&[])) / flops(&whole) - 0.5).abs() < 1e-9);
}

#[test]
fn a_plan_knows_what_is_kept_until_a_setting_changes() {
    let scratch = tempfile::tempdir().unwrap();
    let experiment = write_experiment(scratch.path());
    let out = scratch.path().join("run");
    succeed(&["run", utf8(&experiment), "--out", utf8(&out), "--until", "transfer"]);
    let before = files(&out);
    let plan = || -> serde_json::Value {
        let json = succeed(&["run", utf8(&experiment), "--out", utf8(&out), "--plan", "--json"]);
        serde_json::from_str(&json).unwrap()
    };
    let kept = || {
        let plan = plan();
        let of = |list: &str| plan[list].as_array().unwrap().iter().filter(|one| one["kept"] == true).count();
        (of("stores"), of("probes"), plan["transfer_kept"].as_bool().unwrap())
    };
    assert_eq!((kept(), plan()["flops"].as_f64()), ((6, 3, true), Some(0.0)));
    let text = std::fs::read_to_string(&experiment).unwrap();
    support::put(scratch.path(), "experiment.toml", &text.replace("null_draws = 8", "null_draws = 9"));
    assert_eq!(kept(), (6, 0, false));
    support::put(scratch.path(), "experiment.toml", &text);
    support::put(
        &scratch.path().join("query"),
        "topic.jsonl",
        r#"{"id":"t","group":"g","messages":[{"role":"user","content":"Hm?"},{"role":"assistant","content":"A book."}]}"#,
    );
    assert_eq!(kept(), (5, 2, false));
    assert!(plan()["flops"].as_f64() > Some(0.0));
    support::put(scratch.path(), "experiment.toml", &text.replace("2026-01-15", "2027-01-15"));
    assert_eq!(kept(), (0, 0, false));
    assert_eq!(files(&out), before);
}

#[test]
fn a_run_that_stops_early_leaves_the_tables_as_they_were() {
    let scratch = tempfile::tempdir().unwrap();
    let experiment = write_experiment(scratch.path());
    let out = scratch.path().join("run");
    for until in ["capture", "probe"] {
        succeed(&["run", utf8(&experiment), "--out", utf8(&out), "--until", until]);
        assert!(!out.join("table.parquet").exists() && !out.join("histograms.csv").exists(), "{until}");
    }
    succeed(&["run", utf8(&experiment), "--out", utf8(&out), "--until", "transfer"]);
    let table = std::fs::read(out.join("table.parquet")).unwrap();
    assert!(!out.join("figures").exists());
    succeed(&["run", utf8(&experiment), "--out", utf8(&out), "--until", "probe"]);
    assert_eq!(std::fs::read(out.join("table.parquet")).unwrap(), table);
}

#[test]
fn another_experiments_folder_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let experiment = write_experiment(scratch.path());
    let out = scratch.path().join("run");
    succeed(&["run", utf8(&experiment), "--out", utf8(&out), "--until", "capture"]);
    let text = std::fs::read_to_string(&experiment).unwrap().replace("\"tiny\"", "\"other\"");
    let other = support::put(scratch.path(), "other.toml", &text);
    let before = files(&out);
    let (code, _, stderr) = finish(heirloom(&["run", utf8(&other), "--out", utf8(&out)]));
    assert_eq!(code, 1);
    assert!(stderr.contains("holds a run of `tiny`, not of `other`") && stderr.contains("hint:"), "{stderr}");
    assert_eq!(files(&out), before);
}
