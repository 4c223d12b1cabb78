//! What a plan needs to know of the machine it is made on.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::crossing::{self, Link, Trace};
use crate::command::accounts;
use crate::node::family::STATUS_NAME;
use crate::node::generation::{self, Shown, Unfinished};
use crate::node::guard::MountTable;
use crate::node::place::{self, Facts};

/// What stands at a path of the host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Probe {
    /// A directory.
    Dir {
        /// Its path without symbolic links.
        real: String,
        /// What the kernel says of it.
        facts: Facts,
    },
    /// Anything else.
    Other {
        /// Its path without symbolic links.
        real: String,
        /// What the kernel says of it.
        facts: Facts,
    },
    /// Nothing.
    Missing,
    /// It cannot be told.
    Refused {
        /// Why.
        reason: String,
    },
}

/// A user and the group that goes with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Account {
    /// User.
    pub uid: u32,
    /// Primary group, where it is known.
    pub gid: Option<u32>,
}

/// Ids that a user may map besides its own (subuid(5), subgid(5)).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Subordinate {
    /// First user and how many.
    pub users: (u32, u32),
    /// First group and how many.
    pub groups: (u32, u32),
}

/// How cgroups are laid out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CgroupMode {
    /// Controllers on version 1 (alone, or beside a bare version 2).
    V1,
    /// Version 2 only.
    V2,
}

/// The machine. A plan is a function of a family, a request and the answers of this.
pub trait Host {
    /// Takes note of which generation of packages each node of a family shows, all of one moment; with `wait`, of
    /// one in which all of them are whole.
    ///
    /// # Errors
    /// A node is not whole.
    fn settle(&mut self, _nodes: &[&Path], _wait: bool) -> Result<(), Unfinished> {
        Ok(())
    }
    /// What stands at `path`. Within `node`, links that lead out of it lead nowhere.
    fn probe(&mut self, path: &str, node: Option<&Path>) -> Probe;
    /// The same, with the symbolic links that were followed.
    fn follow(&mut self, path: &str, node: Option<&Path>) -> (Probe, Vec<Link>) {
        (self.probe(path, node), Vec::new())
    }
    /// Where `path` leads, as far as the caller may look, whether or not something is there; `None` where
    /// it cannot be told.
    fn trace(&mut self, path: &str, node: Option<&Path>) -> Option<Trace> {
        let (probe, links) = self.follow(path, node);
        match probe {
            Probe::Dir { real, facts } | Probe::Other { real, facts } => {
                Some(Trace { real, facts: Some(facts), links })
            }
            Probe::Missing => Some(Trace { real: path.to_owned(), facts: None, links }),
            Probe::Refused { .. } => None,
        }
    }
    /// Whether a path, which may have links on the way, is a symbolic link.
    fn is_link(&mut self, _path: &str, _node: &Path) -> bool {
        false
    }
    /// Names of the symbolic links right in a directory.
    fn links_in(&mut self, _path: &str) -> Vec<String> {
        Vec::new()
    }
    /// A user by name or number.
    fn user(&mut self, name: &str) -> Option<Account>;
    /// A group by name or number.
    fn group(&mut self, name: &str) -> Option<u32>;
    /// Ids that an unprivileged user may map, where the helpers that map them are installed.
    fn subordinate(&mut self, uid: u32) -> Option<Subordinate>;
    /// The layout of cgroups.
    fn cgroup_mode(&mut self) -> CgroupMode;
    /// The mounts, read once.
    fn mounts(&mut self) -> Rc<MountTable>;
    /// Whether a directory is a node.
    fn is_node(&mut self, path: &str) -> bool;
    /// Names of the nodes right below a directory.
    fn nodes_in(&mut self, _path: &str) -> Vec<String> {
        Vec::new()
    }
    /// Whether the caller may make something in a directory.
    fn may_write(&mut self, path: &str) -> bool;
    /// Users and groups that exist where this runs: first and how many. In the initial user
    /// namespace that is all of them; in that of an engine without root it is what it was given.
    fn mapped(&mut self) -> [Vec<(u32, u32)>; 2] {
        [vec![(0, u32::MAX)], vec![(0, u32::MAX)]]
    }
}

/// The machine this runs on.
#[derive(Debug, Default)]
pub struct SystemHost {
    /// The nodes that were looked into: a plan looks into each of them many times.
    nodes: HashMap<PathBuf, Inside>,
    /// What stands at paths that have no links on the way, which is the same below a node and without
    /// one: a plan asks for most of them more than once, and sees one host throughout.
    straight: HashMap<String, Option<Facts>>,
    /// Nodes that were looked at in one moment, and the generations that they showed.
    settled: (Vec<PathBuf>, Shown),
    mounts: Option<Rc<MountTable>>,
}

/// A node that was looked into.
#[derive(Debug)]
struct Inside {
    dir: OwnedFd,
    /// The generation of packages that it showed when it was first looked into, such as `gen/3`. It
    /// stays that of the whole plan, so that no container sees two generations of one node.
    generation: Option<String>,
}

impl Inside {
    fn open(path: &Path, shown: Option<u64>) -> rustix::io::Result<Self> {
        let (dir, _) = place::open_walk(path)?;
        let generation = shown.map(|number| format!("gen/{number}"));
        Ok(Self { dir, generation })
    }

    /// A path below the node, with the link to the current generation taken for what it was at first.
    fn pinned(&self, below: &Path) -> Option<PathBuf> {
        let generation = self.generation.as_ref()?;
        let database = Path::new("var/lib/rpm");
        let (name, up) = match below.components().next()? {
            _ if below.starts_with(database) => (database, "../../"),
            first => (Path::new(first.as_os_str()), ""),
        };
        let link = rustix::fs::readlinkat(&self.dir, name, Vec::new()).ok()?;
        let ours = link.to_bytes() == format!("{up}.red/current/{}", name.display()).as_bytes();
        ours.then(|| Path::new(".red").join(generation).join(below))
    }
}

impl Host for SystemHost {
    fn settle(&mut self, nodes: &[&Path], wait: bool) -> Result<(), Unfinished> {
        self.settled.0 = nodes.iter().map(|node| node.to_path_buf()).collect();
        if wait {
            self.settled.1 = generation::settled(nodes)?;
            return Ok(());
        }
        self.settled.1 = generation::shown(nodes);
        generation::unfinished(&self.settled.1).map_or(Ok(()), Err)
    }

    fn probe(&mut self, path: &str, node: Option<&Path>) -> Probe {
        self.follow(path, node).0
    }

    fn follow(&mut self, path: &str, node: Option<&Path>) -> (Probe, Vec<Link>) {
        match self.look(path, node) {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NOTDIR) => (Probe::Missing, Vec::new()),
            Err(errno) => (Probe::Refused { reason: place::plain(errno) }, Vec::new()),
        }
    }

    fn trace(&mut self, path: &str, node: Option<&Path>) -> Option<Trace> {
        if let Some(&facts) = self.straight.get(path) {
            return Some(Trace { real: path.to_owned(), facts, links: Vec::new() });
        }
        let below = node.and_then(|node| Some((node, Path::new(path).strip_prefix(node).ok()?)));
        let (dir, rest) = match below {
            Some((node, rest)) => (Some(&self.node(node).ok()?.dir), rest),
            None => (None, Path::new(path)),
        };
        match straight(dir, rest) {
            Ok(facts) if place::is_normal(path) => {
                self.straight.insert(path.to_owned(), facts);
                Some(Trace { real: path.to_owned(), facts, links: Vec::new() })
            }
            _ => trace(dir, rest),
        }
    }

    fn is_link(&mut self, path: &str, node: &Path) -> bool {
        let Ok(rest) = Path::new(path).strip_prefix(node) else { return false };
        self.node(node).is_ok_and(|inside| rustix::fs::readlinkat(&inside.dir, rest, Vec::new()).is_ok())
    }

    fn links_in(&mut self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let links = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
        links.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn user(&mut self, name: &str) -> Option<Account> {
        accounts::user(name)
    }

    fn group(&mut self, name: &str) -> Option<u32> {
        accounts::group(name)
    }

    fn subordinate(&mut self, uid: u32) -> Option<Subordinate> {
        accounts::subordinate(uid)
    }

    fn cgroup_mode(&mut self) -> CgroupMode {
        // The unified hierarchy has this file at its root; the tmpfs of a version 1 or hybrid
        // layout has not (cgroup-v2.rst, "Mounting").
        if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { CgroupMode::V2 } else { CgroupMode::V1 }
    }

    fn mounts(&mut self) -> Rc<MountTable> {
        Rc::clone(self.mounts.get_or_insert_with(|| Rc::new(MountTable::read())))
    }

    fn is_node(&mut self, path: &str) -> bool {
        rustix::fs::lstat(Path::new(path).join(STATUS_NAME)).is_ok()
    }

    fn nodes_in(&mut self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let names = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| self.is_node(&format!("{path}/{name}"))).collect()
    }

    fn may_write(&mut self, path: &str) -> bool {
        rustix::fs::accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
    }

    fn mapped(&mut self) -> [Vec<(u32, u32)>; 2] {
        ["uid_map", "gid_map"].map(|file| {
            let text = std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
            let line = |line: &str| {
                let mut fields = line.split_ascii_whitespace();
                let first = fields.next()?.parse().ok()?;
                Some((first, fields.nth(1)?.parse().ok()?))
            };
            text.lines().filter_map(line).collect()
        })
    }
}

impl SystemHost {
    fn look(&mut self, path: &str, node: Option<&Path>) -> rustix::io::Result<(Probe, Vec<Link>)> {
        if let Some(&facts) = self.straight.get(path) {
            return Ok((probe(path.to_owned(), facts.ok_or(Errno::NOENT)?), Vec::new()));
        }
        let below = node.and_then(|node| Some((node, Path::new(path).strip_prefix(node).ok()?)));
        let (fd, pinned, links) = match below {
            None => {
                let (fd, links) = open(None, Path::new(path))?;
                (fd, false, links)
            }
            Some((node, rest)) => {
                let inside = self.node(node)?;
                let pinned = inside.pinned(rest);
                let (fd, links) = open(Some(&inside.dir), pinned.as_deref().unwrap_or(rest))?;
                (fd, pinned.is_some(), links)
            }
        };
        let facts = Facts::of(&fd)?;
        let real = if links.is_empty() && !pinned && place::is_normal(path) {
            self.straight.insert(path.to_owned(), Some(facts));
            path.to_owned()
        } else {
            place::real_path(&fd)?.into_os_string().into_string().ok().ok_or(Errno::ILSEQ)?
        };
        Ok((probe(real, facts), links))
    }

    /// A node's directory, held open so that one plan sees one node whatever is renamed meanwhile.
    fn node(&mut self, path: &Path) -> rustix::io::Result<&Inside> {
        if !self.nodes.contains_key(path) {
            let (looked_at, shown) = &self.settled;
            let is_known = looked_at.iter().any(|node| node == path);
            let shown = if is_known { shown.get(path).copied() } else { generation::of(path) };
            self.nodes.insert(path.to_path_buf(), Inside::open(path, shown)?);
        }
        Ok(&self.nodes[path])
    }
}

fn probe(real: String, facts: Facts) -> Probe {
    if facts.is_dir() { Probe::Dir { real, facts } } else { Probe::Other { real, facts } }
}

/// Opens a path without links on the way, below a directory that it does not leave or of the whole host.
fn open_straight(dir: Option<&OwnedFd>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let scope = ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match dir {
        Some(dir) => rustix::fs::openat2(dir, path, flags, Mode::empty(), scope | ResolveFlags::IN_ROOT),
        None => rustix::fs::openat2(CWD, path, flags, Mode::empty(), scope),
    }
}

/// What is at a path without links on the way; `None` for nothing.
fn straight(dir: Option<&OwnedFd>, path: &Path) -> rustix::io::Result<Option<Facts>> {
    match open_straight(dir, path) {
        Ok(fd) => Facts::of(fd).map(Some),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Opens a path with the links on the way. Most have none.
fn open(dir: Option<&OwnedFd>, path: &Path) -> rustix::io::Result<(OwnedFd, Vec<Link>)> {
    match open_straight(dir, path) {
        Ok(fd) => Ok((fd, Vec::new())),
        Err(Errno::LOOP) => match dir {
            Some(dir) => crossing::open(dir.as_fd(), path),
            None => crossing::open(root()?.as_fd(), path),
        },
        Err(errno) => Err(errno),
    }
}

/// Traces a path with links on the way, or which cannot be opened.
fn trace(dir: Option<&OwnedFd>, path: &Path) -> Option<Trace> {
    match dir {
        Some(dir) => crossing::trace(dir.as_fd(), path).ok(),
        None => crossing::trace(root().ok()?.as_fd(), path).ok(),
    }
}

fn root() -> rustix::io::Result<OwnedFd> {
    rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_plan_sees_one_generation_of_a_node() {
        let dir = tempfile::tempdir().unwrap();
        let node = fs::canonicalize(dir.path()).unwrap();
        for (generation, file) in [("1", "old"), ("2", "new")] {
            for top in ["usr", "etc", "var/lib/rpm"] {
                let below = node.join(".red/gen").join(generation).join(top);
                fs::create_dir_all(&below).unwrap();
                fs::write(below.join(file), "").unwrap();
            }
        }
        fs::create_dir_all(node.join("var/lib")).unwrap();
        symlink("gen/1", node.join(".red/current")).unwrap();
        symlink(".red/current/usr", node.join("usr")).unwrap();
        symlink(".red/current/etc", node.join("etc")).unwrap();
        symlink("../../.red/current/var/lib/rpm", node.join("var/lib/rpm")).unwrap();
        let mut host = SystemHost::default();
        let probe = |host: &mut SystemHost, below: &str| match host
            .probe(node.join(below).to_str().unwrap(), Some(&node))
        {
            Probe::Dir { real, .. } | Probe::Other { real, .. } => Some(real),
            _ => None,
        };
        let old = |below: &str| Some(node.join(".red/gen/1").join(below).display().to_string());
        assert_eq!(probe(&mut host, "usr"), old("usr"));
        // A transaction switches in the middle of planning.
        fs::remove_file(node.join(".red/current")).unwrap();
        symlink("gen/2", node.join(".red/current")).unwrap();
        assert_eq!(probe(&mut host, "etc"), old("etc"));
        assert_eq!(probe(&mut host, "var/lib/rpm"), old("var/lib/rpm"));
        assert_eq!(probe(&mut host, "usr/new"), None);
        assert_eq!(probe(&mut host, "var"), Some(node.join("var").display().to_string()));
        // The next plan sees the new one.
        assert!(probe(&mut SystemHost::default(), "usr/new").is_some());
    }
}
