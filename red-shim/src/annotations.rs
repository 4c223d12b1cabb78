//! What the shim itself reads of a bundle's configuration.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, read_bounded};

/// A configuration is not longer than that, in bytes.
const LONGEST: u64 = 16 << 20;

/// Keys that name the group of a container, the first that is there counts: containerd's own, and the sandbox of
/// a pod (containerd, cmd/containerd-shim-runc-v2/manager).
const GROUPS: [&str; 2] = ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"];

/// A bundle's `config.json`, as far as the shim needs it (OCI runtime specification, config.md).
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Config {
    /// Free text for engines.
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    linux: Option<Linux>,
}

#[derive(Debug, Default, Deserialize)]
struct Linux {
    #[serde(default, rename = "cgroupsPath")]
    cgroups_path: Option<String>,
    #[serde(default)]
    namespaces: Option<Vec<Namespace>>,
}

#[derive(Debug, Deserialize)]
struct Namespace {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    path: Option<String>,
}

impl Config {
    /// Reads it.
    ///
    /// # Errors
    /// It cannot be read, or is no configuration.
    pub(crate) fn of(bundle: &Path) -> Result<Self, Error> {
        let path = bundle.join("config.json");
        let bytes = read_bounded(&path, LONGEST)?;
        serde_json::from_slice(&bytes)
            .map_err(|source| Error::Json { what: path.display().to_string(), source })
    }

    /// The group whose containers share a shim.
    #[must_use]
    pub(crate) fn group(&self) -> Option<&str> {
        let annotations = self.annotations.as_ref()?;
        GROUPS.iter().find_map(|key| annotations.get(*key)).map(String::as_str)
    }

    /// Whether its cgroup is a unit of systemd's, `slice:prefix:name`: CRI writes that form when containerd was
    /// told to use systemd, and containerd 1.6 does not pass on the option itself.
    #[must_use]
    pub(crate) fn is_systemd(&self) -> bool {
        let path = self.linux.as_ref().and_then(|linux| linux.cgroups_path.as_deref());
        path.is_some_and(|path| {
            let parts: Vec<&str> = path.split(':').collect();
            parts.len() == 3 && parts[0].ends_with(".slice")
        })
    }

    /// Whether what its first process leaves running is ended by the kernel.
    #[must_use]
    pub(crate) fn has_pid_namespace(&self) -> bool {
        let namespaces = self.linux.as_ref().and_then(|linux| linux.namespaces.as_ref());
        namespaces
            .into_iter()
            .flatten()
            .any(|one| one.kind == "pid" && one.path.as_deref().is_none_or(str::is_empty))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Config {
        serde_json::from_str(text).expect("it is JSON")
    }

    #[test]
    fn groups() {
        let both =
            r#"{"annotations":{"io.kubernetes.cri.sandbox-id":"s","io.containerd.runc.v2.group":"g"}}"#;
        assert_eq!(read(both).group(), Some("g"));
        assert_eq!(read(r#"{"annotations":{"io.kubernetes.cri.sandbox-id":"s"}}"#).group(), Some("s"));
        assert_eq!(read(r#"{"annotations":null}"#).group(), None);
    }

    #[test]
    fn cgroups_of_systemd() {
        let of = |path| read(&format!(r#"{{"linux":{{"cgroupsPath":"{path}"}}}}"#)).is_systemd();
        assert!(of("kubepods.slice:cri-containerd:a"));
        assert!(!of("/kubepods/a") && !of("/a:b:c"));
    }

    #[test]
    fn pid_namespaces() {
        let of = |text: &str| read(&format!(r#"{{"linux":{{"namespaces":[{text}]}}}}"#)).has_pid_namespace();
        assert!(of(r#"{"type":"pid"}"#) && of(r#"{"type":"pid","path":""}"#));
        assert!(!of(r#"{"type":"pid","path":"/proc/1/ns/pid"}"#) && !of(r#"{"type":"net"}"#));
    }
}
