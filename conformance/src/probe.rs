//! The program inside: looks around, prints one line of JSON, waits to be let go.
//!
//! Arguments are paths to look at, besides every mount point. It waits for the end of its standard
//! input, so that the host can look at it from outside as long as it likes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::process::ExitCode;

use crate::report::{Mount, Path, Report};

/// Bytes of a file that are told.
const CONTENT: u64 = 4096;

/// Runs the probe.
#[must_use]
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The line is read as the report's absence, and the message as its reason.
            drop(writeln!(io::stderr(), "red-probe: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let descriptors = numbers("/proc/self/fd")?;
    let mounts = mounts()?;
    let asked = std::env::args().skip(1);
    let points = mounts.iter().map(|mount| mount.destination.clone());
    let paths: BTreeMap<String, Path> =
        asked.chain(points).chain(["/".to_owned()]).map(|path| (path.clone(), look(&path))).collect();
    let report = Report {
        mounts,
        paths,
        environment: std::env::vars().collect(),
        status: status()?,
        cwd: std::env::current_dir()?.display().to_string(),
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        ids: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
        id_maps: (lines("/proc/self/uid_map")?, lines("/proc/self/gid_map")?),
        descriptors,
        namespaces: namespaces(std::path::Path::new("/proc/self/ns"))?,
    };
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, &report)?;
    out.write_all(b"\n")?;
    out.flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Numbers of the namespaces behind a directory of links such as `/proc/self/ns`.
///
/// # Errors
/// It cannot be read.
pub fn namespaces(dir: &std::path::Path) -> io::Result<BTreeMap<String, u64>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        all.insert(entry.file_name().to_string_lossy().into_owned(), fs::metadata(entry.path())?.ino());
    }
    Ok(all)
}

/// Open descriptors but for the one that lists them.
fn numbers(dir: &str) -> io::Result<Vec<u32>> {
    let mut all: Vec<u32> = Vec::new();
    for entry in fs::read_dir(dir)? {
        all.extend(entry?.file_name().to_string_lossy().parse::<u32>().ok());
    }
    // The directory itself was open while it was read.
    all.retain(|number| fs::metadata(format!("{dir}/{number}")).is_ok());
    all.sort_unstable();
    Ok(all)
}

fn lines(path: &str) -> io::Result<Vec<String>> {
    let text = fs::read_to_string(path)?;
    Ok(text.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" ")).collect())
}

fn status() -> io::Result<BTreeMap<String, String>> {
    let text = fs::read_to_string("/proc/self/status")?;
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    Ok(fields.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect())
}

fn mounts() -> io::Result<Vec<Mount>> {
    let text = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(text.lines().filter_map(mount).collect())
}

fn mount(line: &str) -> Option<Mount> {
    let (first, second) = line.split_once(" - ")?;
    let first: Vec<&str> = first.split(' ').collect();
    let second: Vec<&str> = second.split(' ').collect();
    let list = |text: &str| text.split(',').map(str::to_owned).collect();
    Some(Mount {
        id: first.first()?.parse().ok()?,
        parent: first.get(1)?.parse().ok()?,
        root: unescape(first.get(3)?),
        destination: unescape(first.get(4)?),
        options: list(first.get(5)?),
        propagation: first.get(6..)?.iter().map(|&word| word.to_owned()).collect(),
        fstype: (*second.first()?).to_owned(),
        super_options: list(second.get(2)?),
    })
}

/// Undoes the octal escapes of mountinfo.
fn unescape(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        let digits = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) if *byte == b'\\' => {
                out.push(escaped);
                rest = &tail[3..];
            }
            _ => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn look(path: &str) -> Path {
    let Ok(own) = fs::symlink_metadata(path) else { return missing() };
    let behind = fs::metadata(path).ok();
    let kind = match own.file_type() {
        kind if kind.is_dir() => "directory",
        kind if kind.is_file() => "file",
        kind if kind.is_symlink() => "symlink",
        kind if kind.is_char_device() || kind.is_block_device() => "device",
        _ => "other",
    };
    let device = (kind == "device").then(|| (rustix::fs::major(own.rdev()), rustix::fs::minor(own.rdev())));
    Path {
        kind: kind.to_owned(),
        id: behind.map(|behind| (behind.dev(), behind.ino())),
        mode: own.mode() & 0o7777,
        owner: (own.uid(), own.gid()),
        device,
        target: fs::read_link(path).ok().map(|target| target.display().to_string()),
        content: (kind == "file").then(|| content(path)).flatten(),
        write: write(path, kind),
    }
}

fn missing() -> Path {
    Path {
        kind: "missing".to_owned(),
        id: None,
        mode: 0,
        owner: (0, 0),
        device: None,
        target: None,
        content: None,
        write: String::new(),
    }
}

fn content(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    // A device or FIFO in disguise must not hold the probe up.
    let file = fs::OpenOptions::new().read(true).custom_flags(0o4000).open(path).ok()?;
    file.take(CONTENT).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Tries to write: makes a file in a directory, opens a file for writing.
fn write(path: &str, kind: &str) -> String {
    let result = match kind {
        "directory" => {
            let file = format!("{}/.red-probe", path.trim_end_matches('/'));
            fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&file)
                .and_then(|_| fs::remove_file(&file))
        }
        "file" => fs::OpenOptions::new().append(true).open(path).map(drop),
        _ => return String::new(),
    };
    match result {
        Ok(()) => "written".to_owned(),
        Err(error) => match rustix::io::Errno::from_io_error(&error) {
            Some(rustix::io::Errno::ROFS) => "read-only".to_owned(),
            Some(rustix::io::Errno::ACCESS) => "denied".to_owned(),
            _ => error.to_string(),
        },
    }
}
