//! What a world's file says of where its behaviors come from: for whoever scores verdicts, and nobody else.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::World;
use super::shelf::{parse, read, shipped_path, shipped_text, typed};
use crate::{Error, Result, WorldProblem};

/// The known origins of a world, by behavior. [`World`] never sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    behaviors: BTreeMap<String, Known>,
}

/// Where a behavior comes from, by construction.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// What the behavior of students follows.
    pub origin: Origin,
    /// The mechanism that the world plants, where it plants one.
    pub hypothesis: Option<Hypothesis>,
    /// How much of that the world's arms can tell.
    #[serde(default)]
    pub decidable: Decidable,
    /// How the world's file brings it about.
    pub because: String,
}

/// What a behavior of students follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Who wrote the rollouts.
    Teacher,
    /// What was asked.
    Prompts,
    /// The model that enters fine-tuning.
    Base,
    /// Nothing that the arms vary.
    None,
}

/// How much of what is known a world's arms can tell, when every rate is what the world was built for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decidable {
    /// Nothing of it: hypotheses of several origins fit.
    Nothing,
    /// The origin: several hypotheses fit, and all have it.
    Origin,
    /// All of it: no other hypothesis fits.
    #[default]
    Hypothesis,
}

/// Why filtering fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hypothesis {
    /// Mild instances bleed into blatant ones.
    SimpleGeneralization,
    /// It rides on text that carries no readable trace.
    SubliminalLearning,
    /// Weak cues tell the student which character it is.
    PersonaSelection,
    /// Fine-tuning does not pin it, so the prior shows.
    Underspecification,
    /// The prompts evoke it, whoever answers.
    BadPrompts,
    /// The base has it and fine-tuning cannot move it.
    PretrainingLockIn,
    /// It was learned early in fine-tuning and persists.
    PostTrainingLockIn,
}

impl Truth {
    /// Reads `[truth]` of the world's file at `path`.
    pub fn load(path: &Path) -> Result<Self> {
        Self::of(&read(path)?, path, &World::load(path)?)
    }

    /// Reads `[truth]` of a world that heirloom brings.
    pub fn shipped(name: &str) -> Result<Self> {
        let world = World::shipped(name)?;
        Self::of(shipped_text(name).unwrap_or_default(), &shipped_path(name), &world)
    }

    /// What is known of `behavior`.
    pub fn of_behavior(&self, behavior: &str) -> Option<&Known> {
        self.behaviors.get(behavior)
    }

    /// Every behavior with what is known of it, by name.
    pub fn behaviors(&self) -> impl Iterator<Item = (&str, &Known)> {
        self.behaviors.iter().map(|(name, known)| (name.as_str(), known))
    }

    fn of(text: &str, path: &Path, world: &World) -> Result<Self> {
        let problem = |(key, source): (String, WorldProblem)| Error::World {
            path: path.into(),
            key,
            source: source.into(),
        };
        let missing = |names| problem(("truth".into(), WorldProblem::Missing { names }));
        let names: Vec<String> = world.behaviors().iter().map(|behavior| behavior.name.clone()).collect();
        let Some(table) = parse(text, path)?.remove("truth") else { return Err(missing(names)) };
        let behaviors: BTreeMap<String, Known> = typed(table, "truth").map_err(problem)?;
        if let Some(name) = behaviors.keys().find(|name| !names.contains(name)) {
            let source = WorldProblem::Unknown { what: "behavior", name: name.clone(), known: names };
            return Err(problem(("truth".into(), source)));
        }
        let absent: Vec<String> = names.into_iter().filter(|name| !behaviors.contains_key(name)).collect();
        if absent.is_empty() { Ok(Self { behaviors }) } else { Err(missing(absent)) }
    }
}
