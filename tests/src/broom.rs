//! Clean-up that happens even when a test fails.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::call::run;

/// A tmpfs that is unmounted in the end.
#[derive(Debug)]
pub struct Tmpfs {
    path: PathBuf,
}

impl Tmpfs {
    /// Mounts one.
    ///
    /// # Panics
    /// The caller may not.
    #[must_use]
    pub fn mount(path: &Path) -> Self {
        mount("red-test", path, "tmpfs", MountFlags::empty(), None).expect("root may mount");
        Self { path: path.to_owned() }
    }

    /// Mounts one that takes so many bytes.
    ///
    /// # Panics
    /// The caller may not.
    #[must_use]
    pub fn sized(path: &Path, bytes: u64) -> Self {
        let size = std::ffi::CString::new(format!("size={bytes}")).expect("no NUL byte");
        mount("red-test", path, "tmpfs", MountFlags::empty(), size.as_c_str()).expect("root may mount");
        Self { path: path.to_owned() }
    }

    /// Fills it up, but for so many bytes. What filled it before is replaced.
    ///
    /// # Panics
    /// It cannot be written for another reason than that it is full.
    pub fn fill(&self, free: u64) {
        let filler = std::fs::File::create(self.path.join("filler")).expect("root may write");
        let block = [0_u8; 4096];
        while let Ok(4096) = (&filler).write(&block) {}
        let length = filler.metadata().expect("it is open").len();
        filler.set_len(length.saturating_sub(free)).expect("root may write");
    }

    /// Removes what fills it.
    pub fn empty(&self) {
        drop(std::fs::remove_file(self.path.join("filler")));
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // A test that fails must not fail again here.
        unmount(&self.path, UnmountFlags::DETACH).unwrap_or(());
    }
}

/// A bind mount that is unmounted in the end.
#[derive(Debug)]
pub struct Bound {
    point: PathBuf,
}

impl Bound {
    /// Mounts a directory or file a second time.
    ///
    /// # Panics
    /// The caller may not.
    #[must_use]
    pub fn mount(of: &Path, point: &Path) -> Self {
        rustix::mount::mount_bind(of, point).expect("root may mount");
        Self { point: point.to_owned() }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // A test that fails must not fail again here.
        unmount(&self.point, UnmountFlags::DETACH).unwrap_or(());
    }
}

/// A user of the machine that is removed in the end.
#[derive(Debug)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
}

impl User {
    /// Makes one, with subordinate ids as the machine gives them.
    ///
    /// # Panics
    /// The caller may not.
    #[must_use]
    pub fn make() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("redtest{}x{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let made = run(Command::new("useradd").args(["--create-home", "--shell", "/bin/bash"]).arg(&name));
        assert_eq!(made.code, 0, "useradd: {}", made.err);
        let uid =
            run(Command::new("id").arg("-u").arg(&name)).out.trim().parse().expect("id prints a number");
        Self { name, uid }
    }

    /// A command run as that user.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &self.name, "--regid", &self.name, "--init-groups", "--"]).arg(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("USER", &self.name);
        // The checkout may be in a directory that the user cannot enter, such as /root.
        command.current_dir("/").stdin(std::process::Stdio::null());
        command
    }
}

impl Drop for User {
    fn drop(&mut self) {
        drop(Command::new("userdel").args(["--force", "--remove"]).arg(&self.name).output());
    }
}

/// A cgroup of one controller that a limit is set in, removed in the end; its processes go back where they were.
#[derive(Debug)]
pub struct LimitedCgroup {
    path: PathBuf,
    before: PathBuf,
}

impl LimitedCgroup {
    /// Makes one for a controller, on either version, and moves a process into it. `None` where there is no such
    /// controller.
    ///
    /// # Panics
    /// The caller may not.
    #[must_use]
    pub fn enter(controller: &str, pid: i32) -> Option<Self> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let memberships = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it runs");
        let base = Path::new("/sys/fs/cgroup");
        let of = |wanted: &str| {
            let mut lines = memberships.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
            lines
                .find(|(names, _)| names.split(',').any(|name| name == wanted))
                .map(|(_, path)| path.to_owned())
        };
        let (root, before) = match of(controller) {
            Some(path) => (base.join(controller), path),
            None => (base.to_owned(), of("")?),
        };
        if root == base {
            let all = std::fs::read_to_string(base.join("cgroup.controllers")).unwrap_or_default();
            if !all.split_whitespace().any(|name| name == controller) {
                return None;
            }
            std::fs::write(base.join("cgroup.subtree_control"), format!("+{controller}"))
                .expect("root may delegate");
        }
        let path = root.join(format!(
            "red-test-limit-{}-{}",
            std::process::id(),
            MADE.fetch_add(1, Ordering::Relaxed)
        ));
        std::fs::create_dir(&path).expect("root may make cgroups");
        let this = Self { path, before: root.join(before.trim_start_matches('/')) };
        std::fs::write(this.path.join("cgroup.procs"), pid.to_string()).expect("root may move it");
        Some(this)
    }

    /// Reads one of its files.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path.join(name)).ok().map(|text| text.trim().to_owned())
    }

    /// Writes one of its files.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write(&self, name: &str, value: &str) {
        std::fs::write(self.path.join(name), value).expect("root may set limits");
    }
}

impl Drop for LimitedCgroup {
    fn drop(&mut self) {
        for _ in 0..200 {
            for pid in self.read("cgroup.procs").unwrap_or_default().lines() {
                drop(std::fs::write(self.before.join("cgroup.procs"), pid));
            }
            // What has exited leaves a moment later.
            if std::fs::remove_dir(&self.path).is_ok() || !self.path.exists() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

/// A file system in a file, unmounted in the end.
#[derive(Debug)]
pub struct Disk {
    /// Where it is.
    pub at: PathBuf,
    image: Option<PathBuf>,
}

/// Whether no loop device has a file any more. Mount namespaces that were made meanwhile, by whoever on this machine, have
/// what was mounted then until they are gone, and a copy of a file system cannot be mounted beside it.
#[must_use]
pub fn is_released(image: &Path) -> bool {
    let said = run(Command::new("losetup").arg("--associated").arg(image));
    said.code == 0 && said.out.is_empty()
}

impl Disk {
    /// Makes one, by a command that takes the file as its last argument.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn make(image: &Path, make: &str, megabytes: u32) {
        run(Command::new("truncate").arg(format!("--size={megabytes}M")).arg(image)).good();
        let words: Vec<&str> = make.split(' ').collect();
        run(Command::new(words[0]).args(&words[1..]).arg(image)).good();
    }

    /// Mounts one.
    ///
    /// # Panics
    /// The caller may not.
    #[must_use]
    pub fn mount(image: &Path, at: &Path, options: &str) -> Self {
        std::fs::create_dir_all(at).expect("there is room");
        run(Command::new("mount").args(["-o", &format!("loop,{options}")]).arg(image).arg(at)).good();
        Self { at: at.to_owned(), image: Some(image.to_owned()) }
    }

    /// What was mounted in another way.
    #[must_use]
    pub fn mounted(at: PathBuf) -> Self {
        Self { at, image: None }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A test that fails must not fail again here. What ran there may take a moment to go.
        let soon = |done: &dyn Fn() -> bool| {
            let pause = || std::thread::sleep(std::time::Duration::from_millis(50));
            (0..200).any(|_| done() || (pause(), false).1)
        };
        if soon(&|| run(Command::new("umount").arg(&self.at)).code == 0) {
            soon(&|| self.image.as_deref().is_none_or(is_released));
        } else {
            drop(Command::new("umount").arg("--lazy").arg(&self.at).output());
        }
    }
}
