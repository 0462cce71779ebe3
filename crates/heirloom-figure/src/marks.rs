//! Marks that several figures share: bands, lines, whiskers, single seeds, levels.

use crate::arm::Role;
use crate::axes::Scale;
use crate::canvas::{Canvas, Ink, Point, Stroke};
use crate::mean::Mean;
use crate::style::{AXIS, Color, Dash, LINE, Look, Marker};

/// Unbroken stretches of places that have a cell.
pub(crate) fn runs<T>(places: impl IntoIterator<Item = (f64, Option<T>)>) -> Vec<Vec<(f64, T)>> {
    let mut runs = vec![vec![]];
    for (place, cell) in places {
        match cell {
            Some(cell) => runs.last_mut().expect("starts with one").push((place, cell)),
            None => runs.push(vec![]),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// A band between the ends of intervals along x, with lines along its edges when it has some.
pub(crate) fn ribbon(
    canvas: &mut Canvas,
    run: &[(f64, (f64, f64))],
    ink: Ink,
    edge: Option<Stroke>,
    (x, y): (&Scale, &Scale),
) {
    let low: Vec<_> = run.iter().map(|(place, (low, _))| (x.at(*place), y.at(*low))).collect();
    let high: Vec<_> = run.iter().map(|(place, (_, high))| (x.at(*place), y.at(*high))).collect();
    canvas.fill(low.iter().chain(high.iter().rev()).copied().collect(), ink);
    if let Some(edge) = edge {
        canvas.line(low, edge);
        canvas.line(high, edge);
    }
}

/// An arm's numbers along x.
pub(crate) type Track<'a> = [(f64, &'a Mean)];

/// The intervals of a track: a band, and a line where it has a single place.
pub(crate) fn band(canvas: &mut Canvas, track: &Track<'_>, ink: Ink, (x, y): (&Scale, &Scale)) {
    // Bands that lie on each other are told apart by their edges.
    let edge = Stroke::solid(ink.color.towards(Color::WHITE, 0.6), AXIS * 0.7);
    for run in runs(track.iter().map(|(place, mean)| (*place, mean.over_seeds.interval))) {
        match run[..] {
            [(place, (low, high))] => {
                let ends = vec![(x.at(place), y.at(low)), (x.at(place), y.at(high))];
                canvas.line(ends, Stroke::solid(ink.color, LINE));
            }
            _ => ribbon(canvas, &run, ink, Some(edge), (x, y)),
        }
    }
}

/// The seeds of a track, `aside` points right of their places.
pub(crate) fn seeds(
    canvas: &mut Canvas,
    track: &Track<'_>,
    color: Color,
    aside: f64,
    (x, y): (&Scale, &Scale),
) {
    for (place, mean) in track {
        for value in &mean.seeds {
            seed(canvas, (x.at(*place) + aside, y.at(*value)), color);
        }
    }
}

/// The means of a track, joined where none is missing between them.
pub(crate) fn line(canvas: &mut Canvas, track: &Track<'_>, look: Look, (x, y): (&Scale, &Scale)) {
    for run in runs(track.iter().map(|(place, mean)| (*place, mean.over_seeds.value))) {
        let points: Vec<Point> = run.iter().map(|(place, value)| (x.at(*place), y.at(*value))).collect();
        canvas.line(points.clone(), Stroke { color: look.color, width: LINE, dash: look.dash });
        for at in points {
            canvas.marker(at, look.marker, 1.0, look.color);
        }
    }
}

/// A mean on its interval, from end to end.
pub(crate) fn whisker(canvas: &mut Canvas, at: Point, ends: Option<[Point; 2]>, look: Look) {
    if let Some(ends) = ends {
        canvas.line(ends.to_vec(), Stroke::solid(look.color, LINE));
    }
    canvas.marker(at, look.marker, 1.3, look.color);
}

/// A single seed: a small faint disc.
pub(crate) fn seed(canvas: &mut Canvas, at: Point, color: Color) {
    canvas.marker(at, Marker::Circle, 0.6, color.towards(Color::WHITE, 0.45));
}

/// The level that an arm reaches, drawn across a panel.
pub(crate) fn reached(role: Role) -> Stroke {
    let look = role.look();
    Stroke { color: look.color, width: LINE * 0.75, dash: look.dash }
}

/// A level that is given: chance, zero.
pub(crate) fn given() -> Stroke {
    Stroke { color: Color::BLACK, width: AXIS, dash: Dash::Dotted }
}
