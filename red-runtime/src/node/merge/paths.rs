//! `path` and `ldpath` cumulate: leaf first, root last, redmain last of all; within a node admin
//! before normal; duplicates dropped.

use super::{Merger, Shell};
use crate::node::config::Config;
use crate::node::expand::Text;
use crate::node::family::Origin;
use crate::node::source::Located;

/// One directory of a search path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PathItem {
    /// The directory.
    pub text: Text,
    /// Where it was first named.
    pub origin: Origin,
}

pub(super) fn merge(
    merger: &mut Merger<'_>,
    read: impl Fn(&Config) -> Option<&Located<String>>,
) -> Vec<PathItem> {
    let mut items: Vec<PathItem> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    // Layers go from the weakest to the strongest, admin after normal.
    for layer in merger.layers.clone().into_iter().rev() {
        let Some(list) = read(layer.config) else { continue };
        // Cut before expansion, so that the canonical text is cut at the same places. A value
        // may hold colons of its own, which is fine for a search path.
        for part in list.value.split(':') {
            let part = Located::new(part.trim().to_owned(), list.at);
            let Some(text) = merger.expand(&layer, &part, Shell::Never) else { continue };
            if !text.actual.is_empty() && seen.insert(text.actual.clone()) {
                items.push(PathItem { text, origin: layer.origin(list.at) });
            }
        }
    }
    items
}
