//! Histograms of scores, a panel per behavior.

use std::collections::BTreeMap;

use heirloom_record::Histogram;
use serde::{Deserialize, Serialize};

use crate::axes::{Page, Panel, Scale, beside, ticks};
use crate::canvas::{Canvas, Ink, Point, Stroke};
use crate::legend::{Item, Legend, Sample};
use crate::select::{BIN_BEHAVIOR, BIN_METHOD, Cell, Selection, distinct};
use crate::style::{BODY, Color, Dash, LINE, Look, MARGIN, ROWS, look_of};
use crate::text::first_that_fits;
use crate::{Caption, Error, Figure, Picture, Result};

/// Height of a panel, in points.
const HEIGHT: f64 = 84.0;

const BIN_HOOK: (&str, Cell<Histogram>) = ("hook", |bin| Some(bin.hook.to_string()));
const BIN_THRESHOLD: (&str, Cell<Histogram>) = ("threshold", |bin| Some(bin.threshold.to_string()));
const BIN_N: (&str, Cell<Histogram>) = ("n", |bin| Some(bin.n.to_string()));

/// Which bins a figure of histograms shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistogramSpec {
    /// Behaviors, a panel each; all in the order of the table when empty.
    pub behaviors: Vec<String>,
    /// How the direction was fit.
    pub method: String,
}

impl Default for HistogramSpec {
    fn default() -> Self {
        Self { behaviors: vec![], method: "dom".into() }
    }
}

/// The bins of one class of rows, by lower edge.
struct Class {
    rows: String,
    n: i64,
    bins: Vec<(f64, f64, i64)>,
}

struct Content {
    behavior: String,
    place: String,
    threshold: f64,
    classes: Vec<Class>,
}

/// Draws how many rows of each class score where, with the decision threshold.
///
/// # Errors
/// Names the behavior or method that the table has no bins for; bins of one panel that come from several hook
/// points or thresholds; two bins in one place; edges that are not finite or not in order.
pub fn histograms(rows: &[Histogram], spec: &HistogramSpec) -> Result<Figure> {
    let all = Selection::bins(rows)?.keep(BIN_METHOD, &spec.method)?;
    let behaviors = if spec.behaviors.is_empty() { all.values(BIN_BEHAVIOR) } else { spec.behaviors.clone() };
    let contents: Vec<Content> =
        behaviors.iter().map(|behavior| content(&all, behavior)).collect::<Result<_>>()?;
    let canvas = draw(&contents)?;
    let caption = caption(&contents, spec);
    Ok(Figure { picture: Picture::new(canvas, caption.what.clone()), caption })
}

fn content(all: &Selection<'_, Histogram>, behavior: &str) -> Result<Content> {
    let here = all.clone().within(BIN_BEHAVIOR, behavior, "of")?.alike(BIN_HOOK)?.alike(BIN_THRESHOLD)?;
    let mut by_rows: BTreeMap<usize, Class> = BTreeMap::new();
    let order = |rows: &str| ROWS.iter().position(|(known, _)| *known == rows).unwrap_or(ROWS.len());
    let mut names = distinct(here.rows.iter().map(|bin| bin.rows.clone()));
    names.sort_by_key(|rows| order(rows));
    for (index, rows) in names.into_iter().enumerate() {
        let metric = format!("{} of {rows} rows", here.metric);
        let of_class = here.rows.iter().copied().filter(|bin| bin.rows == rows).collect();
        let of_class = Selection { metric: metric.clone(), rows: of_class }.alike(BIN_N)?;
        by_rows.insert(index, Class { n: of_class.rows[0].n, bins: bins(&of_class)?, rows });
    }
    let threshold = here.rows[0].threshold;
    if !threshold.is_finite() {
        return Err(Error::NotFinite { metric: here.metric, place: "threshold".into(), value: threshold });
    }
    let first = here.rows[0];
    let place = first.hook.layer().map_or_else(|| first.hook.to_string(), |layer| format!("block {layer}"));
    Ok(Content { behavior: behavior.into(), place, threshold, classes: by_rows.into_values().collect() })
}

fn bins(class: &Selection<'_, Histogram>) -> Result<Vec<(f64, f64, i64)>> {
    let mut bins: Vec<(f64, f64, i64)> =
        class.rows.iter().map(|bin| (bin.low, bin.high, bin.count)).collect();
    bins.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (low, high, _) in &bins {
        let Some(value) = [*low, *high].into_iter().find(|edge| !edge.is_finite()) else { continue };
        return Err(Error::NotFinite { metric: class.metric.clone(), place: "an edge".into(), value });
    }
    let crossing = |a: &(f64, f64, i64), b: &(f64, f64, i64)| b.0 < a.1 - 1e-9 * (a.1 - a.0).abs();
    let overlap = bins.windows(2).find(|pair| crossing(&pair[0], &pair[1]));
    let reversed = bins.iter().find(|(low, high, _)| low >= high);
    match overlap.map(|pair| pair[1]).or(reversed.copied()) {
        Some((low, high, _)) => {
            Err(Error::Twice { metric: class.metric.clone(), place: format!("scores {low} to {high}") })
        }
        None => Ok(bins),
    }
}

fn draw(contents: &[Content]) -> Result<Canvas> {
    let most = contents.iter().flat_map(|content| &content.classes).flat_map(|class| &class.bins);
    let most = most.map(|(_, _, count)| *count).max().unwrap_or(0).max(1) as f64;
    let numbers = ticks(0.0, most, 5, 1.0);
    let legend = legend(contents);
    let page = Page::new(contents.len(), 2, HEIGHT, beside(&numbers))?;
    let mut canvas = Canvas::new(page.width, page.bottom + 3.0 + legend.height(page.width) + MARGIN);
    for (content, panel) in contents.iter().zip(&page.panels) {
        let edges = content.classes.iter().flat_map(|class| &class.bins).flat_map(|bin| [bin.0, bin.1]);
        let all = edges.chain([content.threshold]);
        let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
        let room = 0.03 * (high - low);
        let x = Scale { low: low - room, high: high + room, from: panel.left, to: panel.right };
        let y = Scale { low: 0.0, high: most * 1.06, from: panel.bottom, to: panel.top };
        panel.header(&mut canvas, &content.behavior, &notes(content, panel));
        let steps: Vec<_> = content.classes.iter().map(|class| (class, steps(class, (&x, &y)))).collect();
        for (class, steps) in &steps {
            fill_steps(&mut canvas, class, steps);
        }
        for (class, steps) in steps {
            let look = look_of(&ROWS, &class.rows);
            let stroke = Stroke { color: look.color, width: LINE, dash: look.dash };
            for run in steps {
                canvas.line(run, stroke);
            }
        }
        let at = x.at(content.threshold);
        canvas.line(vec![(at, panel.bottom), (at, panel.top)], threshold());
        panel.x_axis(
            &mut canvas,
            &x,
            &ticks(x.low, x.high, 6, 0.0),
            Some("score, pooled standard deviations"),
        );
        panel.y_axis(&mut canvas, &y, &numbers, panel.is_leftmost.then_some("rows"));
    }
    legend.draw(&mut canvas, page.bottom + 3.0);
    Ok(canvas)
}

fn notes(content: &Content, panel: &Panel) -> Vec<String> {
    let with_names: Vec<String> =
        content.classes.iter().map(|class| format!("{} {}", class.n, class.rows)).collect();
    let bare: Vec<String> = content.classes.iter().map(|class| class.n.to_string()).collect();
    let variants = [format!("n = {}", with_names.join(", ")), format!("n = {}", bare.join(" / "))];
    let place = [
        format!("{}, threshold {:.2}", content.place, unsigned_zero(content.threshold)),
        content.place.clone(),
    ];
    vec![
        first_that_fits(&variants, panel.width(), BODY),
        first_that_fits(&place.map(|text| text.replace('-', "−")), panel.width(), BODY),
    ]
}

/// A threshold that prints as 0.00 gets no sign.
fn unsigned_zero(value: f64) -> f64 {
    if value.abs() < 0.005 { 0.0 } else { value }
}

fn threshold() -> Stroke {
    Stroke { color: Color::BLACK, width: 0.75, dash: Dash::DashDot }
}

fn fill(rows: &str, look: Look) -> Ink {
    // Topic-only rows are the control: an outline over the two classes.
    look.color.faint(if rows == "topic-only" { 0.0 } else { 0.25 })
}

/// Steps over neighboring bins that hold rows, down to the axis at both ends of each run.
fn steps(class: &Class, (x, y): (&Scale, &Scale)) -> Vec<Vec<Point>> {
    let filled: Vec<&(f64, f64, i64)> = class.bins.iter().filter(|(_, _, count)| *count > 0).collect();
    let neighbors = |a: &&(f64, f64, i64), b: &&(f64, f64, i64)| (b.0 - a.1).abs() <= 1e-6 * (a.1 - a.0);
    let run = |bins: &[&(f64, f64, i64)]| {
        let ends = [bins[0].0, bins[bins.len() - 1].1].map(|edge| (x.at(edge), y.at(0.0)));
        let tops = bins
            .iter()
            .flat_map(|(low, high, count)| [*low, *high].map(|edge| (x.at(edge), y.at(*count as f64))));
        std::iter::once(ends[0]).chain(tops).chain([ends[1]]).collect()
    };
    filled.chunk_by(neighbors).map(run).collect()
}

fn fill_steps(canvas: &mut Canvas, class: &Class, steps: &[Vec<Point>]) {
    let ink = fill(&class.rows, look_of(&ROWS, &class.rows));
    if ink.opacity > 0.0 {
        for run in steps {
            canvas.fill(run.clone(), ink);
        }
    }
}

fn legend(contents: &[Content]) -> Legend {
    let classes =
        distinct(contents.iter().flat_map(|content| content.classes.iter().map(|c| c.rows.clone())));
    let mut items: Vec<Item> = classes
        .into_iter()
        .map(|rows| {
            let look = look_of(&ROWS, &rows);
            let edge = Stroke { color: look.color, width: LINE, dash: look.dash };
            (Sample::Band { ink: fill(&rows, look), edge }, rows)
        })
        .collect();
    items.push((Sample::Rule(threshold()), "threshold".into()));
    Legend(vec![items])
}

fn caption(contents: &[Content], spec: &HistogramSpec) -> Caption {
    let names: Vec<String> =
        contents.iter().map(|content| format!("{} ({})", content.behavior, content.place)).collect();
    let ns: Vec<String> = contents
        .iter()
        .map(|content| {
            let classes: Vec<String> =
                content.classes.iter().map(|class| format!("{} {}", class.n, class.rows)).collect();
            format!("{}: n = {}", content.behavior, classes.join(", "))
        })
        .collect();
    Caption {
        what: format!("Scores of rows along the {} direction: {}", spec.method, names.join(", ")),
        n: ns.join("; "),
        intervals: String::new(),
        notes: vec![
            "Scores are in units of the pooled standard deviation of the rows that the direction was fit on"
                .into(),
        ],
    }
}
