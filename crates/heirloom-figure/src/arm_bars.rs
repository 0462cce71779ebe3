//! Arms below each other, a panel per behavior: what swapping does and what dropping does.

use heirloom_record::Metric;
use serde::{Deserialize, Serialize};

use crate::arm::{Arm, BehaviorArms, Quantity, Role, source};
use crate::axes::{Grid, Page, Panel, Scale, ticks};
use crate::canvas::{Anchor, Canvas, Label, Stroke};
use crate::caption::capital;
use crate::legend::{Item, Legend, Sample};
use crate::marks::{given, reached, seed, whisker};
use crate::mean::{Mean, behind, kinds, mean, of_behavior};
use crate::place::apart;
use crate::style::{AXIS, BODY, Color, Look, MARGIN};
use crate::text::{self, Weight, first_that_fits};
use crate::{Caption, Error, Figure, Picture, Result};

/// From one arm to the next, in points.
const PITCH: f64 = 12.0;
/// Between groups of arms.
const GAP: f64 = 5.0;
/// Seeds stand this far below their mean.
const ASIDE: f64 = 3.4;
/// Arms that fit below each other.
const MOST_ARMS: usize = 40;

/// Which rows a figure of arms shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmBarsSpec {
    /// A panel per behavior, with its arms from top to bottom.
    pub panels: Vec<BehaviorArms>,
    /// Arms drawn as a level across every panel.
    #[serde(default)]
    pub references: Vec<Arm>,
    /// What is drawn.
    #[serde(default = "Quantity::rate")]
    pub quantity: Quantity,
}

impl ArmBarsSpec {
    /// Rates of arms at their last checkpoints.
    pub fn new(panels: Vec<BehaviorArms>) -> Self {
        Self { panels, references: vec![], quantity: Quantity::rate() }
    }
}

/// One panel.
struct Content<'a> {
    arms: Vec<(&'a Arm, Mean)>,
    references: Vec<(&'a Arm, Mean)>,
}

impl Content<'_> {
    fn means(&self) -> impl Iterator<Item = &Mean> + Clone {
        self.arms.iter().map(|(_, mean)| mean)
    }

    fn labels(&self) -> Vec<&str> {
        self.arms.iter().map(|(arm, _)| arm.label.as_str()).collect()
    }

    /// Where each arm stands below the top of its panel, and where the last one ends.
    fn places(&self) -> (Vec<f64>, f64) {
        let (mut places, mut y) = (vec![], GAP / 2.0);
        for (index, (arm, _)) in self.arms.iter().enumerate() {
            if index > 0 && group(arm.role) != group(self.arms[index - 1].0.role) {
                y += GAP;
            }
            places.push(y + PITCH / 2.0);
            y += PITCH;
        }
        (places, y + GAP / 2.0)
    }
}

/// Arms of one group stand together: an intervention and its random control.
fn group(role: Role) -> u8 {
    match role {
        Role::Full | Role::Opposite | Role::Prompts | Role::Base => 0,
        Role::Drop | Role::RandomDrop => 1,
        Role::Swap | Role::RandomSwap => 2,
        Role::Insert => 3,
        Role::Mix => 4,
        Role::Other => 5,
    }
}

/// Draws arms below each other: a point per arm on its interval, its seeds as faint points, levels of reference.
///
/// # Errors
/// Names the behavior, arm, step or seed that the table has no rows for; rows that differ in a column that the
/// quantity does not name; two rows for one point; numbers that are not finite; more panels or arms than a page has
/// room for.
pub fn arm_bars(rows: &[Metric], spec: &ArmBarsSpec) -> Result<Figure> {
    let contents: Vec<Content<'_>> =
        spec.panels.iter().map(|panel| content(rows, spec, panel)).collect::<Result<_>>()?;
    let canvas = draw(&contents, spec)?;
    let caption = caption(&contents, spec);
    Ok(Figure { picture: Picture::new(canvas, caption.what.clone()), caption })
}

fn content<'a>(rows: &[Metric], spec: &'a ArmBarsSpec, panel: &'a BehaviorArms) -> Result<Content<'a>> {
    if panel.arms.len() > MOST_ARMS {
        return Err(Error::TooMany { what: "arms", found: panel.arms.len(), most: MOST_ARMS });
    }
    let here = of_behavior(rows, &spec.quantity, &panel.behavior.name)?;
    let measured = |arm: &'a Arm| Ok((arm, mean(&here, arm)?));
    Ok(Content {
        arms: panel.arms.iter().map(measured).collect::<Result<_>>()?,
        references: spec.references.iter().map(measured).collect::<Result<_>>()?,
    })
}

fn draw(contents: &[Content<'_>], spec: &ArmBarsSpec) -> Result<Canvas> {
    let height = contents.iter().map(|content| content.places().1).fold(PITCH, f64::max);
    let is_shared = contents.windows(2).all(|pair| pair[0].labels() == pair[1].labels());
    let widths = contents.iter().flat_map(Content::labels).map(|l| text::width(l, BODY, Weight::Regular));
    let names = widths.fold(0.0, f64::max).min(if is_shared { 110.0 } else { 64.0 });
    let lines = 1 + usize::from(!spec.references.is_empty());
    // The last number of an axis stands out beyond it.
    let grid = Grid { right: 4.0, ..Grid::new(contents.len(), lines, height, names + 5.0) };
    let grid = if is_shared { grid } else { Grid { before: names, columns: grid.columns.min(3), ..grid } };
    let page = Page::grid(&grid)?;
    let numbers = contents.iter().flat_map(|content| {
        content.means().chain(content.references.iter().map(|(_, mean)| mean)).flat_map(Mean::numbers)
    });
    let level = spec.quantity.level.iter().map(|(level, _)| *level);
    let across = Scale::around(spec.quantity.range, numbers.chain(level));
    let scale = |panel: &Panel| Scale { from: panel.left, to: panel.right, ..across };
    let is_direct = contents
        .iter()
        .zip(&page.panels)
        .all(|(content, panel)| named(content, panel, &scale(panel)).is_some());
    let legend = legend(contents, spec, is_direct);
    let mut canvas = Canvas::new(page.width, page.bottom + 3.0 + legend.height(page.width) + MARGIN);
    for ((content, panel), of) in contents.iter().zip(&page.panels).zip(&spec.panels) {
        let x = scale(panel);
        let note = first_that_fits(&[behind(content.means(), &spec.quantity.unit)], panel.width(), BODY);
        let lines = std::iter::once(note).chain((lines > 1).then(String::new)).collect::<Vec<_>>();
        panel.header(&mut canvas, &of.behavior.label, &lines);
        if is_direct {
            name_references(&mut canvas, content, panel, &x);
        }
        let names = (panel.is_leftmost || !is_shared).then_some(names);
        draw_content(&mut canvas, content, &spec.quantity, panel, (&x, names));
        panel.x_axis(&mut canvas, &x, &ticks(x.low, x.high, 6, 0.0), Some(&spec.quantity.axis));
    }
    legend.draw(&mut canvas, page.bottom + 3.0);
    Ok(canvas)
}

fn draw_content(
    canvas: &mut Canvas,
    content: &Content<'_>,
    quantity: &Quantity,
    panel: &Panel,
    (x, names): (&Scale, Option<f64>),
) {
    let (places, _) = content.places();
    for place in &places {
        let y = panel.top + place;
        panel.across(canvas, y, Stroke::solid(Color(0xE6, 0xE6, 0xE6), AXIS));
    }
    if let Some((level, _)) = quantity.level {
        panel.upright(canvas, x.at(level), given());
    }
    for (arm, mean) in &content.references {
        let Some(value) = mean.over_seeds.value else { continue };
        panel.upright(canvas, x.at(value), reached(arm.role));
    }
    for ((arm, mean), place) in content.arms.iter().zip(&places) {
        let (y, look) = (panel.top + place, arm.role.look());
        if let Some(room) = names {
            let shown = text::fit(&arm.label, room + 0.01, BODY, Weight::Regular);
            canvas.label(Label::new(shown, (panel.left - 5.0, y), BODY).anchored(Anchor::End).centered());
        }
        for value in &mean.seeds {
            seed(canvas, (x.at(*value), y + ASIDE), look.color);
        }
        match mean.over_seeds.value {
            Some(value) => {
                let ends = mean.over_seeds.interval.map(|(low, high)| [(x.at(low), y), (x.at(high), y)]);
                whisker(canvas, (x.at(value), y), ends, look);
            }
            None => canvas.remark("undefined", (f64::midpoint(panel.left, panel.right), y)),
        }
    }
}

/// Where the names of the references stand above a panel, when there is room.
fn named(content: &Content<'_>, panel: &Panel, x: &Scale) -> Option<Vec<f64>> {
    let shown = content.references.iter().filter_map(|(arm, mean)| Some((arm, mean.over_seeds.value?)));
    let (wanted, sizes): (Vec<f64>, Vec<f64>) =
        shown.map(|(arm, value)| (x.at(value), text::width(&arm.label, BODY, Weight::Regular) + 5.0)).unzip();
    apart(&wanted, &sizes, (panel.left - 2.5, panel.right + 2.5))
}

fn name_references(canvas: &mut Canvas, content: &Content<'_>, panel: &Panel, x: &Scale) {
    let shown = content.references.iter().filter_map(|(arm, mean)| Some((arm, mean.over_seeds.value?)));
    let places = named(content, panel, x).unwrap_or_default();
    for ((arm, value), place) in shown.zip(places) {
        let stroke = Stroke::solid(arm.role.look().color, AXIS);
        canvas.line(vec![(x.at(value), panel.top), (place, panel.top - 2.5)], stroke);
        let label = Label::new(&arm.label, (place, panel.top - 4.0), BODY);
        canvas.label(label.anchored(Anchor::Middle));
    }
}

fn legend(contents: &[Content<'_>], spec: &ArmBarsSpec, is_direct: bool) -> Legend {
    let means = || contents.iter().flat_map(Content::means);
    let mut items: Vec<Item> = vec![];
    if means().any(|mean| mean.over_seeds.interval.is_some()) {
        let look = Look { color: Color::BLACK, ..Role::Full.look() };
        items.push((Sample::Mean(look), "mean and its interval".into()));
    }
    if means().any(|mean| !mean.seeds.is_empty()) {
        items.push((Sample::Seeds, "single seeds".into()));
    }
    if !is_direct {
        let rules = spec.references.iter();
        items.extend(rules.map(|arm| (Sample::Rule(reached(arm.role)), arm.label.clone())));
    }
    items.extend(spec.quantity.level.iter().map(|(_, name)| (Sample::Rule(given()), name.clone())));
    Legend(vec![items])
}

fn caption(contents: &[Content<'_>], spec: &ArmBarsSpec) -> Caption {
    let means = || contents.iter().flat_map(Content::means);
    let behaviors: Vec<&str> = spec.panels.iter().map(|panel| panel.behavior.label.as_str()).collect();
    let kinds = kinds(means());
    let mut notes = vec![];
    if !spec.references.is_empty() {
        let names: Vec<&str> = spec.references.iter().map(|arm| arm.label.as_str()).collect();
        notes.push(format!("Lines across: {}", names.join(", ")));
    }
    notes.push(source([&spec.quantity]));
    Caption {
        what: format!(
            "{} of arms at their last checkpoint: {}",
            capital(spec.quantity.name()),
            behaviors.join(", ")
        ),
        n: behind(means(), &spec.quantity.unit),
        intervals: if kinds.is_empty() { kinds } else { format!("Whiskers: {kinds}") },
        notes,
    }
}
