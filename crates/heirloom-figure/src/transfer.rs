//! Transfer matrices: fit on one group or behavior, scored on another.

use heirloom_record::{HookPoint, Metric};
use serde::{Deserialize, Serialize};

use crate::select::{BEHAVIOR, HOOK, METHOD, Selection, counts, distinct, unit};
use crate::square::{Kind, Layout, Square, subtitle};
use crate::{Caption, Error, Figure, Picture, Result};

/// What a matrix holds against each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Between {
    /// The groups of one behavior: `group:NAME`.
    Groups {
        /// The behavior.
        behavior: String,
    },
    /// Behaviors: `behavior:NAME`.
    Behaviors,
}

/// Which rows a transfer matrix shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferSpec {
    /// What is held against each other.
    pub between: Between,
    /// The arm or model; may stay empty when the table holds one.
    #[serde(default)]
    pub arm: Option<String>,
    /// How the directions were fit.
    pub method: String,
    /// Where in the model; may stay empty when each fit was scored at one place.
    #[serde(default)]
    pub hook: Option<HookPoint>,
}

impl TransferSpec {
    /// The matrix of the difference of means.
    pub fn new(between: Between) -> Self {
        Self { between, arm: None, method: "dom".into(), hook: None }
    }

    fn prefix(&self) -> &'static str {
        match self.between {
            Between::Groups { .. } => "group:",
            Between::Behaviors => "behavior:",
        }
    }
}

const KIND: Kind = Kind {
    what: "groups",
    axes: ("fit on", "scored on"),
    quantity: "AUROC",
    numbers: ["0", "0.25", "0.5", "0.75", "1"],
    widest: "0.97",
    is_framed: true,
    has_ends: false,
};

/// Draws a matrix of AUROC (`transfer_auroc`): a row per group fit on, a column per group scored on. Cells that the
/// table lacks are hatched.
///
/// # Errors
/// Names the behavior, method or hook that the table has no `transfer_auroc` rows for; rows of several arms, seeds
/// or steps where the spec names none; two rows for one cell; more names than fit.
pub fn transfer(rows: &[Metric], spec: &TransferSpec) -> Result<Figure> {
    let mut chosen = Selection::of(rows, "transfer_auroc")?;
    let prefix = spec.prefix();
    let is_between = |cell: &Option<String>| cell.as_deref().is_some_and(|name| name.starts_with(prefix));
    let found = distinct(chosen.rows.iter().filter_map(|row| row.fit_on.clone()));
    chosen.rows.retain(|row| is_between(&row.fit_on) && is_between(&row.scored_on));
    if chosen.rows.is_empty() {
        let wanted = format!("{prefix}…");
        return Err(Error::NoRows { metric: chosen.metric, column: "fit_on and scored_on", wanted, found });
    }
    if let Between::Groups { behavior } = &spec.between {
        chosen = chosen.within(BEHAVIOR, behavior, "of")?;
    }
    let mut chosen = chosen.keep(METHOD, &spec.method)?.of_one_run(spec.arm.as_deref())?;
    if let Some(hook) = spec.hook {
        chosen = chosen.keep(HOOK, &hook.to_string())?;
    }
    let matrix = Square::of(&chosen, prefix, &[])?;
    let title = match &spec.between {
        Between::Groups { behavior } => behavior.as_str(),
        Between::Behaviors => "between behaviors",
    };
    let layout = matrix.layout(&KIND)?;
    let canvas = matrix.draw(&layout, &KIND, title, &subtitle(&chosen));
    let caption = caption(&chosen, &matrix, &layout, spec);
    Ok(Figure { picture: Picture::new(canvas, caption.what.clone()), caption })
}

fn caption(chosen: &Selection<'_, Metric>, matrix: &Square, layout: &Layout, spec: &TransferSpec) -> Caption {
    let arm = chosen.rows[0].arm.as_deref().map(|arm| format!(" of {arm}")).unwrap_or_default();
    let between = match &spec.between {
        Between::Groups { behavior } => format!("between the groups of {behavior}"),
        Between::Behaviors => "between behaviors".into(),
    };
    let hooks = chosen.values(HOOK).join(", ");
    let interval = chosen.rows.iter().find_map(|row| row.interval.clone());
    let kinds = distinct(chosen.rows.iter().filter_map(|row| row.interval.clone())).join("; or ");
    let mut notes = vec!["Framed: fit and scored on the same".to_owned()];
    if matrix.has_holes() {
        notes.push("Hatched: not measured".into());
    }
    if !layout.is_readable {
        notes.push("Values are in the table".into());
    }
    Caption {
        what: format!(
            "AUROC of {}{arm} {between}, fit on the row and scored on the column, at {hooks}",
            spec.method
        ),
        n: counts(chosen.rows.iter().map(|row| row.n), interval.as_deref().and_then(unit))
            .unwrap_or_default(),
        intervals: if kinds.is_empty() { kinds } else { format!("Intervals ({kinds}) are in the table") },
        notes,
    }
}
