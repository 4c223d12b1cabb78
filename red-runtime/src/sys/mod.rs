//! The only place with `unsafe`: system calls that no safe wrapper offers.
//!
//! Each block says which invariant makes it sound. Everything above this module sees owned
//! descriptors and plain values.

#![allow(unsafe_code, reason = "system calls without a safe wrapper; everything else goes through rustix")]

pub(crate) mod clone;
pub(crate) mod confined;

#[cfg(feature = "launch")]
pub(crate) mod bpf;
#[cfg(feature = "launch")]
pub(crate) mod exec;
#[cfg(feature = "launch")]
pub(crate) mod mount_attr;
#[cfg(feature = "launch")]
pub(crate) mod namespace;
#[cfg(feature = "launch")]
pub(crate) mod signal;

/// What the last system call of this thread failed with.
#[cfg(feature = "launch")]
fn last() -> rustix::io::Errno {
    rustix::io::Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(rustix::io::Errno::IO)
}
