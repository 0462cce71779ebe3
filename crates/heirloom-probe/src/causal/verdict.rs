//! From effects and those of controls to a verdict, corrected for every direction that was tried.
//!
//! A direction means something only beyond directions that do not, and there are two kinds of those: random ones, which mostly push where activations
//! hardly vary, and random differences of activations, which push where they do. Each claim takes the family that is harder on it: a direction is
//! causal when its own behavior moves beyond *both*, and specific when every other behavior stays inside *both*.
//!
//! Correction guards claims that something moves. That other behaviors stay still is claimed from silence, which a correction would make easier, so
//! their p-values decide uncorrected.

use std::fmt;

use super::Side;
use crate::error::{Error, Result};
use crate::ranked::check_finite_scores;

/// The effect of a direction on one behavior, and those of control directions of the same norm.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// The behavior.
    pub behavior: String,
    /// Change of its rate.
    pub value: f64,
    /// Changes under random directions.
    pub random: Vec<f64>,
    /// Changes under random differences of activations.
    pub differences: Vec<f64>,
}

/// A direction with what it does to its own behavior and to others.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Name of the direction.
    pub direction: String,
    /// Effect on the behavior it was fit for.
    pub own: Effect,
    /// Effects on other behaviors.
    pub others: Vec<Effect>,
}

/// A p-value with what it was corrected for.
///
/// There is no way to get one of these for a single effect out of several: [`p_values`] takes all comparisons at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PValue {
    /// `(1 + controls at least as strong) / (1 + controls)`: never zero.
    pub raw: f64,
    /// After Holm's correction.
    pub adjusted: f64,
    /// Comparisons it was corrected for.
    pub comparisons: usize,
    /// Controls of the family that decided.
    pub controls: usize,
    /// Which way counted as strong.
    pub side: Side,
}

impl PValue {
    /// The least value that the correction leaves of so many comparisons with so few controls.
    pub fn least(&self) -> f64 {
        (self.comparisons as f64 / (1 + self.controls) as f64).min(1.0)
    }

    /// Whether no control is as strong.
    fn beats_all(&self) -> bool {
        (1 + self.controls) as f64 * self.raw < 1.5
    }
}

/// What a direction was found to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its own behavior moves no more than under controls.
    NotCausal,
    /// Its own behavior moves; so does another, or none was measured.
    Causal,
    /// Its own behavior moves and every other stays inside the null bands.
    BehaviorSpecific,
    /// It is beyond its controls, but they are too few for so many comparisons.
    Undecided,
}

/// One ground of a verdict.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// The own behavior moves beyond both families.
    Moves(String, PValue),
    /// The own behavior is inside at least one family.
    Inside(String, PValue),
    /// Another behavior moves beyond one of the families.
    OtherMoves(String, PValue),
    /// This many other behaviors stay inside both.
    OthersStay(usize),
    /// No other behavior was measured.
    NoOthers,
    /// No correction of so many comparisons could reach the level with so few controls.
    TooFewControls(PValue),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moves(behavior, p) => write!(f, "`{behavior}` moves beyond both null families: {p}"),
            Self::Inside(behavior, p) => write!(f, "`{behavior}` moves no more than controls do: {p}"),
            Self::OtherMoves(behavior, p) => write!(f, "`{behavior}` moves too: {p}"),
            Self::OthersStay(n) => write!(f, "every other behavior ({n}) stays inside both null bands"),
            Self::NoOthers => f.write_str("no other behavior was measured"),
            Self::TooFewControls(p) => {
                let (n, noun) =
                    (p.comparisons, if p.comparisons == 1 { "comparison" } else { "comparisons" });
                write!(f, "{n} {noun} with {} controls cannot go below p = {:.3}", p.controls, p.least())
            }
        }
    }
}

impl fmt::Display for PValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.side == Side::Either { "two-sided" } else { "one-sided" };
        let Self { raw, adjusted, comparisons, controls, .. } = self;
        let noun = if *comparisons == 1 { "comparison" } else { "comparisons" };
        write!(
            f,
            "{side} p = {raw:.3} of {controls} controls, {adjusted:.3} over {comparisons} {noun} (Holm)"
        )
    }
}

/// A verdict with its grounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Name of the direction.
    pub direction: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Of its own behavior, corrected for all directions.
    pub own: PValue,
    /// Of other behaviors, two-sided. The verdict goes by the raw values.
    pub others: Vec<(String, PValue)>,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// P-values corrected by Holm's step-down for as many as there are, in the order given; at most one.
///
/// **Source** Holm 1979, Scand. J. Stat. 6:65; `statsmodels.stats.multitest.multipletests(method="holm")`.
pub fn holm(raw: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..raw.len()).collect();
    order.sort_by(|a, b| raw[*a].total_cmp(&raw[*b]));
    let (mut adjusted, mut largest) = (vec![0.0; raw.len()], 0.0_f64);
    for (done, at) in order.iter().enumerate() {
        largest = largest.max((raw.len() - done) as f64 * raw[*at]).min(1.0);
        adjusted[*at] = largest;
    }
    adjusted
}

/// P-values of all effects of one study that are claimed to move, each the larger of its two families', corrected for their number.
///
/// Under the null an effect and its controls are draws from one distribution, so the rank of the effect is uniform whatever that distribution is.
///
/// **Errors** when a family is empty or an effect is not finite.
pub fn p_values(effects: &[Effect], side: Side) -> Result<Vec<PValue>> {
    corrected(
        effects,
        side,
        |random, differences| if random.0 >= differences.0 { random } else { differences },
    )
}

/// Verdicts on all directions of one study at a level such as 0.05.
///
/// `side` is where a direction's own behavior is expected to go; other behaviors count whichever way they move. A single other behavior that is not
/// moved at all is beyond one of the two families by chance with a probability of up to twice the level, so with many others, "specific" is hard to
/// reach, as it should be.
///
/// With 64 controls the least p-value is 1/65, and Holm's correction reaches 0.05 for at most three directions; beyond that, directions that beat all
/// their controls are undecided until there are more.
///
/// **Errors** when a family is empty, an effect is not finite, or the level is not inside (0, 1).
pub fn judge(checks: &[Check], side: Side, level: f64) -> Result<Vec<Judgement>> {
    if !(level > 0.0 && level < 1.0) {
        return Err(Error::Setting { name: "level", expected: "a number between 0 and 1", found: level });
    }
    let own: Vec<Effect> = checks.iter().map(|check| check.own.clone()).collect();
    let own = p_values(&own, side)?;
    checks.iter().zip(own).map(|(check, own)| judged(check, own, level)).collect()
}

fn judged(check: &Check, own: PValue, level: f64) -> Result<Judgement> {
    let stricter =
        |random: Rank, differences: Rank| if random.0 <= differences.0 { random } else { differences };
    let ps = corrected(&check.others, Side::Either, stricter)?;
    let others: Vec<(String, PValue)> =
        check.others.iter().map(|other| other.behavior.clone()).zip(ps).collect();
    let behavior = check.own.behavior.clone();
    let (verdict, reasons) = if own.adjusted <= level {
        let moved: Vec<Reason> = others
            .iter()
            .filter(|(_, p)| p.raw <= level)
            .map(|(name, p)| Reason::OtherMoves(name.clone(), *p))
            .collect();
        // With fewer controls than that, a behavior could not have been seen to move.
        let alone = others.iter().map(|(_, p)| PValue { comparisons: 1, ..*p });
        let unseen: Vec<Reason> = alone.filter(|p| blind(*p, level)).map(Reason::TooFewControls).collect();
        let specific = moved.is_empty() && !others.is_empty() && unseen.is_empty();
        let mut reasons = vec![Reason::Moves(behavior, own)];
        reasons.extend(unseen);
        if others.is_empty() {
            reasons.push(Reason::NoOthers);
        } else if specific {
            reasons.push(Reason::OthersStay(others.len()));
        }
        reasons.extend(moved);
        (if specific { Verdict::BehaviorSpecific } else { Verdict::Causal }, reasons)
    } else if own.least() > level && (blind(own, level) || own.raw <= level || own.beats_all()) {
        (Verdict::Undecided, vec![Reason::TooFewControls(own)])
    } else {
        (Verdict::NotCausal, vec![Reason::Inside(behavior, own)])
    };
    Ok(Judgement { direction: check.direction.clone(), verdict, own, others, reasons })
}

/// Whether there are too few controls for anything to be seen, even without a correction.
fn blind(p: PValue, level: f64) -> bool {
    PValue { comparisons: 1, ..p }.least() > level
}

/// A raw p-value and the number of controls behind it.
type Rank = (f64, usize);

fn corrected(effects: &[Effect], side: Side, choose: impl Fn(Rank, Rank) -> Rank) -> Result<Vec<PValue>> {
    let rank = |value: f64, controls: &[f64]| -> Result<Rank> {
        if controls.is_empty() {
            return Err(Error::TooFew { unit: "control", expected: 1, found: 0 });
        }
        check_finite_scores(&[value])?;
        check_finite_scores(controls)?;
        let own = side.strength(value);
        let as_strong = controls.iter().filter(|control| side.strength(**control) >= own).count();
        Ok(((1 + as_strong) as f64 / (1 + controls.len()) as f64, controls.len()))
    };
    let ranks: Vec<Rank> = effects
        .iter()
        .map(|effect| {
            Ok(choose(rank(effect.value, &effect.random)?, rank(effect.value, &effect.differences)?))
        })
        .collect::<Result<_>>()?;
    let adjusted = holm(&ranks.iter().map(|(raw, _)| *raw).collect::<Vec<_>>());
    let value = |((raw, controls), adjusted): (&Rank, f64)| PValue {
        raw: *raw,
        adjusted,
        comparisons: ranks.len(),
        controls: *controls,
        side,
    };
    Ok(ranks.iter().zip(adjusted).map(value).collect())
}
