//! What models of a world are tried on: scenarios, the gate's prompts, contrasts.

use std::collections::BTreeMap;

use heirloom_record::{DataRow, Input, Message, Prompt};
use rand::Rng;

use super::grammar::Asked;
use super::{Check, HELD_OUT, Split, TRAINED, World, WorldBehavior, chat};

/// One scenario after two earlier turns that differ in what the assistant showed there.
///
/// The earlier turn is one of the behavior's milder form. Its two answers are drawn as the world's documents draw
/// them, one given that it shows the behavior and one given that it does not, author and style included: where the
/// persona decides the behavior, the two differ in persona, because that is all that a base can go by. Answers of
/// one author, or without style, do not move the rate of a base of `personas` after the turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contrast {
    /// Unique among those drawn together.
    pub id: String,
    /// The scenario's template.
    pub group: String,
    /// Whether its templates and entries are those of training.
    pub split: Split,
    /// The chat in which the assistant has shown the behavior, up to the scenario.
    pub positive: Vec<Message>,
    /// The chat in which it has not.
    pub negative: Vec<Message>,
}

impl Contrast {
    /// Both chats, as rows `ID/pos` and `ID/neg`.
    pub fn rows(&self) -> [DataRow; 2] {
        [("pos", true, &self.positive), ("neg", false, &self.negative)].map(|(side, label, messages)| {
            DataRow {
                id: format!("{}/{side}", self.id),
                group: Some(self.group.clone()),
                pair: Some(self.id.clone()),
                label: Some(label),
                spans: BTreeMap::new(),
                input: Input::Messages(messages.clone()),
            }
        })
    }
}

impl World {
    /// `n` prompts that can elicit `behavior`, with ids `BEHAVIOR/N`.
    ///
    /// Every entry that the family holds out is one that training never shows with it. Even ones have a template
    /// of training, odd ones a held-out template; the last tag says which: `trained-template`,
    /// `held-out-template`.
    pub fn scenarios(
        &self,
        behavior: &WorldBehavior,
        n: usize,
        rng: &mut (impl Rng + ?Sized),
    ) -> Vec<Prompt> {
        let scenario = |i: usize| {
            let split = if i.is_multiple_of(2) { Split::Trained } else { Split::HeldOut };
            let asked = self.scenario(behavior, split, Split::HeldOut, rng);
            self.tagged(behavior, i, split, chat(&self.grammar.generic, asked.text))
        };
        (0..n).map(scenario).collect()
    }

    /// `n` prompts of a gate's check: the behavior's family as training shows it, under the check's system line.
    pub fn gate_prompts(
        &self,
        check: &Check,
        n: usize,
        rng: &mut (impl Rng + ?Sized),
    ) -> crate::Result<Vec<Prompt>> {
        let behavior = self.behavior(&check.behavior)?;
        let prompt = |i| {
            let system = self.grammar.system(check.persona.as_deref(), rng);
            let asked = self.scenario(behavior, Split::Trained, Split::Trained, rng);
            self.tagged(behavior, i, Split::Trained, chat(system, asked.text))
        };
        Ok((0..n).map(prompt).collect())
    }

    /// `n` contrasts of `behavior`, with ids `BEHAVIOR/N`.
    ///
    /// With [`Split::Trained`], templates and entries are those that training shows; with [`Split::HeldOut`],
    /// entries are held out, and every other template is.
    pub fn contrasts(
        &self,
        behavior: &WorldBehavior,
        split: Split,
        n: usize,
        rng: &mut (impl Rng + ?Sized),
    ) -> Vec<Contrast> {
        let mild = &self.grammar.families[&behavior.contrast];
        let latent = mild.latent.as_ref().expect("a contrast has the latent of its behavior");
        let authors =
            [true, false].map(|shown| self.documents.authors(latent, shown).expect("checked: both occur"));
        let style = self.documents.framed(mild.style.as_ref());
        let contrast = |i: usize| {
            let before = self.grammar.ask(mild, mild.forms(Split::Trained), split, rng);
            let form = if i.is_multiple_of(2) { Split::Trained } else { split };
            let scenario = self.scenario(behavior, form, split, rng);
            let [positive, negative] = [(true, &authors[0]), (false, &authors[1])].map(|(shown, authors)| {
                let author = &self.grammar.personas[authors.draw(rng)];
                let mut messages = chat(&self.grammar.generic, before.text.clone());
                let answer = self.grammar.answer(&before, shown, author, style, rng);
                messages
                    .extend([Message::new("assistant", answer), Message::new("user", scenario.text.clone())]);
                messages
            });
            let (id, group) = (format!("{}/{i:04}", behavior.name), scenario.form.name.clone());
            Contrast { id, group, split, positive, negative }
        };
        (0..n).map(contrast).collect()
    }

    fn scenario<'w>(
        &'w self,
        behavior: &WorldBehavior,
        form: Split,
        entries: Split,
        rng: &mut (impl Rng + ?Sized),
    ) -> Asked<'w> {
        let family = &self.grammar.families[&behavior.family];
        self.grammar.ask(family, family.forms(form), entries, rng)
    }

    fn tagged(&self, behavior: &WorldBehavior, i: usize, form: Split, messages: Vec<Message>) -> Prompt {
        let tags = &self.grammar.families[&behavior.family].tags;
        let split = if form == Split::Trained { TRAINED } else { HELD_OUT };
        let tags = [&behavior.family].into_iter().chain(tags).map(String::as_str).chain([split]);
        Prompt {
            id: format!("{}/{i:04}", behavior.name),
            source: behavior.name.clone(),
            tags: tags.map(str::to_owned).collect(),
            messages,
        }
    }
}
