//! How far two models' next-token predictions lie apart on the same tokens.

use ndarray::ArrayView2;
use std::collections::BTreeSet;

use crate::batch::{Batch, check_row};
use crate::forward::Model;
use crate::hooks::Hooks;
use crate::{Result, Student, TokenRow};

/// How far one model's logits lie from another's, over every position of some rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct LogitChange {
    /// Positions looked at.
    pub positions: usize,
    /// Largest change of one logit.
    pub largest: f64,
    /// Largest logit of the first model, as a magnitude.
    pub scale: f64,
    /// Root mean square of the changes, over every logit of every position, each position's mean change taken out: it
    /// changes no distribution.
    pub rms: f64,
    /// Standard deviation of the first model's logits within a position, over all positions.
    pub spread: f64,
    /// Mean over positions of the divergence of the second model's next-token distribution from the first's, in nats.
    pub kl: f64,
    /// Share of positions whose likeliest next token is another one.
    pub other_top: f64,
}

impl LogitChange {
    /// Takes in one row's logits, `[pos, d_vocab]`.
    pub(crate) fn add(&mut self, before: ArrayView2<'_, f32>, after: ArrayView2<'_, f32>) {
        for (before, after) in before.rows().into_iter().zip(after.rows()) {
            let pairs = || before.iter().zip(after).map(|(a, b)| (f64::from(*a), f64::from(*b)));
            let (a, b) = (log_sum(pairs().map(|(a, _)| a)), log_sum(pairs().map(|(_, b)| b)));
            let kl: f64 = pairs().map(|(x, y)| (x - a).exp() * ((x - a) - (y - b))).sum();
            let other = top(before.iter()) != top(after.iter());
            let seen = self.positions as f64;
            self.kl = (self.kl * seen + kl.max(0.0)) / (seen + 1.0);
            self.other_top = (self.other_top * seen + f64::from(u8::from(other))) / (seen + 1.0);
            let mean = |root: f64, new: f64| ((root.powi(2) * seen + new) / (seen + 1.0)).sqrt();
            self.rms = mean(self.rms, variance(pairs().map(|(x, y)| y - x)));
            self.spread = mean(self.spread, variance(pairs().map(|(x, _)| x)));
            self.largest = pairs().map(|(x, y)| (x - y).abs()).fold(self.largest, larger);
            self.scale = pairs().map(|(x, _)| x.abs()).fold(self.scale, larger);
            self.positions += 1;
        }
    }

    /// The root mean square of the changes as a share of the logits' spread.
    pub fn share(&self) -> f64 {
        if self.rms == 0.0 { 0.0 } else { self.rms / self.spread }
    }
}

/// A number for people: three digits, or the power of ten where it is small or large.
pub(crate) fn brief(x: f64) -> String {
    match x.abs() {
        0.0 => "0".into(),
        size if (0.01..1000.0).contains(&size) => format!("{x:.3}"),
        size if size.is_nan() => "NaN".into(),
        _ => format!("{x:.1e}"),
    }
}

fn variance(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    values.map(|x| (x - mean).powi(2)).sum::<f64>() / n
}

/// The larger of two numbers; NaN where one is.
pub(crate) fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

fn log_sum(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let top = values.clone().fold(f64::NEG_INFINITY, f64::max);
    top + values.map(|x| (x - top).exp()).sum::<f64>().ln()
}

fn top<'a>(values: impl Iterator<Item = &'a f32>) -> Option<usize> {
    values.enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(index, _)| index)
}

impl Model {
    /// Logits of every position of rows that share a batch, row after row.
    pub(crate) fn all_logits(&self, rows: &[&TokenRow]) -> Result<Vec<ndarray::Array2<f32>>> {
        let ids: Vec<&[u32]> = rows.iter().map(|row| row.ids.as_slice()).collect();
        let batch = Batch::new(&ids, &self.rotary, &self.device)?;
        let mut see = |_, _: &candle_core::Tensor| Ok(());
        let x = self.to_the_end(&batch, None, &mut Hooks::new(None, &BTreeSet::new(), true, &mut see))?;
        let one = |segment: &crate::kernels::Segment| {
            let logits = self.logits(&x.narrow(0, segment.q.start, segment.q.len())?)?;
            crate::capture::to_array2(&logits)
        };
        batch.segments.iter().map(one).collect()
    }
}

impl Student {
    /// What the adapter does to the logits on these rows; none where there is no adapter.
    ///
    /// Cost: two forward passes of every row, one row at a time.
    ///
    /// # Errors
    /// A row is empty, too long or holds an unknown token.
    pub fn adapter_effect(&self, rows: &[TokenRow]) -> Result<Option<LogitChange>> {
        if self.model().lora().is_none() {
            return Ok(None);
        }
        let bare = self.without_adapter()?;
        self.logit_change(&bare, rows).map(Some)
    }

    /// How far `other`'s logits on these rows lie from this student's.
    ///
    /// # Errors
    /// A row is empty, too long or holds an unknown token.
    pub fn logit_change_to(&self, other: &Self, rows: &[TokenRow]) -> Result<LogitChange> {
        other.logit_change(self.model(), rows)
    }

    fn logit_change(&self, before: &Model, rows: &[TokenRow]) -> Result<LogitChange> {
        let mut change = LogitChange::default();
        for row in rows {
            check_row(&row.id, &row.ids, self.config())?;
            let (before, after) = (before.all_logits(&[row])?, self.model().all_logits(&[row])?);
            change.add(before[0].view(), after[0].view());
        }
        Ok(change)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn change(before: &ndarray::Array2<f32>, after: &ndarray::Array2<f32>) -> LogitChange {
        let mut change = LogitChange::default();
        change.add(before.view(), after.view());
        change
    }

    #[test]
    fn numbers_for_people_are_short() {
        for (x, said) in
            [(0.0, "0"), (0.0123, "0.012"), (24.75, "24.750"), (6.5e-7, "6.5e-7"), (4e5, "4.0e5")]
        {
            assert_eq!(brief(x), said);
        }
        assert_eq!(brief(f64::NAN), "NaN");
    }

    #[test]
    fn the_divergence_is_that_of_the_formula() {
        let (before, after) = (array![[0.0, 1.0], [2.0, 0.0]], array![[0.0, 1.0], [0.0, 1.0]]);
        let found = change(&before, &after);
        let p = [1.0, (-2.0_f64).exp()].map(|x| x / (1.0 + (-2.0_f64).exp()));
        let q = [1.0, 1.0_f64.exp()].map(|x| x / (1.0 + 1.0_f64.exp()));
        let kl: f64 = p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum();
        assert!((found.kl - kl / 2.0).abs() < 1e-12, "{found:?} {kl}");
        assert_eq!((found.positions, found.largest, found.scale), (2, 2.0, 2.0));
        assert!((found.other_top - 0.5).abs() < 1e-12);
        // Changes of -2 and 1 at the second position, none at the first; spreads of 1/2 and 1.
        assert!((found.rms - (2.25_f64 / 2.0).sqrt()).abs() < 1e-12, "{found:?}");
        assert!((found.spread - (1.25_f64 / 2.0).sqrt()).abs() < 1e-12, "{found:?}");
        // Adding one number to all logits of a position changes no distribution.
        let shifted = change(&before, &(&before + 3.0));
        assert!(shifted.kl < 1e-12 && shifted.share() < 1e-12 && shifted.largest > 2.9, "{shifted:?}");
        assert_eq!(change(&before, &before).share().to_bits(), 0.0_f64.to_bits());
        assert!(change(&before, &array![[f32::NAN, 1.0], [2.0, 0.0]]).largest.is_nan());
    }
}
