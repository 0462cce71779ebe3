//! The page of a run with arms: what the arms say, what each changed, and what students answered.

use std::collections::BTreeMap;

use heirloom_record::{GradeRow, Metric, Readout, Rollouts, read_jsonl};

use super::strips::Strips;
use super::texts::{Asked, Names, Quota, Row, Texts, pieces, rounded, said};
use super::{Changed, Page, Request, Said, parameters, sentences};
use crate::Result;
use crate::arms::{ArmsSpec, Side, Stored};

/// The page.
pub(super) fn page(
    request: &Request,
    spec: &ArmsSpec,
    metrics: &[Metric],
    strips: Option<&Strips>,
) -> Result<Page> {
    let mut behaviors: Vec<(String, String)> =
        spec.figures.behaviors.iter().map(|panel| (panel.behavior.clone(), panel.label.clone())).collect();
    let asked = spec
        .origins
        .keys()
        .filter(|name| spec.figures.behaviors.iter().all(|panel| panel.behavior != **name));
    behaviors.extend(asked.map(|name| (name.clone(), name.clone())));
    let sentence = |name: &str| {
        let found = sentences::origin(metrics, name, &spec.reference);
        found.unwrap_or_else(|| sentences::rate(metrics, name, &spec.reference))
    };
    let verdicts =
        behaviors.iter().map(|(name, label)| Said { about: label.clone(), sentence: sentence(name) });
    let mut page = Page {
        title: spec.name.clone(),
        question: spec.question.clone(),
        verdicts: verdicts.collect(),
        parameters: parameters(spec)?,
        ..Page::default()
    };
    match Stored::open(&request.run, request.device).and_then(|stored| filled(&stored, request, strips)) {
        Ok((arms, texts)) => (page.arms, page.texts) = (arms, texts),
        Err(error) => page.notes.push(format!(
            "What the arms changed and what students answered is not shown, because the run cannot be read whole: {error}."
        )),
    }
    Ok(page)
}

/// Arms with what they change, and answers, as many of each arm, seed and behavior.
fn filled(stored: &Stored, request: &Request, strips: Option<&Strips>) -> Result<(Vec<Changed>, Texts)> {
    let names = stored.experiment.measured_names();
    let behaviors = stored.experiment.behaviors();
    let mut sides = vec![];
    for seeded in &stored.made.seeds {
        for name in &names {
            sides.push(stored.side(name, seeded)?);
        }
    }
    let arms = sides.iter().filter_map(changed).collect();
    let quota = Quota::new(request.rollouts, sides.len() * behaviors.len());
    let mut gathered = Gathered::new(stored, quota, strips);
    for side in &sides {
        for behavior in behaviors {
            gathered.add(side, behavior)?;
        }
    }
    Ok((arms, gathered.texts()))
}

fn changed(side: &Side<'_>) -> Option<Changed> {
    let manifest = side.subject.manifest.as_ref()?;
    let applied = manifest
        .applied
        .iter()
        .map(|one| format!("{}: {} of {} prompts, {} rows", one.intervention, one.prompts, one.of, one.rows));
    let changes: Vec<String> = applied.collect();
    Some(Changed {
        arm: side.subject.name.clone(),
        base: manifest.base.clone(),
        prompts: manifest.prompts.clone(),
        teacher: manifest.teacher.clone(),
        seed: manifest.seed,
        rows: manifest.rows.len(),
        tokens: manifest.n_tokens().unwrap_or(0),
        changes: if changes.is_empty() { "nothing".into() } else { changes.join("; ") },
    })
}

/// Answers of last checkpoints, with names once.
struct Gathered<'a> {
    stored: &'a Stored,
    /// Answers of each arm, seed and behavior, of which `cells` are gathered.
    quota: Quota,
    cells: usize,
    strips: Option<&'a Strips>,
    arms: Names,
    rules: Names,
    asked: BTreeMap<(u64, String), usize>,
    texts: Texts,
}

impl<'a> Gathered<'a> {
    fn new(stored: &'a Stored, quota: Quota, strips: Option<&'a Strips>) -> Self {
        let fit_on = if stored.experiment.spec().measure.teachers.is_some() {
            "between the teachers"
        } else {
            "fit on the base"
        };
        let headline = stored.experiment.spec().measure.headline;
        let readings = vec![format!("projection on the direction {fit_on} at {headline}, reference s.d.")];
        let behaviors = stored.experiment.behaviors().to_vec();
        let grades = ["shows it", "does not"].map(str::to_owned);
        let strip = strips.map(|strips| strips.what.clone()).unwrap_or_default();
        let texts = Texts { readings, grades, strip, behaviors, ..Texts::default() };
        let (arms, rules) = (Names::default(), Names::default());
        Self { stored, strips, quota, cells: 0, arms, rules, asked: BTreeMap::new(), texts }
    }

    fn add(&mut self, side: &Side<'_>, behavior: &str) -> Result<()> {
        let prefix = format!("{behavior}/");
        let rollouts = Rollouts::read(&side.rollouts())?.rows;
        let own: Vec<_> = rollouts.into_iter().filter(|row| row.prompt.starts_with(&prefix)).collect();
        self.texts.of += own.len();
        let grades = self.stored.grades(side)?;
        let mut graded: BTreeMap<String, Vec<GradeRow>> = BTreeMap::new();
        for (_, row) in
            read_jsonl::<GradeRow>(&grades)?.into_iter().filter(|(_, row)| row.behavior == behavior)
        {
            graded.entry(row.rollout.clone()).or_default().push(row);
        }
        let grader = self.stored.experiment.world().behavior(behavior)?.grader.sha256().to_owned();
        let projected = self.projections(side, behavior);
        let number = self.texts.behaviors.iter().position(|name| name == behavior).unwrap_or(0);
        let strips = self.strips.filter(|strips| strips.are_of(&side.model()));
        let quota = self.quota.of(self.cells);
        self.cells += 1;
        for rollout in own.iter().take(quota) {
            let prompt = self.prompt(side, &rollout.prompt);
            let grades = graded.get(&rollout.id).map(Vec::as_slice).unwrap_or_default();
            let shows = grades.iter().find(|grade| grade.sha256 == grader);
            let coherent = grades.iter().find(|grade| grade.sha256 != grader);
            let fired = shows.into_iter().flat_map(|grade| &grade.fired);
            let student = &side.subject.start.student;
            let strip = strips
                .and_then(|strips| strips.of(&rollout.id, student.words(), &rollout.row(), student.clock()));
            let (k, h) = strip.unwrap_or_default();
            let row = Row {
                k,
                h,
                a: self.arms.number(&side.subject.name),
                b: number,
                s: Some(side.subject.seeded.seed),
                p: prompt,
                t: vec![rollout.answer().to_owned()],
                g: shows.map(|grade| grade.answer),
                c: coherent.map(|grade| grade.answer),
                f: fired.map(|rule| self.rules.number(rule)).collect(),
                r: projected.get(&rollout.prompt).map(|value| vec![rounded(*value)]).unwrap_or_default(),
            };
            self.texts.rows.push(row);
        }
        Ok(())
    }

    /// What the last prompt token of each scenario read, at the hook point of figures.
    fn projections(&self, side: &Side<'_>, behavior: &str) -> BTreeMap<String, f64> {
        let spec = self.stored.experiment.spec();
        let prefix = format!("{behavior}/");
        let mut readings = side.last().readings.iter();
        let own =
            readings.find(|reading| reading.behavior == behavior && reading.hook == spec.measure.headline);
        let Some(reading) = own else { return BTreeMap::new() };
        let values =
            if spec.measure.teachers.is_some() { &reading.on_teachers } else { &reading.projections };
        let scenarios =
            side.subject.seeded.scenarios.iter().filter(|scenario| scenario.id.starts_with(&prefix));
        scenarios.map(|scenario| scenario.id.clone()).zip(values.iter().copied()).collect()
    }

    /// The number of a seed's scenario, rendered with its read token marked.
    fn prompt(&mut self, side: &Side<'_>, id: &str) -> usize {
        let key = (side.subject.seeded.seed, id.to_owned());
        if let Some(number) = self.asked.get(&key) {
            return *number;
        }
        let scenario = side.subject.seeded.scenarios.iter().find(|scenario| scenario.id == id);
        let student = &side.subject.start.student;
        let asked = scenario.map(|scenario| Asked {
            id: format!("{id}, seed {}", key.0),
            said: said(&scenario.messages),
            pieces: pieces(student.words(), &scenario.row(), student.clock(), &Readout::LastPrompt),
        });
        self.texts.prompts.push(asked.unwrap_or_default());
        self.asked.insert(key, self.texts.prompts.len() - 1);
        self.texts.prompts.len() - 1
    }

    fn texts(self) -> Texts {
        let (shown, of) = (self.texts.rows.len(), self.texts.of);
        let few = self.quota.said((shown, of), "every arm, seed and behavior");
        let what = format!(
            "Answers of last checkpoints to held-out scenarios, each with its grade and the rules that fired. The token that \
             projections are read at is marked in the prompt. {few}"
        );
        Texts { what, arms: self.arms.all, rules: self.rules.all, ..self.texts }
    }
}
