//! What the host allows: whose nodes may start, and whose commands may run.
//!
//! The policy is root's (trust tier T0). Nodes are written by packagers (T1): their files are
//! believed only when nobody else could have written them. Who starts a node (T2, when it is an
//! engine on somebody's behalf) can choose one, and nothing more.

mod created;
mod owners;
mod verify;

use std::path::{Path, PathBuf};

use crate::command::{Permission, accounts};
use crate::node::decode;
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::expand::Launch;
use crate::node::guard::Rules;
use crate::node::place::{self, Deciding, PlaceError};
use crate::node::source::{At, FileId, Located, Sources};

use owners::{Believed, is_open, steady};

pub use created::after_creation;
pub use verify::verify;

/// The pool of a machine without a policy (seed, step 0 of the quick start).
pub const DEFAULT_POOL: &str = "/var/redpesk";

/// Who starts a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Starter {
    /// A person or a service, naming the node: `red-wrap`, `red-runtime run`, `red-conf bundle`.
    Direct {
        /// Its user.
        uid: u32,
    },
    /// podman, containerd, cri-o, on behalf of whoever may talk to them.
    Engine,
}

/// A directory whose nodes engines may start.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pool {
    /// Its path, as the policy has it.
    pub path: PathBuf,
    /// Its path without symbolic links, also where it is missing.
    pub real: PathBuf,
    /// Who besides root may write there; `None` is the owner of the directory, if nobody else can put
    /// another directory in its place.
    pub owner: Option<u32>,
    /// Why no node is in it, whatever its path leads to.
    pub unused: Option<String>,
}

/// What the host allows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// Pools, in the order of the file.
    pub pools: Vec<Pool>,
    execfd: Vec<String>,
    admin: Vec<String>,
    exports: Vec<String>,
    /// What root is called where it is not mapped: in the user namespace of an engine without root.
    /// Everybody else who is not mapped is called that too, so it is believed only where nobody but root
    /// can have made a file.
    pub root_elsewhere: Option<u32>,
    /// The state directory of this call, which nothing may write to that it starts.
    pub state: Option<PathBuf>,
}

impl Default for Policy {
    /// Without a policy file: one pool, and no commands under an engine.
    fn default() -> Self {
        Self {
            pools: vec![Pool {
                path: DEFAULT_POOL.into(),
                real: DEFAULT_POOL.into(),
                owner: None,
                unused: None,
            }],
            execfd: Vec::new(),
            admin: Vec::new(),
            exports: Vec::new(),
            root_elsewhere: None,
            state: None,
        }
    }
}

/// A policy, or why there is none.
#[derive(Debug)]
pub struct Loaded {
    /// The policy, when it could be read or there is no file.
    pub policy: Option<Policy>,
    /// Its text.
    pub sources: Sources,
    /// Mistakes.
    pub report: Report,
}

/// Where the policy stands, below `NODE_PREFIX`.
#[must_use]
pub fn path(prefix: &str) -> PathBuf {
    PathBuf::from(format!("{prefix}/etc/redpak/policy.yaml"))
}

/// Reads a policy file; a missing one is the default. A file that anybody but root could have written,
/// or led elsewhere, is a mistake: it would decide what everybody may do. So is a link that leads nowhere.
#[must_use]
pub fn load(path: &Path) -> Loaded {
    let mut loaded = Loaded { policy: None, sources: Sources::default(), report: Report::default() };
    let root_elsewhere = place::unmapped_owner();
    let root = Believed::new(None, root_elsewhere);
    let text = match place::text_at(path) {
        Ok(text) => text,
        Err(error) if place::is_missing(&error) => {
            let way = place::way(path).ok().filter(|way| !steady(way, &root));
            judge(&way.map(|way| way.deciding).unwrap_or_default(), &root, None, &mut loaded.report);
            let policy = Policy { root_elsewhere, ..Policy::default() };
            loaded.policy = (!loaded.report.has_errors()).then(|| policy.resolved());
            return loaded;
        }
        Err(error) => {
            loaded.report.push(unreadable(&error));
            return loaded;
        }
    };
    let file = loaded.sources.add(path, text.text);
    judge(&text.deciding, &root, Some(file), &mut loaded.report);
    let policy = Policy::read(file, loaded.sources.text(file), &mut loaded.report);
    loaded.policy = policy
        .filter(|_| !loaded.report.has_errors())
        .map(|policy| Policy { root_elsewhere, ..policy }.resolved());
    loaded
}

/// Reports everything on the way to a policy that somebody else than root can lead elsewhere.
fn judge(all: &[Deciding], root: &Believed, file: Option<FileId>, report: &mut Report) {
    for one in all.iter().filter(|one| is_open(one) || !root.owner(one, all, |_| true)) {
        let path = one.path.display();
        let diagnostic = Diagnostic::error(
            Code::PolicyOwner,
            format!(
                "the policy must belong to root and be writable by nobody else, and so must the directories and links that lead to it: {path}"
            ),
        );
        let help = if one.facts.is_link() {
            format!("chown -h root {path}, or make the policy a file")
        } else {
            format!("chown root {path}; chmod go-w {path}")
        };
        let diagnostic = diagnostic.help(help);
        report.push(file.map_or_else(|| diagnostic.clone(), |file| diagnostic.clone().at(At::whole(file))));
    }
}

fn account(name: &Located<String>, report: &mut Report) -> Option<u32> {
    let account = accounts::user(&name.value);
    if account.is_none() {
        report
            .push(Diagnostic::error(Code::BadUser, format!("there is no user `{}`", name.value)).at(name.at));
    }
    account.map(|account| account.uid)
}

fn unreadable(error: &PlaceError) -> Diagnostic {
    Diagnostic::error(Code::Unreadable, error.to_string())
        .help("nothing starts under an engine until the policy can be read")
}

impl Policy {
    /// Reads a policy. Mistakes go to `report`; `None` when it cannot be used at all.
    pub fn read(file: FileId, text: &str, report: &mut Report) -> Option<Self> {
        let file = decode::policy(file, text, report)?;
        let mut pools = Vec::new();
        for (path, owner) in file.pools {
            let owner = owner.and_then(|name| account(&name, report));
            let path = PathBuf::from(path.value);
            pools.push(Pool { real: path.clone(), path, owner, unused: None });
        }
        let nodes = |list: Vec<Located<String>>| list.into_iter().map(|node| node.value).collect();
        Some(Self {
            pools,
            execfd: nodes(file.execfd_nodes),
            admin: nodes(file.admin_nodes),
            exports: nodes(file.exports),
            root_elsewhere: None,
            state: None,
        })
    }

    /// With pools, nodes and exports by the paths that they really have, as those of a family are. A link
    /// that somebody else could lead elsewhere is not followed.
    fn resolved(mut self) -> Self {
        for pool in &mut self.pools {
            pool.resolve(self.root_elsewhere);
        }
        let root = Believed::new(None, self.root_elsewhere);
        for entry in self.execfd.iter_mut().chain(&mut self.admin) {
            *entry = real(entry, &root).unwrap_or_else(|| entry.clone());
        }
        let behind: Vec<String> = self.exports.iter().filter_map(|entry| real(entry, &root)).collect();
        self.exports.extend(behind);
        self
    }

    /// The innermost pool that holds a path without symbolic links.
    #[must_use]
    pub fn pool_of(&self, path: &Path) -> Option<&Pool> {
        let holding = self.pools.iter().filter(|pool| path.starts_with(&pool.real));
        holding.max_by_key(|pool| pool.real.components().count())
    }

    /// Whether the commands of a leaf may run. `trusted` is the outcome of [`verify`].
    #[must_use]
    pub fn commands(&self, starter: Starter, leaf: &Path, trusted: bool) -> Permission {
        let denied = |reason: &str| Permission::Denied { reason: reason.to_owned() };
        if !trusted {
            return denied("the node's files could have been written by others");
        }
        match starter {
            Starter::Direct { .. } => Permission::Granted,
            Starter::Engine if names(&self.execfd, leaf) => Permission::Granted,
            Starter::Engine => {
                denied("an engine starts the node, and the policy does not name it under `execfd`")
            }
        }
    }

    /// What exports and volumes are judged by, for a launch with this environment.
    #[must_use]
    pub fn rules(&self, launch: &Launch) -> Rules {
        let mut deciding =
            vec![PathBuf::from(format!("{}/etc/redpak", launch.prefix())), "/etc/redpak".into()];
        deciding.dedup();
        let behind: Vec<PathBuf> = deciding.iter().flat_map(|dir| behind(dir)).collect();
        deciding.extend(behind);
        // Whoever makes what a link leads to makes the pool.
        let mut pools: Vec<PathBuf> =
            self.pools.iter().flat_map(|pool| [pool.path.clone(), pool.real.clone()]).collect();
        pools.dedup();
        let mut states = states(launch);
        // A relative one is of the directory that the caller is in.
        states.extend(self.state.as_ref().and_then(|state| std::path::absolute(state).ok()));
        Rules { pools, deciding, states, allowed: self.exports.clone() }
    }

    /// Whether an engine may start a leaf in admin mode.
    #[must_use]
    pub fn admin(&self, leaf: &Path) -> bool {
        names(&self.admin, leaf)
    }
}

impl Pool {
    /// Finds where it is. Its path may lead through links of root's and of its owner's.
    fn resolve(&mut self, unmapped: Option<u32>) {
        let Ok(way) = place::way(&self.path) else { return };
        let believed = Believed::new(self.owner, unmapped);
        if steady(&way, &believed) {
            self.real = way.path;
        } else {
            let path = self.path.display();
            self.unused = Some(format!(
                "{path} is not used: others than root and its owner can lead the links on the way to it elsewhere"
            ));
        }
    }
}

/// An entry of the policy by the path that it really has, if it leads through links of root's.
fn real(entry: &str, root: &Believed) -> Option<String> {
    let way = place::way(Path::new(entry)).ok().filter(|way| way.has_links() && steady(way, root))?;
    let below = if entry.ends_with('/') { "/" } else { "" };
    Some(format!("{}{below}", way.path.display()))
}

/// What the parts of a directory that decides are read through, where that stands or leads elsewhere: the
/// links, and what they would name if it were there.
fn behind(dir: &Path) -> Vec<PathBuf> {
    let mut parts =
        ["policy.yaml", "main.yaml", "main-admin.yaml", "templates.d"].map(|part| dir.join(part)).to_vec();
    let templates = std::fs::read_dir(dir.join("templates.d"));
    parts.extend(templates.into_iter().flatten().flatten().take(TEMPLATES).map(|entry| entry.path()));
    let mut all = Vec::new();
    for part in parts.into_iter().filter(|part| part.is_symlink()) {
        let target = place::way(&part).ok().filter(|way| matches!(way.end, place::End::Dangling(_)));
        all.push(part);
        all.extend(target.map(|way| way.path));
    }
    all
}

/// Templates that are looked at.
const TEMPLATES: usize = 1_000;

/// Every directory that the caller's commands may find records of containers in, when none is named
/// (`launch/record/place.rs` has which of them is used when).
fn states(launch: &Launch) -> Vec<PathBuf> {
    let variable = |name| launch.environment.get(name).filter(|dir| dir.starts_with('/')).map(PathBuf::from);
    let home = variable("HOME").or_else(|| accounts::home_of(launch.uid));
    let places = [
        Some("/run".into()),
        variable("XDG_RUNTIME_DIR"),
        Some(format!("/run/user/{}", launch.uid).into()),
        variable("XDG_STATE_HOME"),
        home.map(|home| home.join(".local/state")),
    ];
    let mut all: Vec<PathBuf> = places.into_iter().flatten().map(|place| place.join("red-runtime")).collect();
    all.sort();
    all.dedup();
    all
}

/// Whether a list of redpaths names a leaf.
fn names(list: &[String], leaf: &Path) -> bool {
    list.iter()
        .any(|entry| if entry.ends_with('/') { leaf.starts_with(entry) } else { leaf == Path::new(entry) })
}
