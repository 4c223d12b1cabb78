//! From a step of the solver to a change that a person can read.

use super::ffi::{Pool, Step, StepKind, Why};
use super::load::Packages;
use super::request::{Ask, Wish};
use crate::plan::{Action, Change};

/// What a step does, and why.
pub(super) fn change(packages: &Packages, ask: &Ask, step: &Step) -> Change {
    let pool: &Pool = &packages.pool;
    let id = step.package;
    let action = match step.kind {
        StepKind::Install | StepKind::Obsoletes => Action::Install,
        StepKind::Erase => Action::Remove,
        StepKind::Upgrade => Action::Upgrade,
        StepKind::Downgrade => Action::Downgrade,
        StepKind::Reinstall => Action::Reinstall,
    };
    let name = pool.name(id);
    let replaces: Vec<String> = step.replaces.iter().map(|&old| packages.nevra(old)).collect();
    let was_asked = step.replaces.iter().any(|&old| ask.is_asked(packages, old));
    let asked = match action {
        Action::Install => step.why == Why::Asked,
        _ => was_asked,
    };
    Change {
        action,
        evr: packages.evr(id),
        arch: pool.arch(id),
        repo: packages.source(id),
        download: pool.number(id, super::ffi::attribute::DOWNLOAD_SIZE),
        size: pool.number(id, super::ffi::attribute::INSTALL_SIZE),
        reason: reason(packages, ask, step, action),
        asked,
        replaces,
        beside: ask.multiversion.contains(&name),
        file: None,
        checksum: None,
        name,
    }
}

fn reason(packages: &Packages, ask: &Ask, step: &Step, action: Action) -> String {
    let pool = &packages.pool;
    if step.kind == StepKind::Obsoletes && !step.replaces.is_empty() {
        let old: Vec<String> = step.replaces.iter().map(|&old| packages.nevra(old)).collect();
        return format!("replaces {}", old.join(", "));
    }
    match step.why {
        Why::Asked if action == Action::Remove => "asked for".into(),
        Why::Asked if matches!(ask.wish, Wish::Update | Wish::Mend) => "newer version".into(),
        Why::Asked => "asked for".into(),
        Why::Needed { by, dependency } if action == Action::Remove => {
            format!("{} needs {}", pool.name(by), pool.dependency(dependency))
        }
        Why::Needed { by, dependency } => {
            let what = pool.dependency(dependency);
            let what = if what == pool.name(step.package) { String::new() } else { format!(" ({what})") };
            format!("needed by {}{what}", pool.name(by))
        }
        Why::Recommended => "recommended".into(),
        Why::Unneeded => "needed by nothing else".into(),
        Why::Update => "newer version".into(),
        Why::Chosen if action == Action::Remove => "needs what is removed".into(),
        Why::Chosen => "goes with the rest".into(),
    }
}
