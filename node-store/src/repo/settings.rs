//! Which repositories a node has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ini::{self, Section};

/// One repository.
#[derive(Clone, Debug)]
pub(crate) struct Repo {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) baseurl: Vec<String>,
    pub(crate) mirrorlist: Option<String>,
    pub(crate) metalink: Option<String>,
    pub(crate) enabled: bool,
    /// Packages must be signed, whatever the family says.
    pub(crate) gpgcheck: bool,
    /// The metadata must be signed.
    pub(crate) repo_gpgcheck: bool,
    pub(crate) gpgkey: Vec<String>,
    /// 1 is preferred to 99.
    pub(crate) priority: i32,
    pub(crate) cost: i32,
    pub(crate) exclude: Vec<String>,
    pub(crate) include: Vec<String>,
    /// How long metadata are taken as they are; `None` is for ever.
    pub(crate) expire: Option<Duration>,
    pub(crate) skip_if_unavailable: bool,
    pub(crate) proxy: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    /// Where it is written.
    pub(crate) file: Option<PathBuf>,
}

/// What holds for all repositories and transactions, from `etc/dnf/dnf.conf` and `--setopt`.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) values: BTreeMap<String, String>,
}

/// What `$releasever` and the like stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables(pub(crate) BTreeMap<String, String>);

/// Why a repository cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RepoError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is wrong.
    #[error("{path}:{line}: {message}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What is wrong and what is wanted.
        message: String,
    },
    /// It is there already.
    #[error("repository `{id}` exists in {path}: `--remove-repo {id}` removes it, `--id` names another")]
    Exists {
        /// Its id.
        id: String,
        /// Where.
        path: PathBuf,
    },
    /// It is not there.
    #[error("this node has no repository `{id}`: `--list-repo` lists them")]
    Unknown {
        /// What was asked for.
        id: String,
    },
    /// What was given is no place of a repository.
    #[error("`{given}` is neither a URL (http, https, file), nor a directory, nor a .repo file")]
    NoPlace {
        /// What was given.
        given: String,
    },
}

const DEFAULT_PRIORITY: i32 = 99;
const DEFAULT_COST: i32 = 1000;
const DEFAULT_EXPIRE: u64 = 48 * 3600;

impl Settings {
    /// Reads `etc/dnf/dnf.conf` of a node, then what the command line says.
    pub(crate) fn load(root: &Path, options: &[(String, String)]) -> Result<Self, RepoError> {
        let path = root.join("etc/dnf/dnf.conf");
        let mut values = BTreeMap::new();
        if let Some(text) = read(&path)? {
            for section in sections(&path, &text)?.into_iter().filter(|section| section.name == "main") {
                values.extend(section.values.into_iter().map(|(key, value, _)| (key, value)));
            }
        }
        values.extend(options.iter().filter(|(key, _)| !key.contains('.')).cloned());
        Ok(Self { values })
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// A switch.
    pub(crate) fn on(&self, key: &str, default: bool) -> bool {
        self.get(key).and_then(switch).unwrap_or(default)
    }

    /// A number.
    pub(crate) fn number(&self, key: &str, default: usize) -> usize {
        self.get(key).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    /// A list.
    pub(crate) fn list(&self, key: &str) -> Vec<String> {
        let value = self.get(key).unwrap_or_default();
        value.split([',', ' ', '\n']).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }
}

fn switch(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Some(true),
        "0" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

impl Variables {
    /// Those of the machine, then of core OS and nodes in `etc/dnf/vars`, then of the command line.
    pub(crate) fn load(roots: &[PathBuf], releasever: Option<&str>) -> Self {
        let arch = crate::solve::arch();
        let base = if arch == "i686" { "i386" } else { arch };
        let mut values: BTreeMap<String, String> = [("arch", arch), ("basearch", base)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        for root in roots {
            let text = std::fs::read_to_string(root.join("etc/os-release")).unwrap_or_default();
            let version = text.lines().find_map(|line| line.strip_prefix("VERSION_ID="));
            if let Some(version) = version {
                values.insert("releasever".into(), version.trim_matches('"').to_owned());
            }
            for entry in std::fs::read_dir(root.join("etc/dnf/vars")).into_iter().flatten().flatten() {
                if let Ok(value) = std::fs::read_to_string(entry.path()) {
                    values.insert(entry.file_name().to_string_lossy().into_owned(), value.trim().to_owned());
                }
            }
        }
        values.extend(releasever.map(|version| ("releasever".to_owned(), version.to_owned())));
        Self(values)
    }

    /// A text with its `$name` and `${name}` replaced. Unknown names stay as they are.
    pub(crate) fn expand(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            let (name, length) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
                Some((name, _)) => (name, name.len() + 3),
                None => {
                    let end =
                        after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                    (&after[..end], end + 1)
                }
            };
            match self.0.get(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&rest[at..at + length]),
            }
            rest = &rest[at + length..];
        }
        out.push_str(rest);
        out
    }
}

/// Reads a file if it exists.
pub(super) fn read(path: &Path) -> Result<Option<String>, RepoError> {
    match std::fs::read_to_string(path) {
        Ok(text) if text.len() <= 1 << 20 => Ok(Some(text)),
        Ok(_) => {
            Err(RepoError::File { path: path.to_owned(), source: std::io::Error::other("more than 1 MiB") })
        }
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(source) => Err(RepoError::File { path: path.to_owned(), source }),
    }
}

pub(super) fn sections(path: &Path, text: &str) -> Result<Vec<Section>, RepoError> {
    ini::parse(text).map_err(|(line, message)| RepoError::Line { path: path.to_owned(), line, message })
}

/// The repositories in `etc/yum.repos.d` of some roots, the last root's winning.
pub(crate) fn load(
    roots: &[PathBuf],
    variables: &Variables,
    options: &[(String, String)],
) -> Result<Vec<Repo>, RepoError> {
    let mut repos: BTreeMap<String, Repo> = BTreeMap::new();
    for root in roots {
        let dir = root.join("etc/yum.repos.d");
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "repo"));
        files.sort();
        for path in files {
            let Some(text) = read(&path)? else { continue };
            for section in sections(&path, &text)? {
                let repo = repo(&section, &path, variables)?;
                repos.insert(repo.id.clone(), repo);
            }
        }
    }
    for (key, value) in options {
        if let Some((id, key)) = key.split_once('.')
            && let Some(repo) = repos.get_mut(id)
        {
            set(repo, key, value);
        }
    }
    Ok(repos.into_values().collect())
}

/// What `--setopt=ID.KEY=VALUE` may change.
fn set(repo: &mut Repo, key: &str, value: &str) {
    let on = switch(value);
    match key {
        "enabled" => repo.enabled = on.unwrap_or(repo.enabled),
        "gpgcheck" => repo.gpgcheck = on.unwrap_or(repo.gpgcheck),
        "repo_gpgcheck" => repo.repo_gpgcheck = on.unwrap_or(repo.repo_gpgcheck),
        "priority" => repo.priority = value.parse().unwrap_or(repo.priority),
        "cost" => repo.cost = value.parse().unwrap_or(repo.cost),
        "baseurl" => repo.baseurl = vec![value.to_owned()],
        "excludepkgs" | "exclude" => repo.exclude = value.split(',').map(str::to_owned).collect(),
        "skip_if_unavailable" => repo.skip_if_unavailable = on.unwrap_or(repo.skip_if_unavailable),
        "proxy" => repo.proxy = (!value.is_empty()).then(|| value.to_owned()),
        _ => {}
    }
}

pub(super) fn repo(section: &Section, path: &Path, variables: &Variables) -> Result<Repo, RepoError> {
    let wrong = |line, message| RepoError::Line { path: path.to_owned(), line, message };
    let id = variables.expand(&section.name);
    if id.is_empty()
        || !id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:+${}".contains(c))
        || id.starts_with('.')
    {
        return Err(wrong(
            section.line,
            format!("`{id}` is no id of a repository: letters, digits and `-_.:+`"),
        ));
    }
    let on = |key: &str, default: bool| match section.get(key) {
        None => Ok(default),
        Some(value) => {
            let line = section
                .values
                .iter()
                .rev()
                .find(|(known, _, _)| known == key)
                .map_or(section.line, |(_, _, at)| *at);
            switch(value).ok_or_else(|| wrong(line, format!("`{key}={value}`: 0 or 1 is wanted")))
        }
    };
    let number = |key: &str, default: i32| match section.get(key) {
        None => Ok(default),
        Some(value) => value
            .parse()
            .map_err(|_number| wrong(section.line, format!("`{key}={value}`: a number is wanted"))),
    };
    let text =
        |key: &str| section.get(key).filter(|value| !value.is_empty()).map(|value| variables.expand(value));
    let urls = |key: &str| section.list(key).iter().map(|url| variables.expand(url)).collect::<Vec<_>>();
    let repo = Repo {
        name: text("name").unwrap_or_else(|| id.clone()),
        baseurl: urls("baseurl"),
        mirrorlist: text("mirrorlist"),
        metalink: text("metalink"),
        enabled: on("enabled", true)?,
        gpgcheck: on("gpgcheck", false)?,
        repo_gpgcheck: on("repo_gpgcheck", false)?,
        gpgkey: urls("gpgkey"),
        priority: number("priority", DEFAULT_PRIORITY)?,
        cost: number("cost", DEFAULT_COST)?,
        exclude: [section.list("exclude"), section.list("excludepkgs")].concat(),
        include: section.list("includepkgs"),
        expire: expire(section.get("metadata_expire")),
        skip_if_unavailable: on("skip_if_unavailable", false)?,
        proxy: text("proxy").filter(|proxy| proxy != "_none_"),
        username: text("username"),
        password: text("password"),
        file: Some(path.to_owned()),
        id,
    };
    if repo.enabled && repo.baseurl.is_empty() && repo.mirrorlist.is_none() && repo.metalink.is_none() {
        let message = format!("repository `{}` has neither baseurl nor mirrorlist nor metalink", repo.id);
        return Err(wrong(section.line, message));
    }
    Ok(repo)
}

/// `90`, `15m`, `6h`, `2d`, `never`.
fn expire(value: Option<&str>) -> Option<Duration> {
    let Some(value) = value else { return Some(Duration::from_secs(DEFAULT_EXPIRE)) };
    if matches!(value, "never" | "-1") {
        return None;
    }
    let (digits, unit) = value.split_at(value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len()));
    let seconds = match unit.trim() {
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => 1,
    };
    Some(Duration::from_secs(digits.parse::<u64>().unwrap_or(DEFAULT_EXPIRE).saturating_mul(seconds)))
}

/// A repository at a URL, as `--repofrompath` and `--add-repo` make it.
pub(crate) fn repo_of_url(id: &str, url: &str) -> Repo {
    Repo {
        id: id.to_owned(),
        name: id.to_owned(),
        baseurl: vec![url.to_owned()],
        mirrorlist: None,
        metalink: None,
        enabled: true,
        gpgcheck: false,
        repo_gpgcheck: false,
        gpgkey: Vec::new(),
        priority: DEFAULT_PRIORITY,
        cost: DEFAULT_COST,
        exclude: Vec::new(),
        include: Vec::new(),
        expire: Some(Duration::from_secs(DEFAULT_EXPIRE)),
        skip_if_unavailable: false,
        proxy: None,
        username: None,
        password: None,
        file: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_expand() {
        let variables = Variables([("releasever".to_owned(), "9".to_owned())].into());
        assert_eq!(variables.expand("http://x/$releasever/${releasever}a/$other/"), "http://x/9/9a/$other/");
        assert_eq!(variables.expand("$"), "$");
    }

    #[test]
    fn mistakes_name_the_line() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("etc/yum.repos.d");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("a.repo"), "[a]\nbaseurl=http://x\nenabled=maybe\n").unwrap();
        let error = load(&[root.path().to_owned()], &Variables::default(), &[]).unwrap_err().to_string();
        assert!(error.ends_with("a.repo:3: `enabled=maybe`: 0 or 1 is wanted"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn expansion_leaves_other_text_alone(text in "(?s)[^$]{0,60}", tail in "(?s)[${}a-z\u{e9}]{0,20}") {
            let variables = Variables([("a".to_owned(), "A".to_owned())].into());
            proptest::prop_assert_eq!(&variables.expand(&text), &text);
            variables.expand(&tail);
        }
    }
}
