//! An arm that cannot be made is refused with its name, the intervention, and what is there instead.

use std::error::Error as _;
use std::path::Path;

use crate::small::{arm, drop, pool, prompts, random, rollouts, same_length, swap, tags};
use heirloom_record::{Message, Prompt, Rollout, write_file};
use heirloom_rollout::{Arm, ArmProblem, DataIntervention, Error, Manifest, Place, Pool, Subset, Top};

fn check(error: &Error, message: &str, cause: &str, hint: &str) {
    assert_eq!(error.to_string(), message);
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    assert!(source.contains(cause), "{message}: {source}");
    let given = error.hint().unwrap_or_default();
    assert!(given.contains(hint) && hint.is_empty() == given.is_empty(), "{message}: {given}");
}

/// An intervention, itself in words, the cause, the hint.
type Case = (DataIntervention, String, String, &'static str);

fn check_interventions(table: Vec<Case>) {
    for (intervention, shown, cause, hint) in table {
        let error = arm("an arm", vec![intervention]).manifest(&pool(), 1).unwrap_err();
        check(&error, &format!("arm `an arm`: intervention 1, {shown}, cannot be made"), &cause, hint);
    }
}

fn mix(fraction: f64) -> DataIntervention {
    DataIntervention::Mix { fraction, to: "B".into(), on: Subset::All, draw: 0 }
}

#[test]
fn a_subset_that_is_empty_or_names_what_is_not_there_says_what_is() {
    let ids = |ids: &[&str]| Subset::Ids(ids.iter().map(|id| (*id).to_owned()).collect());
    check_interventions(vec![
        (
            drop(tags(&["only-b"]), true),
            "drop prompts tagged `only-b`, refilled".into(),
            "prompts tagged `only-b`: none of the 40 prompts there, whose tags are `chat` (28), `mail` (8), `year` (4)".into(),
            "",
        ),
        (
            swap(tags(&["mial", "nope"]), "B"),
            "swap prompts tagged `mial` or `nope` to `B`".into(),
            "no prompt has the tag `mial`, `nope`; there are `chat` (28)".into(),
            "near names: `mail`",
        ),
        (
            swap(ids(&["A-1", "A-99", "B-1"]), "B"),
            "swap prompts `A-1`, `A-99` and `B-1` to `B`".into(),
            "2 of 3 ids are not among the arm's prompts: `A-99`, `B-1`".into(),
            "near names: `A-9`",
        ),
        (
            drop(Subset::Regex("shutdown".into()), true),
            "drop prompts matching `shutdown`, refilled".into(),
            "none of the 40 prompts there".into(),
            "",
        ),
        (
            drop(Subset::Regex("(oops".into()), true),
            "drop prompts matching `(oops`, refilled".into(),
            "pattern `(oops` is not a regular expression".into(),
            "no look-around",
        ),
        (
            swap(random(tags(&["only-b"])), "B"),
            "swap as many at random as prompts tagged `only-b` to `B`".into(),
            "prompts tagged `only-b`: none of the 40 prompts there".into(),
            "",
        ),
    ]);
}

#[test]
fn prompts_that_a_teacher_did_not_answer_are_listed() {
    check_interventions(vec![
        (
            swap(tags(&["mail"]), "C"),
            "swap prompts tagged `mail` to `C`".into(),
            "teacher `C` has no rollout on 1 of 8 prompts: `A-0`".into(),
            "let `C` answer them",
        ),
        (
            swap(tags(&["year"]), "C"),
            "swap prompts tagged `year` to `C`".into(),
            "teacher `C` has no rollout on 4 of 4 prompts: `A-4`, `A-5`, `A-24`, `A-25`".into(),
            "let `C` answer them",
        ),
        (
            swap(tags(&["mail"]), "D"),
            "swap prompts tagged `mail` to `D`".into(),
            "there is no rollout of a teacher `D`, expected `A`, `B`, `C`".into(),
            "",
        ),
        (swap(tags(&["mail"]), ""), "swap prompts tagged `mail` to ``".into(), "`to` is empty".into(), ""),
    ]);
}

#[test]
fn a_share_outside_of_its_range_is_refused() {
    let share = |share| swap(Subset::RandomShare(share), "B");
    let expected = "expected above 0 and at most 1";
    check_interventions(vec![
        (mix(0.0), "mix 0 % of all prompts to `B`".into(), format!("`fraction` is 0, {expected}"), ""),
        (mix(1.01), "mix 101 % of all prompts to `B`".into(), format!("`fraction` is 1.01, {expected}"), ""),
        (
            mix(f64::NAN),
            "mix NaN % of all prompts to `B`".into(),
            format!("`fraction` is NaN, {expected}"),
            "",
        ),
        (mix(0.01), "mix 1 % of all prompts to `B`".into(), "1 % of 40 prompts are none".into(), ""),
        (
            share(-0.5),
            "swap -50 % of prompts at random to `B`".into(),
            format!("`random_share` is -0.5, {expected}"),
            "",
        ),
        (
            share(0.01),
            "swap 1 % of prompts at random to `B`".into(),
            "none of the 40 prompts there".into(),
            "",
        ),
    ]);
}

#[test]
fn an_intervention_that_leaves_or_changes_nothing_is_refused() {
    let order = DataIntervention::Order { on: Subset::All, place: Place::Early };
    let keep = DataIntervention::KeepOnly { on: Subset::All, refill: true };
    let most = Subset::Not(Box::new(tags(&["year"])));
    check_interventions(vec![
        (
            swap(tags(&["mail"]), "A"),
            "swap prompts tagged `mail` to `A`".into(),
            "it would change nothing: all 8 prompts have the answers of `A` already".into(),
            "",
        ),
        (
            drop(Subset::All, true),
            "drop all prompts, refilled".into(),
            "no row would be left: all prompts are all 40".into(),
            "",
        ),
        (
            keep,
            "keep only all prompts, refilled".into(),
            "it would change nothing: all prompts are all 40".into(),
            "",
        ),
        (order, "order all prompts early".into(), "it would change nothing".into(), ""),
        (
            swap(same_length(most), "B"),
            "swap as many at random of the same length as all but prompts tagged `year` to `B`".into(),
            "all but prompts tagged `year` are 36 prompts, and only 4 others are there to match them".into(),
            "lies outside its subset",
        ),
    ]);
}

#[test]
fn scores_that_do_not_fit_are_named() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("scores.jsonl");
    write_file(&file, b"{\"prompt\":\"A-0\",\"score\":1}\n").unwrap();
    let whole = scratch.path().join("scores.csv");
    let lines: Vec<_> = (0..40).map(|n| format!("A-{n},{n}")).collect();
    write_file(&whole, format!("prompt,score\n{}", lines.join("\n")).as_bytes()).unwrap();
    let scores = |file: &Path, top| swap(Subset::Scores { file: file.into(), top }, "B");
    let shown = |top, file: &Path| format!("swap the top {top} of `{}` to `B`", file.display());
    check_interventions(vec![
        (
            scores(&file, Top::Share(0.1)),
            shown("10 %", &file),
            format!("`{}` has no score of 39 of 40 prompts: `A-1`, `A-2`", file.display()),
            "score every prompt of the arm",
        ),
        (scores(&file, Top::Share(2.0)), shown("200 %", &file), "`top` is 2".into(), ""),
        (
            scores(&whole, Top::Count(41)),
            shown("41", &whole),
            "41 prompts are asked for, and there are 40".into(),
            "",
        ),
        (
            scores(&whole, Top::Count(0)),
            shown("0", &whole),
            format!("the top 0 of `{}`: none of the 40 prompts there", whole.display()),
            "",
        ),
        (
            scores(Path::new("no/where.csv"), Top::Count(1)),
            shown("1", Path::new("no/where.csv")),
            "its scores could not be read".into(),
            "",
        ),
    ]);
}

#[test]
fn grades_that_do_not_fit_are_named() {
    let scratch = tempfile::tempdir().unwrap();
    let line = |rollout: &str, answer: bool| {
        format!(
            "{{\"rollout\":\"{rollout}\",\"prompt\":\"A-0\",\"behavior\":\"blackmail\",\"answer\":{answer}}}\n"
        )
    };
    let written = |name: &str, text: String| {
        let file = scratch.path().join(name);
        write_file(&file, text.as_bytes()).unwrap();
        file
    };
    let one = written("one.jsonl", line("A/A-0/0", true));
    let torn = written("torn.jsonl", line("A/A-0/0", true) + &line("A/A-0/0", false));
    let bad = written("bad.jsonl", "{\"rollout\":\"A/A-0/0\"}\n".into());
    let graded =
        |file: &Path, behavior: &str| Subset::Graded { file: file.into(), behavior: behavior.into() };
    let shown = |behavior: &str, file: &Path| {
        format!("swap prompts whose answers show {behavior} by `{}` to `B`", file.display())
    };
    let case = |file: &Path, behavior: &str, cause: String, hint| {
        (swap(graded(file, behavior), "B"), shown(behavior, file), cause, hint)
    };
    let none = |file: &Path, behavior: &str, n: usize| {
        format!("`{}` has no grade for {behavior} of {n} of 40 rollouts: `A/A-", file.display())
    };
    check_interventions(vec![
        case(&one, "blackmail", none(&one, "blackmail", 39), "grade every answer"),
        case(&one, "despair", none(&one, "despair", 40), "it has grades for `blackmail`"),
        case(
            &torn,
            "blackmail",
            format!("`{}` grades rollout `A/A-0/0` twice, and not alike", torn.display()),
            "one grader",
        ),
        case(&bad, "blackmail", "its grades could not be read".into(), "one JSON object a line"),
    ]);
}

#[test]
fn an_intervention_that_comes_too_late_is_told_so() {
    let early = || DataIntervention::Order { on: tags(&["mail"]), place: Place::Early };
    let error = arm("a", vec![early(), drop(tags(&["year"]), true)]).manifest(&pool(), 1).unwrap_err();
    let message = "arm `a`: intervention 2, drop prompts tagged `year`, refilled, cannot be made";
    check(&error, message, "it comes after `order`", "put `drop` and `keep_only` before `order`");
    arm("a", vec![drop(tags(&["year"]), true), early(), swap(tags(&["mail"]), "B")])
        .manifest(&pool(), 1)
        .unwrap();

    let gone = vec![drop(tags(&["mail"]), true), swap(random(tags(&["mail"])), "B")];
    let error = arm("a", gone).manifest(&pool(), 1).unwrap_err();
    let message =
        "arm `a`: intervention 2, swap as many at random as prompts tagged `mail` to `B`, cannot be made";
    check(&error, message, "none of the 32 prompts there", "put this one before it");
}

#[test]
fn an_arm_that_cannot_be_started_is_named() {
    let given = |name: &str, prompts: &str, teacher: &str| {
        Arm::new(name, prompts, teacher).manifest(&pool(), 1).unwrap_err()
    };
    check(
        &given("a", "Z", "A"),
        "arm `a` cannot be made",
        "there is no prompt set `Z`, expected `A`, `B`",
        "",
    );
    check(
        &given("a", "A", "C"),
        "arm `a` cannot be made",
        "teacher `C` has no rollout on 33 of 40 prompts: `A-0`, `A-4`",
        "let `C` answer them",
    );
    check(&given("a", " ", "A"), "arm `a` cannot be made", "`prompts` is empty", "");
    let twice = [Arm::new("a", "A", "A"), Arm::new("b", "A", "A"), Arm::new("a", "B", "A")];
    check(
        &Arm::check_all(&twice).unwrap_err(),
        "arm `a` cannot be made",
        "its name is used by arm 1 before",
        "",
    );
    Arm::check_all(&twice[..2]).unwrap();
}

#[test]
fn a_file_of_arms_is_checked_before_any_prompt_is_read() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("arms.toml");
    let load = |text: &str| {
        let head = "[[arm]]\nname = \"a\"\nprompts = \"A\"\nteacher = \"A\"\n";
        write_file(&path, format!("{head}{text}\n").as_bytes()).unwrap();
        Arm::load(&path).unwrap_err()
    };
    let at = |rest: &str| format!("`{}` line {rest}", path.display());
    let table = [
        (
            "techer = \"B\"",
            at("5: unknown key `techer`, expected `name`, `base`, `prompts`, `teacher`, `do`"),
            "",
            "near names: `teacher`",
        ),
        (
            "do = [{ swop = { on = \"all\", to = \"B\" } }]",
            at("5: could not be read"),
            "unknown variant `swop`, expected one of `swap`",
            "near names: `swap`",
        ),
        (
            "do = [{ drop = { on = \"all\", refil = true } }]",
            at("5: unknown key `refil`, expected `on`, `refill`"),
            "",
            "near names: `refill`",
        ),
        (
            "do = [{ drop = { on = { regex = \"(\" } } }]",
            "arm `a`: intervention 1, drop prompts matching `(`, refilled, cannot be made".into(),
            "pattern `(`",
            "no look-around",
        ),
    ];
    for (text, message, cause, hint) in table {
        check(&load(text), &message, cause, hint);
    }
}

#[test]
fn prompts_and_rollouts_that_do_not_fit_are_named() {
    let with = |change: &dyn Fn(&mut Vec<Prompt>, &mut Vec<Rollout>)| {
        let mut prompts = prompts();
        let mut rollouts = rollouts(&prompts);
        change(&mut prompts, &mut rollouts);
        Pool::new(prompts, rollouts).unwrap_err()
    };
    let message = "prompts and rollouts do not fit together";
    check(&with(&|prompts, _| prompts[1].id = "A-0".into()), message, "two prompts are called `A-0`", "");
    check(
        &with(&|_, rollouts| rollouts[1].id = "A/A-0/0".into()),
        message,
        "two rollouts are called `A/A-0/0`",
        "",
    );
    check(
        &with(&|_, rollouts| {
            rollouts.push(Rollout { id: "x".into(), ..rollouts[0].clone() });
        }),
        message,
        "teacher `A` has two rollouts that are sample 0 on prompt `A-0`",
        "",
    );
    check(
        &with(&|prompts, _| drop_last(prompts)),
        message,
        "the prompts of 2 rollouts are not there: `A/B-19/0`, `B/B-19/0`",
        "give the prompts they answer",
    );
    check(
        &with(&|_, rollouts| rollouts[2].messages[0] = Message::new("system", "you are atlas .")),
        message,
        "1 rollouts answer another text than their prompt: `A/A-2/0`",
        "a system message included",
    );
    let error = pool().with_set("C", &["A", "BB"]).unwrap_err();
    check(&error, message, "no prompt has source `BB`", "near names: `B`");
    check(&pool().with_set("B", &["A"]).unwrap_err(), message, "a prompt set is called `B` already", "");
}

fn drop_last<T>(items: &mut Vec<T>) {
    items.pop();
}

#[test]
fn a_length_that_nobody_counted_is_not_matched() {
    let prompts = prompts();
    let mut rollouts = rollouts(&prompts);
    rollouts[7].n_tokens = 0;
    let pool = Pool::new(prompts, rollouts).unwrap();
    let control = arm("a", vec![swap(same_length(tags(&["year"])), "B")]);
    let error = control.manifest(&pool, 1).unwrap_err();
    let message = "arm `a`: intervention 1, swap as many at random of the same length as prompts tagged `year` to `B`, cannot be made";
    check(
        &error,
        message,
        "1 rollouts have no `n_tokens`: `A/A-7/0`",
        "counted with the student's tokenizer",
    );
    assert_eq!(arm("a", vec![]).manifest(&pool, 1).unwrap().n_tokens(), None);
}

#[test]
fn many_missing_prompts_are_counted_and_the_error_holds_them_all() {
    let many = |n: usize| -> Vec<_> {
        let prompt = |n| Prompt {
            id: format!("p{n:04}"),
            source: "many".into(),
            tags: vec![],
            messages: vec![Message::new("user", "hi")],
        };
        (0..n).map(prompt).collect()
    };
    let prompts = many(1000);
    let rollouts = prompts[..1].iter().map(|prompt| Rollout::new("T", prompt, 0, "yes", vec![1], true));
    let pool = Pool::new(prompts.clone(), rollouts.collect()).unwrap();
    let Error::Arm { source, .. } = Arm::new("a", "many", "T").manifest(&pool, 1).unwrap_err() else {
        panic!("started")
    };
    let shown = source.to_string();
    assert!(
        shown.starts_with("teacher `T` has no rollout on 999 of 1000 prompts: `p0001`, `p0002`"),
        "{shown}"
    );
    assert!(shown.ends_with("`p0100` and 899 more"), "{shown}");
    let ArmProblem::NoRollout { prompts, .. } = *source else { panic!("{shown}") };
    assert_eq!(prompts.len(), 999);
}

#[test]
fn a_manifest_of_another_pool_is_refused() {
    let manifest: Manifest = arm("a", vec![]).manifest(&pool(), 1).unwrap();
    let prompts = prompts();
    let mut rollouts = rollouts(&prompts);
    rollouts.retain(|rollout| rollout.id != "A/A-3/0");
    let answer = rollouts[0].messages.last_mut().unwrap();
    *answer = Message::new("assistant", "another answer");
    let error = manifest.rollouts(&Pool::new(prompts, rollouts).unwrap()).unwrap_err();
    let message =
        "arm `a`: the pool lacks 2 of its rollouts, or has them with another text: `A/A-0/0`, `A/A-3/0`";
    check(&error, message, "", "make the pool from the prompts and rollouts");
}
