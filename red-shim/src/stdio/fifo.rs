//! FIFOs created by containerd.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, open};
use rustix::io::ioctl_fionread;

use crate::error::{Context, Error};

/// Opens the read end and the write end of a FIFO without waiting for a peer; both are blocking afterwards.
///
/// # Errors
/// open(2), fstat(2) or fcntl(2) fails, or the file is not a FIFO.
pub(super) fn open_both_ends(path: &Path) -> Result<(OwnedFd, OwnedFd), Error> {
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let read = open(path, OFlags::RDONLY | flags, Mode::empty()).path_context("cannot open FIFO", path)?;
    let kind = FileType::from_raw_mode(fstat(&read).path_context("cannot stat", path)?.st_mode);
    if kind != FileType::Fifo {
        return Err(Error::Invalid(format!("{}: not a FIFO", path.display())));
    }
    // A non-blocking open for writing needs a reader (fifo(7)).
    let write = open(path, OFlags::WRONLY | flags, Mode::empty()).path_context("cannot open FIFO", path)?;
    for end in [&read, &write] {
        let blocking = fcntl_getfl(end).path_context("cannot stat", path)? - OFlags::NONBLOCK;
        fcntl_setfl(end, blocking).path_context("cannot set flags of", path)?;
    }
    Ok((read, write))
}

/// Timeout for remaining writers, as in containerd's runc shim.
const WRITER_TIMEOUT: Duration = Duration::from_secs(2);

/// Timeout for a reader that makes no progress.
const READER_TIMEOUT: Duration = Duration::from_millis(500);

/// Polling interval.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Waits until all writers have closed the FIFOs and all data is read, up to the timeouts above.
pub(super) async fn wait_drained(fifos: &[OwnedFd]) {
    let start = Instant::now();
    for read in fifos {
        let (mut last_unread, mut changed) = (0, Instant::now());
        loop {
            let (open, unread) = fifo_state(read);
            let now = Instant::now();
            if unread != last_unread {
                (last_unread, changed) = (unread, now);
            }
            let writers_done = !open || now - start > WRITER_TIMEOUT;
            if writers_done && (unread == 0 || now - changed > READER_TIMEOUT) {
                break;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// Whether the FIFO has a writer, and the number of unread bytes.
fn fifo_state(read: &OwnedFd) -> (bool, u64) {
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
    fn both_ends_of_a_fifo_are_opened_and_drained() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("mknod");
        let (read, write) = open_both_ends(&path).expect("open FIFO");
        let (mut read, mut write) = (std::fs::File::from(read), std::fs::File::from(write));
        write.write_all(b"text").expect("write");
        drop(write);
        let mut text = String::new();
        read.read_to_string(&mut text).expect("read to EOF");
        assert_eq!(text, "text");
        let (read, mut write) = (
            OwnedFd::from(read),
            std::fs::OpenOptions::new().write(true).open(&path).expect("open for writing"),
        );
        assert_eq!(fifo_state(&read), (true, 0));
        write.write_all(b"more").expect("write");
        drop(write);
        assert_eq!(fifo_state(&read), (false, 4));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio runtime");
        runtime.block_on(wait_drained(&[read]));
        let file = dir.path().join("file");
        std::fs::write(&file, "").expect("write file");
        assert!(open_both_ends(&file).is_err());
        assert!(open_both_ends(&dir.path().join("none")).is_err());
    }
}
