//! A family as the store sees it: whose packages are where, and what they must be.

mod places;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use red_runtime::node::diagnostic::{Code, Report};
use red_runtime::node::expand::{self, Commands, Launch, Scope};
use red_runtime::node::generation;
use red_runtime::node::load::{self, LoadError, LoadOptions, MainFile};
use red_runtime::node::merge::{self, CommandUse};
use red_runtime::node::place::PlaceError;
use red_runtime::node::source::Sources;
use red_runtime::policy;
use red_runtime::spec::host::SystemHost;
use red_runtime::spec::identity::Caller;
use red_runtime::spec::plan::{self, Request};

use crate::cache::Cache;
use crate::generation::{DATABASE, RED, Store, StoreError};
use crate::rpm::{Lower, Unread};
use places::{cache_of, deciding, in_generation, whole_database};

/// A node, or the core OS.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// How people call it.
    pub(crate) alias: String,
    /// Its directory; `/` (or the prefix) for the core OS.
    pub(crate) path: PathBuf,
    /// Where its packages' files are: the current generation, or one that is being made.
    pub(crate) tree: PathBuf,
    /// Its rpm database.
    pub(crate) database: PathBuf,
    /// Whether it is the core OS.
    pub(crate) core: bool,
}

impl Member {
    /// In words.
    pub(crate) fn words(&self) -> String {
        if self.core { "the core OS".to_owned() } else { format!("node `{}`", self.alias) }
    }

    /// As a layer of an install view. Layers with a database are looked into for conflicts of files.
    fn lower(&self, database: Option<Unread>) -> Lower {
        Lower {
            owner: self.words(),
            root: self.tree.clone(),
            variable: (!self.core).then(|| self.path.join("var")),
            database,
        }
    }
}

/// A redpath, loaded for the store.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    /// The core OS, if it is part of the family and has a package database.
    pub(crate) core: Option<Member>,
    /// Nodes above, oldest first.
    pub(crate) ancestors: Vec<Member>,
    /// The node itself.
    pub(crate) node: Member,
    /// Who demands signatures.
    pub(crate) gpgcheck: Option<String>,
    /// Where downloads and metadata are kept.
    pub(crate) cache: Cache,
    /// What is to be told of it.
    pub(crate) warning: Option<String>,
    /// Places below the node that decide, besides those that every node has: what links of its
    /// configuration lead to, caches. Relative, as its generations have them.
    pub(crate) deciding: Vec<String>,
}

/// Why there is no family to work on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FamilyError {
    /// The redpath.
    #[error("{}{}", .0, to_make(.0))]
    Load(#[from] LoadError),
    /// Mistakes in configuration files.
    #[error("{}", .0.one_line(.1))]
    Mistakes(Report, Arc<Sources>),
    /// The node's files.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Root, in somebody else's node.
    #[error(
        "{path} belongs to user {uid}, who could lead root anywhere from there: run this as that user \
         (`setpriv --reuid={uid} --clear-groups …`)"
    )]
    Owner {
        /// The node.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// The database is not the node's own.
    #[error(
        "`rpmdir` of node `{alias}` is {database}, outside of the node: such a node shows packages of others, \
         and none can be installed in it"
    )]
    Foreign {
        /// The node.
        alias: String,
        /// Its database.
        database: PathBuf,
    },
}

/// Refuses root in a node of another user, who could lead root astray by moving what is in it meanwhile.
pub(crate) fn is_changeable(node: &Path) -> Result<(), FamilyError> {
    use std::os::unix::fs::MetadataExt;
    let owner = std::fs::metadata(node)
        .map_err(|error| StoreError::InTheWay { path: node.to_owned(), why: error.to_string() })?;
    if rustix::process::geteuid().is_root() && owner.uid() != 0 {
        return Err(FamilyError::Owner { path: node.to_owned(), uid: owner.uid() });
    }
    Ok(())
}

/// What to do where there is no node.
fn to_make(error: &LoadError) -> &'static str {
    match error {
        LoadError::Redpath(PlaceError::Refused { errno: rustix::io::Errno::NOENT, .. })
        | LoadError::NotANode { .. } => {
            "; `red-manager --create` makes one there, or --redpath has to name another"
        }
        _ => "",
    }
}

/// File in `.red` of a node that stands without the core OS's packages.
pub(crate) const WITHOUT_CORE: &str = "no-system-node";

impl Family {
    /// Loads the family of a redpath.
    pub(crate) fn load(redpath: &Path) -> Result<Self, FamilyError> {
        let launch = Launch::of_this_process();
        let options = LoadOptions {
            admin: true,
            main: MainFile::Default,
            main_admin: MainFile::Default,
            prefix: launch.prefix().to_owned(),
        };
        let loaded = load::load(redpath, &options)?;
        let Some(family) = loaded.family else {
            return Err(FamilyError::Mistakes(loaded.report, loaded.sources));
        };
        let (merged, report) = merge::merge(&family, &launch, CommandUse::Keep);
        if report.has_errors() {
            return Err(FamilyError::Mistakes(report, loaded.sources));
        }
        let strangers = strangers(&family, &launch);
        if strangers.has_errors() {
            return Err(FamilyError::Mistakes(strangers, loaded.sources));
        }
        let nodes: Vec<&Path> = family.nodes.iter().map(|node| node.path.as_path()).collect();
        let shown = generation::shown(&nodes);
        let mut members = Vec::new();
        for packages in &merged.packages {
            let node = &family.nodes[packages.node];
            let tree = tree(&node.path, shown.get(&node.path).copied());
            let database = database((&node.path, &tree), PathBuf::from(&packages.rpmdir.value.actual));
            whole_database(&node.path, &database)?;
            members.push(Member {
                alias: node.vars.alias.clone(),
                path: node.path.clone(),
                tree,
                database,
                core: false,
            });
        }
        let Some(node) = members.pop() else { unreachable!("a family has a leaf") };
        let cache = merged.packages.last().map(|packages| PathBuf::from(&packages.cachedir.value.actual));
        let layers = family.layers();
        let demanded = merged.tags.gpgcheck.origin.filter(|_| merged.tags.gpgcheck.value);
        let gpgcheck = demanded.and_then(|origin| Some(layers.get(origin.layer.index())?.name()));
        let without_core =
            members.iter().chain([&node]).any(|member| member.path.join(RED).join(WITHOUT_CORE).exists());
        let core = (!without_core).then(|| core(&family, &launch)).flatten();
        let (cache, warning) = cache_of(&node.path, cache, &merged.claims);
        let nodes: Vec<&Path> = members.iter().chain([&node]).map(|member| member.path.as_path()).collect();
        let cache = Cache::new(&node.path, &nodes, cache);
        let mut deciding = deciding(&family, &node.path);
        let places = merged.packages.iter().flat_map(|one| [&one.cachedir, &one.persistdir, &one.rpmdir]);
        deciding.extend(places.filter_map(|place| in_generation(&node.path, Path::new(&place.value.actual))));
        Ok(Self { core, ancestors: members, node, gpgcheck, cache, warning, deciding })
    }

    /// Everybody, oldest first: core OS, ancestors, node.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.core.iter().chain(&self.ancestors).chain([&self.node])
    }

    /// Refuses to change a node whose packages are elsewhere, or whose owner could lead root astray by
    /// moving what is in it meanwhile.
    pub(crate) fn may_change(&self) -> Result<(), FamilyError> {
        is_changeable(&self.node.path)?;
        if [self.node.path.join(DATABASE), self.node.tree.join(DATABASE)].contains(&self.node.database) {
            return Ok(());
        }
        Err(FamilyError::Foreign { alias: self.node.alias.clone(), database: self.node.database.clone() })
    }

    /// The layers of the node's install view, strongest first.
    pub(crate) fn lowers(&self) -> Vec<Lower> {
        let mut lowers = vec![self.node.lower(None)];
        lowers.extend(self.ancestors.iter().rev().map(|member| member.lower(None)));
        match &self.core {
            Some(core) => lowers.push(core.lower(None)),
            // Scriptlets need a shell even where packages of the core OS do not count.
            None => lowers.push(Lower {
                owner: "the core OS".into(),
                root: PathBuf::from("/"),
                variable: None,
                database: None,
            }),
        }
        lowers
    }

    /// The same, to be looked into for conflicts of files.
    pub(crate) fn lowers_to_compare(&self) -> Vec<Lower> {
        let mut lowers = self.lowers();
        let above = self.ancestors.iter().rev().chain(&self.core);
        for (lower, member) in lowers.iter_mut().skip(1).zip(above) {
            lower.database = Some(Unread::of(member));
        }
        lowers
    }
}

/// Nodes that lie in what another one exports writable: what runs there could have made them, with
/// repositories and keys of its own.
fn strangers(family: &red_runtime::node::family::Family, launch: &Launch) -> Report {
    let mut request = Request::new(Caller { uid: launch.uid, gid: launch.gid });
    // One that cannot be used starts nothing, and changes no package.
    if let Some(policy) = policy::load(&policy::path(launch.prefix())).policy {
        request.rules = policy.rules(launch);
    }
    let planned = plan::plan(family, &request, launch.clone(), &mut SystemHost::default(), None);
    let mut report = Report::default();
    for one in planned.report.diagnostics().iter().filter(|one| one.code == Code::NodeWritable) {
        report.push(one.clone());
    }
    report
}

/// The link to the current generation.
const CURRENT: &str = ".red/current";

/// A node's package database. That of a generation is not looked for through the node's `var`, where
/// what runs in the node may have put another link.
fn database((node, tree): (&Path, &Path), configured: PathBuf) -> PathBuf {
    if tree != node && configured == node.join(DATABASE) { tree.join(DATABASE) } else { configured }
}

/// Where the files of a node's packages are: in the generation that it shows, as launches see it.
fn tree(node: &Path, shown: Option<u64>) -> PathBuf {
    let tree = shown.map(|number| node.join(format!("{RED}/gen/{number}")));
    tree.filter(|tree| tree.exists()).unwrap_or_else(|| node.to_path_buf())
}

/// The core OS: redmain's `rpmdir`, or rpm's own place.
fn core(family: &red_runtime::node::family::Family, launch: &Launch) -> Option<Member> {
    let main = &family.main;
    let said = main.config.as_ref().and_then(|config| config.tags.rpmdir.as_ref());
    let database = match said {
        Some(rpmdir) => {
            let leaf = family.nodes.last().map_or(&main.vars, |node| &node.vars);
            let scope = Scope { node: &main.vars, leaf, launch };
            PathBuf::from(expand::expand(&rpmdir.value, scope, Commands::AsText).ok()?.actual)
        }
        None => [DATABASE, "usr/lib/sysimage/rpm", "usr/share/rpm"]
            .into_iter()
            .map(|below| Path::new("/").join(launch.prefix().trim_start_matches('/')).join(below))
            .find(|path| crate::rpm::has_database(path))?,
    };
    Some(Member { alias: "core OS".into(), path: "/".into(), tree: "/".into(), database, core: true })
}

/// The nodes below one, each with those between: parents before children.
pub(crate) fn descendants(node: &Path) -> Vec<PathBuf> {
    let mut loader = load::Loader::default();
    let Ok((_, found)) = red_runtime::node::scan::scan(&mut loader, node) else { return Vec::new() };
    let mut paths = Vec::new();
    fn all(found: &[red_runtime::node::scan::Found], paths: &mut Vec<PathBuf>) {
        for node in found {
            paths.push(node.path.clone());
            all(&node.children, paths);
        }
    }
    all(&found, &mut paths);
    paths.retain(|path| path != node);
    paths
}

/// Links inside a container that are followed.
const LINKS: usize = 16;

/// What a family shows inside its containers.
#[derive(Debug, Default)]
pub(crate) struct Exports {
    binds: Vec<(PathBuf, PathBuf)>,
    links: Vec<(PathBuf, PathBuf)>,
}

impl Exports {
    /// A path with the links that exports make followed.
    pub(crate) fn resolve(&self, path: &Path) -> PathBuf {
        let mut path = path.to_path_buf();
        for _ in 0..LINKS {
            let Some((link, target)) = self.links.iter().find(|(link, _)| path.starts_with(link)) else {
                break;
            };
            let rest = path.strip_prefix(link).unwrap_or(Path::new("")).to_path_buf();
            path = link.parent().unwrap_or(Path::new("/")).join(target).join(rest);
        }
        path
    }

    /// The mount that shows a path, and its source on the host.
    pub(crate) fn of(&self, path: &Path) -> Option<&(PathBuf, PathBuf)> {
        let fitting = self.binds.iter().filter(|(mount, _)| path.starts_with(mount));
        fitting.max_by_key(|(mount, _)| mount.as_os_str().len())
    }
}

/// The exports of a redpath, as they are without admin mode.
pub(crate) fn exports(redpath: &Path) -> Result<Exports, FamilyError> {
    let launch = Launch::of_this_process();
    let options = LoadOptions { prefix: launch.prefix().to_owned(), ..LoadOptions::default() };
    let loaded = load::load(redpath, &options)?;
    let Some(family) = loaded.family else {
        return Err(FamilyError::Mistakes(loaded.report, loaded.sources));
    };
    let (merged, _) = merge::merge(&family, &launch, CommandUse::Keep);
    let mut exports = Exports::default();
    for export in &merged.exports {
        let mount = PathBuf::from(&export.mount.actual);
        match &export.source {
            merge::Source::Path(path) => exports.binds.push((mount, PathBuf::from(&path.actual))),
            merge::Source::Target(target) => exports.links.push((mount, PathBuf::from(&target.actual))),
            _ => {}
        }
    }
    Ok(exports)
}

/// Opens a member's node.
pub(crate) fn store(member: &Member) -> Result<Store, StoreError> {
    Store::open(&member.path)
}
