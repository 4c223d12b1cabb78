//! Making containers: for an engine, which starts them later, and in the foreground.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Hooks, LinuxResources, Spec};
use rustix::process::Pid;

use super::cgroup::{self, Cgroups, Nested, Wanted};
use super::container::{Status, take_down};
use super::error::{Doing, LaunchError};
use super::filter::Standard;
use super::foreground::Signals;
use super::job::{Job, Manner};
use super::record::{Held, Process, Record, SCHEMA, Stage, Store, write_pid_file};
use super::root::Root;
use super::root::devices::need_room;
use super::spawn::{Spawned, spawn};
use super::warning::warn;
use super::{ended, hooks, start, without_cgroups};

/// What is to be made, and for whom.
pub(crate) struct Request<'a> {
    /// Its name.
    pub(crate) id: &'a str,
    /// Its bundle.
    pub(crate) bundle: &'a Path,
    /// Its configuration.
    pub(crate) spec: &'a Spec,
    /// Its root.
    pub(crate) root: &'a Root,
    /// The node it runs.
    pub(crate) node: Option<OfNode>,
    /// Limits of its cgroup.
    pub(crate) resources: Option<&'a LinuxResources>,
    /// Where its cgroup goes, when its configuration does not say.
    pub(crate) cgroup: Option<Wanted>,
    /// Cgroups above its own and their limits: path and limits.
    pub(crate) chain: Vec<(String, LinuxResources)>,
    /// What engines ask for.
    pub(crate) terms: Terms,
}

/// What is known of the node that a container runs.
#[derive(Clone, Debug)]
pub(crate) struct OfNode {
    /// Its path.
    pub(crate) redpath: String,
    /// Digest of its plan.
    pub(crate) digest: String,
    /// Variables that it defines.
    pub(crate) variables: Vec<String>,
    /// Whether it says who its commands run as.
    pub(crate) identity: bool,
    /// Whether its command is the very user and group that launches it.
    pub(crate) is_caller: bool,
    /// Whether its processes are under the standard filter.
    pub(crate) filter: bool,
    /// Its own limits, where it sets any: no engine lifts them later.
    pub(crate) limits: Option<LinuxResources>,
}

impl OfNode {
    /// That of a plan.
    pub(crate) fn of(plan: &crate::spec::plan::Plan) -> Self {
        let caller = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let identity = plan.merged.tags.identity.user.is_some() || plan.merged.tags.identity.group.is_some();
        let defined = plan.environment.iter().filter(|entry| entry.origin.is_some());
        Self {
            redpath: plan.redpath.clone(),
            digest: plan.digest.to_string(),
            variables: defined.map(|entry| entry.key.clone()).collect(),
            identity,
            is_caller: !identity && caller == (plan.target.uid, plan.target.gid),
            filter: plan.seccomp(),
            limits: plan.spec.linux().as_ref().and_then(|linux| linux.resources().clone()),
        }
    }
}

/// How it is made.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    /// Cgroups are made by systemd.
    pub(crate) systemd: bool,
    /// There are to be none.
    pub(crate) no_cgroups: bool,
    /// An engine looks after it.
    pub(crate) engine: bool,
    /// We launch it ourselves.
    pub(crate) own: bool,
    /// Its Smack label.
    pub(crate) smack: Option<String>,
    /// Where the outer side of its terminal goes.
    pub(crate) console: Option<OwnedFd>,
    /// Where its number is written.
    pub(crate) pid_file: Option<PathBuf>,
    /// Where a descriptor of its first process is sent.
    pub(crate) pidfd_socket: Option<OwnedFd>,
    /// Descriptors above the standard streams that the command gets.
    pub(crate) preserve: u32,
    /// Root is changed without pivot_root(2).
    pub(crate) no_pivot: bool,
    /// The session keyring stays the launcher's.
    pub(crate) no_new_keyring: bool,
    /// Where its output goes.
    pub(crate) output: Option<PathBuf>,
    /// Standard streams in place of the launcher's: input, and output of both kinds.
    pub(crate) streams: Option<(OwnedFd, OwnedFd)>,
    /// Its first process is ours, where it has processes of its own.
    pub(crate) reaper: bool,
}

impl Request<'_> {
    fn record(&self, cgroups: Option<Cgroups>) -> Record {
        let node = self.node.clone();
        let redpath = node.as_ref().map(|node| node.redpath.clone());
        let annotations = self.spec.annotations().iter().flatten();
        Record {
            schema: SCHEMA.to_owned(),
            id: self.id.to_owned(),
            bundle: self.bundle.to_owned(),
            root: match &self.root.base {
                super::root::Base::Directory(path) => path.clone(),
                super::root::Base::Skeleton { .. } => redpath.clone().unwrap_or_default().into(),
            },
            stage: Stage::Creating,
            process: None,
            cgroups,
            created: jiff::Timestamp::now().to_string(),
            owner: rustix::process::geteuid().as_raw(),
            redpath,
            digest: node.as_ref().map(|node| node.digest.clone()),
            identity: node.as_ref().is_some_and(|node| node.identity),
            keeps_groups: self.keeps_groups(),
            limits: node.as_ref().and_then(|node| node.limits.clone()),
            variables: node.map(|node| node.variables).unwrap_or_default(),
            engine: self.terms.engine,
            oci: self.spec.version().clone(),
            annotations: annotations
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect::<BTreeMap<_, _>>(),
            paused: false,
            output: self.terms.output.clone(),
            reaper: self.terms.reaper,
            filter: self.filter(),
            later: Some(self.later()),
        }
    }

    /// The standard filter of its processes.
    fn filter(&self) -> Standard {
        self.node.as_ref().map_or(Standard::None, |node| Standard::of_node(node.filter, self.terms.own))
    }

    /// Whether its command keeps the launcher's supplementary groups: it is the same user, whom a group lets
    /// use a device, or a file of an export. Whether ids are mapped makes no difference.
    fn keeps_groups(&self) -> bool {
        self.terms.own && self.node.as_ref().is_some_and(|node| node.is_caller)
    }

    /// Hooks that later commands run.
    fn later(&self) -> Hooks {
        let mut later = Hooks::default();
        if let Some(all) = self.spec.hooks() {
            later.set_poststart(all.poststart().clone());
            later.set_poststop(all.poststop().clone());
        }
        later
    }

    fn job(&mut self, (cgroups, nested): (Option<Cgroups>, Option<Nested>), manner: Manner) -> Job<'_> {
        Job {
            id: self.id,
            own: self.terms.own,
            start_socket: None,
            ended: None,
            filter: self.filter(),
            keeps_groups: self.keeps_groups(),
            smack: self.terms.smack.take(),
            bundle: self.bundle.to_owned(),
            spec: self.spec,
            root: self.root,
            cgroups,
            nested,
            resources: self.resources,
            later_filter: later_filter(self),
            manner,
            console: self.terms.console.take(),
            streams: self.terms.streams.take(),
            preserve: self.terms.preserve,
            no_pivot: self.terms.no_pivot,
            no_new_keyring: self.terms.no_new_keyring,
        }
    }
}

/// Makes a container that waits to be started.
///
/// # Errors
/// Something is refused; then nothing of it is left.
pub(crate) fn create(store: &Store, request: Request<'_>) -> Result<Pid, LaunchError> {
    let held = store.hold(request.id)?;
    super::container::free(&held, store)?;
    let wanted = match check(store, &request) {
        Ok(wanted) => wanted,
        Err(error) => {
            held.unlock()?;
            return Err(error);
        }
    };
    let record = request.record(wanted.as_ref().map(Wanted::record));
    // A signal that is to end this process has it take away first what it makes from here on.
    let _signals = Signals::hold()?;
    let directory = held.begin(&record, request.spec, true)?;
    make(&held, &directory, record, wanted, request).or_else(|(record, error)| undo(held, &record, error))
}

/// Everything that can be found wrong before anything is made.
fn check(store: &Store, request: &Request<'_>) -> Result<Option<Wanted>, LaunchError> {
    let process = request.spec.process().as_ref();
    let terminal = process.is_some_and(|process| process.terminal().unwrap_or(false));
    match (terminal, request.terms.console.is_some()) {
        (true, false) => {
            return Err(LaunchError::refused(
                "process.terminal",
                "a terminal needs --console-socket, or the foreground",
            ));
        }
        (false, true) => {
            return Err(LaunchError::refused("--console-socket", "the process has no terminal"));
        }
        _ => {}
    }
    super::settings::check(request.spec)?;
    super::process::Setup::of(request.spec)?;
    passed(request.terms.preserve)?;
    let wanted = match &request.cgroup {
        Some(wanted) => Some(wanted.clone()),
        None if request.terms.no_cgroups => None,
        None => Wanted::of(request.spec, (request.id, &store.scope()), request.terms.systemd)?,
    };
    let resources = request.resources;
    if wanted.is_none() {
        if resources.is_some_and(cgroup::asks) {
            let why = if request.terms.no_cgroups {
                "limits need cgroups, and it is to have none"
            } else {
                "this machine has no cgroups to limit anything with"
            };
            return Err(LaunchError::refused("linux.resources", why));
        }
        without_cgroups::devices_are_kept(request)?;
    }
    Ok(wanted)
}

/// Checks how many descriptors a command is to get: no more than a process may have open.
///
/// # Errors
/// It is more than RLIMIT_NOFILE.
pub(crate) fn passed(count: u32) -> Result<(), LaunchError> {
    if count == 0 {
        return Ok(());
    }
    let limit = crate::sys::limit(rustix::process::Resource::Nofile).doing(|| "--preserve-fds")?;
    match limit.maximum {
        Some(most) if u64::from(count) > most => Err(LaunchError::refused(
            "--preserve-fds",
            format!("{count} is more than RLIMIT_NOFILE ({most})"),
        )),
        None if count > MOST_PASSED => {
            Err(LaunchError::refused("--preserve-fds", format!("{count} is more than {MOST_PASSED}")))
        }
        _ => Ok(()),
    }
}

/// Descriptors that may be passed where the number of open ones is not limited.
const MOST_PASSED: u32 = 1 << 20;

type Failed = (Box<Record>, LaunchError);

fn make(
    held: &Held,
    directory: &OwnedFd,
    mut record: Record,
    wanted: Option<Wanted>,
    mut request: Request<'_>,
) -> Result<Pid, Failed> {
    let pid_file = request.terms.pid_file.take();
    let pidfd_socket = request.terms.pidfd_socket.take();
    let result = (|| {
        let nested = wanted.as_ref().and_then(|wanted| wanted.nested.clone());
        let cgroups = prepare(&request, wanted)?;
        record.cgroups.clone_from(&cgroups);
        let socket = start::offer(directory)?;
        let reaper = request.terms.reaper;
        let mut job = request.job((cgroups, nested), Manner::Created { reaper });
        job.start_socket = Some(socket);
        job.ended = (job.own && reaper).then(|| ended::offer(directory)).transpose()?;
        let spawned = spawn(&mut job, &mut |_, _| Ok(()))?;
        record.cgroups.clone_from(&job.cgroups);
        let handed = tell(pidfd_socket.as_ref(), &spawned)
            .and_then(|()| hand_over(held, directory, &mut record, &spawned, pid_file.as_deref()));
        match handed {
            Ok(()) => Ok(spawned.pid),
            Err(error) => Err(spawned.fail(error)),
        }
    })();
    result.map_err(|error| (Box::new(without_others(record, &error)), error))
}

/// A record that names nothing of somebody else's, so that nothing of theirs is taken away.
fn without_others(mut record: Record, error: &LaunchError) -> Record {
    if matches!(error, LaunchError::CgroupTaken { .. }) {
        record.cgroups = None;
    }
    record
}

/// Whether the device filter is set only when the root is complete: devices of the configuration need not
/// be among those that its rules let the container make. Only a container that waits to be started waits
/// for that.
fn later_filter(request: &Request<'_>) -> bool {
    !request.terms.own && need_room(request.spec)
}

/// Cgroups with their limits, before anything runs in them.
fn prepare(request: &Request<'_>, wanted: Option<Wanted>) -> Result<Option<Cgroups>, LaunchError> {
    let Some(wanted) = wanted else { return Ok(None) };
    if wanted.systemd.is_some() {
        return Ok(Some(wanted.record()));
    }
    let mut made = wanted.make()?;
    // From here on something may run in them.
    made.iter_mut().for_each(Cgroups::identify);
    match (&made, request.resources) {
        (Some(cgroups), resources) => {
            let mut above = cgroups.clone();
            for (path, limits) in &request.chain {
                above.path.clone_from(path);
                cgroup::apply(&above, limits)?;
            }
            if let Some(resources) = resources {
                cgroup::apply(cgroups, resources)?;
            }
            if !later_filter(request) {
                cgroup::filter_devices(cgroups, resources)?;
            }
        }
        (None, Some(resources)) if cgroup::asks(resources) => {
            return Err(LaunchError::Cgroup {
                path: wanted.path,
                why: "it cannot be made by this user, and the configuration asks for limits; have the cgroup delegated (`red-runtime doctor` says how)".into(),
            });
        }
        (None, _) => {}
    }
    Ok(made)
}

/// Sends the first process as a descriptor to whoever asked.
fn tell(socket: Option<&OwnedFd>, spawned: &Spawned) -> Result<(), LaunchError> {
    let Some(socket) = socket else { return Ok(()) };
    super::sync::send_descriptor(socket, b"pidfd", &spawned.pidfd).doing(|| "--pidfd-socket")
}

fn hand_over(
    held: &Held,
    directory: &OwnedFd,
    record: &mut Record,
    spawned: &Spawned,
    pid_file: Option<&Path>,
) -> Result<(), LaunchError> {
    record.process = Some(Process::of(spawned.pid)?);
    record.stage = Stage::Created;
    held.update(directory, record)?;
    if let Some(file) = pid_file {
        write_pid_file(file, spawned.pid.as_raw_nonzero().get())?;
    }
    spawned.release()
}

/// Takes away what was made of a container that did not come to be.
fn undo<T>(held: Held, record: &Record, error: LaunchError) -> Result<T, LaunchError> {
    match take_down(record).and_then(|()| held.forget()) {
        Ok(()) => {
            // Hooks may have set up something before it failed (runtime.md, "Lifecycle", steps 12 and 13).
            let poststop = record.later.as_ref().and_then(|later| later.poststop().as_ref());
            hooks::run_poststop(poststop, || record.state(Status::Stopped).to_string());
            Err(error)
        }
        // The first error is the reason; the second says what is left, and by what name.
        Err(second) => Err(LaunchError::refused(
            error.to_string(),
            format!(
                "and its remains could not be removed ({second}); `red-runtime delete --force {}`",
                record.id
            ),
        )),
    }
}

/// A container in the foreground, and its record.
pub(crate) struct Foreground {
    /// Its first process.
    pub(crate) spawned: Spawned,
    store: Store,
    recorded: bool,
    record: Record,
}

/// Makes a container in the foreground; it starts at once.
///
/// # Errors
/// Something is refused; then nothing of it is left.
pub(crate) fn foreground(
    store: &Store,
    mut request: Request<'_>,
    manner: Manner,
) -> Result<Foreground, LaunchError> {
    let wanted = request.cgroup.take();
    let mut record = request.record(wanted.as_ref().map(Wanted::record));
    let (id, spec) = (request.id, request.spec);
    let claim = |record: &Record, lasts: bool| {
        let held = store.hold(id)?;
        super::container::free(&held, store)?;
        held.begin(record, spec, lasts).map(|_directory| held)
    };
    // Cgroups outlive processes, so they are written down before they are made. Without them the record can
    // wait until there is a process, and is written while that prepares itself.
    let mut held = wanted.is_some().then(|| claim(&record, true)).transpose()?;
    let result = (|| {
        let nested = wanted.as_ref().and_then(|wanted| wanted.nested.clone());
        let cgroups = prepare(&request, wanted)?;
        record.cgroups.clone_from(&cgroups);
        let mut job = request.job((cgroups, nested), manner);
        spawn(&mut job, &mut |spawned, cgroups| {
            record.process = match Process::of(spawned.pid) {
                // It has ended already, and says why.
                Err(LaunchError::Died(_)) => return Ok(()),
                // It ends with its launcher's signals, and leaves no cgroup: it need not be on record.
                Err(error) if held.is_none() => {
                    warn(&format!("the container is not on record: {error}"));
                    return Ok(());
                }
                process => Some(process?),
            };
            record.cgroups = cgroups.cloned();
            record.stage = Stage::Started;
            match &held {
                Some(held) => held.update(&held.open()?, &record),
                None => claim(&record, false).map(|claimed| held = Some(claimed)),
            }
        })
    })();
    match result {
        // The lock is let go: others may look, and end it.
        Ok(spawned) => {
            let recorded = held.take().is_some();
            Ok(Foreground { spawned, store: store.clone(), recorded, record })
        }
        Err(error) => match held {
            Some(held) => undo(held, &without_others(record, &error), error),
            None => Err(error),
        },
    }
}

impl Foreground {
    /// Takes away what the container leaves behind.
    ///
    /// # Errors
    /// Something does not end or cannot be removed.
    pub(crate) fn finish(self) -> Result<(), LaunchError> {
        let end = || match &self.record.cgroups {
            Some(cgroups) => cgroups.end().and_then(|()| cgroups.remove()),
            None => Ok(()),
        };
        if !self.recorded {
            return end();
        }
        let held = self.store.hold(&self.record.id)?;
        if !held.exists() {
            // Whoever has forgotten it has also ended what was left of it.
            return held.unlock();
        }
        // The name of a container that has ended is free, and may be another's by now.
        if held.read().is_ok_and(|record| record.process != self.record.process) {
            return Ok(());
        }
        end()?;
        held.forget()
    }
}
