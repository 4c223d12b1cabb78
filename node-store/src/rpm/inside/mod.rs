//! The process in the install view, from its first moment to rpm, as a sequence of types.
//!
//! ```text
//! Entered ──assemble──▶ Rooted ──close──▶ Closed ──confine──▶ Ready ──▶ rpm and its scriptlets
//! ```
//!
//! A scriptlet in Lua runs in this very process, and one in sh has its user and its capabilities. So
//! from the first scriptlet on the process belongs to the packages, and whatever it could reach they
//! can:
//!
//! - [`Entered`]: in its namespaces, the host's root around it. Packages are verified and opened here.
//! - [`Rooted`]: in the view. Descriptors of the host may still be open, so nothing is run.
//! - [`Closed`]: what is open is the view's, or pipes and sockets to the process outside, or a package
//!   through a read-only mount of that one file. None is a directory of the host, for
//!   `/proc/PID/fd/N/..` would lead out (CVE-2024-21626 is that).
//! - [`Ready`]: no capability beyond those for files and ids, no new privileges, a filter of system
//!   calls. Only now rpm begins.
//!
//! Fields are private to each stage's module, so a stage can only be had from the one before it.

mod closed;
mod entered;
mod ready;
mod rooted;

pub(super) use entered::Entered;
pub(super) use ready::Ready;

/// An error of a stage, in words.
fn said(what: &str) -> impl Fn(rustix::io::Errno) -> String {
    move |errno| format!("the install view: {what}: {}", std::io::Error::from(errno))
}
