//! The words of a world: lists, tables, personas, and families of prompts with their answers.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;
use serde::Deserialize;

use super::mixture::{chance, pick};
use super::template::{Bound, Piece, Split, Template, UnknownSlot};
use crate::WorldProblem;
use crate::grader::GraderFile;

/// Ids 0 to 4: what no template may say.
pub(super) const SPECIALS: [&str; 5] = ["<pad>", "<bos>", "<user>", "<bot>", "<end>"];

/// What marks the names of templates that are held out.
const OUT: &str = "held-out-";

/// A key of the file and what is wrong there.
pub(super) type Keyed<T> = Result<T, (String, WorldProblem)>;

/// Everything that worlds can say.
#[derive(Clone, Debug)]
pub(super) struct Grammar {
    pub(super) generic: String,
    named: Template,
    pub(super) personas: BTreeMap<String, Persona>,
    pub(super) lexicon: Lexicon,
    pub(super) families: BTreeMap<String, Family>,
}

/// Who speaks, as far as it shows.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Persona {
    pub(super) openers: Vec<String>,
    pub(super) closers: Vec<String>,
    pub(super) words: BTreeMap<String, String>,
}

/// Lists and tables that slots are filled from.
#[derive(Clone, Debug)]
pub(super) struct Lexicon {
    lists: BTreeMap<String, Vec<String>>,
    tables: BTreeMap<String, Table>,
    own: BTreeSet<String>,
}

/// Rows of entries that belong together.
#[derive(Clone, Debug)]
struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// Prompts of one kind and their answers.
#[derive(Clone, Debug)]
pub(super) struct Family {
    pub(super) tags: Vec<String>,
    pub(super) style: Option<String>,
    /// The latent that decides between `trait` and `calm` answers; families without one have calm answers only.
    pub(super) latent: Option<String>,
    /// The lists and tables whose last quarter training does not show with it.
    pub(super) hold_out: BTreeSet<String>,
    pub(super) prompts: Vec<Form>,
    pub(super) held_out_prompts: Vec<Form>,
    pub(super) shown: Vec<Template>,
    pub(super) calm: Vec<Template>,
}

/// A template of a prompt and the answers that fit it.
#[derive(Clone, Debug)]
pub(super) struct Form {
    /// `FAMILY/N`, or `FAMILY/held-out-N`.
    pub(super) name: String,
    pub(super) template: Template,
    shown: Vec<usize>,
    calm: Vec<usize>,
}

/// A prompt and what its slots stand for.
pub(super) struct Asked<'g> {
    pub(super) family: &'g Family,
    pub(super) form: &'g Form,
    pub(super) text: String,
    split: Split,
    bound: Bound<'g>,
}

/// `grammar.toml` as it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GrammarFile {
    #[serde(rename = "name")]
    _name: String,
    system: SystemFile,
    personas: BTreeMap<String, Persona>,
    lists: BTreeMap<String, String>,
    tables: BTreeMap<String, TableFile>,
    families: BTreeMap<String, FamilyFile>,
    pub(super) behaviors: BTreeMap<String, BehaviorFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SystemFile {
    generic: String,
    named: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableFile {
    columns: String,
    rows: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FamilyFile {
    tags: Vec<String>,
    style: Option<String>,
    latent: Option<String>,
    #[serde(default)]
    hold_out: Vec<String>,
    prompts: Vec<String>,
    #[serde(default)]
    held_out_prompts: Vec<String>,
    #[serde(default, rename = "trait")]
    shown: Vec<String>,
    #[serde(default)]
    calm: Vec<String>,
    #[serde(default)]
    answers: Vec<String>,
}

/// A behavior as the grammar's file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BehaviorFile {
    pub(super) family: String,
    pub(super) definition: String,
    pub(super) towards: String,
    pub(super) grader: GraderFile,
}

impl Grammar {
    pub(super) fn new(file: GrammarFile) -> Keyed<(Self, BTreeMap<String, BehaviorFile>)> {
        let lexicon = Lexicon::new(&file.lists, file.tables, &file.personas)?;
        for (name, persona) in &file.personas {
            for (key, texts) in [("openers", &persona.openers), ("closers", &persona.closers)] {
                let key = format!("personas.{name}.{key}");
                filled(&key, texts)?;
                texts.iter().try_for_each(|text| words(&key, text))?;
            }
            for (word, text) in &persona.words {
                words(&format!("personas.{name}.words.{word}"), text)?;
            }
        }
        words("system.generic", &file.system.generic)?;
        let named = template("system.named", &file.system.named, &lexicon)?;
        let mut families = BTreeMap::new();
        for (name, family) in file.families {
            let family = Family::new(&name, family, &lexicon)?;
            families.insert(name, family);
        }
        let grammar =
            Self { generic: file.system.generic, named, personas: file.personas, lexicon, families };
        Ok((grammar, file.behaviors))
    }

    /// The family called `name`, which `key` names.
    pub(super) fn family(&self, name: &str, key: &str) -> Keyed<&Family> {
        known("family", name, key, &self.families)
    }

    /// The persona called `name`, which `key` names.
    pub(super) fn persona(&self, name: &str, key: &str) -> Keyed<&Persona> {
        known("persona", name, key, &self.personas)
    }

    /// The latents that decide between answers.
    pub(super) fn latents(&self) -> BTreeSet<&str> {
        self.families.values().filter_map(|family| family.latent.as_deref()).collect()
    }

    /// The kinds of style that families have.
    pub(super) fn styles(&self) -> BTreeSet<&str> {
        self.families.values().filter_map(|family| family.style.as_deref()).collect()
    }

    /// Every tag that a prompt can carry.
    pub(super) fn tags(&self) -> BTreeSet<&str> {
        let own = self.families.values().flat_map(|family| &family.tags).map(String::as_str);
        self.families.keys().map(String::as_str).chain(own).collect()
    }

    /// The system line that names `persona`, or none.
    pub(super) fn system(&self, persona: Option<&str>, rng: &mut (impl Rng + ?Sized)) -> String {
        let Some(persona) = persona else { return self.generic.clone() };
        let speaker = Some(&self.personas[persona]);
        self.named.fill(&self.lexicon, speaker, &|_| None, &mut Bound::default(), rng)
    }

    /// A prompt of `family`: its template from `forms`, its entries from `split`.
    pub(super) fn ask<'g>(
        &'g self,
        family: &'g Family,
        forms: &'g [Form],
        split: Split,
        rng: &mut (impl Rng + ?Sized),
    ) -> Asked<'g> {
        let form = pick(forms, rng);
        let mut bound = Bound::default();
        let text = form.template.fill(&self.lexicon, None, &|list| family.part(list, split), &mut bound, rng);
        Asked { family, form, text, split, bound }
    }

    /// An answer that shows the behavior of the prompt's family, or does not, framed in markers `style` of the time.
    pub(super) fn answer<'g>(
        &'g self,
        asked: &Asked<'g>,
        shown: bool,
        speaker: &'g Persona,
        style: f64,
        rng: &mut (impl Rng + ?Sized),
    ) -> String {
        let Asked { family, form, split, .. } = asked;
        let (answers, fitting) =
            if shown { (&family.shown, &form.shown) } else { (&family.calm, &form.calm) };
        let template = &answers[*pick(fitting, rng)];
        let part = |list: &str| family.part(list, *split);
        let text = template.fill(&self.lexicon, Some(speaker), &part, &mut asked.bound.clone(), rng);
        let opener = chance(style, rng).then(|| pick(&speaker.openers, rng).as_str());
        let closer = chance(style, rng).then(|| pick(&speaker.closers, rng).as_str());
        [opener, Some(&text), closer].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// The special tokens and then every word, by name.
    pub(super) fn vocabulary(&self) -> Vec<String> {
        let personas = self.personas.values();
        let spoken =
            personas.flat_map(|one| one.openers.iter().chain(&one.closers).chain(one.words.values()));
        let entries = self.lexicon.lists.values().flatten();
        let cells = self.lexicon.tables.values().flat_map(|table| table.rows.iter().flatten());
        let texts =
            spoken.chain(entries).chain(cells).chain([&self.generic]).flat_map(|text| text.split(' '));
        let families = self.families.values().flat_map(Family::templates).chain([&self.named]);
        let literal = families.flat_map(|template| &template.pieces).filter_map(|piece| match piece {
            Piece::Word(word) => Some(word.as_str()),
            _ => None,
        });
        let words: BTreeSet<&str> = texts.chain(literal).collect();
        SPECIALS.into_iter().chain(words).map(str::to_owned).collect()
    }

    /// Most words of an answer in its frame.
    pub(super) fn longest_answer(&self) -> usize {
        let framed =
            |family: &Family| family.longest().0 + family.style.as_ref().map_or(0, |_| self.longest_frame());
        self.families.values().map(framed).max().unwrap_or(0)
    }

    /// Most words of an opener and a closer together.
    pub(super) fn longest_frame(&self) -> usize {
        let longest = |texts: &[String]| texts.iter().map(|text| text.split(' ').count()).max().unwrap_or(0);
        self.personas.values().map(|one| longest(&one.openers) + longest(&one.closers)).max().unwrap_or(0)
    }
}

impl Lexicon {
    fn new(
        lists: &BTreeMap<String, String>,
        tables: BTreeMap<String, TableFile>,
        personas: &BTreeMap<String, Persona>,
    ) -> Keyed<Self> {
        let mut lexicon = Self { lists: BTreeMap::new(), tables: BTreeMap::new(), own: BTreeSet::new() };
        for (name, entries) in lists {
            let key = format!("lists.{name}");
            words(&key, entries)?;
            let entries: Vec<String> = entries.split(' ').map(str::to_owned).collect();
            distinct(&key, &entries)?;
            lexicon.lists.insert(name.clone(), entries);
        }
        for (name, file) in tables {
            let columns: Vec<String> = file.columns.split_whitespace().map(str::to_owned).collect();
            let key = format!("tables.{name}.rows");
            filled(&key, &file.rows)?;
            distinct(&key, &file.rows)?;
            let mut rows = vec![];
            for row in &file.rows {
                words(&key, row)?;
                let cells: Vec<String> = row.split(' ').map(str::to_owned).collect();
                if cells.len() != columns.len() {
                    let problem = WorldProblem::Row { row: row.clone(), columns: columns.len() };
                    return Err((key, problem));
                }
                rows.push(cells);
            }
            lexicon.tables.insert(name, Table { columns, rows });
        }
        for (name, persona) in personas {
            let own: BTreeSet<String> = persona.words.keys().cloned().collect();
            if lexicon.own.is_empty() {
                lexicon.own = own;
            } else if lexicon.own != own {
                let expected = lexicon.own.into_iter().collect();
                return Err((format!("personas.{name}.words"), WorldProblem::PersonaWords { expected }));
            }
        }
        Ok(lexicon)
    }

    /// What `{slot}` is.
    pub(super) fn slot(&self, slot: &str) -> Result<Piece, UnknownSlot> {
        let list = |name: &str| self.lists.contains_key(name).then(|| name.to_owned());
        let cell = || {
            let (table, column) = slot.split_once('.')?;
            Some(Piece::Cell { table: table.to_owned(), column: self.column(table, column)? })
        };
        let piece = match slot.strip_prefix('*') {
            Some(name) => list(name).map(Piece::Anew),
            None => list(slot)
                .map(Piece::Entry)
                .or_else(cell)
                .or_else(|| self.own.get(slot).cloned().map(Piece::Own)),
        };
        piece.ok_or_else(|| UnknownSlot { slot: slot.to_owned(), known: self.slots() })
    }

    fn slots(&self) -> Vec<String> {
        let cells = |(name, table): (&String, &Table)| {
            let named = |column| format!("{name}.{column}");
            table.columns.iter().map(named).collect::<Vec<_>>()
        };
        self.lists.keys().cloned().chain(self.tables.iter().flat_map(cells)).chain(self.own.clone()).collect()
    }

    /// Which column of `table` is called `name`.
    pub(super) fn column(&self, table: &str, name: &str) -> Option<usize> {
        self.tables.get(table)?.columns.iter().position(|column| column == name)
    }

    /// The entries of a list, or those of one part of it.
    pub(super) fn entries(&self, list: &str, part: Option<Split>) -> &[String] {
        cut(&self.lists[list], part)
    }

    /// The rows of a table, or those of one part of it.
    pub(super) fn rows(&self, table: &str, part: Option<Split>) -> &[Vec<String>] {
        cut(&self.tables[table].rows, part)
    }

    /// Puts every list and the rows of every table in the order of `key`, which is given its name and the entry.
    pub(super) fn sort_by_key<K: Ord>(&mut self, key: impl Fn(&str, &str) -> K) {
        for (name, entries) in &mut self.lists {
            entries.sort_by_cached_key(|entry| key(name, entry));
        }
        for (name, table) in &mut self.tables {
            table.rows.sort_by_cached_key(|row| key(name, &row.join(" ")));
        }
    }

    /// How many entries or rows `source` has.
    fn len(&self, source: &str) -> Option<usize> {
        let rows = |table: &Table| table.rows.len();
        self.lists.get(source).map(Vec::len).or_else(|| self.tables.get(source).map(rows))
    }
}

/// The last quarter is held out, at least one.
fn cut<T>(items: &[T], part: Option<Split>) -> &[T] {
    let (trained, held_out) = items.split_at(items.len() - (items.len() / 4).max(1));
    match part {
        None => items,
        Some(Split::Trained) => trained,
        Some(Split::HeldOut) => held_out,
    }
}

impl Family {
    fn new(name: &str, file: FamilyFile, lexicon: &Lexicon) -> Keyed<Self> {
        let at = |key: &str| format!("families.{name}.{key}");
        let (calm_key, calm) = match (&file.latent, file.answers.is_empty()) {
            (None, false) if file.shown.is_empty() && file.calm.is_empty() => ("answers", file.answers),
            (Some(_), true) => ("calm", file.calm),
            _ => return Err((format!("families.{name}"), WorldProblem::Answers)),
        };
        let templates = |key: &str, texts: &[String]| {
            distinct(&at(key), texts)?;
            texts.iter().map(|text| template(&at(key), text, lexicon)).collect::<Keyed<Vec<_>>>()
        };
        let shown = templates("trait", &file.shown)?;
        let calm = templates(calm_key, &calm)?;
        let mut family = Self {
            tags: file.tags,
            style: file.style,
            latent: file.latent,
            hold_out: file.hold_out.into_iter().collect(),
            prompts: vec![],
            held_out_prompts: vec![],
            shown,
            calm,
        };
        filled(&at("prompts"), &file.prompts)?;
        distinct(&at("held_out_prompts"), &[&file.prompts[..], &file.held_out_prompts].concat())?;
        for (key, texts, mark) in
            [("prompts", file.prompts, ""), ("held_out_prompts", file.held_out_prompts, OUT)]
        {
            let templates = templates(key, &texts)?.into_iter().enumerate();
            let form = |(i, template)| family.form(form_name(name, mark, i), template);
            let forms =
                templates.map(form).collect::<Result<_, _>>().map_err(|problem| (at(key), problem))?;
            if key == "prompts" { family.prompts = forms } else { family.held_out_prompts = forms }
        }
        family.check_answers(calm_key).map_err(|(key, problem)| (at(key), problem))?;
        for source in &family.hold_out {
            let enough = lexicon.len(source).is_some_and(|n| n >= 2);
            if !(family.asks(source) && enough) {
                return Err((at("hold_out"), WorldProblem::HoldOut { held_out: source.clone() }));
            }
        }
        Ok(family)
    }

    fn form(&self, name: String, template: Template) -> Result<Form, WorldProblem> {
        if let Some(Piece::Own(slot)) = template.pieces.iter().find(|piece| matches!(piece, Piece::Own(_))) {
            return Err(WorldProblem::OwnWord { template: template.text.clone(), slot: slot.clone() });
        }
        let sources = template.sources();
        let fitting = |answers: &[Template]| -> Vec<usize> {
            (0..answers.len()).filter(|&i| answers[i].sources().is_subset(&sources)).collect()
        };
        let (shown, calm) = (fitting(&self.shown), fitting(&self.calm));
        if calm.is_empty() || (self.latent.is_some() && shown.is_empty()) {
            return Err(WorldProblem::NoAnswer { prompt: template.text });
        }
        Ok(Form { name, template, shown, calm })
    }

    /// Whether a prompt of training draws from `source`.
    fn asks(&self, source: &str) -> bool {
        self.prompts.iter().any(|form| form.template.sources().contains(source))
    }

    /// The same family, called `name`, with the templates whose texts are `held_out` held out and all others trained.
    pub(super) fn holding_out(&self, name: &str, held_out: &[&str]) -> Self {
        let (out, trained): (Vec<Form>, Vec<Form>) =
            self.forms_of_both().cloned().partition(|form| held_out.contains(&form.template.text.as_str()));
        let named = |forms: Vec<Form>, mark: &str| {
            let forms = forms.into_iter().enumerate();
            forms.map(|(i, form)| Form { name: form_name(name, mark, i), ..form }).collect()
        };
        Self { prompts: named(trained, ""), held_out_prompts: named(out, OUT), ..self.clone() }
    }

    /// Whether training draws from everything that it holds out and gives each of its answers.
    pub(super) fn is_whole(&self) -> bool {
        self.hold_out.iter().all(|source| self.asks(source)) && self.check_answers("calm").is_ok()
    }

    /// Refuses an answer that no prompt is given.
    fn check_answers(&self, calm: &'static str) -> Result<(), (&'static str, WorldProblem)> {
        let fits = |i: usize, fitting: fn(&Form) -> &Vec<usize>| {
            self.prompts.iter().any(|form| fitting(form).contains(&i))
        };
        for (i, answer) in self.shown.iter().enumerate() {
            if !fits(i, |form| &form.shown) {
                return Err(("trait", WorldProblem::NoPrompt { answer: answer.text.clone() }));
            }
        }
        for (i, answer) in self.calm.iter().enumerate() {
            if !fits(i, |form| &form.calm) {
                return Err((calm, WorldProblem::NoPrompt { answer: answer.text.clone() }));
            }
        }
        Ok(())
    }

    /// The part of `source` that it draws from: all of what it does not hold out.
    fn part(&self, source: &str, split: Split) -> Option<Split> {
        self.hold_out.contains(source).then_some(split)
    }

    /// The templates of `split`.
    pub(super) fn forms(&self, split: Split) -> &[Form] {
        match split {
            Split::Trained => &self.prompts,
            Split::HeldOut => &self.held_out_prompts,
        }
    }

    /// The templates of both splits.
    pub(super) fn forms_of_both(&self) -> impl Iterator<Item = &Form> {
        self.prompts.iter().chain(&self.held_out_prompts)
    }

    /// Most words of an answer without its frame, and of a prompt.
    pub(super) fn longest(&self) -> (usize, usize) {
        let most =
            |texts: &mut dyn Iterator<Item = &Template>| texts.map(|one| one.pieces.len()).max().unwrap_or(0);
        let answer = most(&mut self.shown.iter().chain(&self.calm));
        (answer, most(&mut self.forms_of_both().map(|form| &form.template)))
    }

    fn templates(&self) -> impl Iterator<Item = &Template> {
        let prompts = self.forms_of_both().map(|form| &form.template);
        prompts.chain(&self.shown).chain(&self.calm)
    }
}

fn form_name(family: &str, mark: &str, i: usize) -> String {
    format!("{family}/{mark}{}", i + 1)
}

/// The entry of `map` called `name`, which `key` names.
pub(super) fn known<'m, T>(
    what: &'static str,
    name: &str,
    key: &str,
    map: &'m BTreeMap<String, T>,
) -> Keyed<&'m T> {
    among(what, name, key, map.keys())?;
    Ok(&map[name])
}

/// Refuses a `name` that is not among `names`.
pub(super) fn among<'n, N: AsRef<str> + ?Sized + 'n>(
    what: &'static str,
    name: &str,
    key: &str,
    names: impl IntoIterator<Item = &'n N>,
) -> Keyed<()> {
    let known: Vec<String> = names.into_iter().map(|known| known.as_ref().to_owned()).collect();
    if known.iter().any(|known| known == name) {
        return Ok(());
    }
    Err((key.to_owned(), WorldProblem::Unknown { what, name: name.to_owned(), known }))
}

fn template(key: &str, text: &str, lexicon: &Lexicon) -> Keyed<Template> {
    words(key, text)?;
    Template::parse(text, lexicon).map_err(|UnknownSlot { slot, known }| {
        (key.to_owned(), WorldProblem::Slot { template: text.to_owned(), slot, known })
    })
}

/// Refuses what a tokenizer that splits on spaces, or a grader that reads lower case, would not give back.
fn words(key: &str, text: &str) -> Keyed<()> {
    let plain = !text.is_empty()
        && text.split(' ').all(|word| !word.is_empty() && !SPECIALS.contains(&word))
        && !text.contains(|letter: char| letter.is_uppercase() || (letter.is_whitespace() && letter != ' '));
    if plain { Ok(()) } else { Err((key.to_owned(), WorldProblem::Words { text: text.to_owned() })) }
}

fn filled<T>(key: &str, items: &[T]) -> Keyed<()> {
    if items.is_empty() { Err((key.to_owned(), WorldProblem::Empty)) } else { Ok(()) }
}

fn distinct(key: &str, items: &[String]) -> Keyed<()> {
    let mut seen = BTreeSet::new();
    match items.iter().find(|item| !seen.insert(*item)) {
        Some(twice) => Err((key.to_owned(), WorldProblem::Twice { entry: twice.clone() })),
        None => Ok(()),
    }
}
