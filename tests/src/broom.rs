//! Clean-up that happens even when a test fails.

use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

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
