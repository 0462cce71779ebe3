//! Paths without a folder, in a process whose working folder may change: one test, so that none runs beside it.

use heirloom_record::{NewFolder, write_file};
use std::path::Path;

#[test]
fn the_working_folder_and_bare_names_can_be_written() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().canonicalize().unwrap();
    let here = root.join("here");
    std::fs::create_dir(&here).unwrap();
    std::env::set_current_dir(&here).unwrap();

    let folder = NewFolder::create(Path::new(".")).unwrap();
    assert_eq!(folder.work_path().parent(), Some(root.as_path()));
    write_file(&folder.work_path().join("a"), b"a").unwrap();
    assert!(!here.join("a").exists());
    folder.commit().unwrap();
    assert!(here.join("a").exists());

    std::env::set_current_dir(&here).unwrap();
    assert!(NewFolder::create(Path::new(".")).is_err(), "it holds a file now");
    assert!(NewFolder::create(Path::new("..")).is_err(), "it has no name");
    write_file(Path::new("bare.csv"), b"b").unwrap();
    NewFolder::create(Path::new("bare")).unwrap().commit().unwrap();
    let mut names: Vec<_> =
        std::fs::read_dir(&here).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a", "bare", "bare.csv"]);
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 1);
    std::env::set_current_dir("/").unwrap();
}
