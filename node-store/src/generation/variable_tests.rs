use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::super::transfer::mark;
use super::*;

fn write(path: PathBuf, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, DIRECTORY, Mode::empty()).unwrap()
}

/// Files below a directory, sorted, with what is in them.
fn files(dir: &Path) -> Vec<String> {
    fn walk(top: &Path, dir: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let below = entry.path().strip_prefix(top).unwrap().display().to_string();
            if entry.file_type().unwrap().is_dir() {
                walk(top, &entry.path(), found);
                found.push(format!("{below}/"));
            } else {
                found.push(format!("{below}={}", fs::read_to_string(entry.path()).unwrap_or_default()));
            }
        }
    }
    let mut found = Vec::new();
    walk(dir, dir, &mut found);
    found.sort();
    found
}

/// A node with data, a stage that was begun after them, and the directories of both that scriptlets see.
fn begin(scratch: &tempfile::TempDir, data: &[&str]) -> (Store, Stage, PathBuf, PathBuf) {
    let node = scratch.path().canonicalize().unwrap();
    let (lib, store) = (node.join("var/lib"), Store::open(&node).unwrap());
    store.adopt(&std::collections::BTreeSet::new()).unwrap();
    data.iter().for_each(|below| write(lib.join(below), "old"));
    // The kernel's clock for files is a coarse one.
    std::thread::sleep(Duration::from_millis(50));
    let stage = store.stage(1).unwrap();
    let upper = stage.upper.join("var/lib");
    (store, stage, lib, upper)
}

fn apply(store: &Store, stage: &Stage) -> crate::generation::Left {
    let left = store.complete(stage, &[]).unwrap();
    store.publish(stage).unwrap();
    store.switch(1).unwrap();
    assert!(!store.generation(1).join(VARIABLE).exists());
    left
}

#[test]
fn what_was_removed_goes_and_what_came_meanwhile_stays() {
    let scratch = tempfile::tempdir().unwrap();
    let data = ["gone/f", "gone/sub/g", "lone", "half/old", "half/touched", "other/o"];
    let (store, stage, lib, upper) = begin(&scratch, &data);
    for name in [c"gone", c"lone", c"half", c"theirs"] {
        mark(&open(&upper), &upper, name).unwrap();
    }
    write(lib.join("half/new"), "new");
    fs::write(lib.join("half/touched"), "new").unwrap();
    write(upper.join("mine/x"), "mine");
    let left = apply(&store, &stage);
    assert_eq!(left.kept, [PathBuf::from("var/lib/theirs")], "it was never the node's");
    let wanted =
        ["half/", "half/new=new", "half/touched=new", "mine/", "mine/x=mine", "other/", "other/o=old"];
    assert_eq!(files(&lib).iter().filter(|name| !name.starts_with("rpm=")).collect::<Vec<_>>(), wanted);
}

#[test]
fn a_directory_that_was_made_anew_has_nothing_of_the_old_one() {
    let scratch = tempfile::tempdir().unwrap();
    let (store, stage, lib, upper) = begin(&scratch, &["again/old", "again/deep/old", "again/both"]);
    write(upper.join("again/both"), "new");
    mark(&open(&upper.join("again")), &upper, OPAQUE).unwrap();
    write(lib.join("again/meanwhile"), "new");
    apply(&store, &stage);
    assert_eq!(files(&lib.join("again")), ["both=new", "meanwhile=new"]);
}

#[test]
fn kinds_and_modes_change() {
    let scratch = tempfile::tempdir().unwrap();
    let (store, stage, lib, upper) =
        begin(&scratch, &["to-file/old", "to-dir", "busy/old", "closed/f", "same/f"]);
    write(upper.join("to-file"), "file");
    write(upper.join("to-dir/f"), "dir");
    write(upper.join("busy"), "file");
    write(lib.join("busy/meanwhile"), "new");
    for (name, mode) in [("closed", 0o711), ("same", 0o755)] {
        fs::create_dir(upper.join(name)).unwrap();
        fs::set_permissions(upper.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    apply(&store, &stage);
    assert_eq!(fs::read_to_string(lib.join("to-file")).unwrap(), "file");
    assert_eq!(files(&lib.join("to-dir")), ["f=dir"]);
    assert_eq!(fs::read_to_string(lib.join("busy")).unwrap(), "file");
    assert_eq!(files(&lib.join("busy.rpmorig")), ["meanwhile=new"], "nothing of anybody is lost");
    let mode = |name: &str| fs::metadata(lib.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("closed"), mode("same")), (0o711, 0o755));
}

#[test]
fn pipes_come_into_no_generation_and_odd_names_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let (store, stage, lib, upper) = begin(&scratch, &["data"]);
    let pipe = |dir: &Path, name: &str| {
        fs::create_dir_all(dir).unwrap();
        rustix::fs::mknodat(open(dir), name, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    };
    pipe(&stage.upper.join("usr/share"), "pipe");
    pipe(&upper, "pipe");
    let left = apply(&store, &stage);
    assert_eq!(left.dropped, [PathBuf::from("usr/share/pipe")]);
    assert!(!store.generation(1).join("usr/share/pipe").exists());
    assert!(fs::symlink_metadata(lib.join("pipe")).is_ok(), "data are data");
    let stage = store.stage(2).unwrap();
    std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o755)
        .create(stage.upper.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff")))
        .unwrap();
    let why = store.complete(&stage, &[]).unwrap_err().to_string();
    assert!(why.contains("its name is no text"), "{why}");
}
