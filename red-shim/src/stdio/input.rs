//! The end of a process's input that lies with the shim.
//!
//! As long as somebody has a fifo open for writing, whoever reads it waits for more. Whoever asked for the process may
//! come late, so the shim has it open too, and lets go when it is told to (`CloseIO`) or when another has closed it:
//! a client ends the input by that alone. Only when containerd itself goes away it has to last, until it is back.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::inotify;
use tokio::task::JoinHandle;

use super::fifo;
use crate::error::Error;

/// What a process that is killed has open is closed one after the other, its sockets perhaps later.
const MOMENT: Duration = Duration::from_millis(50);

/// How long containerd may take to accept a connection.
const ANSWER: Duration = Duration::from_secs(2);

/// What is held.
#[derive(Debug)]
pub(super) struct Input {
    end: Arc<Mutex<Option<OwnedFd>>>,
    watch: Option<JoinHandle<()>>,
}

impl Input {
    /// Opens a fifo: the first is for the process. `daemon` is the address of the socket of containerd, or nothing.
    ///
    /// # Errors
    /// It is not there, or no fifo.
    pub(super) fn open(path: &Path, daemon: &str) -> Result<(OwnedFd, Self), Error> {
        // Before there is a reader, which is what others wait for who open it.
        let watch = closings(path);
        let (read, write) = fifo::both_ends(path)?;
        let end = Arc::new(Mutex::new(Some(write)));
        let watch = match watch.and_then(crate::sys::watched) {
            Ok(watch) => Some(tokio::spawn(follow(watch, end.clone(), daemon.to_owned()))),
            Err(error) => {
                // There are few instances for a user (inotify(7), max_user_instances).
                crate::sys::log(&format!("{}: {error}; it ends when containerd says so", path.display()));
                None
            }
        };
        Ok((read, Self { end, watch }))
    }

    /// The same for a terminal, where no end of input ends anything.
    ///
    /// # Errors
    /// It is not there, or no fifo.
    pub(super) fn open_for_terminal(path: &Path) -> Result<(OwnedFd, Self), Error> {
        let (read, write) = fifo::both_ends(path)?;
        Ok((read, Self { end: Arc::new(Mutex::new(Some(write))), watch: None }))
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
        release(&self.end);
    }
}

fn release(end: &Mutex<Option<OwnedFd>>) {
    *end.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

fn closings(path: &Path) -> std::io::Result<OwnedFd> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&watch, path, inotify::WatchFlags::CLOSE_WRITE)?;
    Ok(watch)
}

async fn follow(watch: tokio::io::unix::AsyncFd<OwnedFd>, end: Arc<Mutex<Option<OwnedFd>>>, daemon: String) {
    loop {
        let Ok(mut ready) = watch.readable().await else { return };
        match ready.try_io(|watch| Ok(rustix::io::read(watch, &mut [0_u8; 1024])?)) {
            Err(_would_block) => continue,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Ok(Err(_)) => return,
            Ok(Ok(_)) => {}
        }
        if daemon.is_empty() || is_there(&daemon).await {
            return release(&end);
        }
    }
}

async fn is_there(daemon: &str) -> bool {
    tokio::time::sleep(MOMENT).await;
    let path = daemon.strip_prefix("unix://").unwrap_or(daemon);
    let connected = tokio::net::UnixStream::connect(path);
    tokio::time::timeout(ANSWER, connected).await.is_ok_and(|stream| stream.is_ok())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn fifo() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("it is ours");
        (dir, path)
    }

    fn ends(daemon: &str) -> bool {
        let (_dir, path) = fifo();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it is small");
        runtime.block_on(async {
            let (read, input) = Input::open(&path, daemon).expect("it is a fifo");
            let mut writer = std::fs::OpenOptions::new().write(true).open(&path).expect("it has a reader");
            writer.write_all(b"text").expect("there is room");
            drop(writer);
            let mut read = std::fs::File::from(read);
            assert_eq!(read.read(&mut [0; 8]).expect("it is there"), 4);
            rustix::io::ioctl_fionbio(&read, true).expect("it is ours");
            for _ in 0..40 {
                tokio::time::sleep(Duration::from_millis(10)).await;
                if matches!(read.read(&mut [0; 8]), Ok(0)) {
                    return true;
                }
            }
            drop(input);
            assert_eq!(read.read(&mut [0; 8]).expect("it has ended"), 0);
            false
        })
    }

    #[test]
    fn it_ends_with_who_wrote_it_but_not_with_containerd() {
        assert!(ends(""));
        assert!(!ends("/no/such/daemon"));
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("daemon");
        let _daemon = std::os::unix::net::UnixListener::bind(&path).expect("it is ours");
        assert!(ends(&path.display().to_string()));
    }
}
