//! Places inside the root that is being put together. Links are followed as the container will
//! follow them, never out of the root.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags, fstat, fstatfs, mkdirat, openat, openat2,
    readlinkat, statx,
};
use rustix::io::Errno;

use crate::launch::error::{Doing, LaunchError};
use crate::node::text_path::clean;

/// What must stand at a place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// A directory.
    Dir,
    /// Anything else.
    File,
}

/// What symbolic links on the way to a mount point are good for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Links {
    /// They are followed, as the container will follow them: the root of a plain bundle has only its
    /// own contents.
    Follow,
    /// There must be none. A plan has its own links resolved beforehand, and one that is found was made
    /// by the contents of a node, to lead the mount into something else.
    Refuse,
    /// They are followed as far as they lead into what this launch has made: a file that the engine has
    /// made covers nothing there.
    IntoOurs,
}

/// A file system of the kernel's that is mounted inside, or `/dev`. It is found by its descriptor, not
/// by its name again: whoever may write to the root of a plain bundle can exchange the name
/// (CVE-2019-19921, CVE-2023-27561).
struct Anchor {
    path: String,
    mount: OwnedFd,
    /// Everything in it is of the kernel's making.
    fresh: bool,
    /// Its number, where it is a proc.
    proc: Option<u64>,
}

impl Anchor {
    fn new(path: &str, mount: OwnedFd, fresh: bool) -> rustix::io::Result<Self> {
        let proc = if is_proc(&mount)? { Some(mount_id(&mount)?) } else { None };
        Ok(Self { path: path.to_owned(), mount, fresh, proc })
    }
}

/// The root that is being put together.
pub(super) struct Places {
    /// Its topmost directory.
    pub(super) root: OwnedFd,
    /// Devices of file systems in which mount points may be made: those of this launch.
    pub(super) ours: Vec<u64>,
    /// The mount of a plain bundle's root directory, in which they may be made too, where its device would not
    /// do: an export of a node can be on the same.
    pub(super) base: Option<u64>,
    /// Where directories of a user's are mounted, in which mount points may be made too.
    pub(super) volumes: Vec<String>,
    anchors: Vec<Anchor>,
}

/// Links that are followed on the way to what is made, as many as path_resolution(7) allows.
const MOST_LINKS: usize = 40;

fn relative(path: &str) -> &str {
    match path.trim_start_matches('/') {
        "" => ".",
        path => path,
    }
}

/// The directory that holds the last part of a path, and that part.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').map_or(("", path), |(parent, name)| (parent, name))
}

/// What is below a directory, by the text of both.
fn rest<'p>(path: &'p str, above: &str) -> Option<&'p str> {
    path.strip_prefix(above).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Directories whose mount points are never behind a link: what is there is masked by name.
const KERNEL: [&str; 3] = ["/dev", "/proc", "/sys"];

impl Places {
    /// A root in which nothing is mounted yet.
    pub(super) fn new(root: OwnedFd, device: u64) -> Self {
        Self { root, ours: vec![device], base: None, volumes: Vec::new(), anchors: Vec::new() }
    }

    /// Remembers a mount by its descriptor, when what is below it has to be found for certain.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub(super) fn anchor(&mut self, path: &str, mount: OwnedFd, fresh: bool) -> rustix::io::Result<()> {
        // What was there, or below, is covered now.
        self.anchors.retain(|one| rest(&one.path, path).is_none());
        if fresh || KERNEL.contains(&path) {
            self.anchors.push(Anchor::new(path, mount, fresh)?);
        }
        Ok(())
    }

    /// Remembers a mount by its descriptor, so that what is mounted below it by name stands on it.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub(super) fn hold(&mut self, path: &str, mount: OwnedFd) -> rustix::io::Result<()> {
        self.anchors.retain(|one| rest(&one.path, path).is_none());
        self.anchors.push(Anchor::new(path, mount, false)?);
        Ok(())
    }

    /// The remembered mount that stands at a path.
    pub(super) fn anchored(&self, path: &str) -> Option<&OwnedFd> {
        self.anchors.iter().find(|one| one.path == path).map(|one| &one.mount)
    }

    /// Whether a path is at or below a remembered mount.
    pub(super) fn is_anchored(&self, path: &str) -> bool {
        self.below_anchor(path).is_some()
    }

    fn below_anchor<'s, 'p>(&'s self, path: &'p str) -> Option<(&'s Anchor, &'p str)> {
        let all = self.anchors.iter().filter_map(|one| Some((one, rest(path, &one.path)?)));
        all.max_by_key(|(one, _)| one.path.len())
    }

    /// Opens a path inside.
    pub(super) fn open(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        self.open_by(path, flags, Links::Follow)
    }

    /// Whether a symbolic link is on the way to a path.
    pub(super) fn is_behind_link(&self, path: &str) -> bool {
        matches!(self.open_by(path, OFlags::PATH, Links::Refuse), Err(Errno::LOOP))
    }

    fn open_by(&self, path: &str, flags: OFlags, links: Links) -> rustix::io::Result<OwnedFd> {
        let (dir, path, scope) = match self.below_anchor(path) {
            Some((anchor, rest)) => (&anchor.mount, rest, ResolveFlags::BENEATH),
            None => (&self.root, path, ResolveFlags::IN_ROOT),
        };
        let mut resolve = scope | ResolveFlags::NO_MAGICLINKS;
        let held = self.below_anchor(path).is_some_and(|(anchor, _)| !KERNEL.contains(&&*anchor.path));
        if links == Links::Refuse || (held && scope == ResolveFlags::BENEATH) {
            resolve |= ResolveFlags::NO_SYMLINKS;
        }
        openat2(dir, relative(path), flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// Opens what a mount will stand on, made if it is missing and may be made. `EXDEV` is a link of the
    /// root's own that leads into the container's proc: programs trust what the kernel says there, the
    /// launch itself among them (CVE-2019-16884).
    pub(super) fn mount_point(&self, path: &str, kind: Kind, links: Links) -> rustix::io::Result<OwnedFd> {
        let found = self.linked_point(path, kind, links)?;
        if self.leads_into_proc(path, &found)? { Err(Errno::XDEV) } else { Ok(found) }
    }

    /// Whether something lies in a proc of the container's, and was not named as a part of it. Of those that
    /// are named, `oci::in_proc` says which may be.
    fn leads_into_proc(&self, path: &str, found: &OwnedFd) -> rustix::io::Result<bool> {
        let named = self.below_anchor(path).and_then(|(anchor, _)| anchor.proc);
        let mut others = self
            .anchors
            .iter()
            .filter_map(|anchor| anchor.proc)
            .filter(|proc| Some(*proc) != named)
            .peekable();
        if others.peek().is_none() {
            return Ok(false);
        }
        let found = mount_id(found)?;
        Ok(others.any(|proc| proc == found))
    }

    fn linked_point(&self, path: &str, kind: Kind, links: Links) -> rustix::io::Result<OwnedFd> {
        let kernel = KERNEL.iter().any(|above| rest(path, above).is_some());
        match links {
            Links::IntoOurs => match self.linked_point(path, kind, Links::Refuse) {
                Err(Errno::LOOP) => {
                    let found = self.point_by(path, kind, Links::Follow)?;
                    // Not words for "nothing to stand on": it is refused, not left out.
                    if self.is_ours(&found)? { Ok(found) } else { Err(Errno::LOOP) }
                }
                found => found,
            },
            Links::Follow if kernel => match self.point_by(path, kind, Links::Refuse) {
                Err(Errno::LOOP) => self.kernels_link(path, kind),
                found => found,
            },
            links => self.point_by(path, kind, links),
        }
    }

    /// What links of a new sysfs lead to, such as those of `/sys/class`: the kernel alone makes them, and
    /// nothing that is mounted on it is passed.
    fn kernels_link(&self, path: &str, kind: Kind) -> rustix::io::Result<OwnedFd> {
        let fresh = self.below_anchor(path).filter(|(anchor, _)| anchor.fresh && anchor.path == "/sys");
        let (anchor, rest) = fresh.ok_or(Errno::LOOP)?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        match openat2(&anchor.mount, relative(rest), flags, Mode::empty(), resolve) {
            Err(Errno::XDEV) => Err(Errno::LOOP),
            found => fits(found?, kind),
        }
    }

    fn point_by(&self, path: &str, kind: Kind, links: Links) -> rustix::io::Result<OwnedFd> {
        match self.open_by(path, OFlags::PATH, links) {
            Ok(found) => fits(found, kind),
            Err(Errno::NOENT) => self.make(path, kind, links),
            Err(errno) => Err(errno),
        }
    }

    /// Makes a directory or an empty file, with the directories on the way to it.
    fn make(&self, path: &str, kind: Kind, links: Links) -> rustix::io::Result<OwnedFd> {
        self.make_through(path, kind, links, MOST_LINKS)
    }

    fn make_through(&self, path: &str, kind: Kind, links: Links, left: usize) -> rustix::io::Result<OwnedFd> {
        let (above, name) = split(path);
        let parent = self.directory_through(above, links, left)?;
        match self.may_make(&parent, links) {
            // Nothing is made there, but a link that is there may lead to where something may be.
            Err(Errno::NOENT) if links == Links::Follow => {
                let target = self.leads_to(&parent, above, name)?.ok_or(Errno::NOENT)?;
                return self.make_through(&target, kind, links, left.checked_sub(1).ok_or(Errno::LOOP)?);
            }
            may => may?,
        }
        let result = match kind {
            Kind::Dir => mkdirat(&parent, name, Mode::from_raw_mode(0o755)),
            Kind::File => {
                let flags =
                    OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
                openat(&parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
            }
        };
        match result {
            Err(Errno::EXIST) if links == Links::Follow => {
                if let Some(target) = self.leads_to(&parent, above, name)? {
                    return self.make_through(&target, kind, links, left.checked_sub(1).ok_or(Errno::LOOP)?);
                }
            }
            other => made(other)?,
        }
        let found = openat(&parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        fits(found, kind)
    }

    /// A directory inside, made with those above it where it is missing.
    pub(super) fn directory(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        self.directory_through(path, Links::Follow, MOST_LINKS)
    }

    fn directory_through(&self, path: &str, links: Links, left: usize) -> rustix::io::Result<OwnedFd> {
        match self.open_by(path, OFlags::PATH | OFlags::DIRECTORY, links) {
            Err(Errno::NOENT) if !path.is_empty() => {
                let (above, name) = split(path);
                let parent = self.directory_through(above, links, left)?;
                self.may_make(&parent, links)?;
                made(mkdirat(&parent, name, Mode::from_raw_mode(0o755)))?;
                match self.open_by(path, OFlags::PATH | OFlags::DIRECTORY, links) {
                    Err(Errno::NOENT) if links == Links::Follow => {
                        let target = self.leads_to(&parent, above, name)?.ok_or(Errno::NOENT)?;
                        self.directory_through(&target, links, left.checked_sub(1).ok_or(Errno::LOOP)?)
                    }
                    found => found,
                }
            }
            other => other,
        }
    }

    /// Where a link in a directory leads, as a path inside; `None` for what is no link. What it leads to
    /// may be missing: `/var/lock` is a link into a `/run` that was just mounted.
    fn leads_to(&self, parent: &OwnedFd, above: &str, name: &str) -> rustix::io::Result<Option<String>> {
        let target = match readlinkat(parent, name, Vec::new()) {
            Err(Errno::INVAL) => return Ok(None),
            target => target?.into_string().map_err(|_bytes| Errno::ILSEQ)?,
        };
        if target.starts_with('/') {
            return Ok(Some(clean(&target)));
        }
        // A relative one is of the directory that it is in, whose name may be another one.
        self.open_by(above, OFlags::PATH, Links::Refuse)?;
        Ok(Some(clean(&format!("{above}/{target}"))))
    }

    /// Whether what stands at `/proc` is the proc that was mounted there, if one was.
    pub(super) fn proc_is_ours(&self) -> rustix::io::Result<bool> {
        let Some(mounted) = self.anchored("/proc") else { return Ok(true) };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let there = match openat2(&self.root, "proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
        {
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => return Ok(false),
            there => fstat(&there?)?,
        };
        let mounted = fstat(mounted)?;
        Ok((there.st_dev, there.st_ino) == (mounted.st_dev, mounted.st_ino))
    }

    /// Whether something lies in a file system of this launch, or in the root directory of a plain bundle.
    pub(super) fn is_ours(&self, place: impl AsFd) -> rustix::io::Result<bool> {
        let place = place.as_fd();
        let is_base = || mount_id(place).map(|mount| self.base == Some(mount));
        Ok(self.ours.contains(&fstat(place)?.st_dev) || (self.base.is_some() && is_base()?))
    }

    /// Whether a mount point may be made in a directory: in what is ours, and in a user's own volume. Nothing
    /// is written into a node to make room for a mount.
    pub(super) fn may_make(&self, directory: &OwnedFd, links: Links) -> rustix::io::Result<()> {
        if self.is_ours(directory)? || self.is_in_volume(directory, links)? {
            Ok(())
        } else {
            Err(Errno::NOENT)
        }
    }

    /// Whether a directory lies in a volume: by the mount, for a node can be on the same file system.
    fn is_in_volume(&self, directory: &OwnedFd, links: Links) -> rustix::io::Result<bool> {
        if self.volumes.is_empty() {
            return Ok(false);
        }
        let wanted = mount_id(directory)?;
        // The last one is the most likely: volumes come in the order of their places.
        for volume in self.volumes.iter().rev() {
            match self.open_by(volume, OFlags::PATH, links) {
                Ok(top) if mount_id(&top)? == wanted => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
    }
}

/// Whether something is on a proc (linux/magic.h, PROC_SUPER_MAGIC).
pub(super) fn is_proc(place: impl AsFd) -> rustix::io::Result<bool> {
    const PROC: i64 = 0x9fa0;
    #[allow(clippy::useless_conversion, reason = "the type of the field differs between architectures")]
    let fs = i64::try_from(fstatfs(place)?.f_type);
    Ok(fs.is_ok_and(|fs| fs == PROC))
}

/// The ID of the mount that something lies in (statx(2), STATX_MNT_ID).
pub(super) fn mount_id(place: impl AsFd) -> rustix::io::Result<u64> {
    Ok(statx(place, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id)
}

/// What was made meanwhile is as good.
fn made(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match result {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

fn fits(found: OwnedFd, kind: Kind) -> rustix::io::Result<OwnedFd> {
    let is_dir = FileType::from_raw_mode(fstat(&found)?.st_mode) == FileType::Directory;
    match (is_dir, kind) {
        (true, Kind::Dir) | (false, Kind::File) => Ok(found),
        (true, Kind::File) => Err(Errno::ISDIR),
        (false, Kind::Dir) => Err(Errno::NOTDIR),
    }
}

/// Opens a path of the host that is not a symbolic link, such as `/dev/null`.
pub(super) fn host(path: &str) -> Result<OwnedFd, LaunchError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).doing(|| path)
}

/// A path for a descriptor, for calls that take only paths. It names the descriptor's own file
/// whatever was renamed since, as long as the host's `/proc` is visible.
pub(super) fn path_of(fd: BorrowedFd<'_>) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::super::assemble::attach_at;
    use super::super::fresh::fresh;
    use super::*;
    use rustix::fs::{renameat, symlinkat};

    /// A root in a mount namespace of the test's own thread; `None` where that may not be made.
    fn root() -> Option<(Places, OwnedFd)> {
        crate::sys::namespace::unshare(libc::CLONE_NEWNS | libc::CLONE_FS).ok()?;
        let private =
            rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).ok()?;
        let tree = fresh("tmpfs", "red-root", &["mode=0755".to_owned()], 0).ok()?;
        attach_at(&tree, host("/tmp").ok()?).ok()?;
        let root = openat(&tree, ".", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).ok()?;
        let device = fstat(&root).ok()?.st_dev;
        Some((Places::new(root, device), tree))
    }

    /// Runs in a thread of its own, whose namespaces end with it.
    fn inside(test: impl FnOnce(Places, OwnedFd) + Send + 'static) {
        let ran = std::thread::spawn(move || root().map(|(places, root)| test(places, root)).is_some());
        let ran = ran.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let must = std::env::var_os("RED_MUST_WORK").is_some_and(|value| value == "1");
        assert!(ran || !must, "RED_MUST_WORK=1, but this needs to make a mount namespace");
    }

    #[test]
    fn what_is_below_proc_is_found_by_the_mount_and_not_by_its_name() {
        inside(|mut places, root| {
            let point = places.mount_point("/proc", Kind::Dir, Links::Follow).unwrap();
            let proc = fresh("proc", "proc", &[], 0).unwrap();
            attach_at(&proc, &point).unwrap();
            let device = fstat(&proc).unwrap().st_dev;
            places.anchor("/proc", proc, true).unwrap();
            assert!(places.proc_is_ours().unwrap());
            // Another process exchanges the name for a link to what it has made.
            mkdirat(&root, "fake", Mode::RWXU).unwrap();
            mkdirat(&root, "fake/sys", Mode::RWXU).unwrap();
            // In this namespace a mount point cannot be renamed, so another mount plays the exchange.
            let fake = fresh("tmpfs", "fake", &[], 0).unwrap();
            mkdirat(&fake, "sys", Mode::RWXU).unwrap();
            attach_at(&fake, places.open_by("/proc", OFlags::PATH, Links::Refuse).unwrap()).unwrap();
            let found = places.open("/proc/sys", OFlags::PATH).unwrap();
            assert_ne!(fstat(&found).unwrap().st_dev, fstat(&fake).unwrap().st_dev, "found by name");
            assert_eq!(fstat(places.open("/proc/timer_list", OFlags::PATH).unwrap()).unwrap().st_dev, device);
            assert!(!places.proc_is_ours().unwrap(), "the container would see the fake");
            assert_eq!(places.open("/proc/not-there", OFlags::PATH).unwrap_err(), Errno::NOENT);
            assert_eq!(places.open("/proc/../fake", OFlags::PATH).unwrap_err(), Errno::XDEV);
        });
    }

    #[test]
    fn links_of_a_new_sysfs_are_the_kernels() {
        inside(|mut places, _| {
            let Ok(sys) = fresh("sysfs", "sysfs", &[], 0) else { return };
            attach_at(&sys, places.mount_point("/sys", Kind::Dir, Links::Follow).unwrap()).unwrap();
            let lo = "/sys/class/net/lo";
            assert_eq!(places.mount_point(lo, Kind::Dir, Links::Follow).unwrap_err(), Errno::LOOP);
            places.anchor("/sys", sys, true).unwrap();
            assert!(places.mount_point(lo, Kind::Dir, Links::Follow).is_ok());
            assert_eq!(places.mount_point(lo, Kind::Dir, Links::Refuse).unwrap_err(), Errno::LOOP);
            // A link in something that is mounted on it is somebody else's.
            let other = fresh("tmpfs", "other", &[], 0).unwrap();
            symlinkat("../../kernel", &other, "link").unwrap();
            attach_at(&other, places.open("/sys/class/net", OFlags::PATH).unwrap()).unwrap();
            let link = places.mount_point("/sys/class/net/link", Kind::Dir, Links::Follow);
            assert_eq!(link.unwrap_err(), Errno::LOOP);
        });
    }

    #[test]
    fn the_kernels_places_are_never_behind_a_link() {
        inside(|places, root| {
            mkdirat(&root, "away", Mode::RWXU).unwrap();
            for name in ["proc", "sys", "dev"] {
                symlinkat("/away", &root, name).unwrap();
                for path in [format!("/{name}"), format!("/{name}/below")] {
                    let point = places.mount_point(&path, Kind::Dir, Links::Follow);
                    assert_eq!(point.unwrap_err(), Errno::LOOP, "{path}");
                }
            }
            assert!(openat(&root, "away/below", OFlags::PATH, Mode::empty()).is_err(), "nothing was made");
            // Elsewhere the links of a plain root are its own.
            symlinkat("/away", &root, "lib").unwrap();
            assert!(places.mount_point("/lib/x", Kind::Dir, Links::Follow).is_ok());
            assert_eq!(places.mount_point("/lib/x", Kind::Dir, Links::Refuse).unwrap_err(), Errno::LOOP);
            renameat(&root, "away", &root, "moved").unwrap();
        });
    }

    #[test]
    fn an_engines_own_file_follows_links_into_what_is_ours_only() {
        inside(|places, root| {
            // The contents of a node, in a file system that is not the launch's.
            let contents = fresh("tmpfs", "contents", &[], 0).unwrap();
            symlinkat("/run/resolv.conf", &contents, "resolv.conf").unwrap();
            symlinkat("/etc/other", &contents, "hosts").unwrap();
            openat(&contents, "other", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
            let etc = places.mount_point("/etc", Kind::Dir, Links::Refuse).unwrap();
            attach_at(&contents, &etc).unwrap();
            let point = || places.mount_point("/etc/resolv.conf", Kind::File, Links::IntoOurs);
            assert!(point().is_ok(), "it is made where the link leads, in what is ours");
            rustix::fs::unlinkat(&root, "run/resolv.conf", AtFlags::empty()).unwrap();
            rustix::fs::unlinkat(&root, "run", AtFlags::REMOVEDIR).unwrap();
            mkdirat(&root, "run", Mode::RWXU).unwrap();
            openat(&root, "run/resolv.conf", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
            assert!(point().is_ok());
            let point = places.mount_point("/etc/hosts", Kind::File, Links::IntoOurs);
            assert_eq!(point.unwrap_err(), Errno::LOOP);
            let point = places.mount_point("/etc/resolv.conf", Kind::File, Links::Refuse);
            assert_eq!(point.unwrap_err(), Errno::LOOP);
        });
    }
}
