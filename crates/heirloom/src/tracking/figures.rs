//! What is drawn of a tracking: how far the direction's projection moves, how well refits tell labels apart, how far they turn.

use std::path::Path;

use heirloom_figure::{
    Arm, Behavior, BehaviorArms, Beside, Drawing, EmergenceSpec, FigureSpec, HeatMapSpec, Quantity, Role,
    Tables,
};
use heirloom_record::{DirectionHeader, HookPoint, Metric, Table};

use super::{FAMILIES, Tracked};
use crate::{Result, figures};

/// The families of controls, as the figure calls them.
const CONTROLS: [&str; FAMILIES.len()] = ["random directions", "random differences", "shuffled labels"];

/// Steps at which a shift emerges.
const MARKS: [(&str, &str); 2] =
    [("emergence_lasting", "moves for good"), ("emergence_beyond_controls", "beyond random controls, too")];

impl Tracked {
    /// Writes the table and its figures into a folder, rows and figures under the name of an arm where there is one.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, header: &DirectionHeader, arm: Option<&str>, folder: &Path) -> Result<()> {
        let rows = self.of_arm(arm);
        Table(rows.clone()).write(&folder.join("table"))?;
        let made = figures::made("track", None, &[], folder, &["table.csv"])?;
        let drawings = drawings(header, arm, self.unit, &rows);
        figures::write(&drawings, &Tables::of(&rows), &made, folder)?;
        Ok(())
    }

    /// The table's rows under the name of an arm.
    pub fn of_arm(&self, arm: Option<&str>) -> Vec<Metric> {
        let named = |row: &Metric| Metric { arm: arm.map(str::to_owned), ..row.clone() };
        self.metrics.iter().map(named).collect()
    }
}

/// The headline hook point across checkpoints, and the shift at all of them where there are several.
fn drawings(header: &DirectionHeader, arm: Option<&str>, unit: &str, rows: &[Metric]) -> Vec<Drawing> {
    let hooks = hooks(rows);
    let Some(hook) = header.chosen_hook.filter(|hook| hooks.contains(hook)).or(middle(&hooks)) else {
        return vec![];
    };
    let behavior = Behavior::named(&header.behavior);
    let own = Arm { label: String::new(), ..Arm::new(arm.unwrap_or_default(), Role::Full) };
    let of = arm.map(|arm| format!(" of {arm}")).unwrap_or_default();
    let emergence = emergence(&behavior, own.clone(), hook, unit, rows);
    let drawn = Drawing {
        caption: Some(format!(
            "The direction of {} at {hook} across checkpoints{of}: how far the mean projection has moved, how well directions that are fit on a \
             checkpoint of the first series tell labels apart on rows they have not seen, and their cosine with the direction that is tracked",
            behavior.name
        )),
        ..Drawing::new("emergence", FigureSpec::Emergence(emergence))
    };
    let mut drawings =
        vec![drawn.noting(
            (hooks.len() > 1).then(|| format!("One of {} hook points; the table has all", hooks.len())),
        )];
    if hooks.len() > 1 {
        let arm = own.labeled(arm.unwrap_or("the checkpoints"));
        let map = HeatMapSpec { quantity: shift(unit), ..HeatMapSpec::new(vec![behavior], arm) };
        drawings.push(Drawing::new("shift-by-layer", FigureSpec::HeatMap(map)));
    }
    drawings
}

/// Hook points with a shift, in order.
fn hooks(rows: &[Metric]) -> Vec<HookPoint> {
    let mut hooks: Vec<HookPoint> =
        rows.iter().filter(|row| row.metric == "shift").filter_map(|row| row.hook).collect();
    hooks.sort_unstable();
    hooks.dedup();
    hooks
}

/// Where no hook point was chosen, the middle one: a choice by what moves most would be one of the best of many.
fn middle(hooks: &[HookPoint]) -> Option<HookPoint> {
    hooks.get(hooks.len() / 2).copied()
}

fn shift(unit: &str) -> Quantity {
    Quantity {
        unit: unit.into(),
        range: None,
        level: Some((0.0, "not moved".into())),
        ..Quantity::share("shift", "shift, reference s.d.")
    }
}

fn emergence(behavior: &Behavior, arm: Arm, hook: HookPoint, unit: &str, rows: &[Metric]) -> EmergenceSpec {
    let has = |metric: &str| rows.iter().any(|row| row.metric == metric && row.hook == Some(hook));
    let refits = |metric: &str, axis: &str| Quantity {
        unit: "pairs".into(),
        range: None,
        ..Quantity::share(metric, axis)
    };
    let auroc = Quantity { level: Some((0.5, "chance".into())), ..refits("auroc_refit", "AUROC of refits") };
    let tracks: Vec<Quantity> = [shift(unit), auroc, refits("cosine_to_refit", "cosine to refit")]
        .into_iter()
        .filter(|quantity| has(&quantity.metric))
        .map(|quantity| Quantity { hooks: [(behavior.name.clone(), hook)].into(), ..quantity })
        .collect();
    let nulls = |quantity: &Quantity| {
        let named = |(family, label)| Beside::new(format!("{}_{family}", quantity.metric), label);
        let all = FAMILIES.into_iter().zip(CONTROLS).map(named);
        let found: Vec<Beside> = all.filter(|null| has(&null.metric)).collect();
        (quantity.metric.clone(), found)
    };
    EmergenceSpec {
        nulls: tracks.iter().map(nulls).filter(|(_, found)| !found.is_empty()).collect(),
        marks: MARKS.map(|(metric, label)| Beside::new(metric, label)).into(),
        tracks,
        ..EmergenceSpec::new(vec![BehaviorArms { behavior: behavior.clone(), arms: vec![arm] }])
    }
}
