//! A containerd process, and what its containers may leave behind; shared by the tests of tasks and of CRI.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::call::{built, run};

/// Directory of shim sockets.
const SOCKET_DIR: &str = "/run/containerd/s";

/// How long a cleanup is waited for.
const CLEANUP_TIMEOUT: u64 = 20;

/// Starts the daemon of `dir/config.toml`, with a directory of programs in front of `PATH`; it logs to `dir/log`.
///
/// # Panics
/// containerd is not installed, or the log cannot be written.
#[must_use]
pub fn spawn(dir: &Path, programs: &Path, prefix: &Path) -> Child {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("log"))
        .expect("test directory is writable");
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display());
    let mut command = Command::new("containerd");
    command.arg("--config").arg(dir.join("config.toml")).env("PATH", path).env("NODE_PREFIX", prefix);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
    command.spawn().expect("containerd is installed")
}

/// Kills a daemon; its shims and containers keep running.
pub fn kill_daemon(daemon: &mut Child) {
    drop(daemon.kill());
    drop(daemon.wait());
}

/// Sends SIGKILL to a process, which may have exited already.
pub fn kill(pid: i32) {
    signal(pid, Signal::KILL);
}

/// Sends a signal to a process, which may have exited already.
pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        kill_process(pid, signal).unwrap_or(());
    }
}

/// PIDs and command lines of processes whose command line contains a string, except the test itself.
fn processes_matching(needle: &str) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if pid != std::process::id() && line.contains(needle) {
            found.push((i32::try_from(pid).unwrap_or(i32::MAX), line));
        }
    }
    found
}

/// Kills all processes with the daemon's directory on their command line: shims, runtimes, clients.
pub fn kill_processes(dir: &Path) {
    processes_matching(&dir.display().to_string()).into_iter().for_each(|(pid, _)| kill(pid));
}

/// PIDs of the running shims, found by the daemon's address on their command line.
#[must_use]
pub fn shim_pids(dir: &Path) -> Vec<i32> {
    let all = processes_matching(&dir.display().to_string());
    all.into_iter().filter(|(_, line)| line.contains("containerd-shim")).map(|(pid, _)| pid).collect()
}

/// PIDs of the runtime's processes that work on a bundle of the daemon.
#[must_use]
pub fn runtime_pids(dir: &Path) -> Vec<i32> {
    let all = processes_matching(&dir.display().to_string());
    let runtimes = all.into_iter().filter(|(_, line)| {
        line.split(' ').next().is_some_and(|program| program.rsplit('/').next() == Some("red-runtime"))
    });
    runtimes.map(|(pid, _)| pid).collect()
}

/// Processes of a daemon's directory, except the daemon and clients, and mounts of it.
#[must_use]
pub fn processes_and_mounts(dir: &Path) -> Vec<String> {
    let dir = dir.display().to_string();
    let mut found: Vec<String> = processes_matching(&dir)
        .into_iter()
        .filter(|(_, line)| !line.starts_with("containerd ") && !line.starts_with("ctr "))
        .map(|(pid, line)| format!("process {pid}: {line}"))
        .collect();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    found.extend(mounts.lines().filter(|line| line.contains(&dir)).map(str::to_owned));
    found
}

/// Calls a function until it finds nothing, with a timeout, and returns what it finds.
pub fn wait_for_cleanup(find: impl Fn() -> Vec<String>) -> Vec<String> {
    let end = Instant::now() + crate::patience(CLEANUP_TIMEOUT);
    loop {
        let found = find();
        if found.is_empty() || Instant::now() > end {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Socket paths of the shim of a container or group: of red-runtime's shim, and of containerd's runc shim, which joins
/// the parts by slashes (containerd, pkg/shim, `SocketAddress`).
///
/// # Panics
/// sha256sum(1) is not installed.
#[must_use]
pub fn shim_sockets(address: &Path, namespace: &str, group: &str) -> [PathBuf; 2] {
    [r"\0", "/"].map(|separator| {
        let script = format!("printf '%s{separator}%s{separator}%s' \"$@\" | sha256sum");
        let mut sum = Command::new("sh");
        sum.args(["-c", &script, "sh"]).arg(address).args([namespace, group]);
        let output = run(&mut sum).good().out;
        Path::new(SOCKET_DIR).join(output.split(' ').next().unwrap_or_default())
    })
}

/// State directories of the runtime under red-runtime's shim and under the runc shim.
#[must_use]
pub fn state_dirs(namespace: &str) -> [PathBuf; 2] {
    ["red", "runc"].map(|shim| Path::new("/run/containerd").join(shim).join(namespace))
}

/// Deletes a container's state, whichever runtime has made it.
pub fn delete_state(state_dir: &Path, id: &str) {
    let state = state_dir.join(id);
    for runtime in [built("red-runtime"), "runc".into()] {
        if state.exists() && (runtime.is_absolute() || run(Command::new("which").arg(&runtime)).code == 0) {
            run(Command::new(runtime).arg("--root").arg(state_dir).args(["delete", "--force", id]));
        }
    }
    drop(fs::remove_dir_all(state));
}

/// Unmounts everything with the daemon's directory in its line of the mount table.
pub fn unmount_all(dir: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let dir = dir.display().to_string();
    for line in mounts.lines().rev().filter(|line| line.contains(&dir)) {
        run(Command::new("umount").arg("--lazy").args(line.split(' ').nth(1)));
    }
}

/// Cgroups of a name, in every hierarchy.
#[must_use]
pub fn cgroups(name: &str) -> Vec<PathBuf> {
    let all = run(Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name", name]));
    all.out.lines().map(PathBuf::from).collect()
}

/// Kills the processes of cgroups of a name, and removes them with their children.
pub fn remove_cgroups(name: &str) {
    let remove = || {
        for cgroup in cgroups(name) {
            let mut find = Command::new("find");
            let procs = run(find.arg(&cgroup).args(["-name", "cgroup.procs", "-exec", "cat", "{}", "+"]));
            procs.out.lines().filter_map(|pid| pid.parse().ok()).for_each(kill);
            let mut find = Command::new("find");
            run(find.arg(&cgroup).args(["-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]));
        }
        cgroups(name).into_iter().map(|cgroup| cgroup.display().to_string()).collect()
    };
    // A killed process leaves its cgroup a moment later.
    let left = wait_for_cleanup(remove);
    if !left.is_empty() {
        crate::remark(&format!("cgroups could not be removed: {left:?}"));
    }
}

/// Whether there is a cgroup controller.
#[must_use]
pub fn has_controller(controller: &str) -> bool {
    match fs::read_to_string("/sys/fs/cgroup/cgroup.controllers") {
        Ok(all) => all.split_whitespace().any(|one| one == controller),
        Err(_) => Path::new("/sys/fs/cgroup").join(controller).is_dir(),
    }
}
