//! Fifos that containerd has made.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, open};
use rustix::io::ioctl_fionread;

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

/// How long what a process has left running may still write (containerd's own shim waits as long).
const REST: Duration = Duration::from_secs(2);

/// How long nobody may read before nobody is expected to.
const UNREAD: Duration = Duration::from_millis(500);

/// How often that is looked at.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until nobody writes to a process's fifos any more and everything has been read by another, but not for
/// long when nobody does.
pub(super) async fn taken(fifos: &[OwnedFd]) {
    let start = Instant::now();
    for read in fifos {
        let (mut before, mut changed) = (0, Instant::now());
        loop {
            let (open, unread) = look(read);
            let now = Instant::now();
            if unread != before {
                (before, changed) = (unread, now);
            }
            let written = !open || now - start > REST;
            if written && (unread == 0 || now - changed > UNREAD) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Whether somebody has a fifo open for writing, and how many bytes are in it.
fn look(read: &OwnedFd) -> (bool, u64) {
    let mut polled = [PollFd::new(read, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let open = poll(&mut polled, Some(&now)).is_ok() && !polled[0].revents().contains(PollFlags::HUP);
    (open, ioctl_fionread(read).unwrap_or(0))
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
        let (read, mut write) = (
            OwnedFd::from(read),
            std::fs::OpenOptions::new().write(true).open(&path).expect("it has a reader"),
        );
        assert_eq!(look(&read), (true, 0));
        write.write_all(b"more").expect("there is room");
        drop(write);
        assert_eq!(look(&read), (false, 4));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it is small");
        runtime.block_on(taken(&[read]));
        let file = dir.path().join("file");
        std::fs::write(&file, "").expect("it is ours");
        assert!(both_ends(&file).is_err());
        assert!(both_ends(&dir.path().join("none")).is_err());
    }
}
