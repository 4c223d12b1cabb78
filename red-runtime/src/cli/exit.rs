//! How the tools end (ENGINES, "Exit status"). Every way out of every tool is one of these.

use std::process::ExitCode;

/// Exit status of a tool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// It did what was asked, and found nothing wrong.
    Success,
    /// It failed, or found something wrong.
    Failure,
    /// It was called wrongly.
    Usage,
    /// A container could not be started, through no fault of its command.
    Launch,
    /// The command is there and cannot be executed.
    CannotInvoke,
    /// The command is not there.
    NotFound,
    /// A process could not enter a container.
    Enter,
    /// The command's own status; 128 + n when signal n ended it.
    Command(u8),
}

impl Exit {
    /// Its number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Launch => 125,
            Self::CannotInvoke => 126,
            Self::NotFound => 127,
            Self::Enter => 255,
            Self::Command(code) => code,
        }
    }
}

/// What a tool's statuses mean, for the manual.
pub type Meanings = &'static [(&'static str, &'static str)];

/// Those of tools that look and check.
pub const OF_TOOLS: Meanings = &[
    ("0", "it did what was asked, and found nothing wrong"),
    ("1", "it failed, or found something wrong"),
    ("2", "it was called wrongly"),
];

/// Those of commands that runc has, too.
pub const OF_RUNTIME: Meanings = &[("0", "it did what was asked"), ("1", "it failed, or was called wrongly")];

/// Those of tools that run a command in the foreground.
pub const OF_LAUNCHES: Meanings = &[
    ("n", "the command's own status"),
    ("128+n", "signal n ended the command"),
    ("125", "the container could not be started"),
    ("126", "the command is there and cannot be executed"),
    ("127", "the command is not there"),
];

/// Those of the tools of `red-wrap`.
pub const OF_WRAP: Meanings = &[("0", "it did what was asked"), ("125", "it failed, or was called wrongly")];

/// Those of `red-wrap enter`.
pub const OF_ENTER: Meanings = &[
    ("n", "the command's own status"),
    ("128+n", "signal n ended the command"),
    ("125", "there is no such container, or it was called wrongly"),
    ("255", "the process could not enter the container"),
];

/// Those of `red-runtime exec`.
pub const OF_EXEC: Meanings = &[
    ("n", "the command's own status"),
    ("128+n", "signal n ended the command"),
    ("255", "the process could not enter the container"),
];

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
