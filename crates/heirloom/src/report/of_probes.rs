//! The page of a run of probes: how well each behavior is read, and every text beside its score.

use std::path::{Path, PathBuf};

use heirloom_model::{Source, Words};
use heirloom_probe::direction::project;
use heirloom_record::{Activations, DataRow, Directions, Input, Metric, Readout};
use heirloom_rollout::Behavior;

use super::strips::Strips;
use super::texts::{Asked, Names, Quota, Row, Texts, pieces, rounded, said};
use super::{Page, Request, Said, parameters, sentences};
use crate::figures::MadeFrom;
use crate::{Result, Spec};

/// Classes of texts.
const CLASSES: [&str; 3] = ["positive", "negative", "topic-only"];

/// The page.
pub(super) fn page(
    request: &Request,
    from: &MadeFrom,
    metrics: &[Metric],
    strips: Option<&Strips>,
) -> Result<Page> {
    let spec = &from.experiment;
    let headline = &spec.probe.headline;
    let names: Vec<String> = spec.behaviors.iter().map(|folder| name_of(folder)).collect();
    let verdicts = names
        .iter()
        .map(|name| Said { about: name.clone(), sentence: sentences::auroc(metrics, name, headline) });
    let mut page = Page {
        title: spec.name.clone(),
        question: spec.question.clone(),
        verdicts: verdicts.collect(),
        parameters: parameters(spec)?,
        ..Page::default()
    };
    let words = Source::open(&spec.model.path).and_then(|source| source.words());
    if let Err(error) = &words {
        page.notes.push(format!(
            "The tokens that were read are not marked, because the model is not at hand: {error}."
        ));
    }
    let mut gathered = Gathered {
        spec,
        words: words.ok(),
        strips: strips.filter(|strips| strips.are_of(&spec.model.path)),
        prompts: Names::default(),
        texts: Texts::default(),
        quota: Quota::new(request.rollouts, spec.behaviors.len()),
    };
    for (number, folder) in spec.behaviors.iter().enumerate() {
        if let Err(error) = gathered.add((number, folder), &request.run, &from.artifacts) {
            let name = name_of(folder);
            page.notes.push(format!("Texts of {name} are not shown: {error}."));
        }
    }
    page.texts = gathered.texts();
    Ok(page)
}

fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

struct Gathered<'a> {
    spec: &'a Spec,
    words: Option<Words>,
    strips: Option<&'a Strips>,
    prompts: Names,
    texts: Texts,
    /// Texts of each behavior.
    quota: Quota,
}

impl Gathered<'_> {
    fn add(&mut self, (cell, folder): (usize, &Path), run: &Path, artifacts: &[String]) -> Result<()> {
        let behavior = Behavior::load(folder)?;
        let number = self.texts.behaviors.len();
        let most = self.texts.rows.len() + self.quota.of(cell);
        self.texts.behaviors.push(behavior.name.clone());
        let artifact = |stage: &str, name: &str| -> Option<PathBuf> {
            // An artifact's name ends in a hyphen and its key, which has none.
            let named = |path: &&String| {
                let path = Path::new(path);
                let file = name_of(path);
                path.starts_with(stage) && file.rsplit_once('-').is_some_and(|(stem, _)| stem == name)
            };
            artifacts.iter().find(named).map(|path| run.join(path))
        };
        let direction = artifact("probe", &behavior.name)
            .map(|path| Directions::read(&path.join(format!("{}.safetensors", self.spec.probe.headline))))
            .transpose()?;
        for (of, rows) in [("pairs", behavior.pair_rows()), ("topic", behavior.topic_rows())] {
            let store = artifact("capture", &format!("{}-{of}", behavior.name));
            let scores = match (&direction, store) {
                (Some(direction), Some(store)) => scores(direction, &store)?,
                _ => vec![],
            };
            self.texts.of += rows.len();
            for (index, row) in rows.iter().enumerate() {
                let class = match (of, row.label) {
                    ("topic", _) => 2,
                    (_, Some(true)) => 0,
                    _ => 1,
                };
                if self.texts.rows.len() < most {
                    self.text(row, number, class, scores.get(index).copied());
                }
            }
        }
        Ok(())
    }

    fn text(&mut self, row: &DataRow, behavior: usize, class: usize, score: Option<(f64, bool)>) {
        let Input::Messages(messages) = &row.input else { return };
        let Some((answer, asked)) = messages.split_last() else { return };
        let known = self.prompts.all.len();
        let prompt =
            self.prompts.number(&format!("{} {:?}", row.group.as_deref().unwrap_or_default(), said(asked)));
        if prompt == known {
            let id = row.group.clone().unwrap_or_default();
            self.texts.prompts.push(Asked { id, said: said(asked), pieces: vec![] });
        }
        let readout = &self.spec.capture.readout;
        let clock = self.spec.model.clock.parse().ok();
        let read = self.words.as_ref().zip(clock).map(|(words, clock)| pieces(words, row, clock, readout));
        let t = read.map(answer_of).filter(|pieces| !pieces.is_empty());
        let stored = self.strips.zip(self.words.as_ref()).zip(clock);
        let strip = stored.and_then(|((strips, words), clock)| strips.of(&row.id, words, row, clock));
        let (k, h) = strip.unwrap_or_default();
        self.texts.rows.push(Row {
            k,
            h,
            a: class,
            b: behavior,
            p: prompt,
            t: t.unwrap_or_else(|| vec![answer.content.clone()]),
            g: score.map(|(_, positive)| positive),
            r: score.map(|(score, _)| vec![rounded(score)]).unwrap_or_default(),
            ..Row::default()
        });
    }

    fn texts(self) -> Texts {
        let (shown, of) = (self.texts.rows.len(), self.texts.of);
        let headline = &self.spec.probe.headline;
        let read = match self.spec.capture.readout {
            Readout::ResponseMean => "The tokens of the answer whose mean is read are marked.",
            _ => "The tokens that are read are marked.",
        };
        let few = self.quota.said((shown, of), "every behavior");
        Texts {
            what: format!(
                "Contrast pairs and topic-only texts, each with how far `{headline}` scores it above the threshold at its chosen hook \
                 point. {read} {few}"
            ),
            readings: vec![format!("score of {headline} at the chosen hook point, less the threshold")],
            strip: self.strips.map(|strips| strips.what.clone()).unwrap_or_default(),
            grades: ["called positive", "called negative"].map(str::to_owned),
            arms: CLASSES.map(str::to_owned).into(),
            ..self.texts
        }
    }
}

/// How far a store's rows score above the threshold at the chosen hook point, and whether they are positive.
fn scores(directions: &Directions, store: &Path) -> Result<Vec<(f64, bool)>> {
    let hook = directions.header.chosen_hook.or_else(|| directions.by_hook.keys().next().copied());
    let Some((hook, direction)) = hook.and_then(|hook| Some((hook, directions.by_hook.get(&hook)?))) else {
        return Ok(vec![]);
    };
    let activations = Activations::read_hook(store, hook)?;
    let Some(rows) = activations.tensors.get(&hook) else { return Ok(vec![]) };
    let vector = direction.vector.mapv(f64::from);
    let projected = project(rows.view(), vector.view())?;
    let above = |projected: f64| direction.scale * projected + direction.intercept - direction.threshold;
    Ok(projected.into_iter().map(above).map(|above| (above, above >= 0.0)).collect())
}

/// The end of a rendered text from its first read token on, with some of what stands before it.
fn answer_of(pieces: Vec<String>) -> Vec<String> {
    let mut pieces = pieces;
    if pieces.len() > 1 {
        // What the prompt said stands in its own place.
        pieces[0].clear();
    }
    pieces
}
