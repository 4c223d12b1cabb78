//! Which repositories a node has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files::{files, read};
use super::ini::{self, Section};
use super::options::{self, Unknown, Where, boolean, check, check_given, other_spelling};
use super::variables::Variables;

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
    /// The `dnf.conf` of another node that demands so for its own repositories, whatever a command says.
    pub(crate) demanded: Option<PathBuf>,
    /// The metadata must be signed.
    pub(crate) repo_gpgcheck: bool,
    pub(crate) gpgkey: Vec<String>,
    /// Metadata may be older than those that were seen before.
    pub(crate) allow_older: bool,
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
    /// Its options that are not in force.
    pub(crate) notes: Vec<String>,
}

/// What holds for all repositories and transactions, from `etc/dnf/dnf.conf`, dnf5's directory of such files and `--setopt`.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) values: BTreeMap<String, String>,
    /// The file that demands signed packages, if one does.
    pub(super) demands: Option<PathBuf>,
    /// Options that are not in force.
    pub(crate) notes: Vec<String>,
}

/// What a command line and `[main]` of `dnf.conf` say about repositories.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Overrides<'a> {
    /// `--setopt`.
    pub(crate) options: &'a [(String, String)],
    /// `--repofrompath`, id and URL.
    pub(crate) from_path: &'a [(String, String)],
    /// The settings.
    pub(crate) main: Option<&'a Settings>,
}

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
    /// A path below a root, which the error names, cannot be opened.
    #[error("{0}")]
    Below(std::io::Error),
    /// A link that leads to nothing in its node.
    #[error(
        "{link} is a symbolic link to {target}, which does not exist below {root}: replace it by a file, or by a link to one of \
         this node"
    )]
    Nowhere {
        /// The link.
        link: PathBuf,
        /// Its target.
        target: PathBuf,
        /// The root that it is in.
        root: PathBuf,
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
    /// An option of the command line.
    #[error("--setopt={given}: {reason}")]
    Option {
        /// What was given.
        given: String,
        /// What is wrong with it.
        reason: String,
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

/// The settings of a node.
const CONF: &str = "etc/dnf/dnf.conf";

/// dnf5's parts of them. What `dnf.conf` has too holds as it is there.
const PARTS: &str = "etc/dnf/libdnf5.conf.d";

/// The same as distributions ship them.
const DEFAULTS: &str = "usr/share/dnf5/libdnf.conf.d";

const DEFAULT_PRIORITY: i32 = 99;
const DEFAULT_COST: i32 = 1000;
const DEFAULT_EXPIRE: u64 = 48 * 3600;

impl Settings {
    /// Reads the settings of a node, then what the command line says.
    pub(crate) fn load(root: &Path, options: &[(String, String)]) -> Result<Self, RepoError> {
        let (mut values, mut notes, mut demands) = (BTreeMap::new(), Vec::new(), None);
        for below in files(root, PARTS, "conf")?.into_iter().chain([CONF.into()]) {
            let path = root.join(&below);
            for section in sections_of(root, &below)? {
                is_main(&section, &path)?;
                notes.extend(check_section(Where::Main, &section, &path)?);
                if gpgcheck(|key| section.get(key)) {
                    demands = Some(path.clone());
                }
                values.extend(section.values.into_iter().map(|(key, value, _)| (key, value)));
            }
        }
        for (key, value, path) in defaults(root)? {
            if !values.contains_key(&key)
                && other_spelling(&key).is_none_or(|other| !values.contains_key(other))
            {
                if gpgcheck(|asked| (asked == key).then_some("1")) {
                    demands.get_or_insert(path);
                }
                values.insert(key, value);
            }
        }
        for (key, value) in options.iter().filter(|(key, _)| !key.contains('.')) {
            check_given(Where::Main, key, key, value)?;
            // Two spellings of one option: the command line's is the last word.
            if let Some(other) = other_spelling(key) {
                values.remove(other);
            }
            values.insert(key.clone(), value.clone());
        }
        Ok(Self { values, demands, notes })
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// A switch.
    pub(crate) fn on(&self, key: &str, default: bool) -> bool {
        self.get(key).and_then(boolean).unwrap_or(default)
    }

    /// Whether packages of all repositories must be signed.
    pub(super) fn gpgcheck(&self) -> bool {
        gpgcheck(|key| self.get(key))
    }

    /// Whether `gpgcheck` asks for signed metadata as well (dnf5).
    pub(super) fn with_metadata(&self) -> bool {
        matches!(self.get("gpgcheck_policy"), Some("full" | "all"))
    }

    /// Whether packages of the command line must be signed.
    pub(crate) fn local_gpgcheck(&self) -> bool {
        let all = self.get("gpgcheck_policy") == Some("all") && self.gpgcheck();
        self.on("localpkg_gpgcheck", all)
    }

    /// A number.
    pub(crate) fn number(&self, key: &str, default: usize) -> usize {
        self.get(key).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    /// A list.
    pub(crate) fn list(&self, key: &str) -> Vec<String> {
        options::list(self.get(key).unwrap_or_default())
    }
}

/// What dnf5 as its distribution ships it demands, and where, unless the node has a file of that name of its own. Nothing
/// else of these files is in force.
fn defaults(root: &Path) -> Result<Vec<(String, String, PathBuf)>, RepoError> {
    let own = files(root, PARTS, "conf")?;
    let mut found = Vec::new();
    for below in files(root, DEFAULTS, "conf")? {
        if own.iter().any(|own| own.file_name() == below.file_name()) {
            continue;
        }
        for section in sections_of(root, &below)?.iter().filter(|section| section.name == "main") {
            let on = |key: &&str| section.get(key).and_then(boolean).unwrap_or(false);
            let asked =
                ["gpgcheck", "pkg_gpgcheck", "repo_gpgcheck", "localpkg_gpgcheck"].into_iter().filter(on);
            found.extend(asked.map(|key| (key.to_owned(), "1".to_owned(), root.join(&below))));
            let policy = section.get("gpgcheck_policy").filter(|policy| matches!(*policy, "full" | "all"));
            found.extend(policy.map(|policy| ("gpgcheck_policy".into(), policy.into(), root.join(&below))));
        }
    }
    Ok(found)
}

/// Whether packages must be signed, in either spelling.
fn gpgcheck<'a>(get: impl Fn(&str) -> Option<&'a str>) -> bool {
    ["gpgcheck", "pkg_gpgcheck"].into_iter().any(|key| get(key).and_then(boolean).unwrap_or(false))
}

/// Refuses any other section of `dnf.conf`: what stands there would not be in force.
fn is_main(section: &Section, path: &Path) -> Result<(), RepoError> {
    let name = section.name.as_str();
    if name == "main" {
        return Ok(());
    }
    let message = if strsim::damerau_levenshtein(&name.to_ascii_lowercase(), "main") <= 1 {
        format!("unsupported section `[{name}]`: did you mean `[main]`?")
    } else {
        format!("unsupported section `[{name}]`: repositories are in files of etc/yum.repos.d")
    };
    Err(RepoError::Line { path: path.to_owned(), line: section.line, message })
}

/// Checks every option of a section. Returns words for those that are not in force.
pub(super) fn check_section(place: Where, section: &Section, path: &Path) -> Result<Vec<String>, RepoError> {
    let mut notes = Vec::new();
    for (key, value, line) in &section.values {
        match check(place, key, value) {
            Ok(Ok(())) => {}
            Ok(Err(Unknown)) => {
                notes.push(format!("{}:{line}: unsupported option `{key}` is not in force", path.display()));
            }
            Err(message) => {
                return Err(RepoError::Line { path: path.to_owned(), line: *line, message });
            }
        }
    }
    Ok(notes)
}

/// The sections of a file of a root.
pub(super) fn sections_of(root: &Path, below: &Path) -> Result<Vec<Section>, RepoError> {
    read(root, below)?.map_or_else(|| Ok(Vec::new()), |text| sections(&root.join(below), &text))
}

pub(super) fn sections(path: &Path, text: &str) -> Result<Vec<Section>, RepoError> {
    ini::parse(text).map_err(|(line, message)| RepoError::Line { path: path.to_owned(), line, message })
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
    let notes = check_section(Where::Repository, section, path)?;
    let on = |key: &str, default: bool| section.get(key).and_then(boolean).unwrap_or(default);
    let number =
        |key: &str, default: i32| section.get(key).and_then(|text| text.parse().ok()).unwrap_or(default);
    let text =
        |key: &str| section.get(key).filter(|value| !value.is_empty()).map(|value| variables.expand(value));
    let urls = |key: &str| section.list(key).iter().map(|url| variables.expand(url)).collect::<Vec<_>>();
    let repo = Repo {
        name: text("name").unwrap_or_else(|| id.clone()),
        baseurl: urls("baseurl"),
        mirrorlist: text("mirrorlist"),
        metalink: text("metalink"),
        enabled: on("enabled", true),
        gpgcheck: on("gpgcheck", false) || on("pkg_gpgcheck", false),
        demanded: None,
        repo_gpgcheck: on("repo_gpgcheck", false),
        gpgkey: urls("gpgkey"),
        allow_older: on("allow_older", false),
        priority: number("priority", DEFAULT_PRIORITY),
        cost: number("cost", DEFAULT_COST),
        exclude: [section.list("exclude"), section.list("excludepkgs")].concat(),
        include: section.list("includepkgs"),
        expire: expire(section.get("metadata_expire")),
        skip_if_unavailable: on("skip_if_unavailable", false),
        proxy: text("proxy").filter(|proxy| proxy != "_none_"),
        username: text("username"),
        password: text("password"),
        file: Some(path.to_owned()),
        notes,
        id,
    };
    if repo.enabled && repo.baseurl.is_empty() && repo.mirrorlist.is_none() && repo.metalink.is_none() {
        let message = format!("repository `{}` has neither baseurl nor mirrorlist nor metalink", repo.id);
        return Err(wrong(section.line, message));
    }
    Ok(repo)
}

fn expire(value: Option<&str>) -> Option<Duration> {
    let default = Some(DEFAULT_EXPIRE);
    value.map_or(default, |value| options::seconds(value).unwrap_or(default)).map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
