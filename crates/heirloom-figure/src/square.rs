//! Squares of cells between names: a row and a column per name, each cell colored with its number.

use std::collections::BTreeMap;

use heirloom_record::{HookPoint, Metric};

use crate::axes::LEADING;
use crate::canvas::{Anchor, Canvas, Label, Stroke};
use crate::cells::{self, Rect};
use crate::select::{Cell, FIT_ON, HOOK, Measured, SCORED_ON, Selection, counts, distinct, place, unit};
use crate::style::{AXIS, BODY, Color, FULL_WIDTH, MARGIN, ONE_COLUMN, TITLE, diverging};
use crate::text::{self, Weight};
use crate::{Error, Result};

/// Names in order, and what was measured from one to another.
pub(crate) struct Square {
    pub(crate) names: Vec<String>,
    pub(crate) cells: BTreeMap<(usize, usize), Measured>,
}

/// What the numbers of a square are.
pub(crate) struct Kind {
    /// What a square has too much of when it does not fit.
    pub(crate) what: &'static str,
    /// What its rows and its columns are.
    pub(crate) axes: (&'static str, &'static str),
    /// The quantity, as the bar says.
    pub(crate) quantity: &'static str,
    /// Numbers along the bar, from the least to the greatest.
    pub(crate) numbers: [&'static str; 5],
    /// The widest number that a cell can hold.
    pub(crate) widest: &'static str,
    /// Whether cells of a name with itself are framed.
    pub(crate) is_framed: bool,
    /// Whether cells say the ends of their intervals, too; they do where there is room.
    pub(crate) has_ends: bool,
}

/// Sizes in points; the square begins at `left`, `top`.
pub(crate) struct Layout {
    page: f64,
    left: f64,
    top: f64,
    cell: (f64, f64),
    /// Room for the names of rows and of columns.
    names: (f64, f64),
    upright: bool,
    /// Whether cells have room for their numbers.
    pub(crate) is_readable: bool,
    /// Whether they have room for the ends of intervals.
    pub(crate) shows_ends: bool,
}

/// Room of a name at most.
const LONGEST: f64 = 112.0;
/// The colorbar beside its numbers.
const BAR: f64 = 41.0;
/// Height of a cell with a number, and with the ends of its interval below.
const HEIGHTS: (f64, f64) = (17.0, 22.0);
/// Narrowest cell whose column can have a name.
const NARROWEST: f64 = 7.6;

impl Kind {
    /// Where a number stands on the scale, from 0 to 1.
    fn part(&self, value: f64) -> f64 {
        let ends = [self.numbers[0], self.numbers[4]];
        let [low, high] = ends.map(|end| end.replace('−', "-").parse::<f64>().unwrap_or(0.0));
        (value - low) / (high - low)
    }

    /// Narrowest cell that holds a number in body type.
    fn readable(&self) -> f64 {
        (text::width(self.widest, BODY, Weight::Regular) + 1.4).floor()
    }

    /// Narrowest cell that holds the ends of an interval.
    fn wide(&self) -> f64 {
        let ends = format!("{}–{}", self.widest, self.widest.trim_start_matches('−'));
        (text::width(&ends, BODY, Weight::Regular) + 2.0).floor()
    }
}

impl Square {
    /// The cells of `chosen`, whose `fit_on` and `scored_on` begin with `prefix`; `names` in order, all in the order of
    /// the table when empty.
    pub(crate) fn of(chosen: &Selection<'_, Metric>, prefix: &str, names: &[String]) -> Result<Self> {
        let name = |(_, cell): (&'static str, Cell<Metric>), row: &Metric| {
            cell(row).and_then(|cell| cell.strip_prefix(prefix).map(str::to_owned)).unwrap_or_default()
        };
        let fits = chosen.rows.iter().map(|row| name(FIT_ON, row));
        let found = distinct(fits.chain(chosen.rows.iter().map(|row| name(SCORED_ON, row))));
        if let Some(absent) = names.iter().find(|name| !found.contains(name)) {
            let (metric, wanted) = (chosen.metric.clone(), absent.clone());
            return Err(Error::NoRows { metric, column: "fit_on or scored_on", wanted, found });
        }
        let names = if names.is_empty() { found } else { names.to_vec() };
        let index = |wanted: String| names.iter().position(|name| *name == wanted);
        let mut cells = BTreeMap::new();
        for row in &chosen.rows {
            let Some(at) = index(name(FIT_ON, row)).zip(index(name(SCORED_ON, row))) else { continue };
            if cells.insert(at, Measured::of(row)?).is_some() {
                return Err(Error::Twice { metric: chosen.metric.clone(), place: place(row) });
            }
        }
        Ok(Self { names, cells })
    }

    /// One column of a page where values are readable there, the full width otherwise.
    pub(crate) fn layout(&self, kind: &Kind) -> Result<Layout> {
        let names = &self.names;
        let widths = names.iter().map(|name| text::width(name, BODY, Weight::Regular));
        let widest = widths.fold(0.0, f64::max);
        let fitted = |page: f64, longest: f64, cap: f64| {
            let of_rows = widest.min(longest);
            let left = MARGIN + LEADING + 2.0 + of_rows + 3.0;
            let wide = ((page - left - BAR - MARGIN) / names.len() as f64).min(cap);
            let upright = widest > wide - 3.0;
            let of_columns = if upright { widest.min(longest) } else { BODY };
            let shows_ends = kind.has_ends && wide >= kind.wide();
            let cell = (wide, if shows_ends { HEIGHTS.1 } else { wide.clamp(NARROWEST + 1.4, HEIGHTS.0) });
            let top = MARGIN + TITLE + 2.0 + LEADING + 4.0;
            // A square smaller than its page stands in the middle.
            let slack = page - left - wide * names.len() as f64 - BAR - MARGIN;
            let (names, left) = ((of_rows, of_columns), left + slack / 2.0);
            let is_readable = wide >= kind.readable();
            Layout { page, left, top, cell, names, upright, is_readable, shows_ends }
        };
        let narrow = fitted(ONE_COLUMN, 80.0, 46.0);
        let is_enough = if kind.has_ends { narrow.shows_ends } else { narrow.is_readable };
        let chosen = if is_enough { narrow } else { fitted(FULL_WIDTH, LONGEST, 44.0) };
        if chosen.cell.0 < NARROWEST {
            let room = (FULL_WIDTH - LONGEST - BAR - 30.0) / NARROWEST;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few dozen")]
            let most = room.floor() as usize;
            return Err(Error::TooMany { what: kind.what, found: names.len(), most });
        }
        Ok(chosen)
    }

    pub(crate) fn draw(&self, layout: &Layout, kind: &Kind, title: &str, subtitle: &str) -> Canvas {
        let (wide, high) = layout.cell;
        let count = self.names.len() as f64;
        let (right, bottom) = (layout.left + count * wide, layout.top + count * high);
        // A short square still gets a colorbar whose numbers do not run together.
        let bar = (bottom - layout.top).max(50.0);
        let below = bottom + 3.0 + layout.names.1 + 3.0 + LEADING;
        let mut canvas = Canvas::new(layout.page, below.max(layout.top + bar + BODY / 2.0) + MARGIN);
        let room = layout.page - MARGIN - layout.left;
        let first = MARGIN + TITLE * 0.8;
        let title = text::fit(title, room, TITLE, Weight::Bold);
        canvas.label(Label::new(title, (layout.left, first), TITLE).bold());
        let line = text::fit(subtitle, room, BODY, Weight::Regular);
        canvas.label(Label::new(line, (layout.left, first + LEADING), BODY).colored(Color::NOTE));
        for row in 0..self.names.len() {
            for column in 0..self.names.len() {
                let corner = (layout.left + column as f64 * wide, layout.top + row as f64 * high);
                let measured = self.cells.get(&(row, column));
                draw_cell(&mut canvas, Rect::cell(corner, layout.cell), measured, (layout, kind));
            }
        }
        for diagonal in (0..self.names.len()).filter(|_| kind.is_framed) {
            let (x, y) = (layout.left + diagonal as f64 * wide, layout.top + diagonal as f64 * high);
            let corners = [(x, y), (x + wide, y), (x + wide, y + high), (x, y + high), (x, y)];
            canvas.line(corners.to_vec(), Stroke::solid(Color::BLACK, AXIS * 1.5));
        }
        self.draw_names(&mut canvas, layout);
        let middle = (f64::midpoint(layout.left, right), f64::midpoint(layout.top, bottom));
        let columns = Label::new(kind.axes.1, (middle.0, below - 2.0), BODY);
        canvas.label(columns.anchored(Anchor::Middle));
        let rows = Label::new(
            kind.axes.0,
            (layout.left - layout.names.0 - 3.0 - 2.0 - LEADING + BODY * 0.72, middle.1),
            BODY,
        );
        canvas.label(rows.anchored(Anchor::Middle).upright());
        let at = (right + 7.0, layout.top);
        cells::bar_of(&mut canvas, at, bar, diverging, (&kind.numbers, kind.quantity));
        canvas
    }

    fn draw_names(&self, canvas: &mut Canvas, layout: &Layout) {
        let count = self.names.len() as f64;
        let bottom = layout.top + count * layout.cell.1 + 3.0;
        for (index, name) in self.names.iter().enumerate() {
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

    /// Gives every cell that is missing the number of the one across the diagonal: what is alike both ways may stand in a table once.
    pub(crate) fn mirrored(mut self) -> Self {
        for ((row, column), cell) in self.cells.clone() {
            self.cells.entry((column, row)).or_insert(cell);
        }
        self
    }

    /// Whether some cell has no number.
    pub(crate) fn has_holes(&self) -> bool {
        let measured = self.cells.values().filter(|cell| cell.value.is_some()).count();
        measured < self.names.len() * self.names.len()
    }
}

/// Method, block and counts of what is drawn.
pub(crate) fn subtitle(chosen: &Selection<'_, Metric>) -> String {
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

fn draw_cell(canvas: &mut Canvas, cell: Rect, measured: Option<&Measured>, (layout, kind): (&Layout, &Kind)) {
    let Some(value) = measured.and_then(|measured| measured.value) else {
        cell.hatch(canvas);
        return;
    };
    let ends = measured.and_then(|measured| measured.interval).filter(|_| layout.shows_ends);
    let color = diverging(kind.part(value));
    cell.fill(canvas, color);
    // A number that prints as 0.00 gets no sign.
    let shown = if value.abs() < 0.005 { 0.0 } else { value };
    if layout.is_readable {
        let number = format!("{shown:.2}").replace('-', "−");
        let (x, y) = cell.middle();
        let above = if ends.is_some() { 4.5 } else { 0.0 };
        let label = Label::new(number, (x, y - above), BODY).anchored(Anchor::Middle);
        canvas.label(label.centered().colored(color.ink_on()));
        if let Some((low, high)) = ends {
            let [low, high] =
                [low, high].map(|end| format!("{end:.2}").replace("-0.00", "0.00").replace('-', "−"));
            let label = Label::new(format!("{low}–{high}"), (x, y + 4.5), BODY).anchored(Anchor::Middle);
            canvas.label(label.centered().colored(color.ink_on()));
        }
    } else if shown < 0.0 {
        // In gray print both ends of the scale are dark.
        let (x, y) = cell.middle();
        canvas.line(vec![(x - 1.6, y), (x + 1.6, y)], Stroke::solid(color.ink_on(), AXIS * 1.5));
    }
}
