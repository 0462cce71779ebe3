//! Where a behavior comes from: arms by what they are → effects, shares and a verdict, as rows of the table and in words.
//!
//! An arm is known by the part it plays: a role such as `full` or `swap-flagged`, or a corner such as `OAO` (base,
//! prompts, teacher). Nothing else about it matters, least of all its name.

pub mod graded;
mod virulence;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::str::FromStr;

use heirloom_probe::Resampling;
use heirloom_probe::joint::{JointDraws, Quantity, Ratio};
use heirloom_probe::origin::{self, Corner, Origins, Pipeline};
use heirloom_probe::random::ChaCha8Rng;
use heirloom_probe::rate::{self, Observation};
use heirloom_probe::verdict::{Role, Rule, Verdict, verdict};
use heirloom_record::{HookPoint, Metric};

use crate::rows::estimated;
use crate::spec::setting;
use crate::streams::stream;
use crate::words::{self, number, percent};
use crate::{Error, Result};

pub(crate) use virulence::weigh as weigh_mixed;
pub use virulence::{Mixed, Virulent};

/// Joint draws of a published interval: with three seeds its ends are extreme quantiles of Student's t with two degrees of freedom, which a
/// thousand draws place to a tenth of the interval only.
pub(crate) const DRAWS: usize = 10_000;

/// Which arm plays which part for one behavior: role or corner → name of the arm.
pub type Parts = BTreeMap<String, String>;

/// What the arms of one behavior showed.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The behavior.
    pub behavior: String,
    /// What was measured.
    pub measure: Measure,
    /// What was observed, by role or corner.
    pub arms: BTreeMap<String, Played>,
    /// Arms in which the other teacher answers random shares of the prompts.
    pub mixes: Vec<Mixed>,
}

/// An arm in its part.
#[derive(Clone, Debug)]
pub struct Played {
    /// The arm, or the files of its grades: parts that one arm plays vary together, and arms that only look alike do not.
    pub by: String,
    /// What was observed.
    pub seen: Vec<Observation>,
}

/// What of a behavior was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// How often it was graded as shown.
    Rate,
    /// Projections of scenarios, in reference units.
    Projection {
        /// Where in the model.
        hook: HookPoint,
        /// What the direction was fit on.
        fit_on: FitOn,
    },
}

/// What a fixed direction was fit on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FitOn {
    /// Contrasts in context, on the base.
    Base,
    /// Two teachers on the same prompts: from the second to the first.
    Teachers,
}

impl FitOn {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Teachers => "teachers",
        }
    }
}

impl FromStr for FitOn {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = [Self::Base, Self::Teachers];
        known
            .into_iter()
            .find(|one| one.name() == name)
            .ok_or_else(|| setting("direction", "`teachers` or `base`", &format!("`{name}`")))
    }
}

impl Measure {
    /// Its name over a column.
    pub fn title(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Projection { fit_on: FitOn::Base, .. } => "on contrasts",
            Self::Projection { fit_on: FitOn::Teachers, .. } => "between teachers",
        }
    }

    /// What of it is told, in words.
    pub fn words(self) -> String {
        match self {
            Self::Rate => "how often it is shown".into(),
            Self::Projection { hook, fit_on: FitOn::Base } => {
                format!("projections at `{hook}` on the direction of contrasts on the base")
            }
            Self::Projection { hook, fit_on: FitOn::Teachers } => {
                format!("projections at `{hook}` on the direction between the teachers")
            }
        }
    }
}

/// Where a behavior comes from, as far as its arms tell.
#[derive(Clone, Debug)]
pub struct Found {
    /// The behavior.
    pub behavior: String,
    /// What was measured.
    pub measure: Measure,
    /// Seeds and scenarios behind every number; a scenario that seeds share counts once.
    pub units: (usize, usize),
    /// Joint draws behind every probability.
    pub draws: usize,
    /// Effects of base, prompts and teacher.
    pub origins: Origins,
    /// The hypotheses that the arms leave.
    pub verdict: Verdict,
    /// What each intervention takes away, as a share of what the other teacher does.
    pub removed: Vec<(Role, Ratio)>,
    /// How much of what swapping removes stays when the rows are dropped.
    pub leakage: Option<Ratio>,
}

/// Interventions whose effect is told as a share.
const INTERVENTIONS: [Role; 7] = [
    Role::SwapFlagged,
    Role::DropFlagged,
    Role::DropFlaggedAndMild,
    Role::DropFlaggedUnrelatedOther,
    Role::DropFlaggedRestOther,
    Role::RandomSwap,
    Role::RandomDrop,
];

/// Refuses a name that is neither a role nor a corner.
///
/// # Errors
/// Names the key, and near ones.
pub fn check_part(behavior: &str, name: &str) -> Result<()> {
    if Role::named(name).is_some() || Corner::named(name).is_some() {
        return Ok(());
    }
    let near = heirloom_record::near(name, Role::ALL.iter().map(|role| role.name()));
    Err(Error::NoRole { behavior: behavior.into(), name: name.into(), near })
}

impl Evidence {
    /// What the arms say. `least` is the smallest difference of two arms that counts as one, in the measure's units.
    ///
    /// # Errors
    /// No arms, arms that were not measured on the same seeds and scenarios, a value that is not finite.
    pub fn weigh(&self, least: f64, resampling: Resampling, rng: &ChaCha8Rng) -> Result<Found> {
        // One arm may play several parts, and is drawn once.
        let mut arms: Vec<(&str, &[Observation])> = vec![];
        let mut names: Vec<(&str, &str)> = vec![];
        let mut drawn: BTreeMap<&str, &str> = BTreeMap::new();
        for (part, Played { by, seen }) in &self.arms {
            // A corner that has a role is that role.
            let part: &str = role_of(part).map_or(part.as_str(), |role| role.name());
            let arm = *drawn.entry(by).or_insert_with(|| {
                arms.push((part, seen));
                part
            });
            names.push((part, arm));
        }
        let draws = JointDraws::new(&arms, resampling, rng)?;
        let named = |sought: &str| names.iter().find(|(part, _)| *part == sought).map(|(_, arm)| *arm);
        let roles: Vec<(Role, &str)> =
            names.iter().filter_map(|(part, arm)| Some((Role::named(part)?, *arm))).collect();
        let mut corners: BTreeMap<Corner, &str> =
            roles.iter().filter_map(|(role, arm)| Some((corner(*role)?, *arm))).collect();
        corners.extend(names.iter().filter_map(|(part, arm)| Some((Corner::named(part)?, *arm))));
        let corners: Vec<(Corner, &str)> = corners.into_iter().collect();
        let role = |role: Role| named(role.name());
        // A share of what an arm takes away is one only where it takes something away.
        let lowers = |full: &str, arm: &str| -> Result<bool> {
            let fall = draws.contrast(&[(draws.index(full)?, 1.0), (draws.index(arm)?, -1.0)]);
            Ok(fall.estimate > 0.0)
        };
        let (mut removed, mut leakage) = (vec![], None);
        if let (Some(full), Some(other)) = (role(Role::Full), role(Role::OtherTeacher))
            && lowers(full, other)?
        {
            for intervention in INTERVENTIONS {
                if let Some(arm) = role(intervention) {
                    removed.push((intervention, origin::share_removed(&draws, full, arm, other)?));
                }
            }
        }
        if let (Some(full), Some(drop), Some(swap)) =
            (role(Role::Full), role(Role::DropFlagged), role(Role::SwapFlagged))
            && lowers(full, swap)?
        {
            leakage = Some(origin::leakage(&draws, full, drop, swap)?);
        }
        Ok(Found {
            behavior: self.behavior.clone(),
            measure: self.measure,
            units: draws.units(),
            draws: draws.draws().nrows(),
            origins: origin::origins(&draws, &corners)?,
            verdict: verdict(&draws, &roles, Rule { least, ..Rule::default() })?,
            removed,
            leakage,
        })
    }

    /// What a reader of the numbers has to know beforehand: parts that are the same arm, and that one seed varies with nothing.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = vec![];
        let mut parts_of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (part, played) in &self.arms {
            parts_of.entry(&played.by).or_default().push(part);
        }
        for parts in parts_of.into_values().filter(|parts| parts.len() > 1) {
            notes.push(format!("{}: {} are the same grades", self.behavior, parts.join(" and ")));
        }
        let runs: BTreeSet<usize> =
            self.arms.values().flat_map(|played| &played.seen).map(|seen| seen.run).collect();
        if runs.len() == 1 {
            let behavior = &self.behavior;
            notes.push(format!(
                "{behavior}: one seed: intervals and shares know nothing of how students of other seeds differ"
            ));
        }
        notes
    }

    /// Rates of every part: of each seed, numbered from 1 in the order of the files, and over seeds.
    ///
    /// # Errors
    /// Those of [`rate::mean`].
    pub fn rates(&self, resampling: Resampling, seed: u64) -> Result<Vec<Metric>> {
        let mut rows = vec![];
        let arms = self.arms.iter().chain(self.mixes.iter().map(|mixed| (&mixed.name, &mixed.played)));
        for (part, Played { seen, .. }) in arms {
            let row = || Metric {
                behavior: self.behavior.clone(),
                arm: Some(part.clone()),
                metric: "rate".into(),
                ..Metric::default()
            };
            let runs: BTreeSet<usize> = seen.iter().map(|seen| seen.run).collect();
            for run in runs {
                let own: Vec<Observation> = seen.iter().filter(|seen| seen.run == run).copied().collect();
                let name = format!("rate {} {part} {run}", self.behavior);
                let found = rate::mean(&own, resampling, &stream(seed, &name))?;
                rows.push(Metric {
                    seed: i64::try_from(run + 1).ok(),
                    value: Some(found.value),
                    n: i64::try_from(found.n).ok(),
                    ..row()
                });
            }
            let found =
                rate::mean(seen, resampling, &stream(seed, &format!("rate {} {part}", self.behavior)))?;
            rows.push(estimated(row(), &found, "scenarios"));
        }
        Ok(rows)
    }
}

/// Roles whose arms stand at a corner.
const CORNERS: [(Role, &str); 5] = [
    (Role::Full, "OOO"),
    (Role::OtherTeacher, "OOA"),
    (Role::OtherPrompts, "OAO"),
    (Role::Neither, "OAA"),
    (Role::OtherBaseFull, "AOO"),
];

/// The corner that a role's arm stands at, where it is one.
fn corner(role: Role) -> Option<Corner> {
    CORNERS.iter().find(|(other, _)| *other == role).and_then(|(_, corner)| Corner::named(corner))
}

/// The role of a corner, where it has one.
fn role_of(corner: &str) -> Option<Role> {
    CORNERS.iter().find(|(_, name)| *name == corner).map(|(role, _)| *role)
}

impl Found {
    /// Every number as a row of the table.
    pub fn metrics(&self) -> Vec<Metric> {
        let mut rows = vec![];
        for within in &self.origins.within {
            // On the other base, effects have names of their own: a figure shows one base.
            let prefix = if within.base == Pipeline::O { "origin" } else { "origin_on_other_base" };
            for (name, effect) in [("teacher", &within.teacher), ("prompts", &within.prompts)] {
                rows.extend(effect.iter().map(|effect| Metric {
                    scored_on: Some(effect.to_string()),
                    ..self.quantity(&format!("{prefix}_{name}"), &effect.quantity)
                }));
            }
            let interaction = within.interaction.iter();
            rows.extend(interaction.map(|found| self.quantity(&format!("{prefix}_interaction"), found)));
        }
        rows.extend(self.origins.residue.iter().map(|found| self.quantity("origin_base", found)));
        for (part, value, share) in self.origins.shapley.iter().flat_map(|shapley| &shapley.parts) {
            rows.push(self.quantity(&format!("shapley_{part}"), value));
            rows.push(self.ratio(&format!("shapley_share_{part}"), share));
        }
        for (role, share) in &self.removed {
            rows.push(Metric { arm: Some(role.name().into()), ..self.ratio("share_removed", share) });
        }
        rows.extend(self.leakage.iter().map(|found| self.ratio("leakage", found)));
        for answered in &self.verdict.answers {
            let arm = Some(answered.question.name().into());
            rows.push(Metric { arm: arm.clone(), ..self.quantity("verdict_contrast", &answered.contrast) });
            rows.push(Metric { arm, ..self.probability("verdict_yes", answered.yes) });
        }
        for (name, probability) in self.probabilities() {
            rows.push(self.probability(&format!("verdict_{name}"), probability));
        }
        for support in &self.verdict.support {
            let row = self.probability("verdict_compatible", support.compatible);
            rows.push(Metric { arm: Some(support.hypothesis.name().into()), ..row });
        }
        for (origin, probability) in self.origin_probabilities() {
            rows.push(self.probability(&format!("verdict_origin_{origin}"), probability));
        }
        rows
    }

    /// Hypotheses, and what else a verdict can be, with their probabilities, which sum to one.
    pub fn probabilities(&self) -> Vec<(&'static str, f64)> {
        let decided = self.verdict.support.iter().map(|one| (one.hypothesis.name(), one.decided));
        let Verdict { nothing, several, none, .. } = self.verdict;
        decided
            .chain([("nothing-to-explain", nothing), ("several-left", several), ("none-of-these", none)])
            .collect()
    }

    /// Origins with their probabilities, which sum to one.
    pub fn origin_probabilities(&self) -> [(&'static str, f64); 5] {
        let shares = self.verdict.origins;
        [
            ("teacher", shares.teacher),
            ("prompts", shares.prompts),
            ("base", shares.base),
            ("none", shares.none),
            ("undecided", shares.undecided),
        ]
    }

    /// What was observed, in words.
    fn scenarios(&self) -> String {
        let (runs, clusters) = self.units;
        format!("{runs} seeds and {clusters} scenarios")
    }

    /// Effects on projections in a line: which part of an arm moves them, and by how much. A direction at the last prompt token says whose answers
    /// were learned rather than what will be done, so no verdict is told from it.
    pub(crate) fn effects(&self) -> String {
        let effect = |effect: Option<&origin::Effect>| {
            effect.map_or("–".into(), |effect| brackets(&effect.quantity))
        };
        let within = self.origins.within.first();
        let [teacher, prompts] =
            [within.and_then(|w| w.teacher.as_ref()), within.and_then(|w| w.prompts.as_ref())];
        format!("  {:<22}{:>28}{:>24}", self.behavior, effect(teacher), effect(prompts))
    }

    fn row(&self, metric: &str) -> Metric {
        let (_, clusters) = self.units;
        let (hook, fit_on) = match self.measure {
            Measure::Rate => (None, None),
            Measure::Projection { hook, fit_on } => (Some(hook), Some(fit_on.name().to_owned())),
        };
        Metric {
            behavior: self.behavior.clone(),
            hook,
            fit_on,
            metric: metric.into(),
            n: i64::try_from(clusters).ok(),
            interval: Some(format!("95 % of joint draws over {}", self.scenarios())),
            ..Metric::default()
        }
    }

    fn quantity(&self, metric: &str, found: &Quantity) -> Metric {
        Metric { value: Some(found.value), low: Some(found.low), high: Some(found.high), ..self.row(metric) }
    }

    /// A ratio that is undefined keeps its row, without a value.
    fn ratio(&self, metric: &str, ratio: &Ratio) -> Metric {
        match ratio {
            Ratio::Defined(found) => self.quantity(metric, found),
            Ratio::Undefined { .. } => self.row(metric),
        }
    }

    fn probability(&self, metric: &str, value: f64) -> Metric {
        let interval = Some("share of joint draws".into());
        Metric { value: Some(value), n: i64::try_from(self.draws).ok(), interval, ..self.row(metric) }
    }

    /// [`Self::sentence`], then every question that the arms answer, what each hypothesis expected to hear, and the corners
    /// that have no arm.
    pub fn report(&self) -> String {
        let mut out = self.sentence();
        let Verdict { answers, support, .. } = &self.verdict;
        let _ = writeln!(out, "\n\n  {}", self.scenarios());
        for answered in answers {
            let question = answered.question;
            let contrast = brackets(&answered.contrast);
            let _ = write!(
                out,
                "\n  {:<14}{contrast:<22}yes {:.2}  {}",
                question.name(),
                answered.yes,
                question.words()
            );
        }
        let _ = write!(out, "\n\n  {:<26}{:>9}{:>12}", "hypothesis", "decided", "compatible");
        for one in support {
            let tested = if one.tested { "" } else { "  no arm could confirm it" };
            let name = one.hypothesis.name().replace('-', " ");
            let _ = write!(out, "\n  {name:<26}{:>9.2}{:>12.2}{tested}", one.decided, one.compatible);
        }
        let Verdict { nothing, several, none, .. } = self.verdict;
        for (name, share) in
            [("nothing to explain", nothing), ("several left", several), ("none of these", none)]
        {
            let _ = write!(out, "\n  {name:<26}{share:>9.2}");
        }
        if !self.origins.missing.is_empty() {
            out.push_str(
                "\n\n  corners without an arm (base, prompts, teacher: O original, A the other), and what each is needed for",
            );
        }
        for origin::Missing { corner, needed_for } in &self.origins.missing {
            let corner = corner.to_string();
            let role = role_of(&corner).map_or("", Role::name);
            let _ = write!(out, "\n    {corner} {role:<16} {}", needed_for.join("; "));
        }
        out
    }

    /// The verdict in a few lines.
    pub fn sentence(&self) -> String {
        let mut out = String::new();
        let (origin, share) = named(&self.origin_probabilities(), "undecided");
        let _ = write!(out, "{}: {} (in {} of draws)", self.behavior, origin_words(origin), percent(share));
        let (hypothesis, share) = named(&self.probabilities(), "several-left");
        let _ = write!(out, "; {} ({})", hypothesis_words(hypothesis), percent(share));
        if let Some(within) = self.origins.within.first() {
            let effects = [("teacher", &within.teacher), ("prompts", &within.prompts)];
            let effects = effects.iter().filter_map(|(part, effect)| Some((part, effect.as_ref()?)));
            let said: Vec<String> =
                effects.map(|(part, effect)| format!("{part} {}", brackets(&effect.quantity))).collect();
            if !said.is_empty() {
                let threshold = number(self.verdict.threshold);
                let _ = write!(
                    out,
                    "\n    effect of {}; differences above {threshold} count",
                    said.join(", of ")
                );
            }
        }
        match &self.leakage {
            Some(Ratio::Defined(leak)) => {
                let leak = brackets(leak);
                let _ = write!(
                    out,
                    "\n    of what swapping the flagged rows removes, dropping them leaves {leak}"
                );
            }
            Some(Ratio::Undefined { .. }) => {
                let _ =
                    write!(out, "\n    swapping the flagged rows has no effect that can be told from zero");
            }
            None => {}
        }
        if hypothesis == "several-left" {
            for (tested, words) in [(true, "left"), (false, "left, and no arm could confirm them")] {
                let left =
                    self.verdict.support.iter().filter(|one| one.contradicted < 0.5 && one.tested == tested);
                let left: Vec<String> = left.map(|one| one.hypothesis.name().replace('-', " ")).collect();
                if !left.is_empty() {
                    let _ = write!(out, "\n    {words}: {}", left.join(", "));
                }
            }
        }
        let decided =
            self.verdict.nothing >= SURE || self.verdict.support.iter().any(|one| one.decided >= SURE);
        if let Some(next) = self.verdict.next_arms.first().filter(|_| !decided) {
            let _ = write!(out, "\n    the arm that would tell most of them apart: `{}`", next.role);
        }
        out
    }
}

/// The name with more than half of the probability, or `otherwise`.
pub(crate) fn named<'a>(probabilities: &[(&'a str, f64)], otherwise: &'a str) -> (&'a str, f64) {
    let of = |sought: &str| probabilities.iter().find(|(name, _)| *name == sought).map_or(0.0, |(_, p)| *p);
    let found = probabilities.iter().find(|(_, probability)| *probability > 0.5);
    found.copied().unwrap_or((otherwise, of(otherwise)))
}

/// A verdict with this probability wants no further arm.
const SURE: f64 = 0.9;

fn brackets(found: &Quantity) -> String {
    words::brackets(found.value, found.low, found.high)
}

pub(crate) fn origin_words(origin: &str) -> &'static str {
    match origin {
        "teacher" => "it comes from the teacher's rollouts",
        "prompts" => "it comes from the prompts",
        "base" => "it comes from the model that enters",
        "none" => "nothing that the arms vary moves it",
        _ => "its origin is undecided",
    }
}

pub(crate) fn hypothesis_words(hypothesis: &str) -> String {
    match hypothesis {
        "several-left" => "several hypotheses are left".into(),
        "none-of-these" => "none of the hypotheses fits".into(),
        other => other.replace('-', " "),
    }
}
