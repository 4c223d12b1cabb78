//! Addresses and sockets of shims.

use std::fmt::Write;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, chmod};
use sha2::{Digest, Sha256};

use crate::error::{Context, Error, best_effort};

/// Default directory of shim sockets.
pub(crate) const SOCKET_DIR: &str = "/run/containerd/s";

/// Name of a console socket in its directory `pty-PID-NUMBER`.
pub(crate) const CONSOLE_SOCKET: &str = "s";

/// Socket path of a shim, which serves all containers of a group.
///
/// The file name is a SHA-256 digest, because a socket path is limited to 107 bytes (unix(7)).
#[must_use]
pub(crate) fn socket_path(dir: &Path, containerd_address: &str, namespace: &str, group: &str) -> PathBuf {
    let digest = Sha256::digest(format!("{containerd_address}\0{namespace}\0{group}"));
    let mut name = String::with_capacity(64);
    for byte in digest {
        // Writing to a String is infallible.
        best_effort(write!(name, "{byte:02x}"));
    }
    dir.join(name)
}

/// Binds the socket; `None` if a running shim already listens on it.
///
/// # Errors
/// The directory cannot be created or locked, a stale socket cannot be removed, or bind(2) fails.
pub(crate) fn listen(path: &Path) -> Result<Option<UnixListener>, Error> {
    if let Some(dir) = path.parent() {
        let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        created.path_context("cannot create directory", dir)?;
    }
    let _lock = lock_dir(path)?;
    if !is_stale(path)? {
        return Ok(None);
    }
    let listener = UnixListener::bind(path).path_context("cannot listen on", path)?;
    chmod(path, Mode::from_raw_mode(0o600)).path_context("cannot change the mode of", path)?;
    Ok(Some(listener))
}

/// Removes the socket of a killed shim, and console sockets of dead shims. A socket in use is kept.
///
/// # Errors
/// The directory cannot be locked or read, or the socket cannot be removed.
pub(crate) fn remove_stale(path: &Path) -> Result<(), Error> {
    let Some(dir) = path.parent().filter(|dir| dir.is_dir()) else { return Ok(()) };
    // Without the lock: many `delete` at once would wait for each other, and containerd kills one after 5 s.
    wait_hangup(path);
    let _lock = lock_dir(path)?;
    is_stale(path)?;
    for entry in std::fs::read_dir(dir).path_context("cannot read", dir)?.flatten() {
        let name = entry.file_name();
        let shim = name.to_str().and_then(|name| name.strip_prefix("pty-")?.split_once('-'));
        if shim.is_some_and(|(pid, _)| !Path::new("/proc").join(pid).exists()) {
            let socket = entry.path().join(CONSOLE_SOCKET);
            // A concurrent `delete` may remove it first.
            if is_socket(&socket) {
                best_effort(std::fs::remove_file(socket));
            }
            best_effort(std::fs::remove_dir(entry.path()));
        }
    }
    Ok(())
}

/// Locks the socket directory until the file is dropped, so that a shim never removes a socket which another one
/// has just bound.
fn lock_dir(path: &Path) -> Result<std::fs::File, Error> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let dir_file = std::fs::File::open(dir).path_context("cannot open", dir)?;
    dir_file.lock().path_context("cannot lock", dir)?;
    Ok(dir_file)
}

/// Whether no shim listens on the socket; a stale socket file is removed.
fn is_stale(path: &Path) -> Result<bool, Error> {
    match UnixStream::connect(path) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            // connect(2) refuses files other than sockets too.
            if !is_socket(path) {
                return Err(Error::Invalid(format!("{}: not a socket", path.display())));
            }
            std::fs::remove_file(path).path_context("cannot remove", path).map(|()| true)
        }
        Err(error) => Err(error).path_context("cannot connect to", path),
    }
}

fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// Waits up to 500 ms for the end of a shim that is being killed: it may still accept connections.
fn wait_hangup(path: &Path) {
    let Ok(stream) = UnixStream::connect(path) else { return };
    let mut polled = [PollFd::new(&stream, PollFlags::IN)];
    let timeout = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
    // A shim that lives on is found by `is_stale`.
    best_effort(poll(&mut polled, Some(&timeout)));
}

/// Socket path of a `unix://` address.
#[must_use]
pub(crate) fn parse(url: &str) -> Option<&Path> {
    url.trim().strip_prefix("unix://").map(Path::new).filter(|path| path.is_absolute())
}

/// `unix://` address of a socket path.
#[must_use]
pub(crate) fn format(path: &Path) -> String {
    format!("unix://{}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_path_depends_on_namespace_and_group() {
        let of = |namespace, group| {
            socket_path(Path::new(SOCKET_DIR), "/run/containerd/containerd.sock", namespace, group)
        };
        assert_eq!(of("k8s.io", "a").as_os_str().len(), SOCKET_DIR.len() + 65);
        assert_ne!(of("a", "bc"), of("ab", "c"));
    }

    #[test]
    fn second_listener_is_refused_and_stale_socket_is_reused() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("s/socket");
        let first = listen(&path).expect("no other shim").expect("the first one");
        assert!(listen(&path).expect("in use").is_none());
        remove_stale(&path).expect("in use");
        assert!(path.exists());
        drop(first);
        assert!(listen(&path).expect("a stale socket").is_some());
        let console_dir = dir.path().join("s/pty-99999999-0");
        std::fs::create_dir(&console_dir).expect("mkdir");
        drop(UnixListener::bind(console_dir.join(CONSOLE_SOCKET)).expect("bind"));
        let other_dir = dir.path().join("s/pty-99999999-1");
        std::fs::create_dir(&other_dir).expect("mkdir");
        std::fs::write(other_dir.join(CONSOLE_SOCKET), "").expect("write");
        remove_stale(&path).expect("a stale socket");
        assert!(!path.exists() && !console_dir.exists() && other_dir.join(CONSOLE_SOCKET).exists());
        let file = dir.path().join("s/file");
        std::fs::write(&file, "").expect("write");
        assert!(remove_stale(&file).is_err() && listen(&file).is_err() && file.exists());
        remove_stale(Path::new("/no/such/socket")).expect("no socket");
    }
}
