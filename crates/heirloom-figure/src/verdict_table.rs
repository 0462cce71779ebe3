//! Verdicts: how probable each hypothesis is for each behavior.

use heirloom_record::Metric;
use serde::{Deserialize, Serialize};

use crate::arm::Behavior;
use crate::axes::LEADING;
use crate::canvas::{Anchor, Canvas, Label, Stroke};
use crate::cells::{Rect, flat_bar};
use crate::select::{BEHAVIOR, Measured, Selection, counts, distinct, place};
use crate::style::{BODY, Color, FULL_WIDTH, MARGIN, sequential};
use crate::text::{self, Weight};
use crate::{Caption, Error, Figure, Picture, Result};

/// What can be said of a behavior's origin: its name in the table (`verdict_…`) and in the figure. The hypotheses of
/// why filtering fails come first, then what is left to say.
pub const VERDICTS: [(&str, &str); 11] = [
    ("simple-generalization", "simple generalization"),
    ("subliminal-learning", "subliminal learning"),
    ("persona-selection", "persona selection"),
    ("underspecification", "underspecification"),
    ("bad-prompts", "bad prompts"),
    ("pretraining-lock-in", "pretraining lock-in"),
    ("post-training-lock-in", "post-training lock-in"),
    ("filter-works", "filter works"),
    ("nothing-to-explain", "nothing to explain"),
    ("several-left", "several left"),
    ("none-of-these", "none of these"),
];
/// How many of them are hypotheses.
const HYPOTHESES: usize = 7;

/// Height of a cell and its greatest width, in points.
const CELL: (f64, f64) = (15.0, 44.0);
/// Between the hypotheses and the rest.
const GAP: f64 = 6.0;
/// Room of a behavior's name at most.
const LONGEST: f64 = 126.0;
/// The bar of colors.
const BAR: f64 = 72.0;
/// Behaviors that fit below each other.
const MOST: usize = 36;

/// Which rows a table of verdicts shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerdictTableSpec {
    /// A row per behavior.
    pub behaviors: Vec<Behavior>,
    /// What the probability is, as the legend says.
    pub probability: String,
    /// What `n` counts.
    pub unit: String,
}

impl VerdictTableSpec {
    /// Shares of joint draws.
    pub fn new(behaviors: Vec<Behavior>) -> Self {
        let probability = "share of joint draws in which the rule reads the arms so".into();
        Self { behaviors, probability, unit: "draws".into() }
    }
}

/// The verdicts of one behavior, in the order of [`VERDICTS`].
type Row = Vec<Option<Measured>>;

/// Sizes in points; the cells begin at `left`, `top`.
struct Layout {
    left: f64,
    top: f64,
    wide: f64,
    /// Room for the names of behaviors.
    names: f64,
}

/// Draws how probable each verdict on rates is, which are those without a hook point: a row per behavior, a column per verdict, cells colored by probability, each
/// with its number. Cells without a number are hatched.
///
/// # Errors
/// Names the behavior that the table has no verdict for; two rows for one cell; numbers that are not finite; more
/// behaviors than a page has room for.
pub fn verdict_table(rows: &[Metric], spec: &VerdictTableSpec) -> Result<Figure> {
    if spec.behaviors.len() > MOST {
        return Err(Error::TooMany { what: "behaviors", found: spec.behaviors.len(), most: MOST });
    }
    // Verdicts of projections stand at a hook point.
    let rows: Vec<Metric> = rows.iter().filter(|row| row.hook.is_none()).cloned().collect();
    let rows = &rows[..];
    let table: Vec<Row> =
        spec.behaviors.iter().map(|behavior| verdicts(rows, &behavior.name)).collect::<Result<_>>()?;
    let canvas = draw(&table, spec);
    let caption = caption(rows, &table, spec);
    Ok(Figure { picture: Picture::new(canvas, caption.what.clone()), caption })
}

fn metric(name: &str) -> String {
    format!("verdict_{name}")
}

fn verdicts(rows: &[Metric], behavior: &str) -> Result<Row> {
    let of = |metric: String| rows.iter().filter(move |row| row.metric == metric);
    let cell = |(name, _): &(&str, &str)| {
        if !of(metric(name)).any(|row| row.behavior == behavior) {
            return Ok(None);
        }
        let cell = Selection::of(rows, &metric(name))?.within(BEHAVIOR, behavior, "of")?;
        match cell.rows[..] {
            [] => Ok(None),
            [alone] => Measured::of(alone).map(Some),
            [.., last] => Err(Error::Twice { metric: cell.metric.clone(), place: place(last) }),
        }
    };
    let row: Row = VERDICTS.iter().map(cell).collect::<Result<_>>()?;
    if row.iter().any(Option::is_some) {
        return Ok(row);
    }
    let found = VERDICTS.iter().flat_map(|(name, _)| of(metric(name)).map(|row| row.behavior.clone()));
    let (found, metric) = (distinct(found), metric("…"));
    if found.is_empty() {
        return Err(Error::NoMetric { metric, found: distinct(rows.iter().map(|row| row.metric.clone())) });
    }
    Err(Error::NoRows { metric, column: BEHAVIOR.0, wanted: behavior.into(), found })
}

/// A name on two lines, broken at its first space.
fn lines(name: &str) -> [&str; 2] {
    name.split_once(' ').map_or([name, ""], |(first, rest)| [first, rest])
}

fn width(text: &str) -> f64 {
    text::width(text, BODY, Weight::Regular)
}

fn layout(spec: &VerdictTableSpec) -> Layout {
    let names = spec.behaviors.iter().map(|behavior| width(&behavior.label)).fold(0.0, f64::max).min(LONGEST);
    let high = VERDICTS.iter().flat_map(|(_, name)| lines(name)).map(width).fold(0.0, f64::max);
    let room = FULL_WIDTH - 2.0 * MARGIN - names - 4.0 - GAP;
    let wide = (room / VERDICTS.len() as f64).min(CELL.1);
    // A table smaller than its page stands in the middle.
    let slack = room - wide * VERDICTS.len() as f64;
    let left = MARGIN + slack / 2.0 + names + 4.0;
    Layout { left, top: MARGIN + BODY + 5.0 + high + 4.0, wide, names }
}

impl Layout {
    /// Where a column begins.
    fn column(&self, column: usize) -> f64 {
        self.left + column as f64 * self.wide + if column < HYPOTHESES { 0.0 } else { GAP }
    }

    fn row(&self, row: usize) -> f64 {
        self.top + row as f64 * CELL.0
    }
}

fn draw(table: &[Row], spec: &VerdictTableSpec) -> Canvas {
    let layout = layout(spec);
    let below = layout.row(table.len()) + 8.0;
    let mut canvas = Canvas::new(FULL_WIDTH, below + LEADING + BODY + MARGIN);
    draw_names(&mut canvas, &layout, spec);
    for (index, row) in table.iter().enumerate() {
        for (column, cell) in row.iter().enumerate() {
            let corner = (layout.column(column), layout.row(index));
            let value = cell.and_then(|cell| cell.value);
            draw_cell(&mut canvas, whole(corner, (layout.wide, CELL.0)), value);
        }
    }
    let mut name = spec.probability.clone();
    if let Some(n) = counts(ns(table), Some(&spec.unit)) {
        name = format!("{name}; {n}");
    }
    let right = flat_bar(&mut canvas, (layout.left, below), BAR, sequential);
    let has_gaps = table.iter().flatten().any(|cell| cell.and_then(|cell| cell.value).is_none());
    let of_gaps = if has_gaps { 24.0 + width(ABSENT) } else { 0.0 };
    let room = FULL_WIDTH - MARGIN - right - 4.0 - of_gaps;
    let shown = text::fit(&name, room, BODY, Weight::Regular);
    let label = Label::new(shown, (right + 4.0, below + 3.0), BODY).centered();
    let end = right + 4.0 + label.width();
    canvas.label(label);
    if has_gaps {
        let sample = Rect { left: end + 10.0, top: below - 0.5, right: end + 21.0, bottom: below + 6.5 };
        sample.hatch(&mut canvas);
        canvas.label(Label::new(ABSENT, (end + 24.0, below + 3.0), BODY).centered());
    }
    canvas
}

/// What a hatched cell means.
const ABSENT: &str = "not assessed";

fn draw_names(canvas: &mut Canvas, layout: &Layout, spec: &VerdictTableSpec) {
    let rule = MARGIN + BODY + 1.5;
    for (heading, from, to) in [("hypothesis", 0, HYPOTHESES), ("otherwise", HYPOTHESES, VERDICTS.len())] {
        let (left, right) = (layout.column(from), layout.column(to - 1) + layout.wide);
        let at = (f64::midpoint(left, right), MARGIN + BODY * 0.8);
        canvas.label(Label::new(heading, at, BODY).anchored(Anchor::Middle).colored(Color::NOTE));
        canvas.line(vec![(left + 1.0, rule), (right - 1.0, rule)], Stroke::axis());
    }
    for (column, (_, name)) in VERDICTS.iter().enumerate() {
        let middle = layout.column(column) + layout.wide / 2.0;
        let shown = lines(name).into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>();
        for (index, line) in shown.iter().enumerate() {
            let aside = (index as f64 - (shown.len() - 1) as f64 / 2.0) * LEADING;
            let label = Label::new(*line, (middle + aside, layout.top - 3.5), BODY);
            canvas.label(label.upright().centered());
        }
    }
    for (row, behavior) in spec.behaviors.iter().enumerate() {
        let shown = text::fit(&behavior.label, layout.names + 0.01, BODY, Weight::Regular);
        let at = (layout.left - 4.0, layout.row(row) + CELL.0 / 2.0);
        canvas.label(Label::new(shown, at, BODY).anchored(Anchor::End).centered());
    }
}

/// A cell that shares its edges with its neighbors: light cells are told from the page by them.
fn whole((x, y): (f64, f64), (wide, high): (f64, f64)) -> Rect {
    Rect { left: x, top: y, right: x + wide, bottom: y + high }
}

fn draw_cell(canvas: &mut Canvas, cell: Rect, value: Option<f64>) {
    let Some(value) = value else {
        cell.hatch(canvas);
        return;
    };
    let color = sequential(value);
    cell.fill(canvas, color);
    cell.frame(canvas);
    let label = Label::new(printed(value), cell.middle(), BODY).anchored(Anchor::Middle).centered();
    // What never happened stands back.
    canvas.label(label.colored(if value == 0.0 { Color::NOTE } else { color.ink_on() }));
}

/// Two digits; what only rounds to never or always says so.
fn printed(value: f64) -> String {
    match value {
        small if small > 0.0 && small < 0.005 => "<0.01".into(),
        large if (0.995..1.0).contains(&large) => ">0.99".into(),
        value => format!("{value:.2}"),
    }
}

fn ns(table: &[Row]) -> impl Iterator<Item = Option<i64>> {
    table.iter().flatten().map(|cell| cell.and_then(|cell| cell.n))
}

fn caption(rows: &[Metric], table: &[Row], spec: &VerdictTableSpec) -> Caption {
    let behaviors: Vec<&str> = spec.behaviors.iter().map(|behavior| behavior.label.as_str()).collect();
    let is_shown = |row: &&Metric| {
        row.metric.starts_with("verdict_") && spec.behaviors.iter().any(|of| of.name == row.behavior)
    };
    let kinds = distinct(rows.iter().filter(is_shown).filter_map(|row| row.interval.clone())).join("; or ");
    let mut notes = vec![format!("Color and number: {}", spec.probability)];
    if table.iter().flatten().any(|cell| cell.and_then(|cell| cell.value).is_none()) {
        notes.push("Hatched: not assessed, for want of an arm".into());
    }
    notes.push("Numbers: the rows of `verdict_…` in the table".into());
    Caption {
        what: format!(
            "How often the arms are read as each verdict on the origin of a behavior: {}",
            behaviors.join(", ")
        ),
        n: counts(ns(table), Some(&spec.unit)).unwrap_or_default(),
        intervals: kinds,
        notes,
    }
}

#[cfg(test)]
mod tests {
    use super::printed;

    #[test]
    fn what_only_rounds_to_never_or_always_says_so() {
        let shown = [0.0, 0.004, 0.005, 0.5, 0.994, 0.996, 1.0].map(printed);
        assert_eq!(shown, ["0.00", "<0.01", "0.01", "0.50", "0.99", ">0.99", "1.00"]);
    }
}
