//! What one command works with: the family, its settings and repositories, and the packages of both.

mod keys;

use std::path::{Path, PathBuf};

use crate::family::{Family, FamilyError, Member};
use crate::repo::{
    self, FetchError, Freshness, MetadataError, Overrides, Repo, RepoError, Settings, Variables,
};
use crate::solve::{self, Packages};
use crate::transaction::Talk;

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
    #[error("{}\n{}", of_repo(.0, .1), without(.0, .1, true))]
    Stale(String, #[source] Box<MetadataError>),
    /// A repository's metadata, and there are none from before.
    #[error("{}\n{}", of_repo(.0, .1), without(.0, .1, false))]
    Metadata(String, #[source] Box<MetadataError>),
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

/// What is wrong with a repository, and with which.
fn of_repo(id: &str, error: &MetadataError) -> String {
    match error {
        MetadataError::NotHere { .. }
        | MetadataError::Key { .. }
        | MetadataError::Signature { .. }
        | MetadataError::Older { .. } => error.to_string(),
        _ => format!("repository `{id}`: {error}"),
    }
}

/// How a command goes on without a repository that does not answer. From one whose answer failed a check, nothing leads on
/// but its publisher, and from one without a key to check with, only the key.
fn without(id: &str, error: &MetadataError, had: bool) -> String {
    if matches!(error, MetadataError::Key { .. }) {
        return "nothing of it is used".into();
    }
    if matches!(
        error,
        MetadataError::Signature { .. }
            | MetadataError::Older { .. }
            | MetadataError::Fetch(FetchError::Checksum { .. } | FetchError::NoChecksum { .. })
    ) {
        return "nothing of it is used; ask whoever publishes it".into();
    }
    let before = if had { "the metadata from before can still be used with `-C`; " } else { "" };
    format!(
        "{before}`--setopt={id}.enabled=0` does without it (`{id}.skip_if_unavailable=1`: when it does not answer)"
    )
}

/// Days without a change of metadata that are told.
const DAYS: u64 = 14;

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
        let mut settings = Settings::load(&family.node.path, &choice.options)?;
        let variables = Variables::load(&everywhere, choice.releasever.as_deref())?;
        let overrides =
            Overrides { options: &choice.options, from_path: &choice.from_path, main: Some(&settings) };
        let repo::Loaded { mut repos, notes } = repo::load(&roots, &variables, overrides)?;
        settings.notes.extend(notes);
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
            // As with dnf, but for what another node demands of its own repositories.
            repos.iter_mut().for_each(|repo| repo.gpgcheck = repo.demanded.is_some());
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
    pub(crate) fn packages(&self, files: bool, talk: &mut dyn Talk) -> Result<Packages, SessionError> {
        if !files {
            self.family.warning.iter().for_each(|warning| talk.say(&format!("warning: {warning}")));
            let notes = self.repos.iter().filter(|repo| repo.enabled).flat_map(|repo| &repo.notes);
            self.settings.notes.iter().chain(notes).for_each(|note| talk.say(&format!("warning: {note}")));
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
        talk: &mut dyn Talk,
    ) -> Result<(), SessionError> {
        let mut excluded = Vec::new();
        for repo in self.repos.iter().filter(|repo| repo.enabled) {
            let had = repo::state_of(&self.family.cache, repo).is_some();
            let mut keys = |repo: &Repo| self.metadata_keys(repo, talk);
            let fetched = repo::refresh(&self.family.cache, repo, self.freshness(), &mut keys);
            let here = match fetched {
                Ok(here) => here,
                Err(error) if repo.skip_if_unavailable => {
                    talk.say(&format!("repository `{}` is left out: {error}", repo.id));
                    continue;
                }
                Err(error) if had => return Err(SessionError::Stale(repo.id.clone(), error.into())),
                Err(error) => return Err(SessionError::Metadata(repo.id.clone(), error.into())),
            };
            // Whoever serves an old state as the current one keeps fixes away.
            let remote = here.state.bases.first().is_some_and(|base| repo::local(base).is_none());
            let age = here.state.moment.age(repo::seconds()).filter(|(_, days)| remote && *days >= DAYS);
            if let Some((day, days)) = age.filter(|_| !files) {
                talk.say(&format!(
                    "metadata of repository `{}` have not changed for {days} days (since {day})",
                    repo.id
                ));
            }
            let into = packages.pool.add_repo(&repo.id, -repo.priority, -repo.cost);
            packages.pool.load_solv(into, &here.primary, &repo.id, false).map_err(solve::LoadError::from)?;
            if files
                && let Some(lists) = here
                    .filelists(repo)
                    .map_err(|error| SessionError::Metadata(repo.id.clone(), error.into()))?
            {
                packages.pool.load_solv(into, &lists, &repo.id, true).map_err(solve::LoadError::from)?;
            }
            packages.repos.push((into, repo.id.clone()));
        }
        for (repo, id) in packages.repos.clone() {
            if let Some(filter) = self.repo(&id).map(|repo| Filter::of(&self.settings, repo)) {
                let all = packages.pool.packages(repo);
                excluded.extend(all.into_iter().filter(|&id| !filter.lets_through(packages, id)));
            }
        }
        if !excluded.is_empty() {
            packages.pool.exclude(&excluded);
            packages.excluded = excluded.into_iter().collect();
        }
        Ok(())
    }

    /// A repository by its id.
    pub(crate) fn repo(&self, id: &str) -> Option<&Repo> {
        self.repos.iter().find(|repo| repo.id == id)
    }
}

/// What `excludepkgs` and `includepkgs` leave of a repository.
struct Filter {
    exclude: Vec<String>,
    include: Vec<String>,
}

impl Filter {
    fn of(main: &Settings, repo: &Repo) -> Self {
        let everywhere = [main.list("exclude"), main.list("excludepkgs")].concat();
        Self {
            exclude: [repo.exclude.clone(), everywhere].concat(),
            include: [repo.include.clone(), main.list("includepkgs")].concat(),
        }
    }

    fn lets_through(&self, packages: &Packages, id: solve::ffi::Id) -> bool {
        if self.exclude.is_empty() && self.include.is_empty() {
            return true;
        }
        let (name, arch) = (packages.pool.name(id), packages.pool.arch(id));
        let spellings = spellings(&name, &packages.pool.evr(id), &arch);
        let fitting =
            |list: &[String]| list.iter().any(|one| spellings.iter().any(|spelling| fits(one, spelling)));
        !fitting(&self.exclude) && (self.include.is_empty() || fitting(&self.include))
    }
}

/// How people write a package: every form of dnf(8), "specifying packages".
fn spellings(name: &str, evr: &str, arch: &str) -> Vec<String> {
    let (epoch, version_release) = evr.split_once(':').unwrap_or(("0", evr));
    let version = version_release.rsplit_once('-').map_or(version_release, |(version, _)| version);
    let mut found = vec![name.to_owned(), format!("{name}.{arch}")];
    for version in [version.to_owned(), version_release.to_owned()] {
        for version in [format!("{epoch}:{version}"), version] {
            found.push(format!("{name}-{version}"));
            found.push(format!("{name}-{version}.{arch}"));
        }
    }
    found.extend([
        format!("{epoch}:{name}-{version_release}"),
        format!("{epoch}:{name}-{version_release}.{arch}"),
    ]);
    found
}

/// How much of a glob one byte of a text fits: `?`, `[a-z]`, `[!a-z]`, or itself (glob(7)).
fn fitting(pattern: &[u8], c: u8) -> Option<usize> {
    let class = || pattern.strip_prefix(b"[")?.iter().skip(1).position(|&b| b == b']').map(|at| at + 1);
    if let Some(end) = class() {
        let inner = &pattern[1..=end];
        let (not, mut inner) = match inner.split_first() {
            Some((b'!' | b'^', rest)) if !rest.is_empty() => (true, rest),
            _ => (false, inner),
        };
        let mut found = false;
        while let Some((&first, rest)) = inner.split_first() {
            let (last, rest) = match rest {
                [b'-', last, rest @ ..] => (*last, rest),
                _ => (first, rest),
            };
            found |= (first..=last).contains(&c);
            inner = rest;
        }
        return (found != not).then_some(end + 2);
    }
    pattern.first().filter(|&&b| b == b'?' || b == c).map(|_| 1)
}

/// Whether a glob (`*`, `?`, `[…]`) fits a text.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    fn from(pattern: &[u8], text: &[u8]) -> bool {
        // One place to come back to is enough: a later star can stand for what an earlier one could.
        let (mut p, mut t, mut back) = (0, 0, None);
        while t < text.len() {
            if pattern.get(p) == Some(&b'*') {
                back = Some((p, t));
                p += 1;
            } else if let Some(length) = fitting(&pattern[p..], text[t]) {
                p += length;
                t += 1;
            } else if let Some((star, from)) = back {
                back = Some((star, from + 1));
                p = star + 1;
                t = from + 1;
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|&c| c == b'*')
    }
    from(pattern.as_bytes(), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::{SessionError, fits, spellings};
    use crate::repo::{FetchError, MetadataError};

    #[test]
    fn no_way_around_a_failed_check_is_named() {
        let checksum = FetchError::Checksum {
            url: "u".into(),
            kind: "sha256".into(),
            got: "a".into(),
            wanted: "b".into(),
        };
        for error in [
            MetadataError::Signature { id: "a".into(), reason: "r".into() },
            MetadataError::Fetch(checksum),
            MetadataError::Fetch(FetchError::NoChecksum { path: "p".into() }),
        ] {
            let shown = format!("{error:?}");
            let said = SessionError::Stale("a".into(), error.into()).to_string();
            assert!(said.contains("repository `a`") && said.contains("nothing of it is used"), "{said}");
            assert!(!said.contains("-C") && !said.contains("=0") && !said.contains("=1"), "{shown}: {said}");
        }
        // What there is to be done about a key is said of the key.
        let key = MetadataError::Key { id: "a".into(), reason: "r".into() };
        let said = SessionError::Stale("a".into(), key.into()).to_string();
        assert_eq!(said, "repository `a`: r\nnothing of it is used");
        // Publishers do go back.
        let older = MetadataError::Older { id: "a".into(), now: "n".into(), seen: "s".into() };
        let said = SessionError::Stale("a".into(), older.into()).to_string();
        assert!(said.contains("`--setopt=a.allow_older=1`") && !said.contains("-C"), "{said}");
        let error = FetchError::Http { url: "u".into(), reason: "no answer".into() };
        let said = SessionError::Stale("a".into(), MetadataError::Fetch(error).into()).to_string();
        assert!(said.contains("`-C`") && said.contains("a.enabled=0"), "{said}");
    }

    #[test]
    fn a_package_is_met_in_every_spelling() {
        for (evr, pattern, wanted) in [
            ("2-1", "a", true),
            ("2-1", "a.noarch", true),
            ("2-1", "a-2", true),
            ("2-1", "a-2-1", true),
            ("2-1", "a-2-1.noarch", true),
            ("2-1", "a-0:2-1.noarch", true),
            ("3:2-1", "a-3:2-1.noarch", true),
            ("3:2-1", "a-2-1", true),
            ("2-1", "a-2*", true),
            ("2-1", "a-3*", false),
            ("2-1", "b", false),
        ] {
            let fitting = spellings("a", evr, "noarch").iter().any(|spelling| fits(pattern, spelling));
            assert_eq!(fitting, wanted, "{pattern} {evr}");
        }
    }

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
            ("a-[2]*", "a-2-1", true),
            ("a-[!2]*", "a-2-1", false),
            ("a-[1-3]", "a-2", true),
            ("a-[x1-3y]", "a-y", true),
            ("a-[^1-3]", "a-4", true),
            ("[]]", "]", true),
            ("a[", "a[", true),
            ("a[b", "a[b", true),
            ("[ab]*c", "bxxc", true),
        ] {
            assert_eq!(fits(pattern, text), wanted, "{pattern} {text}");
        }
    }
}
