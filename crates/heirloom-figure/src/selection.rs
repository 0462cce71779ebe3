//! How well rankers choose: what of a behavior is removed over the share of prompts swapped, a line per ranker.

use heirloom_record::Metric;
use serde::{Deserialize, Serialize};

use crate::arm::{Behavior, Quantity, source, varied};
use crate::axes::{Grid, Page, Panel, Scale, Tick, beside, ticks};
use crate::canvas::{Canvas, Stroke};
use crate::caption::capital;
use crate::interpolation::{Share, percent};
use crate::legend::{Item, Legend, Sample};
use crate::marks::{self, given};
use crate::mean::{Mean, behind, kinds, mean, of_behavior};
use crate::place::{End, name_ends, room_for};
use crate::select::distinct;
use crate::style::{BODY, CONTROL, Color, LINE, Look, MARGIN, RANKERS, look_of};
use crate::text::{self, Weight, first_that_fits};
use crate::{Caption, Error, Figure, Picture, Result};

/// Height of a panel, in points.
const HEIGHT: f64 = 96.0;
/// Rankers at one share stand at most this far beside each other.
const ASIDE: f64 = 4.4;

/// What ranks prompts, and the arms that swap those it puts first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranker {
    /// As the `method` of the table says; fixes its look, see [`RANKERS`].
    pub method: String,
    /// As the figure says.
    pub label: String,
    /// Arms and the share of prompts that each swaps.
    pub shares: Vec<Share>,
}

impl Ranker {
    /// A ranker with its name in words.
    pub fn new(method: impl Into<String>, shares: Vec<Share>) -> Self {
        let method = method.into();
        let label = match method.as_str() {
            "random-equal-length" => "random of equal length".into(),
            "projection-difference-answers" => "projection difference, answers".into(),
            other => other.replace('-', " "),
        };
        Self { method, label, shares }
    }
}

/// A behavior and the rankers drawn for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BehaviorRankers {
    /// The behavior.
    pub behavior: Behavior,
    /// Its rankers, in the order in which they are listed.
    pub rankers: Vec<Ranker>,
}

/// Which rows a figure of selection shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectionSpec {
    /// A panel per behavior.
    pub panels: Vec<BehaviorRankers>,
    /// What is drawn; its method is that of each ranker.
    pub quantity: Quantity,
}

impl SelectionSpec {
    /// What is removed of what could be: `selection_removed`.
    pub fn new(panels: Vec<BehaviorRankers>) -> Self {
        let quantity = Quantity {
            level: Some((0.0, "nothing removed".into())),
            ..Quantity::share("selection_removed", "behavior removed, share")
        };
        Self { panels, quantity }
    }
}

/// One ranker's numbers by share, in percent.
struct Line<'a> {
    label: &'a str,
    look: Look,
    points: Vec<(f64, Mean)>,
}

/// One panel.
type Content<'a> = Vec<Line<'a>>;

fn means<'a>(content: &'a Content<'_>) -> impl Iterator<Item = &'a Mean> + Clone {
    content.iter().flat_map(|line| line.points.iter().map(|(_, mean)| mean))
}

/// Draws what of a behavior is removed over the share of prompts swapped: a panel per behavior, a line per ranker,
/// each number on its interval with its seeds as faint points. Rankers stand side by side at a share.
///
/// # Errors
/// Names the behavior, ranker, arm, step or seed that the table has no rows for; rows that differ in a column that
/// the quantity does not name; two rows or shares for one point; numbers that are not finite; more panels than a page
/// has room for.
pub fn selection(rows: &[Metric], spec: &SelectionSpec) -> Result<Figure> {
    let contents: Vec<Content<'_>> =
        spec.panels.iter().map(|panel| content(rows, spec, panel)).collect::<Result<_>>()?;
    let canvas = draw(&contents, spec)?;
    let caption = caption(&contents, spec);
    Ok(Figure { picture: Picture::new(canvas, caption.what.clone()), caption })
}

fn content<'a>(rows: &[Metric], spec: &SelectionSpec, panel: &'a BehaviorRankers) -> Result<Content<'a>> {
    let line = |(slot, ranker): (usize, &'a Ranker)| {
        let quantity = Quantity { method: Some(ranker.method.clone()), ..spec.quantity.clone() };
        let here = of_behavior(rows, &quantity, &panel.behavior.name)?;
        let mut points: Vec<(f64, Mean)> = vec![];
        for Share { fraction, arm } in &ranker.shares {
            let place = format!("the share of `{}` by {}", arm.name, ranker.method);
            if !fraction.is_finite() {
                return Err(Error::NotFinite { metric: here.metric, place, value: *fraction });
            }
            // Adding 0 turns -0 into 0.
            let percent = fraction * 100.0 + 0.0;
            if points.iter().any(|(other, _)| other.total_cmp(&percent).is_eq()) {
                return Err(Error::Twice { metric: here.metric, place });
            }
            points.push((percent, mean(&here, arm)?));
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(Line { label: &ranker.label, look: look(&panel.rankers[..slot], ranker), points })
    };
    panel.rankers.iter().enumerate().map(line).collect()
}

/// How a ranker looks; those that the style does not know look like controls, each in its own way.
fn look(before: &[Ranker], ranker: &Ranker) -> Look {
    let is_known = |method: &str| RANKERS.iter().any(|(known, _)| *known == method);
    if is_known(&ranker.method) {
        return look_of(&RANKERS, &ranker.method);
    }
    // The first after the random ones, which are controls.
    varied(CONTROL, 1 + before.iter().filter(|other| !is_known(&other.method)).count())
}

fn draw(contents: &[Content<'_>], spec: &SelectionSpec) -> Result<Canvas> {
    let level = spec.quantity.level.iter().map(|(level, _)| *level);
    let numbers = contents.iter().flat_map(means).flat_map(Mean::numbers).chain(level);
    let level = Scale::around(spec.quantity.range, numbers);
    let numbers = ticks(level.low, level.high, 6, 0.0);
    let grid = Grid::new(contents.len(), 1, HEIGHT, beside(&numbers));
    let columns = if contents.len() == 4 { 2 } else { grid.columns.min(3) };
    let labels = distinct(contents.iter().flatten().map(|line| line.label.to_owned()));
    let room = if columns == 3 { 54.0 } else { 84.0 };
    let direct = room_for(labels.iter().map(String::as_str), HEIGHT, room);
    let legend = legend(contents, spec, direct.is_some());
    // The last number of an axis stands out beyond it.
    let page = Page::grid(&Grid { columns, after: direct.unwrap_or(0.0), right: 4.0, ..grid })?;
    let mut canvas = Canvas::new(page.width, page.bottom + 3.0 + legend.height(page.width) + MARGIN);
    for ((content, panel), of) in contents.iter().zip(&page.panels).zip(&spec.panels) {
        let x = across(content, panel);
        let y = Scale { from: panel.bottom, to: panel.top, ..level };
        let note = first_that_fits(&[behind(means(content), &spec.quantity.unit)], panel.width(), BODY);
        panel.header(&mut canvas, &of.behavior.label, &[note]);
        if let Some((level, _)) = spec.quantity.level {
            panel.across(&mut canvas, y.at(level), given());
        }
        draw_content(&mut canvas, content, (&x, &y));
        if direct.is_some() {
            name_ends(&mut canvas, panel, &ends(content, (&x, &y)));
        }
        panel.x_axis(&mut canvas, &x, &percents(content, &x), Some("prompts swapped, %"));
        panel.y_axis(&mut canvas, &y, &numbers, panel.is_leftmost.then_some(&spec.quantity.axis));
    }
    legend.draw(&mut canvas, page.bottom + 3.0);
    Ok(canvas)
}

/// The shares of a panel, in percent and in order, each once.
fn shares(content: &Content<'_>) -> Vec<f64> {
    let mut shares: Vec<f64> =
        content.iter().flat_map(|line| line.points.iter().map(|(share, _)| *share)).collect();
    shares.sort_by(f64::total_cmp);
    shares.dedup();
    shares
}

/// Where shares stand: `log(1 + share / unit)`, as steps do, with the least share after 0 as the unit.
fn place(share: f64, unit: f64) -> f64 {
    (share.max(0.0) / unit).ln_1p()
}

fn unit(content: &Content<'_>) -> f64 {
    shares(content).into_iter().find(|share| *share > 0.0).unwrap_or(1.0)
}

/// From the least to the greatest share, with room for the rankers that stand side by side there.
fn across(content: &Content<'_>, panel: &Panel) -> Scale {
    let unit = unit(content);
    let x = Scale::around(None, shares(content).into_iter().map(|share| place(share, unit)));
    let beside = ASIDE * content.len() as f64 / 2.0;
    Scale { from: panel.left + beside, to: panel.right - beside, ..x }
}

/// A ranker's numbers, moved beside their shares: neighbors at one share stay nearer than those at the next.
fn track<'a>(content: &'a Content<'_>, slot: usize, x: &Scale) -> (f64, Vec<(f64, &'a Mean)>) {
    let unit = unit(content);
    let places: Vec<f64> = shares(content).into_iter().map(|share| x.at(place(share, unit))).collect();
    let nearest = places.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    let pitch = ASIDE.min(0.8 * nearest / content.len() as f64);
    let aside = (slot as f64 - (content.len() - 1) as f64 / 2.0) * pitch;
    let aside = aside * (x.high - x.low) / (x.to - x.from);
    let points = content[slot].points.iter().map(|(share, mean)| (place(*share, unit) + aside, mean));
    (pitch, points.collect())
}

fn draw_content(canvas: &mut Canvas, content: &Content<'_>, (x, y): (&Scale, &Scale)) {
    // The first ranker is drawn last, above the others.
    let tracks: Vec<_> = (0..content.len()).rev().map(|slot| (slot, track(content, slot, x))).collect();
    for (slot, (pitch, track)) in &tracks {
        let color = content[*slot].look.color;
        for (place, mean) in track {
            if let Some((low, high)) = mean.over_seeds.interval {
                let stroke = Stroke::solid(color.towards(Color::WHITE, 0.35), LINE);
                canvas.line(vec![(x.at(*place), y.at(low)), (x.at(*place), y.at(high))], stroke);
            }
        }
        marks::seeds(canvas, track, color, 0.42 * pitch, (x, y));
    }
    for (slot, (_, track)) in &tracks {
        marks::line(canvas, track, content[*slot].look, (x, y));
    }
}

/// Where lines end, for their labels.
fn ends<'a>(content: &Content<'a>, (x, y): (&Scale, &Scale)) -> Vec<End<'a>> {
    let end = |slot: usize| {
        let (_, track) = track(content, slot, x);
        let last = track.iter().rev().find_map(|(place, mean)| Some((*place, mean.over_seeds.value?)));
        let (place, value) = last?;
        Some(End { at: (x.at(place), y.at(value)), label: content[slot].label, look: content[slot].look })
    };
    (0..content.len()).filter_map(end).collect()
}

/// The shares whose numbers fit, from the greatest.
fn percents(content: &Content<'_>, x: &Scale) -> Vec<Tick> {
    let (unit, width) = (unit(content), |text: &str| text::width(text, BODY, Weight::Regular));
    let mut shown: Vec<Tick> = vec![];
    for share in shares(content).into_iter().rev() {
        let tick = (place(share, unit), percent(share / 100.0));
        let apart = |(value, text): &Tick| {
            (x.at(*value) - x.at(tick.0)).abs() >= f64::midpoint(width(text), width(&tick.1)) + 2.0
        };
        if shown.iter().all(apart) {
            shown.push(tick);
        }
    }
    shown
}

fn legend(contents: &[Content<'_>], spec: &SelectionSpec, is_direct: bool) -> Legend {
    let means = || contents.iter().flat_map(means);
    let mut lines: Vec<Item> = vec![];
    for line in contents.iter().flatten().filter(|_| !is_direct) {
        let item = (Sample::Line { look: line.look, ribbon: None }, line.label.to_owned());
        if !lines.contains(&item) {
            lines.push(item);
        }
    }
    let mut items: Vec<Item> = vec![];
    if means().any(|mean| mean.over_seeds.interval.is_some()) {
        items.push((Sample::Interval, "interval of the mean".into()));
    }
    if means().any(|mean| !mean.seeds.is_empty()) {
        items.push((Sample::Seeds, "single seeds".into()));
    }
    items.extend(spec.quantity.level.iter().map(|(_, name)| (Sample::Rule(given()), name.clone())));
    Legend(vec![lines, items])
}

fn caption(contents: &[Content<'_>], spec: &SelectionSpec) -> Caption {
    let means = || contents.iter().flat_map(means);
    let behaviors: Vec<&str> = spec.panels.iter().map(|panel| panel.behavior.label.as_str()).collect();
    let rankers = distinct(contents.iter().flatten().map(|line| line.label.to_owned()));
    let kinds = kinds(means());
    Caption {
        what: format!(
            "{} over the share of prompts swapped, by what chose them ({}): {}",
            capital(spec.quantity.name()),
            rankers.join(", "),
            behaviors.join(", ")
        ),
        n: behind(means(), &spec.quantity.unit),
        intervals: if kinds.is_empty() { kinds } else { format!("Whiskers: {kinds}") },
        notes: vec![
            "Rankers stand side by side at a share; shares are spaced by log(1 + share / least share)".into(),
            source([&spec.quantity]),
        ],
    }
}
