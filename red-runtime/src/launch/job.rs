//! What is to be started: all of it, as data.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use oci_spec::runtime::{LinuxResources, Spec};

use super::cgroup::{Cgroups, Nested};
use super::filter::Standard;
use super::root::Root;

/// One container to be made.
pub(crate) struct Job<'a> {
    /// Its name.
    pub(crate) id: &'a str,
    /// No engine has to do with it.
    pub(crate) own: bool,
    /// Where its bundle is, for hooks and state.
    pub(crate) bundle: PathBuf,
    /// Process, namespaces, hooks and the rest.
    pub(crate) spec: &'a Spec,
    /// Its root.
    pub(crate) root: &'a Root,
    /// Its cgroups, made already.
    pub(crate) cgroups: Option<Cgroups>,
    /// What is made in its scope.
    pub(crate) nested: Option<Nested>,
    /// Limits of its cgroup, unless the chain of its family has them.
    pub(crate) resources: Option<&'a LinuxResources>,
    /// Whether the device filter is set once its root is complete.
    pub(crate) later_filter: bool,
    /// How its first process stands to whoever started it.
    pub(crate) manner: Manner,
    /// Socket at which its first process waits to be started.
    pub(crate) start_socket: Option<OwnedFd>,
    /// File that its first process writes the status of the command to when nobody waits for it.
    pub(crate) ended: Option<OwnedFd>,
    /// The standard system call filter.
    pub(crate) filter: Standard,
    /// Whether its command keeps the launcher's supplementary groups.
    pub(crate) keeps_groups: bool,
    /// Its Smack label.
    pub(crate) smack: Option<String>,
    /// Where the outer side of its terminal goes.
    pub(crate) console: Option<OwnedFd>,
    /// Standard streams in place of the launcher's: input, and output of both kinds.
    pub(crate) streams: Option<(OwnedFd, OwnedFd)>,
    /// Descriptors above the standard streams that the command gets.
    pub(crate) preserve: u32,
    /// Root is changed without pivot_root(2).
    pub(crate) no_pivot: bool,
    /// The session keyring stays the launcher's.
    pub(crate) no_new_keyring: bool,
}

/// How the first process stands to whoever started it.
#[derive(Debug)]
pub(crate) enum Manner {
    /// It waits to be started, and outlives the launcher.
    Created {
        /// As in the foreground.
        reaper: bool,
    },
    /// It starts at once, in the launcher's foreground.
    Foreground {
        /// It ends with the launcher.
        die_with_parent: bool,
        /// It is in a session of its own.
        new_session: bool,
        /// Its first process is ours: it reaps orphans, and passes signals' default effects on.
        reaper: bool,
    },
}

impl Job<'_> {
    /// Whether we launch it ourselves: then its first process is this program.
    pub(crate) fn ours(&self) -> bool {
        self.own
    }

    /// Whether the command is a child of its first process.
    pub(crate) fn reaps(&self) -> bool {
        let (Manner::Created { reaper, .. } | Manner::Foreground { reaper, .. }) = &self.manner;
        *reaper
    }

    /// Whether an engine made it: then it is in a session of its own, and its command is the first
    /// process.
    pub(crate) fn of_engine(&self) -> bool {
        !matches!(self.manner, Manner::Foreground { .. })
    }

    /// State of the container for hooks (runtime specification, runtime.md, "State").
    pub(crate) fn state(&self, status: &str, pid: Option<i32>) -> String {
        let mut state = serde_json::json!({
            "ociVersion": self.spec.version(),
            "id": self.id,
            "status": status,
            "bundle": self.bundle,
            "annotations": self.spec.annotations().clone().unwrap_or_default(),
        });
        if let Some(pid) = pid {
            state["pid"] = pid.into();
        }
        state.to_string()
    }
}
