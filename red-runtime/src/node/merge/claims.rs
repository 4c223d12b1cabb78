//! What a family's nodes give away to be written to, in this launch or in others of theirs.
//!
//! A container may put anything into what it can write to, a node's files too. So a node that lies there
//! is none (REDPAK §5), whether this very launch exports the place writable or one whose leaf is an
//! ancestor: private exports of ancestors count, and paths that depend on the leaf count for each leaf
//! that an ancestor can be.

use super::Merger;
use crate::node::config::Export;
use crate::node::expand::{self, Commands, NodeVars, Scope, Text};
use crate::node::family::{Layer, Origin};

/// A place of the host that containers of the family may write to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claim {
    /// Its path, or a directory above it where the rest differs from launch to launch.
    pub path: String,
    /// Where it was written.
    pub origin: Origin,
    /// Age of the layer, see [`Layer::age`].
    pub age: usize,
    /// Whether descendants get it too.
    pub shared: bool,
}

/// The claims of every node but the leaf, whose own cannot hold a member of the family.
pub(super) fn all(merger: &Merger<'_>) -> Vec<Claim> {
    let leaf = merger.family.nodes.len();
    let mut claims = Vec::new();
    for layer in merger.layers.iter().filter(|layer| !layer.admin && layer.age() < leaf) {
        for export in layer.config.exports.iter().filter(|export| export.mode.bind() == Some(true)) {
            of(merger, layer, export, &mut claims);
        }
    }
    claims
}

fn of(merger: &Merger<'_>, layer: &Layer<'_>, export: &Export, claims: &mut Vec<Claim>) {
    let text = export.path.as_ref().unwrap_or(&export.mount);
    let leaves = if depends_on_leaf(&text.value) {
        &merger.family.nodes[layer.node.unwrap_or(0)..]
    } else {
        &merger.family.nodes[merger.family.nodes.len() - 1..]
    };
    let from = claims.len();
    for leaf in leaves {
        let scope = Scope { node: layer.vars, leaf: &leaf.vars, launch: merger.launch };
        // A text that does not expand starts no launch, so nobody writes there.
        let Ok(path) = expand::expand(&text.value, scope, Commands::Keep) else { continue };
        let path = place(&path, layer.vars);
        let claim = Claim {
            path,
            origin: layer.origin(export.mount.at),
            age: layer.age(),
            shared: !export.mode.is_private(),
        };
        if path_is_usable(&claim.path) && !claims[from..].contains(&claim) {
            claims.push(claim);
        }
    }
}

/// Whether a text may mean another path under another leaf: it names something else than the node's
/// own path and alias.
fn depends_on_leaf(text: &str) -> bool {
    text.contains('$') && text.replace("$NODE_PATH", "").replace("$NODE_ALIAS", "").contains('$')
}

/// The path, or where it differs per launch the part of it that does not, if that is the node's own.
fn place(path: &Text, node: &NodeVars) -> String {
    if path.is_volatile() || path.unresolved {
        let canonical = path.canonical();
        let fixed = canonical.split('$').next().unwrap_or_default();
        let fixed = super::exports::clean(fixed.rsplit_once('/').map_or("", |(above, _)| above));
        if fixed == node.path || fixed.starts_with(&format!("{}/", node.path)) {
            return fixed;
        }
    }
    super::exports::clean(&path.actual)
}

fn path_is_usable(path: &str) -> bool {
    path.len() > 1 && !path.contains('\0')
}
