//! keyctl(2).

use std::ffi::CStr;

use super::last;

/// Gives this process a session keyring of its own (keyctl(2), KEYCTL_JOIN_SESSION_KEYRING).
///
/// # Errors
/// What the kernel says.
pub(crate) fn join_new(name: Option<&CStr>) -> rustix::io::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: the name is null-terminated and outlives the call; without one the keyring has none.
    let result = unsafe {
        libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.map_or(std::ptr::null(), CStr::as_ptr))
    };
    if result < 0 { Err(last()) } else { Ok(()) }
}
