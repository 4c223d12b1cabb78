//! Errors of the shim, and the gRPC status codes that they map to.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::ttrpc;
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use ttrpc::Code;

/// An error of the shim.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Invalid command line.
    #[error("{0}")]
    Usage(String),
    /// Invalid request or bundle.
    #[error("{0}")]
    Invalid(String),
    /// No such container or process.
    #[error("{0}")]
    NotFound(String),
    /// The container ID or exec ID is in use.
    #[error("{0}")]
    AlreadyExists(String),
    /// Not possible in the current state.
    #[error("{0}")]
    FailedPrecondition(String),
    /// Unsupported option or operation.
    #[error("unsupported {0}")]
    Unsupported(&'static str),
    /// The runtime exited with an error. containerd and go-runc use the same phrase.
    #[error("OCI runtime {subcommand} failed: {message}")]
    Runtime {
        /// Subcommand of the runtime.
        subcommand: &'static str,
        /// Last error message of the runtime.
        message: String,
    },
    /// The runtime was killed by SIGKILL, which it never sends to itself.
    #[error(
        "OCI runtime {subcommand} failed: {program} was killed by SIGKILL; the OOM killer is the usual reason: see \
         the kernel log, and memory limits of the cgroup of containerd"
    )]
    Killed {
        /// Subcommand of the runtime.
        subcommand: &'static str,
        /// Name of the runtime's binary.
        program: String,
    },
    /// A failed system call.
    #[error("{context}: {source}")]
    Io {
        /// The failed operation, with its path.
        context: String,
        /// The error of the system call.
        source: io::Error,
    },
    /// A protobuf message that cannot be encoded or decoded.
    #[error("{context}: {source}")]
    Protobuf {
        /// Name of the message.
        context: &'static str,
        /// The codec's error.
        source: containerd_shim_protos::protobuf::Error,
    },
    /// JSON that cannot be encoded or decoded.
    #[error("{context}: {source}")]
    Json {
        /// Path of the file, or name of the value.
        context: String,
        /// The codec's error.
        source: serde_json::Error,
    },
}

impl Error {
    /// gRPC status code of the error.
    fn code(&self) -> Code {
        match self {
            Self::Usage(_) | Self::Invalid(_) | Self::Protobuf { .. } | Self::Json { .. } => {
                Code::INVALID_ARGUMENT
            }
            Self::NotFound(_) => Code::NOT_FOUND,
            Self::AlreadyExists(_) => Code::ALREADY_EXISTS,
            Self::FailedPrecondition(_) => Code::FAILED_PRECONDITION,
            Self::Unsupported(_) => Code::UNIMPLEMENTED,
            Self::Runtime { message, .. } => runtime_code(message),
            Self::Killed { .. } => Code::RESOURCE_EXHAUSTED,
            Self::Io { source, .. } if is_exhausted(source) => Code::RESOURCE_EXHAUSTED,
            Self::Io { .. } => Code::UNKNOWN,
        }
    }
}

/// Errors of a reached limit: disk space, quota, file descriptors, processes, memory.
const EXHAUSTED: [Errno; 6] =
    [Errno::NOSPC, Errno::DQUOT, Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOMEM];

/// Whether the error is that of a reached limit.
#[must_use]
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| EXHAUSTED.contains(&errno))
}

/// Status code of a runtime error. red-runtime's messages have the number of the errno, as Rust formats it; runc's have
/// the words of Go.
pub(crate) fn runtime_code(message: &str) -> Code {
    let words = [
        "no space left on device",
        "disk quota exceeded",
        "too many open files",
        "resource temporarily unavailable",
        "cannot allocate memory",
    ];
    let has_number = |errno: &Errno| message.contains(&format!("(os error {})", errno.raw_os_error()));
    if EXHAUSTED.iter().any(has_number) || words.iter().any(|words| message.contains(words)) {
        Code::RESOURCE_EXHAUSTED
    } else {
        Code::UNKNOWN
    }
}

impl From<Error> for ttrpc::Error {
    fn from(error: Error) -> Self {
        Self::RpcStatus(ttrpc::get_status(error.code(), error))
    }
}

/// Adds the failed operation to an I/O error.
pub(crate) trait Context<T> {
    /// Adds the name of the operation.
    fn context(self, context: impl FnOnce() -> String) -> Result<T, Error>;

    /// Adds the name of the operation and its path.
    fn path_context(self, action: &str, path: &Path) -> Result<T, Error>
    where
        Self: Sized,
    {
        self.context(|| format!("{action} {}", path.display()))
    }
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, context: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|error| Error::Io { context: context(), source: error.into() })
    }
}

/// Encodes a protobuf message; `name` is its name in errors.
///
/// # Errors
/// A required field is missing, or the message is too large.
pub(crate) fn encode(message: &impl Message, name: &'static str) -> Result<Vec<u8>, Error> {
    message.write_to_bytes().map_err(|source| Error::Protobuf { context: name, source })
}

/// Decodes a protobuf message; `name` is its name in errors.
///
/// # Errors
/// The bytes are not a valid message.
pub(crate) fn decode<M: Message>(bytes: &[u8], name: &'static str) -> Result<M, Error> {
    M::parse_from_bytes(bytes).map_err(|source| Error::Protobuf { context: name, source })
}

/// Decodes JSON; `context` is the path of its file or its name in errors.
///
/// # Errors
/// The bytes are not valid JSON, or not of this type.
pub(crate) fn decode_json<T: DeserializeOwned>(bytes: &[u8], context: impl Display) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|source| Error::Json { context: context.to_string(), source })
}

/// Ignores the result of a best-effort operation; the caller's comment says why that is safe.
pub(crate) fn best_effort<T, E>(_result: Result<T, E>) {}

/// Bundle directory from a request.
///
/// # Errors
/// [`Error::Invalid`] if the path is not absolute.
pub(crate) fn bundle_path(bundle: &str) -> Result<PathBuf, Error> {
    let path = PathBuf::from(bundle);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(Error::Invalid(format!("invalid bundle path `{bundle}`: not absolute")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reached_limits_are_told_from_other_errors() {
        for message in [
            "lock of container `a`: No space left on device (os error 28)",
            "new namespaces: Resource temporarily unavailable (os error 11) (the limit on processes is reached)",
            "runc create failed: unable to start container process: fork/exec: resource temporarily unavailable",
        ] {
            assert_eq!(runtime_code(message), Code::RESOURCE_EXHAUSTED, "{message}");
        }
        for message in ["node: missing (ENOENT)", "x: File exists (os error 17)", "(os error 280)", ""] {
            assert_eq!(runtime_code(message), Code::UNKNOWN, "{message}");
        }
        let code = |errno: Errno| Error::Io { context: "x".into(), source: errno.into() }.code();
        assert_eq!(code(Errno::DQUOT), Code::RESOURCE_EXHAUSTED);
        assert_eq!(code(Errno::PERM), Code::UNKNOWN);
    }
}
