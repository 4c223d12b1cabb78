//! Why a container does not start, is not found, or does not end.

use std::io;

use rustix::io::Errno;

use crate::node::place::plain;

/// Why an operation on a container failed.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The kernel refused. The words never say "no such file or directory", from which podman
    /// would take it that the command is missing.
    #[error("{what}: {}", plain(*.errno))]
    Call {
        /// What was done, and to what.
        what: String,
        /// Why not.
        errno: Errno,
    },
    /// The configuration asks for something that cannot be, or is not done.
    #[error("{what}: {why}")]
    Refused {
        /// The entry.
        what: String,
        /// Why.
        why: String,
    },
    /// There is no such command. The words are those engines look for.
    #[error("{}", missing(.program))]
    CommandMissing {
        /// What was asked for.
        program: String,
    },
    /// The command is there and cannot be executed. The words are those engines look for.
    #[error("cannot execute `{program}`: {reason}")]
    CommandRefused {
        /// What was asked for.
        program: String,
        /// Why; as the C library says it.
        reason: String,
    },
    /// What the process inside said before it gave up.
    #[error("{0}")]
    Inside(String),
    /// It ended without a word.
    #[error("the container's first process ended during {0}; memory limits are the usual reason")]
    Died(&'static str),
    /// It ended without a word, and how is known.
    #[error("the container's first process {how}")]
    Ended {
        /// How.
        how: String,
    },
    /// It does not answer.
    #[error(
        "the container's first process did not answer within {seconds} s and was ended; a mount source on a \
         server or a FUSE file system that does not answer is the usual reason"
    )]
    Silent {
        /// How long it was waited for.
        seconds: u64,
    },
    /// Somebody wanted it to end while it was waited for.
    #[error("{what} took so long that a signal came, and was ended; nothing of it is left")]
    Interrupted {
        /// What was waited for.
        what: String,
    },
    /// There is no such container.
    #[error("container `{id}` does not exist")]
    Unknown {
        /// Its name.
        id: String,
    },
    /// The name is taken.
    #[error("container `{id}` exists already; `red-runtime delete {id}` removes it once it has stopped")]
    Exists {
        /// Its name.
        id: String,
    },
    /// Another command works on it.
    #[error("container `{id}` is being worked on by another red-runtime (pid {holder})")]
    Busy {
        /// Its name.
        id: String,
        /// Who.
        holder: i32,
    },
    /// It is in the wrong state.
    #[error("container `{id}` is {status}, and cannot be {verb}")]
    State {
        /// Its name.
        id: String,
        /// What it is.
        status: &'static str,
        /// What was to be done.
        verb: &'static str,
    },
    /// There is nothing to send a signal to. The words are those engines look for.
    #[error("container `{id}`: container not running")]
    NotRunning {
        /// Its name.
        id: String,
    },
    /// Its record cannot be read.
    #[error(
        "the record of container `{id}` is damaged ({why}); `red-runtime delete --force {id}` removes it"
    )]
    Damaged {
        /// Its name.
        id: String,
        /// How.
        why: String,
    },
    /// The cgroup is somebody else's.
    #[error("cgroup {path}: another container is being made in it")]
    CgroupTaken {
        /// Which.
        path: String,
    },
    /// A cgroup operation failed.
    #[error("cgroup {path}: {why}")]
    Cgroup {
        /// Which.
        path: String,
        /// Why.
        why: String,
    },
    /// A file could not be understood.
    #[error("{path}: {source}")]
    Json {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A hook of the configuration failed.
    #[error("{kind} hook {path}: {why}")]
    Hook {
        /// Of which kind.
        kind: &'static str,
        /// Its program.
        path: String,
        /// How.
        why: String,
    },
}

/// How an error that was said inside is told apart outside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Ours, or the configuration's.
    Launch,
    /// The command is there and cannot be executed.
    CannotInvoke,
    /// The command is not there.
    NotFound,
}

impl LaunchError {
    /// What chroot(1), env(1) and podman tell apart by exit status.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::CommandMissing { .. } => Fault::NotFound,
            Self::CommandRefused { .. } => Fault::CannotInvoke,
            _ => Fault::Launch,
        }
    }

    /// A refusal.
    pub(crate) fn refused(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), why: why.into() }
    }
}

/// Words for a command that is not there. One with a slash is not looked for in `$PATH` (execvp(3)).
fn missing(program: &str) -> String {
    if program.contains('/') {
        format!("executable file not found: `{program}`: no such file or directory")
    } else {
        format!("executable file not found in $PATH inside: `{program}`")
    }
}

/// Adds what was done to what the kernel said.
pub(super) trait Doing<T> {
    /// With the words for what was done, made only when it failed.
    fn doing<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, LaunchError>;
}

impl<T> Doing<T> for rustix::io::Result<T> {
    fn doing<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, LaunchError> {
        self.map_err(|errno| match errno {
            // What a wait says that a signal has ended.
            Errno::CANCELED => LaunchError::Interrupted { what: what().into() },
            errno => LaunchError::Call { what: what().into(), errno },
        })
    }
}

impl<T> Doing<T> for io::Result<T> {
    fn doing<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, LaunchError> {
        self.map_err(|error| LaunchError::Call {
            what: what().into(),
            errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        })
    }
}

/// For a step on the way out of something that has failed or ended: whether it works changes
/// nothing that is told.
pub(super) fn tried<T, E>(_result: Result<T, E>) {}
