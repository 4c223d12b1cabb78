//! A program on a terminal that the test holds.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// The program, which is ended with the test.
#[derive(Debug)]
pub struct Terminal {
    master: OwnedFd,
    program: Child,
    seen: String,
}

impl Terminal {
    /// Starts a program with a terminal of this size in place of its streams.
    ///
    /// # Panics
    /// There is no terminal to be had, or it does not start.
    #[must_use]
    pub fn spawn(mut command: Command, columns: u16, rows: u16) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&master).expect("it is ours");
        unlockpt(&master).expect("it is ours");
        let name = ptsname(&master, Vec::new()).expect("it has a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let end = open(name.as_c_str(), flags, Mode::empty()).expect("it is there");
        let stream = || Stdio::from(end.try_clone().expect("there are descriptors"));
        size(&master, columns, rows);
        let program = command.stdin(stream()).stdout(stream()).stderr(stream()).spawn().expect("it starts");
        Self { master, program, seen: String::new() }
    }

    /// Types something.
    ///
    /// # Panics
    /// Nobody reads it.
    pub fn send(&mut self, text: &str) {
        let mut master = std::fs::File::from(self.master.try_clone().expect("there are descriptors"));
        master.write_all(text.as_bytes()).expect("it takes it");
    }

    /// Waits until something has been shown, and gives all until then, which is not looked at again.
    ///
    /// # Panics
    /// It takes too long.
    pub fn expect(&mut self, text: &str) -> String {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            assert!(Instant::now() < end && self.read(), "never shown: {text:?} in {:?}", self.seen);
        }
    }

    /// Gives the terminal another size, and says so.
    pub fn resize(&self, columns: u16, rows: u16) {
        size(&self.master, columns, rows);
        if let Some(pid) = Pid::from_raw(i32::try_from(self.program.id()).unwrap_or(0)) {
            kill_process(pid, Signal::WINCH).unwrap_or(());
        }
    }

    /// Waits for its end. Gives its status and what was still shown.
    ///
    /// # Panics
    /// It takes too long.
    pub fn wait(mut self) -> (i32, String) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            self.read();
            if let Some(status) = self.program.try_wait().expect("it is ours") {
                while self.read() {}
                return (status.code().unwrap_or(255), std::mem::take(&mut self.seen));
            }
            assert!(Instant::now() < end, "never ended: {:?}", self.seen);
        }
    }

    /// Reads what is there, or waits a moment for it; `false` when there is none.
    fn read(&mut self) -> bool {
        let moment = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        let mut ready = [PollFd::new(&self.master, PollFlags::IN)];
        if !poll(&mut ready, Some(&moment)).is_ok_and(|count| count > 0) {
            return self.program.try_wait().is_ok_and(|status| status.is_none());
        }
        let mut chunk = [0; 4096];
        let count = rustix::io::read(&self.master, &mut chunk).unwrap_or(0);
        // Each terminal on the way adds one at the end of a line.
        self.seen.extend(String::from_utf8_lossy(&chunk[..count]).chars().filter(|shown| *shown != '\r'));
        count > 0
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

fn size(master: &OwnedFd, columns: u16, rows: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).expect("it is a terminal");
}
