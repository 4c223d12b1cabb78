//! A pool of everything that counts for a node.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::ffi::{Id, Pool, RepoId, SolvError};
use crate::cache::{Cache, Shelf};
use crate::family::{Family, Member};
use crate::generation::RED;
use crate::rpm::{Believed, RpmError, has_database, use_database};

/// Why packages could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// libsolv.
    #[error(transparent)]
    Solv(#[from] SolvError),
    /// rpm.
    #[error(transparent)]
    Rpm(#[from] RpmError),
}

/// What is installed in a family, and what repositories offer.
pub(crate) struct Packages {
    pub(crate) pool: Pool,
    /// What is installed, of all members.
    pub(crate) installed: RepoId,
    /// Which of it is whose: the members in the family's order, oldest first.
    pub(crate) owners: Vec<(Member, Range<Id>)>,
    /// Repositories, with their ids as people write them.
    pub(crate) repos: Vec<(RepoId, String)>,
    /// Packages of repositories that do not count.
    pub(crate) excluded: BTreeSet<Id>,
    /// Package files of the command line.
    pub(crate) local: Option<RepoId>,
}

/// Name of the keys that rpm keeps in its database as if they were packages.
const KEYS: &str = "gpg-pubkey";

impl Packages {
    /// Loads what is installed.
    pub(crate) fn installed(family: &Family) -> Result<Self, LoadError> {
        Self::of(family.members(), Some(&family.cache))
    }

    /// Loads what is installed in some members.
    pub(crate) fn of<'a>(
        members: impl Iterator<Item = &'a Member>,
        cache: Option<&Cache>,
    ) -> Result<Self, LoadError> {
        let mut pool = Pool::new(arch());
        let installed = pool.add_repo("@installed", 0, 0);
        pool.set_installed(installed);
        let mut owners = Vec::new();
        for member in members {
            let start = pool.size();
            load_database(&mut pool, installed, member, cache)?;
            owners.push((member.clone(), start..pool.size()));
        }
        Ok(Self { pool, installed, owners, repos: Vec::new(), excluded: BTreeSet::new(), local: None })
    }

    /// Whose an installed package is.
    pub(crate) fn owner(&self, id: Id) -> Option<&Member> {
        self.owners.iter().find(|(_, ids)| ids.contains(&id)).map(|(member, _)| member)
    }

    /// Packages of a member, keys left out.
    pub(crate) fn of_member(&self, at: usize) -> Vec<Id> {
        let Some((_, range)) = self.owners.get(at) else { return Vec::new() };
        let all = self.pool.packages(self.installed);
        all.into_iter().filter(|id| range.contains(id) && self.pool.name(*id) != KEYS).collect()
    }

    /// Packages of the node itself.
    pub(crate) fn own(&self) -> Vec<Id> {
        self.of_member(self.owners.len().saturating_sub(1))
    }

    /// Packages of core OS and ancestors, which stay as they are.
    pub(crate) fn fixed(&self) -> Vec<Id> {
        (0..self.owners.len().saturating_sub(1)).flat_map(|at| self.of_member(at)).collect()
    }

    /// Whether a package is installed.
    pub(crate) fn is_installed(&self, id: Id) -> bool {
        self.pool.repo_of(id) == Some(self.installed)
    }

    /// Where a package comes from, in words.
    pub(crate) fn source(&self, id: Id) -> String {
        if let Some(owner) = self.owner(id) {
            return if owner.core { "@core-os".into() } else { format!("@{}", owner.alias) };
        }
        let repo = self.pool.repo_of(id);
        if repo.is_some() && repo == self.local {
            return "@command-line".into();
        }
        self.repos
            .iter()
            .find(|(known, _)| Some(*known) == repo)
            .map(|(_, id)| id.clone())
            .unwrap_or_default()
    }

    /// Name, version and architecture, an epoch of 0 left out.
    pub(crate) fn nevra(&self, id: Id) -> String {
        format!("{}-{}.{}", self.pool.name(id), self.evr(id), self.pool.arch(id))
    }

    /// Version, an epoch of 0 left out.
    pub(crate) fn evr(&self, id: Id) -> String {
        let evr = self.pool.evr(id);
        evr.strip_prefix("0:").map(str::to_owned).unwrap_or(evr)
    }

    /// Requirements of packages in `set` that nothing in `set` provides, with who has them.
    pub(crate) fn unmet(&self, set: &BTreeSet<Id>) -> Vec<(Id, Id)> {
        let mut found = Vec::new();
        for &id in set {
            for dependency in self.pool.dependencies(id, super::ffi::attribute::REQUIRES) {
                if !self.holds(dependency, set) {
                    found.push((id, dependency));
                }
            }
        }
        found
    }

    /// Whether a dependency, rich or not, holds among some packages.
    fn holds(&self, dependency: Id, set: &BTreeSet<Id>) -> bool {
        use super::ffi::relation::{AND, COND, ELSE, OR, UNLESS};
        match self.pool.relation(dependency) {
            Some((AND, one, other)) => self.holds(one, set) && self.holds(other, set),
            Some((OR, one, other)) => self.holds(one, set) || self.holds(other, set),
            Some((op @ (COND | UNLESS), what, condition)) => {
                let (condition, otherwise) = match self.pool.relation(condition) {
                    Some((ELSE, condition, otherwise)) => (condition, Some(otherwise)),
                    _ => (condition, None),
                };
                let applies = self.holds(condition, set) == (op == COND);
                if applies {
                    self.holds(what, set)
                } else {
                    otherwise.is_none_or(|other| self.holds(other, set))
                }
            }
            _ => {
                let name = self.pool.dependency(dependency);
                // What rpm itself can do is known when it runs.
                name.starts_with("rpmlib(")
                    || self.pool.providers(dependency).iter().any(|id| set.contains(id))
            }
        }
    }
}

/// The architecture of packages that run here.
pub(crate) fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86" => "i686",
        "arm" => "armv7hl",
        "powerpc64" => "ppc64le",
        "riscv64" => "riscv64",
        arch => arch,
    }
}

/// Reads an rpm database, from libsolv's own format when it has been read before.
fn load_database(
    pool: &mut Pool,
    repo: RepoId,
    member: &Member,
    cache: Option<&Cache>,
) -> Result<(), LoadError> {
    if !has_database(&member.database) {
        return Ok(());
    }
    let name = kept(&member.database);
    let shelf = cache.and_then(|cache| cache.open(INSTALLED).ok());
    if let Some(bytes) = shelf.and_then(|shelf| shelf.believed(&name))
        && pool.load_solv(repo, &bytes, &name, false).is_ok()
    {
        return Ok(());
    }
    // Only what was looked at in this state has been kept.
    let Some(believed) = Believed::of(member)? else { return Ok(()) };
    let database = member.database.as_path();
    use_database(&believed)?;
    // Whoever may not write the cache reads the database each time.
    let shelf = cache.and_then(|cache| cache.make(INSTALLED).ok());
    // One that changed meanwhile is kept when it is read next.
    let shelf = shelf.filter(|_| kept(database) == name);
    let Some(shelf) = shelf else {
        pool.load_rpmdb(repo, database)?;
        return Ok(());
    };
    // A repository of its own, so that exactly this database can be written.
    let mut alone = Pool::new(arch());
    let only = alone.add_repo("@installed", 0, 0);
    alone.load_rpmdb(only, database)?;
    if let Ok(bytes) = keep(&mut alone, only, &shelf, (&name, database))
        && pool.load_solv(repo, &bytes, &name, false).is_ok()
    {
        return Ok(());
    }
    pool.load_rpmdb(repo, database)?;
    Ok(())
}

/// Directory of what is installed, in the cache.
const INSTALLED: &str = "installed";

/// Under which name a database's contents are kept: it says which database in which state.
fn kept(database: &Path) -> String {
    let mut state = Sha256::new();
    // Not the name of what was kept when databases were believed as they were.
    state.update(b"looked at");
    for number in crate::rpm::database::state(database).into_iter().flatten() {
        state.update(number.to_le_bytes());
    }
    let state: String = state.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{state}.solv", short(database))
}

/// A short name of a path. All generations of a node have one: what is kept of the next takes the place of the last.
fn short(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let number = |part: &std::path::Component<'_>| {
        part.as_os_str().to_str().is_some_and(|part| part.parse::<u64>().is_ok())
    };
    let mut parts: Vec<_> = path.components().collect();
    if let Some(at) =
        parts.windows(2).position(|pair| pair[0].as_os_str() == RED && pair[1].as_os_str() == "gen")
        && parts.get(at + 2).is_some_and(number)
    {
        parts.remove(at + 2);
    }
    let path: std::path::PathBuf = parts.into_iter().collect();
    Sha256::digest(path.as_os_str().as_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn keep(
    pool: &mut Pool,
    repo: RepoId,
    shelf: &Shelf,
    (name, database): (&str, &Path),
) -> Result<Vec<u8>, LoadError> {
    let failed = |source| SolvError::File { path: name.into(), source };
    let aside = format!(".new-{name}");
    pool.write_solv(repo, shelf.dir().create(&aside).map_err(failed)?, Path::new(name))?;
    // What was kept of the same database in another state.
    let prefix = format!("{}-", short(database));
    for other in shelf.names().map_err(failed)? {
        if other.starts_with(&prefix) && other != name {
            shelf.remove(&other).map_err(failed)?;
        }
    }
    shelf.keep(&aside, name).map_err(|error| failed(error).into())
}
