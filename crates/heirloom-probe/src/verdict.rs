//! Which of the seven hypotheses the arms of an experiment support, and which arm would decide most.
//!
//! Arms play [`Role`]s; every [`Question`] whose two roles are there is answered on every joint draw of the arms' means: yes when the first lies above
//! the second by more than the threshold. A hypothesis is contradicted by an answer that it does not expect ([`EXPECTATIONS`]). A draw *decides* a
//! hypothesis when it is the only one left, and the arms answered at least one of its yes-questions and the one that it hinges on; what nothing could
//! have confirmed is not decided by elimination. Probabilities are shares of draws.
//!
//! The threshold is one number for all draws, from the estimates: the larger of [`Rule::least`] and [`Rule::share`] of the spread between the highest
//! and the lowest arm. It is the reader's yardstick for what counts as a fall, printed beside the intervals, and not something estimated: a spread
//! taken anew on each draw is the range of noisy means, which grows with the number of arms and with their noise.

mod table;

use std::collections::BTreeMap;

pub use table::{Answer, EXPECTATIONS, Hypothesis, Origin, Question, Role};

use crate::error::{Error, Result};
use crate::joint::{Contrast, JointDraws, Quantity};

/// What counts as a fall.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Share of the spread between the highest and the lowest arm.
    pub share: f64,
    /// The least in the arms' own units; 0.15 suits rates, projections need a number in theirs.
    pub least: f64,
}

impl Default for Rule {
    /// A third of the spread, 0.15.
    fn default() -> Self {
        Self { share: 1.0 / 3.0, least: 0.15 }
    }
}

/// A question that the arms answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// The question.
    pub question: Question,
    /// How far the first role lies above the second.
    pub contrast: Quantity,
    /// Probability of a yes.
    pub yes: f64,
    /// What hypotheses expected to hear, and why; those that leave it open are not listed.
    pub expected: Vec<(Hypothesis, Answer, &'static str)>,
}

/// How well one hypothesis does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Support {
    /// The hypothesis.
    pub hypothesis: Hypothesis,
    /// Probability that it is the only one left, with a yes of its own.
    pub decided: f64,
    /// Probability that no answer contradicts it, with a yes of its own.
    pub compatible: f64,
    /// Whether the arms ask any question that it expects a yes to; if not, it can be neither compatible nor decided.
    pub tested: bool,
    /// Probability that an answer contradicts it.
    pub contradicted: f64,
}

/// Shares of draws by the part that all hypotheses left in them point to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OriginShares {
    /// The teacher's rollouts.
    pub teacher: f64,
    /// The prompts.
    pub prompts: f64,
    /// The model that enters fine-tuning.
    pub base: f64,
    /// No arm moves it.
    pub none: f64,
    /// Hypotheses of several origins are left, or no hypothesis at all.
    pub undecided: f64,
}

/// An arm that is not there and what it would tell.
#[derive(Debug, Clone, PartialEq)]
pub struct NextArm {
    /// The role it would play.
    pub role: Role,
    /// Pairs of what is left that its questions tell apart, expected over draws.
    pub pairs: f64,
    /// The questions it would let the arms answer.
    pub questions: Vec<Question>,
}

/// What the arms say about a behavior.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// One entry for each of [`Hypothesis::ALL`]. Their `decided` and the next three shares sum to one.
    pub support: Vec<Support>,
    /// Probability that no contrast is beyond the threshold on either side: nothing that the arms vary moves it.
    pub nothing: f64,
    /// Probability that hypotheses are left and none is decided.
    pub several: f64,
    /// Probability that every hypothesis is contradicted, or that arms raise it and none lowers it.
    pub none: f64,
    /// Where it comes from.
    pub origins: OriginShares,
    /// The questions answered, in the table's order.
    pub answers: Vec<Answered>,
    /// What a contrast had to exceed.
    pub threshold: f64,
    /// Absent roles that would tell apart what is left, the best first.
    pub next_arms: Vec<NextArm>,
}

/// The verdict on one behavior.
///
/// An arm may play two roles: a model that was never fine-tuned before is both `start` and `pretrained`.
///
/// **Errors** without arms, at an unknown arm, at a role given twice, or with a rule of negative numbers.
pub fn verdict<N: AsRef<str>>(draws: &JointDraws, arms: &[(Role, N)], rule: Rule) -> Result<Verdict> {
    for (name, found) in [("share", rule.share), ("least", rule.least)] {
        if !(found >= 0.0 && found.is_finite()) {
            return Err(Error::Setting { name, expected: "a number from 0 on", found });
        }
    }
    let mut roles = BTreeMap::new();
    for (role, name) in arms {
        if roles.insert(*role, draws.index(name.as_ref())?).is_some() {
            return Err(Error::GivenTwice { name: role.to_string() });
        }
    }
    if roles.is_empty() {
        return Err(Error::TooFew { unit: "arm", expected: 1, found: 0 });
    }
    let estimates = || roles.values().map(|arm| draws.estimates()[*arm]);
    let spread = estimates().fold(f64::NEG_INFINITY, f64::max) - estimates().fold(f64::INFINITY, f64::min);
    let threshold = rule.least.max(rule.share * spread);

    let contrasts: Vec<(Question, Contrast)> = (Question::ALL.into_iter())
        .filter_map(|question| {
            let (above, below) = question.roles();
            let weights = [(*roles.get(&above)?, 1.0), (*roles.get(&below)?, -1.0)];
            Some((question, draws.contrast(&weights)))
        })
        .collect();
    let asked: Vec<Question> = contrasts.iter().map(|(question, _)| *question).collect();
    let readings: Vec<Reading> = (0..draws.draws().nrows())
        .map(|draw| {
            let yes = |contrast: &Contrast| contrast.draws[draw] > threshold;
            let answers: Vec<(Question, bool)> =
                contrasts.iter().map(|(question, sum)| (*question, yes(sum))).collect();
            let rises = contrasts.iter().any(|(_, contrast)| contrast.draws[draw] < -threshold);
            Reading::new(&answers, rises)
        })
        .collect();

    let share = |holds: &dyn Fn(&Reading) -> bool| {
        readings.iter().filter(|reading| holds(reading)).count() as f64 / readings.len() as f64
    };
    let outcome = |sought: Outcome| share(&|reading| reading.outcome == sought);
    let origin = |sought| share(&|reading| reading.origin() == Some(sought));
    let support = Hypothesis::ALL.map(|hypothesis| {
        let tested = is_tested(hypothesis, &asked);
        let left = share(&|reading| reading.left.contains(&hypothesis));
        let compatible = if tested { left } else { 0.0 };
        let decided = outcome(Outcome::Decided(hypothesis));
        Support {
            hypothesis,
            decided,
            compatible,
            tested,
            contradicted: share(&|reading| !reading.left.contains(&hypothesis)),
        }
    });
    let origins = OriginShares {
        teacher: origin(Origin::Teacher),
        prompts: origin(Origin::Prompts),
        base: origin(Origin::Base),
        none: outcome(Outcome::Nothing),
        undecided: share(&|reading| reading.outcome != Outcome::Nothing && reading.origin().is_none()),
    };
    let answered = |(question, contrast): &(Question, Contrast)| Answered {
        question: *question,
        contrast: contrast.quantity(),
        yes: contrast.above(threshold),
        expected: (Hypothesis::ALL.into_iter())
            .filter_map(|hypothesis| {
                hypothesis.expects(*question).map(|(answer, because)| (hypothesis, answer, because))
            })
            .collect(),
    };
    Ok(Verdict {
        support: support.to_vec(),
        nothing: outcome(Outcome::Nothing),
        several: outcome(Outcome::Several),
        none: outcome(Outcome::None),
        origins,
        answers: contrasts.iter().map(answered).collect(),
        threshold,
        next_arms: next_arms(&roles.into_keys().collect::<Vec<_>>(), &readings),
    })
}

/// Whether the questions hold one that a hypothesis expects a yes to, and the one that it hinges on.
fn is_tested(hypothesis: Hypothesis, asked: &[Question]) -> bool {
    let yes = |question: &Question| matches!(hypothesis.expects(*question), Some((Answer::Yes, _)));
    asked.iter().any(yes) && hypothesis.hinges_on().is_none_or(|question| asked.contains(&question))
}

/// What one draw says.
struct Reading {
    /// Hypotheses that no answer contradicts.
    left: Vec<Hypothesis>,
    /// Whether one of them has a yes of its own.
    confirmed: bool,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Decided(Hypothesis),
    Nothing,
    Several,
    None,
}

impl Reading {
    /// `rises` says that an arm lies above the one that a question puts above it, which no hypothesis expects: where nothing falls either, the
    /// arms do move the behavior, and none explains how.
    fn new(answers: &[(Question, bool)], rises: bool) -> Self {
        let agrees = |hypothesis: &Hypothesis| {
            answers.iter().all(|(question, yes)| {
                hypothesis.expects(*question).is_none_or(|(answer, _)| (answer == Answer::Yes) == *yes)
            })
        };
        let asked: Vec<Question> = answers.iter().map(|(question, _)| *question).collect();
        let falls = answers.iter().any(|(_, yes)| *yes);
        let explained = falls || !rises;
        let left: Vec<Hypothesis> =
            if explained { Hypothesis::ALL.into_iter().filter(agrees).collect() } else { vec![] };
        let confirmed = left.iter().any(|hypothesis| is_tested(*hypothesis, &asked));
        let outcome = match left[..] {
            _ if !answers.is_empty() && !falls && !rises => Outcome::Nothing,
            [] => Outcome::None,
            [only] if confirmed => Outcome::Decided(only),
            _ => Outcome::Several,
        };
        Self { left, confirmed, outcome }
    }

    /// The one that all hypotheses left share.
    fn origin(&self) -> Option<Origin> {
        let first = self.left.first()?.origin();
        let shared = self.left.iter().all(|hypothesis| hypothesis.origin() == first);
        (self.outcome != Outcome::Nothing && self.confirmed && shared).then_some(first)
    }

    /// Pairs of what is left that expect different answers to one of the questions. Where nothing moved the behavior, that nothing will is one of
    /// the things left, and expects no to everything.
    fn told_apart(&self, questions: &[Question]) -> usize {
        let expects = |hypothesis: &Hypothesis| -> Vec<Option<Answer>> {
            let answer = |question: &Question| hypothesis.expects(*question).map(|(answer, _)| answer);
            questions.iter().map(answer).collect()
        };
        let mut left: Vec<Vec<Option<Answer>>> = self.left.iter().map(expects).collect();
        if self.outcome == Outcome::Nothing {
            left.push(vec![Some(Answer::No); questions.len()]);
        }
        let differ = |a: &[Option<Answer>], b: &[Option<Answer>]| {
            a.iter().zip(b).any(|(a, b)| a.is_some() && b.is_some() && a != b)
        };
        let pairs = left
            .iter()
            .enumerate()
            .map(|(index, one)| left[..index].iter().filter(|other| differ(one, other)).count());
        pairs.sum()
    }
}

/// Absent roles by how many pairs they would tell apart.
fn next_arms(present: &[Role], readings: &[Reading]) -> Vec<NextArm> {
    let absent = Role::ALL.into_iter().filter(|role| !present.contains(role));
    let worth = |role: Role| {
        let enabled = |question: &Question| {
            let (above, below) = question.roles();
            (above == role && present.contains(&below)) || (below == role && present.contains(&above))
        };
        let questions: Vec<Question> = Question::ALL.into_iter().filter(enabled).collect();
        let pairs: usize = readings.iter().map(|reading| reading.told_apart(&questions)).sum();
        NextArm { role, pairs: pairs as f64 / readings.len() as f64, questions }
    };
    let mut arms: Vec<NextArm> = absent.map(worth).filter(|arm| arm.pairs > 0.0).collect();
    arms.sort_by(|a, b| b.pairs.total_cmp(&a.pairs));
    arms
}
