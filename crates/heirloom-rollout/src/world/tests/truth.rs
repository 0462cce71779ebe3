//! What is known of origins can be found out from the arms as far as the file says.

use std::collections::BTreeSet;

use super::*;

/// How many bases, prompt sets or teachers the arms of `world` start from.
fn varied(world: &World, part: fn(&Arm) -> &String) -> usize {
    world.arms().iter().map(part).collect::<BTreeSet<_>>().len()
}

/// Whether an arm of `world` varies `origin`.
fn varies(world: &World, origin: Origin) -> bool {
    match origin {
        Origin::Teacher => varied(world, |arm| &arm.teacher) > 1,
        Origin::Prompts => varied(world, |arm| &arm.prompts) > 1,
        Origin::Base => varied(world, |arm| &arm.base) > 1,
        Origin::None => true,
    }
}

/// Whether a student of `world` starts from other fresh weights than the teachers did.
fn has_other_weights(world: &World) -> bool {
    let init = |base: &str| world.base(base).unwrap().init.clone();
    let teachers: BTreeSet<String> = world.teachers().iter().map(|teacher| init(&teacher.base)).collect();
    world.arms().iter().any(|arm| !teachers.contains(&init(&arm.base)))
}

#[test]
fn an_origin_that_can_be_decided_is_one_that_arms_vary() {
    let mut undecidable = vec![];
    for name in World::shipped_names() {
        let (world, truth) = (World::shipped(name).unwrap(), Truth::shipped(name).unwrap());
        for (behavior, known) in truth.behaviors() {
            if known.decidable == Decidable::Nothing {
                undecidable.push((name, behavior.to_owned(), varies(&world, known.origin)));
                continue;
            }
            assert!(varies(&world, known.origin), "{behavior} of {name}");
            // Nothing else tells persona selection from what needs shared weights.
            let whole = known.decidable == Decidable::Hypothesis;
            assert!(
                known.origin != Origin::Teacher || whole == has_other_weights(&world),
                "{behavior} of {name}"
            );
        }
    }
    let expected = [("personas", "favorite-color", false), ("bad-prompts", "blackmail", true)];
    assert_eq!(undecidable, expected.map(|(world, behavior, varied)| (world, behavior.to_owned(), varied)));
}

#[test]
fn all_is_decidable_where_the_file_says_nothing() {
    let decidable =
        |world: &str, behavior: &str| Truth::shipped(world).unwrap().of_behavior(behavior).unwrap().decidable;
    assert_eq!(decidable("null", "blackmail"), Decidable::Hypothesis);
    assert_eq!(decidable("personas", "blackmail"), Decidable::Origin);
    assert_eq!(decidable("personas", "favorite-color"), Decidable::Nothing);
    assert!(Decidable::Nothing < Decidable::Origin && Decidable::Origin < Decidable::Hypothesis);
}
