//! Pods and containers, described as a kubelet describes them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use k8s_cri::v1::security_profile::ProfileType;
use k8s_cri::v1::{
    ContainerConfig, ContainerMetadata, ContainerState, ContainerStatus, ContainerStatusRequest,
    CreateContainerRequest, ExecSyncRequest, ExecSyncResponse, ImageSpec, LinuxContainerConfig,
    LinuxContainerResources, LinuxContainerSecurityContext, LinuxPodSandboxConfig,
    LinuxSandboxSecurityContext, Mount, NamespaceMode, NamespaceOption, PodSandboxConfig, PodSandboxMetadata,
    PodSandboxStatusRequest, PodSandboxStatusResponse, RemoveContainerRequest, RemovePodSandboxRequest,
    RunPodSandboxRequest, SecurityProfile, StartContainerRequest, StopContainerRequest,
    StopPodSandboxRequest,
};
use red_tests::stage::eventually;
use tonic::Status;

use crate::daemon::Cri;
use crate::images::{PLAIN, REFERENCE};

/// What names a node, in a container's annotations.
pub(crate) const REDPATH: &str = "bzh.redpesk.redpak.redpath";

/// A pod with the host's network, since a CNI is no part of these tests.
#[derive(Debug)]
pub(crate) struct Pod<'c> {
    /// The daemon.
    pub(crate) cri: &'c Cri,
    /// Name of the sandbox.
    pub(crate) id: String,
    config: PodSandboxConfig,
}

/// Namespaces as a kubelet asks for them without CNI.
fn namespaces() -> Option<NamespaceOption> {
    Some(NamespaceOption {
        network: NamespaceMode::Node.into(),
        pid: NamespaceMode::Container.into(),
        ipc: NamespaceMode::Pod.into(),
        ..NamespaceOption::default()
    })
}

/// The security context of a sandbox.
fn security_context(config: &mut PodSandboxConfig) -> Option<&mut LinuxSandboxSecurityContext> {
    config.linux.as_mut().and_then(|linux| linux.security_context.as_mut())
}

/// Gives a sandbox a network namespace and a host name.
pub(crate) fn own_network(config: &mut PodSandboxConfig) {
    config.hostname = "pod".into();
    if let Some(context) = security_context(config) {
        context.namespace_options =
            namespaces().map(|all| NamespaceOption { network: NamespaceMode::Pod.into(), ..all });
    }
}

fn seccomp() -> Option<SecurityProfile> {
    Some(SecurityProfile { profile_type: ProfileType::RuntimeDefault.into(), localhost_ref: String::new() })
}

/// The name of a pod that a kubelet's directories have.
pub(crate) fn uid(name: &str, handler: &str) -> String {
    format!("red-test-{name}-{handler}-{}", std::process::id())
}

/// A bind mount.
pub(crate) fn bind(host: &Path, container: &str, readonly: bool) -> Mount {
    Mount {
        host_path: host.display().to_string(),
        container_path: container.into(),
        readonly,
        ..Mount::default()
    }
}

impl<'c> Pod<'c> {
    /// Runs a sandbox under one of the handlers.
    pub(crate) fn run(cri: &'c Cri, handler: &str, name: &str) -> Self {
        Self::with(cri, handler, name, |_| {})
    }

    /// Runs a sandbox whose containers may be privileged.
    pub(crate) fn privileged(cri: &'c Cri, handler: &str, name: &str) -> Self {
        Self::with(cri, handler, name, |context| context.privileged = true)
    }

    /// Runs a sandbox whose containers see each other's processes (`shareProcessNamespace`).
    pub(crate) fn shared(cri: &'c Cri, handler: &str, name: &str) -> Self {
        Self::with(cri, handler, name, |context| {
            context.namespace_options =
                namespaces().map(|all| NamespaceOption { pid: NamespaceMode::Pod.into(), ..all });
        })
    }

    fn with(
        cri: &'c Cri,
        handler: &str,
        name: &str,
        change: impl FnOnce(&mut LinuxSandboxSecurityContext),
    ) -> Self {
        Self::configured(cri, handler, name, |config| {
            change(security_context(config).expect("sent by a kubelet"));
        })
    }

    /// Runs a sandbox with a network of its own.
    pub(crate) fn networked(cri: &'c Cri, handler: &str, name: &str) -> Self {
        Self::configured(cri, handler, name, own_network)
    }

    /// The request for a sandbox whose configuration is changed by a function.
    pub(crate) fn request(
        cri: &Cri,
        handler: &str,
        name: &str,
        change: impl FnOnce(&mut PodSandboxConfig),
    ) -> RunPodSandboxRequest {
        let uid = uid(name, handler);
        let security_context = LinuxSandboxSecurityContext {
            namespace_options: namespaces(),
            seccomp: seccomp(),
            ..LinuxSandboxSecurityContext::default()
        };
        let logs = cri.dir.join("logs").join(&uid);
        fs::create_dir_all(&logs).expect("test directory is writable");
        let mut config = PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.into(),
                uid,
                namespace: "default".into(),
                attempt: 0,
            }),
            log_directory: logs.display().to_string(),
            labels: HashMap::from([("io.kubernetes.pod.name".into(), name.into())]),
            annotations: HashMap::from([("kubernetes.io/config.source".into(), "api".into())]),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: cri.parent.clone(),
                security_context: Some(security_context),
                ..LinuxPodSandboxConfig::default()
            }),
            ..PodSandboxConfig::default()
        };
        change(&mut config);
        RunPodSandboxRequest { config: Some(config), runtime_handler: handler.into() }
    }

    /// Runs a sandbox whose configuration is changed by a function.
    pub(crate) fn configured(
        cri: &'c Cri,
        handler: &str,
        name: &str,
        change: impl FnOnce(&mut PodSandboxConfig),
    ) -> Self {
        let request = Self::request(cri, handler, name, change);
        let config = request.config.clone().unwrap_or_default();
        let output = cri.cri().ask(|mut cri| async move { cri.run_pod_sandbox(request).await });
        let output = output.unwrap_or_else(|status| panic!("{status}\n{}", cri.log()));
        cri.note(&output.pod_sandbox_id);
        Self { cri, id: output.pod_sandbox_id, config }
    }

    /// What is known of it, without the daemon, which is started again meanwhile.
    pub(crate) fn leave(self) -> (String, PodSandboxConfig) {
        (self.id, self.config)
    }

    /// The pod that was left.
    pub(crate) fn again(cri: &'c Cri, (id, config): (String, PodSandboxConfig)) -> Self {
        Self { cri, id, config }
    }

    /// Number of the pause container's process.
    pub(crate) fn pause(&self) -> u32 {
        pid(&self.sandbox_status().info)
    }

    /// Status of the sandbox.
    pub(crate) fn sandbox_status(&self) -> PodSandboxStatusResponse {
        let request = PodSandboxStatusRequest { pod_sandbox_id: self.id.clone(), verbose: true };
        let output = self.cri.cri().ask(|mut cri| async move { cri.pod_sandbox_status(request).await });
        output.expect("sandbox status")
    }

    /// A container of an image with the machine's programs.
    pub(crate) fn plain(&self, name: &str, script: &str) -> ContainerConfig {
        let usr = bind(Path::new("/usr"), "/usr", true);
        ContainerConfig { mounts: vec![usr], ..self.container(name, PLAIN, script) }
    }

    /// A container that an annotation turns into a node.
    pub(crate) fn node(&self, name: &str, node: &Path, script: &str) -> ContainerConfig {
        let mut config = self.container(name, PLAIN, script);
        config.annotations.insert(REDPATH.into(), node.display().to_string());
        config
    }

    /// A container of the image that is a reference to the stage's leaf.
    pub(crate) fn reference(&self, name: &str, script: &str) -> ContainerConfig {
        self.container(name, REFERENCE, script)
    }

    /// A container of an image.
    pub(crate) fn container(&self, name: &str, image: &str, script: &str) -> ContainerConfig {
        let pod = self.config.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
        let paths = |all: &[&str]| all.iter().map(|path| (*path).to_owned()).collect();
        let security_context = LinuxContainerSecurityContext {
            namespace_options: pod.and_then(|context| context.namespace_options.clone()),
            seccomp: seccomp(),
            // As of a kubelet (its securitycontext.ConvertToRuntimeMaskedPaths and the like).
            masked_paths: paths(&[
                "/proc/acpi",
                "/proc/kcore",
                "/proc/keys",
                "/proc/timer_list",
                "/sys/firmware",
            ]),
            readonly_paths: paths(&[
                "/proc/bus",
                "/proc/fs",
                "/proc/irq",
                "/proc/sys",
                "/proc/sysrq-trigger",
            ]),
            ..LinuxContainerSecurityContext::default()
        };
        let resources = LinuxContainerResources {
            cpu_shares: 2,
            oom_score_adj: 1000,
            ..LinuxContainerResources::default()
        };
        ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.into(), attempt: 0 }),
            image: Some(ImageSpec { image: image.into(), ..ImageSpec::default() }),
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            labels: HashMap::from([("io.kubernetes.container.name".into(), name.into())]),
            annotations: HashMap::from([("io.kubernetes.container.restartCount".into(), "0".into())]),
            log_path: format!("{name}.log"),
            linux: Some(LinuxContainerConfig {
                resources: Some(resources),
                security_context: Some(security_context),
            }),
            ..ContainerConfig::default()
        }
    }

    /// The request for a container.
    pub(crate) fn create_request(&self, config: ContainerConfig) -> CreateContainerRequest {
        CreateContainerRequest {
            pod_sandbox_id: self.id.clone(),
            config: Some(config),
            sandbox_config: Some(self.config.clone()),
        }
    }

    /// Creates a container.
    pub(crate) fn create(&self, config: ContainerConfig) -> Result<String, Status> {
        let request = self.create_request(config);
        let output = self.cri.cri().ask(|mut cri| async move { cri.create_container(request).await })?;
        self.cri.note(&output.container_id);
        Ok(output.container_id)
    }

    /// Starts a container.
    pub(crate) fn start(&self, id: &str) -> Result<(), Status> {
        let request = StartContainerRequest { container_id: id.into() };
        self.cri.cri().ask(|mut cri| async move { cri.start_container(request).await }).map(drop)
    }

    /// Creates and starts one that has to start.
    pub(crate) fn started(&self, config: ContainerConfig) -> String {
        let id = self.create(config).unwrap_or_else(|status| panic!("{status}"));
        self.start(&id).unwrap_or_else(|status| panic!("{status}\n{}", self.cri.log()));
        id
    }

    /// Where a container stands.
    pub(crate) fn status(&self, id: &str) -> ContainerStatus {
        self.verbose(id).0
    }

    /// Number of a container's first process.
    pub(crate) fn pid(&self, id: &str) -> u32 {
        pid(&self.verbose(id).1)
    }

    fn verbose(&self, id: &str) -> (ContainerStatus, HashMap<String, String>) {
        let request = ContainerStatusRequest { container_id: id.into(), verbose: true };
        let output = self.cri.cri().ask(|mut cri| async move { cri.container_status(request).await });
        let output = output.unwrap_or_else(|status| panic!("{status}"));
        (output.status.expect("a container has a status"), output.info)
    }

    /// Waits for a container's end.
    pub(crate) fn ended(&self, id: &str) -> ContainerStatus {
        let exited = i32::from(ContainerState::ContainerExited);
        eventually(&format!("{id} has ended"), || self.status(id).state == exited);
        self.status(id)
    }

    /// Runs a command in a container, to its end.
    pub(crate) fn exec(&self, id: &str, command: &[&str]) -> Result<ExecSyncResponse, Status> {
        let cmd = command.iter().map(|word| (*word).to_owned()).collect();
        let request = ExecSyncRequest { container_id: id.into(), cmd, timeout: 60 };
        self.cri.cri().ask(|mut cri| async move { cri.exec_sync(request).await })
    }

    /// Runs a script in a container that has to end well, for what it prints.
    pub(crate) fn sh(&self, id: &str, script: &str) -> String {
        let output =
            self.exec(id, &["sh", "-c", script]).unwrap_or_else(|status| panic!("{script}: {status}"));
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.exit_code, 0, "{script}: {err}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Stops a container, with a grace of so many seconds.
    pub(crate) fn stop(&self, id: &str, grace: i64) {
        let request = StopContainerRequest { container_id: id.into(), timeout: grace };
        let output = self.cri.cri().ask(|mut cri| async move { cri.stop_container(request).await });
        output.unwrap_or_else(|status| panic!("{status}\n{}", self.cri.log()));
    }

    /// Removes a container.
    pub(crate) fn remove(&self, id: &str) {
        let request = RemoveContainerRequest { container_id: id.into() };
        let output = self.cri.cri().ask(|mut cri| async move { cri.remove_container(request).await });
        output.unwrap_or_else(|status| panic!("{status}\n{}", self.cri.log()));
    }

    /// Stops and removes the pod, with whatever containers it has.
    pub(crate) fn end(self) {
        self.try_end().unwrap_or_else(|status| panic!("{status}\n{}", self.cri.log()));
    }

    /// The same, asked again until it is done, as a kubelet does: when a shim was killed, CRI may know that a
    /// container has ended only after it was told to stop it.
    pub(crate) fn end_at_last(self) {
        eventually("the pod is removed", || self.try_end().is_ok());
    }

    fn try_end(&self) -> Result<(), Status> {
        let stop = StopPodSandboxRequest { pod_sandbox_id: self.id.clone() };
        let remove = RemovePodSandboxRequest { pod_sandbox_id: self.id.clone() };
        let cri = self.cri.cri();
        cri.ask(|mut cri| async move { cri.stop_pod_sandbox(stop).await })?;
        cri.ask(|mut cri| async move { cri.remove_pod_sandbox(remove).await }).map(drop)
    }

    /// File of a container's log.
    pub(crate) fn log_file(&self, name: &str) -> PathBuf {
        Path::new(&self.config.log_directory).join(format!("{name}.log"))
    }

    /// What a container has written to a stream, as a kubelet reads it (its log format: time, stream, tag, text).
    pub(crate) fn log(&self, name: &str, stream: &str) -> String {
        let text = fs::read_to_string(self.log_file(name)).unwrap_or_default();
        let mut found = String::new();
        for line in text.lines() {
            let mut parts = line.splitn(4, ' ').skip(1);
            let (Some(of), Some(tag), Some(message)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            if of == stream {
                found += message;
                // A partial line goes on.
                if tag != "P" {
                    found.push('\n');
                }
            }
        }
        found
    }
}

/// The number of a process, from what a verbose answer adds.
fn pid(info: &HashMap<String, String>) -> u32 {
    let text = info.get("info").expect("verbose info");
    let value: serde_json::Value = serde_json::from_str(text).expect("valid JSON");
    value["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("PID")
}
