//! Making a node.
//!
//! A directory becomes a node with its status file, so that is written last; each file is written
//! aside, synced and renamed. A crash leaves no node, or a whole one.

mod headers;
mod templates;
mod write;

use std::path::{Path, PathBuf};

use super::decode;
use super::diagnostic::Report;
use super::expand::{self, Commands, Launch, NodeVars, Scope};
use super::family::{ADMIN_NAMES, CONFIG_NAMES, STATUS_NAME};
use super::load::{self, Loader, NodeDraft};
use super::place::{self, PlaceError};
use super::source::Sources;
use super::value::{self, State};

pub use templates::BUILT_IN;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Directory of the node.
    pub path: PathBuf,
    /// Its alias; the last component of the path when absent.
    pub alias: Option<String>,
    /// Name or path of the template of its configuration.
    pub template: Option<String>,
    /// Name or path of the template of its admin configuration.
    pub admin_template: Option<String>,
    /// Where templates are looked for before the built-in ones.
    pub templates: Option<PathBuf>,
    /// The node may exist: its status becomes that of where it is now, files that are missing or
    /// whose template is named are written.
    pub update: bool,
}

/// What was done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Created {
    /// Directory of the node, without symbolic links.
    pub path: PathBuf,
    /// Its alias.
    pub alias: String,
    /// Its name.
    pub name: String,
    /// Files written, relative to the directory.
    pub written: Vec<&'static str>,
}

/// Why no node was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The directory above it cannot be used, or it cannot be written.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The path names no directory to make.
    #[error("{path} does not name a directory to make a node in")]
    NoName {
        /// What was given.
        path: String,
    },
    /// There is something already.
    #[error("{path} exists: `--update` changes a node that is there")]
    Exists {
        /// What is there.
        path: String,
    },
    /// There is nothing to update.
    #[error("{path} is not a node yet: without `--update` one is made")]
    NotThere {
        /// The directory.
        path: String,
    },
    /// The alias is none.
    #[error("`{alias}` is not {wanted}: {help}")]
    Alias {
        /// What was given.
        alias: String,
        /// What an alias is.
        wanted: String,
        /// What may be in one.
        help: String,
    },
    /// No such template.
    #[error("there is no template `{name}`, neither in {directory} nor built in (built in: {known})")]
    NoTemplate {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        directory: String,
        /// What there is.
        known: String,
    },
    /// A template, or a file of the node, with mistakes in it.
    #[error("{}", .report.one_line(.sources))]
    Mistakes {
        /// The mistakes.
        report: Report,
        /// The texts.
        sources: Sources,
    },
    /// A template whose headers cannot be filled in.
    #[error("template `{name}`: its headers cannot be filled in: {reason}")]
    Headers {
        /// The template.
        name: String,
        /// Why not.
        reason: &'static str,
    },
}

/// Makes or updates a node.
///
/// # Errors
/// It exists (or does not, for an update), a template is missing or wrong, or the file system
/// refuses. Then nothing has changed.
pub fn create(request: &Request, launch: &Launch) -> Result<Created, CreateError> {
    let (parent, name) = split(&request.path)?;
    let path = parent.join(&name);
    let existing = existing(&path)?;
    match (&existing, request.update) {
        (None, true) => return Err(CreateError::NotThere { path: path.display().to_string() }),
        (Some(_), false) => return Err(CreateError::Exists { path: path.display().to_string() }),
        _ => {}
    }
    let wanted = Wanted::find(request, &path, &name, existing.as_ref())?;
    let vars = NodeVars {
        alias: wanted.alias.clone(),
        name: wanted.name.clone(),
        path: path.display().to_string(),
        info: String::new(),
        config_file: CONFIG_NAMES[0],
        admin_file: ADMIN_NAMES[0],
    };
    let scope = Scope { node: &vars, leaf: &vars, launch };
    let mut files: Vec<(&'static str, String)> = Vec::new();
    let library = templates::Library::new(request.templates.as_deref(), launch.prefix());
    let core = has_core(&parent, launch.prefix());
    if existing.as_ref().is_none_or(|node| node.config.is_none()) || request.template.is_some() {
        let name = request.template.as_deref().unwrap_or(if core { "leaf-normal" } else { "full-normal" });
        let template = library.get(name, "normal")?;
        files.push((CONFIG_NAMES[0], headers::fill(&template, scope, &wanted.alias, decode::config)?));
    }
    if existing.is_none() || request.admin_template.is_some() {
        let name =
            request.admin_template.as_deref().unwrap_or(if core { "leaf-admin" } else { "full-admin" });
        let template = library.get(name, "admin")?;
        let alias = format!("{}-admin", wanted.alias);
        files.push((ADMIN_NAMES[0], headers::fill(&template, scope, &alias, decode::admin_config)?));
    }
    files.push((STATUS_NAME, status(&path, &wanted, scope)));
    let written = files.iter().map(|(name, _)| *name).collect();
    write::write(&parent, &name, &files)?;
    let name = if wanted.name.is_empty() { launch.uuid().to_owned() } else { wanted.name };
    Ok(Created { path, alias: wanted.alias, name, written })
}

/// The directory above a node, which must exist, and the node's own name.
fn split(path: &Path) -> Result<(PathBuf, String), CreateError> {
    let bad = || CreateError::NoName { path: path.display().to_string() };
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(bad)?;
    let above = match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    Ok((place::canonical(above)?, name.to_owned()))
}

/// The node that is there, as far as it can be read. A directory without a status file is none, but
/// one that holds a configuration is in the way.
fn existing(path: &Path) -> Result<Option<NodeDraft>, CreateError> {
    if !path.exists() {
        return Ok(None);
    }
    let mut loader = Loader::default();
    let draft = load::single(&mut loader, path, false)?;
    // The status is written anew; only a configuration that is there must be readable.
    let unreadable =
        draft.as_ref().is_some_and(|draft| draft.config.is_none()) && path.join(CONFIG_NAMES[0]).exists();
    if unreadable && loader.report.has_errors() {
        return Err(CreateError::Mistakes { report: loader.report, sources: loader.sources });
    }
    if draft.is_none() {
        let in_the_way =
            CONFIG_NAMES.iter().chain(&ADMIN_NAMES).map(|name| path.join(name)).find(|file| file.exists());
        if let Some(file) = in_the_way {
            return Err(CreateError::Exists { path: file.display().to_string() });
        }
    }
    Ok(draft)
}

/// Whether something above brings the core OS's view: a node, or redmain.
fn has_core(parent: &Path, prefix: &str) -> bool {
    let redmain = PathBuf::from(format!("{prefix}/etc/redpak/main.yaml"));
    redmain.exists() || parent.ancestors().any(|above| above.join(STATUS_NAME).exists())
}

/// What goes into headers and status.
struct Wanted {
    alias: String,
    name: String,
    state: State,
    update: bool,
}

impl Wanted {
    fn find(
        request: &Request,
        path: &Path,
        name: &str,
        existing: Option<&NodeDraft>,
    ) -> Result<Self, CreateError> {
        let headers = existing.and_then(|node| node.config.as_ref()).map(|config| &config.headers);
        let old_alias = headers.map(|headers| headers.alias.value.clone());
        let alias = request.alias.clone().or(old_alias).unwrap_or_else(|| name.to_owned());
        let alias = value::alias(&alias).map_err(|wrong| CreateError::Alias {
            alias: alias.clone(),
            wanted: wrong.wanted,
            help: wrong.help.unwrap_or_else(|| format!("give one for {}", path.display())),
        })?;
        let old_name = headers.and_then(|headers| headers.name.as_ref()).map(|name| name.value.clone());
        let state = existing.and_then(|node| node.status.as_ref()).map(|status| status.state.value);
        Ok(Self {
            alias,
            name: old_name.filter(|name| !name.is_empty()).unwrap_or_default(),
            state: state.unwrap_or(State::Enable),
            update: request.update,
        })
    }
}

/// The text of the status file.
fn status(path: &Path, wanted: &Wanted, scope: Scope<'_>) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let verb = if wanted.update { "updated" } else { "created" };
    let info = expand::expand(&format!("{verb} by $LOGNAME($HOSTNAME) on $TODAY"), scope, Commands::AsText);
    let info = info.map(|info| info.actual).unwrap_or_default();
    format!(
        "realpath: {}\ntimestamp: {}\nstate: {}\ninfo: {}\n",
        headers::quoted(&path.display().to_string()),
        now.as_millis(),
        wanted.state,
        headers::quoted(&info),
    )
}
