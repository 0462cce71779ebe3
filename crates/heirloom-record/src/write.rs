//! The only functions that write files: to a temporary sibling first, then renamed.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Writes `contents` to `path` so that a reader sees the old file or the new one, never a part.
///
/// # Errors
/// Names the path; the temporary sibling is removed.
pub fn write_file(path: &Path, contents: &[u8]) -> Result<()> {
    let temporary = sibling(path);
    let written = create(&temporary)
        .and_then(|mut file| {
            file.write_all(contents).map_err(Error::io("write", path))?;
            file.sync_all().map_err(Error::io("write", path))
        })
        .and_then(|()| std::fs::rename(&temporary, path).map_err(Error::io("write", path)));
    if written.is_err() {
        // The error at hand matters more than one from cleaning up.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// A folder that appears whole under its name or not at all.
///
/// Files are written into a temporary sibling, which [`NewFolder::commit`] renames; dropped before that, it is
/// removed.
#[derive(Debug)]
pub struct NewFolder {
    temporary: PathBuf,
    path: PathBuf,
}

impl NewFolder {
    /// Starts the folder that will be `path`.
    ///
    /// # Errors
    /// Something that is not an empty folder stands at `path`, or the parent cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        refuse_occupied(path)?;
        let temporary = sibling(path);
        // Left over from a process that was killed: nobody else writes under this name.
        if temporary.exists() {
            std::fs::remove_dir_all(&temporary).map_err(Error::io("remove", &temporary))?;
        }
        std::fs::create_dir_all(&temporary).map_err(Error::io("create", &temporary))?;
        Ok(Self { temporary, path: path.to_owned() })
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

fn sibling(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.partial"))
}

#[expect(clippy::disallowed_methods, reason = "the one place that opens a file for writing")]
fn create(path: &Path) -> Result<File> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    }
    File::create(path).map_err(Error::io("create", path))
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
}
