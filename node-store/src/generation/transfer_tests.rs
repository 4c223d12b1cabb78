use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use rustix::fs::{Mode, openat};

use super::super::tree::{How, take_over};
use super::*;

fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, DIRECTORY, Mode::empty()).unwrap()
}

#[test]
fn a_tree_comes_over_with_its_links_and_modes() {
    let scratch = tempfile::tempdir().unwrap();
    let (from, into) = (scratch.path().join("from"), scratch.path().join("into"));
    fs::create_dir_all(from.join("a/b")).unwrap();
    fs::create_dir(&into).unwrap();
    fs::write(from.join("a/one"), "text").unwrap();
    fs::hard_link(from.join("a/one"), from.join("a/b/two")).unwrap();
    fs::set_permissions(from.join("a/one"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(from.join("a/b"), fs::Permissions::from_mode(0o710)).unwrap();
    std::os::unix::fs::symlink("nowhere", from.join("link")).unwrap();
    transfer((&open(&from), &from), (&open(&into), &into)).unwrap();
    let (one, two) = (fs::metadata(into.join("a/one")).unwrap(), fs::metadata(into.join("a/b/two")).unwrap());
    assert_eq!((one.ino(), one.mode() & 0o777), (two.ino(), 0o640), "still one file");
    assert_eq!(fs::metadata(into.join("a/b")).unwrap().mode() & 0o777, 0o710);
    assert_eq!(fs::read_link(into.join("link")).unwrap(), Path::new("nowhere"));
    let no_text = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff");
    fs::write(into.join(no_text), "x").unwrap();
    clear(&open(&into), &into).unwrap();
    assert_eq!(fs::read_dir(&into).unwrap().count(), 0);
}

#[test]
fn what_was_removed_stays_so_on_every_file_system() {
    let scratch = tempfile::tempdir().unwrap();
    let (old, new) = (scratch.path().join("old"), scratch.path().join("new"));
    for file in ["gone", "kept", "dir/a", "opaque/a"] {
        fs::create_dir_all(old.join(file).parent().unwrap()).unwrap();
        fs::write(old.join(file), file).unwrap();
    }
    fs::create_dir_all(new.join("opaque")).unwrap();
    fs::write(new.join("written"), "x").unwrap();
    assert!(mark(&open(&new), &new, c"written").is_err(), "what is there would not be removed");
    fs::remove_file(new.join("written")).unwrap();
    mark(&open(&new), &new, c"gone").unwrap();
    mark(&open(&new), &new, c"dir").unwrap();
    mark(&openat(open(&new), "opaque", DIRECTORY, Mode::empty()).unwrap(), &new, OPAQUE).unwrap();
    assert!(fs::symlink_metadata(new.join("gone")).unwrap().file_type().is_fifo());
    take_over((&open(&old), &old), (&open(&new), &new), How::Link).unwrap();
    let names = |dir: &Path| {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&new), ["kept", "opaque"]);
    assert!(names(&new.join("opaque")).is_empty(), "nothing comes through, and the mark is gone");
}

#[test]
fn directories_keep_their_attributes() {
    use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};
    let scratch = tempfile::tempdir().unwrap();
    let (from, into) = (scratch.path().join("from"), scratch.path().join("into"));
    fs::create_dir_all(from.join("a")).unwrap();
    fs::create_dir(&into).unwrap();
    // Entries of the owner, a user, the group, a mask and others (acl(5); linux/posix_acl_xattr.h).
    let entry = |tag: u16, mode: u16, id: u32| {
        [&tag.to_le_bytes()[..], &mode.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let none = u32::MAX;
    let entries =
        [entry(1, 7, none), entry(2, 5, 0), entry(4, 5, none), entry(0x10, 5, none), entry(0x20, 0, none)];
    let list = [&2_u32.to_le_bytes()[..], &entries.concat()].concat();
    let (user, acl) = ("user.label", "system.posix_acl_default");
    for (name, value) in [(user, &b"mine"[..]), (acl, &list[..])] {
        fsetxattr(open(&from.join("a")), name, value, XattrFlags::empty()).unwrap();
    }
    transfer((&open(&from), &from), (&open(&into), &into)).unwrap();
    let mut found = [0; 256];
    let mut read = |name: &str| {
        let length = fgetxattr(open(&into.join("a")), name, &mut found[..]).unwrap();
        found[..length].to_vec()
    };
    assert_eq!((read(user), read(acl)), (b"mine".to_vec(), list));
}
