//! Where a shim listens.

use std::fmt::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, chmod};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::error::{Doing, Error, tried};

/// Where containerd's shims listen, unless it names another directory.
pub(crate) const DIR: &str = "/run/containerd/s";

/// The socket of a group of containers: one shim serves all that have the same group.
///
/// The name is short, whatever the names of namespace and group are: the path of a socket is at most 107 bytes
/// long (unix(7)).
#[must_use]
pub(crate) fn socket(dir: &Path, daemon: &str, namespace: &str, group: &str) -> PathBuf {
    let digest = Sha256::digest(format!("{daemon}\0{namespace}\0{group}"));
    let mut name = String::with_capacity(64);
    for byte in digest {
        // Writing to a string does not fail.
        tried(write!(name, "{byte:02x}"));
    }
    dir.join(name)
}

/// Listens there. `None` when a shim does already.
///
/// # Errors
/// The socket cannot be made.
pub(crate) fn listen(path: &Path) -> Result<Option<UnixListener>, Error> {
    if let Some(dir) = path.parent() {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.at("cannot make", dir)?;
    }
    // Each attempt meets what another `start` did meanwhile.
    for _ in 0..8 {
        match UnixListener::bind(path) {
            Ok(listener) => {
                chmod(path, Mode::from_raw_mode(0o600)).at("cannot guard", path)?;
                return Ok(Some(listener));
            }
            Err(error) if error.raw_os_error() == Some(Errno::ADDRINUSE.raw_os_error()) => {}
            Err(error) => return Err(error).at("cannot listen at", path),
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Ok(None);
        }
        // Left behind by one that was killed.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).at("cannot remove", path);
            }
            _ => {}
        }
    }
    Err(Error::State(format!("{} is taken and nobody answers", path.display())))
}

/// As containerd writes the address.
#[must_use]
pub(crate) fn url(path: &Path) -> String {
    format!("unix://{}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_for_a_group() {
        let of = |namespace, group| socket(Path::new(DIR), "/run/containerd/containerd.sock", namespace, group);
        assert_eq!(of("k8s.io", "a").as_os_str().len(), DIR.len() + 65);
        assert_ne!(of("a", "bc"), of("ab", "c"));
    }

    #[test]
    fn one_listens_and_the_next_is_told() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("s/socket");
        let first = listen(&path).expect("nobody does").expect("it is the first");
        assert!(listen(&path).expect("somebody answers").is_none());
        drop(first);
        assert!(listen(&path).expect("what is left behind goes").is_some());
    }
}
