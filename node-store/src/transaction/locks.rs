//! Who may change what meanwhile.

use std::path::PathBuf;

use super::{Talk, TransactionError};
use crate::family::{self, Family};
use crate::generation::{Lock, Patience, Store, StoreError};

/// The locks of a transaction, oldest node first, so that two transactions never wait for each other.
pub(crate) struct Locks {
    all: Vec<Lock>,
}

impl Locks {
    /// Ancestors stay as they are, the node (and, if asked, its descendants) may change.
    pub(crate) fn take(
        family: &Family,
        descendants: &[PathBuf],
        patience: Patience,
        talk: &mut dyn Talk,
    ) -> Result<Self, TransactionError> {
        let mut all = Vec::new();
        let mut tell = |line: &str| talk.say(line);
        for ancestor in &family.ancestors {
            let store = family::store(ancestor)?;
            if store.needs_sweep() {
                let alone = Lock::take(store.path(), true, patience, &mut tell)?;
                store.sweep()?.iter().for_each(|line| tell(line));
                drop(alone);
            }
            all.push(Lock::take(&ancestor.path, false, patience, &mut tell)?);
        }
        for path in std::iter::once(&family.node.path).chain(descendants) {
            all.push(Lock::take(path, true, patience, &mut tell)?);
        }
        for path in std::iter::once(&family.node.path).chain(descendants) {
            Store::open(path)?.sweep()?.iter().for_each(|line| tell(line));
        }
        Ok(Self { all })
    }

    pub(super) fn pass_on(&self, on: bool) -> Result<(), StoreError> {
        self.all.iter().try_for_each(|lock| lock.pass_on(on))
    }
}
