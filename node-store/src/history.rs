//! What was done to a node, transaction by transaction. A record is part of its generation until
//! that is current, then a file of its own that outlives it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::family::Member;
use crate::generation::{ABOUT, At, Store, StoreError};
use crate::plan::Change;
use crate::rpm::{RpmError, TrustList};

/// One entry of the history.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Record {
    /// Its number.
    pub(crate) id: u64,
    /// When, in ISO 8601, UTC.
    pub(crate) time: String,
    /// User id of whoever did it.
    pub(crate) uid: u32,
    /// The command line.
    pub(crate) command: Vec<String>,
    /// The generation before.
    pub(crate) from: Option<u64>,
    /// The generation from then on.
    pub(crate) generation: u64,
    /// What was done to packages. Empty for a rollback.
    pub(crate) changes: Vec<Change>,
    /// Files that scriptlets wrote and no package owns, as paths of the install view.
    pub(crate) outside: Vec<PathBuf>,
    /// Files of core OS or ancestors that scriptlets tried to remove. They are still there.
    pub(crate) kept: Vec<PathBuf>,
    /// Files that decide for the node, which scriptlets changed. They are as they were.
    #[serde(default)]
    pub(crate) undone: Vec<PathBuf>,
    /// Scriptlets that failed and that rpm went on after, in its words.
    #[serde(default)]
    pub(crate) failed: Vec<String>,
    /// What scriptlets printed.
    pub(crate) output: String,
}

/// Directory of the records.
pub(crate) const HISTORY: &str = "history";
/// How long a record may be.
const RECORD: u64 = 64 << 20;
/// File of a rollback that is being done.
pub(crate) const INTENDED: &str = "rollback.json";

/// What a generation says of itself.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct About {
    /// Names of packages that somebody asked for; the others are there for them.
    pub(crate) asked: BTreeSet<String>,
    /// Which repository each package came from, by name, version and architecture.
    pub(crate) origin: BTreeMap<String, String>,
    /// Whose signatures count, besides those of the ancestors' lists; none where no transaction wrote one down yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keys: Option<TrustList>,
    /// How it came to be.
    pub(crate) record: Record,
}

/// The name in a name with version, release and architecture.
fn name_of(nevra: &str) -> Option<&str> {
    nevra.rsplitn(3, '-').nth(2)
}

impl About {
    /// What a generation says; nothing for one that no transaction made.
    pub(crate) fn of(store: &Store, generation: u64) -> Self {
        let text = store.read(&format!("gen/{generation}/{ABOUT}")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// What the current generation says, for a change of it: nothing for one that no transaction made. One
    /// whose record is damaged has forgotten what was asked for, and would lose it.
    pub(crate) fn to_change(store: &Store) -> Result<Self, StoreError> {
        let Some(current) = store.current()? else { return Ok(Self::default()) };
        let path = store.generation(current).join(ABOUT);
        match store.read(&format!("gen/{current}/{ABOUT}")) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| StoreError::InTheWay {
                path,
                why: format!(
                    "not a valid record of generation {current}: {error}; `red-rollback` leads to another"
                ),
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).at(path),
        }
    }

    /// Whether somebody asked for an installed package, of a name and with a name, version and architecture. What no
    /// transaction brought was: nothing says that it is there for another. One that rpm alone exchanged for another version
    /// is what it was, as with dnf.
    pub(crate) fn is_asked(&self, name: &str, nevra: &str) -> bool {
        let was_brought = || self.origin.keys().any(|brought| name_of(brought) == Some(name));
        self.asked.contains(name) || !self.origin.contains_key(nevra) && !was_brought()
    }

    /// What the generation says that a member shows; nothing for one that no transaction made.
    pub(crate) fn of_member(member: &Member) -> Result<Self, RpmError> {
        // Without generations, the tree is the node's own directory, where a file of that name says nothing.
        if member.tree == member.path {
            return Ok(Self::default());
        }
        let path = member.tree.join(ABOUT);
        let failed = |why: String| RpmError::Record { path: path.clone(), why };
        match crate::regular::read(&path, RECORD) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| failed(error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(RpmError::Closed { path })
            }
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// What the generation says that is shown.
    pub(crate) fn current(store: &Store) -> Self {
        store.shown().map(|number| Self::of(store, number)).unwrap_or_default()
    }
}

impl Store {
    /// All records, oldest first.
    pub(crate) fn history(&self) -> Vec<Record> {
        let Ok(entries) = std::fs::read_dir(self.red(HISTORY)) else { return Vec::new() };
        let mut records: Vec<Record> = entries
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "json"))
            .filter_map(|entry| {
                let name = entry.file_name();
                serde_json::from_slice(&self.read(&format!("{HISTORY}/{}", name.to_str()?)).ok()?).ok()
            })
            .collect();
        records.sort_by_key(|record: &Record| record.id);
        records
    }

    /// Number of the next record.
    pub(crate) fn next_record(&self) -> u64 {
        self.history().last().map_or(1, |record| record.id + 1)
    }

    /// Number of the next generation: one that never was.
    pub(crate) fn next_generation(&self) -> Result<u64, StoreError> {
        let recorded = self.history().iter().map(|record| record.generation).max();
        Ok(self.numbers()?.last().copied().max(recorded).map_or(1, |last| last + 1))
    }

    /// Adds a record.
    pub(crate) fn record(&self, record: &Record) -> Result<(), StoreError> {
        drop(crate::generation::make_directory(self.dir(), self.path(), ".red/history")?);
        let text = serde_json::to_vec_pretty(record).unwrap_or_default();
        self.write_durably(&format!("history/{}.json", record.id), &text)
    }

    /// Notes a rollback that is about to be done, so that one that is interrupted is recorded with who did
    /// it, and is not done twice.
    pub(crate) fn intend(&self, record: &Record) -> Result<(), StoreError> {
        self.write_durably(INTENDED, &serde_json::to_vec(record).unwrap_or_default())
    }

    /// The rollback that was interrupted after its switch.
    pub(crate) fn interrupted(&self) -> Result<Option<Record>, StoreError> {
        let Ok(text) = self.read(INTENDED) else { return Ok(None) };
        let current = self.current()?;
        let record: Option<Record> = serde_json::from_slice(&text).ok();
        Ok(record.filter(|record| Some(record.generation) == current))
    }

    /// Forgets a rollback that is recorded, or was never done.
    pub(crate) fn forget_intended(&self) -> Result<(), StoreError> {
        self.forget(INTENDED)
    }

    /// Whether a generation was ever the current one.
    pub(crate) fn was_current(&self, generation: u64) -> bool {
        self.history().iter().any(|record| record.generation == generation || record.from == Some(generation))
    }

    /// The generation that was current before this one, if it is kept; else the next lower one.
    pub(crate) fn before(&self, current: u64) -> Result<Option<u64>, StoreError> {
        let numbers = self.numbers()?;
        let history = self.history();
        let newest = history.iter().rev().find(|record| record.generation == current);
        let from = newest.and_then(|record| record.from);
        Ok(from
            .filter(|from| *from != current && numbers.contains(from))
            .or_else(|| numbers.iter().rev().copied().find(|number| *number < current)))
    }

    /// Whether the history says nothing of how the current generation came to be that.
    pub(crate) fn lacks_record(&self, current: u64) -> bool {
        match self.history().last() {
            Some(last) => last.generation != current,
            None => About::of(self, current).record.id != 0,
        }
    }

    /// Adds the record that a crash right after the switch left out.
    pub(crate) fn sweep_history(&self, current: u64) -> Result<(), StoreError> {
        let interrupted = self.interrupted()?;
        if !self.lacks_record(current) {
            return self.forget_intended();
        }
        let history = self.history();
        let mut record = About::of(self, current).record;
        if let Some(interrupted) = interrupted {
            record = interrupted;
        } else if history.iter().any(|known| known.generation == current) {
            // A rollback.
            let from = history.last().map(|last| last.generation);
            record = Record { time: now(), from, generation: current, ..Record::default() };
        }
        record.id = self.next_record();
        self.record(&record)?;
        self.forget_intended()
    }
}

/// The time, in ISO 8601, UTC, to the second.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_transaction_brought_was_asked_for() {
        let mut about = About::default();
        about.asked.insert("asked".into());
        for nevra in ["asked-1-1.noarch", "for-another-1-1.noarch"] {
            about.origin.insert(nevra.into(), Default::default());
        }
        for (name, nevra, asked) in [
            ("asked", "asked-1-1.noarch", true),
            ("asked", "asked-2-1.noarch", true),
            ("for-another", "for-another-1-1.noarch", false),
            ("for-another", "for-another-2:2-1.noarch", false),
            ("for", "for-another-1.noarch", true),
            ("other", "other-1-1.noarch", true),
        ] {
            assert_eq!(about.is_asked(name, nevra), asked, "{nevra}");
        }
    }
}
