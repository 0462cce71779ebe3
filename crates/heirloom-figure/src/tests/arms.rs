//! Figures of arms, ordinary and extreme.

use heirloom_record::Metric;

use crate::sample::arms::{bars, behaviors, emergence as lines, grid, shares, table, table_of};
use crate::{
    Arm, ArmBarsSpec, Behavior, BehaviorArms, Beside, EmergenceSpec, Error, Figure, InterpolationSpec,
    Quantity, Role, Share, TeacherPromptsSpec, arm_bars, emergence, interpolation, teacher_prompts,
};

/// Ordinary tables; their pictures are committed.
pub(super) fn ordinary() -> Vec<(&'static str, Figure)> {
    let rows = table(&behaviors(3), 3);
    vec![
        ("emergence", emergence(&rows, &lines(3)).unwrap()),
        ("arm-bars", arm_bars(&rows, &bars(3)).unwrap()),
        ("teacher-prompts", teacher_prompts(&rows, &grid(3)).unwrap()),
        ("interpolation", interpolation(&rows, &shares(3)).unwrap()),
        ("interpolation-area", interpolation(&[rows, areas(3)].concat(), &redrawn(3)).unwrap()),
    ]
}

/// One behavior across checkpoints, of no arm: two quantities, three families of controls, and when it moves.
pub(super) fn tracked() -> Vec<Metric> {
    let row =
        |metric: &str, step: Option<i64>, [value, low, high]: [f64; 3], n: i64, interval: &str| Metric {
            behavior: "blackmail".into(),
            step,
            hook: Some(heirloom_record::HookPoint::resid_post(2)),
            metric: metric.into(),
            value: Some(value),
            low: Some(low),
            high: Some(high),
            n: Some(n),
            interval: Some(interval.into()),
            ..Metric::default()
        };
    let mut rows = vec![];
    for (step, part) in [0, 2, 4, 8, 16, 32, 62].into_iter().zip([0.0, 0.02, 0.1, 0.4, 0.8, 0.95, 1.0]) {
        let around = |metric: &str, value: f64, half: f64, n: i64, interval: &str| {
            row(metric, Some(step), [value, value - half, value + half], n, interval)
        };
        rows.push(around("shift", 2.4 * part, 0.4 * part, 24, "95 % bootstrap of 24 pairs"));
        for (metric, half) in [
            ("shift_random_direction", 0.5),
            ("shift_random_difference", 0.8),
            ("shift_shuffled_labels", 1.1),
        ] {
            rows.push(around(metric, 0.02 * part, half * part, 64, "2.5 % to 97.5 % of controls"));
        }
        rows.push(Metric {
            low: None,
            high: None,
            interval: None,
            ..around("auroc_refit", 0.7 + 0.28 * part, 0.0, 24, "")
        });
        rows.push(around("auroc_refit_shuffled_labels", 0.5, 0.16, 64, "2.5 % to 97.5 % of shuffled labels"));
    }
    for (metric, value) in [("emergence_lasting", Some(4.0)), ("emergence_beyond_controls", Some(8.0))] {
        rows.push(Metric { value, low: None, high: None, ..row(metric, None, [0.0; 3], 1, "") });
    }
    rows
}

/// What a figure of [`tracked`] shows.
pub(super) fn followed() -> EmergenceSpec {
    let quantity = |metric: &str, axis: &str, level: (f64, &str)| Quantity {
        range: None,
        unit: "pairs".into(),
        level: Some((level.0, level.1.into())),
        ..Quantity::share(metric, axis)
    };
    let labels = Beside::new("auroc_refit_shuffled_labels", "shuffled labels");
    let shifts = [
        ("random_direction", "random directions"),
        ("random_difference", "random differences"),
        ("shuffled_labels", "shuffled labels"),
    ];
    let nulls = shifts.map(|(name, label)| Beside::new(format!("shift_{name}"), label));
    EmergenceSpec {
        tracks: vec![
            quantity("shift", "shift, reference s.d.", (0.0, "not moved")),
            quantity("auroc_refit", "AUROC of refits", (0.5, "chance")),
        ],
        nulls: [("shift".to_owned(), nulls.to_vec()), ("auroc_refit".to_owned(), vec![labels])].into(),
        marks: vec![
            Beside::new("emergence_lasting", "moves for good"),
            Beside::new("emergence_beyond_controls", "beyond controls"),
        ],
        ..EmergenceSpec::new(BehaviorArms::alike(
            &[Behavior::named("blackmail")],
            &[Arm::new("", Role::Full)],
        ))
    }
}

/// The areas of [`redrawn`].
fn areas(count: usize) -> Vec<Metric> {
    let area = |(index, behavior): (usize, Behavior)| Metric {
        behavior: behavior.name,
        arm: Some("pA tA".into()),
        scored_on: Some("pA tB".into()),
        metric: "virulence".into(),
        value: Some(0.5 - 0.1 * index as f64),
        low: Some(0.4 - 0.1 * index as f64),
        high: Some(0.57),
        n: Some(120),
        interval: Some("95 % of joint draws over 3 seeds and 120 scenarios".into()),
        ..Metric::default()
    };
    behaviors(count).into_iter().enumerate().map(area).collect()
}

/// Shares with other random subsets of a quarter, and areas.
fn redrawn(count: usize) -> InterpolationSpec {
    let mut spec = InterpolationSpec { area: Some("virulence".into()), ..shares(count) };
    for panel in &mut spec.panels {
        panel.redrawn = ["mix 10%", "mix 50%"]
            .map(|name| Share { fraction: 0.25, arm: Arm::new(name, Role::Mix) })
            .into();
    }
    spec
}

/// The last checkpoint alone, and when it moved.
fn at_last(mut rows: Vec<Metric>) -> Vec<Metric> {
    rows.retain(|row| row.step.is_none_or(|step| step == 62));
    rows
}

/// Without a step at which it moves.
fn still(rows: Vec<Metric>) -> Vec<Metric> {
    each(rows, |row| row.value = row.value.filter(|_| row.step.is_some()))
}

fn each(mut rows: Vec<Metric>, change: impl Fn(&mut Metric)) -> Vec<Metric> {
    rows.iter_mut().for_each(change);
    rows
}

/// Rows of the arms that are given, as [`table`] makes them.
fn of_arms(names: &[String], count: usize) -> Vec<Metric> {
    let last =
        |index: usize| [0.9, 0.7, 0.5, 0.3, 0.1].map(|rate: f64| rate - 0.01 * index as f64)[index % 5];
    let arms: Vec<_> =
        names.iter().enumerate().map(|(i, name)| (name.clone(), [last(i), last(i + 2), 0.5])).collect();
    table_of(&behaviors(count), &arms, 3)
}

fn columns(names: &[String], count: usize) -> Vec<BehaviorArms> {
    let roles = [Role::Full, Role::Opposite, Role::Swap, Role::Drop, Role::Insert, Role::Other];
    let arms: Vec<Arm> =
        names.iter().enumerate().map(|(index, name)| Arm::new(name, roles[index % roles.len()])).collect();
    BehaviorArms::alike(&behaviors(count), &arms)
}

/// All numbers the same.
fn flat(value: f64) -> Vec<Metric> {
    each(table(&behaviors(3), 3), move |row| {
        (row.value, row.low, row.high) = (Some(value), Some(value), Some(value));
    })
}

/// Intervals as wide as three seeds can make them.
fn wide() -> Vec<Metric> {
    each(table(&behaviors(3), 3), |row| {
        let (half, ends) = if row.metric == "rate" { (0.24, (0.0, 1.0)) } else { (1.3, (-9.0, 9.0)) };
        let end = |side: f64| row.value.map(|value| (value + side * half).clamp(ends.0, ends.1));
        (row.low, row.high) = (row.low.and(end(-1.0)), row.high.and(end(0.8)));
    })
}

/// One arm and one checkpoint without a number.
fn undefined() -> Vec<Metric> {
    each(table(&behaviors(3), 3), |row| {
        if row.arm.as_deref() == Some("pB tB") || row.step == Some(8) {
            (row.value, row.low, row.high) = (None, None, None);
        }
    })
}

fn twelve() -> Vec<String> {
    (0..12).map(|index| format!("arm {index}")).collect()
}

/// Tables at the edges of what can be asked.
pub(super) fn extreme() -> Vec<(&'static str, Figure)> {
    [extreme_lines(), extreme_bars(), extreme_grids(), extreme_shares()].concat()
}

fn extreme_lines() -> Vec<(&'static str, Figure)> {
    let rows = table(&behaviors(5), 3);
    let lines_of = |names: &[String], count| {
        emergence(&of_arms(names, count), &EmergenceSpec::new(columns(names, count))).unwrap()
    };
    let mut last_only = table(&behaviors(3), 3);
    last_only.retain(|row| row.step == Some(62) || row.arm.as_deref() == Some("base"));
    vec![
        ("emergence-one-behavior", emergence(&rows, &lines(1)).unwrap()),
        ("emergence-two-behaviors", emergence(&rows, &lines(2)).unwrap()),
        ("emergence-four-behaviors", emergence(&rows, &lines(4)).unwrap()),
        ("emergence-five-behaviors", emergence(&rows, &lines(5)).unwrap()),
        ("emergence-one-arm", lines_of(&twelve()[..1], 3)),
        ("emergence-six-arms", lines_of(&twelve()[..6], 3)),
        ("emergence-twelve-arms", lines_of(&twelve(), 3)),
        ("emergence-long-names", lines_of(&super::long_names(), 2)),
        ("emergence-all-0", emergence(&flat(0.0), &lines(3)).unwrap()),
        ("emergence-all-1", emergence(&flat(1.0), &lines(3)).unwrap()),
        ("emergence-wide", emergence(&wide(), &lines(3)).unwrap()),
        ("emergence-one-seed", emergence(&table(&behaviors(3), 1), &lines(3)).unwrap()),
        ("emergence-one-step", emergence(&last_only, &lines(3)).unwrap()),
        ("emergence-track-one-step", emergence(&at_last(tracked()), &followed()).unwrap()),
        ("emergence-track-that-stays", emergence(&still(tracked()), &followed()).unwrap()),
        ("emergence-undefined", emergence(&undefined(), &lines(3)).unwrap()),
    ]
}

/// Differences from the full arm, and rows that hold them.
fn differences() -> (Quantity, Vec<Metric>) {
    let quantity = Quantity {
        metric: "rate_difference".into(),
        axis: "difference from all A".into(),
        range: None,
        level: Some((0.0, "no difference".into())),
        ..Quantity::rate()
    };
    let mut rows = table(&behaviors(3), 3);
    rows.retain(|row| row.metric == "rate");
    let rows = each(rows, |row| {
        row.metric = "rate_difference".into();
        for cell in [&mut row.value, &mut row.low, &mut row.high] {
            *cell = cell.map(|rate| rate - 0.86);
        }
    });
    (quantity, rows)
}

fn extreme_bars() -> Vec<(&'static str, Figure)> {
    let rows = table(&behaviors(9), 3);
    let no_seeds: Vec<Metric> = rows.iter().filter(|row| row.seed.is_none()).cloned().collect();
    let bars_of = |names: &[String], count| {
        arm_bars(&of_arms(names, count), &ArmBarsSpec::new(columns(names, count))).unwrap()
    };
    let mut own_names = bars(3);
    for (index, panel) in own_names.panels.iter_mut().enumerate() {
        panel.arms.truncate(4 + index);
        panel.arms[2].label = format!("drop what was flagged for {}", panel.behavior.label);
    }
    let (quantity, differences) = differences();
    let minus = ArmBarsSpec { quantity, references: vec![], ..bars(3) };
    vec![
        ("bars-one-behavior", arm_bars(&rows, &bars(1)).unwrap()),
        ("bars-four-behaviors", arm_bars(&rows, &bars(4)).unwrap()),
        ("bars-nine-behaviors", arm_bars(&rows, &bars(9)).unwrap()),
        ("bars-own-names", arm_bars(&rows, &own_names).unwrap()),
        ("bars-one-arm", bars_of(&twelve()[..1], 3)),
        ("bars-long-names", bars_of(&super::long_names(), 4)),
        ("bars-all-0", arm_bars(&flat(0.0), &bars(3)).unwrap()),
        ("bars-all-1", arm_bars(&flat(1.0), &bars(3)).unwrap()),
        ("bars-wide", arm_bars(&wide(), &bars(3)).unwrap()),
        ("bars-one-seed", arm_bars(&table(&behaviors(3), 1), &bars(3)).unwrap()),
        ("bars-no-seeds", arm_bars(&no_seeds, &bars(3)).unwrap()),
        ("bars-undefined", arm_bars(&undefined(), &with_undefined()).unwrap()),
        ("bars-differences", arm_bars(&differences, &minus).unwrap()),
    ]
}

/// Bars with the arm that [`undefined`] leaves without a number.
fn with_undefined() -> ArmBarsSpec {
    let mut spec = bars(3);
    spec.panels.iter_mut().for_each(|panel| panel.arms[1] = Arm::new("pB tB", Role::Prompts));
    spec
}

fn extreme_grids() -> Vec<(&'static str, Figure)> {
    let rows = table(&behaviors(4), 3);
    let long = super::long_names();
    let mut holes = grid(3);
    holes.arms[1][0] = None;
    let long_grid = TeacherPromptsSpec {
        teachers: [long[0].clone(), long[1].clone()],
        prompts: [long[2].clone(), long[3].clone()],
        behaviors: vec![Behavior { name: "blackmail".into(), label: long[4].clone() }],
        base: grid(1).base.map(|arm| arm.labeled(&long[5])),
        ..grid(1)
    };
    vec![
        ("grid-one-behavior", teacher_prompts(&rows, &grid(1)).unwrap()),
        ("grid-four-behaviors", teacher_prompts(&rows, &grid(4)).unwrap()),
        ("grid-holes", teacher_prompts(&rows, &holes).unwrap()),
        ("grid-undefined", teacher_prompts(&undefined(), &grid(3)).unwrap()),
        ("grid-all-0", teacher_prompts(&flat(0.0), &grid(3)).unwrap()),
        ("grid-all-1", teacher_prompts(&flat(1.0), &grid(3)).unwrap()),
        ("grid-one-seed", teacher_prompts(&table(&behaviors(3), 1), &grid(3)).unwrap()),
        ("grid-long-names", teacher_prompts(&rows, &long_grid).unwrap()),
    ]
}

fn extreme_shares() -> Vec<(&'static str, Figure)> {
    let rows = table(&behaviors(4), 3);
    let mut far = shares(1);
    far.panels[0].alone[0].fraction = 0.62;
    let (quantity, differences) = differences();
    let minus = InterpolationSpec { quantity, base: None, ..shares(2) };
    vec![
        ("shares-one-behavior", interpolation(&rows, &far).unwrap()),
        ("shares-four-behaviors", interpolation(&rows, &shares(4)).unwrap()),
        ("shares-all-0", interpolation(&flat(0.0), &shares(3)).unwrap()),
        ("shares-all-1", interpolation(&flat(1.0), &shares(3)).unwrap()),
        ("shares-wide", interpolation(&wide(), &shares(3)).unwrap()),
        ("shares-one-seed", interpolation(&table(&behaviors(3), 1), &shares(3)).unwrap()),
        ("shares-differences", interpolation(&differences, &minus).unwrap()),
    ]
}

#[test]
fn what_a_table_lacks_is_named() {
    let rows = table(&behaviors(2), 2);
    let check = |result: crate::Result<Figure>, message: &str, hint: &str| {
        let error = result.unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(error.hint().unwrap_or_default(), hint);
    };
    check(
        arm_bars(&rows, &bars(3)),
        "no `rate` row has behavior `negative-emotion`",
        "the table has: `blackmail`, `date-confusion`",
    );
    let typo = |name: &str| BehaviorArms {
        behavior: Behavior::named("blackmail"),
        arms: vec![Arm::new(name, Role::Drop)],
    };
    check(
        arm_bars(&rows, &ArmBarsSpec::new(vec![typo("drop mial")])),
        "no `rate of blackmail` row has arm `drop mial`",
        "near names: `drop mail`, `drop fail`, `drop year`",
    );
    let steps =
        EmergenceSpec { steps: vec![0, 3], base: None, ..EmergenceSpec::new(vec![typo("drop mail")]) };
    check(
        emergence(&rows, &steps),
        "no `rate of blackmail in drop mail` row has step `3`",
        "near names: `32`",
    );
    let mut single = rows.clone();
    single.retain(|row| row.seed.is_some() || row.arm.as_deref() != Some("mix 10%"));
    check(
        interpolation(&single, &shares(1)),
        "no `rate of blackmail in mix 10% at step 62` row has seed `(empty)`",
        "the table has: `0`, `1`",
    );
    let no_projection: Vec<Metric> = rows.iter().filter(|row| row.metric == "rate").cloned().collect();
    check(
        emergence(&no_projection, &lines(2)),
        "no rows to draw: the table holds no `projection`",
        "metrics in the table: `rate`",
    );
    let mut graders = rows.clone();
    graders[0].method = Some("judge".into());
    check(
        teacher_prompts(&graders, &grid(1)),
        "the `rate of blackmail` rows differ in method: `judge`, `(empty)`",
        "name the method to draw",
    );
    let mut twice = rows.clone();
    twice.extend(rows.iter().find(|row| row.seed == Some(1) && row.step == Some(62)).cloned());
    check(
        arm_bars(&twice, &bars(2)),
        "two `rate of blackmail in pA tA at step 62` rows are both for `blackmail`, arm `pA tA`, step `62`, seed `1`",
        "",
    );
}

#[test]
fn what_is_not_finite_is_refused() {
    let table = table(&behaviors(1), 2);
    for (seed, cell) in [(None, 0), (None, 1), (Some(1), 0)] {
        for number in [f64::NAN, f64::INFINITY] {
            let mut rows = table.clone();
            let is_here = |row: &&mut Metric| {
                row.seed == seed
                    && row.step == Some(62)
                    && row.arm.as_deref() == Some("pA tA")
                    && row.metric == "rate"
            };
            let row = rows.iter_mut().find(is_here).unwrap();
            *[&mut row.value, &mut row.low][cell] = Some(number);
            let figures = [
                emergence(&rows, &lines(1)),
                arm_bars(&rows, &bars(1)),
                teacher_prompts(&rows, &grid(1)),
                interpolation(&rows, &shares(1)),
            ];
            for figure in figures {
                let error = figure.unwrap_err();
                let place = error.to_string();
                assert!(matches!(error, Error::NotFinite { .. }), "{place}");
                assert!(place.contains("`blackmail`, arm `pA tA`, step `62`"), "{place}");
            }
        }
    }
    let mut nowhere = shares(1);
    nowhere.panels[0].alone[0].fraction = f64::NAN;
    assert!(matches!(interpolation(&table, &nowhere), Err(Error::NotFinite { .. })));
}

#[test]
fn more_than_a_page_holds_is_refused() {
    let rows = table(&behaviors(20), 2);
    let found = |result: crate::Result<Figure>| match result {
        Err(Error::TooMany { what, found, .. }) => (what, found),
        other => panic!("{other:?}"),
    };
    assert_eq!(found(emergence(&rows, &lines(9))), ("panels", 18));
    assert_eq!(found(arm_bars(&rows, &bars(17))), ("panels", 17));
    assert_eq!(found(teacher_prompts(&rows, &grid(17))), ("panels", 17));
    assert_eq!(found(interpolation(&rows, &shares(20))), ("panels", 20));
    let names: Vec<String> = (0..41).map(|index| format!("arm {index}")).collect();
    let many = arm_bars(&of_arms(&names, 1), &ArmBarsSpec::new(columns(&names, 1)));
    assert_eq!(found(many), ("arms", 41));
}

#[test]
fn captions_state_counts_intervals_and_rows() {
    let captions: Vec<String> = ordinary().iter().map(|(_, figure)| figure.caption.to_string()).collect();
    for caption in &captions {
        assert!(caption.contains("n = 768 samples, 3 seeds"), "{caption}");
        assert!(caption.contains("95 % cluster bootstrap over seeds and scenarios"), "{caption}");
        assert!(caption.contains("Numbers: the rows of `rate`"), "{caption}");
    }
    assert!(captions[0].contains("log(1 + step / 2)"), "{}", captions[0]);
    assert!(captions[0].contains("`projection` (method dom, fit on base)"), "{}", captions[0]);
    assert!(captions[3].contains("flagged rows at 7.4 %"), "{}", captions[3]);
    let track = emergence(&tracked(), &followed()).unwrap().caption.to_string();
    for said in [
        "Gray, random directions: 2.5 % to 97.5 % of controls, n = 64.",
        "Moves for good: from step 4. Beyond controls: from step 8.",
    ] {
        assert!(track.contains(said), "{track}");
    }
    let stays = emergence(&still(tracked()), &followed()).unwrap().caption.to_string();
    assert!(stays.contains("Moves for good: never. Beyond controls: never."), "{stays}");
    let alone = emergence(&table(&behaviors(1), 1), &lines(1)).unwrap().caption;
    assert!(alone.intervals.is_empty() && alone.n.contains("1 seed"), "{alone}");
}

#[test]
fn a_figure_shows_the_checkpoint_that_is_asked_for() {
    let rows = table(&behaviors(1), 3);
    let at = |step| {
        let mut spec = grid(1);
        spec.arms.iter_mut().flatten().flatten().for_each(|arm| arm.step = step);
        teacher_prompts(&rows, &spec).unwrap().picture
    };
    assert_eq!(at(None), at(Some(62)));
    assert_ne!(at(None), at(Some(2)));
}
