//! What steering does: a behavior's rate over the strength of a direction, with coherence below.

use std::collections::BTreeMap;

use heirloom_record::{Dose, HookPoint};
use serde::{Deserialize, Serialize};

use crate::arm::{Behavior, samples};
use crate::axes::{Grid, Page, Panel, Scale, beside, ticks};
use crate::canvas::{Canvas, Ink, Stroke};
use crate::caption::capital;
use crate::legend::{Item, Legend, Sample};
use crate::marks::{self, given, ribbon, runs};
use crate::mean::{Mean, behind, kinds};
use crate::select::{
    DIRECTION, DOSE_ARM, DOSE_BEHAVIOR, DOSE_HOOK, Measured, Selection, counts, distinct, dose_place,
};
use crate::style::{AXIS, BODY, Color, Dash, LINE, Look, MARGIN, METHODS, TITLE, look_of};
use crate::text::first_that_fits;
use crate::{Caption, Error, Figure, Picture, Result};

/// Heights of the panels of response and coherence, in points.
const HEIGHT: (f64, f64) = (90.0, 38.0);
/// Half of what a null band spans where it has a single strength, in points.
const ALONE: f64 = 5.0;
/// Opacity of the direction's band.
const FAINT: f64 = 0.2;
/// The direction that was fit, as the table says.
const FIT: &str = "direction";
/// Null families, as the table says and in words, from back to front.
const NULLS: [(&str, &str); 2] =
    [("random", "null: random directions"), ("difference", "null: random differences")];

/// Which doses a figure of dose and response shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoseResponseSpec {
    /// A column per behavior.
    pub behaviors: Vec<Behavior>,
    /// The arm or model; may stay empty when the table holds one.
    #[serde(default)]
    pub arm: Option<String>,
    /// Where it was steered, by name of behavior; may lack those whose rows agree.
    #[serde(default)]
    pub hooks: BTreeMap<String, HookPoint>,
    /// The metric of the response.
    pub metric: String,
    /// The response and its unit, as the axis says.
    pub axis: String,
    /// The metric of the thin panel below; none is drawn when empty.
    #[serde(default)]
    pub coherence: Option<String>,
    /// The least coherence at which a response means something.
    #[serde(default)]
    pub floor: Option<f64>,
    /// What `n` counts.
    #[serde(default = "samples")]
    pub unit: String,
}

impl DoseResponseSpec {
    /// Rates above coherence, without a floor.
    pub fn new(behaviors: Vec<Behavior>) -> Self {
        Self {
            behaviors,
            arm: None,
            hooks: BTreeMap::new(),
            metric: "rate".into(),
            axis: "behavior rate".into(),
            coherence: Some("coherence".into()),
            floor: None,
            unit: "samples".into(),
        }
    }
}

/// Numbers by strength, from the most negative one.
type Doses = Vec<(f64, Mean)>;

/// One panel.
struct Content {
    direction: Doses,
    /// By their place in [`NULLS`].
    nulls: Vec<(usize, Doses)>,
    arm: Option<String>,
    /// Where in the model.
    hook: HookPoint,
}

impl Content {
    fn direction(&self) -> impl Iterator<Item = &Mean> + Clone {
        self.direction.iter().map(|(_, mean)| mean)
    }

    fn null(&self, index: usize) -> impl Iterator<Item = &Mean> + Clone {
        let of_family = self.nulls.iter().filter(move |(family, _)| *family == index);
        of_family.flat_map(|(_, doses)| doses.iter().map(|(_, mean)| mean))
    }

    fn all(&self) -> impl Iterator<Item = &(f64, Mean)> + Clone {
        self.direction.iter().chain(self.nulls.iter().flat_map(|(_, doses)| doses))
    }
}

/// Draws the response to steering over its strength, in mean norms of the activations: a column per behavior, the
/// direction as a line with its interval as a band, null families as gray bands from low to high, and coherence in
/// a thin panel below. Null families that the table lacks are left out.
///
/// # Errors
/// Names the behavior or metric that the table has no doses for; doses of several arms or hook points where the spec
/// names none; two doses for one point; numbers that are not finite; more panels than a page has room for.
pub fn dose_response(rows: &[Dose], spec: &DoseResponseSpec) -> Result<Figure> {
    let metrics: Vec<&str> =
        std::iter::once(&spec.metric).chain(&spec.coherence).map(String::as_str).collect();
    if let Some(value) = spec.floor.filter(|floor| !floor.is_finite()) {
        let metric = spec.coherence.clone().unwrap_or_default();
        return Err(Error::NotFinite { metric, place: "the floor".into(), value });
    }
    let content = |behavior, metric| content(rows, spec, behavior, metric);
    let stacks: Vec<Vec<Content>> = spec
        .behaviors
        .iter()
        .map(|behavior| metrics.iter().map(|metric| content(behavior, metric)).collect())
        .collect::<Result<_>>()?;
    let canvas = draw(&stacks, spec, metrics.len())?;
    let caption = caption(&stacks, spec, &metrics);
    Ok(Figure { picture: Picture::new(canvas, caption.what.clone()), caption })
}

fn content(rows: &[Dose], spec: &DoseResponseSpec, behavior: &Behavior, metric: &str) -> Result<Content> {
    let hook = spec.hooks.get(&behavior.name).map(ToString::to_string);
    let here = Selection::doses(rows, metric)?
        .within(DOSE_BEHAVIOR, &behavior.name, "of")?
        .keep_or_alike(DOSE_ARM, spec.arm.as_deref())?
        .keep_or_alike(DOSE_HOOK, hook.as_deref())?;
    let direction = doses(&here.clone().keep(DIRECTION, FIT)?)?;
    let mut nulls = vec![];
    for (index, (family, _)) in NULLS.iter().enumerate() {
        if here.rows.iter().any(|dose| dose.direction == *family) {
            nulls.push((index, doses(&here.clone().keep(DIRECTION, family)?)?));
        }
    }
    let first = here.rows[0];
    Ok(Content { direction, nulls, arm: first.arm.clone(), hook: first.hook })
}

fn doses(chosen: &Selection<'_, Dose>) -> Result<Doses> {
    let mut doses = vec![];
    for dose in &chosen.rows {
        let (metric, place) = (chosen.metric.clone(), dose_place(dose));
        if !dose.strength.is_finite() {
            return Err(Error::NotFinite { metric, place, value: dose.strength });
        }
        // Adding 0 turns -0 into 0.
        let strength = dose.strength + 0.0;
        if doses.iter().any(|(other, _): &(f64, Mean)| other.total_cmp(&strength).is_eq()) {
            return Err(Error::Twice { metric, place });
        }
        let over_seeds = Measured::of_dose(dose)?;
        let interval = dose.interval.clone();
        doses.push((strength, Mean { over_seeds, interval, seeds: vec![], step: None }));
    }
    doses.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(doses)
}

fn draw(stacks: &[Vec<Content>], spec: &DoseResponseSpec, stacked: usize) -> Result<Canvas> {
    let levels: Vec<Scale> = (0..stacked).map(|level| vertical(stacks, spec, level)).collect();
    let numbers: Vec<_> =
        levels.iter().zip([6, 3]).map(|(scale, most)| ticks(scale.low, scale.high, most, 0.0)).collect();
    let widest = numbers.iter().map(|numbers| beside(numbers)).fold(0.0, f64::max);
    let grid = Grid::new(stacks.len(), 1, HEIGHT.0, widest);
    // The last number of an axis stands out beyond it.
    let page =
        Page::grid(&Grid { stacked, lower: HEIGHT.1, columns: grid.columns.min(3), right: 4.0, ..grid })?;
    let legend = legend(stacks, spec);
    let mut canvas = Canvas::new(page.width, page.bottom + 3.0 + legend.height(page.width) + MARGIN);
    let strengths = || stacks.iter().flatten().flat_map(Content::all).map(|(strength, _)| *strength);
    let across = Scale::around(None, strengths().chain([0.0]));
    for (index, panel) in page.panels.iter().enumerate() {
        let (column, level) = (index / stacked, index % stacked);
        let content = &stacks[column][level];
        let note = note(content, &spec.unit, panel);
        if level == 0 {
            panel.header(&mut canvas, &spec.behaviors[column].label, &[note]);
        } else {
            // What is said above is not said again.
            let above = self::note(&stacks[column][0], &spec.unit, panel);
            panel.subheader(&mut canvas, if note == above { "" } else { &note });
        }
        let x = Scale { from: panel.left, to: panel.right, ..across };
        let y = Scale { from: panel.bottom, to: panel.top, ..levels[level] };
        let floor = spec.floor.filter(|_| level == 1);
        draw_content(&mut canvas, content, floor, panel, (&x, &y));
        let last = level + 1 == stacked;
        let name = last.then_some("steering strength, × mean norm");
        panel.x_axis(&mut canvas, &x, &ticks(x.low, x.high, 8, 0.0), name);
        let axis = if level == 0 { Some(&spec.axis) } else { spec.coherence.as_ref() };
        let axis = axis.filter(|_| panel.is_leftmost);
        panel.y_axis(&mut canvas, &y, &numbers[level], axis.map(String::as_str));
    }
    legend.draw(&mut canvas, page.bottom + 3.0);
    Ok(canvas)
}

/// The axis that the panels of one metric share.
fn vertical(stacks: &[Vec<Content>], spec: &DoseResponseSpec, level: usize) -> Scale {
    let shown = stacks.iter().flat_map(|stack| stack[level].all()).flat_map(|(_, mean)| mean.numbers());
    Scale::around(Some((0.0, 1.0)), shown.chain(spec.floor.filter(|_| level == 1)))
}

/// Block, and counts of the direction, as far as they fit.
fn note(content: &Content, unit: &str, panel: &Panel) -> String {
    let counts = behind(content.direction(), unit);
    let placed = content.hook.layer().map(|block| format!("block {block}, {counts}"));
    // Room for the letter of a panel, which stands before its note.
    let room = panel.beyond - panel.left - TITLE;
    first_that_fits(&placed.into_iter().chain([counts]).collect::<Vec<_>>(), room, BODY)
}

fn draw_content(
    canvas: &mut Canvas,
    content: &Content,
    floor: Option<f64>,
    panel: &Panel,
    (x, y): (&Scale, &Scale),
) {
    for (index, doses) in &content.nulls {
        let (ink, edge) = null_look(*index);
        for mut run in runs(doses.iter().map(|(strength, mean)| (*strength, mean.over_seeds.interval))) {
            if let [(strength, interval)] = run[..] {
                let aside = ALONE * (x.high - x.low) / (x.to - x.from);
                run = vec![(strength - aside, interval), (strength + aside, interval)];
            }
            ribbon(canvas, &run, ink, Some(edge), (x, y));
        }
    }
    panel.upright(canvas, x.at(0.0), given());
    if let Some(floor) = floor {
        panel.across(canvas, y.at(floor), at_least());
    }
    let track: Vec<(f64, &Mean)> = content.direction.iter().map(|(at, mean)| (*at, mean)).collect();
    marks::band(canvas, &track, look().color.faint(FAINT), (x, y));
    marks::line(canvas, &track, look(), (x, y));
}

/// How the direction looks: like the difference of means, however it was fit.
fn look() -> Look {
    look_of(&METHODS, "dom")
}

/// Fill and edge of a null family with this place in [`NULLS`].
fn null_look(index: usize) -> (Ink, Stroke) {
    let (opacity, dash) = [(0.14, Dash::Dotted), (0.24, Dash::Short)][index % 2];
    (Color::GRAY.faint(opacity), Stroke { color: Color::GRAY, width: AXIS, dash })
}

fn at_least() -> Stroke {
    Stroke { color: Color::BLACK, width: LINE * 0.75, dash: Dash::Short }
}

fn legend(stacks: &[Vec<Content>], spec: &DoseResponseSpec) -> Legend {
    let contents = || stacks.iter().flatten();
    let has_band = contents().flat_map(Content::direction).any(|mean| mean.over_seeds.interval.is_some());
    let band = has_band.then(|| look().color.faint(FAINT));
    let mut items: Vec<Item> = vec![(Sample::Line { look: look(), ribbon: band }, "direction".into())];
    for (index, (_, name)) in NULLS.iter().enumerate() {
        if contents().any(|content| content.null(index).next().is_some()) {
            let (ink, edge) = null_look(index);
            items.push((Sample::Band { ink, edge }, (*name).into()));
        }
    }
    let mut rules: Vec<Item> = vec![(Sample::Rule(given()), "not steered".into())];
    if let (Some(coherence), Some(_)) = (&spec.coherence, spec.floor) {
        rules.push((Sample::Rule(at_least()), format!("{coherence} floor")));
    }
    Legend(vec![items, rules])
}

fn caption(stacks: &[Vec<Content>], spec: &DoseResponseSpec, metrics: &[&str]) -> Caption {
    let behaviors: Vec<&str> = spec.behaviors.iter().map(|behavior| behavior.label.as_str()).collect();
    let hooks = distinct(stacks.iter().flatten().map(|content| content.hook.to_string()));
    let contents = || stacks.iter().flatten();
    let bands = kinds(contents().flat_map(Content::direction));
    let mut notes = vec![];
    for (index, (_, name)) in NULLS.iter().enumerate() {
        let means = || contents().flat_map(move |content| content.null(index));
        if means().next().is_some() {
            let kind = kinds(means());
            let kind = if kind.is_empty() { "interval not stated".into() } else { kind };
            let n = counts(means().map(|mean| mean.over_seeds.n), None);
            notes.push(format!("Gray, {name}: {kind}{}", n.map(|n| format!(", {n}")).unwrap_or_default()));
        }
    }
    notes.push("Strength is in mean norms of the activations at the hook point; 0 is not steered".into());
    if let (Some(coherence), Some(floor)) = (&spec.coherence, spec.floor) {
        notes.push(format!("Dashed: a {coherence} of {floor}, below which a response means nothing"));
    }
    let metrics: Vec<String> = metrics.iter().map(|metric| format!("`{metric}`")).collect();
    notes.push(format!("Numbers: the rows of {} in the table of doses", metrics.join(" and ")));
    let arms = distinct(contents().filter_map(|content| content.arm.clone())).join(", ");
    let of_arm = if arms.is_empty() { arms } else { format!(" of {arms}") };
    let coherence = spec.coherence.as_ref().map(|name| format!(" and {name}")).unwrap_or_default();
    let axis = spec.axis.split(',').next().unwrap_or_default();
    Caption {
        what: format!(
            "{}{coherence}{of_arm} over the strength of steering at {}: {}",
            capital(axis),
            hooks.join(", "),
            behaviors.join(", ")
        ),
        n: behind(contents().flat_map(Content::direction), &spec.unit),
        intervals: if bands.is_empty() { bands } else { format!("Band: {bands}") },
        notes,
    }
}
