//! The plan: everything a launch will do, as data.

use std::path::Path;

use oci_spec::runtime::Spec;

use super::digest::Digest;
use super::environment::{self, EnvEntry};
use super::files::{self, VolatileFile};
use super::host::Host;
use super::identity::{self, Asked, Caller, Inside, Target};
use super::layout::{self, Layout, Terms};
use super::oci;
use crate::command::Shell;
use crate::node::capability;
use crate::node::config::Namespace;
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::expand::Launch;
use crate::node::family::Family;
use crate::node::guard::Rules;
use crate::node::merge::{self, CommandUse, Merged, Sharing};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The command and its arguments.
    pub args: Vec<String>,
    /// Whether it gets a terminal.
    pub terminal: bool,
    /// What is missing is an error.
    pub strict: bool,
    /// Nodes that were moved start all the same.
    pub unsafe_: bool,
    /// User and group, before the family's.
    pub asked: Asked,
    /// Smack label, before the family's.
    pub smack: Option<String>,
    /// Who asks.
    pub caller: Caller,
    /// What the host says about exports.
    pub rules: Rules,
}

impl Request {
    /// A shell for the caller, nothing special.
    #[must_use]
    pub fn new(caller: Caller) -> Self {
        Self {
            args: vec!["sh".to_owned()],
            terminal: false,
            strict: false,
            unsafe_: false,
            asked: Asked::default(),
            smack: None,
            caller,
            rules: Rules::default(),
        }
    }
}

/// Everything a launch will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The redpath, without symbolic links.
    pub redpath: String,
    /// The OCI configuration. Its root is the skeleton; sources `files/N` are [`Plan::files`].
    pub spec: Spec,
    /// The volatile root, the mounts and what they stand on.
    pub layout: Layout,
    /// Files of the launch that are bound into the container, in the order of their numbers.
    pub files: Vec<VolatileFile>,
    /// The environment, by name.
    pub environment: Vec<EnvEntry>,
    /// The merged family.
    pub merged: Merged,
    /// Who the command runs as on the host.
    pub target: Target,
    /// Who it is inside.
    pub inside: Inside,
    /// Smack label of the command.
    pub smack: Option<String>,
    /// What it is, apart from what differs per launch.
    pub digest: Digest,
    /// What differs per launch.
    pub launch: Launch,
    /// Whether its commands were run, so that it can be launched.
    pub complete: bool,
}

impl Plan {
    /// End with the launcher.
    #[must_use]
    pub fn die_with_parent(&self) -> bool {
        self.merged.tags.die_with_parent.as_ref().is_some_and(|on| on.value)
    }

    /// A session of its own.
    #[must_use]
    pub fn new_session(&self) -> bool {
        self.merged.tags.new_session.as_ref().is_some_and(|on| on.value)
    }

    /// Whether launches without an engine load the standard system call filter.
    #[must_use]
    pub fn seccomp(&self) -> bool {
        self.merged.tags.seccomp.as_ref().is_none_or(|on| on.value)
    }
}

/// A plan if there is one, and what was found on the way.
#[derive(Debug)]
pub struct Planned {
    /// The plan; `None` when the report has errors.
    pub plan: Option<Plan>,
    /// Mistakes, warnings and notes.
    pub report: Report,
}

/// Plans a launch. Writes nothing.
///
/// Without a shell no command is run: the plan can be shown, compared and digested, but not
/// launched.
pub fn plan(
    family: &Family,
    request: &Request,
    mut launch: Launch,
    host: &mut dyn Host,
    mut shell: Option<&mut dyn Shell>,
) -> Planned {
    let (said, mut report) = merge::identity(family, &launch);
    report.append(family.startable(request.unsafe_));
    let target = identity::target(&request.asked, &said, request.caller, host, &mut report);
    (launch.uid, launch.gid) = (target.uid, target.gid);
    let commands = match &mut shell {
        None => CommandUse::Keep,
        Some(shell) => CommandUse::Run(&mut **shell),
    };
    // What the identity had to say, the merge says again.
    let (merged, found) = merge::merge(family, &launch, commands);
    let mut planned = Report::default();
    planned.append(found);
    planned.append(without(report, &planned));
    let mut report = planned;
    let map_root = merged.tags.identity.map_root_user.as_ref().is_some_and(|on| on.value);
    let inside = match identity::inside(request.caller, target, &merged.shares, map_root, host) {
        Ok(inside) => inside,
        Err(error) => return impossible(error, report),
    };
    user_namespace_note(request, &merged, &mut report);
    root_capabilities(&merged, &mut report);
    if !settle(family, host, shell.is_some(), &mut report) {
        return Planned { plan: None, report };
    }
    let terms = terms(request, &merged, &inside, target.uid);
    let layout = layout::layout(family, &merged, terms, host, &mut report);
    let environment = environment::build(&merged, &launch, &mut shell, &mut report);
    let files = files::gather(&merged, &layout, &mut shell, &mut report);
    let smack = request
        .smack
        .clone()
        .or_else(|| merged.tags.identity.smack.as_ref().map(|label| label.value.actual.clone()));
    let digest = Digest::of(family, &merged, &request.asked, smack.as_deref());
    let parts =
        oci::Parts { request, merged: &merged, layout: &layout, environment: &environment, inside: &inside };
    let redpath = family.leaf().vars.path.clone();
    let spec = match oci::spec(&parts, &redpath, &digest, host.cgroup_mode(), &mut report) {
        Ok(spec) => spec,
        Err(error) => return impossible(error, report),
    };
    let complete = shell.is_some();
    let plan = (!report.has_errors()).then_some(Plan {
        redpath,
        spec,
        layout,
        files,
        environment,
        merged,
        target,
        inside,
        smack,
        digest,
        launch,
        complete,
    });
    Planned { plan, report }
}

/// Has all nodes looked at as they are in one moment. A launch waits for one in which they are whole. `false` when there is
/// none: whatever else were found would come of it.
fn settle(family: &Family, host: &mut dyn Host, launch: bool, report: &mut Report) -> bool {
    let nodes: Vec<&Path> = family.nodes.iter().map(|node| node.path.as_path()).collect();
    let Err(unfinished) = host.settle(&nodes, launch) else { return true };
    let help =
        format!("`red-dnf --redpath={} red-generations complete` completes it", unfinished.node.display());
    let (code, message) = (Code::UpdateInterrupted, unfinished.to_string());
    let found = if launch { Diagnostic::error(code, message) } else { Diagnostic::warning(code, message) };
    report.push(found.help(help));
    !launch
}

/// No plan, for a reason that is no mistake of the family's.
fn impossible(error: impl std::fmt::Display, mut report: Report) -> Planned {
    report.push(Diagnostic::error(Code::Internal, error.to_string()));
    Planned { plan: None, report }
}

/// What the layout has to know besides the family.
fn terms<'r>(request: &'r Request, merged: &Merged, inside: &Inside, uid: u32) -> Terms<'r> {
    let host_has = |namespace| merged.shares.get(namespace).value == Sharing::Host;
    Terms {
        strict: request.strict,
        user_namespace: inside.user_namespace != Sharing::Host,
        host_pids: host_has(Namespace::Pid),
        host_ipc: host_has(Namespace::Ipc),
        uid,
        rules: &request.rules,
    }
}

/// A report without what another one has too.
fn without(report: Report, other: &Report) -> Report {
    let mut rest = Report::default();
    for one in report.diagnostics() {
        if !other.diagnostics().contains(one) {
            rest.push(one.clone());
        }
    }
    rest
}

/// Says so when a family asks for the host's users and cannot get them.
fn user_namespace_note(request: &Request, merged: &Merged, report: &mut Report) {
    let user = merged.shares.get(Namespace::User);
    if user.value == Sharing::Host && !request.caller.is_root() {
        let mut note = Diagnostic::note(
            Code::UserNamespace,
            "an unprivileged caller gets a user namespace all the same",
        );
        if let Some(origin) = user.origin {
            note = note.at(origin.at);
        }
        report.push(note);
    }
}

/// Warns of capabilities with which a node is confined by nothing.
fn root_capabilities(merged: &Merged, report: &mut Report) {
    let host_users = merged.shares.get(Namespace::User).value == Sharing::Host;
    let root: Vec<_> =
        merged.capabilities.granted().filter(|(one, _)| capability::is_root(*one, host_users)).collect();
    let Some((_, first)) = root.first() else { return };
    let names: Vec<&str> = root.iter().map(|(one, _)| capability::capability_name(*one)).collect();
    let message = format!("{}: launched by root, the node is root of the machine", names.join(", "));
    let mut warning = Diagnostic::warning(Code::CapabilityRoot, message)
        .help("grant it to no node that you would not run as root without a container");
    if let Some(origin) = first.origin {
        warning = warning.at(origin.at);
    }
    report.push(warning);
}
