//! containerd with its CRI plugin, and nothing of it that another test or the machine has.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use k8s_cri::v1::{ListPodSandboxRequest, PodSandboxFilter, RemovePodSandboxRequest, StopPodSandboxRequest};
use red_tests::call::{Said, built, run};
use red_tests::podman::through_files;
use red_tests::stage::{Stage, eventually};
use red_tests::{remark, skip};
use rustix::process::{Pid, Signal, kill_process};

use crate::client::Client;
use crate::configuration;
use crate::images;

/// Namespace of containerd that CRI uses; it cannot be chosen.
const NAMESPACE: &str = "k8s.io";

/// Where shims listen, whatever daemon they are of.
const SOCKETS: &str = "/run/containerd/s";

/// A daemon that ends with the test, with all that it has started.
#[derive(Debug)]
pub(crate) struct Cri {
    /// Family and directory of the test.
    pub(crate) stage: Stage,
    /// Directory of the daemon's files.
    pub(crate) dir: PathBuf,
    /// Cgroup that all pods are in.
    pub(crate) parent: String,
    daemon: Child,
    client: Option<Client>,
    seen: RefCell<BTreeSet<String>>,
}

impl Cri {
    /// Starts one that may start nodes of a stage. `None`, with the reason told, where this machine cannot.
    pub(crate) fn start(stage: Stage) -> Option<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        for program in ["containerd", "ctr", "containerd-shim-runc-v2", "runc"] {
            if run(Command::new("which").arg(program)).code != 0 {
                skip(&format!("{program} is not installed"));
                return None;
            }
        }
        // CRI gives each container a weight, which neither runc nor red-runtime takes where nothing counts it.
        if !has("cpu") {
            remark("there is no cpu controller, without which CRI starts no pod");
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = stage.pool.mkdir("containerd");
        let made = stage.pool.mkdir("images");
        let Some(pause) = images::pause(&made) else {
            skip("there is no C compiler for the pause program");
            return None;
        };
        let archives = [pause, images::plain(&made), images::reference(&made, &stage.leaf)];
        stage.pool.write(
            "prefix/etc/redpak/policy.yaml",
            // containerd's own storage lies beside the nodes, not among them.
            format!("pools: [{{path: {}}}]\n", stage.pool.join("core").display()),
        );
        configuration::write(&dir);
        let daemon = spawn(&dir, &stage.pool.join("prefix"));
        let parent = format!("/red-test-{}-{number}", std::process::id());
        let mut this = Self { stage, dir, parent, daemon, client: None, seen: RefCell::default() };
        this.connect();
        for archive in archives {
            this.ctr(&["image", "import", &archive.display().to_string()]).good();
        }
        for image in [images::PAUSE, images::PLAIN, images::REFERENCE] {
            eventually(&format!("CRI knows {image}"), || this.cri().has_image(image));
        }
        Some(this)
    }

    /// Ends the daemon at once, and starts it again.
    pub(crate) fn restart(&mut self) {
        drop(self.daemon.kill());
        drop(self.daemon.wait());
        self.daemon = spawn(&self.dir, &self.stage.pool.join("prefix"));
        self.connect();
    }

    fn connect(&mut self) {
        let client = Client::connect(&self.dir.join("sock"));
        self.client = Some(client.unwrap_or_else(|status| panic!("no CRI: {status}\n{}", self.log())));
    }

    /// The CRI client.
    pub(crate) fn cri(&self) -> &Client {
        self.client.as_ref().expect("connected at start")
    }

    /// Runs `ctr` in CRI's namespace.
    pub(crate) fn ctr(&self, args: &[&str]) -> Said {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.dir.join("sock")).args(["--namespace", NAMESPACE]).args(args);
        command.stdin(Stdio::null());
        through_files(&self.dir, command)
    }

    /// Notes the name of a sandbox or container, for what may be left of it.
    pub(crate) fn note(&self, id: &str) {
        self.seen.borrow_mut().insert(id.to_owned());
    }

    /// Processes of shims.
    pub(crate) fn shim_pids(&self) -> Vec<i32> {
        let all = processes_matching(&self.dir.display().to_string());
        all.into_iter().filter(|(_, line)| line.contains("containerd-shim")).map(|(pid, _)| pid).collect()
    }

    /// What the daemon has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// What is left of pods: asked until nothing is, or for twenty seconds.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let find_leftovers = self.find_leftovers();
            if find_leftovers.is_empty() || Instant::now() > end {
                return find_leftovers;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
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
        let mut paths: Vec<PathBuf> =
            below(&self.dir.join("state/io.containerd.runtime.v2.task").join(NAMESPACE));
        for kind in ["sandboxes", "containers"] {
            for plugins in ["state", "root"].map(|kind| self.dir.join(kind)) {
                let plugins =
                    below(&plugins).into_iter().filter(|path| path.display().to_string().contains("cri"));
                paths.extend(plugins.flat_map(|plugin| below(&plugin.join(kind))));
            }
        }
        for id in self.seen.borrow().iter() {
            paths.extend(states(id).into_iter().chain([self.socket(id)]).filter(|path| path.exists()));
        }
        paths.extend(self.cgroups().iter().flat_map(|cgroup| below(cgroup)).filter(|path| path.is_dir()));
        found.extend(paths.into_iter().map(|path| path.display().to_string()));
        found
    }

    /// Where the shim of a sandbox listens (containerd, pkg/shim, `SocketAddress`).
    fn socket(&self, id: &str) -> PathBuf {
        let mut sum = Command::new("sh");
        sum.args(["-c", r#"printf '%s\0%s\0%s' "$@" | sha256sum"#, "sh"]);
        let output = run(sum.arg(self.dir.join("sock")).args([NAMESPACE, id]));
        Path::new(SOCKETS).join(output.out.split(' ').next().unwrap_or_default())
    }

    /// Cgroups of pods, in every hierarchy.
    fn cgroups(&self) -> Vec<PathBuf> {
        let name = self.parent.trim_start_matches('/');
        let all = run(Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name", name]));
        all.out.lines().map(PathBuf::from).collect()
    }

    fn end_pods(&self) {
        let Some(client) = &self.client else { return };
        let request = ListPodSandboxRequest { filter: None::<PodSandboxFilter> };
        let pods = client.ask(|mut cri| async move { cri.list_pod_sandbox(request).await });
        for pod in pods.map(|pods| pods.items).unwrap_or_default() {
            let stop = StopPodSandboxRequest { pod_sandbox_id: pod.id.clone() };
            let remove = RemovePodSandboxRequest { pod_sandbox_id: pod.id };
            // It is tried; what is left is taken away below.
            drop(client.ask(|mut cri| async move { cri.stop_pod_sandbox(stop).await }));
            drop(client.ask(|mut cri| async move { cri.remove_pod_sandbox(remove).await }));
        }
    }
}

impl Drop for Cri {
    fn drop(&mut self) {
        self.end_pods();
        drop(self.daemon.kill());
        drop(self.daemon.wait());
        let dir = self.dir.display().to_string();
        for (pid, _) in processes_matching(&dir) {
            kill(pid);
        }
        for cgroup in self.cgroups() {
            let all = run(Command::new("find").arg(&cgroup).args([
                "-name",
                "cgroup.procs",
                "-exec",
                "cat",
                "{}",
                "+",
            ]));
            all.out.lines().filter_map(|pid| pid.parse().ok()).for_each(kill);
        }
        for id in self.seen.borrow().iter() {
            if let [red, stock] = states(id)
                && red.exists()
            {
                let root = red.parent().unwrap_or(Path::new("/"));
                run(Command::new(built("red-runtime"))
                    .arg("--root")
                    .arg(root)
                    .args(["delete", "--force", id]));
                drop(fs::remove_dir_all(stock));
            }
            drop(fs::remove_file(self.socket(id)));
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for line in mounts.lines().rev().filter(|line| line.contains(&dir)) {
            run(Command::new("umount").arg("--lazy").args(line.split(' ').nth(1)));
        }
        let gone = |cgroup: &PathBuf| {
            run(Command::new("find").arg(cgroup).args(["-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]));
            !cgroup.exists()
        };
        // What was ended just now leaves its cgroup a moment later.
        let end = Instant::now() + Duration::from_secs(20);
        while !self.cgroups().iter().all(gone) {
            if Instant::now() > end {
                remark(&format!("cgroups {} could not be removed", self.parent));
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whether there is a controller of cgroups.
pub(crate) fn has(controller: &str) -> bool {
    match fs::read_to_string("/sys/fs/cgroup/cgroup.controllers") {
        Ok(all) => all.split_whitespace().any(|one| one == controller),
        Err(_) => Path::new("/sys/fs/cgroup").join(controller).is_dir(),
    }
}

/// Where runtimes keep what they know of a container: ours, runc.
fn states(id: &str) -> [PathBuf; 2] {
    ["red", "runc"].map(|name| Path::new("/run/containerd").join(name).join(NAMESPACE).join(id))
}

fn spawn(dir: &Path, prefix: &Path) -> Child {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("log"))
        .expect("test directory is writable");
    let programs = built("red-runtime");
    let programs = programs.parent().expect("parent directory").display();
    let mut command = Command::new("containerd");
    command.arg("--config").arg(dir.join("config.toml"));
    command.env("PATH", format!("{programs}:/usr/sbin:/usr/bin:/sbin:/bin")).env("NODE_PREFIX", prefix);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
    command.spawn().expect("containerd is installed")
}

/// Processes with this on their command line, but for the test itself.
fn processes_matching(word: &str) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for entry in below(Path::new("/proc")) {
        let Some(pid) = entry.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        let line = fs::read(entry.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if u32::try_from(pid) != Ok(std::process::id()) && line.contains(word) {
            found.push((pid, line));
        }
    }
    found
}

/// Ends a process at once; it may have gone by itself.
pub(crate) fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        kill_process(pid, Signal::KILL).unwrap_or(());
    }
}

fn below(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
