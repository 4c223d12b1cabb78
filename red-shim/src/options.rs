//! Runtime options of containerd's configuration, in both encodings that containerd uses.
//!
//! `ctr` sends runc's `Options` message. CRI sends the options table of other runtimes as TOML (containerd 1.7 and
//! newer), or an empty message (1.6). Unknown options are refused rather than silently ignored.

use std::path::{Path, PathBuf};

use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::shim::oci::Options as RuncOptions;
use serde::{Deserialize, Serialize};

use crate::error::{Error, decode};
use crate::files::read_bounded;

mod proto {
    #![allow(
        missing_docs,
        clippy::all,
        clippy::allow_attributes_without_reason,
        clippy::unwrap_used,
        unreachable_pub,
        reason = "generated code"
    )]
    include!(concat!(env!("OUT_DIR"), "/proto/mod.rs"));
}

use proto::runtimeoptions::Options as TableOptions;

/// Name of the options in errors.
const CONTEXT: &str = "runtime options";

/// Maximum size of an options file in bytes.
const MAX_OPTIONS_BYTES: u64 = 1 << 20;

/// Runtime options.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct Options {
    /// Runtime binary.
    pub(crate) binary_name: String,
    /// Parent of the runtime's state directories.
    pub(crate) root: String,
    /// Use the systemd cgroup manager.
    pub(crate) systemd_cgroup: bool,
    /// Do not use pivot_root(2).
    pub(crate) no_pivot_root: bool,
    /// Keep the shim's session keyring.
    pub(crate) no_new_keyring: bool,
    /// Cgroup of the shim; unsupported.
    shim_cgroup: String,
    /// Owner UID of stdio; unsupported, the runtime makes the container's user the owner.
    io_uid: u32,
    /// Owner GID of stdio; unsupported.
    io_gid: u32,
    criu_path: String,
    criu_image_path: String,
    criu_work_path: String,
    task_api_address: String,
    task_api_version: u32,
}

impl Options {
    /// Decodes the options of a request.
    ///
    /// # Errors
    /// Unknown message type, malformed message or TOML, unknown or unsupported option.
    pub(crate) fn from_any(any: Option<&Any>) -> Result<Self, Error> {
        let Some(any) = any.filter(|any| !any.type_url.is_empty()) else { return Ok(Self::default()) };
        // A type URL may have a host prefix (google/protobuf/any.proto).
        let message_type = any.type_url.rsplit('/').next().unwrap_or_default();
        let options = match message_type {
            "containerd.runc.v1.Options" => {
                let runc: RuncOptions = decode(&any.value, CONTEXT)?;
                // Field 8 is the former criu_path, which has no effect.
                refuse_unknown_fields(&runc, &[8])?;
                Self::from(runc)
            }
            "runtimeoptions.v1.Options" => {
                let table: TableOptions = decode(&any.value, CONTEXT)?;
                refuse_unknown_fields(&table, &[])?;
                Self::from_table(&table)?
            }
            other => return Err(Error::Invalid(format!("unknown type of runtime options: {other}"))),
        };
        options.validate()
    }

    fn from_table(table: &TableOptions) -> Result<Self, Error> {
        let body = match (table.config_body.is_empty(), table.config_path.is_empty()) {
            (false, _) => table.config_body.clone(),
            (true, false) => read_bounded(Path::new(&table.config_path), MAX_OPTIONS_BYTES)?,
            (true, true) => return Ok(Self::default()),
        };
        toml::from_slice(&body).map_err(|error| Error::Invalid(format!("{CONTEXT}: {error}")))
    }

    fn validate(self) -> Result<Self, Error> {
        if !self.shim_cgroup.is_empty() {
            return Err(Error::Unsupported("option: ShimCgroup"));
        }
        if self.io_uid != 0 || self.io_gid != 0 {
            return Err(Error::Unsupported("option: IoUid, IoGid (the container's user owns its stdio)"));
        }
        if !self.task_api_address.is_empty() || self.task_api_version != 0 {
            return Err(Error::Unsupported("option: TaskApiAddress, TaskApiVersion"));
        }
        // CRIU paths have no effect, because checkpoints are refused.
        Ok(self)
    }

    /// Runtime state directory of a containerd namespace.
    #[must_use]
    pub(crate) fn state_dir(&self, namespace: &str) -> PathBuf {
        let root = if self.root.is_empty() { "/run/containerd/red" } else { &self.root };
        Path::new(root).join(namespace)
    }
}

/// Refuses fields of a newer message definition.
fn refuse_unknown_fields(message: &impl Message, ignored: &[u32]) -> Result<(), Error> {
    let mut unknown = message.special_fields().unknown_fields().iter().map(|(number, _)| number);
    match unknown.find(|number| !ignored.contains(number)) {
        Some(number) => Err(Error::Invalid(format!("runtime options: unknown field {number}"))),
        None => Ok(()),
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
        any("runtimeoptions.v1.Options", options.write_to_bytes().expect("complete message"))
    }

    fn any(message_type: &str, value: Vec<u8>) -> Any {
        Any { type_url: message_type.into(), value, ..Any::default() }
    }

    #[test]
    fn runc_message_and_toml_table_are_equivalent() {
        let runc = RuncOptions { binary_name: "/red".into(), systemd_cgroup: true, ..RuncOptions::default() };
        let message = any("containerd.runc.v1.Options", runc.write_to_bytes().expect("complete message"));
        let from_ctr = Options::from_any(Some(&message)).expect("known options");
        let from_cri = Options::from_any(Some(&table("BinaryName = \"/red\"\nSystemdCgroup = true\n")))
            .expect("known options");
        assert_eq!(from_ctr, from_cri);
        assert_eq!(from_cri.binary_name, "/red");
        assert_eq!(
            Options::from_any(Some(&table(""))).expect("the empty message of 1.6"),
            Options::default()
        );
        let criu_path = any("containerd.runc.v1.Options", vec![0x42, 1, b'/']);
        assert_eq!(Options::from_any(Some(&criu_path)).expect("without effect"), Options::default());
        assert_eq!(Options::from_any(None).expect("no message"), Options::default());
    }

    #[test]
    fn unknown_and_unsupported_options_are_refused() {
        for message in [
            table("Frobnicate = 1\n"),
            table("BinaryName = 1\n"),
            table("ShimCgroup = \"/x\"\n"),
            table("[[["),
            any("containerd.runc.v1.Options", vec![0xff; 3]),
            // Field 99, a varint.
            any("containerd.runc.v1.Options", vec![0x98, 0x06, 1]),
            any("runtimeoptions.v1.Options", vec![0x98, 0x06, 1]),
            any("google.protobuf.Empty", Vec::new()),
        ] {
            assert!(Options::from_any(Some(&message)).is_err(), "{message}");
        }
    }

    #[test]
    fn state_dir_depends_on_namespace() {
        assert_eq!(Options::default().state_dir("k8s.io"), Path::new("/run/containerd/red/k8s.io"));
    }
}
