//! The mounts of this namespace: where in which file system a path lies (proc_pid_mountinfo(5)).
//!
//! The same directory can be reached under several names: a bind mount elsewhere, a view of the
//! whole disk (`/sysroot`), a partition that is mounted twice. [`Location`] is one for all of them.

use std::collections::HashMap;

/// File systems through which the kernel, not a disk, is read and written. devtmpfs calls itself
/// tmpfs to fstatfs(2), so they are told by the names that mountinfo has.
const KERNEL: [&str; 21] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "resctrl",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "sysfs",
    "tracefs",
];

/// A place in a file system, whatever it is reached by.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Location(String);

impl Location {
    /// A place that is known by its path alone, where there is no mount table to ask.
    #[must_use]
    pub fn by_name(path: &str) -> Self {
        Self(format!("/?{}", path.trim_end_matches('/')))
    }

    /// Whether `other` is this place or lies in it.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.rest(other).is_some()
    }

    /// As a path whose first component is the file system, for comparing component by component.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A place below this one.
    #[must_use]
    pub fn join(&self, below: &str) -> Self {
        Self(format!("{}/{}", self.0, below.trim_matches('/')))
    }

    /// The way from here to `other`, which is or lies in this place.
    #[must_use]
    pub fn rest<'o>(&self, other: &'o Self) -> Option<&'o str> {
        let rest = other.0.strip_prefix(&self.0)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/'))
    }

    /// This place and all above it in its file system, innermost first.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        let mut rest = Some(self.0.as_str());
        std::iter::from_fn(move || {
            let here = rest?;
            rest = here.rsplit_once('/').map(|(above, _)| above).filter(|above| !above.is_empty());
            Some(here)
        })
    }
}

/// Places sort and compare as the texts that [`Location::as_str`] has.
impl std::borrow::Borrow<str> for Location {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// One mount.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MountEntry {
    /// ID, as statx(2) has it too.
    pub id: u64,
    /// Device number of the file system.
    fs: String,
    /// Which part of the file system is mounted.
    root: String,
    /// Where it is mounted.
    pub point: String,
    /// Type of the file system.
    pub fstype: String,
    /// Directories that an overlay is made of.
    layers: Vec<String>,
}

impl MountEntry {
    /// Whether the kernel is read and written through it. Where `/dev` is a tmpfs (in containers, and
    /// on hosts without devtmpfs) its device nodes are the same thing.
    #[must_use]
    pub fn is_kernels(&self) -> bool {
        KERNEL.contains(&self.fstype.as_str()) || (self.point == "/dev" && self.fstype == "tmpfs")
    }

    /// The place that is mounted.
    #[must_use]
    pub fn location(&self) -> Location {
        Location(format!("/{}{}", self.fs, self.root.trim_end_matches('/')))
    }

    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ');
        let id = left.next()?.parse().ok()?;
        let fs = left.nth(1)?.to_owned();
        let (root, point) = (unescape(left.next()?), unescape(left.next()?));
        let mut right = right.split(' ');
        let fstype = right.next()?.to_owned();
        let options = right.nth(1).unwrap_or_default();
        let layers = if fstype == "overlay" { layers(options) } else { Vec::new() };
        Some(Self { id, fs, root, point, fstype, layers })
    }
}

/// The directories in the options of an overlay (Documentation/filesystems/overlayfs.rst).
fn layers(options: &str) -> Vec<String> {
    let mut found = Vec::new();
    for option in options.split(',') {
        if let Some(upper) = option.strip_prefix("upperdir=") {
            found.push(unescape(upper));
        } else if let Some(lower) = option.strip_prefix("lowerdir=") {
            found.extend(lower.split(':').map(unescape));
        }
    }
    found.retain(|layer| layer.starts_with('/'));
    found
}

/// Takes the octal escapes out (`\040` is a space).
fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] if *first == b'\\' => {
                Some((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
            }
            _ => None,
        };
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// All mounts, by ID and by mount point.
#[derive(Clone, Debug, Default)]
pub struct MountTable {
    entries: Vec<MountEntry>,
    by_id: HashMap<u64, usize>,
    /// Positions, sorted by mount point; of one mount point the later mount comes later.
    by_point: Vec<usize>,
}

impl MountTable {
    /// The mounts this process sees. Without `/proc` there are none, and nothing can be located.
    #[must_use]
    pub fn read() -> Self {
        // The kernel takes its locks for each call, so most hosts' mounts are read by one.
        let mut text = Vec::with_capacity(32 << 10);
        let file = std::fs::File::open("/proc/self/mountinfo");
        let read = file.and_then(|mut file| std::io::Read::read_to_end(&mut file, &mut text));
        if read.is_ok() { Self::parse(&String::from_utf8_lossy(&text)) } else { Self::default() }
    }

    /// Reads the text of a mountinfo file.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let entries: Vec<MountEntry> = text.lines().filter_map(MountEntry::parse).collect();
        let by_id = entries.iter().enumerate().map(|(index, entry)| (entry.id, index)).collect();
        let mut by_point: Vec<usize> = (0..entries.len()).collect();
        by_point.sort_by(|a, b| entries[*a].point.cmp(&entries[*b].point));
        Self { entries, by_id, by_point }
    }

    /// Whether nothing could be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The mount that a path without symbolic links is on: the one with this ID, or by name where
    /// the ID is not known.
    #[must_use]
    pub fn mount_of(&self, id: u64, path: &str) -> Option<&MountEntry> {
        if id != 0 {
            return self.entries.get(*self.by_id.get(&id)?);
        }
        std::path::Path::new(path)
            .ancestors()
            .filter_map(std::path::Path::to_str)
            .find_map(|point| self.at(point))
    }

    /// The topmost mount at a mount point.
    fn at(&self, point: &str) -> Option<&MountEntry> {
        let end = self.by_point.partition_point(|index| self.entries[*index].point.as_str() <= point);
        let entry = &self.entries[*self.by_point.get(end.checked_sub(1)?)?];
        (entry.point == point).then_some(entry)
    }

    /// Where a path without symbolic links lies. `id` is the ID of the mount that it was opened
    /// through, 0 where that is not known. `None` when the mount is none of those read, so that nothing
    /// can be told.
    #[must_use]
    pub fn locate(&self, id: u64, path: &str) -> Option<Location> {
        let entry = self.mount_of(id, path)?;
        let rest = if entry.point == "/" { path } else { path.strip_prefix(&entry.point)? };
        let rest = rest.trim_end_matches('/');
        (rest.is_empty() || rest.starts_with('/')).then(|| Location(format!("{}{rest}", entry.location().0)))
    }

    /// The mounts strictly below a directory, which a recursive bind of it brings along.
    pub fn below(&self, directory: &str) -> impl Iterator<Item = &MountEntry> {
        let prefix = format!("{}/", directory.trim_end_matches('/'));
        let from =
            self.by_point.partition_point(|index| self.entries[*index].point.as_str() <= prefix.as_str());
        self.by_point[from..]
            .iter()
            .map(|index| &self.entries[*index])
            .take_while(move |entry| entry.point.starts_with(&prefix))
    }

    /// The places that decide what is seen at a path of an overlay: writing to a layer changes it.
    #[must_use]
    pub fn layers(&self, id: u64, path: &str) -> Vec<Location> {
        let Some(entry) = self.mount_of(id, path).filter(|entry| !entry.layers.is_empty()) else {
            return Vec::new();
        };
        let rest = path.strip_prefix(&entry.point).unwrap_or(path).trim_matches('/');
        let part = format!("{}/{rest}", entry.root.trim_end_matches('/'));
        entry.layers.iter().filter_map(|layer| Some(self.locate(0, layer)?.join(&part))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r"27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw
22 27 0:21 / /proc rw - proc proc rw
24 27 0:6 / /dev rw - devtmpfs devtmpfs rw
25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw
40 27 254:0 /srv/ro /srv/alias rw - ext4 /dev/vda rw
41 27 254:0 / /sysroot rw - ext4 /dev/vda rw
42 27 0:50 / /with\040space rw - tmpfs none rw
43 27 0:51 / /data rw - tmpfs first rw
44 43 0:52 / /data rw - tmpfs second rw
45 27 0:60 / /over rw - overlay overlay rw,lowerdir=/l1:/l2,upperdir=/up,workdir=/w
";

    #[test]
    fn a_place_is_one_under_every_name() {
        let table = MountTable::parse(TEXT);
        let real = table.locate(27, "/srv/ro/x").unwrap();
        assert_eq!(table.locate(40, "/srv/alias/x").unwrap(), real);
        assert_eq!(table.locate(41, "/sysroot/srv/ro/x").unwrap(), real);
        assert_eq!(table.locate(0, "/srv/alias/x").unwrap(), real);
        assert!(table.locate(27, "/srv").unwrap().contains(&real));
        assert!(!real.contains(&table.locate(27, "/srv/rose").unwrap()));
        assert!(table.locate(41, "/sysroot").unwrap().contains(&real), "the whole disk");
        assert_eq!(table.locate(27, "/").unwrap().as_str(), "/254:0");
        assert_eq!(table.locate(0, "/with space/x").unwrap().as_str(), "/0:50/x");
        assert_eq!(table.locate(0, "/data/x").unwrap().as_str(), "/0:52/x", "the later mount is seen");
        assert_eq!(table.locate(99, "/x"), None, "a mount that was not read");
    }

    #[test]
    fn recursive_binds_bring_mounts_along() {
        let table = MountTable::parse(TEXT);
        let points = |dir: &str| table.below(dir).map(|entry| entry.point.clone()).collect::<Vec<_>>();
        assert_eq!(points("/dev"), ["/dev/shm"]);
        assert_eq!(points("/srv/al"), Vec::<String>::new());
        assert_eq!(points("/").len(), 9);
        assert!(table.mount_of(22, "/proc/1").unwrap().is_kernels());
        assert!(table.mount_of(24, "/dev/null").unwrap().is_kernels());
        assert!(!table.mount_of(25, "/dev/shm").unwrap().is_kernels());
    }

    #[test]
    fn layers_of_an_overlay_are_what_it_shows() {
        let table = MountTable::parse(TEXT);
        let all = table.layers(45, "/over/a/b");
        let names: Vec<&str> = all.iter().map(Location::as_str).collect();
        assert_eq!(names, ["/254:0/l1/a/b", "/254:0/l2/a/b", "/254:0/up/a/b"]);
        assert!(table.layers(27, "/over").is_empty());
    }
}
