//! Volumes and roots that could be written to where something decides: a pool, a node, the policy.
//!
//! What is judged is what was opened (a bind alias or a link is no way around), and the launch mounts
//! nothing but the device and inode that were judged.

use std::path::Path;

use oci_spec::runtime::{Mount, Root, Spec};
use rustix::io::Errno;

use super::NodeError;
use super::found::open_source;
use crate::launch::error::LaunchError;
use crate::launch::root::CheckedRoot;
use crate::node::family::Family;
use crate::node::guard::{Opened, Rules};
use crate::node::place;
use crate::spec::engine::{Combined, Need, Placed, freeze, is_bind, is_frozen, is_read_only};
use crate::spec::guard::{Guard, Refusal};
use crate::spec::layout::MountKind;
use crate::spec::plan::Plan;

/// Options of an overlay that name directories which are written to (overlayfs.rst).
const WRITTEN: [&str; 2] = ["upperdir=", "workdir="];

/// File systems that show their source, and do nothing with it.
const NAMED_ONLY: [&str; 9] =
    ["cgroup", "cgroup2", "devpts", "mqueue", "overlay", "proc", "ramfs", "sysfs", "tmpfs"];

/// Checks the volumes of a node's container. What the engine itself has made is none of a user's. Returns the
/// positions of those that are a part of a node.
///
/// # Errors
/// One may not be mounted.
pub(super) fn check_node(
    rules: &Rules,
    node: (&Family, &Plan),
    combined: &mut Combined,
    bundle: &Path,
) -> Result<Vec<usize>, NodeError> {
    let mut guard: Option<Guard> = None;
    let mut of_node = Vec::new();
    for (index, placed) in combined.mounts.iter_mut().enumerate() {
        let Placed::Engine { mount, need: Need::User, source } = placed else { continue };
        if !is_bind(mount) && mount.typ().as_deref() != Some("overlay") {
            continue;
        }
        let guard = guard.get_or_insert_with(|| Guard::new(rules, Some(node)));
        let judge = Judge { guard, bundle };
        let inside = if is_bind(mount) {
            let opened = opened(mount, source.as_ref())?;
            judge.volume(mount, opened)?;
            guard.is_inside(opened)
        } else {
            judge.overlay(mount)?
        };
        if inside {
            of_node.push(index);
        }
    }
    Ok(of_node)
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
    /// mount has to be the node's own, and what the node mounts over it, those parts and the directories on
    /// the way to them, has to follow at once: nothing in between leads it elsewhere.
    fn gives(&self, mounts: &[Mount], index: usize, opened: &Opened) -> Given {
        if self.guard.check(opened, true).is_ok() {
            return Given::Wholly;
        }
        let planned = self.plan.spec.mounts().as_deref().unwrap_or_default();
        let Some(own) = planned.iter().position(|planned| *planned == mounts[index]) else {
            return Given::No;
        };
        let Ok(over) = self.guard.check_planned(opened) else { return Given::No };
        let later = &mounts[index + 1..];
        let stands = |over: usize| planned.get(over).is_some_and(|over| later.contains(over));
        let last = (own + 1..planned.len()).filter(|part| self.is_over(own, *part)).max().unwrap_or(own);
        let follows = later.get(..last - own).is_some_and(|next| *next == planned[own + 1..=last]);
        if follows && over.into_iter().all(stands) { Given::WithParts } else { Given::No }
    }

    /// Whether the plan mounts a part of one mount over itself.
    fn is_over(&self, mount: usize, part: usize) -> bool {
        let mounts = &self.plan.layout.mounts;
        let (Some(mount), Some(part)) = (mounts.get(mount), mounts.get(part)) else { return false };
        let (MountKind::Bind { source, .. }, MountKind::Bind { source: over, .. }) =
            (&mount.kind, &part.kind)
        else {
            return false;
        };
        let rest = part.destination.strip_prefix(&mount.destination).filter(|rest| rest.starts_with('/'));
        rest.is_some() && rest == over.strip_prefix(source.as_str())
    }
}

/// What a node gives of a mount of its bundle.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Given {
    /// Nothing.
    No,
    /// All of it.
    Wholly,
    /// It, with parts that are mounted read-only over it.
    WithParts,
}

/// What was found out about the mounts of a plain bundle.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// The root.
    pub(super) root: Option<CheckedRoot>,
    /// Positions of the mounts that what is mounted over them has to stand on.
    pub(super) held: Vec<usize>,
    /// Positions of those that are a part of a node.
    pub(super) of_node: Vec<usize>,
    /// Device numbers of file systems that hold what decides.
    pub(super) deciding: Vec<u64>,
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
    pub(super) fn check(&self, spec: &mut Spec) -> Result<Judged, NodeError> {
        let guard = Guard::new(self.rules, None);
        let root = spec.root().as_ref().map(|root| self.root(&guard, root)).transpose()?;
        let mut judged = Judged { root, deciding: guard.devices(), ..Judged::default() };
        let Some(mut mounts) = spec.mounts().clone() else { return Ok(judged) };
        let judge = Judge { guard: &guard, bundle: self.bundle };
        for index in 0..mounts.len() {
            if is_bind(&mounts[index]) && is_frozen(&mounts[index]) {
                continue;
            }
            if !is_bind(&mounts[index]) {
                judge.again(&mounts[index])?;
                judge.stacked(&mut mounts[index])?;
                if judge.overlay(&mut mounts[index])? {
                    judged.of_node.push(index);
                }
                continue;
            }
            let opened = opened(&mounts[index], self.sources.get(index).and_then(Option::as_ref))?;
            if guard.is_above(opened) {
                continue;
            }
            let given = self.origin().map_or(Given::No, |origin| origin.gives(&mounts, index, opened));
            if given != Given::No && guard.is_inside(opened) {
                judged.of_node.push(index);
            }
            match given {
                Given::No => {}
                Given::Wholly => continue,
                Given::WithParts => {
                    judged.held.push(index);
                    continue;
                }
            }
            judge.volume(&mut mounts[index], opened).map_err(|error| self.with_origin(error))?;
        }
        spec.set_mounts(Some(mounts));
        Ok(judged)
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

    /// Checks a file system that is mounted anew: what decides may be on it. Where the device number tells,
    /// the launch compares it.
    fn again(&self, mount: &Mount) -> Result<(), NodeError> {
        let fstype = mount.typ().as_deref().unwrap_or_default();
        if is_read_only(mount) || !self.guard.may_be_again(fstype) {
            return Ok(());
        }
        let destination = mount.destination().display();
        Err(NodeError::Volume(format!(
            "{fstype} at {destination} could make writable what decides, which is on such a file system too; mount it `ro`, or a directory of it as a volume"
        )))
    }

    /// Checks a file system whose source is a directory that it writes to, such as ecryptfs. The kernel gets the
    /// path that was judged, without links.
    fn stacked(&self, mount: &mut Mount) -> Result<(), NodeError> {
        let fstype = mount.typ().as_deref().unwrap_or_default();
        let source = mount.source().clone().filter(|source| !source.as_os_str().is_empty());
        let Some(source) = source.filter(|_| !is_read_only(mount) && !NAMED_ONLY.contains(&fstype)) else {
            return Ok(());
        };
        let failed =
            |why: String| NodeError::Volume(format!("{fstype} at {}: {why}", mount.destination().display()));
        // A relative one is of this process's own directory, to the kernel too.
        let opened = match open_source(&source) {
            // A share, a label, a name: nothing of this machine's files.
            Err(LaunchError::Call { errno: Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG, .. }) => {
                return Ok(());
            }
            opened => opened.map_err(|error| failed(error.to_string()))?,
        };
        let opened = Opened::of(opened).map_err(|errno| failed(place::plain(errno)))?;
        if !opened.facts.is_dir() {
            return Ok(());
        }
        if !self.guard.is_above(&opened) {
            self.guard.check(&opened, true).map_err(|refusal| refused(mount, &refusal))?;
        }
        mount.set_source(Some(opened.path.into()));
        Ok(())
    }

    /// Checks the directories that an overlay writes to, and whether one is a part of a node. They are named by
    /// path to the kernel, so it gets the path that was judged, without links.
    fn overlay(&self, mount: &mut Mount) -> Result<bool, NodeError> {
        let mut inside = false;
        let failed =
            |why: String| NodeError::Volume(format!("overlay at {}: {why}", mount.destination().display()));
        let mut options = mount.options().clone().unwrap_or_default();
        for option in &mut options {
            let Some(key) = WRITTEN.iter().find(|key| option.starts_with(**key)) else { continue };
            let said = &option[key.len()..];
            let opened = open_source(&self.bundle.join(said)).map_err(|error| failed(error.to_string()))?;
            let opened = Opened::of(opened).map_err(|errno| failed(place::plain(errno)))?;
            // overlayfs takes a backslash for an escape (overlayfs.rst), and would open another path than
            // the one that is judged: the one that links lead to.
            if said.contains('\\') || opened.path.contains('\\') {
                return Err(failed(format!(
                    "invalid {key}{said}: contains a backslash, or leads to a directory whose path does ({}); use another directory",
                    opened.path
                )));
            }
            self.guard.check(&opened, true).map_err(|refusal| refused(mount, &refusal))?;
            inside |= self.guard.is_inside(&opened);
            *option = format!("{key}{}", opened.path);
        }
        mount.set_options(Some(options));
        Ok(inside)
    }
}

fn refused(mount: &Mount, refusal: &Refusal) -> NodeError {
    let destination = mount.destination().display();
    NodeError::Volume(format!("volume at {destination}: {refusal}; {}", refusal.help))
}
