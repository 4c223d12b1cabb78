//! Terminals: one of the container's own, and the way to it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};

use super::error::{Doing, LaunchError};
use super::root::assemble::Assembled;
use super::sync::send_descriptor;

/// A terminal for the command.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// The command's side.
    pub(crate) inner: OwnedFd,
}

/// Makes a terminal and sends its outer side to whoever asked. It belongs to the container's own
/// `/dev/pts` where there is one, so that its name means something inside.
///
/// # Errors
/// What the kernel says.
pub(crate) fn make(
    root: Option<&Assembled>,
    socket: &OwnedFd,
    size: Option<(u16, u16)>,
) -> Result<Terminal, LaunchError> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let inside = match root {
        Some(root) => root.open("/dev/pts/ptmx", flags),
        None => open("/dev/pts/ptmx", flags, Mode::empty()),
    };
    let outer = match inside {
        Ok(outer) => outer,
        Err(_) => open("/dev/ptmx", flags, Mode::empty()).doing(|| "/dev/ptmx")?,
    };
    unlockpt(&outer).doing(|| "the terminal")?;
    let inner = ioctl_tiocgptpeer(&outer, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
        .doing(|| "the terminal")?;
    if let Some((rows, columns)) = size {
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&inner, size).doing(|| "the size of the terminal")?;
    }
    send_descriptor(socket, b"/dev/ptmx", &outer).doing(|| "the console socket")?;
    Ok(Terminal { inner })
}

impl Terminal {
    /// Makes it the controlling terminal of this session and its standard streams.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn take(&self, uid: u32) -> Result<(), LaunchError> {
        rustix::process::ioctl_tiocsctty(self.inner.as_fd()).doing(|| "the controlling terminal")?;
        let uid = rustix::fs::Uid::from_raw(uid);
        // A user that is not mapped cannot own it, and need not.
        match rustix::fs::fchown(&self.inner, Some(uid), None) {
            Ok(()) | Err(rustix::io::Errno::PERM | rustix::io::Errno::INVAL) => {}
            Err(errno) => return Err(errno).doing(|| "the owner of the terminal"),
        }
        for number in 0..3 {
            crate::sys::exec::place(&self.inner, number).doing(|| "standard streams")?;
        }
        Ok(())
    }
}

/// Connects to a socket of the host.
///
/// # Errors
/// Nobody listens there.
pub(crate) fn connect_to(path: &Path) -> Result<OwnedFd, LaunchError> {
    let what = || format!("socket {}", path.display());
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).doing(what)?;
    let address = SocketAddrUnix::new(path).doing(what)?;
    connect(&socket, &address).doing(what)?;
    Ok(socket)
}
