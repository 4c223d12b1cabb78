//! What engines may mount beside a node's exports, and into plain bundles.
//!
//! A volume is judged by what was opened: a bind mount, a symbolic link or a view of the whole disk is
//! no way around. Whoever mounts has to mount the very descriptor that was judged (open_tree(2) with
//! `AT_EMPTY_PATH`), or compare device and inode with what it opens.

use std::os::fd::AsFd;

use super::layout::MountKind;
use super::plan::Plan;
use crate::node::family::Family;
use crate::node::guard::{Location, MountTable, Opened, Rules};
use crate::node::place;

/// Why a volume is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{path} {reason}")]
pub struct Refusal {
    /// What was opened, without symbolic links.
    pub path: String,
    /// Why it is refused.
    pub reason: String,
    /// What to do.
    pub help: String,
}

/// Judges volumes.
#[derive(Clone, Debug)]
pub struct Guard {
    rules: Rules,
    mounts: MountTable,
    /// Places that must not be written to, as people know them.
    kept: Vec<(Location, String)>,
    /// Overlays that show something of these and have a layer that cannot be found.
    unknown: Vec<(Location, String)>,
    /// What the node exports writable.
    granted: Vec<Location>,
    /// Whether a node's container is at stake, whose family may deny it the host's processes.
    of_node: bool,
}

impl Guard {
    /// For a plain bundle (no plan), or for the container of a node.
    #[must_use]
    pub fn new(rules: &Rules, node: Option<(&Family, &Plan)>) -> Self {
        let mounts = MountTable::read();
        let mut kept = Vec::new();
        let mut unknown = Vec::new();
        let mut keep = |path: &std::path::Path, what: &str| {
            // What is not there cannot be covered; a host whose `/var` or `/etc` a container may write to
            // as a whole is the container's anyway.
            let Ok(path) = place::canonical(path) else { return };
            let Some(path) = path.to_str() else { return };
            let shown = format!("{path} ({what})");
            unknown.extend(mounts.with_unknown_layers(0, path).map(|overlay| (overlay, shown.clone())));
            kept.extend(mounts.layers(0, path).into_iter().map(|layer| (layer, shown.clone())));
            kept.extend(mounts.locate(0, path).map(|place| (place, shown)));
        };
        rules.pools.iter().for_each(|pool| keep(pool, "nodes"));
        rules.deciding.iter().for_each(|path| keep(path, "the host's configuration"));
        rules.states.iter().for_each(|path| keep(path, "records of what runs"));
        let mut granted = Vec::new();
        if let Some((family, plan)) = node {
            family.nodes.iter().for_each(|node| keep(&node.path, "a node"));
            granted = plan.layout.mounts.iter().filter_map(|mount| writable(mount, &mounts)).collect();
        }
        Self { rules: rules.clone(), mounts, kept, unknown, granted, of_node: node.is_some() }
    }

    /// Whether a volume may be mounted, with everything that is mounted below it.
    ///
    /// Writable, it may not be, contain or lie in a pool, a node, or what the host decides by; but it
    /// may lie in what the node exports writable. In a node's container it may not show the kernel's own
    /// file systems of the host. The policy's `exports: {allow: [...]}` names exceptions.
    ///
    /// # Errors
    /// It may not, or what it is cannot be told.
    pub fn check_volume(&self, volume: impl AsFd, writable: bool) -> Result<(), Refusal> {
        let refused = |path: &str, reason: String, help: &str| {
            Err(Refusal { path: path.to_owned(), reason, help: help.to_owned() })
        };
        let opened = match Opened::of(volume) {
            Ok(opened) => opened,
            Err(errno) => return refused("volume", place::plain(errno), "mount another directory"),
        };
        let path = opened.path.as_str();
        if self.rules.allow(path) {
            return Ok(());
        }
        let below = || self.mounts.below(path).filter(|_| opened.facts.is_dir());
        let on = self.mounts.mount_of(opened.facts.mount, path);
        if self.of_node && !opened.facts.is_device() {
            let kernels = on.into_iter().chain(below()).find(|mount| mount.is_kernels());
            if let Some(mount) = kernels {
                return refused(
                    path,
                    format!("shows the host's {} at {}", mount.fstype, mount.point),
                    "mount a directory without it: a node's `share_…` settings say what of the kernel it sees",
                );
            }
        }
        if !writable {
            return Ok(());
        }
        let Some(place) = self.mounts.locate(opened.facts.mount, path) else {
            return refused(
                path,
                "is on a mount that cannot be found".to_owned(),
                "mount it read-only, or from this mount namespace",
            );
        };
        let brought = below().map(|mount| mount.location());
        for place in std::iter::once(place).chain(brought) {
            if self.granted.iter().any(|granted| granted.contains(&place)) {
                continue;
            }
            if let Some((_, what)) = self.unknown.iter().find(|(overlay, _)| !overlay.contains(&place)) {
                return refused(
                    path,
                    format!("could be a layer of the overlay of what decides: {what}"),
                    "mount it read-only; or mount the overlay by absolute paths",
                );
            }
            let touches = |kept: &Location| kept.contains(&place) || place.contains(kept);
            if let Some((_, what)) = self.kept.iter().find(|(kept, _)| touches(kept)) {
                return refused(
                    path,
                    format!("would make writable what decides: {what}"),
                    "mount it read-only, or a directory elsewhere; `exports: {allow: [...]}` in the policy names exceptions",
                );
            }
        }
        Ok(())
    }
}

/// Where a writable bind of a plan leads.
fn writable(mount: &super::layout::Mount, mounts: &MountTable) -> Option<Location> {
    match &mount.kind {
        MountKind::Bind { source, writable: true, .. } => mounts.locate(0, source),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::spec::identity::Caller;
    use crate::spec::plan::{Request, plan};
    use crate::testing::{FakeHost, Maker, launch};

    #[test]
    fn volumes_cover_nothing_that_decides() {
        let dir = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(dir.path()).unwrap();
        for below in ["pool/node/etc", "pool/node/data", "host/redpak", "elsewhere/deep"] {
            fs::create_dir_all(top.join(below)).unwrap();
        }
        symlink(top.join("pool/node"), top.join("elsewhere/link")).unwrap();
        fs::write(top.join("host/redpak/policy.yaml"), "").unwrap();
        let mut rules = Rules {
            pools: vec![top.join("pool"), top.join("missing")],
            deciding: vec![top.join("host/redpak")],
            states: Vec::new(),
            allowed: Vec::new(),
        };
        let open = |below: &str| File::open(top.join(below)).unwrap();
        let guard = Guard::new(&rules, None);
        for below in [
            "",
            "pool",
            "pool/node",
            "pool/node/etc",
            "pool/node/data",
            "elsewhere/link",
            "host",
            "host/redpak",
            "host/redpak/policy.yaml",
        ] {
            let refused = guard.check_volume(open(below), true).unwrap_err();
            assert!(refused.to_string().contains("would make writable what decides"), "{below}: {refused}");
            assert_eq!(guard.check_volume(open(below), false), Ok(()), "{below} read-only");
        }
        assert_eq!(guard.check_volume(open("elsewhere"), true), Ok(()));
        assert_eq!(guard.check_volume(open("elsewhere/deep"), true), Ok(()));
        assert_eq!(
            guard.check_volume(File::open("/proc").unwrap(), true),
            Ok(()),
            "a plain bundle is as with runc"
        );
        rules.allowed = vec![top.join("pool/node/data").display().to_string()];
        assert_eq!(
            Guard::new(&rules, None).check_volume(open("pool/node/data"), true),
            Ok(()),
            "the policy says so"
        );
    }

    #[test]
    fn a_nodes_container_gets_what_the_node_gives_and_no_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(top.join("given/part")).unwrap();
        fs::create_dir_all(top.join("kept")).unwrap();
        let text = format!(
            "exports: [{{mode: Public, mount: /g, path: {}}}, {{mode: Restricted, mount: /k, path: {}}}]",
            top.join("given").display(),
            top.join("kept").display()
        );
        let family = Maker::new().node(&text).family();
        let request = Request::new(Caller { uid: 0, gid: 0 });
        let plan = plan(&family, &request, launch(), &mut FakeHost::default(), None).plan.unwrap();
        let rules = Rules { pools: vec![top.clone()], ..Rules::default() };
        let guard = Guard::new(&rules, Some((&family, &plan)));
        let open = |below: &str| File::open(top.join(below)).unwrap();
        assert_eq!(guard.check_volume(open("given/part"), true), Ok(()));
        assert!(guard.check_volume(open("kept"), true).is_err());
        assert!(guard.check_volume(open(""), true).is_err());
        for writable in [true, false] {
            let refused = guard.check_volume(File::open("/proc").unwrap(), writable).unwrap_err();
            assert!(refused.to_string().contains("shows the host's proc"), "{refused}");
        }
    }
}
