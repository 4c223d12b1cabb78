//! podman with the runtime that is tested.

use std::fs;
use std::process::{Command, Stdio};

use red_tests::call::{Said, run};
use red_tests::podman::through_files;
use red_tests::stage::{Stage, eventually};

use super::{cgroup, here, hierarchy, is_root, property};

/// podman as it is installed, with storage of its own.
struct Podman {
    stage: Stage,
}

impl Podman {
    fn call(&self, args: &[&str]) -> Said {
        let mut command = Command::new("podman");
        for (option, below) in [("--root", "storage"), ("--runroot", "runroot"), ("--tmpdir", "tmp")] {
            command.arg(option).arg(self.stage.pool.mkdir(below));
        }
        command.arg("--log-level=error").args(args).stdin(Stdio::null());
        through_files(self.stage.pool.path(), command)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.call(&["rm", "--all", "--force", "--time", "0"]);
        // The overlay of root's storage stays mounted, and rootless podman's pause process alive.
        self.call(&["system", "migrate"]);
        run(Command::new("umount").arg("--quiet").arg(self.stage.pool.join("storage/overlay")));
    }
}

#[test]
fn podman_puts_a_container_into_a_scope_with_its_limits() {
    if !here() {
        return;
    }
    let podman = Podman { stage: Stage::new() };
    podman.stage.plain("plain", &["true"], |_| ());
    let root = podman.stage.pool.join("plain/rootfs").display().to_string();
    let options = ["run", "--detach", "--runtime", "red-runtime", "--network", "none", "--memory", "64m"];
    let rest = ["--pids-limit", "50", "--volume", "/usr:/usr:ro", "--rootfs", &root, "sleep", "1000"];
    let id = podman.call(&[&options[..], &rest].concat()).good().out.trim().to_owned();
    let pid = podman.call(&["inspect", "--format", "{{.State.Pid}}", &id]).good().out.trim().to_owned();
    let used = podman.call(&["inspect", "--format", "{{.OCIRuntime}}", &id]).good().out;
    assert_eq!(used.trim(), "red-runtime");

    let scope = format!("libpod-{id}.scope");
    let place = cgroup(&pid);
    let parent = if is_root() { "/machine.slice/" } else { "/user.slice/user-" };
    assert!(place.starts_with(parent) && place.contains(&scope), "{place}");
    assert_eq!(property(&scope, "ActiveState"), "active");
    assert_eq!(property(&scope, "MemoryMax"), (64 << 20).to_string());
    assert_eq!(property(&scope, "TasksMax"), "50");
    let at = format!("/{}", property(&scope, "ControlGroup").trim_start_matches('/'));
    assert!(place.starts_with(&at), "{place}, {at}");
    let limit = fs::read_to_string(hierarchy(&at).join("memory.max")).expect("the scope's cgroup");
    assert_eq!(limit.trim(), (64 << 20).to_string());

    podman.call(&["rm", "--force", "--time", "0", &id]).good();
    eventually("the scope is gone", || property(&scope, "ActiveState") == "inactive");
    assert!(!hierarchy(&at).exists(), "{at}");
}
