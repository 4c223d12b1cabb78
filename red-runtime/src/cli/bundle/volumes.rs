//! Volumes and roots that could be written to where something decides: a pool, a node, the policy.
//!
//! What is judged is what was opened (a bind alias or a link is no way around), and the launch mounts
//! nothing but the device and inode that were judged.

use std::path::Path;

use oci_spec::runtime::{Mount, Root, Spec};

use super::NodeError;
use super::found::open_source;
use crate::launch::root::CheckedRoot;
use crate::node::family::Family;
use crate::node::guard::{Opened, Rules};
use crate::node::place;
use crate::spec::engine::{Combined, Placed, freeze, is_bind, is_frozen, is_read_only};
use crate::spec::guard::{Guard, Refusal};
use crate::spec::plan::Plan;

/// Options of an overlay that name directories which are written to (overlayfs.rst).
const WRITTEN: [&str; 2] = ["upperdir=", "workdir="];

/// Checks the volumes of a node's container. What the engine itself has made is none of a user's.
///
/// # Errors
/// One may not be mounted.
pub(super) fn check_node(
    rules: &Rules,
    node: (&Family, &Plan),
    combined: &mut Combined,
    bundle: &Path,
) -> Result<(), NodeError> {
    let mut guard: Option<Guard> = None;
    for placed in &mut combined.mounts {
        let Placed::Engine { mount, optional: false, source } = placed else { continue };
        if !is_bind(mount) && mount.typ().as_deref() != Some("overlay") {
            continue;
        }
        let guard = guard.get_or_insert_with(|| Guard::new(rules, Some(node)));
        let judge = Judge { guard, bundle };
        if is_bind(mount) {
            judge.volume(mount, opened(mount, source.as_ref())?)?;
        } else {
            judge.overlay(mount)?;
        }
    }
    Ok(())
}

/// The node that a plain bundle was written from: it has the writable exports that the node itself
/// would have.
pub(super) struct Origin {
    plan: Plan,
    guard: Guard,
}

impl Origin {
    /// A node whose plan is the one that the bundle was written from.
    pub(super) fn new(rules: &Rules, plan: Plan, family: &Family) -> Self {
        let guard = Guard::new(rules, Some((family, &plan)));
        Self { plan, guard }
    }

    /// Whether the node gives a mount of the bundle writable. Where it has parts of that read-only, the
    /// mount has to be the node's own, and those parts have to be mounted over it as the node does it.
    fn gives(&self, mounts: &[Mount], index: usize, opened: &Opened) -> bool {
        if self.guard.check(opened, true).is_ok() {
            return true;
        }
        let Some(planned) = self.plan.spec.mounts().as_deref() else { return false };
        let (mount, later) = (&mounts[index], &mounts[index + 1..]);
        let stands = |over: usize| planned.get(over).is_some_and(|over| later.contains(over));
        planned.contains(mount)
            && self.guard.check_planned(opened).is_ok_and(|over| over.into_iter().all(stands))
    }
}

/// A plain bundle, as far as its mounts are judged.
pub(super) struct Plain<'a> {
    /// What the host decides by.
    pub(super) rules: &'a Rules,
    /// What was opened for the binds that are judged, by position.
    pub(super) sources: &'a [Option<Opened>],
    /// Where it is.
    pub(super) bundle: &'a Path,
    /// It is a pause container: its root may not even be read-only where nodes are.
    pub(super) sandbox: bool,
    /// The node that it was written from; or why it gets nothing of the one that it names.
    pub(super) origin: Option<Result<Origin, String>>,
}

impl Plain<'_> {
    /// Checks the root and the volumes.
    ///
    /// A volume from above a pool (`/`, `/var`) is a plain container's as it is any other runtime's:
    /// whoever may write there may do so without us.
    ///
    /// # Errors
    /// One may not be mounted.
    pub(super) fn check(&self, spec: &mut Spec) -> Result<Option<CheckedRoot>, NodeError> {
        let guard = Guard::new(self.rules, None);
        let root = spec.root().as_ref().map(|root| self.root(&guard, root)).transpose()?;
        let Some(mut mounts) = spec.mounts().clone() else { return Ok(root) };
        let judge = Judge { guard: &guard, bundle: self.bundle };
        for index in 0..mounts.len() {
            if is_bind(&mounts[index]) && is_frozen(&mounts[index]) {
                continue;
            }
            if !is_bind(&mounts[index]) {
                judge.overlay(&mut mounts[index])?;
                continue;
            }
            let opened = opened(&mounts[index], self.sources.get(index).and_then(Option::as_ref))?;
            let given = |origin: &Origin| origin.gives(&mounts, index, opened);
            if guard.is_above(opened) || self.origin().is_some_and(given) {
                continue;
            }
            judge.volume(&mut mounts[index], opened).map_err(|error| self.with_origin(error))?;
        }
        spec.set_mounts(Some(mounts));
        Ok(root)
    }

    fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()?.as_ref().ok()
    }

    /// Adds why the node that the bundle names gives nothing.
    fn with_origin(&self, error: NodeError) -> NodeError {
        match (error, &self.origin) {
            (NodeError::Volume(why), Some(Err(origin))) => NodeError::Volume(format!("{why} ({origin})")),
            (error, _) => error,
        }
    }

    fn root(&self, guard: &Guard, root: &Root) -> Result<CheckedRoot, NodeError> {
        let path = self.bundle.join(root.path());
        let failed = |why: String| NodeError::Volume(format!("root {}: {why}", path.display()));
        let opened = open_source(&path).map_err(|error| NodeError::Volume(error.to_string()))?;
        let opened = Opened::of(opened).map_err(|errno| failed(place::plain(errno)))?;
        let kept = match guard.check(&opened, true) {
            Err(refusal) if self.sandbox || !root.readonly().unwrap_or(false) => {
                return Err(failed(format!("{refusal}; {}", refusal.help)));
            }
            judged => judged.is_err(),
        };
        Ok(CheckedRoot { id: opened.id(), kept })
    }
}

/// What was opened for a bind before anything was decided.
fn opened<'o>(mount: &Mount, source: Option<&'o Opened>) -> Result<&'o Opened, NodeError> {
    source.ok_or_else(|| {
        NodeError::Volume(format!("volume at {}: nobody looked at its source", mount.destination().display()))
    })
}

/// Judges single mounts.
struct Judge<'a> {
    guard: &'a Guard,
    bundle: &'a Path,
}

impl Judge<'_> {
    /// Checks a bind. A read-only one that has something of the host's below it becomes so with all of
    /// it.
    fn volume(&self, mount: &mut Mount, opened: &Opened) -> Result<(), NodeError> {
        let read_only = is_read_only(mount);
        self.guard.check(opened, !read_only).map_err(|refusal| refused(mount, &refusal))?;
        if read_only && self.guard.check(opened, true).is_err() {
            freeze(mount);
        }
        Ok(())
    }

    /// Checks the directories that an overlay writes to. They are named by path to the kernel, so it gets
    /// the path that was judged, without links.
    fn overlay(&self, mount: &mut Mount) -> Result<(), NodeError> {
        let failed =
            |why: String| NodeError::Volume(format!("overlay at {}: {why}", mount.destination().display()));
        let mut options = mount.options().clone().unwrap_or_default();
        for option in &mut options {
            let Some(key) = WRITTEN.iter().find(|key| option.starts_with(**key)) else { continue };
            let said = &option[key.len()..];
            // overlayfs(5) takes a backslash for an escape, and opens another path than this program.
            if said.contains('\\') {
                return Err(failed(format!("invalid {key}{said}: contains a backslash")));
            }
            let opened = open_source(&self.bundle.join(said)).map_err(|error| failed(error.to_string()))?;
            let opened = Opened::of(opened).map_err(|errno| failed(place::plain(errno)))?;
            self.guard.check(&opened, true).map_err(|refusal| refused(mount, &refusal))?;
            *option = format!("{key}{}", opened.path);
        }
        mount.set_options(Some(options));
        Ok(())
    }
}

fn refused(mount: &Mount, refusal: &Refusal) -> NodeError {
    let destination = mount.destination().display();
    NodeError::Volume(format!("volume at {destination}: {refusal}; {}", refusal.help))
}
