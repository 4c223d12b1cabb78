//! A terminal of a container: what comes from its master side is copied, since no fifo can stand for it.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::{Errno, ioctl_fionbio, read, write};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use crate::error::{Doing, Error};

/// Bytes that are copied at once.
const CHUNK: usize = 8192;

/// How long the last output may take when something else still has the terminal.
const LAST: Duration = Duration::from_secs(2);

/// How long the runtime may take to hand the master over once it has said that the container is made.
const HANDED: Duration = Duration::from_secs(10);

/// Where the runtime hands over the master side (OCI runtime command line, `--console-socket`).
#[derive(Debug)]
pub(crate) struct Socket {
    dir: PathBuf,
    path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    /// In a directory of its own below `dir`: a bundle's path may be too long for a socket (unix(7)).
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn new(dir: &Path) -> Result<Self, Error> {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = dir.join(format!("pty-{}-{number}", std::process::id()));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).at("cannot make", &dir)?;
        let path = dir.join("s");
        // One of a shim that had this number before.
        drop(std::fs::remove_file(&path));
        let listener = UnixListener::bind(&path).at("cannot listen at", &path)?;
        Ok(Self { dir, path, listener })
    }

    /// Its path.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the master side.
    ///
    /// # Errors
    /// It does not come.
    pub(crate) async fn take(self) -> Result<OwnedFd, Error> {
        let taken = async {
            let (stream, _) = self.listener.accept().await?;
            stream.async_io(Interest::READABLE, || receive(&stream)).await
        };
        match tokio::time::timeout(HANDED, taken).await {
            Ok(taken) => taken.doing(|| "the terminal that the runtime hands over".into()),
            Err(_) => Err(Error::State("the runtime hands over no terminal".into())),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // They may be gone with what they lie in.
        drop(std::fs::remove_file(&self.path));
        drop(std::fs::remove_dir(&self.dir));
    }
}

fn receive(stream: impl AsFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 4096];
    let mut parts = [io::IoSliceMut::new(&mut name)];
    recvmsg(stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message
            && let Some(fd) = fds.next()
        {
            return Ok(fd);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// The master side of a terminal, and what is copied from and to it.
#[derive(Debug)]
pub(crate) struct Console {
    master: OwnedFd,
    input: Option<JoinHandle<()>>,
    output: JoinHandle<()>,
}

impl Console {
    /// Begins to copy.
    ///
    /// # Errors
    /// Descriptors ran out.
    pub(super) fn new(
        master: OwnedFd,
        input: Option<OwnedFd>,
        output: Option<OwnedFd>,
    ) -> Result<Self, Error> {
        let what = || "a terminal".to_owned();
        let copied = |fd: &OwnedFd| fd.try_clone().and_then(watched);
        let from = copied(&master).doing(what)?;
        let output = output.map(watched).transpose().doing(what)?;
        let output = tokio::spawn(copy(from, output));
        let input = match input {
            Some(input) => {
                let (from, to) = (watched(input).doing(what)?, copied(&master).doing(what)?);
                Some(tokio::spawn(copy(from, Some(to))))
            }
            None => None,
        };
        Ok(Self { master, input, output })
    }

    /// Gives it a size.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn resize(&self, size: Winsize) -> Result<(), Error> {
        tcsetwinsize(&self.master, size).doing(|| "the size of a terminal".into())
    }

    /// Waits for the last output.
    pub(super) async fn finish(mut self) {
        if tokio::time::timeout(LAST, &mut self.output).await.is_err() {
            self.output.abort();
        }
        if let Some(input) = self.input {
            input.abort();
        }
    }
}

fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    ioctl_fionbio(&fd, true)?;
    crate::sys::watched(fd)
}

/// Copies until there is no more, or nobody to write it to; then it is read and thrown away, so that nobody waits
/// who writes. EIO means that nobody has the terminal open any more.
async fn copy(from: AsyncFd<OwnedFd>, mut to: Option<AsyncFd<OwnedFd>>) {
    let mut chunk = [0; CHUNK];
    loop {
        let Ok(mut ready) = from.readable().await else { return };
        let count = match ready.try_io(|from| Ok(read(from, &mut chunk)?)) {
            Err(_would_block) => continue,
            Ok(Ok(0)) => return,
            Ok(Ok(count)) => count,
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(Err(_)) => return,
        };
        if let Some(target) = &to
            && put(target, &chunk[..count]).await.is_err()
        {
            to = None;
        }
    }
}

async fn put(to: &AsyncFd<OwnedFd>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let mut ready = to.writable().await?;
        match ready.try_io(|to| Ok(write(to, bytes)?)) {
            Err(_would_block) => {}
            Ok(Ok(count)) => bytes = &bytes[count..],
            Ok(Err(error)) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => {}
            Ok(Err(error)) => return Err(error),
        }
    }
    Ok(())
}
