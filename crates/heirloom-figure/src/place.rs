//! Labels beside what they name, where there is room.

use crate::axes::{LEADING, Panel};
use crate::canvas::{Canvas, Label, Point, Stroke};
use crate::style::{AXIS, BODY, Look};
use crate::text::{self, Weight};

/// From the end of a line to its label: a leader and the line's marker.
const LEADER: f64 = 9.0;
const AFTER_MARKER: f64 = 4.0;
/// From one label to the next.
const PITCH: f64 = LEADING - 0.8;

/// A label at the end of a line.
pub(crate) struct End<'a> {
    pub(crate) at: Point,
    pub(crate) label: &'a str,
    pub(crate) look: Look,
}

/// What labels take beside a panel of `height` when they are at most `room` wide and one of each fits.
pub(crate) fn room_for<'a>(
    labels: impl Iterator<Item = &'a str> + Clone,
    height: f64,
    room: f64,
) -> Option<f64> {
    let widest = labels.clone().map(|label| text::width(label, BODY, Weight::Regular)).fold(0.0, f64::max);
    let high = labels.count() as f64 * PITCH;
    (widest <= room && high <= height - 2.5).then_some(LEADER + AFTER_MARKER + widest)
}

/// Names lines right of `panel`, at the height of their ends or near it.
pub(crate) fn name_ends(canvas: &mut Canvas, panel: &Panel, ends: &[End<'_>]) {
    let wanted: Vec<f64> = ends.iter().map(|end| end.at.1).collect();
    // The first stays clear of what stands above the panel.
    let room = (panel.top + 2.5 - PITCH / 2.0, panel.bottom + PITCH / 2.0);
    let Some(places) = apart(&wanted, &vec![PITCH; ends.len()], room) else { return };
    let x = panel.right + LEADER;
    for (end, y) in ends.iter().zip(places) {
        canvas.line(vec![end.at, (x, y)], Stroke::solid(end.look.color, AXIS));
        canvas.marker((x, y), end.look.marker, 1.0, end.look.color);
        canvas.label(Label::new(end.label, (x + AFTER_MARKER, y), BODY).centered());
    }
}

/// Moves centers as little as it can so that things of the given sizes lie between `low` and `high` without
/// overlap, in the order of the places they want; nothing when they do not fit.
pub(crate) fn apart(wanted: &[f64], sizes: &[f64], (low, high): (f64, f64)) -> Option<Vec<f64>> {
    let total: f64 = sizes.iter().sum();
    if total > high - low {
        return None;
    }
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    // With what stands before each taken off, places that do not overlap are places that do not fall.
    let mut before = 0.0;
    let mut blocks: Vec<(f64, usize)> = vec![];
    let mut offsets = vec![];
    for index in &order {
        let offset = before + sizes[*index] / 2.0;
        offsets.push(offset);
        before += sizes[*index];
        blocks.push((wanted[*index] - offset, 1));
        while let [.., (a, n), (b, m)] = blocks[..]
            && a > b
        {
            blocks.truncate(blocks.len() - 2);
            blocks.push(((a * n as f64 + b * m as f64) / (n + m) as f64, n + m));
        }
    }
    let starts = blocks.into_iter().flat_map(|(start, n)| std::iter::repeat_n(start, n));
    let mut placed = vec![0.0; wanted.len()];
    for ((index, start), offset) in order.into_iter().zip(starts).zip(offsets) {
        placed[index] = start.clamp(low, high - total) + offset;
    }
    Some(placed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_move_only_where_they_must() {
        let check = |wanted: &[f64], ends, expected: Option<&[f64]>| {
            assert_eq!(apart(wanted, &vec![2.0; wanted.len()], ends).as_deref(), expected);
        };
        check(&[8.0, 3.0], (0.0, 10.0), Some(&[8.0, 3.0]));
        check(&[5.0, 5.0], (0.0, 10.0), Some(&[4.0, 6.0]));
        check(&[5.0, 5.0, 9.0], (0.0, 10.0), Some(&[4.0, 6.0, 9.0]));
        check(&[0.0, 0.0, 0.0], (0.0, 10.0), Some(&[1.0, 3.0, 5.0]));
        check(&[10.0, 9.0], (0.0, 10.0), Some(&[9.0, 7.0]));
        check(&[1.0; 5], (0.0, 10.0), Some(&[1.0, 3.0, 5.0, 7.0, 9.0]));
        check(&[1.0; 6], (0.0, 10.0), None);
        check(&[], (0.0, 10.0), Some(&[]));
    }

    #[test]
    fn things_of_different_sizes_touch_at_most() {
        assert_eq!(apart(&[4.0, 4.5], &[2.0, 6.0], (0.0, 10.0)), Some(vec![2.25, 6.25]));
    }
}
