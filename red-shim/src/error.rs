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
            Self::Io { source, .. } => match Errno::from_io_error(source) {
                Some(Errno::NOSPC | Errno::MFILE | Errno::NFILE | Errno::AGAIN | Errno::NOMEM) => {
                    Code::RESOURCE_EXHAUSTED
                }
                _ => Code::UNKNOWN,
            },
        }
    }
}

/// Status code of a runtime error, whose message has the errno's name in parentheses.
fn runtime_code(message: &str) -> Code {
    let exhausted = ["(ENOSPC)", "(EMFILE)", "(ENFILE)", "(EAGAIN)", "(ENOMEM)"];
    if exhausted.iter().any(|name| message.contains(name)) { Code::RESOURCE_EXHAUSTED } else { Code::UNKNOWN }
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
