//! The first stage: a fresh process in its namespaces, with the host's root still around it.

use std::os::fd::OwnedFd;

use oci_spec::runtime::Hook;
use rustix::fs::{Mode, OFlags, Stat, fstat, open};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::{Closed, Common, Kept, Rooted, hide, report_and_exit};
use crate::launch::console::{self, Terminal};
use crate::launch::error::{Doing, LaunchError, tried};
use crate::launch::job::{Job, Manner};
use crate::launch::namespaces::Namespaces;
use crate::launch::process::Setup;
use crate::launch::reaper::Sealed;
use crate::launch::root::assemble::{self, Assembled, Terms};
use crate::launch::root::ids::RootInside;
use crate::launch::root::{Base, What};
use crate::launch::sync::{Message, Sync};
use crate::launch::{cgroup, hooks, smack, sysctl};
use crate::sys;
use crate::sys::clone::ChildToken;

/// What the launcher gives to the process inside besides the job.
pub(in crate::launch) struct Inheritance {
    /// The conversation with the launcher.
    pub(in crate::launch) sync: Sync,
    /// Whether the launcher has something to do first: mapping ids, asking systemd for a scope.
    pub(in crate::launch) wait: bool,
    /// Whether ids are mapped by an ordinary user or its helpers, who have to look at this process.
    pub(in crate::launch) mapped_by_user: bool,
    /// Whether the launcher opens sources of mounts that this process may not.
    pub(in crate::launch) opens: bool,
}

/// A fresh process in its namespaces.
pub(in crate::launch) struct Entered<'a> {
    common: Common<'a>,
    job: &'a Job<'a>,
    namespaces: &'a Namespaces,
    console_socket: Option<OwnedFd>,
    opens: bool,
    kept: Kept,
}

impl<'a> Entered<'a> {
    /// Runs the first process of a container through all stages. Never returns: it becomes the
    /// command, or reports why not and exits.
    pub(in crate::launch) fn run(
        child: ChildToken,
        job: &mut Job<'_>,
        namespaces: &Namespaces,
        setup: Setup<'_>,
        (inheritance, entry): (Inheritance, cgroup::Entry),
    ) -> ! {
        let Inheritance { sync, wait, mapped_by_user, opens } = inheritance;
        let (start_socket, ended) = (job.start_socket.take(), job.ended.take());
        let kept = Kept { start_socket, ended, ..Kept::default() };
        let (console_socket, streams) = (job.console.take(), job.streams.take());
        let common = Common { child, setup, sync: &sync, passed: job.preserve };
        let entered = Entered { common, job, namespaces, console_socket, opens, kept };
        let ready = entry
            .join()
            .and_then(|()| entered.begin(wait, mapped_by_user, streams))
            .and_then(Entered::assemble)
            .and_then(Rooted::close)
            .and_then(Closed::become_user);
        match ready {
            Ok(ready) => ready.start(job),
            Err(error) => report_and_exit(&sync, error),
        }
    }

    #[cfg(test)]
    pub(super) fn at(common: Common<'a>, job: &'a Job<'a>, namespaces: &'a Namespaces, kept: Kept) -> Self {
        Self { common, job, namespaces, console_socket: None, opens: false, kept }
    }

    /// Leaves behind what the launcher had open, and waits for the launcher's own part.
    pub(super) fn begin(
        self,
        wait: bool,
        mapped_by_user: bool,
        streams: Option<(OwnedFd, OwnedFd)>,
    ) -> Result<Self, LaunchError> {
        // Whoever is in a namespace that this process joins cannot look at it (CVE-2016-9962).
        if !mapped_by_user {
            hide()?;
        }
        for one in self.namespaces.joined.iter().filter(|one| one.is_joined_inside()) {
            one.join()?;
        }
        // Until it is handed over, a container whose launcher dies ends with it.
        set_parent_process_death_signal(Some(Signal::KILL)).doing(|| "the signal at the launcher's end")?;
        if let Some((input, output)) = streams {
            for (stream, number) in [(&input, 0), (&output, 1), (&output, 2)] {
                sys::exec::place(stream, number).doing(|| "standard streams")?;
            }
        }
        // The launcher's own descriptors: its end of the conversation, which would keep this process
        // from hearing that the launcher is gone, the state directory, cgroups.
        let mut keep = self.kept.numbers();
        keep.push(self.common.sync.number());
        keep.extend(self.console_socket.iter().map(std::os::fd::AsRawFd::as_raw_fd));
        sys::exec::close_all_but(&self.common.child, self.common.passed, &keep)
            .doing(|| "descriptors of the launcher")?;
        if wait {
            self.common.sync.wait_go()?;
        }
        if mapped_by_user {
            hide()?;
        }
        if own_session(self.job, &self.common.setup) {
            rustix::process::setsid().doing(|| "a session of its own")?;
        }
        Ok(self)
    }

    /// Puts the root together and makes it this process's own.
    pub(super) fn assemble(self) -> Result<Rooted<'a>, LaunchError> {
        let Entered { common, job, namespaces, console_socket, opens, mut kept } = self;
        // Opened with the launcher's ids: those of the container may not get there.
        let place = place_for_hooks(job)?;
        let assembled = world(job, namespaces, opens.then_some(common.sync))?;
        let size = common.setup.console_size();
        let terminal = console_socket.map(|socket| terminal(size, &assembled, &socket)).transpose()?;
        run_hooks_before_pivot(job, common.sync, &assembled, place)?;
        kept.exe = job.ours().then(Sealed::new).transpose()?;
        if let Some(label) = &job.smack {
            smack::take(label)?;
        }
        kept.locks = enter(job, assembled)?;
        Rooted::first(common, job, terminal, kept)
    }
}

/// Whether the process leads a session of its own.
fn own_session(job: &Job<'_>, setup: &Setup<'_>) -> bool {
    let asked = matches!(job.manner, Manner::Foreground { new_session: true, .. });
    asked || job.of_engine() || setup.terminal()
}

fn terminal(
    size: Option<(u16, u16)>,
    assembled: &Assembled,
    socket: &OwnedFd,
) -> Result<Terminal, LaunchError> {
    let terminal = console::make_in(assembled, socket, size)?;
    assembled.console(&terminal.inner)?;
    Ok(terminal)
}

/// Everything around the process: namespaces, host name, kernel settings, mounts.
fn world(job: &Job<'_>, namespaces: &Namespaces, launcher: Option<&Sync>) -> Result<Assembled, LaunchError> {
    let spec = job.spec;
    // Not the host's whole hierarchy instead, when it cannot be read.
    let shown = job.root.mounts.iter().any(|mount| matches!(mount.what, What::Cgroups));
    let cgroups = if shown { cgroup::of_process("self")? } else { String::new() };
    if namespaces.makes(libc::CLONE_NEWCGROUP) {
        // Only now is it where it belongs; a namespace of cgroups starts where its first process is.
        sys::namespace::unshare(libc::CLONE_NEWCGROUP).doing(|| "a cgroup namespace")?;
    }
    // In a namespace of others the name is theirs.
    let own_name = namespaces.makes(libc::CLONE_NEWUTS);
    let given = |name: &&String| own_name && !name.is_empty();
    if let Some(name) = spec.hostname().as_ref().filter(given) {
        rustix::system::sethostname(name.as_bytes()).doing(|| format!("host name `{name}`"))?;
    }
    if let Some(name) = spec.domainname().as_ref().filter(given) {
        rustix::system::setdomainname(name.as_bytes()).doing(|| format!("domain name `{name}`"))?;
    }
    if namespaces.makes(libc::CLONE_NEWNET) {
        sys::namespace::loopback_up().doing(|| "the loopback device")?;
    }
    let sysctls = sysctl::check(spec, namespaces.separate())?;
    rustix::process::umask(Mode::empty());
    let terms = Terms {
        bind_devices: namespaces.has_user(),
        cgroups: &cgroups,
        cgroup_namespace: namespaces.makes(libc::CLONE_NEWCGROUP) || namespaces.joins(libc::CLONE_NEWCGROUP),
        own_net: namespaces.separate().net,
        root_inside: if namespaces.has_user() { RootInside::of_own_namespace()? } else { None },
        launcher,
    };
    let assembled = assemble::assemble(job.root, &terms)?;
    // Those of IPC are root's in the user namespace, which the process is only now.
    sysctl::apply(&sysctls)?;
    if let Some(linux) = spec.linux() {
        assembled.freeze(linux.readonly_paths().as_deref().unwrap_or_default())?;
        assembled.mask(linux.masked_paths().as_deref().unwrap_or_default())?;
    }
    Ok(assembled)
}

/// Hooks of the runtime's namespace run outside, those of the container's namespace here, all
/// before the root is changed (config.md, "createRuntime", "createContainer").
fn run_hooks_before_pivot(
    job: &Job<'_>,
    sync: &Sync,
    assembled: &Assembled,
    place: Option<OwnedFd>,
) -> Result<(), LaunchError> {
    let (outside, own) = hooks_before_pivot(job);
    if !outside && own.is_none() {
        return Ok(());
    }
    if let Some(place) = place {
        move_root(assembled, place)?;
    }
    if outside {
        sync.say(&Message::Mounted).doing(|| "the launcher")?;
        sync.wait_go()?;
    }
    if own.is_some() {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        hooks::run("createContainer", own, &job.state("creating", Some(pid)), None)?;
    }
    if job.no_pivot {
        // Where chroot(2) leaves nothing of the host's root above it.
        move_root(assembled, open("/", AT, Mode::empty()).doing(|| "the root")?)?;
    }
    Ok(())
}

/// Whether hooks of the runtime's namespaces run before the root is changed, and those of the container's.
fn hooks_before_pivot<'j>(job: &'j Job<'_>) -> (bool, Option<&'j Vec<Hook>>) {
    let Some(hooks) = job.spec.hooks() else { return (false, None) };
    let some = |list: &Option<Vec<Hook>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let outside = some(hooks.prestart()) || some(hooks.create_runtime());
    (outside, hooks.create_container().as_ref().filter(|list| !list.is_empty()))
}

/// Where hooks look for the root: at the path that the configuration names. The root that is put together is
/// moved there from above the host's, so that hooks find it with everything that is mounted in it, and what they
/// mount there is the container's (config.md, "createRuntime": before pivot_root). Whoever enters this
/// namespace has the host's root.
fn place_for_hooks(job: &Job<'_>) -> Result<Option<OwnedFd>, LaunchError> {
    if matches!(hooks_before_pivot(job), (false, None)) {
        return Ok(None);
    }
    let named = job.spec.root().as_ref().map(|root| job.bundle.join(root.path()));
    let Some(path) = named else { return Ok(None) };
    let what = || format!("root {}", path.display());
    let place = match open(&path, AT, Mode::empty()) {
        Ok(place) => place,
        // A node's need not be there; then no hook can look for it.
        Err(Errno::NOENT) if matches!(job.root.base, Base::Skeleton { .. }) => return Ok(None),
        Err(errno) => return Err(errno).doing(what),
    };
    let id = |stat: Stat| (stat.st_dev, stat.st_ino);
    let same = id(fstat(&place).doing(what)?) == id(rustix::fs::stat("/").doing(what)?);
    Ok(Some(place).filter(|_| !same))
}

const AT: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn move_root(assembled: &Assembled, place: OwnedFd) -> Result<(), LaunchError> {
    assemble::attach_at(assembled.root(), place).doing(|| "showing the root to hooks")
}

/// Makes the root this process's own and forgets the host's.
fn enter(job: &Job<'_>, assembled: Assembled) -> Result<Vec<OwnedFd>, LaunchError> {
    let cwd = job.spec.process().as_ref().map(|process| process.cwd().clone());
    if let Some(cwd) = cwd.as_deref().and_then(std::path::Path::to_str) {
        assembled.make_cwd(cwd);
    }
    assembled.seal(job.root.readonly)?;
    rustix::process::fchdir(assembled.root()).doing(|| "the root")?;
    if job.no_pivot {
        assembled.hide_hosts()?;
        rustix::process::chroot(".").doing(|| "the root")?;
    } else {
        // Both in one place: the old root comes to lie on top of the new one, and is taken away
        // (pivot_root(2), "pivot_root(".", ".")").
        rustix::process::pivot_root(".", ".").doing(|| "changing the root")?;
        unmount(".", UnmountFlags::DETACH).doing(|| "leaving the host's root")?;
    }
    rustix::process::chdir("/").doing(|| "the root")?;
    if let Some(kind) = job.root.propagation {
        let kind = MountPropagationFlags::from_bits_retain(u32::try_from(kind).unwrap_or(0));
        mount_change("/", kind).doing(|| "propagation of the root")?;
    }
    Ok(assembled.locks)
}

impl Assembled {
    /// Makes a missing working directory where there is a place of ours for it. Where there is
    /// none, entering it will say so.
    fn make_cwd(&self, cwd: &str) {
        if self.open(cwd, OFlags::PATH | OFlags::DIRECTORY).is_err() {
            tried(self.directory(cwd));
        }
    }
}
