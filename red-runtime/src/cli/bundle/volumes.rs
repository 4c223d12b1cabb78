//! Volumes and roots that could be written to where something decides: a pool, a node, the policy.
//!
//! What is judged is what was opened (a bind alias or a link is no way around), and the launch mounts
//! nothing but the device and inode that were judged.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, Root, Spec};

use super::NodeError;
use super::found::{open_source, source_path};
use crate::launch::error::LaunchError;
use crate::node::family::Family;
use crate::node::guard::Rules;
use crate::node::place::{self, Facts};
use crate::spec::engine::{Combined, EngineFacts, Placed, freeze, is_bind, is_read_only};
use crate::spec::guard::{Guard, Refusal};
use crate::spec::plan::Plan;

/// Options of an overlay that name directories which are written to (overlayfs.rst).
const WRITTEN: [&str; 2] = ["upperdir=", "workdir="];

/// Checks the volumes of a node's container. What the engine itself has made is none of a user's.
///
/// # Errors
/// One may not be mounted, or is another file by now.
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
        Judge { guard, exports: None, bundle, plain: None }.check(mount, *source)?;
    }
    Ok(())
}

/// A plain bundle, as far as its mounts are judged.
pub(super) struct Plain<'a> {
    /// What the host decides by.
    pub(super) rules: &'a Rules,
    /// What was found at its paths.
    pub(super) facts: &'a EngineFacts,
    /// Where it is.
    pub(super) bundle: &'a Path,
    /// It is a pause container: its root may not even be read-only where nodes are.
    pub(super) sandbox: bool,
    /// The node that it was written from, as it is now. It has the writable exports that the node itself
    /// would have.
    pub(super) origin: Option<&'a (Plan, Family)>,
}

impl Plain<'_> {
    /// Checks the root and the volumes. Returns device and inode of the root.
    ///
    /// A volume from above a pool (`/`, `/var`) is a plain container's as it is any other runtime's:
    /// whoever may write there may do so without us.
    ///
    /// # Errors
    /// One may not be mounted, or is another file by now.
    pub(super) fn check(&self, spec: &mut Spec) -> Result<Option<(u64, u64)>, NodeError> {
        let guard = Guard::new(self.rules, None);
        let exports = self.origin.map(|(plan, family)| Guard::new(self.rules, Some((family, plan))));
        let root = spec.root().as_ref().map(|root| self.root(&guard, root)).transpose()?;
        let Some(mut mounts) = spec.mounts().clone() else { return Ok(root) };
        let (bundle, plain) = (self.bundle, Some(self.rules));
        let judge = Judge { guard: &guard, exports: exports.as_ref(), bundle, plain };
        for (index, mount) in mounts.iter_mut().enumerate() {
            judge.check(mount, self.facts.source(index).map(|source| source.id))?;
        }
        spec.set_mounts(Some(mounts));
        Ok(root)
    }

    fn root(&self, guard: &Guard, root: &Root) -> Result<(u64, u64), NodeError> {
        let path = self.bundle.join(root.path());
        let writable = self.sandbox || !root.readonly().unwrap_or(false);
        let opened = open_source(&path).map_err(|error| NodeError::Volume(error.to_string()))?;
        guard.check_volume(&opened, writable).map_err(|refusal| {
            NodeError::Volume(format!("root {}: {refusal}; {}", path.display(), refusal.help))
        })?;
        let facts = Facts::of(&opened).map_err(|errno| {
            NodeError::Volume(format!("root {}: {}", path.display(), place::plain(errno)))
        })?;
        Ok((facts.dev, facts.ino))
    }
}

/// Whether a directory, by its path without links, has a pool or what the host decides by somewhere
/// below it, and lies in none.
fn is_above(rules: &Rules, path: &Path) -> bool {
    let kept = rules.pools.iter().chain(&rules.deciding).chain(&rules.states);
    let kept = kept.filter_map(|kept| place::canonical(kept).ok());
    let all: Vec<PathBuf> = kept.collect();
    all.iter().any(|kept| kept.starts_with(path) && kept != path)
        && !all.iter().any(|kept| path.starts_with(kept))
}

/// Judges single mounts.
struct Judge<'a> {
    guard: &'a Guard,
    /// The same with what the node that a bundle was written from exports.
    exports: Option<&'a Guard>,
    bundle: &'a Path,
    /// What volumes of a plain bundle may be above.
    plain: Option<&'a Rules>,
}

impl Judge<'_> {
    /// Checks one mount. A read-only one that has something of the host's below it becomes so with all
    /// of it.
    fn check(&self, mount: &mut Mount, id: Option<(u64, u64)>) -> Result<(), NodeError> {
        let destination = mount.destination().display().to_string();
        let refused = |refusal: Refusal| {
            NodeError::Volume(format!("volume at {destination}: {refusal}; {}", refusal.help))
        };
        let failed = |error: LaunchError| NodeError::Volume(error.to_string());
        if !is_bind(mount) {
            return self.overlay(mount, refused);
        }
        let path = source_path(mount, self.bundle);
        let opened = open_source(&path).map_err(failed)?;
        let kernel = |errno| NodeError::Volume(format!("source {}: {}", path.display(), place::plain(errno)));
        let facts = Facts::of(&opened).map_err(kernel)?;
        if id.is_some_and(|id| id != (facts.dev, facts.ino)) {
            return Err(NodeError::Volume(format!(
                "source {}: another file took its place during the launch",
                path.display()
            )));
        }
        let real = place::real_path(&opened).map_err(kernel)?;
        if self.plain.is_some_and(|rules| is_above(rules, &real)) {
            return Ok(());
        }
        if self.exports.is_some_and(|guard| guard.check_volume(&opened, true).is_ok()) {
            return Ok(());
        }
        let read_only = is_read_only(mount);
        self.guard.check_volume(&opened, !read_only).map_err(refused)?;
        if read_only && self.guard.check_volume(&opened, true).is_err() {
            freeze(mount);
        }
        Ok(())
    }

    /// Checks the directories that an overlay writes to. They are named by path to the kernel, so it gets
    /// the path that was judged, without links.
    fn overlay(&self, mount: &mut Mount, refused: impl Fn(Refusal) -> NodeError) -> Result<(), NodeError> {
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
            self.guard.check_volume(&opened, true).map_err(&refused)?;
            let real = place::real_path(&opened).map_err(|errno| failed(place::plain(errno)))?;
            *option = format!("{key}{}", real.display());
        }
        mount.set_options(Some(options));
        Ok(())
    }
}
