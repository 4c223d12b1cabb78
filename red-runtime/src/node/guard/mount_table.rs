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
        let of = |fstype: &str| {
            MountTable::parse(&format!("50 27 0:60 / /mnt/x rw - {fstype} x rw")).entries[0].is_kernels()
        };
        let modules = ["nfsd", "rpc_pipefs", "binder", "xenfs", "functionfs", "gadgetfs", "aafs"];
        assert!(modules.into_iter().all(of), "those of modules, wherever they are mounted");
        assert!(!["ext4", "tmpfs", "overlay", "nfs4", "fuse"].into_iter().any(of));
    }

    #[test]
    fn layers_of_an_overlay_are_what_it_shows() {
        let table = MountTable::parse(TEXT);
        let all = table.layers(45, "/over/a/b");
        let names: Vec<&str> = all.iter().map(Location::as_str).collect();
        assert_eq!(names, ["/254:0/l1/a/b", "/254:0/l2/a/b", "/254:0/up/a/b"]);
        assert!(table.layers(27, "/over").is_empty());
        assert_eq!(table.with_unknown_layers(45, "/over/a"), None);
    }

    #[test]
    fn layers_are_found_however_they_are_written() {
        let found = |options: &str| {
            let text = format!("{TEXT}46 27 0:61 / /o rw - overlay overlay rw,{options}\n");
            let table = MountTable::parse(&text);
            let all =
                table.layers(46, "/o/x").iter().map(|place| place.as_str().to_owned()).collect::<Vec<_>>();
            (all, table.with_unknown_layers(46, "/o/x").is_some())
        };
        let places = |all: &[&str]| all.iter().map(|one| format!("/254:0{one}/x")).collect::<Vec<_>>();
        // fsconfig(2) gives one layer at a time.
        assert_eq!(
            found("lowerdir+=/a,lowerdir+=/b\\072c,datadir+=/d,upperdir=/u,workdir=/w"),
            (places(&["/a", "/b:c", "/d", "/u"]), false)
        );
        assert_eq!(found("lowerdir=/a\\134:b:/c::/d\\054e"), (places(&["/a:b", "/c", "/d,e"]), false));
        for relative in
            ["lowerdir=/a,upperdir=up,workdir=w", "lowerdir=low", "lowerdir=/a:low:/b", "lowerdir+=low"]
        {
            assert!(found(relative).1, "{relative}");
        }
        // The workdir shows nothing.
        assert_eq!(found("lowerdir=/a,upperdir=/u,workdir=w"), (places(&["/a", "/u"]), false));
    }

    #[test]
    fn layers_may_be_overlays_and_mounted_over() {
        let text = format!(
            "{TEXT}50 27 0:70 / /one rw - overlay o rw,lowerdir=/l1,upperdir=/up1,workdir=/w1
51 27 0:71 / /two rw - overlay o rw,lowerdir=/one/low,upperdir=/up2,workdir=/w2
52 27 0:72 /in /pool rw - overlay o rw,lowerdir=/pool/low,upperdir=/pool/up,workdir=/pool/w
53 27 0:73 / /loop rw - overlay o rw,lowerdir=/ring,upperdir=/u
54 27 0:74 / /ring rw - overlay o rw,lowerdir=/loop,upperdir=/v
"
        );
        let table = MountTable::parse(&text);
        let names = |id, path| {
            table.layers(id, path).iter().map(|place| place.as_str().to_owned()).collect::<Vec<String>>()
        };
        let two = names(51, "/two/x");
        for place in ["/0:70/low/x", "/254:0/l1/low/x", "/254:0/up1/low/x", "/254:0/up2/x"] {
            assert!(two.iter().any(|one| one == place), "{place}: {two:?}");
        }
        // The overlay lies over its own layers.
        let pool = names(52, "/pool/n");
        assert_eq!(pool, ["/254:0/pool/low/in/n", "/254:0/pool/up/in/n"]);
        assert!(!names(53, "/loop/x").is_empty(), "it ends");
        // Nothing that is mounted here leads to the layers of a container's root.
        let table = MountTable::parse("1 0 0:9 / / rw - overlay o rw,lowerdir=/l,upperdir=/u\n");
        assert_eq!((table.layers(1, "/x"), table.with_unknown_layers(1, "/x")), (Vec::new(), None));
    }

    #[test]
    fn a_table_longer_than_one_page_is_read_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let line = |id: usize| format!("{id} 1 0:{id} / /m{id} rw - tmpfs none rw\n");
        std::fs::write(file.path(), (1..9000).map(line).collect::<String>()).unwrap();
        assert_eq!(MountTable::read_at(file.path()).unwrap().entries().len(), 8999);
    }
}
