//! The standard system call filter of our own launches (`sys::filter`), in a launch's words.

use super::error::{Doing, LaunchError};
use crate::sys::filter::{self, Who};

/// Loads the filter. The caller has no_new_privs, or CAP_SYS_ADMIN.
///
/// # Errors
/// The architecture has no filter yet, or seccomp(2) fails.
pub(super) fn load() -> Result<(), LaunchError> {
    if !filter::AVAILABLE {
        return Err(LaunchError::refused(
            "the standard system call filter",
            "not available for this architecture; `config: {seccomp: Disabled}` does without",
        ));
    }
    filter::load(Who::Command).doing(|| "the standard system call filter")
}
