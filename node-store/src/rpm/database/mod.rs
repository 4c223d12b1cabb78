//! rpm's database of a node, which scriptlets and other programs could write to: what it holds is read by a process of
//! its own that may crash alone, and nothing opens one that has not been read so. The core OS's is the machine's own, and
//! believed as it is.

mod aside;
mod believed;
mod header;
mod reader;
mod shape;
mod states;

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::{Read, Seek};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};

use librpm::Tag;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

pub(crate) use believed::{Believed, Unread, expect_contents, look_in, read_in};
pub(crate) use header::{Identity, Planned, Signatures};
pub(super) use header::{fuzz as fuzz_header, no_text};
pub(crate) use reader::main;
pub(crate) use states::{FileState, are_kept, are_new};

use super::RpmError;
use super::texts::text;
use crate::beneath::Dir;
use crate::family::Member;

/// First argument of the process that reads.
pub(crate) const DATABASE: &str = "__database";
/// Its second argument: to say what there is, or only whether it is believed.
const TELL: &str = "tell";
const LOOK: &str = "look";
/// The file that rpm makes with SQLite.
const FILE: &str = "rpmdb.sqlite";
/// What is not part of it yet: the write-ahead log, and the journal of an older kind.
const PENDING: [&str; 2] = ["rpmdb.sqlite-wal", "rpmdb.sqlite-journal"];
/// What processes share of it.
const INDEX: &str = "rpmdb.sqlite-shm";
/// Databases of other kinds: ndb, Berkeley DB, LMDB.
const OTHERS: [&str; 3] = ["Packages.db", "Packages", "data.mdb"];
/// What rpm's keys are called among packages.
const KEY: &str = "gpg-pubkey";
/// Bytes that a database may have: that of 5,000 packages has 400 MB.
const MOST: u64 = 1 << 30;
/// A larger database is refused when less than a share of it is more than holes. rpm makes none, but copies may have them
/// where packages were removed.
const LARGE: u64 = 16 << 20;
const SHARE: u64 = 16;
/// Bytes that the reader may say.
const SAID: u64 = 512 << 20;

/// What a reader says: what there is, or why it is not believed.
type Said = Result<Contents, String>;

/// A key in a database.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) struct StoredKey {
    /// As rpm lists it, `gpg-pubkey-VERSION-RELEASE`.
    pub(crate) name: String,
    /// What it is.
    pub(crate) armored: String,
    /// Its header with all that is in it, where that was read.
    pub(crate) header: Option<Identity>,
    /// Whether its header is one as rpm makes of keys, of the same key.
    pub(crate) plain: bool,
}

/// A package in a database.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Installed {
    /// Name, version and architecture.
    pub(crate) nevra: String,
    /// What it is, beyond its name.
    pub(crate) identity: Identity,
    /// The signatures that it shows.
    pub(crate) signatures: Signatures,
    /// Whether its header has what neither the package nor rpm put there.
    pub(crate) strange: bool,
    /// Paths of its files.
    pub(crate) files: Vec<String>,
    /// How they are, in the same order.
    pub(crate) states: Vec<FileState>,
}

/// What a database holds, by every header and not by an index.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Contents {
    /// Its keys, those too that verify nothing.
    pub(crate) keys: Vec<StoredKey>,
    /// Its packages.
    pub(crate) packages: Vec<Installed>,
}

impl Contents {
    /// Names right below the root that packages own.
    pub(crate) fn tops(&self) -> BTreeSet<String> {
        let paths = self.packages.iter().flat_map(|package| &package.files);
        let top = |path: &String| path.strip_prefix('/').filter(|top| !top.contains('/')).map(str::to_owned);
        paths.filter_map(top).collect()
    }
}

/// What a member's database holds; of the core OS's the keys.
pub(crate) fn read(member: &Member) -> Result<Contents, RpmError> {
    if member.core { keys_of_the_machine(member) } else { believed::read(member) }
}

/// The keys of the core OS's database, of whatever kind it is.
fn keys_of_the_machine(member: &Member) -> Result<Contents, RpmError> {
    let mut found = Contents::default();
    if let Some(believed) = Believed::of(member)? {
        super::use_database(&believed)?;
        for header in librpm::Db::open()?.find(librpm::db::Index::Name, KEY) {
            let of = |tag| text(&header, tag).unwrap_or_default();
            let name = format!("{KEY}-{}-{}", of(Tag::VERSION), of(Tag::RELEASE));
            let armored = of(Tag::DESCRIPTION);
            found.keys.push(StoredKey { name, armored, header: None, plain: false });
        }
    }
    Ok(found)
}

/// The file of a database. Everything but what is in it is looked at here.
fn open(dir: &Dir) -> Result<File, String> {
    let entries = dir.entries().map_err(|error| error.to_string())?;
    let size = |name: &str| entries.iter().find(|(entry, _)| entry == name).map(|(_, stat)| stat.st_size);
    if let Some(name) = OTHERS.into_iter().find(|name| size(name).is_some()) {
        return Err(format!(
            "`{name}` is of a kind that nodes do not have: rpm makes SQLite's of it with `rpmdb --rebuilddb --define \
             \"_db_backend sqlite\" --dbpath DIR`"
        ));
    }
    if let Some(name) = PENDING.into_iter().find(|name| size(name).is_some_and(|size| size > 0)) {
        return Err(format!(
            "another rpm is changing it, or was interrupted (`{name}` is not empty); where nothing else may have \
             written it, `rpm --initdb --dbpath DIR` completes that"
        ));
    }
    let file = dir.file(FILE).map_err(|error| error.to_string())?;
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    if length > MOST {
        return Err(format!("it has {length} bytes, more than {MOST}"));
    }
    is_whole(&file, length)?;
    Ok(file)
}

/// Refuses a file that was cut off, or that is holes, before memory is spent on it.
fn is_whole(mut file: &File, length: u64) -> Result<(), String> {
    let mut head = [0; 18];
    if file.read_exact_at(&mut head, 0).is_err() || !head.starts_with(shape::MAGIC) {
        // The reader says what it is.
        return Ok(());
    }
    let page = match u64::from(u16::from_be_bytes([head[16], head[17]])) {
        1 => 1 << 16,
        bytes => bytes,
    };
    if !length.is_multiple_of(page) {
        return Err(format!(
            "it was cut off: {length} bytes are no whole number of its pages of {page} bytes"
        ));
    }
    let wanted = length / SHARE;
    if length > LARGE && has_less(file, wanted) {
        return Err(format!(
            "of its {length} bytes less than {wanted} are there, and the others are holes, which rpm does not make; \
             where nothing else may have written it, `rpmdb --rebuilddb --dbpath DIR` makes it anew"
        ));
    }
    file.rewind().map_err(|error| error.to_string())
}

/// Whether a file has less bytes than that besides holes, where its file system tells.
fn has_less(file: &File, wanted: u64) -> bool {
    let (mut data, mut at) = (0, 0);
    while data < wanted {
        let next =
            seek(file, SeekFrom::Data(at)).and_then(|start| Ok((start, seek(file, SeekFrom::Hole(start))?)));
        match next {
            Ok((start, end)) if end > start => (data, at) = (data + end - start, end),
            Err(Errno::NXIO) => break,
            _ => return false,
        }
    }
    data < wanted
}

/// Has the process that may crash read it.
fn ask(file: File, how: &str) -> Said {
    let failed = |error: std::io::Error| format!("its reader cannot be started: {error}");
    let mut command = Command::new("/proc/self/exe");
    command.args([DATABASE, how]).env_clear().stdin(file).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed)?;
    let mut bytes = Vec::new();
    let read = child.stdout.take().map(|stdout| stdout.take(SAID).read_to_end(&mut bytes));
    // Whoever says more than that is stopped.
    if bytes.len() as u64 >= SAID {
        drop(child.kill());
    }
    let status = child.wait().map_err(failed)?;
    match (read.transpose(), serde_json::from_slice(&bytes)) {
        (Ok(_), Ok(Err(why))) => Err(why),
        (Ok(_), Ok(Ok(contents))) if status.success() => Ok(contents),
        _ => Err(format!("its reader ended by {status}")),
    }
}

/// Makes anew what SQLite shares between processes that have the database open, as the first one that opens it does:
/// what is there was last written among scriptlets. It stays, for whoever may only read (rpm's `sqlite_init`). rpm has to
/// see as many headers as the reader did.
pub(crate) fn renew_index(dir: &Dir, held: &Contents) -> Result<(), RpmError> {
    let failed = |error: std::io::Error| RpmError::Library(error.to_string());
    if dir.stat(INDEX.as_ref()).map_err(failed)?.is_some() {
        dir.part(INDEX, true).and_then(|file| file.set_len(0)).map_err(failed)?;
    }
    super::use_database(&Believed::own(dir.path()))?;
    let (seen, wanted) =
        (librpm::Db::open()?.installed_packages().count(), held.packages.len() + held.keys.len());
    if seen != wanted {
        return Err(RpmError::Library(format!("of {wanted} packages in the new database it sees {seen}")));
    }
    Ok(())
}

/// Whether there is a database in a directory, by the names of its formats.
pub(crate) fn has_database(dir: &Path) -> bool {
    [FILE].iter().chain(&OTHERS).any(|name| dir.join(name).symlink_metadata().is_ok())
}

/// What tells one state of a database from another.
pub(crate) type State = Vec<[i64; 5]>;

/// The state of a database: device, inode, size and modification time of each of its files.
pub(crate) fn state(database: &Path) -> State {
    let all = [FILE].iter().chain(&PENDING).chain(&OTHERS);
    all.map(|name| database.join(name).symlink_metadata().map_or([0; 5], |facts| of(&facts))).collect()
}

fn of(facts: &Metadata) -> [i64; 5] {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    [number(facts.dev()), number(facts.ino()), number(facts.size()), facts.mtime(), facts.mtime_nsec()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rpm_sees_as_many_headers_as_the_reader() {
        let dir = tempfile::tempdir().unwrap();
        let made = Command::new("rpmdb").arg("--initdb").arg("--dbpath").arg(dir.path()).status();
        assert!(made.unwrap().success());
        let open = Dir::open(dir.path()).unwrap();
        let key = StoredKey { name: "k".into(), armored: String::new(), header: None, plain: true };
        assert!(renew_index(&open, &Contents { keys: vec![key], ..Contents::default() }).is_err());
        renew_index(&open, &Contents::default()).unwrap();
        // A path that rpm does not take for what it is stays open, and no other one does. (Here, because rpm knows one
        // database a process.)
        let odd = dir.path().join("a%b");
        std::fs::create_dir(&odd).unwrap();
        let count = || {
            let all = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
            all.filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == odd)).count()
        };
        for _ in 0..3 {
            crate::rpm::use_database(&Believed::own(&odd)).unwrap();
            assert_eq!(count(), 1);
        }
        crate::rpm::use_database(&Believed::own(dir.path())).unwrap();
        assert_eq!(count(), 0);
    }
}
