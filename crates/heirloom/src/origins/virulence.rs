//! How a behavior grows with the share of rollouts that carry it: arms in which another teacher answers random shares of the prompts.

use std::fmt::Write as _;

use heirloom_probe::Resampling;
use heirloom_probe::joint::{JointDraws, Quantity};
use heirloom_probe::origin::{Spread, Virulence, spread, virulence};
use heirloom_probe::random::ChaCha8Rng;
use heirloom_probe::rate::Observation;
use heirloom_probe::verdict::Role;
use heirloom_record::Metric;

use super::{Evidence, Played, brackets};
use crate::Result;
use crate::words::number;

/// An arm in which the other teacher answers a random share of the prompts.
#[derive(Clone, Debug)]
pub struct Mixed {
    /// The share, from 0 to 1.
    pub fraction: f64,
    /// Its name in the table.
    pub name: String,
    /// What was observed.
    pub played: Played,
}

/// How a behavior grows with the share of rollouts that carry it, as far as a curve of arms tells.
#[derive(Clone, Debug)]
pub struct Virulent {
    /// The behavior.
    pub behavior: String,
    /// The arms at the curve's ends, from the least share swapped to the greatest.
    pub ends: [String; 2],
    /// The shares swapped there.
    pub reach: [f64; 2],
    /// Seeds and scenarios behind every number; a scenario that seeds share counts once.
    pub units: (usize, usize),
    /// Area and curve over the share that was swapped; none unless it goes from 0 to 1.
    pub virulence: Option<Virulence>,
    /// Shares with several random subsets, and how much these differ.
    pub spreads: Vec<(f64, Spread)>,
}

/// The curve of arms that are sorted by no one; nothing for fewer than three shares, which no curve can be told from.
///
/// # Errors
/// Arms that were not measured on the same seeds and scenarios, one arm at two shares, a value that is not finite.
pub(crate) fn weigh(
    behavior: &str,
    arms: &[&Mixed],
    resampling: Resampling,
    rng: &ChaCha8Rng,
) -> Result<Option<Virulent>> {
    let mut arms = arms.to_vec();
    arms.sort_by(|a, b| a.fraction.total_cmp(&b.fraction));
    let shares = arms.chunk_by(|a, b| b.fraction <= a.fraction).count();
    let (Some(first), Some(last), true) = (arms.first(), arms.last(), shares > 2) else { return Ok(None) };
    let observed: Vec<(&str, &[Observation])> =
        arms.iter().map(|arm| (arm.played.by.as_str(), arm.played.seen.as_slice())).collect();
    let draws = JointDraws::new(&observed, resampling, rng)?;
    let points: Vec<(f64, &str)> = arms.iter().map(|arm| (arm.fraction, arm.played.by.as_str())).collect();
    let reach = [first.fraction, last.fraction];
    let is_whole = reach[0] <= 0.0 && reach[1] >= 1.0;
    let mut spreads = vec![];
    for subsets in arms.chunk_by(|a, b| b.fraction <= a.fraction).filter(|subsets| subsets.len() > 1) {
        let seen: Vec<&[Observation]> = subsets.iter().map(|arm| arm.played.seen.as_slice()).collect();
        spreads.push((subsets[0].fraction, spread(&seen, resampling, rng)?));
    }
    Ok(Some(Virulent {
        behavior: behavior.to_owned(),
        ends: [first, last].map(|arm| arm.name.clone()),
        reach,
        units: draws.units(),
        virulence: is_whole.then(|| virulence(&draws, &points)).transpose()?,
        spreads,
    }))
}

impl Evidence {
    /// How the behavior grows with the share of rollouts that carry it; nothing without arms of random shares.
    ///
    /// # Errors
    /// As [`Self::weigh`]; files that stand at two shares.
    pub fn virulence(&self, resampling: Resampling, rng: &ChaCha8Rng) -> Result<Option<Virulent>> {
        let ends = [(Role::Full, "OOO", 0.0), (Role::OtherTeacher, "OOA", 1.0)];
        let end = |(role, corner, fraction): (Role, &str, f64)| {
            let played = self.arms.get(role.name()).or_else(|| self.arms.get(corner))?;
            Some(Mixed { fraction, name: role.name().into(), played: played.clone() })
        };
        let ends: Vec<Mixed> = ends.into_iter().filter_map(end).collect();
        weigh(&self.behavior, &ends.iter().chain(&self.mixes).collect::<Vec<_>>(), resampling, rng)
    }
}

impl Virulent {
    /// Every number as a row of the table: area and excess where the curve goes from none to all, and the spread of random subsets of one share.
    pub fn metrics(&self) -> Vec<Metric> {
        let (runs, clusters) = self.units;
        let [from, to] = self.ends.clone();
        let row = |metric: &str| Metric {
            behavior: self.behavior.clone(),
            arm: Some(from.clone()),
            scored_on: Some(to.clone()),
            metric: metric.into(),
            ..Metric::default()
        };
        let quantity = |metric: &str, found: &Quantity| Metric {
            value: Some(found.value),
            low: Some(found.low),
            high: Some(found.high),
            n: i64::try_from(clusters).ok(),
            interval: Some(format!("95 % of joint draws over {runs} seeds and {clusters} scenarios")),
            ..row(metric)
        };
        let mut rows = vec![];
        if let Some(Virulence { area, excess, .. }) = &self.virulence {
            rows.extend([quantity("virulence", area), quantity("virulence_excess", excess)]);
        }
        for (fraction, spread) in &self.spreads {
            let of = |metric: &str, value: f64, interval: &str| Metric {
                fit_on: Some(format!("{} of prompts", share(*fraction))),
                value: Some(value),
                n: i64::try_from(spread.subsets).ok(),
                interval: Some(interval.into()),
                ..row(metric)
            };
            rows.push(of("virulence_spread", spread.sd, "standard deviation within seeds, pooled"));
            let chance =
                "what it stays below in 95 % of deals of scenarios' values among the subsets of a seed";
            rows.push(of("virulence_spread_by_chance", spread.by_chance, chance));
        }
        rows
    }

    /// Area, excess and spreads in a few lines.
    pub fn sentence(&self) -> String {
        let mut out = match &self.virulence {
            Some(Virulence { area, excess, curve }) => format!(
                "{}: area {} of the trapezoids through {} shares of rollouts swapped, {} above a straight line",
                self.behavior,
                brackets(area),
                curve.len(),
                brackets(excess)
            ),
            None => format!(
                "{}: no area, for its shares of rollouts swapped go from {} to {}, not from none to all",
                self.behavior,
                share(self.reach[0]),
                share(self.reach[1])
            ),
        };
        for (fraction, spread) in &self.spreads {
            let than = if spread.sd > spread.by_chance { "more" } else { "not more" };
            let _ = write!(
                out,
                "\n    {} random subsets of {} differ within seeds by {} (standard deviation), {than} than by chance ({})",
                spread.subsets,
                share(*fraction),
                number(spread.sd),
                number(spread.by_chance)
            );
        }
        out
    }
}

/// A share in percent, with a decimal where it has one.
pub(crate) fn share(fraction: f64) -> String {
    format!("{} %", (1000.0 * fraction).round() / 10.0)
}
