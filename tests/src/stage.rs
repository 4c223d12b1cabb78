//! A family that can run, and containers of it that are gone in the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::call::{Said, red_conf, red_runtime, red_wrap, run};
use crate::patience;
use crate::pool::Pool;

/// What the core gives to every node of a stage: the host's programs, and places of the kernel.
pub const CORE: &str = "exports:
  - {mode: Restricted, mount: /usr}
  - {mode: Symlink, mount: /bin, path: usr/bin}
  - {mode: Symlink, mount: /sbin, path: usr/sbin}
  - {mode: Symlink, mount: /lib, path: usr/lib}
  - {mode: Symlink, mount: /lib64, path: usr/lib64}
  - {mode: Execfd, mount: /etc/passwd, path: 'getent passwd $UID 65534'}
  - {mode: Procfs, mount: /proc}
  - {mode: Devfs, mount: /dev}
  - {mode: Tmpfs, mount: /tmp}
  - {mode: Anonymous, mount: /run}
  - {mode: Restricted, mount: /nodes/core/usr, path: $NODE_PATH/usr}
";

/// A pool with a family of three, and a directory for states.
#[derive(Debug)]
pub struct Stage {
    /// The pool.
    pub pool: Pool,
    /// Where states are.
    pub root: PathBuf,
    /// The terminal node.
    pub leaf: PathBuf,
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Stage {
    /// A family whose leaf shares nothing with the host.
    #[must_use]
    pub fn new() -> Self {
        Self::with("", "")
    }

    /// The same, with more in the `config` of its core and more of a leaf.
    #[must_use]
    pub fn with(config: &str, leaf: &str) -> Self {
        let pool = Pool::new();
        pool.mkdir("core/usr");
        pool.node(
            "core",
            &format!("config: {{path: /usr/bin:/usr/sbin, hostname: box-$LEAF_ALIAS{config}}}\nenviron: [{{key: HOME, value: /tmp}}]\n{CORE}"),
        );
        pool.mkdir("core/mid/shared");
        pool.node("core/mid", "exports: [{mode: Public, mount: /nodes/mid/shared, path: $NODE_PATH/shared}]");
        pool.mkdir("core/mid/app/private");
        let text = format!(
            "environ: [{{key: WHO, value: $LEAF_ALIAS}}]\nexports:\n  - {{mode: Private, mount: /nodes/app/private, path: $NODE_PATH/private}}\n{leaf}"
        );
        let leaf = pool.node("core/mid/app", &text);
        let root = pool.mkdir("state");
        std::fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .expect("it is ours");
        Self { pool, root, leaf }
    }

    /// `red-wrap` of the leaf, not yet started.
    #[must_use]
    pub fn wrap_command(&self, options: &[&str], command: &[&str]) -> Command {
        let mut wrap = red_wrap(&self.root);
        wrap.arg(format!("--redpath={}", self.leaf.display())).args(options).arg("--").args(command);
        wrap
    }

    /// Runs a command in the leaf.
    pub fn wrap(&self, command: &[&str]) -> Said {
        run(&mut self.wrap_command(&[], command))
    }

    /// A tool of `red-wrap`.
    pub fn tool(&self, tool: &str, args: &[&str]) -> Said {
        let mut wrap = Command::new(crate::call::built("red-runtime"));
        std::os::unix::process::CommandExt::arg0(&mut wrap, "red-wrap");
        wrap.arg(tool).arg("--root").arg(&self.root).args(args).stdin(Stdio::null());
        run(&mut wrap)
    }

    /// `red-runtime` with arguments.
    pub fn runtime<I: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Said {
        run(red_runtime(&self.root).args(args))
    }

    /// Writes a bundle of the leaf.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn bundle(&self, name: &str, command: &[&str]) -> PathBuf {
        let dir = self.pool.join(name);
        run(red_conf().arg("bundle").arg(&self.leaf).arg(&dir).arg("--").args(command)).good();
        dir
    }

    /// Writes a plain bundle, with a root that has the host's programs, changed by `change`.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn plain(&self, name: &str, command: &[&str], change: impl FnOnce(&mut Value)) -> PathBuf {
        let dir = self.pool.mkdir(name);
        let root = self.pool.mkdir(format!("{name}/rootfs"));
        for (link, target) in
            [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("sbin", "usr/sbin")]
        {
            std::os::unix::fs::symlink(target, root.join(link)).expect("it is ours");
        }
        let mut spec = json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "process": {
                "cwd": "/", "args": command, "env": ["PATH=/usr/bin:/usr/sbin"], "user": {"uid": 0, "gid": 0},
                "noNewPrivileges": true,
                "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]},
            },
            "hostname": "plain",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
                {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro", "rro"]},
            ],
            "linux": {"namespaces": [
                {"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}, {"type": "network"}
            ]},
        });
        change(&mut spec);
        self.pool.write(format!("{name}/config.json"), spec.to_string());
        dir
    }

    /// Creates and starts a container of a bundle.
    ///
    /// # Panics
    /// It does not start.
    pub fn start(&self, bundle: &Path, id: &str) {
        self.create(bundle, id).good();
        self.runtime(["start", id]).good();
    }

    /// Creates a container; its output goes nowhere.
    pub fn create(&self, bundle: &Path, id: &str) -> Said {
        let err = self.pool.join(format!("{id}.err"));
        let mut command = red_runtime(&self.root);
        command.arg("create").arg("--bundle").arg(bundle).arg(id).stdout(Stdio::null());
        // A container that lives on keeps pipes open, so there are none.
        command.stderr(std::fs::File::create(&err).expect("it is ours"));
        let status = command.status().expect("it starts");
        let err = std::fs::read_to_string(err).unwrap_or_default();
        Said { code: status.code().unwrap_or(255), out: String::new(), err }
    }

    /// What `state` says.
    ///
    /// # Panics
    /// There is no such container.
    pub fn status(&self, id: &str) -> String {
        self.runtime(["state", id]).good().json()["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a container is in a state.
    ///
    /// # Panics
    /// It takes too long.
    pub fn wait_status(&self, id: &str, wanted: &str) {
        eventually(&format!("container {id} is {wanted}"), || self.status(id) == wanted);
    }

    /// Removes whatever is left, and says whether everything was gone already.
    pub fn sweep(&self) -> bool {
        let listed = self.runtime(["list", "-q"]);
        for id in listed.out.lines() {
            let removed = self.runtime(["delete", "--force", id]);
            if removed.code != 0 {
                crate::progress(&format!("{id} could not be removed: {}", removed.err));
            }
        }
        listed.out.is_empty()
    }
}

impl Stage {
    /// What of this stage and its container `id`, a name that no other test has, is on the machine:
    /// mounts, processes, cgroups, states. Asked until nothing is, or for twenty seconds: what was told
    /// to end needs a moment, and a loaded machine many.
    #[must_use]
    pub fn left(&self, id: &str) -> Vec<String> {
        let end = Instant::now() + patience(20);
        loop {
            let traces = self.traces(id);
            if traces.is_empty() || Instant::now() > end {
                return traces;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn traces(&self, id: &str) -> Vec<String> {
        let name = self.pool.path().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let ours = mounts.lines().filter(|line| line.contains(&name) || line.contains("red-root"));
        let mut found: Vec<String> = ours.map(str::to_owned).collect();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_string_lossy().into_owned();
            if pid.parse::<u32>().is_err() || pid == std::process::id().to_string() {
                continue;
            }
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let root = fs::read_link(entry.path().join("root")).unwrap_or_default();
            if line.contains(&name) || root.starts_with(self.pool.path()) {
                found.push(format!("process {pid}: {line}"));
            }
        }
        let pattern = format!("*red-runtime/{id}-*");
        let cgroups = run(Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-path", &pattern]));
        found.extend(cgroups.out.lines().map(str::to_owned));
        let states = fs::read_dir(&self.root).into_iter().flatten().flatten().map(|entry| entry.path());
        found.extend(states.map(|path| path.display().to_string()).filter(|path| !path.ends_with(".lock")));
        found
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.sweep();
    }
}

/// Waits until something holds.
///
/// # Panics
/// It takes too long.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + patience(20);
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
