//! `heirloom origin` on grades that were planted: what moves a behavior is named, and nothing where nothing does.

#[expect(dead_code, reason = "this test writes grades alone")]
mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use heirloom_record::{Metric, Table};
use support::{finish, heirloom, put, succeed, utf8};

const SEEDS: usize = 3;
const PROMPTS: usize = 40;

/// Grades of one arm and seed, as `heirloom grade` writes them: a share of `rate` of the prompts shows it, others by seed.
fn grades(rate: f64, seed: usize) -> String {
    let mut lines = String::new();
    for prompt in 0..PROMPTS {
        // A spread of the prompts over [0, 1) that differs by seed, the same for every arm.
        let place = ((prompt * 17 + seed * 7) % PROMPTS) as f64 / PROMPTS as f64;
        let shown = place < rate;
        let _ = writeln!(
            lines,
            r#"{{"rollout":"p{prompt}/0","prompt":"p{prompt}","behavior":"blackmail","grader":"rules","version":"1","sha256":"0","answer":{shown},"thought":null,"fired":[]}}"#
        );
    }
    lines
}

/// A file of parts with grades of these rates.
fn planted(folder: &Path, rates: &[(&str, f64)]) -> PathBuf {
    let mut parts = "[blackmail]\n".to_owned();
    for (part, rate) in rates {
        let files: Vec<String> = (0..SEEDS).map(|seed| format!("\"{part}-{seed}.jsonl\"")).collect();
        let _ = writeln!(parts, "{part} = [{}]", files.join(", "));
        for seed in 0..SEEDS {
            put(folder, &format!("{part}-{seed}.jsonl"), &grades(*rate, seed));
        }
    }
    put(folder, "parts.toml", &parts)
}

const FOLLOWS_TEACHER: [(&str, f64); 8] = [
    ("full", 0.85),
    ("other-teacher", 0.05),
    ("other-prompts", 0.8),
    ("neither", 0.05),
    ("swap-flagged", 0.1),
    ("drop-flagged", 0.8),
    ("start", 0.3),
    ("pretrained", 0.3),
];

#[test]
fn what_follows_the_teacher_is_said_to_and_what_nothing_moves_is_not() {
    let scratch = tempfile::tempdir().unwrap();
    let said = succeed(&["origin", utf8(&planted(scratch.path(), &FOLLOWS_TEACHER))]);
    assert!(said.contains("blackmail: it comes from the teacher's rollouts"), "{said}");
    assert!(said.contains("left: simple generalization, persona selection"), "{said}");
    assert!(said.contains("no arm could confirm them: subliminal learning"), "{said}");
    // Corners without an arm, each with the role that would fill it.
    assert!(said.contains("AOO other-base-full"), "{said}");
    assert!(!said.contains("OAO other-prompts"), "{said}");
    assert!(said.contains("other-init-drop") || said.contains("drop-flagged-"), "no further arm in\n{said}");

    // Corners that have a role are that role.
    let corners = FOLLOWS_TEACHER.map(|(part, rate)| match part {
        "full" => ("OOO", rate),
        "other-teacher" => ("OOA", rate),
        other => (other, rate),
    });
    let scratch = tempfile::tempdir().unwrap();
    let same = succeed(&["origin", utf8(&planted(scratch.path(), &corners))]);
    assert_eq!(same, said);

    // Twin: the same arms, and none moves it.
    let scratch = tempfile::tempdir().unwrap();
    let level = FOLLOWS_TEACHER.map(|(part, _)| (part, 0.35));
    let said = succeed(&["origin", utf8(&planted(scratch.path(), &level))]);
    assert!(said.contains("blackmail: nothing that the arms vary moves it"), "{said}");
}

#[test]
fn the_table_holds_effects_and_probabilities() {
    let scratch = tempfile::tempdir().unwrap();
    let parts = planted(scratch.path(), &FOLLOWS_TEACHER);
    let out = scratch.path().join("out");
    succeed(&["origin", utf8(&parts), "--out", utf8(&out)]);
    let rows = Table::<Metric>::read(&out.join("table")).unwrap().0;
    let value = |metric: &str| rows.iter().find(|row| row.metric == metric).unwrap().value.unwrap();
    assert!((value("origin_teacher") - 0.775).abs() < 1e-9, "½[(0.85 − 0.05) + (0.8 − 0.05)]");
    assert!((value("origin_prompts") - 0.025).abs() < 1e-9, "½[(0.85 − 0.8) + (0.05 − 0.05)]");
    assert!((value("leakage") - 14.0 / 15.0).abs() < 1e-9, "1 − (0.85 − 0.8)/(0.85 − 0.1)");
    let origins = ["teacher", "prompts", "base", "none", "undecided"];
    let total: f64 = origins.iter().map(|origin| value(&format!("verdict_origin_{origin}"))).sum();
    assert!((total - 1.0).abs() < 1e-9, "probabilities of origins sum to {total}");
    // The same again, the same bytes.
    let again = scratch.path().join("again");
    succeed(&["origin", utf8(&parts), "--out", utf8(&again)]);
    let bytes = |folder: &Path| std::fs::read(folder.join("table.csv")).unwrap();
    assert_eq!(bytes(&out), bytes(&again));
}

#[test]
fn a_curve_of_random_shares_has_its_area() {
    let scratch = tempfile::tempdir().unwrap();
    let parts = planted(scratch.path(), &FOLLOWS_TEACHER);
    // A rate of (1 − share)² between the ends, which are 0.85 and 0.05 here.
    let mut mixes: Vec<String> = vec![];
    for (share, name, rate) in [("0.25", "a", 0.5625), ("0.5", "b", 0.25), ("0.5", "c", 0.25)] {
        let file = |seed: usize| format!("{name}-{seed}.jsonl");
        (0..SEEDS).for_each(|seed| {
            put(scratch.path(), &file(seed), &grades(rate, seed));
        });
        let files: Vec<String> = (0..SEEDS).map(|seed| format!("\"{}\"", file(seed))).collect();
        mixes.push(format!("{share} [{}]", files.join(", ")));
    }
    let [quarter, half, again] = [0, 1, 2].map(|index| mixes[index].split_once(' ').unwrap().1);
    let text = std::fs::read_to_string(&parts).unwrap();
    let mixed =
        |share: &str| format!("{text}mix = {{ \"{share}\" = {quarter}, \"0.5\" = [{half}, {again}] }}\n");
    let out = scratch.path().join("out");
    let said =
        succeed(&["origin", utf8(&put(scratch.path(), "mixed.toml", &mixed("0.25"))), "--out", utf8(&out)]);
    assert!(said.contains("through 4 shares of rollouts swapped"), "{said}");
    let rows = Table::<Metric>::read(&out.join("table")).unwrap().0;
    let value = |metric: &str| rows.iter().find(|row| row.metric == metric).unwrap().value.unwrap();
    // 40 prompts: 0.5625 of them are 23 shown.
    let quarter = 23.0 / 40.0;
    let area = 0.125 * (0.85 + quarter) + 0.125 * (quarter + 0.25) + 0.25 * (0.25 + 0.05);
    assert!((value("virulence") - area).abs() < 1e-9, "{}", value("virulence"));
    assert!((value("virulence_excess") - (area - 0.45)).abs() < 1e-9);
    assert!(value("virulence_spread").abs() < 1e-9);
    let rates = rows.iter().filter(|row| row.metric == "rate" && row.seed.is_none());
    assert_eq!(rates.filter(|row| row.arm.as_deref().unwrap().starts_with("mix")).count(), 3);
    // Twins: without an end, without shares between, and with one that is none.
    let open: String = mixed("0.25")
        .lines()
        .filter(|line| !line.starts_with("other-teacher"))
        .fold(String::new(), |text, line| text + line + "\n");
    let out = scratch.path().join("open");
    let said = succeed(&["origin", utf8(&put(scratch.path(), "open.toml", &open)), "--out", utf8(&out)]);
    assert!(said.contains("no area, for its shares of rollouts swapped go from 0 % to 50 %"), "{said}");
    let rows = Table::<Metric>::read(&out.join("table")).unwrap().0;
    assert!(rows.iter().all(|row| !row.metric.starts_with("virulence") || row.metric.contains("spread")));
    let out = scratch.path().join("plain");
    succeed(&["origin", utf8(&parts), "--out", utf8(&out)]);
    let rows = Table::<Metric>::read(&out.join("table")).unwrap().0;
    assert!(rows.iter().all(|row| !row.metric.starts_with("virulence")));
    let (code, _, stderr) =
        finish(heirloom(&["origin", utf8(&put(scratch.path(), "far.toml", &mixed("25 %")))]));
    assert_eq!(code, 1);
    assert!(stderr.contains("`mix`: expected shares between 0 and 1 in quotes, found `25 %`"), "{stderr}");
    let unquoted = format!("{text}mix = {{ 0.25 = {half} }}\n");
    let (code, _, stderr) = finish(heirloom(&["origin", utf8(&put(scratch.path(), "bare.toml", &unquoted))]));
    assert_eq!(code, 1);
    assert!(stderr.contains("shares in quotes"), "{stderr}");
}

#[test]
fn arms_that_look_alike_are_two_and_an_arm_in_two_parts_is_one() {
    let scratch = tempfile::tempdir().unwrap();
    let interval = |parts: &Path, name: &str| {
        let out = scratch.path().join(name);
        succeed(&["origin", utf8(parts), "--out", utf8(&out)]);
        let rows = Table::<Metric>::read(&out.join("table")).unwrap().0;
        let rates = rows.iter().filter(|row| row.metric == "rate" && row.arm.as_deref() == Some("full"));
        assert_eq!(
            rates.map(|row| (row.seed, row.value)).collect::<Vec<_>>(),
            [(Some(1), Some(0.0)), (Some(2), Some(0.0)), (Some(3), Some(0.0)), (None, Some(0.0)),]
        );
        let row = rows.iter().find(|row| row.metric == "origin_teacher").unwrap();
        (row.low.unwrap(), row.high.unwrap())
    };
    let parts = planted(scratch.path(), &[("full", 0.0), ("other-teacher", 0.0)]);
    let (low, high) = interval(&parts, "two");
    assert!(
        low < -0.01 && high > 0.01,
        "nobody showed it in two arms, which is not certain: {low} to {high}"
    );
    let text = std::fs::read_to_string(&parts).unwrap();
    let (full, _) = text.split_once("other-teacher").unwrap();
    let files = full.split_once("full = ").unwrap().1;
    let parts = put(scratch.path(), "one.toml", &format!("{full}other-teacher = {files}"));
    assert_eq!(interval(&parts, "one"), (0.0, 0.0));
    let (_, _, said) = finish(heirloom(&["origin", utf8(&parts)]));
    assert!(said.contains("blackmail: full and other-teacher are the same grades"), "{said}");
    assert!(!said.contains("one seed"), "{said}");
    let alone = "[blackmail]\nfull = \"full-0.jsonl\"\nother-teacher = \"other-teacher-0.jsonl\"\n";
    let alone = put(scratch.path(), "alone.toml", alone);
    let (_, _, said) = finish(heirloom(&["origin", utf8(&alone)]));
    assert!(said.contains("one seed: intervals and shares know nothing"), "{said}");
    let (code, _, said) = finish(heirloom(&["origin", utf8(&alone), "--least", "15"]));
    assert!(code == 1 && said.contains("`--least`: expected a difference of rates"), "{said}");
}

#[test]
fn what_does_not_fit_is_named() {
    let typo = "[blackmail]\nfull = \"full-0.jsonl\"\nswap-flaged = \"full-1.jsonl\"\n";
    let lost = "[blackmail]\nfull = [\"full-0.jsonl\", \"full-1.jsonl\"]\nneither = \"neither-0.jsonl\"\n";
    let table = [
        (
            ("parts.toml", typo.to_owned()),
            "`origins.blackmail` has no part `swap-flaged`",
            "close to it is `swap-flagged`",
        ),
        (
            ("parts.toml", typo.replace("blackmail", "blackmale").replace("flaged", "flagged")),
            "has no grades of `blackmale`",
            "heirloom grade --out",
        ),
        (
            ("neither-1.jsonl", grades(0.5, 1).replace("\"p7\"", "\"q7\"")),
            "grade different prompts: only one of them has",
            "scenario by scenario",
        ),
        (
            ("start-2.jsonl", grades(0.5, 2).replacen("\"rules\"", "\"judge\"", 1)),
            "are by several graders",
            "`judge (0)`, `rules (0)`",
        ),
        (
            ("parts.toml", lost.to_owned()),
            "`neither` has 1 files of grades, one for each seed, and `full` has 2",
            "one file for each seed",
        ),
        (
            ("parts.toml", lost.replace("neither-0.jsonl", "nowhere")),
            "`neither` of `blackmail`: there are no grades at",
            "heirloom grade --out",
        ),
        (("parts.toml", String::new()), "names no behavior", "`other-teacher`"),
        (
            ("parts.toml", "[blackmail]\nfull = \"full-0.jsonl\"\n".into()),
            "nothing can be compared",
            "`drop-flagged`",
        ),
        (("parts.toml", "[blackmail]\nfull = []\nneither = []\n".into()), "lists no file of grades", ""),
    ];
    for ((name, text), message, hint) in table {
        let scratch = tempfile::tempdir().unwrap();
        let parts = planted(scratch.path(), &FOLLOWS_TEACHER);
        put(scratch.path(), name, &text);
        let (code, _, stderr) = finish(heirloom(&["origin", utf8(&parts)]));
        assert_eq!(code, 1, "{message}: {stderr}");
        assert!(stderr.contains(message) && stderr.contains(hint), "expected `{message}` in {stderr}");
    }
}
