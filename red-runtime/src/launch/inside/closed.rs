//! The third stage: nothing of the host is open. Paths of the configuration are used from here on,
//! and never through a magic link, so that not even the few descriptors that are left can be named
//! (proc_pid_fd(5)).

use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, accessat, fstat, openat2};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use super::capabilities::Sets;
use super::ready::Pending;
use super::{Common, Kept, Ready, hide, home};
use crate::launch::console;
use crate::launch::error::{Doing, LaunchError};
use crate::launch::filter::Standard;
use crate::launch::process::{self, Program, chain, refused};
use crate::launch::seccomp;
use crate::launch::sync::Message;

/// A process with nothing of the host open.
pub(in crate::launch) struct Closed<'a> {
    common: Common<'a>,
    kept: Kept,
}

impl<'a> Closed<'a> {
    pub(super) fn new(common: Common<'a>, kept: Kept) -> Self {
        Self { common, kept }
    }

    /// Gives up everything that the command does not get, goes to its working directory and finds
    /// it. Afterwards only the system call filter is missing, unless it asks an agent: then it is loaded
    /// now, and the launcher hands it over.
    ///
    /// # Errors
    /// A path is missing or leads out of the root, or the kernel refuses a step; none is passed over.
    pub(in crate::launch) fn become_user(mut self) -> Result<Ready<'a>, LaunchError> {
        if let Some(socket) = self.kept.console_socket.take() {
            let size = self.common.setup.console_size();
            console::make_here(&socket, size)?.take(self.common.setup.uid())?;
        }
        let setup = &mut self.common.setup;
        // Everything is mounted, which may have needed more; and the process may still say so by itself.
        process::limit(setup.process().rlimits().as_deref().unwrap_or_default())?;
        if setup.wants_home() {
            setup.set_env("HOME", home::of(setup.uid()));
        }
        let filter = setup.seccomp().map(seccomp::compile).transpose()?;
        let mut sets = Sets::of(setup.process())?;
        let gains = setup.gains_privileges();
        self.identity(&mut sets, gains && filter.is_some())?;
        let program = self.find()?;
        let filter = filter.map(|filter| Pending::new(filter, gains.then_some(sets)));
        // That of an engine is loaded after it, and may deny loading any further one.
        if self.common.setup.standard_filter() == Standard::Node {
            Standard::Node.load()?;
        }
        let filter = match filter {
            Some(filter) if filter.asks() => {
                self.common.sync.hand_over(filter.load_early())?;
                None
            }
            filter => filter,
        };
        Ok(Ready::new(self.common, self.kept, program, filter))
    }

    fn identity(&self, sets: &mut Sets, loads_filter: bool) -> Result<(), LaunchError> {
        let setup = &self.common.setup;
        let process = setup.process();
        let cwd = process.cwd();
        let arrived = go_to(cwd);
        if let Some(profile) = process.apparmor_profile() {
            apparmor(profile)?;
        }
        if let Some(label) = process.selinux_label().as_deref().filter(|label| !label.is_empty()) {
            return Err(LaunchError::refused(
                "process.selinuxLabel",
                format!("`{label}`: SELinux is not supported"),
            ));
        }
        if let Some(domain) = setup.domain() {
            crate::sys::schedule::set_personality(domain).doing(|| "linux.personality")?;
        }
        sets.drop_bounding()?;
        self.ids()?;
        // A node is given what it grants, or does not start; of others the runtime specification has what
        // cannot be granted warned of (config.md, "capabilities").
        let lacking = sets.apply(loads_filter, !setup.is_own())?;
        if !lacking.is_empty() {
            let text = format!("process.capabilities: the launcher lacks {}", lacking.join(", "));
            self.common.sync.say(&Message::Warning(text)).doing(|| "the launcher")?;
        }
        // A change of ids may have made it visible again (proc(5), "fs.suid_dumpable").
        hide()?;
        if !setup.gains_privileges() {
            rustix::thread::set_no_new_privs(true).doing(|| "no_new_privs")?;
        }
        // It may be one that only the user may enter.
        arrived.or_else(|_| go_to(cwd)).map_err(|errno| cwd_refused(cwd, errno))?;
        reachable(cwd)?;
        let umask = process.user().umask().unwrap_or(0o022);
        rustix::process::umask(Mode::from_raw_mode(umask & 0o777));
        Ok(())
    }

    fn ids(&self) -> Result<(), LaunchError> {
        let user = self.common.setup.process().user();
        let groups: Vec<Gid> =
            user.additional_gids().iter().flatten().map(|gid| Gid::from_raw(*gid)).collect();
        if !self.common.setup.keeps_groups() {
            match rustix::thread::set_thread_groups(&groups) {
                // In a user namespace of an ordinary user groups cannot be changed (user_namespaces(7),
                // "/proc/pid/setgroups").
                Err(Errno::PERM) if groups.is_empty() => {}
                other => other.doing(|| "supplementary groups")?,
            }
        }
        rustix::thread::set_keep_capabilities(true).doing(|| "keeping capabilities")?;
        let gid = Gid::from_raw(user.gid());
        rustix::thread::set_thread_res_gid(gid, gid, gid).doing(|| format!("group {}", user.gid()))?;
        let uid = Uid::from_raw(user.uid());
        rustix::thread::set_thread_res_uid(uid, uid, uid).doing(|| format!("user {}", user.uid()))?;
        rustix::thread::set_keep_capabilities(false).doing(|| "keeping capabilities")
    }

    /// Looks for the command as execvp(3) does.
    fn find(&self) -> Result<Program, LaunchError> {
        let name = self.common.setup.name();
        let shown = || name.to_string_lossy().into_owned();
        if name.to_bytes().contains(&b'/') {
            return match executable(Path::new(OsStr::from_bytes(name.to_bytes()))) {
                Ok(()) => Ok(Program::at(name.to_owned())),
                Err(errno) => Err(command_refused(shown(), errno)),
            };
        }
        let mut denied = None;
        for directory in self.common.setup.search_path().split(':') {
            let directory = if directory.is_empty() { "." } else { directory };
            let path = Path::new(directory).join(OsStr::from_bytes(name.to_bytes()));
            match executable(&path) {
                Ok(()) => {
                    // Both halves were C strings, so there is no NUL byte in it.
                    let path = CString::new(path.into_os_string().into_vec());
                    return Ok(Program::at(path.unwrap_or_else(|_nul| name.to_owned())));
                }
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => denied = Some(errno),
            }
        }
        Err(command_refused(shown(), denied.unwrap_or(Errno::NOENT)))
    }
}

/// Opens a path of the container as it will see it. The root is the container's by now, and magic
/// links are refused, so nothing but what the container's own mounts hold can be reached.
pub(super) fn open_inside(path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    openat2(CWD, path, flags | OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::NO_MAGICLINKS)
}

fn go_to(cwd: &Path) -> rustix::io::Result<()> {
    rustix::process::fchdir(open_inside(cwd, OFlags::DIRECTORY)?)
}

fn cwd_refused(cwd: &Path, errno: Errno) -> LaunchError {
    let what = format!("working directory {}", cwd.display());
    match errno {
        Errno::LOOP => LaunchError::refused(what, MAGIC),
        // It is the user's, as a command is: podman makes 127 of these words.
        Errno::NOENT => LaunchError::refused(what, "no such file or directory"),
        errno => LaunchError::Call { what, errno },
    }
}

/// Why a path is refused that leads through a link of `/proc/PID`, or through too many links.
const MAGIC: &str = "leads through a magic link of /proc, or a loop of links";

/// Checks that the working directory lies in the container's root: getcwd(2) marks one that does not.
pub(super) fn reachable(cwd: &Path) -> Result<(), LaunchError> {
    let what = || format!("working directory {}", cwd.display());
    let place = rustix::process::getcwd(Vec::new()).doing(what)?;
    if place.to_bytes().first() == Some(&b'/') {
        return Ok(());
    }
    Err(LaunchError::refused(what(), "lies outside the container's root"))
}

/// Whether a path can be executed, as far as that can be told without doing it.
fn executable(path: &Path) -> rustix::io::Result<()> {
    let file = open_inside(path, OFlags::empty())?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(Errno::ACCESS);
    }
    // By path again: a container that changes it meanwhile changes what only it can reach.
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}

fn command_refused(program: String, errno: Errno) -> LaunchError {
    match errno {
        // Engines look for the first two words.
        Errno::LOOP => LaunchError::CommandRefused { program, reason: format!("permission denied: {MAGIC}") },
        errno => refused(program, errno),
    }
}

fn apparmor(profile: &str) -> Result<(), LaunchError> {
    use libcontainer::apparmor;
    if profile.is_empty() || profile == "unconfined" {
        return Ok(());
    }
    if !apparmor::is_enabled().unwrap_or(false) {
        return Err(LaunchError::refused("process.apparmorProfile", "this kernel has no AppArmor"));
    }
    // It writes below a procfs of its own, whatever the image has at /proc (CVE-2019-16884).
    apparmor::apply_profile(profile)
        .map_err(|error| LaunchError::refused("process.apparmorProfile", chain(&error)))
}
