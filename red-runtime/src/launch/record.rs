//! What is known of every container: a directory each, with a record that is written before
//! anything is made and is enough to take everything away again.

mod lock;
mod place;
mod trusted;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use oci_spec::runtime::{LinuxResources, Spec};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cgroup::Cgroups;
use super::error::{Doing, LaunchError};
use lock::Lock;
use trusted::Untrusted;

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
    /// Whether its processes are under the standard system call filter of our own launches.
    #[serde(default)]
    pub(crate) filter: bool,
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
    fn written(&self) -> Result<Vec<u8>, LaunchError> {
        json(&Written { record: self, boot: boot() }, "record.json")
    }
}

/// Name of the form of records.
pub(crate) const SCHEMA: &str = "red/container/v1";

/// The state directory of a caller. Each operation opens it, checks what it opened, and works
/// relative to that.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    path: Option<PathBuf>,
}

/// A locked container: the state directory it is in, and the lock.
#[derive(Debug)]
pub(crate) struct Held {
    /// Container ID.
    pub(crate) id: String,
    path: PathBuf,
    store: OwnedFd,
    lock: Lock,
}

/// Checks a name: it becomes a component of paths.
///
/// # Errors
/// It is empty, too long, or has other characters than letters, digits and `+-._`.
pub(crate) fn check_id(id: &str) -> Result<(), LaunchError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
    if id.is_empty() || id.len() > 200 || !id.bytes().all(plain) || id.starts_with('.') {
        return Err(LaunchError::refused(
            format!("container name `{id}`"),
            "it has to be 1 to 200 letters, digits or `+-._`, and not to begin with a dot",
        ));
    }
    Ok(())
}

/// Whether this is root of the machine, and not of a user namespace.
pub(crate) fn is_machines_root() -> bool {
    let maps = || std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    rustix::process::geteuid().is_root() && maps().trim_end().ends_with("4294967295")
}

impl Store {
    /// The state directory at `root`, or the caller's own.
    #[must_use]
    pub(crate) fn of(root: Option<&Path>) -> Self {
        let own = || place::Surroundings::here().place();
        Self { path: root.map(Path::to_path_buf).or_else(own) }
    }

    /// What tells containers of this store from those of another one with the same names: nothing
    /// for the usual one.
    pub(crate) fn scope(&self) -> String {
        let path = self.path.as_deref().unwrap_or(Path::new(""));
        if path == Path::new("/run/red-runtime") {
            return String::new();
        }
        let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
        digest.iter().take(4).fold("-".to_owned(), |text, byte| format!("{text}{byte:02x}"))
    }

    /// The state directory.
    ///
    /// # Errors
    /// There is no place for one.
    pub(crate) fn path(&self) -> Result<&Path, LaunchError> {
        self.path.as_deref().ok_or_else(|| {
            LaunchError::refused(
                "state directory",
                "neither XDG_RUNTIME_DIR nor a home directory of the caller's own; set one or use --root",
            )
        })
    }

    /// Opens the state directory; `None` when there is none.
    ///
    /// # Errors
    /// Others could have written what is in it, or it cannot be opened.
    fn open(&self) -> Result<Option<OwnedFd>, LaunchError> {
        let path = self.path()?;
        match trusted::directory(CWD, path) {
            Ok(directory) => Ok(Some(directory)),
            Err(Untrusted::Call(Errno::NOENT)) => Ok(None),
            Err(error) => {
                Err(LaunchError::refused(format!("state directory {}", path.display()), error.to_string()))
            }
        }
    }

    /// Opens the state directory, made if it is missing.
    fn make(&self) -> Result<OwnedFd, LaunchError> {
        if let Some(directory) = self.open()? {
            return Ok(directory);
        }
        let path = self.path()?;
        let what = || format!("state directory {}", path.display());
        match fs::DirBuilder::new().mode(0o700).recursive(true).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error).doing(what),
            _ => {}
        }
        // Somebody else may have made it meanwhile.
        self.open()?.ok_or_else(|| LaunchError::refused(what(), "removed while it was in use"))
    }

    /// Creates the file that a detached container's output goes to. Returns its path as well.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn output(&self, id: &str) -> Result<(PathBuf, OwnedFd), LaunchError> {
        check_id(id)?;
        let name = log_name(id);
        let path = self.path()?.join(&name);
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::APPEND;
        match trusted::file(self.make()?, &name, flags) {
            Ok(file) => Ok((path, file)),
            Err(error) => Err(LaunchError::refused(path.display().to_string(), error.to_string())),
        }
    }

    /// Sees to the state directory, and to the others of the caller that later commands would use, before
    /// anything is planned: deployed nodes export the runtime directory that they are in, and what is not
    /// there cannot be kept from their containers.
    ///
    /// # Errors
    /// The state directory cannot be made, or is not believed.
    pub(crate) fn prepare(&self) -> Result<(), LaunchError> {
        for place in place::Surroundings::here().at_login() {
            // Where it cannot be made, no later command finds one, either.
            drop(fs::DirBuilder::new().mode(0o700).create(place));
        }
        self.make().map(drop)
    }

    /// Takes the lock of a container, waiting for whoever has it.
    ///
    /// # Errors
    /// The name is none, or somebody has it for too long.
    pub(crate) fn hold(&self, id: &str) -> Result<Held, LaunchError> {
        check_id(id)?;
        let store = self.make()?;
        let lock = Lock::take(&store, id)?;
        Ok(Held { id: id.to_owned(), path: self.path()?.to_path_buf(), store, lock })
    }

    /// Names in the state directory, and whether each is a directory.
    fn entries(&self) -> Result<Vec<(String, bool)>, LaunchError> {
        let Some(store) = self.open()? else { return Ok(Vec::new()) };
        let what = || format!("state directory {}", self.path().unwrap_or(Path::new("")).display());
        let mut all = Vec::new();
        for entry in Dir::read_from(&store).doing(what)? {
            let entry = entry.doing(what)?;
            // What is no text was not made here.
            let Ok(name) = entry.file_name().to_str() else { continue };
            let kind = match entry.file_type() {
                FileType::Unknown => statat(&store, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
                kind => kind,
            };
            all.push((name.to_owned(), kind == FileType::Directory));
        }
        all.sort();
        Ok(all)
    }

    /// Names of everything that looks like a container.
    ///
    /// # Errors
    /// The directory cannot be read, or is not believed.
    pub(crate) fn names(&self) -> Result<Vec<String>, LaunchError> {
        let all = self.entries()?.into_iter();
        Ok(all
            .filter(|(name, directory)| *directory && !name.starts_with('.'))
            .map(|(name, _)| name)
            .collect())
    }

    /// Whether anything of a container is left besides its directory.
    ///
    /// # Errors
    /// The directory is not believed.
    pub(crate) fn remains(&self, id: &str) -> Result<bool, LaunchError> {
        let Some(store) = self.open()? else { return Ok(false) };
        let names = [format!(".{id}.new"), format!(".{id}.old"), lock::name(id), log_name(id)];
        Ok(names.iter().any(|name| exists(&store, name)))
    }

    /// Names of containers that are not there, and of which something is left.
    ///
    /// # Errors
    /// The directory cannot be read, or is not believed.
    pub(crate) fn remainders(&self) -> Result<Vec<String>, LaunchError> {
        let known = self.names()?;
        let of = |(name, _): (String, bool)| {
            let hidden = name.strip_prefix('.')?;
            let id = BESIDE.iter().find_map(|suffix| hidden.strip_suffix(suffix))?;
            check_id(id).ok()?;
            Some(id.to_owned())
        };
        let mut left: Vec<String> =
            self.entries()?.into_iter().filter_map(of).filter(|id| !known.contains(id)).collect();
        left.sort();
        left.dedup();
        left.retain(|id| !self.is_held(id));
        Ok(left)
    }

    /// A container's directory.
    ///
    /// # Errors
    /// There is none, or it is not believed.
    fn container(&self, id: &str) -> Result<OwnedFd, LaunchError> {
        check_id(id)?;
        match self.open()? {
            Some(store) => container(&store, id),
            None => Err(LaunchError::Unknown { id: id.to_owned() }),
        }
    }

    /// The record of a container, without its lock.
    ///
    /// # Errors
    /// There is none, it is damaged, or it is not believed.
    pub(crate) fn read(&self, id: &str) -> Result<Record, LaunchError> {
        read(&self.container(id)?, id)
    }

    /// The configuration a container was made from.
    ///
    /// # Errors
    /// There is none, it is damaged, or it is not believed.
    pub(crate) fn spec(&self, id: &str) -> Result<Spec, LaunchError> {
        let name = "config.json";
        let text = read_text(&self.container(id)?, name, id)?;
        serde_json::from_str(&text)
            .map_err(|source| LaunchError::Json { path: format!("{name} of container `{id}`"), source })
    }

    /// Whether the first process of a container waits to be started.
    pub(crate) fn waits(&self, id: &str) -> bool {
        self.container(id).is_ok_and(|directory| super::start::reach(&directory).is_ok())
    }

    /// Whether another command, or this one, has the lock of a container now.
    pub(crate) fn is_held(&self, id: &str) -> bool {
        self.open().is_ok_and(|store| store.is_some_and(|store| Lock::is_taken(&store, id)))
    }
}

/// What the names of files and directories beside that of a container end in. They begin with a dot,
/// as no container's name does, so that none is another container's.
const BESIDE: [&str; 4] = [".new", ".old", ".lock", ".log"];

/// Name of the file that a detached container's output goes to.
fn log_name(id: &str) -> String {
    format!(".{id}.log")
}

fn exists(store: &OwnedFd, name: &str) -> bool {
    statat(store, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

fn damaged(id: &str, why: impl std::fmt::Display) -> LaunchError {
    LaunchError::Damaged { id: id.to_owned(), why: why.to_string().to_lowercase() }
}

fn container(store: &OwnedFd, id: &str) -> Result<OwnedFd, LaunchError> {
    trusted::directory(store, Path::new(id)).map_err(|error| match error {
        Untrusted::Call(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
            LaunchError::Unknown { id: id.to_owned() }
        }
        other => damaged(id, other),
    })
}

fn read_text(directory: &OwnedFd, name: &str, id: &str) -> Result<String, LaunchError> {
    trusted::text(directory, name).map_err(|error| damaged(id, format!("{name}: {error}")))
}

fn read(directory: &OwnedFd, id: &str) -> Result<Record, LaunchError> {
    let text = read_text(directory, "record.json", id)?;
    let Kept { mut record, boot: of } = serde_json::from_str(&text)
        .map_err(|error| LaunchError::Damaged { id: id.to_owned(), why: error.to_string() })?;
    if !of.is_empty() && !boot().is_empty() && of != boot() {
        // Whoever has the PID now is somebody else.
        record.process = None;
    }
    if record.id != id || record.schema != SCHEMA {
        let why = format!("it is of `{}`, {}", record.id, record.schema);
        return Err(LaunchError::Damaged { id: id.to_owned(), why });
    }
    Ok(record)
}

impl Held {
    /// Path of the container's directory, for messages.
    fn shown(&self) -> String {
        self.path.join(&self.id).display().to_string()
    }

    /// Whether there is such a container.
    pub(crate) fn exists(&self) -> bool {
        exists(&self.store, &self.id)
    }

    /// Its record.
    ///
    /// # Errors
    /// There is none, it is damaged, or it is not believed.
    pub(crate) fn read(&self) -> Result<Record, LaunchError> {
        read(&self.open()?, &self.id)
    }

    /// Begins a container: its directory, with its record and configuration in it, appears at once.
    /// A record that `lasts` is on disk by then: something is made after it that a machine which
    /// loses its power could keep.
    ///
    /// # Errors
    /// It exists already, or cannot be written.
    pub(crate) fn begin(&self, record: &Record, spec: &Spec, lasts: bool) -> Result<OwnedFd, LaunchError> {
        let what = || self.shown();
        if self.exists() {
            return Err(LaunchError::Exists { id: self.id.clone() });
        }
        let aside = format!(".{}.new", self.id);
        // Ours alone: the lock is held.
        remove_tree(&self.store, &aside)?;
        mkdirat(&self.store, &aside, Mode::from_raw_mode(0o700)).doing(what)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = openat(&self.store, &aside, flags, Mode::empty()).doing(what)?;
        write(&directory, "record.json", &record.written()?, lasts).doing(what)?;
        write(&directory, "config.json", &json(spec, "config.json")?, lasts).doing(what)?;
        renameat(&self.store, &aside, &self.store, &self.id).doing(what)?;
        Ok(directory)
    }

    /// Replaces the record.
    ///
    /// # Errors
    /// It cannot be written; then the old one stands.
    pub(crate) fn update(&self, directory: &OwnedFd, record: &Record) -> Result<(), LaunchError> {
        write(directory, "record.json", &record.written()?, true)
            .doing(|| format!("{}/record.json", self.shown()))
    }

    /// The container's directory, open.
    ///
    /// # Errors
    /// There is none, or it is not believed.
    pub(crate) fn open(&self) -> Result<OwnedFd, LaunchError> {
        container(&self.store, &self.id)
    }

    /// Forgets the container, and the lock with it.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub(crate) fn forget(self) -> Result<(), LaunchError> {
        let away = format!(".{}.old", self.id);
        remove_tree(&self.store, &away)?;
        // From here on nobody finds half a container.
        match renameat(&self.store, &self.id, &self.store, &away) {
            Ok(()) => remove_tree(&self.store, &away)?,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno).doing(|| self.shown()),
        }
        remove_tree(&self.store, &format!(".{}.new", self.id))?;
        remove_file(&self.store, &log_name(&self.id))?;
        self.unlock()
    }

    /// Lets the lock go and removes its file; for a container that never came to be.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn unlock(self) -> Result<(), LaunchError> {
        // Before the descriptor closes: whoever waits for it sees that it is no longer the one.
        remove_file(&self.store, &lock::name(&self.id))?;
        drop(self.lock);
        Ok(())
    }
}

fn json(value: &impl Serialize, name: &str) -> Result<Vec<u8>, LaunchError> {
    serde_json::to_vec(value).map_err(|source| LaunchError::Json { path: name.to_owned(), source })
}

/// Writes a file aside, has it on disk, and puts it in place.
fn write(directory: &OwnedFd, name: &str, bytes: &[u8], lasts: bool) -> rustix::io::Result<()> {
    let aside = format!(".{name}");
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = openat(directory, &*aside, flags, Mode::from_raw_mode(0o600))?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = rustix::io::retry_on_intr(|| rustix::io::write(&file, rest))?;
        rest = &rest[count..];
    }
    if lasts {
        rustix::fs::fdatasync(&file)?;
    }
    renameat(directory, &*aside, directory, name)
}

/// Removes a file beside a container; what is no regular file was not made here.
fn remove_file(store: &OwnedFd, name: &str) -> Result<(), LaunchError> {
    let what = || format!("state {name}");
    match statat(store, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
            unlinkat(store, name, AtFlags::empty()).doing(what)
        }
        Ok(_) => Err(LaunchError::refused(what(), Untrusted::NotAFile.to_string())),
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno).doing(what),
    }
}

fn remove_tree(store: &OwnedFd, name: &str) -> Result<(), LaunchError> {
    let path = format!("/proc/self/fd/{}/{name}", store.as_fd().as_raw_fd());
    let result = match statat(store, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            fs::remove_dir_all(path).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        }
        Ok(_) => unlinkat(store, name, AtFlags::empty()),
        Err(errno) => Err(errno),
    };
    match result {
        Err(errno) if errno != Errno::NOENT => Err(errno).doing(|| format!("state {name}")),
        _ => Ok(()),
    }
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
    io::Write::write_all(&mut file, pid.to_string().as_bytes()).doing(what)?;
    fs::rename(&aside, path).doing(what)
}
