//! The shim's write end of a process's stdin.
//!
//! A FIFO delivers EOF once its last writer has closed it. The client may open stdin late, so the shim keeps a write
//! end open. The shim closes it on `CloseIO`, and after another writer has closed the FIFO, which is how some clients
//! signal EOF. If the writer was a dying containerd, stdin has to stay open until containerd is back.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::inotify::WatchFlags;
use tokio::task::JoinHandle;

use super::fifo;
use crate::context::ShimContext;
use crate::error::{Error, is_exhausted};
use crate::inotify::Watch;

/// Delay before the liveness check: a killed process may close its FIFOs before its sockets.
const LIVENESS_DELAY: Duration = Duration::from_millis(50);

/// Timeout of connecting to containerd.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Write end of stdin, closed on drop or after the client has closed its end.
#[derive(Debug)]
pub(super) struct StdinGuard {
    write_end: Arc<Mutex<Option<OwnedFd>>>,
    watch: Option<JoinHandle<()>>,
}

impl StdinGuard {
    /// Opens a FIFO, and returns the read end for the process.
    ///
    /// # Errors
    /// The FIFO cannot be opened, or is not a FIFO.
    pub(super) fn open(path: &Path, shim: &ShimContext) -> Result<(OwnedFd, Self), Error> {
        // The watch must exist before the reader, because other writers block until there is one.
        let watch = shim.inotify.watch(path, WatchFlags::CLOSE_WRITE);
        let (read, write) = fifo::open_both_ends(path)?;
        let write_end = Arc::new(Mutex::new(Some(write)));
        let watch = match watch {
            Ok(watch) => {
                let address = shim.ttrpc_address.clone();
                Some(tokio::spawn(close_after_writer(watch, write_end.clone(), address)))
            }
            Err(error) => {
                let path = path.display();
                crate::sys::log(&format!("cannot watch {path}: {error}; stdin ends with CloseIO only"));
                None
            }
        };
        Ok((read, Self { write_end, watch }))
    }

    /// Opens a FIFO for a terminal, where closing stdin does not cause EOF.
    ///
    /// # Errors
    /// The FIFO cannot be opened, or is not a FIFO.
    pub(super) fn open_for_terminal(path: &Path) -> Result<(OwnedFd, Self), Error> {
        let (read, write) = fifo::open_both_ends(path)?;
        Ok((read, Self { write_end: Arc::new(Mutex::new(Some(write))), watch: None }))
    }
}

impl Drop for StdinGuard {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
        close_write_end(&self.write_end);
    }
}

fn close_write_end(write_end: &Mutex<Option<OwnedFd>>) {
    *write_end.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

async fn close_after_writer(watch: Watch, write_end: Arc<Mutex<Option<OwnedFd>>>, ttrpc_address: String) {
    loop {
        watch.changed().await;
        if ttrpc_address.is_empty() || is_containerd_alive(&ttrpc_address).await {
            return close_write_end(&write_end);
        }
    }
}

async fn is_containerd_alive(ttrpc_address: &str) -> bool {
    tokio::time::sleep(LIVENESS_DELAY).await;
    let path = ttrpc_address.strip_prefix("unix://").unwrap_or(ttrpc_address);
    loop {
        let connected = tokio::net::UnixStream::connect(path);
        match tokio::time::timeout(CONNECT_TIMEOUT, connected).await {
            // At the limit of file descriptors, or with a full backlog, nothing is known yet.
            Ok(Err(error)) if is_exhausted(&error) => tokio::time::sleep(LIVENESS_DELAY).await,
            connected => return connected.is_ok_and(|stream| stream.is_ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn fifo() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("mknod");
        (dir, path)
    }

    fn gets_eof(ttrpc_address: &str) -> bool {
        let (_dir, path) = fifo();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio runtime");
        runtime.block_on(async {
            let shim = ShimContext::new("default", ttrpc_address);
            let (read, input) = StdinGuard::open(&path, &shim).expect("open FIFO");
            let mut writer = std::fs::OpenOptions::new().write(true).open(&path).expect("open for writing");
            writer.write_all(b"text").expect("write");
            drop(writer);
            let mut read = std::fs::File::from(read);
            assert_eq!(read.read(&mut [0; 8]).expect("read"), 4);
            rustix::io::ioctl_fionbio(&read, true).expect("FIONBIO");
            for _ in 0..40 {
                tokio::time::sleep(Duration::from_millis(10)).await;
                if matches!(read.read(&mut [0; 8]), Ok(0)) {
                    return true;
                }
            }
            drop(input);
            assert_eq!(read.read(&mut [0; 8]).expect("EOF"), 0);
            false
        })
    }

    #[test]
    fn stdin_ends_with_its_writer_unless_containerd_is_down() {
        assert!(gets_eof(""));
        assert!(!gets_eof("/no/such/daemon"));
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("daemon");
        let _daemon = std::os::unix::net::UnixListener::bind(&path).expect("bind");
        assert!(gets_eof(&path.display().to_string()));
    }
}
