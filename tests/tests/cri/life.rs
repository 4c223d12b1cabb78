//! What a kubelet does with a pod, from its sandbox to its removal.

use std::fs;
use std::path::Path;

use k8s_cri::v1::{
    ContainerConfig, ContainerState, ContainerStatsRequest, ExecSyncRequest, LinuxContainerResources,
    ListContainerStatsRequest, ReopenContainerLogRequest, UpdateContainerResourcesRequest,
};
use red_tests::call::built;
use red_tests::remark;
use red_tests::stage::eventually;

use crate::configuration::{binary, release};
use crate::pod::Pod;
use crate::{assert_no_leftovers, setup};
use red_tests::daemon::has_controller;

/// Says who it is, waits, and ends in its own way when it is told to.
const WAITS: &str = "trap 'echo told to end; exit 3' TERM
echo I am ${WHO:-plain}; echo and complain >&2
sleep 1000 & wait";

/// Must be killed.
const DEAF: &str = "trap '' TERM; echo I am ${WHO:-plain}; exec sleep 1000";

#[test]
fn pods_of_nodes_and_images() {
    let Some((cri, other)) = setup() else { return };
    let leaf = cri.stage.leaf.clone();
    for handler in ["red", "stock", "runc"] {
        let pod = Pod::run(&cri, handler, "family");
        let mut expected = vec![("side", "plain", pod.plain("side", WAITS))];
        if handler != "runc" {
            expected.push(("app", "app", pod.node("app", &leaf, WAITS)));
            expected.push(("reference", "app", pod.reference("reference", WAITS)));
            expected.push(("other", "other", pod.node("other", &other, DEAF)));
        }
        let started = |(name, who, config): (&'static str, &'static str, ContainerConfig)| {
            (name, who, pod.started(config))
        };
        let containers: Vec<_> = expected.into_iter().map(started).collect();
        assert_eq!(cri.shim_pids().len(), 1, "{handler}: one shim serves the pod");
        pause_is_no_node(&pod);
        if handler == "red" {
            options_are_known(&pod);
        }
        for (name, who, id) in &containers {
            runs(&pod, name, who, id);
            answers(&pod, id);
            is_measured(&pod, id, containers.len());
            is_limited(&pod, id);
            reopens_its_log(&pod, name, id);
        }
        if let Some((_, _, id)) = containers.last() {
            is_in_time(&pod, id);
        }
        if let [_, (_, _, app), (_, _, reference), (_, _, other)] = &containers[..] {
            // What the parent shares is one directory; what a leaf has is its own.
            pod.sh(app, "echo word >/nodes/mid/shared/word; echo mine >/nodes/app/private/mine");
            assert_eq!(pod.sh(other, "cat /nodes/mid/shared/word; ls /nodes"), "word\ncore\nmid\nother\n");
            assert_eq!(pod.sh(reference, "cat /nodes/app/private/mine"), "mine\n");
        }
        for (name, _, id) in &containers {
            ends(&pod, name, id);
        }
        pod.end();
        assert_no_leftovers(&cri);
    }
}

/// The root of the pause container is the image's.
fn pause_is_no_node(pod: &Pod) {
    let root = format!("/proc/{}/root", pod.pause());
    assert!(Path::new(&root).join("pause").is_file(), "{root}");
    assert!(!Path::new(&root).join("nodes").exists(), "{root}");
}

/// The shim runs the binary that the configuration names; containerd 1.6 does not tell it.
fn options_are_known(pod: &Pod) {
    let note =
        pod.cri.dir.join("state/io.containerd.runtime.v2.task/k8s.io").join(&pod.id).join("red-shim.json");
    let note: serde_json::Value =
        serde_json::from_slice(&fs::read(note).expect("exists")).expect("valid JSON");
    let told = if release().starts_with("1.6.") { built("red-runtime") } else { binary(&pod.cri.dir) };
    assert_eq!(note["program"], told.display().to_string());
}

fn runs(pod: &Pod, name: &str, who: &str, id: &str) {
    let status = pod.status(id);
    assert_eq!(status.state, i32::from(ContainerState::ContainerRunning), "{status:?}");
    assert!(status.started_at >= status.created_at && status.finished_at == 0, "{status:?}");
    eventually(&format!("{name} tells who it is"), || pod.log(name, "stdout") == format!("I am {who}\n"));
    if name != "other" {
        eventually(&format!("{name} complains"), || pod.log(name, "stderr") == "and complain\n");
    }
    let nodes = format!("/proc/{}/root/nodes/mid", pod.pid(id));
    assert_eq!(Path::new(&nodes).exists(), who != "plain", "{nodes}");
}

/// Further commands: status, output, what is missing.
fn answers(pod: &Pod, id: &str) {
    let large = "head -c 3000000 /dev/zero | tr '\\0' x";
    for (script, code, out, err) in [
        ("echo out; echo err >&2; exit 5", 5, "out\n", "err\n"),
        ("true", 0, "", ""),
        ("kill -KILL $$", 137, "", ""),
        ("cat", 0, "", ""),
    ] {
        let output =
            pod.exec(id, &["sh", "-c", script]).unwrap_or_else(|status| panic!("{script}: {status}"));
        let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        assert_eq!((output.exit_code, &*stdout, &*stderr), (code, out, err), "{script}");
    }
    assert_eq!(pod.sh(id, large).len(), 3_000_000);
    for (command, message) in [("no-such-command", "executable file not found"), ("/etc", "")] {
        match pod.exec(id, &[command]) {
            Err(status) => assert!(status.message().contains(message), "{command}: {status}"),
            Ok(output) => panic!("{command}: {output:?}"),
        }
    }
}

/// A command that takes longer than it may.
fn is_in_time(pod: &Pod, id: &str) {
    let cmd = ["sh", "-c", "echo begun; exec sleep 1234"].map(str::to_owned).to_vec();
    let request = ExecSyncRequest { container_id: id.into(), cmd, timeout: 1 };
    let output = pod.cri.cri().ask(|mut cri| async move { cri.exec_sync(request).await });
    assert_eq!(output.map_err(|status| status.code()).err(), Some(tonic::Code::DeadlineExceeded));
    let gone = || !pod.sh(id, "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '").contains("sleep 1234");
    eventually("it was ended", gone);
}

fn is_measured(pod: &Pod, id: &str, count: usize) {
    let request = ContainerStatsRequest { container_id: id.into() };
    let output = pod.cri.cri().ask(|mut cri| async move { cri.container_stats(request).await });
    let stats = output.unwrap_or_else(|status| panic!("{status}")).stats.expect("running");
    assert_eq!(stats.attributes.as_ref().map(|one| one.id.as_str()), Some(id));
    if has_controller("memory") {
        let memory = stats.memory.and_then(|memory| memory.working_set_bytes).map_or(0, |one| one.value);
        assert!(memory > 0, "{stats:?}");
    } else {
        remark("there is no memory controller");
    }
    let cpu = stats.cpu.and_then(|cpu| cpu.usage_core_nano_seconds).map_or(0, |one| one.value);
    assert!(cpu > 0, "{stats:?}");
    let output = pod
        .cri
        .cri()
        .ask(|mut cri| async move { cri.list_container_stats(ListContainerStatsRequest::default()).await });
    assert_eq!(output.unwrap_or_else(|status| panic!("{status}")).stats.len(), count);
}

/// The file of a controller, of the cgroup that a process is in.
pub(crate) fn limit(pid: u32, controller: &str, files: [&str; 2]) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("running");
    let path = |mark: &str| {
        let line = text
            .lines()
            .find(|line| line.split(':').nth(1).is_some_and(|all| all.split(',').any(|one| one == mark)));
        line.and_then(|line| line.splitn(3, ':').nth(2)).unwrap_or_default().to_owned()
    };
    let legacy = format!("/sys/fs/cgroup/{controller}{}/{}", path(controller), files[0]);
    let unified = format!("/sys/fs/cgroup{}/{}", path(""), files[1]);
    let text = fs::read_to_string(legacy).or_else(|_| fs::read_to_string(&unified));
    text.unwrap_or_else(|error| panic!("{unified}: {error}")).trim().to_owned()
}

fn is_limited(pod: &Pod, id: &str) {
    if !has_controller("memory") || !has_controller("cpu") {
        return remark("there are no controllers of memory and cpu");
    }
    let resources = LinuxContainerResources {
        cpu_period: 100_000,
        cpu_quota: 50_000,
        memory_limit_in_bytes: 96 << 20,
        ..LinuxContainerResources::default()
    };
    let request = UpdateContainerResourcesRequest {
        container_id: id.into(),
        linux: Some(resources),
        ..UpdateContainerResourcesRequest::default()
    };
    let output = pod.cri.cri().ask(|mut cri| async move { cri.update_container_resources(request).await });
    output.unwrap_or_else(|status| panic!("{status}\n{}", pod.cri.log()));
    let pid = pod.pid(id);
    assert_eq!(limit(pid, "memory", ["memory.limit_in_bytes", "memory.max"]), (96 << 20).to_string());
    let quota = limit(pid, "cpu", ["cpu.cfs_quota_us", "cpu.max"]);
    assert_eq!(quota.split(' ').next(), Some("50000"), "{quota}");
}

/// The kubelet moves a log away, and has a new one begun.
fn reopens_its_log(pod: &Pod, name: &str, id: &str) {
    let file = pod.log_file(name);
    let away = file.with_extension("log.1");
    fs::rename(&file, &away).expect("exists");
    let request = ReopenContainerLogRequest { container_id: id.into() };
    let output = pod.cri.cri().ask(|mut cri| async move { cri.reopen_container_log(request).await });
    output.unwrap_or_else(|status| panic!("{status}"));
    pod.sh(id, "echo after >/proc/1/fd/1");
    eventually(&format!("the new log of {name} is written to"), || pod.log(name, "stdout") == "after\n");
    assert!(!fs::read_to_string(away).expect("exists").contains("after"));
}

fn ends(pod: &Pod, name: &str, id: &str) {
    let (grace, code) = if name == "other" { (1, 137) } else { (20, 3) };
    pod.stop(id, grace);
    let status = pod.ended(id);
    assert_eq!((status.exit_code, status.reason.as_str()), (code, "Error"), "{status:?}");
    assert!(status.finished_at >= status.started_at, "{status:?}");
    if code == 3 {
        eventually("its last message are there", || pod.log(name, "stdout").ends_with("told to end\n"));
    }
    pod.remove(id);
    let request = k8s_cri::v1::ContainerStatusRequest { container_id: id.into(), verbose: false };
    let output = pod.cri.cri().ask(|mut cri| async move { cri.container_status(request).await });
    assert_eq!(output.map_err(|status| status.code()).err(), Some(tonic::Code::NotFound));
}
