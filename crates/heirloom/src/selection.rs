//! Choosing prompts: which of an experiment's training prompts carry a behavior, by what the starting checkpoint's
//! activations on both teachers' rollouts say, or by a control. Nothing is trained; students retrained under arms judge.

mod quality;
mod ranker;
mod scores;
mod summary;

use std::path::{Path, PathBuf};

use heirloom_model::Device;
use heirloom_probe::Resampling;
use heirloom_probe::attribution::{ranking, ranking_quality};
use heirloom_record::{HookPoint, read_scores, rows_to_jsonl, write_file};
use heirloom_rollout::{Arm, DataIntervention, Manifest, Subset, for_seed};
use serde::Serialize;

use crate::arms::{Seeded, Stored};
use crate::streams::stream;
use crate::{Error, Result};

pub use quality::{Held, Quality};
pub use ranker::{Along, Ranker};

/// What is ranked, and by what.
#[derive(Clone, Debug)]
pub struct Request {
    /// The run's folder.
    pub run: PathBuf,
    /// The behavior.
    pub behavior: String,
    /// What ranks.
    pub by: Ranker,
    /// The direction of [`Ranker::ProjectionDifference`].
    pub direction: Along,
    /// The score file whose choice [`Ranker::RandomEqualLength`] is a control of; `{seed}` in it stands for the seed.
    pub like: Option<PathBuf>,
    /// Share of the prompts that is chosen, in percent.
    pub percent: f64,
    /// Tag of the prompts that are known to cause the behavior.
    pub causal: Option<String>,
    /// The only seed that is ranked; every one when absent.
    pub seed: Option<u64>,
    /// Where the scores will be written, which is checked before anything is ranked.
    pub out: Option<PathBuf>,
    /// The device that the run was made on.
    pub device: Device,
}

/// A ranking of the prompts of each seed.
#[derive(Clone, Debug, Serialize)]
pub struct Selected {
    /// The behavior.
    pub behavior: String,
    /// What ranked.
    pub by: String,
    /// The prompt set, its teacher, and who answers what is swapped.
    pub prompts: String,
    /// Who answered the prompts.
    pub teacher: String,
    /// The other teacher.
    pub to: String,
    /// The starting checkpoint.
    pub base: String,
    /// Where its activations were read, means over response tokens.
    pub hook: HookPoint,
    /// By seed.
    pub rankings: Vec<Ranking>,
    /// What should be known of the scores, in words.
    pub notes: Vec<String>,
}

/// The prompts of one seed, highest score first.
#[derive(Clone, Debug, Serialize)]
pub struct Ranking {
    /// The seed that drew the prompts.
    pub seed: u64,
    /// Prompts chosen, from the top.
    pub chosen: usize,
    /// Every prompt.
    pub rows: Vec<Ranked>,
    /// How well the ranking finds the prompts that are known to be causal.
    pub quality: Option<Quality>,
}

/// One prompt.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranked {
    /// Its id.
    pub prompt: String,
    /// Its score.
    pub score: f64,
    /// Its tags.
    pub tags: Vec<String>,
    /// What is asked.
    pub asked: String,
    /// What its teacher answered, and what the other did.
    pub answers: [String; 2],
}

/// A line of a score file.
#[derive(Serialize)]
struct ScoreRow {
    prompt: String,
    score: f64,
}

/// What every ranker looks at: one seed's prompts with both teachers' answers.
struct Rows<'a> {
    seeded: &'a Seeded,
    original: Manifest,
    alternate: Manifest,
}

/// Ranks the training prompts of a run's reference arm.
///
/// # Errors
/// The folder holds no run; the behavior was not measured; the reference is no arm, or no one other teacher answered
/// its prompts; what the ranker needs is not there.
pub fn select(request: &Request) -> Result<Selected> {
    let stored = Stored::open(&request.run, request.device)?;
    let experiment = &stored.experiment;
    let (spec, world) = (experiment.spec(), experiment.world());
    world.behavior(&request.behavior)?;
    if !experiment.behaviors().contains(&request.behavior) {
        let expected = format!("one that the run measured: {}", experiment.behaviors().join(", "));
        return Err(Error::Setting { key: "--behavior", expected, found: request.behavior.clone() });
    }
    let mut arms = experiment.arms().iter();
    let reference = arms.find(|arm| arm.name == spec.reference).ok_or_else(|| Error::Setting {
        key: "reference",
        expected: "an arm whose prompts can be ranked".into(),
        found: spec.reference.clone(),
    })?;
    let seeds: Vec<&Seeded> = match request.seed {
        None => stored.made.seeds.iter().collect(),
        Some(seed) => vec![stored.seeded(seed).ok_or_else(|| Error::Setting {
            key: "--seed",
            expected: format!("one of {:?}", spec.seeds),
            found: seed.to_string(),
        })?],
    };
    if let Some(out) = &request.out {
        check_out(out, seeds.iter().map(|seeded| seeded.seed))?;
    }
    let arm = Arm {
        base: reference.base.clone(),
        ..Arm::new(&reference.name, &reference.prompts, &reference.teacher)
    };
    let to = other_teacher(&arm, seeds[0])?;
    let mut notes = vec![];
    let mut rankings = vec![];
    for seeded in seeds {
        let all = DataIntervention::Swap { on: Subset::All, to: to.clone() };
        let rows = Rows {
            seeded,
            original: arm.manifest(&seeded.pool, seeded.seed)?,
            alternate: arm.clone().then(all).manifest(&seeded.pool, seeded.seed)?,
        };
        let scores = scores::scores(&stored, &rows, request, &mut notes)?;
        rankings.push(ranked(&rows, &scores, request)?);
    }
    notes.dedup();
    Ok(Selected {
        behavior: request.behavior.clone(),
        by: request.by.to_string(),
        prompts: arm.prompts,
        teacher: arm.teacher,
        to,
        base: arm.base,
        hook: spec.measure.headline,
        rankings,
        notes,
    })
}

/// The one other teacher that answered all prompts of an arm.
fn other_teacher(arm: &Arm, seeded: &Seeded) -> Result<String> {
    let swapped = |to: &str| {
        let all = DataIntervention::Swap { on: Subset::All, to: to.to_owned() };
        arm.clone().then(all).manifest(&seeded.pool, seeded.seed).is_ok()
    };
    let teachers = seeded.pool.teachers().map(|(name, _)| name);
    let others: Vec<&str> = teachers.filter(|name| *name != arm.teacher && swapped(name)).collect();
    match others.as_slice() {
        [one] => Ok((*one).to_owned()),
        found => Err(Error::Setting {
            key: "arms",
            expected: format!("one other teacher that answers prompts {}", arm.prompts),
            found: if found.is_empty() { "none".into() } else { found.join(", ") },
        }),
    }
}

/// The prompts in the order of their scores, and how good that is.
fn ranked(rows: &Rows<'_>, scores: &[f64], request: &Request) -> Result<Ranking> {
    let (pool, seed) = (&rows.seeded.pool, rows.seeded.seed);
    let [own, others] = [rows.original.rollouts(pool)?, rows.alternate.rollouts(pool)?];
    let n = scores.len();
    let chosen = chosen(n, request.percent);
    let quality = request.causal.as_ref().map(|tag| -> Result<Quality> {
        let tagged = rows.original.select(&Subset::Tags(vec![tag.clone()]), pool)?;
        let causal: Vec<bool> = rows.original.rows.iter().map(|row| tagged.contains(&row.prompt)).collect();
        let prompts: Vec<usize> = (0..n).collect();
        let rng = stream(seed, &format!("quality of {} for {}", request.by, request.behavior));
        let found = ranking_quality(scores, &causal, &prompts, chosen, Resampling::default(), &rng)?;
        Ok(Quality::new(tag, tagged.len(), &found))
    });
    let row = |index: usize| {
        let row = &rows.original.rows[index];
        let asked = own[index].asked().last().map(|message| message.content.clone()).unwrap_or_default();
        let answers = [own[index], others[index]].map(|rollout| rollout.answer().to_owned());
        Ranked { prompt: row.prompt.clone(), score: scores[index], tags: row.tags.clone(), asked, answers }
    };
    let order = ranking(scores)?;
    Ok(Ranking { seed, chosen, rows: order.into_iter().map(row).collect(), quality: quality.transpose()? })
}

/// How many of `n` prompts are `percent`, at least one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and n")]
fn chosen(n: usize, percent: f64) -> usize {
    ((n as f64 * percent / 100.0).round() as usize).clamp(1, n)
}

impl Selected {
    /// What a stranger should read first: the `top` prompts of each seed.
    pub fn summary(&self, top: usize) -> String {
        summary::summary(self, top)
    }

    /// Writes a score file for each seed, in the form that an arm's `scores` take, and returns their paths.
    ///
    /// # Errors
    /// Several seeds and no `{seed}` in the name; a file that is there and holds something else.
    pub fn write(&self, out: &Path) -> Result<Vec<PathBuf>> {
        check_out(out, self.rankings.iter().map(|ranking| ranking.seed))?;
        let mut paths = vec![];
        for ranking in &self.rankings {
            let path = for_seed(out, ranking.seed);
            let line = |row: &'_ Ranked| ScoreRow { prompt: row.prompt.clone(), score: row.score };
            let lines: Vec<ScoreRow> = ranking.rows.iter().map(line).collect();
            write_file(&path, rows_to_jsonl(&lines).as_bytes())?;
            paths.push(path);
        }
        Ok(paths)
    }
}

/// Whether score files of these seeds may be written.
fn check_out(out: &Path, seeds: impl Iterator<Item = u64>) -> Result<()> {
    let seeds: Vec<u64> = seeds.collect();
    if seeds.len() > 1 && for_seed(out, 0) == *out {
        let expected = format!("`{{seed}}` in the name, for a file of each of {seeds:?}, or `--seed`");
        return Err(Error::Setting { key: "--out", expected, found: out.display().to_string() });
    }
    for path in seeds.into_iter().map(|seed| for_seed(out, seed)) {
        if path.exists() && read_scores(&path).is_err() {
            return Err(Error::NotScores { path });
        }
    }
    Ok(())
}
