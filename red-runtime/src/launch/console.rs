//! Terminals: one of the container's own, and the way to it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, major, minor, open, openat2};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcgetwinsize, tcsetwinsize};

use super::error::{Doing, LaunchError};
use super::root::assemble::Assembled;
use super::sync::send_descriptor;

/// A terminal for the command.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// The command's side.
    pub(crate) inner: OwnedFd,
}

/// Makes a terminal and sends its outer side to whoever asked. It belongs to the `/dev/pts` of the
/// root that is being put together where there is one, so that its name means something inside.
///
/// # Errors
/// There is no terminal to be had, or nobody takes it.
pub(super) fn make_in(
    root: &Assembled,
    socket: &OwnedFd,
    size: Option<(u16, u16)>,
) -> Result<Terminal, LaunchError> {
    let outer = match root.open("/dev/pts/ptmx", OPEN) {
        Ok(outer) => outer,
        Err(_) => open("/dev/ptmx", OPEN, Mode::empty()).doing(|| "/dev/ptmx")?,
    };
    make(&outer, socket, size)
}

/// Makes a terminal of the `/dev/pts` of the container that this process is in, once nothing of the
/// host is open.
///
/// # Errors
/// As [`make_in`]; or what the container has there is no terminal multiplexer.
pub(super) fn make_here(socket: &OwnedFd, size: Option<(u16, u16)>) -> Result<Terminal, LaunchError> {
    let inside = |path: &str| openat2(CWD, path, OPEN, Mode::empty(), ResolveFlags::NO_MAGICLINKS);
    let outer = inside("/dev/pts/ptmx").or_else(|_| inside("/dev/ptmx")).doing(|| "/dev/ptmx inside")?;
    make(&outer, socket, size)
}

const OPEN: OFlags = OFlags::RDWR.union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Device number of `/dev/ptmx` and of the `ptmx` of every devpts (pts(4)).
const PTMX: (u32, u32) = (5, 2);

fn make(outer: &OwnedFd, socket: &OwnedFd, size: Option<(u16, u16)>) -> Result<Terminal, LaunchError> {
    let stat = fstat(outer).doing(|| "the terminal")?;
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if !is_device || (major(stat.st_rdev), minor(stat.st_rdev)) != PTMX {
        return Err(LaunchError::refused("/dev/ptmx inside", "not a terminal multiplexer (c 5:2)"));
    }
    unlockpt(outer).doing(|| "the terminal")?;
    let inner = ioctl_tiocgptpeer(outer, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
        .doing(|| "the terminal")?;
    // Without one in the configuration that of the launcher's own terminal, if it has one: the command
    // may ask for it as the first thing that it does.
    let size = match size {
        Some((ws_row, ws_col)) => Some(Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 }),
        None => tcgetwinsize(rustix::stdio::stdin()).ok(),
    };
    if let Some(size) = size {
        tcsetwinsize(&inner, size).doing(|| "the size of the terminal")?;
    }
    send_descriptor(socket, b"/dev/ptmx", outer).doing(|| "the console socket")?;
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
