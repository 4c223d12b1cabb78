use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn created(node: &Path, below: &str) -> Created {
    Created { node: node.to_owned(), path: node.join(below).display().to_string(), export: 0, private: false }
}

#[test]
fn missing_directories_have_their_mode_and_links_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let node = fs::canonicalize(dir.path()).unwrap();
    fs::create_dir(node.join("kept")).unwrap();
    fs::set_permissions(node.join("kept"), fs::Permissions::from_mode(0o700)).unwrap();
    create(&created(&node, "kept/a/b")).unwrap();
    assert_eq!(mode(&node.join("kept")), 0o700, "one that is there stays as it is");
    assert_eq!(mode(&node.join("kept/a")) & 0o777, 0o775);
    assert_eq!(mode(&node.join("kept/a/b")) & 0o777, 0o775);
    let outside = tempfile::tempdir().unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o700)).unwrap();
    symlink(outside.path(), node.join("link")).unwrap();
    assert!(create(&created(&node, "link/x")).is_err());
    assert!(create(&created(&node, "link")).is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    assert_eq!(mode(outside.path()), 0o700);
}

/// Somebody exchanges the name for a link, again and again, while the directory is made: the mode of
/// what the link leads to must not change. It did, when the mode was given to the name.
#[test]
fn no_mode_is_given_to_what_a_link_leads_to() {
    let dir = tempfile::tempdir().unwrap();
    let node = fs::canonicalize(dir.path()).unwrap();
    let secret = tempfile::NamedTempFile::new().unwrap();
    let (name, link) = (node.join("sub"), node.join("link"));
    symlink(secret.path(), &link).unwrap();
    let done = AtomicBool::new(false);
    let mut made = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let at = rustix::fs::CWD;
            while !done.load(Ordering::Relaxed) {
                // Exchanges what was made with the link, and puts the link back.
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                if rustix::fs::renameat_with(at, &name, at, &link, flags).is_ok() {
                    std::hint::spin_loop();
                    rustix::fs::renameat_with(at, &name, at, &link, flags).unwrap_or(());
                }
                drop(fs::remove_dir(&name));
            }
        });
        for _ in 0..20_000 {
            made += usize::from(create(&created(&node, "sub")).is_ok());
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(fs::metadata(secret.path()).unwrap().mode() & 0o7777, 0o600);
    assert!(made > 0, "none was made, so nothing was shown");
}

/// The moment between making a directory and giving it its mode, with something else in its place.
#[test]
fn what_took_a_directorys_place_keeps_its_mode() {
    let dir = tempfile::tempdir().unwrap();
    let held = rustix::fs::open(dir.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let place = |name: &str, kind: fn(&Path)| {
        let path = dir.path().join(name);
        kind(&path);
        if !path.is_symlink() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        let result = fresh(&held, OsStr::new(name), mode_of(OsStr::new(name), false));
        (result.is_ok(), mode(&path) & 0o777)
    };
    assert_eq!(place("new", |path| fs::create_dir(path).unwrap()), (true, 0o775));
    let full = place("full", |path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("secret"), "").unwrap();
    });
    assert_eq!(full, (true, 0o700));
    assert_eq!(place("file", |path| fs::write(path, "").unwrap()), (false, 0o700));
    assert!(!place("link", |path| symlink("full", path).unwrap()).0);
    assert!(!place("dangling", |path| symlink("/nowhere", path).unwrap()).0);
    assert_eq!(mode(&dir.path().join("full")) & 0o777, 0o700);
}
