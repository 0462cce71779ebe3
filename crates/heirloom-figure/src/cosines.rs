//! Cosines between directions: of arms, or of checkpoints.

use heirloom_record::{HookPoint, Metric};
use serde::{Deserialize, Serialize};

use crate::arm::Behavior;
use crate::select::{BEHAVIOR, HOOK, METHOD, Selection, counts, distinct, unit};
use crate::square::{Kind, Square, subtitle};
use crate::{Caption, Error, Figure, Picture, Result};

/// What the directions that are held against each other were fit on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Against {
    /// Arms: `arm:NAME`.
    Arms,
    /// Checkpoints of one arm: `checkpoint:STEP`.
    Checkpoints,
}

impl Against {
    fn prefix(self) -> &'static str {
        match self {
            Self::Arms => "arm:",
            Self::Checkpoints => "checkpoint:",
        }
    }

    fn kind(self) -> Kind {
        let (what, axes) = match self {
            Self::Arms => ("arms", ("direction of arm", "direction of arm")),
            Self::Checkpoints => ("checkpoints", ("direction at step", "direction at step")),
        };
        let numbers = ["−1", "−0.5", "0", "0.5", "1"];
        Kind { what, axes, quantity: "cosine", numbers, widest: "−0.97", is_framed: false, has_ends: false }
    }
}

/// Which rows a matrix of cosines shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CosinesSpec {
    /// The behavior.
    pub behavior: Behavior,
    /// What is held against each other.
    pub against: Against,
    /// Names of arms or checkpoints in order, without what stands before the colon; all in the order of the table when
    /// empty.
    #[serde(default)]
    pub names: Vec<String>,
    /// The arm whose checkpoints are drawn; may stay empty when the rows agree.
    #[serde(default)]
    pub arm: Option<String>,
    /// How the directions were fit; may stay empty when the rows agree.
    #[serde(default)]
    pub method: Option<String>,
    /// Where in the model; may stay empty when the rows agree.
    #[serde(default)]
    pub hook: Option<HookPoint>,
    /// Whether cells say the ends of their intervals, where there is room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends: bool,
}

impl CosinesSpec {
    /// Every direction of a behavior that the table has.
    pub fn new(behavior: Behavior, against: Against) -> Self {
        Self { behavior, against, names: vec![], arm: None, method: None, hook: None, ends: false }
    }
}

/// Draws a matrix of cosines (`cosine`): a row per `fit_on`, a column per `scored_on`, blue against each other, white
/// at right angles, red along each other. A cosine may stand in the table for one order of its two names; cells that it lacks in both are hatched.
///
/// # Errors
/// Names the behavior, arm, method, hook point or name that the table has no `cosine` rows for; rows that differ in
/// one that the spec does not name, or in seed or step; two rows for one cell; numbers that are not finite; more names
/// than fit.
pub fn cosines(rows: &[Metric], spec: &CosinesSpec) -> Result<Figure> {
    let mut chosen = Selection::of(rows, "cosine")?.within(BEHAVIOR, &spec.behavior.name, "of")?;
    let prefix = spec.against.prefix();
    let is_against = |cell: &Option<String>| cell.as_deref().is_some_and(|name| name.starts_with(prefix));
    let found = distinct(chosen.rows.iter().filter_map(|row| row.fit_on.clone()));
    chosen.rows.retain(|row| is_against(&row.fit_on) && is_against(&row.scored_on));
    if chosen.rows.is_empty() {
        let wanted = format!("{prefix}…");
        return Err(Error::NoRows { metric: chosen.metric, column: "fit_on and scored_on", wanted, found });
    }
    let hook = spec.hook.map(|hook| hook.to_string());
    let mut chosen = chosen
        .of_one_run(spec.arm.as_deref())?
        .keep_or_alike(METHOD, spec.method.as_deref())?
        .keep_or_alike(HOOK, hook.as_deref())?;
    let kind = Kind { has_ends: spec.ends, ..spec.against.kind() };
    let matrix = Square::of(&chosen, prefix, &spec.names)?.mirrored();
    // Counts and intervals are of what is shown.
    let is_shown = |cell: &Option<String>| {
        let name = cell.as_deref().and_then(|name| name.strip_prefix(prefix));
        spec.names.is_empty() || spec.names.iter().any(|shown| Some(shown.as_str()) == name)
    };
    chosen.rows.retain(|row| is_shown(&row.fit_on) && is_shown(&row.scored_on));
    let layout = matrix.layout(&kind)?;
    let canvas = matrix.draw(&layout, &kind, &spec.behavior.label, &subtitle(&chosen));
    let mut notes = vec!["1: the same direction; 0: at right angles".to_owned()];
    if matrix.has_holes() {
        notes.push("Hatched: not measured".into());
    }
    if !layout.is_readable {
        notes.push("Values are in the table; a stroke marks those below 0".into());
    }
    let caption = caption(&chosen, spec, notes, layout.shows_ends);
    Ok(Figure { picture: Picture::new(canvas, caption.what.clone()), caption })
}

fn caption(
    chosen: &Selection<'_, Metric>,
    spec: &CosinesSpec,
    notes: Vec<String>,
    shows_ends: bool,
) -> Caption {
    let first = chosen.rows[0];
    let method = first.method.as_deref().map(|method| format!("{method} ")).unwrap_or_default();
    let of = match spec.against {
        Against::Arms => "arms".to_owned(),
        Against::Checkpoints => match first.arm.as_deref() {
            Some(arm) => format!("checkpoints of {arm}"),
            None => "checkpoints".into(),
        },
    };
    let at = first.hook.map(|hook| format!(" at {hook}")).unwrap_or_default();
    let interval = chosen.rows.iter().find_map(|row| row.interval.clone());
    let kinds = distinct(chosen.rows.iter().filter_map(|row| row.interval.clone())).join("; or ");
    Caption {
        what: format!("Cosines between the {method}directions of {of}{at}: {}", spec.behavior.label),
        n: counts(chosen.rows.iter().map(|row| row.n), interval.as_deref().and_then(unit))
            .unwrap_or_default(),
        intervals: match (kinds.is_empty(), shows_ends) {
            (true, _) => kinds,
            (false, true) => format!("Below each cosine: {kinds}"),
            (false, false) => format!("Intervals ({kinds}) are in the table"),
        },
        notes,
    }
}
