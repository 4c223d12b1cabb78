//! What only a machine with systemd and cgroup v2 shows: run by `tests/guest`, as root and as an ordinary user.

mod engine;
mod limits;
mod surroundings;
mod units;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use red_tests::call::{Said, built, run};
use red_tests::stage::Stage;
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

/// A transient service that ends with the test.
struct Service {
    name: String,
}

impl Service {
    fn named(name: &str) -> Self {
        Self { name: format!("red-test-{name}-{}.service", std::process::id()) }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        of_manager("systemctl", &["stop", &self.name]);
        of_manager("systemctl", &["reset-failed", &self.name]);
    }
}

/// red-wrap of a stage, as words of a command.
struct Wrapped {
    stage: Stage,
    words: Vec<String>,
}

impl Wrapped {
    /// Of nodes without limits.
    fn new() -> Self {
        Self::of(Stage::new())
    }

    /// Of nodes that set limits.
    fn limited() -> Self {
        Self::of(Stage::with(", cgroups: {mem: {max: 60M}, pids: {max: 40}}", ""))
    }

    fn of(stage: Stage) -> Self {
        let wrap = stage.pool.join("red-wrap");
        std::os::unix::fs::symlink(built("red-runtime"), &wrap).expect("it is ours");
        let root = format!("--root={}", stage.root.display());
        let redpath = format!("--redpath={}", stage.leaf.display());
        let words = vec![wrap.display().to_string(), root, redpath, "--".into()];
        Self { stage, words }
    }

    /// What the service manager is to start, with options of its own.
    fn by_manager(&self, options: &[&str], command: &[&str]) -> Said {
        let words = self.words.iter().map(String::as_str);
        let all: Vec<&str> = options.iter().copied().chain(words).chain(command.iter().copied()).collect();
        of_manager("systemd-run", &all)
    }
}
