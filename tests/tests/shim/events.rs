//! What containerd is told, in order.

use std::fs;
use std::process::{Child, Stdio};

use red_tests::containerd::Containerd;
use red_tests::stage::{Stage, eventually};

use crate::client::runtime_wrapper;
use crate::{assert_no_leftovers, for_each_rootfs, setup};

/// `ctr events`, with what it shows in a file.
struct Events<'a> {
    containerd: &'a Containerd,
    program: Child,
}

impl<'a> Events<'a> {
    fn new(containerd: &'a Containerd) -> Self {
        let file = fs::File::create(containerd.dir().join("events")).expect("test directory is writable");
        let mut command = containerd.command(&["events"]);
        let program = command.stdout(file).stderr(Stdio::null()).spawn().expect("spawn");
        let this = Self { containerd, program };
        // It shows nothing until there is something; a namespace's label is the least.
        eventually("events are shown", || {
            containerd.ctr(&["namespaces", "label", containerd.namespace(), "a=b"]);
            !this.text().is_empty()
        });
        this
    }

    fn text(&self) -> String {
        fs::read_to_string(self.containerd.dir().join("events")).unwrap_or_default()
    }

    /// Topics of the tasks of a container, once the last is there.
    fn of(&self, id: &str) -> Vec<(String, serde_json::Value)> {
        let read = || -> Vec<(String, serde_json::Value)> {
            let text = self.text();
            let lines = text.lines().filter_map(|line| {
                let (_, rest) = line.split_once(" /tasks/")?;
                let (topic, body) = rest.split_once(' ')?;
                let body: serde_json::Value = serde_json::from_str(body).ok()?;
                (body["container_id"] == id).then(|| (topic.to_owned(), body))
            });
            lines.collect()
        };
        eventually("the last event is there", || read().iter().any(|(topic, _)| topic == "delete"));
        // One that comes twice comes late.
        std::thread::sleep(std::time::Duration::from_millis(200));
        read()
    }
}

impl Drop for Events<'_> {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

fn topics(events: &[(String, serde_json::Value)]) -> Vec<&str> {
    events.iter().map(|(topic, _)| topic.as_str()).collect()
}

#[test]
fn each_once_and_in_order() {
    let Some((stage, containerd)) = setup() else { return };
    let events = Events::new(&containerd);
    for_each_rootfs(&stage, |root, _| {
        let id = format!("{}-ends", root.name);
        for _ in 0..3 {
            assert_eq!(containerd.run(&["--rm"], root, &id, &["/usr/bin/false"]).code, 1);
        }
        let seen = events.of(&id);
        eventually("all three have been told of", || events.of(&id).len() >= 12);
        assert_eq!(topics(&events.of(&id)), ["create", "start", "exit", "delete"].repeat(3), "{seen:?}");

        let id = format!("{}-all", root.name);
        containerd.run_detached(root, &id, "trap 'exit 3' USR1; while :; do sleep 0.05; done");
        assert_eq!(containerd.exec(&id, "x", "exit 4").code, 4);
        containerd.ctr(&["task", "pause", &id]).good();
        containerd.ctr(&["task", "resume", &id]).good();
        containerd.ctr(&["task", "kill", "--signal", "USR1", &id]).good();
        containerd.wait_status(&id, "STOPPED");
        assert_eq!(containerd.delete_stopped(&id), 3);
        let seen = events.of(&id);
        let expected =
            ["create", "start", "exec-added", "exec-started", "exit", "paused", "resumed", "exit", "delete"];
        assert_eq!(topics(&seen), expected, "{seen:?}");
        assert_eq!((&seen[4].1["id"], &seen[4].1["exit_status"]), (&"x".into(), &4.into()));
        assert_eq!((&seen[7].1["id"], &seen[7].1["exit_status"]), (&id.as_str().into(), &3.into()));
        assert_eq!(seen[7].1["pid"], seen[1].1["pid"]);
        assert_eq!(seen[8].1["exited_at"], seen[7].1["exited_at"]);

        let id = format!("{}-kill", root.name);
        containerd.run_detached(root, &id, "sleep 1000");
        containerd.ctr(&["task", "exec", "-d", "--exec-id", "y", &id, "/usr/bin/sleep", "1000"]).good();
        containerd.ctr(&["task", "kill", "--signal", "KILL", &id]).good();
        containerd.wait_status(&id, "STOPPED");
        containerd.ctr(&["task", "delete", &id]);
        containerd.ctr(&["container", "delete", &id]).good();
        let seen = events.of(&id);
        // The end of the first process is the last one.
        let expected = ["create", "start", "exec-added", "exec-started", "exit", "exit", "delete"];
        assert_eq!(topics(&seen), expected, "{seen:?}");
        assert_eq!((&seen[4].1["id"], &seen[5].1["id"]), (&"y".into(), &id.as_str().into()));
    });
    drop(events);
    assert_no_leftovers(&containerd);
}

#[test]
fn memory_that_runs_out() {
    let Some((stage, containerd)) = setup() else { return };
    let groups = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_else(|_| "memory".into());
    if !groups.contains("memory") {
        return red_tests::remark("no memory controller here");
    }
    let events = Events::new(&containerd);
    for_each_rootfs(&stage, |root, id| {
        let options = ["--rm", "--memory-limit", "33554432"];
        let output = containerd.run(&options, root, id, &["/usr/bin/sh", "-c", "tail /dev/zero; exit 5"]);
        assert_eq!(output.code, 5, "{}", output.err);
        let seen = events.of(id);
        assert_eq!(topics(&seen), ["create", "start", "oom", "exit", "delete"], "{seen:?}");
    });
    drop(events);
    assert_no_leftovers(&containerd);
}

#[test]
fn an_exec_that_races_the_end_is_told_first() {
    let stage = Stage::new();
    // The shim learns of the exec process a moment after the init process has been killed.
    let marker = stage.pool.join("exec-is-there");
    let script = format!(
        r#"case " $* " in *" exec "*) $runtime "$@"; status=$?; touch {}; sleep 1; exit $status ;; esac
        exec $runtime "$@""#,
        marker.display()
    );
    let programs = stage.pool.mkdir("slow");
    stage.pool.install("containerd-shim-red-v2", "slow/containerd-shim-red-v2");
    runtime_wrapper(&stage, "slow/red-runtime", &script);
    let Some(containerd) = Containerd::with_programs(&stage, &programs) else {
        return red_tests::skip("containerd is not installed");
    };
    let events = Events::new(&containerd);
    for_each_rootfs(&stage, |root, id| {
        containerd.run_detached(root, id, "sleep 1000");
        let mut exec =
            containerd.command(&["task", "exec", "-d", "--exec-id", "y", id, "/usr/bin/sleep", "1000"]);
        let mut exec = exec.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("spawn");
        eventually("the exec process is there", || marker.exists());
        containerd.ctr(&["task", "kill", "--signal", "KILL", id]).good();
        containerd.wait_status(id, "STOPPED");
        drop(exec.wait());
        containerd.ctr(&["task", "delete", id]);
        containerd.ctr(&["container", "delete", id]).good();
        let seen = events.of(id);
        let expected = ["create", "start", "exec-added", "exec-started", "exit", "exit", "delete"];
        assert_eq!(topics(&seen), expected, "{seen:?}");
        assert_eq!((&seen[4].1["id"], &seen[5].1["id"]), (&"y".into(), &id.into()));
        fs::remove_file(&marker).expect("exists");
    });
    drop(events);
    assert_no_leftovers(&containerd);
}
