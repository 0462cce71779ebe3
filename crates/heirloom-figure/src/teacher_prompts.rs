//! Teacher against prompts: a 2 × 2 table of rates per behavior.

use heirloom_record::Metric;
use serde::{Deserialize, Serialize};

use crate::arm::{Arm, Behavior, Quantity, source};
use crate::axes::{Grid, Page, Panel};
use crate::canvas::{Anchor, Canvas, Label};
use crate::caption::capital;
use crate::cells::{Rect, bar};
use crate::mean::{Mean, behind, kinds, mean, of_behavior};
use crate::style::{BODY, MARGIN, TITLE, sequential};
use crate::text::{self, Weight, first_that_fits};
use crate::{Caption, Figure, Picture, Result};

/// Height of a cell, in points.
const CELL: f64 = 32.0;
/// The base below the cells, and what is left free above it.
const BASE: (f64, f64) = (15.0, 4.0);
/// The colorbar with its numbers and what is left free beside it.
const BAR: f64 = 43.0;

/// Which rows a figure of teachers and prompts shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherPromptsSpec {
    /// A table per behavior.
    pub behaviors: Vec<Behavior>,
    /// Names of the teachers, a row each.
    pub teachers: [String; 2],
    /// Names of the sets of prompts, a column each.
    pub prompts: [String; 2],
    /// For each teacher the arms on the two sets of prompts; nothing where none was trained.
    pub arms: [[Option<Arm>; 2]; 2],
    /// The model before training.
    #[serde(default)]
    pub base: Option<Arm>,
    /// What is drawn.
    #[serde(default = "Quantity::rate")]
    pub quantity: Quantity,
}

impl TeacherPromptsSpec {
    /// Rates of four arms at their last checkpoints.
    pub fn new(behaviors: Vec<Behavior>, arms: [[Option<Arm>; 2]; 2]) -> Self {
        let names = |of: &str| ["A", "B"].map(|name| format!("{of} {name}"));
        let (teachers, prompts) = (names("teacher"), names("prompts"));
        Self { behaviors, teachers, prompts, arms, base: None, quantity: Quantity::rate() }
    }
}

/// One table.
struct Content {
    cells: [[Option<Mean>; 2]; 2],
    base: Option<Mean>,
}

impl Content {
    fn means(&self) -> impl Iterator<Item = &Mean> + Clone {
        self.cells.iter().flatten().chain([&self.base]).flatten()
    }
}

/// Draws a 2 × 2 table per behavior: a row per teacher, a column per set of prompts, cells colored by rate, each
/// with its number and interval. Cells without an arm are hatched.
///
/// # Errors
/// Names the behavior, arm, step or seed that the table has no rows for; rows that differ in a column that the
/// quantity does not name; two rows for one cell; numbers that are not finite; more tables than a page has room for.
pub fn teacher_prompts(rows: &[Metric], spec: &TeacherPromptsSpec) -> Result<Figure> {
    let contents: Vec<Content> =
        spec.behaviors.iter().map(|behavior| content(rows, spec, behavior)).collect::<Result<_>>()?;
    let canvas = draw(&contents, spec)?;
    let caption = caption(&contents, spec);
    Ok(Figure { picture: Picture::new(canvas, caption.what.clone()), caption })
}

fn content(rows: &[Metric], spec: &TeacherPromptsSpec, behavior: &Behavior) -> Result<Content> {
    let here = of_behavior(rows, &spec.quantity, &behavior.name)?;
    let measured = |arm: &Option<Arm>| arm.as_ref().map(|arm| mean(&here, arm)).transpose();
    let [[a, b], [c, d]] = &spec.arms;
    Ok(Content {
        cells: [[measured(a)?, measured(b)?], [measured(c)?, measured(d)?]],
        base: measured(&spec.base)?,
    })
}

fn draw(contents: &[Content], spec: &TeacherPromptsSpec) -> Result<Canvas> {
    let widths = spec.teachers.iter().map(|name| text::width(name, BODY, Weight::Regular));
    let names = widths.fold(0.0, f64::max).min(70.0);
    let of_base = if spec.base.is_some() { BASE.0 + BASE.1 } else { 0.0 };
    let grid = Grid::new(contents.len(), 2, 2.0 * CELL + of_base, names + 4.0);
    let columns = if contents.len() == 4 { 2 } else { grid.columns.min(3) };
    let page = Page::grid(&Grid { columns, below: 4.0, right: BAR, ..grid })?;
    let mut canvas = Canvas::new(page.width, page.bottom + MARGIN);
    for ((content, panel), behavior) in contents.iter().zip(&page.panels).zip(&spec.behaviors) {
        let note = first_that_fits(&[behind(content.means(), &spec.quantity.unit)], panel.width(), BODY);
        panel.header(&mut canvas, &behavior.label, &[note, String::new()]);
        draw_content(&mut canvas, content, panel, spec);
        if panel.is_leftmost {
            for (row, name) in spec.teachers.iter().enumerate() {
                let shown = text::fit(name, names + 0.01, BODY, Weight::Regular);
                let at = (panel.left - 4.0, panel.top + (row as f64 + 0.5) * CELL);
                canvas.label(Label::new(shown, at, BODY).anchored(Anchor::End).centered());
            }
        }
    }
    if let Some(first) = page.panels.first() {
        let left = page.width - MARGIN - BAR + 9.0;
        bar(&mut canvas, (left, first.top), first.bottom - first.top, sequential, &spec.quantity.axis);
    }
    Ok(canvas)
}

fn draw_content(canvas: &mut Canvas, content: &Content, panel: &Panel, spec: &TeacherPromptsSpec) {
    let wide = panel.width() / 2.0;
    for (column, name) in spec.prompts.iter().enumerate() {
        let at = (panel.left + (column as f64 + 0.5) * wide, panel.top - 3.0);
        let shown = text::fit(name, wide - 4.0, BODY, Weight::Regular);
        canvas.label(Label::new(shown, at, BODY).anchored(Anchor::Middle));
    }
    for (row, cells) in content.cells.iter().enumerate() {
        for (column, cell) in cells.iter().enumerate() {
            let corner = (panel.left + column as f64 * wide, panel.top + row as f64 * CELL);
            draw_cell(canvas, Rect::cell(corner, (wide, CELL)), cell.as_ref());
        }
    }
    if let Some(base) = &content.base {
        let corner = (panel.left, panel.top + 2.0 * CELL + BASE.1);
        let strip = Rect::cell(corner, (panel.width(), BASE.0));
        let Some(value) = base.over_seeds.value else {
            strip.hatch(canvas);
            return;
        };
        let color = sequential(value);
        strip.fill(canvas, color);
        strip.frame(canvas);
        let label = spec.base.as_ref().map_or("", |arm| &arm.label);
        let number = format!("{value:.2}{}", interval(base).map(|i| format!(" {i}")).unwrap_or_default());
        let room = panel.width() - 4.0 - text::width(&number, BODY, Weight::Regular) - 4.0;
        let shown = format!("{} {number}", text::fit(label, room, BODY, Weight::Regular));
        let text = Label::new(shown, strip.middle(), BODY).anchored(Anchor::Middle).centered();
        canvas.label(text.colored(color.ink_on()));
    }
}

fn draw_cell(canvas: &mut Canvas, cell: Rect, mean: Option<&Mean>) {
    let (x, y) = cell.middle();
    let Some((mean, value)) = mean.and_then(|mean| Some((mean, mean.over_seeds.value?))) else {
        cell.hatch(canvas);
        let said = if mean.is_some() { "undefined" } else { "not run" };
        canvas.remark(said, (x, y));
        return;
    };
    let color = sequential(value);
    cell.fill(canvas, color);
    cell.frame(canvas);
    let interval = interval(mean);
    let up = if interval.is_some() { 5.0 } else { 0.0 };
    let number = Label::new(format!("{value:.2}"), (x, y - up), TITLE).bold();
    canvas.label(number.anchored(Anchor::Middle).centered().colored(color.ink_on()));
    if let Some(interval) = interval {
        let label = Label::new(interval, (x, y + up), BODY).anchored(Anchor::Middle).centered();
        canvas.label(label.colored(color.ink_on()));
    }
}

fn interval(mean: &Mean) -> Option<String> {
    mean.over_seeds.interval.map(|(low, high)| format!("[{low:.2}, {high:.2}]"))
}

fn caption(contents: &[Content], spec: &TeacherPromptsSpec) -> Caption {
    let means = || contents.iter().flat_map(Content::means);
    let behaviors: Vec<&str> = spec.behaviors.iter().map(|behavior| behavior.label.as_str()).collect();
    let kinds = kinds(means());
    let mut notes = vec![];
    if spec.arms.iter().flatten().any(Option::is_none) {
        notes.push("Hatched: not run".into());
    }
    notes.extend(spec.base.iter().map(|base| format!("Below the cells: {}", base.label)));
    if means().any(|mean| !mean.seeds.is_empty()) {
        notes.push("Single seeds are in the table".into());
    }
    notes.push(source([&spec.quantity]));
    Caption {
        what: format!(
            "{} of students of two teachers on two sets of prompts, at their last checkpoint: {}",
            capital(spec.quantity.name()),
            behaviors.join(", ")
        ),
        n: behind(means(), &spec.quantity.unit),
        intervals: if kinds.is_empty() { kinds } else { format!("In brackets: {kinds}") },
        notes,
    }
}
