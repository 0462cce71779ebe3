//! Panels side by side, their axes and ticks.

use crate::canvas::{Anchor, Canvas, Label, Point, Stroke};
use crate::style::{BODY, Color, FULL_WIDTH, MARGIN, ONE_COLUMN, TITLE};
use crate::text::{self, Weight};
use crate::{Error, Result};

/// Length of a tick, in points.
const TICK: f64 = 2.5;
/// From one line of body type to the next.
pub(crate) const LEADING: f64 = 9.0;
/// Between two panels of a row.
const GUTTER: f64 = 11.0;
/// Below the axis line: ticks, their numbers, the axis' name.
pub(crate) const BELOW: f64 = TICK + 2.0 * LEADING + 3.0;
/// Between two panels of a stack: ticks and a line.
pub(crate) const BETWEEN: f64 = TICK + LEADING + 6.0;
/// Panels a page has room for.
const MOST_PANELS: usize = 16;

/// From a quantity to points on the page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) from: f64,
    pub(crate) to: f64,
}

impl Scale {
    /// From `range`, or from the least to the greatest of `numbers`, with room for marks at the ends.
    pub(crate) fn around(range: Option<(f64, f64)>, numbers: impl Iterator<Item = f64>) -> Self {
        let least = (f64::INFINITY, f64::NEG_INFINITY);
        let (low, high) = numbers.fold(range.unwrap_or(least), |(low, high), x| (low.min(x), high.max(x)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        let room = if high > low { 0.03 * (high - low) } else { 0.5 };
        Self { low: low - room, high: high + room, from: 0.0, to: 1.0 }
    }

    pub(crate) fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }
}

/// A number on an axis and how it is written.
pub(crate) type Tick = (f64, String);

/// The round numbers between `low` and `high`, at most `most`, at least `finest` apart.
pub(crate) fn ticks(low: f64, high: f64, most: usize, finest: f64) -> Vec<Tick> {
    let rough = ((high - low) / most.max(2) as f64).max(finest * (1.0 - 1e-9));
    let decade = 10_f64.powf(rough.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let step = factors.iter().map(|factor| factor * decade).find(|step| *step >= rough * (1.0 - 1e-9));
    let step = step.unwrap_or(10.0 * decade);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a handful of decimals")]
    let decimals = (-(step * 1.000_001).log10().floor()).max(0.0) as usize;
    let first = (low / step - 1e-6).ceil();
    let numbers = (0..).map(|index| (first + f64::from(index)) * step);
    // Adding 0 turns -0 into 0.
    let in_range = numbers.take_while(|value| *value <= high + step * 1e-6);
    in_range.map(|value| (value, format!("{:.decimals$}", value + 0.0).replace('-', "−"))).collect()
}

/// One plotting area, in points.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
    /// Where the room right of it ends.
    pub(crate) beyond: f64,
    /// Whether it stands at the left edge and carries the y axis' numbers.
    pub(crate) is_leftmost: bool,
    /// Its letter; none when it stands alone.
    pub(crate) letter: Option<char>,
}

/// How panels stand on a page, sizes in points.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    /// Stacks of panels.
    pub(crate) count: usize,
    /// Stacks side by side.
    pub(crate) columns: usize,
    /// Panels in a stack, which share the x axis and the title.
    pub(crate) stacked: usize,
    /// Lines between the title and the first panel of a stack.
    pub(crate) lines: usize,
    /// Height of the first panel of a stack.
    pub(crate) height: f64,
    /// Height of the panels below it.
    pub(crate) lower: f64,
    /// What stands between two panels of a stack.
    pub(crate) between: f64,
    /// What stands below a stack.
    pub(crate) below: f64,
    /// What stands left of the first panel of a row.
    pub(crate) beside: f64,
    /// What stands left of every other panel.
    pub(crate) before: f64,
    /// What stands right of every panel.
    pub(crate) after: f64,
    /// What stands right of all panels.
    pub(crate) right: f64,
}

impl Grid {
    /// `count` panels, as many side by side as can be read there.
    pub(crate) fn new(count: usize, lines: usize, height: f64, beside: f64) -> Self {
        let columns = match count {
            0..=4 => count.max(1),
            5 | 6 | 9 => 3,
            _ => 4,
        };
        Self {
            count,
            columns,
            stacked: 1,
            lines,
            height,
            lower: height,
            between: BETWEEN,
            below: BELOW,
            beside,
            before: 0.0,
            after: 0.0,
            right: 0.0,
        }
    }
}

/// Panels on a page, all of one size.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) width: f64,
    /// Where the panels with their axes end.
    pub(crate) bottom: f64,
    pub(crate) panels: Vec<Panel>,
}

impl Page {
    /// Room for `count` panels of `height` points, each with a title and `lines` lines above; one panel makes a
    /// figure of one column. `beside` is what the numbers and name of the y axis take.
    pub(crate) fn new(count: usize, lines: usize, height: f64, beside: f64) -> Result<Self> {
        Self::grid(&Grid::new(count, lines, height, beside))
    }

    /// Room for the stacks of a grid; a single column makes a figure of one column. Panels come stack by stack.
    pub(crate) fn grid(grid: &Grid) -> Result<Self> {
        let Grid { count, columns, stacked, lines, height, lower, .. } = *grid;
        let Grid { between, below, beside, before, after, right, .. } = *grid;
        if count * stacked == 0 {
            return Err(Error::NoPanels);
        }
        if count * stacked > MOST_PANELS {
            return Err(Error::TooMany { what: "panels", found: count * stacked, most: MOST_PANELS });
        }
        let width = if columns <= 1 { ONE_COLUMN } else { FULL_WIDTH };
        let beyond = (GUTTER + before) * (columns - 1) as f64 + after * columns as f64 + right;
        let across = width - 2.0 * MARGIN - beside - beyond;
        let panel_width = across / columns as f64;
        let above = TITLE + 2.0 + LEADING * lines as f64 + 3.0;
        let stack = height + (between + lower) * stacked.saturating_sub(1) as f64;
        let panel = |index: usize, level: usize| {
            let (row, column) = (index / columns, index % columns);
            let left = MARGIN + beside + column as f64 * (panel_width + after + GUTTER + before);
            let top = MARGIN + above + row as f64 * (above + stack + below + 4.0);
            let (down, high) = match level {
                0 => (0.0, height),
                level => (height + between + (level - 1) as f64 * (lower + between), lower),
            };
            let top = top + down;
            // Letters run along the rows of panels.
            let in_row = columns.min(count - row * columns);
            let place = row * columns * stacked + level * in_row + column;
            let letter = char::from(b'a' + u8::try_from(place).unwrap_or(25).min(25));
            let letter = (count * stacked > 1).then_some(letter);
            let right = left + panel_width;
            Panel {
                left,
                top,
                right,
                bottom: top + high,
                beyond: right + after,
                is_leftmost: column == 0,
                letter,
            }
        };
        let stacks = (0..count).flat_map(|index| (0..stacked).map(move |level| (index, level)));
        let panels: Vec<Panel> = stacks.map(|(index, level)| panel(index, level)).collect();
        let bottom = panels.last().map_or(0.0, |last| last.bottom) + below;
        Ok(Self { width, bottom, panels })
    }
}

/// What the numbers and the name of a y axis take beside it.
pub(crate) fn beside(ticks: &[Tick]) -> f64 {
    let widest = ticks.iter().map(|(_, text)| text::width(text, BODY, Weight::Regular)).fold(0.0, f64::max);
    TICK + 1.5 + widest + 3.0 + BODY
}

impl Panel {
    pub(crate) fn width(&self) -> f64 {
        self.right - self.left
    }

    /// A line from side to side.
    pub(crate) fn across(&self, canvas: &mut Canvas, y: f64, stroke: Stroke) {
        canvas.line(vec![(self.left, y), (self.right, y)], stroke);
    }

    /// A line from the bottom to the top.
    pub(crate) fn upright(&self, canvas: &mut Canvas, x: f64, stroke: Stroke) {
        canvas.line(vec![(x, self.bottom), (x, self.top)], stroke);
    }

    /// Letter and title, and the lines below them in gray.
    pub(crate) fn header(&self, canvas: &mut Canvas, title: &str, lines: &[String]) {
        let first = self.top - 4.0 - LEADING * lines.len() as f64 - 1.5;
        let mut left = self.left;
        if let Some(letter) = self.letter {
            canvas.label(Label::new(letter, (left, first), TITLE).bold());
            left += 9.0;
        }
        let shown = text::fit(title, self.beyond - left, TITLE, Weight::Bold);
        canvas.label(Label::new(shown, (left, first), TITLE).bold());
        for (index, line) in lines.iter().enumerate() {
            let at = (self.left, first + 1.5 + LEADING * (index + 1) as f64);
            canvas.label(Label::new(line, at, BODY).colored(Color::NOTE));
        }
    }

    /// The letter of a panel below another, and a line in gray.
    pub(crate) fn subheader(&self, canvas: &mut Canvas, line: &str) {
        let (mut left, base) = (self.left, self.top - 4.0);
        if let Some(letter) = self.letter {
            canvas.label(Label::new(letter, (left, base), TITLE).bold());
            left += 9.0;
        }
        let shown = text::fit(line, self.beyond - left, BODY, Weight::Regular);
        canvas.label(Label::new(shown, (left, base), BODY).colored(Color::NOTE));
    }

    /// The x axis; its numbers and name only when it has one.
    pub(crate) fn x_axis(&self, canvas: &mut Canvas, scale: &Scale, ticks: &[Tick], name: Option<&str>) {
        let bottom = self.bottom;
        canvas.line(vec![(self.left, bottom), (self.right, bottom)], Stroke::axis());
        for (value, text) in ticks {
            let x = scale.at(*value);
            canvas.line(vec![(x, bottom), (x, bottom + TICK)], Stroke::axis());
            if name.is_some() {
                let at = (x, bottom + TICK + BODY);
                canvas.label(Label::new(text, at, BODY).anchored(Anchor::Middle));
            }
        }
        if let Some(name) = name {
            let at: Point = (f64::midpoint(self.left, self.right), bottom + TICK + BODY + LEADING);
            canvas.label(Label::new(name, at, BODY).anchored(Anchor::Middle));
        }
    }

    /// The y axis; its numbers and name only when it has one.
    pub(crate) fn y_axis(&self, canvas: &mut Canvas, scale: &Scale, ticks: &[Tick], name: Option<&str>) {
        canvas.line(vec![(self.left, self.top), (self.left, self.bottom)], Stroke::axis());
        for (value, text) in ticks {
            let y = scale.at(*value);
            canvas.line(vec![(self.left - TICK, y), (self.left, y)], Stroke::axis());
            if name.is_some() {
                let at = (self.left - TICK - 1.5, y);
                canvas.label(Label::new(text, at, BODY).anchored(Anchor::End).centered());
            }
        }
        if let Some(name) = name {
            // Capitals reach up to the left margin.
            let at = (self.left - beside(ticks) + BODY * 0.72, f64::midpoint(self.top, self.bottom));
            canvas.label(Label::new(name, at, BODY).anchored(Anchor::Middle).upright());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let texts = |low, high, most, finest| -> Vec<String> {
            ticks(low, high, most, finest).into_iter().map(|(_, text)| text).collect()
        };
        assert_eq!(texts(0.3, 1.0, 4, 0.0), ["0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(-0.5, 29.5, 6, 1.0), ["0", "5", "10", "15", "20", "25"]);
        assert_eq!(texts(-0.5, 0.5, 6, 1.0), ["0"]);
        assert_eq!(texts(-2.4, 2.4, 5, 0.0), ["−2", "−1", "0", "1", "2"]);
        assert_eq!(texts(0.0, 1.0, 5, 0.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    }

    #[test]
    fn panels_stay_on_the_page_and_apart() {
        for count in 1..=MOST_PANELS {
            let page = Page::new(count, 2, 100.0, 30.0).unwrap();
            for panel in &page.panels {
                assert!(panel.left > 0.0 && panel.right <= page.width && panel.bottom < page.bottom);
                assert!(panel.width() > 90.0, "{count} panels are {} wide", panel.width());
            }
        }
        assert!(Page::new(17, 0, 100.0, 30.0).is_err());
    }
}
