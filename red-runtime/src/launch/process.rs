//! How the process inside becomes the command: who it is, what it may do, what it sees of its
//! launcher. The same for a container's first process and for one that enters later.

use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use oci_spec::runtime::{Capability, LinuxSeccomp, PosixRlimit, PosixRlimitType, Process, Spec};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Gid, Resource, Rlimit, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::error::{Doing, LaunchError};
use super::reaper::{Orders, Sealed};
use super::sync::Sync;
use crate::node::capability::CAPABILITIES;
use crate::sys;

/// Where commands are looked for when the environment does not say (execvp(3)).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What becomes of a process.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    process: &'a Process,
    seccomp: Option<&'a LinuxSeccomp>,
    args: Vec<CString>,
    env: Vec<CString>,
    path: String,
}

/// A command that was found.
#[derive(Debug)]
pub(crate) struct Program(CString);

impl<'a> Setup<'a> {
    /// Reads the process of a configuration.
    ///
    /// # Errors
    /// There is no command, or a text has a zero byte in it.
    pub(crate) fn of(spec: &'a Spec) -> Result<Self, LaunchError> {
        let process =
            spec.process().as_ref().ok_or_else(|| LaunchError::refused("process", "there is none"))?;
        Self::with(process, spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()))
    }

    /// A process with the system call filter of its container.
    ///
    /// # Errors
    /// As [`Setup::of`].
    pub(crate) fn with(process: &'a Process, seccomp: Option<&'a LinuxSeccomp>) -> Result<Self, LaunchError> {
        let args = process.args().as_deref().unwrap_or_default();
        if args.first().is_none_or(String::is_empty) {
            return Err(LaunchError::refused("process.args", "there is no command"));
        }
        if !process.cwd().is_absolute() {
            let cwd = process.cwd().display();
            return Err(LaunchError::refused("process.cwd", format!("`{cwd}` is not an absolute path")));
        }
        let env = process.env().as_deref().unwrap_or_default();
        let path = env.iter().rev().find_map(|one| one.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
        Ok(Self {
            process,
            seccomp,
            args: texts("process.args", args)?,
            env: texts("process.env", env)?,
            path: path.to_owned(),
        })
    }

    /// Whether it gets a terminal.
    pub(crate) fn terminal(&self) -> bool {
        self.process.terminal().unwrap_or(false)
    }

    /// Owner of its standard streams.
    pub(crate) fn uid(&self) -> u32 {
        self.process.user().uid()
    }

    /// Becomes our own first process, which starts the command. Returns only when that fails.
    pub(super) fn exec_under(
        &self,
        sealed: &Sealed,
        orders: Orders,
        sync: &Sync,
        program: &Program,
    ) -> LaunchError {
        sealed.run(orders, sync, (&program.0, &self.args, &self.env))
    }

    /// Sets a variable.
    pub(crate) fn set_env(&mut self, key: &str, value: &str) {
        let prefix = format!("{key}=");
        self.env.retain(|one| !one.as_bytes().starts_with(prefix.as_bytes()));
        if let Ok(entry) = CString::new(format!("{prefix}{value}")) {
            self.env.push(entry);
        }
    }

    /// Gives up everything the command does not get. Afterwards only the filter of system calls is
    /// missing, unless privileges may be gained: then it is loaded while it still can be, and what
    /// listens to it is returned.
    ///
    /// # Errors
    /// The kernel refuses a step; none is passed over.
    pub(crate) fn become_user(&self) -> Result<Option<OwnedFd>, LaunchError> {
        let process = self.process;
        let cwd = process.cwd();
        let arrived = rustix::process::chdir(cwd);
        if let Some(profile) = process.apparmor_profile() {
            apparmor(profile)?;
        }
        if let Some(label) = process.selinux_label().as_deref().filter(|label| !label.is_empty()) {
            return Err(LaunchError::refused(
                "process.selinuxLabel",
                format!("`{label}`: SELinux is not supported"),
            ));
        }
        let sets = Sets::of(process)?;
        // A filter is for those who cannot gain privileges, or who have them (seccomp(2)).
        let notify = if self.gains_privileges() { self.load_filter()? } else { None };
        sets.drop_bounding()?;
        self.ids()?;
        sets.apply()?;
        if !self.gains_privileges() {
            rustix::thread::set_no_new_privs(true).doing(|| "no_new_privs")?;
        }
        if arrived.is_err() {
            // It may be one that only the user may enter.
            rustix::process::chdir(cwd).doing(|| format!("working directory {}", cwd.display()))?;
        }
        let umask = process.user().umask().unwrap_or(0o022);
        rustix::process::umask(Mode::from_raw_mode(umask & 0o777));
        Ok(notify)
    }

    fn gains_privileges(&self) -> bool {
        !self.process.no_new_privileges().unwrap_or(false)
    }

    /// Whether descriptors are handed to it as sd_listen_fds(3) has it.
    pub(crate) fn listens(&self) -> bool {
        self.env.iter().any(|one| one.as_bytes().starts_with(b"LISTEN_FDS="))
    }

    fn ids(&self) -> Result<(), LaunchError> {
        let user = self.process.user();
        let groups: Vec<Gid> =
            user.additional_gids().iter().flatten().map(|gid| Gid::from_raw(*gid)).collect();
        match rustix::thread::set_thread_groups(&groups) {
            // In a user namespace of an ordinary user groups cannot be changed (user_namespaces(7),
            // "/proc/pid/setgroups").
            Err(Errno::PERM) if groups.is_empty() => {}
            other => other.doing(|| "supplementary groups")?,
        }
        rustix::thread::set_keep_capabilities(true).doing(|| "keeping capabilities")?;
        let gid = Gid::from_raw(user.gid());
        rustix::thread::set_thread_res_gid(gid, gid, gid).doing(|| format!("group {}", user.gid()))?;
        let uid = Uid::from_raw(user.uid());
        rustix::thread::set_thread_res_uid(uid, uid, uid).doing(|| format!("user {}", user.uid()))?;
        rustix::thread::set_keep_capabilities(false).doing(|| "keeping capabilities")
    }

    /// Looks for the command, inside.
    ///
    /// # Errors
    /// It is not there, or cannot be executed.
    pub(crate) fn find(&self) -> Result<Program, LaunchError> {
        let name = &self.args[0];
        let shown = || name.to_string_lossy().into_owned();
        if name.as_bytes().contains(&b'/') {
            return match check(Path::new(OsStr::from_bytes(name.as_bytes()))) {
                Ok(()) => Ok(Program(name.clone())),
                Err(errno) => Err(refused(shown(), errno)),
            };
        }
        let mut denied = None;
        for directory in self.path.split(':') {
            let directory = if directory.is_empty() { "." } else { directory };
            let path = Path::new(directory).join(OsStr::from_bytes(name.as_bytes()));
            match check(&path) {
                Ok(()) => {
                    let path =
                        CString::new(path.into_os_string().as_bytes()).unwrap_or_else(|_nul| name.clone());
                    return Ok(Program(path));
                }
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => denied = Some(errno),
            }
        }
        Err(refused(shown(), denied.unwrap_or(Errno::NOENT)))
    }

    /// Loads the filter of system calls, as late as can be, unless that was done.
    ///
    /// # Errors
    /// It cannot be made or loaded.
    pub(crate) fn filter(&self) -> Result<Option<OwnedFd>, LaunchError> {
        if self.gains_privileges() { Ok(None) } else { self.load_filter() }
    }

    fn load_filter(&self) -> Result<Option<OwnedFd>, LaunchError> {
        let Some(seccomp) = self.seccomp else { return Ok(None) };
        let listener = libcontainer::seccomp::initialize_seccomp(seccomp)
            .map_err(|error| LaunchError::refused("linux.seccomp", chain(&error)))?;
        match listener {
            None => Ok(None),
            Some(number) => {
                let fd = sys::exec::inherited(number).doing(|| "the listener of the filter")?;
                Ok(Some(fd))
            }
        }
    }

    /// Becomes the command. Returns only when that fails.
    pub(crate) fn exec(&self, program: &Program) -> LaunchError {
        let errno = sys::exec::execve(&program.0, &self.args, &self.env);
        refused(program.0.to_string_lossy().into_owned(), errno)
    }
}

/// The environment of this process, as it was handed over.
pub(super) fn environment() -> Vec<CString> {
    let entry = |(mut key, value): (std::ffi::OsString, std::ffi::OsString)| {
        key.push("=");
        key.push(value);
        CString::new(key.into_vec()).ok()
    };
    std::env::vars_os().filter_map(entry).collect()
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        text = format!("{text}: {one}");
        cause = one.source();
    }
    text
}

fn texts(what: &str, list: &[String]) -> Result<Vec<CString>, LaunchError> {
    let one = |text: &String| {
        CString::new(text.as_str()).map_err(|_nul| LaunchError::refused(what, "a text has a zero byte in it"))
    };
    list.iter().map(one).collect()
}

/// Whether a path can be executed, as far as that can be told without doing it.
fn check(path: &Path) -> rustix::io::Result<()> {
    let stat = rustix::fs::stat(path)?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
        return Err(Errno::ACCESS);
    }
    rustix::fs::accessat(rustix::fs::CWD, path, rustix::fs::Access::EXEC_OK, rustix::fs::AtFlags::EACCESS)
}

/// Why a command was not executed.
pub(super) fn refused(program: String, errno: Errno) -> LaunchError {
    match errno {
        Errno::NOENT | Errno::NOTDIR => LaunchError::CommandMissing { program },
        // The words engines look for are the C library's, in lower case.
        Errno::ACCESS => LaunchError::CommandRefused { program, reason: "permission denied".into() },
        errno => {
            let text = std::io::Error::from(errno).to_string();
            LaunchError::CommandRefused { program, reason: text.to_lowercase() }
        }
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
    apparmor::apply_profile(profile)
        .map_err(|error| LaunchError::refused("process.apparmorProfile", chain(&error)))
}

/// The five sets of capabilities (capabilities(7)).
#[derive(Clone, Copy, Debug)]
struct Sets {
    bounding: CapabilitySet,
    now: CapabilitySets,
    ambient: CapabilitySet,
}

fn set_of<'a>(capabilities: impl IntoIterator<Item = &'a Capability>) -> CapabilitySet {
    let mut set = CapabilitySet::empty();
    for one in capabilities {
        if let Some(number) = CAPABILITIES.iter().position(|(_, capability)| capability == one) {
            set |= CapabilitySet::from_bits_retain(1 << number);
        }
    }
    set
}

impl Sets {
    /// Those of a process. One that says nothing gets none: silence is no permission.
    fn of(process: &Process) -> Result<Self, LaunchError> {
        let all = process.capabilities().clone().unwrap_or_default();
        let set = |list: &Option<std::collections::HashSet<Capability>>| set_of(list.iter().flatten());
        let (effective, permitted) = (set(all.effective()), set(all.permitted()));
        let inheritable = set(all.inheritable());
        let sets = Self {
            bounding: set(all.bounding()),
            now: CapabilitySets { effective, permitted, inheritable },
            // Nothing is ambient that is not permitted and inheritable too.
            ambient: set(all.ambient()) & permitted & inheritable,
        };
        if !permitted.contains(effective) {
            return Err(LaunchError::refused(
                "process.capabilities",
                "the effective set is more than the permitted",
            ));
        }
        Ok(sets)
    }

    fn drop_bounding(&self) -> Result<(), LaunchError> {
        for number in 0..64_u32 {
            let one = CapabilitySet::from_bits_retain(1 << number);
            if self.bounding.contains(one) {
                continue;
            }
            match rustix::thread::remove_capability_from_bounding_set(one) {
                Ok(()) => {}
                // The first number the kernel does not know ends the list.
                Err(Errno::INVAL) => break,
                Err(errno) => return Err(errno).doing(|| format!("dropping capability {number}")),
            }
        }
        Ok(())
    }

    fn apply(&self) -> Result<(), LaunchError> {
        rustix::thread::set_capabilities(None, self.now).doing(|| {
            format!("capabilities {:#x}, which the launcher may not have itself", self.now.permitted.bits())
        })?;
        rustix::thread::clear_ambient_capability_set().doing(|| "clearing ambient capabilities")?;
        for one in self.ambient.iter() {
            rustix::thread::configure_capability_in_ambient_set(one, true)
                .doing(|| "ambient capabilities")?;
        }
        Ok(())
    }
}

/// Limits of a process, set from outside by whoever may raise them.
///
/// # Errors
/// One is unknown or may not be raised.
pub(crate) fn limit(pid: rustix::process::Pid, limits: &[PosixRlimit]) -> Result<(), LaunchError> {
    for limit in limits {
        let value = |number: u64| (number != u64::MAX).then_some(number);
        let new = Rlimit { current: value(limit.soft()), maximum: value(limit.hard()) };
        rustix::process::prlimit(Some(pid), resource(limit.typ()), new)
            .map(drop)
            .doing(|| format!("limit {} of {}:{}", limit.typ(), limit.soft(), limit.hard()))?;
    }
    Ok(())
}

fn resource(kind: PosixRlimitType) -> Resource {
    match kind {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    }
}
