//! An arm's rows while interventions are applied to them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use heirloom_record::{Prompt, Rollout};

use super::{ArmProblem, Place};
use crate::{ManifestRow, Pool, draws};

/// Rows of one arm. All rows of one prompt have the same rollout.
#[derive(Clone)]
pub(crate) struct Draft<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) seed: u64,
    /// Whether the order of rows means something.
    pub(crate) ordered: bool,
    entries: Vec<Entry>,
    /// The entries before any intervention, where they are known.
    start: Option<Vec<Entry>>,
}

/// One row: indices into the pool, and which of the prompt's rows it is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    prompt: usize,
    rollout: usize,
    copy: usize,
}

impl<'a> Draft<'a> {
    /// One row per prompt of a set, answered by `teacher`.
    pub(crate) fn start_with(
        pool: &'a Pool,
        set: &str,
        teacher: &str,
        seed: u64,
    ) -> Result<Self, ArmProblem> {
        let set = pool.set(set)?;
        let answers = pool.answered(teacher, set.iter().copied())?;
        let entry = |prompt: &usize| Entry { prompt: *prompt, rollout: answers[prompt], copy: 0 };
        let entries: Vec<Entry> = set.iter().map(entry).collect();
        Ok(Self { pool, seed, ordered: false, start: Some(entries.clone()), entries })
    }

    /// The rows of a manifest, given as indices of prompt and rollout.
    pub(crate) fn of(pool: &'a Pool, seed: u64, rows: impl Iterator<Item = (usize, usize)>) -> Self {
        let entries = rows.map(|(prompt, rollout)| Entry { prompt, rollout, copy: 0 }).collect();
        Self { pool, seed, ordered: false, entries, start: None }
    }

    /// The same before any intervention.
    pub(crate) fn start(&self) -> Option<Self> {
        Some(Self { entries: self.start.clone()?, start: None, ..*self })
    }

    pub(crate) fn prompt(&self, index: usize) -> &'a Prompt {
        &self.pool.prompts()[index]
    }

    /// The prompts that have rows.
    pub(crate) fn prompts(&self) -> BTreeSet<usize> {
        self.entries.iter().map(|entry| entry.prompt).collect()
    }

    /// The rollout of each prompt that has rows.
    pub(crate) fn answers(&self) -> HashMap<usize, &'a Rollout> {
        self.entries.iter().map(|entry| (entry.prompt, &self.pool.rollouts()[entry.rollout])).collect()
    }

    /// Gives `prompts` the answers of `teacher`; the number of rows that changed.
    pub(crate) fn swap(&mut self, prompts: &BTreeSet<usize>, teacher: &str) -> Result<usize, ArmProblem> {
        let answers = self.pool.answered(teacher, prompts.iter().copied())?;
        let mut changed = 0;
        for entry in &mut self.entries {
            if let Some(rollout) = answers.get(&entry.prompt) {
                changed += usize::from(entry.rollout != *rollout);
                entry.rollout = *rollout;
            }
        }
        if changed == 0 {
            let reason = format!("all {} prompts have the answers of `{teacher}` already", prompts.len());
            return Err(ArmProblem::NoEffect { reason });
        }
        Ok(changed)
    }

    /// Removes the rows of all prompts but these, or puts repeated rows in their places; how many.
    pub(crate) fn keep(&mut self, prompts: &BTreeSet<usize>, refill: bool) -> usize {
        let before = self.entries.len();
        if !refill {
            self.entries.retain(|entry| prompts.contains(&entry.prompt));
            return before - self.entries.len();
        }
        let mut kept: BTreeMap<usize, Entry> = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| prompts.contains(&entry.prompt)) {
            let last = kept.entry(entry.prompt).or_insert(*entry);
            last.copy = last.copy.max(entry.copy);
        }
        // Those that stand least often come first, and among them the smallest number.
        let turn = |entry: &Entry| {
            let id = &self.prompt(entry.prompt).id;
            (entry.copy, draws::number(self.seed, "refill", entry.copy as u64, id), entry.prompt)
        };
        let mut turns: BinaryHeap<_> = kept.values().map(|entry| Reverse(turn(entry))).collect();
        let mut entries = self.entries.clone();
        let vacant = entries.iter_mut().filter(|entry| !prompts.contains(&entry.prompt));
        let mut refilled = 0;
        for place in vacant {
            let Some(Reverse((copy, _, prompt))) = turns.pop() else { break };
            *place = Entry { copy: copy + 1, ..kept[&prompt] };
            turns.push(Reverse(turn(place)));
            refilled += 1;
        }
        self.entries = entries;
        refilled
    }

    /// Puts the rows of `prompts` before or after the others; how many they are.
    pub(crate) fn order(&mut self, prompts: &BTreeSet<usize>, place: Place) -> usize {
        if !self.ordered {
            // The trainer would have shuffled them.
            let (pool, seed) = (self.pool, self.seed);
            self.entries.sort_by_cached_key(|entry| {
                draws::number(seed, "order", entry.copy as u64, &pool.prompts()[entry.prompt].id)
            });
            self.ordered = true;
        }
        let (meant, others): (Vec<Entry>, Vec<Entry>) =
            self.entries.iter().partition(|entry| prompts.contains(&entry.prompt));
        let n = meant.len();
        self.entries = match place {
            Place::Early => [meant, others].concat(),
            Place::Late => [others, meant].concat(),
        };
        n
    }

    /// The rows as they stand.
    pub(crate) fn rows(&self) -> Vec<ManifestRow> {
        let row = |entry: &Entry| {
            let (prompt, rollout) = (self.prompt(entry.prompt), &self.pool.rollouts()[entry.rollout]);
            ManifestRow {
                prompt: prompt.id.clone(),
                source: prompt.source.clone(),
                tags: prompt.tags.clone(),
                teacher: rollout.teacher.clone(),
                rollout: rollout.id.clone(),
                sha256: self.pool.hash(entry.rollout).into(),
                n_tokens: rollout.n_tokens,
                copy: entry.copy,
            }
        };
        self.entries.iter().map(row).collect()
    }
}
