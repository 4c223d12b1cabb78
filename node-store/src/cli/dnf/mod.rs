//! `red-dnf`: the life of a node.

mod change;
mod doctor;
mod examine;
mod generations;
mod history;
mod manager;
mod query;
mod repos;

pub(super) use change::local;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use red_runtime::cli::exit::Exit;

use super::output;
use super::talk::Person;
use crate::generation::{LockError, Patience, StoreError};
use crate::session::{Choice, Session, SessionError};
use crate::transaction::TransactionError;

/// Install, update and examine the packages of redpak nodes
///
/// Every verb works on the node that `--redpath` names, with its ancestors and the core OS in view:
/// what they have is not installed again, and what a child needs is not taken from its parent. Each
/// change makes a new generation; the node is the old one or the new one at every moment.
#[derive(Debug, Parser)]
#[command(name = "red-dnf", version, propagate_version = true, disable_help_subcommand = true)]
#[command(
    after_help = "Exit status: 0 done, 1 failed, 2 called wrongly, 100 updates are available (red-check-update)."
)]
pub(super) struct Dnf {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

/// Options of every verb.
#[derive(Args, Clone, Debug)]
pub(super) struct Common {
    /// The node
    #[arg(long, alias = "rpath", alias = "rp", value_name = "PATH", global = true)]
    redpath: Option<PathBuf>,
    /// Agree beforehand
    #[arg(short = 'y', long = "assumeyes", global = true)]
    yes: bool,
    /// Show what would be done, and do nothing
    #[arg(long, global = true)]
    assumeno: bool,
    /// Fetch packages, and go no further
    #[arg(long, global = true)]
    downloadonly: bool,
    /// Use the metadata that are here, however old
    #[arg(short = 'C', long = "cacheonly", global = true)]
    cache_only: bool,
    /// Fetch metadata whatever their age
    #[arg(long, global = true)]
    refresh: bool,
    /// Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair::<'='>, global = true)]
    setopt: Vec<(String, String)>,
    /// Use a repository that the node does not have: ID,URL
    #[arg(long, value_name = "ID,URL", value_parser = pair::<','>, global = true)]
    repofrompath: Vec<(String, String)>,
    /// Use a repository that is disabled
    #[arg(long, value_name = "ID", global = true)]
    enablerepo: Vec<String>,
    /// Leave a repository out
    #[arg(long, value_name = "ID", global = true)]
    disablerepo: Vec<String>,
    /// Use repositories of ancestors too
    #[arg(long, global = true)]
    ancestor_repos: bool,
    /// Use repositories of the core OS too
    #[arg(long, global = true)]
    system_repos: bool,
    /// Accept packages without signatures, where no node of the family demands them
    #[arg(long, global = true)]
    nogpgcheck: bool,
    /// What $releasever stands for
    #[arg(long, value_name = "VERSION", global = true)]
    releasever: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// Say less
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Wait this many seconds for another command on the node; for ever when no number is given
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "inf", global = true)]
    wait: Option<String>,
    /// Move descendants along whose requirements would break
    #[arg(long, global = true)]
    with_descendants: bool,
    /// Remove packages of the node where nothing else goes
    #[arg(long, global = true)]
    allowerasing: bool,
    /// Let packages bring this file although it decides for the node (repositories, keys,
    /// configuration); PATH/ stands for everything below it
    #[arg(long, value_name = "PATH", global = true)]
    allow_file: Vec<String>,
    /// The newest version or none
    #[arg(long, global = true)]
    best: bool,
}

/// Parses `A=B` or `A,B`.
fn pair<const SEPARATOR: char>(text: &str) -> Result<(String, String), String> {
    match text.split_once(SEPARATOR) {
        Some((one, other)) if !one.is_empty() => Ok((one.trim().to_owned(), other.trim().to_owned())),
        _ => Err(format!("two parts with `{SEPARATOR}` between them are wanted")),
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a node, or give it repositories
    #[command(name = "red-manager", alias = "manager")]
    Manager(manager::Args),
    /// Find packages by words in name and summary
    #[command(name = "red-search", alias = "search")]
    Search(query::SearchArgs),
    /// Show what is known of packages
    #[command(name = "red-info", alias = "info")]
    Info(query::NamesArgs),
    /// List packages
    #[command(name = "red-list", alias = "list")]
    List(query::ListArgs),
    /// List repositories
    #[command(name = "red-repolist", alias = "repolist")]
    Repolist(repos::ListArgs),
    /// Ask for packages and their dependencies
    #[command(name = "red-repoquery", alias = "repoquery")]
    Repoquery(query::RepoqueryArgs),
    /// Find which packages provide something
    #[command(name = "red-provides", alias = "provides", alias = "whatprovides")]
    Provides(query::NamesArgs),
    /// Fetch metadata
    #[command(name = "red-makecache", alias = "makecache")]
    Makecache,
    /// Remove what was fetched
    #[command(name = "red-clean", alias = "clean")]
    Clean(repos::CleanArgs),
    /// Install packages, by name, version, what they provide, or file
    #[command(name = "red-install", alias = "install")]
    Install(change::Packages),
    /// Remove packages, and what only they needed
    #[command(name = "red-remove", alias = "remove", alias = "erase")]
    Remove(change::Packages),
    /// Update packages; all of the node when none is named
    #[command(name = "red-update", alias = "update", alias = "red-upgrade", alias = "upgrade")]
    Update(change::MaybePackages),
    /// Go back to older versions of packages
    #[command(name = "red-downgrade", alias = "downgrade")]
    Downgrade(change::Packages),
    /// Install the same versions again
    #[command(name = "red-reinstall", alias = "reinstall")]
    Reinstall(change::Packages),
    /// Fetch package files into the working directory
    #[command(name = "red-download", alias = "download")]
    Download(change::Packages),
    /// Remove packages that nobody asked for and nothing needs
    #[command(name = "red-autoremove", alias = "autoremove")]
    Autoremove,
    /// Say whether updates are available (exit status 100)
    #[command(name = "red-check-update", alias = "check-update")]
    CheckUpdate(change::MaybePackages),
    /// Show what was done, or undo it
    #[command(name = "red-history", alias = "history")]
    History(history::Args),
    /// Go back to a generation; to what was current before when no number is given
    #[command(name = "red-rollback", alias = "rollback")]
    Rollback(history::RollbackArgs),
    /// List, pin and collect generations
    #[command(name = "red-generations", alias = "generations")]
    Generations(generations::Args),
    /// Check that everything a tree of nodes needs is there
    #[command(name = "red-check", alias = "check")]
    Check(examine::CheckArgs),
    /// Check whether packages can be installed at a place: a node, or a directory for nodes
    #[command(name = "red-doctor", alias = "doctor")]
    Doctor,
    /// Say why a package is installed
    #[command(name = "red-why", alias = "why")]
    Why(examine::WhyArgs),
    /// Solve a test case of libsolv and print the answer
    #[command(name = "red-testcase", alias = "testcase", hide = true)]
    Testcase(examine::TestcaseArgs),
}

impl Verb {
    /// Whether it shows a node as it is. All others complete what was interrupted, or have nothing to do with it.
    fn looks(&self) -> bool {
        match self {
            Self::Search(_)
            | Self::Info(_)
            | Self::List(_)
            | Self::Repoquery(_)
            | Self::Provides(_)
            | Self::CheckUpdate(_)
            | Self::Download(_)
            | Self::Why(_) => true,
            Self::History(args) => args.looks(),
            Self::Generations(args) => args.looks(),
            _ => false,
        }
    }
}

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DnfError {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
    #[error("--redpath=PATH is missing: it names the node")]
    NoRedpath,
    #[error("{0}")]
    Create(String),
    /// Something that was asked for is not there.
    #[error("{0}")]
    Nothing(String),
}

impl Common {
    pub(super) fn redpath(&self) -> Result<&std::path::Path, DnfError> {
        self.redpath.as_deref().ok_or(DnfError::NoRedpath)
    }

    fn choice(&self) -> Choice {
        let on = self.enablerepo.iter().map(|id| (id.clone(), true));
        let off = self.disablerepo.iter().map(|id| (id.clone(), false));
        Choice {
            cache_only: self.cache_only,
            refresh: self.refresh,
            options: self.setopt.clone(),
            from_path: self.repofrompath.clone(),
            // What is enabled by name stays so when all others are left out.
            switches: off.chain(on).collect(),
            of_ancestors: self.ancestor_repos,
            of_core: self.system_repos,
            releasever: self.releasever.clone(),
            no_gpgcheck: self.nogpgcheck,
        }
    }

    fn session(&self) -> Result<Session, DnfError> {
        Ok(Session::open(self.redpath()?, self.choice())?)
    }

    pub(super) fn patience(&self) -> Result<Patience, DnfError> {
        match self.wait.as_deref() {
            None | Some("inf") => Ok(Patience::Forever),
            Some(seconds) => match seconds.parse::<u32>() {
                Ok(seconds) => Ok(Patience::For(Duration::from_secs(seconds.into()))),
                Err(_) => Err(DnfError::Nothing(format!("--wait={seconds}: a number of seconds is wanted"))),
            },
        }
    }

    pub(super) fn person(&self) -> Person {
        Person::new(self.yes, self.quiet, self.json)
    }
}

/// Runs a verb.
pub(super) fn run(call: &Dnf, args: &[OsString]) -> Exit {
    let common = &call.common;
    let command: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    if call.verb.looks()
        && let Some(redpath) = &common.redpath
    {
        crate::generation::interrupted_above(redpath).iter().for_each(|line| output::say(line));
    }
    let result = match &call.verb {
        Verb::Manager(args) => manager::run(common, args),
        Verb::Search(args) => query::search(common, args),
        Verb::Info(args) => query::info(common, args),
        Verb::List(args) => query::list(common, args),
        Verb::Repolist(args) => repos::list(common, args),
        Verb::Repoquery(args) => query::repoquery(common, args),
        Verb::Provides(args) => query::provides(common, args),
        Verb::Makecache => repos::makecache(common),
        Verb::Clean(args) => repos::clean(common, args),
        Verb::Install(args) => change::install(common, args, &command),
        Verb::Remove(args) => change::remove(common, args, &command),
        Verb::Update(args) => change::update(common, args, &command),
        Verb::Downgrade(args) => change::downgrade(common, args, &command),
        Verb::Reinstall(args) => change::reinstall(common, args, &command),
        Verb::Download(args) => change::download(common, args),
        Verb::Autoremove => change::autoremove(common, &command),
        Verb::CheckUpdate(args) => query::check_update(common, args),
        Verb::History(args) => history::run(common, args, &command),
        Verb::Rollback(args) => history::rollback(common, args, &command),
        Verb::Generations(args) => generations::run(common, args),
        Verb::Check(args) => examine::check(common, args),
        Verb::Doctor => doctor::run(common),
        Verb::Why(args) => examine::why(common, args),
        Verb::Testcase(args) => examine::testcase(args),
    };
    match result {
        Ok(exit) => exit,
        Err(error) => {
            let shown = format!("red-dnf: {error}");
            if common.json {
                drop(output::json(&serde_json::json!({"error": error.to_string()})));
            }
            output::say(&shown);
            if let Some(redpath) = common.redpath.as_deref().and_then(|path| std::fs::canonicalize(path).ok())
            {
                crate::generation::lost_above(&redpath).iter().for_each(|line| output::say(line));
            }
            if matches!(error, DnfError::NoRedpath) { Exit::Usage } else { Exit::Failure }
        }
    }
}
