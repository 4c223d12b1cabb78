//! What a command that was killed, or a power cut, left behind.

use super::{DATABASE, RED, Store, StoreError, is_directory, names, remove};

impl Store {
    /// Brings a node into order: stages go, links that lead nowhere go, what the current generation has
    /// for `var` gets there, switches of a family that had begun are finished. The caller holds the
    /// node's lock alone. Returns what a person should know of.
    pub(crate) fn sweep(&self) -> Result<Vec<String>, StoreError> {
        if !is_directory(&self.dir, RED) {
            return Ok(Vec::new());
        }
        let mut told = self.finish_switches()?;
        for left in ["stage", "aside", "current.new", "trash"] {
            remove(&self.dir, &self.path, &format!("{RED}/{left}"))?;
        }
        if let Err(error) = self.forget_used() {
            told.push(format!("what is left of directories for the next generation stays: {error}"));
        }
        let Some(current) = self.current()? else { return Ok(told) };
        // A generation that was complete and never became current has no record of having been.
        for number in self.numbers()?.into_iter().filter(|&number| number > current) {
            if !self.was_current(number) && !self.is_pending(number) {
                self.discard(number)?;
            }
        }
        self.sweep_history(current)?;
        self.unlink_dangling()?;
        // Without it `NODE/var/lib/rpm` leads nowhere, and the node does not start.
        let database = format!(".red/gen/{current}/{DATABASE}");
        drop(super::make_directory(&self.dir, &self.path, &database)?);
        if !self.path.join(DATABASE).exists() {
            self.link_database()?;
        }
        let late = self.generation(current).join(super::VARIABLE).exists();
        told.extend(self.apply_variable(current)?);
        if late {
            told.push(format!(
                "the interrupted switch of {} to generation {current} is complete: what it has for var is there",
                self.path.display()
            ));
        }
        Ok(told)
    }

    /// Whether anything would have to be brought into order. Cheap, for commands that only look.
    pub(crate) fn needs_sweep(&self) -> bool {
        names(&self.dir, &self.red("stage"), ".red/stage").is_ok_and(|left| !left.is_empty())
            || ["aside", "current.new", "trash", "pending.json", "moving.json"]
                .iter()
                .any(|name| self.red(name).exists())
            || self
                .current()
                .ok()
                .flatten()
                .is_some_and(|now| self.generation(now).join(super::VARIABLE).exists())
    }

    /// Removes a generation.
    pub(crate) fn discard(&self, number: u64) -> Result<(), StoreError> {
        // Out of the way by one rename first, so that no half of it is ever taken for a whole. Nothing new is
        // made for that: a file system without room is why generations are removed.
        let aside = ".red/trash";
        remove(&self.dir, &self.path, aside)?;
        match rustix::fs::renameat(&self.dir, format!(".red/gen/{number}"), &self.dir, aside) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(StoreError::File { path: self.generation(number), errno }),
        }
        remove(&self.dir, &self.path, aside)?;
        remove(&self.dir, &self.path, &format!(".red/pinned/{number}"))
    }
}
