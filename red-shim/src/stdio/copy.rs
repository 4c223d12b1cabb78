//! Copying of output that a process cannot write to its target directly: terminals and log files.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::{Errno, ioctl_fionbio, write};
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use crate::error::{Context, Error};

/// Size of the copy buffer in bytes.
const BUFFER_BYTES: usize = 8192;

/// Timeout of EOF while another process has the source open, as in containerd's runc shim.
const WRITER_TIMEOUT: Duration = Duration::from_secs(2);

/// Timeout of a reader that makes no progress.
const READER_TIMEOUT: Duration = Duration::from_secs(10);

/// Polling interval of the timeouts.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Target of a copy.
#[derive(Debug)]
pub(super) enum Sink {
    /// Discards everything.
    Null,
    /// A FIFO, pipe or terminal.
    Stream(AsyncFd<OwnedFd>),
    /// A log file. epoll(7) does not support regular files; a write blocks the shim as long as the file system does.
    LogFile(File),
}

impl Sink {
    /// A sink of a FIFO, pipe or terminal, which is made non-blocking.
    ///
    /// # Errors
    /// ioctl(2) or epoll_ctl(2) fails.
    pub(super) fn stream(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self::Stream(nonblocking_async_fd(fd)?))
    }

    /// Opens a log file for appending, with the mode of containerd's runc shim. Missing directories are created.
    ///
    /// The container may be able to write to the directory. It must not direct the shim's writes to another file by a
    /// symbolic link, nor block the shim by a FIFO.
    ///
    /// # Errors
    /// The file cannot be opened, or is not a regular file.
    pub(super) fn log_file(path: &Path) -> Result<Self, Error> {
        if let Some(dir) = path.parent() {
            let created = DirBuilder::new().recursive(true).mode(0o755).create(dir);
            created.path_context("cannot create directory", dir)?;
        }
        let not_regular = || Error::Invalid(format!("log file {}: not a regular file", path.display()));
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY;
        let mode = Mode::from_raw_mode(0o644);
        let fd = match open(path, flags | OFlags::NONBLOCK | OFlags::NOFOLLOW, mode) {
            // A symbolic link, a FIFO without a reader or a socket, a directory.
            Err(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => return Err(not_regular()),
            other => other.path_context("cannot open log file", path)?,
        };
        let stat = fstat(&fd).path_context("cannot stat log file", path)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(not_regular());
        }
        Ok(Self::LogFile(fd.into()))
    }

    async fn write_all(&mut self, bytes: &[u8], written: &AtomicU64) -> io::Result<()> {
        match self {
            Self::Null => Ok(()),
            Self::Stream(fd) => write_all(fd, bytes, written).await,
            Self::LogFile(file) => file.write_all(bytes),
        }
    }
}

/// Makes a descriptor non-blocking, and registers it with the tokio reactor.
///
/// # Errors
/// ioctl(2) or epoll_ctl(2) fails.
pub(super) fn nonblocking_async_fd(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    ioctl_fionbio(&fd, true)?;
    crate::sys::async_fd(fd)
}

async fn write_all(to: &AsyncFd<OwnedFd>, mut bytes: &[u8], written: &AtomicU64) -> io::Result<()> {
    while !bytes.is_empty() {
        let mut ready = to.writable().await?;
        match ready.try_io(|to| Ok(write(to, bytes)?)) {
            Err(_would_block) => {}
            Ok(Ok(count)) => {
                bytes = &bytes[count..];
                written.fetch_add(count as u64, Ordering::Relaxed);
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(error)) => return Err(error),
        }
    }
    Ok(())
}

/// A running copy.
#[derive(Debug)]
pub(super) struct CopyTask {
    task: JoinHandle<()>,
    progress: Arc<Progress>,
    /// The sink never waits for a reader.
    is_file: bool,
}

/// Numbers of bytes read from the source and written to the sink.
#[derive(Debug, Default)]
struct Progress {
    read: AtomicU64,
    written: AtomicU64,
}

impl Progress {
    fn is_writing(&self) -> bool {
        self.read.load(Ordering::Relaxed) != self.written.load(Ordering::Relaxed)
    }
}

impl CopyTask {
    /// Starts copying until EOF, or EIO from a pty master without slaves.
    pub(super) fn start(from: AsyncFd<OwnedFd>, sink: Sink) -> Self {
        let progress = Arc::<Progress>::default();
        let is_file = matches!(sink, Sink::LogFile(_));
        let task = tokio::spawn(copy(from, sink, progress.clone()));
        Self { task, progress, is_file }
    }

    /// Stops copying.
    pub(super) fn abort(&self) {
        self.task.abort();
    }

    /// Waits for EOF; gives up on writers [`WRITER_TIMEOUT`] after `start`, and on a reader without progress after
    /// [`READER_TIMEOUT`]. Remaining writers of a log file are served until they exit.
    pub(super) async fn drain(mut self, start: Instant) {
        let (mut last_written, mut changed) = (0, start);
        while tokio::time::timeout(POLL_INTERVAL, &mut self.task).await.is_err() {
            let now = Instant::now();
            let written = self.progress.written.load(Ordering::Relaxed);
            if written != last_written {
                (last_written, changed) = (written, now);
            }
            let timed_out = if self.progress.is_writing() {
                now - changed > READER_TIMEOUT
            } else {
                now - start > WRITER_TIMEOUT
            };
            if timed_out && !self.is_file {
                return self.abort();
            }
            if timed_out {
                return;
            }
        }
    }
}

/// Copies until EOF. After a write error the input is discarded, so that the writing process does not block; a log file
/// is tried again with the next data, since a full disk may be cleaned up.
async fn copy(from: AsyncFd<OwnedFd>, mut sink: Sink, progress: Arc<Progress>) {
    let mut buffer = [0; BUFFER_BYTES];
    let mut is_logged = false;
    loop {
        let count = match crate::sys::read(&from, &mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        let read = progress.read.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        if let Err(error) = sink.write_all(&buffer[..count], &progress.written).await {
            if !matches!(sink, Sink::LogFile(_)) {
                sink = Sink::Null;
            } else if !is_logged {
                is_logged = true;
                crate::sys::log(&format!("cannot write to a log file: {error}; output is lost"));
            }
        }
        progress.written.store(read, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, mknodat};

    use super::*;

    #[test]
    fn only_regular_files_are_log_files() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = |name: &str| dir.path().join(name);
        for _ in 0..2 {
            let mut sink = Sink::log_file(&path("new/log")).expect("regular file");
            let Sink::LogFile(file) = &mut sink else { panic!("{sink:?}") };
            file.write_all(b"x").expect("write");
        }
        assert_eq!(std::fs::read(path("new/log")).expect("read"), b"xx");
        mknodat(CWD, path("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("mknod");
        symlink(path("new/log"), path("link")).expect("symlink");
        std::fs::create_dir(path("dir")).expect("mkdir");
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("bind");
        for name in ["fifo", "link", "dir", "socket"] {
            let error = Sink::log_file(&path(name)).expect_err(name).to_string();
            assert!(error.ends_with("not a regular file"), "{name}: {error}");
        }
        let _reader = std::fs::OpenOptions::new().read(true).write(true).open(path("fifo")).expect("open");
        assert!(Sink::log_file(&path("fifo")).is_err());
    }
}
