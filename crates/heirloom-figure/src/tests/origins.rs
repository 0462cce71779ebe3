//! Figures of origins, verdicts and directions, ordinary and extreme.

use heirloom_record::{HookPoint, Metric};

use super::{each, long_names};
use crate::sample::arms::behaviors;
use crate::sample::origins::{cosines as angles, origins, verdicts};
use crate::{
    Against, Behavior, CosinesSpec, Drawing, Effect, Error, Figure, FigureSpec, OriginBarsSpec, Tables,
    VERDICTS, VerdictTableSpec, cosines, origin_bars, verdict_table,
};

fn bars(count: usize) -> OriginBarsSpec {
    OriginBarsSpec::new(behaviors(count)).with_projection()
}

fn arms() -> Vec<String> {
    ["all A", "prompts B", "drop mail", "swap mail", "all B"].map(str::to_owned).into()
}

fn steps() -> Vec<String> {
    [0, 2, 4, 8, 16, 32, 62].map(|step: i64| step.to_string()).into()
}

fn between(against: Against) -> CosinesSpec {
    CosinesSpec::new(Behavior::named("blackmail"), against)
}

/// Cells with the ends of their intervals.
fn ends() -> CosinesSpec {
    CosinesSpec { ends: true, ..between(Against::Arms) }
}

/// Every cosine for one order of its names.
fn half(mut rows: Vec<Metric>) -> Vec<Metric> {
    let place = |name: &Option<String>| arms().iter().position(|arm| Some(format!("arm:{arm}")) == *name);
    rows.retain(|row| place(&row.fit_on) <= place(&row.scored_on));
    rows
}

/// A drawing of every kind here, each with a table that holds more.
pub(super) fn drawings() -> Vec<(Drawing, Tables)> {
    let named = |name: &str, draw, rows: Vec<Metric>| (Drawing::new(name, draw), Tables::of(&rows));
    let mut directions = angles("blackmail", "arm", &arms());
    directions.extend(angles("blackmail", "checkpoint", &steps()));
    let asked = VerdictTableSpec::new(behaviors(2));
    vec![
        named("origins", FigureSpec::OriginBars(bars(2)), origins(&behaviors(4), 3)),
        named("verdicts", FigureSpec::VerdictTable(asked), verdicts(&behaviors(4))),
        named("angles", FigureSpec::Cosines(between(Against::Arms)), directions),
    ]
}

/// Ordinary tables; their pictures are committed.
pub(super) fn ordinary() -> Vec<(&'static str, Figure)> {
    // The arm that the base's effect needs was not run for one behavior.
    let mut rows = origins(&behaviors(3), 3);
    rows.retain(|row| row.behavior != "date-confusion" || row.metric != "origin_base");
    vec![
        ("origin-bars", origin_bars(&rows, &bars(3)).unwrap()),
        (
            "verdict-table",
            verdict_table(&verdicts(&behaviors(3)), &VerdictTableSpec::new(behaviors(3))).unwrap(),
        ),
        ("cosines-arms", cosines(&angles("blackmail", "arm", &arms()), &between(Against::Arms)).unwrap()),
        (
            "cosines-checkpoints",
            cosines(&angles("blackmail", "checkpoint", &steps()), &between(Against::Checkpoints)).unwrap(),
        ),
        ("cosines-ends", cosines(&half(angles("blackmail", "arm", &arms())), &ends()).unwrap()),
    ]
}

/// All numbers the same.
fn flat(rows: Vec<Metric>, value: f64) -> Vec<Metric> {
    each(rows, |row| (row.value, row.low, row.high) = (Some(value), Some(value), Some(value)))
}

fn named(count: usize) -> Vec<Behavior> {
    long_names()[..count].iter().map(Behavior::named).collect()
}

/// Tables at the edges of what can be asked.
pub(super) fn extreme() -> Vec<(&'static str, Figure)> {
    [extreme_bars(), extreme_verdicts(), extreme_cosines()].concat()
}

fn extreme_bars() -> Vec<(&'static str, Figure)> {
    let draw = |rows: &[Metric], spec: &OriginBarsSpec| origin_bars(rows, spec).unwrap();
    let rows = origins(&behaviors(12), 3);
    let rate = |count: usize| OriginBarsSpec::new(behaviors(count));
    let no_seeds: Vec<Metric> = rows.iter().filter(|row| row.seed.is_none()).cloned().collect();
    let alone: Vec<Metric> = rows.iter().filter(|row| row.metric == "origin_teacher").cloned().collect();
    let wide = each(rows.clone(), |row| {
        let far = if row.hook.is_some() { 90.0 } else { 1.4 };
        (row.low, row.high) = (row.low.map(|_| -far), row.high.map(|_| far));
    });
    let undefined = each(rows.clone(), |row| {
        if row.metric == "origin_prompts" {
            (row.value, row.low, row.high) = (None, None, None);
        }
    });
    let projection = OriginBarsSpec { rate: None, ..bars(2) };
    let two = OriginBarsSpec { effects: vec![Effect::Teacher, Effect::Prompts], ..rate(2) };
    vec![
        ("origin-one-behavior", draw(&rows, &rate(1))),
        ("origin-one-behavior-both", draw(&rows, &bars(1))),
        ("origin-two-effects", draw(&rows, &two)),
        ("origin-five-behaviors", draw(&rows, &bars(5))),
        ("origin-twelve-behaviors", draw(&rows, &rate(12))),
        ("origin-projection", draw(&rows, &projection)),
        ("origin-long-names", draw(&origins(&named(8), 3), &OriginBarsSpec::new(named(8)).with_projection())),
        ("origin-one-effect", draw(&alone, &bars(3))),
        ("origin-all-0", draw(&flat(rows.clone(), 0.0), &bars(3))),
        ("origin-all-1", draw(&flat(rows.clone(), 1.0), &bars(3))),
        ("origin-all-minus-1", draw(&flat(rows.clone(), -1.0), &bars(3))),
        ("origin-one-seed", draw(&origins(&behaviors(3), 1), &bars(3))),
        ("origin-no-seeds", draw(&no_seeds, &bars(3))),
        ("origin-wide", draw(&wide, &bars(3))),
        ("origin-undefined", draw(&undefined, &bars(3))),
    ]
}

fn extreme_verdicts() -> Vec<(&'static str, Figure)> {
    let draw = |rows: &[Metric], behaviors: Vec<Behavior>| {
        verdict_table(rows, &VerdictTableSpec::new(behaviors)).unwrap()
    };
    let rows = verdicts(&behaviors(12));
    let mut holes = rows.clone();
    holes.retain(|row| !row.metric.ends_with("lock-in") || row.behavior == "blackmail");
    holes[3].value = None;
    let no_n = each(rows.clone(), |row| row.n = None);
    vec![
        ("verdict-one-behavior", draw(&rows, behaviors(1))),
        ("verdict-twelve-behaviors", draw(&rows, behaviors(12))),
        ("verdict-long-names", draw(&verdicts(&named(12)), named(12))),
        ("verdict-holes", draw(&holes, behaviors(4))),
        ("verdict-no-n", draw(&no_n, behaviors(3))),
        ("verdict-all-0", draw(&flat(rows.clone(), 0.0), behaviors(3))),
        ("verdict-all-1", draw(&flat(rows.clone(), 1.0), behaviors(3))),
        ("verdict-nearly", draw(&flat(rows, 0.999), behaviors(3))),
    ]
}

fn extreme_cosines() -> Vec<(&'static str, Figure)> {
    let of = |names: &[String]| cosines(&angles("blackmail", "arm", names), &between(Against::Arms)).unwrap();
    let many: Vec<String> = (0..36).map(|index| format!("arm {index}")).collect();
    let five = angles("blackmail", "arm", &arms());
    let draw = |rows: Vec<Metric>| cosines(&rows, &between(Against::Arms)).unwrap();
    let mut holes = five.clone();
    holes.retain(|row| row.fit_on != row.scored_on);
    holes[2].value = None;
    let reordered =
        CosinesSpec { names: arms()[2..].iter().rev().cloned().collect(), ..between(Against::Arms) };
    vec![
        ("cosines-one-arm", of(&many[..1])),
        ("cosines-two-long", of(&long_names()[..2])),
        ("cosines-twelve-arms", of(&many[..12])),
        ("cosines-long-names", of(&long_names())),
        ("cosines-36-arms", of(&many)),
        ("cosines-holes", draw(holes)),
        ("cosines-all-0", draw(flat(five.clone(), -0.001))),
        ("cosines-all-1", draw(flat(five.clone(), 1.0))),
        ("cosines-all-minus-1", draw(flat(five.clone(), -1.0))),
        ("cosines-reordered", cosines(&five, &reordered).unwrap()),
    ]
}

fn check(result: crate::Result<Figure>, message: &str, hint: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), message);
    assert_eq!(error.hint().unwrap_or_default(), hint);
}

#[test]
fn what_a_table_of_origins_lacks_is_named() {
    let rows = origins(&behaviors(2), 2);
    check(
        origin_bars(&rows, &bars(3)),
        "no `origin_… of the rate` row has behavior `negative-emotion`",
        "the table has: `blackmail`, `date-confusion`",
    );
    let rates: Vec<Metric> = rows.iter().filter(|row| row.hook.is_none()).cloned().collect();
    check(
        origin_bars(&rates, &bars(2)),
        "no rows to draw: the table holds no `origin_… of the projection`",
        "near names: `origin_teacher`, `origin_interaction`",
    );
    let mut hooks = rows.clone();
    hooks[5].hook = Some(HookPoint::resid_post(7));
    assert!(origin_bars(&hooks, &bars(2)).unwrap_err().to_string().contains("differ in hook"));
    let late = each(rows.clone(), |row| {
        if row.metric == "origin_base" && row.hook.is_none() {
            row.step = Some(500);
        }
    });
    check(
        origin_bars(&late, &bars(2)),
        "the `origin_… of the rate of blackmail` rows differ in step: `62`, `500`",
        "name the step to draw",
    );
    let mut arms = rows.clone();
    arms[0].arm = Some("other".into());
    assert!(origin_bars(&arms, &bars(2)).unwrap_err().to_string().contains("differ in arm"));
    let single: Vec<Metric> = rows.iter().filter(|row| row.seed.is_some()).cloned().collect();
    assert!(origin_bars(&single, &bars(2)).unwrap_err().to_string().contains("has seed `(empty)`"));
    let twice = [rows.clone(), rows[..1].to_vec()].concat();
    assert!(matches!(origin_bars(&twice, &bars(2)), Err(Error::Twice { .. })));
    let nan = each(rows.clone(), |row| row.low = row.low.map(|_| f64::NAN));
    assert!(matches!(origin_bars(&nan, &bars(2)), Err(Error::NotFinite { .. })));
    let many = origins(&behaviors(20), 2);
    assert!(matches!(origin_bars(&many, &bars(9)), Err(Error::TooMany { found: 18, .. })));
}

#[test]
fn an_effect_without_an_arm_is_a_gap_and_not_zero() {
    let rows = origins(&behaviors(1), 3);
    let without: Vec<Metric> = rows.iter().filter(|row| row.metric != "origin_base").cloned().collect();
    let zero = each(rows, |row| {
        if row.metric == "origin_base" {
            (row.value, row.low, row.high) = (Some(0.0), Some(0.0), Some(0.0));
        }
    });
    let says = |figure: &Figure| figure.picture.canvas.labels().any(|label| label.text == "no arm");
    let (gap, bar) = (origin_bars(&without, &bars(1)).unwrap(), origin_bars(&zero, &bars(1)).unwrap());
    assert!(says(&gap) && gap.caption.to_string().contains("No arm:"), "{}", gap.caption);
    assert!(!says(&bar) && !bar.caption.to_string().contains("No arm:"), "{}", bar.caption);
}

#[test]
fn what_a_table_of_verdicts_lacks_is_named() {
    let rows = verdicts(&behaviors(2));
    let draw = |rows: &[Metric], count| verdict_table(rows, &VerdictTableSpec::new(behaviors(count)));
    check(
        draw(&rows, 3),
        "no `verdict_…` row has behavior `negative-emotion`",
        "the table has: `blackmail`, `date-confusion`",
    );
    check(draw(&[], 1), "no rows to draw: the table holds no `verdict_…`", "");
    let twice = [rows.clone(), rows[..1].to_vec()].concat();
    check(
        draw(&twice, 2),
        "two `verdict_simple-generalization of blackmail` rows are both for `blackmail`",
        "",
    );
    assert!(matches!(draw(&flat(rows, f64::NAN), 2), Err(Error::NotFinite { .. })));
    let many = verdicts(&behaviors(40));
    assert!(matches!(draw(&many, 40), Err(Error::TooMany { what: "behaviors", found: 40, .. })));
    assert_eq!(VERDICTS.len(), 11);
}

#[test]
fn what_a_table_of_cosines_lacks_is_named() {
    let rows = angles("blackmail", "arm", &arms());
    let draw = |rows: &[Metric], spec: &CosinesSpec| cosines(rows, spec);
    check(
        draw(&rows, &between(Against::Checkpoints)),
        "no `cosine of blackmail` row has fit_on and scored_on `checkpoint:…`",
        "the table has: `arm:all A`, `arm:prompts B`, `arm:drop mail`, `arm:swap mail`, `arm:all B`",
    );
    let typo = CosinesSpec { names: vec!["swap mial".into()], ..between(Against::Arms) };
    check(
        draw(&rows, &typo),
        "no `cosine of blackmail` row has fit_on or scored_on `swap mial`",
        "near names: `swap mail`",
    );
    let other = CosinesSpec { method: Some("lda".into()), ..between(Against::Arms) };
    check(draw(&rows, &other), "no `cosine of blackmail` row has method `lda`", "the table has: `dom`");
    let twice = [rows.clone(), rows[..1].to_vec()].concat();
    assert!(matches!(draw(&twice, &between(Against::Arms)), Err(Error::Twice { .. })));
    let many: Vec<String> = (0..60).map(|index| index.to_string()).collect();
    let many = draw(&angles("blackmail", "arm", &many), &between(Against::Arms));
    assert!(matches!(many, Err(Error::TooMany { what: "arms", found: 60, .. })));
}

#[test]
fn captions_state_counts_intervals_and_rows() {
    let captions: Vec<String> = ordinary().iter().map(|(_, figure)| figure.caption.to_string()).collect();
    for said in [
        "Effects of teacher, prompts, interaction, base on the behavior rate and the projection: blackmail",
        "effect on the behavior rate: n = 768 samples, 3 seeds",
        "effect on the projection: n = 384 scenarios, 3 seeds",
        "Whiskers: 95 % cluster bootstrap over seeds and scenarios",
        "No arm:",
    ] {
        assert!(captions[0].contains(said), "{}", captions[0]);
    }
    assert!(captions[1].contains("n = 2000 draws"), "{}", captions[1]);
    assert!(captions[2].contains("n = 160 pairs. Intervals (95 % cluster bootstrap"), "{}", captions[2]);
    assert!(captions[3].contains("of checkpoints at blocks.2.hook_resid_post"), "{}", captions[3]);
}
