//! What an elder exports read-only stays read-only in its descendants, at whatever mount point
//! and through whatever larger or smaller part of the tree (REDPAK §4, exports).

use std::collections::BTreeMap;

use crate::node::diagnostic::{Code, Diagnostic};
use crate::node::family::{Family, Origin};
use crate::node::text_path::{ByComponent, is_within};

/// A path of the host made visible.
#[derive(Clone, Copy, Debug)]
pub struct Bind<'t> {
    /// The path, absolute and clean, as people know it.
    pub path: &'t str,
    /// What is compared: the path, or its place in the file system once that is known.
    pub place: &'t str,
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
        } else if is_within(&self.path, &self.elder_path) || is_within(&self.elder_path, &self.path) {
            format!(" as part of {}", self.elder_path)
        } else {
            format!(", which is the same place as {} or a part of it,", self.elder_path)
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

/// Finds every writable bind that an elder's read-only one forbids: of the same place, of one below
/// it, or of one above it. A node's own directory is its own: an elder that exports a directory above
/// it read-only does not forbid the node to write there. `nodes` are the places of the family's
/// directories, oldest first.
#[must_use]
pub fn conflicts(nodes: &[&str], binds: &[Bind<'_>]) -> Vec<Conflict> {
    let mut read_only: BTreeMap<ByComponent<'_>, Vec<&Bind<'_>>> = BTreeMap::new();
    if binds.iter().all(|bind| !bind.writable) {
        return Vec::new();
    }
    for bind in binds.iter().filter(|bind| !bind.writable) {
        read_only.entry(ByComponent(plain(bind.place))).or_default().push(bind);
    }
    let mut found: Vec<Conflict> = Vec::new();
    for bind in binds.iter().filter(|bind| bind.writable) {
        let own = bind.age.checked_sub(1).and_then(|index| nodes.get(index)).copied();
        let path = plain(bind.place);
        let above = path.match_indices('/').map(|(slash, _)| &path[..slash]);
        let above = above.filter_map(|above| read_only.get(&ByComponent(above)));
        let below = read_only.range(ByComponent(path)..).take_while(|(other, _)| is_within(other.0, path));
        let elder = above
            .chain(below.map(|(_, elders)| elders))
            .flatten()
            .filter(|elder| elder.age < bind.age && (elder.admin || !bind.admin))
            .find(|elder| !is_own(own, bind, elder));
        // What a recursive bind brings along is its own affair once, not once a mount.
        if let Some(elder) = elder.filter(|_| found.last().is_none_or(|last| last.younger != bind.origin)) {
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

/// A path without a closing slash: the root is empty.
fn plain(path: &str) -> &str {
    path.trim_end_matches('/')
}

fn is_own(own: Option<&str>, bind: &Bind<'_>, elder: &Bind<'_>) -> bool {
    own.is_some_and(|own| is_within(bind.place, own) && is_within(own, elder.place))
}
