//! Repositories: listed, fetched, forgotten.

use red_runtime::cli::exit::Exit;
use serde_json::json;

use super::{Common, DnfError};
use crate::cli::output;
use crate::repo::{seconds, state_of};

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Those that are disabled too
    #[arg(long)]
    pub(super) all: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct CleanArgs {
    /// What to remove
    #[arg(value_enum, default_value_t = What::All)]
    what: What,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum What {
    /// Everything that was fetched.
    All,
    /// Package files.
    Packages,
    /// Metadata.
    Metadata,
    /// What is kept of rpm databases.
    Dbcache,
}

pub(super) fn list(common: &Common, args: &ListArgs) -> Result<Exit, DnfError> {
    let session = common.session()?;
    let shown = session.repos.iter().filter(|repo| args.all || repo.enabled);
    if common.json {
        let all: Vec<_> = shown
            .map(|repo| {
                json!({"id": repo.id, "name": repo.name, "enabled": repo.enabled, "baseurl": repo.baseurl,
                    "mirrorlist": repo.mirrorlist, "metalink": repo.metalink, "gpgcheck": repo.gpgcheck,
                    "repo_gpgcheck": repo.repo_gpgcheck, "gpgkey": repo.gpgkey, "priority": repo.priority,
                    "cost": repo.cost, "file": repo.file,
                    "fetched": state_of(&session.family.cache, repo).is_some(),
                    "made": state_of(&session.family.cache, repo).and_then(|state| state.moment.made())})
            })
            .collect();
        output::json(&all)?;
        return Ok(Exit::Success);
    }
    let notes = session.repos.iter().filter(|repo| args.all || repo.enabled).flat_map(|repo| &repo.notes);
    session.settings.notes.iter().chain(notes).for_each(|note| output::say(&format!("warning: {note}")));
    let mut rows =
        vec![["id", "enabled", "priority", "signed", "metadata", "from"].map(String::from).to_vec()];
    for repo in shown {
        let from = repo.baseurl.first().or(repo.mirrorlist.as_ref()).or(repo.metalink.as_ref());
        let signed = if session.demands(&repo.id).is_some() { "demanded" } else { "not demanded" };
        let age = state_of(&session.family.cache, repo).and_then(|state| state.moment.age(seconds()));
        let made = age.map_or_else(|| "-".into(), |(day, days)| format!("{day} ({days} days)"));
        rows.push(vec![
            repo.id.clone(),
            if repo.enabled { "yes" } else { "no" }.into(),
            repo.priority.to_string(),
            signed.into(),
            made,
            from.cloned().unwrap_or_default(),
        ]);
    }
    output::lines(output::table(&rows))?;
    Ok(Exit::Success)
}

pub(super) fn makecache(common: &Common) -> Result<Exit, DnfError> {
    let mut common = common.clone();
    common.refresh = !common.cache_only;
    let session = common.session()?;
    let packages = session.packages(false, &mut common.person())?;
    let count: usize = packages.repos.iter().map(|(repo, _)| packages.pool.packages(*repo).len()).sum();
    output::say(&format!("{count} packages in {} repositories", packages.repos.len()));
    Ok(Exit::Success)
}

pub(super) fn clean(common: &Common, args: &CleanArgs) -> Result<Exit, DnfError> {
    let session = common.session()?;
    let cache = session.family.cache.path();
    let mut removed = 0;
    if matches!(args.what, What::All | What::Dbcache) {
        removed += remove(&cache.join("installed"))?;
    }
    for entry in std::fs::read_dir(cache.join("repos")).into_iter().flatten().flatten() {
        match args.what {
            What::All => removed += remove(&entry.path())?,
            What::Packages => removed += remove(&entry.path().join("packages"))?,
            What::Metadata => {
                for file in std::fs::read_dir(entry.path())?.flatten().filter(|file| file.path().is_file()) {
                    std::fs::remove_file(file.path())?;
                    removed += 1;
                }
            }
            What::Dbcache => {}
        }
    }
    output::say(&format!("removed {removed} files and directories from {}", cache.display()));
    Ok(Exit::Success)
}

fn remove(path: &std::path::Path) -> std::io::Result<usize> {
    match std::fs::remove_dir_all(path) {
        Ok(()) => Ok(1),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}
