//! A process that is made inside namespaces from which there is no way back.
//!
//! A pid namespace is entered by children only, and a user namespace has to be entered before all
//! others. So a helper enters them, makes the process as its sibling (clone(2), CLONE_PARENT), and
//! ends.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};

use super::error::{Doing, LaunchError, tried};
use super::inside::{hide, report_and_exit};
use super::spawn::oom;
use super::sync::{Message, Sync};
use crate::sys;
use crate::sys::clone::{ChildToken, Cloned, clone3};

/// How long a helper is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which side this is.
pub(super) enum Made {
    /// The new process.
    Child(ChildToken),
    /// Its parent.
    Parent {
        /// Its number.
        pid: Pid,
        /// It.
        pidfd: OwnedFd,
    },
}

/// Makes a process where `enter` leads, which nobody there can look at, with new namespaces of its own and in a cgroup.
///
/// `adjust` is its OOM score adjustment: the file that takes it is out of reach for an ordinary user
/// once nobody can look at the process.
///
/// # Errors
/// `enter` fails, or the kernel refuses; then no process is left.
pub(super) fn made_within(
    adjust: Option<i32>,
    enter: impl FnOnce() -> Result<(), LaunchError>,
    namespaces: u64,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Made, LaunchError> {
    let (heard, tell) = Sync::pair().doing(|| "a socket")?;
    match clone3(0, None).doing(|| "a helper process")? {
        Cloned::Child(_) => {
            // Its copy would keep it from hearing that the launcher is gone.
            drop(heard);
            let flags = namespaces | u64::try_from(libc::CLONE_PARENT).unwrap_or(0);
            match hidden(adjust)
                .and_then(|()| enter())
                .and_then(|()| clone3(flags, cgroup).doing(|| "new namespaces"))
            {
                Ok(Cloned::Child(child)) => Ok(Made::Child(child)),
                Ok(Cloned::Parent { pid, .. }) => {
                    tried(tell.say(&Message::Made(pid.as_raw_nonzero().get())));
                    sys::exec::leave(0)
                }
                Err(error) => report_and_exit(&tell, error),
            }
        }
        Cloned::Parent { pidfd, .. } => {
            drop(tell);
            let limit = heard.limit(PATIENCE);
            let answer = limit.and_then(|()| heard.hear()).doing(|| "a helper process");
            if answer.is_err() {
                tried(pidfd_send_signal(&pidfd, Signal::KILL));
            }
            tried(waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED));
            match answer? {
                Some(Message::Made(pid)) => {
                    let pid = Pid::from_raw(pid).ok_or(LaunchError::Died("its creation"))?;
                    // It is our child, so its number stays its own until we wait for it.
                    let pidfd = pidfd_open(pid, PidfdFlags::empty()).doing(|| "the process inside")?;
                    Ok(Made::Parent { pid, pidfd })
                }
                Some(Message::Failed(error)) => Err(error),
                _ => Err(LaunchError::Died("its creation")),
            }
        }
    }
}

/// Before the namespaces of others are entered: from then on their processes can see this one.
fn hidden(adjust: Option<i32>) -> Result<(), LaunchError> {
    adjust.map_or(Ok(()), |adjust| oom("self", adjust))?;
    hide()
}
