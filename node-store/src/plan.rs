//! What a transaction will do, as data: shown, asked about, executed and kept in the history.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What happens to a package.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Install,
    Upgrade,
    Downgrade,
    Reinstall,
    Remove,
}

impl Action {
    /// The words for it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Upgrade => "upgrade",
            Self::Downgrade => "downgrade",
            Self::Reinstall => "reinstall",
            Self::Remove => "remove",
        }
    }
}

/// One package of a transaction.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Change {
    pub(crate) action: Action,
    pub(crate) name: String,
    /// Epoch (unless 0), version and release.
    pub(crate) evr: String,
    pub(crate) arch: String,
    /// Where it comes from; the repository it came from for what is removed.
    pub(crate) repo: String,
    /// Bytes to fetch.
    pub(crate) download: u64,
    /// Bytes when installed.
    pub(crate) size: u64,
    /// Why.
    pub(crate) reason: String,
    /// Whether somebody asked for it.
    pub(crate) asked: bool,
    /// Packages that it takes the place of, by name, version and architecture.
    pub(crate) replaces: Vec<String>,
    /// It may stand beside another version of itself.
    #[serde(default)]
    pub(crate) beside: bool,
    /// The package file, once it is there.
    #[serde(skip)]
    pub(crate) file: Option<PathBuf>,
    /// Kind and digits of the checksum of that file; none for a file of the command line.
    #[serde(skip)]
    pub(crate) checksum: Option<(String, String)>,
}

impl Change {
    /// Name, version and architecture.
    pub(crate) fn nevra(&self) -> String {
        format!("{}-{}.{}", self.name, self.evr, self.arch)
    }
}

/// Bytes for a person.
pub(crate) fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "it is rounded to one digit anyway")]
    let mut value = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 || unit == "GiB" {
            return if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    String::new()
}
