//! Mounts of an OCI configuration → mounts of a root (runtime specification, config.md, "Mounts").

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount as OciMount, Spec};

use super::{Base, Mount, Otherwise, Owners, Root, Source, What, devices};
use crate::launch::error::LaunchError;
use crate::node::text_path::clean;
use crate::spec::engine::mounts::PROC_FILES;
use crate::sys::mount_attr::{MountAttr, flag};

/// The root of a plain bundle.
///
/// # Errors
/// An option that is not supported, or a path that is none.
pub(crate) fn root(spec: &Spec, bundle: &Path) -> Result<Root, LaunchError> {
    let Some(root) = spec.root() else {
        return Err(LaunchError::refused("root", "the configuration has none"));
    };
    let mounts: Result<Vec<Mount>, LaunchError> =
        spec.mounts().iter().flatten().map(|one| mount(one, bundle)).collect();
    let mut mounts = mounts?;
    for mount in &mut mounts {
        if let Some(owners) = &mut mount.owners {
            owners.complete(spec, &mount.destination)?;
        }
    }
    if mounts.iter().any(|mount| mount.destination == "/") {
        return Err(LaunchError::refused("mount /", "would cover the root; name it as `root.path`"));
    }
    let dev_is_hosts = mounts.iter().any(is_host_dev);
    let mut devices = devices::of(spec)?;
    if !dev_is_hosts {
        devices::add_default(&mut devices);
    }
    let propagation = spec.linux().as_ref().and_then(|linux| linux.rootfs_propagation().as_deref());
    Ok(Root {
        base: Base::Directory(bundle.join(root.path())),
        mounts,
        devices,
        readonly: root.readonly().unwrap_or(false),
        propagation: propagation.map(rootfs_propagation).transpose()?.flatten(),
        ..Root::default()
    })
}

/// A `/dev` that is bound from the host has its devices.
fn is_host_dev(mount: &Mount) -> bool {
    mount.destination == "/dev" && matches!(mount.what, What::Bind { .. })
}

fn rootfs_propagation(word: &str) -> Result<Option<u64>, LaunchError> {
    match word.trim_start_matches('r') {
        "" | "private" => Ok(None),
        "shared" => Ok(Some(libc::MS_SHARED)),
        "slave" => Ok(Some(libc::MS_SLAVE)),
        "unbindable" => Ok(Some(libc::MS_UNBINDABLE)),
        _ => Err(LaunchError::refused("linux.rootfsPropagation", format!("`{word}` is not a propagation"))),
    }
}

/// One mount.
///
/// # Errors
/// An option that is not supported, or a path that is none.
pub(crate) fn mount(mount: &OciMount, bundle: &Path) -> Result<Mount, LaunchError> {
    let destination = inside_path(mount.destination())?;
    let owners = Owners::of(mount)?;
    let parsed = options(mount.options().as_deref().unwrap_or_default());
    let fstype = mount.typ().as_deref().unwrap_or("");
    let source = mount.source().clone().unwrap_or_default();
    let what = if parsed.bind || fstype == "bind" {
        if source.as_os_str().is_empty() {
            return Err(LaunchError::refused(format!("mount {destination}"), "a bind has no source"));
        }
        What::Bind { source: Source::Path(bundle.join(source)), all: parsed.all }
    } else if fstype == "cgroup" || fstype == "cgroup2" {
        What::Cgroups
    } else if fstype.is_empty() || fstype == "none" {
        return Err(LaunchError::refused(format!("mount {destination}"), "it has no type"));
    } else {
        What::New {
            fstype: fstype.to_owned(),
            source: text(source, &destination)?,
            options: parsed.data,
            copy_up: parsed.copy_up,
        }
    };
    if owners.is_some() && !matches!(what, What::Bind { .. }) {
        return Err(LaunchError::refused(
            format!("mount {destination}"),
            "only owners of binds can be mapped (`idmap`, `uidMappings`, `gidMappings`)",
        ));
    }
    in_proc(&destination, &what)?;
    let (attr, recursive) = (parsed.attr, parsed.recursive);
    let otherwise = Otherwise::Fail;
    Ok(Mount {
        destination,
        what,
        attr,
        recursive,
        otherwise,
        missing_points: Vec::new(),
        held: false,
        of_node: false,
        owners,
    })
}

/// What the kernel shows in `/proc` is masked and frozen by name, so nothing else may stand there
/// (CVE-2019-16884, CVE-2019-19921): a proc, or a bind of one, and in it only files that programs like
/// lxcfs stand in for.
fn in_proc(destination: &str, what: &What) -> Result<(), LaunchError> {
    let refused = |why: &str| Err(LaunchError::refused(format!("mount {destination}"), why));
    let bind = matches!(what, What::Bind { .. } | What::File(_));
    let proc = matches!(what, What::New { fstype, .. } if fstype == "proc");
    if destination == "/proc" && !bind && !proc {
        return refused("is not of type proc");
    }
    if destination.starts_with("/proc/") && !(bind && PROC_FILES.contains(&destination)) {
        return refused("lies in /proc, where the kernel makes the files");
    }
    Ok(())
}

fn text(path: PathBuf, destination: &str) -> Result<String, LaunchError> {
    path.into_os_string()
        .into_string()
        .map_err(|_path| LaunchError::refused(format!("mount {destination}"), "its source is not UTF-8"))
}

/// A path inside, from `/` and without `.` and `..`, which lead nowhere above it.
///
/// # Errors
/// It is not UTF-8.
pub(crate) fn inside_path(path: &Path) -> Result<String, LaunchError> {
    let Some(text) = path.to_str() else {
        return Err(LaunchError::refused(format!("path {}", path.display()), "it is not UTF-8"));
    };
    // The specification wants absolute destinations; older configurations have relative ones,
    // which mean the same (config.md, "Mounts").
    Ok(clean(text))
}

/// Options of a mount, read.
#[derive(Debug, Default)]
struct Options {
    bind: bool,
    all: bool,
    copy_up: bool,
    attr: MountAttr,
    recursive: MountAttr,
    data: Vec<String>,
}

fn options(words: &[String]) -> Options {
    let mut options = Options::default();
    for word in words {
        match word.as_str() {
            // Engines write an empty one where they have none. `norelatime` takes nothing but `relatime`
            // back, which is the kernel's own choice (mount(2), MS_RELATIME).
            "" | "idmap" | "ridmap" | "defaults" | "async" | "auto" | "noauto" | "remount" | "nomand"
            | "mand" | "silent" | "loud" | "newinstance" | "norelatime" | "rnorelatime" => {}
            "bind" => options.bind = true,
            "rbind" => (options.bind, options.all) = (true, true),
            "tmpcopyup" => options.copy_up = true,
            word => options.other(word),
        }
    }
    options
}

impl Options {
    fn other(&mut self, word: &str) {
        if let Some((propagation, recursive)) = propagation(word) {
            let attr = if recursive { &mut self.recursive } else { &mut self.attr };
            attr.propagation = propagation;
        } else if let Some(change) = change(word) {
            change.apply(&mut self.attr);
            // What a mount brings along is taken away only when that is said of all below it: a
            // bind stays as strict as what it is of.
            self.attr.clear &= flag::ATIME;
        } else if let Some(change) = word.strip_prefix('r').and_then(change) {
            change.apply(&mut self.recursive);
        } else {
            self.data.push(word.to_owned());
        }
    }
}

fn propagation(word: &str) -> Option<(u64, bool)> {
    let (word, recursive) = match word.strip_prefix('r') {
        Some(rest) => (rest, true),
        None => (word, false),
    };
    let kind = match word {
        "private" => libc::MS_PRIVATE,
        "shared" => libc::MS_SHARED,
        "slave" => libc::MS_SLAVE,
        "unbindable" => libc::MS_UNBINDABLE,
        _ => return None,
    };
    Some((kind, recursive))
}

/// What one word does to the flags.
enum Change {
    Set(u64),
    Clear(u64),
    /// Flags about access times take each other's place.
    Atime(u64),
}

impl Change {
    fn apply(self, attr: &mut MountAttr) {
        match self {
            Self::Set(flag) => {
                attr.set |= flag;
                attr.clear &= !flag;
            }
            Self::Clear(flag) => {
                attr.set &= !flag;
                attr.clear |= flag;
            }
            Self::Atime(flag) => {
                attr.set = attr.set & !flag::ATIME | flag;
                attr.clear |= flag::ATIME;
            }
        }
    }
}

fn change(word: &str) -> Option<Change> {
    Some(match word {
        "ro" => Change::Set(flag::RDONLY),
        "rw" => Change::Clear(flag::RDONLY),
        "nosuid" => Change::Set(flag::NOSUID),
        "suid" => Change::Clear(flag::NOSUID),
        "nodev" => Change::Set(flag::NODEV),
        "dev" => Change::Clear(flag::NODEV),
        "noexec" => Change::Set(flag::NOEXEC),
        "exec" => Change::Clear(flag::NOEXEC),
        "nodiratime" => Change::Set(flag::NODIRATIME),
        "diratime" => Change::Clear(flag::NODIRATIME),
        "nosymfollow" => Change::Set(flag::NOSYMFOLLOW),
        "symfollow" => Change::Clear(flag::NOSYMFOLLOW),
        "noatime" => Change::Atime(flag::NOATIME),
        "strictatime" => Change::Atime(flag::STRICTATIME),
        "relatime" | "atime" | "nostrictatime" => Change::Atime(0),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Options {
        options(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn tells_flags_from_data() {
        let options = read(&["nosuid", "mode=755", "size=64k", "ro", "rw", "strictatime"]);
        assert_eq!(options.attr.set, flag::NOSUID | flag::STRICTATIME);
        assert_eq!(options.attr.clear, flag::ATIME);
        assert_eq!(options.data, ["mode=755", "size=64k"]);
    }

    #[test]
    fn tells_a_mount_from_all_below_it() {
        let options = read(&["rbind", "ro", "rro", "rnosuid", "rprivate"]);
        assert!(options.bind && options.all);
        assert_eq!(options.attr.set, flag::RDONLY);
        assert_eq!(options.recursive.set, flag::RDONLY | flag::NOSUID);
        assert_eq!(options.recursive.propagation, libc::MS_PRIVATE);
        assert_eq!(read(&["private"]).attr.propagation, libc::MS_PRIVATE);
    }

    #[test]
    fn owners_of_binds_are_mapped_as_a_whole() {
        let read = |value: serde_json::Value| {
            mount(&serde_json::from_value(value).unwrap(), Path::new("/bundle")).map(|mount| mount.owners)
        };
        let map = serde_json::json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
        for field in ["uidMappings", "gidMappings"] {
            let said = serde_json::json!({"destination": "/v", "type": "bind", "source": "/x", field: map});
            let said = read(said).unwrap_err();
            assert!(said.to_string().contains("both needed"), "{said}");
        }
        let tmpfs =
            serde_json::json!({"destination": "/v", "type": "tmpfs", "source": "x", "options": ["idmap"]});
        assert!(read(tmpfs).unwrap_err().to_string().contains("only owners of binds"));
        let bind = |options: &[&str]| serde_json::json!({"destination": "/v", "type": "bind", "source": "/x", "options": options});
        assert_eq!(read(bind(&["rbind"])).unwrap(), None);
        let owners = read(bind(&["rbind", "idmap"])).unwrap();
        let said = owners.unwrap().complete(&Spec::default(), "/v").unwrap_err();
        assert!(said.to_string().contains("needs mappings"), "{said}");
    }

    #[test]
    fn nothing_takes_the_place_of_proc() {
        let read = |value: serde_json::Value| {
            mount(&serde_json::from_value(value).unwrap(), Path::new("/bundle"))
                .map_err(|error| error.to_string())
        };
        for (refused, words) in [
            (
                serde_json::json!({"destination": "/proc", "type": "tmpfs", "source": "tmpfs"}),
                "not of type proc",
            ),
            (
                serde_json::json!({"destination": "/proc/", "type": "overlay", "source": "x"}),
                "not of type proc",
            ),
            (
                serde_json::json!({"destination": "/proc/sys", "type": "tmpfs", "source": "tmpfs"}),
                "lies in /proc",
            ),
            (
                serde_json::json!({"destination": "/proc//./kcore", "type": "bind", "source": "/x"}),
                "lies in /proc",
            ),
            (
                serde_json::json!({"destination": "/proc/meminfo", "type": "tmpfs", "source": "x"}),
                "lies in /proc",
            ),
        ] {
            assert!(read(refused.clone()).unwrap_err().contains(words), "{refused}");
        }
        for allowed in [
            serde_json::json!({"destination": "/proc", "type": "proc", "source": "proc"}),
            serde_json::json!({"destination": "/proc/meminfo", "type": "bind", "source": "/x"}),
            serde_json::json!({"destination": "/process", "type": "tmpfs", "source": "tmpfs"}),
        ] {
            assert!(read(allowed.clone()).is_ok(), "{allowed}");
        }
    }

    #[test]
    fn paths_inside_stay_inside() {
        assert_eq!(inside_path(Path::new("/a//b/./c/")).unwrap(), "/a/b/c");
        assert_eq!(inside_path(Path::new("a")).unwrap(), "/a");
        assert_eq!(inside_path(Path::new("/a/../b")).unwrap(), "/b");
        assert_eq!(inside_path(Path::new("/../../b/..")).unwrap(), "/");
    }
}
