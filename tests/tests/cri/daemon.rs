//! containerd with its CRI plugin, and nothing of it that another test or the machine has.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_cri::v1::{ListPodSandboxRequest, PodSandboxFilter, RemovePodSandboxRequest, StopPodSandboxRequest};
use red_tests::call::{Said, built, run};
use red_tests::daemon;
use red_tests::podman::through_files;
use red_tests::stage::{Stage, eventually};
use red_tests::{remark, skip};

use crate::client::Client;
use crate::configuration;
use crate::images;

/// Namespace of containerd that CRI uses; it cannot be chosen.
const NAMESPACE: &str = "k8s.io";

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
        if !possible() {
            return None;
        }
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
        let mut this = Self::new(stage, dir, daemon);
        this.connect();
        for (archive, image) in archives.iter().zip([images::PAUSE, images::PLAIN, images::REFERENCE]) {
            this.import(archive, image);
        }
        Some(this)
    }

    /// Starts one of a configuration file, with the programs, nodes and policy that are installed where this thread is.
    pub(crate) fn installed(stage: Stage, dir: PathBuf, config: &Path) -> Self {
        std::os::unix::fs::symlink(config, dir.join("config.toml")).expect("test directory is writable");
        let daemon = daemon::spawn(&dir, Path::new("/usr/bin"), Path::new(""));
        let mut this = Self::new(stage, dir, daemon);
        this.connect();
        this
    }

    fn new(stage: Stage, dir: PathBuf, daemon: Child) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let parent = format!("/red-test-{}-{number}", std::process::id());
        Self { stage, dir, parent, daemon, client: None, seen: RefCell::default() }
    }

    /// Imports an image.
    pub(crate) fn import(&self, archive: &Path, name: &str) {
        self.ctr(&["image", "import", &archive.display().to_string()]).good();
        eventually(&format!("CRI knows {name}"), || self.cri().has_image(name));
    }

    /// Ends the daemon at once, and starts it again.
    pub(crate) fn restart(&mut self) {
        daemon::kill_daemon(&mut self.daemon);
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
        daemon::shim_pids(&self.dir)
    }

    /// What the daemon has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// What is left of pods, after waiting for their cleanup.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        daemon::wait_for_cleanup(|| self.find_leftovers())
    }

    fn find_leftovers(&self) -> Vec<String> {
        let mut found = daemon::processes_and_mounts(&self.dir);
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
            let states = daemon::state_dirs(NAMESPACE).map(|dir| dir.join(id));
            paths.extend(states.into_iter().chain(self.sockets(id)).filter(|path| path.exists()));
        }
        let cgroups = daemon::cgroups(self.parent_name());
        paths.extend(cgroups.iter().flat_map(|cgroup| below(cgroup)).filter(|path| path.is_dir()));
        found.extend(paths.into_iter().map(|path| path.display().to_string()));
        found
    }

    /// Sockets of the shims of a sandbox.
    fn sockets(&self, id: &str) -> [PathBuf; 2] {
        daemon::shim_sockets(&self.dir.join("sock"), NAMESPACE, id)
    }

    /// Name of the cgroup of all pods.
    fn parent_name(&self) -> &str {
        self.parent.trim_start_matches('/')
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

/// Whether pods can be started on this machine; the reason is told where they cannot.
pub(crate) fn possible() -> bool {
    for program in ["containerd", "ctr", "containerd-shim-runc-v2", "runc"] {
        if run(Command::new("which").arg(program)).code != 0 {
            skip(&format!("{program} is not installed"));
            return false;
        }
    }
    // CRI gives each container a weight, which neither runc nor red-runtime takes where nothing counts it.
    if !daemon::has_controller("cpu") {
        remark("there is no cpu controller, without which CRI starts no pod");
        return false;
    }
    true
}

impl Drop for Cri {
    fn drop(&mut self) {
        self.end_pods();
        daemon::kill_daemon(&mut self.daemon);
        daemon::kill_processes(&self.dir);
        daemon::remove_cgroups(self.parent_name());
        for id in self.seen.borrow().iter() {
            for state_dir in daemon::state_dirs(NAMESPACE) {
                daemon::delete_state(&state_dir, id);
            }
            for socket in self.sockets(id) {
                drop(fs::remove_file(socket));
            }
        }
        daemon::unmount_all(&self.dir);
    }
}

fn spawn(dir: &Path, prefix: &Path) -> Child {
    daemon::spawn(dir, built("red-runtime").parent().expect("parent directory"), prefix)
}

fn below(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
