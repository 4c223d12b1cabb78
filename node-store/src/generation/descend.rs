//! Several nodes of one family switch together.
//!
//! One rename per node cannot be one rename for all. The list of switches is made durable first, in
//! the oldest of the nodes; from then on it holds, and whoever comes after a crash finishes it.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use red_runtime::node::generation::MAX_LIST;
pub(crate) use red_runtime::node::generation::Switches;

use super::{At, RED, Store, StoreError, remove};

pub(super) const PENDING: &str = "pending.json";
/// What a list is renamed to that cannot be read.
const DAMAGED: &str = "pending.json.damaged";
/// Nodes below that a transaction is about to write to.
pub(super) const MOVING: &str = "moving.json";

/// Switches all nodes. Every generation is complete and durable. Returns what a person should know of.
pub(crate) fn commit(switches: &Switches) -> Result<Vec<String>, StoreError> {
    let Some((first, number)) = switches.nodes.first() else { return Ok(Vec::new()) };
    let store = Store::open(first)?;
    // All that can be refused is refused before the first switch.
    for (node, number) in &switches.nodes {
        Store::open(node)?.may_switch(*number)?;
    }
    if switches.nodes.len() == 1 {
        return store.switch(*number);
    }
    let text = serde_json::to_vec(switches).map_err(std::io::Error::from).at(first)?;
    is_readable(&store, &text)?;
    // Launches show these generations from the moment that the list is there.
    for (node, number) in &switches.nodes {
        Store::open(node)?.lead_to(*number)?;
    }
    match store.write_durably(PENDING, &text) {
        // Renamed and perhaps not durable: others have seen it, and it holds.
        Err(_) if store.has_pending() => {}
        written => written?,
    }
    let switched = switches.nodes.iter().try_fold(Vec::new(), |mut told, (node, number)| {
        told.extend(Store::open(node)?.switch(*number)?);
        Ok::<_, StoreError>(told)
    });
    let first_error = match switched.and_then(|told| store.forget_pending().map(|()| told)) {
        Ok(told) => return Ok(told),
        // What is in the way stays there.
        Err(error @ (StoreError::NoGeneration { .. } | StoreError::InTheWay { .. })) => {
            return Err(error.decided(first));
        }
        Err(error) => error,
    };
    match store.finish_switches() {
        Ok(told) => Ok([vec![format!("{first_error}: tried again")], told].concat()),
        Err(_) => Err(first_error.decided(first)),
    }
}

/// Refuses a list that launches would not read.
fn is_readable(store: &Store, text: &[u8]) -> Result<(), StoreError> {
    if u64::try_from(text.len()).is_ok_and(|length| length <= MAX_LIST) {
        return Ok(());
    }
    let why = format!(
        "a list of all nodes that move together would have {} bytes, and launches read {MAX_LIST}: update nodes below \
         first, without `--with-descendants`; nothing has changed",
        text.len()
    );
    Err(StoreError::InTheWay { path: store.red(PENDING), why })
}

impl StoreError {
    /// The same, of an update that was decided before.
    pub(super) fn decided(self, node: &Path) -> Self {
        match self {
            decided @ Self::Decided { .. } => decided,
            error => Self::Decided { node: node.to_owned(), error: Box::new(error) },
        }
    }
}

impl Store {
    /// Finishes what [`commit`] had begun.
    pub(super) fn finish_switches(&self) -> Result<Vec<String>, StoreError> {
        let switches = match self.read(PENDING) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            // Nothing that could be a list. Whatever else keeps one from being read, it holds.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return self.set_aside(&error),
            Err(_) if self.is_other(PENDING) => {
                return self.set_aside(&std::io::Error::other("not a regular file"));
            }
            Err(error) => return Err(error).at(self.red(PENDING)),
            Ok(text) => match serde_json::from_slice::<Switches>(&text) {
                Ok(switches) => switches.at(&self.path),
                Err(error) => return self.set_aside(&error.into()),
            },
        };
        let (mut told, mut complete) = (Vec::new(), Vec::new());
        for (node, number) in switches {
            // The others do not wait for one that cannot follow any more.
            let done = match Store::open(&node) {
                Err(StoreError::File { errno: Errno::NOENT | Errno::NOTDIR, .. }) => continue,
                opened => opened.and_then(|store| store.follow(number)),
            };
            match done {
                Ok(lines) => {
                    told.extend(lines);
                    complete.push(format!("generation {number} of {} is current", node.display()));
                }
                Err(error @ (StoreError::NoGeneration { .. } | StoreError::InTheWay { .. })) => {
                    told.push(format!(
                        "the interrupted update of {} cannot be completed: {error}",
                        node.display()
                    ));
                }
                Err(error) => return Err(error),
            }
        }
        self.forget_pending()?;
        if !complete.is_empty() {
            told.push(format!("the interrupted update is complete: {}", complete.join(", ")));
        }
        Ok(told)
    }

    /// A node's part of a switch that was interrupted, from wherever it stopped.
    fn follow(&self, number: u64) -> Result<Vec<String>, StoreError> {
        let told = match self.current() {
            Ok(Some(current)) if current == number => self.arrive(number)?,
            // Whatever the link is now.
            _ => self.switch(number)?,
        };
        self.sweep_history(number)?;
        Ok(told)
    }

    /// Sets aside a list that cannot be read.
    fn set_aside(&self, why: &std::io::Error) -> Result<Vec<String>, StoreError> {
        let (path, aside) = (self.red(PENDING), self.red(DAMAGED));
        remove(&self.dir, &self.path, &format!("{RED}/{DAMAGED}"))?;
        std::fs::rename(&path, &aside).at(&path)?;
        self.sync_names()?;
        Ok(vec![format!(
            "warning: {}: not a valid list of an interrupted update ({why}): renamed to {}. This node and those below may \
             be partly updated: `red-check` finds what does not fit, and `red-update` or `red-rollback` mends it",
            path.display(),
            aside.display()
        )])
    }

    /// Whether something other than a regular file has a name. Where that cannot be told, it has not.
    fn is_other(&self, below: &str) -> bool {
        let path = std::path::Path::new(RED).join(below);
        let stat = rustix::fs::statat(&self.dir, path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| {
            rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile
        })
    }

    /// Whether an interrupted switch of a node above names a generation of this one. A list that cannot
    /// be read could name any.
    pub(super) fn is_pending(&self, number: u64) -> bool {
        self.path.ancestors().skip(1).any(|above| {
            // Directories above a pool may well be closed to the caller, and are no nodes then.
            let Ok(store) = Store::open(above) else { return false };
            let text = match store.read(PENDING) {
                Ok(text) => text,
                Err(error) => {
                    let none = [ErrorKind::NotFound, ErrorKind::NotADirectory, ErrorKind::PermissionDenied];
                    return !none.contains(&error.kind());
                }
            };
            let Ok(switches) = serde_json::from_slice::<Switches>(&text) else { return true };
            switches.at(above).contains(&(self.path.clone(), number))
        })
    }

    /// Whether a switch of several nodes that began here is not finished.
    pub(crate) fn has_pending(&self) -> bool {
        self.red(PENDING).exists()
    }

    fn forget_pending(&self) -> Result<(), StoreError> {
        std::fs::remove_file(self.red(PENDING)).at(self.red(PENDING))?;
        self.sync_names()
    }

    /// Notes the nodes below that a transaction is about to write to, so that the next command finds what one that is
    /// killed leaves there.
    pub(crate) fn note_moving(&self, below: &[&PathBuf]) -> Result<(), StoreError> {
        let below: Vec<&Path> = below.iter().filter_map(|path| path.strip_prefix(&self.path).ok()).collect();
        let text = serde_json::to_vec(&below).map_err(std::io::Error::from).at(self.red(MOVING))?;
        self.write_durably(MOVING, &text)
    }

    /// Those nodes.
    pub(crate) fn moving(&self) -> Vec<PathBuf> {
        let text = self.read(MOVING).unwrap_or_default();
        let below: Vec<PathBuf> = serde_json::from_slice(&text).unwrap_or_default();
        let is_below = |path: &PathBuf| {
            path.components().next().is_some()
                && path.components().all(|part| matches!(part, Component::Normal(_)))
        };
        below.into_iter().filter(is_below).map(|path| self.path.join(path)).collect()
    }

    /// Nothing is left there.
    pub(crate) fn forget_moving(&self) -> Result<(), StoreError> {
        self.forget(MOVING)
    }

    /// Removes a file of ours, durably, if it is there.
    pub(crate) fn forget(&self, name: &str) -> Result<(), StoreError> {
        match std::fs::remove_file(self.red(name)) {
            Ok(()) => self.sync_names(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).at(self.red(name)),
        }
    }

    /// Writes a file of ours aside, makes it durable and renames it into place.
    pub(crate) fn write_durably(&self, name: &str, text: &[u8]) -> Result<(), StoreError> {
        use std::io::Write;
        let (path, aside) = (self.red(name), self.red(format!("{name}.new")));
        let mut file = std::fs::File::create(&aside).at(&aside)?;
        // Launches of other users read what decides, whatever the umask.
        if name == PENDING {
            rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o644)).at(&aside)?;
        }
        file.write_all(text).and_then(|()| file.sync_all()).at(&aside)?;
        std::fs::rename(&aside, &path).at(&path)?;
        // The name, and that of the directory it is in.
        if let Some(dir) = path.parent().filter(|dir| *dir != self.red("")) {
            std::fs::File::open(dir).and_then(|dir| dir.sync_all()).at(dir)?;
        }
        self.sync_names()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_no_launch_reads_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let most = usize::try_from(MAX_LIST).unwrap();
        assert!(is_readable(&store, &vec![b'x'; most]).is_ok());
        let why = is_readable(&store, &vec![b'x'; most + 1]).unwrap_err().to_string();
        assert!(why.contains("1048577 bytes") && why.contains("nothing has changed"), "{why}");
    }
}
