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

/// red-wrap of a stage whose nodes set limits, as words of a command.
struct Limited {
    stage: Stage,
    words: Vec<String>,
}

impl Limited {
    fn new() -> Self {
        let stage = Stage::with(", cgroups: {mem: {max: 60M}, pids: {max: 40}}", "");
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

#[test]
fn the_limits_of_a_node_hold_wherever_it_is_started() {
    if !here() {
        return;
    }
    let node = Limited::new();
    // Until the memory is at its end.
    let command = ["sh", "-c", "tail /dev/zero; echo status $?"];
    let session = run(Command::new(&node.words[0]).args(&node.words[1..]).args(command));
    let wait = ["--quiet", "--wait", "--pipe"];
    let delegated = ["--quiet", "--wait", "--pipe", "--property=Delegate=yes"];
    let handed_on = [&delegated[..], &["--property=DelegateSubgroup=main"]].concat();
    let scope = ["--quiet", "--scope", "--property=Delegate=yes"];
    let all = [
        ("session", session),
        ("service", node.by_manager(&wait, &command)),
        ("delegated service", node.by_manager(&delegated, &command)),
        ("delegated service with a subgroup", node.by_manager(&handed_on, &command)),
        ("delegated scope", node.by_manager(&scope, &command)),
    ];
    for (place, said) in all {
        assert!(said.out.contains("status 137"), "{place}: {}{}", said.out, said.err);
        let is_warned = said.err.contains("has no `Delegate=yes`");
        assert_eq!(is_warned, place == "service", "{place}: {}", said.err);
    }
    assert_eq!(node.stage.left("app"), Vec::<String>::new());
    assert_eq!(of_manager("systemctl", &["list-units", "--all", "--no-legend", "red-app*"]).out, "");
}

#[test]
fn a_node_with_limits_stays_in_a_unit_that_delegates() {
    if !here() {
        return;
    }
    let node = Limited::new();
    let service = Service { name: format!("red-test-limited-{}.service", std::process::id()) };
    let unit = format!("--unit={}", service.name);
    let again =
        ["--quiet", &unit, "--property=Delegate=yes", "--property=Restart=always", "--property=RestartSec=1"];
    node.by_manager(&again, &["sh", "-c", "echo speaks; exec sleep 1000"]).good();
    let inside = || hierarchy(&property(&service.name, "ControlGroup"));
    let sleeps = || {
        let line = |pid: &String| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        processes(&inside()).into_iter().filter(|pid| line(pid).starts_with(b"sleep\0")).collect::<Vec<_>>()
    };
    eventually("it runs in the unit", || sleeps().len() == 1);
    // Killed from outside, with its launcher or whole, it is started again, once.
    for whom in ["main", "all"] {
        let before = sleeps();
        of_manager("systemctl", &["kill", "--signal=KILL", &format!("--kill-whom={whom}"), &service.name])
            .good();
        eventually("it runs again", || sleeps().len() == 1 && sleeps() != before);
        assert!(!Path::new("/proc").join(&before[0]).exists(), "{whom}: two of them run");
    }
    let place = cgroup(&sleeps()[0]);
    assert!(place.contains(&service.name) && place.contains("/app-"), "{place}");
    let limit = |directory: &Path| fs::read_to_string(directory.join("memory.max")).unwrap_or_default();
    let limits: Vec<String> = hierarchy(&place).ancestors().map(limit).collect();
    assert!(limits.contains(&format!("{}\n", 60 << 20)), "{place}: {limits:?}");
    let pids = processes(&inside());
    of_manager("systemctl", &["stop", &service.name]).good();
    let there = |pid: &&String| Path::new("/proc").join(pid).exists();
    eventually("no process is left", || pids.iter().find(there).is_none());
    assert!(!hierarchy(&place).exists(), "{place}");
}

/// From a user's session nobody but systemd reaches the scope.
#[test]
fn a_detached_node_with_limits_is_entered() {
    if !here() {
        return;
    }
    let node = Limited::new();
    run(&mut node.stage.wrap_command(&["--detach", "--name", "held+1"], &["sleep", "1000"])).good();
    let said = node.stage.tool("enter", &["held+1", "sh", "-c", "tail /dev/zero; echo status $?"]);
    assert!(said.out.contains("status 137"), "{}{}", said.out, said.err);
    node.stage.tool("kill", &["held+1", "KILL"]).good();
    node.stage.sweep();
    assert_eq!(of_manager("systemctl", &["list-units", "--all", "--no-legend", "red-held*"]).out, "");
}
