//! Choosing prompts: which training prompts carry a behavior, by what the starting checkpoint's activations on both
//! teachers' rollouts say, or by a control. Nothing is trained; students retrained under arms judge.
//!
//! Prompts and rollouts are those of a run ([`select`]) or a user's own ([`Own`]).

mod own;
mod quality;
mod ranker;
mod run;
mod scores;
mod summary;

use std::path::{Path, PathBuf};

use heirloom_probe::Resampling;
use heirloom_probe::attribution::{ranking, ranking_quality};
use heirloom_record::{HookPoint, read_scores, rows_to_jsonl, write_file};
use heirloom_rollout::{Arm, DataIntervention, Manifest, Pool, Subset, for_seed};
use serde::Serialize;

use crate::streams::stream;
use crate::{Error, Result};

pub use own::{Own, Sought};
pub use quality::{Held, Quality};
pub use ranker::{Along, Ranker};
pub use run::{Request, select};

/// What ranks, and what becomes of the ranking.
#[derive(Clone, Debug)]
pub struct Choice {
    /// What ranks.
    pub by: Ranker,
    /// The score file whose choice [`Ranker::RandomEqualLength`] is a control of; `{seed}` in it stands for the seed.
    pub like: Option<PathBuf>,
    /// Share of the prompts that is chosen, in percent.
    pub percent: f64,
    /// Tag of the prompts that are known to cause the behavior.
    pub causal: Option<String>,
    /// Where the scores will be written, which is checked before anything is ranked.
    pub out: Option<PathBuf>,
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
    /// The starting checkpoint, where one was looked into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Where its activations were read, means over response tokens; nowhere by a ranker that reads none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookPoint>,
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
    pool: &'a Pool,
    seed: u64,
    original: Manifest,
    alternate: Manifest,
}

impl<'a> Rows<'a> {
    /// The rows of `arm`, and the same with every answer swapped for that of teacher `to`.
    fn new(arm: &Arm, to: &str, pool: &'a Pool, seed: u64) -> Result<Self> {
        let all = DataIntervention::Swap { on: Subset::All, to: to.to_owned() };
        let original = arm.manifest(pool, seed)?;
        Ok(Self { pool, seed, original, alternate: arm.clone().then(all).manifest(pool, seed)? })
    }
}

/// The one other teacher that answered all prompts of an arm.
///
/// # Errors
/// The arm's own teacher did not answer all of them; none, or more than one other, did.
fn other_teacher(arm: &Arm, pool: &Pool, seed: u64) -> Result<String> {
    arm.manifest(pool, seed)?;
    let others = pool.teachers().map(|(name, _)| name).filter(|name| *name != arm.teacher);
    let others: Vec<&str> = others.filter(|name| Rows::new(arm, name, pool, seed).is_ok()).collect();
    match others.as_slice() {
        [one] => Ok((*one).to_owned()),
        found => Err(Error::Setting {
            key: "teachers",
            expected: format!("one beside {} that answered all of its prompts too", arm.teacher),
            found: if found.is_empty() { "none".into() } else { found.join(", ") },
        }),
    }
}

/// The prompts in the order of their scores, and how good that is.
fn ranked(rows: &Rows<'_>, scores: &[f64], choice: &Choice, behavior: &str) -> Result<Ranking> {
    let Rows { pool, seed, .. } = *rows;
    let [own, others] = [rows.original.rollouts(pool)?, rows.alternate.rollouts(pool)?];
    let n = scores.len();
    let chosen = chosen(n, choice.percent);
    let quality = choice.causal.as_ref().map(|tag| -> Result<Quality> {
        let tagged = rows.original.select(&Subset::Tags(vec![tag.clone()]), pool)?;
        let causal: Vec<bool> = rows.original.rows.iter().map(|row| tagged.contains(&row.prompt)).collect();
        let prompts: Vec<usize> = (0..n).collect();
        let rng = stream(seed, &format!("quality of {} for {behavior}", choice.by));
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
