//! Smack labels (Smack.rst). A kernel without Smack gives none, and then nothing starts that wants one.

use std::path::Path;

use super::error::{Doing, LaunchError};

/// Checks that a label can be given.
///
/// # Errors
/// This kernel has no Smack.
pub(crate) fn check(label: Option<&str>) -> Result<(), LaunchError> {
    match label {
        Some(label) if !Path::new("/sys/fs/smackfs").exists() => Err(LaunchError::refused(
            format!("smack label `{label}`"),
            "this kernel has no Smack; drop `smack` from the configuration, or start a kernel that has it",
        )),
        _ => Ok(()),
    }
}

/// Gives this process a label, while it can still see the host's `/proc`.
///
/// # Errors
/// The kernel refuses: only CAP_MAC_ADMIN of the initial user namespace changes labels.
pub(super) fn take(label: &str) -> Result<(), LaunchError> {
    let file = ["/proc/self/attr/smack/current", "/proc/self/attr/current"];
    let file = file.iter().find(|file| Path::new(file).exists()).unwrap_or(&file[1]);
    std::fs::write(file, label).doing(|| format!("smack label `{label}`"))
}
