//! Transfer matrices: fit on one group or behavior, scored on another.

use std::collections::BTreeMap;

use heirloom_record::{HookPoint, Metric};

use crate::axes::LEADING;
use crate::canvas::{Anchor, Canvas, Label, Stroke};
use crate::cells::{self, Rect};
use crate::select::{BEHAVIOR, HOOK, METHOD, Measured, Selection, counts, distinct, place, unit};
use crate::style::{AXIS, BODY, Color, FULL_WIDTH, MARGIN, ONE_COLUMN, TITLE, diverging};
use crate::text::{self, Weight};
use crate::{Caption, Error, Figure, Picture, Result};

/// What a matrix holds against each other.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferSpec {
    /// What is held against each other.
    pub between: Between,
    /// The arm or model; may stay empty when the table holds one.
    pub arm: Option<String>,
    /// How the directions were fit.
    pub method: String,
    /// Where in the model; may stay empty when each fit was scored at one place.
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

/// Names in order, and what was measured from one to another.
struct Matrix {
    names: Vec<String>,
    cells: BTreeMap<(usize, usize), Measured>,
}

/// Sizes in points; the matrix begins at `left`, `top`.
struct Layout {
    page: f64,
    left: f64,
    top: f64,
    cell: (f64, f64),
    /// Room for the names of rows and of columns.
    names: (f64, f64),
    upright: bool,
}

/// Room of a name at most.
const LONGEST: f64 = 112.0;
/// The colorbar with its numbers.
const BAR: f64 = 41.0;
/// Narrowest cell that holds `0.97` in body type.
const READABLE: f64 = 15.0;
/// Narrowest cell whose column can have a name.
const NARROWEST: f64 = 7.6;

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
    let matrix = matrix(&chosen, prefix)?;
    let title = match &spec.between {
        Between::Groups { behavior } => behavior.as_str(),
        Between::Behaviors => "between behaviors",
    };
    let layout = layout(&matrix.names)?;
    let canvas = draw(&matrix, &layout, title, &subtitle(&chosen));
    let caption = caption(&chosen, &matrix, &layout, spec);
    Ok(Figure { picture: Picture::new(canvas, caption.what.clone()), caption })
}

fn matrix(chosen: &Selection<'_, Metric>, prefix: &str) -> Result<Matrix> {
    let name = |cell: &Option<String>| cell.as_deref().map_or("", |cell| &cell[prefix.len()..]).to_owned();
    let fits = chosen.rows.iter().map(|row| name(&row.fit_on));
    let names = distinct(fits.chain(chosen.rows.iter().map(|row| name(&row.scored_on))));
    let index = |wanted: String| names.iter().position(|name| *name == wanted).expect("every name is listed");
    let mut cells = BTreeMap::new();
    for row in &chosen.rows {
        let at = (index(name(&row.fit_on)), index(name(&row.scored_on)));
        if cells.insert(at, Measured::of(row)?).is_some() {
            return Err(Error::Twice { metric: chosen.metric.clone(), place: place(row) });
        }
    }
    Ok(Matrix { names, cells })
}

/// One column of a page where values are readable there, the full width otherwise.
fn layout(names: &[String]) -> Result<Layout> {
    let widths = names.iter().map(|name| text::width(name, BODY, Weight::Regular));
    let widest = widths.fold(0.0, f64::max);
    let fitted = |page: f64, longest: f64, cap: f64| {
        let of_rows = widest.min(longest);
        let left = MARGIN + LEADING + 2.0 + of_rows + 3.0;
        let wide = ((page - left - BAR - MARGIN) / names.len() as f64).min(cap);
        let upright = widest > wide - 3.0;
        let of_columns = if upright { widest.min(longest) } else { BODY };
        let cell = (wide, wide.clamp(NARROWEST + 1.4, 17.0));
        let top = MARGIN + TITLE + 2.0 + LEADING + 4.0;
        // A matrix smaller than its page stands in the middle.
        let slack = page - left - wide * names.len() as f64 - BAR - MARGIN;
        Layout { page, left: left + slack / 2.0, top, cell, names: (of_rows, of_columns), upright }
    };
    let narrow = fitted(ONE_COLUMN, 80.0, 46.0);
    let chosen = if narrow.cell.0 >= READABLE { narrow } else { fitted(FULL_WIDTH, LONGEST, 44.0) };
    if chosen.cell.0 < NARROWEST {
        let room = (FULL_WIDTH - LONGEST - BAR - 30.0) / NARROWEST;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few dozen")]
        let most = room.floor() as usize;
        return Err(Error::TooMany { what: "groups", found: names.len(), most });
    }
    Ok(chosen)
}

fn subtitle(chosen: &Selection<'_, Metric>) -> String {
    let interval = chosen.rows.iter().find_map(|row| row.interval.as_deref());
    let n = counts(chosen.rows.iter().map(|row| row.n), interval.and_then(unit));
    let hooks = chosen.values(HOOK);
    let block = match &hooks[..] {
        [_] => chosen.rows[0].hook.and_then(HookPoint::layer).map(|layer| format!("block {layer}")),
        _ => None,
    };
    let method = chosen.rows[0].method.clone();
    method.into_iter().chain(block).chain(n).collect::<Vec<_>>().join(", ")
}

fn draw(matrix: &Matrix, layout: &Layout, title: &str, subtitle: &str) -> Canvas {
    let (wide, high) = layout.cell;
    let count = matrix.names.len() as f64;
    let (right, bottom) = (layout.left + count * wide, layout.top + count * high);
    // A short matrix still gets a colorbar whose numbers do not run together.
    let bar = (bottom - layout.top).max(50.0);
    let below = bottom + 3.0 + layout.names.1 + 3.0 + LEADING;
    let mut canvas = Canvas::new(layout.page, below.max(layout.top + bar + BODY / 2.0) + MARGIN);
    let room = layout.page - MARGIN - layout.left;
    let first = MARGIN + TITLE * 0.8;
    canvas.label(Label::new(text::fit(title, room, TITLE, Weight::Bold), (layout.left, first), TITLE).bold());
    let line = text::fit(subtitle, room, BODY, Weight::Regular);
    canvas.label(Label::new(line, (layout.left, first + LEADING), BODY).colored(Color::NOTE));
    for row in 0..matrix.names.len() {
        for column in 0..matrix.names.len() {
            let corner = (layout.left + column as f64 * wide, layout.top + row as f64 * high);
            let value = matrix.cells.get(&(row, column)).and_then(|cell| cell.value);
            draw_cell(&mut canvas, corner, layout.cell, value);
        }
    }
    for diagonal in 0..matrix.names.len() {
        let (x, y) = (layout.left + diagonal as f64 * wide, layout.top + diagonal as f64 * high);
        let corners = [(x, y), (x + wide, y), (x + wide, y + high), (x, y + high), (x, y)];
        canvas.line(corners.to_vec(), Stroke::solid(Color::BLACK, AXIS * 1.5));
    }
    draw_names(&mut canvas, matrix, layout);
    let middle = (f64::midpoint(layout.left, right), f64::midpoint(layout.top, bottom));
    let scored = Label::new("scored on", (middle.0, below - 2.0), BODY);
    canvas.label(scored.anchored(Anchor::Middle));
    let fit = Label::new(
        "fit on",
        (layout.left - layout.names.0 - 3.0 - 2.0 - LEADING + BODY * 0.72, middle.1),
        BODY,
    );
    canvas.label(fit.anchored(Anchor::Middle).upright());
    cells::bar(&mut canvas, (right + 7.0, layout.top), bar, diverging, "AUROC");
    canvas
}

fn draw_cell(canvas: &mut Canvas, corner: (f64, f64), size: (f64, f64), value: Option<f64>) {
    let cell = Rect::cell(corner, size);
    let Some(value) = value else {
        cell.hatch(canvas);
        return;
    };
    let color = diverging(value);
    cell.fill(canvas, color);
    if size.0 >= READABLE {
        let label = Label::new(format!("{value:.2}"), cell.middle(), BODY).anchored(Anchor::Middle);
        canvas.label(label.centered().colored(color.ink_on()));
    }
}

fn draw_names(canvas: &mut Canvas, matrix: &Matrix, layout: &Layout) {
    let count = matrix.names.len() as f64;
    let bottom = layout.top + count * layout.cell.1 + 3.0;
    for (index, name) in matrix.names.iter().enumerate() {
        let middle = index as f64 + 0.5;
        let shown = text::fit(name, layout.names.0 + 0.01, BODY, Weight::Regular);
        let at = (layout.left - 3.0, layout.top + middle * layout.cell.1);
        canvas.label(Label::new(shown, at, BODY).anchored(Anchor::End).centered());
        let x = layout.left + middle * layout.cell.0;
        if layout.upright {
            let shown = text::fit(name, layout.names.1 + 0.01, BODY, Weight::Regular);
            canvas.label(Label::new(shown, (x, bottom), BODY).anchored(Anchor::End).upright().centered());
        } else {
            canvas.label(Label::new(name, (x, bottom + BODY * 0.72), BODY).anchored(Anchor::Middle));
        }
    }
}

fn caption(chosen: &Selection<'_, Metric>, matrix: &Matrix, layout: &Layout, spec: &TransferSpec) -> Caption {
    let arm = chosen.rows[0].arm.as_deref().map(|arm| format!(" of {arm}")).unwrap_or_default();
    let between = match &spec.between {
        Between::Groups { behavior } => format!("between the groups of {behavior}"),
        Between::Behaviors => "between behaviors".into(),
    };
    let hooks = chosen.values(HOOK).join(", ");
    let interval = chosen.rows.iter().find_map(|row| row.interval.clone());
    let kinds = distinct(chosen.rows.iter().filter_map(|row| row.interval.clone())).join("; or ");
    let mut notes = vec!["Framed: fit and scored on the same".to_owned()];
    let measured = matrix.cells.values().filter(|cell| cell.value.is_some()).count();
    if measured < matrix.names.len() * matrix.names.len() {
        notes.push("Hatched: not measured".into());
    }
    if layout.cell.0 < READABLE {
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
