//! Keeps this program's own file out of the reach of containers (CVE-2019-5736).
//!
//! A process that enters a container runs this program there, and for a moment its file can be
//! reached through `/proc`. So the program first makes itself run from a mount of its file that is
//! read-only and attached nowhere. Nothing is copied.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Access, AtFlags, CWD, StatVfsMountFlags, accessat, statvfs};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::launch::error::LaunchError;
use crate::sys::exec::execve_of;
use crate::sys::mount_attr::{self, MountAttr, flag};

const SELF: &str = "/proc/self/exe";

/// Words of calls that enter a container that somebody else made, or make one for an engine.
const ENTERING: [&str; 3] = ["create", "exec", "enter"];

/// Whether a call needs the protection. Seen before the arguments are understood, so that nothing
/// is done twice: a word that means something else makes it careful for nothing.
pub(super) fn enters(wrap: bool, args: &[OsString]) -> bool {
    let word = |arg: &OsString, words: &[&str]| arg.to_str().is_some_and(|arg| words.contains(&arg));
    if wrap {
        // What red-wrap launches is protected inside (`launch::reaper`).
        return args.get(1).is_some_and(|arg| word(arg, &ENTERING));
    }
    let names_node = |arg: &OsString| {
        let option = arg.to_str().and_then(|arg| arg.split('=').next());
        matches!(option, Some("--redpath" | "--rpath" | "--rp" | "-r"))
    };
    let args = &args[1.min(args.len())..];
    // So is what `run` makes of a node; a bundle is run without naming one.
    args.iter().any(|arg| word(arg, &ENTERING))
        || (args.iter().any(|arg| word(arg, &["run"])) && !args.iter().any(names_node))
}

/// Runs this program again from where nobody can write to it, unless nobody can already.
///
/// # Errors
/// It cannot be done; then nothing should be started.
pub(super) fn seal() -> Result<(), LaunchError> {
    let failed = |what: &str, errno| LaunchError::Call {
        what: format!("protecting the runtime's own file: {what}"),
        errno,
    };
    // Somebody else's file that this user cannot write is out of reach from a container of this
    // user, too.
    let mine = accessat(CWD, SELF, Access::WRITE_OK, AtFlags::EACCESS);
    if matches!(mine, Err(Errno::ACCESS | Errno::ROFS)) || read_only()? {
        return Ok(());
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = match open_tree(CWD, SELF, flags) {
        Ok(tree) => tree,
        // An ordinary user who owns the file may change it anyway, container or not.
        Err(Errno::PERM) => return Ok(()),
        Err(errno) => return Err(failed("a mount of it", errno)),
    };
    let attr = MountAttr { set: flag::RDONLY | flag::NOSUID | flag::NODEV, ..MountAttr::default() };
    mount_attr::set(&tree, false, attr).map_err(|errno| failed("a read-only mount of it", errno))?;
    let args = texts(std::env::args_os());
    let env = texts(std::env::vars_os().map(|(mut key, value)| {
        key.push("=");
        key.push(value);
        key
    }));
    Err(failed("running from there", execve_of(&tree, &args, &env)))
}

fn texts(all: impl Iterator<Item = OsString>) -> Vec<CString> {
    // The kernel handed them over as such texts, so they are.
    all.filter_map(|text| CString::new(text.as_bytes()).ok()).collect()
}

/// Whether the program already runs from a read-only mount.
fn read_only() -> Result<bool, LaunchError> {
    let facts = statvfs(SELF).map_err(|errno| LaunchError::Call { what: SELF.to_owned(), errno })?;
    Ok(facts.f_flag.contains(StatVfsMountFlags::RDONLY))
}

#[cfg(test)]
mod tests {
    use super::enters;

    #[test]
    fn nothing_that_enters_is_missed() {
        let call = |words: &str| words.split(' ').map(Into::into).collect::<Vec<_>>();
        for (words, wanted) in [
            ("red-runtime --root x create -b y c", true),
            ("red-runtime run -b y c", true),
            ("red-runtime exec c true", true),
            ("red-runtime exec c run --redpath=/x", true),
            ("red-runtime run --redpath=/x -- true", false),
            ("red-runtime run -r /x exec", true),
            ("red-runtime state c", false),
        ] {
            assert_eq!(enters(false, &call(words)), wanted, "{words}");
        }
        assert!(enters(true, &call("red-wrap enter x")));
        assert!(!enters(true, &call("red-wrap --redpath=/x true")));
        assert!(!enters(false, &[]));
    }
}
