//! A run's folder: one experiment's artifacts, each keyed by what went into it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, NewFolder, Result, header, write_file};

const KIND: &str = "run";
const FORMAT: u32 = 1;

/// What `run.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The experiment's name.
    pub experiment: String,
    /// Version of heirloom that last wrote here.
    pub version: String,
}

#[derive(Serialize, Deserialize)]
struct Stamped {
    kind: String,
    format: u32,
    #[serde(flatten)]
    record: RunRecord,
}

/// The folder of one run. An artifact lives at `STAGE/NAME-KEY/`, where KEY is the start of a hash over
/// everything that went in: when it exists, the stage need not run again.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Opens the run at `path`, or starts one in a new or empty folder.
    ///
    /// # Errors
    /// The folder holds another experiment's run, or files that are no run.
    pub fn open(path: &Path, record: &RunRecord) -> Result<Self> {
        let file = path.join("run.json");
        if file.exists() {
            let json = std::fs::read_to_string(&file).map_err(Error::io("read", &file))?;
            let found: Stamped = header::check(&json, KIND, FORMAT, &file)?;
            if found.record.experiment != record.experiment {
                let holds =
                    format!("holds a run of `{}`, not of `{}`", found.record.experiment, record.experiment);
                return Err(Error::Occupied { path: path.into(), holds });
            }
        } else {
            NewFolder::create(path)?.commit()?;
        }
        let stamped = Stamped { kind: KIND.into(), format: FORMAT, record: record.clone() };
        write_file(&file, header::sorted_json(&stamped, &file)?.as_bytes())?;
        Ok(Self { path: path.to_owned() })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the artifact `name` of `stage` with this `key` lives, whether or not it exists.
    pub fn artifact(&self, stage: &str, name: &str, key: &str) -> PathBuf {
        self.path.join(stage).join(format!("{name}-{}", &key[..key.len().min(12)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(experiment: &str) -> RunRecord {
        RunRecord { experiment: experiment.into(), version: "0.1.0".into() }
    }

    #[test]
    fn a_run_is_resumed_and_another_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("smollm2");
        RunFolder::open(&path, &record("smollm2")).unwrap();
        RunFolder::open(&path, &record("smollm2")).unwrap();
        let message = RunFolder::open(&path, &record("worlds")).unwrap_err().to_string();
        assert!(message.ends_with("holds a run of `smollm2`, not of `worlds`"), "{message}");
    }

    #[test]
    fn a_folder_with_other_files_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        write_file(&scratch.path().join("thesis.tex"), b"years of work").unwrap();
        assert!(matches!(RunFolder::open(scratch.path(), &record("a")), Err(Error::Occupied { .. })));
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }
}
