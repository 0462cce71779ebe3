//! What is measured in a world, and the graders that measure it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::grammar::{BehaviorFile, Family, Grammar, Keyed};
use super::template::Template;
use crate::grader::GraderFile;
use crate::{Effect, Grader, RuleProblem, WorldProblem};

/// A behavior of a world's models.
#[derive(Clone, Debug)]
pub struct WorldBehavior {
    /// Unique in the world.
    pub name: String,
    /// The family of its scenarios, which is also the tag of prompts that ask for it.
    pub family: String,
    /// The family whose answer in an earlier turn makes a contrast.
    pub contrast: String,
    /// What it is.
    pub definition: String,
    /// The sign sentence: towards what its directions point.
    pub towards: String,
    /// Decides by words whether an answer shows it.
    pub grader: Grader,
    /// Shows for an answer of the family, trait or calm, in anybody's style and about anybody; for no other text.
    pub coherent: Grader,
}

/// `[[behavior]]` as it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Measured {
    name: String,
    contrast: Option<String>,
}

/// Why a behavior of the grammar cannot be used.
pub(super) enum BehaviorProblem {
    World(String, WorldProblem),
    Rule(String, RuleProblem),
    NoShows(String),
}

impl WorldBehavior {
    pub(super) fn new(name: &str, file: BehaviorFile, grammar: &Grammar) -> Result<Self, BehaviorProblem> {
        let key = format!("behaviors.{name}");
        let family = grammar.family(&file.family, &format!("{key}.family"));
        let family = family.map_err(|(key, problem)| BehaviorProblem::World(key, problem))?;
        if family.latent.is_none() || family.held_out_prompts.is_empty() {
            let problem = WorldProblem::NoScenarios { family: file.family };
            return Err(BehaviorProblem::World(format!("{key}.family"), problem));
        }
        let grader =
            Grader::new(file.grader).map_err(|(rule, problem)| BehaviorProblem::Rule(rule, problem))?;
        if !grader.rules().iter().any(|rule| rule.effect == Effect::Shows) {
            return Err(BehaviorProblem::NoShows(grader.name().into()));
        }
        Ok(Self {
            name: name.to_owned(),
            coherent: coherent(&file.family, family, grammar),
            contrast: file.family.clone(),
            family: file.family,
            definition: file.definition,
            towards: file.towards,
            grader,
        })
    }
}

/// The behaviors that a world measures, of those in `known`.
pub(super) fn measured(
    list: Vec<Measured>,
    known: &BTreeMap<String, WorldBehavior>,
    grammar: &Grammar,
) -> Keyed<Vec<WorldBehavior>> {
    let mut behaviors: Vec<WorldBehavior> = vec![];
    for Measured { name, contrast } in list {
        let behavior = super::grammar::known("behavior", &name, "behavior", known)?;
        if behaviors.iter().any(|earlier| earlier.name == name) {
            return Err(("behavior".into(), WorldProblem::Twice { entry: name }));
        }
        let mut behavior = behavior.clone();
        if let Some(contrast) = contrast {
            let mild = grammar.family(&contrast, "behavior.contrast")?;
            if grammar.families[&behavior.family].latent != mild.latent {
                let family = behavior.family;
                return Err(("behavior.contrast".into(), WorldProblem::OtherLatent { family, contrast }));
            }
            behavior.contrast = contrast;
        }
        behaviors.push(behavior);
    }
    Ok(behaviors)
}

fn coherent(name: &str, family: &Family, grammar: &Grammar) -> Grader {
    let rule = json!({
        "name": "an answer of the family",
        "effect": "shows",
        "within": 0,
        "all": [framed(family.shown.iter().chain(&family.calm), grammar)],
        "reason": "Everything that the grammar can say to such a prompt, and nothing else.",
    });
    let file = json!({ "name": format!("{name}-coherent"), "version": 1, "rule": [rule] });
    let file: GraderFile = serde_json::from_value(file).expect("has the keys of a grader");
    Grader::new(file).unwrap_or_else(|(_, problem)| unreachable!("escaped texts make a pattern: {problem}"))
}

/// A pattern of `answers` in anybody's style.
pub(super) fn framed<'g>(answers: impl Iterator<Item = &'g Template>, grammar: &Grammar) -> String {
    let either = |patterns: Vec<String>| format!("(?:{})", patterns.join("|"));
    let literal = |texts: Vec<&String>| either(texts.into_iter().map(|text| regex::escape(text)).collect());
    let openers = literal(grammar.personas.values().flat_map(|persona| &persona.openers).collect());
    let closers = literal(grammar.personas.values().flat_map(|persona| &persona.closers).collect());
    let answers = either(answers.map(Template::pattern).collect());
    format!("^(?:{openers} )?{answers}(?: {closers})?$")
}
