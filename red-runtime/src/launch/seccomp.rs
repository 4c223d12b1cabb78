//! Filters that ask somebody outside (runtime specification, config-linux.md, "The Container
//! Process State").

use std::os::fd::OwnedFd;

use oci_spec::runtime::{LinuxSeccomp, Spec};

use super::console::connect_to;
use super::error::{Doing, LaunchError};
use super::job::Job;
use super::process::chain;
use super::sync::send_descriptor;
use crate::sys;

/// A connection to whoever answers for the filter of a configuration.
///
/// # Errors
/// Nobody listens there.
pub(super) fn listener(spec: &Spec) -> Result<Option<OwnedFd>, LaunchError> {
    let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let path = seccomp.and_then(|seccomp| seccomp.listener_path().clone());
    path.map(|path| connect_to(&path)).transpose()
}

/// Loads the filter of a configuration. Returns its descriptor when it asks an agent.
///
/// # Errors
/// It cannot be compiled or loaded.
pub(super) fn load(seccomp: Option<&LinuxSeccomp>) -> Result<Option<OwnedFd>, LaunchError> {
    let Some(seccomp) = seccomp else { return Ok(None) };
    let notify = libcontainer::seccomp::initialize_seccomp(seccomp)
        .map_err(|error| LaunchError::refused("linux.seccomp", chain(&error)))?;
    notify.map(|number| sys::exec::inherited(number).doing(|| "the listener of the filter")).transpose()
}

/// Hands the descriptor of a filter that asks an agent to that agent. A process that joins a
/// container has no job, and cannot reach the agent, which knows the first process only.
///
/// # Errors
/// There is no agent, or it is gone.
pub(super) fn hand_over(
    job: Option<&Job<'_>>,
    listener: Option<&OwnedFd>,
    notify: Option<OwnedFd>,
) -> Result<(), LaunchError> {
    match (notify, job, listener) {
        (None, _, _) => Ok(()),
        (Some(notify), Some(job), Some(listener)) => send(job, listener, &notify),
        (Some(_), Some(_), None) => Err(LaunchError::refused(
            "linux.seccomp",
            "a filter asks somebody outside, and there is no listenerPath",
        )),
        (Some(_), None, _) => Err(LaunchError::refused(
            "exec",
            "the container's seccomp filter asks its listener, which further processes cannot reach",
        )),
    }
}

fn send(job: &Job<'_>, listener: &OwnedFd, notify: &OwnedFd) -> Result<(), LaunchError> {
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
