//! The last stage: whatever runs from here on can do nothing beyond the view.

use crate::rpm::Job;

/// A process that may run what packages bring.
pub(in crate::rpm) struct Ready {
    job: Job,
}

impl Ready {
    pub(super) fn new(job: Job) -> Self {
        Self { job }
    }

    /// What is to be done.
    pub(in crate::rpm) fn job(&self) -> &Job {
        &self.job
    }
}
