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
use crate::node::text_path;

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
    /// Which names in the directory at `path` it is about; `None` for the directory itself.
    pub names: Option<Names>,
    /// Whether it holds of every launch. Otherwise the text has nothing fixed to begin with, and this is
    /// where it leads in this one.
    pub bounded: bool,
}

/// Names that a text with a variable in it can mean.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Names {
    prefix: String,
    suffix: String,
    /// Whether the variable stands for a number.
    number: bool,
}

impl Names {
    /// Whether it can be this one.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let rest = name.strip_prefix(self.prefix.as_str());
        let Some(middle) = rest.and_then(|rest| rest.strip_suffix(self.suffix.as_str())) else {
            return false;
        };
        !self.number || (!middle.is_empty() && middle.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

impl std::fmt::Display for Names {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}*{}", self.prefix, self.suffix)
    }
}

/// Stands for the alias of a leaf, which has no slash. No configuration can have it.
const ANY_ALIAS: char = '\u{1}';
/// Stands for what else a leaf is called.
const ANY_TEXT: char = '\u{2}';

/// The claims of every node. The leaf's own cannot hold a member of the family, but links.
pub(super) fn all(merger: &Merger<'_>) -> Vec<Claim> {
    let mut claims = Vec::new();
    for layer in merger.layers.iter().filter(|layer| !layer.admin) {
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
    let mut add = |path: String, names: Option<Names>, bounded: bool| {
        let (origin, age) = (layer.origin(export.mount.at), layer.age());
        let claim = Claim { path, origin, age, shared: !export.mode.is_private(), names, bounded };
        if path_is_usable(&claim.path) && !claims[from..].contains(&claim) {
            claims.push(claim);
        }
    };
    for leaf in leaves {
        // A leaf calls itself what it likes.
        let (alias, other) = (ANY_ALIAS.to_string(), ANY_TEXT.to_string());
        let any = NodeVars { alias, name: other.clone(), info: other, ..leaf.vars.clone() };
        let expand = |leaf: &NodeVars| {
            let scope = Scope { node: layer.vars, leaf, launch: merger.launch };
            expand::expand(&text.value, scope, Commands::Keep).ok()
        };
        // A text that does not expand starts no launch, so nobody writes there.
        let (Some(path), Some(other)) = (expand(&leaf.vars), expand(&any)) else { continue };
        let varies = other.is_volatile() || other.unresolved || is_any(&other.actual);
        for path in [path, other] {
            let partly = partly(&path);
            let fixed = partly.as_ref().is_some_and(|(above, _)| is_within(above, &layer.vars.path));
            if let Some((above, names)) = partly {
                add(above, Some(names), true);
            }
            if !fixed && !is_any(&path.actual) {
                add(text_path::clean(&path.actual), None, !varies);
            }
        }
    }
}

fn is_any(text: &str) -> bool {
    text.contains([ANY_ALIAS, ANY_TEXT])
}

fn is_within(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a text may mean another path under another leaf: it names something else than the node's
/// own path and alias.
fn depends_on_leaf(text: &str) -> bool {
    text.contains('$') && text.replace("$NODE_PATH", "").replace("$NODE_ALIAS", "").contains('$')
}

/// For a path that differs per launch: the directory that does not, and which names in it are meant.
fn partly(path: &Text) -> Option<(String, Names)> {
    let canonical = path.canonical();
    if !path.is_volatile() && !path.unresolved && !is_any(&canonical) {
        return None;
    }
    let (fixed, rest) = canonical.split_at(canonical.find(['$', ANY_ALIAS, ANY_TEXT])?);
    // A dollar that is one is written `\$`.
    let (above, prefix) = fixed.trim_end_matches('\\').rsplit_once('/')?;
    let above = text_path::clean(above);
    let after = &rest[1..];
    let end = after.find(|one: char| !one.is_ascii_alphanumeric() && !"_{}".contains(one));
    let (variable, suffix) = match rest.strip_prefix(ANY_ALIAS) {
        Some(suffix) => ("LEAF_ALIAS", suffix),
        None => after.split_at(end.unwrap_or(after.len())),
    };
    let variable = variable.trim_matches(['{', '}']);
    let suffix = suffix.split('/').next().unwrap_or_default();
    let only = !suffix.contains(['$', ANY_ALIAS, ANY_TEXT]) && !fixed.ends_with('\\');
    let number = only && ["UID", "GID", "PID"].contains(&variable);
    let one_name = only && (number || ["USER", "LOGNAME", "LEAF_ALIAS"].contains(&variable));
    let suffix = if one_name { suffix.to_owned() } else { String::new() };
    Some((above, Names { prefix: prefix.to_owned(), suffix, number }))
}

fn path_is_usable(path: &str) -> bool {
    path.len() > 1 && !path.contains('\0')
}
