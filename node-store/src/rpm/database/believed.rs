//! A database that may be opened. What was looked at is what is opened: its bytes are copied once to where nobody else
//! writes, and both the process that reads and rpm get the copy, whatever becomes of the file meanwhile.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{SealFlags, fcntl_add_seals};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::aside::Aside;
use super::{Contents, FILE, LOOK, MOST, RpmError, Said, TELL, ask, has_database, open};
use crate::beneath::Dir;
use crate::family::Member;

/// What a file holds, in one word.
type Sum = String;

/// The bytes of a database at one moment, sealed.
struct Snapshot {
    file: File,
    sum: Sum,
}

impl Snapshot {
    /// Of the database in a directory.
    fn of(dir: &Dir) -> Result<Self, String> {
        Self::copy(open(dir)?).map_err(|error| format!("it cannot be copied: {error}"))
    }

    fn copy(from: File) -> std::io::Result<Self> {
        let mut file = crate::memory::file(c"red-database")?;
        let (mut sum, mut bytes) = (Sha256::new(), vec![0; 1 << 18]);
        // One that grows meanwhile does so without this process.
        let mut from = from.take(MOST);
        loop {
            let count = from.read(&mut bytes)?;
            if count == 0 {
                break;
            }
            sum.update(&bytes[..count]);
            file.write_all(&bytes[..count])?;
        }
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(Self { file, sum: sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect() })
    }

    /// Has it read.
    fn read(&self, how: &str) -> Said {
        let mut file = self.file.try_clone().map_err(|error| error.to_string())?;
        file.rewind().map_err(|error| error.to_string())?;
        let said = ask(file, how)?;
        if let Ok(mut seen) = SEEN.lock() {
            seen.get_or_insert_default().insert(self.sum.clone());
        }
        Ok(said)
    }

    /// Has it looked at, unless that was done before.
    fn look(&self, known: &[Sum]) -> Result<(), String> {
        if known.contains(&self.sum) || seen().contains(&self.sum) {
            return Ok(());
        }
        if !WANTED.load(Ordering::Relaxed) {
            return self.read(LOOK).map(|_nothing| ());
        }
        let contents = self.read(TELL)?;
        if let Ok(mut told) = TOLD.lock() {
            *told = Some((self.sum.clone(), contents));
        }
        Ok(())
    }

    /// What it holds, which a look may have told.
    fn contents(&self) -> Said {
        let told = TOLD.lock().ok().and_then(|mut told| told.take_if(|(sum, _)| *sum == self.sum));
        told.map_or_else(|| self.read(TELL), |(_, contents)| Ok(contents))
    }

    /// Puts it where rpm finds it by a name, in a directory that only this user enters.
    fn unpack(&self, wanted: Option<&Path>) -> std::io::Result<Aside> {
        Aside::new(wanted, |dir| {
            let mut file = self.file.try_clone()?;
            file.rewind()?;
            std::io::copy(&mut file, &mut File::create_new(dir.join(FILE))?).map(|_bytes| ())
        })
    }
}

/// Whether what a database holds will be asked for: then looking at it asks for that at once.
static WANTED: AtomicBool = AtomicBool::new(false);

/// What the last one that was looked at holds.
static TOLD: Mutex<Option<(Sum, Contents)>> = Mutex::new(None);

/// Says that a transaction is going to ask what databases hold.
pub(crate) fn expect_contents() {
    WANTED.store(true, Ordering::Relaxed);
}

/// Databases that this process has had read and that are good, by what they hold.
static SEEN: Mutex<Option<HashSet<Sum>>> = Mutex::new(None);

fn seen() -> Vec<Sum> {
    SEEN.lock().ok().and_then(|seen| seen.clone()).into_iter().flatten().collect()
}

/// A member's database that nobody has looked at yet.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Unread {
    owner: String,
    path: PathBuf,
    /// Whether it is the core OS's.
    core: bool,
    /// What the process that tells of it knows to be good.
    known: Vec<Sum>,
}

impl Unread {
    /// That of a member.
    pub(crate) fn of(member: &Member) -> Self {
        Self { owner: member.words(), path: member.database.clone(), core: member.core, known: seen() }
    }

    /// Looks at it. `None` when there is none.
    pub(crate) fn believe(&self, aside: Option<&Path>) -> Result<Option<Believed>, RpmError> {
        if !has_database(&self.path) {
            return Ok(None);
        }
        if self.core {
            return Ok(Some(Believed::own(&self.path)));
        }
        let snapshot = self.snapshot()?;
        snapshot.look(&self.known).map_err(|why| self.refused(why))?;
        let copy = snapshot.unpack(aside);
        let copy = copy.map_err(|why| RpmError::Room {
            owner: self.owner.clone(),
            path: self.path.clone(),
            why: why.to_string(),
        })?;
        Ok(Some(Believed { path: copy.path().to_owned(), copy: Some(copy) }))
    }

    fn snapshot(&self) -> Result<Snapshot, RpmError> {
        let dir = Dir::open(&self.path).map_err(|error| self.refused(error.to_string()))?;
        Snapshot::of(&dir).map_err(|why| self.refused(why))
    }

    fn refused(&self, why: String) -> RpmError {
        RpmError::Database { owner: self.owner.clone(), path: self.path.clone(), why }
    }
}

/// The directory of a database that may be opened. It is a copy that goes away with this, unless it is the machine's own
/// or one that this process writes.
#[derive(Debug)]
pub(crate) struct Believed {
    path: PathBuf,
    copy: Option<Aside>,
}

impl Believed {
    /// Looks at a member's database. `None` when it has none.
    pub(crate) fn of(member: &Member) -> Result<Option<Self>, RpmError> {
        Unread::of(member).believe(None)
    }

    /// A place where there is none, and where rpm makes one.
    pub(crate) fn none() -> std::io::Result<Self> {
        let copy = Aside::new(None, |_dir| Ok(()))?;
        Ok(Self { path: copy.path().to_owned(), copy: Some(copy) })
    }

    /// One that this process makes, or whose writer is this process.
    pub(in crate::rpm) fn own(path: &Path) -> Self {
        Self { path: path.to_owned(), copy: None }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its copy, with the file of it moved to a new directory below; without a copy that one alone.
    pub(crate) fn moved(self, below: &Path) -> std::io::Result<Aside> {
        let copy = self.copy.map_or_else(|| Aside::new(None, |_dir| Ok(())), Ok)?;
        let below = copy.path().join(below);
        std::fs::create_dir_all(&below)?;
        match std::fs::rename(copy.path().join(FILE), below.join(FILE)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(copy),
        }
    }
}

/// What a member's database holds.
pub(super) fn read(member: &Member) -> Result<Contents, RpmError> {
    if !has_database(&member.database) {
        return Ok(Contents::default());
    }
    let unread = Unread::of(member);
    unread.snapshot()?.contents().map_err(|why| unread.refused(why))
}

/// What the database in a directory holds, or why it is not believed.
pub(crate) fn read_in(dir: &Dir) -> Said {
    Snapshot::of(dir)?.read(TELL)
}

/// Looks at the database in a directory that nobody else writes to, if there is one: rpm opens it there.
pub(crate) fn look_in(dir: &Dir) -> Result<(), String> {
    if has_database(dir.path()) { Snapshot::of(dir)?.look(&[]) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_at_is_what_is_opened() {
        let (dir, aside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = dir.path().join(FILE);
        std::fs::write(&path, "one").unwrap();
        let snapshot = Snapshot::of(&Dir::open(dir.path()).unwrap()).unwrap();
        // Its owner writes to the file, and puts another one in its place.
        std::fs::write(&path, "two").unwrap();
        std::fs::rename(&path, dir.path().join("aside")).unwrap();
        std::fs::write(&path, "three").unwrap();
        let copy = snapshot.unpack(Some(&aside.path().join("new"))).unwrap();
        assert_eq!(std::fs::read_to_string(copy.path().join(FILE)).unwrap(), "one");
        assert!((&snapshot.file).write(b"four").is_err(), "it is sealed");
        let other = Snapshot::of(&Dir::open(dir.path()).unwrap()).unwrap();
        assert_ne!(snapshot.sum, other.sum);
        // What was good once is not looked at again, and nothing else is taken for it.
        snapshot.look(std::slice::from_ref(&snapshot.sum)).unwrap();
        let kept = copy.path().to_owned();
        drop(copy);
        assert!(!kept.exists());
    }
}
