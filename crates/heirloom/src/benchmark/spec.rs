//! A benchmark of worlds as its TOML file states it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::arms::{ArmsSpec, FiguresSpec, MeasureSpec};
use crate::origins::Parts;
use crate::spec::{check_name, join, setting, twice};
use crate::{Error, Result};

/// Worlds, each run for every seed. Unknown keys are errors that list the known ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchmarkSpec {
    /// The run's name, a plain file name.
    pub name: String,
    /// What the benchmark asks, in a sentence.
    pub question: String,
    /// Every world is told anew by each of these, and its base and teachers are trained with it.
    pub seeds: Vec<u64>,
    /// Seeds of students under each of them.
    pub students: usize,
    /// The date that chat templates see, `YYYY-MM-DD`.
    pub clock: String,
    /// What is measured.
    pub measure: MeasureSpec,
    /// The worlds.
    #[serde(rename = "world")]
    pub worlds: Vec<Tried>,
}

/// One world with the arms that its behaviors are asked of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// The world's file, or the name of a world that heirloom brings.
    pub world: PathBuf,
    /// Which arm plays which part, by behavior. Other arms of the world are not run.
    pub origins: BTreeMap<String, Parts>,
}

/// Seeds of students under one seed of a world.
const SEEDS: u64 = 1000;

impl BenchmarkSpec {
    /// Reads `experiment.toml`, or the one inside the folder `path`; relative paths in it start at its folder.
    ///
    /// # Errors
    /// Names the file, the line and the key; unknown keys list the known ones.
    pub fn load(path: &Path) -> Result<Self> {
        let file = if path.is_dir() { path.join("experiment.toml") } else { path.to_owned() };
        let text = std::fs::read_to_string(&file)
            .map_err(|source| Error::ReadExperiment { path: file.clone(), source })?;
        let mut spec: Self = toml::from_str(&text)
            .map_err(|source| Error::Toml { path: file.clone(), source: Box::new(source) })?;
        for tried in &mut spec.worlds {
            tried.world = join(file.parent().unwrap_or(Path::new(".")), &tried.world);
        }
        spec.check()?;
        Ok(spec)
    }

    /// Whether the experiment at `path` is a benchmark: its file lists worlds.
    pub fn stands_at(path: &Path) -> bool {
        let file = if path.is_dir() { path.join("experiment.toml") } else { path.to_owned() };
        let table = std::fs::read_to_string(file).ok().and_then(|text| text.parse::<toml::Table>().ok());
        table.is_some_and(|table| table.get("world").is_some_and(toml::Value::is_array))
    }

    fn check(&self) -> Result<()> {
        check_name(&self.name)?;
        for (key, found) in
            [("seeds", self.seeds.len()), ("students", self.students), ("world", self.worlds.len())]
        {
            if found == 0 {
                return Err(setting(key, "at least 1", &found));
            }
        }
        let most = u64::MAX / SEEDS - 1;
        if self.students as u64 >= SEEDS || self.seeds.iter().any(|seed| *seed > most) {
            let expected = format!("fewer than {SEEDS} students, seeds up to {most}");
            return Err(setting("students", expected, &self.students));
        }
        twice("seeds", self.seeds.iter().map(u64::to_string))?;
        twice("world", self.worlds.iter().map(|tried| tried.world.display().to_string()))
    }

    /// The experiment of one world and seed.
    pub(crate) fn arms(&self, tried: &Tried, seed: u64) -> Result<ArmsSpec> {
        let stem = tried.world.file_stem().unwrap_or_default().to_string_lossy();
        let full = tried.origins.values().find_map(|parts| parts.get("full"));
        let Some(reference) = full else {
            return Err(setting("world.origins", "a part `full`", &format!("none in `{stem}`")));
        };
        Ok(ArmsSpec {
            name: format!("{stem}-{seed}"),
            question: self.question.clone(),
            seed,
            // Seeds of a world share no student's random stream; worlds of one seed do, and differ in what they draw with it.
            seeds: (1..=self.students as u64).map(|student| SEEDS * seed + student).collect(),
            world: tried.world.clone(),
            redraw: Some(seed),
            clock: self.clock.clone(),
            arms: vec![],
            sweep: vec![],
            own_arms: vec![],
            reference: reference.clone(),
            compare: vec![],
            origins: tried.origins.clone(),
            measure: self.measure.clone(),
            figures: FiguresSpec::default(),
            quick: None,
        })
    }
}
