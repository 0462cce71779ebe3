//! How a student is trained.

use serde::{Deserialize, Serialize};

use crate::lora::Lora;
use crate::{Dtype, Error, Result};

/// How long a student is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// Updates of the weights; rows come again as often as it takes.
    Steps(usize),
    /// Passes over all rows.
    Epochs(usize),
}

/// In which order rows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Shuffled anew in every epoch.
    Shuffle,
    /// Shuffled, then sorted by length within groups of this many batches, so that rows of a batch have similar
    /// lengths; batches are shuffled again. Saves padding on a GPU; the processor does not pad.
    Buckets(usize),
    /// As they were given, in every epoch.
    AsGiven,
}

/// How the learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// It does not.
    Constant,
    /// Along a line.
    Linear,
    /// Along half a cosine.
    Cosine,
}

/// How a student is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainOptions {
    /// Root of the random streams: order of rows, fresh adapters.
    pub seed: u64,
    /// How long.
    pub length: Length,
    /// Rows of one forward pass; the last batch of an epoch holds what is left.
    pub batch_rows: usize,
    /// Batches of one update. The loss is the mean over the tokens of all of them together.
    pub accumulate: usize,
    /// In which order rows come.
    pub order: Order,
    /// The highest learning rate.
    pub lr: f64,
    /// Share of the steps in which the learning rate rises to [`Self::lr`] along a line.
    pub warmup: f64,
    /// How it falls then.
    pub schedule: Schedule,
    /// Where it falls to, as a share of [`Self::lr`].
    pub floor: f64,
    /// Decay of the running means of gradients and of their squares.
    pub betas: [f64; 2],
    /// Added to the root of the mean square.
    pub eps: f64,
    /// Matrices lose this share of themselves, times the learning rate, at every step; norms and biases do not.
    pub weight_decay: f64,
    /// Gradients longer than this together are scaled down to it.
    pub clip: Option<f64>,
    /// Numbers that forward and backward passes compute in. Weights and the optimizer stay in f32.
    pub dtype: Dtype,
    /// Train a low-rank adapter and leave the weights as they are.
    pub lora: Option<Lora>,
    /// Steps after which the student is looked at; 0 is before the first. The last step always is one.
    pub checkpoints: Vec<usize>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            length: Length::Epochs(1),
            batch_rows: 32,
            accumulate: 1,
            order: Order::Shuffle,
            lr: 5e-4,
            warmup: 0.05,
            schedule: Schedule::Cosine,
            floor: 0.1,
            betas: [0.9, 0.95],
            eps: 1e-8,
            weight_decay: 0.01,
            clip: Some(1.0),
            dtype: Dtype::F32,
            lora: None,
            checkpoints: Vec::new(),
        }
    }
}

impl TrainOptions {
    /// Refuses settings outside their ranges.
    pub fn check(&self) -> Result<()> {
        let number = |key, expected, found: f64, fits: bool| {
            if fits && found.is_finite() {
                Ok(())
            } else {
                Err(Error::Setting { key, expected, found: found.to_string() })
            }
        };
        let count = |key, found: usize| match found {
            0 => Err(Error::Setting { key, expected: "1 or more", found: found.to_string() }),
            _ => Ok(()),
        };
        match self.length {
            Length::Steps(n) => count("length.steps", n)?,
            Length::Epochs(n) => count("length.epochs", n)?,
        }
        count("batch_rows", self.batch_rows)?;
        count("accumulate", self.accumulate)?;
        if let Order::Buckets(batches) = self.order {
            count("order.buckets", batches)?;
        }
        let share = |x: f64| (0.0..1.0).contains(&x);
        number("lr", "above 0", self.lr, self.lr > 0.0)?;
        number("warmup", "0 or more and below 1", self.warmup, share(self.warmup))?;
        number("floor", "between 0 and 1", self.floor, (0.0..=1.0).contains(&self.floor))?;
        for beta in self.betas {
            number("betas", "0 or more and below 1", beta, share(beta))?;
        }
        number("eps", "above 0", self.eps, self.eps > 0.0)?;
        number("weight_decay", "0 or more", self.weight_decay, self.weight_decay >= 0.0)?;
        if let Some(clip) = self.clip {
            number("clip", "above 0", clip, clip > 0.0)?;
        }
        if self.dtype == Dtype::F16 {
            let expected = "`f32` or `bf16`: gradients overflow and vanish in f16 without loss scaling";
            return Err(Error::Setting { key: "dtype", expected, found: self.dtype.to_string() });
        }
        self.lora.as_ref().map_or(Ok(()), Lora::check)
    }

    /// The learning rate of the update after `done` of `steps` updates.
    pub fn lr_at(&self, done: usize, steps: usize) -> f64 {
        let (t, n) = (done as f64, steps as f64);
        let rising = (n * self.warmup).ceil();
        if t < rising {
            return self.lr * (t + 1.0) / rising;
        }
        let progress = (t - rising) / (n - rising).max(1.0);
        let left = match self.schedule {
            Schedule::Constant => return self.lr,
            Schedule::Linear => 1.0 - progress,
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        };
        self.lr * (self.floor + (1.0 - self.floor) * left)
    }
}

/// Steps at doubling distances up to `last`: 0, 1, 2, 4, 8, …, `last`; what forms early is seen while it forms.
///
/// Give the steps of one epoch as `last` for checkpoints inside the first epoch.
///
/// ```
/// assert_eq!(heirloom_model::log_spaced_steps(31), [0, 1, 2, 4, 8, 16, 31]);
/// ```
pub fn log_spaced_steps(last: usize) -> Vec<usize> {
    let doubling = std::iter::successors(Some(1_usize), |step| step.checked_mul(2));
    let mut steps = vec![0];
    steps.extend(doubling.take_while(|step| *step < last));
    steps.extend((last > 0).then_some(last));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learning_rates_rise_and_fall() {
        let check = |schedule, expected: [f64; 10]| {
            let options =
                TrainOptions { lr: 1.0, warmup: 0.2, floor: 0.5, schedule, ..TrainOptions::default() };
            for (step, expected) in expected.into_iter().enumerate() {
                let found = options.lr_at(step, 10);
                assert!((found - expected).abs() < 1e-3, "{schedule:?} {step}: {found} {expected}");
            }
        };
        check(Schedule::Constant, [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        check(Schedule::Linear, [0.5, 1.0, 1.0, 0.9375, 0.875, 0.8125, 0.75, 0.6875, 0.625, 0.5625]);
        check(Schedule::Cosine, [0.5, 1.0, 1.0, 0.981, 0.9268, 0.8457, 0.75, 0.6543, 0.5732, 0.519]);
        let alone = TrainOptions { lr: 2.0, warmup: 0.0, ..TrainOptions::default() };
        assert!((alone.lr_at(0, 1) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn settings_outside_their_range_are_named() {
        let refuse = |change: &dyn Fn(&mut TrainOptions), expected: &str| {
            let mut options = TrainOptions::default();
            options.check().unwrap();
            change(&mut options);
            assert_eq!(options.check().unwrap_err().to_string(), expected);
        };
        refuse(&|o| o.lr = 0.0, "`lr` must be above 0, found 0");
        refuse(&|o| o.lr = f64::NAN, "`lr` must be above 0, found NaN");
        refuse(&|o| o.warmup = 1.0, "`warmup` must be 0 or more and below 1, found 1");
        refuse(&|o| o.batch_rows = 0, "`batch_rows` must be 1 or more, found 0");
        refuse(&|o| o.length = Length::Steps(0), "`length.steps` must be 1 or more, found 0");
        refuse(&|o| o.betas = [0.9, 1.0], "`betas` must be 0 or more and below 1, found 1");
        refuse(&|o| o.clip = Some(-1.0), "`clip` must be above 0, found -1");
    }

    #[test]
    fn steps_double() {
        assert_eq!(log_spaced_steps(0), [0]);
        assert_eq!(log_spaced_steps(1), [0, 1]);
        assert_eq!(log_spaced_steps(16), [0, 1, 2, 4, 8, 16]);
        assert_eq!(log_spaced_steps(62), [0, 1, 2, 4, 8, 16, 32, 62]);
    }
}
