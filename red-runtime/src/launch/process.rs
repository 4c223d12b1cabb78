//! A process of a configuration, checked: what `inside` makes of this process. The same for a
//! container's first process and for one that joins later.

use std::collections::HashSet;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use oci_spec::runtime::{LinuxSeccomp, PosixRlimit, PosixRlimitType, Process, Spec, User};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};

use super::error::{Doing, LaunchError};
use super::filter::Standard;
use super::reaper::{Orders, Sealed};
use super::sync::Sync;
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
    own: bool,
    filter: Standard,
    keeps_groups: bool,
    domain: Option<u32>,
}

/// An executable that was found.
#[derive(Debug)]
pub(crate) struct Program(CString);

impl Program {
    /// The executable at a path that was looked at.
    pub(super) fn at(path: CString) -> Self {
        Self(path)
    }
}

impl<'a> Setup<'a> {
    /// Reads the process of a configuration.
    ///
    /// # Errors
    /// There is no command, or a string contains a NUL byte.
    pub(crate) fn of(spec: &'a Spec) -> Result<Self, LaunchError> {
        let process =
            spec.process().as_ref().ok_or_else(|| LaunchError::refused("process", "there is none"))?;
        let setup = Self::with(process, spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()))?;
        Ok(setup.in_domain(super::settings::personality(spec)?))
    }

    /// The same in an execution domain (personality(2)).
    pub(crate) fn in_domain(self, domain: Option<u32>) -> Self {
        Self { domain, ..self }
    }

    /// Its execution domain, when it is not the launcher's.
    pub(super) fn domain(&self) -> Option<u32> {
        self.domain
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
        known_ids(process.user())?;
        let env = process.env().as_deref().unwrap_or_default();
        let path = env.iter().rev().find_map(|one| one.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
        Ok(Self {
            process,
            seccomp,
            args: texts("process.args", args)?,
            env: texts("process.env", &last_of_each(env))?,
            path: path.to_owned(),
            own: false,
            filter: Standard::None,
            keeps_groups: false,
            domain: None,
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
    pub(crate) fn set_env(&mut self, key: &str, value: impl AsRef<OsStr>) {
        let mut entry = format!("{key}=").into_bytes();
        self.env.retain(|one| !one.as_bytes().starts_with(&entry));
        entry.extend_from_slice(value.as_ref().as_bytes());
        if let Ok(entry) = CString::new(entry) {
            self.env.push(entry);
        }
    }

    /// Whether it may gain privileges by an exec.
    pub(super) fn gains_privileges(&self) -> bool {
        !self.process.no_new_privileges().unwrap_or(false)
    }

    /// Whether descriptors are handed to it as sd_listen_fds(3) has it.
    pub(crate) fn listens(&self) -> bool {
        self.env.iter().any(|one| one.as_bytes().starts_with(b"LISTEN_FDS="))
    }

    /// The process of the configuration.
    pub(super) fn process(&self) -> &'a Process {
        self.process
    }

    /// The system call filter of the configuration.
    pub(super) fn seccomp(&self) -> Option<&'a LinuxSeccomp> {
        self.seccomp
    }

    /// Name of the command as it was given.
    pub(super) fn name(&self) -> &CStr {
        &self.args[0]
    }

    /// Directories that a command without a slash is looked for in, joined by colons.
    pub(super) fn search_path(&self) -> &str {
        &self.path
    }

    /// Everything that becoming the command takes, made beforehand.
    pub(super) fn image<'b>(&'b self, program: &'b Program) -> Image<'b> {
        Image { program, made: sys::exec::Image::new(&program.0, &self.args, &self.env) }
    }

    /// Its environment.
    pub(super) fn environment(&self) -> &[CString] {
        &self.env
    }

    /// Rows and columns that the configuration gives its terminal.
    pub(super) fn console_size(&self) -> Option<(u16, u16)> {
        let short = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
        self.process.console_size().map(|size| (short(size.height()), short(size.width())))
    }

    /// Whether it is of a node that we launch ourselves: what it has in its environment is the node's choice.
    pub(super) fn of_own_launch(mut self, own: bool) -> Self {
        self.own = own;
        self
    }

    /// The same under a standard filter.
    pub(super) fn under(self, filter: Standard) -> Self {
        Self { filter, ..self }
    }

    /// The standard filter that it is under.
    pub(super) fn standard_filter(&self) -> Standard {
        self.filter
    }

    /// The same with the supplementary groups of its launcher.
    pub(super) fn keeping_groups(self, keeps_groups: bool) -> Self {
        Self { keeps_groups, ..self }
    }

    /// Whether it keeps the supplementary groups of its launcher.
    pub(super) fn keeps_groups(&self) -> bool {
        self.keeps_groups
    }

    /// Whether no engine has to do with it.
    pub(super) fn is_own(&self) -> bool {
        self.own
    }

    /// Whether its home directory is to be looked up: `HOME` is missing or empty.
    pub(super) fn wants_home(&self) -> bool {
        if self.own {
            return false;
        }
        let home = self.env.iter().find_map(|one| one.as_bytes().strip_prefix(b"HOME="));
        home.is_none_or(<[u8]>::is_empty)
    }
}

/// A command that only has to be executed.
pub(super) struct Image<'a> {
    program: &'a Program,
    made: sys::exec::Image<'a>,
}

impl Image<'_> {
    /// Becomes the command. Returns only when that fails.
    pub(super) fn execute(&self) -> LaunchError {
        let errno = self.made.execute();
        refused(self.program.0.to_string_lossy().into_owned(), errno)
    }
}

/// Refuses ids that the kernel takes for "leave it as it is" (setresuid(2)): the process would stay root
/// (CVE-2024-40635 is what happened elsewhere).
fn known_ids(user: &User) -> Result<(), LaunchError> {
    let groups = user.additional_gids().iter().flatten().copied();
    match [user.uid(), user.gid()].into_iter().chain(groups).find(|id| *id == u32::MAX) {
        None => Ok(()),
        Some(id) => Err(LaunchError::refused("process.user", format!("invalid user or group ID: {id}"))),
    }
}

/// An error with its causes, as far as it does not say them itself.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        let words = one.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = one.source();
    }
    text
}

/// Variables, each as it was said last: programs see the first of a name, and mean the last.
fn last_of_each(env: &[String]) -> Vec<&String> {
    let mut known = HashSet::new();
    let key = |one: &str| one.split('=').next().unwrap_or_default().to_owned();
    let mut kept: Vec<&String> = env.iter().rev().filter(|one| known.insert(key(one))).collect();
    kept.reverse();
    kept
}

fn texts<T: AsRef<str>>(what: &str, list: &[T]) -> Result<Vec<CString>, LaunchError> {
    let one = |text: &T| {
        CString::new(text.as_ref()).map_err(|_nul| LaunchError::refused(what, "contains a NUL byte"))
    };
    list.iter().map(one).collect()
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

/// Limits of a process, set from outside by whoever may raise them. They are only raised: what makes a root may
/// need more than its command is to have, and lowers them itself.
///
/// # Errors
/// One is unknown or may not be raised.
pub(crate) fn raise(pid: rustix::process::Pid, limits: &[PosixRlimit]) -> Result<(), LaunchError> {
    for limit in limits {
        // It is a child of this process, and has the same.
        let now = sys::limit(resource(limit.typ())).doing(|| format!("limit {}", limit.typ()))?;
        // No limit is the largest.
        let more = |new: Option<u64>, now: Option<u64>| Some(new?.max(now?));
        let new = wanted(limit);
        let new = Rlimit { current: more(new.current, now.current), maximum: more(new.maximum, now.maximum) };
        if new != now {
            set(Some(pid), limit, new)?;
        }
    }
    Ok(())
}

/// Takes limits that were raised as far as they had to be.
///
/// # Errors
/// One is unknown.
pub(crate) fn limit(limits: &[PosixRlimit]) -> Result<(), LaunchError> {
    limits.iter().try_for_each(|limit| set(None, limit, wanted(limit)))
}

fn wanted(limit: &PosixRlimit) -> Rlimit {
    let value = |number: u64| (number != u64::MAX).then_some(number);
    Rlimit { current: value(limit.soft()), maximum: value(limit.hard()) }
}

fn set(pid: Option<rustix::process::Pid>, limit: &PosixRlimit, new: Rlimit) -> Result<(), LaunchError> {
    rustix::process::prlimit(pid, resource(limit.typ()), new)
        .map(drop)
        .doing(|| format!("limit {} of {}:{}", limit.typ(), limit.soft(), limit.hard()))
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
