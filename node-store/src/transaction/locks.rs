//! Who may change what meanwhile.

use std::path::PathBuf;

use super::{Talk, TransactionError};
use crate::family::{self, Family};
use crate::generation::{Lock, LockError, Patience, Store, StoreError, is_foreign};

/// The locks of a transaction, oldest node first, so that two transactions never wait for each other.
pub(crate) struct Locks {
    all: Vec<Lock>,
    /// Ancestors that are not the caller's to lock, and the generation that each showed.
    relied: Vec<(PathBuf, Option<u64>)>,
    /// Descendants that are not the caller's to lock, and so not to be changed.
    foreign: Vec<PathBuf>,
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
            // Root does nothing in a node that another user could lead it out of.
            let trusted = || Family::load(&ancestor.path).is_ok_and(|family| family.may_change().is_ok());
            if store.needs_sweep()
                && trusted()
                && let Some(alone) = ours(Lock::take(store.path(), true, patience, &mut tell))?
            {
                store.sweep()?.iter().for_each(|line| tell(line));
                sweep_members(&store, &mut tell)?;
                drop(alone);
            }
            match ours(Lock::take(&ancestor.path, false, patience, &mut tell))? {
                Some(lock) => all.push(lock),
                None => relied.push((ancestor.path.clone(), store.shown())),
            }
        }
        all.push(Lock::take(&family.node.path, true, patience, &mut tell)?);
        let (mut swept, mut foreign) = (vec![&family.node.path], Vec::new());
        for path in descendants {
            match Lock::take(path, true, patience, &mut tell) {
                Ok(lock) => all.push(lock),
                Err(error) if is_foreign(&error) => {
                    foreign.push(path.clone());
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            // Root does nothing in a node that another user could lead it out of.
            if Family::load(path).is_ok_and(|family| family.may_change().is_ok()) {
                swept.push(path);
            }
        }
        for path in swept {
            let store = Store::open(path)?;
            store.sweep()?.iter().for_each(|line| tell(line));
            sweep_members(&store, &mut tell)?;
        }
        Ok(Self { all, relied, foreign })
    }

    /// Makes sure that a descendant can be changed.
    pub(super) fn holds(&self, path: &std::path::Path) -> Result<(), TransactionError> {
        if !self.foreign.iter().any(|foreign| foreign == path) {
            return Ok(());
        }
        // It could not be locked, for a reason that is told now that it matters.
        drop(Lock::take(path, true, Patience::For(std::time::Duration::ZERO), &mut |_line| ())?);
        Err(TransactionError::Moved(path.to_owned()))
    }

    /// Whether ancestors that could not be locked are what they were. To be asked right before a switch.
    pub(crate) fn hold(&self) -> Result<(), TransactionError> {
        for (path, then) in &self.relied {
            if Store::open(path)?.shown() != *then {
                return Err(TransactionError::Moved(path.clone()));
            }
        }
        Ok(())
    }

    pub(super) fn pass_on(&self, on: bool) -> Result<(), StoreError> {
        self.all.iter().try_for_each(|lock| lock.pass_on(on))
    }
}

/// Sweeps the nodes below that a transaction of this one was about to write to when it was killed.
fn sweep_members(store: &Store, tell: &mut dyn FnMut(&str)) -> Result<(), TransactionError> {
    for path in store.moving() {
        // Whoever has it sweeps it, or has done so; the others are gone or somebody else's.
        let now = Patience::For(std::time::Duration::ZERO);
        let Ok(lock) = Lock::take(&path, true, now, &mut |_line| ()) else { continue };
        if Family::load(&path).is_ok_and(|family| family.may_change().is_ok()) {
            Store::open(&path)?.sweep()?.iter().for_each(|line| tell(line));
        }
        drop(lock);
    }
    Ok(store.forget_moving()?)
}

/// A lock, or none where the node is somebody else's.
fn ours(taken: Result<Lock, LockError>) -> Result<Option<Lock>, LockError> {
    match taken {
        Err(error) if is_foreign(&error) => Ok(None),
        taken => taken.map(Some),
    }
}
