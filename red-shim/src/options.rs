//! Options of a runtime's table in containerd's configuration, in the two forms in which they arrive.
//!
//! `ctr` sends the message of the runc shim. CRI sends runtimes that are not its own the table as it stands, in
//! TOML (containerd 1.7 and newer), or an empty message (1.6). What is not known is refused: an option that is
//! ignored in silence is one that somebody relies on.

use std::path::{Path, PathBuf};

use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::shim::oci::Options as RuncOptions;
use serde::{Deserialize, Serialize};

use crate::error::{Error, read_bounded};

mod proto {
    #![allow(
        missing_docs,
        clippy::all,
        clippy::allow_attributes_without_reason,
        clippy::unwrap_used,
        unreachable_pub,
        reason = "it is generated"
    )]
    include!(concat!(env!("OUT_DIR"), "/proto/mod.rs"));
}

use proto::runtimeoptions::Options as TableOptions;

/// The longest file of options, in bytes.
const LONGEST: u64 = 1 << 20;

/// What may be chosen.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct Options {
    /// The runtime's program.
    pub(crate) binary_name: String,
    /// Directory of the runtime's states.
    pub(crate) root: String,
    /// systemd makes cgroups.
    pub(crate) systemd_cgroup: bool,
    /// Roots are changed without pivot_root.
    pub(crate) no_pivot_root: bool,
    /// Containers keep the session keyring of the shim.
    pub(crate) no_new_keyring: bool,
    /// A cgroup for the shim itself.
    shim_cgroup: String,
    /// Owner of the streams of containers; the runtime gives them to the container's user anyway.
    io_uid: u32,
    /// Their group.
    io_gid: u32,
    criu_path: String,
    criu_image_path: String,
    criu_work_path: String,
    task_api_address: String,
    task_api_version: u32,
}

impl Options {
    /// Reads what containerd sent.
    ///
    /// # Errors
    /// It is of another kind, is no message, or asks for what is not there.
    pub(crate) fn of(any: Option<&Any>) -> Result<Self, Error> {
        let Some(any) = any.filter(|any| !any.type_url.is_empty()) else { return Ok(Self::default()) };
        // With or without a host in front (google/protobuf/any.proto).
        let kind = any.type_url.rsplit('/').next().unwrap_or_default();
        let what = "options of the runtime";
        let wrong = |source| Error::Message { what, source };
        let options = match kind {
            "containerd.runc.v1.Options" => {
                Self::from(RuncOptions::parse_from_bytes(&any.value).map_err(wrong)?)
            }
            "runtimeoptions.v1.Options" => {
                Self::table(&TableOptions::parse_from_bytes(&any.value).map_err(wrong)?)?
            }
            other => return Err(Error::Invalid(format!("options of kind `{other}` are not known"))),
        };
        options.check()
    }

    fn table(table: &TableOptions) -> Result<Self, Error> {
        let body = match (table.config_body.is_empty(), table.config_path.is_empty()) {
            (false, _) => table.config_body.clone(),
            (true, false) => read_bounded(Path::new(&table.config_path), LONGEST)?,
            (true, true) => return Ok(Self::default()),
        };
        let text = String::from_utf8(body)
            .map_err(|error| Error::Invalid(format!("options of the runtime are not text: {error}")))?;
        toml::from_str(&text).map_err(|error| Error::Invalid(format!("options of the runtime: {error}")))
    }

    fn check(self) -> Result<Self, Error> {
        if !self.shim_cgroup.is_empty() {
            return Err(Error::Unsupported("the option ShimCgroup"));
        }
        if self.io_uid != 0 || self.io_gid != 0 {
            return Err(Error::Unsupported(
                "the option IoUid or IoGid: the container's user owns its streams; it",
            ));
        }
        if !self.task_api_address.is_empty() || self.task_api_version != 0 {
            return Err(Error::Unsupported("the option TaskApiAddress or TaskApiVersion"));
        }
        // Paths of criu change nothing as long as nothing is checkpointed, which is refused where it is asked for.
        Ok(self)
    }

    /// Directory of the runtime's states for a namespace of containerd.
    #[must_use]
    pub(crate) fn states(&self, namespace: &str) -> PathBuf {
        let root = if self.root.is_empty() { "/run/containerd/red" } else { &self.root };
        Path::new(root).join(namespace)
    }
}

impl From<RuncOptions> for Options {
    fn from(runc: RuncOptions) -> Self {
        Self {
            binary_name: runc.binary_name,
            root: runc.root,
            systemd_cgroup: runc.systemd_cgroup,
            no_pivot_root: runc.no_pivot_root,
            no_new_keyring: runc.no_new_keyring,
            shim_cgroup: runc.shim_cgroup,
            io_uid: runc.io_uid,
            io_gid: runc.io_gid,
            criu_path: String::new(),
            criu_image_path: runc.criu_image_path,
            criu_work_path: runc.criu_work_path,
            task_api_address: runc.task_api_address,
            task_api_version: runc.task_api_version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(body: &str) -> Any {
        let options = TableOptions { config_body: body.as_bytes().to_vec(), ..TableOptions::default() };
        any("runtimeoptions.v1.Options", options.write_to_bytes().expect("it is whole"))
    }

    fn any(kind: &str, value: Vec<u8>) -> Any {
        Any { type_url: kind.into(), value, ..Any::default() }
    }

    #[test]
    fn both_forms() {
        let runc = RuncOptions { binary_name: "/red".into(), systemd_cgroup: true, ..RuncOptions::default() };
        let sent = any("containerd.runc.v1.Options", runc.write_to_bytes().expect("it is whole"));
        let from_ctr = Options::of(Some(&sent)).expect("it is known");
        let from_cri =
            Options::of(Some(&table("BinaryName = \"/red\"\nSystemdCgroup = true\n"))).expect("it is known");
        assert_eq!(from_ctr, from_cri);
        assert_eq!(from_cri.binary_name, "/red");
        assert_eq!(Options::of(Some(&table(""))).expect("1.6 sends nothing"), Options::default());
        assert_eq!(Options::of(None).expect("nothing at all"), Options::default());
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for sent in [
            table("Frobnicate = 1\n"),
            table("BinaryName = 1\n"),
            table("ShimCgroup = \"/x\"\n"),
            table("[[["),
            any("containerd.runc.v1.Options", vec![0xff; 3]),
            any("google.protobuf.Empty", Vec::new()),
        ] {
            assert!(Options::of(Some(&sent)).is_err(), "{sent}");
        }
    }

    #[test]
    fn states_are_apart_by_namespace() {
        assert_eq!(Options::default().states("k8s.io"), Path::new("/run/containerd/red/k8s.io"));
    }
}
