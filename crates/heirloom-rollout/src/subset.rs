//! Which prompts an intervention is about: chosen by what is known of them, or drawn as a control.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use heirloom_record::{Message, near, read_grades, read_scores};
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::arm::{ArmProblem, Draft};
use crate::draws;
use crate::error::either;

type Result<T> = std::result::Result<T, ArmProblem>;

/// A subset of an arm's prompts.
///
/// In TOML: `{ tags = ["mail"] }`, `{ regex = "(?i)shutdown" }`, `{ scores = { file = "s.csv", top = 0.05 } }`,
/// `{ graded = { file = "grades", behavior = "blackmail" } }`, `{ not = { tags = ["mail"] } }`, `{ random = { like = { tags = ["mail"] } } }`, `"all"`.
///
/// It is chosen among the prompts that the interventions before have left. The random ones depend on the seed and
/// on nothing about the arm, so that all arms of one seed draw the same prompts: an arm that drops a random subset
/// and one that swaps it are paired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "snake_case",
    deny_unknown_fields,
    expecting = "a subset, such as `\"all\"`, `{ tags = [\"mail\"] }` or `{ random = { like = { tags = [\"mail\"] } } }`"
)]
pub enum Subset {
    /// Every prompt.
    All,
    /// Prompts with any of these tags.
    Tags(Vec<String>),
    /// These prompts; each must be there.
    Ids(Vec<String>),
    /// Prompts of which any message matches.
    Regex(String),
    /// Prompts whose answer matches, as it stands after the interventions before.
    AnswerRegex(String),
    /// The prompts with the highest scores; ties are broken at random, by the seed.
    Scores {
        /// A score per prompt, as [`heirloom_record::read_scores`] reads it; see [`for_seed`].
        file: PathBuf,
        /// How many.
        top: Top,
    },
    /// Prompts whose answer a grader says shows a behavior, as it stands after the interventions before: a filter that
    /// reads what is trained on.
    Graded {
        /// What `heirloom grade --out` wrote, a folder or a file; `{seed}` stands for the seed.
        file: PathBuf,
        /// The behavior, by the name that the grades have.
        behavior: String,
    },
    /// Every prompt but these.
    Not(Box<Subset>),
    /// A control: as many prompts as in `like`, at random among all, those in `like` too.
    Random {
        /// What it is a control of.
        like: Box<Subset>,
        /// Another number draws another subset.
        #[serde(default)]
        draw: u64,
    },
    /// A control: as many prompts as in `like`, of the same lengths, and none of `like`.
    ///
    /// Each prompt in `like`, the longest answer first, takes the prompt outside `like` whose answer is nearest in
    /// `n_tokens` and not taken yet, a random one of several: nearest-neighbor matching without replacement.
    /// Unlike `random` it lies outside `like`, since the nearest match of a prompt would be itself. Where `like`
    /// holds the longest answers there are, no match can be exact: the achieved means are in [`crate::Applied`].
    RandomSameLength {
        /// What it is a control of.
        like: Box<Subset>,
        /// Another number draws another subset.
        #[serde(default)]
        draw: u64,
    },
    /// A share of all prompts at random; a larger share holds every smaller one.
    RandomShare(f64),
}

/// How many prompts to take from the top: `top = 50` is a number of prompts, `top = 0.05` a share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of prompts, such as 50, or a share of them, such as 0.05")]
pub enum Top {
    /// So many prompts.
    Count(usize),
    /// This share of the prompts, rounded to the nearest number.
    Share(f64),
}

/// How well a control is matched in length: mean `n_tokens` of the answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LengthMatch {
    /// In the subset it is a control of.
    pub like: f64,
    /// In the control.
    pub control: f64,
}

/// The prompts of a subset, as indices into the pool, and how well its controls are matched.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    pub(crate) prompts: BTreeSet<usize>,
    pub(crate) lengths: Vec<LengthMatch>,
}

impl Subset {
    /// What can be known to be wrong without prompts.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Regex(pattern) | Self::AnswerRegex(pattern) => compile(pattern).map(drop),
            Self::Scores { top: Top::Share(top), .. } => check_share("top", *top),
            Self::RandomShare(share) => check_share("random_share", *share),
            Self::Not(inner) => inner.check(),
            Self::Random { like, .. } | Self::RandomSameLength { like, .. } => like.check(),
            Self::All | Self::Tags(_) | Self::Ids(_) | Self::Scores { .. } | Self::Graded { .. } => Ok(()),
        }
    }

    /// Joins a relative file of scores or grades to the folder that the subset was read in.
    pub(crate) fn relative_to(&mut self, folder: &Path) {
        match self {
            Self::Scores { file, .. } | Self::Graded { file, .. } => *file = folder.join(&file),
            Self::Not(inner) => inner.relative_to(folder),
            Self::Random { like, .. } | Self::RandomSameLength { like, .. } => like.relative_to(folder),
            _ => {}
        }
    }

    /// The prompts of the subset; there is at least one.
    pub(crate) fn select(&self, draft: &Draft<'_>) -> Result<Selection> {
        self.check()?;
        let selection = self.find(draft)?;
        if !selection.prompts.is_empty() {
            return Ok(selection);
        }
        Err(ArmProblem::EmptySubset {
            subset: self.to_string(),
            of: draft.prompts().len(),
            tags: tags(draft, &draft.prompts()),
            removed: draft
                .start()
                .is_some_and(|start| self.find(&start).is_ok_and(|selection| !selection.prompts.is_empty())),
        })
    }

    fn find(&self, draft: &Draft<'_>) -> Result<Selection> {
        let there = draft.prompts();
        let prompts = match self {
            Self::All => there,
            Self::Tags(given) => tagged(given, draft, there)?,
            Self::Ids(ids) => with_ids(ids, draft, &there)?,
            Self::Regex(pattern) => {
                let pattern = compile(pattern)?;
                let says = |message: &Message| pattern.is_match(&message.content);
                let matches = |prompt: &usize| draft.prompt(*prompt).messages.iter().any(says);
                there.into_iter().filter(matches).collect()
            }
            Self::AnswerRegex(pattern) => {
                let pattern = compile(pattern)?;
                let answers = draft.answers();
                there.into_iter().filter(|prompt| pattern.is_match(answers[prompt].answer())).collect()
            }
            Self::Scores { file, top } => highest(file, *top, draft, &there)?,
            Self::Graded { file, behavior } => graded(file, behavior, draft, &there)?,
            Self::Not(inner) => {
                let Selection { prompts, lengths } = inner.select(draft)?;
                return Ok(Selection { prompts: &there - &prompts, lengths });
            }
            Self::Random { like, draw } => {
                let Selection { prompts: chosen, mut lengths } = like.select(draft)?;
                let prompts = at_random(chosen.len(), *draw, draft, &there);
                lengths.extend(length_match(draft, &chosen, &prompts));
                return Ok(Selection { prompts, lengths });
            }
            Self::RandomSameLength { like, draw } => return same_length(like, *draw, draft, &there),
            Self::RandomShare(share) => at_random(part(*share, there.len()), 0, draft, &there),
        };
        Ok(Selection { prompts, lengths: vec![] })
    }
}

/// The number of prompts that is `share` of `n`, rounded to the nearest.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and n")]
pub(crate) fn part(share: f64, n: usize) -> usize {
    (share * n as f64).round() as usize
}

/// Refuses what is no share.
pub(crate) fn check_share(key: &'static str, share: f64) -> Result<()> {
    if share > 0.0 && share <= 1.0 { Ok(()) } else { Err(ArmProblem::Share { key, found: share }) }
}

/// `n` prompts at random: those with the smallest numbers, so that larger `n` hold smaller ones.
pub(crate) fn at_random(n: usize, draw: u64, draft: &Draft<'_>, among: &BTreeSet<usize>) -> BTreeSet<usize> {
    let number = |prompt: &usize| draws::number(draft.seed, "random subset", draw, &draft.prompt(*prompt).id);
    let mut numbered: Vec<(u64, usize)> = among.iter().map(|prompt| (number(prompt), *prompt)).collect();
    numbered.sort_unstable();
    numbered.into_iter().take(n).map(|(_, prompt)| prompt).collect()
}

fn compile(pattern: &str) -> Result<Regex> {
    Regex::new(pattern)
        .map_err(|source| ArmProblem::Pattern { pattern: pattern.into(), source: Box::new(source) })
}

fn tagged(given: &[String], draft: &Draft<'_>, there: BTreeSet<usize>) -> Result<BTreeSet<usize>> {
    let known: BTreeSet<&String> = draft.pool.prompts().iter().flat_map(|prompt| &prompt.tags).collect();
    let unknown: Vec<String> = given.iter().filter(|tag| !known.contains(tag)).cloned().collect();
    if let Some(first) = unknown.first() {
        let near = near(first, known.iter().map(|tag| tag.as_str()));
        return Err(ArmProblem::UnknownTags { near, tags: unknown, known: tags(draft, &there) });
    }
    let has = |prompt: &usize| draft.prompt(*prompt).tags.iter().any(|tag| given.contains(tag));
    Ok(there.into_iter().filter(has).collect())
}

fn with_ids(ids: &[String], draft: &Draft<'_>, there: &BTreeSet<usize>) -> Result<BTreeSet<usize>> {
    let find = |id: &String| draft.pool.prompt_index(id).filter(|prompt| there.contains(prompt));
    let unknown: Vec<String> = ids.iter().filter(|id| find(id).is_none()).cloned().collect();
    let Some(first) = unknown.first() else { return Ok(ids.iter().filter_map(find).collect()) };
    let near = near(first, there.iter().map(|prompt| draft.prompt(*prompt).id.as_str()));
    Err(ArmProblem::UnknownIds { near, of: ids.len(), ids: unknown })
}

/// The path of a file of scores or grades with the seed where `{seed}` stands: where each seed draws prompts of its own, each has
/// scores of its own.
pub fn for_seed(file: &Path, seed: u64) -> PathBuf {
    file.to_str().map_or_else(|| file.to_owned(), |text| text.replace("{seed}", &seed.to_string()).into())
}

fn highest(file: &Path, top: Top, draft: &Draft<'_>, there: &BTreeSet<usize>) -> Result<BTreeSet<usize>> {
    let file = for_seed(file, draft.seed);
    let scores = read_scores(&file).map_err(|source| ArmProblem::Scores { source: Box::new(source) })?;
    let scores: HashMap<String, f64> = scores.into_iter().collect();
    let missing: Vec<String> = there
        .iter()
        .map(|prompt| &draft.prompt(*prompt).id)
        .filter(|id| !scores.contains_key(*id))
        .cloned()
        .collect();
    if !missing.is_empty() {
        return Err(ArmProblem::NoScore { file, prompts: missing, of: there.len() });
    }
    let n = match top {
        Top::Share(share) => part(share, there.len()),
        Top::Count(wanted) if wanted > there.len() => {
            return Err(ArmProblem::TooMany { wanted, of: there.len() });
        }
        Top::Count(wanted) => wanted,
    };
    let scored = |prompt: &usize| {
        let id = &draft.prompt(*prompt).id;
        (scores[id], draws::number(draft.seed, "ties", 0, id), *prompt)
    };
    let mut ranked: Vec<(f64, u64, usize)> = there.iter().map(scored).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    Ok(ranked.into_iter().take(n).map(|(_, _, prompt)| prompt).collect())
}

fn graded(
    file: &Path,
    behavior: &str,
    draft: &Draft<'_>,
    there: &BTreeSet<usize>,
) -> Result<BTreeSet<usize>> {
    let file = for_seed(file, draft.seed);
    let grades = read_grades(&file).map_err(|source| ArmProblem::Grades { source: Box::new(source) })?;
    let of_behavior = grades.iter().filter(|grade| grade.behavior == behavior);
    let mut shows: HashMap<&str, bool> = HashMap::new();
    for grade in of_behavior {
        if shows.insert(&grade.rollout, grade.answer) == Some(!grade.answer) {
            return Err(ArmProblem::TwoGrades { file, rollout: grade.rollout.clone() });
        }
    }
    let answers = draft.answers();
    let id = |prompt: &usize| answers[prompt].id.as_str();
    let missing: Vec<String> =
        there.iter().map(id).filter(|id| !shows.contains_key(id)).map(str::to_owned).collect();
    if !missing.is_empty() {
        let known: BTreeSet<String> = grades.iter().map(|grade| grade.behavior.clone()).collect();
        let (behavior, of) = (behavior.to_owned(), there.len());
        return Err(ArmProblem::NoGrade {
            file,
            behavior,
            rollouts: missing,
            of,
            known: known.into_iter().collect(),
        });
    }
    Ok(there.iter().filter(|prompt| shows[id(prompt)]).copied().collect())
}

fn same_length(like: &Subset, draw: u64, draft: &Draft<'_>, there: &BTreeSet<usize>) -> Result<Selection> {
    let Selection { prompts: chosen, mut lengths } = like.select(draft)?;
    let answers = draft.answers();
    let uncounted: Vec<String> = there
        .iter()
        .filter(|prompt| answers[prompt].n_tokens == 0)
        .map(|prompt| answers[prompt].id.clone())
        .collect();
    if !uncounted.is_empty() {
        return Err(ArmProblem::NoLength { rollouts: uncounted });
    }
    if chosen.len() * 2 > there.len() {
        let (like, wanted) = (like.to_string(), chosen.len());
        return Err(ArmProblem::NoRoom { like, wanted, outside: there.len() - wanted });
    }
    let ranked = |prompt: &usize| {
        let number = draws::number(draft.seed, "same length", draw, &draft.prompt(*prompt).id);
        (answers[prompt].n_tokens, number, *prompt)
    };
    let mut free: BTreeSet<(usize, u64, usize)> = (there - &chosen).iter().map(ranked).collect();
    let mut wanted: Vec<(usize, u64, usize)> = chosen.iter().map(ranked).collect();
    wanted.sort_unstable_by(|a, b| b.cmp(a));
    let mut control = BTreeSet::new();
    for (length, ..) in wanted {
        let above = free.range((length, 0, 0)..).next().copied();
        // The first of its length, which is a random one, not the last.
        let below = free.range(..(length, 0, 0)).next_back();
        let below = below.and_then(|last| free.range((last.0, 0, 0)..).next()).copied();
        let nearest = [above, below].into_iter().flatten();
        let Some(taken) = nearest.min_by_key(|(found, number, _)| (found.abs_diff(length), *number)) else {
            break;
        };
        free.remove(&taken);
        control.insert(taken.2);
    }
    lengths.extend(length_match(draft, &chosen, &control));
    Ok(Selection { prompts: control, lengths })
}

/// How well a control is matched in length; nothing where nobody counted.
fn length_match(draft: &Draft<'_>, like: &BTreeSet<usize>, control: &BTreeSet<usize>) -> Option<LengthMatch> {
    let answers = draft.answers();
    let mean = |prompts: &BTreeSet<usize>| {
        let lengths = prompts.iter().map(|prompt| answers[prompt].n_tokens);
        let sum: Option<usize> = lengths.map(|length| (length > 0).then_some(length)).sum();
        Some(sum? as f64 / prompts.len() as f64)
    };
    Some(LengthMatch { like: mean(like)?, control: mean(control)? })
}

/// The tags of prompts, each with its number of prompts, the most frequent first.
fn tags(draft: &Draft<'_>, prompts: &BTreeSet<usize>) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for tag in prompts.iter().flat_map(|prompt| &draft.prompt(*prompt).tags) {
        *counts.entry(tag).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().map(|(tag, count)| (tag.clone(), count)).collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    counts
}

impl fmt::Display for Subset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let drawn = |draw: &u64| if *draw == 0 { String::new() } else { format!(" (draw {draw})") };
        match self {
            Self::All => write!(f, "all prompts"),
            Self::Tags(tags) => write!(f, "prompts tagged {}", either(tags)),
            Self::Ids(ids) if ids.len() <= 3 => write!(f, "prompts {}", either(ids).replace(" or ", " and ")),
            Self::Ids(ids) => write!(f, "{} prompts by id", ids.len()),
            Self::Regex(pattern) => write!(f, "prompts matching `{pattern}`"),
            Self::AnswerRegex(pattern) => write!(f, "prompts whose answers match `{pattern}`"),
            Self::Scores { file, top } => write!(f, "the top {top} of `{}`", file.display()),
            Self::Graded { file, behavior } => {
                write!(f, "prompts whose answers show {behavior} by `{}`", file.display())
            }
            Self::Not(inner) => write!(f, "all but {inner}"),
            Self::Random { like, draw } => write!(f, "as many at random{} as {like}", drawn(draw)),
            Self::RandomSameLength { like, draw } => {
                write!(f, "as many at random{} of the same length as {like}", drawn(draw))
            }
            Self::RandomShare(share) => write!(f, "{} of prompts at random", percent(*share)),
        }
    }
}

impl fmt::Display for Top {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Share(share) => write!(f, "{}", percent(*share)),
        }
    }
}

/// A share as it would be written: `12.5 %`.
pub(crate) fn percent(share: f64) -> String {
    // Twelve digits hide what 0.07 * 100 adds, and nothing a person writes.
    format!("{} %", (share * 1e12).round() / 1e10)
}
