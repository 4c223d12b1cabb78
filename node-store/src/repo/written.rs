//! The repositories of a family, out of all files that have a say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::files::files;
use super::ini::Section;
use super::options::{INHERITED, Where, boolean, check, check_given, decides, other_spelling};
use super::settings::{Overrides, Repo, RepoError, Settings, check_section, repo, sections_of};
use super::variables::Variables;

/// The repositories of a node.
pub(super) const REPOS: &str = "etc/yum.repos.d";

/// Options that tell where a repository is.
const PLACES: [&str; 3] = ["baseurl", "metalink", "mirrorlist"];

/// What dnf5 changes of repositories: sections with ids or globs, after all files of repositories.
const CHANGES: &str = "etc/dnf/repos.override.d";

/// The same as distributions ship it, where only demands of signatures are in force.
const SHIPPED_CHANGES: &str = "usr/share/dnf5/repos.override.d";

/// Options that demand signatures.
const DEMANDS: [&str; 3] = ["gpgcheck", "pkg_gpgcheck", "repo_gpgcheck"];

/// Repositories, and what is to be told of their files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) repos: Vec<Repo>,
    pub(crate) notes: Vec<String>,
}

/// A repository as it is written.
#[derive(Clone, Debug, Default)]
struct Written {
    section: Section,
    path: PathBuf,
    /// The file that demands signed packages of repositories of its node, which is another one.
    packages: Option<PathBuf>,
    /// The same of metadata.
    metadata: bool,
}

impl Written {
    /// Gives an option another value, in whichever spelling it had one.
    fn set(&mut self, key: &str, value: &str) {
        let other = other_spelling(key);
        self.section.values.retain(|(known, _, _)| known != key && Some(known.as_str()) != other);
        self.section.values.push((key.to_owned(), value.to_owned(), self.section.line));
    }
}

/// The repositories in `etc/yum.repos.d` of some roots, the last root's winning, and those of the command
/// line.
pub(crate) fn load(
    roots: &[PathBuf],
    variables: &Variables,
    overrides: Overrides<'_>,
) -> Result<Loaded, RepoError> {
    let mut written: BTreeMap<String, Written> = BTreeMap::new();
    let mut loaded = Loaded::default();
    for (at, root) in roots.iter().enumerate() {
        // What an ancestor demands of its repositories holds where others use them.
        let own = if at + 1 < roots.len() { Some(Settings::load(root, &[])?) } else { None };
        let metadata = own.as_ref().is_some_and(|own| own.on("repo_gpgcheck", false));
        let both = own.as_ref().is_some_and(Settings::with_metadata);
        let mut here = BTreeSet::new();
        let packages = own.filter(Settings::gpgcheck).and_then(|own| own.demands);
        for below in files(root, REPOS, "repo")? {
            let path = root.join(&below);
            for section in sections_of(root, &below)? {
                if let Some(note) = misplaced(&section, &path)? {
                    loaded.notes.push(note);
                    continue;
                }
                // What is wrong in a file is so whether or not another one takes its place.
                let said = repo(&section, &path, variables)?;
                let is_signed = said.gpgcheck || packages.is_some();
                let metadata = metadata || both && is_signed && section.get("repo_gpgcheck").is_none();
                let id = said.id;
                // As for dnf, the first of a node's files has the say. Which is the first depends on the version of dnf, so
                // what either of them demands is demanded.
                if !here.insert(id.clone()) {
                    if let Some(first) = written.get_mut(&id) {
                        let demands = [("gpgcheck", said.gpgcheck), ("repo_gpgcheck", said.repo_gpgcheck)];
                        demands.into_iter().filter(|(_, on)| *on).for_each(|(key, _)| first.set(key, "1"));
                    }
                    let place = format!("{}:{}", path.display(), section.line);
                    loaded.notes.push(format!(
                        "{place}: repository `{id}` is in another file too, which is in force"
                    ));
                    continue;
                }
                let (packages, path) = (packages.clone(), path.clone());
                written.insert(id, Written { section, path, packages, metadata });
            }
        }
        change(&mut written, root, variables, &mut loaded.notes)?;
    }
    for (id, url) in overrides.from_path {
        let url = if url.contains("://") {
            variables.expand(url).replace(' ', "%20")
        } else {
            super::added::url_of(url)
        };
        let section = Section { name: id.clone(), line: 0, values: vec![("baseurl".into(), url, 0)] };
        let path = PathBuf::from("--repofrompath");
        written.insert(id.clone(), Written { section, path, ..Written::default() });
    }
    set(&mut written, overrides.options)?;
    for repo in written.into_values() {
        loaded.repos.push(finish(repo, variables, overrides.main)?);
    }
    Ok(loaded)
}

/// Words for a `[main]` among repositories that is none, which is passed over, as by dnf; an error where signatures hang on
/// it.
pub(super) fn misplaced(section: &Section, path: &Path) -> Result<Option<String>, RepoError> {
    let is_repo = PLACES.iter().any(|key| section.get(key).is_some());
    if section.name != "main" || is_repo {
        return Ok(None);
    }
    if let Some((key, _, line)) = section.values.iter().find(|(key, _, _)| decides(&key.to_ascii_lowercase()))
    {
        let message =
            format!("`{key}` of `[main]` is not in force among repositories: etc/dnf/dnf.conf is its place");
        return Err(RepoError::Line { path: path.to_owned(), line: *line, message });
    }
    let place = format!("{}:{}", path.display(), section.line);
    Ok(Some(format!(
        "{place}: section `[main]` is not in force among repositories: etc/dnf/dnf.conf is its place"
    )))
}

/// A repository with what holds for all of them.
fn finish(mut written: Written, variables: &Variables, main: Option<&Settings>) -> Result<Repo, RepoError> {
    for key in INHERITED {
        let value = main.and_then(|main| main.get(key));
        if let Some(value) = value.filter(|_| written.section.get(key).is_none()) {
            written.set(key, value);
        }
    }
    let mut repo = repo(&written.section, &written.path, variables)?;
    repo.gpgcheck |= written.packages.is_some() || main.is_some_and(Settings::gpgcheck);
    repo.repo_gpgcheck |= written.metadata || main.is_some_and(|main| main.on("repo_gpgcheck", false));
    // Where the repository itself says nothing else of its metadata.
    let both = main.is_some_and(Settings::with_metadata);
    repo.repo_gpgcheck |= both && repo.gpgcheck && written.section.get("repo_gpgcheck").is_none();
    repo.demanded = written.packages;
    repo.file = repo.file.filter(|_| written.section.line > 0);
    Ok(repo)
}

/// dnf5's changes of repositories, in the files of a node. They are for its own and those above it.
fn change(
    repos: &mut BTreeMap<String, Written>,
    root: &Path,
    variables: &Variables,
    notes: &mut Vec<String>,
) -> Result<(), RepoError> {
    let own = files(root, CHANGES, "repo")?;
    let mut shipped = files(root, SHIPPED_CHANGES, "repo")?;
    shipped.retain(|file| !own.iter().any(|own| own.file_name() == file.file_name()));
    let mut all: Vec<(PathBuf, bool)> = own.into_iter().map(|file| (file, false)).collect();
    all.extend(shipped.into_iter().map(|file| (file, true)));
    all.sort_by(|(one, _), (other, _)| one.file_name().cmp(&other.file_name()));
    for (below, is_shipped) in all {
        let path = root.join(&below);
        for section in sections_of(root, &below)? {
            if is_shipped {
                demand(repos, &section, variables);
                continue;
            }
            if !repos.contains_key("main")
                && let Some(note) = misplaced(&section, &path)?
            {
                notes.push(note);
                continue;
            }
            notes.extend(check_section(Where::Repository, &section, &path)?);
            let pattern = variables.expand(&section.name);
            let mut fitting =
                repos.iter_mut().filter(|(id, _)| crate::session::fits(&pattern, id)).peekable();
            if fitting.peek().is_none() {
                let place = format!("{}:{}", path.display(), section.line);
                notes.push(format!("{place}: no repository matches `{pattern}`"));
            }
            for (_, written) in fitting {
                let values = section.values.iter().map(|(key, value, _)| (key, value));
                let in_force =
                    |key: &str, value: &str| matches!(check(Where::Repository, key, value), Ok(Ok(())));
                values
                    .filter(|(key, value)| in_force(key, value))
                    .for_each(|(key, value)| written.set(key, value));
            }
        }
    }
    Ok(())
}

/// What a shipped section demands of repositories.
fn demand(repos: &mut BTreeMap<String, Written>, section: &Section, variables: &Variables) {
    let pattern = variables.expand(&section.name);
    let demanded = DEMANDS.into_iter().filter(|key| section.get(key).and_then(boolean) == Some(true));
    let demanded: Vec<&str> = demanded.collect();
    for (_, written) in repos.iter_mut().filter(|(id, _)| crate::session::fits(&pattern, id)) {
        demanded.iter().for_each(|key| written.set(key, "1"));
    }
}

/// `--setopt=ID.KEY=VALUE`. The id may have dots in it, and may be a glob.
fn set(repos: &mut BTreeMap<String, Written>, options: &[(String, String)]) -> Result<(), RepoError> {
    for (given, value) in options {
        let Some((pattern, key)) = given.rsplit_once('.') else { continue };
        check_given(Where::Repository, given, key, value)?;
        let mut fitting = repos.iter_mut().filter(|(id, _)| crate::session::fits(pattern, id)).peekable();
        if fitting.peek().is_none() {
            let reason = format!("no repository matches `{pattern}`: red-repolist --all lists them");
            return Err(RepoError::Option { given: format!("{given}={value}"), reason });
        }
        fitting.for_each(|(_, written)| written.set(key, value));
    }
    Ok(())
}
