//! How much of a behavior comes from the base, from the prompts and from the teacher, and what an intervention takes away.
//!
//! Every number is a contrast of arms, or a ratio of two, on the same [`JointDraws`]; rates and projections are treated alike.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::bootstrap::Resampling;
use crate::error::{Error, Result};
use crate::interval::quantile;
use crate::joint::{Contrast, JointDraws, Quantity, Ratio};
use crate::random::stream;
use crate::rate::{Arm, Observation};

/// Which of two pipelines a part of an arm comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pipeline {
    /// The original one, which shows the behavior.
    O,
    /// The alternate one, which does not.
    A,
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::O { "O" } else { "A" })
    }
}

const PIPELINES: [Pipeline; 2] = [Pipeline::O, Pipeline::A];

/// What an arm is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The checkpoint that is fine-tuned.
    Base,
    /// The prompts it is fine-tuned on.
    Prompts,
    /// Who answers them.
    Teacher,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base => "base",
            Self::Prompts => "prompts",
            Self::Teacher => "teacher",
        })
    }
}

/// A choice of pipeline for every part, as in `OOA`: base, prompts, teacher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Corner {
    /// Pipeline of the base.
    pub base: Pipeline,
    /// Pipeline of the prompts.
    pub prompts: Pipeline,
    /// Pipeline of the teacher.
    pub teacher: Pipeline,
}

impl Corner {
    /// All eight, from `OOO` to `AAA`.
    pub fn all() -> impl Iterator<Item = Self> {
        PIPELINES.into_iter().flat_map(|base| {
            let of_base = move |prompts| PIPELINES.map(|teacher| Self { base, prompts, teacher });
            PIPELINES.into_iter().flat_map(of_base)
        })
    }

    /// The corner written as base, prompts, teacher, as in `OAO`.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|corner| corner.to_string() == name)
    }

    /// The same arm with one part from a pipeline.
    #[must_use]
    pub fn with(mut self, part: Part, pipeline: Pipeline) -> Self {
        *match part {
            Part::Base => &mut self.base,
            Part::Prompts => &mut self.prompts,
            Part::Teacher => &mut self.teacher,
        } = pipeline;
        self
    }
}

impl fmt::Display for Corner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.base, self.prompts, self.teacher)
    }
}

/// What one part does with the base held fixed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effect {
    /// The part that is exchanged.
    pub part: Part,
    /// The base it is exchanged on.
    pub base: Pipeline,
    /// Where the other part stands; none when the effect is the mean over both of its pipelines.
    pub alone_on: Option<(Part, Pipeline)>,
    /// O minus A.
    pub quantity: Quantity,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let other = other_of(self.part);
        match self.alone_on {
            Some((_, pipeline)) => {
                write!(f, "effect of the {} on base {}, {other} {pipeline} alone", self.part, self.base)
            }
            None => write!(f, "effect of the {} on base {}, mean over both {other}", self.part, self.base),
        }
    }
}

/// What the arms of one base say.
#[derive(Debug, Clone, PartialEq)]
pub struct Within {
    /// The base.
    pub base: Pipeline,
    /// `T = ½[(OOO − OOA) + (OAO − OAA)]`, or the difference that exists.
    pub teacher: Option<Effect>,
    /// `P = ½[(OOO − OAO) + (OOA − OAA)]`, or the difference that exists.
    pub prompts: Option<Effect>,
    /// `I = OOO − OOA − OAO + OAA`: what both do together beyond the sum of each alone.
    pub interaction: Option<Quantity>,
    /// Shapley values of prompts and teacher; with two parts they are P and T, which share the interaction evenly.
    pub shapley: Option<Shapley>,
}

/// A difference of two corners split among the parts they differ in.
#[derive(Debug, Clone, PartialEq)]
pub struct Shapley {
    /// The difference.
    pub total: Quantity,
    /// What each part adds, averaged over the orders in which parts can be exchanged, and that as a share of the total.
    pub parts: Vec<(Part, Quantity, Ratio)>,
}

/// A corner without an arm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The corner.
    pub corner: Corner,
    /// What cannot be computed without it.
    pub needed_for: Vec<String>,
}

/// Where a behavior comes from, as far as the arms tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Origins {
    /// By base; those without any effect are left out.
    pub within: Vec<Within>,
    /// `B = OAA − AAA`: what the base brings where neither prompts nor teacher do.
    pub residue: Option<Quantity>,
    /// `OOO − AAA` over base, prompts and teacher, when all eight corners exist.
    pub shapley: Option<Shapley>,
    /// Corners without an arm, from `OOO` to `AAA`.
    pub missing: Vec<Missing>,
}

/// Effects of all parts from the arms that exist.
///
/// **Errors** at an unknown arm, and at a corner with two.
pub fn origins<N: AsRef<str>>(draws: &JointDraws, arms: &[(Corner, N)]) -> Result<Origins> {
    let mut cube = Cube { draws, arms: BTreeMap::new() };
    for (corner, name) in arms {
        if cube.arms.insert(*corner, draws.index(name.as_ref())?).is_some() {
            return Err(Error::GivenTwice { name: corner.to_string() });
        }
    }
    let within = PIPELINES.map(|base| cube.within(base));
    let anything = |within: &Within| within.teacher.is_some() || within.prompts.is_some();
    let corner = |base, prompts, teacher| Corner { base, prompts, teacher };
    let (first, last) =
        (corner(Pipeline::O, Pipeline::O, Pipeline::O), corner(Pipeline::A, Pipeline::A, Pipeline::A));
    Ok(Origins {
        within: within.into_iter().filter(anything).collect(),
        residue: cube
            .sum(&[(last.with(Part::Base, Pipeline::O), 1.0), (last, -1.0)])
            .map(|sum| sum.quantity()),
        shapley: cube.shapley(first, &[Part::Base, Part::Prompts, Part::Teacher]),
        missing: Corner::all().filter(|corner| !cube.arms.contains_key(corner)).map(missing).collect(),
    })
}

/// Arms at the corners of base × prompts × teacher.
struct Cube<'a> {
    draws: &'a JointDraws,
    arms: BTreeMap<Corner, usize>,
}

impl Cube<'_> {
    /// A weighted sum of corners, none when one has no arm.
    fn sum(&self, weights: &[(Corner, f64)]) -> Option<Contrast> {
        let arm = |(corner, weight): &(Corner, f64)| Some((*self.arms.get(corner)?, *weight));
        let weights: Option<Vec<_>> = weights.iter().map(arm).collect();
        Some(self.draws.contrast(&weights?))
    }

    fn within(&self, base: Pipeline) -> Within {
        let corner = |prompts, teacher| Corner { base, prompts, teacher };
        let first = corner(Pipeline::O, Pipeline::O);
        let interaction = [
            (first, 1.0),
            (corner(Pipeline::O, Pipeline::A), -1.0),
            (corner(Pipeline::A, Pipeline::O), -1.0),
            (corner(Pipeline::A, Pipeline::A), 1.0),
        ];
        Within {
            base,
            teacher: self.effect(first, Part::Teacher),
            prompts: self.effect(first, Part::Prompts),
            interaction: self.sum(&interaction).map(|sum| sum.quantity()),
            shapley: self.shapley(first, &[Part::Prompts, Part::Teacher]),
        }
    }

    /// The mean over both pipelines of the other part, or the one of them whose corners exist.
    fn effect(&self, first: Corner, part: Part) -> Option<Effect> {
        let other = other_of(part);
        let difference = |pipeline, weight: f64| {
            let from = first.with(other, pipeline);
            [(from, weight), (from.with(part, Pipeline::A), -weight)]
        };
        let both = PIPELINES.map(|pipeline| difference(pipeline, 0.5)).concat();
        let (sum, alone_on) = match self.sum(&both) {
            Some(sum) => (sum, None),
            None => PIPELINES.into_iter().find_map(|pipeline| {
                Some((self.sum(&difference(pipeline, 1.0))?, Some((other, pipeline))))
            })?,
        };
        Some(Effect { part, base: first.base, alone_on, quantity: sum.quantity() })
    }

    /// The difference between a corner and the one with all `parts` from A.
    fn shapley(&self, first: Corner, parts: &[Part]) -> Option<Shapley> {
        let corner = |from_o: &[bool]| {
            let each = parts.iter().zip(from_o);
            each.fold(first, |corner, (part, o)| {
                corner.with(*part, if *o { Pipeline::O } else { Pipeline::A })
            })
        };
        let subsets: Vec<Vec<bool>> = (0..1 << parts.len())
            .map(|bits| (0..parts.len()).map(|part| bits >> part & 1 == 1).collect())
            .collect();
        let total =
            self.sum(&[(corner(&vec![true; parts.len()]), 1.0), (corner(&vec![false; parts.len()]), -1.0)])?;
        let factorial = |n: usize| (1..=n).product::<usize>() as f64;
        let value = |player: usize| {
            let weight = |subset: &Vec<bool>| {
                let others = subset.iter().enumerate().filter(|(part, o)| *part != player && **o).count();
                let orders = factorial(others) * factorial(parts.len() - 1 - others) / factorial(parts.len());
                (corner(subset), if subset[player] { orders } else { -orders })
            };
            self.sum(&subsets.iter().map(weight).collect::<Vec<_>>())
        };
        let parts = parts.iter().enumerate().map(|(player, part)| {
            let sum = value(player)?;
            Some((*part, sum.quantity(), sum.ratio(&total)))
        });
        Some(Shapley { parts: parts.collect::<Option<_>>()?, total: total.quantity() })
    }
}

/// The part that an effect within one base is averaged over.
fn other_of(part: Part) -> Part {
    if part == Part::Teacher { Part::Prompts } else { Part::Teacher }
}

fn missing(corner: Corner) -> Missing {
    let Corner { base, prompts, teacher } = corner;
    let mut needed_for = vec![
        format!("teacher at base {base}, prompts {prompts}"),
        format!("prompts at base {base}, teacher {teacher}"),
        format!("interaction at base {base}"),
    ];
    if (prompts, teacher) == (Pipeline::A, Pipeline::A) {
        needed_for.push("residue of the base".to_owned());
    }
    needed_for.push("Shapley values".to_owned());
    Missing { corner, needed_for }
}

/// What an intervention takes away, as a share of what exchanging the teacher does: `(full − intervened) / (full − other_teacher)`.
///
/// **Errors** at an unknown arm.
pub fn share_removed(draws: &JointDraws, full: &str, intervened: &str, other_teacher: &str) -> Result<Ratio> {
    let full = draws.index(full)?;
    let fall =
        |arm: &str| -> Result<Contrast> { Ok(draws.contrast(&[(full, 1.0), (draws.index(arm)?, -1.0)])) };
    Ok(fall(intervened)?.ratio(&fall(other_teacher)?))
}

/// How much of what swapping rows removes stays when they are dropped: `1 − (full − drop)/(full − swap)`, which is 1 when dropping is useless and
/// 0 when it does as well; undefined when the swap has no effect that can be told from zero.
///
/// **Errors** at an unknown arm.
pub fn leakage(draws: &JointDraws, full: &str, drop: &str, swap: &str) -> Result<Ratio> {
    let swap = (draws.index(swap)?, -1.0);
    let above_swap =
        |arm: &str| -> Result<Contrast> { Ok(draws.contrast(&[(draws.index(arm)?, 1.0), swap])) };
    // The same number with one denominator less.
    Ok(above_swap(drop)?.ratio(&above_swap(full)?))
}

/// How a behavior grows with the share of rollouts that carry it.
#[derive(Debug, Clone, PartialEq)]
pub struct Virulence {
    /// Area of the trapezoids through the fractions measured; between two of them the curve itself may be anything.
    pub area: Quantity,
    /// The area less that under the straight line between the ends.
    pub excess: Quantity,
    /// Fraction and mean over its subsets, ascending.
    pub curve: Vec<(f64, Quantity)>,
}

/// How random subsets of one size differ within their seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// How many: seeds times draws, as every seed draws its own.
    pub subsets: usize,
    /// Standard deviation of their means around the mean of their seed, over seeds × (draws − 1) degrees of freedom.
    pub sd: f64,
    /// What it stays below, at the level asked for, where all subsets of a seed are worth the same on every scenario.
    pub by_chance: f64,
}

/// Area under a behavior's curve over the fraction of rollouts swapped, from none to all.
///
/// `arms` holds one arm for each subset; those of equal fraction are averaged.
///
/// **Errors** at an unknown arm, a fraction outside `[0, 1]`, or no arm at 0 or at 1.
pub fn virulence<N: AsRef<str>>(draws: &JointDraws, arms: &[(f64, N)]) -> Result<Virulence> {
    let mut points = Vec::new();
    for (fraction, name) in arms {
        if !(0.0..=1.0).contains(fraction) {
            return Err(Error::Setting {
                name: "fraction",
                expected: "a number from 0 to 1",
                found: *fraction,
            });
        }
        points.push((*fraction, draws.index(name.as_ref())?));
    }
    // Subsets of one fraction are summed in an order that neither their names nor their places decide.
    let place = |arm: usize| [draws.estimates()[arm], draws.draws()[[0, arm]]];
    let by_place = |a: usize, b: usize| place(a).partial_cmp(&place(b)).unwrap_or(Ordering::Equal);
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| by_place(a.1, b.1)));
    let subsets: Vec<&[(f64, usize)]> = points.chunk_by(|a, b| b.0 <= a.0).collect();
    let fraction = |index: usize| subsets[index][0].0;
    let (least, most) = match subsets.len() {
        0 => return Err(Error::TooFew { unit: "fraction", expected: 2, found: 0 }),
        n => (fraction(0), fraction(n - 1)),
    };
    for (found, expected, is_end) in
        [(least, "0 for the least of all", least <= 0.0), (most, "1 for the greatest of all", most >= 1.0)]
    {
        if !is_end {
            return Err(Error::Setting { name: "fraction", expected, found });
        }
    }
    let average = |subset: &[(f64, usize)], weight: f64| -> Vec<(usize, f64)> {
        subset.iter().map(|(_, arm)| (*arm, weight / subset.len() as f64)).collect()
    };
    let weighted = |(index, subset): (usize, &&[(f64, usize)])| {
        let (before, after) = (index.saturating_sub(1), (index + 1).min(subsets.len() - 1));
        average(subset, (fraction(after) - fraction(before)) / 2.0)
    };
    let area: Vec<(usize, f64)> = subsets.iter().enumerate().flat_map(weighted).collect();
    let ends = [&subsets[0], &subsets[subsets.len() - 1]];
    let straight = ends.into_iter().flat_map(|subset| average(subset, -0.5));
    let excess: Vec<(usize, f64)> = area.iter().copied().chain(straight).collect();
    let curve = subsets.iter().map(|subset| (subset[0].0, draws.contrast(&average(subset, 1.0)).quantity()));
    Ok(Virulence {
        area: draws.contrast(&area).quantity(),
        excess: draws.contrast(&excess).quantity(),
        curve: curve.collect(),
    })
}

/// Set in the streams of [`spread`], so that they are none of those that joint draws take from the same generator.
const SPREAD: u64 = 1 << 62;

/// How much the means of several random subsets differ within seeds, and how much they would by chance.
///
/// `subsets` holds one arm for each draw. Every seed draws subsets of its own, so the first of one seed has nothing in common with that of another: an
/// average over seeds would hide what subsets differ by, and how seeds differ must not count for it. By chance: each scenario's values are dealt to
/// the subsets of its seed anew, which changes nothing where subsets are worth the same.
///
/// **Errors** with fewer than two subsets or two replicates, and where they were not measured on the same runs and clusters.
///
/// **Determinism** replicate `i` uses a stream of `rng` of its own, whatever the number of threads.
///
/// **Source** a permutation test, exact where scenarios' values can be exchanged: Fisher 1935, The Design of Experiments.
pub fn spread(subsets: &[&[Observation]], resampling: Resampling, rng: &ChaCha8Rng) -> Result<Spread> {
    let Resampling { replicates, level } = resampling;
    for (unit, found) in [("subset", subsets.len()), ("replicate", replicates)] {
        if found < 2 {
            return Err(Error::TooFew { unit, expected: 2, found });
        }
    }
    let arms = subsets.iter().map(|seen| Arm::new(seen)).collect::<Result<Vec<Arm>>>()?;
    arms[1..].iter().try_for_each(|arm| arms[0].nested.minus(&arm.nested).map(|_| ()))?;
    // By seed and scenario, the value of each subset.
    let of_run = |run: &usize| -> Vec<Vec<f64>> {
        let of = |cluster: &usize| arms.iter().map(|arm| arm.nested.0[run][cluster]).collect();
        arms[0].nested.0[run].keys().map(of).collect()
    };
    let seeds: Vec<Vec<Vec<f64>>> = arms[0].nested.0.keys().map(of_run).collect();
    let freedom = (seeds.len() * (arms.len() - 1)) as f64;
    let sd = |seeds: &[Vec<Vec<f64>>]| -> f64 {
        let squares = |scenarios: &Vec<Vec<f64>>| -> f64 {
            let mean =
                |arm: usize| scenarios.iter().map(|values| values[arm]).sum::<f64>() / scenarios.len() as f64;
            let mut means: Vec<f64> = (0..arms.len()).map(mean).collect();
            // The order of subsets must not reach the last bit.
            means.sort_by(f64::total_cmp);
            let center = means.iter().sum::<f64>() / means.len() as f64;
            means.iter().map(|mean| (mean - center).powi(2)).sum()
        };
        (seeds.iter().map(squares).sum::<f64>() / freedom).sqrt()
    };
    let dealt = |replicate: usize| {
        let mut rng = stream(rng, SPREAD | replicate as u64);
        let mut seeds = seeds.clone();
        seeds.iter_mut().flatten().for_each(|values| values.shuffle(&mut rng));
        sd(&seeds)
    };
    let mut chance: Vec<f64> = (0..replicates).into_par_iter().map(dealt).collect();
    chance.sort_by(f64::total_cmp);
    Ok(Spread { subsets: seeds.len() * arms.len(), sd: sd(&seeds), by_chance: quantile(&chance, level) })
}
