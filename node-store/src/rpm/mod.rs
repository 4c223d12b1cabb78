//! rpm itself: its databases, and transactions in the install view.

pub(crate) mod armor;
mod call;
mod check;
mod enter;
mod inside;
mod job;
mod mirror;
mod outside;
mod transact;
mod view;
mod watchdog;

use std::path::Path;
use std::sync::OnceLock;

pub(crate) use call::{ENTER, Failed, TRANSACT, run};
pub(crate) use check::nevra;
pub(crate) use enter::{look, main as enter};
pub(crate) use job::{Done, Erase, Event, Install, Job, Lower};
pub(crate) use transact::main as transact;
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

/// Reads rpm's own configuration, once a process, and makes `database` the one that is opened next.
pub(crate) fn use_database(database: &Path) -> Result<(), RpmError> {
    static READ: OnceLock<Result<(), String>> = OnceLock::new();
    READ.get_or_init(|| librpm::init().map_err(|error| error.to_string()))
        .clone()
        .map_err(RpmError::Library)?;
    define("_dbpath", &database.display().to_string())
}

/// Sets one of rpm's macros. What expands in it is escaped.
pub(crate) fn define(name: &str, value: &str) -> Result<(), RpmError> {
    let value = value.replace('%', "%%");
    librpm::MacroContext::default().define(&format!("{name} {value}"), 0).map_err(RpmError::from)
}

/// The last eight digits of the ids of a database's keys.
pub(crate) fn key_ids(database: &Path) -> Result<Vec<String>, RpmError> {
    if !has_database(database) {
        return Ok(Vec::new());
    }
    use_database(database)?;
    let keys = librpm::Db::open()?.find(librpm::db::Index::Name, "gpg-pubkey");
    Ok(keys.map(|key| key.version().to_owned()).collect())
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
