//! Manifests: the rows of one arm, with where each comes from.

mod change;
mod diff;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use heirloom_record::{
    DataRow, Rollout, parse_jsonl, read_json, rows_to_jsonl, sha256_hex, write_file, write_json,
};
use serde::{Deserialize, Serialize};

pub use change::{Change, Sides};
pub use diff::{Changed, Diff, Repeated};

use crate::arm::Draft;
use crate::{Error, LengthMatch, Pool, Result, Subset};

const KIND: &str = "manifest";
const FORMAT: u32 = 1;
const HEAD: &str = "manifest.json";
const ROWS: &str = "manifest.jsonl";

/// One row that students of an arm are trained on: a line of `manifest.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestRow {
    /// The prompt's id.
    pub prompt: String,
    /// The prompt's set.
    pub source: String,
    /// The prompt's tags.
    pub tags: Vec<String>,
    /// Who answered.
    pub teacher: String,
    /// The rollout's id.
    pub rollout: String,
    /// The rollout's [`Rollout::sha256`].
    pub sha256: String,
    /// The rollout's tokens; 0 where nobody counted them.
    pub n_tokens: usize,
    /// Which of the prompt's rows it is, counted from 0: above 0 it was put in to refill.
    pub copy: usize,
}

/// What one intervention did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// The intervention, in words.
    pub intervention: String,
    /// Prompts it was about.
    pub prompts: usize,
    /// Prompts there were.
    pub of: usize,
    /// Rows that got another answer, were removed or replaced, or moved.
    pub rows: usize,
    /// How well the controls that it was about are matched in length.
    pub lengths: Vec<LengthMatch>,
}

/// The rows of one arm under one seed, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The arm's name.
    pub arm: String,
    /// The checkpoint that students start from.
    pub base: String,
    /// The prompt set.
    pub prompts: String,
    /// Who answered, before any intervention.
    pub teacher: String,
    /// Root of what was drawn at random.
    pub seed: u64,
    /// Whether the rows are to be taken in this order; otherwise the trainer shuffles them.
    pub ordered: bool,
    /// What the interventions did.
    pub applied: Vec<Applied>,
    /// The rows.
    pub rows: Vec<ManifestRow>,
}

/// `manifest.json`: everything but the rows, and a seal on them.
#[derive(Serialize, Deserialize)]
struct Head {
    arm: String,
    base: String,
    prompts: String,
    teacher: String,
    seed: u64,
    ordered: bool,
    applied: Vec<Applied>,
    rows_sha256: String,
}

impl Manifest {
    /// Writes `manifest.jsonl` and `manifest.json` into the folder `dir`; the same manifest gives the same bytes.
    pub fn write_into(&self, dir: &Path) -> Result<()> {
        let rows = rows_to_jsonl(&self.rows);
        let head = Head {
            arm: self.arm.clone(),
            base: self.base.clone(),
            prompts: self.prompts.clone(),
            teacher: self.teacher.clone(),
            seed: self.seed,
            ordered: self.ordered,
            applied: self.applied.clone(),
            rows_sha256: sha256_hex(rows.as_bytes()),
        };
        write_file(&dir.join(ROWS), rows.as_bytes())?;
        Ok(write_json(&dir.join(HEAD), KIND, FORMAT, &head)?)
    }

    /// Reads what [`Manifest::write_into`] wrote.
    ///
    /// # Errors
    /// Names the file, and the line: a file is missing or of another version, a line is not what it should be, or
    /// the rows are not those that the manifest was written with.
    pub fn read(dir: &Path) -> Result<Self> {
        let head: Head = read_json(&dir.join(HEAD), KIND, FORMAT)?;
        let path = dir.join(ROWS);
        let bytes = std::fs::read(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        let rows = parse_jsonl(bytes.as_slice(), &path)?;
        if sha256_hex(&bytes) != head.rows_sha256 {
            return Err(Error::ManifestRows { path });
        }
        Ok(Self {
            arm: head.arm,
            base: head.base,
            prompts: head.prompts,
            teacher: head.teacher,
            seed: head.seed,
            ordered: head.ordered,
            applied: head.applied,
            rows: rows.into_iter().map(|(_, row)| row).collect(),
        })
    }

    /// SHA-256 over everything in the manifest that students depend on: base, order and rows, not its name.
    pub fn sha256(&self) -> String {
        let settings = format!("{}\n{}\n", self.base, self.ordered);
        sha256_hex([settings, rows_to_jsonl(&self.rows)].concat().as_bytes())
    }

    /// The rollout of every row.
    ///
    /// # Errors
    /// Lists rollouts that the pool lacks, or has with another text.
    pub fn rollouts<'a>(&self, pool: &'a Pool) -> Result<Vec<&'a Rollout>> {
        let find = |row: &ManifestRow| {
            pool.rollout_index(&row.rollout).filter(|index| pool.hash(*index) == row.sha256)
        };
        let missing: BTreeSet<&String> =
            self.rows.iter().filter(|row| find(row).is_none()).map(|row| &row.rollout).collect();
        if !missing.is_empty() {
            let rollouts = missing.into_iter().cloned().collect();
            return Err(Error::ForeignManifest { arm: self.arm.clone(), rollouts });
        }
        Ok(self.rows.iter().filter_map(find).map(|index| &pool.rollouts()[index]).collect())
    }

    /// The chat rows that students are trained on. The second row of a rollout is called `ROLLOUT#1`.
    ///
    /// # Errors
    /// As [`Manifest::rollouts`].
    pub fn data_rows(&self, pool: &Pool) -> Result<Vec<DataRow>> {
        let rollouts = self.rollouts(pool)?;
        let named = |(row, rollout): (&ManifestRow, &Rollout)| {
            let data = rollout.row();
            let id = if row.copy == 0 { data.id.clone() } else { format!("{}#{}", data.id, row.copy) };
            DataRow { id, ..data }
        };
        Ok(self.rows.iter().zip(rollouts).map(named).collect())
    }

    /// Ids of the prompts in a subset, chosen from this manifest's rows by its seed.
    ///
    /// # Errors
    /// As [`Manifest::rollouts`], and what is wrong with the subset.
    pub fn select(&self, on: &Subset, pool: &Pool) -> Result<BTreeSet<String>> {
        self.rollouts(pool)?;
        let indices =
            |row: &ManifestRow| Some((pool.prompt_index(&row.prompt)?, pool.rollout_index(&row.rollout)?));
        let draft = Draft::of(pool, self.seed, self.rows.iter().filter_map(indices));
        let problem = |source| Error::Arm { arm: self.arm.clone(), source: Box::new(source) };
        let chosen = on.select(&draft).map_err(problem)?;
        Ok(chosen.prompts.into_iter().map(|prompt| pool.prompts()[prompt].id.clone()).collect())
    }

    /// Tokens of all rows; `None` where nobody counted those of some.
    pub fn n_tokens(&self) -> Option<usize> {
        let counted = self.rows.iter().all(|row| row.n_tokens > 0);
        counted.then(|| self.rows.iter().map(|row| row.n_tokens).sum())
    }

    /// Rows of each prompt.
    fn copies(&self) -> HashMap<&str, usize> {
        let mut copies = HashMap::new();
        for row in &self.rows {
            *copies.entry(row.prompt.as_str()).or_default() += 1;
        }
        copies
    }
}
