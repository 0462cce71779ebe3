//! Two arms held against each other, on a tiny run and of checkpoints that no run made: what is said, that it is the same
//! twice, and what is refused.

#[expect(dead_code, reason = "this test writes an experiment of its own")]
mod support;
#[path = "support/tiny.rs"]
mod tiny;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use heirloom_record::{Activations, Directions, Metric, Table, rows_to_jsonl};
use serde_json::json;
use support::{files, finish, heirloom, put, succeed, tiny_model, utf8};
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

fn parsed(arguments: &[&str]) -> serde_json::Value {
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

    let value = parsed(&[utf8(&out), "--arms", FULL, "swap random"]);
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
        let value = parsed(&arguments);
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
    let found = metrics(&parsed(&[utf8(&out), "--arms", FULL, FULL]));
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
    let value = parsed(&[utf8(&out), utf8(&other), "--arms", FULL]);
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

/// Students of the tiny model that no run made: two arms on two seeds as adapters, with a direction, rows, grades and
/// rollouts, all in one folder.
struct Own {
    folder: PathBuf,
    model: PathBuf,
}

const HOOK: &str = "blocks.1.hook_resid_post";
const THINGS: [&str; 8] =
    ["the kettle", "the gate", "the lamp", "the ledger", "a boat", "a letter", "the key", "a coat"];
const ANSWERS: [&str; 2] = ["It is an old thing.", "Yes, and gladly so."];

fn chat(asked: &str, answer: &str) -> serde_json::Value {
    json!([{ "role": "user", "content": asked }, { "role": "assistant", "content": answer }])
}

impl Own {
    /// Made once for every test that only reads it.
    fn shared() -> Self {
        static OWN: OnceLock<TempDir> = OnceLock::new();
        let scratch = OWN.get_or_init(|| {
            let scratch = tempfile::tempdir().unwrap();
            Self::write(scratch.path());
            scratch
        });
        Self { folder: scratch.path().to_owned(), model: tiny_model() }
    }

    fn write(folder: &Path) {
        let asked = |thing: &str| format!("What of {thing}?");
        let pair = |n: usize| {
            let (thing, label) = (n / 2, n % 2 == 1);
            json!({ "id": n.to_string(), "pair": thing.to_string(), "group": format!("g{}", thing % 2), "label": label,
                "messages": chat(&asked(THINGS[thing]), ANSWERS[n % 2]) })
        };
        // Two rows of each of five scenarios.
        let fixed = |n: usize| {
            let (scenario, sample) = (n / 2, n % 2);
            json!({ "id": format!("f{n}"), "pair": format!("s{scenario}"),
                "messages": chat(&format!("Where is {}?", THINGS[scenario]), &format!("It is in room {sample}.")) })
        };
        let text = |n: usize| json!({ "id": n.to_string(), "text": format!("Number {n} is next to number {}.", n + 1) });
        let rows = |of: &dyn Fn(usize) -> serde_json::Value, n: usize| {
            rows_to_jsonl(&(0..n).map(of).collect::<Vec<_>>())
        };
        let pairs = put(folder, "pairs.jsonl", &rows(&pair, 16));
        put(folder, "fixed.jsonl", &rows(&fixed, 10));
        put(folder, "text.jsonl", &rows(&text, 5));
        for (arm, answer) in [("glad", ANSWERS[1]), ("plain", ANSWERS[0])] {
            let lesson =
                |n: usize| json!({ "id": n.to_string(), "messages": chat(&asked(THINGS[n]), answer) });
            let lessons = put(folder, &format!("{arm}.jsonl"), &rows(&lesson, 8));
            for seed in ["1", "2"] {
                let (model, out) = (tiny_model(), folder.join(format!("{arm}-{seed}")));
                let of = ["train", "--model", utf8(&model), "--data", utf8(&lessons), "--out", utf8(&out)];
                let by =
                    ["--epochs", "3", "--batch", "4", "--lr", "1e-2", "--lora-rank", "2", "--seed", seed];
                succeed(&[&of[..], &by].concat());
                answered(folder, arm, seed.parse().unwrap());
            }
        }
        captured(folder, &pairs, None, "pairs");
        let (store, file) = (folder.join("pairs"), folder.join("direction.safetensors"));
        let named = ["--method", "dom", "--behavior", "gladness", "--out", utf8(&file)];
        succeed(&[&["fit", "--activations", utf8(&store)], &named[..]].concat());
    }

    fn at(&self, name: &str) -> String {
        utf8(&self.folder.join(name)).to_owned()
    }

    fn checkpoint(&self, arm: &str, seed: &str) -> String {
        self.at(&format!("{arm}-{seed}/checkpoint-6"))
    }

    /// `compare` with the checkpoints of these seeds of two arms, by names of their own.
    fn students(&self, [one, other]: [&str; 2], seeds: &[&str]) -> Vec<String> {
        let list = |arm| seeds.iter().map(|seed| self.checkpoint(arm, seed)).collect::<Vec<_>>().join(",");
        ["compare".into(), "--model".into(), utf8(&self.model).into(), "--students".into()]
            .into_iter()
            .chain([format!("first={}", list(one)), format!("second={}", list(other))])
            .collect()
    }

    /// Flags that give a list over seeds of each arm.
    fn lists(&self, what: &str, [one, other]: [&str; 2], seeds: &[&str]) -> Vec<String> {
        let list = |arm: &str| {
            let files = seeds.iter().map(|seed| self.at(&format!("{arm}-{seed}-{what}.jsonl")));
            files.collect::<Vec<_>>().join(",")
        };
        vec![format!("--{what}"), format!("first={}", list(one)), format!("second={}", list(other))]
    }

    /// Flags of a direction and the rows that are read along it.
    fn along(&self) -> Vec<String> {
        let flags = [
            ("--direction", "direction.safetensors"),
            ("--data", "fixed.jsonl"),
            ("--reference", "pairs.jsonl"),
        ];
        let more = ["--hook", HOOK, "--bootstrap", "200", "--null-draws", "20"].map(String::from);
        flags.iter().flat_map(|(flag, name)| [(*flag).into(), self.at(name)]).chain(more).collect()
    }

    fn all(&self, seeds: &[&str]) -> Vec<String> {
        let arms = ["glad", "plain"];
        let text = ["--text".into(), self.at("text.jsonl")];
        [
            self.students(arms, seeds),
            self.lists("grades", arms, seeds),
            self.lists("rollouts", arms, seeds),
            self.along(),
            text.to_vec(),
        ]
        .concat()
    }
}

/// What a student of a seed answered to six prompts, twice each, and how it was graded: `glad` shows it more.
fn answered(folder: &Path, arm: &str, seed: usize) {
    let rollout = |n: usize| {
        let asked = format!("What of {}?", THINGS[n / 2]);
        json!({ "id": format!("{arm}/p{}/{}", n / 2, n % 2), "prompt": format!("p{}", n / 2), "teacher": arm, "sample": n % 2,
            "messages": chat(&asked, &format!("{arm} answer {n} of seed {seed}")) })
    };
    let grade = |n: usize| {
        let shown = if arm == "glad" { n != seed } else { n % 5 == seed };
        json!({ "rollout": format!("{arm}/p{}/{}", n / 2, n % 2), "prompt": format!("p{}", n / 2), "behavior": "gladness",
            "grader": "by hand", "version": "1", "sha256": "0", "answer": shown })
    };
    let rows = |of: &dyn Fn(usize) -> serde_json::Value| rows_to_jsonl(&(0..12).map(of).collect::<Vec<_>>());
    put(folder, &format!("{arm}-{seed}-rollouts.jsonl"), &rows(&rollout));
    put(folder, &format!("{arm}-{seed}-grades.jsonl"), &rows(&grade));
}

/// Activations of the tiny model, with or without an adapter, as `heirloom capture` has them.
fn captured(folder: &Path, data: &Path, adapter: Option<&str>, name: &str) -> ndarray::Array2<f32> {
    let (model, store) = (tiny_model(), folder.join(name));
    let of = ["capture", "--model", utf8(&model), "--data", utf8(data), "--out", utf8(&store)];
    let read = ["--hooks", "blocks.*.hook_resid_post", "--readout", "response-mean"];
    let adapter = adapter.map(|adapter| vec!["--adapter", adapter]).unwrap_or_default();
    succeed(&[&of[..], &read, &adapter].concat());
    Activations::read(&store).unwrap().tensors.remove(&HOOK.parse().unwrap()).unwrap()
}

fn text(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// The one row over seeds of a metric at the hook point that is shown, or without one.
fn over_seeds<'a>(found: &'a [Metric], metric: &str, arm: &str) -> &'a Metric {
    let mut own = found.iter().filter(|row| {
        let here = row.hook.is_none_or(|hook| hook.to_string() == HOOK);
        here && row.metric == metric && row.seed.is_none() && row.arm.as_deref() == Some(arm)
    });
    let row = own.next().unwrap_or_else(|| panic!("no {metric} of {arm}"));
    assert!(own.next().is_none(), "several rows {metric} of {arm}");
    row
}

#[test]
fn checkpoints_of_ones_own_are_told_in_every_part_and_drawn() {
    let own = Own::shared();
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let said = succeed(&text(&[own.all(&["1", "2"]), vec!["--out".into(), utf8(&out).into()]].concat()));
    for expected in [
        "A = first\nB = second\n2 seeds of students each",
        "How often graders saw each behavior",
        "Projections on `gladness`",
        "of the same 10 rows, at blocks.1.hook_resid_post",
        "less the base's",
        "A minus B",
        "AUROC, fit anew",
        "cosine between directions fit anew on A and on B",
        "A against the base",
        "two seeds of one arm",
        "gladness, scenario p",
        "A + glad answer",
        "over seeds and their scenarios or rows",
        "arms.svg, .pdf, .png",
        "projections.svg, .pdf, .png",
    ] {
        assert!(said.contains(expected), "no `{expected}` in\n{said}");
    }
    assert!(!said.contains("One seed"), "{said}");
    let found = Table::<Metric>::read(&out.join("table")).unwrap().0;
    // Ten rows of five scenarios, the same in every seed; the base is one model, without seeds.
    assert_eq!(over_seeds(&found, "projection_difference", "first").n, Some(5));
    let base = over_seeds(&found, "projection", "base");
    assert!(
        base.interval.as_ref().unwrap().contains("5 scenarios alone, without variance between seeds"),
        "{base:?}"
    );
    // Two hook points of the direction; of each two seeds and their mean.
    assert_eq!(found.iter().filter(|row| row.metric == "cosine").count(), 2 * 3);
    // Those of the base, too, which is one model; shuffled labels once an arm.
    let of = |metric: &str| found.iter().filter(|row| row.metric == metric).count();
    assert_eq!((of("auroc"), of("auroc_refit"), of("auroc_refit_shuffled_labels")), (2 * 7, 2 * 7, 2 * 3));
    assert_eq!(
        said.lines().filter(|line| line.contains(" of seed ") && line.contains("scenario p")).count(),
        4,
        "{said}"
    );
    succeed(&["figures", utf8(&out), "--check"]);
    succeed(&["figures", utf8(&out)]);
    assert!(succeed(&["inspect", utf8(&out)]).contains("projection_difference"));

    // The same bytes on any number of threads.
    let again = scratch.path().join("again");
    let mut command =
        heirloom(&text(&[own.all(&["1", "2"]), vec!["--out".into(), utf8(&again).into()]].concat()));
    command.env("RAYON_NUM_THREADS", "2");
    assert_eq!(finish(command).0, 0);
    assert!(files(&out) == files(&again), "another number of threads gave other bytes");
}

#[test]
fn differences_of_projections_and_rates_are_what_files_give_by_hand() {
    let own = Own::shared();
    let value = parsed(&text(&own.all(&["1", "2"])[1..]));
    let found = metrics(&value);

    let scratch = tempfile::tempdir().unwrap();
    let place = PathBuf::from(own.at("direction.safetensors"));
    let vector = Directions::read(&place).unwrap().by_hook.remove(&HOOK.parse().unwrap()).unwrap().vector;
    let reference =
        captured(scratch.path(), Path::new(&own.at("pairs.jsonl")), None, "reference").dot(&vector);
    let mut squares = 0.0;
    for label in 0..2 {
        let class: Vec<f64> = reference.iter().skip(label).step_by(2).map(|x| f64::from(*x)).collect();
        let mean = class.iter().sum::<f64>() / 8.0;
        squares += class.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    }
    let sd = (squares / 14.0).sqrt();
    let mean = |arm: &str, seed: &str| {
        let name = format!("{arm}-{seed}");
        let fixed = PathBuf::from(own.at("fixed.jsonl"));
        let x = captured(scratch.path(), &fixed, Some(&own.checkpoint(arm, seed)), &name).dot(&vector);
        x.iter().map(|x| f64::from(*x)).sum::<f64>() / 10.0
    };
    let expected = ["1", "2"].map(|seed| (mean("glad", seed) - mean("plain", seed)) / sd);
    let expected = f64::midpoint(expected[0], expected[1]);
    let row = over_seeds(&found, "projection_difference", "first");
    assert!((row.value.unwrap() - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{row:?} {expected}");
    assert!(expected.abs() > 0.05, "students that differ are needed, found {expected}");

    let rate = |arm: &str, seed: usize| {
        let file = std::fs::read_to_string(own.at(&format!("{arm}-{seed}-grades.jsonl"))).unwrap();
        file.lines().filter(|line| line.contains("\"answer\":true")).count() as f64 / 12.0
    };
    let by_hand = f64::midpoint(rate("glad", 1) - rate("plain", 1), rate("glad", 2) - rate("plain", 2));
    let row = over_seeds(&found, "rate_difference", "first");
    assert!((row.value.unwrap() - by_hand).abs() < 1e-12, "{row:?} {by_hand}");
    assert!(row.interval.as_ref().unwrap().contains("2 seeds and their scenarios"), "{row:?}");
    for moved in value["moved"].as_array().unwrap() {
        let of = |arm: usize| moved["answers"][arm].as_array().unwrap();
        let shown = |arm: usize| of(arm).iter().filter(|answer| answer["shown"] == true).count() as f64 / 2.0;
        assert!((shown(0) - shown(1) - moved["difference"].as_f64().unwrap()).abs() < 1e-12);
        let seed = moved["seed"].as_u64().unwrap();
        assert!(
            of(0).iter().all(|answer| answer["text"].as_str().unwrap().ends_with(&format!("of seed {seed}")))
        );
    }
}

#[test]
fn students_against_themselves_differ_in_nothing_and_one_seed_says_so() {
    let own = Own::shared();
    let same = ["glad", "glad"];
    let all = [
        own.students(same, &["1"]),
        own.lists("grades", same, &["1"]),
        own.along(),
        vec!["--text".into(), own.at("text.jsonl")],
    ];
    let found = metrics(&parsed(&text(&all.concat()[1..])));
    for (metric, expected) in [("projection_difference", 0.0), ("rate_difference", 0.0)] {
        let row = over_seeds(&found, metric, "first");
        assert!((row.value.unwrap() - expected).abs() < 1e-12, "{row:?}");
        assert!(row.interval.as_ref().unwrap().contains("without variance between seeds"), "{row:?}");
    }
    let of = |metric: &str, fit_on: &str| {
        let own = found.iter().filter(|row| row.metric == metric && row.fit_on.as_deref() == Some(fit_on));
        own.filter_map(|row| row.value).collect::<Vec<f64>>()
    };
    assert!(of("cosine", "arm:first").iter().all(|cosine| (cosine - 1.0).abs() < 1e-9));
    assert!(of("activation_difference", "arm:second").iter().all(|value| value.abs() <= 0.0));
    // Twin: the base is another model.
    assert!(of("activation_difference", "base").iter().all(|value| *value > 0.0));
    let said = succeed(&text(&all.concat()));
    for expected in [
        "1 seed of students each",
        "One seed\nsays nothing about other seeds",
        "The interval of A minus B holds 0.",
        "--rollouts",
    ] {
        assert!(said.contains(expected), "no `{expected}` in\n{said}");
    }
    assert!(!said.contains("over seeds") && !said.contains("two seeds of one arm"), "{said}");

    // Every part alone: rates need no model, text no direction; whole models stand beside adapters.
    let rates = [
        &own.students(same, &["1"])[..1],
        &own.students(same, &["1"])[3..],
        &own.lists("grades", same, &["1"]),
    ]
    .concat();
    assert!(!succeed(&text(&rates)).contains("Projections"));
    let whole = utf8(&own.model);
    let (adapter, unrelated) = (own.checkpoint("glad", "1"), own.at("text.jsonl"));
    let (first, second) = (format!("first={adapter}"), format!("second={whole}"));
    let alone = ["--model", whole, "--students", &first, &second, "--text", &unrelated, "--hook", HOOK];
    let found = metrics(&parsed(&alone));
    let against = |fit_on: &str, arm: &str| {
        let of = |row: &&Metric| row.fit_on.as_deref() == Some(fit_on) && row.arm.as_deref() == Some(arm);
        found.iter().filter(of).filter_map(|row| row.value).collect::<Vec<f64>>()
    };
    assert_eq!(against("arm:second", "first"), against("base", "first"));
    assert!(against("base", "second").iter().all(|value| value.abs() <= 0.0));
}

/// All flags with the value replaced that stands so far behind one of them.
fn replaced(own: &Own, flag: &str, behind: usize, value: &str) -> Vec<String> {
    let mut all = own.all(&["1", "2"]);
    let at = all.iter().position(|argument| argument == flag).unwrap();
    value.clone_into(&mut all[at + behind]);
    all
}

/// Each is refused with its message, and leaves no folder.
fn refused(table: &[(Vec<String>, &str)]) {
    let scratch = tempfile::tempdir().unwrap();
    let into = scratch.path().join("out");
    for (arguments, message) in table {
        let all = [arguments.clone(), vec!["--out".into(), utf8(&into).into()]].concat();
        let (code, stdout, stderr) = finish(heirloom(&text(&all)));
        assert_eq!((code, stdout.as_str()), (1, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(message), "no `{message}`: {stderr}");
        assert!(!into.exists(), "{arguments:?} left a folder");
    }
}

#[test]
fn students_and_answers_that_do_not_pair_are_refused() {
    let own = Own::shared();
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let read = |name: &str| std::fs::read_to_string(own.at(name)).unwrap();
    let other = put(folder, "other.jsonl", &read("plain-1-grades.jsonl").replace("p5", "p9"));
    let judged = put(folder, "judged.jsonl", &read("plain-1-grades.jsonl").replace("by hand", "a judge"));
    let words = put(folder, "words.jsonl", &read("plain-2-rollouts.jsonl").replace("the gate", "the lamp"));
    let second = |flag: &str, value: &str| replaced(&own, flag, 2, value);
    let (plain, nowhere) = (["1", "2"].map(|seed| own.checkpoint("plain", seed)), own.at("plain-3"));
    let grades = own.at("plain-2-grades.jsonl");
    let rollouts = ["glad-1", "plain-1", "plain-2"].map(|name| own.at(&format!("{name}-rollouts.jsonl")));
    let pair = |name: &str, one: &str, other: &str| format!("{name}={one},{other}");
    let mut based = own.students(["glad", "plain"], &["1"]);
    based[4] = format!("base={}", plain[0]);
    refused(&[
        (second("--students", &format!("second={nowhere}")), "there is no student at"),
        (
            second("--students", &pair("second", &own.at("plain-1"), &plain[1])),
            "plain-1/checkpoint-6`, found",
        ),
        (
            second("--students", &format!("second={}", plain[0])),
            "`--students`: expected 2, one for each seed of `first` in --students, found 1 of `second`",
        ),
        (
            based,
            "`--students`: expected another name than that of the model both were trained from, found base",
        ),
        (second("--students", &pair("first", &plain[0], &plain[1])), "`--students` names `first` twice"),
        (second("--students", &pair("second", &plain[0], &plain[0])), "twice"),
        (
            second("--grades", &format!("second={grades}")),
            "`--grades`: expected 2, one for each seed of `first` in --students, found 1 of `second`",
        ),
        (
            second("--grades", &pair("third", &grades, &grades)),
            "`--grades`: expected the names of --students, `first` and `second`",
        ),
        (
            second("--grades", &pair("second", utf8(&other), &grades)),
            "grade different prompts: only one of them has `p5`",
        ),
        (second("--grades", &pair("second", utf8(&judged), &grades)), "by several graders"),
        (second("--rollouts", &pair("second", &rollouts[0], &rollouts[2])), "has no rollout `plain/p0/0`"),
        (second("--rollouts", &pair("second", &rollouts[1], utf8(&words))), "ask other words by the id `p1`"),
        (own.students(["glad", "plain"], &["1"]), "expected something to compare"),
    ]);
    let usages: [&[&str]; 3] = [
        &["compare"],
        &["compare", "--students", "first", "second"],
        &["compare", "run", "--students", "a=b", "c=d"],
    ];
    for usage in usages {
        assert_eq!(finish(heirloom(usage)).0, 2, "{usage:?}");
    }
}

#[test]
fn directions_and_rows_that_do_not_fit_are_refused_before_a_model_is_read() {
    let own = Own::shared();
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    // Weights that cannot be read: whatever is refused in other words is refused before them.
    let damaged = folder.join("damaged");
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        let mut bytes = std::fs::read(tiny_model().join(name)).unwrap();
        bytes.truncate(if name == "model.safetensors" { bytes.len() / 2 } else { bytes.len() });
        heirloom_record::write_file(&damaged.join(name), &bytes).unwrap();
    }
    let row = |name: &str, messages: serde_json::Value| {
        put(folder, name, &rows_to_jsonl(&[json!({ "messages": messages })]))
    };
    let bare = row("bare.jsonl", chat("Hm?", "So."));
    let asked = row("asked.jsonl", json!([{ "role": "user", "content": "Hm?" }]));
    let empty = put(folder, "empty.jsonl", "");
    let with = |flag: &str, value: &str| replaced(&own, flag, 1, value);
    let unrelated = |more: &[&str]| {
        let base = Own { folder: own.folder.clone(), model: damaged.clone() };
        let flags = [&["--text".to_owned(), own.at("text.jsonl")], &text_of(more)[..]].concat();
        [base.students(["glad", "plain"], &["1"]), flags].concat()
    };
    refused(&[
        (with("--direction", &own.at("pairs.jsonl")), "could not read the directions"),
        (with("--direction", &own.at("direction")), "there is no file of directions"),
        (with("--data", utf8(&asked)), "has no answer, which the direction reads"),
        (with("--reference", utf8(&bare)), "it is one of the reference rows"),
        (
            with("--hook", "blocks.0.hook_resid_mid"),
            "blocks.1.hook_resid_post, found blocks.0.hook_resid_mid",
        ),
        (with("--text", utf8(&empty)), ""),
        (with("--model", utf8(&damaged)), "the directions were fit on model `chat-llama"),
        (unrelated(&[]), "`--hook`: expected where text is read"),
        (unrelated(&["--hook", "blocks.7.hook_resid_post"]), "blocks.7.hook_resid_post"),
        // Twin: what fits is read, and found damaged.
        (unrelated(&["--hook", HOOK]), "could not look into"),
    ]);
    // An adapter without weights is named.
    let broken = folder.join("broken");
    let file = Path::new(&own.checkpoint("plain", "1")).join("adapter_config.json");
    heirloom_record::write_file(&broken.join("adapter_config.json"), &std::fs::read(file).unwrap()).unwrap();
    let checkpoints = format!("second={},{}", own.checkpoint("plain", "2"), utf8(&broken));
    let (code, _, stderr) = finish(heirloom(&text(&replaced(&own, "--students", 2, &checkpoints))));
    assert!(code == 1 && stderr.contains("could not look into") && stderr.contains("broken"), "{stderr}");
}

fn text_of(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(ToString::to_string).collect()
}
