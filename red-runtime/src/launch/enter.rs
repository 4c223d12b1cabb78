//! A further process in a running container, under everything its first process is under.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_spec::runtime::{Capability, LinuxCapabilities, PosixRlimit, Process as OciProcess, Spec, User};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::cgroup::{Attach, Entry, Layout, MOUNT};
use super::container::Status;
use super::error::{Doing, LaunchError, tried};
use super::inside::{Joined, Rooted, report_and_exit};
use super::namespaces::name;
use super::process::{self, Setup};
use super::record::{Process, Record, Store};
use super::root::ids::RootInside;
use super::schedule::Schedule;
use super::settings;
use super::sibling::{Made, made_within};
use super::sync::{Message, Sync};
use super::warning::warn;
use crate::node::capability;
use crate::spec::engine::process::lifts;
use crate::sys;
use crate::sys::clone::ChildToken;

/// How long a process that enters may take until it is its command: the container can keep it waiting
/// (by its freezer, or a file system of its own).
const PATIENCE: Duration = Duration::from_secs(30);

/// How long one may take that waits until its container is resumed.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What is to be run, and how.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    /// Where the outer side of its terminal goes.
    pub(crate) console: Option<OwnedFd>,
    /// Descriptors above the standard streams that it gets.
    pub(crate) preserve: u32,
    /// A cgroup below the container's.
    pub(crate) cgroup: Option<PathBuf>,
    /// A paused container is entered too, and the process waits until that is resumed.
    pub(crate) ignore_paused: bool,
}

/// A process that has joined a container.
#[derive(Debug)]
pub(crate) struct ExecProcess {
    /// PID in the caller's namespace.
    pub(crate) pid: Pid,
    /// pidfd of the process.
    pub(crate) pidfd: OwnedFd,
}

impl ExecProcess {
    /// Ends it, and waits for that; in a frozen cgroup of version 1 it ends only when that goes on.
    pub(crate) fn end(&self) {
        tried(pidfd_send_signal(&self.pidfd, Signal::KILL));
        let limit = Timespec { tv_sec: 2, tv_nsec: 0 };
        let ended = poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&limit));
        if ended.is_ok_and(|count| count > 0) {
            tried(waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED));
        }
    }
}

/// What a process that enters gets: what was asked for, and in everything else what the first
/// process has. In a container of a node it gets no capability that the plan does not name.
///
/// # Errors
/// The node says who its commands run as, and another user or group is asked for; or something is asked for
/// that lifts its limits.
pub(crate) fn like_first(
    mut process: OciProcess,
    record: &Record,
    spec: &Spec,
) -> Result<OciProcess, LaunchError> {
    let Some(first) = spec.process() else { return Ok(process) };
    if process.capabilities().is_none() {
        process.set_capabilities(first.capabilities().clone());
    }
    if process.rlimits().is_none() {
        process.set_rlimits(first.rlimits().clone());
    }
    if process.apparmor_profile().is_none() {
        process.set_apparmor_profile(first.apparmor_profile().clone());
    }
    if process.oom_score_adj().is_none() {
        process.set_oom_score_adj(first.oom_score_adj());
    }
    let first_never_gains = first.no_new_privileges().unwrap_or(false);
    if process.no_new_privileges().is_none() || (record.redpath.is_some() && first_never_gains) {
        process.set_no_new_privileges(first.no_new_privileges());
    }
    if record.redpath.is_some() {
        if let Some(what) = lifts(&process) {
            return Err(LaunchError::refused(what, "lifts limits of the container's node"));
        }
        let env = with_node(process.env().as_deref().unwrap_or_default(), first, record);
        process.set_env(Some(env));
        let most = first.capabilities().clone().unwrap_or_else(capability::none);
        let mut asked = process.capabilities().clone().unwrap_or_else(capability::none);
        narrow(&mut asked, &most);
        process.set_capabilities(Some(asked));
    }
    if record.identity {
        let user = as_first(process.user(), first.user())?;
        process.set_user(user);
    }
    Ok(process)
}

/// Whether a further command keeps the caller's supplementary groups, as the first does: where it is the same user,
/// and nobody asked for others.
fn keeps_groups(record: &Record, process: &OciProcess, spec: &Spec) -> bool {
    let (asked, first) = (process.user(), spec.process().as_ref().map(|first| first.user()));
    let same = first.is_some_and(|first| (first.uid(), first.gid()) == (asked.uid(), asked.gid()));
    let none = asked.additional_gids().as_ref().is_none_or(Vec::is_empty);
    record.keeps_groups && same && none
}

/// The user of a further command where the node says who that is. Engines do not know of it: they ask
/// for 0 where nobody asked them for anything.
fn as_first(asked: &User, first: &User) -> Result<User, LaunchError> {
    for (what, asked, own) in [("user", asked.uid(), first.uid()), ("group", asked.gid(), first.gid())] {
        if asked != 0 && asked != own {
            return Err(LaunchError::refused(
                format!("process.user: {what} {asked}"),
                format!("the node runs its commands as {what} {own}"),
            ));
        }
    }
    let mut user = first.clone();
    user.set_umask(asked.umask().or(first.umask()));
    Ok(user)
}

/// An environment in which what the node defines wins: engines do not know of it, so theirs lacks it.
fn with_node(engine: &[String], first: &OciProcess, record: &Record) -> Vec<String> {
    let of_node = |entry: &&String| {
        entry.split_once('=').is_some_and(|(key, _)| record.variables.iter().any(|one| one == key))
    };
    let own = first.env().iter().flatten().filter(of_node);
    engine.iter().filter(|entry| !of_node(entry)).chain(own).cloned().collect()
}

/// Leaves of `asked` only what `most` has.
pub(crate) fn narrow(asked: &mut LinuxCapabilities, most: &LinuxCapabilities) {
    type Set = Option<std::collections::HashSet<Capability>>;
    let both = |asked: &Set, most: &Set| -> Set {
        let most = most.clone().unwrap_or_default();
        Some(asked.iter().flatten().copied().filter(|one| most.contains(one)).collect())
    };
    asked.set_bounding(both(asked.bounding(), most.bounding()));
    asked.set_effective(both(asked.effective(), most.effective()));
    asked.set_permitted(both(asked.permitted(), most.permitted()));
    asked.set_inheritable(both(asked.inheritable(), most.inheritable()));
    asked.set_ambient(both(asked.ambient(), most.ambient()));
}

/// The status of a container that may be entered.
fn may_enter(record: &Record, store: &Store, terms: &Terms) -> Result<Status, LaunchError> {
    let (id, status) = (record.id.clone(), record.status(store));
    match status {
        Status::Running | Status::Created => Ok(status),
        Status::Paused if terms.ignore_paused => Ok(status),
        Status::Stopped => Err(LaunchError::NotRunning { id }),
        _ => Err(LaunchError::State { id, status: status.name(), verb: "entered" }),
    }
}

/// Runs a process in a container; returns once it has become its command.
///
/// # Errors
/// The container does not run, or something is refused; then no process is left.
pub(crate) fn enter(
    store: &Store,
    id: &str,
    process: &OciProcess,
    terms: Terms,
) -> Result<ExecProcess, LaunchError> {
    let record = store.read(id)?;
    let status = may_enter(&record, store, &terms)?;
    super::create::passed(terms.preserve)?;
    super::streams::guard()?;
    let spec = store.spec(id)?;
    settings::check_process(process)?;
    let schedule = Schedule::of(process)?;
    let setup = Setup::with(process, spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()))?
        .in_domain(settings::personality(&spec)?)
        .of_own_launch(record.redpath.is_some() && !record.engine)
        .under(record.filter)
        .keeping_groups(keeps_groups(&record, process, &spec));
    if setup.terminal() != terms.console.is_some() {
        return Err(LaunchError::refused(
            "process.terminal",
            "a terminal needs --console-socket, and the other way round",
        ));
    }
    let agent = super::seccomp::listener(setup.seccomp())?;
    let (first, pidfd) = record.first()?;
    let (entry, attach) = entry(&record, first, &terms)?;
    let patience = if status == Status::Paused { FOREVER } else { PATIENCE };
    let (ours, theirs) = Sync::pair().doing(|| "a socket")?;
    let ours = ours.interruptible(patience).doing(|| "a socket")?;
    let namespaces = different(first)?;
    // What is made in another user namespace, a terminal, is to belong to somebody there.
    let maker = (namespaces & libc::CLONE_NEWUSER != 0)
        .then(|| RootInside::in_namespace_of(&first.pid.to_string()))
        .transpose()?;
    let inside = Inside {
        id,
        setup,
        sync: theirs,
        far: ours.number(),
        console_socket: terms.console,
        passed: terms.preserve,
        namespaces,
        maker,
        container: &pidfd,
    };
    let entered = split(inside, entry)?;
    sys::descriptors::close_handed(terms.preserve);
    let limits = process.rlimits().as_deref().unwrap_or_default();
    let told = |pid: i32, notify: &OwnedFd| {
        let agent = agent.as_ref().ok_or(LaunchError::Died("entering"))?;
        super::seccomp::hand_over(&spec, (pid, &record.state(status).to_string()), agent, notify)
    };
    let attached = attach.map_or(Ok(()), |attach| attach.put(entered.pid));
    match attached.and_then(|()| begin(&entered, (limits, schedule, &ours), told)) {
        Ok(()) => Ok(entered),
        Err(error) => {
            entered.end();
            Err(error)
        }
    }
}

/// Limits a process that waits, lets it go on, and hears how that ended.
fn begin(
    entered: &ExecProcess,
    (limits, schedule, ours): (&[PosixRlimit], Schedule, &Sync),
    tell_agent: impl FnOnce(i32, &OwnedFd) -> Result<(), LaunchError>,
) -> Result<(), LaunchError> {
    process::raise(entered.pid, limits)?;
    schedule.give(entered.pid)?;
    ours.say(&Message::Go).doing(|| "the process inside")?;
    let mut heard = ours.hear().doing(|| "the process inside")?;
    if let Some(Message::Warning(text)) = &heard {
        warn(text);
        heard = ours.hear().doing(|| "the process inside")?;
    }
    if matches!(heard, Some(Message::Asks)) {
        tell_agent(entered.pid.as_raw_nonzero().get(), &ours.take_over()?)?;
        heard = ours.hear().doing(|| "the process inside")?;
    }
    match heard {
        Some(Message::Ready) => {}
        Some(Message::Failed(error)) => return Err(error),
        _ => return Err(LaunchError::Died("entering")),
    }
    match ours.hear().doing(|| "the process inside")? {
        None => Ok(()),
        Some(Message::Failed(error)) => Err(error),
        Some(_) => Err(LaunchError::Died("entering")),
    }
}

/// Where the new process is accounted for.
fn entry(record: &Record, first: Process, terms: &Terms) -> Result<(Entry, Option<Attach>), LaunchError> {
    let Some(cgroups) = &record.cgroups else { return Ok((Entry::default(), None)) };
    let below = terms.cgroup.clone().unwrap_or_default();
    if below.components().any(|part| !matches!(part, std::path::Component::Normal(_)))
        && !below.as_os_str().is_empty()
    {
        return Err(LaunchError::refused(
            format!("--cgroup {}", below.display()),
            "it has to be a path below the container's cgroup",
        ));
    }
    if cgroups.layout == Layout::V2 {
        // The first process may have moved itself further down; a group with groups below it
        // takes no processes (cgroup-v2.rst, "No Internal Process Constraint").
        let text = super::cgroup::of_process(&first.pid.to_string())?;
        let path = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or(&cgroups.path);
        let base = if below.as_os_str().is_empty() { path } else { cgroups.path.as_str() };
        let path = PathBuf::from(MOUNT).join(base.trim_start_matches('/')).join(below);
        let entry = Entry::of([path.clone()])?;
        // What is cloned into it would not run a single step.
        let what = || format!("cgroup {}", path.display());
        let frozen = entry.unified().map_or(Ok(false), super::cgroup::is_frozen).doing(what)?;
        if !terms.ignore_paused && frozen {
            return Err(LaunchError::refused(what(), "is frozen, by somebody else than `pause`"));
        }
        let place = Path::new("/").join(path.strip_prefix(MOUNT).unwrap_or(&path));
        let attach = Attach::needed(cgroups.systemd.as_deref(), &place.to_string_lossy())?;
        return Ok(if attach.is_some() { (Entry::default(), attach) } else { (entry, None) });
    }
    Ok((Entry::of(cgroups.leaves().iter().map(|leaf| leaf.join(&below)))?, None))
}

/// Namespaces of the container that are not the launcher's own.
fn different(first: Process) -> Result<i32, LaunchError> {
    let mut all = 0;
    let kinds = [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        0x80,
    ];
    for kind in kinds {
        let file = name(kind).trim_end_matches("_for_children");
        let inode =
            |path: String| rustix::fs::stat(&*path).doing(|| path).map(|stat| (stat.st_dev, stat.st_ino));
        let theirs = inode(format!("/proc/{}/ns/{file}", first.pid));
        // A kernel without this kind has neither.
        let Ok(ours) = inode(format!("/proc/self/ns/{file}")) else { continue };
        if theirs? != ours {
            all |= kind;
        }
    }
    Ok(all)
}

/// Everything the process inside needs.
struct Inside<'a> {
    id: &'a str,
    setup: Setup<'a>,
    /// Its end of the conversation.
    sync: Sync,
    /// Number of the launcher's end.
    far: i32,
    console_socket: Option<OwnedFd>,
    passed: u32,
    namespaces: i32,
    /// Whom it is until it becomes the user.
    maker: Option<RootInside>,
    /// pidfd of the container's first process.
    container: &'a OwnedFd,
}

/// Clones the new process inside. Returns only in the launcher.
fn split(inside: Inside<'_>, cgroups: Entry) -> Result<ExecProcess, LaunchError> {
    // From the container's cgroup namespace nothing can be cloned into a cgroup of the host's.
    let most = inside.namespaces & !libc::CLONE_NEWCGROUP;
    let enter = || sys::namespace::join(inside.container, most).doing(|| "entering the container");
    let adjust = inside.setup.process().oom_score_adj();
    match made_within(adjust, enter, 0, cgroups.unified())? {
        Made::Child(child) => inside.run(child, cgroups),
        Made::Parent { pid, pidfd } => Ok(ExecProcess { pid, pidfd }),
    }
}

impl Inside<'_> {
    fn run(self, child: ChildToken, cgroups: Entry) -> ! {
        // Its copy would keep it from hearing that the launcher is gone.
        sys::exec::let_go(self.far);
        let Self { id, setup, sync, console_socket, passed, namespaces, maker, container, .. } = self;
        let joined = Joined { id, setup, sync: &sync, console_socket, passed };
        let ready = (|| {
            cgroups.join()?;
            sync.wait_go()?;
            let last = namespaces & libc::CLONE_NEWCGROUP;
            if last != 0 {
                sys::namespace::join(container, last).doing(|| "entering the container's cgroups")?;
            }
            maker.map_or(Ok(()), RootInside::take)?;
            Rooted::joined(child, joined)?.close()?.become_user()
        })();
        let error = match ready {
            Ok(ready) => ready.join(),
            Err(error) => error,
        };
        report_and_exit(&sync, error)
    }
}
