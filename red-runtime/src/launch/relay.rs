//! Passing bytes between the launcher's streams and the outer side of a command's terminal.
//!
//! Neither direction waits for the other: what cannot be written yet is kept, and nothing more is read
//! meanwhile. A command that closes its terminal may open it again, so one that is closed is looked at now
//! and then.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::error::{Doing, LaunchError, tried};
use super::foreground::copy_size;

/// How long after it was closed a terminal is looked at again.
const AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Bytes that are passed at once. A pipe that poll(2) says can be written to takes as many (pipe(7),
/// PIPE_BUF).
const PIECE: usize = 4096;

/// Both directions.
pub(super) struct Relay<'a> {
    inner: &'a OwnedFd,
    /// What our own terminal was before, if we have one.
    before: Option<Termios>,
    input: Direction,
    output: Direction,
}

impl<'a> Relay<'a> {
    /// Our own terminal passes everything on untouched: the inner one has the meaning. Where standard input
    /// is none, it is passed on as it is.
    ///
    /// # Errors
    /// tcsetattr(3) or fcntl(2) fails.
    pub(super) fn begin(inner: &'a OwnedFd) -> Result<Self, LaunchError> {
        let what = || "the terminal";
        // The description is ours alone: whoever made the terminal has closed it.
        fcntl_setfl(inner, fcntl_getfl(inner).doing(what)? | OFlags::NONBLOCK).doing(what)?;
        let before = tcgetattr(rustix::stdio::stdin()).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &raw).doing(what)?;
            copy_size(inner);
        }
        Ok(Self { inner, before, input: Direction::default(), output: Direction::default() })
    }

    /// Adds what is waited for, and says how long at most.
    pub(super) fn awaits<'f>(&'f self, fds: &mut Vec<PollFd<'f>>) -> Option<Timespec> {
        let mut inner = PollFlags::empty();
        if !self.output.closed {
            inner.set(PollFlags::IN, self.output.is_empty());
            inner.set(PollFlags::OUT, !self.input.is_empty());
        }
        // A hang-up is told whether it is asked for or not.
        if !inner.is_empty() {
            fds.push(PollFd::new(self.inner, inner));
        }
        if !self.output.is_empty() {
            fds.push(PollFd::from_borrowed_fd(rustix::stdio::stdout(), PollFlags::OUT));
        }
        if self.input.is_empty() && !self.input.closed {
            fds.push(PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN));
        }
        self.output.closed.then_some(AGAIN)
    }

    /// Passes on what there is and what there is room for.
    pub(super) fn pass(&mut self) {
        if self.input.is_empty() && !self.input.closed && ready(rustix::stdio::stdin(), PollFlags::IN) {
            self.input.read(rustix::stdio::stdin());
        }
        self.input.write(self.inner.as_fd());
        if self.output.is_empty() {
            // One that was opened again is no longer closed.
            self.output.closed = false;
            self.output.read(self.inner.as_fd());
        }
        if ready(rustix::stdio::stdout(), PollFlags::OUT) {
            self.output.write(rustix::stdio::stdout());
        }
    }

    /// Writes what the command has written before it ended.
    pub(super) fn drain(&mut self) {
        loop {
            self.output.write(rustix::stdio::stdout());
            if !self.output.is_empty() {
                // An error here is told by the next write.
                tried(poll(&mut [PollFd::from_borrowed_fd(rustix::stdio::stdout(), PollFlags::OUT)], None));
                continue;
            }
            // What nobody waits for is not read: the end of the command is the end.
            if !self.output.read(self.inner.as_fd()) {
                return;
            }
        }
    }
}

impl Drop for Relay<'_> {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // There is no better state to leave the terminal in than the one it had.
            tried(tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, before));
        }
    }
}

fn ready(fd: BorrowedFd<'_>, events: PollFlags) -> bool {
    let none = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut fds = [PollFd::from_borrowed_fd(fd, events)];
    poll(&mut fds, Some(&none)).is_ok_and(|count| count > 0)
}

/// What was read and is not written yet.
#[derive(Default)]
struct Direction {
    held: Vec<u8>,
    /// Nothing more comes: at its end, or while a terminal is open nowhere.
    closed: bool,
}

impl Direction {
    fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Reads a piece; `false` when there is none.
    fn read(&mut self, from: BorrowedFd<'_>) -> bool {
        let mut buffer = [0_u8; PIECE];
        match rustix::io::read(from, &mut buffer) {
            Err(Errno::INTR | Errno::AGAIN) => false,
            // A terminal whose other side is closed says EIO.
            Ok(0) | Err(_) => {
                self.closed = true;
                false
            }
            Ok(count) => {
                self.held.extend_from_slice(&buffer[..count]);
                true
            }
        }
    }

    /// Writes what is held, as far as there is room. What nobody can read any more is dropped.
    fn write(&mut self, to: BorrowedFd<'_>) {
        while !self.held.is_empty() {
            match rustix::io::write(to, &self.held) {
                Ok(count) => drop(self.held.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.held.clear(),
            }
        }
    }
}
