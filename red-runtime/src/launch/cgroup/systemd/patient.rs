//! A socket with one deadline for everything that is read and written, so that who listens there cannot keep a
//! launcher waiting byte by byte.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// The socket.
#[derive(Debug)]
pub(super) struct Patient {
    stream: UnixStream,
    end: Instant,
}

impl Patient {
    /// Connects to a socket, and waits no longer than `patience` for that and for all that follows, until
    /// [`Patient::again`].
    ///
    /// # Errors
    /// connect(2) fails, or nobody accepts in time.
    pub(super) fn connect(path: &Path, patience: Duration) -> io::Result<Self> {
        let end = Instant::now() + patience;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let address = SocketAddrUnix::new(path)?;
        loop {
            match connect(&socket, &address) {
                Ok(()) => return Ok(Self { stream: socket.into(), end }),
                // Its queue is full, and no event tells when it no longer is (connect(2)).
                Err(Errno::AGAIN | Errno::INTR) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Begins to wait anew.
    pub(super) fn again(&mut self, patience: Duration) {
        self.end = Instant::now() + patience;
    }

    fn wait(&self, events: PollFlags) -> io::Result<()> {
        loop {
            let left = self.end.saturating_duration_since(Instant::now());
            let limit = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            match poll(&mut [PollFd::new(&self.stream, events)], Some(&limit)) {
                Err(Errno::INTR) => {}
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                result => return result.map(drop).map_err(io::Error::from),
            }
        }
    }

    /// Does something that would block when the socket is not ready for it.
    fn when_ready<T>(
        &mut self,
        events: PollFlags,
        mut act: impl FnMut(&mut UnixStream) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            self.wait(events)?;
            match act(&mut self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.when_ready(PollFlags::IN, |stream| stream.read(buffer))
    }
}

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.when_ready(PollFlags::OUT, |stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    const SOON: Duration = Duration::from_millis(300);

    fn timed_out<T: std::fmt::Debug>(result: io::Result<T>, begun: Instant) {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= SOON && begun.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn nobody_keeps_it_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        // One byte after the other.
        let drip = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(SOON / 10);
            }
            listener
        });
        let mut patient = Patient::connect(&path, SOON).unwrap();
        timed_out(patient.read_exact(&mut [0; 1000]), Instant::now() - SOON);
        patient.again(Duration::from_secs(60));
        patient.read_exact(&mut [0; 3]).unwrap();
        drop(patient);
        // Nobody accepts, and nobody reads.
        let listener = drip.join().unwrap();
        let begun = Instant::now();
        let mut full = Vec::new();
        let refused = loop {
            match Patient::connect(&path, SOON) {
                Ok(one) => full.push(one),
                Err(error) => break error,
            }
        };
        timed_out::<()>(Err(refused), begun);
        let begun = Instant::now();
        full[0].again(SOON);
        timed_out(full[0].write_all(&vec![0; 16 << 20]), begun);
        drop(listener);
    }
}
