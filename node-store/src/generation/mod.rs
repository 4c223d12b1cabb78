//! Generations of a node's packages (docs/src/store.md). `NODE/.red/gen/<n>/` holds `usr etc opt …` and
//! the rpm database, `NODE/.red/current` says which one holds, and `NODE/usr`, `NODE/var/lib/rpm` …
//! lead through it. Switching is one rename.

mod adopt;
mod alike;
mod clock;
mod collect;
mod descend;
mod forged;
mod lock;
mod lost;
mod marks;
mod older;
mod removal;
mod spare;
mod state;
mod sweep;
mod switch;
mod tidy;
mod transfer;
mod tree;
mod variable;
mod walk;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, openat};
use rustix::io::Errno;

pub(crate) use collect::{mounted, unused};
pub(crate) use descend::{Switches, commit};
pub(crate) use forged::unforge;
pub(crate) use lock::{Lock, LockError, Patience, is_foreign, is_held};
pub(crate) use lost::{list, lost_above};
pub(crate) use marks::is_whiteout;
pub(crate) use spare::Room;
pub(crate) use state::interrupted_above;
pub(crate) use switch::{Left, Stage};
pub(crate) use transfer::{clear, transfer};
pub(crate) use tree::{bring, close, make_directory, remove, remove_one};
pub(crate) use walk::{Walk, entries};

/// Directory of everything of ours in a node.
pub(crate) const RED: &str = ".red";
/// Where a generation keeps its rpm database, and where a node shows it.
pub(crate) const DATABASE: &str = "var/lib/rpm";
/// What a generation says of itself, see [`crate::history`].
pub(crate) const ABOUT: &str = ".generation.json";

/// Whether a name right below a generation's root is its own, so that no package has it.
pub(crate) fn is_reserved(name: &str) -> bool {
    [ABOUT, VARIABLE].contains(&name)
}
/// What a generation has for the node's `var` until it is current.
pub(crate) use red_runtime::node::generation::VARIABLE;

/// Top directories that a node's packages may own. Others are taken in when a package owns them.
pub(crate) const USUAL: [&str; 11] =
    ["bin", "boot", "etc", "lib", "lib32", "lib64", "libx32", "opt", "sbin", "srv", "usr"];
/// Names right below a node that never belong to a generation.
pub(crate) const NEVER: [&str; 12] =
    [".red", ".rednode.yaml", "dev", "home", "mnt", "private", "proc", "root", "run", "sys", "tmp", "var"];

/// What could not be done with a node's files.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The kernel refused.
    #[error("{path}: {}", std::io::Error::from(*.errno))]
    File {
        /// What it was about.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// No such generation.
    #[error("{node} has no generation {number}: `red-generations` lists them")]
    NoGeneration {
        /// The node.
        node: PathBuf,
        /// What was asked for.
        number: u64,
    },
    /// An update that holds and is not complete.
    #[error(
        "{error}; the update is decided and not complete: `red-dnf --redpath={} red-generations complete` completes it",
        .node.display()
    )]
    Decided {
        /// Where the next command begins.
        node: PathBuf,
        /// What went wrong.
        error: Box<StoreError>,
    },
    /// Something is where nothing of it may be.
    #[error("{path}: {why}")]
    InTheWay {
        /// What.
        path: PathBuf,
        /// Why it cannot stay, and what to do.
        why: String,
    },
}

/// Gives an error its path.
pub(crate) trait At<T> {
    fn at(self, path: impl Into<PathBuf>) -> Result<T, StoreError>;
}

impl<T> At<T> for rustix::io::Result<T> {
    fn at(self, path: impl Into<PathBuf>) -> Result<T, StoreError> {
        self.map_err(|errno| StoreError::File { path: path.into(), errno })
    }
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, path: impl Into<PathBuf>) -> Result<T, StoreError> {
        let errno = |error: &std::io::Error| Errno::from_io_error(error).unwrap_or(Errno::IO);
        self.map_err(|error| StoreError::File { path: path.into(), errno: errno(&error) })
    }
}

/// A node's directory, open.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    dir: OwnedFd,
}

pub(crate) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Store {
    /// Opens the node at a path without symbolic links.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let dir = rustix::fs::open(path, DIRECTORY, Mode::empty()).at(path)?;
        Ok(Self { path: path.to_owned(), dir })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// A path of ours.
    pub(crate) fn red(&self, below: impl AsRef<Path>) -> PathBuf {
        self.path.join(RED).join(below)
    }

    /// Where a generation is.
    pub(crate) fn generation(&self, number: u64) -> PathBuf {
        self.red(format!("gen/{number}"))
    }

    /// The number of the generation that holds; `None` for a node that no transaction has touched.
    pub(crate) fn current(&self) -> Result<Option<u64>, StoreError> {
        match rustix::fs::readlinkat(&self.dir, ".red/current", Vec::new()) {
            Ok(link) => {
                let link = link.to_string_lossy().into_owned();
                let number = link.strip_prefix("gen/").and_then(|number| number.parse().ok());
                let why = || format!("a link to {link}, which is no generation; `red-rollback N` mends it");
                number.map(Some).ok_or_else(|| StoreError::InTheWay { path: self.red("current"), why: why() })
            }
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno).at(self.red("current")),
        }
    }

    /// The number of the generation that launches show: what an update has decided on, whether or not it is complete.
    pub(crate) fn shown(&self) -> Option<u64> {
        red_runtime::node::generation::of(&self.path)
    }

    /// The bytes of a file of ours, by its path below `.red`. Whatever stands in its place makes nobody wait, and fills
    /// no memory.
    pub(crate) fn read(&self, below: &str) -> std::io::Result<Vec<u8>> {
        /// No transaction writes more.
        const MOST: u64 = 64 << 20;
        let file = crate::beneath::Dir::of(&self.dir, &self.path)?.file(Path::new(RED).join(below))?;
        crate::regular::bytes(file, MOST)
    }

    /// The numbers of all generations, ascending.
    pub(crate) fn numbers(&self) -> Result<Vec<u64>, StoreError> {
        let mut numbers: Vec<u64> = names(&self.dir, &self.red("gen"), ".red/gen")?
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Whether a generation is kept whatever happens.
    pub(crate) fn is_pinned(&self, number: u64) -> bool {
        self.red(format!("pinned/{number}")).exists()
    }

    /// Pins a generation, or lets it go.
    pub(crate) fn pin(&self, number: u64, pinned: bool) -> Result<(), StoreError> {
        if !self.numbers()?.contains(&number) {
            return Err(StoreError::NoGeneration { node: self.path.clone(), number });
        }
        let path = self.red(format!("pinned/{number}"));
        if pinned {
            make_directory(&self.dir, &self.path, ".red/pinned")?;
            self.write_durably(&format!("pinned/{number}"), b"")
        } else {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at(path),
                _ => Ok(()),
            }
        }
    }

    /// Makes what was renamed here durable.
    pub(crate) fn sync_names(&self) -> Result<(), StoreError> {
        let red = openat(&self.dir, RED, DIRECTORY, Mode::empty()).at(self.red(""))?;
        rustix::fs::fsync(&red).at(self.red(""))
    }

    /// Makes everything written to the node's file system durable.
    pub(crate) fn sync_all(&self) -> Result<(), StoreError> {
        rustix::fs::syncfs(&self.dir).at(&self.path)
    }
}

/// Names in a directory; none when it is missing.
pub(crate) fn names(above: impl AsFd, shown: &Path, name: &str) -> Result<Vec<String>, StoreError> {
    let dir = match openat(above, name, DIRECTORY, Mode::empty()) {
        Ok(dir) => dir,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno).at(shown),
    };
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(&dir).at(shown)? {
        let name = entry.at(shown)?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            found.push(name);
        }
    }
    Ok(found)
}

/// Whether a name below a directory is one, without following links.
pub(crate) fn is_directory(dir: impl AsFd, name: &str) -> bool {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
        rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory
    })
}
