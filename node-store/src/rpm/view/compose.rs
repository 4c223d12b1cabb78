//! Composition of the install view, as data: which directories are overlays, and which are plain
//! directories because one overlay cannot cover them.
//!
//! One overlay per top directory is the rule. It is split, level by level, where the kernel takes no
//! such layer:
//! * a layer that lies in another one is refused (`ELOOP`, `ovl_check_layer`): `/var` of the core OS and
//!   `/var/redpesk/NODE/var`. Nodes themselves are left out of the view: no package needs them;
//! * in a user namespace, a directory with mounts below it is refused (`EINVAL`, `has_locked_children` in
//!   `clone_private_mount`), because the overlay would show what those mounts hide;
//! * what is mounted below a layer is no part of it, so that the contents would be missing.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::ViewError;
use super::host::{Host, Kind};

/// Mounts deeper than this below the root are left out of `var`, and ignored where they may be: images
/// of container engines, pipes of network file systems, volumes of services.
const DEPTH: usize = 3;
/// Most steps of a view. Hosts have 100,000 mounts at most (`fs.mount-max`), and each takes time.
const MOST: usize = 8_000;
/// Largest file that is copied rather than bound.
const COPIED: u64 = 1 << 20;

/// A layer of the view.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// Its root, without symbolic links.
    pub(super) root: PathBuf,
    /// Its `var`, when that is not in its root.
    pub(super) variable: Option<PathBuf>,
    /// Whether it is the node that the transaction is about.
    pub(super) own: bool,
}

impl Layer {
    fn top(&self, name: &str) -> PathBuf {
        match &self.variable {
            Some(variable) if name == "var" => variable.clone(),
            _ => self.root.join(name),
        }
    }
}

/// How one name of the view comes to be. Paths are relative to its root.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// A directory of the staging area, with owner and mode of `like`.
    Directory { like: Option<PathBuf> },
    /// An overlay of directories, strongest first, below a directory of the staging area.
    Overlay { lowers: Vec<PathBuf> },
    /// A copy of a file, which packages and scriptlets may change.
    Copy { of: PathBuf },
    /// A read-only bind mount of a file.
    Bind { of: PathBuf },
    /// A symbolic link, as it is in the strongest layer.
    Link { of: PathBuf },
}

/// What is wanted of a view besides the directories that every one has.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Directories that packages have files in, relative, and those above them.
    pub(super) directories: BTreeSet<PathBuf>,
    /// Files of packages, relative.
    pub(super) files: BTreeSet<PathBuf>,
}

/// A composed view.
#[derive(Debug, Default)]
pub(crate) struct Composition {
    /// Parents first.
    pub(super) steps: BTreeMap<PathBuf, Step>,
    /// Names in split directories that the node itself has: whether it is a directory that is not empty
    /// or something else.
    pub(super) own: BTreeSet<PathBuf>,
    /// Mount points that are not part of the view, and their file systems.
    pub(super) left_out: BTreeMap<PathBuf, String>,
    /// Why directories were split: mount points and nodes.
    pub(super) split_at: BTreeSet<PathBuf>,
}

impl Composition {
    /// Overlays and what they are made of.
    pub(crate) fn overlays(&self) -> impl Iterator<Item = (&Path, &[PathBuf])> {
        self.steps.iter().filter_map(|(at, step)| match step {
            Step::Overlay { lowers } => Some((at.as_path(), lowers.as_slice())),
            _ => None,
        })
    }

    /// Where the layers would have a directory of the view, strongest first, if an overlay covers it.
    pub(crate) fn below_overlay<'a>(&'a self, dir: &'a Path) -> impl Iterator<Item = PathBuf> + 'a {
        let covering = dir.ancestors().find_map(|above| Some((above, self.steps.get(above)?)));
        let (above, lowers) = match covering {
            Some((above, Step::Overlay { lowers })) => (above, lowers.as_slice()),
            _ => (dir, &[] as &[PathBuf]),
        };
        let rest = dir.strip_prefix(above).unwrap_or(Path::new(""));
        lowers
            .iter()
            .map(move |lower| if rest.as_os_str().is_empty() { lower.clone() } else { lower.join(rest) })
    }
}

/// Composes a view.
pub(super) fn compose(
    layers: &[Layer],
    tops: &BTreeSet<String>,
    wanted: &Wanted,
    host: &dyn Host,
) -> Result<Composition, ViewError> {
    let own = layers.first().is_some_and(|layer| layer.own);
    let mut composer = Composer { host, wanted, own, result: Composition::default() };
    for top in tops {
        let found: Vec<(usize, PathBuf)> =
            layers.iter().enumerate().map(|(index, layer)| (index, layer.top(top))).collect();
        composer.name(Path::new(top), found)?;
        // The node's own data directory is written to even where no layer has one.
        if top == "var" && !composer.result.steps.contains_key(Path::new("var")) {
            composer.result.steps.insert("var".into(), Step::Directory { like: None });
        }
    }
    Ok(composer.result)
}

struct Composer<'a> {
    host: &'a dyn Host,
    wanted: &'a Wanted,
    /// Whether the strongest layer is the node that the transaction is about.
    own: bool,
    result: Composition,
}

impl Composer<'_> {
    fn add(&mut self, at: &Path, step: Step) -> Result<(), ViewError> {
        if self.result.steps.len() >= MOST {
            let because = self.result.split_at.iter().next_back().cloned().unwrap_or_default();
            return Err(ViewError::TooMany { dir: at.parent().unwrap_or(at).to_path_buf(), because });
        }
        self.result.steps.insert(at.to_path_buf(), step);
        Ok(())
    }

    /// A name of the view. `found` is where each layer would have it, strongest first; the strongest that
    /// has it decides what it is. Returns whether the view shows all that is there: what it leaves out is not
    /// gone when the transaction does not find it.
    fn name(&mut self, at: &Path, found: Vec<(usize, PathBuf)>) -> Result<bool, ViewError> {
        let mut found =
            found.into_iter().filter_map(|(layer, path)| Some((layer, self.host.kind(&path)?, path)));
        let Some((layer, kind, path)) = found.next() else { return Ok(true) };
        // Directories below something else are hidden by it.
        let rest: Vec<(usize, PathBuf)> = found
            .take_while(|(_, kind, _)| *kind == Kind::Directory)
            .map(|(layer, _, path)| (layer, path))
            .collect();
        let inside = at.components().count() > 1;
        let own = self.own && layer == 0 && inside;
        let (filled, shown) = match kind {
            Kind::Directory => {
                let filled = own && !self.host.entries(&path).is_empty();
                let all = std::iter::once((layer, path)).chain(rest).collect();
                (filled, self.directory(at, all)?)
            }
            Kind::Link => (own, self.add(at, Step::Link { of: path }).map(|()| true)?),
            Kind::File(size) if inside => (own, self.file(at, layer, size, path).map(|()| true)?),
            Kind::File(_) | Kind::Other => (false, false),
        };
        if filled && shown {
            self.result.own.insert(at.to_path_buf());
        }
        Ok(shown)
    }

    fn file(&mut self, at: &Path, layer: usize, size: u64, of: PathBuf) -> Result<(), ViewError> {
        // Configuration and data are written to in place; so is what the node itself has, when it is
        // updated or removed. Programs of others are not, and a package's own file takes their place.
        let changes = at.starts_with("etc") || at.starts_with("var");
        if self.own && layer == 0 || changes && size <= COPIED && self.host.readable(&of) {
            self.add(at, Step::Copy { of })
        } else if self.wanted.files.contains(at) {
            Ok(())
        } else {
            self.add(at, Step::Bind { of })
        }
    }

    fn directory(&mut self, at: &Path, found: Vec<(usize, PathBuf)>) -> Result<bool, ViewError> {
        let depth = at.components().count();
        let (mut dirs, all) = (Vec::new(), found.len());
        for (layer, dir) in found {
            if self.host.is_node(&dir) {
                self.result.split_at.insert(dir);
            } else if let Some(fstype) = self.host.unsuited(&dir) {
                self.result.left_out.insert(dir, fstype);
            } else {
                dirs.push((layer, dir));
            }
        }
        let Some((_, like)) = dirs.first().cloned() else {
            // What is mounted here is nothing that packages could be installed into.
            if depth == 1 {
                self.add(at, Step::Directory { like: None })?;
            }
            return Ok(false);
        };
        let whole = dirs.len() == all;
        let mut nodes = false;
        let mut because = Vec::new();
        for (_, dir) in &dirs {
            because.extend(self.host.mounts_below(dir, at, DEPTH));
            for node in self.host.nodes_below(dir) {
                nodes = true;
                because.push(node);
            }
        }
        if because.is_empty() {
            let lowers = dirs.into_iter().map(|(_, dir)| dir).collect();
            return self.add(at, Step::Overlay { lowers }).map(|()| whole);
        }
        self.add(at, Step::Directory { like: Some(like) })?;
        let needed = self.wanted.directories.contains(at);
        if depth > DEPTH && !needed && (nodes || at.starts_with("var")) {
            self.leave_out(because);
            return Ok(false);
        }
        self.result.split_at.extend(because);
        Ok(self.split(at, &dirs)? && whole)
    }

    fn leave_out(&mut self, points: Vec<PathBuf>) {
        for point in points {
            let fstype = self.host.fstype(&point);
            self.result.left_out.insert(point, fstype);
        }
    }

    /// Each entry of a directory on its own.
    fn split(&mut self, at: &Path, dirs: &[(usize, PathBuf)]) -> Result<bool, ViewError> {
        let mut whole = true;
        let names: BTreeSet<OsString> = dirs.iter().flat_map(|(_, dir)| self.host.entries(dir)).collect();
        for name in names {
            let below = at.join(&name);
            // The staging area has the node's database, which is nobody else's.
            if below != Path::new(crate::generation::DATABASE) {
                let found = dirs.iter().map(|(layer, dir)| (*layer, dir.join(&name))).collect();
                whole &= self.name(&below, found)?;
            } else {
                whole = false;
            }
        }
        Ok(whole)
    }
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;
