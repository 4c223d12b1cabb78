//! Pods with a network of their own, which CNI plugins set up: what the containers of a pod share, and what is measured
//! of a pod as a whole.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_cri::v1::{
    ListPodSandboxStatsRequest, PodSandboxStats, PodSandboxStatsRequest, StatusRequest, StopPodSandboxRequest,
};
use red_tests::call::run;
use red_tests::daemon::has_controller;
use red_tests::stage::{Stage, eventually};
use red_tests::{remark, skip};
use serde_json::json;

use crate::assert_no_leftovers;
use crate::daemon::Cri;
use crate::pod::Pod;

/// Where Debian's package containernetworking-plugins and the upstream archive have the plugins.
const PLUGINS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];
/// What libcni remembers of a network.
const CACHE: &str = "/var/lib/cni/results";

/// Directory of the CNI plugins. `None`, with the reason told, where they are missing.
pub(crate) fn plugins() -> Option<&'static str> {
    let complete = |dir: &&&str| {
        ["bridge", "host-local", "loopback"].iter().all(|name| Path::new(dir).join(name).is_file())
    };
    let found = PLUGINS.iter().find(complete).copied();
    if found.is_none() {
        skip("the CNI plugins are not installed");
    }
    found
}

/// A bridge between pods; the host has no address on it, so that nothing of the host's network changes.
#[derive(Debug)]
pub(crate) struct Bridge {
    name: String,
}

impl Bridge {
    /// Configures it for the daemon of a test.
    fn new(cri: &Cri) -> Option<Self> {
        let plugins = plugins()?;
        symlink(plugins, cri.dir.join("cni-bin")).expect("test directory is writable");
        let this = Self::configured(&cri.dir.join("cni"), &cri.dir.join("addresses"))?;
        eventually("CRI has read the network's configuration", || {
            let output = cri.cri().ask(|mut cri| async move { cri.status(StatusRequest::default()).await });
            let status = output.ok().and_then(|output| output.status);
            status.is_some_and(|status| {
                status.conditions.iter().any(|one| one.r#type == "NetworkReady" && one.status)
            })
        });
        Some(this)
    }

    /// Configures it in a directory. `None`, with the reason told, where this machine cannot have one.
    pub(crate) fn configured(dir: &Path, addresses: &Path) -> Option<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        // An interface has a name of at most 15 characters.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let this = Self { name: format!("redt{}-{number}", std::process::id()) };
        let link = |args: &[&str]| run(Command::new("ip").args(args));
        for kind in ["bridge", "veth"] {
            if link(&["link", "add", "name", &this.name, "type", kind]).code != 0 {
                remark(&format!("the kernel has no network devices of type {kind}"));
                return None;
            }
            link(&["link", "delete", &this.name]).good();
        }
        let network = json!({
            "cniVersion": "0.4.0",
            "name": this.name,
            "plugins": [{
                "type": "bridge",
                "bridge": this.name,
                "ipam": {
                    "type": "host-local",
                    "dataDir": addresses,
                    "ranges": [[{"subnet": "10.213.97.0/24"}]],
                },
            }],
        });
        fs::create_dir_all(dir).expect("test directory is writable");
        // containerd 1.6 takes no notice of a file that is renamed into the directory.
        fs::write(dir.join("10-test.conflist"), network.to_string()).expect("test directory is writable");
        Some(this)
    }

    /// Files that libcni has of pods of this network.
    fn cached(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(CACHE).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| path.display().to_string().contains(&self.name)).collect()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        run(Command::new("ip").args(["link", "delete", &self.name]));
        for file in self.cached() {
            drop(fs::remove_file(file));
        }
        // Where there was no CNI there is none afterwards.
        for dir in [CACHE, "/var/lib/cni/cache", "/var/lib/cni"] {
            drop(fs::remove_dir(dir));
        }
    }
}

/// A daemon, and a family that leaves it to the pod which network its leaf has. The bridge goes after the pods.
fn setup() -> Option<(Bridge, Cri)> {
    let cri = Cri::start(Stage::new())?;
    Some((Bridge::new(&cri)?, cri))
}

/// Answers one connection after another with a word.
fn serves(port: u16, word: &str) -> String {
    format!(
        "exec python3 -c 'import socket
s = socket.create_server((\"\", {port}))
while True:
    c, _ = s.accept()
    c.sendall(b\"{word}\")
    c.close()'"
    )
}

/// What a server answers, asked from a container.
fn asks(pod: &Pod, id: &str, address: &str, port: u16) -> String {
    let script = format!(
        "python3 -c 'import socket; print(socket.create_connection((\"{address}\", {port}), 20).recv(99).decode())'"
    );
    let mut word = String::new();
    eventually(&format!("{address}:{port} answers"), || {
        let output = pod.exec(id, &["sh", "-c", &script]).unwrap_or_else(|status| panic!("{status}"));
        word = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.exit_code == 0
    });
    word
}

/// Address of a pod, as CRI has it.
fn address(pod: &Pod) -> String {
    let status = pod.sandbox_status().status.expect("sandbox status");
    status.network.expect("network status").ip
}

#[test]
fn containers_of_a_pod_share_its_network() {
    let Some((bridge, cri)) = setup() else { return };
    let pods = ["red", "runc"].map(|handler| Pod::networked(&cri, handler, "network"));
    let [pod, beside] = &pods;
    let addresses = pods.each_ref().map(address);
    assert!(addresses.iter().all(|address| address.starts_with("10.213.97.")), "{addresses:?}");
    let node = pod.started(pod.node("app", &cri.stage.leaf, &serves(8001, "node")));
    let image = pod.started(pod.plain("side", &serves(8002, "image")));
    let stock = beside.started(beside.plain("stock", &serves(8003, "stock")));
    for (container, port, word) in [(&node, 8002, "image"), (&image, 8001, "node")] {
        assert_eq!(asks(pod, container, "127.0.0.1", port), word);
        assert_eq!(asks(pod, container, &addresses[0], port), word);
        // Through the bridge, from a pod of either runtime to one of the other.
        assert_eq!(asks(pod, container, &addresses[1], 8003), "stock");
        assert_eq!(asks(beside, &stock, &addresses[0], port), word);
        // What is shared is the pod's: its interfaces, also as sysfs has them, and its host name.
        assert_eq!(pod.sh(container, "ls /sys/class/net | xargs"), "eth0 lo\n");
        assert_eq!(pod.sh(container, "cat /proc/sys/kernel/hostname /etc/hostname"), "pod\npod\n");
        let namespaces = "readlink /proc/self/ns/net /proc/self/ns/ipc /proc/self/ns/uts";
        assert_eq!(pod.sh(container, namespaces), pod.sh(&node, namespaces));
    }
    is_measured(pod, &[&node, &image]);
    // The network goes with the sandbox, not with its containers.
    pod.stop(&node, 0);
    assert_eq!(address(pod), addresses[0]);
    let request = StopPodSandboxRequest { pod_sandbox_id: pod.id.clone() };
    let output = cri.cri().ask(|mut cri| async move { cri.stop_pod_sandbox(request).await });
    output.unwrap_or_else(|status| panic!("{status}"));
    assert!(!cri.dir.join("addresses").join(&bridge.name).join(&addresses[0]).exists());
    for pod in pods {
        pod.end();
    }
    assert_no_leftovers(&cri);
    assert_eq!(bridge.cached(), Vec::<PathBuf>::new());
}

/// Measured of a pod: processor and memory of all containers, interfaces, and each container by itself.
fn is_measured(pod: &Pod, containers: &[&String]) {
    let request = PodSandboxStatsRequest { pod_sandbox_id: pod.id.clone() };
    let output = pod.cri.cri().ask(|mut cri| async move { cri.pod_sandbox_stats(request).await });
    let one = output.unwrap_or_else(|status| panic!("{status}")).stats.expect("running");
    let output = pod.cri.cri().ask(|mut cri| async move {
        cri.list_pod_sandbox_stats(ListPodSandboxStatsRequest::default()).await
    });
    let all = output.unwrap_or_else(|status| panic!("{status}")).stats;
    assert_eq!(all.len(), 2, "{all:?}");
    let listed = all.into_iter().find(|stats| id_of(stats) == pod.id).expect("listed");
    for stats in [one, listed] {
        assert_eq!(id_of(&stats), pod.id);
        let linux = stats.linux.expect("on Linux");
        let network = linux.network.expect("measured");
        let interface = network.default_interface.expect("measured");
        let received = interface.rx_bytes.map_or(0, |bytes| bytes.value);
        assert!(interface.name == "eth0" && received > 0, "{interface:?}");
        let mut measured: Vec<_> = linux
            .containers
            .iter()
            .filter_map(|one| one.attributes.as_ref())
            .map(|one| one.id.clone())
            .collect();
        measured.sort();
        let mut expected: Vec<_> = containers.iter().map(|id| (*id).clone()).collect();
        expected.sort();
        assert_eq!(measured, expected);
        let cpu = linux.cpu.and_then(|cpu| cpu.usage_core_nano_seconds).map_or(0, |one| one.value);
        assert!(cpu > 0, "processor time of the pod");
        if has_controller("memory") {
            let memory = linux.memory.and_then(|memory| memory.working_set_bytes).map_or(0, |one| one.value);
            assert!(memory > 0, "memory of the pod");
        }
    }
}

fn id_of(stats: &PodSandboxStats) -> &str {
    stats.attributes.as_ref().map_or("", |attributes| &attributes.id)
}
