//! The process inside, from its first moment to the moment it becomes the command.

use std::os::fd::{AsFd, OwnedFd};

use oci_spec::runtime::Hooks;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::error::{Doing, LaunchError, tried};
use super::job::{Job, Manner};
use super::namespaces::Namespaces;
use super::process::Setup;
use super::reaper::{Orders, Sealed};
use super::root::assemble::{self, Assembled, Terms};
use super::sync::{Message, Sync};
use super::{console, hooks};
use crate::sys;
use crate::sys::mount_attr::{self, MountAttr, flag};
use crate::sys::signal::SignalSet;

/// What the launcher gives to the process inside besides the job.
pub(super) struct Inheritance {
    /// The conversation with the launcher.
    pub(super) sync: Sync,
    /// Number of the launcher's end of it.
    pub(super) far: i32,
    /// Signals as they were before the launcher blocked some.
    pub(super) mask: SignalSet,
    /// Whether the launcher has something to do first: mapping ids, joining cgroups.
    pub(super) wait: bool,
    /// A socket to whoever answers for the command's system calls, connected.
    pub(super) listener: Option<OwnedFd>,
}

/// Runs the process inside. Never returns: it becomes the command, or says why not and ends.
pub(super) fn run(job: &Job<'_>, namespaces: &Namespaces, setup: Setup<'_>, inheritance: &Inheritance) -> ! {
    let error = match prepare(job, namespaces, setup, inheritance) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    give_up(&inheritance.sync, error)
}

/// Says why, and ends.
pub(super) fn give_up(sync: &Sync, error: LaunchError) -> ! {
    // When the launcher is gone there is nobody left to tell.
    tried(sync.say(&Message::Failed(error)));
    sys::exec::leave(1)
}

enum Never {}

fn prepare(
    job: &Job<'_>,
    namespaces: &Namespaces,
    setup: Setup<'_>,
    inheritance: &Inheritance,
) -> Result<Never, LaunchError> {
    let sync = &inheritance.sync;
    // Until it is handed over, a container whose launcher dies ends with it.
    set_parent_process_death_signal(Some(Signal::KILL)).doing(|| "the signal at the launcher's end")?;
    if inheritance.wait {
        sync.wait_go()?;
    }
    // Whoever is in a namespace that this process joins cannot look at it. Not before: the helpers
    // that map ids look at it, too.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .doing(|| "hiding from the container")?;
    let own_session = job.of_engine() || setup.terminal() || new_session(&job.manner);
    if own_session {
        rustix::process::setsid().doing(|| "a session of its own")?;
    }
    if let Some((input, output)) = &job.streams {
        for (stream, number) in [(input, 0), (output, 1), (output, 2)] {
            sys::exec::place(stream, number).doing(|| "standard streams")?;
        }
    }
    let assembled = world(job, namespaces)?;
    let terminal = match &job.console {
        None => None,
        Some(socket) => {
            let size = job.spec.process().as_ref().and_then(|process| process.console_size());
            let size = size.map(|size| (short(size.height()), short(size.width())));
            Some(console::make(Some(&assembled), socket, size)?)
        }
    };
    if let Some(terminal) = &terminal {
        assembled.console(&terminal.inner)?;
    }
    run_hooks_before_pivot(job, sync)?;
    let sealed = job.ours().then(Sealed::new).transpose()?;
    if let Some(label) = &job.smack {
        super::smack::take(label)?;
    }
    let locks = enter(job, assembled)?;
    if let Some(terminal) = &terminal {
        terminal.take(setup.uid())?;
    } else if job.of_engine() {
        own_streams(setup.uid())?;
    }
    if !job.no_new_keyring && job.of_engine() {
        keyring(job.id)?;
    }
    locks_held(&locks)?;
    let early = setup.become_user()?;
    hand_over(job, inheritance, early)?;
    inheritance.mask.mask().doing(|| "the signal mask")?;
    sys::exec::close_from_on_exec(3 + job.preserve).doing(|| "descriptors of the launcher")?;
    finish(job, setup, inheritance, (locks, sealed))
}

/// The last steps, in the process that becomes the command.
fn finish(
    job: &Job<'_>,
    mut setup: Setup<'_>,
    inheritance: &Inheritance,
    (locks, sealed): (Vec<OwnedFd>, Option<Sealed>),
) -> Result<Never, LaunchError> {
    let sync = &inheritance.sync;
    if job.preserve > 0 && setup.listens() {
        setup.set_env("LISTEN_PID", &rustix::process::getpid().as_raw_nonzero().to_string());
    }
    let program = setup.find()?;
    // Locks are the first process's, and stay with it over exec as long as their files are open.
    for lock in &locks {
        rustix::io::fcntl_setfd(lock, rustix::io::FdFlags::empty()).doing(|| "a lock")?;
    }
    let mut orders = Orders { reap: job.reaps(), die_with_parent: false, preserve: job.preserve };
    let starter = match &job.manner {
        Manner::Created { socket, .. } => {
            sync.say(&Message::Ready).doing(|| "the launcher")?;
            sync.wait_go()?;
            set_parent_process_death_signal(None).doing(|| "the signal at the launcher's end")?;
            // Only now may the launcher end without this process ending too.
            sync.say(&Message::Ready).doing(|| "the launcher")?;
            Some(super::start::wait(socket)?)
        }
        Manner::Foreground { die_with_parent, .. } => {
            orders.die_with_parent = *die_with_parent;
            None
        }
    };
    // Whoever started it hears of what goes wrong from here on.
    let teller = starter.as_ref().unwrap_or(sync);
    let result = started(job, &setup, inheritance);
    if let Err(error) = result {
        give_up(teller, error);
    }
    give_up(
        teller,
        match sealed {
            Some(sealed) => setup.exec_under(&sealed, orders, teller, &program),
            None => setup.exec(&program),
        },
    )
}

fn started(job: &Job<'_>, setup: &Setup<'_>, inheritance: &Inheritance) -> Result<(), LaunchError> {
    let hooks = job.spec.hooks().as_ref().and_then(|hooks| hooks.start_container().as_ref());
    if hooks.is_some() {
        hooks::run(
            "startContainer",
            hooks,
            &job.state("created", Some(rustix::process::getpid().as_raw_nonzero().get())),
        )?;
    }
    hand_over(job, inheritance, setup.filter()?)
}

fn hand_over(job: &Job<'_>, inheritance: &Inheritance, notify: Option<OwnedFd>) -> Result<(), LaunchError> {
    match (notify, &inheritance.listener) {
        (Some(notify), Some(listener)) => super::seccomp::hand_over(job, listener, &notify),
        (Some(_), None) => Err(LaunchError::refused(
            "linux.seccomp",
            "a filter asks somebody outside, and there is no listenerPath",
        )),
        (None, _) => Ok(()),
    }
}

fn short(number: u64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn new_session(manner: &Manner) -> bool {
    matches!(manner, Manner::Foreground { new_session: true, .. })
}

/// Everything around the process: namespaces, host name, kernel settings, mounts.
fn world(job: &Job<'_>, namespaces: &Namespaces) -> Result<Assembled, LaunchError> {
    let spec = job.spec;
    let cgroups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    if namespaces.makes(libc::CLONE_NEWCGROUP) {
        // Only now is it where it belongs; a namespace of cgroups starts where its first process is.
        sys::namespace::unshare(libc::CLONE_NEWCGROUP).doing(|| "a cgroup namespace")?;
    }
    // In a namespace of others the name is theirs.
    let own_name = namespaces.makes(libc::CLONE_NEWUTS);
    if let Some(name) = spec.hostname().as_ref().filter(|_| own_name) {
        rustix::system::sethostname(name.as_bytes()).doing(|| format!("host name `{name}`"))?;
    }
    if let Some(name) = spec.domainname().as_ref().filter(|_| own_name) {
        rustix::system::setdomainname(name.as_bytes()).doing(|| format!("domain name `{name}`"))?;
    }
    if namespaces.makes(libc::CLONE_NEWNET) {
        sys::namespace::loopback_up().doing(|| "the loopback device")?;
    }
    settings(spec)?;
    rustix::process::umask(Mode::empty());
    let terms = Terms {
        bind_devices: namespaces.has_user(),
        cgroups: &cgroups,
        cgroup_namespace: namespaces.makes(libc::CLONE_NEWCGROUP) || namespaces.joins(libc::CLONE_NEWCGROUP),
    };
    let assembled = assemble::assemble(job.root, &terms)?;
    if let Some(linux) = spec.linux() {
        assembled.freeze(linux.readonly_paths().as_deref().unwrap_or_default())?;
        assembled.mask(linux.masked_paths().as_deref().unwrap_or_default())?;
    }
    Ok(assembled)
}

/// Kernel settings of the container's own namespaces (sysctl(8)).
fn settings(spec: &oci_spec::runtime::Spec) -> Result<(), LaunchError> {
    let all = spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
    for (name, value) in all.into_iter().flatten() {
        let what = || format!("setting {name} = {value}");
        let path = if name.contains('/') { name.clone() } else { name.replace('.', "/") };
        if path.split('/').any(|part| matches!(part, ".." | "" | ".")) {
            return Err(LaunchError::refused(what(), "it is no name of a setting"));
        }
        std::fs::write(format!("/proc/sys/{path}"), value).doing(what)?;
    }
    Ok(())
}

/// Hooks of the runtime's namespace run outside, those of the container's namespace here, all
/// before the root is changed (config.md, "createRuntime", "createContainer").
fn run_hooks_before_pivot(job: &Job<'_>, sync: &Sync) -> Result<(), LaunchError> {
    let Some(hooks) = job.spec.hooks() else { return Ok(()) };
    if outside(hooks) {
        sync.say(&Message::Mounted).doing(|| "the launcher")?;
        sync.wait_go()?;
    }
    let own = hooks.create_container().as_ref();
    if own.is_some() {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        hooks::run("createContainer", own, &job.state("creating", Some(pid)))?;
    }
    Ok(())
}

/// Whether there are hooks that the launcher runs while the container is made.
pub(super) fn outside(hooks: &Hooks) -> bool {
    let some = |list: &Option<Vec<_>>| list.as_ref().is_some_and(|list: &Vec<_>| !list.is_empty());
    some(hooks.prestart()) || some(hooks.create_runtime())
}

/// Makes the root this process's own and forgets the host's.
fn enter(job: &Job<'_>, assembled: Assembled) -> Result<Vec<OwnedFd>, LaunchError> {
    let cwd = job.spec.process().as_ref().map(|process| process.cwd().clone());
    if let Some(cwd) = cwd.as_deref().and_then(std::path::Path::to_str) {
        assembled.make_cwd(cwd);
    }
    if job.root.readonly {
        // The root alone: what is mounted on it has flags of its own.
        let attr = MountAttr { set: flag::RDONLY, ..MountAttr::default() };
        mount_attr::set(assembled.root(), false, attr).doing(|| "a read-only root")?;
    }
    rustix::process::fchdir(assembled.root()).doing(|| "the root")?;
    if job.no_pivot {
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

/// Standard streams that are pipes belong to the user of the command, which may open them again by
/// name (`/dev/stdout`).
fn own_streams(uid: u32) -> Result<(), LaunchError> {
    use rustix::fs::{FileType, Uid, fchown, fstat};
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    for stream in streams {
        let Ok(stat) = fstat(stream) else { continue };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo || stat.st_uid == uid {
            continue;
        }
        match fchown(stream.as_fd(), Some(Uid::from_raw(uid)), None) {
            Ok(()) | Err(Errno::PERM | Errno::INVAL | Errno::ROFS) => {}
            Err(errno) => return Err(errno).doing(|| "the owner of a standard stream"),
        }
    }
    Ok(())
}

fn keyring(id: &str) -> Result<(), LaunchError> {
    let name = std::ffi::CString::new(format!("_ses.{id}"))
        .map_err(|_nul| LaunchError::refused("id", "it has a zero byte in it"))?;
    match sys::exec::new_session_keyring(&name) {
        // A kernel without keyrings has none to keep from the container; a user at its limit of
        // keys is no reason not to start.
        Ok(()) | Err(Errno::NOSYS | Errno::DQUOT) => Ok(()),
        Err(errno) => Err(errno).doing(|| "a session keyring"),
    }
}

/// Takes a shared lock on each file (fcntl(2), "Advisory record locking").
fn locks_held(locks: &[OwnedFd]) -> Result<(), LaunchError> {
    for lock in locks {
        rustix::fs::fcntl_lock(lock, rustix::fs::FlockOperation::NonBlockingLockShared).doing(|| "a lock")?;
    }
    Ok(())
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
