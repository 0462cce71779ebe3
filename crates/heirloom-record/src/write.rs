//! The only functions that write files: to a temporary sibling first, then renamed.
//!
//! The sibling is called `.NAME.PID-N.partial` and is always made anew, so that two processes never share one and
//! what a killed process left is neither adopted nor in the way. Whether a process lives cannot be told by its id on
//! a shared disk, but whether it holds a lock can: a folder's writer locks `.NAME.PID-N.lock.partial` beside it, and
//! the next folder of that name clears those whose lock is free. Partial files, and folders without a lock, stay.
//! [`crate::RunFolder`] clears all of its own, under its lock.

#![expect(clippy::disallowed_methods, reason = "the one place that makes, renames and removes files")]

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
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
    /// Held while this lives; nothing where the disk knows no locks.
    lock: Option<Lock>,
}

/// A locked file beside a partial folder.
#[derive(Debug)]
struct Lock {
    file: PathBuf,
    _held: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Who finds it later without its folder has nothing to clear.
        let _ = std::fs::remove_file(&self.file);
    }
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
        clear(&path);
        // The folder comes after its lock: no one sees it unlocked.
        let (lock, temporary) = fresh(&path, |temporary| {
            let lock = lock(temporary)?;
            std::fs::create_dir(temporary).map(|()| lock)
        })?;
        Ok(Self { temporary, path, lock })
    }

    /// Where files are written until the folder is committed.
    pub fn work_path(&self) -> &Path {
        &self.temporary
    }

    /// Gives the folder its name.
    ///
    /// # Errors
    /// Something else has the name by now, or the folder cannot be renamed.
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
        // Last, so that nobody sees the folder unlocked.
        drop(self.lock.take());
    }
}

/// Locks a file beside `temporary`; nothing where the disk knows no locks.
///
/// # Errors
/// The lock is another's, which [`fresh`] takes for a name that is in use.
fn lock(temporary: &Path) -> std::io::Result<Option<Lock>> {
    let file = lock_of(temporary);
    let held = File::options().create(true).append(true).open(&file)?;
    match held.try_lock() {
        Ok(()) => Ok(Some(Lock { file, _held: held })),
        Err(TryLockError::WouldBlock) => Err(ErrorKind::AlreadyExists.into()),
        Err(TryLockError::Error(_)) => {
            let _ = std::fs::remove_file(&file);
            Ok(None)
        }
    }
}

/// `.NAME.PID-N.lock.partial` of `.NAME.PID-N.partial`.
fn lock_of(temporary: &Path) -> PathBuf {
    temporary.with_extension("lock.partial")
}

/// Removes what killed writers of `path` left: partial folders whose lock is there and free. What cannot be removed is
/// in nobody's way.
fn clear(path: &Path) {
    let name = format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let beside = path.parent().and_then(|parent| std::fs::read_dir(parent).ok());
    for entry in beside.into_iter().flatten().flatten() {
        let left = entry.file_name();
        let of_path = left.to_str().and_then(|left| left.strip_prefix(&name)?.strip_suffix(".partial"));
        // `PID-N` and nothing else: `.a.b.1-0.partial` is of `a.b`, not of `a`.
        let numbers = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let temporary = entry.path();
        let is_left = of_path.is_some_and(numbers) && lock_of(&temporary).is_file();
        if is_left && let Ok(Some(_held)) = lock(&temporary) {
            let _ = std::fs::remove_dir_all(&temporary);
        }
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
    fn the_next_folder_of_a_name_clears_what_a_killed_writer_left_and_nothing_that_is_written() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("run");
        let [mut killed, written] = [1, 2].map(|_| NewFolder::create(&path).unwrap());
        let other = NewFolder::create(&scratch.path().join("run.b")).unwrap();
        write_file(&killed.work_path().join("half"), b"ha").unwrap();
        let left = killed.work_path().to_owned();
        // The system frees a killed process's lock and leaves its files.
        let Lock { file, .. } = killed.lock.as_ref().unwrap();
        let file = file.clone();
        killed.lock = None;
        write_file(&file, b"").unwrap();
        std::mem::forget(killed);

        let next = NewFolder::create(&path).unwrap();
        assert!(!left.exists() && !file.exists());
        for living in [&written, &other, &next] {
            assert!(living.work_path().exists(), "{}", living.work_path().display());
        }
        drop((written, other, next));
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
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
