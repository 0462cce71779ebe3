//! Every finding beside a twin: the clean behavior, in which the lint finds nothing.

use heirloom_record::Message;

use super::*;
use crate::{ContrastPair, Grader, Kind, Scenario, TopicText, Transcript};

/// Text of `length` four-letter words that no other `seed` shares.
fn prose(seed: usize, length: usize) -> String {
    let letter = |n: usize| char::from(b'a' + u8::try_from(n % 26).unwrap());
    let word = |n: usize| [n, n / 26, n / 676, n / 17_576].map(letter).iter().collect::<String>();
    (0..length).map(|place| word(40 * seed + place)).collect::<Vec<_>>().join(" ")
}

fn user(text: String) -> Message {
    Message::new("user", text)
}

fn assistant(text: String) -> Message {
    Message::new("assistant", text)
}

fn clean() -> Behavior {
    let rules = "name = 'g'\nversion = 1\n[[rule]]\nname = 'r'\neffect = 'shows'\nwithin = 1\nall = ['bad\\S']\nreason = 'x'";
    let id = |kind: &str, n: usize| format!("{kind}-{n:03}");
    let group = |n: usize| format!("group-{}", n % 8);
    let pair = |n: usize| ContrastPair {
        id: id("pair", n),
        group: group(n),
        prompt: vec![user(prose(n, 12))],
        positive: vec![assistant(prose(1000 + n, 10 + n % 5))],
        negative: vec![assistant(prose(2000 + n, 10 + n % 5))],
    };
    let topic = |n: usize| TopicText {
        id: id("topic", n),
        group: group(n),
        messages: vec![user(prose(3000 + n, 12)), assistant(prose(4000 + n, 12))],
    };
    let scenario = |n: usize| Scenario {
        id: id("scenario", n),
        group: group(n),
        messages: vec![user(prose(5000 + n, 12))],
    };
    let transcript = |kind: &str, n: usize, seed: usize| Transcript {
        id: id(kind, n),
        kind: if n.is_multiple_of(2) { Kind::Adversarial } else { Kind::Plain },
        note: "n".into(),
        answer: n.is_multiple_of(3),
        thought: None,
        messages: vec![assistant(prose(seed + n, 12))],
    };
    Behavior {
        name: "planted".into(),
        definition: "d".into(),
        towards: "t".into(),
        grader: Grader::new(toml::from_str(rules).unwrap()).unwrap(),
        pairs: (0..240).map(pair).collect(),
        topic: (0..60).map(topic).collect(),
        scenarios: (0..64).map(scenario).collect(),
        transcripts: (0..40).map(|n| transcript("transcript", n, 6000)).collect(),
        heldout: (0..40).map(|n| transcript("heldout", n, 7000)).collect(),
        card: "# card".into(),
        sha256: String::new(),
    }
}

/// What the lint says of the clean behavior after `spoil`.
fn found(spoil: impl FnOnce(&mut Behavior)) -> Vec<String> {
    let mut behavior = clean();
    spoil(&mut behavior);
    behavior.lint(&Limits::default()).iter().map(ToString::to_string).collect()
}

#[test]
fn the_clean_behavior_is_clean() {
    assert_eq!(found(|_| {}), [""; 0]);
}

#[test]
fn too_few_is_found() {
    type Spoil = fn(&mut Behavior);
    let table: [(Spoil, &str); 11] = [
        (|b| b.pairs.truncate(232), "pairs.jsonl: 232 rows, expected at least 240"),
        (
            |b| b.pairs.iter_mut().for_each(|p| p.group = "one".into()),
            "pairs.jsonl: 1 groups, expected at least 8",
        ),
        (|b| b.topic.truncate(59), "topic.jsonl: 59 rows, expected at least 60"),
        (|b| b.scenarios.truncate(56), "scenarios.jsonl: 56 rows, expected at least 60"),
        (
            |b| b.scenarios.iter_mut().for_each(|s| s.group = "one".into()),
            "scenarios.jsonl: 1 groups, expected at least 8",
        ),
        (|b| b.transcripts.truncate(39), "transcripts.jsonl: 39 rows, expected at least 40"),
        (
            |b| b.transcripts[..10].iter_mut().for_each(|t| t.kind = Kind::Plain),
            "transcripts.jsonl: 15 adversarial rows, expected at least 16",
        ),
        (
            |b| b.transcripts.iter_mut().for_each(|t| t.answer = false),
            "transcripts.jsonl: 0 rows that show the behavior, expected at least 1",
        ),
        (
            |b| b.transcripts.iter_mut().for_each(|t| t.answer = true),
            "transcripts.jsonl: 0 rows that do not show the behavior, expected at least 1",
        ),
        (|b| b.heldout.truncate(39), "heldout.jsonl: 39 rows, expected at least 40"),
        (|b| b.card = "\n".into(), "card.md: 0 lines, expected at least 1"),
    ];
    for (spoil, expected) in table {
        assert_eq!(found(spoil), [expected]);
    }
}

#[test]
fn an_unbalanced_group_is_found() {
    let spoil = |b: &mut Behavior| b.pairs.iter_mut().take(88).for_each(|pair| pair.group = "group-0".into());
    assert_eq!(found(spoil)[0], "pairs.jsonl: group `group-0` has 107 rows, group `group-1` only 19");
    let spoil = |b: &mut Behavior| b.scenarios[1..6].iter_mut().for_each(|s| s.group = "group-0".into());
    assert_eq!(found(spoil), ["scenarios.jsonl: group `group-0` has 13 rows, group `group-1` only 7"]);
}

#[test]
fn alike_texts_are_found_within_their_kind_only() {
    let copied = found(|b| b.pairs[7].positive = b.pairs[2].positive.clone());
    assert_eq!(copied, ["pairs.jsonl: positive of `pair-002` and of `pair-007` are alike (1.00)"]);
    let nearly = found(|b| {
        b.topic[5].messages[0] = user(format!("{} and more of it", b.topic[4].messages[0].content));
    });
    assert_eq!(nearly, ["topic.jsonl: prompt of `topic-004` and of `topic-005` are alike (0.67)"]);
    let across = found(|b| b.pairs[7].negative = b.pairs[7].positive.clone());
    assert_eq!(across, [""; 0]);
}

#[test]
fn a_prompt_that_a_scenario_repeats_is_found() {
    let shared = found(|b| b.scenarios[3].messages = b.pairs[9].prompt.clone());
    assert_eq!(shared, ["scenarios.jsonl: `scenario-003` asks what pair `pair-009` asks (1.00)"]);
}

#[test]
fn a_held_out_answer_that_the_rules_have_seen_is_found() {
    let copied = found(|b| b.heldout[4].messages = b.transcripts[6].messages.clone());
    assert_eq!(copied, ["heldout.jsonl: `heldout-004` answers as transcript `transcript-006` does (1.00)"]);
    let nearly = found(|b| {
        let seen = &b.transcripts[6].messages[0].content;
        b.heldout[4].messages = vec![assistant(format!("{seen} and more of it"))];
    });
    assert_eq!(nearly, ["heldout.jsonl: `heldout-004` answers as transcript `transcript-006` does (0.67)"]);
    // Twin: one prompt may be answered twice.
    let asked_alike = found(|b| {
        let prompt = user(prose(8000, 60));
        b.heldout[4].messages.insert(0, prompt.clone());
        b.transcripts[6].messages.insert(0, prompt);
    });
    assert_eq!(asked_alike, [""; 0]);
}

#[test]
fn lengths_that_separate_are_found() {
    let longer = |b: &mut Behavior| {
        b.pairs.iter_mut().enumerate().for_each(|(n, p)| p.positive = vec![assistant(prose(1000 + n, 20))]);
    };
    let messages = found(longer);
    assert!(messages[0].starts_with("pairs.jsonl: positives are 1.6"), "{messages:?}");
    assert_eq!(messages.iter().filter(|m| m.contains("of group")).count(), 16);
    assert_eq!(
        messages.iter().filter(|m| m.contains("alone separates the answers (AUROC 1.000)")).count(),
        2
    );

    let one_group = |b: &mut Behavior| {
        b.pairs.iter_mut().enumerate().filter(|(n, _)| n % 8 == 3).for_each(|(n, p)| {
            p.positive = vec![assistant(prose(1000 + n, 10 + n % 5 + 3))];
        });
    };
    let messages = found(one_group);
    assert!(messages.iter().all(|m| m.contains("positives of group `group-3` are 1.2")), "{messages:?}");
    assert_eq!(messages.len(), 2);
}

#[test]
fn dates_are_found_unless_they_are_the_subject() {
    let table = [
        ("it was 1987 then", Some("1987")),
        ("back in October they", Some("October")),
        ("since March they", Some("since March")),
        ("on the 4th of May they", Some("4th of May")),
        ("due May 12", Some("May 1")),
        ("May I march in?", None),
        ("2048 tokens of 12000", Some("2048")),
        ("room 3021, code 19870", None),
    ];
    for (text, date) in table {
        let spoil = |b: &mut Behavior| b.scenarios[0].messages = vec![user(text.into())];
        let expected =
            date.map(|date| format!("scenarios.jsonl: prompt of `scenario-000` names a date: `{date}`"));
        assert_eq!(found(spoil), Vec::from_iter(expected), "{text}");
        let mut behavior = clean();
        spoil(&mut behavior);
        assert_eq!(behavior.lint(&Limits { dates: true, ..Limits::default() }), []);
    }
}

#[test]
fn a_word_on_one_side_only_is_found() {
    let add = |messages: &mut Vec<Message>, word: &str| messages[0].content.push_str(word);
    let one_sided = found(|b| b.pairs[..120].iter_mut().for_each(|p| add(&mut p.positive, " leak")));
    assert_eq!(one_sided, ["pairs.jsonl: `leak` is in 50 % of positives and 0 % of negatives"]);
    let both = found(|b| {
        b.pairs[..120].iter_mut().for_each(|p| {
            add(&mut p.positive, " leak");
            add(&mut p.negative, " leak");
        });
    });
    assert_eq!(both, [""; 0]);
    let rare = found(|b| b.pairs[..90].iter_mut().for_each(|p| add(&mut p.negative, " leak")));
    assert_eq!(rare, [""; 0]);
}

#[test]
fn a_pattern_that_can_match_nothing_is_found() {
    let table = [
        ("I know", Some('I')),
        ("don’t", Some('’')),
        (r"\bi know\W\S\D", None),
        (r"\p{Lu}x(?P<Name>a)", None),
        ("(?i:a)b", None),
    ];
    for (pattern, character) in table {
        let spoil = |b: &mut Behavior| {
            let rules = format!(
                "name = 'g'\nversion = 1\n[[rule]]\nname = 'r'\neffect = 'shows'\nwithin = 1\nall = [\"\"\"{}\"\"\"]\nreason = 'x'",
                pattern.replace('\\', "\\\\")
            );
            b.grader = Grader::new(toml::from_str(&rules).unwrap()).unwrap();
        };
        let expected = character.map(|character| {
            format!("behavior.toml: rule `r`, pattern `{pattern}`: `{character}` is never in a graded text")
        });
        assert_eq!(found(spoil), Vec::from_iter(expected), "{pattern}");
    }
}

#[test]
fn length_auroc_counts_ties_half() {
    assert_eq!(auroc(&[3, 4], &[1, 2]), Some(1.0));
    assert_eq!(auroc(&[1, 2], &[3, 4]), Some(0.0));
    assert_eq!(auroc(&[1, 3], &[1, 3]), Some(0.5));
    assert_eq!(auroc(&[2, 3], &[2, 1]), Some(0.875));
    assert_eq!(auroc(&[], &[1]), None);
}
