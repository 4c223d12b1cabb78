//! A program on a pty whose master the test holds.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// A program on a pty, killed on drop.
#[derive(Debug)]
pub struct Terminal {
    master: OwnedFd,
    program: Child,
    output: String,
}

impl Terminal {
    /// Spawns a program with a pty as its standard streams.
    ///
    /// # Panics
    /// A pty cannot be opened, or the program cannot be executed.
    #[must_use]
    pub fn spawn(mut command: Command, columns: u16, rows: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("openpt");
        grantpt(&master).expect("grantpt");
        unlockpt(&master).expect("unlockpt");
        let name = ptsname(&master, Vec::new()).expect("ptsname");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = open(name.as_c_str(), flags, Mode::empty()).expect("open pty slave");
        let stream = || Stdio::from(slave.try_clone().expect("dup"));
        set_size(&master, columns, rows);
        let program = command.stdin(stream()).stdout(stream()).stderr(stream()).spawn().expect("spawn");
        Self { master, program, output: String::new() }
    }

    /// Writes input to the terminal.
    ///
    /// # Panics
    /// write(2) fails.
    pub fn send(&mut self, text: &str) {
        let mut master = std::fs::File::from(self.master.try_clone().expect("dup"));
        master.write_all(text.as_bytes()).expect("write");
    }

    /// Waits for a string in the output, and returns and consumes the output up to its end.
    ///
    /// # Panics
    /// Timeout, or the program exits first.
    pub fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + crate::patience(20);
        loop {
            if let Some(at) = self.output.find(text) {
                let rest = self.output.split_off(at + text.len());
                return std::mem::replace(&mut self.output, rest);
            }
            assert!(
                Instant::now() < deadline && self.read(),
                "timed out waiting for {text:?} in {:?}",
                self.output
            );
        }
    }

    /// Resizes the terminal, and sends SIGWINCH to the program.
    pub fn resize(&self, columns: u16, rows: u16) {
        set_size(&self.master, columns, rows);
        if let Some(pid) = Pid::from_raw(i32::try_from(self.program.id()).unwrap_or(0)) {
            kill_process(pid, Signal::WINCH).unwrap_or(());
        }
    }

    /// Waits for the program's exit. Returns its exit status and the remaining output.
    ///
    /// # Panics
    /// Timeout.
    pub fn wait(mut self) -> (i32, String) {
        let deadline = Instant::now() + crate::patience(20);
        loop {
            self.read();
            if let Some(status) = self.program.try_wait().expect("wait") {
                while self.read() {}
                return (status.code().unwrap_or(255), std::mem::take(&mut self.output));
            }
            assert!(Instant::now() < deadline, "timed out waiting for the exit: {:?}", self.output);
        }
    }

    /// Reads available output, or waits 100 ms for it; `false` at the end of output.
    fn read(&mut self) -> bool {
        let timeout = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        let mut ready = [PollFd::new(&self.master, PollFlags::IN)];
        if !poll(&mut ready, Some(&timeout)).is_ok_and(|count| count > 0) {
            return self.program.try_wait().is_ok_and(|status| status.is_none());
        }
        let mut buffer = [0; 4096];
        let count = rustix::io::read(&self.master, &mut buffer).unwrap_or(0);
        // Each pty in between adds a carriage return at the end of a line (ONLCR).
        self.output.extend(String::from_utf8_lossy(&buffer[..count]).chars().filter(|char| *char != '\r'));
        count > 0
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

fn set_size(master: &OwnedFd, columns: u16, rows: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).expect("TIOCSWINSZ");
}
