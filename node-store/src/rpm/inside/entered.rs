//! The first stage: in namespaces of its own, with the host's root around it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

use super::rooted::Rooted;
use super::said;
use crate::rpm::view::{self, Scaffold};
use crate::rpm::{Job, enter};

/// A process in its namespaces.
pub(in crate::rpm) struct Entered {
    job: Job,
}

impl Entered {
    /// Ends with its parent, and is nobody's to look into.
    pub(in crate::rpm) fn begin(job: Job) -> Result<Self, String> {
        enter::die_with_parent().map_err(|error| error.to_string())?;
        // Scriptlets have the same user, and see this process in /proc (PR_SET_DUMPABLE(2const)).
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(said("hiding from scriptlets"))?;
        red_runtime::confine::leave_keyring().map_err(said("a session keyring"))?;
        limit().map_err(said("resource limits"))?;
        Ok(Self { job })
    }

    pub(in crate::rpm) fn job(&self) -> &Job {
        &self.job
    }

    /// Mounts the view for packages with these paths, and makes it the root. Returns what was put into the
    /// staging area for that.
    pub(in crate::rpm) fn assemble(self, files: &BTreeSet<PathBuf>) -> Result<(Rooted, Scaffold), String> {
        let scaffold = view::enter(&self.job, files).map_err(|error| format!("the install view: {error}"))?;
        Ok((Rooted::new(self.job), scaffold))
    }
}

fn limit() -> rustix::io::Result<()> {
    // Every package file stays open. The soft limit is usually far below the hard one; with the old one
    // small transactions still work, and large ones say what is missing.
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum }).unwrap_or(());
    // A crash is written nowhere, and given to no program of the host either: 1 is the one value that
    // keeps a pipe in core_pattern from being fed (core(5), fs/coredump.c).
    let none = Some(getrlimit(Resource::Core).maximum.unwrap_or(1).min(1));
    setrlimit(Resource::Core, Rlimit { current: none, maximum: none })?;
    // No file is longer than one that a package may have; a hole can make one longer than any disk.
    let most = |most: u64, of: Resource| Some(getrlimit(of).maximum.map_or(most, |known| known.min(most)));
    let length = most(crate::rpm::check::FILE_BYTES, Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: length, maximum: length })?;
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    // Before, all processes of the user count, wherever they are (user_namespaces(7)); the kernel does not
    // count those of the machine's root at all.
    if view::has_one_id() && is_since(&release, (5, 14)) {
        let crowd = most(crate::rpm::watchdog::PROCESSES as u64 * 2, Resource::Nproc);
        setrlimit(Resource::Nproc, Rlimit { current: crowd, maximum: crowd })?;
    }
    limit_processes(&release);
    Ok(())
}

/// From Linux 6.14 on each pid namespace has a limit of its own; before, the file is the machine's. What
/// is missing here the process outside does by counting (`watchdog`).
fn limit_processes(release: &str) {
    if is_since(release, (6, 14)) {
        // In containers it may not be writable.
        let most = (crate::rpm::watchdog::PROCESSES * 2).to_string();
        std::fs::write("/proc/sys/kernel/pid_max", most).unwrap_or(());
    }
}

/// Whether a kernel is of a version or a later one.
fn is_since(release: &str, version: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= version,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_since;

    #[test]
    fn the_machines_own_limit_is_never_written() {
        for (release, wanted) in [
            ("6.14.0-rc1", true),
            ("6.18.44-fc-v657", true),
            ("7.0", true),
            ("6.13.12", false),
            ("6.1.0-21-amd64", false),
            ("5.14.0-503.el9", false),
            ("x", false),
            ("", false),
        ] {
            assert_eq!(is_since(release, (6, 14)), wanted, "{release}");
        }
    }
}
