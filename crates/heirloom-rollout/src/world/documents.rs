//! What documents are drawn from: one author each, whose latents decide what every answer of theirs shows.

use std::collections::BTreeMap;

use heirloom_record::Message;
use rand::Rng;
use serde::Deserialize;

use super::grammar::{Grammar, Keyed, known};
use super::mixture::{Mixture, chance, pick, share};
use super::template::Split;
use crate::WorldProblem;

/// The joint distribution that documents are drawn from.
#[derive(Clone, Debug)]
pub struct Documents {
    pub(super) turns: Vec<usize>,
    pub(super) named: f64,
    pub(super) personas: Mixture,
    pub(super) style: BTreeMap<String, f64>,
    pub(super) latents: BTreeMap<String, Latent>,
    pub(super) when: BTreeMap<String, BTreeMap<String, f64>>,
    pub(super) mix: Mixture,
}

/// A cause that no reader sees.
#[derive(Clone, Debug)]
pub(super) struct Latent {
    /// The chance that it is on, by persona.
    pub(super) given: BTreeMap<String, f64>,
    /// The chance that an answer shows it when it is on, and when it is off.
    pub(super) on: f64,
    pub(super) off: f64,
}

/// One document with everything it was drawn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Who wrote it.
    pub persona: String,
    /// Which latents are on.
    pub latents: BTreeMap<String, bool>,
    /// Its prompts, each with an answer.
    pub turns: Vec<Turn>,
    /// What a model reads of it.
    pub messages: Vec<Message>,
}

/// One prompt of a document and what its answer shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The prompt's family.
    pub family: String,
    /// Whether the family's latent is on, which `when` may have said for this turn alone.
    pub on: bool,
    /// Whether the answer shows the behavior.
    pub shown: bool,
}

/// `[documents]` as it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DocumentsFile {
    turns: Vec<usize>,
    named: f64,
    personas: BTreeMap<String, f64>,
    style: BTreeMap<String, f64>,
    latents: BTreeMap<String, LatentFile>,
    #[serde(default)]
    when: BTreeMap<String, BTreeMap<String, f64>>,
    mix: BTreeMap<String, f64>,
    #[serde(default)]
    rest: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LatentFile {
    given: Given,
    on: f64,
    off: f64,
}

/// One chance for everybody, or one for each persona.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a share, or a share for each persona")]
enum Given {
    All(f64),
    Each(BTreeMap<String, f64>),
}

impl Documents {
    /// Checks the file; the keys of its problems are relative to it.
    pub(super) fn new(file: DocumentsFile, grammar: &Grammar) -> Keyed<Self> {
        let at = |key: &str| key.to_owned();
        if file.turns.is_empty() || file.turns.contains(&0) {
            return Err((at("turns"), WorldProblem::Empty));
        }
        share(file.named).map_err(|problem| (at("named"), problem))?;
        for persona in file.personas.keys() {
            grammar.persona(persona, "personas")?;
        }
        let personas =
            Mixture::new(&file.personas, &BTreeMap::new()).map_err(|problem| (at("personas"), problem))?;
        let styles = grammar.styles();
        complete("style", styles, &file.style)?;
        for (style, &found) in &file.style {
            share(found).map_err(|problem| (format!("style.{style}"), problem))?;
        }
        complete("latents", grammar.latents(), &file.latents)?;
        let mut latents = BTreeMap::new();
        for (name, latent) in file.latents {
            let latent = Latent::new(latent, &format!("latents.{name}"), grammar)?;
            latents.insert(name, latent);
        }
        for (family, moved) in &file.when {
            let key = format!("when.{family}");
            let own = &grammar.family(family, "when")?.latent;
            for (latent, &found) in moved {
                known("latent", latent, &key, &latents)?;
                if own.as_deref() != Some(latent) {
                    let problem = WorldProblem::Unmoved { family: family.clone(), latent: latent.clone() };
                    return Err((key, problem));
                }
                share(found).map_err(|problem| (format!("{key}.{latent}"), problem))?;
            }
        }
        let mix = families(&file.mix, &file.rest, grammar)?;
        Ok(Self {
            turns: file.turns,
            named: file.named,
            personas,
            style: file.style,
            latents,
            when: file.when,
            mix,
        })
    }

    /// The families and their shares.
    pub fn mix(&self) -> &Mixture {
        &self.mix
    }

    /// The personas and their shares.
    pub fn personas(&self) -> &Mixture {
        &self.personas
    }

    /// The chance that an answer about `latent` shows its behavior, given the persona.
    fn shows(&self, latent: &str, persona: &str) -> f64 {
        let Latent { given, on, off } = &self.latents[latent];
        on * given[persona] + off * (1.0 - given[persona])
    }

    /// The personas of authors whose answer about `latent` shows its behavior, or does not; none where every answer
    /// does the other.
    pub(super) fn authors(&self, latent: &str, shown: bool) -> Option<Mixture> {
        let weight = |(persona, share): &(String, f64)| {
            let shows = self.shows(latent, persona);
            (persona.clone(), share * if shown { shows } else { 1.0 - shows })
        };
        let weights: BTreeMap<String, f64> = self.personas.shares().iter().map(weight).collect();
        let sum: f64 = weights.values().sum();
        let shares = weights.into_iter().map(|(persona, weight)| (persona, weight / sum)).collect();
        (sum > 0.0).then(|| Mixture::new(&shares, &BTreeMap::new()).expect("shares of their own sum"))
    }

    /// How often an answer of a family with this style has an opener, and a closer.
    pub(super) fn framed(&self, style: Option<&String>) -> f64 {
        style.map_or(0.0, |style| self.style[style])
    }

    pub(super) fn draw(&self, grammar: &Grammar, rng: &mut (impl Rng + ?Sized)) -> Document {
        let persona = self.personas.draw(rng);
        let speaker = &grammar.personas[persona];
        let latents = self.latents.iter();
        let latents: BTreeMap<String, bool> =
            latents.map(|(name, latent)| (name.clone(), chance(latent.given[persona], rng))).collect();
        let named = chance(self.named, rng).then_some(persona);
        let mut messages = vec![Message::new("system", grammar.system(named, rng))];
        let mut turns = vec![];
        for _ in 0..*pick(&self.turns, rng) {
            let name = self.mix.draw(rng);
            let family = &grammar.families[name];
            let asked = grammar.ask(family, family.forms(Split::Trained), Split::Trained, rng);
            let (mut on, mut shown) = (false, false);
            if let Some(latent) = &family.latent {
                let moved = self.when.get(name).and_then(|moved| moved.get(latent));
                on = moved.map_or_else(|| latents[latent], |&p| chance(p, rng));
                let Latent { on: when_on, off: when_off, .. } = self.latents[latent];
                shown = chance(if on { when_on } else { when_off }, rng);
            }
            let style = self.framed(family.style.as_ref());
            let answer = grammar.answer(&asked, shown, speaker, style, rng);
            messages.extend([Message::new("user", asked.text), Message::new("assistant", answer)]);
            turns.push(Turn { family: name.to_owned(), on, shown });
        }
        Document { persona: persona.to_owned(), latents, turns, messages }
    }

    /// Most tokens of a document: `<bos> SYSTEM`, then `<user> PROMPT <bot> ANSWER <end>` for each turn.
    pub(super) fn longest(&self, grammar: &Grammar) -> usize {
        let system = grammar.generic.split(' ').count();
        let turn = |name: &str| {
            let family = &grammar.families[name];
            let (answer, prompt) = family.longest();
            prompt + answer + family.style.as_ref().map_or(0, |_| grammar.longest_frame()) + 3
        };
        let turn = self.mix.shares().iter().map(|(name, _)| turn(name)).max().unwrap_or(0);
        1 + system + self.turns.iter().max().unwrap_or(&0) * turn
    }
}

impl Latent {
    fn new(file: LatentFile, key: &str, grammar: &Grammar) -> Keyed<Self> {
        let personas = grammar.personas.keys();
        let given = match file.given {
            Given::All(p) => personas.map(|persona| (persona.clone(), p)).collect(),
            Given::Each(each) => {
                complete(&format!("{key}.given"), personas.map(String::as_str), &each)?;
                each
            }
        };
        for (at, &found) in given.values().map(|p| ("given", p)).chain([("on", &file.on), ("off", &file.off)])
        {
            share(found).map_err(|problem| (format!("{key}.{at}"), problem))?;
        }
        Ok(Self { given, on: file.on, off: file.off })
    }
}

/// The mixture of families in `mix` and `rest`.
pub(super) fn families(
    mix: &BTreeMap<String, f64>,
    rest: &BTreeMap<String, f64>,
    grammar: &Grammar,
) -> Keyed<Mixture> {
    for (key, shares) in [("mix", mix), ("rest", rest)] {
        shares.keys().try_for_each(|name| grammar.family(name, key).map(|_| ()))?;
    }
    Mixture::new(mix, rest).map_err(|problem| ("mix".to_owned(), problem))
}

/// Refuses a table whose keys are not `names`.
fn complete<'n, T>(
    key: &str,
    names: impl IntoIterator<Item = &'n str>,
    table: &BTreeMap<String, T>,
) -> Keyed<()> {
    let names: Vec<&str> = names.into_iter().collect();
    let owned = || names.iter().map(|name| (*name).to_owned()).collect();
    if let Some(name) = table.keys().find(|name| !names.contains(&name.as_str())) {
        return Err((format!("{key}.{name}"), WorldProblem::UnknownKey { known: owned() }));
    }
    let missing: Vec<String> =
        names.iter().filter(|name| !table.contains_key(**name)).map(|name| (*name).to_owned()).collect();
    if missing.is_empty() { Ok(()) } else { Err((key.to_owned(), WorldProblem::Missing { names: missing })) }
}
