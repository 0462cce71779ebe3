//! Checkpoints of arms in the plane of two directions: where training leads, and where it ends.

use heirloom_record::{HookPoint, Metric};
use serde::{Deserialize, Serialize};

use crate::arm::{Arm, BehaviorArms, Quantity, looks, source};
use crate::axes::{Page, Scale, beside, ticks};
use crate::canvas::{Canvas, Point, Stroke};
use crate::caption::capital;
use crate::legend::{Item, Legend, Sample, circle};
use crate::marks::given;
use crate::mean::{Mean, behind, kinds, of_behavior, track};
use crate::select::distinct;
use crate::style::{BODY, Color, LINE, Look, MARGIN};
use crate::text::first_that_fits;
use crate::{Caption, Error, Figure, Picture, Result};

/// Height of a panel, in points.
const HEIGHT: f64 = 118.0;

/// Which rows a figure of trajectories shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrajectoriesSpec {
    /// A panel per behavior, a path per arm.
    pub columns: Vec<BehaviorArms>,
    /// What is drawn along x: the projection on one direction.
    pub x: Quantity,
    /// What is drawn along y: the projection on the other.
    pub y: Quantity,
    /// Checkpoints that every arm has to have; those that the table has when empty.
    #[serde(default)]
    pub steps: Vec<i64>,
}

impl TrajectoriesSpec {
    /// From the direction between two teachers to that of the behavior's contrasts on the base.
    pub fn new(columns: Vec<BehaviorArms>) -> Self {
        let x = Quantity {
            fit_on: Some("teachers".into()),
            axis: "projection between teachers, reference s.d.".into(),
            ..Quantity::projection()
        };
        let y = Quantity {
            axis: "projection on the base's contrast, reference s.d.".into(),
            ..Quantity::projection()
        };
        Self { columns, x, y, steps: vec![] }
    }
}

/// One arm's checkpoints.
struct Path<'a> {
    label: &'a str,
    look: Look,
    points: Vec<(i64, Mean, Mean)>,
}

impl Path<'_> {
    /// Where its checkpoints stand, those that have both numbers.
    fn places(&self, (x, y): (&Scale, &Scale)) -> Vec<Point> {
        let at = |(_, across, up): &(i64, Mean, Mean)| {
            Some((x.at(across.over_seeds.value?), y.at(up.over_seeds.value?)))
        };
        self.points.iter().filter_map(at).collect()
    }
}

/// One panel.
struct Content<'a> {
    paths: Vec<Path<'a>>,
    block: Option<usize>,
}

impl Content<'_> {
    fn points(&self) -> impl Iterator<Item = &(i64, Mean, Mean)> + Clone {
        self.paths.iter().flat_map(|path| &path.points)
    }
}

/// Draws the checkpoints of arms in the plane of two directions, joined in the order of training: the first is ringed,
/// the last is marked on its intervals along both.
///
/// # Errors
/// Names the behavior, arm, step or seed that the table has no rows for; an arm that has a checkpoint for one direction
/// and not for the other; rows that differ in a column that a quantity does not name; two rows for one point; numbers
/// that are not finite; more panels than a page has room for.
pub fn trajectories(rows: &[Metric], spec: &TrajectoriesSpec) -> Result<Figure> {
    let looks = looks(spec.columns.iter().flat_map(|column| &column.arms));
    let contents: Vec<Content<'_>> =
        spec.columns.iter().map(|column| content(rows, spec, column, &looks)).collect::<Result<_>>()?;
    let canvas = draw(&contents, spec, &looks)?;
    let caption = caption(&contents, spec);
    Ok(Figure { picture: Picture::new(canvas, caption.what.clone()), caption })
}

fn content<'a>(
    rows: &[Metric],
    spec: &TrajectoriesSpec,
    column: &'a BehaviorArms,
    looks: &[(&str, Look)],
) -> Result<Content<'a>> {
    let across = of_behavior(rows, &spec.x, &column.behavior.name)?;
    let up = of_behavior(rows, &spec.y, &column.behavior.name)?;
    let path = |arm: &'a Arm| {
        let (_, look) = looks.iter().find(|(label, _)| *label == arm.label).expect("every label has a look");
        let (xs, ys) = (track(&across, arm, &spec.steps)?, track(&up, arm, &spec.steps)?);
        let steps = |track: &[(i64, Mean)]| track.iter().map(|(step, _)| *step).collect::<Vec<_>>();
        if steps(&xs) != steps(&ys) {
            let absent = steps(&xs).into_iter().find(|step| !steps(&ys).contains(step));
            let found = steps(&ys).iter().map(ToString::to_string).collect();
            let wanted = absent.map_or("(the same)".into(), |step| step.to_string());
            return Err(Error::NoRows { metric: up.metric.clone(), column: "step", wanted, found });
        }
        let points = xs.into_iter().zip(ys).map(|((step, x), (_, y))| (step, x, y)).collect();
        Ok(Path { label: &arm.label, look: *look, points })
    };
    let paths = column.arms.iter().map(path).collect::<Result<_>>()?;
    Ok(Content { paths, block: up.rows[0].hook.and_then(HookPoint::layer) })
}

fn draw(contents: &[Content<'_>], spec: &TrajectoriesSpec, looks: &[(&str, Look)]) -> Result<Canvas> {
    let points = || contents.iter().flat_map(Content::points);
    let level = |quantity: &Quantity| quantity.level.as_ref().map(|(level, _)| *level);
    let ends = |mean: &Mean| -> Vec<f64> {
        let interval = mean.over_seeds.interval.into_iter().flat_map(|(low, high)| [low, high]);
        mean.over_seeds.value.into_iter().chain(interval).collect()
    };
    let xs = points().flat_map(|(_, x, _)| ends(x)).chain(level(&spec.x));
    let ys = points().flat_map(|(_, _, y)| ends(y)).chain(level(&spec.y));
    let (across, up) = (Scale::around(spec.x.range, xs), Scale::around(spec.y.range, ys));
    let numbers = ticks(up.low, up.high, 6, 0.0);
    let legend = legend(contents, spec, looks);
    let page = Page::new(contents.len(), 1, HEIGHT, beside(&numbers))?;
    let mut canvas = Canvas::new(page.width, page.bottom + 3.0 + legend.height(page.width) + MARGIN);
    for ((content, column), panel) in contents.iter().zip(&spec.columns).zip(&page.panels) {
        let counts = behind(content.points().map(|(_, x, _)| x), &spec.x.unit);
        let placed = content.block.map(|block| format!("block {block}, {counts}"));
        let variants: Vec<String> = placed.into_iter().chain([counts]).collect();
        let note = first_that_fits(&variants, panel.beyond - panel.left, BODY);
        panel.header(&mut canvas, &column.behavior.label, &[note]);
        let x = Scale { from: panel.left, to: panel.right, ..across };
        let y = Scale { from: panel.bottom, to: panel.top, ..up };
        if let Some(level) = level(&spec.x) {
            panel.upright(&mut canvas, x.at(level), given());
        }
        if let Some(level) = level(&spec.y) {
            panel.across(&mut canvas, y.at(level), given());
        }
        // The first arm is drawn last, above the others.
        for path in content.paths.iter().rev() {
            draw_path(&mut canvas, path, (&x, &y));
        }
        let name = first_that_fits(&names(&spec.x), panel.width(), BODY);
        panel.x_axis(&mut canvas, &x, &ticks(x.low, x.high, 5, 0.0), Some(&name));
        let name = first_that_fits(&names(&spec.y), HEIGHT + 20.0, BODY);
        panel.y_axis(&mut canvas, &y, &numbers, panel.is_leftmost.then_some(&name));
    }
    legend.draw(&mut canvas, page.bottom + 3.0);
    Ok(canvas)
}

/// A quantity with its unit and without it.
fn names(quantity: &Quantity) -> Vec<String> {
    vec![quantity.axis.clone(), quantity.name().to_owned()]
}

fn draw_path(canvas: &mut Canvas, path: &Path<'_>, (x, y): (&Scale, &Scale)) {
    let Look { color, marker, dash } = path.look;
    let places = path.places((x, y));
    let Some((last, before)) = places.split_last() else { return };
    if let Some((_, across, up)) = path
        .points
        .iter()
        .rev()
        .find(|(_, across, up)| across.over_seeds.value.is_some() && up.over_seeds.value.is_some())
    {
        let faint = Stroke::solid(color.towards(Color::WHITE, 0.45), LINE * 0.75);
        if let Some((low, high)) = across.over_seeds.interval {
            canvas.line(vec![(x.at(low), last.1), (x.at(high), last.1)], faint);
        }
        if let Some((low, high)) = up.over_seeds.interval {
            canvas.line(vec![(last.0, y.at(low)), (last.0, y.at(high))], faint);
        }
    }
    canvas.line(places.clone(), Stroke { color, width: LINE, dash });
    for at in before {
        canvas.marker(*at, marker, 0.6, color);
    }
    if let Some(first) = before.first() {
        circle(canvas, *first);
    }
    canvas.marker(*last, marker, 1.5, color);
}

fn legend(contents: &[Content<'_>], spec: &TrajectoriesSpec, looks: &[(&str, Look)]) -> Legend {
    let line =
        |(label, look): &(&str, Look)| (Sample::Line { look: *look, ribbon: None }, (*label).to_owned());
    let mut items: Vec<Item> = vec![];
    if contents.iter().flat_map(|content| &content.paths).any(|path| path.points.len() > 1) {
        items.push((Sample::Ring, "first checkpoint".into()));
    }
    let levels = distinct(
        [&spec.x, &spec.y].into_iter().filter_map(|q| q.level.as_ref()).map(|(_, name)| name.clone()),
    );
    items.extend(levels.into_iter().map(|name| (Sample::Rule(given()), name)));
    Legend(vec![looks.iter().map(line).collect(), items])
}

fn caption(contents: &[Content<'_>], spec: &TrajectoriesSpec) -> Caption {
    let labels: Vec<&str> = spec.columns.iter().map(|column| column.behavior.label.as_str()).collect();
    let points = || contents.iter().flat_map(Content::points);
    let names =
        distinct(contents.iter().flat_map(|content| content.paths.iter().map(|path| path.label.to_owned())));
    let means = || points().flat_map(|(_, x, y)| [x, y]);
    let bands = kinds(means());
    Caption {
        what: format!(
            "{} against {} at each checkpoint, a path per arm ({}): {}",
            capital(spec.y.name()),
            spec.x.name(),
            names.join("; "),
            labels.join(", ")
        ),
        n: behind(points().map(|(_, x, _)| x), &spec.x.unit),
        intervals: if bands.is_empty() { bands } else { format!("Strokes at the last checkpoint: {bands}") },
        notes: vec!["The two directions need not be at right angles".into(), source([&spec.x, &spec.y])],
    }
}
