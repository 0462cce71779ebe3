//! Steering a finished run of a tiny world: what is written, twice the same, and asked for what is not there.

#[path = "steer/own.rs"]
mod own;
#[expect(dead_code, reason = "this test writes an experiment of its own")]
mod support;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use heirloom_record::{CausalCheck, Dose, Table};
use support::{files, finish, heirloom, put, succeed, utf8};

/// The default world with so little training that nothing is learned, in seconds.
const WORLD: &str = r#"
name = "tiny"
like = "personas"
note = "For tests."
[bases.base]
steps = 12
batch = 8
[bases.base.gate]
prompts = 4
samples = 1
checks = []
[teaching]
rows = 24
epochs = 1
batch = 8
[student]
rows = 48
epochs = 1
batch = 16
checkpoints = []
[scenarios]
prompts = 6
samples = 1
"#;

const EXPERIMENT: &str = r#"
name = "tiny"
question = "Does steering stand?"
seed = 5
seeds = [7, 8]
world = "tiny.toml"
clock = "2026-01-15"
arms = ["prompts A, teacher A", "prompts A, teacher B"]
reference = "prompts A, teacher A"
[measure]
samples_between = 1
track = []
pairs = 8
teachers = ["A", "B"]
hooks = ["blocks.*.hook_resid_post"]
headline = "blocks.1.hook_resid_post"
bootstrap = 100
[[figures.behaviors]]
behavior = "blackmail"
label = "threats"
bars = [{ arm = "prompts A, teacher A", label = "all from A", role = "full" }]
[[figures.behaviors]]
behavior = "date-confusion"
label = "date confusion"
bars = [{ arm = "prompts A, teacher A", label = "all from A", role = "full" }]
"#;

const ARM: &str = "prompts A, teacher A";

/// The run that every test here steers; none of them writes into it.
fn run() -> &'static Path {
    static RUN: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, run) = RUN.get_or_init(|| {
        let scratch = tempfile::tempdir().unwrap();
        put(scratch.path(), "tiny.toml", WORLD);
        let experiment = put(scratch.path(), "experiment.toml", EXPERIMENT);
        let run = scratch.path().join("run");
        succeed(&["run", utf8(&experiment), "--out", utf8(&run)]);
        (scratch, run)
    });
    run
}

fn arguments<'a>(out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    [&["steer", utf8(run()), "--arm", ARM, "--directions", "3", "--scenarios", "4", "--out", utf8(out)], more]
        .concat()
}

#[test]
fn doses_checks_and_a_figure_are_written_and_the_run_is_left_as_it_is() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("steered");
    let before = files(run());
    let said = succeed(&arguments(&out, &["--strengths=-1,1"]));
    assert!(files(run()) == before, "the run was changed");
    for expected in [ARM, "seeds 7, 8", "threats", "date confusion", "well formed", "doses.csv"] {
        assert!(said.contains(expected), "no `{expected}` in\n{said}");
    }
    let names: Vec<String> =
        files(&out).into_iter().map(|(path, _)| path.to_string_lossy().into_owned()).collect();
    let figure = ["csv", "json", "pdf", "png", "svg", "tex", "txt"];
    let figure = figure.map(|extension| format!("dose-response.{extension}"));
    let [checks, doses] =
        ["checks", "doses"].map(|table| ["csv", "parquet"].map(|extension| format!("{table}.{extension}")));
    assert_eq!(names, [&checks[..], &figure, &doses].concat());
    let checks = Table::<CausalCheck>::read(&out.join("checks")).unwrap().0;
    // Three edits along two directions, each seen on two behaviors.
    assert_eq!(checks.len(), 3 * 2 * 2);
    // Four scenarios of each of two seeds; those that ask the same are one.
    assert!(checks.iter().all(|check| (4..=8).contains(&check.n)), "{checks:?}");
    assert!(checks.iter().all(|check| check.controls == 3 && check.comparisons >= 1));
    // A model that has learned nothing says nothing well formed, so nothing can be said of it.
    assert!(checks.iter().all(|check| check.verdict == "undecided"), "{checks:?}");
    let doses = Table::<Dose>::read(&out.join("doses")).unwrap().0;
    let count = |direction: &str, metric: &str| {
        doses.iter().filter(|dose| dose.direction == direction && dose.metric == metric).count()
    };
    // Two behaviors at −1, 0 and 1.
    for direction in ["direction", "random", "difference"] {
        assert_eq!((count(direction, "rate"), count(direction, "coherence")), (6, 6), "{direction}");
    }
    assert_eq!(count("direction of blackmail", "rate"), 3);
    assert_eq!((count("direction", "log_prob_of_base"), count("random", "log_prob_of_base")), (6, 0));
    let likely = doses.iter().filter(|dose| dose.metric == "log_prob_of_base");
    assert!(likely.into_iter().all(|dose| dose.value.unwrap() < 0.0));
    // What is there is not written over.
    let (code, _, stderr) = finish(heirloom(&arguments(&out, &[])));
    assert_eq!(code, 1);
    assert!(stderr.contains("is a folder with files in it"), "{stderr}");
}

#[test]
fn the_same_bytes_on_any_number_of_threads_and_others_of_another_seed() {
    let scratch = tempfile::tempdir().unwrap();
    let [first, second, other] = ["first", "second", "other"].map(|name| scratch.path().join(name));
    succeed(&arguments(&first, &["--strengths=1", "--seed", "8"]));
    let mut command = heirloom(&arguments(&second, &["--strengths=1", "--seed", "8"]));
    command.env("RAYON_NUM_THREADS", "2");
    assert_eq!(finish(command).0, 0);
    assert!(files(&first) == files(&second), "threads changed something");
    succeed(&arguments(&other, &["--strengths=1", "--seed", "7"]));
    assert!(files(&first) != files(&other), "two students say the same");
}

#[test]
fn a_strength_of_nothing_leaves_every_answer_as_it_is() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("steered");
    // Too little to change a bit of any activation; 0 itself is refused.
    let json = succeed(&arguments(&out, &["--strengths=1e-30", "--direction", "base", "--json"]));
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(found["checks"][0]["fit_on"], "base");
    let doses: Vec<Dose> = serde_json::from_value(found["doses"].clone()).unwrap();
    assert!(doses.iter().any(|dose| dose.strength > 0.0));
    for dose in doses.iter().filter(|dose| dose.strength > 0.0) {
        let same = |other: &&Dose| {
            (&other.behavior, &other.direction, &other.metric)
                == (&dose.behavior, &dose.direction, &dose.metric)
        };
        let unsteered = doses.iter().filter(|other| other.strength == 0.0).find(same).unwrap();
        assert_eq!(dose.value, unsteered.value, "{dose:?}");
    }
    // Twin: a mean norm of a direction changes answers; how likely the base finds them is the finest measure.
    let other = scratch.path().join("other");
    let json = succeed(&arguments(&other, &["--strengths=1", "--json"]));
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    let doses: Vec<Dose> = serde_json::from_value(found["doses"].clone()).unwrap();
    let likely = |steered: bool| -> Vec<Option<f64>> {
        let own =
            doses.iter().filter(|dose| dose.metric == "log_prob_of_base" && (dose.strength > 0.0) == steered);
        own.map(|dose| dose.value).collect()
    };
    assert_ne!(likely(false), likely(true));
}

#[test]
fn what_is_not_there_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let empty = scratch.path().join("empty");
    put(&empty, "notes.txt", "mine");
    let out = scratch.path().join("out");
    let (run, empty, out) = (utf8(run()), utf8(&empty), utf8(&out));
    let steer = |run: &str, arm: &str, more: &[&str]| {
        finish(heirloom(&[&["steer", run, "--arm", arm, "--out", out], more].concat()))
    };
    for (run, arm, more, message, hint) in [
        (empty, ARM, &[][..], "holds no run of an experiment with arms", "heirloom quickstart"),
        ("nowhere", ARM, &[], "there is no run at `nowhere`", "heirloom quickstart"),
        (run, "prompts A, teacher C", &[], "has no arm `prompts A, teacher C`", "`prompts A, teacher A`"),
        (run, ARM, &["--seed", "9"], "has no seed `9`; it has `7`, `8`", ""),
        (
            run,
            ARM,
            &["--hook", "blocks.1.hook_resid_pre"],
            "has no hook point `blocks.1.hook_resid_pre`; it has",
            "",
        ),
        (run, ARM, &["--strengths=1,0"], "`strengths`: expected finite numbers other than 0, found 0", ""),
        (run, ARM, &["--strengths", "NaN"], "found NaN", ""),
        (run, ARM, &["--strengths=1,1"], "expected each number once, found 1 twice", ""),
        (run, ARM, &["--floor", "1.5"], "`floor`: expected above 0 and at most 1, found 1.5", ""),
    ] {
        let (code, _, stderr) = steer(run, arm, more);
        assert_eq!(code, 1, "{more:?}: {stderr}");
        assert!(stderr.contains(message) && stderr.contains(hint), "{more:?}: {stderr}");
        assert!(!Path::new(out).exists(), "{more:?} left something");
    }
    // Nor is anything made in the run, where a check is written when nobody says otherwise.
    let (code, _, stderr) = finish(heirloom(&["steer", run, "--arm", "prompts A, teacher C"]));
    assert!(code == 1 && !Path::new(run).join("steer").exists(), "{stderr}");
    let (code, _, stderr) = steer(run, ARM, &["--direction", "prompts"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("expected `teachers` or `base`"), "{stderr}");
}
