//! A containerd daemon with its own state, namespace, sockets and configuration.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::call::{Said, built, run};
use crate::daemon;
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
        let daemon = daemon::spawn(&dir, &programs, &prefix);
        let this = Self { dir, namespace, programs, prefix, daemon, ids: Mutex::default() };
        this.wait_ready();
        Some(this)
    }

    fn wait_ready(&self) {
        eventually("containerd responds", || self.ctr(&["version"]).code == 0);
    }

    /// Kills the daemon; its shims and containers keep running.
    pub fn kill_daemon(&mut self) {
        daemon::kill_daemon(&mut self.daemon);
    }

    /// Starts the daemon again.
    pub fn start_daemon(&mut self) {
        self.daemon = daemon::spawn(&self.dir, &self.programs, &self.prefix);
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
        // `ctr run` sets CPU shares by default.
        if !daemon::has_controller("cpu") {
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
        let [red, _stock] = self.shim_sockets(group);
        red
    }

    fn shim_sockets(&self, group: &str) -> [PathBuf; 2] {
        daemon::shim_sockets(&self.dir.join("sock"), &self.namespace, group)
    }

    /// PIDs of the running shims.
    #[must_use]
    pub fn shim_pids(&self) -> Vec<i32> {
        daemon::shim_pids(&self.dir)
    }

    /// Processes, mounts, cgroups and files left by containers, after waiting for their cleanup.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        daemon::wait_for_cleanup(|| self.find_leftovers())
    }

    fn find_leftovers(&self) -> Vec<String> {
        let mut found = daemon::processes_and_mounts(&self.dir);
        let bundles = self.dir.join("state/io.containerd.runtime.v2.task").join(&self.namespace);
        let state_dirs = daemon::state_dirs(&self.namespace);
        for dir in state_dirs.into_iter().chain([bundles]).chain(daemon::cgroups(&self.namespace)) {
            found.extend(
                dir_entries(&dir)
                    .map(|path| path.display().to_string())
                    .filter(|path| !path.ends_with(".lock")),
            );
        }
        let ids = self.ids.lock().expect("lock is not poisoned").clone();
        let sockets = ids.iter().flat_map(|id| self.shim_sockets(id)).filter(|path| path.exists());
        found.extend(sockets.map(|path| path.display().to_string()));
        found
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
        daemon::kill_processes(&self.dir);
        for state_dir in daemon::state_dirs(&self.namespace).iter().filter(|state_dir| state_dir.exists()) {
            for state in dir_entries(state_dir) {
                daemon::delete_state(state_dir, &state.file_name().unwrap_or_default().to_string_lossy());
            }
            drop(fs::remove_dir_all(state_dir));
        }
        daemon::unmount_all(&self.dir);
        for id in self.ids.lock().expect("lock is not poisoned").iter() {
            for socket in self.shim_sockets(id) {
                drop(fs::remove_file(socket));
            }
        }
        daemon::remove_cgroups(&self.namespace);
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
