//! The state directory of a caller.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use rustix::fs::{AtFlags, CWD, Dir, FileType, OFlags, renameat, statat, unlinkat};
use rustix::io::Errno;

use super::held::Held;
use super::lock::{self, Lock};
use super::trusted::{self, Untrusted};
use super::{Record, check_id, damaged, place, read};
use crate::launch::error::{Doing, LaunchError};
use crate::spec::digest;

/// The state directory of a caller. Each operation opens it, checks what it opened, and works
/// relative to that.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    path: Option<PathBuf>,
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
        format!("-{}", digest::short(path.as_os_str().as_encoded_bytes()))
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
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::APPEND;
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
        Ok(Held::new(id, self.path()?.to_path_buf(), store, lock))
    }

    /// Takes away what is where a lock or a container of that name would be, and is neither: nobody else can
    /// have made it, and it would keep the name for ever.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn unblock(&self, id: &str) -> Result<(), LaunchError> {
        check_id(id)?;
        let Some(store) = self.open()? else { return Ok(()) };
        let kind = |name: &str| {
            let stat = statat(&store, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
            Some(FileType::from_raw_mode(stat.st_mode))
        };
        let lock = lock::name(id);
        let blocking = [
            (lock.as_str(), kind(&lock).filter(|kind| *kind != FileType::RegularFile)),
            (id, kind(id).filter(|kind| *kind != FileType::Directory)),
        ];
        for (name, kind) in blocking {
            let Some(kind) = kind else { continue };
            let flags = if kind == FileType::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            match unlinkat(&store, name, flags) {
                // Whatever it is stays, out of the way.
                Err(Errno::NOTEMPTY | Errno::EXIST) => {
                    renameat(&store, name, &store, format!("{name}.aside"))
                }
                other => other,
            }
            .doing(|| format!("state {name}"))?;
        }
        Ok(())
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

    /// Exit status of the command of a container that has ended, where red-init was to write it. Who kills all of the
    /// container kills red-init too, which then has written nothing.
    pub(crate) fn ended(&self, id: &str) -> Option<u8> {
        let directory = self.container(id).ok()?;
        let file = trusted::file(&directory, crate::launch::ended::NAME, OFlags::RDONLY).ok()?;
        let mut status = [0];
        match rustix::io::read(&file, &mut status).ok()? {
            0 => Some(crate::launch::ended::KILLED),
            _ => Some(status[0]),
        }
    }

    /// Whether the first process of a container waits to be started.
    pub(crate) fn waits(&self, id: &str) -> bool {
        self.container(id).is_ok_and(|directory| crate::launch::start::reach(&directory).is_ok())
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
pub(super) fn log_name(id: &str) -> String {
    format!(".{id}.log")
}

pub(super) fn exists(store: &OwnedFd, name: &str) -> bool {
    statat(store, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

pub(super) fn container(store: &OwnedFd, id: &str) -> Result<OwnedFd, LaunchError> {
    trusted::directory(store, Path::new(id)).map_err(|error| match error {
        Untrusted::Call(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => {
            LaunchError::Call { what: format!("state of container `{id}`"), errno }
        }
        Untrusted::Call(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
            LaunchError::Unknown { id: id.to_owned() }
        }
        other => damaged(id, other),
    })
}

pub(super) fn read_text(directory: &OwnedFd, name: &str, id: &str) -> Result<String, LaunchError> {
    trusted::text(directory, name).map_err(|error| match error {
        // It says nothing of the record, which `gc` and `delete --force` would take away.
        Untrusted::Call(
            errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::INTR | Errno::AGAIN),
        ) => LaunchError::Call { what: format!("{name} of container `{id}`"), errno },
        error => damaged(id, format!("{name}: {error}")),
    })
}
