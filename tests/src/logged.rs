//! A disk whose writes are logged, so that what a power cut leaves can be made again at every moment: the writes up to
//! there, on what was there before. QEMU logs them as the kernel's dm-log-writes does (Documentation/admin-guide/
//! device-mapper/log-writes.rst), and offers the disk as a file of a FUSE file system, over which a loop device is put.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::call::run;
use crate::stage::eventually;

/// Bytes of a sector, and of an entry's head.
const SECTOR: u64 = 512;
/// An entry that takes back sectors and has no data.
const DISCARD: u64 = 4;

/// The disk.
#[derive(Debug)]
pub struct LoggedDisk {
    dir: PathBuf,
    daemon: Child,
    /// Where it is mounted.
    at: PathBuf,
}

/// Whether this machine can have one.
#[must_use]
pub fn can_log() -> bool {
    Path::new("/dev/fuse").exists() && Command::new("qemu-storage-daemon").arg("--version").output().is_ok()
}

impl LoggedDisk {
    /// Makes a file system with `make` in a new file in a directory, and mounts it from the logged disk.
    ///
    /// # Panics
    /// The machine cannot do it.
    #[must_use]
    pub fn mount(dir: &Path, make: &[&str], options: &str, at: &Path) -> Self {
        let (disk, log, export) = (dir.join("disk"), dir.join("log"), dir.join("export"));
        run(Command::new("truncate").arg("--size=512M").arg(&disk)).good();
        run(Command::new(make[0]).args(&make[1..]).arg(&disk)).good();
        run(Command::new("cp").args(["--sparse=always"]).arg(&disk).arg(dir.join("before"))).good();
        for file in [&log, &export] {
            File::create(file).expect("it is ours");
        }
        let mut daemon = Command::new("qemu-storage-daemon");
        let file =
            |name: &str, path: &Path| format!("driver=file,node-name={name},filename={}", path.display());
        daemon.args(["--blockdev", &file("disk", &disk), "--blockdev", &file("log", &log)]);
        daemon.args(["--blockdev", "driver=blklogwrites,node-name=logged,file=disk,log=log"]);
        let fuse = format!("type=fuse,id=e,node-name=logged,mountpoint={},writable=on", export.display());
        daemon.args(["--export", &fuse]).stdin(Stdio::null());
        let mut daemon = daemon.spawn().expect("it was asked for its version");
        let whole = fs::metadata(&disk).expect("it was made").len();
        eventually("the disk is exported", || {
            assert!(daemon.try_wait().is_ok_and(|ended| ended.is_none()), "qemu-storage-daemon ended");
            fs::metadata(&export).is_ok_and(|facts| facts.len() == whole)
        });
        let found = Self { dir: dir.to_owned(), daemon, at: at.to_owned() };
        run(Command::new("mount").args(["-o", &format!("loop,{options}")]).arg(&export).arg(at)).good();
        found
    }

    /// How many entries its log has by now.
    ///
    /// # Panics
    /// It cannot be read.
    #[must_use]
    pub fn entries(&self) -> usize {
        Log::open(&self.dir).entries.len()
    }

    /// Ends it: what it has from here on are its log and what was there before.
    ///
    /// # Panics
    /// It cannot be unmounted.
    #[must_use]
    pub fn end(self) -> Log {
        run(Command::new("umount").arg(&self.at)).good();
        let export = self.dir.join("export");
        eventually("the disk is released", || crate::broom::is_released(&export));
        let log = Log::open(&self.dir);
        drop(self);
        log
    }
}

impl Drop for LoggedDisk {
    fn drop(&mut self) {
        // A test that fails must not fail again here.
        drop(Command::new("umount").arg("--lazy").arg(&self.at).stderr(Stdio::null()).status());
        drop(
            Command::new("umount").arg("--lazy").arg(self.dir.join("export")).stderr(Stdio::null()).status(),
        );
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }
}

/// A write: where in the log its data are, where on the disk they went, how many bytes.
#[derive(Clone, Copy, Debug)]
struct Entry {
    data: Option<u64>,
    to: u64,
    length: u64,
}

/// The writes of a disk.
#[derive(Debug)]
pub struct Log {
    file: File,
    entries: Vec<Entry>,
    /// The disk with the first writes.
    replayed: File,
    done: usize,
    dir: PathBuf,
}

impl Log {
    fn open(dir: &Path) -> Self {
        let mut file = File::open(dir.join("log")).expect("it was made");
        let end = file.seek(SeekFrom::End(0)).expect("it is a file");
        let (mut entries, mut at) = (Vec::new(), SECTOR);
        while at + SECTOR <= end {
            let mut head = [0; 32];
            file.seek(SeekFrom::Start(at)).expect("it is a file");
            file.read_exact(&mut head).expect("it is that long");
            let [sector, sectors, flags] =
                [0, 8, 16].map(|from| u64::from_le_bytes(head[from..from + 8].try_into().expect("eight")));
            // A hole: no entry was written here yet.
            if (sector, sectors, flags) == (0, 0, 0) {
                break;
            }
            let (to, length) = (sector * SECTOR, sectors * SECTOR);
            let has_data = flags & DISCARD == 0;
            entries.push(Entry { data: has_data.then_some(at + SECTOR), to, length });
            at += SECTOR + if has_data { length } else { 0 };
        }
        let before = dir.join("before");
        let replayed = OpenOptions::new().read(true).write(true).open(before).expect("it was made");
        Self { file, entries, replayed, done: 0, dir: dir.to_owned() }
    }

    /// A copy of the disk as it is after the first writes. Each call goes farther.
    ///
    /// # Panics
    /// There is no room, or it went farther before.
    #[must_use]
    pub fn cut(&mut self, at: usize) -> PathBuf {
        assert!(self.done <= at, "it does not go back");
        for entry in &self.entries[self.done..at] {
            // A discard promises nothing about what is read afterwards; a write of nothing is a flush.
            let Some(data) = entry.data else { continue };
            let mut bytes = vec![0; usize::try_from(entry.length).expect("it fits into memory")];
            self.file.read_exact_at(&mut bytes, data).expect("it is that long");
            self.replayed.write_all_at(&bytes, entry.to).expect("there is room");
        }
        self.done = at;
        let copy = self.dir.join("cut");
        // Not into the file that a loop device may still have.
        let cp = ["--sparse=always", "--reflink=auto", "--remove-destination"];
        run(Command::new("cp").args(cp).arg(self.dir.join("before")).arg(&copy)).good();
        copy
    }
}
