//! Why something was not done, and the code that containerd is told.

use std::io;
use std::path::{Path, PathBuf};

use containerd_shim_protos::ttrpc;
use rustix::io::Errno;
use ttrpc::Code;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line.
    #[error("{0}")]
    Usage(String),
    /// What containerd sent is not what it should be.
    #[error("{0}")]
    Invalid(String),
    /// There is no such container or process.
    #[error("{0}")]
    Unknown(String),
    /// There is one of that name.
    #[error("{0}")]
    Exists(String),
    /// Not in this state.
    #[error("{0}")]
    State(String),
    /// It is not done.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// The runtime failed; in its words.
    #[error("OCI runtime {verb} failed: {words}")]
    Runtime {
        /// Subcommand of the runtime.
        verb: &'static str,
        /// What it said.
        words: String,
    },
    /// A call of the system.
    #[error("{what}: {source}")]
    Call {
        /// What was to be done, with its path.
        what: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// A message that is not one.
    #[error("{what}: {source}")]
    Message {
        /// Which.
        what: &'static str,
        /// Why not.
        source: containerd_shim_protos::protobuf::Error,
    },
    /// JSON that is none.
    #[error("{what}: {source}")]
    Json {
        /// Which.
        what: String,
        /// Why not.
        source: serde_json::Error,
    },
}

impl Error {
    /// The status that says so over ttrpc.
    fn code(&self) -> Code {
        match self {
            Self::Usage(_) | Self::Invalid(_) | Self::Message { .. } | Self::Json { .. } => {
                Code::INVALID_ARGUMENT
            }
            Self::Unknown(_) => Code::NOT_FOUND,
            Self::Exists(_) => Code::ALREADY_EXISTS,
            Self::State(_) => Code::FAILED_PRECONDITION,
            Self::Unsupported(_) => Code::UNIMPLEMENTED,
            Self::Runtime { words, .. } => exhausted(words),
            Self::Call { source, .. } => match Errno::from_io_error(source) {
                Some(Errno::NOSPC | Errno::MFILE | Errno::NFILE | Errno::AGAIN | Errno::NOMEM) => {
                    Code::RESOURCE_EXHAUSTED
                }
                _ => Code::UNKNOWN,
            },
        }
    }
}

/// The runtime names the error of the kernel in parentheses.
fn exhausted(words: &str) -> Code {
    let full = ["(ENOSPC)", "(EMFILE)", "(ENFILE)", "(EAGAIN)", "(ENOMEM)"];
    if full.iter().any(|name| words.contains(name)) { Code::RESOURCE_EXHAUSTED } else { Code::UNKNOWN }
}

impl From<Error> for ttrpc::Error {
    fn from(error: Error) -> Self {
        Self::RpcStatus(ttrpc::get_status(error.code(), error))
    }
}

/// Names what was to be done.
pub(crate) trait Doing<T> {
    /// With a path or another word.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error>;

    /// With a path.
    fn at(self, what: &str, path: &Path) -> Result<T, Error>
    where
        Self: Sized,
    {
        self.doing(|| format!("{what} {}", path.display()))
    }
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|error| Error::Call { what: what(), source: error.into() })
    }
}

/// For what is tried and changes nothing when it fails; whoever calls it says why.
pub(crate) fn tried<T, E>(_result: Result<T, E>) {}

/// Reads a file, which is not longer than `limit` bytes.
///
/// # Errors
/// It cannot be read, or is longer.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).at("cannot read", path)?;
    file.take(limit + 1).read_to_end(&mut bytes).at("cannot read", path)?;
    if bytes.len() as u64 > limit {
        return Err(Error::Invalid(format!("{} is longer than {limit} bytes", path.display())));
    }
    Ok(bytes)
}

/// A path below a bundle, whose own path comes from containerd.
pub(crate) fn bundle_path(bundle: &str) -> Result<PathBuf, Error> {
    let path = PathBuf::from(bundle);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(Error::Invalid(format!("bundle `{bundle}` is not absolute")))
    }
}
