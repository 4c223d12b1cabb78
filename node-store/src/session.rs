//! What one command works with: the family, its settings and repositories, and the packages of both.

use std::path::{Path, PathBuf};

use crate::family::{Family, FamilyError, Member};
use crate::repo::{self, Fetcher, Freshness, MetadataError, Repo, RepoError, Settings, Target, Variables};
use crate::solve::{self, Packages};

/// What the command line says about repositories.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice {
    /// `-C`.
    pub(crate) cache_only: bool,
    /// Metadata are fetched whatever their age.
    pub(crate) refresh: bool,
    /// `--setopt`, `KEY=VALUE` or `ID.KEY=VALUE`.
    pub(crate) options: Vec<(String, String)>,
    /// `--repofrompath`, id and URL.
    pub(crate) from_path: Vec<(String, String)>,
    /// `--enablerepo` and `--disablerepo`, in their order, ids or globs.
    pub(crate) switches: Vec<(String, bool)>,
    /// Repositories of ancestors count too.
    pub(crate) of_ancestors: bool,
    /// Repositories of the core OS count too.
    pub(crate) of_core: bool,
    pub(crate) releasever: Option<String>,
    pub(crate) no_gpgcheck: bool,
}

/// Why a command has nothing to work with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The family.
    #[error(transparent)]
    Family(#[from] FamilyError),
    /// A repository's configuration.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// A repository's metadata.
    #[error("{0}\nthe metadata from before can still be used with `-C`")]
    Stale(#[source] MetadataError),
    /// A repository's metadata, and there are none from before.
    #[error(transparent)]
    Metadata(MetadataError),
    /// Packages.
    #[error(transparent)]
    Load(#[from] solve::LoadError),
    /// Signatures are demanded.
    #[error("--nogpgcheck: {who} demands signatures (`gpgcheck: true`), and no command overrides that")]
    Demanded {
        /// Who.
        who: String,
    },
    /// No repository fits.
    #[error("no repository fits `{0}`: `red-repolist --all` lists them")]
    NoRepo(String),
}

/// What a command works with.
pub(crate) struct Session {
    pub(crate) family: Family,
    pub(crate) settings: Settings,
    pub(crate) repos: Vec<Repo>,
    pub(crate) choice: Choice,
}

impl Session {
    /// Loads family, settings and the configuration of repositories.
    pub(crate) fn open(redpath: &Path, choice: Choice) -> Result<Self, SessionError> {
        Self::of(Family::load(redpath)?, choice)
    }

    /// The same for a family that is loaded.
    pub(crate) fn of(family: Family, choice: Choice) -> Result<Self, SessionError> {
        if choice.no_gpgcheck
            && let Some(who) = &family.gpgcheck
        {
            return Err(SessionError::Demanded { who: who.clone() });
        }
        let root = |member: &Member| member.path.clone();
        let mut roots: Vec<PathBuf> = Vec::new();
        if choice.of_core {
            roots.push("/".into());
        }
        if choice.of_ancestors {
            roots.extend(family.ancestors.iter().map(root));
        }
        roots.push(family.node.path.clone());
        let everywhere: Vec<PathBuf> = std::iter::once("/".into())
            .chain(family.members().filter(|member| !member.core).map(root))
            .collect();
        let settings = Settings::load(&family.node.path, &choice.options)?;
        let variables = Variables::load(&everywhere, choice.releasever.as_deref());
        let mut repos = repo::load(&roots, &variables, &choice.options)?;
        for (id, url) in &choice.from_path {
            let url = if url.contains("://") { variables.expand(url) } else { format!("file://{url}") };
            repos.retain(|repo| repo.id != *id);
            repos.push(repo::repo_of_url(id, &url));
        }
        for (pattern, on) in &choice.switches {
            let mut any = false;
            for repo in repos.iter_mut().filter(|repo| fits(pattern, &repo.id)) {
                (repo.enabled, any) = (*on, true);
            }
            if !any && *on {
                return Err(SessionError::NoRepo(pattern.clone()));
            }
        }
        if choice.no_gpgcheck {
            repos.iter_mut().for_each(|repo| repo.gpgcheck = false);
        } else if let Some(on) = settings.get("gpgcheck") {
            let on = matches!(on, "1" | "yes" | "true" | "on");
            repos.iter_mut().for_each(|repo| repo.gpgcheck |= on);
        }
        Ok(Self { family, settings, repos, choice })
    }

    /// How fresh metadata are to be.
    pub(crate) fn freshness(&self) -> Freshness {
        match (self.choice.cache_only, self.choice.refresh) {
            (true, _) => Freshness::Cache,
            (false, true) => Freshness::Now,
            (false, false) => Freshness::Usual,
        }
    }

    /// What is installed, and what the repositories offer. `files` also loads lists of files.
    pub(crate) fn packages(&self, files: bool, talk: &mut dyn FnMut(&str)) -> Result<Packages, SessionError> {
        if let Some(warning) = &self.family.warning {
            talk(warning);
        }
        let mut packages = Packages::installed(&self.family)?;
        self.add_repos(&mut packages, files, talk)?;
        packages.pool.prepare();
        Ok(packages)
    }

    /// Adds what repositories offer.
    pub(crate) fn add_repos(
        &self,
        packages: &mut Packages,
        files: bool,
        talk: &mut dyn FnMut(&str),
    ) -> Result<(), SessionError> {
        let mut excluded = Vec::new();
        for repo in self.repos.iter().filter(|repo| repo.enabled) {
            let had = repo::state_of(&self.family.cache, repo).is_some();
            let mut keys = |repo: &Repo| self.keys(repo);
            let here = match repo::refresh(&self.family.cache, repo, self.freshness(), &mut keys) {
                Ok(here) => here,
                Err(error) if repo.skip_if_unavailable => {
                    talk(&format!("repository `{}` is left out: {error}", repo.id));
                    continue;
                }
                Err(error) if had => return Err(SessionError::Stale(error)),
                Err(error) => return Err(SessionError::Metadata(error)),
            };
            let into = packages.pool.add_repo(&repo.id, -repo.priority, -repo.cost);
            packages.pool.load_solv(into, &here.primary, &repo.id, false).map_err(solve::LoadError::from)?;
            if files && let Some(lists) = here.filelists(repo).map_err(SessionError::Metadata)? {
                packages.pool.load_solv(into, &lists, &repo.id, true).map_err(solve::LoadError::from)?;
            }
            if !repo.exclude.is_empty() || !repo.include.is_empty() {
                for id in packages.pool.packages(into) {
                    let (name, nevra) = (packages.pool.name(id), packages.nevra(id));
                    let fitting =
                        |list: &[String]| list.iter().any(|one| fits(one, &name) || fits(one, &nevra));
                    if fitting(&repo.exclude) || !repo.include.is_empty() && !fitting(&repo.include) {
                        excluded.push(id);
                    }
                }
            }
            packages.repos.push((into, repo.id.clone()));
        }
        let everywhere = [self.settings.list("exclude"), self.settings.list("excludepkgs")].concat();
        if !everywhere.is_empty() {
            for (repo, _) in packages.repos.clone() {
                for id in packages.pool.packages(repo) {
                    let (name, nevra) = (packages.pool.name(id), packages.nevra(id));
                    if everywhere.iter().any(|one| fits(one, &name) || fits(one, &nevra)) {
                        excluded.push(id);
                    }
                }
            }
        }
        if !excluded.is_empty() {
            packages.pool.exclude(&excluded);
            packages.excluded = excluded.into_iter().collect();
        }
        Ok(())
    }

    /// The key files of a repository, fetched.
    pub(crate) fn keys(&self, repo: &Repo) -> Result<Vec<PathBuf>, String> {
        let shelf = self.family.cache.make(&repo::keys_of(repo)).map_err(|error| error.to_string())?;
        let dir = shelf.dir();
        let fetcher = Fetcher::new(repo).map_err(|error| error.to_string())?;
        let mut paths = Vec::new();
        for (at, url) in repo.gpgkey.iter().enumerate() {
            let name = format!("{at}.asc");
            let path = dir.path().join(&name);
            let url = if url.contains("://") { url.clone() } else { format!("file://{url}") };
            let target = Target { urls: vec![url], dir, name, size: None, most: 1 << 20, checksum: None };
            fetcher.fetch(&target, &Default::default(), &mut |_| ()).map_err(|error| error.to_string())?;
            paths.push(path);
        }
        Ok(paths)
    }

    /// A repository by its id.
    pub(crate) fn repo(&self, id: &str) -> Option<&Repo> {
        self.repos.iter().find(|repo| repo.id == id)
    }
}

/// Whether a glob (`*`, `?`) fits a text.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    fn from(pattern: &[u8], text: &[u8]) -> bool {
        // One place to come back to is enough: a later star can stand for what an earlier one could.
        let (mut p, mut t, mut back) = (0, 0, None);
        while t < text.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    back = Some((p, t));
                    p += 1;
                }
                Some(&c) if c == b'?' || c == text[t] => {
                    p += 1;
                    t += 1;
                }
                _ => match back {
                    Some((star, from)) => {
                        back = Some((star, from + 1));
                        p = star + 1;
                        t = from + 1;
                    }
                    None => return false,
                },
            }
        }
        pattern[p..].iter().all(|&c| c == b'*')
    }
    from(pattern.as_bytes(), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn globs_fit() {
        for (pattern, text, wanted) in [
            ("a*c", "abbbc", true),
            ("a*c", "abbb", false),
            ("*", "", true),
            ("?b", "ab", true),
            ("*-devel", "x-devel", true),
            ("a*b*c", "axxbyyc", true),
            ("", "x", false),
        ] {
            assert_eq!(fits(pattern, text), wanted, "{pattern} {text}");
        }
    }
}
