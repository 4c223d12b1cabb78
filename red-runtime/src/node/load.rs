//! A redpath on disk → a [`Family`]. All of the model's input and output is here.

use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, openat};

use super::config::{Config, Status};
use super::decode;
use super::diagnostic::{Code, Diagnostic, Report};
use super::expand::NodeVars;
use super::family::{ADMIN_NAMES, CONFIG_NAMES, Family, Main, Node, STATUS_NAME};
use super::limits;
use super::place::{self, Deciding, Facts, PlaceError, Way};
use super::source::Sources;

/// Where the core OS's layer comes from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum MainFile {
    /// `$NODE_PREFIX/etc/redpak/main.yaml` (or `main-admin.yaml`) if it exists.
    #[default]
    Default,
    /// This file, which must exist.
    Path(PathBuf),
}

/// What is read besides the nodes' own configuration.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Admin mode: admin files are in force too.
    pub admin: bool,
    /// `main.yaml`.
    pub main: MainFile,
    /// `main-admin.yaml`.
    pub main_admin: MainFile,
    /// `NODE_PREFIX`.
    pub prefix: String,
}

/// Why there is no family to speak of.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The redpath itself.
    #[error("node {0}")]
    Redpath(#[source] PlaceError),
    /// A directory, but no node.
    #[error("{path} is not a node: it has no `{STATUS_NAME}`")]
    NotANode {
        /// The redpath.
        path: String,
    },
    /// More nodes than any real family has.
    #[error("{path} has more than {} nodes in its family", limits::FAMILY_NODES)]
    TooManyNodes {
        /// The redpath.
        path: String,
    },
}

/// What was found, complete or not.
#[derive(Debug)]
pub struct Loaded {
    /// The family, when every file of it could be read.
    pub family: Option<Family>,
    /// The texts, for showing the mistakes.
    pub sources: Arc<Sources>,
    /// The mistakes.
    pub report: Report,
}

/// Reads one kind of file, see [`decode`].
type Decode<T> = fn(super::source::FileId, &str, &mut Report) -> Option<T>;

/// One node as far as it could be read.
#[derive(Debug)]
pub struct NodeDraft {
    /// Its directory.
    pub path: PathBuf,
    /// Facts of its directory.
    pub facts: Facts,
    /// Its status, if readable.
    pub status: Option<Status>,
    /// Its configuration, if readable.
    pub config: Option<Config>,
    /// Its admin configuration, if asked for and readable.
    pub admin: Option<Config>,
    config_name: &'static str,
    admin_name: &'static str,
}

/// Reads texts and keeps what they and their mistakes are.
#[derive(Debug, Default)]
pub struct Loader {
    /// The texts read.
    pub sources: Sources,
    /// The mistakes found.
    pub report: Report,
    /// What decided.
    pub deciding: Vec<Deciding>,
}

/// Reads the family of a redpath. Mistakes in files do not stop it: all of them are reported.
///
/// # Errors
/// The redpath is missing, no directory, no node, not UTF-8.
pub fn load(redpath: &Path, options: &LoadOptions) -> Result<Loaded, LoadError> {
    let way = place::resolved(redpath).map_err(LoadError::Redpath)?;
    let mut loader = Loader::default();
    let main = loader.main(options);
    let drafts = loader.walk(&way, options)?;
    let nodes: Option<Vec<Node>> = drafts.into_iter().map(NodeDraft::complete).collect();
    let Loader { sources, report, deciding } = loader;
    let sources = Arc::new(sources);
    let family = match (nodes, report.has_errors()) {
        (Some(nodes), false) => {
            let sources = Arc::clone(&sources);
            let way = if way.has_links() { way.deciding } else { Vec::new() };
            Some(Family { main, nodes, admin: options.admin, sources, deciding, way })
        }
        _ => None,
    };
    Ok(Loaded { family, sources, report })
}

impl Loader {
    /// Reads redmain.
    fn main(&mut self, options: &LoadOptions) -> Main {
        let dir = format!("{}/etc/redpak", options.prefix);
        let config = self.main_file(&options.main, &format!("{dir}/main.yaml"), decode::config);
        let admin = options
            .admin
            .then(|| {
                self.main_file(&options.main_admin, &format!("{dir}/main-admin.yaml"), decode::admin_config)
            })
            .flatten();
        let path = if options.prefix.is_empty() { "/" } else { &options.prefix };
        let names = ("etc/redpak/main.yaml", "etc/redpak/main-admin.yaml");
        let vars = vars(path.to_owned(), config.as_ref().or(admin.as_ref()), names);
        Main { config, admin, vars }
    }

    fn main_file(&mut self, choice: &MainFile, default: &str, decode: Decode<Config>) -> Option<Config> {
        let path = match choice {
            MainFile::Default => Path::new(default),
            MainFile::Path(path) => path,
        };
        match place::text_at(path) {
            Ok(text) => self.decode(path, text, decode),
            Err(error) if *choice == MainFile::Default && place::is_missing(&error) => None,
            Err(error) => {
                self.report.push(Diagnostic::error(Code::Unreadable, error.to_string()));
                None
            }
        }
    }

    /// Walks from `/` to the leaf and reads every node on the way, oldest first. The file system's
    /// root is never a node: what it holds is the core OS.
    fn walk(&mut self, way: &Way, options: &LoadOptions) -> Result<Vec<NodeDraft>, LoadError> {
        let leaf = way.path.as_path();
        // Whoever owns a directory down to the leaf may be believed; who is, the policy says.
        let owners = way.deciding.iter().filter(|one| leaf.starts_with(&one.path));
        let owners: Vec<u32> = owners.map(|one| one.facts.uid).collect();
        let mut drafts: Vec<NodeDraft> = Vec::new();
        let mut dir = place::root().map_err(LoadError::Redpath)?;
        let mut path = PathBuf::from("/");
        for component in leaf.components() {
            let Component::Normal(name) = component else { continue };
            path.push(name);
            let (fd, facts) = place::child(&dir, name, &path).map_err(LoadError::Redpath)?;
            dir = fd;
            self.deciding.push(Deciding { path: path.clone(), facts });
            if path != leaf && self.planted(&dir, &path, &facts, &owners) {
                continue;
            }
            match self.node(&dir, &path, facts, options.admin) {
                Some(draft) => drafts.push(draft),
                None if path == leaf => {
                    return Err(LoadError::NotANode { path: path.display().to_string() });
                }
                None => {}
            }
            if drafts.len() > limits::FAMILY_NODES {
                return Err(LoadError::TooManyNodes { path: leaf.display().to_string() });
            }
        }
        if drafts.is_empty() {
            return Err(LoadError::NotANode { path: leaf.display().to_string() });
        }
        Ok(drafts)
    }

    /// Whether the status file of a directory that everybody may write to, and nobody else's entry be
    /// removed from, is a stranger's. It makes no node of that directory: nobody would believe it, and
    /// it would only keep the nodes below from starting.
    pub(super) fn planted(&mut self, dir: impl AsFd, path: &Path, facts: &Facts, owners: &[u32]) -> bool {
        if !facts.is_open() || !facts.is_sticky() {
            return false;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let status = openat(dir, STATUS_NAME, flags, Mode::empty()).and_then(Facts::of);
        let Ok(Facts { uid, .. }) = status else { return false };
        let own = [0, facts.uid, rustix::process::getuid().as_raw(), rustix::process::geteuid().as_raw()];
        if own.contains(&uid) || owners.contains(&uid) || place::unmapped_owner() == Some(uid) {
            return false;
        }
        let message = format!(
            "{}/{STATUS_NAME} is ignored: it belongs to user {uid}, in a directory that everybody may write to",
            path.display()
        );
        self.report.push(
            Diagnostic::warning(Code::NodeOwner, message)
                .help("remove it, or keep nodes in a directory that others cannot write to"),
        );
        true
    }

    /// Reads one directory if it is a node.
    pub fn node(&mut self, dir: impl AsFd, path: &Path, facts: Facts, admin: bool) -> Option<NodeDraft> {
        let text = match place::text_below(&dir, path, STATUS_NAME) {
            Ok(None) => return None,
            Ok(Some(text)) => Some(text),
            Err(error) => {
                self.report.push(Diagnostic::error(Code::Unreadable, error.to_string()));
                None
            }
        };
        let status = text.and_then(|text| self.decode(&path.join(STATUS_NAME), text, decode::status));
        let (config, config_name) = self.either(&dir, path, CONFIG_NAMES, decode::config);
        let (admin, admin_name) = if admin {
            self.either(&dir, path, ADMIN_NAMES, decode::admin_config)
        } else {
            (None, ADMIN_NAMES[0])
        };
        if config.is_none() && config_name.is_empty() {
            let (path, name) = (path.display(), CONFIG_NAMES[0]);
            self.report.push(
                Diagnostic::error(
                    Code::NodeIncomplete,
                    format!("{path} has a `{STATUS_NAME}` but no `{name}`"),
                )
                .help(format!("`red-conf create --update {path}` writes one")),
            );
        }
        Some(NodeDraft { path: path.to_path_buf(), facts, status, config, admin, config_name, admin_name })
    }

    /// Reads the first of two spellings that exists; the name is empty when none does.
    fn either(
        &mut self,
        dir: impl AsFd,
        path: &Path,
        names: [&'static str; 2],
        decode: Decode<Config>,
    ) -> (Option<Config>, &'static str) {
        for name in names {
            match place::text_below(&dir, path, name) {
                Ok(None) => {}
                Ok(Some(text)) => return (self.decode(&path.join(name), text, decode), name),
                Err(error) => {
                    self.report.push(Diagnostic::error(Code::Unreadable, error.to_string()));
                    return (None, name);
                }
            }
        }
        (None, "")
    }

    fn decode<T>(&mut self, path: &Path, text: place::Text, decode: Decode<T>) -> Option<T> {
        self.deciding.extend(text.deciding);
        let file = self.sources.add(path, text.text);
        decode(file, self.sources.text(file), &mut self.report)
    }
}

impl NodeDraft {
    /// The node, when its files could be read.
    fn complete(self) -> Option<Node> {
        let (status, config) = (self.status?, self.config?);
        let path = self.path.to_str()?.to_owned();
        let moved = !same_place(&status.realpath.value, &self.path);
        let admin_name = if self.admin_name.is_empty() { ADMIN_NAMES[0] } else { self.admin_name };
        let vars = vars(path, Some(&config), (self.config_name, admin_name));
        Some(Node { path: self.path, facts: self.facts, status, moved, config, admin: self.admin, vars })
    }
}

fn vars(path: String, config: Option<&Config>, names: (&'static str, &'static str)) -> NodeVars {
    let headers = config.map(|config| &config.headers);
    let text = |value: Option<&super::source::Located<String>>| {
        value.map(|text| text.value.clone()).unwrap_or_default()
    };
    NodeVars {
        alias: headers.map(|headers| headers.alias.value.clone()).unwrap_or_default(),
        name: text(headers.and_then(|headers| headers.name.as_ref())),
        info: text(headers.and_then(|headers| headers.info.as_ref())),
        path,
        config_file: names.0,
        admin_file: names.1,
    }
}

/// Whether `recorded` leads to `path`, which has no links. A bind mount of the node elsewhere is not
/// where it was made, though it is the same directory: its parents are not above it there, and what they
/// forbid would not hold.
fn same_place(recorded: &str, path: &Path) -> bool {
    let recorded = Path::new(recorded);
    recorded == path || place::canonical(recorded).is_ok_and(|real| real == path)
}

/// Reads the node that `path` is, without its family. `Ok(None)` when it is none.
///
/// # Errors
/// It cannot be opened.
pub fn single(loader: &mut Loader, path: &Path, admin: bool) -> Result<Option<NodeDraft>, PlaceError> {
    let path = place::canonical(path)?;
    let (dir, facts) = place::open_walk(&path)
        .map_err(|errno| PlaceError::Refused { path: path.display().to_string(), errno })?;
    Ok(loader.node(&dir, &path, facts, admin))
}
