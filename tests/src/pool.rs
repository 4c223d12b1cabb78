//! Families on disk.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Configuration of a node that has the programs of the machine, and nothing of its own.
pub const PROGRAMS: &str = "config: {path: /usr/bin}
exports:
  - {mode: Restricted, mount: /usr}
  - {mode: Symlink, mount: /bin, path: usr/bin}
  - {mode: Symlink, mount: /lib, path: usr/lib}
  - {mode: Symlink, mount: /lib64, path: usr/lib64}";

/// A directory that holds nodes, removed in the end.
#[derive(Debug)]
pub struct Pool {
    dir: PathBuf,
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

impl Pool {
    /// An empty pool that everybody may enter.
    ///
    /// # Panics
    /// There is no room for it.
    #[must_use]
    pub fn new() -> Self {
        let dir =
            tempfile::Builder::new().prefix("red-test-").tempdir().expect("a directory for the test").keep();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("it is ours");
        Self { dir }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// A path below it.
    #[must_use]
    pub fn join(&self, below: impl AsRef<Path>) -> PathBuf {
        self.dir.join(below)
    }

    /// Writes a file, making the directories on the way.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write(&self, below: impl AsRef<Path>, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(below);
        fs::create_dir_all(path.parent().expect("it is below the pool")).expect("the directory can be made");
        fs::write(&path, text).expect("the file can be written");
        path
    }

    /// Makes a directory.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn mkdir(&self, below: impl AsRef<Path>) -> PathBuf {
        let path = self.join(below);
        fs::create_dir_all(&path).expect("the directory can be made");
        path
    }

    /// Makes a node from the text of its configuration; `headers` come from the path.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn node(&self, below: &str, text: &str) -> PathBuf {
        let path = self.join(below);
        let alias = path.file_name().expect("a node has a name").to_string_lossy().into_owned();
        self.write(
            format!("{below}/etc/redpak.yaml"),
            format!("headers: {{alias: {alias}, name: name-{alias}, info: info of {alias}}}\n{text}\n"),
        );
        self.status(below, "Enable");
        path
    }

    /// Gives a node an admin configuration.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn admin(&self, below: &str, text: &str) {
        self.write(format!("{below}/etc/redpak-admin.yaml"), format!("headers: {{alias: admin}}\n{text}\n"));
    }

    /// Writes a node's status.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn status(&self, below: &str, state: &str) {
        let path = self.join(below);
        let text = format!("realpath: {}\ntimestamp: 1700000000000\nstate: {state}\n", path.display());
        self.write(format!("{below}/.rednode.yaml"), text);
    }

    /// Gives everything in it to a user.
    ///
    /// # Panics
    /// The caller is not root.
    pub fn chown(&self, uid: u32) {
        fn all(path: &Path, uid: u32) {
            std::os::unix::fs::lchown(path, Some(uid), Some(uid)).expect("only root gives files away");
            if path.is_dir() && !path.is_symlink() {
                for entry in fs::read_dir(path).expect("it can be read").flatten() {
                    all(&entry.path(), uid);
                }
            }
        }
        all(self.path(), uid);
    }

    /// Copies a built binary into the pool, where every user can reach it.
    ///
    /// # Panics
    /// It is not built, or there is no room.
    pub fn install(&self, name: &str, as_name: &str) -> PathBuf {
        let path = self.join(as_name);
        // By a process of its own: a child that another thread forks meanwhile would keep the file open
        // for writing, and nothing could be executed from it (execve(2), ETXTBSY).
        let mut copy = std::process::Command::new("cp");
        let copied = copy.arg(crate::call::built(name)).arg(&path).status().expect("it starts");
        assert!(copied.success(), "there is room");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        path
    }

    /// A text with the pool's path replaced, for snapshots.
    #[must_use]
    pub fn plain(&self, text: &str) -> String {
        text.replace(&*self.path().to_string_lossy(), "/POOL")
    }
}

impl Drop for Pool {
    /// What an engine started in the background may still write for a moment while the directory is removed.
    fn drop(&mut self) {
        let end = Instant::now() + crate::patience(10);
        while let Err(error) = fs::remove_dir_all(&self.dir) {
            if error.kind() == ErrorKind::NotFound {
                break;
            }
            if Instant::now() > end {
                let path = self.dir.display();
                assert!(std::thread::panicking(), "the test left {path} behind: {error}");
                drop(writeln!(std::io::stderr(), "the test left {path} behind: {error}"));
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
