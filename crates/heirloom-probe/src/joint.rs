//! Joint draws of the means of many arms, from which every function of arms takes its interval or its probability.
//!
//! All arms of a run (seed) are measured on the same scenarios, so one set of random weights moves them together. A draw of the means is
//!
//! `m + √τ Σᵣ gᵣ (mᵣ − m) / √(R(R−1)) + (1/R) Σᵣ Σₛ aₛ hₛ (cᵣₛ − mᵣ) / √(Sᵣ(Sᵣ−1))`,
//!
//! with `mᵣ` the arms' means in run r of R, `cᵣₛ` those of scenario s of Sᵣ, g and h standard normal, `τ = (R−1)/χ²` with R−1 degrees of freedom.
//! Where runs draw scenarios of their own, `aₛ = √(2/R)`.
//!
//! - The second term is a multivariate t: every contrast `a·m` of arms has exactly Student's t over the R values `a·mᵣ`. A nested bootstrap of three
//!   runs, whose percentiles cannot reach beyond the largest of them, holds the truth in 70–80 % of cases ([`crate::rate`]).
//! - The third term keeps seeds that agree by accident from being published as certain. It counts the scenarios' variance a second time, since seeds
//!   spread by it too, so its share falls with the runs: all of it at two, a quarter at eight.
//! - A scenario that k runs share moves them together, which their spread does not show: there `aₛ² = max(2/R, R(k−1)/(k(R−1)))`, which is 1 where all
//!   share it, times a τ of the scenarios (`crate::rate`). Taken for scenarios of each run's own, rates over eight runs on the same
//!   scenarios held the truth in 65–70 % of simulations, so in 96 %.
//! - A rate is pushed toward the middle by `(1 − m) w₁ − m w₀`, `w` exponential of mean `1/n`, n the scenarios that its variance is worth,
//!   `m(1−m)/var`, at most as many as there are: a prior of one scenario. At 0 of n scenarios the upper end is that of "none of n". These two numbers
//!   are each arm's own, so that two arms at 0 are not equal for certain.
//!
//! With one run, scenarios take the place of runs.
//!
//! In simulations of 2 to 8 seeds (`tests/probe/joint.rs`), 95 % intervals of differences, interactions, Shapley values and ratios held the truth in
//! 94–100 % of cases: nearest to 95 where seeds differ or are many, too often with two or three seeds that do not differ, which is what the second
//! count costs.
//!
//! A draw of a rate may leave `[0, 1]`: it is an error carried over to a contrast, not a rate. Clamping arms one by one bends contrasts near the
//! corners (two seeds at true rates 0.99 and 0.01 held 91 % instead of 98 %), so [`JointDraws::contrast`] stays linear and cuts its interval to what
//! rates can reach, and [`JointDraws::measure`], for functions that are not linear, is handed rates inside `[0, 1]`.
//!
//! An arm's draws depend on its own observations and the generator alone: other arms may be added, renamed or reordered without moving a bit. (Only
//! arms with the very same observations take numbers of their own in the order they come in.)

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::bootstrap::Resampling;
use crate::error::{Error, Result};
use crate::interval::{quantile, two_sided_z};
use crate::random::{standard_normal, stream};
use crate::rate::{Arm, Nested, Observation, shared_freedom, unseen};

/// A function of arm means with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantity {
    /// The function of the estimates.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Coverage it was made for.
    pub level: f64,
    /// Share of draws above zero.
    pub above_zero: f64,
}

impl Quantity {
    /// Whether its interval leaves zero out.
    pub fn is_distinct(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// A ratio of two sums of arms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ratio {
    /// The ratio with its interval.
    Defined(Quantity),
    /// Its denominator cannot be told from zero.
    Undefined {
        /// The denominator, whose interval holds zero.
        denominator: Quantity,
    },
}

impl Ratio {
    /// The ratio, where there is one.
    pub fn defined(self) -> Option<Quantity> {
        match self {
            Self::Defined(quantity) => Some(quantity),
            Self::Undefined { .. } => None,
        }
    }
}

/// Estimates and joint draws of the means of all arms.
#[derive(Debug, Clone, PartialEq)]
pub struct JointDraws {
    names: Vec<String>,
    estimates: Vec<f64>,
    draws: Array2<f64>,
    /// Whether each arm's values are all 0 or 1.
    verdicts: Vec<bool>,
    level: f64,
    runs: usize,
    clusters: usize,
}

impl JointDraws {
    /// Draws for named arms that were measured on the same runs and clusters.
    ///
    /// **Errors** without arms, with two of one name, without two clusters, at a value that is not finite, at a cluster that not all arms have, or
    /// with fewer than two replicates.
    ///
    /// **Determinism** replicates `2i` and `2i + 1` use stream `i` of `rng`, the second with the sign turned around, and each arm's own numbers a stream
    /// named by its observations, whatever the number of threads and the order of arms and observations.
    ///
    /// **Cost** replicates × clusters × arms.
    pub fn new<N: AsRef<str>>(
        arms: &[(N, &[Observation])],
        Resampling { replicates, level }: Resampling,
        rng: &ChaCha8Rng,
    ) -> Result<Self> {
        two_sided_z(level)?;
        if replicates < 2 {
            return Err(Error::TooFew { unit: "replicate", expected: 2, found: replicates });
        }
        let names: Vec<String> = arms.iter().map(|(name, _)| name.as_ref().to_owned()).collect();
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                return Err(Error::GivenTwice { name: name.clone() });
            }
        }
        let arms = arms.iter().map(|(_, seen)| Arm::new(seen)).collect::<Result<Vec<_>>>()?;
        let Some(first) = arms.first() else {
            return Err(Error::TooFew { unit: "arm", expected: 1, found: 0 });
        };
        for (arm, name) in arms.iter().zip(&names) {
            if let Some((run, cluster)) = unshared(first, arm) {
                return Err(Error::UnpairedArm { run, cluster, arm: name.clone(), first: names[0].clone() });
            }
        }
        let design = Design::of(&first.nested);
        let levels: Vec<Levels> = arms.iter().map(Levels::new).collect();
        let mut draws = Array2::zeros((replicates, arms.len()));
        let shared = |(replicate, mut row): (usize, ndarray::ArrayViewMut1<f64>)| {
            let weights = Weights::draw(&design, replicate, rng);
            for (draw, arm) in row.iter_mut().zip(&levels) {
                *draw = arm.moved(&weights);
            }
        };
        draws.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(shared);
        let keys: Vec<u64> = levels.iter().map(Levels::key).collect();
        for (index, (mut column, arm)) in draws.axis_iter_mut(Axis(1)).zip(&levels).enumerate() {
            // Arms with the same observations share a key; each still needs numbers of its own.
            let twins = keys[..index].iter().filter(|key| **key == keys[index]).count() as u64;
            let mut own = stream(rng, keys[index].wrapping_add(twins) | OWN);
            for draw in &mut column {
                *draw += arm.push(&mut own);
            }
        }
        Ok(Self {
            names,
            estimates: levels.iter().map(|arm| arm.mean).collect(),
            draws,
            verdicts: arms.iter().map(|arm| arm.verdicts).collect(),
            level,
            runs: design.runs.len(),
            clusters: design.clusters.len(),
        })
    }

    /// Names of the arms, in the order they came in.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Means of the arms.
    pub fn estimates(&self) -> &[f64] {
        &self.estimates
    }

    /// Draws of the means; those of rates may leave `[0, 1]`, as contrasts need them to.
    ///
    /// **Shapes** `[replicate, arm]`.
    pub fn draws(&self) -> ArrayView2<'_, f64> {
        self.draws.view()
    }

    /// Runs and clusters behind every arm; a cluster that runs share counts once.
    pub fn units(&self) -> (usize, usize) {
        (self.runs, self.clusters)
    }

    /// Coverage of the intervals taken from these draws.
    pub fn level(&self) -> f64 {
        self.level
    }

    /// Position of an arm.
    ///
    /// **Errors** when no arm has that name.
    pub fn index(&self, name: &str) -> Result<usize> {
        let found = self.names.iter().position(|known| known == name);
        found.ok_or_else(|| Error::UnknownArm { name: name.to_owned(), known: self.names.clone() })
    }

    /// A weighted sum of arms, as in `[(full, 1.0), (dropped, −1.0)]`.
    pub fn contrast(&self, weights: &[(usize, f64)]) -> Contrast {
        let sum = |means: ArrayView1<f64>| weights.iter().map(|(arm, weight)| weight * means[*arm]).sum();
        let reach = |sign: f64| -> f64 {
            weights.iter().map(|(_, weight)| sign * (sign * weight).max(0.0)).sum::<f64>()
        };
        let rates = weights.iter().all(|(arm, _)| self.verdicts[*arm]);
        Contrast {
            estimate: sum(ArrayView1::from(&self.estimates)),
            draws: self.draws.rows().into_iter().map(sum).collect(),
            reach: rates.then(|| (reach(-1.0), reach(1.0))),
            level: self.level,
        }
    }

    /// Any function of all arms' means, with percentiles over the draws; rates are inside `[0, 1]` in each.
    ///
    /// [`JointDraws::contrast`] is sharper for functions that are linear.
    pub fn measure(&self, function: impl Fn(&[f64]) -> f64) -> Quantity {
        let draws = self.inside().map(|means| function(&means)).collect();
        quantity(function(&self.estimates), draws, self.level)
    }

    /// Share of draws in which a statement on all arms' means holds; rates are inside `[0, 1]` in each.
    pub fn probability(&self, statement: impl Fn(&[f64]) -> bool) -> f64 {
        share(self.inside().map(|means| statement(&means)))
    }

    fn inside(&self) -> impl ExactSizeIterator<Item = Vec<f64>> + '_ {
        let clamped = |(mean, verdicts): (&f64, &bool)| if *verdicts { mean.clamp(0.0, 1.0) } else { *mean };
        self.draws.rows().into_iter().map(move |row| row.iter().zip(&self.verdicts).map(clamped).collect())
    }
}

/// A weighted sum of arms on the estimates and on each draw.
#[derive(Debug, Clone, PartialEq)]
pub struct Contrast {
    /// The sum of the estimates.
    pub estimate: f64,
    /// The sum on each draw.
    pub draws: Vec<f64>,
    /// The least and the most that it can be, when all its arms are rates.
    reach: Option<(f64, f64)>,
    level: f64,
}

impl Contrast {
    /// The sum with its interval.
    pub fn quantity(&self) -> Quantity {
        let found = quantity(self.estimate, self.draws.clone(), self.level);
        let (least, most) = self.reach.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
        Quantity { low: found.low.max(least), high: found.high.min(most), ..found }
    }

    /// Share of draws above a threshold.
    pub fn above(&self, threshold: f64) -> f64 {
        share(self.draws.iter().map(|draw| *draw > threshold))
    }

    /// This sum over another, undefined when the interval of the other holds zero.
    ///
    /// The ends are the smallest and the largest ratio ρ for which the interval of `self − ρ · other` holds zero: each is a contrast and is covered
    /// like one. Percentiles of the ratio would count a draw whose denominator changed its sign at the wrong end.
    ///
    /// **Source** Fieller 1954, J. R. Stat. Soc. B 16:175, on draws.
    pub fn ratio(&self, other: &Self) -> Ratio {
        let denominator = other.quantity();
        if !denominator.is_distinct() {
            return Ratio::Undefined { denominator };
        }
        let sign = denominator.value.signum();
        // (ratio, change of the share of draws with `sign · (self − ρ other) > 0` as ρ passes it)
        let step = 1.0 / self.draws.len() as f64;
        let mut steps: Vec<(f64, f64)> = (self.draws.iter().zip(&other.draws))
            .map(|(above, below)| (above / below, if sign * below > 0.0 { -step } else { step }))
            .filter(|(ratio, _)| ratio.is_finite())
            .collect();
        steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        let tail = (1.0 - self.level) / 2.0;
        let mut held = share(other.draws.iter().map(|below| sign * below > 0.0));
        let value = self.estimate / other.estimate;
        let (mut low, mut high) = (None, value);
        for (ratio, change) in steps {
            let before = held;
            held += change;
            if low.is_none() && held <= 1.0 - tail {
                low = Some(ratio);
            }
            if before >= tail {
                high = ratio;
            }
        }
        let above_zero =
            share(self.draws.iter().zip(&other.draws).map(|(above, below)| above * below.signum() > 0.0));
        let low = low.unwrap_or(value).min(value);
        Ratio::Defined(Quantity { value, low, high: high.max(value), level: self.level, above_zero })
    }
}

/// Percentiles of draws, and the estimate inside them: a rate of 0 has draws above it only.
fn quantity(value: f64, mut draws: Vec<f64>, level: f64) -> Quantity {
    let above_zero = share(draws.iter().map(|draw| *draw > 0.0));
    draws.sort_by(f64::total_cmp);
    let tail = (1.0 - level) / 2.0;
    let (low, high) = (quantile(&draws, tail).min(value), quantile(&draws, 1.0 - tail).max(value));
    Quantity { value, low, high, level, above_zero }
}

/// Share of what holds.
fn share(statements: impl ExactSizeIterator<Item = bool>) -> f64 {
    let all = statements.len() as f64;
    statements.filter(|holds| *holds).count() as f64 / all
}

/// The first run and cluster that only one of two arms has.
fn unshared(first: &Arm, other: &Arm) -> Option<(usize, usize)> {
    let lacks =
        |arm: &Arm, (run, cluster)| !arm.nested.0.get(&run).is_some_and(|run| run.contains_key(&cluster));
    let keys = |arm: &Arm| -> Vec<(usize, usize)> {
        let runs = arm.nested.0.iter();
        runs.flat_map(|(run, clusters)| clusters.keys().map(|cluster| (*run, *cluster))).collect()
    };
    let found = keys(first).into_iter().find(|key| lacks(other, *key));
    found.or_else(|| keys(other).into_iter().find(|key| lacks(first, *key)))
}

/// Set in the streams of arms, so that they are none of the replicates'.
const OWN: u64 = 1 << 63;

/// Which runs have which clusters, the same for all arms.
struct Design {
    /// For each run, the places of its clusters in `clusters`.
    runs: Vec<Vec<usize>>,
    /// How many runs share each cluster, in the order in which runs name them.
    clusters: Vec<usize>,
}

impl Design {
    fn of(nested: &Nested) -> Self {
        let sharing = nested.sharing();
        let (mut places, mut clusters) = (BTreeMap::new(), vec![]);
        let mut place = |cluster: &usize| {
            *places.entry(*cluster).or_insert_with(|| {
                clusters.push(sharing[cluster]);
                clusters.len() - 1
            })
        };
        let runs = nested.0.values().map(|run| run.keys().map(&mut place).collect()).collect();
        Self { runs, clusters }
    }

    fn is_nested(&self) -> bool {
        self.clusters.iter().all(|sharing| *sharing == 1)
    }
}

/// The random numbers of one replicate, which all arms share.
struct Weights {
    /// `√τ g / √(R(R−1))` of each unit.
    units: Vec<f64>,
    /// `aₛ hₛ / (R √(Sᵣ(Sᵣ−1)))` of each cluster of each run; none with one run, whose clusters are the units.
    clusters: Vec<f64>,
}

impl Weights {
    /// Replicates come in pairs of opposite signs, so that few of them are as even as many.
    fn draw(design: &Design, replicate: usize, rng: &ChaCha8Rng) -> Self {
        let mut rng = stream(rng, replicate as u64 / 2);
        let mut weights = Self::one(design, &mut rng);
        if replicate % 2 == 1 {
            for weight in weights.units.iter_mut().chain(&mut weights.clusters) {
                *weight = -*weight;
            }
        }
        weights
    }

    fn one(design: &Design, rng: &mut impl Rng) -> Self {
        let Design { runs, clusters } = design;
        let units = if runs.len() > 1 { runs.len() } else { clusters.len() };
        let r = units as f64;
        let mut units: Vec<f64> = (0..units).map(|_| standard_normal(rng)).collect();
        let scale = heavy_tail(units.len() - 1, rng) / (r * (r - 1.0)).sqrt();
        for weight in &mut units {
            *weight *= scale;
        }
        if runs.len() < 2 {
            return Self { units, clusters: vec![] };
        }
        let mut moves: Vec<f64> = clusters.iter().map(|_| standard_normal(rng)).collect();
        let tail = if design.is_nested() { 1.0 } else { heavy_tail(shared_freedom(clusters), rng) };
        for (weight, sharing) in moves.iter_mut().zip(clusters) {
            let tail = if *sharing > 1 { tail } else { 1.0 };
            *weight *= tail * unseen(*sharing, runs.len()).max(2.0 / r).sqrt();
        }
        let of_run = |run: &Vec<usize>| {
            let s = run.len() as f64;
            // A run of a single scenario says nothing on how scenarios vary; its deviation is zero.
            let scale = 1.0 / (r * (s * (s - 1.0)).max(1.0).sqrt());
            run.iter().map(|cluster| scale * moves[*cluster]).collect::<Vec<_>>()
        };
        Self { units, clusters: runs.iter().flat_map(of_run).collect() }
    }
}

/// `√τ`, by which a standard normal becomes Student's t with as many degrees of freedom.
fn heavy_tail(freedom: usize, rng: &mut impl Rng) -> f64 {
    let chi_square: f64 = (0..freedom).map(|_| standard_normal(rng).powi(2)).sum();
    (freedom as f64 / chi_square).sqrt()
}

/// Deviations of one arm at both levels.
struct Levels {
    mean: f64,
    /// Of each unit from the mean.
    units: Vec<f64>,
    /// Of each cluster from its run's mean; none with one run.
    clusters: Vec<f64>,
    /// Mean of each cluster.
    cells: Vec<f64>,
    /// Mean of the pushes away from 0 and from 1.
    prior: f64,
}

impl Levels {
    fn new(arm: &Arm) -> Self {
        let average = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let runs: Vec<Vec<f64>> =
            arm.nested.0.values().map(|clusters| clusters.values().copied().collect()).collect();
        let means: Vec<f64> = runs.iter().map(|run| average(run)).collect();
        let cells = runs.concat();
        let (mean, units, clusters) = if runs.len() > 1 {
            let around =
                |(run, mean): (&Vec<f64>, &f64)| run.iter().map(|cell| cell - mean).collect::<Vec<_>>();
            (average(&means), &means, runs.iter().zip(&means).flat_map(around).collect())
        } else {
            (means[0], &cells, Vec::new())
        };
        let units: Vec<f64> = units.iter().map(|unit| unit - mean).collect();
        let worth = mean * (1.0 - mean) / arm.nested.variance();
        // At 0 and 1 exactly, 0/0: nothing varies, and scenarios are worth their number.
        let worth = if worth > 0.0 { worth.min(arm.worth()) } else { arm.worth() };
        let prior = if arm.verdicts { 1.0 / worth } else { 0.0 };
        Self { mean, units, clusters, cells, prior }
    }

    /// The mean, moved by shared weights.
    fn moved(&self, weights: &Weights) -> f64 {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        self.mean + dot(&self.units, &weights.units) + dot(&self.clusters, &weights.clusters)
    }

    /// Its own push toward the middle.
    fn push(&self, rng: &mut impl Rng) -> f64 {
        let mut exponential = || -(1.0 - rng.r#gen::<f64>()).ln();
        self.prior * ((1.0 - self.mean) * exponential() - self.mean * exponential())
    }

    /// A name for its observations: the FNV-1a hash of its cells.
    fn key(&self) -> u64 {
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        self.cells.iter().flat_map(|cell| cell.to_bits().to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, mix)
    }
}
