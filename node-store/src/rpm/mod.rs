//! rpm itself: its databases, and transactions in the install view.

pub(crate) mod armor;
mod call;
mod check;
mod deciding;
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
pub(crate) use deciding::Rules;
pub(crate) use enter::{look, main as enter};
pub(crate) use job::{Done, Erase, Event, Install, Job, Lower};
pub(crate) use transact::main as transact;

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

/// A key in a database.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct DatabaseKey {
    /// As rpm lists it, `gpg-pubkey-VERSION-RELEASE`.
    pub(crate) name: String,
    armored: String,
}

impl DatabaseKey {
    /// Whether it is one of these keys.
    pub(crate) fn is_one_of(&self, packets: &[Vec<u8>]) -> bool {
        let mut own = armor::keys(self.armored.as_bytes()).into_iter().peekable();
        own.peek().is_some() && own.all(|key| packets.contains(&key))
    }
}

/// The keys of a database.
pub(crate) fn keys(database: &Path) -> Result<std::collections::BTreeSet<DatabaseKey>, RpmError> {
    if !has_database(database) {
        return Ok(std::collections::BTreeSet::new());
    }
    use_database(database)?;
    let keys = librpm::Db::open()?.find(librpm::db::Index::Name, "gpg-pubkey");
    let key = |key: librpm::PackageHeader| DatabaseKey {
        name: format!("gpg-pubkey-{}-{}", key.version(), key.release()),
        armored: key.description().to_owned(),
    };
    Ok(keys.map(key).collect())
}

/// The packets of armored key files.
pub(crate) fn key_files(paths: &[std::path::PathBuf]) -> Result<Vec<Vec<u8>>, Failed> {
    transact::read_keys(paths).map_err(Failed::new)
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
