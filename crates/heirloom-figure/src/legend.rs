//! The key below a figure: what each line, band and mark means.

use crate::axes::LEADING;
use crate::canvas::{Canvas, Ink, Label, Point, Stroke};
use crate::marks::{seed, whisker};
use crate::style::{AXIS, BODY, Color, LINE, Look, MARGIN, Marker};
use crate::text::{self, Weight};

/// Width of a sample, in points.
const SAMPLE: f64 = 17.0;
const GAP: f64 = 3.0;
const BETWEEN: f64 = 11.0;
const ROW: f64 = LEADING + 2.0;

/// A sample of what is explained.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sample {
    /// A line with its marker, over its ribbon when it has one.
    Line { look: Look, ribbon: Option<Ink> },
    /// A band with its edges.
    Band { ink: Ink, edge: Stroke },
    /// A line without a marker.
    Rule(Stroke),
    /// A point with its interval.
    Point,
    /// A mean on its interval along x.
    Mean(Look),
    /// An interval along y.
    Interval,
    /// Single seeds.
    Seeds,
    /// A thin circle.
    Ring,
}

/// A sample with its name.
pub(crate) type Item = (Sample, String);

/// Groups of samples, in rows that fit a page; a group is not broken where it need not be.
#[derive(Clone, Debug)]
pub(crate) struct Legend(pub(crate) Vec<Vec<Item>>);

impl Legend {
    /// Where each sample begins, from the top left corner of the legend.
    fn places(&self, width: f64) -> Vec<Point> {
        let takes = |(_, name): &Item| SAMPLE + GAP + text::width(name, BODY, Weight::Regular) + BETWEEN;
        let (mut x, mut row) = (0.0, 0.0);
        let mut places = vec![];
        for group in &self.0 {
            let whole: f64 = group.iter().map(takes).sum();
            for (index, item) in group.iter().enumerate() {
                let needs = if index == 0 { whole.min(width) } else { takes(item) };
                if x > 0.0 && x + needs - BETWEEN > width {
                    (x, row) = (0.0, row + 1.0);
                }
                places.push((x, (row + 0.5) * ROW));
                x += takes(item);
            }
        }
        places
    }

    /// The height it takes on a page.
    pub(crate) fn height(&self, page: f64) -> f64 {
        self.places(page - 2.0 * MARGIN).last().map_or(0.0, |last| last.1 + 0.5 * ROW)
    }

    /// Draws it below `top`.
    pub(crate) fn draw(&self, canvas: &mut Canvas, top: f64) {
        let width = canvas.width - 2.0 * MARGIN;
        for ((sample, name), (x, y)) in self.0.iter().flatten().zip(self.places(width)) {
            let (x, y) = (MARGIN + x, top + y);
            draw_sample(canvas, sample, (x, y));
            let room = width - SAMPLE - GAP;
            let shown = text::fit(name, room, BODY, Weight::Regular);
            canvas.label(Label::new(shown, (x + SAMPLE + GAP, y), BODY).centered());
        }
    }
}

fn draw_sample(canvas: &mut Canvas, sample: &Sample, (x, y): Point) {
    let (right, middle, half) = (x + SAMPLE, x + SAMPLE / 2.0, 3.0);
    match sample {
        Sample::Line { look, ribbon } => {
            if let Some(ink) = ribbon {
                canvas.rect(x, y - half, right, y + half, *ink);
            }
            let stroke = Stroke { color: look.color, width: LINE, dash: look.dash };
            canvas.line(vec![(x, y), (right, y)], stroke);
            canvas.marker((middle, y), look.marker, 1.0, look.color);
        }
        Sample::Band { ink, edge } => {
            canvas.rect(x, y - half, right, y + half, *ink);
            if edge.width > 0.0 {
                canvas.line(vec![(x, y - half), (right, y - half)], *edge);
                canvas.line(vec![(x, y + half), (right, y + half)], *edge);
            }
        }
        Sample::Rule(stroke) => canvas.line(vec![(x, y), (right, y)], *stroke),
        Sample::Point => draw_point(canvas, (middle, y), Some((y - 4.0, y + 4.0))),
        Sample::Mean(look) => {
            whisker(canvas, (middle, y), Some([(x + 2.0, y), (right - 2.0, y)]), *look);
        }
        Sample::Interval => {
            canvas.line(vec![(middle, y - 4.0), (middle, y + 4.0)], Stroke::solid(Color::GRAY, LINE));
        }
        Sample::Ring => circle(canvas, (middle, y)),
        Sample::Seeds => {
            for aside in [-5.0, 0.0, 5.0] {
                seed(canvas, (middle + aside, y), Color::BLACK);
            }
        }
    }
}

/// A thin circle around whatever stands at a place.
pub(crate) fn circle(canvas: &mut Canvas, (x, y): Point) {
    let angles = (0..=24).map(|step| f64::from(step) / 24.0 * std::f64::consts::TAU);
    let around = angles.map(|angle| (x + 3.4 * angle.cos(), y + 3.4 * angle.sin())).collect();
    canvas.line(around, Stroke::solid(Color::BLACK, AXIS));
}

/// A reported point: an open diamond on its interval.
pub(crate) fn draw_point(canvas: &mut Canvas, (x, y): Point, interval: Option<(f64, f64)>) {
    if let Some((low, high)) = interval {
        let stroke = Stroke::solid(Color::BLACK, LINE);
        canvas.line(vec![(x, low), (x, high)], stroke);
        for end in [low, high] {
            canvas.line(vec![(x - 1.8, end), (x + 1.8, end)], Stroke::solid(Color::BLACK, AXIS * 1.5));
        }
    }
    canvas.marker((x, y), Marker::Diamond, 1.5, Color::BLACK);
    canvas.marker((x, y), Marker::Diamond, 0.85, Color::WHITE);
}
