//! A node whose `.red/current` leads to no generation: somebody removed that, or wrote the link. Nothing of the node can be
//! read then, and `red-rollback N` is the way out.

use std::path::Path;

use rustix::fs::readlinkat;

use super::adopt::link_of;
use super::{Store, StoreError, USUAL};

impl Store {
    /// The generations that there are, where `.red/current` leads to none of them.
    pub(crate) fn lost(&self) -> Result<Option<Vec<u64>>, StoreError> {
        let numbers = self.numbers()?;
        let current = self.current();
        let leads = matches!(&current, Ok(Some(number)) if numbers.contains(number));
        // Before the first switch there is no link yet, and nothing goes through it.
        let through = |top: &str| {
            readlinkat(&self.dir, top, Vec::new()).is_ok_and(|link| link.to_string_lossy() == link_of(top))
        };
        let none_yet = matches!(current, Ok(None)) && !USUAL.into_iter().any(through);
        Ok((!numbers.is_empty() && !leads && !none_yet).then_some(numbers))
    }

    /// Whether there are such.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost().is_ok_and(|numbers| numbers.is_some())
    }

    /// Has `.red/current` lead to a generation again. The caller holds the node's lock alone.
    pub(crate) fn lead_back(&self, number: u64) -> Result<(), StoreError> {
        self.lead_to(number)?;
        self.point(number)?;
        self.sync_names()
    }
}

/// Nodes of a redpath, the youngest last, whose `.red/current` leads to no generation, and what to do.
pub(crate) fn lost_above(redpath: &Path) -> Vec<String> {
    let mut paths: Vec<&Path> = redpath.ancestors().collect();
    paths.reverse();
    let told = paths.into_iter().filter_map(|path| {
        let numbers = Store::open(path).ok()?.lost().ok()??;
        let path = path.display();
        Some(format!(
            "{path}: `.red/current` leads to no generation: `red-dnf --redpath={path} red-rollback N` mends that; there \
             {} {}",
            if numbers.len() == 1 { "is generation" } else { "are generations" },
            list(&numbers)
        ))
    });
    told.collect()
}

/// `1, 2, 3`.
pub(crate) fn list(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}
