//! What an engine's configuration names by path, as it was found on the host.
//!
//! A path says nothing: two of them lead to one namespace, a directory of a user's is mounted at
//! `/etc/hosts`. So every path is opened once before anything is decided, what it is goes in here, and
//! the launch compares device and inode again with what it uses.

use std::path::PathBuf;

use oci_spec::runtime::{LinuxNamespaceType, Mount};

use crate::node::guard::Opened;

/// A namespace that a configuration names by path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedNamespace {
    /// Type in the configuration, which is that of the namespace.
    pub typ: LinuxNamespaceType,
    /// Path in the configuration.
    pub path: PathBuf,
    /// Device and inode.
    pub id: (u64, u64),
    /// Whether it is the namespace of the runtime itself, or of PID 1.
    pub hosts: bool,
    /// The user namespace that owns it.
    pub owner: Owner,
}

/// The user namespace that owns a namespace (ioctl_nsfs(2), NS_GET_USERNS).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Owner {
    /// The runtime's own.
    Runtime,
    /// Another one: device and inode.
    Other((u64, u64)),
    /// One that the runtime may not look at: it lies outside of its own.
    Hidden,
}

/// File systems that show the kernel instead of holding files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KernelFs {
    /// proc(5)
    Proc,
    /// sysfs(5)
    Sysfs,
    /// cgroups(7), of both versions
    Cgroup,
    /// mq_overview(7)
    Mqueue,
    /// pts(4)
    DevPts,
    /// The host's shared memory (shm_overview(7)): a tmpfs, and a part of its IPC
    Shm,
}

/// What an engine makes for a container. Much of it holds what a user has written (secrets, kubelet's
/// volumes), so that each is the engine's at its own place only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EngineFile {
    /// The file of this destination.
    At(&'static str),
    /// A secret, or a directory of them.
    Secret,
    /// Secrets that an engine mounts by default, without being asked.
    DefaultSecrets,
    /// Memory that containers share.
    Shm,
}

/// Directories that hold secrets.
const SECRETS: [&str; 2] = ["/run/secrets", "/var/run/secrets"];

impl EngineFile {
    /// Whether this is what engines mount at a destination.
    #[must_use]
    pub fn belongs(self, destination: &str) -> bool {
        match self {
            Self::At(place) => destination == place,
            Self::Secret | Self::DefaultSecrets => SECRETS.iter().any(|dir| {
                destination.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }),
            Self::Shm => destination == "/dev/shm",
        }
    }

    /// Whether an engine mounts it without being asked, for whoever has a use for it.
    #[must_use]
    pub fn is_optional(self) -> bool {
        matches!(self, Self::At("/run/.containerenv") | Self::DefaultSecrets)
    }
}

/// The source of a bind mount.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BindSource {
    /// What was opened.
    pub opened: Opened,
    /// The kernel's file system that it is on.
    pub kernel: Option<KernelFs>,
    /// What it is, when it lies where the engine keeps what it makes for its containers.
    pub made: Option<EngineFile>,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct EngineFacts {
    /// Namespaces.
    pub namespaces: Vec<NamedNamespace>,
    /// Sources of mounts, by position in the configuration; `None` for what is no bind, or missing.
    pub sources: Vec<Option<BindSource>>,
}

impl EngineFacts {
    /// The source of a mount.
    #[must_use]
    pub fn source(&self, mount: usize) -> Option<&BindSource> {
        self.sources.get(mount).and_then(Option::as_ref)
    }
}

/// Whether a mount is a bind, whatever its type says: an option is enough (mount(8)).
#[must_use]
pub fn is_bind(mount: &Mount) -> bool {
    let options = mount.options().as_deref().unwrap_or_default();
    mount.typ().as_deref() == Some("bind")
        || options.iter().any(|option| option == "bind" || option == "rbind")
}

/// Whether a mount is read-only: with the last word, as mount(8) reads them.
#[must_use]
pub fn is_read_only(mount: &Mount) -> bool {
    let options = mount.options().iter().flatten();
    options.fold(false, |read_only, option| match option.as_str() {
        "ro" | "rro" => true,
        "rw" | "rrw" => false,
        _ => read_only,
    })
}

/// Whether a bind is read-only with all that is mounted below it, and nothing in its options takes that
/// back.
#[must_use]
pub fn is_frozen(mount: &Mount) -> bool {
    let says = |word: &str| mount.options().iter().flatten().any(|option| option == word);
    says("rro") && !says("rw") && !says("rrw")
}

/// Makes a bind read-only with all that is mounted below it. `ro` alone is about the topmost mount
/// (mount_setattr(2), AT_RECURSIVE).
pub fn freeze(mount: &mut Mount) {
    let mut options = mount.options().clone().unwrap_or_default();
    options.push("rro".to_owned());
    mount.set_options(Some(options));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_says_whether_a_mount_is_read_only() {
        let mount = |options: &[&str]| {
            let mount = serde_json::json!({"destination": "/x", "type": "none", "options": options});
            serde_json::from_value::<Mount>(mount).unwrap()
        };
        for options in [&["bind", "ro"][..], &["rbind", "rw", "rro"], &["ro", "nosuid"]] {
            assert!(is_read_only(&mount(options)), "{options:?}");
        }
        for options in [&["bind"][..], &["ro", "rw"], &["rro", "rrw"], &["ro", "rrw"], &["rro", "rw"]] {
            assert!(!is_read_only(&mount(options)), "{options:?}");
        }
        assert!(is_bind(&mount(&["rbind"])) && is_bind(&mount(&["bind"])) && !is_bind(&mount(&["ro"])));
        for options in [&["rbind", "ro"][..], &["rro", "rw"], &["rrw", "rro"], &[]] {
            assert!(!is_frozen(&mount(options)), "{options:?}");
        }
        assert!(is_frozen(&mount(&["rbind", "ro", "rro"])) && is_frozen(&mount(&["rro", "bind"])));
        let mut frozen = mount(&["rbind", "rw", "rrw"]);
        freeze(&mut frozen);
        assert_eq!(frozen.options().as_ref().unwrap().last().unwrap(), "rro");
    }
}
