//! What a session, a unit or a setting keeps from this process: each is tried.

use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, lstat, openat2};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::process::{PidfdFlags, Resource, WaitId, WaitIdOptions, pidfd_open, waitid};
use rustix::system::{sethostname, uname};

use super::{Finding, Grade, finding};
use crate::launch::cause;
use crate::launch::container::is_of_pidfs;
use crate::launch::record::is_machines_root;
use crate::node::place::plain;
use crate::sys::clone::{Cloned, clone3};
use crate::sys::exec::leave;

/// Namespaces of a launch (namespaces(7)).
const NEW: i32 =
    libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;

/// What is done in new namespaces, and what it is called.
type Step = (&'static str, fn() -> rustix::io::Result<()>);

/// What a launch does there first.
const STEPS: [Step; 2] = [("host name", set_name), ("copying mounts", copy_mounts)];

fn set_name() -> rustix::io::Result<()> {
    sethostname(uname().nodename().to_bytes())
}

fn copy_mounts() -> rustix::io::Result<()> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, "/", flags).map(drop)
}

/// Takes a step in a process with new namespaces.
///
/// # Errors
/// Why not, in words.
fn attempt(flags: i32, (name, step): Step) -> Result<(), String> {
    let told = |what: &str, errno| Err(format!("{what}: {}", plain(errno)));
    let pidfd = match clone3(u64::try_from(flags).unwrap_or(0), None) {
        Ok(Cloned::Child(_)) => leave(step().err().map_or(0, Errno::raw_os_error)),
        Ok(Cloned::Parent { pidfd, .. }) => pidfd,
        Err(error) => return told("new namespaces", Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    };
    let end = loop {
        match waitid(WaitId::PidFd(std::os::fd::AsFd::as_fd(&pidfd)), WaitIdOptions::EXITED) {
            Err(Errno::INTR) | Ok(None) => {}
            Err(errno) => return told("waiting for a process", errno),
            Ok(Some(end)) => break end,
        }
    };
    match (end.exit_status(), end.terminating_signal()) {
        (Some(0), _) => Ok(()),
        (Some(errno), _) => told(name, Errno::from_raw_os_error(errno)),
        (None, Some(libc::SIGSYS)) => Err(format!("{name}: ended by SIGSYS, of a system call filter")),
        (None, signal) => Err(format!("{name}: ended by signal {}", signal.unwrap_or(0))),
    }
}

/// Namespaces as a launch of this user makes them.
pub(super) fn namespaces() -> Finding {
    let about = "namespaces";
    let flags = if is_machines_root() { NEW } else { NEW | libc::CLONE_NEWUSER };
    match STEPS.into_iter().try_for_each(|step| attempt(flags, step)) {
        Ok(()) => finding(about, Grade::Good, "as a launch makes them", None),
        Err(why) => {
            let fix = cause::of(&why);
            finding(about, Grade::Bad, format!("nothing starts here: {why}"), fix.as_deref())
        }
    }
}

/// User namespaces, of ordinary users and of the box that commands of nodes run in.
pub(super) fn user_namespaces() -> Finding {
    let about = "user namespaces";
    match attempt(NEW | libc::CLONE_NEWUSER, STEPS[0]) {
        Ok(()) if !is_machines_root() => finding(about, Grade::Good, "this user may make them", None),
        Ok(()) => match restricted() {
            Some((text, fix)) => finding(about, Grade::Poor, text, Some(fix)),
            None => finding(about, Grade::Good, "everybody may make them", None),
        },
        Err(why) => {
            let grade = if is_machines_root() { Grade::Poor } else { Grade::Bad };
            let text = format!("none can be made, so no `$(...)` or Execfd of a node runs: {why}");
            finding(about, grade, text, cause::of(&why).as_deref())
        }
    }
}

/// What keeps ordinary users from what root may.
fn restricted() -> Option<(&'static str, &'static str)> {
    let is = |path: &str, value: &str| super::read(path).is_some_and(|text| text == value);
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return Some(("only root may make them", "sysctl kernel.unprivileged_userns_clone=1"));
    }
    is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1").then_some((
        "AppArmor keeps ordinary users from them",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a profile for red-runtime",
    ))
}

/// System calls that a filter may deny.
pub(super) fn system_calls() -> Finding {
    let about = "system calls";
    let opened =
        openat2(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::NO_MAGICLINKS);
    match opened {
        Ok(_) => finding(about, Grade::Good, "openat2(2) is allowed", None),
        Err(errno) => {
            let why = format!("openat2(2): {}", plain(errno));
            finding(about, Grade::Bad, format!("no node can be read: {why}"), cause::of(&why).as_deref())
        }
    }
}

/// Whether processes of others are seen.
pub(super) fn hidden_processes() -> Finding {
    let about = "processes";
    if Path::new("/proc/1/stat").exists() {
        return finding(about, Grade::Good, "all are seen in /proc", None);
    }
    let told = pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).is_ok_and(|own| is_of_pidfs(&own));
    if told {
        let text = "/proc hides those of others (hidepid=); containers are told by their pidfds";
        return finding(about, Grade::Good, text, None);
    }
    finding(
        about,
        Grade::Poor,
        "/proc hides those of others (hidepid=): --detach does not work",
        Some("start a kernel of 6.9 or later, or mount /proc without hidepid="),
    )
}

/// Limits of this process that a launch reaches.
pub(super) fn limits() -> Finding {
    let about = "limits";
    for (of, least, text, fix) in [
        (Resource::Nofile, 64, "open files", "ulimit -n 1024, or LimitNOFILE= of the unit"),
        (Resource::Fsize, 1 << 20, "bytes a file", "ulimit -f unlimited, or LimitFSIZE= of the unit"),
    ] {
        let current = crate::sys::limit(of).ok().and_then(|limit| limit.current);
        if let Some(current) = current.filter(|current| *current < least) {
            let text = format!("{current} {text}: too few for a launch");
            return finding(about, Grade::Poor, text, Some(fix));
        }
    }
    finding(about, Grade::Good, "open files and sizes suffice", None)
}

/// A runtime directory that is not this user's.
pub(super) fn runtime_directory() -> Option<Finding> {
    let given =
        std::env::var_os("XDG_RUNTIME_DIR").filter(|given| !given.is_empty() && !is_machines_root())?;
    let own = rustix::process::geteuid().as_raw();
    if lstat(&*given).is_ok_and(|stat| stat.st_uid == own) {
        return None;
    }
    let text = format!("XDG_RUNTIME_DIR is {}, which is not this user's, and is not used", given.display());
    let fix = "unset it, or log in as this user: `su -`, `machinectl shell`";
    Some(finding("runtime directory", Grade::Poor, text, Some(fix)))
}
