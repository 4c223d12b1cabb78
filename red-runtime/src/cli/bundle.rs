//! A bundle as an engine hands it over: plain, or one that names a node.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::runtime::Spec;

use crate::command::{HostShell, Shell};
use crate::launch::create::OfNode;
use crate::launch::error::LaunchError;
use crate::launch::root::{Root, layout, oci};
use crate::launch::smack;
use crate::node::decode;
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::expand::Launch;
use crate::node::family::{Family, STATUS_NAME};
use crate::node::load::{self, LoadError, LoadOptions};
use crate::node::place::{self, PlaceError};
use crate::node::source::Sources;
use crate::policy::{self, Policy, Starter};
use crate::spec::bundle::{self, BundleError};
use crate::spec::engine::{self, Combined};
use crate::spec::host::SystemHost;
use crate::spec::identity::Caller;
use crate::spec::plan::{self, Plan, Request};

/// Bytes of the largest configuration that is read.
const LARGEST: u64 = 16 << 20;

/// Prefix of the annotations that name a node.
const ANNOTATION: &str = "bzh.redpesk.redpak";

/// Annotations that say what a container is to Kubernetes: of containerd, of cri-o.
const CONTAINER_TYPES: [&str; 2] = ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"];

/// Name of the file that stands for a node in an image.
const REFERENCE: &str = ".redpath.yaml";

/// Why a node is not started for an engine. One line, for whoever reads the engine's log.
#[derive(Debug, thiserror::Error)]
pub(super) enum NodeError {
    /// Mistakes in files, conflicts with the engine, refusals of the policy.
    #[error("{}", .0.one_line(.1))]
    Mistakes(Report, Arc<Sources>),
    /// There is no family.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file cannot be read.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A directory of a node cannot be made.
    #[error(transparent)]
    Create(#[from] BundleError),
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

/// Which node, and how.
#[derive(Debug, Default)]
struct Choice {
    redpath: PathBuf,
    admin: bool,
    strict: bool,
    digest: Option<String>,
}

impl Loaded {
    /// Reads a bundle.
    ///
    /// # Errors
    /// There is none, its configuration is wrong, or the node it names may not start.
    pub(super) fn read(bundle: &Path) -> Result<Self, super::runtime::RunError> {
        let refused = |why: String| LaunchError::refused(format!("bundle {}", bundle.display()), why);
        let bundle =
            std::fs::canonicalize(bundle).map_err(|error| refused(error.to_string().to_lowercase()))?;
        let path = bundle.join("config.json");
        let mut text = String::new();
        std::fs::File::open(&path)
            .and_then(|file| file.take(LARGEST).read_to_string(&mut text))
            .map_err(|error| refused(format!("config.json: {}", error.to_string().to_lowercase())))?;
        let spec: Spec = serde_json::from_str(&text)
            .map_err(|source| LaunchError::Json { path: path.display().to_string(), source })?;
        match choose(&spec, &bundle)? {
            None => Ok(Self { root: oci::root(&spec, &bundle)?, bundle, spec, node: None, smack: None }),
            Some(choice) => Self::of_node(bundle, &spec, &choice),
        }
    }

    fn of_node(bundle: PathBuf, spec: &Spec, choice: &Choice) -> Result<Self, super::runtime::RunError> {
        let (plan, family, combined) = planned(spec, choice)?;
        for created in &plan.layout.create {
            bundle::create(created).map_err(NodeError::from)?;
        }
        let root = layout::of_engine(&plan, &family, &combined, &bundle)?;
        let node = Some(OfNode::of(&plan));
        smack::check(plan.smack.as_deref())?;
        Ok(Self { bundle, spec: combined.spec, root, node, smack: plan.smack })
    }

    /// Whether its process gets a terminal.
    pub(super) fn terminal(&self) -> bool {
        self.spec.process().as_ref().is_some_and(|process| process.terminal().unwrap_or(false))
    }
}

/// The node that a configuration names, if it names one (DESIGN §4).
fn choose(spec: &Spec, bundle: &Path) -> Result<Option<Choice>, NodeError> {
    let annotations = spec.annotations().clone().unwrap_or_default();
    if CONTAINER_TYPES.iter().any(|key| annotations.get(*key).is_some_and(|kind| kind == "sandbox")) {
        return Ok(None);
    }
    let said = |key: &str| annotations.get(&format!("{ANNOTATION}.{key}")).map(String::as_str);
    let yes = |key: &str| said(key).is_some_and(|value| matches!(value, "true" | "yes" | "1"));
    let mut choice = match said("redpath") {
        Some(path) => Choice { redpath: path.into(), ..Choice::default() },
        None => match spec.root().as_ref().map(|root| bundle.join(root.path())) {
            Some(root) if root.join(STATUS_NAME).is_file() => {
                Choice { redpath: itself(root)?, ..Choice::default() }
            }
            Some(root) if root.join(REFERENCE).symlink_metadata().is_ok() => reference(&root)?,
            _ => return Ok(None),
        },
    };
    choice.admin |= yes("admin");
    choice.strict |= yes("strict");
    if let Some(digest) = said("plan-digest") {
        choice.digest = Some(digest.to_owned());
    }
    Ok(Some(choice))
}

/// The node that a root is: itself, or the one it is an overlay or a copy of. That one is then
/// chosen as a reference would choose it; nothing of the copy is believed but its name.
fn itself(root: PathBuf) -> Result<PathBuf, NodeError> {
    let directory = open_directory(&root)?;
    let mut sources = Sources::default();
    let text = place::text_below(&directory, &root, STATUS_NAME)?.map(|text| text.text).unwrap_or_default();
    let file = sources.add(root.join(STATUS_NAME), text);
    let status = decode::status(file, sources.text(file), &mut Report::default());
    let Some(status) = status else { return Ok(root) };
    let recorded = PathBuf::from(status.realpath.value);
    let same = |a: &Path, b: &Path| match (rustix::fs::stat(a), rustix::fs::stat(b)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    };
    if same(&root, &recorded) {
        undo_mtab(&directory)?;
        return Ok(root);
    }
    // A node that was moved is no copy: its record leads nowhere, and the plan says so.
    Ok(if recorded.join(STATUS_NAME).is_file() { recorded } else { root })
}

fn open_directory(path: &Path) -> Result<std::os::fd::OwnedFd, NodeError> {
    use rustix::fs::{Mode, OFlags, open};
    let opened = open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    Ok(opened.map_err(|errno| PlaceError::Refused { path: path.display().to_string(), errno })?)
}

/// podman makes a link `etc/mtab` in every root it is given (libpod, `createEtcMtab`). In a node
/// nothing is made: a link of just now that is exactly that one goes again.
fn undo_mtab(node: &std::os::fd::OwnedFd) -> Result<(), NodeError> {
    use rustix::fs::{AtFlags, readlinkat, statat, unlinkat};
    const MTAB: &str = "etc/mtab";
    let is_podmans =
        readlinkat(node, MTAB, Vec::new()).is_ok_and(|target| target.as_bytes() == b"/proc/mounts");
    let fresh = || {
        let made = statat(node, MTAB, AtFlags::SYMLINK_NOFOLLOW).ok()?.st_ctime;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
        Some(i64::try_from(now).ok()? - made < 10)
    };
    if is_podmans && fresh().unwrap_or(false) {
        unlinkat(node, MTAB, AtFlags::empty())
            .map_err(|errno| PlaceError::Refused { path: format!("{MTAB} that the engine made"), errno })?;
    }
    Ok(())
}

/// Reads the file of an image that stands for a node. Whoever made the image wrote it.
fn reference(root: &Path) -> Result<Choice, NodeError> {
    let mut sources = Sources::default();
    let mut report = Report::default();
    let directory = open_directory(root)?;
    let text = place::text_below(&directory, root, REFERENCE)?.map(|text| text.text).unwrap_or_default();
    let file = sources.add(root.join(REFERENCE), text);
    let read = decode::reference(file, sources.text(file), &mut report);
    match read {
        Some(read) => Ok(Choice {
            redpath: read.redpath.value.into(),
            admin: read.admin,
            strict: read.strict,
            digest: read.digest,
        }),
        None => Err(NodeError::Mistakes(report, Arc::new(sources))),
    }
}

/// The plan of a node for an engine, checked against the policy, and combined with what the engine
/// brings.
fn planned(spec: &Spec, choice: &Choice) -> Result<(Plan, Family, Combined), NodeError> {
    let launch = Launch::of_this_process();
    let loaded_policy = policy::load(&policy::path(launch.prefix()));
    let Some(policy) = loaded_policy.policy else {
        return Err(NodeError::Mistakes(loaded_policy.report, Arc::new(loaded_policy.sources)));
    };
    let options =
        LoadOptions { admin: choice.admin, prefix: launch.prefix().to_owned(), ..LoadOptions::default() };
    let loaded = load::load(&choice.redpath, &options)?;
    let mut report = loaded.report;
    let Some(family) = loaded.family else {
        return Err(NodeError::Mistakes(report, loaded.sources));
    };
    let (plan, found) = plan_for(spec, choice, &family, &policy, launch);
    report.append(found);
    let Some(plan) = plan.filter(|_| !report.has_errors()) else {
        return Err(NodeError::Mistakes(report, Arc::clone(&family.sources)));
    };
    let (combined, found) = engine::combine(spec, &plan, &family);
    report.append(found);
    pinned(choice, &plan, &mut report);
    match combined.filter(|_| !report.has_errors()) {
        Some(combined) => Ok((plan, family, combined)),
        None => Err(NodeError::Mistakes(report, Arc::clone(&family.sources))),
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
        let message = format!("an engine asks for admin mode of {}", leaf.display());
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
fn pinned(choice: &Choice, plan: &Plan, report: &mut Report) {
    let Some(wanted) = &choice.digest else { return };
    let has = plan.digest.to_string();
    if *wanted != has && format!("sha256:{wanted}") != has {
        report.push(
            Diagnostic::error(
                Code::PlanDigest,
                format!("the plan of {} is {has}, and {wanted} is demanded", plan.redpath),
            )
            .help("`red-conf plan --canonical` shows what the digest is of"),
        );
    }
}
