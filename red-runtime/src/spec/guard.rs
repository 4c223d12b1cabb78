//! What engines may mount beside a node's exports, and into plain bundles.
//!
//! A volume is judged by what was opened: a bind mount, a symbolic link or a view of the whole disk is
//! no way around. Whoever mounts has to mount the very descriptor that was judged (open_tree(2) with
//! `AT_EMPTY_PATH`), or compare device and inode with what it opens.

mod written;

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::host::{Host, SystemHost};
use super::layout::{self, MountKind, Walk, walk};
use super::plan::Plan;
use super::shm::HostShm;
use crate::node::config::Namespace;
use crate::node::family::Family;
use crate::node::guard::{Location, MountTable, Opened, Rules};
use crate::node::merge::Sharing;
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
    kept: Vec<Kept>,
    /// Overlays that show something of these and have a layer that cannot be found.
    unknown: Vec<Kept>,
    /// What the node exports writable.
    granted: Vec<Location>,
    /// What it mounts read-only over that.
    withheld: Vec<Withheld>,
    /// Something that decides, and that no mount was found for: nobody can tell what covers it.
    lost: Option<String>,
    /// Whether a node's container is at stake, whose family may deny it the host's processes.
    of_node: bool,
    /// The host's shared memory, where the node does not share the host's IPC.
    shm: HostShm,
}

/// A place that must not be written to.
#[derive(Clone, Debug)]
struct Kept {
    place: Location,
    /// Its path, without symbolic links.
    path: String,
    /// What it is to people.
    what: &'static str,
    /// Whether something stands there that may have other names. What is missing could be made.
    there: bool,
}

/// A part of a writable export that the node itself may only read.
#[derive(Clone, Debug)]
struct Withheld {
    place: Location,
    path: String,
    /// Position of its mount in the layout.
    mount: usize,
}

/// Opens a path to look where it leads. `None` where there is nothing to be seen.
fn look(path: &Path) -> Option<Opened> {
    let found = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    Opened::of(found).ok()
}

/// Whether a path lies below another one.
fn is_below(path: &str, above: &str) -> bool {
    let rest = path.strip_prefix(above.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.starts_with('/'))
}

fn touch(one: &Location, other: &Location) -> bool {
    one.contains(other) || other.contains(one)
}

/// Whether two places are in one file system.
fn same_fs(one: &Location, other: &Location) -> bool {
    one.ancestors().last() == other.ancestors().last()
}

impl Guard {
    /// For a plain bundle (no plan), or for the container of a node.
    #[must_use]
    pub fn new(rules: &Rules, node: Option<(&Family, &Plan)>) -> Self {
        let mut guard = Self {
            rules: rules.clone(),
            mounts: MountTable::read(),
            kept: Vec::new(),
            unknown: Vec::new(),
            granted: Vec::new(),
            withheld: Vec::new(),
            lost: None,
            of_node: node.is_some(),
            shm: HostShm::default(),
        };
        rules.pools.iter().for_each(|pool| guard.keep(pool, "nodes"));
        rules.deciding.iter().for_each(|path| guard.keep(path, "the host's configuration"));
        rules.states.iter().for_each(|path| guard.keep(path, "records of what runs"));
        let mut host = SystemHost::default();
        for dir in rules.deciding.iter().flat_map(|dir| [dir.clone(), dir.join("templates.d")]) {
            let files = host.links_in(&dir.to_string_lossy()).into_iter();
            files.for_each(|name| guard.keep(&dir.join(name), "the host's configuration"));
        }
        if let Some((family, plan)) = node {
            family.nodes.iter().for_each(|node| guard.keep(&node.path, "a node"));
            let dirs =
                plan.merged.packages.iter().flat_map(|one| [&one.rpmdir, &one.persistdir, &one.cachedir]);
            let dirs = dirs.map(|dir| &dir.value).chain(&plan.merged.core_packages);
            dirs.for_each(|dir| guard.keep(Path::new(&dir.actual), "packages"));
            layout::CORE.iter().for_each(|(path, _)| guard.keep(Path::new(path), "the core OS's packages"));
            guard.grant(plan);
            if plan.merged.shares.get(Namespace::Ipc).value != Sharing::Host {
                guard.shm = HostShm::of_host(&guard.mounts);
            }
        }
        guard
    }

    /// Keeps what a path leads to, every link on the way, and what is missing, by its name: whoever writes
    /// where a link stands leads the path elsewhere, and whoever writes where something is missing can make
    /// it. File systems of their own that are mounted below are a part of it.
    fn keep(&mut self, path: &Path, what: &'static str) {
        let Walk { real: path, mount, links } = walk(&mut SystemHost::default(), path);
        for link in links {
            self.keep_place(link.mount, &link.path, what, false);
        }
        let is_whole = |place: &Location| place.ancestors().count() == 1;
        let below = self.mounts.below(&path).filter(|mount| !mount.is_kernels());
        let below = below.filter(|mount| is_whole(&mount.location()));
        let parts: Vec<(u64, String)> = below.map(|mount| (mount.id, mount.point.clone())).collect();
        for (id, path) in std::iter::once((mount, path)).chain(parts) {
            self.keep_place(id, &path, what, id != 0);
        }
    }

    fn keep_place(&mut self, id: u64, path: &str, what: &'static str, there: bool) {
        let place = self.mounts.locate(id, path);
        if place.is_none() {
            self.lost = Some(path.to_owned());
        }
        let known = |place: Location| Kept { place, path: path.to_owned(), what, there };
        self.unknown.extend(self.mounts.with_unknown_layers(id, path).map(known));
        let places = self.mounts.layers(id, path).into_iter().chain(place);
        self.kept.extend(places.map(known));
    }

    /// Takes over what a plan exports writable, without the parts over which it mounts something
    /// read-only.
    fn grant(&mut self, plan: &Plan) {
        let binds = |wanted: bool| {
            plan.layout.mounts.iter().enumerate().filter_map(move |(index, mount)| match &mount.kind {
                MountKind::Bind { source, writable, .. } if *writable == wanted => Some((index, source)),
                _ => None,
            })
        };
        let place = |mounts: &MountTable, source: &str| match look(Path::new(source)) {
            Some(opened) => mounts.locate(opened.facts.mount, &opened.path),
            // It is made by the launch.
            None => mounts.locate(0, source),
        };
        for (_, source) in binds(true) {
            // A bind of a directory is of all that is mounted below it too.
            let below = self.mounts.below(source).map(|mount| mount.location());
            self.granted.extend(place(&self.mounts, source).into_iter().chain(below));
        }
        for (mount, path) in binds(false) {
            let Some(place) = place(&self.mounts, path) else { continue };
            if self.granted.iter().any(|granted| granted.contains(&place)) {
                self.withheld.push(Withheld { place, path: path.clone(), mount });
            }
        }
    }

    /// Whether a volume may be mounted, with everything that is mounted below it.
    ///
    /// # Errors
    /// As [`Guard::check`]; or it cannot be told what was opened.
    pub fn check_volume(&self, volume: impl AsFd, writable: bool) -> Result<(), Refusal> {
        let opened = Opened::of(volume).map_err(|errno| Refusal {
            path: "volume".to_owned(),
            reason: place::plain(errno),
            help: "mount another directory".to_owned(),
        })?;
        self.check(&opened, writable)
    }

    /// Whether a volume may be mounted, with everything that is mounted below it.
    ///
    /// Writable, it may not be, contain or lie in a pool, a node, or what the host decides by; but it
    /// may lie in what the node exports writable, without the parts that the node has read-only. A file
    /// with several names may be any file of its file system. In a node's container it may not show the
    /// kernel's own file systems of the host. The policy's `exports: {allow: [...]}` names exceptions.
    ///
    /// # Errors
    /// It may not, or what it is cannot be told.
    pub fn check(&self, opened: &Opened, writable: bool) -> Result<(), Refusal> {
        self.judge(opened, writable, &self.withheld)
    }

    /// The same for a mount of the plan's own. Returns the positions in its layout of the mounts that
    /// have to stand over it, so that its read-only parts stay so.
    ///
    /// # Errors
    /// As [`Guard::check`].
    pub fn check_planned(&self, opened: &Opened) -> Result<Vec<usize>, Refusal> {
        self.judge(opened, true, &[])?;
        let place = self.mounts.locate(opened.facts.mount, &opened.path);
        let inside = |one: &&Withheld| place.as_ref().is_some_and(|place| touch(place, &one.place));
        Ok(self.withheld.iter().filter(inside).map(|one| one.mount).collect())
    }

    /// Device numbers of the file systems that hold something that decides.
    #[must_use]
    pub fn devices(&self) -> Vec<u64> {
        let number = |place: &Location| {
            let (major, minor) = place.as_str().trim_start_matches('/').split('/').next()?.split_once(':')?;
            Some(rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?))
        };
        self.kept.iter().filter_map(|kept| number(&kept.place)).collect()
    }

    /// Whether something that decides is on a file system of this type which can be mounted again under
    /// another device number, so that the two cannot be compared: of subvolumes, over a network, of a
    /// virtual machine's host.
    #[must_use]
    pub fn may_be_again(&self, fstype: &str) -> bool {
        const SHARED: [&str; 14] = [
            "9p",
            "afs",
            "bcachefs",
            "beegfs",
            "btrfs",
            "ceph",
            "cifs",
            "glusterfs",
            "lustre",
            "nfs",
            "nfs4",
            "smb3",
            "virtiofs",
            "zfs",
        ];
        let family = |fstype: &str| fstype.trim_end_matches('4').to_owned();
        let shared = SHARED.contains(&fstype) || fstype.starts_with("fuse");
        let same = |kept: &Kept| {
            let of = self.mounts.entries().iter().filter(|mount| mount.location().contains(&kept.place));
            of.into_iter().any(|mount| family(&mount.fstype) == family(fstype))
        };
        shared && self.kept.iter().any(same)
    }

    /// Whether a directory has a pool or what the host decides by somewhere below it, and lies in none.
    #[must_use]
    pub fn is_above(&self, opened: &Opened) -> bool {
        let Some(place) = self.mounts.locate(opened.facts.mount, &opened.path) else { return false };
        let inside = self.kept.iter().any(|kept| kept.place.contains(&place));
        let below = |kept: &Kept| place.contains(&kept.place) || is_below(&kept.path, &opened.path);
        !inside && self.kept.iter().any(below)
    }

    /// Whether a directory lies in something that decides, such as what a node exports writable, or writes to
    /// it. Where that cannot be told, it does.
    #[must_use]
    pub fn is_inside(&self, opened: &Opened) -> bool {
        if self.rules.allow(&opened.path) {
            return false;
        }
        let id = opened.facts.mount;
        let place = self.mounts.locate(id, &opened.path);
        let (Some(place), Some(layers)) = (place, written::places(&self.mounts, id, &opened.path)) else {
            return true;
        };
        let inside = |place: &Location| self.kept.iter().any(|kept| kept.place.contains(place));
        std::iter::once(&place).chain(&layers).any(inside)
    }

    fn judge(&self, opened: &Opened, writable: bool, withheld: &[Withheld]) -> Result<(), Refusal> {
        let path = opened.path.as_str();
        let refused = |reason: String, help: &str| {
            Err(Refusal { path: path.to_owned(), reason, help: help.to_owned() })
        };
        if self.rules.allow(path) {
            return Ok(());
        }
        if let Some((fstype, point)) = self.kernels(opened) {
            return refused(
                format!("shows the host's {fstype} at {point}"),
                "mount a directory without it: a node's `share_…` settings say what of the kernel it sees",
            );
        }
        if self.of_node && self.shows_shm(opened) {
            return refused(
                "shows the host's shared memory, and the node has `share_ipc: Disabled`".to_owned(),
                "mount another directory, or let the node share it: `share_ipc: Enabled`",
            );
        }
        if !writable {
            return Ok(());
        }
        let place = self.mounts.locate(opened.facts.mount, path).filter(|_| self.lost.is_none());
        let Some(place) = place else {
            let what = self.lost.as_deref().unwrap_or("it");
            return refused(
                format!("cannot be compared with what decides: {what} is on a mount that cannot be found"),
                "mount it read-only, or from this mount namespace",
            );
        };
        if opened.facts.is_file() && opened.facts.links > 1 && self.may_be_kept(&place) {
            return refused(
                format!(
                    "has {} names (hard links): what else would be written to, nobody can tell",
                    opened.facts.links
                ),
                "mount a copy of it, its directory, or read-only; `exports: {allow: [...]}` in the policy names exceptions",
            );
        }
        match self.decides(opened, place, withheld) {
            Some(reason) => refused(
                reason,
                "mount it read-only, or a directory elsewhere; `exports: {allow: [...]}` in the policy names exceptions",
            ),
            None => Ok(()),
        }
    }

    /// Type and mount point of a file system of the kernel's that a node's container would see.
    fn kernels(&self, opened: &Opened) -> Option<(&str, &str)> {
        let path = opened.path.as_str();
        let on = self.mounts.mount_of(opened.facts.mount, path);
        // Device nodes are a matter of the device rules, but for the host's terminals: everybody has
        // those.
        let fine = opened.facts.is_device() && on.is_none_or(|mount| mount.fstype != "devpts");
        if !self.of_node || fine {
            return None;
        }
        let below = self.mounts.below(path).filter(|_| opened.facts.is_dir());
        let found = on.into_iter().chain(below).find(|mount| mount.is_kernels())?;
        Some((&found.fstype, &found.point))
    }

    /// Whether something is, brings along or lies in the host's shared memory.
    fn shows_shm(&self, opened: &Opened) -> bool {
        let below = self.mounts.below(&opened.path).filter(|_| opened.facts.is_dir());
        self.mounts.locate(opened.facts.mount, &opened.path).is_some_and(|place| self.shm.touches(&place))
            || below.map(|mount| mount.location()).any(|place| self.shm.holds(&place))
    }

    /// The places that become writable with what was opened: where it is, what a bind of it brings along,
    /// and the upper layers of overlays among them.
    ///
    /// # Errors
    /// Such a layer cannot be found.
    fn written(&self, opened: &Opened, place: Location) -> Result<Vec<Location>, String> {
        let brought = self.mounts.below(&opened.path).filter(|_| opened.facts.is_dir());
        let mut all = vec![place];
        let mut roots = vec![(opened.facts.mount, opened.path.as_str())];
        for mount in brought {
            all.push(mount.location());
            roots.push((mount.id, mount.point.as_str()));
        }
        for (id, path) in roots {
            let layers = written::places(&self.mounts, id, path);
            all.extend(layers.ok_or_else(|| {
                format!("is an overlay whose upper layer cannot be found, or brings one along: {path}")
            })?);
        }
        Ok(all)
    }

    /// Whether a file with several names may be one that decides: a name elsewhere leads to it only in
    /// the same file system.
    fn may_be_kept(&self, place: &Location) -> bool {
        !self.granted.iter().any(|granted| granted.contains(place))
            && self.kept.iter().any(|kept| kept.there && same_fs(&kept.place, place))
    }

    /// Why something that decides would become writable.
    fn decides(&self, opened: &Opened, place: Location, withheld: &[Withheld]) -> Option<String> {
        let places = match self.written(opened, place) {
            Ok(places) => places,
            Err(why) => return Some(why),
        };
        for place in places {
            if let Some(part) = withheld.iter().find(|part| touch(&part.place, &place)) {
                let path = &part.path;
                return Some(format!(
                    "would make writable what decides: {path} (read-only in what the node exports)"
                ));
            }
            if self.granted.iter().any(|granted| granted.contains(&place)) {
                continue;
            }
            if let Some(kept) = self.unknown.iter().find(|overlay| !overlay.place.contains(&place)) {
                let Kept { path, what, .. } = kept;
                return Some(format!("could be a layer of the overlay of what decides: {path} ({what})"));
            }
            if let Some(kept) = self.kept.iter().find(|kept| touch(&kept.place, &place)) {
                return Some(format!("would make writable what decides: {} ({})", kept.path, kept.what));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
