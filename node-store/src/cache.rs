//! Files that can be had again: metadata, lists of what is installed, packages. They are believed only with
//! a checksum that is kept in the node's `.red`, where neither exports nor packages reach: libsolv trusts
//! what it reads, and where packages come from is written there.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::beneath::Dir;
use crate::generation::RED;

/// Where a node's cache is, and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    /// The node, which keeps the checksums.
    node: PathBuf,
    /// The node that the cache lies in; nothing for one that is elsewhere.
    inside: Option<PathBuf>,
    path: PathBuf,
}

/// Directory of checksums in a node.
pub(crate) const SUMS: &str = ".red/sums";

impl Cache {
    /// A cache at a path. `nodes` are those of the family, `node` the one that is worked on.
    pub(crate) fn new(node: &Path, nodes: &[&Path], path: PathBuf) -> Self {
        let inside = nodes.iter().filter(|node| path.starts_with(node) && path != **node);
        let inside = inside.max_by_key(|node| node.as_os_str().len()).map(|node| node.to_path_buf());
        Self { node: node.to_owned(), inside, path }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn key(&self, below: &str) -> PathBuf {
        self.path.strip_prefix(&self.node).unwrap_or(&self.path).join(below)
    }

    /// A directory of it, if it is there.
    pub(crate) fn open(&self, below: &str) -> std::io::Result<Shelf> {
        let dir = match &self.inside {
            Some(node) => {
                let way = self.path.strip_prefix(node).unwrap_or(&self.path);
                Dir::open(node)?.dir(way.join(below))?
            }
            None => Dir::open(&self.path)?.dir(below)?,
        };
        let sums = Dir::open(&self.node)?.dir(SUMS).ok();
        Ok(Shelf { dir, sums, shown: self.path.join(below), key: self.key(below) })
    }

    /// The same, made where it is missing.
    pub(crate) fn make(&self, below: &str) -> std::io::Result<Shelf> {
        let node = Dir::open(&self.node)?;
        node.make(RED, 0o755)?;
        let sums = node.make(SUMS, 0o700)?;
        let dir = match &self.inside {
            Some(node) => {
                let way = self.path.strip_prefix(node).unwrap_or(&self.path);
                Dir::open(node)?.make(way.join(below), 0o700)?
            }
            None => {
                let failed = |error: std::io::Error| {
                    std::io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
                };
                std::fs::create_dir_all(&self.path).map_err(failed)?;
                Dir::open(&self.path)?.make(below, 0o700)?
            }
        };
        Ok(Shelf { dir, sums: Some(sums), shown: self.path.join(below), key: self.key(below) })
    }
}

/// A directory of a cache, open.
#[derive(Debug)]
pub(crate) struct Shelf {
    dir: Dir,
    /// `None` where nothing of it can be believed.
    sums: Option<Dir>,
    shown: PathBuf,
    /// What the names of checksums are made of: nothing of where the node is, for nodes are moved.
    key: PathBuf,
}

impl Shelf {
    /// For what has a checksum of its own, and what is in the making.
    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// The bytes of a file, if they are what [`Shelf::keep`] saw.
    pub(crate) fn believed(&self, name: &str) -> Option<Vec<u8>> {
        let said = self.sums.as_ref()?.read(self.sum_of(name)).ok()?;
        let bytes = self.dir.read(name).ok()?;
        (hexadecimal(&Sha256::digest(&bytes)).as_bytes() == said).then_some(bytes)
    }

    /// Gives a file in the making its name, and believes it from now on. Returns its bytes.
    pub(crate) fn keep(&self, aside: &str, name: &str) -> std::io::Result<Vec<u8>> {
        let Some(sums) = &self.sums else {
            return Err(std::io::Error::other(format!(
                "{}: no place for its checksum",
                self.shown.display()
            )));
        };
        let mut bytes = Vec::new();
        let file: File = self.dir.file(aside)?;
        { file }.read_to_end(&mut bytes)?;
        sums.write(&self.sum_of(name), hexadecimal(&Sha256::digest(&bytes)).as_bytes())?;
        self.dir.rename(aside, name)?;
        Ok(bytes)
    }

    /// Writes a file, and believes it from now on.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let aside = format!(".new-{name}");
        self.dir.write(&aside, bytes)?;
        self.keep(&aside, name).map(|_bytes| ())
    }

    /// What was noted of this directory; it outlives its files.
    pub(crate) fn noted(&self, what: &str) -> Option<Vec<u8>> {
        self.sums.as_ref()?.read(self.note_of(what)).ok()
    }

    /// Notes something beside the checksums.
    pub(crate) fn note(&self, what: &str, bytes: &[u8]) -> std::io::Result<()> {
        let Some(sums) = &self.sums else {
            return Err(std::io::Error::other(format!("{}: no place for notes", self.shown.display())));
        };
        sums.write(&self.note_of(what), bytes)
    }

    fn note_of(&self, what: &str) -> String {
        format!("{}.{what}", self.sum_of(""))
    }

    /// Removes a file.
    pub(crate) fn remove(&self, name: &str) -> std::io::Result<()> {
        if let Some(sums) = &self.sums {
            sums.remove(&self.sum_of(name))?;
        }
        self.dir.remove(name)
    }

    /// Names in it.
    pub(crate) fn names(&self) -> std::io::Result<Vec<String>> {
        let entries = self.dir.entries()?;
        Ok(entries.into_iter().filter_map(|(name, _)| name.into_string().ok()).collect())
    }

    fn sum_of(&self, name: &str) -> String {
        use std::os::unix::ffi::OsStrExt;
        hexadecimal(&Sha256::digest(self.key.join(name).as_os_str().as_bytes())[..20])
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_believed_that_changed() {
        let top = tempfile::tempdir().unwrap();
        let cache = Cache::new(top.path(), &[top.path()], top.path().join(".red/cache"));
        let shelf = cache.make("installed").unwrap();
        shelf.write("a.solv", b"some text of a cache").unwrap();
        let path = top.path().join(".red/cache/installed/a.solv");
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(shelf.believed("a.solv").as_deref(), Some(&whole[..]));
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                std::fs::write(&path, &changed).unwrap();
                assert_eq!(shelf.believed("a.solv"), None, "{at} {bit}");
            }
            std::fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(shelf.believed("a.solv"), None, "{at}");
        }
        std::fs::write(&path, &whole).unwrap();
        assert!(
            shelf.believed("a.solv").is_some()
                && cache.open("installed").unwrap().believed("a.solv").is_some()
        );
        // The file of another name, however right it is, is not this one.
        std::fs::copy(&path, path.with_file_name("b.solv")).unwrap();
        assert_eq!(shelf.believed("b.solv"), None);
        let moved = top.path().join("moved");
        std::fs::create_dir(&moved).unwrap();
        std::fs::rename(top.path().join(".red"), moved.join(".red")).unwrap();
        let there = Cache::new(&moved, &[&moved], moved.join(".red/cache"));
        assert!(there.open("installed").unwrap().believed("a.solv").is_some(), "nodes are moved");
        std::fs::rename(moved.join(".red"), top.path().join(".red")).unwrap();
        std::fs::remove_dir_all(top.path().join(SUMS)).unwrap();
        assert_eq!(cache.open("installed").unwrap().believed("a.solv"), None);
    }

    #[test]
    fn notes_outlive_what_they_are_about() {
        let top = tempfile::tempdir().unwrap();
        let cache = Cache::new(top.path(), &[top.path()], top.path().join(".red/cache"));
        assert_eq!(cache.make("repos/a").unwrap().noted("seen"), None);
        cache.make("repos/a").unwrap().note("seen", b"one").unwrap();
        cache.make("repos/b").unwrap().note("seen", b"other").unwrap();
        std::fs::remove_dir_all(top.path().join(".red/cache/repos")).unwrap();
        let shelf = cache.make("repos/a").unwrap();
        assert_eq!(shelf.noted("seen").as_deref(), Some(&b"one"[..]));
        assert_eq!(shelf.noted("else"), None);
        // What lies in the cache is no note.
        shelf.dir().write(&shelf.note_of("else"), b"forged").unwrap();
        assert_eq!(shelf.noted("else"), None);
    }

    #[test]
    fn links_do_not_lead_a_cache_elsewhere() {
        let top = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(top.path().join("node/var")).unwrap();
        std::fs::create_dir(top.path().join("outside")).unwrap();
        std::os::unix::fs::symlink("../../outside", top.path().join("node/var/cache")).unwrap();
        let node = top.path().join("node");
        let cache = Cache::new(&node, &[&node], node.join("var/cache/dnf"));
        assert!(cache.make("repos/x/packages").is_err() && cache.open("repos").is_err());
        assert_eq!(std::fs::read_dir(top.path().join("outside")).unwrap().count(), 0);
    }
}
