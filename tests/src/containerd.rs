//! A containerd daemon with its own state, namespace, sockets and configuration.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::call::{Said, built, run};
use crate::podman::through_files;
use crate::stage::{Stage, eventually};

/// Runtime name of red-runtime's shim.
pub const RED: &str = "io.containerd.red.v2";

/// Runtime name of containerd's runc shim.
pub const STOCK: &str = "io.containerd.runc.v2";

/// A containerd daemon, killed on drop with all of its containers.
#[derive(Debug)]
pub struct Containerd {
    dir: PathBuf,
    namespace: String,
    programs: PathBuf,
    prefix: PathBuf,
    daemon: Child,
    ids: Mutex<BTreeSet<String>>,
}

impl Containerd {
    /// Starts a daemon with the built shim, and with a policy that allows the nodes of the stage. `None` if containerd
    /// is not installed.
    #[must_use]
    pub fn new(stage: &Stage) -> Option<Self> {
        Self::with_programs(stage, built("red-runtime").parent()?)
    }

    /// Starts a daemon with a directory of programs in front of `PATH`.
    ///
    /// # Panics
    /// containerd does not start.
    #[must_use]
    pub fn with_programs(stage: &Stage, programs: &Path) -> Option<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        for program in ["containerd", "ctr"] {
            run(Command::new("which").arg(program)).out.lines().next()?;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = stage.pool.mkdir(format!("containerd{number}"));
        stage.pool.write(
            "prefix/etc/redpak/policy.yaml",
            // The pool must not contain containerd's own storage.
            format!("pools: [{{path: {}}}]\n", stage.pool.join("core").display()),
        );
        let config = format!(
            "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.cri.v1.images\", \
             \"io.containerd.cri.v1.runtime\", \"io.containerd.nri.v1.nri\"]\n\
             [debug]\nlevel = \"debug\"\n[grpc]\naddress = \"{0}/sock\"\n[ttrpc]\naddress = \"{0}/sock.ttrpc\"\n\
             [plugins.\"io.containerd.internal.v1.opt\"]\npath = \"{0}/opt\"\n",
            dir.display()
        );
        fs::write(dir.join("config.toml"), config).expect("test directory is writable");
        let namespace = format!("red-test-{}-{number}", std::process::id());
        let (programs, prefix) = (programs.to_owned(), stage.pool.join("prefix"));
        let daemon = spawn(&dir, &programs, &prefix);
        let this = Self { dir, namespace, programs, prefix, daemon, ids: Mutex::default() };
        this.wait_ready();
        Some(this)
    }

    fn wait_ready(&self) {
        eventually("containerd responds", || self.ctr(&["version"]).code == 0);
    }

    /// Kills the daemon; its shims and containers keep running.
    pub fn kill_daemon(&mut self) {
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }

    /// Starts the daemon again.
    pub fn start_daemon(&mut self) {
        self.daemon = spawn(&self.dir, &self.programs, &self.prefix);
        self.wait_ready();
    }

    /// Directory of the daemon's files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// containerd namespace of the test.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Log of the daemon.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Major and minor version: 1.6, 1.7, 2.1.
    #[must_use]
    pub fn release(&self) -> (u32, u32) {
        let output = run(Command::new("containerd").arg("--version")).out;
        let numbers = output.split(' ').nth(2).unwrap_or_default();
        let mut numbers = numbers.split('.').map(|number| number.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    /// `ctr` command.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.dir.join("sock")).arg("--namespace").arg(&self.namespace);
        match args {
            // ctr leaves the FIFOs of a detached exec process behind.
            ["task", "exec", rest @ ..] => {
                command.args(["task", "exec", "--fifo-dir"]).arg(self.dir.join("fifo")).args(rest)
            }
            _ => command.args(args),
        };
        command.stdin(Stdio::null());
        command
    }

    /// Runs `ctr`.
    pub fn ctr(&self, args: &[&str]) -> Said {
        through_files(&self.dir, self.command(args))
    }

    /// `ctr run` command for a rootfs, with red-runtime's shim.
    pub fn run_command(&self, options: &[&str], root: &Rootfs, id: &str, command: &[&str]) -> Command {
        let fifos = self.dir.join("fifo").display().to_string();
        let mut args = vec!["run", "--runtime", RED, "--fifo-dir", &fifos];
        if !has_shares() {
            args.extend(["--cpu-shares", "0"]);
        }
        args.extend(options);
        args.extend(root.options.iter().map(String::as_str));
        args.extend(["--rootfs", &root.path, id]);
        args.extend(command);
        self.ids.lock().expect("lock is not poisoned").insert(id.to_owned());
        self.command(&args)
    }

    /// Runs `ctr run` with red-runtime's shim.
    pub fn run(&self, options: &[&str], root: &Rootfs, id: &str, command: &[&str]) -> Said {
        through_files(&self.dir, self.run_command(options, root, id, command))
    }

    /// Runs a shell script in a new container, and waits for it.
    pub fn sh(&self, root: &Rootfs, id: &str, script: &str) -> Said {
        self.run(&["--rm"], root, id, &["/usr/bin/sh", "-c", script])
    }

    /// Runs a shell script in a new detached container.
    ///
    /// # Panics
    /// The container does not start.
    pub fn run_detached(&self, root: &Rootfs, id: &str, script: &str) {
        self.run(&["-d"], root, id, &["/usr/bin/sh", "-c", script]).good();
    }

    /// Runs a shell script as an exec process of a container.
    pub fn exec(&self, id: &str, exec_id: &str, script: &str) -> Said {
        self.ctr(&["task", "exec", "--exec-id", exec_id, id, "/usr/bin/sh", "-c", script])
    }

    /// Kills and deletes a container.
    pub fn remove(&self, id: &str) {
        self.ctr(&["task", "kill", "--signal", "KILL", id]);
        self.ctr(&["task", "delete", "--force", id]);
        self.ctr(&["container", "delete", id]);
    }

    /// Deletes a stopped container, and returns its exit status.
    ///
    /// # Panics
    /// The container is not stopped.
    pub fn delete_stopped(&self, id: &str) -> i32 {
        // `ctr` logs a non-zero exit status, but exits with 0.
        let output = self.ctr(&["task", "delete", id]).good();
        self.ctr(&["container", "delete", id]).good();
        let code = output.err.split("exit with non-zero exit code ").nth(1).unwrap_or("0");
        let code: String = code.chars().take_while(char::is_ascii_digit).collect();
        code.parse().unwrap_or_else(|_| panic!("{}", output.err))
    }

    /// Status of a task as `ctr` prints it; empty if there is no such task.
    #[must_use]
    pub fn status(&self, id: &str) -> String {
        let listed = self.ctr(&["task", "list"]).out;
        let line = listed.lines().find(|line| line.split_whitespace().next() == Some(id));
        line.and_then(|line| line.split_whitespace().nth(2)).unwrap_or_default().to_owned()
    }

    /// Waits until a task has a status.
    ///
    /// # Panics
    /// Timeout.
    pub fn wait_status(&self, id: &str, expected: &str) {
        eventually(&format!("{id} is `{expected}`"), || self.status(id) == expected);
    }

    /// PID of a container's init process.
    ///
    /// # Panics
    /// There is no such task.
    #[must_use]
    pub fn pid(&self, id: &str) -> u32 {
        let listed = self.ctr(&["task", "list"]).out;
        let line = listed.lines().find(|line| line.split_whitespace().next() == Some(id));
        let pid = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|pid| pid.parse().ok());
        pid.unwrap_or_else(|| panic!("no task {id}:\n{listed}"))
    }

    /// Bundle directory of a container.
    #[must_use]
    pub fn bundle(&self, id: &str) -> PathBuf {
        self.dir.join("state/io.containerd.runtime.v2.task").join(&self.namespace).join(id)
    }

    /// Socket path of the shim of a container or group.
    ///
    /// # Panics
    /// sha256sum(1) is not installed.
    #[must_use]
    pub fn shim_socket(&self, group: &str) -> PathBuf {
        let format = r#"printf '%s\0%s\0%s' "$@" | sha256sum"#;
        let sock = self.dir.join("sock");
        let mut sum = Command::new("sh");
        sum.args(["-c", format, "sh"]).arg(sock).args([&self.namespace, group]);
        let output = run(&mut sum).good().out;
        Path::new("/run/containerd/s").join(output.split(' ').next().unwrap_or_default())
    }

    /// PIDs of the running shims, found by the daemon's address on their command line.
    #[must_use]
    pub fn shim_pids(&self) -> Vec<i32> {
        let all = processes_matching(&self.dir.display().to_string());
        all.into_iter().filter(|(_, line)| line.contains("containerd-shim")).map(|(pid, _)| pid).collect()
    }

    /// State directories of the runtime under red-runtime's shim and under the runc shim.
    fn state_dirs(&self) -> [PathBuf; 2] {
        ["red", "runc"].map(|shim| Path::new("/run/containerd").join(shim).join(&self.namespace))
    }

    /// Processes, mounts, cgroups and files left by containers, after waiting up to five seconds for their cleanup.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        for _ in 0..250 {
            if self.find_leftovers().is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        self.find_leftovers()
    }

    fn find_leftovers(&self) -> Vec<String> {
        let dir = self.dir.display().to_string();
        let mut found: Vec<String> = processes_matching(&dir)
            .into_iter()
            .filter(|(_, line)| !line.starts_with("containerd ") && !line.starts_with("ctr "))
            .map(|(pid, line)| format!("process {pid}: {line}"))
            .collect();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        found.extend(mounts.lines().filter(|line| line.contains(&dir)).map(str::to_owned));
        let bundles = self.dir.join("state/io.containerd.runtime.v2.task").join(&self.namespace);
        for dir in self.state_dirs().into_iter().chain([bundles]).chain(self.cgroups()) {
            found.extend(
                dir_entries(&dir)
                    .map(|path| path.display().to_string())
                    .filter(|path| !path.ends_with(".lock")),
            );
        }
        let ids = self.ids.lock().expect("lock is not poisoned").clone();
        let sockets = ids.iter().map(|id| self.shim_socket(id)).filter(|path| path.exists());
        found.extend(sockets.map(|path| path.display().to_string()));
        found
    }

    /// Cgroups of the namespace, in every hierarchy.
    fn cgroups(&self) -> Vec<PathBuf> {
        let all = run(Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name", &self.namespace]));
        all.out.lines().map(PathBuf::from).collect()
    }
}

/// Whether there is a cpu controller for the CPU shares that `ctr run` sets by default.
fn has_shares() -> bool {
    let unified = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers");
    unified.map_or(true, |names| names.split_whitespace().any(|name| name == "cpu"))
}

fn spawn(dir: &Path, programs: &Path, prefix: &Path) -> Child {
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

fn dir_entries(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    // A cgroup's files are no leftovers, only child cgroups are.
    let cgroup = dir.starts_with("/sys");
    entries.map(|entry| entry.path()).filter(move |path| !cgroup || path.is_dir())
}

impl Drop for Containerd {
    fn drop(&mut self) {
        for id in self.ctr(&["container", "list", "-q"]).out.lines() {
            self.remove(id);
        }
        self.kill_daemon();
        let dir = self.dir.display().to_string();
        for (pid, _) in processes_matching(&dir) {
            kill(pid);
        }
        for state_dir in self.state_dirs().into_iter().filter(|state_dir| state_dir.exists()) {
            let runtime = |args: &[&str]| {
                run(Command::new(built("red-runtime")).arg("--root").arg(&state_dir).args(args))
            };
            for id in runtime(&["list", "-q"]).out.lines() {
                runtime(&["delete", "--force", id]);
            }
            drop(fs::remove_dir_all(state_dir));
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for line in mounts.lines().rev().filter(|line| line.contains(&dir)) {
            run(Command::new("umount").arg("--lazy").args(line.split(' ').nth(1)));
        }
        for id in self.ids.lock().expect("lock is not poisoned").iter() {
            drop(fs::remove_file(self.shim_socket(id)));
        }
        for cgroup in self.cgroups() {
            drop(run(Command::new("find").arg(cgroup).args(["-depth", "-type", "d", "-delete"])));
        }
    }
}

/// A rootfs for `ctr run --rootfs`.
#[derive(Debug)]
pub struct Rootfs {
    /// Name in messages and container IDs.
    pub name: &'static str,
    /// Directory of the rootfs.
    pub path: String,
    /// Options of `ctr run` that it needs.
    pub options: Vec<String>,
}

impl Rootfs {
    /// The leaf node of a stage.
    #[must_use]
    pub fn node(stage: &Stage) -> Self {
        Self { name: "node", path: stage.leaf.display().to_string(), options: Vec::new() }
    }

    /// A plain directory with the host's `/usr`.
    ///
    /// # Panics
    /// The directory cannot be created.
    #[must_use]
    pub fn plain(stage: &Stage) -> Self {
        let root = stage.plain("plain", &["true"], |_| {}).join("rootfs");
        for below in ["usr", "tmp"] {
            fs::create_dir(root.join(below)).expect("test directory is writable");
        }
        let usr = ["--mount", "type=bind,src=/usr,dst=/usr,options=rbind:ro"];
        let path = ["--env", "PATH=/usr/bin:/usr/sbin"];
        let options = usr.into_iter().chain(path).map(str::to_owned).collect();
        Self { name: "plain", path: root.display().to_string(), options }
    }

    /// The node and the plain directory.
    #[must_use]
    pub fn both(stage: &Stage) -> [Self; 2] {
        [Self::node(stage), Self::plain(stage)]
    }
}
