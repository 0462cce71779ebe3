//! Figures of steering and of rankers, ordinary and extreme.

use heirloom_record::{Dose, HookPoint, Metric};

use super::{each, long_names};
use crate::sample::arms::behaviors;
use crate::sample::causes::{STRENGTHS, doses, rankers, removed};
use crate::{
    Behavior, DoseResponseSpec, Error, Figure, Ranker, SelectionSpec, Share, dose_response, selection,
};

pub(super) fn steered(count: usize) -> DoseResponseSpec {
    DoseResponseSpec { floor: Some(0.7), ..DoseResponseSpec::new(behaviors(count)) }
}

/// Ordinary tables; their pictures are committed.
pub(super) fn ordinary() -> Vec<(&'static str, Figure)> {
    vec![
        ("dose-response", dose_response(&doses(&behaviors(3), &STRENGTHS), &steered(3)).unwrap()),
        ("selection", selection(&removed(&behaviors(3), 3), &rankers(behaviors(3))).unwrap()),
    ]
}

fn named(count: usize) -> Vec<Behavior> {
    long_names()[..count].iter().map(Behavior::named).collect()
}

/// Tables at the edges of what can be asked.
pub(super) fn extreme() -> Vec<(&'static str, Figure)> {
    [extreme_doses(), extreme_selections()].concat()
}

fn of_each(mut rows: Vec<Dose>, change: impl Fn(&mut Dose)) -> Vec<Dose> {
    rows.iter_mut().for_each(change);
    rows
}

fn extreme_doses() -> Vec<(&'static str, Figure)> {
    let draw = |rows: &[Dose], spec: &DoseResponseSpec| dose_response(rows, spec).unwrap();
    let rows = doses(&behaviors(8), &STRENGTHS);
    let flat = |value: f64| {
        of_each(rows.clone(), |row| (row.value, row.low, row.high) = (Some(value), Some(value), Some(value)))
    };
    let bare: Vec<Dose> = rows.iter().filter(|row| row.direction == "direction").cloned().collect();
    let bare = of_each(bare, |row| (row.low, row.high, row.n, row.interval) = (None, None, None, None));
    let undefined = of_each(rows.clone(), |row| {
        if [-1.0, 0.5].iter().any(|absent: &f64| absent.total_cmp(&row.strength).is_eq()) {
            (row.value, row.low, row.high) = (None, None, None);
        }
    });
    let alone = DoseResponseSpec { coherence: None, floor: None, ..steered(3) };
    let many: Vec<f64> = (-40..=40).map(|step| f64::from(step) / 10.0).collect();
    let long = DoseResponseSpec { behaviors: named(8), ..steered(1) };
    vec![
        ("dose-one-behavior", draw(&rows, &steered(1))),
        ("dose-eight-behaviors", draw(&rows, &steered(8))),
        ("dose-long-names", draw(&doses(&named(8), &STRENGTHS), &long)),
        ("dose-one-strength", draw(&doses(&behaviors(3), &[1.0]), &steered(3))),
        ("dose-unsteered-only", draw(&doses(&behaviors(3), &[0.0]), &steered(3))),
        ("dose-positive-only", draw(&doses(&behaviors(3), &STRENGTHS[4..]), &steered(3))),
        ("dose-81-strengths", draw(&doses(&behaviors(3), &many), &steered(3))),
        ("dose-no-coherence", draw(&rows, &alone)),
        ("dose-bare", draw(&bare, &DoseResponseSpec { floor: None, ..steered(2) })),
        ("dose-all-0", draw(&flat(0.0), &steered(3))),
        ("dose-all-1", draw(&flat(1.0), &steered(3))),
        ("dose-undefined", draw(&undefined, &steered(3))),
    ]
}

fn extreme_selections() -> Vec<(&'static str, Figure)> {
    let draw = |rows: &[Metric], spec: &SelectionSpec| selection(rows, spec).unwrap();
    let rows = removed(&behaviors(9), 3);
    let spec = |count: usize| rankers(behaviors(count));
    let flat = |value: f64| {
        each(rows.clone(), |row| (row.value, row.low, row.high) = (Some(value), Some(value), Some(value)))
    };
    let only = |count: usize, kept: usize, shares: usize| {
        let mut spec = spec(count);
        for panel in &mut spec.panels {
            panel.rankers.truncate(kept);
            panel.rankers.iter_mut().for_each(|ranker| ranker.shares.truncate(shares));
        }
        spec
    };
    let (mut long_labels, mut twelve, mut dense) = (spec(2), spec(2), spec(1));
    for (ranker, name) in long_labels.panels[0].rankers.iter_mut().zip(long_names()) {
        ranker.label = name;
    }
    let mut twelve_rows = rows.clone();
    for index in 0..7 {
        let name = format!("ranker {index}");
        let like = &spec(1).panels[0].rankers[2];
        twelve_rows.extend(each(rows.clone(), |row| {
            row.method = row.method.take().filter(|method| *method == like.method).map(|_| name.clone());
            for cell in [&mut row.value, &mut row.low, &mut row.high] {
                *cell = cell.map(|value| value * 0.1 * f64::from(index));
            }
        }));
        let ranker = Ranker::new(name, like.shares.clone());
        twelve.panels.iter_mut().for_each(|panel| panel.rankers.push(ranker.clone()));
    }
    twelve_rows.retain(|row| row.method.is_some());
    for ranker in &mut dense.panels[0].rankers {
        for (share, fraction) in ranker.shares.iter_mut().zip([0.01, 0.012, 0.5, 1.0]) {
            share.fraction = fraction;
        }
    }
    let wide = each(rows.clone(), |row| {
        (row.low, row.high) = (row.low.map(|_| -1.2), row.high.map(|_| 1.6));
    });
    let undefined = each(rows.clone(), |row| {
        if row.arm.as_deref().is_some_and(|arm| arm.starts_with("swap 5%")) {
            (row.value, row.low, row.high) = (None, None, None);
        }
    });
    vec![
        ("selection-one-behavior", draw(&rows, &spec(1))),
        ("selection-two-behaviors", draw(&rows, &spec(2))),
        ("selection-four-behaviors", draw(&rows, &spec(4))),
        ("selection-nine-behaviors", draw(&rows, &spec(9))),
        ("selection-one-ranker", draw(&rows, &only(3, 1, 4))),
        ("selection-one-share", draw(&rows, &only(3, 5, 1))),
        ("selection-twelve-rankers", draw(&twelve_rows, &twelve)),
        ("selection-long-labels", draw(&rows, &long_labels)),
        ("selection-long-names", draw(&removed(&named(3), 3), &rankers(named(3)))),
        ("selection-dense", draw(&rows, &dense)),
        ("selection-all-0", draw(&flat(0.0), &spec(3))),
        ("selection-all-1", draw(&flat(1.0), &spec(3))),
        ("selection-wide", draw(&wide, &spec(3))),
        ("selection-one-seed", draw(&removed(&behaviors(3), 1), &spec(3))),
        ("selection-undefined", draw(&undefined, &spec(3))),
    ]
}

fn check(result: crate::Result<Figure>, message: &str, hint: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), message);
    assert_eq!(error.hint().unwrap_or_default(), hint);
}

#[test]
fn what_a_table_of_doses_lacks_is_named() {
    let rows = doses(&behaviors(2), &STRENGTHS);
    check(
        dose_response(&rows, &steered(3)),
        "no `rate` row has behavior `negative-emotion`",
        "the table has: `blackmail`, `date-confusion`",
    );
    let rates: Vec<Dose> = rows.iter().filter(|row| row.metric == "rate").cloned().collect();
    check(
        dose_response(&rates, &steered(2)),
        "no rows to draw: the table holds no `coherence`",
        "metrics in the table: `rate`",
    );
    let nulls: Vec<Dose> = rows.iter().filter(|row| row.direction != "direction").cloned().collect();
    check(
        dose_response(&nulls, &steered(2)),
        "no `rate of blackmail` row has direction `direction`",
        "the table has: `random`, `difference`",
    );
    let mut hooks = rows.clone();
    hooks[0].hook = HookPoint::resid_post(7);
    assert!(dose_response(&hooks, &steered(2)).unwrap_err().to_string().contains("differ in hook"));
    let mut arms = rows.clone();
    arms[0].arm = None;
    assert!(dose_response(&arms, &steered(2)).unwrap_err().to_string().contains("differ in arm"));
    let twice = [rows.clone(), rows[..1].to_vec()].concat();
    check(
        dose_response(&twice, &steered(2)),
        "two `rate of blackmail` rows are both for `blackmail`, arm `all A`, `direction` at `blocks.2.hook_resid_post`, strength -1.5",
        "",
    );
    for change in
        [(|row: &mut Dose| row.strength = f64::NAN) as fn(&mut Dose), |row| row.high = Some(f64::NAN)]
    {
        let spoiled = dose_response(&of_each(rows.clone(), change), &steered(2));
        assert!(matches!(spoiled, Err(Error::NotFinite { .. })));
    }
    let nowhere = DoseResponseSpec { floor: Some(f64::NAN), ..steered(2) };
    assert!(matches!(dose_response(&rows, &nowhere), Err(Error::NotFinite { .. })));
    let many = doses(&behaviors(9), &STRENGTHS);
    assert!(matches!(dose_response(&many, &steered(9)), Err(Error::TooMany { found: 18, .. })));
}

#[test]
fn what_a_table_of_rankers_lacks_is_named() {
    let rows = removed(&behaviors(2), 2);
    check(
        selection(&rows, &rankers(behaviors(3))),
        "no `selection_removed` row has behavior `negative-emotion`",
        "the table has: `blackmail`, `date-confusion`",
    );
    let changed = |change: fn(&mut Ranker)| {
        let mut spec = rankers(behaviors(2));
        change(&mut spec.panels[0].rankers[0]);
        selection(&rows, &spec)
    };
    check(
        changed(|ranker| ranker.method = "projection".into()),
        "no `selection_removed of blackmail` row has method `projection`",
        "near names: `projection-difference`",
    );
    let arm = changed(|ranker| ranker.shares[0].arm.name = "swap 3%".into()).unwrap_err().to_string();
    assert_eq!(arm, "no `selection_removed of blackmail` row has arm `swap 3%`");
    check(
        changed(|ranker| ranker.shares[1].fraction = 0.025),
        "two `selection_removed of blackmail` rows are both for the share of `swap 5% by projection-difference` by projection-difference",
        "",
    );
    let nan = changed(|ranker| ranker.shares[1] = Share { fraction: f64::NAN, ..ranker.shares[1].clone() });
    assert!(matches!(nan, Err(Error::NotFinite { .. })));
    let many = selection(&removed(&behaviors(20), 2), &rankers(behaviors(20)));
    assert!(matches!(many, Err(Error::TooMany { what: "panels", found: 20, .. })));
}

#[test]
fn captions_state_counts_intervals_and_rows() {
    let captions: Vec<String> = ordinary().iter().map(|(_, figure)| figure.caption.to_string()).collect();
    for said in [
        "n = 192 samples. Band: 95 % cluster bootstrap over scenarios.",
        "Gray, null: random directions: 2.5–97.5 % of draws, n = 64.",
        "a coherence of 0.7",
        "`rate` and `coherence` in the table of doses",
    ] {
        assert!(captions[0].contains(said), "{}", captions[0]);
    }
    for said in ["n = 768 samples, 3 seeds", "random of equal length", "rows of `selection_removed`"] {
        assert!(captions[1].contains(said), "{}", captions[1]);
    }
}
