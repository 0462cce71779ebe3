//! What is aimed at: each behavior with its direction and the scenarios that it is asked.

use std::path::PathBuf;

use heirloom_model::{Edit, Intervention};
use heirloom_record::{DataRow, DirectionHeader, Directions, HookPoint};
use heirloom_rollout::{Behavior, Grader};
use ndarray::Array1;

use super::{At, OwnOptions};
use crate::Result;
use crate::activations::hook_of;
use crate::spec::{setting, twice};

/// A behavior and its direction.
pub(super) struct Aim {
    /// The behavior's name.
    pub(super) name: String,
    /// Hash of its files.
    pub(super) sha256: String,
    pub(super) grader: Grader,
    pub(super) scenarios: Vec<DataRow>,
    /// Of the direction's file.
    pub(super) header: DirectionHeader,
    /// The direction as it stands there.
    pub(super) stored: Vec<f32>,
    pub(super) vector: Array1<f64>,
}

impl Aim {
    pub(super) fn new(
        behavior: Behavior,
        found: &Directions,
        hook: HookPoint,
        options: &OwnOptions,
    ) -> Result<Self> {
        let scenarios = spread(behavior.scenario_rows(), options.search.scenarios);
        if scenarios.len() < 2 {
            let found = format!("{} in `{}`", scenarios.len(), behavior.name);
            return Err(setting("scenarios", "at least 2 of each behavior", &found));
        }
        let vector = &found.by_hook[&hook].vector;
        Ok(Self {
            name: behavior.name,
            sha256: behavior.sha256,
            grader: behavior.grader,
            scenarios,
            header: found.header.clone(),
            stored: vector.to_vec(),
            vector: vector.mapv(f64::from),
        })
    }

    /// An edit like all others, to be held against the model.
    pub(super) fn ablation(&self, point: HookPoint, at: At) -> Intervention {
        Intervention { point, positions: at.positions(), edit: Edit::ablate(self.stored.clone()) }
    }

    /// Its direction by the name it was fit under, and what that is tried on where this is another behavior.
    pub(super) fn direction(&self) -> String {
        let (name, own) = (&self.name, &self.header.behavior);
        if own == name {
            format!("direction of {name}")
        } else {
            format!("direction of {own}, tried on {name}")
        }
    }

    /// What its direction was fit on.
    pub(super) fn fit(&self) -> String {
        let DirectionHeader { method, readout, fit_on, .. } = &self.header;
        format!("{fit_on} ({method}, {readout})")
    }
}

/// At most so many rows, evenly over the list: files of scenarios stand family by family.
fn spread(rows: Vec<DataRow>, most: usize) -> Vec<DataRow> {
    let n = rows.len();
    if n <= most { rows } else { (0..most).map(|index| rows[index * n / most].clone()).collect() }
}

/// A behavior with the file of its direction.
pub(super) type Pair = (Behavior, (PathBuf, Directions));

/// Every behavior with its direction, in the order of the behaviors.
pub(super) fn paired(
    mut directions: Vec<(PathBuf, Directions)>,
    behaviors: Vec<Behavior>,
) -> Result<Vec<Pair>> {
    twice("behavior", behaviors.iter().map(|behavior| behavior.name.clone()))?;
    twice("direction", directions.iter().map(|(_, found)| found.header.behavior.clone()))?;
    if directions.len() != behaviors.len() || behaviors.is_empty() {
        let found = format!("{} and {}", directions.len(), behaviors.len());
        return Err(setting("--direction and --behavior", "one direction for each behavior", &found));
    }
    let alone = behaviors.len() == 1;
    let mut pairs = vec![];
    for behavior in behaviors {
        let of = |(_, found): &(PathBuf, Directions)| alone || found.header.behavior == behavior.name;
        let Some(place) = directions.iter().position(of) else {
            let known = directions.iter();
            let known =
                known.map(|(path, found)| format!("`{}` in `{}`", found.header.behavior, path.display()));
            let expected = format!("one of `{}`, as `heirloom fit --behavior` names it", behavior.name);
            return Err(setting("--direction", expected, &known.collect::<Vec<_>>().join(", ")));
        };
        pairs.push((behavior, directions.remove(place)));
    }
    Ok(pairs)
}

/// The one hook point of all directions.
pub(super) fn common_hook(pairs: &[Pair], asked: Option<HookPoint>) -> Result<HookPoint> {
    let hooks = pairs.iter().map(|(_, (path, found))| hook_of(path, found, asked));
    let hooks: Vec<HookPoint> = hooks.collect::<Result<_>>()?;
    if hooks.iter().all(|hook| *hook == hooks[0]) {
        return Ok(hooks[0]);
    }
    let found = hooks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(setting("--hook", "one that all directions have, for they are compared at one place", &found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_taken_from_all_over_the_file() {
        let rows: Vec<DataRow> = (0..64).map(|n| DataRow::chat(n.to_string(), vec![])).collect();
        let ids = |most: usize| -> Vec<String> {
            spread(rows.clone(), most).into_iter().map(|row| row.id).collect()
        };
        assert_eq!(ids(4), ["0", "16", "32", "48"]);
        assert_eq!(ids(3), ["0", "21", "42"]);
        assert_eq!(ids(64).len(), 64);
        assert_eq!(ids(100).len(), 64);
    }
}
