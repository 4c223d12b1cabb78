//! The parts of a bundle's `config.json` that the shim reads.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, decode_json};
use crate::files::read_bounded;

/// Maximum size of `config.json` in bytes.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// Annotations with a container's group, in order of precedence: containerd's own, then the pod sandbox ID
/// (containerd, cmd/containerd-shim-runc-v2/manager).
const GROUP_ANNOTATIONS: [&str; 2] = ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"];

/// A bundle's `config.json` (OCI runtime specification, config.md).
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Config {
    /// Annotations of the container.
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
    /// Reads `config.json` of a bundle.
    ///
    /// # Errors
    /// The file cannot be read, or is not a valid configuration.
    pub(crate) fn load(bundle: &Path) -> Result<Self, Error> {
        let path = bundle.join("config.json");
        let bytes = read_bounded(&path, MAX_CONFIG_BYTES)?;
        decode_json(&bytes, path.display())
    }

    /// Group of the container; containers of a group share a shim.
    #[must_use]
    pub(crate) fn group(&self) -> Option<&str> {
        let annotations = self.annotations.as_ref()?;
        GROUP_ANNOTATIONS.iter().find_map(|key| annotations.get(*key)).map(String::as_str)
    }

    /// Whether `cgroupsPath` has systemd's form `slice:prefix:name`. CRI writes it with `SystemdCgroup`, an option
    /// that containerd 1.6 does not pass to the shim.
    #[must_use]
    pub(crate) fn is_systemd_cgroup(&self) -> bool {
        let path = self.linux.as_ref().and_then(|linux| linux.cgroups_path.as_deref());
        path.is_some_and(|path| {
            let parts: Vec<&str> = path.split(':').collect();
            parts.len() == 3 && parts[0].ends_with(".slice")
        })
    }

    /// Whether the container has its own PID namespace, where the kernel kills all processes after init exits.
    #[must_use]
    pub(crate) fn has_own_pid_namespace(&self) -> bool {
        let namespaces = self.linux.as_ref().and_then(|linux| linux.namespaces.as_ref());
        namespaces
            .into_iter()
            .flatten()
            .any(|namespace| namespace.kind == "pid" && namespace.path.as_deref().is_none_or(str::is_empty))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Config {
        serde_json::from_str(text).expect("valid JSON")
    }

    #[test]
    fn group_annotations_in_order_of_precedence() {
        let both =
            r#"{"annotations":{"io.kubernetes.cri.sandbox-id":"s","io.containerd.runc.v2.group":"g"}}"#;
        assert_eq!(parse(both).group(), Some("g"));
        assert_eq!(parse(r#"{"annotations":{"io.kubernetes.cri.sandbox-id":"s"}}"#).group(), Some("s"));
        assert_eq!(parse(r#"{"annotations":null}"#).group(), None);
    }

    #[test]
    fn systemd_cgroups_path_is_detected() {
        let of = |path| parse(&format!(r#"{{"linux":{{"cgroupsPath":"{path}"}}}}"#)).is_systemd_cgroup();
        assert!(of("kubepods.slice:cri-containerd:a"));
        assert!(!of("/kubepods/a") && !of("/a:b:c"));
    }

    #[test]
    fn own_pid_namespace_is_detected() {
        let of =
            |text: &str| parse(&format!(r#"{{"linux":{{"namespaces":[{text}]}}}}"#)).has_own_pid_namespace();
        assert!(of(r#"{"type":"pid"}"#) && of(r#"{"type":"pid","path":""}"#));
        assert!(!of(r#"{"type":"pid","path":"/proc/1/ns/pid"}"#) && !of(r#"{"type":"net"}"#));
    }
}
