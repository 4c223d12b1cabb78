//! What only a machine with systemd and cgroup v2 shows: run by `tests/guest`, as root and as an ordinary user.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use red_tests::call::{Said, built, run};
use red_tests::podman::through_files;
use red_tests::stage::{Stage, eventually};
use red_tests::{in_guest, remark};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether this is the guest; says so if not.
fn here() -> bool {
    if !in_guest() {
        remark("not in the guest machine: `tests/guest run guest user/guest`");
    }
    in_guest()
}

/// A tool of the service manager that is asked for what is the caller's.
fn of_manager(tool: &str, args: &[&str]) -> Said {
    let mut command = Command::new(tool);
    if !is_root() {
        command.arg("--user");
    }
    run(command.args(args).stdin(Stdio::null()))
}

fn property(unit: &str, name: &str) -> String {
    of_manager("systemctl", &["show", "--value", "--property", name, unit]).good().out.trim().to_owned()
}

/// Cgroup of a process, below the mount of the hierarchy.
fn cgroup(pid: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("the process is there");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 1, "more than one hierarchy:\n{text}");
    lines[0].strip_prefix("0::").expect("the unified hierarchy").to_owned()
}

/// Processes of a cgroup and of those below.
fn processes(cgroup: &Path) -> Vec<String> {
    let own = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let mut all: Vec<String> = own.lines().map(str::to_owned).collect();
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            all.extend(processes(&entry.path()));
        }
    }
    all
}

fn hierarchy(cgroup: &str) -> PathBuf {
    Path::new("/sys/fs/cgroup").join(cgroup.trim_start_matches('/'))
}

#[test]
fn the_guest_is_what_it_is_for() {
    if !here() {
        return;
    }
    assert_eq!(fs::read_to_string("/proc/1/comm").expect("proc is mounted").trim(), "systemd");
    assert!(Path::new("/run/systemd/system").is_dir());
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").expect("cgroup v2 is mounted");
    for needed in ["cpu", "io", "memory", "pids"] {
        assert!(controllers.split_whitespace().any(|one| one == needed), "{needed}: {controllers}");
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("proc is mounted");
    assert!(!mounts.contains(" - cgroup "), "a hierarchy of version 1:\n{mounts}");
    // As after a login.
    let own = cgroup("self");
    assert!(
        own.starts_with("/user.slice/user-") && own.contains("/session-") && own.ends_with(".scope"),
        "{own}"
    );
}

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

/// A transient service that ends with the test.
struct Service {
    name: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        of_manager("systemctl", &["stop", &self.name]);
        of_manager("systemctl", &["reset-failed", &self.name]);
    }
}

#[test]
fn a_node_in_a_service_has_its_journal_and_ends_with_it() {
    if !here() {
        return;
    }
    let stage = Stage::new();
    let wrap = stage.pool.join("red-wrap");
    std::os::unix::fs::symlink(built("red-runtime"), &wrap).expect("it is ours");
    let service = Service { name: format!("red-test-{}.service", std::process::id()) };
    let unit = format!("--unit={}", service.name);
    let root = format!("--root={}", stage.root.display());
    let redpath = format!("--redpath={}", stage.leaf.display());
    let wrap = wrap.display().to_string();
    let script = "echo node $WHO speaks; exec sleep 1000";
    let all = ["--quiet", &unit, &wrap, &root, &redpath, "--", "sh", "-c", script];
    of_manager("systemd-run", &all).good();

    // The user manager's journal is a part of the system's.
    let field = if is_root() { "_SYSTEMD_UNIT" } else { "_SYSTEMD_USER_UNIT" };
    let journal = || {
        let matches = format!("{field}={}", service.name);
        run(Command::new("journalctl").args(["--quiet", "--no-pager", "--output=cat", &matches])).out
    };
    eventually("the node's output is in the unit's journal", || journal().contains("node app speaks\n"));
    assert_eq!(property(&service.name, "ActiveState"), "active", "{}", journal());

    let inside = hierarchy(&property(&service.name, "ControlGroup"));
    let line = |pid: &String| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let pids = processes(&inside);
    assert!(
        pids.iter().any(|pid| line(pid).starts_with(b"sleep\0")),
        "not in {}: {pids:?}",
        inside.display()
    );

    of_manager("systemctl", &["stop", &service.name]).good();
    let there = |pid: &&String| Path::new("/proc").join(pid).exists();
    eventually("no process is left", || pids.iter().find(there).is_none());
    assert!(!inside.exists(), "{}", inside.display());
    assert_eq!(stage.left("app"), Vec::<String>::new());
}
