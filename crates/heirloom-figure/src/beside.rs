//! What a track stands beside: bands of controls behind its numbers, and steps that say when it moves.

use heirloom_record::Metric;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::arm::{Arm, Quantity};
use crate::axes::{Panel, Scale};
use crate::canvas::{Canvas, Ink, Stroke};
use crate::legend::{Item, Sample};
use crate::marks::{ribbon, runs};
use crate::mean::{Mean, kinds, mean, of_behavior, track};
use crate::select::counts;
use crate::steps::Steps;
use crate::style::{AXIS, Color, Dash};

/// Rows that stand beside a quantity, in its places, and how a figure calls them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beside {
    /// The metric.
    pub metric: String,
    /// As the figure says.
    pub label: String,
}

impl Beside {
    /// Rows of `metric`, called `label`.
    pub fn new(metric: impl Into<String>, label: impl Into<String>) -> Self {
        Self { metric: metric.into(), label: label.into() }
    }

    /// `quantity`, of these rows.
    fn of(&self, quantity: &Quantity) -> Quantity {
        Quantity { metric: self.metric.clone(), method: None, fit_on: None, ..quantity.clone() }
    }

    /// What controls gave at each step.
    pub(crate) fn band(
        &self,
        rows: &[Metric],
        quantity: &Quantity,
        (behavior, arm): (&str, &Arm),
        steps: &[i64],
    ) -> Result<Vec<(i64, Mean)>> {
        track(&of_behavior(rows, &self.of(quantity), behavior)?, arm, steps)
    }

    /// The step that a row holds for its value; none where it has none.
    pub(crate) fn step(
        &self,
        rows: &[Metric],
        quantity: &Quantity,
        (behavior, arm): (&str, &Arm),
    ) -> Result<Option<i64>> {
        let found = mean(&of_behavior(rows, &self.of(quantity), behavior)?, arm)?;
        #[expect(clippy::cast_possible_truncation, reason = "steps are whole and far below 2^53")]
        let step = |value: f64| value.round() as i64;
        Ok(found.over_seeds.value.map(step))
    }
}

/// A band of controls along the steps; at a single one as wide as a third of the panel.
pub(crate) fn draw_null(
    canvas: &mut Canvas,
    index: usize,
    band: &[(i64, Mean)],
    (steps, x, y): (&Steps, &Scale, &Scale),
) {
    let (ink, edge) = null_look(index);
    let places = band.iter().map(|(step, mean)| (steps.place(*step), mean.over_seeds.interval));
    for mut run in runs(places) {
        if let [(place, interval)] = run[..] {
            let aside = if steps.is_single() { (x.high - x.low) / 6.0 } else { 0.0 };
            run = vec![(place - aside, interval), (place + aside, interval)];
        }
        ribbon(canvas, &run, ink, Some(edge), (x, y));
    }
}

/// An upright line.
pub(crate) fn draw_mark(canvas: &mut Canvas, index: usize, panel: &Panel, x: f64) {
    panel.upright(canvas, x, mark_look(index));
}

/// Fill and edge of the band with this place in the spec.
fn null_look(index: usize) -> (Ink, Stroke) {
    let dash = [Dash::Dotted, Dash::Short, Dash::Solid, Dash::DashDot][index % 4];
    (Color::GRAY.faint(0.14), Stroke { color: Color::GRAY, width: AXIS, dash })
}

fn mark_look(index: usize) -> Stroke {
    let dash = [Dash::Short, Dash::DashDot, Dash::Solid, Dash::Dotted][index % 4];
    Stroke { color: Color::BLACK, width: AXIS * 1.2, dash }
}

/// The band's sample in a legend.
pub(crate) fn null_item(index: usize, label: &str) -> Item {
    let (ink, edge) = null_look(index);
    (Sample::Band { ink, edge }, label.to_owned())
}

/// The upright line's.
pub(crate) fn mark_item(index: usize, label: &str) -> Item {
    (Sample::Rule(mark_look(index)), label.to_owned())
}

/// What a band is, for a caption.
pub(crate) fn null_note<'a>(label: &str, means: impl Iterator<Item = &'a Mean> + Clone) -> String {
    let kind = kinds(means.clone());
    let kind = if kind.is_empty() { "interval not stated".into() } else { kind };
    let n = counts(means.map(|mean| mean.over_seeds.n), None).map(|n| format!(", {n}")).unwrap_or_default();
    format!("Gray, {label}: {kind}{n}")
}
