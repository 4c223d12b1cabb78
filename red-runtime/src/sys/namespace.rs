//! Joining namespaces, and the loopback device of a new one.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::last;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// Moves this thread into namespaces: those (`CLONE_NEW…`) of a process when `of` is a pidfd, the
/// one that `of` is otherwise (setns(2)).
///
/// # Errors
/// What setns(2) says.
pub(crate) fn join(of: impl AsFd, namespaces: i32) -> rustix::io::Result<()> {
    // SAFETY: plain numbers. The process has one thread, so it has one view of its namespaces.
    let result = unsafe { libc::setns(of.as_fd().as_raw_fd(), namespaces) };
    if result == 0 { Ok(()) } else { Err(last()) }
}

/// Takes a namespace of its own, or for pid and time namespaces: for its children.
///
/// # Errors
/// What unshare(2) says.
pub(crate) fn unshare(namespaces: i32) -> rustix::io::Result<()> {
    // SAFETY: plain numbers; see `join`. Descriptors and memory stay as they are.
    let result = unsafe { libc::unshare(namespaces) };
    if result == 0 { Ok(()) } else { Err(last()) }
}

/// The kind (`CLONE_NEW…`) of an open namespace (ioctl_nsfs(2), NS_GET_NSTYPE).
///
/// # Errors
/// The descriptor is not a namespace.
pub(crate) fn kind(of: impl AsFd) -> rustix::io::Result<i32> {
    // `_IO(NSIO, 0x3)` of linux/nsfs.h.
    const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
    // SAFETY: the call takes no argument beside the descriptor, which lives for its time.
    let result = unsafe { libc::ioctl(of.as_fd().as_raw_fd(), NS_GET_NSTYPE) };
    if result >= 0 { Ok(result) } else { Err(last()) }
}

/// The user namespace that owns an open namespace (ioctl_nsfs(2), NS_GET_USERNS).
///
/// # Errors
/// The descriptor is not a namespace, or `EPERM`: the owner is outside of the caller's user namespace.
pub(crate) fn owner(of: impl AsFd) -> rustix::io::Result<OwnedFd> {
    // `_IO(NSIO, 0x1)` of linux/nsfs.h.
    const NS_GET_USERNS: libc::Ioctl = 0xb701;
    // SAFETY: the call takes no argument beside the descriptor, which lives for its time.
    let result = unsafe { libc::ioctl(of.as_fd().as_raw_fd(), NS_GET_USERNS) };
    if result < 0 {
        return Err(last());
    }
    // SAFETY: the call has returned a new descriptor, close-on-exec, that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

/// Brings up the loopback device (netdevice(7)).
///
/// # Errors
/// What the ioctl says.
pub(crate) fn loopback_up() -> rustix::io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: an all-zero ifreq is valid; the name is shorter than its field, so it stays
    // null-terminated. SIOCGIFFLAGS writes the flags, SIOCSIFFLAGS reads them.
    let result = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = std::ffi::c_char::from_ne_bytes([*from]);
        }
        let mut result = libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as libc::Ioctl, &raw mut request);
        if result == 0 {
            request.ifr_ifru.ifru_flags |= libc::IFF_UP as i16;
            result = libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as libc::Ioctl, &raw mut request);
        }
        result
    };
    if result == 0 { Ok(()) } else { Err(last()) }
}
