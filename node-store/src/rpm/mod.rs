//! rpm itself: its databases, and transactions in the install view.

pub(crate) mod armor;
mod bounds;
mod call;
mod check;
mod deciding;
mod enter;
mod inside;
mod job;
mod keyring;
mod mirror;
pub(crate) mod openpgp;
mod outside;
mod transact;
mod view;
mod watchdog;

use std::path::Path;
use std::sync::OnceLock;

pub(crate) use bounds::Limits;
pub(crate) use call::{ENTER, Failed, TRANSACT, run};
pub(crate) use check::nevra;
pub(crate) use deciding::Rules;
pub(crate) use enter::{look, main as enter};
pub(crate) use job::{Done, Erase, Event, Install, Job, Lower};
pub(crate) use keyring::{DatabaseKey, contents, stored as stored_keys};
pub(crate) use transact::main as transact;
pub(crate) use view::{Findings, ViewError, bench, check as check_place, look_at, probe};
pub(crate) use watchdog::SECONDS as SCRIPTLET_SECONDS;

/// What rpm said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RpmError {
    /// In librpm's words.
    #[error("rpm: {0}")]
    Library(String),
}

impl From<librpm::Error> for RpmError {
    fn from(error: librpm::Error) -> Self {
        Self::Library(error.to_string())
    }
}

/// Makes `database` the one that is opened next.
pub(crate) fn use_database(database: &Path) -> Result<(), RpmError> {
    read_configuration()?;
    define("_dbpath", &database.display().to_string())
}

/// Reads rpm's own configuration, once a process.
pub(crate) fn read_configuration() -> Result<(), RpmError> {
    static READ: OnceLock<Result<(), String>> = OnceLock::new();
    let read = || {
        librpm::init().map_err(|error| error.to_string())?;
        settle().map_err(|error| error.to_string())
    };
    READ.get_or_init(read).clone().map_err(RpmError::Library)
}

/// Takes from the host's configuration what is not its to decide for nodes.
fn settle() -> Result<(), RpmError> {
    // Plugins (rpm-plugins(8)) are about the running system: SELinux, audit, inhibitors of systemd. `unshare`, which
    // distributions switch on since 4.20, wants a capability that the install view gives up, and fails every scriptlet.
    // The flag of a transaction that leaves them out comes too late: they are loaded with the first lock.
    define("__plugindir", "/nonexistent")?;
    // Keys are in the node's database, where every version of rpm finds them, and a rollback.
    define("_keyring", "rpmdb")
}

/// Sets one of rpm's macros. What expands in it is escaped.
pub(crate) fn define(name: &str, value: &str) -> Result<(), RpmError> {
    let value = value.replace('%', "%%");
    librpm::MacroContext::default().define(&format!("{name} {value}"), 0).map_err(RpmError::from)
}

/// Keys that were agreed to, read.
pub(crate) fn certificates(armored: &[String]) -> Result<Vec<openpgp::Certificate>, Failed> {
    transact::read_keys(armored).map_err(Failed::new)
}

/// Files of packages in a database, none of them when the database is not there.
pub(crate) fn files_of(
    database: &Path,
    nevras: &std::collections::BTreeSet<String>,
) -> Result<Vec<std::path::PathBuf>, RpmError> {
    let mut files = Vec::new();
    if nevras.is_empty() || !has_database(database) {
        return Ok(files);
    }
    use_database(database)?;
    for header in librpm::Db::open()?.installed_packages().filter(|header| nevras.contains(&nevra(header))) {
        files.extend(header.files().iter().map(|file| std::path::PathBuf::from(file.path())));
    }
    Ok(files)
}

/// Whether there is a database in a directory, by the names of its formats.
pub(crate) fn has_database(dir: &Path) -> bool {
    ["rpmdb.sqlite", "Packages.db", "Packages", "data.mdb"].iter().any(|name| dir.join(name).exists())
}

/// Gives an rpm program an environment in which only the system configures it. Aliases and macros of a
/// home directory (popt(3), rpm(8)) turn a query into anything, and run programs.
pub(crate) fn own_environment(command: &mut std::process::Command) {
    let keeps = |name: &str| {
        matches!(name, "PATH" | "LANG" | "LANGUAGE" | "TZ" | "TERM" | "COLUMNS") || name.starts_with("LC_")
    };
    let kept: Vec<_> = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(keeps)).collect();
    command.env_clear().envs(kept).env("HOME", "/nonexistent");
}
