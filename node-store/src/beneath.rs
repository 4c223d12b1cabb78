//! Directories that somebody else may have changed: what runs in a node, its packages' scriptlets.
//! A [`Dir`] can only be opened below, by its descriptor, and no symbolic link leads out of it
//! (openat2(2)). A path that is put together and opened is the mistake that this keeps from being made.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Mode, OFlags, ResolveFlags, Stat, mkdirat, openat, openat2, renameat, statat, unlinkat,
};
use rustix::io::Errno;

/// A directory, open.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const STRAIGHT: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);
const IN_ROOT: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

impl Dir {
    /// Opens a directory that the caller trusts the way to, such as a node's.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        let fd = rustix::fs::open(path, DIRECTORY, Mode::empty()).map_err(|errno| told(path, errno))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// What is open already, such as a node's directory.
    pub(crate) fn of(fd: impl AsFd, path: &Path) -> std::io::Result<Self> {
        Ok(Self { fd: rustix::io::fcntl_dupfd_cloexec(fd, 3)?, path: path.to_owned() })
    }

    /// Its descriptor.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Its path, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A directory below, by way of directories only.
    pub(crate) fn dir(&self, below: impl AsRef<Path>) -> std::io::Result<Self> {
        let path = self.path.join(&below);
        let fd = self.resolve(below.as_ref(), DIRECTORY, STRAIGHT)?;
        Ok(Self { fd, path })
    }

    /// A directory below that is made, with those above it, where it is missing.
    pub(crate) fn make(&self, below: impl AsRef<Path>, mode: u32) -> std::io::Result<Self> {
        let mut dir = self.dir(".")?;
        dir.path.clone_from(&self.path);
        for name in below.as_ref().components() {
            match mkdirat(&dir.fd, name.as_os_str(), Mode::from_raw_mode(mode)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(told(&dir.path.join(name), errno)),
            }
            dir = dir.dir(name)?;
        }
        Ok(dir)
    }

    /// A regular file below, for reading. Nothing that stands in its place makes the caller wait.
    pub(crate) fn file(&self, below: impl AsRef<Path>) -> std::io::Result<File> {
        self.regular(below.as_ref(), STRAIGHT)
    }

    /// The same, where links are followed as if this directory were the root.
    pub(crate) fn file_in_root(&self, below: impl AsRef<Path>) -> std::io::Result<File> {
        self.regular(below.as_ref(), IN_ROOT)
    }

    /// A directory below, where links are followed as if this directory were the root.
    pub(crate) fn dir_in_root(&self, below: impl AsRef<Path>) -> std::io::Result<Self> {
        let path = self.path.join(&below);
        Ok(Self { fd: self.resolve(below.as_ref(), DIRECTORY, IN_ROOT)?, path })
    }

    /// Whether anything stands below, where links are followed as if this directory were the root.
    pub(crate) fn stands_in_root(&self, below: impl AsRef<Path>) -> bool {
        self.resolve(below.as_ref(), OFlags::PATH | OFlags::CLOEXEC, IN_ROOT).is_ok()
    }

    /// What stands below, the way to it followed as if this directory were the root, itself not.
    pub(crate) fn facts_in_root(&self, below: impl AsRef<Path>) -> std::io::Result<std::fs::Metadata> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = self.resolve(below.as_ref(), flags, IN_ROOT)?;
        File::from(fd).metadata()
    }

    /// The bytes of a regular file below.
    pub(crate) fn read(&self, below: impl AsRef<Path>) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file(below)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// A new file right below for the caller alone, in the place of whatever has its name.
    pub(crate) fn create(&self, name: &str) -> std::io::Result<File> {
        right_below(name)?;
        self.remove(name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| told(&self.path.join(name), errno))?;
        Ok(fd.into())
    }

    /// A file right below to write on at its end, or from its start, for the caller alone.
    pub(crate) fn part(&self, name: &str, resumed: bool) -> std::io::Result<File> {
        right_below(name)?;
        if !resumed {
            return self.create(name);
        }
        let mut flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        flags |= OFlags::APPEND;
        let fd = openat(&self.fd, name, flags, Mode::empty());
        fd.map(File::from).map_err(|errno| told(&self.path.join(name), errno))
    }

    /// Gives a file right below its contents, all or none of them.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        right_below(name)?;
        let aside = format!(".{name}.{}", rustix::process::getpid().as_raw_nonzero());
        self.create(&aside)?.write_all(bytes)?;
        self.rename(&aside, name)
    }

    /// Renames right below.
    pub(crate) fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        right_below(from).and_then(|()| right_below(to))?;
        renameat(&self.fd, from, &self.fd, to).map_err(|errno| told(&self.path.join(to), errno))
    }

    /// Removes what is no directory, right below, if it is there.
    pub(crate) fn remove(&self, name: &str) -> std::io::Result<()> {
        right_below(name)?;
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(told(&self.path.join(name), errno)),
        }
    }

    /// What stands right below.
    pub(crate) fn entries(&self) -> std::io::Result<Vec<(OsString, Stat)>> {
        let mut found = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
            if name == "." || name == ".." {
                continue;
            }
            if let Some(stat) = self.stat(&name)? {
                found.push((name, stat));
            }
        }
        Ok(found)
    }

    /// What stands right below; `None` when nothing does.
    pub(crate) fn stat(&self, name: &OsStr) -> std::io::Result<Option<Stat>> {
        match statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(told(&self.path.join(name), errno)),
        }
    }

    /// What the link right below says.
    pub(crate) fn link(&self, name: &OsStr) -> std::io::Result<OsString> {
        let target = rustix::fs::readlinkat(&self.fd, name, Vec::new());
        let target = target.map_err(|errno| told(&self.path.join(name), errno))?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    fn regular(&self, below: &Path, how: ResolveFlags) -> std::io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(self.resolve(below, flags, how)?);
        if file.metadata()?.is_file() {
            return Ok(file);
        }
        let path = self.path.join(below);
        Err(std::io::Error::other(format!("{}: not a regular file", path.display())))
    }

    fn resolve(&self, below: &Path, flags: OFlags, how: ResolveFlags) -> std::io::Result<OwnedFd> {
        loop {
            match openat2(&self.fd, below, flags, Mode::empty(), how) {
                // Somebody renames directories on the way just now (openat2(2)).
                Err(Errno::AGAIN | Errno::INTR) => {}
                opened => return opened.map_err(|errno| told(&self.path.join(below), errno)),
            }
        }
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Refuses what is no single name.
fn right_below(name: &str) -> std::io::Result<()> {
    if name.is_empty() || name == ".." || name.contains('/') {
        return Err(std::io::Error::other(format!("`{name}` is not the name of a file")));
    }
    Ok(())
}

/// An error with its path, that can still be asked what it is.
fn told(path: &Path, errno: Errno) -> std::io::Error {
    let error = std::io::Error::from(errno);
    let why = match errno {
        Errno::LOOP | Errno::XDEV => "a symbolic link is in the way, and none is followed here".to_owned(),
        _ => error.to_string(),
    };
    std::io::Error::new(error.kind(), format!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_leads_out() {
        let top = tempfile::tempdir().unwrap();
        let secret = top.path().join("secret");
        std::fs::create_dir(&secret).unwrap();
        std::fs::write(secret.join("file"), "secret").unwrap();
        std::fs::create_dir_all(top.path().join("node/var/lib")).unwrap();
        let node = Dir::open(&top.path().join("node")).unwrap();
        for (name, target) in
            [("absolute", secret.to_str().unwrap()), ("up", "../../../secret"), ("magic", "/proc/self/root")]
        {
            symlink(target, top.path().join("node/var/lib").join(name)).unwrap();
        }
        for way in ["var/lib/absolute", "var/lib/up", "var/lib/magic", "../secret", "var/../../secret"] {
            assert!(node.dir(way).is_err(), "{way}");
            assert!(node.make(way, 0o700).is_err(), "{way}");
            assert!(node.file(Path::new(way).join("file")).is_err(), "{way}");
            assert!(node.file_in_root(Path::new(way).join("file")).is_err(), "{way}");
        }
        assert!(node.dir(&secret).is_err());
        // As the root of the node, the same link is one into the node.
        std::fs::create_dir_all(top.path().join("node/etc")).unwrap();
        std::fs::write(top.path().join("node/etc/x"), "ours").unwrap();
        symlink("/etc", top.path().join("node/var/etc")).unwrap();
        let mut text = String::new();
        node.file_in_root("var/etc/x").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "ours");
        assert!(node.file("var/etc/x").is_err());
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let top = tempfile::tempdir().unwrap();
        let dir = Dir::open(top.path()).unwrap();
        rustix::fs::mknodat(&dir, "pipe", rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        for name in ["../x", "a/b", "..", "", "/etc/x"] {
            assert!(dir.create(name).is_err() && dir.write(name, b"").is_err(), "{name}");
            assert!(dir.rename("pipe", name).is_err() && dir.remove(name).is_err(), "{name}");
        }
        assert!(dir.file("pipe").is_err() && dir.read("pipe").is_err() && dir.file(".").is_err());
        symlink("elsewhere", top.path().join("link")).unwrap();
        dir.write("link", b"text").unwrap();
        assert!(!top.path().join("elsewhere").exists());
        assert_eq!(dir.read("link").unwrap(), b"text");
        assert_eq!(dir.make("a/b", 0o700).unwrap().path(), top.path().join("a/b"));
        assert_eq!(dir.entries().unwrap().len(), 3);
    }
}
