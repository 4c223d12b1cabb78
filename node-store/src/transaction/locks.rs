//! Who may change what meanwhile.

use std::path::PathBuf;

use super::{Talk, TransactionError};
use crate::family::{self, Family};
use crate::generation::{Lock, LockError, Patience, Store, StoreError, is_foreign};

/// The locks of a transaction, oldest node first, so that two transactions never wait for each other.
pub(crate) struct Locks {
    all: Vec<Lock>,
    /// Ancestors that are not the caller's to lock, and the generation that each had.
    relied: Vec<(PathBuf, Option<u64>)>,
}

impl Locks {
    /// Ancestors stay as they are, the node (and, if asked, its descendants) may change.
    pub(crate) fn take(
        family: &Family,
        descendants: &[PathBuf],
        patience: Patience,
        talk: &mut dyn Talk,
    ) -> Result<Self, TransactionError> {
        let (mut all, mut relied) = (Vec::new(), Vec::new());
        let mut tell = |line: &str| talk.say(line);
        for ancestor in &family.ancestors {
            let store = family::store(ancestor)?;
            if store.needs_sweep()
                && let Some(alone) = ours(Lock::take(store.path(), true, patience, &mut tell))?
            {
                store.sweep()?.iter().for_each(|line| tell(line));
                drop(alone);
            }
            match ours(Lock::take(&ancestor.path, false, patience, &mut tell))? {
                Some(lock) => all.push(lock),
                None => relied.push((ancestor.path.clone(), store.current()?)),
            }
        }
        for path in std::iter::once(&family.node.path).chain(descendants) {
            all.push(Lock::take(path, true, patience, &mut tell)?);
        }
        for path in std::iter::once(&family.node.path).chain(descendants) {
            Store::open(path)?.sweep()?.iter().for_each(|line| tell(line));
        }
        Ok(Self { all, relied })
    }

    /// Whether ancestors that could not be locked are what they were. To be asked right before a switch.
    pub(crate) fn hold(&self) -> Result<(), TransactionError> {
        for (path, then) in &self.relied {
            if Store::open(path)?.current()? != *then {
                return Err(TransactionError::Moved(path.clone()));
            }
        }
        Ok(())
    }

    pub(super) fn pass_on(&self, on: bool) -> Result<(), StoreError> {
        self.all.iter().try_for_each(|lock| lock.pass_on(on))
    }
}

/// A lock, or none where the node is somebody else's.
fn ours(taken: Result<Lock, LockError>) -> Result<Option<Lock>, LockError> {
    match taken {
        Err(error) if is_foreign(&error) => Ok(None),
        taken => taken.map(Some),
    }
}
