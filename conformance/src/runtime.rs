//! The runtimes, and how each is called on this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One OCI runtime.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// How people call it.
    pub name: &'static str,
    kind: Kind,
    root: PathBuf,
}

#[derive(Clone, Debug)]
enum Kind {
    /// As it is.
    Plain(PathBuf),
    /// In a mount namespace where `/sys/fs/cgroup` is version 2 alone. crun refuses a hybrid
    /// hierarchy. `preload` is a library that lets a runtime believe it raised its memory lock
    /// limit, for machines without CAP_SYS_RESOURCE: since Linux 5.11 BPF programs no longer
    /// count against that limit, but crun 1.8 still asks.
    UnifiedOnly { program: PathBuf, preload: Option<PathBuf> },
}

impl Runtime {
    /// runc, with its state below `root`. `None` when it is not installed.
    #[must_use]
    pub fn runc(root: &Path) -> Option<Self> {
        Some(Self { name: "runc", kind: Kind::Plain(which("runc")?), root: root.join("runc") })
    }

    /// crun, with its state below `root`. `None` when it is not installed, or when the machine needs
    /// the preloaded library and it cannot be built.
    #[must_use]
    pub fn crun(root: &Path) -> Option<Self> {
        let program = which("crun")?;
        let root = root.join("crun");
        if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            return Some(Self { name: "crun", kind: Kind::Plain(program), root });
        }
        let preload = if may_raise_limits() { None } else { Some(build_preload(&root)?) };
        Some(Self { name: "crun", kind: Kind::UnifiedOnly { program, preload }, root })
    }

    /// Both, as far as they are there.
    #[must_use]
    pub fn all(root: &Path) -> Vec<Self> {
        [Self::runc(root), Self::crun(root)].into_iter().flatten().collect()
    }

    /// Whether controllers of cgroups are at its disposal, so that limits have an effect.
    #[must_use]
    pub fn has_controllers(&self) -> bool {
        matches!(self.kind, Kind::Plain(_))
    }

    /// What `--version` says on its first line, such as `crun version 1.8.1`.
    #[must_use]
    pub fn version(&self) -> String {
        let (Kind::Plain(program) | Kind::UnifiedOnly { program, .. }) = &self.kind;
        let output = Command::new(program).arg("--version").output();
        let text =
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        text.lines().next().unwrap_or_default().to_owned()
    }

    /// A command of the runtime, with its global options.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = match &self.kind {
            Kind::Plain(program) => Command::new(program),
            Kind::UnifiedOnly { program, preload } => {
                let mut command = Command::new("unshare");
                command
                    .args(["--mount", "--propagation", "private", "bash", "-c", UNIFIED, "bash"])
                    .arg(program);
                if let Some(preload) = preload {
                    command.env("RED_PRELOAD", preload);
                }
                command
            }
        };
        command.arg("--root").arg(&self.root);
        command
    }

    /// Removes a container, whatever its state. Says nothing about one that is gone.
    pub fn delete(&self, id: &str) {
        let mut command = self.command();
        command
            .args(["delete", "--force", id])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // It is the broom: what it could not do shows in the test that looks for leftovers.
        drop(command.status());
    }
}

/// Mounts version 2 alone where version 1 was, then becomes the runtime.
const UNIFIED: &str = "set -e; umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; \
                       [ -z \"${RED_PRELOAD:-}\" ] || export LD_PRELOAD=$RED_PRELOAD; exec \"$@\"";

fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|program| program.is_file())
}

/// Whether this process may raise a hard limit.
fn may_raise_limits() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    // CAP_SYS_RESOURCE is number 24 (capabilities(7)).
    effective & (1 << 24) != 0
}

/// Answers setrlimit(RLIMIT_MEMLOCK) with success, passes everything else on.
const PRELOAD: &str = "#define _GNU_SOURCE\n\
    #include <sys/resource.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n\
    int setrlimit(__rlimit_resource_t r, const struct rlimit *l) {\n\
      if (r == RLIMIT_MEMLOCK) return 0;\n\
      return syscall(SYS_prlimit64, 0, r, l, 0);\n}\n";

fn build_preload(dir: &Path) -> Option<PathBuf> {
    std::fs::create_dir_all(dir).ok()?;
    let (source, library) = (dir.join("memlock.c"), dir.join("memlock.so"));
    std::fs::write(&source, PRELOAD).ok()?;
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status().ok()?;
    built.success().then_some(library)
}
