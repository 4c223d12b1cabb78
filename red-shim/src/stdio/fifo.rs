//! Fifos that containerd has made.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, open};

use crate::error::{Doing, Error};

/// Both ends of a fifo, each for itself: for reading and for writing. Neither waits for whoever has the other, and
/// both block like any pipe once they are open.
///
/// # Errors
/// It is not there, or something else.
pub(super) fn both_ends(path: &Path) -> Result<(OwnedFd, OwnedFd), Error> {
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let read = open(path, OFlags::RDONLY | flags, Mode::empty()).at("cannot open", path)?;
    let kind = FileType::from_raw_mode(fstat(&read).at("cannot look at", path)?.st_mode);
    if kind != FileType::Fifo {
        return Err(Error::Invalid(format!("{} is not a fifo", path.display())));
    }
    // With a reader there it opens at once (fifo(7)).
    let write = open(path, OFlags::WRONLY | flags, Mode::empty()).at("cannot open", path)?;
    for end in [&read, &write] {
        let plain = fcntl_getfl(end).at("cannot look at", path)? - OFlags::NONBLOCK;
        fcntl_setfl(end, plain).at("cannot change", path)?;
    }
    Ok((read, write))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use rustix::fs::{CWD, mknodat};

    use super::*;

    #[test]
    fn ends_are_apart_and_only_fifos_have_them() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("it is ours");
        let (read, write) = both_ends(&path).expect("it is a fifo");
        let (mut read, mut write) = (std::fs::File::from(read), std::fs::File::from(write));
        write.write_all(b"text").expect("there is room");
        drop(write);
        let mut text = String::new();
        read.read_to_string(&mut text).expect("it ends");
        assert_eq!(text, "text");
        let file = dir.path().join("file");
        std::fs::write(&file, "").expect("it is ours");
        assert!(both_ends(&file).is_err());
        assert!(both_ends(&dir.path().join("none")).is_err());
    }
}
