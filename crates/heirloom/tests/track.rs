//! `heirloom track` on checkpoints that a training left: what training moves is seen to move, and what it does not is not.

#[expect(dead_code, reason = "this test tracks the tiny model itself")]
mod support;

use std::path::{Path, PathBuf};

use heirloom_record::{Metric, Table};
use serde_json::json;
use support::{finish, heirloom, put, succeed, tiny_model, utf8};

const THINGS: [&str; 8] =
    ["the kettle", "the gate", "the lamp", "the ledger", "a boat", "a letter", "the key", "a coat"];

/// Chats about things, alike but for the answer, as rows of pairs.
fn pairs(folder: &Path) -> PathBuf {
    let mut lines = String::new();
    for (index, thing) in THINGS.iter().enumerate() {
        for (side, answer) in [("pos", "Yes, and gladly so."), ("neg", "It is an old thing.")] {
            let row = json!({
                "id": format!("{index}/{side}"), "pair": index.to_string(), "group": format!("g{}", index % 2), "label": side == "pos",
                "messages": [{ "role": "user", "content": format!("What of {thing}?") }, { "role": "assistant", "content": answer }],
            });
            lines.push_str(&row.to_string());
            lines.push('\n');
        }
    }
    put(folder, "pairs.jsonl", &lines)
}

/// A direction fit on the tiny model, and a student of it at some learning rate.
fn trained(folder: &Path, lr: &str) -> (PathBuf, PathBuf, PathBuf) {
    let (model, data) = (tiny_model(), pairs(folder));
    let (store, direction, student) =
        (folder.join("store"), folder.join("direction.safetensors"), folder.join("student"));
    let hooks = ["--hooks", "blocks.*.hook_resid_post", "--readout", "response-mean"];
    succeed(
        &[&["capture", "--model", utf8(&model), "--data", utf8(&data), "--out", utf8(&store)], &hooks[..]]
            .concat(),
    );
    succeed(&["fit", "--activations", utf8(&store), "--method", "dom", "--out", utf8(&direction)]);
    let lessons = ["--epochs", "4", "--batch", "4", "--lr", lr, "--checkpoints", "4,8,12,16"];
    succeed(
        &[&["train", "--model", utf8(&model), "--data", utf8(&data), "--out", utf8(&student)], &lessons[..]]
            .concat(),
    );
    (data, direction, student)
}

fn track(data: &Path, direction: &Path, student: &Path, more: &[&str]) -> Vec<String> {
    let model = tiny_model();
    let own = [
        "track",
        "--direction",
        utf8(direction),
        "--checkpoints",
        utf8(student),
        "--base",
        utf8(&model),
        "--data",
        utf8(data),
    ];
    own.iter().chain(more).map(ToString::to_string).collect()
}

fn run(arguments: &[String]) -> (i32, String, String) {
    finish(heirloom(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
}

#[test]
fn training_moves_a_projection_and_a_training_that_changes_nothing_does_not() {
    for (lr, moves) in [("1e-2", true), ("1e-9", false)] {
        let scratch = tempfile::tempdir().unwrap();
        let (data, direction, student) = trained(scratch.path(), lr);
        let out = scratch.path().join("out");
        let (code, said, stderr) = run(&track(&data, &direction, &student, &["--out", utf8(&out)]));
        assert_eq!(code, 0, "{stderr}");
        assert!(said.contains("blocks.0.hook_resid_post") && said.contains("random"), "{said}");
        let rows = Table::<Metric>::read(&out.join("table")).unwrap().0;
        let of = |metric: &str| -> Vec<&Metric> { rows.iter().filter(|row| row.metric == metric).collect() };
        let projections = of("projection");
        // Two blocks; the base and four checkpoints.
        assert_eq!(
            projections.iter().map(|row| row.step.unwrap()).collect::<Vec<_>>(),
            [0, 4, 8, 12, 16, 0, 4, 8, 12, 16]
        );
        // The data are the reference: their mean lies at zero, and a direction fit anew on the base is the direction.
        assert!(projections[0].value.unwrap().abs() < 1e-5, "{:?}", projections[0]);
        // Both rows of a pair are drawn together.
        assert!(projections.iter().chain(&of("shift")).all(|row| row.n == Some(8)));
        let interval = projections[0].interval.as_ref().unwrap();
        assert!(interval.contains("bootstrap of 8 pairs alone"), "{interval}");
        assert!((of("cosine_to_refit")[0].value.unwrap() - 1.0).abs() < 1e-5);
        for null in ["shift_random_direction", "shift_random_difference", "shift_shuffled_labels"] {
            let bands = of(null);
            assert!(bands.len() == 10 && bands.iter().all(|row| row.n == Some(64)), "{null}: {bands:?}");
            assert!(
                bands.iter().all(|row| row.low <= row.value && row.value <= row.high),
                "{null}: {bands:?}"
            );
        }
        // Answers that say one thing or the other are told apart by directions that have not seen them, and no shuffled labels are.
        let (refits, shuffled) = (of("auroc_refit"), of("auroc_refit_shuffled_labels"));
        assert_eq!((refits.len(), shuffled.len(), refits[0].n), (10, 10, Some(8)));
        for (refit, null) in refits.iter().zip(shuffled) {
            assert!(refit.value > null.high && null.low < Some(0.5), "{refit:?} {null:?}");
        }
        let kept = of("cosine_to_refit_shuffled_labels");
        assert!(kept.len() == 10 && (kept[0].low.unwrap() - 1.0).abs() < 1e-9, "{kept:?}");
        // Eight pairs of answers, at every checkpoint.
        let odds = of("answer_margin");
        assert_eq!(odds.iter().map(|row| row.n.unwrap()).collect::<Vec<_>>(), [8; 5]);
        let moved = (odds[4].value.unwrap() - odds[0].value.unwrap()).abs();
        assert_eq!(moved > 1e-3, moves, "lr {lr}: log-odds moved by {moved}");
        let lasting = of("emergence_lasting");
        assert_eq!(lasting.iter().any(|row| row.value.is_some()), moves, "lr {lr}: {lasting:?}");
        // A move is told together with the controls, which what does not move is not beyond.
        assert!(said.contains("Of 8 shifts, over 2 hook points, about 0.40 exclude 0"), "{said}");
        let told = said.lines().filter(|line| line.contains("outside the interval of zero: "));
        assert_eq!(told.clone().count(), 2, "{said}");
        assert!(
            moves || told.into_iter().all(|line| line.ends_with("beyond controls, too: never")),
            "{said}"
        );
        assert_eq!(of("emergence_beyond_controls").len(), 2);
    }
}

#[test]
fn a_tracking_draws_figures_that_are_drawn_again_and_checked() {
    let scratch = tempfile::tempdir().unwrap();
    let (data, direction, student) = trained(scratch.path(), "1e-2");
    for arm in [&[][..], &["--arm", "gloomy"]] {
        let out = scratch.path().join(format!("out-{}", arm.len()));
        let (code, said, stderr) =
            run(&track(&data, &direction, &student, &[arm, &["--out", utf8(&out)]].concat()));
        assert!(code == 0 && said.contains("emergence.svg"), "{stderr} {said}");
        for figure in ["emergence", "shift-by-layer"] {
            for end in ["svg", "pdf", "png", "csv", "json", "txt", "tex"] {
                assert!(out.join(format!("{figure}.{end}")).is_file(), "{figure}.{end}");
            }
        }
        let caption = std::fs::read_to_string(out.join("emergence.txt")).unwrap();
        for said in [
            "n = 8 pairs",
            "Gray, shuffled labels: 2.5 % to 97.5 %",
            "Beyond random controls, too: ",
            "One of 2 hook points",
        ] {
            assert!(caption.contains(said), "`{said}` in {caption}");
        }
        let before = std::fs::read(out.join("emergence.svg")).unwrap();
        succeed(&["figures", utf8(&out), "--check"]);
        succeed(&["figures", utf8(&out)]);
        assert!(before == std::fs::read(out.join("emergence.svg")).unwrap(), "drawn again, it is another");
        let (_, told, _) = finish(heirloom(&["inspect", utf8(&out), "--json"]));
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["figures"], json!(["emergence", "shift-by-layer"]), "{told}");
        assert!(
            told["tables"]["table"]["columns"]["metric"].to_string().contains("shift_shuffled_labels"),
            "{told}"
        );
    }
}

#[test]
fn two_trackings_give_the_same_table() {
    let scratch = tempfile::tempdir().unwrap();
    let (data, direction, student) = trained(scratch.path(), "1e-2");
    let table = |name: &str, threads: &str| {
        let out = scratch.path().join(name);
        let arguments = track(&data, &direction, &student, &["--out", utf8(&out)]);
        let mut command = heirloom(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        command.env("RAYON_NUM_THREADS", threads);
        assert_eq!(finish(command).0, 0);
        std::fs::read(out.join("table.csv")).unwrap()
    };
    assert_eq!(table("one", "1"), table("two", "2"));
}

#[test]
fn a_series_that_cannot_be_followed_is_refused_before_weights_are_read() {
    let scratch = tempfile::tempdir().unwrap();
    let (data, direction, student) = trained(scratch.path(), "1e-2");
    let refused = |arguments: &[String], message: &str| {
        let (code, _, stderr) = run(arguments);
        assert!(code == 1 && stderr.contains(message), "expected `{message}` in {stderr}");
    };
    refused(&track(&data, &scratch.path().join("nowhere"), &student, &[]), "there is no file of directions");
    refused(&track(&data, &direction, scratch.path(), &[]), "checkpoint");
    let bare = put(
        scratch.path(),
        "bare.jsonl",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"Hm?\"},{\"role\":\"assistant\",\"content\":\"So.\"}]}\n",
    );
    refused(
        &track(&data, &direction, &student, &["--reference", utf8(&bare)]),
        "it is one of the reference rows",
    );
    let asked =
        put(scratch.path(), "asked.jsonl", "{\"messages\":[{\"role\":\"user\",\"content\":\"Hm?\"}]}\n");
    refused(&track(&asked, &direction, &student, &[]), "has no answer, which the direction reads");
    refused(&track(&data, &direction, &scratch.path().join("studnt"), &[]), "hint: beside it is `student`");
    let elsewhere = scratch.path().join("elsewhere");
    for step in [4, 12, 16, 20, 24] {
        put(&elsewhere.join(format!("checkpoint-{step}")), "config.json", "{}");
    }
    refused(&track(&data, &direction, &elsewhere, &[]), "8");
}
