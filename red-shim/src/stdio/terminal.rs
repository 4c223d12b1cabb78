//! Terminal of a process: data is copied between the pty master and the FIFOs.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::Interest;
use tokio::net::UnixListener;

use super::copy::{CopyTask, Sink, nonblocking_async_fd};
use crate::error::{Context, Error};

/// Timeout of receiving the pty master after the runtime's `create` or `exec`.
const CONSOLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Console socket, over which the runtime sends the pty master (OCI runtime command line, `--console-socket`).
#[derive(Debug)]
pub(crate) struct ConsoleSocket {
    dir: PathBuf,
    path: PathBuf,
    listener: UnixListener,
}

impl ConsoleSocket {
    /// Binds a socket in a new directory below `dir`, since a bundle path may be too long for a socket (unix(7)).
    ///
    /// # Errors
    /// The directory cannot be created, or bind(2) fails.
    pub(crate) fn new(dir: &Path) -> Result<Self, Error> {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = dir.join(format!("pty-{}-{number}", std::process::id()));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .path_context("cannot create directory", &dir)?;
        let path = dir.join(crate::address::CONSOLE_SOCKET);
        // Stale socket of a dead shim with the same PID.
        drop(std::fs::remove_file(&path));
        let listener = UnixListener::bind(&path).path_context("cannot listen on", &path)?;
        Ok(Self { dir, path, listener })
    }

    /// Path of the socket.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Receives the pty master.
    ///
    /// # Errors
    /// accept(2) or recvmsg(2) fails, or the runtime sends nothing within [`CONSOLE_TIMEOUT`].
    pub(crate) async fn receive_master(self) -> Result<OwnedFd, Error> {
        let master = async {
            let (stream, _) = self.listener.accept().await?;
            stream.async_io(Interest::READABLE, || receive(&stream)).await
        };
        match tokio::time::timeout(CONSOLE_TIMEOUT, master).await {
            Ok(master) => master.context(|| "cannot receive the pty master".into()),
            Err(_) => {
                Err(Error::FailedPrecondition("timed out waiting for the pty master from the runtime".into()))
            }
        }
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        // Best effort: the directory may have been removed.
        drop(std::fs::remove_file(&self.path));
        drop(std::fs::remove_dir(&self.dir));
    }
}

fn receive(stream: impl AsFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 4096];
    let mut parts = [io::IoSliceMut::new(&mut name)];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(stream, &mut parts, &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message
            && let Some(fd) = fds.next()
        {
            return Ok(fd);
        }
    }
    // At the limit of file descriptors the kernel drops those that are passed (unix(7), SCM_RIGHTS).
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(Errno::MFILE.into());
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// A pty master and its copies.
#[derive(Debug)]
pub(crate) struct Console {
    master: OwnedFd,
    input: Option<CopyTask>,
    output: CopyTask,
}

impl Console {
    /// Starts copying.
    ///
    /// # Errors
    /// A descriptor cannot be duplicated or registered with the reactor.
    pub(super) fn new(master: OwnedFd, input: Option<OwnedFd>, output: Sink) -> Result<Self, Error> {
        let context = || "cannot set up the terminal".to_owned();
        let from = master.try_clone().and_then(nonblocking_async_fd).context(context)?;
        let input = match input {
            Some(input) => {
                let input = nonblocking_async_fd(input).context(context)?;
                let to = master.try_clone().and_then(Sink::stream).context(context)?;
                Some(CopyTask::start(input, to))
            }
            None => None,
        };
        Ok(Self { master, input, output: CopyTask::start(from, output) })
    }

    /// Resizes the terminal.
    ///
    /// # Errors
    /// TIOCSWINSZ(2const) fails.
    pub(crate) fn resize(&self, size: Winsize) -> Result<(), Error> {
        tcsetwinsize(&self.master, size).context(|| "cannot resize the terminal".into())
    }

    /// Waits for the remaining output, and stops copying.
    pub(super) async fn drain(self) {
        self.output.drain(Instant::now()).await;
        if let Some(input) = self.input {
            input.abort();
        }
    }
}
