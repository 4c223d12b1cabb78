//! What is known of every container: a directory each, with a record that is written before
//! anything is made and is enough to take everything away again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::Spec;
use rustix::fs::{CWD, Mode, OFlags, open, openat, renameat};
use rustix::process::{Flock, FlockType, fcntl_getlk};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cgroup::Cgroups;
use super::error::{Doing, LaunchError};

/// Bytes of the largest record or configuration that is read back.
const LARGEST: u64 = 16 << 20;

/// How long a command waits for another one that works on the same container.
const PATIENCE: Duration = Duration::from_secs(20);

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

/// Name of the form of records.
pub(crate) const SCHEMA: &str = "red/container/v1";

/// Directory of all containers of a caller.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    path: PathBuf,
}

/// One container's directory, and the lock on it.
#[derive(Debug)]
pub(crate) struct Held {
    /// Its name.
    pub(crate) id: String,
    store: PathBuf,
    lock: OwnedFd,
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
    /// The store at `root`, or the caller's own.
    #[must_use]
    pub(crate) fn of(root: Option<&Path>) -> Self {
        let own = || {
            let run = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
            match (is_machines_root(), run) {
                (false, Some(run)) => PathBuf::from(run).join("red-runtime"),
                (false, None) => {
                    PathBuf::from(format!("/tmp/red-runtime-{}", rustix::process::geteuid().as_raw()))
                }
                (true, _) => PathBuf::from("/run/red-runtime"),
            }
        };
        Self { path: root.map_or_else(own, Path::to_path_buf) }
    }

    /// What tells containers of this store from those of another one with the same names: nothing
    /// for the usual one.
    pub(crate) fn scope(&self) -> String {
        if self.path == Path::new("/run/red-runtime") {
            return String::new();
        }
        let digest = Sha256::digest(self.path.as_os_str().as_encoded_bytes());
        digest.iter().take(4).fold("-".to_owned(), |text, byte| format!("{text}{byte:02x}"))
    }

    fn make(&self) -> Result<(), LaunchError> {
        let what = || format!("{}", self.path.display());
        match fs::DirBuilder::new().mode(0o700).create(&self.path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::DirBuilder::new().mode(0o700).recursive(true).create(&self.path).doing(what)?;
            }
            Err(error) => return Err(error).doing(what),
        }
        let facts = fs::symlink_metadata(&self.path).doing(what)?;
        let own = facts.uid() == rustix::process::geteuid().as_raw();
        if !facts.is_dir() || !own || facts.mode() & 0o022 != 0 {
            return Err(LaunchError::refused(
                what(),
                "what is written here decides what is killed and removed, and others could write it; it has to be a directory of the caller's own that nobody else may write to",
            ));
        }
        Ok(())
    }

    /// Where the output of a detached container goes.
    ///
    /// # Errors
    /// There is no directory for it.
    pub(crate) fn output(&self, id: &str) -> Result<PathBuf, LaunchError> {
        check_id(id)?;
        self.make()?;
        Ok(self.path.join(format!("{id}.log")))
    }

    /// Takes the lock of a container, waiting for whoever has it.
    ///
    /// # Errors
    /// The name is none, or somebody has it for too long.
    pub(crate) fn hold(&self, id: &str) -> Result<Held, LaunchError> {
        check_id(id)?;
        self.make()?;
        let path = self.path.join(format!("{id}.lock"));
        let end = Instant::now() + PATIENCE;
        loop {
            let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let lock = open(&path, flags, Mode::from_raw_mode(0o600)).doing(|| path.display().to_string())?;
            // A lock of this process alone: the container does not inherit it (fcntl(2), "Advisory
            // record locking").
            match rustix::fs::fcntl_lock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if same(&lock, &path) => {
                    return Ok(Held { id: id.to_owned(), store: self.path.clone(), lock });
                }
                // Whoever removed the container removed its lock with it.
                Ok(()) => {}
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) if Instant::now() < end => {
                    drop(lock);
                    std::thread::sleep(Duration::from_millis(3));
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {
                    let holder = holder(&lock).unwrap_or(0);
                    return Err(LaunchError::Busy { id: id.to_owned(), holder });
                }
                Err(errno) => return Err(errno).doing(|| path.display().to_string()),
            }
        }
    }

    /// Names of everything that looks like a container.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn names(&self) -> Result<Vec<String>, LaunchError> {
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.doing(|| self.path.display().to_string())?,
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Whether anything of a container is left besides its directory.
    pub(crate) fn remains(&self, id: &str) -> bool {
        [format!(".{id}.new"), format!(".{id}.old"), format!("{id}.lock"), format!("{id}.log")]
            .iter()
            .any(|name| self.path.join(name).symlink_metadata().is_ok())
    }

    /// Names of containers that are not there, and of which something is left.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn remainders(&self) -> Result<Vec<String>, LaunchError> {
        let known = self.names()?;
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let of = |name: String| {
            let hidden = name.strip_prefix('.');
            let id = match hidden {
                Some(hidden) => hidden.strip_suffix(".new").or_else(|| hidden.strip_suffix(".old"))?,
                None => name.strip_suffix(".lock").or_else(|| name.strip_suffix(".log"))?,
            };
            check_id(id).ok()?;
            Some(id.to_owned())
        };
        let mut left: Vec<String> = names.filter_map(of).filter(|id| !known.contains(id)).collect();
        left.sort();
        left.dedup();
        left.retain(|id| !self.is_held(id));
        Ok(left)
    }

    /// The record of a container, without its lock.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub(crate) fn read(&self, id: &str) -> Result<Record, LaunchError> {
        check_id(id)?;
        read(&self.path.join(id), id)
    }

    /// The configuration a container was made from.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub(crate) fn spec(&self, id: &str) -> Result<Spec, LaunchError> {
        let path = self.path.join(id).join("config.json");
        let text = read_text(&path, id)?;
        serde_json::from_str(&text)
            .map_err(|source| LaunchError::Json { path: path.display().to_string(), source })
    }

    /// Whether the first process of a container waits to be started.
    pub(crate) fn waits(&self, id: &str) -> bool {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        open(self.path.join(id), flags, Mode::empty())
            .is_ok_and(|directory| super::start::reach(&directory).is_ok())
    }

    /// Whether another command has the lock of a container now.
    pub(crate) fn is_held(&self, id: &str) -> bool {
        let path = self.path.join(format!("{id}.lock"));
        open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).is_ok_and(|lock| holder(&lock).is_some())
    }
}

fn same(lock: &OwnedFd, path: &Path) -> bool {
    let now = rustix::fs::statat(CWD, path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
    match (rustix::fs::fstat(lock), now) {
        (Ok(held), Ok(now)) => (held.st_dev, held.st_ino) == (now.st_dev, now.st_ino),
        _ => false,
    }
}

fn holder(lock: &OwnedFd) -> Option<i32> {
    let found = fcntl_getlk(lock, &Flock::from(FlockType::WriteLock)).ok()??;
    Some(found.pid.map_or(0, |pid| pid.as_raw_nonzero().get()))
}

fn read_text(path: &Path, id: &str) -> Result<String, LaunchError> {
    use std::io::Read;
    let damaged = |why: String| LaunchError::Damaged { id: id.to_owned(), why };
    let file = fs::File::open(path).map_err(|error| damaged(error.to_string().to_lowercase()))?;
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).map_err(|error| damaged(error.to_string()))?;
    Ok(text)
}

fn read(directory: &Path, id: &str) -> Result<Record, LaunchError> {
    if !directory.is_dir() {
        return Err(LaunchError::Unknown { id: id.to_owned() });
    }
    let text = read_text(&directory.join("record.json"), id)?;
    let record: Record = serde_json::from_str(&text)
        .map_err(|error| LaunchError::Damaged { id: id.to_owned(), why: error.to_string() })?;
    if record.id != id || record.schema != SCHEMA {
        let why = format!("it is of `{}`, {}", record.id, record.schema);
        return Err(LaunchError::Damaged { id: id.to_owned(), why });
    }
    Ok(record)
}

impl Held {
    /// The container's directory.
    pub(crate) fn path(&self) -> PathBuf {
        self.store.join(&self.id)
    }

    /// Whether there is such a container.
    pub(crate) fn exists(&self) -> bool {
        self.path().symlink_metadata().is_ok()
    }

    /// Its record.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub(crate) fn read(&self) -> Result<Record, LaunchError> {
        read(&self.path(), &self.id)
    }

    /// Begins a container: its directory, with its record and configuration in it, appears at once.
    /// A record that `lasts` is on disk by then: something is made after it that a machine which
    /// loses its power could keep.
    ///
    /// # Errors
    /// It exists already, or cannot be written.
    pub(crate) fn begin(&self, record: &Record, spec: &Spec, lasts: bool) -> Result<OwnedFd, LaunchError> {
        let path = self.path();
        let what = || path.display().to_string();
        if self.exists() {
            return Err(LaunchError::Exists { id: self.id.clone() });
        }
        let aside = self.store.join(format!(".{}.new", self.id));
        // Ours alone: the lock is held.
        remove_tree(&aside)?;
        fs::DirBuilder::new().mode(0o700).create(&aside).doing(what)?;
        let directory =
            open(&aside, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).doing(what)?;
        write(&directory, "record.json", &json(record, "record.json")?, lasts).doing(what)?;
        write(&directory, "config.json", &json(spec, "config.json")?, lasts).doing(what)?;
        renameat(CWD, &aside, CWD, &path).doing(what)?;
        Ok(directory)
    }

    /// Replaces the record.
    ///
    /// # Errors
    /// It cannot be written; then the old one stands.
    pub(crate) fn update(&self, directory: &OwnedFd, record: &Record) -> Result<(), LaunchError> {
        let bytes = json(record, "record.json")?;
        write(directory, "record.json", &bytes, true)
            .doing(|| self.path().join("record.json").display().to_string())
    }

    /// The container's directory, open.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn open(&self) -> Result<OwnedFd, LaunchError> {
        open(self.path(), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|_missing| LaunchError::Unknown { id: self.id.clone() })
    }

    /// Forgets the container, and the lock with it.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub(crate) fn forget(self) -> Result<(), LaunchError> {
        let path = self.path();
        let away = self.store.join(format!(".{}.old", self.id));
        remove_tree(&away)?;
        // From here on nobody finds half a container.
        match renameat(CWD, &path, CWD, &away) {
            Ok(()) => remove_tree(&away)?,
            Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(errno).doing(|| path.display().to_string()),
        }
        remove_tree(&self.store.join(format!(".{}.new", self.id)))?;
        remove_tree(&self.store.join(format!("{}.log", self.id)))?;
        self.unlock()
    }

    /// Lets the lock go and removes its file; for a container that never came to be.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn unlock(self) -> Result<(), LaunchError> {
        let path = self.store.join(format!("{}.lock", self.id));
        // Before the descriptor closes: whoever waits for it sees that it is no longer the one.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).doing(|| path.display().to_string());
            }
            _ => {}
        }
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

fn remove_tree(path: &Path) -> Result<(), LaunchError> {
    let result = match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).doing(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

/// Writes a pid file: it is there whole or not at all.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write_pid_file(path: &Path, pid: i32) -> Result<(), LaunchError> {
    let aside = path.with_file_name(format!(
        ".{}.{}",
        path.file_name().unwrap_or_default().to_string_lossy(),
        std::process::id()
    ));
    let what = || format!("pid file {}", path.display());
    fs::write(&aside, pid.to_string()).doing(what)?;
    fs::rename(&aside, path).doing(what)
}
