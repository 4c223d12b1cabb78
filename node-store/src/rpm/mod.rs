//! rpm itself: its databases, and transactions in the install view.

pub(crate) mod armor;
mod call;
mod check;
mod enter;
mod job;
mod mirror;
mod outside;
mod transact;
mod view;

use std::path::Path;
use std::sync::OnceLock;

pub(crate) use call::{ENTER, Failed, TRANSACT, run};
pub(crate) use check::nevra;
pub(crate) use enter::{look, main as enter};
pub(crate) use job::{Done, Erase, Event, Install, Job, Lower};
pub(crate) use transact::main as transact;
pub(crate) use view::{Findings, ViewError, bench, check as check_place, look_at, probe};

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
