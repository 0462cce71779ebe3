//! Rate over the share of rows swapped, beside arms that swap chosen rows.

use heirloom_record::Metric;
use serde::{Deserialize, Serialize};

use crate::arm::{Arm, Behavior, Quantity, Role, source};
use crate::axes::{Grid, Page, Panel, Scale, Tick, beside, ticks};
use crate::canvas::{Canvas, Stroke};
use crate::caption::capital;
use crate::legend::{Item, Legend, Sample};
use crate::marks::{self, given, reached};
use crate::mean::{Mean, behind, kinds, mean, of_behavior};
use crate::select::{BEHAVIOR, Measured, Selection, distinct, place};
use crate::style::{BODY, Color, Look, MARGIN, Marker};
use crate::text::{self, Weight, first_that_fits};
use crate::{Caption, Error, Figure, Picture, Result};

/// Height of a panel, in points.
const HEIGHT: f64 = 96.0;
/// Opacity of the band.
const FAINT: f64 = 0.2;
/// Seeds of an arm that stands alone stand this far beside it.
const ASIDE: f64 = 3.4;

/// An arm and the share of its rows that was swapped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// From 0 to 1.
    pub fraction: f64,
    /// The arm.
    pub arm: Arm,
}

/// What is drawn for one behavior.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BehaviorShares {
    /// The behavior.
    pub behavior: Behavior,
    /// Random shares, joined by a line.
    #[serde(default)]
    pub random: Vec<Share>,
    /// Other random subsets of the same sizes, beside the line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redrawn: Vec<Share>,
    /// Arms that stand alone: chosen rows, or a control of the same size.
    #[serde(default)]
    pub alone: Vec<Share>,
}

/// Which rows a figure of interpolation shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterpolationSpec {
    /// A panel per behavior.
    pub panels: Vec<BehaviorShares>,
    /// A model drawn as a level.
    #[serde(default)]
    pub base: Option<Arm>,
    /// What is drawn.
    #[serde(default = "Quantity::rate")]
    pub quantity: Quantity,
    /// The metric whose row of a behavior, over seeds, is said above its panel: the area of the trapezoids through the
    /// shares, all draws of one averaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<String>,
}

impl InterpolationSpec {
    /// Rates of arms at their last checkpoints.
    pub fn new(panels: Vec<BehaviorShares>) -> Self {
        Self { panels, base: None, quantity: Quantity::rate(), area: None }
    }
}

/// One panel; random shares by fraction.
struct Content<'a> {
    random: Vec<(f64, Mean)>,
    redrawn: Vec<(f64, Mean)>,
    area: Option<String>,
    alone: Vec<(f64, &'a Arm, Mean)>,
    base: Option<Mean>,
}

impl Content<'_> {
    fn means(&self) -> impl Iterator<Item = &Mean> + Clone {
        let mixed = self.random.iter().chain(&self.redrawn);
        mixed.map(|(_, mean)| mean).chain(self.alone.iter().map(|(_, _, mean)| mean))
    }
}

/// Draws the rate over the share of rows swapped at random, and arms that stand alone at their own share.
///
/// # Errors
/// Names the behavior, arm, step or seed that the table has no rows for; rows that differ in a column that the
/// quantity does not name; two rows for one point; numbers that are not finite; more panels than a page has room for.
pub fn interpolation(rows: &[Metric], spec: &InterpolationSpec) -> Result<Figure> {
    let contents: Vec<Content<'_>> =
        spec.panels.iter().map(|panel| content(rows, spec, panel)).collect::<Result<_>>()?;
    let canvas = draw(&contents, spec)?;
    let caption = caption(&contents, spec);
    Ok(Figure { picture: Picture::new(canvas, caption.what.clone()), caption })
}

fn content<'a>(rows: &[Metric], spec: &InterpolationSpec, panel: &'a BehaviorShares) -> Result<Content<'a>> {
    let here = of_behavior(rows, &spec.quantity, &panel.behavior.name)?;
    let measured = |share: &'a Share| {
        let Share { fraction, arm } = share;
        if !fraction.is_finite() {
            let place = format!("the share of `{}`", arm.name);
            return Err(Error::NotFinite { metric: here.metric.clone(), place, value: *fraction });
        }
        Ok((*fraction, arm, mean(&here, arm)?))
    };
    let mut random: Vec<_> = panel.random.iter().map(measured).collect::<Result<_>>()?;
    random.sort_by(|a, b| a.0.total_cmp(&b.0));
    let alone = panel.alone.iter().map(measured).collect::<Result<_>>()?;
    let redrawn: Vec<_> = panel.redrawn.iter().map(measured).collect::<Result<_>>()?;
    let base = spec.base.as_ref().map(|arm| mean(&here, arm)).transpose()?;
    let area = spec.area.as_ref().map(|metric| area(rows, metric, &panel.behavior.name)).transpose()?;
    let places =
        |shares: Vec<(f64, &Arm, Mean)>| shares.into_iter().map(|(part, _, mean)| (part, mean)).collect();
    Ok(Content { random: places(random), redrawn: places(redrawn), area, alone, base })
}

/// A number that the table has for a behavior, with its interval, in words.
fn area(rows: &[Metric], metric: &str, behavior: &str) -> Result<String> {
    let chosen = Selection::of(rows, metric)?.within(BEHAVIOR, behavior, "of")?;
    let [row] = chosen.rows[..] else {
        return Err(Error::Twice { metric: metric.into(), place: place(chosen.rows[1]) });
    };
    let Measured { value, interval, .. } = Measured::of(row)?;
    let number = |value: f64| format!("{value:.2}").replace("-0.00", "0.00").replace('-', "−");
    let ends =
        interval.map(|(low, high)| format!(" [{}, {}]", number(low), number(high))).unwrap_or_default();
    Ok(format!("area {}{ends}", value.map_or("undefined".into(), number)))
}

fn draw(contents: &[Content<'_>], spec: &InterpolationSpec) -> Result<Canvas> {
    let shown = contents.iter().flat_map(|content| content.means().chain(&content.base));
    let numbers = shown.flat_map(Mean::numbers).chain(spec.quantity.level.iter().map(|(level, _)| *level));
    let level = Scale::around(spec.quantity.range, numbers);
    let numbers = ticks(level.low, level.high, 6, 0.0);
    let legend = legend(contents, spec);
    // The last number of an axis stands out beyond it.
    let lines = 1 + usize::from(spec.area.is_some());
    let page =
        Page::grid(&Grid { right: 4.0, ..Grid::new(contents.len(), lines, HEIGHT, beside(&numbers)) })?;
    let mut canvas = Canvas::new(page.width, page.bottom + 3.0 + legend.height(page.width) + MARGIN);
    for ((content, panel), of) in contents.iter().zip(&page.panels).zip(&spec.panels) {
        let shares =
            content.random.iter().map(|share| share.0).chain(content.alone.iter().map(|share| share.0));
        let x = Scale::around(Some((0.0, 1.0)), shares);
        let x = Scale { low: x.low * 100.0, high: x.high * 100.0, from: panel.left, to: panel.right };
        let y = Scale { from: panel.bottom, to: panel.top, ..level };
        let note = first_that_fits(&[behind(content.means(), &spec.quantity.unit)], panel.width(), BODY);
        let said: Vec<String> = [note].into_iter().chain(content.area.clone()).collect();
        panel.header(&mut canvas, &of.behavior.label, &said);
        draw_content(&mut canvas, content, &spec.quantity, panel, (&x, &y));
        panel.x_axis(&mut canvas, &x, &percents(content, &x), Some("prompts swapped, %"));
        panel.y_axis(&mut canvas, &y, &numbers, panel.is_leftmost.then_some(&spec.quantity.axis));
    }
    legend.draw(&mut canvas, page.bottom + 3.0);
    Ok(canvas)
}

fn draw_content(
    canvas: &mut Canvas,
    content: &Content<'_>,
    quantity: &Quantity,
    panel: &Panel,
    (x, y): (&Scale, &Scale),
) {
    if let Some((level, _)) = quantity.level {
        panel.across(canvas, y.at(level), given());
    }
    if let Some(value) = content.base.as_ref().and_then(|base| base.over_seeds.value) {
        panel.across(canvas, y.at(value), reached(Role::Base));
    }
    for (fraction, _, _) in &content.alone {
        panel.upright(canvas, x.at(fraction * 100.0), Stroke { color: Color::GRAY, ..given() });
    }
    let look = Role::Mix.look();
    let track: Vec<_> = content.random.iter().map(|(fraction, mean)| (fraction * 100.0, mean)).collect();
    marks::band(canvas, &track, look.color.faint(FAINT), (x, y));
    marks::seeds(canvas, &track, look.color, 0.0, (x, y));
    marks::line(canvas, &track, look, (x, y));
    // Another subset of one size stands just beside it.
    let open = Look { marker: Marker::Ring, ..look };
    for (index, (fraction, mean)) in content.redrawn.iter().enumerate() {
        let Some(value) = mean.over_seeds.value else { continue };
        let aside = if index % 2 == 0 { ASIDE } else { -ASIDE };
        let (place, at) = (fraction * 100.0, x.at(fraction * 100.0) + aside);
        marks::seeds(canvas, &[(place, mean)], look.color, 2.0 * aside, (x, y));
        let ends = mean.over_seeds.interval.map(|(low, high)| [(at, y.at(low)), (at, y.at(high))]);
        marks::whisker(canvas, (at, y.at(value)), ends, open);
    }
    // The first is drawn last, above the others.
    for (fraction, arm, mean) in content.alone.iter().rev() {
        let (place, look) = (fraction * 100.0, arm.role.look());
        marks::seeds(canvas, &[(place, mean)], look.color, ASIDE, (x, y));
        let Some(value) = mean.over_seeds.value else { continue };
        let at = x.at(place);
        let ends = mean.over_seeds.interval.map(|(low, high)| [(at, y.at(low)), (at, y.at(high))]);
        marks::whisker(canvas, (at, y.at(value)), ends, look);
    }
}

/// Round shares, and those of arms that stand alone where there is room for their numbers.
fn percents(content: &Content<'_>, x: &Scale) -> Vec<Tick> {
    let width = |text: &str| text::width(text, BODY, Weight::Regular);
    let mut shown = ticks(x.low, x.high, 6, 0.0);
    for (fraction, _, _) in &content.alone {
        let tick = (fraction * 100.0, percent(*fraction));
        let apart = |(value, text): &Tick| {
            (x.at(*value) - x.at(tick.0)).abs() >= f64::midpoint(width(text), width(&tick.1)) + 2.0
        };
        if shown.iter().all(apart) {
            shown.push(tick);
        }
    }
    shown
}

/// A share in percent.
pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.1}", fraction * 100.0).trim_end_matches(".0").to_owned()
}

fn legend(contents: &[Content<'_>], spec: &InterpolationSpec) -> Legend {
    let look = Role::Mix.look();
    let has_band = contents
        .iter()
        .flat_map(|content| &content.random)
        .any(|(_, mean)| mean.over_seeds.interval.is_some());
    let ribbon = has_band.then(|| look.color.faint(FAINT));
    let mut items: Vec<Item> = vec![(Sample::Line { look, ribbon }, "random rows".into())];
    let mut seen: Vec<(&str, Look)> = vec![];
    for (_, arm, _) in contents.iter().flat_map(|content| &content.alone) {
        let item = (arm.label.as_str(), arm.role.look());
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    items.extend(seen.into_iter().map(|(label, look)| (Sample::Mean(look), label.to_owned())));
    if contents.iter().any(|content| !content.redrawn.is_empty()) {
        let open = Look { marker: Marker::Ring, ..look };
        items.push((Sample::Mean(open), "other random rows, as many".into()));
    }
    if contents.iter().flat_map(Content::means).any(|mean| !mean.seeds.is_empty()) {
        items.push((Sample::Seeds, "single seeds".into()));
    }
    items.extend(spec.base.iter().map(|base| (Sample::Rule(reached(Role::Base)), base.label.clone())));
    items.extend(spec.quantity.level.iter().map(|(_, name)| (Sample::Rule(given()), name.clone())));
    Legend(vec![items])
}

fn caption(contents: &[Content<'_>], spec: &InterpolationSpec) -> Caption {
    let means = || contents.iter().flat_map(Content::means);
    let behaviors: Vec<&str> = spec.panels.iter().map(|panel| panel.behavior.label.as_str()).collect();
    let kinds = kinds(means());
    let alone = spec.panels.iter().flat_map(|panel| &panel.alone);
    let alone = distinct(alone.map(|share| format!("{} at {} %", share.arm.label, percent(share.fraction))));
    let mut notes = vec![];
    if !alone.is_empty() {
        notes.push(format!("Apart from the line: {}", alone.join(", ")));
    }
    if spec.area.is_some() {
        let is_redrawn = contents.iter().any(|content| !content.redrawn.is_empty());
        let averaged =
            if is_redrawn { ", all draws of a share averaged (the line has the first)" } else { "" };
        notes.push(format!("Area: of the trapezoids through the shares from 0 to 100 %{averaged}"));
    }
    notes.push(source([&spec.quantity]));
    Caption {
        what: format!(
            "{} over the share of rows swapped at random: {}",
            capital(spec.quantity.name()),
            behaviors.join(", ")
        ),
        n: behind(means(), &spec.quantity.unit),
        intervals: if kinds.is_empty() { kinds } else { format!("Band and whiskers: {kinds}") },
        notes,
    }
}
