//! One drawing, in points, that every file format is made from.
//!
//! plotters' charts place things on whole pixels and measure text in them; here a figure is laid out in points
//! and a [`Sheet`] turns it into a format.

use std::f64::consts::FRAC_1_SQRT_2;

use crate::Result;
use crate::style::{AXIS, BODY, Color, Dash, MARKER, Marker};
use crate::text::{self, Weight};

/// A place, in points from the top left corner.
pub(crate) type Point = (f64, f64);

/// A color with its opacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ink {
    pub(crate) color: Color,
    pub(crate) opacity: f64,
}

impl From<Color> for Ink {
    fn from(color: Color) -> Self {
        Self { color, opacity: 1.0 }
    }
}

impl Color {
    pub(crate) fn faint(self, opacity: f64) -> Ink {
        Ink { color: self, opacity }
    }
}

/// How a line is drawn. Strokes are opaque, so that a broken line has no darker joints.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stroke {
    pub(crate) color: Color,
    pub(crate) width: f64,
    pub(crate) dash: Dash,
}

impl Stroke {
    pub(crate) fn solid(color: Color, width: f64) -> Self {
        Self { color, width, dash: Dash::Solid }
    }

    /// The stroke of axes and ticks.
    pub(crate) fn axis() -> Self {
        Self::solid(Color::BLACK, AXIS)
    }
}

/// Which end of a line of text stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// One line of text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Label {
    pub(crate) text: String,
    /// On the baseline.
    pub(crate) at: Point,
    pub(crate) size: f64,
    pub(crate) weight: Weight,
    pub(crate) anchor: Anchor,
    /// Whether it reads from bottom to top.
    pub(crate) upright: bool,
    pub(crate) color: Color,
}

impl Label {
    pub(crate) fn new(text: impl Into<String>, at: Point, size: f64) -> Self {
        let (weight, anchor) = (Weight::Regular, Anchor::Start);
        Self { text: text.into(), at, size, weight, anchor, upright: false, color: Color::BLACK }
    }

    pub(crate) fn anchored(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    pub(crate) fn bold(self) -> Self {
        Self { weight: Weight::Bold, ..self }
    }

    pub(crate) fn upright(self) -> Self {
        Self { upright: true, ..self }
    }

    pub(crate) fn colored(self, color: Color) -> Self {
        Self { color, ..self }
    }

    /// Moves the baseline so that capitals and digits are centered on the place.
    pub(crate) fn centered(mut self) -> Self {
        // Capitals of Arimo are 1409 of 2048 units high.
        let down = self.size * 1409.0 / 2048.0 / 2.0;
        if self.upright {
            self.at.0 += down;
        } else {
            self.at.1 += down;
        }
        self
    }

    pub(crate) fn width(&self) -> f64 {
        text::width(&self.text, self.size, self.weight)
    }

    /// How far before its place the text begins.
    pub(crate) fn before(&self) -> f64 {
        match self.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => self.width() / 2.0,
            Anchor::End => self.width(),
        }
    }

    /// Left, top, right and bottom of its ink: capitals above, descenders below.
    pub(crate) fn bounds(&self) -> [f64; 4] {
        let (before, after) = (self.before(), self.width() - self.before());
        let (up, down) = (0.72 * self.size, 0.21 * self.size);
        let (x, y) = self.at;
        if self.upright {
            [x - up, y - after, x + down, y + before]
        } else {
            [x - before, y - up, x + after, y + down]
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Fill(Vec<Point>, Ink),
    Disc(Point, f64, Color),
    Line(Vec<Point>, Stroke),
    Label(Label),
}

/// Where a drawing is put: one file format.
pub(crate) trait Sheet {
    fn fill(&mut self, outline: &[Point], ink: Ink) -> Result<()>;
    fn disc(&mut self, center: Point, radius: f64, color: Color) -> Result<()>;
    fn stroke(&mut self, line: &[Point], width: f64, color: Color) -> Result<()>;
    fn label(&mut self, label: &Label) -> Result<()>;
}

/// A drawing of `width` × `height` points.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Canvas {
    pub(crate) width: f64,
    pub(crate) height: f64,
    shapes: Vec<Shape>,
}

impl Canvas {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { width, height, shapes: vec![] }
    }

    pub(crate) fn fill(&mut self, outline: Vec<Point>, ink: impl Into<Ink>) {
        self.shapes.push(Shape::Fill(outline, ink.into()));
    }

    pub(crate) fn rect(&mut self, left: f64, top: f64, right: f64, bottom: f64, ink: impl Into<Ink>) {
        self.fill(vec![(left, top), (right, top), (right, bottom), (left, bottom)], ink);
    }

    pub(crate) fn line(&mut self, points: Vec<Point>, stroke: Stroke) {
        self.shapes.push(Shape::Line(points, stroke));
    }

    pub(crate) fn label(&mut self, label: Label) {
        self.shapes.push(Shape::Label(label));
    }

    /// A word in place of a number, centered on `at`, in gray on white.
    pub(crate) fn remark(&mut self, text: &str, at: Point) {
        let label = Label::new(text, at, BODY).anchored(Anchor::Middle).centered().colored(Color::NOTE);
        let [left, top, right, bottom] = label.bounds();
        self.rect(left - 2.0, top - 1.0, right + 2.0, bottom + 1.0, Color::WHITE);
        self.label(label);
    }

    /// A marker whose area is about that of a disc of [`MARKER`] times `scale`.
    pub(crate) fn marker(&mut self, (x, y): Point, marker: Marker, scale: f64, color: Color) {
        let r = MARKER * scale;
        let around = |corners: &[Point]| corners.iter().map(|(dx, dy)| (x + dx * r, y + dy * r)).collect();
        // Half the length and half the width of a stroke.
        let (l, w) = (1.35, 0.38);
        let plus = [
            (w, l),
            (w, w),
            (l, w),
            (l, -w),
            (w, -w),
            (w, -l),
            (-w, -l),
            (-w, -w),
            (-l, -w),
            (-l, w),
            (-w, w),
            (-w, l),
        ];
        let slanted = plus.map(|(dx, dy)| ((dx - dy) * FRAC_1_SQRT_2, (dx + dy) * FRAC_1_SQRT_2));
        let outline = match marker {
            Marker::Circle => return self.shapes.push(Shape::Disc((x, y), r, color)),
            Marker::Square => around(&[(-0.89, -0.89), (0.89, -0.89), (0.89, 0.89), (-0.89, 0.89)]),
            Marker::Diamond => around(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
            Marker::Triangle => around(&[(0.0, -1.4), (1.25, 0.8), (-1.25, 0.8)]),
            Marker::Wedge => around(&[(0.0, 1.4), (1.25, -0.8), (-1.25, -0.8)]),
            Marker::Ring => return self.open((x, y), Marker::Circle, scale, color),
            Marker::Frame => return self.open((x, y), Marker::Square, scale, color),
            Marker::OpenTriangle => return self.open((x, y), Marker::Triangle, scale, color),
            Marker::OpenWedge => return self.open((x, y), Marker::Wedge, scale, color),
            Marker::Plus => around(&plus),
            Marker::Cross => around(&slanted),
        };
        self.fill(outline, color);
    }

    /// A marker with a white middle.
    fn open(&mut self, at: Point, marker: Marker, scale: f64, color: Color) {
        self.marker(at, marker, scale * 1.05, color);
        self.marker(at, marker, scale * 0.5, Color::WHITE);
    }

    /// The weights that its text is set in.
    pub(crate) fn weights(&self) -> Vec<Weight> {
        let mut weights: Vec<Weight> = self.labels().map(|label| label.weight).collect();
        weights.sort_unstable();
        weights.dedup();
        weights
    }

    pub(crate) fn labels(&self) -> impl Iterator<Item = &Label> {
        self.shapes.iter().filter_map(|shape| match shape {
            Shape::Label(label) => Some(label),
            _ => None,
        })
    }

    /// Draws everything onto `sheet`, in order.
    pub(crate) fn draw_on(&self, sheet: &mut impl Sheet) -> Result<()> {
        for shape in &self.shapes {
            match shape {
                Shape::Fill(outline, ink) => sheet.fill(outline, *ink)?,
                Shape::Disc(center, radius, color) => sheet.disc(*center, *radius, *color)?,
                Shape::Label(label) => sheet.label(label)?,
                Shape::Line(points, stroke) => {
                    for piece in broken(points, stroke.dash.lengths()) {
                        sheet.stroke(&piece, stroke.width, stroke.color)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A line cut into its dashes: neither plotters' backends nor its dashed series break a line by length.
fn broken(points: &[Point], lengths: &[f64]) -> Vec<Vec<Point>> {
    let (Some(first), false) = (points.first(), lengths.is_empty()) else {
        return vec![points.to_vec()];
    };
    let mut pieces = vec![vec![*first]];
    let (mut index, mut left) = (0, lengths[0]);
    for pair in points.windows(2) {
        let ((mut x, mut y), (to_x, to_y)) = (pair[0], pair[1]);
        loop {
            let rest = (to_x - x).hypot(to_y - y);
            let drawing = index % 2 == 0;
            if rest <= left {
                left -= rest;
                if drawing {
                    pieces.last_mut().expect("starts with one").push((to_x, to_y));
                }
                break;
            }
            (x, y) = (x + (to_x - x) * left / rest, y + (to_y - y) * left / rest);
            if drawing {
                pieces.last_mut().expect("starts with one").push((x, y));
            } else {
                pieces.push(vec![(x, y)]);
            }
            index = (index + 1) % lengths.len();
            left = lengths[index];
        }
    }
    pieces.retain(|piece| piece.len() > 1);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_follow_the_line_around_a_corner() {
        let pieces = broken(&[(0.0, 0.0), (4.0, 0.0), (4.0, 4.0)], &[3.0, 2.0]);
        assert_eq!(pieces, [vec![(0.0, 0.0), (3.0, 0.0)], vec![(4.0, 1.0), (4.0, 4.0)]]);
        assert_eq!(broken(&[(0.0, 0.0), (9.0, 0.0)], &[]).len(), 1);
        assert!(broken(&[(1.0, 1.0)], &[3.0, 2.0]).is_empty());
    }
}
