//! Clean-up that happens even when a test fails.

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
