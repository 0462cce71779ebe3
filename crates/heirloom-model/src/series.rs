//! Checkpoints that a training left: which there are, in the order of their steps, and a walk through them.

pub(crate) mod walk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{Error, PeftAdapter, Result};

/// Where the checkpoints of a series are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Series {
    /// Folders inside this one whose names say a step.
    Folder(PathBuf),
    /// Folders that a pattern with `*` matches, whose names all say a step.
    Glob(String),
    /// These, whose names all say a step.
    List(Vec<PathBuf>),
}

/// A checkpoint of a series: a model, or an adapter on one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointAt {
    /// Its step.
    pub step: usize,
    /// The model.
    pub model: PathBuf,
    /// What is put on it.
    pub adapter: Option<PathBuf>,
}

impl CheckpointAt {
    /// Where the checkpoint itself is: its adapter, or else its model.
    pub fn path(&self) -> &Path {
        self.adapter.as_deref().unwrap_or(&self.model)
    }
}

/// The checkpoints of a series by their steps, as Hugging Face trainers name them: `checkpoint-N`; see [`step_in`].
///
/// A series is evenly spaced where more than half of the distances between neighbors are one and the same; it
/// has a gap where another distance is a multiple of that one. Gaps are errors unless `gaps` allows them.
///
/// # Errors
/// No checkpoints, a name that says no step, two checkpoints of one step, a gap.
pub fn series(at: &Series, gaps: bool) -> Result<Vec<(usize, PathBuf)>> {
    let (place, paths) = match at {
        Series::Folder(folder) => (folder.display().to_string(), folders_in(folder)?),
        Series::Glob(pattern) => (pattern.clone(), matching(pattern)?),
        Series::List(paths) => ("the list".into(), paths.clone()),
    };
    let steps = paths.into_iter().map(|path| match name_of(&path).and_then(step_in) {
        Some(step) => Ok((step, path)),
        None => Err(Error::NotACheckpoint { path }),
    });
    let steps = steps.collect::<Result<Vec<_>>>()?;
    let at = |(step, model)| CheckpointAt { step, model, adapter: None };
    let found = in_order(&place, steps.into_iter().map(at).collect(), gaps)?;
    Ok(found.into_iter().map(|at| (at.step, at.model)).collect())
}

/// The same checkpoints by their steps, as [`series`] has them; `place` names them in errors.
///
/// # Errors
/// No checkpoints, two of one step, a gap that `gaps` does not allow.
pub fn in_order(place: &str, list: Vec<CheckpointAt>, gaps: bool) -> Result<Vec<CheckpointAt>> {
    let mut steps: BTreeMap<usize, CheckpointAt> = BTreeMap::new();
    for at in list {
        let (step, second) = (at.step, at.path().to_owned());
        if let Some(first) = steps.insert(step, at) {
            return Err(Error::StepTwice { step, first: first.path().to_owned(), second });
        }
    }
    if steps.is_empty() {
        return Err(Error::NoCheckpoints { place: place.into() });
    }
    let all: Vec<usize> = steps.keys().copied().collect();
    match missing(&all) {
        Some((spacing, missing)) if !gaps => Err(Error::MissingSteps { spacing, missing }),
        _ => Ok(steps.into_values().collect()),
    }
}

/// What [`series`] found as checkpoints that can be loaded: folders of adapters are put on `base`.
///
/// # Errors
/// There is an adapter and no base.
pub fn checkpoints(found: Vec<(usize, PathBuf)>, base: Option<&Path>) -> Result<Vec<CheckpointAt>> {
    let one = |(step, path): (usize, PathBuf)| match base {
        _ if !PeftAdapter::is_at(&path) => Ok(CheckpointAt { step, model: path, adapter: None }),
        Some(base) => Ok(CheckpointAt { step, model: base.to_owned(), adapter: Some(path) }),
        None => Err(Error::AdapterWithoutBase { path }),
    };
    found.into_iter().map(one).collect()
}

/// The step that a name says: that of `checkpoint-400`, `step1000`, `global_step_1000` or
/// `stage1-step1000-tokens5B`.
pub fn step_in(name: &str) -> Option<usize> {
    let found = ["checkpoint", "step"].into_iter().find_map(|word| {
        let rest = &name[name.find(word)? + word.len()..];
        Some(rest.strip_prefix(['-', '_', '=']).unwrap_or(rest))
    })?;
    let end = found.find(|c: char| !c.is_ascii_digit()).unwrap_or(found.len());
    let (digits, rest) = found.split_at(end);
    if rest.is_empty() || rest.starts_with(['-', '_', '.']) { digits.parse().ok() } else { None }
}

/// The step of a folder that heirloom's own trainings wrote.
pub(crate) fn step_of(path: &Path) -> Option<usize> {
    let digits = name_of(path)?.strip_prefix("checkpoint-")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn folders_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if path.is_dir() && name_of(&path).and_then(step_in).is_some() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn matching(pattern: &str) -> Result<Vec<PathBuf>> {
    let not_one = |source| heirloom_record::Error::Pattern { pattern: pattern.into(), source };
    let mut found = Vec::new();
    for path in glob::glob(pattern).map_err(not_one)? {
        let path = path.map_err(|error| {
            let path = error.path().to_owned();
            Error::Io { path, source: error.into() }
        })?;
        if path.is_dir() {
            found.push(path);
        }
    }
    Ok(found)
}

/// The distance that most neighbors have, and the steps that it says are missing.
fn missing(steps: &[usize]) -> Option<(usize, Vec<usize>)> {
    let distances: Vec<usize> = steps.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for distance in &distances {
        *counts.entry(*distance).or_default() += 1;
    }
    let (&spacing, _) = counts.iter().find(|(_, count)| 2 * **count > distances.len())?;
    let inside = |pair: &[usize]| {
        let even = (pair[1] - pair[0]).is_multiple_of(spacing);
        let end = if even { pair[1] } else { pair[0] };
        (pair[0] + spacing..end).step_by(spacing).collect::<Vec<_>>()
    };
    let missing: Vec<usize> = steps.windows(2).flat_map(inside).collect();
    (!missing.is_empty()).then_some((spacing, missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spacing_says_what_is_missing() {
        for (steps, expected) in [
            (&[100, 200, 400, 500][..], Some((100, vec![300]))),
            (&[0, 10, 20, 50, 60, 70], Some((10, vec![30, 40]))),
            (&[100, 200, 300, 337], None),
            (&[0, 2, 4, 8, 16, 32, 62], None),
            (&[0, 1, 2, 4, 8, 16], None),
            (&[100, 200, 400], None),
            (&[7], None),
            (&[5, 10, 15, 20], None),
        ] {
            assert_eq!(missing(steps), expected, "{steps:?}");
        }
    }

    #[test]
    fn names_say_their_step() {
        for (name, step, own) in [
            ("checkpoint-400", Some(400), true),
            ("checkpoint-0", Some(0), true),
            ("step1000", Some(1000), false),
            ("step-4", Some(4), false),
            ("global_step_300", Some(300), false),
            ("stage1-step1000-tokens5B", Some(1000), false),
            ("run.step=20.safetensors", Some(20), false),
            ("checkpoint-", None, false),
            ("checkpoint-4a", None, false),
            ("checkpoint-+4", None, false),
            ("stepsize-3", None, false),
            ("main", None, false),
        ] {
            assert_eq!(step_in(name), step, "{name}");
            assert_eq!(step_of(&Path::new("runs").join(name)), step.filter(|_| own), "{name}");
        }
    }
}
