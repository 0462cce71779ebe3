//! Everything arms are made from: prompt sets, and what each teacher answered.

use std::collections::{BTreeMap, HashMap, HashSet};

use heirloom_record::{Prompt, Rollout, near};

use crate::arm::{ArmProblem, PoolProblem};
use crate::{Error, Result};

/// Prompt sets by name, and rollouts by teacher and prompt.
///
/// A prompt's `source` is the set it belongs to. An arm has one row per prompt: of several samples of a teacher on
/// one prompt it takes the first, the one with the smallest `sample`.
#[derive(Clone, Debug)]
pub struct Pool {
    prompts: Vec<Prompt>,
    rollouts: Vec<Rollout>,
    hashes: Vec<String>,
    sets: BTreeMap<String, Vec<usize>>,
    prompt_by_id: HashMap<String, usize>,
    rollout_by_id: HashMap<String, usize>,
    answers: BTreeMap<String, BTreeMap<usize, usize>>,
}

impl Pool {
    /// A pool of these prompts and of all that was answered to them.
    ///
    /// # Errors
    /// Two prompts or rollouts share an id, a rollout's prompt is not there, or its messages before the answer are
    /// not its prompt's: what a teacher was asked is what the student will be asked.
    pub fn new(prompts: Vec<Prompt>, rollouts: Vec<Rollout>) -> Result<Self> {
        let problem = |source| Err(Error::Pool { source: Box::new(source) });
        let mut prompt_by_id = HashMap::new();
        let mut sets: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, prompt) in prompts.iter().enumerate() {
            if prompt_by_id.insert(prompt.id.clone(), index).is_some() {
                return problem(PoolProblem::RepeatedPrompt { id: prompt.id.clone() });
            }
            sets.entry(prompt.source.clone()).or_default().push(index);
        }
        let (mut strangers, mut others) = (vec![], vec![]);
        let mut samples = HashSet::new();
        let mut rollout_by_id = HashMap::new();
        let mut answers: BTreeMap<String, BTreeMap<usize, usize>> = BTreeMap::new();
        for (index, rollout) in rollouts.iter().enumerate() {
            if rollout_by_id.insert(rollout.id.clone(), index).is_some() {
                return problem(PoolProblem::RepeatedRollout { id: rollout.id.clone() });
            }
            let Some(&prompt) = prompt_by_id.get(&rollout.prompt) else {
                strangers.push(rollout.id.clone());
                continue;
            };
            if rollout.asked() != prompts[prompt].messages {
                others.push(rollout.id.clone());
            }
            if !samples.insert((&rollout.teacher, prompt, rollout.sample)) {
                let (teacher, prompt) = (rollout.teacher.clone(), rollout.prompt.clone());
                return problem(PoolProblem::RepeatedSample { teacher, prompt, sample: rollout.sample });
            }
            let first = answers.entry(rollout.teacher.clone()).or_default().entry(prompt).or_insert(index);
            if rollout.sample < rollouts[*first].sample {
                *first = index;
            }
        }
        if !strangers.is_empty() {
            return problem(PoolProblem::NoPrompt { rollouts: strangers });
        }
        if !others.is_empty() {
            return problem(PoolProblem::OtherPrompt { rollouts: others });
        }
        let hashes = rollouts.iter().map(Rollout::sha256).collect();
        Ok(Self { prompts, rollouts, hashes, sets, prompt_by_id, rollout_by_id, answers })
    }

    /// The pool with one more prompt set: all prompts of `sources`, in the pool's order. An arm on it has shares
    /// per source to report.
    ///
    /// # Errors
    /// A source is not there, or the name is taken.
    pub fn with_set(mut self, name: &str, sources: &[&str]) -> Result<Self> {
        if self.sets.contains_key(name) {
            let source = Box::new(PoolProblem::TakenSet { name: name.into() });
            return Err(Error::Pool { source });
        }
        let mut joined = vec![];
        for source in sources {
            let known = |index: &usize| self.prompts[*index].source == *source;
            if !self.sets.get(*source).is_some_and(|set| set.iter().all(known)) {
                let source =
                    PoolProblem::UnknownSource { name: (*source).into(), near: self.near_set(source) };
                return Err(Error::Pool { source: Box::new(source) });
            }
            joined.extend(&self.sets[*source]);
        }
        joined.sort_unstable();
        joined.dedup();
        self.sets.insert(name.into(), joined);
        Ok(self)
    }

    /// Every prompt, in the order given.
    pub fn prompts(&self) -> &[Prompt] {
        &self.prompts
    }

    /// Every rollout, in the order given.
    pub fn rollouts(&self) -> &[Rollout] {
        &self.rollouts
    }

    /// The rollout with this id.
    pub fn rollout(&self, id: &str) -> Option<&Rollout> {
        self.rollout_by_id.get(id).map(|index| &self.rollouts[*index])
    }

    /// Prompt sets with their sizes, by name.
    pub fn sets(&self) -> impl Iterator<Item = (&str, usize)> {
        self.sets.iter().map(|(name, prompts)| (name.as_str(), prompts.len()))
    }

    /// Teachers with the number of prompts they answered, by name.
    pub fn teachers(&self) -> impl Iterator<Item = (&str, usize)> {
        self.answers.iter().map(|(name, answers)| (name.as_str(), answers.len()))
    }

    /// The prompts of a set, as indices.
    pub(crate) fn set(&self, name: &str) -> Result<&[usize], ArmProblem> {
        self.sets.get(name).map(Vec::as_slice).ok_or_else(|| ArmProblem::UnknownSet {
            name: name.into(),
            near: self.near_set(name),
            known: self.sets.keys().cloned().collect(),
        })
    }

    /// What `teacher` answered to `prompts`, as indices of rollouts.
    pub(crate) fn answered(
        &self,
        teacher: &str,
        prompts: impl ExactSizeIterator<Item = usize>,
    ) -> Result<HashMap<usize, usize>, ArmProblem> {
        let answers = self.answers.get(teacher).ok_or_else(|| ArmProblem::UnknownTeacher {
            name: teacher.into(),
            near: near(teacher, self.answers.keys().map(String::as_str)),
            known: self.answers.keys().cloned().collect(),
        })?;
        let of = prompts.len();
        let (mut found, mut missing) = (HashMap::new(), vec![]);
        for prompt in prompts {
            match answers.get(&prompt) {
                Some(rollout) => drop(found.insert(prompt, *rollout)),
                None => missing.push(self.prompts[prompt].id.clone()),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        Err(ArmProblem::NoRollout { teacher: teacher.into(), prompts: missing, of })
    }

    /// The index of a prompt.
    pub(crate) fn prompt_index(&self, id: &str) -> Option<usize> {
        self.prompt_by_id.get(id).copied()
    }

    /// The index of a rollout.
    pub(crate) fn rollout_index(&self, id: &str) -> Option<usize> {
        self.rollout_by_id.get(id).copied()
    }

    /// The SHA-256 of a rollout's content.
    pub(crate) fn hash(&self, rollout: usize) -> &str {
        &self.hashes[rollout]
    }

    fn near_set(&self, name: &str) -> Vec<String> {
        near(name, self.sets.keys().map(String::as_str))
    }
}
