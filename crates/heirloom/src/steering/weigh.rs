//! Answers → which dose moves a behavior most, how that compares with controls searched alike, and verdicts.

use heirloom_probe::Resampling;
use heirloom_probe::causal::{self, Check, DoseResponse, Effect, Judgement, PValue, Side, Verdict};
use heirloom_probe::causal::{dose_response, judge, strongest};
use heirloom_probe::interval::quantile;
use heirloom_probe::random::ChaCha8Rng;
use heirloom_probe::rate::{Estimate, difference, mean};

use super::about::About;
use super::answers::{Answered, Seen};
use super::bench::{Doing, Edits, Family};
use crate::Result;
use crate::streams::stream;

/// The probability of an error that verdicts are made for.
pub(super) const LEVEL: f64 = 0.05;

/// What is done along a direction, whatever the dose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Add,
    Ablate,
    ToBase,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Add, Self::Ablate, Self::ToBase];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Ablate => "ablate",
            Self::ToBase => "base",
        }
    }

    /// Whether a look is of this kind, for the direction at the place `own`.
    fn is(self, doing: Doing, own: usize) -> bool {
        match doing {
            Doing::Add(_) => self == Self::Add,
            Doing::Ablate => self == Self::Ablate,
            Doing::ToBase => self == Self::ToBase,
            Doing::LikeAblating(like) => self == Self::Ablate && like == own,
            Doing::LikeToBase(like) => self == Self::ToBase && like == own,
        }
    }

    /// Where the direction's own behavior should go. Adding has a sign; what taking away does depends on where the
    /// component was.
    fn side(self) -> Side {
        if self == Self::Add { Side::Raises } else { Side::Either }
    }
}

/// An effect of one vector at one dose.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Best {
    /// The dose among the looks; none where no answer stays well formed.
    look: Option<usize>,
    /// The effect on the behavior it was chosen by, times the dose's sign.
    own: f64,
}

/// One direction under one kind of edit.
pub(super) struct Found {
    pub(super) kind: Kind,
    /// The behavior's place.
    pub(super) direction: usize,
    /// Strength of the dose, where it has one.
    pub(super) strength: Option<f64>,
    /// Share of well-formed answers at the dose, of the behavior where it is least.
    pub(super) coherence: Option<f64>,
    /// How likely the base finds answers at the dose, per token and in nats, of the direction's own behavior.
    pub(super) likelihood: Option<f64>,
    pub(super) verdict: &'static str,
    pub(super) reasons: Vec<String>,
    /// By behavior.
    pub(super) effects: Vec<Moved>,
}

/// What an edit did to one behavior.
pub(super) struct Moved {
    pub(super) rate: Option<f64>,
    /// Paired with the unsteered answers.
    pub(super) effect: Option<Estimate>,
    /// As it was tested.
    pub(super) tested: f64,
    /// 2.5 % and 97.5 % quantiles of random directions and random differences.
    pub(super) random: (f64, f64),
    pub(super) differences: (f64, f64),
    pub(super) p: PValue,
}

/// Everything that the answers say.
pub(super) struct Weighed {
    /// The least coherence at which a dose counts.
    pub(super) floor: f64,
    /// Rate and coherence without an edit, by behavior.
    pub(super) unsteered: Vec<(Estimate, Estimate)>,
    /// How likely the base finds answers without an edit, by behavior.
    pub(super) likelihoods: Vec<Option<f64>>,
    /// Adding, by direction and behavior.
    pub(super) responses: Vec<Vec<DoseResponse>>,
    /// By kind, then by direction.
    pub(super) found: Vec<Found>,
}

struct Scales<'a> {
    edits: &'a Edits,
    answered: &'a Answered,
    floor: f64,
    resampling: Resampling,
    rng: ChaCha8Rng,
}

impl Weighed {
    /// `seed` and `replicates` are those of the intervals.
    pub(super) fn new(
        edits: &Edits,
        answered: &Answered,
        about: &About<'_>,
        seed: u64,
        replicates: usize,
    ) -> Result<Self> {
        let lowest = answered.unsteered.iter().map(Seen::coherence).fold(1.0, f64::min);
        let scales = Scales {
            edits,
            answered,
            floor: about.search.floor * lowest,
            resampling: Resampling { replicates, ..Resampling::default() },
            rng: stream(seed, "steering, intervals"),
        };
        let unsteered = answered.unsteered.iter().map(|seen| {
            Ok((
                mean(&seen.shown, scales.resampling, &scales.rng)?,
                mean(&seen.coherent, scales.resampling, &scales.rng)?,
            ))
        });
        let directions = 0..about.behaviors.len();
        let responses = directions.map(|direction| scales.responses(direction));
        let mut found = vec![];
        for kind in edits.kinds() {
            found.extend(scales.judged(kind, about)?);
        }
        Ok(Self {
            floor: scales.floor,
            unsteered: unsteered.collect::<Result<_>>()?,
            likelihoods: answered.unsteered.iter().map(Seen::likelihood).collect(),
            responses: responses.collect::<Result<_>>()?,
            found,
        })
    }
}

impl Edits {
    /// The kinds of edits there are.
    pub(super) fn kinds(&self) -> impl Iterator<Item = Kind> {
        let is_there = |kind: &Kind| self.looks.iter().any(|look| kind.is(look.doing, look.vector));
        Kind::ALL.into_iter().filter(is_there)
    }
}

impl Scales<'_> {
    /// Looks of one vector under one kind of edit, as they are held against the direction `own`.
    fn looks(&self, vector: usize, kind: Kind, own: usize) -> Vec<usize> {
        let looks = self.edits.looks.iter().enumerate();
        let looks = looks.filter(|(_, look)| look.vector == vector && kind.is(look.doing, own));
        looks.map(|(index, _)| index).collect()
    }

    fn strength(&self, look: usize) -> Option<f64> {
        if let Doing::Add(strength) = self.edits.looks[look].doing { Some(strength) } else { None }
    }

    fn effect(&self, look: usize, behavior: usize) -> f64 {
        self.answered.looks[look][behavior].rate() - self.answered.unsteered[behavior].rate()
    }

    /// A dose counts when answers to every behavior's scenarios stay well formed: an effect on another behavior means
    /// nothing, either, where they do not.
    fn coherence(&self, look: usize) -> f64 {
        self.answered.looks[look].iter().map(Seen::coherence).fold(1.0, f64::min)
    }

    /// The dose of a vector that moves a behavior most the way that its sign says.
    fn best(&self, vector: usize, kind: Kind, behavior: usize) -> Best {
        let looks = self.looks(vector, kind, behavior);
        let sign = |look: usize| self.strength(look).map_or(1.0, f64::signum);
        let signed: Vec<(f64, f64)> = looks
            .iter()
            .map(|look| (sign(*look) * self.effect(*look, behavior), self.coherence(*look)))
            .collect();
        match strongest(&signed, self.floor, kind.side()) {
            Some(at) => Best { look: Some(looks[at]), own: signed[at].0 },
            None => Best { look: None, own: 0.0 },
        }
    }

    /// Effects on one behavior of all vectors of a family, each at its own best dose for the behavior `own`.
    fn controls(&self, family: Family, kind: Kind, own: usize, behavior: usize) -> Vec<f64> {
        let effect = |vector| self.tested(self.best(vector, kind, own), own, behavior);
        self.edits.of(family).map(effect).collect()
    }

    fn tested(&self, best: Best, own: usize, behavior: usize) -> f64 {
        if own == behavior { best.own } else { best.look.map_or(0.0, |look| self.effect(look, behavior)) }
    }

    fn judged(&self, kind: Kind, about: &About<'_>) -> Result<Vec<Found>> {
        let n = about.behaviors.len();
        let bests: Vec<Best> = (0..n).map(|own| self.best(own, kind, own)).collect();
        let effect = |own: usize, behavior: usize| Effect {
            behavior: about.behaviors[behavior].0.clone(),
            value: self.tested(bests[own], own, behavior),
            random: self.controls(Family::Random, kind, own, behavior),
            differences: self.controls(Family::Difference, kind, own, behavior),
        };
        let checks: Vec<Check> = (0..n)
            .map(|own| Check {
                direction: about.behaviors[own].0.clone(),
                own: effect(own, own),
                others: (0..n).filter(|other| *other != own).map(|other| effect(own, other)).collect(),
            })
            .collect();
        let judgements = judge(&checks, kind.side(), LEVEL)?;
        let places = checks.iter().zip(judgements).zip(bests).enumerate();
        places.map(|(own, ((check, judged), best))| self.found(kind, own, check, &judged, best)).collect()
    }

    fn found(
        &self,
        kind: Kind,
        direction: usize,
        check: &Check,
        judged: &Judgement,
        best: Best,
    ) -> Result<Found> {
        // Others stand in the order of behaviors, without the direction's own.
        let mut others = check.others.iter().zip(judged.others.iter().map(|(_, p)| *p));
        let mut effects = vec![];
        for behavior in 0..=check.others.len() {
            let own = (&check.own, judged.own);
            let (effect, p) = if behavior == direction { own } else { others.next().unwrap_or(own) };
            let seen = best.look.map(|look| &self.answered.looks[look][behavior]);
            let unsteered = &self.answered.unsteered[behavior].shown;
            let paired = seen.map(|seen| difference(&seen.shown, unsteered, self.resampling, &self.rng));
            effects.push(Moved {
                rate: seen.map(Seen::rate),
                effect: paired.transpose()?,
                tested: effect.value,
                random: ends(&effect.random),
                differences: ends(&effect.differences),
                p,
            });
        }
        let strength = best.look.and_then(|look| self.strength(look));
        let coherence = best.look.map(|look| self.coherence(look));
        let likelihood = best.look.and_then(|look| self.answered.looks[look][direction].likelihood());
        let mut reasons: Vec<String> = judged.reasons.iter().map(ToString::to_string).collect();
        let mut verdict = verdict(judged.verdict);
        let effect = effects.get(direction).and_then(|own| own.effect);
        if self.floor == 0.0 {
            reasons = vec!["without an edit, no answer to some behavior's scenarios is well formed".into()];
            verdict = "undecided";
        } else if best.look.is_none() {
            reasons = vec![format!("no dose leaves {:.2} of the answers well formed", self.floor)];
            verdict = "undecided";
        } else if let Some(Estimate { value, low, high, .. }) =
            effect.filter(|own| own.low <= 0.0 && own.high >= 0.0)
            && verdict != "not causal"
        {
            // Controls are compared on these students; whether it holds of others is another question.
            reasons.push(format!("its effect cannot be told from none: {value:.2} [{low:.2}, {high:.2}]"));
            verdict = "undecided";
        }
        Ok(Found { kind, direction, strength, coherence, likelihood, verdict, reasons, effects })
    }

    /// Every behavior against the strength of one direction.
    fn responses(&self, direction: usize) -> Result<Vec<DoseResponse>> {
        let looks = self.looks(direction, Kind::Add, direction);
        let of_behavior = |(behavior, unsteered): (usize, &Seen)| -> Result<DoseResponse> {
            let doses: Vec<causal::Dose<'_>> = looks
                .iter()
                .filter_map(|look| Some(dose(&self.answered.looks[*look][behavior], self.strength(*look)?)))
                .collect();
            let unsteered = dose(unsteered, 0.0);
            Ok(dose_response(unsteered, &doses, self.floor, Side::Raises, self.resampling, &self.rng)?)
        };
        self.answered.unsteered.iter().enumerate().map(of_behavior).collect()
    }
}

fn dose(seen: &Seen, strength: f64) -> causal::Dose<'_> {
    causal::Dose { strength, shown: &seen.shown, coherent: &seen.coherent }
}

/// 2.5 % and 97.5 % quantiles.
fn ends(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (quantile(&sorted, 0.025), quantile(&sorted, 0.975))
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NotCausal => "not causal",
        Verdict::Causal => "causal",
        Verdict::BehaviorSpecific => "behavior-specific",
        Verdict::Undecided => "undecided",
    }
}
