//! The manifests of `docs/kubernetes`: read strictly, and turned into what a kubelet asks CRI for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use k8s_cri::v1::security_profile::ProfileType;
use k8s_cri::v1::{Capability, ContainerConfig, ImageSpec, Mount, SecurityProfile};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::configuration::docs;
use crate::pod::Pod;

/// Fields that the manifests have; another one is a mistake of theirs, or missing here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) namespace: Option<String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// What every manifest is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Manifest<S> {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) metadata: Metadata,
    pub(crate) spec: S,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Namespace {
    api_version: String,
    metadata: Metadata,
    #[serde(rename = "kind")]
    _kind: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RuntimeClass {
    api_version: String,
    metadata: Metadata,
    #[serde(rename = "kind")]
    _kind: String,
    pub(crate) handler: String,
    scheduling: Scheduling,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Scheduling {
    node_selector: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DaemonSet {
    selector: Selector,
    pub(crate) template: Template,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Selector {
    match_labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Template {
    metadata: Labels,
    pub(crate) spec: PodSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Labels {
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PodSpec {
    pub(crate) runtime_class_name: Option<String>,
    #[serde(rename = "automountServiceAccountToken")]
    _token: Option<bool>,
    #[serde(default)]
    node_selector: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) init_containers: Vec<Container>,
    pub(crate) containers: Vec<Container>,
    #[serde(default)]
    volumes: Vec<Volume>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Container {
    pub(crate) name: String,
    image: String,
    #[serde(default)]
    command: Vec<String>,
    security_context: SecurityContext,
    #[serde(default)]
    volume_mounts: Vec<VolumeMount>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SecurityContext {
    allow_privilege_escalation: bool,
    read_only_root_filesystem: bool,
    capabilities: Capabilities,
    seccomp_profile: Seccomp,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Capabilities {
    drop: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seccomp {
    r#type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VolumeMount {
    name: String,
    mount_path: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Volume {
    name: String,
    host_path: HostPath,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HostPath {
    path: PathBuf,
    r#type: String,
}

impl RuntimeClass {
    /// What pods name.
    pub(crate) fn name(&self) -> &String {
        &self.metadata.name
    }
}

impl PodSpec {
    /// Images of the containers.
    pub(crate) fn images(&self) -> impl Iterator<Item = &String> {
        self.init_containers.iter().chain(&self.containers).map(|container| &container.image)
    }
}

impl Container {
    /// What a kubelet asks for. `host` says where a directory of the host is.
    pub(crate) fn config(
        &self,
        spec: &PodSpec,
        pod: &Pod,
        host: impl Fn(&Path) -> PathBuf,
    ) -> ContainerConfig {
        let mut config = pod.container(&self.name, &self.image, "");
        config.command.clone_from(&self.command);
        config.image = Some(ImageSpec { image: self.image.clone(), ..ImageSpec::default() });
        config.mounts = self
            .volume_mounts
            .iter()
            .map(|mount| {
                let volume = spec.volumes.iter().find(|volume| volume.name == mount.name).expect("declared");
                let host_path = host(&volume.host_path.path).display().to_string();
                Mount { host_path, container_path: mount.mount_path.clone(), ..Mount::default() }
            })
            .collect();
        let context = config
            .linux
            .as_mut()
            .and_then(|linux| linux.security_context.as_mut())
            .expect("sent by a kubelet");
        let asked = &self.security_context;
        context.no_new_privs = !asked.allow_privilege_escalation;
        context.readonly_rootfs = asked.read_only_root_filesystem;
        let drop_capabilities = asked.capabilities.drop.clone();
        context.capabilities = Some(Capability { drop_capabilities, ..Capability::default() });
        assert_eq!(asked.seccomp_profile.r#type, "RuntimeDefault");
        let profile_type = ProfileType::RuntimeDefault.into();
        context.seccomp = Some(SecurityProfile { profile_type, localhost_ref: String::new() });
        config
    }
}

/// Documents of a file, each as it is.
fn documents(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let parse = |text: &str| {
        serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    };
    text.split("\n---\n").map(parse).collect()
}

/// The document of a kind in a file, strictly.
pub(crate) fn read<T: DeserializeOwned>(file: &Path, kind: &str) -> T {
    let document = documents(file).into_iter().find(|document| document["kind"] == kind);
    let document = document.unwrap_or_else(|| panic!("{}: no {kind}", file.display()));
    serde_json::from_value(document).unwrap_or_else(|error| panic!("{}: {kind}: {error}", file.display()))
}

/// A DNS label (RFC 1123), which names of objects, containers and volumes are.
fn is_label(name: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= 63
        && !name.is_empty()
        && name.bytes().all(inside)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// A key of a label or annotation: at most 63 characters behind the slash.
fn is_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').unwrap_or(("", key));
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    prefix.split('.').all(|part| prefix.is_empty() || is_label(part))
        && name.len() <= 63
        && name.bytes().all(inside)
}

fn assert_metadata(metadata: &Metadata) {
    assert!(is_label(&metadata.name), "{metadata:?}");
    assert!(metadata.namespace.as_deref().is_none_or(is_label), "{metadata:?}");
    assert!(metadata.labels.keys().chain(metadata.annotations.keys()).all(|key| is_key(key)), "{metadata:?}");
}

fn assert_spec(spec: &PodSpec) {
    assert!(spec.node_selector.keys().all(|key| is_key(key)), "{spec:?}");
    for container in spec.init_containers.iter().chain(&spec.containers) {
        assert!(is_label(&container.name) && container.image.contains(':'), "{container:?}");
        let context = &container.security_context;
        assert!(!context.allow_privilege_escalation && context.capabilities.drop == ["ALL"], "{context:?}");
        for mount in &container.volume_mounts {
            let volume = spec.volumes.iter().find(|volume| volume.name == mount.name).expect("declared");
            assert!(is_label(&volume.name) && mount.mount_path.starts_with("/host/"), "{mount:?}");
            assert_eq!(volume.host_path.r#type, "Directory");
        }
    }
}

#[test]
fn manifests_are_valid() {
    let files = fs::read_dir(docs("kubernetes")).expect("exists").flatten().map(|entry| entry.path());
    for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml")) {
        for document in documents(&file) {
            let kind = document["kind"].as_str().expect("a manifest has a kind").to_owned();
            let version = match kind.as_str() {
                "Pod" => {
                    let pod: Manifest<PodSpec> = read(&file, &kind);
                    assert_eq!(pod.kind, kind);
                    assert_metadata(&pod.metadata);
                    assert_spec(&pod.spec);
                    pod.api_version == "v1"
                }
                "Namespace" => {
                    let namespace: Namespace = read(&file, &kind);
                    assert_metadata(&namespace.metadata);
                    namespace.api_version == "v1"
                }
                "RuntimeClass" => {
                    let class: RuntimeClass = read(&file, &kind);
                    assert_metadata(&class.metadata);
                    assert!(
                        class.scheduling.node_selector.keys().all(|key| is_key(key))
                            && is_label(&class.handler)
                    );
                    class.api_version == "node.k8s.io/v1"
                }
                "DaemonSet" => {
                    let set: Manifest<DaemonSet> = read(&file, &kind);
                    assert_metadata(&set.metadata);
                    assert_spec(&set.spec.template.spec);
                    assert_eq!(set.spec.selector.match_labels, set.spec.template.metadata.labels);
                    set.api_version == "apps/v1"
                }
                other => panic!("{}: {other}", file.display()),
            };
            assert!(version, "{}: apiVersion of {kind}", file.display());
        }
    }
}
