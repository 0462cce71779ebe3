//! The only functions that write files: to a temporary sibling first, then renamed.
//!
//! The sibling is called `.NAME.PID-N.partial` and is always made anew, so that two processes never share one and
//! what a killed process left is neither adopted nor in the way. Leftovers stay: whether their process lives
//! cannot be known on a shared disk. [`crate::RunFolder`] clears its own, under its lock.

#![expect(clippy::disallowed_methods, reason = "the one place that makes, renames and removes files")]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Writes `contents` to `path` so that a reader sees the old file or the new one, never a part.
///
/// # Errors
/// Names the path; the temporary sibling is removed.
pub fn write_file(path: &Path, contents: &[u8]) -> Result<()> {
    let path = &absolute(path)?;
    let (mut file, temporary) = create(path)?;
    let written = file
        .write_all(contents)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(Error::io("write", path));
    if written.is_err() {
        // The error at hand matters more than one from cleaning up.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// A folder that appears whole under its name or not at all.
///
/// Files are written into a temporary sibling, which [`NewFolder::commit`] renames; dropped before that, it is
/// removed. A parent that had to be made stays.
#[derive(Debug)]
pub struct NewFolder {
    temporary: PathBuf,
    path: PathBuf,
}

impl NewFolder {
    /// Starts the folder that will be `path`; `.` and a trailing slash are fine.
    ///
    /// # Errors
    /// Something that is not an empty folder stands at `path`, `path` ends in `..`, or the parent cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        let path = absolute(path)?;
        refuse_occupied(&path)?;
        make_parent(&path)?;
        let ((), temporary) = fresh(&path, |temporary| std::fs::create_dir(temporary))?;
        Ok(Self { temporary, path })
    }

    /// Where files are written until the folder is committed.
    pub fn work_path(&self) -> &Path {
        &self.temporary
    }

    /// Gives the folder its name.
    pub fn commit(self) -> Result<()> {
        refuse_occupied(&self.path)?;
        // Linux renames over an empty folder; other systems do not.
        if self.path.exists() {
            std::fs::remove_dir(&self.path).map_err(Error::io("replace", &self.path))?;
        }
        std::fs::rename(&self.temporary, &self.path).map_err(Error::io("create", &self.path))
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        // Gone already after a commit.
        let _ = std::fs::remove_dir_all(&self.temporary);
    }
}

/// Whether `name` is that of a temporary sibling.
pub(crate) fn is_partial(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b".") && name.ends_with(b".partial")
}

/// The path from the root with its last name at the end: a sibling of `.` or `run/` is a sibling indeed.
///
/// Links stay as given, since a rename replaces what the user named.
fn absolute(path: &Path) -> Result<PathBuf> {
    let whole = std::path::absolute(path).map_err(Error::io("find", path))?;
    let name = whole.file_name().ok_or_else(|| Error::Nameless { path: path.into() })?;
    Ok(whole.with_file_name(name))
}

fn refuse_occupied(path: &Path) -> Result<()> {
    match std::fs::read_dir(path) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => {
                Err(Error::Occupied { path: path.into(), holds: "is a folder with files in it".into() })
            }
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(_) if path.is_file() => {
            Err(Error::Occupied { path: path.into(), holds: "is a file, not a folder".into() })
        }
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// Makes a temporary sibling of `path` with `make`, which must refuse what exists.
fn fresh<T>(path: &Path, make: impl Fn(&Path) -> std::io::Result<T>) -> Result<(T, PathBuf)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let process = std::process::id();
    for n in 0_u64.. {
        let temporary = path.with_file_name(format!(".{name}.{process}-{n}.partial"));
        match make(&temporary) {
            Ok(made) => return Ok((made, temporary)),
            // Process ids come again, and come twice where machines share a disk.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("create", path)(error)),
        }
    }
    unreachable!("a folder does not hold 2^64 files")
}

fn create(path: &Path) -> Result<(File, PathBuf)> {
    make_parent(path)?;
    fresh(path, |temporary| File::create_new(temporary))
}

fn make_parent(path: &Path) -> Result<()> {
    path.parent()
        .map_or(Ok(()), |parent| std::fs::create_dir_all(parent).map_err(Error::io("create", parent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("deep/er/table.csv");
        write_file(&path, b"one").unwrap();
        write_file(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_full_disk_leaves_the_old_file_and_no_other() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("taken");
        std::fs::create_dir(&folder).unwrap();
        write_file(&folder.join("old"), b"old").unwrap();
        // A folder at the target makes the last step fail as a full disk would.
        assert!(write_file(&folder, b"new").is_err());
        assert_eq!(std::fs::read(folder.join("old")).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_appears_on_commit_only() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("run");
        let folder = NewFolder::create(&path).unwrap();
        write_file(&folder.work_path().join("a"), b"a").unwrap();
        drop(folder);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);

        let folder = NewFolder::create(&path).unwrap();
        write_file(&folder.work_path().join("a"), b"a").unwrap();
        folder.commit().unwrap();
        assert!(path.join("a").exists());
        assert!(matches!(NewFolder::create(&path), Err(Error::Occupied { .. })));
    }

    /// What a process that was killed has left beside `path`, under the very names this process uses.
    fn leave(path: &Path) -> [PathBuf; 2] {
        let name = path.file_name().unwrap().to_str().unwrap();
        let left = [0, 1].map(|n| path.with_file_name(format!(".{name}.{}-{n}.partial", std::process::id())));
        std::fs::create_dir_all(&left[0]).unwrap();
        write_file(&left[0].join("half"), b"ha").unwrap();
        write_file(&left[1], b"ha").unwrap();
        left
    }

    #[test]
    fn leftovers_of_a_killed_process_are_neither_adopted_nor_in_the_way() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("run");
        let left = leave(&path);
        let folder = NewFolder::create(&path).unwrap();
        assert_eq!(std::fs::read_dir(folder.work_path()).unwrap().count(), 0);
        folder.commit().unwrap();
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
        let file = scratch.path().join("table.csv");
        let left_beside = leave(&file);
        write_file(&file, b"whole").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"whole");
        for path in left.iter().chain(&left_beside) {
            assert!(path.exists() && is_partial(path.file_name().unwrap()), "{}", path.display());
        }
        assert!(!is_partial(OsStr::new("run")) && !is_partial(OsStr::new("notes.partial")));
    }

    #[test]
    fn two_writers_of_one_name_do_not_meet() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("run");
        let [first, second] = [1, 2].map(|_| NewFolder::create(&path).unwrap());
        assert_ne!(first.work_path(), second.work_path());
        write_file(&first.work_path().join("a"), b"a").unwrap();
        first.commit().unwrap();
        assert!(matches!(second.commit(), Err(Error::Occupied { .. })));
        assert!(path.join("a").exists());
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_trailing_slash_changes_nothing_and_no_name_is_an_error() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = NewFolder::create(&scratch.path().join("new/run/")).unwrap();
        assert_eq!(folder.work_path().parent(), Some(scratch.path().join("new").as_path()));
        drop(folder);
        // The parent stays, and nothing in it.
        assert_eq!(std::fs::read_dir(scratch.path().join("new")).unwrap().count(), 0);
        let nameless = scratch.path().join("new/..");
        for error in [NewFolder::create(&nameless).unwrap_err(), write_file(&nameless, b"").unwrap_err()] {
            assert!(error.to_string().ends_with("does not end in a name"), "{error}");
        }
    }
}
