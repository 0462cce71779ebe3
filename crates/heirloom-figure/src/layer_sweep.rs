//! AUROC by layer, a panel per behavior.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use heirloom_record::{HookPoint, Metric, Site};
use serde::{Deserialize, Serialize};

use crate::axes::{Page, Panel, Scale, beside, ticks};
use crate::canvas::{Canvas, Ink, Stroke};
use crate::legend::{Item, Legend, Sample, draw_point};
use crate::marks;
use crate::select::{
    BEHAVIOR, FIT_ON, METHOD, Measured, SCORED_ON, Selection, by_hook, counts, distinct, unit,
};
use crate::style::{AXIS, BODY, Color, Dash, LINE, Look, MARGIN, METHODS, look_of};
use crate::text::first_that_fits;
use crate::{Caption, Error, Figure, Picture, Result};

/// Height of a panel, in points.
const HEIGHT: f64 = 108.0;
/// Half of what a band spans when there is a single layer.
const HALF: f64 = 0.4;

/// Which rows a layer sweep shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LayerSweepSpec {
    /// Behaviors, a panel each; all in the order of the table when empty.
    pub behaviors: Vec<String>,
    /// The arm or model; may stay empty when the table holds one.
    pub arm: Option<String>,
    /// Methods, a line each; all that the table holds when empty.
    pub methods: Vec<String>,
    /// The method whose intervals and chosen layer are drawn.
    pub headline: String,
    /// What was scored, as `scored_on` says.
    pub scored_on: String,
    /// Metrics of the null bands; those that the table lacks are left out.
    pub nulls: Vec<String>,
    /// Where in each block.
    pub site: Site,
}

impl Default for LayerSweepSpec {
    fn default() -> Self {
        let nulls =
            ["auroc_null_random_direction", "auroc_null_random_difference", "auroc_null_shuffled_labels"];
        Self {
            behaviors: vec![],
            arm: None,
            methods: vec![],
            headline: "dom".into(),
            scored_on: "selection groups".into(),
            nulls: nulls.map(str::to_owned).into(),
            site: Site::ResidPost,
        }
    }
}

/// Values by block; the embedding stands at [`EMBED`].
type Sweep = BTreeMap<i32, Measured>;

/// Where the embedding is drawn: left of block 0, apart from the lines, because no block has read it yet.
const EMBED: i32 = -3;

/// What one panel shows.
struct Content {
    behavior: String,
    lines: Vec<(String, Sweep)>,
    nulls: Vec<(usize, Sweep)>,
    chosen: Option<(i32, Measured)>,
    /// What the chosen block was scored on.
    chosen_on: Option<String>,
    interval: Option<String>,
}

/// Draws AUROC by layer: a line per method, the headline's interval as a ribbon, null bands in gray, chance, and
/// the report at the chosen layer (`auroc_at_chosen_layer`).
///
/// # Errors
/// Names the behavior, method or split that the table has no `auroc` rows for; rows of several arms, seeds or
/// steps where the spec names none; two rows for one point.
pub fn layer_sweep(rows: &[Metric], spec: &LayerSweepSpec) -> Result<Figure> {
    let all = Selection::of(rows, "auroc")?
        .keep(SCORED_ON, &spec.scored_on)?
        .of_one_run(spec.arm.as_deref())?
        .alike(FIT_ON)?;
    let arm = all.rows[0].arm.as_deref();
    let behaviors = if spec.behaviors.is_empty() { all.values(BEHAVIOR) } else { spec.behaviors.clone() };
    let methods = methods_of(&all, spec)?;
    let contents: Vec<Content> = behaviors
        .iter()
        .map(|behavior| content(rows, &all, behavior, &methods, arm, spec))
        .collect::<Result<_>>()?;
    let canvas = draw(&contents, spec)?;
    let caption = caption(rows, &all, &contents, &methods, spec);
    Ok(Figure { picture: Picture::new(canvas, caption.what.clone()), caption })
}

fn methods_of(all: &Selection<'_, Metric>, spec: &LayerSweepSpec) -> Result<Vec<String>> {
    let mut methods = all.values(METHOD);
    if !spec.methods.is_empty() {
        for method in &spec.methods {
            all.clone().keep(METHOD, method)?;
        }
        methods.retain(|method| spec.methods.contains(method));
    }
    let place = |method: &String| METHODS.iter().position(|(known, _)| known == method);
    methods.sort_by_key(|method| place(method).unwrap_or(METHODS.len()));
    Ok(methods)
}

fn content(
    rows: &[Metric],
    all: &Selection<'_, Metric>,
    behavior: &str,
    methods: &[String],
    arm: Option<&str>,
    spec: &LayerSweepSpec,
) -> Result<Content> {
    let here = all.clone().within(BEHAVIOR, behavior, "of")?;
    let headline = here.clone().keep(METHOD, &spec.headline)?;
    let interval = headline.rows.iter().find_map(|row| row.interval.clone());
    let mut lines = vec![];
    for method in methods {
        match here.clone().keep(METHOD, method) {
            Ok(of_method) => {
                let found = sweep(&of_method, spec.site)?;
                // Baselines without a hook point, and methods of other sites, have nothing to draw.
                if !found.is_empty() {
                    lines.push((method.clone(), found));
                }
            }
            // A method that only other behaviors have leaves no line here.
            Err(_) if *method != spec.headline => {}
            Err(error) => return Err(error),
        }
    }
    if lines.is_empty() {
        let found = distinct(here.rows.iter().filter_map(|row| row.hook).map(|hook| hook.to_string()));
        let wanted = format!("blocks.*.{}", spec.site.name());
        return Err(Error::NoRows { metric: here.metric, column: "hook", wanted, found });
    }
    let matching = |metric: &str| -> Vec<&Metric> {
        let same = |cell: &Option<String>, wanted: &str| {
            cell.as_deref().is_none_or(|found| found.is_empty() || found == wanted)
        };
        rows.iter()
            .filter(|row| row.metric == metric && row.behavior == behavior && row.arm.as_deref() == arm)
            .filter(|row| same(&row.method, &spec.headline))
            .collect()
    };
    let mut nulls = vec![];
    for (index, metric) in spec.nulls.iter().enumerate() {
        let of_split = |row: &&Metric| row.scored_on.as_deref().is_none_or(|split| split == spec.scored_on);
        let found: Vec<&Metric> = matching(metric).into_iter().filter(of_split).collect();
        let band = sweep(&Selection { metric: metric.clone(), rows: found }, spec.site)?;
        if !band.is_empty() {
            nulls.push((index, band));
        }
    }
    let metric = "auroc_at_chosen_layer";
    let reported = Selection { metric: metric.into(), rows: matching(metric) };
    let chosen_on = reported.rows.iter().find_map(|row| row.scored_on.clone());
    let reported = sweep(&reported, spec.site)?;
    if reported.len() > 1 {
        let found = reported.keys().map(|layer| place(*layer)).collect();
        return Err(Error::Ambiguous { metric: format!("{metric} of {behavior}"), column: "hook", found });
    }
    let chosen = reported.into_iter().next();
    Ok(Content { behavior: behavior.into(), lines, nulls, chosen, chosen_on, interval })
}

fn sweep(selection: &Selection<'_, Metric>, wanted: Site) -> Result<Sweep> {
    let at_site = |(hook, measured)| match hook {
        HookPoint::Block { layer, site } if site == wanted => Some((i32::try_from(layer).ok()?, measured)),
        HookPoint::Embed => Some((EMBED, measured)),
        _ => None,
    };
    Ok(by_hook(selection)?.into_iter().filter_map(at_site).collect())
}

fn draw(contents: &[Content], spec: &LayerSweepSpec) -> Result<Canvas> {
    let sweeps = || {
        contents.iter().flat_map(|content| {
            let nulls = content.nulls.iter().map(|(_, sweep)| sweep);
            content.lines.iter().map(|(_, sweep)| sweep).chain(nulls)
        })
    };
    let reported = contents.iter().filter_map(|content| content.chosen.as_ref());
    let measured = sweeps().flat_map(BTreeMap::values).chain(reported.clone().map(|(_, measured)| measured));
    let numbers =
        measured.flat_map(|m| [m.value, m.interval.map(|i| i.0), m.interval.map(|i| i.1)]).flatten();
    let (low, high) = numbers.fold((0.4_f64, 1.0_f64), |(low, high), x| (low.min(x), high.max(x)));
    // A band whose edge is on a tick stays clear of the axis.
    let low = ((low - 0.01) * 10.0).floor().max(low.min(0.0) * 10.0) / 10.0;
    let numbers = ticks(low, high, 6, 0.1);
    let layers = sweeps().flat_map(BTreeMap::keys).chain(reported.map(|(layer, _)| layer));
    let (first, last) = layers.fold((i32::MAX, EMBED), |(first, last), l| (first.min(*l), last.max(*l)));

    let legend = legend(contents, spec);
    let lines = contents.iter().map(|content| notes(content, spec, f64::INFINITY).len()).max().unwrap_or(0);
    let page = Page::new(contents.len(), lines, HEIGHT, beside(&numbers))?;
    let mut canvas = Canvas::new(page.width, page.bottom + 3.0 + legend.height(page.width) + MARGIN);
    for (content, panel) in contents.iter().zip(&page.panels) {
        let x = Scale {
            low: f64::from(first) - 0.6,
            high: f64::from(last) + 0.6,
            from: panel.left,
            to: panel.right,
        };
        // Headroom, so that a line at 1 is drawn whole.
        let y = Scale { low, high: high + 0.025 * (high - low), from: panel.bottom, to: panel.top };
        panel.header(&mut canvas, &content.behavior, &notes(content, spec, panel.width()));
        draw_content(&mut canvas, content, spec, panel, (&x, &y));
        let mut blocks = ticks(x.low.max(-0.6), x.high, 7, 1.0);
        if first == EMBED {
            blocks.push((f64::from(EMBED), "emb".into()));
        }
        panel.x_axis(&mut canvas, &x, &blocks, Some("block"));
        panel.y_axis(&mut canvas, &y, &numbers, panel.is_leftmost.then_some("AUROC"));
    }
    legend.draw(&mut canvas, page.bottom + 3.0);
    Ok(canvas)
}

/// The lines below a panel's title, as far as there is something to say.
fn notes(content: &Content, spec: &LayerSweepSpec, room: f64) -> Vec<String> {
    let unit = content.interval.as_deref().and_then(unit);
    let headline = content.lines.iter().find(|(method, _)| *method == spec.headline);
    let ns = headline.into_iter().flat_map(|(_, sweep)| sweep.values().map(|measured| measured.n));
    let n = counts(ns, unit).map(|n| first_that_fits(&[n], room, BODY));
    let chosen = content.chosen.as_ref().and_then(|(layer, measured)| {
        let mut short = format!("chosen {}: {:.2}", place(*layer), measured.value?);
        if let Some((low, high)) = measured.interval {
            let _ = write!(short, " [{low:.2}, {high:.2}]");
        }
        let long = counts([measured.n], None).map(|n| format!("{short}, {n}"));
        Some(first_that_fits(&long.into_iter().chain([short]).collect::<Vec<_>>(), room, BODY))
    });
    n.into_iter().chain(chosen).collect()
}

fn draw_content(
    canvas: &mut Canvas,
    content: &Content,
    spec: &LayerSweepSpec,
    panel: &Panel,
    (x, y): (&Scale, &Scale),
) {
    for (index, band) in &content.nulls {
        let (ink, edge) = null_look(*index);
        ribbon(canvas, band, ink, Some(edge), (x, y));
    }
    canvas.line(vec![(panel.left, y.at(0.5)), (panel.right, y.at(0.5))], chance());
    let headline = content.lines.iter().find(|(method, sweep)| *method == spec.headline && sweep.len() > 1);
    if let Some((method, sweep)) = headline {
        ribbon(canvas, sweep, look_of(&METHODS, method).color.faint(0.25), None, (x, y));
    }
    let rank = |method: &str| usize::from(method == spec.headline);
    let mut order: Vec<(usize, &(String, Sweep))> = content.lines.iter().enumerate().collect();
    order.sort_by_key(|(index, (method, _))| (rank(method), usize::MAX - index));
    let dodged = content.lines.iter().all(|(_, sweep)| sweep.len() == 1);
    // The methods of a single layer stand side by side, and what was reported of it after them.
    let slots = (content.lines.len() + 1) as f64;
    let aside = |slot: usize| ((slot as f64 + 0.5) / slots - 0.5) * 2.0 * HALF;
    for (index, (method, sweep)) in order {
        let look = look_of(&METHODS, method);
        if dodged {
            single(canvas, sweep, look, aside(index), (x, y));
            continue;
        }
        line(canvas, sweep, look, index, (x, y));
    }
    if let Some((layer, Measured { value: Some(value), interval, .. })) = content.chosen {
        let interval = interval.map(|(low, high)| (y.at(low), y.at(high)));
        let aside = if dodged { aside(content.lines.len()) } else { 0.0 };
        draw_point(canvas, (x.at(f64::from(layer) + aside), y.at(value)), interval);
    }
}

fn line(canvas: &mut Canvas, sweep: &Sweep, look: Look, index: usize, (x, y): (&Scale, &Scale)) {
    for run in runs(sweep, |measured| measured.value) {
        let points: Vec<_> = run.iter().map(|(layer, value)| (x.at(*layer), y.at(*value))).collect();
        if let [alone] = points[..] {
            canvas.marker(alone, look.marker, 1.0, look.color);
        }
        canvas.line(points, Stroke { color: look.color, width: LINE, dash: look.dash });
    }
    // Markers of neighbors are staggered, so that lines that run together can be told apart.
    let every = sweep.len().div_ceil(6).max(1);
    for (place, (layer, measured)) in sweep.iter().filter(|(layer, _)| **layer != EMBED).enumerate() {
        if let (Some(value), true) = (measured.value, place % every == index % every) {
            canvas.marker((x.at(f64::from(*layer)), y.at(value)), look.marker, 1.0, look.color);
        }
    }
}

fn single(canvas: &mut Canvas, sweep: &Sweep, look: Look, aside: f64, (x, y): (&Scale, &Scale)) {
    for (layer, measured) in sweep {
        let at = x.at(f64::from(*layer) + aside);
        if let Some((low, high)) = measured.interval {
            canvas.line(vec![(at, y.at(low)), (at, y.at(high))], Stroke::solid(look.color, LINE));
        }
        if let Some(value) = measured.value {
            canvas.marker((at, y.at(value)), look.marker, 1.3, look.color);
        }
    }
}

fn ribbon(canvas: &mut Canvas, sweep: &Sweep, ink: Ink, edge: Option<Stroke>, scales: (&Scale, &Scale)) {
    for mut run in runs(sweep, |measured| measured.interval) {
        if let [(layer, interval)] = run[..] {
            run = vec![(layer - HALF, interval), (layer + HALF, interval)];
        }
        marks::ribbon(canvas, &run, ink, edge, scales);
    }
}

/// Unbroken stretches of layers that have a cell; an empty cell breaks, a layer that was not captured does not, and
/// the embedding stands alone.
fn runs<T>(sweep: &Sweep, cell: impl Fn(&Measured) -> Option<T>) -> Vec<Vec<(f64, T)>> {
    marks::runs(sweep.iter().flat_map(|(layer, measured)| {
        let gap = (*layer == EMBED).then_some((f64::from(EMBED), None));
        std::iter::once((f64::from(*layer), cell(measured))).chain(gap)
    }))
}

/// A place on the axis in words.
fn place(layer: i32) -> String {
    if layer == EMBED { "embedding".into() } else { format!("block {layer}") }
}

fn chance() -> Stroke {
    Stroke { color: Color::BLACK, width: AXIS, dash: Dash::Short }
}

/// Fill and edge of the null band with this place in the spec.
fn null_look(index: usize) -> (Ink, Stroke) {
    let dash = [Dash::Dotted, Dash::Short, Dash::Solid, Dash::DashDot][index % 4];
    (Color::GRAY.faint(0.16), Stroke { color: Color(0x88, 0x88, 0x88), width: AXIS, dash })
}

fn legend(contents: &[Content], spec: &LayerSweepSpec) -> Legend {
    let (mut lines, mut points, mut bands): (Vec<Item>, Vec<Item>, Vec<Item>) = (vec![], vec![], vec![]);
    for method in distinct(contents.iter().flat_map(|c| c.lines.iter().map(|(method, _)| method.clone()))) {
        let look = look_of(&METHODS, &method);
        let intervals = |content: &Content| {
            let of_method = content.lines.iter().filter(|(found, _)| *found == method);
            of_method.into_iter().any(|(_, sweep)| sweep.values().any(|measured| measured.interval.is_some()))
        };
        let has_ribbon = method == spec.headline && contents.iter().any(intervals);
        let ribbon = has_ribbon.then(|| look.color.faint(0.25));
        lines.push((Sample::Line { look, ribbon }, method));
    }
    if contents.iter().any(|content| content.chosen.is_some()) {
        points.push((Sample::Point, format!("chosen block{}", chosen_on(contents))));
    }
    points.push((Sample::Rule(chance()), "chance".into()));
    for (index, metric) in spec.nulls.iter().enumerate() {
        if contents.iter().any(|content| content.nulls.iter().any(|(found, _)| *found == index)) {
            let (ink, edge) = null_look(index);
            bands.push((Sample::Band { ink, edge }, null_name(metric)));
        }
    }
    Legend(vec![lines, points, bands])
}

/// What the chosen blocks were scored on, after a comma.
fn chosen_on(contents: &[Content]) -> String {
    let found = contents.iter().find_map(|content| content.chosen_on.as_deref());
    found.map(|found| format!(", {found}")).unwrap_or_default()
}

/// `auroc_null_shuffled_labels` in words.
fn null_name(metric: &str) -> String {
    let name = metric.strip_prefix("auroc_null_").unwrap_or(metric).replace('_', " ");
    if name.ends_with('s') { format!("null: {name}") } else { format!("null: {name}s") }
}

fn caption(
    rows: &[Metric],
    all: &Selection<'_, Metric>,
    contents: &[Content],
    methods: &[String],
    spec: &LayerSweepSpec,
) -> Caption {
    let behaviors: Vec<&str> = contents.iter().map(|content| content.behavior.as_str()).collect();
    let arm = all.rows[0].arm.as_deref().map(|arm| format!(" of {arm}")).unwrap_or_default();
    let fit_on = all.rows[0].fit_on.as_deref().map(|fit_on| format!("fit on {fit_on}, ")).unwrap_or_default();
    let what = format!(
        "AUROC of {} at the {} of each block{arm}, {fit_on}scored on {}: {}",
        methods.join(", "),
        spec.site.name(),
        spec.scored_on,
        behaviors.join(", ")
    );
    let shown = all.rows.iter().filter(|row| behaviors.contains(&row.behavior.as_str()));
    let interval = contents.iter().find_map(|content| content.interval.clone());
    let n = counts(shown.map(|row| row.n), interval.as_deref().and_then(unit)).unwrap_or_default();
    let ribbons = all.rows.iter().filter(|row| row.method.as_deref() == Some(spec.headline.as_str()));
    let kinds = distinct(ribbons.filter_map(|row| row.interval.clone())).join("; or ");
    let intervals =
        if kinds.is_empty() { String::new() } else { format!("Ribbon of {}: {kinds}", spec.headline) };
    let mut notes = vec![];
    let ns = counts(contents.iter().filter_map(|c| c.chosen.as_ref()).map(|(_, measured)| measured.n), None);
    if contents.iter().any(|content| content.chosen.is_some()) {
        let ns = ns.map(|ns| format!(" ({ns})")).unwrap_or_default();
        notes.push(format!("Diamond: {} at the chosen block{}{ns}", spec.headline, chosen_on(contents)));
    }
    if contents.iter().any(|c| c.lines.iter().any(|(_, sweep)| sweep.contains_key(&EMBED))) {
        notes.push("emb: the token embeddings, before any block".into());
    }
    for metric in &spec.nulls {
        let is_shown =
            |row: &&Metric| row.arm == all.rows[0].arm && behaviors.contains(&row.behavior.as_str());
        let bands = || rows.iter().filter(|row| row.metric == *metric).filter(is_shown);
        if let Some(first) = bands().next() {
            let kind = first.interval.clone().unwrap_or_else(|| "interval not stated".into());
            let draws = counts(bands().map(|row| row.n), None).map(|n| format!(", {n}")).unwrap_or_default();
            notes.push(format!("Gray, {}: {kind}{draws}", null_name(metric)));
        }
    }
    Caption { what, n, intervals, notes }
}
