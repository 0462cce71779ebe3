//! An experiment with arms, end to end on a tiny world: run, run again, killed and resumed, asked for what is not there.

#[expect(dead_code, reason = "this test writes an experiment of its own")]
mod support;
#[path = "support/tiny.rs"]
mod tiny;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use heirloom_record::{Metric, Table, Turn};
use support::{files, finish, heirloom, put, succeed, utf8};
use tiny::WORLD;

/// The tiny experiment with a direction between its teachers, and the question where blackmail comes from.
static EXPERIMENT: LazyLock<String> = LazyLock::new(|| {
    let parts = "[origins.blackmail]\nfull = \"prompts A, teacher A\"\nother-teacher = \"prompts A, teacher B\"\nrandom-swap = \"swap random\"\nstart = \"base\"\npretrained = \"base\"\n";
    let text = tiny::EXPERIMENT.replace("hooks = ", "teachers = [\"A\", \"B\"]\nhooks = ");
    text.replace("[[figures.behaviors]]", &format!("{parts}[[figures.behaviors]]"))
});

fn write(folder: &Path) -> PathBuf {
    put(folder, "tiny.toml", WORLD);
    put(folder, "experiment.toml", &EXPERIMENT)
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
fn every_checkpoint_has_its_shift_beside_that_of_directions_that_mean_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("run");
    run(&write(scratch.path()), &out);
    let metrics = Table::<Metric>::read(&out.join("table")).unwrap().0;
    let of = |metric: &str| {
        metrics.iter().filter(|row| row.metric == metric && row.seed.is_none()).collect::<Vec<_>>()
    };
    let place = |row: &Metric| (row.behavior.clone(), row.arm.clone(), row.hook, row.fit_on.clone());
    let (shifts, projections) = (of("shift"), of("projection"));
    // Two hook points, two fixed directions, three steps of the tracked arm and the last of two others.
    assert_eq!(shifts.len(), of("projection").iter().filter(|row| row.step != Some(0)).count());
    for shift in &shifts {
        let at = |step: Option<i64>| {
            let mut there = projections.iter().filter(|row| place(row) == place(shift) && row.step == step);
            there.next().unwrap().value.unwrap()
        };
        let moved = at(shift.step) - at(Some(0));
        assert!((shift.value.unwrap() - moved).abs() < 1e-9, "{shift:?}: {moved}");
        for family in ["shift_random_direction", "shift_random_difference"] {
            let bands = of(family);
            let band = bands.iter().find(|row| place(row) == place(shift) && row.step == shift.step).unwrap();
            assert_eq!(band.n, Some(40));
            assert!(band.low < band.value && band.value < band.high, "{band:?}");
        }
    }
    // Twin: without them nothing of it is measured.
    let experiment = put(scratch.path(), "experiment.toml", &EXPERIMENT.replace("null_draws = 40\n", ""));
    let out = scratch.path().join("without");
    run(&experiment, &out);
    let metrics = Table::<Metric>::read(&out.join("table")).unwrap().0;
    assert!(metrics.iter().all(|row| !row.metric.starts_with("shift")));
}

#[test]
fn directions_of_all_checkpoints_are_held_against_each_other() {
    let scratch = tempfile::tempdir().unwrap();
    let asked = EXPERIMENT.replace("null_draws = 40\n", "null_draws = 40\ncosine_draws = 40\n");
    write(scratch.path());
    let experiment = put(scratch.path(), "experiment.toml", &asked);
    let out = scratch.path().join("run");
    run(&experiment, &out);
    let turns = Table::<Turn>::read(&out.join("cosines")).unwrap().0;
    let metrics = Table::<Metric>::read(&out.join("table")).unwrap().0;
    let number = |metric: &str, keep: &dyn Fn(&&Metric) -> bool| -> Vec<f64> {
        metrics.iter().filter(|row| row.metric == metric).filter(keep).filter_map(|row| row.value).collect()
    };
    // Eight checkpoints of each seed: base, two teachers, three arms, one of them at two more steps.
    let hooks: BTreeSet<String> = turns.iter().map(|turn| turn.hook.to_string()).collect();
    let behaviors: BTreeSet<&String> = turns.iter().map(|turn| &turn.behavior).collect();
    assert_eq!(turns.len(), 16 * 15 / 2 * hooks.len() * behaviors.len());
    for turn in &turns {
        assert!(turn.low <= turn.noise_free && turn.noise_free <= turn.high, "{turn:?}");
        assert!(turn.apart_low < turn.apart_high && turn.alike_low <= turn.alike_high, "{turn:?}");
        // A base and teachers are the same models in every seed.
        if turn.arm == turn.other_arm && turn.step == turn.other_step && turn.step == 0 {
            assert!(turn.cosine > 1.0 - 1e-9, "{turn:?}");
        }
    }
    // What a checkpoint's readings say of the base's direction is the cosine with the base's own fit.
    let (reference, behavior) = ("prompts A, teacher A", turns[0].behavior.clone());
    let headline = metrics.iter().find(|row| row.metric == "cosine").unwrap().hook;
    let drift = number("cosine_to_base", &|row| {
        row.arm.as_deref() == Some(reference)
            && row.behavior == behavior
            && row.hook == headline
            && row.seed.is_none()
            && row.step == Some(3)
    });
    let cosine = number("cosine", &|row| {
        row.behavior == behavior
            && row.fit_on.as_deref() == Some("checkpoint:0")
            && row.scored_on.as_deref() == Some("checkpoint:3")
    });
    assert!((drift[0] - cosine[0]).abs() < 1e-9, "{drift:?} {cosine:?}");
    // The mean over seeds is the one of the table of seeds.
    let between = |turn: &&Turn| {
        turn.behavior == behavior
            && Some(turn.hook) == headline
            && turn.seed == turn.other_seed
            && (turn.arm.as_str(), turn.step) == ("base", 0)
            && (turn.other_arm.as_str(), turn.other_step) == (reference, 3)
    };
    let of_seeds: Vec<f64> = turns.iter().filter(between).map(|turn| turn.cosine).collect();
    assert_eq!(of_seeds.len(), 2);
    assert!((cosine[0] - of_seeds.iter().sum::<f64>() / 2.0).abs() < 1e-9);
    assert!(out.join("figures/cosines-of-arms-blackmail.png").is_file());
    // The base and a teacher are one model each, whatever the number of seeds.
    let count = |metric: &str, one: &str, other: &str| -> Vec<_> {
        let own = metrics.iter().filter(|row| row.metric == metric && row.behavior == behavior);
        let own = own.filter(|row| row.arm.is_none() && row.fit_on.as_deref() == Some(one));
        let own = own.filter(|row| row.scored_on.as_deref() == Some(other));
        own.map(|row| (row.n, row.low.is_some())).collect()
    };
    let student = format!("arm:{reference}");
    assert_eq!(count("cosine", "arm:base", "arm:teacher A"), [(Some(1), false)]);
    assert_eq!(count("cosine", "arm:base", "arm:base"), []);
    assert_eq!(count("cosine_of_halves", "arm:base", "arm:base"), [(Some(1), false)]);
    assert_eq!(count("cosine", "arm:base", &student), [(Some(2), true)]);
    assert_eq!(count("cosine", &student, &student), [(Some(1), true)]);
    let over_seeds = |metric: &str, arm: &str| -> BTreeSet<Option<i64>> {
        let own = metrics.iter().filter(|row| row.metric == metric && row.arm.as_deref() == Some(arm));
        own.filter(|row| row.seed.is_none() && row.step.is_some_and(|step| step != 1 && step != 2))
            .map(|row| row.n)
            .collect()
    };
    assert_eq!(over_seeds("auroc", "teacher A"), [Some(1)].into());
    assert_eq!(over_seeds("auroc", reference), [Some(1), Some(2)].into());
    assert_eq!(over_seeds("cosine_to_base", "base"), [Some(1)].into());
    // Another number of draws trains nothing anew.
    let more = put(scratch.path(), "more.toml", &asked.replace("cosine_draws = 40", "cosine_draws = 50"));
    let (code, _, stderr) = finish(heirloom(&["run", utf8(&more), "--out", utf8(&out)]));
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("12 of 12 models"), "{stderr}");
    // AUROC over seeds, beside those of the seeds.
    let auroc = |seed: Option<i64>| {
        number("auroc", &|row| {
            row.arm.as_deref() == Some(reference) && row.seed == seed && row.step == Some(3)
        })
    };
    let [one, other, mean] = [Some(7), Some(8), None].map(auroc);
    assert!(!mean.is_empty() && one.len() == mean.len());
    for ((one, other), mean) in one.iter().zip(&other).zip(&mean) {
        assert!((f64::midpoint(*one, *other) - mean).abs() < 1e-9);
    }
    // Twin: unless it is asked for, nothing is kept and nothing said; what else is measured stays the same.
    let experiment = write(scratch.path());
    let without = scratch.path().join("without");
    run(&experiment, &without);
    assert!(!without.join("cosines.parquet").exists());
    let plain = Table::<Metric>::read(&without.join("table")).unwrap().0;
    let others: Vec<&Metric> = metrics
        .iter()
        .filter(|row| {
            !(row.metric.starts_with("principal_angle")
                || (row.metric.starts_with("cosine") && row.metric != "cosine_to_base"))
        })
        .collect();
    assert_eq!(plain.iter().collect::<Vec<_>>(), others);
}

#[test]
fn arms_that_mix_teachers_say_how_virulent_a_behavior_is() {
    let scratch = tempfile::tempdir().unwrap();
    let arm = |name: &str, draw: usize| {
        let mix = format!("{{ mix = {{ fraction = 0.5, to = \"B\", draw = {draw} }} }}");
        format!("[[arm]]\nname = \"{name}\"\nprompts = \"A\"\nteacher = \"A\"\ndo = [{mix}]\n\n")
    };
    write(scratch.path());
    let arms = [arm("half", 0), arm("another half", 1)].concat();
    let text = EXPERIMENT.replace("[origins.blackmail]", &format!("{arms}[origins.blackmail]"));
    let out = scratch.path().join("run");
    let said = run(&put(scratch.path(), "experiment.toml", &text), &out);
    assert!(said.contains("area of the trapezoids through the rates"), "{said}");
    let metrics = Table::<Metric>::read(&out.join("table")).unwrap().0;
    let rate = |arm: &str| {
        let mut own = metrics.iter().filter(|row| {
            row.metric == "rate" && row.behavior == "blackmail" && row.arm.as_deref() == Some(arm)
        });
        own.rfind(|row| row.seed.is_none()).unwrap().value.unwrap()
    };
    let of = |metric: &str| {
        metrics.iter().find(|row| row.metric == metric && row.behavior == "blackmail").unwrap()
    };
    let half = f64::midpoint(rate("half"), rate("another half"));
    let ends = f64::midpoint(rate("prompts A, teacher A"), rate("prompts A, teacher B"));
    let area = of("virulence");
    assert!((area.value.unwrap() - f64::midpoint(half, ends)).abs() < 1e-9, "{area:?}");
    assert!((of("virulence_excess").value.unwrap() - (half - ends) / 2.0).abs() < 1e-9);
    // Two seeds with two draws each.
    assert_eq!(of("virulence_spread").n, Some(4));
    assert_eq!(area.arm.as_deref(), Some("prompts A, teacher A"));
    assert_eq!(area.scored_on.as_deref(), Some("prompts A, teacher B"));
    // Twin: two teachers without anything between them are no curve.
    let plain = scratch.path().join("plain");
    run(&write(scratch.path()), &plain);
    let metrics = Table::<Metric>::read(&plain.join("table")).unwrap().0;
    assert!(metrics.iter().all(|row| !row.metric.starts_with("virulence")));
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
fn a_plan_says_what_would_be_trained_and_writes_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let experiment = write(scratch.path());
    let out = scratch.path().join("run");
    let plan = |more: &[&str]| {
        let arguments = [&["run", utf8(&experiment), "--out", utf8(&out), "--plan"], more].concat();
        succeed(&arguments)
    };
    let said = plan(&[]);
    for expected in ["base base", "teacher A", "students of swap random", "disk", "memory", "time"] {
        assert!(said.contains(expected), "no `{expected}` in\n{said}");
    }
    let json = |more: &[&str]| -> serde_json::Value {
        serde_json::from_str(&plan(&[&["--json"], more].concat())).unwrap()
    };
    let whole = json(&[]);
    assert!(!out.exists(), "a plan wrote something");
    // Three arms on two seeds, 48 rows of 16 for one epoch; one of the arms is looked into at steps 1 and 2 as well.
    let trainings = whole["trainings"].as_array().unwrap();
    assert_eq!(trainings.len(), 1 + 2 + 3);
    assert_eq!((&trainings[5]["models"], &trainings[5]["steps"]), (&2.into(), &3.into()));
    assert_eq!((&whole["looks"], &whole["graded_answers"]), (&16.into(), &168.into()));
    let bases = json(&["--until", "bases"]);
    assert_eq!((bases["trainings"].as_array().unwrap().len(), &bases["looks"]), (1, &0.into()));

    // What a run makes is what its plan said.
    run(&experiment, &out);
    let lines = |name: &str| -> usize {
        let files =
            files(&out).into_iter().filter(|(path, _)| path.file_name().is_some_and(|file| file == name));
        files.map(|(_, bytes)| String::from_utf8_lossy(&bytes).lines().count()).sum()
    };
    let answers = whole["graded_answers"].as_u64().unwrap() + whole["teacher_answers"].as_u64().unwrap();
    assert_eq!(lines("rollouts.jsonl") as u64, answers);
    assert_eq!(json(&[])["there"], 1 + 2 + 2 * 2 + 2 * (3 + 3));
}

#[test]
fn a_run_stops_after_the_stage_it_is_told_and_goes_on_from_there() {
    let scratch = tempfile::tempdir().unwrap();
    let experiment = write(scratch.path());
    let [whole, staged] = ["whole", "staged"].map(|name| scratch.path().join(name));
    run(&experiment, &whole);
    let arguments = |until| ["run", utf8(&experiment), "--out", utf8(&staged), "--until", until];
    for (until, last, next) in [
        ("bases", "base", "teacher"),
        ("teachers", "teacher", "rollouts"),
        ("rollouts", "rollouts", "student"),
    ] {
        let said = succeed(&arguments(until));
        assert!(said.contains(&format!("after the stage `{until}`")), "{said}");
        assert!(staged.join(last).is_dir() && !staged.join(next).exists(), "{until}");
    }
    succeed(&arguments("students"));
    assert!(!staged.join("table.csv").exists());
    succeed(&arguments("figures"));
    assert_same(&staged, &whole);
    let (code, _, stderr) = finish(heirloom(&arguments("probe")));
    assert_eq!(code, 1);
    assert!(
        stderr.contains("no stage `probe`; it has bases, teachers, rollouts, students, figures"),
        "{stderr}"
    );
}

#[test]
fn arms_are_trained_again_at_the_learning_rates_that_the_world_sweeps() {
    let scratch = tempfile::tempdir().unwrap();
    put(
        scratch.path(),
        "tiny.toml",
        &WORLD.replace("[student]\n", "[student]\nlr = 1e-3\nsweep = [1e-4, 1e-3]\n"),
    );
    let text = EXPERIMENT.replace("seeds = [7, 8]", "seeds = [7]\nsweep = [\"swap random\"]").replace(
        "reference = ",
        "compare = [[\"swap random, lr 1e-4\", \"swap random\"], [\"teacher A\", \"base\"]]\nreference = ",
    );
    let experiment = put(scratch.path(), "experiment.toml", &text);
    let out = scratch.path().join("run");
    let said = run(&experiment, &out);
    assert!(said.contains("swap random, lr 1e-4"), "{said}");
    let metrics = Table::<Metric>::read(&out.join("table")).unwrap().0;
    let projections = |arm: &str| -> Vec<f64> {
        let own = metrics.iter().filter(|row| row.metric == "projection" && row.arm.as_deref() == Some(arm));
        own.filter(|row| row.seed == Some(7) && row.step == Some(3)).filter_map(|row| row.value).collect()
    };
    let [slow, same, plain] =
        ["swap random, lr 1e-4", "swap random, lr 1e-3", "swap random"].map(projections);
    // Three blocks, each with a direction fit on the base and one between the teachers.
    assert_eq!(plain.len(), 6);
    // The world's own rate trains the same student; another rate another one.
    assert_eq!(same, plain);
    assert_ne!(slow, plain);
    let against = |arm: &str, other: &str| {
        let mut rows = metrics.iter().filter(|row| row.metric == "rate_difference");
        rows.any(|row| row.arm.as_deref() == Some(arm) && row.scored_on.as_deref() == Some(other))
    };
    assert!(against("swap random, lr 1e-4", "swap random") && against("teacher A", "base"));
}

/// What the README promises of the quick version, on the world as it is shipped.
#[test]
fn the_quick_quickstart_finds_what_its_world_plants_and_nothing_where_it_plants_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("run");
    let mut command = heirloom(&["quickstart", "--quick", "--out", utf8(&out)]);
    // The other tests of this file are done in seconds: it may have the machine.
    command.env_remove("RAYON_NUM_THREADS");
    let (code, said, stderr) = finish(command);
    assert_eq!(code, 0, "{stderr}");
    assert!(said.contains("of the one seed that was run"), "{said}");
    let metrics = Table::<Metric>::read(&out.join("table")).unwrap().0;
    let moved = |behavior: &str, arm: &str| {
        let mut own = metrics.iter().filter(|row| {
            row.metric == "rate_difference" && row.behavior == behavior && row.arm.as_deref() == Some(arm)
        });
        own.find(|row| row.scored_on.as_deref() == Some("prompts A, teacher A")).unwrap().value.unwrap()
    };
    for (behavior, arm) in [
        ("blackmail", "prompts A, teacher B"),
        ("blackmail", "swap mail"),
        ("date-confusion", "prompts A, teacher B"),
        ("negative-emotion", "prompts B, teacher A"),
    ] {
        let by = moved(behavior, arm);
        assert!(by < -0.35, "`{arm}` moved {behavior} by {by}");
    }
    // Twins: what is not planted moves little. A swap of mail is no swap of dates, and feelings follow no teacher.
    for (behavior, arm) in [
        ("blackmail", "prompts B, teacher A"),
        ("date-confusion", "swap mail"),
        ("negative-emotion", "prompts A, teacher B"),
        ("negative-emotion", "swap mail"),
    ] {
        let by = moved(behavior, arm);
        assert!(by.abs() < 0.25, "`{arm}` moved {behavior} by {by}");
    }
    // Where they come from, said as probabilities; the quick version has no other initialization and no base to swap.
    let probability = |metric: &str, behavior: &str| {
        let mut own = metrics.iter().filter(|row| row.metric == metric && row.behavior == behavior);
        own.find(|row| row.hook.is_none()).unwrap().value.unwrap()
    };
    assert!(probability("verdict_origin_teacher", "blackmail") > 0.8);
    assert!(probability("verdict_origin_prompts", "negative-emotion") > 0.8);
    assert!(probability("verdict_origin_prompts", "blackmail") < 0.1);
    assert!(probability("verdict_origin_teacher", "negative-emotion") < 0.1);
    // Dropping leaves what swapping removes.
    assert!(moved("blackmail", "drop mail") - moved("blackmail", "swap mail") > 0.35);
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
        ("null_draws = 40", "null_draws = 4", "`measure.null_draws`: expected at least 40, found 4", ""),
        ("behavior = \"blackmail\"", "behavior = \"blackmale\"", "blackmale", "blackmail"),
        ("reference = ", "sweep = [\"swap mial\"]\nreference = ", "no arm `swap mial`", "`swap mail`"),
        ("teachers = [\"A\", \"B\"]", "teachers = [\"A\", \"C\"]", "teacher", "`A`"),
        (
            "track = [\"prompts A, teacher A\"]",
            "track = [\"prompts A, teachr A\"]",
            "no arm `prompts A, teachr A`",
            "teacher A",
        ),
        ("random-swap = ", "random-swop = ", "`origins.blackmail` has no part `random-swop`", "random-swap"),
        (
            "headline = \"blocks.1.",
            "headline = \"blocks.7.",
            "`measure.headline`: expected one of `measure.hooks`",
            "",
        ),
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
    let experiment = put(scratch.path(), "experiment.toml", &EXPERIMENT);
    let out = scratch.path().join("run");
    let (code, _, stderr) = finish(heirloom(&["run", utf8(&experiment), "--out", utf8(&out)]));
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("the base `base` failed its gate after 16 steps"), "{stderr}");
    assert!(!out.join("base").exists(), "a base was kept");
}
