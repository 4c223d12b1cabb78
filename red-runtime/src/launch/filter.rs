//! The standard system call filters of nodes (`sys::filter`), in a launch's words.

use serde::{Deserialize, Serialize};

use super::error::{Doing, LaunchError};
use crate::sys::filter::{self, Who};

/// Which standard filter the processes of a container are under.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", from = "Recorded")]
pub(crate) enum Standard {
    /// None: a plain bundle, or a node that does without.
    #[default]
    None,
    /// That of nodes beside the filter of an engine: no file becomes set-user-ID.
    Node,
    /// The whole filter, of our own launches.
    Whole,
}

/// What records hold; those of earlier versions say only whether it was the whole one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Recorded {
    Earlier(bool),
    Now(Name),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Name {
    None,
    Node,
    Whole,
}

impl From<Recorded> for Standard {
    fn from(recorded: Recorded) -> Self {
        match recorded {
            Recorded::Earlier(false) | Recorded::Now(Name::None) => Self::None,
            Recorded::Now(Name::Node) => Self::Node,
            Recorded::Earlier(true) | Recorded::Now(Name::Whole) => Self::Whole,
        }
    }
}

impl Standard {
    /// That of a node: `wanted` unless its family does without, `own` where no engine launches it. Engines have a
    /// filter of their own, so that on an architecture for which there is none here their nodes start all the same.
    pub(super) fn of_node(wanted: bool, own: bool) -> Self {
        match (wanted, own) {
            (false, _) => Self::None,
            (true, false) if !filter::AVAILABLE => Self::None,
            (true, false) => Self::Node,
            (true, true) => Self::Whole,
        }
    }

    /// Loads the filter. The caller has no_new_privs, or CAP_SYS_ADMIN.
    ///
    /// # Errors
    /// The architecture has no filter yet, or seccomp(2) fails.
    pub(super) fn load(self) -> Result<(), LaunchError> {
        let who = match self {
            Self::None => return Ok(()),
            Self::Node => Who::Node,
            Self::Whole => Who::Command,
        };
        if !filter::AVAILABLE {
            return Err(LaunchError::refused(
                "the standard system call filter",
                "not available for this architecture; `config: {seccomp: Disabled}` does without",
            ));
        }
        filter::load(who).doing(|| "the standard system call filter")
    }
}

#[cfg(test)]
mod tests {
    use super::Standard;

    #[test]
    fn records_of_earlier_versions_are_read() {
        for (text, filter) in [
            ("true", Standard::Whole),
            ("false", Standard::None),
            ("\"none\"", Standard::None),
            ("\"node\"", Standard::Node),
            ("\"whole\"", Standard::Whole),
        ] {
            assert_eq!(serde_json::from_str::<Standard>(text).unwrap(), filter);
            if let Some(name) = text.strip_prefix('"') {
                assert_eq!(serde_json::to_string(&filter).unwrap(), format!("\"{name}"));
            }
        }
        assert!(serde_json::from_str::<Standard>("\"other\"").is_err());
    }
}
