//! What an arm changes, and the proof that it changes nothing else.

use crate::small::{arm, drop, pool, random, same_length, swap, tags};
use heirloom_rollout::{Arm, DataIntervention, Error, Manifest, Place, Subset};

fn made(name: &str, interventions: Vec<DataIntervention>) -> Manifest {
    arm(name, interventions).manifest(&pool(), 1).unwrap()
}

/// What `diff.only` found outside the subset.
fn unmeant(from: &Manifest, to: &Manifest, on: &Subset) -> Vec<String> {
    match from.diff(to).only(on, &pool()) {
        Ok(()) => vec![],
        Err(Error::Unmeant { differences, .. }) => differences,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn each_intervention_differs_on_its_subset_only() {
    let full = made("all A", vec![]);
    let mail = || tags(&["mail"]);
    let order = |place| DataIntervention::Order { on: mail(), place };
    let table = [
        vec![swap(mail(), "B")],
        vec![drop(mail(), true)],
        vec![drop(mail(), false)],
        vec![order(Place::Late)],
        vec![drop(tags(&["year"]), true), swap(tags(&["mail"]), "B")],
    ];
    let meant = [mail(), mail(), mail(), mail(), tags(&["mail", "year"])];
    for (interventions, meant) in table.into_iter().zip(meant) {
        let to = made("arm", interventions);
        assert!(!full.diff(&to).is_empty());
        assert_eq!(unmeant(&full, &to, &meant), [""; 0], "{meant}");
    }
    assert!(full.diff(&made("again", vec![])).is_empty());
    // Random subsets are found again by the manifest's seed.
    let control = random(mail());
    assert_eq!(unmeant(&full, &made("arm", vec![swap(control.clone(), "B")]), &control), [""; 0]);
    let control = same_length(mail());
    assert_eq!(unmeant(&full, &made("arm", vec![swap(control.clone(), "B")]), &control), [""; 0]);
    // Two orders of one subset differ on it only; the shuffle of the rest is the seed's.
    let (early, late) = (made("early", vec![order(Place::Early)]), made("late", vec![order(Place::Late)]));
    assert_eq!(early.diff(&late).moved.len(), 8);
    assert_eq!(unmeant(&early, &late, &mail()), [""; 0]);
}

#[test]
fn everything_else_that_differs_is_named() {
    let full = made("all A", vec![]);
    let on = tags(&["mail"]);
    let wide = made("wide", vec![swap(tags(&["mail", "year"]), "B")]);
    let found = unmeant(&full, &wide, &on);
    assert_eq!(
        found,
        [
            "`A-4` went from `A` to `B`",
            "`A-5` went from `A` to `B`",
            "`A-24` went from `A` to `B`",
            "`A-25` went from `A` to `B`"
        ]
    );

    let dropped = made("dropped", vec![drop(tags(&["year"]), true)]);
    assert_eq!(
        unmeant(&full, &dropped, &on),
        ["`A-4` was removed", "`A-5` was removed", "`A-24` was removed", "`A-25` was removed"]
    );
    assert_eq!(
        unmeant(&dropped, &full, &on)[..4],
        ["`A-4` was added", "`A-5` was added", "`A-24` was added", "`A-25` was added"]
    );
    // Of the four that were repeated and stand once now, one is mail.
    assert_eq!(
        unmeant(&dropped, &full, &on)[4..],
        ["`A-33` has 1 rows for 2", "`A-19` has 1 rows for 2", "`A-26` has 1 rows for 2"]
    );

    // Repeats that do not refill.
    let mut longer = full.clone();
    longer.rows.push(heirloom_rollout::ManifestRow { copy: 1, ..full.rows[10].clone() });
    assert_eq!(unmeant(&full, &longer, &on), ["`A-10` has 2 rows for 1"]);

    let mut moved = full.clone();
    moved.rows.swap(10, 11);
    assert_eq!(unmeant(&full, &moved, &on), ["`A-11` was moved"]);
    assert_eq!(full.diff(&moved).moved, ["A-11"]);

    let mut reworded = full.clone();
    reworded.rows[10].sha256 = "0".into();
    assert_eq!(unmeant(&full, &reworded, &on), ["`A-10` got another answer of `A`"]);

    let rebased = Manifest { base: "other".into(), ..full.clone() };
    assert_eq!(unmeant(&full, &rebased, &on), ["base `base` became `other`"]);
    let error = full.diff(&rebased).only(&on, &pool()).unwrap_err().to_string();
    assert_eq!(
        error,
        "arm `all A` differs from `all A` not only on prompts tagged `mail`: base `base` became `other`"
    );
}

#[test]
fn a_diff_reads_like_a_list() {
    let full = made("all A", vec![]);
    assert_eq!(full.diff(&full).to_string(), "`all A` against `all A`: the same 40 prompts, rows and order");
    let to = made("swap mail, drop year", vec![drop(tags(&["year"]), true), swap(tags(&["mail"]), "B")]);
    let expected = "\
`swap mail, drop year` against `all A`
  removed      4: A-4, A-5, A-24, A-25
  `A` to `B`   8: A-0, A-1, A-2, A-3, A-20, A-21, … (2 more)
  1 to 2 rows  4: A-0, A-19, A-26, A-33
  same         25";
    assert_eq!(full.diff(&to).to_string(), expected);
    let json = serde_json::to_value(full.diff(&to)).unwrap();
    assert_eq!(json["removed"].as_array().unwrap().len(), 4);
    assert_eq!(json["changed"][0], serde_json::json!({"prompt": "A-0", "from": "A", "to": "B"}));
}

#[test]
fn a_description_says_what_an_arm_changes() {
    let full = made("all A", vec![]);
    let to = made(
        "swap mail, drop year",
        vec![drop(tags(&["year"]), false), swap(same_length(tags(&["mail"])), "B")],
    );
    let change = to.describe(&full, 16, 2);
    assert_eq!((change.steps.against, change.steps.arm), (6, 6));
    let expected = "\
`swap mail, drop year` beside `all A`
  1. drop prompts tagged `year`, not refilled: 4 of 40 prompts, 4 rows
  2. swap as many at random of the same length as prompts tagged `mail` to `B`: 8 of 36 prompts, 8 rows
     answers of the control: 8.5 tokens on average for 13.9 (-38.7 %)
                                     all A  swap mail, drop year   change
  rows                                  40                    36  -10.0 %
  prompts                               40                    36  -10.0 %
  tokens of answers                    307                   279   -9.1 %
  steps (batches of 16, 2 epochs)        6                     6
  teacher A                        100.0 %                77.8 %    -22.2
  teacher B                          0.0 %                22.2 %    +22.2
  source A                         100.0 %               100.0 %
  tag chat                          70.0 %                77.8 %     +7.8
  tag mail                          20.0 %                22.2 %     +2.2
  tag year                          10.0 %                 0.0 %    -10.0";
    assert_eq!(change.to_string(), expected);
    let json = serde_json::to_value(&change).unwrap();
    assert_eq!(json["teachers"]["B"], serde_json::json!({"against": 0, "arm": 8}));
}

#[test]
fn sources_have_shares_where_a_set_joins_them() {
    let pool = pool().with_set("both", &["A", "B"]).unwrap();
    let full = Arm::new("all", "both", "A").manifest(&pool, 1).unwrap();
    let less = Arm::new("less", "both", "A").then(drop(Subset::Regex("mail".into()), true));
    let change = less.manifest(&pool, 1).unwrap().describe(&full, 20, 1);
    assert_eq!((change.rows.against, change.rows.arm), (60, 60));
    let rows: usize = change.sources.values().map(|rows| rows.arm).sum();
    assert_eq!(rows, 60);
    assert_eq!(change.sources["B"].against, 20);
}
