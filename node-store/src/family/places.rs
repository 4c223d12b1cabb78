//! Places of a node that the store believes, and where what runs in it may have led them.

use std::path::{Path, PathBuf};

use red_runtime::node::guard::PLACES;
use red_runtime::node::merge;
use rustix::fs::FileType;

use super::CURRENT;
use crate::beneath::Dir;
use crate::generation::{RED, StoreError};

/// Where a node's cache is, and what is to be told of it. `configured` is where its configuration has it.
pub(super) fn cache_of(
    node: &Path,
    configured: Option<PathBuf>,
    claims: &[merge::Claim],
) -> (PathBuf, Option<String>) {
    let own = node.join(RED).join("cache");
    let Some(cache) = configured.filter(|cache| *cache != own) else { return (own, None) };
    let Some(export) = given_away(claims, &cache) else { return (cache, None) };
    let warning = format!(
        "`cachedir` {} is not used: {export} is exported writable, so containers could decide what is \
         installed; {} is used (remove `cachedir` from the configuration)",
        cache.display(),
        own.display()
    );
    (own, Some(warning))
}

/// The writable export that a directory lies in, or that lies in it: by name, since what runs in the export
/// may have put a link there, and by where it really is.
fn given_away(claims: &[merge::Claim], dir: &Path) -> Option<String> {
    let meets = |export: &Path, dir: &Path, names: Option<&merge::Names>| match names {
        None => dir.starts_with(export) || export.starts_with(dir),
        Some(names) => dir.strip_prefix(export).is_ok_and(|rest| {
            let next = rest.components().next();
            next.is_none_or(|next| names.has(&next.as_os_str().to_string_lossy()))
        }),
    };
    let found = claims.iter().find(|claim| {
        let (export, names) = (Path::new(&claim.path), claim.names.as_ref());
        meets(export, dir, names) || meets(&real(export), &real(dir), names)
    });
    found.map(|claim| claim.path.clone())
}

/// A path with links followed as far as there is something.
fn real(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let Ok(real) = above.canonicalize() {
            return real.join(path.strip_prefix(above).unwrap_or(Path::new("")));
        }
    }
    path.to_owned()
}

/// Files of a node's configuration that were read by other names than the usual ones.
pub(super) fn deciding(family: &red_runtime::node::family::Family, node: &Path) -> Vec<String> {
    let files = family.deciding.iter().filter(|read| read.facts.is_file());
    files.filter_map(|read| in_generation(node, &read.path)).collect()
}

/// A path of a node as its generations have it; nothing for what is in none, or has its usual place.
pub(super) fn in_generation(node: &Path, path: &Path) -> Option<String> {
    let below = path.strip_prefix(node).ok()?;
    let mut parts = below.components();
    let below = if below.starts_with(RED) {
        // `.red/gen/N/…`; nothing else of ours is in a generation.
        parts.nth(1).filter(|part| part.as_os_str() == "gen")?;
        parts.next()?;
        parts.as_path()
    } else {
        below
    };
    let below = below.to_str().filter(|below| !below.is_empty())?;
    let usual = PLACES.iter().any(|place| Path::new(below).starts_with(place.path) && place.tree);
    (!usual).then(|| below.to_owned())
}

/// Refuses a database below a node with a symbolic link in it or on the way: what runs in the node put it
/// there, and everything that is installed would be read from, and copied out of, somewhere else.
pub(super) fn whole_database(node: &Path, database: &Path) -> Result<(), StoreError> {
    let Ok(way) = database.strip_prefix(node) else { return Ok(()) };
    let opened = Dir::open(node).and_then(|dir| {
        // The one link that is ours.
        let current = way.strip_prefix(CURRENT).ok();
        let generation = dir.dir(RED).and_then(|red| red.link("current".as_ref()));
        match (current, generation) {
            (Some(rest), Ok(generation)) => dir.dir(RED)?.dir(Path::new(&generation).join(rest)),
            _ => dir.dir(way),
        }
    });
    let why = match opened.and_then(|dir| dir.entries()) {
        Ok(entries) => {
            let regular = |mode: u32| FileType::from_raw_mode(mode) == FileType::RegularFile;
            let Some((name, _)) = entries.into_iter().find(|(_, stat)| !regular(stat.st_mode)) else {
                return Ok(());
            };
            format!("`{}` in it is not a regular file", name.to_string_lossy())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        // A link of ours to a generation that never came.
        Err(_) if !database.exists() => return Ok(()),
        Err(error) => error.to_string(),
    };
    let why = format!("this is no package database of the node ({why}); remove what is in its place");
    Err(StoreError::InTheWay { path: database.to_owned(), why })
}
