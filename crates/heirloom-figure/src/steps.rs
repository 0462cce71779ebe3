//! An axis of training steps: spaced like a logarithm, with room for step 0.

use crate::axes::{Scale, Tick};
use crate::style::BODY;
use crate::text::{self, Weight};

/// Left free between two numbers.
const APART: f64 = 3.0;

/// Steps in order, each once, and where they stand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Steps {
    steps: Vec<i64>,
    /// The first step after 0.
    unit: i64,
}

impl Steps {
    pub(crate) fn new(steps: impl IntoIterator<Item = i64>) -> Self {
        let mut steps: Vec<i64> = steps.into_iter().collect();
        steps.sort_unstable();
        steps.dedup();
        let unit = steps.iter().copied().find(|step| *step > 0).unwrap_or(1);
        Self { steps, unit }
    }

    /// `log(1 + step / unit)`: 0 stands at 0, doubled steps are about as far from each other.
    pub(crate) fn place(&self, step: i64) -> f64 {
        (step.max(0) as f64 / self.unit as f64).ln_1p()
    }

    pub(crate) fn is_single(&self) -> bool {
        self.steps.len() == 1
    }

    /// Whether a step lies between the first and the last.
    pub(crate) fn reaches(&self, step: i64) -> bool {
        let ends = self.steps.first().zip(self.steps.last());
        ends.is_some_and(|(first, last)| (*first..=*last).contains(&step))
    }

    /// How steps are spaced, in words.
    pub(crate) fn spacing(&self) -> String {
        match self.unit {
            1 => "log(1 + step)".into(),
            unit => format!("log(1 + step / {unit})"),
        }
    }

    /// From the first step to the last, with some room at both ends.
    pub(crate) fn scale(&self, from: f64, to: f64) -> Scale {
        let ends = [self.steps.first(), self.steps.last()];
        let [low, high] = ends.map(|step| step.map_or(0.0, |step| self.place(*step)));
        let room = if high > low { 0.03 * (high - low) } else { 0.5 };
        Scale { low: low - room, high: high + room, from, to }
    }

    /// A number at the first and the last step, and at those between whose numbers fit.
    pub(crate) fn ticks(&self, scale: &Scale) -> Vec<Tick> {
        let half = |step: i64| text::width(&step.to_string(), BODY, Weight::Regular) / 2.0;
        let at = |step: i64| scale.at(self.place(step));
        let mut shown: Vec<i64> = vec![];
        let last = self.steps.last().copied();
        for step in self.steps.iter().copied() {
            let fits = |other: i64| (at(step) - at(other)).abs() >= half(step) + half(other) + APART;
            let is_end = shown.is_empty() || Some(step) == last;
            if is_end || (shown.last().copied().is_none_or(fits) && last.is_none_or(fits)) {
                shown.push(step);
            }
        }
        shown.into_iter().map(|step| (self.place(step), step.to_string())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubled_steps_are_evenly_spaced_and_zero_has_a_place() {
        let steps = Steps::new([62, 0, 2, 4, 8, 16, 32, 8]);
        let places: Vec<f64> = [0, 2, 4, 8, 16, 32, 62].map(|step| steps.place(step)).into();
        assert!(places[0].abs() < 1e-12);
        for pair in places.windows(2) {
            assert!((0.4..0.7).contains(&(pair[1] - pair[0])), "{places:?}");
        }
        assert_eq!(steps.spacing(), "log(1 + step / 2)");
    }

    #[test]
    fn numbers_that_do_not_fit_are_left_out_but_never_the_ends() {
        let shown = |steps: &Steps, wide| -> Vec<String> {
            steps.ticks(&steps.scale(0.0, wide)).into_iter().map(|(_, text)| text).collect()
        };
        let few = Steps::new([0, 2, 4, 8, 16, 32, 62]);
        assert_eq!(shown(&few, 100.0), ["0", "2", "4", "8", "16", "32", "62"]);
        assert_eq!(shown(&few, 40.0), ["0", "2", "8", "62"]);
        assert_eq!(shown(&Steps::new(0..500), 60.0).last().unwrap(), "499");
        assert_eq!(shown(&Steps::new([7]), 60.0), ["7"]);
        assert!(shown(&Steps::new([]), 60.0).is_empty());
    }
}
