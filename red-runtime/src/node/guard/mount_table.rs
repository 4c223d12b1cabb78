//! The mounts of this namespace: where in which file system a path lies (proc_pid_mountinfo(5)).
//!
//! The same directory can be reached under several names: a bind mount elsewhere, a view of the
//! whole disk (`/sysroot`), a partition that is mounted twice. [`Location`] is one for all of them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// File systems through which the kernel, not a disk, is read and written, with those of its modules
/// (`fs/nfsd`, `net/sunrpc`, `drivers/android`, `drivers/xen`, `drivers/usb/gadget`, …). devtmpfs calls itself
/// tmpfs to fstatfs(2), so they are told by the names that mountinfo has.
const KERNEL: [&str; 34] = [
    "aafs",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "cpuset",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "functionfs",
    "fusectl",
    "gadgetfs",
    "ipathfs",
    "mqueue",
    "nfsd",
    "nsfs",
    "ocfs2_dlmfs",
    "openpromfs",
    "proc",
    "pstore",
    "qib_fs",
    "resctrl",
    "rpc_pipefs",
    "s390_hypfs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "spufs",
    "sysfs",
    "tracefs",
    "xenfs",
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
    layers: Layers,
    /// The place that is mounted.
    place: String,
}

/// The directories in the options of an overlay.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Layers {
    /// Absolute paths, as whoever mounted it wrote them.
    paths: Vec<String>,
    /// One is relative to where whoever mounted it was, which nobody knows.
    relative: bool,
    /// Readings of the one that is written to, absolute or relative.
    uppers: Vec<String>,
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
        Location(self.place.clone())
    }

    /// Readings of the upper layer of an overlay, which may be relative. Without one nothing is written.
    #[must_use]
    pub fn uppers(&self) -> &[String] {
        &self.layers.uppers
    }

    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ');
        let id = left.next()?.parse().ok()?;
        let fs = left.nth(1)?.to_owned();
        let (root, point) = (unescape(left.next()?), unescape(left.next()?));
        let place = format!("/{fs}{}", root.trim_end_matches('/'));
        let mut right = right.split(' ');
        let fstype = right.next()?.to_owned();
        let options = right.nth(1).unwrap_or_default();
        let layers = if fstype == "overlay" { Layers::of(options) } else { Layers::default() };
        Some(Self { id, fs, root, point, fstype, layers, place })
    }
}

impl Layers {
    /// Reads options (Documentation/filesystems/overlayfs.rst; the kernel writes them in
    /// `ovl_show_options`). `workdir` is none: nothing that is seen stands there.
    fn of(options: &str) -> Self {
        let mut layers = Self::default();
        for (key, value) in options.split(',').filter_map(|option| option.split_once('=')) {
            let value = unescape(value);
            if key == "upperdir" {
                layers.uppers.push(value.clone());
                layers.uppers.extend(Some(value.replace('\\', "")).filter(|plain| *plain != value));
            }
            match key {
                "lowerdir" => split_lower(&value).into_iter().for_each(|layer| layers.add(layer)),
                "upperdir" | "lowerdir+" | "datadir+" => {
                    // Whether a backslash is one, or escapes what follows, depends on how it was mounted.
                    layers.add(value.replace('\\', ""));
                    layers.add(value);
                }
                _ => {}
            }
        }
        layers
    }

    fn add(&mut self, layer: String) {
        self.relative |= !layer.is_empty() && !layer.starts_with('/');
        if layer.starts_with('/') && !self.paths.contains(&layer) {
            self.paths.push(layer);
        }
    }
}

/// Splits at colons that no backslash escapes.
fn split_lower(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, all.last_mut()) {
            (':', _) => all.push(String::new()),
            ('\\', Some(last)) => last.extend(characters.next()),
            (other, Some(last)) => last.push(other),
            _ => {}
        }
    }
    all
}

/// Takes the octal escapes out (`\040` is a space).
pub(crate) fn unescape(text: &str) -> String {
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
    /// IDs with positions, sorted.
    by_id: Vec<(u64, usize)>,
    /// Positions, sorted by mount point; of one mount point the later mount comes later.
    by_point: Vec<usize>,
}

/// What [`MountTable::read_early`] has read, until it is used, and when.
static EARLY: Mutex<Option<(String, Instant)>> = Mutex::new(None);

/// How long that may be used: for what the same command does next, and not for its clean-up.
const EARLY_VALID: Duration = Duration::from_millis(100);

impl MountTable {
    /// The mounts this process sees. Without `/proc` there are none, and nothing can be located.
    #[must_use]
    pub fn read() -> Self {
        match EARLY.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some((text, read)) if read.elapsed() < EARLY_VALID => Self::parse(&text),
            _ => Self::read_now(),
        }
    }

    /// The same, and never what was read early.
    #[must_use]
    pub fn read_now() -> Self {
        Self::read_at("/proc/self/mountinfo").unwrap_or_default()
    }

    /// Whether the text of the mounts that this process sees is such, read for the next [`MountTable::read`] too: the
    /// kernel takes its time for each mount. `/proc` may be missing; then the text is empty.
    pub fn read_early(is_such: impl FnOnce(&str) -> bool) -> bool {
        let text = text_at("/proc/self/mountinfo").unwrap_or_default();
        let result = is_such(&text);
        *EARLY.lock().unwrap_or_else(PoisonError::into_inner) = Some((text, Instant::now()));
        result
    }

    /// The mounts in a mountinfo file, which may be another process's.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_at(path: impl AsRef<std::path::Path>) -> std::io::Result<Self> {
        text_at(path).map(|text| Self::parse(&text))
    }

    /// Reads the text of a mountinfo file.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let entries: Vec<MountEntry> = text.lines().filter_map(MountEntry::parse).collect();
        let mut by_id: Vec<(u64, usize)> =
            entries.iter().enumerate().map(|(index, entry)| (entry.id, index)).collect();
        by_id.sort_unstable();
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
            let found = self.by_id.binary_search_by_key(&id, |(id, _)| *id).ok()?;
            return self.entries.get(self.by_id.get(found)?.1);
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
        (rest.is_empty() || rest.starts_with('/')).then(|| Location([&entry.place, rest].concat()))
    }

    /// The mounts strictly below a directory, which a recursive bind of it brings along.
    pub fn below<'m>(&'m self, directory: &str) -> impl Iterator<Item = &'m MountEntry> + use<'m> {
        let directory = directory.trim_end_matches('/');
        let from = self.by_point.partition_point(|index| {
            let (head, tail) = cut(&self.entries[*index].point, directory.len());
            head.cmp(directory.as_bytes()).then(tail.cmp(b"/")).is_le()
        });
        let inside = self.by_point[from..].iter().take_while(|index| {
            let (head, tail) = cut(&self.entries[**index].point, directory.len());
            head == directory.as_bytes() && tail.starts_with(b"/")
        });
        let until = from + inside.count();
        self.by_point[from..until].iter().map(|index| &self.entries[*index])
    }

    /// All mounts, in the order of the file.
    #[must_use]
    pub fn entries(&self) -> &[MountEntry] {
        &self.entries
    }

    /// The places that decide what is seen at a path of an overlay: writing to a layer changes it. A layer
    /// may lie on another overlay, which has layers of its own.
    #[must_use]
    pub fn layers(&self, id: u64, path: &str) -> Vec<Location> {
        self.search(id, path).places
    }

    /// The file system of an overlay with a layer that cannot be found: any place of another one could be
    /// that layer.
    #[must_use]
    pub fn with_unknown_layers(&self, id: u64, path: &str) -> Option<Location> {
        let entry = self.mount_of(id, path)?;
        self.search(id, path).unknown.then(|| Location(format!("/{}", entry.fs)))
    }

    fn search(&self, id: u64, path: &str) -> Search<'_> {
        let mut search = Search { table: self, places: Vec::new(), unknown: false };
        if let Some(entry) = self.mount_of(id, path).filter(|entry| entry.fstype == "overlay") {
            let rest = path.strip_prefix(&entry.point).unwrap_or(path).trim_matches('/');
            let part = format!("{}/{rest}", entry.root.trim_end_matches('/'));
            search.overlay(entry, &part, &mut Vec::new());
        }
        search
    }
}

/// The text of a mountinfo file. The kernel takes its locks for each call, so most hosts' mounts are read by one.
///
/// # Errors
/// It cannot be read.
fn text_at(path: impl AsRef<std::path::Path>) -> std::io::Result<String> {
    let file = std::fs::File::open(path)?;
    let mut text = Vec::with_capacity(64 << 10);
    loop {
        text.reserve(32 << 10);
        let spare = || rustix::io::read(&file, rustix::buffer::spare_capacity(&mut text));
        if rustix::io::retry_on_intr(spare)? == 0 {
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
    }
}

/// A text as bytes, cut after as many.
fn cut(text: &str, after: usize) -> (&[u8], &[u8]) {
    text.as_bytes().split_at(after.min(text.len()))
}

/// Overlays on overlays that are followed; the kernel has two (`FILESYSTEM_MAX_STACK_DEPTH`).
const DEPTH: usize = 4;

/// A search for layers.
struct Search<'t> {
    table: &'t MountTable,
    places: Vec<Location>,
    unknown: bool,
}

impl<'t> Search<'t> {
    /// Finds what decides about a part of an overlay. `above` has the file systems it is a layer of.
    fn overlay(&mut self, entry: &'t MountEntry, part: &str, above: &mut Vec<&'t str>) {
        if above.len() == DEPTH {
            self.unknown = true;
            return;
        }
        self.unknown |= entry.layers.relative;
        above.push(&entry.fs);
        for layer in &entry.layers.paths {
            // The engines name layers by links.
            let real = std::fs::canonicalize(layer).ok().and_then(|real| real.to_str().map(str::to_owned));
            let found = self.layer(layer, part, above)
                | real.filter(|real| real != layer).is_some_and(|real| self.layer(&real, part, above));
            // The layers of a container's root lie outside of it, where nothing in here leads.
            self.unknown |= !found && entry.point != "/";
        }
        above.pop();
    }

    /// Adds the places that a layer can be. It was found when the overlay was mounted, and what has been
    /// mounted over it since, as the overlay itself, does not count: all mounts that it can be on do.
    fn layer(&mut self, layer: &str, part: &str, above: &mut Vec<&'t str>) -> bool {
        let mut found = false;
        for mount in &self.table.entries {
            let rest = layer.strip_prefix(mount.point.trim_end_matches('/'));
            let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with('/'));
            let Some(rest) = rest.filter(|_| !above.contains(&mount.fs.as_str())) else { continue };
            found = true;
            let place = mount.location().join(rest).join(part);
            let place = Location(place.0.trim_end_matches('/').to_owned());
            if !self.places.contains(&place) {
                self.places.push(place);
                if mount.fstype == "overlay" {
                    let root = mount.root.trim_end_matches('/');
                    self.overlay(mount, &format!("{root}{rest}/{}", part.trim_matches('/')), above);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
