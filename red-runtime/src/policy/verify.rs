//! Could anybody have written this plan who should not?

use std::path::Path;

use super::{Policy, Starter};
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::family::Family;
use crate::node::place::{Deciding, Facts};

/// Checks that the family may be started at all by `starter`, and that every file and directory
/// that decides its plan, up to its pool, belongs to root, the pool's owner or the caller who
/// named it, and can be written by nobody else. Outside all pools nobody but root and the caller is
/// believed, and directories count up to the root: whoever owns one of them can exchange what is
/// below.
#[must_use]
pub fn verify(policy: &Policy, family: &Family, starter: Starter) -> Report {
    let mut report = Report::default();
    let leaf = family.leaf().path.as_path();
    let pool = policy.pool_of(leaf);
    if starter == Starter::Engine && pool.is_none() {
        let pools: Vec<String> = policy.pools.iter().map(|pool| pool.path.display().to_string()).collect();
        report.push(
            Diagnostic::error(
                Code::PolicyPool,
                format!("node {} is in no pool whose nodes engines may start", leaf.display()),
            )
            .help(format!("pools: {}; /etc/redpak/policy.yaml lists them", pools.join(", "))),
        );
        return report;
    }
    let owner =
        pool.and_then(|pool| pool.owner.or_else(|| facts_of(family, &pool.real).map(|facts| facts.uid)));
    let mut trusted = vec![0];
    trusted.extend(policy.root_elsewhere);
    trusted.extend(owner);
    if let Starter::Direct { uid } = starter {
        trusted.push(uid);
    }
    for deciding in &family.deciding {
        let above_pool =
            pool.is_some_and(|pool| pool.real.starts_with(&deciding.path) && deciding.path != pool.real);
        if !above_pool {
            let inside = family.nodes.first().is_some_and(|node| deciding.path.starts_with(&node.path));
            report_one(deciding, &trusted, inside, &mut report);
        }
    }
    report
}

fn facts_of(family: &Family, path: &Path) -> Option<Facts> {
    family.deciding.iter().find(|deciding| deciding.path == path).map(|deciding| deciding.facts)
}

fn report_one(deciding: &Deciding, trusted: &[u32], inside: bool, report: &mut Report) {
    let facts = deciding.facts;
    let path = deciding.path.display();
    if !trusted.contains(&facts.uid) {
        let mut names: Vec<String> = Vec::new();
        for uid in trusted.iter().map(u32::to_string) {
            if !names.contains(&uid) {
                names.push(uid);
            }
        }
        // What is above the node, a home for one, is rightly somebody's.
        let help = if inside {
            format!("chown it: `chown -h {} {path}`", trusted.last().copied().unwrap_or(0))
        } else {
            format!(
                "start the node as user {}, move it, or list its pool and the pool's owner in /etc/redpak/policy.yaml",
                facts.uid
            )
        };
        report.push(
            Diagnostic::error(
                Code::NodeOwner,
                format!("{path} belongs to user {}, not to {}", facts.uid, names.join(" or ")),
            )
            .help(help),
        );
    }
    // In a sticky directory nobody can rename or remove what belongs to somebody else (inode(7)),
    // and what is in it is checked by itself.
    let sticky = facts.is_dir() && facts.mode & 0o1000 != 0;
    if facts.mode & 0o022 != 0 && !sticky {
        report.push(
            Diagnostic::error(
                Code::NodeOwner,
                format!("{path} can be written by others (mode {:04o})", facts.mode & 0o7777),
            )
            .help(format!("`chmod go-w {path}`")),
        );
    }
}
