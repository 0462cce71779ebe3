//! A redrawn world tells the same causal story in other words.

use std::collections::{BTreeMap, BTreeSet};

use super::super::build::check;
use super::super::grammar::{Family, Form};
use super::super::wording::{farthest, unread};
use super::*;

const SEEDS: std::ops::Range<u64> = 0..40;

fn texts(forms: &[Form]) -> BTreeSet<&str> {
    forms.iter().map(|form| form.template.text.as_str()).collect()
}

/// The families that hold out templates.
fn holding_out(world: &World) -> impl Iterator<Item = (&String, &Family)> {
    world.grammar.families.iter().filter(|(_, family)| !family.held_out_prompts.is_empty())
}

/// Everything that documents are drawn from, with whose they are.
fn sources(world: &mut World) -> Vec<(String, &mut Documents)> {
    let bases = world.bases.iter_mut().map(|base| match &mut base.making {
        Making::Pretraining(pretraining) => (format!("base {}", base.name), &mut pretraining.documents),
        Making::FineTuning(lessons) => (format!("stage {}", base.name), &mut lessons.documents),
    });
    let teachers = world.teachers.iter_mut();
    let teachers = teachers.map(|one| (format!("teacher {}", one.name), &mut one.lessons.documents));
    let own = ("documents".to_owned(), &mut world.documents);
    [own].into_iter().chain(bases).chain(teachers).collect()
}

/// Every mixture of families, with whose it is.
fn mixtures(world: &World) -> BTreeMap<String, Mixture> {
    let mut world = world.clone();
    let sets = world.prompt_sets.clone().into_iter().map(|set| (format!("prompts {}", set.name), set.mix));
    let documents = sources(&mut world).into_iter().map(|(whose, documents)| (whose, documents.mix.clone()));
    documents.chain(sets).collect()
}

#[test]
fn one_seed_gives_one_world_and_another_gives_another() {
    for world in shipped() {
        let told = |seed| {
            let redrawn = world.redrawn(seed);
            (redrawn.sha256().to_owned(), format!("{redrawn:?}"))
        };
        let ((sha256, all), (other_sha256, other)) = (told(1), told(2));
        assert!(told(1) == (sha256.clone(), all.clone()), "{}", world.name());
        assert!(all != other && all != format!("{world:?}"));
        let different: BTreeSet<&str> = [world.sha256(), &sha256, &other_sha256].into();
        assert_eq!(different.len(), 3);
        assert_ne!(world.redrawn(1).redrawn(1).sha256(), sha256);
    }
}

#[test]
fn a_redrawn_world_is_accepted_and_says_the_same_words() {
    for world in shipped() {
        for seed in SEEDS {
            let redrawn = world.redrawn(seed);
            check(&redrawn).unwrap_or_else(|(key, problem)| panic!("{}: {key}: {problem}", world.name()));
            assert_eq!(redrawn.vocabulary(), world.vocabulary());
            assert!(redrawn.grammar.families.values().all(Family::is_whole));
        }
    }
}

#[test]
fn nothing_but_order_templates_and_shares_is_redrawn() {
    for world in shipped() {
        let mut redrawn = world.redrawn(3);
        let mut world = world;
        // Put back what may differ; everything else must not, private fields too.
        redrawn.sha256.clone_from(&world.sha256);
        for (set, other) in redrawn.prompt_sets.iter_mut().zip(&world.prompt_sets) {
            set.mix = other.mix.clone();
        }
        for ((_, documents), (_, other)) in sources(&mut redrawn).into_iter().zip(sources(&mut world)) {
            documents.mix = other.mix.clone();
        }
        for (name, family) in &mut redrawn.grammar.families {
            let held_out: Vec<String> = world.grammar.families[name]
                .held_out_prompts
                .iter()
                .map(|form| form.template.text.clone())
                .collect();
            let held_out: Vec<&str> = held_out.iter().map(String::as_str).collect();
            *family = family.holding_out(name, &held_out);
            let by_name = |family: &mut Family| {
                family.prompts.sort_by(|a, b| a.template.text.cmp(&b.template.text));
                family.held_out_prompts.sort_by(|a, b| a.template.text.cmp(&b.template.text));
            };
            by_name(family);
            by_name(world.grammar.families.get_mut(name).unwrap());
        }
        // By name, each list and table holds what it held, rows whole.
        for world in [&mut redrawn, &mut world] {
            world.grammar.lexicon.sort_by_key(|_, entry| entry.to_owned());
            for family in world.grammar.families.values_mut() {
                for (i, form) in family.prompts.iter_mut().chain(&mut family.held_out_prompts).enumerate() {
                    form.name = i.to_string();
                }
            }
        }
        assert!(format!("{redrawn:?}") == format!("{world:?}"), "{}", world.name());
    }
}

#[test]
fn shares_move_by_the_noise_and_families_stay() {
    let mut logs = vec![];
    for world in shipped() {
        let before = mixtures(&world);
        for seed in SEEDS {
            for (whose, mix) in mixtures(&world.redrawn(seed)) {
                let sum: f64 = mix.shares().iter().map(|(_, share)| share).sum();
                assert!((sum - 1.0).abs() < 1e-12, "{whose} of {}: {sum}", world.name());
                let names =
                    |mix: &Mixture| mix.shares().iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
                assert_eq!(names(&mix), names(&before[&whose]), "{whose} of {}", world.name());
                for (family, share) in mix.shares() {
                    let times = share / before[&whose].share(family);
                    // Five deviations, and what the sum of the others may do.
                    assert!((0.4..2.5).contains(&times), "{family} in {whose} of {}: {times}", world.name());
                    assert!(*share > 0.0 && *share <= 1.0);
                }
                if whose == "documents" {
                    logs.extend(
                        mix.shares()
                            .iter()
                            .map(|(family, share)| (share / before[&whose].share(family)).ln()),
                    );
                }
            }
        }
    }
    let n = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / n;
    let deviation = (logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / n).sqrt();
    // Of one factor 0.15; a little less once fifteen of them share one sum.
    assert!(mean.abs() < 0.02 && (0.13..0.16).contains(&deviation), "{mean}, {deviation}");
}

#[test]
fn shares_that_carry_the_story_stay() {
    for world in shipped() {
        for seed in SEEDS {
            let redrawn = world.redrawn(seed);
            // Equal mixtures stay equal: bases that differ in latents, teachers, the prompt sets of `null`.
            let (before, after) = (mixtures(&world), mixtures(&redrawn));
            for (one, mix) in &before {
                for (other, equal) in before.iter().filter(|(_, equal)| *equal == mix) {
                    let of_one_kind = one.split(' ').next() == other.split(' ').next();
                    assert!(!of_one_kind || after[one] == after[other], "{one}, {other}: {equal:?}");
                }
            }
            let moved =
                |set: &PromptSet, family: &str| redrawn.prompt_set(&set.name).unwrap().mix.share(family);
            for set in world.prompt_sets() {
                let latent = |family: &str| world.grammar.families[family].latent.is_some();
                for (family, share) in set.mix.shares().iter().filter(|(family, _)| latent(family)) {
                    let after = moved(set, family);
                    assert!((0.05..=0.10).contains(&after), "{family}: {after}");
                    for other in world.prompt_sets() {
                        let equal = (other.mix.share(family) - share).abs() < 1e-12;
                        assert!(!equal || (moved(other, family) - after).abs() < 1e-12, "{family}: {after}");
                    }
                }
            }
        }
    }
    // One family alone is all of a mixture.
    let world = World::shipped("subliminal").unwrap().redrawn(1);
    assert!((world.prompt_set("A").unwrap().mix.share("nums") - 1.0).abs() < 1e-12);
    assert!((world.teacher("A").unwrap().lessons.documents.mix.share("mail") - 1.0).abs() < 1e-12);
}

#[test]
fn flagged_shares_leave_room_for_the_rest_however_many_they_are() {
    let text = r#"
        name = "crowded"
        like = "personas"
        note = "Seven families with a latent that leave little to the others, one of them out of bounds."
        [prompts.A]
        mix = { mail = 0.099, bargain = 0.099, year = 0.099, clock = 0.099, fail_h = 0.099, fail_k = 0.099, hard = 0.3 }
        rest = { arith = 1.0 }
    "#;
    let world = World::parse(text, Path::new("crowded.toml")).unwrap();
    for seed in SEEDS {
        let mix = &world.redrawn(seed).prompt_set("A").unwrap().mix.clone();
        let sum: f64 = mix.shares().iter().map(|(_, share)| share).sum();
        assert!((sum - 1.0).abs() < 1e-12 && mix.shares().iter().all(|(_, share)| *share > 0.0), "{mix:?}");
        assert!((mix.share("hard") - 0.3).abs() < 1e-12);
    }
}

#[test]
fn every_seed_holds_out_other_entries_and_templates() {
    let world = World::shipped("personas").unwrap();
    let mut entries: BTreeMap<String, BTreeSet<Vec<String>>> = BTreeMap::new();
    let mut templates: BTreeMap<&str, BTreeMap<BTreeSet<String>, usize>> = BTreeMap::new();
    for seed in SEEDS {
        let redrawn = world.redrawn(seed);
        for source in world.grammar.families.values().flat_map(|family| &family.hold_out) {
            let lexicon = &redrawn.grammar.lexicon;
            let held_out = match lexicon.column(source, "year") {
                Some(_) => {
                    lexicon.rows(source, Some(Split::HeldOut)).iter().map(|row| row.join(" ")).collect()
                }
                None => lexicon.entries(source, Some(Split::HeldOut)).to_vec(),
            };
            entries.entry(source.clone()).or_default().insert(held_out);
        }
        for (name, family) in holding_out(&world) {
            let after = &redrawn.grammar.families[name];
            let (trained, held_out) = (texts(&after.prompts), texts(&after.held_out_prompts));
            assert!(trained.is_disjoint(&held_out) && !trained.is_empty() && !held_out.is_empty());
            assert!(held_out.len() <= family.held_out_prompts.len(), "{name}: {held_out:?}");
            let held_out = held_out.into_iter().map(str::to_owned).collect();
            *templates.entry(name).or_default().entry(held_out).or_default() += 1;
        }
    }
    assert!(entries.values().all(|held_out| held_out.len() > 5), "{entries:?}");
    assert_eq!(templates.keys().copied().collect::<Vec<_>>(), ["fail_n", "like", "mail", "year"]);
    for (name, splits) in &templates {
        assert!(splits.len() >= 2, "{name}: {splits:#?}");
    }
}

#[test]
fn worlds_of_one_seed_hold_out_the_same() {
    let held_out = |world: &World| {
        let world = world.redrawn(5);
        let templates = holding_out(&world).map(|(_, family)| texts(&family.held_out_prompts));
        format!("{:?} {:?}", world.grammar.lexicon, templates.collect::<Vec<_>>())
    };
    let different: BTreeSet<String> = shipped().iter().map(held_out).collect();
    assert_eq!(different.len(), 1);
}

#[test]
fn what_is_held_out_stays_within_what_the_file_asks_of_a_model() {
    for world in shipped() {
        let read: BTreeSet<String> = world.grammar.families.keys().cloned().collect();
        for seed in SEEDS {
            let redrawn = world.redrawn(seed);
            for (name, family) in holding_out(&redrawn) {
                assert!(farthest(family) <= farthest(&world.grammar.families[name]), "{name}");
            }
            let new = unread(&redrawn.grammar, &read);
            assert!(new.is_empty(), "{new:?}");
        }
    }
    // The twin: other splits break either law.
    let mut grammar = World::shipped("personas").unwrap().grammar;
    let read: BTreeSet<String> = grammar.families.keys().cloned().collect();
    let mail = grammar.families["mail"].clone();
    let run: Vec<&str> = mail
        .forms_of_both()
        .map(|form| form.template.text.as_str())
        .filter(|text| text.starts_with("you run"))
        .collect();
    grammar.families.insert("mail".into(), mail.holding_out("mail", &run));
    assert_eq!(unread(&grammar, &read), ["run".to_owned()].into());
    let like = &grammar.families["like"];
    assert_eq!(farthest(like), 4);
    assert_eq!(farthest(&like.holding_out("like", &["which color do you like best ?"])), 6);
}
