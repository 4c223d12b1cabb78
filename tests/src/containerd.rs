//! containerd with state of its own: a namespace, sockets and a configuration that no other test has.

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

/// Name of our shim for containerd.
pub const RED: &str = "io.containerd.red.v2";

/// Name of containerd's own one.
pub const STOCK: &str = "io.containerd.runc.v2";

/// The daemon, which is ended with the test, and everything that it has started.
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
    /// Starts one whose shims are found beside the test. Nodes of the stage may be started. `None` when containerd
    /// is not installed.
    #[must_use]
    pub fn new(stage: &Stage) -> Option<Self> {
        Self::with(stage, built("red-runtime").parent()?)
    }

    /// The same, with programs of this directory before those of the machine.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn with(stage: &Stage, programs: &Path) -> Option<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        for program in ["containerd", "ctr"] {
            run(Command::new("which").arg(program)).out.lines().next()?;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = stage.pool.mkdir(format!("containerd{number}"));
        stage.pool.write(
            "prefix/etc/redpak/policy.yaml",
            // The engine's own storage lies beside the nodes, not among them.
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
        fs::write(dir.join("config.toml"), config).expect("it is ours");
        let namespace = format!("red-test-{}-{number}", std::process::id());
        let (programs, prefix) = (programs.to_owned(), stage.pool.join("prefix"));
        let daemon = spawn(&dir, &programs, &prefix);
        let this = Self { dir, namespace, programs, prefix, daemon, ids: Mutex::default() };
        this.answers();
        Some(this)
    }

    fn answers(&self) {
        eventually("containerd answers", || self.ctr(&["version"]).code == 0);
    }

    /// Ends the daemon at once; what it has started goes on.
    pub fn stop(&mut self) {
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }

    /// Starts it again.
    pub fn restart(&mut self) {
        self.daemon = spawn(&self.dir, &self.programs, &self.prefix);
        self.answers();
    }

    /// Directory with its files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Its first two numbers: of 1.6, 1.7, 2.1.
    #[must_use]
    pub fn release(&self) -> (u32, u32) {
        let said = run(Command::new("containerd").arg("--version")).out;
        let numbers = said.split(' ').nth(2).unwrap_or_default();
        let mut numbers = numbers.split('.').map(|number| number.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    /// `ctr`, not yet started.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.dir.join("sock")).arg("--namespace").arg(&self.namespace);
        match args {
            // Fifos of a process that nobody waits for stay otherwise.
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

    /// `ctr run` with the options of a root, not yet started.
    pub fn run_command(&self, options: &[&str], root: &Root, id: &str, command: &[&str]) -> Command {
        let fifos = self.dir.join("fifo").display().to_string();
        let mut all = vec!["run", "--runtime", RED, "--fifo-dir", &fifos];
        if !has_shares() {
            all.extend(["--cpu-shares", "0"]);
        }
        all.extend(options);
        all.extend(root.options.iter().map(String::as_str));
        all.extend(["--rootfs", &root.path, id]);
        all.extend(command);
        self.ids.lock().expect("no test panics with it").insert(id.to_owned());
        self.command(&all)
    }

    /// Runs `ctr run` with our shim.
    pub fn run(&self, options: &[&str], root: &Root, id: &str, command: &[&str]) -> Said {
        through_files(&self.dir, self.run_command(options, root, id, command))
    }

    /// Runs a shell in a container of that name, to its end.
    pub fn sh(&self, root: &Root, id: &str, script: &str) -> Said {
        self.run(&["--rm"], root, id, &["/usr/bin/sh", "-c", script])
    }

    /// Runs a shell in a container beside it.
    ///
    /// # Panics
    /// It does not start.
    pub fn detached(&self, root: &Root, id: &str, script: &str) {
        self.run(&["-d"], root, id, &["/usr/bin/sh", "-c", script]).good();
    }

    /// Runs a further command in a container, with a name of its own.
    pub fn exec(&self, id: &str, exec_id: &str, script: &str) -> Said {
        self.ctr(&["task", "exec", "--exec-id", exec_id, id, "/usr/bin/sh", "-c", script])
    }

    /// Ends containers with all that is in them, and removes them.
    pub fn remove(&self, id: &str) {
        self.ctr(&["task", "kill", "--signal", "KILL", id]);
        self.ctr(&["task", "delete", "--force", id]);
        self.ctr(&["container", "delete", id]);
    }

    /// Removes a container whose task has ended, and gives the task's status.
    ///
    /// # Panics
    /// It has not.
    pub fn ended(&self, id: &str) -> i32 {
        // `ctr` tells a status other than 0 in its log and ends with 0.
        let said = self.ctr(&["task", "delete", id]).good();
        self.ctr(&["container", "delete", id]).good();
        let code = said.err.split("exit with non-zero exit code ").nth(1).unwrap_or("0");
        let code: String = code.chars().take_while(char::is_ascii_digit).collect();
        code.parse().unwrap_or_else(|_| panic!("{}", said.err))
    }

    /// Where a task stands, in `ctr`'s words; nothing when there is none.
    #[must_use]
    pub fn status(&self, id: &str) -> String {
        let listed = self.ctr(&["task", "list"]).out;
        let line = listed.lines().find(|line| line.split_whitespace().next() == Some(id));
        line.and_then(|line| line.split_whitespace().nth(2)).unwrap_or_default().to_owned()
    }

    /// Waits until a task stands there.
    ///
    /// # Panics
    /// It takes too long.
    pub fn wait_status(&self, id: &str, wanted: &str) {
        eventually(&format!("{id} is `{wanted}`"), || self.status(id) == wanted);
    }

    /// Number of a container's first process.
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

    /// Directory of a container's bundle.
    #[must_use]
    pub fn bundle(&self, id: &str) -> PathBuf {
        self.dir.join("state/io.containerd.runtime.v2.task").join(&self.namespace).join(id)
    }

    /// Where the shim of a container, or of a group, listens.
    ///
    /// # Panics
    /// coreutils are missing.
    #[must_use]
    pub fn socket(&self, group: &str) -> PathBuf {
        let format = r#"printf '%s\0%s\0%s' "$@" | sha256sum"#;
        let sock = self.dir.join("sock");
        let mut sum = Command::new("sh");
        sum.args(["-c", format, "sh"]).arg(sock).args([&self.namespace, group]);
        let said = run(&mut sum).good().out;
        Path::new("/run/containerd/s").join(said.split(' ').next().unwrap_or_default())
    }

    /// Shims that run, by the daemon's address on their command line.
    #[must_use]
    pub fn shims(&self) -> Vec<i32> {
        let all = processes(&self.dir.display().to_string());
        all.into_iter().filter(|(_, line)| line.contains("containerd-shim")).map(|(pid, _)| pid).collect()
    }

    /// Where the runtime has its states, under our shim and under containerd's own.
    fn states(&self) -> [PathBuf; 2] {
        ["red", "runc"].map(|shim| Path::new("/run/containerd").join(shim).join(&self.namespace))
    }

    /// What is left of its containers, asked until nothing is, or for five seconds: what was told to end needs a
    /// moment.
    #[must_use]
    pub fn left(&self) -> Vec<String> {
        for _ in 0..250 {
            if self.traces().is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        self.traces()
    }

    fn traces(&self) -> Vec<String> {
        let dir = self.dir.display().to_string();
        let mut found: Vec<String> = processes(&dir)
            .into_iter()
            .filter(|(_, line)| !line.starts_with("containerd ") && !line.starts_with("ctr "))
            .map(|(pid, line)| format!("process {pid}: {line}"))
            .collect();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        found.extend(mounts.lines().filter(|line| line.contains(&dir)).map(str::to_owned));
        let bundles = self.dir.join("state/io.containerd.runtime.v2.task").join(&self.namespace);
        for dir in self.states().into_iter().chain([bundles]).chain(self.cgroups()) {
            found.extend(
                below(&dir).map(|path| path.display().to_string()).filter(|path| !path.ends_with(".lock")),
            );
        }
        let ids = self.ids.lock().expect("no test panics with it").clone();
        let sockets = ids.iter().map(|id| self.socket(id)).filter(|path| path.exists());
        found.extend(sockets.map(|path| path.display().to_string()));
        found
    }

    /// Cgroups of its namespace, in every hierarchy.
    fn cgroups(&self) -> Vec<PathBuf> {
        let all = run(Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name", &self.namespace]));
        all.out.lines().map(PathBuf::from).collect()
    }
}

/// Whether processors can be shared out, as `ctr run` asks for without being told.
fn has_shares() -> bool {
    let unified = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers");
    unified.map_or(true, |names| names.split_whitespace().any(|name| name == "cpu"))
}

fn spawn(dir: &Path, programs: &Path, prefix: &Path) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).expect("it is ours");
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display());
    let mut command = Command::new("containerd");
    command.arg("--config").arg(dir.join("config.toml")).env("PATH", path).env("NODE_PREFIX", prefix);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
    command.spawn().expect("it is installed")
}

/// Processes with this on their command line, but for the test itself.
fn processes(word: &str) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if pid != std::process::id() && line.contains(word) {
            found.push((i32::try_from(pid).unwrap_or(i32::MAX), line));
        }
    }
    found
}

/// Ends a process at once; it may have gone by itself.
pub fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        kill_process(pid, Signal::KILL).unwrap_or(());
    }
}

fn below(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    // The files of a cgroup are the kernel's.
    let cgroup = dir.starts_with("/sys");
    entries.map(|entry| entry.path()).filter(move |path| !cgroup || path.is_dir())
}

impl Drop for Containerd {
    fn drop(&mut self) {
        for id in self.ctr(&["container", "list", "-q"]).out.lines() {
            self.remove(id);
        }
        self.stop();
        let dir = self.dir.display().to_string();
        for (pid, _) in processes(&dir) {
            kill(pid);
        }
        for states in self.states().into_iter().filter(|states| states.exists()) {
            let runtime =
                |args: &[&str]| run(Command::new(built("red-runtime")).arg("--root").arg(&states).args(args));
            for id in runtime(&["list", "-q"]).out.lines() {
                runtime(&["delete", "--force", id]);
            }
            drop(fs::remove_dir_all(states));
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for line in mounts.lines().rev().filter(|line| line.contains(&dir)) {
            run(Command::new("umount").arg("--lazy").args(line.split(' ').nth(1)));
        }
        for id in self.ids.lock().expect("no test panics with it").iter() {
            drop(fs::remove_file(self.socket(id)));
        }
        for cgroup in self.cgroups() {
            drop(run(Command::new("find").arg(cgroup).args(["-depth", "-type", "d", "-delete"])));
        }
    }
}

/// A root that `ctr run --rootfs` takes.
#[derive(Debug)]
pub struct Root {
    /// What it is, for messages and names.
    pub name: &'static str,
    /// Its directory.
    pub path: String,
    /// What `ctr run` needs for it.
    pub options: Vec<String>,
}

impl Root {
    /// The leaf of a stage.
    #[must_use]
    pub fn node(stage: &Stage) -> Self {
        Self { name: "node", path: stage.leaf.display().to_string(), options: Vec::new() }
    }

    /// A plain directory with the machine's programs.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn plain(stage: &Stage) -> Self {
        let root = stage.plain("plain", &["true"], |_| {}).join("rootfs");
        for below in ["usr", "tmp"] {
            fs::create_dir(root.join(below)).expect("it is ours");
        }
        let usr = ["--mount", "type=bind,src=/usr,dst=/usr,options=rbind:ro"];
        let path = ["--env", "PATH=/usr/bin:/usr/sbin"];
        let options = usr.into_iter().chain(path).map(str::to_owned).collect();
        Self { name: "plain", path: root.display().to_string(), options }
    }

    /// Both.
    #[must_use]
    pub fn both(stage: &Stage) -> [Self; 2] {
        [Self::node(stage), Self::plain(stage)]
    }
}
