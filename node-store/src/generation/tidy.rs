//! What the install view leaves in a stage, once nothing is mounted there any more.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, ResolveFlags, openat2, statat};
use rustix::io::Errno;

use super::transfer::mark;
use super::tree::missing_attributes;
use super::{At, DIRECTORY, Stage, Store, StoreError, remove_one};

impl Store {
    /// Marks what the transaction removed from directories that no overlay covered (`gone`), and removes
    /// mount points and directories that only the view needed and that are empty (`spare`, children
    /// first). `made` are all directories that it made: what the node has there keeps its access control
    /// lists and labels. All are relative to the stage.
    pub(crate) fn tidy(
        &self,
        stage: &Stage,
        gone: &[PathBuf],
        (spare, made): (&[PathBuf], &[PathBuf]),
    ) -> Result<(), StoreError> {
        let upper =
            rustix::fs::openat(&self.dir, format!(".red/stage/{}", stage.number), DIRECTORY, Mode::empty())
                .at(&stage.upper)?;
        for path in gone {
            let Some((above, name)) = above(&upper, &stage.upper, path)? else { continue };
            let shown = stage.upper.join(path);
            remove_one(&above, shown.parent().unwrap_or(&shown), &name)?;
            mark(&above, shown.parent().unwrap_or(&shown), &name)?;
        }
        for path in spare {
            let Some((above, name)) = above(&upper, &stage.upper, path)? else { continue };
            remove_empty(&above, &name).at(stage.upper.join(path))?;
        }
        let Some(current) = self.current()? else { return Ok(()) };
        let old = self.generation(current);
        let old = rustix::fs::open(&old, DIRECTORY, Mode::empty()).at(old)?;
        // Data keep what they have.
        for path in made.iter().filter(|path| !path.starts_with("var")) {
            if let (Some(from), Some(into)) = (beneath(&old, path), beneath(&upper, path)) {
                missing_attributes(&from, &into, &stage.upper.join(path))?;
            }
        }
        Ok(())
    }
}

/// A directory below one, if it is there and no link leads to it.
fn beneath(dir: &OwnedFd, path: &Path) -> Option<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(dir, path, DIRECTORY, Mode::empty(), resolve).ok()
}

/// The directory that a path of a stage is in. Scriptlets may have put links on the way, which lead
/// nowhere here.
pub(super) fn above(
    upper: &OwnedFd,
    shown: &Path,
    path: &Path,
) -> Result<Option<(OwnedFd, CString)>, StoreError> {
    let name = path.file_name().and_then(|name| CString::new(name.as_bytes()).ok());
    let Some(name) = name else { return Ok(None) };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match openat2(upper, parent, DIRECTORY, Mode::empty(), resolve) {
        Ok(dir) => Ok(Some((dir, name))),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(errno).at(shown.join(path)),
    }
}

/// Removes an empty directory or an empty file.
fn remove_empty(above: &OwnedFd, name: &std::ffi::CStr) -> rustix::io::Result<()> {
    let Ok(stat) = statat(above, name, AtFlags::SYMLINK_NOFOLLOW) else { return Ok(()) };
    let flags = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => AtFlags::REMOVEDIR,
        FileType::RegularFile if stat.st_size == 0 => AtFlags::empty(),
        _ => return Ok(()),
    };
    match rustix::fs::unlinkat(above, name, flags) {
        Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}
