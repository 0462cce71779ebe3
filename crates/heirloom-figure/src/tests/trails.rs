//! Heat maps and trajectories, ordinary and extreme.

use heirloom_record::{HookPoint, Metric};

use crate::sample::arms::{behaviors, emergence as lines, table, table_of};
use crate::tests::arms::{followed, tracked};
use crate::tests::{each, long_names};
use crate::{
    Arm, Behavior, BehaviorArms, Error, Figure, HeatMapSpec, Quantity, Role, TrajectoriesSpec, emergence,
    heat_map, trajectories,
};

/// Projections of an arm at `layers` hook points, of which the later move more.
pub(super) fn layered(rows: &[Metric], layers: usize) -> Vec<Metric> {
    let of_layer = |layer: usize| {
        let projections = rows.iter().filter(|row| row.metric == "projection").cloned().collect();
        each(projections, |row| {
            row.hook = Some(HookPoint::resid_post(layer));
            let part = (layer + 1) as f64 / layers as f64;
            for cell in [&mut row.value, &mut row.low, &mut row.high] {
                *cell = cell.map(|value| value * part);
            }
        })
    };
    (0..layers).flat_map(of_layer).collect()
}

/// Projections on two directions: the second moves first and less.
pub(super) fn planar(rows: &[Metric]) -> Vec<Metric> {
    let on_base: Vec<Metric> = rows.iter().filter(|row| row.metric == "projection").cloned().collect();
    let on_teachers = each(on_base.clone(), |row| {
        row.fit_on = Some("teachers".into());
        for cell in [&mut row.value, &mut row.low, &mut row.high] {
            *cell = cell.map(|value| 1.5 * (0.6 * value).tanh());
        }
    });
    [on_base, on_teachers].concat()
}

pub(super) fn map(count: usize) -> HeatMapSpec {
    HeatMapSpec::new(behaviors(count), Arm::new("pA tA", Role::Full).labeled("prompts A, teacher A"))
}

pub(super) fn paths(count: usize) -> TrajectoriesSpec {
    TrajectoriesSpec::new(lines(count).columns)
}

/// Ordinary tables; their pictures are committed.
pub(super) fn ordinary() -> Vec<(&'static str, Figure)> {
    let rows = table(&behaviors(3), 3);
    vec![
        ("emergence-of-a-track", emergence(&tracked(), &followed()).unwrap()),
        ("heat-map", heat_map(&layered(&rows, 6), &map(3)).unwrap()),
        ("trajectories", trajectories(&planar(&rows), &paths(3)).unwrap()),
    ]
}

/// Tables at the edges of what can be asked.
pub(super) fn extreme() -> Vec<(&'static str, Figure)> {
    let rows = table(&behaviors(4), 3);
    let one_seed = table(&behaviors(3), 1);
    let flat = |value: f64| each(rows.clone(), move |row| row.value = Some(value));
    let named: Vec<Behavior> = long_names().into_iter().take(3).map(Behavior::named).collect();
    let arms: Vec<(String, [f64; 3])> =
        long_names().into_iter().map(|name| (name, [0.9, 0.5, 0.1])).collect();
    let many = table_of(&behaviors(2), &arms, 2);
    let twelve: Vec<Arm> = arms.iter().map(|(name, _)| Arm::new(name, Role::Other)).collect();
    let twelve = TrajectoriesSpec::new(BehaviorArms::alike(&behaviors(2), &twelve));
    let mut holes = layered(&rows, 5);
    holes.retain(|row| row.step != Some(8) || row.hook != Some(HookPoint::resid_post(2)));
    let few = each(rows.clone(), |row| {
        if row.step == Some(8) {
            (row.value, row.low, row.high) = (None, None, None);
        }
    });
    let share = Quantity { metric: "projection".into(), ..Quantity::projection() };
    let rates = HeatMapSpec { quantity: Quantity { range: Some((0.0, 1.0)), ..share }, ..map(1) };
    let long = HeatMapSpec { behaviors: named.clone(), ..map(3) };
    let relabeled = |rows: &[Metric]| {
        each(rows.to_vec(), |row| {
            let index = behaviors(3).iter().position(|behavior| behavior.name == row.behavior);
            row.behavior = index.map_or(row.behavior.clone(), |index| named[index].name.clone());
        })
    };
    let long_paths = TrajectoriesSpec::new(
        paths(3)
            .columns
            .into_iter()
            .zip(&named)
            .map(|(column, behavior)| BehaviorArms { behavior: behavior.clone(), ..column })
            .collect(),
    );
    vec![
        ("heat-map-one-layer", heat_map(&layered(&rows, 1), &map(1)).unwrap()),
        ("heat-map-80-layers", heat_map(&layered(&rows, 80), &map(3)).unwrap()),
        ("heat-map-four-behaviors", heat_map(&layered(&rows, 30), &map(4)).unwrap()),
        ("heat-map-one-seed", heat_map(&layered(&one_seed, 4), &map(2)).unwrap()),
        ("heat-map-all-0", heat_map(&layered(&flat(0.0), 4), &map(3)).unwrap()),
        ("heat-map-all-1", heat_map(&layered(&flat(1.0), 4), &rates).unwrap()),
        ("heat-map-holes", heat_map(&holes, &map(3)).unwrap()),
        ("heat-map-long-names", heat_map(&layered(&relabeled(&rows), 12), &long).unwrap()),
        ("trajectories-one-behavior", trajectories(&planar(&rows), &paths(1)).unwrap()),
        ("trajectories-four-behaviors", trajectories(&planar(&rows), &paths(4)).unwrap()),
        ("trajectories-one-seed", trajectories(&planar(&one_seed), &paths(3)).unwrap()),
        ("trajectories-all-0", trajectories(&planar(&flat(0.0)), &paths(3)).unwrap()),
        ("trajectories-undefined", trajectories(&planar(&few), &paths(3)).unwrap()),
        ("trajectories-twelve-arms", trajectories(&planar(&many), &twelve).unwrap()),
        ("trajectories-long-names", trajectories(&planar(&relabeled(&rows)), &long_paths).unwrap()),
    ]
}

#[test]
fn what_a_table_of_layers_lacks_is_named() {
    let rows = layered(&table(&behaviors(2), 3), 3);
    let check = |result: crate::Result<Figure>, message: &str| {
        assert_eq!(result.unwrap_err().to_string(), message);
    };
    check(heat_map(&rows, &map(3)), "no `projection` row has behavior `negative-emotion`");
    let absent = HeatMapSpec { arm: Arm::new("pZ", Role::Full), ..map(2) };
    check(heat_map(&rows, &absent), "no `projection of blackmail` row has arm `pZ`");
    let seed = HeatMapSpec { seed: Some(9), ..map(2) };
    check(heat_map(&rows, &seed), "no `projection of blackmail in pA tA` row has seed `9`");
    let of_seeds: Vec<Metric> = rows.iter().filter(|row| row.seed.is_some()).cloned().collect();
    check(heat_map(&of_seeds, &map(2)), "no `projection of blackmail in pA tA` row has seed `(empty)`");
    let twice = [rows.clone(), rows.clone()].concat();
    assert!(matches!(heat_map(&twice, &map(2)), Err(Error::Twice { .. })));
    let nan = each(rows.clone(), |row| row.value = Some(f64::NAN));
    assert!(matches!(heat_map(&nan, &map(2)), Err(Error::NotFinite { .. })));
    let tall = layered(&table(&behaviors(1), 1), 120);
    assert!(matches!(heat_map(&tall, &map(1)), Err(Error::TooMany { what: "layers", found: 120, .. })));
    check(
        heat_map(&rows, &HeatMapSpec { behaviors: vec![], ..map(2) }),
        "nothing to draw: the figure names no panels",
    );
    let ranged = |range| {
        let quantity = Quantity { range: Some(range), ..map(2).quantity };
        heat_map(&rows, &HeatMapSpec { quantity, ..map(2) })
    };
    for (range, said) in [((1.0, 1.0), "1 to 1"), ((1.0, 0.0), "1 to 0"), ((0.0, f64::INFINITY), "0 to inf")]
    {
        let expected =
            format!("could not color {said}: expected a range whose second end is greater than its first");
        check(ranged(range), &expected);
    }
    assert!(ranged((-1.0, 1.0)).is_ok());
}

#[test]
fn a_path_needs_both_directions_at_every_checkpoint() {
    let mut rows = planar(&table(&behaviors(2), 3));
    rows.retain(|row| row.step != Some(4) || row.fit_on.as_deref() != Some("base"));
    let error = trajectories(&rows, &paths(2)).unwrap_err();
    assert_eq!(error.to_string(), "no `projection of blackmail` row has step `4`");
    let alone = table(&behaviors(2), 3);
    let error = trajectories(&alone, &paths(2)).unwrap_err();
    assert_eq!(error.to_string(), "no `projection of blackmail` row has fit_on `teachers`");
}
