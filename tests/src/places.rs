//! Machines that are laid out in other ways than this one, each for one thread.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};

use crate::call::{built, run};
use crate::pool::Pool;
use crate::store::Ground;

/// Mounts an overlay whose upper directory is in memory.
///
/// # Panics
/// The caller may not.
pub fn overlay(lower: &str, point: &str) {
    let area = tempfile::tempdir_in("/dev/shm").expect("memory").keep();
    mount("red-test", &area, "tmpfs", MountFlags::empty(), None).expect("a tmpfs");
    let (upper, work) = (area.join("upper"), area.join("work"));
    fs::create_dir(&upper).expect("there is room");
    fs::create_dir(&work).expect("there is room");
    let options =
        format!("lowerdir={lower},upperdir={},workdir={},index=off", upper.display(), work.display());
    let options = std::ffi::CString::new(options).expect("no NUL");
    mount("red-test", point, "overlay", MountFlags::empty(), Some(options.as_c_str())).expect("an overlay");
    // The overlay keeps what it is made of.
    unmount(&area, UnmountFlags::DETACH).expect("it is mounted");
    fs::remove_dir(&area).expect("it is empty");
}

/// A root for this thread, with directories of its own where layouts put things. Programs, packages and
/// the test are the machine's.
///
/// # Panics
/// The caller may not.
pub fn private_root(ground: &Ground, own: bool) {
    private_root_below(&ground.pool, own);
}

/// The same, made in a directory of a test.
///
/// # Panics
/// The caller may not.
pub fn private_root_below(pool: &Pool, own: bool) {
    unshare(CloneFlags::CLONE_NEWNS).expect("root may");
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).expect("root may");
    if !own {
        return;
    }
    let root = tempfile::tempdir_in(pool.path()).expect("there is room").keep();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).expect("it is ours");
    for dir in ["var/lib", "var/log", "var/cache", "opt", "srv", "home", "boot", "mnt", "run", "root"] {
        fs::create_dir_all(root.join(dir)).expect("there is room");
    }
    // Lock files of accounts come and go.
    let copy = "mkdir etc; tar --exclude='*.lock' -C /etc -cf - . | tar -C etc -xf -";
    run(Command::new("bash").args(["-c", copy]).current_dir(&root)).good();
    for link in ["bin", "sbin", "lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{link}"), root.join(link)).expect("there is room");
    }
    mount_bind(&root, &root).expect("root may");
    let target = built("red-runtime");
    let mut places = vec!["/usr", "/tmp", "/dev", "/proc", "/sys"];
    places.push(target.parent().and_then(Path::to_str).expect("a directory"));
    for place in places {
        let point = root.join(place.trim_start_matches('/'));
        fs::create_dir_all(&point).expect("there is room");
        rustix::mount::mount_bind_recursive(place, &point).expect("root may");
    }
    enter_root(root.to_str().expect("a name"));
}

/// Makes a mount the root of this thread.
///
/// # Panics
/// The caller may not.
pub fn enter_root(root: &str) {
    rustix::process::chdir(root).expect("it is mounted");
    rustix::process::pivot_root(".", ".").expect("a mount point");
    unmount(".", UnmountFlags::DETACH).expect("the old root");
    rustix::process::chdir("/").expect("a root");
}
