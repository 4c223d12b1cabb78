//! Filters that ask somebody outside (runtime specification, config-linux.md, "The Container
//! Process State").

use std::os::fd::OwnedFd;

use oci_spec::runtime::Spec;

use super::console::connect_to;
use super::error::{Doing, LaunchError};
use super::job::Job;
use super::sync::send_descriptor;

/// A connection to whoever answers for the filter of a configuration.
///
/// # Errors
/// Nobody listens there.
pub(super) fn listener(spec: &Spec) -> Result<Option<OwnedFd>, LaunchError> {
    let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let path = seccomp.and_then(|seccomp| seccomp.listener_path().clone());
    path.map(|path| connect_to(&path)).transpose()
}

/// Hands the filter's descriptor over.
///
/// # Errors
/// The other end is gone.
pub(super) fn hand_over(job: &Job<'_>, listener: &OwnedFd, notify: &OwnedFd) -> Result<(), LaunchError> {
    let seccomp = job.spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let metadata = seccomp.and_then(|seccomp| seccomp.listener_metadata().clone()).unwrap_or_default();
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let state: serde_json::Value =
        serde_json::from_str(&job.state("creating", Some(pid))).unwrap_or_default();
    let message = serde_json::json!({
        "ociVersion": job.spec.version(),
        "fds": ["seccompFd"],
        "pid": pid,
        "metadata": metadata,
        "state": state,
    });
    send_descriptor(listener, message.to_string().as_bytes(), notify).doing(|| "the seccomp listener")
}
