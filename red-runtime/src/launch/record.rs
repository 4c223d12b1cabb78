//! What is known of every container: a directory each, with a record that is written before
//! anything is made and is enough to take everything away again.

mod held;
mod lock;
mod place;
mod store;
mod trusted;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use oci_spec::runtime::{Hooks, LinuxResources};
use serde::{Deserialize, Serialize};

use super::cgroup::Cgroups;
use super::error::{Doing, LaunchError, tried};
use super::filter::Standard;
use crate::node::place::{CONTAINER_NAME, is_container_name};

pub(crate) use held::Held;
pub(crate) use store::Store;

/// How far a container has come, as far as we brought it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    /// It is being made.
    Creating,
    /// Its first process waits to be started.
    Created,
    /// It was started.
    Started,
}

/// A process, told apart from a later one with the same number.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: i32,
    /// When it started, in the kernel's ticks since the machine did (proc_pid_stat(5), field 22).
    pub(crate) start: u64,
    /// Inode of its pidfd, which is its alone (pidfs, Linux 6.9), where its `/proc/PID` is hidden from us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pidfd: Option<u64>,
}

/// What is recorded of a container.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Record {
    /// Version of this form.
    pub(crate) schema: String,
    /// Its name.
    pub(crate) id: String,
    /// Its bundle.
    pub(crate) bundle: PathBuf,
    /// Its root on the host.
    pub(crate) root: PathBuf,
    /// How far it came.
    pub(crate) stage: Stage,
    /// Its first process.
    pub(crate) process: Option<Process>,
    /// Its cgroups.
    pub(crate) cgroups: Option<Cgroups>,
    /// When it was made (RFC 3339).
    pub(crate) created: String,
    /// Who made it.
    pub(crate) owner: u32,
    /// The node it runs.
    pub(crate) redpath: Option<String>,
    /// Digest of its plan.
    pub(crate) digest: Option<String>,
    /// Whether the node says who its commands run as.
    #[serde(default)]
    pub(crate) identity: bool,
    /// Whether its command has its launcher's supplementary groups.
    #[serde(default)]
    pub(crate) keeps_groups: bool,
    /// Limits of the node itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limits: Option<LinuxResources>,
    /// Variables that the node defines.
    #[serde(default)]
    pub(crate) variables: Vec<String>,
    /// Whether an engine looks after it.
    pub(crate) engine: bool,
    /// Version of the specification its configuration keeps to.
    pub(crate) oci: String,
    /// Annotations of its configuration.
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
    /// Whether its first process is ours, and the command a child of it.
    #[serde(default)]
    pub(crate) reaper: bool,
    /// The standard system call filter of its processes.
    #[serde(default)]
    pub(crate) filter: Standard,
    /// Hooks that run after it was started and deleted, so that neither reads a configuration of a thousand
    /// mounts; `None` in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) later: Option<Hooks>,
    /// Whether it was paused before it was started.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) paused: bool,
    /// Where its output goes when nobody is in the foreground.
    #[serde(default)]
    pub(crate) output: Option<PathBuf>,
}

/// A record on disk, with the boot it is of: a PID and the time a process started at tell processes apart
/// during one boot only, and a state directory may outlive it.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    record: &'a Record,
    boot: &'a str,
}

/// The same, as it is read.
#[derive(Deserialize)]
struct Kept {
    #[serde(flatten)]
    record: Record,
    #[serde(default)]
    boot: String,
}

/// The kernel's name for this boot; empty where it does not say.
fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    let read = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    BOOT.get_or_init(|| read().trim().to_owned())
}

impl Record {
    /// Why what it names is not the container's own, if it is not. Records decide what is frozen, killed and
    /// removed.
    fn doubt(&self) -> Option<String> {
        let cgroups = self.cgroups.as_ref()?;
        if let Some(why) = cgroups.doubt() {
            return Some(why);
        }
        // One of an earlier version does not say which cgroups were made; its first process does.
        let unknown = cgroups.inodes.is_empty() && self.stage != Stage::Creating && cgroups.populated();
        let holds = |process: Process| process.alive().is_some() && cgroups.holds(process.pid);
        (unknown && !self.process.is_some_and(holds)).then(|| {
            format!(
                "cgroup {} has processes, and nothing shows that they are of this container",
                cgroups.path
            )
        })
    }

    fn written(&self) -> Result<Vec<u8>, LaunchError> {
        json(&Written { record: self, boot: boot() }, "record.json")
    }
}

/// Name of the form of records.
pub(crate) const SCHEMA: &str = "red/container/v1";

/// Checks a name: it becomes a component of paths.
///
/// # Errors
/// It is empty, too long, or has other characters than letters, digits and `+-._`.
pub(crate) fn check_id(id: &str) -> Result<(), LaunchError> {
    if is_container_name(id) {
        return Ok(());
    }
    Err(LaunchError::refused(format!("container name `{id}`"), CONTAINER_NAME))
}

/// Whether this is root of the machine, and not of a user namespace.
pub(crate) fn is_machines_root() -> bool {
    let maps = || std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    rustix::process::geteuid().is_root() && maps().trim_end().ends_with("4294967295")
}

fn damaged(id: &str, why: impl std::fmt::Display) -> LaunchError {
    LaunchError::Damaged { id: id.to_owned(), why: why.to_string().to_lowercase() }
}

fn json(value: &impl Serialize, name: &str) -> Result<Vec<u8>, LaunchError> {
    serde_json::to_vec(value).map_err(|source| LaunchError::Json { path: name.to_owned(), source })
}

fn read(directory: &OwnedFd, id: &str) -> Result<Record, LaunchError> {
    let text = store::read_text(directory, "record.json", id)?;
    let Kept { mut record, boot: of } = serde_json::from_str(&text)
        .map_err(|error| LaunchError::Damaged { id: id.to_owned(), why: error.to_string() })?;
    if !of.is_empty() && !boot().is_empty() && of != boot() {
        // Whoever has the PID now is somebody else, and so is whoever has cgroups of that name.
        record.process = None;
        record.cgroups = None;
    }
    if record.id != id || record.schema != SCHEMA {
        let why = format!("it is of `{}`, {}", record.id, record.schema);
        return Err(LaunchError::Damaged { id: id.to_owned(), why });
    }
    match record.doubt() {
        Some(why) => Err(LaunchError::Damaged { id: id.to_owned(), why }),
        None => Ok(record),
    }
}

/// The first process of a record that is not believed, where it can still be told: it is told apart by the
/// time that it started, so it is nobody else.
fn first_of(directory: &OwnedFd, id: &str) -> Option<Process> {
    #[derive(Deserialize)]
    struct First {
        id: String,
        process: Option<Process>,
        #[serde(default)]
        boot: String,
    }
    let first: First = serde_json::from_str(&store::read_text(directory, "record.json", id).ok()?).ok()?;
    first.process.filter(|_| first.id == id && first.boot == boot())
}

/// Writes a pid file: it is there whole or not at all. The directory may be anybody's, so what is
/// written aside is a file that was not there before.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write_pid_file(path: &Path, pid: i32) -> Result<(), LaunchError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let what = || format!("pid file {}", path.display());
    match fs::remove_file(&aside) {
        // Left by an interrupted command that had this PID.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).doing(what),
    }
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&aside).doing(what)?;
    let written =
        io::Write::write_all(&mut file, pid.to_string().as_bytes()).and_then(|()| fs::rename(&aside, path));
    // On a full disk the file was made without its content.
    written.inspect_err(|_| tried(fs::remove_file(&aside))).doing(what)
}
