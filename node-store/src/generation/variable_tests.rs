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

/// A file that loses one of its names has changed, by the transaction itself.
#[test]
fn names_of_one_file_go_and_change_together() {
    let scratch = tempfile::tempdir().unwrap();
    let (store, stage, lib, upper) = begin(&scratch, &["rest/first", "pair", "next", "mixed/first"]);
    for (first, second) in
        [("rest/first", "rest/second"), ("pair", "pair2"), ("next", "next2"), ("mixed/first", "mixed/second")]
    {
        fs::hard_link(lib.join(first), lib.join(second)).unwrap();
    }
    std::thread::sleep(Duration::from_millis(50));
    let stage = {
        drop(stage);
        fs::remove_dir_all(store.red("stage")).unwrap();
        store.stage(1).unwrap()
    };
    for name in [c"rest", c"pair", c"pair2", c"mixed"] {
        mark(&open(&upper), &upper, name).unwrap();
    }
    for name in ["next", "next2"] {
        write(upper.join(name), "new");
    }
    write(lib.join("mixed/meanwhile"), "mine");
    let told = told(&store, &stage);
    let wanted = ["mixed/", "mixed/meanwhile=mine", "next2=new", "next=new"];
    assert_eq!(files(&lib)[..4], wanted, "{told:?}");
    assert_eq!(files(&lib).len(), 5);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("mixed/meanwhile: not part of the new generation"), "{told:?}");
}

/// What was killed in the middle of a removal is completed by the next command, whatever times it has made.
#[test]
fn a_removal_that_was_killed_is_completed() {
    let scratch = tempfile::tempdir().unwrap();
    let (store, stage, lib, upper) = begin(&scratch, &["kept"]);
    write(upper.join("mine"), "mine");
    store.complete(&stage, &[]).unwrap();
    store.publish(&stage).unwrap();
    // As a command leaves it: half of it removed just now.
    write(lib.join(".red-removing/sub/f"), "old");
    let times = fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
    fs::File::options().write(true).open(lib.join(".red-removing/sub/f")).unwrap().set_times(times).unwrap();
    let told = store.switch(1).unwrap();
    assert!(told.is_empty() && !lib.join(".red-removing").exists(), "{told:?}");
    // And what somebody wrote there after all.
    let stage = store.stage(2).unwrap();
    write(stage.upper.join("var/lib/more"), "more");
    store.complete(&stage, &[]).unwrap();
    store.publish(&stage).unwrap();
    write(lib.join(".red-removing/sub/g"), "new");
    let told = store.switch(2).unwrap();
    assert!(told.len() == 1 && told[0].contains("removed.rpmsave: not part"), "{told:?}");
    assert_eq!(files(&lib.join("removed.rpmsave")), ["sub/", "sub/g=new"]);
}

/// rename(2) leaves what is in a directory that is moved as old as it was.
#[test]
fn what_was_moved_meanwhile_into_what_is_removed_stays() {
    let scratch = tempfile::tempdir().unwrap();
    let data = ["gone/f", "gone/sub/g", "mine/old", "mine/deep/old", "whole/f"];
    let (store, stage, lib, upper) = begin(&scratch, &data);
    for name in [c"gone", c"mine"] {
        mark(&open(&upper), &upper, name).unwrap();
    }
    fs::rename(lib.join("whole"), lib.join("gone/whole")).unwrap();
    fs::rename(lib.join("mine"), lib.join("gone/sub/mine")).unwrap();
    fs::write(lib.join("gone/sub/mine/new"), "new").unwrap();
    apply(&store, &stage);
    let wanted = [
        "sub/",
        "sub/mine/",
        "sub/mine/deep/",
        "sub/mine/deep/old=old",
        "sub/mine/new=new",
        "sub/mine/old=old",
        "whole/",
        "whole/f=old",
    ];
    let found = files(&lib.join("gone"));
    // What stood beside it may stay, for a name of the directory came there meanwhile.
    assert!(wanted.iter().all(|name| found.iter().any(|there| there == name)), "{found:?}");
}

#[test]
fn a_time_that_was_set_back_hides_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let (store, stage, lib, upper) = begin(&scratch, &["gone/f", "whole/f"]);
    mark(&open(&upper), &upper, c"gone").unwrap();
    let before = fs::metadata(lib.join("gone")).unwrap().modified().unwrap();
    fs::rename(lib.join("whole"), lib.join("gone/whole")).unwrap();
    fs::File::open(lib.join("gone")).unwrap().set_modified(before).unwrap();
    apply(&store, &stage);
    let found = files(&lib.join("gone"));
    assert!(found.iter().any(|file| file == "whole/f=old"), "{found:?}");
}

#[test]
fn to_ask_for_the_time_is_no_change() {
    let (here, there) = (tempfile::tempdir_in("/dev/shm").unwrap(), tempfile::tempdir().unwrap());
    std::thread::sleep(Duration::from_millis(50));
    write(here.path().join("begun"), "");
    let begun = statat(open(here.path()), c"begun", AtFlags::empty()).unwrap();
    let clocks = Clocks::new(&open(here.path()), (begun.st_mtime, begun.st_mtime_nsec)).unwrap();
    let mut apply = Apply::new(PathBuf::new(), clocks);
    let found = apply.look_at((&open(there.path()), there.path())).unwrap();
    assert!(!found.changed && apply.told.is_empty());
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

/// A command that was killed is done again, and what it moved there is not taken for a part of the old directory.
#[test]
fn a_directory_that_was_made_anew_is_emptied_once() {
    let scratch = tempfile::tempdir().unwrap();
    let (from, into) = (scratch.path().join("from"), scratch.path().join("into"));
    write(into.join("old"), "old");
    std::thread::sleep(Duration::from_millis(50));
    write(from.join("new/f"), "new");
    mark(&open(&from), &from, OPAQUE).unwrap();
    let begun = statat(open(&from), c"new", AtFlags::empty()).unwrap();
    let clocks = Clocks::new(&open(&from), (begun.st_mtime, begun.st_mtime_nsec)).unwrap();
    let mut apply = Apply::new(PathBuf::new(), clocks);
    for _ in 0..2 {
        apply.move_into((&open(&from), &from), (&open(&into), &into)).unwrap();
        assert_eq!(files(&into), ["new/", "new/f=new"]);
        assert!(apply.told.is_empty(), "{:?}", apply.told);
    }
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
        rustix::fs::mknodat(open(dir), name, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .unwrap();
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

#[test]
fn data_that_changed_meanwhile_stay_beside_what_the_transaction_made_of_them() {
    let scratch = tempfile::tempdir().unwrap();
    let (store, stage, lib, upper) = begin(&scratch, &["same", "lives", "idle", "log"]);
    for (name, text) in [("same", "old"), ("lives", "old"), ("idle", "new"), ("log", "old")] {
        write(upper.join(name), text);
    }
    write(lib.join("lives"), "now");
    write(lib.join("log"), "old and more");
    write(lib.join("log.rpmnew"), "taken");
    fs::set_permissions(lib.join("same"), fs::Permissions::from_mode(0o600)).unwrap();
    let told = told(&store, &stage);
    let wanted = ["idle=new", "lives.rpmnew=old", "lives=now", "log.rpmnew.1=old", "log.rpmnew=taken"];
    assert_eq!(files(&lib)[..5], wanted);
    assert_eq!(files(&lib)[5..7], ["log=old and more", "rpm="], "{told:?}");
    assert_eq!(fs::read_to_string(lib.join("same")).unwrap(), "old");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().any(|line| line.contains("lives changed meanwhile and stays")), "{told:?}");
}

fn told(store: &Store, stage: &Stage) -> Vec<String> {
    store.complete(stage, &[]).unwrap();
    store.publish(stage).unwrap();
    store.switch(1).unwrap()
}

#[test]
fn the_link_to_the_database_is_no_scriptlets() {
    let scratch = tempfile::tempdir().unwrap();
    let (store, stage, lib, upper) = begin(&scratch, &["old"]);
    mark(&open(&upper), &upper, OPAQUE).unwrap();
    fs::remove_file(lib.join("rpm")).unwrap();
    assert_eq!(told(&store, &stage), Vec::<String>::new());
    assert!(!lib.join("old").exists() && lib.join("rpm").is_dir());
    let stage = store.stage(2).unwrap();
    mark(&open(&stage.upper.join("var/lib")), &stage.upper, OPAQUE).unwrap();
    store.complete(&stage, &[]).unwrap();
    store.publish(&stage).unwrap();
    store.switch(2).unwrap();
    assert!(lib.join("rpm").is_dir());
}

#[test]
fn once_the_clock_was_set_back_nothing_is_removed() {
    let scratch = tempfile::tempdir().unwrap();
    let (store, mut stage, lib, upper) = begin(&scratch, &["gone", "changed"]);
    mark(&open(&upper), &upper, c"gone").unwrap();
    write(upper.join("changed"), "new");
    stage.begun.tv_sec += 10_000;
    let told = told(&store, &stage);
    assert!(told[0].contains("the clock was set back"), "{told:?}");
    assert_eq!(files(&lib)[..3], ["changed.rpmnew=new", "changed=old", "gone=old"]);
}

#[test]
fn what_cannot_be_moved_is_kept_and_blocks_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let (store, stage, lib, upper) = begin(&scratch, &["busy/old", "longest/old"]);
    write(upper.join("busy"), "file");
    write(lib.join("busy/meanwhile"), "new");
    write(lib.join("busy.rpmorig"), "taken");
    // No name with something at its end is possible beside it.
    let long = "n".repeat(255);
    write(lib.join(&long).join("meanwhile"), "new");
    write(upper.join(&long), "file");
    write(upper.join("moved"), "file");
    let told = told(&store, &stage);
    assert_eq!(fs::read_to_string(lib.join("busy")).unwrap(), "file");
    // Names came to the directory above, and one of them may be this directory's.
    assert_eq!(files(&lib.join("busy.rpmorig.1")), ["meanwhile=new", "old=old"]);
    assert!(lib.join("moved").exists() && lib.join(&long).join("meanwhile").exists());
    let kept = store.red("kept/1");
    assert_eq!(files(&kept), ["lib/".to_owned(), format!("lib/{long}=file")]);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().any(|line| line.contains("busy changed meanwhile and is")), "{told:?}");
    assert!(told[2].contains(&kept.display().to_string()), "{told:?}");
    assert!(!store.needs_sweep());
    assert_eq!(store.sweep().unwrap(), Vec::<String>::new(), "it is told once");
    fs::create_dir(store.red("kept/1.1")).unwrap();
    assert!(store.forget_kept().unwrap().is_empty() && kept.exists());
    store.point(0).unwrap();
    store.discard(1).unwrap();
    assert_eq!(store.forget_kept().unwrap().into_iter().collect::<Vec<_>>(), [1]);
    assert_eq!(fs::read_dir(store.red("kept")).unwrap().count(), 0);
}

#[test]
fn a_copy_to_another_file_system_is_whole() {
    let scratch = tempfile::tempdir().unwrap();
    let (from, into) = (scratch.path().join("from"), scratch.path().join("into"));
    write(from.join("f"), "new");
    write(into.join("f"), "old");
    // Left by a command that was killed.
    write(into.join(ASIDE).join("f"), "ha");
    std::os::unix::fs::symlink("f", from.join("l")).unwrap();
    let (old, new) = (open(&from), open(&into));
    for name in [c"f", c"l"] {
        let stat = statat(&old, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        across(((&old, &from), name, &stat), ((&new, &into), name)).unwrap();
    }
    assert_eq!(files(&into), ["f=new", "l=new"]);
    assert_eq!(files(&from), Vec::<String>::new());
}
