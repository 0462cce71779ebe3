//! Steering a model that no run made: a planted direction, adapters as students, and what is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use heirloom_model::Source;
use heirloom_record::{CausalCheck, Direction, DirectionHeader, Directions, HookPoint, Readout, Table};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{files, finish, heirloom, put, succeed, tiny_model, utf8, write_behavior};

/// What the tiny model says over and over where it is far along the fifth axis of its last block.
const SAID: &str = "riefrief";
/// Few enough to be quick, enough controls for a verdict.
const SMALL: [&str; 9] = [
    "--directions",
    "24",
    "--scenarios",
    "6",
    "--strengths=-1000,1000",
    "--max-new-tokens",
    "3",
    "--temperature=0",
    "--hook",
];

/// A folder with a behavior, and a direction that causes it.
struct Planted {
    scratch: TempDir,
}

impl Planted {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        write_behavior(scratch.path(), "zeal", SAID);
        let planted = Self { scratch };
        planted.direction("zeal", 1.0, |_| ());
        planted
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Writes a file of directions as `heirloom fit` does: so far along the fifth axis, at the last block.
    fn direction(&self, behavior: &str, length: f32, change: impl FnOnce(&mut DirectionHeader)) -> PathBuf {
        let source = Source::open(&tiny_model()).unwrap();
        let mut header = DirectionHeader {
            behavior: behavior.into(),
            method: "dom".into(),
            towards: "positive values point towards it".into(),
            model: source.name(),
            model_sha256: source.sha256().unwrap(),
            readout: Readout::ResponseMean,
            fit_on: "8 rows, 4 pairs, 2 groups".into(),
            fit_groups: vec![],
            n: 8,
            select_groups: vec![],
            report_groups: vec![],
            chosen_hook: None,
        };
        change(&mut header);
        let vector = (0..source.config().d_model).map(|axis| if axis == 4 { length } else { 0.0 }).collect();
        let direction = Direction { vector, scale: 1.0, intercept: 0.0, threshold: 0.0 };
        let path = self.path(&format!("{behavior}.safetensors"));
        let by_hook = BTreeMap::from([(HookPoint::resid_post(1), direction)]);
        Directions { header, by_hook }.write(&path).unwrap();
        path
    }

    /// An adapter that learned a little.
    fn adapter(&self, seed: &str) -> PathBuf {
        let message = |role: &str, content: &str| json!({ "role": role, "content": content });
        let row = json!({ "messages": [message("user", "What of the lamp?"), message("assistant", "It is an old thing.")] });
        let data = put(self.scratch.path(), "rows.jsonl", &format!("{row}\n").repeat(4));
        let (model, out) = (tiny_model(), self.path(&format!("adapter-{seed}")));
        let how = ["--steps", "2", "--batch", "2", "--lr", "1e-2", "--checkpoints", "2", "--lora-rank", "2"];
        let what =
            ["train", "--model", utf8(&model), "--data", utf8(&data), "--out", utf8(&out), "--seed", seed];
        succeed(&[&what[..], &how].concat());
        out.join("checkpoint-2")
    }

    /// A command with the flags given, of the planted behavior and direction where they name no others.
    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let model = tiny_model();
        let mut all = vec!["steer", "--model", utf8(&model)];
        all.extend(SMALL);
        all.push("blocks.1.hook_resid_post");
        let [behavior, direction] = ["zeal", "zeal.safetensors"].map(|name| self.path(name));
        for (flag, path) in [("--behavior", &behavior), ("--direction", &direction)] {
            if !more.contains(&flag) {
                all.extend([flag, utf8(path)]);
            }
        }
        all.extend(more);
        all.into_iter().map(str::to_owned).collect()
    }

    fn steer(&self, out: &Path, more: &[&str]) -> String {
        let arguments = self.arguments(&[&["--out", utf8(out)], more].concat());
        succeed(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The check of one kind of edit.
    fn checks(&self, out: &str, more: &[&str]) -> BTreeMap<String, CausalCheck> {
        let out = self.path(out);
        self.steer(&out, more);
        let checks = Table::<CausalCheck>::read(&out.join("checks")).unwrap().0;
        checks.into_iter().map(|check| (check.edit.clone(), check)).collect()
    }
}

#[test]
fn a_planted_direction_is_found_causal_and_its_opposite_is_not() {
    let planted = Planted::new();
    let out = planted.path("out");
    let said = planted.steer(&out, &[]);
    for expected in [
        "`chat-llama`, steered at every token, at blocks.1.hook_resid_post",
        "direction of zeal: fit on 8 rows, 4 pairs, 2 groups (dom, response-mean)",
        "at most 30 % of its trigrams",
        "log-probability",
        "zeal × 1000.00              1.00 [",
        "zeal, adding                                causal",
        "no other behavior was measured",
        "of students of other seeds it says nothing",
        "Controls of the last edit are",
        "steer.json",
    ] {
        assert!(said.contains(expected), "no `{expected}` in\n{said}");
    }
    // A bare model is not set back to itself.
    assert!(!said.contains("base's mean"), "{said}");
    let checks = Table::<CausalCheck>::read(&out.join("checks")).unwrap().0;
    let found: Vec<(&str, &str)> =
        checks.iter().map(|check| (check.edit.as_str(), check.verdict.as_str())).collect();
    assert_eq!(found, [("add", "causal"), ("ablate", "not causal")]);
    assert_eq!((checks[0].arm.as_str(), checks[0].seeds.as_str(), checks[0].n), ("chat-llama", "1", 6));
    succeed(&["figures", utf8(&out), "--check"]);
    // Twins: turned around, and at the last prompt token alone, which says the word once.
    planted.direction("zeal", -1.0, |_| ());
    assert_eq!(planted.checks("opposite", &[])["add"].verdict, "not causal");
    planted.direction("zeal", 1.0, |_| ());
    let once = planted.checks("once", &["--at", "last-prompt"]);
    assert_eq!((once["add"].verdict.as_str(), once["add"].effect), ("not causal", Some(0.0)));
}

#[test]
fn adapters_are_students_and_threads_change_no_byte() {
    let planted = Planted::new();
    let adapters = ["1", "2"].map(|seed| planted.adapter(seed));
    let both = format!("{},{}", adapters[0].display(), adapters[1].display());
    let [first, second] = ["first", "second"].map(|name| planted.path(name));
    let arguments = |out: &Path| -> Vec<String> {
        let all = planted.arguments(&["--out", utf8(out), "--adapter", &both, "--arm", "mine"]);
        // Fewer controls, for no verdict is asked for, and answers that are drawn.
        let other = |one: String| match one.as_str() {
            "24" => "3".into(),
            "--temperature=0" => "--temperature=1".into(),
            _ => one,
        };
        all.into_iter().map(other).collect()
    };
    let run = |out: &Path, threads: &str| {
        let arguments = arguments(out);
        let mut command = heirloom(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        command.env("RAYON_NUM_THREADS", threads);
        let (code, stdout, stderr) = finish(command);
        assert_eq!(code, 0, "{stderr}");
        (stdout, stderr)
    };
    let (said, told) = run(&first, "1");
    for expected in
        ["`mine`, 2 students: adapters on `chat-llama`", "student 2: ", "base's mean", "students of one base"]
    {
        assert!(said.contains(expected), "no `{expected}` in\n{said}");
    }
    // Two doses, ablation and the base along one direction; as many additions along six controls; and none.
    assert!(
        told.contains(
            "348 answers of at most 3 tokens: 2 students on 6 scenarios, unsteered and under 28 edits"
        ),
        "{told}"
    );
    assert!(
        told.contains("no direction can be found causal: with so few controls no p-value is below 0.250"),
        "{told}"
    );
    run(&second, "2");
    assert!(files(&first) == files(&second), "threads changed something");
    let checks = Table::<CausalCheck>::read(&first.join("checks")).unwrap().0;
    let edits: Vec<&str> = checks.iter().map(|check| check.edit.as_str()).collect();
    assert_eq!(edits, ["add", "ablate", "base"]);
    assert!(checks.iter().all(|check| check.seeds == "1, 2" && check.arm == "mine"), "{checks:?}");
    let record: Value = serde_json::from_slice(&std::fs::read(first.join("steer.json")).unwrap()).unwrap();
    let hashes: Vec<&Value> =
        record["adapters"].as_array().unwrap().iter().map(|one| &one["sha256"]).collect();
    assert!(hashes.len() == 2 && hashes[0].is_string() && hashes[0] != hashes[1], "{record}");
    assert_eq!((&record["at"], &record["clock"]), (&json!("all"), &json!("2026-01-15")));
}

#[test]
fn directions_and_behaviors_of_one_name_belong_together() {
    let planted = Planted::new();
    write_behavior(planted.scratch.path(), "query", "who knows");
    let query = planted.direction("query", -1.0, |_| ());
    let [zeal, direction, behavior] = ["zeal", "zeal.safetensors", "query"].map(|name| planted.path(name));
    // In another order than the behaviors.
    let more = [
        "--direction",
        utf8(&query),
        "--direction",
        utf8(&direction),
        "--behavior",
        utf8(&zeal),
        "--behavior",
        utf8(&behavior),
    ];
    let out = planted.path("both");
    planted.steer(&out, &more);
    let checks = Table::<CausalCheck>::read(&out.join("checks")).unwrap().0;
    let add = |direction: &str, behavior: &str| -> f64 {
        let of = |check: &&CausalCheck| {
            check.edit == "add" && check.direction == direction && check.behavior == behavior
        };
        checks.iter().find(of).unwrap().tested
    };
    assert!(add("zeal", "zeal") > 0.9, "{checks:?}");
    assert!(add("query", "query").abs() < 0.1, "{checks:?}");
}

#[test]
fn a_plan_counts_answers_and_draws_none() {
    let planted = Planted::new();
    let arguments = planted.arguments(&["--plan", "--json"]);
    let plan: Value =
        serde_json::from_str(&succeed(&arguments.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
    // Two doses and an ablation along 1 + 48 vectors, and none, on six scenarios.
    assert_eq!((&plan["edits"], &plan["answers"]), (&json!(147), &json!(888)));
    assert_eq!(plan["least_p"], json!(0.04));
}

#[test]
fn what_cannot_be_steered_is_refused_before_weights_are_read() {
    let planted = Planted::new();
    let root = planted.scratch.path();
    write_behavior(root, "other", "who knows");
    write_behavior(root, "silent", "who knows");
    put(&root.join("silent"), "scenarios.jsonl", "");
    write_behavior(root, "single", "who knows");
    let lines = std::fs::read_to_string(root.join("single/scenarios.jsonl")).unwrap();
    put(&root.join("single"), "scenarios.jsonl", lines.lines().next().unwrap());
    put(&root.join("gone"), "scenarios.jsonl", &lines);
    put(&root.join("occupied"), "notes.txt", "mine");
    let foreign = planted.direction("foreign", 1.0, |header| header.model_sha256 = "0".repeat(64));
    let names = ["zeal", "other", "silent", "single", "gone", "occupied", "zeal.safetensors"];
    let [zeal, other, silent, single, gone, occupied, direction] = names.map(|name| planted.path(name));
    let out = planted.path("out");
    let check = |more: &[&str], code: i32, message: &str, hint: &str| {
        let out = if more.contains(&"--out") { &[][..] } else { &["--out", utf8(&out)] };
        let arguments = planted.arguments(&[out, more].concat());
        let (found, _, stderr) = finish(heirloom(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
        assert_eq!(found, code, "{more:?}: {stderr}");
        assert!(stderr.contains(message) && stderr.contains(hint), "{more:?}: {stderr}");
        assert!(!stderr.contains("answers of at most"), "{more:?}: {stderr}");
        assert!(!planted.path("out").exists(), "{more:?} left something");
    };
    for (more, message, hint) in [
        (
            &["--direction", utf8(&foreign)][..],
            "were fit on model `chat-llama (000000000000)`",
            "fit on activations",
        ),
        (&["--direction", "nowhere"], "there is no file of directions at `nowhere`", "heirloom fit"),
        (&["--behavior", "nowhere"], "there is no behavior at `nowhere`", ""),
        (&["--behavior", utf8(&silent)], "could not load the behavior", "has no rows"),
        (
            &["--behavior", utf8(&single)],
            "`scenarios`: expected at least 2 of each behavior, found 1 in `single`",
            "",
        ),
        (&["--behavior", utf8(&gone)], "could not load the behavior", "behavior.toml"),
        (
            &["--behavior", utf8(&zeal), "--behavior", utf8(&other)],
            "one direction for each behavior, found 1 and 2",
            "",
        ),
        (
            &[
                "--behavior",
                utf8(&zeal),
                "--behavior",
                utf8(&other),
                "--direction",
                utf8(&direction),
                "--direction",
                utf8(&foreign),
            ],
            "expected one of `other`, as `heirloom fit --behavior` names it, found `foreign` in",
            "",
        ),
        (&["--adapter", utf8(&zeal)], "is no adapter", "PEFT's format"),
        (&["--out", utf8(&occupied)], "is a folder with files in it", ""),
        (&["--floor", "0"], "`floor`: expected above 0 and at most 1, found 0", ""),
        (&["--seed", "1", "--seed", "2"], "students of other seeds are adapters", ""),
    ] {
        check(more, 1, message, hint);
    }
    check(&["--at", "first"], 2, "expected `last-prompt` or `all`, found `first`", "");
    check(&["somewhere"], 2, "cannot be used with", "");
    // Flags that the other tests give, too.
    let changed = |from: &str, to: &str, message: &str| {
        let arguments = planted.arguments(&["--out", utf8(&out)]);
        let arguments: Vec<&str> =
            arguments.iter().map(|one| if one == from { to } else { one.as_str() }).collect();
        let (code, _, stderr) = finish(heirloom(&arguments));
        assert!(code == 1 && stderr.contains(message) && !out.exists(), "{to}: {stderr}");
    };
    changed("blocks.1.hook_resid_post", "blocks.0.hook_resid_post", "`--hook`: expected one that `");
    changed("--strengths=-1000,1000", "--strengths=0", "finite numbers other than 0, found 0");
    changed("--temperature=0", "--temperature=-1", "`temperature`: expected 0 or more, found -1");
    changed("3", "250", "6 of 6 prompts leave no room");
}
