//! Looks at what an engine's configuration names by path, before anything is decided.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, Spec};
use rustix::fs::{Mode, OFlags, fstatfs, open};

use crate::launch::error::LaunchError;
use crate::launch::namespaces as kinds;
use crate::node::guard::{MountTable, Opened};
use crate::spec::engine::{
    self, BindSource, EngineFacts, EngineFile, KernelFs, NamedNamespace, is_bind, is_frozen,
};
use crate::spec::plan::Plan;
use crate::spec::shm::HostShm;

/// Opens every namespace and source of a configuration that names a node, and keeps what they are.
///
/// # Errors
/// One of them is missing, or a namespace is none.
pub(super) fn facts(spec: &Spec, engine: &EngineDirs, bundle: &Path) -> Result<EngineFacts, LaunchError> {
    let mut facts = EngineFacts { namespaces: namespaces(spec)?, sources: Vec::new() };
    let mut shm: Option<Shm> = None;
    for mount in spec.mounts().iter().flatten() {
        let mut source = if is_bind(mount) { Some(bind_source(mount, engine, bundle)?) } else { None };
        if let Some(source) = &mut source
            && source.kernel.is_none()
            && shm.get_or_insert_with(Shm::read).holds(&source.opened)
        {
            source.kernel = Some(KernelFs::Shm);
        }
        facts.sources.push(source);
    }
    Ok(facts)
}

/// The host's shared memory, and the mounts that tell what lies in it.
struct Shm(MountTable, HostShm);

impl Shm {
    fn read() -> Self {
        // As they are now: what is located in it is open already.
        let mounts = MountTable::read_now();
        let shm = HostShm::of_host(&mounts);
        Self(mounts, shm)
    }

    fn holds(&self, opened: &Opened) -> bool {
        let place = self.0.locate(opened.facts.mount, &opened.path);
        place.is_some_and(|place| self.1.holds(&place))
    }
}

/// Opens every namespace that a node joins, and keeps what they are.
///
/// # Errors
/// One is missing, or no namespace of its type.
pub(super) fn joined(plan: &Plan) -> Result<Vec<NamedNamespace>, LaunchError> {
    engine::joined(plan).map(|(typ, path)| Ok(kinds::identify(typ, path)?.1)).collect()
}

/// Opens every namespace of a configuration, and keeps what they are.
///
/// # Errors
/// One is missing, or no namespace of its type.
pub(super) fn namespaces(spec: &Spec) -> Result<Vec<NamedNamespace>, LaunchError> {
    let listed = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let by_path = listed.into_iter().flatten().filter_map(|one| {
        let path = one.path().as_ref().filter(|path| !path.as_os_str().is_empty())?;
        Some((one.typ(), path))
    });
    by_path.map(|(typ, path)| Ok(kinds::identify(typ, path)?.1)).collect()
}

/// Opens the source of each bind of a plain configuration, by position. One that is read-only with all
/// below it makes nothing writable, so it is none of those that are judged.
///
/// # Errors
/// One of them is missing.
pub(super) fn judged(spec: &Spec, bundle: &Path) -> Result<Vec<Option<Opened>>, LaunchError> {
    let open = |mount: &Mount| Ok(Some(open_bind(&source_path(mount, bundle))?.1));
    let mounts = spec.mounts().iter().flatten();
    mounts.map(|mount| if is_bind(mount) && !is_frozen(mount) { open(mount) } else { Ok(None) }).collect()
}

/// Opens the source of a bind as the launch will: links are followed, and the descriptor tells where
/// they led.
///
/// # Errors
/// open(2) failed.
pub(super) fn open_source(path: &Path) -> Result<OwnedFd, LaunchError> {
    open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| LaunchError::Call { what: format!("source {}", path.display()), errno })
}

/// The path of a mount's source on the host.
pub(super) fn source_path(mount: &Mount, bundle: &Path) -> PathBuf {
    bundle.join(mount.source().clone().unwrap_or_default())
}

fn open_bind(path: &Path) -> Result<(OwnedFd, Opened), LaunchError> {
    let source = open_source(path)?;
    let opened = Opened::of(&source)
        .map_err(|errno| LaunchError::Call { what: format!("source {}", path.display()), errno })?;
    Ok((source, opened))
}

fn bind_source(mount: &Mount, engine: &EngineDirs, bundle: &Path) -> Result<BindSource, LaunchError> {
    let path = source_path(mount, bundle);
    let (source, opened) = open_bind(&path)?;
    let kernel = kernel_fs(&source)
        .map_err(|errno| LaunchError::Call { what: format!("source {}", path.display()), errno })?;
    let made = engine.made(Path::new(&opened.path));
    Ok(BindSource { kernel, made, opened })
}

/// Which of the kernel's file systems something is on (linux/magic.h).
fn kernel_fs(source: impl AsFd) -> rustix::io::Result<Option<KernelFs>> {
    #[allow(clippy::useless_conversion, reason = "the type of the field differs between architectures")]
    let magic = i64::try_from(fstatfs(source)?.f_type).unwrap_or(-1);
    Ok(match magic {
        0x9fa0 => Some(KernelFs::Proc),
        0x6265_6572 => Some(KernelFs::Sysfs),
        0x0027_e0eb | 0x6367_7270 => Some(KernelFs::Cgroup),
        0x1980_0202 => Some(KernelFs::Mqueue),
        0x1cd1 => Some(KernelFs::DevPts),
        _ => None,
    })
}

/// Where an engine keeps what it makes for its containers. Derived from what it tells the runtime of
/// itself, never from the mounts, which are its user's too.
#[derive(Debug, Default)]
pub(super) struct EngineDirs {
    /// Directories with one directory a container, whose `userdata` holds its files: podman, cri-o.
    containers: Vec<PathBuf>,
    /// State and root of containerd.
    containerd: Vec<PathBuf>,
}

/// Files of containers/storage that podman and cri-o mount (libpod, `container_internal_linux.go`).
const USERDATA: [(&str, EngineFile); 8] = [
    ("resolv.conf", EngineFile::At("/etc/resolv.conf")),
    ("hosts", EngineFile::At("/etc/hosts")),
    ("hostname", EngineFile::At("/etc/hostname")),
    (".containerenv", EngineFile::At("/run/.containerenv")),
    ("passwd", EngineFile::At("/etc/passwd")),
    ("group", EngineFile::At("/etc/group")),
    ("localtime", EngineFile::At("/etc/localtime")),
    ("shm", EngineFile::Shm),
];

/// Files of one name that every engine makes.
fn by_name(name: &str) -> Option<EngineFile> {
    let names = ["resolv.conf", "hosts", "hostname", "shm"];
    USERDATA.iter().find(|(own, _)| names.contains(own) && *own == name).map(|(_, file)| *file)
}

/// Where docker keeps containers, and nerdctl everything of one containerd.
const DOCKER: &str = "/var/lib/docker/containers";
const NERDCTL: &str = "/var/lib/nerdctl";

/// Where the kubelet keeps pods.
const PODS: &str = "/var/lib/kubelet/pods";

impl EngineDirs {
    /// Those of the engine that made a bundle and wants a PID file. podman has two directories a
    /// container, one of which only the PID file tells.
    pub(super) fn of(bundle: &Path, pid_file: Option<&Path>) -> Self {
        let mut dirs = Self::default();
        let userdata =
            |dir: &Path| dir.ends_with("userdata").then(|| dir.parent().map(Path::to_owned)).flatten();
        if let Some(container) = userdata(bundle) {
            dirs.containers.extend(container.parent().map(Path::to_owned));
            let other = pid_file.and_then(Path::parent).and_then(|dir| dir.canonicalize().ok());
            let other = other.as_deref().and_then(userdata);
            // Of the same container: its number was not known to whoever chose a PID file beforehand.
            let other = other.filter(|other| other.file_name() == container.file_name());
            dirs.containers.extend(other.as_deref().and_then(Path::parent).map(Path::to_owned));
        }
        // STATE/io.containerd.runtime.v2.task/NAMESPACE/ID, with a link to the same below the root.
        let work = std::fs::canonicalize(bundle.join("work")).ok();
        for task in [Some(bundle.to_owned()), work].into_iter().flatten() {
            let dir = task.ancestors().nth(2).filter(|dir| dir.ends_with("io.containerd.runtime.v2.task"));
            dirs.containerd.extend(dir.and_then(Path::parent).map(Path::to_owned));
        }
        dirs
    }

    /// What an engine has made for a container, by its path without links.
    fn made(&self, path: &Path) -> Option<EngineFile> {
        let below = |dir: &Path| -> Option<Vec<&str>> {
            let rest = path.strip_prefix(dir).ok()?.to_str()?;
            Some(rest.split('/').collect())
        };
        let found = |dirs: &[PathBuf], of: fn(&[&str]) -> Option<EngineFile>| {
            dirs.iter().filter_map(|dir| below(dir)).find_map(|parts| of(&parts))
        };
        found(&self.containers, of_storage)
            .or_else(|| found(&self.containerd, of_containerd))
            .or_else(|| of_kubelet(&below(Path::new(PODS))?))
            .or_else(|| match *below(Path::new(DOCKER))? {
                [_, name] => by_name(name),
                _ => None,
            })
            .or_else(|| match *below(Path::new(NERDCTL))? {
                [_, "containers" | "etchosts", _, _, name] => by_name(name),
                _ => None,
            })
    }
}

/// ID/userdata/…
fn of_storage(parts: &[&str]) -> Option<EngineFile> {
    match parts {
        [_, "userdata", name] => USERDATA
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, file)| *file)
            .or((*name == "secrets").then_some(EngineFile::Secret)),
        [_, "userdata", "secrets", ..] => Some(EngineFile::Secret),
        // containers-mounts.conf(5)
        [_, "userdata", "run", "secrets", ..] => Some(EngineFile::DefaultSecrets),
        _ => None,
    }
}

/// IO.CONTAINERD.…/sandboxes/ID/NAME
fn of_containerd(parts: &[&str]) -> Option<EngineFile> {
    match parts {
        [plugin, "sandboxes", _, name] if plugin.starts_with("io.containerd.") => by_name(name),
        _ => None,
    }
}

/// What is below a pod's directory.
fn of_kubelet(parts: &[&str]) -> Option<EngineFile> {
    match parts {
        [_, "etc-hosts"] => Some(EngineFile::At("/etc/hosts")),
        [_, "containers", _, _] => Some(EngineFile::At("/dev/termination-log")),
        [_, "volumes", "kubernetes.io~projected" | "kubernetes.io~secret", _, ..] => Some(EngineFile::Secret),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engines_own_files_are_known_by_where_they_lie() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let bundle = dir.join("root/overlay-containers/abc/userdata");
        let run = dir.join("run/overlay-containers/abc/userdata");
        let foreign = dir.join("user/overlay-containers/def/userdata");
        for made in [&bundle, &run, &foreign] {
            std::fs::create_dir_all(made).unwrap();
        }
        let engine = EngineDirs::of(&bundle, Some(&run.join("pidfile")));
        for (path, made) in [
            ("run/overlay-containers/abc/userdata/hosts", Some(EngineFile::At("/etc/hosts"))),
            (
                "run/overlay-containers/other-of-a-pod/userdata/resolv.conf",
                Some(EngineFile::At("/etc/resolv.conf")),
            ),
            ("root/overlay-containers/abc/userdata/shm", Some(EngineFile::Shm)),
            ("root/overlay-containers/abc/userdata/secrets/key", Some(EngineFile::Secret)),
            ("root/overlay-containers/abc/userdata/secrets/hosts", Some(EngineFile::Secret)),
            ("root/overlay-containers/abc/userdata/run/secrets/rhsm/ca", Some(EngineFile::DefaultSecrets)),
            ("root/overlay-containers/abc/userdata/hosts/x", None),
            ("root/overlay-containers/abc/userdata/overlay/1/merge", None),
            ("root/overlay-containers/abc/userdata", None),
            ("root/overlay-containers/abc/hosts", None),
            ("root/volumes/x/_data/hosts", None),
            ("user/overlay-containers/abc/userdata/hosts", None),
            ("hosts", None),
        ] {
            assert_eq!(engine.made(&dir.join(path)), made, "{path}");
        }
        // A PID file that somebody has put elsewhere makes nothing there the engine's.
        let elsewhere = EngineDirs::of(&bundle, Some(&foreign.join("pidfile")));
        assert_eq!(elsewhere.made(&foreign.join("hosts")), None);
        let pod = Path::new("/var/lib/kubelet/pods/uid");
        for (path, made) in [
            ("etc-hosts", Some(EngineFile::At("/etc/hosts"))),
            ("containers/app/1a2b", Some(EngineFile::At("/dev/termination-log"))),
            ("volumes/kubernetes.io~projected/kube-api-access/token", Some(EngineFile::Secret)),
            ("volumes/kubernetes.io~secret/mine/hosts", Some(EngineFile::Secret)),
            ("volumes/kubernetes.io~empty-dir/mine/hosts", None),
            ("volume-subpaths/mine/hosts", None),
        ] {
            assert_eq!(engine.made(&pod.join(path)), made, "{path}");
        }
    }

    #[test]
    fn containerds_sandboxes_are_found_through_the_bundle() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let task = "io.containerd.runtime.v2.task/k8s.io/abc";
        let (bundle, work) = (dir.join("state").join(task), dir.join("root").join(task));
        std::fs::create_dir_all(&bundle).unwrap();
        std::fs::create_dir_all(&work).unwrap();
        std::os::unix::fs::symlink(&work, bundle.join("work")).unwrap();
        let engine = EngineDirs::of(&bundle, None);
        for (path, made) in [
            ("root/io.containerd.grpc.v1.cri/sandboxes/def/hosts", Some(EngineFile::At("/etc/hosts"))),
            ("state/io.containerd.grpc.v1.cri/sandboxes/def/shm", Some(EngineFile::Shm)),
            ("root/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs", None),
            ("root/io.containerd.grpc.v1.cri/containers/def/volumes/x", None),
            ("other/io.containerd.grpc.v1.cri/sandboxes/def/hosts", None),
        ] {
            assert_eq!(engine.made(&dir.join(path)), made, "{path}");
        }
    }

    #[test]
    fn a_source_on_a_file_system_of_the_kernels_is_known() {
        let of = |path: &str| kernel_fs(open_source(Path::new(path)).unwrap()).unwrap();
        assert_eq!(of("/proc/self/status"), Some(KernelFs::Proc));
        assert_eq!(of("/sys"), Some(KernelFs::Sysfs));
        assert_eq!(of("/etc"), None);
    }

    #[test]
    fn what_an_engine_has_made_is_its_own_at_its_place_only() {
        let hosts = EngineFile::At("/etc/hosts");
        assert!(hosts.belongs("/etc/hosts") && !hosts.belongs("/etc/passwd"));
        for (destination, belongs) in [
            ("/run/secrets", true),
            ("/run/secrets/key", true),
            ("/var/run/secrets/kubernetes.io/serviceaccount", true),
            ("/run/secretsx", false),
            ("/etc/hosts", false),
            ("/etc/passwd", false),
        ] {
            assert_eq!(EngineFile::Secret.belongs(destination), belongs, "{destination}");
        }
        assert!(EngineFile::Shm.belongs("/dev/shm") && !EngineFile::Shm.belongs("/etc/hosts"));
    }
}
