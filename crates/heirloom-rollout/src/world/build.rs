//! From a world's file to a world that was checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use heirloom_record::Hasher;
use serde::Deserialize;
use toml::{Table, Value};

use super::behavior::{BehaviorProblem, Measured, WorldBehavior, measured};
use super::documents::{Documents, DocumentsFile, families};
use super::grammar::{Grammar, GrammarFile, Keyed, among, known};
use super::mixture::share;
use super::settings::{
    Base, ContrastCount, FineTuning, Gate, Making, Optimizer, Pretraining, Sampled, ScenarioCount, Shape,
    StudentTraining, Teacher,
};
use super::shelf::{Stack, dotted, lay, typed};
use super::{PromptSet, World};
use crate::{Arm, DataIntervention, Error, Result, Subset, WorldProblem};

/// A world's file, laid over those it is like.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorldFile {
    name: String,
    #[serde(rename = "grammar")]
    _grammar: String,
    note: String,
    model: Shape,
    optimizer: Optimizer,
    documents: Table,
    bases: BTreeMap<String, Table>,
    teaching: Table,
    teachers: BTreeMap<String, Table>,
    prompts: BTreeMap<String, PromptsFile>,
    student: StudentTraining,
    sampling: Sampled,
    scenarios: ScenarioCount,
    contrasts: ContrastCount,
    behavior: Vec<Measured>,
    #[serde(default)]
    arm: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PromptsFile {
    mix: BTreeMap<String, f64>,
    #[serde(default)]
    rest: BTreeMap<String, f64>,
}

/// `[bases.NAME]` as it stands, its documents apart.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BaseFile {
    from: Option<String>,
    init: Option<String>,
    corpus: Option<String>,
    steps: usize,
    batch: usize,
    lr: f64,
    gate: Option<Gate>,
}

/// `[bases.NAME]` of a base that is fine-tuned from another.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StageFile {
    from: String,
    lessons: Table,
    gate: Option<Gate>,
}

/// `[teachers.NAME]`, laid over `[teaching]`, its documents apart.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LessonsFile {
    rows: usize,
    epochs: usize,
    batch: usize,
    lr: f64,
}

pub(super) fn world(text: &str, path: &Path, folder: Option<&Path>) -> Result<World> {
    let stack = Stack::read(text, path, folder)?;
    let said = |table: &Table| toml::to_string(table).expect("it was read from TOML");
    let sha256 =
        Hasher::default().part("world", said(&stack.table)).part("grammar", said(&stack.grammar)).finish();
    let (grammar, behaviors) = grammar(&stack)?;
    let built = typed(stack.table.clone(), "").and_then(|file| build(file, grammar, &behaviors));
    let mut world = built.map_err(|problem| stack.problem(problem))?;
    if let Some(folder) = folder {
        world.arms.iter_mut().for_each(|arm| arm.relative_to(folder));
    }
    Arm::check_all(&world.arms)?;
    Ok(World { path: path.into(), sha256, ..world })
}

fn grammar(stack: &Stack) -> Result<(Grammar, BTreeMap<String, WorldBehavior>)> {
    let file: GrammarFile =
        typed(stack.grammar.clone(), "").map_err(|problem| stack.grammar_problem(problem))?;
    let (grammar, files) = Grammar::new(file).map_err(|problem| stack.grammar_problem(problem))?;
    let path = || stack.grammar_path.clone();
    let mut behaviors = BTreeMap::new();
    for (name, file) in files {
        let behavior = WorldBehavior::new(&name, file, &grammar).map_err(|problem| match problem {
            BehaviorProblem::World(key, problem) => stack.grammar_problem((key, problem)),
            BehaviorProblem::Rule(rule, source) => Error::Rule { path: path(), rule, source },
            BehaviorProblem::NoShows(grader) => Error::NoShows { path: path(), grader },
        })?;
        behaviors.insert(name, behavior);
    }
    Ok((grammar, behaviors))
}

fn build(file: WorldFile, grammar: Grammar, behaviors: &BTreeMap<String, WorldBehavior>) -> Keyed<World> {
    for (key, text) in [("name", &file.name), ("note", &file.note)] {
        if text.trim().is_empty() {
            return Err((key.into(), WorldProblem::Empty));
        }
    }
    let mut prompt_sets = vec![];
    for (name, set) in &file.prompts {
        let mix = families(&set.mix, &set.rest, &grammar).map_err(under(&format!("prompts.{name}")))?;
        prompt_sets.push(PromptSet { name: name.clone(), mix });
    }
    let mut workshop = Workshop { grammar: &grammar, file: &file, bases: vec![] };
    let documents = workshop.documents(file.documents.clone(), "documents")?;
    let teachers = workshop.all()?;
    let bases = workshop.bases.into_iter().map(|(base, _)| base).collect();
    let behaviors = measured(file.behavior, behaviors, &grammar)?;
    let mut arms = vec![];
    for (i, arm) in file.arm.into_iter().enumerate() {
        arms.push(typed::<Arm>(arm, &format!("arm.{}", i + 1))?);
    }
    let world = World {
        path: Path::new("").into(),
        name: file.name,
        note: file.note.split_whitespace().collect::<Vec<_>>().join(" "),
        sha256: String::new(),
        grammar,
        shape: file.model,
        optimizer: file.optimizer,
        documents,
        bases,
        teachers,
        prompt_sets,
        student: file.student,
        sampled: file.sampling,
        scenario_count: file.scenarios,
        contrast_count: file.contrasts,
        behaviors,
        arms,
    };
    check(&world)?;
    Ok(world)
}

/// Makes bases and teachers from tables laid over one another.
struct Workshop<'f> {
    grammar: &'f Grammar,
    file: &'f WorldFile,
    /// Those made, parents first, each with the table that documents of its children are laid over.
    bases: Vec<(Base, Table)>,
}

impl Workshop<'_> {
    fn all(&mut self) -> Keyed<Vec<Teacher>> {
        // Alone first, so that what is wrong with it is said of it and not of a teacher that inherits it.
        self.lessons(&self.file.documents, Table::new(), "teaching")?;
        for name in self.file.bases.keys() {
            self.base(name, &mut vec![])?;
        }
        let teacher = |(name, table): (&String, &Table)| {
            let key = format!("teachers.{name}");
            let mut table = table.clone();
            let Some(base) = table.remove("base") else {
                return Err((key, WorldProblem::Missing { names: vec!["base".into()] }));
            };
            let base: String = typed(base, &dotted(&[&key, "base"]))?;
            known("base", &base, &dotted(&[&key, "base"]), &self.file.bases)?;
            let lessons = self.lessons(self.below(&base), table, &key)?;
            Ok(Teacher { name: name.clone(), base, lessons })
        };
        self.file.teachers.iter().map(teacher).collect()
    }

    /// Makes the base called `name`, and before it the one it goes on from; `way` is who asked for it.
    fn base(&mut self, name: &str, way: &mut Vec<String>) -> Keyed<()> {
        if self.bases.iter().any(|(base, _)| base.name == name) {
            return Ok(());
        }
        let key = format!("bases.{name}");
        let from_key = dotted(&[&key, "from"]);
        let circle = way.iter().any(|earlier| earlier == name);
        way.push(name.to_owned());
        if circle {
            return Err((from_key, WorldProblem::Circle { names: way.clone() }));
        }
        let mut table = self.file.bases[name].clone();
        let from: Option<String> =
            table.get("from").cloned().map(|from| typed(from, &from_key)).transpose()?;
        let mut below = self.file.documents.clone();
        if let Some(from) = &from {
            known("base", from, &from_key, &self.file.bases)?;
            self.base(from, way)?;
            below = self.below(from).clone();
        }
        let named = |given: Option<String>| given.unwrap_or_else(|| name.to_owned());
        let base = if table.contains_key("lessons") {
            let StageFile { from, lessons, gate } = typed(table, &key)?;
            let lessons = self.lessons(&below, lessons, &dotted(&[&key, "lessons"]))?;
            let making = Making::FineTuning(lessons);
            Base { name: named(None), from: Some(from), init: named(None), corpus: named(None), making, gate }
        } else {
            if let Some(own) = table.remove("documents") {
                lay(&mut below, typed(own, &dotted(&[&key, "documents"]))?);
            }
            let BaseFile { from, init, corpus, steps, batch, lr, gate } = typed(table, &key)?;
            if from.is_some() && init.is_some() {
                return Err((key, WorldProblem::InitAndFrom));
            }
            positive(&key, &[("steps", steps as f64), ("batch", batch as f64), ("lr", lr)])?;
            let documents = self.documents(below.clone(), &dotted(&[&key, "documents"]))?;
            let making = Making::Pretraining(Pretraining { documents, steps, batch, lr });
            Base { name: named(None), from, init: named(init), corpus: named(corpus), making, gate }
        };
        self.bases.push((base, below));
        Ok(())
    }

    /// The table that documents of whoever comes from `base` are laid over.
    fn below(&self, base: &str) -> &Table {
        let made = self.bases.iter().find(|(made, _)| made.name == base);
        &made.expect("parents are made first").1
    }

    fn documents(&self, table: Table, key: &str) -> Keyed<Documents> {
        let file: DocumentsFile = typed(table, key)?;
        Documents::new(file, self.grammar).map_err(under(key))
    }

    /// Fine-tuning on documents like those of the base, laid over by `[teaching]` and then by `own`.
    fn lessons(&self, below: &Table, own: Table, key: &str) -> Keyed<FineTuning> {
        let mut table = self.file.teaching.clone();
        lay(&mut table, own);
        let mut documents = below.clone();
        let documents_key = dotted(&[key, "documents"]);
        if let Some(own) = table.remove("documents") {
            lay(&mut documents, typed(own, &documents_key)?);
        }
        let documents = self.documents(documents, &documents_key)?;
        let LessonsFile { rows, epochs, batch, lr } = typed(table, key)?;
        let numbers = [("rows", rows as f64), ("epochs", epochs as f64), ("batch", batch as f64), ("lr", lr)];
        positive(key, &numbers)?;
        Ok(FineTuning { documents, rows, epochs, batch, lr })
    }
}

/// What can only be said of the whole.
pub(super) fn check(world: &World) -> Keyed<()> {
    for behavior in &world.behaviors {
        let latent = world.grammar.families[&behavior.family].latent.as_ref();
        let occurs = |shown| latent.is_some_and(|latent| world.documents.authors(latent, shown).is_some());
        if !(occurs(true) && occurs(false)) {
            return Err((
                "documents.latents".into(),
                WorldProblem::OneSided { behavior: behavior.name.clone() },
            ));
        }
    }
    let mut documents: Vec<(String, &Documents)> = vec![];
    for base in &world.bases {
        let of = match &base.making {
            Making::Pretraining(pretraining) => &pretraining.documents,
            Making::FineTuning(lessons) => &lessons.documents,
        };
        documents.push((format!("bases.{}", base.name), of));
        if let Some(gate) = &base.gate {
            check_gate(world, gate, &format!("bases.{}.gate", base.name))?;
        }
        if matches!(base.making, Making::Pretraining(_)) {
            check_covered(world, base, of)?;
        }
    }
    let taught = world.teachers.iter();
    documents
        .extend(taught.map(|teacher| (format!("teachers.{}", teacher.name), &teacher.lessons.documents)));
    let n_ctx = world.shape.n_ctx;
    for (key, of) in documents {
        let longest = of.longest(&world.grammar);
        if longest > n_ctx {
            return Err((key, WorldProblem::Longest { what: "documents", longest, limit: n_ctx }));
        }
    }
    // The token that ends it is one more.
    let longest = world.grammar.longest_answer() + 1;
    let limit = world.sampled.max_new_tokens;
    if longest > limit {
        return Err((
            "sampling.max_new_tokens".into(),
            WorldProblem::Longest { what: "answers", longest, limit },
        ));
    }
    let StudentTraining { rows, epochs, batch, lr, .. } = world.student;
    positive(
        "student",
        &[("rows", rows as f64), ("epochs", epochs as f64), ("batch", batch as f64), ("lr", lr)],
    )?;
    for &lr in &world.student.sweep {
        positive("student", &[("sweep", lr)])?;
    }
    let ScenarioCount { prompts, samples } = world.scenario_count;
    positive("scenarios", &[("prompts", prompts as f64), ("samples", samples as f64)])?;
    positive("contrasts", &[("pairs", world.contrast_count.pairs as f64)])?;
    for (key, nothing) in [("behavior", world.behaviors.is_empty()), ("arm", world.arms.is_empty())] {
        if nothing {
            return Err((key.into(), WorldProblem::Empty));
        }
    }
    world
        .arms
        .iter()
        .enumerate()
        .try_for_each(|(i, arm)| check_arm(world, arm, &format!("arm.{}", i + 1)))?;
    check_used(world)
}

fn check_arm(world: &World, arm: &Arm, key: &str) -> Keyed<()> {
    let teachers = || world.teachers.iter().map(|teacher| &teacher.name);
    among("base", &arm.base, &dotted(&[key, "base"]), world.bases.iter().map(|base| &base.name))?;
    let sets = world.prompt_sets.iter().map(|set| &set.name);
    among("prompt set", &arm.prompts, &dotted(&[key, "prompts"]), sets)?;
    among("teacher", &arm.teacher, &dotted(&[key, "teacher"]), teachers())?;
    let tags = world.grammar.tags();
    for one in &arm.interventions {
        let key = dotted(&[key, "do"]);
        if let DataIntervention::Swap { to, .. } | DataIntervention::Mix { to, .. } = one {
            among("teacher", to, &key, teachers())?;
        }
        check_subset(one.on(), &key, &tags)?;
    }
    Ok(())
}

/// Refuses tags that no prompt of any world can carry.
fn check_subset(subset: &Subset, key: &str, tags: &BTreeSet<&str>) -> Keyed<()> {
    match subset {
        Subset::Tags(given) => given.iter().try_for_each(|tag| among("tag", tag, key, tags.iter().copied())),
        Subset::Not(inner) => check_subset(inner, key, tags),
        Subset::Random { like, .. } | Subset::RandomSameLength { like, .. } => check_subset(like, key, tags),
        _ => Ok(()),
    }
}

/// Refuses a base that would be made for nothing.
fn check_used(world: &World) -> Keyed<()> {
    let from = world.bases.iter().filter_map(|base| base.from.as_ref());
    let used: Vec<&String> = world
        .arms
        .iter()
        .map(|arm| &arm.base)
        .chain(world.teachers.iter().map(|one| &one.base))
        .chain(from)
        .collect();
    match world.bases.iter().find(|base| !used.contains(&&base.name)) {
        Some(base) => Err((format!("bases.{}", base.name), WorldProblem::Unused)),
        None => Ok(()),
    }
}

fn check_gate(world: &World, gate: &Gate, key: &str) -> Keyed<()> {
    let numbers =
        [("prompts", gate.prompts), ("samples", gate.samples), ("extend", gate.extend), ("most", gate.most)];
    positive(key, &numbers.map(|(name, n)| (name, n as f64)))?;
    let key = dotted(&[key, "checks"]);
    for one in &gate.checks {
        among("behavior", &one.behavior, &key, world.behaviors.iter().map(|behavior| &behavior.name))?;
        if let Some(persona) = &one.persona {
            world.grammar.persona(persona, &key)?;
        }
        let bounds: Vec<f64> = [one.at_least, one.at_most].into_iter().flatten().collect();
        if bounds.is_empty() {
            return Err((key, WorldProblem::Missing { names: vec!["at_least".into(), "at_most".into()] }));
        }
        bounds.into_iter().try_for_each(share).map_err(|problem| (key.clone(), problem))?;
    }
    Ok(())
}

/// Refuses a behavior whose scenarios or contrasts the base has never read the like of.
fn check_covered(world: &World, base: &Base, documents: &Documents) -> Keyed<()> {
    for behavior in &world.behaviors {
        for (key, family) in [("behavior", &behavior.family), ("behavior.contrast", &behavior.contrast)] {
            if documents.mix().share(family) <= 0.0 {
                let (behavior, family) = (behavior.name.clone(), family.clone());
                let problem = WorldProblem::NeverRead { behavior, family, base: base.name.clone() };
                return Err((key.into(), problem));
            }
        }
    }
    Ok(())
}

fn positive(key: &str, numbers: &[(&str, f64)]) -> Keyed<()> {
    match numbers.iter().find(|(_, number)| !(*number > 0.0 && number.is_finite())) {
        Some((name, found)) => Err((dotted(&[key, name]), WorldProblem::NotPositive { found: *found })),
        None => Ok(()),
    }
}

/// Puts `key` before the key of a problem.
fn under(key: &str) -> impl Fn((String, WorldProblem)) -> (String, WorldProblem) {
    let key = key.to_owned();
    move |(inner, problem)| (dotted(&[&key, &inner]), problem)
}
