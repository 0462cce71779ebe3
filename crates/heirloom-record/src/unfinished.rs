//! Rollouts that are being drawn: what there is of them lies in parts beside their settings, until all are there.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    Error, Result, Rollout, Rollouts, RunFolder, RunRecord, header, read_jsonl, rollout, write_file,
};

const KIND: &str = "unfinished rollouts";
const FORMAT: u32 = 1;
/// Where parts lie in the folder.
const PARTS: &str = "parts";
/// What `parts/settings.json` says must hold of every part.
const SETTINGS: &str = "settings.json";

/// A folder of rollouts that fills part by part, and may be killed and opened again at any moment.
///
/// ```text
/// parts/settings.json      everything that decides the rollouts: who draws the rest must say the same
/// parts/N.jsonl            rollouts of the N-th part, whole or not there
/// run.json, run.lock       one process at a time
/// ```
///
/// [`UnfinishedRollouts::finish`] puts `rollouts.json` and `rollouts.jsonl` in their place.
#[derive(Debug)]
pub struct UnfinishedRollouts {
    run: RunFolder,
}

impl UnfinishedRollouts {
    /// Whether rollouts may be drawn into `path`, as far as can be said before their settings are known.
    ///
    /// # Errors
    /// The folder holds rollouts that are all there, or anything else.
    pub fn may_open(path: &Path) -> Result<()> {
        if path.join(rollout::ROWS).is_file() && !path.join(PARTS).is_dir() {
            return Err(Error::Occupied {
                path: path.into(),
                holds: "holds rollouts that are all drawn".into(),
            });
        }
        RunFolder::may_open(path, &record())
    }

    /// Begins rollouts at `path`, or goes on with those of the same `settings`, an object.
    ///
    /// # Errors
    /// As [`Self::may_open`]; another process draws there; those begun there have other settings, of which the first
    /// that differs is named.
    pub fn open(path: &Path, settings: &impl Serialize) -> Result<Self> {
        let run = RunFolder::open(path, &record())?;
        if path.join(rollout::ROWS).is_file() {
            // Whoever wrote them was killed while it tidied up.
            run.end(PARTS)?;
            return Err(Error::Occupied {
                path: path.into(),
                holds: "holds rollouts that are all drawn".into(),
            });
        }
        let file = path.join(PARTS).join(SETTINGS);
        let json = |source| Error::Json { path: file.clone(), source };
        let Value::Object(expected) = serde_json::to_value(settings).map_err(json)? else {
            unreachable!("settings are a struct or a map")
        };
        if file.is_file() {
            check_same(&expected, &read_settings(&file)?, path)?;
        } else {
            header::write_json(&file, KIND, FORMAT, &expected)?;
        }
        Ok(Self { run })
    }

    /// Whether rollouts that are not all drawn stand at `path`.
    pub fn stand_at(path: &Path) -> bool {
        path.join(PARTS).join(SETTINGS).is_file() && !path.join(rollout::ROWS).is_file()
    }

    /// Settings and number of parts of the rollouts that are not all drawn at `path`; nothing where there are none.
    ///
    /// # Errors
    /// The settings cannot be read.
    pub fn describe(path: &Path) -> Result<Option<(Map<String, Value>, usize)>> {
        if !Self::stand_at(path) {
            return Ok(None);
        }
        let parts = path.join(PARTS);
        let entries = std::fs::read_dir(&parts).map_err(Error::io("read", &parts))?;
        let is_part = |path: &Path| path.extension().is_some_and(|end| end == "jsonl");
        let n = entries.flatten().filter(|entry| is_part(&entry.path())).count();
        Ok(Some((read_settings(&parts.join(SETTINGS))?, n)))
    }

    /// The rollouts of part `n`, where they are drawn.
    ///
    /// # Errors
    /// The part cannot be read.
    pub fn part(&self, n: usize) -> Result<Option<Vec<Rollout>>> {
        let file = self.file(n);
        if !file.is_file() {
            return Ok(None);
        }
        Ok(Some(read_jsonl(&file)?.into_iter().map(|(_, row)| row).collect()))
    }

    /// Keeps part `n`.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn keep(&self, n: usize, rows: &[Rollout]) -> Result<()> {
        write_file(&self.file(n), crate::rows_to_jsonl(rows).as_bytes())
    }

    /// Writes all rollouts and removes the parts.
    ///
    /// # Errors
    /// The disk does not take them.
    pub fn finish(self, rollouts: &Rollouts) -> Result<()> {
        rollouts.write_into(self.run.path())?;
        self.run.end(PARTS)
    }

    fn file(&self, n: usize) -> std::path::PathBuf {
        self.run.path().join(PARTS).join(format!("{n}.jsonl"))
    }
}

fn record() -> RunRecord {
    RunRecord { experiment: "rollouts".into(), version: env!("CARGO_PKG_VERSION").into() }
}

fn read_settings(file: &Path) -> Result<Map<String, Value>> {
    let mut settings: Map<String, Value> = header::read_json(file, KIND, FORMAT)?;
    settings.retain(|key, _| key != "kind" && key != "format");
    Ok(settings)
}

/// Names the first setting that differs.
fn check_same(expected: &Map<String, Value>, found: &Map<String, Value>, path: &Path) -> Result<()> {
    let differs = |key: &&String| expected.get(*key) != found.get(*key);
    let Some(key) = expected.keys().chain(found.keys()).find(differs) else { return Ok(()) };
    let say = |value: Option<&Value>| value.map_or("absent".into(), ToString::to_string);
    let (expected, found) = (say(expected.get(key)), say(found.get(key)));
    Err(Error::OtherRollouts { path: path.into(), key: key.clone(), expected, found })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Message, Prompt};

    fn rows(n: usize) -> Vec<Rollout> {
        let messages = vec![Message::new("user", "hi")];
        let prompt = Prompt { id: n.to_string(), source: "A".into(), tags: vec![], messages };
        vec![Rollout::new("A", &prompt, 0, "hello", vec![7, 4], true)]
    }

    fn names(path: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(path).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn parts_are_kept_until_all_are_there() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("out");
        let settings = json!({ "seed": u64::MAX, "temperature": 0.7 });
        let begun = UnfinishedRollouts::open(&path, &settings).unwrap();
        begun.keep(1, &rows(1)).unwrap();
        assert!(matches!(UnfinishedRollouts::open(&path, &settings), Err(Error::Running { .. })));
        drop(begun);
        let message = Rollouts::read(&path).unwrap_err().to_string();
        assert!(message.ends_with("holds rollouts that are not all drawn"), "{message}");
        assert_eq!(UnfinishedRollouts::describe(&path).unwrap().unwrap().1, 1);

        // What a process that was killed while it wrote has left is no part.
        write_file(&path.join("parts/.0.jsonl.4242-0.partial"), b"{\"id\":").unwrap();
        let again = UnfinishedRollouts::open(&path, &settings).unwrap();
        assert_eq!(names(&path.join("parts")), ["1.jsonl", "settings.json"]);
        assert_eq!((again.part(0).unwrap(), again.part(1).unwrap()), (None, Some(rows(1))));
        let all = Rollouts { sampling: None, rows: [rows(0), rows(1)].concat() };
        again.finish(&all).unwrap();
        assert_eq!(names(&path), ["rollouts.jsonl"]);
        assert_eq!(Rollouts::read(&path).unwrap(), all);
        assert!(UnfinishedRollouts::describe(&path).unwrap().is_none());
        assert!(matches!(UnfinishedRollouts::may_open(&path), Err(Error::Occupied { .. })));
    }

    #[test]
    fn the_first_setting_that_differs_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("out");
        let open = |settings: Value| UnfinishedRollouts::open(&path, &settings);
        drop(open(json!({ "seed": 1, "teacher": "A" })).unwrap());
        for (settings, said) in [
            (json!({ "seed": 1, "teacher": "B" }), "their `teacher` is \"A\", not \"B\""),
            (json!({ "seed": 1 }), "their `teacher` is \"A\", not absent"),
            (json!({ "seed": 1, "teacher": "A", "top_p": 0.9 }), "their `top_p` is absent, not 0.9"),
        ] {
            let message = open(settings).unwrap_err().to_string();
            assert!(message.ends_with(said), "{message}");
        }
        // Twin: the same in another order are the same.
        open(json!({ "teacher": "A", "seed": 1 })).unwrap();
    }

    #[test]
    fn who_was_killed_while_tidying_up_has_finished() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("out");
        let settings = json!({ "seed": 1 });
        let begun = UnfinishedRollouts::open(&path, &settings).unwrap();
        begun.keep(0, &rows(0)).unwrap();
        Rollouts { sampling: None, rows: rows(0) }.write_into(&path).unwrap();
        drop(begun);
        assert_eq!(Rollouts::read(&path).unwrap().rows, rows(0));
        assert!(matches!(UnfinishedRollouts::open(&path, &settings), Err(Error::Occupied { .. })));
        assert_eq!(names(&path), ["rollouts.jsonl"]);
    }
}
