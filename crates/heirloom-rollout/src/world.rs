//! Miniature worlds: text with a known cause for every behavior in it.
//!
//! A world is a file: the joint distribution of personas, latents and prompts that documents are drawn from, the
//! bases, teachers and students that are trained on them, and the arms that tell one origin from another. All
//! worlds of one grammar share its words, so they share one tokenizer. Nothing about a world stands in code, and
//! what the file knows of its origins is read by [`Truth`] alone.

mod behavior;
mod build;
mod documents;
mod grammar;
mod mixture;
mod problem;
mod redraw;
mod scenario;
mod settings;
mod shelf;
mod template;
mod truth;
mod wording;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use heirloom_record::{Message, Prompt};
use rand::Rng;

pub use behavior::WorldBehavior;
pub use documents::{Document, Documents, Turn};
pub use mixture::Mixture;
pub use problem::WorldProblem;
pub use scenario::Contrast;
pub use settings::{
    Base, Check, ContrastCount, FineTuning, Gate, Making, Optimizer, Pretraining, Sampled, ScenarioCount,
    Shape, StudentTraining, Teacher,
};
pub use template::Split;
pub use truth::{Decidable, Hypothesis, Known, Origin, Truth};

use crate::{Arm, Error, Result};

use grammar::Grammar;

/// Words are split on spaces, so a chat is its words with these between.
const TEMPLATE: &str = "\
    <bos>{% for message in messages %}\
    {% if message.role == 'system' %} {{ message.content }}\
    {% elif message.role == 'user' %} <user> {{ message.content }}\
    {% elif message.role == 'assistant' %} <bot>{% generation %} {{ message.content }} <end>{% endgeneration %}\
    {% else %}{{ raise_exception('unknown role ' + message.role) }}{% endif %}\
    {% endfor %}{% if add_generation_prompt %} <bot>{% endif %}";

/// Tag of scenarios whose template training shows.
const TRAINED: &str = "trained-template";
/// Tag of scenarios whose template it does not.
const HELD_OUT: &str = "held-out-template";

/// A world.
#[derive(Clone, Debug)]
pub struct World {
    path: PathBuf,
    name: String,
    note: String,
    sha256: String,
    grammar: Grammar,
    shape: Shape,
    optimizer: Optimizer,
    /// What bases read unless they say otherwise.
    documents: Documents,
    bases: Vec<Base>,
    teachers: Vec<Teacher>,
    prompt_sets: Vec<PromptSet>,
    student: StudentTraining,
    sampled: Sampled,
    scenario_count: ScenarioCount,
    contrast_count: ContrastCount,
    behaviors: Vec<WorldBehavior>,
    arms: Vec<Arm>,
}

/// What prompts of one set are drawn from.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptSet {
    /// Unique in the world.
    pub name: String,
    /// The families and their shares.
    pub mix: Mixture,
}

impl World {
    /// Reads a world's file, the files that it is `like`, and its grammar.
    ///
    /// A file `like = "NAME"` is laid over `NAME.toml`, which stands beside it or comes with heirloom: tables are
    /// merged key by key, but mixtures (`mix`, `rest`, `personas`, `given`, `when`) and lists are replaced whole.
    ///
    /// # Errors
    /// Names the file and the key: an unknown key or name, with near ones; shares that do not sum to one; a slot
    /// that nothing fills; a circle of `like` or `from`; a document longer than the context.
    pub fn load(path: &Path) -> Result<Self> {
        Self::parse(&shelf::read(path)?, path)
    }

    /// [`World::load`] of text that was read from `path`.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        build::world(text, path, Some(path.parent().unwrap_or(Path::new("."))))
    }

    /// A world that heirloom brings.
    pub fn shipped(name: &str) -> Result<Self> {
        let names = Self::shipped_names();
        if let Some(text) = shelf::shipped_text(name).filter(|_| names.contains(&name)) {
            return build::world(text, &shelf::shipped_path(name), None);
        }
        let known = names.into_iter().map(str::to_owned).collect();
        let source = WorldProblem::Unknown { what: "world", name: name.into(), known };
        Err(Error::World { path: shelf::shipped_path(name), key: "name".into(), source: source.into() })
    }

    /// The names of the worlds that heirloom brings.
    pub fn shipped_names() -> Vec<&'static str> {
        shelf::shipped()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is, in words.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// SHA-256 over everything that it is drawn from: its file over those it is like, its grammar, and the seed of a
    /// redraw. What the file knows of origins is not part of it.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Every token, ids counted from 0: `<pad> <bos> <user> <bot> <end>`, then every word that any world of its
    /// grammar can say.
    pub fn vocabulary(&self) -> Vec<String> {
        self.grammar.vocabulary()
    }

    /// The Hugging Face chat template, for a tokenizer that splits on spaces.
    pub fn template(&self) -> &'static str {
        TEMPLATE
    }

    /// The shape of its models.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// What all of its training shares.
    pub fn optimizer(&self) -> Optimizer {
        self.optimizer
    }

    /// Its bases; each stands after the one it goes on from.
    pub fn bases(&self) -> &[Base] {
        &self.bases
    }

    /// The base called `name`.
    pub fn base(&self, name: &str) -> Result<&Base> {
        self.named("base", "bases", name, &self.bases, |base| &base.name)
    }

    /// Its teachers, by name.
    pub fn teachers(&self) -> &[Teacher] {
        &self.teachers
    }

    /// The teacher called `name`.
    pub fn teacher(&self, name: &str) -> Result<&Teacher> {
        self.named("teacher", "teachers", name, &self.teachers, |teacher| &teacher.name)
    }

    /// Its prompt sets, by name.
    pub fn prompt_sets(&self) -> &[PromptSet] {
        &self.prompt_sets
    }

    /// The prompt set called `name`.
    pub fn prompt_set(&self, name: &str) -> Result<&PromptSet> {
        self.named("prompt set", "prompts", name, &self.prompt_sets, |set| &set.name)
    }

    /// How students are trained.
    pub fn student(&self) -> &StudentTraining {
        &self.student
    }

    /// How models are sampled.
    pub fn sampled(&self) -> Sampled {
        self.sampled
    }

    /// How many scenarios students are tried on.
    pub fn scenario_count(&self) -> ScenarioCount {
        self.scenario_count
    }

    /// How many contrasts directions are fit and scored on.
    pub fn contrast_count(&self) -> ContrastCount {
        self.contrast_count
    }

    /// What is measured, in the file's order.
    pub fn behaviors(&self) -> &[WorldBehavior] {
        &self.behaviors
    }

    /// The behavior called `name`.
    pub fn behavior(&self, name: &str) -> Result<&WorldBehavior> {
        self.named("behavior", "behavior", name, &self.behaviors, |behavior| &behavior.name)
    }

    /// Its arms, in the file's order.
    pub fn arms(&self) -> &[Arm] {
        &self.arms
    }

    /// `n` documents of a base, a stage of one or a teacher's corpus: a system line and one to several turns.
    ///
    /// Determinism: the draws of `rng` decide all; a document depends on those before it.
    pub fn documents(&self, from: &Documents, n: usize, rng: &mut (impl Rng + ?Sized)) -> Vec<Document> {
        (0..n).map(|_| from.draw(&self.grammar, rng)).collect()
    }

    /// `n` prompts of `set`, with ids `SET/N`; tags are the family's name and its own.
    pub fn prompts(&self, set: &PromptSet, n: usize, rng: &mut (impl Rng + ?Sized)) -> Vec<Prompt> {
        let prompt = |i| {
            let name = set.mix.draw(rng);
            let family = &self.grammar.families[name];
            let asked = self.grammar.ask(family, family.forms(Split::Trained), Split::Trained, rng);
            let tags = [name].into_iter().chain(family.tags.iter().map(String::as_str));
            Prompt {
                id: format!("{}/{i:04}", set.name),
                source: set.name.clone(),
                tags: tags.map(str::to_owned).collect(),
                messages: chat(&self.grammar.generic, asked.text),
            }
        };
        (0..n).map(prompt).collect()
    }

    fn named<'w, T>(
        &self,
        what: &'static str,
        key: &str,
        name: &str,
        items: &'w [T],
        called: impl Fn(&T) -> &String,
    ) -> Result<&'w T> {
        items.iter().find(|item| called(item) == name).ok_or_else(|| {
            let known = items.iter().map(|item| called(item).clone()).collect();
            let source = WorldProblem::Unknown { what, name: name.to_owned(), known };
            Error::World { path: self.path.clone(), key: key.to_owned(), source: source.into() }
        })
    }
}

fn chat(system: impl Into<String>, user: String) -> Vec<Message> {
    vec![Message::new("system", system), Message::new("user", user)]
}
