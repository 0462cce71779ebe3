//! Row by row: in what two arms differ, and the proof that it is only what was meant.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use serde::Serialize;

use super::{Manifest, ManifestRow, Sides};
use crate::{Error, Pool, Result, Subset};

/// Ids printed of each kind of difference.
const SHOWN: usize = 6;

/// A prompt whose answer is another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Changed {
    /// The prompt's id.
    pub prompt: String,
    /// Who answered in the first arm.
    pub from: String,
    /// Who answered in the second.
    pub to: String,
}

/// A prompt that stands more or less often.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Repeated {
    /// The prompt's id.
    pub prompt: String,
    /// Its rows in the first arm.
    pub from: usize,
    /// Its rows in the second.
    pub to: usize,
}

/// In what a second manifest differs from a first. Displays as a block of text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diff<'a> {
    #[serde(skip)]
    from: &'a Manifest,
    #[serde(skip)]
    to: &'a Manifest,
    /// Names of the two arms.
    pub names: Sides<&'a str>,
    /// What their students start from.
    pub bases: Sides<&'a str>,
    /// Whether rows are taken in the manifest's order.
    pub ordered: Sides<bool>,
    /// Prompts that only the second has.
    pub added: Vec<String>,
    /// Prompts that only the first has.
    pub removed: Vec<String>,
    /// Prompts that both have, with another answer.
    pub changed: Vec<Changed>,
    /// Prompts that both have, with another number of rows.
    pub repeated: Vec<Repeated>,
    /// The fewest prompts that had to move to get from the first order to the second, among rows that both have;
    /// empty where only one of the two is ordered, for the trainer shuffles the other.
    pub moved: Vec<String>,
    /// Prompts that are the same in both.
    pub same: usize,
}

impl Manifest {
    /// In what `to` differs from this manifest.
    pub fn diff<'a>(&'a self, to: &'a Self) -> Diff<'a> {
        let (before, after) = (by_prompt(self), by_prompt(to));
        let (copies_before, copies_after) = (self.copies(), to.copies());
        let (mut removed, mut changed, mut repeated, mut same) = (vec![], vec![], vec![], 0);
        for row in firsts(self) {
            let prompt = row.prompt.clone();
            let Some(other) = after.get(prompt.as_str()) else {
                removed.push(prompt);
                continue;
            };
            let (from, to) = (copies_before[prompt.as_str()], copies_after[prompt.as_str()]);
            let is_changed = (&row.rollout, &row.sha256) != (&other.rollout, &other.sha256);
            same += usize::from(!is_changed && from == to);
            if from != to {
                repeated.push(Repeated { prompt: prompt.clone(), from, to });
            }
            if is_changed {
                changed.push(Changed { prompt, from: row.teacher.clone(), to: other.teacher.clone() });
            }
        }
        let added = firsts(to).filter(|row| !before.contains_key(row.prompt.as_str()));
        let moved = if self.ordered == to.ordered { moved(self, to, |_| true) } else { vec![] };
        Diff {
            from: self,
            to,
            names: Sides { against: &self.arm, arm: &to.arm },
            bases: Sides { against: &self.base, arm: &to.base },
            ordered: Sides { against: self.ordered, arm: to.ordered },
            added: added.map(|row| row.prompt.clone()).collect(),
            removed,
            changed,
            repeated,
            moved: moved.into_iter().map(str::to_owned).collect(),
            same,
        }
    }
}

impl Diff<'_> {
    /// Whether students of the two arms are trained on the same rows, from the same base.
    pub fn is_empty(&self) -> bool {
        let rows = [self.added.len(), self.removed.len(), self.changed.len(), self.repeated.len()];
        rows == [0; 4]
            && self.moved.is_empty()
            && self.ordered.against == self.ordered.arm
            && self.bases.against == self.bases.arm
    }

    /// Proves that the arms differ on the prompts of `on` only, as chosen from the first of them.
    ///
    /// Beside `on`, prompts may stand more often where that makes the second arm as long as the first, which is
    /// what refilling does, and rows may stand elsewhere where only one of the two arms is ordered.
    ///
    /// # Errors
    /// Names everything else that differs: the base; prompts outside `on` that were added, removed, changed,
    /// repeated or moved. Or what is wrong with the subset.
    pub fn only(&self, on: &Subset, pool: &Pool) -> Result<()> {
        let differences = self.outside(&self.from.select(on, pool)?);
        if differences.is_empty() {
            return Ok(());
        }
        let [against, arm] = [self.names.against, self.names.arm].map(str::to_owned);
        Err(Error::Unmeant { arm, against, on: on.to_string(), differences })
    }

    /// What differs on other prompts than `meant`, in words.
    fn outside(&self, meant: &BTreeSet<String>) -> Vec<String> {
        let outside = |prompt: &String| !meant.contains(prompt);
        let mut found = vec![];
        if self.bases.against != self.bases.arm {
            found.push(format!("base `{}` became `{}`", self.bases.against, self.bases.arm));
        }
        for (prompts, what) in [(&self.added, "added"), (&self.removed, "removed")] {
            let prompts = prompts.iter().filter(|prompt| outside(prompt));
            found.extend(prompts.map(|prompt| format!("`{prompt}` was {what}")));
        }
        for Changed { prompt, from, to } in self.changed.iter().filter(|changed| outside(&changed.prompt)) {
            found.push(if from == to {
                format!("`{prompt}` got another answer of `{to}`")
            } else {
                format!("`{prompt}` went from `{from}` to `{to}`")
            });
        }
        let refilled = self.from.rows.len() == self.to.rows.len();
        for Repeated { prompt, from, to } in self.repeated.iter().filter(|more| outside(&more.prompt)) {
            if !refilled || to < from {
                found.push(format!("`{prompt}` has {to} rows for {from}"));
            }
        }
        if self.ordered.against == self.ordered.arm {
            let moved = moved(self.from, self.to, |row| outside(&row.prompt));
            found.extend(moved.into_iter().map(|prompt| format!("`{prompt}` was moved")));
        }
        found
    }
}

/// The first row of each prompt, in the manifest's order.
fn firsts(manifest: &Manifest) -> impl Iterator<Item = &ManifestRow> {
    let mut seen = HashSet::new();
    manifest.rows.iter().filter(move |row| seen.insert(&row.prompt))
}

fn by_prompt(manifest: &Manifest) -> HashMap<&str, &ManifestRow> {
    firsts(manifest).map(|row| (row.prompt.as_str(), row)).collect()
}

/// The fewest prompts to move so that the rows both have, among those `considered`, stand in the second order: all
/// but those on a longest increasing subsequence of places.
fn moved<'a>(
    from: &'a Manifest,
    to: &'a Manifest,
    considered: impl Fn(&ManifestRow) -> bool,
) -> Vec<&'a str> {
    let key = |row: &'a ManifestRow| (row.prompt.as_str(), row.copy);
    let places: HashMap<(&str, usize), usize> =
        from.rows.iter().enumerate().map(|(place, row)| (key(row), place)).collect();
    let both: Vec<(usize, &str)> = to
        .rows
        .iter()
        .filter(|row| considered(row))
        .filter_map(|row| Some((*places.get(&key(row))?, row.prompt.as_str())))
        .collect();
    // Patience sorting: the last element of the best subsequence of each length, and what stands before it.
    let (mut ends, mut before): (Vec<usize>, Vec<Option<usize>>) = (vec![], vec![]);
    for (index, (place, _)) in both.iter().enumerate() {
        let length = ends.partition_point(|end| both[*end].0 < *place);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(index);
        } else {
            ends[length] = index;
        }
    }
    let chain = std::iter::successors(ends.last().copied(), |index| before[*index]);
    let stay: HashSet<usize> = chain.collect();
    let mut seen = HashSet::new();
    let moved = both.iter().enumerate().filter(|(index, _)| !stay.contains(index));
    moved.map(|(_, (_, prompt))| *prompt).filter(|prompt| seen.insert(*prompt)).collect()
}

impl fmt::Display for Diff<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` against `{}`", self.names.arm, self.names.against)?;
        if self.is_empty() {
            return write!(f, ": the same {} prompts, rows and order", self.same);
        }
        let lines = self.lines();
        let width = lines.iter().map(|(what, _)| what.chars().count()).max().unwrap_or(0);
        lines.iter().try_for_each(|(what, text)| write!(f, "\n  {what:<width$}  {text}"))
    }
}

impl Diff<'_> {
    /// What differs and on which prompts, by line.
    fn lines(&self) -> Vec<(String, String)> {
        let mut lines = vec![];
        if self.bases.against != self.bases.arm {
            let base = format!("`{}`, then `{}`", self.bases.against, self.bases.arm);
            lines.push(("base".into(), base));
        }
        let mut push = |what: &str, ids: &[&str]| {
            if !ids.is_empty() {
                let more = ids.len().saturating_sub(SHOWN);
                let shown = ids[..ids.len() - more].join(", ");
                let more = if more > 0 { format!(", … ({more} more)") } else { String::new() };
                lines.push((what.to_owned(), format!("{}: {shown}{more}", ids.len())));
            }
        };
        push("added", &strings(&self.added));
        push("removed", &strings(&self.removed));
        let mut ways: BTreeMap<(bool, String), Vec<&str>> = BTreeMap::new();
        for Changed { prompt, from, to } in &self.changed {
            ways.entry((false, format!("`{from}` to `{to}`"))).or_default().push(prompt);
        }
        for Repeated { prompt, from, to } in &self.repeated {
            ways.entry((true, format!("{from} to {to} rows"))).or_default().push(prompt);
        }
        for ((_, way), prompts) in ways {
            push(&way, &prompts);
        }
        push("moved", &strings(&self.moved));
        let order = |as_it_stands| if as_it_stands { "as it stands" } else { "shuffled by the trainer" };
        let Sides { against, arm } = self.ordered;
        if against != arm {
            lines.push(("order".into(), format!("{}, then {}", order(against), order(arm))));
        }
        lines.push(("same".into(), self.same.to_string()));
        lines
    }
}

fn strings(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}
