//! Checkpoints that a training elsewhere left: which there are, in the order of their steps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Where the checkpoints of a series are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Series {
    /// Folders `checkpoint-N` inside this one.
    Folder(PathBuf),
    /// Folders that a pattern with `*` matches, each called `checkpoint-N`.
    Glob(String),
    /// These, each called `checkpoint-N`.
    List(Vec<PathBuf>),
}

/// The checkpoints of a series by their steps, as Hugging Face trainers name them: `checkpoint-N`.
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
    let mut steps: BTreeMap<usize, PathBuf> = BTreeMap::new();
    for path in paths {
        let Some(step) = step_of(&path) else { return Err(Error::NotACheckpoint { path }) };
        if let Some(first) = steps.insert(step, path.clone()) {
            return Err(Error::StepTwice { step, first, second: path });
        }
    }
    if steps.is_empty() {
        return Err(Error::NoCheckpoints { place });
    }
    let all: Vec<usize> = steps.keys().copied().collect();
    match missing(&all) {
        Some((spacing, missing)) if !gaps => Err(Error::MissingSteps { spacing, missing }),
        _ => Ok(steps.into_iter().collect()),
    }
}

/// The step that a path's last name says.
pub(crate) fn step_of(path: &Path) -> Option<usize> {
    let digits = path.file_name()?.to_str()?.strip_prefix("checkpoint-")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn folders_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if path.is_dir() && step_of(&path).is_some() {
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
        for (name, step) in [
            ("runs/a/checkpoint-400", Some(400)),
            ("checkpoint-0", Some(0)),
            ("checkpoint-", None),
            ("checkpoint-4a", None),
            ("checkpoint-+4", None),
            ("step-4", None),
        ] {
            assert_eq!(step_of(Path::new(name)), step, "{name}");
        }
    }
}
