//! Several nodes of one family switch together.
//!
//! One rename per node cannot be one rename for all. The list of switches is made durable first, in
//! the oldest of the nodes; from then on it holds, and whoever comes after a crash finishes it.

use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{At, RED, Store, StoreError};

/// What becomes current where.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Switches {
    /// Directory of each node and the generation that is to hold there, oldest node first.
    pub(crate) nodes: Vec<(PathBuf, u64)>,
}

impl Switches {
    /// The same where the oldest node is now: a pool may have been moved meanwhile.
    fn at(&self, first: &Path) -> Vec<(PathBuf, u64)> {
        let Some((before, _)) = self.nodes.first() else { return Vec::new() };
        let moved = |node: &PathBuf| match node.strip_prefix(before) {
            Ok(below) if below.as_os_str().is_empty() => first.to_owned(),
            Ok(below) => first.join(below),
            Err(_) => node.clone(),
        };
        self.nodes.iter().map(|(node, number)| (moved(node), *number)).collect()
    }
}

const PENDING: &str = "pending.json";

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
    store.write_durably(PENDING, &serde_json::to_vec(switches).map_err(std::io::Error::from).at(first)?)?;
    let mut told = Vec::new();
    for (node, number) in &switches.nodes {
        told.extend(Store::open(node)?.switch(*number)?);
    }
    store.forget_pending()?;
    Ok(told)
}

impl Store {
    /// Finishes what [`commit`] had begun.
    pub(super) fn finish_switches(&self) -> Result<Vec<String>, StoreError> {
        let path = self.red(PENDING);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).at(path),
        };
        let switches: Switches = serde_json::from_slice(&text).map_err(std::io::Error::from).at(&path)?;
        let mut told = Vec::new();
        for (node, number) in switches.at(&self.path) {
            // The others do not wait for one that cannot follow any more.
            let done = match Store::open(&node) {
                Err(StoreError::File { errno: Errno::NOENT | Errno::NOTDIR, .. }) => continue,
                Err(error) => Err(error),
                Ok(store) if store.current()? == Some(number) => Ok(Vec::new()),
                Ok(store) => store.switch(number),
            };
            match done {
                Ok(lines) => told.extend(lines),
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
        Ok(told)
    }

    /// Whether an interrupted switch of a node above names a generation of this one. A list that cannot
    /// be read could name any.
    pub(super) fn is_pending(&self, number: u64) -> bool {
        self.path.ancestors().skip(1).any(|above| {
            let Ok(text) = std::fs::read(above.join(RED).join(PENDING)) else { return false };
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

    /// Writes a file of ours aside, makes it durable and renames it into place.
    pub(crate) fn write_durably(&self, name: &str, text: &[u8]) -> Result<(), StoreError> {
        use std::io::Write;
        let (path, aside) = (self.red(name), self.red(format!("{name}.new")));
        let mut file = std::fs::File::create(&aside).at(&aside)?;
        file.write_all(text).and_then(|()| file.sync_all()).at(&aside)?;
        std::fs::rename(&aside, &path).at(&path)?;
        // The name, and that of the directory it is in.
        if let Some(dir) = path.parent().filter(|dir| *dir != self.red("")) {
            std::fs::File::open(dir).and_then(|dir| dir.sync_all()).at(dir)?;
        }
        self.sync_names()
    }
}
