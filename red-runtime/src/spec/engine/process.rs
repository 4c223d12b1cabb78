//! The process: the engine's command, as the user it names, with the node's environment over the
//! engine's, and no capability that either of them does not give.

use std::collections::{BTreeMap, HashSet};

use oci_spec::runtime::{
    Capability, IOPriorityClass, LinuxCapabilities, LinuxSchedulerPolicy, PosixRlimitType, Process, Spec,
};

use super::facts::EngineFacts;
use super::{identity, refused};
use crate::node::capability;
use crate::node::diagnostic::Report;
use crate::node::value::VarMode;
use crate::spec::plan::Plan;

pub(super) fn combine(spec: &mut Spec, facts: &EngineFacts, plan: &Plan, report: &mut Report) {
    let Some(mut process) = spec.process().clone() else {
        report.push(refused("the engine's configuration has no process".to_owned()));
        return;
    };
    let linux = spec.linux().clone().unwrap_or_default();
    identity::combine(&mut process, &linux, facts, plan, report);
    if let Some(what) = lifts(&process) {
        let message = format!("the engine demands {what}, which lifts limits of node {}", plan.redpath);
        report.push(refused(message).help("start it without that setting"));
    }
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

/// What a process asks for that gets it more of the processor or of the disks than the limits of its cgroup
/// leave it: a quota and a weight are of the fair scheduler's tasks only (sched(7)), and limits of a process
/// that let it raise its own priority come to the same (getrlimit(2)).
pub(crate) fn lifts(process: &Process) -> Option<String> {
    if let Some(said) = process.scheduler() {
        let fair = matches!(
            said.policy(),
            LinuxSchedulerPolicy::SchedOther
                | LinuxSchedulerPolicy::SchedBatch
                | LinuxSchedulerPolicy::SchedIdle
        );
        if !fair {
            return Some(format!("process.scheduler.policy {}", said.policy()));
        }
        if let Some(nice) = said.nice().filter(|nice| *nice < 0) {
            return Some(format!("process.scheduler.nice {nice}"));
        }
    }
    if process.io_priority().as_ref().is_some_and(|io| io.class() == IOPriorityClass::IoprioClassRt) {
        return Some("process.ioPriority.class IOPRIO_CLASS_RT".to_owned());
    }
    let limit = process.rlimits().iter().flatten().find(|limit| {
        let most = match limit.typ() {
            PosixRlimitType::RlimitRtprio => 0,
            // 20 stands for the usual priority, and more for a better one.
            PosixRlimitType::RlimitNice => 20,
            _ => u64::MAX,
        };
        limit.soft().max(limit.hard()) > most
    });
    limit.map(|limit| format!("process.rlimits {} of {}", limit.typ(), limit.soft().max(limit.hard())))
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
