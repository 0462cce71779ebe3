//! Cells of a matrix, and the bar that says what their colors mean.

use crate::canvas::{Anchor, Canvas, Label, Stroke};
use crate::style::{AXIS, BODY, Color};
use crate::text::{self, Weight};

/// Edges of cells, and lines across those that are empty.
const EDGE: Color = Color(0xAA, 0xAA, 0xAA);

/// A rectangle on the page, in points.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rect {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

impl Rect {
    /// A cell with its corner at `x`, `y`: a hair of white keeps neighbors of one color apart.
    pub(crate) fn cell((x, y): (f64, f64), (wide, high): (f64, f64)) -> Self {
        Self { left: x + 0.25, top: y + 0.25, right: x + wide - 0.25, bottom: y + high - 0.25 }
    }

    pub(crate) fn middle(&self) -> (f64, f64) {
        (f64::midpoint(self.left, self.right), f64::midpoint(self.top, self.bottom))
    }

    /// Fills it.
    pub(crate) fn fill(&self, canvas: &mut Canvas, color: Color) {
        canvas.rect(self.left, self.top, self.right, self.bottom, color);
    }

    /// Draws its edges, in gray.
    pub(crate) fn frame(&self, canvas: &mut Canvas) {
        let Self { left, top, right, bottom } = *self;
        let frame = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
        canvas.line(frame.to_vec(), Stroke::solid(EDGE, AXIS));
    }

    /// Frames it and draws lines across: nothing was measured.
    pub(crate) fn hatch(&self, canvas: &mut Canvas) {
        let Self { left, top, right, bottom } = *self;
        let stroke = Stroke::solid(EDGE, AXIS);
        self.frame(canvas);
        let steps = 3;
        for step in 1..=steps {
            let part = f64::from(step) / f64::from(steps);
            canvas
                .line(vec![(left, top + (bottom - top) * part), (left + (right - left) * part, top)], stroke);
            if step < steps {
                let (from, to) =
                    ((left + (right - left) * part, bottom), (right, top + (bottom - top) * part));
                canvas.line(vec![from, to], stroke);
            }
        }
    }
}

/// A bar from 0 at the bottom to 1 at the top in the colors of a scale, with its name.
pub(crate) fn bar(
    canvas: &mut Canvas,
    (left, top): (f64, f64),
    height: f64,
    scale: fn(f64) -> Color,
    name: &str,
) {
    bar_of(canvas, (left, top), height, scale, (&["0", "0.25", "0.5", "0.75", "1"], name));
}

/// The same with other numbers, evenly from the bottom to the top.
pub(crate) fn bar_of(
    canvas: &mut Canvas,
    (left, top): (f64, f64),
    height: f64,
    scale: fn(f64) -> Color,
    (numbers, name): (&[&str; 5], &str),
) {
    const STEPS: u32 = 64;
    let right = left + 6.0;
    for step in 0..STEPS {
        let place = |step: u32| top + height * f64::from(step) / f64::from(STEPS);
        let value = 1.0 - (f64::from(step) + 0.5) / f64::from(STEPS);
        // Each step reaches to the bottom: neighbors that only touch leave hairlines in SVG renderers.
        canvas.rect(left, place(step), right, top + height, scale(value));
    }
    let corners = [(left, top), (right, top), (right, top + height), (left, top + height), (left, top)];
    canvas.line(corners.to_vec(), Stroke::axis());
    for (index, value) in numbers.iter().enumerate() {
        let y = top + height * (1.0 - index as f64 / 4.0);
        canvas.line(vec![(right, y), (right + 2.0, y)], Stroke::axis());
        canvas.label(Label::new(*value, (right + 3.5, y), BODY).centered());
    }
    let widest = numbers.iter().map(|number| text::width(number, BODY, Weight::Regular)).fold(0.0, f64::max);
    // Numbers, a gap and the capitals of the name, which reads upwards.
    let aside = (3.5 + widest + 2.5 + BODY * 0.72).max(26.0);
    let name = Label::new(name, (right + aside, top + height / 2.0), BODY);
    canvas.label(name.anchored(Anchor::Middle).upright());
}

/// A bar from 0 at the left to 1 at the right in the colors of a scale; gives where it ends with its numbers, which
/// stand below it.
pub(crate) fn flat_bar(
    canvas: &mut Canvas,
    (left, top): (f64, f64),
    width: f64,
    scale: fn(f64) -> Color,
) -> f64 {
    const STEPS: u32 = 64;
    let bottom = top + 6.0;
    for step in 0..STEPS {
        let place = left + width * f64::from(step) / f64::from(STEPS);
        let value = (f64::from(step) + 0.5) / f64::from(STEPS);
        // Each step reaches to the end, as in [`bar`].
        canvas.rect(place, top, left + width, bottom, scale(value));
    }
    let right = left + width;
    let corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
    canvas.line(corners.to_vec(), Stroke::axis());
    for value in ["0", "0.5", "1"] {
        let x = left + width * value.parse::<f64>().unwrap_or(0.0);
        canvas.line(vec![(x, bottom), (x, bottom + 2.0)], Stroke::axis());
        canvas.label(Label::new(value, (x, bottom + 2.0 + BODY), BODY).anchored(Anchor::Middle));
    }
    right + BODY / 2.0
}
