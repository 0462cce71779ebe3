//! The step from which on a shift is more than training moves anyway.

use super::side;
use crate::control::NullBand;
use crate::rate::Estimate;

/// A step, the shift there, and how far each family of controls has moved.
pub type Shifted = (usize, Estimate, Vec<NullBand>);

/// The first step from which on every shift lies outside the middle 95 % of all families of controls, on one side, and its interval excludes zero.
pub fn beyond_controls(shifts: &[Shifted]) -> Option<usize> {
    let sides: Vec<(usize, Option<f64>)> =
        shifts.iter().map(|(step, shift, bands)| (*step, side_beyond(shift, bands))).collect();
    lasting(&sides)
}

/// The side on which a shift lies outside all bands and its interval excludes zero.
pub fn side_beyond(shift: &Estimate, bands: &[NullBand]) -> Option<f64> {
    let side = side(shift)?;
    let is_beyond =
        |band: &NullBand| if side > 0.0 { shift.value > band.high } else { shift.value < band.low };
    bands.iter().all(is_beyond).then_some(side)
}

/// The first step from which on all have a side, the same one.
pub(super) fn lasting(sides: &[(usize, Option<f64>)]) -> Option<usize> {
    let last = sides.last()?.1?;
    sides.iter().rev().take_while(|(_, side)| *side == Some(last)).last().map(|(step, _)| *step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_lasts_to_the_end() {
        let check = |sides: &[Option<f64>], expected| {
            let steps: Vec<(usize, Option<f64>)> = (0..).step_by(10).zip(sides.iter().copied()).collect();
            assert_eq!(lasting(&steps), expected, "{sides:?}");
        };
        let (up, down) = (Some(1.0), Some(-1.0));
        check(&[None, up, up], Some(10));
        check(&[up, None, up], Some(20));
        check(&[up, down, down], Some(10));
        check(&[up, up, None], None);
        check(&[], None);
    }
}
