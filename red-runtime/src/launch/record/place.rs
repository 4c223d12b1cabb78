//! Where the state directory of a caller is, when nobody names one: a place that nobody else can make
//! first. A name below `/tmp` would not do, for whoever makes it first decides what is in it, or keeps
//! its owner out of it.

use std::path::{Path, PathBuf};

use rustix::fs::{FileType, lstat};

/// What the place depends on.
#[derive(Clone, Debug, Default)]
pub(super) struct Surroundings {
    /// The caller is root of the machine, and not of a user namespace.
    pub(super) machines_root: bool,
    /// UID of the caller.
    pub(super) uid: u32,
    /// `XDG_RUNTIME_DIR`.
    pub(super) runtime: Option<PathBuf>,
    /// `XDG_STATE_HOME`.
    pub(super) state: Option<PathBuf>,
    /// `HOME`, or what `/etc/passwd` has.
    pub(super) home: Option<PathBuf>,
    /// The kernel's name for this boot. Records are of processes, so they are of one boot of one
    /// machine; a home directory outlives the first and may be shared by several of the second.
    pub(super) boot: String,
}

impl Surroundings {
    /// Those of this process.
    pub(super) fn here() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let uid = rustix::process::geteuid().as_raw();
        let machines_root = super::is_machines_root();
        let mut here = Self { machines_root, uid, ..Self::default() };
        if machines_root {
            return here;
        }
        // Of anybody else, or with anybody else in it, it is none (XDG Base Directory Specification).
        here.runtime = variable("XDG_RUNTIME_DIR").filter(|dir| here.owns(dir, 0o022));
        if here.runtime.is_none() {
            here.state = variable("XDG_STATE_HOME");
            here.home = variable("HOME").or_else(|| crate::command::accounts::home_of(uid));
            super::boot().clone_into(&mut here.boot);
        }
        here
    }

    /// The state directory; `None` when there is no place for one.
    pub(super) fn place(&self) -> Option<PathBuf> {
        if self.machines_root {
            return Some("/run/red-runtime".into());
        }
        if let Some(runtime) = &self.runtime {
            return Some(runtime.join("red-runtime"));
        }
        let usual = PathBuf::from(format!("/run/user/{}", self.uid));
        if self.owns(&usual, 0o077) {
            return Some(usual.join("red-runtime"));
        }
        let home = self.home.as_ref().map(|home| home.join(".local/state"));
        // Of the state directory nothing may exist yet, so what is above it counts.
        let owned = |state: &&PathBuf| {
            state.ancestors().find(|above| lstat(*above).is_ok()).is_some_and(|above| self.owns(above, 0o002))
        };
        let state = [&self.state, &home].into_iter().flatten().find(owned)?;
        let boot = if self.boot.is_empty() { return None } else { &self.boot };
        Some(state.join("red-runtime").join(boot))
    }

    /// State directories in what the machine makes at login, where that is the caller's.
    pub(super) fn at_login(&self) -> impl Iterator<Item = PathBuf> {
        let usual = PathBuf::from(format!("/run/user/{}", self.uid));
        let all = self.runtime.clone().into_iter().chain([usual]).filter(|_| !self.machines_root);
        all.filter(|dir| self.owns(dir, 0o022)).map(|dir| dir.join("red-runtime"))
    }

    /// Whether a path is a directory of the caller's own, with none of these permissions for others.
    fn owns(&self, path: &Path, closed: u32) -> bool {
        path.is_absolute()
            && lstat(path).is_ok_and(|stat| {
                FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                    && stat.st_uid == self.uid
                    && stat.st_mode & closed == 0
            })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn user(home: &Path) -> Surroundings {
        Surroundings {
            // Nobody has it, so there is no /run/user of it, either; its home is the test's.
            uid: rustix::process::geteuid().as_raw(),
            home: Some(home.to_owned()),
            boot: "b".to_owned(),
            ..Surroundings::default()
        }
    }

    #[test]
    fn no_place_is_below_a_directory_that_others_write_to() {
        let dir = tempfile::tempdir().unwrap();
        let user = user(dir.path());
        // Where the machine has a /run/user of this user, that is the place.
        if !user.owns(Path::new(&format!("/run/user/{}", user.uid)), 0o077) {
            assert_eq!(user.place(), Some(dir.path().join(".local/state/red-runtime/b")));
        }
        let open = Surroundings { uid: u32::MAX - 1, ..user.clone() };
        assert_eq!(open.place(), None, "somebody else's home");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(
            Surroundings { uid: user.uid, ..user.clone() }
                .place()
                .filter(|place| place.starts_with(dir.path())),
            None
        );
        let temporary = Surroundings { home: Some("/tmp".into()), uid: u32::MAX - 1, ..user.clone() };
        assert_eq!(temporary.place(), None);
        let nowhere = Surroundings { home: None, uid: u32::MAX - 1, ..user };
        assert_eq!(nowhere.place(), None);
    }

    #[test]
    fn what_is_named_comes_first() {
        let runtime = Some(PathBuf::from("/r"));
        let user = Surroundings { runtime: runtime.clone(), uid: 5, ..Surroundings::default() };
        assert_eq!(user.place(), Some("/r/red-runtime".into()));
        let root = Surroundings { machines_root: true, runtime, ..Surroundings::default() };
        assert_eq!(root.place(), Some("/run/red-runtime".into()));
    }
}
