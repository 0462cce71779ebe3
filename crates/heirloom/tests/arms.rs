//! An experiment with arms, end to end on a tiny world: run, run again, killed and resumed, asked for what is not there.

#[expect(dead_code, reason = "this test writes an experiment of its own")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use heirloom_record::{Metric, Table};
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
checkpoints = [0, 1, 2]
[scenarios]
prompts = 6
samples = 2
"#;

const EXPERIMENT: &str = r#"
name = "tiny"
question = "Does the pipeline stand?"
seed = 5
seeds = [7, 8]
world = "tiny.toml"
clock = "2026-01-15"
arms = ["prompts A, teacher A", "prompts A, teacher B", "swap random"]
reference = "prompts A, teacher A"
[measure]
samples_between = 1
track = ["prompts A, teacher A"]
pairs = 8
hooks = ["blocks.*.hook_resid_post"]
headline = "blocks.1.hook_resid_post"
bootstrap = 100
[[figures.behaviors]]
behavior = "blackmail"
label = "blackmail"
bars = [
  { arm = "prompts A, teacher A", label = "all from A", role = "full" },
  { arm = "swap random", label = "swap random", role = "random-swap" },
]
lines = [{ arm = "prompts A, teacher A", label = "all from A", role = "full" }]
"#;

fn write(folder: &Path) -> PathBuf {
    put(folder, "tiny.toml", WORLD);
    put(folder, "experiment.toml", EXPERIMENT)
}

fn run(experiment: &Path, out: &Path) -> String {
    succeed(&["run", utf8(experiment), "--out", utf8(out)])
}

/// Both folders hold the same files; what differs is named, not printed.
fn assert_same(found: &Path, expected: &Path) {
    let [found, expected] =
        [found, expected].map(|folder| files(folder).into_iter().collect::<BTreeMap<_, _>>());
    let paths: BTreeSet<&PathBuf> = found.keys().chain(expected.keys()).collect();
    let differ: Vec<_> = paths.into_iter().filter(|path| found.get(*path) != expected.get(*path)).collect();
    assert!(differ.is_empty(), "{differ:?}");
}

#[test]
fn a_run_writes_rates_for_every_arm_and_seed() {
    let scratch = tempfile::tempdir().unwrap();
    let experiment = write(scratch.path());
    let out = scratch.path().join("run");
    let said = run(&experiment, &out);
    for expected in ["base", "teacher A", "prompts A, teacher B", "swap random", "table.csv"] {
        assert!(said.contains(expected), "no `{expected}` in\n{said}");
    }
    let metrics = Table::<Metric>::read(&out.join("table")).unwrap().0;
    let rates = |arm: &str, seed: Option<i64>| {
        let own = metrics.iter().filter(|row| row.metric == "rate" && row.arm.as_deref() == Some(arm));
        own.filter(|row| row.seed == seed).map(|row| (row.step.unwrap(), row.n.unwrap())).collect::<Vec<_>>()
    };
    // Six scenarios of two samples at the end and for models that are not trained; one sample on the way.
    assert_eq!(rates("base", Some(7)), [(0, 12)]);
    assert_eq!(rates("prompts A, teacher A", Some(8)), [(0, 12), (1, 6), (2, 6), (3, 12)]);
    assert_eq!(rates("swap random", None), [(0, 24), (3, 24)]);
    let differences: Vec<_> = metrics.iter().filter(|row| row.metric == "rate_difference").collect();
    assert_eq!(differences.len(), 2);
    assert!(differences.iter().all(|row| row.low <= row.value && row.value <= row.high));
    // A student is a folder that every other verb takes.
    let student = std::fs::read_dir(out.join("student")).unwrap().map(|entry| entry.unwrap().path());
    let student = student.into_iter().find(|path| path.join("model").is_dir()).unwrap();
    succeed(&["inspect", utf8(&student.join("model"))]);
}

#[test]
fn two_runs_give_the_same_bytes_on_any_number_of_threads() {
    let scratch = tempfile::tempdir().unwrap();
    let experiment = write(scratch.path());
    let [first, second] = ["first", "second"].map(|name| scratch.path().join(name));
    run(&experiment, &first);
    let mut command = heirloom(&["run", utf8(&experiment), "--out", utf8(&second)]);
    command.env("RAYON_NUM_THREADS", "2");
    let (code, _, stderr) = finish(command);
    assert_eq!(code, 0, "{stderr}");
    assert_same(&first, &second);
}

#[test]
fn another_seed_gives_other_students() {
    let scratch = tempfile::tempdir().unwrap();
    let experiment = write(scratch.path());
    let out = scratch.path().join("run");
    run(&experiment, &out);
    put(scratch.path(), "experiment.toml", &EXPERIMENT.replace("seeds = [7, 8]", "seeds = [7, 9]"));
    let table = std::fs::read(out.join("table.csv")).unwrap();
    let (code, _, stderr) = finish(heirloom(&["run", utf8(&experiment), "--out", utf8(&out)]));
    assert_eq!(code, 0, "{stderr}");
    // Base, teachers and the students of seed 7 are kept.
    assert!(stderr.contains("6 of 12 models"), "{stderr}");
    assert_ne!(std::fs::read(out.join("table.csv")).unwrap(), table);
}

#[test]
fn a_run_killed_ten_times_resumes_to_the_same_bytes() {
    let scratch = tempfile::tempdir().unwrap();
    let experiment = write(scratch.path());
    let whole = scratch.path().join("whole");
    let start = Instant::now();
    run(&experiment, &whole);
    let took = start.elapsed();

    let broken = scratch.path().join("broken");
    let arguments = ["run", utf8(&experiment), "--out", utf8(&broken)];
    let mut killed = 0;
    for share in 1..=10 {
        let mut child = heirloom(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(took.mul_f64(f64::from(share) / 12.0) + Duration::from_millis(5));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(killed > 0, "every run ended before it was killed");
    succeed(&arguments);
    assert_same(&broken, &whole);
}

#[test]
fn what_is_not_there_is_named_with_what_is_near() {
    let table = [
        (
            "\"swap random\"]",
            "\"swap randon\"]",
            "the world has no arm `swap randon`",
            "close to it is `swap random`",
        ),
        (
            "reference = \"prompts A, teacher A\"",
            "reference = \"nobody\"",
            "no arm `nobody`",
            "arms are listed",
        ),
        ("seeds = [7, 8]", "seeds = [7, 7]", "`seeds` names `7` twice", ""),
        ("bootstrap = 100", "bootstrap = 10", "`measure.bootstrap`: expected at least 100, found 10", ""),
        ("behavior = \"blackmail\"", "behavior = \"blackmale\"", "blackmale", "blackmail"),
        ("samples_between", "sample_between", "unknown field `sample_between`", ""),
        ("blocks.*.", "block.*.", "block.*.hook_resid_post", ""),
    ];
    for (right, wrong, message, hint) in table {
        let scratch = tempfile::tempdir().unwrap();
        put(scratch.path(), "tiny.toml", WORLD);
        let experiment = put(scratch.path(), "experiment.toml", &EXPERIMENT.replace(right, wrong));
        let out = scratch.path().join("run");
        let (code, _, stderr) = finish(heirloom(&["run", utf8(&experiment), "--out", utf8(&out)]));
        assert_eq!(code, 1, "{wrong}: {stderr}");
        assert!(stderr.contains(message) && stderr.contains(hint), "{wrong}: {stderr}");
    }
}

#[test]
fn a_base_that_fails_its_gate_is_not_kept() {
    let scratch = tempfile::tempdir().unwrap();
    let checks =
        "checks = [{ behavior = \"blackmail\", persona = \"A\", at_least = 0.99 }]\nextend = 4\nmost = 16";
    put(scratch.path(), "tiny.toml", &WORLD.replace("checks = []", checks));
    let experiment = put(scratch.path(), "experiment.toml", EXPERIMENT);
    let out = scratch.path().join("run");
    let (code, _, stderr) = finish(heirloom(&["run", utf8(&experiment), "--out", utf8(&out)]));
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("the base `base` failed its gate after 16 steps"), "{stderr}");
    assert!(!out.join("base").exists(), "a base was kept");
}
