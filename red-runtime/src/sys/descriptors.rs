//! All descriptors of a process at once (close_range(2)).

use std::os::fd::RawFd;

use super::last;

/// Lets every descriptor from `first` on close on exec.
///
/// # Errors
/// What close_range(2) says.
pub(crate) fn close_from_on_exec(first: u32) -> rustix::io::Result<()> {
    close_range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes every descriptor from `first` on but those in `keep`. The caller sees to it that nothing that
/// owns one of the others runs again.
///
/// # Errors
/// close_range(2) fails, which it does only on kernels before 5.9.
pub(super) fn close_from(first: u32, keep: &[RawFd]) -> rustix::io::Result<()> {
    let mut keep: Vec<u32> = keep.iter().filter_map(|number| u32::try_from(*number).ok()).collect();
    keep.retain(|number| *number >= first);
    keep.sort_unstable();
    keep.dedup();
    let mut from = first;
    for number in keep {
        if from < number {
            close_range(from, number - 1, 0)?;
        }
        from = number + 1;
    }
    close_range(from, u32::MAX, 0)
}

/// Closes the descriptors that this process was handed after its standard streams, so many at most. They are told by
/// what they do not do: this program opens everything close-on-exec, and makes an object of none that it was handed.
#[cfg(feature = "launch")]
pub(crate) fn close_handed(count: u32) {
    for number in (3..3_u32.saturating_add(count)).filter_map(|number| RawFd::try_from(number).ok()) {
        // SAFETY: F_GETFD reads a flag of a number; one that is not open fails.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if flags >= 0 && flags & libc::FD_CLOEXEC == 0 {
            // SAFETY: nothing in this process owns it, as said above.
            unsafe { libc::close(number) };
        }
    }
}

/// Closes every descriptor from 3 on but those of `keep`.
///
/// # Errors
/// As of [`close_from`].
pub(crate) fn close_others(keep: &[RawFd]) -> rustix::io::Result<()> {
    close_from(3, keep)
}

fn close_range(first: u32, last_one: u32, flags: u32) -> rustix::io::Result<()> {
    // Not every C library has a function for it.
    // SAFETY: the callers see to it that whatever owns one of them never runs again.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last_one, flags) };
    if result == 0 { Ok(()) } else { Err(last()) }
}
