//! Which rows are read at which step.

use std::ops::Range;

use super::options::{Length, Order, TrainOptions};
use super::rows::TrainRow;
use crate::{Error, Result, random};

/// The order of rows of a whole run: a step's rows follow from its number alone.
pub(crate) struct Plan {
    seed: u64,
    order: Order,
    batch_rows: usize,
    accumulate: usize,
    lengths: Vec<usize>,
    steps: usize,
    /// The epoch whose batches are at hand.
    epoch: Option<(usize, Vec<Vec<usize>>)>,
}

impl Plan {
    /// # Errors
    /// There are no rows, or a checkpoint lies behind the last step.
    pub(crate) fn new(rows: &[TrainRow], options: &TrainOptions) -> Result<Self> {
        if rows.is_empty() {
            return Err(Error::Setting { key: "rows", expected: "1 or more", found: "0".into() });
        }
        let mut plan = Self {
            seed: options.seed,
            order: options.order,
            batch_rows: options.batch_rows,
            accumulate: options.accumulate,
            lengths: rows.iter().map(|row| row.ids.len()).collect(),
            steps: 0,
            epoch: None,
        };
        plan.steps = match options.length {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => epochs * plan.steps_of_epoch(),
        };
        match options.checkpoints.iter().find(|step| **step > plan.steps) {
            Some(step) => Err(Error::CheckpointBehindTheEnd { step: *step, steps: plan.steps }),
            None => Ok(plan),
        }
    }

    /// Updates of the whole run.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    /// Updates of one pass over all rows.
    fn steps_of_epoch(&self) -> usize {
        self.lengths.len().div_ceil(self.batch_rows).div_ceil(self.accumulate)
    }

    /// The epoch of the update after `done` updates, counted from 0.
    pub(crate) fn epoch_of(&self, done: usize) -> usize {
        done / self.steps_of_epoch()
    }

    /// The batches of the update after `done` updates.
    pub(crate) fn batches(&mut self, done: usize) -> &[Vec<usize>] {
        let (epoch, at) = (self.epoch_of(done), done % self.steps_of_epoch());
        if self.epoch.as_ref().is_none_or(|(known, _)| *known != epoch) {
            self.epoch = Some((epoch, self.order_of(epoch)));
        }
        let batches = self.epoch.as_ref().map_or(&[][..], |(_, batches)| batches);
        let range: Range<usize> = at * self.accumulate..((at + 1) * self.accumulate).min(batches.len());
        &batches[range]
    }

    fn order_of(&self, epoch: usize) -> Vec<Vec<usize>> {
        let n = self.lengths.len();
        let mut stream = random::stream("shuffle", self.seed, &epoch.to_string());
        let cut = |rows: &[usize]| rows.chunks(self.batch_rows).map(<[usize]>::to_vec).collect::<Vec<_>>();
        match self.order {
            Order::AsGiven => cut(&(0..n).collect::<Vec<_>>()),
            Order::Shuffle => cut(&random::permutation(&mut stream, n)),
            Order::Buckets(batches) => {
                let mut rows = random::permutation(&mut stream, n);
                for group in rows.chunks_mut(batches * self.batch_rows) {
                    group.sort_by_key(|row| self.lengths[*row]);
                }
                let batches = cut(&rows);
                let order = random::permutation(&mut stream, batches.len());
                order.into_iter().map(|batch| batches[batch].clone()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(n: usize, change: impl FnOnce(&mut TrainOptions)) -> Plan {
        let row = |i: usize| TrainRow::on_all(i.to_string(), vec![0; 1 + i * 7 % 10]);
        let rows: Vec<TrainRow> = (0..n).map(row).collect();
        let mut options =
            TrainOptions { batch_rows: 4, length: Length::Epochs(2), ..TrainOptions::default() };
        change(&mut options);
        Plan::new(&rows, &options).unwrap()
    }

    fn all(plan: &mut Plan) -> Vec<Vec<Vec<usize>>> {
        (0..plan.steps()).map(|step| plan.batches(step).to_vec()).collect()
    }

    #[test]
    fn every_row_comes_once_an_epoch() {
        for order in [Order::Shuffle, Order::Buckets(2), Order::AsGiven] {
            for accumulate in [1, 2, 5] {
                let mut plan = plan(10, |o| (o.order, o.accumulate) = (order, accumulate));
                assert_eq!(plan.steps(), 2 * 3_usize.div_ceil(accumulate));
                let steps = all(&mut plan);
                for epoch in steps.chunks(steps.len() / 2) {
                    let mut rows = epoch.concat().concat();
                    rows.sort_unstable();
                    assert_eq!(rows, (0..10).collect::<Vec<_>>(), "{order:?} {accumulate}");
                }
            }
        }
    }

    #[test]
    fn orders_are_what_they_say() {
        assert_eq!(all(&mut plan(6, |o| o.order = Order::AsGiven))[..2], [[vec![0, 1, 2, 3]], [vec![4, 5]]]);
        let first = all(&mut plan(40, |_| ()));
        assert_eq!(first, all(&mut plan(40, |_| ())));
        assert_ne!(first, all(&mut plan(40, |o| o.seed = 1)));
        assert_ne!(first[..10], first[10..], "each epoch has its own order");
        let spread = |order| {
            let mut plan = plan(40, |o| o.order = order);
            let widths = all(&mut plan).concat().into_iter().map(|batch| {
                let lengths: Vec<usize> = batch.iter().map(|row| plan.lengths[*row]).collect();
                lengths.iter().max().unwrap() - lengths.iter().min().unwrap()
            });
            widths.sum::<usize>()
        };
        assert!(3 * spread(Order::Buckets(10)) < spread(Order::Shuffle));
    }

    #[test]
    fn a_step_follows_from_its_number_alone() {
        let mut whole = plan(10, |o| o.length = Length::Steps(9));
        let steps = all(&mut whole);
        for step in [7, 2, 8, 0, 3] {
            let mut resumed = plan(10, |o| o.length = Length::Steps(9));
            assert_eq!(resumed.batches(step), steps[step]);
            assert_eq!(whole.batches(step), steps[step]);
        }
        assert_eq!((whole.epoch_of(2), whole.epoch_of(3)), (0, 1));
    }

    #[test]
    fn checkpoints_lie_inside_the_run() {
        let rows = [TrainRow::on_all("a", vec![1, 2])];
        let options = TrainOptions { checkpoints: vec![0, 1, 3], ..TrainOptions::default() };
        let error = Plan::new(&rows, &options).err().unwrap().to_string();
        assert_eq!(error, "checkpoint 3 lies behind the last step, 1");
        assert!(Plan::new(&[], &options).is_err());
    }
}
