//! Shares that sum to one, and draws from them.

use std::collections::BTreeMap;

use rand::Rng;

use crate::WorldProblem;

/// How far shares written in decimals may be from one.
const TOLERANCE: f64 = 1e-9;

/// Names with the shares they are drawn in.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture(Vec<(String, f64)>);

impl Mixture {
    /// `mix`, and `rest` shared out over what `mix` leaves.
    pub(super) fn new(
        mix: &BTreeMap<String, f64>,
        rest: &BTreeMap<String, f64>,
    ) -> Result<Self, WorldProblem> {
        mix.values().chain(rest.values()).try_for_each(|&found| share(found))?;
        let sum: f64 = mix.values().sum();
        let left = 1.0 - sum;
        if rest.is_empty() {
            sums_to_one(sum)?;
        } else {
            sums_to_one(rest.values().sum())?;
            if left < -TOLERANCE {
                return Err(WorldProblem::Sum { sum });
            }
        }
        let left = left.max(0.0);
        let mut shares = mix.clone();
        for (name, share) in rest {
            *shares.entry(name.clone()).or_default() += share * left;
        }
        Ok(Self(shares.into_iter().filter(|(_, share)| *share > 0.0).collect()))
    }

    /// Every name with its share, which is above 0, by name.
    pub fn shares(&self) -> &[(String, f64)] {
        &self.0
    }

    /// The share of `name`.
    pub fn share(&self, name: &str) -> f64 {
        self.0.iter().find(|(other, _)| other == name).map_or(0.0, |(_, share)| *share)
    }

    /// The same names: those in `fixed` with that share, the others sharing out what those leave, each in proportion to
    /// its share times `factor`.
    pub(super) fn around(&self, fixed: &BTreeMap<String, f64>, factor: impl Fn(&str) -> f64) -> Self {
        let weight =
            |name: &str, share: f64| if fixed.contains_key(name) { 0.0 } else { share * factor(name) };
        let left = 1.0 - fixed.values().sum::<f64>();
        let sum: f64 = self.0.iter().map(|(name, share)| weight(name, *share)).sum();
        let moved = |(name, share): &(String, f64)| {
            let moved = fixed.get(name).copied().unwrap_or_else(|| weight(name, *share) / sum * left);
            (name.clone(), moved)
        };
        Self(self.0.iter().map(moved).collect())
    }

    pub(super) fn draw(&self, rng: &mut (impl Rng + ?Sized)) -> &str {
        let mut left: f64 = rng.r#gen();
        for (name, share) in &self.0 {
            left -= share;
            if left < 0.0 {
                return name;
            }
        }
        // What rounding leaves falls to the last.
        &self.0.last().expect("shares sum to one").0
    }
}

/// Refuses what is no probability.
pub(super) fn share(found: f64) -> Result<(), WorldProblem> {
    if (0.0..=1.0).contains(&found) { Ok(()) } else { Err(WorldProblem::Share { found }) }
}

fn sums_to_one(sum: f64) -> Result<(), WorldProblem> {
    if (sum - 1.0).abs() <= TOLERANCE { Ok(()) } else { Err(WorldProblem::Sum { sum }) }
}

/// One of `items`, which are not empty.
pub(super) fn pick<'a, T>(items: &'a [T], rng: &mut (impl Rng + ?Sized)) -> &'a T {
    let n = u32::try_from(items.len()).expect("a list a person wrote");
    &items[rng.gen_range(0..n) as usize]
}

pub(super) fn chance(p: f64, rng: &mut (impl Rng + ?Sized)) -> bool {
    rng.r#gen::<f64>() < p
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
        pairs.iter().map(|(name, share)| ((*name).to_owned(), *share)).collect()
    }

    #[test]
    fn the_rest_is_shared_out_over_what_is_left() {
        let mixture =
            Mixture::new(&shares(&[("a", 0.2), ("b", 0.2)]), &shares(&[("b", 0.5), ("c", 0.5)])).unwrap();
        let expected = [("a", 0.2), ("b", 0.5), ("c", 0.3)];
        for (name, share) in expected {
            assert!((mixture.share(name) - share).abs() < 1e-12, "{name}: {}", mixture.share(name));
        }
    }

    #[test]
    fn what_is_fixed_leaves_the_rest_to_the_others() {
        let mixture = Mixture::new(&shares(&[("a", 0.2), ("b", 0.2), ("c", 0.6)]), &shares(&[])).unwrap();
        let twice_b = |name: &str| if name == "b" { 2.0 } else { 1.0 };
        let table = [
            (shares(&[]), [("a", 0.2 / 1.2), ("b", 0.4 / 1.2), ("c", 0.6 / 1.2)]),
            (shares(&[("a", 0.5)]), [("a", 0.5), ("b", 0.2), ("c", 0.3)]),
        ];
        for (fixed, expected) in table {
            let moved = mixture.around(&fixed, twice_b);
            for (name, share) in expected {
                assert!((moved.share(name) - share).abs() < 1e-12, "{name}: {}", moved.share(name));
            }
        }
    }

    #[test]
    fn shares_that_do_not_sum_to_one_are_refused_with_their_sum() {
        type Shares = &'static [(&'static str, f64)];
        let table: [(Shares, Shares, &str); 5] = [
            (&[("a", 0.5), ("b", 0.4)], &[], "shares sum to 0.9, expected 1"),
            (&[], &[], "shares sum to 0, expected 1"),
            (&[("a", 0.5)], &[("b", 0.75)], "shares sum to 0.75, expected 1"),
            (&[("a", 0.75), ("b", 0.5)], &[("c", 1.0)], "shares sum to 1.25, expected 1"),
            (&[("a", 1.5), ("b", -0.5)], &[], "is 1.5, expected a share from 0 to 1"),
        ];
        for (mix, rest, expected) in table {
            let problem = Mixture::new(&shares(mix), &shares(rest)).unwrap_err();
            assert_eq!(problem.to_string(), expected);
        }
    }
}
