//! Verbs that change what is installed.

use std::path::{Path, PathBuf};

use red_runtime::cli::exit::Exit;

use super::{Common, DnfError};
use crate::cli::output;
use crate::history::About;
use crate::plan::Action;
use crate::repo::{Settings, Wanted, state_of};
use crate::session::{Session, SessionError};
use crate::solve::ffi::{Id, selection};
use crate::solve::{Ask, Packages as Pool, Wish, solve};
use crate::transaction::{self, End, How, Talk, TransactionError};

#[derive(Debug, clap::Args)]
pub(super) struct Packages {
    /// Packages
    #[arg(required = true, value_name = "PACKAGE")]
    names: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct MaybePackages {
    /// Packages
    #[arg(value_name = "PACKAGE")]
    pub(super) names: Vec<String>,
}

/// Everything that is the same whichever verb.
pub(super) fn how(
    common: &Common,
    session_options: &[(String, String)],
    command: &[String],
) -> Result<How, DnfError> {
    let settings = Settings::load(common.redpath()?, session_options).map_err(SessionError::from)?;
    let flags = settings.list("tsflags");
    let flag = |name: &str| flags.iter().any(|flag| flag == name);
    Ok(How {
        patience: common.patience()?,
        with_descendants: common.with_descendants,
        download_only: common.downloadonly,
        assume_no: common.assumeno,
        scriptlets: !flag("noscripts"),
        documentation: !flag("nodocs"),
        test: flag("test"),
        allowed: common.allow_file.clone(),
        command: command.to_vec(),
    })
}

/// An [`Ask`] with what the command line and the node's settings say.
pub(super) fn ask(common: &Common, session: &Session, about: &About, wish: Wish, names: &[String]) -> Ask {
    let mut ask = Ask::new(wish, names.to_vec());
    ask.about = about.clone();
    ask.weak = session.settings.on("install_weak_deps", true);
    ask.vendor_change = session.settings.on("allow_vendor_change", true);
    ask.clean = session.settings.on("clean_requirements_on_remove", true);
    ask.best = common.best || session.settings.on("best", false);
    ask.allow_erasing = common.allowerasing;
    ask.multiversion = session.settings.list("installonlypkgs");
    ask
}

fn run(common: &Common, wish: Wish, names: &[String], command: &[String]) -> Result<Exit, DnfError> {
    let how = how(common, &common.setopt, command)?;
    let mut person = common.person();
    let mut make = |session: &Session, packages: &mut Pool, about: &About| {
        let (files, names): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| is_file(name));
        let names: Vec<String> = names.into_iter().cloned().collect();
        let mut ask = ask(common, session, about, wish.clone(), &names);
        ask.exact = local(packages, &files)?;
        Ok(ask)
    };
    let end = transaction::run(common.redpath()?, common.choice(), &how, &mut make, &mut person)?;
    tell(&end, &mut person);
    Ok(if end == End::Declined && !common.assumeno { Exit::Failure } else { Exit::Success })
}

pub(super) fn tell(end: &End, talk: &mut dyn Talk) {
    talk.say(&end.words());
}

fn is_file(name: &str) -> bool {
    name.ends_with(".rpm") && Path::new(name).is_file()
}

/// Package files of the command line.
pub(crate) fn local(packages: &mut Pool, files: &[&String]) -> Result<Vec<Id>, TransactionError> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let repo = packages.pool.add_repo("@command-line", 0, 0);
    packages.local = Some(repo);
    let mut ids = Vec::new();
    for file in files {
        let path = std::fs::canonicalize(file).unwrap_or_else(|_| PathBuf::from(file));
        ids.push(packages.pool.load_rpm(repo, &path).map_err(crate::solve::LoadError::from)?);
    }
    packages.pool.prepare();
    Ok(ids)
}

pub(super) fn install(common: &Common, args: &Packages, command: &[String]) -> Result<Exit, DnfError> {
    run(common, Wish::Install, &args.names, command)
}

pub(super) fn remove(common: &Common, args: &Packages, command: &[String]) -> Result<Exit, DnfError> {
    run(common, Wish::Remove, &args.names, command)
}

pub(super) fn update(common: &Common, args: &MaybePackages, command: &[String]) -> Result<Exit, DnfError> {
    run(common, Wish::Update, &args.names, command)
}

pub(super) fn downgrade(common: &Common, args: &Packages, command: &[String]) -> Result<Exit, DnfError> {
    run(common, Wish::Downgrade, &args.names, command)
}

pub(super) fn reinstall(common: &Common, args: &Packages, command: &[String]) -> Result<Exit, DnfError> {
    run(common, Wish::Reinstall, &args.names, command)
}

pub(super) fn autoremove(common: &Common, command: &[String]) -> Result<Exit, DnfError> {
    run(common, Wish::Autoremove, &[], command)
}

/// Fetches package files into the working directory.
pub(super) fn download(common: &Common, args: &Packages) -> Result<Exit, DnfError> {
    let session = common.session()?;
    let mut packages = session.packages(false, &mut common.person())?;
    let mut wanted = Vec::new();
    for name in &args.names {
        let selection = packages.pool.select(name, selection::NAMED);
        let mut found = packages.pool.selected(&selection);
        found.retain(|&id| !packages.is_installed(id));
        let newest = found.iter().copied().max_by(|&one, &other| packages.pool.compare(one, other));
        let Some(id) = newest else { return Err(DnfError::Nothing(format!("no repository has `{name}`"))) };
        let source = packages.source(id);
        let Some(repo) = session.repo(&source) else { continue };
        wanted.push(Wanted {
            repo,
            bases: state_of(&session.family.cache, repo).map(|state| state.bases).unwrap_or_default(),
            location: packages.pool.location(id).unwrap_or_default(),
            size: packages.pool.number(id, crate::solve::ffi::attribute::DOWNLOAD_SIZE),
            checksum: packages.pool.checksum(id),
            nevra: packages.nevra(id),
        });
    }
    let at_once = session.settings.number("max_parallel_downloads", 3);
    let paths = crate::repo::download(&session.family.cache, &wanted, at_once, &|_, _| ())
        .map_err(TransactionError::from)?;
    for path in paths {
        let name = path.file_name().unwrap_or_default();
        std::fs::copy(&path, name)?;
        output::lines([name.to_string_lossy()])?;
    }
    Ok(Exit::Success)
}

/// What an update would do.
pub(super) fn updates(common: &Common, names: &[String]) -> Result<Vec<crate::plan::Change>, DnfError> {
    let session = common.session()?;
    let about = About::current(&crate::family::store(&session.family.node)?);
    let mut packages = session.packages(false, &mut common.person())?;
    let ask = ask(common, &session, &about, Wish::Update, names);
    let answer = solve(&mut packages, &ask).map_err(TransactionError::from)?;
    let changes = answer.changes.into_iter().map(|(change, _)| change);
    Ok(changes.filter(|change| change.action != Action::Remove).collect())
}
