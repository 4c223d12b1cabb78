//! What containers could have placed: a link or a node in what a node exports writable.

use std::path::Path;

use super::expand::Launch;
use super::family::STATUS_NAME;
use super::guard::MountTable;
use super::load::{self, LoadOptions};
use super::merge::{self, Claim, CommandUse};
use super::place;

/// Where in a node's writable exports a path without links is, in words; `None` where only those who may
/// write to the node can have placed it.
///
/// # Errors
/// Why it cannot be told: the node that it is in cannot be read.
pub fn place_of(path: &Path) -> Result<Option<String>, String> {
    let mut above = path.ancestors().skip(1);
    let Some(node) = above.find(|dir| std::fs::symlink_metadata(dir.join(STATUS_NAME)).is_ok()) else {
        return Ok(None);
    };
    let launch = Launch::of_this_process();
    let options = LoadOptions { prefix: launch.prefix().to_owned(), ..LoadOptions::default() };
    let loaded = load::load(node, &options).map_err(|error| error.to_string())?;
    let family = loaded.family.ok_or_else(|| loaded.report.one_line(&loaded.sources))?;
    let (merged, _) = merge::merge(&family, &launch, CommandUse::Keep);
    let mounts = MountTable::read();
    let Some(claim) = merged.claims.iter().find(|claim| holds(claim, path, &mounts)) else { return Ok(None) };
    let layers = family.layers();
    let by = layers.get(claim.origin.layer.index()).map_or_else(|| "a node".to_owned(), |layer| layer.name());
    let names = claim.names.as_ref().map(|names| format!("/{names}")).unwrap_or_default();
    Ok(Some(format!("in {}{names}, which {by} exports writable", claim.path)))
}

/// Whether containers that a claim is about may have placed what is at `path`.
fn holds(claim: &Claim, path: &Path, mounts: &MountTable) -> bool {
    let real = place::way(Path::new(&claim.path)).map(|way| way.path);
    let real = real.unwrap_or_else(|_| claim.path.clone().into());
    let locate = |path: &Path| path.to_str().and_then(|path| mounts.locate(0, path));
    let rest = match (locate(&real), locate(path)) {
        (Some(claim), Some(place)) => claim.rest(&place).map(str::to_owned),
        _ => path.strip_prefix(&real).ok().map(|rest| rest.to_string_lossy().into_owned()),
    };
    let Some(rest) = rest else { return false };
    let first = rest.split('/').next().unwrap_or_default();
    claim.names.as_ref().is_none_or(|names| names.has(first))
}
