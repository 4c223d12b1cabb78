//! Which namespaces a container gets: new ones, and those of others.
//!
//! A namespace that is named by a path is what its inode says, not what the path says: `/proc/1/ns/net`
//! is the host's network however it is spelled. The path is opened once; type and inode are those of
//! the descriptor, and where they were checked before ([`identify`]), the launch compares them again.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::fs::{Mode, OFlags, fstat, fstatfs, open};
use rustix::io::Errno;

use super::error::{Doing, LaunchError};
use super::sysctl::Separate;
use crate::spec::engine::{NamedNamespace, Owner};
use crate::sys::namespace;

/// Type of the file system that namespaces are files of (linux/magic.h, NSFS_MAGIC).
const NSFS: i64 = 0x6e73_6673;

/// Namespaces of a container.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// `CLONE_NEW…` of those made for it.
    pub(crate) new: i32,
    /// Those it joins, the user namespace first.
    pub(crate) joined: Vec<Joined>,
}

/// One that exists.
#[derive(Debug)]
pub(crate) struct Joined {
    /// `CLONE_NEW…` of its kind.
    pub(crate) kind: i32,
    /// Path in the configuration.
    path: PathBuf,
    /// Descriptor of the namespace.
    file: OwnedFd,
    /// Whether it is the launcher's own, or that of PID 1.
    hosts: bool,
}

/// The flag of a kind of namespace.
pub(crate) fn flag(kind: LinuxNamespaceType) -> i32 {
    match kind {
        LinuxNamespaceType::Mount => libc::CLONE_NEWNS,
        LinuxNamespaceType::Cgroup => libc::CLONE_NEWCGROUP,
        LinuxNamespaceType::Uts => libc::CLONE_NEWUTS,
        LinuxNamespaceType::Ipc => libc::CLONE_NEWIPC,
        LinuxNamespaceType::User => libc::CLONE_NEWUSER,
        LinuxNamespaceType::Pid => libc::CLONE_NEWPID,
        LinuxNamespaceType::Network => libc::CLONE_NEWNET,
        LinuxNamespaceType::Time => CLONE_NEWTIME,
    }
}

/// `CLONE_NEWTIME` (linux/sched.h); it fits no signal number of clone(2), but clone3 takes it.
pub(crate) const CLONE_NEWTIME: i32 = 0x80;

impl Namespaces {
    /// Those of a configuration. What `named` holds was checked before, and has to be the same now.
    ///
    /// # Errors
    /// One is asked for twice, there is no mount namespace of the container's own, or one to join is
    /// missing, of another type, or another one than was checked.
    pub(crate) fn of(spec: &Spec, named: &[NamedNamespace]) -> Result<Self, LaunchError> {
        let mut all = Self::default();
        let mut seen = 0;
        let list = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
        for one in list.into_iter().flatten() {
            let kind = flag(one.typ());
            if seen & kind != 0 {
                return Err(LaunchError::refused(
                    "linux.namespaces",
                    format!("duplicate namespace `{}`", one.typ()),
                ));
            }
            seen |= kind;
            match one.path().as_ref().filter(|path| !path.as_os_str().is_empty()) {
                None => all.new |= kind,
                Some(path) => {
                    let (file, found) = identify(one.typ(), path)?;
                    let before = named.iter().find(|named| named.typ == one.typ() && named.path == *path);
                    if before.is_some_and(|before| before.id != found.id) {
                        return Err(LaunchError::refused(
                            format!("namespace {}", path.display()),
                            "another namespace took its place during the launch",
                        ));
                    }
                    if found.hosts && kind == libc::CLONE_NEWNS {
                        return Err(LaunchError::refused(
                            format!("namespace {}", path.display()),
                            "is the host's mount namespace, and a container in it would change the host's mounts",
                        ));
                    }
                    all.joined.push(Joined { kind, path: path.clone(), file, hosts: found.hosts });
                }
            }
        }
        if seen & libc::CLONE_NEWNS == 0 {
            return Err(LaunchError::refused(
                "linux.namespaces",
                "there is no mount namespace, and a container without one would change the host's mounts",
            ));
        }
        all.joined.sort_by_key(|one| one.kind != libc::CLONE_NEWUSER);
        Ok(all)
    }

    /// Whether a new one of this kind is made.
    pub(crate) fn makes(&self, kind: i32) -> bool {
        self.new & kind != 0
    }

    /// Whether one of this kind is joined.
    pub(crate) fn joins(&self, kind: i32) -> bool {
        self.joined.iter().any(|one| one.kind == kind)
    }

    /// Which namespaces it does not share with the host: sysctls of those are its own.
    pub(crate) fn separate(&self) -> Separate {
        let own = |kind| self.makes(kind) || self.joined.iter().any(|one| one.kind == kind && !one.hosts);
        Separate { net: own(libc::CLONE_NEWNET), ipc: own(libc::CLONE_NEWIPC), uts: own(libc::CLONE_NEWUTS) }
    }

    /// Whether it has another user namespace than the launcher.
    pub(crate) fn has_user(&self) -> bool {
        self.makes(libc::CLONE_NEWUSER) || self.joins(libc::CLONE_NEWUSER)
    }
}

/// Opens a namespace that a configuration names by path. What it is, is asked of the descriptor.
///
/// # Errors
/// It is missing, no namespace, or one of another type.
pub(crate) fn identify(
    typ: LinuxNamespaceType,
    path: &Path,
) -> Result<(OwnedFd, NamedNamespace), LaunchError> {
    let what = || format!("namespace {}", path.display());
    // Without an effect on whatever else it may be: a FIFO would block, a device could act.
    let found = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).doing(what)?;
    #[allow(clippy::useless_conversion, reason = "the type of the field differs between architectures")]
    let nsfs = i64::try_from(fstatfs(&found).doing(what)?.f_type).is_ok_and(|fs| fs == NSFS);
    if !nsfs {
        return Err(LaunchError::refused(what(), "is not a namespace"));
    }
    let again = format!("/proc/self/fd/{}", found.as_fd().as_raw_fd());
    let file = open(&*again, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).doing(what)?;
    let kind = flag(typ);
    if namespace::kind(&file).doing(what)? != kind {
        return Err(LaunchError::refused(what(), format!("is not a {} namespace", word(typ))));
    }
    let stat = fstat(&file).doing(what)?;
    let id = (stat.st_dev, stat.st_ino);
    let hosts = hosts(kind).contains(&id);
    // What owns a user namespace is its parent, which decides nothing here.
    let owner = if kind == libc::CLONE_NEWUSER { Owner::Runtime } else { owner(&file).doing(what)? };
    Ok((file, NamedNamespace { typ, path: path.to_owned(), id, hosts, owner }))
}

/// The user namespace that owns a namespace.
fn owner(file: &OwnedFd) -> rustix::io::Result<Owner> {
    let owner = match namespace::owner(file) {
        // Of one above: the launcher's own is all that an engine without root may use.
        Err(Errno::PERM) => return Ok(Owner::Hidden),
        owner => fstat(owner?)?,
    };
    let own = rustix::fs::stat("/proc/self/ns/user")?;
    let id = (owner.st_dev, owner.st_ino);
    Ok(if id == (own.st_dev, own.st_ino) { Owner::Runtime } else { Owner::Other(id) })
}

/// The specification's word for a type (config-linux.md, "Namespaces").
fn word(typ: LinuxNamespaceType) -> &'static str {
    match typ {
        LinuxNamespaceType::Mount => "mount",
        LinuxNamespaceType::Cgroup => "cgroup",
        LinuxNamespaceType::Uts => "uts",
        LinuxNamespaceType::Ipc => "ipc",
        LinuxNamespaceType::User => "user",
        LinuxNamespaceType::Pid => "pid",
        LinuxNamespaceType::Network => "network",
        LinuxNamespaceType::Time => "time",
    }
}

/// The host's namespaces of a kind: the launcher's own and that of PID 1, which a caller without
/// privileges may not look at (ptrace(2), PTRACE_MODE_READ_FSCREDS).
pub(super) fn hosts(kind: i32) -> Vec<(u64, u64)> {
    let all = ["self", "1"].into_iter().flat_map(|process| {
        let of_children = match kind {
            libc::CLONE_NEWPID => Some("pid"),
            CLONE_NEWTIME => Some("time"),
            _ => None,
        };
        of_children.into_iter().chain([name(kind)]).map(move |name| format!("/proc/{process}/ns/{name}"))
    });
    all.filter_map(|path| rustix::fs::stat(&*path).ok()).map(|stat| (stat.st_dev, stat.st_ino)).collect()
}

impl Joined {
    /// Whether the process inside joins it by itself: from another mount namespace nobody comes back
    /// to where he was, and from another cgroup namespace nothing can be cloned into a cgroup of the
    /// host's.
    pub(crate) fn is_joined_inside(&self) -> bool {
        matches!(self.kind, libc::CLONE_NEWNS | libc::CLONE_NEWCGROUP)
    }

    /// Joins it.
    ///
    /// # Errors
    /// What setns(2) says.
    pub(crate) fn join(&self) -> Result<(), LaunchError> {
        namespace::join(&self.file, self.kind).doing(|| format!("joining namespace {}", self.path.display()))
    }
}

/// The clocks of a new time namespace, as `/proc/PID/timens_offsets` takes them (time_namespaces(7)); `None`
/// where none is changed.
///
/// # Errors
/// A clock that no namespace has of its own, or no new namespace for it.
pub(crate) fn time_offsets(spec: &Spec, namespaces: &Namespaces) -> Result<Option<String>, LaunchError> {
    let said = spec.linux().as_ref().and_then(|linux| linux.time_offsets().as_ref());
    let Some(said) = said.filter(|said| !said.is_empty()) else { return Ok(None) };
    let refused = |why: String| Err(LaunchError::refused("linux.timeOffsets", why));
    if !namespaces.makes(CLONE_NEWTIME) {
        return refused("there is no new time namespace for them".to_owned());
    }
    let mut lines: Vec<String> = Vec::with_capacity(said.len());
    for (clock, offset) in said {
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return refused(format!("unknown clock `{clock}` (`monotonic` and `boottime`)"));
        }
        lines.push(format!("{clock} {} {}\n", offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0)));
    }
    lines.sort();
    Ok(Some(lines.concat()))
}

/// Makes a time namespace for the children of this process, with clocks of its own. They can be set only as
/// long as nobody is in it.
///
/// # Errors
/// unshare(2) failed, or the kernel refuses an offset.
pub(crate) fn new_time(offsets: &str) -> Result<(), LaunchError> {
    let what = || format!("linux.timeOffsets ({})", offsets.trim_end().replace('\n', ", "));
    namespace::unshare(CLONE_NEWTIME).doing(what)?;
    std::fs::write("/proc/self/timens_offsets", offsets).doing(what)
}

/// Namespaces of the launcher itself that it left for a moment; it returns when this is dropped by
/// [`Away::back`].
#[derive(Debug)]
pub(crate) struct Away(Vec<(i32, OwnedFd)>);

impl Away {
    /// Joins namespaces for the next clone, after which the launcher goes back. Only root of the machine may
    /// do so, and a user namespace has no way back.
    pub(crate) fn to(joined: &[Joined]) -> Result<Self, LaunchError> {
        let mut away = Vec::new();
        for one in joined.iter().filter(|one| !one.is_joined_inside()) {
            let own = format!("/proc/self/ns/{}", name(one.kind));
            let file = open(&*own, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).doing(|| own)?;
            away.push((one.kind, file));
            if let Err(error) = one.join() {
                Self(away).back()?;
                return Err(error);
            }
        }
        Ok(Self(away))
    }

    /// Makes a time namespace for the next clone too.
    ///
    /// # Errors
    /// As [`new_time`].
    pub(crate) fn with_time(mut self, offsets: &str) -> Result<Self, LaunchError> {
        let own = format!("/proc/self/ns/{}", name(CLONE_NEWTIME));
        let file = open(&*own, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).doing(|| own)?;
        let made = new_time(offsets);
        self.0.push((CLONE_NEWTIME, file));
        match made {
            Ok(()) => Ok(self),
            Err(error) => {
                self.back()?;
                Err(error)
            }
        }
    }

    /// Goes back.
    pub(crate) fn back(self) -> Result<(), LaunchError> {
        for (kind, file) in self.0 {
            namespace::join(&file, kind).doing(|| "going back to the launcher's own namespaces")?;
        }
        Ok(())
    }
}

/// The name of a kind below `/proc/…/ns`, of the one that children get.
pub(crate) fn name(kind: i32) -> &'static str {
    match kind {
        libc::CLONE_NEWNS => "mnt",
        libc::CLONE_NEWCGROUP => "cgroup",
        libc::CLONE_NEWUTS => "uts",
        libc::CLONE_NEWIPC => "ipc",
        libc::CLONE_NEWUSER => "user",
        libc::CLONE_NEWPID => "pid_for_children",
        libc::CLONE_NEWNET => "net",
        _ => "time_for_children",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(namespaces: serde_json::Value) -> Spec {
        let spec = serde_json::json!({"ociVersion": "1.0.2", "linux": {"namespaces": namespaces}});
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn a_namespace_is_known_by_its_inode() {
        let id = std::process::id();
        for path in [
            "/proc/self/ns/net".to_owned(),
            format!("/proc/{id}/ns/net"),
            format!("/proc/{id}/task/../ns/net"),
        ] {
            let (_, found) = identify(LinuxNamespaceType::Network, Path::new(&path)).unwrap();
            assert!(found.hosts, "{path}");
        }
        let children = Path::new("/proc/self/ns/pid_for_children");
        assert!(identify(LinuxNamespaceType::Pid, children).unwrap().1.hosts);
    }

    #[test]
    fn what_is_no_namespace_of_the_type_is_refused() {
        let words = |typ, path: &str| identify(typ, Path::new(path)).unwrap_err().to_string();
        assert!(
            words(LinuxNamespaceType::Network, "/proc/self/ns/pid").contains("is not a network namespace")
        );
        assert!(words(LinuxNamespaceType::Mount, "/proc/self/ns/user").contains("is not a mount namespace"));
        assert!(words(LinuxNamespaceType::Network, "/etc/passwd").contains("is not a namespace"));
        assert!(words(LinuxNamespaceType::Network, "/dev/null").contains("is not a namespace"));
        assert!(words(LinuxNamespaceType::Network, "/proc/self/ns/nothing").contains("missing"));
        let fifo = std::env::temp_dir().join(format!("red-fifo-{}", std::process::id()));
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        let said = words(LinuxNamespaceType::Network, fifo.to_str().unwrap());
        std::fs::remove_file(&fifo).unwrap();
        assert!(said.contains("is not a namespace"), "{said}");
    }

    #[test]
    fn the_hosts_mount_namespace_is_never_joined() {
        let all = spec(serde_json::json!([{"type": "mount", "path": "/proc/self/ns/mnt"}]));
        let error = Namespaces::of(&all, &[]).unwrap_err().to_string();
        assert!(error.contains("host's mount namespace"), "{error}");
    }

    #[test]
    fn what_was_checked_is_what_is_joined() {
        let path = Path::new("/proc/self/ns/net");
        let all = spec(serde_json::json!([{"type": "mount"}, {"type": "network", "path": path}]));
        let (_, named) = identify(LinuxNamespaceType::Network, path).unwrap();
        assert!(Namespaces::of(&all, std::slice::from_ref(&named)).is_ok());
        let other = NamedNamespace { id: (named.id.0, named.id.1 + 1), ..named };
        let error = Namespaces::of(&all, &[other]).unwrap_err().to_string();
        assert!(error.contains("another namespace took its place"), "{error}");
    }

    #[test]
    fn a_joined_namespace_of_the_hosts_is_not_separate() {
        let path = "/proc/self/ns/net";
        let joined =
            spec(serde_json::json!([{"type": "mount"}, {"type": "network", "path": path}, {"type": "ipc"}]));
        let separate = Namespaces::of(&joined, &[]).unwrap().separate();
        assert_eq!(separate, Separate { net: false, ipc: true, uts: false });
    }
}
