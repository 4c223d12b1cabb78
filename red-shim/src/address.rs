//! Where a shim listens.

use std::fmt::Write;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, chmod};
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
    let _alone = alone(path)?;
    if !abandoned(path, false)? {
        return Ok(None);
    }
    let listener = UnixListener::bind(path).at("cannot listen at", path)?;
    chmod(path, Mode::from_raw_mode(0o600)).at("cannot guard", path)?;
    Ok(Some(listener))
}

/// Removes the socket of a shim that was killed, and what such shims left beside it. One that answers stays.
///
/// # Errors
/// It cannot be removed.
pub(crate) fn clear(path: &Path) -> Result<(), Error> {
    let Some(dir) = path.parent().filter(|dir| dir.is_dir()) else { return Ok(()) };
    let _alone = alone(path)?;
    abandoned(path, true)?;
    for entry in std::fs::read_dir(dir).at("cannot read", dir)?.flatten() {
        let name = entry.file_name();
        let shim = name.to_str().and_then(|name| name.strip_prefix("pty-")?.split_once('-'));
        if shim.is_some_and(|(pid, _)| !Path::new("/proc").join(pid).exists()) {
            // Another shim's `delete` may be at it too.
            tried(std::fs::remove_dir_all(entry.path()));
        }
    }
    Ok(())
}

/// Until this goes no other shim looks who listens, or begins to: what is left behind is removed by one, and what
/// another has just made is not.
fn alone(path: &Path) -> Result<std::fs::File, Error> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let dir_file = std::fs::File::open(dir).at("cannot open", dir)?;
    dir_file.lock().at("cannot lock", dir)?;
    Ok(dir_file)
}

/// Whether nobody listens; what is left behind is removed then. One that is being ended may accept for a moment
/// more, so whoever is told that it has gone waits that long for it to hang up.
fn abandoned(path: &Path, dying: bool) -> Result<bool, Error> {
    loop {
        match UnixStream::connect(path) {
            Ok(stream) if dying && hangs_up(&stream) => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                return std::fs::remove_file(path).at("cannot remove", path).map(|()| true);
            }
            Err(error) => return Err(error).at("cannot connect to", path),
        }
    }
}

fn hangs_up(stream: &UnixStream) -> bool {
    let mut polled = [PollFd::new(stream, PollFlags::IN)];
    let moment = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
    poll(&mut polled, Some(&moment)).is_ok_and(|count| count > 0)
}

/// The path in an address that a shim has written.
#[must_use]
pub(crate) fn path(url: &str) -> Option<&Path> {
    url.trim().strip_prefix("unix://").map(Path::new).filter(|path| path.is_absolute())
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
        let of =
            |namespace, group| socket(Path::new(DIR), "/run/containerd/containerd.sock", namespace, group);
        assert_eq!(of("k8s.io", "a").as_os_str().len(), DIR.len() + 65);
        assert_ne!(of("a", "bc"), of("ab", "c"));
    }

    #[test]
    fn one_listens_and_the_next_is_told() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("s/socket");
        let first = listen(&path).expect("nobody does").expect("it is the first");
        assert!(listen(&path).expect("somebody answers").is_none());
        clear(&path).expect("somebody answers");
        assert!(path.exists());
        drop(first);
        assert!(listen(&path).expect("what is left behind goes").is_some());
        let left = dir.path().join("s/pty-99999999-0");
        std::fs::create_dir(&left).expect("it is ours");
        clear(&path).expect("nobody answers");
        assert!(!path.exists() && !left.exists());
        clear(Path::new("/no/such/socket")).expect("nothing is there");
    }
}
