//! What an engine sends, in bundles as podman and containerd write them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::call::{Said, red_runtime, run};
use crate::stage::Stage;

/// An engine, and a policy whose pool is the family of a stage.
#[derive(Debug)]
pub struct Engine {
    /// The stage.
    pub stage: Stage,
    /// `NODE_PREFIX` of everything that is started.
    pub prefix: PathBuf,
    /// Bind mounts to be taken away in the end.
    mounts: Vec<PathBuf>,
}

/// What is said of a bundle that is refused, and not in words from which podman makes "command not found".
fn refused(said: Said) -> String {
    assert!(said.code == 1 && said.out.is_empty(), "{}{}", said.out, said.err);
    assert!(!said.err.to_lowercase().contains("no such file"), "{}", said.err);
    said.err
}

impl Engine {
    /// Writes the policy.
    #[must_use]
    pub fn new(stage: Stage) -> Self {
        let pool = stage.pool.join("core");
        stage.pool.write("prefix/etc/redpak/policy.yaml", format!("pools: [{{path: {}}}]\n", pool.display()));
        let prefix = stage.pool.join("prefix");
        Self { stage, prefix, mounts: Vec::new() }
    }

    /// A bundle whose root is the leaf.
    pub fn node(&self, name: &str, command: &[&str], change: impl FnOnce(&mut Value)) -> PathBuf {
        let leaf = self.stage.leaf.display().to_string();
        self.stage.plain(name, command, |spec| {
            spec["root"]["path"] = json!(leaf);
            spec["mounts"] = json!([
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
            ]);
            change(spec);
        })
    }

    /// Runs a script in a plain bundle, which is called `p`.
    pub fn plain(&self, script: &str, change: impl FnOnce(&mut Value)) -> Said {
        self.run(&self.stage.plain("p", &["sh", "-c", script], change))
    }

    /// What is said of a plain bundle that is refused.
    ///
    /// # Panics
    /// It is not refused, or as if something of podman's were missing.
    pub fn plain_refusal(&self, change: impl FnOnce(&mut Value)) -> String {
        refused(self.plain("echo started", change))
    }

    /// `red-runtime`, as the engine starts it.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = red_runtime(&self.stage.root);
        command.env("NODE_PREFIX", &self.prefix);
        command
    }

    /// Runs a bundle to its end, and removes it.
    ///
    /// # Panics
    /// It cannot be removed.
    pub fn run(&self, bundle: &Path) -> Said {
        let said = run(self.command().arg("run").arg("--bundle").arg(bundle).arg("c"));
        fs::remove_dir_all(bundle).expect("it is ours");
        said
    }

    /// What is said of a node's bundle that is refused.
    ///
    /// # Panics
    /// It is not.
    pub fn refusal(&self, change: impl FnOnce(&mut Value)) -> String {
        refused(self.run(&self.node("b", &["echo", "started"], change)))
    }

    /// Mounts a new file system, until the end.
    ///
    /// # Panics
    /// It cannot be mounted.
    pub fn mount(&mut self, kind: &str, at: &Path) {
        run(Command::new("mount").args(["-t", kind, kind]).arg(at)).good();
        self.mounts.push(at.to_owned());
    }

    /// Mounts something elsewhere too, until the end.
    ///
    /// # Panics
    /// It cannot be mounted.
    pub fn bind(&mut self, from: &Path, to: &Path) {
        run(Command::new("mount").arg("--bind").arg(from).arg(to)).good();
        self.mounts.push(to.to_owned());
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stage.sweep();
        for mount in self.mounts.iter().rev() {
            run(Command::new("umount").arg("--lazy").arg(mount));
        }
    }
}

/// Adds a mount to a configuration.
///
/// # Panics
/// It has no mounts.
pub fn add(spec: &mut Value, mount: Value) {
    spec["mounts"].as_array_mut().expect("it is a list").push(mount);
}

/// A bind mount.
#[must_use]
pub fn volume(source: &Path, destination: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": options})
}

/// Gives a configuration a namespace by path.
///
/// # Panics
/// It has no namespaces.
pub fn named(spec: &mut Value, kind: &str, path: &Path) {
    let all = spec["linux"]["namespaces"].as_array_mut().expect("it is a list");
    all.retain(|one| one["type"] != kind);
    all.push(json!({"type": kind, "path": path}));
}

/// A pod as containerd's CRI makes one: a container that keeps its namespaces.
#[derive(Debug)]
pub struct Pod {
    /// PID of the container that keeps the namespaces.
    pub pid: String,
}

impl Pod {
    /// Starts the container that keeps a pod's namespaces. It ends with the stage.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn new(engine: &Engine) -> Self {
        let bundle = engine.stage.plain("pause", &["sleep", "1000"], |spec| {
            annotate(spec, "io.kubernetes.cri.container-type", "sandbox");
            annotate(spec, "io.kubernetes.cri.sandbox-id", "pause");
        });
        engine.stage.start(&bundle, "pause");
        let pid = engine.stage.runtime(["state", "pause"]).good().json()["pid"].to_string();
        Self { pid }
    }

    /// Path of one of its namespaces.
    #[must_use]
    pub fn namespace(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/{name}", self.pid))
    }

    /// Makes a configuration one of a container of the pod.
    pub fn member(&self, spec: &mut Value, name: &str) {
        annotate(spec, "io.kubernetes.cri.container-type", "container");
        annotate(spec, "io.kubernetes.cri.sandbox-id", "pause");
        annotate(spec, "io.kubernetes.cri.container-name", name);
        for (kind, file) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts")] {
            named(spec, kind, &self.namespace(file));
        }
    }
}

/// Gives a configuration an annotation.
pub fn annotate(spec: &mut Value, key: &str, value: &str) {
    spec["annotations"][key] = json!(value);
}
