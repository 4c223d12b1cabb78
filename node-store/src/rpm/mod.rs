//! rpm itself: its databases, and transactions in the install view.

pub(crate) mod armor;
pub(crate) mod binding;
mod bounds;
mod call;
mod check;
pub(crate) mod database;
mod deciding;
mod enter;
mod fuzz;
mod inside;
mod job;
mod keyring;
mod mirror;
pub(crate) mod openpgp;
mod outside;
pub(crate) mod public_key;
mod texts;
mod transact;
mod trust;
pub(crate) mod validity;
mod view;
mod watchdog;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

pub(crate) use bounds::Limits;
pub(crate) use call::{ENTER, Failed, TRANSACT, run};
pub(crate) use check::PACKAGE_BYTES;
pub(crate) use database::{Believed, Planned, Unread, has_database};
pub(crate) use deciding::Rules;
pub(crate) use enter::{look, main as enter};
pub(crate) use fuzz::{fuzz_header, fuzz_keys};
pub(crate) use job::{Done, Erase, Event, Install, Job, Lower};
pub(crate) use outside::{disarm, strangers};
pub(crate) use texts::{Listed, is_text, nevra};
pub(crate) use transact::main as transact;
pub(crate) use trust::{Keys, TrustList, TrustedKey, is_agreed};
pub(crate) use view::{Findings, ViewError, bench, check as check_place, look_at, probe};
pub(crate) use watchdog::SECONDS as SCRIPTLET_SECONDS;

/// What rpm said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RpmError {
    /// In librpm's words.
    #[error("rpm: {0}")]
    Library(String),
    /// A database that is not rpm's own work.
    #[error(
        "{owner}: rpm's database in {path} is not believed: {why}; nothing is read from it, and `red-rollback` goes back \
         to a generation before it (a node that has none is to be made anew, or its database restored)"
    )]
    Database {
        /// Whose it is.
        owner: String,
        /// Where it is.
        path: std::path::PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// One whose copy there is no room for.
    #[error("{owner}: rpm's database in {path} cannot be copied: {why}")]
    Room {
        /// Whose it is.
        owner: String,
        /// Where it is.
        path: std::path::PathBuf,
        /// Why, at each place that was tried.
        why: String,
    },
    /// The same, where the caller may not read it.
    #[error(
        "{path}: Permission denied: it says whose signatures count below that node; its owner opens it with \
         `chmod 644` (and directories above it with `chmod 755`)"
    )]
    Closed {
        /// Where it is.
        path: std::path::PathBuf,
    },
    /// The record of a generation, which says whose signatures count.
    #[error("{path}: not a valid record of a generation: {why}; `red-rollback` leads to another")]
    Record {
        /// Where it is.
        path: std::path::PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl From<librpm::Error> for RpmError {
    fn from(error: librpm::Error) -> Self {
        Self::Library(error.to_string())
    }
}

/// The directory of the database that is opened next, where rpm knows it by its descriptor: it opens it again by that name
/// whenever it likes.
static OPEN: Mutex<Option<File>> = Mutex::new(None);

/// Makes `database` the one that is opened next.
pub(crate) fn use_database(database: &Believed) -> Result<(), RpmError> {
    read_configuration()?;
    let shown = database.path().display().to_string();
    let failed = |error: &dyn std::fmt::Display| RpmError::Library(format!("{shown}: {error}"));
    let dir = (!is_plain(database.path())).then(|| File::open(database.path())).transpose();
    let dir = dir.map_err(|error| failed(&error))?;
    match &dir {
        None => define("_dbpath", &shown)?,
        Some(dir) => define("_dbpath", &format!("/proc/self/fd/{}", dir.as_raw_fd()))?,
    }
    // The one before is closed only now that nothing is opened by its name any more.
    *OPEN.lock().map_err(|error| failed(&error))? = dir;
    Ok(())
}

/// Whether rpm takes a path for what it is. It expands macros in it more than once, and `%(…)` of a directory's name would
/// run a program; a backslash is gone afterwards, and another database is opened.
pub(crate) fn is_plain(path: &Path) -> bool {
    path.as_os_str().as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"/._+-".contains(byte))
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
    // Directories that the host shares with other machines (rpm leaves files there out) are none of the node's: this is no
    // path, and nothing is below it.
    define("_netsharedpath", "-")?;
    // A node has what its packages have, on every host: documentation is left out where the transaction says so.
    define("_excludedocs", "0")?;
    define("_install_langs", "all")?;
    // Keys are in the node's database, where every version of rpm finds them, and a rollback.
    define("_keyring", "rpmdb")
}

/// Whether rpm's configuration on this machine demands signatures of every package (`%_pkgverify_level`). Options of dnf
/// strengthen that and never weaken it (dnf.conf(5), `gpgcheck`).
pub(crate) fn demands_signatures() -> bool {
    static DEMANDS: OnceLock<bool> = OnceLock::new();
    let read = || {
        read_configuration()?;
        let level = librpm::MacroContext::default().expand("%{?_pkgverify_level}")?;
        Ok::<_, RpmError>(matches!(level.trim(), "signature" | "all"))
    };
    // What cannot be read lifts nothing.
    *DEMANDS.get_or_init(|| read().unwrap_or(true))
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

/// Gives an rpm program an environment in which only the system configures it. Aliases and macros of a
/// home directory (popt(3), rpm(8)) turn a query into anything, and run programs.
pub(crate) fn own_environment(command: &mut std::process::Command) {
    let keeps = |name: &str| {
        matches!(name, "PATH" | "LANG" | "LANGUAGE" | "TZ" | "TERM" | "COLUMNS") || name.starts_with("LC_")
    };
    let kept: Vec<_> = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(keeps)).collect();
    command.env_clear().envs(kept).env("HOME", "/nonexistent");
}
