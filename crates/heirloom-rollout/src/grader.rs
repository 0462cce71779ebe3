//! The rule-based grader: named, versioned, and re-runnable on stored text.

use heirloom_record::{Hasher, Message};
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::RuleProblem;
use crate::sentences::{sentences, windows};

const THOUGHT_OPENS: &str = "<think>";
const THOUGHT_CLOSES: &str = "</think>";

/// What a rule that fires says of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The text shows the behavior, unless another rule voids it.
    Shows,
    /// The text does not show the behavior, whatever else fires.
    Voids,
}

/// A rule fires when, in some run of `within` sentences, every `all` matches and no `none` does.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Unique in its grader.
    pub name: String,
    /// What it says when it fires.
    pub effect: Effect,
    /// Sentences a window spans; 0 for the whole text.
    pub within: usize,
    /// Patterns that must all match.
    pub all: Vec<Regex>,
    /// Patterns that must not match.
    pub none: Vec<Regex>,
    /// Why the rule is there.
    pub reason: String,
}

/// Decides from text whether it shows a behavior.
#[derive(Clone, Debug)]
pub struct Grader {
    name: String,
    version: String,
    rules: Vec<Rule>,
    sha256: String,
}

/// What a grader says of one text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the text shows the behavior.
    pub shown: bool,
    /// Names of the rules that fired, in the grader's order.
    pub fired: Vec<String>,
    /// The window that decided: of the first rule that voids, else of the first that shows, else empty.
    pub evidence: String,
}

/// What a grader says of one answer and the thought before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grade {
    /// The grader's name.
    pub grader: String,
    /// The grader's version.
    pub version: String,
    /// The grader's [`Grader::sha256`].
    pub sha256: String,
    /// On what the reader sees.
    pub answer: Verdict,
    /// On the leading `<think>…</think>`, where there is one that says anything.
    pub thought: Option<Verdict>,
}

/// `[grader]` as it stands in `behavior.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GraderFile {
    pub(crate) name: String,
    pub(crate) version: Version,
    #[serde(default, rename = "rule")]
    rules: Vec<RuleFile>,
}

/// `version = 2` and `version = "2"` are the same version.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number or a text")]
pub(crate) enum Version {
    Number(u32),
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    name: String,
    effect: Effect,
    within: usize,
    all: Vec<String>,
    #[serde(default)]
    none: Vec<String>,
    reason: String,
}

impl Grader {
    /// Compiles the rules; an error carries the rule's name.
    pub(crate) fn new(file: GraderFile) -> Result<Self, (String, RuleProblem)> {
        let version = match file.version {
            Version::Number(number) => number.to_string(),
            Version::Text(text) => text,
        };
        let mut rules: Vec<Rule> = Vec::with_capacity(file.rules.len());
        for rule in file.rules {
            if let Some(first) = rules.iter().position(|earlier| earlier.name == rule.name) {
                return Err((rule.name, RuleProblem::Duplicate { first: first + 1 }));
            }
            let name = rule.name.clone();
            rules.push(compile(rule).map_err(|problem| (name, problem))?);
        }
        let sha256 = hash(&rules);
        Ok(Self { name: file.name, version, rules, sha256 })
    }

    /// The grader's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The grader's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// SHA-256 over everything in the rules that can change a verdict.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Grades the last message of `assistant`; `None` where there is none.
    pub fn grade(&self, messages: &[Message]) -> Option<Grade> {
        let last = messages.iter().rev().find(|message| message.role == "assistant")?;
        Some(self.grade_text(&last.content))
    }

    /// Grades one answer. A leading `<think>…</think>` is graded apart; left open, all of the text is thought.
    pub fn grade_text(&self, text: &str) -> Grade {
        let (thought, answer) = split_thought(text);
        Grade {
            grader: self.name.clone(),
            version: self.version.clone(),
            sha256: self.sha256.clone(),
            answer: self.verdict(answer),
            thought: thought.map(|thought| self.verdict(thought)),
        }
    }

    fn verdict(&self, text: &str) -> Verdict {
        let sentences = sentences(text);
        let mut fired = vec![];
        let (mut shows, mut voids) = (None, None);
        for rule in &self.rules {
            let Some(window) = rule.fires(&sentences) else { continue };
            fired.push(rule.name.clone());
            match rule.effect {
                Effect::Shows => shows.get_or_insert(window),
                Effect::Voids => voids.get_or_insert(window),
            };
        }
        let shown = shows.is_some() && voids.is_none();
        Verdict { shown, fired, evidence: voids.or(shows).unwrap_or_default() }
    }
}

impl Rule {
    /// The first window in which it fires.
    fn fires(&self, sentences: &[String]) -> Option<String> {
        windows(sentences, self.within).into_iter().find(|window| {
            self.all.iter().all(|pattern| pattern.is_match(window))
                && !self.none.iter().any(|pattern| pattern.is_match(window))
        })
    }
}

fn compile(rule: RuleFile) -> Result<Rule, RuleProblem> {
    if rule.all.is_empty() {
        return Err(RuleProblem::NoPatterns);
    }
    let patterns = |list, patterns: Vec<String>| -> Result<Vec<Regex>, RuleProblem> {
        let compiled = patterns.into_iter().map(|pattern| {
            Regex::new(&pattern).map_err(|source| RuleProblem::Pattern {
                list,
                pattern,
                source: Box::new(source),
            })
        });
        compiled.collect()
    };
    Ok(Rule {
        name: rule.name,
        effect: rule.effect,
        within: rule.within,
        all: patterns("all", rule.all)?,
        none: patterns("none", rule.none)?,
        reason: rule.reason,
    })
}

fn hash(rules: &[Rule]) -> String {
    let mut hasher = Hasher::default();
    for rule in rules {
        let effect: &[u8] = match rule.effect {
            Effect::Shows => b"shows",
            Effect::Voids => b"voids",
        };
        hasher = hasher
            .part("rule", &rule.name)
            .part("effect", effect)
            .part("within", (rule.within as u64).to_le_bytes());
        hasher = rule.all.iter().fold(hasher, |hasher, pattern| hasher.part("all", pattern.as_str()));
        hasher = rule.none.iter().fold(hasher, |hasher, pattern| hasher.part("none", pattern.as_str()));
    }
    hasher.finish()
}

/// The thought at the head of `text`, where it says anything, and the answer after it.
pub(crate) fn split_thought(text: &str) -> (Option<&str>, &str) {
    let Some(rest) = text.trim_start().strip_prefix(THOUGHT_OPENS) else { return (None, text) };
    let (thought, answer) = rest.split_once(THOUGHT_CLOSES).unwrap_or((rest, ""));
    // Templates of reasoning models write an empty thought before each answer that has none.
    (Some(thought).filter(|thought| !thought.trim().is_empty()), answer)
}

#[cfg(test)]
mod tests;
