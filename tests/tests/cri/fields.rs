//! Fields of a pod and its containers that `mounts` and `security` do not have: for nodes and for plain images.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_cri::v1::{
    ContainerConfig, Device, Int64Value, KeyValue, LinuxContainerResources, LinuxContainerSecurityContext,
    NamespaceMode, PodSandboxConfig,
};
use red_tests::call::run;
use red_tests::daemon::has_controller;
use red_tests::remark;
use red_tests::stage::{Stage, eventually};

use crate::daemon::Cri;
use crate::pod::{Pod, bind};
use crate::{assert_no_leftovers, setup};

const WAITS: &str = "exec sleep 1000";

/// A container of the leaf, and one of an image.
fn both(pod: &Pod, name: &str, script: &str) -> [(&'static str, ContainerConfig); 2] {
    [
        ("node", pod.node(&format!("{name}-node"), &pod.cri.stage.leaf, script)),
        ("image", pod.plain(&format!("{name}-image"), script)),
    ]
}

fn context(config: &mut ContainerConfig) -> &mut LinuxContainerSecurityContext {
    let linux = config.linux.as_mut().and_then(|linux| linux.security_context.as_mut());
    linux.expect("sent by a kubelet")
}

fn resources(config: &mut ContainerConfig) -> &mut LinuxContainerResources {
    config.linux.as_mut().and_then(|linux| linux.resources.as_mut()).expect("sent by a kubelet")
}

/// Why a container does not start.
fn refusal(pod: &Pod, config: ContainerConfig) -> String {
    let made = pod.create(config).and_then(|id| pod.start(&id));
    made.map(|()| "it has started".to_owned()).unwrap_or_else(|status| status.message().to_owned())
}

/// A directory of the test with a tmpfs in it, which is unmounted in the end.
struct HostPath(PathBuf);

impl HostPath {
    fn new(cri: &Cri, name: &str) -> Self {
        let dir = cri.stage.pool.mkdir(format!("volumes/{name}"));
        fs::create_dir(dir.join("below")).expect("test directory is writable");
        run(Command::new("mount").args(["-t", "tmpfs", "red-test"]).arg(dir.join("below"))).good();
        Self(dir)
    }
}

impl Drop for HostPath {
    fn drop(&mut self) {
        run(Command::new("umount").arg("--lazy").arg(self.0.join("below")));
    }
}

#[test]
fn environment_and_working_directory() {
    let Some((cri, _)) = setup() else { return };
    let pod = Pod::run(&cri, "red", "environment");
    for (root, mut config) in both(&pod, "environment", WAITS) {
        config.envs = [("WHO", "pod"), ("MODE", "a = b"), ("HOME", "/srv")]
            .map(|(key, value)| KeyValue { key: key.into(), value: value.into() })
            .to_vec();
        config.working_dir = "/tmp".into();
        let id = pod.started(config);
        // What the node defines is the node's.
        let (who, home) = if root == "node" { ("app", "/tmp") } else { ("pod", "/srv") };
        assert_eq!(
            pod.sh(&id, "echo \"$WHO $HOME $MODE\"; pwd"),
            format!("{who} {home} a = b\n/tmp\n"),
            "{root}"
        );
        assert_eq!(
            pod.sh(&id, "tr '\\0' '\\n' </proc/1/environ | grep ^WHO; readlink /proc/1/cwd"),
            format!("WHO={who}\n/tmp\n")
        );
    }
    pod.end();
    assert_no_leftovers(&cri);
}

#[test]
fn volumes_of_the_host() {
    let Some((cri, _)) = setup() else { return };
    let pod = Pod::run(&cri, "red", "volumes");
    let volume = HostPath::new(&cri, "data");
    for (root, mut config) in both(&pod, "volumes", WAITS) {
        // A path with a detour, twice: writable and read-only, and what is mounted below it.
        config.mounts.push(bind(&volume.0, "/srv/../srv/rw/", false));
        config.mounts.push(bind(&volume.0, "/srv/ro", true));
        let id = pod.started(config);
        assert_eq!(
            pod.sh(&id, "echo a >/srv/rw/a; echo b >/srv/rw/below/b; cat /srv/ro/a /srv/ro/below/b"),
            "a\nb\n"
        );
        let written =
            "for file in /srv/ro/x /srv/ro/below/x; do echo >$file && echo written; done 2>/dev/null; true";
        // As with runc: `ro` is about the topmost mount, `rro` (recursiveReadOnly) about all.
        assert_eq!(pod.sh(&id, written), "written\n", "{root}");
        assert_eq!(fs::read_to_string(volume.0.join("below/b")).ok().as_deref(), Some("b\n"));
        // Shared memory is the pod's.
        pod.sh(&id, &format!("echo {root} >/dev/shm/{root}"));
    }
    let id = pod.started(pod.node("reader", &cri.stage.leaf, WAITS));
    assert_eq!(pod.sh(&id, "cat /dev/shm/node /dev/shm/image"), "node\nimage\n");
    // Whoever can write there decides over nodes.
    for (name, host) in [("pool", cri.stage.pool.join("core")), ("etc", cri.stage.leaf.join("etc"))] {
        let mut config = pod.node(name, &cri.stage.leaf, WAITS);
        config.mounts.push(bind(&host, "/srv/pool", false));
        let message = refusal(&pod, config);
        assert!(message.contains("/srv/pool") && message.contains(&host.display().to_string()), "{message}");
    }
    drop(volume);
    pod.end();
    assert_no_leftovers(&cri);
}

#[test]
fn users_and_devices() {
    let leaf = "  - {mode: RestrictedFile, mount: /etc/passwd, path: $NODE_PATH/own/passwd}\n";
    let stage = Stage::with(", share_net: Enabled", leaf);
    stage.pool.write("core/mid/app/own/passwd", "root:x:0:0::/:/bin/sh\n");
    let node = stage.pool.node("core/mid/user", "config: {set-user: 65534, set-group: 65534}");
    let Some(cri) = Cri::start(stage) else { return };
    let pod = Pod::run(&cri, "red", "users");
    // The node's user is that of probes and of `kubectl exec` too.
    let id = pod.started(pod.node("user", &node, "id -u; id -g; exec sleep 1000"));
    eventually("it tells who it is", || pod.log("user", "stdout") == "65534\n65534\n");
    assert_eq!(pod.sh(&id, "id -u; id -g"), "65534\n65534\n");
    let mut config = pod.node("contradicts", &node, WAITS);
    context(&mut config).run_as_user = Some(Int64Value { value: 1000 });
    let message = refusal(&pod, config);
    assert!(message.contains("core/mid/user/etc/redpak.yaml:2:"), "{message}");
    // An emptyDir with a group (fsGroup), written to by a user without any other right to it.
    let volume = cri.stage.pool.mkdir("volumes/group");
    std::os::unix::fs::chown(&volume, None, Some(4242)).expect("root gives files away");
    fs::set_permissions(&volume, std::os::unix::fs::PermissionsExt::from_mode(0o2770))
        .expect("test directory");
    for (root, mut config) in both(&pod, "group", WAITS) {
        config.mounts.push(bind(&volume, "/srv/data", false));
        context(&mut config).run_as_user = Some(Int64Value { value: 1000 });
        context(&mut config).supplemental_groups = vec![4242];
        let id = pod.started(config);
        pod.sh(&id, &format!("echo word >/srv/data/{root}"));
        if root == "node" {
            pod.sh(&id, "touch /tmp/own");
        }
        let file = fs::metadata(volume.join(root)).expect("written");
        assert_eq!((file.uid(), file.gid()), (1000, 4242));
    }
    for (root, mut config) in both(&pod, "device", WAITS) {
        let [host_path, container_path] = ["/dev/full", "/dev/other"].map(str::to_owned);
        config.devices = vec![Device { container_path, host_path, permissions: "rwm".into() }];
        if root == "node" {
            let message = refusal(&pod, config);
            assert!(message.contains("/dev/other"), "{message}");
        } else {
            let id = pod.started(config);
            assert_eq!(pod.sh(&id, "stat -c %t:%T /dev/other"), "1:7\n");
        }
    }
    pod.end();
    assert_no_leftovers(&cri);
}

#[test]
fn limits_are_the_tighter_ones() {
    if !has_controller("memory") || !has_controller("pids") {
        return remark("there are no controllers of memory and processes");
    }
    let stage = Stage::with(", share_net: Enabled", "");
    let node = stage.pool.node("core/mid/tight", "config: {cgroups: {mem: {max: 64M}, pids: {max: 20}}}");
    let Some(cri) = Cri::start(stage) else { return };
    let pod = Pod::run(&cri, "red", "limits");
    for (name, asked, expected) in [("looser", 200 << 20, 64 << 20), ("tighter", 48 << 20, 48 << 20)] {
        let mut config = pod.node(name, &node, WAITS);
        resources(&mut config).memory_limit_in_bytes = asked;
        let id = pod.started(config);
        let files = ["memory.limit_in_bytes", "memory.max"];
        let found = crate::life::limit(pod.pid(&id), "memory", files);
        assert_eq!(found, expected.to_string(), "{name}");
        assert_eq!(crate::life::limit(pod.pid(&id), "pids", ["pids.max"; 2]), "20");
    }
    pod.end();
    assert_no_leftovers(&cri);
}

/// A pod with a namespace of the host, and the entry of a node that does not share it.
#[test]
fn namespaces_of_the_host_against_a_node() {
    let stage = Stage::new();
    let nodes = ["net", "pid", "ipc"].map(|kind| {
        let text = ["net", "pid", "ipc"].map(|one| {
            let value = if one == kind { "Disabled" } else { "Enabled" };
            format!("share_{one}: {value}")
        });
        (kind, stage.pool.node(&format!("core/mid/no-{kind}"), &format!("config: {{{}}}", text.join(", "))))
    });
    let Some(cri) = Cri::start(stage) else { return };
    let host = |config: &mut PodSandboxConfig| {
        let linux = config.linux.as_mut().and_then(|linux| linux.security_context.as_mut());
        let namespaces =
            linux.and_then(|context| context.namespace_options.as_mut()).expect("sent by a kubelet");
        for mode in [&mut namespaces.network, &mut namespaces.pid, &mut namespaces.ipc] {
            *mode = NamespaceMode::Node.into();
        }
    };
    let pod = Pod::configured(&cri, "red", "host", host);
    for (kind, node) in &nodes {
        let message = refusal(&pod, pod.node(kind, node, WAITS));
        assert!(message.contains(&format!("share_{kind}: Disabled")), "{message}");
        assert!(message.contains(&format!("no-{kind}/etc/redpak.yaml:2:")), "{message}");
    }
    let id = pod.started(pod.plain("plain", WAITS));
    let script = "readlink /proc/self/ns/net /proc/self/ns/pid /proc/self/ns/ipc";
    assert_eq!(pod.sh(&id, script), run(Command::new("sh").args(["-c", script])).out);
    pod.end();
    assert_no_leftovers(&cri);
}

#[test]
fn sysctls_of_a_pod() {
    let Some((cri, _)) = setup() else { return };
    let setting = "kernel.shm_rmid_forced";
    let file = Path::new("/proc/sys/kernel/shm_rmid_forced");
    let before = fs::read_to_string(file).expect("procfs");
    let pod = Pod::configured(&cri, "red", "sysctl", |config| {
        let linux = config.linux.as_mut().expect("sent by a kubelet");
        linux.sysctls.insert(setting.into(), "1".into());
    });
    for (root, config) in both(&pod, "sysctl", WAITS) {
        let id = pod.started(config);
        assert_eq!(pod.sh(&id, &format!("cat {}", file.display())), "1\n", "{root}");
    }
    assert_eq!(fs::read_to_string(file).ok(), Some(before));
    pod.end();
    assert_no_leftovers(&cri);
}

/// The exit status of a command, and the last lines of a long output.
#[test]
fn ends_and_outputs() {
    let Some((cri, _)) = setup() else { return };
    let pod = Pod::run(&cri, "red", "ends");
    for (name, script, code, reason) in [
        ("well", "exit 0", 0, "Completed"),
        ("badly", "exit 7", 7, "Error"),
        ("killed", "sh -c 'kill -9 $$'", 137, "Error"),
    ] {
        for (_, config) in both(&pod, name, script) {
            let status = pod.ended(&pod.started(config));
            assert_eq!((status.exit_code, status.reason.as_str()), (code, reason), "{status:?}");
        }
    }
    let script = "head -c 8000000 /dev/zero | tr '\\0' x; echo; echo last";
    for (root, config) in both(&pod, "long", script) {
        let id = pod.started(config);
        assert_eq!(pod.ended(&id).exit_code, 0);
        let name = format!("long-{root}");
        eventually("all of it is logged", || pod.log(&name, "stdout").len() == 8_000_006);
        assert!(pod.log(&name, "stdout").ends_with("x\nlast\n"));
    }
    pod.end();
    assert_no_leftovers(&cri);
}
