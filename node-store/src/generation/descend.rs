//! Several nodes of one family switch together.
//!
//! One rename per node cannot be one rename for all. The list of switches is made durable first, in
//! the oldest of the nodes; from then on it holds, and whoever comes after a crash finishes it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{At, Store, StoreError};

/// What becomes current where.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Switches {
    /// Directory of each node and the generation that is to hold there, oldest node first.
    pub(crate) nodes: Vec<(PathBuf, u64)>,
}

const PENDING: &str = "pending.json";

/// Switches all nodes. Every generation is complete and durable.
pub(crate) fn commit(switches: &Switches) -> Result<(), StoreError> {
    let Some((first, number)) = switches.nodes.first() else { return Ok(()) };
    let store = Store::open(first)?;
    if switches.nodes.len() == 1 {
        return store.switch(*number);
    }
    store.write_durably(PENDING, &serde_json::to_vec(switches).map_err(std::io::Error::from).at(first)?)?;
    finish(switches)?;
    store.forget_pending()
}

fn finish(switches: &Switches) -> Result<(), StoreError> {
    for (node, number) in &switches.nodes {
        let store = Store::open(node)?;
        if store.current()? != Some(*number) {
            store.switch(*number)?;
        }
    }
    Ok(())
}

impl Store {
    /// Finishes what [`commit`] had begun.
    pub(super) fn finish_switches(&self) -> Result<(), StoreError> {
        let path = self.red(PENDING);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).at(path),
        };
        let switches: Switches = serde_json::from_slice(&text).map_err(std::io::Error::from).at(&path)?;
        finish(&switches)?;
        self.forget_pending()
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
        self.sync_names()
    }
}
