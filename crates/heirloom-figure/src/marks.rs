//! Marks that several figures share: bands, whiskers, single seeds.

use crate::axes::Scale;
use crate::canvas::{Canvas, Ink, Point, Stroke};
use crate::style::{Color, LINE, Look, Marker};

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

/// A mean on its interval, from end to end, with its marker `scale` times as large as usual.
pub(crate) fn whisker(canvas: &mut Canvas, at: Point, ends: Option<[Point; 2]>, look: Look, scale: f64) {
    if let Some(ends) = ends {
        canvas.line(ends.to_vec(), Stroke::solid(look.color, LINE));
    }
    canvas.marker(at, look.marker, scale, look.color);
}

/// A single seed: a small faint disc.
pub(crate) fn seed(canvas: &mut Canvas, at: Point, color: Color) {
    canvas.marker(at, Marker::Circle, 0.6, color.towards(Color::WHITE, 0.45));
}
