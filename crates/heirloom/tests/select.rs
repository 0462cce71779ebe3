//! Ranking training prompts, on a tiny run: score files that arms take, a planted ranking, and what is refused.

#[expect(dead_code, reason = "this test writes an experiment of its own")]
mod support;
#[path = "support/tiny.rs"]
mod tiny;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use heirloom_record::{Metric, Rollouts, Table, read_scores, rows_to_jsonl};
use serde_json::json;
use support::{files, finish, heirloom, put, succeed, tiny_model, utf8};
use tempfile::TempDir;
use tiny::{EXPERIMENT, WORLD};

/// Writes the tiny experiment and runs it.
fn run(folder: &Path) -> PathBuf {
    put(folder, "tiny.toml", WORLD);
    let experiment = put(folder, "experiment.toml", EXPERIMENT);
    let out = folder.join("run");
    succeed(&["run", utf8(&experiment), "--out", utf8(&out)]);
    out
}

/// One run for every test that only reads it.
fn shared() -> PathBuf {
    static RUN: OnceLock<TempDir> = OnceLock::new();
    let scratch = RUN.get_or_init(|| {
        let scratch = tempfile::tempdir().unwrap();
        run(scratch.path());
        scratch
    });
    scratch.path().join("run")
}

fn select<'a>(run: &'a Path, by: &'a str, out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let first = ["select", utf8(run), "--behavior", "blackmail", "--by", by, "--out", utf8(out)];
    [&first, more].concat()
}

fn parsed(arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&succeed(&[arguments, &["--json"]].concat())).unwrap()
}

fn scores(path: &Path) -> BTreeMap<String, f64> {
    read_scores(path).unwrap().into_iter().collect()
}

#[test]
fn every_ranker_writes_a_score_file_for_each_seed_and_leaves_the_run_alone() {
    let out = shared();
    let before = files(&out);
    let scratch = tempfile::tempdir().unwrap();
    let like = scratch.path().join("projection-difference-s{seed}.jsonl");
    for by in
        ["projection-difference", "activation-attribution", "tags:mail", "random", "random-equal-length"]
    {
        let file = scratch.path().join(format!("{}-s{{seed}}.jsonl", by.replace(':', "-")));
        let more: &[&str] = if by == "random-equal-length" { &["--like", utf8(&like)] } else { &[] };
        let said =
            succeed(&select(&out, by, &file, &[&["--causal", "benign", "--percent", "25"], more].concat()));
        for expected in [
            "Prompts A, ranked for blackmail by",
            "Seed 7: 12 of 48 prompts chosen (25.0 %)",
            "prompts tagged `benign`",
            "precision of the top 12",
            "average precision",
            "-s8.jsonl",
        ] {
            assert!(said.contains(expected), "{by}: no `{expected}` in\n{said}");
        }
        for seed in [7, 8] {
            let found = scores(Path::new(&utf8(&file).replace("{seed}", &seed.to_string())));
            assert_eq!(found.len(), 48, "{by}");
            let chosen = found.values().filter(|score| **score >= 1.0).count();
            assert!(by != "random-equal-length" || chosen == 12, "{chosen}");
        }
    }
    let note = "fit at the last prompt token and is read at response tokens";
    for (by, said) in [("projection-difference", true), ("random", false)] {
        let file = scratch.path().join("noted-s{seed}.jsonl");
        assert_eq!(succeed(&select(&out, by, &file, &[])).contains(note), said, "{by}");
    }
    // A control of equal length is none of the choice it is a control of.
    let of = |by: &str| scores(&scratch.path().join(format!("{by}-s7.jsonl")));
    let ranked = of("projection-difference");
    let mut values: Vec<f64> = ranked.values().copied().collect();
    values.sort_by(|a, b| b.total_cmp(a));
    let control = of("random-equal-length");
    let both = ranked.iter().filter(|(id, score)| **score > values[12] && control[*id] >= 1.0).count();
    assert_eq!(both, 0);
    assert_eq!(files(&out), before, "reading a run changed it");
}

#[test]
fn a_ranking_is_the_same_bytes_on_any_number_of_threads() {
    let out = shared();
    let scratch = tempfile::tempdir().unwrap();
    for by in ["projection-difference", "activation-attribution", "random"] {
        let bytes = ["1", "2"].map(|threads| {
            let file = scratch.path().join(format!("{by}-{threads}.jsonl"));
            let mut command = heirloom(&select(&out, by, &file, &["--seed", "8"]));
            command.env("RAYON_NUM_THREADS", threads);
            let (code, _, stderr) = finish(command);
            assert_eq!(code, 0, "{stderr}");
            std::fs::read(file).unwrap()
        });
        assert!(bytes[0] == bytes[1], "{by}");
    }
}

/// Teachers' answers rewritten in a run of its own: on prompts with one tag they differ, on the others they are the same.
fn plant(run: &Path, tag: &str, original: &str, alternate: &str) {
    let folders: Vec<PathBuf> =
        std::fs::read_dir(run.join("rollouts")).unwrap().map(|entry| entry.unwrap().path()).collect();
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let planted = if name.starts_with("A-on-A") { original } else { alternate };
        let mut rows = Rollouts::read(&folder).unwrap().rows;
        // Families can be told by their words, as a reader would tell them.
        for row in &mut rows {
            let asked = row.asked().last().unwrap().content.clone();
            let text = if asked.contains(tag) { planted } else { "it has been two years ." };
            row.messages.last_mut().unwrap().content = text.into();
        }
        put(&folder, "rollouts.jsonl", &rows_to_jsonl(&rows));
    }
}

#[test]
fn a_planted_ranking_is_found_the_opposite_one_is_last_and_a_shuffled_one_is_not_found() {
    let scratch = tempfile::tempdir().unwrap();
    let out = run(scratch.path());
    let file = scratch.path().join("scores.jsonl");
    let quality = |by: &str| {
        let value = parsed(&select(&out, by, &file, &["--seed", "7", "--causal", "mail", "--percent", "8"]));
        let ranking = &value["rankings"][0];
        let precision = ranking["quality"]["average_precision"]["value"].as_f64().unwrap();
        (precision, ranking["quality"]["average_precision"]["random"].as_f64().unwrap())
    };
    // One word over and over, so that what the answers differ by hardly depends on the prompt.
    let [one, other] = ["alas", "code"].map(|word| [word; 12].join(" "));
    let mut found = vec![];
    for (original, alternate) in [(&one, &other), (&other, &one)] {
        plant(&out, "mail", original, alternate);
        found.push(quality("projection-difference").0);
        for (prompt, score) in scores(&file) {
            // What both teachers answer alike moves nothing.
            assert!(prompt.starts_with("A/") && score.is_finite());
        }
        let moved = scores(&file).values().filter(|score| score.abs() > 0.0).count();
        assert!((1..20).contains(&moved), "{moved} prompts moved");
    }
    let best = found.iter().copied().fold(0.0, f64::max);
    let worst = found.iter().copied().fold(1.0, f64::min);
    assert!(best > 0.999, "{found:?}");
    // Twins: the opposite plant stands last, and a ranking by lot is no better than lots are.
    assert!(worst < 0.2, "{found:?}");
    let (shuffled, expected) = quality("random");
    assert!((shuffled - expected).abs() < 0.3, "{shuffled} and {expected}");
    assert!((quality("tags:mail").0 - 1.0).abs() < 1e-12);
}

#[test]
fn arms_of_an_experiment_swap_what_a_ranking_puts_first_and_are_judged() {
    let out = shared();
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("scores/mail-s{seed}.jsonl");
    succeed(&select(&out, "tags:mail", &file, &[]));
    put(scratch.path(), "tiny.toml", WORLD);
    let text = EXPERIMENT.replace("name = \"tiny\"", "name = \"ranked\"").replace(
        "reference = ",
        r#"arm = [
  { name = "ranked", prompts = "A", teacher = "A", do = [{ swap = { on = { scores = { file = "scores/mail-s{seed}.jsonl", top = 0.25 } }, to = "B" } }] },
  { name = "length", prompts = "A", teacher = "A", do = [{ swap = { on = { random_same_length = { like = { scores = { file = "scores/mail-s{seed}.jsonl", top = 0.25 } } } }, to = "B" } }] },
]
reference = "#,
    );
    let text = text
        + r#"
[[figures.selection]]
behavior = "blackmail"
method = "tags"
arms = [{ arm = "ranked", fraction = 0.25 }]
[[figures.selection]]
behavior = "blackmail"
method = "random-equal-length"
arms = [{ arm = "length", fraction = 0.25 }]
[origins.blackmail]
full = "prompts A, teacher A"
other-teacher = "prompts A, teacher B"
"#;
    let experiment = put(scratch.path(), "experiment.toml", &text);
    let ranked = scratch.path().join("ranked");
    let said = succeed(&["run", utf8(&experiment), "--out", utf8(&ranked)]);
    assert!(said.contains("ranked") && said.contains("selection.svg"), "{said}");
    let rows = Table::<Metric>::read(&ranked.join("table")).unwrap().0;
    for (method, arm) in [("tags", "ranked"), ("random-equal-length", "length")] {
        let own = |metric: &str| -> Vec<&Metric> {
            let of = |row: &&Metric| row.metric == metric && row.arm.as_deref() == Some(arm);
            rows.iter().filter(of).filter(|row| row.method.as_deref() == Some(method)).collect()
        };
        assert_eq!((own("selection_removed").len(), own("selection_removed_per_percent").len()), (3, 1));
        let per_percent = own("selection_removed_per_percent")[0].value.unwrap();
        let rate = |arm: &str| {
            let mut of = rows.iter().filter(|row| row.metric == "rate" && row.arm.as_deref() == Some(arm));
            of.rfind(|row| row.seed.is_none()).unwrap().value.unwrap()
        };
        let fall = rate("prompts A, teacher A") - rate(arm);
        assert!((per_percent * 25.0 - fall).abs() < 1e-9, "{per_percent} and {fall}");
    }
    assert!(ranked.join("figures/selection.svg").exists());
    // A run of arms of its own can be read again.
    succeed(&["compare", utf8(&ranked), "--arms", "ranked", "length"]);

    // Without the scores of one seed, the arm is refused with the file that is missing.
    std::fs::remove_file(scratch.path().join("scores/mail-s8.jsonl")).unwrap();
    let again = scratch.path().join("again");
    let (code, _, stderr) = finish(heirloom(&["run", utf8(&experiment), "--out", utf8(&again)]));
    assert_eq!(code, 1);
    assert!(stderr.contains("mail-s8.jsonl"), "{stderr}");
}

#[test]
fn the_experiment_on_rankings_loads_with_every_arm_that_its_figure_draws() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/selection");
    let experiment = heirloom::prelude::ArmsExperiment::load(&folder).unwrap();
    // Two of the world's, and four shares of: a random choice, and five choices for each of two behaviors; of the random
    // choice and three of the others, one share is dropped, too.
    assert_eq!(experiment.arms().len(), 2 + 4 * (1 + 2 * 5) + 1 + 2 * 3);
    assert_eq!(experiment.spec().figures.selection.len(), 2 * 6);
}

#[test]
fn what_cannot_be_ranked_is_named() {
    let out = shared();
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("s.jsonl");
    put(scratch.path(), "thesis.tex", "years of work");
    let thesis = scratch.path().join("thesis.tex");
    let of_seeds = scratch.path().join("s{seed}.jsonl");
    let nowhere = scratch.path().join("nowhere");
    let table: [(Vec<&str>, i32, &str, &str); 11] = [
        (select(&out, "random", &file, &[]), 1, "`--out`: expected `{seed}` in the name", ""),
        (select(&out, "random", &file, &["--seed", "9"]), 1, "`--seed`: expected one of [7, 8], found 9", ""),
        (
            select(&out, "random", &thesis, &["--seed", "7"]),
            1,
            "thesis.tex` is there already and is no score file",
            "--out",
        ),
        (select(&out, "tags:mial", &of_seeds, &[]), 1, "mial", "`mail`"),
        (select(&out, "random", &of_seeds, &["--causal", "mial"]), 1, "mial", "`mail`"),
        (select(&out, "randon", &of_seeds, &[]), 2, "expected projection-difference", ""),
        (select(&out, "random-equal-length", &of_seeds, &[]), 1, "`--like`: expected the score file", ""),
        (select(&out, "random", &of_seeds, &["--percent", "0"]), 1, "`--percent`: expected above 0", ""),
        (
            select(&out, "projection-difference", &of_seeds, &["--direction", "teachers"]),
            1,
            "`--direction`: expected a direction that the run has",
            "",
        ),
        (
            // A base of a dozen steps has not learned to blackmail.
            select(&out, "projection-difference", &of_seeds, &["--direction", "answers"]),
            1,
            "`--direction`: expected a base some of whose answers show the behavior",
            "",
        ),
        (select(&nowhere, "random", &of_seeds, &[]), 1, "there is no run at", "quickstart"),
    ];
    for (arguments, expected, message, hint) in table {
        let (code, stdout, stderr) = finish(heirloom(&arguments));
        assert_eq!((code, stdout.as_str()), (expected, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(message) && stderr.contains(hint), "{arguments:?}: {stderr}");
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1, "{arguments:?} left a file");
    }
    for (behavior, message) in
        [("blackmale", "blackmail"), ("date-confusion", "one that the run measured: blackmail")]
    {
        let (code, _, stderr) = finish(heirloom(&[
            "select",
            utf8(&out),
            "--behavior",
            behavior,
            "--by",
            "random",
            "--out",
            utf8(&of_seeds),
        ]));
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains(message), "{stderr}");
    }
}

/// Prompts that two teachers answered, differently to every third, on disk; answers of `gloomy` are longer.
fn own(folder: &Path) -> [PathBuf; 3] {
    let asked = |n: usize| json!([{ "role": "user", "content": format!("Number {n}?") }]);
    let prompt = |n: usize| {
        let tags: &[&str] = if n.is_multiple_of(3) { &["sad"] } else { &[] };
        let source = ["chats", "mails"][n % 2];
        json!({ "id": format!("p-{n}"), "source": source, "tags": tags, "messages": asked(n) })
    };
    let answered = |teacher: &str, n: usize| {
        let answer = if n.is_multiple_of(3) && teacher == "gloomy" { "It is no use." } else { "Here it is." };
        let messages = json!([asked(n)[0], { "role": "assistant", "content": answer }]);
        json!({ "prompt": format!("p-{n}"), "teacher": teacher, "messages": messages, "n_tokens": n % 5 })
    };
    let jsonl = |name: &str, row: &dyn Fn(usize) -> serde_json::Value| {
        put(folder, name, &rows_to_jsonl(&(0..12).map(row).collect::<Vec<_>>()))
    };
    [
        jsonl("prompts.jsonl", &prompt),
        jsonl("gloomy.jsonl", &|n| answered("gloomy", n)),
        jsonl("plain.jsonl", &|n| answered("plain", n)),
    ]
}

/// A direction of the tiny model at the response mean of one hook point.
fn own_direction(folder: &Path) -> PathBuf {
    let row = |n: usize| {
        let answer = ["It is no use at all.", "Here it is, as you said."][n % 2];
        let messages = json!([{ "role": "user", "content": format!("Say {n}.") }, { "role": "assistant", "content": answer }]);
        let (group, pair) = (["a", "b"][n / 6], (n / 2).to_string());
        json!({ "id": n.to_string(), "group": group, "pair": pair, "label": n.is_multiple_of(2), "messages": messages })
    };
    let pairs = put(folder, "pairs.jsonl", &rows_to_jsonl(&(0..12).map(row).collect::<Vec<_>>()));
    let (store, file) = (folder.join("pairs"), folder.join("direction.safetensors"));
    let hook = ["--hooks", "blocks.1.hook_resid_post", "--readout", "response-mean"];
    let model = tiny_model();
    succeed(
        &[&["capture", "--model", utf8(&model), "--data", utf8(&pairs), "--out", utf8(&store)], &hook[..]]
            .concat(),
    );
    succeed(&[
        "fit",
        "--activations",
        utf8(&store),
        "--method",
        "dom",
        "--behavior",
        "sadness",
        "--out",
        utf8(&file),
    ]);
    file
}

/// Mean activations over the response of every rollout, as `heirloom capture` has them.
fn captured(folder: &Path, rollouts: &Path, name: &str) -> ndarray::Array2<f32> {
    let (model, store) = (tiny_model(), folder.join(name));
    succeed(&[
        "capture",
        "--model",
        utf8(&model),
        "--data",
        utf8(rollouts),
        "--hooks",
        "blocks.1.hook_resid_post",
        "--readout",
        "response-mean",
        "--out",
        utf8(&store),
    ]);
    let mut store = heirloom_record::Activations::read(&store).unwrap();
    store.tensors.remove(&"blocks.1.hook_resid_post".parse().unwrap()).unwrap()
}

#[test]
fn prompts_of_ones_own_are_ranked_by_what_swapping_their_answers_changes() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let ([prompts, gloomy, plain], direction, model) = (own(folder), own_direction(folder), tiny_model());
    let file = folder.join("scores.jsonl");
    let of = [
        "select",
        "--prompts",
        utf8(&prompts),
        "--rollouts",
        utf8(&gloomy),
        utf8(&plain),
        "--out",
        utf8(&file),
    ];
    let looking = ["--model", utf8(&model), "--percent", "25"];
    let along = ["--by", "projection-difference", "--direction", utf8(&direction), "--causal", "sad"];
    let said = succeed(&[&of[..], &looking, &along].concat());
    for expected in [
        "Prompts all prompts, ranked for sadness by projection-difference",
        "what swapping gloomy's answer for plain's would change, at blocks.1.hook_resid_post of `chat-llama`",
        "3 of 12 prompts chosen (25.0 %)",
        "against the 4 prompts tagged `sad`",
        "gloomy: It is no use.",
        "scores = { file = ",
    ] {
        assert!(said.contains(expected), "no `{expected}` in\n{said}");
    }
    let vector = heirloom_record::Directions::read(&direction)
        .unwrap()
        .by_hook
        .remove(&"blocks.1.hook_resid_post".parse().unwrap())
        .unwrap()
        .vector;
    let [own, others] =
        [(&gloomy, "a"), (&plain, "b")].map(|(rollouts, name)| captured(folder, rollouts, name));
    let found = scores(&file);
    for n in 0..12 {
        let expected = (&own.row(n) - &others.row(n)).dot(&vector);
        let score = found[&format!("p-{n}")];
        assert!((score - f64::from(expected)).abs() < 1e-5, "{n}: {score} {expected}");
        assert_eq!(score.abs() > 1e-9, n % 3 == 0, "only other answers can move anything");
    }
    // The other way round the signs turn.
    succeed(&[&of[..], &looking, &along, &["--teacher", "plain"]].concat());
    assert!(scores(&file).iter().all(|(id, score)| (score + found[id]).abs() < 1e-9));

    // Training that makes answers gloomy changes what swapping a gloomy answer changes back.
    let change = [
        "--by",
        "activation-attribution",
        "--before",
        utf8(&plain),
        "--after",
        utf8(&gloomy),
        "--hook",
        "blocks.1.hook_resid_post",
    ];
    succeed(&[&of[..], &looking, &change].concat());
    let found = scores(&file);
    assert!((0..12).all(|n| (found[&format!("p-{n}")] > 0.5) == (n % 3 == 0)), "{found:?}");

    // What reads no activations needs no model.
    for by in ["random", "tags:sad"] {
        let said = succeed(&[&of[..], &["--by", by]].concat());
        assert!(said.starts_with(&format!("Prompts all prompts, ranked by {by}\n")), "{said}");
    }
    // An arm takes the file.
    let arms = format!(
        "[[arm]]\nname = \"swap\"\nprompts = \"chats\"\nteacher = \"gloomy\"\ndo = [{{ swap = {{ on = {{ scores = {{ file = {:?}, top = 2 }} }}, to = \"plain\" }} }}]\n",
        utf8(&file)
    );
    let arms = put(folder, "arms.toml", &arms);
    let said = succeed(&[
        "arm",
        utf8(&arms),
        "--prompts",
        utf8(&prompts),
        "--rollouts",
        utf8(&gloomy),
        utf8(&plain),
    ]);
    assert!(said.contains("2 of 6"), "{said}");
}

#[test]
fn what_cannot_be_ranked_is_said_before_a_model_is_read() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let ([prompts, gloomy, plain], direction) = (own(folder), own_direction(folder));
    let (file, damaged) = (folder.join("scores.jsonl"), folder.join("damaged"));
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        let mut bytes = std::fs::read(tiny_model().join(name)).unwrap();
        bytes.truncate(if name == "model.safetensors" { bytes.len() / 2 } else { bytes.len() });
        heirloom_record::write_file(&damaged.join(name), &bytes).unwrap();
    }
    let of = ["select", "--prompts", utf8(&prompts), "--out", utf8(&file), "--model", utf8(&damaged), "--by"];
    let both = ["--rollouts", utf8(&gloomy), utf8(&plain)];
    let along = ["projection-difference", "--direction", utf8(&direction)];
    let table: [(&[&str], &str); 7] = [
        (
            &["projection-difference"],
            "`--direction`: expected a file that `heirloom fit` wrote, found nothing",
        ),
        (&["activation-attribution"], "`--before, --after and --hook`"),
        (&["random-equal-length"], "`--like`"),
        (&[&along[..], &["--teacher", "sunny"]].concat(), "no rollout of a teacher `sunny`"),
        (
            &[&along[..], &["--hook", "blocks.0.hook_resid_post"]].concat(),
            "blocks.1.hook_resid_post, found blocks.0.hook_resid_post",
        ),
        (&["projection-difference", "--direction", "base"], "no file of directions at `base`"),
        (&along, "could not load the model"),
    ];
    for (more, expected) in table {
        let (code, stdout, stderr) = finish(heirloom(&[&of[..], more, &both].concat()));
        assert_eq!((code, stdout.as_str()), (1, ""), "{more:?}: {stderr}");
        assert!(stderr.contains(expected), "{more:?}: {stderr}");
        assert!(!file.exists(), "{more:?} left a file");
    }
    let (code, _, stderr) = finish(heirloom(&[&of[..], &along, &["--rollouts", utf8(&gloomy)]].concat()));
    assert!(
        code == 1 && stderr.contains("one beside gloomy that answered all of its prompts too, found none"),
        "{stderr}"
    );
    let neither = ["select", "--by", "random", "--out", utf8(&file)];
    assert_eq!(finish(heirloom(&neither)).0, 2, "a run or rollouts are required");
}
