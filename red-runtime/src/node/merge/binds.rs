//! What an elder exports read-only stays read-only in its descendants, at whatever mount point
//! and through whatever larger or smaller part of the tree (REDPAK §4, exports).

use std::collections::BTreeMap;
use std::path::Path;

use crate::node::diagnostic::{Code, Diagnostic};
use crate::node::family::{Family, Origin};

/// A path of the host made visible.
#[derive(Clone, Copy, Debug)]
pub struct Bind<'t> {
    /// The path, absolute and clean.
    pub path: &'t str,
    /// Whether it is writable inside.
    pub writable: bool,
    /// Age of the layer that says so, see [`Layer::age`](crate::node::family::Layer::age).
    pub age: usize,
    /// Whether an admin file says so.
    pub admin: bool,
    /// Where it was written.
    pub origin: Origin,
}

/// A writable bind that an elder's read-only one forbids.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Conflict {
    /// The writable path.
    pub path: String,
    /// The read-only path.
    pub elder_path: String,
    /// Where the writable one was written.
    pub younger: Origin,
    /// Where the read-only one was written.
    pub elder: Origin,
}

impl Conflict {
    /// The mistake it is.
    #[must_use]
    pub fn diagnostic(&self, family: &Family) -> Diagnostic {
        let layers = family.layers();
        let name = |origin: Origin| {
            layers.iter().find(|layer| layer.id == origin.layer).map_or_else(String::new, |one| one.name())
        };
        let part = if self.path == self.elder_path {
            String::new()
        } else {
            format!(" as part of {}", self.elder_path)
        };
        Diagnostic::error(
            Code::ExportWritable,
            format!(
                "{} exports {} writable, but {} exports it{part} read-only",
                name(self.younger),
                self.path,
                name(self.elder)
            ),
        )
        .at(self.younger.at)
        .label("would make it writable")
        .related(self.elder.at, "read-only here")
        .help("use a Restricted mode, export another path, or let an admin file say so")
    }
}

/// Finds every writable bind that an elder's read-only one forbids: of the same path, of a path
/// below it, or of a path above it. A node's own directory is its own: an elder that exports a
/// directory above it read-only does not forbid the node to write there.
#[must_use]
pub fn conflicts(family: &Family, binds: &[Bind<'_>]) -> Vec<Conflict> {
    let mut read_only: BTreeMap<Vec<&str>, Vec<&Bind<'_>>> = BTreeMap::new();
    for bind in binds.iter().filter(|bind| !bind.writable) {
        read_only.entry(parts(bind.path)).or_default().push(bind);
    }
    let mut found = Vec::new();
    for bind in binds.iter().filter(|bind| bind.writable) {
        let own =
            bind.age.checked_sub(1).and_then(|index| family.nodes.get(index)).map(|node| node.path.as_path());
        let path = parts(bind.path);
        let above = (0..path.len()).filter_map(|length| read_only.get(&path[..length]));
        let below = read_only.range(path.clone()..).take_while(|(other, _)| other.starts_with(&path));
        let elder = above
            .chain(below.map(|(_, elders)| elders))
            .flatten()
            .filter(|elder| elder.age < bind.age && (elder.admin || !bind.admin))
            .find(|elder| !is_own(own, bind, elder));
        if let Some(elder) = elder {
            found.push(Conflict {
                path: bind.path.to_owned(),
                elder_path: elder.path.to_owned(),
                younger: bind.origin,
                elder: elder.origin,
            });
        }
    }
    found
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
}

fn is_own(own: Option<&Path>, bind: &Bind<'_>, elder: &Bind<'_>) -> bool {
    own.is_some_and(|own| Path::new(bind.path).starts_with(own) && own.starts_with(elder.path))
}
