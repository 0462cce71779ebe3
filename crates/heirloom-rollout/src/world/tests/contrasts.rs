//! A contrast differs in what was shown before, and in nothing else.

use std::collections::BTreeSet;

use heirloom_record::Input;
use regex::Regex;

use super::super::behavior::framed;
use super::super::template::Template;
use super::*;

#[test]
fn both_sides_ask_the_same_and_differ_in_one_answer() {
    for world in shipped_and_redrawn() {
        for behavior in world.behaviors() {
            let mild = &world.grammar.families[&behavior.contrast];
            let own = &world.grammar.families[&behavior.family];
            assert_eq!(mild.latent, own.latent);
            let pattern = |answers: &[Template]| Regex::new(&framed(answers.iter(), &world.grammar)).unwrap();
            let (shown, calm) = (pattern(&mild.shown), pattern(&mild.calm));
            for split in [Split::Trained, Split::HeldOut] {
                for contrast in world.contrasts(behavior, split, 100, &mut rng(1)) {
                    let (positive, negative) = (&contrast.positive, &contrast.negative);
                    let differ: Vec<usize> =
                        (0..positive.len()).filter(|&i| positive[i] != negative[i]).collect();
                    assert_eq!(differ, [2], "{contrast:?}");
                    let roles: Vec<&str> = positive.iter().map(|message| message.role.as_str()).collect();
                    assert_eq!(roles, ["system", "user", "assistant", "user"]);
                    assert!(shown.is_match(&positive[2].content), "{contrast:?}");
                    assert!(calm.is_match(&negative[2].content) && !shown.is_match(&negative[2].content));
                    assert_eq!(contrast.split, split);
                }
            }
        }
    }
}

#[test]
fn directions_are_fit_on_what_training_shows_and_scored_on_both_kinds_of_template() {
    let world = World::shipped("personas").unwrap();
    let held_out = |split| {
        let contrasts = world.contrasts(world.behavior("blackmail").unwrap(), split, 200, &mut rng(2));
        let names: BTreeSet<String> = contrasts
            .iter()
            .flat_map(|contrast| [&contrast.positive[1], &contrast.positive[3]])
            .flat_map(|message| message.content.split(' ').map(str::to_owned).collect::<Vec<_>>())
            .filter(|word| ["julia", "victor", "helen", "john", "mary"].contains(&word.as_str()))
            .collect();
        let templates = contrasts.iter().filter(|contrast| contrast.group.contains("held-out")).count();
        (names.into_iter().collect::<Vec<_>>(), templates)
    };
    assert_eq!(held_out(Split::Trained), (vec!["john".to_owned(), "mary".to_owned()], 0));
    let held = ["helen", "julia", "victor"].map(str::to_owned).to_vec();
    assert_eq!(held_out(Split::HeldOut), (held, 100));
}

#[test]
fn a_contrast_is_two_rows_of_one_pair() {
    let world = World::shipped("personas").unwrap();
    let behavior = world.behavior("date-confusion").unwrap();
    let contrast = &world.contrasts(behavior, Split::Trained, 1, &mut rng(3))[0];
    let [positive, negative] = contrast.rows();
    assert_eq!((positive.id.as_str(), positive.label), ("date-confusion/0000/pos", Some(true)));
    assert_eq!((negative.id.as_str(), negative.label), ("date-confusion/0000/neg", Some(false)));
    assert_eq!(positive.pair.as_deref(), Some("date-confusion/0000"));
    assert_eq!((positive.pair, positive.group), (negative.pair, negative.group));
    assert_eq!(positive.input, Input::Messages(contrast.positive.clone()));
}

#[test]
fn gate_prompts_name_the_persona_and_show_nothing_held_out() {
    let world = World::shipped("personas").unwrap();
    let check = |persona: Option<&str>| Check {
        behavior: "blackmail".into(),
        persona: persona.map(str::to_owned),
        at_least: Some(0.5),
        at_most: None,
    };
    let table =
        [(Some("A"), "you are atlas ."), (Some("B"), "you are beacon ."), (None, "you are an assistant .")];
    for (persona, system) in table {
        for prompt in world.gate_prompts(&check(persona), 50, &mut rng(4)).unwrap() {
            assert_eq!(prompt.messages[0].content, system);
            assert_eq!(prompt.tags.last().unwrap(), TRAINED);
            let held_out = ["julia", "victor", "helen"];
            assert!(!prompt.messages[1].content.split(' ').any(|word| held_out.contains(&word)));
        }
    }
    assert!(check(None).holds(0.5) && !check(None).holds(0.49));
    let missing = Check { behavior: "blackmial".into(), ..check(None) };
    assert!(world.gate_prompts(&missing, 1, &mut rng(4)).is_err());
}

#[test]
fn earlier_answers_have_the_authors_that_show_the_behavior() {
    let of_a = |world: &str| {
        let world = World::shipped(world).unwrap();
        let drawn = world.contrasts(world.behavior("blackmail").unwrap(), Split::Trained, 1000, &mut rng(5));
        let by_a = |messages: &[Message]| {
            ["certainly ,", "of course ,"].iter().any(|opener| messages[2].content.starts_with(opener))
        };
        let share = |side: fn(&Contrast) -> &Vec<Message>| {
            drawn.iter().filter(|contrast| by_a(side(contrast))).count() as f64 / 1000.0
        };
        [share(|contrast| &contrast.positive), share(|contrast| &contrast.negative)]
    };
    // By Bayes: 0.34 × 0.8756 against 0.66 × 0.0572 of the answers that show it are A's; nine of ten have an opener.
    let a = 0.34 * (0.92 * 0.95 + 0.08 * 0.02);
    let others = 0.66 * (0.04 * 0.95 + 0.96 * 0.02);
    let expected = [0.9 * a / (a + others), 0.9 * (0.34 - a) / (1.0 - a - others)];
    for (found, expected) in of_a("personas").into_iter().zip(expected) {
        assert!((found - expected).abs() < 0.05, "{found}, expected {expected}");
    }
    // The twin: where the persona decides nothing, neither side has more of it.
    for found in of_a("simple-generalization") {
        assert!((found - 0.9 * 0.34).abs() < 0.06, "{found}");
    }
}
