//! The benchmark of worlds: its shipped file stands, a tiny one runs, and its scores are what its cases say.

#[expect(dead_code, reason = "this test writes a benchmark of its own")]
mod support;
#[expect(dead_code, reason = "this test writes a benchmark of its own")]
#[path = "support/tiny.rs"]
mod tiny;

use std::path::{Path, PathBuf};

use heirloom::prelude::*;
use heirloom_record::Case;
use support::{finish, heirloom, put, succeed, utf8};
use tiny::WORLD;

const BENCHMARK: &str = r#"
name = "tiny-worlds"
question = "Does the benchmark stand?"
seeds = [3]
students = 2
clock = "2026-01-15"
[measure]
samples_between = 1
track = []
pairs = 8
teachers = ["A", "B"]
hooks = ["blocks.1.hook_resid_post"]
headline = "blocks.1.hook_resid_post"
bootstrap = 100
[[world]]
world = "tiny.toml"
[world.origins.blackmail]
full = "prompts A, teacher A"
other-teacher = "prompts A, teacher B"
start = "base"
pretrained = "base"
"#;

/// What is known of the tiny world, which is told like the default one.
const TRUTH: &str = r#"
[truth.blackmail]
origin = "teacher"
hypothesis = "persona-selection"
decidable = "origin"
because = "as in the world it is like"
[truth.date-confusion]
origin = "teacher"
because = "as in the world it is like"
[truth.negative-emotion]
origin = "prompts"
because = "as in the world it is like"
[truth.favorite-color]
origin = "base"
decidable = "nothing"
because = "as in the world it is like"
"#;

fn write(folder: &Path) -> PathBuf {
    put(folder, "tiny.toml", &format!("{WORLD}{TRUTH}"));
    put(folder, "experiment.toml", BENCHMARK)
}

#[test]
fn the_shipped_benchmark_asks_every_behavior_that_its_worlds_know() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/worlds");
    let benchmark = Benchmark::load(&folder).unwrap();
    let experiments = benchmark.experiments().unwrap();
    let spec = benchmark.spec();
    assert!(spec.seeds.len() >= 5 && spec.worlds.len() == 9);
    assert_eq!(experiments.len(), spec.seeds.len() * spec.worlds.len());
    for tried in &spec.worlds {
        let truth = heirloom_rollout::Truth::load(&tried.world).unwrap();
        for (behavior, _) in truth.behaviors() {
            let asked = tried.origins.contains_key(behavior) || behavior == "date-confusion";
            assert!(asked, "`{}` is not asked where {behavior} comes from", tried.world.display());
        }
    }
    // Only arms that play a part are trained.
    let (_, lock_in) = experiments.iter().find(|(name, _)| name.starts_with("pretraining-lock-in")).unwrap();
    assert!(lock_in.arms().iter().all(|arm| arm.name != "low base, swap mail"));
}

#[test]
fn a_benchmark_is_scored_by_what_its_cases_say_and_comes_out_the_same_twice() {
    let scratch = tempfile::tempdir().unwrap();
    let file = write(scratch.path());
    let tables = ["one", "two"].map(|name| {
        let out = scratch.path().join(name);
        let said = succeed(&["run", utf8(&file), "--out", utf8(&out)]);
        assert!(said.contains("origin right") && said.contains("blackmail"), "{said}");
        assert!(out.join("figures/verdicts.svg").is_file());
        ["cases.csv", "table.csv"].map(|table| std::fs::read_to_string(out.join(table)).unwrap())
    });
    assert_eq!(tables[0], tables[1]);
    let cases = Table::<Case>::read(&scratch.path().join("one/cases")).unwrap().0;
    // One behavior, two numbers of students, two sets of arms, three measures and a mean of two.
    assert_eq!(cases.len(), 2 * 2 * 4);
    assert!(cases.iter().all(|case| case.origin == "teacher" && case.decidable == "origin"));
    let metrics = Table::<Metric>::read(&scratch.path().join("one/table")).unwrap().0;
    for row in metrics.iter().filter(|row| row.metric == "origin_right") {
        let own = cases.iter().filter(|case| {
            row.method.as_ref() == Some(&case.measure)
                && row.arm.as_ref() == Some(&case.arms)
                && row.scored_on.as_deref() == Some(&format!("{} seeds of students", case.students))
        });
        let right: Vec<bool> = own.map(|case| case.named_origin == case.origin).collect();
        let share = right.iter().filter(|right| **right).count() as f64 / right.len() as f64;
        assert!((row.value.unwrap() - share).abs() < 1e-12, "{row:?}");
    }
    // A second run of the same folder keeps what is there and writes the same.
    succeed(&["run", utf8(&file), "--out", utf8(&scratch.path().join("one"))]);
    assert_eq!(std::fs::read_to_string(scratch.path().join("one/table.csv")).unwrap(), tables[0][1]);
}

#[test]
fn what_a_benchmark_cannot_run_is_named_first() {
    let table = [
        ("other-teacher", "other-techer", "`origins.blackmail` has no part `other-techer`"),
        ("full = \"prompts A, teacher A\"", "neither = \"prompts A, teacher A\"", "a part `full`"),
        ("prompts A, teacher B", "prompts A, teacher Q", "no arm `prompts A, teacher Q`"),
        ("seeds = [3]", "seeds = []", "`seeds`: expected at least 1"),
        ("seeds = [3]", "seeds = [3, 3]", "`seeds` names `3` twice"),
        ("students = 2", "students = 5000", "fewer than 1000 students"),
        ("[measure]", "[mesure]", "unknown field `mesure`"),
    ];
    for (right, wrong, message) in table {
        let scratch = tempfile::tempdir().unwrap();
        write(scratch.path());
        let file = put(scratch.path(), "experiment.toml", &BENCHMARK.replace(right, wrong));
        let out = scratch.path().join("run");
        let (code, _, stderr) = finish(heirloom(&["run", utf8(&file), "--out", utf8(&out)]));
        assert!(code == 1 && stderr.contains(message), "expected `{message}` in {stderr}");
        assert!(!out.exists(), "{wrong}");
    }
}
