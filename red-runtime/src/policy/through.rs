//! Redpaths that lead through links of contents.
//!
//! What a container may write to can hold a link to any node. Who starts that node by the link's path
//! would start what the container chose, so such a path names none (REDPAK §5).

use std::path::Path;

use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::expand::Launch;
use crate::node::family::{Family, STATUS_NAME};
use crate::node::guard::MountTable;
use crate::node::load::{self, LoadOptions};
use crate::node::merge::{self, Claim, CommandUse};
use crate::node::place::{self, Deciding};

/// Refuses a family whose redpath led through a link in what a node exports writable.
pub(super) fn check(family: &Family) -> Report {
    let mut report = Report::default();
    for link in family.way.iter().filter(|one| one.facts.is_link()) {
        if let Some(message) = refusal(link) {
            let leaf = family.leaf().path.display();
            let help = format!("name the node by its own path: {leaf}");
            report.push(Diagnostic::error(Code::NodeWritable, message).help(help));
        }
    }
    report
}

fn refusal(link: &Deciding) -> Option<String> {
    let above = link.path.parent()?;
    let node = above.ancestors().find(|dir| std::fs::symlink_metadata(dir.join(STATUS_NAME)).is_ok())?;
    let shown = link.path.display();
    let launch = Launch::of_this_process();
    let options = LoadOptions { prefix: launch.prefix().to_owned(), ..LoadOptions::default() };
    let unreadable = |why: String| {
        Some(format!(
            "the redpath leads through the symbolic link {shown}, in a node that cannot be read: {why}"
        ))
    };
    let holder = match load::load(node, &options) {
        Ok(loaded) => match loaded.family {
            Some(family) => family,
            None => return unreadable(loaded.report.one_line(&loaded.sources)),
        },
        Err(error) => return unreadable(error.to_string()),
    };
    let (merged, _) = merge::merge(&holder, &launch, CommandUse::Keep);
    let mounts = MountTable::read();
    let claim = merged.claims.iter().find(|claim| holds(claim, &link.path, &mounts))?;
    let layers = holder.layers();
    let by = layers.get(claim.origin.layer.index()).map_or_else(|| "a node".to_owned(), |layer| layer.name());
    let names = claim.names.as_ref().map(|names| format!("/{names}")).unwrap_or_default();
    Some(format!(
        "the redpath leads through the symbolic link {shown}, in {}{names}, which {by} exports writable: what is reached through it is no node",
        claim.path
    ))
}

/// Whether containers that a claim is about may have placed what is at `path`.
fn holds(claim: &Claim, path: &Path, mounts: &MountTable) -> bool {
    let real = place::way(Path::new(&claim.path)).map(|way| way.path);
    let real = real.unwrap_or_else(|_| claim.path.clone().into());
    let rest = match (
        real.to_str().and_then(|real| mounts.locate(0, real)),
        path.to_str().and_then(|path| mounts.locate(0, path)),
    ) {
        (Some(claim), Some(place)) => claim.rest(&place).map(str::to_owned),
        _ => path.strip_prefix(&real).ok().map(|rest| rest.to_string_lossy().into_owned()),
    };
    let Some(rest) = rest else { return false };
    let first = rest.split('/').next().unwrap_or_default();
    claim.names.as_ref().is_none_or(|names| names.has(first))
}
