//! Verbs that look at packages.

use std::collections::BTreeSet;

use red_runtime::cli::exit::Exit;
use serde_json::{Value, json};

use super::{Common, DnfError, change};
use crate::cli::output;
use crate::family;
use crate::history::About;
use crate::plan::bytes;
use crate::session::fits;
use crate::solve::Packages;
use crate::solve::ffi::{Id, attribute, selection};

#[derive(Debug, clap::Args)]
pub(super) struct SearchArgs {
    /// Words that must all be found
    #[arg(required = true, value_name = "WORD")]
    words: Vec<String>,
    /// Look into descriptions too
    #[arg(long)]
    all: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct NamesArgs {
    /// Packages, or what they provide
    #[arg(required = true, value_name = "PACKAGE")]
    names: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Names, with `*` and `?`
    #[arg(value_name = "PACKAGE")]
    names: Vec<String>,
    /// What the node has (the default)
    #[arg(long)]
    installed: bool,
    /// What the whole family has
    #[arg(long)]
    family: bool,
    /// What repositories offer
    #[arg(long)]
    available: bool,
    /// What repositories have newer
    #[arg(long, alias = "updates")]
    upgrades: bool,
    /// Packages that somebody asked for
    #[arg(long)]
    userinstalled: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct RepoqueryArgs {
    /// Names, with `*` and `?`
    #[arg(value_name = "PACKAGE")]
    names: Vec<String>,
    /// What is installed in the family instead of what repositories offer
    #[arg(long)]
    installed: bool,
    /// Packages that provide this
    #[arg(long, value_name = "WHAT")]
    whatprovides: Option<String>,
    /// Packages that require this
    #[arg(long, value_name = "WHAT")]
    whatrequires: Option<String>,
    /// Show what they require
    #[arg(long)]
    requires: bool,
    /// Show what they provide
    #[arg(long)]
    provides: bool,
    /// Show what they conflict with
    #[arg(long)]
    conflicts: bool,
    /// Show what they obsolete
    #[arg(long)]
    obsoletes: bool,
    /// Show what they recommend
    #[arg(long)]
    recommends: bool,
    /// Show their files
    #[arg(short, long)]
    list: bool,
}

/// A package in JSON.
fn package(packages: &Packages, id: Id) -> Value {
    json!({
        "name": packages.pool.name(id), "evr": packages.evr(id), "arch": packages.pool.arch(id),
        "repo": packages.source(id), "summary": packages.pool.text(id, attribute::SUMMARY),
        "size": packages.pool.number(id, attribute::INSTALL_SIZE),
    })
}

fn show(common: &Common, packages: &Packages, ids: &[Id]) -> Result<(), DnfError> {
    if common.json {
        let all: Vec<Value> = ids.iter().map(|&id| package(packages, id)).collect();
        output::json(&all)?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = ids
        .iter()
        .map(|&id| {
            let name = format!("{}.{}", packages.pool.name(id), packages.pool.arch(id));
            vec![name, packages.evr(id), packages.source(id)]
        })
        .collect();
    output::lines(output::table(&rows))?;
    Ok(())
}

/// Sorted by name, then newest first.
fn sort(packages: &Packages, ids: &mut [Id]) {
    ids.sort_by_cached_key(|&id| packages.pool.name(id));
    ids.sort_by(|&one, &other| {
        let names = packages.pool.name(one).cmp(&packages.pool.name(other));
        names.then_with(|| packages.pool.compare(other, one))
    });
}

fn offered(packages: &Packages) -> Vec<Id> {
    let all = packages.repos.iter().flat_map(|(repo, _)| packages.pool.packages(*repo));
    all.filter(|id| !packages.excluded.contains(id)).collect()
}

pub(super) fn search(common: &Common, args: &SearchArgs) -> Result<Exit, DnfError> {
    let session = common.session()?;
    let packages = session.packages(false, &mut common.person())?;
    let words: Vec<String> = args.words.iter().map(|word| word.to_lowercase()).collect();
    let mut found: Vec<Id> = offered(&packages)
        .into_iter()
        .chain(packages.own())
        .filter(|&id| {
            let mut text = packages.pool.name(id).to_lowercase();
            text.push(' ');
            text.push_str(&packages.pool.text(id, attribute::SUMMARY).unwrap_or_default().to_lowercase());
            if args.all {
                text.push_str(
                    &packages.pool.text(id, attribute::DESCRIPTION).unwrap_or_default().to_lowercase(),
                );
            }
            words.iter().all(|word| text.contains(word.as_str()))
        })
        .collect();
    sort(&packages, &mut found);
    found.dedup_by_key(|id| (packages.pool.name(*id), packages.pool.arch(*id)));
    if found.is_empty() {
        return Err(DnfError::Nothing(format!(
            "no package has `{}` in its name or summary",
            args.words.join(" ")
        )));
    }
    if common.json {
        show(common, &packages, &found)?;
    } else {
        let rows: Vec<Vec<String>> = found
            .iter()
            .map(|&id| {
                let name = format!("{}.{}", packages.pool.name(id), packages.pool.arch(id));
                vec![name, packages.pool.text(id, attribute::SUMMARY).unwrap_or_default()]
            })
            .collect();
        output::lines(output::table(&rows))?;
    }
    Ok(Exit::Success)
}

pub(super) fn list(common: &Common, args: &ListArgs) -> Result<Exit, DnfError> {
    if args.upgrades {
        let changes = change::updates(common, &args.names)?;
        let rows =
            changes.iter().map(|c| vec![format!("{}.{}", c.name, c.arch), c.evr.clone(), c.repo.clone()]);
        output::lines(output::table(&rows.collect::<Vec<_>>()))?;
        return Ok(Exit::Success);
    }
    let session = common.session()?;
    let packages = if args.available {
        session.packages(false, &mut common.person())?
    } else {
        // The index of what is provided is not needed for a list.
        Packages::installed(&session.family).map_err(crate::session::SessionError::from)?
    };
    let mut ids = if args.available {
        offered(&packages)
    } else if args.family {
        packages.fixed().into_iter().chain(packages.own()).collect()
    } else {
        packages.own()
    };
    if args.userinstalled {
        let about = About::current(&family::store(&session.family.node)?);
        ids.retain(|&id| about.is_asked(&packages.pool.name(id), &packages.nevra(id)));
    }
    if !args.names.is_empty() {
        let wanted =
            |name: &str, nevra: &str| args.names.iter().any(|glob| fits(glob, name) || fits(glob, nevra));
        ids.retain(|&id| wanted(&packages.pool.name(id), &packages.nevra(id)));
        if ids.is_empty() {
            return Err(DnfError::Nothing(format!("no package fits {}", args.names.join(" "))));
        }
    }
    sort(&packages, &mut ids);
    show(common, &packages, &ids)?;
    Ok(Exit::Success)
}

pub(super) fn info(common: &Common, args: &NamesArgs) -> Result<Exit, DnfError> {
    let session = common.session()?;
    let packages = session.packages(false, &mut common.person())?;
    let mut ids: Vec<Id> =
        packages.fixed().into_iter().chain(packages.own()).chain(offered(&packages)).collect();
    ids.retain(|&id| {
        args.names.iter().any(|glob| fits(glob, &packages.pool.name(id)) || fits(glob, &packages.nevra(id)))
    });
    if ids.is_empty() {
        return Err(DnfError::Nothing(format!("no package fits {}", args.names.join(" "))));
    }
    if common.json {
        show(common, &packages, &ids)?;
        return Ok(Exit::Success);
    }
    for id in ids {
        let text = |attribute| packages.pool.text(id, attribute).unwrap_or_default();
        let mut rows = vec![
            vec!["Name".into(), packages.pool.name(id)],
            vec!["Version".into(), packages.evr(id)],
            vec!["Architecture".into(), packages.pool.arch(id)],
            vec!["From".into(), packages.source(id)],
            vec!["Vendor".into(), packages.pool.vendor(id)],
            vec!["Installed size".into(), bytes(packages.pool.number(id, attribute::INSTALL_SIZE))],
            vec!["License".into(), text(attribute::LICENSE)],
            vec!["URL".into(), text(attribute::URL)],
            vec!["Source".into(), text(attribute::SOURCE)],
            vec!["Summary".into(), text(attribute::SUMMARY)],
        ];
        let description = text(attribute::DESCRIPTION);
        let names = std::iter::once("Description").chain(std::iter::repeat(""));
        rows.extend(names.zip(description.split('\n')).map(|(name, line)| vec![name.into(), line.into()]));
        rows.push(Vec::new());
        output::lines(output::table(&rows))?;
    }
    Ok(Exit::Success)
}

pub(super) fn provides(common: &Common, args: &NamesArgs) -> Result<Exit, DnfError> {
    let session = common.session()?;
    let files = args.names.iter().any(|name| name.contains('/'));
    let mut packages = session.packages(files, &mut common.person())?;
    let mut ids: BTreeSet<Id> = BTreeSet::new();
    for name in &args.names {
        let selection = packages.pool.select(name, selection::ANYTHING);
        ids.extend(packages.pool.selected(&selection));
    }
    let mut ids: Vec<Id> = ids.into_iter().collect();
    sort(&packages, &mut ids);
    if ids.is_empty() {
        return Err(DnfError::Nothing(format!("nothing provides {}", args.names.join(" "))));
    }
    show(common, &packages, &ids)?;
    Ok(Exit::Success)
}

pub(super) fn repoquery(common: &Common, args: &RepoqueryArgs) -> Result<Exit, DnfError> {
    let session = common.session()?;
    let asks_path = [&args.whatprovides, &args.whatrequires]
        .iter()
        .any(|what| what.as_ref().is_some_and(|what| what.starts_with('/')));
    let mut packages = session.packages(args.list || asks_path, &mut common.person())?;
    let mut ids = if args.installed {
        packages.fixed().into_iter().chain(packages.own()).collect()
    } else {
        offered(&packages)
    };
    if !args.names.is_empty() {
        ids.retain(|&id| {
            args.names
                .iter()
                .any(|glob| fits(glob, &packages.pool.name(id)) || fits(glob, &packages.nevra(id)))
        });
    }
    if let Some(what) = &args.whatprovides {
        let dependency = packages.pool.dependency_id(what);
        let providers: BTreeSet<Id> = packages.pool.providers(dependency).into_iter().collect();
        ids.retain(|id| providers.contains(id));
    }
    if let Some(what) = &args.whatrequires {
        let wanted = packages.pool.dependency_id(what);
        let mut named: BTreeSet<Id> = packages.pool.providers(wanted).into_iter().collect();
        named.retain(|&id| packages.pool.name(id) == *what);
        ids.retain(|&id| {
            packages.pool.dependencies(id, attribute::REQUIRES).into_iter().any(|dependency| {
                let words = packages.pool.dependency(dependency);
                words.split(' ').next() == Some(what)
                    || packages.pool.providers(dependency).iter().any(|id| named.contains(id))
            })
        });
    }
    sort(&packages, &mut ids);
    let kinds = [
        (args.requires, attribute::REQUIRES),
        (args.provides, attribute::PROVIDES),
        (args.conflicts, attribute::CONFLICTS),
        (args.obsoletes, attribute::OBSOLETES),
        (args.recommends, attribute::RECOMMENDS),
    ];
    if kinds.iter().any(|(asked, _)| *asked) || args.list {
        let mut lines = BTreeSet::new();
        for &id in &ids {
            for (_, kind) in kinds.iter().filter(|(asked, _)| *asked) {
                let dependencies = packages.pool.dependencies(id, *kind);
                lines.extend(dependencies.into_iter().map(|dependency| packages.pool.dependency(dependency)));
            }
            if args.list {
                lines.extend(packages.pool.files(id));
            }
        }
        output::lines(lines)?;
    } else if common.json {
        show(common, &packages, &ids)?;
    } else {
        output::lines(ids.iter().map(|&id| packages.nevra(id)))?;
    }
    Ok(Exit::Success)
}

/// Exit status 100 when there are updates, as users of dnf expect.
pub(super) fn check_update(common: &Common, args: &change::MaybePackages) -> Result<Exit, DnfError> {
    const UPDATES: u8 = 100;
    let changes = change::updates(common, &args.names)?;
    if common.json {
        output::json(&changes)?;
    } else {
        let rows =
            changes.iter().map(|c| vec![format!("{}.{}", c.name, c.arch), c.evr.clone(), c.repo.clone()]);
        output::lines(output::table(&rows.collect::<Vec<_>>()))?;
    }
    Ok(if changes.is_empty() { Exit::Success } else { Exit::Command(UPDATES) })
}
