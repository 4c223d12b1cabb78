//! podman with storage of its own, and red-runtime as its runtime.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::broom::User;
use crate::call::{Said, run};
use crate::in_guest;
use crate::pool::Pool;

/// podman, for root or for a user, with a policy that names one pool.
#[derive(Debug)]
pub struct Podman<'u> {
    dir: PathBuf,
    user: Option<&'u User>,
    /// It is in the session of its user, who is the caller.
    session: bool,
}

impl<'u> Podman<'u> {
    /// Sets it up below a pool, whose nodes it may start. `None` when podman is not installed.
    ///
    /// # Panics
    /// There is no room.
    #[must_use]
    pub fn new(pool: &Pool, user: Option<&'u User>) -> Option<Self> {
        Command::new("podman").arg("--version").stdout(Stdio::null()).status().ok()?;
        let dir = pool.mkdir("podman");
        pool.write(
            "prefix/etc/redpak/policy.yaml",
            // The engine's own storage lies beside the nodes, not among them.
            format!("pools: [{{path: {}}}]\n", pool.join("core").display()),
        );
        let red = pool.install("red-runtime", "red-runtime-for-podman");
        let wrapper = pool.write(
            "red-runtime-wrapper",
            format!(
                "#!/bin/sh\nNODE_PREFIX={} exec {} \"$@\"\n",
                pool.join("prefix").display(),
                red.display()
            ),
        );
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("it is ours");
        // In the session of an ordinary user only systemd makes cgroups with limits.
        let session = user.is_none() && in_guest() && !rustix::process::geteuid().is_root();
        let manager = if session { "systemd" } else { "cgroupfs" };
        pool.write(
            "podman/containers.conf",
            format!(
                "[containers]\ndefault_ulimits = [\"nofile=1024:4096\", \"nproc=1024:2048\"]\n\
                 [engine]\nruntime = \"red-runtime\"\ncgroup_manager = \"{manager}\"\nevents_logger = \"file\"\n\
                 runtime_supports_json = [\"red-runtime\"]\n[engine.runtimes]\nred-runtime = [\"{}\"]\n\
                 [network]\nnetwork_backend = \"netavark\"\n",
                wrapper.display()
            ),
        );
        pool.write("podman/registries.conf", "");
        for below in ["root", "runroot", "run", "tmp", "home"] {
            pool.mkdir(format!("podman/{below}"));
        }
        if let Some(user) = user {
            pool.chown(user.uid);
            for path in ["prefix", "prefix/etc", "prefix/etc/redpak", "prefix/etc/redpak/policy.yaml"] {
                std::os::unix::fs::chown(pool.join(path), Some(0), Some(0))
                    .expect("only root gives files away");
            }
        }
        Some(Self { dir, user, session })
    }

    /// podman, not yet started.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = match self.user {
            None => Command::new("podman"),
            Some(user) => user.command("podman"),
        };
        let at = |below: &str| self.dir.join(below);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", at("home"));
        let run = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| self.session);
        command.env("XDG_RUNTIME_DIR", run.unwrap_or_else(|| at("run").into()));
        command.env("CONTAINERS_CONF", at("containers.conf"));
        command.env("CONTAINERS_REGISTRIES_CONF", at("registries.conf"));
        command
            .arg("--root")
            .arg(at("root"))
            .arg("--runroot")
            .arg(at("runroot"))
            .arg("--tmpdir")
            .arg(at("tmp"));
        command.arg("--log-level=error").stdin(Stdio::null());
        command
    }

    /// Runs podman. Output goes through files: what podman starts in the background keeps pipes open.
    ///
    /// # Panics
    /// It does not start.
    pub fn call<I: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Said {
        let mut command = self.command();
        command.args(args);
        through_files(&self.dir, command)
    }

    /// `podman run` without a network, of a root.
    pub fn run_root(&self, options: &[&str], root: &Path, overlay: bool, command: &[&str]) -> Said {
        let root = if overlay { format!("{}:O", root.display()) } else { root.display().to_string() };
        let mut all = vec!["run", "--rm", "--network", "none"];
        all.extend(options);
        all.extend(["--rootfs", &root]);
        all.extend(command);
        self.call(all)
    }
}

/// Runs a command with its output in files.
///
/// # Panics
/// It does not start.
pub fn through_files(dir: &Path, mut command: Command) -> Said {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let (out, err) = (dir.join(format!("out{number}")), dir.join(format!("err{number}")));
    let file = |path: &Path| fs::File::create(path).expect("it is ours");
    command.stdout(file(&out)).stderr(file(&err));
    let status = command.status().expect("it starts");
    let text = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    Said { code: status.code().unwrap_or(255), out: text(&out), err: text(&err) }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        for args in [
            &["pod", "rm", "--all", "--force", "--time", "0"][..],
            &["rm", "--all", "--force", "--time", "0"],
            &["rmi", "--all", "--force"],
            &["system", "migrate"],
        ] {
            self.call(args);
        }
        // The overlay of its storage stays mounted while podman thinks it will be back.
        run(Command::new("umount").arg("--quiet").arg(self.dir.join("root/overlay")));
    }
}
