//! What is not as a command that ended leaves it.

use std::path::Path;

use red_runtime::node::family::STATUS_NAME;
use red_runtime::node::generation::Switches;

use super::descend::{MOVING, PENDING};
use super::variable::KEPT;
use super::{DATABASE, Store, VARIABLE, is_held, names};
use crate::history::{About, HISTORY, INTENDED, Record};

/// A kind of finding, and what was found.
pub(crate) type State = (&'static str, String);

impl Store {
    /// Everything of a node's own files that is not as it should be, for `red-check`. What a command does just now is
    /// not a finding.
    pub(crate) fn states(&self) -> Vec<State> {
        let mut found = self.damaged();
        if !is_held(self.path()) {
            found.extend(self.left());
        }
        found
    }

    /// Whether an update was decided here and is not complete.
    pub(crate) fn is_interrupted(&self) -> bool {
        let late = |number| self.generation(number).join(VARIABLE).exists();
        !is_held(self.path()) && (self.has_pending() || self.shown().is_some_and(late))
    }

    /// Files that cannot be read, and links that lead nowhere.
    fn damaged(&self) -> Vec<State> {
        let mut found = Vec::new();
        let mut damaged = |what: String| found.push(("damaged", what));
        let list = self.read(PENDING).and_then(|text| Ok(serde_json::from_slice::<Switches>(&text)?));
        if let Err(error) = list
            && error.kind() != std::io::ErrorKind::NotFound
        {
            damaged(format!(
                "{}: not a valid list of an interrupted update ({error}); the next command that changes the node sets it \
                 aside",
                self.red(PENDING).display()
            ));
        }
        let current = match self.current() {
            Ok(current) => current,
            Err(error) => {
                damaged(error.to_string());
                None
            }
        };
        if let Some(current) = current {
            if let Err(error) = About::to_change(self) {
                damaged(error.to_string());
            }
            let database = self.path().join(DATABASE);
            if !database.exists() {
                found.push((
                    "missing",
                    format!(
                        "{} is missing or leads nowhere (generation {current}); `red-generations complete` mends it",
                        database.display()
                    ),
                ));
            }
        }
        for name in self.files_of(HISTORY).into_iter().filter(|name| name.ends_with(".json")) {
            let path = self.red(HISTORY).join(&name);
            let read = self.read(&format!("{HISTORY}/{name}"));
            if let Err(error) = read.and_then(|text| Ok(serde_json::from_slice::<Record>(&text)?)) {
                found
                    .push(("damaged", format!("{}: not a valid record: {error}; remove it", path.display())));
            }
        }
        found
    }

    /// What commands that were killed left.
    fn left(&self) -> Vec<State> {
        let completes = format!("`red-dnf --redpath={} red-generations complete`", self.path().display());
        let mut found = Vec::new();
        let mut left = |what: String| found.push(("interrupted", what));
        if self.has_pending() {
            left(format!("an update of it and its descendants was interrupted; {completes} completes it"));
        }
        for name in self.files_of("stage").into_iter().map(|name| format!("stage/{name}")).chain(
            ["trash", "aside", "current.new", "spare.used"]
                .into_iter()
                .map(str::to_owned)
                .filter(|name| self.red(name).exists()),
        ) {
            left(format!(
                "{} is left of an interrupted command; {completes} removes it",
                self.red(name).display()
            ));
        }
        if self.red(MOVING).exists() {
            left(format!(
                "an update of nodes below was interrupted before its switch; {completes} removes what it left"
            ));
        }
        if self.red(INTENDED).exists() {
            left(format!("a rollback was interrupted; {completes} records it"));
        }
        let (Ok(Some(current)), Ok(numbers)) = (self.current(), self.numbers()) else { return found };
        if self.generation(current).join(VARIABLE).exists() {
            left(format!("what generation {current} has for var is not there; {completes} completes it"));
        }
        for &number in numbers.iter().filter(|&&number| number > current) {
            if !self.was_current(number) && !self.is_pending(number) && !self.has_pending() {
                left(format!(
                    "generation {number} was made and never became current; {completes} removes it"
                ));
            }
        }
        if self.lacks_record(current) {
            left(format!("the history has no record of generation {current}; {completes} adds it"));
        }
        for name in self.files_of("kept") {
            let number: Option<u64> = name.split('.').next().and_then(|number| number.parse().ok());
            if let Some(number) = number.filter(|number| !numbers.contains(number)) {
                let path = self.path().join(KEPT).join(name);
                let text = format!(
                    "{} is of generation {number}, which is gone; `red-generations collect` removes it",
                    path.display()
                );
                found.push(("left", text));
            }
        }
        found
    }

    /// Names in one of our directories; none where it is closed to the caller.
    fn files_of(&self, below: &str) -> Vec<String> {
        let mut names =
            names(self.dir(), &self.red(below), &format!("{}/{below}", super::RED)).unwrap_or_default();
        names.sort();
        names
    }
}

/// What to tell whoever only looks at a node: which of its family are not completely updated.
pub(crate) fn interrupted_above(redpath: &Path) -> Vec<String> {
    let Ok(leaf) = std::fs::canonicalize(redpath) else { return Vec::new() };
    let nodes = leaf.ancestors().take_while(|path| path.join(STATUS_NAME).exists());
    let interrupted = nodes.filter(|path| Store::open(path).is_ok_and(|store| store.is_interrupted()));
    let told = interrupted.map(|path| {
        format!(
            "warning: an update of {0} was interrupted and holds; `red-dnf --redpath={0} red-generations complete` completes \
             it",
            path.display()
        )
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A node whose first generation is current, and recorded.
    fn node(dir: &Path) -> Store {
        for below in [".red/gen/1/var/lib/rpm", ".red/history", ".red/stage", "var/lib"] {
            fs::create_dir_all(dir.join(below)).unwrap();
        }
        symlink("gen/1", dir.join(".red/current")).unwrap();
        symlink("../../.red/current/var/lib/rpm", dir.join("var/lib/rpm")).unwrap();
        let record = Record { id: 1, generation: 1, ..Record::default() };
        let about = About { record: record.clone(), ..About::default() };
        fs::write(dir.join(".red/gen/1/.generation.json"), serde_json::to_vec(&about).unwrap()).unwrap();
        let store = Store::open(dir).unwrap();
        store.record(&record).unwrap();
        store
    }

    #[test]
    fn every_state_has_its_finding() {
        let make = |dir: &Path, name: &str| fs::create_dir_all(dir.join(".red").join(name)).unwrap();
        let write = |dir: &Path, name: &str| fs::write(dir.join(".red").join(name), "{").unwrap();
        type Do<'a> = &'a dyn Fn(&Path);
        let states: [(&str, &str, Do<'_>); 13] = [
            ("interrupted", "for var", &|dir| make(dir, "gen/1/.var")),
            ("interrupted", "stage/9", &|dir| make(dir, "stage/9")),
            ("interrupted", "trash", &|dir| make(dir, "trash")),
            ("interrupted", "generation 2 was made and never", &|dir| make(dir, "gen/2")),
            ("interrupted", "no record of generation 1", &|dir| {
                fs::remove_file(dir.join(".red/history/1.json")).unwrap();
            }),
            ("damaged", "history/1.json: not a valid record", &|dir| write(dir, "history/1.json")),
            ("damaged", "not a valid record of generation 1", &|dir| write(dir, "gen/1/.generation.json")),
            ("damaged", "pending.json: not a valid list", &|dir| write(dir, "pending.json")),
            ("left", "kept/5 is of generation 5", &|dir| make(dir, "kept/5")),
            ("interrupted", "a rollback was interrupted", &|dir| write(dir, "rollback.json")),
            ("interrupted", "before its switch", &|dir| write(dir, "moving.json")),
            ("missing", "leads nowhere", &|dir| fs::remove_file(dir.join("var/lib/rpm")).unwrap()),
            ("damaged", "which is no generation", &|dir| {
                fs::remove_file(dir.join(".red/current")).unwrap();
                symlink("elsewhere", dir.join(".red/current")).unwrap();
            }),
        ];
        for (kind, words, damage) in states {
            let dir = tempfile::tempdir().unwrap();
            let store = node(dir.path());
            assert!(store.states().is_empty(), "{:?}", store.states());
            damage(dir.path());
            let found = store.states();
            assert!(found.iter().any(|(of, text)| *of == kind && text.contains(words)), "{words}: {found:?}");
        }
        // What somebody does just now is no finding.
        let dir = tempfile::tempdir().unwrap();
        let store = node(dir.path());
        make(dir.path(), "stage/9");
        let lock = super::super::Lock::take(
            dir.path(),
            true,
            super::super::Patience::For(std::time::Duration::ZERO),
            &mut |_line| (),
        );
        assert!(store.states().is_empty(), "{:?}", store.states());
        drop(lock.unwrap());
        assert_eq!(store.states().len(), 1);
    }
}
