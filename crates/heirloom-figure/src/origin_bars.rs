//! Where a behavior comes from: effects of teacher, prompts, their interaction and the base, a column per behavior.

use heirloom_record::{HookPoint, Metric};
use serde::{Deserialize, Serialize};

use crate::arm::{Behavior, Quantity};
use crate::axes::{BELOW, Grid, LEADING, Page, Panel, Scale, ticks};
use crate::canvas::{Anchor, Canvas, Label};
use crate::legend::{Item, Legend, Sample};
use crate::marks::{given, seed, whisker};
use crate::mean::{Mean, behind, kinds, mean_at, narrowed};
use crate::select::{ARM, Selection, distinct};
use crate::style::{BODY, Color, Look, MARGIN, ORIGINS, TITLE, look_of};
use crate::text::{self, Weight, first_that_fits};
use crate::{Caption, Error, Figure, Picture, Result};

/// From one effect to the next, in points.
const PITCH: f64 = 14.0;
/// Half of a bar's height.
const HALF: f64 = 3.2;
/// Seeds stand this far below the middle of their bar.
const ASIDE: f64 = 5.4;

/// A part that a behavior's origin is taken apart into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Of whose rollouts the student was trained on: `origin_teacher`.
    Teacher,
    /// Of which prompts it was trained on: `origin_prompts`.
    Prompts,
    /// What teacher and prompts do together beyond what each does: `origin_interaction`.
    Interaction,
    /// What the base model keeps: `origin_base`.
    Base,
}

impl Effect {
    /// Every effect, in the order in which they are listed.
    pub const ALL: [Self; 4] = [Self::Teacher, Self::Prompts, Self::Interaction, Self::Base];

    /// Its name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Teacher => "teacher",
            Self::Prompts => "prompts",
            Self::Interaction => "interaction",
            Self::Base => "base",
        }
    }

    /// The metric of its rows.
    pub fn metric(self) -> String {
        format!("origin_{}", self.name())
    }

    /// How it looks.
    pub fn look(self) -> Look {
        look_of(&ORIGINS, self.name())
    }
}

/// Which rows a figure of origins shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginBarsSpec {
    /// A column per behavior.
    pub behaviors: Vec<Behavior>,
    /// Effects from top to bottom; those that the table lacks for a behavior are marked as gaps.
    pub effects: Vec<Effect>,
    /// Effects on the rate, from rows without a hook point; not drawn when empty. Its metric names the rows in words.
    #[serde(default)]
    pub rate: Option<Quantity>,
    /// Effects on the projection, from rows with a hook point; not drawn when empty.
    #[serde(default)]
    pub projection: Option<Quantity>,
    /// The checkpoint; the last that the table has when empty.
    #[serde(default)]
    pub step: Option<i64>,
}

impl OriginBarsSpec {
    /// Every effect on the rate.
    pub fn new(behaviors: Vec<Behavior>) -> Self {
        let rate = Some(Quantity::origin_of_rate());
        Self { behaviors, effects: Effect::ALL.into(), rate, projection: None, step: None }
    }

    /// The same with the effects on the projection below those on the rate.
    #[must_use]
    pub fn with_projection(self) -> Self {
        Self { projection: Some(Quantity::origin_of_projection()), ..self }
    }

    fn tracks(&self) -> Vec<(Of, &Quantity)> {
        let rate = self.rate.iter().map(|quantity| (Of::Rate, quantity));
        rate.chain(self.projection.iter().map(|quantity| (Of::Projection, quantity))).collect()
    }
}

/// What is taken apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Rate,
    Projection,
}

impl Of {
    /// Its rows, in words.
    fn metric(self) -> &'static str {
        match self {
            Self::Rate => "origin_… of the rate",
            Self::Projection => "origin_… of the projection",
        }
    }
}

/// One panel: each effect with its number, where the table has one.
struct Content {
    effects: Vec<(Effect, Option<Mean>)>,
    /// Where in the model.
    block: Option<usize>,
}

impl Content {
    fn means(&self) -> impl Iterator<Item = &Mean> + Clone {
        self.effects.iter().filter_map(|(_, mean)| mean.as_ref())
    }
}

/// Draws the parts of a behavior's origin as signed bars, each on its interval with its seeds as faint points: a
/// column per behavior, a row of panels for the rate and one for the projection. An effect that the table lacks,
/// because an arm was not run, is a gap that says so.
///
/// # Errors
/// Names the behavior that the table has no effects for, the step or seed that is missing; rows that differ in a
/// column that the quantity does not name, effects at different steps; two rows for one bar; numbers that are not finite; more panels than a page
/// has room for.
pub fn origin_bars(rows: &[Metric], spec: &OriginBarsSpec) -> Result<Figure> {
    let tracks = spec.tracks();
    let content = |behavior, of, quantity| content(rows, spec, behavior, (of, quantity));
    let stacks: Vec<Vec<Content>> = spec
        .behaviors
        .iter()
        .map(|behavior| tracks.iter().map(|(of, quantity)| content(behavior, *of, quantity)).collect())
        .collect::<Result<_>>()?;
    let canvas = draw(&stacks, spec, &tracks)?;
    let caption = caption(&stacks, spec, &tracks);
    Ok(Figure { picture: Picture::new(canvas, caption.what.clone()), caption })
}

fn content(
    rows: &[Metric],
    spec: &OriginBarsSpec,
    behavior: &Behavior,
    (of, quantity): (Of, &Quantity),
) -> Result<Content> {
    let mut found = vec![];
    let mut effects = vec![];
    let mut block = None;
    for effect in &spec.effects {
        let all = rows.iter().filter(|row| row.metric == effect.metric());
        let kept: Vec<&Metric> = all.filter(|row| row.hook.is_some() == (of == Of::Projection)).collect();
        found.extend(kept.iter().map(|row| row.behavior.clone()));
        let here = kept.into_iter().filter(|row| row.behavior == behavior.name).collect::<Vec<_>>();
        if here.is_empty() {
            effects.push((*effect, None));
            continue;
        }
        let chosen = Selection { metric: effect.metric(), rows: here };
        let chosen = narrowed(chosen, quantity, &behavior.name)?.alike(ARM)?;
        block = chosen.rows[0].hook.and_then(HookPoint::layer);
        effects.push((*effect, Some(mean_at(&chosen, spec.step)?)));
    }
    if effects.iter().all(|(_, mean)| mean.is_none()) {
        return Err(lacking(rows, of, behavior, distinct(found)));
    }
    let steps = effects.iter().filter_map(|(_, mean)| mean.as_ref()?.step);
    let steps = distinct(steps.map(|step| step.to_string()));
    if steps.len() > 1 {
        let metric = format!("{} of {}", of.metric(), behavior.name);
        return Err(Error::Ambiguous { metric, column: "step", found: steps });
    }
    Ok(Content { effects, block })
}

/// What the table lacks when it has no effect of a behavior.
fn lacking(rows: &[Metric], of: Of, behavior: &Behavior, found: Vec<String>) -> Error {
    let metric = of.metric().to_owned();
    if found.is_empty() {
        return Error::NoMetric { metric, found: distinct(rows.iter().map(|row| row.metric.clone())) };
    }
    Error::NoRows { metric, column: "behavior", wanted: behavior.name.clone(), found }
}

fn draw(stacks: &[Vec<Content>], spec: &OriginBarsSpec, tracks: &[(Of, &Quantity)]) -> Result<Canvas> {
    let widths = spec.effects.iter().map(|effect| text::width(effect.name(), BODY, Weight::Regular));
    let height = spec.effects.len() as f64 * PITCH + 4.0;
    let grid = Grid::new(stacks.len(), 1, height, widths.fold(0.0, f64::max) + 5.0);
    // Every row of panels has an axis of its own. The last number of an axis stands out beyond it.
    let (stacked, between) = (tracks.len(), BELOW + LEADING + 6.0);
    let page = Page::grid(&Grid { stacked, between, columns: grid.columns.min(3), right: 4.0, ..grid })?;
    let legend = legend(stacks, tracks);
    let mut canvas = Canvas::new(page.width, page.bottom + 3.0 + legend.height(page.width) + MARGIN);
    for (index, panel) in page.panels.iter().enumerate() {
        let (column, level) = (index / tracks.len(), index % tracks.len());
        let (content, quantity) = (&stacks[column][level], tracks[level].1);
        let x = Scale { from: panel.left, to: panel.right, ..across(stacks, level, quantity) };
        let note = note(content, quantity, panel);
        if level == 0 {
            panel.header(&mut canvas, &spec.behaviors[column].label, &[note]);
        } else {
            panel.subheader(&mut canvas, &note);
        }
        draw_content(&mut canvas, content, quantity, panel, &x);
        panel.x_axis(&mut canvas, &x, &ticks(x.low, x.high, 6, 0.0), Some(&quantity.axis));
    }
    legend.draw(&mut canvas, page.bottom + 3.0);
    Ok(canvas)
}

/// The axis that the panels of one quantity share.
fn across(stacks: &[Vec<Content>], level: usize, quantity: &Quantity) -> Scale {
    let shown = stacks.iter().flat_map(|stack| stack[level].means()).flat_map(Mean::numbers);
    Scale::around(quantity.range, shown.chain([0.0]))
}

/// Block, counts and seeds, as far as they fit.
fn note(content: &Content, quantity: &Quantity, panel: &Panel) -> String {
    let counts = behind(content.means(), &quantity.unit);
    let placed = content.block.map(|block| format!("block {block}, {counts}"));
    // Room for the letter of a panel, which stands before its note.
    let room = panel.beyond - panel.left - TITLE;
    first_that_fits(&placed.into_iter().chain([counts]).collect::<Vec<_>>(), room, BODY)
}

fn draw_content(canvas: &mut Canvas, content: &Content, quantity: &Quantity, panel: &Panel, x: &Scale) {
    let place = |index: usize| panel.top + (index as f64 + 0.5) * PITCH;
    for (index, (effect, mean)) in content.effects.iter().enumerate() {
        let Some(value) = mean.as_ref().and_then(|mean| mean.over_seeds.value) else { continue };
        let color = effect.look().color.towards(Color::WHITE, 0.55);
        let y = place(index);
        canvas.rect(x.at(value.min(0.0)), y - HALF, x.at(value.max(0.0)), y + HALF, color);
    }
    if let Some((level, _)) = quantity.level {
        panel.upright(canvas, x.at(level), given());
    }
    for (index, (effect, mean)) in content.effects.iter().enumerate() {
        let (y, look) = (place(index), effect.look());
        if panel.is_leftmost {
            let label = Label::new(effect.name(), (panel.left - 5.0, y), BODY);
            canvas.label(label.anchored(Anchor::End).centered());
        }
        let middle = (f64::midpoint(panel.left, panel.right), y);
        let Some(mean) = mean else {
            canvas.remark("no arm", middle);
            continue;
        };
        for value in &mean.seeds {
            seed(canvas, (x.at(*value), y + ASIDE), look.color);
        }
        match mean.over_seeds.value {
            Some(value) => {
                let ends = mean.over_seeds.interval.map(|(low, high)| [(x.at(low), y), (x.at(high), y)]);
                whisker(canvas, (x.at(value), y), ends, look);
            }
            None => canvas.remark("undefined", middle),
        }
    }
}

fn legend(stacks: &[Vec<Content>], tracks: &[(Of, &Quantity)]) -> Legend {
    let means = || stacks.iter().flatten().flat_map(Content::means);
    let mut items: Vec<Item> = vec![];
    if means().any(|mean| mean.over_seeds.interval.is_some()) {
        let look = Look { color: Color::BLACK, ..Effect::Teacher.look() };
        items.push((Sample::Mean(look), "effect and its interval".into()));
    }
    if means().any(|mean| !mean.seeds.is_empty()) {
        items.push((Sample::Seeds, "single seeds".into()));
    }
    let levels = tracks.iter().filter_map(|(_, quantity)| quantity.level.clone()).map(|(_, name)| name);
    items.extend(distinct(levels).into_iter().map(|name| (Sample::Rule(given()), name)));
    Legend(vec![items])
}

fn caption(stacks: &[Vec<Content>], spec: &OriginBarsSpec, tracks: &[(Of, &Quantity)]) -> Caption {
    let behaviors: Vec<&str> = spec.behaviors.iter().map(|behavior| behavior.label.as_str()).collect();
    let of_track = |level: usize| stacks.iter().flat_map(move |stack| stack[level].means());
    let named = |text: &dyn Fn(usize) -> String| -> String {
        let said = tracks.iter().enumerate().map(|(level, (_, quantity))| (quantity.name(), text(level)));
        let said: Vec<(&str, String)> = said.filter(|(_, text)| !text.is_empty()).collect();
        match &said[..] {
            [(_, alone)] => alone.clone(),
            several => {
                let several = several.iter().map(|(name, text)| format!("{name}: {text}"));
                several.collect::<Vec<_>>().join("; ")
            }
        }
    };
    let alike = distinct((0..tracks.len()).map(|level| kinds(of_track(level))));
    let whiskers = match &alike[..] {
        [alike] => alike.clone(),
        _ => named(&|level| kinds(of_track(level))),
    };
    let effects: Vec<&str> = spec.effects.iter().map(|effect| effect.name()).collect();
    let mut notes = vec![];
    if stacks.iter().flatten().any(|content| content.effects.iter().any(|(_, mean)| mean.is_none())) {
        notes.push("No arm: an arm that the effect is a difference of was not run".into());
    }
    let places = tracks.iter().map(|(of, _)| match of {
        Of::Rate => "without a hook point",
        Of::Projection => "at a hook point",
    });
    let metrics: Vec<String> = spec.effects.iter().map(|effect| format!("`{}`", effect.metric())).collect();
    let places = places.collect::<Vec<_>>().join(" and ");
    notes.push(format!("Numbers: the rows of {} {places} in the table", metrics.join(", ")));
    let names = tracks.iter().map(|(_, quantity)| quantity.name());
    let names: Vec<&str> = names.map(|name| name.strip_prefix("effect on ").unwrap_or(name)).collect();
    Caption {
        what: format!(
            "Effects of {} on {}: {}",
            effects.join(", "),
            names.join(" and "),
            behaviors.join(", ")
        ),
        n: named(&|level| behind(of_track(level), &tracks[level].1.unit)),
        intervals: if whiskers.is_empty() { whiskers } else { format!("Whiskers: {whiskers}") },
        notes,
    }
}
