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
}

impl Exit {
    /// Every status with its number and meaning, for the manual.
    pub const ALL: [(Self, u8, &'static str); 3] = [
        (Self::Success, 0, "it did what was asked, and found nothing wrong"),
        (Self::Failure, 1, "it failed, or found something wrong"),
        (Self::Usage, 2, "it was called wrongly"),
    ];

    /// Its number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
