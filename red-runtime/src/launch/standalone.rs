//! Launching a plan by ourselves, in the foreground or detached.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

use oci_spec::runtime::{Capability, LinuxResources, LinuxResourcesBuilder, Spec};
use rustix::fs::FileType;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::cgroup::{self, Base, Layout, Nested, Wanted};
use super::container;
use super::create::{self, Request, Terms};
use super::error::{Doing, LaunchError, tried};
use super::foreground::{self, Signals, Watched};
use super::job::Manner;
use super::record::{Process, Store};
use super::root::{Mount, Otherwise, Root, Source, What, layout};
use super::spawn::Spawned;
use super::sync::receive_descriptor;
use super::warning::warn;
use crate::node::config::Namespace;
use crate::node::diagnostic::Report;
use crate::node::family::Family;
use crate::node::merge::Sharing;
use crate::spec::host::CgroupMode;
use crate::spec::plan::Plan;
use crate::spec::{bundle, digest, resources};
use crate::sys::mount_attr::{MountAttr, flag};

/// How a plan is launched.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Name of the container; one is made up without it.
    pub name: Option<String>,
    /// Directory of states.
    pub root: Option<PathBuf>,
    /// Nobody waits for it, and its output goes to a file.
    pub detach: bool,
    /// It ends with the launcher, whatever the nodes say.
    pub die_with_parent: bool,
    /// It is in a session of its own, whatever the nodes say.
    pub new_session: bool,
}

/// When each phase of a launch was over.
#[derive(Debug)]
pub struct Phases {
    begin: Instant,
    marks: Vec<(&'static str, Instant)>,
}

impl Default for Phases {
    fn default() -> Self {
        Self { begin: Instant::now(), marks: Vec::new() }
    }
}

impl Phases {
    /// A phase is over.
    pub fn mark(&mut self, name: &'static str) {
        self.marks.push((name, Instant::now()));
    }

    /// Each phase with its microseconds.
    #[must_use]
    pub fn micros(&self) -> Vec<(&'static str, u128)> {
        let mut before = self.begin;
        let mut all = Vec::new();
        for (name, end) in &self.marks {
            all.push((*name, end.duration_since(before).as_micros()));
            before = *end;
        }
        all
    }
}

/// How a launch ended.
#[derive(Debug)]
pub struct Ended {
    /// Status of the command as a shell would have it; detached, 0 once it runs.
    pub code: i32,
    /// Why something of the container is left.
    pub left: Option<LaunchError>,
}

/// Launches a plan. Returns the status of its command as a shell would have it; detached, 0 once
/// it runs.
///
/// # Errors
/// Something is refused; then nothing of it is left.
pub fn launch(
    plan: &mut Plan,
    family: &Family,
    options: &Options,
    phases: &mut Phases,
) -> Result<Ended, LaunchError> {
    let store = Store::of(options.root.as_deref());
    for created in &plan.layout.create {
        bundle::create(created).map_err(|error| {
            LaunchError::refused(format!("directory {}", created.path), error.to_string())
        })?;
    }
    super::smack::check(plan.smack.as_deref())?;
    let mut root = layout::root(plan, family)?;
    let preserve = handed_descriptors(plan, &mut root)?;
    let id = options.name.clone().unwrap_or_else(|| container::fresh_id(&plan.redpath));
    super::record::check_id(&id)?;
    if options.name.is_some() {
        container::free_name(&store, &id)?;
    }
    let chain = chain(plan, family, (&format!("{id}{}", store.scope()), options.detach))?;
    let devices = plan.spec.linux().as_ref().and_then(|linux| linux.resources().as_ref()?.devices().clone());
    let devices = LinuxResourcesBuilder::default().devices(devices.unwrap_or_default()).build();
    let devices = devices.unwrap_or_default();
    let reaper = *sharing(plan, Namespace::Pid) == Sharing::New;
    let die_with_parent = plan.die_with_parent() || options.die_with_parent;
    let new_session = plan.new_session() || options.new_session || foreground::has_terminal();
    let spec = &plan.spec;
    let request = Request {
        id: &id,
        bundle: Path::new(&plan.redpath),
        spec,
        root: &root,
        node: Some(create::OfNode::of(plan)),
        resources: Some(&devices),
        cgroup: chain.wanted,
        chain: chain.limits,
        terms: Terms {
            no_cgroups: chain.without,
            preserve,
            reaper,
            own: true,
            smack: plan.smack.clone(),
            ..Terms::default()
        },
    };
    phases.mark("prepare");
    if options.detach {
        return detached(&store, request, phases).map(|()| Ended { code: 0, left: None });
    }
    let manner = Manner::Foreground { die_with_parent, new_session, reaper };
    in_foreground(&store, request, manner, phases)
}

fn in_foreground(
    store: &Store,
    mut request: Request<'_>,
    manner: Manner,
    phases: &mut Phases,
) -> Result<Ended, LaunchError> {
    let Manner::Foreground { new_session, reaper, .. } = manner else {
        return Err(LaunchError::refused("launch", "not in the foreground"));
    };
    let terminal = wants_terminal(request.spec);
    let ours = terminal.then(|| console_socket(&mut request.terms)).transpose()?;
    let signals = Signals::hold()?;
    let foreground = create::foreground(store, request, manner)?;
    phases.mark("spawn");
    let spawned = &foreground.spawned;
    let terminal = started(spawned, ours.as_ref());
    phases.mark("exec");
    let code = terminal.and_then(|terminal| {
        let watched = Watched {
            pidfd: spawned.pidfd.as_fd(),
            pid: spawned.pid,
            reaper,
            shares_terminal: !new_session && terminal.is_none(),
            terminal,
        };
        foreground::wait(&watched, &signals)
    });
    // Nobody would look after it.
    let code = code.map_err(|error| spawned.fail(error));
    phases.mark("run");
    let finished = foreground.finish();
    phases.mark("clean up");
    // The command has ended as it has, whatever becomes of what it leaves behind.
    code.map(|code| Ended { code, left: finished.err() })
}

/// Waits until the command runs. Returns the outer side of its terminal, if it has one.
fn started(spawned: &Spawned, socket: Option<&OwnedFd>) -> Result<Option<OwnedFd>, LaunchError> {
    let terminal = match socket {
        Some(socket) => receive_descriptor(socket).doing(|| "the terminal")?,
        None => None,
    };
    spawned.wait_exec()?;
    if socket.is_some() && terminal.is_none() {
        return Err(LaunchError::refused("the terminal", LOST));
    }
    Ok(terminal)
}

/// Why there is no terminal though one was made.
pub(crate) const LOST: &str = "its outer side did not arrive; are there too many open files?";

fn detached(store: &Store, mut request: Request<'_>, phases: &mut Phases) -> Result<(), LaunchError> {
    // The file of one that runs is not emptied.
    if store.read(request.id).is_ok_and(|record| record.status(store) != container::Status::Stopped) {
        return Err(LaunchError::Exists { id: request.id.to_owned() });
    }
    let null = super::streams::null()?;
    let (path, output) = store.output(request.id)?;
    let log = output.try_clone().map_err(|error| LaunchError::refused("the log", error.to_string()))?;
    request.terms.streams = Some((null, output));
    request.terms.output = Some(path.clone());
    if wants_terminal(request.spec) {
        return Err(LaunchError::refused("--detach", "there is no terminal to give to the command"));
    }
    let id = request.id.to_owned();
    let created = create::create(store, request).map_err(|error| {
        // That of another one of this name, which came first, is not ours.
        if !matches!(error, LaunchError::Exists { .. }) {
            tried(std::fs::remove_file(&path));
        }
        error
    });
    let pid = created?;
    // The name is ours: what one before it has written goes.
    let first = Process::of(pid);
    let started =
        rustix::fs::ftruncate(&log, 0).doing(|| "the log").and_then(|()| container::start(store, &id));
    phases.mark("start");
    started.map_err(|error| {
        let gone = match first {
            Ok(first) => container::delete_own(store, &id, first),
            Err(_) => container::delete(store, &id, true),
        };
        match gone {
            Ok(()) => error,
            Err(second) => LaunchError::refused(
                error.to_string(),
                format!("and its remains could not be removed ({second}); `red-runtime delete --force {id}`"),
            ),
        }
    })
}

fn sharing(plan: &Plan, namespace: Namespace) -> &Sharing {
    &plan.merged.shares.get(namespace).value
}

fn wants_terminal(spec: &Spec) -> bool {
    spec.process().as_ref().is_some_and(|process| process.terminal().unwrap_or(false))
}

/// A pair of sockets for the outer side of a terminal; the far end goes to the container.
///
/// # Errors
/// Descriptors ran out.
pub(crate) fn console_socket(terms: &mut Terms) -> Result<OwnedFd, LaunchError> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .doing(|| "a socket")?;
    terms.console = Some(theirs);
    Ok(ours)
}

/// What a service manager hands down: open sockets (sd_listen_fds(3)) and where to report to
/// (sd_notify(3)). Returns how many descriptors the command gets.
fn handed_descriptors(plan: &mut Plan, root: &mut Root) -> Result<u32, LaunchError> {
    let text = |key: &str| plan.launch.environment.get(key).cloned();
    let own = text("LISTEN_PID").is_some_and(|pid| pid == std::process::id().to_string());
    let count = text("LISTEN_FDS").filter(|_| own).and_then(|count| count.parse::<u32>().ok()).unwrap_or(0);
    create::passed(count)?;
    let mut add = Vec::new();
    if count > 0 {
        add.push(format!("LISTEN_FDS={count}"));
        add.extend(text("LISTEN_FDNAMES").map(|names| format!("LISTEN_FDNAMES={names}")));
    }
    if let Some(path) = text("NOTIFY_SOCKET") {
        if let Some(id) = socket_at(Path::new(&path)) {
            let destination = super::root::oci::inside_path(Path::new(&path))?;
            let source = Source::Checked { path: PathBuf::from(&path), id };
            let what = What::Bind { source, all: false };
            root.mounts.push(Mount {
                destination,
                what,
                // A socket of a read-only mount can be written to, but not changed.
                attr: MountAttr {
                    set: flag::RDONLY | flag::NODEV,
                    propagation: libc::MS_PRIVATE,
                    ..MountAttr::default()
                },
                recursive: MountAttr::default(),
                otherwise: Otherwise::Skip,
                missing_points: Vec::new(),
                of_node: false,
                owners: None,
                held: false,
            });
        }
        add.push(format!("NOTIFY_SOCKET={path}"));
        // Where it is not said whose it is, it is everybody's (sd_watchdog_enabled(3)).
        let own = text("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        add.extend(text("WATCHDOG_USEC").filter(|_| own).map(|time| format!("WATCHDOG_USEC={time}")));
    }
    if !add.is_empty()
        && let Some(process) = plan.spec.process_mut()
    {
        let mut env = process.env().clone().unwrap_or_default();
        env.extend(add);
        process.set_env(Some(env));
    }
    Ok(count)
}

/// Device and inode of a socket. Nothing else is mounted because a variable of the caller names it.
fn socket_at(path: &Path) -> Option<(u64, u64)> {
    let found = rustix::fs::stat(path).ok().filter(|_| path.is_absolute())?;
    let is_socket = FileType::from_raw_mode(found.st_mode) == FileType::Socket;
    is_socket.then_some((found.st_dev, found.st_ino))
}

/// Cgroups of a launch.
#[derive(Default)]
struct Chain {
    /// The container's own.
    wanted: Option<Wanted>,
    /// Those of the nodes, which are above it, and their limits.
    limits: Vec<(String, LinuxResources)>,
    /// Whether it has none at all.
    without: bool,
}

/// Whether a `cgrouproot` is the cgroup of the manager of a user's units, as in red-pak's templates. Nobody but that
/// manager may make cgroups in it, and it makes scopes for those who ask.
fn is_a_manager(root: &str) -> bool {
    let name = root.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    name.starts_with("user@") && name.ends_with(".service")
}

/// Cgroups of a family: one a node, each with its own limits and the next one in it, so that an
/// ancestor's limit holds for the sum of all that runs below it. Where nothing is limited, a
/// launch that cannot outlive its pid namespace or make devices needs none.
fn chain(plan: &Plan, family: &Family, (id, detach): (&str, bool)) -> Result<Chain, LaunchError> {
    let limited = plan.merged.levels.iter().any(|level| !level.limits.is_empty());
    let root = plan.merged.tags.cgrouproot.as_ref().map(|root| root.value.actual.clone());
    let root = root.filter(|root| !is_a_manager(root));
    let granted: HashSet<Capability> = plan.merged.capabilities.granted().map(|(one, _)| one).collect();
    let devices = plan.inside.user_namespace == Sharing::Host
        && (granted.contains(&Capability::Mknod) || granted.contains(&Capability::SysAdmin));
    let outlives = *sharing(plan, Namespace::Pid) != Sharing::New;
    let layout = Layout::here();
    if !limited && root.is_none() && !devices && !outlives && !detach {
        return Ok(Chain::default());
    }
    if layout == Layout::None {
        return if limited || devices {
            Err(LaunchError::refused("cgroups", "the nodes set limits, and this machine has no cgroups"))
        } else {
            Ok(Chain::default())
        };
    }
    let mode = if layout == Layout::V2 { CgroupMode::V2 } else { CgroupMode::V1 };
    let is_default = root.is_none();
    let base = match root {
        Some(root) => {
            Base::Free(root.strip_prefix(cgroup::MOUNT).unwrap_or(&root).trim_end_matches('/').to_owned())
        }
        None => Base::here(layout),
    };
    let start = match &base {
        // One cgroup is enough, where every detached container has it.
        Base::Free(_) if !limited && is_default && !devices && !outlives => {
            return Ok(Chain::default());
        }
        Base::Free(path) | Base::Delegated { path, .. } => path.trim_end_matches('/').to_owned(),
        Base::Scope { service, .. } if !limited && !devices && (!outlives || service.is_some()) => {
            // Nothing is asked of a cgroup: it stays with whoever started it.
            return Ok(Chain { without: true, ..Chain::default() });
        }
        Base::Scope { .. } => String::new(),
    };
    let mut path = start;
    let mut limits = Vec::new();
    for level in &plan.merged.levels {
        let node = &family.nodes[level.node];
        let place = digest::short(node.vars.path.as_bytes());
        // An alias is unique in its family only, so a part of the path's digest goes with it.
        path = format!("{path}/{}-{place}", node.vars.alias);
        // What cannot hold here was warned of when the plan was made.
        let own = resources::resources(&level.limits, mode, &mut Report::default())
            .map_err(|error| LaunchError::refused("cgroups", error.to_string()))?;
        limits.push((path.clone(), own));
    }
    let optional = !limited && !devices;
    let leaf = format!("{path}/{id}");
    let at = || {
        let nodes = limits.iter().map(|(path, _)| path.as_str());
        Wanted::at(layout, &leaf, optional).map(|wanted| wanted.in_nodes(nodes))
    };
    let wanted = match base {
        Base::Free(_) => at()?,
        Base::Delegated { path, occupied } => at()?.below(&path, occupied),
        Base::Scope { slice, service } => {
            if let Some(service) = &service {
                warn(&format!(
                    "unit {0} has no `Delegate=yes`: the nodes' limits are in a scope beside it, which ends with {0} \
                     and has its limits, but not its notifications and log",
                    service.unit
                ));
            }
            let relative = |path: &str| path.trim_start_matches('/').to_owned();
            let chain = limits.drain(..).map(|(path, own)| (relative(&path), own)).collect();
            Wanted::nested(&slice, id, Nested { chain, leaf: relative(&leaf), service })?
        }
    };
    Ok(Chain { wanted: Some(wanted), limits, without: false })
}
