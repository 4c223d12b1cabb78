//! What the host allows: whose nodes may start, and whose commands may run.
//!
//! The policy is root's (trust tier T0). Nodes are written by packagers (T1): their files are
//! believed only when nobody else could have written them. Who starts a node (T2, when it is an
//! engine on somebody's behalf) can choose one, and nothing more.

mod verify;

use std::path::{Path, PathBuf};

use crate::command::{Permission, accounts};
use crate::node::decode;
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::expand::Launch;
use crate::node::guard::Rules;
use crate::node::place::{self, PlaceError};
use crate::node::source::{At, FileId, Located, Sources};

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
    /// Its path without symbolic links, where it is there.
    pub real: PathBuf,
    /// Who besides root may write there; `None` is the owner of the directory.
    pub owner: Option<u32>,
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
    pub root_elsewhere: Option<u32>,
    /// The state directory of this call, which nothing may write to that it starts.
    pub state: Option<PathBuf>,
}

impl Default for Policy {
    /// Without a policy file: one pool, and no commands under an engine.
    fn default() -> Self {
        Self {
            pools: vec![Pool { path: DEFAULT_POOL.into(), real: DEFAULT_POOL.into(), owner: None }],
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

/// Reads a policy file; a missing one is the default. A file that anybody but root could have
/// written is a mistake: it would decide what everybody may do.
#[must_use]
pub fn load(path: &Path) -> Loaded {
    let mut loaded = Loaded { policy: None, sources: Sources::default(), report: Report::default() };
    let root_elsewhere = root_elsewhere();
    let text = match place::text_at(path) {
        Ok(text) => text,
        Err(error) if place::is_missing(&error) => {
            let policy = Policy { root_elsewhere, ..Policy::default() }.resolved();
            return Loaded { policy: Some(policy), ..loaded };
        }
        Err(error) => {
            loaded.report.push(unreadable(&error));
            return loaded;
        }
    };
    let file = loaded.sources.add(path, text.text);
    for deciding in &text.deciding {
        let facts = deciding.facts;
        let root = facts.uid == 0 || root_elsewhere == Some(facts.uid);
        // In a sticky directory nobody can exchange what belongs to somebody else (inode(7)).
        let sticky = facts.is_dir() && facts.mode & 0o1000 != 0;
        if !root || (facts.mode & 0o022 != 0 && !sticky) {
            loaded.report.push(
                Diagnostic::error(
                    Code::PolicyOwner,
                    "the policy must belong to root and be writable by nobody else, and so must the directories it is in",
                )
                .at(At::whole(file))
                .help(format!("chown root {0}; chmod go-w {0}", deciding.path.display())),
            );
        }
    }
    let policy = Policy::read(file, loaded.sources.text(file), &mut loaded.report);
    loaded.policy = policy
        .filter(|_| !loaded.report.has_errors())
        .map(|policy| Policy { root_elsewhere, ..policy }.resolved());
    loaded
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

/// What the initial user namespace's root is called in one that does not map it (user_namespaces(7),
/// "Unmapped user and group IDs"). Files of every user that is not mapped look like that, so it is
/// believed only where nobody but the caller is at stake: an engine without root runs nothing for
/// others.
fn root_elsewhere() -> Option<u32> {
    let maps = std::fs::read_to_string("/proc/self/uid_map").ok()?;
    let all = maps.split_ascii_whitespace().collect::<Vec<_>>() == ["0", "0", "4294967295"];
    let overflow = std::fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?;
    overflow.trim().parse().ok().filter(|_| !all)
}

impl Policy {
    /// Reads a policy. Mistakes go to `report`; `None` when it cannot be used at all.
    pub fn read(file: FileId, text: &str, report: &mut Report) -> Option<Self> {
        let file = decode::policy(file, text, report)?;
        let mut pools = Vec::new();
        for (path, owner) in file.pools {
            let owner = owner.and_then(|name| account(&name, report));
            let path = PathBuf::from(path.value);
            pools.push(Pool { real: path.clone(), path, owner });
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

    /// With pools and nodes by the paths that they really have, as those of a family are.
    fn resolved(mut self) -> Self {
        let real = |path: &Path| place::canonical(path).unwrap_or_else(|_| path.to_path_buf());
        for pool in &mut self.pools {
            pool.real = real(&pool.path);
        }
        for entry in self.execfd.iter_mut().chain(&mut self.admin) {
            let below = if entry.ends_with('/') { "/" } else { "" };
            *entry = format!("{}{below}", real(Path::new(entry)).display());
        }
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
        // What they are read through can stand, and lead, elsewhere.
        let parts = ["policy.yaml", "main.yaml", "main-admin.yaml", "templates.d"];
        let dirs: Vec<PathBuf> = deciding.iter().filter(|dir| dir.ends_with("redpak")).cloned().collect();
        let parts = dirs.iter().flat_map(|dir| parts.map(|part| dir.join(part)));
        deciding.extend(parts.filter(|part| part.is_symlink()));
        let pools = self.pools.iter().map(|pool| pool.path.clone()).collect();
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
