//! The second stage: in the view, with descriptors of the host possibly open. Nothing is run here.

use std::os::fd::RawFd;

use rustix::fs::{Mode, OFlags};

use super::closed::Closed;
use super::said;
use crate::rpm::Job;

/// A process whose root is the view.
pub(in crate::rpm) struct Rooted {
    job: Job,
}

impl Rooted {
    pub(super) fn new(job: Job) -> Self {
        Self { job }
    }

    /// Closes all but the standard streams and `keep`, which are sockets, and files of read-only mounts.
    /// What the streams are the process outside saw to; stdin becomes the view's own `/dev/null`.
    pub(in crate::rpm) fn close(self, keep: &[RawFd]) -> Result<Closed, String> {
        let nothing = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        nothing.and_then(rustix::stdio::dup2_stdin).map_err(said("/dev/null"))?;
        red_runtime::confine::close_others(keep).map_err(said("descriptors of the host"))?;
        Ok(Closed::new(self.job))
    }
}
