//! What a judge found, with everything that made it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use heirloom_record::{GRADES, GradeRow, Hasher, Rollout, rows_to_jsonl, write_file, write_json};
use serde::Serialize;

use super::problem::kinds;
use super::{Judge, JudgeAnswer};
use crate::{Definition, Error, JudgeProblem, Part, Result};

const KIND: &str = "judge";
const FORMAT: u32 = 1;
const GRADER: &str = "judge";

/// Who judged, asked how, and how often it failed: `judge.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JudgeHeader {
    /// The behavior.
    pub behavior: String,
    /// What the judge was told that it is.
    pub definition: String,
    /// The address that was asked; a key is never part of it.
    pub endpoint: String,
    /// The model that was asked for.
    pub model: String,
    /// The names under which the server answered, with the answers of each.
    pub served: BTreeMap<String, usize>,
    /// What the judge was told, with places.
    pub system: String,
    /// What it was asked, with places.
    pub user: String,
    /// Sampling temperature.
    pub temperature: f64,
    /// Seed that was sent.
    pub seed: i64,
    /// Most tokens of an answer.
    pub max_tokens: usize,
    /// SHA-256 over all of the above but the counts: everything of it that can change a verdict.
    pub sha256: String,
    /// Rollouts given.
    pub rollouts: usize,
    /// Rollouts of which every part was judged.
    pub graded: usize,
    /// Requests without a verdict, by kind; a rollout with one is not graded.
    pub failures: BTreeMap<String, usize>,
    /// Share of rollouts without a grade above which there are no rates.
    pub allowed_failures: f64,
}

/// The answers of a judge and the grades they come to. Displays as one line: graded, failed, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Who judged, and how often it failed.
    pub header: JudgeHeader,
    /// Every answer, in the order of rollouts, each rollout's answer before its thought.
    pub answers: Vec<JudgeAnswer>,
    rows: Vec<GradeRow>,
}

impl Judged {
    pub(super) fn new(
        judge: &Judge,
        definition: Definition<'_>,
        rollouts: &[Rollout],
        answers: Vec<JudgeAnswer>,
    ) -> Self {
        let mut served: BTreeMap<String, usize> = BTreeMap::new();
        let mut failures: BTreeMap<String, usize> = BTreeMap::new();
        for answer in &answers {
            if let Some(model) = &answer.model {
                *served.entry(model.clone()).or_default() += 1;
            }
            if let Some(failure) = answer.failure {
                *failures.entry(failure.to_string()).or_default() += 1;
            }
        }
        let sha256 = sha256(judge, definition, served.keys());
        let rows: Vec<GradeRow> = rollouts
            .iter()
            // A rollout's parts begin with its answer.
            .zip(answers.chunk_by(|_, next| next.part == Part::Thought))
            .filter_map(|(rollout, own)| {
                row(definition.behavior, &judge.settings.model, &sha256, rollout, own)
            })
            .collect();
        let header = JudgeHeader {
            behavior: definition.behavior.into(),
            definition: definition.text.into(),
            endpoint: judge.url().into(),
            model: judge.settings.model.clone(),
            served,
            system: judge.settings.prompt.system.clone(),
            user: judge.settings.prompt.user.clone(),
            temperature: judge.settings.temperature,
            seed: judge.settings.seed,
            max_tokens: judge.settings.max_tokens,
            sha256,
            rollouts: rollouts.len(),
            graded: rows.len(),
            failures,
            allowed_failures: judge.settings.allowed_failures,
        };
        Self { header, answers, rows }
    }

    /// The grades, in the order of rollouts; those that failed are not among them.
    ///
    /// # Errors
    /// More rollouts failed than the settings allow.
    pub fn rows(&self) -> Result<&[GradeRow]> {
        let JudgeHeader { rollouts: n, allowed_failures: allowed, .. } = self.header;
        let failed = self.failed();
        if failed as f64 <= allowed * n as f64 {
            return Ok(&self.rows);
        }
        let failures = self.header.failures.clone();
        let source = JudgeProblem::TooManyFailures { failed, n, allowed, failures };
        Err(Error::Judge { endpoint: self.header.endpoint.clone(), source: Box::new(source) })
    }

    /// Rollouts without a grade: to stand beside every rate over the others.
    pub fn failed(&self) -> usize {
        self.header.rollouts - self.header.graded
    }

    /// Writes `judge.json`, every answer as `judge.jsonl`, and the grades as `grades.jsonl`.
    ///
    /// # Errors
    /// As [`Judged::rows`]; header and answers are written even so.
    pub fn write_into(&self, dir: &Path) -> Result<()> {
        write_json(&dir.join("judge.json"), KIND, FORMAT, &self.header)?;
        write_file(&dir.join("judge.jsonl"), rows_to_jsonl(&self.answers).as_bytes())?;
        Ok(write_file(&dir.join(GRADES), rows_to_jsonl(self.rows()?).as_bytes())?)
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let JudgeHeader { behavior, graded, failures, .. } = &self.header;
        write!(f, "{behavior}: {graded} graded by the judge, {} failed", self.failed())?;
        if failures.is_empty() { Ok(()) } else { write!(f, " ({})", kinds(failures)) }
    }
}

/// The grade of a rollout all of whose parts were judged.
fn row(
    behavior: &str,
    model: &str,
    sha256: &str,
    rollout: &Rollout,
    answers: &[JudgeAnswer],
) -> Option<GradeRow> {
    if answers.iter().any(|answer| answer.shown.is_none()) {
        return None;
    }
    let of = |part| answers.iter().find(|answer| answer.part == part);
    let answer = of(Part::Answer)?;
    // A server that does not name its model is taken at its word.
    let models: BTreeSet<&str> =
        answers.iter().map(|answer| answer.model.as_deref().unwrap_or(model)).collect();
    Some(GradeRow {
        rollout: rollout.id.clone(),
        prompt: rollout.prompt.clone(),
        behavior: behavior.into(),
        grader: GRADER.into(),
        version: models.into_iter().collect::<Vec<_>>().join(", "),
        sha256: sha256.into(),
        answer: answer.shown?,
        thought: of(Part::Thought).and_then(|thought| thought.shown),
        fired: vec![],
        thought_fired: vec![],
        evidence: answer.reason.clone(),
    })
}

fn sha256<'a>(judge: &Judge, definition: Definition<'_>, served: impl Iterator<Item = &'a String>) -> String {
    let settings = &judge.settings;
    let hasher = Hasher::default()
        .part("behavior", definition.behavior)
        .part("definition", definition.text)
        .part("endpoint", judge.url())
        .part("model", &settings.model)
        .part("system", &settings.prompt.system)
        .part("user", &settings.prompt.user)
        .part("temperature", settings.temperature.to_le_bytes())
        .part("seed", settings.seed.to_le_bytes())
        .part("max_tokens", (settings.max_tokens as u64).to_le_bytes());
    served.fold(hasher, |hasher, model| hasher.part("served", model)).finish()
}
