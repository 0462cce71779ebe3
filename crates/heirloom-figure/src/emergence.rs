//! How a behavior comes up during training: rate and projection by step, a line per arm.

use std::collections::BTreeMap;

use heirloom_record::{HookPoint, Metric};
use serde::{Deserialize, Serialize};

use crate::arm::{Arm, BehaviorArms, Quantity, Role, looks, source};
use crate::axes::{Grid, Page, Panel, Scale, beside, ticks};
use crate::beside::{Beside, draw_mark, draw_null, mark_item, null_item, null_note};
use crate::canvas::{Canvas, Stroke};
use crate::caption::capital;
use crate::legend::{Item, Legend, Sample};
use crate::marks::{self, given, reached};
use crate::mean::{Mean, behind, kinds, mean, of_behavior, track};
use crate::place::{End, name_ends, room_for};
use crate::select::distinct;
use crate::steps::Steps;
use crate::style::{BODY, Color, Look, MARGIN, TITLE};
use crate::text::first_that_fits;
use crate::{Caption, Figure, Picture, Result};

/// Height of a panel, in points.
const HEIGHT: f64 = 84.0;

/// Which rows a figure of emergence shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmergenceSpec {
    /// A column per behavior, a line per arm.
    pub columns: Vec<BehaviorArms>,
    /// Quantities, a row of panels each.
    #[serde(default = "rate_and_projection")]
    pub tracks: Vec<Quantity>,
    /// Checkpoints that every arm has to have; those that the table has when empty.
    #[serde(default)]
    pub steps: Vec<i64>,
    /// A model whose first quantity is drawn as a level.
    #[serde(default)]
    pub base: Option<Arm>,
    /// What controls gave for a quantity, by its metric: bands behind the first arm of a column.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nulls: BTreeMap<String, Vec<Beside>>,
    /// When the first quantity moves: rows of the first arm of a column whose value is a step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Beside>,
}

fn rate_and_projection() -> Vec<Quantity> {
    vec![Quantity::rate(), Quantity::projection()]
}

impl EmergenceSpec {
    /// Rate above projection at every checkpoint.
    pub fn new(columns: Vec<BehaviorArms>) -> Self {
        Self {
            columns,
            tracks: rate_and_projection(),
            steps: vec![],
            base: None,
            nulls: BTreeMap::new(),
            marks: vec![],
        }
    }

    /// What controls gave for a quantity.
    fn nulls_of(&self, quantity: &Quantity) -> &[Beside] {
        self.nulls.get(&quantity.metric).map_or(&[], Vec::as_slice)
    }

    /// The names of all controls, each once; those of a name look alike.
    fn controls(&self) -> Vec<String> {
        distinct(
            self.tracks.iter().flat_map(|quantity| self.nulls_of(quantity)).map(|null| null.label.clone()),
        )
    }
}

/// One arm's numbers by step.
struct Line<'a> {
    label: &'a str,
    look: Look,
    points: Vec<(i64, Mean)>,
}

/// One panel.
struct Content<'a> {
    lines: Vec<Line<'a>>,
    base: Option<Mean>,
    /// By place among the names of all controls.
    nulls: Vec<(usize, Vec<(i64, Mean)>)>,
    /// By place among the marks: the step, where there is one.
    marks: Vec<Option<i64>>,
    /// Where in the model.
    block: Option<usize>,
}

impl<'a> Content<'a> {
    fn means(&self) -> impl Iterator<Item = &Mean> + Clone {
        self.lines.iter().flat_map(|line| line.points.iter().map(|(_, mean)| mean))
    }

    /// Of the controls with this place.
    fn null(&self, control: usize) -> impl Iterator<Item = &Mean> + Clone {
        let own = self.nulls.iter().filter(move |(index, _)| *index == control);
        own.flat_map(|(_, band)| band.iter().map(|(_, mean)| mean))
    }

    /// Its lines with the places of their points. The arms of a single step stand side by side.
    fn tracks(&self, steps: &Steps) -> Vec<(&Line<'a>, Vec<(f64, &Mean)>)> {
        let slots = self.lines.len() as f64;
        let aside = |slot: usize| if steps.is_single() { (slot as f64 + 0.5) / slots - 0.5 } else { 0.0 };
        self.lines
            .iter()
            .enumerate()
            .map(|(slot, line)| {
                let places = line.points.iter().map(|(step, mean)| (steps.place(*step) + aside(slot), mean));
                (line, places.collect())
            })
            .collect()
    }
}

/// Where steps and numbers stand in a panel.
type Scales<'a> = (&'a Steps, &'a Scale, &'a Scale);

/// Draws quantities by training step: a column per behavior, a row per quantity, a line per arm with its interval
/// as a band and its seeds as faint points, before what controls gave.
///
/// # Errors
/// Names the behavior, arm, step or seed that the table has no rows for; rows that differ in a column that the
/// quantity does not name; two rows for one point; numbers that are not finite; more panels than a page has room for.
pub fn emergence(rows: &[Metric], spec: &EmergenceSpec) -> Result<Figure> {
    let looks = looks(spec.columns.iter().flat_map(|column| &column.arms));
    let content = |column, track| content(rows, spec, column, track, &looks);
    let stacks: Vec<Vec<Content<'_>>> = spec
        .columns
        .iter()
        .map(|column| (0..spec.tracks.len()).map(|track| content(column, track)).collect())
        .collect::<Result<_>>()?;
    let canvas = draw(&stacks, spec, &looks)?;
    let caption = caption(&stacks, spec);
    Ok(Figure { picture: Picture::new(canvas, caption.what.clone()), caption })
}

fn content<'a>(
    rows: &[Metric],
    spec: &EmergenceSpec,
    column: &'a BehaviorArms,
    level: usize,
    looks: &[(&str, Look)],
) -> Result<Content<'a>> {
    let here = of_behavior(rows, &spec.tracks[level], &column.behavior.name)?;
    let line = |arm: &'a Arm| {
        let (_, look) = looks.iter().find(|(label, _)| *label == arm.label).expect("every label has a look");
        Ok(Line { label: &arm.label, look: *look, points: track(&here, arm, &spec.steps)? })
    };
    let lines = column.arms.iter().map(line).collect::<Result<_>>()?;
    let base = spec.base.as_ref().filter(|_| level == 0).map(|arm| mean(&here, arm)).transpose()?;
    let block = here.rows[0].hook.and_then(HookPoint::layer);
    let (quantity, controls) = (&spec.tracks[level], spec.controls());
    let Some(first) = column.arms.first() else {
        return Ok(Content { lines, base, nulls: vec![], marks: vec![], block });
    };
    let place = (column.behavior.name.as_str(), first);
    let null = |null: &Beside| {
        let index = controls.iter().position(|label| *label == null.label).expect("it is one of them");
        Ok((index, null.band(rows, quantity, place, &spec.steps)?))
    };
    let nulls = spec.nulls_of(quantity).iter().map(null).collect::<Result<_>>()?;
    let marks = spec.marks.iter().filter(|_| level == 0).map(|mark| mark.step(rows, quantity, place));
    Ok(Content { lines, base, nulls, marks: marks.collect::<Result<_>>()?, block })
}

fn draw(stacks: &[Vec<Content<'_>>], spec: &EmergenceSpec, looks: &[(&str, Look)]) -> Result<Canvas> {
    let levels: Vec<Scale> = (0..spec.tracks.len()).map(|level| vertical(stacks, spec, level)).collect();
    let numbers: Vec<_> = levels.iter().map(|scale| ticks(scale.low, scale.high, 6, 0.0)).collect();
    let lines = stacks.iter().flatten().flat_map(|content| &content.lines);
    let steps = Steps::new(lines.flat_map(|line| line.points.iter().map(|(step, _)| *step)));
    let columns = match stacks.len() {
        0..=3 => stacks.len().max(1),
        4 => 2,
        _ => 3,
    };
    let room = if columns == 3 { 54.0 } else { 84.0 };
    let labels = looks.iter().map(|(label, _)| *label).filter(|label| !label.is_empty());
    let direct = if labels.clone().next().is_some() { room_for(labels, HEIGHT, room) } else { Some(0.0) };
    let legend = legend(stacks, spec, looks, (direct.is_some(), &steps));
    let widest = numbers.iter().map(|numbers| beside(numbers)).fold(0.0, f64::max);
    let page = Page::grid(&Grid {
        columns,
        stacked: spec.tracks.len(),
        after: direct.unwrap_or(0.0),
        ..Grid::new(stacks.len(), 1, HEIGHT, widest)
    })?;
    let mut canvas = Canvas::new(page.width, page.bottom + 3.0 + legend.height(page.width) + MARGIN);
    for (index, panel) in page.panels.iter().enumerate() {
        let (column, level) = (index / spec.tracks.len(), index % spec.tracks.len());
        let (content, quantity) = (&stacks[column][level], &spec.tracks[level]);
        let note = note(content, quantity, panel);
        if level == 0 {
            panel.header(&mut canvas, &spec.columns[column].behavior.label, &[note]);
        } else {
            panel.subheader(&mut canvas, &note);
        }
        let x = steps.scale(panel.left, panel.right);
        let y = Scale { from: panel.bottom, to: panel.top, ..levels[level] };
        draw_content(&mut canvas, content, quantity, panel, (&steps, &x, &y));
        if direct.is_some() {
            name_ends(&mut canvas, panel, &ends(content, (&steps, &x, &y)));
        }
        let last = level + 1 == spec.tracks.len();
        panel.x_axis(&mut canvas, &x, &steps.ticks(&x), last.then_some("training step"));
        panel.y_axis(&mut canvas, &y, &numbers[level], panel.is_leftmost.then_some(&quantity.axis));
    }
    legend.draw(&mut canvas, page.bottom + 3.0);
    Ok(canvas)
}

/// Block, counts and seeds, as far as they fit.
fn note(content: &Content<'_>, quantity: &Quantity, panel: &Panel) -> String {
    let counts = behind(content.means(), &quantity.unit);
    let placed = content.block.map(|block| match counts.as_str() {
        "" => format!("block {block}"),
        counts => format!("block {block}, {counts}"),
    });
    // Room for the letter of a panel, which stands before its note.
    let room = panel.beyond - panel.left - TITLE;
    first_that_fits(&placed.into_iter().chain([counts]).collect::<Vec<_>>(), room, BODY)
}

/// The axis that the panels of one quantity share.
fn vertical(stacks: &[Vec<Content<'_>>], spec: &EmergenceSpec, level: usize) -> Scale {
    let quantity = &spec.tracks[level];
    let nulls = |stack: &'_ [Content<'_>]| -> Vec<Mean> {
        stack[level].nulls.iter().flat_map(|(_, band)| band.iter().map(|(_, mean)| mean.clone())).collect()
    };
    let nulls: Vec<Mean> = stacks.iter().flat_map(|stack| nulls(stack)).collect();
    let shown = stacks.iter().flat_map(|stack| stack[level].means().chain(&stack[level].base)).chain(&nulls);
    let numbers = shown.flat_map(Mean::numbers).chain(quantity.level.iter().map(|(level, _)| *level));
    Scale::around(quantity.range, numbers)
}

fn draw_content(
    canvas: &mut Canvas,
    content: &Content<'_>,
    quantity: &Quantity,
    panel: &Panel,
    (steps, x, y): Scales<'_>,
) {
    for (index, band) in &content.nulls {
        draw_null(canvas, *index, band, (steps, x, y));
    }
    if let Some((level, _)) = quantity.level {
        panel.across(canvas, y.at(level), given());
    }
    for (index, step) in content.marks.iter().enumerate() {
        let Some(step) = step.filter(|step| steps.reaches(*step)) else { continue };
        // Those of one step stand side by side.
        let aside = content.marks[..index].iter().filter(|other| **other == Some(step)).count();
        draw_mark(canvas, index, panel, x.at(steps.place(step)) + 1.8 * aside as f64);
    }
    if let Some(value) = content.base.as_ref().and_then(|base| base.over_seeds.value) {
        panel.across(canvas, y.at(value), reached(Role::Base));
    }
    // The first arm is drawn last, above the others.
    let tracks: Vec<_> = content.tracks(steps).into_iter().rev().collect();
    for (line, track) in &tracks {
        marks::band(canvas, track, line.look.color.faint(faint(tracks.len())), (x, y));
    }
    for (line, track) in &tracks {
        marks::seeds(canvas, track, line.look.color, 0.0, (x, y));
    }
    for (line, track) in &tracks {
        marks::line(canvas, track, line.look, (x, y));
    }
}

/// Opacity of each of `count` bands.
fn faint(count: usize) -> f64 {
    (0.8 / count.max(1) as f64).clamp(0.06, 0.15)
}

/// Where lines end, for their labels.
fn ends<'a>(content: &Content<'a>, (steps, x, y): Scales<'_>) -> Vec<End<'a>> {
    let end = |(line, track): (&Line<'a>, Vec<(f64, &Mean)>)| {
        let last = track.iter().rev().find_map(|(place, mean)| Some((*place, mean.over_seeds.value?)));
        let (place, value) = last?;
        let end = End { at: (x.at(place), y.at(value)), label: line.label, look: line.look };
        (!line.label.is_empty()).then_some(end)
    };
    content.tracks(steps).into_iter().filter_map(end).collect()
}

fn legend(
    stacks: &[Vec<Content<'_>>],
    spec: &EmergenceSpec,
    looks: &[(&str, Look)],
    (is_direct, steps): (bool, &Steps),
) -> Legend {
    let means = || stacks.iter().flatten().flat_map(Content::means);
    let has_bands = means().any(|mean| mean.over_seeds.interval.is_some());
    let mut groups: Vec<Vec<Item>> = vec![];
    if !is_direct {
        let ribbon = |look: Look| has_bands.then(|| look.color.faint(faint(looks.len())));
        let line = |(label, look): &(&str, Look)| {
            (Sample::Line { look: *look, ribbon: ribbon(*look) }, (*label).to_owned())
        };
        groups.push(looks.iter().map(line).collect());
    }
    let mut items: Vec<Item> = vec![];
    if has_bands && is_direct {
        let alone = looks.iter().find(|(label, _)| label.is_empty()).map(|(_, look)| look.color);
        let ink = alone.unwrap_or(Color::BLACK).faint(0.15);
        let band = Sample::Band { ink, edge: Stroke::solid(Color::BLACK, 0.0) };
        let look = Look { color: Color::BLACK, ..Role::Full.look() };
        let sample = if steps.is_single() { Sample::Mean(look) } else { band };
        items.push((sample, "interval of the mean".into()));
    }
    if means().any(|mean| !mean.seeds.is_empty()) {
        items.push((Sample::Seeds, "single seeds".into()));
    }
    if let Some(base) = &spec.base {
        items.push((Sample::Rule(reached(Role::Base)), base.label.clone()));
    }
    for (_, name) in spec.tracks.iter().filter_map(|quantity| quantity.level.as_ref()) {
        items.push((Sample::Rule(given()), name.clone()));
    }
    let controls = spec.controls();
    let stacked = || stacks.iter().flatten();
    let is_shown = |index: &usize| stacked().any(|content| content.null(*index).next().is_some());
    let bands = (0..controls.len()).filter(is_shown).map(|index| null_item(index, &controls[index]));
    let marked = |index: usize| stacked().filter_map(move |content| *content.marks.get(index)?);
    let is_reached = |index: &usize| marked(*index).any(|step| steps.reaches(step));
    let marks =
        (0..spec.marks.len()).filter(is_reached).map(|index| mark_item(index, &spec.marks[index].label));
    groups.extend([items, bands.collect(), marks.collect()]);
    Legend(groups)
}

fn caption(stacks: &[Vec<Content<'_>>], spec: &EmergenceSpec) -> Caption {
    let behaviors: Vec<&str> = spec.columns.iter().map(|column| column.behavior.label.as_str()).collect();
    let names: Vec<&str> = spec.tracks.iter().map(Quantity::name).collect();
    let of_track = |level: usize| stacks.iter().flat_map(move |stack| stack[level].means());
    let named = |text: &dyn Fn(usize) -> String| -> String {
        let said = spec.tracks.iter().enumerate().map(|(level, quantity)| (quantity, text(level)));
        let said = said.filter(|(_, text)| !text.is_empty());
        said.map(|(quantity, text)| format!("{}: {text}", quantity.metric)).collect::<Vec<_>>().join("; ")
    };
    let of_levels = distinct((0..spec.tracks.len()).map(|level| kinds(of_track(level))));
    let bands = match &of_levels[..] {
        [alike] => alike.clone(),
        _ => named(&|level| kinds(of_track(level))),
    };
    let steps = Steps::new(stacks.iter().flatten().flat_map(Content::means).filter_map(|mean| mean.step));
    let mut notes = vec![format!("Steps are spaced by {}", steps.spacing())];
    for (index, label) in spec.controls().iter().enumerate() {
        let means: Vec<&Mean> = stacks.iter().flatten().flat_map(|content| content.null(index)).collect();
        notes.push(null_note(label, means.iter().copied()));
    }
    for (index, mark) in spec.marks.iter().enumerate() {
        let steps = stacks
            .iter()
            .map(|stack| stack[0].marks[index].map_or("never".into(), |step| format!("from step {step}")));
        notes.push(format!("{}: {}", capital(&mark.label), steps.collect::<Vec<String>>().join(", ")));
    }
    notes.push(source(&spec.tracks));
    Caption {
        what: format!(
            "{} by training step, a line per arm: {}",
            capital(&names.join(" and ")),
            behaviors.join(", ")
        ),
        n: named(&|level| behind(of_track(level), &spec.tracks[level].unit)),
        intervals: if bands.is_empty() { bands } else { format!("Bands: {bands}") },
        notes,
    }
}
