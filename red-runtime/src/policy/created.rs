//! What keeps a node that was just made from starting.

use std::path::Path;

use super::{Starter, load, path, verify};
use crate::node::diagnostic::{Diagnostic, Report, Severity};
use crate::node::expand::Launch;
use crate::node::load::{self as family, LoadOptions, MainFile};

/// Warns of files and directories that others could have written, and for which the caller's launches of the node are
/// refused. Whoever makes a node in a directory that its group may write to (Debian's users have a umask of 0002) is
/// to know then.
#[must_use]
pub fn after_creation(node: &Path, launch: &Launch) -> Report {
    let mut warnings = Report::default();
    let main = || MainFile::Default;
    let options =
        LoadOptions { admin: false, main: main(), main_admin: main(), prefix: launch.prefix().to_owned() };
    // What cannot be read was told, or is told by the launch.
    let loaded = family::load(node, &options).ok().and_then(|loaded| loaded.family);
    let (Some(family), Some(policy)) = (loaded, load(&path(launch.prefix())).policy) else { return warnings };
    let found = verify(&policy, &family, Starter::Direct { uid: launch.uid });
    for one in found.diagnostics() {
        let message = format!("the node does not start: {}", one.message);
        warnings.push(Diagnostic { severity: Severity::Warning, message, ..one.clone() });
    }
    warnings
}
