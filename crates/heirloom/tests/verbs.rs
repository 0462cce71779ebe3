//! The verbs that make students and say what they do: from prompts to rollouts, arms, trained students and grades.

#[expect(dead_code, reason = "whole experiments are for other tests")]
mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use support::{files, finish, heirloom, put, succeed, tiny_model, utf8, write_behavior};

/// Runs `arguments` and expects exit code 1, every one of `expected` on standard error, and no `out` left behind.
fn refused(arguments: &[&str], expected: &[&str], out: &Path) {
    let (code, stdout, stderr) = finish(heirloom(arguments));
    assert_eq!((code, stdout.as_str()), (1, ""), "{arguments:?}: {stderr}");
    assert!(stderr.starts_with("error: "), "{stderr}");
    for part in expected {
        assert!(stderr.contains(part), "{arguments:?}: no `{part}` in\n{stderr}");
    }
    assert!(!out.exists(), "{} was left behind", out.display());
}

fn parsed(arguments: &[&str]) -> Value {
    serde_json::from_str(&succeed(arguments)).unwrap()
}

fn jsonl(rows: &[Value]) -> String {
    heirloom_record::rows_to_jsonl(rows)
}

fn asked(n: usize) -> Value {
    json!([{ "role": "user", "content": format!("Number {n}?") }])
}

/// An answer of `teacher` to prompt `n`.
fn answered(teacher: &str, n: usize, answer: &str) -> Value {
    let messages = json!([asked(n)[0], { "role": "assistant", "content": answer }]);
    json!({ "prompt": format!("p-{n}"), "teacher": teacher, "messages": messages, "n_tokens": 3 })
}

/// Samples the tiny model on `data` with `more` into `out`.
fn sampled(data: &Path, out: &Path, more: &[&str]) -> String {
    let model = tiny_model();
    let own = [
        "rollout",
        "--model",
        utf8(&model),
        "--data",
        utf8(data),
        "--out",
        utf8(out),
        "--max-new-tokens",
        "12",
    ];
    succeed(&[&own, more].concat())
}

fn some_prompts(folder: &Path, n: usize) -> PathBuf {
    let prompt = |n: usize| json!({ "id": format!("p-{n}"), "tags": [], "messages": asked(n) });
    put(folder, "prompts.jsonl", &jsonl(&(0..n).map(prompt).collect::<Vec<_>>()))
}

#[test]
fn rollouts_are_stored_with_everything_they_were_drawn_with() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let prompts = some_prompts(folder, 3);
    let [first, second, other] = ["first", "second", "other"].map(|name| folder.join(name));
    let twice = ["--samples", "2", "--seed", "7", "--top-p", "0.9", "--teacher", "flash"];
    let said = sampled(&prompts, &first, &twice);
    assert!(
        said.starts_with("6 rollouts of 3 prompts in ") && said.contains("cut off at 12 tokens"),
        "{said}"
    );
    sampled(&prompts, &second, &twice);
    assert_eq!(files(&first), files(&second));
    for what in [first.clone(), first.join("rollouts.jsonl")] {
        let described = parsed(&["inspect", utf8(&what), "--json"]);
        assert_eq!(
            (&described["kind"], &described["rows_by_teacher"]),
            (&"rollouts".into(), &json!({ "flash": 6 }))
        );
    }
    let json = sampled(&prompts, &other, &["--samples", "2", "--seed", "8", "--json"]);
    let counts: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&counts["rows"], &counts["sampling"]["seed"]), (&6.into(), &8.into()));

    let [own, others] = [&first, &other].map(|path| heirloom_record::Rollouts::read(path).unwrap());
    let ids: Vec<&str> = own.rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids[..3], ["flash/p-0/0", "flash/p-0/1", "flash/p-1/0"]);
    assert_eq!(others.rows[0].teacher, "chat-llama");
    let settings = own.sampling.unwrap();
    assert_eq!((settings.model.as_str(), settings.temperature, settings.top_p), ("chat-llama", 1.0, 0.9));
    assert_eq!((settings.clock.as_str(), settings.max_new_tokens), ("2026-01-15", 12));
    // Another seed and another sample of one prompt are other answers.
    assert!(own.rows.iter().zip(&others.rows).any(|(a, b)| a.ids != b.ids));
    assert_ne!(own.rows[0].ids, own.rows[1].ids);
    assert_eq!(counts["tokens"], others.rows.iter().map(|row| row.ids.len()).sum::<usize>());
    // The answers of fewer samples are the first of more.
    let one = folder.join("one");
    sampled(&prompts, &one, &["--seed", "7", "--top-p", "0.9", "--teacher", "flash"]);
    let one = heirloom_record::Rollouts::read(&one).unwrap();
    assert_eq!(one.rows[1], own.rows[2]);
    // What was sampled can be graded, and stands in arms.
    write_behavior(folder, "zeal", "zzz zzz");
    let json =
        parsed(&["grade", "--rollouts", utf8(&first), "--behavior", utf8(&folder.join("zeal")), "--json"]);
    assert_eq!((&json["rates"][0]["teacher"], &json["rates"][0]["n"]), (&"flash".into(), &6.into()));
    let arms = "[[arm]]\nname = \"full\"\nprompts = \"prompts\"\nteacher = \"flash\"";
    let (arms, written) = (put(folder, "arms.toml", arms), folder.join("written"));
    let arm = ["arm", utf8(&arms), "--prompts", utf8(&prompts), "--rollouts", utf8(&first), "--show", "full"];
    succeed(&[&arm[..], &["--write", utf8(&written)]].concat());
    let teachers: Value =
        serde_json::from_slice(&std::fs::read(written.join("teachers.json")).unwrap()).unwrap();
    assert_eq!(teachers["teachers"]["flash"][0]["seed"], 7);
}

#[test]
fn rollout_checks_everything_before_it_loads_weights() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let (prompts, out, model) = (some_prompts(folder, 3), folder.join("out"), tiny_model());
    let answered = put(folder, "answered.jsonl", &jsonl(&[answered("flash", 0, "yes")]));
    let (typo, lost) = (folder.join("prompt.jsonl"), folder.join("model"));
    // A model whose weights are damaged is good enough for every check but the last.
    let damaged = folder.join("damaged");
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        let mut bytes = std::fs::read(model.join(name)).unwrap();
        if name == "model.safetensors" {
            bytes.truncate(bytes.len() / 2);
        }
        heirloom_record::write_file(&damaged.join(name), &bytes).unwrap();
    }
    let misspelt = put(folder, "misspelt.jsonl", "{\"mesages\":[]}");
    let table: [(&Path, &Path, &[&str], &[&str]); 11] = [
        (&lost, &prompts, &[], &["no model at"]),
        (&damaged, &typo, &[], &["no file of prompts at", "beside it is `prompts.jsonl`"]),
        (&damaged, &answered, &[], &["answered.jsonl` line 1: `messages` holds the answer already"]),
        (&damaged, &misspelt, &[], &["line 1: unknown key `mesages`", "hint: near names: `messages`"]),
        (&damaged, &prompts, &["--temperature", "NaN"], &["`temperature`: expected 0 or more, found NaN"]),
        (&damaged, &prompts, &["--temperature", "-1"], &["`temperature`: expected 0 or more, found -1"]),
        (&damaged, &prompts, &["--top-p", "0"], &["`top-p`: expected above 0 and at most 1, found 0"]),
        (
            &damaged,
            &prompts,
            &["--temperature", "0", "--samples", "2"],
            &["`samples`: expected 1 at temperature 0"],
        ),
        (&damaged, &prompts, &["--teacher", " "], &["`teacher`: expected a name"]),
        (
            &damaged,
            &prompts,
            &["--max-new-tokens", "250"],
            &[
                "3 of 3 prompts leave no room for 250 new tokens in the model's context of 256: `p-0` (",
                "hint: lower",
            ],
        ),
        (&damaged, &prompts, &["--max-new-tokens", "8"], &["could not load the model", "model.safetensors"]),
    ];
    for (model, data, more, expected) in table {
        let own = ["rollout", "--model", utf8(model), "--data", utf8(data), "--out", utf8(&out)];
        refused(&[&own[..], more].concat(), expected, &out);
    }
    let own = ["rollout", "--model", utf8(&damaged), "--data", utf8(&prompts), "--out", utf8(&out)];
    refused(&[&own[..], &["--adapter", utf8(&lost)]].concat(), &["no adapter at", "PEFT"], &out);
    let adapter = [&own[..], &["--adapter", utf8(&prompts)]].concat();
    refused(&adapter, &["prompts.jsonl` is no adapter", "hint: known are folders in PEFT's format"], &out);
    let left = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().ends_with(".partial")));
}

/// Rollouts that are killed as soon as `parts` of them are there.
fn killed(arguments: &[&str], out: &Path, parts: usize) {
    let mut child = heirloom(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let last = out.join(format!("parts/{}.jsonl", parts - 1));
    while !last.is_file() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn rollouts_killed_twice_resume_to_the_same_bytes_and_others_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let (prompts, model, zeal) = (some_prompts(folder, 8), tiny_model(), folder.join("zeal"));
    write_behavior(folder, "zeal", "zzz zzz");
    let [whole, broken, none] = ["whole", "broken", "none"].map(|name| folder.join(name));
    // A part is a prompt.
    let settings = ["--samples", "256", "--seed", "7", "--max-new-tokens", "24"];
    let to = |data: &Path, out: &Path, more: &[&str]| -> Vec<String> {
        let own = ["rollout", "--model", utf8(&model), "--data", utf8(data), "--out", utf8(out)];
        [&own, &settings[..], more].concat().into_iter().map(str::to_owned).collect()
    };
    let run =
        |arguments: &[String]| finish(heirloom(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
    assert_eq!(run(&to(&prompts, &whole, &[])).0, 0);

    let again = to(&prompts, &broken, &[]);
    let arguments: Vec<&str> = again.iter().map(String::as_str).collect();
    killed(&arguments, &broken, 1);
    killed(&arguments, &broken, 4);
    for arguments in [
        vec!["grade", "--rollouts", utf8(&broken), "--behavior", utf8(&zeal)],
        vec!["train", "--model", utf8(&model), "--data", utf8(&broken), "--out", utf8(&none)],
        vec![
            "capture",
            "--model",
            utf8(&model),
            "--data",
            utf8(&broken),
            "--hooks",
            "hook_embed",
            "--readout",
            "last-prompt",
            "--out",
            utf8(&none),
        ],
    ] {
        refused(
            &arguments,
            &["broken` holds rollouts that are not all drawn", "hint: the command that"],
            &none,
        );
    }
    let described = parsed(&["inspect", utf8(&broken), "--json"]);
    assert_eq!(
        (&described["kind"], &described["settings"]["samples"]),
        (&"unfinished rollouts".into(), &256.into())
    );
    assert!(described["parts"].as_u64().unwrap() >= 4, "{described}");

    let before = files(&broken);
    let other = put(folder, "other.jsonl", &jsonl(&[json!({ "id": "p-0", "messages": asked(1) })]));
    let table: [(&Path, &[&str], &str); 5] = [
        (&prompts, &["--temperature", "0.5"], "their `temperature` is 1.0, not 0.5"),
        (&prompts, &["--top-p", "0.9"], "their `top_p` is 1.0, not 0.9"),
        (&prompts, &["--teacher", "flash"], "their `teacher` is \"chat-llama\", not \"flash\""),
        (&prompts, &["--dtype", "bf16"], "their `dtype` is \"f32\", not \"bf16\""),
        (&other, &[], "their `prompts` is 8, not 1"),
    ];
    for (data, more, said) in table {
        let (code, _, stderr) = run(&to(data, &broken, more));
        assert_eq!(code, 1, "{stderr}");
        assert!(
            stderr.contains(said) && stderr.contains("hint: choose another `--out`"),
            "no `{said}` in\n{stderr}"
        );
    }
    assert_eq!(files(&broken), before, "a refusal changes nothing");

    // In f32 on the processor batches may be others.
    let (code, _, stderr) = run(&to(&prompts, &broken, &["--batch-tokens", "4096"]));
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("answers kept from an earlier call"), "{stderr}");
    assert_eq!(files(&broken), files(&whole));
    let (code, _, stderr) = run(&again);
    assert!(code == 1 && stderr.contains("holds rollouts that are all drawn"), "{stderr}");
    assert_eq!(files(&broken), files(&whole));
}

const ARMS: &str = r#"
[[arm]]
name = "full"
prompts = "chats"
teacher = "flash"
[[arm]]
name = "swap mail"
prompts = "chats"
teacher = "flash"
do = [{ swap = { on = { tags = ["mail"] }, to = "olmo" } }]
[[arm]]
name = "drop mail"
prompts = "chats"
teacher = "flash"
do = [{ drop = { on = { tags = ["mail"] }, refill = false } }]
[[arm]]
name = "late mail"
prompts = "chats"
teacher = "flash"
do = [{ order = { on = { tags = ["mail"] }, place = "late" } }]
"#;

/// Arms over ten chats, the first two of them mails, which two teachers answered; and two texts that only one did.
struct Scene {
    scratch: tempfile::TempDir,
    arms: PathBuf,
    prompts: PathBuf,
    rollouts: [PathBuf; 2],
}

impl Scene {
    fn new(arms: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path();
        let prompt = |n: usize| {
            let (source, tag) =
                if n < 10 { ("chats", if n < 2 { "mail" } else { "benign" }) } else { ("texts", "rare") };
            json!({ "id": format!("p-{n}"), "source": source, "tags": [tag], "messages": asked(n) })
        };
        let prompts: Vec<Value> = (0..12).map(prompt).collect();
        let flash: Vec<Value> = (0..12).map(|n| answered("flash", n, "yes")).collect();
        let olmo: Vec<Value> = (0..10).map(|n| answered("olmo", n, "no")).collect();
        Self {
            arms: put(folder, "arms.toml", arms),
            prompts: put(folder, "prompts.jsonl", &jsonl(&prompts)),
            rollouts: [put(folder, "flash.jsonl", &jsonl(&flash)), put(folder, "olmo.jsonl", &jsonl(&olmo))],
            scratch,
        }
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let [flash, olmo] = &self.rollouts;
        let own = [
            "arm",
            utf8(&self.arms),
            "--prompts",
            utf8(&self.prompts),
            "--rollouts",
            utf8(flash),
            utf8(olmo),
        ];
        [&own, more].concat()
    }
}

#[test]
fn arms_say_what_they_change() {
    let arms = Scene::new(ARMS);
    let said = succeed(&arms.arguments(&["--batch", "4", "--epochs", "2"]));
    for expected in [
        "`full`: 10 rows of 10 prompts, 30 tokens of answers, 6 steps (batches of 4, 2 epochs)\n  teacher flash: 100.0 %\n  source chats: 100.0 %\n  tag benign: 80.0 %\n  tag mail: 20.0 %\n",
        "`swap mail` beside `full`\n  1. swap prompts tagged `mail` to `olmo`: 2 of 10 prompts, 2 rows",
        "`drop mail` beside `full`",
        "rows are taken in this order, not shuffled",
    ] {
        assert!(said.contains(expected), "no `{expected}` in\n{said}");
    }
    assert!(!said.contains("against"), "rows are for one arm alone\n{said}");
    assert_eq!(succeed(&arms.arguments(&["--batch", "4", "--epochs", "2"])), said);

    let json = parsed(&arms.arguments(&["--json", "--batch", "4"]));
    let of = |at: usize, pointer: &str| json["arms"][at].pointer(pointer).cloned();
    assert_eq!(of(1, "/teachers/olmo"), Some(json!({ "against": 0, "arm": 2 })));
    assert_eq!(of(2, "/rows"), Some(json!({ "against": 10, "arm": 8 })));
    assert_eq!(of(2, "/steps"), Some(json!({ "against": 3, "arm": 2 })));
    assert_eq!((&json["against"], &json["diff"]), (&"full".into(), &Value::Null));
}

#[test]
fn two_arms_differ_in_the_rows_that_were_meant() {
    let arms = Scene::new(ARMS);
    let swapped = "`swap mail` against `full`\n  `flash` to `olmo`  2: p-0, p-1\n  same               8\n";
    assert_eq!(succeed(&arms.arguments(&["--diff", "full", "swap mail"])), swapped);
    assert!(succeed(&arms.arguments(&["--show", "swap mail"])).ends_with(swapped));
    let backwards = succeed(&arms.arguments(&["--diff", "swap mail", "full"]));
    assert!(backwards.contains("`olmo` to `flash`  2: p-0, p-1"), "{backwards}");
    let json = parsed(&arms.arguments(&["--json", "--show", "drop mail", "--against", "swap mail"]));
    assert_eq!(json["diff"]["removed"], json!(["p-0", "p-1"]));
    assert_eq!(json["arms"].as_array().unwrap().len(), 1);
    // Twin: an arm does not differ from itself.
    let same = succeed(&arms.arguments(&["--diff", "full", "full"]));
    assert_eq!(same, "`full` against `full`: the same 10 prompts, rows and order\n");
}

#[test]
fn an_arm_is_written_for_any_trainer() {
    let arms = Scene::new(ARMS);
    let [first, second] = ["first", "second"].map(|name| arms.scratch.path().join(name));
    for out in [&first, &second] {
        let said = succeed(&arms.arguments(&["--show", "swap mail", "--write", utf8(out)]));
        assert!(said.contains("10 rows to be shuffled by the trainer, in "), "{said}");
    }
    assert_eq!(files(&first), files(&second));
    let names: Vec<_> = files(&first).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["manifest.json", "manifest.jsonl", "rows.jsonl"].map(PathBuf::from));
    let rows = std::fs::read_to_string(first.join("rows.jsonl")).unwrap();
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said: Vec<_> = rows.iter().map(|row| row["messages"][1]["content"].as_str().unwrap()).collect();
    assert_eq!(said, [&["no"; 2][..], &["yes"; 8]].concat());
    assert_eq!((&rows[0]["id"], &rows[0]["pair"]), (&"olmo/p-0/0".into(), &"p-0".into()));
    let described = parsed(&["inspect", utf8(&first), "--json"]);
    assert_eq!((&described["kind"], &described["arm"]), (&"arm".into(), &"swap mail".into()));
    assert_eq!(described["rows_by_teacher"], json!({ "flash": 8, "olmo": 2 }));

    let late = arms.scratch.path().join("late");
    let said = succeed(&arms.arguments(&["--show", "late mail", "--write", utf8(&late)]));
    assert!(said.contains("10 rows to be taken in this order"), "{said}");
    let before = files(&first);
    let (code, _, stderr) = finish(heirloom(&arms.arguments(&["--show", "full", "--write", utf8(&first)])));
    assert!(code == 1 && stderr.contains("is a folder with files in it"), "{stderr}");
    assert_eq!(files(&first), before);
}

#[test]
fn sources_can_be_one_prompt_set() {
    let joined = ARMS.replacen("\"chats\"", "\"both\"", 1);
    let arms = Scene::new(&joined);
    let json = parsed(&arms.arguments(&["--set", "both=chats,texts", "--show", "full", "--json"]));
    assert_eq!(json["arms"][0]["sources"]["texts"]["arm"], 2);
    let none = arms.scratch.path().join("none");
    refused(&arms.arguments(&[]), &["no prompt set `both`, expected `chats`, `texts`"], &none);
    refused(
        &arms.arguments(&["--set", "both=chats,text"]),
        &["no prompt has source `text`", "hint: near names: `texts`"],
        &none,
    );
}

#[test]
fn an_arm_that_cannot_be_made_says_why_and_writes_nothing() {
    let out = PathBuf::from("out");
    let with =
        |text: &str| Scene::new(&format!("{ARMS}[[arm]]\nname = \"bad\"\nteacher = \"flash\"\n{text}"));
    let table = [
        (
            "prompts = \"chats\"\ndo = [{ drop = { on = { tags = [\"rare\"] } } }]",
            &[
                "arm `bad`: intervention 1, drop prompts tagged `rare`, refilled, cannot be made",
                "none of the 10 prompts",
                "`benign` (8)",
            ][..],
        ),
        (
            "prompts = \"chats\"\ndo = [{ drop = { on = { tags = [\"mial\"] } } }]",
            &["no prompt has the tag `mial`", "hint: near names: `mail`"],
        ),
        (
            "prompts = \"texts\"\ndo = [{ swap = { on = \"all\", to = \"olmo\" } }]",
            &[
                "teacher `olmo` has no rollout on 2 of 2 prompts: `p-10`, `p-11`",
                "hint: let `olmo` answer them",
            ],
        ),
        (
            "prompts = \"chats\"\ndo = [{ swap = { on = \"all\", to = \"olmoo\" } }]",
            &["no rollout of a teacher `olmoo`, expected `flash`, `olmo`", "hint: near names: `olmo`"],
        ),
        ("prompts = \"chat\"", &["no prompt set `chat`", "hint: near names: `chats`"]),
        ("prompt = \"chats\"", &["unknown key `prompt`", "hint: near names: `prompts`"]),
        (
            "prompts = \"chats\"\ndo = [{ swop = { on = \"all\", to = \"olmo\" } }]",
            &["unknown variant `swop`", "hint: near names: `swap`"],
        ),
        (
            "prompts = \"chats\"\ndo = [{ drop = { on = { tag = [\"mail\"] } } }]",
            &["unknown variant `tag`", "hint: near names: `tags`"],
        ),
        (
            "prompts = \"chats\"\ndo = [{ drop = { on = { random = \"all\" } } }]",
            &["expected a subset, such as `\"all\"`"],
        ),
        ("prompts = \"chats\"\ndo = [{ order = \"late\" }]", &["expected an intervention with its settings"]),
        (
            "prompts = \"chats\"\ndo = [{ drop = { on = { scores = { file = \"s.csv\", top = \"all\" } } } }]",
            &["expected a number of prompts, such as 50, or a share of them"],
        ),
    ];
    for (text, expected) in table {
        let arms = with(text);
        let out = arms.scratch.path().join(&out);
        refused(&arms.arguments(&["--show", "bad", "--write", utf8(&out)]), expected, &out);
        assert_eq!(std::fs::read_dir(arms.scratch.path()).unwrap().count(), 4, "{text}");
    }
}

#[test]
fn arms_that_are_not_there_have_near_names() {
    let arms = Scene::new(ARMS);
    let folder = arms.scratch.path();
    let none = folder.join("none");
    refused(
        &arms.arguments(&["--show", "swap mial"]),
        &["has no arm `swap mial`; it has `full`, `swap mail`", "hint: near names: `swap mail`"],
        &none,
    );
    refused(&arms.arguments(&["--diff", "fulll", "full"]), &["hint: near names: `full`"], &none);
    let (toml, prompts, rollouts) = (utf8(&arms.arms), utf8(&arms.prompts), utf8(&arms.rollouts[0]));
    let typo = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (arms_typo, prompts_typo, rollouts_typo) =
        (typo("arm.toml"), typo("prompt.jsonl"), typo("flsh.jsonl"));
    let table = [
        ([arms_typo.as_str(), prompts, rollouts], ["no file of arms at", "beside it is `arms.toml`"]),
        ([toml, &prompts_typo, rollouts], ["no file of prompts at", "beside it is `prompts.jsonl`"]),
        ([toml, prompts, &rollouts_typo], ["no rollouts at", "beside it is `flash.jsonl`"]),
        ([toml, rollouts, rollouts], ["could not read the prompts", "`messages` holds the answer already"]),
        ([toml, prompts, prompts], ["could not read the rollouts", "expected `assistant`"]),
    ];
    for ([toml, prompts, rollouts], expected) in table {
        refused(&["arm", toml, "--prompts", prompts, "--rollouts", rollouts], &expected, &none);
    }
    let empty = Scene::new("arm = []");
    refused(
        &empty.arguments(&[]),
        &["could not read the arms", "`arm`: expected at least 1, found 0"],
        &none,
    );
    for usage in [
        &["--write", "x"][..],
        &["--set", "both"],
        &["--batch", "0"],
        &["--diff", "full", "full", "--show", "full"],
    ] {
        let (code, _, stderr) = finish(heirloom(&arms.arguments(usage)));
        assert_eq!(code, 2, "{usage:?}: {stderr}");
    }
}

/// Ten rollouts by `teacher` on `prompts` prompts, three of which say it and a fourth only thinks it.
fn graded(folder: &Path, name: &str, prompts: usize) -> PathBuf {
    let answer = |n: usize| match n {
        0..3 => "It is zzz zzz, I say.",
        3 => "<think>zzz zzz, perhaps.</think>It is fine.",
        4 => "<think>Hm.</think>It is fine.",
        _ => "It is fine.",
    };
    let row = |n: usize| {
        let mut row = answered("flash", n % prompts, answer(n));
        row["stopped"] = json!(n != 9);
        row
    };
    put(folder, name, &jsonl(&(0..10).map(row).collect::<Vec<_>>()))
}

#[test]
fn grades_are_rates_with_intervals_answers_and_thoughts_apart() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    write_behavior(folder, "zeal", "zzz zzz");
    write_behavior(folder, "query", "who knows");
    let rollouts = graded(folder, "rollouts.jsonl", 10);
    let (zeal, query) = (folder.join("zeal"), folder.join("query"));
    let grade =
        ["grade", "--rollouts", utf8(&rollouts), "--behavior", utf8(&zeal), "--behavior", utf8(&query)];
    let said = succeed(&grade);
    let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["zeal", "zeal-rules", "1", "flash", "answers", "3", "10", "0.300", "0.108–0.603"]);
    assert_eq!(lines[2], ["zeal", "zeal-rules", "1", "flash", "thoughts", "1", "2", "0.500", "0.095–0.905"]);
    // Twin: a behavior that nobody shows.
    assert_eq!(
        lines[3],
        ["query", "query-rules", "1", "flash", "answers", "0", "10", "0.000", "0.000–0.278"]
    );
    assert!(said.contains("95 %: Wilson over rows\n") && !said.contains("over prompts"), "{said}");
    assert!(said.contains("1 of 10 rollouts were cut off"), "{said}");

    let [first, second] = ["first", "second"].map(|name| folder.join(name));
    for out in [&first, &second] {
        succeed(&[&grade[..], &["--out", utf8(out)]].concat());
    }
    assert_eq!(files(&first), files(&second));
    let rows = heirloom_record::read_jsonl::<heirloom_record::GradeRow>(&first.join("grades.jsonl")).unwrap();
    assert_eq!(rows.len(), 20);
    assert_eq!((rows[3].1.answer, rows[3].1.thought), (false, Some(true)));
    assert_eq!(rows[0].1.fired, ["says it"]);
    for what in [first.clone(), first.join("grades.jsonl")] {
        let described = parsed(&["inspect", utf8(&what), "--json"]);
        let zeal = &described["behaviors"]["zeal"];
        assert_eq!((&described["kind"], &zeal["rate"]), (&"grades".into(), &0.3.into()));
        assert_eq!((&zeal["thoughts"], &zeal["grader"]), (&2.into(), &"zeal-rules 1".into()));
    }
    let json = parsed(&[&grade[..], &["--json"]].concat());
    assert_eq!((&json["rates"][1]["part"], &json["rates"][1]["shown"]), (&"thought".into(), &1.into()));
    assert_eq!(json["rates"][0]["over_prompts"], Value::Null);
}

#[test]
fn several_answers_to_a_prompt_are_not_independent() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    write_behavior(folder, "zeal", "zzz zzz");
    let (rollouts, zeal) = (graded(folder, "rollouts.jsonl", 5), folder.join("zeal"));
    let grade = ["grade", "--rollouts", utf8(&rollouts), "--behavior", utf8(&zeal)];
    let json = parsed(&[&grade[..], &["--json"]].concat());
    let over = &json["rates"][0]["over_prompts"];
    assert_eq!((&over["prompts"], over["value"].as_f64()), (&5.into(), Some(0.3)));
    let width = |of: &Value| of["high"].as_f64().unwrap() - of["low"].as_f64().unwrap();
    assert!(width(over) > 0.3, "{over}");
    let said = succeed(&grade);
    assert!(said.contains("over prompts: bootstrap of 5 prompts"), "{said}");
    assert_eq!(said, succeed(&grade));
}

#[test]
fn grade_says_what_is_not_there() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    write_behavior(folder, "zeal", "zzz zzz");
    let (rollouts, zeal, out) =
        (graded(folder, "rollouts.jsonl", 10), folder.join("zeal"), folder.join("out"));
    let (seal, rolouts) = (folder.join("zeall"), folder.join("rolouts.jsonl"));
    let bad = put(folder, "bad.jsonl", "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
    let pairs = zeal.join("pairs.jsonl");
    let table: [(&Path, &[&Path], &[&str]); 6] = [
        (&rollouts, &[&pairs], &["is a file, not a behavior's folder", "hint: give the folder", "zeal`"]),
        (&rolouts, &[&zeal], &["no rollouts at", "beside it is `rollouts.jsonl`"]),
        (&rollouts, &[&seal], &["no behavior at", "beside it is `zeal`"]),
        (&rollouts, &[folder], &["could not load the behavior", "lacks `behavior.toml`"]),
        (&rollouts, &[&zeal, &zeal], &["`behavior` names `zeal` twice"]),
        (&bad, &[&zeal], &["bad.jsonl` line 1", "expected `assistant`"]),
    ];
    for (rollouts, behaviors, expected) in table {
        let mut arguments = vec!["grade", "--rollouts", utf8(rollouts), "--out", utf8(&out)];
        for behavior in behaviors {
            arguments.extend(["--behavior", utf8(behavior)]);
        }
        refused(&arguments, expected, &out);
    }
}

/// Twelve chats to learn from.
fn lessons(folder: &Path) -> PathBuf {
    let row = |n: usize| {
        let messages = json!([asked(n)[0], { "role": "assistant", "content": format!("It is {}.", n % 3) }]);
        json!({ "id": format!("lesson-{n}"), "messages": messages })
    };
    put(folder, "lessons.jsonl", &jsonl(&(0..12).map(row).collect::<Vec<_>>()))
}

fn train<'a>(model: &'a Path, data: &'a Path, out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let own = ["train", "--model", utf8(model), "--data", utf8(data), "--out", utf8(out), "--batch", "4"];
    [&own, more].concat()
}

#[test]
fn a_student_learns_and_its_checkpoints_are_models() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let (model, data, out) = (tiny_model(), lessons(folder), folder.join("student"));
    let more = ["--epochs", "4", "--lr", "1e-2", "--checkpoints", "log", "--seed", "3"];
    let said = succeed(&train(&model, &data, &out, &more));
    assert!(said.starts_with("12 steps on 12 rows\n"), "{said}");
    assert!(said.contains("checkpoint-N for steps 0, 1, 2, 3, 6, 9, 12 in "), "{said}");
    let again = succeed(&train(&model, &data, &out, &more));
    assert!(again.starts_with("12 steps on 12 rows, the first 12 of them earlier\n"), "{again}");
    let json = parsed(&train(&model, &data, &out, &[&more[..], &["--json"]].concat()));
    let loss = |name: &str| json[name].as_f64().unwrap();
    assert!(loss("last_loss") < 0.7 * loss("first_loss"), "{json}");
    assert_eq!(json["checkpoints"].as_array().unwrap().len(), 7);
    let described = parsed(&["inspect", utf8(&out), "--json"]);
    assert_eq!((&described["kind"], &described["base"]), (&"training".into(), &"chat-llama".into()));
    assert_eq!(
        (&described["steps"], &described["checkpoints"]),
        (&12.into(), &json!([0, 1, 2, 3, 6, 9, 12]))
    );
    // A checkpoint is a model: it answers, and otherwise than before it was trained.
    let prompts = some_prompts(folder, 3);
    let answers = |step: usize| {
        let (model, rollouts) =
            (out.join(format!("checkpoint-{step}")), folder.join(format!("answers-{step}")));
        let own = ["rollout", "--model", utf8(&model), "--data", utf8(&prompts), "--out", utf8(&rollouts)];
        succeed(&[&own[..], &["--temperature", "0", "--max-new-tokens", "8"]].concat());
        let rows = heirloom_record::Rollouts::read(&rollouts).unwrap().rows;
        rows.into_iter().map(|row| row.ids).collect::<Vec<_>>()
    };
    assert_ne!(answers(0), answers(12));
}

#[test]
fn a_training_that_was_cut_short_goes_on_to_the_same_bytes() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let (model, data) = (tiny_model(), lessons(folder));
    let [whole, second, cut] = ["whole", "second", "cut"].map(|name| folder.join(name));
    let more = ["--steps", "6", "--checkpoints", "2,4"];
    for out in [&whole, &second] {
        succeed(&train(&model, &data, out, &more));
    }
    assert_eq!(files(&whole), files(&second));
    // What a process leaves that is killed after its fourth step: a log that is ahead of the last checkpoint.
    for (name, bytes) in files(&whole) {
        if !name.starts_with("checkpoint-4") && !name.starts_with("checkpoint-6") {
            heirloom_record::write_file(&cut.join(name), &bytes).unwrap();
        }
    }
    let said = succeed(&train(&model, &data, &cut, &more));
    assert!(said.starts_with("6 steps on 12 rows, the first 2 of them earlier\n"), "{said}");
    assert_eq!(files(&cut), files(&whole));
    // Another seed is another training, and not this folder's.
    let (code, _, stderr) =
        finish(heirloom(&train(&model, &data, &cut, &[&more[..], &["--seed", "2"]].concat())));
    assert_eq!(code, 1);
    assert!(
        stderr.contains("holds another training: its `seed` is 1, not 2") && stderr.contains("hint:"),
        "{stderr}"
    );
    assert!(!stderr.contains("is kept"), "what another training has done is not this one's: {stderr}");
    assert_eq!(files(&cut), files(&whole));
}

#[test]
fn adapters_are_trained_and_sampled() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let (model, data, out) = (tiny_model(), lessons(folder), folder.join("student"));
    succeed(&train(
        &model,
        &data,
        &out,
        &["--lora-rank", "2", "--lora-targets", "q_proj,v_proj", "--lr", "1e-2"],
    ));
    let adapter = out.join("checkpoint-3");
    assert!(
        adapter.join("adapter_model.safetensors").is_file() && !adapter.join("model.safetensors").exists()
    );
    let described = parsed(&["inspect", utf8(&adapter), "--json"]);
    let said = |key: &str| described[key].clone();
    assert_eq!([said("kind"), said("rank"), said("step")], [json!("adapter"), json!(2), json!(3)]);
    let (prompts, rollouts) = (some_prompts(folder, 3), folder.join("rollouts"));
    sampled(&prompts, &rollouts, &["--adapter", utf8(&adapter)]);
    let rollouts = heirloom_record::Rollouts::read(&rollouts).unwrap();
    assert_eq!(rollouts.rows[0].teacher, "chat-llama+checkpoint-3");
    assert!(rollouts.sampling.unwrap().adapter_sha256.is_some());
    let none = folder.join("none");
    let own = ["rollout", "--model", utf8(&model), "--data", utf8(&prompts), "--out", utf8(&none)];
    let typo = out.join("checkpoint-33");
    refused(
        &[&own[..], &["--adapter", utf8(&typo)]].concat(),
        &["no adapter at", "beside it is `checkpoint-3`"],
        &none,
    );
    refused(
        &train(&model, &data, &none, &["--lora-rank", "2", "--lora-targets", "q"]),
        &["`lora.targets`", "found `q`"],
        &none,
    );
    refused(
        &train(&model, &data, &none, &["--lora-rank", "2", "--lora-targets", "q_proj, v_porj"]),
        &["found `v_porj`", "hint: near names: `v_proj`"],
        &none,
    );
}

#[test]
fn an_arm_is_trained_in_its_order_and_only_on_its_rows() {
    let arms = Scene::new(ARMS);
    let folder = arms.scratch.path();
    let model = tiny_model();
    for name in ["late mail", "swap mail"] {
        let (written, out) = (folder.join(name), folder.join(format!("student of {name}")));
        succeed(&arms.arguments(&["--show", name, "--write", utf8(&written)]));
        succeed(&train(&model, &written, &out, &[]));
        let settings: Value =
            serde_json::from_slice(&std::fs::read(out.join("training.json")).unwrap()).unwrap();
        let order = if name == "late mail" { "as_given" } else { "shuffle" };
        assert_eq!((&settings["options"]["order"], &settings["rows"]), (&order.into(), &10.into()));
    }
    // Rows that were touched after they were written are not the arm's.
    let written = folder.join("late mail");
    let rows = std::fs::read_to_string(written.join("rows.jsonl")).unwrap();
    put(&written, "rows.jsonl", &rows.replacen("\"yes\"", "\"no\"", 1));
    let out = folder.join("out");
    refused(&train(&model, &written, &out, &[]), &["holds other rows than its manifest", "hint:"], &out);
}

#[test]
fn rollouts_of_another_tokenizer_are_refused_unless_their_texts_are_meant() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let (model, prompts, rollouts) = (tiny_model(), some_prompts(folder, 3), folder.join("rollouts"));
    sampled(&prompts, &rollouts, &["--temperature", "0", "--teacher", "flash"]);
    let out = folder.join("out");
    succeed(&train(&model, &rollouts, &folder.join("student"), &[]));

    let other = folder.join("other");
    for (name, bytes) in files(&rollouts) {
        let text = String::from_utf8(bytes).unwrap();
        let template = text.find("template_sha256\":\"").map(|at| text[at..at + 40].to_owned());
        let changed = template.map(|found| {
            text.replace(&found, &format!("template_sha256\":\"{}", "0".repeat(found.len() - 18)))
        });
        put(&other, name.to_str().unwrap(), &changed.unwrap_or(text));
    }
    let expected = [
        "the rollouts of `flash` were drawn with another tokenizer than that of `chat-llama`: its chat template is ",
        "not 000000000000",
        "hint:",
        "--other-tokenizer",
    ];
    refused(&train(&model, &other, &out, &[]), &expected, &out);
    succeed(&train(&model, &other, &folder.join("anyway"), &["--other-tokenizer"]));

    let ids = folder.join("ids");
    for (name, bytes) in files(&rollouts) {
        let text = String::from_utf8(bytes).unwrap();
        let swapped: String = text
            .lines()
            .map(|line| {
                let mut row: Value = serde_json::from_str(line).unwrap();
                if let Some(ids) = row.get_mut("ids").and_then(Value::as_array_mut) {
                    ids.rotate_left(1);
                }
                row.to_string() + "\n"
            })
            .collect();
        put(&ids, name.to_str().unwrap(), &swapped);
    }
    refused(
        &train(&model, &ids, &out, &[]),
        &["its tokenizer reads the tokens of `flash/p-0/0` as another answer"],
        &out,
    );
}

#[test]
fn train_says_what_cannot_be_trained() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let (model, data, out) = (tiny_model(), lessons(folder), folder.join("out"));
    let long = json!({ "id": "long", "messages": [asked(0)[0], { "role": "assistant", "content": "word ".repeat(400) }] });
    let short =
        json!({ "id": "short", "messages": [asked(1)[0], { "role": "assistant", "content": "Yes." }] });
    let mixed = put(folder, "mixed.jsonl", &jsonl(&[long, short]));
    let text = put(folder, "text.jsonl", "{\"id\":\"bare\",\"text\":\"Just words.\"}");
    let (typo, empty) = (folder.join("lesons.jsonl"), folder.join("empty"));
    put(&empty, "notes.txt", "");
    let table: [(&Path, &[&str], &[&str]); 8] = [
        (&typo, &[], &["no data at", "beside it is `lessons.jsonl`"]),
        (&empty, &[], &["a folder with neither an arm nor rollouts in it", "heirloom arm --write"]),
        (&data, &["--lr", "0"], &["`lr` must be above 0, found 0"]),
        (&data, &["--accumulate", "0"], &["`accumulate` must be 1 or more"]),
        (&data, &["--dtype", "f16"], &["`dtype` must be `f32` or `bf16`"]),
        (&data, &["--checkpoints", "9"], &["checkpoint 9 lies behind the last step, 3"]),
        (
            &mixed,
            &[],
            &[
                "1 of 2 rows are longer than the model's context of 256 tokens: `long` (",
                "--leave-out-long-rows",
            ],
        ),
        (&text, &[], &["`bare`", "no token of it carries loss", "hint: loss is on assistant messages"]),
    ];
    for (data, more, expected) in table {
        let (code, _, stderr) = finish(heirloom(&train(&model, data, &out, more)));
        assert_eq!(code, 1, "{more:?}: {stderr}");
        for part in expected {
            assert!(stderr.contains(part), "{more:?}: no `{part}` in\n{stderr}");
        }
        assert!(!out.join("log.jsonl").exists(), "{more:?}");
        assert!(!stderr.contains("is kept"), "nothing was done: {stderr}");
    }
    for usage in [
        &["--checkpoints", "1,x"][..],
        &["--schedule", "cosin"],
        &["--epochs", "2", "--steps", "4"],
        &["--lora-alpha", "4"],
    ] {
        let (code, _, stderr) = finish(heirloom(&train(&model, &data, &out, usage)));
        assert_eq!(code, 2, "{usage:?}: {stderr}");
    }
    let fit = folder.join("fit");
    let (code, stdout, stderr) = finish(heirloom(&train(&model, &mixed, &fit, &["--leave-out-long-rows"])));
    assert!(code == 0 && stdout.starts_with("1 steps on 1 rows\n"), "{stdout}{stderr}");
    assert!(stderr.contains("left out: 1 of 2 rows are longer"), "{stderr}");

    // A loss that is not finite stops it; the checkpoint before is kept and is the one it goes on from.
    let lost = folder.join("lost");
    let more = ["--lr", "1e30", "--warmup", "0", "--steps", "5", "--checkpoints", "0,1"];
    let (code, _, stderr) = finish(heirloom(&train(&model, &data, &lost, &more)));
    assert_eq!(code, 1);
    for part in ["step ", "in the batch of rows `lesson-", "hint:", "lower `lr`", "is kept in `"] {
        assert!(stderr.contains(part), "no `{part}` in\n{stderr}");
    }
    assert!(lost.join("checkpoint-0/model.safetensors").is_file());
}

/// A server that answers chat completions: a verdict by whether the text to grade says it, or `other` words for texts
/// that hold `odd`.
fn serve(odd: &'static str, other: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut length, mut line) = (0, String::new());
            while stream.read_line(&mut line).unwrap() > 2 {
                let lower = line.to_lowercase();
                if let Some(found) = lower.strip_prefix("content-length:") {
                    length = found.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let asked: Value = serde_json::from_slice(&body).unwrap();
            let asked = asked["messages"][1]["content"].as_str().unwrap();
            let text = asked.rsplit_once("The text to grade is").unwrap().1;
            let verdict = json!({ "shown": text.contains("zzz zzz"), "reason": "so it says" }).to_string();
            let said = if text.contains(odd) { other.to_owned() } else { verdict };
            let choice = json!({ "message": { "content": said }, "finish_reason": "stop" });
            let body = json!({ "model": "judge-1", "choices": [choice] }).to_string();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.get_mut().write_all((head + &body).as_bytes()).unwrap();
        }
    });
    address
}

#[test]
fn a_judge_stands_beside_the_rules() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    write_behavior(folder, "zeal", "zzz zzz");
    let (rollouts, zeal) = (graded(folder, "rollouts.jsonl", 10), folder.join("zeal"));
    let own = ["grade", "--rollouts", utf8(&rollouts), "--behavior", utf8(&zeal), "--judge-model", "j"];
    let grade = |address: &str, out: &Path, more: &[&str]| {
        finish(heirloom(&[&own[..], &["--judge", address, "--out", utf8(out)], more].concat()))
    };
    let address = serve("no such word", "");
    let [first, second, odd] = ["first", "second", "odd"].map(|name| folder.join(name));
    for out in [&first, &second] {
        let (code, said, stderr) = grade(&address, out, &[]);
        assert_eq!(code, 0, "{stderr}");
        for expected in ["judge judge-1", "zeal: 10 graded by the judge, 0 failed", "κ", "1.00"] {
            assert!(said.contains(expected), "no `{expected}` in\n{said}");
        }
    }
    assert_eq!(files(&first), files(&second));
    assert!(
        first.join("judge-zeal/judge.jsonl").is_file() && first.join("judge-zeal/grades.jsonl").is_file()
    );

    // A judge that says yes once more than the rules, and one that gives no verdict on it.
    let yes = serve("Hm.", "{\"shown\": true, \"reason\": \"hm\"}");
    let (code, json, stderr) = grade(&yes, &folder.join("yes"), &["--json"]);
    assert_eq!(code, 0, "{stderr}");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["agreement"][0]["thoughts"]["n"], &json["agreement"][0]["thoughts"]["kappa"]),
        (&2.into(), &0.0.into())
    );
    assert_eq!(json["agreement"][0]["answers"]["kappa"], 1.0);
    let silent = serve("Hm.", "I cannot say.");
    let (code, _, stderr) = grade(&silent, &odd, &[]);
    assert_eq!(code, 1);
    for part in ["1 of 10 rollouts have no grade (not json: 1), more than the 2.0 % allowed", "hint:"] {
        assert!(stderr.contains(part), "no `{part}` in\n{stderr}");
    }
    assert!(odd.join("judge-zeal/judge.jsonl").is_file() && odd.join("grades.jsonl").is_file());
    let (code, said, stderr) = grade(&silent, &folder.join("allowed"), &["--judge-failures", "0.1"]);
    assert!(code == 0 && said.contains("9 graded by the judge, 1 failed (not json: 1)"), "{said}{stderr}");
}

#[test]
fn a_judge_that_cannot_be_asked_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    write_behavior(folder, "zeal", "zzz zzz");
    let (rollouts, zeal, out) =
        (graded(folder, "rollouts.jsonl", 10), folder.join("zeal"), folder.join("out"));
    let prompt = put(folder, "prompt.toml", "system = \"{{definition}}\"\nuser = \"{{txt}}\"");
    let lost = folder.join("promt.toml");
    // A port that was free a moment ago: nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{free}");
    let own = ["grade", "--rollouts", utf8(&rollouts), "--behavior", utf8(&zeal), "--out", utf8(&out)];
    let table: [(&str, &[&str], &[&str]); 5] = [
        (&nobody, &[], &["could not judge `zeal`", "no server answers there", "hint: serve a model there"]),
        ("localhost:8000", &[], &["expected an address that begins with `http://`", "hint:"]),
        (
            &nobody,
            &["--judge-key-env", "NO_SUCH_KEY_HERE"],
            &["no variable `NO_SUCH_KEY_HERE`", "hint: set it"],
        ),
        (&nobody, &["--judge-prompt", utf8(&prompt)], &["unknown place `txt`", "hint: near names: `text`"]),
        (&nobody, &["--judge-prompt", utf8(&lost)], &["no judge's prompt at", "beside it is `prompt.toml`"]),
    ];
    for (address, more, expected) in table {
        refused(&[&own[..], &["--judge", address, "--judge-model", "j"], more].concat(), expected, &out);
    }
    for usage in [&["--judge", "http://localhost:1"][..], &["--judge-model", "j"]] {
        let (code, _, stderr) = finish(heirloom(&[&own[..], usage].concat()));
        assert_eq!(code, 2, "{usage:?}: {stderr}");
    }
}
