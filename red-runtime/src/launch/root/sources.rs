//! Opens what is bound, each path once, so that what was opened is what is mounted.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat, openat2};

use super::{NodeDir, Source};
use crate::launch::error::{Doing, LaunchError};
use crate::node::place::open_walk;

/// Opens sources.
pub(super) struct Opener<'a> {
    nodes: &'a [NodeDir],
    open: HashMap<&'a Path, OwnedFd>,
}

impl<'a> Opener<'a> {
    pub(super) fn new(nodes: &'a [NodeDir]) -> Self {
        Self { nodes, open: HashMap::new() }
    }

    /// A source as a descriptor, and whether it is a directory.
    pub(super) fn open(&mut self, source: &Source) -> Result<(OwnedFd, bool), LaunchError> {
        let fd = match source {
            Source::Straight(path, _) => self.straight(path)?,
            Source::Path(path) | Source::Checked { path, .. } => {
                open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                    .doing(|| format!("source {}", path.display()))?
            }
        };
        let facts = fstat(&fd).doing(|| "a source")?;
        // What was judged when the launch was planned is what is mounted.
        if let Source::Straight(path, Some(id)) | Source::Checked { path, id } = source
            && *id != (facts.st_dev, facts.st_ino)
        {
            let what = format!("source {}", path.display());
            return Err(LaunchError::refused(what, "something else took its place during the launch"));
        }
        Ok((fd, FileType::from_raw_mode(facts.st_mode).is_dir()))
    }

    /// A file to hold a lock on, made where it is missing.
    pub(super) fn lock(&mut self, path: &str) -> Result<OwnedFd, LaunchError> {
        let path = PathBuf::from(path);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(LaunchError::refused(format!("lock {}", path.display()), "it is no path of a file"));
        };
        let parent = self.straight(&parent.to_path_buf())?;
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&parent, name, flags, Mode::from_raw_mode(0o644)).doing(|| format!("lock {}", path.display()))
    }

    /// A path of a plan has no links left. One that has got some since then is refused: somebody
    /// changes the node while it is launched.
    fn straight(&mut self, path: &PathBuf) -> Result<OwnedFd, LaunchError> {
        let nodes: &'a [NodeDir] = self.nodes;
        let node = nodes.iter().rev().find(|node| below(path, &node.path).is_some());
        let straight = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let opened = match node {
            None => openat2(CWD, path, flags, Mode::empty(), straight),
            Some(node) => {
                let below = below(path, &node.path).unwrap_or(path);
                let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
                openat2(self.node(node)?, below, flags, Mode::empty(), straight | ResolveFlags::BENEATH)
            }
        };
        opened.doing(|| format!("source {}", path.display()))
    }

    fn node(&mut self, node: &'a NodeDir) -> Result<BorrowedFd<'_>, LaunchError> {
        let path = node.path.as_path();
        if !self.open.contains_key(path) {
            let (dir, facts) = open_walk(path).doing(|| format!("node {}", path.display()))?;
            if (facts.dev, facts.ino) != node.id {
                return Err(LaunchError::refused(
                    format!("node {}", path.display()),
                    "another directory took its place during the launch",
                ));
            }
            self.open.insert(path, dir);
        }
        Ok(self.open[path].as_fd())
    }
}

/// The way from `above` to `path`; paths of plans are clean.
fn below<'p>(path: &'p Path, above: &Path) -> Option<&'p Path> {
    let rest = path.as_os_str().as_bytes().strip_prefix(above.as_os_str().as_bytes())?;
    let rest = if rest.is_empty() { rest } else { rest.strip_prefix(b"/")? };
    Some(Path::new(OsStr::from_bytes(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::place::Facts;

    #[test]
    fn what_was_judged_is_what_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        std::fs::create_dir(&one).unwrap();
        std::fs::create_dir(&two).unwrap();
        let judged = Facts::of(std::fs::File::open(&one).unwrap()).unwrap();
        let source = Source::Straight(std::fs::canonicalize(&one).unwrap(), Some((judged.dev, judged.ino)));
        assert!(Opener::new(&[]).open(&source).is_ok());
        // Something else took its place meanwhile.
        std::fs::rename(&one, dir.path().join("aside")).unwrap();
        std::fs::rename(&two, &one).unwrap();
        let refused = Opener::new(&[]).open(&source).unwrap_err().to_string();
        assert!(refused.contains("something else took its place"), "{refused}");
    }
}
