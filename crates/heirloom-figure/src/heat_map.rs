//! A quantity by layer and checkpoint of one arm: a panel per behavior, cells colored by the number.

use heirloom_record::{HookPoint, Metric};
use serde::{Deserialize, Serialize};

use crate::arm::{Arm, Behavior, Quantity, source};
use crate::axes::{Grid, Page, Panel, beside};
use crate::canvas::{Anchor, Canvas, Label, Stroke};
use crate::caption::capital;
use crate::cells::{self, Rect};
use crate::mean::of_arm;
use crate::select::{
    BEHAVIOR, FIT_ON, METHOD, Measured, SCORED_ON, SEED, STEP, Selection, counts, distinct, place,
};
use crate::style::{AXIS, BODY, Color, MARGIN, diverging};
use crate::text::{self, Weight, first_that_fits};
use crate::{Caption, Error, Figure, Picture, Result};

/// Height of a layer, in points, at most and at least.
const LAYER: (f64, f64) = (15.0, 1.6);
/// Height of a panel that its layers are fit into.
const HEIGHT: f64 = 130.0;
/// Narrowest cell, in points.
const NARROWEST: f64 = 1.2;
/// Cells smaller than this touch.
const SMALL: f64 = 5.0;
/// The colorbar with its numbers and name.
const BAR: f64 = 48.0;

/// Which rows a heat map shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeatMapSpec {
    /// A panel per behavior.
    pub behaviors: Vec<Behavior>,
    /// The arm whose checkpoints are drawn.
    pub arm: Arm,
    /// What is drawn; its `hooks` name nothing, for every block is.
    pub quantity: Quantity,
    /// The seed; the number over all seeds when empty.
    #[serde(default)]
    pub seed: Option<i64>,
}

impl HeatMapSpec {
    /// Projections over all seeds.
    pub fn new(behaviors: Vec<Behavior>, arm: Arm) -> Self {
        Self { behaviors, arm, quantity: Quantity::projection(), seed: None }
    }
}

/// One panel: numbers by place among the hook points and the steps of the figure.
struct Content {
    cells: Vec<(HookPoint, i64, Measured)>,
    interval: Option<String>,
}

/// What cells are colored by.
struct Colors {
    low: f64,
    high: f64,
}

impl Colors {
    /// Around the quantity's level, or in its range.
    ///
    /// # Errors
    /// The range has no extent.
    fn new(quantity: &Quantity, numbers: impl Iterator<Item = f64> + Clone) -> Result<Self> {
        if let Some((low, high)) = quantity.range {
            let is_range = low < high && (high - low).is_finite();
            return if is_range { Ok(Self { low, high }) } else { Err(Error::Range { low, high }) };
        }
        let middle = quantity.level.as_ref().map_or(0.0, |(level, _)| *level);
        let far = numbers.map(|number| (number - middle).abs()).fold(0.0, f64::max);
        let far = if far > 0.0 { far } else { 1.0 };
        Ok(Self { low: middle - far, high: middle + far })
    }

    fn of(&self, value: f64) -> Color {
        diverging((value - self.low) / (self.high - self.low))
    }

    /// Five numbers from the least to the greatest.
    fn numbers(&self) -> [String; 5] {
        let digits = self.digits() + usize::from(self.high < 10.0 && self.high > 1.0);
        [0.0, 0.25, 0.5, 0.75, 1.0].map(|part| number(self.low + part * (self.high - self.low), digits))
    }

    /// Digits behind the point, alike in all cells.
    fn digits(&self) -> usize {
        match self.high.abs().max(self.low.abs()) {
            far if far >= 10.0 => 0,
            far if far > 1.0 => 1,
            _ => 2,
        }
    }
}

/// A number that prints as zero gets no sign.
fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let is_zero = text.chars().all(|sign| "-0.".contains(sign));
    if is_zero { text.replace('-', "") } else { text.replace('-', "−") }
}

/// Draws a quantity by layer, from the first at the bottom, and training step: a panel per behavior. Cells that the
/// table lacks are hatched.
///
/// # Errors
/// Names the behavior, arm or seed that the table has no rows for; rows that differ in a column that the quantity does
/// not name; two rows for one cell; numbers that are not finite; no behavior; a range without extent; more layers or checkpoints than a page has room for.
pub fn heat_map(rows: &[Metric], spec: &HeatMapSpec) -> Result<Figure> {
    let contents: Vec<Content> =
        spec.behaviors.iter().map(|behavior| content(rows, spec, behavior)).collect::<Result<_>>()?;
    let cells = || contents.iter().flat_map(|content| &content.cells);
    let mut hooks: Vec<HookPoint> = cells().map(|(hook, ..)| *hook).collect();
    let mut steps: Vec<i64> = cells().map(|(_, step, _)| *step).collect();
    hooks.sort_unstable();
    hooks.dedup();
    steps.sort_unstable();
    steps.dedup();
    let colors = Colors::new(&spec.quantity, cells().filter_map(|(.., cell)| cell.value))?;
    let canvas = draw(&contents, spec, &colors, (&hooks, &steps))?;
    let caption = caption(&contents, spec, &hooks);
    Ok(Figure { picture: Picture::new(canvas, caption.what.clone()), caption })
}

fn content(rows: &[Metric], spec: &HeatMapSpec, behavior: &Behavior) -> Result<Content> {
    let Quantity { metric, method, fit_on, scored_on, .. } = &spec.quantity;
    let chosen = Selection::of(rows, metric)?
        .within(BEHAVIOR, &behavior.name, "of")?
        .keep_or_alike(METHOD, method.as_deref())?
        .keep_or_alike(FIT_ON, fit_on.as_deref())?
        .keep_or_alike(SCORED_ON, scored_on.as_deref())?;
    let mut chosen = of_arm(&chosen, &spec.arm)?;
    if let Some(seed) = spec.seed {
        chosen = chosen.keep(SEED, &seed.to_string())?;
    } else {
        let found = chosen.values(SEED);
        chosen.rows.retain(|row| row.seed.is_none());
        if chosen.rows.is_empty() {
            let wanted = "(empty)".into();
            return Err(Error::NoRows { metric: chosen.metric, column: SEED.0, wanted, found });
        }
    }
    let mut cells: Vec<(HookPoint, i64, Measured)> = vec![];
    for row in &chosen.rows {
        let Some((hook, step)) = row.hook.zip(row.step) else { continue };
        if cells.iter().any(|(other, at, _)| (*other, *at) == (hook, step)) {
            return Err(Error::Twice { metric: chosen.metric, place: place(row) });
        }
        cells.push((hook, step, Measured::of(row)?));
    }
    if cells.is_empty() {
        let (column, wanted, found) = ("hook and step", "(any)".into(), chosen.values(STEP));
        return Err(Error::NoRows { metric: chosen.metric, column, wanted, found });
    }
    Ok(Content { cells, interval: chosen.rows.iter().find_map(|row| row.interval.clone()) })
}

fn draw(
    contents: &[Content],
    spec: &HeatMapSpec,
    colors: &Colors,
    (hooks, steps): (&[HookPoint], &[i64]),
) -> Result<Canvas> {
    let high = (HEIGHT / hooks.len() as f64).min(LAYER.0);
    if high < LAYER.1 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few dozen")]
        let most = (HEIGHT / LAYER.1) as usize;
        return Err(Error::TooMany { what: "layers", found: hooks.len(), most });
    }
    let height = high * hooks.len() as f64;
    let names: Vec<String> = hooks.iter().map(|hook| name(*hook)).collect();
    let ticks: Vec<(f64, String)> = names.iter().map(|name| (0.0, name.clone())).collect();
    let grid = Grid { right: BAR, ..Grid::new(contents.len(), 1, height, beside(&ticks)) };
    let page = Page::grid(&grid)?;
    let wide = page.panels[0].width() / steps.len() as f64;
    if wide < NARROWEST {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred")]
        let most = (page.panels[0].width() / NARROWEST) as usize;
        return Err(Error::TooMany { what: "checkpoints", found: steps.len(), most });
    }
    let bar = height.max(52.0);
    let top = page.panels[0].top;
    let bottom = page.bottom.max(top + bar + BODY);
    let mut canvas = Canvas::new(page.width, bottom + MARGIN);
    for ((content, behavior), panel) in contents.iter().zip(&spec.behaviors).zip(&page.panels) {
        panel.header(&mut canvas, &behavior.label, &[note(content, spec, panel)]);
        draw_cells(&mut canvas, content, panel, (colors, hooks, steps, (wide, high)));
        draw_names(&mut canvas, panel, (&names, steps, (wide, high)));
    }
    let right = page.panels.iter().map(|panel| panel.right).fold(0.0, f64::max);
    let numbers = colors.numbers();
    let numbers = [0, 1, 2, 3, 4].map(|index| numbers[index].as_str());
    let what = spec.quantity.name();
    cells::bar_of(&mut canvas, (right + 7.0, top), bar, diverging, (&numbers, &shortened(what, bar)));
    Ok(canvas)
}

/// A name that stands beside a bar of `room` points.
fn shortened(name: &str, room: f64) -> String {
    text::fit(name, room, BODY, Weight::Regular)
}

/// A hook point on an axis.
fn name(hook: HookPoint) -> String {
    match hook {
        HookPoint::Embed => "emb".into(),
        HookPoint::Block { layer, .. } => layer.to_string(),
        HookPoint::PosEmbed => "positions".into(),
        HookPoint::LnFinalNormalized => "norm".into(),
    }
}

fn note(content: &Content, spec: &HeatMapSpec, panel: &Panel) -> String {
    let n = counts(content.cells.iter().map(|(.., cell)| cell.n), Some(&spec.quantity.unit));
    let seed = spec.seed.map_or(String::new(), |seed| format!("seed {seed}, "));
    let long = format!("{}: {seed}{}", spec.arm.label, n.clone().unwrap_or_default());
    let short = format!("{seed}{}", n.unwrap_or_default());
    first_that_fits(&[long, short], panel.beyond - panel.left, BODY)
}

fn draw_cells(
    canvas: &mut Canvas,
    content: &Content,
    panel: &Panel,
    (colors, hooks, steps, (wide, high)): (&Colors, &[HookPoint], &[i64], (f64, f64)),
) {
    for (row, hook) in hooks.iter().enumerate() {
        for (column, step) in steps.iter().enumerate() {
            let corner = (panel.left + column as f64 * wide, panel.bottom - (row + 1) as f64 * high);
            let rect = rect(corner, (wide, high));
            let cell = content.cells.iter().find(|(other, at, _)| other == hook && at == step);
            let Some(value) = cell.and_then(|(.., cell)| cell.value) else {
                rect.hatch(canvas);
                continue;
            };
            let color = colors.of(value);
            rect.fill(canvas, color);
            let text = number(value, colors.digits());
            if high > BODY && text::width(&text, BODY, Weight::Regular) <= wide - 1.5 {
                let label = Label::new(text, rect.middle(), BODY).anchored(Anchor::Middle).centered();
                canvas.label(label.colored(color.ink_on()));
            } else if value < f64::midpoint(colors.low, colors.high) && wide > 4.0 && high > 3.0 {
                // In gray print both ends of the scale are dark.
                let (x, y) = rect.middle();
                canvas.line(vec![(x - 1.6, y), (x + 1.6, y)], Stroke::solid(color.ink_on(), AXIS * 1.5));
            }
        }
    }
}

/// A cell; those too small for a hair of white between them reach into the one above, which is drawn next.
fn rect((x, y): (f64, f64), (wide, high): (f64, f64)) -> Rect {
    if wide.min(high) >= SMALL {
        return Rect::cell((x, y), (wide, high));
    }
    Rect { left: x, top: y - 0.2, right: x + wide, bottom: y + high }
}

fn draw_names(
    canvas: &mut Canvas,
    panel: &Panel,
    (names, steps, (wide, high)): (&[String], &[i64], (f64, f64)),
) {
    let mut free = f64::INFINITY;
    for (row, name) in names.iter().enumerate().filter(|_| panel.is_leftmost) {
        let y = panel.bottom - (row as f64 + 0.5) * high;
        if y + BODY / 2.0 <= free {
            canvas.label(Label::new(name, (panel.left - 3.0, y), BODY).anchored(Anchor::End).centered());
            free = y - BODY / 2.0 - 1.0;
        }
    }
    if panel.is_leftmost {
        let widest = names.iter().map(|name| text::width(name, BODY, Weight::Regular)).fold(0.0, f64::max);
        let at = (panel.left - 6.0 - widest - BODY * 0.28, f64::midpoint(panel.top, panel.bottom));
        canvas.label(Label::new("layer", at, BODY).anchored(Anchor::Middle).upright());
    }
    let base = panel.bottom + 2.5 + BODY;
    let mut free = f64::NEG_INFINITY;
    for (column, step) in steps.iter().enumerate() {
        let label = Label::new(step.to_string(), (panel.left + (column as f64 + 0.5) * wide, base), BODY)
            .anchored(Anchor::Middle);
        let [left, _, right, _] = label.bounds();
        if left >= free {
            canvas.label(label);
            free = right + 3.0;
        }
    }
    let middle = (f64::midpoint(panel.left, panel.right), base + 9.0);
    canvas.label(Label::new("training step", middle, BODY).anchored(Anchor::Middle));
}

fn caption(contents: &[Content], spec: &HeatMapSpec, hooks: &[HookPoint]) -> Caption {
    let kinds = distinct(contents.iter().filter_map(|content| content.interval.clone())).join("; or ");
    let cells = contents.iter().flat_map(|content| &content.cells);
    let holes = contents.iter().any(|content| {
        let steps =
            distinct(contents.iter().flat_map(|c| c.cells.iter().map(|(_, step, _)| step.to_string())));
        content.cells.iter().filter(|(.., cell)| cell.value.is_some()).count() < steps.len() * hooks.len()
    });
    let labels: Vec<&str> = spec.behaviors.iter().map(|behavior| behavior.label.as_str()).collect();
    let sites = distinct(hooks.iter().map(|hook| match hook {
        HookPoint::Block { site, .. } => site.name().to_owned(),
        other => other.to_string(),
    }));
    let mut notes = vec![source([&spec.quantity])];
    if holes {
        notes.push("Hatched: not measured".into());
    }
    let seed = spec.seed.map_or(String::new(), |seed| format!(", seed {seed}"));
    Caption {
        what: format!(
            "{} by layer ({}) and training step in {}{seed}: {}",
            capital(&spec.quantity.axis),
            sites.join(", "),
            spec.arm.label,
            labels.join(", ")
        ),
        n: counts(cells.map(|(.., cell)| cell.n), Some(&spec.quantity.unit)).unwrap_or_default(),
        intervals: if kinds.is_empty() { kinds } else { format!("Intervals ({kinds}) are in the table") },
        notes,
    }
}
