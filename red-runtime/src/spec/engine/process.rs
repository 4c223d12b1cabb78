//! The process: the engine's command, as the user it names, with the node's environment over the
//! engine's, and no capability that either of them does not give.

use std::collections::{BTreeMap, HashSet};

use oci_spec::runtime::{Capability, LinuxCapabilities, Process, Spec};

use super::refused;
use crate::node::capability;
use crate::node::diagnostic::Report;
use crate::node::expand::Text;
use crate::node::merge::Resolved;
use crate::node::value::VarMode;
use crate::spec::plan::Plan;

pub(super) fn combine(spec: &mut Spec, plan: &Plan, report: &mut Report) {
    let Some(mut process) = spec.process().clone() else {
        report.push(refused("the engine's configuration has no process".to_owned()));
        return;
    };
    user(&mut process, plan, report);
    process.set_env(Some(environment(process.env().as_deref().unwrap_or_default(), plan)));
    if plan.merged.tags.chdir.is_some() {
        process.set_cwd(plan.layout.cwd.clone().into());
    }
    let mut capabilities = process.capabilities().clone().unwrap_or_else(capability::none);
    narrow(&mut capabilities, plan.merged.capabilities.granted().map(|(one, _)| one).collect());
    process.set_capabilities(Some(capabilities));
    process.set_no_new_privileges(Some(true));
    spec.set_process(Some(process));
}

/// The user: the engine's, unless it names none and the node does. Where the node says who the process
/// is, it says so wholly: additional groups of the engine would be rights that nobody gave it.
fn user(process: &mut Process, plan: &Plan, report: &mut Report) {
    let mut user = process.user().clone();
    let identity = &plan.merged.tags.identity;
    let (uid, gid) = (plan.inside.uid, plan.inside.gid);
    if let Some(said) = &identity.user {
        let theirs = user.uid();
        if theirs == 0 {
            // Who names no user names no group either.
            user.set_uid(uid);
            user.set_gid(gid);
        } else if theirs != uid {
            conflict(("user", theirs), ("set-user", said), report);
        }
    }
    if let Some(said) = identity.group.as_ref().or(identity.user.as_ref()) {
        let tag = if identity.group.is_some() { "set-group" } else { "set-user" };
        let theirs = user.gid();
        if theirs == 0 {
            user.set_gid(gid);
        } else if theirs != gid {
            conflict(("group", theirs), (tag, said), report);
        }
        user.set_additional_gids(None);
    }
    let umask = plan.merged.tags.umask.as_ref().map(|umask| umask.value);
    // What either of them takes from new files is taken.
    let both = match (umask, user.umask()) {
        (Some(own), Some(theirs)) => Some(own | theirs),
        (own, theirs) => own.or(theirs),
    };
    user.set_umask(both);
    process.set_user(user);
}

fn conflict((what, theirs): (&str, u32), (tag, said): (&str, &Resolved<Text>), report: &mut Report) {
    let message =
        format!("the engine demands {what} {theirs}, and the node has `{tag}: {}`", said.value.actual);
    let mut diagnostic = refused(message);
    if let Some(origin) = said.origin {
        diagnostic = diagnostic.at(origin.at);
    }
    report.push(diagnostic.help(format!("start it without a {what}, or with that one")));
}

/// What the node defines wins, the rest is the engine's.
fn environment(engine: &[String], plan: &Plan) -> Vec<String> {
    let pairs = engine.iter().filter_map(|entry| entry.split_once('='));
    let mut all: BTreeMap<String, String> =
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mode = |key: &str| plan.merged.environ.iter().find(|one| one.key == key).map(|one| one.mode);
    for entry in &plan.environment {
        // The launching environment is the engine's.
        if entry.origin.is_none() || mode(&entry.key) == Some(VarMode::Inherit) {
            continue;
        }
        all.insert(entry.key.clone(), entry.value.clone().unwrap_or_default());
    }
    for one in plan.merged.environ.iter().filter(|one| one.mode == VarMode::Remove) {
        all.remove(&one.key);
    }
    all.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// Leaves of every set only what the node gives.
fn narrow(capabilities: &mut LinuxCapabilities, granted: HashSet<Capability>) {
    type Set = Option<HashSet<Capability>>;
    let both = |set: &Set| -> Set {
        Some(set.iter().flatten().copied().filter(|one| granted.contains(one)).collect())
    };
    capabilities.set_bounding(both(capabilities.bounding()));
    capabilities.set_effective(both(capabilities.effective()));
    capabilities.set_permitted(both(capabilities.permitted()));
    capabilities.set_inheritable(both(capabilities.inheritable()));
    capabilities.set_ambient(both(capabilities.ambient()));
}
