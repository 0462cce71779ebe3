//! A run's folder: one experiment's artifacts, each keyed by what went into it.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::write::is_partial;
use crate::{Error, Result, header};

const KIND: &str = "run";
const FORMAT: u32 = 1;
const RECORD: &str = "run.json";
const LOCK: &str = "run.lock";

/// What `run.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The experiment's name.
    pub experiment: String,
    /// Version of heirloom that last wrote here.
    pub version: String,
}

/// The folder of one run. An artifact lives at `STAGE/NAME-KEY/`, where KEY is the start of a hash over
/// everything that went in: when it exists, the stage need not run again.
///
/// One process at a time: `run.lock` is locked as long as this lives, and the system unlocks it when the process
/// ends, however it ends. Who only reads locks nothing.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Nothing where the run is only read.
    lock: Option<File>,
}

impl RunFolder {
    /// Whether `path` may be this run's: its own, or a folder with nothing of value in it.
    ///
    /// # Errors
    /// The folder holds another experiment's run, or files that are no run.
    pub fn may_open(path: &Path, record: &RunRecord) -> Result<()> {
        check(path, record)
    }

    /// Opens the run at `path`, or starts one in a new or empty folder.
    ///
    /// A start may be killed at any moment: what it leaves, which is the lock and partial files, can be started
    /// again. Partial files of the run and its stages are removed, for under the lock nobody writes them.
    ///
    /// # Errors
    /// The folder holds another experiment's run, or files that are no run, or another process has it open.
    pub fn open(path: &Path, record: &RunRecord) -> Result<Self> {
        // Looked at before anything is written there, and again once nobody else can write.
        check(path, record)?;
        std::fs::create_dir_all(path).map_err(Error::io("create", path))?;
        let lock = lock(path)?;
        check(path, record)?;
        clear(path)?;
        let file = path.join(RECORD);
        header::write_json(&file, KIND, FORMAT, record)?;
        Ok(Self { path: path.to_owned(), lock: Some(lock) })
    }

    /// The run that stands at `path`, to be read: nothing is written there, and nobody is kept out.
    ///
    /// # Errors
    /// The folder holds no run.
    pub fn read(path: &Path) -> Result<Self> {
        let _: RunRecord = header::read_json(&path.join(RECORD), KIND, FORMAT)?;
        Ok(Self { path: path.to_owned(), lock: None })
    }

    /// Ends a run whose outcome stands in its folder: removes `stage`, the lock and the record, in this order, so that
    /// who is killed in between leaves a run that can be opened and ended again.
    ///
    /// # Errors
    /// One of them cannot be removed.
    pub fn end(self, stage: &str) -> Result<()> {
        let marks = [stage, LOCK, RECORD].map(|name| self.path.join(name));
        marks.iter().filter(|path| path.exists()).try_for_each(|path| remove(path))
    }

    /// Whether the artifact at `path`, which is not there, may be made.
    ///
    /// # Errors
    /// The run is only read.
    pub fn may_make(&self, path: &Path) -> Result<()> {
        if self.lock.is_some() {
            return Ok(());
        }
        let artifact = path.strip_prefix(&self.path).unwrap_or(path).to_owned();
        Err(Error::NotMade { run: self.path.clone(), artifact })
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

/// Whether `path` may be this run's: its own, or a folder with nothing of value in it.
fn check(path: &Path, record: &RunRecord) -> Result<()> {
    let occupied = |holds| Err(Error::Occupied { path: path.into(), holds });
    let file = path.join(RECORD);
    match std::fs::read_to_string(&file) {
        Ok(json) => {
            let found: RunRecord = header::check(&json, KIND, FORMAT, &file)?;
            if found.experiment == record.experiment {
                return Ok(());
            }
            occupied(format!("holds a run of `{}`, not of `{}`", found.experiment, record.experiment))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let foreign = entries(path)?
                .iter()
                .any(|entry| entry.file_name().is_some_and(|name| name != LOCK && !is_partial(name)));
            if foreign { occupied("is a folder with files in it".into()) } else { Ok(()) }
        }
        Err(_) if path.is_file() => occupied("is a file, not a folder".into()),
        Err(error) => Err(Error::io("read", &file)(error)),
    }
}

/// Locks the run for this process.
#[expect(clippy::disallowed_methods, reason = "the lock's file is empty: there is no half of it")]
fn lock(path: &Path) -> Result<File> {
    let file = path.join(LOCK);
    let lock = File::options().create(true).append(true).open(&file).map_err(Error::io("create", &file))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::Running { path: path.into() }),
        Err(TryLockError::Error(source)) => Err(Error::io("lock", &file)(source)),
    }
}

/// What `heirloom steer` writes into a run, without its lock.
const STEER: &str = "steer";

/// Removes what killed processes left in the run and in its stages.
fn clear(path: &Path) -> Result<()> {
    for entry in entries(path)? {
        if entry.file_name().is_some_and(is_partial) {
            remove(&entry)?;
        } else if entry.is_dir() && entry.file_name().is_none_or(|name| name != STEER) {
            let partial =
                entries(&entry)?.into_iter().filter(|inner| inner.file_name().is_some_and(is_partial));
            partial.into_iter().try_for_each(|inner| remove(&inner))?;
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "only what heirloom itself left half written comes here")]
fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    removed.map_err(Error::io("remove", path))
}

/// What lies in a folder; nothing where there is none.
fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| Ok(entry.map_err(Error::io("read", path))?.path())).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_file;

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

    #[test]
    fn a_start_that_was_killed_can_be_started_again() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("run");
        // Killed after each of its steps: folder, lock, half of the record.
        for step in 1..=3 {
            std::fs::create_dir_all(&path).unwrap();
            if step > 1 {
                write_file(&path.join(LOCK), b"").unwrap();
            }
            if step > 2 {
                write_file(&path.join(".run.json.4242-0.partial"), b"{\"kin").unwrap();
            }
            drop(RunFolder::open(&path, &record("a")).unwrap());
            assert_eq!(entries(&path).unwrap().len(), 2, "the record and the lock");
            remove(&path).unwrap();
        }
        // Twin: beside anything else, the same leftovers do not make it a run.
        write_file(&path.join(".run.json.4242-0.partial"), b"{\"kin").unwrap();
        write_file(&path.join("notes.partial"), b"mine").unwrap();
        assert!(matches!(RunFolder::open(&path, &record("a")), Err(Error::Occupied { .. })));
        assert_eq!(entries(&path).unwrap().len(), 2);
    }

    #[test]
    fn leftovers_in_stages_are_cleared_and_artifacts_are_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let run = RunFolder::open(scratch.path(), &record("a")).unwrap();
        let whole = run.artifact("capture", "pairs", "0123");
        let half = scratch.path().join("capture/.topic-4567.4242-0.partial");
        write_file(&whole.join("rows.jsonl"), b"{}").unwrap();
        write_file(&half.join("rows.jsonl"), b"{").unwrap();
        drop(run);
        RunFolder::open(scratch.path(), &record("a")).unwrap();
        assert!(whole.join("rows.jsonl").exists() && !half.exists());
    }

    #[test]
    fn a_run_that_is_read_is_left_as_it_is() {
        let scratch = tempfile::tempdir().unwrap();
        assert!(RunFolder::read(scratch.path()).is_err());
        assert_eq!(entries(scratch.path()).unwrap().len(), 0);
        let path = scratch.path().join("run");
        let writer = RunFolder::open(&path, &record("a")).unwrap();
        let reader = RunFolder::read(&path).unwrap();
        let missing = reader.artifact("student", "full-s1", "0123456789ab");
        assert_eq!(writer.artifact("student", "full-s1", "0123456789ab"), missing);
        let message = reader.may_make(&missing).unwrap_err().to_string();
        assert!(message.ends_with("has no `student/full-s1-0123456789ab`"), "{message}");
        writer.may_make(&missing).unwrap();
    }

    #[test]
    fn one_process_at_a_time() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("run");
        let first = RunFolder::open(&path, &record("a")).unwrap();
        let error = RunFolder::open(&path, &record("a")).unwrap_err();
        assert_eq!(error.to_string(), format!("another heirloom is running in `{}`", path.display()));
        assert_eq!(error.hint().unwrap(), "wait for it, or choose another `--out`");
        drop(first);
        RunFolder::open(&path, &record("a")).unwrap();
    }
}
