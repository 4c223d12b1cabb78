//! A bundle as an engine hands it over: plain, or one that names a node.
//!
//! `choice` says which of both, `annotations` what is asked of this container, `found` looks at what the
//! configuration names by path, `volumes` keeps what decides out of reach of either.

mod annotations;
mod choice;
mod found;
mod volumes;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::runtime::Spec;
use rustix::io::Errno;

use crate::command::{HostShell, Shell};
use crate::launch::create::OfNode;
use crate::launch::error::LaunchError;
use crate::launch::record::Store;
use crate::launch::root::{Root, layout, oci};
use crate::launch::smack;
use crate::launch::warning::warn;
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::expand::Launch;
use crate::node::family::Family;
use crate::node::guard::Opened;
use crate::node::load::{self, LoadError, LoadOptions};
use crate::node::place::{PlaceError, plain};
use crate::node::source::Sources;
use crate::policy::{self, Policy, Starter};
use crate::spec::bundle;
use crate::spec::config_json;
use crate::spec::digest;
use crate::spec::engine::room::{MissingPoint, room};
use crate::spec::engine::{self, Combined, EngineFacts};
use crate::spec::host::SystemHost;
use crate::spec::identity::{Asked, Caller};
use crate::spec::new_dir::DirError;
use crate::spec::plan::{self, Plan, Request};

use choice::{Choice, RootNode, Selection};
use found::EngineDirs;
use volumes::Origin;

/// Bytes of the largest configuration that is read.
const LARGEST: u64 = 16 << 20;

/// Why a node is not started for an engine. One line, for whoever reads the engine's log.
#[derive(Debug, thiserror::Error)]
pub(super) enum NodeError {
    /// Mistakes in files, conflicts with the engine, refusals of the policy.
    #[error("{}", .0.one_line(.1))]
    Mistakes(Report, Arc<Sources>),
    /// A volume or root would make writable what decides.
    #[error("{0}")]
    Volume(String),
    /// There is no family.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There is none where a reference says.
    #[error("{source}; {place} of the root names it, so it has to be installed on this machine")]
    Referred {
        /// The reference, with line and column.
        place: String,
        /// What is there.
        source: LoadError,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A directory of a node cannot be made.
    #[error(transparent)]
    Create(#[from] DirError),
}

/// A bundle, read.
pub(super) struct Loaded {
    /// Where it is.
    pub(super) bundle: PathBuf,
    /// Its configuration, with what the node says in it.
    pub(super) spec: Spec,
    /// Its root.
    pub(super) root: Root,
    /// The node it names.
    pub(super) node: Option<OfNode>,
    /// Smack label of its process.
    pub(super) smack: Option<String>,
}

impl Loaded {
    /// Reads a bundle. Where the engine wants its PID file tells where it keeps what is its own. The state
    /// directory is made first, for what is not there cannot be kept from a container.
    ///
    /// # Errors
    /// There is none, its configuration is wrong, or the node it names may not start.
    pub(super) fn read(
        (bundle, config): (&Path, Option<&Path>),
        pid_file: Option<&Path>,
        store: &Store,
    ) -> Result<Self, super::runtime::RunError> {
        let refused = |why: String| LaunchError::refused(format!("bundle {}", bundle.display()), why);
        // Not in the C library's words, from which podman would take it that the command is missing.
        let words = |error: std::io::Error| {
            Errno::from_io_error(&error).map_or_else(|| error.to_string().to_lowercase(), plain)
        };
        let bundle = std::fs::canonicalize(bundle).map_err(|error| refused(words(error)))?;
        let path = config.map_or_else(|| bundle.join("config.json"), Path::to_path_buf);
        let named = config.map_or_else(|| "config.json".to_owned(), |config| config.display().to_string());
        let mut text = String::new();
        std::fs::File::open(&path)
            .and_then(|file| file.take(LARGEST).read_to_string(&mut text))
            .map_err(|error| refused(format!("{named}: {}", words(error))))?;
        let (spec, left_out) = config_json::spec(&text)
            .map_err(|source| LaunchError::Json { path: path.display().to_string(), source })?;
        left_out.iter().for_each(|one| warn(one));
        let selection = choice::choose(&spec, &bundle)?;
        store.prepare()?;
        let policy = policy(store)?;
        match selection {
            Selection::Plain { sandbox } => Self::plain(bundle, spec, (&policy, sandbox)),
            Selection::Node(choice) => {
                let facts = found::facts(&spec, &EngineDirs::of(&bundle, pid_file), &bundle)?;
                Self::of_node(bundle, &spec, facts, (&policy, &choice))
            }
        }
    }

    fn plain(
        bundle: PathBuf,
        mut spec: Spec,
        (policy, sandbox): (&Policy, bool),
    ) -> Result<Self, super::runtime::RunError> {
        let namespaces = found::namespaces(&spec)?;
        let sources = found::judged(&spec, &bundle)?;
        let launch = Launch::of_this_process();
        let rules = policy.rules(&launch);
        let origin = choice::origin(&spec).map(|named| origin(named, policy, &launch));
        let plain = volumes::Plain { rules: &rules, sources: &sources, bundle: &bundle, sandbox, origin };
        let judged = plain.check(&mut spec)?;
        let mut root = oci::root(&spec, &bundle)?;
        root.checked = judged.root;
        root.deciding = judged.deciding;
        for index in judged.held {
            root.mounts[index].held = true;
        }
        for index in judged.of_node {
            root.mounts[index].of_node = true;
        }
        for (mount, source) in root.mounts.iter_mut().zip(&sources) {
            mount.check(source.as_ref().map(Opened::id));
        }
        root.namespaces = namespaces;
        Ok(Self { bundle, spec, root, node: None, smack: None })
    }

    fn of_node(
        bundle: PathBuf,
        spec: &Spec,
        mut facts: EngineFacts,
        by: (&Policy, &Choice),
    ) -> Result<Self, super::runtime::RunError> {
        let Planned { plan, family, combined, of_node, missing_points } =
            planned(spec, &mut facts, by, &bundle)?;
        by.1.undo()?;
        for created in &plan.layout.create {
            bundle::create(created).map_err(NodeError::from)?;
        }
        let mut root = layout::of_engine(&plan, &family, (&combined, missing_points), &bundle)?;
        for index in of_node {
            root.mounts[index].of_node = true;
        }
        root.namespaces = facts.namespaces;
        let node = Some(OfNode::of(&plan));
        smack::check(plan.smack.as_deref())?;
        Ok(Self { bundle, spec: combined.spec, root, node, smack: plan.smack })
    }

    /// Has its command get the sockets that a service manager handed to this process (sd_listen_fds(3)).
    pub(super) fn listen(&mut self, count: u32) {
        let Some(process) = self.spec.process_mut() else { return };
        let mut env = process.env().clone().unwrap_or_default();
        env.retain(|entry| !entry.starts_with("LISTEN_"));
        env.push(format!("LISTEN_FDS={count}"));
        env.extend(std::env::var("LISTEN_FDNAMES").ok().map(|names| format!("LISTEN_FDNAMES={names}")));
        process.set_env(Some(env));
    }

    /// Whether its process gets a terminal.
    pub(super) fn terminal(&self) -> bool {
        self.spec.process().as_ref().is_some_and(|process| process.terminal().unwrap_or(false))
    }
}

/// The node that a bundle says it was written from, where it may start and its plan is still the one
/// that the bundle is of; or why it is not. No command of it runs.
fn origin(said: choice::Origin, policy: &Policy, launch: &Launch) -> Result<Origin, String> {
    let choice::Origin { redpath, digest } = said;
    let nothing = |why: String| format!("its origin, node {redpath}, gives it nothing: {why}");
    let options = LoadOptions { prefix: launch.prefix().to_owned(), ..LoadOptions::default() };
    let loaded = load::load(Path::new(&redpath), &options).map_err(|error| nothing(error.to_string()))?;
    let Some(family) = loaded.family else {
        return Err(nothing(loaded.report.one_line(&loaded.sources)));
    };
    let verified = policy::verify(policy, &family, Starter::Engine);
    if verified.has_errors() {
        return Err(nothing(verified.one_line(&family.sources)));
    }
    let rules = policy.rules(launch);
    let mut request = Request::new(Caller { uid: launch.uid, gid: launch.gid });
    request.rules = rules.clone();
    let planned = plan::plan(&family, &request, launch.clone(), &mut SystemHost::default(), None);
    match planned.plan {
        None => Err(nothing(planned.report.one_line(&family.sources))),
        Some(plan) if digest.as_deref() == Some(&*plan.digest.to_string()) => {
            Ok(Origin::new(&rules, plan, &family))
        }
        Some(plan) => Err(nothing(format!(
            "its plan is {}, and the bundle is of {}; write the bundle again",
            plan.digest,
            digest.as_deref().unwrap_or("none")
        ))),
    }
}

/// What the host allows.
fn policy(store: &Store) -> Result<Policy, super::runtime::RunError> {
    let loaded = policy::load(&policy::path(Launch::of_this_process().prefix()));
    let Some(mut policy) = loaded.policy else {
        return Err(NodeError::Mistakes(loaded.report, Arc::new(loaded.sources)).into());
    };
    policy.state = Some(store.path()?.to_owned());
    Ok(policy)
}

/// A node for an engine.
struct Planned {
    plan: Plan,
    family: Family,
    /// The plan with what the engine brings.
    combined: Combined,
    /// Which of the engine's mounts are a part of a node all the same, by number.
    of_node: Vec<usize>,
    /// Mount points that the node's read-only exports lack.
    missing_points: BTreeMap<usize, Vec<MissingPoint>>,
}

/// The plan of a node for an engine, checked against the policy, and combined with what the engine brings.
fn planned(
    spec: &Spec,
    facts: &mut EngineFacts,
    (policy, choice): (&Policy, &Choice),
    bundle: &Path,
) -> Result<Planned, super::runtime::RunError> {
    let launch = Launch::of_this_process();
    let rules = policy.rules(&launch);
    let options =
        LoadOptions { admin: choice.admin, prefix: launch.prefix().to_owned(), ..LoadOptions::default() };
    let loaded = load::load(&choice.redpath, &options).map_err(|source| match choice.reference.clone() {
        Some(place) => NodeError::Referred { place, source },
        None => NodeError::Load(source),
    })?;
    let mut report = loaded.report;
    let Some(family) = loaded.family else {
        return Err(NodeError::Mistakes(report, loaded.sources).into());
    };
    agreed(choice, &family, &mut report);
    let (plan, found) = plan_for(spec, choice, &family, policy, launch);
    report.append(found);
    let Some(plan) = plan.filter(|_| !report.has_errors()) else {
        return Err(NodeError::Mistakes(report, Arc::clone(&family.sources)).into());
    };
    facts.namespaces.append(&mut found::joined(&plan)?);
    let (combined, found) = engine::combine(spec, facts, &plan, &family);
    report.append(found);
    pinned(choice, &plan, &family, &mut report);
    match combined.filter(|_| !report.has_errors()) {
        Some(mut combined) => {
            let of_node = volumes::check_node(&rules, (&family, &plan), &mut combined, bundle)?;
            let missing_points = room(&combined, (&plan, &family), &mut SystemHost::default(), &mut report);
            if report.has_errors() {
                return Err(NodeError::Mistakes(report, Arc::clone(&family.sources)).into());
            }
            Ok(Planned { plan, family, combined, of_node, missing_points })
        }
        None => Err(NodeError::Mistakes(report, Arc::clone(&family.sources)).into()),
    }
}

/// An annotation and a root that name different nodes: either could be what was meant.
fn agreed(choice: &Choice, family: &Family, report: &mut Report) {
    let Some(RootNode { path, annotation }) = &choice.root_node else { return };
    let leaf = family.leaf().path.as_path();
    let same = crate::node::place::canonical(path).is_ok_and(|path| path == leaf);
    if !same {
        let root = match &choice.reference {
            Some(place) => format!("the root's {place} refers to"),
            None => "the root is, or is a copy of,".to_owned(),
        };
        let message = format!(
            "annotation {annotation} names node {}, and {root} node {}",
            leaf.display(),
            path.display()
        );
        report.push(Diagnostic::error(Code::EngineConflict, message).help("name one of them"));
    }
}

fn plan_for(
    spec: &Spec,
    choice: &Choice,
    family: &Family,
    policy: &Policy,
    launch: Launch,
) -> (Option<Plan>, Report) {
    let leaf = family.leaf().path.as_path();
    let mut report = policy::verify(policy, family, Starter::Engine);
    if choice.admin && !policy.admin(leaf) {
        let message =
            format!("an engine asks for admin mode of {}, which the policy does not allow", leaf.display());
        report.push(
            Diagnostic::error(Code::PolicyAdmin, message)
                .help("`admin: {nodes: [...]}` in /etc/redpak/policy.yaml allows it"),
        );
    }
    let permission = policy.commands(Starter::Engine, leaf, !report.has_errors());
    let caller = Caller { uid: launch.uid, gid: launch.gid };
    let mut shell = HostShell::new(permission, (caller.uid, caller.gid));
    let mut request = Request::new(caller);
    let process = spec.process().as_ref();
    request.args = process.and_then(|process| process.args().clone()).unwrap_or_default();
    request.terminal = process.is_some_and(|process| process.terminal().unwrap_or(false));
    request.strict = choice.strict;
    request.rules = policy.rules(&launch);
    let shell: &mut dyn Shell = &mut shell;
    let planned = plan::plan(family, &request, launch, &mut SystemHost::default(), Some(shell));
    report.append(planned.report);
    (planned.plan, report)
}

/// A plan that is pinned has to be that plan.
fn pinned(choice: &Choice, plan: &Plan, family: &Family, report: &mut Report) {
    let Some(wanted) = &choice.digest else { return };
    let has = plan.digest.to_string();
    if format!("sha256:{wanted}") != has {
        let mut message =
            format!("plan digest mismatch for {}: expected sha256:{wanted}, got {has}", plan.redpath);
        if let Some(parts) = &choice.parts {
            let own = digest::parts(family, &plan.merged, &Asked::default(), plan.smack.as_deref());
            let differing = digest::differing(&own, parts);
            if !differing.is_empty() {
                message = format!("{message}; it differs in: {}", differing.join(", "));
            }
        }
        report.push(
            Diagnostic::error(Code::PlanDigest, message)
                .help("`red-conf plan --canonical` shows what the digest is of"),
        );
    }
}
