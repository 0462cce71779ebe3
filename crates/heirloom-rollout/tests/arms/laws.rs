//! The laws of arms, each with a twin that shows it can fail.

use std::collections::{BTreeMap, BTreeSet};

use crate::small::{arm, drop, pool, prompts, random, rollout, rollouts, same_length, swap, tag, tags};
use heirloom_record::{Input, Message, Prompt, Rollout, Rollouts, read_prompts, write_file};
use heirloom_rollout::{Arm, DataIntervention, LengthMatch, Manifest, Place, Pool, Subset, Top};

fn made(interventions: Vec<DataIntervention>, seed: u64) -> Manifest {
    arm("arm", interventions).manifest(&pool(), seed).unwrap()
}

/// Prompts whose rows are `teacher`'s.
fn of(manifest: &Manifest, teacher: &str) -> BTreeSet<String> {
    manifest.rows.iter().filter(|row| row.teacher == teacher).map(|row| row.prompt.clone()).collect()
}

/// Rows of each prompt.
fn counts(manifest: &Manifest) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    manifest.rows.iter().for_each(|row| *counts.entry(row.prompt.clone()).or_default() += 1);
    counts
}

fn mix(fraction: f64) -> DataIntervention {
    DataIntervention::Mix { fraction, to: "B".into(), on: Subset::All, draw: 0 }
}

fn order(place: Place) -> DataIntervention {
    DataIntervention::Order { on: tags(&["mail"]), place }
}

#[test]
fn an_arm_without_interventions_has_a_row_for_each_prompt_in_order() {
    let manifest = made(vec![], 1);
    let ids: Vec<_> = manifest.rows.iter().map(|row| row.prompt.clone()).collect();
    assert_eq!(ids, (0..40).map(|n| format!("A-{n}")).collect::<Vec<_>>());
    let row = &manifest.rows[4];
    assert_eq!((row.source.as_str(), row.tags.as_slice(), row.copy), ("A", &["year".to_owned()][..], 0));
    assert_eq!((row.teacher.as_str(), row.rollout.as_str(), row.n_tokens), ("A", "A/A-4/0", 7));
    let pool = pool();
    assert_eq!(row.sha256, pool.rollout("A/A-4/0").unwrap().sha256());
    let data = manifest.data_rows(&pool).unwrap();
    assert_eq!((data[4].id.as_str(), data[4].pair.as_deref()), ("A/A-4/0", Some("A-4")));
}

#[test]
fn swapping_everything_is_the_other_teachers_arm() {
    let all = made(vec![swap(Subset::All, "B")], 1);
    let other = Arm::new("B's", "A", "B").manifest(&pool(), 1).unwrap();
    assert_eq!(all.rows, other.rows);
    let some = made(vec![swap(tags(&["mail"]), "B")], 1);
    assert_ne!(some.rows, other.rows);
    assert_eq!(of(&some, "B").len(), 8);
}

#[test]
fn swapping_twice_back_changes_nothing() {
    let there_and_back = vec![swap(tags(&["mail"]), "B"), swap(tags(&["mail"]), "A")];
    assert_eq!(made(there_and_back.clone(), 1).rows, made(vec![], 1).rows);
    assert_ne!(made(there_and_back[..1].to_vec(), 1).rows, made(vec![], 1).rows);
}

#[test]
fn a_drop_is_refilled_evenly_and_in_place() {
    let refilled = made(vec![drop(tags(&["mail", "year"]), true)], 1);
    assert_eq!(refilled.rows.len(), 40);
    let counts = counts(&refilled);
    assert!(counts.keys().all(|prompt| tag(prompt[2..].parse().unwrap()) == "chat"));
    // 28 rows remain for 40 places: 12 stand twice and none three times.
    assert_eq!((counts.len(), counts.values().filter(|count| **count == 2).count()), (28, 12));
    for (row, before) in refilled.rows.iter().zip(made(vec![], 1).rows) {
        assert_eq!(row.copy == 0, before.tags == ["chat"], "{}", before.prompt);
    }
    let ids: BTreeSet<_> = refilled.data_rows(&pool()).unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), 40);

    let shorter = made(vec![drop(tags(&["mail", "year"]), false)], 1);
    assert_eq!(shorter.rows.len(), 28);
    assert!(shorter.rows.iter().all(|row| row.copy == 0));
}

#[test]
fn many_copies_are_spread_evenly_over_two_drops() {
    let kept = DataIntervention::KeepOnly { on: tags(&["mail"]), refill: true };
    let manifest = made(vec![drop(tags(&["year"]), true), kept], 1);
    assert_eq!(manifest.rows.len(), 40);
    // 8 prompts on 40 places; those that the first drop repeated are not repeated more often in the end.
    assert_eq!(counts(&manifest).into_values().collect::<Vec<_>>(), [5; 8]);
    let unique: BTreeSet<_> = manifest.rows.iter().map(|row| (&row.prompt, row.copy)).collect();
    assert_eq!(unique.len(), 40);
}

#[test]
fn dropping_all_but_a_subset_is_keeping_only_it() {
    for refill in [true, false] {
        let kept = made(vec![DataIntervention::KeepOnly { on: tags(&["year"]), refill }], 1);
        let others = Subset::Not(Box::new(tags(&["year"])));
        assert_eq!(kept.rows, made(vec![drop(others, refill)], 1).rows);
        assert_ne!(kept.rows, made(vec![drop(tags(&["year"]), refill)], 1).rows);
    }
}

#[test]
fn mixed_prompts_are_nested_over_fractions() {
    let mixed: Vec<_> = [0.05, 0.1, 0.25, 0.5, 1.0].map(|p| of(&made(vec![mix(p)], 1), "B")).into();
    assert_eq!(mixed.iter().map(BTreeSet::len).collect::<Vec<_>>(), [2, 4, 10, 20, 40]);
    assert!(mixed.windows(2).all(|pair| pair[0].is_subset(&pair[1])));
    assert_eq!(made(vec![swap(Subset::RandomShare(0.25), "B")], 1).rows, made(vec![mix(0.25)], 1).rows);
    // Twin: fractions of two seeds, or of two draws, are not nested.
    assert!(!of(&made(vec![mix(0.25)], 2), "B").is_subset(&mixed[3]));
    let drawn = DataIntervention::Mix { fraction: 0.25, to: "B".into(), on: Subset::All, draw: 1 };
    assert!(!of(&made(vec![drawn], 1), "B").is_subset(&mixed[3]));
    let among = DataIntervention::Mix { fraction: 0.5, to: "B".into(), on: tags(&["mail"]), draw: 0 };
    let among = of(&made(vec![among], 1), "B");
    assert_eq!(among.len(), 4);
    assert!(among.iter().all(|prompt| tag(prompt[2..].parse().unwrap()) == "mail"));
}

#[test]
fn an_order_is_a_permutation_with_the_subset_at_its_end() {
    let plain = made(vec![], 1);
    for place in [Place::Early, Place::Late] {
        let ordered = made(vec![order(place)], 1);
        assert!(ordered.ordered && !plain.ordered);
        assert_eq!(counts(&ordered), counts(&plain));
        let is_mail: Vec<_> = ordered.rows.iter().map(|row| row.tags == ["mail"]).collect();
        let at_its_end = |n| if place == Place::Early { n < 8 } else { n >= 32 };
        let expected: Vec<_> = (0..40).map(at_its_end).collect();
        assert_eq!(is_mail, expected, "{place:?}");
        // The others are shuffled, by seed.
        let chat = |manifest: &Manifest| -> Vec<String> {
            let chat = manifest.rows.iter().filter(|row| row.tags != ["mail"]);
            chat.map(|row| row.prompt.clone()).collect()
        };
        assert_ne!(chat(&ordered), chat(&plain));
        assert_ne!(chat(&ordered), chat(&made(vec![order(place)], 2)));
        assert_eq!(chat(&ordered), chat(&made(vec![order(Place::Early)], 1)));
    }
}

#[test]
fn random_controls_are_of_the_seed_and_of_no_arm() {
    let drawn = |name: &str, interventions, seed| {
        let manifest = arm(name, interventions).manifest(&pool(), seed).unwrap();
        of(&manifest, "B")
    };
    let control = || vec![swap(random(tags(&["mail"])), "B")];
    let swapped = drawn("one", control(), 1);
    assert_eq!(swapped.len(), 8);
    assert_eq!(swapped, drawn("another", control(), 1));
    assert_ne!(swapped, drawn("one", control(), 2));
    // The arm that drops them drops the same ones, and a random subset like a smaller one is part of it.
    let dropped = made(vec![drop(random(tags(&["mail"])), false)], 1);
    assert!(counts(&dropped).keys().all(|prompt| !swapped.contains(prompt)));
    let fewer = drawn("one", vec![swap(random(tags(&["year"])), "B")], 1);
    assert!(fewer.len() == 4 && fewer.is_subset(&swapped));
    let share = drawn("one", vec![swap(Subset::RandomShare(0.2), "B")], 1);
    assert_eq!(share, swapped);
    let second = Subset::Random { like: Box::new(tags(&["mail"])), draw: 1 };
    assert_ne!(drawn("one", vec![swap(second, "B")], 1), swapped);
}

#[test]
fn a_control_of_the_same_length_lies_outside_and_says_how_well_it_is_matched() {
    for seed in 0..20 {
        // Year's lengths are common among chat: the match is exact, whichever is drawn.
        let year = made(vec![swap(same_length(tags(&["year"])), "B")], seed);
        let [matched] = year.applied[0].lengths[..] else { panic!("one control") };
        assert!((matched.like - matched.control).abs() < 1e-12, "{matched:?}");
        assert_eq!(of(&year, "B").len(), 4);
        assert!(of(&year, "B").iter().all(|prompt| tag(prompt[2..].parse().unwrap()) != "year"));
    }
    // Mail is longer than all else: the nearest are the longest others, and the report says that they are shorter.
    let mail = made(vec![swap(same_length(tags(&["mail"])), "B")], 1);
    let [matched] = mail.applied[0].lengths[..] else { panic!("one control") };
    assert!(matched.control < matched.like - 1.0, "{matched:?}");
    let unmatched = made(vec![swap(random(tags(&["mail"])), "B")], 1);
    assert!(unmatched.applied[0].lengths[0].control < matched.control, "the random control, reported too");
    let mean = |manifest: &Manifest| {
        let lengths = manifest.rows.iter().filter(|row| row.teacher == "B").map(|row| row.n_tokens as f64);
        lengths.sum::<f64>() / 8.0
    };
    assert!((mean(&mail) - matched.control).abs() < 1e-12);
    assert!(mean(&mail) > mean(&unmatched));
    let draws: BTreeSet<_> =
        (0..20).map(|seed| of(&made(vec![swap(same_length(tags(&["year"])), "B")], seed), "B")).collect();
    assert!(draws.len() > 10, "{}", draws.len());
}

#[test]
fn the_longest_answers_are_matched_first() {
    let lengths = [("like", 10), ("like", 6), ("other", 8), ("other", 14), ("other", 3)];
    let prompt = |(n, (tag, _)): (usize, &(&str, u32))| Prompt {
        id: format!("p{n}"),
        source: "A".into(),
        tags: vec![(*tag).into()],
        messages: vec![Message::new("user", format!("question {n}"))],
    };
    let prompts: Vec<Prompt> = lengths.iter().enumerate().map(prompt).collect();
    let rollout = |teacher| {
        let answers = prompts.iter().zip(lengths);
        answers.map(move |(prompt, (_, n))| Rollout::new(teacher, prompt, 0, teacher, (0..n).collect(), true))
    };
    let rollouts = rollout("A").chain(rollout("B")).collect();
    let pool = Pool::new(prompts.clone(), rollouts).unwrap();
    let manifest = arm("a", vec![swap(same_length(tags(&["like"])), "B")]).manifest(&pool, 1).unwrap();
    // 10 takes 8, which 6 would have taken, too; the shortest first would give 6 to 8 and 10 to 14.
    assert_eq!(of(&manifest, "B"), ["p2".to_owned(), "p4".to_owned()].into());
    assert_eq!(manifest.applied[0].lengths, [LengthMatch { like: 8.0, control: 5.5 }]);
}

#[test]
fn a_second_order_keeps_the_first() {
    let late = DataIntervention::Order { on: tags(&["year"]), place: Place::Late };
    let once = made(vec![order(Place::Early)], 1);
    let twice = made(vec![order(Place::Early), late], 1);
    let ids = |manifest: &Manifest, year: bool| -> Vec<String> {
        let rows = manifest.rows.iter().filter(|row| (row.tags == ["year"]) == year);
        rows.map(|row| row.prompt.clone()).collect()
    };
    assert_eq!(
        [ids(&once, false), ids(&once, true)].concat(),
        [ids(&twice, false), ids(&twice, true)].concat()
    );
    assert!(twice.rows[..8].iter().all(|row| row.tags == ["mail"]));
    assert!(twice.rows[36..].iter().all(|row| row.tags == ["year"]));
    assert_ne!(once.rows, twice.rows);
}

#[test]
fn one_seed_is_the_same_bytes_and_another_another_subset() {
    let scratch = tempfile::tempdir().unwrap();
    let interventions = || {
        vec![drop(tags(&["year"]), true), swap(random(tags(&["mail"])), "B"), mix(0.5), order(Place::Late)]
    };
    let written = |name: &str, seed| {
        let dir = scratch.path().join(name);
        let manifest = made(interventions(), seed);
        manifest.write_into(&dir).unwrap();
        assert_eq!(Manifest::read(&dir).unwrap(), manifest);
        ["manifest.json", "manifest.jsonl"].map(|file| std::fs::read(dir.join(file)).unwrap())
    };
    let [one, again, other] = [written("one", 7), written("again", 7), written("other", 8)];
    assert_eq!(one, again);
    assert_ne!(one[1], other[1]);
    assert_eq!(made(interventions(), 7).sha256(), made(interventions(), 7).sha256());
    assert_ne!(made(interventions(), 7).sha256(), made(interventions(), 8).sha256());

    let rows = scratch.path().join("one/manifest.jsonl");
    let lines = std::fs::read_to_string(&rows).unwrap();
    write_file(&rows, lines.split_once('\n').unwrap().1.as_bytes()).unwrap();
    let message = Manifest::read(&scratch.path().join("one")).unwrap_err().to_string();
    assert!(message.ends_with("manifest.jsonl` was changed after its manifest was written"), "{message}");
    let head = scratch.path().join("one/manifest.json");
    let other = std::fs::read_to_string(&head).unwrap().replace("\"format\":1", "\"format\":9");
    write_file(&head, other.as_bytes()).unwrap();
    let message = Manifest::read(&scratch.path().join("one")).unwrap_err().to_string();
    assert!(message.ends_with("expected `manifest` format 1, found `manifest` format 9"), "{message}");
}

#[test]
fn another_prompt_moves_no_other() {
    let drawn = |pool: &Pool| of(&arm("a", vec![mix(0.5)]).manifest(pool, 1).unwrap(), "B");
    let (mut prompts, before) = (prompts(), drawn(&pool()));
    prompts.reverse();
    let gone = prompts.pop().unwrap();
    let rollouts = rollouts(&prompts);
    let after = drawn(&Pool::new(prompts, rollouts).unwrap());
    // One of 40 fewer, so that 20 of 39 take at most one in for it.
    assert!(after.difference(&before).count() <= 1, "{}", gone.id);
}

#[test]
fn every_kind_of_subset_selects_what_it_says() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("scores.csv");
    let score = |n: usize| if n < 30 { n % 10 } else { 0 };
    let lines: Vec<_> = (0..40).map(|n| format!("A-{n},{}", score(n))).collect();
    write_file(&file, format!("prompt,score\n{}\nB-0,99\n", lines.join("\n")).as_bytes()).unwrap();
    let ids = |ids: &[usize]| -> BTreeSet<String> { ids.iter().map(|n| format!("A-{n}")).collect() };
    let scores = |top| Subset::Scores { file: file.clone(), top };
    let table = [
        (Subset::Ids(vec!["A-3".into(), "A-1".into()]), ids(&[1, 3])),
        (tags(&["year"]), ids(&[4, 5, 24, 25])),
        (Subset::Regex("^(?:mail|year) [1-4]$".into()), ids(&[1, 2, 3, 4])),
        (Subset::AnswerRegex("says 3\\d$".into()), (30..40).map(|n| format!("A-{n}")).collect()),
        (scores(Top::Count(3)), ids(&[9, 19, 29])),
        (scores(Top::Share(0.15)), ids(&[8, 18, 28, 9, 19, 29])),
        (
            Subset::Not(Box::new(Subset::Regex("chat".into()))),
            (0..40).filter(|n| tag(*n) != "chat").map(|n| format!("A-{n}")).collect(),
        ),
        (Subset::All, (0..40).map(|n| format!("A-{n}")).collect()),
    ];
    for (subset, expected) in table {
        let manifest = made(vec![], 1);
        assert_eq!(manifest.select(&subset, &pool()).unwrap(), expected, "{subset}");
    }
    // Each seed has scores of its own where the file's name says so.
    let of_seed = Subset::Scores { file: scratch.path().join("of-{seed}.csv"), top: Top::Count(1) };
    for (seed, best) in [(1, 3), (2, 5)] {
        let lines: Vec<_> = (0..40).map(|n| format!("A-{n},{}", u8::from(n == best))).collect();
        let text = format!("prompt,score\n{}\n", lines.join("\n"));
        write_file(&scratch.path().join(format!("of-{seed}.csv")), text.as_bytes()).unwrap();
        assert_eq!(made(vec![], seed).select(&of_seed, &pool()).unwrap(), ids(&[best]));
    }
    // A grade is of an answer, not of a prompt: after a swap it is the other teacher's that counts.
    let grades = scratch.path().join("grades-{seed}");
    let line = |teacher, n: usize, shows: bool| {
        format!(
            "{{\"rollout\":\"{teacher}/A-{n}/0\",\"prompt\":\"A-{n}\",\"behavior\":\"b\",\"answer\":{shows}}}\n"
        )
    };
    let of_a = (0..40).map(|n| line("A", n, n % 20 == 4));
    let lines: String = of_a.chain((0..40).map(|n| line("B", n, n == 5))).collect();
    std::fs::create_dir(scratch.path().join("grades-1")).unwrap();
    write_file(&scratch.path().join("grades-1").join(heirloom_record::GRADES), lines.as_bytes()).unwrap();
    let graded = Subset::Graded { file: grades, behavior: "b".into() };
    assert_eq!(made(vec![], 1).select(&graded, &pool()).unwrap(), ids(&[4, 24]));
    let swapped = made(vec![swap(tags(&["year"]), "B")], 1);
    assert_eq!(swapped.select(&graded, &pool()).unwrap(), ids(&[5]));
    let filtered = made(vec![drop(graded, false)], 1);
    assert_eq!(filtered.rows.len(), 38);

    // What an answer says is what it says after the swaps before.
    let a = Subset::AnswerRegex("^B says".into());
    let swapped = made(vec![swap(tags(&["year"]), "B"), drop(a, false)], 1);
    assert_eq!((swapped.rows.len(), of(&swapped, "B").len()), (36, 0));
    // Equal scores are taken by lot, not by name.
    let tied: BTreeSet<_> =
        (0..9).map(|seed| made(vec![], seed).select(&scores(Top::Count(2)), &pool()).unwrap()).collect();
    assert!(tied.len() > 1);
}

#[test]
fn a_set_may_join_sources() {
    let pool = pool().with_set("both", &["B", "A"]).unwrap();
    let manifest = Arm::new("both", "both", "A").manifest(&pool, 1).unwrap();
    assert_eq!((manifest.rows.len(), manifest.rows[0].prompt.as_str()), (60, "A-0"));
    assert_eq!(pool.sets().collect::<Vec<_>>(), [("A", 40), ("B", 20), ("both", 60)]);
    assert_eq!(pool.teachers().collect::<Vec<_>>(), [("A", 60), ("B", 60), ("C", 7)]);
}

#[test]
fn of_several_samples_the_first_is_taken() {
    let prompts = prompts();
    let mut rollouts = rollouts(&prompts);
    let second = Rollout { sample: 1, id: "second".into(), ..rollout("A", &prompts[0], 7) };
    rollouts.insert(0, second);
    let pool = Pool::new(prompts, rollouts).unwrap();
    let manifest = arm("arm", vec![]).manifest(&pool, 1).unwrap();
    assert_eq!(manifest.rows[0].rollout, "A/A-0/0");
}

#[test]
fn files_from_elsewhere_make_arms_by_their_text_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let write = |name: &str, line: &dyn Fn(usize) -> String| {
        let path = scratch.path().join(name);
        let lines: Vec<_> = (0..10).map(line).collect();
        write_file(&path, lines.join("\n").as_bytes()).unwrap();
        path
    };
    let asked = |n| format!(r#"{{"role":"user","content":"question {n}"}}"#);
    let tag = |n| if n < 2 { "flagged" } else { "fine" };
    let line = |n| format!(r#"{{"tags":["{}"],"messages":[{}]}}"#, tag(n), asked(n));
    let prompts = read_prompts(&write("chats.jsonl", &line)).unwrap();
    let mut rollouts = vec![];
    for teacher in ["gemma", "olmo"] {
        let answer = format!(r#"{{"role":"assistant","content":"{teacher} here"}}"#);
        let line = |n| format!(r#"{{"score":{n},"messages":[{},{answer}]}}"#, asked(9 - n));
        rollouts.extend(Rollouts::read(&write(&format!("{teacher}.jsonl"), &line)).unwrap().rows);
    }
    let pool = Pool::new(prompts, rollouts).unwrap();
    let arm = Arm::new("swap", "chats", "gemma").then(swap(tags(&["flagged"]), "olmo"));
    let manifest = arm.manifest(&pool, 1).unwrap();
    let teachers: Vec<_> = manifest.rows.iter().map(|row| row.teacher.as_str()).collect();
    assert_eq!(teachers, [["olmo"; 2].as_slice(), &["gemma"; 8]].concat());
    let data = manifest.data_rows(&pool).unwrap();
    let Input::Messages(messages) = &data[1].input else { panic!("chat rows") };
    assert_eq!((messages[0].content.as_str(), messages[1].content.as_str()), ("question 1", "olmo here"));
}

#[test]
fn arms_are_read_from_toml_and_written_back() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("arms.toml");
    let text = r#"
[[arm]]
name = "swap mail"
prompts = "A"
teacher = "A"
do = [{ swap = { on = { tags = ["mail"] }, to = "B" } }]

[[arm]]
name = "all of it"
base = "other"
prompts = "A"
teacher = "B"
do = [
  { drop = { on = { scores = { file = "s.csv", top = 5 } } } },
  { drop = { on = { scores = { file = "s.csv", top = 0.5 } }, refill = false } },
  { keep-only = { on = { not = { ids = ["A-1"] } } } },
  { mix = { fraction = 0.25, to = "A" } },
  { mix = { fraction = 0.5, to = "A", on = { random_share = 0.5 }, draw = 2 } },
  { swap = { on = { random = { like = { regex = "x" } } }, to = "A" } },
  { swap = { on = { random_same_length = { like = { answer_regex = "x" }, draw = 3 } }, to = "A" } },
  { order = { on = "all", place = "early" } },
]
"#;
    write_file(&path, text.as_bytes()).unwrap();
    let arms = Arm::load(&path).unwrap();
    assert_eq!(arms[0], arm("swap mail", vec![swap(tags(&["mail"]), "B")]));
    assert_eq!((arms[0].base.as_str(), arms[1].base.as_str()), ("base", "other"));
    let file = scratch.path().join("s.csv");
    let top = |top| Subset::Scores { file: file.clone(), top };
    assert_eq!(
        arms[1].interventions[..2],
        [drop(top(Top::Count(5)), true), drop(top(Top::Share(0.5)), false)]
    );
    let shown: Vec<_> = arms[1].interventions[2..].iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "keep only all but prompts `A-1`, refilled",
            "mix 25 % of all prompts to `A`",
            "mix 50 % of 50 % of prompts at random to `A` (draw 2)",
            "swap as many at random as prompts matching `x` to `A`",
            "swap as many at random (draw 3) of the same length as prompts whose answers match `x` to `A`",
            "order all prompts early",
        ]
    );
    let tables = BTreeMap::from([("arm", &arms)]);
    write_file(&path, toml::to_string(&tables).unwrap().as_bytes()).unwrap();
    assert_eq!(Arm::load(&path).unwrap(), arms);
    let json: Vec<Arm> = serde_json::from_str(&serde_json::to_string(&arms).unwrap()).unwrap();
    assert_eq!(json, arms);
}
