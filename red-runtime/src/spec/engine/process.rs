//! The process: the engine's command, as the user it names, with the node's environment over the
//! engine's, and no capability that either of them does not give.

use std::collections::{BTreeMap, HashSet};

use oci_spec::runtime::{Capability, LinuxCapabilities, Process, Spec};

use super::refused;
use crate::node::capability;
use crate::node::diagnostic::Report;
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

/// The user: the engine's, unless it names none and the node does.
fn user(process: &mut Process, plan: &Plan, report: &mut Report) {
    let mut user = process.user().clone();
    let said = plan.merged.tags.identity.user.as_ref();
    if let Some(said) = said {
        let own = (plan.inside.uid, plan.inside.gid);
        if user.uid() == 0 {
            user.set_uid(own.0);
            user.set_gid(own.1);
        } else if user.uid() != own.0 {
            let message = format!(
                "the engine demands user {}, and the node has `set-user: {}`",
                user.uid(),
                said.value.actual
            );
            let mut diagnostic = refused(message);
            if let Some(origin) = said.origin {
                diagnostic = diagnostic.at(origin.at);
            }
            report.push(diagnostic.help("start it without a user, or with that one"));
        }
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
