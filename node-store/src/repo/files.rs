//! Files that configure repositories, below the root of the node that they are of: a link is one in the node, as for
//! whatever runs there, and one to nowhere is an error, since what it is to say may be a demand.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use super::settings::RepoError;
use crate::beneath::Dir;
use crate::regular;

/// How long such a file may be.
pub(super) const BYTES: u64 = 1 << 20;
/// How many of them a directory may have.
const FILES: usize = 1000;

/// Reads a file of a root if it exists.
pub(super) fn read(root: &Path, below: &Path) -> Result<Option<String>, RepoError> {
    let shown = root.join(below);
    let failed = |source| RepoError::File { path: shown.clone(), source };
    let Some(file) = found(root, below, |dir| dir.file_in_root(below))? else { return Ok(None) };
    text(regular::bytes(file, BYTES).map_err(failed)?).map(Some).map_err(failed)
}

/// Reads a file that the caller named, if it exists.
pub(super) fn given(path: &Path) -> Result<Option<String>, RepoError> {
    match regular::read(path, BYTES).and_then(text) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(source) => Err(RepoError::File { path: path.to_owned(), source }),
    }
}

fn text(bytes: Vec<u8>) -> std::io::Result<String> {
    String::from_utf8(bytes).map_err(|error| Error::new(ErrorKind::InvalidData, error))
}

/// The files of a root's directory with an extension, by name, below the root.
pub(super) fn files(root: &Path, dir: &str, extension: &str) -> Result<Vec<PathBuf>, RepoError> {
    let mut paths = all(root, dir)?;
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    Ok(paths)
}

/// All files of a root's directory.
pub(super) fn all(root: &Path, dir: &str) -> Result<Vec<PathBuf>, RepoError> {
    let shown = root.join(dir);
    let failed = |source| RepoError::File { path: shown.clone(), source };
    let Some(open) = found(root, Path::new(dir), |root| root.dir_in_root(dir))? else {
        return Ok(Vec::new());
    };
    let entries = open.entries().map_err(failed)?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|(name, _)| Path::new(dir).join(name)).collect();
    if paths.len() > FILES {
        return Err(failed(Error::other(format!("more than {FILES} files"))));
    }
    paths.sort();
    Ok(paths)
}

/// What is opened below a root; `None` where nothing has its name.
fn found<T>(
    root: &Path,
    below: &Path,
    open: impl Fn(&Dir) -> std::io::Result<T>,
) -> Result<Option<T>, RepoError> {
    let dir = match Dir::open(root) {
        Ok(dir) => dir,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(RepoError::Below(error)),
    };
    match open(&dir) {
        Ok(opened) => Ok(Some(opened)),
        Err(error) if is_missing(&error) => match to_nowhere(&dir, below) {
            Some(link) => Err(RepoError::Nowhere {
                target: std::fs::read_link(root.join(&link)).unwrap_or_default(),
                link: root.join(link),
                root: root.to_owned(),
            }),
            None => Ok(None),
        },
        Err(error) => Err(RepoError::Below(error)),
    }
}

fn is_missing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// The first link on the way to a file that leads to nothing.
fn to_nowhere(dir: &Dir, below: &Path) -> Option<PathBuf> {
    let mut way = PathBuf::new();
    for name in below.components() {
        way.push(name);
        if dir.facts_in_root(&way).ok()?.is_symlink() && !dir.stands_in_root(&way) {
            return Some(way);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_those_of_the_root() {
        let top = tempfile::tempdir().unwrap();
        let root = top.path();
        std::fs::create_dir_all(root.join("usr/share/dnf")).unwrap();
        std::fs::create_dir_all(root.join("etc/dnf")).unwrap();
        std::fs::write(root.join("usr/share/dnf/x.conf"), "text").unwrap();
        symlink("/usr/share/dnf", root.join("etc/dir.d")).unwrap();
        symlink("/usr/share/dnf/x.conf", root.join("etc/dnf/x.conf")).unwrap();
        for below in ["etc/dnf/x.conf", "etc/dir.d/x.conf"] {
            assert_eq!(read(root, Path::new(below)).unwrap().as_deref(), Some("text"), "{below}");
        }
        assert_eq!(files(root, "etc/dir.d", "conf").unwrap(), [Path::new("etc/dir.d/x.conf")]);
        assert!(read(root, Path::new("etc/none/x.conf")).unwrap().is_none());
        assert!(files(root, "etc/none.d", "conf").unwrap().is_empty());
        assert!(read(&root.join("none"), Path::new("etc/x")).unwrap().is_none());
        std::fs::remove_dir_all(root.join("usr")).unwrap();
        for below in ["etc/dnf/x.conf", "etc/dir.d/x.conf"] {
            let said = read(root, Path::new(below)).unwrap_err().to_string();
            assert!(said.contains("is a symbolic link to /usr/share/dnf"), "{said}");
        }
        assert!(files(root, "etc/dir.d", "conf").is_err());
    }
}
